"""Other values for Variables inside a block, and what is assigned there is kept by the block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nacre.core import trace
from nacre.core.variable import Variable


class StatelessScope:
    """Inside this block no Variable changes: it reads the values given here, and the ones assigned to them since.

    Args:
        state_mapping: `(variable, value)` pairs; a Variable that is not among them starts from its own value.
        collect_losses: whether `losses` is filled by `add_loss`.
        initialize_variables: kept for Keras' signature; Variables made inside have their values at once.

    Raises:
        ValueError: for a key that is no Variable, or a value of another shape.

    >>> v = Variable(1.0)
    >>> with StatelessScope([(v, 5.0)]) as scope:
    ...     _ = v.assign_add(1.0)
    >>> float(scope.get_current_value(v)), float(v)
    (6.0, 1.0)
    """

    def __init__(
        self,
        state_mapping: Iterable[tuple[Variable, Any]] | None = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables
        self.losses: list[Any] = []
        self.state_mapping: dict[int, Any] = {}
        self._variables: list[Variable] = []  # so that no other one gets the number of one that is gone
        for variable, given in state_mapping or ():
            if not isinstance(variable, Variable):
                raise ValueError(
                    "Invalid reference variable in StatelessScope: all keys in argument `mapping` must be Variable "
                    f"instances. Received instead: {variable}"
                )
            try:
                self.add_update((variable, variable.fitting(given)))
            except ValueError as error:
                raise ValueError(
                    "Invalid variable value in StatelessScope: all values in argument `mapping` must be tensors with a "
                    f"shape that matches the corresponding variable shape. {error}"
                ) from None

    def __enter__(self) -> StatelessScope:
        self._outer, trace.state.scope = trace.state.scope, self
        return self

    def __exit__(self, *exc: Any) -> None:
        trace.state.scope = self._outer

    def add_loss(self, loss: Any) -> None:
        """Keeps a loss in `losses`."""
        self.losses.append(loss)

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Sets the value that `variable` has inside: `(variable, value)`."""
        variable, value = update
        self._variables.append(variable)
        self.state_mapping[id(variable)] = value

    def get_current_value(self, variable: Variable) -> Any:
        """The value that was given or assigned, or None."""
        return self.state_mapping.get(id(variable))
