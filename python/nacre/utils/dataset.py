"""Chains of steps over elements made one at a time, with the methods of `tf.data.Dataset` that programs use."""

from __future__ import annotations

import glob
import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from nacre import ops
from nacre.core import tree
from nacre.core.spec import is_computed
from nacre.core.tensor import KerasTensor, Tensor
from nacre.utils.elements import is_shape, lists_as_arrays, per_array

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

    _rows_vary = False  # whether the first axis of elements is one of a batch, which the last one may cut short

    def _step(self, make: Callable[[], Iterable[Any]], length: int | None, endless: bool | None = None) -> Dataset:
        """A data set of what `make` makes of these elements, each of its own or left as it is."""
        step = Dataset(make, length, self._endless if endless is None else endless)
        step._rows_vary = self._rows_vary
        return step

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
        arrays = tree.map_structure(np.asarray, lists_as_arrays(tensors))
        lengths = {len(a) for a in tree.flatten(arrays)}
        if len(lengths) != 1:
            raise ValueError(f"Dataset.from_tensor_slices: arrays of several lengths: {sorted(lengths)}")
        leaves = tree.flatten(arrays)
        flat = type(arrays) is tuple and len(leaves) == len(arrays) and all(a is b for a, b in zip(arrays, leaves))

        def rows() -> Iterator[Any]:
            if arrays is leaves[0]:
                return iter(arrays)
            return zip(*leaves) if flat else (tree.pack_sequence_as(arrays, list(row)) for row in zip(*leaves))

        return Dataset(rows, lengths.pop())

    @staticmethod
    def from_tensors(tensors: Any, name: str | None = None) -> Dataset:
        """One element: the whole."""
        return Dataset(lambda: [tree.map_structure(np.asarray, lists_as_arrays(tensors))], 1)

    @staticmethod
    def from_generator(
        generator: Callable[..., Iterable[Any]],
        output_types: Any = None,
        output_shapes: Any = None,
        args: Any = (),
        output_signature: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """What the function yields, as the dtypes (or `TensorSpec`s) that are given; as it is without any."""
        signature = output_types if output_signature is None else output_signature
        made = partial(generator, *(args or ()))
        return Dataset(made if signature is None else lambda: (_typed(e, signature) for e in made()))

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

        zipped = Dataset(together, length, all(d._endless for d in parts))
        zipped._rows_vary = any(d._rows_vary for d in parts)
        return zipped

    @staticmethod
    def sample_from_datasets(
        datasets: Any, weights: Any = None, seed: int | None = None, stop_on_empty_dataset: bool = False, **_: Any
    ) -> Dataset:
        """Elements of several data sets, from each as often as its weight says, until all are (or one is) empty."""
        shares = np.ones(len(datasets)) if weights is None else np.asarray(weights, np.float64)

        def drawn() -> Generator[int, bool, None]:
            rng, left = np.random.default_rng(np.random.randint(2**31) if seed is None else seed), shares.copy()
            while left.sum() > 0:
                place = int(rng.choice(len(left), p=left / left.sum()))
                if (yield place):
                    left[place] = 0

        return _in_turns("sample_from_datasets", datasets, drawn, stop_on_empty_dataset)

    @staticmethod
    def choose_from_datasets(datasets: Any, choice_dataset: Dataset, stop_on_empty_dataset: bool = True) -> Dataset:
        """Elements of several data sets, the next one from that whose number `choice_dataset` says."""

        def chosen() -> Generator[int, bool, None]:
            for place in choice_dataset:
                yield int(place)

        return _in_turns("choose_from_datasets", datasets, chosen, stop_on_empty_dataset)

    # Steps.

    def map(self, map_func: Callable[..., Any], num_parallel_calls: Any = None, **kwargs: Any) -> Dataset:
        """`map_func` of each element; a tuple is several arguments, a list that comes back is a tuple."""

        def mapped(element: Any) -> Any:
            found = _as_arrays(_called(map_func, element))
            return tuple(found) if isinstance(found, list) else found

        return self._step(lambda: map(mapped, self._make()), self._length)

    def filter(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements for which `predicate` is true."""
        return self._step(lambda: (e for e in self._make() if bool(_called(predicate, e))), None)

    def take_while(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements before the first for which `predicate` is false."""
        return Dataset(lambda: itertools.takewhile(lambda e: bool(_called(predicate, e)), self._make()))

    def unique(self, name: str | None = None) -> Dataset:
        """Each element the first time that it comes."""

        def first() -> Iterator[Any]:
            seen: set[str] = set()
            for element in self._make():
                key = str(np.asarray(element).tolist())
                if key not in seen:
                    seen.add(key)
                    yield element

        return Dataset(first)

    def scan(self, initial_state: Any, scan_func: Callable[..., Any], name: str | None = None) -> Dataset:
        """What `state, output = scan_func(state, element)` puts out, element by element."""

        def outputs() -> Iterator[Any]:
            state = as_values(initial_state)
            for element in self._make():
                state, output = scan_func(state, as_values(element))
                yield _as_arrays(output)

        return Dataset(outputs, self._length, self._endless)

    def group_by_window(
        self, key_func: Callable[..., Any], reduce_func: Callable[..., Any], window_size: Any, **_: Any
    ) -> Dataset:
        """The data sets that `reduce_func(key, window)` makes of `window_size` elements with the same key."""

        def windows() -> Iterator[Any]:
            held: dict[int, list[Any]] = {}
            for element in self._make():
                key = int(_called(key_func, element))
                held.setdefault(key, []).append(element)
                if len(held[key]) == int(window_size(key) if callable(window_size) else window_size):
                    yield key, held.pop(key)
            yield from sorted(held.items())

        def parts() -> Iterator[Any]:
            for key, part in windows():
                yield from reduce_func(as_values(np.int64(key)), Dataset(partial(list, part), len(part)))._make()

        return Dataset(parts)

    def bucket_by_sequence_length(
        self,
        element_length_func: Callable[..., Any],
        bucket_boundaries: Any,
        bucket_batch_sizes: Any,
        padded_shapes: Any = None,
        padding_values: Any = 0,
        pad_to_bucket_boundary: bool = False,
        no_padding: bool = False,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Padded batches of elements whose lengths lie between the same two boundaries."""
        if pad_to_bucket_boundary:
            raise ValueError("bucket_by_sequence_length: expected pad_to_bucket_boundary=False")
        edges, sizes = list(bucket_boundaries), [int(n) for n in bucket_batch_sizes]

        def bucket(*element: Any) -> int:
            return int(np.searchsorted(edges, int(element_length_func(*element)), side="right"))

        def batch(key: Any, window: Dataset) -> Dataset:
            if no_padding:
                return window.batch(sizes[int(key)], drop_remainder)
            return window.padded_batch(sizes[int(key)], None, padding_values, drop_remainder)

        return self.group_by_window(bucket, batch, lambda key: sizes[key])

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

        def stacked(part: list[Any]) -> Any:
            return tree.map_structure(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *part)

        return self._batched("batch", batch_size, drop_remainder, stacked)

    def padded_batch(
        self,
        batch_size: int,
        padded_shapes: Any = None,
        padding_values: Any = None,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """As `batch`, with zeros (`padding_values`) behind what is shorter than the longest, or than `padded_shapes`:
        each for all arrays, or as elements are structured."""

        def stacked(arrays: list[Any], shape: Any = None, value: Any = None) -> Any:
            longest = [max(n) for n in zip(*(a.shape for a in arrays), strict=True)]
            given: list[Any] = (
                [None] * len(longest) if shape is None else [n if n is None or n >= 0 else None for n in shape]
            )
            sizes = [n if w is None else w for n, w in zip(longest, given, strict=True)]
            if any(n > w for n, w in zip(longest, sizes, strict=True)):
                raise ValueError(f"padded_batch: an element of shape {tuple(longest)} does not fit into {tuple(sizes)}")
            filling = ("" if arrays[0].dtype.kind in "OSU" else 0) if value is None else np.asarray(value)[()]
            out = np.full((len(arrays), *sizes), filling, arrays[0].dtype)
            for i, a in enumerate(arrays):
                out[i : i + 1][(slice(1), *(slice(n) for n in a.shape))] = a
            return out

        def padded(part: list[Any]) -> Any:
            columns = list(zip(*(tree.flatten(e) for e in part), strict=True))
            shapes = per_array(part[0], padded_shapes, is_shape)
            values = per_array(part[0], padding_values, lambda v: not isinstance(v, (tuple, list, dict)))
            arrays = [[np.asarray(x) for x in column] for column in columns]
            return tree.pack_sequence_as(part[0], [stacked(*c) for c in zip(arrays, shapes, values, strict=True)])

        return self._batched("padded_batch", batch_size, drop_remainder, padded)

    def _batched(self, what: str, batch_size: int, drop_remainder: bool, join: Callable[[list[Any]], Any]) -> Dataset:
        size = int(batch_size)
        if size <= 0:
            raise ValueError(f"Dataset.{what}: expected a positive batch_size, got {batch_size}")

        def batches() -> Iterator[Any]:
            elements = iter(self._make())
            while part := list(itertools.islice(elements, size)):
                if len(part) == size or not drop_remainder:
                    yield join(part)

        n = self._length
        count = None if n is None else n // size if drop_remainder else -(-n // size)
        step = self._step(batches, count)
        step._rows_vary = not drop_remainder
        return step

    def rebatch(self, batch_size: Any, drop_remainder: bool = False, name: str | None = None) -> Dataset:
        """The same rows in batches of another size."""
        return self.unbatch().batch(batch_size, drop_remainder)

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

        return self._step(mixed, self._length)

    def repeat(self, count: int | None = None, name: str | None = None) -> Dataset:
        """The elements `count` times; without end for None and -1."""
        if count is None or int(count) < 0:
            return self._step(lambda: (e for _ in itertools.count() for e in self._make()), None, True)
        times = int(count)
        length = None if self._length is None else self._length * times
        return self._step(lambda: (e for _ in range(times) for e in self._make()), length)

    def take(self, count: int, name: str | None = None) -> Dataset:
        """The first `count` elements; all for -1."""
        n = int(count)
        if n < 0:
            return self
        length = n if self._endless else None if self._length is None else min(n, self._length)
        return self._step(lambda: itertools.islice(iter(self._make()), n), length, False)

    def skip(self, count: int, name: str | None = None) -> Dataset:
        """All but the first `count` elements."""
        n = int(count)
        length = None if self._length is None else max(self._length - n, 0)
        return self._step(lambda: itertools.islice(iter(self._make()), n, None), length)

    def shard(self, num_shards: int, index: int, name: str | None = None) -> Dataset:
        """Every `num_shards`-th element from number `index` on."""
        n, first = int(num_shards), int(index)
        if not 0 <= first < n:
            raise ValueError(f"Dataset.shard: expected an index from 0 to {n - 1}, got {first}")
        length = None if self._length is None else len(range(first, self._length, n))
        return self._step(lambda: itertools.islice(iter(self._make()), first, None, n), length)

    def concatenate(self, dataset: Dataset, name: str | None = None) -> Dataset:
        """These elements, then those."""
        _data_sets("concatenate", [dataset])
        known = self._length is not None and dataset._length is not None
        length = self._length + dataset._length if known else None  # type: ignore[operator]
        endless = self._endless or dataset._endless
        return self._step(lambda: itertools.chain(self._make(), dataset._make()), length, endless)

    def enumerate(self, start: int = 0, name: str | None = None) -> Dataset:
        """Pairs of number and element."""
        return self._step(lambda: enumerate(self._make(), start), self._length)

    def cache(self, filename: str = "", name: str | None = None) -> Dataset:
        """Elements are made once and kept in memory."""
        kept: list[Any] = []

        def remembered() -> Iterator[Any]:
            if not kept:
                kept.extend(self._make())
            return iter(kept)

        return self._step(remembered, self._length)

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
        """Shapes and dtypes of the first element, as KerasTensors; batches have any number of rows."""

        def spec(x: Any) -> KerasTensor:
            shape = (None, *x.shape[1:]) if self._rows_vary and x.shape else x.shape
            return KerasTensor(shape, x.dtype if isinstance(x, Tensor) else "string")

        return tree.map_structure(spec, next(iter(self)))

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


def _typed(element: Any, signature: Any) -> Any:
    """An element as the dtypes in `signature`: a list where one dtype stands is an array."""
    if isinstance(signature, dict):
        return {k: _typed(element[k], kind) for k, kind in signature.items()}
    if isinstance(signature, (tuple, list)):
        return tuple(_typed(e, kind) for e, kind in zip(element, signature, strict=True))
    dtype = str(np.dtype(d).name if isinstance(d := getattr(signature, "dtype", signature), (type, np.dtype)) else d)
    if isinstance(element, (Tensor, Dataset)) or (dtype != "string" and not is_computed(np.dtype(dtype))):
        return element
    return (
        scalar(element) if isinstance(element, bytes) else np.asarray(element, object if dtype == "string" else dtype)
    )


_END = object()


def _data_sets(what: str, found: Any) -> None:
    if not all(isinstance(d, Dataset) for d in found):
        raise TypeError(f"Dataset.{what}: expected data sets, got {found!r:.200}")


def _in_turns(what: str, datasets: Any, turns: Callable[[], Generator[int, bool, None]], stop: bool) -> Dataset:
    """The next element of the data set whose number comes; `turns` hears whether it had none left."""
    _data_sets(what, datasets)

    def elements() -> Iterator[Any]:
        opened = [iter(d._make()) for d in datasets]
        order = turns()
        place = next(order, None)
        while place is not None:
            if not 0 <= place < len(opened):
                raise ValueError(f"Dataset.{what}: expected the number of one of {len(opened)} data sets, got {place}")
            element = next(opened[place], _END)
            if element is _END and stop:
                return
            if element is not _END:
                yield element
            try:
                place = order.send(element is _END)
            except StopIteration:
                return

    return Dataset(elements)
