"""Losses that are told probabilities, not logits, divide each row by its sum before the logarithm. Behind a softmax
that sum is 1, and so the gradient needs neither it nor, where one class of a row counts, zeros around its share."""

from __future__ import annotations

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.tensor import Symbol
from nacre.ops.base import scalar
from nacre.ops.elementwise import Add, BroadcastTo, Div, Lt, Mul, Neg, Select, SumTo
from nacre.ops.gather import TakeAlong, TakeAlongGradX
from nacre.ops.movement import Reshape
from nacre.ops.probabilities import Softmax, SoftmaxGradX, SoftmaxXentGrad
from nacre.passes.rewrite import Rewrite


def shorten_likelihoods(graph: Graph) -> None:
    """In place. A row with NaN is NaN in all of its probabilities, so that nothing is hidden by leaving out its sum."""
    _Likelihoods(graph).run()


class _Likelihoods(Rewrite):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._sums = {id(s) for node in graph.nodes if isinstance(node.op, Div) for s in _normalizes(node)}

    def take(self, node: Node) -> None:
        if (
            isinstance(node.op, Div)
            and id(node.inputs[1]) in self._sums
            and node.inputs[0].spec == node.outputs[0].spec
        ):
            self.replaced[id(node.outputs[0])] = node.inputs[0]
            return
        self.nodes.append(node)
        if isinstance(node.op, SoftmaxGradX):
            self._shorten(node)

    def _shorten(self, node: Node) -> None:
        """dx = p (dy - sum(p dy)) of dy = a + h, where h = -sum(p a) is what goes back through the row's sum."""
        p, whole = node.inputs[0], _rows(node.inputs[1])
        if whole.node is None or not isinstance(whole.node.op, Add):
            return
        for a, spread in (whole.node.inputs, whole.node.inputs[::-1]):
            h = _input_of(spread, BroadcastTo)
            if h is None or h.shape != (*a.shape[:-1], 1):
                continue
            one, share = a, a  # the number of the class that counts, and its gradient
            if a.node is not None and isinstance(a.node.op, TakeAlongGradX) and a.node.op.axis == len(a.shape) - 1:
                share, one = a.node.inputs
            if not _is_sum(h, share, p, one if one.shape == h.shape else None):
                continue
            if one is not a and one.shape == h.shape:
                rows, n = (p.shape[0],), p.shape[1]
                label = self.made(Reshape(rows), one)
                zero, last = (self.graph.constant(scalar(i, label.dtype)) for i in (0, n))  # -1 is the last class
                label = self.made(Select(), self.made(Lt(), label, zero), self.made(Add(), label, last), label)
                node.op, node.inputs = SoftmaxXentGrad(), (p, label, self.made(Reshape(rows), h))
            else:
                node.inputs = (p, self.made(Reshape(p.shape), a))
            self.nodes.append(self.nodes.pop(self.nodes.index(node)))
            return


def _rows(s: Symbol) -> Symbol:
    """What `s` is a reshape of that leaves the last axis alone."""
    while s.node is not None and isinstance(s.node.op, Reshape) and s.node.inputs[0].shape[-1:] == s.shape[-1:]:
        s = s.node.inputs[0]
    return s


def _input_of(s: Symbol, op: type[Op]) -> Symbol | None:
    """The first input of the node that makes `s`, if it is such an op."""
    return s.node.inputs[0] if s.node is not None and isinstance(s.node.op, op) else None


def _normalizes(node: Node) -> list[Symbol]:
    """The sum of a softmax's rows, if the node divides these rows, or some numbers of each, by it."""
    x, total = node.inputs
    summed = _input_of(total, SumTo)
    if summed is None or total.node is None or total.node.op.scale != 1 or total.shape != (*summed.shape[:-1], 1):
        return []
    p = _rows(summed)
    return [total] if p.node is not None and isinstance(p.node.op, Softmax) and _picked(x)[0] is p else []


def _picked(x: Symbol) -> tuple[Symbol, Symbol | None]:
    """The rows that `x` is, or is taken from along the last axis, and the positions."""
    if x.node is not None and isinstance(x.node.op, TakeAlong) and x.node.op.axis == len(x.shape) - 1:
        return _rows(x.node.inputs[0]), x.node.inputs[1]
    return _rows(x), None


def _is_sum(h: Symbol, a: Symbol, p: Symbol, index: Symbol | None) -> bool:
    """Whether h is -sum(p a) over the rows, or of one number of each row, where `index` says which."""
    if index is None:
        total = h.node
        if total is None or not isinstance(total.op, SumTo) or total.op.scale != 1:
            return False
        h = total.inputs[0]
    product = _input_of(h, Neg)
    if product is None or product.node is None or not isinstance(product.node.op, Mul):
        return False
    for x, y in (product.node.inputs, product.node.inputs[::-1]):
        rows, at = _picked(y)
        if x is a and rows is p and at is index:
            return True
    return False


__all__ = ["shorten_likelihoods"]
