"""Shapes and dtypes: what is known of a value before it exists."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")  # in the order of DType in base/types.h
DTYPE_CODE = {name: code for code, name in enumerate(DTYPES)}
NUMPY = {name: np.dtype(name) for name in DTYPES}
ITEMSIZE = {name: dtype.itemsize for name, dtype in NUMPY.items()}

_NAMES = {dtype: name for name, dtype in NUMPY.items()}


def dtype_name(dtype: Any) -> str:
    """The name of a NumPy dtype; a look-up where `dtype.name` computes it anew each time."""
    return _NAMES.get(dtype) or dtype.name


def is_computed(dtype: Any) -> bool:
    """Whether nacre computes in this NumPy dtype as it stands (big-endian numbers, for one, are converted first)."""
    return dtype in _NAMES


# Dtypes that users name, and the one that nacre computes in for them.
_WIDENED = {
    "float16": "float32", "bfloat16": "float32", "half": "float32", "float": "float32", "double": "float64",
    "int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64", "uint64": "int64", "int": "int32",
    "bool_": "bool", "boolean": "bool",
}  # fmt: skip
_NARROW = ("float16", "half", "int8", "int16", "uint16", "uint32", "uint64")  # those that NumPy has
_KNOWN = {**{name: name for name in DTYPES}, **_WIDENED}
_FLOATS = ("float32", "float64")
_INTS = ("uint8", "int32", "int64")


class Spec(NamedTuple):
    """Shape (a tuple of ints) and dtype (a name) of a value."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * ITEMSIZE[self.dtype]


def standardize_dtype(dtype: Any, default: str | None = None) -> str:
    """The name of the dtype that nacre computes in for `dtype` (a name, NumPy dtype, or type); float16 is held as
    float32.

    Raises ValueError for what is no numeric or boolean dtype.
    """
    if dtype is None:
        if default is None:
            raise ValueError("dtype: expected a dtype, got None")
        return default
    if type(dtype) is str:
        name = _KNOWN.get(dtype)
        if name is not None:
            return name
    if dtype is float:
        return "float32"
    if dtype is int:
        return "int32"
    if dtype is bool:
        return "bool"
    known = _KNOWN.get(_name(dtype))
    if known is None:
        raise ValueError(
            f"Invalid dtype: {dtype}. Expected one of {list(DTYPES)}, or a narrower name for one of them, got {dtype!r}"
        )
    return known


def _name(dtype: Any) -> str:
    name = getattr(dtype, "name", None)  # NumPy dtypes, TensorFlow and JAX dtypes
    if name is None and isinstance(dtype, type):
        name = dtype.__name__
    return str(dtype).removeprefix("torch.") if name is None else str(name)


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype that is named, also where nacre computes in a wider one. Raises ValueError as above."""
    name = _name(dtype)
    return np.dtype(name if name in _NARROW else standardize_dtype(dtype))


def is_float(dtype: str) -> bool:
    return dtype in _FLOATS


def is_int(dtype: str) -> bool:
    return dtype in _INTS


def result_dtype(*dtypes: str) -> str:
    """The dtype that holds a combination: float beats int beats bool, the wider of two wins."""
    best = "bool"
    for d in dtypes:
        if d == best:
            continue
        if d == "float64" or best == "float64":
            best = "float64"
        elif d == "float32" or best == "float32":
            best = "float32"
        elif best == "bool":
            best = d
        elif d != "bool":
            best = "int64" if "int64" in (d, best) else "int32"
    return best


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's broadcasting rule. Raises ValueError when the shapes do not fit."""
    first = shapes[0]
    for s in shapes:
        if s != first:
            break
    else:
        return first
    rank = max(len(s) for s in shapes)
    out = [1] * rank
    for s in shapes:
        at = rank - len(s)
        for i, d in enumerate(s):
            have = out[at + i]
            if d == have or d == 1:
                continue
            if have != 1:
                raise ValueError(f"shapes {' and '.join(str(tuple(s)) for s in shapes)} cannot be broadcast together")
            out[at + i] = d
    return tuple(out)


def partial_shape(shape: Any) -> tuple[int | None, ...]:
    """A shape of ints of at least 0 and Nones. Raises ValueError for anything else."""
    if shape is None:
        raise ValueError("Undefined shapes are not supported.")
    if isinstance(shape, (int, np.integer)) or not hasattr(shape, "__iter__"):
        raise ValueError(f"Cannot convert '{shape}' to a shape.")
    out: list[int | None] = []
    for d in shape:
        d = getattr(d, "value", d)
        if d is None:
            out.append(None)
        elif isinstance(d, bool) or not isinstance(d, (int, np.integer)):
            raise ValueError(
                f"Cannot convert '{shape}' to a shape. Found invalid dimension '{d}'. Expected a non-negative "
                "integer or None."
            )
        elif d < 0:
            raise ValueError(f"Cannot convert '{shape}' to a shape. Negative dimensions are not allowed.")
        else:
            out.append(int(d))
    return tuple(out)


def normalize_axis(axis: int, rank: int, what: str = "axis") -> int:
    """`axis` as a number in [0, rank). Raises ValueError when it is outside."""
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"{what}: expected an int, got {axis!r}")
    if not -rank <= axis < rank:
        raise ValueError(
            f"{what}: axis {axis} is out of bounds, expected a number in [{-rank}, {rank}) for a tensor of rank {rank}"
        )
    return int(axis) % rank if rank else 0


def normalize_axes(axis: Any, rank: int, what: str = "axis") -> tuple[int, ...]:
    """All axes for None, else each normalized, sorted. Raises ValueError for one that is outside or named twice."""
    if axis is None:
        return tuple(range(rank))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    out = tuple(sorted(normalize_axis(a, rank, what) for a in axes))
    if len(set(out)) != len(out):
        raise ValueError(f"{what}: every axis may be named once, got {axis!r}")
    return out
