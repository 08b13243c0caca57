"""`tf.data.Dataset` as far as tutorials use it: a chain of generators over NumPy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from nacre.core import tree

AUTOTUNE = -1
INFINITE = -1
UNKNOWN = -2


class Dataset:
    """Elements (arrays, or tuples, lists and dicts of them), made anew each time that it is iterated over."""

    def __init__(self, make: Callable[[], Iterable[Any]], length: int | None = None, endless: bool = False) -> None:
        self._make = make
        self._length = length
        self._endless = endless

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())

    def __len__(self) -> int:
        if self._endless or self._length is None:
            raise TypeError(f"The dataset is {'infinite' if self._endless else 'of unknown length'}.")
        return self._length

    def cardinality(self) -> int:
        """The number of elements; -1 for no end, -2 for unknown."""
        return INFINITE if self._endless else UNKNOWN if self._length is None else self._length

    # Sources.

    @staticmethod
    def from_tensor_slices(tensors: Any) -> Dataset:
        """One element per position along the first axis."""
        arrays = tree.map_structure(np.asarray, _arrays(tensors))
        lengths = {len(a) for a in tree.flatten(arrays)}
        if len(lengths) != 1:
            raise ValueError(f"Dataset.from_tensor_slices: arrays of several lengths: {sorted(lengths)}")
        n = lengths.pop()
        return Dataset(lambda: (tree.map_structure(lambda a, i=i: a[i], arrays) for i in range(n)), n)

    @staticmethod
    def from_tensors(tensors: Any) -> Dataset:
        """One element: the whole."""
        return Dataset(lambda: [tree.map_structure(np.asarray, _arrays(tensors))], 1)

    @staticmethod
    def from_generator(generator: Callable[..., Iterable[Any]], *args: Any, **kwargs: Any) -> Dataset:
        """What the function yields; types and signatures are not needed."""
        return Dataset(lambda: generator(*kwargs.get("args", ())))

    @staticmethod
    def range(*args: int) -> Dataset:
        """Whole numbers."""
        numbers = range(*args)
        return Dataset(lambda: (np.int64(i) for i in numbers), len(numbers))

    @staticmethod
    def zip(*datasets: Any) -> Dataset:
        """Elements of several data sets as tuples."""
        parts = datasets[0] if len(datasets) == 1 and isinstance(datasets[0], (tuple, list)) else datasets
        lengths = [d._length for d in parts]
        known = [n for n, d in itertools.zip_longest(lengths, parts) if not d._endless]
        length = min(known) if known and None not in known else None
        return Dataset(lambda: zip(*parts, strict=False), length, all(d._endless for d in parts))

    # Steps.

    def map(self, map_func: Callable[..., Any], num_parallel_calls: Any = None, **kwargs: Any) -> Dataset:
        """`map_func` of each element; a tuple is handed over as several arguments."""

        def call(element: Any) -> Any:
            return map_func(*element) if isinstance(element, tuple) else map_func(element)

        return Dataset(lambda: (_plain(call(e)) for e in self), self._length, self._endless)

    def filter(self, predicate: Callable[..., Any]) -> Dataset:
        """The elements for which `predicate` is true."""

        def keep(element: Any) -> bool:
            return bool(predicate(*element) if isinstance(element, tuple) else predicate(element))

        return Dataset(lambda: (e for e in self if keep(e)), None, self._endless)

    def batch(self, batch_size: int, drop_remainder: bool = False, **kwargs: Any) -> Dataset:
        """`batch_size` elements stacked along a new first axis."""
        size = int(batch_size)
        if size <= 0:
            raise ValueError(f"Dataset.batch: expected a positive batch_size, got {batch_size}")

        def batches() -> Iterator[Any]:
            elements = iter(self)
            while part := list(itertools.islice(elements, size)):
                if len(part) == size or not drop_remainder:
                    yield tree.map_structure(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *part)

        n = self._length
        return Dataset(batches, None if n is None else n // size if drop_remainder else -(-n // size), self._endless)

    def unbatch(self) -> Dataset:
        """The parts of each element along its first axis."""

        def parts() -> Iterator[Any]:
            for element in self:
                for i in range(len(tree.flatten(element)[0])):
                    yield tree.map_structure(lambda a, i=i: a[i], element)

        return Dataset(parts, None, self._endless)

    def shuffle(self, buffer_size: int, seed: int | None = None, reshuffle_each_iteration: bool = True) -> Dataset:
        """Elements in random order, drawn from a buffer of that many."""
        fixed = (
            np.random.default_rng(seed).integers(2**63) if seed is not None or not reshuffle_each_iteration else None
        )
        rounds = itertools.count()

        def mixed() -> Iterator[Any]:
            if fixed is None:
                rng = np.random.default_rng(np.random.randint(2**31))
            else:
                rng = np.random.default_rng([int(fixed), next(rounds) if reshuffle_each_iteration else 0])
            elements = iter(self)
            buffer = list(itertools.islice(elements, int(buffer_size)))
            for new in elements:
                i = int(rng.integers(len(buffer)))
                out, buffer[i] = buffer[i], new
                yield out
            rng.shuffle(buffer)
            yield from buffer

        return Dataset(mixed, self._length, self._endless)

    def repeat(self, count: int | None = None) -> Dataset:
        """The elements `count` times; without end for None and -1."""
        if count is None or count < 0:
            return Dataset(lambda: (e for _ in itertools.count() for e in self), None, True)
        length = None if self._length is None else self._length * count
        return Dataset(lambda: (e for _ in range(count) for e in self), length, self._endless)

    def take(self, count: int) -> Dataset:
        """The first `count` elements."""
        length = count if self._endless else None if self._length is None else min(count, self._length)
        return Dataset(lambda: itertools.islice(iter(self), count), length)

    def skip(self, count: int) -> Dataset:
        """All but the first `count` elements."""
        length = None if self._length is None else max(self._length - count, 0)
        return Dataset(lambda: itertools.islice(iter(self), count, None), length, self._endless)

    def concatenate(self, dataset: Dataset) -> Dataset:
        """These elements, then those."""
        known = self._length is not None and dataset._length is not None
        length = self._length + dataset._length if known else None  # type: ignore[operator]
        return Dataset(lambda: itertools.chain(self, dataset), length, self._endless or dataset._endless)

    def enumerate(self, start: int = 0) -> Dataset:
        """Pairs of number and element."""
        return Dataset(lambda: enumerate(self, start), self._length, self._endless)

    def cache(self, filename: str = "") -> Dataset:
        """Elements are made once and kept in memory."""
        kept: list[Any] = []

        def remembered() -> Iterator[Any]:
            if not kept:
                kept.extend(self)
            return iter(kept)

        return Dataset(remembered, self._length, self._endless)

    def prefetch(self, buffer_size: int = AUTOTUNE) -> Dataset:
        """The same elements."""
        return self

    def with_options(self, options: Any) -> Dataset:
        """The same elements."""
        return self

    def as_numpy_iterator(self) -> Iterator[Any]:
        """The elements as NumPy arrays."""
        return (tree.map_structure(np.asarray, e) for e in self)


def _arrays(structure: Any) -> Any:
    """Lists of numbers are one array; tuples and dicts are structure."""
    if isinstance(structure, tuple):
        return tuple(_arrays(s) for s in structure)
    if isinstance(structure, dict):
        return {k: _arrays(v) for k, v in structure.items()}
    return np.asarray(structure)


def _plain(structure: Any) -> Any:
    return tree.map_structure(lambda x: np.asarray(x) if hasattr(x, "__array__") else x, structure)
