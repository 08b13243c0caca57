"""Where batches come from: arrays, generators, PyDatasets and anything that can be iterated."""

from __future__ import annotations

import importlib
import itertools
import math
import random
import sys
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nacre.core import config, tree
from nacre.core.room import check_bytes
from nacre.training.arrays import (
    check_class_weight,
    check_lengths,
    class_weight_to_sample_weights,
    is_arrays,
    rows,
    to_arrays,
)
from nacre.utils.data import pack_x_y_sample_weight, unpack_x_y_sample_weight
from nacre.utils.py_dataset import PyDataset


class Source:
    """Batches of data, epoch after epoch."""

    num_batches: int | None = None
    batch_size: int | None = None

    def batches(self) -> Iterator[Any]:
        """The batches of one epoch: `(x,)`, `(x, y)` or `(x, y, sample_weight)` of arrays."""
        raise NotImplementedError

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def make_source(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    shuffle: Any = False,
    class_weight: dict[int, float] | None = None,
) -> Source:
    """The Source for what the user passed as `x`. Raises ValueError for combinations that make no sense."""
    if class_weight is not None:
        check_class_weight(class_weight)
    if isinstance(x, PyDataset):
        _refuse(x, y, sample_weight, "PyDataset")
        return PyDatasetSource(x, class_weight, bool(shuffle))
    if is_arrays(x):
        return ArraySource(x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight)
    if isinstance(x, types.GeneratorType) or (hasattr(x, "__next__") and hasattr(x, "__iter__")):
        _refuse(x, y, sample_weight, "a generator")
        if class_weight is not None:
            raise ValueError(
                "Argument `class_weight` is not supported for Python generator inputs. Received: "
                f"class_weight={class_weight}"
            )
        if shuffle:
            warnings.warn(
                "`shuffle=True` was passed, but will be ignored since the data `x` was provided as a generator. The "
                "generator is expected to yield already-shuffled data.",
                stacklevel=4,
            )
        return GeneratorSource(x)
    if hasattr(x, "__iter__") and not isinstance(x, (str, bytes, dict, list, tuple, type)):
        _refuse(x, y, sample_weight, f"a {type(x).__name__}")
        if class_weight is not None and _is_torch_loader(x):
            raise ValueError(
                "Argument `class_weight` is not supported for torch DataLoader inputs. You can modify your "
                "`__getitem__ ` method "
                f"to return input tensor, label and class_weight. Received: class_weight={class_weight}"
            )
        return IterableSource(x, class_weight)
    if x is None:
        raise ValueError("x: expected data, got None")
    if any(part is None for part in tree.flatten(x)):
        raise ValueError("x: an input of the model that is not optional is None")
    to_arrays(x, "x")  # says which part is no array
    what = "a class" if isinstance(x, type) else f"an empty {type(x).__name__}"
    raise ValueError(f"x: expected arrays, a generator, a PyDataset or an iterable, got {what}")


def _refuse(x: Any, y: Any, sample_weight: Any, what: str) -> None:
    if y is not None:
        raise ValueError(
            f"When providing `x` as {what}, `y` should not be passed. Instead, the targets should be included as part "
            f"of the {what.removeprefix('a ')}."
        )
    if sample_weight is not None:
        raise ValueError(
            f"When providing `x` as {what}, `sample_weight` should not be passed. Instead, sample weights should be "
            f"included as part of the {what.removeprefix('a ')}."
        )


def _is_torch_loader(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.utils.data.DataLoader)


class ArraySource(Source):
    """Arrays in memory, cut into batches."""

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        shuffle: Any = False,
        class_weight: dict[int, float] | None = None,
    ) -> None:
        if isinstance(shuffle, str) and shuffle != "batch":
            raise ValueError(f"shuffle: expected True, False or 'batch', got {shuffle!r}")
        self.x, self.y = to_arrays(x, "x"), to_arrays(y, "y")
        self.sample_weight = to_arrays(sample_weight, "sample_weight")
        if class_weight is not None:
            if self.y is None:
                raise ValueError("Arguments `class_weight` needs `y`, which is None")
            if self.sample_weight is not None:
                raise ValueError("You cannot `class_weight` and `sample_weight` at the same time.")
            if tree.is_nested(self.y):
                raise ValueError("`class_weight` is only supported for Models with a single output.")
            self.sample_weight = class_weight_to_sample_weights(self.y, class_weight)
        self.num_samples = check_lengths(x=self.x, y=self.y, sample_weight=self.sample_weight)
        if self.num_samples == 0:
            raise ValueError("x: expected at least one sample, got arrays of length 0")
        if batch_size is None:
            batch_size = math.ceil(self.num_samples / steps_per_epoch) if steps_per_epoch else 32
        self.batch_size = batch_size
        self.num_batches = math.ceil(self.num_samples / batch_size)
        self.shuffle = shuffle
        data = pack_x_y_sample_weight(self.x, self.y, self.sample_weight)
        # a `train_step` written for TensorFlow finds its lists of arrays as tuples
        self.data = tree.lists_to_tuples(data) if config.backend() == "tensorflow" else data

    def order(self) -> np.ndarray[Any, Any] | None:
        """The order of samples in a new epoch, from NumPy's global generator; None for as they stand."""
        assert self.num_batches is not None
        if self.shuffle == "batch":
            return np.concatenate([self._mixed(i) for i in range(self.num_batches)])
        if self.shuffle:
            return np.random.permutation(self.num_samples)
        return None

    def batch(self, order: np.ndarray[Any, Any] | None, number: int) -> Any:
        """Batch `number` of an epoch with that order."""
        size = self.batch_size
        assert size is not None
        part = slice(number * size, (number + 1) * size)
        return rows(self.data, part if order is None else order[part])

    def batches(self) -> Iterator[Any]:
        assert self.num_batches is not None
        if self.shuffle == "batch":
            return (rows(self.data, self._mixed(i)) for i in range(self.num_batches))
        order = self.order()
        return (self.batch(order, i) for i in range(self.num_batches))

    def _mixed(self, number: int) -> np.ndarray[Any, Any]:
        """The samples of batch `number` in a new order."""
        assert self.batch_size is not None
        begin = number * self.batch_size
        return np.random.permutation(np.arange(begin, min(begin + self.batch_size, self.num_samples)))


def _standard(data: Any, class_weight: dict[int, float] | None = None) -> Any:
    """What a generator yields, as a batch of arrays."""
    if isinstance(data, list):
        data = tuple(data)
    if isinstance(data, tuple) and len(data) > 3:
        raise ValueError(f"expected batches of (x,), (x, y) or (x, y, sample_weight), got a tuple of {len(data)} items")
    if data is None:
        raise ValueError("expected batches of (x,), (x, y) or (x, y, sample_weight), got None")
    x, y, w = unpack_x_y_sample_weight(data)
    x, y, w = to_arrays(x, "x"), to_arrays(y, "y"), to_arrays(w, "sample_weight")
    if class_weight is not None and y is not None:
        if w is not None:
            raise ValueError("You cannot `class_weight` and `sample_weight` at the same time.")
        w = class_weight_to_sample_weights(y, class_weight)
    return pack_x_y_sample_weight(x, y, w)


class GeneratorSource(Source):
    """A Python generator: it goes on where it was, and may end. The two batches that Keras looks at first come again
    whenever the data begin anew."""

    def __init__(self, generator: Iterator[Any]) -> None:
        self._iterator = iter(generator)
        self._first: list[Any] | None = None

    def _looked_at(self) -> list[Any]:
        if self._first is None:
            self._first = list(itertools.islice(self._iterator, 2))
        return self._first

    def batches(self) -> Iterator[Any]:
        return (_standard(data) for data in itertools.chain(self._looked_at(), self._iterator))

    def peek(self) -> Any:
        """The first batch, which will still come. Raises ValueError when there is none."""
        first = self._looked_at()
        if not first:
            raise ValueError("The generator yielded no data. Make sure that it can generate at least one batch.")
        return _standard(first[0])


class IterableSource(Source):
    """Anything that can be iterated anew for each epoch: tf.data, torch DataLoader, a class with `__iter__`."""

    def __init__(self, dataset: Any, class_weight: dict[int, float] | None = None) -> None:
        self._dataset = dataset
        self._class_weight = class_weight
        try:
            self.num_batches = len(dataset)
        except TypeError:
            self.num_batches = None

    def batches(self) -> Iterator[Any]:
        return (_standard(_to_numpy(data), self._class_weight) for data in self._dataset)


def _to_numpy(data: Any) -> Any:
    if isinstance(data, (list, tuple, dict)):
        return data
    return (
        data.numpy() if hasattr(data, "numpy") and not isinstance(data, np.ndarray) and hasattr(data, "shape") else data
    )


class PyDatasetSource(Source):
    """A PyDataset; the order of its batches is shuffled by `random`, and `workers` threads fetch ahead."""

    def __init__(self, dataset: PyDataset, class_weight: dict[int, float] | None, shuffle: bool) -> None:
        self._dataset = dataset
        self._class_weight = class_weight
        self._shuffle = shuffle
        self.num_batches = dataset.num_batches

    def batches(self) -> Iterator[Any]:
        n = self._dataset.num_batches
        self.num_batches = n
        numbers: Any = itertools.count() if n is None else range(n)
        if self._shuffle and n is not None:
            check_bytes(40 * n, f"the order of a PyDataset's {n} batches")
            numbers = list(numbers)
            random.shuffle(numbers)
        workers = self._dataset.workers
        fetched = (
            fetch_ahead(self._dataset.__getitem__, numbers, workers, self._dataset.max_queue_size)
            if workers > 1
            else map(self._dataset.__getitem__, numbers)
        )
        return (_standard(data, self._class_weight) for data in fetched)

    def on_epoch_begin(self) -> None:
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._dataset.on_epoch_end()


def fetch_ahead(get: Callable[[int], Any], numbers: Any, workers: int, queue: int) -> Iterator[Any]:
    """`get(i)` for each number, in order, computed by `workers` threads at most `queue` items ahead."""
    futures = importlib.import_module("concurrent.futures")  # 5 ms at import, for those who ask for workers
    with futures.ThreadPoolExecutor(workers) as pool:
        waiting: deque[Any] = deque()
        numbers = iter(numbers)
        try:
            for i in itertools.islice(numbers, max(queue, 1)):
                waiting.append(pool.submit(get, i))
            while waiting:
                done = waiting.popleft().result()
                for i in itertools.islice(numbers, 1):
                    waiting.append(pool.submit(get, i))
                yield done
        finally:
            for future in waiting:
                future.cancel()


def first_batch(source: Source) -> Any:
    """A batch to find out shapes from. For shuffled arrays this draws an order, as Keras does before a first `fit`."""
    if isinstance(source, GeneratorSource):
        return source.peek()
    if isinstance(source, PyDatasetSource):
        if source.num_batches == 0:
            raise ValueError("x: the PyDataset has no batches")
        source.on_epoch_begin()  # where a data set may draw or open what its batches need
        return _standard(source._dataset[0], source._class_weight)
    for batch in source.batches():
        return batch
    raise ValueError("x: expected at least one batch of data, got none")


def train_validation_split(x: Any, y: Any, sample_weight: Any, share: float) -> tuple[Any, Any]:
    """`(x, y, sample_weight)` of the first part and of the last `share` of all samples, in their order.

    Raises ValueError when `x` is not made of arrays, or when a part would be empty.
    """
    if isinstance(share, bool) or not isinstance(share, (int, float, np.floating)) or not 0 < share < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1, received: {share}")
    if not is_arrays(x):
        raise ValueError(
            "Argument `validation_split` is only supported for tensors or NumPy arrays. "
            f"Found incompatible type in the input: {type(x)}"
        )
    parts = to_arrays(x, "x"), to_arrays(y, "y"), to_arrays(sample_weight, "sample_weight")
    n = check_lengths(x=parts[0], y=parts[1], sample_weight=parts[2])
    at = math.floor(n * (1.0 - share))
    if at in (0, n):
        raise ValueError(
            f"Training data contains {n} samples, which is not sufficient to split it into a validation and training "
            f"set as specified by `validation_split={share}`. Either provide more data, or a different value for the "
            "`validation_split` argument."
        )
    first = tuple(None if p is None else rows(p, slice(None, at)) for p in parts)
    last = tuple(None if p is None else rows(p, slice(at, None)) for p in parts)
    return first, last


__all__ = ["ArraySource", "GeneratorSource", "Source", "first_batch", "make_source", "train_validation_split"]
