"""`tf.image` and `tf.io`, as far as programs read and change pictures with them."""

from __future__ import annotations

import functools
import io
import itertools
import random
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.errors import tell
from nacre.core.room import check_bytes
from nacre.core.tensor import Symbol, Tensor
from nacre.utils.atomic import replacing
from nacre.utils.dataset import Text, scalar
from nacre.utils.files import reading
from nacre.utils.images import pillow


class ResizeMethod:
    """The names of the ways to `resize`."""

    AREA, BICUBIC, BILINEAR, LANCZOS3, LANCZOS5, NEAREST_NEIGHBOR = (
        "area", "bicubic", "bilinear", "lanczos3", "lanczos5", "nearest",
    )  # fmt: skip


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
    path = Path(file_name(filename))
    data: Any = np.asarray(contents, object)[()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def file_name(filename: Any) -> str:
    """The name in a string, bytes or a scalar of such."""
    name: Any = np.asarray(filename, object)[()]
    return name.decode() if isinstance(name, bytes) else str(name)


def file_names(filenames: Any) -> list[str]:
    """One name, or several, in any of those forms."""
    return [file_name(name) for name in np.ravel(np.asarray(filenames, object))]


_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_OWN = {
    "1": 1,
    "L": 1,
    "I": 1,
    "I;16": 1,
    "I;16B": 1,
    "LA": 2,
    "RGBA": 4,
    "PA": 4,
}  # channels of Pillow's modes; else 3


def decode_image(
    contents: Any, channels: int | None = None, dtype: Any = "uint8", name: str | None = None,
    expand_animations: bool = True, ratio: int = 1, **_: Any,
) -> Any:  # fmt: skip
    """A picture (H, W, channels) from the bytes of a file; `channels` 1 is grey, 3 RGB, 4 RGBA, 0 and None as it is.
    The pictures of a GIF are (N, H, W, 3), the first one alone without `expand_animations`."""
    data: Any = np.asarray(contents, object)[()]
    if channels not in (None, 0, 1, 3, 4):
        raise ValueError(f"decode_image: expected 0, 1, 3 or 4 channels, got {channels}")
    if ratio != 1:
        raise ValueError(f"decode_image: pictures are read in their own size, got ratio={ratio}")
    if not isinstance(data, bytes):
        raise ValueError(f"decode_image: expected the bytes of one picture, got {type(data).__name__}")
    with reading("decode_image: the text", "a picture"):
        picture = pillow("decode_image").open(io.BytesIO(data))
        wanted = channels or (
            4 if "transparency" in picture.info and picture.format == "PNG" else _OWN.get(picture.mode, 3)
        )
        if picture.format == "GIF" and expand_animations:
            frames = []
            for i in range(picture.n_frames):
                picture.seek(i)
                frames.append(np.asarray(picture.convert(_MODES[channels or 3])))
                check_bytes(frames[0].nbytes * picture.n_frames, "decode_image: the pictures of a GIF")
            pixels = np.stack(frames).reshape(len(frames), *frames[0].shape[:2], -1)
        elif picture.mode.startswith("I") and wanted in (1, 3):
            grey = np.asarray(picture).astype(np.uint16)[..., None]
            pixels = np.repeat(grey, wanted, axis=-1)
        else:
            pixels = np.asarray(picture if picture.mode == _MODES[wanted] else picture.convert(_MODES[wanted]))
            pixels = pixels.reshape(*pixels.shape[:2], -1)
            if np.dtype(dtype) == np.uint16:
                raise ValueError(f"{picture.format} pictures of {picture.mode} are read as 8 bits, not as uint16")
    return ops.convert_to_tensor(convert_image_dtype(pixels, dtype))


decode_jpeg = decode_png = decode_bmp = decode_image


def _encoded(image: Any, kind: str, **kwargs: Any) -> Text:
    pixels, file = np.asarray(image), io.BytesIO()
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ValueError(f"encode_{kind}: expected uint8 (H, W, channels), got {pixels.dtype} {pixels.shape}")
    pillow(f"encode_{kind}").fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, kind, **kwargs)
    return scalar(file.getvalue())


def encode_jpeg(image: Any, format: str = "", quality: int = 95, **kwargs: Any) -> Text:
    """The bytes of a JPEG file of a picture (H, W, 1 or 3) of uint8."""
    if not 0 <= quality <= 100:
        raise ValueError(f"encode_jpeg: expected a quality from 0 to 100, got {quality}")
    return _encoded(image, "jpeg", quality=quality)


def encode_png(image: Any, compression: int = -1, name: str | None = None) -> Text:
    """The bytes of a PNG file of a picture (H, W, 1 to 4) of uint8."""
    return _encoded(image, "png")


def convert_image_dtype(image: Any, dtype: Any, saturate: bool = False, name: str | None = None) -> Any:
    """The same pictures in another dtype: floats go from 0 to 1, whole numbers from 0 to the largest of their dtype."""
    kind, wanted = str(getattr(image, "dtype", "") or np.asarray(image).dtype), np.dtype(dtype).name
    if "bool" in (kind, wanted):
        raise ValueError(f"convert_image_dtype: expected numbers, got {kind} to {wanted}")
    image = ops.convert_to_tensor(image)
    if wanted == kind:
        return image
    floating = kind.startswith("float"), wanted.startswith("float")
    if all(floating):
        return ops.cast(image, wanted)
    if floating[1]:
        return ops.multiply(ops.cast(image, wanted), 1.0 / np.iinfo(kind).max)
    most = np.iinfo(wanted).max
    if floating[0]:
        return ops.saturate_cast(ops.multiply(image, most + 0.5), wanted)
    if np.iinfo(kind).max > most:
        return ops.cast(ops.floor_divide(image, (np.iinfo(kind).max + 1) // (most + 1)), wanted)
    return ops.multiply(ops.cast(image, wanted), (most + 1) // (np.iinfo(kind).max + 1))


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


def _in_floats(adjust: Callable[..., Any]) -> Callable[..., Any]:
    """Of whole numbers as of floats in 0..1, back in their dtype."""

    @functools.wraps(adjust)
    def adjusted(image: Any, *args: Any, **kwargs: Any) -> Any:
        image = ops.convert_to_tensor(image)
        if image.dtype.startswith("float"):
            return adjust(image, *args, **kwargs)
        return convert_image_dtype(adjust(convert_image_dtype(image, "float32"), *args, **kwargs), image.dtype)

    return adjusted


rgb_to_grayscale = _in_floats(ops.image.rgb_to_grayscale)


@_in_floats
def adjust_brightness(image: Any, delta: Any) -> Any:
    """`delta` more everywhere."""
    return image + delta


@_in_floats
def adjust_contrast(images: Any, contrast_factor: Any) -> Any:
    """Distances from the mean of each channel times `contrast_factor`."""
    mean = ops.mean(images, axis=(-3, -2), keepdims=True)
    return (images - mean) * contrast_factor + mean


@_in_floats
def adjust_gamma(image: Any, gamma: Any = 1, gain: Any = 1) -> Any:
    """`gain * image ** gamma`."""
    if not isinstance(gamma, Symbol) and not float(gamma) >= 0:
        raise ValueError(f"adjust_gamma: expected gamma to be at least 0, got {gamma}")
    return gain * image**gamma


@_in_floats
def adjust_saturation(image: Any, saturation_factor: Any, name: str | None = None) -> Any:
    """How strong colours are, times that factor."""
    hue, saturation, value = ops.unstack(rgb_to_hsv(image), axis=-1)
    return hsv_to_rgb(ops.stack([hue, ops.clip(saturation * saturation_factor, 0.0, 1.0), value], axis=-1))


@_in_floats
def adjust_hue(image: Any, delta: Any, name: str | None = None) -> Any:
    """Colours turned by `delta` of a circle."""
    hue, saturation, value = ops.unstack(rgb_to_hsv(image), axis=-1)
    return hsv_to_rgb(ops.stack([ops.mod(hue + delta, 1.0), saturation, value], axis=-1))


def _range(what: str, low: Any, high: Any, least: float, most: float = float("inf")) -> None:
    if not least <= low <= high <= most:
        raise ValueError(f"{what}: expected a range within {least} to {most}, got {low} to {high}")


def random_brightness(image: Any, max_delta: float, seed: int | None = None) -> Any:
    """`adjust_brightness` by a random number below `max_delta` in size."""
    _range("random_brightness", 0, max_delta, 0)
    return adjust_brightness(image, (2 * _draw(seed) - 1) * max_delta)


def random_contrast(image: Any, lower: float, upper: float, seed: int | None = None) -> Any:
    """`adjust_contrast` by a random factor between the two."""
    _range("random_contrast", lower, upper, 0)
    return adjust_contrast(image, lower + (upper - lower) * _draw(seed))


def random_saturation(image: Any, lower: float, upper: float, seed: int | None = None) -> Any:
    """`adjust_saturation` by a random factor between the two."""
    _range("random_saturation", lower, upper, 0)
    return adjust_saturation(image, lower + (upper - lower) * _draw(seed))


def random_hue(image: Any, max_delta: float, seed: int | None = None) -> Any:
    """`adjust_hue` by a random number below `max_delta` in size."""
    _range("random_hue", 0, max_delta, 0, 0.5)
    return adjust_hue(image, (2 * _draw(seed) - 1) * max_delta)


def random_crop(value: Any, size: Any, seed: int | None = None, name: str | None = None) -> Any:
    """A part of that size from a random place."""
    x = ops.convert_to_tensor(value)
    if len(size) != x.ndim or not all(0 <= int(s) <= n for n, s in zip(x.shape, size)):
        raise ValueError(f"random_crop: expected a part of {tuple(x.shape)}, got size {tuple(map(int, size))}")
    start = [
        int(_draw(None if seed is None else f"{seed} {i}") * (n - s + 1)) for i, (n, s) in enumerate(zip(x.shape, size))
    ]
    return x[tuple(slice(a, a + int(s)) for a, s in zip(start, size))]


def per_image_standardization(image: Any) -> Any:
    """Each picture with mean 0 and deviation 1."""
    x = ops.cast(image, "float32")
    axes = (-3, -2, -1)
    if x.ndim < 3 or 0 in x.shape[-3:]:
        raise ValueError(f"per_image_standardization: expected (..., H, W, C) of pixels, got shape {tuple(x.shape)}")
    floor = 1.0 / float(np.sqrt(np.prod(x.shape[-3:])))
    return (x - ops.mean(x, axes, keepdims=True)) / ops.maximum(ops.std(x, axes, keepdims=True), floor)


def grayscale_to_rgb(images: Any, name: str | None = None) -> Any:
    """The channel three times."""
    if ops.shape(images)[-1] != 1:
        raise ValueError(f"grayscale_to_rgb: expected one channel, got shape {tuple(ops.shape(images))}")
    return ops.repeat(ops.convert_to_tensor(images), 3, axis=-1)


def _draw(seed: Any) -> float:
    return random.random() if seed is None else random.Random(seed if isinstance(seed, int) else str(seed)).random()


def rot90(image: Any, k: int = 1, name: str | None = None) -> Any:
    """Turned to the left `k` times: (H, W, C) or (N, H, W, C)."""
    image = ops.convert_to_tensor(image)
    return ops.rot90(image, k, (image.ndim - 3, image.ndim - 2))


def _positive(what: str, *sizes: Any) -> None:
    if not all(int(n) > 0 for n in sizes):
        raise ValueError(f"{what}: expected sizes of at least 1, got {sizes}")


def resize_with_crop_or_pad(image: Any, target_height: int, target_width: int) -> Any:
    """The middle of that size; zeros where the picture (H, W, C) or (N, H, W, C) is smaller."""
    image = ops.convert_to_tensor(image)
    _positive("resize_with_crop_or_pad", target_height, target_width)
    for axis, size in ((image.ndim - 3, target_height), (image.ndim - 2, target_width)):
        spare = image.shape[axis] - size
        if spare > 0:
            image = ops.take(image, ops.arange(spare // 2, spare // 2 + size), axis=axis)
        elif spare < 0:
            widths = [(0, 0)] * image.ndim
            widths[axis] = (-spare // 2, -spare - -spare // 2)
            image = ops.pad(image, widths)
    return image


def resize_with_pad(
    image: Any, target_height: int, target_width: int, method: str = "bilinear", antialias: bool = False
) -> Any:
    """The whole picture as large as it fits into that size, with zeros around it."""
    image = ops.convert_to_tensor(image)
    sizes = image.shape[-3:-1]
    targets = int(target_height), int(target_width)
    _positive("resize_with_pad", *targets, *sizes)
    ratio = max(n / wanted for n, wanted in zip(sizes, targets))
    image = resize(image, [int(n / ratio + 1e-6) for n in sizes], method, antialias=antialias)
    top, left = (int((wanted - n / ratio) / 2) for n, wanted in zip(sizes, targets))
    return pad_to_bounding_box(image, top, left, *targets)


def transpose(image: Any, name: str | None = None) -> Any:
    """Rows as columns: of (H, W, C) or (N, H, W, C)."""
    return ops.swapaxes(image, -3, -2)


def draw_bounding_boxes(images: Any, boxes: Any, colors: Any, name: str | None = None) -> Any:
    """Pictures (N, H, W, C) with frames at `boxes` (N, count, 4): top, left, bottom and right as parts of the size."""
    out = np.array(images)
    height, width = out.shape[1:3]
    colors = np.asarray(colors)
    if colors.ndim != 2 or not len(colors) or colors.shape[1] < out.shape[3]:
        raise ValueError(f"draw_bounding_boxes: expected colours of {out.shape[3]} channels, got shape {colors.shape}")
    scale = np.array([height - 1, width - 1] * 2, np.float32)
    for picture, of_picture in zip(out, np.asarray(boxes, np.float32)):
        for box, color in zip(of_picture, itertools.cycle(colors)):
            top, left, bottom, right = (np.nan_to_num(box, nan=-1.0) * scale).clip(-(2**30), 2**30).astype(int).tolist()
            if top > bottom or left > right:
                continue
            rows, columns = (slice(max(a, 0), b + 1) for a, b in ((top, bottom), (left, right)))
            for edge in (top, bottom):
                if 0 <= edge < height:
                    picture[edge, columns] = color[: out.shape[3]]
            for edge in (left, right):
                if 0 <= edge < width:
                    picture[rows, edge] = color[: out.shape[3]]
    return Tensor(out)


def crop_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Any:
    """The part of that size whose first row and column are these: of (H, W, C) or (N, H, W, C)."""
    top, left, high, wide = map(int, (offset_height, offset_width, target_height, target_width))
    rows, columns = ops.shape(image)[-3:-1]
    if not (0 <= top < top + high <= rows and 0 <= left < left + wide <= columns):
        raise ValueError(
            f"crop_to_bounding_box: {high} x {wide} pixels from {(top, left)} on are no part of {rows} x {columns}"
        )
    return ops.convert_to_tensor(image)[..., top : top + high, left : left + wide, :]


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
    if not 0 < central_fraction <= 1:
        raise ValueError(f"central_crop: expected a central_fraction above 0, at most 1, got {central_fraction}")
    image = ops.convert_to_tensor(image)
    height, width = image.shape[-3:-1]
    margins = [int((n - n * central_fraction) / 2) for n in (height, width)]
    return resize_with_crop_or_pad(image, height - 2 * margins[0], width - 2 * margins[1])


def extract_patches(images: Any, sizes: Any, strides: Any, rates: Any, padding: str, name: str | None = None) -> Any:
    """The windows (1, h, w, 1) of images (N, H, W, C), each laid out along the last axis."""
    return ops.image.extract_patches(
        images,
        size=tuple(sizes[1:3]),
        strides=tuple(strides[1:3]),
        dilation_rate=tuple(rates[1:3]),
        padding=padding.lower(),
    )


def _stateless(draw: Callable[..., Any]) -> Callable[..., Any]:
    """The same picture for the same two numbers of `seed`."""

    def drawn(image: Any, *args: Any, seed: Any, **kwargs: Any) -> Any:
        return draw(image, *args, seed=str([int(n) for n in seed]), **kwargs)

    return drawn


for _draws in (
    random_brightness, random_contrast, random_crop, random_flip_left_right, random_flip_up_down, random_hue,
    random_saturation,
):  # fmt: skip
    globals()[f"stateless_{_draws.__name__}"] = _stateless(_draws)


def sobel_edges(image: Any) -> Any:
    """Differences down and to the right of pictures (N, H, W, C), over three rows or columns: (N, H, W, C, 2)."""
    x = ops.pad(ops.convert_to_tensor(image), ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    down = x[:, 2:] - x[:, :-2]
    right = x[:, :, 2:] - x[:, :, :-2]
    both = [down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:], right[:, :-2] + 2 * right[:, 1:-1] + right[:, 2:]]
    return ops.stack(both, axis=-1)


def image_gradients(image: Any) -> tuple[Any, Any]:
    """Differences to the pixel below and to the right, 0 at the edge, of pictures (N, H, W, C)."""
    x = ops.convert_to_tensor(image)
    down, right = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
    return ops.pad(down, ((0, 0), (0, 1), (0, 0), (0, 0))), ops.pad(right, ((0, 0), (0, 0), (0, 1), (0, 0)))


def total_variation(images: Any, name: str | None = None) -> Any:
    """The sum of what neighbouring pixels differ by, of (H, W, C) or each of (N, H, W, C)."""
    x = ops.convert_to_tensor(images)
    down, right = x[..., 1:, :, :] - x[..., :-1, :, :], x[..., 1:, :] - x[..., :-1, :]
    axes = (-3, -2, -1)
    return ops.sum(ops.abs(down), axes) + ops.sum(ops.abs(right), axes)


def crop_and_resize(
    image: Any, boxes: Any, box_indices: Any, crop_size: Any, method: str = "bilinear",
    extrapolation_value: float = 0.0, name: str | None = None,
) -> Any:  # fmt: skip
    """Parts (n, *crop_size, C) of pictures (N, H, W, C): boxes (n, 4) of edges in 0..1, top, left, bottom, right, each
    of the picture that `box_indices` says."""
    x = ops.cast(image, "float32")
    boxes, of = np.asarray(boxes, np.float64), np.asarray(box_indices)
    _positive("crop_and_resize", *crop_size)
    if boxes.shape != (len(of), 4) or not np.isfinite(boxes).all() or not ((of >= 0) & (of < x.shape[0])).all():
        raise ValueError(
            f"crop_and_resize: expected finite boxes (n, 4) and for each the number of one of {x.shape[0]} pictures, "
            f"got boxes of shape {boxes.shape} for {of.tolist()!r:.200}"
        )
    places = []
    for start, end, size, extent in zip((0, 1), (2, 3), map(int, crop_size), x.shape[1:3]):
        steps = np.linspace(0, 1, size) if size > 1 else np.array([0.5])
        places.append((boxes[:, start, None] + (boxes[:, end] - boxes[:, start])[:, None] * steps) * (extent - 1))
    rows = np.broadcast_to(places[0][:, :, None], (len(of), *map(int, crop_size)))
    columns = np.broadcast_to(places[1][:, None, :], rows.shape)
    order = 1 if method == "bilinear" else 0
    if not order:  # halves go up
        rows, columns = np.floor(rows + 0.5), np.floor(columns + 0.5)
    # What is outside is so before it is rounded.
    inside = (rows >= 0) & (rows <= x.shape[1] - 1) & (columns >= 0) & (columns <= x.shape[2] - 1)
    where = np.stack([np.broadcast_to(of[:, None, None], rows.shape), rows, columns]).astype(np.float32)
    read = [
        ops.image.map_coordinates(x[..., c], where, order, "nearest", extrapolation_value) for c in range(x.shape[-1])
    ]
    return ops.where(inside[..., None], ops.stack(read, axis=-1), extrapolation_value)


def non_max_suppression(
    boxes: Any, scores: Any, max_output_size: Any, iou_threshold: float = 0.5, score_threshold: float = -np.inf,
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The numbers of the best boxes (n, 4: two corners), without those that overlap a better one more than that."""
    corners, score = np.asarray(boxes, np.float64), np.asarray(scores)
    if corners.shape != (len(score), 4) or not 0 <= iou_threshold <= 1 or int(max_output_size) < 0:
        raise ValueError(
            "non_max_suppression: expected boxes (n, 4), as many scores, a threshold from 0 to 1, a size of at least "
            f"0, got {corners.shape}, {score.shape}, {iou_threshold} and {max_output_size}"
        )
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])
    area = (high - low).prod(1)
    waiting = np.argsort(-score, kind="stable")
    waiting, kept = waiting[score[waiting] > score_threshold], list[Any]()
    while len(waiting) and len(kept) < int(max_output_size):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        common = np.maximum(np.minimum(high[best], high[waiting]) - np.maximum(low[best], low[waiting]), 0).prod(1)
        waiting = waiting[common <= iou_threshold * np.maximum(area[best] + area[waiting] - common, 1e-300)]
    return Tensor(np.array(kept, np.int32))


CombinedNonMaxSuppression = namedtuple(
    "CombinedNonMaxSuppression", "nmsed_boxes nmsed_scores nmsed_classes valid_detections"
)


def combined_non_max_suppression(
    boxes: Any, scores: Any, max_output_size_per_class: Any, max_total_size: Any, iou_threshold: float = 0.5,
    score_threshold: float = -np.inf, pad_per_class: bool = False, clip_boxes: bool = True, name: str | None = None,
) -> CombinedNonMaxSuppression:  # fmt: skip
    """The best boxes of each picture, those of each class chosen as by `non_max_suppression`, filled up with zeros.

    Args:
        boxes: (pictures, n, 1, 4), or a box for each class: (pictures, n, classes, 4). scores: (pictures, n, classes).
        pad_per_class: to so many boxes of each class together, where these are fewer than `max_total_size`.
        clip_boxes: to [0, 1].
    """
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    classes, each, size = scores.shape[2], int(max_output_size_per_class), int(max_total_size)
    if boxes.ndim != 4 or boxes.shape[2] not in (1, classes) or boxes.shape[:2] != scores.shape[:2]:
        raise ValueError(f"combined_non_max_suppression: boxes {boxes.shape} do not fit to scores {scores.shape}")
    size = min(size, each * classes) if pad_per_class else size
    shape = (len(boxes), size)
    out = CombinedNonMaxSuppression(
        np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32),
        np.zeros(len(boxes), np.int32),
    )  # fmt: skip
    for i in range(len(boxes)):
        found = []
        for c in range(classes):
            of_class = boxes[i, :, min(c, boxes.shape[2] - 1)]
            kept = np.asarray(non_max_suppression(of_class, scores[i, :, c], each, iou_threshold, score_threshold))
            found += [(scores[i, k, c], c, of_class[k]) for k in kept]
        found = sorted(found, key=lambda f: -f[0])[:size]
        out.valid_detections[i] = len(found)
        for place, (score, c, box) in enumerate(found):
            out.nmsed_boxes[i, place] = np.clip(box, 0, 1) if clip_boxes else box
            out.nmsed_scores[i, place], out.nmsed_classes[i, place] = score, c
    return CombinedNonMaxSuppression(*map(Tensor, out))


tell(globals())
