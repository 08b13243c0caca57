"""Linear maps of the input with fixed numbers: Rescaling and Normalization."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.config import epsilon, image_data_format
from nacre.core.tensor import Tensor
from nacre.layers.arguments import is_int
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer
from nacre.utils.py_dataset import PyDataset


class Rescaling(Layer):
    """`inputs * scale + offset` as floats: `Rescaling(1 / 255)` maps images to [0, 1].

    Args:
        scale, offset: numbers, or a list with one per channel.
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The rescaled inputs."""
        dtype = self._input_dtype
        if inputs.dtype != dtype:
            inputs = ops.cast(inputs, dtype)
        outputs = inputs * _number(self.scale, dtype)
        if np.any(np.asarray(self.offset)):
            outputs = outputs + _number(self.offset, dtype)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "scale": _plain(self.scale), "offset": _plain(self.offset)}


def _number(value: Any, dtype: Any) -> Any:
    if isinstance(value, (int, float)):
        return value
    array = np.asarray(value)
    if array.ndim and image_data_format() == "channels_first":
        array = array.reshape(array.shape + (1,) * (3 - array.ndim))
    return Tensor.of(array, dtype)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, (list, tuple)) else value


def _batches_of(data: Any) -> Iterator[Any]:
    """The batches of data without labels; an array, or lists of numbers, are one batch."""
    if hasattr(data, "shape"):
        yield data
        return
    if isinstance(data, (list, tuple)) and data and not any(hasattr(b, "shape") or _is_pair(b) for b in data):
        yield np.asarray(data)
        return
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise TypeError(
            f"Unsupported data type: {type(data)}. `adapt` supports arrays, tensors, PyDatasets and iterables of "
            "batches"
        )
    for batch in (data[i] for i in range(data.num_batches or 0)) if isinstance(data, PyDataset) else data:
        batch = batch[0] if isinstance(batch, (tuple, list)) and _is_pair(batch) else batch
        if not hasattr(batch, "shape") and not isinstance(batch, (list, tuple)):
            raise TypeError(
                "adapt() expects an iterable that yields arrays or tensors with a `.shape` attribute. Got an element "
                f"of type {type(batch).__name__}."
            )
        yield batch


def _is_pair(batch: Any) -> bool:
    return isinstance(batch, (tuple, list)) and len(batch) > 0 and hasattr(batch[0], "shape")


class Normalization(Layer):
    """`(inputs - mean) / sqrt(variance)`, with mean and variance given or found by `adapt(data)`.

    Args:
        axis: axes that keep a mean and variance each (-1: one per feature); None for one in all.
        mean, variance: both or none; broadcast to the shape of the kept axes.
        invert: whether to map back: `inputs * sqrt(variance) + mean`.

    Weights, when they are not given: `mean`, `variance` and `count`, not trainable.
    """

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        axis = () if axis is None else (axis,) if is_int(axis) else axis
        self.axis = tuple(axis)
        if (mean is None) != (variance is None):
            raise ValueError(
                "When setting values directly, both `mean` and `variance` must be set. Received: "
                f"mean={mean} and variance={variance}"
            )
        self.input_mean = mean
        self.input_variance = variance
        self.invert = invert
        self.supports_masking = True
        self.mean: Any = None
        self.variance: Any = None

    def build(self, input_shape: Any) -> None:
        """Finds out the shape of the statistics."""
        rank = len(input_shape)
        if any(a < -rank or a >= rank for a in self.axis):
            raise ValueError(
                f"All `axis` values must be in the range [-ndim, ndim). Received inputs with ndim={rank}, while "
                f"axis={self.axis}"
            )
        self._keep = tuple(sorted(a % rank for a in self.axis))
        for a in self._keep:
            if input_shape[a] is None:
                raise ValueError(
                    f"All `axis` values to be kept must have a known shape. Received axis={self.axis}, "
                    f"inputs.shape={tuple(input_shape)}, with unknown axis at index {a}"
                )
        self._reduce = tuple(i for i in range(rank) if i not in self._keep)
        self._broadcast = tuple(input_shape[i] if i in self._keep else 1 for i in range(rank))
        shape = tuple(input_shape[i] for i in self._keep)
        self._shape = shape
        # Counted from behind: data of another rank are normalized as broadcasting has it.
        self.input_spec = InputSpec(axes={a - rank: input_shape[a] for a in self._keep})
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
            self.adapt_variance = self.add_weight(name="variance", shape=shape, initializer="ones", trainable=False)
            self.count = self.add_weight(name="count", shape=(), dtype="int", initializer="zeros", trainable=False)
            self._set_statistics(np.zeros(shape), np.ones(shape))  # a build inside a trace has no values to read
        else:
            self.finalize_state()

    def adapt(self, data: Any) -> None:
        """Takes mean and variance from data: an array, or an iterable of batches (a list of arrays, a generator, a
        PyDataset), where a batch may be a tuple whose first part counts. Earlier data are forgotten."""
        if self.input_mean is not None:
            raise ValueError("Cannot `adapt()` a Normalization layer that is initialized with fixed mean and variance")
        total: Any = 0.0
        squares: Any = 0.0
        count = 0
        for batch in _batches_of(data):
            x = np.asarray(batch, np.float64)
            if not self.built:
                self.build(x.shape)
            if x.ndim != len(self._broadcast) or any(x.shape[a] != self._broadcast[a] for a in self._keep):
                raise ValueError(
                    f"Normalization '{self.name}': adapt() got data with an incompatible shape, {x.shape}: it does not "
                    f"fit the shape that the layer was built for: {self._build_shapes_dict}"
                )
            n = math.prod(x.shape[i] for i in self._reduce)
            if n == 0:
                continue
            # Shifted by the batch mean, then joined (Chan et al. 1983): stable where mean^2 is much larger than the
            # variance.
            mean = x.mean(self._reduce)
            spread = ((x - x.mean(self._reduce, keepdims=True)) ** 2).sum(self._reduce)
            delta = mean - total
            squares = squares + spread + delta**2 * (count * n / (count + n))
            total = total + delta * (n / (count + n))
            count += n
        if count == 0:
            raise ValueError(
                f"Normalization '{self.name}': adapt() received an empty iterable (no batches). Expected at least one "
                "batch."
            )
        self.adapt_mean.assign(total)
        self.adapt_variance.assign(squares / count)
        self.count.assign(count if count < 2**31 else 2**31 - 1)
        self.finalize_state()

    def finalize_state(self) -> None:
        """Makes the statistics ready for broadcasting."""
        if self.input_mean is not None:
            mean, variance = np.asarray(self.input_mean, np.float64), np.asarray(self.input_variance, np.float64)
            mean, variance = (np.broadcast_to(v, self._shape) for v in (mean, variance))
        elif self.built or hasattr(self, "adapt_mean"):
            mean, variance = self.adapt_mean.numpy(), self.adapt_variance.numpy()
        else:
            return
        self._set_statistics(mean, variance)

    def _set_statistics(self, mean: Any, variance: Any) -> None:
        dtype = self._input_dtype
        object.__setattr__(self, "mean", Tensor.of(mean.reshape(self._broadcast), dtype))
        object.__setattr__(self, "variance", Tensor.of(variance.reshape(self._broadcast), dtype))

    def call(self, inputs: Any) -> Any:
        """The normalized inputs."""
        dtype = self._input_dtype
        if inputs.dtype != dtype:
            inputs = ops.cast(inputs, dtype)
        deviation = Tensor.of(np.maximum(np.sqrt(np.asarray(self.variance)), epsilon()), dtype)
        return inputs * deviation + self.mean if self.invert else (inputs - self.mean) / deviation

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def load_own_variables(self, store: Any) -> None:
        """Sets the statistics from `store`."""
        super().load_own_variables(store)
        self.finalize_state()

    def set_weights(self, weights: Any) -> None:
        """Sets the statistics."""
        super().set_weights(weights)
        self.finalize_state()

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": None if self.input_mean is None else np.asarray(self.input_mean).tolist(),
            "variance": None if self.input_variance is None else np.asarray(self.input_variance).tolist(),
        }
