"""A layer's arguments as a configuration, and a layer out of a configuration."""

from __future__ import annotations

from typing import Any

from nacre import dtype_policies, regularizers
from nacre.core import registry
from nacre.core.operation import accepts, not_made
from nacre.layers.state import LayerState


class ConfiguredLayer(LayerState):
    """The half of a Layer that knows how it was made: see `Layer`."""

    _not_recorded = ("name", "trainable", "dtype")
    activity_regularizer: Any = None
    dtype_policy: Any

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal layer from.

        Raises NotImplementedError for a subclass without a `get_config` whose arguments are not all plain data.
        """
        self._check_super_called()
        config = self._config(ConfiguredLayer.get_config)
        config["trainable"] = self.trainable
        config["dtype"] = dtype_policies.serialize(self.dtype_policy)
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

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
            extra = {k: config[k] for k in ("name", "trainable", "dtype") if k in config and not accepts(cls, k)}
            if extra and isinstance(error, TypeError):
                layer = cls(**{k: v for k, v in config.items() if k not in extra})
                layer.trainable = extra.get("trainable", True)
                if "dtype" in extra:
                    layer.dtype_policy = extra["dtype"]
                if "name" in extra:
                    layer.name = extra["name"]
                return layer
            raise not_made(cls, config, error) from error
