"""Rematerialization: asked for as in Keras, and answered by the plan of a step.

A compiled step knows when each value is read for the last time, and lays its values out accordingly; nothing is
computed a second time to save memory. What is marked here computes the same values with the same gradients.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_local = threading.local()


class RematMode(NamedTuple):
    """What the innermost `RematScope` asks for."""

    mode: str | None
    output_size_threshold: int
    layer_names: list[str]


class RematScope:
    """A block of code whose layers may be computed again in the backward pass rather than kept. See the module.

    Args:
        mode: `"full"`, `"activations"`, `"larger_than"`, `"list_of_layers"` or None.
        output_size_threshold: for `"larger_than"`, the size of an output above which it is not kept.
        layer_names: for `"list_of_layers"`, the names of the layers.
    """

    def __init__(
        self, mode: str | None = "full", output_size_threshold: int = 1024, layer_names: Iterable[str] | None = None
    ) -> None:
        if mode not in ("full", "activations", "larger_than", "list_of_layers", None):
            raise ValueError(
                f"Invalid mode '{mode}'. Supported modes are: 'full', 'activations', 'larger_than', 'list_of_layers', "
                "or  None."
            )
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = list(layer_names or [])

    def __enter__(self) -> RematScope:
        _scopes().append(self)
        return self

    def __exit__(self, *args: Any) -> None:
        _scopes().pop()


def _scopes() -> list[RematScope]:
    if not hasattr(_local, "scopes"):
        _local.scopes = []
    return _local.scopes  # type: ignore[no-any-return]


def get_current_remat_mode() -> RematMode | None:
    """What the innermost open `RematScope` asks for; None outside of all."""
    if not _scopes():
        return None
    scope = _scopes()[-1]
    return RematMode(scope.mode, scope.output_size_threshold, scope.layer_names)


def remat(f: F) -> F:
    """`f`, marked as what may be computed again in the backward pass rather than kept. See the module.

    >>> remat(lambda x, scale=1.0: x * scale)(2.0, scale=3.0)
    6.0
    """
    if not callable(f):
        raise TypeError(f"remat: expected a function or a layer, got {f!r}")

    def marked(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **kwargs)

    return functools.update_wrapper(marked, f)  # type: ignore[return-value]
