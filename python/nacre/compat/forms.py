"""TensorFlow's forms of operations that `nacre.ops` has under other argument names, defaults or layouts."""

from __future__ import annotations

import builtins
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre import ops
from nacre.backend import older
from nacre.backend.renaming import renamed
from nacre.core.tensor import Symbol

# What differs in names alone: TensorFlow's names of the first arguments, and the operations that have them so.
_NAMES = {
    "x": "abs ceil cos cosh erf exp expm1 floor log log1p logical_not negative reciprocal round rsqrt sign sin sinh "
    "sqrt square cast",
    "x y": "add divide equal floor_divide greater greater_equal less less_equal logical_and logical_or logical_xor "
    "maximum minimum mod multiply not_equal power subtract",
    "input": "ones_like zeros_like stop_gradient",
    "input repeats": "repeat",
    "input shape": "broadcast_to",
    "shape dtype": "ones zeros",
    "values axis": "stack",
    "start stop num": "linspace",
    "a b axes": "tensordot",
}
RENAMED = {name: renamed(getattr(ops, name), names) for names, of in _NAMES.items() for name in of.split()}


def argmax(input: Any, axis: int | None = None, output_type: Any = "int64", name: str | None = None) -> Any:
    """The places of the largest values along `axis`, the first one by default."""
    return ops.cast(ops.argmax(input, 0 if axis is None else axis), output_type)


def argmin(input: Any, axis: int | None = None, output_type: Any = "int64", name: str | None = None) -> Any:
    """The places of the smallest values along `axis`, the first one by default."""
    return ops.cast(ops.argmin(input, 0 if axis is None else axis), output_type)


def cumsum(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None) -> Any:
    """The sums up to each element: without itself when `exclusive`, from the end when `reverse`."""
    x = ops.flip(x, axis) if reverse else x
    sums = ops.cumsum(x, axis)
    sums = ops.subtract(sums, x) if exclusive else sums
    return ops.flip(sums, axis) if reverse else sums


def cumprod(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None) -> Any:
    """The products up to each element, as `cumsum`."""
    x = ops.flip(x, axis) if reverse else ops.convert_to_tensor(x)
    if exclusive:
        first = ops.ones_like(ops.take(x, [0], axis))
        x = ops.concatenate([first, ops.take(x, ops.arange(x.shape[axis] - 1), axis)], axis)
    products = ops.cumprod(x, axis)
    return ops.flip(products, axis) if reverse else products


def _between(what: str, values: Any, low: int, high: Any) -> None:
    """Raises ValueError for numbers out of that range, where they are known."""
    if isinstance(values, Symbol) or high is None:
        return
    array = np.asarray(values)
    if not ((low <= array) & (array <= high)).all():
        raise ValueError(f"{what}: expected numbers from {low} to {high}, got {array.tolist()!r:.200}")


def reverse_sequence(input: Any, seq_lengths: Any, seq_axis: int, batch_axis: int = 0, name: str | None = None) -> Any:
    """The first `seq_lengths` elements of each row in reverse order, the others where they are."""
    x = ops.moveaxis(ops.convert_to_tensor(input), (batch_axis, seq_axis), (0, 1))
    _between("reverse_sequence: lengths", seq_lengths, 0, x.shape[1])
    lengths, places = ops.expand_dims(ops.cast(seq_lengths, "int32"), 1), ops.arange(x.shape[1])
    order = ops.where(places < lengths, lengths - 1 - places, places)
    return ops.moveaxis(gather(x, order, axis=1, batch_dims=1), (0, 1), (batch_axis, seq_axis))


def histogram_fixed_width(
    values: Any, value_range: Any, nbins: int = 100, dtype: Any = "int32", name: Any = None
) -> Any:
    """How many values lie in each of equal parts of the range; what is outside counts in the first or the last."""
    low, high = (float(v) for v in value_range)
    if not low < high or nbins < 1:
        raise ValueError(f"histogram_fixed_width: expected a range and bins of it, got {low} to {high} in {nbins}")
    if not isinstance(values, Symbol) and np.isnan(np.asarray(values)).any():
        raise ValueError("histogram_fixed_width: expected numbers, got NaN")
    places = ops.floor((ops.convert_to_tensor(values, "float32") - low) * (nbins / (high - low)))
    counted = ops.bincount(ops.reshape(ops.cast(ops.clip(places, 0, nbins - 1), "int32"), (-1,)), minlength=nbins)
    return ops.cast(counted, dtype)


def matmul(
    a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, name: str | None = None, **kwargs: Any
) -> Any:
    """The product of the matrices in the last two axes, transposed first where that is asked for."""
    left = ops.swapaxes(a, -1, -2) if transpose_a or kwargs.get("adjoint_a") else a
    return ops.matmul(left, ops.swapaxes(b, -1, -2) if transpose_b or kwargs.get("adjoint_b") else b)


def one_hot(
    indices: Any,
    depth: int,
    on_value: Any = None,
    off_value: Any = None,
    axis: int | None = None,
    dtype: Any = None,
    name: str | None = None,
) -> Any:
    """`on_value` (1) at the place that each index says along a new axis, and `off_value` (0) elsewhere."""
    hot = ops.one_hot(ops.cast(indices, "int32"), int(depth), axis=-1 if axis is None else axis, dtype="bool")
    on, off = (ops.cast(v, dtype or "float32") for v in (1 if on_value is None else on_value, off_value or 0))
    return ops.where(hot, on, off)


def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0, name: str | None = None) -> Any:
    """With `paddings` (before, after) elements more along each axis; `mode` is CONSTANT, REFLECT or SYMMETRIC."""
    widths = tuple((int(a), int(b)) for a, b in np.asarray(paddings))
    kind = mode.lower()
    if len(widths) != len(ops.shape(tensor)):
        raise ValueError(f"pad: expected a pair for each axis of {tuple(ops.shape(tensor))}, got {widths}")
    return ops.pad(tensor, widths, kind, *([constant_values] if kind == "constant" else []))


def _descending(direction: str) -> bool:
    if direction not in ("ASCENDING", "DESCENDING"):
        raise ValueError(f"expected direction to be 'ASCENDING' or 'DESCENDING', got {direction!r}")
    return direction == "DESCENDING"


def sort(values: Any, axis: int = -1, direction: str = "ASCENDING", name: str | None = None) -> Any:
    """In order along `axis`."""
    found = ops.sort(values, axis)
    return ops.flip(found, axis) if _descending(direction) else found


def argsort(
    values: Any, axis: int = -1, direction: str = "ASCENDING", stable: bool = False, name: str | None = None
) -> Any:
    """The places of the elements in their order along `axis`; equal ones stay as they stand."""
    if not _descending(direction):
        return ops.argsort(values, axis)
    last = ops.shape(values)[axis] - 1
    return ops.flip(ops.subtract(last, ops.argsort(ops.flip(values, axis), axis)), axis)


def where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Any:
    """`x` where the condition holds and `y` elsewhere; without them the places (n, rank) where it holds."""
    if x is None and y is None:
        return ops.cast(ops.stack(ops.nonzero(condition), axis=-1), "int64")
    return ops.where(condition, x, y)


def eye(
    num_rows: int, num_columns: int | None = None, batch_shape: Any = None, dtype: Any = "float32", name: Any = None
) -> Any:
    """A matrix with ones on its diagonal, or as many as `batch_shape` says."""
    one = ops.eye(num_rows, num_columns, dtype=dtype)
    return one if batch_shape is None else ops.broadcast_to(one, (*map(int, batch_shape), *one.shape))


def range(start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: str | None = None) -> Any:
    """The numbers from `start` (0 when there is one argument) to before `limit`."""
    return ops.arange(start, limit, delta, dtype)


def slice(input_: Any, begin: Any, size: Any, name: str | None = None) -> Any:
    """The part of that size (-1: all that is left) from `begin` on."""
    sizes = [int(n) for n in size]
    if -1 not in sizes:
        return ops.slice(input_, begin, sizes)
    bounds = [(int(a), None if n == -1 else int(a) + n) for a, n in zip(begin, sizes)]
    return ops.convert_to_tensor(input_)[tuple(builtins.slice(*bound) for bound in bounds)]


def gather(
    params: Any, indices: Any, validate_indices: Any = None, axis: int | None = None, batch_dims: int = 0,
    name: str | None = None,
) -> Any:  # fmt: skip
    """The parts of `params` at `indices` along `axis`: for each place of the first `batch_dims` axes its own."""
    indices = ops.convert_to_tensor(indices)
    batch = batch_dims + indices.ndim if batch_dims < 0 else batch_dims
    if batch == 0:
        return ops.take(params, indices, axis=axis or 0)
    params = ops.convert_to_tensor(params)
    where = batch if axis is None else axis % params.ndim
    outer, taken = params.shape[:batch], indices.shape[batch:]
    rows = ops.reshape(ops.moveaxis(params, where, batch), (-1, *params.shape[batch:where], *params.shape[where + 1 :]))
    count = int(np.prod(outer, dtype=np.int64))
    starts = ops.reshape(ops.arange(count, dtype=indices.dtype) * params.shape[where], (*outer, *[1] * len(taken)))
    found = ops.take(rows, ops.add(indices, starts), axis=0)
    between = builtins.range(len(taken))
    return ops.moveaxis(found, [batch + i for i in between], [where + i for i in between])


def gather_nd(params: Any, indices: Any, batch_dims: int = 0, name: str | None = None) -> Any:
    """The parts of `params` at rows of positions: for each place of the first `batch_dims` axes its own."""
    index, params = ops.convert_to_tensor(indices), ops.convert_to_tensor(params)
    axes, places = builtins.range(index.ndim - 1), builtins.range(index.shape[-1])
    own = [
        ops.reshape(ops.arange(n, dtype=index.dtype), [n if axis == other else 1 for other in axes])
        for axis, n in enumerate(params.shape[:batch_dims])
    ]
    return params[(*own, *(index[..., i] for i in places))]


def tile(input: Any, multiples: Any, name: str | None = None) -> Any:
    """As often along each axis."""
    counts = [int(n) for n in multiples]
    if len(counts) != len(ops.shape(input)):
        raise ValueError(f"tile: expected a number for each axis of {tuple(ops.shape(input))}, got {counts}")
    return ops.tile(input, counts)


def scan(fn: Callable[..., Any], elems: Any, initializer: Any = None, reverse: bool = False, **kwargs: Any) -> Any:
    """`fn(accumulated, element)` along the first axis, from `initializer` or the first element: all values."""
    parts = ops.unstack(elems, axis=0)
    parts = parts[::-1] if reverse else parts
    found = [] if initializer is not None else [parts[0]]
    state = parts[0] if initializer is None else initializer
    for part in parts[len(found) :]:
        state = fn(state, part)
        found.append(state)
    return ops.stack(found[::-1] if reverse else found)


def _sizes(sizes: Any) -> tuple[int, int]:
    given = [int(n) for n in np.ravel(sizes)]
    return (
        (given[0], given[0]) if len(given) == 1 else (given[1], given[2]) if len(given) == 4 else (given[0], given[1])
    )


def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """What a convolution of these strides would have read from arrays of that shape: its gradient."""
    if data_format != "NHWC" or (dilations is not None and _sizes(dilations) != (1, 1)):
        raise ValueError("conv2d_transpose: expected data_format 'NHWC' and no dilations")
    sizes = np.ravel(output_shape)
    shape = sizes if len(sizes) == 4 else (0, *_sizes(output_shape), 0)
    given, wanted = (ops.shape(input)[0], ops.shape(filters)[2]), (sizes[0], sizes[-1])
    if len(sizes) == 4 and any(isinstance(n, int) and n != w for n, w in zip(given, wanted)):
        raise ValueError(f"conv2d_transpose: expected {given} as batch and channels of output_shape, got {wanted}")
    return older.conv2d_transpose(
        ops.convert_to_tensor(input), filters, shape, _sizes(strides), padding, "channels_last"
    )


def depthwise_conv2d(
    input: Any, filter: Any, strides: Any, padding: str, data_format: str | None = None, dilations: Any = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """A convolution of each channel by kernels of its own."""
    if data_format not in (None, "NHWC"):
        raise ValueError(f"depthwise_conv2d: expected data_format 'NHWC', got {data_format!r}")
    return ops.depthwise_conv(
        input,
        filter,
        _sizes(strides),
        padding.lower(),
        dilation_rate=1 if dilations is None else _sizes(dilations),
    )


def batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: float, name: str | None = None
) -> Any:
    """`x` with `mean` and `variance` taken out, times `scale`, plus `offset`."""
    factor = ops.rsqrt(ops.add(variance, variance_epsilon))
    factor = factor if scale is None else ops.multiply(factor, scale)
    found = ops.multiply(ops.subtract(x, mean), factor)
    return found if offset is None else ops.add(found, offset)


def compute_average_loss(per_example_loss: Any, sample_weight: Any = None, global_batch_size: Any = None) -> Any:
    """The sum of the losses, weighted, over the size of the batch."""
    losses = ops.convert_to_tensor(per_example_loss)
    if sample_weight is not None:
        losses = losses * ops.cast(sample_weight, losses.dtype)
    return ops.sum(losses) / ops.cast(losses.shape[0] if global_batch_size is None else global_batch_size, losses.dtype)


def check_numerics(tensor: Any, message: str, name: str | None = None) -> Any:
    """The tensor itself. Raises ValueError with `message` when not all its values are finite."""
    if not np.isfinite(np.asarray(tensor)).all():
        raise ValueError(f"{message} : Tensor had Inf or NaN values")
    return tensor


def _segments(name: str) -> Callable[..., Any]:
    function = getattr(ops, f"segment_{name}")

    def reduce(data: Any, segment_ids: Any, num_segments: int, name: str | None = None) -> Any:
        return function(data, ops.convert_to_tensor(segment_ids), int(num_segments))

    return reduce


def _segment_mean(data: Any, segment_ids: Any, num_segments: int, name: str | None = None) -> Any:
    data, ids = ops.convert_to_tensor(data), ops.convert_to_tensor(segment_ids)
    total = ops.segment_sum(data, ids, int(num_segments))
    count = ops.segment_sum(ops.ones(ids.shape, data.dtype), ids, int(num_segments))
    return total / ops.reshape(ops.maximum(count, 1), (-1, *[1] * (total.ndim - 1)))


def _counted(reduce: Callable[..., Any]) -> Callable[..., Any]:
    """As many segments as the ids say; those of which there is nothing are 0 (of a product 1)."""

    def counted(data: Any, segment_ids: Any, name: str | None = None) -> Any:
        ids = np.asarray(segment_ids)
        found = reduce(data, ids, int(ids.max(initial=-1)) + 1)
        missing = np.setdiff1d(np.arange(found.shape[0]), ids)
        if reduce in (SEGMENTS["unsorted_segment_max"], SEGMENTS["unsorted_segment_min"]) and len(missing):
            found = ops.scatter_update(
                found, missing[:, None], ops.zeros((len(missing), *found.shape[1:]), found.dtype)
            )
        return found

    return counted


def unique(x: Any, out_idx: Any = "int32", name: str | None = None) -> tuple[Any, Any]:
    """The different values in the order of their first place, and for each element the number of its value."""
    array = np.asarray(x)
    if array.ndim != 1:
        raise ValueError(f"unique: expected a vector, got shape {array.shape}")
    _, first, back = np.unique(array, return_index=True, return_inverse=True, equal_nan=False)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return ops.convert_to_tensor(array[np.sort(first)]), ops.convert_to_tensor(number[back.ravel()], out_idx)


def unique_with_counts(x: Any, out_idx: Any = "int32", name: str | None = None) -> tuple[Any, Any, Any]:
    """As `unique`, and how often each value is there."""
    values, places = unique(x, out_idx)
    return values, places, ops.cast(ops.bincount(places, minlength=values.shape[0]), out_idx)


def dynamic_partition(data: Any, partitions: Any, num_partitions: int, name: str | None = None) -> list[Any]:
    """The elements of each of the parts that `partitions` numbers."""
    part = np.asarray(partitions)
    data = ops.convert_to_tensor(data)
    _between("dynamic_partition: partitions", part, 0, num_partitions - 1)
    if part.shape != data.shape[: part.ndim]:
        raise ValueError(f"dynamic_partition: expected partitions of the first axes of {data.shape}, got {part.shape}")
    return [data[ops.convert_to_tensor(part == i)] for i in builtins.range(num_partitions)]


def foldl(fn: Callable[..., Any], elems: Any, initializer: Any = None, **kwargs: Any) -> Any:
    """`fn(so far, element)` along the first axis, from `initializer` or the first element."""
    parts = ops.unstack(ops.convert_to_tensor(elems))
    return functools.reduce(fn, parts if initializer is None else [initializer, *parts])


def case(pred_fn_pairs: Any, default: Any = None, exclusive: Any = False, **kwargs: Any) -> Any:
    """What the function of the first condition that holds returns; that of `default` where none does."""
    rest = default
    for condition, fn in reversed(list(pred_fn_pairs)):
        rest = functools.partial(ops.cond, condition, fn, rest or fn)
    return rest()


def switch_case(branch_index: Any, branch_fns: Any, default: Any = None, name: str | None = None) -> Any:
    """What the function of that number returns; for another number that of `default`, or the last."""
    pairs = [fn if isinstance(fn, tuple) else (i, fn) for i, fn in enumerate(branch_fns)]
    branches = [fn for _, fn in sorted(pairs, key=lambda pair: pair[0])]
    if sorted(i for i, _ in pairs) != [*builtins.range(len(pairs))]:
        raise ValueError(f"switch_case: expected functions for 0 to {len(pairs) - 1}, got {[i for i, _ in pairs]}")
    known = (branch_index >= 0) & (branch_index < len(branches))
    number = ops.where(known, branch_index, len(branches) if default is not None else len(branches) - 1)
    return ops.switch(number, branches if default is None else [*branches, default])


def searchsorted(sorted_sequence: Any, values: Any, side: str = "left", out_type: Any = "int32", **kwargs: Any) -> Any:
    """Where each value would be put in, in order."""
    return ops.cast(ops.searchsorted(sorted_sequence, values, side), out_type)


def unravel_index(indices: Any, dims: Any, name: str | None = None) -> Any:
    """The places in an array of these sizes, of numbers of its elements."""
    sizes = [int(n) for n in dims]
    _between("unravel_index", indices, 0, math.prod(sizes) - 1)
    return ops.stack(ops.unravel_index(indices, sizes))


def _scattered(how: str) -> Callable[..., Any]:
    def scatter(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Any:
        return ops.scatter_update(tensor, indices, updates, how)

    return scatter


SEGMENTS = {f"unsorted_segment_{name}": _segments(name) for name in ("sum", "max", "min", "prod")}
SEGMENTS["unsorted_segment_mean"] = _segment_mean
SEGMENTS |= {name.removeprefix("unsorted_"): _counted(reduce) for name, reduce in SEGMENTS.items()}


def _dynamic_stitch(indices: Any, data: Any, name: str | None = None) -> Any:
    """The parts of `data` at the places `indices` say; of several for one place the last."""
    places = [np.asarray(i) for i in indices]
    values = [ops.convert_to_tensor(d) for d in data]
    inner = [ops.reshape(v, (-1, *v.shape[i.ndim :])) for i, v in zip(places, values, strict=True)]
    flat = np.concatenate([i.ravel() for i in places])
    last = np.zeros(int(flat.max(initial=-1)) + 1, np.int32)
    last[flat] = np.arange(len(flat))
    return ops.take(ops.concatenate(inner, 0), last, axis=0)


def _strided_slice(
    input_: Any, begin: Any, end: Any, strides: Any = None, begin_mask: int = 0, end_mask: int = 0,
    ellipsis_mask: int = 0, new_axis_mask: int = 0, shrink_axis_mask: int = 0, var: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """`input_[begin:end:strides]`, with bits for what each axis leaves out or is."""
    steps = [1] * len(begin) if strides is None else [int(s) for s in strides]
    keys: list[Any] = []
    for i, (b, e, s) in enumerate(zip(begin, end, steps, strict=True)):
        bit = 1 << i
        if ellipsis_mask & bit or new_axis_mask & bit:
            keys.append(... if ellipsis_mask & bit else None)
        elif shrink_axis_mask & bit:
            keys.append(int(b))
        else:
            keys.append(builtins.slice(None if begin_mask & bit else int(b), None if end_mask & bit else int(e), s))
    return ops.convert_to_tensor(input_)[tuple(keys)]


def _bitcast(input: Any, type: Any, name: str | None = None) -> Any:
    """The same bytes as numbers of another dtype of that size."""
    x, dtype = np.array(input), np.dtype(str(type))
    if x.dtype.itemsize != dtype.itemsize:
        raise ValueError(f"bitcast: {x.dtype} and {dtype} have different sizes")
    return ops.convert_to_tensor(x.view(dtype))


FORMS = {
    f.__name__: f
    for f in (argmax, argmin, cumsum, matmul, one_hot, pad, sort, argsort, where, eye, range, slice, gather, gather_nd,
              tile, reverse_sequence, histogram_fixed_width)
} | {
    f.__name__: f for f in (scan, unique, unique_with_counts, dynamic_partition, foldl, case, switch_case, searchsorted)
} | {f"tensor_scatter_nd_{how}": _scattered(how) for how in ("add", "max", "min")} | {
    "tensor_scatter_nd_sub": lambda tensor, indices, updates, name=None: ops.scatter_update(
        tensor, indices, ops.negative(updates), "add"
    ),
    "dynamic_stitch": _dynamic_stitch,
    "parallel_stack": lambda values, name=None: ops.stack([ops.convert_to_tensor(v) for v in values]),
    "strided_slice": _strided_slice,
    "bitcast": _bitcast,
    "timestamp": lambda name=None: ops.convert_to_tensor(time.time(), "float64"),
    "identity_n": lambda input, name=None: [ops.convert_to_tensor(x) for x in input],
    "shape_n": lambda input, out_type="int32", name=None: [ops.convert_to_tensor(ops.shape(x)) for x in input],
    "scalar_mul": lambda scalar, x, name=None: ops.multiply(scalar, x),
    "saturate_cast": lambda value, dtype, name=None: ops.saturate_cast(value, dtype),
    "unravel_index": unravel_index,
    "asinh": ops.arcsinh, "acosh": ops.arccosh, "atanh": ops.arctanh,
}  # fmt: skip
