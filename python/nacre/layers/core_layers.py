"""Small layers around tensors as they are: Identity, Lambda, Masking, ActivityRegularization."""

from __future__ import annotations

import inspect
import types
from typing import Any

from nacre import ops, regularizers
from nacre.core import tree
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.tree import is_shape
from nacre.layers.arguments import config_of
from nacre.layers.layer import Layer


class Identity(Layer):
    """Its input."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs: Any) -> Any:
        """The input."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape


class Masking(Layer):
    """The input (N, T, ...) with steps zeroed and masked whose entries all equal `mask_value`."""

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True
        self._build_at_init()

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """(N, T): False where every entry of the step is `mask_value`."""
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        """The inputs with masked steps zeroed; the mask travels with them."""
        kept = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        outputs = inputs * ops.cast(kept, inputs.dtype)
        outputs._keras_mask = ops.squeeze(kept, axis=-1)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "mask_value")}


class ActivityRegularization(Layer):
    """Its input, whose L1 and L2 penalties join the loss."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.supports_masking = True
        self.l1 = l1
        self.l2 = l2
        self._build_at_init()

    def call(self, inputs: Any) -> Any:
        """The input."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return {**config, **config_of(self, "l1", "l2")}


class Lambda(Layer):
    """`function(inputs)`, any function of tensors.

    Args:
        function: takes the inputs, and `mask` or `training` if it has such parameters.
        output_shape: the shape without the batch axis, or a function of the input shape; found by tracing when not
            given.
        mask: the output's mask, or a function of (inputs, mask) that gives it.
        arguments: dict of further keyword arguments of the function.

    A named function that was registered with `keras.saving.register_keras_serializable` can be saved; a lambda cannot,
    since a
    file holds data, never code.
    """

    def __init__(
        self,
        function: Any,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"Lambda: expected a function, got {function!r} (of type {type(function).__name__})")
        self.arguments = arguments or {}
        self.function = function
        self.supports_masking = mask is not None
        self.mask = mask
        self._output_shape = output_shape
        try:
            parameters = inspect.signature(function).parameters
        except ValueError:  # a builtin without a signature
            parameters = types.MappingProxyType({})
        self._takes_mask = "mask" in parameters
        self._takes_training = "training" in parameters

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        """What the function gives."""
        kwargs = dict(self.arguments)
        if self._takes_mask:
            kwargs["mask"] = mask
        if self._takes_training:
            kwargs["training"] = training
        return self.function(inputs, **kwargs)

    def compute_output_spec(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        """The given output shape, or what tracing the function finds."""
        shape = self._output_shape
        if shape is None:
            return self._traced_spec(inputs, **({"mask": mask} if mask is not None else {}))
        input_shape = tree.map_structure(lambda x: x.shape, inputs)
        if callable(shape):
            return self._specs(shape(input_shape))
        batch = tree.flatten(inputs)[0].shape[0]
        return self._specs(shape, batch)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape that comes out for one that goes in."""
        return super().compute_output_shape(input_shape)

    def _specs(self, shape: Any, *batch: Any) -> Any:
        if is_shape(shape):
            return self._output_tensor((*batch, *shape))
        return type(shape)(self._output_tensor((*batch, *s)) for s in shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask given, or computed by the function given for it."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        """The arguments; the function by its registered name."""
        config = {
            "arguments": serialize_keras_object(dict(self.arguments)),
            "function": serialize_keras_object(self.function),
        }
        if self._output_shape is not None:
            shape = self._output_shape
            config["output_shape"] = serialize_keras_object(shape) if callable(shape) else shape
        if self.mask is not None:
            config["mask"] = serialize_keras_object(self.mask)
        return {**super().get_config(), **config}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None, safe_mode: bool | None = None
    ) -> Any:
        """The layer of that configuration; functions are looked up among registered ones, no code is read."""
        config = dict(config)
        for name in ("function", "output_shape", "mask", "arguments"):
            if isinstance(config.get(name), dict):
                config[name] = deserialize_keras_object(config[name], custom_objects=custom_objects)
        return super().from_config(config)
