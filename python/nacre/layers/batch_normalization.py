"""Batch normalization."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core.spec import is_float
from nacre.layers.arguments import config_of, weight_arguments
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer
from nacre.ops.batch_norm import batch_normalized


class _SquareRoot:
    """The square root of what an initializer gives."""

    def __init__(self, initializer: Any) -> None:
        self.initializer = initializer

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return ops.sqrt(self.initializer(shape, dtype=dtype))


def _clipping(given: Any) -> dict[str, Any]:
    """The limits of batch renormalization, checked."""
    limits: dict[str, Any] = dict(given or {})
    known = ["rmax", "rmin", "dmax"]
    if set(limits) - set(known):
        raise ValueError(f"Received invalid keys for `renorm_clipping` argument: {limits}. Supported values: {known}.")
    rmax, rmin, dmax = (limits.get(name) for name in known)
    if rmax is not None and rmin is not None and rmax < rmin:
        raise ValueError(
            f"rmax should be greater than rmin in the `renorm_clipping` argument. Received: rmax={rmax}, rmin={rmin}."
        )
    if dmax is not None and dmax < 0:
        raise ValueError(f"dmax should be non-negative in the `renorm_clipping` argument. Received: dmax={dmax}.")
    return limits


class BatchNormalization(Layer):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` per channel (Ioffe & Szegedy 2015).

    In training, mean and (biased) variance are those of the batch, and moving averages of them are updated; otherwise,
    and when the
    layer is not trainable, the moving averages are used.

    Args:
        axis: the channel axis.
        momentum: of the moving averages: `moving = moving * momentum + batch * (1 - momentum)`.
        epsilon: added to the variance.
        center, scale: whether there is a beta, and a gamma.
        renorm: batch renormalization (Ioffe 2017): training, too, normalizes by moving averages, those of
            `renorm_momentum`, with a correction by the batch's own statistics that has no gradient.
        renorm_clipping: limits `rmin`, `rmax`, `dmax` of that correction.

    Weights, each (C,): `gamma`, `beta`, `moving_mean`, `moving_variance`.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Any = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = int(axis)
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        weight_arguments(
            self,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )
        self.renorm, self.renorm_momentum = renorm, renorm_momentum
        self.renorm_clipping = _clipping(renorm_clipping) if renorm else renorm_clipping
        self.synchronized = synchronized  # one process: there is nobody to agree with
        self.supports_masking = True
        self.gamma: Any = None
        self.beta: Any = None
        self.moving_mean: Any = None
        self.moving_variance: Any = None

    def _check_axis(self, input_shape: Any) -> int:
        rank = len(input_shape)
        if not -rank <= self.axis < rank:
            raise ValueError(
                f"Axis {self.axis} is out of bounds for input shape {tuple(input_shape)} with {rank} dimensions "
                f"(BatchNormalization '{self.name}')."
            )
        return self.axis % rank

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        axis = self._check_axis(input_shape)
        size = input_shape[axis]
        if size is None:
            raise ValueError(
                f"BatchNormalization '{self.name}': axis {self.axis} of the input must be known, got shape "
                f"{input_shape}"
            )
        if self.scale:
            self.gamma = self.add_weight(
                shape=(size,),
                name="gamma",
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                shape=(size,),
                name="beta",
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        self.moving_mean = self.add_weight(
            shape=(size,), name="moving_mean", initializer=self.moving_mean_initializer, trainable=False, autocast=False
        )
        self.moving_variance = self.add_weight(
            shape=(size,),
            name="moving_variance",
            initializer=self.moving_variance_initializer,
            trainable=False,
            autocast=False,
        )
        if self.renorm:
            deviation = _SquareRoot(self.moving_variance_initializer)
            for name, initializer in (
                ("moving_stddev", deviation),
                ("renorm_mean", self.moving_mean_initializer),
                ("renorm_stddev", deviation),
            ):
                weight = self.add_weight(
                    shape=(size,), name=name, initializer=initializer, trainable=False, autocast=False
                )
                setattr(self, name, weight)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: size})
        self._reduction_axes = [i for i in range(len(input_shape)) if i != axis]

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """The normalized inputs."""
        if not is_float(inputs.dtype):
            inputs = ops.cast(inputs, self._input_dtype)
        if mask is not None and len(mask.shape) > len(inputs.shape):
            raise ValueError(
                f"BatchNormalization '{self.name}': the mask has shape {tuple(mask.shape)}, inputs "
                f"{tuple(inputs.shape)}"
            )
        gamma, beta = self.gamma, self.beta
        if not (training and self.trainable):
            return self._normalized(inputs, self.moving_mean, self.moving_variance, gamma, beta)
        if mask is None and self._takes_kernel(inputs):
            outputs, mean, variance = batch_normalized(inputs, gamma, beta, self.epsilon)
        else:
            mean, variance = self._moments(inputs, mask)
            if self.renorm:
                gamma, beta = self._renormalized(mean, variance)
            outputs = self._normalized(inputs, mean, variance, gamma, beta)
        keep = self.momentum
        self.moving_mean.assign(self.moving_mean * keep + mean * (1.0 - keep))
        if self.renorm:
            self.moving_variance.assign(ops.square(self.moving_stddev.value) - self.epsilon)
        else:
            self.moving_variance.assign(self.moving_variance * keep + variance * (1.0 - keep))
        return outputs

    def _normalized(self, inputs: Any, mean: Any, variance: Any, gamma: Any, beta: Any) -> Any:
        return ops.batch_normalization(
            inputs, mean, variance, axis=self.axis, offset=beta, scale=gamma, epsilon=self.epsilon
        )

    def _takes_kernel(self, inputs: Any) -> bool:
        rank = len(inputs.shape)
        if self.renorm or self.axis not in (-1, rank - 1) or rank < 2 or not inputs.size:
            return False
        return all(p is None or p.dtype == "float32" for p in (inputs, self.gamma, self.beta))

    def _renormalized(self, mean: Any, variance: Any) -> tuple[Any, Any]:
        """Gamma and beta with the correction of batch renormalization in them; the averages are moved on.

        `(x * r + d) * gamma + beta`, where r and d lead from the batch's statistics to the moving ones.
        """
        deviation = ops.sqrt(variance + self.epsilon)
        reference = ops.maximum(self.renorm_stddev.value, self.epsilon**0.5)  # no division by zero early on
        r = deviation / reference
        d = (mean - self.renorm_mean) / reference
        limits = self.renorm_clipping
        if limits.get("rmin") is not None:
            r = ops.maximum(r, limits["rmin"])
        if limits.get("rmax") is not None:
            r = ops.minimum(r, limits["rmax"])
        if limits.get("dmax") is not None:
            d = ops.clip(d, -limits["dmax"], limits["dmax"])
        r, d = ops.stop_gradient(r), ops.stop_gradient(d)
        for average, now, keep in (
            (self.renorm_mean, mean, self.renorm_momentum),
            (self.renorm_stddev, deviation, self.renorm_momentum),
            (self.moving_stddev, deviation, self.momentum),
        ):
            average.assign(average * keep + now * (1.0 - keep))
        gamma, shift = (r, d) if self.gamma is None else (r * self.gamma, d * self.gamma)
        return gamma, shift if self.beta is None else shift + self.beta

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        """Mean and biased variance per channel, over the entries that are not masked."""
        axes = self._reduction_axes
        if mask is None:
            mean, variance = ops.moments(inputs, axes=axes)
            return mean, variance
        weights = ops.cast(mask, inputs.dtype)
        for _ in range(len(inputs.shape) - len(mask.shape)):
            weights = ops.expand_dims(weights, -1)
        weights = ops.broadcast_to(weights, inputs.shape)
        n = ops.sum(weights, axis=axes, keepdims=True) + 1e-7
        mean = ops.sum(inputs * weights, axis=axes, keepdims=True) / n
        variance = ops.sum(weights * ops.square(inputs - mean), axis=axes, keepdims=True) / n
        return ops.squeeze(mean, axes), ops.squeeze(variance, axes)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        self._check_axis(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            **config_of(
                self, "axis", "momentum", "epsilon", "center", "scale", "beta_initializer", "gamma_initializer",
                "moving_mean_initializer", "moving_variance_initializer", "beta_regularizer", "gamma_regularizer",
                "beta_constraint", "gamma_constraint", "synchronized", "renorm", "renorm_clipping", "renorm_momentum",
            ),
        }  # fmt: skip
