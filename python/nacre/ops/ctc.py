"""Connectionist temporal classification (Graves et al. 2006): the probability of a label sequence over all its
alignments."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nacre.core.spec import Spec
from nacre.core.tensor import Tensor
from nacre.ops.base import composed, public, scalar, value
from nacre.ops.elementwise import Add, BroadcastTo, Logaddexp, LogicalAnd, Lt, Ne, Neg, Select, Sub, cast_to, floating
from nacre.ops.gather import TakeAlong
from nacre.ops.indexing import as_index
from nacre.ops.linalg import Decomposition
from nacre.ops.movement import Concat, Pad, reshaped, slice_axis
from nacre.ops.probabilities import log_softmax

__all__ = ["ctc_decode", "ctc_loss"]

_NEVER = -1e30  # the logarithm of a probability of 0 that arithmetic survives


@public
@composed
def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Any:
    """-log of the probability of each label sequence: target (B, L) ints, output (B, T, C) logits -> (B,).

    Only the first `target_length` labels and `output_length` steps of each sequence count; class `mask_index` is the
    blank.
    """
    labels, lengths, steps = (as_index(v, "ctc_loss", floats=True) for v in (target, target_length, output_length))
    logits = floating(output)
    if len(labels.shape) != 2 or len(logits.shape) != 3 or labels.shape[0] != logits.shape[0]:
        raise ValueError(
            f"ctc_loss: expected target (B, L) and output (B, T, C), got shapes {labels.shape} and {logits.shape}"
        )
    batch, count = labels.shape
    _, time, classes = logits.shape
    if not -classes <= mask_index < classes:
        raise ValueError(
            f"ctc_loss: expected `mask_index` to be one of the {classes} classes of output {logits.shape}. Received: "
            f"mask_index={mask_index}"
        )
    if lengths.shape != (batch,) or steps.shape != (batch,) or not time:
        raise ValueError(
            f"ctc_loss: expected a target length and an output length for each of {batch} sequences and at least one "
            f"step, got shapes {lengths.shape}, {steps.shape} and {logits.shape}"
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


@public
def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> Any:
    """The likeliest label sequences of logits (B, T, C), ended by -1: labels (paths, B, T), and their scores (B,
    paths).

    Args:
        sequence_lengths: how many steps of each sequence count, (B,).
        strategy: `"greedy"`: the class of each step; scores are minus the sums of their logits, (B, 1). Or
            `"beam_search"`: sequences by the probability of all their alignments; scores are its logarithm, (B,
            top_paths).
        beam_width: how many sequences the search keeps at each step.
        top_paths: how many it returns.
        merge_repeated: whether equal labels in a row, without a blank in between, are one; a beam search always has
            it so.
        mask_index: the blank.
    """
    if strategy not in ("greedy", "beam_search"):
        raise ValueError(f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'.")
    logits, lengths = floating(inputs), cast_to(value(sequence_lengths), "int32")
    if len(logits.shape) != 3 or lengths.shape != logits.shape[:1]:
        raise ValueError(
            "ctc_decode: expected inputs (B, T, C) and a sequence length for each of B, got shapes "
            f"{logits.shape} and {lengths.shape}"
        )
    if strategy == "greedy":
        return CtcDecode(0, 1, bool(merge_repeated), int(mask_index))(logits, lengths)
    if not 0 < top_paths <= beam_width:
        raise ValueError(f"ctc_decode: expected 0 < top_paths <= beam_width, got {top_paths} and {beam_width}")
    return CtcDecode(int(beam_width), int(top_paths), bool(merge_repeated), int(mask_index))(logits, lengths)


class CtcDecode(Decomposition):
    """Label sequences of logits: greedy where `width` is 0, else by a beam search of that width. Runs on NumPy."""

    spoken: ClassVar[str] = "ctc_decode"
    outputs = ("y", "scores")

    width: int
    paths: int
    merge: bool
    blank: int

    def infer(self, logits: Spec, lengths: Spec) -> tuple[Spec, Spec]:
        batch, time, _ = logits.shape
        return Spec((self.paths, batch, time), "int32"), Spec((batch, self.paths), logits.dtype)

    def compute(self, logits: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> Any:
        batch, time, _ = logits.shape
        labels = np.full((self.paths, batch, time), -1, np.int32)
        scores = np.full((batch, self.paths), -np.inf)
        for b, length in enumerate(np.clip(lengths.astype(np.int64), 0, time)):
            found = self._best(logits[b, :length]) if self.width else self._greedy(logits[b, :length])
            for path, (sequence, score) in enumerate(found):
                labels[path, b, : len(sequence)] = sequence
                scores[b, path] = score
        return labels, scores

    def _greedy(self, logits: np.ndarray[Any, Any]) -> list[tuple[Any, float]]:
        classes = logits.argmax(-1) if len(logits) else np.zeros(0, np.int64)
        kept = classes != self.blank
        if self.merge:
            kept[1:] &= classes[1:] != classes[:-1]
        return [(classes[kept], -float(logits.max(-1).sum()) if len(logits) else 0.0)]

    def _best(self, logits: np.ndarray[Any, Any]) -> list[tuple[Any, float]]:
        """The sequences of the `paths` highest probabilities (Graves 2012, section 7.5), and their logarithms."""
        top = logits.max(-1, keepdims=True)
        log_p = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
        # Of each sequence that is kept: the logarithm of the probability of alignments that end in a blank, and in a
        # label.
        kept: list[tuple[int, ...]] = [()]
        in_blank, in_label = np.zeros(1), np.full(1, -np.inf)
        for p in log_p:
            n, last = len(kept), np.array([s[-1] if s else -1 for s in kept])
            total = np.logaddexp(in_blank, in_label)
            longer = total[:, None] + p
            # A label again is the same one, unless a blank stood in between.
            stays = np.full(n, -np.inf)
            labelled = np.flatnonzero(last >= 0)
            stays[labelled] = in_label[labelled] + p[last[labelled]]
            longer[labelled, last[labelled]] = in_blank[labelled] + p[last[labelled]]
            longer[:, self.blank] = -np.inf
            place = {s: i for i, s in enumerate(kept)}
            for j, s in enumerate(kept):  # a longer sequence that is kept already
                i = place.get(s[:-1]) if s else None
                if i is not None:
                    stays[j] = np.logaddexp(stays[j], longer[i, s[-1]])
                    longer[i, s[-1]] = -np.inf
            rests = total + p[self.blank]
            every = np.concatenate([np.logaddexp(rests, stays), longer.ravel()])
            best = np.argsort(-every, kind="stable")[: self.width]
            best = best[every[best] > -np.inf]
            classes = len(p)
            grown = [divmod(k - n, classes) for k in best.tolist() if k >= n]
            old = best[best < n]
            kept = [kept[k] for k in old.tolist()] + [(*kept[i], c) for i, c in grown]
            in_blank = np.concatenate([rests[old], np.full(len(grown), -np.inf)])
            in_label = np.concatenate([stays[old], np.array([longer[i, c] for i, c in grown])])
        total = np.logaddexp(in_blank, in_label)
        order = np.argsort(-total, kind="stable")[: self.paths]
        return [(kept[k], float(total[k])) for k in order.tolist()]
