"""Chains of steps over elements made one at a time, with the methods of `tf.data.Dataset` that programs use."""

from __future__ import annotations

import glob
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from nacre import ops
from nacre.core import tree
from nacre.core.spec import is_computed
from nacre.core.tensor import KerasTensor, Tensor

AUTOTUNE = -1
INFINITE = -1
UNKNOWN = -2


class Text(np.ndarray[Any, Any]):
    """An array of strings, whose `numpy()` gives them as bytes, and whose elements are such arrays, too."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return scalar(found) if isinstance(found, (str, bytes)) else found

    def numpy(self) -> Any:
        """The strings in UTF-8."""
        found = np.empty(self.shape, object)
        found[...] = np.vectorize(lambda s: s if isinstance(s, bytes) else str(s).encode(), [object])(self)
        return found[()]


def scalar(text: str | bytes) -> Text:
    """A string on its own, which keeps zeros at the end of bytes (an array of NumPy's strings does not)."""
    held = np.empty((), object)
    held[()] = text
    return held.view(Text)


def as_values(element: Any) -> Any:
    """The arrays of an element as Tensors, strings as `Text`."""

    def leaf(x: Any) -> Any:
        if isinstance(x, (Tensor, Dataset)) or x is None:
            return x
        if isinstance(x, bytes):
            return scalar(x)
        array = np.asarray(x)
        if array.dtype.kind in "SUO":
            return array.view(Text)
        return ops.convert_to_tensor(array) if is_computed(array.dtype) else array

    return tree.map_structure(leaf, element)


def _as_arrays(element: Any) -> Any:
    return tree.map_structure(lambda x: np.asarray(x) if hasattr(x, "__array__") else x, element)


def _called(function: Callable[..., Any], element: Any) -> Any:
    """`function` of an element; a tuple is handed over as several arguments."""
    values = as_values(element)
    return function(*values) if isinstance(values, tuple) else function(values)


class Dataset:
    """Elements (arrays, or tuples, lists and dicts of them), made anew each time that it is iterated over.

    >>> [batch.numpy().tolist() for batch in Dataset.range(5).map(lambda x: x * 2).batch(2)]
    [[0, 2], [4, 6], [8]]
    """

    def __init__(self, make: Callable[[], Iterable[Any]], length: int | None = None, endless: bool = False) -> None:
        self._make = make
        self._length = length
        self._endless = endless

    def __iter__(self) -> Iterator[Any]:
        return (as_values(e) for e in self._make())

    def __len__(self) -> int:
        if self._endless or self._length is None:
            raise TypeError(f"The dataset is {'infinite' if self._endless else 'of unknown length'}.")
        return self._length

    def cardinality(self) -> Tensor:
        """The number of elements; -1 for no end, -2 for unknown."""
        n = INFINITE if self._endless else UNKNOWN if self._length is None else self._length
        return Tensor(np.array(n, np.int64))

    # Sources.

    @staticmethod
    def from_tensor_slices(tensors: Any, name: str | None = None) -> Dataset:
        """One element per position along the first axis."""
        arrays = tree.map_structure(np.asarray, _arrays(tensors))
        lengths = {len(a) for a in tree.flatten(arrays)}
        if len(lengths) != 1:
            raise ValueError(f"Dataset.from_tensor_slices: arrays of several lengths: {sorted(lengths)}")
        n = lengths.pop()
        return Dataset(lambda: (tree.map_structure(lambda a, i=i: a[i], arrays) for i in range(n)), n)

    @staticmethod
    def from_tensors(tensors: Any, name: str | None = None) -> Dataset:
        """One element: the whole."""
        return Dataset(lambda: [tree.map_structure(np.asarray, _arrays(tensors))], 1)

    @staticmethod
    def from_generator(generator: Callable[..., Iterable[Any]], *args: Any, **kwargs: Any) -> Dataset:
        """What the function yields; types and signatures are not needed."""
        return Dataset(lambda: generator(*kwargs.get("args", ())))

    @staticmethod
    def list_files(file_pattern: Any, shuffle: bool | None = None, seed: int | None = None) -> Dataset:
        """The names of the files that match a pattern (or several), in order, or shuffled anew in each epoch."""
        patterns = [file_pattern] if isinstance(file_pattern, (str, bytes, os.PathLike)) else list(file_pattern)
        names = sorted({name for pattern in patterns for name in glob.glob(os.fsdecode(pattern))})
        if not names:
            raise ValueError(f"list_files: no file matches {file_pattern!r}")
        files = Dataset.from_tensor_slices(names)
        return files.shuffle(len(names), seed) if shuffle or shuffle is None else files

    @staticmethod
    def range(*args: int, **kwargs: Any) -> Dataset:
        """Whole numbers."""
        numbers = range(*(int(a) for a in args))
        return Dataset(lambda: (np.int64(i) for i in numbers), len(numbers))

    @staticmethod
    def zip(*datasets: Any, name: str | None = None) -> Dataset:
        """Elements of several data sets as tuples; of a dict of data sets, as dicts."""
        whole = datasets[0] if len(datasets) == 1 and isinstance(datasets[0], (tuple, list, dict)) else datasets
        parts = tree.flatten(whole)
        known = [d._length for d in parts if not d._endless]
        length = min(known) if known and None not in known else None
        like = whole if isinstance(whole, dict) else tuple(whole)

        def together() -> Iterator[Any]:
            return (tree.pack_sequence_as(like, list(e)) for e in zip(*(d._make() for d in parts), strict=False))

        return Dataset(together, length, all(d._endless for d in parts))

    # Steps.

    def map(self, map_func: Callable[..., Any], num_parallel_calls: Any = None, **kwargs: Any) -> Dataset:
        """`map_func` of each element; a tuple is several arguments, a list that comes back is a tuple."""

        def mapped(element: Any) -> Any:
            found = _as_arrays(_called(map_func, element))
            return tuple(found) if isinstance(found, list) else found

        return Dataset(lambda: map(mapped, self._make()), self._length, self._endless)

    def filter(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements for which `predicate` is true."""
        return Dataset(lambda: (e for e in self._make() if bool(_called(predicate, e))), None, self._endless)

    def flat_map(self, map_func: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements of the data sets that `map_func` gives, one data set after another."""
        return Dataset(lambda: (e for outer in self._make() for e in _called(map_func, outer)._make()))

    def interleave(
        self, map_func: Callable[..., Any], cycle_length: int = 1, block_length: int = 1, **kwargs: Any
    ) -> Dataset:
        """As `flat_map`, with the elements of `cycle_length` data sets in turns of `block_length`."""

        def turns() -> Iterator[Any]:
            outer = iter(self._make())
            opened: deque[Iterator[Any]] = deque()
            while True:
                while len(opened) < max(int(cycle_length), 1) and (new := next(outer, _END)) is not _END:
                    opened.append(iter(_called(map_func, new)._make()))
                if not opened:
                    return
                now = opened.popleft()
                block = list(itertools.islice(now, int(block_length)))
                yield from block
                if len(block) == int(block_length):
                    opened.append(now)

        return Dataset(turns)

    def batch(self, batch_size: int, drop_remainder: bool = False, **kwargs: Any) -> Dataset:
        """`batch_size` elements stacked along a new first axis."""
        return self._batched("batch", batch_size, drop_remainder, np.stack)

    def padded_batch(
        self,
        batch_size: int,
        padded_shapes: Any = None,
        padding_values: Any = 0,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """As `batch`, with zeros (or `padding_values`, one number) behind what is shorter than the longest."""

        def stacked(arrays: list[Any]) -> Any:
            sizes = [max(n) for n in zip(*(a.shape for a in arrays), strict=True)]
            out = np.full((len(arrays), *sizes), padding_values or 0, arrays[0].dtype)
            for row, a in zip(out, arrays, strict=True):
                row[tuple(slice(n) for n in a.shape)] = a
            return out

        return self._batched("padded_batch", batch_size, drop_remainder, stacked)

    def _batched(self, what: str, batch_size: int, drop_remainder: bool, stack: Callable[[list[Any]], Any]) -> Dataset:
        size = int(batch_size)
        if size <= 0:
            raise ValueError(f"Dataset.{what}: expected a positive batch_size, got {batch_size}")

        def batches() -> Iterator[Any]:
            elements = iter(self._make())
            while part := list(itertools.islice(elements, size)):
                if len(part) == size or not drop_remainder:
                    yield tree.map_structure(lambda *leaves: stack([np.asarray(x) for x in leaves]), *part)

        n = self._length
        return Dataset(batches, None if n is None else n // size if drop_remainder else -(-n // size), self._endless)

    def unbatch(self, name: str | None = None) -> Dataset:
        """The parts of each element along its first axis."""

        def parts() -> Iterator[Any]:
            for element in self._make():
                for i in range(len(tree.flatten(element)[0])):
                    yield tree.map_structure(lambda a, i=i: np.asarray(a)[i], element)

        return Dataset(parts, None, self._endless)

    def window(
        self, size: int, shift: int | None = None, stride: int = 1, drop_remainder: bool = False, name: Any = None
    ) -> Dataset:
        """Data sets of `size` elements, every `stride`-th one, whose starts lie `shift` (default `size`) apart."""
        span, step = (int(size) - 1) * int(stride) + 1, int(size if shift is None else shift)

        def part(held: list[Any]) -> Any:
            chosen = held[:: int(stride)]
            like = chosen[0]
            if not tree.is_nested(like):
                return Dataset(lambda: chosen, len(chosen))
            columns = [list(c) for c in zip(*(tree.flatten(e) for e in chosen), strict=True)]
            return tree.pack_sequence_as(like, [Dataset(partial(list, c), len(c)) for c in columns])

        def windows() -> Iterator[Any]:
            elements = iter(self._make())
            held = list(itertools.islice(elements, span))
            while held and (len(held) == span or not drop_remainder):
                yield part(held)
                skipped = max(step - len(held), 0)
                next(itertools.islice(elements, skipped, skipped), None)
                held = held[step:] + list(itertools.islice(elements, min(step, span)))

        return Dataset(windows, None, self._endless)

    def shuffle(
        self, buffer_size: int, seed: int | None = None, reshuffle_each_iteration: bool = True, name: Any = None
    ) -> Dataset:
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
            elements = iter(self._make())
            buffer = list(itertools.islice(elements, int(buffer_size)))
            for new in elements:
                i = int(rng.integers(len(buffer)))
                out, buffer[i] = buffer[i], new
                yield out
            rng.shuffle(buffer)
            yield from buffer

        return Dataset(mixed, self._length, self._endless)

    def repeat(self, count: int | None = None, name: str | None = None) -> Dataset:
        """The elements `count` times; without end for None and -1."""
        if count is None or int(count) < 0:
            return Dataset(lambda: (e for _ in itertools.count() for e in self._make()), None, True)
        times = int(count)
        length = None if self._length is None else self._length * times
        return Dataset(lambda: (e for _ in range(times) for e in self._make()), length, self._endless)

    def take(self, count: int, name: str | None = None) -> Dataset:
        """The first `count` elements; all for -1."""
        n = int(count)
        if n < 0:
            return self
        length = n if self._endless else None if self._length is None else min(n, self._length)
        return Dataset(lambda: itertools.islice(iter(self._make()), n), length)

    def skip(self, count: int, name: str | None = None) -> Dataset:
        """All but the first `count` elements."""
        n = int(count)
        length = None if self._length is None else max(self._length - n, 0)
        return Dataset(lambda: itertools.islice(iter(self._make()), n, None), length, self._endless)

    def shard(self, num_shards: int, index: int, name: str | None = None) -> Dataset:
        """Every `num_shards`-th element from number `index` on."""
        n, first = int(num_shards), int(index)
        length = None if self._length is None else len(range(first, self._length, n))
        return Dataset(lambda: itertools.islice(iter(self._make()), first, None, n), length, self._endless)

    def concatenate(self, dataset: Dataset, name: str | None = None) -> Dataset:
        """These elements, then those."""
        known = self._length is not None and dataset._length is not None
        length = self._length + dataset._length if known else None  # type: ignore[operator]
        endless = self._endless or dataset._endless
        return Dataset(lambda: itertools.chain(self._make(), dataset._make()), length, endless)

    def enumerate(self, start: int = 0, name: str | None = None) -> Dataset:
        """Pairs of number and element."""
        return Dataset(lambda: enumerate(self._make(), start), self._length, self._endless)

    def cache(self, filename: str = "", name: str | None = None) -> Dataset:
        """Elements are made once and kept in memory."""
        kept: list[Any] = []

        def remembered() -> Iterator[Any]:
            if not kept:
                kept.extend(self._make())
            return iter(kept)

        return Dataset(remembered, self._length, self._endless)

    def prefetch(self, buffer_size: Any = AUTOTUNE, name: str | None = None) -> Dataset:
        """The same elements."""
        return self

    def with_options(self, options: Any, name: str | None = None) -> Dataset:
        """The same elements."""
        return self

    def apply(self, transformation_func: Callable[[Dataset], Any]) -> Any:
        """`transformation_func` of this data set."""
        return transformation_func(self)

    # Results.

    @property
    def element_spec(self) -> Any:
        """Shapes and dtypes of the first element, as KerasTensors."""
        return tree.map_structure(
            lambda x: KerasTensor(x.shape, x.dtype if isinstance(x, Tensor) else "string"), next(iter(self))
        )

    def reduce(self, initial_state: Any, reduce_func: Callable[[Any, Any], Any], name: str | None = None) -> Any:
        """What is left of `state = reduce_func(state, element)` after the last element."""
        state = as_values(initial_state)
        for element in self:
            state = reduce_func(state, element)
        return as_values(state)

    def as_numpy_iterator(self) -> Iterator[Any]:
        """The elements as NumPy arrays, strings as bytes."""
        return (tree.map_structure(lambda x: x.numpy() if hasattr(x, "numpy") else x, e) for e in self)

    def get_single_element(self, name: str | None = None) -> Any:
        """The only element. Raises ValueError when there is none or more than one."""
        found = list(itertools.islice(iter(self), 2))
        if len(found) != 1:
            raise ValueError(f"Dataset.get_single_element: {'no element' if not found else 'more than one element'}")
        return found[0]


_END = object()


def _arrays(structure: Any) -> Any:
    """Lists of numbers are one array; tuples and dicts are structure."""
    if isinstance(structure, tuple):
        return tuple(_arrays(s) for s in structure)
    if isinstance(structure, dict):
        return {k: _arrays(v) for k, v in structure.items()}
    return np.asarray(structure)
