"""Gradients by walking recorded nodes backwards through each `Op.grad`: the same walk for tape and trace."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core import trace, tree
from nacre.core.spec import is_float
from nacre.core.tensor import Symbol, Tensor, as_array
from nacre.core.variable import Variable

_arithmetic: dict[str, Any] = {}


def install_arithmetic(**functions: Any) -> None:
    """The functions that the walk itself needs (add, ones_like, zeros_like, reshape, stack); called by the `ops`
    package."""
    _arithmetic.update(functions)


def _load_walker(*what: Any) -> dict[int, Any]:
    importlib.import_module("nacre.runtime.walks")  # installs itself; late, as the executor of ops
    return _walk(*what)


_walk: Callable[..., dict[int, Any]] = _load_walker


def install_walker(walk: Callable[..., dict[int, Any]]) -> None:
    """Says how a tape is walked back, by `backward` or in another way; called once by the `runtime` package."""
    global _walk
    _walk = walk


class GradientTape:
    """Records what is computed inside, and differentiates it.

    Variables made as trainable are watched by themselves, also while they are frozen; a plain tensor after `watch(x)`.

    >>> import nacre as keras
    >>> w = keras.Variable(3.0)
    >>> with keras.GradientTape() as tape:
    ...     y = w * w
    >>> float(tape.gradient(y, w))
    6.0
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self.persistent = persistent
        self.watch_accessed_variables = watch_accessed_variables
        self._nodes: list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = []
        self._live: dict[int, Any] = {}  # id -> value that depends on something watched (held, so that ids stay unique)
        self._variables: dict[int, list[Any]] = {}  # id of a Variable -> the values that were read from it
        self._used = False

    def __enter__(self) -> GradientTape:
        trace.state.tapes = (*trace.state.tapes, self)
        return self

    def __exit__(self, *exc: Any) -> None:
        tapes = trace.state.tapes
        if tapes[-1:] == (self,):  # without a call, behind which Ctrl-C would be handled
            trace.state.tapes = tapes[:-1]
        else:
            trace.pop_tape(self)

    def watch(self, tensor: Any) -> None:
        """From now on what is computed from `tensor` (a tensor, Variable, or nested) is recorded."""
        for t in tree.flatten(tensor):
            if isinstance(t, Variable):
                self._watch(t, t.value)
            elif isinstance(t, (Tensor, Symbol)):
                if not is_float(t.dtype):
                    raise ValueError(f"GradientTape.watch: expected a float tensor, got dtype {t.dtype}")
                self._live[id(t)] = t
            else:
                raise TypeError(f"GradientTape.watch: expected a tensor or Variable, got {type(t).__name__}")

    def watch_variable(self, variable: Variable, value: Any) -> None:
        if self.watch_accessed_variables and variable.differentiable and is_float(variable.dtype):
            self._watch(variable, value)

    def _watch(self, variable: Variable, value: Any) -> None:
        if id(value) not in self._live:
            self._live[id(value)] = value
            self._variables.setdefault(id(variable), []).append(value)

    def record(self, op: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        live = self._live
        for x in inputs:
            if id(x) in live:
                break
        else:
            return
        if op.grad_wants is None:
            return
        self._nodes.append((op, inputs, outputs))
        for y in outputs:
            live[id(y)] = y

    def reset(self) -> None:
        """Forgets everything recorded."""
        self._nodes.clear()
        self._live.clear()
        self._variables.clear()

    def stop_recording(self) -> Any:
        """A context in which this and other tapes do not record."""
        return trace.no_tapes()

    def gradient(
        self, target: Any, sources: Any, output_gradients: Any = None, unconnected_gradients: Any = None
    ) -> Any:
        """The gradient of the sum of `target` with respect to each of `sources`, in their structure.

        `output_gradients`, in the structure of `target`, multiply its elements. None stands where a source does not
        reach the target (zeros with `unconnected_gradients="zero"`).

        Raises:
            RuntimeError: the tape was used already and is not persistent.
            ValueError: output gradients of other shapes than the target's.
        """
        if self._used and not self.persistent:
            raise RuntimeError("GradientTape.gradient was called before on this tape; make it with persistent=True")
        self._used = True
        listening = self in trace.tapes()
        if listening and not self.persistent:
            trace.pop_tape(self)
        targets = [t.value if isinstance(t, Variable) else t for t in tree.flatten(target)]
        seeds = _seeds(targets, target, output_gradients)
        flat = tree.flatten(sources)
        keys = [self._source_values(s) for s in flat]
        wanted = {id(v) for values in keys for v in values}
        found = _walk(self._nodes, targets, seeds, wanted)
        grads = []
        for source, values in zip(flat, keys):
            total = None
            for v in values:
                g = found.get(id(v))
                if g is not None:
                    total = g if total is None else _arithmetic["add"](total, g)
            if total is None and unconnected_gradients == "zero":
                total = _arithmetic["zeros_like"](source)
            grads.append(total)
        if not self.persistent:
            self.reset()
            if listening:
                trace.state.tapes = (*trace.state.tapes, self)
        if type(sources) is list and len(flat) == len(sources) and all(a is b for a, b in zip(flat, sources)):
            return grads
        return tree.pack_sequence_as(sources, grads)

    def _source_values(self, source: Any) -> list[Any]:
        if isinstance(source, Variable):
            return self._variables.get(id(source), [])
        return [source]

    def jacobian(
        self,
        target: Any,
        sources: Any,
        unconnected_gradients: Any = None,
        parallel_iterations: Any = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """The derivative of every element of `target` with respect to `sources`: shape target.shape + source.shape
        each.

        One walk backwards per element. None stands where a source does not reach the target (zeros with
        `unconnected_gradients="zero"`). The last two arguments change nothing.

        >>> import nacre as keras
        >>> x = keras.Variable([1.0, 2.0])
        >>> with keras.GradientTape() as tape:
        ...     y = x * x
        >>> tape.jacobian(y, x).tolist()
        [[2.0, 0.0], [0.0, 4.0]]
        """
        if isinstance(target, Variable):
            target = target.value
        flat = tree.flatten(sources)
        units = (_unit(target.shape, i, target.dtype) for i in range(target.size))
        rows = self._walked("jacobian", target, flat, units, unconnected_gradients)
        found: list[Any] = []
        for k, source in enumerate(flat):
            column = [row[k] for row in rows]
            if not column:
                found.append(Tensor(np.zeros((*target.shape, *source.shape), target.dtype)))
            elif column[0] is None:
                found.append(None)
            else:
                found.append(_arithmetic["reshape"](_arithmetic["stack"](column), (*target.shape, *source.shape)))
        return tree.pack_sequence_as(sources, found) if tree.is_nested(sources) else found[0]

    def batch_jacobian(
        self,
        target: Any,
        source: Any,
        unconnected_gradients: Any = None,
        parallel_iterations: Any = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """The derivative of each row of `target` (N, ...) with respect to the same row of `source` (N, ...), where
        rows do not depend on each other: shape (N, *target.shape[1:], *source.shape[1:]).

        One walk backwards per element of a row. Raises ValueError when there are not as many rows.

        >>> import nacre as keras
        >>> x = keras.ops.convert_to_tensor([[1.0], [2.0]])
        >>> with keras.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = keras.ops.concatenate([x, x * x], axis=1)
        >>> tape.batch_jacobian(y, x).tolist()
        [[[1.0], [2.0]], [[1.0], [4.0]]]
        """
        target, kept = (v.value if isinstance(v, Variable) else v for v in (target, source))
        if not target.shape or not kept.shape or target.shape[0] != kept.shape[0]:
            raise ValueError(
                f"GradientTape.batch_jacobian: expected as many rows of target and source, got shapes {target.shape} "
                f"and {kept.shape}"
            )
        one = (1, *target.shape[1:])
        zeros = _arithmetic["zeros_like"](target)
        units = (_arithmetic["add"](zeros, _unit(one, i, target.dtype)) for i in range(math.prod(one)))
        rows = [row[0] for row in self._walked("batch_jacobian", target, [source], units, unconnected_gradients)]
        shape = (*target.shape, *kept.shape[1:])
        if not rows:
            return Tensor(np.zeros(shape, target.dtype))
        return None if rows[0] is None else _arithmetic["reshape"](_arithmetic["stack"](rows, axis=1), shape)

    def _walked(self, name: str, target: Any, sources: list[Any], seeds: Any, unconnected: Any) -> list[list[Any]]:
        """The gradients for each of the seeds. Raises RuntimeError when a tape that is not persistent was used."""
        if self._used and not self.persistent:
            raise RuntimeError(f"GradientTape.{name}: this tape was used already; make it with persistent=True")
        once, self.persistent = not self.persistent, True
        try:
            return [self.gradient(target, sources, seed, unconnected) for seed in seeds]
        finally:
            self.persistent = not once
            if once:
                self.reset()


def _unit(shape: Any, i: int, dtype: Any) -> Tensor:
    """Zeros with a 1 at the place of that number."""
    seed = np.zeros(shape, dtype)
    seed.reshape(-1)[i] = 1
    return Tensor(seed)


def _seeds(targets: list[Any], target: Any, given: Any) -> list[Any]:
    if given is None:
        return [None] * len(targets)
    flat = tree.flatten(given) if tree.is_nested(target) else [given]
    if len(flat) != len(targets):
        raise ValueError(f"gradient: {len(targets)} targets, but {len(flat)} output gradients")
    seeds: list[Any] = []
    for t, seed in zip(targets, flat):
        if isinstance(seed, Variable):
            seed = seed.value
        elif seed is not None and not isinstance(seed, (Tensor, Symbol)):
            seed = Tensor(as_array(seed, t.dtype))
        if seed is not None and seed.shape != t.shape:
            raise ValueError(f"gradient: an output gradient of shape {seed.shape} for a target of shape {t.shape}")
        seeds.append(seed)
    return seeds


def backward(nodes: list[Any], targets: list[Any], seeds: list[Any], wanted: set[int]) -> dict[int, Any]:
    """Gradients of the targets' sum by id of value, for the values in `wanted` and those between."""
    reach = set(wanted)
    for _op, inputs, outputs in nodes:
        if any(id(x) in reach for x in inputs):
            reach.update(id(y) for y in outputs)
    grads: dict[int, Any] = {}
    for target, seed in zip(targets, seeds):
        if id(target) in reach:
            if not is_float(target.dtype):
                raise ValueError(f"gradient: the target must be a float tensor, got dtype {target.dtype}")
            _accumulate(grads, target, _arithmetic["ones_like"](target) if seed is None else seed)
    if not grads:
        return grads
    for op, inputs, outputs in reversed(nodes):
        d_outputs = tuple(grads.get(id(y)) for y in outputs)
        if all(d is None for d in d_outputs) or not any(id(x) in reach for x in inputs):
            continue
        if not op.replays:
            d_outputs = tuple(
                _arithmetic["zeros_like"](y) if d is None and is_float(y.dtype) else d
                for y, d in zip(outputs, d_outputs)
            )
        for x, d in zip(inputs, op.grad_inputs(inputs, outputs, d_outputs)):
            if d is None or id(x) not in reach or not is_float(x.dtype):
                continue
            d = d() if callable(d) and not isinstance(d, (Tensor, Symbol)) else d
            # An operand that was narrower than the result, as float32 beside float64, gets a gradient of its own dtype.
            _accumulate(grads, x, d if d.dtype == x.dtype else _arithmetic["cast"](d, x.dtype))
    return grads


def _accumulate(grads: dict[int, Any], value: Any, gradient: Any) -> None:
    have = grads.get(id(value))
    grads[id(value)] = gradient if have is None else _arithmetic["add"](have, gradient)
