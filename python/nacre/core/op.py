"""An op: a frozen class whose annotated fields are its attributes, with its shape rule, lowering and gradient.

Ops are interned: equal attributes give the same object, so that caches look them up by identity. (A dataclass
would do the same, but making 200 of them costs 60 ms at import; see ADR 0001.)"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from nacre.core import trace
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol, Tensor
from nacre.core.variable import Variable

_interned: dict[Any, Op] = {}
_MOST_INTERNED = 20_000


def _load_executor(op: Op, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    importlib.import_module("nacre.runtime.eager")  # installs itself; late, so that importing the core loads no kernels
    return _execute(op, tensors)


_execute: Callable[[Op, tuple[Tensor, ...]], tuple[Tensor, ...]] = _load_executor


def install_executor(execute: Callable[[Op, tuple[Tensor, ...]], tuple[Tensor, ...]]) -> None:
    """Says how an op on Tensors is run; called once by the `runtime` package."""
    global _execute
    _execute = execute


class Op:
    """What an operation means. Subclasses annotate attributes and define `infer`, `lower` and, where it exists, `grad`.

    `infer(*specs)` gives the Spec of the output, or a tuple of Specs when `outputs` names several. `lower(k,
    *operands)` says which kernels compute it. `grad` asks by name for inputs (the parameter names of `infer`), outputs
    (`y` or the names in `outputs`) and output gradients (`dy`, or `d` + output name), and returns a gradient per input:
    a value, None where there is none, or a function without arguments that is called only if that gradient is needed.
    """

    outputs: ClassVar[tuple[str, ...]] = ("y",)
    spare: ClassVar[tuple[str, ...]] = ()  # of `outputs`: `lower` is given None for them where nobody reads them
    fields: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}
    inputs: ClassVar[tuple[str, ...]] = ()
    variadic: ClassVar[bool] = False
    grad_wants: ClassVar[tuple[str, ...] | None] = None
    replays: ClassVar[bool] = False  # true of what stands on a tape for many ops, and knows outputs without gradient
    key: tuple[Any, ...]

    if TYPE_CHECKING:  # the attributes of subclasses, where passes know which op it is

        def __getattr__(self, name: str) -> Any: ...

    def __init_subclass__(cls) -> None:
        notes = inspect.get_annotations(cls)
        own = tuple(n for n, kind in notes.items() if not str(kind).startswith("ClassVar"))
        cls.fields = (*cls.fields, *(n for n in own if n not in cls.fields))
        cls.defaults = {**cls.defaults, **{n: cls.__dict__[n] for n in own if n in cls.__dict__}}
        if "infer" in cls.__dict__:
            code = cls.infer.__code__
            cls.inputs = code.co_varnames[1 : code.co_argcount]
            cls.variadic = bool(code.co_flags & inspect.CO_VARARGS)
        if "grad" in cls.__dict__:
            code = cls.__dict__["grad"].__code__
            cls.grad_wants = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        key = (cls, args, tuple(kwargs.items())) if kwargs else (cls, args)
        op = _interned.get(key)
        if op is not None:
            return op
        fields = cls.fields
        if len(args) > len(fields):
            raise TypeError(f"{cls.__name__}: expected at most {len(fields)} attributes {fields}, got {len(args)}")
        values = dict(zip(fields, args))
        for name, value in kwargs.items():
            if name in values or name not in fields:
                raise TypeError(f"{cls.__name__}: unexpected attribute {name!r}; it has {fields}")
            values[name] = value
        for name in fields:
            if name not in values:
                if name not in cls.defaults:
                    raise TypeError(f"{cls.__name__}: missing attribute {name!r}")
                values[name] = cls.defaults[name]
        canonical = (cls, tuple(values[n] for n in fields))
        op = _interned.get(canonical)
        if op is None:
            op = object.__new__(cls)
            op.__dict__.update(values)
            op.__dict__["key"] = canonical
            if len(_interned) > _MOST_INTERNED:
                _interned.clear()
            _interned[canonical] = op
        _interned[key] = op
        return op

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Op) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> Any:
        return type(self), self.key[1]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self.fields)})"

    def infer(self, *specs: Any, **options: Any) -> Any:  # a signature that every other one fits
        raise NotImplementedError(f"{type(self).__name__} has no shape rule")

    def lower(self, k: Any, *operands: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no lowering")

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...] | None:
        """Per input, whether row n of the outputs needs only row n of it, or all of it; `lower` then takes any number
        of rows.

        None, unless an op says otherwise: rows depend on each other in other ways.
        """
        return None

    def by_columns(self, *inputs: Any, **options: Any) -> tuple[bool, ...]:
        """Per input, then per output, whether `lower` takes it as columns of a wider value, `ld` elements from row to
        row.

        Of those that are not mentioned none, unless an op says otherwise.
        """
        return ()

    def __call__(self, *values: Any) -> Any:
        """Runs the op: recorded when a Symbol is among the values, else at once. One output comes bare, several as a
        tuple."""
        outputs = run(self, values)
        return outputs[0] if len(outputs) == 1 else outputs

    def grad_inputs(
        self, inputs: tuple[Any, ...], outputs: tuple[Any, ...], d_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """The gradients of the inputs by this op's own rule; callables among them are not called yet."""
        if self.grad_wants is None:
            return (None,) * len(inputs)
        if self.variadic:
            have: dict[str, Any] = {"xs": inputs}
        else:
            have = dict(zip(self.inputs, inputs))
        for name, y, dy in zip(self.outputs, outputs, d_outputs):
            have[name] = y
            have["d" + name] = dy
        result = self.grad(**{name: have[name] for name in self.grad_wants})
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)


_LARGE = 1 << 20  # elements; smaller constants are computed, since Python may ask for their values


def _is_large(op: Op, tensors: list[Any]) -> bool:
    specs = op.infer(*[Spec(t.shape, t.dtype) for t in tensors])
    return any(math.prod(s.shape) > _LARGE for s in ((specs,) if type(specs) is Spec else specs))


def run(op: Op, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """`op` applied to Tensors, Symbols or Variables; always a tuple of outputs."""
    graph = None
    tapes = trace.tapes()
    resolved = list(values)
    for i, v in enumerate(resolved):
        kind = type(v)
        if kind is Tensor:
            continue
        if kind is Symbol:
            graph = v.graph
        elif isinstance(v, Variable):
            value = v.value
            if tapes:
                for tape in tapes:
                    tape.watch_variable(v, value)
            resolved[i] = value
            if type(value) is Symbol:
                graph = value.graph
        elif not isinstance(v, Tensor):
            raise TypeError(f"{type(op).__name__}: input {i} is a {type(v).__name__}, expected a tensor")
    if graph is None and trace.probing() and _is_large(op, resolved):
        graph = trace.current_graph()  # only the shape is asked for
    if graph is None:
        outputs = _execute(op, tuple(resolved))
    else:
        outputs = graph.record(op, resolved)
    if tapes:
        for tape in tapes:
            tape.record(op, tuple(resolved), outputs)
    return outputs
