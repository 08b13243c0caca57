"""The names that a configuration may use: nacre's public classes and functions, and what the user registered.

Public names are looked up in the name lists of a fixed table of packages (`nacre.layers.__all__` and so on), everything
else in the registered custom objects. No name from a file is ever imported.
"""

from __future__ import annotations

import importlib
import threading
import types
from collections.abc import Callable, Mapping
from typing import Any

from nacre import _core
from nacre.core.errors import told

# Packages whose public names a configuration may use. Only classes with `from_config` are ever constructed; a function
# is only handed back. Packages with side effects (utils, datasets, saving) are not here.
_PACKAGES = (
    "layers",
    "models",
    "losses",
    "distillation",
    "metrics",
    "optimizers",
    "optimizers.schedules",
    "initializers",
    "regularizers",
    "constraints",
    "activations",
    "dtype_policies",
    "quantizers",
    "random",
    "ops",
)

# Classes that Keras exports at its root. Their configuration says `"module": "keras"`.
_ROOT = {
    "DTypePolicy": "dtype_policies",
    "FloatDTypePolicy": "dtype_policies",
    "Function": "models",
    "Initializer": "initializers",
    "InputSpec": "layers",
    "Layer": "layers",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Optimizer": "optimizers",
    "Quantizer": "quantizers",
    "Regularizer": "regularizers",
    "Sequential": "models",
}

# Public in a configuration, but not in a name list: the module that Keras writes, and ours.
FUNCTIONAL = ("keras.src.models.functional", "Functional")
_FEATURES = ("keras.src.layers.preprocessing.feature_space", "nacre.layers.feature_space")
_ELSEWHERE = {
    "Functional": (FUNCTIONAL[0], "nacre.models.functional"),
    "FeatureSpace": ("keras.utils", _FEATURES[1]),
    **dict.fromkeys(("Feature", "Cross", "TFDIdentity"), _FEATURES),
}

# Classes whose public name is not their own, by which weights and all in older files are called.
PUBLIC_AS = {"GroupedQueryAttention": "GroupQueryAttention"}

_global_objects: dict[str, Any] = {}
_names_by_object: dict[Any, str] = {}


class _State(threading.local):
    scopes: tuple[Mapping[str, Any], ...] = ()
    safe_mode = False
    sharing: Sharing | None = None


_state = _State()


# --- custom objects -----------------------------------------------------------------------------------------


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """A decorator that registers a class or function under `package>name`, so that saved models can refer to it."""

    def register(obj: Any) -> Any:
        registered = f"{package}>{name if name is not None else obj.__name__}"
        if isinstance(obj, type) and not hasattr(obj, "get_config"):
            raise ValueError(
                f"Cannot register a class that does not have a get_config() method: {obj.__name__!r}. Add one."
            )
        _global_objects[registered] = obj
        _names_by_object[obj] = registered
        return obj

    return register


def get_custom_objects() -> dict[str, Any]:
    """The global dict from registered name to custom object; entries added to it are found by loading."""
    return _global_objects


def get_registered_name(obj: Any) -> str:
    """The name under which `obj` was registered, or its `__name__`."""
    try:
        known = _names_by_object.get(obj)
    except TypeError:  # not hashable
        known = None
    name = known or getattr(obj, "__name__", None)
    if name is None:
        raise TypeError(f"get_registered_name: expected a class or function, got {obj!r:.200}")
    return str(name)


@told
def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The class or function registered as `name`, or None: open scopes first, then the given and the global objects."""
    for objects in (*reversed(_state.scopes), custom_objects or {}, _global_objects, module_objects or {}):
        if name in objects:
            return objects[name]
    return None


class CustomObjectScope:
    """Makes `custom_objects` (name -> class or function) known to loading inside a `with` block."""

    @told
    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})

    def __enter__(self) -> CustomObjectScope:
        self._before, _state.scopes = _state.scopes, (*_state.scopes, self.custom_objects)
        return self

    def __exit__(self, *exc: object) -> None:
        _state.scopes = self._before


custom_object_scope = CustomObjectScope


class Sharing:
    """Objects that occur several times in one configuration stay one object: by `id` when writing and when reading."""

    def __init__(self) -> None:
        self.met: dict[int, Any] = {}  # kept alive: an id is only unique while its object lives
        self.several: set[int] = set()  # ids of what was met again
        self.objects: dict[Any, Any] = {}

    def open(self) -> Any:
        """Inside this block what a configuration marks with one `shared_object_id` is one object."""
        return _core.Swap(_state, sharing=self)


def sharing() -> Sharing | None:
    """The one whose block this is."""
    return _state.sharing


def deserializing(safe: bool, custom_objects: Mapping[str, Any] | None) -> Any:
    """Inside this block `in_safe_mode()` is `safe`, and `custom_objects` are known."""
    return _core.Swap(_state, safe_mode=safe, scopes=(*_state.scopes, custom_objects or {}))


def in_safe_mode() -> bool:
    """Whether a configuration from elsewhere is being read. Layers then refuse arguments that would open files."""
    return _state.safe_mode


# --- public names -------------------------------------------------------------------------------------------


def _package(name: str) -> Any:
    return importlib.import_module(f"nacre.{name}") if name in _PACKAGES else None


def package_names(package: str) -> list[str]:
    """The public names of one of our packages; empty for any other."""
    return list(getattr(_package(package), "__all__", ()))


def public(package: str, name: str) -> Any:
    """The object `name` in the name list of one of our packages, or None."""
    if name not in package_names(package):
        return None
    found = getattr(_package(package), name)
    return None if isinstance(found, types.ModuleType) else found


def public_name(obj: Any) -> tuple[str, str] | None:
    """`("keras.layers", "Dense")` for a public class or function of nacre; None for everything else."""
    home = getattr(obj, "__module__", None) or ""
    name = getattr(obj, "__name__", "")
    name = PUBLIC_AS.get(name, name)
    if not home.startswith("nacre."):
        return None
    if isinstance(obj, type) and name in _ELSEWHERE and home == _ELSEWHERE[name][1]:
        return _ELSEWHERE[name][0], name
    if isinstance(obj, type) and name in _ROOT and public(_ROOT[name], name) is obj:
        return "keras", name
    family = home.split(".")[1]
    candidates = [p for p in _PACKAGES if p.split(".")[0] == family] or list(_PACKAGES)
    for package in candidates:
        if public(package, name) is obj:
            return f"keras.{package}", name
    return None


def find_public(module: str | None, name: str) -> Any:
    """The public object that `module` and `name` of a configuration speak of, or None."""
    if not isinstance(module, str):
        return None
    name = PUBLIC_AS.get(name, name)
    if name in _ELSEWHERE and module == _ELSEWHERE[name][0]:
        return getattr(importlib.import_module(_ELSEWHERE[name][1]), name)
    parts = module.split(".")
    if parts[0] == "tensorflow" and parts[1:2] == ["keras"]:
        parts = parts[1:]
    if parts[0] not in ("keras", "nacre", "tf_keras"):
        return None
    parts = [p for p in parts[1:] if p not in ("src", "_tf_keras", "keras")]
    if not parts:
        return public(_ROOT[name], name) if name in _ROOT else None
    if name == FUNCTIONAL[1] and parts[0] in ("models", "engine"):
        return importlib.import_module("nacre.models.functional").Functional
    if parts[0] == "engine":  # keras 2: keras.engine.sequential and the like
        parts = ["models"]
    for package in dict.fromkeys((".".join(parts[:2]), parts[0])):
        found = public(package, name)
        if found is not None:
            return found
    # `keras.src.optimizers.schedules.learning_rate_schedule` and private homes of root classes.
    for package in _PACKAGES:
        if package.split(".")[0] == parts[0]:
            found = public(package, name)
            if found is not None:
                return found
    return public(_ROOT[name], name) if name in _ROOT else None
