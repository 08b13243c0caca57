"""Texts to sequences of word indices, or to one vector per text."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np

from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.tensor import KerasTensor, Symbol, Tensor
from nacre.layers.arguments import is_int
from nacre.layers.layer import Layer
from nacre.layers.lookup import StringLookup
from nacre.layers.tokens import encode_indices, one_of, only_shape, text_of
from nacre.utils.ragged import Ragged

_SEPARATORS = re.compile("[\x1c-\x1f]")  # which count as blanks among characters, not among bytes
_PUNCTUATION = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']""")
_STANDARDS = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
_SPLIT = ("whitespace", "character")


class TextVectorization(Layer):
    """Texts (N,) or (N, 1) to word indices (N, T), padded with 0, or to vectors (N, vocabulary size). Runs in Python.

    Args:
        max_tokens: the largest vocabulary, `""` (padding) and `"[UNK]"` included.
        standardize: `"lower_and_strip_punctuation"`, `"lower"`, `"strip_punctuation"`, None, or a function of an array
            of strings.
        split: `"whitespace"`, `"character"`, None, or a function of a string (or an array of strings) that gives words.
        ngrams: an int n for words and runs of up to n words, a tuple for runs of these lengths.
        output_mode: `"int"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        output_sequence_length: T; the longest text of a batch when not given.
        pad_to_max_tokens: whether vectors have `max_tokens` entries even if the vocabulary is smaller.
        vocabulary: list of words, or the path of a file with one per line; else call `adapt`.
        ragged: whether texts come as rows of their own lengths, not filled up; not inside of models.

    >>> layer = TextVectorization(vocabulary=["good", "film"])
    >>> layer(["A good film!", "film"]).tolist()
    [[1, 2, 3], [3, 0, 0]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        fixed = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        size = kwargs.pop("vocabulary_size", None)
        super().__init__(name=name, **kwargs)
        if sparse:
            raise ValueError("TextVectorization: sparse outputs are not supported; leave `sparse` False.")
        output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
        one_of("TextVectorization", "standardize", standardize, _STANDARDS, none=True, call=True)
        one_of("TextVectorization", "split", split, _SPLIT, none=True, call=True)
        one_of("TextVectorization", "output_mode", output_mode, ("int", "one_hot", "multi_hot", "count", "tf_idf"))
        if (
            ngrams is not None
            and not is_int(ngrams)
            and not (isinstance(ngrams, (tuple, list)) and all(map(is_int, ngrams)))
        ):
            raise ValueError(f"`ngrams` must be None, an integer, or a tuple of integers. Received: ngrams={ngrams}")
        if output_sequence_length is not None and output_mode != "int":
            raise ValueError(
                "`output_sequence_length` must not be set if `output_mode` is not 'int'. Received "
                f"output_sequence_length={output_sequence_length}."
            )
        if output_sequence_length is not None and not is_int(output_sequence_length):
            raise ValueError(
                "`output_sequence_length` must be either None or an integer when `output_mode` is 'int'. Received: "
                f"output_sequence_length={output_sequence_length}"
            )
        if ragged and output_mode != "int":
            raise ValueError(f"`ragged` must not be true unless `output_mode` is 'int'. Received: {output_mode!r}")
        self.ragged = ragged
        self.max_tokens = max_tokens
        self.standardize = standardize
        self.split = split
        self.ngrams = tuple(ngrams) if isinstance(ngrams, (tuple, list)) else ngrams
        self._lengths = (
            None if ngrams is None else self.ngrams if isinstance(self.ngrams, tuple) else range(1, ngrams + 1)
        )
        self.output_mode = output_mode
        self.output_sequence_length = output_sequence_length
        self.pad_to_max_tokens = pad_to_max_tokens
        self.encoding = encoding
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            pad_to_max_tokens=pad_to_max_tokens,
            mask_token="",
            output_mode=output_mode,
            encoding=encoding,
            has_input_vocabulary=fixed,
            vocabulary_size=size,
        )
        self._build_at_init()

    # --- words --------------------------------------------------------------------------------------------------------

    def _words(self, texts: Any) -> list[list[str]]:
        """The words of each text."""
        array = np.asarray(texts)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim == 0:
            array = array[None]
        plain = [text_of(t, self.encoding) for t in array.ravel().tolist()]
        plain = self._standardized(plain)
        if self.split is None and array.ndim > 1:
            width = array.shape[-1]
            words = [plain[i : i + width] for i in range(0, len(plain), width)]
        else:
            if array.ndim > 1:
                raise ValueError(
                    "When using `TextVectorization` to tokenize strings, the input rank must be 1 or the last shape "
                    f"dimension must be 1. Received: inputs.shape={array.shape} with rank={array.ndim}"
                )
            words = self._split_up(plain)
        return words if self._lengths is None else [self._runs(w) for w in words]

    def _standardized(self, texts: list[str]) -> list[str]:
        """Only the letters A to Z have small ones, as in Keras, whose text operations work on bytes."""
        if callable(self.standardize):
            return [str(t) for t in np.asarray(self.standardize(np.array(texts))).ravel().tolist()]
        if self.standardize in ("lower", "lower_and_strip_punctuation"):
            texts = [t.lower() if t.isascii() else t.encode().lower().decode() for t in texts]
        if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
            texts = [_PUNCTUATION.sub("", t) for t in texts]
        return texts

    def _split_up(self, texts: list[str]) -> list[list[str]]:
        if self.split == "whitespace":  # blanks of ASCII, for the same reason
            return [
                t.split() if t.isascii() and not _SEPARATORS.search(t) else [w.decode() for w in t.encode().split()]
                for t in texts
            ]
        if self.split == "character":
            return [list(t) for t in texts]
        if self.split is None:
            return [[t] for t in texts]
        return [[str(w) for w in np.asarray(self.split(t)).ravel().tolist()] for t in texts]

    def _runs(self, words: list[str]) -> list[str]:
        return [" ".join(words[i : i + n]) for n in self._lengths for i in range(len(words) - n + 1)]  # type: ignore[union-attr]

    # --- the vocabulary -----------------------------------------------------------------------------------------------

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Takes the vocabulary from texts (array, list, or iterable of batches): the most frequent words first."""
        self.reset_state()
        whole = hasattr(data, "shape") or isinstance(data, (list, tuple))
        for i, batch in enumerate([data] if whole else data):
            if steps is not None and i >= steps:
                break
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Counts the words of a batch of texts."""
        self._lookup_layer._count(self._words(data))

    def finalize_state(self) -> None:
        """Takes the vocabulary from what was counted."""
        self._lookup_layer.finalize_state()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The words in the order of their indices."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """The number of indices, padding and unknown included."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Takes a vocabulary: a list of words, or the path of a file with one per line."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    def reset_state(self) -> None:
        """Forgets an adapted vocabulary."""
        self._lookup_layer.reset_state()

    # --- calling ------------------------------------------------------------------------------------------------------

    def call(self, inputs: Any) -> Any:
        """Indices (N, T), or vectors (N, vocabulary size)."""
        if isinstance(inputs, Symbol):
            spec = self.compute_output_spec(inputs)
            return only_shape(f"{type(self).__name__} '{self.name}'", spec.shape, spec.dtype)
        single = np.asarray(inputs).ndim == 0
        words = self._words(inputs)
        lookup = self._lookup_layer
        length = self.output_sequence_length if self.output_mode == "int" else None
        if length is not None:
            words = [row[:length] for row in words]
        lengths = np.array([len(row) for row in words], np.int64)
        places = lookup._places(list(itertools.chain.from_iterable(words)))
        if self.output_mode == "int" and self.ragged:
            rows = Ragged(Tensor(row) for row in np.split(places, np.cumsum(lengths)[:-1]))
            return rows[0] if single else rows
        if length is None:
            length = int(lengths.max(initial=0))
        out = np.full((len(words), length), 0 if self.output_mode == "int" else -1, np.int64)
        out[np.arange(length) < lengths[:, None]] = places
        if self.output_mode != "int":
            out = encode_indices(out, self.output_mode, lookup._known_depth(), lookup.idf_weights)
        return Tensor(out[0] if single else out)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A KerasTensor of what `call` gives."""
        if self.ragged:
            raise ValueError(
                f"TextVectorization '{self.name}': rows of several lengths cannot go through a model. Leave `ragged` "
                "False, and they are filled up with 0."
            )
        return KerasTensor(
            self.compute_output_shape(inputs.shape), "int64" if self.output_mode == "int" else self._input_dtype
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, T), or (N, vocabulary size)."""
        if self.output_mode == "int":
            return (input_shape[0], self.output_sequence_length)
        return self._lookup_layer.compute_output_shape((input_shape[0], None))

    # --- configuration ------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments; functions by their registered names."""

        def written(value: Any) -> Any:
            return serialize_keras_object(value) if callable(value) else value

        return {
            **super().get_config(),
            "max_tokens": self._lookup_layer.max_tokens,
            "standardize": written(self.standardize),
            "split": written(self.split),
            "ngrams": self.ngrams,
            "output_mode": self.output_mode,
            "output_sequence_length": self.output_sequence_length,
            "pad_to_max_tokens": self._lookup_layer.pad_to_max_tokens,
            "sparse": False,
            "ragged": self.ragged,
            "vocabulary": self._lookup_layer.input_vocabulary,
            "idf_weights": self._lookup_layer.input_idf_weights,
            "encoding": self.encoding,
            "vocabulary_size": self.vocabulary_size(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer of that configuration."""
        config = dict(config)
        for name in ("standardize", "split"):
            if isinstance(config.get(name), dict):
                config[name] = deserialize_keras_object(config[name])
        return super().from_config(config)

    def save_own_variables(self, store: Any) -> None:
        """Writes the weights of the words, where there are some."""
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        """Reads the weights of the words."""
        self._lookup_layer.load_own_variables(store)

    def save_assets(self, dir_path: str) -> None:
        """Writes the vocabulary, one word a line."""
        self._lookup_layer.save_assets(dir_path)

    def load_assets(self, dir_path: str) -> None:
        """Reads the vocabulary that `save_assets` wrote."""
        self._lookup_layer.load_assets(dir_path)
