"""Softmax, its logarithm, and the cross-entropies of Keras, with probabilities or logits."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.config import epsilon
from nacre.core.op import Op
from nacre.core.spec import DTYPE_CODE, Spec, is_float, normalize_axis
from nacre.core.tensor import Tensor
from nacre.ops.base import public, scalar, value
from nacre.ops.elementwise import (
    Add,
    Cast,
    Clip,
    Div,
    Eq,
    Exp,
    Ge,
    Log,
    LogicalAnd,
    Lt,
    Mul,
    Neg,
    Select,
    Softplus,
    StopGradient,
    Sub,
    SumTo,
    floating,
)
from nacre.ops.gather import TakeAlong
from nacre.ops.movement import axis_back, axis_last, reshaped
from nacre.ops.reduction import MaxTo, drop, reduced_shape

__all__ = [
    "binary_crossentropy", "categorical_crossentropy", "log_softmax", "softmax", "sparse_categorical_crossentropy",
]  # fmt: skip


class Softmax(Op):
    """Rows (the last axis) that sum to one. x (M, N) -> y (M, N), float32."""

    def infer(self, x: Spec) -> Spec:
        return x

    def lower(self, k: Any, x: Any, y: Any) -> None:
        k.softmax(dict(M=x.shape[0], N=x.shape[1]), x, y)

    def grad(self, y: Any, dy: Any) -> Any:
        return SoftmaxGradX()(y, dy)


class SoftmaxGradX(Op):
    """The gradient of Softmax's input, from its output."""

    outputs = ("dx",)

    def infer(self, y: Spec, dy: Spec) -> Spec:
        return y

    def lower(self, k: Any, y: Any, dy: Any, dx: Any) -> None:
        k.softmax_grad_x(dict(M=y.shape[0], N=y.shape[1]), y, dy, dx)

    def grad(self, y: Any, dy: Any, ddx: Any) -> Any:
        # dx = y (dy - s), s = sum(y dy)
        rows = (y.shape[0], 1)
        s = SumTo(rows)(Mul()(y, dy))
        t = SumTo(rows)(Mul()(y, ddx))
        return (
            lambda: Sub()(Mul()(ddx, Sub()(dy, s)), Mul()(dy, t)),
            lambda: Mul()(y, Sub()(ddx, t)),
        )


class LogSoftmax(Op):
    """The logarithm of Softmax. x (M, N) -> y (M, N), float32."""

    def infer(self, x: Spec) -> Spec:
        return x

    def lower(self, k: Any, x: Any, y: Any) -> None:
        k.log_softmax(dict(M=x.shape[0], N=x.shape[1]), x, y)

    def grad(self, y: Any, dy: Any) -> Any:
        return LogSoftmaxGradX()(y, dy)


class LogSoftmaxGradX(Op):
    """The gradient of LogSoftmax's input, from its output."""

    outputs = ("dx",)

    def infer(self, y: Spec, dy: Spec) -> Spec:
        return y

    def lower(self, k: Any, y: Any, dy: Any, dx: Any) -> None:
        k.log_softmax_grad_x(dict(M=y.shape[0], N=y.shape[1]), y, dy, dx)

    def grad(self, y: Any, dy: Any, ddx: Any) -> Any:
        # dx = dy - exp(y) s, s = sum(dy)
        rows = (y.shape[0], 1)
        p = Exp()(y)
        return (
            lambda: Neg()(Mul()(Mul()(ddx, p), SumTo(rows)(dy))),
            lambda: Sub()(ddx, SumTo(rows)(Mul()(ddx, p))),
        )


class SoftmaxXent(Op):
    """The cross-entropy of rows of logits with class numbers, and the probabilities that its gradient needs.

    logits (M, N) float32, labels (M,) -> loss (M,), probs (M, N). A label outside 0..N-1 gives the loss NaN and no
    gradient.
    """

    outputs = ("loss", "probs")

    def infer(self, logits: Spec, labels: Spec) -> tuple[Spec, Spec]:
        return Spec(logits.shape[:1], logits.dtype), logits

    def lower(self, k: Any, logits: Any, labels: Any, loss: Any, probs: Any) -> None:
        m, n = logits.shape
        k.softmax_xent(dict(M=m, N=n, label_dtype=DTYPE_CODE[labels.dtype]), logits, labels, loss, probs)

    def grad(self, logits: Any, labels: Any, probs: Any, dloss: Any) -> Any:
        if not trace.tapes():
            return SoftmaxXentGrad()(probs, labels, dloss), None
        # Another tape listens: ops that can be differentiated again.
        m, n = logits.shape
        classes = reshaped(Tensor(np.arange(n).astype(labels.dtype)), (1, n))
        chosen = Cast(logits.dtype)(Eq()(reshaped(labels, (m, 1)), classes))
        return Mul()(Sub()(Softmax()(logits), chosen), reshaped(dloss, (m, 1))), None


class SoftmaxXentGrad(Op):
    """The gradient of SoftmaxXent's logits. (The probabilities are not to be differentiated on their own.)"""

    outputs = ("dlogits",)

    def infer(self, probs: Spec, labels: Spec, dloss: Spec) -> Spec:
        return probs

    def lower(self, k: Any, probs: Any, labels: Any, dloss: Any, dlogits: Any) -> None:
        m, n = probs.shape
        k.softmax_xent_grad(dict(M=m, N=n, label_dtype=DTYPE_CODE[labels.dtype]), probs, labels, dloss, dlogits)


# --- public functions -----------------------------------------------------------------------------------------------


def _over_rows(op: type[Op], x: Any, axis: int) -> Any:
    last = axis_last(x, axis)
    n = last.shape[-1]
    rows = reshaped(last, (last.size // n if n else math.prod(last.shape[:-1]), n))
    return axis_back(reshaped(op()(rows), last.shape), axis)


def _shifted(x: Any, axes: tuple[int, ...]) -> Any:
    return Sub()(x, StopGradient()(MaxTo(reduced_shape(x.shape, axes))(x)))


def _softmax_axes(x: Any, axis: Any, name: str) -> tuple[Any, tuple[int, ...] | int]:
    x = value(x)
    if x.dtype == "bool":
        raise TypeError(f"{name}: expected numbers, got dtype bool")
    x = floating(x)
    rank = len(x.shape)
    if axis is None:
        return x, tuple(range(rank))
    if isinstance(axis, (tuple, list)):
        return x, tuple(normalize_axis(a, rank, f"{name}: axis") for a in axis)
    return x, normalize_axis(axis, rank, f"{name}: axis")


def softmax_of(x: Any, axis: Any) -> Any:
    """`softmax`, also where there is a single number along the axis."""
    x, at = _softmax_axes(x, axis, "softmax")
    if not x.shape or not x.size:
        return Exp()(Sub()(x, x)) if not x.shape else x
    if isinstance(at, tuple):
        e = Exp()(_shifted(x, at))
        return Div()(e, SumTo(reduced_shape(x.shape, at))(e))
    if x.dtype != "float32":
        e = Exp()(_shifted(x, (at,)))
        return Div()(e, SumTo(reduced_shape(x.shape, (at,)))(e))
    return _over_rows(Softmax, x, at)


@public
def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) over its sum along `axis` (an int, several, or None for all): positive, and sums to one.

    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    x = value(x)
    alone = isinstance(axis, int) and -len(x.shape) <= axis < len(x.shape) and x.shape[axis] == 1
    if alone and not trace.probing():
        warnings.warn(
            f"You are using a softmax over axis {axis} of a tensor of shape {x.shape}. This axis has size 1. The "
            "softmax operation will always return the value 1, which is likely not what you intended. Did you mean to "
            "use a sigmoid instead?",
            stacklevel=3,
        )
    return softmax_of(x, axis)


@public
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """The logarithm of `softmax`, exact where that is tiny."""
    x, at = _softmax_axes(x, axis, "log_softmax")
    if not x.shape or not x.size:
        return Sub()(x, x) if not x.shape else x
    if isinstance(at, tuple) or x.dtype != "float32":
        axes = at if isinstance(at, tuple) else (at,)
        z = _shifted(x, axes)
        return Sub()(z, Log()(SumTo(reduced_shape(x.shape, axes))(Exp()(z))))
    return _over_rows(LogSoftmax, x, at)


def clipped_probabilities(p: Any) -> Any:
    """`p` kept `epsilon()` away from 0 and 1."""
    eps = epsilon()
    return Clip()(p, scalar(eps, p.dtype), scalar(1.0 - eps, p.dtype))


@public
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """-sum(target * log(output)) along `axis`, which is dropped: the loss of a distribution over classes.

    Without `from_logits` the output is scaled to sum to one and kept `epsilon()` away from 0 and 1.

    >>> round(categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
    0.6931
    """
    target, output = value(target), floating(output)
    if target.dtype != output.dtype:
        target = Cast(output.dtype)(target)
    if target.shape != output.shape:
        raise ValueError(
            f"Arguments `target` and `output` must have the same shape. Received: target.shape={target.shape}, "
            f"output.shape={output.shape} (categorical_crossentropy)"
        )
    if not target.shape:
        raise ValueError("categorical_crossentropy: expected tensors with a class axis, got scalars")
    at = normalize_axis(axis, len(output.shape), "categorical_crossentropy: axis")
    shape = reduced_shape(output.shape, (at,))
    if from_logits:
        log_p = log_softmax(output, at)
    else:
        log_p = Log()(clipped_probabilities(Div()(output, SumTo(shape)(output))))
    return drop(Neg()(SumTo(shape)(Mul()(target, log_p))), (at,), False)


@public
def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """-log of the probability that `output` gives to the class number in `target`; the class axis is dropped.

    `target` has the shape of `output` without that axis, or with size 1 there. A number that is no class gives NaN.

    >>> round(sparse_categorical_crossentropy([1], [[0.5, 0.5]]).item(), 4)
    0.6931
    """
    target, output = value(target), floating(output)
    if not output.shape:
        raise ValueError("sparse_categorical_crossentropy: expected an output with a class axis, got a scalar")
    at = normalize_axis(axis, len(output.shape), "sparse_categorical_crossentropy: axis")
    rest = (*output.shape[:at], *output.shape[at + 1 :])
    if target.shape not in (rest, (*output.shape[:at], 1, *output.shape[at + 1 :])) and target.shape != (*rest, 1):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last dimension: "
            f"target.shape={target.shape}, output.shape={output.shape} (sparse_categorical_crossentropy along "
            f"axis={axis})"
        )
    target = reshaped(target, rest)
    if is_float(target.dtype) or target.dtype == "bool":
        target = Cast("int32")(target)
    last = axis_last(output, at)
    if not from_logits:
        total = SumTo((*rest, 1))(last)
        return _picked(target, last, lambda p: Log()(clipped_probabilities(Div()(p, total))))
    if output.dtype != "float32" or not output.size:
        return _picked(target, axis_last(log_softmax(output, at), at), lambda log_p: log_p)
    rows = reshaped(last, (target.size, last.shape[-1]))
    loss, _ = SoftmaxXent()(rows, reshaped(target, (target.size,)))
    return reshaped(loss, rest)


def _picked(target: Any, rows: Any, log: Callable[[Any], Any]) -> Any:
    """-log of what stands at the class numbers, which costs less than one of all; NaN, without a gradient, for a number
    that is no class."""
    index = reshaped(Cast("int32")(target) if target.dtype == "uint8" else target, (*target.shape, 1))
    zero = scalar(0, index.dtype)
    known = LogicalAnd()(Ge()(index, zero), Lt()(index, scalar(rows.shape[-1], index.dtype)))
    loss = Neg()(log(TakeAlong(len(rows.shape) - 1)(rows, Select()(known, index, zero))))
    return reshaped(Select()(known, loss, scalar(math.nan, loss.dtype)), target.shape)


@public
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """-(target * log(output) + (1 - target) * log(1 - output)), elementwise; `output` is a probability, or a logit.

    >>> round(binary_crossentropy([1.0], [0.5]).item(), 4)
    0.6931
    """
    target, output = value(target), floating(output)
    if target.dtype != output.dtype:
        target = Cast(output.dtype)(target)
    if target.shape != output.shape:
        raise ValueError(
            f"Arguments `target` and `output` must have the same shape. Received: target.shape={target.shape}, "
            f"output.shape={output.shape} (binary_crossentropy)"
        )
    if from_logits:
        return Sub()(Softplus()(output), Mul()(output, target))
    p = clipped_probabilities(output)
    one = scalar(1.0, p.dtype)
    return Neg()(Add()(Mul()(target, Log()(p)), Mul()(Sub()(one, target), Log()(Sub()(one, p)))))
