"""Resizing images as two matrix products, one per axis: every interpolation is a linear map along an axis."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.tensor import Tensor

Array = Any  # np.ndarray of floats
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area")


def _triangle(x: Array) -> Array:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: Array) -> Array:
    """Keys' cubic with a = -0.5 (Keys 1981)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: Array, radius: int) -> Array:
    return np.where(np.abs(x) < radius, np.sinc(x) * np.sinc(x / radius), 0.0)


_KERNELS: dict[str, Any] = {
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos3": functools.partial(_lanczos, radius=3),
    "lanczos5": functools.partial(_lanczos, radius=5),
}


@functools.lru_cache(maxsize=256)
def resize_matrix(n: int, out: int, interpolation: str, antialias: bool) -> Array:
    """The matrix (out, n) that resizes an axis, half-pixel centres; rows sum to one."""
    scale = n / out
    if interpolation == "nearest":
        at = np.minimum(np.floor((np.arange(out) + 0.5) * scale).astype(np.int64), n - 1)
        return np.eye(n)[at]
    if interpolation == "area":
        edges = np.arange(out + 1) * scale
        lower = np.maximum(edges[:-1, None], np.arange(n))
        upper = np.minimum(edges[1:, None], np.arange(1, n + 1))
        weights = np.maximum(upper - lower, 0.0)
        return weights / weights.sum(1, keepdims=True)
    stretch = max(scale, 1.0) if antialias else 1.0
    centres = (np.arange(out) + 0.5) * scale - 0.5
    weights = _KERNELS[interpolation]((centres[:, None] - np.arange(n)) / stretch)
    total = weights.sum(1, keepdims=True)
    weights = np.where(np.abs(total) > 1e-12, weights / np.where(total == 0, 1, total), 0.0)
    inside = (centres >= -0.5) & (centres <= n - 0.5)
    return np.where(inside[:, None], weights, 0.0)


def resize_images(
    images: Any,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    data_format: str = "channels_last",
    antialias: bool = False,
) -> Any:
    """Images (..., H, W, C) resized to `size`; (..., C, H, W) for channels_first.

    Args:
        size: (OH, OW).
        interpolation: one of INTERPOLATIONS.
        antialias: whether filters widen when shrinking.
    """
    rank = len(images.shape)
    row = rank - 3 if data_format == "channels_last" else rank - 2
    for axis, out in ((row, size[0]), (row + 1, size[1])):
        n = images.shape[axis]
        if n == out:
            continue
        if interpolation == "nearest":
            at = np.minimum(np.floor((np.arange(out) + 0.5) * (n / out)).astype(np.int32), n - 1)
            images = ops.take(images, Tensor(at), axis=axis)
            continue
        matrix = resize_matrix(n, out, interpolation, antialias).astype(images.dtype)
        images = apply_matrix(images, matrix, axis)
    return images


def apply_matrix(x: Any, matrix: Array, axis: int) -> Any:
    """`x` with `matrix` (out, n) applied along `axis` of size n."""
    shape = x.shape
    before = int(np.prod(shape[:axis], dtype=np.int64))
    after = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    out = matrix.shape[0]
    product = ops.matmul(Tensor(np.ascontiguousarray(matrix)), ops.reshape(x, (before, shape[axis], after)))
    return ops.reshape(product, (*shape[:axis], out, *shape[axis + 1 :]))
