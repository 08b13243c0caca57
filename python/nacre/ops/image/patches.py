"""Parts of images: cut out, padded, and taken apart into patches."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.config import standardize_data_format
from nacre.ops.base import public, value
from nacre.ops.convolution import channels_back, channels_last, numbers, padding_name, same_padding, window_count
from nacre.ops.image.layout import Batch
from nacre.ops.movement import Concat, Pad, Slice, reshaped, slice_axis


def placed_in(x: Any, top: int, bottom: int, left: int, right: int, fill: float = 0.0) -> Any:
    """(N, H, W, C) with a border."""
    widths = ((0, 0), (top, bottom), (left, right), (0, 0))
    return x if all(w == (0, 0) for w in widths) else Pad(widths, float(fill))(x)


def _taps(x: Any, size: tuple[int, ...], steps: tuple[int, ...], gaps: tuple[int, ...], padding: str, name: str) -> Any:
    """(N, spatial..., C) as (N, windows..., elements of a window * C)."""
    spatial = len(size)
    if padding_name(padding, name) == "same":
        pads = [same_padding(n, k, s, g) for n, k, s, g in zip(x.shape[1:-1], size, steps, gaps)]
        if any(p != (0, 0) for p in pads):
            x = Pad(((0, 0), *pads, (0, 0)))(x)
    n, *extents, channels = x.shape
    out = tuple(window_count(d, k, s, g) for d, k, s, g in zip(extents, size, steps, gaps))
    parts = []
    for tap in np.ndindex(*size):
        start = (0, *(t * g for t, g in zip(tap, gaps)), 0)
        parts.append(Slice(start, (n, *out, channels), (1, *steps, 1))(x))
    return parts[0] if len(parts) == 1 else Concat(spatial + 1)(*parts)


@public
def extract_patches(
    images: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Every window of `size` (height, width) as one pixel: (N, OH, OW, height * width * C).

    Windows stand every `strides`, side by side by default.

    >>> extract_patches(np.zeros((1, 4, 4, 3), "float32"), 2).shape
    (1, 2, 2, 12)
    """
    if not isinstance(size, (int, np.integer, tuple, list)):
        raise TypeError(f"Invalid `size` argument. Expected an int or a tuple of length 2 or 3. Received: size={size}")
    if isinstance(size, (tuple, list)) and len(size) not in (2, 3):
        raise ValueError(f"Invalid `size` argument. Expected a tuple of length 2 or 3. Received: size={size}")
    if isinstance(size, (tuple, list)) and len(size) == 3:
        return extract_patches_3d(images, size, strides, dilation_rate, padding, data_format)
    window = numbers(size, 2, "extract_patches", "size")
    steps = window if strides is None else numbers(strides, 2, "extract_patches", "strides")
    gaps = numbers(dilation_rate, 2, "extract_patches", "dilation_rate")
    batch = Batch(images, data_format, "extract_patches")
    return batch.back(_taps(batch.x, window, steps, gaps, padding, "extract_patches"))


@public
def extract_patches_3d(
    volumes: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """`extract_patches` over depth, height and width of volumes (D, H, W, C) or (N, D, H, W, C)."""
    if not isinstance(size, (int, np.integer)) and (not isinstance(size, (tuple, list)) or len(size) != 3):
        raise TypeError(f"Invalid `size` argument. Expected an int or a tuple of length 3. Received: size={size}")
    window = numbers(size, 3, "extract_patches_3d", "size")
    steps = window if strides is None else numbers(strides, 3, "extract_patches_3d", "strides")
    gaps = numbers(dilation_rate, 3, "extract_patches_3d", "dilation_rate")
    x = value(volumes)
    if len(x.shape) not in (4, 5):
        raise ValueError(f"extract_patches_3d: expected a volume of rank 4 or a batch of rank 5, got shape {x.shape}")
    layout = standardize_data_format(data_format)
    single = len(x.shape) == 4
    x = channels_last(reshaped(x, (1, *x.shape)) if single else x, layout)
    y = channels_back(_taps(x, window, steps, gaps, padding, "extract_patches_3d"), layout)
    return reshaped(y, y.shape[1:]) if single else y


def _border(first: Any, last: Any, extent: int, target: Any, grows: bool, name: str, what: str) -> tuple[int, int]:
    """The two widths of a border along an axis, one of which may follow from the target size."""
    ends = ("top", "bottom") if what == "height" else ("left", "right")
    names = [f"{end}_{'padding' if grows else 'cropping'}" for end in ends]
    given = [v for v in (first, last, target) if v is not None]
    if len(given) != 2:
        raise ValueError(
            f"{name}: Must specify exactly two of {names[0]}, {names[1]}, target_{what}. Received: {names[0]}={first}, "
            f"{names[1]}={last}, target_{what}={target}"
        )
    if target is not None and target < 0:
        raise ValueError(f"{name}: target_{what} must be >= 0. Received: target_{what}={target}")
    change = None if target is None else (target - extent if grows else extent - target)
    widths = (change - last if first is None else first, change - first if last is None else last)
    for border, width in zip(names, widths):
        if width < 0:
            raise ValueError(f"{name}: {border} must be >= 0. Received: {border}={width} for a {what} of {extent}")
    first, last = widths
    if not grows and first + last >= max(extent, 1):
        raise ValueError(f"{name}: borders of {first} and {last} do not fit a {what} of {extent}")
    return int(first), int(last)


@public
def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images with rows and columns of zeros around them; two of border, border and target size along each axis are
    given.
    """
    batch = Batch(images, data_format, "pad_images")
    _, h, w, _ = batch.x.shape
    top, bottom = _border(top_padding, bottom_padding, h, target_height, True, "pad_images", "height")
    left, right = _border(left_padding, right_padding, w, target_width, True, "pad_images", "width")
    return batch.back(placed_in(batch.x, top, bottom, left, right))


@public
def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images without rows and columns at their borders; two of border, border and target size along each axis are
    given.
    """
    batch = Batch(images, data_format, "crop_images")
    _, h, w, _ = batch.x.shape
    top, bottom = _border(top_cropping, bottom_cropping, h, target_height, False, "crop_images", "height")
    left, right = _border(left_cropping, right_cropping, w, target_width, False, "crop_images", "width")
    return batch.back(slice_axis(slice_axis(batch.x, 1, top, h - bottom), 2, left, w - right))
