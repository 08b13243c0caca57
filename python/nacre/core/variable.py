"""Named state. A Variable owns its array; programs write into it in place, and a snapshot that somebody still holds is
never changed (the array is copied first)."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre import _core
from nacre.core import naming, trace
from nacre.core.config import floatx
from nacre.core.custom_objects import public
from nacre.core.room import check_room
from nacre.core.spec import ITEMSIZE, NUMPY, Spec, dtype_name, standardize_dtype
from nacre.core.tensor import Symbol, Tensor, Value, as_array, operate

_LARGE = 1 << 22  # bytes, from which on NumPy asks for large pages


def aligned_empty(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """An uninitialized array that starts on a 64-byte boundary; a large one where a page of 2 MiB may start."""
    item = NUMPY[dtype]
    n = math.prod(shape) * item.itemsize
    boundary = 1 << 21 if n >= _LARGE else 64
    raw = np.empty(n + boundary, np.uint8)
    start = -raw.ctypes.data % boundary
    return raw[start : start + n].view(item).reshape(shape)


class _Clock:
    """Counts the writes to Variables, so that what was computed from them can be known to be old."""

    now = 0


def latest_write() -> int:
    """The number of the latest write to any Variable."""
    return _Clock.now


class Structure:
    """Counts what may change which layers and Variables a layer has, whether they are built, and whether they train."""

    version = 0


class Postponed:
    """Random first values that are not drawn yet, because the file `what`, being loaded, probably brings others.

    `room` is how many bytes the Variables made meanwhile may have: a small file makes no huge model.
    """

    def __init__(self, room: int, what: str) -> None:
        self._what = what
        self._waiting: dict[int, tuple[Variable, Any]] = {}
        self._room = room

    def open(self) -> Any:
        """Within this block first values wait; `settle` is to be called behind it."""
        return _core.Swap(_state, postponed=self)

    def claim(self, shape: tuple[int, ...], dtype: str, path: str) -> None:
        """Raises ValueError when a Variable of that shape is more than there is room for."""
        size = ITEMSIZE[dtype] * math.prod(shape)
        if size > self._room:
            raise ValueError(f"Variable '{path}' of shape {shape} would be larger than all weights in the file")
        self._room -= size

    def takes(self, initializer: Any) -> bool:
        """Whether this initializer can wait: nacre's own, whose draws depend on their seed alone."""
        return type(initializer).__module__ == "nacre.initializers.sampled"

    def add(self, variable: Variable, initializer: Any) -> None:
        """Remembers what `variable` is to start from."""
        self._waiting[id(variable)] = (variable, initializer)

    def loaded(self, variables: list[Variable]) -> None:
        """These have their values now."""
        for v in variables:
            self._waiting.pop(id(v), None)

    def settle(self, variables: list[Variable] | None = None) -> None:
        """Draws the first values of these (of all that still wait, by default). Raises ValueError where that fails."""
        waiting = list(self._waiting.values())
        chosen = waiting if variables is None else [w for w in waiting if any(w[0] is v for v in variables)]
        for variable, initializer in chosen:
            del self._waiting[id(variable)]
            try:
                variable.assign(initializer(variable.shape, dtype=variable.dtype))
            except Exception as error:  # a configuration may have said anything
                raise ValueError(f"{self._what}: no first value of {variable.path}: {error}") from error


class _State(threading.local):
    postponed: Postponed | None = None


_state = _State()


class Variable(Value):
    """State that outlives a call: a weight, a counter, a seed.

    Args:
        initializer: the first value (an array, a number or nested lists), or a function `(shape, dtype) -> value`, or
            the name of an initializer.
        shape: needed when `initializer` is a function.
        dtype: `floatx()` for a function, else that of the value.
        trainable: whether optimizers change it.
        name: `variable` is numbered when it is not given; may not hold `/`.

    Raises:
        ValueError: for a missing shape, a shape with unknown or negative sizes, or a name with `/`.

    >>> v = Variable([1.0, 2.0], name="v")
    >>> v.assign_add([1.0, 1.0]).numpy().tolist()
    [2.0, 3.0]
    """

    is_weight = True  # of the layer that has it in an attribute

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        synchronization: str = "auto",
        name: str | None = None,
        layout: Any = None,
        **kwargs: Any,
    ) -> None:
        name = name if name is not None else naming.auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. Received: name={name}"
            )
        for argument, chosen, allowed in (
            ("aggregation", aggregation, (None, "none", "mean", "sum", "only_first_replica")),
            ("synchronization", synchronization, (None, "none", "on_read", "on_write", "auto")),
        ):
            if chosen not in allowed:
                raise ValueError(
                    f"Invalid value for argument `{argument}`. Expected one of {allowed}. Received: {argument}={chosen}"
                )
        if isinstance(initializer, str):
            initializer = public("initializers", "get")(initializer)
        self.name = name
        scope = naming.current_path()
        self.path = f"{scope}/{name}" if scope else name
        self._trainable = self.differentiable = bool(trainable)
        self.autocast = autocast
        self.aggregation = aggregation
        self.synchronization = synchronization
        self._constraint: Any = None
        self._regularizer: Any = None
        self._overwrite_with_gradient = False
        postponed = _state.postponed
        if shape is not None:
            known, kind = standardize_shape(shape, f"Variable '{self.path}'"), standardize_dtype(dtype, floatx())
            if postponed is not None:
                postponed.claim(known, kind, self.path)
            check_room(known, kind, f"Variable '{self.path}'")
            if postponed is not None and postponed.takes(initializer):
                self._set_array(aligned_empty(known, kind))
                postponed.add(self, initializer)
                return
        with trace.tracing(None), trace.no_tapes():
            array = _first_value(initializer, shape, dtype, self.path)
        self._set_array(array)

    @property
    def trainable(self) -> bool:
        """Whether optimizers change it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: Any) -> None:
        Structure.version += 1
        self._trainable = bool(value)

    @property
    def constraint(self) -> Any:
        """What an optimizer applies to the value after each step; None for nothing."""
        return self._constraint

    @constraint.setter
    def constraint(self, value: Any) -> None:
        self._constraint = _callable("constraint", value)

    @property
    def regularizer(self) -> Any:
        """What the value adds to the loss; None for nothing."""
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value: Any) -> None:
        self._regularizer = _callable("regularizer", value)

    @property
    def overwrite_with_gradient(self) -> bool:
        """Whether an optimizer puts the gradient in the place of the value."""
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"`overwrite_with_gradient` must be a boolean. Received: {value}")
        self._overwrite_with_gradient = value

    def _set_array(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array
        _Clock.now = self.written = _Clock.now + 1  # the number of the latest write
        self._tensor: Tensor | None = None
        self.shape: tuple[int, ...] = array.shape
        self.dtype: str = dtype_name(array.dtype)

    @property
    def spec(self) -> Spec:
        return Spec(self.shape, self.dtype)

    @property
    def value(self) -> Any:
        """The value now: a Tensor, or a Symbol while a function is being compiled."""
        graph = trace.current_graph()
        scope = trace.scope()
        tensor: Any = scope.get_current_value(self) if scope is not None else None
        if tensor is None:
            if graph is not None:
                tensor = graph.read(self)
            else:
                tensor = self._tensor
                if tensor is None:
                    tensor = self._tensor = Tensor(self._array)
        for tape in trace.tapes():
            tape.watch_variable(self, tensor)
        return tensor

    def own(self) -> np.ndarray[Any, Any]:
        """The array, for writing in place: copied first if a snapshot of it is still held elsewhere."""
        _Clock.now = self.written = _Clock.now + 1
        tensor = self._tensor
        if tensor is not None:
            # References to the Tensor: self._tensor, the local, the argument. More: somebody holds the snapshot.
            if sys.getrefcount(tensor) > 3:
                self._set_array(aligned_copy(self._array))
                return self._array
            self._tensor = tensor = None
        # References to the array: self._array and the argument. To the memory below it: the array, the local, the
        # argument; every view of the array, such as the result of a reshape, holds that memory, too.
        memory = self._array.base
        if sys.getrefcount(self._array) > 2 or sys.getrefcount(memory) > 3:
            self._set_array(aligned_copy(self._array))
        return self._array

    def assign(self, value: Any) -> Variable:
        """Sets the value; `value` is cast to the Variable's dtype. Raises ValueError when the shapes differ."""
        scope = trace.scope()
        if scope is not None:
            scope.add_update((self, self.fitting(value)))
            return self
        graph = trace.current_graph()
        if graph is not None:
            symbol = _cast_symbol(graph, value, self)
            # what is read from now on is a value of its own: no gradient flows through an assignment
            graph.write(self, symbol if symbol.kind == "constant" else operate("stop_gradient", symbol))
            return self
        array = as_array(value.value if isinstance(value, Variable) else value, self.dtype)
        self._check_shape(array.shape)
        if array is not self._array:
            np.copyto(self.own(), array)
        return self

    def fitting(self, value: Any) -> Any:
        """`value` as it would be assigned: a tensor of the Variable's dtype. Raises ValueError when the shapes
        differ."""
        graph = trace.current_graph()
        if graph is not None:
            return _cast_symbol(graph, value, self)
        array = as_array(value.value if isinstance(value, Variable) else value, self.dtype)
        self._check_shape(array.shape)
        return value if isinstance(value, Tensor) and value._array is array else Tensor(array.copy())

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if shape != self.shape:
            raise ValueError(f"Variable '{self.path}': expected a value of shape {self.shape}, got shape {shape}")

    def assign_zeros(self) -> Variable:
        """Sets all elements to 0."""
        if trace.scope() is None and trace.current_graph() is None:
            self.own().fill(0)
            return self
        return self.assign(Tensor(np.zeros(self.shape, NUMPY[self.dtype])))

    def assign_add(self, value: Any) -> Variable:
        """Adds `value`."""
        return self.assign(self.value + value)

    def assign_sub(self, value: Any) -> Variable:
        """Subtracts `value`."""
        return self.assign(self.value - value)

    def numpy(self) -> Any:
        """The value as a NumPy array of the caller's own; of a scalar, a NumPy scalar."""
        array = self._eager_array()
        return array.copy() if array.ndim else array[()]

    def _eager_array(self) -> np.ndarray[Any, Any]:
        graph = trace.current_graph()
        if trace.scope() is not None:
            return self.value.__array__()  # type: ignore[no-any-return]
        if graph is not None:
            return graph.read(self).__array__()  # type: ignore[no-any-return]  # raises TracedBranch
        return self._array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self._eager_array()
        return array.astype(dtype if dtype is not None else array.dtype)

    def __bool__(self) -> bool:
        if math.prod(self.shape) != 1:
            raise TypeError(
                f"A Keras Variable cannot be used as a boolean. Variable '{self.path}' has shape {self.shape}: use "
                "ops.any(v) or ops.all(v)"
            )
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return self.value.__index__()  # type: ignore[no-any-return]

    def item(self) -> Any:
        return self.value.item()

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self._array}>"

    def __deepcopy__(self, memo: Any) -> Variable:
        copy = object.__new__(type(self))
        memo[id(self)] = copy
        copy.__dict__.update(self.__dict__)
        copy._set_array(aligned_copy(self._array))
        return copy

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_tensor"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._set_array(aligned_copy(self._array))


def aligned_copy(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy that starts on a 64-byte boundary."""
    copy = aligned_empty(array.shape, array.dtype.name)
    np.copyto(copy, array)
    return copy


def _callable(what: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ValueError(
            f"Invalid value for attribute `{what}`. Expected a callable (such as a `keras.{what}s.{what.title()}` "
            f"instance) or `None`. Received: {what}={value}"
        )
    return value


def _logical(name: str) -> Callable[[Any, Any], Any]:
    return lambda a, b: operate(f"logical_{name}", a, b)


for _name in ("and", "or", "xor"):  # of a Variable these ask about truth, in Keras, and not about bits
    setattr(Variable, f"__{_name}__", _logical(_name))
    setattr(Variable, f"__r{_name}__", _logical(_name))


def _first_value(initializer: Any, shape: Any, dtype: Any, path: str) -> np.ndarray[Any, Any]:
    if isinstance(initializer, Callable) and not isinstance(initializer, Value):  # type: ignore[arg-type]
        if shape is None:
            raise ValueError(
                "When creating a Variable from an initializer, the `shape` argument should be specified. Received: "
                f"initializer={initializer} and shape={shape} (Variable '{path}')"
            )
        shape = standardize_shape(shape, f"Variable '{path}'")
        name: str | None = standardize_dtype(dtype, floatx())
        array = as_array(initializer(shape, dtype=name), name)
    else:
        name = None if dtype is None else standardize_dtype(dtype)
        array = as_array(initializer.value if isinstance(initializer, Variable) else initializer, name)
        shape = array.shape if shape is None else standardize_shape(shape, f"Variable '{path}'")
    if array.shape != shape:
        raise ValueError(f"Variable '{path}': expected a first value of shape {shape}, got shape {array.shape}")
    return aligned_copy(array)


def standardize_shape(shape: Any, what: str) -> tuple[int, ...]:
    """`shape` as a tuple of ints. Raises ValueError for unknown or negative sizes, TypeError for what is no size."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    out = []
    for d in shape:
        if d is None:
            raise ValueError(f"{what}: the shape must be known completely, got {tuple(shape)}")
        if isinstance(d, bool) or not hasattr(d, "__index__"):
            raise TypeError(f"{what}: expected a shape of ints, got {tuple(shape)}")
        if d.__index__() < 0:
            raise ValueError(f"{what}: sizes cannot be negative, got shape {tuple(shape)}")
        out.append(d.__index__())
    return tuple(out)


def _cast_symbol(graph: Any, value: Any, variable: Variable) -> Symbol:
    from nacre.core.tensor import _operators  # the cast that the ops package installed

    if isinstance(value, Variable):
        value = graph.read(value)
    if not isinstance(value, Symbol):
        value = Tensor(as_array(value, variable.dtype))
    if value.dtype != variable.dtype:
        value = _operators["cast"](value, variable.dtype)
    symbol: Symbol = graph.symbol(value)
    if symbol.shape != variable.shape:
        raise ValueError(
            f"Variable '{variable.path}': expected a value of shape {variable.shape}, got shape {symbol.shape}"
        )
    return symbol
