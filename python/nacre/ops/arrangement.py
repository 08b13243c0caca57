"""Repeating, reversing, rolling, stacking and the parts of matrices: movements composed of those in manipulation.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.spec import normalize_axis
from nacre.core.tensor import Tensor
from nacre.ops.base import public, scalar, value, values_of
from nacre.ops.elementwise import BroadcastTo, Select
from nacre.ops.gather import Take
from nacre.ops.manipulation import as_shape, broadcast_to, concatenate, expand_dims, sizes_of, split
from nacre.ops.movement import Concat, Pad, flipped, permuted, reshaped, slice_axis, split_sizes
from nacre.ops.products import diagonal_last

__all__ = [
    "append", "array_split", "diag", "diagflat", "diagonal", "diff", "dsplit", "dstack", "flip", "fliplr", "flipud",
    "hsplit", "hstack", "meshgrid", "repeat", "roll", "rot90", "select", "tile", "trace", "tril", "triu", "vander",
    "vsplit", "vstack",
]  # fmt: skip


@public
def flip(x: Any, axis: Any = None) -> Any:
    """`x` with the order of elements reversed along `axis` (an int, several, or all).

    >>> flip([1, 2, 3]).tolist()
    [3, 2, 1]
    """
    x = value(x)
    rank = len(x.shape)
    axes = range(rank) if axis is None else [normalize_axis(a, rank, "flip: axis") for a in as_shape(axis, "flip")]
    return flipped(x, tuple(axes)) if x.size and axes else x


@public
def fliplr(x: Any) -> Any:
    """`x` with its second axis reversed."""
    return flip(x, 1)


@public
def flipud(x: Any) -> Any:
    """`x` with its first axis reversed."""
    return flip(x, 0)


@public
def rot90(array: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """`array` turned by k quarter turns from the first of `axes` towards the second.

    >>> rot90([[1, 2], [3, 4]]).tolist()
    [[2, 4], [1, 3]]
    """
    x = value(array)
    rank = len(x.shape)
    if rank < 2:
        raise ValueError(f"rot90: expected at least two axes, got shape {x.shape}")
    a, b = (normalize_axis(axis, rank, "rot90: axes") for axis in as_shape(axes, "rot90"))
    if a == b:
        raise ValueError(f"rot90: expected two different axes, got {axes!r}")
    order = list(range(rank))
    order[a], order[b] = order[b], order[a]
    turns = k % 4
    if turns == 1:
        return permuted(flipped(x, (b,)), tuple(order))
    if turns == 2:
        return flipped(x, (a, b))
    return flipped(permuted(x, tuple(order)), (b,)) if turns == 3 else x


@public
def tile(x: Any, repeats: Any) -> Any:
    """`x` laid out `repeats` times along each axis.

    >>> tile([1, 2], 2).tolist()
    [1, 2, 1, 2]
    """
    x = value(x)
    counts = sizes_of(repeats, "tile")
    rank = max(len(counts), len(x.shape))
    counts = (1,) * (rank - len(counts)) + counts
    shape = (1,) * (rank - len(x.shape)) + x.shape
    total = sizes_of(tuple(c * d for c, d in zip(counts, shape)), "tile")
    pairs = tuple(d for d in shape for d in (1, d))
    wide = tuple(d for c, n in zip(counts, shape) for d in (c, n))
    x = reshaped(x, pairs)
    return reshaped(x if wide == pairs else BroadcastTo(wide)(x), total)


@public
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element of `x` along `axis` `repeats` times (a number, or one per element); of the flattened tensor without
    axis.

    >>> repeat([1, 2], 2).tolist()
    [1, 1, 2, 2]
    """
    x = value(x)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    at = normalize_axis(axis, len(x.shape), "repeat: axis")
    shape = x.shape
    counts = as_shape(repeats, "repeat")
    if any(n < 0 for n in counts):
        raise ValueError(f"repeat: counts cannot be negative, got {min(counts)}")
    if len(counts) == 1:
        n = counts[0]
        x = reshaped(x, (*shape[: at + 1], 1, *shape[at + 1 :]))
        x = BroadcastTo((*shape[: at + 1], n, *shape[at + 1 :]))(x) if n != 1 else x
        return reshaped(x, (*shape[:at], shape[at] * n, *shape[at + 1 :]))
    if len(counts) != shape[at]:
        raise ValueError(f"repeat: expected one count or one for each of {shape[at]} elements, got {len(counts)}")
    return Take(at)(x, Tensor(np.repeat(np.arange(shape[at], dtype=np.int32), counts)))


@public
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """`x` with its elements moved `shift` places along `axis`, those that fall off coming back at the other end.

    >>> roll([1, 2, 3, 4], 1).tolist()
    [4, 1, 2, 3]
    """
    x = value(x)
    if axis is None:
        return reshaped(_rolled(reshaped(x, (x.size,)), sum(as_shape(shift, "roll")), 0), x.shape)
    axes, shifts = as_shape(axis, "roll"), as_shape(shift, "roll")
    if not axes or not shifts:
        return x
    if len(axes) != len(shifts) and 1 not in (len(axes), len(shifts)):
        raise ValueError(f"roll: expected as many shifts as axes, got {shift!r} and {axis!r}")
    n = max(len(axes), len(shifts))
    for a, s in zip(axes * (n // len(axes)), shifts * (n // len(shifts))):
        x = _rolled(x, s, normalize_axis(a, len(x.shape), "roll: axis"))
    return x


def _rolled(x: Any, shift: int, axis: int) -> Any:
    n = x.shape[axis]
    cut = -shift % n if n else 0
    if not cut:
        return x
    head, tail = split_sizes(x, (cut, n - cut), axis)
    return Concat(axis)(tail, head)


def _at_least_1d(x: Any) -> Any:
    x = value(x)
    return x if x.shape else reshaped(x, (1,))


@public
def hstack(xs: Any) -> Any:
    """The tensors of the list side by side: along the second axis, vectors along their only one."""
    values = [_at_least_1d(x) for x in values_of(xs)]
    return concatenate(values, 0 if len(values) and len(values[0].shape) == 1 else 1)


@public
def vstack(xs: Any) -> Any:
    """The tensors of the list one below the other; a vector counts as a row."""
    values = [_at_least_1d(x) for x in values_of(xs)]
    return concatenate([reshaped(v, (1, *v.shape)) if len(v.shape) == 1 else v for v in values], 0)


@public
def dstack(xs: Any) -> Any:
    """The tensors of the list along the third axis."""
    values = [_at_least_1d(x) for x in values_of(xs)]
    wide = []
    for v in values:
        v = reshaped(v, (1, *v.shape)) if len(v.shape) == 1 else v
        wide.append(reshaped(v, (*v.shape, 1)) if len(v.shape) == 2 else v)
    return concatenate(wide, 2)


@public
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """`x2` after `x1` along `axis`; both flattened without one."""
    return concatenate([x1, x2], axis)


@public
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """`x` cut along `axis` into that many parts, the first ones longer by one where it does not divide."""
    x = value(x)
    at = normalize_axis(axis, len(x.shape), "array_split: axis")
    if not isinstance(indices_or_sections, (int, np.integer)):
        return split(x, indices_or_sections, at)
    parts = int(indices_or_sections)
    if parts < 1:
        raise ValueError(f"array_split: expected at least one part, got {indices_or_sections!r}")
    if parts > 1 << 24:
        raise ValueError(f"array_split: {parts} parts are more than can be made")
    each, longer = divmod(x.shape[at], parts)
    return split_sizes(x, (each + 1,) * longer + (each,) * (parts - longer), at)


@public
def hsplit(x: Any, indices_or_sections: Any) -> Any:
    """`split` along the second axis, or the only one."""
    x = value(x)
    return split(x, indices_or_sections, 0 if len(x.shape) == 1 else 1)


@public
def vsplit(x: Any, indices_or_sections: Any) -> Any:
    """`split` along the first axis of a tensor with two or more."""
    x = value(x)
    if len(x.shape) < 2:
        raise ValueError(f"vsplit: expected at least two axes, got shape {x.shape}")
    return split(x, indices_or_sections, 0)


@public
def dsplit(x: Any, indices_or_sections: Any) -> Any:
    """`split` along the third axis."""
    x = value(x)
    if len(x.shape) < 3:
        raise ValueError(f"dsplit: expected at least three axes, got shape {x.shape}")
    return split(x, indices_or_sections, 2)


@public
def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    """Each vector repeated along the axes of all the others: the coordinates of a grid, a list.

    >>> [g.tolist() for g in meshgrid([1, 2], [3, 4])]
    [[[1, 2], [1, 2]], [[3, 3], [4, 4]]]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: expected indexing to be 'xy' or 'ij', got {indexing!r}")
    values = [reshaped(v, (v.size,)) for v in map(value, x)]
    places = list(range(len(values)))
    if indexing == "xy" and len(values) > 1:
        places[0], places[1] = 1, 0
    shape = [0] * len(values)
    for v, at in zip(values, places):
        shape[at] = v.size
    return [
        broadcast_to(reshaped(v, tuple(v.size if i == at else 1 for i in range(len(values)))), tuple(shape))
        for v, at in zip(values, places)
    ]


@public
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements whose positions on the two axes differ by `offset`, as a new last axis.

    >>> diagonal([[1, 2], [3, 4]]).tolist()
    [1, 4]
    """
    x = value(x)
    rank = len(x.shape)
    if rank < 2:
        raise ValueError(f"diagonal: expected at least two axes, got shape {x.shape}")
    a, b = (normalize_axis(axis, rank, "diagonal") for axis in (axis1, axis2))
    if a == b:
        raise ValueError(f"diagonal: expected two different axes, got {axis1} and {axis2}")
    return diagonal_last(x, a, b, offset)


@public
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of `diagonal`."""
    from nacre.ops.reduction import sum as total

    return total(diagonal(x, offset, axis1, axis2), -1)


@public
def diag(x: Any, k: int = 0) -> Any:
    """A vector on diagonal `k` of a matrix of zeros; of a matrix, that diagonal.

    >>> diag([1, 2]).tolist()
    [[1, 0], [0, 2]]
    """
    x = value(x)
    if len(x.shape) == 2:
        return diagonal_last(x, 0, 1, k)
    if len(x.shape) != 1:
        raise ValueError(f"diag: expected a vector or a matrix, got shape {x.shape}")
    return _on_diagonal(x, k)


def _on_diagonal(x: Any, k: int) -> Any:
    """Each element followed by n zeros is a matrix with it on the diagonal."""
    n = x.shape[0]
    wide = Pad(((0, 0), (0, n)))(reshaped(x, (n, 1)))
    square = reshaped(slice_axis(reshaped(wide, (n * (n + 1),)), 0, 0, n * n), (n, n))
    side = abs(k)
    if not side:
        return square
    return Pad(((0, side), (side, 0)) if k > 0 else ((side, 0), (0, side)))(square)


@public
def diagflat(x: Any, k: int = 0) -> Any:
    """The elements of `x`, flattened, on diagonal `k` of a matrix of zeros."""
    x = value(x)
    return _on_diagonal(reshaped(x, (x.size,)), k)


def _triangle(x: Any, k: int, lower: bool, name: str) -> Any:
    x = value(x)
    if len(x.shape) < 2:
        raise ValueError(f"{name}: expected at least two axes, got shape {x.shape}")
    rows, columns = x.shape[-2:]
    if not isinstance(k, (int, np.integer)):
        raise TypeError(f"{name}: expected k to be an int, got {k!r}")
    below = np.tri(rows, columns, max(-rows, min(k if lower else k - 1, columns)), dtype=bool)
    return Select()(Tensor(below if lower else ~below), x, scalar(0, x.dtype))


@public
def tril(x: Any, k: int = 0) -> Any:
    """`x` with zeros above diagonal `k` of its last two axes.

    >>> tril([[1, 2], [3, 4]]).tolist()
    [[1, 0], [3, 4]]
    """
    return _triangle(x, k, True, "tril")


@public
def triu(x: Any, k: int = 0) -> Any:
    """`x` with zeros below diagonal `k` of its last two axes."""
    return _triangle(x, k, False, "triu")


@public
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of a vector as columns, falling to the power 0 (rising from it with `increasing`)."""
    from nacre.ops.arithmetic import power

    x = value(x)
    if len(x.shape) != 1:
        raise ValueError(f"vander: expected a vector, got shape {x.shape}")
    count = x.shape[0] if N is None else N
    powers = np.arange(count, dtype=np.int32)
    return power(expand_dims(x, -1), Tensor(powers if increasing else powers[::-1].copy()).astype(x.dtype))


@public
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """The differences of neighbours along `axis`, taken n times.

    >>> diff([1, 4, 9]).tolist()
    [3, 5]
    """
    x = value(a)
    at = normalize_axis(axis, len(x.shape), "diff: axis")
    if n < 0:
        raise ValueError(f"diff: expected n of at least 0, got {n}")
    for _ in range(n):
        size = x.shape[at]
        if size == 0:
            return x
        later, earlier = slice_axis(x, at, 1, size), slice_axis(x, at, 0, size - 1)
        x = later != earlier if x.dtype == "bool" else later - earlier
    return x


@public
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """In each place the first choice whose condition holds there, else `default`."""
    from nacre.ops.arithmetic import where

    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"select: expected as many choices as conditions, got {len(choicelist)} and {len(condlist)}")
    y = default
    for condition, choice in zip(reversed(list(condlist)), reversed(list(choicelist))):
        y = where(condition, choice, y)
    return y
