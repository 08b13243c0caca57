"""Ctrl-C at a chosen moment: Python handles it where its code begins, comes back from a call, or goes round a loop."""

from __future__ import annotations

import dis
import functools
import signal
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

_BEFORE = {"RESUME", "CALL", "CALL_FUNCTION_EX", "CALL_KW", "CALL_FUNCTION", "CALL_METHOD"}


@functools.cache
def _moments(code: CodeType) -> frozenset[int]:
    """The instructions in front of which a signal may be handled."""
    found, before = set(), ""
    for instruction in dis.get_instructions(code):
        if before in _BEFORE:
            found.add(instruction.offset)
        if instruction.opname == "JUMP_BACKWARD":
            found.add(instruction.argval)
        before = instruction.opname
    return frozenset(found)


def _watched(act: Callable[[], Any], see: Callable[[FrameType], bool]) -> None:
    """Runs `act`; at every moment `see` is told where it is, until it says that it has seen enough."""

    def inside(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode" and frame.f_lasti in _moments(frame.f_code) and see(frame):
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return inside

    def begins(frame: FrameType, event: str, arg: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return inside

    before, tracer = signal.signal(signal.SIGINT, signal.default_int_handler), sys.gettrace()
    sys.settrace(begins)
    try:
        act()
    finally:
        sys.settrace(tracer)
        signal.signal(signal.SIGINT, before)


def moments(act: Callable[[], Any], folder: str) -> list[int]:
    """The numbers of the first moments at all places in the code below `folder` that `act` comes through. Moments
    elsewhere are not counted: there are more or fewer, as threads are waited for."""
    first: dict[Any, int] = {}
    count = 0

    def see(frame: FrameType) -> bool:
        nonlocal count
        if folder in frame.f_code.co_filename:
            count += 1
            first.setdefault((frame.f_code, frame.f_lasti), count)
        return False

    _watched(act, see)
    return sorted(first.values())


def interrupted(act: Callable[[], Any], moment: int, folder: str) -> tuple[BaseException | None, str]:
    """What `act` raises when Ctrl-C comes at that moment of those in the code below `folder`, and where that was."""
    count, where = 0, ""

    def see(frame: FrameType) -> bool:
        nonlocal count, where
        count += folder in frame.f_code.co_filename
        if count == moment:
            where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        return count == moment

    try:
        _watched(act, see)
    except BaseException as error:
        return error, where
    return None, where
