"""Graphs of layers in Keras' configuration format: each layer with the calls that were made of it."""

from __future__ import annotations

import inspect
from typing import Any

from nacre.core import registry, tree
from nacre.core.tensor import KerasTensor
from nacre.models.functions import arguments, function_of, keras_class, split
from nacre.ops.base import OpCall


def graph_config(model: Any) -> dict[str, Any]:
    """`layers`, `input_layers` and `output_layers` of a functional model."""
    numbers: dict[tuple[int, int], int] = {}  # (operation, node) -> its number among the nodes of this model
    inside = {id(node) for node in model._nodes}
    for operation in model._operations:
        kept = 0
        for i, node in enumerate(operation._inbound_nodes):
            if id(node) in inside:
                numbers[id(operation), i] = kept
                kept += 1
    layers = []
    for operation in model._operations:
        config = _operation_config(operation)
        config["name"] = operation.name
        config["inbound_nodes"] = [
            _node_config(node, numbers) for node in operation._inbound_nodes if id(node) in inside and not node.is_input
        ]
        layers.append(config)

    def place(x: KerasTensor) -> list[Any]:
        operation, node, tensor = x._keras_history
        return [operation.name, numbers[id(operation), node] + _calls_before(operation), tensor]

    return {
        "layers": layers,
        "input_layers": tree.map_structure(place, model._inputs_struct),
        "output_layers": tree.map_structure(place, model._outputs_struct),
    }


def _calls_before(operation: Any) -> int:
    """Where Keras begins to count the calls of a layer, as outputs of a model: a functional model has called itself."""
    return int(isinstance(operation, getattr(operation, "_functional_class", ())))


def _map(fn: Any, structure: Any) -> Any:
    if isinstance(structure, (list, tuple)):
        return [_map(fn, s) for s in structure]
    if isinstance(structure, dict):
        return {key: _map(fn, s) for key, s in structure.items()}
    return fn(structure)


def _operation_config(operation: Any) -> dict[str, Any]:
    if not isinstance(operation, OpCall):
        config: dict[str, Any] = registry.serialize_keras_object(operation)
        return config
    module, title = keras_class(operation.function)
    made_with: dict[str, Any] = {}
    for node in operation._inbound_nodes[:1]:
        *_, made_with = split(operation.function, node.args, node.kwargs)
    return {
        "module": module,
        "class_name": title,
        "config": {"name": operation.name, **registry.serialize_keras_object(made_with)},
        "registered_name": title,
    }


def _node_config(node: Any, numbers: dict[tuple[int, int], int]) -> dict[str, Any]:
    args, kwargs = node.args, node.kwargs
    if isinstance(node.operation, OpCall):
        args, kwargs, _ = split(node.operation.function, args, kwargs)

    def write(x: Any) -> Any:
        if not isinstance(x, KerasTensor):
            return registry.serialize_keras_object(x)
        operation, index, tensor = x._keras_history
        return {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": list(x.shape),
                "dtype": x.dtype,
                "keras_history": [operation.name, numbers[id(operation), index], tensor],
            },
        }

    return {
        "args": [_map(write, a) for a in args],
        "kwargs": {key: _map(write, a) for key, a in kwargs.items()},
    }


# --- reading ---------------------------------------------------------------------------------------------------------


def graph_from_config(config: dict[str, Any]) -> tuple[Any, Any]:
    """Inputs and outputs (KerasTensors in their structures) of the graph that a configuration describes.

    Raises ValueError when calls refer to layers that do not exist or need each other.
    """
    made: dict[str, Any] = {}
    named = []
    for layer in config["layers"]:
        operation = _operation_from_config(layer)
        name = layer.get("name") or operation.name
        named.append((name, layer))
        made[name] = operation
    # How many calls each operation had before: a model inside those on its own inputs, a layer those in models inside
    # that share it. An input layer has just its own.
    first = {name: len(made[name]._inbound_nodes) if layer.get("inbound_nodes") else 0 for name, layer in named}
    waiting: list[tuple[str, int, dict[str, Any]]] = [
        (name, number, node) for name, layer in named for number, node in enumerate(_nodes_of(layer, made))
    ]
    done: set[tuple[str, int]] = set()
    while waiting:
        left = []
        for name, number, node in waiting:
            if (number == 0 or (name, number - 1) in done) and _ready(node, made, first, done):
                args, kwargs = (_fill(part, made, first) for part in (node["args"], node["kwargs"]))
                operation = made[name]
                if isinstance(operation, OpCall):
                    made_with = getattr(operation, "attributes", {})
                    args, kwargs = arguments(operation.function, args, {**made_with, **kwargs})
                operation(*args, **kwargs)
                done.add((name, number))
            else:
                left.append((name, number, node))
        if len(left) == len(waiting):
            names = sorted({name for name, _, _ in left})
            raise ValueError(
                f"The configuration of the model is damaged: the inputs of {names} are never computed, they form a loop"
            )
        waiting = left
    return tuple(_places(config[key], made, first) for key in ("input_layers", "output_layers"))


def _operation_from_config(config: dict[str, Any]) -> Any:
    module = str(config.get("module") or "")
    if (".ops" in module or module.endswith(".activations.activations")) and module.split(".")[0] in ("keras", "nacre"):
        name = str(config["class_name"])
        function = function_of(name)
        if function is None:
            raise registry.UnknownObject(f"Could not locate the function of class '{name}' in {module}.")
        inner = dict(config.get("config") or {})
        operation = OpCall(function, name=inner.pop("name", None))
        known = inspect.signature(function).parameters
        operation.attributes = {  # type: ignore[attr-defined]
            key: registry.deserialize_keras_object(value) for key, value in inner.items() if key in known
        }
        return operation
    if "registered_name" not in config and "module" not in config:  # as Keras 2 wrote them
        config = {**config, "registered_name": None, "module": None}
    inner = {k: v for k, v in config.items() if k not in ("inbound_nodes", "name")}
    return registry.deserialize_keras_object(inner, package=None if inner.get("module") else "layers")


def _nodes_of(layer: dict[str, Any], made: dict[str, Any]) -> list[dict[str, Any]]:
    nodes = []
    for node in layer.get("inbound_nodes") or ():
        if isinstance(node, dict):
            nodes.append({"args": node.get("args", []), "kwargs": node.get("kwargs", {})})
        else:
            nodes.append(_old_node(node, made))
    return nodes


def _old_node(node: Any, made: dict[str, Any]) -> dict[str, Any]:
    """A call as Keras 2 wrote it: `[[name, node, tensor, kwargs], ...]`."""
    if not node or not isinstance(node, (list, tuple)):
        raise ValueError(f"The configuration of the model is damaged: {node!r} is no connection of layers")
    tensors, kwargs = [], {}
    for entry in [node] if isinstance(node[0], str) else node:
        if not (isinstance(entry, (list, tuple)) and len(entry) >= 3 and list(map(type, entry[:3])) == [str, int, int]):
            raise ValueError(f"The configuration of the model is damaged: {entry!r} is no connection of layers")
        name, number, index = entry[:3]
        place = [name, max(0, number - _calls_before(made.get(name))), index]
        tensors.append({"class_name": "__keras_tensor__", "config": {"keras_history": place}})
        if len(entry) > 3 and isinstance(entry[3], dict):
            kwargs.update(entry[3])
    return {"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": kwargs}


def _is_tensor(x: Any) -> bool:
    return isinstance(x, dict) and x.get("class_name") == "__keras_tensor__"


def _histories(structure: Any) -> list[Any]:
    if _is_tensor(structure):
        return [structure["config"]["keras_history"]]
    if isinstance(structure, (list, tuple)):
        return [h for s in structure for h in _histories(s)]
    if isinstance(structure, dict):
        return [h for s in structure.values() for h in _histories(s)]
    return []


def _ready(node: dict[str, Any], made: dict[str, Any], first: dict[str, int], done: set[tuple[str, int]]) -> bool:
    for name, number, _ in _histories([node["args"], node["kwargs"]]):
        if name not in made:
            raise ValueError(
                f"The configuration of the model is damaged. Missing node: {name}: calls refer to it, but it is no "
                "layer of the model"
            )
        if (name, number) not in done and len(made[name]._inbound_nodes) <= first[name] + number:
            return False
    return True


def _tensor(place: Any, made: dict[str, Any], first: dict[str, int]) -> Any:
    name, number, index = place
    try:
        return made[name]._inbound_nodes[first[name] + number].outputs[index]
    except (KeyError, IndexError):
        raise ValueError(f"The configuration of the model is damaged: there is no tensor {place}") from None


def _fill(structure: Any, made: dict[str, Any], first: dict[str, int]) -> Any:
    if _is_tensor(structure):
        return _tensor(structure["config"]["keras_history"], made, first)
    if isinstance(structure, (list, tuple)):
        items = [_fill(s, made, first) for s in structure]
        return items if isinstance(structure, list) else tuple(items)
    if isinstance(structure, dict):
        if "class_name" in structure:
            return registry.deserialize_keras_object(structure)
        return {key: _fill(s, made, first) for key, s in structure.items()}
    return structure


def _places(structure: Any, made: dict[str, Any], first: dict[str, int]) -> Any:
    if isinstance(structure, dict):
        return {key: _places(s, made, first) for key, s in structure.items()}
    if isinstance(structure, (list, tuple)):
        if len(structure) == 3 and isinstance(structure[0], str) and isinstance(structure[1], int):
            name, number, index = structure
            return _tensor([name, max(0, number - _calls_before(made.get(name))), index], made, first)
        return type(structure)(_places(s, made, first) for s in structure)
    raise ValueError(f"The configuration of the model is damaged: {structure!r} is no place of a tensor")
