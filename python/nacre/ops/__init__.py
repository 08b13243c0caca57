"""keras.ops: functions of tensors. Each works on eager tensors, while a function is compiled, and on the KerasTensors
of a graph.

A function is public when the `__all__` of its family names it. Families are loaded when a name is asked for that no
loaded one has, in the order below."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from nacre._lazy import no_attribute as _no_attribute
from nacre.core.tensor import Symbol as _Symbol
from nacre.core.tensor import Tensor as _Tensor
from nacre.ops import arithmetic as _arithmetic  # noqa: F401  # installs operators of tensors
from nacre.ops import indexing as _indexing  # noqa: F401  # as above
from nacre.ops import products as _products  # noqa: F401  # as above

# Those that most programs load anyhow come first.
_FAMILIES = (
    "arithmetic", "products", "indexing", "reduction", "manipulation", "probabilities", "convolution", "pooling",
    "nn", "creation", "padding",
    "core", "arrangement", "sorting", "special", "nan_reduction", "linalg", "signals", "rearrangement", "ctc",
)  # fmt: skip
# Functions that tensors have as methods, too, as arrays of JAX and NumPy do.
_METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "clip", "conj", "copy", "cumprod", "cumsum", "diagonal", "dot",
    "flatten", "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "round", "sort", "std", "sum", "swapaxes",
    "take", "trace", "transpose", "var",
)  # fmt: skip
_NAMESPACES = ("image", "linalg", "nn", "numpy")  # keras.ops.<name>: found by import, too


def _family(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return _family(name)
    if not name.startswith("_"):
        loaded = [f for f in _FAMILIES if f"{__name__}.{f}" in sys.modules]
        for family in (*loaded, *(f for f in _FAMILIES if f not in loaded)):
            module = _family(family)
            if name in module.__all__:
                value = globals()[name] = getattr(module, name)
                return value
    elif name == "__all__":
        return sorted(n for f in _FAMILIES for n in _family(f).__all__)
    raise _no_attribute(__name__, name)


def __dir__() -> list[str]:
    return sorted({*__getattr__("__all__"), *globals()})


def _method(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        for unset in ("dtype", "out"):  # which functions of NumPy give when they call a method of their name
            if kwargs.get(unset, 0) is None:
                del kwargs[unset]
        if name == "transpose" and args and isinstance(args[0], int):
            args = (args,)
        return getattr(sys.modules[__name__], name)(self, *args, **kwargs)

    return method


for _kind in (_Tensor, _Symbol):
    for _name in _METHODS:
        setattr(_kind, _name, _method("ravel" if _name == "flatten" else _name))
