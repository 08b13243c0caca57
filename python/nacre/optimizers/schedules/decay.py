"""The schedules: exponential, hyperbolic, polynomial, stepwise and cosine decay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nacre import ops
from nacre.optimizers.schedules.schedule import LearningRateSchedule


def _float(step: Any) -> Any:
    return ops.cast(step, "float32")


def _positive(name: str, value: Any) -> None:
    if not value > 0:
        raise ValueError(f"Argument `{name}` must be > 0. Received: {name}={value}")


class ExponentialDecay(LearningRateSchedule):
    """initial * decay_rate ^ (step / decay_steps); whole powers only with `staircase`.

    >>> round(float(ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)), 6)
    0.025
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        _positive("decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        p = _float(step) / self.decay_steps
        if self.staircase:
            p = ops.floor(p)
        return self.initial_learning_rate * ops.power(float(self.decay_rate), p)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class InverseTimeDecay(ExponentialDecay):
    """initial / (1 + decay_rate * step / decay_steps); whole quotients only with `staircase`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: Any) -> Any:
        p = _float(step) / self.decay_steps
        if self.staircase:
            p = ops.floor(p)
        return self.initial_learning_rate / (1.0 + self.decay_rate * p)


class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[i]` up to and including step `boundaries[i]`, the last value beyond."""

    def __init__(
        self,
        boundaries: Sequence[float] | np.ndarray[Any, Any],
        values: Sequence[float] | np.ndarray[Any, Any],
        name: str = "PiecewiseConstant",
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values. Received: "
                f"boundaries={boundaries} of length {len(boundaries)}, and values={values} of length {len(values)}."
            )
        # Lists, as a file of the schedule holds them.
        self.boundaries = boundaries.tolist() if isinstance(boundaries, np.ndarray) else boundaries
        self.values = values.tolist() if isinstance(values, np.ndarray) else values
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = _float(step)
        rate: Any = ops.convert_to_tensor(float(self.values[-1]))
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1])):
            rate = ops.where(step <= float(boundary), float(value), rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal schedule."""
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(LearningRateSchedule):
    """From initial to end along (1 - step / decay_steps)^power; with `cycle` the period doubles, triples, ... and
    repeats."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        _positive("decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = _float(step)
        period: Any = float(self.decay_steps)
        if self.cycle:
            period = period * ops.maximum(ops.ceil(step / period), 1.0)
        else:
            step = ops.minimum(step, period)
        left = 1.0 - step / period
        return (self.initial_learning_rate - self.end_learning_rate) * ops.power(
            left, self.power
        ) + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial (or, after a linear warm-up, the target) rate down to `alpha` times it."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        _positive("decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def _decayed(self, step: Any, start: float) -> Any:
        p = ops.minimum(step, float(self.decay_steps)) / float(self.decay_steps)
        return start * ((1.0 - self.alpha) * 0.5 * (1.0 + ops.cos(math.pi * p)) + self.alpha)

    def __call__(self, step: Any) -> Any:
        step = _float(step)
        if self.warmup_target is None:
            return self._decayed(step, self.initial_learning_rate)
        warmup = float(self.warmup_steps)
        after = self._decayed(ops.maximum(step - warmup, 0.0), self.warmup_target)
        if not warmup:
            return after
        rising = self.initial_learning_rate + (self.warmup_target - self.initial_learning_rate) * (step / warmup)
        return ops.where(step < warmup, rising, after)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decay that starts again: each period `t_mul` times as long and from `m_mul` times the height of the
    last."""

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        _positive("first_decay_steps", first_decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self._t_mul = t_mul
        self._m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Any:
        p = _float(step) / float(self.first_decay_steps)
        if self._t_mul == 1.0:
            restarts = ops.floor(p)
            p = p - restarts
        else:
            # After r restarts (t^r - 1) / (t - 1) first periods have passed.
            restarts = ops.floor(ops.log(1.0 - p * (1.0 - self._t_mul)) / math.log(self._t_mul))
            passed = (1.0 - ops.power(float(self._t_mul), restarts)) / (1.0 - self._t_mul)
            p = (p - passed) / ops.power(float(self._t_mul), restarts)
        height = ops.power(float(self._m_mul), restarts)
        cosine = 0.5 * height * (1.0 + ops.cos(math.pi * p))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal schedule."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self._t_mul,
            "m_mul": self._m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }
