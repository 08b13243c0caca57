"""Connectionist temporal classification: labels in order, without their places."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.core.errors import tell
from nacre.losses.loss import LossFunctionWrapper


def ctc(y_true: Any, y_pred: Any) -> Any:
    """-log of the probability of each label sequence: `y_true` (N, L) ints, 0 for none; `y_pred` (N, T, C) logits ->
    (N,).

    Class 0 is the blank. Raises ValueError for other ranks.
    """
    if len(y_true.shape) != 2:
        raise ValueError(
            "Targets `y_true` are expected to be a tensor of shape `(batch_size, max_length)` in integer format. "
            f"Received: y_true.shape={tuple(y_true.shape)}"
        )
    if len(y_pred.shape) != 3:
        raise ValueError(
            "Logits `y_pred` are expected to be a tensor of shape `(batch_size, max_length, num_classes)`. Received: "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )
    labels = ops.cast(y_true, "int32")
    lengths = ops.sum(ops.cast(ops.not_equal(labels, 0), "int32"), axis=-1)
    steps = np.full((y_pred.shape[0],), y_pred.shape[1], np.int32)
    return ops.ctc_loss(labels, y_pred, lengths, steps, mask_index=0)


class CTC(LossFunctionWrapper):
    """`ctc` of sequences: for text in pictures, and speech."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "ctc", dtype: Any = None
    ) -> None:
        super().__init__(ctc, reduction=reduction, name=name, dtype=dtype)


tell(globals())
