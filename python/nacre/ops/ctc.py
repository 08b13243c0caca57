"""Connectionist temporal classification (Graves et al. 2006): the probability of a label sequence over all its alignments."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.tensor import Tensor
from nacre.ops.base import public, scalar
from nacre.ops.elementwise import Add, BroadcastTo, Logaddexp, LogicalAnd, Lt, Ne, Neg, Select, Sub, floating
from nacre.ops.gather import TakeAlong
from nacre.ops.indexing import as_index
from nacre.ops.movement import Concat, Pad, reshaped, slice_axis
from nacre.ops.probabilities import log_softmax

__all__ = ["ctc_loss"]

_NEVER = -1e30  # the logarithm of a probability of 0 that arithmetic survives


@public
def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Any:
    """-log of the probability of each label sequence: target (B, L) ints, output (B, T, C) logits -> (B,).

    Only the first `target_length` labels and `output_length` steps of each sequence count; class `mask_index` is the blank.
    """
    labels, lengths, steps = (as_index(v, "ctc_loss") for v in (target, target_length, output_length))
    logits = floating(output)
    if len(labels.shape) != 2 or len(logits.shape) != 3 or labels.shape[0] != logits.shape[0]:
        raise ValueError(
            f"ctc_loss: expected target (B, L) and output (B, T, C), got shapes {labels.shape} and {logits.shape}"
        )
    batch, count = labels.shape
    _, time, _ = logits.shape
    if lengths.shape != (batch,) or steps.shape != (batch,) or not time:
        raise ValueError(
            f"ctc_loss: expected a target length and an output length for each of {batch} sequences and at least one step, "
            f"got shapes {lengths.shape}, {steps.shape} and {logits.shape}"
        )
    size = 2 * count + 1
    blank = scalar(mask_index, labels.dtype)
    # blank, first label, blank, second label, ..., blank
    labels = reshaped(labels, (batch, count, 1))
    pairs = reshaped(Concat(2)(BroadcastTo(labels.shape)(blank), labels), (batch, 2 * count))
    states = Concat(1)(pairs, BroadcastTo((batch, 1))(blank))
    earlier = slice_axis(Pad(((0, 0), (2, 0)), float(mask_index))(states), 1, 0, size)
    label = Tensor(np.arange(size).reshape(1, size) % 2 == 1)  # by its place: a blank among the labels is one of them
    may_skip = LogicalAnd()(label, Ne()(states, earlier))
    wide = BroadcastTo((batch, time, size))(reshaped(states, (batch, 1, size)))
    log_p = TakeAlong(2)(log_softmax(logits), wide)
    never = scalar(_NEVER, logits.dtype)

    def at(t: int) -> Any:
        return reshaped(slice_axis(log_p, 1, t, t + 1), (batch, size))

    def moved(alpha: Any, by: int) -> Any:
        return slice_axis(Pad(((0, 0), (by, 0)), _NEVER)(alpha), 1, 0, size)

    place = np.arange(size).reshape(1, size)
    alpha = Select()(Tensor(place < 2), at(0), never)
    for t in range(1, time):
        reached = Logaddexp()(alpha, moved(alpha, 1))
        skipped = Select()(may_skip, moved(alpha, 2), never)
        reached = Add()(Logaddexp()(reached, skipped), at(t))
        running = reshaped(Lt()(scalar(t, steps.dtype), steps), (batch, 1))
        alpha = Select()(running, reached, alpha)
    # A sequence ends in its last label or in the blank behind it.
    last = reshaped(Add()(lengths, lengths), (batch, 1))
    final_blank = TakeAlong(1)(alpha, last)
    before = Sub()(last, scalar(1, last.dtype))
    none = Lt()(before, scalar(0, before.dtype))
    final_label = Select()(none, never, TakeAlong(1)(alpha, Select()(none, last, before)))
    return reshaped(Neg()(Logaddexp()(final_blank, final_label)), (batch,))
