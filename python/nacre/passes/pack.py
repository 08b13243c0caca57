"""Weights of convolutions that the program does not change are laid out once as the kernel reads them, where it would
copy them at every call, or transformed once where fewer multiplications then do (ADR 0015): see `Kept`."""

from __future__ import annotations

from typing import Any

from nacre import _core
from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.convolution import ImageOp
from nacre.ops.convolution_kernels import by_pixel, conv_fields, image_fields, one_pixel, tile_fields, tile_for
from nacre.passes.fold import Kept
from nacre.passes.surround import as_sum, columns_of_sum

_FEWEST = 1 << 14  # floats of a Variable: fewer are copied within a microsecond, or read as they are
_FEWEST_OUTPUTS = 16  # of a group: for fewer the kernel has other ways, which want the weights as they are


class Conv2DPack(Op):
    """The weights of convolutions with these attributes as panels, in `size` floats. w (KH, KW, C / groups, O) ->
    (size,)."""

    strides: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    size: int

    outputs = ("panels",)
    padding = ((0, 0), (0, 0))

    def infer(self, w: Spec) -> Spec:
        return Spec((self.size,), w.dtype)

    def lower(self, k: Any, w: Any, panels: Any) -> None:
        k.conv2d_pack(pack_fields(self, w.shape), w, panels)


class Conv2DPacked(ImageOp):
    """Conv2DSum with weights from Conv2DPack, whose shape was `weights`."""

    strides: tuple[int, int]
    padding: Any
    dilation: tuple[int, int]
    groups: int
    shape: tuple[int, ...]
    weights: tuple[int, ...]
    bias: bool
    residual: bool
    act: int

    def infer(self, x: Spec, panels: Spec, *br: Spec) -> Spec:
        return Spec(self.shape, x.dtype)

    by_columns = columns_of_sum

    def lower(self, k: Any, x: Any, panels: Any, *bry: Any) -> None:
        *br, y = bry
        _, fields = conv_fields(self, x.shape, self.weights, y.shape, self.bias, self.act, x.ld, y.ld)
        b, r = br[0] if self.bias else None, br[-1] if self.residual else None
        k.conv2d_packed({**fields, "residual": int(self.residual), "ldr": r.ld if r else 0}, x, panels, b, r, y)


class WinogradPack(Op):
    """The weights of convolutions by tiles, as they read them, in `size` floats. w (KH, KW, C, O) -> (size,)."""

    strides: tuple[int, int]
    tile: int
    size: int

    outputs = ("u",)

    def infer(self, w: Spec) -> Spec:
        return Spec((self.size,), w.dtype)

    def lower(self, k: Any, w: Any, u: Any) -> None:
        k.conv2d_winograd_pack(tile_fields(self.tile, self, w.shape), w, u)


class Winograd(ImageOp):
    """Conv2DSum with weights from WinogradPack."""

    strides: tuple[int, int]
    padding: Any
    shape: tuple[int, ...]
    bias: bool
    residual: bool
    act: int
    window: tuple[int, int]
    tile: int

    def infer(self, x: Spec, u: Spec, *br: Spec) -> Spec:
        return Spec(self.shape, x.dtype)

    by_columns = columns_of_sum

    def lower(self, k: Any, x: Any, u: Any, *bry: Any) -> None:
        *br, y = bry
        b, r = br[0] if self.bias else None, br[-1] if self.residual else None
        lds = (x.ld, y.ld, r.ld if r else 0)
        fields = image_fields(
            self.tile, self.window, self, x.shape, y.shape, b is not None, self.act, r is not None, lds=lds
        )
        k.conv2d_winograd(fields, x, u, b, r, None, y)


def pack_fields(op: Any, w: tuple[int, ...]) -> dict[str, int]:
    """Fields of `conv2d_pack`; it asks for nothing of an image but its channels."""
    return conv_fields(op, (1, 1, 1, w[2] * op.groups), w, (1, 1, 1, w[3]))[1]


def pack(graph: Graph, kept: list[tuple[Kept, list[Symbol]]]) -> None:
    """In place, after `absorb_sums`. `kept` is what `fold` found, and grows."""
    folded = {id(s): (k, inputs, i) for k, inputs in kept for i, s in enumerate(inputs)}
    packed: dict[Any, Symbol] = {}  # of Variables, by how they are read
    writes = graph.writes
    for node in graph.nodes:
        op = as_sum(node)
        if op is None or node.inputs[1].shape[3] // op.groups < _FEWEST_OUTPUTS or _each_channel_alone(op, node):
            continue
        w = node.inputs[1]
        if one_pixel(op.shape) and by_pixel(op, w.shape[:2], op.shape) and not op.residual:
            continue  # dense layers read their weights as they are
        packing, reading = _packed(op, w.shape, node.outputs[0].shape)
        if id(w) in folded:
            k, inputs, i = folded[id(w)]
            panels = Symbol(graph, k.change(i, packing), kind="input", payload=w.payload)
            inputs[i] = graph.inputs[w.payload] = panels
        elif w.kind == "state" and w.payload not in writes and w.spec.size >= _FEWEST:
            if (id(w), packing) not in packed:
                k = Kept()
                packed[id(w), packing] = graph.add_input(k.keep(k.apply(packing, k.number(w))))
                kept.append((k, [packed[id(w), packing]]))
            panels = packed[id(w), packing]
        else:
            continue
        node.op = reading
        node.inputs = (node.inputs[0], panels, *node.inputs[2:])


def _packed(op: Any, w: tuple[int, ...], y: tuple[int, ...]) -> tuple[Op, Op]:
    """What packs the weights, and what reads them in place of `op`, a Conv2DSum."""
    tile = tile_for(op, w, y, packed=True)
    if tile:
        size = _core.facts("conv2d_winograd_pack", tile_fields(tile, op, w))["extents"][1]
        reads = Winograd(op.strides, op.padding, y, op.bias, op.residual, op.act, (w[0], w[1]), tile)
        return WinogradPack(op.strides, tile, size), reads
    how = (op.strides, op.dilation, op.groups)
    size = _core.facts("conv2d_pack", pack_fields(op, w))["extents"][1]
    reads = Conv2DPacked(op.strides, op.padding, op.dilation, op.groups, y, w, op.bias, op.residual, op.act)
    return Conv2DPack(*how, size), reads


def _each_channel_alone(op: Any, node: Node) -> bool:
    return conv_fields(op, node.inputs[0].shape, node.inputs[1].shape, op.shape)[0] != "conv2d"
