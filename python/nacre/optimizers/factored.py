"""Adafactor: the second moment of a matrix kept as its row and column means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre import ops
from nacre.core.variable import Variable
from nacre.optimizers.base import Optimizer
from nacre.optimizers.schedules.schedule import LearningRateSchedule


class Adafactor(Optimizer):
    """Adam without momentum whose second moments take rows + columns instead of rows * columns (Shazeer and Stern
    2018)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
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
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`: row means, column means and full second moments, in Keras' order."""
        if self.built:
            return
        super().build(variables)
        self._rows: list[Variable] = []
        self._columns: list[Variable] = []
        self._full: list[Variable] = []
        for v in variables:
            if len(v.shape) < 2:
                # Not used; Keras stores two integers in their place.
                row: tuple[int, ...] = ()
                column: tuple[int, ...] = ()
                dtype = "int32"
            else:
                row, column = v.shape[:-1], (*v.shape[:-2], v.shape[-1])
                dtype = v.dtype
            self._rows.append(self.add_variable(row, dtype=dtype, name=v.name))
            self._columns.append(self.add_variable(column, dtype=dtype, name=v.name))
            self._full.append(self.add_variable_from_reference(v, "velocity"))

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        i = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(self._local_step(), variable.dtype)
        if self.relative_step and not isinstance(self._learning_rate, LearningRateSchedule):
            rate = ops.minimum(rate, 1.0 / ops.sqrt(step))
        size = ops.sqrt(ops.mean(ops.square(variable)))
        alpha = ops.maximum(size, self.epsilon_2) * ops.minimum(rate, 1.0 / ops.sqrt(step))
        square = ops.square(gradient)
        keep = 1.0 - ops.power(step, self.beta_2_decay)
        if len(variable.shape) >= 2:
            row = keep * self._rows[i] + (1.0 - keep) * (ops.mean(square, axis=-1) + self.epsilon_1)
            column = keep * self._columns[i] + (1.0 - keep) * (ops.mean(square, axis=-2) + self.epsilon_1)
            self._rows[i].assign(row)
            self._columns[i].assign(column)
            share = row / ops.mean(row, axis=-1, keepdims=True)
            second = ops.expand_dims(share, -1) * ops.expand_dims(column, -2)
        else:
            second = keep * self._full[i] + (1.0 - keep) * (square + self.epsilon_1)
        self._full[i].assign(second)
        update = gradient / ops.sqrt(second)
        length = ops.sqrt(ops.mean(ops.square(update)))
        self.assign_sub(variable, update * (alpha / ops.maximum(length / self.clip_threshold, 1.0)))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        return {
            **super().get_config(),
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }
