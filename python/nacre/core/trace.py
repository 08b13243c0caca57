"""What is being recorded now: the graph under trace and the tapes that listen, per thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nacre.core.graph import Graph


class _State(threading.local):
    graph: Graph | None = None
    tapes: tuple[Any, ...] = ()
    probing: bool = False
    scope: Any = None


_state = _State()


def current_graph() -> Graph | None:
    """The graph under trace in this thread, or None when running eagerly."""
    return _state.graph


def probing() -> bool:
    """Whether the graph under trace only serves to find out shapes."""
    return _state.probing


def set_probing(new: bool) -> bool:
    """Sets what `probing` answers; gives the answer before."""
    before, _state.probing = _state.probing, new
    return before


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


@contextlib.contextmanager
def tracing(graph: Graph | None, probe: bool = False) -> Iterator[None]:
    """Variables read inside are Symbols of `graph`, writes to them are recorded there. None: eager again."""
    before = _state.graph, _state.probing
    _state.graph, _state.probing = graph, probe
    try:
        yield
    finally:
        _state.graph, _state.probing = before


def push_tape(tape: Any) -> None:
    _state.tapes = (*_state.tapes, tape)


def pop_tape(tape: Any) -> None:
    _state.tapes = tuple(t for t in _state.tapes if t is not tape)


@contextlib.contextmanager
def no_tapes() -> Iterator[None]:
    """Nothing inside is recorded by a tape."""
    before = _state.tapes
    _state.tapes = ()
    try:
        yield
    finally:
        _state.tapes = before
