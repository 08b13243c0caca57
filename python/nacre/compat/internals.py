"""What libraries around Keras take from inside of it, under `keras.src`: these few names, and what is public."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from nacre import Operation as Operation
from nacre import distribution as distribution_lib  # noqa: F401
from nacre import saving as serialization_lib  # noqa: F401
from nacre.core.operation import any_keras_tensor
from nacre.core.tensor import KerasTensor as KerasTensor
from nacre.core.trace import probing as in_symbolic_scope  # noqa: F401
from nacre.core.variable import Variable as Variable
from nacre.losses.loss import LossFunctionWrapper as LossFunctionWrapper
from nacre.training.arrays import class_weight_to_sample_weights as class_weight_to_sample_weights

_PUBLIC = ("ops", "backend", "utils", "losses", "saving", "distribution", "random", "activations", "config")


def __getattr__(name: str) -> Any:
    for package in _PUBLIC:
        found = getattr(importlib.import_module(f"nacre.{package}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module 'keras.src' has no attribute {name!r}")


def any_symbolic_tensors(args: Any = (), kwargs: Any = None) -> bool:
    """Whether a KerasTensor is among the (nested) arguments."""
    return any_keras_tensor(args, kwargs)


def get_keras_mask(x: Any) -> Any:
    """The mask that a value carries."""
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x: Any, mask: Any) -> None:
    """Hangs a mask on a value."""
    x._keras_mask = mask


def in_tf_graph() -> bool:
    """Never: there are no graphs of TensorFlow."""
    return False


in_grain_data_pipeline = in_tf_graph


def no_automatic_dependency_tracking(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function: what it sets on a layer is tracked."""
    return fn
