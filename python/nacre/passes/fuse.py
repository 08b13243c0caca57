"""Chains of elementwise ops become one op: values between them stay in tiles that fit the L1 cache.

A group runs where its last member stood. A member may join the group of one of its producers when all have the same
shape, nothing outside the group reads a member before that place, and the result stays within the kernel's limits.
"""

from __future__ import annotations

from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import BroadcastTo, Elementwise
from nacre.ops.lowering import (
    MOST_CONSTS,
    MOST_INPUTS,
    MOST_OUTPUTS,
    MOST_STEPS,
    Step,
    domain_of,
    lower_elementwise,
)


class Fused(Op):
    """Several elementwise ops as one: `steps` in the form of `lowering.Step`, `outs` the value number of each output."""

    steps: tuple[Step, ...]
    outs: tuple[int, ...]
    shape: tuple[int, ...]
    dtypes: tuple[str, ...]

    def infer(self, *xs: Spec) -> Any:
        return tuple(Spec(self.shape, d) for d in self.dtypes)

    def lower(self, k: Any, *operands: Any) -> None:
        n = len(operands) - len(self.outs)
        lower_elementwise(k, self.steps, self.outs, operands[:n], operands[n:], self.shape)


class _Group:
    def __init__(self, domain: str, shape: tuple[int, ...]) -> None:
        self.members: list[Node] = []
        self.domain = domain
        self.shape = shape
        self.inputs: dict[int, Symbol] = {}
        self.steps = 0


def fuse(graph: Graph) -> None:
    """In place: elementwise nodes joined into `Fused` ones."""
    order = {id(node): i for i, node in enumerate(graph.nodes)}
    readers: dict[int, list[int]] = {}
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), []).append(order[id(node)])
    escapes = {id(s) for s in (*graph.outputs, *graph.writes.values())}
    group_of: dict[int, _Group] = {}  # id of an output symbol -> its group

    for node in graph.nodes:
        if not isinstance(node.op, Elementwise):
            continue
        y = node.outputs[0]
        domain = domain_of([s.dtype for s in (*node.inputs, y)])
        best = None
        for s in node.inputs:
            g = group_of.get(id(s))
            if g is not None and g is not best and _fits(g, node, domain, order, readers, escapes, group_of):
                best = g
        if best is None:
            best = _Group(domain, y.shape)
        _join(best, node)
        group_of[id(y)] = best

    _rebuild(graph, group_of, readers, order, escapes)


def _external(s: Symbol) -> Symbol:
    """What a group reads for `s`: a value that is only repeated along axes is read where it comes from."""
    while s.node is not None and isinstance(s.node.op, BroadcastTo):
        s = s.node.inputs[0]
    return s


def _join(group: _Group, node: Node) -> None:
    inside = {id(m.outputs[0]) for m in group.members}
    group.members.append(node)
    group.steps += len(node.op.steps(len(node.inputs)))  # type: ignore[attr-defined]
    for s in node.inputs:
        if id(s) not in inside:
            group.inputs[id(_external(s))] = _external(s)


def _fits(
    group: _Group, node: Node, domain: str, order: dict[int, int], readers: dict[int, list[int]], escapes: set[int],
    group_of: dict[int, _Group],
) -> bool:  # fmt: skip
    y = node.outputs[0]
    if y.shape != group.shape or domain != group.domain:
        return False
    inside = {id(m.outputs[0]): m for m in group.members}
    for s in node.inputs:
        m = inside.get(id(s))
        # Inside a group a value is of the compute type; only 0/1 of comparisons is the same as its bool.
        if m is not None and not (s.dtype in ("float32", "float64") or s.dtype == "bool" or domain == "elementwise_i64"):
            return False
        if m is not None and domain == "elementwise_i64" and s.dtype not in ("int64", "bool"):
            return False  # a narrower integer wraps when it is stored
        if m is not None and domain == "elementwise_f64" and s.dtype == "float32":
            return False
    new_inputs = {id(_external(s)) for s in node.inputs if id(s) not in inside} - set(group.inputs)
    if len(group.inputs) + len(new_inputs) > MOST_INPUTS:
        return False
    steps = group.steps + len(node.op.steps(len(node.inputs)))  # type: ignore[attr-defined]
    if steps > MOST_STEPS or _temporaries(group, steps) > 38 or _constants(group, node) > MOST_CONSTS:
        return False
    place = order[id(node)]
    outside = 0
    members = {order[id(m)] for m in group.members} | {place}
    for m in (*group.members, node):
        s = m.outputs[0]
        others = [r for r in readers.get(id(s), ()) if r not in members]
        if any(r < place for r in others):
            return False  # somebody needs it before the group has run
        if m is not node and (others or id(s) in escapes):
            outside += 1
    # an input that is computed between the group's place so far and here is fine: the group moves to here
    return outside + 1 <= MOST_OUTPUTS


def _temporaries(group: _Group, steps: int) -> int:
    return steps  # at worst every result lives to the end


def _constants(group: _Group, node: Node) -> int:
    return sum(
        1 for m in (*group.members, node) for _, args in m.op.steps(len(m.inputs)) for a in args if not isinstance(a, int)  # type: ignore[attr-defined]
    ) + sum(1 for s in group.inputs.values() if _literal(s) is not None) + sum(1 for s in node.inputs if _literal(s) is not None)


def _literal(s: Symbol) -> float | None:
    """The number that a constant of one element holds, if the kernels' float immediates hold it exactly."""
    s = _external(s)
    if s.kind != "constant" or s.spec.size != 1:
        return None
    number = s.payload.flat[0]
    return float(number) if s.dtype != "int64" or abs(int(number)) < 2**53 else None


def _rebuild(
    graph: Graph, group_of: dict[int, _Group], readers: dict[int, list[int]], order: dict[int, int], escapes: set[int]
) -> None:
    nodes: list[Node] = []
    for node in graph.nodes:
        group = group_of.get(id(node.outputs[0]))
        if group is None:
            nodes.append(node)
        elif node is group.members[-1]:
            fused = _fused(group, readers, order, escapes)
            if fused is not None:
                nodes.append(fused)
    graph.nodes = nodes


def _fused(group: _Group, readers: dict[int, list[int]], order: dict[int, int], escapes: set[int]) -> Node | None:
    if len(group.members) == 1 and not any(_literal(s) is not None or _external(s) is not s for s in group.members[0].inputs):
        return group.members[0]
    inside = {id(m.outputs[0]) for m in group.members}
    inputs = [s for s in group.inputs.values() if _literal(s) is None]
    if not inputs and not group.inputs:
        return group.members[0]
    numbers: dict[int, Any] = {id(s): i for i, s in enumerate(inputs)}
    for s in group.inputs.values():
        if _literal(s) is not None:
            numbers[id(s)] = ("const", _literal(s))
    steps: list[Step] = []
    n = len(inputs)
    for m in group.members:
        sources = [numbers[id(s)] if id(s) in inside else numbers[id(_external(s))] for s in m.inputs]
        own = m.op.steps(len(m.inputs))  # type: ignore[attr-defined]
        base = n + len(steps)
        for name, args in own:
            steps.append(
                (name, tuple(a if not isinstance(a, int) else sources[a] if a < len(sources) else base + a - len(sources)
                             for a in args))
            )  # fmt: skip
        numbers[id(m.outputs[0])] = n + len(steps) - 1
    members = {order[id(m)] for m in group.members}
    outputs = [
        m.outputs[0]
        for m in group.members
        if id(m.outputs[0]) in escapes or any(r not in members for r in readers.get(id(m.outputs[0]), ()))
    ]
    op = Fused(
        tuple(steps), tuple(numbers[id(s)] for s in outputs), group.shape, tuple(s.dtype for s in outputs)
    )
    op_inputs = tuple(inputs)
    node = Node(op, op_inputs, tuple(outputs))
    for s in outputs:
        s.node = node
    return node


