"""Shapes and order: reshape, transpose, join, cut, pad, repeat. Nothing is computed."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.autodiff import install_arithmetic
from nacre.core.spec import broadcast_shapes, normalize_axis
from nacre.core.tensor import Symbol, Tensor, install_operators
from nacre.core.variable import Variable
from nacre.ops.base import install_stack, public, stand_ins, value
from nacre.ops.elementwise import BroadcastTo, Cast, same_dtype
from nacre.ops.movement import (
    Concat,
    Reshape,
    permuted,
    reshaped,
    slice_axis,
    split_sizes,
)

__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "moveaxis", "ravel", "reshape", "split", "squeeze", "stack",
    "swapaxes", "transpose", "unstack",
]  # fmt: skip


def movable(x: Any) -> Any:
    """`x` as a value, or as it is where it is an array of strings: these take other shapes, and nothing else."""
    if isinstance(x, np.ndarray) and x.size and isinstance(x.flat[0], (str, bytes)):
        return x
    return value(x)


def as_shape(shape: Any, what: str) -> tuple[int, ...]:
    """`shape` (an int or ints, which may be tensors of one element) as a tuple. Raises TypeError for anything else."""
    if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool):
        return (int(shape),)
    if isinstance(shape, (Tensor, Variable, np.ndarray)):
        if len(shape.shape) > 1:
            raise TypeError(
                f"{what}: expected a shape (an int or a sequence of ints), got an array of shape {shape.shape}"
            )
        shape = np.asarray(shape).tolist()
        if isinstance(shape, int):
            return (shape,)
    computed = isinstance(shape, Symbol) and trace.probing() and len(shape.shape) == 1
    try:
        sizes = _entries(shape) if computed else tuple(shape)
    except TypeError:
        raise TypeError(f"{what}: expected a shape (an int or a sequence of ints), got {shape!r}") from None
    out = []
    for d in sizes:
        if isinstance(d, bool) or not hasattr(d, "__index__"):
            raise TypeError(f"{what}: expected a shape of ints, got {sizes!r}")
        out.append(trace.unknown_size() if isinstance(d, Symbol) and trace.probing() else d.__index__())
    return tuple(out)


def _entries(shape: Symbol) -> tuple[Any, ...]:
    """What a shape that is computed was joined from: sizes that are known as ints."""
    if shape.kind == "constant":
        return tuple(shape.payload.tolist())
    if shape.node is not None and isinstance(shape.node.op, Cast):
        return _entries(shape.node.inputs[0])
    if shape.node is not None and isinstance(shape.node.op, Concat):
        return tuple(d for part in shape.node.inputs for d in _entries(part))
    return (shape,) * shape.shape[0]


def sizes_of(shape: Any, what: str) -> tuple[int, ...]:
    """A shape without negative sizes and small enough to be addressed. Raises ValueError otherwise."""
    sizes = as_shape(shape, what)
    n = 1
    for d in sizes:
        if d < 0:
            raise ValueError(f"{what}: sizes cannot be negative, got shape {sizes}")
        n *= max(d, 1)
    if n >= 2**59:
        raise ValueError(
            f"{what}: a tensor of shape {sizes} would have {n} elements, which is more than can be addressed"
        )
    return sizes


@public
def reshape(x: Any, newshape: Any) -> Any:
    """The elements of `x` in the same order, shaped `newshape`; one size may be -1 (or None) and is found.

    Raises ValueError when the number of elements differs.

    >>> reshape([1, 2, 3, 4], (2, -1)).shape
    (2, 2)
    """
    x = movable(x)
    if isinstance(newshape, (list, tuple)):
        newshape = tuple(-1 if d is None else d for d in newshape)
    wanted = as_shape(newshape, "reshape")
    computed = [d for d in (newshape if isinstance(newshape, tuple) else (newshape,)) if isinstance(d, Symbol)]
    if computed and (unknown := stand_ins(computed, ([None if d == -1 else d for d in wanted], x.dtype))):
        return unknown[0]
    open_axes = [i for i, d in enumerate(wanted) if d == -1]
    known = math.prod(d for d in wanted if d != -1)
    fits = known == x.size if not open_axes else known > 0 and x.size % known == 0
    if any(d < -1 for d in wanted):
        raise ValueError(f"reshape: each size must be a non-negative integer or -1, got newshape={tuple(wanted)}")
    if len(open_axes) > 1:
        raise ValueError(f"reshape: there can be at most one unknown dimension (-1), got newshape={tuple(wanted)}")
    if not fits:
        raise ValueError(f"reshape: a tensor of shape {x.shape} ({x.size} elements) cannot get shape {wanted}")
    if open_axes:
        i = open_axes[0]
        wanted = (*wanted[:i], x.size // known, *wanted[i + 1 :])
    return reshaped(x, wanted)


@public
def ravel(x: Any) -> Any:
    """The elements of `x` in row-major order, shape (size,)."""
    x = movable(x)
    return reshaped(x, (x.size,))


@public
def transpose(x: Any, axes: Any = None) -> Any:
    """Axis i of the result is axis `axes[i]` of `x`; all axes in reverse order without `axes`.

    >>> transpose(np.zeros((2, 3, 4)), axes=(1, 0, 2)).shape
    (3, 2, 4)
    """
    x = value(x)
    rank = len(x.shape)
    if axes is None:
        perm = tuple(range(rank - 1, -1, -1))
    else:
        axes = as_shape(axes, "transpose")
        if len(axes) != rank:
            raise ValueError(
                "transpose: `axes` must be a list of the same length as the input shape, expected "
                f"{rank} of them for shape {x.shape}, got axes={axes!r}"
            )
        if any(not -rank <= a < rank for a in axes):
            raise ValueError(
                f"transpose: Each axis in `axes` must be an integer in [-{rank}, {rank}), got axes={axes!r} for a "
                f"tensor of shape {x.shape}"
            )
        perm = tuple(a % rank for a in axes)
        if sorted(perm) != list(range(rank)):
            raise ValueError(
                f"transpose: expected a valid permutation of the axes of a tensor of shape {x.shape}, "
                f"got axes={list(axes)!r}"
            )
    return permuted(x, perm)


@public
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """`x` with the axes `source` moved to the places `destination`; the others keep their order.

    >>> moveaxis(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = value(x)
    rank = len(x.shape)
    froms = [normalize_axis(a, rank, "moveaxis: source") for a in as_shape(source, "moveaxis")]
    tos = [normalize_axis(a, rank, "moveaxis: destination") for a in as_shape(destination, "moveaxis")]
    if len(froms) != len(tos) or len(set(froms)) != len(froms) or len(set(tos)) != len(tos):
        raise ValueError(f"moveaxis: expected as many different axes in each, got {source!r} and {destination!r}")
    order = [a for a in range(rank) if a not in froms]
    for to, start in sorted(zip(tos, froms)):
        order.insert(to, start)
    return permuted(x, tuple(order))


@public
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """`x` with two axes exchanged."""
    x = value(x)
    order = list(range(len(x.shape)))
    a, b = (normalize_axis(axis, len(order), "swapaxes") for axis in (axis1, axis2))
    order[a], order[b] = order[b], order[a]
    return permuted(x, tuple(order))


@public
def expand_dims(x: Any, axis: Any) -> Any:
    """`x` with axes of size 1 put in at `axis` (an int or several, counted in the result).

    >>> expand_dims([1.0, 2.0], -1).shape
    (2, 1)
    """
    x = movable(x)
    axes = as_shape(axis, "expand_dims")
    rank = len(x.shape) + len(axes)
    places = {normalize_axis(a, rank, "expand_dims: axis") for a in axes}
    if len(places) != len(axes):
        raise ValueError(f"expand_dims: every axis may be named once, got {axis!r}")
    rest = iter(x.shape)
    return reshaped(x, tuple(1 if i in places else next(rest) for i in range(rank)))


@public
def squeeze(x: Any, axis: Any = None) -> Any:
    """`x` without its axes of size 1, or without those named. Raises ValueError for one of another size.

    >>> squeeze([[[1.0], [2.0]]]).shape
    (2,)
    """
    x = movable(x)
    shape = x.shape
    if axis is None:
        return reshaped(x, tuple(d for d in shape if d != 1))
    axes = {normalize_axis(a, len(shape), "squeeze: axis") for a in as_shape(axis, "squeeze")}
    for a in axes:
        if shape[a] != 1:
            raise ValueError(f"squeeze: expected an axis of size 1, axis {a} of shape {shape} has {shape[a]}")
    return reshaped(x, tuple(d for i, d in enumerate(shape) if i not in axes))


@public
def broadcast_to(x: Any, shape: Any) -> Any:
    """`x` repeated until it has `shape`, by NumPy's rule.

    >>> broadcast_to([1, 2], (3, 2)).shape
    (3, 2)
    """
    x = value(x)
    wanted = sizes_of(shape, "broadcast_to")
    try:
        fits = broadcast_shapes(x.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"broadcast_to: a tensor of shape {x.shape} cannot be repeated to shape {wanted}")
    return broadcasted(x, wanted)


def broadcasted(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` broadcast to `shape`, which it is known to fit."""
    if x.shape == shape:
        return x
    if math.prod(shape) == math.prod(x.shape):
        return Reshape(shape)(x)
    return BroadcastTo(shape)(x)


@public
def concatenate(xs: Any, axis: int | None = 0) -> Any:
    """The tensors of the list `xs` one after the other along `axis`; shapes may differ only there.

    Dtypes are promoted to one that holds them all.

    >>> concatenate([[[1, 2]], [[3, 4], [5, 6]]]).shape
    (3, 2)
    """
    if isinstance(xs, (Tensor, Symbol, Variable, np.ndarray)):
        xs = list(value(xs))
    if not isinstance(xs, (list, tuple)) or not xs:
        raise ValueError(f"concatenate: expected a list of at least one tensor, got {xs!r}")
    values = same_dtype(*xs)
    first = values[0].shape
    if axis is None:
        values = [reshaped(v, (v.size,)) for v in values]
        first, axis = values[0].shape, 0
    axis = normalize_axis(axis, len(first), "concatenate: axis")
    for v in values:
        if len(v.shape) != len(first) or any(i != axis and a != b for i, (a, b) in enumerate(zip(v.shape, first))):
            raise ValueError(
                f"concatenate: shapes must agree on every axis but {axis}, got {[tuple(v.shape) for v in values]}"
            )
    return values[0] if len(values) == 1 else Concat(axis)(*values)


@public
def stack(x: Any, axis: int = 0) -> Any:
    """The tensors of the list `x`, all of one shape, along a new axis.

    >>> stack([[1, 2], [3, 4], [5, 6]], axis=1).shape
    (2, 3)
    """
    if isinstance(x, (Tensor, Symbol, Variable, np.ndarray)):
        x = list(value(x))
    if not isinstance(x, (list, tuple)) or not x:
        raise ValueError(f"stack: expected a list of at least one tensor, got {x!r}")
    values = same_dtype(*x)
    shape = values[0].shape
    if any(v.shape != shape for v in values):
        raise ValueError(f"stack: expected tensors of one shape, got {[tuple(v.shape) for v in values]}")
    axis = normalize_axis(axis, len(shape) + 1, "stack: axis")
    wide = (*shape[:axis], 1, *shape[axis:])
    parts = [Reshape(wide)(v) for v in values]
    return parts[0] if len(parts) == 1 else Concat(axis)(*parts)


@public
def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """The slices of `x` along `axis`, without it, as a list.

    >>> [t.tolist() for t in unstack([[1, 2], [3, 4]])]
    [[1, 2], [3, 4]]
    """
    x = value(x)
    axis = normalize_axis(axis, len(x.shape), "unstack: axis")
    count = x.shape[axis] if num is None else num
    more = x.shape[axis] - count
    if more and (more < 0 or not trace.probing()):  # a size that is not known stands for any
        raise ValueError(f"unstack: axis {axis} of shape {x.shape} has {x.shape[axis]} slices, got num={num}")
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    parts = split_sizes(x, (1,) * count + (more,) * bool(more), axis)
    return [Reshape(rest)(part) for part in parts[:count]]


@public
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """`x` cut along `axis` into a number of equal parts, or before each of the given positions; a list.

    Raises ValueError when the parts would not be equal.

    >>> [t.shape for t in split(np.zeros((5, 2)), [1, 3])]
    [(1, 2), (2, 2), (2, 2)]
    """
    x = value(x)
    axis = normalize_axis(axis, len(x.shape), "split: axis")
    n = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)) and not isinstance(indices_or_sections, bool):
        parts = int(indices_or_sections)
        if parts < 1 or n % parts:
            raise ValueError(f"split: axis {axis} of shape {x.shape} cannot be cut into {parts} equal parts")
        return split_sizes(x, (n // parts,) * parts, axis)
    cuts = [min(max(c + n if c < 0 else c, 0), n) for c in as_shape(indices_or_sections, "split")]
    edges = [0, *cuts, n]
    if any(b < a for a, b in pairwise(edges)):
        # Positions that go back give empty parts, as slices do.
        return [slice_axis(x, axis, a, max(b, a)) for a, b in pairwise(edges)]
    return split_sizes(x, tuple(b - a for a, b in pairwise(edges)), axis)


install_arithmetic(stack=stack, reshape=reshape)
install_stack(stack)
install_operators({"squeeze": squeeze})
