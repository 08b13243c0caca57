"""The regularizers: each maps a tensor to a scalar."""

from __future__ import annotations

import math
from typing import Any

from nacre import ops
from nacre.core import registry
from nacre.core.errors import Told
from nacre.ops.base import is_number


class Regularizer(Told):
    """Base class: `__call__(x)` gives a scalar penalty, `get_config()` the arguments."""

    def __call__(self, x: Any) -> Any:
        """The penalty of `x`, a scalar."""
        return 0.0

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The regularizer of that configuration."""
        return cls(**config)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        raise NotImplementedError(f"{type(self).__name__} does not implement get_config()")


def _checked(name: str, value: Any) -> float:
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(
            f"Invalid value for argument {name}: expected a non-negative float. Received: {name}={value} (of type "
            f"{type(value)})"
        )
    return float(value)


class L1L2(Regularizer):
    """`l1 * sum(abs(x)) + l2 * sum(x^2)`."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _checked("l1", 0.0 if l1 is None else l1)
        self.l2 = _checked("l2", 0.0 if l2 is None else l2)

    def __call__(self, x: Any) -> Any:
        """The penalty of `x`, a scalar."""
        x = ops.convert_to_tensor(x)
        total = None
        if self.l1:
            total = self.l1 * ops.sum(ops.abs(x))
        if self.l2:
            squares = self.l2 * ops.sum(ops.square(x))
            total = squares if total is None else total + squares
        return ops.zeros((), x.dtype) if total is None else total

    def get_config(self) -> dict[str, Any]:
        """`l1` and `l2`."""
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """`l1 * sum(abs(x))`."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _checked("l1", 0.01 if l1 is None else l1)

    def __call__(self, x: Any) -> Any:
        """The penalty of `x`, a scalar."""
        return self.l1 * ops.sum(ops.abs(ops.convert_to_tensor(x)))

    def get_config(self) -> dict[str, Any]:
        """`l1`."""
        return {"l1": self.l1}


class L2(Regularizer):
    """`l2 * sum(x^2)`."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _checked("l2", 0.01 if l2 is None else l2)

    def __call__(self, x: Any) -> Any:
        """The penalty of `x`, a scalar."""
        return self.l2 * ops.sum(ops.square(ops.convert_to_tensor(x)))

    def get_config(self) -> dict[str, Any]:
        """`l2`."""
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """`factor * mean(abs(cosine similarity))` over pairs of different rows (or columns) of a matrix.

    Args:
        factor: weight of the penalty.
        mode: `"rows"` or `"columns"`: what should be orthogonal.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _checked("factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(
                f'Invalid value for argument `mode`. Expected one of {{"rows", "columns"}}. Received: mode={mode}'
            )
        self.mode = mode

    def __call__(self, inputs: Any) -> Any:
        """The penalty of a matrix, a scalar."""
        inputs = ops.convert_to_tensor(inputs)
        if len(inputs.shape) != 2:
            raise ValueError(
                f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={tuple(inputs.shape)}"
            )
        x = inputs if self.mode == "rows" else ops.transpose(inputs)
        x = x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=1, keepdims=True), 1e-12))
        n = x.shape[0]
        off_diagonal = ops.matmul(x, ops.transpose(x)) * (1.0 - ops.eye(n, dtype=x.dtype))
        pairs = max(n * (n - 1.0) / 2.0, 1.0)
        return self.factor * 0.5 * ops.sum(ops.abs(off_diagonal)) / pairs

    def get_config(self) -> dict[str, Any]:
        """`factor` and `mode`."""
        return {"factor": self.factor, "mode": self.mode}


def get(identifier: Any) -> Any:
    """The regularizer that `identifier` means: None, a name, a config dict, or a callable."""
    return registry.resolve(identifier, "regularizers", "regularizer")


def serialize(regularizer: Any) -> Any:
    """The configuration of a regularizer; the reverse of `deserialize`."""
    return registry.serialize_keras_object(regularizer)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The regularizer that a configuration describes."""
    return registry.deserialize_keras_object(config, custom_objects, package="regularizers")
