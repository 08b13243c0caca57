"""Convolution, bias, relu and max-pooling as one node, with the backward that only touches the winners of the windows,
or all elements where transformed tiles make that quicker.

The pattern spans forward and backward: the convolution's own output vanishes, so every reader of it has to be part of
it.
"""

from __future__ import annotations

from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.convolution import Conv2D, Conv2DGradW, Conv2DGradX
from nacre.ops.convolution_kernels import grad_w_cost, grad_w_tile_for
from nacre.ops.elementwise import Add, Relu, ReluGrad, SumTo
from nacre.ops.fused import Conv2DPool, Conv2DPoolGradWB, Conv2DPoolGradX
from nacre.ops.pooling import MaxPool2D, MaxPool2DGradX
from nacre.passes.simplify import remove_dead

_VALID = ((0, 0), (0, 0))
_POOLS = (2, 3)  # sides of windows that the kernels have
_WINNER = 1.4  # what a product with a winner costs, measured on Zen 5 in those of grad_w_cost


class _Match:
    """One convolution with its pooling, and the nodes of the backward that replace each other."""

    def __init__(self) -> None:
        self.new: dict[int, Node] = {}  # id of a node -> what stands in its place
        self.gone: set[int] = set()


def fuse_pooled_convolutions(graph: Graph) -> None:
    """In place."""
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), []).append(node)
    escapes = {id(s) for s in (*graph.outputs, *graph.writes.values())}
    matches = [
        m for node in graph.nodes if isinstance(node.op, MaxPool2D) for m in [_match(node, readers, escapes)] if m
    ]
    if not matches:
        return
    new = {k: n for m in matches for k, n in m.new.items()}
    gone = {k for m in matches for k in m.gone}
    nodes = []
    for node in graph.nodes:
        if id(node) in new:
            node = new[id(node)]
            for s in node.outputs:
                s.node = node
        elif id(node) in gone:
            continue
        nodes.append(node)
    graph.nodes = nodes
    remove_dead(graph)


def _match(pool: Node, readers: dict[int, list[Node]], escapes: set[int]) -> _Match | None:
    op = pool.op
    side = op.window[0]
    if op.window != (side, side) or op.strides != op.window or op.padding != _VALID or side not in _POOLS:
        return None
    # forward: what the pooling reads, down to the convolution
    r = pool.inputs[0]
    relu = r.node if r.node is not None and isinstance(r.node.op, Relu) else None
    summed = relu.inputs[0] if relu is not None else r
    add = summed.node if summed.node is not None and isinstance(summed.node.op, Add) else None
    if add is None:
        return None
    conv = None
    for z, bias in (add.inputs, add.inputs[::-1]):
        if z.node is not None and isinstance(z.node.op, Conv2D) and bias.shape == z.shape[3:]:
            conv = z.node
            break
    if conv is None or conv.op.groups != 1:
        return None
    between = [conv.outputs[0], *([summed] if relu is not None else [])]
    if any(len(readers[id(s)]) != 1 or id(s) in escapes for s in between) or id(r) in escapes:
        return None

    index = pool.outputs[1] if op.index else None
    backs = [n for n in readers.get(id(index), ()) if isinstance(n.op, MaxPool2DGradX)] if index is not None else []
    if index is not None and (len(backs) != len(readers.get(id(index), ())) or id(index) in escapes or len(backs) > 1):
        return None
    c = conv.op
    own = (c.strides, c.padding, c.dilation, c.groups, relu is not None, conv.outputs[0].shape[1:3], side)
    found = _Match()
    y = pool.outputs[0]
    index_out = index if index is not None else Symbol(y.graph, Spec(y.shape, "uint8"))
    found.new[id(pool)] = Node(Conv2DPool(*own), (*conv.inputs, bias), (y, index_out))
    others = [n for n in readers[id(r)] if n is not pool]
    if not backs:
        return found if not others else None
    return (
        found
        if _match_backward(
            found, backs[0], r if relu is not None else None, others, conv, own, y, index_out, readers, escapes
        )
        else None
    )


def _match_backward(
    found: _Match, back: Node, r: Symbol | None, others: list[Node], conv: Node, own: tuple[Any, ...], y: Symbol,
    index: Symbol, readers: dict[int, list[Node]], escapes: set[int],
) -> bool:  # fmt: skip
    """Replaces what reads the gradient of the convolution's output; False when somebody else needs that gradient."""
    dy = back.inputs[0]
    g = back.outputs[0]
    if r is not None:
        if id(g) in escapes or len(readers.get(id(g), ())) != 1:
            return False
        mask = readers[id(g)][0]
        if not isinstance(mask.op, ReluGrad) or mask.inputs[1] is not r or others != [mask]:
            return False
        g = mask.outputs[0]
    elif others:
        return False
    if id(g) in escapes:
        return False
    x, w = conv.inputs
    if _dense_is_quicker(conv, own[-1]):
        if r is not None:  # the mask stands in front of the windows, where there is less to mask
            masked_dy = Symbol(y.graph, dy.spec)
            found.new[id(back)] = Node(ReluGrad(), (dy, y), (masked_dy,))
            found.new[id(mask)] = Node(back.op, (masked_dy, index), mask.outputs)
        return True
    sums, gradients = [], []
    for node in readers.get(id(g), ()):
        if isinstance(node.op, SumTo) and node.op.shape == g.shape[3:] and node.op.scale == 1.0:
            sums.append(node)
        elif isinstance(node.op, Conv2DGradW) and node.inputs[0] is x and node.inputs[1] is g:
            gradients.append(node)
        elif isinstance(node.op, Conv2DGradX) and node.inputs[1] is w and node.inputs[0] is g:
            masked = readers.get(id(node.outputs[0]), ())
            last = node
            if (
                len(masked) == 1
                and isinstance(masked[0].op, ReluGrad)
                and masked[0].inputs[1] is x
                and id(node.outputs[0]) not in escapes
            ):
                last = masked[0]
            new = Node(Conv2DPoolGradX(*own, last is not node), (dy, y, index, w, x), last.outputs)
            found.new[id(last)] = new
        else:
            return False
    if len(sums) > 1 or len(gradients) > 1 or (sums and not gradients):
        return False
    if gradients:
        node = gradients[0]
        db = sums[0].outputs[0] if sums else Symbol(y.graph, Spec(g.shape[3:], "float32"))
        window = node.op.window
        found.new[id(node)] = Node(Conv2DPoolGradWB(*own, window), (x, dy, y, index), (*node.outputs, db))
        if sums:
            # the sum may stand in front of the product: the first of the two is where both are made
            found.gone.add(id(sums[0]))
            order = y.graph.nodes
            if order.index(sums[0]) < order.index(node):
                found.new[id(sums[0])] = found.new.pop(id(node))
                found.gone.add(id(node))
    return True


def _dense_is_quicker(conv: Node, side: int) -> bool:
    """Whether gradients by tiles from all elements cost less than those from the winners of windows alone."""
    w, y = conv.inputs[1].shape, conv.outputs[0].shape
    tile = grad_w_tile_for(conv.op, w, y)
    stride = conv.op.strides[-1]
    return tile > 0 and grad_w_cost(tile, w, y, stride) * side * side < _WINNER * grad_w_cost(0, w, y, stride)
