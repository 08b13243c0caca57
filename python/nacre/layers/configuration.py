"""A layer's arguments as a configuration, and a layer out of a configuration."""

from __future__ import annotations

import inspect
from typing import Any

from nacre import dtype_policies, regularizers
from nacre.core import registry, tree
from nacre.layers.state import LayerState


class ConfiguredLayer(LayerState):
    """The half of a Layer that knows how it was made: see `Layer`."""

    _init_arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    activity_regularizer: Any = None
    dtype_policy: Any

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal layer from.

        Raises NotImplementedError for a subclass without a `get_config` whose arguments are not all plain data.
        """
        self._check_super_called()
        config: dict[str, Any] = {"name": self.name}
        if type(self).get_config is ConfiguredLayer.get_config:
            config.update(self._recorded_arguments())
            if not _takes_any_keyword(type(self)):
                config.pop("name", None)
        config["trainable"] = self.trainable
        config["dtype"] = dtype_policies.serialize(self.dtype_policy)
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

    def _recorded_arguments(self) -> dict[str, Any]:
        args, kwargs = self._init_arguments
        parameters = inspect.signature(type(self).__init__).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]  # others cannot be given by name
        given = {**dict(zip(names, args)), **kwargs}
        for name in ("trainable", "dtype"):
            given.pop(name, None)
        if len(args) > len(names) or not all(_is_plain(v) for v in tree.flatten(list(given.values()))):
            cls = type(self).__name__
            raise NotImplementedError(
                f"Object {cls} was created by passing non-serializable argument values in `__init__()`, or arguments "
                "without a name (`*args`), and therefore the object must override `get_config()` in order to be "
                "serializable. Please implement `get_config()`: call `super().get_config()` and add every argument of "
                "`__init__()` to the dict."
            )
        return given

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer of that configuration, not built yet."""
        config = dict(config)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = dtype_policies.deserialize(config["dtype"])
        try:
            return cls(**config)
        except registry.UnknownObject:
            raise
        except Exception as error:
            # `def __init__(self, units)` without **kwargs cannot take what every layer's configuration has.
            extra = {k: config[k] for k in ("name", "trainable", "dtype") if k in config and not _accepts(cls, k)}
            if extra and isinstance(error, TypeError):
                layer = cls(**{k: v for k, v in config.items() if k not in extra})
                layer.trainable = extra.get("trainable", True)
                if "dtype" in extra:
                    layer.dtype_policy = extra["dtype"]
                if "name" in extra:
                    layer.name = extra["name"]
                return layer
            raise TypeError(
                f"Error when deserializing class '{cls.__name__}' using config={config}.\n\nException encountered: "
                f"{error}"
            ) from error


def _takes_any_keyword(cls: type) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls.__init__).parameters.values())  # type: ignore[misc]


def _accepts(cls: type, name: str) -> bool:
    return _takes_any_keyword(cls) or name in inspect.signature(cls.__init__).parameters  # type: ignore[misc]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))
