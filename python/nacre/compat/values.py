"""The kinds of values that TensorFlow has beside tensors: shapes, variables whose parts can be assigned, modules."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.core import tree as _tree
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable as _Variable


class TensorShape(tuple):  # type: ignore[type-arg]
    """A shape, with None where a size is not known."""

    def __new__(cls, dims: Any) -> TensorShape:
        return super().__new__(cls, dims)

    def as_list(self) -> list[int | None]:
        """The sizes as a list."""
        return list(self)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self)


class Variable(_Variable):
    """A variable with that first value, whose parts can be assigned: `v[0, 1].assign(2.0)`."""

    def __init__(
        self,
        initial_value: Any,
        trainable: Any = True,
        validate_shape: Any = True,
        caching_device: Any = None,
        name: str | None = None,
        variable_def: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        value = initial_value() if callable(initial_value) else initial_value
        super().__init__(value, dtype=dtype, trainable=True if trainable is None else trainable, name=name)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, Tensor):
            found.assign = lambda value, **_: self._assign_part(key, value)  # type: ignore[attr-defined]
        return found

    def _assign_part(self, key: Any, value: Any) -> _Variable:
        array = np.array(self.numpy())
        array[key] = np.asarray(value)
        return self.assign(array)

    def scatter_nd_update(self, indices: Any, updates: Any, name: str | None = None) -> _Variable:
        """The variable, with `updates` at `indices` (rows of positions)."""
        return self.assign(ops.scatter_update(self, indices, updates))

    def scatter_update(self, sparse_delta: Any, **kwargs: Any) -> _Variable:
        """The variable, with rows replaced: see `tf.IndexedSlices`."""
        return self.assign(ops.scatter_update(self, np.asarray(sparse_delta.indices)[:, None], sparse_delta.values))


class IndexedSlices:
    """Rows of a tensor: their values and their numbers."""

    def __init__(self, values: Any, indices: Any, dense_shape: Any = None) -> None:
        self.values, self.indices, self.dense_shape = values, indices, dense_shape


class TensorSpec:
    """Shape and dtype of a tensor."""

    def __init__(self, shape: Any, dtype: Any = "float32", name: str | None = None) -> None:
        self.shape, self.dtype, self.name = TensorShape(shape), dtype, name


class Module:
    """What holds Variables in its attributes."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    @property
    def variables(self) -> tuple[_Variable, ...]:
        """The Variables in the attributes, also those of Modules and layers there."""
        found: list[_Variable] = []
        for _, item in sorted(vars(self).items()):
            for leaf in _tree.flatten(item):
                held = [leaf] if isinstance(leaf, _Variable) else list(getattr(leaf, "variables", ()))
                found += [v for v in held if not any(v is f for f in found)]
        return tuple(found)

    @property
    def trainable_variables(self) -> tuple[_Variable, ...]:
        """Those that are trained."""
        return tuple(v for v in self.variables if v.trainable)
