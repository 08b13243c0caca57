"""Small array helpers: one-hot labels, unit vectors, padded sequences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.errors import told
from nacre.core.tensor import Tensor, Value


@told
def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """One-hot vectors of shape (..., num_classes), float64, for class numbers of shape (...) or (..., 1).

    Args:
        x: integers in [0, num_classes), an array or nested lists.
        num_classes: how many classes there are; `max(x) + 1` by default.

    Raises:
        ValueError: when there is no class number, or something that is none.
        IndexError: when one is negative or too large.

    >>> to_categorical([0, 2], num_classes=3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if isinstance(x, Value) and not isinstance(x, Tensor) and num_classes is not None:  # values are not known
        x = ops.squeeze(x, -1) if len(x.shape) > 1 and x.shape[-1] == 1 else x
        return ops.one_hot(ops.cast(x, "int32"), num_classes)
    labels = np.asarray(x)
    try:
        labels = labels.astype(np.int64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"to_categorical: expected class numbers, got dtype {labels.dtype}: {error}") from None
    shape = labels.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    labels = labels.reshape(-1)
    if num_classes is None:
        if not labels.size:
            raise ValueError(
                "to_categorical: there is no class number; say how many classes there are (num_classes=...)"
            )
        num_classes = int(labels.max()) + 1
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        bad = labels[(labels < 0) | (labels >= num_classes)][0]
        raise IndexError(f"to_categorical: expected class numbers in [0, {num_classes}), got {bad}")
    out = np.zeros((labels.size, num_classes))
    out[np.arange(labels.size), labels] = 1.0
    out = out.reshape((*shape, num_classes))
    return Tensor(out.astype(np.float32)) if isinstance(x, Value) else out


@told
def normalize(x: Any, axis: int = -1, order: float = 2) -> Any:
    """`x` divided by its norm along `axis`; zeros stay zeros.

    `order` is that of `numpy.linalg.norm`: 2 Euclidean, 1 sum of absolute values, `numpy.inf` maximum.

    >>> normalize([[3.0, 4.0]]).tolist()
    [[0.6, 0.8]]
    """
    if isinstance(x, Value):
        return ops.normalize(x, axis, order)
    array = np.asarray(x)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if array.ndim == 0:
        array = array[None]
    norm = np.linalg.norm(array, ord=order, axis=axis, keepdims=True)
    norm[norm == 0] = 1.0
    return array / norm


@told
def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray[Any, Any]:
    """Lists of unequal lengths as one array of shape (len(sequences), maxlen, ...).

    Args:
        sequences: a list of lists; an element may itself be an array (all of one shape).
        maxlen: the length; that of the longest sequence by default.
        dtype: of the result; `object` for strings.
        padding: "pre" or "post": where a short sequence is filled up with `value`.
        truncating: "pre" or "post": where a long one is cut.
        value: what short sequences are filled with.

    Raises:
        ValueError: for no list of lists, elements of several shapes, or a `value` that `dtype` cannot hold.

    >>> pad_sequences([[1], [2, 3]]).tolist()
    [[0, 1], [2, 3]]
    """
    if not hasattr(sequences, "__len__"):
        raise ValueError("`sequences` must be iterable.")
    for given, what in ((padding, "Padding"), (truncating, "Truncating")):
        if given not in ("pre", "post"):
            raise ValueError(f'{what} type "{given}" not understood: expected "pre" or "post"')
    if maxlen is not None and maxlen < 0:
        raise ValueError(f"pad_sequences: `maxlen` cannot be negative, got {maxlen}")
    for s in sequences:
        if not isinstance(s, Iterable) or not hasattr(s, "__len__"):
            raise ValueError(f"`sequences` must be a list of iterables. Found non-iterable: {s!r}")
    kind = np.dtype(dtype)
    if isinstance(value, str) and kind.kind != "O" and kind.kind not in "US":
        raise ValueError(
            f"`dtype` {dtype} is not compatible with `value`'s type: {type(value)}\n"
            "You should set `dtype=object` for variable length strings."
        )
    length = max((len(s) for s in sequences), default=0) if maxlen is None else int(maxlen)
    element = next((np.asarray(s).shape[1:] for s in sequences if len(s)), ())
    out = np.full((len(sequences), length, *element), value, dtype=kind)
    for i, s in enumerate(sequences):
        if not len(s) or not length:
            continue
        kept = np.asarray(s[-length:] if truncating == "pre" else s[:length], dtype=kind)
        if kept.shape[1:] != element:
            raise ValueError(
                f"Shape of sample {kept.shape[1:]} of sequence at position {i} is different from expected shape "
                f"{element}"
            )
        if padding == "post":
            out[i, : len(kept)] = kept
        else:
            out[i, -len(kept) :] = kept
    return out
