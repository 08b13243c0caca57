"""Shapes, conversion, gradients of one's own, and control flow.

Loops and branches are Python's: where the number of turns is known they are unrolled into the program. Where a choice
depends on a tensor that is being computed, `cond` computes both sides and picks; a loop has to run eagerly."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core import trace, tree
from nacre.core.config import floatx
from nacre.core.errors import told
from nacre.core.spec import NUMPY, broadcast_shapes, is_float, is_int, normalize_axis, numpy_dtype, standardize_dtype
from nacre.core.tensor import KerasTensor, Symbol, Tensor, Value
from nacre.core.variable import Variable
from nacre.ops.arithmetic import cast, stop_gradient
from nacre.ops.base import OpCall, public, scalar, stand_ins, value
from nacre.ops.creation import convert_to_tensor, zeros
from nacre.ops.elementwise import Clip, Copy, Select, cast_to
from nacre.ops.indexing import scatter, scatter_update, slice, slice_update
from nacre.ops.manipulation import broadcast_to, concatenate, reshape, stack, unstack
from nacre.ops.movement import Reshape, flipped, slice_axis


def shape(x: Any) -> tuple[Any, ...]:
    """The shape of `x` as a tuple of ints; None stands for a size that is not known yet.

    >>> shape([[1, 2, 3]])
    (1, 3)
    """
    return tuple(x.shape) if isinstance(x, (Value, np.ndarray)) else tuple(value(x).shape)


def ndim(x: Any) -> int:
    """The number of axes of `x`."""
    return len(shape(x))


def size(x: Any) -> Any:
    """The number of elements of `x`: an int, or a scalar of the graph where a size is not known yet."""
    if isinstance(x, KerasTensor) and None in x.shape:
        return OpCall(size)(x)
    return x.size if isinstance(x, Value) else value(x).size


def dtype(x: Any) -> str:
    """The name of the dtype of `x`."""
    return standardize_dtype(x.dtype) if hasattr(x, "dtype") else str(value(x).dtype)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor: an eager one, one being computed in a program, or one of a graph of layers.

    >>> is_tensor(np.zeros(3))
    False
    """
    return isinstance(x, (Tensor, Symbol, KerasTensor))


def convert_to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """`x` as a NumPy array of the caller's own."""
    if isinstance(x, (Tensor, Variable, Symbol)):
        array: np.ndarray[Any, Any] = x.numpy()
        return array
    if isinstance(x, KerasTensor):
        return x.__array__()  # type: ignore[no-any-return]  # raises the error that says what to do
    return np.array(x)


@public
def copy(x: Any) -> Any:
    """A tensor with the elements of `x`."""
    return Copy()(value(x))


@public
def saturate_cast(x: Any, dtype: Any) -> Any:
    """`x` as `dtype`, what lies outside its range as the nearest number in it.

    >>> saturate_cast([-1.0, 300.0], "uint8").tolist()
    [0, 255]
    """
    x, name = value(x), standardize_dtype(floatx() if dtype is None else dtype)
    low, high = _range(numpy_dtype(name if dtype is None else dtype))
    if is_float(x.dtype) and is_int(name):
        x = cast_to(x, name)  # which keeps to its range
    least, most = _range(NUMPY[x.dtype])
    if x.dtype != "bool" and (is_float(x.dtype) or low > least or high < most):
        x = Clip()(x, scalar(max(low, least), x.dtype), scalar(min(high, most), x.dtype))
    return cast_to(x, name)


def _range(dtype: Any) -> tuple[Any, Any]:
    """The least and the largest number of a NumPy dtype."""
    if dtype == np.bool_:
        return 0, 1
    info: Any = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    return info.min, info.max


@public
def view(x: Any, dtype: Any = None) -> Any:
    """The bits of `x` read as another dtype, eagerly. The last axis changes with the width of an element.

    >>> view([1.0], "uint16").tolist()
    [0, 16256]
    """
    if not isinstance(x, np.ndarray):
        x = value(x)
    if "bfloat16" in str(dtype):
        raise ValueError("view: bits cannot be read as bfloat16. Read them as uint16")
    new = numpy_dtype(x.dtype if dtype is None else dtype)
    shape = (*x.shape[:-1], *(n * numpy_dtype(x.dtype).itemsize // new.itemsize for n in x.shape[-1:]))
    if unknown := stand_ins([x], (shape, standardize_dtype(new))):
        return unknown[0]
    return value(np.asarray(x).view(new).copy())


# --- gradients ------------------------------------------------------------------------------------------------------


class _OwnGradient:
    """Stands on a tape for a call of a function that brings its own gradient: inputs are its outputs, then its
    arguments.
    """

    grad_wants = ()
    replays = False  # a function of the user's, which may compute something else each time

    def __init__(self, gradient: Callable[..., Any], count: int) -> None:
        self.gradient = gradient
        self.count = count

    def grad_inputs(self, inputs: Any, outputs: Any, d_outputs: Any) -> Any:
        return (*(None,) * self.count, *self.gradient(*d_outputs))


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f(*args)` returns `(outputs, grad)`; the gradients of the arguments are what `grad(*d_outputs)` returns.

    >>> @custom_gradient
    ... def twice(x):
    ...     return 2 * x, lambda dy, upstream=None: 2 * (upstream if upstream is not None else dy)
    >>> float(twice(convert_to_tensor(3.0)))
    6.0
    """

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with trace.no_tapes():
            outputs, gradient = f(*args, **kwargs)
        if not trace.tapes():
            return outputs
        flat = [value(y) for y in tree.flatten(outputs)]
        sources = [a for a in args if isinstance(a, (Tensor, Symbol, Variable))]

        def take(*d_outputs: Any) -> Any:
            upstream = d_outputs[0] if len(d_outputs) == 1 else d_outputs
            try:
                grads = gradient(*d_outputs)
            except TypeError:
                grads = gradient(*args, upstream=upstream)  # the other form that Keras' users write
            grads = grads if isinstance(grads, (tuple, list)) else (grads,)
            kept = [g for a, g in zip(args, grads) if isinstance(a, (Tensor, Symbol, Variable))]
            return kept

        results = _tell_tapes(_OwnGradient(take, len(flat)), flat, sources)
        return tree.pack_sequence_as(outputs, results) if tree.is_nested(outputs) else results[0]

    wrapper.__name__ = getattr(f, "__name__", "custom_gradient")
    wrapper.__doc__ = f.__doc__
    return wrapper


def _tell_tapes(op: _OwnGradient, flat: list[Any], sources: list[Any]) -> list[Any]:
    """New names for the outputs, and a record on every tape that they come from the sources by this call."""
    outputs = [_renamed(y) if isinstance(y, Symbol) else Tensor(y._array) for y in flat]
    resolved = []
    for source in sources:
        current = source.value if isinstance(source, Variable) else source
        if current is not source:
            for tape in trace.tapes():
                tape.watch_variable(source, current)
        resolved.append(current)
    for tape in trace.tapes():
        tape.record(op, (*flat, *resolved), tuple(outputs))
    return outputs


def _renamed(y: Symbol) -> Any:
    with trace.no_tapes():
        return Reshape(y.shape)(y)


# --- control flow ---------------------------------------------------------------------------------------------------


@told
def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """What `true_fn()` returns where `pred` holds, else what `false_fn()` returns.

    While a function is compiled and `pred` is a tensor of it, both are computed and one is picked; what they assign to
    Variables counts only for the one that is picked.

    >>> cond(True, lambda: 1, lambda: 2).item()
    1
    """
    if isinstance(pred, KerasTensor) or _reads_keras_tensor(true_fn) or _reads_keras_tensor(false_fn):
        return _cond_of_keras_tensors(pred, true_fn, false_fn)
    chosen = pred.value if isinstance(pred, Variable) else pred
    if not isinstance(chosen, Symbol):
        return tree.map_structure(_number_as_tensor, true_fn() if bool(chosen) else false_fn())
    if chosen.size != 1:
        raise ValueError(f"cond: expected pred to have one element, got shape {chosen.shape}")
    flag = cast_to(reshape(chosen, ()), "bool")
    graph = chosen.graph
    before = dict(graph.current)
    yes = true_fn()
    after_yes = dict(graph.current)
    before = {**{variable: graph.state[variable] for variable in after_yes}, **before}
    graph.current = dict(before)
    no = false_fn()
    after_no = dict(graph.current)
    for variable in {**after_yes, **after_no}:
        start = before.get(variable, graph.state[variable])
        a, b = after_yes.get(variable, start), after_no.get(variable, start)
        graph.current[variable] = a if a is b else Select()(flag, a, b)
    return _picked(flag, yes, no)


def _picked(flag: Any, yes: Any, no: Any) -> Any:
    def pick(a: Any, b: Any) -> Any:
        if a is None and b is None:
            return None
        a, b = value(a), value(b)
        if a.shape != b.shape:
            raise ValueError(f"cond: both functions must return the same shapes, got {a.shape} and {b.shape}")
        return Select()(flag, a, b)

    try:
        return tree.map_structure(pick, yes, no)
    except ValueError as error:
        raise ValueError(f"cond: both functions must return the same structure: {error}") from None


def _reads_keras_tensor(fn: Any) -> bool:
    cells = getattr(fn, "__closure__", None) or ()
    for cell in cells:
        try:
            if isinstance(cell.cell_contents, KerasTensor):
                return True
        except ValueError:  # an empty cell
            continue
    return False


def _cond_of_keras_tensors(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Both branches as nodes of the graph of layers, and a choice between their outputs."""
    yes, no = true_fn(), false_fn()
    return tree.map_structure(lambda a, b: _choose(pred, a, b), yes, no)


@public
def _choose(pred: Any, a: Any, b: Any) -> Any:
    return Select()(cast_to(reshape(pred, ()), "bool"), value(a), value(b))


@public
@told
def switch(index: Any, branches: Any, *operands: Any) -> Any:
    """`branches[index](*operands)`; an index outside counts as the nearest one inside."""
    last = len(branches) - 1
    if last < 0:
        raise ValueError("switch: expected at least one branch")
    known: Any = index.value if isinstance(index, Variable) else index
    if not isinstance(known, Symbol):
        return tree.map_structure(_number_as_tensor, branches[min(max(int(known), 0), last)](*operands))
    result = branches[last](*operands)
    for i in range(last - 1, -1, -1):
        other = branches[i](*operands)
        result = _picked(cast_to(known <= i, "bool"), other, result)  # type: ignore[operator]
    return result


@public
@told
def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """`loop_vars = body(*loop_vars)` while `cond(*loop_vars)` holds; what `loop_vars` are at the end.

    >>> [int(v) for v in while_loop(lambda i, s: i < 4, lambda i, s: (i + 1, s + i), (0, 0))]
    [4, 6]
    """
    many = isinstance(loop_vars, (tuple, list))
    state = tuple(loop_vars) if many else (loop_vars,)
    turn = 0
    if trace.probing():  # no turn changes a shape
        maximum_iterations, cond = min(1 if maximum_iterations is None else maximum_iterations, 1), lambda *_: True
    while (maximum_iterations is None or turn < maximum_iterations) and bool(cond(*state)):
        result = body(*state)
        state = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        if len(state) != (len(loop_vars) if many else 1):
            raise ValueError(f"while_loop: body must return {len(loop_vars) if many else 1} values, got {len(state)}")
        turn += 1
    state = tuple(tree.map_structure(_as_tensor, s) for s in state)
    return type(loop_vars)(state) if isinstance(loop_vars, list) else state if many else state[0]


def _as_tensor(x: Any) -> Any:
    return x if isinstance(x, (Value, type(None))) else value(x)


def _number_as_tensor(x: Any) -> Any:
    return value(x) if isinstance(x, (bool, int, float, np.generic, np.ndarray)) else x


@public
@told
def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """`val = body_fun(i, val)` for i from `lower` up to, not including, `upper`.

    >>> int(fori_loop(0, 4, lambda i, v: v + i, 0))
    6
    """
    val = init_val
    for i in range(int(lower), int(upper)):
        val = body_fun(i, val)
    return tree.map_structure(_as_tensor, val)


def _length(xs: Any, what: str) -> int:
    sizes = {shape(x)[0] if ndim(x) else None for x in tree.flatten(xs) if x is not None}
    if len(sizes) != 1 or None in sizes:
        raise ValueError(f"{what}: expected tensors with first axes of one size, got sizes {sorted(map(str, sizes))}")
    return int(sizes.pop() or 0)


@public
@told
def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: Any = 1,
) -> Any:
    """`carry, y = f(carry, x)` for each x along the first axis of `xs`; the last carry and the stacked ys.

    >>> last, ys = scan(lambda c, x: (c + x, c), convert_to_tensor(0), convert_to_tensor([1, 2, 3]))
    >>> int(last), ys.tolist()
    (6, [0, 1, 3])
    """
    if not callable(f):
        raise TypeError(f"scan: `f` should be a callable. Received: f={f!r}")
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(f"scan: `unroll` must be an positive integer or boolean. Received: unroll={unroll!r}")
    if xs is None and length is None:
        raise ValueError("scan: Got no `xs` to scan over and `length` not provided.")
    n = int(length) if xs is None else _length(xs, "scan")  # type: ignore[arg-type]
    if xs is not None and length is not None and int(length) != n:
        raise ValueError(f"scan: length={length}, but the first axis of xs has {n}")
    if trace.probing() and n > 1:
        carry, y = scan(f, init, None if xs is None else tree.map_structure(lambda x: x[:1], xs), 1)
        return carry, tree.map_structure(lambda t: None if t is None else broadcast_to(t, (n, *shape(t)[1:])), y)
    parts = None if xs is None else tree.map_structure(lambda x: unstack(x), xs)
    carry = init
    ys: list[Any] = [None] * n
    for i in reversed(range(n)) if reverse else range(n):
        x = None if parts is None else tree.map_structure_up_to(xs, lambda p, i=i: p[i], parts)
        carry, ys[i] = f(carry, x)
    carry = tree.map_structure(_as_tensor, carry)
    if not n or all(y is None for y in tree.flatten(ys)):
        return carry, None if n else _empty_like_output(f, init, xs)
    return carry, tree.map_structure(lambda *items: stack(list(items)), *ys)


def _empty_like_output(f: Any, init: Any, xs: Any) -> Any:
    """The ys of no turn: f tried on zeros for its shapes."""
    if xs is None:
        return None
    x = tree.map_structure(lambda t: zeros(shape(t)[1:], dtype(t)), xs)
    _, y = f(init, x)
    return tree.map_structure(lambda t: zeros((0, *shape(t)), dtype(t)), y)


@public
def associative_scan(f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Running results of the associative function `f(a, b)` along `axis`; `f` gets whole slices, log2(n) times.

    >>> associative_scan(lambda a, b: a + b, convert_to_tensor([1, 2, 3, 4])).tolist()
    [1, 3, 6, 10]
    """
    leaves = [value(e) for e in tree.flatten(elems)]
    axes = [normalize_axis(axis, len(e.shape), "associative_scan: axis") for e in leaves]
    n = leaves[0].shape[axes[0]]
    if any(e.shape[a] != n for e, a in zip(leaves, axes)):
        raise ValueError(
            "associative_scan: Array inputs to associative_scan must have the same first dimension, the size along "
            f"axis {axis}. Received: {[e.shape for e in leaves]}"
        )

    def turned(items: list[Any]) -> list[Any]:
        return [flipped(e, (a,)) if n else e for e, a in zip(items, axes)] if reverse else items

    items, step = turned(leaves), 1
    while step < n:
        # Every element joined with the one `step` before it: after log2(n) rounds each holds all before it.
        early = [slice_axis(e, a, 0, n - step) for e, a in zip(items, axes)]
        late = [slice_axis(e, a, step, n) for e, a in zip(items, axes)]
        pack: Any = (
            (lambda flat: tree.pack_sequence_as(elems, flat)) if tree.is_nested(elems) else (lambda flat: flat[0])
        )
        joined = tree.flatten(f(pack(early), pack(late)))
        items = [concatenate([slice_axis(e, a, 0, step), value(j)], a) for e, j, a in zip(items, joined, axes)]
        step *= 2
    items = turned(items)
    return tree.pack_sequence_as(elems, items) if tree.is_nested(elems) else items[0]


@public
@told
def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """`f` of each slice along the first axis of `xs`, stacked.

    >>> map(lambda x: x * x, convert_to_tensor([1, 2, 3])).tolist()
    [1, 4, 9]
    """
    n = _length(xs, "map")
    if trace.probing() and n > 1:
        y = map(f, tree.map_structure(lambda x: x[:1], xs))
        return tree.map_structure(lambda t: broadcast_to(t, (n, *shape(t)[1:])), y)
    parts = tree.map_structure(lambda x: unstack(x), xs)
    results = [f(tree.map_structure_up_to(xs, lambda p, i=i: p[i], parts)) for i in range(n)]
    if not results:
        return _empty_like_output(lambda _, x: (None, f(x)), None, xs)
    return tree.map_structure(lambda *items: stack(list(items)), *results)


@public
@told
def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """`function` of each slice along the first axis of `elements`, stacked."""
    return map(function, elements)


def vectorize(pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None) -> Callable[..., Any]:
    """A function that applies `pyfunc` to every element of its broadcast arguments.

    With a signature such as "(m,n),(n)->(m)" to every matrix of the first and every vector of the second.

    >>> vectorize(lambda a, b: sum(a * b), signature="(n),(n)->()")(np.ones((2, 3)), np.ones(3)).tolist()
    [3.0, 3.0]
    """
    if not callable(pyfunc):
        raise TypeError(f"vectorize: expected a function, got {pyfunc!r}")
    kept = set(excluded or ())
    cores = None if signature is None else _core_axes(signature)

    def over_elements(*args: Any) -> Any:
        values = {i: value(a) for i, a in enumerate(args) if i not in kept}
        if cores is not None and len(cores) != len(values):
            raise ValueError(f"vectorize: {signature!r} names {len(cores)} arguments, got {len(values)}")
        shapes = {}  # the part of each argument that is one element to `pyfunc`
        sizes: dict[str, int] = {}
        for (i, v), names in zip(values.items(), cores or [()] * len(values)):
            shapes[i] = v.shape[len(v.shape) - len(names) :]
            if len(names) > len(v.shape) or any(sizes.setdefault(n, d) != d for n, d in zip(names, shapes[i])):
                raise ValueError(f"vectorize: an argument of shape {v.shape} does not fit {signature!r}")
        common = broadcast_shapes(*(v.shape[: len(v.shape) - len(shapes[i])] for i, v in values.items()))
        count = math.prod(common)
        if count == 0:
            raise ValueError(f"vectorize: there is nothing to call the function on, the common shape is {common}")
        flat = {
            i: unstack(reshape(broadcast_to(v, (*common, *shapes[i])), (count, *shapes[i]))) for i, v in values.items()
        }
        results = [pyfunc(*(flat[i][j] if i in flat else a for i, a in enumerate(args))) for j in range(count)]
        return tree.map_structure(lambda *ys: reshape(stack(list(ys)), (*common, *shape(ys[0]))), *results)

    return over_elements


def _core_axes(signature: str) -> list[tuple[str, ...]]:
    """The names of the axes of each argument in "(m,n),(n)->(m)"."""
    group = r"\((?:\w+(?:,\w+)*)?\)"
    text = str(signature).replace(" ", "")
    if re.fullmatch(f"(?:{group}(?:,{group})*)?->{group}(?:,{group})*", text) is None:
        raise ValueError(f"vectorize: expected a signature such as '(m,n),(n)->(m)', got {signature!r}")
    return [tuple(filter(None, g.split(","))) for g in re.findall(r"\(([\w,]*)\)", text.partition("->")[0])]


__all__ = [
    "associative_scan", "cast", "cond", "convert_to_numpy", "convert_to_tensor", "copy", "custom_gradient", "dtype",
    "fori_loop", "is_tensor", "map", "ndim", "saturate_cast", "scan", "scatter", "scatter_update", "shape", "size",
    "slice", "slice_update", "stop_gradient", "switch", "unstack", "vectorize", "vectorized_map", "view", "while_loop",
]  # fmt: skip
