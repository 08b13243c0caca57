"""Losses by name and by configuration."""

from __future__ import annotations

from typing import Any

from nacre.core.registry import deserialize_keras_object, resolve, serialize_keras_object

# Spellings that users know beside the public names.
ALIASES = {
    **dict.fromkeys(("mse", "MSE"), "mean_squared_error"),
    **dict.fromkeys(("mae", "MAE"), "mean_absolute_error"),
    **dict.fromkeys(("mape", "MAPE"), "mean_absolute_percentage_error"),
    **dict.fromkeys(("msle", "MSLE"), "mean_squared_logarithmic_error"),
    **dict.fromkeys(("bce", "BCE"), "binary_crossentropy"),
    **dict.fromkeys(("kld", "KLD", "kullback_leibler_divergence"), "kl_divergence"),
    **dict.fromkeys(("logcosh",), "log_cosh"),
    **dict.fromkeys(("huber_loss",), "huber"),
}


def get(identifier: Any) -> Any:
    """The loss function or Loss that `identifier` names: a name, class, configuration or callable; None stays None.

    >>> get("mse").__name__
    'mean_squared_error'
    """
    return resolve(identifier, "losses", "loss", ALIASES)


def serialize(loss: Any) -> Any:
    """The configuration of a loss, as `deserialize` reads it."""
    return serialize_keras_object(loss)


def deserialize(name: Any, custom_objects: Any = None) -> Any:
    """The loss that a configuration or name describes."""
    if isinstance(name, str):
        return get(name)
    return deserialize_keras_object(name, custom_objects=custom_objects, package="losses")
