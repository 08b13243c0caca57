"""Whatever users hold data in, as C-contiguous arrays with the samples first."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nacre.core import config, tree
from nacre.core.room import check_room
from nacre.core.spec import dtype_name, is_computed
from nacre.core.tensor import KerasTensor, Symbol, Tensor, as_array, is_plain
from nacre.losses.loss import is_numbers


def is_array_like(x: Any) -> bool:
    """Whether `x` is one array: NumPy, a tensor of any library, pandas, a sparse matrix, or a list of numbers."""
    return _is_array(x) or _is_sparse(x) or is_numbers(x)


def _is_sparse(x: Any) -> bool:
    scipy = sys.modules.get("scipy.sparse")
    return scipy is not None and bool(scipy.issparse(x))


def _is_array(x: Any) -> bool:
    if isinstance(x, (np.ndarray, Tensor)):
        return True
    if isinstance(x, (KerasTensor, Symbol, type, str, bytes)):
        return False
    return (hasattr(x, "__array__") or hasattr(x, "__dlpack__")) and hasattr(x, "shape")


def is_arrays(x: Any) -> bool:
    """Whether `x` is an array, or a structure of arrays."""
    if is_array_like(x):
        return True
    if not tree.is_nested(x):
        return False
    items = list(x.values() if isinstance(x, dict) else x)
    return bool(items) and all(is_arrays(item) or item is None for item in items) and any(v is not None for v in items)


def _is_ready(x: Any) -> bool:
    """Whether `to_array` gives `x` as it is: quickly, for many inputs."""
    return (
        type(x) is np.ndarray
        and x.ndim > 0
        and is_plain(x)
        and is_computed(x.dtype)
        and (x.dtype.kind != "f" or dtype_name(x.dtype) == config.floatx())
    )


def to_array(x: Any, what: str) -> np.ndarray[Any, Any]:
    """One array: floats in `floatx()`, ints and booleans as they are, text untouched; at least one axis.

    Raises TypeError for what holds no numbers, ValueError for a scalar.
    """
    if _is_ready(x):
        return x  # type: ignore[no-any-return]
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if isinstance(x, pandas.Series):
            x = np.expand_dims(_of_pandas(x, {x.name: x.dtype}, what), -1)
        elif isinstance(x, pandas.DataFrame):
            x = _of_pandas(x, x.dtypes, what)
    if _is_sparse(x):
        check_room(x.shape, config.floatx(), what)
        x = (x.astype(config.floatx()) if x.dtype.kind == "f" else x).toarray()
    if isinstance(x, (list, tuple)):
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise ValueError(
                f"{what}: expected a list of equally long lists, got one that is ragged: {error}"
            ) from None
    if not isinstance(x, (np.ndarray, Tensor)):
        x = _foreign(x)
    if isinstance(x, np.ndarray):
        if x.dtype.kind in "SU" or (
            x.dtype.kind == "O" and x.size and all(isinstance(v, (str, bytes)) for v in x.flat)
        ):
            return x
        if x.dtype.kind not in "biuf":
            raise ValueError(
                f"{what}: Invalid dtype: {x.dtype}. Expected an array of numbers; if the rows have different lengths, "
                "pad them first (keras.utils.pad_sequences)"
            )
    array = as_array(x)
    if array.ndim == 0:
        raise ValueError(f"{what}: expected an array with samples along its first axis, got a single number")
    if array.dtype.kind == "f" and array.dtype.name != config.floatx():
        array = as_array(array, config.floatx())
    return array


def _of_pandas(x: Any, dtypes: Any, what: str) -> np.ndarray[Any, Any]:
    """The values of a Series or DataFrame with columns of these dtypes: those of several kinds as floats, what is
    missing as NaN. Raises ValueError that names a column among numbers that holds none."""
    array: np.ndarray[Any, Any] = x.to_numpy()
    if array.dtype.kind != "O":
        return array
    other = {name: dtype for name, dtype in dtypes.items() if getattr(dtype, "kind", "O") not in "biuf"}
    if not other:
        return x.to_numpy(dtype=config.floatx(), na_value=np.nan)  # type: ignore[no-any-return]
    name, dtype = next(iter(other.items()))
    if len(other) < len(dtypes) or not all(isinstance(v, (str, bytes)) for v in array.flat):
        raise ValueError(
            f"{what}: Invalid dtype: {dtype} of column {name!r}. Expected columns of numbers: encode it first "
            "(pandas.get_dummies, keras.layers.StringLookup), or feed it to an input of its own"
        )
    return array


def _foreign(x: Any) -> np.ndarray[Any, Any]:
    if hasattr(x, "detach") and hasattr(x, "cpu"):  # a torch tensor that may need a gradient
        x = x.detach().cpu()
    return np.asarray(x)


def to_arrays(x: Any, what: str) -> Any:
    """`x` with every array in it converted by `to_array`; None stays None."""
    if x is None:
        return None
    if type(x) is np.ndarray or is_array_like(x):
        return to_array(x, what)
    if isinstance(x, dict):
        return {key: v if _is_ready(v) else to_arrays(v, f"{what}[{key!r}]") for key, v in x.items()}
    if isinstance(x, (list, tuple)):
        items = [v if _is_ready(v) else to_arrays(v, f"{what}[{i}]") for i, v in enumerate(x)]
        if isinstance(x, tuple):
            return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
        return items
    raise ValueError(
        f"Unrecognized data type: {what}={str(x)[:80]} (of type {type(x).__name__}). Expected an array, or a list or "
        "dict of arrays"
    )


def leaves(structure: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays in a structure, without its Nones."""
    if structure is None or type(structure) is np.ndarray:  # as a rule, and for each batch
        return [] if structure is None else [structure]
    return [a for a in tree.flatten(structure) if a is not None]


def rows(structure: Any, index: Any) -> Any:
    """Those rows (a slice or an index array) of every array."""
    return tree.map_structure(lambda a: None if a is None else a[index], structure)


def check_lengths(**parts: Any) -> int:
    """The number of samples that all arrays have. Raises ValueError when they differ."""
    found = {len(a) for part in parts.values() for a in leaves(part)}
    if len(found) > 1:
        lengths = {name: [len(a) for a in leaves(part)] for name, part in parts.items() if part is not None}
        lines = [f"'{name}' sizes: {', '.join(map(str, sizes))}" for name, sizes in lengths.items()]
        raise ValueError(
            "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples. "
            + "\n".join(lines)
        )
    return found.pop() if found else 0


def check_batch(x: Any, y: Any, sample_weight: Any) -> None:
    """That targets and weights have as many samples as `x`, unless its arrays differ: a graph has nodes and edges.

    Raises ValueError where they have not.
    """
    sizes = {len(a) for a in leaves(x)}
    if sizes == {0} and y is not None:
        raise ValueError("x: expected batches of at least one sample, got one of none. Leave empty batches out")
    if len(sizes) == 1 and not {len(a) for a in (*leaves(y), *leaves(sample_weight))} <= sizes:
        check_lengths(x=x, y=y, sample_weight=sample_weight)


def check_class_weight(class_weight: Any) -> None:
    """Raises TypeError for what is no dict, ValueError for one that does not give numbers to class numbers."""
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight: expected a dict from class number to weight, got {type(class_weight).__name__}")
    for label, weight in class_weight.items():
        if not (_is_finite(label) and int(label) == label and _is_finite(weight)):
            raise ValueError(
                f"class_weight: expected a number for each class number, such as {{0: 1.0}}, got {label!r}: {weight!r}"
            )


def _is_finite(x: Any) -> bool:
    x = np.asarray(x)
    return x.ndim == 0 and x.dtype.kind in "biuf" and bool(np.isfinite(x))


def class_weight_to_sample_weights(y: Any, class_weight: dict[int, float]) -> np.ndarray[Any, Any]:
    """The weight of each sample by its class: class numbers, or one-hot rows; 1 for classes that are not named."""
    check_class_weight(class_weight)
    y = np.asarray(y)
    if y.ndim > 1:
        y = np.argmax(y, axis=-1) if y.shape[-1] != 1 else np.squeeze(y, axis=-1)
    y = np.round(y).astype("int64")
    weights = np.ones(y.shape, config.floatx())
    for label, weight in class_weight.items():
        weights[y == int(label)] = weight
    return weights
