"""Behind a maximum over a whole image or sequence one output of each channel counts, and the gradients of the
convolution that made them need not multiply the zeros of the others."""

from __future__ import annotations

from nacre.core.graph import Graph, Node
from nacre.core.tensor import Symbol
from nacre.ops.convolution import Conv2DGradW, Conv2DGradX
from nacre.ops.convolution_sparse import Conv2DSparseGradW, Conv2DSparseGradX
from nacre.ops.elementwise import Add, Cast, Div, Eq, Mul, Neg, ReluGrad, Select
from nacre.ops.movement import Reshape, Transpose
from nacre.ops.pooling import MaxPool2DGradX
from nacre.ops.reduction import MaxTo
from nacre.passes.rewrite import Rewrite
from nacre.passes.simplify import repeats

_FEW = 32  # of so many outputs one counts: a share costs two to three times what a product does among many


def skip_zeros(graph: Graph) -> None:
    """In place."""
    _Sparse(graph).run()


class _Sparse(Rewrite):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._sparse: set[int] = set()  # values that are zero but for a few numbers

    def take(self, node: Node) -> None:
        op, sparse = node.op, self._sparse
        if isinstance(op, Conv2DGradX) and op.groups == 1 and id(node.inputs[0]) in sparse:
            dy, w = node.inputs
            turned = self.made(Transpose((3, 0, 1, 2)), w)
            node.op, node.inputs = Conv2DSparseGradX(op.strides, op.padding, op.dilation, op.size), (dy, turned)
        elif isinstance(op, Conv2DGradW) and op.groups == 1 and id(node.inputs[1]) in sparse:
            few = Conv2DSparseGradW(op.strides, op.padding, op.dilation, op.window)
            node.op, node.inputs = Transpose((1, 2, 3, 0)), (self.made(few, *node.inputs),)
        elif _is_sparse(node, sparse):
            sparse.add(id(node.outputs[0]))
        self.nodes.append(node)


def _is_sparse(node: Node, sparse: set[int]) -> bool:
    """Whether the node marks the largest of many numbers, or keeps the zeros of what hardly has others."""
    op, shape = node.op, node.outputs[0].shape
    if isinstance(op, Eq):
        return any(_is_top(a, b) for a, b in (node.inputs, node.inputs[::-1]))
    if isinstance(op, (Cast, Reshape, ReluGrad, Neg, Div, MaxPool2DGradX)):
        return id(node.inputs[0]) in sparse
    if isinstance(op, Mul):
        return any(id(s) in sparse and s.shape == shape for s in node.inputs)
    if isinstance(op, (Add, Select)):
        given = [s for s in node.inputs[isinstance(op, Select) :] if repeats(s, 0) is None]
        return bool(given) and all(id(s) in sparse and s.shape == shape for s in given)
    return False


def _is_top(x: Symbol, top: Symbol) -> bool:
    made = top.node
    largest = made is not None and isinstance(made.op, MaxTo) and made.inputs[0] is x
    return largest and x.spec.size >= _FEW * top.spec.size


__all__ = ["skip_zeros"]
