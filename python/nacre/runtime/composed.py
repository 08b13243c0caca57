"""Functions of many ops as programs, once they have been called often enough with arguments of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core.errors import NotCompilable, TracedBranch
from nacre.ops.base import install_planner
from nacre.runtime.compiled import PAYS, CompiledFunction, key_of

_MOST_KINDS = 1024
_calls: dict[Any, int] = {}  # by function and kind of arguments
_functions: dict[Callable[..., Any], CompiledFunction | None] = {}  # None: it asks for values


def _planned(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `function` gives for these arguments, None where its ops are to run one by one."""
    compiled = _functions[function] if function in _functions else CompiledFunction(function)
    if compiled is None:
        return None
    try:
        key = function, *key_of(args, kwargs)
        count = _calls.get(key, 0) + 1
    except Exception:  # what is wrong with the arguments, the function says
        return None
    if count < PAYS:
        if len(_calls) >= _MOST_KINDS:
            _calls.clear()
        _calls[key] = count
        return None
    _functions[function] = compiled
    try:
        return compiled.run((args, kwargs))
    except (TracedBranch, NotCompilable):
        _functions[function] = None
    except Exception:
        pass
    return None


install_planner(_planned)
