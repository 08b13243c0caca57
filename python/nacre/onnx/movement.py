"""Movement, reductions, positions and order in ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core.spec import is_float
from nacre.onnx.elementwise import order_of
from nacre.onnx.twins import Call, Open, Value, merged
from nacre.onnx.writer import Writer
from nacre.ops import gather, movement, reduction, sorting
from nacre.ops.elementwise import SumTo

_FIRST = np.iinfo(np.int64).min


def pair_of(size: Any) -> tuple[Any, Any]:
    """Its value in both traces."""
    return size.pair if isinstance(size, Open) else (size, size)


def _reshape(w: Writer, c: Call) -> None:
    x, shape = c.x[0], c.shape
    there = zip(shape, (*map(pair_of, x.shape), *[None] * len(shape)))
    known = [0 if isinstance(n, Open) and n.pair == own else n for n, own in there]  # 0: as it is
    unknown = [i for i, n in enumerate(known) if isinstance(n, Open)]
    empty = 0 in shape
    if empty or len(unknown) > 1:
        name = w("Reshape", w.of(x), w.sizes(shape), allowzero=int(empty))
    else:
        name = w("Reshape", w.of(x), w.ints(*[-1 if i in unknown else n for i, n in enumerate(known)]))
    w.put(c.y[0], name)


def _transpose(w: Writer, c: Call) -> None:
    w.put(c.y[0], w.of(c.x[0], c.perm))


def _slice(w: Writer, c: Call) -> None:
    x = c.x[0]
    order = order_of(c.x, c.y[0])
    starts, ends, axes, steps = [], [], [], []
    for axis, (start, size, step, n) in enumerate(zip(c.start, c.size, c.step, x.shape)):
        if pair_of(size) == pair_of(n) and step == 1:
            continue
        if isinstance(step, Open):
            raise c.refused("its step depends on a size that is not known")
        end = merged(*[a + m * step for a, m in zip(pair_of(start), pair_of(size))])
        starts.append(w.place(start, n))
        ends.append(_FIRST if min(pair_of(end)) < 0 else w.place(end, n))
        axes.append(order.index(axis))
        steps.append(step)
    name = w.of(x, order)
    if axes:
        name = w("Slice", name, w.places(starts), w.places(ends), w.ints(*axes), w.ints(*steps))
    w.put(c.y[0], name, order)


def _pad(w: Writer, c: Call) -> None:
    order = order_of(c.x, c.y[0])
    before, after = ([c.widths[axis][side] for axis in order] for side in (0, 1))
    fill = w.constant(c.fixed("fill")[0], c.x[0].dtype)
    w.put(c.y[0], w("Pad", w.of(c.x[0], order), w.sizes([*before, *after]), fill), order)


def _concat(w: Writer, c: Call) -> None:
    order = order_of(c.x, c.y[0])
    w.put(c.y[0], w("Concat", *[w.of(x, order) for x in c.x if 0 not in x.shape], axis=order.index(c.axis)), order)


def _split(w: Writer, c: Call) -> None:
    order = order_of(c.x, c.y[0])
    names = w("Split", w.of(c.x[0], order), w.sizes(c.sizes), outputs=len(c.y), axis=order.index(c.axis))
    for y, name in zip(c.y, [names] if isinstance(names, str) else names):
        w.put(y, name, order)


# --- reductions -----------------------------------------------------------------------------------------------------


def _reduce(kind: str, through: str = "") -> Callable[[Writer, Call], None]:
    """To the axes that `shape` keeps; computed in the dtype `through`."""

    def convert(w: Writer, c: Call) -> None:
        x, y = c.x[0], c.y[0]
        lead = x.rank - y.rank
        kept = (1,) * lead + y.shape
        axes = [i for i, (n, m) in enumerate(zip(x.shape, kept)) if m == 1 and n != 1]
        order = order_of(c.x, y) if not lead else x.natural
        name = w.of(x, order)
        dtype = through or ("int32" if x.dtype in ("uint8", "bool") else x.dtype)
        if through:  # what is not zero
            name = w.cast(name if x.dtype == "bool" else w.cast(name, "bool"), dtype)
        elif dtype != x.dtype:
            name = w.cast(name, dtype)
        scale = pair_of(c.scale) if kind == "ReduceSum" else (1.0, 1.0)
        counts = [math.prod(pair_of(x.shape[i])[k] for i in axes) for k in range(2)]
        mean = axes and is_float(dtype) and all(abs(s * n - 1) < 1e-6 for s, n in zip(scale, counts))
        if axes:
            at = w.ints(*sorted(order.index(i) for i in axes))
            name = w("ReduceMean" if mean else kind, name, at, keepdims=1)
        elif kind == "ReduceSumSquare":
            name = w("Mul", name, name)
        if not mean and scale != (1.0, 1.0):
            if scale[0] != scale[1]:
                raise c.refused("its `scale` depends on a size that is not known")
            name = w("Mul", name, w.constant(scale[0], dtype))
        if through and kind == "ReduceMax":  # of nothing it is less than zero
            name, dtype = w("Greater", name, w.constant(0, dtype)), "bool"
        if lead:
            name = w("Squeeze", name, w.ints(*range(lead)))
        w.put(y, name if dtype == y.dtype else w.cast(name, y.dtype), order if not lead else None)

    return convert


def _arg_reduce(w: Writer, c: Call) -> None:
    x = c.x[0]
    name = _ordered(w, x)
    kind = "ArgMax" if c.largest else "ArgMin"
    w.put(c.y[0], w.cast(w(kind, name, axis=c.axis, keepdims=0), "int32"))


def _cumulative(w: Writer, c: Call) -> None:
    x = c.x[0]
    if c.kind != "sum" or x.dtype == "uint8":
        raise c.refused(f"ONNX has no running {c.kind} of {x.dtype}")
    flags = dict(exclusive=int(c.exclusive), reverse=int(c.reverse))
    w.put(c.y[0], w("CumSum", w.of(x), w.constant(c.axis, np.int64), **flags))


# --- positions ------------------------------------------------------------------------------------------------------


def _index(w: Writer, value: Value) -> str:
    return w.of(value) if value.dtype in ("int32", "int64") else w.cast(w.of(value), "int64")


def _take(w: Writer, c: Call) -> None:
    w.put(c.y[0], w("Gather", w.of(c.x[0]), _index(w, c.x[1]), axis=c.axis))


def _take_along(w: Writer, c: Call) -> None:
    w.put(c.y[0], w("GatherElements", w.of(c.x[0]), _index(w, c.x[1]), axis=c.axis))


def _scatter(w: Writer, base: str, shape: Any, index: Value, updates: Value, **how: Any) -> str:
    """`updates` at the rows of `index`; one that points outside goes into a row behind the last, which is cut off."""
    size = [pair_of(n)[0] for n in shape[: index.shape[1]]]
    at, array = w.cast(w.of(index), "int64"), w.array(index)
    if array is not None and ((array >= np.negative(size)) & (array < size)).all():
        return str(w("ScatterND", base, at, w.of(updates), **how))
    limits, zero, last = w.sizes(shape[: index.shape[1]]), w.constant(0, np.int64), w.ints(-1)
    at = w("Where", w("Less", at, zero), w("Add", at, limits), at)
    inside = w("And", w("GreaterOrEqual", at, zero), w("Less", at, limits))
    inside = w("ReduceMin", w.cast(inside, "int32"), last, keepdims=1)
    outside = w("Mul", limits, w.ints(1, *[0] * (index.shape[1] - 1)))
    at = w("Where", w.cast(inside, "bool"), at, outside)
    ends = [0] * len(shape)
    wide = w("Pad", base, w.ints(*ends, 1, *ends[1:]), w.constant(0, updates.dtype))
    return str(w("Slice", w("ScatterND", wide, at, w.of(updates), **how), w.ints(0), last, w.ints(0)))


def _scatter_add(w: Writer, c: Call) -> None:
    zeros = w("Expand", w.constant(0, c.y[0].dtype), w.sizes(c.shape))
    w.put(c.y[0], _scatter(w, zeros, c.shape, *c.x, reduction="add"))


def _scatter_set(w: Writer, c: Call) -> None:
    w.put(c.y[0], _scatter(w, w.of(c.x[0]), c.x[0].shape, *c.x[1:]))


def _take_grad(w: Writer, c: Call) -> None:
    """Sums of slices; those that point outside are zeros for the first place."""
    dy, index = c.x
    shape, axis = c.shape, c.axis
    zero, size = w.constant(0, np.int64), w.sizes(shape[axis : axis + 1])
    wide = (1,) * axis + index.shape + (1,) * (dy.rank - axis - index.rank)
    at = w("Reshape", w.cast(w.of(index), "int64"), w.sizes(wide))
    at = w("Where", w("Less", at, zero), w("Add", at, size), at)
    inside = w("And", w("GreaterOrEqual", at, zero), w("Less", at, size))
    row = w.sizes((*shape[:axis], -1, *shape[axis + 1 :]))
    at = w("Reshape", w("Expand", w("Where", inside, at, zero), w.sizes(dy.shape)), row)
    updates = w("Reshape", w("Where", inside, w.of(dy), w.constant(0, dy.dtype)), row)
    zeros = w("Expand", w.constant(0, dy.dtype), w.sizes(shape))
    w.put(c.y[0], w("ScatterElements", zeros, at, updates, axis=axis, reduction="add"))


def _slice_update(w: Writer, c: Call) -> None:
    """The updates with zeros around them, where they are to be."""
    x, updates = c.x
    inside = np.ones((), bool)
    before, after = [], []
    for axis, (start, size, n) in enumerate(zip(c.start, updates.shape, x.shape)):
        if pair_of(size) == pair_of(n):
            before.append(0)
            after.append(0)
            continue
        if any(isinstance(v, Open) for v in (start, size, n)):
            raise c.refused("where it writes depends on a size that is not known")
        before.append(start)
        after.append(n - start - size)
        at = np.arange(n).reshape([-1 if i == axis else 1 for i in range(x.rank)])
        inside = inside & (at >= start) & (at < start + size)
    whole = w("Pad", w.of(updates), w.ints(*before, *after), w.constant(0, x.dtype))
    w.put(c.y[0], w.where(x.dtype, w.constant(inside), whole, w.of(x)))


# --- order ----------------------------------------------------------------------------------------------------------


def _ordered(w: Writer, x: Value) -> str:
    return w.cast(w.of(x), "int32") if x.dtype == "bool" else w.of(x)


def _argsort(w: Writer, c: Call) -> None:
    """With NaN at the end, where ONNX does not say."""
    x = c.x[0]
    name = _ordered(w, x)
    if is_float(x.dtype):
        finite = w("Min", name, w.constant(np.finfo(x.dtype).max, x.dtype))
        name = w("Where", w("IsNaN", name), w.constant(np.inf, x.dtype), finite)
    _, index = w("TopK", name, w.sizes([x.shape[c.axis]]), outputs=2, axis=c.axis, largest=0)
    w.put(c.y[0], w.cast(index, "int32"))


def _top_k(w: Writer, c: Call) -> None:
    x = c.x[0]
    values, index = w("TopK", _ordered(w, x), w.sizes([c.count]), outputs=2, axis=1)
    w.put(c.y[0], w.cast(values, "bool") if x.dtype == "bool" else values)
    w.put(c.y[1], w.cast(index, "int32"))


def _searchsorted(w: Writer, c: Call) -> None:
    """How many edges lie below."""
    edges, values = c.x
    below = w("LessOrEqual" if c.right else "Less", w.of(edges), w("Unsqueeze", w.of(values), w.ints(-1)))
    w.put(c.y[0], w("ReduceSum", w.cast(below, "int32"), w.ints(-1), keepdims=0))


TABLE: dict[type, Callable[[Writer, Call], Any]] = {
    movement.Reshape: _reshape,
    movement.Transpose: _transpose,
    movement.Slice: _slice,
    movement.Pad: _pad,
    movement.Concat: _concat,
    movement.Split: _split,
    SumTo: _reduce("ReduceSum"),
    reduction.MaxTo: _reduce("ReduceMax"),
    reduction.MinTo: _reduce("ReduceMin"),
    reduction.ProdTo: _reduce("ReduceProd"),
    reduction.SumSquaresTo: _reduce("ReduceSumSquare"),
    reduction.AnyTo: _reduce("ReduceMax", "int32"),
    reduction.AllTo: _reduce("ReduceMin", "int32"),
    reduction.ArgReduce: _arg_reduce,
    reduction.Cumulative: _cumulative,
    gather.Take: _take,
    gather.TakeAlong: _take_along,
    gather.TakeGradX: _take_grad,
    gather.ScatterAdd: _scatter_add,
    gather.ScatterSet: _scatter_set,
    gather.SliceUpdate: _slice_update,
    sorting.ArgSort: _argsort,
    sorting.TopK: _top_k,
    sorting.SearchSorted: _searchsorted,
}
