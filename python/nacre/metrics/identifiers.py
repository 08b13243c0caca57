"""Metrics by name and by configuration."""

from __future__ import annotations

import re
from typing import Any

from nacre.core import naming
from nacre.core.custom_objects import package_names
from nacre.core.registry import deserialize_keras_object, resolve, serialize_keras_object

_SHORT = {
    **dict.fromkeys(("mse", "MSE"), "MeanSquaredError"),
    **dict.fromkeys(("mae", "MAE"), "MeanAbsoluteError"),
    **dict.fromkeys(("mape", "MAPE"), "MeanAbsolutePercentageError"),
    **dict.fromkeys(("msle", "MSLE"), "MeanSquaredLogarithmicError"),
    **dict.fromkeys(("bce", "BCE"), "BinaryCrossentropy"),
    **dict.fromkeys(("rmse", "RMSE"), "RootMeanSquaredError"),
    "kld": "KLDivergence",
    "logcosh": "LogCoshError",
}
_aliases: dict[str, str] = {}


def _all_aliases() -> dict[str, str]:
    """Spelling -> public name: `binary_accuracy` is the class here, not the function."""
    if not _aliases:
        classes = [n for n in package_names("metrics") if re.match("[A-Z]", n)]
        _aliases.update({naming.to_snake_case(n): n for n in classes})
        _aliases.update(_SHORT)
    return _aliases


def get(identifier: Any) -> Any:
    """The metric that `identifier` names: a name, class, configuration, Metric or function; None stays None.

    >>> get("mse").name
    'mean_squared_error'
    """
    return resolve(identifier, "metrics", "metric", _all_aliases())


def serialize(metric: Any) -> Any:
    """The configuration of a metric, as `deserialize` reads it."""
    return serialize_keras_object(metric)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The metric that a configuration or name describes."""
    if isinstance(config, str):
        return get(config)
    return deserialize_keras_object(config, custom_objects=custom_objects, package="metrics")
