"""keras.ops.numpy: the functions of `keras.ops`, where Keras has those that NumPy has, too."""

from __future__ import annotations

from typing import Any

from nacre import ops


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(ops, name)
