"""What users hand to a layer becomes tensors of the dtype that the layer computes in."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.core.spec import is_float
from nacre.core.tensor import KerasTensor, Symbol, Tensor, as_array
from nacre.core.variable import Variable

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def convert_input(x: Any, dtype: str | None) -> Any:
    """`x` with every array in it (any structure of lists, tuples and dicts) as a tensor.

    Floats are cast to `dtype` when it is given; ints and booleans keep their dtype. A list whose leaves are all
    numbers is one tensor.
    What is no array (None, numbers, strings, other objects) comes back as it is.
    """
    kind = type(x)
    if kind is Tensor or kind is Symbol:
        if dtype is None or x.dtype == dtype or not is_float(x.dtype):
            return x
        cast = ops.cast(x, dtype)
        mask = x.__dict__.get("_keras_mask")
        if mask is not None:
            cast._keras_mask = mask
        return cast
    if isinstance(x, (KerasTensor, Variable)) or kind in _PLAIN:
        return x
    if isinstance(x, (list, tuple)):
        if _all_numbers(x):
            return _tensor(x, dtype)
        items = [convert_input(v, dtype) for v in x]
        return type(x)(*items) if hasattr(x, "_fields") else items if isinstance(x, list) else tuple(items)
    if isinstance(x, dict):
        return {key: convert_input(value, dtype) for key, value in x.items()}
    if isinstance(x, (np.ndarray, np.generic)) or hasattr(x, "__array__") or hasattr(x, "__dlpack__"):
        return _tensor(x, dtype)
    return x


def _tensor(x: Any, dtype: str | None) -> Any:
    if not isinstance(x, (list, tuple)):
        x = x if isinstance(x, np.ndarray) else _foreign(x)
        if x.dtype.kind in "SUO":
            return x if x.dtype.kind != "O" else _numbers_in(x, dtype)
        return Tensor(as_array(x, dtype if x.dtype.kind == "f" else None))
    tensor = Tensor(as_array(x))
    return tensor if dtype is None or not is_float(tensor.dtype) else Tensor(as_array(tensor, dtype))


def _foreign(x: Any) -> np.ndarray[Any, Any]:
    if hasattr(x, "detach") and hasattr(x, "cpu"):  # a torch tensor that may need a gradient
        x = x.detach().cpu()
    return np.asarray(x)


def _numbers_in(x: np.ndarray[Any, Any], dtype: str | None) -> Any:
    if x.size and all(isinstance(v, str) for v in x.flat):
        return x  # text, for the preprocessing layers
    return Tensor(as_array(x, dtype))  # raises the error that says what is wrong with an object array


def _all_numbers(x: Any) -> bool:
    """Whether a list holds numbers only, however nested, and at least one."""
    if not x:
        return False
    for v in x:
        if isinstance(v, (list, tuple)):
            if not _all_numbers(v):
                return False
        elif not isinstance(v, (bool, int, float, np.number, np.bool_)):
            return False
    return True
