"""Ops that read and write at positions which are data: gather and scatter, and their gradients.

Positions count from the end when negative. One outside the axis reads NaN (for integers the lowest number) and writes
nothing."""

from __future__ import annotations

import math
from typing import Any

from nacre.core.op import Op
from nacre.core.spec import DTYPE_CODE, Spec
from nacre.ops.base import scalar
from nacre.ops.elementwise import Add, BroadcastTo, Ge, LogicalAnd, Lt, Mul, Select
from nacre.ops.lowering import row_major
from nacre.ops.movement import Slice, reshaped, strided_copy


def around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """Elements before, along and after an axis: the kernels' O, R and I."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


class Take(Op):
    """The slices of x along `axis` at the positions of `index`, whose axes take its place."""

    axis: int

    def infer(self, x: Spec, index: Spec) -> Spec:
        return Spec((*x.shape[: self.axis], *index.shape, *x.shape[self.axis + 1 :]), x.dtype)

    def lower(self, k: Any, x: Any, index: Any, y: Any) -> None:
        o, r, i = around(x.shape, self.axis)
        k.gather(
            dict(O=o, R=r, I=i, n=index.size, dtype=DTYPE_CODE[x.dtype], index_dtype=DTYPE_CODE[index.dtype]),
            x,
            index,
            y,
        )

    def grad(self, x: Any, index: Any, dy: Any) -> Any:
        return (lambda: TakeGradX(self.axis, x.shape)(dy, index)), None


def _scatter_fields(shape: tuple[int, ...], axis: int, n: int, index: Any, y: Any) -> dict[str, int]:
    o, r, i = around(shape, axis)
    return dict(O=o, R=r, I=i, n=n, index_dtype=DTYPE_CODE[index.dtype], dtype=DTYPE_CODE[y.dtype], base=0)


class TakeGradX(Op):
    """Zeros of `shape` with the slices of dy added at the positions of `index` along `axis`."""

    axis: int
    shape: tuple[int, ...]

    outputs = ("dx",)

    def infer(self, dy: Spec, index: Spec) -> Spec:
        return Spec(self.shape, dy.dtype)

    def lower(self, k: Any, dy: Any, index: Any, dx: Any) -> None:
        k.scatter_add(_scatter_fields(self.shape, self.axis, index.size, index, dx), None, index, dy, dx)

    def grad(self, index: Any, ddx: Any) -> Any:
        return Take(self.axis)(ddx, index), None


class TakeAlong(Op):
    """y[..., j, ...] = x[..., index[..., j, ...], ...] along `axis`; the other axes of x and index are equal."""

    axis: int

    def infer(self, x: Spec, index: Spec) -> Spec:
        return Spec(index.shape, x.dtype)

    def lower(self, k: Any, x: Any, index: Any, y: Any) -> None:
        o, r, i = around(x.shape, self.axis)
        fields = dict(O=o, R=r, I=i, n=index.shape[self.axis], dtype=DTYPE_CODE[x.dtype])
        k.take_along({**fields, "index_dtype": DTYPE_CODE[index.dtype]}, x, index, y)

    def grad(self, x: Any, index: Any, dy: Any) -> Any:
        return (lambda: TakeAlongGradX(self.axis, x.shape)(dy, index)), None


class TakeAlongGradX(Op):
    """Zeros of `shape` with the elements of dy added at the positions that TakeAlong read."""

    axis: int
    shape: tuple[int, ...]

    outputs = ("dx",)

    def infer(self, dy: Spec, index: Spec) -> Spec:
        return Spec(self.shape, dy.dtype)

    def lower(self, k: Any, dy: Any, index: Any, dx: Any) -> None:
        fields = _scatter_fields(self.shape, self.axis, index.shape[self.axis], index, dx)
        k.scatter_add_along(fields, None, index, dy, dx)

    def grad(self, index: Any, ddx: Any) -> Any:
        return TakeAlong(self.axis)(ddx, index), None


class ScatterAdd(Op):
    """Zeros of `shape` with updates added at the rows of `index` (n, k), positions on the first k axes."""

    shape: tuple[int, ...]

    def infer(self, index: Spec, updates: Spec) -> Spec:
        return Spec(self.shape, updates.dtype)

    def lower(self, k: Any, index: Any, updates: Any, y: Any) -> None:
        if index.shape[1] == 1:  # the same sums by the kernel that looks at 64 positions at once
            k.scatter_add(_scatter_fields(self.shape, 0, index.size, index, y), None, index, updates, y)
            return
        k.scatter_nd(_scatter_nd_fields(index, y, False, True), None, index, updates, y)

    def grad(self, index: Any, updates: Any, dy: Any) -> Any:
        return None, (lambda: gather_nd(dy, index, updates.shape))


class ScatterSet(Op):
    """x with updates in place of what stands at the rows of `index` (n, k); of repeated ones the last counts."""

    def infer(self, x: Spec, index: Spec, updates: Spec) -> Spec:
        return x

    def lower(self, k: Any, x: Any, index: Any, updates: Any, y: Any) -> None:
        k.scatter_nd(_scatter_nd_fields(index, y, True, False), x, index, updates, y)

    def grad(self, index: Any, updates: Any, dy: Any) -> Any:
        zeros = BroadcastTo(updates.shape)(scalar(0.0, dy.dtype))
        return (lambda: ScatterSet()(dy, index, zeros)), None, (lambda: gather_nd(dy, index, updates.shape))


def _scatter_nd_fields(index: Any, y: Any, base: bool, add: bool) -> dict[str, Any]:
    n, depth = index.shape
    if depth > 8:
        raise ValueError(f"scattering on {depth} axes; the kernels take 8")
    return dict(
        rank=depth,
        dims=[*y.shape[:depth], *[1] * (8 - depth)],
        inner=math.prod(y.shape[depth:]),
        n=n,
        index_dtype=DTYPE_CODE[index.dtype],
        dtype=DTYPE_CODE[y.dtype],
        base=int(base),
        add=int(add),
    )


def gather_nd(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """What stands at the rows of `index` (n, k) in `x`, as `shape`; zeros where a row is outside."""
    depth = index.shape[-1]
    sizes = x.shape[:depth]
    flat, inside = linear_index(index, sizes)
    front = reshaped(x, (math.prod(sizes), *x.shape[depth:]))
    y = Take(0)(front, flat)
    inside = reshaped(inside, (*inside.shape, *(1,) * (len(y.shape) - len(inside.shape))))
    return reshaped(Select()(inside, y, scalar(0.0, y.dtype)), shape)


class SliceUpdate(Op):
    """x with `updates` in place of the elements from `start` on."""

    start: tuple[int, ...]

    def infer(self, x: Spec, updates: Spec) -> Spec:
        return x

    def lower(self, k: Any, x: Any, updates: Any, y: Any) -> None:
        strides = row_major(x.shape)
        strided_copy(k, x, y, x.shape, strides)
        if updates.size:
            at = sum(a * s for a, s in zip(self.start, strides))
            strided_copy(k, updates, y, updates.shape, row_major(updates.shape), 0, strides, at)

    def grad(self, updates: Any, dy: Any) -> Any:
        zeros = BroadcastTo(updates.shape)(scalar(0.0, dy.dtype))
        size = updates.shape
        return (
            lambda: SliceUpdate(self.start)(dy, zeros),
            lambda: Slice(self.start, size, (1,) * len(size))(dy),
        )


def linear_index(indices: Any, sizes: tuple[int, ...]) -> tuple[Any, Any]:
    """Rows of positions (..., k) on axes of `sizes` as one position in the flattened axes, and whether each is inside.

    What is outside becomes a position that is outside, too.
    """
    total: Any = None
    inside: Any = None
    for a, n in enumerate(sizes):
        part = indices[..., a]
        part = Select()(Lt()(part, scalar(0, part.dtype)), Add()(part, scalar(n, part.dtype)), part)
        ok = LogicalAnd()(Ge()(part, scalar(0, part.dtype)), Lt()(part, scalar(n, part.dtype)))
        inside = ok if inside is None else LogicalAnd()(inside, ok)
        total = part if total is None else Add()(Mul()(total, scalar(n, part.dtype)), part)
    outside = scalar(-1 - math.prod(sizes), total.dtype)
    return Select()(inside, total, outside), inside
