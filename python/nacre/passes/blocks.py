"""A convolution, a depthwise one and one of single pixels behind each other, as MobileNets have them, become one node
where the values between them are many: these stay in the cache of the thread that works on their rows."""

from __future__ import annotations

from typing import Any

from nacre import _core
from nacre.core.graph import Graph
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.passes.pack import Conv2DPacked
from nacre.passes.simplify import remove_dead
from nacre.passes.surround import Conv2DSum, as_sum, sole_readers

_MANY = 512 << 10  # bytes in an image between the first two: fewer stay in the caches anyway
_FEWEST_ROWS = 14  # of them per thread: with fewer, those that two threads both compute weigh too much
_SOME, _FEW_ROWS = 128 << 10, 7  # the same of the last two alone, where nothing is computed twice


class DepthwiseBlock(Op):
    """`third` of `second` of `first`, if there is one. x (N, H, W, C), then what each has besides, in this order ->
    y (N, OH, OW, O)."""

    first: Conv2DPacked | None
    second: Conv2DSum
    third: Conv2DPacked

    def infer(self, x: Spec, *others: Spec) -> Spec:
        return Spec(self.third.shape, x.dtype)

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...] | None:
        return (True, *(False for _ in inputs[2:]), self.third.residual)

    def lower(self, k: Any, x: Any, *others: Any) -> None:
        *values, y = others
        (n, h, w, c), (_, oh, ow, o) = x.shape, y.shape
        second, third, it = self.second, self.third, iter(values)
        ((pt, _), (pl, _)) = second.padding
        fields: dict[str, Any] = {"N": n, "H": h, "W": w, "C": c, "KH": 0, "KW": 1, "SH": 1, "SW": 1, "PT": 0, "PL": 0}
        fields.update(WH=h, WW=w)
        operands = [None, None]
        if self.first is not None:
            (kh, kw, *_), (sh, sw), ((pt1, _), (pl1, _)) = self.first.weights, self.first.strides, self.first.padding
            _, wh, ww, _ = self.first.shape
            fields.update(KH=kh, KW=kw, SH=sh, SW=sw, PT=pt1, PL=pl1, WH=wh, WW=ww)
            operands = [next(it), next(it) if self.first.bias else None]
        operands += [next(it) if given else None for op in (second, third) for given in (True, op.bias)]
        ops = (self.first, second, third)
        fields.update(
            D=second.shape[3], S=second.strides[0], PT2=pt, PL2=pl, OH=oh, OW=ow, O=o, residual=int(third.residual),
            bias=[int(op is not None and op.bias) for op in ops], act=[op.act if op is not None else 0 for op in ops],
            rows=-(-oh // _shares(n)),
        )  # fmt: skip
        k.depthwise_block(fields, x, *operands, next(it) if third.residual else None, y)


def _shares(images: int) -> int:
    """Parts of an image, so that every thread has as many."""
    threads = int(_core.get_threads())
    return threads if images % threads else 1


def join_blocks(graph: Graph) -> None:
    """In place, after `pack`."""
    alone = sole_readers(graph)
    for node in graph.nodes:
        second = node.inputs[0].node if isinstance(node.op, Conv2DPacked) else None
        middle = as_sum(second) if second is not None else None
        if second is None or middle is None or alone(second.outputs[0]) is not node:
            continue
        if not _follow(middle, node.op, second.inputs[1].shape):
            continue
        wide = second.inputs[0]
        first = wide.node if isinstance(wide.node and wide.node.op, Conv2DPacked) else None
        if first is not None and alone(wide) is second and _precedes(first.op):
            node.op = DepthwiseBlock(first.op, middle, node.op)
            node.inputs = (*first.inputs, *second.inputs[1:], *node.inputs[1:])
        elif _many(wide.shape, _SOME, _FEW_ROWS):
            node.op = DepthwiseBlock(None, middle, node.op)
            node.inputs = (*second.inputs, *node.inputs[1:])
    remove_dead(graph)


def _follow(b: Any, c: Any, window: tuple[int, ...]) -> bool:
    """Whether the kernel has Conv2DSum b and Conv2DPacked c; `window` is the shape of the weights of b."""
    one = b.groups == b.shape[3] and window == (3, 3, 1, b.groups) and b.dilation == (1, 1)
    steps = b.strides in ((1, 1), (2, 2)) and max(max(side) for side in b.padding) <= 3 - b.strides[0]
    two = c.weights[:2] == c.strides == c.dilation == (1, 1) and c.groups == 1 and c.padding == ((0, 0), (0, 0))
    return one and steps and two


def _precedes(a: Any) -> bool:
    """Whether the kernel has Conv2DPacked a before them, and should."""
    return a.dilation == (1, 1) and a.groups == 1 and not a.residual and _many(a.shape, _MANY, _FEWEST_ROWS)


def _many(wide: tuple[int, ...], nbytes: int, rows: int) -> bool:
    n, height, width, channels = wide
    return height >= rows * _shares(n) and 4 * height * width * channels >= nbytes
