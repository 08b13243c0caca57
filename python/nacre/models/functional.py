"""A model that is a graph of layers."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from nacre import ops
from nacre.core import registry, trace, tree
from nacre.core.operation import Node
from nacre.core.spec import is_float
from nacre.core.tensor import KerasTensor, Tensor, as_array
from nacre.layers.conversion import convert_input
from nacre.layers.input_layer import InputLayer
from nacre.layers.layer import Layer
from nacre.layers.shapes import shape_of
from nacre.models.function import check_tensors
from nacre.models.graph import Schedule, map_graph
from nacre.models.model import Model
from nacre.models.nodes import graph_config, graph_from_config


class Functional(Model):
    """`Model(inputs, outputs)`: the graph of layers between KerasTensors.

    Args:
        inputs: a KerasTensor of `Input`, or a list or dict (or a nested structure) of them; intermediate tensors of
            another model
            will do, too.
        outputs: the same for what comes out.
        name: numbered when not given.

    Raises:
        ValueError: when an output does not come from the inputs, or two layers have one name.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        trainable = kwargs.pop("trainable", None)
        if type(self).__init__ is Functional.__init__ and kwargs:
            raise ValueError(f"Model: unknown arguments {sorted(kwargs)}")
        flat_inputs, flat_outputs = check_tensors(inputs, "inputs"), check_tensors(outputs, "outputs")
        if isinstance(inputs, Mapping):
            for key, x in inputs.items():
                if isinstance(x, KerasTensor) and key not in (
                    x.name,
                    x._keras_history and x._keras_history.operation.name,
                ):
                    warnings.warn(
                        "When providing `inputs` as a dict, all keys in the dict must match the names of the "
                        "corresponding tensors. "
                        f"Received key '{key}' mapping to value {x} which has name '{x.name}'. Change the tensor name "
                        f"to '{key}' (via `Input(..., name='{key}')`)",
                        stacklevel=3,
                    )
        if not all(map(_enters, flat_inputs)):
            flat_inputs, flat_outputs = clone_nodes(flat_inputs, flat_outputs)
            inputs = tree.pack_sequence_as(inputs, flat_inputs) if tree.is_nested(inputs) else flat_inputs[0]
            outputs = tree.pack_sequence_as(outputs, flat_outputs) if tree.is_nested(outputs) else flat_outputs[0]
        # Layers keep what they say themselves: a model made again from its configuration may have frozen ones.
        Layer.__init__(self, trainable=True if trainable is None else trainable, name=name)
        self._set_graph(inputs, outputs, flat_inputs, flat_outputs)
        self._layers = self.layers
        self.built = True

    def _set_graph(
        self, inputs: Any, outputs: Any, flat_inputs: list[KerasTensor], flat_outputs: list[KerasTensor]
    ) -> None:
        own = object.__setattr__  # inputs and outputs stay the lists and dicts that they are
        own(self, "_inputs_struct", inputs)
        own(self, "_outputs_struct", outputs)
        own(self, "_inputs", flat_inputs)
        own(self, "_outputs", flat_outputs)
        graph = map_graph(flat_inputs, flat_outputs, outputs)
        own(self, "_nodes", graph.nodes)
        own(self, "_nodes_by_depth", graph.nodes_by_depth)
        own(self, "_operations", graph.operations)
        own(self, "_schedule", Schedule(graph, flat_inputs, flat_outputs))
        own(self, "input_names", [x._keras_history.operation.name for x in flat_inputs])
        own(self, "output_names", _unique([x._keras_history.operation.name for x in flat_outputs]))

    def __getstate__(self) -> dict[str, Any]:
        """The graph as a list of calls, which copies and pickles follow step by step, however deep it is."""
        state = {key: value for key, value in super().__getstate__().items() if key not in _GRAPH}
        specs: list[Any] = [None] * self._schedule.size
        for i, x in zip(self._schedule.inputs, self._inputs):
            specs[i] = (x.shape, x.dtype, x.name)
        for step, node in zip(self._schedule.steps, (n for n in self._nodes if not n.is_input)):
            for i, y in zip(step.outputs, node.outputs):
                specs[i] = (y.shape, y.dtype, y.name)
        places = [_places(struct) for struct in (self._inputs_struct, self._outputs_struct)]
        layers = [x._keras_history.operation for x in self._inputs]
        return {**state, "_graph_state": (layers, self._schedule, specs, places)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        layers, schedule, specs, (ins, outs) = self.__dict__.pop("_graph_state")
        inputs = [layer._inbound_nodes[0].outputs[0] for layer in layers]
        outputs = schedule.remade(inputs, specs)
        made = tree.map_structure(inputs.__getitem__, ins), tree.map_structure(outputs.__getitem__, outs)
        self._set_graph(made[0], made[1], inputs, outputs)

    _inputs_struct: Any
    _outputs_struct: Any
    _inputs: list[KerasTensor]
    _outputs: list[KerasTensor]
    _operations: list[Any]
    _nodes: list[Node]
    _nodes_by_depth: dict[int, list[Node]]
    _schedule: Schedule
    input_names: list[str]
    output_names: list[str]
    _label: str | None = None  # what errors call the model: the Sequential around it

    # Inputs are converted by `call`, which knows the dtype of each.
    _convert_input_args = False
    _allow_non_tensor_positional_args = True

    @property
    def operations(self) -> list[Any]:
        """Layers and functions of the graph, those next to the inputs first."""
        return list(self._operations)

    @property
    def layers(self) -> list[Any]:
        """The layers of the graph, those next to the inputs first; not those that a subclass has in attributes."""
        return [op for op in self._operations if isinstance(op, Layer)]

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError("`Model.layers` attribute is reserved and should not be used. Please use another name.")

    @property
    def inputs(self) -> list[KerasTensor]:
        """The inputs, as a flat list."""
        return self._inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The outputs, as a flat list."""
        return self._outputs

    @property
    def input(self) -> Any:
        """The inputs, in their structure."""
        return self._inputs_struct

    @property
    def output(self) -> Any:
        """The outputs, in their structure."""
        return self._outputs_struct

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or a list of shapes."""
        return _alone([x.shape for x in self._inputs])

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or a list of shapes."""
        return _alone([x.shape for x in self._outputs])

    # --- calling -----------------------------------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any) -> Any:
        """The outputs for data in the structure of the inputs, or keyed by their names; one in a list comes alone."""
        values = self._standardize(inputs)
        if mask is not None:
            for x, m in zip(values, tree.flatten(mask), strict=False):
                if m is not None:
                    x._keras_mask = m
        outputs = self._schedule.run(values, training=training)
        struct = self._outputs_struct
        return _alone(tree.pack_sequence_as(struct, outputs)) if tree.is_nested(struct) else outputs[0]

    def _standardize(self, inputs: Any) -> list[Any]:
        flat = self._flat(inputs)
        return [self._adjust(x, reference, i) for i, (x, reference) in enumerate(zip(flat, self._inputs, strict=True))]

    def _flat(self, inputs: Any) -> list[Any]:
        n = len(self._inputs)
        if isinstance(inputs, Mapping):
            names = self._keys()
            for keys in names:
                if all(key in inputs for key in keys):
                    extra = [key for key in inputs if key not in keys]
                    if extra and not trace.probing():
                        warnings.warn(
                            f"The structure of `inputs` doesn't match the expected structure. Keys {extra} are not "
                            f"among the inputs {keys} and are ignored.",
                            stacklevel=6,
                        )
                    return [item for key in keys for item in tree.flatten(inputs[key])]
            raise ValueError(
                f"Missing data for input(s) {[k for k in names[0] if k not in inputs]} of model '{self.name}'. You "
                f"passed a data dictionary with keys {list(inputs)}. Expected the following keys: {names[0]}"
            )
        if isinstance(inputs, (list, tuple)):
            if n == 1 and not tree.is_nested(self._inputs_struct) and len(inputs) != 1:
                flat: list[Any] = [convert_input(inputs, None)]
                if isinstance(flat[0], list):
                    flat = tree.flatten(inputs)
            else:
                flat = tree.flatten(inputs)
        else:
            flat = [inputs]
        own = self._keys()[0] if isinstance(self._inputs_struct, Mapping) else None
        if len(flat) != n:
            wanted = f"{n} input(s)" if own is None else f"{n} named input(s) with keys {own}"
            raise ValueError(
                f'Layer "{self.name}" expects {wanted}, but it received {len(flat)} input tensors. '
                f"Inputs received: {[getattr(x, 'shape', x) for x in flat]}. Expected: {self.input_names}"
            )
        if own is not None:
            self._check_order(inputs, own)
        return flat

    def _check_order(self, inputs: Any, keys: list[Any]) -> None:
        """Without keys, inputs that are a dict are taken in the order of the sorted keys: so that must be their
        order."""
        text = (
            "The structure of `inputs` doesn't match the expected structure.\n"
            f"Expected: {_names(self._inputs_struct)}\n"
            f"Received: inputs={_shapes(inputs)}"
        )
        if list(self._inputs_struct) != keys:
            raise ValueError(text)
        if not trace.probing():
            warnings.warn(text, stacklevel=7)

    def _keys(self) -> list[list[Any]]:
        """By which keys data may come as a dict: those of the structure, the names of the layers, of the tensors."""
        if isinstance(self._inputs_struct, Mapping):
            return [sorted(self._inputs_struct)]
        return [list(self.input_names), [x.name for x in self._inputs]]

    def _adjust(self, x: Any, reference: KerasTensor, index: int) -> Any:
        """`x` as a tensor of the dtype and rank of an input; a last axis of size 1 comes or goes as needed."""
        if x is None:
            if getattr(reference._keras_history.operation, "optional", False):
                return None
            raise ValueError(
                f"Input {self.input_names[index]!r} of model '{self.name}' is not optional, but None was passed for it"
            )
        if isinstance(x, np.ndarray) and x.dtype.kind in "SUO":
            one_less = x.ndim == len(reference.shape) - 1 and reference.shape[-1] == 1
            return np.expand_dims(x, -1) if one_less else x
        x = convert_input(x, None)
        if not hasattr(x, "dtype") or not hasattr(x, "shape"):
            x = Tensor(as_array(x))  # a number; of anything else the error says what it is
        mask = getattr(x, "_keras_mask", None)
        if (
            x.dtype != reference.dtype
            and reference.dtype != "string"
            and (is_float(reference.dtype) or is_float(x.dtype))
        ):
            x = ops.cast(x, reference.dtype)
        wanted = reference.shape
        if len(x.shape) == len(wanted) + 1 and x.shape[-1] == 1:
            x = ops.squeeze(x, axis=-1)
        elif len(x.shape) == len(wanted) - 1 and wanted[-1] == 1:
            x = ops.expand_dims(x, axis=-1)
        # The layers of a chain check their own inputs; it stands for data of any sizes that they take.
        fits = len(x.shape) == len(wanted) and (self._label is not None or self._fits(x.shape, wanted))
        if not fits:
            name = self.input_names[index]
            if len(x.shape) != len(wanted):
                path = ".".join(str(key) for key in tree.paths(self._inputs_struct)[index])
                raise ValueError(
                    f"Invalid input shape for input {index} of layer '{self._label or self.name}' with name '{name}' "
                    f"and path '{path}': expected shape={(None, *wanted[1:])}, found shape={tuple(shape_of(x))}"
                )
            raise ValueError(
                f"Input {index} with name '{name}' of layer '{self._label or self.name}' is incompatible with the "
                "layer: expected "
                f"shape={(None, *wanted[1:])}, found shape={tuple(shape_of(x))}"
            )
        if mask is not None:
            x._keras_mask = mask
        return x

    @staticmethod
    def _fits(shape: Any, wanted: Any) -> bool:
        return all(w is None or d is None or d == w for d, w in zip(shape[1:], wanted[1:], strict=True))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """KerasTensors of the outputs, in their structure; the known ones for inputs of the shapes of the graph."""
        inputs = args[0] if args else kwargs.get("inputs")
        flat = tree.flatten(inputs)
        same = len(flat) == len(self._inputs) and all(
            isinstance(x, KerasTensor) and x.shape == y.shape and x.dtype == y.dtype
            for x, y in zip(flat, self._inputs, strict=True)
        )
        if same and not isinstance(inputs, Mapping):
            return tree.map_structure(lambda y: KerasTensor(y.shape, y.dtype), self._outputs_struct)
        specs = super().compute_output_spec(*args, **kwargs)
        return specs if _alone(self._outputs_struct) is self._outputs_struct else [specs]

    # --- configuration -----------------------------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Nothing: a graph of layers is built when it is made."""
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """Layers with their configurations and calls; for a subclass with arguments of its own, those arguments."""
        if not _is_plain_functional(type(self)):
            return Layer.get_config(self)
        return copy.deepcopy({"name": self.name, "trainable": self.trainable, **graph_config(self)})

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The model of that configuration, with fresh weights."""
        if "layers" not in config or "output_layers" not in config:
            return super(Model, cls).from_config(config)
        with registry.CustomObjectScope(custom_objects):
            inputs, outputs = graph_from_config(config)
        graph = ("layers", "input_layers", "output_layers", "name")
        options = {
            key: value for key, value in config.items() if key not in graph and (key, value) != ("trainable", None)
        }
        return cls(inputs=inputs, outputs=outputs, name=config.get("name"), **options)


Model._functional_class = Functional

# What `_set_graph` sets.
_GRAPH = (
    "_inputs_struct", "_outputs_struct", "_inputs", "_outputs", "_nodes", "_nodes_by_depth", "_operations", "_schedule",
    "input_names", "output_names",
)  # fmt: skip


def _places(structure: Any) -> Any:
    """The structure with the position of each tensor in the flat list in its place."""
    flat = tree.flatten(structure)
    return tree.pack_sequence_as(structure, list(range(len(flat)))) if tree.is_nested(structure) else 0


def _alone(structure: Any) -> Any:
    """What is in a list or tuple of one."""
    return structure[0] if isinstance(structure, (list, tuple)) and len(structure) == 1 else structure


def _names(structure: Any) -> Any:
    return tree.map_structure(lambda x: x.name, structure)


def _shapes(structure: Any) -> Any:
    return tree.map_structure(lambda x: f"Tensor(shape={tuple(x.shape)})" if hasattr(x, "shape") else x, structure)


def _is_plain_functional(cls: type) -> bool:
    """Whether a class is made of inputs and outputs: its `__init__` is ours, or hands on whatever arguments it gets."""
    init = cls.__init__  # type: ignore[misc]
    if init in (Functional.__init__, Model.__init__):
        return True
    kinds = {p.kind for p in inspect.signature(init).parameters.values()}
    return inspect.Parameter.VAR_POSITIONAL in kinds and inspect.Parameter.VAR_KEYWORD in kinds


def _unique(names: list[str]) -> list[str]:
    """Names of outputs, numbered where one layer gives several."""
    found: list[str] = []
    for name in names:
        candidate, i = name, 0
        while candidate in found:
            i += 1
            candidate = f"{name}_{i}"
        found.append(candidate)
    return found


def clone_nodes(inputs: list[KerasTensor], outputs: list[KerasTensor]) -> tuple[list[KerasTensor], list[KerasTensor]]:
    """The graph between intermediate tensors once more, from new inputs of their shapes; the layers are shared."""
    new: dict[int, KerasTensor] = {}
    for x in inputs:
        if _enters(x):
            new[id(x)] = x
        else:
            layer = InputLayer(batch_shape=x.shape, dtype=x.dtype, name=f"{x.name}CLONE")
            new[id(x)] = layer._inbound_nodes[0].outputs[0]
    for node in map_graph(inputs, outputs).nodes:
        if all(id(y) in new for y in node.outputs):
            continue
        args, kwargs = tree.map_structure(
            lambda a: new[id(a)] if isinstance(a, KerasTensor) else a, (node.args, node.kwargs)
        )
        made = [KerasTensor(y.shape, y.dtype, name=y.name) for y in node.outputs]
        Node(node.operation, args, kwargs, made)
        new.update({id(y): m for y, m in zip(node.outputs, made, strict=True)})
    return [new[id(x)] for x in inputs], [new[id(y)] for y in outputs]


def _enters(x: KerasTensor) -> bool:
    return x._keras_history is not None and isinstance(x._keras_history.operation, InputLayer)
