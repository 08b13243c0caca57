"""Texts as numbers, the way of Keras 2."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(input_text: str, filters: str = _FILTERS, lower: bool = True, split: str = " ") -> list[str]:
    """The words of a text.

    >>> text_to_word_sequence("The cat, the mat.")
    ['the', 'cat', 'the', 'mat']
    """
    if not all(isinstance(s, str) for s in (input_text, filters, split)):
        raise TypeError(
            f"expected a text, filters and a separator as strings, got {(input_text, filters, split)!r:.200}"
        )
    text = input_text.lower() if lower else input_text
    text = text.translate({ord(mark): split for mark in filters})
    return [word for word in text.split(split) if word]


def hashing_trick(
    text: str, n: int, hash_function: Any = None, filters: str = _FILTERS, lower: bool = True, split: str = " "
) -> list[int]:
    """A number in [1, n) for each word; different words may get the same. The function is stable between processes.

    `hash_function` is "md5" (default) or a function from str to int.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise ValueError(f"expected `n` to be an int of at least 2, got {n!r}")
    if hash_function is None or hash_function == "md5":
        hash_function = _md5
    words = text_to_word_sequence(text, filters, lower, split)
    return [int(hash_function(word) % (n - 1) + 1) for word in words]


def _md5(word: str) -> int:
    return int(hashlib.md5(word.encode()).hexdigest(), 16)


def one_hot(input_text: str, n: int, filters: str = _FILTERS, lower: bool = True, split: str = " ") -> list[int]:
    """As `hashing_trick`."""
    return hashing_trick(input_text, n, None, filters, lower, split)


class Tokenizer:
    """Numbers words by how often they occur, and turns texts into lists of numbers or into matrices.

    Args:
        num_words: only the `num_words - 1` most frequent words are kept.
        filters: characters that are no part of words.
        lower: whether texts are lower-cased.
        split: what separates words.
        char_level: whether characters take the place of words.
        oov_token: stands for words that were not seen.
        analyzer: a function from text to words, in place of the above.
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = _FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[str], list[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.document_count = kwargs.pop("document_count", 0)
        if kwargs:
            raise TypeError(f"Unrecognized keyword arguments: {kwargs}")
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.word_counts: OrderedDict[str, int] = OrderedDict()
        self.word_docs: Counter[str] = Counter()
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}
        self.index_docs: dict[int, int] = {}

    def _words(self, text: Any) -> list[str]:
        if self.char_level or isinstance(text, (list, tuple)):
            words = list(text)
            return [w.lower() for w in words] if self.lower else words
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts: Iterable[Any]) -> None:
        """Learns the words of these texts."""
        for text in texts:
            self.document_count += 1
            words = self._words(text)
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            self.word_docs.update(set(words))
        by_count = sorted(self.word_counts.items(), key=lambda item: item[1], reverse=True)
        vocabulary = [] if self.oov_token is None else [self.oov_token]
        vocabulary += [word for word, _ in by_count]
        self.word_index = {word: i + 1 for i, word in enumerate(vocabulary)}
        self.index_word = {i: word for word, i in self.word_index.items()}
        self.index_docs = {self.word_index[word]: n for word, n in self.word_docs.items()}

    def texts_to_sequences(self, texts: Iterable[Any]) -> list[list[int]]:
        """A list of word numbers per text."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[Any]) -> Any:
        """A list of word numbers per text, one after another."""
        limit = self.num_words
        unknown = self.word_index.get(self.oov_token) if self.oov_token is not None else None
        for text in texts:
            numbers = []
            for word in self._words(text):
                i = self.word_index.get(word)
                if i is not None and (limit is None or i < limit):
                    numbers.append(i)
                elif unknown is not None:
                    numbers.append(unknown)
            yield numbers

    def sequences_to_texts(self, sequences: Iterable[Any]) -> list[str]:
        """The words of each list of numbers, joined by blanks."""
        limit = self.num_words
        texts = []
        for sequence in sequences:
            words = []
            for i in sequence:
                word = self.index_word.get(int(i))
                if word is not None and (limit is None or i < limit):
                    words.append(word)
                elif self.oov_token is not None:
                    words.append(self.oov_token)
            texts.append(" ".join(words))
        return texts

    def texts_to_matrix(self, texts: Iterable[Any], mode: str = "binary") -> np.ndarray[Any, Any]:
        """A row per text and a column per word; see `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode=mode)

    def sequences_to_matrix(self, sequences: Any, mode: str = "binary") -> np.ndarray[Any, Any]:
        """A row per list and a column per word.

        `mode`: 1 where it occurs ("binary"), how often ("count"), which share ("freq"), or how telling it is ("tfidf").
        """
        if self.num_words is None and not self.word_index:
            raise ValueError("Specify a dimension (`num_words` argument), or fit on some text data first.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError("Fit the Tokenizer on some data before using tfidf mode.")
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise ValueError(f"Unknown vectorization mode: {mode!r}")
        columns = self.num_words or len(self.word_index) + 1
        out = np.zeros((len(sequences), columns))
        for row, sequence in enumerate(sequences):
            counts = Counter(int(i) for i in sequence if i < columns)
            for i, n in counts.items():
                if mode == "tfidf":
                    documents = self.index_docs.get(i, 0)
                    out[row, i] = (1 + np.log(n)) * np.log(1 + self.document_count / (1 + documents))
                else:
                    out[row, i] = {"binary": 1, "count": n, "freq": n / len(sequence)}[mode]
        return out

    def get_config(self) -> dict[str, Any]:
        """The settings and the words, JSON-able."""
        return {
            "num_words": self.num_words,
            "filters": self.filters,
            "lower": self.lower,
            "split": self.split,
            "char_level": self.char_level,
            "oov_token": self.oov_token,
            "document_count": self.document_count,
            "word_counts": json.dumps(self.word_counts),
            "word_docs": json.dumps(self.word_docs),
            "index_docs": json.dumps(self.index_docs),
            "index_word": json.dumps(self.index_word),
            "word_index": json.dumps(self.word_index),
        }

    def to_json(self, **kwargs: Any) -> str:
        """The tokenizer as JSON, for `tokenizer_from_json`."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """The tokenizer that `to_json` described. Raises ValueError for anything else."""
    try:
        config = dict(json.loads(json_string)["config"])
        counts, docs, word_index = (_numbers(config, name) for name in ("word_counts", "word_docs", "word_index"))
        index_docs = {int(i): n for i, n in _numbers(config, "index_docs").items()}
        index_word = {int(i): str(word) for i, word in json.loads(config.pop("index_word")).items()}
        made = Tokenizer(**config)
        text_to_word_sequence("a", made.filters, bool(made.lower), made.split)
        if not all(n is None or isinstance(n, int) for n in (made.num_words, made.document_count)):
            raise ValueError("num_words and document_count must be ints")
        if not (made.oov_token is None or isinstance(made.oov_token, str)):
            raise ValueError("oov_token must be a string")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"tokenizer_from_json: this describes no Tokenizer: {type(error).__name__}: {error}"
        ) from error
    made.word_counts, made.word_docs, made.word_index = OrderedDict(counts), Counter(docs), word_index
    made.index_docs, made.index_word = index_docs, index_word
    return made


def _numbers(config: dict[str, Any], name: str) -> dict[str, int]:
    found = json.loads(config.pop(name))
    if not all(isinstance(n, int) for n in found.values()):
        raise ValueError(f"{name} must hold ints")
    return dict(found)
