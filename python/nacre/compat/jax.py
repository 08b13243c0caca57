"""The names of JAX that programs for Keras on JAX use: functions of values, their gradients, `jax.numpy`."""

from __future__ import annotations

import types as _types
from collections.abc import Callable
from typing import Any

from nacre import ops
from nacre.compat import tensorflow as _tensorflow
from nacre.core import tree as _tree
from nacre.core.autodiff import GradientTape as _GradientTape
from nacre.core.spec import NUMPY as _NUMPY
from nacre.core.tensor import Tensor as Array  # public here
from nacre.core.variable import Variable as _Variable

__version__ = "0.4.30"  # what scripts that look at it can rely on here


def _values(arguments: Any) -> Any:
    """Variables among the arguments by their values: a function of JAX has no side effects."""
    return _tree.map_structure(lambda x: x.value if isinstance(x, _Variable) else x, arguments)


def value_and_grad(
    fun: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, **kwargs: Any
) -> Callable[..., Any]:
    """A function that gives what `fun` gives, a number, and its gradients.

    Args:
        fun: gives a number, with `has_aux` a pair of it and anything. argnums: the position, or the positions, of the
            arguments to differentiate; these are tensors of floats or structures of such.
    """
    several = isinstance(argnums, (tuple, list))
    places = tuple(argnums) if several else (argnums,)

    def call(*args: Any, **named: Any) -> Any:
        given = list(_values(args))
        for place in places:
            given[place] = _tree.map_structure(ops.convert_to_tensor, given[place])
        sources = [given[place] for place in places]
        with _GradientTape() as tape:
            tape.watch(sources)
            result = fun(*given, **named)
        value = result[0] if has_aux else result
        if ops.size(value) != 1:
            raise TypeError(f"Gradient only defined for scalar-output functions. Output had shape: {value.shape}.")
        grads = tape.gradient(value, sources, unconnected_gradients="zero")
        return result, tuple(grads) if several else grads[0]

    return call


def grad(fun: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, **kwargs: Any) -> Callable[..., Any]:
    """A function that gives the gradients of `fun`, as `value_and_grad`; with `has_aux` a pair of them and the rest."""
    both = value_and_grad(fun, argnums, has_aux)

    def call(*args: Any, **named: Any) -> Any:
        result, grads = both(*args, **named)
        return (grads, result[1]) if has_aux else grads

    return call


def vmap(fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, **kwargs: Any) -> Callable[..., Any]:
    """A function that applies `fun` to each slice of its arguments, along `in_axes`, and stacks what it gives.

    Args:
        in_axes: an axis for all arguments, or one for each; None hands an argument over as it is.
    """

    def call(*args: Any) -> Any:
        given = _values(args)
        axes = list(in_axes) if isinstance(in_axes, (tuple, list)) else [in_axes] * len(given)
        if len(axes) != len(given) or all(a is None for a in axes):
            raise ValueError(f"vmap: in_axes={in_axes!r} for {len(given)} arguments; expected an axis for one or more")
        sliced = {i: _to_front(given[i], a) for i, a in enumerate(axes) if a is not None}
        result = ops.vectorized_map(lambda part: fun(*(part.get(i, x) for i, x in enumerate(given))), sliced)
        return _tree.map_structure(lambda x: ops.moveaxis(x, 0, out_axes), result)

    return call


def _to_front(value: Any, axis: int) -> Any:
    return _tree.map_structure(lambda x: ops.moveaxis(x, axis, 0), value)


def jit(fun: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """`fun` as one program per shapes of its arguments."""
    if fun is None:
        return lambda f: jit(f, **kwargs)
    compiled = _tensorflow.function(fun)
    return lambda *args, **named: compiled(*_values(args), **_values(named))


def devices(backend: str | None = None) -> list[str]:
    """The one device."""
    return ["cpu:0"]


local_devices = devices


def device_count(backend: str | None = None) -> int:
    """1."""
    return 1


local_device_count = device_count


def default_backend() -> str:
    """`"cpu"`."""
    return "cpu"


class _Names(_types.ModuleType):
    """A module with the functions of `nacre.ops`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return name if name in _NUMPY else getattr(ops, name)


numpy, nn = _Names(f"{__name__}.numpy"), _Names(f"{__name__}.nn")
numpy.asarray, numpy.ndarray = ops.convert_to_tensor, Array  # type: ignore[attr-defined]
numpy.pi, numpy.inf, numpy.nan, numpy.newaxis = 3.141592653589793, float("inf"), float("nan"), None  # type: ignore[attr-defined]


def _module(name: str, **members: Any) -> _types.ModuleType:
    made = _types.ModuleType(f"{__name__}.{name}")
    made.__dict__.update(members)
    return made


lax = _module(
    "lax", stop_gradient=ops.stop_gradient, cond=ops.cond, scan=ops.scan, fori_loop=ops.fori_loop,
    while_loop=ops.while_loop,
)  # fmt: skip
tree = _module("tree", map=_tree.map_structure, leaves=_tree.flatten)
tree_util = _module("tree_util", tree_map=_tree.map_structure, tree_leaves=_tree.flatten)
