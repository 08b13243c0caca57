"""Images pulled about at random. It stands here, because drawing numbers is above the ops."""

from __future__ import annotations

from typing import Any

from nacre.ops.base import public, scalar
from nacre.ops.image.layout import Batch
from nacre.ops.image.warping import check_warp, displaced
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
    order = check_warp(interpolation, fill_mode, "elastic_transform")
    batch = Batch(images, data_format, "elastic_transform")
    size = max(int(6 * sigma) | 1, 3)
    field = uniform((*batch.x.shape[:3], 2), -1.0, 1.0, seed=seed)
    strength = scalar(float(alpha), field.dtype)
    y = displaced(batch.x, field, strength, (sigma, sigma), size, order, fill_mode, float(fill_value))
    return batch.back(y)
