"""What every op file needs: turning arguments into values, and public functions that also work on KerasTensors."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from nacre.core import trace
from nacre.core.errors import clearer
from nacre.core.naming import auto_name
from nacre.core.operation import Operation, any_keras_tensor, compute_output_spec
from nacre.core.spec import NUMPY, Spec, broadcast_shapes, is_float
from nacre.core.tensor import KerasTensor, Symbol, Tensor, Value, as_array
from nacre.core.variable import Variable

F = TypeVar("F", bound=Callable[..., Any])

_VALUES = (Tensor, Symbol, Variable)
_scalars: dict[tuple[Any, Any, str], Tensor] = {}


_titled: dict[str, type] = {}  # subclasses of OpCall by the name of the function


class OpCall(Operation):
    """A function of `ops` as a node in a graph of layers: what a KerasTensor in an argument makes of the call.

    Its class is named after the function, as Keras names its operations: `ops.matmul` is shown as a `Matmul`.
    """

    def __new__(cls, function: Callable[..., Any], name: str | None = None) -> Any:
        title = title_of(function)
        known = _titled.get(title)
        if known is None:
            known = _titled[title] = type(title, (OpCall,), {})
        return object.__new__(known)

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name if name is not None else auto_name(getattr(function, "title", function.__name__)))
        self.function = function

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return compute_output_spec(self.call, args, kwargs, self.name, fit=True)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    def __reduce__(self) -> Any:
        return _empty_call, (self.function,), self.__getstate__()


def _empty_call(function: Callable[..., Any]) -> Any:
    return OpCall.__new__(OpCall, function)


def title_of(function: Callable[..., Any]) -> str:
    """The name of the class of its calls in graphs: its own in capitals, unless it says another `title`."""
    return getattr(function, "title", None) or "".join(word.capitalize() for word in function.__name__.split("_"))


def public(function: F) -> F:
    """Lets `function` be called on KerasTensors, too: then it becomes a node of the graph of layers."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            for a in args:
                kind = type(a)
                if kind is KerasTensor or (kind is not Tensor and kind is not Symbol and any_keras_tensor((a,))):
                    return OpCall(wrapper)(*args, **kwargs)
            if kwargs and any_keras_tensor(kwargs.values()):
                return OpCall(wrapper)(*args, **kwargs)
            return function(*args, **kwargs)
        except Exception as error:
            told = clearer(error, function.__name__, function, args, kwargs)
            if told is error:
                raise
            raise told from None

    return wrapper  # type: ignore[return-value]


_planner: list[Callable[..., Any]] = []  # what the runtime has to say to calls of composed functions


def install_planner(planner: Callable[..., Any]) -> None:
    """Sets what `composed` functions ask first: the result of a call, or None where it is to run op by op."""
    _planner[:] = [planner]


def composed(function: F) -> F:
    """A function of many ops: on data, outside of traces and tapes, calls that come again and again run as one
    program."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if trace.unwatched():
            if not _planner:
                importlib.import_module("nacre.runtime.composed")  # installs itself; late, as the executor
            result = _planner[0](function, args, kwargs)
            if result is not None:
                return result
        return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def value(x: Any, dtype: str | None = None) -> Any:
    """`x` as a Tensor or Symbol, of a Variable its value now; `dtype` is for what has none of its own.

    Raises TypeError for what holds no numbers.
    """
    if isinstance(x, _VALUES):
        return x.value if isinstance(x, Variable) else x
    if isinstance(x, KerasTensor):
        raise TypeError("a KerasTensor reached an operation that computes; call a function of keras.ops on it instead")
    if type(x) in (int, float, bool):
        return scalar(x, dtype)
    if isinstance(x, (list, tuple)):
        with contextlib.suppress(RecursionError):  # what is nested so deep is no tensor, which `as_array` says
            if _holds_values(x, bool(trace.tapes())):
                return _joined(x)
    return Tensor(as_array(x, dtype))


_stack: list[Callable[..., Any]] = []  # the function of that name, from the family that has it


def install_stack(stack: Callable[..., Any]) -> None:
    """Sets what joins the items of a list that holds tensors which are not known, or watched by a tape."""
    _stack[:] = [stack]


def _holds_values(items: Any, watched: bool) -> bool:
    kinds = _VALUES if watched else (Symbol, Variable)
    return any(isinstance(v, kinds) or (isinstance(v, (list, tuple)) and _holds_values(v, watched)) for v in items)


def _joined(items: Any) -> Any:
    """The tensor of a (nested) list of tensors and numbers, as NumPy makes one of a list of arrays."""
    if not _stack:
        importlib.import_module("nacre.ops.manipulation")  # installs itself; late, as it computes with values
    return _stack[0]([_joined(v) if isinstance(v, (list, tuple)) else v for v in items])


def stand_ins(xs: Sequence[Any], *specs: tuple[Sequence[int | None], str]) -> tuple[Symbol, ...]:
    """Values of these shapes and dtypes in place of what only the numbers in `xs` tell (None: a size that depends on
    them), while shapes are looked for; none at other times."""
    graph = trace.current_graph()
    if graph is None or not trace.probing() or all(isinstance(x, (Tensor, np.ndarray)) for x in xs):
        return ()
    shapes = [tuple(trace.unknown_size() if d is None else d for d in shape) for shape, _ in specs]
    return tuple(graph.add_input(Spec(shape, dtype)) for shape, (_, dtype) in zip(shapes, specs))


def scalar(x: Any, dtype: str | None = None) -> Tensor:
    """A Python number as a Tensor without axes."""
    if dtype is None:
        dtype = "bool" if type(x) is bool else "float32" if type(x) is float else "int32" if abs(x) < 2**31 else "int64"
    key = (x, math.copysign(1.0, x) if x == 0 else type(x), dtype)
    known = _scalars.get(key)
    if known is None:
        if len(_scalars) > 1000:
            _scalars.clear()
        if type(x) is int and dtype.startswith(("int", "uint")):
            limits = np.iinfo(NUMPY[dtype])
            if not limits.min <= x <= limits.max:
                raise ValueError(f"{x!r} does not fit into {dtype}")
        known = _scalars[key] = Tensor(np.asarray(x, dtype))
    return known


def weak_dtype(number: Any, dtype: str) -> str:
    """The dtype of a Python number that meets a tensor of `dtype`: the tensor's own, unless it cannot hold the number's
    kind."""
    kind = type(number)
    if is_float(dtype) or kind is bool:
        return dtype
    if kind is float:
        return "float32"
    if dtype == "bool":
        return "int32"
    if dtype == "uint8" and not 0 <= number < 256:  # it is compared, and computed with, in a wider one
        return "int32" if abs(number) < 2**31 else "int64"
    return dtype


def is_number(x: Any) -> bool:
    """Whether `x` is a real number, Python's or NumPy's, and no boolean."""
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)


def python_number(x: Any) -> Any:
    """`x`, as a float where it is NumPy's: what np.sqrt(2) gives is a number, as 2**0.5 is."""
    return float(x) if type(x) is np.float64 else x


def pair(a: Any, b: Any) -> tuple[Any, Any]:
    """Two arguments of a binary function as values; a Python number takes the dtype of the tensor beside it."""
    ka, kb = type(a), type(b)
    if ka is np.float64 or kb is np.float64:
        return pair(python_number(a), python_number(b))
    if ka in (int, float, bool):
        if kb not in (int, float, bool):
            b = value(b)
            return scalar(a, weak_dtype(a, b.dtype)), b
    elif kb in (int, float, bool):
        a = value(a)
        return a, scalar(b, weak_dtype(b, a.dtype))
    if ka is np.ndarray or kb is np.ndarray:
        a, b = values_of((a, b))
        return a, b
    return value(a), value(b)


def values_of(xs: Sequence[Any]) -> list[Any]:
    """All as values: an array of NumPy's default dtype, float64, takes the dtype of float tensors beside it."""
    if not any(type(x) is np.ndarray for x in xs):
        return [value(x) for x in xs]
    floats = {x.dtype for x in xs if isinstance(x, _VALUES) and is_float(x.dtype)}
    narrow = floats.pop() if len(floats) == 1 else "float64"
    return [value(x.astype(narrow) if type(x) is np.ndarray and narrow != x.dtype == np.float64 else x) for x in xs]


def broadcast_result(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The broadcast shape. Raises ValueError that names the function."""
    try:
        return broadcast_shapes(*shapes)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def is_value(x: Any) -> bool:
    return isinstance(x, Value)
