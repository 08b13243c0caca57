"""Optimizers that average their own path in place of a learning rate schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre import ops
from nacre.core.variable import Variable
from nacre.optimizers.base import Optimizer


class ScheduleFreeAdamW(Optimizer):
    """Schedule-free AdamW (Defazio et al. 2024).

    The slot `momentum` takes Adam's steps z; x is the mean of all z; the variable is between both:
    `w = (1 - beta_1) z + beta_1 x`. The learning rate rises over the first `warmup_steps`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
            **kwargs,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`; `momentum` starts as a copy of them."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        for slot, v in zip(self._momentums, variables):
            slot.assign(v)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        i = self._get_variable_index(variable)
        z_slot, v_slot = self._momentums[i], self._velocities[i]
        t = ops.cast(self._local_step(), variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        if self.warmup_steps > 0:
            rate = rate * ops.minimum(t / float(self.warmup_steps), 1.0)
        before = z_slot.value
        v = v_slot + (ops.square(gradient) - v_slot) * (1.0 - self.beta_2)
        v_slot.assign(v)
        z = before - rate * gradient / (ops.sqrt(v / (1.0 - ops.power(self.beta_2, t))) + self.epsilon)
        z_slot.assign(z)
        share = 1.0 / t
        x = (variable - (1.0 - self.beta_1) * before) / self.beta_1
        x = (1.0 - share) * x + share * z
        self.assign(variable, (1.0 - self.beta_1) * z + self.beta_1 * x)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own, "warmup_steps": self.warmup_steps}
