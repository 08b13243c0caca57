"""A recurrent layer in both directions of time."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import tree
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.layers.calling import plan_of
from nacre.layers.layer import Layer

_MODES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(Layer):
    """A recurrent layer forwards and a copy of it backwards: (N, T, C) -> (N, 2 * units) by default.

    Args:
        layer: an RNN, LSTM, GRU, ..., or any layer with `go_backwards`, `return_sequences` and `return_state`.
        merge_mode: how the two outputs become one: `"concat"`, `"sum"`, `"mul"`, `"ave"`, or None for a list of both.
        weights: initial weights of both.
        backward_layer: the layer for the other direction, instead of a copy; its `go_backwards` must differ.
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Please initialize `Bidirectional` layer with a `keras.layers.Layer` instance. Received: {layer}"
            )
        if backward_layer is not None and not isinstance(backward_layer, Layer):
            raise ValueError(f"`backward_layer` need to be a `keras.layers.Layer` instance. Received: {backward_layer}")
        if merge_mode not in _MODES:
            raise ValueError(
                f"Invalid merge mode. Received: {merge_mode}. Merge mode should be one of "
                '{"sum", "mul", "ave", "concat", None}'
            )
        for name in ("go_backwards", "return_sequences", "return_state"):
            if not hasattr(layer, name):
                raise ValueError(
                    f"Bidirectional: expected a recurrent layer, but {type(layer).__name__} has no attribute `{name}`"
                )
        super().__init__(**kwargs)
        forward = serialize_keras_object(layer)
        forward["config"]["name"] = "forward_" + forward["config"]["name"].removeprefix("forward_")
        self.forward_layer = deserialize_keras_object({**forward, "build_config": None}, package="layers")
        if backward_layer is None:
            backward = serialize_keras_object(layer)
            backward["config"]["go_backwards"] = not backward["config"]["go_backwards"]
            backward["config"]["name"] = "backward_" + backward["config"]["name"].removeprefix("forward_").removeprefix(
                "backward_"
            )
            self.backward_layer = deserialize_keras_object({**backward, "build_config": None}, package="layers")
        else:
            self.backward_layer = backward_layer
        self._check_agreement()
        if hasattr(layer, "use_cudnn"):
            self.forward_layer.use_cudnn = self.backward_layer.use_cudnn = layer.use_cudnn
        for one in (self.forward_layer, self.backward_layer):
            if getattr(one, "zero_output_for_mask", None) is not None:
                # A repeated output would, reversed, come before the first valid step of the other direction. Of the
                # last outputs alone, those of the last valid steps are asked for.
                one.zero_output_for_mask = layer.return_sequences
        self.merge_mode = merge_mode
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec
        if weights is not None:
            self._initial_weights = list(weights)

    @property
    def layer(self) -> Any:
        """The forward layer."""
        return self.forward_layer

    def _check_agreement(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                "Forward layer and backward layer should have different `go_backwards` value. Received: "
                f"forward_layer.go_backwards {forward.go_backwards}, "
                f"backward_layer.go_backwards={backward.go_backwards}"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(forward, name) != getattr(backward, name):
                raise ValueError(
                    f"Forward layer and backward layer are expected to have the same value for attribute '{name}', got "
                    f'"{getattr(forward, name)}" for forward layer and "{getattr(backward, name)}" for backward layer.'
                )

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds both layers."""
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        """(N, T, C) -> the merged outputs, and the states of both with `return_state`."""
        kwargs: dict[str, Any] = {}
        if plan_of(type(self.forward_layer)).has_training:
            kwargs["training"] = training
        if plan_of(type(self.forward_layer)).has_mask:
            kwargs["mask"] = mask
        if initial_state is not None:
            states = tree.flatten(initial_state)
            half = len(states) // 2
            y = self.forward_layer(sequences, initial_state=states[:half], **kwargs)
            y_back = self.backward_layer(sequences, initial_state=states[half:], **kwargs)
        else:
            y = self.forward_layer(sequences, **kwargs)
            y_back = self.backward_layer(sequences, **kwargs)
        states = []
        if self.return_state:
            states = [*y[1:], *y_back[1:]]
            y, y_back = y[0], y_back[0]
        if self.return_sequences:
            y_back = ops.flip(y_back, axis=1)
        output = self._merge(y, y_back)
        if not self.return_state:
            return output
        return (*output, *states) if isinstance(output, tuple) else (output, *states)

    def _merge(self, y: Any, y_back: Any) -> Any:
        if self.merge_mode is None:
            return y, y_back
        if self.merge_mode == "concat":
            return ops.concatenate([y, y_back], axis=-1)
        if self.merge_mode == "mul":
            return y * y_back
        return y + y_back if self.merge_mode == "sum" else (y + y_back) / 2.0

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """The shape, or shapes, of what `call` gives."""
        shape = self.forward_layer.compute_output_shape(sequences_shape)
        states: tuple[Any, ...] = ()
        if self.return_state:
            shape, states = tuple(shape[0]), tuple(tuple(s) for s in shape[1:])
        shape = tuple(shape)
        if self.merge_mode is None:
            return (shape, shape, *states, *states)
        if self.merge_mode == "concat":
            shape = (*shape[:-1], shape[-1] * 2)
        return (shape, *states, *states) if self.return_state else shape

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:
        """That of the input when whole sequences are returned."""
        mask = tree.flatten(mask)[0] if mask is not None else None
        output = mask if self.return_sequences else None
        outputs = [output, output] if self.merge_mode is None else [output]
        if self.return_state:
            n = len(self.forward_layer.get_initial_state(1))
            return [*outputs, *[None] * (2 * n)]
        return outputs if self.merge_mode is None else output

    def reset_states(self) -> None:
        """The next batch starts from zero states."""
        for layer in (self.forward_layer, self.backward_layer):
            layer.reset_states()

    reset_state = reset_states

    @property
    def states(self) -> Any:
        """The states that the next batch starts from, when stateful."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return (*forward, *backward) if forward is not None and backward is not None else None

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialize_keras_object(self.forward_layer),
            "backward_layer": serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer of that configuration."""
        config = dict(config)
        config["layer"] = deserialize_keras_object(config["layer"], custom_objects, package="layers")
        backward = config.get("backward_layer")
        if backward is not None:
            config["backward_layer"] = deserialize_keras_object(backward, custom_objects, package="layers")
        return super().from_config(config)
