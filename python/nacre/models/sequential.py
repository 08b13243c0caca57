"""A model that is a chain of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre import dtype_policies
from nacre.core import registry
from nacre.core.tensor import KerasTensor
from nacre.core.tree import is_shape
from nacre.layers.calling import plan_of
from nacre.layers.input_layer import InputLayer
from nacre.layers.layer import Layer
from nacre.models.functional import Functional
from nacre.models.model import Model


class Sequential(Model):
    """Layers one after the other, each with one input and one output.

    Built as soon as the shape of the input is known: from an `Input`, from `build(shape)`, or from the first data.

    >>> import nacre as keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.output_shape
    (None, 2)
    """

    _functional: Functional | None = None
    _names: set[str] | None = None
    _convert_input_args = False
    _allow_non_tensor_positional_args = True

    def __init__(self, layers: Sequence[Any] | None = None, trainable: bool = True, name: str | None = None) -> None:
        Layer.__init__(self, trainable=trainable, name=name)
        self._made_frozen = False  # its layers have configurations of their own
        object.__setattr__(self, "_functional", None)
        if layers:
            object.__setattr__(self, "_names", set())  # of thousands of layers, looked through once and not for each
            for layer in layers:
                self.add(layer, rebuild=False)
            object.__delattr__(self, "_names")
            self._maybe_rebuild()

    # --- the chain ---------------------------------------------------------------------------------------------------

    def _track_layer(self, layer: Any) -> None:
        """A layer in an attribute is no link of the chain: `_layers` holds what `add` was given, and nothing else."""
        self._refuse_itself(layer)

    def _untrack(self, value: Any) -> None:
        if not isinstance(value, Layer):
            super()._untrack(value)

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Appends a layer (or puts an `Input` in front). Raises ValueError for what is no layer, or a name in use."""
        if isinstance(layer, KerasTensor) and layer._keras_history is not None:
            origin = layer._keras_history.operation
            if isinstance(origin, InputLayer):
                layer = origin
        if layer is self:
            raise ValueError(f"Sequential model '{self.name}' cannot be a layer of itself")
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Only instances of `keras.Layer` can be added to a Sequential model. Received: {layer} (of type "
                f"{type(layer)})"
            )
        self._refuse_itself(layer)
        names = self._names
        if layer.name in ({known.name for known in self._layers} if names is None else names):
            raise ValueError(
                "All layers added to a Sequential model should have unique names. "
                f"Name '{layer.name}' is already the name of a layer in this model. Update the `name` argument to "
                "pass a unique name."
            )
        if isinstance(layer, InputLayer):
            if self._layers and isinstance(self._layers[0], InputLayer):
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use input shape "
                    f"{self._layers[0].batch_shape}. You cannot add a different Input layer to it."
                )
            self._layers.insert(0, layer)
        else:
            if not self._layers and layer._batch_shape_arg is not None:
                self._layers.append(InputLayer(batch_shape=layer._batch_shape_arg))
            elif not self._layers and isinstance(layer, (Functional, Sequential)) and len(_inputs_of(layer)) == 1:
                first = _inputs_of(layer)[0]
                self._layers.append(InputLayer(batch_shape=first.shape, dtype=first.dtype))
            self._layers.append(layer)
        if names is not None:
            names.update((self._layers[0].name, layer.name))
        if rebuild:
            self._maybe_rebuild()
        else:
            self._unbuild()

    def pop(self, rebuild: bool = True) -> Any:
        """Takes the last layer away and returns it; the others keep their weights. Raises IndexError when there is
        none."""
        layer = self._layers.pop()
        self._unbuild()
        if rebuild:
            self._maybe_rebuild()
        return layer

    def _unbuild(self) -> None:
        self.built = False
        object.__setattr__(self, "_functional", None)
        self._forget_functions()

    def _maybe_rebuild(self) -> None:
        self._unbuild()
        if len(self._layers) > 1 and isinstance(self._layers[0], InputLayer):
            self.build(self._layers[0].batch_shape)

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights for inputs of that shape (with the batch axis)."""
        if not self._layers:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. Call `model.add(layer)`."
            )
        if not isinstance(self._layers[0], InputLayer):
            if not is_shape(input_shape):
                return  # none, or lists and dicts of tensors: the chain is built when it is called
            if not input_shape:
                raise ValueError(
                    f"Sequential model '{self.name}': expected `build` to get one shape such as (None, 784), got "
                    f"{input_shape}"
                )
            dtype = None if len(self._layers) == 0 else _input_dtype_of(self._layers[0])
            self._layers.insert(0, InputLayer(batch_shape=input_shape, dtype=dtype))
        elif is_shape(input_shape) and input_shape and tuple(input_shape) != tuple(self._layers[0].batch_shape):
            known = self._layers[0].batch_shape
            if len(input_shape) != len(known) or any(
                a is not None and b is not None and a != b for a, b in zip(input_shape[1:], known[1:], strict=True)
            ):
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use input shape {known}. You "
                    "cannot build it "
                    f"with input_shape {tuple(input_shape)}"
                )
        inputs = self._layers[0]._inbound_nodes[0].outputs[0]
        x = inputs
        for layer in self._layers[1:]:
            plan = plan_of(type(layer))
            if len(plan.required) > 1:
                raise ValueError(
                    "Layers added to a Sequential model can only have a single positional argument, the input tensor. "
                    f"Layer {type(layer).__name__} has multiple positional arguments: {sorted(plan.required)}"
                )
            try:
                x = layer(x)
            except NotImplementedError:
                # A layer whose output shape cannot be found without data: the chain is run layer by layer.
                return
            if not isinstance(x, KerasTensor):
                raise ValueError(
                    f"Sequential model '{self.name}': layer '{layer.name}' must give one tensor, got {type(x).__name__}"
                )
        functional = Functional(inputs, x)
        functional._label = self.name
        object.__setattr__(self, "_functional", functional)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any) -> Any:
        """The output of the last layer."""
        if self._functional is not None:
            return self._functional.call(inputs, training=training, mask=mask)
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the model on data; builds it first, if that is still to be done."""
        if self._functional is None and not self._layers:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. Call `model.add(layer)`."
            )
        if self._functional is None and args and not hasattr(args[0], "shape"):
            self._convert_input_args = True
            try:
                args, kwargs = self._convert(args, kwargs)
            finally:
                del self._convert_input_args
        return super().__call__(*args, **kwargs)

    @property
    def layers(self) -> list[Any]:
        """The layers without the input."""
        layers = self._layers
        return list(layers[1:] if layers and isinstance(layers[0], InputLayer) else layers)

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Sequential.layers` attribute is reserved and should not be used. Use `add()` and `pop()`"
        )

    # --- shapes ------------------------------------------------------------------------------------------------------

    def _graph_or_error(self, what: str) -> Functional:
        if self._functional is None:
            raise AttributeError(f"Sequential model '{self.name}' has no defined {what} yet: it has not been built.")
        return self._functional

    @property
    def input(self) -> Any:
        """The KerasTensor that goes in: at its first call as a part of another model, where there was one."""
        return super().input if self._inbound_nodes else self._graph_or_error("input").input

    @property
    def output(self) -> Any:
        """The KerasTensor that comes out: at its first call as a part of another model, where there was one."""
        return super().output if self._inbound_nodes else self._graph_or_error("output").output

    @property
    def inputs(self) -> Any:
        """The KerasTensor that goes in, in a list."""
        return self._graph_or_error("inputs").inputs

    @property
    def outputs(self) -> Any:
        """The KerasTensor that comes out, in a list."""
        return self._graph_or_error("outputs").outputs

    @property
    def input_shape(self) -> Any:
        """The shape of what goes in."""
        return self._graph_or_error("input shape").input_shape

    @property
    def output_shape(self) -> Any:
        """The shape of what comes out."""
        return self._graph_or_error("output shape").output_shape

    @property
    def output_names(self) -> list[str] | None:
        """The name of the last layer, in a list."""
        return [self._layers[-1].name] if self._layers else None

    @property
    def _nodes_by_depth(self) -> Any:
        return self._graph_or_error("graph")._nodes_by_depth

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """A KerasTensor of the output's shape and dtype."""
        if self._functional is not None:
            return self._functional.compute_output_spec(*args, **kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for an input of that shape."""
        if self._functional is not None:
            return self._functional.compute_output_shape(input_shape)
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # --- configuration -----------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Name, layers and the shape of the input."""
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": dtype_policies.serialize(self.dtype_policy),
            "layers": [registry.serialize_keras_object(layer) for layer in self._layers],
        }
        if self._functional is not None:
            config["build_input_shape"] = self._layers[0].batch_shape
        return config

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        """The model of that configuration, with fresh weights."""
        if not isinstance(config, list) and not {"name", "layers"} <= set(config):
            raise ValueError(
                "A Sequential model configuration must be a dictionary containing the 'name' and 'layers' keys. "
                f"Received: {sorted(config)}"
            )
        layers = config if isinstance(config, list) else config["layers"]
        for layer in layers:
            if not isinstance(layer, dict) or "config" not in layer:
                raise ValueError(f"Expected a dictionary containing a 'config' key. Received: {layer!r:.200}")
        name = None if isinstance(config, list) else config.get("name")
        with registry.CustomObjectScope(custom_objects):
            made = [
                registry.deserialize_keras_object(
                    {"module": None, **layer} if "module" in layer else layer,
                    package=None if "module" in layer else "layers",
                )
                for layer in layers
            ]
        model = cls(name=name)
        for layer in made:
            model.add(layer, rebuild=False)
        model._maybe_rebuild()
        shape = None if isinstance(config, list) else config.get("build_input_shape")
        if model._functional is None and shape and model._layers and is_shape(shape):
            model.build(tuple(shape))
        if not isinstance(config, list) and config.get("trainable") is False:
            model._trainable = False  # and its layers as they say themselves
        return model


def _inputs_of(model: Any) -> list[KerasTensor]:
    return getattr(model, "inputs", [])  # a Sequential has none before it is built


def _input_dtype_of(layer: Any) -> str | None:
    """Layers that look numbers up take ints; text layers take text; all others floats."""
    name = type(layer).__name__
    if name in ("TextVectorization", "StringLookup"):
        return "string"
    return None
