"""What a layer does to images as one program, where nobody could tell the difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core import trace
from nacre.core.errors import NotCompilable, TracedBranch
from nacre.core.tensor import Tensor
from nacre.runtime.compiled import PAYS, CompiledFunction, plain

_MOST = 8  # programs of one layer: changed or fed with other sizes in every call, it would be planned in every call


class Programs:
    """The programs of one layer, by its settings; copies of the layer begin with none."""

    def __init__(self) -> None:
        self._calls = 0
        self._functions: dict[Any, CompiledFunction | None] = {}

    def __reduce__(self) -> Any:
        return Programs, ()

    def run(self, layer: Any, apply: Callable[..., Any], images: Any, drawn: Any, training: bool) -> Any:
        """`apply(images, drawn, training)`, a method of `layer` that reads nothing else than its settings."""
        self._calls += 1
        if self._calls < PAYS or not trace.unwatched() or type(images) is not Tensor:
            return apply(images, drawn, training)
        if not type(layer).__module__.startswith("nacre.") or apply.__name__ in layer.__dict__:
            return apply(images, drawn, training)
        key = (apply.__name__, training, *[plain(v) for v in layer.__dict__.values()])
        if key not in self._functions and len(self._functions) < _MOST:
            self._functions[key] = CompiledFunction(lambda images, drawn: apply(images, drawn, training))
        function = self._functions.get(key)
        if function is None or not (function.count < _MOST or function.knows(images, drawn)):
            return apply(images, drawn, training)
        try:
            return function(images, drawn)
        except (TracedBranch, NotCompilable):
            self._functions[key] = None
        except Exception:  # a bad argument: the ops say what is wrong with it
            pass
        return apply(images, drawn, training)
