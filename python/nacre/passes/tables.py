"""A product of rows that were taken out of a table smaller than they are: the table is multiplied, and rows of the
product are taken; what its rows give back is added up before it is multiplied. Networks that read letters, or few words
many times, begin so. (A position outside the table still makes its row, and so the loss, NaN, but spoils no weight.)"""

from __future__ import annotations

from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import Add
from nacre.ops.gather import Take, TakeGradX
from nacre.ops.movement import Reshape, Transpose
from nacre.ops.products import MatMul
from nacre.passes.rewrite import Rewrite

_TIMES = 2  # as many rows are taken as the table has, at least
_COLUMNS = 32  # of the table, at least: fewer are multiplied as quickly as products are moved


def multiply_tables(graph: Graph) -> None:
    """In place."""
    _Tables(graph).run()


class _Tables(Rewrite):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._known: dict[Any, Symbol] = {}
        self._taken: dict[int, tuple[Symbol, Symbol]] = {}  # by the rows of a product: that, and their numbers

    def take(self, node: Node) -> None:
        op = node.op
        if isinstance(op, MatMul) and op.key == MatMul(False, False).key:
            x, w = node.inputs
            found = self._rows(x) if len(w.shape) == 2 else None
            if found is not None:
                table, index = found
                product = self.made(MatMul(False, False), table, w)
                self._taken[id(node.outputs[0])] = product, index
                node.op, node.inputs = Take(0), (product, index)
        elif isinstance(op, MatMul) and op.key == MatMul(True, False).key:
            x, dy = node.inputs
            found = self._rows(x) if len(x.shape) == len(dy.shape) == 2 else None
            if found is not None:
                table, index = found
                node.inputs = table, self.made(TakeGradX(0, (table.shape[0], dy.shape[1])), dy, index)
        elif isinstance(op, TakeGradX) and op.axis == 0 and len(op.shape) == 2:
            self._give_back(node)
        elif isinstance(op, Add):
            self._add(node)
        self.nodes.append(node)

    def _rows(self, x: Symbol) -> tuple[Symbol, Symbol] | None:
        """The table that the rows of `x` (M, K) are taken from, and their numbers (M,)."""
        moves = []
        while x.node is not None and _moves_rows(x.node):
            moves.append(x.node)
            x = x.node.inputs[0]
        if x.node is None or not isinstance(x.node.op, Take) or x.node.op.axis != 0:
            return None
        table, index = x.node.inputs
        if len(table.shape) != 2 or not _pays(table.shape, index.spec.size):
            return None
        for move in reversed(moves):
            rows = move.op.perm[:-1] if isinstance(move.op, Transpose) else move.outputs[0].shape[:-1]
            index = self.made(type(move.op)(rows), index)
        return table, index

    def _give_back(self, node: Node) -> None:
        """The gradient of the table from those of the rows of its product."""
        g, index = node.inputs
        moves = []
        while g.node is not None and _moves_rows(g.node):
            moves.append(g.node)
            g = g.node.inputs[0]
        if g.node is None or not isinstance(g.node.op, MatMul) or g.node.op.key != MatMul(False, True).key:
            return
        if not _pays(node.op.shape, index.spec.size) or len(g.node.inputs[1].shape) != 2:
            return
        for move in moves:
            if isinstance(move.op, Transpose):
                perm = move.op.perm[:-1]
                back: Op = Transpose(tuple(perm.index(i) for i in range(len(perm))))
            else:
                back = Reshape(move.inputs[0].shape[:-1])
            index = self.made(back, index)
        dy, w = g.node.inputs
        node.op = MatMul(False, True)
        node.inputs = self.made(TakeGradX(0, (node.outputs[0].shape[0], dy.shape[1])), dy, index), w

    def _add(self, node: Node) -> None:
        """A bias is added to the product, which has fewer rows than are taken."""
        y = node.outputs[0]
        for x, b in (node.inputs, node.inputs[::-1]):
            rows = x.node.inputs[0] if x.node is not None and isinstance(x.node.op, Reshape) else x
            if id(rows) in self._taken and x.shape == y.shape and b.shape == y.shape[-1:] == rows.shape[-1:]:
                product, index = self._taken[id(rows)]
                taken = self.made(Take(0), self.made(Add(), product, b), index)
                node.op, node.inputs = Reshape(y.shape), (taken,)
                return

    def made(self, op: Op, *inputs: Symbol) -> Symbol:
        """The same value for the same inputs, made once."""
        key = (op, *[id(s) for s in inputs])
        if key not in self._known:
            self._known[key] = super().made(op, *inputs)
        return self._known[key]


def _moves_rows(node: Node) -> bool:
    if isinstance(node.op, Transpose):
        return bool(node.op.perm) and node.op.perm[-1] == len(node.op.perm) - 1
    return isinstance(node.op, Reshape) and node.inputs[0].shape[-1:] == node.outputs[0].shape[-1:]


def _pays(table: tuple[int, ...], rows: int) -> bool:
    return rows >= _TIMES * table[0] and table[1] >= _COLUMNS


__all__ = ["multiply_tables"]
