"""Data that come batch by batch from the user's own class."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any


class PyDataset:
    """Base class of data sets written in Python: `__getitem__(i)` returns batch `i`, `__len__()` their number.

    A batch is `(inputs, targets)` or `(inputs, targets, sample_weights)`. The order of batches is shuffled by
    `fit(shuffle=True)`; each is asked for once per epoch.

    Args:
        workers: how many batches are prepared at the same time; more than one runs `__getitem__` in that many threads.
        use_multiprocessing: prepare batches in processes rather than in threads.
        max_queue_size: how many finished batches may wait.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self._workers = workers
        self._use_multiprocessing = use_multiprocessing
        self._max_queue_size = max_queue_size

    def _setting(self, name: str, default: Any) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            warnings.warn(
                f"{type(self).__name__}: call `super().__init__(**kwargs)` in the constructor; `**kwargs` can hold "
                "`workers`, `use_multiprocessing` and `max_queue_size`.",
                stacklevel=3,
            )
            setattr(self, name, default)
            return default

    @property
    def workers(self) -> int:
        """How many batches are prepared at the same time."""
        return int(self._setting("_workers", 1))

    @workers.setter
    def workers(self, value: int) -> None:
        self._workers = value

    @property
    def use_multiprocessing(self) -> bool:
        """Whether batches are prepared in processes."""
        return bool(self._setting("_use_multiprocessing", False))

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        self._use_multiprocessing = value

    @property
    def max_queue_size(self) -> int:
        """How many finished batches may wait."""
        return int(self._setting("_max_queue_size", 10))

    @max_queue_size.setter
    def max_queue_size(self, value: int) -> None:
        self._max_queue_size = value

    def __getitem__(self, index: int) -> Any:
        """Batch `index`."""
        raise NotImplementedError(f"{type(self).__name__} must define `__getitem__(self, index)`")

    @property
    def num_batches(self) -> int | None:
        """The number of batches; None for an endless data set. `__len__` is the usual way to say it."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} must define `__len__(self)` or the property `num_batches`")

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch: the place to mix samples anew."""

    def __iter__(self) -> Iterator[Any]:
        n = self.num_batches
        i = 0
        while n is None or i < n:
            yield self[i]
            i += 1
