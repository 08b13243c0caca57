"""Losses of sequences whose alignment with their labels is not known."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.losses.loss import LossFunctionWrapper


def ctc(y_true: Any, y_pred: Any) -> Any:
    """Connectionist temporal classification: labels (batch, max_length), logits (batch, time, classes) -> (batch,).

    Class 0 is the blank; zeros among the labels are filling. Raises ValueError for other ranks.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if len(y_true.shape) != 2:
        raise ValueError(
            "Targets `y_true` are expected to be a tensor of shape `(batch_size, max_length)` in integer format. "
            f"Received: y_true.shape={tuple(y_true.shape)}"
        )
    if len(y_pred.shape) != 3:
        raise ValueError(
            "Logits `y_pred` are expected to be a tensor of shape `(batch_size, max_length, num_classes)`. "
            f"Received: y_pred.shape={tuple(y_pred.shape)}"
        )
    labels = ops.cast(y_true, "int32")
    lengths = ops.sum(ops.cast(ops.not_equal(labels, 0), "int32"), axis=-1)
    steps = ops.full((y_pred.shape[0],), y_pred.shape[1], dtype="int32")
    return ops.ctc_loss(labels, y_pred, lengths, steps, mask_index=0)


class CTC(LossFunctionWrapper):
    """Connectionist temporal classification; see `ctc`."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "ctc", dtype: Any = None
    ) -> None:
        super().__init__(ctc, reduction=reduction, name=name, dtype=dtype)
