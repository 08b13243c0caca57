"""`tf.function`: Python as one program for each set of shapes."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core import trace, tree
from nacre.core.errors import NotCompilable, TracedBranch
from nacre.core.variable import Variable
from nacre.runtime.compiled import CompiledFunction

eagerly = [False]  # what config.run_functions_eagerly says


class _Held:
    """A Variable among the arguments of a compiled function: itself, not its value."""

    def __init__(self, variable: Variable) -> None:
        self.variable = variable

    def __eq__(self, other: object) -> Any:
        return isinstance(other, _Held) and self.variable is other.variable

    def __hash__(self) -> int:
        return id(self.variable)


def _hold(arguments: Any) -> Any:
    if any(isinstance(x, np.ndarray) and x.dtype.kind in "SUO" for x in tree.flatten(arguments)):
        raise NotCompilable("text")
    return tree.map_structure(lambda x: _Held(x) if isinstance(x, Variable) else x, arguments)


def _release(arguments: Any) -> Any:
    return tree.map_structure(lambda x: x.variable if isinstance(x, _Held) else x, arguments)


def _check(func: Callable[..., Any], signature: Any, args: Any) -> None:
    """Raises TypeError where tensors among the arguments have other axes than `input_signature` says."""
    given = args[len(args) - len(signature) :] if len(args) > len(signature) else args  # a method's object is first
    for number, (value, spec) in enumerate(zip(given, signature)):
        sizes, wanted = getattr(value, "shape", None), getattr(spec, "shape", None)
        if sizes is None or wanted is None or getattr(wanted, "rank", 0) is None:
            continue
        sizes, wanted = tuple(sizes), tuple(wanted)
        if len(sizes) != len(wanted) or any(w is not None and n is not None and w != n for n, w in zip(sizes, wanted)):
            name = getattr(func, "__name__", "the function")
            raise TypeError(
                f"{name}: argument {number} has shape {sizes}, but input_signature says {wanted}: tf.function takes "
                "tensors of that shape, with None for sizes that vary"
            )


def source(entity: Any) -> str:
    """The text of a function, which runs as it is written."""
    return textwrap.dedent(inspect.getsource(getattr(entity, "python_function", entity)))


def function(func: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """`func` as one program per shapes of its arguments. It runs as it stands inside of another one, where a tape
    listens, and where it cannot be compiled because it asks for values."""
    if func is None:
        return lambda f: function(f, **kwargs)
    signature = kwargs.get("input_signature")
    compiled, possible = CompiledFunction(lambda *args, **named: func(*_release(args), **_release(named))), [True]

    @functools.wraps(func)
    def call(*args: Any, **named: Any) -> Any:
        if signature is not None:
            _check(func, signature, args)
        if possible[0] and not eagerly[0] and trace.current_graph() is None and not trace.tapes():
            try:
                return compiled(*_hold(args), **_hold(named))
            except (TracedBranch, NotCompilable):
                possible[0] = False
        return func(*args, **named)

    call.python_function = func  # type: ignore[attr-defined]
    call.get_concrete_function = lambda *args, **named: call  # type: ignore[attr-defined]  # one program for each shape
    return call
