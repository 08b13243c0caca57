"""Sequences: padding, and windows of a time series."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.errors import told
from nacre.utils.numerical import pad_sequences
from nacre.utils.py_dataset import PyDataset

__all__ = ["TimeseriesGenerator", "make_sampling_table", "pad_sequences", "skipgrams"]


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

    @told
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


@told
def make_sampling_table(size: int, sampling_factor: float = 1e-5) -> np.ndarray[Any, Any]:
    """The probability (size,) of keeping the i-th most frequent word in `skipgrams`, by Zipf's law.

    With the frequency f(i) of rank i about 1 / (i (ln i + gamma) + 1/2 - 1/(12 i)): min(1, sqrt(s / f) / (s / f)) for
    s = sampling_factor, after Mikolov et al. 2013.
    """
    rank = np.arange(size, dtype=np.float64)
    rank[:1] = 1
    inverse = rank * (np.log(rank) + 0.577) + 0.5 - 1.0 / (12.0 * rank)
    f = sampling_factor * inverse
    return np.minimum(1.0, f / np.sqrt(f))


@told
def skipgrams(
    sequence: Any,
    vocabulary_size: int,
    window_size: int = 4,
    negative_samples: float = 1.0,
    shuffle: bool = True,
    categorical: bool = False,
    sampling_table: Any = None,
    seed: int | None = None,
) -> tuple[list[list[int]], list[Any]]:
    """Pairs of words of a sequence and labels: 1 for a word and one near it, 0 for a word and a random one.

    Args:
        sequence: word numbers; 0 is no word.
        vocabulary_size: random words are in [1, vocabulary_size).
        window_size: how far "near" reaches on both sides.
        negative_samples: random pairs per pair of near words.
        shuffle: whether pairs come in random order.
        categorical: labels as [0, 1] and [1, 0].
        sampling_table: probability of keeping a word, by its number: see `make_sampling_table`.
        seed: of the random words and the order.
    """
    rng = np.random.default_rng(seed)
    words = [int(w) for w in sequence]
    couples: list[list[int]] = []
    for i, word in enumerate(words):
        if not word or (sampling_table is not None and sampling_table[word] < rng.random()):
            continue
        near = range(max(0, i - window_size), min(len(words), i + window_size + 1))
        couples += [[word, words[j]] for j in near if j != i and words[j]]
    labels: list[Any] = [[0, 1] if categorical else 1] * len(couples)
    if negative_samples > 0:
        count = int(len(labels) * negative_samples)
        first = rng.permutation([c[0] for c in couples])
        couples += [[int(first[i % len(first)]), int(rng.integers(1, vocabulary_size))] for i in range(count)]
        labels += [[1, 0] if categorical else 0] * count
    if shuffle:
        order = rng.permutation(len(couples))
        couples, labels = [couples[i] for i in order], [labels[i] for i in order]
    return couples, labels
