"""The constraints: each maps a weight to the nearest one that is allowed, roughly."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core import registry
from nacre.core.config import epsilon
from nacre.core.errors import Told


class Constraint(Told):
    """Base class: `__call__(w)` gives the weight that replaces `w`, of the same shape."""

    def __call__(self, w: Any) -> Any:
        """The allowed weight for `w`: itself, unless a subclass says otherwise."""
        return w

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The constraint of that configuration."""
        return cls(**config)


def _norms(w: Any, axis: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


class MaxNorm(Constraint):
    """Vectors along `axis` longer than `max_value` are shortened to it."""

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The allowed weight for `w`."""
        w = ops.convert_to_tensor(w)
        norms = _norms(w, self.axis)
        return w * (ops.clip(norms, 0, self.max_value) / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        """`max_value` and `axis`."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Negative weights become zero."""

    def __call__(self, w: Any) -> Any:
        """The allowed weight for `w`."""
        return ops.maximum(ops.convert_to_tensor(w), 0)


class UnitNorm(Constraint):
    """Vectors along `axis` get length one."""

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The allowed weight for `w`."""
        w = ops.convert_to_tensor(w)
        return w / (epsilon() + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        """`axis`."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Vectors along `axis` get a length in [min_value, max_value]; `rate` says how much of the way in one step."""

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The allowed weight for `w`."""
        w = ops.convert_to_tensor(w)
        norms = _norms(w, self.axis)
        desired = self.rate * ops.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (desired / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        """`min_value`, `max_value`, `rate` and `axis`."""
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


def get(identifier: Any) -> Any:
    """The constraint that `identifier` means: None, a name, a config dict, or a callable."""
    return registry.resolve(identifier, "constraints", "constraint")


def serialize(constraint: Any) -> Any:
    """The configuration of a constraint; the reverse of `deserialize`."""
    return registry.serialize_keras_object(constraint)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The constraint that a configuration describes."""
    return registry.deserialize_keras_object(config, custom_objects, package="constraints")
