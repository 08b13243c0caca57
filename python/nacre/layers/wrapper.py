"""Layers around one other layer: Wrapper, TimeDistributed, SpectralNormalization."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import trace
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.initializers import TruncatedNormal
from nacre.layers.arguments import config_of, is_int
from nacre.layers.calling import plan_of
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer


class Wrapper(Layer):
    """Base class of layers that change what another layer does. Attribute `layer`: the layer inside."""

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Layer {layer} supplied to Wrapper isn't a supported layer type. Please ensure wrapped layer is a "
                "valid Keras layer."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer inside."""
        if not self.layer.built:
            self.layer.build(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer of that configuration, with the layer inside."""
        config = dict(config)
        inner = config.pop("layer")
        layer = deserialize_keras_object(inner, custom_objects, package="layers") if isinstance(inner, dict) else inner
        return super().from_config({"layer": layer, **config})


class TimeDistributed(Wrapper):
    """The layer inside, applied to every step: (N, T, ...) -> (N, T, ...).

    All steps are one batch, except in training where something inside keeps statistics, as batch normalization does:
    each step has its own.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Please initialize `TimeDistributed` layer with a `keras.layers.Layer` instance. Received: {layer}"
            )
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def _child(self, input_shape: Any) -> tuple[Any, ...]:
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) < 3:
            raise ValueError(
                "`TimeDistributed` Layer should be passed an `input_shape` with at least 3 dimensions, received: "
                f"{input_shape}"
            )
        return (input_shape[0], *input_shape[2:])

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer inside for one step."""
        super().build(self._child(input_shape))
        self.input_spec = InputSpec(shape=(None, None, *input_shape[2:]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, T, ...) with what the layer inside makes of a step."""
        child = self.layer.compute_output_shape(self._child(input_shape))
        return (child[0], input_shape[1], *child[1:])

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Every step through the layer inside."""
        batch, time = inputs.shape[:2]
        plan = plan_of(type(self.layer))
        if mask is not None:
            _check_mask(mask, inputs)

        def step(x: Any, mask: Any) -> Any:
            kwargs: dict[str, Any] = {}
            if mask is not None and plan.has_mask:
                kwargs["mask"] = mask
            if plan.has_training:
                kwargs["training"] = training
            return self.layer(x, **kwargs)

        def joined(x: Any) -> Any:
            return None if x is None else ops.reshape(x, (batch * time, *x.shape[2:]))

        if training and time and not trace.probing() and self._keeps_statistics():
            return ops.stack([step(inputs[:, t], None if mask is None else mask[:, t]) for t in range(time)], axis=1)
        outputs = step(joined(inputs), joined(mask))
        return ops.reshape(outputs, (batch, time, *outputs.shape[1:]))

    def _keeps_statistics(self) -> bool:
        return any(inner.trainable and inner._non_trainable_variables for inner in self.layer._flatten_layers())


def _check_mask(mask: Any, inputs: Any) -> None:
    found, wanted = tuple(mask.shape), tuple(inputs.shape)
    if len(found) < 2:
        raise ValueError(
            "The `mask` passed to the `TimeDistributed` layer must be at least 2D (e.g., `(batch_size, timesteps)`), "
            f"but it has {len(found)} dimension(s) with shape {found}."
        )
    if found[:2] != wanted[:2]:
        raise ValueError(
            f"The `mask` passed to the `TimeDistributed` layer has a shape {found} that is incompatible with the input "
            f"shape {wanted}. The first two dimensions of the mask (batch size and timesteps) must match the input's "
            f"first two dimensions. Expected mask shape prefix: ({wanted[0]}, {wanted[1]})."
        )


class SpectralNormalization(Wrapper):
    """The layer inside with its kernel divided by its largest singular value at each training step (Miyato et al.
    2018).

    Args:
        layer: one with a `kernel` or `embeddings`.
        power_iterations: steps of the power method per training step.

    Weights: `vector_u` (1, channels), which the method continues from, and those of the layer inside.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if not is_int(power_iterations) or power_iterations <= 0:
            raise ValueError(
                f"`power_iterations` should be greater than zero. Received: `power_iterations={power_iterations}`"
            )
        self.power_iterations = power_iterations

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer inside, and the vector."""
        super().build(input_shape)
        self.input_spec = InputSpec(shape=(None, *input_shape[1:]))
        for name in ("kernel", "embeddings"):
            if hasattr(self.layer, name):
                self.kernel = getattr(self.layer, name)
                break
        else:
            raise ValueError(
                f"{type(self.layer).__name__} object has no attribute 'kernel' nor 'embeddings', so "
                "SpectralNormalization "
                "cannot normalize it"
            )
        self.vector_u = self.add_weight(
            shape=(1, self.kernel.shape[-1]),
            initializer=TruncatedNormal(stddev=0.02),
            trainable=False,
            name="vector_u",
            dtype=self.kernel.dtype,
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The output of the layer inside; in training its kernel is normalized first."""
        if training:
            self._normalize()
        return ops.cast(self.layer(inputs), self._input_dtype)

    def _normalize(self) -> None:
        shape = self.kernel.shape
        w = ops.reshape(self.kernel, (-1, shape[-1]))
        u = self.vector_u.value
        for _ in range(self.power_iterations):
            v = _unit(ops.matmul(u, ops.transpose(w)))
            u = _unit(ops.matmul(v, w))
        sigma = ops.matmul(ops.matmul(v, w), ops.transpose(u))
        sigma = ops.where(sigma == 0.0, ops.ones_like(sigma), sigma)  # a kernel of zeros stays as it is
        self.vector_u.assign(ops.stop_gradient(u))
        self.kernel.assign(ops.stop_gradient(ops.reshape(w / sigma, shape)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the layer inside."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "power_iterations")}


def _unit(x: Any) -> Any:
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x)), 1e-12))
