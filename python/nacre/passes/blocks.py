"""A convolution, a depthwise one and one of single pixels behind each other, as MobileNets have them, become one node
where the values between them are many: these stay in the cache of the thread that works on their rows."""

from __future__ import annotations

from typing import Any

from nacre import _core
from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.passes.pack import Conv2DPacked
from nacre.passes.simplify import remove_dead
from nacre.passes.surround import Conv2DSum, as_sum, sole_readers

_MANY = 512 << 10  # bytes in an image between the first two: fewer stay in the caches anyway
_FEWEST_ROWS = 14  # of them per thread: with fewer, those that two threads both compute weigh too much


class DepthwiseBlock(Op):
    """`third` of `second` of `first`. x (N, H, W, C), then what each has besides, in this order -> y (N, OH, OW, O)."""

    first: Conv2DPacked
    second: Conv2DSum
    third: Conv2DPacked

    def infer(self, x: Spec, *others: Spec) -> Spec:
        return Spec(self.third.shape, x.dtype)

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...] | None:
        return (True, *(False for _ in inputs[2:]), self.third.residual)

    def lower(self, k: Any, x: Any, *others: Any) -> None:
        *values, y = others
        ops = (self.first, self.second, self.third)
        it = iter(values)
        operands = [next(it) if given else None for op in ops for given in (True, op.bias)]
        residual = next(it) if self.third.residual else None
        (n, h, w, c), (_, oh, ow, o), (_, wh, ww, d) = x.shape, y.shape, self.first.shape
        (kh, kw, *_), (sh, sw) = self.first.weights, self.first.strides
        ((pt, _), (pl, _)), ((pt2, _), (pl2, _)) = self.first.padding, self.second.padding
        fields = {
            "N": n, "H": h, "W": w, "C": c, "KH": kh, "KW": kw, "SH": sh, "SW": sw, "PT": pt, "PL": pl, "WH": wh,
            "WW": ww, "D": d, "S": self.second.strides[0], "PT2": pt2, "PL2": pl2, "OH": oh, "OW": ow, "O": o,
            "bias": [int(op.bias) for op in ops], "act": [op.act for op in ops],
            "residual": int(self.third.residual), "rows": -(-oh // _shares(n)),
        }  # fmt: skip
        k.depthwise_block(fields, x, *operands, residual, y)


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
        first = second.inputs[0].node if second is not None and middle is not None else None
        if first is None or second is None or not isinstance(first.op, Conv2DPacked):
            continue
        single = alone(first.outputs[0]) is second and alone(second.outputs[0]) is node
        if single and _follow(first.op, middle, node.op, second.inputs[1].shape):
            node.op = DepthwiseBlock(first.op, middle, node.op)
            node.inputs = (*first.inputs, *second.inputs[1:], *node.inputs[1:])
    remove_dead(graph)


def _follow(a: Conv2DPacked, b: Conv2DSum, c: Conv2DPacked, window: tuple[int, ...]) -> bool:
    """Whether one kernel has all three, and should; `window` is the shape of the weights of b."""
    n, rows, columns, channels = a.shape
    one = a.dilation == (1, 1) and a.groups == 1 and not a.residual
    two = b.groups == channels and window == (3, 3, 1, channels) and b.dilation == (1, 1)
    steps = b.strides in ((1, 1), (2, 2)) and max(max(side) for side in b.padding) <= 3 - b.strides[0]
    three = c.weights[:2] == c.strides == c.dilation == (1, 1) and c.groups == 1 and c.padding == ((0, 0), (0, 0))
    many = rows >= _FEWEST_ROWS * _shares(n) and 4 * rows * columns * channels >= _MANY
    return one and two and steps and three and many
