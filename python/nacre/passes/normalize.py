"""Batch normalization becomes one pass over memory with what follows it: a sum with a value of the same shape, relu,
relu6; and its gradients take in what goes through that activation. Where anything else of elementwise ops follows, it
becomes elementwise ops, too, so that the plan joins them.
"""

from __future__ import annotations

from nacre.core import trace
from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.tensor import Symbol
from nacre.ops.batch_norm import RELU, RELU6, BatchNorm, BatchNormGradSums, BatchNormGradX, BatchNormMore
from nacre.ops.elementwise import Add, Clip, Elementwise, Ge, Le, LogicalAnd, Relu, ReluGrad, Select
from nacre.passes.fuse import literal
from nacre.passes.simplify import remove_dead


def normalize(graph: Graph) -> None:
    """In place, before `combine`, which gives other ops what is left."""
    work = _Pass(graph)
    for node in list(graph.nodes):
        if isinstance(node.op, BatchNorm):
            work.take_in(node)
    work.finish()


class _Pass:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order = {id(node): i for i, node in enumerate(graph.nodes)}
        self.escapes = {id(s) for s in (*graph.outputs, *graph.writes.values())}
        self.readers: dict[int, list[Node]] = {}
        for node in graph.nodes:
            for s in node.inputs:
                self.readers.setdefault(id(s), []).append(node)
        self.gone: set[int] = set()

    def of(self, s: Symbol) -> list[Node]:
        return self.readers.get(id(s), [])

    def alone(self, s: Symbol, kind: type[Op]) -> Node | None:
        """The only reader of `s`, if its op is of that kind and `s` stays in the graph."""
        found = self.of(s)
        return found[0] if len(found) == 1 and id(s) not in self.escapes and isinstance(found[0].op, kind) else None

    def take_in(self, node: Node) -> None:
        y = node.outputs[0]
        add = self.alone(y, Add)
        last, residual = self._sum(node, add) if add is not None else (node, ())
        act, reader = self._activation(last)
        if act == RELU6 and not self._through_relu6(node, last, reader):
            act, reader = 0, None
        if act == RELU and last is node and reader is not None:
            self._through(node, RELU, [r for r in self.of(reader.outputs[0]) if _masks(r, reader.outputs[0])])
        if reader is None and last is node:
            return
        end = reader if reader is not None else last
        end.op = BatchNormMore(node.op, bool(residual), act)
        end.inputs = (*node.inputs, *residual)
        for s in residual:
            self.readers[id(s)].append(end)
        self.gone.update(id(n) for n in (node, last) if n is not end)

    def _sum(self, node: Node, add: Node) -> tuple[Node, tuple[Symbol, ...]]:
        """The Add and its other summand, where this may be taken in; else the node itself."""
        y = node.outputs[0]
        r = add.inputs[1] if add.inputs[0] is y else add.inputs[0]
        other = r.node
        later = (
            other is not None and isinstance(other.op, BatchNorm) and self.order[id(other)] > self.order[id(node)]
            and self.alone(r, Add) is not None
        )  # fmt: skip
        # Of two normalizations the later one takes the sum in.
        return (node, ()) if r is y or r.spec != y.spec or later else (add, (r,))

    def _activation(self, node: Node) -> tuple[int, Node | None]:
        y = node.outputs[0]
        relu = self.alone(y, Relu)
        if relu is not None:
            return RELU, relu
        clips = [r for r in self.of(y) if isinstance(r.op, Clip) and r.inputs[0] is y]
        if len(clips) == 1 and id(y) not in self.escapes and [literal(s) for s in clips[0].inputs[1:]] == [0.0, 6.0]:
            return RELU6, clips[0]
        return 0, None

    def _through_relu6(self, node: Node, last: Node, clip: Node | None) -> bool:
        """Lets the gradients of `node` go through the relu6 behind it, where nothing but these reads what it clips."""
        y = last.outputs[0]
        rest = [r for r in self.of(y) if r is not clip]
        if not rest:
            return True
        inside = self.of(rest[0].outputs[0])
        if last is not node or len(rest) != 2 or len(inside) != 1 or not isinstance(inside[0].op, LogicalAnd):
            return False
        if {id(s) for s in inside[0].inputs} != {id(r.outputs[0]) for r in rest}:
            return False
        limits = {type(r.op): literal(r.inputs[1]) for r in rest if r.inputs[0] is y}
        if limits != {Ge: 0.0, Le: 6.0} or any(self.alone(r.outputs[0], LogicalAnd) is None for r in rest):
            return False
        passes = inside[0].outputs[0]
        masks = self.of(passes)
        if id(passes) in self.escapes or not all(
            isinstance(m.op, Select) and m.inputs[0] is passes and literal(m.inputs[2]) == 0.0 for m in masks
        ):
            return False
        return self._through(node, RELU6, masks, all_of_them=True)

    def _through(self, node: Node, act: int, masks: list[Node], all_of_them: bool = False) -> bool:
        """Gradients of `node` behind these masks read what the masks read; whether they all could, where that is
        asked for."""
        found = [m for m in masks if self._only_gradients_of(node, m)]
        if all_of_them and len(found) < len(masks):
            return False
        for mask in found:
            d = mask.inputs[1] if isinstance(mask.op, Select) else mask.inputs[0]
            for r in self.of(mask.outputs[0]):
                r.op = type(r.op)(r.op.of, act)
                x, _, mean, variance, *rest = r.inputs
                parameters = node.inputs[3:]
                sums = rest[-1:] if isinstance(r.op, BatchNormGradX) else []
                r.inputs = (x, d, mean, variance, *parameters, *sums)
        return True

    def _only_gradients_of(self, node: Node, mask: Node) -> bool:
        d = mask.outputs[0]
        return id(d) not in self.escapes and d.spec == node.outputs[0].spec and all(
            isinstance(r.op, (BatchNormGradSums, BatchNormGradX)) and not r.op.act and r.inputs[1] is d
            and r.op.of.key == node.op.key and all(a is b for a, b in zip((r.inputs[0], *r.inputs[2:4]), node.inputs))
            for r in self.of(d)
        )  # fmt: skip

    def finish(self) -> None:
        """Leaves the nodes out that are part of others now, and writes those in ops that are to be spread."""
        nodes = [node for node in self.graph.nodes if id(node) not in self.gone]
        self.graph.nodes = []
        replaced: dict[int, Symbol] = {}
        for node in nodes:
            node.inputs = tuple([replaced.get(id(s), s) for s in node.inputs])
            if isinstance(node.op, BatchNorm) and self._feeds_elementwise(node.outputs[0]):
                with trace.tracing(self.graph), trace.no_tapes():
                    replaced[id(node.outputs[0])] = node.op.expand(*node.inputs)
            else:
                self.graph.nodes.append(node)
        remove_dead(self.graph)

    def _feeds_elementwise(self, y: Symbol) -> bool:
        """Whether `y` has no other readers."""
        return id(y) not in self.escapes and all(isinstance(r.op, Elementwise) for r in self.of(y))


def _masks(node: Node, h: Symbol) -> bool:
    """Whether it lets through what meets `h`, the output of a relu."""
    return isinstance(node.op, ReluGrad) and node.inputs[1] is h and node.inputs[0] is not h
