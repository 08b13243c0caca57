"""The four kinds of values: Tensor (eager), Symbol (in a trace), KerasTensor (in a graph of layers) and, in
variable.py, Variable. They share one set of operators, which the `ops` package fills in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nacre.core.errors import TracedBranch, described, too_deep
from nacre.core.spec import ITEMSIZE, NUMPY, Spec, dtype_name, is_computed, partial_shape, standardize_dtype
from nacre.core.tree import map_structure

if TYPE_CHECKING:
    from nacre.core.graph import Graph, Node

_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")
_UNARY = ("neg", "abs", "invert", "pos")

_operators: dict[str, Any] = {}


def install_operators(table: dict[str, Any]) -> None:
    """Gives the operators their meaning; called once by the `ops` package with public functions by operator name."""
    _operators.update(table)


def operate(name: str, *operands: Any) -> Any:
    """The operator called `name`, of these operands."""
    return _operators[name](*operands)


def _forward(name: str) -> Any:
    def operator(self: Any, other: Any) -> Any:
        return _operators[name](self, other)

    return operator


def _reflected(name: str) -> Any:
    def operator(self: Any, other: Any) -> Any:
        return _operators[name](other, self)

    return operator


def _unary(name: str) -> Any:
    def operator(self: Any) -> Any:
        return _operators[name](self)

    return operator


class Value:
    """The operators and shape arithmetic that every kind of value has."""

    shape: tuple[Any, ...]
    dtype: str
    __array_priority__ = 1000.0  # a NumPy array on the left hands the operation to us

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Any:
        """The number of elements."""
        n = 1
        for d in self.shape:
            if d is None:
                return None
            n *= d
        return n

    def __round__(self, ndigits: int | None = None) -> Any:
        return _operators["round"](self, ndigits or 0)

    def __getitem__(self, key: Any) -> Any:
        return _operators["getitem"](self, key)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        if self.shape[0] is None:
            raise TypeError("len() of a tensor whose first axis has no known size")
        return int(self.shape[0])

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a tensor without axes")
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:
        return id(self)

    # Conveniences that users of NumPy and TensorFlow reach for.
    def reshape(self, *shape: Any) -> Any:
        """The same elements in another shape."""
        return _operators["reshape"](self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def squeeze(self, axis: Any = None) -> Any:
        """The same elements without axes of size 1 (without `axis`)."""
        return _operators["squeeze"](self, axis)

    def astype(self, dtype: Any) -> Any:
        """The same elements as another dtype."""
        return _operators["cast"](self, dtype)

    @property
    def T(self) -> Any:
        """The axes in reverse order."""
        return _operators["transpose"](self)


for _name in _BINARY:
    setattr(Value, f"__{_name}__", _forward(_name))
    setattr(Value, f"__r{_name}__", _reflected(_name))
for _name in _COMPARE:
    setattr(Value, f"__{_name}__", _forward(_name))
for _name in _UNARY:
    setattr(Value, f"__{_name}__", _unary(_name))


class Tensor(Value):
    """An eager value: an immutable array. Other attributes can be hung on it (`_keras_mask`).

    >>> Tensor.of([[1.0, 2.0]]).shape
    (1, 2)
    """

    def __init__(self, array: np.ndarray[Any, Any], dtype: str | None = None) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: str = dtype if dtype is not None else dtype_name(array.dtype)

    @staticmethod
    def of(value: Any, dtype: str | None = None) -> Tensor:
        """A Tensor of anything that holds numbers: see `as_array`."""
        return Tensor(as_array(value, dtype))

    @property
    def spec(self) -> Spec:
        return Spec(self.shape, self.dtype)

    def numpy(self) -> Any:
        """The elements as a NumPy array of the caller's own; of a scalar, a NumPy scalar."""
        return self._array.copy() if self.shape else self._array[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if dtype is not None and np.dtype(dtype) != self._array.dtype:
            return self._array.astype(dtype)
        if copy:
            return self._array.copy()
        view = self._array.view()
        view.flags.writeable = False
        return view

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions give arrays, those that would call a method of the same name (`np.squeeze`), too."""
        args, kwargs = map_structure(lambda x: x.__array__() if isinstance(x, Tensor) else x, (args, kwargs))
        return func(*args, **kwargs)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._array.copy().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self._array.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._array.tolist()

    def _scalar(self, what: str) -> Any:
        if self._array.size != 1:
            raise TypeError(
                f"Only scalar arrays can be converted to Python scalars. {what}() of a tensor of shape {self.shape}"
            )
        return self._array.item()

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise ValueError(
                f"the truth value of a tensor of shape {self.shape} is ambiguous: use ops.any(x) or ops.all(x)"
            )
        return bool(self._array.item())

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __index__(self) -> int:
        if self._array.size != 1 or self._array.dtype.kind not in "iu":
            raise TypeError(f"only an integer tensor of one element is an index, got {self.shape} {self.dtype}")
        return int(self._array.item())

    def __format__(self, spec: str) -> str:
        return format(self._array.item(), spec) if self._array.size == 1 and not self.shape else format(str(self), spec)

    def __repr__(self) -> str:
        return f"<Tensor shape={self.shape} dtype={self.dtype}>\n{self._array!r}"

    def __str__(self) -> str:
        return str(self._array)

    def __deepcopy__(self, memo: Any) -> Tensor:
        return Tensor(self._array.copy())

    def __reduce__(self) -> Any:
        return Tensor, (self._array,)


class Symbol(Value):
    """A value in a graph that is being recorded: shape and dtype are known, the elements are not."""

    def __init__(
        self, graph: Graph, spec: Spec, node: Node | None = None, kind: str = "node", payload: Any = None
    ) -> None:
        self.graph = graph
        self.spec = spec
        self.shape: tuple[int, ...] = spec[0]
        self.dtype: str = spec[1]
        self.node = node  # what computes it; None for inputs, constants and variables
        self.kind = kind  # "node", "input", "constant" or "state"
        self.payload = payload  # constant: the array; state: the Variable; input: its position
        graph.symbols.append(self)

    def _no_value(self, *_: Any, **__: Any) -> Any:
        raise TracedBranch(
            f"the value of a tensor (shape {self.shape}, dtype {self.dtype}) was asked for while its function is being "
            "compiled. Use ops.where or ops.cond for a choice that depends on values, or run eagerly (run_eagerly=True)"
        )

    __bool__ = __float__ = __int__ = __index__ = __array__ = numpy = item = tolist = _no_value

    def __repr__(self) -> str:
        return f"<Symbol {self.kind} shape={self.shape} dtype={self.dtype}>"

    def __deepcopy__(self, memo: Any) -> Symbol:
        return self


def _immutable(name: str) -> property:
    def get(self: Any) -> Any:
        return self._facts[name]

    def refuse(self: Any, value: Any) -> None:
        raise AttributeError(f"The `{name}` attribute of KerasTensor is immutable. One should create a new instance.")

    return property(get, refuse)


class KerasTensor(Value):
    """A value in a graph of layers: a shape in which None means "any size", a dtype and a name.

    >>> KerasTensor((None, 3), name="x")
    <KerasTensor shape=(None, 3), dtype=float32, sparse=False, ragged=False, name=x>
    """

    def __init__(
        self,
        shape: Any,
        dtype: Any = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        from_name = name if name is not None else "keras_tensor"
        if sparse and ragged:
            raise ValueError("KerasTensor cannot have `sparse=True` and `ragged=True` at the same time.")
        self._facts = {
            "shape": partial_shape(shape),
            "dtype": "string" if dtype == "string" else standardize_dtype(dtype),
            "sparse": bool(sparse),
            "ragged": bool(ragged),
        }
        self.name = from_name
        self._keras_history: Any = None
        self.record_history = record_history

    shape: Any = _immutable("shape")
    dtype: Any = _immutable("dtype")
    sparse: Any = _immutable("sparse")
    ragged: Any = _immutable("ragged")

    def _no_value(self, what: str) -> Any:
        raise ValueError(
            f"a KerasTensor doesn't have any actual numerical value, so it cannot be {what}: it stands for the data "
            "that a model will get. Use keras.ops functions or a custom Layer to compute with it"
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self._no_value("turned into a NumPy array")

    def __bool__(self) -> bool:
        raise TypeError(
            "A symbolic KerasTensor has no value: it cannot be used as a boolean. Put the choice into a Layer's call"
        )

    def __float__(self) -> float:
        return self._no_value("turned into a float")  # type: ignore[no-any-return]

    def __int__(self) -> int:
        return self._no_value("turned into an int")  # type: ignore[no-any-return]

    def __iter__(self) -> Any:
        raise NotImplementedError(
            "Iterating over a symbolic KerasTensor is not supported: its values are not known yet. Use ops.unstack"
        )

    def __repr__(self) -> str:
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse={self.sparse}, ragged={self.ragged}, "
            f"name={self.name}>"
        )

    def __eq__(self, other: object) -> bool:
        return self is other  # so that lists of them can be searched; ops.equal compares elements

    __hash__ = Value.__hash__

    def __deepcopy__(self, memo: Any) -> KerasTensor:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_keras_history": None}  # the graph stays where it is


def _from_dlpack_or_array(value: Any) -> np.ndarray[Any, Any]:
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a torch tensor that may need a gradient
        value = value.detach().cpu()
    return np.asarray(value)


def is_plain(array: np.ndarray[Any, Any]) -> bool:
    """Whether programs can read the array where it is: no gaps in it, and at no odd address, as in a mapped file."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned


def as_array(value: Any, dtype: str | None = None) -> np.ndarray[Any, Any]:
    """`value` as a C-contiguous array of a dtype that nacre computes in; copies only when it has to.

    Python floats become float32 and Python ints int32 (int64 when they need it), alone or in lists; arrays keep their
    dtype, where float16 is widened to float32 and narrow integers to int32. Raises TypeError for what holds no numbers
    (objects, strings, ragged lists).
    """
    if type(value) is np.ndarray and dtype is None and is_computed(value.dtype) and is_plain(value):
        return value
    if isinstance(value, Tensor):
        array = value._array
        if dtype is None or array.dtype == NUMPY[dtype]:
            return array
    elif isinstance(value, (Symbol, KerasTensor)):
        return value.__array__()  # type: ignore[no-any-return]  # raises the error that says what to do
    elif isinstance(value, np.ndarray):
        array = value
    elif type(value) in (bool, int, float):
        array = np.asarray(value)
        if dtype is None:
            dtype = "bool" if type(value) is bool else "float32" if type(value) is float else _int_dtype(array)
    elif isinstance(value, (list, tuple)):
        items = [np.asarray(v) if isinstance(v, Tensor) else v for v in value]
        try:
            array = np.asarray(items)
        except ValueError as error:
            raise TypeError(f"expected a list of numbers of equal lengths, got {_short(value)}: {error}") from None
        if dtype is None:
            if array.dtype.kind == "i":
                dtype = _int_dtype(array)
            elif array.dtype == np.float64 and not any(isinstance(v, np.ndarray) for v in value):
                dtype = "float32"
    else:
        array = _from_dlpack_or_array(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"expected numbers (an array, a list or a scalar of floats, ints or bools), got {type(value).__name__} "
            f"of dtype {array.dtype}: {_short(value)}"
        )
    if type(array) is not np.ndarray and np.any(getattr(array, "mask", False)):
        raise ValueError("a masked array has no value where it is masked: give array.filled(...) or array.data")
    wanted = NUMPY[dtype] if dtype is not None else NUMPY[standardize_dtype(array.dtype)]
    if array.dtype != wanted:
        # Arrays wrap around, as NumPy's do; what Python says in numbers, and uint64, which is held in int64, must fit.
        if array.dtype == np.uint64 or type(value) in (int, list, tuple):
            _check_fits(array, wanted)
        array = array.astype(wanted)
    return array if is_plain(array) else np.array(array, order="C")


def _check_fits(array: np.ndarray[Any, Any], wanted: Any) -> None:
    if array.dtype.kind in "iu" and wanted.kind in "iu" and array.size:
        low, high = int(array.min()), int(array.max())
        limits = np.iinfo(wanted)
        if low < limits.min or high > limits.max:
            raise ValueError(f"{high if high > limits.max else low} does not fit into {wanted.name}")


def _int_dtype(array: np.ndarray[Any, Any]) -> str:
    if array.dtype.kind not in "i" or not array.size:
        return "int32" if array.dtype.kind == "i" else standardize_dtype(array.dtype)
    return "int32" if array.min() >= -(2**31) and array.max() < 2**31 else "int64"


def _short(value: Any) -> str:
    text = described(value) if too_deep(value) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nbytes(shape: tuple[int, ...], dtype: str) -> int:
    """The bytes of an array of that shape."""
    n = ITEMSIZE[dtype]
    for d in shape:
        n *= d
    return n
