"""What a name in a configuration may mean: the public classes and functions of nacre, and what the user registered.

The registry is closed. A configuration only ever selects from it: public names are looked up in the name lists of a
fixed table of packages (`nacre.layers.__all__` and so on), everything else in the registered custom objects. Nothing is
imported, evaluated or opened because a configuration says so. The format is that of Keras 3: it travels both ways.
"""

from __future__ import annotations

import difflib
import importlib
import types
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from nacre.core.errors import told

from .custom_objects import (
    CustomObjectScope,
    Sharing,
    custom_object_scope,
    deserializing,
    find_public,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    in_safe_mode,
    package_names,
    public,
    public_name,
    register_keras_serializable,
    sharing,
)

__all__ = [
    "CustomObjectScope",
    "Sharing",
    "UnknownObject",
    "custom_object_scope",
    "deserialize_keras_object",
    "deserializing",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "in_safe_mode",
    "public_name",
    "register_keras_serializable",
    "resolve",
    "serialize_keras_object",
    "serialize_whole",
]

# Where a function without a module is looked for.
_FUNCTION_PACKAGES = ("activations", "losses", "metrics", "ops", "initializers", "regularizers", "constraints")

_PLAIN = (str, int, float, bool)


class UnknownObject(TypeError):
    """A configuration names a class or function that is neither public nor registered."""


# --- identifiers: what every package's get() accepts --------------------------------------------------------


def resolve(
    identifier: Any,
    package: str,
    kind: str,
    aliases: Mapping[str, str] | None = None,
    base: type | tuple[type, ...] | None = None,
) -> Any:
    """The object that a user means by `identifier`.

    A string is a custom object, a public name of `nacre.<package>`, one of `aliases` (spelling -> public name), or
    the snake-case spelling of a public class; a class is instantiated, a function handed back. A dict is a
    configuration. An instance of `base`, or anything callable, is returned as it is. `None` stays `None`. `kind`
    ("loss function") is what error messages call it.
    """
    if identifier is None:
        return None
    if isinstance(identifier, Mapping):
        found = _deserialize(dict(identifier), package)
    elif isinstance(identifier, str):
        found = _by_name(identifier, package, kind, aliases or {})
    else:
        found = identifier
    if isinstance(found, type):
        found = found()
    if callable(found) or (isinstance(found, base) if base is not None else hasattr(found, "get_config")):
        return found
    wanted = (
        f"a name, a config dict, a callable or an instance of {_names_of(base)}" if base else "a name or a callable"
    )
    raise ValueError(f"Could not interpret {kind} identifier: {identifier}. Expected {wanted}.")


def _names_of(base: Any) -> str:
    return " or ".join(b.__name__ for b in (base if isinstance(base, tuple) else (base,)))


def _by_name(name: str, package: str, kind: str, aliases: Mapping[str, str]) -> Any:
    found = get_registered_object(name)
    if found is not None:
        return found
    found = public(package, aliases.get(name, name))
    if found is not None:
        return found
    spelled = public_by_spelling(name, package)
    if spelled is not None:
        return spelled
    near = difflib.get_close_matches(name, list(dict.fromkeys([*aliases, *package_names(package)])), 3)
    hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
    raise ValueError(f"Could not interpret {kind} identifier: {name}.{hint}")


def public_by_spelling(name: str, package: str) -> Any:
    """The public class of a package that `name` spells: `glorot_uniform`, `glorotuniform`; or None."""
    plain = name.lower().replace("_", "")
    return next((public(package, n) for n in package_names(package) if n[:1].isupper() and n.lower() == plain), None)


# --- objects -> configuration -------------------------------------------------------------------------------


@told
def serialize_keras_object(obj: Any) -> Any:
    """The JSON-able configuration of `obj` in Keras' format; the reverse of `deserialize_keras_object`."""
    return _serialize(obj)


def _serialize(obj: Any) -> Any:
    if obj is None or (isinstance(obj, _PLAIN) and not isinstance(obj, np.generic)):
        return obj
    if isinstance(obj, (list, tuple)):
        return type(obj)(_serialize(x) for x in obj) if type(obj) in (list, tuple) else [_serialize(x) for x in obj]
    if isinstance(obj, Mapping) and not hasattr(obj, "get_config"):
        return {key: _serialize(value) for key, value in obj.items()}
    special = _serialize_special(obj)
    if special is not None:
        return special
    if isinstance(obj, (np.generic, np.ndarray)):
        return obj.item()
    if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType)):
        return _serialize_function(obj)
    return _serialize_instance(obj)


def _serialize_special(obj: Any) -> dict[str, Any] | None:
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, slice):
        ends = {name: serialize_keras_object(getattr(obj, name)) for name in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": ends}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, np.dtype):
        return None
    if isinstance(obj, np.ndarray):
        if obj.ndim == 0:
            return None
        if obj.dtype.kind not in "biufSU":
            raise TypeError(
                f"Cannot serialize an array of dtype {obj.dtype}: only numbers, booleans and strings can be saved."
            )
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if type(obj).__name__ == "KerasTensor" and hasattr(obj, "shape"):
        history = getattr(obj, "_keras_history", None)
        if history:
            history = [history[0].name, *history[1:]]
        config = {"shape": list(obj.shape), "dtype": str(obj.dtype), "keras_history": history or None}
        return {"class_name": "__keras_tensor__", "config": config}
    if hasattr(obj, "__array__") and hasattr(obj, "dtype") and not isinstance(obj, np.generic):
        value = np.asarray(obj)
        return {"class_name": "__tensor__", "config": {"value": value.tolist(), "dtype": value.dtype.name}}
    return None


def _serialize_function(fn: Any) -> dict[str, Any]:
    if fn.__name__ == "<lambda>":
        warnings.warn(
            "A lambda cannot be saved: a file holds data, never code. Use a named function decorated with "
            "@keras.saving.register_keras_serializable().",
            stacklevel=3,
        )
        return {"class_name": "__lambda__", "config": {"value": None}}
    name = get_registered_name(fn)
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def _serialize_instance(obj: Any) -> dict[str, Any]:
    cls = type(obj)
    if isinstance(obj, type) or not hasattr(obj, "get_config"):
        what = f"class {obj.__name__}" if isinstance(obj, type) else f"{obj!r} of type {cls.__name__}"
        raise TypeError(f"Cannot serialize {what}: only instances of classes with a get_config() method can be saved.")
    inner = obj.get_config()
    if not isinstance(inner, dict):
        raise TypeError(f"{cls.__name__}.get_config() must return a dict, got {inner!r}")
    public = public_name(cls)
    if public is not None:
        registered = public[1] if public[0].startswith("keras.src.") else None
        config: dict[str, Any] = {"module": public[0], "class_name": public[1]}
    else:
        registered = get_registered_name(cls)
        home = cls.__module__
        config = {"module": None if home == "__main__" else home, "class_name": cls.__name__}
    config["config"] = serialize_keras_object(inner)
    config["registered_name"] = registered
    for part in ("build_config", "compile_config"):
        getter = getattr(obj, f"get_{part}", None)
        value = getter() if getter is not None else None
        if value is not None:
            config[part] = serialize_keras_object(value)
    shared = sharing()
    if shared is not None:
        if id(obj) in shared.met:
            shared.several.add(id(obj))
        shared.met[id(obj)] = obj
        if id(obj) in shared.several:
            config["shared_object_id"] = id(obj)
    return config


def serialize_whole(obj: Any) -> Any:
    """The configuration of `obj`, in which objects that occur several times are marked by `shared_object_id`."""
    shared = Sharing()
    with shared.open():
        config = serialize_keras_object(obj)
        if shared.several:  # once more: where it was met first, it was not known yet that it would be met again
            config = serialize_keras_object(obj)
    return config


# --- configuration -> objects -------------------------------------------------------------------------------


@told
def deserialize_keras_object(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
    *,
    package: str | None = None,
    module_objects: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """The object that a configuration describes.

    Plain values, lists and dicts without a class come back as they are. `package` is where a bare `class_name` without
    a module is looked for, `module_objects` has classes by name, whose names alone are configurations, too. Marshalled
    lambdas are refused whatever `safe_mode` says.
    """
    by_name = {**(module_objects or {}), **(custom_objects or {})}
    if module_objects is not None and isinstance(config, str) and config in by_name:
        return by_name[config]() if isinstance(by_name[config], type) else by_name[config]
    if package not in (None, "layers") and isinstance(config, dict) and "class_name" not in config:
        raise ValueError(
            f"Unknown `config` as a `dict`: {package}.deserialize expected one with 'class_name' and 'config', as "
            f"{package}.serialize makes them, got config={_short(config)}"
        )
    with deserializing(bool(safe_mode), by_name):
        return _deserialize(config, package)


def _deserialize(config: Any, package: str | None) -> Any:
    if isinstance(config, (list, tuple)):
        return type(config)(_deserialize(x, package) for x in config)
    if isinstance(config, str) and package is not None:
        return resolve(config, package, package.rstrip("s"))
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or not ({"config", "items"} & config.keys()):
        return {key: _deserialize(value, None) for key, value in config.items()}
    name = config["class_name"]
    if not isinstance(name, str):
        raise TypeError(f"'class_name' must be a string, got {name!r}. Full object config: {_short(config)}")
    if name.startswith("__") and name.endswith("__"):
        return _deserialize_special(name, config)
    shared = sharing()
    # The number is an address where the file was written: objects of different classes may have had the same in turn.
    shared_id = config.get("shared_object_id")
    shared_key = (shared_id, name) if shared is not None and isinstance(shared_id, int) else None
    if shared is not None and shared_key in shared.objects:
        return shared.objects[shared_key]
    if name == "function":
        return _deserialize_function(config, package)
    cls = _find_class(config, name, package)
    if cls is None:
        if not isinstance(config.get("config"), dict):
            raise TypeError(
                f"Expected 'config' to be a dict for {name}, instead got {type(config.get('config'))}. Full object "
                f"config: {_short(config)}"
            )
        raise UnknownObject(
            f"Could not locate class '{name}'. Make sure custom classes and functions are decorated with "
            "`@keras.saving.register_keras_serializable()` and are defined before loading, or pass them in "
            f"`custom_objects`. Full object config: {_short(config)}"
        )
    if isinstance(cls, types.FunctionType):
        return cls
    instance = _construct(cls, name, config)
    if shared is not None and shared_key is not None:
        shared.objects[shared_key] = instance
    return instance


def _find_class(config: dict[str, Any], name: str, package: str | None) -> Any:
    registered = config.get("registered_name")
    for key in (registered, name):
        if isinstance(key, str):
            found = get_registered_object(key)
            if found is not None:
                return found
    module = config.get("module")
    if module is not None or package is None:
        found = find_public(module, name)
    else:
        found = public(package, name)
        if found is None:
            found = public_by_spelling(name, package)
        if found is None and package in ("layers", "models"):  # files of Keras 2 name a model like a layer
            found = find_public("keras.models", name) or find_public("keras.layers", name)
    if isinstance(found, type) and not hasattr(found, "from_config"):
        raise ValueError(f"Could not deserialize '{module}.{name}': it is not a class that can be saved.")
    if found is not None:
        _check_registered(registered, name, config)
    return found


def _check_registered(registered: Any, name: str, config: dict[str, Any]) -> None:
    """Raises ValueError for a public object under the name of a custom one that is not registered."""
    if registered and registered not in ("function", name):
        raise ValueError(
            f"The registered name {registered!r} of {name!r} is not known, and {name!r} resolved to a Keras built-in. "
            "Define "
            "the custom object and register it with `@keras.saving.register_keras_serializable()` before loading. Full "
            f"object config: {_short(config)}"
        )


def _deserialize_function(config: dict[str, Any], package: str | None) -> Any:
    name = config["config"]
    if not isinstance(name, str):
        raise TypeError(f"Expected 'config' to be a non-null str for a function, instead got {type(name)}.")
    if name:
        found = get_registered_object(name) or _registered_somewhere(name)
        packages = [*([package] if package else []), *_FUNCTION_PACKAGES]
        for place in packages if found is None else ():
            found = public(place, name)
            if found is not None:
                _check_registered(config.get("registered_name"), name, config)
                break
        if callable(found):
            return found
    raise UnknownObject(
        f"Could not locate function {name!r}. Make sure custom classes and functions are decorated with "
        "`@keras.saving.register_keras_serializable()` and are defined before loading, or pass them in "
        f"`custom_objects`. Full object config: {_short(config)}"
    )


def _registered_somewhere(name: str) -> Any:
    """The custom function of that name, in whatever package, where there is one only: older files leave the package
    out."""
    found = [obj for key, obj in get_custom_objects().items() if key.rpartition(">")[2] == name and callable(obj)]
    return found[0] if len(found) == 1 and not isinstance(found[0], type) else None


def _construct(cls: Any, name: str, config: dict[str, Any]) -> Any:
    inner = config["config"]
    if not isinstance(inner, dict):
        raise TypeError(
            f"Expected 'config' to be a dict for {name}, instead got {type(inner)}. Full config: {_short(config)}"
        )
    if not hasattr(cls, "from_config"):
        raise TypeError(f"Unable to reconstruct an instance of '{name}': the class has no from_config() method.")
    try:
        instance = cls.from_config(inner)
    except UnknownObject:
        raise
    except (TypeError, KeyError, AttributeError) as error:
        raise TypeError(
            f"{cls} could not be deserialized properly. Make sure that objects which get_config() returns (layers, "
            "models, ...) are explicitly deserialized in from_config().\n\n"
            f"config={_short(config)}.\n\nException encountered: {error}"
        ) from error
    build_config = config.get("build_config")
    if build_config and not getattr(instance, "built", False) and hasattr(instance, "build_from_config"):
        instance.build_from_config(_deserialize(build_config, None))
    compile_config = config.get("compile_config")
    if compile_config and hasattr(instance, "compile_from_config"):
        instance.compile_from_config(compile_config)
    return instance


def _deserialize_special(name: str, config: dict[str, Any]) -> Any:
    inner = config.get("config")
    if name == "__typespec__":
        raise TypeError(
            "Expected 'config' to be a list or a tuple of a known kind for __typespec__: TensorFlow's are not known."
        )
    if name == "__lambda__":
        raise ValueError(
            "Refused to deserialize a Python lambda: it is marshalled code (arbitrary code execution), and loading "
            "never runs code from a file. "
            "Replace the lambda with a named function decorated with @keras.saving.register_keras_serializable() and "
            "save again."
        )
    if name == "__tuple__":
        items = config.get("items", inner)
        if not isinstance(items, (list, tuple)):
            raise TypeError(f"Expected a list of items for {name}, instead got {type(items)}.")
        return tuple(_deserialize(x, None) for x in items)
    if name == "__ellipsis__":
        return Ellipsis
    if not isinstance(inner, dict):
        raise TypeError(f"Expected 'config' to be a dict for {name}, instead got {type(inner)}.")
    if name == "__bytes__":
        return str(inner["value"]).encode("utf-8")
    if name == "__slice__":
        return slice(*(_deserialize(inner.get(end), None) for end in ("start", "stop", "step")))
    if name == "__numpy__":
        return _array(inner)
    if name == "__tensor__":
        return importlib.import_module("nacre.ops").convert_to_tensor(_array(inner))
    if name == "__keras_tensor__":
        tensor = importlib.import_module("nacre.core.tensor").KerasTensor
        return tensor(tuple(inner["shape"]), dtype=inner["dtype"])
    raise TypeError(f"Could not deserialize {_short(config)}: {name!r} is not known.")


def _array(inner: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(str(inner["dtype"]))
    if dtype.kind not in "biufSU":
        raise ValueError(f"Could not deserialize an array of dtype {inner['dtype']!r}.")
    return np.array(inner["value"], dtype=dtype)


def _short(config: Any) -> str:
    text = repr(config)
    return text if len(text) <= 600 else f"{text[:600]}... ({len(text)} characters)"
