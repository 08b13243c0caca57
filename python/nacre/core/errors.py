"""The exceptions that nacre's own machinery raises; users see ValueError and TypeError. What is done wholly or not."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any


class TracedBranch(TypeError):
    """Python asked for the value of a tensor while its function was being traced."""


class NotCompilable(TypeError):
    """The function does something that a program cannot hold; it has to run eagerly."""


@contextlib.contextmanager
def whole(obj: Any) -> Iterator[None]:
    """Where the block does not come to its end (an error, Ctrl-C), the attributes of `obj` are what they were before,
    and lists among them hold what they held."""
    earlier = dict(vars(obj))
    lists = [(value, value[:]) for value in earlier.values() if isinstance(value, list)]
    try:
        yield
    except BaseException:
        vars(obj).update(earlier)
        for name in [*vars(obj)]:
            if name not in earlier:
                del vars(obj)[name]
        for value, held in lists:
            list.__setitem__(value, slice(None), held)  # of a list that reports what is put into it, too
        raise


def wholly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that changes its object wholly or not at all."""

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        with whole(self):
            return method(self, *args, **kwargs)

    return wrapped
