"""Methods of `tf.data.Dataset` beyond those that data sets have anyway: files, random numbers, iterators by name."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nacre.core import tree
from nacre.datasets.stored import load_npz
from nacre.utils.atomic import replacing
from nacre.utils.dataset import Dataset, as_values
from nacre.utils.ragged import Ragged

_FILE = "elements.npz"


class Elements:
    """An iterator that also goes on by `next()` and `get_next()`."""

    def __init__(self, elements: Iterator[Any]) -> None:
        self._elements = elements

    def __iter__(self) -> Elements:
        return self

    def __next__(self) -> Any:
        return next(self._elements)

    def next(self) -> Any:
        """The next element. Raises StopIteration when there is none."""
        return next(self._elements)

    get_next = next


# --- files -----------------------------------------------------------------------------------------------------------


def _structure(element: Any, leaves: list[Any]) -> Any:
    """An element in JSON: tuples, lists and dicts, with numbers for the arrays, which go to `leaves`."""
    if isinstance(element, dict):
        return {"dict": [[key, _structure(value, leaves)] for key, value in element.items()]}
    if isinstance(element, (tuple, list)):
        return {type(element).__name__: [_structure(value, leaves) for value in element]}
    leaves.append(element)
    return len(leaves) - 1


def _rebuilt(structure: Any, leaves: list[Any]) -> Any:
    if isinstance(structure, dict):
        (kind, parts), *_ = structure.items()
        if kind == "dict":
            return {key: _rebuilt(value, leaves) for key, value in parts}
        return {"tuple": tuple, "list": list}[kind](_rebuilt(value, leaves) for value in parts)
    return leaves[structure]


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def save(self: Dataset, path: Any, compression: str | None = None, shard_func: Any = None, **kwargs: Any) -> None:
    """Writes all elements into a folder, for `Dataset.load`. The file of an earlier save is replaced when the new one
    is complete. (TensorFlow's own files of data sets are others.)"""
    if self._endless:
        raise ValueError("Dataset.save: the data set has no end; take() so many elements of it")
    structure: Any = None
    columns: list[list[Any]] = []
    for number, element in enumerate(self._make()):
        leaves: list[Any] = []
        found = _structure(tree.map_structure(np.asarray, element), leaves)
        if number == 0:
            structure, columns = found, [[] for _ in leaves]
        elif found != structure:
            raise ValueError(f"Dataset.save: element {number} has another structure than the first one")
        for column, leaf in zip(columns, leaves, strict=True):
            column.append(leaf)
    arrays: dict[str, Any] = {}
    for i, column in enumerate(columns):
        if len({leaf.ndim for leaf in column}) != 1 or len({leaf.dtype.kind in "OSU" for leaf in column}) != 1:
            raise ValueError("Dataset.save: arrays of several numbers of axes, or words beside numbers, in one place")
        arrays[f"shapes{i}"] = np.array([leaf.shape for leaf in column], np.int64)
        flat = np.concatenate([leaf.ravel() for leaf in column])
        if flat.dtype.kind in "OSU":
            words = [_bytes(word) for word in flat]
            arrays[f"lengths{i}"] = np.array([len(word) for word in words], np.int64)
            flat = np.frombuffer(b"".join(words), np.uint8)
        arrays[f"values{i}"] = flat
    arrays["structure"] = np.array(json.dumps(structure))
    folder = Path(os.fsdecode(path))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / _FILE) as file:
        (np.savez_compressed if compression else np.savez)(file, allow_pickle=False, **arrays)


def _column(arrays: dict[str, Any], i: int) -> list[Any]:
    shapes, values = arrays[f"shapes{i}"], arrays[f"values{i}"]
    sizes = shapes.prod(axis=1) if shapes.shape[1] else np.ones(len(shapes), np.int64)
    if f"lengths{i}" in arrays:
        ends = np.cumsum(arrays[f"lengths{i}"])
        data = values.tobytes()
        words = np.empty(len(ends), object)
        words[:] = [data[end - n : end] for end, n in zip(ends.tolist(), arrays[f"lengths{i}"].tolist())]
        values = words
    if shapes.min(initial=0) < 0 or int(sizes.sum()) != len(values):
        raise ValueError(f"{len(values)} values for elements of {int(sizes.sum())}")
    parts = np.split(values, np.cumsum(sizes)[:-1]) if len(sizes) else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes.tolist(), strict=True)]


def load(path: Any, element_spec: Any = None, compression: str | None = None, reader_func: Any = None) -> Dataset:
    """The elements that `Dataset.save` wrote into that folder."""
    file = Path(os.fsdecode(path)) / _FILE
    if not file.exists():
        raise FileNotFoundError(
            f"Dataset.load: there is no {str(file)!r}. Files of data sets that TensorFlow wrote are not read: save "
            "the data as arrays (numpy.savez) or as records (tf.io.TFRecordWriter)"
        )
    arrays = load_npz(file)
    try:
        structure = json.loads(str(arrays["structure"]))
        count = sum(name.startswith("shapes") for name in arrays)
        columns = [_column(arrays, i) for i in range(count)]
        elements = [_rebuilt(structure, list(leaves)) for leaves in zip(*columns, strict=True)]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    return Dataset(lambda: iter(elements), len(elements))


# --- sources and steps -----------------------------------------------------------------------------------------------


def counter(start: int = 0, step: int = 1, dtype: Any = "int64", name: str | None = None) -> Dataset:
    """Whole numbers without end."""
    kind = np.dtype(str(dtype))
    return Dataset(lambda: (kind.type(n) for n in itertools.count(int(start), int(step))), endless=True)


def random(seed: int | None = None, rerandomize_each_iteration: Any = None, name: str | None = None) -> Dataset:
    """Random whole numbers below 2**32, without end."""

    def numbers() -> Iterator[Any]:
        rng = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
        while True:
            yield np.int64(rng.integers(2**32))

    return Dataset(numbers, endless=True)


def ragged_batch(self: Dataset, batch_size: int, drop_remainder: bool = False, **kwargs: Any) -> Dataset:
    """Batches of rows of their own lengths; what has no axes is stacked."""

    def joined(*leaves: Any) -> Any:
        arrays = [np.asarray(x) for x in leaves]
        return Ragged(as_values(a) for a in arrays) if arrays[0].ndim else np.stack(arrays)

    def stacked(part: list[Any]) -> Any:
        return tree.map_structure(joined, *part)

    return self._batched("ragged_batch", batch_size, drop_remainder, stacked)


def rejection_resample(
    self: Dataset, class_func: Callable[..., Any], target_dist: Any, initial_dist: Any = None, seed: int | None = None,
    name: str | None = None,
) -> Dataset:  # fmt: skip
    """Pairs of class and element, of which so many are left out that the classes are as frequent as `target_dist`."""
    target = np.asarray(target_dist, np.float64)

    def chosen() -> Iterator[Any]:
        rng = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
        seen = np.ones(len(target))
        for element in self._make():
            values = as_values(element)
            kind = int(class_func(*values) if isinstance(values, tuple) else class_func(values))
            seen[kind] += 1
            there = seen / seen.sum() if initial_dist is None else np.asarray(initial_dist, np.float64)
            ratios = target / np.maximum(there, 1e-16)
            if rng.random() * ratios.max() < ratios[kind]:
                yield np.int32(kind), element

    return Dataset(chosen, None, self._endless)


def ignore_errors(self: Dataset, log_warning: bool = False, name: str | None = None) -> Dataset:
    """The elements up to the first that cannot be made."""

    def good() -> Iterator[Any]:
        elements = iter(self._make())
        while True:
            try:
                element = next(elements)
            except StopIteration:
                return
            except Exception:  # whatever the program's own function raises: a generator that raised has ended
                if not isinstance(elements, map):
                    return
                continue
            yield element

    return self._step(good, None)


def install() -> None:
    """Gives data sets these methods."""
    made = Dataset.__iter__
    whole = Dataset.as_numpy_iterator
    methods: dict[str, Any] = {
        "save": save,
        "ragged_batch": ragged_batch,
        "rejection_resample": rejection_resample,
        "ignore_errors": ignore_errors,
        "snapshot": lambda self, path, **kwargs: self.cache(),
        "options": lambda self: None,
        "load": staticmethod(load),
        "counter": staticmethod(counter),
        "random": staticmethod(random),
        "__iter__": lambda self: Elements(made(self)),
        "as_numpy_iterator": lambda self: Elements(whole(self)),
    }
    for name, method in methods.items():
        setattr(Dataset, name, method)


install()
EXPERIMENTAL: dict[str, Callable[..., Any]] = {
    "save": save,
    "load": load,
    "get_structure": lambda dataset: dataset.element_spec,
    "get_single_element": lambda dataset: dataset.get_single_element(),
    "Counter": counter,
    "RandomDataset": random,
    "unbatch": lambda: lambda dataset: dataset.unbatch(),
    "ignore_errors": lambda log_warning=False: lambda dataset: dataset.ignore_errors(),
    "from_list": lambda elements, name=None: Dataset(lambda: iter(elements), len(elements)),
}
