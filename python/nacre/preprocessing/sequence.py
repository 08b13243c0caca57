"""Sequences: padding, and windows of a time series."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.utils.numerical import pad_sequences
from nacre.utils.py_dataset import PyDataset

__all__ = ["TimeseriesGenerator", "pad_sequences"]


class TimeseriesGenerator(PyDataset):
    """Batches of (windows, value after the window). `timeseries_dataset_from_array` is the newer way.

    Args:
        data: values along the first axis.
        targets: one per value.
        length: steps that a window spans.
        sampling_rate: steps between two values of a window.
        stride: steps between two windows.
        start_index: data before it are not used.
        end_index: last index used.
        shuffle: whether windows come in random order.
        reverse: whether windows run backwards.
        batch_size: windows per batch.
    """

    def __init__(
        self,
        data: Any,
        targets: Any,
        length: int,
        sampling_rate: int = 1,
        stride: int = 1,
        start_index: int = 0,
        end_index: int | None = None,
        shuffle: bool = False,
        reverse: bool = False,
        batch_size: int = 128,
    ) -> None:
        super().__init__()
        if len(data) != len(targets):
            raise ValueError(f"Data and targets have to be of same length. Got {len(data)} and {len(targets)}.")
        self._data, self._targets = np.asarray(data), np.asarray(targets)
        end = len(data) - 1 if end_index is None else end_index
        if start_index + length > end:
            raise ValueError(f"no window of length {length} fits between start_index={start_index} and end_index={end}")
        self._rows = np.arange(start_index + length, end + 1, stride)
        self._offsets = np.arange(-length, 0, sampling_rate)
        self._shuffle, self._reverse, self._size = shuffle, reverse, batch_size

    def __len__(self) -> int:
        return -(-len(self._rows) // self._size)

    def __getitem__(self, index: int) -> Any:
        if self._shuffle:
            rows = np.random.choice(self._rows, self._size)
        else:
            rows = self._rows[index * self._size : (index + 1) * self._size]
        x = self._data[rows[:, None] + self._offsets]
        return (x[:, ::-1] if self._reverse else x), self._targets[rows]
