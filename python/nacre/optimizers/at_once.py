"""An optimizer's eager step as one program for all variables, where nobody could tell the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre.core import trace
from nacre.core.errors import NotCompilable, TracedBranch
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable
from nacre.runtime.compiled import PAYS, CompiledFunction, plain

_MOST_SETTINGS = 8  # of one optimizer: changed in every step, they would be planned in every step


class AtOnce:
    """The compiled steps of one optimizer, by its settings; copies of the optimizer begin with none."""

    def __init__(self) -> None:
        self._steps = 0
        self._functions: dict[Any, CompiledFunction | None] = {}

    def __reduce__(self) -> Any:
        return AtOnce, ()

    def __call__(self, optimizer: Any, grads: list[Any], variables: Sequence[Variable]) -> bool:
        """Whether the variables were changed by these gradients."""
        if not trace.unwatched():
            return False
        self._steps += 1
        if self._steps < PAYS or not all(type(g) is Tensor for g in grads):
            return False
        trained = optimizer._trainable_variables
        if len(variables) != len(trained) or not all(v is t for v, t in zip(variables, trained)):
            return False
        rate = optimizer._learning_rate
        parts = [optimizer, None if isinstance(rate, Variable) else rate, *[v.constraint for v in trained]]
        settings = tuple([part if part is None else (part, _plain(part)) for part in parts])
        if settings not in self._functions:
            if len(self._functions) == _MOST_SETTINGS:
                return False
            self._functions[settings] = _function(optimizer) if _is_ours(optimizer, parts) else None
        function = self._functions[settings]
        if function is None:
            return False
        try:
            function(grads)
        except (TracedBranch, NotCompilable):
            self._functions[settings] = None
            return False
        return True


def _plain(x: Any) -> tuple[Any, ...]:
    """Whatever plain values `x` has as attributes, since a program is made for those."""
    return tuple([None if type(v) is list else plain(v) for v in x.__dict__.values()])  # lists are of Variables


def _function(optimizer: Any) -> CompiledFunction:
    return CompiledFunction(lambda grads: optimizer._apply(grads, optimizer._trainable_variables))


def _is_ours(optimizer: Any, parts: list[Any]) -> bool:
    """Whether only this package's own code takes part in a step."""
    return (
        all(part is None or type(part).__module__.startswith("nacre.") for part in parts)
        and not optimizer.gradient_accumulation_steps  # in a program every step would compute what only the last needs
        and "update_step" not in optimizer.__dict__
    )
