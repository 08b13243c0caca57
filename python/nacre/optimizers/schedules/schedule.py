"""What a learning-rate schedule is."""

from __future__ import annotations

from typing import Any

from nacre.core.errors import Told
from nacre.core.registry import deserialize_keras_object, serialize_keras_object


class LearningRateSchedule(Told):
    """A learning rate as a function of the iteration: subclasses define `__call__(step)` and `get_config()`.

    `step` is an integer tensor; what comes out is a number or a tensor without axes, made of ops.
    """

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define `__call__(step)`")

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs to make an equal schedule."""
        raise NotImplementedError(f"{type(self).__name__} must define `get_config()`")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The schedule that `config` describes."""
        return cls(**config)


def serialize(learning_rate_schedule: Any) -> Any:
    """The configuration of a schedule, as `deserialize` reads it."""
    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The schedule that a configuration describes."""
    return deserialize_keras_object(config, custom_objects=custom_objects, package="optimizers.schedules")
