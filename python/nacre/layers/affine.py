"""Affine maps of images: every output pixel looks up a place in the input, between pixels if need be."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.core.tensor import Tensor
from nacre.ops.image.warping import warped

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
    n, h, w, _ = images.shape
    ys, xs = np.meshgrid(np.arange(h, dtype=images.dtype), np.arange(w, dtype=images.dtype), indexing="ij")
    grid = Tensor(np.stack([xs.ravel(), ys.ravel(), np.ones(h * w, xs.dtype)]))  # (3, H W)
    places = ops.matmul(ops.reshape(matrices, (n, 2, 3)), grid)  # (N, 2, H W)
    columns, rows = (ops.reshape(places[:, i], (n, h, w)) for i in range(2))
    return warped(images, rows, columns, 0 if interpolation == "nearest" else 1, fill_mode, fill_value)
