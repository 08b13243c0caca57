"""Other values for Variables, for the time of a call."""

from __future__ import annotations

from typing import Any

from nacre.core.trace import current_graph
from nacre.layers.conversion import convert_input


class variables_as:
    """Variables have other values inside: given as (Variable, tensor) pairs."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self.pairs = [(v, t.value if hasattr(t, "assign") else convert_input(t, None)) for v, t in pairs]

    def __enter__(self) -> None:
        graph = current_graph()
        self.graph = graph
        if graph is not None:
            self.before: list[tuple[Any, Any]] = [(v, graph.read(v)) for v, _ in self.pairs]
            for v, t in self.pairs:
                graph.write(v, t)
            return
        self.before = [(v, (v._array, v._tensor)) for v, _ in self.pairs]
        for v, t in self.pairs:
            v._set_array(t._array)
            v._tensor = t

    def __exit__(self, *exc: Any) -> None:
        for v, value in self.before:
            if self.graph is not None:
                self.graph.write(v, value)
            else:
                v._set_array(value[0])
                v._tensor = value[1]
