"""A loss scale that finds itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre import ops
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.variable import Variable
from nacre.optimizers.base import Optimizer

# What belongs to the inner optimizer; older files hold these with their defaults.
_INNER = {
    "weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None, "use_ema": False,
    "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None,
"gradient_accumulation_steps": None, }  # fmt: skip


class LossScaleOptimizer(Optimizer):
    """Multiplies the loss by a scale and divides the gradients again, so that small gradients do not vanish in half
    precision.

    A step with a gradient that is infinite or NaN is skipped and halves the scale; `dynamic_growth_steps` good steps in
    a row double it.

    Args:
        inner_optimizer: what changes the variables.
        initial_scale: the first scale.
        dynamic_growth_steps: good steps before the scale is doubled.

    Raises:
        ValueError: for arguments that belong to `inner_optimizer`.
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer no longer supports `dynamic=False`. Instead, simply set `loss_scale_factor` "
                "directly on the `inner_optimizer`."
            )
        for argument, usual in _INNER.items():
            if kwargs.pop(argument, usual) != usual:
                raise ValueError(
                    f"LossScaleOptimizer does not support `{argument}`. Instead, set `{argument}` on the "
                    "`inner_optimizer`."
                )
        if kwargs:
            raise ValueError(f"LossScaleOptimizer does not support arguments: `{'`, `'.join(kwargs)}`.")
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        inner_optimizer.loss_scale_factor = None  # gradients are divided once

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the state: the scale, the count of good steps, and the slots of the inner optimizer."""
        if self.built:
            return
        self.step_counter = self.add_variable((), "zeros", "int32", name="step_counter")
        self.dynamic_scale = self.add_variable((), "zeros", "float32", name="dynamic_scale")
        self.dynamic_scale.assign(self.initial_scale)
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[Variable]:
        """The state, that of the inner optimizer included."""
        return [*self._variables, *self.inner_optimizer.variables]

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """A step of the inner optimizer with the gradients by the scale, if all of them are finite."""
        grads = list(grads)
        variables = self._variables_for(grads, trainable_variables)
        given = [ops.convert_to_tensor(g) for g in grads if g is not None]
        # a number times zero is zero, anything else NaN: one pass over each gradient, in its own dtype
        finite = ops.isfinite(sum(ops.cast(ops.sum(g * 0.0), "float32") for g in given))

        def step() -> None:
            scale = self.dynamic_scale.value
            share = 1.0 / scale
            self.inner_optimizer.apply(
                [g if g is None or v.overwrite_with_gradient else g * share for g, v in zip(grads, variables)],
                variables,
            )
            full = ops.equal(self.step_counter, self.dynamic_growth_steps - 1)
            self.dynamic_scale.assign(ops.where(full, scale * 2.0, scale))
            self.step_counter.assign(ops.where(full, 0, self.step_counter.value + 1))

        def skip() -> None:
            self.step_counter.assign(0)
            self.dynamic_scale.assign(self.dynamic_scale.value * 0.5)

        self._when(finite, step, skip, [*self.variables, *variables])

    @property
    def learning_rate(self) -> Any:
        """That of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property  # type: ignore[misc]
    def iterations(self) -> Any:
        """That of the inner optimizer."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale."""
        return loss * (self.dynamic_scale if self.built else self.initial_scale)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """That of the inner optimizer."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer (without its state)."""
        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The optimizer that `config` describes."""
        inner = deserialize_keras_object(config["inner_optimizer"], custom_objects=custom_objects)
        return cls(**{**config, "inner_optimizer": inner})
