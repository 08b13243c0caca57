"""Normalization of each sample by itself: layer, group, RMS and unit normalization."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core.spec import is_float
from nacre.layers.arguments import config_of, is_int, weight_arguments
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer
from nacre.ops.reduction import squared_deviations


def _axes(axis: Any) -> Any:
    if is_int(axis):
        return int(axis)
    if isinstance(axis, (list, tuple)) and all(is_int(a) for a in axis):
        return [int(a) for a in axis]
    raise TypeError(f"Expected an int or a list/tuple of ints for the argument 'axis', but received: {axis!r}")


def _sizes(input_shape: Any, axis: Any, what: str) -> tuple[int, ...]:
    """The sizes of the axes; they must exist and be known."""
    sizes = []
    for a in axis if isinstance(axis, list) else [axis]:
        if not -len(input_shape) <= a < len(input_shape):
            raise ValueError(f"{what}: axis {a} is out of bounds for input shape {tuple(input_shape)}")
        if input_shape[a] is None:
            raise ValueError(f"{what}: axis {a} of the input must be known, got shape {tuple(input_shape)}")
        sizes.append(input_shape[a])
    return tuple(sizes)


class LayerNormalization(Layer):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` over `axis` of each sample (Ba et al. 2016).

    Weights, each of the shape of the normalized axes: `gamma`, `beta`.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        rms_scaling = kwargs.pop("rms_scaling", False)
        super().__init__(**kwargs)
        self.axis = _axes(axis)
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.rms_scaling = bool(rms_scaling)
        weight_arguments(
            self,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )
        self.supports_masking = True
        self.gamma: Any = None
        self.beta: Any = None

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        shape = _sizes(input_shape, self.axis, f"LayerNormalization '{self.name}'")
        if self.scale or self.rms_scaling:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False,
            )
        if self.center and not self.rms_scaling:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )

    def call(self, inputs: Any) -> Any:
        """The normalized inputs."""
        if not is_float(inputs.dtype):
            inputs = ops.cast(inputs, self._input_dtype)
        rank = len(inputs.shape)
        axes = [a % rank for a in (self.axis if isinstance(self.axis, list) else [self.axis])]
        if axes == [rank - 1] and not self.rms_scaling:
            return ops.layer_normalization(inputs, self.gamma, self.beta, axis=-1, epsilon=self.epsilon)
        mean, variance = ops.moments(inputs, axes=axes, keepdims=True)
        shape = [inputs.shape[i] if i in axes else 1 for i in range(rank)]
        gamma, beta = (None if w is None else ops.reshape(w, shape) for w in (self.gamma, self.beta))
        if self.rms_scaling:
            return inputs * ops.rsqrt(variance + self.epsilon) * gamma
        outputs = (inputs - mean) * ops.rsqrt(variance + self.epsilon)
        if gamma is not None:
            outputs = outputs * gamma
        return outputs if beta is None else outputs + beta

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        _sizes(tuple(1 if n is None else n for n in input_shape), self.axis, f"LayerNormalization '{self.name}'")
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "axis", "epsilon", "center", "scale", "rms_scaling", "beta_initializer", "gamma_initializer",
                "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint",
            ),
        }  # fmt: skip


class RMSNormalization(Layer):
    """`scale * x / sqrt(mean(x^2) + epsilon)` over `axis` of each sample (Zhang & Sennrich 2019). Weights: `scale`."""

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = _axes(axis)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        shape = _sizes(input_shape, self.axis, f"RMSNormalization '{self.name}'")
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")

    def call(self, inputs: Any) -> Any:
        """The normalized inputs."""
        rank = len(inputs.shape)
        axes = [a % rank for a in (self.axis if isinstance(self.axis, list) else [self.axis])]
        scale = ops.reshape(self.scale, [inputs.shape[i] if i in axes else 1 for i in range(rank)])
        squares = ops.mean(ops.square(inputs), axis=axes, keepdims=True)
        return inputs * ops.rsqrt(squares + self.epsilon) * scale

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "axis", "epsilon")}


class UnitNormalization(Layer):
    """The inputs with L2 norm 1 along `axis`."""

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not (is_int(axis) or (isinstance(axis, (list, tuple)) and all(is_int(a) for a in axis))):
            raise TypeError(
                f"Invalid value for `axis` argument: expected an int or a list/tuple of ints. Received: axis={axis}"
            )
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs: Any) -> Any:
        """The normalized inputs."""
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        squares = ops.sum(ops.square(inputs), axis=axis, keepdims=True)
        return inputs * ops.rsqrt(ops.maximum(squares, 1e-12))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "axis")}


class GroupNormalization(Layer):
    """Normalization of each sample over groups of channels and all other axes (Wu & He 2018).

    Args:
        groups: number of groups, a divisor of the channels; -1: one per channel (instance normalization).
        axis: the channel axis.

    Weights, each (C,): `gamma`, `beta`.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if not is_int(groups) or (groups <= 0 and groups != -1):
            raise ValueError(
                "Received an invalid value for argument `groups`, expected a positive integer (or `-1` for instance "
                f"normalization). Received: groups={groups}"
            )
        super().__init__(**kwargs)
        self.supports_masking = True
        self.groups = groups
        self.axis = axis
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        weight_arguments(
            self,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )
        self.gamma: Any = None
        self.beta: Any = None

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        channels = input_shape[self.axis]
        if channels is None:
            raise ValueError(
                f"Axis {self.axis} of input tensor should have a defined dimension but the layer received an input "
                f"with shape {input_shape}."
            )
        if self.groups == -1:
            self.groups = channels
        if channels < self.groups:
            raise ValueError(
                f"Number of groups ({self.groups}) cannot be more than the number of channels ({channels})."
            )
        if channels % self.groups:
            raise ValueError(
                f"Number of groups ({self.groups}) must be a multiple of the number of channels ({channels})."
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})
        if self.scale:
            self.gamma = self.add_weight(
                shape=(channels,),
                name="gamma",
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                shape=(channels,),
                name="beta",
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def call(self, inputs: Any) -> Any:
        """The normalized inputs."""
        axis = self.axis % len(inputs.shape)
        shape = inputs.shape
        per_channel = tuple(n if i == axis else 1 for i, n in enumerate(shape))
        mean = self._mean_of_groups(inputs, axis)
        centred = inputs - mean
        variance = self._mean_of_groups(squared_deviations(inputs, mean), axis)
        factor = ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * ops.reshape(self.gamma, per_channel)
        if self.beta is None:
            return centred * factor
        # a copy for each sample: its gradient is a sum over the same axes as the others
        return centred * factor + ops.broadcast_to(ops.reshape(self.beta, per_channel), (*shape[:1], *per_channel[1:]))

    def _mean_of_groups(self, x: Any, axis: int) -> Any:
        """The mean of each sample and group, for each of the group's channels: (N, 1, ..., C).

        Other axes go first, so that long sums run along whole rows of channels.
        """
        shape = x.shape
        others = [i for i in range(1, len(shape)) if i != axis]
        means = ops.mean(x, axis=others, keepdims=True) if others else x
        before, after = means.shape[:axis], means.shape[axis + 1 :]
        grouped = ops.reshape(means, (*before, self.groups, shape[axis] // self.groups, *after))
        means_of_groups = ops.mean(grouped, axis=axis + 1, keepdims=True)
        return ops.reshape(ops.broadcast_to(means_of_groups, grouped.shape), means.shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "groups", "axis", "epsilon", "center", "scale", "beta_initializer", "gamma_initializer",
                "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint",
            ),
        }  # fmt: skip
