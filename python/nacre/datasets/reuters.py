"""11,228 newswires as word numbers, and which of 46 topics each is about."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.datasets import text

__all__ = ["get_label_names", "get_word_index", "load_data"]

_TOPICS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton carcass "
    "crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock retail ipi "
    "iron-steel rubber heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead"
)


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> Any:
    """`(x_train, y_train), (x_test, y_test)`: lists of word numbers, topics 0..45.

    The arguments are those of `imdb.load_data`; `test_split` is the share of newswires in the second part.
    """
    arrays = text.fetch(
        path, text.ORIGIN + "reuters.npz", "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
    )
    rng = np.random.RandomState(seed)
    x, y = text.shuffled(rng, arrays["x"], arrays["y"])
    x, y = text.not_longer(maxlen, text.shifted(x, start_char, index_from), y)
    x = text.limited(x, num_words, skip_top, oov_char)
    cut = int(len(x) * (1 - test_split))
    return (text.as_objects(x[:cut]), np.array(y[:cut])), (text.as_objects(x[cut:]), np.array(y[cut:]))


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """Word -> number, before `index_from` is added."""
    return text.word_index(path, text.ORIGIN + "reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921")


def get_label_names() -> tuple[str, ...]:
    """The names of the topics, by number."""
    return tuple(_TOPICS.split())
