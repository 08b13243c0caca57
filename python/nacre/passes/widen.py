"""The same elementwise op on every part of a whole becomes one on the whole, as the masks of relus whose outputs were
joined, on what splits the gradient: it goes along memory once. A part of what is only repeated is repeated by itself.
"""

from __future__ import annotations

from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import BroadcastTo, Elementwise
from nacre.ops.movement import Concat, Split
from nacre.passes.simplify import remove_dead


def widen(graph: Graph) -> None:
    """In place."""
    readers: dict[int, list[Node]] = {}
    wholes: dict[Any, Symbol] = {}  # what Concats in front of a node have made, by axis and parts
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), []).append(node)
    for s in (*graph.outputs, *graph.writes.values()):
        readers.pop(id(s), None)
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.op, Concat):
            wholes.setdefault((node.op.axis, *map(id, node.inputs)), node.outputs[0])
        while isinstance(node.op, Split):
            mapped = _mapped(node, readers)
            wide = [_whole(node, parts, wholes) for parts in zip(*[m.inputs for m in mapped])]
            if not wide or any(w is None for w in wide):
                break
            nodes.append(graph.made(mapped[0].op, *[w for w in wide if w is not None]))
            outputs = tuple(m.outputs[0] for m in mapped)
            for m in mapped:
                m.outputs = ()
            node = Node(node.op, nodes[-1].outputs, outputs)
            for s in outputs:
                s.node = node
        nodes += _repeated(graph, node) or [node]
    graph.nodes = nodes
    remove_dead(graph)


def _mapped(split: Node, readers: dict[int, list[Node]]) -> list[Node]:
    """The only readers of the parts, if all of these are read by one elementwise op each, and that is the same."""
    found = [r[0] for r in (readers.get(id(s), ()) for s in split.outputs) if len(r) == 1]
    same = len(found) == len(split.outputs) == len({id(n) for n in found}) and len({n.op for n in found}) == 1
    if not same or not isinstance(found[0].op, Elementwise) or isinstance(found[0].op, BroadcastTo):
        return []
    return found if all(n.outputs[0].shape == s.shape for n, s in zip(found, split.outputs)) else []


def _whole(split: Node, parts: tuple[Symbol, ...], wholes: dict[Any, Symbol]) -> Symbol | None:
    """The value of which these are the parts that the split would cut it into, if there is one."""
    if all(p is s for p, s in zip(parts, split.outputs)):
        return split.inputs[0]
    if any(p.shape != s.shape for p, s in zip(parts, split.outputs)):
        return None
    return wholes.get((split.op.axis, *map(id, parts)))


def _repeated(graph: Graph, node: Node) -> list[Node]:
    """In place of the Split of what repeats x: parts of x, each repeated."""
    made = node.inputs[0].node if isinstance(node.op, Split) else None
    if made is None or not isinstance(made.op, BroadcastTo):
        return []
    x = made.inputs[0]
    axis = node.op.axis - len(node.inputs[0].shape) + len(x.shape)
    if axis < 0 or x.shape[axis] == 1:
        parts = [x] * len(node.outputs)
        nodes = []
    else:
        op = Split(node.op.sizes, axis)
        outs = tuple(Symbol(graph, spec) for spec in op.infer(x.spec))
        nodes = [Node(op, (x,), outs)]
        parts = list(outs)
        for s in outs:
            s.node = nodes[0]
    for part, y in zip(parts, node.outputs):
        y.node = Node(BroadcastTo(y.shape), (part,), (y,))
        nodes.append(y.node)
    return nodes
