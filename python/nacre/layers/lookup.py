"""Words and numbers to indices and back: StringLookup, IntegerLookup."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from typing import Any

import numpy as np

from nacre.core.errors import TracedBranch
from nacre.core.registry import in_safe_mode
from nacre.core.tensor import KerasTensor, Symbol, Tensor
from nacre.layers.arguments import is_int
from nacre.layers.layer import Layer

_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")


class IndexLookup(Layer):
    """Base class: a vocabulary, found by `adapt(data)` or given.

    Index 0 is the mask token (if there is one, and `output_mode` is "int"), then come `num_oov_indices` places for
    tokens that are not
    in the vocabulary, then the vocabulary.
    """

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("vocabulary_size", None)  # in configurations: how large an adapted vocabulary is
        super().__init__(**kwargs)
        if max_tokens is not None and max_tokens <= 1:
            raise ValueError(f"If set, `max_tokens` must be greater than 1. Received: max_tokens={max_tokens}")
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"If pad_to_max_tokens is True, must set `max_tokens`. Received: max_tokens={max_tokens}")
        if not is_int(num_oov_indices) or num_oov_indices < 0:
            raise ValueError(
                f"`num_oov_indices` must be greater than or equal to 0. Received: num_oov_indices={num_oov_indices}"
            )
        output_mode = "int" if output_mode is None else output_mode
        if output_mode not in _MODES:
            raise ValueError(f"Invalid value for argument `output_mode`: expected one of {_MODES}, got {output_mode!r}")
        if invert and output_mode != "int":
            raise ValueError(
                f"`output_mode` must be `'int'` when `invert` is true. Received: output_mode={output_mode}"
            )
        if sparse:
            raise ValueError(f"{type(self).__name__}: sparse tensors are not supported; leave `sparse=False`.")
        self.invert = invert
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.output_mode = output_mode
        self.sparse = False
        self.pad_to_max_tokens = pad_to_max_tokens
        # A file is read once; what it held is saved with the layer.
        self.input_vocabulary = None if isinstance(vocabulary, str) else _listed(vocabulary)
        self.input_idf_weights = _listed(idf_weights)
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self._tokens: list[Any] = []
        self._index: dict[Any, int] = {}
        self.idf_weights: Any = None
        self._build_at_init()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    # --- the vocabulary -----------------------------------------------------------------------------------------------

    def _plain(self, token: Any) -> Any:
        """A token as the vocabulary holds it."""
        raise NotImplementedError

    def _special(self) -> list[Any]:
        mask = [self.mask_token] if self.mask_token is not None and self.output_mode == "int" else []
        return mask + [self.oov_token] * self.num_oov_indices

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their indices."""
        return (self._special() if include_special_tokens else []) + list(self._tokens)

    def vocabulary_size(self) -> int:
        """The number of indices, special ones included."""
        return len(self._special()) + len(self._tokens)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Takes a vocabulary: a list of tokens, or a file with one per line. Special ones may stand in front."""
        if isinstance(vocabulary, str):
            vocabulary = self._read(vocabulary)
        tokens = [self._plain(t) for t in np.asarray(vocabulary).tolist()] if len(vocabulary) else []
        special = self._special()
        weights = None if idf_weights is None else np.asarray(idf_weights, np.float64)
        if special and tokens[: len(special)] == special:
            tokens = tokens[len(special) :]
            weights = None if weights is None else weights[len(special) :]
        twice = [t for t, n in Counter(tokens).items() if n > 1]
        if twice:
            raise ValueError(
                "The passed vocabulary has at least one repeated term. Please uniquify your dataset. The repeated "
                f"terms are: {twice}"
            )
        reserved = {t for t in (self.mask_token, self.oov_token) if t is not None} & set(tokens)
        if reserved:
            raise ValueError(f"{type(self).__name__}: found the special token {reserved.pop()!r} inside the vocabulary")
        if self.max_tokens is not None and len(special) + len(tokens) > self.max_tokens:
            raise ValueError(
                "Attempted to set a vocabulary larger than the maximum vocab size. Passed vocab size is "
                f"{len(special) + len(tokens)}, max vocab size is {self.max_tokens}."
            )
        if (self.output_mode == "tf_idf") != (weights is not None):
            raise ValueError(
                "`idf_weights` must be set if, and only if, output_mode is 'tf_idf'. Received: "
                f"output_mode={self.output_mode}, "
                f"idf_weights={idf_weights}"
            )
        self._take(tokens, weights)

    def _take(self, tokens: list[Any], weights: Any) -> None:
        object.__setattr__(self, "_tokens", tokens)
        first = len(self._special())
        object.__setattr__(self, "_index", {t: first + i for i, t in enumerate(tokens)})
        if weights is not None:
            if len(weights) != len(tokens):
                raise ValueError(
                    f"`idf_weights` must have one number per token: expected {len(tokens)}, got {len(weights)}"
                )
            mean = float(np.mean(weights)) if len(weights) else 1.0
            self.idf_weights = np.concatenate([[mean] * first, weights]).astype("float32")

    def _read(self, path: str) -> list[Any]:
        if in_safe_mode():
            raise ValueError(
                f"{type(self).__name__}: a saved model names the vocabulary file {path!r}. Loading opens no other "
                "files; load with "
                "safe_mode=False if you trust the model, or give the vocabulary as a list."
            )
        if not os.path.exists(path):
            raise ValueError(f"Vocabulary file {path} does not exist.")
        with open(path, encoding="utf-8") as file:
            return [self._plain(line.rstrip("\n")) for line in file]

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Takes the vocabulary from data: the most frequent tokens first. Earlier data are forgotten."""
        self.reset_state()
        counts: Counter[Any] = Counter()
        documents: Counter[Any] = Counter()
        n = 0
        for sample in self._samples(data, steps):
            counts.update(sample)
            documents.update(set(sample))
            n += 1
        for special in (self.mask_token, self.oov_token):
            counts.pop(special, None)
        # Equal counts: the later in the alphabet comes first.
        tokens = sorted(counts, key=lambda t: (counts[t], t), reverse=True)
        if self.max_tokens is not None:
            tokens = tokens[: self.max_tokens - len(self._special())]
        weights = None
        if self.output_mode == "tf_idf":
            weights = np.log(1.0 + n / (1.0 + np.array([documents[t] for t in tokens], np.float64)))
        self._take(tokens, weights)

    def _samples(self, data: Any, steps: int | None) -> Any:
        """Lists of tokens, one per sample."""
        whole = hasattr(data, "shape") or isinstance(data, (list, tuple))
        for i, batch in enumerate([data] if whole else data):
            if steps is not None and i >= steps:
                return
            array = np.asarray(batch)
            for sample in array if array.ndim > 1 else array.reshape(-1, 1):
                yield [self._plain(t) for t in np.asarray(sample).ravel().tolist()]

    def reset_state(self) -> None:
        """Forgets an adapted vocabulary."""
        if self.input_vocabulary is None:
            self._take([], None)

    # --- calling ------------------------------------------------------------------------------------------------------

    def _bucket(self, token: Any) -> int:
        raise NotImplementedError

    def _indices(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        first = 1 if self.mask_token is not None and self.output_mode == "int" else 0
        out = np.empty(values.size, np.int64)
        for i, token in enumerate(map(self._plain, values.ravel().tolist())):
            at = self._index.get(token)
            if at is None:
                if first and token == self.mask_token:
                    at = 0
                elif self.num_oov_indices == 0:
                    raise ValueError(
                        "When `num_oov_indices=0` all inputs should be in vocabulary, found OOV values "
                        f"{token!r}, consider setting `num_oov_indices=1`."
                    )
                else:
                    at = first + (self._bucket(token) if self.num_oov_indices > 1 else 0)
            out[i] = at
        return out.reshape(values.shape)

    def call(self, inputs: Any) -> Any:
        """Indices of the tokens, or a vector per sample, or with `invert` the tokens of indices (a NumPy array)."""
        if isinstance(inputs, Symbol):
            raise TracedBranch(
                f"{type(self).__name__} '{self.name}' works in Python, on values. Applied to the data before training, "
                "for example in the data set, it does not hold the model up"
            )
        if not self._tokens and not self.num_oov_indices:
            raise ValueError(
                f"{type(self).__name__} '{self.name}': the vocabulary is empty. Call adapt() or set_vocabulary()."
            )
        values = np.asarray(inputs)
        if self.invert:
            vocabulary = self.get_vocabulary()
            flat = [
                vocabulary[i] if 0 <= i < len(vocabulary) else self.oov_token
                for i in values.astype(np.int64).ravel().tolist()
            ]
            return np.array(flat).reshape(values.shape)
        indices = self._indices(values)
        if self.output_mode == "int":
            return Tensor(indices)
        depth = self.max_tokens if self.pad_to_max_tokens and self.max_tokens else self.vocabulary_size()
        return Tensor(encode_indices(indices, self.output_mode, depth, self.idf_weights))

    def compute_output_spec(self, inputs: Any) -> Any:
        """A KerasTensor of what `call` gives."""
        return KerasTensor(
            self.compute_output_shape(inputs.shape),
            "string" if self.invert else "int64" if self.output_mode == "int" else self._input_dtype,
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the indices, or (N, vocabulary size)."""
        if self.output_mode == "int":
            return tuple(input_shape)
        depth = self.max_tokens if self.pad_to_max_tokens and self.max_tokens else self.vocabulary_size()
        if self.output_mode == "one_hot":
            return (*(input_shape[:-1] if input_shape and input_shape[-1] == 1 else input_shape), depth)
        return (*input_shape[:-1], depth)

    # --- configuration ------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "invert": self.invert,
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "oov_token": self.oov_token,
            "mask_token": self.mask_token,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "idf_weights": self.input_idf_weights,
            "vocabulary": self.input_vocabulary,
            "vocabulary_size": self.vocabulary_size() if self._tokens else None,
        }

    def save_assets(self, dir_path: str) -> None:
        """Writes the vocabulary, one token a line."""
        if self.input_vocabulary is not None:
            return
        with open(os.path.join(dir_path, "vocabulary.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(str(t) for t in self.get_vocabulary(include_special_tokens=False)))

    def load_assets(self, dir_path: str) -> None:
        """Reads the vocabulary that `save_assets` wrote."""
        if self.input_vocabulary is not None:
            return
        with open(os.path.join(dir_path, "vocabulary.txt"), encoding="utf-8") as file:
            lines = file.read().split("\n")
        if lines == [""]:
            lines = []
        self._take([self._plain(line) for line in lines], self.idf_weights_for(len(lines)))

    def idf_weights_for(self, n: int) -> Any:
        """Weights of one for n tokens where the mode needs some that are not known."""
        return np.ones(n) if self.output_mode == "tf_idf" else None


def _listed(values: Any) -> Any:
    if values is None or isinstance(values, str):
        return values
    return values.tolist() if hasattr(values, "tolist") else list(values)


def encode_indices(indices: np.ndarray[Any, Any], mode: str, depth: int, weights: Any = None) -> np.ndarray[Any, Any]:
    """Vectors (..., depth) of indices: `one_hot`, or of the last axis together `multi_hot`, `count` or `tf_idf`.

    >>> encode_indices(np.array([[0, 2, 2]]), "count", 4).tolist()
    [[1.0, 0.0, 2.0, 0.0]]
    """
    if mode == "one_hot":
        if indices.ndim and indices.shape[-1] == 1:
            indices = indices[..., 0]
        return np.asarray(np.eye(depth, dtype=np.float32)[indices])
    if indices.ndim == 0:
        indices = indices[None]
    rows = indices.reshape(-1, indices.shape[-1])
    out = np.zeros((rows.shape[0], depth), np.float32)
    np.add.at(out, (np.arange(rows.shape[0])[:, None], rows), 1.0)
    if mode == "multi_hot":
        out = (out > 0).astype(np.float32)
    elif mode == "tf_idf":
        out[:, : len(weights)] *= weights
    return out.reshape(*indices.shape[:-1], depth)


def stable_hash(text: str, salt: Any = None) -> int:
    """A number of 64 bits that is the same in every process.

    >>> stable_hash("a") == stable_hash("a"), stable_hash("a") == stable_hash("b")
    (True, False)
    """
    key = b"" if salt is None else repr(salt).encode("utf-8")
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8, key=key).digest(), "little")


class StringLookup(IndexLookup):
    """Strings to indices of a vocabulary, or back with `invert`. Runs in Python, on the data before the model.

    Args:
        max_tokens: the largest vocabulary, special tokens included.
        num_oov_indices: places for unknown strings; with several, a hash picks one.
        mask_token: the string of index 0, none when not given.
        oov_token: what unknown indices become with `invert`.
        vocabulary: list of strings, or the path of a file with one per line.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"`, `"count"` or `"tf_idf"`.

    >>> StringLookup(vocabulary=["a", "b"])(["b", "z"]).tolist()
    [2, 0]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ) -> None:
        self.encoding = encoding
        self.salt = salt
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert, output_mode, sparse,
            pad_to_max_tokens, name=name, **kwargs,
        )  # fmt: skip

    def _plain(self, token: Any) -> Any:
        return token.decode(self.encoding) if isinstance(token, bytes) else str(token)

    def _bucket(self, token: Any) -> int:
        return stable_hash(token, self.salt) % self.num_oov_indices

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "encoding": self.encoding, "salt": self.salt}


class IntegerLookup(IndexLookup):
    """Integers to indices of a vocabulary, or back with `invert`. Runs in Python, on the data before the model.

    The arguments are those of StringLookup; with several places for unknown integers, the remainder picks one.

    >>> IntegerLookup(vocabulary=[12, 36])([36, 7]).tolist()
    [2, 0]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if oov_method not in ("floormod", "farmhash"):
            raise ValueError(f"IntegerLookup: expected `oov_method` 'floormod' or 'farmhash', got {oov_method!r}")
        if vocabulary_dtype != "int64":
            raise ValueError(
                "IntegerLookup: expected `vocabulary_dtype` 'int64', which integers are held in, got "
                f"{vocabulary_dtype!r}"
            )
        self.vocabulary_dtype = vocabulary_dtype
        self.oov_method = oov_method
        self.salt = salt
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert, output_mode, sparse,
            pad_to_max_tokens, name=name, **kwargs,
        )  # fmt: skip

    def _plain(self, token: Any) -> Any:
        return int(token)

    def _bucket(self, token: Any) -> int:
        number = token if self.oov_method == "floormod" else stable_hash(str(token), self.salt)
        return number % self.num_oov_indices

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = {**super().get_config(), "vocabulary_dtype": self.vocabulary_dtype}
        return {**config, "oov_method": self.oov_method, "salt": self.salt}
