"""Optimizers of the Adam family: moving averages of the gradient and of its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre import ops
from nacre.core import naming
from nacre.core.variable import Variable
from nacre.optimizers.base import Optimizer


class Adam(Optimizer):
    """Adam (Kingma and Ba 2014): `w -= alpha * m / (sqrt(v) + epsilon)`.

    m and v are moving averages of g and g^2, `alpha = lr * sqrt(1 - beta_2^t) / (1 - beta_1^t)`; with `amsgrad`, v is
    the
    largest so far.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.amsgrad = amsgrad

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        self._velocity_hats = self.add_optimizer_variables(variables, "velocity_hat") if self.amsgrad else []

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        i = self._get_variable_index(variable)

        def corrected_rate() -> Any:
            t = self._local_step()
            return learning_rate * ops.sqrt(1.0 - ops.power(self.beta_2, t)) / (1.0 - ops.power(self.beta_1, t))

        alpha = ops.cast(self._once("alpha", corrected_rate), variable.dtype)
        m_slot, v_slot = self._momentums[i], self._velocities[i]
        m = m_slot + (gradient - m_slot) * (1.0 - self.beta_1)
        v = v_slot + (ops.square(gradient) - v_slot) * (1.0 - self.beta_2)
        m_slot.assign(m)
        v_slot.assign(v)
        if self.amsgrad:
            v = ops.maximum(self._velocity_hats[i], v)
            self._velocity_hats[i].assign(v)
        self.assign_sub(variable, m * alpha / (ops.sqrt(v) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon, "amsgrad": self.amsgrad}
        return {**super().get_config(), **own}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
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
        if self.weight_decay is None:
            raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")


class Adamax(Optimizer):
    """Adam with the largest gradient so far in place of the root of the mean square (Kingma and Ba 2014, section 7)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
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

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`."""
        if self.built:
            return
        super().build(variables)
        self._m, self._u = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        i = self._get_variable_index(variable)
        rate = self._once("rate", lambda: learning_rate / (1.0 - ops.power(self.beta_1, self._local_step())))
        m_slot, u_slot = self._m[i], self._u[i]
        m = m_slot + (gradient - m_slot) * (1.0 - self.beta_1)
        u = ops.maximum(self.beta_2 * u_slot, ops.abs(gradient))
        m_slot.assign(m)
        u_slot.assign(u)
        self.assign_sub(variable, ops.cast(rate, variable.dtype) * m / (u + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2015)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
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

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        with naming.name_scope(self.name):
            self._u_product = Variable(1.0, name="u_product", dtype="float32", trainable=False)
        self._track(self._u_product)

    def _momenta(self) -> tuple[Any, Any]:
        """What the momentum and the gradient count in this step; moves the product of all momenta on."""
        t = self._local_step()
        decay = 0.96
        u = self.beta_1 * (1.0 - 0.5 * ops.power(decay, t))
        u_next = self.beta_1 * (1.0 - 0.5 * ops.power(decay, t + 1.0))
        product = self._u_product * u
        self._u_product.assign(product)
        return u_next / (1.0 - product * u_next), (1.0 - u) / (1.0 - product)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        i = self._get_variable_index(variable)
        of_m, of_gradient = (ops.cast(x, variable.dtype) for x in self._once("momenta", self._momenta))
        correction = self._once("correction", lambda: 1.0 / (1.0 - ops.power(self.beta_2, self._local_step())))
        m_slot, v_slot = self._momentums[i], self._velocities[i]
        m = m_slot + (gradient - m_slot) * (1.0 - self.beta_1)
        v = v_slot + (ops.square(gradient) - v_slot) * (1.0 - self.beta_2)
        m_slot.assign(m)
        v_slot.assign(v)
        rate = ops.cast(learning_rate, variable.dtype)
        v_hat = v * ops.cast(correction, variable.dtype)
        self.assign_sub(
            variable, (m * (of_m * rate) + gradient * (of_gradient * rate)) / (ops.sqrt(v_hat) + self.epsilon)
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Lamb(Optimizer):
    """Adam with a step length per variable in proportion to its norm (You et al. 2019)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
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

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        i = self._get_variable_index(variable)
        first = self._once("first", lambda: 1.0 / (1.0 - ops.power(self.beta_1, self._local_step())))
        second = self._once("second", lambda: 1.0 / (1.0 - ops.power(self.beta_2, self._local_step())))
        m_slot, v_slot = self._momentums[i], self._velocities[i]
        m = m_slot + (gradient - m_slot) * (1.0 - self.beta_1)
        v = v_slot + (ops.square(gradient) - v_slot) * (1.0 - self.beta_2)
        m_slot.assign(m)
        v_slot.assign(v)
        m_hat = m * ops.cast(first, variable.dtype)
        v_hat = ops.sqrt(v * ops.cast(second, variable.dtype)) + self.epsilon
        direction = m_hat / v_hat
        length = ops.sqrt(ops.sum(ops.square(variable)))
        step = ops.sqrt(ops.sum(ops.square(direction)))
        one = ops.ones_like(length)
        usable = ops.logical_and(length > 0, step > 0)
        ratio = ops.where(usable, length / ops.where(usable, step, one), one)
        self.assign_sub(variable, direction * (ratio * ops.cast(learning_rate, variable.dtype)))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Lion(Optimizer):
    """Steps of equal size in the direction of the sign of the momentum (Chen et al. 2023)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
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
        if not 0 < beta_1 <= 1:
            raise ValueError(
                f"Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates to SignSGD. "
                f"Received: beta_1={beta_1}."
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the slots for `variables`."""
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Changes one variable by its gradient."""
        slot = self._momentums[self._get_variable_index(variable)]
        m = slot.value
        direction = ops.sign(m * self.beta_1 + gradient * (1.0 - self.beta_1))
        slot.assign(m * self.beta_2 + gradient * (1.0 - self.beta_2))
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * direction)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal optimizer."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}
