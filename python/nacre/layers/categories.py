"""Numbers to categories and categories to vectors: CategoryEncoding, Discretization, Hashing."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.config import floatx
from nacre.core.spec import is_float
from nacre.core.tensor import KerasTensor, Symbol, Tensor
from nacre.layers.arguments import config_of, is_int
from nacre.layers.hashes import buckets, crossed, fingerprints
from nacre.layers.layer import Layer
from nacre.layers.tokens import one_of, only_shape, text_of, two_integers
from nacre.ops.indexing import as_index
from nacre.ops.sorting import counts_in_rows


def encoded(indices: Any, mode: str, depth: int, weights: Any, dtype: Any) -> Any:
    """Vectors (..., depth) of indices, as one tensor operation each."""
    if mode == "one_hot":
        if len(indices.shape) and indices.shape[-1] == 1:
            indices = ops.squeeze(indices, -1)
        return ops.one_hot(indices, depth, dtype=dtype)
    if not indices.shape:
        indices = ops.expand_dims(indices, 0)
    if mode == "multi_hot" and 0 not in indices.shape:
        return ops.multi_hot(indices, depth, dtype=dtype)
    if mode == "count" and len(indices.shape) == 2 and indices.shape[0] * depth < 1 << 31:
        ones = ops.ones(indices.shape, dtype) if weights is None else ops.cast(weights, dtype)
        if tuple(ones.shape) == tuple(indices.shape) and dtype == "float32":
            return counts_in_rows(as_index(indices, "encoding"), ops.convert_to_tensor(ones), depth)
    hot = ops.one_hot(indices, depth, dtype=dtype)
    samples = 1 if len(indices.shape) > 1 else 0
    if mode == "multi_hot":
        return ops.max(hot, axis=samples)
    if weights is not None:
        hot = hot * ops.expand_dims(ops.cast(weights, dtype), -1)
    return ops.sum(hot, axis=samples)


class CategoryEncoding(Layer):
    """Indices in [0, num_tokens) as vectors: (N, K) -> (N, num_tokens).

    Args:
        num_tokens: length of the vectors.
        output_mode: `"one_hot"` (one vector per index), `"multi_hot"` (ones at all indices of a sample) or `"count"`.
    """

    def __init__(
        self, num_tokens: int | None = None, output_mode: str = "multi_hot", sparse: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if output_mode == "binary":
            output_mode = "multi_hot"
        if output_mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError(f"Unknown arg for output_mode: {output_mode}")
        if num_tokens is None:
            raise ValueError(
                "num_tokens must be set to use this layer. If the number of tokens is not known beforehand, use the "
                "IntegerLookup layer instead."
            )
        if not is_int(num_tokens) or num_tokens < 1:
            raise ValueError(f"`num_tokens` must be >= 1. Received: num_tokens={num_tokens}.")
        if sparse:
            raise ValueError("CategoryEncoding: sparse tensors are not supported; leave `sparse=False`.")
        self.num_tokens = int(num_tokens)
        self.output_mode = output_mode

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        """Vectors of the indices; `count_weights` (the shape of the inputs) counts them with weights."""
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(
                "`count_weights` is not used when `output_mode` is not `'count'`. "
                f"Received `count_weights={count_weights}`."
            )
        if isinstance(inputs, Tensor) and inputs.size:
            values = np.asarray(inputs)
            if values.min() < 0 or values.max() >= self.num_tokens:
                raise ValueError(
                    f"Input values must be in the range 0 <= values < num_tokens with num_tokens={self.num_tokens}, "
                    f"got {values.min()}..{values.max()}"
                )
        if is_float(inputs.dtype):
            inputs = ops.cast(inputs, "int32")
        return encoded(inputs, self.output_mode, self.num_tokens, count_weights, self._input_dtype)

    def compute_output_shape(self, input_shape: Any, count_weights_shape: Any = None) -> Any:
        """(..., num_tokens)."""
        return _encoded_shape(input_shape, self.output_mode, self.num_tokens)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "num_tokens", "output_mode")}


def _encoded_shape(input_shape: Any, mode: str, depth: int) -> tuple[Any, ...]:
    shape = tuple(input_shape)
    if mode == "one_hot":
        return (*(shape[:-1] if shape and shape[-1] == 1 else shape), depth)
    return (*shape[:1], *shape[2:], depth) if len(shape) > 1 else (depth,)


class Discretization(Layer):
    """Numbers to the index of the interval that they are in: boundaries [0, 1] make 3 intervals.

    Args:
        bin_boundaries: increasing numbers; an interval contains its lower boundary.
        num_bins: number of intervals, whose boundaries `adapt` takes from the quantiles of data.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.

    >>> Discretization(bin_boundaries=[0.0, 1.0])([[-0.2, 0.0, 3.0]]).tolist()
    [[0, 1, 2]]
    """

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if sparse:
            raise ValueError("Discretization: sparse tensors are not supported; leave `sparse=False`.")
        if output_mode not in ("int", "one_hot", "multi_hot", "count"):
            raise ValueError(
                f"Discretization: expected `output_mode` 'int', 'one_hot', 'multi_hot' or 'count', got {output_mode!r}"
            )
        if num_bins is not None and (not is_int(num_bins) or num_bins < 1):
            raise ValueError(f"`num_bins` must be greater than or equal to 1. Received: `num_bins={num_bins}`")
        if (num_bins is None) == (bin_boundaries is None):
            if num_bins is None:
                raise ValueError("You need to set either `num_bins` or `bin_boundaries`.")
            raise ValueError(
                f"Both `num_bins` and `bin_boundaries` should not be set. Received: `num_bins={num_bins}` and "
                f"`bin_boundaries={bin_boundaries}`"
            )
        self.input_bin_boundaries = None if bin_boundaries is None else [float(b) for b in bin_boundaries]
        self.bin_boundaries = list(self.input_bin_boundaries or [])
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.output_mode = output_mode
        self.sparse = False
        self.autocast = False
        self._build_at_init()

    @property
    def output_dtype(self) -> str:
        """That of the outputs: int32 for indices."""
        return "int32" if self.output_mode == "int" else str(self._input_dtype)

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Takes the boundaries from the quantiles of data: an array, or an iterable of batches."""
        if self.input_bin_boundaries is not None:
            raise ValueError(
                "Cannot adapt a Discretization layer that has been initialized with `bin_boundaries`, use `num_bins` "
                "instead."
            )
        batches = [data] if hasattr(data, "shape") or isinstance(data, (list, tuple)) else data
        sketch = np.zeros((2, 0), np.float32)
        for batch in itertools.islice(batches, steps):
            sketch = _joined_sketch(sketch, np.asarray(batch, np.float32).ravel(), self.epsilon)
        if not sketch.size:
            raise ValueError(f"Discretization '{self.name}': adapt() got no data")
        bins = self.num_bins or 1
        few = sketch.shape[1] < bins
        self.bin_boundaries = (sketch[0, :-1] if few else _at_shares(sketch, np.arange(1, bins) / bins)[0]).tolist()

    def reset_state(self) -> None:
        """Forgets adapted boundaries."""
        if self.input_bin_boundaries is None:
            self.bin_boundaries = []

    def call(self, inputs: Any) -> Any:
        """Interval indices, or vectors of them."""
        x = inputs if is_float(inputs.dtype) else ops.cast(inputs, "float32")
        if not self.bin_boundaries:
            if self.num_bins != 1 and self.input_bin_boundaries is None:
                raise ValueError(
                    "You need to either pass the `bin_boundaries` argument at construction time or call "
                    "`adapt(dataset)` before you can start using the `Discretization` layer."
                )
            indices = ops.zeros(x.shape, dtype="int32")
        else:
            boundaries = Tensor.of(np.asarray(self.bin_boundaries), x.dtype)
            above = ops.cast(ops.expand_dims(x, -1) < boundaries, "int32")  # of NaN none are
            indices = len(self.bin_boundaries) - ops.sum(above, axis=-1)
        if self.output_mode == "int":
            return indices
        return encoded(indices, self.output_mode, len(self.bin_boundaries) + 1, None, self._input_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A KerasTensor of what `call` gives."""
        return KerasTensor(self.compute_output_shape(inputs.shape), self.output_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input, or (..., number of intervals)."""
        if self.output_mode == "int":
            return tuple(input_shape)
        return _encoded_shape(input_shape, self.output_mode, self.num_bins or len(self.bin_boundaries) + 1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "bin_boundaries": self.bin_boundaries or self.input_bin_boundaries,
            **config_of(self, "num_bins", "epsilon", "output_mode", "sparse", "name", "dtype"),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer of that configuration, with its boundaries."""
        config = dict(config)
        boundaries = config.get("bin_boundaries")
        if boundaries is not None and config.get("num_bins") is not None:
            config["bin_boundaries"] = None
            layer = super().from_config(config)
            layer.bin_boundaries = list(boundaries)
            return layer
        return super().from_config(config)


# A sketch of data (2, K): increasing numbers, and how many numbers of the data each stands for.


def _at_shares(sketch: Any, shares: Any) -> tuple[Any, Any]:
    """The numbers below which these shares of the data lie, and how many numbers lie there; linear in between."""
    below = np.cumsum(sketch[1])
    return np.interp(shares, below / below[-1], sketch[0]), np.interp(shares, below / below[-1], below)


def _joined_sketch(sketch: Any, values: Any, epsilon: float) -> Any:
    """A sketch of more data: of each `epsilon` of the numbers one, once there are so many."""
    if not values.size:
        return sketch
    pitch = values.size * epsilon
    picked = np.sort(values)[max(int(pitch) - 1, 0) :: int(max(pitch, 1))]
    both = np.concatenate([sketch, np.stack([picked, np.full_like(picked, max(pitch, 1))])], axis=1)
    both = both[:, np.argsort(both[0])]
    if both.shape[1] * epsilon < 1:
        return both
    numbers, below = _at_shares(both, epsilon + np.arange(0.0, 1.0, epsilon))
    return np.stack([numbers, np.diff(below, prepend=0.0)]).astype(np.float32)


class Hashing(Layer):
    """Strings or integers to `num_bins` places by a hash. Runs in Python, on the data before the model.

    Args:
        num_bins: number of places, that of `mask_value` included.
        mask_value: what goes to place 0, which nothing else goes to then.
        salt: two integers, or one that stands for both, for SipHash64 with this key; FarmHash64 without.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.

    >>> Hashing(num_bins=3)(["A", "B", "C"]).tolist()
    [1, 0, 1]
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = "int64" if output_mode == "int" else floatx()
        super().__init__(**kwargs)
        if not is_int(num_bins) or num_bins <= 0:
            raise ValueError(
                f"The `num_bins` for `Hashing` cannot be `None` or non-positive values. Received: num_bins={num_bins}."
            )
        if output_mode == "int" and self.dtype_policy.name not in ("int32", "int64"):
            raise ValueError(
                "When `output_mode=\"int\"`, `dtype` should be an integer type, 'int32' or 'in64'. Received: "
                f"dtype={kwargs['dtype']}"
            )
        modes = ("int", "one_hot", "multi_hot", "count")
        if output_mode not in modes:
            raise ValueError(
                f"Invalid value for argument `output_mode`. Expected one of {modes}. Received: "
                f"output_mode={output_mode}"
            )
        if sparse and output_mode == "int":
            raise ValueError(
                '`sparse` may only be true if `output_mode` is `"one_hot"`, `"multi_hot"`, or `"count"`. '
                f"Received: sparse={sparse} and output_mode={output_mode}"
            )
        if sparse:
            raise ValueError("Hashing: sparse tensors are not supported; leave `sparse=False`.")
        self.num_bins = int(num_bins)
        self.mask_value = mask_value
        self.salt = two_integers("Hashing", salt)
        self.output_mode = output_mode
        self.sparse = False
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    def call(self, inputs: Any) -> Any:
        """Places in [0, num_bins), or vectors of them."""
        if isinstance(inputs, Symbol):
            spec = self.compute_output_spec(inputs)
            return only_shape(f"{type(self).__name__} '{self.name}'", spec.shape, spec.dtype)
        values = np.asarray(inputs)
        if values.dtype.kind == "f":
            values = values.astype(np.int64)
        masked = int(self.mask_value is not None and self.num_bins > 1)
        places = buckets(values, self.num_bins - masked, self.salt) + masked
        if masked:
            gone = _text(self.mask_value)
            places[np.array([_text(v) == gone for v in values.ravel().tolist()], bool).reshape(values.shape)] = 0
        indices = Tensor(places.astype(self.compute_dtype if self.output_mode == "int" else "int64"))
        if self.output_mode == "int":
            return indices
        return encoded(indices, self.output_mode, self.num_bins, None, self._input_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A KerasTensor of what `call` gives."""
        return KerasTensor(
            self.compute_output_shape(inputs.shape),
            self.compute_dtype if self.output_mode == "int" else self._input_dtype,
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input, or (..., num_bins)."""
        return (
            tuple(input_shape)
            if self.output_mode == "int"
            else _encoded_shape(input_shape, self.output_mode, self.num_bins)
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "num_bins", "salt", "mask_value", "output_mode", "sparse")}


class HashedCrossing(Layer):
    """Combinations of two or more features, each (N,) or (N, 1), to `num_bins` places by a hash. Runs in Python.

    Args:
        num_bins: number of places.
        output_mode: `"int"`, or `"one_hot"` for vectors (N, num_bins).
    """

    def __init__(
        self,
        num_bins: int,
        output_mode: str = "int",
        sparse: bool = False,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if output_mode == "int" and dtype is None:
            dtype = "int64"
        super().__init__(name=name, dtype=dtype, **kwargs)
        if not is_int(num_bins) or num_bins <= 0:
            raise ValueError(f"HashedCrossing: expected a positive `num_bins`, got {num_bins!r}")
        if sparse:
            raise ValueError("HashedCrossing: sparse tensors are not supported; leave `sparse=False`.")
        one_of("HashedCrossing", "output_mode", output_mode, ("int", "one_hot"))
        self.num_bins = int(num_bins)
        self.output_mode = output_mode
        self.sparse = False
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    def call(self, inputs: Any) -> Any:
        """Places in [0, num_bins), or vectors of them."""
        _check_crossed(inputs, [np.shape(x) if not hasattr(x, "shape") else x.shape for x in _listed(inputs)])
        if any(isinstance(x, Symbol) for x in inputs):
            spec = self.compute_output_spec(inputs)
            return only_shape(f"{type(self).__name__} '{self.name}'", spec.shape, spec.dtype)
        features = [np.asarray(x) for x in inputs]
        if any(f.dtype.kind == "f" for f in features):
            raise ValueError(
                f"All `HashedCrossing` inputs should have an integer or string dtype. Received: inputs={inputs}"
            )
        places = crossed([_crossing(f.ravel()) for f in features]) % np.uint64(self.num_bins)
        dtype = self.compute_dtype if self.output_mode == "int" else "int64"
        indices = Tensor(places.astype(dtype).reshape(features[0].shape))
        if self.output_mode == "int":
            return indices
        return encoded(indices, "one_hot", self.num_bins, None, self._input_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A KerasTensor of what `call` gives."""
        shape = self.compute_output_shape([x.shape for x in inputs])
        return KerasTensor(shape, self.compute_dtype if self.output_mode == "int" else self._input_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of one feature, or (N, num_bins)."""
        _check_crossed(input_shape, input_shape)
        first = tuple(input_shape[0])
        return first if self.output_mode == "int" else _encoded_shape(first, "one_hot", self.num_bins)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**config_of(self, "num_bins", "output_mode", "sparse", "name"), "dtype": self.dtype}


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else text_of(value).encode()


def _crossing(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Integers as they are, modulo 2^64, and fingerprints of texts."""
    if values.dtype.kind in "biu":
        return values.astype(np.uint64)
    numbers = fingerprints(values)
    for i, value in enumerate(values.tolist() if values.dtype.kind == "O" else ()):
        if isinstance(value, int):
            numbers[i] = value & (1 << 64) - 1
    return numbers


def _listed(inputs: Any) -> list[Any]:
    return list(inputs) if isinstance(inputs, (list, tuple)) else []


def _check_crossed(inputs: Any, shapes: Any) -> None:
    if not isinstance(inputs, (list, tuple)):
        raise ValueError(f"`HashedCrossing` should be called on a list or tuple of inputs. Received: inputs={inputs}")
    if len(inputs) < 2:
        raise ValueError(f"`HashedCrossing` should be called on at least two inputs. Received: inputs={inputs}")
    first = tuple(shapes[0])
    if len(first) > 2 or (len(first) == 2 and first[1] != 1):
        raise ValueError(
            "All `HashedCrossing` inputs should have shape `()`, `(batch_size)` or `(batch_size, 1)`. Received: "
            f"inputs={inputs}"
        )
    if any(tuple(s) != first for s in shapes):
        raise ValueError(f"All `HashedCrossing` inputs should have equal shape. Received: inputs={inputs}")
