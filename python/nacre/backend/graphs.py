"""What `keras.backend` of Keras 2 does with the layers of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core import tree
from nacre.models.function import Function


def function(inputs: Any, outputs: Any, updates: Any = None, name: str | None = None) -> Callable[[Any], Any]:
    """A function from arrays for `inputs` to arrays of `outputs`: both are KerasTensors of one graph, or lists of them.

    >>> import nacre as keras
    >>> x = keras.Input((2,))
    >>> keras.backend.function([x], [keras.ops.add(x, 1.0)])([np.zeros((1, 2))])[0].tolist()
    [[1.0, 1.0]]
    """
    if updates:
        raise ValueError("K.function: updates are not supported; assign to variables inside a custom train_step")
    graph = Function(inputs, outputs, name)

    def call(values: Any) -> Any:
        given = tree.map_structure(lambda v: np.asarray(v, "float32") if np.asarray(v).dtype.kind == "f" else v, values)
        return tree.map_structure(np.asarray, graph(given))

    return call
