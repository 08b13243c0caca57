"""`tf.image` and `tf.io`, as far as programs read and change pictures with them."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.tensor import Tensor
from nacre.utils.dataset import Text, scalar
from nacre.utils.images import img_to_array, load_img, pillow

rgb_to_grayscale = ops.image.rgb_to_grayscale
rgb_to_hsv = ops.image.rgb_to_hsv
hsv_to_rgb = ops.image.hsv_to_rgb


def ssim(img1: Any, img2: Any, max_val: float, **kwargs: Any) -> Any:
    """The structural similarity of pictures (N, H, W, C), one number each: 1 for equal ones."""
    return ops.image.ssim(img1, img2, max_val, data_format="channels_last", **kwargs)


def psnr(a: Any, b: Any, max_val: float, name: str | None = None) -> Any:
    """The peak signal-to-noise ratio of pictures (..., H, W, C) in decibels, one number each."""
    error = ops.mean(ops.square(ops.cast(a, "float32") - ops.cast(b, "float32")), axis=(-3, -2, -1))
    return 10.0 * ops.log10(max_val**2 / error)


_YUV = np.array([[0.299, -0.14714119, 0.61497538], [0.587, -0.28886916, -0.51496512], [0.114, 0.43601035, -0.10001026]])


def rgb_to_yuv(images: Any) -> Any:
    """Brightness and two differences of colours of pictures (..., 3)."""
    return ops.matmul(images, _YUV.astype(np.float32))


def yuv_to_rgb(images: Any) -> Any:
    """Red, green and blue from brightness and two differences of colours (..., 3)."""
    return ops.matmul(images, np.linalg.inv(_YUV).astype(np.float32))


def read_file(filename: Any, name: str | None = None) -> Text:
    """The bytes of a file, as a scalar."""
    return scalar(Path(file_name(filename)).read_bytes())


def write_file(filename: Any, contents: Any, name: str | None = None) -> None:
    """A file of these bytes, in folders that are made where they are not there."""
    path, data = Path(file_name(filename)), np.asarray(contents, object)[()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def file_name(filename: Any) -> str:
    """The name in a string, bytes or a scalar of such."""
    name: Any = np.asarray(filename, object)[()]
    return name.decode() if isinstance(name, bytes) else str(name)


_MODES = {1: "grayscale", 3: "rgb", 4: "rgba"}
_OWN = {"1": 1, "L": 1, "I": 1, "I;16": 1, "RGBA": 4}  # channels of Pillow's modes; 3 of all others


def decode_image(contents: Any, channels: int | None = None, dtype: Any = "uint8", **kwargs: Any) -> Any:
    """A picture (H, W, channels) from the bytes of a file; `channels` 1 is grey, 3 RGB, 4 RGBA, 0 and None as it is."""
    data: Any = np.asarray(contents, object)[()]
    if not channels:
        channels = _OWN.get(pillow("decode_image").open(io.BytesIO(data)).mode, 3)
    if channels not in _MODES:
        raise ValueError(f"decode_image: expected 0, 1, 3 or 4 channels, got {channels}")
    pixels = img_to_array(load_img(io.BytesIO(data), color_mode=_MODES[channels])).astype("uint8")
    return convert_image_dtype(Tensor(pixels), dtype)


decode_jpeg = decode_png = decode_bmp = decode_image


def _encoded(image: Any, kind: str, **kwargs: Any) -> Text:
    pixels, file = np.asarray(image), io.BytesIO()
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ValueError(f"encode_{kind}: expected uint8 (H, W, channels), got {pixels.dtype} {pixels.shape}")
    pillow(f"encode_{kind}").fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, kind, **kwargs)
    return scalar(file.getvalue())


def encode_jpeg(image: Any, format: str = "", quality: int = 95, **kwargs: Any) -> Text:
    """The bytes of a JPEG file of a picture (H, W, 1 or 3) of uint8."""
    return _encoded(image, "jpeg", quality=quality)


def encode_png(image: Any, compression: int = -1, name: str | None = None) -> Text:
    """The bytes of a PNG file of a picture (H, W, 1 to 4) of uint8."""
    return _encoded(image, "png")


def convert_image_dtype(image: Any, dtype: Any, saturate: bool = False, name: str | None = None) -> Any:
    """Integers in 0..255 become floats in 0..1, and the other way round."""
    image = ops.convert_to_tensor(image)
    wanted = np.dtype(dtype).name
    if wanted == image.dtype:
        return image
    if wanted.startswith("float") and not image.dtype.startswith("float"):
        return ops.cast(image, wanted) / 255.0
    if image.dtype.startswith("float") and not wanted.startswith("float"):
        return ops.cast(ops.clip(ops.floor(image * 255.5), 0, 255), wanted)
    return ops.cast(image, wanted)


def resize(
    images: Any,
    size: Any,
    method: str = "bilinear",
    preserve_aspect_ratio: bool = False,
    antialias: bool = False,
    **_: Any,
) -> Any:
    """Pictures (N, H, W, C) or one (H, W, C) in another size, as float32 (except for method "nearest")."""
    images = ops.convert_to_tensor(images)
    if method != "nearest":
        images = ops.cast(images, "float32")
    height, width = (int(n) for n in size)
    if preserve_aspect_ratio:  # the largest that fits into `size`
        old = images.shape[-3:-1]
        scale = min(height / old[0], width / old[1])
        height, width = (round(scale * n) for n in old)
    if method == "area":
        return _areas(_areas(images, -3, height), -2, width)
    return ops.image.resize(
        images, (height, width), interpolation=method, antialias=antialias, data_format="channels_last"
    )


def _areas(images: Any, axis: int, size: int) -> Any:
    """Means of what each new pixel covers along `axis`, parts of pixels counting as parts."""
    n = images.shape[axis]
    places, edges = np.arange(n), np.arange(size + 1)[:, None] * (n / size)
    covered = np.minimum(edges[1:], places + 1) - np.maximum(edges[:-1], places)  # (size, n)
    weights = (np.maximum(covered, 0) * (size / n)).astype(np.float32)
    return ops.moveaxis(ops.tensordot(images, weights, ((axis,), (1,))), -1, axis)


def flip_left_right(image: Any) -> Any:
    """Mirrored: columns in reverse order."""
    return ops.flip(ops.convert_to_tensor(image), axis=-2)


def flip_up_down(image: Any) -> Any:
    """Upside down: rows in reverse order."""
    return ops.flip(ops.convert_to_tensor(image), axis=-3)


def random_flip_left_right(image: Any, seed: int | None = None) -> Any:
    """Mirrored or not, by Python's random numbers."""
    return flip_left_right(image) if _draw(seed) < 0.5 else ops.convert_to_tensor(image)


def random_flip_up_down(image: Any, seed: int | None = None) -> Any:
    """Upside down or not, by Python's random numbers."""
    return flip_up_down(image) if _draw(seed) < 0.5 else ops.convert_to_tensor(image)


def adjust_brightness(image: Any, delta: float) -> Any:
    """`delta` more everywhere."""
    return ops.convert_to_tensor(image) + delta


def adjust_contrast(images: Any, contrast_factor: float) -> Any:
    """Distances from the mean of each channel times `contrast_factor`."""
    x = ops.convert_to_tensor(images)
    mean = ops.mean(x, axis=(-3, -2), keepdims=True)
    return (x - mean) * contrast_factor + mean


def random_brightness(image: Any, max_delta: float, seed: int | None = None) -> Any:
    """`adjust_brightness` by a random number below `max_delta` in size."""
    return adjust_brightness(image, (2 * _draw(seed) - 1) * max_delta)


def random_contrast(image: Any, lower: float, upper: float, seed: int | None = None) -> Any:
    """`adjust_contrast` by a random factor between the two."""
    return adjust_contrast(image, lower + (upper - lower) * _draw(seed))


def random_crop(value: Any, size: Any, seed: int | None = None, name: str | None = None) -> Any:
    """A part of that size from a random place."""
    x = ops.convert_to_tensor(value)
    start = [
        int(_draw(None if seed is None else seed + i) * (n - s + 1)) for i, (n, s) in enumerate(zip(x.shape, size))
    ]
    return x[tuple(slice(a, a + int(s)) for a, s in zip(start, size))]


def per_image_standardization(image: Any) -> Any:
    """Each picture with mean 0 and deviation 1."""
    x = ops.cast(image, "float32")
    axes = (-3, -2, -1)
    floor = 1.0 / float(np.sqrt(np.prod(x.shape[-3:])))
    return (x - ops.mean(x, axes, keepdims=True)) / ops.maximum(ops.std(x, axes, keepdims=True), floor)


def grayscale_to_rgb(images: Any, name: str | None = None) -> Any:
    """The channel three times."""
    return ops.repeat(ops.convert_to_tensor(images), 3, axis=-1)


def _draw(seed: int | None) -> float:
    return random.random() if seed is None else random.Random(seed).random()


def rot90(image: Any, k: int = 1, name: str | None = None) -> Any:
    """Turned to the left `k` times: (H, W, C) or (N, H, W, C)."""
    image = ops.convert_to_tensor(image)
    return ops.rot90(image, k, (image.ndim - 3, image.ndim - 2))


def resize_with_crop_or_pad(image: Any, target_height: int, target_width: int) -> Any:
    """The middle of that size; zeros where the picture (H, W, C) or (N, H, W, C) is smaller."""
    image = ops.convert_to_tensor(image)
    for axis, size in ((image.ndim - 3, target_height), (image.ndim - 2, target_width)):
        spare = image.shape[axis] - size
        if spare > 0:
            image = ops.take(image, ops.arange(spare // 2, spare // 2 + size), axis=axis)
        elif spare < 0:
            widths = [(0, 0)] * image.ndim
            widths[axis] = (-spare // 2, -spare - -spare // 2)
            image = ops.pad(image, widths)
    return image


def crop_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Any:
    """The part of that size whose first row and column are these: of (H, W, C) or (N, H, W, C)."""
    top, left = int(offset_height), int(offset_width)
    return ops.convert_to_tensor(image)[..., top : top + int(target_height), left : left + int(target_width), :]


def pad_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Any:
    """With zeros around it, so that the picture starts at that row and column of one of that size."""
    image = ops.convert_to_tensor(image)
    sizes, starts = (int(target_height), int(target_width)), (int(offset_height), int(offset_width))
    widths = [(at, size - at - n) for at, size, n in zip(starts, sizes, image.shape[-3:-1])]
    return ops.pad(image, ((0, 0),) * (image.ndim - 3) + (*widths, (0, 0)))


def central_crop(image: Any, central_fraction: float) -> Any:
    """The middle `central_fraction` of height and width."""
    image = ops.convert_to_tensor(image)
    height, width = image.shape[-3:-1]
    margins = [int((n - n * central_fraction) / 2) for n in (height, width)]
    return resize_with_crop_or_pad(image, height - 2 * margins[0], width - 2 * margins[1])


def extract_patches(images: Any, sizes: Any, strides: Any, rates: Any, padding: str, name: str | None = None) -> Any:
    """The windows (1, h, w, 1) of images (N, H, W, C), each laid out along the last axis."""
    return ops.image.extract_patches(
        images, size=tuple(sizes[1:3]), strides=tuple(strides[1:3]), dilation_rate=rates[1], padding=padding.lower()
    )
