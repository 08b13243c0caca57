"""How a call is read: the signature of `call`, the context that inner layers see, and how errors are told."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import numpy as np

from nacre.core import tree
from nacre.core.errors import NotCompilable, TracedBranch, accidental, described, kind_of
from nacre.core.tensor import KerasTensor, Symbol, Tensor
from nacre.core.variable import Variable


class CallContext(threading.local):
    """What the layers of one call share, per thread: the outermost layer and the `training` flag in force, which is
    the last one that a call was given, as in Keras."""

    entry: Any = None
    training: bool | None = None


context = CallContext()


class CallPlan:
    """What the signature of a class's `call` says."""

    def __init__(self, cls: type) -> None:
        call: Any = cls.call  # type: ignore[attr-defined]
        self.name = f"{cls.__name__}.call"
        self.signature = inspect.signature(call)
        parameters = list(self.signature.parameters.values())
        if not isinstance(inspect.getattr_static(cls, "call"), staticmethod):
            parameters = parameters[1:]
        plain = [p.replace(annotation=p.empty) for p in parameters]  # shown in errors
        self.signature = inspect.Signature(plain)
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.positional = tuple(p.name for p in parameters if p.kind in positional)
        self.required = frozenset(p.name for p in parameters if p.kind in positional and p.default is p.empty)
        self.names = frozenset(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.any_keyword = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.needs_binding = self.variadic or any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
        self.has_training = "training" in self.names
        default = self.signature.parameters["training"].default if self.has_training else None
        self.training_default = default if isinstance(default, bool) else None
        self.has_mask = "mask" in self.names
        self.mask_names = frozenset(name for name in self.names if name.endswith("_mask"))

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raises TypeError, as Python would, when the arguments do not fit the signature."""
        positional = self.positional
        if not self.needs_binding and len(args) <= len(positional):
            given = positional[: len(args)]
            if not kwargs:
                if len(args) >= len(self.required) and self.required.issubset(given):
                    return
            elif (
                (self.any_keyword or self.names.issuperset(kwargs))
                and not any(name in kwargs for name in given)
                and all(name in kwargs or name in given for name in self.required)
            ):
                return
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            got = [*map(described, args), *(f"{name}={described(value)}" for name, value in kwargs.items())]
            advice = ". Do several inputs go in as one list, `layer([x, y])`?" if len(args) > len(positional) else ""
            raise TypeError(f"{self.name}{self.signature}: {error}; got ({', '.join(got)}){advice}") from None

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The given arguments by parameter name, in the order of the signature."""
        if not self.variadic and not self.any_keyword:
            given = dict(zip(self.positional, args))
            given.update((name, kwargs[name]) for name in self.signature.parameters if name in kwargs)
            return given
        bound = self.signature.bind_partial(*args, **kwargs).arguments
        out: dict[str, Any] = {}
        for name, value in bound.items():
            kind = self.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                out.update(value)
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                out.update({f"{name}_{i}" if i else name: v for i, v in enumerate(value)})
            else:
                out[name] = value
        return out


def plan_of(cls: Any) -> CallPlan:
    """The CallPlan of a class, made once and kept by the class: one that is forgotten takes it along."""
    plan = cls.__dict__.get("_call_plan")
    if plan is None or plan.signature is None:
        plan = cls._call_plan = CallPlan(cls)
    return plan  # type: ignore[no-any-return]


def is_tensor(x: Any) -> bool:
    """Whether `x` is a value with a shape: Tensor, Symbol, KerasTensor or Variable."""
    return isinstance(x, (Tensor, Symbol, KerasTensor, Variable))


def has_tensor(x: Any) -> bool:
    """Whether a structure holds a tensor, or an array of text."""
    if isinstance(x, (list, tuple, dict)):
        return any(is_tensor(v) or isinstance(v, np.ndarray) for v in tree.flatten(x))
    return is_tensor(x) or isinstance(x, np.ndarray)


def mask_of(x: Any) -> Any:
    """The mask that a tensor carries, in the structure of `x`; None where there is none at all."""
    if isinstance(x, (list, tuple, dict)):
        masks = tree.map_structure(lambda v: getattr(v, "_keras_mask", None), x)
        return masks if any(m is not None for m in tree.flatten(masks)) else None
    return getattr(x, "_keras_mask", None)


def only_tensors(x: Any) -> None:
    for leaf in tree.flatten(x):
        if leaf is not None and not is_tensor(leaf) and not isinstance(leaf, np.ndarray):
            raise ValueError(
                "Only input tensors may be passed as positional arguments. The following argument value should be "
                f"passed as a keyword argument: {leaf} (of type {type(leaf)})"
            )


# --- errors -----------------------------------------------------------------------------------------------------------


def tell(error: Exception, plan: CallPlan, where: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception:
    """`error` again with the name of the layer and the arguments of its call; the innermost layer only says so once."""
    if isinstance(error, (TracedBranch, NotCompilable)) or getattr(error, "_nacre_told", False):
        return error
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [f"Exception encountered when calling {where}.", "", message, "", f"Arguments received by {where}:"]
    try:
        given = plan.signature.bind_partial(*args, **kwargs)
        given.apply_defaults()
        for name, value in given.arguments.items():
            lines.append(f"  • {name}={described(value)}")
    except TypeError:
        lines.append(f"  • {described(args)}, {described(kwargs)}")
    text = "\n".join(lines)
    try:
        kind = kind_of(error) if accidental(error) else type(error)
        told = MemoryError(text) if isinstance(error, MemoryError) else kind(text)
    except Exception:  # an exception class with a signature of its own
        told = RuntimeError(text)
    told._nacre_told = told._nacre_clear = True  # type: ignore[attr-defined]
    return told
