"""Bias, relu, its mask and sums behind a reshape of what a product or a convolution makes move in front of it, where
they can become part of that: a convolution over time is one over images of one row, a layer on sequences multiplies
rows."""

from __future__ import annotations

from nacre.core.graph import Graph, Node
from nacre.core.tensor import Symbol
from nacre.ops.convolution import Conv2D, Conv2DGradX
from nacre.ops.elementwise import Add, Relu, ReluGrad, SumTo
from nacre.ops.movement import Reshape
from nacre.ops.products import MatMul
from nacre.passes.rewrite import Rewrite


def reshape_later(graph: Graph) -> None:
    """In place. Reshapes that lead back to the shape of the product go."""
    _Reshapes(graph).run()


class _Reshapes(Rewrite):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._before: dict[int, Symbol] = {}  # by a reshaped value: the product, or what follows it, in its own shape

    def take(self, node: Node) -> None:
        x, y = node.inputs[0] if node.inputs else None, node.outputs[0]
        if isinstance(node.op, Reshape) and x is not None:
            made = x.node is not None and isinstance(x.node.op, (Conv2D, Conv2DGradX, MatMul))
            before = self._before.get(id(x), x if made else None)
            if before is not None and before.shape == y.shape:
                self.replaced[id(y)] = before
                return
            if before is not None:
                node.inputs = (before,)
                self._before[id(y)] = before
        elif isinstance(node.op, SumTo) and x is not None:
            before = self._same_rows(x)
            if before is not None and node.op.shape == x.shape[-1:]:
                node.inputs = (before,)
        elif isinstance(node.op, (Add, Relu, ReluGrad)):
            node = self._moved(node)
        self.nodes.append(node)

    def _same_rows(self, s: Symbol) -> Symbol | None:
        """What `s` is a reshape of, if that leaves the last axis alone."""
        before = self._before.get(id(s))
        return before if before is not None and before.shape[-1:] == s.shape[-1:] else None

    def _moved(self, node: Node) -> Node:
        """The node itself, or the Reshape that now stands behind it."""
        y = node.outputs[0]
        found = [self._same_rows(s) if s.shape == y.shape else None for s in node.inputs]
        shape = next((b.shape for b in found if b is not None), None)
        if shape is None:
            return node
        inputs, added = [], []
        for s, before in zip(node.inputs, found):
            if before is not None and before.shape == shape:
                inputs.append(before)
            elif isinstance(node.op, Add) and s.shape == shape[-1:]:
                inputs.append(s)  # a bias
            elif isinstance(node.op, Add) and s.shape == y.shape and len(shape) == 4:  # convolutions take such a sum in
                added.append(self.graph.made(Reshape(shape), s))
                inputs.append(added[-1].outputs[0])
            else:
                return node
        moved = self.graph.made(node.op, *inputs)
        self.nodes += [*added, moved]
        self._before[id(y)] = moved.outputs[0]
        y.node = Node(Reshape(y.shape), moved.outputs, (y,))
        return y.node
