"""Affine maps of images: every output pixel looks up a place in the input, between pixels if need be."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.core.tensor import Tensor

FILL_MODES = ("constant", "nearest", "wrap", "reflect")


def affine_images(
    images: Any, matrices: Any, interpolation: str = "bilinear", fill_mode: str = "reflect", fill_value: float = 0.0
) -> Any:
    """Images (N, H, W, C) seen through one map each: (N, H, W, C).

    Args:
        matrices: (N, 6), rows `a0 a1 a2 b0 b1 b2`: output pixel (x, y) shows input place (a0 x + a1 y + a2, b0 x + b1
            y + b2).
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: what lies outside: `"constant"` (fill_value), `"nearest"`, `"wrap"` or `"reflect"` (edge pixels
            repeated).
    """
    n, h, w, c = images.shape
    ys, xs = np.meshgrid(np.arange(h, dtype=images.dtype), np.arange(w, dtype=images.dtype), indexing="ij")
    grid = Tensor(np.stack([xs.ravel(), ys.ravel(), np.ones(h * w, xs.dtype)]))  # (3, H W)
    places = ops.matmul(ops.reshape(matrices, (n, 2, 3)), grid)  # (N, 2, H W)
    x, y = places[:, 0], places[:, 1]
    if fill_mode == "reflect":
        x, y = _reflect(x, w), _reflect(y, h)
    flat = ops.reshape(images, (n * h * w, c))
    first = Tensor(np.arange(n, dtype=np.int32)[:, None] * (h * w))

    def pixels(row: Any, column: Any) -> Any:
        """The values at whole places (N, H W), as (N, H W, C)."""
        inside = None
        if fill_mode == "constant":
            inside = ops.logical_and(
                ops.logical_and(row >= 0.0, row <= h - 1.0), ops.logical_and(column >= 0.0, column <= w - 1.0)
            )
        if fill_mode == "wrap":
            row, column = row - ops.floor(row / float(h)) * float(h), column - ops.floor(column / float(w)) * float(w)
        row, column = ops.clip(row, 0.0, h - 1.0), ops.clip(column, 0.0, w - 1.0)
        index = first + ops.cast(row, "int32") * w + ops.cast(column, "int32")
        values = ops.take(flat, index, axis=0)
        if inside is None:
            return values
        return ops.where(ops.expand_dims(inside, -1), values, ops.full_like(values, fill_value))

    if interpolation == "nearest":
        out = pixels(ops.round(y), ops.round(x))
    else:
        top, left = ops.floor(y), ops.floor(x)
        down, right = ops.expand_dims(y - top, -1), ops.expand_dims(x - left, -1)
        upper = pixels(top, left) * (1.0 - right) + pixels(top, left + 1.0) * right
        lower = pixels(top + 1.0, left) * (1.0 - right) + pixels(top + 1.0, left + 1.0) * right
        out = upper * (1.0 - down) + lower * down
    return ops.reshape(out, (n, h, w, c))


def _reflect(place: Any, size: int) -> Any:
    """Places brought inside as in `d c b a | a b c d | d c b a`: mirrored half a pixel outside."""
    period = 2.0 * size
    place = place + 0.5
    place = place - ops.floor(place / period) * period
    place = ops.minimum(place, period - place)
    return ops.clip(place - 0.5, 0.0, size - 1.0)
