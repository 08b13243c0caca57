"""Batched products read and write matrices the other way round instead of having them turned: attention written by
hand, `Dot` along the last axes, and their gradients."""

from __future__ import annotations

from nacre.core.graph import Graph, Node
from nacre.core.tensor import Symbol
from nacre.ops.movement import Reshape, Transpose
from nacre.ops.products import MatMul
from nacre.passes.rewrite import Rewrite


def multiply_turned(graph: Graph) -> None:
    """In place."""
    _Turned(graph).run()


class _Turned(Rewrite):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        reads = [s for node in graph.nodes for s in node.inputs] + [*graph.outputs, *graph.current.values()]
        self._readers: dict[int, int] = {}
        for s in reads:
            self._readers[id(s)] = self._readers.get(id(s), 0) + 1

    def take(self, node: Node) -> None:
        if isinstance(node.op, MatMul) and len(node.outputs[0].shape) == 3:
            turns, inputs = [], []
            for turn, s in zip((node.op.ta, node.op.tb), node.inputs):
                straight = self._straight(s) if len(s.shape) == 3 else None
                turns.append(turn != (straight is not None))
                inputs.append(s if straight is None else straight)
            node.op, node.inputs = MatMul(*turns), tuple(inputs)
        elif _swaps(node):
            self._write_turned(node)
        self.nodes.append(node)

    def _straight(self, s: Symbol) -> Symbol | None:
        """The matrices whose transposes `s` (B, M, K) is, (B, K, M)."""
        turned = s.node.inputs[0] if s.node is not None and _is_matrices(s.node) else s
        if turned.node is None or not _swaps(turned.node):
            return None
        x = turned.node.inputs[0]
        return x if len(x.shape) == 3 else self.made(Reshape((s.shape[0], s.shape[2], s.shape[1])), x)

    def _write_turned(self, node: Node) -> None:
        """The transposes of a product that nobody else reads: (a b)' = b' a'."""
        y = node.inputs[0]
        made = y.node.inputs[0] if y.node is not None and _is_matrices(y.node) else y
        product = made.node
        alone = all(self._readers.get(id(s), 0) == 1 for s in {id(s): s for s in (y, made)}.values())
        if not alone or product is None or not isinstance(product.op, MatMul) or len(made.shape) != 3:
            return
        a, b = product.inputs
        op = MatMul(not product.op.tb, not product.op.ta)
        if made is y:
            node.op, node.inputs = op, (b, a)
        else:
            node.op, node.inputs = Reshape(node.outputs[0].shape), (self.made(op, b, a),)


def _swaps(node: Node) -> bool:
    """The last two axes of at least three, and nothing else."""
    if not isinstance(node.op, Transpose):
        return False
    n = len(node.op.perm)
    return n > 2 and node.op.perm == (*range(n - 2), n - 1, n - 2)


def _is_matrices(node: Node) -> bool:
    """A reshape of all axes but the last two."""
    return isinstance(node.op, Reshape) and node.inputs[0].shape[-2:] == node.outputs[0].shape[-2:]


__all__ = ["multiply_turned"]
