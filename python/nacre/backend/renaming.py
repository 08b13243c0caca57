"""Functions under the argument names that they have elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def renamed(function: Callable[..., Any], names: str) -> Callable[..., Any]:
    """`function` with its first arguments under other names, and with an argument `name` that says nothing."""
    order = names.split()

    @functools.wraps(function)
    def call(*args: Any, name: str | None = None, **kwargs: Any) -> Any:
        given = list(args)
        for argument in order[len(args) :]:
            if argument not in kwargs:
                break
            given.append(kwargs.pop(argument))
        return function(*given, **kwargs)

    return call
