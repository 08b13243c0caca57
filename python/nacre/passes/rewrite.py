"""What passes share that go through a graph once and replace some of its values."""

from __future__ import annotations

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.tensor import Symbol
from nacre.passes.simplify import remove_dead


class Rewrite:
    """Subclasses have `take`, which hands on a node to `nodes`, puts others in front, or replaces its output."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.replaced: dict[int, Symbol] = {}

    def run(self) -> None:
        """Changes the graph in place; what nobody needs any more goes."""
        for node in self.graph.nodes:
            node.inputs = tuple([self.now(s) for s in node.inputs])
            self.take(node)
        self.graph.nodes = self.nodes
        self.graph.outputs = [self.now(s) for s in self.graph.outputs]
        self.graph.current = {v: self.now(s) for v, s in self.graph.current.items()}
        remove_dead(self.graph)

    def take(self, node: Node) -> None:
        """The next node, whose inputs are what stands for them now."""
        self.nodes.append(node)

    def now(self, s: Symbol) -> Symbol:
        """What stands for `s`."""
        return self.replaced.get(id(s), s)

    def made(self, op: Op, *inputs: Symbol) -> Symbol:
        """The output of a new node, the next one."""
        node = self.graph.made(op, *inputs)
        self.nodes.append(node)
        return node.outputs[0]


__all__ = ["Rewrite"]
