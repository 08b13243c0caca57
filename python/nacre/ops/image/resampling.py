"""Images of other sizes. Each output row (and column) is a weighted mean of input rows; the weights are known when the
size is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core.spec import is_float
from nacre.core.tensor import Tensor
from nacre.ops.base import composed, public, scalar, stand_ins, value
from nacre.ops.convolution import numbers
from nacre.ops.elementwise import Cast, Clip, Round, cast_to, floating
from nacre.ops.gather import Take
from nacre.ops.image.layout import Batch
from nacre.ops.image.patches import placed_in
from nacre.ops.movement import axis_back, axis_last, reshaped, slice_axis
from nacre.ops.products import multiply_matrices

Array = np.ndarray[Any, Any]


def _triangle(d: Array) -> Array:
    return np.maximum(0.0, 1.0 - np.abs(d))


def _cubic(d: Array) -> Array:
    """The cubic of Keys (1981) with a = -1/2."""
    d = np.abs(d)
    near = ((1.5 * d - 2.5) * d) * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


def _lanczos(radius: int) -> Callable[[Array], Array]:
    return lambda d: np.where(np.abs(d) < radius, np.sinc(d) * np.sinc(d / radius), 0.0)


_KERNELS: dict[str, Callable[[Array], Array]] = {
    "linear": _triangle,
    "bilinear": _triangle,
    "trilinear": _triangle,
    "triangle": _triangle,
    "cubic": _cubic,
    "bicubic": _cubic,
    "tricubic": _cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}


def weights(n: int, out: int, kernel: str, antialias: bool, scale: float, shift: float = 0.0) -> Array:
    """(n, out): how much of each input place every output place takes. Columns sum to one, or are 0 outside the
    input.
    """
    step = 1.0 / scale
    wide = max(step, 1.0) if antialias else 1.0
    centre = (np.arange(out) + 0.5) * step - shift * step - 0.5
    w = _KERNELS[kernel]((centre[None, :] - np.arange(n)[:, None]) / wide)
    total = w.sum(0, keepdims=True)
    w = np.where(np.abs(total) > 1000 * np.finfo(np.float32).eps, w / np.where(total == 0, 1, total), 0.0)
    inside = (centre >= -0.5) & (centre <= n - 0.5)
    return np.where(inside[None, :], w, 0.0)


def _weighted(x: Any, axis: int, w: Array) -> Any:
    """`x` with `axis` (n) replaced by weighted means of it: w (n, out)."""
    last = axis_last(x, axis)
    rows = reshaped(last, (last.size // w.shape[0] if w.shape[0] else 0, w.shape[0]))
    y = multiply_matrices(rows, Tensor(w.astype(x.dtype)))
    return axis_back(reshaped(y, (*last.shape[:-1], w.shape[1])), axis)


def _nearest(x: Any, axis: int, out: int) -> Any:
    n = x.shape[axis]
    places = np.minimum(np.floor((np.arange(out) + 0.5) * n / max(out, 1)), max(n - 1, 0)).astype(np.int32)
    return Take(axis)(x, Tensor(places))


def _as_dtype(y: Any, dtype: str) -> Any:
    """`y` as the images' dtype; whole numbers are rounded, not cut."""
    if y.dtype == dtype:
        return y
    if is_float(dtype):
        return Cast(dtype)(y)
    y = Round()(y)
    if dtype == "uint8":
        y = Clip()(y, scalar(0.0, y.dtype), scalar(255.0, y.dtype))
    return Cast(dtype)(y)


_RESIZES = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")


@public
@composed
def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Any:
    """Images scaled to `size` (height, width).

    `interpolation` is "nearest", "bilinear", "bicubic", "lanczos3" or "lanczos5"; with `antialias` the window widens
    when an image shrinks. The shape of the content is kept by cropping (`crop_to_aspect_ratio`) or by padding with
    `fill_value` (`pad_to_aspect_ratio`).

    >>> resize(np.zeros((4, 4, 3), "float32"), (2, 8)).shape
    (2, 8, 3)
    """
    name = str(interpolation).lower()
    if name not in _RESIZES:
        raise ValueError(f"resize: expected interpolation to be one of {list(_RESIZES)}, got {interpolation!r}")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be True")
    if fill_mode != "constant":
        raise ValueError(f"resize: expected fill_mode to be 'constant', got {fill_mode!r}")
    if isinstance(size, (tuple, list)) and len(size) == 2 and min(size) < 1:
        raise ValueError(f"resize: `size` must have positive height and width. Received: size={size}")
    height, width = numbers(size, 2, "resize", "size")
    batch = Batch(images, data_format, "resize")
    x = batch.x
    dtype = x.dtype
    if crop_to_aspect_ratio:
        x = _cropped(x, height, width)
    elif pad_to_aspect_ratio:
        x = _padded(x, height, width, fill_value)
    if name == "nearest":
        return batch.back(_nearest(_nearest(x, 1, height), 2, width))
    y = floating(x)
    for axis, out in ((1, height), (2, width)):
        n = y.shape[axis]
        if n == 0:
            raise ValueError(f"resize: images of shape {x.shape} have no pixels")
        if out != n:
            y = _weighted(y, axis, weights(n, out, name, antialias, out / n))
    return batch.back(_as_dtype(y, dtype))


def _cropped(x: Any, height: int, width: int) -> Any:
    _, h, w, _ = x.shape
    new_h, new_w = min(h, int(w * height / width)), min(w, int(h * width / height))
    top, left = int((h - new_h) / 2), int((w - new_w) / 2)
    return slice_axis(slice_axis(x, 1, top, top + new_h), 2, left, left + new_w)


def _padded(x: Any, height: int, width: int, fill: float) -> Any:
    _, h, w, _ = x.shape
    new_h, new_w = max(h, int(w * height / width)), max(w, int(h * width / height))
    top, left = int((new_h - h) / 2), int((new_w - w) / 2)
    return placed_in(x, top, top, left, left, fill)


@public
@composed
def scale_and_translate(
    images: Any, output_shape: Any, scale: Any, translation: Any, spatial_dims: Any, method: str, antialias: bool = True
) -> Any:
    """A tensor sampled along `spatial_dims`: output place o shows input place (o + 0.5 - translation) / scale - 0.5.

    `output_shape` has as many axes as `images`; what lies outside is 0.
    """
    if method not in _KERNELS:
        raise ValueError(f"scale_and_translate: expected method to be one of {sorted(_KERNELS)}, got {method!r}")
    given = value(images)
    x = floating(given)
    shape, scale, translation = tuple(output_shape), value(scale), value(translation)
    dims = [int(d) for d in np.reshape(spatial_dims, -1)]
    if len(shape) != len(x.shape) or not len(dims) == scale.size == translation.size:
        raise ValueError(
            f"scale_and_translate: expected an output shape of {len(x.shape)} axes and a scale and translation for "
            f"each of {len(dims)} spatial axes, got {shape}, {scale!r} and {translation!r}"
        )
    shape = tuple(n if d is None else int(d) for d, n in zip(shape, x.shape))
    if unknown := stand_ins([scale, translation], (shape, x.dtype)):
        return unknown[0]
    factors, shifts = (np.asarray(v, np.float64).reshape(-1) for v in (scale, translation))
    for axis, factor, shift in zip(dims, factors, shifts):
        x = _weighted(x, axis % len(shape), weights(x.shape[axis], shape[axis], method, antialias, factor, shift))
    return cast_to(x, given.dtype) if is_float(given.dtype) else x
