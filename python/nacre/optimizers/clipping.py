"""Gradients that are too long, shortened."""

from __future__ import annotations

from typing import Any

from nacre import ops


def _safe_sqrt(x: Any) -> Any:
    positive = x > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, x, ops.ones_like(x))), x)


def clip_by_norm(gradient: Any, limit: float) -> Any:
    """`gradient`, shortened to length `limit` if it is longer."""
    norm = _safe_sqrt(ops.sum(ops.square(gradient)))
    return gradient * limit / ops.maximum(norm, limit)


def clip_by_global_norm(gradients: list[Any], limit: float) -> list[Any]:
    """All gradients, scaled so that together they are at most `limit` long."""
    total = ops.sum(ops.square(gradients[0]))
    for g in gradients[1:]:
        total = total + ops.sum(ops.square(g))
    norm = ops.sqrt(total)
    scale = limit * ops.minimum(1.0 / norm, 1.0 / limit)
    # An infinite norm gives NaN everywhere, as it should: the step is lost.
    scale = scale + (norm - norm)
    return [g * scale for g in gradients]
