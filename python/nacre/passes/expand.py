"""Ops that say how they are made of smaller ones are replaced by these, now that their own gradient rules have done
their work.

Such an op has a method `expand(*inputs)`, written in ops, that gives its outputs.
"""

from __future__ import annotations

from typing import Any

from nacre.core import trace
from nacre.core.graph import Graph
from nacre.core.tensor import Symbol


def expand(graph: Graph) -> None:
    """In place."""
    replaced: dict[int, Symbol] = {}
    nodes, graph.nodes = graph.nodes, []
    for node in nodes:
        node.inputs = tuple([replaced.get(id(s), s) for s in node.inputs])
        rule = getattr(node.op, "expand", None)
        if rule is None:
            graph.nodes.append(node)
            continue
        with trace.tracing(graph), trace.no_tapes():
            made: Any = rule(*node.inputs)
        outputs = made if isinstance(made, tuple) else (made,)
        replaced.update({id(old): new for old, new in zip(node.outputs, outputs)})
    graph.outputs = [replaced.get(id(s), s) for s in graph.outputs]
    graph.current = {v: replaced.get(id(s), s) for v, s in graph.current.items()}
