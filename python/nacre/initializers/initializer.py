"""The base class of initializers, and how names and configurations become one."""

from __future__ import annotations

from typing import Any

from nacre.core import registry
from nacre.core.errors import Told


class Initializer(Told):
    """Base class: `__call__(shape, dtype=None)` gives the first value of a weight, `get_config()` the arguments."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype."""
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The initializer of that configuration."""
        return cls(**config)

    def clone(self) -> Any:
        """An equal initializer."""
        return type(self).from_config(self.get_config())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


_SHORT = {"normal": "RandomNormal", "uniform": "RandomUniform", "one": "Ones", "zero": "Zeros"}


def get(identifier: Any) -> Any:
    """The initializer that `identifier` means: None, a name, a config dict, a callable, or an array of values."""
    if hasattr(identifier, "__array__") and not callable(identifier):
        return _value_of(identifier)
    return registry.resolve(identifier, "initializers", "initializer", _SHORT, Initializer)


def _value_of(value: Any) -> Any:
    def given(shape: Any, dtype: Any = None) -> Any:
        if tuple(shape) != tuple(value.shape):
            raise ValueError(f"Expected `shape` to be {tuple(value.shape)} for direct tensor. Received shape={shape}")
        return value

    return given


def serialize(initializer: Any) -> Any:
    """The configuration of an initializer; the reverse of `deserialize`."""
    return registry.serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The initializer that a configuration describes."""
    return registry.deserialize_keras_object(config, custom_objects, package="initializers")
