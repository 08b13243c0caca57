"""25,000 + 25,000 film reviews as word numbers, and whether each is favourable."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.datasets import text

__all__ = ["get_word_index", "load_data"]


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
    **kwargs: Any,
) -> Any:
    """`(x_train, y_train), (x_test, y_test)`: lists of word numbers, labels 0 or 1.

    Args:
        path: name in the cache.
        num_words: only the words with smaller numbers are kept (frequent words have small numbers).
        skip_top: this many of the most frequent words are left out.
        maxlen: longer reviews are left out.
        seed: of the shuffling.
        start_char: the number at the start of each review; None for none.
        oov_char: what replaces words that are left out; None drops them.
        index_from: what is added to each word number.
    """
    if kwargs:
        raise TypeError(f"Unrecognized keyword arguments: {sorted(kwargs)}.")
    arrays = text.fetch(
        path, text.ORIGIN + "imdb.npz", "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
    )
    rng = np.random.RandomState(seed)
    parts = []
    for part in ("train", "test"):
        x, y = text.shuffled(rng, arrays[f"x_{part}"], arrays[f"y_{part}"])
        parts.append(text.not_longer(maxlen, text.shifted(x, start_char, index_from), y))
    (x_train, y_train), (x_test, y_test) = parts
    x = text.limited(x_train + x_test, num_words, skip_top, oov_char)
    return (text.as_objects(x[: len(x_train)]), y_train), (text.as_objects(x[len(x_train) :]), y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """Word -> number, before `index_from` is added."""
    return text.word_index(path, text.ORIGIN + "imdb_word_index.json", "bfafd718b763782e994055a2d397834f")
