"""`tf.sets`, sets along the last axis of tensors, and `tf.queue`: values that wait for each other, in one process."""

from __future__ import annotations

import heapq
from collections import deque
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


class FIFOQueue:
    """Values that come out in the order in which they went in; `capacity` of them at most.

    Where none is there, or no more go in, waiting would be for ever in one process: that is a ValueError.
    """

    def __init__(self, capacity: int, dtypes: Any, shapes: Any = None, names: Any = None, **kwargs: Any) -> None:
        self.capacity, self.dtypes, self.names = int(capacity), dtypes, names
        self._count = len(dtypes) if isinstance(dtypes, (list, tuple)) else 1
        self._held: Any = deque()

    def _put(self, parts: list[Any]) -> None:
        if len(self._held) >= self.capacity:
            raise ValueError(f"the queue is full: it holds {self.capacity} values, and nobody else takes one out")
        self._held.append(parts)

    def _take(self) -> Any:
        if not self._held:
            raise ValueError("the queue is empty, and nobody else puts a value in")
        return self._held.popleft()

    def _parts(self, vals: Any) -> list[Any]:
        if isinstance(vals, dict):
            return [vals[name] for name in self.names]
        found = list(vals) if self._count > 1 or (isinstance(vals, (list, tuple)) and len(vals) == 1) else [vals]
        if len(found) != self._count:
            raise ValueError(f"enqueue: expected {self._count} parts, got {len(found)}")
        return found

    def _out(self, parts: list[Any]) -> Any:
        values = [as_values(part) for part in parts]
        if self.names:
            return dict(zip(self.names, values, strict=True))
        return values if self._count > 1 else values[0]

    def enqueue(self, vals: Any, name: str | None = None) -> None:
        """Puts one value in."""
        self._put([np.asarray(part) if hasattr(part, "__array__") else part for part in self._parts(vals)])

    def enqueue_many(self, vals: Any, name: str | None = None) -> None:
        """Puts in the parts along the first axis."""
        for parts in zip(*self._parts(vals), strict=True):
            self._put(list(parts))

    def dequeue(self, name: str | None = None) -> Any:
        """Takes one value out."""
        return self._out(self._take())

    def dequeue_many(self, n: int, name: str | None = None) -> Any:
        """Takes `n` values out, along a new first axis."""
        return self._out([np.array(column) for column in zip(*(self._take() for _ in range(int(n))), strict=True)])

    def size(self, name: str | None = None) -> Tensor:
        """How many values are in it."""
        return Tensor(np.array(len(self._held), np.int32))

    def close(self, cancel_pending_enqueues: bool = False, name: str | None = None) -> None:
        """Nothing waits."""


class PriorityQueue(FIFOQueue):
    """As `FIFOQueue`; what has the smallest number in front comes out first."""

    def __init__(self, capacity: int, types: Any, shapes: Any = None, names: Any = None, **kwargs: Any) -> None:
        super().__init__(capacity, ["int64", *(types if isinstance(types, (list, tuple)) else [types])], shapes, names)
        self._held, self._turn = [], 0

    def _put(self, parts: list[Any]) -> None:
        if len(self._held) >= self.capacity:
            raise ValueError(f"the queue is full: it holds {self.capacity} values, and nobody else takes one out")
        self._turn += 1
        heapq.heappush(self._held, (int(np.asarray(parts[0])), self._turn, parts))

    def _take(self) -> Any:
        if not self._held:
            raise ValueError("the queue is empty, and nobody else puts a value in")
        return heapq.heappop(self._held)[2]
