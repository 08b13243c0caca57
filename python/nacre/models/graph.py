"""Which calls of layers lie between inputs and outputs, how deep each lies, and in which order they can run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from nacre.core import tree
from nacre.core.operation import Node
from nacre.core.tensor import KerasTensor
from nacre.layers.calling import context


class LayerGraph(NamedTuple):
    """The part of the graph of layers that a model is made of."""

    nodes: list[Node]  # in an order in which they can run
    nodes_by_depth: dict[int, list[Node]]  # depth 0: outputs
    operations: list[Any]  # inputs first


def node_of(tensor: KerasTensor) -> Node:
    """The call that made `tensor`. Raises ValueError when none did."""
    if tensor._keras_history is None:
        raise ValueError(f"Graph disconnected: no Input and no layer made the tensor {tensor}. Start from keras.Input")
    operation, index, _ = tensor._keras_history
    node: Node = operation._inbound_nodes[index]
    return node


def map_graph(inputs: list[KerasTensor], outputs: list[KerasTensor], structure: Any = None) -> LayerGraph:
    """The LayerGraph between `inputs` and `outputs`, which stand in `structure` (in a list, when not given).

    It begins at calls that data enter by; what made an input that comes from elsewhere is left out.

    Raises ValueError when an output depends on something else than the inputs, or when two operations have one name.
    """
    given = {id(x) for x in inputs if x._keras_history is None or not node_of(x).is_input}
    finished, found_at = _search(given, outputs)
    depth_of: dict[int, int] = {}
    operation_depth: dict[int, int] = {}
    for node in reversed(finished):
        depth = max(depth_of.get(id(node), 0), operation_depth.get(id(node.operation), 0))
        operation_depth[id(node.operation)] = depth
        depth_of[id(node)] = depth
        for parent in _parents(node, given):
            depth_of[id(parent)] = max(depth + 1, depth_of.get(id(parent), 0))
    nodes = list(finished)
    operations = {id(n.operation): n.operation for n in nodes}
    for x in inputs:  # one that no output needs
        operation = None if id(x) in given else x._keras_history.operation
        if operation is not None and id(operation) not in operation_depth:
            operation_depth[id(operation)] = 0
            found_at[id(operation)] = -1
            node = node_of(x)
            depth_of[id(node)] = 0
            operations[id(operation)] = operation
            nodes.append(node)
    by_depth: dict[int, list[Node]] = {}
    for node in nodes:
        by_depth.setdefault(depth_of[id(node)], []).append(node)
    ordered = sorted(operations.values(), key=lambda op: (-operation_depth[id(op)], found_at[id(op)]))
    paths = tree.paths(outputs if structure is None else structure)
    names = {id(y): ".".join(map(str, path)) for y, path in zip(outputs, paths)}
    run_order = _checked(by_depth, inputs, names)
    _check_names(ordered)
    return LayerGraph(run_order, dict(sorted(by_depth.items())), ordered)


def _parents(node: Node, given: set[int]) -> list[Node]:
    return list({id(n): n for n in (node_of(x) for x in node.input_tensors if id(x) not in given)}.values())


def _search(given: set[int], outputs: list[KerasTensor]) -> tuple[list[Node], dict[int, int]]:
    """Nodes behind the outputs, each after those it needs; and when each operation was met first."""
    finished: list[Node] = []
    done: set[int] = set()
    found_at: dict[int, int] = {}
    for output in (y for y in outputs if id(y) not in given):
        stack: list[tuple[Node, Iterator[Node], bool]] = [(node_of(output), iter(()), False)]
        while stack:
            node, pending, opened = stack.pop()
            if not opened:
                if id(node) in done:
                    continue
                found_at.setdefault(id(node.operation), len(found_at))
                pending = iter(_parents(node, given))
            for parent in pending:
                if id(parent) not in done:
                    stack.append((node, pending, True))
                    stack.append((parent, iter(()), False))
                    break
            else:
                if id(node) not in done:
                    done.add(id(node))
                    finished.append(node)
    return finished, found_at


def _checked(by_depth: dict[int, list[Node]], inputs: list[KerasTensor], outputs: dict[int, str]) -> list[Node]:
    available, lost = {id(x) for x in inputs}, dict[int, str]()  # lost: what an input outside makes, and its name
    order: list[Node] = []
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if all(id(y) in available for y in node.outputs):
                order.append(node)
                continue
            source = next((lost[id(x)] for x in node.input_tensors if id(x) in lost), None)
            source = node.operation.name if node.is_input else source
            if source is not None:
                lost.update((id(y), source) for y in node.outputs)
                continue
            for x in node.input_tensors:
                if id(x) not in available:
                    raise ValueError(
                        f"Graph disconnected: cannot find parent for tensor {x} at operation {node.operation.name!r}: "
                        "it does not come from the `inputs` of the model"
                    )
            available.update(id(y) for y in node.outputs)
            order.append(node)
    for tensor, path in outputs.items():
        if tensor in lost:
            raise ValueError(
                f"Output with path `{path}` is not connected to `inputs`. Graph disconnected: it depends on the input "
                f"{lost[tensor]!r}, which is not among the `inputs` of the model"
            )
    return order


def _check_names(operations: list[Any]) -> None:
    names = [op.name for op in operations]
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f'The name "{name}" is used {names.count(name)} times in the model. All operation names should be unique.'
        )


class Step(NamedTuple):
    """One call when a model runs: values come from and go to numbered slots."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int, ...]
    direct: tuple[int, ...] | None  # slots, when all arguments are bare tensors


class Slot(NamedTuple):
    """Stands for a KerasTensor in the arguments of a Step."""

    number: int


class Schedule:
    """A LayerGraph as a list of calls that only has to be followed."""

    def __init__(self, graph: LayerGraph, inputs: list[KerasTensor], outputs: list[KerasTensor]) -> None:
        slots: dict[int, int] = {}
        for x in inputs:
            slots.setdefault(id(x), len(slots))
        self.inputs = [slots[id(x)] for x in inputs]
        self.steps: list[Step] = []
        for node in graph.nodes:
            if all(id(y) in slots for y in node.outputs):
                continue
            args, kwargs = tree.map_structure(
                lambda a: Slot(slots[id(a)]) if isinstance(a, KerasTensor) else a, (node.args, node.kwargs)
            )
            made = []
            for y in node.outputs:
                slots[id(y)] = len(slots)
                made.append(slots[id(y)])
            direct = tuple(a.number for a in args) if not kwargs and all(isinstance(a, Slot) for a in args) else None
            self.steps.append(Step(node.operation, args, kwargs, tuple(made), direct))
        self.outputs = [slots[id(y)] for y in outputs]
        self.size = len(slots)

    def remade(self, inputs: list[KerasTensor], specs: list[Any]) -> list[KerasTensor]:
        """The outputs after the calls have been recorded once more, from these inputs. `specs` are shapes, dtypes and
        names of the tensors in the slots. A call that another model has recorded already is not recorded twice."""
        slots: list[Any] = [None] * self.size
        for i, x in zip(self.inputs, inputs):
            slots[i] = x
        taken: set[int] = set()
        for step in self.steps:
            step.operation._forget_graph()
            args, kwargs = _fill(step.args, slots), _fill(step.kwargs, slots)
            known = (n for n in step.operation._inbound_nodes if id(n) not in taken and _same_call(n, args, kwargs))
            node = next(known, None)
            if node is None:
                made = [KerasTensor(shape, dtype, name=name) for shape, dtype, name in (specs[i] for i in step.outputs)]
                node = Node(step.operation, args, kwargs, made)
            taken.add(id(node))
            for i, y in zip(step.outputs, node.outputs):
                slots[i] = y
        return [slots[i] for i in self.outputs]

    def run(self, values: list[Any], call: Callable[..., Any] | None = None, training: bool | None = None) -> list[Any]:
        """The outputs for these inputs; `call(operation, *args, **kwargs)` in place of `operation(*args, **kwargs)`.

        A `training` flag that was given when the graph was made holds, for the calls behind it as well, unless the
        model is called with one: that reaches every call.
        """
        if training is None or context.entry is not None:
            return self._run(values, call, training)
        before = context.training  # of a `model.call(x, training=True)` that is no part of another call
        try:
            return self._run(values, call, training)
        finally:
            context.training = before

    def _run(self, values: list[Any], call: Callable[..., Any] | None, training: bool | None) -> list[Any]:
        slots: list[Any] = [None] * self.size
        for i, value in zip(self.inputs, values):
            slots[i] = value
        for operation, args, kwargs, outputs, direct in self.steps:
            if training is not None:
                context.training = training
            if direct is not None:
                filled: Any = [slots[i] for i in direct]
                keywords: dict[str, Any] = {}
            else:
                filled, keywords = _fill(args, slots), _fill(kwargs, slots)
                if training is not None and "training" in keywords:
                    keywords["training"] = training
            result = call(operation, *filled, **keywords) if call is not None else operation(*filled, **keywords)
            if len(outputs) == 1 and not isinstance(result, (list, tuple, dict)):
                slots[outputs[0]] = result
            else:
                for i, y in zip(outputs, tree.flatten(result)):
                    slots[i] = y
        return [slots[i] for i in self.outputs]


def _fill(structure: Any, slots: list[Any]) -> Any:
    if isinstance(structure, Slot):
        return slots[structure.number]
    if isinstance(structure, (list, tuple)):
        items = [_fill(s, slots) for s in structure]
        return items if isinstance(structure, list) else tuple(items)
    if isinstance(structure, dict):
        return {key: _fill(s, slots) for key, s in structure.items()}
    return structure


def _same_call(node: Node, args: Any, kwargs: dict[str, Any]) -> bool:
    mine, its = tree.flatten((args, kwargs)), tree.flatten((node.args, node.kwargs))
    plain = (int, float, str, bool, slice)
    return len(mine) == len(its) and all(
        a is b or (type(a) is type(b) and isinstance(a, plain) and a == b) for a, b in zip(mine, its)
    )
