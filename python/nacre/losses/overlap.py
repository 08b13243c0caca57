"""Losses over sets and pairs: Dice, Tversky, Circle."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import config
from nacre.core.errors import tell
from nacre.losses.loss import LossFunctionWrapper, convert_pair


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """1 - 2 * |A and B| / (|A| + |B|), sums over `axis` (all axes for None)."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    both = ops.sum(y_true * y_pred, axis=axis)
    return 1.0 - 2.0 * both / (ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis) + config.epsilon())


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Any:
    """1 - hits / (hits + alpha * misses + beta * false alarms), sums over `axis` (all axes for None)."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    hits = ops.sum(y_true * y_pred, axis=axis)
    missed = ops.sum(y_true * (1.0 - y_pred), axis=axis)
    false = ops.sum((1.0 - y_true) * y_pred, axis=axis)
    return 1.0 - hits / (hits + alpha * missed + beta * false + config.epsilon())


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """Circle loss of embeddings (batch, d) of length one with class labels (batch,) -> (batch,); see Sun et al. 2020.

    Every embedding is compared with all `ref_embeddings` (itself not, with `remove_diagonal`; the batch is the
    default).
    """
    y_pred = ops.convert_to_tensor(y_pred)
    labels = ops.reshape(ops.cast(y_true, "int32"), (-1, 1))
    others = y_pred if ref_embeddings is None else ops.cast(ref_embeddings, y_pred.dtype)
    other_labels = labels if ref_labels is None else ops.reshape(ops.cast(ref_labels, "int32"), (-1, 1))
    similarity = ops.minimum(ops.matmul(y_pred, ops.transpose(others)), 1.0)  # more is a rounding
    same = ops.equal(labels, ops.transpose(other_labels))
    different = ops.logical_not(same)
    if remove_diagonal:
        same = ops.logical_and(same, ops.logical_not(ops.cast(ops.eye(*similarity.shape), "bool")))
    # Weighted by how far a similarity still is from its optimum. Gradients reach these weights, unlike in the paper.
    pull = -gamma * ops.relu(1.0 + margin - similarity) * (similarity - (1.0 - margin))
    push = gamma * ops.relu(similarity + margin) * (similarity - margin)
    found = ops.softplus(_masked_logsumexp(pull, same) + _masked_logsumexp(push, different))
    found._keras_mask = ops.any(same, axis=-1)  # a sample alone in its class does not count
    return found


def _masked_logsumexp(x: Any, mask: Any) -> Any:
    """log of the sum over the last axis of exp(x) where `mask`; a large negative number for no entry."""
    return ops.logsumexp(ops.where(mask, x, ops.full_like(x, -1e9)), axis=-1)


class Dice(LossFunctionWrapper):
    """1 - the Dice coefficient."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dice, reduction=reduction, name=name, dtype=dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """1 - the Tversky index; `alpha` weighs misses, `beta` false alarms."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(tversky, reduction=reduction, name=name, dtype=dtype, alpha=alpha, beta=beta, axis=axis)


class Circle(LossFunctionWrapper):
    """Circle loss of normalized embeddings; `y_true` holds class numbers."""

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            circle,
            reduction=reduction,
            name=name,
            dtype=dtype,
            gamma=gamma,
            margin=margin,
            remove_diagonal=remove_diagonal,
        )


tell(globals())
