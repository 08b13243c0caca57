"""Counting hits and misses at thresholds: what confusion metrics and curves share."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.core import config
from nacre.losses.loss import convert_pair

_MANY_COMPARISONS = 1 << 14  # of numbers with thresholds: more take longer than sorting the numbers in
NONE_SELECTED = -1e10  # below every prediction: what is not among the top k


def parse_thresholds(thresholds: Any, default: float = 0.5) -> list[float]:
    """A list of thresholds. Raises ValueError for one outside [0, 1]."""
    found = [default if thresholds is None else t for t in _as_list(thresholds)]
    if thresholds is not None:
        wrong = [t for t in found if t is None or not 0 <= t <= 1]
        if wrong:
            raise ValueError(f"Threshold values must be in [0, 1]. Received: {wrong}")
    return [float(t) for t in found]


def _as_list(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple, np.ndarray)) else [x]


def check_few(n: int) -> None:
    """Raises ValueError for a number of thresholds that nobody can mean."""
    if n > 1 << 24:
        raise ValueError(f"Argument `num_thresholds` must be at most {1 << 24}. Received: num_thresholds={n}")


def even_thresholds(n: int) -> list[float]:
    """`n` thresholds over [0, 1], the outer two just beyond so that every prediction lies between."""
    if n <= 1:
        raise ValueError(f"Argument `num_thresholds` must be an integer > 1. Received: num_thresholds={n}")
    check_few(n)
    inner = [(i + 1) / (n - 1) for i in range(n - 2)]
    return [0.0 - config.epsilon(), *inner, 1.0 + config.epsilon()]


def select(y_true: Any, y_pred: Any, top_k: int | None, class_id: int | None) -> tuple[Any, Any]:
    """Both as floats; what is not among the `top_k` is never predicted; only `class_id` is kept."""
    y_true, y_pred = convert_pair(y_true, y_pred)
    if top_k is not None:
        _, best = ops.top_k(y_pred, k=top_k, sorted=False)
        chosen = ops.sum(ops.one_hot(best, y_pred.shape[-1], dtype=y_pred.dtype), axis=-2)
        y_pred = y_pred * chosen + NONE_SELECTED * (1.0 - chosen)
    if class_id is not None:
        if len(y_pred.shape) == 1:
            raise ValueError(
                "When class_id is provided, y_pred must be a 2D array with shape (num_samples, num_classes), found "
                f"shape: {tuple(y_pred.shape)}"
            )
        if not -y_pred.shape[-1] <= class_id < y_pred.shape[-1]:
            raise ValueError(f"class_id={class_id} is outside of the {y_pred.shape[-1]} classes of y_pred")
        y_true, y_pred = y_true[..., class_id], y_pred[..., class_id]
    return y_true, y_pred


def count_at(
    y_true: Any,
    y_pred: Any,
    thresholds: list[float],
    sample_weight: Any,
    columns: bool = False,
    label_weights: Any = None,
) -> tuple[Any, Any, Any, Any]:
    """(Weighted) true positives, false positives, true negatives, false negatives at each threshold: four (T,) tensors.

    With `columns`, y_true and y_pred (batch, labels) are counted per label: four (T, labels) tensors.
    """
    dtype = y_pred.dtype
    weight = _weights_like(sample_weight, y_pred, dtype)
    if label_weights is not None and not columns:
        per_label = ops.broadcast_to(ops.cast(label_weights, dtype), y_pred.shape)
        weight = per_label if weight is None else weight * per_label
    if columns:
        y_true, y_pred = (ops.reshape(y, (-1, y.shape[-1])) for y in (y_true, y_pred))
    else:
        y_true, y_pred = (ops.reshape(y, (-1, 1)) for y in (y_true, y_pred))
    positive = ops.cast(ops.cast(y_true, "bool"), dtype)
    negative = 1.0 - positive
    if weight is not None:
        weight = ops.reshape(weight, y_pred.shape)
        positive, negative = positive * weight, negative * weight
    limits = np.asarray(thresholds, np.float32)
    if len(limits) * y_pred.shape[0] >= _MANY_COMPARISONS and dtype == "float32" and np.all(np.diff(limits) >= 0):
        true_positive, false_positive = (_beyond(y_pred, limits, w) for w in (positive, negative))
    else:
        # (T, batch, labels); T is small, or the batch is.
        wide = ops.cast(ops.reshape(ops.convert_to_tensor(limits), (-1, 1, 1)), dtype)
        predicted = ops.cast(ops.expand_dims(y_pred, 0) > wide, dtype)
        true_positive, false_positive = (ops.sum(predicted * w, axis=1) for w in (positive, negative))
    true_negative = ops.sum(negative, axis=0) - false_positive
    false_negative = ops.sum(positive, axis=0) - true_positive
    counts = (true_positive, false_positive, true_negative, false_negative)
    if columns:
        return counts
    return tuple(ops.reshape(c, (-1,)) for c in counts)


def _beyond(y: Any, limits: np.ndarray[Any, Any], weights: Any) -> Any:
    """How much weight is beyond each of the ascending limits (T,): (T, labels), of y and weights (batch, labels).

    Each number goes to the last limit below it; from there down all are passed.
    """
    count, labels = len(limits), y.shape[1]
    passed = ops.where(ops.isnan(y), 0, ops.searchsorted(limits, ops.reshape(y, (-1,))).reshape(y.shape))
    place = ops.reshape(passed * labels + np.arange(labels, dtype=np.int32), (-1,))
    sums = ops.segment_sum(ops.reshape(weights, (-1,)), place, (count + 1) * labels)
    by_limit = ops.reshape(sums, (count + 1, labels))[1:]
    return ops.flip(ops.cumsum(ops.flip(by_limit, 0), 0), 0)


def _weights_like(sample_weight: Any, like: Any, dtype: str) -> Any:
    if sample_weight is None:
        return None
    weight = ops.cast(ops.convert_to_tensor(sample_weight), dtype)
    missing = len(like.shape) - len(weight.shape)
    if missing > 0:
        weight = ops.reshape(weight, (*weight.shape, *([1] * missing)))
    elif missing < 0 and weight.shape[-1] == 1:
        weight = ops.squeeze(weight, -1)
    return ops.broadcast_to(weight, like.shape)
