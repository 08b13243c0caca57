"""Shapes and structures of shapes: telling one from the other."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from nacre.core import trace
from nacre.core.operation import _PROBES
from nacre.core.tree import is_shape

_PROBED = frozenset(size for sizes in _PROBES for size in sizes)


def standardize_shapes(x: Any) -> Any:
    """Shapes as tuples of ints and Nones, in whatever structure they come; anything that can be iterated is a shape."""
    if is_shape(x):
        return tuple(None if d is None else int(d) for d in x)
    if isinstance(x, dict):
        return {key: standardize_shapes(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        items = [standardize_shapes(value) for value in x]
        return items if isinstance(x, list) else tuple(items)
    if x is None or isinstance(x, (str, int, float)) or not hasattr(x, "__iter__"):
        return x
    return tuple(None if d is None else int(getattr(d, "value", d)) for d in x)  # TensorShape and the like


def map_shapes(fn: Callable[[Any], Any], x: Any) -> Any:
    """`fn` of every shape in a structure of shapes."""
    if x is None:
        return None
    if is_shape(x):
        return fn(tuple(x))
    if isinstance(x, dict):
        return {key: map_shapes(fn, value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        items = [map_shapes(fn, value) for value in x]
        return items if isinstance(x, list) else tuple(items)
    return fn(standardize_shapes(x))


def shape_of(x: Any) -> Any:
    """The shape of a tensor, None for what has none. Sizes that only stand in for unknown ones are None again."""
    shape = getattr(x, "shape", None)
    if shape is None:
        return None
    if trace.probing():
        return tuple(None if d in _PROBED else d for d in shape)
    return tuple(shape)


@functools.lru_cache(maxsize=2048)
def _parameters_of(function: Any, bound: bool) -> tuple[tuple[str, ...], frozenset[str], bool]:
    parameters = list(inspect.signature(function).parameters.values())[bound:]
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    optional = frozenset(p.name for p in named if p.default is not p.empty)
    return tuple(p.name for p in named), optional, any(p.kind is p.VAR_KEYWORD for p in parameters)


def shape_parameters(function: Any) -> tuple[str, ...] | None:
    """The parameter names of a `build`-like method; None when it takes any keyword."""
    names, _, any_keyword = _parameters_of(getattr(function, "__func__", function), hasattr(function, "__func__"))
    return None if any_keyword and not names else names


def optional_parameters(function: Any) -> frozenset[str]:
    return _parameters_of(getattr(function, "__func__", function), hasattr(function, "__func__"))[1]
