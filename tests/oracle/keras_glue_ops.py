"""The operation classes that Keras' tests of `keras.ops` make: `Sum(axis=1)(x)` is nacre's `ops.sum(x, axis=1)`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nacre.core.operation import Operation, compute_output_spec

# Classes whose arguments do not simply stand behind the inputs: the call that they make.
_ORDER: dict[str, Callable[..., Any]] = {
    "full": lambda f, given, inputs: f(*given[:1], *inputs, *given[1:]),
    "einsum": lambda f, given, inputs: f(*given, *inputs),
    "fori_loop": lambda f, given, inputs: f(*given, *inputs),
    "map": lambda f, given, inputs: f(*given, *inputs),
    "vectorized_map": lambda f, given, inputs: f(*given, *inputs),
    "while_loop": lambda f, given, inputs: f(*given[:2], *inputs, *given[2:]),
}


@functools.cache
def _functions() -> dict[str, tuple[str, Callable[..., Any]]]:
    """The functions of nacre's ops by their names in small letters without underscores."""
    from nacre import ops

    homes = (ops.image, ops.nn, ops.linalg, ops)
    found = {name.replace("_", "").lower(): (name, getattr(home, name)) for home in homes for name in home.__all__}
    return {**found, "rmsnorm": found["rmsnormalization"], "layernorm": found["layernormalization"]}


def operation(title: str) -> type | None:
    """The class called `title`, or None when no function has that name."""
    if not title[:1].isupper() or title.lower() not in _functions():
        return None
    name, function = _functions()[title.lower()]

    class OfFunction(Operation):
        def __init__(self, *given: Any, name: str | None = None, **options: Any) -> None:
            super().__init__(name)
            self.given, self.options = given, options

        def call(self, *inputs: Any, **more: Any) -> Any:
            bound = functools.partial(function, **{**self.options, **more})
            order = _ORDER.get(name)
            return order(bound, self.given, inputs) if order else bound(*inputs, *self.given)

        def compute_output_spec(self, *inputs: Any, **more: Any) -> Any:
            return compute_output_spec(self.call, inputs, more, name, fit=True)

    OfFunction.__name__ = OfFunction.__qualname__ = title
    return OfFunction
