"""Reductions: one value out of many along chosen axes, and running totals.

A reduction keeps its axes as size 1 (`MaxTo` and friends, like `SumTo`); without `keepdims` the public function drops
them by a reshape, which costs nothing. Integer sums stay integers; means and the like give floats."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from nacre.core.op import Op
from nacre.core.spec import DTYPE_CODE, Spec, normalize_axes, normalize_axis, standardize_dtype
from nacre.ops import lowering
from nacre.ops.base import public, scalar, value
from nacre.ops.batch_norm import Moments
from nacre.ops.elementwise import (
    Add,
    BroadcastTo,
    Cast,
    Div,
    Eq,
    Exp,
    Isfinite,
    Log,
    Max,
    Min,
    Mul,
    Ne,
    Select,
    Sqrt,
    SquaredDeviation,
    StopGradient,
    Sub,
    SumTo,
    floating,
    same_float,
)
from nacre.ops.movement import Concat, Pad, flipped, permuted, reshaped, slice_axis

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "cumprod", "cumsum", "logsumexp",
    "max", "mean", "min", "moments", "prod", "ptp", "std", "sum", "var",
]  # fmt: skip


class _ReduceTo(Op):
    """x reduced over the axes where `shape` has size 1."""

    shape: tuple[int, ...]
    kind: ClassVar[int]
    result: ClassVar[str | None] = None

    def infer(self, x: Spec) -> Spec:
        return Spec(self.shape, self.result or x.dtype)

    def lower(self, k: Any, x: Any, y: Any) -> None:
        lowering.lower_reduction(k, self.kind, x, y)


class MaxTo(_ReduceTo):
    """The largest, NaN if there is one; equal largest ones share the gradient."""

    kind = lowering.MAX

    def grad(self, x: Any, y: Any, dy: Any) -> Any:
        return _share_among(x, y, dy)


class MinTo(_ReduceTo):
    """The smallest, NaN if there is one; equal smallest ones share the gradient."""

    kind = lowering.MIN

    def grad(self, x: Any, y: Any, dy: Any) -> Any:
        return _share_among(x, y, dy)


def _share_among(x: Any, y: Any, dy: Any) -> Any:
    chosen = Cast(dy.dtype)(Eq()(x, y))
    return Mul()(chosen, Div()(dy, SumTo(y.shape)(chosen)))


class ProdTo(_ReduceTo):
    """The product. Its gradient is exact also where factors are 0: the product of all the others."""

    kind = lowering.PROD

    def grad(self, x: Any, dy: Any) -> Any:
        axes = [a for a, (d, n) in enumerate(zip(self.shape, x.shape)) if d != n]
        if not axes:
            return dy
        rest = [a for a in range(len(x.shape)) if a not in axes]
        perm = (*rest, *axes)
        moved = permuted(x, perm)
        rows = reshaped(moved, (*(x.shape[a] for a in rest), math.prod(x.shape[a] for a in axes)))
        last = len(rows.shape) - 1
        others = Mul()(Cumulative("prod", last, True, False)(rows), Cumulative("prod", last, True, True)(rows))
        back = [0] * len(perm)
        for i, p in enumerate(perm):
            back[p] = i
        return Mul()(permuted(reshaped(others, moved.shape), tuple(back)), dy)


class AnyTo(_ReduceTo):
    """Whether one is not zero."""

    kind = lowering.ANY
    result = "bool"


class AllTo(_ReduceTo):
    """Whether none is zero."""

    kind = lowering.ALL
    result = "bool"


class SumSquaresTo(_ReduceTo):
    """The sum of the squares."""

    kind = lowering.SUM_SQUARES

    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(Mul()(x, scalar(2.0, x.dtype)), dy)


class ArgReduce(Op):
    """The first position of the largest (or smallest) along `axis`, which is dropped; NaN counts as both. int32."""

    axis: int
    largest: bool

    def infer(self, x: Spec) -> Spec:
        return Spec((*x.shape[: self.axis], *x.shape[self.axis + 1 :]), "int32")

    def lower(self, k: Any, x: Any, y: Any) -> None:
        k.argreduce(
            dict(
                O=math.prod(x.shape[: self.axis]),
                R=x.shape[self.axis],
                I=math.prod(x.shape[self.axis + 1 :]),
                kind=0 if self.largest else 1,
                dtype=DTYPE_CODE[x.dtype],
                out_dtype=DTYPE_CODE[y.dtype],
            ),
            x,
            y,
        )


class Cumulative(Op):
    """Running totals along `axis`: "sum", "prod", "max" or "min"; `exclusive` leaves out the element itself."""

    kind: str
    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, x: Spec) -> Spec:
        return x

    def lower(self, k: Any, x: Any, y: Any) -> None:
        k.cumulative(
            dict(
                O=math.prod(x.shape[: self.axis]),
                R=x.shape[self.axis],
                I=math.prod(x.shape[self.axis + 1 :]),
                kind=("sum", "prod", "max", "min").index(self.kind),
                dtype=DTYPE_CODE[x.dtype],
                exclusive=int(self.exclusive),
                reverse=int(self.reverse),
            ),
            x,
            y,
        )

    def grad(self, x: Any, dy: Any) -> Any:
        if self.kind == "sum":
            return Cumulative("sum", self.axis, self.exclusive, not self.reverse)(dy)
        return _running_product_grad(self, x, dy)


def _running_product_grad(op: Cumulative, x: Any, dy: Any) -> Any:
    """dx[j] = (the product of all x in front of j) * t[j], where t[j] = dy[j] + x[j + 1] * t[j + 1]: sums over 1, 2, 4
    ... elements, which are exact at zeros, too."""
    if op.kind != "prod":
        raise NotImplementedError(f"{op} has no gradient")
    axis, n = op.axis, x.shape[op.axis]
    if op.reverse:
        x, dy = flipped(x, (axis,)), flipped(dy, (axis,))
    in_front = Cumulative("prod", axis, True)(x)
    t, factors, step = dy, slice_axis(x, axis, int(n > 0), n), 1
    if op.exclusive and n:  # dy[j] is about the elements in front of j
        t = Pad(tuple((0, int(a == axis)) for a in range(len(x.shape))))(slice_axis(dy, axis, 1, n))
    while step < n:  # factors[j] is the product of x[j + 1] to x[j + step]
        more = Mul()(factors, slice_axis(t, axis, step, n))
        t = Concat(axis)(Add()(slice_axis(t, axis, 0, n - step), more), slice_axis(t, axis, n - step, n))
        step *= 2
        if step < n:
            factors = Mul()(slice_axis(factors, axis, 0, n - step), slice_axis(factors, axis, step // 2, n - step // 2))
    dx = Mul()(in_front, t)
    return flipped(dx, (axis,)) if op.reverse else dx


# --- public functions -----------------------------------------------------------------------------------------------


def reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with `axes` as size 1."""
    return tuple(1 if i in axes else d for i, d in enumerate(shape))


def drop(y: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    """`y` without the reduced axes, unless they are to be kept."""
    return y if keepdims else reshaped(y, tuple(d for i, d in enumerate(y.shape) if i not in axes))


def _axes(axis: Any, x: Any, what: str) -> tuple[int, ...]:
    if isinstance(axis, (np.ndarray, np.integer)):
        axis = axis.tolist()
    return normalize_axes(axis, len(x.shape), f"{what}: axis")


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod(shape[a] for a in axes)


def _summable(x: Any) -> Any:
    x = value(x)
    return Cast("int32")(x) if x.dtype in ("bool", "uint8") else x


@public
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over `axis` (an int, several, or all). Booleans are counted as int32.

    >>> sum([[1, 2], [3, 4]], axis=0).tolist()
    [4, 6]
    """
    x = _summable(x)
    axes = _axes(axis, x, "sum")
    return drop(SumTo(reduced_shape(x.shape, axes))(x), axes, keepdims) if axes else x


@public
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over `axis`: a float. NaN over no elements.

    >>> mean([[1, 2], [3, 4]], axis=1).tolist()
    [1.5, 3.5]
    """
    x = floating(x)
    return _mean(x, _axes(axis, x, "mean"), keepdims)


def _mean(x: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    if not axes:
        return x
    n = _count(x.shape, axes)
    shape = reduced_shape(x.shape, axes)
    if n == 0:
        return drop(BroadcastTo(shape)(scalar(math.nan, x.dtype)), axes, keepdims)
    return drop(SumTo(shape, 1.0 / n)(x), axes, keepdims)


def _extreme(op: type[Op], other: type[Op], name: str, x: Any, axis: Any, keepdims: Any, initial: Any) -> Any:
    x = value(x)
    axes = _axes(axis, x, name)
    shape = reduced_shape(x.shape, axes)
    if axes and _count(x.shape, axes) == 0 and math.prod(shape) != 0:
        if initial is None:
            raise ValueError(f"{name}: no elements along axis {axis!r} of shape {x.shape}; give `initial`")
        y = BroadcastTo(shape)(scalar(initial, x.dtype))
    else:
        y = op(shape)(x) if axes else x
        if initial is not None:
            y = other()(y, Cast(x.dtype)(value(initial)))
    return drop(y, axes, keepdims)


@public
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest over `axis`; NaN if there is one. Raises ValueError over no elements without `initial`.

    >>> max([[1, 5], [3, 4]], axis=1).tolist()
    [5, 4]
    """
    return _extreme(MaxTo, Max, "max", x, axis, keepdims, initial)


@public
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest over `axis`; NaN if there is one. Raises ValueError over no elements without `initial`."""
    return _extreme(MinTo, Min, "min", x, axis, keepdims, initial)


@public
def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest over `axis`: `max` under NumPy's other name."""
    return _extreme(MaxTo, Max, "amax", x, axis, keepdims, None)


@public
def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest over `axis`: `min` under NumPy's other name."""
    return _extreme(MinTo, Min, "amin", x, axis, keepdims, None)


@public
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest minus the smallest over `axis`."""
    x = value(x)
    if x.dtype == "bool":
        raise TypeError("ptp: expected numbers, got dtype bool")
    return Sub()(
        _extreme(MaxTo, Max, "ptp", x, axis, keepdims, None), _extreme(MinTo, Min, "ptp", x, axis, keepdims, None)
    )


@public
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """The product over `axis`, in `dtype` if it is given.

    >>> prod([[1, 2], [3, 4]], axis=1).tolist()
    [2, 12]
    """
    x = _summable(x) if dtype is None else Cast(standardize_dtype(dtype))(value(x))
    axes = _axes(axis, x, "prod")
    return drop(ProdTo(reduced_shape(x.shape, axes))(x), axes, keepdims) if axes else x


def _truth(op: type[Op], name: str, x: Any, axis: Any, keepdims: Any) -> Any:
    x = value(x)
    axes = _axes(axis, x, name)
    if x.dtype != "bool":
        x = Ne()(x, scalar(0, x.dtype))
    return drop(op(reduced_shape(x.shape, axes))(x), axes, keepdims) if axes else x


@public
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether an element over `axis` is true (not zero): bool."""
    return _truth(AnyTo, "any", x, axis, keepdims)


@public
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all elements over `axis` are true (not zero): bool."""
    return _truth(AllTo, "all", x, axis, keepdims)


@public
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many elements over `axis` are not zero: int32."""
    x = value(x)
    axes = _axes(axis, x, "count_nonzero")
    found = Cast("int32")(Ne()(x, scalar(0, x.dtype)))
    return drop(SumTo(reduced_shape(x.shape, axes))(found), axes, False) if axes else found


def squared_deviations(x: Any, mean: Any) -> Any:
    """(x - mean)^2 for a variance about the mean of the same numbers: see `SquaredDeviation`."""
    return SquaredDeviation()(*same_float(x, mean))


def _variance(x: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    return _mean(SquaredDeviation()(x, _mean(x, axes, True)), axes, keepdims)


@public
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean squared distance from the mean over `axis`.

    >>> float(var([1.0, 2.0, 3.0, 6.0]))
    3.5
    """
    x = floating(x)
    return _variance(x, _axes(axis, x, "var"), keepdims)


@public
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The square root of `var`."""
    x = floating(x)
    return Sqrt()(_variance(x, _axes(axis, x, "std"), keepdims))


@public
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """Mean and variance over `axes`. `synchronized` asks for several devices, which there are not.

    >>> [t.tolist() for t in moments([[0.0, 2.0], [4.0, 2.0]], axes=[0])]
    [[2.0, 2.0], [4.0, 0.0]]
    """
    if synchronized:
        raise NotImplementedError("moments: synchronized=True needs several devices")
    x = floating(x)
    over = _axes(axes, x, "moments")
    if over == tuple(range(len(over))) and len(over) > 0 and x.dtype == "float32" and x.size:
        centre, spread = Moments(len(x.shape) - len(over))(x)
        return drop(centre, over, keepdims), drop(spread, over, keepdims)
    centre = _mean(x, over, True)
    spread = _mean(SquaredDeviation()(x, centre), over, keepdims)
    return drop(centre, over, keepdims), spread


@public
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """The mean over `axis`, each element counted by its weight. `weights` has the shape of `x`, or of the one axis.

    >>> float(average([1.0, 4.0], weights=[3.0, 1.0]))
    1.75
    """
    given, x = x, floating(x)
    over = _axes(axis, x, "average")
    if weights is None:
        return _mean(x, over, False)
    x, w = same_float(given, weights)
    if w.shape != x.shape:
        if len(over) != 1 or axis is None or w.shape != (x.shape[over[0]],):
            raise ValueError(f"average: weights of shape {w.shape} fit neither {x.shape} nor its axis {axis!r}")
        w = reshaped(w, tuple(d if i == over[0] else 1 for i, d in enumerate(x.shape)))
        w = BroadcastTo(x.shape)(w) if w.shape != x.shape else w
    shape = reduced_shape(x.shape, over)
    return drop(Div()(SumTo(shape)(Mul()(x, w)), SumTo(shape)(w)), over, False)


@public
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over `axis` without overflow.

    >>> round(logsumexp([1000.0, 1000.0]).item(), 3)
    1000.693
    """
    x = floating(x)
    axes = _axes(axis, x, "logsumexp")
    if not axes:
        return x
    if _count(x.shape, axes) == 0:
        return drop(BroadcastTo(reduced_shape(x.shape, axes))(scalar(-math.inf, x.dtype)), axes, keepdims)
    shape = reduced_shape(x.shape, axes)
    top = StopGradient()(MaxTo(shape)(x))
    top = Select()(Isfinite()(top), top, scalar(0.0, x.dtype))
    return drop(Add()(Log()(SumTo(shape)(Exp()(Sub()(x, top)))), top), axes, keepdims)


def _arg(x: Any, axis: Any, keepdims: bool, largest: bool, name: str) -> Any:
    x = value(x)
    rank = len(x.shape)
    if axis is None:
        flat = reshaped(x, (x.size,))
        at, shape = 0, (1,) * rank
    else:
        flat, at = x, normalize_axis(axis, rank, f"{name}: axis")
        shape = reduced_shape(x.shape, (at,))
    if flat.shape[at] == 0:
        raise ValueError(f"{name}: no elements along axis {axis!r} of shape {x.shape}")
    y = ArgReduce(at, largest)(flat)
    return reshaped(y, shape) if keepdims else y


@public
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The position of the first largest along `axis`, or in the flattened tensor: int32.

    >>> argmax([[1, 9], [7, 3]], axis=1).tolist()
    [1, 0]
    """
    return _arg(x, axis, keepdims, True, "argmax")


@public
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The position of the first smallest along `axis`, or in the flattened tensor: int32."""
    return _arg(x, axis, keepdims, False, "argmin")


def _running(kind: str, x: Any, axis: Any, dtype: Any) -> Any:
    x = value(x)
    if dtype is not None:
        x = x if x.dtype == standardize_dtype(dtype) else Cast(standardize_dtype(dtype))(x)
    elif x.dtype == "bool":
        x = Cast("int32")(x)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    return Cumulative(kind, normalize_axis(axis, len(x.shape), f"cum{kind}: axis"))(x)


@public
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The sums of each element and all before it along `axis` (of the flattened tensor without one).

    >>> cumsum([1, 2, 3]).tolist()
    [1, 3, 6]
    """
    return _running("sum", x, axis, dtype)


@public
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The products of each element and all before it along `axis` (of the flattened tensor without one)."""
    return _running("prod", x, axis, dtype)
