"""Configurations as they were before they named a module: `{"class_name": ..., "config": ...}`, or a function's name.

Libraries around Keras, such as KerasTuner, keep their own objects in that form.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from nacre.core.registry import CustomObjectScope, get_registered_name, get_registered_object

__all__ = ["deserialize_keras_object", "serialize_keras_object"]


def serialize_keras_object(instance: Any) -> Any:
    """The configuration of an object, the name of a function; None for None."""
    if instance is None:
        return None
    if hasattr(instance, "get_config"):
        config = {
            key: serialize_keras_object(value) if hasattr(value, "get_config") or inspect.isroutine(value) else value
            for key, value in instance.get_config().items()
        }
        return {"class_name": get_registered_name(type(instance)), "config": config}
    if hasattr(instance, "__name__"):
        return get_registered_name(instance)
    raise ValueError(f"Cannot serialize {instance} because it doesn't implement `get_config()`.")


def deserialize_keras_object(
    identifier: Any,
    module_objects: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """The object of a configuration, or of a name: a function as it is, a class without arguments.

    Args:
        identifier: what `serialize_keras_object` gives. module_objects, custom_objects: where names are looked for;
            those that are registered are found, too. printable_module_name: what messages call the object.
    """
    if identifier is None or inspect.isfunction(identifier):
        return identifier
    known = {**(module_objects or {}), **(custom_objects or {})}
    config = identifier if isinstance(identifier, Mapping) else None
    name = identifier if config is None else config.get("class_name")
    if not isinstance(name, str) or (config is not None and "config" not in config):
        raise ValueError(f"Could not interpret serialized {printable_module_name}: {identifier}")
    found = get_registered_object(name, module_objects=known)
    if found is None:
        raise ValueError(
            f"Unknown {printable_module_name}: '{name}'. Pass it in `custom_objects`, or register it with "
            "`keras.saving.register_keras_serializable()`."
        )
    if config is None:
        return found() if isinstance(found, type) else found
    with CustomObjectScope(custom_objects):
        return found.from_config(config["config"]) if hasattr(found, "from_config") else found(**config["config"])
