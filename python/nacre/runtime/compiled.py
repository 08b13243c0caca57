"""A Python function as one program: traced once per shape of its arguments, planned, verified, then only run."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nacre.core import config, trace, tree
from nacre.core.errors import NotCompilable, accidental
from nacre.core.graph import Graph
from nacre.core.spec import NUMPY, Spec, dtype_name
from nacre.core.tensor import Symbol, Tensor, as_array
from nacre.core.variable import Variable, aligned_copy, latest_write
from nacre.passes.adjoin import adjoin
from nacre.passes.blocks import join_blocks
from nacre.passes.combine import combine
from nacre.passes.epilogue import move_into_epilogues
from nacre.passes.fold import fold
from nacre.passes.fuse import fuse
from nacre.passes.layout import layout
from nacre.passes.likelihood import shorten_likelihoods
from nacre.passes.lower import lower
from nacre.passes.normalize import normalize
from nacre.passes.pack import pack
from nacre.passes.pooled import fuse_pooled_convolutions
from nacre.passes.remake import remake
from nacre.passes.reshapes import reshape_later
from nacre.passes.simplify import remove_dead, simplify
from nacre.passes.sparse import skip_zeros
from nacre.passes.strips import strips
from nacre.passes.sums import absorb_into_sums
from nacre.passes.surround import absorb_padding, absorb_sums
from nacre.passes.tables import multiply_tables
from nacre.passes.turned import multiply_turned
from nacre.passes.widen import widen
from nacre.runtime.writer import build_program

PAYS = 8  # runs op by op after which planning costs about what they have
_MOST_PROGRAMS = 256  # of a function: one per batch size of a server; 0.4 MB each for ResNet-50
_PLAIN = frozenset({int, float, bool, str, type(None)})
_MOST_INSTRUCTIONS = 500_000  # of all of them, 2 KB each: an LSTM's training over 200 steps has 1,500


def planned(graph: Graph) -> tuple[Any, int, list[Any]]:
    """What a traced graph becomes after all passes, how many of its inputs were given, and the weights it keeps folded.
    Changes the graph."""
    dump(graph, "as traced")
    simplify(graph)
    shorten_likelihoods(graph)
    skip_zeros(graph)
    multiply_tables(graph)
    multiply_turned(graph)
    adjoin(graph)
    widen(graph)
    dump(graph, "simplify")
    given = len(graph.inputs)
    folded = fold(graph)
    reshape_later(graph)
    absorb_padding(graph)
    dump(graph, "fold")
    fuse_pooled_convolutions(graph)
    normalize(graph)
    combine(graph)
    absorb_sums(graph)
    dump(graph, "combine")
    absorb_into_sums(graph)
    dump(graph, "sums")
    fuse(graph)
    remove_dead(graph)
    remake(graph)
    move_into_epilogues(graph)
    pack(graph, folded)
    join_blocks(graph)
    dump(graph, "fuse")
    strips(graph)
    dump(graph, "strips")
    return lower(graph, layout(graph)), given, folded


class Plan:
    """A verified program and how values reach it."""

    def __init__(self, fn: Callable[..., Any], structure: Any, specs: list[Spec | _Static]) -> None:
        graph = Graph()
        leaves = [leaf.value if isinstance(leaf, _Static) else graph.add_input(leaf) for leaf in specs]
        args, kwargs = tree.pack_sequence_as(structure, leaves)
        with trace.tracing(graph), trace.no_tapes():
            result = fn(*args, **kwargs)
        flat = tree.flatten(result)
        for value in flat:
            if not isinstance(value, (Symbol, Tensor, Variable, int, float, bool, np.ndarray, np.generic, type(None))):
                raise NotCompilable(f"a compiled function returns tensors, got {type(value).__name__}")
        self.pack = tree.packer(result)
        self.none = [value is None for value in flat]
        self.alone = result is not None and len(flat) == 1 and flat[0] is result  # as of most models
        graph.outputs = [graph.symbol(_output(graph, value)) for value in flat if value is not None]
        try:
            low, given, folded = planned(graph)
            self.program = build_program(low)
        except Exception as error:
            if not (accidental(error) or isinstance(error, RecursionError)):
                raise
            why = f"nacre could not plan it ({type(error).__name__}: {error})"
            warnings.warn(f"A function runs eagerly: {why}. This is a mistake in nacre: please report it", stacklevel=2)
            raise NotCompilable(why) from error
        self.origins = [
            type(i.origin).__name__ if not isinstance(i.origin, str) else i.origin for i in low.instructions
        ]
        self.inputs = low.inputs[:given]
        self._kept = [(k.shared(), [low.inputs[s.payload] for s in inputs]) for k, inputs in folded]
        self._fresh = -1  # the number of the write to a Variable up to which kept arrays are known to be right
        self.outputs = [(i, s.shape, NUMPY[s.dtype]) for i, s in zip(low.outputs, graph.outputs)]
        self.state = low.state
        self.template: list[Any] = [None] * len(low.slots)
        self.seconds: float | None = None  # that a run of it took, the last time that several were run

    def bind(
        self, room: Callable[..., np.ndarray[Any, Any]] | None = None
    ) -> tuple[list[Any], list[np.ndarray[Any, Any]]]:
        """The arrays by slot, the inputs still missing, and the arrays that receive the outputs: new ones, or what
        `room` gives."""
        if self._kept and self._fresh != (latest := latest_write()):
            for kept, slots in self._kept:
                for slot, array in zip(slots, kept.arrays()):
                    self.template[slot] = array
            self._fresh = latest  # at the end: an interruption leaves what is not right yet
        arrays = self.template.copy()
        for variable, slot, written in self.state:
            arrays[slot] = variable.own() if written else variable._array
        outputs = []
        for i, (slot, shape, dtype) in enumerate(self.outputs):
            arrays[slot] = out = np.empty(shape, dtype) if room is None else room(i, shape, dtype)
            outputs.append(out)
        return arrays, outputs

    def result(self, outputs: list[np.ndarray[Any, Any]]) -> Any:
        if self.alone:
            return Tensor(outputs[0])
        it = iter(outputs)
        return self.pack([None if none else Tensor(next(it)) for none in self.none])


def _output(graph: Graph, value: Any) -> Any:
    if isinstance(value, Variable):
        return graph.read(value)
    return value if isinstance(value, (Symbol, Tensor)) else Tensor(as_array(value))


class _Static:
    """An argument that is no array: part of the program, so another value needs another one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (np.ndarray, Tensor, np.generic)) or hasattr(leaf, "__array__")


class CompiledFunction:
    """`fn` of nested arrays, compiled per shapes and dtypes. It may read and assign Variables.

    Raises TracedBranch when `fn` asks for the value of a tensor, NotCompilable when it returns what is no tensor.

    >>> import nacre as keras
    >>> double = CompiledFunction(lambda x: keras.ops.add(x, x))
    >>> double(np.ones(2, "float32")).numpy().tolist()
    [2.0, 2.0]
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self._plans: dict[Any, Plan] = {}
        self._last: Any = None  # where `again` is asked, of the latest call: what it depended on, and its plan

    def _plan(self, structure: Any, rows: int | None = None) -> tuple[Plan, list[np.ndarray[Any, Any]]]:
        """The plan for arguments of this structure, and the arrays among them. With `rows`, for that many rows of
        each."""
        key, arrays = _key(structure, rows)
        try:
            plan = self._plans.get(key)
        except TypeError as error:
            raise NotCompilable(f"an argument cannot be part of a compiled program: {error}") from None
        if plan is None:
            specs = iter(arrays if rows is None else [a[:1] for a in arrays])
            leaves: list[Spec | _Static] = []
            for leaf in tree.flatten(structure):
                if _is_array(leaf):
                    array = next(specs)
                    shape = array.shape if rows is None else (rows, *array.shape[1:])
                    leaves.append(Spec(shape, dtype_name(array.dtype)))
                else:
                    leaves.append(_Static(leaf))
            plan = self._plans[key] = Plan(self.fn, structure, leaves)
            self._forget_oldest()
        return plan, arrays

    def _forget_oldest(self) -> None:
        plans = list(self._plans.items())  # other threads may add to them
        count, instructions = len(plans), sum(len(plan.origins) for _, plan in plans)
        for key, plan in plans[:-1]:
            if count <= _MOST_PROGRAMS and instructions <= _MOST_INSTRUCTIONS:
                break
            self._plans.pop(key, None)
            count, instructions = count - 1, instructions - len(plan.origins)

    @property
    def count(self) -> int:
        """How many programs there are."""
        return len(self._plans)

    def knows(self, *args: Any) -> bool:
        """Whether there is a program for arguments like these."""
        return _key((args, {}), None)[0] in self._plans

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program for these arguments; the outputs are Tensors in the structure that `fn` returned."""
        return self.run((args, kwargs))

    def run(self, structure: Any, room: Callable[..., np.ndarray[Any, Any]] | None = None) -> Any:
        """The same for (arguments, keyword arguments); `room(i, shape, dtype)` gives the array for output i, where they
        are not to be new ones."""
        plan, given = self._plan(structure)
        bound, outputs = plan.bind(room)
        for slot, array in zip(plan.inputs, given):
            bound[slot] = array
        plan.program.run(bound)
        if self._last is not None and structure[0] and not structure[1] and not any(plan.none):
            form, arrays = _side_by_side(structure[0][0])
            order = sorted(range(len(arrays)), key=form[2:].__getitem__) if form[1] is dict else range(len(arrays))
            if len(given) == len(arrays) and all(a is arrays[i] for a, i in zip(given, order)):
                feeds = [(i, slot, a.shape, a.dtype) for i, slot, a in zip(order, plan.inputs, given)]
                self._last = (form, feeds, structure[0][1:], config.settings(), plan)
        return plan.result(outputs)

    def again(self, x: Any, *flag: bool | None) -> Any:
        """What the function returns, as arrays, for arguments that are like the latest call's, which were arrays side
        by side and at most a flag; None where they are not. A row of a small network takes no longer than what a call
        does around it."""
        if not self._last:
            self._last = ()
            return None
        form, feeds, flags, settings, plan = self._last
        own, arrays = (_ALONE, (x,)) if type(x) is np.ndarray else _side_by_side(x)
        if own != form or len(arrays) != len(feeds) or flag != flags or config.settings() != settings:
            return None
        for i, _, shape, dtype in feeds:
            array = arrays[i]
            if type(array) is not np.ndarray or array.shape != shape or array.dtype is not dtype:
                return None
            if not array.flags.carray:
                return None
        bound, outputs = plan.bind()
        for i, slot, _, _ in feeds:
            bound[slot] = arrays[i]
        plan.program.run(bound)
        return outputs[0] if plan.alone else plan.pack(outputs)

    def run_steps(
        self,
        data: tuple[Any, ...],
        order: np.ndarray[Any, Any] | None,
        batch_size: int,
        begin: int,
        count: int,
        seconds: float = math.inf,
    ) -> tuple[Any, int]:
        """Runs `count` batches of `batch_size` rows in one call, from batch number `begin` on, or as many of them as
        are likely to take `seconds`, but at least one; the last one's outputs, and how many there were.

        `data` are the positional arguments as whole arrays, rows first; batch i holds the rows `order[i * batch_size
        :][:batch_size]` (`order` int64, None: as they stand).
        """
        plan, given = self._plan((data, {}), batch_size)
        bound, outputs = plan.bind()
        feeds = list(zip(plan.inputs, given))
        if seconds < math.inf:
            count = min(count, max(1, int(seconds / plan.seconds))) if plan.seconds else 1
        started = time.perf_counter()
        plan.program.run_steps(bound, feeds, order, batch_size, begin, count)
        plan.seconds = max((time.perf_counter() - started) / count, 1e-7)
        return plan.result(outputs), count

    def profile(self, *args: Any, repeats: int = 20, **kwargs: Any) -> list[dict[str, Any]]:
        """Where the time of a call goes: per instruction `op`, `kernel`, `ns` (best of `repeats`), `flops` and `bytes`.

        The function works on copies of the Variables that it assigns.
        """
        plan, given = self._plan((args, kwargs))
        bound, _ = plan.bind()
        for variable, slot, written in plan.state:
            if written:
                bound[slot] = aligned_copy(variable._array)
        for slot, array in zip(plan.inputs, given):
            bound[slot] = array
        rows = plan.program.profile(bound, repeats)
        return [
            {"op": op, "kernel": kernel, "ns": ns, "flops": flops, "bytes": nbytes}
            for op, (kernel, ns, flops, nbytes) in zip(plan.origins, rows)
        ]

    def memory(self, *args: Any, **kwargs: Any) -> int:
        """How many bytes a call with these arguments needs beside its inputs, its outputs and Variables."""
        plan, _ = self._plan((args, kwargs))
        return int(plan.program.arena_bytes)

    def saved(self, *args: Any, **kwargs: Any) -> bytes:
        """A file with the program for these arguments and its buffers' contents, which `nacre_bench_model` runs."""
        plan, given = self._plan((args, kwargs))
        bound, _ = plan.bind()
        for slot, array in zip(plan.inputs, given):
            bound[slot] = array
        return bytes(plan.program.saved(bound))


def _key(structure: Any, rows: int | None) -> tuple[tuple[Any, ...], list[np.ndarray[Any, Any]]]:
    """What the program for these (arguments, keyword arguments) depends on, and the arrays among them."""
    args, kwargs = structure
    if rows is None and 0 < len(args) < 3 and not kwargs and type(args[0]) is np.ndarray:  # quickly, for single rows
        flag = args[1:]
        if not flag or flag[0] is None or type(flag[0]) is bool:
            array = as_array(args[0])
            return (config.settings(), array.shape, array.dtype.char, *flag), [array]
    key: list[Any] = [config.settings(), rows]
    arrays: list[np.ndarray[Any, Any]] = []
    _walk(structure, key, arrays, 0 if rows is None else 1)
    return tuple(key), arrays


_ALONE = (0, None)  # how one array is built of arrays


def _side_by_side(x: Any) -> tuple[tuple[Any, ...], Sequence[Any]]:
    """How an argument is built of one array, or of a list, a tuple or a dict of arrays, and these."""
    depth = 0
    while type(x) is tuple and len(x) == 1:  # as a step is given several inputs
        x, depth = x[0], depth + 1
    kind = type(x)
    if kind is dict:
        return (depth, dict, *x), tuple(x.values())
    return ((depth, kind), x) if kind is list or kind is tuple else ((depth, None), (x,))


def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """What the program for these arguments depends on."""
    return _key((args, kwargs), None)[0]


def _walk(x: Any, key: list[Any], arrays: list[np.ndarray[Any, Any]], first: int = 0) -> None:
    """Adds to `key` what a program depends on (nesting, shapes from axis `first` on, dtypes, arguments that are no
    arrays), and the arrays to `arrays`."""
    kind = type(x)
    if kind is Tensor or kind is np.ndarray or (kind is not tuple and kind is not dict and _is_array(x)):
        array = x._array if kind is Tensor else as_array(x)
        arrays.append(array)
        key += (array.shape[first:], array.dtype.char)
    elif isinstance(x, (list, tuple)):
        key += (kind, len(x))
        for item in x:
            _walk(item, key, arrays, first)
    elif isinstance(x, dict):
        key += (dict, len(x))
        for name in sorted(x) if len(x) > 1 else x:
            key.append(name)
            _walk(x[name], key, arrays, first)
    else:
        key += (kind, repr(x) if kind is float and not abs(x) > 0 else x)  # zeros have a sign; no NaN equals another


def plain(x: Any) -> Any:
    """A setting of an object whose program is made for it, as something to look up by; None for what is none."""
    if type(x) in _PLAIN:
        return x
    if isinstance(x, (list, tuple)):
        return tuple([plain(v) for v in x])
    return (x.dtype.char, x.shape, x.tobytes()) if isinstance(x, (np.ndarray, np.generic)) else None


def dump(graph: Graph, stage: str) -> None:
    """Prints the graph when the environment says NACRE_DUMP=graph."""
    if os.environ.get("NACRE_DUMP") == "graph":
        print(f"--- {stage}: {len(graph.nodes)} nodes\n{graph}\n", flush=True)
