"""Removes what nobody reads, computes once what is computed twice, does now what needs no input, and follows zeros,
such as the imaginary part of a real signal, through sums and products."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.graph import Graph, Node
from nacre.core.op import run
from nacre.core.tensor import Symbol, Tensor
from nacre.ops.elementwise import (
    Add,
    BroadcastTo,
    Cast,
    Copy,
    Elementwise,
    LogicalAnd,
    LogicalOr,
    Max,
    Min,
    Mul,
    StopGradient,
    Sub,
)  # fmt: skip
from nacre.ops.movement import Reshape, Transpose
from nacre.ops.products import MatMul

_MOST_FOLDED = 1 << 16  # elements: larger constants are cheaper to make again than to keep


def simplify(graph: Graph) -> None:
    """In place: common subexpressions, constant folding, x * 1, x + 0, axes turned twice, and dead code."""
    replaced: dict[int, Symbol] = {}
    seen: dict[Any, Node] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        inputs = tuple([replaced.get(id(s), s) for s in node.inputs])
        if isinstance(node.op, Elementwise):
            inputs = tuple([_as_number(graph, s, replaced, kept) for s in inputs])
        node.inputs = inputs
        _vanish(node)
        _turn_once(node)
        same = _identity(node)
        if same is not None:
            replaced[id(node.outputs[0])] = same
            continue
        key = (node.op, *[id(s) for s in inputs])
        twin = seen.get(key)
        if twin is not None:
            replaced.update({id(a): b for a, b in zip(node.outputs, twin.outputs)})
            continue
        known = all(s.kind == "constant" for s in inputs)
        if known and sum(s.spec.size for s in node.outputs) <= _MOST_FOLDED and not _spreads(node):
            with trace.tracing(None), trace.no_tapes():
                values = run(node.op, tuple(Tensor(s.payload) for s in inputs))
            replaced.update({id(s): graph.constant(v) for s, v in zip(node.outputs, values)})
            continue
        seen[key] = node
        kept.append(node)
    graph.nodes = kept
    graph.outputs = [replaced.get(id(s), s) for s in graph.outputs]
    graph.current = {v: replaced.get(id(s), s) for v, s in graph.current.items()}
    remove_dead(graph)


def remove_dead(graph: Graph) -> None:
    """In place: drops nodes that reach neither an output nor a Variable, and Variables that are not read."""
    writes = graph.writes
    live = {id(s) for s in (*graph.outputs, *writes.values())}
    kept = []
    for node in reversed(graph.nodes):
        if any(id(s) in live for s in node.outputs):
            live.update(id(s) for s in node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]
    graph.state = {v: s for v, s in graph.state.items() if id(s) in live or v in writes}
    graph.current = {v: graph.current[v] for v in graph.state}


def _as_number(graph: Graph, s: Symbol, replaced: dict[int, Symbol], kept: list[Node]) -> Symbol:
    """A constant whose elements are all the same bits, as gradients of sums outside of the program are, as one number
    that is repeated."""
    if s.kind != "constant" or s.spec.size < 2:
        return s
    if id(s) not in replaced:
        flat = s.payload.ravel()
        bits = flat.view(f"u{flat.itemsize}")
        replaced[id(s)] = s
        if bits[0] == bits[-1] and (bits == bits[0]).all():
            kept.append(graph.made(BroadcastTo(s.shape), graph.constant(Tensor(flat[:1].reshape(()).copy()))))
            replaced[id(s)] = kept[-1].outputs[0]
    return replaced[id(s)]


def _spreads(node: Node) -> bool:
    """A constant repeated along axes: its readers broadcast it themselves, cheaper than from memory."""
    return isinstance(node.op, BroadcastTo) and node.outputs[0].spec.size > 1


def repeats(s: Symbol, number: float) -> Symbol | None:
    """The constant of one element that `s` repeats, if that is `number`."""
    if s.kind == "constant":
        return s if s.spec.size == 1 and s.payload.flat[0] == number else None
    if s.node is None or not isinstance(s.node.op, (BroadcastTo, Reshape)):
        return None
    return repeats(s.node.inputs[0], number)


def _vanish(node: Node) -> None:
    """In place: the product of zeros and finite constants is zeros."""
    if not isinstance(node.op, MatMul):
        return
    for a, b in (node.inputs, node.inputs[::-1]):
        nothing = repeats(a, 0)
        if nothing is not None and not nothing.shape and b.kind == "constant" and bool(np.isfinite(b.payload).all()):
            node.op, node.inputs = BroadcastTo(node.outputs[0].shape), (nothing,)
            return


def _turn_once(node: Node) -> None:
    """In place: what was transposed before is read as it was."""
    before = node.inputs[0].node if isinstance(node.op, Transpose) else None
    if before is not None and isinstance(before.op, Transpose):
        node.op, node.inputs = Transpose(tuple([before.op.perm[p] for p in node.op.perm])), before.inputs


def _identity(node: Node) -> Symbol | None:
    """The input that the node's only output equals, if it plainly does."""
    op, y = node.op, node.outputs[0]
    if isinstance(op, (Copy, StopGradient)) or (isinstance(op, (Cast, BroadcastTo)) and node.inputs[0].spec == y.spec):
        return node.inputs[0]
    if isinstance(op, Transpose) and op.perm == tuple(range(len(op.perm))):
        return node.inputs[0]
    if isinstance(op, (LogicalAnd, LogicalOr, Max, Min)) and node.inputs[0] is node.inputs[1]:  # a mask and itself
        return node.inputs[0] if node.inputs[0].spec == y.spec else None
    neutral = 1 if isinstance(op, Mul) else 0 if isinstance(op, (Add, Sub)) else None
    if neutral is not None:
        a, b = node.inputs
        if a.spec == y.spec and repeats(b, neutral) is not None:
            return a
        if b.spec == y.spec and repeats(a, neutral) is not None and not isinstance(op, Sub):
            return b
    return None
