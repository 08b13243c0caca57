"""Optimizers by name and by configuration."""

from __future__ import annotations

import contextlib
from typing import Any

from nacre.core.registry import deserialize_keras_object, resolve, serialize_keras_object
from nacre.optimizers.base import Optimizer


def get(identifier: Any) -> Any:
    """The Optimizer that `identifier` names: a name in any case, a class, a configuration or an Optimizer.

    >>> get("sgd").name
    'sgd'
    """
    if identifier is None:
        return None
    found = (
        None
        if (callable(identifier) and not isinstance(identifier, type))
        else (resolve(identifier, "optimizers", "optimizer", {"adamw": "AdamW", "rmsprop": "RMSprop"}, Optimizer))
    )
    if not isinstance(found, Optimizer):
        raise ValueError(
            f"Could not interpret optimizer identifier: {identifier}. Expected a name such as 'adam', a config dict "
            "or an Optimizer"
        )
    return found


def serialize(optimizer: Any) -> Any:
    """The configuration of an optimizer, as `deserialize` reads it."""
    return serialize_keras_object(optimizer)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The optimizer that a configuration describes; class names may be in lower case."""
    name = config.get("class_name") if isinstance(config, dict) else None
    if isinstance(name, str) and name.islower() and name not in (custom_objects or ()):
        with contextlib.suppress(ValueError):
            config = {**config, "class_name": type(get(name)).__name__}
    return deserialize_keras_object(config, custom_objects=custom_objects, package="optimizers")
