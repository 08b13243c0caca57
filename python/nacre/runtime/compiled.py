"""A Python function as one program: traced once per shape of its arguments, planned, verified, then only run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core import trace, tree
from nacre.core.errors import NotCompilable
from nacre.core.graph import Graph
from nacre.core.spec import NUMPY, Spec
from nacre.core.tensor import Symbol, Tensor, as_array
from nacre.core.variable import Variable
from nacre.passes.combine import combine
from nacre.passes.epilogue import move_into_epilogues
from nacre.passes.fuse import fuse
from nacre.passes.lower import lower
from nacre.passes.pooled import fuse_pooled_convolutions
from nacre.passes.simplify import remove_dead, simplify
from nacre.passes.sums import absorb_into_sums
from nacre.runtime import eager  # noqa: F401  (installs the eager executor)
from nacre.runtime.writer import build_program

_MOST_PROGRAMS = 64


class Plan:
    """A verified program and how values reach it."""

    def __init__(self, fn: Callable[..., Any], structure: Any, specs: list[Spec]) -> None:
        graph = Graph()
        leaves = [graph.add_input(leaf) if type(leaf) is Spec else leaf.value for leaf in specs]
        args, kwargs = tree.pack_sequence_as(structure, leaves)
        with trace.tracing(graph), trace.no_tapes():
            result = fn(*args, **kwargs)
        flat = tree.flatten(result)
        for value in flat:
            if not isinstance(value, (Symbol, Tensor, Variable, int, float, bool, np.ndarray, np.generic, type(None))):
                raise NotCompilable(f"a compiled function returns tensors, got {type(value).__name__}")
        self.structure = result if tree.is_nested(result) else None
        self.none = [value is None for value in flat]
        graph.outputs = [graph.symbol(_output(graph, value)) for value in flat if value is not None]
        dump(graph, "as traced")
        simplify(graph)
        dump(graph, "simplify")
        fuse_pooled_convolutions(graph)
        combine(graph)
        dump(graph, "combine")
        absorb_into_sums(graph)
        dump(graph, "sums")
        fuse(graph)
        remove_dead(graph)
        move_into_epilogues(graph)
        dump(graph, "fuse")
        low = lower(graph)
        self.program = build_program(low)
        self.origins = [type(i.origin).__name__ if not isinstance(i.origin, str) else i.origin for i in low.instructions]
        self.inputs = low.inputs
        self.outputs = [(i, s.shape, NUMPY[s.dtype]) for i, s in zip(low.outputs, graph.outputs)]
        self.state = low.state
        self.template: list[Any] = [None] * len(low.slots)

    def bind(self) -> tuple[list[Any], list[np.ndarray[Any, Any]]]:
        """The arrays by slot, the inputs still missing, and the new arrays that receive the outputs."""
        arrays = self.template.copy()
        for variable, slot, written in self.state:
            arrays[slot] = variable.own() if written else variable._array
        outputs = []
        for slot, shape, dtype in self.outputs:
            arrays[slot] = out = np.empty(shape, dtype)
            outputs.append(out)
        return arrays, outputs

    def result(self, outputs: list[np.ndarray[Any, Any]]) -> Any:
        it = iter(outputs)
        values: list[Any] = [None if none else Tensor(next(it)) for none in self.none]
        return tree.pack_sequence_as(self.structure, values) if self.structure is not None else values[0]


def _output(graph: Graph, value: Any) -> Any:
    if isinstance(value, Variable):
        return graph.read(value)
    return value if isinstance(value, (Symbol, Tensor)) else Tensor(as_array(value))


class _Static:
    """An argument that is no array: part of the program, so another value needs another one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


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

    def _plan(self, structure: Any, leaves: list[Any]) -> Plan:
        try:
            key = (_structure_key(structure), *leaves)
            plan = self._plans.get(key)
        except TypeError as error:
            raise NotCompilable(f"an argument cannot be part of a compiled program: {error}") from None
        if plan is None:
            if len(self._plans) >= _MOST_PROGRAMS:
                self._plans.pop(next(iter(self._plans)))
            plan = self._plans[key] = Plan(self.fn, structure, leaves)
        return plan

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program for these arguments; the outputs are Tensors in the structure that `fn` returned."""
        structure, arrays, leaves = _arguments(args, kwargs)
        plan = self._plan(structure, leaves)
        bound, outputs = plan.bind()
        for slot, array in zip(plan.inputs, _only_arrays(arrays)):
            bound[slot] = array
        plan.program.run(bound)
        return plan.result(outputs)

    def run_steps(self, data: tuple[Any, ...], order: np.ndarray[Any, Any] | None, batch_size: int, begin: int, count: int) -> Any:
        """Runs `count` batches of `batch_size` rows in one call, from batch number `begin` on; the last one's outputs.

        `data` are the positional arguments as whole arrays, rows first; batch i holds the rows `order[i * batch_size :][:batch_size]`
        (`order` int64, None: as they stand).
        """
        structure, arrays, leaves = _arguments(data, {})
        leaves = [Spec((batch_size, *s.shape[1:]), s.dtype) if type(s) is Spec else s for s in leaves]
        plan = self._plan(structure, leaves)
        bound, outputs = plan.bind()
        feeds = list(zip(plan.inputs, _only_arrays(arrays)))
        plan.program.run_steps(bound, feeds, order, batch_size, begin, count)
        return plan.result(outputs)

    def profile(self, *args: Any, repeats: int = 20, **kwargs: Any) -> list[dict[str, Any]]:
        """Where the time of a call goes: per instruction `op`, `kernel`, `ns` (best of `repeats`), `flops` and `bytes`.

        The function's effects on Variables happen `repeats` times.
        """
        structure, arrays, leaves = _arguments(args, kwargs)
        plan = self._plan(structure, leaves)
        bound, _ = plan.bind()
        for slot, array in zip(plan.inputs, _only_arrays(arrays)):
            bound[slot] = array
        rows = plan.program.profile(bound, repeats)
        return [
            {"op": op, "kernel": kernel, "ns": ns, "flops": flops, "bytes": nbytes}
            for op, (kernel, ns, flops, nbytes) in zip(plan.origins, rows)
        ]


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any], list[Any]]:
    """(structure, leaves as arrays or _Static, leaves as specs or _Static)."""
    structure = (args, kwargs)
    arrays = [as_array(leaf) if _is_array(leaf) else _Static(leaf) for leaf in tree.flatten(structure)]
    return structure, arrays, [Spec(a.shape, a.dtype.name) if type(a) is not _Static else a for a in arrays]


def _only_arrays(leaves: list[Any]) -> list[Any]:
    return [a for a in leaves if type(a) is not _Static]


def _structure_key(structure: Any) -> Any:
    if isinstance(structure, (list, tuple)):
        return (type(structure), *[_structure_key(s) for s in structure])
    if isinstance(structure, dict):
        return (dict, *[(k, _structure_key(v)) for k, v in sorted(structure.items())])
    return None


def dump(graph: Graph, stage: str) -> None:
    """Prints the graph when the environment says NACRE_DUMP=graph."""
    if os.environ.get("NACRE_DUMP") == "graph":
        print(f"--- {stage}: {len(graph.nodes)} nodes\n{graph}\n", flush=True)
