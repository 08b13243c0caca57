"""Gradients of slices that lie side by side are joined, where they were a sum of values with zeros around them: what
gates, halves and heads that were cut out of one value give back goes along memory once. So are those of rows that were
looked up in one table at several places of a model: a whole table of gradients costs more than their rows."""

from __future__ import annotations

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import Add
from nacre.ops.gather import TakeGradX
from nacre.ops.movement import Concat, Pad, Reshape
from nacre.passes.simplify import remove_dead


def adjoin(graph: Graph) -> None:
    """In place: `Add` of two `Pad`s with zeros becomes a `Concat`, with zeros around it where it is not the whole, that
    of two `TakeGradX` along the first axis becomes one."""
    reads: dict[int, int] = {}
    for s in (*graph.outputs, *graph.writes.values(), *(s for node in graph.nodes for s in node.inputs)):
        reads[id(s)] = reads.get(id(s), 0) + 1
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _joined(graph, node, reads) or _looked_up(graph, node, reads) or [node]
    graph.nodes = nodes
    remove_dead(graph)


def _joined(graph: Graph, node: Node, reads: dict[int, int]) -> list[Node]:
    if not isinstance(node.op, Add):
        return []
    pads = [s.node for s in node.inputs if s.node is not None and isinstance(s.node.op, Pad) and reads[id(s)] == 1]
    if len(pads) != 2 or any(p.op.fill for p in pads):
        return []
    apart = [i for i, (a, b) in enumerate(zip(pads[0].op.widths, pads[1].op.widths)) if a != b]
    if len(apart) != 1:
        return []
    axis = apart[0]
    first, second = sorted(pads, key=lambda p: p.op.widths[axis][0])
    (before, _), (at, after) = first.op.widths[axis], second.op.widths[axis]
    if before + first.inputs[0].shape[axis] != at:
        return []
    parts = (*_parts(first.inputs[0], axis, reads), *_parts(second.inputs[0], axis, reads))
    widths = tuple((before, after) if i == axis else w for i, w in enumerate(first.op.widths))
    y = node.outputs[0]
    if not any(map(any, widths)):
        return [_made(Concat(axis), parts, y)]
    whole = Symbol(graph, Concat(axis).infer(*[s.spec for s in parts]))
    reads[id(whole)] = 1
    return [_made(Concat(axis), parts, whole), _made(Pad(widths), (whole,), y)]


def _looked_up(graph: Graph, node: Node, reads: dict[int, int]) -> list[Node]:
    makers = [s.node for s in node.inputs if s.node is not None and reads[id(s)] == 1]
    if not isinstance(node.op, Add) or len(makers) != 2 or makers[0].op.key != makers[1].op.key:
        return []
    op = makers[0].op
    if not isinstance(op, TakeGradX) or op.axis != 0:
        return []
    indices = [maker.inputs[1] for maker in makers]
    if indices[0].dtype != indices[1].dtype or sum(i.spec.size for i in indices) > op.shape[0]:
        return []
    nodes: list[Node] = []

    def make(op: Op, *inputs: Symbol) -> Symbol:
        y = Symbol(graph, op.infer(*[s.spec for s in inputs]))
        reads[id(y)] = 1
        nodes.append(_made(op, inputs, y))
        return y

    def rows(s: Symbol, shape: tuple[int, ...]) -> Symbol:
        return s if s.shape == shape else make(Reshape(shape), s)

    joined = []
    for operand, row in enumerate([op.shape[1:], ()]):
        parts = [rows(m.inputs[operand], (i.spec.size, *row)) for m, i in zip(makers, indices)]
        joined.append(make(Concat(0), *(p for part in parts for p in _parts(part, 0, reads))))
    nodes.append(_made(op, tuple(joined), node.outputs[0]))
    return nodes


def _parts(s: Symbol, axis: int, reads: dict[int, int]) -> tuple[Symbol, ...]:
    """What `s` is joined from, if that is its only use."""
    made = s.node
    return made.inputs if made is not None and made.op.key == Concat(axis).key and reads[id(s)] == 1 else (s,)


def _made(op: Op, inputs: tuple[Symbol, ...], y: Symbol) -> Node:
    y.node = Node(op, inputs, (y,))
    return y.node
