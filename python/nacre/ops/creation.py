"""New tensors: filled, counted, spaced, and matrices with a pattern."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.config import floatx
from nacre.core.spec import NUMPY, is_float, result_dtype, standardize_dtype
from nacre.core.tensor import Symbol, Tensor, Value, as_array
from nacre.ops.base import public, scalar, value
from nacre.ops.elementwise import Add, BroadcastTo, Cast, Mul, cast_to
from nacre.ops.manipulation import as_shape, sizes_of

__all__ = [
    "arange", "array", "convert_to_tensor", "empty", "empty_like", "eye", "full", "full_like", "geomspace", "identity",
    "linspace", "logspace", "ones", "ones_like", "tri", "zeros", "zeros_like",
]  # fmt: skip

_SMALL = 4096  # elements: a constant of a program up to here, a broadcast number beyond


def filled(shape: tuple[int, ...], number: Any, dtype: str) -> Any:
    """A tensor of one number everywhere; inside a trace a large one takes no memory in the program."""
    graph = trace.current_graph()
    if graph is None or math.prod(shape) <= _SMALL:
        return Tensor(np.full(shape, number, NUMPY[dtype]))
    return BroadcastTo(shape)(graph.constant(scalar(number, dtype)))


@public
def zeros(shape: Any, dtype: Any = None) -> Any:
    """Zeros of `shape`, of `floatx()` without a dtype.

    >>> zeros((2, 2)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    return filled(sizes_of(shape, "zeros"), 0, standardize_dtype(dtype, floatx()))


@public
def ones(shape: Any, dtype: Any = None) -> Any:
    """Ones of `shape`, of `floatx()` without a dtype."""
    return filled(sizes_of(shape, "ones"), 1, standardize_dtype(dtype, floatx()))


@public
def empty(shape: Any, dtype: Any = None) -> Any:
    """A tensor of `shape` whose elements mean nothing (they are 0)."""
    return filled(sizes_of(shape, "empty"), 0, standardize_dtype(dtype, floatx()))


@public
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """`fill_value` (a number, or what broadcasts) in every place of `shape`, of `floatx()` without a dtype.

    >>> full((2,), 7, dtype="int32").tolist()
    [7, 7]
    """
    sizes = sizes_of(shape, "full")
    name = standardize_dtype(dtype, floatx())
    if type(fill_value) in (int, float, bool):
        return filled(sizes, fill_value, name)
    return broadcast_checked(cast_to(fill_value, name), sizes, "full")


def broadcast_checked(x: Any, shape: tuple[int, ...], name: str) -> Any:
    """`x` broadcast to `shape`. Raises ValueError that names the function."""
    lead = len(shape) - len(x.shape)
    if lead < 0 or any(d not in (1, n) for d, n in zip(x.shape, shape[lead:])):
        raise ValueError(f"{name}: shape {x.shape} cannot be broadcast to {shape}")
    return x if x.shape == shape else BroadcastTo(shape)(x)


def _like(x: Any, dtype: Any) -> tuple[tuple[int, ...], str]:
    if not isinstance(x, Value):
        x = value(x)
    return x.shape, x.dtype if dtype is None else standardize_dtype(dtype)


@public
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros of the shape (and, without one given, the dtype) of `x`."""
    shape, name = _like(x, dtype)
    return filled(shape, 0, name)


@public
def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones of the shape (and, without one given, the dtype) of `x`."""
    shape, name = _like(x, dtype)
    return filled(shape, 1, name)


@public
def empty_like(x: Any, dtype: Any = None) -> Any:
    """A tensor like `x` whose elements mean nothing (they are 0)."""
    shape, name = _like(x, dtype)
    return filled(shape, 0, name)


@public
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """`fill_value` in every place of the shape (and, without one given, the dtype) of `x`."""
    shape, name = _like(x, dtype)
    if type(fill_value) in (int, float, bool):
        return filled(shape, np.asarray(fill_value).astype(NUMPY[name]).item(), name)
    return broadcast_checked(cast_to(fill_value, name), shape, "full_like")


def _number(x: Any, name: str) -> Any:
    """A Python number out of a number or a tensor of one element."""
    if type(x) in (int, float, bool):
        return x
    array = np.asarray(as_array(x))
    if array.size != 1:
        raise ValueError(f"{name}: expected a number, got shape {array.shape}")
    return array.item()


@public
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """start, start + step, ... below `stop` (above it for a negative step); with one argument from 0 up to it.

    int32 when all are ints (int64 when the numbers need it), else `floatx()`.

    >>> arange(2, 8, 3).tolist()
    [2, 5]
    """
    first, last = (0, start) if stop is None else (start, stop)
    by = 1 if step is None else step
    numbers = [_number(v, "arange") for v in (first, last, by)]
    if dtype is None:
        dtypes = [v.dtype for v in (first, last, by) if hasattr(v, "dtype")]
        if any(type(v) is float for v in numbers):
            dtype = result_dtype(floatx(), *(standardize_dtype(d) for d in dtypes if is_float(standardize_dtype(d))))
        else:
            wide = any(not -(2**31) <= v < 2**31 for v in numbers)
            dtype = result_dtype("int64" if wide else "int32", *(standardize_dtype(d) for d in dtypes))
    name = standardize_dtype(dtype)
    if numbers[2] == 0:
        raise ValueError("arange: step cannot be 0")
    if (numbers[1] - numbers[0]) / numbers[2] > 2**33:
        raise ValueError(f"arange: too many elements from {first!r} to {last!r}")
    return Tensor(np.arange(*numbers).astype(NUMPY[name]))


@public
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`, which is left out without `endpoint`.

    Tensors as limits give a new axis at `axis`. With `retstep` also the distance.

    >>> linspace(0.0, 1.0, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if isinstance(num, bool) or not hasattr(num, "__index__") or num.__index__() < 0:
        raise ValueError(f"linspace: expected num to be an int of at least 0, got {num!r}")
    num = num.__index__()
    name = standardize_dtype(dtype, _float_of(start, stop))
    steps = num - 1 if endpoint else num
    if isinstance(start, Value) or isinstance(stop, Value) or np.ndim(start) or np.ndim(stop):
        return _linspace_tensors(start, stop, num, steps, retstep, name, axis)
    points = np.linspace(start, stop, num, endpoint=endpoint)
    y = Tensor(points.astype(NUMPY[name]))
    if not retstep:
        return y
    return y, Tensor(np.asarray((stop - start) / steps if steps > 0 else math.nan, NUMPY[name]))


def _float_of(*xs: Any) -> str:
    found = [standardize_dtype(x.dtype) for x in xs if hasattr(x, "dtype")]
    return result_dtype(floatx(), *(d for d in found if is_float(d)))


def _linspace_tensors(start: Any, stop: Any, num: int, steps: int, retstep: bool, name: str, axis: int) -> Any:
    from nacre.ops.manipulation import moveaxis

    work = name if is_float(name) else "float32"
    a, b = cast_to(start, work), cast_to(stop, work)
    gap = (b - a) / steps if steps > 0 else (b - a) * math.nan
    places = np.arange(num).reshape(num, *(1,) * len(gap.shape))
    weight = Tensor((places / max(steps, 1)).astype(NUMPY[work]))
    # The weighted mean of the limits hits both exactly.
    y = Add()(Mul()(a, Tensor((1.0 - np.asarray(weight)).astype(NUMPY[work]))), Mul()(b, weight))
    y = moveaxis(y, 0, axis) if axis != 0 else y
    y = y if work == name else Cast(name)(y)
    return (y, gap) if retstep else y


@public
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10, dtype: Any = None, axis: int = 0
) -> Any:
    """`base` to the power of evenly spaced exponents from `start` to `stop`."""
    from nacre.ops.arithmetic import power

    name = standardize_dtype(dtype, _float_of(start, stop))
    exponents = linspace(start, stop, num, endpoint, False, "float32" if not is_float(name) else name, axis)
    return cast_to(power(cast_to(base, exponents.dtype), exponents), name)


@public
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """`num` numbers from `start` to `stop`, each the same multiple of the one before."""
    from nacre.ops.arithmetic import absolute, exp, log, sign
    from nacre.ops.manipulation import moveaxis

    name = standardize_dtype(dtype, _float_of(start, stop))
    a, b = cast_to(start, "float32"), cast_to(stop, "float32")
    y = sign(a) * exp(linspace(log(absolute(a)), log(absolute(b)), num, endpoint))
    return cast_to(moveaxis(y, 0, axis) if axis != 0 else y, name)


@public
def eye(N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Any:
    """The (N, M) matrix with ones on diagonal `k`, zeros elsewhere.

    >>> eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    rows, columns = _matrix_size(N, M, "eye")
    return Tensor(np.eye(rows, columns, as_shape(k, "eye")[0], dtype=NUMPY[standardize_dtype(dtype, floatx())]))


def _matrix_size(rows: Any, columns: Any, name: str) -> tuple[int, int]:
    sizes = [as_shape(n, name) for n in (rows, rows if columns is None else columns)]
    if any(len(s) != 1 or s[0] < 0 for s in sizes):
        raise ValueError(f"{name}: expected sizes of at least 0, got {rows!r} and {columns!r}")
    sizes_of((sizes[0][0], sizes[1][0]), name)
    return sizes[0][0], sizes[1][0]


@public
def identity(n: Any, dtype: Any = None) -> Any:
    """The (n, n) matrix with ones on the diagonal."""
    return eye(n, dtype=dtype)


@public
def tri(N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Any:
    """The (N, M) matrix with ones on and below diagonal `k`, zeros above."""
    rows, columns = _matrix_size(N, M, "tri")
    return Tensor(np.tri(rows, columns, as_shape(k, "tri")[0], dtype=NUMPY[standardize_dtype(dtype, floatx())]))


@public
def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """`x` (numbers, lists, arrays, tensors, Variables) as a tensor, of `dtype` if it is given.

    Strings, which layers such as StringLookup take, come back as an array of NumPy.

    >>> convert_to_tensor([1.0, 2.0]).dtype
    'float32'
    """
    if sparse or ragged:
        raise ValueError("convert_to_tensor: there are only dense tensors here")
    if dtype in (None, "string") and _holds_strings(x):
        return np.asarray(x)
    x = value(x, None if dtype is None else standardize_dtype(dtype))
    if not isinstance(x, (Tensor, Symbol)):
        x = x.value
    return x if dtype is None else cast_to(x, dtype)


def _holds_strings(x: Any) -> bool:
    while isinstance(x, list) and x:
        x = x[0]
    return isinstance(x, str) or (isinstance(x, np.ndarray) and x.dtype.kind in "SU")


@public
def array(x: Any, dtype: Any = None) -> Any:
    """`x` as a tensor: `convert_to_tensor` under NumPy's name."""
    return convert_to_tensor(x, dtype)
