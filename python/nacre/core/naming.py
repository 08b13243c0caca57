"""Automatic names (`dense`, `dense_1`, ...) and the scopes that make up variable paths."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

_counts: dict[str, int] = {}


class _Scopes(threading.local):
    """The scopes that are open; those of layers by their names alone. No list: who puts back the tuple that there was
    before leaves nothing of what Ctrl-C has ended."""

    open: tuple[str | name_scope, ...] = ()


scopes = _Scopes()


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


def get_uid(prefix: str = "") -> int:
    """The next number for `prefix`, which automatic names count on with: 1, 2, ..."""
    _counts[prefix] = _counts.get(prefix, 0) + 1
    return _counts[prefix]


def reset_names() -> None:
    """Starts every counter again."""
    _counts.clear()


class name_scope:
    """Variables made inside get `name/` in front of their path.

    Args:
        name: without `/`.
        caller: who opens the scope; the same one right inside its own scope of this name opens none with `deduplicate`.
        override_parent: the path that stands in front of `name` in place of the scopes that are open.
    """

    def __init__(
        self, name: str, caller: object = None, deduplicate: bool = True, override_parent: str | None = None
    ) -> None:
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. Received: name={name}"
            )
        self.name = name
        self.caller = caller
        self.deduplicate = deduplicate
        self.override_parent = override_parent
        self._before: Any = None

    def __enter__(self) -> name_scope:
        before = scopes.open
        inside = before[-1] if before and self.deduplicate and self.caller is not None else None
        known = isinstance(inside, name_scope) and inside.caller is self.caller and inside.name == self.name
        self._before, scopes.open = (self._before, before), before if known else (*before, self)
        return self

    def __exit__(self, *args: object) -> None:
        self._before, scopes.open = self._before


@contextlib.contextmanager
def device(device_name: str) -> Iterator[None]:
    """Does nothing: there is one device, the CPU."""
    yield


def current_path() -> str:
    """The scopes that are open now, joined with `/`."""
    parts: list[str] = []
    for scope in scopes.open:
        if isinstance(scope, name_scope) and scope.override_parent is not None:
            parts = [part for part in scope.override_parent.split("/") if part]
        parts.append(scope if isinstance(scope, str) else scope.name)
    return "/".join(parts)
