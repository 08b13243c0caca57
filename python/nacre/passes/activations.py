"""Activations of several elementwise steps, such as GELU, as the one number by which kernels know them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import Add, Clip, Erf, Mul, Relu, Sigmoid, Tanh
from nacre.ops.fused import DenseBias
from nacre.ops.movement import Reshape
from nacre.passes.fuse import literal

NONE, RELU, RELU6 = range(3)  # `act` of the kernels; the others, in activate.h, come with their steps

_X = "x"
_HARD = (Mul, (Clip, (Add, _X, 3.0), 0.0, 6.0), 1.0 / 6.0)
_STEPS: dict[int, tuple[Any, ...]] = {
    RELU: (Relu, _X),
    RELU6: (Clip, _X, 0.0, 6.0),
    3: _HARD,
    4: (Mul, _X, _HARD),
    5: (Sigmoid, _X),
    6: (Mul, _X, (Sigmoid, _X)),
    7: (Tanh, _X),
    8: (Mul, (Mul, _X, (Add, (Erf, (Mul, _X, math.sqrt(0.5))), 1.0)), 0.5),
}
_LAST: dict[type[Op], list[int]] = {}
for _act, _tree in _STEPS.items():
    _LAST.setdefault(_tree[0], []).insert(0, _act)  # the longest first


class Activation:
    """`act` of the value `x`, which the nodes `inside` compute, the last of them its result."""

    def __init__(self, act: int, x: Symbol, inside: list[Node]) -> None:
        self.act = act
        self.x = x
        self.inside = inside

    def read_only_here(self, readers: dict[int, list[Node]]) -> bool:
        """Whether nobody else reads x or what lies between; `readers` as `readers_of` gives them."""
        ours = {id(node) for node in self.inside}
        values = [self.x, *(node.outputs[0] for node in self.inside[:-1])]
        return all(id(s) in readers and all(id(r) in ours for r in readers[id(s)]) for s in values)


def activation_of(node: Node) -> Activation | None:
    """The activation whose last step `node` is."""
    for act in _LAST.get(type(node.op), ()):
        inside: dict[int, Node] = {}
        x = _matched(_STEPS[act], node, None, inside)
        if x is not None:
            return Activation(act, x, list(inside.values()))
    return None


def _matched(tree: tuple[Any, ...], node: Node, x: Symbol | None, inside: dict[int, Node]) -> Symbol | None:
    """What stands for x where `node` and those before it are the steps of `tree`; they are added to `inside`."""
    kind, *parts = tree
    if not isinstance(node.op, kind) or len(node.inputs) != len(parts):
        return None
    turns = [node.inputs, node.inputs[::-1]] if kind in (Add, Mul) else [node.inputs]
    for inputs in turns:
        found, seen = x, dict(inside)
        for part, s in zip(parts, inputs):
            if part is _X:
                ok = found is None or found is s
                found = s
            elif isinstance(part, float):
                number = literal(s)
                ok = number is not None and np.float32(number) == np.float32(part)
            else:
                below = _matched(part, s.node, found, seen) if s.node is not None else None
                ok = below is not None
                found = below if ok else found
            if not ok:
                break
        else:
            inside.clear()
            inside.update(seen)
            inside[id(node)] = node
            return found
    return None


def activate_dense(graph: Graph, readers: dict[int, list[Node]]) -> None:
    """In place: dense layers with a bias take in the activation that only they feed, also behind a reshape."""
    gone: set[int] = set()
    for node in graph.nodes:
        found = activation_of(node)
        if found is None or found.act in (RELU, RELU6) or found.x.dtype != "float32":
            continue
        x, reshape = found.x, None
        if x.node is not None and isinstance(x.node.op, Reshape):
            reshape, x = x.node, x.node.inputs[0]
            if [id(r) for r in readers.get(id(x), ())] != [id(reshape)]:
                continue
        dense = x.node
        if dense is None or not isinstance(dense.op, DenseBias) or dense.op.act != NONE:
            continue
        if not found.read_only_here(readers):
            continue
        active = DenseBias(found.act)
        gone.update(id(n) for n in (*found.inside[:-1], reshape or dense))
        if reshape is None:
            node.op, node.inputs = active, dense.inputs
        else:
            dense.op, node.op, node.inputs = active, reshape.op, (x,)
    graph.nodes = [n for n in graph.nodes if id(n) not in gone]


def readers_of(graph: Graph) -> dict[int, list[Node]]:
    """The nodes that read each value, by its id, but for values that leave the graph."""
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), []).append(node)
    for s in (*graph.outputs, *graph.writes.values()):
        readers.pop(id(s), None)
    return readers
