"""A model once more, with fresh weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core import tree
from nacre.core.tensor import KerasTensor
from nacre.layers.input_layer import Input, InputLayer
from nacre.layers.layer import Layer
from nacre.models.functional import Functional
from nacre.models.model import Model
from nacre.models.sequential import Sequential
from nacre.ops.base import OpCall


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Any:
    """A model of the same architecture with layers and weights of its own.

    Args:
        model: Sequential, functional, or a subclass with `get_config`.
        input_tensors: KerasTensors to build the new model on.
        clone_function: makes the copy of each layer; from its configuration by default.
        call_function: `(layer, *args, **kwargs)`, called in place of the layer when the graph is made again.
        recursive: whether `clone_function` also gets the layers of models inside.

    Raises:
        ValueError: for arguments that do not go with the kind of model.
    """
    if kwargs:
        raise ValueError(f"Unexpected keyword argument(s): {tuple(kwargs)}")
    if not isinstance(model, Model):
        raise ValueError(f"Expected `model` argument to be a `Model` instance, got {model!r:.200}")
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                f"`call_function` argument is not supported with Sequential models. Received: {call_function}"
            )
        return _compiled_as(model, _clone_sequential(model, _copier(clone_function, recursive), input_tensors))
    if isinstance(model, Functional):
        plain = type(model) is Functional or model.get_config().keys() >= {"layers", "input_layers"}
        if plain or clone_function is not None or input_tensors is not None or call_function is not None:
            copy = _copier(clone_function, recursive, call_function)
            return _compiled_as(model, _clone_functional(model, copy, input_tensors, call_function))
    for name, value in (
        ("clone_function", clone_function),
        ("input_tensors", input_tensors),
        ("call_function", call_function),
    ):
        if value is not None:
            raise ValueError(
                "Arguments clone_function, input_tensors and call_function are only supported for Sequential models "
                f"or Functional models. Received model of type '{type(model).__name__}', with {name}={value}"
            )
    return type(model).from_config(model.get_config())


def _compiled_as(model: Any, new: Any) -> Any:
    """`new`, compiled with what `model` was compiled with."""
    if model.compiled:
        new.compile_from_config(model.get_compile_config())
    return new


def _copier(
    clone_function: Callable[[Any], Any] | None, recursive: bool, call_function: Callable[..., Any] | None = None
) -> Callable[[Any], Any]:
    if clone_function is not None and not callable(clone_function):
        raise ValueError(f"clone_function: expected a function of a layer, got {clone_function!r}")

    def copy(layer: Any) -> Any:
        if recursive and isinstance(layer, (Sequential, Functional)):
            how = None if isinstance(layer, Sequential) else call_function
            return clone_model(layer, clone_function=clone_function, call_function=how, recursive=True)
        if clone_function is not None and isinstance(layer, Layer):
            return clone_function(layer)
        return type(layer).from_config(layer.get_config())

    return copy


def _clone_sequential(model: Any, copy: Callable[[Any], Any], input_tensors: Any) -> Any:
    new = Sequential(name=model.name, trainable=model.trainable)
    if input_tensors is not None:
        tensors = tree.flatten(input_tensors)
        if len(tensors) != 1 or not isinstance(tensors[0], KerasTensor):
            raise ValueError(f"Argument `input_tensors` must contain a single KerasTensor. Received: {input_tensors}")
        new.add(tensors[0], rebuild=False)
    elif model._layers and isinstance(model._layers[0], InputLayer):
        first = model._layers[0]
        new.add(InputLayer(batch_shape=first.batch_shape, dtype=first.dtype, name=first.name), rebuild=False)
    for layer in model.layers:
        new.add(copy(layer), rebuild=False)
    new._maybe_rebuild()
    return new


def _clone_functional(model: Any, copy: Callable[[Any], Any], input_tensors: Any, call_function: Any) -> Any:
    if input_tensors is not None:
        inputs = tree.flatten(input_tensors)
        if tree.is_nested(model.input):
            try:
                tree.assert_same_structure(model.input, input_tensors)
            except ValueError as error:
                raise ValueError(f"`input_tensors` must have the same structure as model.input: {error}") from None
        if not all(isinstance(x, KerasTensor) for x in inputs) or len(inputs) != len(model.inputs):
            raise ValueError(f"`input_tensors`: expected {len(model.inputs)} KerasTensors, got {input_tensors}")
    else:
        inputs = [Input(batch_shape=x.shape, dtype=x.dtype, name=x._keras_history.operation.name) for x in model.inputs]
    copies: dict[int, Any] = {}

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if id(operation) not in copies:
            plain = isinstance(operation, OpCall)
            copies[id(operation)] = OpCall(operation.function, name=operation.name) if plain else copy(operation)
        new = copies[id(operation)]
        return call_function(new, *args, **kwargs) if call_function is not None else new(*args, **kwargs)

    outputs = model._schedule.run(inputs, call)
    return Functional(
        tree.pack_sequence_as(model._inputs_struct, inputs) if tree.is_nested(model._inputs_struct) else inputs[0],
        tree.pack_sequence_as(model._outputs_struct, outputs) if tree.is_nested(model._outputs_struct) else outputs[0],
        name=model.name,
    )
