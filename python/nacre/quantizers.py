"""Numbers rounded to few levels: how they are found, and what rounding does to a model that is trained with it.

int8 numbers are held as int32 here, as everywhere in nacre. There are no quantized layers.
"""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre._lazy import no_attribute
from nacre.core.registry import deserialize_keras_object, serialize_keras_object

__all__ = [
    "AbsMaxQuantizer", "Quantizer", "abs_max_quantize", "compute_float8_amax_history", "compute_float8_scale",
    "deserialize", "fake_quant_with_min_max_vars", "get", "serialize",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise no_attribute(__name__, name)


class Quantizer:
    """Base class: an object that gives numbers in few levels when it is called on a tensor."""

    def __init__(self, output_dtype: str = "int8") -> None:
        self.output_dtype = output_dtype

    def __call__(self, x: Any) -> Any:
        return x

    def get_config(self) -> dict[str, Any]:
        """The arguments. A class of your own defines it, to be saved."""
        raise NotImplementedError(f"{self} does not implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The quantizer of that configuration."""
        return cls(**config)


def abs_max_quantize(
    inputs: Any,
    axis: Any,
    value_range: tuple[int, int] = (-127, 127),
    dtype: str = "int8",
    epsilon: float = 1e-7,
    to_numpy: bool = False,
) -> tuple[Any, Any]:
    """Whole numbers in `value_range`, and the scale that `inputs` were multiplied with: the largest along `axis` is
    the end of the range.

    >>> numbers, scale = abs_max_quantize(ops.array([[1.0, -2.0, 0.5]]), axis=-1)
    >>> numbers.tolist(), float(scale[0, 0])
    ([[63, -127, 32]], 63.5)
    """
    inputs = ops.convert_to_tensor(inputs)
    low, high = value_range
    largest = ops.max(ops.abs(inputs), axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=True)
    scale = ops.cast(high / (largest + epsilon), inputs.dtype)
    return ops.cast(ops.clip(ops.round(inputs * scale), low, high), dtype), scale


class AbsMaxQuantizer(Quantizer):
    """`abs_max_quantize` along the axis that it is called with, else along its own, else along the last.

    Raises ValueError for a range that int8 does not hold.
    """

    def __init__(
        self,
        axis: Any = None,
        value_range: tuple[int, int] = (-127, 127),
        epsilon: float = 1e-7,
        output_dtype: str = "int8",
    ) -> None:
        super().__init__(output_dtype)
        self.axis = axis if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.value_range, self.epsilon = value_range, epsilon
        if output_dtype == "int8" and not -128 <= value_range[0] <= value_range[1] <= 127:
            raise ValueError(
                "Quantizer with output_dtype='int8' requires value_range to be within the interval [-128, 127]. "
                f"Received: value_range={value_range}"
            )

    def __call__(self, x: Any, axis: Any = None, to_numpy: bool = False) -> Any:
        axis = next((a for a in (axis, self.axis) if a is not None), -1)
        return abs_max_quantize(x, axis, self.value_range, self.output_dtype, self.epsilon, to_numpy)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = {"value_range": self.value_range, "epsilon": self.epsilon, "output_dtype": self.output_dtype}
        return config if self.axis is None else {**config, "axis": self.axis}


def fake_quant_with_min_max_vars(
    inputs: Any,
    min_vals: Any,
    max_vals: Any,
    num_bits: int = 8,
    narrow_range: bool = False,
    axis: int | None = None,
) -> Any:
    """`inputs` limited to a range and rounded to one of `2**num_bits` even steps in it, of which zero is one.

    The gradient goes through where a number lies in the range; else it goes to the end of the range that the number
    was limited to, so that ranges can be trained.

    Args:
        inputs: floats.
        min_vals, max_vals: the range; with `axis` one for each place along it.
        num_bits: of a step's number.
        narrow_range: leaves the lowest step out.
        axis: along which ranges differ.

    >>> fake_quant_with_min_max_vars([-1.0, 0.26, 0.9, 7.0], 0.0, 1.0, num_bits=2).numpy().round(3).tolist()
    [0.0, 0.333, 1.0, 1.0]
    """
    x = ops.convert_to_tensor(inputs)
    first, last = int(narrow_range), 2 ** int(num_bits) - 1
    shape = [1] * len(x.shape)
    if axis is not None:
        shape[axis] = -1
    ends = [ops.reshape(ops.convert_to_tensor(v, "float32"), shape) for v in (min_vals, max_vals)]

    def rounded(x: Any, low: Any, high: Any) -> Any:
        step = (high - low) / (last - first)
        zero = ops.round(ops.clip(first - low / step, first, last))  # the number of the step that is exactly 0
        low, high = (first - zero) * step, (last - zero) * step
        near = ops.clip(ops.cast(x, "float32"), low, high)
        number = ops.floor((near - low) / step - ops.floor(0.5 - low / step) + 0.5)

        def grad(*args: Any, upstream: Any = None) -> Any:
            dy = args[0] if upstream is None else upstream

            def share(mask: Any) -> Any:
                axes = [i for i, n in enumerate(shape) if n == 1]
                return ops.sum(ops.where(mask, dy, 0.0), axis=axes, keepdims=True)

            inside = ops.logical_and(x >= low, x <= high)
            return ops.where(inside, dy, 0.0), share(x <= low), share(x >= high)

        return ops.cast(number * step, x.dtype), grad

    return ops.custom_gradient(rounded)(x, *ends)


def compute_float8_scale(amax: Any, scale: Any, dtype_max: float, margin: int = 0) -> Any:
    """The scale that brings the largest number `amax` to `dtype_max / 2**margin`; the old one where there is none."""
    found = ops.convert_to_tensor(amax) * 2.0**margin / dtype_max
    return ops.where(ops.logical_and(amax > 0.0, ops.isfinite(amax)), found, scale)


def compute_float8_amax_history(x: Any, amax_history: Any) -> Any:
    """The history moved on by one, with the largest absolute number of `x` in front."""
    latest = ops.cast(ops.max(ops.abs(x)), amax_history.dtype)
    return ops.scatter_update(ops.roll(amax_history, -1), [[0]], ops.reshape(latest, (1,)))


def serialize(initializer: Any) -> Any:
    """The configuration of a quantizer."""
    return serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The quantizer of that configuration."""
    return deserialize_keras_object(config, custom_objects, package="quantizers")


def get(identifier: Any, **kwargs: Any) -> Any:
    """A quantizer by name, configuration, class or itself; None for None. Raises ValueError for anything else."""
    if identifier is None or isinstance(identifier, Quantizer):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    found = {"absmaxquantizer": AbsMaxQuantizer, "abs_max_quantizer": AbsMaxQuantizer}
    made = found.get(identifier.lower()) if isinstance(identifier, str) else identifier
    if not callable(made):
        raise ValueError(f"Could not interpret quantizer identifier: {identifier}")
    return made(**kwargs) if isinstance(made, type) else made
