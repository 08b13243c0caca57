"""Large fused ops: a kernel that does the work of several nodes. Each says in `match` which pattern it replaces.

`match(node, uses)` looks at the last node of the pattern and gives the node that computes the same outputs, or None.
`uses.alone(s)` is the only reader of a value, or None when there are several or when it leaves the graph."""

from __future__ import annotations

import math
from typing import Any, Protocol

from nacre.core.graph import Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.convolution import Conv2D, Conv2DGradW, Conv2DGradX, ImageOp
from nacre.ops.convolution_kernels import (
    by_pixel,
    conv_fields,
    image_fields,
    lower_forward,
    lower_grad_w,
    lower_grad_x,
    tile_for,
    transformed,
)
from nacre.ops.elementwise import Add, Relu, ReluGrad, SumTo
from nacre.ops.movement import Transpose, strided_copy
from nacre.ops.products import MatMul, grad_w_chunks

# Symmetric products are cut into at most so many blocks of rows, where there are at least so many rows and columns: the
# mirror costs what a sum over 100 to 250 columns does.
_GRAM_BLOCKS, _GRAM_ROWS, _GRAM_COLUMNS = 8, 96, 256


class Uses(Protocol):
    """Who reads a value."""

    def alone(self, s: Symbol) -> Node | None: ...

    def readers(self, s: Symbol) -> list[Node]: ...


def made_by(s: Symbol, kind: type[Op]) -> Node | None:
    """The node that computes `s`, if its op is of that kind."""
    return s.node if s.node is not None and isinstance(s.node.op, kind) else None


def _bias_of(node: Node, channels: int) -> tuple[Symbol, Symbol] | None:
    """(summand, bias) of an Add of a vector to the last axis."""
    a, b = node.inputs
    for x, bias in ((a, b), (b, a)):
        if bias.shape == (channels,) and len(x.shape) > 1 and x.shape == node.outputs[0].shape:
            return x, bias
    return None


def _through_relu(node: Node, uses: Uses) -> tuple[Node, bool] | None:
    """The Add below a Relu that is its only reader (and True), or the node itself if it is an Add no Relu reads
    alone."""
    if isinstance(node.op, Relu):
        add = made_by(node.inputs[0], Add)
        return (add, True) if add is not None and uses.alone(add.outputs[0]) is node else None
    reader = uses.alone(node.outputs[0])
    if reader is not None and isinstance(reader.op, Relu):
        return None  # the Relu will take this node along
    return node, False


class DenseBias(Op):
    """y = act(x w + b), act as the kernels count them: 0 nothing, 1 relu. x (M, K), w (K, N), b (N,) -> y (M, N).
    float32.

    Replaces MatMul, Add (and Relu; others in passes/activations.py).
    """

    act: int

    def infer(self, x: Spec, w: Spec, b: Spec) -> Spec:
        return Spec((x.shape[0], w.shape[1]), x.dtype)

    def by_columns(self, x: Spec, w: Spec, b: Spec) -> tuple[bool, ...]:
        return True, False, False, True

    def lower(self, k: Any, x: Any, w: Any, b: Any, y: Any) -> None:
        (m, inner), n = x.shape, w.shape[1]
        k.dense(dict(M=m, K=inner, N=n, bias=1, act=self.act, ldx=x.ld, x0=0, ldy=y.ld, y0=0), x, w, b, y)

    @staticmethod
    def match(node: Node, uses: Uses) -> Node | None:
        found = _through_relu(node, uses)
        parts = found and _bias_of(found[0], found[0].outputs[0].shape[-1] if found[0].outputs[0].shape else 0)
        if not found or not parts:
            return None
        x, bias = parts
        product = made_by(x, MatMul)
        if (
            product is None
            or uses.alone(x) is not found[0]
            or product.op.key != MatMul(False, False).key
            or len(x.shape) != 2
        ):
            return None
        return Node(DenseBias(int(found[1])), (*product.inputs, bias), node.outputs)


class DenseGradXMasked(Op):
    """dx = dy w^T where h > 0, else 0: through the Relu whose output h was the layer's input.

    Replaces MatMul(tb) and ReluGrad.
    """

    outputs = ("dx",)

    def infer(self, dy: Spec, w: Spec, h: Spec) -> Spec:
        return h

    def by_columns(self, dy: Spec, w: Spec, h: Spec) -> tuple[bool, ...]:
        return True, False, True, True

    def lower(self, k: Any, dy: Any, w: Any, h: Any, dx: Any) -> None:
        m, inner = h.shape
        lds = dict(ldy=dy.ld, y0=0, ldx=dx.ld, x0=0, ldh=h.ld, h0=0)
        k.dense_grad_x(dict(M=m, N=dy.shape[1], K=inner, mask=1, **lds), dy, w, h, dx)

    @staticmethod
    def match(node: Node, uses: Uses) -> Node | None:
        d, h = node.inputs
        product = made_by(d, MatMul)
        if product is None or product.op.key != MatMul(False, True).key or uses.alone(d) is not node:
            return None
        if d.shape != h.shape or len(d.shape) != 2:
            return None
        return Node(DenseGradXMasked(), (*product.inputs, h), node.outputs)


class Gram(Op):
    """y = x x^T: the blocks below the diagonal and on it, and those above as their mirror. x (M, K) -> y (M, M).
    float32.

    Replaces MatMul of x with its transpose, or of what is known to be symmetric with itself.
    """

    def infer(self, x: Spec) -> Spec:
        return Spec((x.shape[0], x.shape[0]), x.dtype)

    def lower(self, k: Any, x: Any, y: Any) -> None:
        m, inner = x.shape
        step = max(-(-m // _GRAM_BLOCKS), _GRAM_ROWS // 2)
        for begin in range(0, m, step):
            end = min(begin + step, m)
            left = y.rows(begin, end - begin)
            fields = dict(M=end - begin, N=inner, K=end, mask=0, ldy=0, y0=0, ldx=m, x0=0, ldh=0, h0=0)
            k.dense_grad_x(fields, x.rows(begin, end - begin), x.rows(0, end), None, left)
            if begin:
                strided_copy(k, left, y.rows(0, begin), (begin, end - begin), (1, m), 0, (m, 1), begin)

    @staticmethod
    def match(node: Node, uses: Uses) -> Node | None:
        a, b = node.inputs
        if len(a.shape) != 2 or a.shape[0] < _GRAM_ROWS or a.shape[1] < max(_GRAM_COLUMNS, a.shape[0] // 2):
            return None
        if node.op.key == MatMul(False, False).key:
            turned = made_by(b, Transpose)
            same = turned.inputs[0] is a if turned is not None else a is b and made_by(a, Gram) is not None
        else:
            same = a is b and node.op.key == MatMul(False, True).key
        return Node(Gram(), (a,), node.outputs) if same else None


class Conv2DBias(ImageOp):
    """Conv2D + b, or max(0, Conv2D + b). Replaces Conv2D, Add (and Relu)."""

    strides: tuple[int, int]
    padding: Any
    dilation: tuple[int, int]
    groups: int
    relu: bool
    shape: tuple[int, ...]

    def infer(self, x: Spec, w: Spec, b: Spec) -> Spec:
        return Spec(self.shape, x.dtype)

    def lower(self, k: Any, x: Any, w: Any, b: Any, y: Any) -> None:
        lower_forward(k, self, x, w, b, y, int(self.relu))

    @staticmethod
    def match(node: Node, uses: Uses) -> Node | None:
        found = _through_relu(node, uses)
        parts = found and _bias_of(found[0], found[0].outputs[0].shape[-1] if found[0].outputs[0].shape else 0)
        if not found or not parts:
            return None
        x, bias = parts
        conv = made_by(x, Conv2D)
        if conv is None or uses.alone(x) is not found[0]:
            return None
        op, y = conv.op, node.outputs[0]
        return Node(
            Conv2DBias(op.strides, op.padding, op.dilation, op.groups, found[1], y.shape), (*conv.inputs, bias), (y,)
        )


class Conv2DGradXMore(ImageOp):
    """Conv2DGradX, then what follows it: + b (in a transposed convolution), + r (what reaches x on another way), and a
    relu, or 0 where h, the output of a Relu that was convolved, is not positive.

    Replaces Conv2DGradX, Add and Relu or ReluGrad. dy, w, b (C,), r and h as dx where the fields say so -> dx. float32.
    """

    strides: tuple[int, int]
    padding: Any
    dilation: tuple[int, int]
    groups: int
    size: tuple[int, int]
    bias: bool = False
    added: bool = False
    masked: bool = False
    relu: bool = False

    outputs = ("dx",)

    def infer(self, *xs: Spec) -> Spec:
        dy, w = xs[:2]
        return Spec((dy.shape[0], *self.size, w.shape[2] * self.groups), dy.dtype)

    def by_columns(self, *xs: Spec) -> tuple[bool, ...]:
        bias, added, masked = ([False] * has for has in (self.bias, self.added, self.masked))
        return (True, False, *bias, *[True for _ in added], *masked, not self.masked)  # the mask lies as dx does

    def lower(self, k: Any, *operands: Any) -> None:
        dy, w, *more, dx = operands
        b, r, h = (more.pop(0) if has else None for has in (self.bias, self.added, self.masked))
        lower_grad_x(k, self, dy, w, dx, b, r, h, self.relu)

    @staticmethod
    def match_masked(node: Node, uses: Uses) -> Node | None:
        d, h = node.inputs
        found = _gradient_of_input(d, node, uses)
        if found is None or d.shape != h.shape:
            return None
        conv, added = found
        return _more(conv, node, (*added, h), added=bool(added), masked=True)

    @staticmethod
    def match_sum(node: Node, uses: Uses) -> Node | None:
        reader = uses.alone(node.outputs[0])
        if reader is not None and isinstance(reader.op, ReluGrad) and reader.inputs[0] is node.outputs[0]:
            return None  # that node will take this one along
        found = _gradient_of_input(node.outputs[0], reader, uses)
        return None if found is None else _more(found[0], node, tuple(found[1]), added=True)

    @staticmethod
    def match_bias(node: Node, uses: Uses) -> Node | None:
        found = _through_relu(node, uses)
        parts = found and _bias_of(found[0], found[0].outputs[0].shape[-1] if found[0].outputs[0].shape else 0)
        if not found or not parts:
            return None
        x, bias = parts
        conv = made_by(x, Conv2DGradX)
        if conv is None or uses.alone(x) is not found[0] or _is_depthwise(conv):
            return None
        return _more(conv, node, (bias,), bias=True, relu=found[1])


def _is_depthwise(conv: Node) -> bool:
    return conv.op.groups > 1 and conv.inputs[1].shape[2] == 1


def _more(conv: Node, node: Node, further: tuple[Symbol, ...], **fields: bool) -> Node:
    op = conv.op
    fused = Conv2DGradXMore(op.strides, op.padding, op.dilation, op.groups, op.size, **fields)
    return Node(fused, (*conv.inputs, *further), node.outputs)


def _gradient_of_input(d: Symbol, reader: Node | None, uses: Uses) -> tuple[Node, list[Symbol]] | None:
    """The Conv2DGradX that `d` is made of and, where it is a sum of that and something of its shape, the other
    summand."""
    conv = made_by(d, Conv2DGradX)
    if conv is not None:
        return (conv, []) if uses.alone(d) is reader else None
    add = made_by(d, Add)
    if add is None or (uses.alone(d) is not reader and reader is not None and isinstance(reader.op, ReluGrad)):
        return None
    for x, r in (add.inputs[::-1], add.inputs):
        conv = made_by(x, Conv2DGradX)
        if conv is not None and uses.alone(x) is add and r is not x and r.shape == x.shape and not _is_depthwise(conv):
            return conv, [r]
    return None


class Conv2DGradWB(Op):
    """The gradients of a convolution's weights and bias in one pass over dy. Replaces Conv2DGradW and SumTo."""

    strides: tuple[int, int]
    padding: Any
    dilation: tuple[int, int]
    groups: int
    window: tuple[int, int]

    outputs = ("dw", "db")

    def infer(self, x: Spec, dy: Spec) -> tuple[Spec, Spec]:
        out = dy.shape[3]
        return Spec((*self.window, x.shape[3] // self.groups, out), x.dtype), Spec((out,), x.dtype)

    def by_columns(self, x: Spec, dy: Spec) -> tuple[bool, ...]:
        return True, True

    def lower(self, k: Any, x: Any, dy: Any, dw: Any, db: Any) -> None:
        lower_grad_w(k, self, x, dy, dw, db)

    @staticmethod
    def match(node: Node, uses: Uses) -> Node | None:
        x, dy = node.inputs
        if not isinstance(node.op, Conv2DGradW):
            return None
        rows = math.prod(dy.shape[:3])
        if by_pixel(node.op, node.op.window, dy.shape) and grad_w_chunks(rows, *x.shape[3:], *dy.shape[3:]) < 2:
            return None  # a product that the optimizer can join, which is worth a pass over dy for the bias
        for other in uses.readers(dy):
            if isinstance(other.op, SumTo) and other.op.key == SumTo((dy.shape[3],)).key:
                op = node.op
                fused = Conv2DGradWB(op.strides, op.padding, op.dilation, op.groups, op.window)
                return Node(fused, node.inputs, (*node.outputs, *other.outputs))
        return None


class Conv2DPool(ImageOp):
    """Conv2D, + b, (max(0, .)) and max-pooling by P x P in one pass, and which element of each window was the largest.

    Replaces Conv2D, Add, (Relu,) MaxPool2D; see passes/pooled.py. x (N, H, W, C), w (KH, KW, C, O), b (O,) -> y (N, PH,
    PW, O), index (N, PH, PW, O) uint8.
    """

    strides: tuple[int, int]
    padding: Any
    dilation: tuple[int, int]
    groups: int
    relu: bool
    size: tuple[int, int]  # of the convolution's output
    pool: int

    outputs = ("y", "index_of")

    def infer(self, x: Spec, w: Spec, b: Spec) -> tuple[Spec, Spec]:
        shape = (x.shape[0], self.size[0] // self.pool, self.size[1] // self.pool, w.shape[3])
        return Spec(shape, x.dtype), Spec(shape, "uint8")

    def lower(self, k: Any, x: Any, w: Any, b: Any, y: Any, index_of: Any) -> None:
        size = (y.shape[0], *self.size, y.shape[3])
        by_tiles = self.pool == 2 and w.shape[0] > 1 and self.strides == (1, 1)
        tile = tile_for(self, w.shape, size) if by_tiles else 0
        if tile:
            lds = (x.ld, y.ld, 0)
            fields = image_fields(tile, w.shape[:2], self, x.shape, size, True, int(self.relu), False, lds=lds)
            k.conv2d_winograd_pool(fields, x, transformed(k, tile, self, w), b, y, index_of)
        else:
            k.conv2d_pool(_pool_fields(self, x, w, y, bias=1, index=1), x, w, b, y, index_of)


class Conv2DPoolGradX(Op):
    """The gradient of Conv2DPool's input from that of its output; with `masked`, through the Relu whose output x was.

    Replaces MaxPool2DGradX, (ReluGrad,) Conv2DGradX (and ReluGrad): only the winners of the windows are multiplied.
    """

    strides: tuple[int, int]
    padding: Any
    dilation: tuple[int, int]
    groups: int
    relu: bool
    size: tuple[int, int]
    pool: int
    masked: bool

    outputs = ("dx",)

    def infer(self, dy: Spec, y: Spec, index_of: Spec, w: Spec, x: Spec) -> Spec:
        return x

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...]:
        return (True, True, True, False, True)

    def by_columns(self, *inputs: Spec) -> tuple[bool, ...]:
        return (False, False, False, False, False, not self.masked)  # y lies as dy does, and x as dx

    def lower(self, k: Any, dy: Any, y: Any, index_of: Any, w: Any, x: Any, dx: Any) -> None:
        fields = _pool_fields(self, dx, w, dy, bias=0, index=1, mask=int(self.masked))
        k.conv2d_pool_grad_x(fields, dy, y, index_of, w, x if self.masked else None, dx)


class Conv2DPoolGradWB(Op):
    """The gradients of Conv2DPool's weights and bias. Replaces MaxPool2DGradX, (ReluGrad,) Conv2DGradW and SumTo."""

    strides: tuple[int, int]
    padding: Any
    dilation: tuple[int, int]
    groups: int
    relu: bool
    size: tuple[int, int]
    pool: int
    window: tuple[int, int]

    outputs = ("dw", "db")

    def infer(self, x: Spec, dy: Spec, y: Spec, index_of: Spec) -> tuple[Spec, Spec]:
        out = dy.shape[3]
        return Spec((*self.window, x.shape[3] // self.groups, out), x.dtype), Spec((out,), x.dtype)

    def by_columns(self, *inputs: Spec) -> tuple[bool, ...]:
        return (True,)  # y lies as dy does

    def lower(self, k: Any, x: Any, dy: Any, y: Any, index_of: Any, dw: Any, db: Any) -> None:
        fields = _pool_fields(self, x, dw, dy, bias=1, index=1)
        parts = k.extent("conv2d_pool_grad_w", fields, 4) // dw.size if dw.size else 1
        if parts <= 1:
            k.conv2d_pool_grad_w(fields, x, dy, y, index_of, dw, db)
            return
        dw_parts, db_parts = k.temp((parts, *dw.shape), dw.dtype), k.temp((parts, *db.shape), db.dtype)
        k.conv2d_pool_grad_w(fields, x, dy, y, index_of, dw_parts, db_parts)
        k.conv2d_pool_grad_w_join(fields, dw_parts, db_parts, dw, db)


def _pool_fields(op: Any, x: Any, w: Any, y: Any, bias: int, index: int, mask: int = 0) -> dict[str, int]:
    size = (y.shape[0], *op.size, y.shape[3])
    _, fields = conv_fields(op, x.shape, w.shape, size, bool(bias), int(op.relu), x.ld, y.ld)
    del fields["residual"], fields["ldr"]
    return {**fields, "P": op.pool, "index": index, "mask": mask}


# By the op of the last node of the pattern; the first that matches is taken.
PATTERNS: dict[type[Op], tuple[Any, ...]] = {
    MatMul: (Gram.match,),
    Add: (DenseBias.match, Conv2DBias.match, Conv2DGradXMore.match_bias, Conv2DGradXMore.match_sum),
    Relu: (DenseBias.match, Conv2DBias.match, Conv2DGradXMore.match_bias),
    ReluGrad: (DenseGradXMasked.match, Conv2DGradXMore.match_masked),
    Conv2DGradW: (Conv2DGradWB.match,),
}
