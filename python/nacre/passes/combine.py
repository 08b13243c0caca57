"""Replaces the patterns of `ops/fused.py` by their fused ops."""

from __future__ import annotations

from nacre.core.graph import Graph, Node
from nacre.core.tensor import Symbol
from nacre.ops.fused import PATTERNS
from nacre.passes.simplify import remove_dead


class _Uses:
    def __init__(self, graph: Graph) -> None:
        self._escapes = {id(s) for s in (*graph.outputs, *graph.writes.values())}
        self._readers: dict[int, list[Node]] = {}
        for node in graph.nodes:
            self.add(node)

    def add(self, node: Node) -> None:
        for s in node.inputs:
            self._readers.setdefault(id(s), []).append(node)

    def release(self, node: Node) -> None:
        """Forgets a node that is gone, and with it what only it read."""
        for s in node.inputs:
            self._readers[id(s)].remove(node)
            maker = s.node
            if maker is not None and all(not self.readers(y) and id(y) not in self._escapes for y in maker.outputs):
                self.release(maker)

    def readers(self, s: Symbol) -> list[Node]:
        return self._readers.get(id(s), [])

    def alone(self, s: Symbol) -> Node | None:
        """The only reader of `s`, None when there are more or when `s` leaves the graph."""
        readers = self.readers(s)
        return readers[0] if len(readers) == 1 and id(s) not in self._escapes else None


def combine(graph: Graph) -> None:
    """In place. A fused node stands where the first of the nodes whose outputs it takes over stood."""
    uses = _Uses(graph)
    order = {id(node): i for i, node in enumerate(graph.nodes)}
    place: dict[int, Node | None] = dict(enumerate(graph.nodes))
    for node in graph.nodes:
        if place[order[id(node)]] is not node:
            continue  # taken over by a fused node
        for match in PATTERNS.get(type(node.op), ()):
            fused = match(node, uses)
            replaced = {id(s.node): s.node for s in fused.outputs if s.node is not None} if fused is not None else {}
            first = min((order[i] for i in replaced), default=0)
            if fused is None or any(s.node is not None and order[id(s.node)] >= first for s in fused.inputs):
                continue
            uses.add(fused)
            order[id(fused)] = first
            for old in replaced.values():
                place[order[id(old)]] = None
                uses.release(old)
            place[first] = fused
            for s in fused.outputs:
                s.node = fused
            break
    graph.nodes = [node for node in place.values() if node is not None]
    remove_dead(graph)
