"""`tf.sets`: sets along the last axis of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.compat.sparse import SparseTensor
from nacre.core.tensor import Tensor
from nacre.utils.dataset import as_values


def _sets(x: Any) -> tuple[tuple[int, ...], dict[tuple[int, ...], set[Any]]]:
    """The shape in front of the last axis, and the values at each place of it."""
    if not isinstance(x, SparseTensor):
        dense = np.asarray(x)
        return dense.shape[:-1], {place: set(dense[place].tolist()) for place in np.ndindex(*dense.shape[:-1])}
    found: dict[tuple[int, ...], set[Any]] = {place: set() for place in np.ndindex(*x.shape[:-1])}
    for place, value in zip(np.asarray(x.indices).tolist(), np.asarray(x.values).tolist()):
        found[tuple(place[:-1])].add(value)
    return x.shape[:-1], found


def _operation(name: str, join: Callable[[set[Any], set[Any]], set[Any]]) -> Callable[..., SparseTensor]:
    def operate(a: Any, b: Any, validate_indices: bool = True, aminusb: bool = True) -> SparseTensor:
        (shape, first), (other, second) = _sets(a), _sets(b)
        if shape != other:
            raise ValueError(
                f"tf.sets.{name}: expected the same axes in front of the last one, got {shape} and {other}"
            )
        rows = {place: sorted(join(first[place], second[place]) if aminusb else second[place] - first[place])
                for place in first}  # fmt: skip
        places = [(*place, i) for place, row in rows.items() for i in range(len(row))]
        values = [value for row in rows.values() for value in row]
        dtype = np.asarray(a.values if isinstance(a, SparseTensor) else a).dtype
        return SparseTensor(
            Tensor(np.array(places, np.int64).reshape(-1, len(shape) + 1)),
            as_values(np.array(values, dtype)),
            Tensor(np.array([*shape, max(map(len, rows.values()), default=0)], np.int64)),
        )

    return operate


union = _operation("union", lambda a, b: a | b)
intersection = _operation("intersection", lambda a, b: a & b)
difference = _operation("difference", lambda a, b: a - b)


def size(a: SparseTensor, validate_indices: bool = True) -> Tensor:
    """How many different values each set has."""
    shape, found = _sets(a)
    return Tensor(np.array([len(found[place]) for place in np.ndindex(*shape)], np.int32).reshape(shape))
