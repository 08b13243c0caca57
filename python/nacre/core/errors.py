"""The exceptions that nacre's own machinery raises; users see ValueError and TypeError. What is done wholly or not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class TracedBranch(TypeError):
    """Python asked for the value of a tensor while its function was being traced."""


class NotCompilable(TypeError):
    """The function does something that a program cannot hold; it has to run eagerly."""


class whole:
    """Where the block does not come to its end (an error, Ctrl-C), the attributes of `obj` are what they were before,
    and lists among them hold what they held.

    A class: what Ctrl-C leaves of a generator that has begun ends when its traceback is freed, at any later time.
    """

    def __init__(self, obj: Any) -> None:
        self._attributes = vars(obj)
        self._earlier = dict(self._attributes)
        self._lists = [(value, value[:]) for value in self._earlier.values() if isinstance(value, list)]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, *exc: object) -> None:
        if kind is None:
            return
        self._attributes.update(self._earlier)
        for name in [*self._attributes]:
            if name not in self._earlier:
                del self._attributes[name]
        for value, held in self._lists:
            list.__setitem__(value, slice(None), held)  # of a list that reports what is put into it, too


def wholly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that changes its object wholly or not at all."""

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        with whole(self):
            return method(self, *args, **kwargs)

    return wrapped
