"""Words and numbers to indices and back: StringLookup, IntegerLookup."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.config import floatx
from nacre.core.registry import in_safe_mode
from nacre.core.tensor import KerasTensor, Symbol, Tensor
from nacre.layers.arguments import is_int
from nacre.layers.hashes import buckets
from nacre.layers.layer import Layer
from nacre.layers.tokens import encode_indices, one_of, only_shape, text_of, two_integers
from nacre.utils.atomic import replacing
from nacre.utils.dataset import Text
from nacre.utils.files import reading
from nacre.utils.ragged import Ragged

_UNKNOWN = -2  # no index

_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_OLD_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}
_LINES, _JSON = "vocabulary.txt", "vocabulary.json"


def _ragged(data: Any) -> Any:
    """The rows of data that are of several lengths, as `tf.ragged.constant` makes them; else None."""
    several = isinstance(data, list) and len({np.shape(row) for row in data}) > 1
    return [np.asarray(row, object).tolist() for row in data] if several else None


class IndexLookup(Layer):
    """Base class: a vocabulary, found by `adapt(data)` or given.

    Index 0 is the mask token (if there is one, and `output_mode` is "int"), then come `num_oov_indices` places for
    tokens that are not in the vocabulary, then the vocabulary. In other modes than "int" the mask token counts nothing.
    """

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary_dtype: str,
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ) -> None:
        who = type(self).__name__
        if max_tokens is not None and max_tokens <= 1:
            raise ValueError(f"If set, `max_tokens` must be greater than 1. Received: max_tokens={max_tokens}")
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"If pad_to_max_tokens is True, must set `max_tokens`. Received: max_tokens={max_tokens}")
        if not is_int(num_oov_indices) or num_oov_indices < 0:
            raise ValueError(
                f"`num_oov_indices` must be greater than or equal to 0. Received: num_oov_indices={num_oov_indices}"
            )
        one_of(who, "oov_method", oov_method, ("floormod", "farmhash"))
        if salt is not None and vocabulary_dtype != "string" and oov_method != "farmhash":
            raise ValueError(f"`salt` can only be used when `oov_method='farmhash'`. Received: oov_method={oov_method}")
        salt = two_integers("IndexLookup", salt)
        output_mode = _OLD_MODES.get(output_mode, output_mode)
        one_of(who, "output_mode", output_mode, _MODES)
        if invert and output_mode != "int":
            raise ValueError(
                f"`output_mode` must be `'int'` when `invert` is true. Received: output_mode={output_mode}"
            )
        if sparse and output_mode == "int":
            raise ValueError(
                "`sparse` may only be true if `output_mode` is `'one_hot'`, `'multi_hot'`, `'count'` or `'tf_idf'`. "
                f"Received: sparse={sparse} and output_mode={output_mode}"
            )
        if sparse:
            raise ValueError(f"{who}: sparse tensors are not supported; leave `sparse=False`.")
        if idf_weights is not None and output_mode != "tf_idf":
            raise ValueError(
                "`idf_weights` should only be set if `output_mode` is `'tf_idf'`. Received: "
                f"idf_weights={idf_weights} and output_mode={output_mode}"
            )
        options = {key: kwargs.pop(key) for key in ("trainable", "dtype") if key in kwargs}
        super().__init__(name=name, **options)
        self._fixed = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        object.__setattr__(self, "_frozen_size", kwargs.pop("vocabulary_size", None))
        if kwargs:
            raise ValueError(f"Unrecognized keyword argument(s): {kwargs}")
        if output_mode == "tf_idf" and self._fixed and idf_weights is None:
            raise ValueError(
                "When specifying the `vocabulary` argument, in TF-IDF output mode, the `idf_weights` argument must "
                "also be provided."
            )
        self.invert = invert
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.vocabulary_dtype = vocabulary_dtype
        self.output_mode = output_mode
        self.sparse = False
        self.pad_to_max_tokens = pad_to_max_tokens
        self.oov_method = oov_method
        self.salt = salt
        # A file is read once; what it held is saved with the layer.
        self.input_vocabulary = None if isinstance(vocabulary, str) else _listed(vocabulary)
        self.input_idf_weights = _listed(idf_weights)
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self._number([])
        object.__setattr__(self, "idf_weights", None)
        self._forget()
        self._build_at_init()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    # --- the vocabulary -----------------------------------------------------------------------------------------------

    def _plain(self, token: Any) -> Any:
        """A token as the vocabulary holds it."""
        if self.vocabulary_dtype != "string":
            return int(token)
        return text_of(token)

    @property
    def _first(self) -> int:
        """The first place for unknown tokens: behind that of the mask."""
        return 1 if self.mask_token is not None and self.output_mode == "int" else 0

    def _special(self) -> list[Any]:
        return [self.mask_token] * self._first + [self.oov_token] * self.num_oov_indices

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their indices."""
        return (self._special() if include_special_tokens else []) + list(self._tokens)

    def vocabulary_size(self) -> int:
        """The number of indices, special ones included."""
        return len(self._special()) + len(self._tokens)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Takes a vocabulary: a list of tokens, or a file with one per line. Special ones may stand in front."""
        if self.output_mode == "tf_idf":
            if idf_weights is None:
                raise ValueError("`idf_weights` must be set if output_mode is 'tf_idf'.")
        elif idf_weights is not None:
            raise ValueError(
                "`idf_weights` should only be set if output_mode is `'tf_idf'`. Received: "
                f"output_mode={self.output_mode} and idf_weights={idf_weights}"
            )
        if isinstance(vocabulary, str):
            self._take(self._read(vocabulary), None)
            return
        kind = None if hasattr(vocabulary, "dtype") else object  # which leaves NaN among texts what it is
        given = [self._plain(t) for t in np.asarray(vocabulary, kind).ravel().tolist()]
        if not given:
            raise ValueError(f"Cannot set an empty vocabulary. Received: vocabulary={vocabulary}")
        special = self._special()
        listed = bool(special) and given[: len(special)] == special
        tokens = given[len(special) :] if listed else given
        self._check(tokens, given, special)
        weights = None
        if idf_weights is not None:
            weights = np.asarray(idf_weights, floatx())
            if len(weights) != len(given):
                raise ValueError(
                    f"`idf_weights` must be the same length as vocabulary. len(idf_weights) is {len(weights)}; "
                    f"len(vocabulary) is {len(given)}"
                )
            if weights.ndim != 1:
                raise ValueError(
                    f"TF-IDF data must be a 1-index array. Received: type(idf_weights)={type(idf_weights)}"
                )
            if not listed:
                weights = self._with_special(weights)
        self._take(tokens, weights)

    def _check_repeats(self, tokens: list[Any]) -> None:
        twice = [t for t, n in Counter(tokens).items() if n > 1]
        if twice:
            raise ValueError(
                "The passed vocabulary has at least one repeated term. Please uniquify your dataset. The repeated "
                f"terms are: {twice}"
            )

    def _check(self, tokens: list[Any], given: list[Any], special: list[Any]) -> None:
        self._check_repeats(tokens)
        for what, name, token in (("mask", "mask_token", self.mask_token), ("OOV", "oov_token", self.oov_token)):
            if token is None or token not in tokens or (what == "OOV" and not self.invert):
                continue
            at = [i for i, t in enumerate(given) if t == token][-1]
            raise ValueError(
                f"Found reserved {what} token at unexpected location in `vocabulary`. Note that passed `vocabulary` "
                "does "
                "not need to include the OOV and mask tokens. Either remove all mask and OOV tokens, or include them "
                f"only at the start of the vocabulary in precisely this order: {special}. Received: {name}={token} at "
                f"vocabulary index {at}"
            )
        size = len(special) + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                "Attempted to set a vocabulary larger than the maximum vocab size. Received vocabulary size is "
                f"{size}; `max_tokens` is {self.max_tokens}."
            )

    def _with_special(self, weights: Any) -> Any:
        """Weights of all indices: special ones have the mean of the others."""
        front = np.full(len(self._special()), np.mean(weights) if len(weights) else 1.0)
        return np.concatenate([front, weights]).astype(floatx())

    def _number(self, tokens: list[Any]) -> None:
        first = len(self._special())
        index = {t: first + i for i, t in enumerate(tokens)}
        if self.mask_token is not None:
            index[self.mask_token] = 0 if self._first else -1
        object.__setattr__(self, "_tokens", tokens)
        object.__setattr__(self, "_index", index)

    def _take(self, tokens: list[Any], weights: Any) -> None:
        first = len(self._special())
        size = first + len(tokens)
        frozen = self._frozen_size
        if frozen not in (None, size) and self.output_mode != "int" and not self.pad_to_max_tokens:
            raise RuntimeError(
                f"When using `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, the vocabulary size "
                f"cannot be changed after the layer is called. Old vocab size is {frozen}, new vocab size is {size}"
            )
        self._number(tokens)
        object.__setattr__(self, "_frozen_size", size)
        if weights is not None:
            if self.pad_to_max_tokens and self.max_tokens:
                weights = np.pad(weights, (0, max(self.max_tokens - len(weights), 0)))
            object.__setattr__(self, "idf_weights", np.asarray(weights, floatx()))

    def _read(self, path: str) -> list[Any]:
        if in_safe_mode():
            raise ValueError(
                f"{type(self).__name__}: a saved model names the vocabulary file {path!r}. Loading opens no other "
                "files; load with "
                "safe_mode=False if you trust the model, or give the vocabulary as a list."
            )
        if not os.path.isfile(path):
            raise ValueError(f"Vocabulary file {path} {'is no file' if os.path.exists(path) else 'does not exist'}.")
        if self.output_mode == "tf_idf":
            raise ValueError("output_mode `'tf_idf'` does not support loading a vocabulary from file.")
        with reading(path, "a vocabulary, one token a line"), open(path, encoding="utf-8") as file:
            tokens = [self._plain(line.rstrip("\n")) for line in file]
            self._check_repeats(tokens)
        return tokens

    # --- adapting -----------------------------------------------------------------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Takes the vocabulary from data: the most frequent tokens first. Earlier data are forgotten."""
        self.reset_state()
        if (rows := _ragged(data)) is not None:
            self._count(rows)
        elif hasattr(data, "shape") or isinstance(data, (list, tuple)):
            array = np.asarray(data)
            self.update_state(array[:, None] if array.ndim == 1 else array)
        else:
            for i, batch in enumerate(data):
                if steps is not None and i >= steps:
                    break
                self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Counts the tokens of a batch; one of a single axis is one document."""
        array = np.asarray(data)
        self._count(np.asarray(row).ravel().tolist() for row in (array if array.ndim > 1 else array.reshape(1, -1)))

    def _count(self, documents: Any) -> None:
        if self._fixed:
            raise ValueError(
                f"Cannot adapt layer '{self.name}' after setting a static vocabulary via `vocabulary` argument or "
                "`set_vocabulary()` method."
            )
        for document in documents:
            tokens = [self._plain(t) for t in document]
            self._counts.update(tokens)
            self._documents.update(set(tokens))
            object.__setattr__(self, "_seen", self._seen + 1)

    def finalize_state(self) -> None:
        """Takes the vocabulary from what was counted."""
        if self._fixed or not self._counts:
            object.__setattr__(self, "_frozen_size", self.vocabulary_size())
            return
        for special in (self.mask_token, self.oov_token):
            self._counts.pop(special, None)
        # Equal counts: the later in the alphabet comes first.
        tokens = sorted(self._counts, key=lambda t: (self._counts[t], t), reverse=True)
        if self.max_tokens is not None:
            tokens = tokens[: self.max_tokens - len(self._special())]
        weights = None
        if self.output_mode == "tf_idf":
            held_by = np.array([self._documents[t] for t in tokens], np.float64)
            weights = self._with_special(np.log(1.0 + self._seen / (1.0 + held_by)))
        self._forget()
        self._take(tokens, weights)

    def reset_state(self) -> None:
        """Forgets what was counted since the vocabulary was taken."""
        if not self._fixed:
            self._forget()

    def _forget(self) -> None:
        for name, value in (("_counts", Counter()), ("_documents", Counter()), ("_seen", 0)):
            object.__setattr__(self, name, value)

    # --- calling ------------------------------------------------------------------------------------------------------

    def _unknown(self, tokens: list[Any]) -> np.ndarray[Any, Any]:
        """The places of unknown tokens among several."""
        if self.vocabulary_dtype != "string" and self.oov_method != "farmhash":
            return np.array([int(token) % self.num_oov_indices for token in tokens], np.int64)
        return buckets(np.array(tokens, object), self.num_oov_indices, self.salt)

    def _indices(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Indices of tokens; -1 for the mask token where it counts nothing."""
        tokens = values.ravel().tolist()
        if values.dtype.kind not in ("U" if self.vocabulary_dtype == "string" else "iu"):
            tokens = list(map(self._plain, tokens))
        return self._places(tokens).reshape(values.shape)

    def _places(self, tokens: list[Any]) -> np.ndarray[Any, Any]:
        out = np.fromiter(map(self._index.get, tokens, itertools.repeat(_UNKNOWN)), np.int64, len(tokens))
        unknown = np.flatnonzero(out == _UNKNOWN).tolist()
        if unknown and not self.num_oov_indices:
            raise ValueError(
                "When `num_oov_indices=0` all inputs should be in vocabulary, found OOV values "
                f"{[tokens[i] for i in unknown[:10]]}, consider setting `num_oov_indices=1`."
            )
        out[unknown] = self._first
        if self.num_oov_indices > 1:
            out[unknown] += self._unknown([tokens[i] for i in unknown])
        return out

    def call(self, inputs: Any) -> Any:
        """Indices of the tokens, or a vector per sample, or with `invert` the tokens of indices (a NumPy array)."""
        if isinstance(inputs, Symbol):
            spec = self.compute_output_spec(inputs)
            return only_shape(f"{type(self).__name__} '{self.name}'", spec.shape, spec.dtype)
        depth = self._known_depth()
        if not self._tokens and not self.num_oov_indices:
            raise ValueError(
                f"{type(self).__name__} '{self.name}': the vocabulary is empty. Call adapt() or set_vocabulary()."
            )
        if isinstance(inputs, Ragged) and self.output_mode == "int":
            return Ragged(self.call(row) for row in inputs)
        if (rows := _ragged(inputs)) is not None:
            if self.output_mode in ("int", "one_hot"):
                raise ValueError(f"{type(self).__name__}: rows of several lengths have no {self.output_mode!r} output")
            return ops.stack([self.call(np.asarray(row, object)) for row in rows])
        values = np.asarray(inputs)
        if self.invert:
            return self._tokens_of(values)
        indices = self._indices(values)
        if self.output_mode == "int":
            return Tensor(indices)
        return Tensor(encode_indices(indices, self.output_mode, depth, self.idf_weights))

    def _tokens_of(self, indices: np.ndarray[Any, Any]) -> Any:
        vocabulary = self.get_vocabulary()
        flat = [
            vocabulary[i] if 0 <= i < len(vocabulary) else self.oov_token
            for i in indices.astype(np.int64).ravel().tolist()
        ]
        if self.vocabulary_dtype != "string":
            return Tensor(np.array(flat, np.int64).reshape(indices.shape))
        out = np.empty(indices.shape, object)
        out.ravel()[:] = flat
        return out.view(Text)

    def _known_depth(self) -> Any:
        """The length of vectors; None for indices. Raises RuntimeError while no vocabulary says it."""
        if self.output_mode == "int":
            return None
        if self.pad_to_max_tokens:
            return self.max_tokens
        if self._frozen_size is None:
            raise RuntimeError(
                f"When using `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, you must set the layer's "
                "vocabulary before calling it. Either pass a `vocabulary` argument to the layer, or call `adapt` with "
                "some sample data."
            )
        return self._frozen_size

    def compute_output_spec(self, inputs: Any) -> Any:
        """A KerasTensor of what `call` gives."""
        dtype = "string" if self.invert and self.vocabulary_dtype == "string" else "int64"
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype if self.output_mode == "int" else floatx())

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the indices, or (..., vocabulary size)."""
        shape = tuple(input_shape)
        if self.output_mode == "int":
            return shape
        depth = self.max_tokens if self.pad_to_max_tokens else self._frozen_size
        if self.output_mode == "one_hot":
            return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
        return (*shape[:-1], depth)

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
            "vocabulary_dtype": self.vocabulary_dtype,
            "idf_weights": self.input_idf_weights,
            "vocabulary": self.input_vocabulary,
            "vocabulary_size": self._frozen_size,
            "oov_method": self.oov_method,
            "salt": self.salt,
        }

    def save_own_variables(self, store: Any) -> None:
        """Writes the weights of the tokens, where there are some."""
        if self.output_mode == "tf_idf" and self.idf_weights is not None:
            store["idf_weights"] = self.idf_weights

    def load_own_variables(self, store: Any) -> None:
        """Reads the weights of the tokens."""
        if self.output_mode == "tf_idf" and "idf_weights" in store:
            object.__setattr__(self, "idf_weights", np.asarray(store["idf_weights"], floatx()))

    def save_assets(self, dir_path: str) -> None:
        """Writes the vocabulary, special tokens included, one token a line; also as JSON where lines cannot hold it."""
        if self.input_vocabulary is not None:
            return
        tokens = [str(t) for t in self.get_vocabulary()]
        path = Path(dir_path, _LINES)
        _replace(path, "\n".join(tokens))
        if _lines(path) != tokens:  # breaks within tokens, or half a pair of surrogates
            _replace(Path(dir_path, _JSON), json.dumps(tokens))

    def load_assets(self, dir_path: str) -> None:
        """Reads the vocabulary that `save_assets` wrote. Raises ValueError when none was."""
        if self.input_vocabulary is not None:
            return
        path, exact = Path(dir_path, _LINES), Path(dir_path, _JSON)
        if not path.exists():
            raise ValueError(f"{type(self).__name__} '{self.name}': the file holds no vocabulary of this layer")
        with reading(path, "a vocabulary"):
            lines = _lines(path)
            if exact.exists():
                found = json.loads(exact.read_text("utf-8"))
                if not isinstance(found, list) or not all(isinstance(line, str) for line in found):
                    raise ValueError(f"{type(self).__name__} '{self.name}': {_JSON} is no list of strings")
                if _breaks("\n".join(found).encode("utf-8", "replace").decode()) == path.read_text("utf-8"):
                    lines = found  # and not what an earlier save has left in the folder
        tokens = [self._plain(line) for line in lines]
        special = self._special()
        tokens = tokens[len(special) :] if tokens[: len(special)] == special else tokens
        self._check(tokens, tokens, special)
        weights = self.idf_weights
        if self.output_mode == "tf_idf" and (weights is None or weights.shape < (len(special) + len(tokens),)):
            raise ValueError(
                f"{type(self).__name__} '{self.name}': the file has {0 if weights is None else weights.size} weights "
                f"for {len(special) + len(tokens)} tokens"
            )
        self._take(tokens, None)


def _replace(path: Path, text: str) -> None:
    """Makes `text` what the file holds; where that fails, the file is as it was."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "replace"))


def _breaks(text: str) -> str:
    """The text as it is when it comes back from a file: any line break is one character."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(path: Path) -> list[str]:
    """The tokens in a file of one a line, of which the last may end in a line break."""
    text = path.read_text("utf-8")
    return text.removesuffix("\n").split("\n") if text else []


def _listed(values: Any) -> Any:
    if values is None or isinstance(values, str):
        return values
    if not hasattr(values, "__iter__"):
        raise TypeError(f"vocabulary: expected a list of tokens or the path of a file, got {values!r}")
    return values.tolist() if hasattr(values, "tolist") else list(values)


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
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, "string", vocabulary, idf_weights, invert, output_mode,
            sparse, pad_to_max_tokens, name=name, salt=salt, **kwargs,
        )  # fmt: skip

    def _plain(self, token: Any) -> Any:
        return text_of(token, self.encoding)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = {**super().get_config(), "encoding": self.encoding}
        del config["vocabulary_dtype"]
        return config


class IntegerLookup(IndexLookup):
    """Integers to indices of a vocabulary, or back with `invert`. Runs in Python, on the data before the model.

    The arguments are those of StringLookup; with several places for unknown integers, the remainder picks one, or a
    hash with `oov_method="farmhash"`.

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
        if max_tokens is not None and max_tokens <= 1:
            raise ValueError(
                "If `max_tokens` is set for `IntegerLookup`, it must be greater than 1. Received: "
                f"max_tokens={max_tokens}"
            )
        if num_oov_indices < 0:
            raise ValueError(
                "The value of `num_oov_indices` argument for `IntegerLookup` must >= 0. Received: "
                f"num_oov_indices={num_oov_indices}"
            )
        if vocabulary_dtype != "int64":
            raise ValueError(
                "Only `vocabulary_dtype='int64'` is supported at this time. Received: "
                f"vocabulary_dtype={vocabulary_dtype}"
            )
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary_dtype, vocabulary, idf_weights, invert,
            output_mode, sparse, pad_to_max_tokens, oov_method, name, salt, **kwargs,
        )  # fmt: skip
