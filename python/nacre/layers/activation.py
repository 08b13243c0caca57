"""Activations as layers."""

from __future__ import annotations

import warnings
from typing import Any

from nacre import activations, ops
from nacre.layers.arguments import config_of, weight_arguments
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer


class _Elementwise(Layer):
    """Base class: output and input have the same shape, there are no weights."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape


class Activation(_Elementwise):
    """`activation(inputs)`, by name or as a function; the same shape as the input."""

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs: Any) -> Any:
        """The activation of the inputs."""
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input; `glu` halves the last axis."""
        if self.activation is activations.glu and input_shape[-1] is not None:
            return (*input_shape[:-1], input_shape[-1] // 2)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "activation")}


class ReLU(_Elementwise):
    """`max(x, 0)`, with a slope below `threshold` and a ceiling on request; the same shape as the input."""

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        if "alpha" in kwargs:
            raise ValueError("Argument `alpha` is deprecated. Use `negative_slope` instead.")
        super().__init__(**kwargs)
        for name, value, may_be_none in (
            ("max_value", max_value, True), ("negative_slope", negative_slope, False), ("threshold", threshold, False),
        ):  # fmt: skip
            if (value is None and not may_be_none) or (value is not None and value < 0.0):
                none = "" if may_be_none else "None or "
                raise ValueError(f"{name} of a ReLU layer cannot be {none}a negative value. Received: {value}")
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def call(self, inputs: Any) -> Any:
        """The activation of the inputs."""
        return activations.relu(
            inputs, negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "max_value", "negative_slope", "threshold")}


class LeakyReLU(_Elementwise):
    """`x` for positive x, `negative_slope * x` below; the same shape as the input."""

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
            warnings.warn("Argument `alpha` is deprecated. Use `negative_slope` instead.", UserWarning, stacklevel=2)
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(
                "The negative_slope value of a Leaky ReLU layer cannot be None or negative value. Expected a float. "
                f"Received: negative_slope={negative_slope}"
            )
        self.negative_slope = negative_slope

    def call(self, inputs: Any) -> Any:
        """The activation of the inputs."""
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "negative_slope")}


class ThresholdedReLU(_Elementwise):
    """`x` where `x > theta`, else 0: a layer of tf.keras."""

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if theta is None or theta < 0:
            raise ValueError(f"The theta value of a Thresholded ReLU layer should be >=0. Received: {theta}")
        self.theta = float(theta)

    def call(self, inputs: Any) -> Any:
        """The activation of the inputs."""
        return ops.where(inputs > self.theta, inputs, ops.zeros_like(inputs))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "theta")}


class ELU(_Elementwise):
    """`x` for positive x, `alpha * (exp(x) - 1)` below; the same shape as the input."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs: Any) -> Any:
        """The activation of the inputs."""
        return activations.elu(inputs, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "alpha")}


class PReLU(Layer):
    """`x` for positive x, `alpha * x` below, where alpha is learned; the same shape as the input.

    Args:
        shared_axes: axes (from 1) along which alpha is the same.

    Weights: `alpha`, the input shape without the batch axis, 1 along shared axes.
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        weight_arguments(
            self,
            alpha_initializer=alpha_initializer,
            alpha_regularizer=alpha_regularizer,
            alpha_constraint=alpha_constraint,
        )
        self.shared_axes = (
            None if shared_axes is None else list(shared_axes) if hasattr(shared_axes, "__iter__") else [shared_axes]
        )

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            shape=shape,
            name="alpha",
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        fixed = {i: n for i, n in enumerate(input_shape) if i and i not in (self.shared_axes or ())}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=fixed)

    def call(self, inputs: Any) -> Any:
        """The activation of the inputs."""
        return ops.subtract(ops.relu(inputs), ops.multiply(self.alpha, ops.relu(ops.negative(inputs))))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(self, "alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes"),
        }


def _keep(mask: Any, shape: Any) -> Any:
    """The mask as bools. Raises ValueError unless it can be broadcast to the inputs."""
    theirs = tuple(mask.shape)
    if len(theirs) > len(shape):
        raise ValueError(
            "The `mask` must be broadcastable to `inputs` and must not have more dimensions. Received: "
            f"inputs.shape={tuple(shape)}, mask.shape={theirs}"
        )
    if any(m not in (1, n) for m, n in zip(theirs[::-1], tuple(shape)[::-1])):
        raise ValueError(
            "The `mask` must be broadcastable to `inputs`: each of its dimensions must be 1 or that of `inputs`. "
            f"Received: inputs.shape={tuple(shape)}, mask.shape={theirs}"
        )
    return mask if mask.dtype == "bool" else ops.greater(mask, 0.5)


class Softmax(_Elementwise):
    """`exp(x) / sum(exp(x))` along `axis` (one or several); entries where `mask` is False get no weight."""

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(axis, (tuple, list)) and not axis:
            raise ValueError(
                "Softmax: expected `axis` to be an int or several, got none. Leave it out for the last axis?"
            )
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The activation of the inputs."""
        if mask is not None:
            mask = _keep(mask, inputs.shape)
            lowest = -3.0e38 if inputs.dtype == "float32" else -1.0e308
            inputs = ops.where(mask, inputs, ops.full_like(inputs, lowest / 2))
        if isinstance(self.axis, (tuple, list)):
            if len(self.axis) > 1:
                shifted = inputs - ops.logsumexp(inputs, axis=tuple(self.axis), keepdims=True)
                outputs = ops.exp(shifted)
            else:
                outputs = activations.softmax(inputs, axis=self.axis[0])
        else:
            outputs = activations.softmax(inputs, axis=self.axis)
        return outputs if mask is None else outputs * ops.cast(mask, outputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "axis")}
