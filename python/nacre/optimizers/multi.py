"""Different optimizers for different variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.variable import Variable
from nacre.optimizers.base import Optimizer
from nacre.optimizers.loss_scale import LossScaleOptimizer


class OptimizerMap(MutableMapping[str, Optimizer]):
    """Patterns of variable paths -> optimizers; a path that none matches has the default one.

    A key that is the path itself goes before all; else the keys are regular expressions for the whole path.

    >>> from nacre import optimizers
    >>> m = OptimizerMap(optimizers.Adam(), {"encoder/.*": optimizers.SGD()})
    >>> m["encoder/dense/kernel"].name, m["decoder/kernel"].name
    ('sgd', 'adam')
    """

    def __init__(self, default_optimizer: Optimizer, optimizer_map: dict[str, Optimizer] | None = None) -> None:
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(f"default_optimizer must be a Keras Optimizer instance. Received: {default_optimizer}")
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(f"optimizer_map must be a dictionary. Received: {optimizer_map}")
        self._default_optimizer = default_optimizer
        self._optimizer_map: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    @property
    def default_optimizer(self) -> Optimizer:
        """What paths without a match get."""
        return self._default_optimizer

    def __getitem__(self, key: str) -> Optimizer:
        """The optimizer for the path `key`. Raises ValueError when several patterns match it."""
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        found = [optimizer for pattern, optimizer in self._optimizer_map.items() if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise ValueError(f"Multiple optimizers assigned to variable {key}.")
        return found[0] if found else self._default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if key in self._optimizer_map:
            raise ValueError(
                f"'{key}' already exists in the OptimizerMap with value {self._optimizer_map[key]}. Please make sure "
                "to not use duplicated keys."
            )
        if not isinstance(key, str):
            raise ValueError(f"key must be a string. Received: {key}")
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"optimizer must be a Keras Optimizer instance. Received: {optimizer}")
        if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
            raise ValueError(f"optimizer cannot be {type(optimizer).__name__}.")
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def __call__(self, variable: Variable) -> Optimizer:
        """The optimizer for `variable`."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal map."""
        return {
            "default_optimizer": serialize_keras_object(self._default_optimizer),
            "optimizer_map": serialize_keras_object(self._optimizer_map),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The map that `config` describes."""
        return cls(
            *(
                deserialize_keras_object(config[k], custom_objects=custom_objects)
                for k in ("default_optimizer", "optimizer_map")
            )
        )


class MultiOptimizer(Optimizer):
    """Hands each variable to the optimizer that `optimizer_map` has for it.

    Args:
        optimizer_map: an OptimizerMap, or a function of a Variable that gives its Optimizer.
        loss_scale_factor: goes before that of the optimizers inside.

    It has no learning rate of its own: see `optimizers`.
    """

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Variable], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        self._inner_optimizers: list[Optimizer] = []
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._number(optimizer)

    def _number(self, optimizer: Optimizer) -> int:
        for i, known in enumerate(self._inner_optimizers):
            if known is optimizer:
                return i
        optimizer.loss_scale_factor = self.loss_scale_factor
        self._inner_optimizers.append(optimizer)
        return len(self._inner_optimizers) - 1

    def _var_key(self, variable: Variable) -> int:
        return id(variable)

    def build(self, variables: Sequence[Variable]) -> None:
        """Gives each variable its optimizer, and those their slots."""
        if self.built:
            return
        self._var_to_optimizer_idx: dict[int, int] = {}
        for v in variables:
            optimizer = self._optimizer_map(v)
            if not isinstance(optimizer, Optimizer):
                raise ValueError(f"Optimizer for variable {v} is not an Optimizer instance.")
            if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
                raise ValueError(f"{type(optimizer).__name__} cannot be used inside an MultiOptimizer.")
            self._var_to_optimizer_idx[self._var_key(v)] = self._number(optimizer)
        for optimizer, mine in self._shares(variables):
            optimizer.build(mine)
        super().build(variables)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        inside = enumerate(self._inner_optimizers)
        self._var_to_optimizer_idx = {self._var_key(v): i for i, o in inside for v in o._trainable_variables}

    def _shares(self, variables: Sequence[Variable]) -> Iterator[tuple[Optimizer, list[Variable]]]:
        for i, optimizer in enumerate(self._inner_optimizers):
            mine = [v for v in variables if self._var_to_optimizer_idx[self._var_key(v)] == i]
            if mine:
                yield optimizer, mine

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers inside."""
        return self._inner_optimizers

    @property
    def variables(self) -> list[Variable]:
        """The state, that of the optimizers inside included."""
        return [*self._variables, *(v for optimizer in self._inner_optimizers for v in optimizer.variables)]

    @property
    def learning_rate(self) -> Any:
        """Not there: each optimizer inside has its own."""
        raise AttributeError(
            "Learning rate cannot be accessed on a MultiOptimizer. Access the learning rate on the individual "
            "sub-optimizers instead."
        )

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise AttributeError(
            "Learning rate cannot be set on a MultiOptimizer. Set the learning rate on the individual sub-optimizers "
            "instead."
        )

    @property
    def loss_scale_factor(self) -> float | None:
        """What the loss is multiplied by, and gradients divided, in all optimizers inside."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        self._loss_scale_factor = value
        for optimizer in self._inner_optimizers:
            optimizer.loss_scale_factor = value

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """A step of each optimizer on its variables."""
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_for(grads, trainable_variables)
        of = {id(v): g for v, g in zip(variables, grads)}
        for optimizer, mine in self._shares(variables):
            optimizer.apply([of[id(v)] for v in mine], mine)
        self._iterations.assign(self._iterations.value + 1)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """That of each optimizer for its variables."""
        for optimizer, mine in self._shares(var_list):
            optimizer.finalize_variable_values(mine)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer (without its state)."""
        return {
            "optimizer_map": serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The optimizer that `config` describes."""
        found = deserialize_keras_object(config["optimizer_map"], custom_objects=custom_objects)
        return cls(**{**config, "optimizer_map": found})
