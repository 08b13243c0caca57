"""What stands around a convolution becomes part of it: zeros that are padded on in front, and behind it the sum with a
value of the same shape and an activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.convolution import Conv2D, Conv2DGradW, Conv2DGradX, ImageOp
from nacre.ops.convolution_kernels import conv_fields, lower_forward, tile_for
from nacre.ops.elementwise import Add, Clip, Relu
from nacre.ops.fused import Conv2DBias
from nacre.ops.movement import Pad, Slice
from nacre.ops.pooling import MaxPool2D, MaxPool2DGradX
from nacre.passes.activations import NONE, RELU, RELU6, activate_dense, activation_of, readers_of
from nacre.passes.fuse import literal
from nacre.passes.simplify import remove_dead


def columns_of_sum(op: Any, *inputs: Spec) -> tuple[bool, ...]:
    """`Op.by_columns` of a Conv2DSum and what stands for it."""
    return (True, False, *[False] * op.bias, *[True for _ in range(op.residual)], True)


class Conv2DSum(ImageOp):
    """act(Conv2D + b + r), where b and r may be missing. Replaces Conv2D or Conv2DBias, (Add of r) and (an activation).

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
    """In place: zeros padded on for convolutions and their weights' gradients, or for a MaxPool2D of what is never
    negative, become their padding, and what is cut off the gradient of the padded image is not computed."""
    readers = readers_of(graph)
    for node in graph.nodes:
        if isinstance(node.op, Pad):
            _absorb_pad(node, readers.get(id(node.outputs[0]), []))
        elif isinstance(node.op, Slice):
            _absorb_cut(node, readers)
    remove_dead(graph)


def _absorb_pad(pad: Node, readers: list[Node]) -> None:
    op, (x,) = pad.op, pad.inputs
    if op.fill != 0.0 or len(op.widths) != 4 or (op.widths[0], op.widths[3]) != ((0, 0), (0, 0)):
        return
    sides = op.widths[1:3]
    padded = pad.outputs[0]
    if all(isinstance(r.op, (Conv2D, Conv2DGradW)) and r.inputs[0] is padded is not r.inputs[1] for r in readers):
        for r in readers:
            r.op = _with(r.op, padding=_more(r.op.padding, sides))
            r.inputs = (x, *r.inputs[1:])
    elif len(readers) == 1 and isinstance(readers[0].op, MaxPool2D):
        (pool,) = readers
        if pool.op.padding == _NO_PADDING and _never_negative(x) and _reach_inside(sides, pool.op.window):
            pool.op = _with(pool.op, padding=sides)
            pool.inputs = (x,)


def _absorb_cut(cut: Node, readers: dict[int, list[Node]]) -> None:
    op: Any = cut.op
    (whole,) = cut.inputs
    grad = whole.node
    if grad is None or not isinstance(grad.op, (Conv2DGradX, MaxPool2DGradX)) or readers.get(id(whole)) != [cut]:
        return
    if any(n != 1 for n in op.step) or (op.size[0], op.size[3]) != (whole.shape[0], whole.shape[3]):
        return
    sides = [(a, d - a - n) for a, n, d in zip(op.start[1:3], op.size[1:3], whole.shape[1:3])]
    cut.op = _with(grad.op, padding=_more(grad.op.padding, sides), size=tuple(op.size[1:3]))
    cut.inputs = grad.inputs


def _with(op: Op, **changes: Any) -> Op:
    """The same op with other attributes."""
    other: Op = type(op)(**{**{name: getattr(op, name) for name in op.fields}, **changes})
    return other


_NO_PADDING = ((0, 0), (0, 0))


def _more(padding: Any, sides: Any) -> Any:
    return tuple((a + c, b + d) for (a, b), (c, d) in zip(padding, sides))


def _never_negative(s: Symbol) -> bool:
    """Whether `s` plainly holds no number below 0; then a 0 beside others changes no maximum."""
    return s.node is not None and (isinstance(s.node.op, Relu) or _is_relu6(s.node))


def _reach_inside(sides: Any, window: tuple[int, int]) -> bool:
    """Whether no window lies on padding alone."""
    return all(0 <= a < n and 0 <= b < n for (a, b), n in zip(sides, window))


def absorb_sums(graph: Graph) -> None:
    """In place, after `combine`: a convolution takes in a sum and an activation that only it feeds, a dense layer an
    activation; they run where the last of them stood."""
    readers = readers_of(graph)
    order = {id(node): i for i, node in enumerate(graph.nodes)}
    gone: set[int] = set()
    for node in graph.nodes:
        gone.update(id(n) for n in _grown(node, readers, order))
    graph.nodes = [n for n in graph.nodes if id(n) not in gone]
    activate_dense(graph, readers)


def _grown(node: Node, readers: dict[int, list[Node]], order: dict[int, int]) -> list[Node]:
    """Makes a sum or the last step of an activation the convolution that it follows, with that in it; the nodes that
    are no longer needed."""
    if isinstance(node.op, Add):
        pairs = [(x.node, r) for x, r in (node.inputs, node.inputs[::-1]) if x.node is not None and r.spec == x.spec]
        for conv, r in sorted(pairs, key=lambda pair: -order[id(pair[0])]):  # the later one reads what the other made
            op = as_sum(conv)
            if op is None or op.residual or op.act != NONE or readers.get(id(conv.outputs[0])) != [node]:
                continue
            if conv_fields(op, conv.inputs[0].shape, conv.inputs[1].shape, op.shape)[0] == "conv2d":
                node.op = _sum(op, bias=op.bias, residual=True)
                node.inputs = (*conv.inputs, r)
                return [conv]
    elif (found := activation_of(node)) is not None and found.x.node is not None:
        conv = found.x.node
        op = as_sum(conv)
        if op is not None and op.act == NONE and found.read_only_here(readers) and _has(found.act, op, conv):
            node.op = _sum(op, bias=op.bias, residual=op.residual, act=found.act)
            node.inputs = conv.inputs
            return [conv, *found.inside[:-1]]
    return []


def _has(act: int, op: Any, conv: Node) -> bool:
    """Whether the kernel that a convolution may become has that act: transformed tiles have relu and relu6."""
    w = conv.inputs[1].shape
    return act in (RELU, RELU6) or not any(tile_for(op, w, op.shape, packed=packed) for packed in (False, True))


def as_sum(node: Node) -> Any:
    """The op of a convolution as a Conv2DSum; None for anything else."""
    op = node.op
    if isinstance(op, (Conv2D, Conv2DBias)) and node.outputs[0].dtype == "float32":
        act = RELU if isinstance(op, Conv2DBias) and op.relu else NONE
        return _sum(op, node.outputs[0].shape, bias=isinstance(op, Conv2DBias), act=act)
    return op if isinstance(op, Conv2DSum) else None


def _sum(op: Any, shape: Any = None, bias: bool = False, residual: bool = False, act: int = NONE) -> Conv2DSum:
    shape = op.shape if shape is None else shape
    made: Conv2DSum = Conv2DSum(op.strides, op.padding, op.dilation, op.groups, shape, bias, residual, act)
    return made


def _is_relu6(node: Node) -> bool:
    return isinstance(node.op, Clip) and [literal(s) for s in node.inputs[1:]] == [0.0, 6.0]


def sole_readers(graph: Graph) -> Callable[[Symbol], Node | None]:
    """A function that gives the only reader of a value, None where there are more or the value leaves the graph."""
    readers = readers_of(graph)

    def alone(s: Symbol) -> Node | None:
        found = readers.get(id(s), ())
        return found[0] if len(found) == 1 else None

    return alone
