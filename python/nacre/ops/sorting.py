"""Order and what follows from it: sort, ranks, quantiles, search, and counts per value.

One op gives the order, `ArgSort`; sorted values are taken by it, so that gradients find their way back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.op import Op
from nacre.core.spec import DTYPE_CODE, Spec, is_float, is_int, normalize_axes, normalize_axis
from nacre.core.tensor import Symbol, Tensor
from nacre.ops.base import public, scalar, stand_ins, value
from nacre.ops.elementwise import (
    Add,
    BitwiseAnd,
    BroadcastTo,
    Cast,
    Eq,
    Floor,
    Ge,
    Gt,
    Isnan,
    LogicalAnd,
    LogicalNot,
    LogicalOr,
    Lt,
    Max,
    Min,
    Mul,
    Ne,
    Select,
    Sub,
    SumTo,
    cast_to,
    floating,
    same_dtype,
)
from nacre.ops.gather import ScatterAdd, ScatterSet, Take, TakeAlong, TakeAlongGradX, TakeGradX, around
from nacre.ops.indexing import as_index
from nacre.ops.movement import Concat, permuted, reshaped
from nacre.ops.reduction import AnyTo, MaxTo, MinTo

__all__ = [
    "argpartition", "argsort", "bincount", "digitize", "histogram", "in_top_k", "isin", "median", "percentile",
    "quantile", "searchsorted", "segment_max", "segment_min", "segment_prod", "segment_sum", "sort", "top_k", "unique",
]  # fmt: skip


class ArgSort(Op):
    """The positions that sort x along `axis`, equal elements in their order, NaN last: int32."""

    axis: int

    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape, "int32")

    def lower(self, k: Any, x: Any, y: Any) -> None:
        o, r, i = around(x.shape, self.axis)
        fields = dict(O=o, R=r, I=i, dtype=DTYPE_CODE[x.dtype], index_dtype=DTYPE_CODE[y.dtype], descending=0)
        k.argsort(fields, x, y)


class TopK(Op):
    """The `count` largest of each row, largest first, and where they stand. x (M, N) -> (M, count), int32 (M,
    count).
    """

    count: int

    outputs = ("y", "index")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        shape = (x.shape[0], self.count)
        return Spec(shape, x.dtype), Spec(shape, "int32")

    def lower(self, k: Any, x: Any, y: Any, index: Any) -> None:
        m, n = x.shape
        fields = dict(M=m, N=n, k=self.count, dtype=DTYPE_CODE[x.dtype], index_dtype=DTYPE_CODE[index.dtype])
        k.top_k(fields, x, y, index)

    def grad(self, x: Any, index: Any, dy: Any) -> Any:
        return TakeAlongGradX(1, x.shape)(dy, index)


class SearchSorted(Op):
    """Where each value would go in the sorted vector, before equal ones or behind: int32."""

    right: bool

    def infer(self, edges: Spec, values: Spec) -> Spec:
        return Spec(values.shape, "int32")

    def lower(self, k: Any, edges: Any, values: Any, y: Any) -> None:
        fields = dict(n=edges.size, m=values.size, dtype=DTYPE_CODE[edges.dtype], index_dtype=DTYPE_CODE[y.dtype])
        k.searchsorted({**fields, "right": int(self.right)}, edges, values, y)


def sorted_along(x: Any, axis: int) -> Any:
    """`x` in rising order along `axis`: the elements that the order names, so that gradients find their way back."""
    return TakeAlong(axis)(x, ArgSort(axis)(x)) if x.size else x


@public
def sort(x: Any, axis: int | None = -1) -> Any:
    """`x` in rising order along `axis` (flattened without one); NaN comes last.

    >>> sort([3, 1, 2]).tolist()
    [1, 2, 3]
    """
    x = value(x)
    if axis is None:
        return sorted_along(reshaped(x, (x.size,)), 0)
    return sorted_along(x, normalize_axis(axis, len(x.shape), "sort: axis"))


@public
def argsort(x: Any, axis: int | None = -1) -> Any:
    """The positions that would sort `x` along `axis`, equal elements in their order: int32.

    >>> argsort([3, 1, 2]).tolist()
    [1, 2, 0]
    """
    x = value(x)
    if axis is None or not x.shape:
        return ArgSort(0)(reshaped(x, (x.size,))) if x.shape else ArgSort(0)(reshaped(x, (1,)))
    return ArgSort(normalize_axis(axis, len(x.shape), "argsort: axis"))(x)


@public
def argpartition(x: Any, kth: int, axis: int | None = -1) -> Any:
    """Positions that put the kth smallest in its place, smaller ones before it, larger ones after it: int32.

    Of the flattened tensor without an axis.
    """
    x = value(x)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    n = x.shape[normalize_axis(axis, len(x.shape), "argpartition: axis")]
    if not -n <= kth < n:
        raise ValueError(f"argpartition: expected kth in [{-n}, {n}), got {kth}")
    return argsort(x, axis)


@public
def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """The k largest along the last axis, largest first, and their positions: a pair. They are always sorted.

    >>> [t.tolist() for t in top_k([1, 4, 3], 2)]
    [[4, 3], [1, 2]]
    """
    x = value(x)
    if not x.shape or isinstance(k, bool) or not hasattr(k, "__index__") or not 0 <= k.__index__() <= x.shape[-1]:
        raise ValueError(f"top_k: expected k to be an int of at most the last axis of shape {x.shape}, got {k!r}")
    k = k.__index__()
    *lead, n = x.shape
    y, index = TopK(k)(reshaped(x, (math.prod(lead), n)))
    return reshaped(y, (*lead, k)), reshaped(index, (*lead, k))


@public
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether the prediction for each target class is among the k largest of its row; equal ones count: bool.

    targets (N,) ints, predictions (N, C) -> (N,). A class outside, or a prediction that is not finite, is never among
    them.

    >>> in_top_k([0, 1], [[0.9, 0.1], [0.8, 0.2]], 1).tolist()
    [True, False]
    """
    index, p = as_index(targets, "in_top_k"), floating(predictions)
    if len(p.shape) != 2 or index.shape != p.shape[:1]:
        raise ValueError(
            f"in_top_k: expected targets (N,) and predictions (N, C), got shapes {index.shape} and {p.shape}"
        )
    own = TakeAlong(1)(p, reshaped(index, (*index.shape, 1)))
    larger = SumTo((p.shape[0], 1))(Cast("int32")(Gt()(p, own)))
    inside = LogicalAnd()(Ge()(index, scalar(0, index.dtype)), Lt()(index, scalar(p.shape[1], index.dtype)))
    known = LogicalAnd()(inside, reshaped(Gt()(own, scalar(-math.inf, p.dtype)), index.shape))
    return LogicalAnd()(reshaped(Lt()(larger, scalar(int(k), "int32")), index.shape), known)


# --- quantiles ------------------------------------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@public
def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The value below which a share q of the elements over `axis` lies; the axes of `q` come first.

    `method` says what happens between two elements: "linear", "lower", "higher", "midpoint" or "nearest".

    >>> quantile([1.0, 2.0, 4.0], 0.75).item()
    3.0
    """
    return _quantile(floating(x), q, axis, method, keepdims, "quantile")


def _quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, name: str) -> Any:
    rows, axes, share = _quantile_operands(x, q, axis, method, name)
    last = scalar(rows.shape[-1] - 1, "int32")
    y = _between(sorted_along(rows, len(rows.shape) - 1), share, last, method)
    spoilt = AnyTo((*rows.shape[:-1], 1))(Isnan()(rows))
    y = Select()(spoilt, scalar(math.nan, x.dtype), y)
    return _quantiles_first(y, q, x.shape, axes, keepdims)


def nan_last_quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, name: str) -> Any:
    """Quantiles of what is not NaN: NaN is sorted to the end, so that the rest is a shorter row."""
    rows, axes, share = _quantile_operands(x, q, axis, method, name)
    count = SumTo((*rows.shape[:-1], 1))(Cast("int32")(LogicalNot()(Isnan()(rows))))
    last = Sub()(count, scalar(1, "int32"))
    y = _between(
        sorted_along(rows, len(rows.shape) - 1),
        share,
        Select()(Lt()(last, scalar(0, "int32")), scalar(0, "int32"), last),
        method,
    )
    return _quantiles_first(y, q, x.shape, axes, keepdims)


def _quantile_operands(x: Any, q: Any, axis: Any, method: str, name: str) -> tuple[Any, tuple[int, ...], Any]:
    """`x` with the reduced axes joined as the last, which those were, and q as a vector of the dtype of x."""
    if method not in _METHODS:
        raise ValueError(f"{name}: expected method to be one of {list(_METHODS)}, got {method!r}")
    axes = normalize_axes(axis, len(x.shape), f"{name}: axis")
    rest = tuple(a for a in range(len(x.shape)) if a not in axes)
    count = math.prod(x.shape[a] for a in axes)
    if count == 0:
        raise ValueError(f"{name}: no elements over axis {axis!r} of shape {x.shape}")
    rows = reshaped(permuted(x, (*rest, *axes)), (*(x.shape[a] for a in rest), count))
    share = floating(q)
    if len(share.shape) > 1:
        raise ValueError(f"{name}: expected q to be a number or a vector, got shape {share.shape}")
    if isinstance(share, Tensor) and share.size and not (np.min(share) >= 0 and np.max(share) <= 1):
        raise ValueError(f"{name}: shares must be between 0 and 1, got {q!r}")
    return rows, axes, reshaped(share if share.dtype == x.dtype else Cast(x.dtype)(share), (share.size,))


def _between(ordered: Any, share: Any, last: Any, method: str) -> Any:
    """The elements at the places share * last of each sorted row, which mostly lie between two."""
    dtype = ordered.dtype
    at = len(ordered.shape) - 1
    place = Mul()(share, Cast(dtype)(last))
    low = Floor()(place)
    weight = Sub()(place, low)
    first = Cast("int32")(low)
    second = Select()(Lt()(first, last), Add()(first, scalar(1, "int32")), last)
    shape = (*ordered.shape[:-1], share.size)
    below, above = (TakeAlong(at)(ordered, i if i.shape == shape else BroadcastTo(shape)(i)) for i in (first, second))
    zero, half = scalar(0.0, dtype), scalar(0.5, dtype)
    if method == "lower":
        return below
    if method == "higher":
        return Select()(Gt()(weight, zero), above, below)
    if method == "nearest":
        # Half way the even place wins, as rounding has it.
        odd = Eq()(BitwiseAnd()(first, scalar(1, "int32")), scalar(1, "int32"))
        up = LogicalOr()(Gt()(weight, half), LogicalAnd()(Eq()(weight, half), odd))
        return Select()(up, above, below)
    if method == "midpoint":
        weight = Select()(Gt()(weight, zero), half, zero)
    y = Add()(below, Mul()(Sub()(above, below), weight))
    # Infinite neighbours have no difference: there the place itself, or the sum of shares, is what counts.
    shares = Add()(Mul()(below, Sub()(scalar(1.0, dtype), weight)), Mul()(above, weight))
    return Select()(Isnan()(y), Select()(Gt()(weight, zero), shares, below), y)


def _quantiles_first(y: Any, q: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    at = len(y.shape) - 1
    y = permuted(y, (at, *range(at)))
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape))
    rest = kept if keepdims else tuple(d for i, d in enumerate(shape) if i not in axes)
    return reshaped(y, (*value(q).shape, *rest))


@public
def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`quantile` with q in hundredths."""
    return _quantile(floating(x), floating(q) / 100.0, axis, method, keepdims, "percentile")


@public
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle of the sorted elements over `axis`, the mean of the two middle ones where their number is even.

    >>> median([3.0, 1.0, 2.0]).item()
    2.0
    """
    return _quantile(floating(x), 0.5, axis, "linear", keepdims, "median")


# --- search and counts ----------------------------------------------------------------------------------------------


@public
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where each value would go in the sorted vector to keep it sorted, before equal ones ("left") or behind: int32.

    >>> searchsorted([1, 3, 5], [3, 4]).tolist()
    [1, 2]
    """
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: expected side to be 'left' or 'right', got {side!r}")
    edges, v = same_dtype(sorted_sequence, values)
    if len(edges.shape) != 1:
        raise ValueError(f"searchsorted: expected the sorted sequence to be a vector, got shape {edges.shape}")
    return SearchSorted(side == "right")(edges, v)


@public
def digitize(x: Any, bins: Any) -> Any:
    """How many of the rising `bins` are at most each element of `x`: int32."""
    bins = value(bins)
    if len(bins.shape) != 1:
        raise ValueError(f"digitize: expected bins to be a vector, got shape {bins.shape}")
    return searchsorted(bins, x, "right")


@public
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each whole number from 0 on stands in `x` (the sum of its weights); rows of a matrix are counted apart.

    The result is as long as the largest number asks, at least `minlength`; in a compiled function just `minlength`,
    which has to be given there.

    >>> bincount([1, 1, 3]).tolist()
    [0, 2, 0, 1]
    """
    if sparse:
        raise ValueError("bincount: there are only dense tensors here")
    index = as_index(x, "bincount")
    if len(index.shape) not in (1, 2):
        raise ValueError(f"bincount: expected one or two axes, got shape {index.shape}")
    length = int(minlength)
    if isinstance(index, Tensor) or (length == 0 and not trace.probing()):
        if index.size and np.min(index) < 0:
            raise ValueError("bincount: expected no negative numbers")
        length = max(length, int(np.max(index)) + 1 if index.size else 0)
    w = None if weights is None else value(weights)
    if w is not None and w.shape != index.shape:
        raise ValueError(f"bincount: weights of shape {w.shape} do not fit x of shape {index.shape}")
    if w is None:
        w = BroadcastTo(index.shape)(scalar(1, "int32"))
    if len(index.shape) == 1:
        return TakeGradX(0, (length,))(w, index)
    return counts_in_rows(index, w, length)


def counts_in_rows(index: Any, weights: Any, length: int) -> Any:
    """The weights (N, K) added up by the numbers in each row of `index` (N, K): (N, length). Other numbers count
    nowhere."""
    rows = index.shape[0]
    offset = Tensor((np.arange(rows) * length).astype(index.dtype).reshape(rows, 1))
    inside = LogicalAnd()(Ge()(index, scalar(0, index.dtype)), Lt()(index, scalar(length, index.dtype)))
    flat = Select()(inside, Add()(index, offset), scalar(-1 - rows * length, index.dtype))
    counts = TakeGradX(0, (rows * length,))(reshaped(weights, (weights.size,)), reshaped(flat, (flat.size,)))
    return reshaped(counts, (rows, length))


@public
def histogram(x: Any, bins: int = 10, range: Any = None) -> Any:
    """The counts of elements in `bins` equal parts of `range` (smallest to largest by default), and the parts'
    edges.
    """
    if isinstance(bins, bool) or not hasattr(bins, "__index__") or bins.__index__() < 1:
        raise ValueError(f"Argument `bins` should be a non-negative integer. Received: bins={bins!r}")
    if range is not None and (not isinstance(range, (tuple, list)) or len(range) != 2):
        raise ValueError(f"Argument `range` must be a tuple of two elements. Received: range={range!r}")
    if range is not None and range[1] < range[0]:
        raise ValueError(f"The second element of `range` must be greater than the first. Received: range={range!r}")
    x = value(x)
    if isinstance(x, Symbol):
        return _histogram(x, bins.__index__(), range)
    counts, edges = np.histogram(x.numpy(), bins.__index__(), None if range is None else (range[0], range[1]))
    return Tensor(counts.astype(np.int32)), Tensor(edges.astype(np.float32))


def _histogram(x: Any, bins: int, range: Any) -> tuple[Any, Any]:
    x = cast_to(reshaped(x, (x.size,)), "float32")
    if range is not None or not x.size:
        low, high = (scalar(float(end), "float32") for end in (range or (0, 1)))
    else:
        low, high = MinTo((1,))(x), MaxTo((1,))(x)
    half = Select()(Eq()(low, high), scalar(0.5, "float32"), scalar(0.0, "float32"))  # a part is never empty
    low, high = Sub()(low, half), Add()(high, half)
    shares = Tensor(np.linspace(0, 1, bins + 1, dtype=np.float32))
    edges = Add()(Mul()(low, Tensor(1 - shares._array)), Mul()(high, shares))
    at = Sub()(searchsorted(edges, x, "right"), scalar(1, "int32"))
    at = Select()(Eq()(x, high), scalar(bins - 1, "int32"), at)  # the last part has both its ends
    at = Select()(Lt()(at, scalar(0, "int32")), scalar(bins, "int32"), at)  # left out, as what lies above
    return TakeGradX(0, (bins,))(BroadcastTo(x.shape)(scalar(1, "int32")), at), edges


@public
def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different elements of `x` in rising order, eagerly: their number depends on the values.

    On demand also where each first stands, which one each element of `x` is, and how often each occurs.

    >>> unique([3, 1, 3]).tolist()
    [1, 3]
    """
    x = value(x)
    asked = (return_index, return_inverse, return_counts)
    at = axis if axis is None else normalize_axis(axis, len(x.shape), "unique: axis")
    shape = (size,) if at is None else (*x.shape[:at], size, *x.shape[at + 1 :])
    counts = ((size,), x.shape if at is None else x.shape[at : at + 1], (size,))
    specs = ((shape, x.dtype), *((n, "int32") for n, wanted in zip(counts, asked) if wanted))
    if unknown := stand_ins([x], *specs):
        return unknown if len(unknown) > 1 else unknown[0]
    array = np.asarray(x)
    # NumPy looks for NaN in the first row, which an empty array has not.
    found = list(np.unique(array, True, True, True, axis, equal_nan=array.size == 0))
    if size is not None:
        at = at or 0
        have = found[0].shape[at]
        keep = min(have, size)
        if fill_value is None and have:
            fill = found[0].take([0], at)
        else:
            fill = np.asarray(fill_value or 0, array.dtype)
        more = np.broadcast_to(fill, (*found[0].shape[:at], size - keep, *found[0].shape[at + 1 :]))
        found[0] = np.concatenate([found[0].take(np.arange(keep), at), more], at)
        found[1] = np.concatenate([found[1][:keep], np.full(size - keep, found[1][0] if have else 0)])
        found[3] = np.concatenate([found[3][:keep], np.zeros(size - keep, np.int64)])
    extra = [Tensor(a.astype(np.int32)) for a, wanted in zip(found[1:], asked) if wanted]
    values = Tensor(np.ascontiguousarray(found[0]))
    return (values, *extra) if extra else values


@public
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element of `x1` is among those of `x2` (is not, with `invert`): bool.

    >>> isin([1, 2, 3], [2, 5]).tolist()
    [False, True, False]
    """
    a, b = same_dtype(x1, x2)
    flat = reshaped(b, (b.size,))
    found = AnyTo((*a.shape, 1))(Eq()(reshaped(a, (*a.shape, 1)), flat))
    found = reshaped(found, a.shape)
    return LogicalNot()(found) if invert else found


# --- segments -------------------------------------------------------------------------------------------------------


def _segments(data: Any, segment_ids: Any, num_segments: Any, name: str) -> tuple[Any, Any, int]:
    x, ids = value(data), as_index(segment_ids, name)
    if not x.shape or ids.shape != x.shape[:1]:
        raise ValueError(
            f"{name}: "
            + (
                f"Argument `segment_ids` should be an 1-D vector, got shape: {ids.shape}"
                if len(ids.shape) != 1
                else "Argument `segment_ids` and `data` should have same leading dimension. Got "
                f"{ids.shape} v.s. {x.shape}."
            )
        )
    if num_segments is None and isinstance(ids, Symbol) and trace.probing():
        num_segments = trace.unknown_size()
    elif num_segments is None:
        num_segments = int(np.max(np.asarray(ids), initial=-1)) + 1
    return x, ids, int(num_segments)


@public
def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The sums of the slices of `data` with equal ids: data (N, ...), ids (N,) -> (num_segments, ...).

    >>> segment_sum([1, 2, 3], [0, 1, 0], 2).tolist()
    [4, 2]
    """
    x, ids, n = _segments(data, segment_ids, num_segments, "segment_sum")
    # Ids below 0 are outside, not counted from the end.
    ids = Select()(Lt()(ids, scalar(0, ids.dtype)), scalar(n, ids.dtype), ids)
    return ScatterAdd((n, *x.shape[1:]))(reshaped(ids, (*ids.shape, 1)), x)


def _segment_reduce(join: type[Op], neutral: Any, x: Any, ids: Any, n: int) -> Any:
    """In the order of segments each slice takes in, 1, 2, 4, ... places back, what is of its own: the last of a segment
    holds it all in the end. N log N work."""
    count, rest = x.shape[0], x.shape[1:]
    none = BroadcastTo((n, *rest))(scalar(neutral, x.dtype))
    if not count:
        return none
    order = ArgSort(0)(ids)
    ids, x = Take(0)(ids, order), Take(0)(x, order)
    step = 1
    while step < count:
        own = reshaped(Eq()(ids[step:], ids[:-step]), (count - step, *(1,) * len(rest)))
        x = Concat(0)(x[:step], Select()(own, join()(x[step:], x[:-step]), x[step:]))
        step *= 2
    outside = scalar(n, ids.dtype)
    follows = Concat(0)(ids[1:], reshaped(outside, (1,)))
    place = Select()(LogicalAnd()(Ne()(ids, follows), Ge()(ids, scalar(0, ids.dtype))), ids, outside)
    return ScatterSet()(none, reshaped(place, (count, 1)), x)


def _limit(dtype: str, low: bool) -> Any:
    if is_float(dtype):
        return -math.inf if low else math.inf
    if not is_int(dtype):
        return not low
    info = np.iinfo(dtype)
    return int(info.min if low else info.max)


@public
def segment_max(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The largest of the slices of `data` with equal ids; the lowest number for an id that does not occur."""
    x, ids, n = _segments(data, segment_ids, num_segments, "segment_max")
    return _segment_reduce(Max, _limit(x.dtype, True), x, ids, n)


@public
def segment_min(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The smallest of the slices of `data` with equal ids; the highest number for an id that does not occur."""
    x, ids, n = _segments(data, segment_ids, num_segments, "segment_min")
    return _segment_reduce(Min, _limit(x.dtype, False), x, ids, n)


@public
def segment_prod(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The products of the slices of `data` with equal ids; 1 for an id that does not occur."""
    x, ids, n = _segments(data, segment_ids, num_segments, "segment_prod")
    return _segment_reduce(Mul, 1, x, ids, n)
