"""Layers to and from configurations."""

from __future__ import annotations

from typing import Any

from nacre.core import registry


def serialize(layer: Any) -> Any:
    """The configuration of a layer; the reverse of `deserialize`."""
    return registry.serialize_keras_object(layer)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The layer that a configuration describes. Raises ValueError when the configuration is of something else."""
    from_config = registry.deserialize_keras_object(config, custom_objects, package="layers")
    if not hasattr(from_config, "call") or not hasattr(from_config, "get_config"):
        raise ValueError(
            "`keras.layers.deserialize` was passed a `config` object that is not a `keras.layers.Layer`. "
            f"Received: {config}"
        )
    return from_config
