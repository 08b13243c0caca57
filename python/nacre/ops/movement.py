"""Ops that move elements and compute nothing: other shapes, other orders, parts and joins.

A reshape is a second name for the same memory. Transpose, broadcast, slice and flip are one kernel, `strided_copy`,
that reads with any strides; gradients are again such movements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nacre.core.op import Op
from nacre.core.spec import DTYPE_CODE, ITEMSIZE, Spec
from nacre.ops.base import scalar
from nacre.ops.elementwise import BroadcastTo
from nacre.ops.lowering import collapse, row_major, strides_of

_MOST_DIMS = 8
_MOST_PARTS = 16


def strided_copy(
    k: Any,
    x: Any,
    y: Any,
    dims: Sequence[int],
    reads: Sequence[int],
    offset: int = 0,
    writes: Sequence[int] | None = None,
    out_offset: int = 0,
) -> None:
    """y[out_offset + i . writes] = x[offset + i . reads] for every index i below `dims`; strides in elements.

    `writes` is row-major by default."""
    writes = row_major(dims) if writes is None else writes
    dims, (reads, writes) = collapse(dims, [list(reads), list(writes)])
    if len(dims) > _MOST_DIMS:
        raise ValueError(f"moving elements along {len(dims)} separate axes; the kernels take {_MOST_DIMS}")
    spare = _MOST_DIMS - len(dims)
    k.strided_copy(
        dict(
            rank=len(dims),
            dims=[*dims, *[1] * spare],
            in_strides=[*reads, *[0] * spare],
            out_strides=[*writes, *[0] * spare],
            in_offset=offset,
            out_offset=out_offset,
            itemsize=ITEMSIZE[x.dtype],
        ),
        x,
        y,
    )


class Reshape(Op):
    """The same elements in the same order under another shape."""

    shape: tuple[int, ...]

    def infer(self, x: Spec) -> Spec:
        return Spec(self.shape, x.dtype)

    def view(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return x.reshape(self.shape)

    def by_columns(self, x: Spec) -> tuple[bool, ...]:
        return (x.shape[-1:] == self.shape[-1:],) * 2

    def lower(self, k: Any, x: Any, y: Any) -> None:
        k.alias(y, x)

    def grad(self, x: Any, dy: Any) -> Any:
        return Reshape(x.shape)(dy)


class Transpose(Op):
    """Axis i of y is axis perm[i] of x."""

    perm: tuple[int, ...]

    def infer(self, x: Spec) -> Spec:
        return Spec(tuple(x.shape[p] for p in self.perm), x.dtype)

    def lower(self, k: Any, x: Any, y: Any) -> None:
        own = row_major(x.shape)
        strided_copy(k, x, y, y.shape, [own[p] for p in self.perm])

    def grad(self, dy: Any) -> Any:
        back = [0] * len(self.perm)
        for i, p in enumerate(self.perm):
            back[p] = i
        return Transpose(tuple(back))(dy)


class Slice(Op):
    """y[i] = x[start + i * step] on every axis; a negative step walks backwards."""

    start: tuple[int, ...]
    size: tuple[int, ...]
    step: tuple[int, ...]

    def infer(self, x: Spec) -> Spec:
        return Spec(self.size, x.dtype)

    def by_columns(self, x: Spec) -> tuple[bool, ...]:
        return True, True

    def parts(self, x: Any) -> tuple[int | None, ...]:
        """Where y lies in x (see `part_of`), if it is cut out of one axis as it stands."""
        cut = [i for i, (d, n) in enumerate(zip(x.shape, self.size)) if d != n]
        if len(cut) != 1 or any(a != 1 and n > 1 for a, n in zip(self.step, self.size)):
            return (None,)
        return (part_of(x.shape, cut[0], self.start[cut[0]]),)

    def lower(self, k: Any, x: Any, y: Any) -> None:
        if y.is_part(x, self.parts(x)[0]):
            return
        own = strides_of(x)
        offset = sum(a * s for a, s in zip(self.start, own)) if math.prod(self.size) else 0
        strided_copy(k, x, y, y.shape, [a * s for a, s in zip(self.step, own)], offset, strides_of(y))

    def grad(self, x: Any, dy: Any) -> Any:
        return placed(dy, x.shape, self.start, self.step)


class Pad(Op):
    """x with `widths[axis] = (before, after)` elements of `fill` around it."""

    widths: tuple[tuple[int, int], ...]
    fill: float = 0.0

    def infer(self, x: Spec) -> Spec:
        return Spec(tuple(a + d + b for d, (a, b) in zip(x.shape, self.widths)), x.dtype)

    def lower(self, k: Any, x: Any, y: Any) -> None:
        dims, before, after = _collapse_padding(x.shape, self.widths)
        if len(dims) > _MOST_DIMS:
            raise ValueError(f"padding of {len(dims)} separate axes; the kernels take {_MOST_DIMS}")
        spare = _MOST_DIMS - len(dims)
        k.pad(
            dict(
                rank=len(dims),
                dims=[*dims, *[1] * spare],
                before=[*before, *[0] * spare],
                after=[*after, *[0] * spare],
                mode=0,
                dtype=DTYPE_CODE[x.dtype],
                value=self.fill,
            ),
            x,
            y,
        )

    def grad(self, x: Any, dy: Any) -> Any:
        return Slice(tuple(a for a, _ in self.widths), x.shape, (1,) * len(self.widths))(dy)


def _collapse_padding(
    shape: Sequence[int], widths: Sequence[tuple[int, int]]
) -> tuple[list[int], list[int], list[int]]:
    """Unpadded axes join the axis before them: (sizes, padding before, padding after)."""
    dims: list[int] = []
    before: list[int] = []
    after: list[int] = []
    for d, (a, b) in zip(shape, widths):
        if dims and (a, b) == (0, 0):
            dims[-1], before[-1], after[-1] = dims[-1] * d, before[-1] * d, after[-1] * d
        else:
            dims.append(d)
            before.append(a)
            after.append(b)
    return dims, before, after


def rows_of(shape: Sequence[int]) -> int:
    """How many rows of the last axis there are."""
    return math.prod(shape[:-1])


def part_of(shape: Sequence[int], axis: int, at: int) -> int | None:
    """Where a part of a whole of `shape` begins that is joined to others along `axis`, from `at` on: in a row of the
    last axis, or in the whole where nothing is repeated in front of `axis`. None where its rows are in pieces."""
    if axis != len(shape) - 1 and math.prod(shape[:axis]) != 1:
        return None
    return at * math.prod(shape[axis + 1 :])


def _parts_of(shape: Sequence[int], axis: int, sizes: Sequence[int]) -> tuple[int | None, ...]:
    return tuple(part_of(shape, axis, sum(sizes[:i])) for i in range(len(sizes)))


def _part_fields(rows: int, widths: list[int], whole: Any) -> dict[str, Any]:
    count = len(widths)
    return dict(rows=rows, count=count, widths=widths + [0] * (_MOST_PARTS - count), itemsize=ITEMSIZE[whole.dtype])


class Concat(Op):
    """The inputs one after the other along `axis`."""

    axis: int

    def infer(self, *xs: Spec) -> Spec:
        first = xs[0].shape
        total = sum(x.shape[self.axis] for x in xs)
        return Spec((*first[: self.axis], total, *first[self.axis + 1 :]), xs[0].dtype)

    def by_rows(self, *xs: Spec) -> tuple[bool, ...] | None:
        return (True,) * len(xs) if self.axis else None

    def by_columns(self, *xs: Spec) -> tuple[bool, ...]:
        return (*[True] * len(xs), self.axis == len(xs[0].shape) - 1)

    def parts(self, y: Any, xs: Sequence[Any]) -> tuple[int | None, ...]:
        """Where each of `xs` lies in y; see `part_of`."""
        return _parts_of(y.shape, self.axis, [x.shape[self.axis] for x in xs])

    def lower(self, k: Any, *operands: Any) -> None:
        *xs, y = operands
        there = [x.is_part(y, first) for x, first in zip(xs, self.parts(y, xs))]
        apart = not y.ld and not any(x.ld or x.buffer is y.buffer for x in xs)
        if len(xs) <= _MOST_PARTS and apart:
            widths = [math.prod(x.shape[self.axis :]) for x in xs]
            fields = _part_fields(math.prod(y.shape[: self.axis]), widths, y)
            k.concat(fields, *xs, *[None] * (_MOST_PARTS - len(xs)), y)
            return
        at, writes = 0, strides_of(y)
        for x, lies in zip(xs, there):
            if x.size and not lies:
                if x.buffer is y.buffer:  # at another place of y, which nothing may both read and write
                    copy = k.temp(x.shape, x.dtype)
                    k.copy(x, copy)
                    x = copy
                strided_copy(k, x, y, x.shape, strides_of(x), 0, writes, at)
            at += x.shape[self.axis] * writes[self.axis]

    def grad(self, xs: Any, dy: Any) -> Any:
        return Split(tuple(x.shape[self.axis] for x in xs), self.axis)(dy) if len(xs) > 1 else (dy,)


class Split(Op):
    """x cut along `axis` into parts of `sizes`."""

    sizes: tuple[int, ...]
    axis: int

    grad_wants = ()

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"y{i}" for i in range(len(self.sizes)))

    def infer(self, x: Spec) -> tuple[Spec, ...]:
        a = self.axis
        return tuple(Spec((*x.shape[:a], n, *x.shape[a + 1 :]), x.dtype) for n in self.sizes)

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...] | None:
        return (True,) if self.axis else None

    def by_columns(self, x: Spec) -> tuple[bool, ...]:
        return (True,) * (1 + len(self.sizes))

    def parts(self, x: Any) -> tuple[int | None, ...]:
        """Where each output lies in x; see `part_of`."""
        return _parts_of(x.shape, self.axis, self.sizes)

    def lower(self, k: Any, x: Any, *ys: Any) -> None:
        there = [y.is_part(x, first) for y, first in zip(ys, self.parts(x))]
        if len(ys) <= _MOST_PARTS and not any(there) and not any(o.ld for o in (x, *ys)):
            widths = [math.prod(y.shape[self.axis :]) for y in ys]
            fields = _part_fields(math.prod(x.shape[: self.axis]), widths, x)
            k.split(fields, x, *ys, *[None] * (_MOST_PARTS - len(ys)))
            return
        at, reads = 0, strides_of(x)
        for y, lies in zip(ys, there):
            if y.size and not lies:
                strided_copy(k, x, y, y.shape, reads, at, strides_of(y))
            at += y.shape[self.axis] * reads[self.axis]

    def grad_inputs(self, inputs: Any, outputs: Any, d_outputs: Any) -> Any:
        return (Concat(self.axis)(*d_outputs) if len(d_outputs) > 1 else d_outputs[0],)


# --- for other op files ------------------------------------------------------------------------------------------


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` under another shape of the same size; `x` itself when nothing changes."""
    if isinstance(x, np.ndarray):  # of strings
        return x.reshape(shape)
    return x if x.shape == shape else Reshape(shape)(x)


def permuted(x: Any, perm: tuple[int, ...]) -> Any:
    """`x` with its axes in the order `perm`; no elements move where only axes of size 1 change place."""
    shape = x.shape
    if perm == tuple(range(len(perm))):
        return x
    wide = [p for p in perm if shape[p] != 1]
    if wide == sorted(wide):
        return Reshape(tuple(shape[p] for p in perm))(x)
    return Transpose(perm)(x)


def axis_last(x: Any, axis: int) -> Any:
    """`x` with `axis` moved to the end."""
    rank = len(x.shape)
    return permuted(x, (*(a for a in range(rank) if a != axis), axis))


def axis_back(x: Any, axis: int) -> Any:
    """Undoes `axis_last`."""
    rank = len(x.shape)
    rest = list(range(rank - 1))
    return permuted(x, (*rest[:axis], rank - 1, *rest[axis:]))


def flipped(x: Any, axes: tuple[int, ...]) -> Any:
    """`x` with the order of elements reversed along `axes`."""
    shape = x.shape
    begin = tuple(shape[a] - 1 if a in axes else 0 for a in range(len(shape)))
    return Slice(begin, shape, tuple(-1 if a in axes else 1 for a in range(len(shape))))(x)


def slice_axis(x: Any, axis: int, start: int, stop: int) -> Any:
    """x[..., start:stop, ...] on one axis; both within the axis."""
    shape = x.shape
    if (start, stop) == (0, shape[axis]):
        return x
    begin = tuple(start if a == axis else 0 for a in range(len(shape)))
    return Slice(begin, (*shape[:axis], stop - start, *shape[axis + 1 :]), (1,) * len(shape))(x)


def split_sizes(x: Any, sizes: tuple[int, ...], axis: int) -> list[Any]:
    """`x` cut along `axis` into parts of `sizes`, which add up."""
    if not sizes:
        return []
    return [x] if len(sizes) == 1 else list(Split(sizes, axis)(x))


def placed(x: Any, shape: tuple[int, ...], start: tuple[int, ...], step: tuple[int, ...]) -> Any:
    """Zeros of `shape` with `x` at start + i * step on every axis: what `Slice` takes out goes back to where it was."""
    rank, size = len(shape), x.shape
    if math.prod(size) == 0:
        return BroadcastTo(shape)(scalar(0.0, x.dtype))
    backwards = tuple(a for a in range(rank) if step[a] < 0)
    if backwards:
        x = flipped(x, backwards)
        start = tuple(a + (n - 1) * s if s < 0 else a for a, n, s in zip(start, size, step))
    spread = [abs(s) if n > 1 else 1 for s, n in zip(step, size)]
    if max(spread, default=1) > 1:
        # (n,) -> (n, 1) -> (n, step) -> (n * step,): each element followed by step - 1 zeros.
        pairs = tuple(d for n in size for d in (n, 1))
        widths = tuple(w for s in spread for w in ((0, 0), (0, s - 1)))
        x = Reshape(tuple(n * s for n, s in zip(size, spread)))(Pad(widths)(Reshape(pairs)(x)))
    after = [d - a - n for d, a, n in zip(shape, start, x.shape)]
    if min(after, default=0) < 0:  # zeros behind the last element that reach beyond the end
        x = Slice((0,) * rank, tuple(n + min(a, 0) for n, a in zip(x.shape, after)), (1,) * rank)(x)
    ends = tuple((a, max(b, 0)) for a, b in zip(start, after))
    return x if all(e == (0, 0) for e in ends) else Pad(ends)(x)
