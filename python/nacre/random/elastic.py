"""Images pulled about at random. It stands here, because drawing numbers is above the ops."""

from __future__ import annotations

from typing import Any

from nacre.ops.base import public, scalar
from nacre.ops.elementwise import Add, Mul
from nacre.ops.image.filters import gaussian_blur
from nacre.ops.image.layout import Batch
from nacre.ops.image.warping import _check, _grid, _rounded, _warped
from nacre.ops.movement import reshaped, slice_axis
from nacre.random.draws import uniform


@public
def elastic_transform(
    images: Any,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Any:
    """Images pulled about at random: each pixel reads at up to `alpha` pixels away, smoothly over `sigma` pixels."""
    order = _check(interpolation, fill_mode, "elastic_transform")
    batch = Batch(images, data_format, "elastic_transform")
    n, h, w, _ = batch.x.shape
    size = max(int(6 * sigma) | 1, 3)
    noise = uniform((n, h, w, 2), -1.0, 1.0, seed=seed)
    smooth = Mul()(
        gaussian_blur(noise, (size, size), (sigma, sigma), "channels_last"), scalar(float(alpha), noise.dtype)
    )
    rows, columns = _grid(h, w, noise.dtype)
    rows = Add()(rows, reshaped(slice_axis(smooth, 3, 0, 1), (n, h, w)))
    columns = Add()(columns, reshaped(slice_axis(smooth, 3, 1, 2), (n, h, w)))
    y = _warped(batch.x, rows, columns, order, fill_mode, float(fill_value))
    return batch.back(_rounded(y, batch.x.dtype))
