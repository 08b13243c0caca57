"""What stands around a convolution becomes part of it: zeros that are padded on in front, and behind it the sum with a
value of the same shape, relu and relu6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.convolution import Conv2D, ImageOp
from nacre.ops.convolution_kernels import conv_fields, lower_forward
from nacre.ops.elementwise import Add, Clip, Relu
from nacre.ops.fused import Conv2DBias
from nacre.ops.movement import Pad
from nacre.ops.pooling import MaxPool2D
from nacre.passes.fuse import literal
from nacre.passes.simplify import remove_dead

_NONE, _RELU, _RELU6 = range(3)  # `act` of the kernels


def columns_of_sum(op: Any, *inputs: Spec) -> tuple[bool, ...]:
    """`Op.by_columns` of a Conv2DSum and what stands for it."""
    return (True, False, *[False] * op.bias, *[True for _ in range(op.residual)], True)


class Conv2DSum(ImageOp):
    """act(Conv2D + b + r), where b and r may be missing. Replaces Conv2D or Conv2DBias, (Add of r) and (Relu or Clip to
    0..6).

    x (N, H, W, C), w (KH, KW, C / groups, O), then b (O,) and r (N, OH, OW, O), as `bias` and `residual` say -> y.
    float32.
    """

    strides: tuple[int, int]
    padding: Any
    dilation: tuple[int, int]
    groups: int
    shape: tuple[int, ...]
    bias: bool
    residual: bool
    act: int

    def infer(self, x: Spec, w: Spec, *br: Spec) -> Spec:
        return Spec(self.shape, x.dtype)

    by_columns = columns_of_sum

    def lower(self, k: Any, x: Any, w: Any, *bry: Any) -> None:
        *br, y = bry
        b = br[0] if self.bias else None
        lower_forward(k, self, x, w, b, y, self.act, br[-1] if self.residual else None)


def absorb_padding(graph: Graph) -> None:
    """In place: zeros padded on for a Conv2D alone, or for a MaxPool2D of what is never negative, become its
    padding."""
    alone = sole_readers(graph)
    for node in graph.nodes:
        op = node.op
        pad = node.inputs[0].node if isinstance(op, (Conv2D, MaxPool2D)) else None
        if pad is None or not isinstance(pad.op, Pad) or pad.op.fill != 0.0 or alone(pad.outputs[0]) is not node:
            continue
        x, (batch, *sides, channels) = pad.inputs[0], pad.op.widths
        if batch != (0, 0) or channels != (0, 0):
            continue
        padding = tuple((a + c, b + d) for (a, b), (c, d) in zip(op.padding, sides))
        if isinstance(op, Conv2D):
            node.op = Conv2D(op.strides, padding, op.dilation, op.groups)
        elif op.padding == ((0, 0), (0, 0)) and _never_negative(x) and _reach_inside(sides, op.window):
            node.op = MaxPool2D(op.window, op.strides, padding, op.index)
        else:
            continue
        node.inputs = (x, *node.inputs[1:])
    remove_dead(graph)


def _never_negative(s: Symbol) -> bool:
    """Whether `s` plainly holds no number below 0; then a 0 beside others changes no maximum."""
    return s.node is not None and (isinstance(s.node.op, Relu) or _is_relu6(s.node))


def _reach_inside(sides: Any, window: tuple[int, int]) -> bool:
    """Whether no window lies on padding alone."""
    return all(0 <= a < n and 0 <= b < n for (a, b), n in zip(sides, window))


def absorb_sums(graph: Graph) -> None:
    """In place, after `combine`: a convolution takes in a sum and a relu or relu6 that only it feeds; it runs where the
    last of them stood."""
    alone = sole_readers(graph)
    order = {id(node): i for i, node in enumerate(graph.nodes)}
    gone: set[int] = set()
    for node in graph.nodes:
        conv = _grown(node, alone, order)
        if conv is not None:
            gone.add(id(conv))
    graph.nodes = [n for n in graph.nodes if id(n) not in gone]


def _grown(node: Node, alone: Any, order: dict[int, int]) -> Node | None:
    """Makes a sum or an activation the convolution that it follows, with that in it; the old node of the
    convolution."""
    if isinstance(node.op, Add):
        pairs = [(x.node, r) for x, r in (node.inputs, node.inputs[::-1]) if x.node is not None and r.spec == x.spec]
        for conv, r in sorted(pairs, key=lambda pair: -order[id(pair[0])]):  # the later one reads what the other made
            op = as_sum(conv)
            if op is None or op.residual or op.act != _NONE or alone(conv.outputs[0]) is not node:
                continue
            if conv_fields(op, conv.inputs[0].shape, conv.inputs[1].shape, op.shape)[0] == "conv2d":
                node.op = _sum(op, bias=op.bias, residual=True)
                node.inputs = (*conv.inputs, r)
                return conv
    elif (isinstance(node.op, Relu) or _is_relu6(node)) and node.inputs[0].node is not None:
        conv = node.inputs[0].node
        op = as_sum(conv)
        if op is not None and op.act == _NONE and alone(conv.outputs[0]) is node:
            act = _RELU if isinstance(node.op, Relu) else _RELU6
            node.op = _sum(op, bias=op.bias, residual=op.residual, act=act)
            node.inputs = conv.inputs
            return conv
    return None


def as_sum(node: Node) -> Any:
    """The op of a convolution as a Conv2DSum; None for anything else."""
    op = node.op
    if isinstance(op, (Conv2D, Conv2DBias)) and node.outputs[0].dtype == "float32":
        act = _RELU if isinstance(op, Conv2DBias) and op.relu else _NONE
        return _sum(op, node.outputs[0].shape, bias=isinstance(op, Conv2DBias), act=act)
    return op if isinstance(op, Conv2DSum) else None


def _sum(op: Any, shape: Any = None, bias: bool = False, residual: bool = False, act: int = _NONE) -> Conv2DSum:
    shape = op.shape if shape is None else shape
    made: Conv2DSum = Conv2DSum(op.strides, op.padding, op.dilation, op.groups, shape, bias, residual, act)
    return made


def _is_relu6(node: Node) -> bool:
    return isinstance(node.op, Clip) and [literal(s) for s in node.inputs[1:]] == [0.0, 6.0]


def sole_readers(graph: Graph) -> Callable[[Symbol], Node | None]:
    """A function that gives the only reader of a value, None where there are more or the value leaves the graph."""
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), []).append(node)
    for s in (*graph.outputs, *graph.writes.values()):
        readers.pop(id(s), None)

    def alone(s: Symbol) -> Node | None:
        found = readers.get(id(s), ())
        return found[0] if len(found) == 1 else None

    return alone
