"""Muon: matrices take steps whose singular values are all about the same."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from nacre import ops
from nacre.core.variable import Variable
from nacre.optimizers.base import Optimizer

_MOST_STEPS = 100  # of Newton and Schulz: each is part of the program, and a dozen are more than enough


class Muon(Optimizer):
    """Muon (Jordan et al. 2024) for matrices, AdamW for all else.

    The momentum of a matrix is made nearly orthogonal by `ns_steps` Newton-Schulz steps
    `x = a x + (b A + c A A) x` with `A = x x^T`, then scaled by `rms_rate * sqrt(larger side)`, so that learning rates
    of Adam fit. Vectors, variables whose path holds "embedding" (with `exclude_embeddings`) and those that a pattern of
    `exclude_layers` is found in are changed by AdamW with `learning_rate * adam_lr_ratio`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )  # fmt: skip
        if not 0 < int(ns_steps) <= _MOST_STEPS:
            raise ValueError(f"Muon: expected ns_steps from 1 to {_MOST_STEPS} (5 are usual), got {ns_steps}")
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def _should_use_adamw(self, variable: Variable) -> bool:
        if len(variable.shape) != 2 or (self.exclude_embeddings and "embedding" in variable.path.lower()):
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`."""
        if self.built:
            return
        super().build(variables)
        self.momentums: list[Variable] = []
        self.adam_velocities: list[Variable | None] = []
        for v in variables:
            adam = self._should_use_adamw(v)
            self.momentums.append(self.add_variable_from_reference(v, "momentum"))
            self.adam_velocities.append(self.add_variable_from_reference(v, "velocity") if adam else None)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        i = self._get_variable_index(variable)
        m_slot, v_slot = self.momentums[i], self.adam_velocities[i]
        rate = ops.cast(learning_rate, variable.dtype)
        if v_slot is not None:
            self._adam_step(gradient, variable, rate * self.adam_lr_ratio, m_slot, v_slot)
            return
        m = m_slot.value * self.momentum + gradient
        m_slot.assign(m)
        direction = self.zeropower_via_newtonschulz5(
            gradient + self.momentum * m if self.nesterov else m, self.ns_steps
        )
        self.assign_sub(variable, self.lr_adjust(rate * direction))

    def _adam_step(self, gradient: Any, variable: Variable, rate: Any, m_slot: Variable, v_slot: Variable) -> None:
        t = ops.cast(self._local_step(), variable.dtype)
        alpha = rate * ops.sqrt(1.0 - ops.power(self.adam_beta_2, t)) / (1.0 - ops.power(self.adam_beta_1, t))
        m = m_slot + (gradient - m_slot) * (1.0 - self.adam_beta_1)
        v = v_slot + (ops.square(gradient) - v_slot) * (1.0 - self.adam_beta_2)
        m_slot.assign(m)
        v_slot.assign(v)
        self.assign_sub(variable, m * alpha / (ops.sqrt(v) + self.epsilon))

    def lr_adjust(self, x: Any) -> Any:
        """`x` times `rms_rate * sqrt(larger side)`; as it is when there is no `rms_rate`."""
        return x if self.rms_rate is None else x * (math.sqrt(max(x.shape[0], x.shape[1])) * self.rms_rate)

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """`x` (..., m, n) with singular values near 1, after `steps` Newton-Schulz steps. Raises ValueError below rank
        2."""
        if len(x.shape) < 2:
            raise ValueError(
                f"Expected gradient or momentum to have at least 2 dimensions. Received: shape={tuple(x.shape)}"
            )
        x = ops.convert_to_tensor(x)
        tall = x.shape[-2] > x.shape[-1]
        if tall:
            x = ops.swapaxes(x, -1, -2)
        x = x / (ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True)) + 1e-7)
        for _ in range(steps):
            gram = ops.matmul(x, ops.swapaxes(x, -1, -2))
            x = self.muon_a * x + ops.matmul(self.muon_b * gram + self.muon_c * ops.matmul(gram, gram), x)
        return ops.swapaxes(x, -1, -2) if tall else x

    def _apply_weight_decay(self, variables: list[Variable], rate: Any = None) -> None:
        rate = self._current_learning_rate() if rate is None else rate
        for v in variables:
            decay = self.adam_weight_decay if self._should_use_adamw(v) else self.weight_decay
            if decay is not None and self._use_weight_decay(v):
                v.assign(v - v * (ops.cast(rate, v.dtype) * decay))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        names = (
            "adam_beta_1 adam_beta_2 epsilon exclude_layers muon_a muon_b muon_c adam_lr_ratio momentum ns_steps "
            "nesterov exclude_embeddings adam_weight_decay rms_rate"
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}
