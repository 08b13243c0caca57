"""What the two collections of texts have in common: word numbers shifted, limited and cut as the caller wishes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from nacre.datasets import stored
from nacre.utils.files import get_file

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def word_index(path: str, origin: str, md5: str) -> dict[str, int]:
    """Word -> number."""
    with open(get_file(fname=path, origin=origin, file_hash=md5), encoding="utf-8") as file:
        return json.load(file)  # type: ignore[no-any-return]


def fetch(path: str, origin: str, sha256: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of the collection."""
    return stored.load_npz(get_file(fname=path, origin=origin, file_hash=sha256))


def shuffled(rng: Any, texts: Any, labels: Any) -> tuple[Any, Any]:
    """Texts and labels in one random order."""
    order = np.arange(len(texts))
    rng.shuffle(order)
    return texts[order], labels[order]


def shifted(texts: Any, start_char: int | None, index_from: int | None) -> list[list[int]]:
    """Every word number plus `index_from`, behind a `start_char` where there is one."""
    start = [] if start_char is None else [start_char]
    shift = index_from or 0
    return [start + [w + shift for w in text] for text in texts]


def not_longer(maxlen: int | None, texts: list[list[int]], labels: Any) -> tuple[list[list[int]], Any]:
    """The texts of fewer than `maxlen` words, and their labels."""
    if not maxlen:
        return texts, labels
    kept = [i for i, text in enumerate(texts) if len(text) < maxlen]
    if not kept:
        raise ValueError(
            f"After filtering for sequences shorter than maxlen={maxlen}, no sequence was kept. Increase maxlen."
        )
    return [texts[i] for i in kept], np.asarray(labels)[kept]


def limited(texts: list[list[int]], num_words: int | None, skip_top: int, oov_char: int | None) -> list[list[int]]:
    """Words outside [skip_top, num_words) replaced by `oov_char`, or left out when that is None."""
    top = num_words or max(max(text) for text in texts)
    if oov_char is None:
        return [[w for w in text if skip_top <= w < top] for text in texts]
    return [[w if skip_top <= w < top else oov_char for w in text] for text in texts]


def as_objects(texts: list[list[int]]) -> np.ndarray[Any, Any]:
    """An array of lists, whatever their lengths."""
    return stored.objects(texts)
