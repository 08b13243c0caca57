"""What is being recorded now: the graph under trace and the tapes that listen, per thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nacre.core.graph import Graph


class Probe:
    """A trace that only serves to find out shapes: what stands for a size that depends on values, and if any did."""

    def __init__(self, size: int = 1) -> None:
        self.size, self.asked = size, False


class _State(threading.local):
    graph: Graph | None = None
    tapes: tuple[Any, ...] = ()
    probe: Probe | None = None
    scope: Any = None


_state = _State()


def current_graph() -> Graph | None:
    """The graph under trace in this thread, or None when running eagerly."""
    return _state.graph


def probing() -> bool:
    """Whether the graph under trace only serves to find out shapes."""
    return _state.probe is not None


def set_probe(new: Probe | None) -> Probe | None:
    """Puts `new` in place of the probe that is under way; gives the one before."""
    before, _state.probe = _state.probe, new
    return before


def unknown_size() -> int:
    """While shapes are looked for, a number in place of a size that only values tell."""
    assert _state.probe is not None
    _state.probe.asked = True
    return _state.probe.size


def scope() -> Any:
    """The StatelessScope around this thread's code, or None."""
    return _state.scope


def enter_scope(new: Any) -> Any:
    """Puts `new` in place of the StatelessScope; gives the one before."""
    before, _state.scope = _state.scope, new
    return before


def tapes() -> tuple[Any, ...]:
    """The gradient tapes that record in this thread."""
    return _state.tapes


def unwatched() -> bool:
    """Whether nobody records what is computed now: no trace, no tape, no scope that takes what is written."""
    return current_graph() is None and not tapes() and scope() is None


class tracing:
    """Variables read inside are Symbols of `graph`, writes to them are recorded there. None: eager again.

    A class: what Ctrl-C leaves of a generator ends when its traceback is freed, and then puts back what was before it.
    """

    def __init__(self, graph: Graph | None, probe: Probe | None = None) -> None:
        self._new = graph, probe
        self._before: tuple[Graph | None, Probe | None] = _state.graph, _state.probe

    def __enter__(self) -> None:
        self._before = _state.graph, _state.probe
        _state.graph, _state.probe = self._new

    def __exit__(self, *exc: object) -> None:
        _state.graph, _state.probe = self._before


def push_tape(tape: Any) -> None:
    _state.tapes = (*_state.tapes, tape)


def pop_tape(tape: Any) -> None:
    _state.tapes = tuple(t for t in _state.tapes if t is not tape)


class no_tapes:
    """Nothing inside is recorded by a tape."""

    _before: tuple[Any, ...] = ()

    def __enter__(self) -> None:
        self._before, _state.tapes = _state.tapes, ()

    def __exit__(self, *exc: object) -> None:
        _state.tapes = self._before
