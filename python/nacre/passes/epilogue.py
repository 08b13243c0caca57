"""Optimizers in the weight gradient: where a gradient of dense weights, of a convolution of single pixels, or of a
table of which few rows were looked up, only feeds one elementwise node of its own shape, that node becomes the
epilogue, and the gradient is never stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nacre import _core
from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import DTYPE_CODE, Spec
from nacre.core.tensor import Symbol
from nacre.ops.convolution import Conv2DGradW
from nacre.ops.convolution_kernels import by_pixel
from nacre.ops.elementwise import BroadcastTo, Elementwise
from nacre.ops.gather import TakeGradX
from nacre.ops.lowering import MOST_INPUTS, MOST_OUTPUTS, Step, program_fields
from nacre.ops.movement import Reshape
from nacre.ops.products import MatMul, grad_w_chunks
from nacre.passes.fuse import Fused


class DenseGradWMap(Op):
    """program(x^T dy, e1, e2, ...): see `lowering.Step` for `steps`, in which value 0 is the gradient x^T dy.

    Replaces MatMul(ta) or Conv2DGradW, and Fused (or one elementwise op). x (M, K), dy (M, N), each e (*window, K, N)
    or one number; outputs (*window, K, N), where the window of a convolution is (1, 1). float32.
    """

    steps: tuple[Step, ...]
    outs: tuple[int, ...]
    window: tuple[int, ...] = ()

    def infer(self, x: Spec, dy: Spec, *es: Spec) -> Any:
        return tuple(Spec((*self.window, x.shape[1], dy.shape[1]), "float32") for _ in self.outs)

    def by_columns(self, x: Spec, dy: Spec, *es: Spec) -> tuple[bool, ...]:
        return True, True

    def lower(self, k: Any, x: Any, dy: Any, *operands: Any) -> None:
        count = len(operands) - len(self.outs)
        es, ys = operands[:count], operands[count:]
        (m, inputs), units = x.shape, dy.shape[1]
        fields = dict(
            M=m, N=units, K=inputs, ldx=x.ld, x0=0, ldy=dy.ld, y0=0,
            scalar=[0, *[int(e.size == 1) for e in es]] + [0] * (MOST_INPUTS - 1 - count),
            **program_fields(k, self.steps, self.outs, count + 1),
        )  # fmt: skip
        k.dense_grad_w_map(
            fields, x, dy, *es, *[None] * (MOST_INPUTS - 1 - count), *ys, *[None] * (MOST_OUTPUTS - len(ys))
        )


class TakeGradXMap(Op):
    """program(g, e1, e2, ...), where g are zeros with the rows dy added at the positions `index`; the program is the
    step of an optimizer as in `DenseGradWMap`.

    Replaces TakeGradX along the first axis, and Fused. dy (..., I), index whole numbers, each e (R, I) or one number;
    outputs `shape`, (R, I). float32.
    """

    steps: tuple[Step, ...]
    outs: tuple[int, ...]
    shape: tuple[int, ...]

    def infer(self, dy: Spec, index: Spec, *es: Spec) -> Any:
        return tuple(Spec(self.shape, "float32") for _ in self.outs)

    def kernel_fields(self, k: Any, index: Any, es: Sequence[Any]) -> dict[str, Any]:
        """Those of the kernel."""
        return dict(
            R=self.shape[0], I=math.prod(self.shape[1:]), n=index.size, index_dtype=DTYPE_CODE[index.dtype],
            scalar=[0, *[int(e.size == 1) for e in es]] + [0] * (MOST_INPUTS - 1 - len(es)),
            **program_fields(k, self.steps, self.outs, len(es) + 1),
        )  # fmt: skip

    def lower(self, k: Any, dy: Any, index: Any, *operands: Any) -> None:
        count = len(operands) - len(self.outs)
        es, ys = operands[:count], operands[count:]
        k.scatter_update(
            self.kernel_fields(k, index, es), index, dy, *es, *[None] * (MOST_INPUTS - 1 - count), *ys,
            *[None] * (MOST_OUTPUTS - len(ys)),
        )  # fmt: skip


def move_into_epilogues(graph: Graph) -> None:
    """In place. Runs after fusion, so that the whole update is one node."""
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), []).append(node)
    escapes = {id(s) for s in (*graph.outputs, *graph.writes.values())}
    nodes: list[Node] = []
    gone: set[int] = set()
    for node in graph.nodes:
        fused = _fused(node, readers, escapes)
        if fused is not None:
            product, new = fused
            gone.add(id(product))
            for s in new.outputs:
                s.node = new
            nodes += [s.node for s in new.inputs[:2] if s.node is not None and id(s) not in readers]  # rows of pixels
            node = new
        nodes.append(node)
    graph.nodes = [n for n in nodes if id(n) not in gone]


def _steps(node: Node) -> tuple[tuple[Step, ...], tuple[int, ...]] | None:
    if isinstance(node.op, Fused):
        return node.op.steps, node.op.outs
    if isinstance(node.op, Elementwise) and not isinstance(node.op, BroadcastTo):
        steps = tuple(node.op.steps(len(node.inputs)))
        return steps, (len(node.inputs) + len(steps) - 1,)
    return None


def _fused(node: Node, readers: dict[int, list[Node]], escapes: set[int]) -> tuple[Node, Node] | None:
    found = _steps(node)
    if found is None or len(node.inputs) > MOST_INPUTS:
        return None
    shape = node.outputs[0].shape
    if any(s.dtype != "float32" for s in (*node.inputs, *node.outputs)):
        return None
    if any(s.shape != shape and s.spec.size != 1 for s in node.inputs):
        return None
    for at, g in enumerate(node.inputs):
        product = g.node
        if product is None or g.shape != shape or id(g) in escapes or len(readers[id(g)]) != 1:
            continue
        if isinstance(product.op, TakeGradX) and product.op.axis == 0:
            steps, outs, es = _gradient_first(node, at, *found)
            rows = TakeGradXMap(steps, outs, shape)
            fields = rows.kernel_fields(_core, product.inputs[1].spec, [s.spec for s in es])
            if _core.facts("scatter_update", fields)["error"] is None:
                return product, Node(rows, (*product.inputs, *es), node.outputs)
            continue
        x, dy = product.inputs[:2] if len(product.inputs) > 1 else (g, g)
        if isinstance(product.op, Conv2DGradW) and by_pixel(product.op, shape[:2], dy.shape):
            count = math.prod(dy.shape[:3])
        elif product.op is MatMul(True, False) and len(shape) == 2:
            count = x.shape[0]
        else:
            continue
        # a long sum over few tiles is cut into parts for many cores, which have to be joined before anything else
        if x is not dy and grad_w_chunks(count, *shape[-2:]) < 2:
            steps, outs, es = _gradient_first(node, at, *found)
            op = DenseGradWMap(steps, outs, shape[:-2])
            return product, Node(op, (*(_as_rows(s) for s in product.inputs), *es), node.outputs)
    return None


def _gradient_first(node: Node, at: int, steps: tuple[Step, ...], outs: tuple[int, ...]) -> Any:
    """`steps` and `outs` with input `at` of `node` as value 0, and the other inputs."""

    def renumber(a: Any) -> Any:
        return a if not isinstance(a, int) or a > at else 0 if a == at else a + 1

    new_steps = tuple((name, tuple(renumber(a) for a in args)) for name, args in steps)
    return new_steps, tuple(renumber(v) for v in outs), (*node.inputs[:at], *node.inputs[at + 1 :])


def _as_rows(s: Symbol) -> Symbol:
    """`s` with one axis beside the channels."""
    if len(s.shape) == 2:
        return s
    spec = Spec((math.prod(s.shape[:-1]), s.shape[-1]), s.dtype)
    rows = Symbol(s.graph, spec)
    rows.node = Node(Reshape(spec.shape), (s,), (rows,))
    return rows
