"""Image files and arrays; Pillow (extra `image`) is needed for everything but `img_to_array` of an array."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from nacre.core.config import floatx, standardize_data_format
from nacre.core.errors import told
from nacre.utils.atomic import replacing

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def pillow(what: str) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            f"{what} needs Pillow to read and write images: pip install pillow (or nacre[image])"
        ) from None
    return Image


@told
def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Any:
    """A Pillow image from an array of shape (H, W, C), C 1, 3 or 4 ((C, H, W) for "channels_first").

    `scale` stretches the values to 0..255 first. Raises ValueError for another shape.
    """
    image = pillow("array_to_img")
    data_format = standardize_data_format(data_format)
    array = np.asarray(x, dtype=dtype or floatx())
    if array.ndim != 3:
        raise ValueError(
            f"array_to_img: expected an image of rank 3 (single image), got an array with shape {array.shape}"
        )
    if data_format == "channels_first":
        array = array.transpose(1, 2, 0)
    if scale:
        array = array - array.min() if array.size else array
        top = array.max() if array.size else 0
        array = (array / top if top else array) * 255  # in this order the largest is 255, not a rounding above
    channels = array.shape[-1]
    if channels not in (1, 3, 4):
        raise ValueError(f"array_to_img: expected 1, 3 or 4 channels, got {channels} in shape {array.shape}")
    if channels == 1:
        if array.size and array.max() > 255:  # Pillow's 32-bit integer mode
            return image.fromarray(array[..., 0].astype("int32"), "I")
        return image.fromarray(array[..., 0].astype("uint8"))
    return image.fromarray(array.astype("uint8"))


@told
def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray[Any, Any]:
    """An array of shape (H, W, C), float32, from a Pillow image ((C, H, W) for "channels_first")."""
    data_format = standardize_data_format(data_format)
    array = np.asarray(img, dtype=dtype or floatx())
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim != 3:
        raise ValueError(f"img_to_array: expected an image of rank 2 or 3, got shape {array.shape}")
    return array.transpose(2, 0, 1) if data_format == "channels_first" else array


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """The Pillow image in the file `path` (a path or an open binary file).

    Args:
        path: what to read.
        color_mode: "grayscale", "rgb" or "rgba"; the image is converted to it.
        target_size: (height, width) to which the image is resized.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming".
        keep_aspect_ratio: cut the middle part that has the aspect of `target_size` before resizing.
    """
    image = pillow("load_img")
    if color_mode not in _MODES:
        raise ValueError(f"load_img: expected color_mode 'grayscale', 'rgb' or 'rgba', got {color_mode!r}")
    method = resampling(interpolation)
    if not isinstance(path, (str, Path, io.BytesIO)):
        raise TypeError(f"load_img: expected a path or io.BytesIO, got {type(path).__name__}")
    data = path if isinstance(path, io.BytesIO) else io.BytesIO(Path(path).read_bytes())
    try:
        img = image.open(data)
        img.load()
    except Exception as error:  # Pillow's decoders raise what they come across
        kind: Any = type(error) if isinstance(error, (OSError, MemoryError)) else ValueError
        raise kind(f"load_img: {path} cannot be read as an image: {error}") from None
    if color_mode == "grayscale" and img.mode in ("L", "I;16", "I"):
        pass  # 16- and 32-bit greys keep their depth
    elif img.mode != _MODES[color_mode]:
        img = img.convert(_MODES[color_mode])
    if target_size is None:
        return img
    height, width = target_size
    if img.size == (width, height):
        return img
    box = None
    if keep_aspect_ratio:
        w, h = img.size
        crop_h = min(h, w * height // width)
        crop_w = min(w, h * width // height)
        left, top = (w - crop_w) // 2, (h - crop_h) // 2
        box = (left, top, left + crop_w, top + crop_h)
    return img.resize((width, height), method, box)


def resampling(interpolation: str) -> Any:
    """What Pillow calls an interpolation. Raises ValueError for an unknown one."""
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(f"load_img: expected interpolation to be one of {_INTERPOLATIONS}, got {interpolation!r}")
    return getattr(pillow("load_img").Resampling, interpolation.upper())


@told
def save_img(
    path: Any, x: Any, data_format: str | None = None, file_format: str | None = None, scale: bool = True, **kwargs: Any
) -> None:
    """Writes the array `x` of shape (H, W, C) as an image file; the format follows from the name or `file_format`."""
    img = array_to_img(x, data_format=data_format, scale=scale)
    name = (file_format or Path(str(path)).suffix.lstrip(".")).lower()
    if img.mode == "RGBA" and name in ("jpg", "jpeg"):
        img = img.convert("RGB")  # JPEG has no transparency
    picture: Any = path if hasattr(path, "write") else io.BytesIO()
    if picture is not path:
        picture.name = os.fspath(path)  # by which Pillow knows the format
    img.save(picture, format="jpeg" if name == "jpg" and file_format else file_format, **kwargs)
    if picture is not path:
        with replacing(path) as file:
            file.write(picture.getbuffer())
