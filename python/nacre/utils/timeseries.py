"""Windows of a time series as batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nacre.core.errors import told
from nacre.utils.dataset import Dataset


class Windows(Dataset):
    """Batches of windows (batch, sequence_length, ...), with the targets at their starts when there are any."""

    def __init__(
        self, data: Any, targets: Any, starts: np.ndarray[Any, Any], length: int, rate: int, batch: int | None, rng: Any
    ) -> None:
        self._data, self._targets, self._starts = data, targets, starts
        self._offsets = np.arange(length) * rate
        self._size = batch
        self._rng = rng
        super().__init__(self._batches, -(-len(starts) // (batch or 1)))
        self._rows_vary = batch is not None

    def _batches(self) -> Iterator[Any]:
        """The windows in order, or mixed anew each time when shuffling was asked for."""
        order = self._starts if self._rng is None else self._rng.permutation(self._starts)
        for i in range(0, len(order), self._size or 1):
            starts = order[i] if self._size is None else order[i : i + self._size]
            x = self._data[starts[..., None] + self._offsets]
            yield x if self._targets is None else (x, self._targets[starts])


@told
def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> Windows:
    """Windows of `sequence_length` values of `data`, every `sequence_stride` steps, as a data set of batches.

    Args:
        data: values along the first axis.
        targets: `targets[i]` belongs to the window that starts at `i`; None for windows alone.
        sequence_length: values per window.
        sequence_stride: steps between the starts of two windows.
        sampling_rate: steps between two values of a window.
        batch_size: windows per batch; None for single windows.
        shuffle: whether windows come in random order, another one each epoch.
        seed: of that order.
        start_index: earlier data are not used.
        end_index: data from here on are not used.
        format: accepted for compatibility.

    Raises:
        ValueError: for numbers that are not positive, or indices outside of the data.
    """
    if format not in ("tf", "grain"):
        raise ValueError(f"`format` should be either 'tf' or 'grain'. Received: format={format}")
    data = np.asarray(data)
    n = len(data)
    if start_index is not None and start_index < 0:
        raise ValueError(f"`start_index` must be 0 or greater. Received: start_index={start_index}")
    if start_index is not None and start_index >= n:
        raise ValueError(
            f"`start_index` must be lower than the length of the data. Received: start_index={start_index}, for data "
            f"of length {n}"
        )
    if end_index is not None and end_index <= (start_index or 0):
        raise ValueError(
            f"`end_index` must be higher than `start_index`. Received: start_index={start_index}, and "
            f"end_index={end_index}"
        )
    if end_index is not None and end_index > n:
        raise ValueError(
            f"`end_index` must be lower than the length of the data. Received: end_index={end_index}, for data of "
            f"length {n}"
        )
    for name, number in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if number <= 0:
            raise ValueError(f"`{name}` must be higher than 0. Received: {name}={number}")
        if number >= n:
            raise ValueError(
                f"`{name}` must be lower than the length of the data. Received: {name}={number}, for data of length {n}"
            )
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, or None for single windows. Received: {batch_size}")
    if sequence_length <= 0:
        raise ValueError(f"`sequence_length` must be higher than 0. Received: sequence_length={sequence_length}")
    start, end = start_index or 0, n if end_index is None else end_index
    span = (sequence_length - 1) * sampling_rate + 1
    last = end - span + 1
    if targets is not None:
        targets = np.asarray(targets)
        last = min(last, start + len(targets)) if start_index is None else min(last, len(targets))
    starts = np.arange(start, max(last, start), sequence_stride)
    rng = np.random.default_rng(seed) if shuffle else None
    return Windows(data, targets, starts, sequence_length, sampling_rate, batch_size, rng)
