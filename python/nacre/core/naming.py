"""Automatic names (`dense`, `dense_1`, ...) and the scopes that make up variable paths."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator

_counts: dict[str, int] = {}
_local = threading.local()


def to_snake_case(name: str) -> str:
    """`Conv2D` -> `conv2d`, `GlobalMaxPooling2D` -> `global_max_pooling2d`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    name = re.sub("([a-z])([A-Z])", r"\1_\2", name)
    return name.lower()


def auto_name(prefix: str) -> str:
    """The next unused automatic name for `prefix`, counted over the whole process."""
    prefix = to_snake_case(prefix)
    count = _counts.get(prefix, 0)
    _counts[prefix] = count + 1
    return prefix if count == 0 else f"{prefix}_{count}"


def reset_names() -> None:
    """Starts every counter again."""
    _counts.clear()


def _stack() -> list[str]:
    stack = getattr(_local, "stack", None)
    if stack is None:
        stack = _local.stack = []
    return stack


@contextlib.contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Variables made inside get `name/` in front of their path."""
    stack = _stack()
    stack.append(str(name))
    try:
        yield
    finally:
        stack.pop()


@contextlib.contextmanager
def device(device_name: str) -> Iterator[None]:
    """Does nothing: there is one device, the CPU."""
    yield


def current_path() -> str:
    """The scopes that are open now, joined with `/`."""
    return "/".join(_stack())
