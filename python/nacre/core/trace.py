"""What is being recorded now: the graph under trace and the tapes that listen, per thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from nacre import _core

if TYPE_CHECKING:
    from nacre.core.graph import Graph


class Probe:
    """A trace that only serves to find out shapes: what stands for a size that depends on values, and if any did."""

    def __init__(self, size: int = 1) -> None:
        self.size, self.asked = size, False


class State(threading.local):
    graph: Graph | None = None
    tapes: tuple[Any, ...] = ()
    probe: Probe | None = None
    scope: Any = None


state = State()


def current_graph() -> Graph | None:
    """The graph under trace in this thread, or None when running eagerly."""
    return state.graph


def probing() -> bool:
    """Whether the graph under trace only serves to find out shapes."""
    return state.probe is not None


def unknown_size() -> int:
    """While shapes are looked for, a number in place of a size that only values tell."""
    assert state.probe is not None
    state.probe.asked = True
    return state.probe.size


def scope() -> Any:
    """The StatelessScope around this thread's code, or None."""
    return state.scope


def tapes() -> tuple[Any, ...]:
    """The gradient tapes that record in this thread."""
    return state.tapes


def unwatched() -> bool:
    """Whether nobody records what is computed now: no trace, no tape, no scope that takes what is written."""
    return current_graph() is None and not tapes() and scope() is None


def tracing(graph: Graph | None, probe: Probe | None = None) -> Any:
    """Within the block Variables that are read are Symbols of `graph`, writes to them are recorded there. None: eager
    again."""
    return _core.Swap(state, graph=graph, probe=probe)


def no_tapes() -> Any:
    """Nothing within the block is recorded by a tape."""
    return _core.Swap(state, tapes=())


def pop_tape(tape: Any) -> None:
    state.tapes = tuple(t for t in state.tapes if t is not tape)
