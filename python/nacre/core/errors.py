"""The exceptions that nacre's own machinery raises; users see ValueError and TypeError, which say what was given where.
What is done wholly or not."""

from __future__ import annotations

import functools
import inspect
import opcode
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
_RAISE = opcode.opmap["RAISE_VARARGS"]
_ACCIDENTS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
_DEEPEST = 64  # of lists and dicts in each other; NumPy's arrays have as many dimensions


class TracedBranch(TypeError):
    """Python asked for the value of a tensor while its function was being traced."""


class NotCompilable(TypeError):
    """The function does something that a program cannot hold; it has to run eagerly."""


def _parts(value: Any) -> Iterable[Any]:
    """What a list, tuple or dict holds."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()


def too_deep(value: Any) -> bool:
    """Whether lists and dicts nest deeper than anything that is meant to, or hold themselves."""
    level = {0: value}
    for _ in range(_DEEPEST):
        level = {id(part): part for each in level.values() for part in _parts(each)}
        if not level:
            return False
    return True


def described(value: Any) -> str:
    """An argument in an error: of arrays the shape and dtype, of others the beginning."""
    if too_deep(value):
        return f"a {type(value).__name__} nested deeper than {_DEEPEST} levels"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(described, value[:20]))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {described(v)}" for k, v in value.items()) + "}"
    if isinstance(getattr(value, "shape", None), tuple) and not isinstance(value, np.generic):
        kind = "np.ndarray" if type(value) is np.ndarray else type(value).__name__
        return f"{kind}(shape={tuple(value.shape)}, dtype={getattr(value, 'dtype', None)})"
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def given(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of a call by name; None where they do not fit the parameters, which Python has said."""
    try:
        named = inspect.signature(function).bind(*args, **kwargs).arguments
        return {name: value for name, value in named.items() if name != "self"}
    except (TypeError, ValueError):
        return None


def accidental(error: Exception) -> bool:
    """Whether nobody raised `error` in words of their own, but Python, NumPy or the runtime came upon it inside of
    nacre."""
    trace, last, module = error.__traceback__, None, ""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if not module.startswith(("nacre.", "numpy.")):
            return False  # a user's function
        trace, last = trace.tb_next, trace
    raised = last is not None and last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISE
    own = (raised and module.startswith("nacre.")) or hasattr(error, "_nacre_clear")
    return isinstance(error, _ACCIDENTS) and not own


def kind_of(error: Exception) -> type[Exception]:
    """The class that an accidental error has for users."""
    return TypeError if isinstance(error, (TypeError, AttributeError)) else ValueError


def clearer(error: Exception, where: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Exception:
    """`error`, or what names `where` and the arguments of the call if it is accidental."""
    endless = isinstance(error, RecursionError)
    named = given(function, args, kwargs) if endless or accidental(error) else None
    if named is None or (endless and not any(map(too_deep, named.values()))):
        return error
    got = ", ".join(f"{name}={described(value)}" for name, value in named.items())
    said = f"KeyError {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    said = "lists or dicts are nested too deeply, or hold themselves" if endless else said
    text = f"{where}: {said}; got {got}"
    told = kind_of(error)(text).with_traceback(None if endless else error.__traceback__)
    told._nacre_clear = True  # type: ignore[attr-defined]
    return told


class Told:
    """Accidental errors of nacre's own subclasses, when they are made or called, name the class and what was given."""

    _tells: tuple[str, ...] = ("__init__", "__call__", "update_state", "apply")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in cls._tells if cls.__module__.startswith("nacre.") else ():
            if name in cls.__dict__:
                setattr(cls, name, told(cls.__dict__[name]))


def told(function: F) -> F:
    """A function or method whose accidental errors name it, or its class, and what was given."""
    names = function.__qualname__.split(".")

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            own = [type(args[0]).__name__] if len(names) > 1 and args else []
            where = ".".join(own + [name for name in names[-1:] if not own or name[:2] != "__"])
            told = clearer(error, where, function, args, kwargs)
            if told is error:
                raise
            raise told from None

    return wrapped  # type: ignore[return-value]


def tell(module: dict[str, Any]) -> None:
    """Has every public function of a module that ends here tell of accidental errors: see `told`."""
    for name, value in module.items():
        if isinstance(value, types.FunctionType) and value.__module__ == module["__name__"] and name[0] != "_":
            module[name] = told(value)


class whole:
    """Where the block does not come to its end (an error, Ctrl-C), the attributes of `obj` are what they were before,
    and lists among them hold what they held.

    A class: what Ctrl-C leaves of a generator that has begun ends when its traceback is freed, at any later time.
    """

    def __init__(self, obj: Any) -> None:
        self._attributes = vars(obj)
        self._earlier = dict(self._attributes)
        self._lists = [(value, value[:]) for value in self._earlier.values() if isinstance(value, list)]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, *exc: object) -> None:
        if kind is None:
            return
        self._attributes.update(self._earlier)
        for name in [*self._attributes]:
            if name not in self._earlier:
                del self._attributes[name]
        for value, held in self._lists:
            list.__setitem__(value, slice(None), held)  # of a list that reports what is put into it, too


def wholly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that changes its object wholly or not at all."""

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        with whole(self):
            return method(self, *args, **kwargs)

    return wrapped
