"""The kinds of values that TensorFlow has beside tensors: shapes, variables whose parts can be assigned, modules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre import ops
from nacre.core import tree as _tree
from nacre.core.room import check_bytes
from nacre.core.tensor import Symbol, Tensor
from nacre.core.variable import Variable as _Variable
from nacre.utils.dataset import Dataset as _Dataset


class TensorShape(tuple):  # type: ignore[type-arg]
    """A shape, with None where a size is not known; `TensorShape(None)`, unknown, has no sizes."""

    def __new__(cls, dims: Any = ()) -> Any:
        """A shape of these sizes: a number is one size, None is a shape of which nothing is known."""
        if dims is None or dims is _UNKNOWN:
            return _UNKNOWN
        return super().__new__(cls, (dims,) if isinstance(dims, (int, np.integer)) else dims)

    def as_list(self) -> list[int | None]:
        """The sizes as a list."""
        return list(self)

    def is_fully_defined(self) -> bool:
        """Whether all sizes are known."""
        return None not in self

    def num_elements(self) -> int | None:
        """How many elements a tensor of that shape has; None where a size is not known."""
        return int(np.prod(self, dtype=np.int64)) if self.is_fully_defined() else None

    def is_compatible_with(self, other: Any) -> bool:
        """Whether one shape may be both: sizes that are known are equal."""
        other = TensorShape(other)
        if _UNKNOWN in (self, other):
            return True
        return len(self) == len(other) and all(a == b or None in (a, b) for a, b in zip(self, other))

    def assert_is_compatible_with(self, other: Any) -> None:
        """Raises ValueError where no shape is both."""
        if not self.is_compatible_with(other):
            raise ValueError(f"Shapes {self} and {TensorShape(other)} are incompatible")

    def merge_with(self, other: Any) -> Any:
        """What is known from either. Raises ValueError where no shape is both."""
        self.assert_is_compatible_with(other)
        other = TensorShape(other)
        if _UNKNOWN in (self, other):
            return other if self is _UNKNOWN else self
        return TensorShape([b if a is None else a for a, b in zip(self, other)])

    def concatenate(self, other: Any) -> Any:
        """The sizes of both, one after another."""
        other = TensorShape(other)
        return _UNKNOWN if _UNKNOWN in (self, other) else TensorShape(tuple(self) + tuple(other))

    def with_rank(self, rank: int) -> Any:
        """The shape. Raises ValueError when it has another number of sizes."""
        return self.merge_with([None] * rank)

    @property
    def rank(self) -> int | None:
        """How many sizes there are; None when that is not known."""
        return len(self)

    ndims = rank


class _UnknownShape(TensorShape):
    """The shape of which nothing is known: no size can be asked for."""

    def _refuse(self, *_: Any) -> Any:
        raise ValueError("TensorShape(None) is a shape of unknown rank: it has no length and no sizes")

    __len__ = __iter__ = as_list = _refuse
    rank = ndims = property(lambda self: None)

    def __bool__(self) -> bool:
        return False

    def is_fully_defined(self) -> bool:
        """False."""
        return False

    def __getitem__(self, key: Any) -> Any:
        return self if isinstance(key, slice) else None

    def __add__(self, other: Any) -> Any:
        return self

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __eq__(self, other: object) -> bool:
        return other is None or other is self

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "TensorShape(None)"


_known: Any = tuple.__new__  # a shape from sizes, at once: each tensor gets one
_UNKNOWN: Any = _known(_UnknownShape)


class DType(str):
    """The name of a dtype, and its facts."""

    name = property(str.__str__)
    base_dtype = property(lambda self: self)
    as_numpy_dtype = property(lambda self: object if self == "string" else np.dtype(str(self)).type)
    is_floating = property(lambda self: "float" in self)
    is_integer = property(lambda self: "int" in self)
    size = property(lambda self: np.dtype(str(self)).itemsize)
    min = property(lambda self: getattr(np, "iinfo" if "int" in self else "finfo")(str(self)).min)
    max = property(lambda self: getattr(np, "iinfo" if "int" in self else "finfo")(str(self)).max)


_DTYPES = (
    "bool float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 complex64 complex128 "
    "string"
)
DTYPES = {name: DType(name) for name in _DTYPES.split()}


def as_dtype(type_value: Any) -> DType:
    """The dtype of that name, or of NumPy's."""
    return DTYPES[type_value if isinstance(type_value, str) else np.dtype(type_value).name]


def _typed(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.shape, self.dtype = _known(TensorShape, self.shape), DTYPES.get(self.dtype, self.dtype)

    return made


# Programs for TensorFlow ask shapes and dtypes what tuples and names do not know: `x.shape.as_list()`, `x.dtype.min`.
for _kind in (Tensor, Symbol, _Variable):
    _kind.__init__ = _typed(_kind.__init__)  # type: ignore[method-assign]


class TensorArray:
    """Tensors by number, which are written one after another and read together."""

    def __init__(self, dtype: Any, size: Any = 0, dynamic_size: Any = None, **kwargs: Any) -> None:
        self.dtype = dtype
        check_bytes(8 * int(size), f"TensorArray: a list of {int(size)} tensors")
        self._held: list[Any] = [None] * int(size)

    def _with(self, held: list[Any]) -> TensorArray:
        made = TensorArray(self.dtype)
        made._held = held
        return made

    def _place(self, index: Any, grows: bool = False) -> int:
        at = int(index)
        if at < 0 or (at >= len(self._held) and not grows):
            raise ValueError(f"TensorArray: {at} is no place in an array of size {len(self._held)}")
        return at

    def write(self, index: Any, value: Any, name: str | None = None) -> TensorArray:
        """The array with `value` at that place."""
        at = self._place(index, True)
        check_bytes(8 * at, f"TensorArray: a list of {at} tensors")
        held: list[Any] = [*self._held, *[None] * (at + 1 - len(self._held))]
        held[at] = ops.convert_to_tensor(value, self.dtype)
        return self._with(held)

    def read(self, index: Any, name: str | None = None) -> Any:
        """The tensor at that place."""
        at = self._place(index)
        found = self._held[at]
        if found is None:
            like = next((x for x in self._held if x is not None), None)
            if like is None:
                raise ValueError(f"TensorArray: nothing was written at {at}")
            return ops.zeros_like(like)
        return found

    def stack(self, name: str | None = None) -> Any:
        """All along a new first axis; zeros where nothing was written."""
        like = next((x for x in self._held if x is not None), None)
        if like is None:
            return ops.zeros((len(self._held),), self.dtype)
        return ops.stack([ops.zeros_like(like) if x is None else x for x in self._held])

    def concat(self, name: str | None = None) -> Any:
        """All one after another along the first axis."""
        if any(x is None for x in self._held):
            raise ValueError(f"TensorArray: nothing was written at {self._held.index(None)}")
        return ops.concatenate(self._held)

    def unstack(self, value: Any, name: str | None = None) -> TensorArray:
        """The array of the parts of `value` along its first axis."""
        return self._with(list(ops.unstack(ops.convert_to_tensor(value))))

    def size(self, name: str | None = None) -> Any:
        """How many there are."""
        return ops.convert_to_tensor(len(self._held), "int32")


class _Value(Tensor):
    """The value of a Variable, which gives itself when it is called: programs for TensorFlow write `v.value()`."""

    __slots__ = ()

    def __call__(self) -> Any:
        return self


setattr(Symbol, "__call__", _Value.__call__)  # noqa: B010  # as what it reads while a function is compiled


class Variable(_Variable):
    """A variable with that first value, whose parts can be assigned: `v[0, 1].assign(2.0)`. As Keras 3 has it, one in
    an attribute of a layer is no weight of it."""

    is_weight = False

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

    @property
    def value(self) -> Any:
        """The value now: see `_Value`."""
        found = super().value
        if type(found) is Tensor:
            found.__class__ = _Value
        return found

    def read_value(self) -> Any:
        """The value now."""
        return self.value

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

    def __repr__(self) -> str:
        return f"TensorSpec(shape={self.shape}, dtype=tf.{self.dtype}, name={self.name!r})"


def _element_spec(self: Any) -> Any:
    """Shapes and dtypes of the first element of a data set."""
    return _tree.map_structure(lambda x: TensorSpec(x.shape, as_dtype(x.dtype)), _specs_of(self))


_specs_of = _Dataset.element_spec.fget  # type: ignore[attr-defined]
_Dataset.element_spec = property(_element_spec)  # type: ignore[method-assign, assignment]


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

    @property
    def non_trainable_variables(self) -> tuple[_Variable, ...]:
        """Those that are not."""
        return tuple(v for v in self.variables if not v.trainable)

    @property
    def submodules(self) -> tuple[Module, ...]:
        """The Modules in the attributes, and in theirs."""
        found: list[Module] = []
        for _, item in sorted(vars(self).items()):
            for leaf in _tree.flatten(item):
                if isinstance(leaf, Module):
                    found += [m for m in (leaf, *leaf.submodules) if m is not self and m not in found]
        return tuple(found)

    @classmethod
    def with_name_scope(cls, method: Any) -> Any:
        """The method: names of operations say nothing."""
        return method
