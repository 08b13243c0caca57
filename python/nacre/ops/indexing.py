"""Elements by their positions: take, gather and scatter, slices that start anywhere, and `x[...]`.

Positions count from the end when negative. One outside the axis reads NaN (0 for integers) and writes nothing."""

from __future__ import annotations

import math
from builtins import slice as builtin_slice
from typing import Any

import numpy as np

from nacre.core.spec import broadcast_shapes, is_float, is_int, normalize_axis
from nacre.core.tensor import KerasTensor, Symbol, Tensor, install_operators
from nacre.core.variable import Variable
from nacre.ops.arithmetic import nonzero
from nacre.ops.base import public, scalar, value
from nacre.ops.elementwise import (
    Add,
    BroadcastTo,
    Cast,
    Clip,
    Ge,
    LogicalAnd,
    Lt,
    Max,
    Min,
    Mul,
    Select,
    Sub,
    cast_to,
    same_dtype,
)
from nacre.ops.gather import ScatterAdd, ScatterSet, SliceUpdate, Take, TakeAlong, gather_nd, linear_index
from nacre.ops.manipulation import as_shape, reshape, sizes_of, transpose
from nacre.ops.movement import Slice, permuted, reshaped

__all__ = [
    "get_item", "scatter", "scatter_update", "slice", "slice_update", "take", "take_along_axis",
]  # fmt: skip


# --- positions ------------------------------------------------------------------------------------------------------


def as_index(indices: Any, name: str, floats: bool = False) -> Any:
    """`indices` as an integer value; `floats` says that they may be floats. Raises TypeError for others."""
    index = value(indices)
    if index.dtype == "bool" or (floats and is_float(index.dtype)):
        return Cast("int32")(index)
    if not is_int(index.dtype):
        if index.size == 0:  # an empty list
            return Cast("int32")(index)
        raise TypeError(f"{name}: expected integer indices, got dtype {index.dtype}")
    return Cast("int32")(index) if index.dtype == "uint8" else index


@public
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The slices of `x` along `axis` at `indices` (elements of the flattened tensor without an axis).

    >>> take([10, 20, 30], [2, 0, -1]).tolist()
    [30, 10, 30]
    """
    x, index = value(x), as_index(indices, "take")
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    return Take(normalize_axis(axis, len(x.shape), "take: axis"))(x, index)


@public
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Elements of `x` along `axis` at `indices`, which has as many axes as `x`; the other axes broadcast.

    >>> take_along_axis([[1, 2], [3, 4]], [[1], [0]], axis=1).tolist()
    [[2], [3]]
    """
    x, index = value(x), as_index(indices, "take_along_axis")
    if axis is None:
        if len(index.shape) != 1:
            raise ValueError(f"take_along_axis: without an axis indices must have one axis, got shape {index.shape}")
        x, axis = reshaped(x, (x.size,)), 0
    if len(x.shape) != len(index.shape):
        raise ValueError(f"take_along_axis: x and indices need equal ranks, got shapes {x.shape} and {index.shape}")
    at = normalize_axis(axis, len(x.shape), "take_along_axis: axis")
    rest = broadcast_shapes((*x.shape[:at], 1, *x.shape[at + 1 :]), (*index.shape[:at], 1, *index.shape[at + 1 :]))
    wide = (*rest[:at], x.shape[at], *rest[at + 1 :])
    index_shape = (*rest[:at], index.shape[at], *rest[at + 1 :])
    x = x if x.shape == wide else BroadcastTo(wide)(x)
    index = index if index.shape == index_shape else BroadcastTo(index_shape)(index)
    return TakeAlong(at)(x, index)


@public
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Zeros of `shape` with `values` added at `indices` (..., k): positions on the first k axes; repeated ones add up.

    >>> scatter([[0], [2], [0]], [1.0, 2.0, 3.0], (4,)).tolist()
    [4.0, 0.0, 2.0, 0.0]
    """
    index, updates = as_index(indices, "scatter"), value(values)
    sizes = sizes_of(shape, "scatter")
    rows, flat = _scatter_operands("scatter", index, updates, sizes)
    return ScatterAdd(sizes)(rows, flat)


@public
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """`inputs` with `updates` at `indices` (..., k), positions on the first k axes.

    `reduction` says what becomes of the old element: replaced (None, of repeated positions the last counts), or
    combined by "add", "max", "min" or "mul".

    >>> scatter_update([0, 0, 0], [[1], [2]], [5, 6]).tolist()
    [0, 5, 6]
    """
    x, index = value(inputs), as_index(indices, "scatter_update")
    if reduction not in (None, "add", "max", "min", "mul"):
        raise ValueError(
            f"scatter_update: expected reduction to be None, 'add', 'max', 'min' or 'mul', got {reduction!r}"
        )
    new = cast_to(updates, x.dtype)
    rows, flat = _scatter_operands("scatter_update", index, new, x.shape)
    if reduction is None:
        return ScatterSet()(x, rows, flat)
    if reduction == "add":
        return Add()(x, ScatterAdd(x.shape)(rows, flat))
    return _combined(x, rows, flat, reduction)


def _combined(x: Any, rows: Any, updates: Any, reduction: str) -> Any:
    """One update after the other, since repeated positions must all count."""
    op = {"max": Max(), "min": Min(), "mul": Mul()}[reduction]
    n, depth = rows.shape
    for i in range(n):
        row = Slice((i, 0), (1, depth), (1, 1))(rows)
        part = Slice((i, *(0,) * (len(updates.shape) - 1)), (1, *updates.shape[1:]), (1,) * len(updates.shape))(updates)
        x = ScatterSet()(x, row, op(gather_nd(x, row, part.shape), part))
    return x


def _scatter_operands(name: str, index: Any, updates: Any, sizes: tuple[int, ...]) -> tuple[Any, Any]:
    """Indices as (n, k) and updates as (n, ...), checked."""
    if not index.shape:
        raise ValueError(f"{name}: expected indices (..., k), got a scalar")
    depth = index.shape[-1]
    if not 0 < depth <= len(sizes):
        raise ValueError(f"{name}: indices of shape {index.shape} name {depth} axes of a tensor of shape {sizes}")
    expected = (*index.shape[:-1], *sizes[depth:])
    if updates.shape != expected:
        raise ValueError(
            f"{name}: indices of shape {index.shape} into shape {sizes} need values of shape {expected}, got "
            f"{updates.shape}"
        )
    n = math.prod(index.shape[:-1])
    return reshaped(index, (n, depth)), reshaped(updates, (n, *sizes[depth:]))


@public
def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """The part of `inputs` of `shape` that starts at `start_indices`; -1 in `shape` means up to the end.

    A start that would reach beyond the end is moved back.

    >>> slice([[1, 2, 3], [4, 5, 6]], (0, 1), (2, 2)).tolist()
    [[2, 3], [5, 6]]
    """
    x = value(inputs)
    rank = len(x.shape)
    sizes = as_shape(shape, "slice")
    starts = _starts(start_indices, rank, "slice")
    if len(sizes) != rank:
        raise ValueError(
            "slice: The number of dimensions in `inputs` must match the number of dimensions in `shape`. Received: "
            f"inputs.shape={x.shape}, shape={sizes}"
        )
    if any(n == -1 for n in sizes):
        if not isinstance(starts, tuple):
            raise ValueError("slice: a size of -1 needs starts that are known")
        sizes = tuple(d - a if n == -1 else n for n, d, a in zip(sizes, x.shape, starts))
    if any(n < 0 or n > d for n, d in zip(sizes, x.shape)):
        raise ValueError(f"slice: a part of shape {sizes} does not fit into a tensor of shape {x.shape}")
    if isinstance(starts, tuple):
        return Slice(_clamped(starts, sizes, x.shape), sizes, (1,) * rank)(x)
    for axis in range(rank):
        first = _clamp_symbol(starts[axis], x.shape[axis] - sizes[axis])
        x = Take(axis)(x, Add()(value(np.arange(sizes[axis], dtype=np.int32)), first))
    return x


def _clamped(starts: tuple[int, ...], sizes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(max(a + d if a < 0 else a, 0), d - n) for a, n, d in zip(starts, sizes, shape))


def _clamp_symbol(start: Any, most: int) -> Any:
    start = Cast("int32")(start) if start.dtype != "int32" else start
    return Clip()(start, scalar(0, "int32"), scalar(most, "int32"))


def _starts(given: Any, rank: int, name: str) -> Any:
    """A tuple of ints, or a list of values when one is only known when the program runs."""
    if isinstance(given, (list, tuple)) and any(isinstance(v, Symbol) or _is_state(v) for v in given):
        starts: Any = [value(v) for v in given]
    elif isinstance(given, Symbol) or _is_state(given):
        starts = [given[i] for i in range(given.shape[0])]
    else:
        starts = as_shape(given, name)
    if len(starts) != rank:
        raise ValueError(
            f"{name}: The number of dimensions in `start_indices` must match the number of dimensions in `inputs`, "
            f"{rank}. Received: start_indices={given!r}"
        )
    return starts


def _is_state(v: Any) -> bool:
    return isinstance(v, Variable) and isinstance(v.value, Symbol)


@public
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """`inputs` with `updates` in place of the elements from `start_indices` on.

    >>> slice_update([0, 0, 0, 0], (1,), [7, 8]).tolist()
    [0, 7, 8, 0]
    """
    x, new = value(inputs), value(updates)
    rank = len(x.shape)
    if len(new.shape) != rank or any(n > d for n, d in zip(new.shape, x.shape)):
        raise ValueError(f"slice_update: updates of shape {new.shape} do not fit into a tensor of shape {x.shape}")
    new = cast_to(new, x.dtype)
    starts = _starts(start_indices, rank, "slice_update")
    if isinstance(starts, tuple):
        return SliceUpdate(_clamped(starts, new.shape, x.shape))(x, new)
    covered = None
    for axis in range(rank):
        n = new.shape[axis]
        if n == 0:
            return x
        first = _clamp_symbol(starts[axis], x.shape[axis] - n)
        place = Sub()(value(np.arange(x.shape[axis], dtype=np.int32)), first)
        here = LogicalAnd()(Ge()(place, scalar(0, "int32")), Lt()(place, scalar(n, "int32")))
        here = reshaped(here, tuple(x.shape[axis] if a == axis else 1 for a in range(rank)))
        covered = here if covered is None else LogicalAnd()(covered, here)
        new = Take(axis)(new, Clip()(place, scalar(0, "int32"), scalar(n - 1, "int32")))
    return new if covered is None else Select()(covered, new, x)


# --- x[...] ---------------------------------------------------------------------------------------------------------


@public
def get_item(x: Any, key: Any) -> Any:
    """x[key]: ints, slices, None, ..., integer arrays and boolean masks, as in NumPy.

    >>> get_item([[1, 2], [3, 4]], (0, 1)).item()
    2
    """
    return getitem(x, key)


def getitem(x: Any, key: Any) -> Any:
    if isinstance(x, KerasTensor):
        return get_item(x, key)
    x = value(x)
    parts = list(key) if isinstance(key, tuple) else [key]
    parts = [p if _is_basic(p) else _index_array(p) for p in parts]
    parts = _without_masks(x, parts)
    used = sum(1 for p in parts if p is not None and p is not Ellipsis)
    if used > len(x.shape) or sum(1 for p in parts if p is Ellipsis) > 1:
        raise IndexError(f"too many indices for a tensor of shape {x.shape}: {key!r}")
    at = next((i for i, p in enumerate(parts) if p is Ellipsis), None)
    fill = [_ALL] * (len(x.shape) - used)
    parts = [*parts, *fill] if at is None else [*parts[:at], *fill, *parts[at + 1 :]]
    return _basic(x, parts)


_ALL = builtin_slice(None)


def _is_basic(p: Any) -> bool:
    return p is None or p is Ellipsis or (isinstance(p, (builtin_slice, int, np.integer)) and not isinstance(p, bool))


def _index_array(p: Any) -> Any:
    if isinstance(p, Tensor) and not p.shape and is_int(p.dtype):
        return int(p)
    index = value(np.asarray(p, np.int32) if isinstance(p, (list, tuple)) and not len(p) else p)
    if index.dtype != "bool" and not is_int(index.dtype):
        raise IndexError(f"a tensor is indexed by ints, slices, None, ..., integer or boolean arrays, not {p!r}")
    return Cast("int32")(index) if index.dtype == "uint8" else index


def _without_masks(x: Any, parts: list[Any]) -> list[Any]:
    """Boolean arrays become the positions where they hold; their number must be known, so they cannot be traced."""
    out: list[Any] = []
    axis = 0
    for p in parts:
        if p is Ellipsis:
            rest = sum(
                (len(q.shape) or 1) if getattr(q, "dtype", None) == "bool" else 1
                for q in parts
                if q is not None and q is not Ellipsis
            )
            axis = len(x.shape) - (rest - axis)
        elif getattr(p, "dtype", None) == "bool":
            n = len(p.shape)
            if not n or p.shape != x.shape[axis : axis + n]:
                raise IndexError(f"a mask of shape {p.shape} does not fit axes {axis}.. of a tensor of shape {x.shape}")
            out += nonzero(p)
            axis += n
            continue
        elif p is not None:
            axis += 1
        out.append(p)
    return out


def _basic(x: Any, parts: list[Any]) -> Any:
    """Slices and ints first, as one strided copy; what index arrays there are after that."""
    start, size, step, shape, arrays = [], [], [], [], []
    axis = 0
    for p in parts:
        if p is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(p, builtin_slice):
            first, stop, by = p.indices(n)
            count = len(range(first, stop, by))
            start.append(first if count else 0)
            size.append(count)
            step.append(by)
            shape.append(count)
        elif isinstance(p, (int, np.integer)):
            if not -n <= p < n:
                raise IndexError(f"index {p} is outside axis {axis} of a tensor of shape {x.shape}")
            start.append(int(p) % n)
            size.append(1)
            step.append(1)
        else:
            start.append(0)
            size.append(n)
            step.append(1)
            arrays.append((len(shape), p))
            shape.append(n)
        axis += 1
    if tuple(size) != x.shape or any(s != 1 for s in step):
        x = Slice(tuple(start), tuple(size), tuple(step))(x)
    x = reshaped(x, tuple(shape))
    if not arrays:
        return x
    separated = _are_separated(parts)
    return _gathered(x, arrays, separated)


def _are_separated(parts: list[Any]) -> bool:
    """Whether a slice or None stands between index arrays (ints beside arrays count as arrays)."""
    marks = [not (p is None or isinstance(p, builtin_slice)) for p in parts]
    first, last = marks.index(True), len(marks) - 1 - marks[::-1].index(True)
    return not all(marks[first : last + 1])


def _gathered(x: Any, arrays: list[tuple[int, Any]], separated: bool) -> Any:
    """Index arrays broadcast together; their axes come first where they are separated, else in their place."""
    axes = [a for a, _ in arrays]
    try:
        common = broadcast_shapes(*[p.shape for _, p in arrays])
    except ValueError as error:
        raise IndexError(f"index arrays: {error}") from None
    if len(arrays) == 1:
        y = Take(axes[0])(x, arrays[0][1])
        return _moved_front(y, axes[0], len(common)) if separated else y
    rest = [a for a in range(len(x.shape)) if a not in axes]
    sizes = tuple(x.shape[a] for a in axes)
    front = reshaped(permuted(x, (*axes, *rest)), (math.prod(sizes), *(x.shape[a] for a in rest)))
    parts = [reshaped(BroadcastTo(common)(p) if p.shape != common else p, (*common, 1)) for _, p in arrays]
    columns = _Columns(same_dtype(*parts))
    y = Take(0)(front, linear_index(columns, sizes)[0])
    n, lead = len(common), 0 if separated else axes[0]
    if lead:
        order = (*range(n, n + lead), *range(n), *range(n + lead, len(y.shape)))
        y = permuted(y, order)
    return y


class _Columns:
    """Positions by axis, standing for the stacked (..., k) that `linear_index` takes apart."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts

    def __getitem__(self, key: Any) -> Any:
        part = self.parts[key[1]]
        return reshaped(part, part.shape[:-1])


def _moved_front(y: Any, axis: int, count: int) -> Any:
    order = (*range(axis, axis + count), *range(axis), *range(axis + count, len(y.shape)))
    return permuted(y, order)


install_operators({"getitem": get_item, "reshape": reshape, "transpose": transpose})
