"""What layers that look tokens up share: checks of arguments, shapes where there are no values, indices as vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.errors import TracedBranch
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.layers.arguments import is_int


def only_shape(who: str, shape: Any, dtype: str) -> Symbol:
    """What work in Python, on values, gives of Symbols where only shapes are wanted: one of this shape.

    Raises TracedBranch where values are wanted.
    """
    graph = trace.current_graph()
    if graph is None or not trace.probing() or None in shape:
        raise TracedBranch(
            f"{who} works in Python, on values. Applied to the data before training, for example in the data set, it "
            "does not hold the model up"
        )
    return graph.add_input(Spec(tuple(shape), dtype))


def text_of(token: Any, encoding: str = "utf-8") -> str:
    """A token as text. Raises ValueError for what is none, as the None and NaN of missing values are."""
    if isinstance(token, bytes):
        return token.decode(encoding)
    if not isinstance(token, str) and not is_int(token):
        raise ValueError(f"expected texts, got {token!r} among them: say what stands for a missing one, such as ''")
    return str(token)


def one_of(who: str, name: str, value: Any, allowed: tuple[Any, ...], none: bool = False, call: bool = False) -> None:
    """Raises ValueError unless `value` is one of the `allowed` ones (or None, or a function)."""
    fits = isinstance(value, str) and value in allowed
    if not fits and not (none and value is None) and not (call and callable(value)):
        raise ValueError(
            f"Unknown value for `{name}` argument of {who}. Allowed values are: {allowed}. Received: {name}={value}"
        )


def two_integers(who: str, salt: Any) -> list[int] | None:
    """The two numbers that a `salt` stands for."""
    if salt is None:
        return None
    pair = [salt, salt] if is_int(salt) else list(salt) if isinstance(salt, (tuple, list)) else []
    if len(pair) != 2 or not all(map(is_int, pair)):
        raise ValueError(
            f"The `salt` argument for `{who}` can only be a tuple of {'size ' if who == 'Hashing' else ''}2 integers, "
            f"or a single integer. Received: salt={salt}."
        )
    return [int(n) for n in pair]


def encode_indices(indices: np.ndarray[Any, Any], mode: str, depth: int, weights: Any = None) -> np.ndarray[Any, Any]:
    """Vectors (..., depth) of indices: `one_hot`, or of the last axis together `multi_hot`, `count` or `tf_idf`.

    Whole numbers, or the dtype of the weights; what is not in [0, depth) counts nothing.

    >>> encode_indices(np.array([[0, 2, 2]]), "count", 4).tolist()
    [[1, 0, 2, 0]]
    """
    if indices.ndim == 0:
        indices = indices[None]
    if mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = indices[..., 0]
        return np.asarray(indices[..., None] == np.arange(depth)).astype(np.int64)
    rows = indices.reshape(int(np.prod(indices.shape[:-1])), indices.shape[-1])
    row, column = np.nonzero((rows >= 0) & (rows < depth))
    counts = np.bincount(row * depth + rows[row, column], minlength=rows.shape[0] * depth)
    out = counts.reshape(rows.shape[0], depth)
    if mode == "multi_hot":
        out = (out > 0).astype(np.int64)
    elif mode == "tf_idf":
        out = (out * weights).astype(weights.dtype)
    return out.reshape(*indices.shape[:-1], depth)
