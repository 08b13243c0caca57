"""The call of a model or a loss under a tape as one program and one record on the tape, where nobody could tell the
difference."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core import config, trace, tree
from nacre.core.autodiff import GradientTape, backward
from nacre.core.errors import NotCompilable
from nacre.core.graph import Graph, Node
from nacre.core.op import run
from nacre.core.spec import Spec, is_float
from nacre.core.tensor import Symbol, Tensor, as_array
from nacre.runtime.compiled import PAYS, Plan

MOST_SHAPES = 8  # with more than these a call runs op by op: planning would cost more than it gains


class TapedCall:
    """The recorded calls of `function(x, mode)`, by shapes and `mode`, as a model's `training` or a loss' reduction; of
    None, there are none."""

    def __init__(self, function: Callable[[Any, Any], Any] | None) -> None:
        self._function = function
        self._calls: dict[Any, int | _Call | None] = {}  # how many there were; later the call; None: cannot be

    def __call__(self, x: Any, mode: Any) -> Any:
        """The outputs for `x`; None where the call has to run op by op."""
        if self._function is None or not is_data(x):
            return None
        leaves = [leaf if type(leaf) is Tensor else Tensor(as_array(leaf)) for leaf in tree.flatten(x)]
        key = (mode, config.settings(), *[(t.shape, t.dtype) for t in leaves])
        known = self._calls.get(key, 0)
        if isinstance(known, int):
            if known == 0 and len(self._calls) >= MOST_SHAPES:
                return None
            self._calls[key] = known = known + 1
            if known < PAYS:
                return None
            try:
                self._calls[key] = known = _Call(self._function, x, leaves, mode)
            except Exception:  # what stands in the way, the function says
                self._calls[key] = known = None
        return None if known is None else known(leaves)


def under_one_tape() -> bool:
    """Whether one tape records what is called now, and nobody differentiates its gradients."""
    tapes = trace.tapes()
    return len(tapes) == 1 and not tapes[0].persistent and trace.current_graph() is None and trace.scope() is None


def is_data(x: Any) -> bool:
    """Whether `x` holds nothing but arrays of numbers, and tensors without a mask."""
    kind = type(x)
    if kind is np.ndarray:
        return x.dtype.kind in "biuf"
    if kind is Tensor:
        return x.__dict__.get("_keras_mask") is None
    return kind in (list, tuple, dict) and len(x) > 0 and all(is_data(v) for v in (x.values() if kind is dict else x))


class _Rooms:
    """Memory for the outputs of a program's runs: what was large, and nobody holds any more, is used again, since the
    system takes longer to give pages than kernels to fill them."""

    _LARGE = 1 << 18  # bytes

    def __init__(self) -> None:
        self._arrays: dict[Any, np.ndarray[Any, Any]] = {None: np.empty(0)}
        self._unheld = self._take(None)[1]

    def _take(self, key: Any) -> tuple[Any, int]:
        array = self._arrays.pop(key, None)  # so that no other thread finds it
        return array, sys.getrefcount(array)

    def __call__(self, key: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        array, holders = self._take(key)
        if array is None or holders != self._unheld:
            array = np.empty(shape, dtype)
        if array.nbytes >= self._LARGE:
            self._arrays[key] = array
        return array  # type: ignore[no-any-return]


class _Call:
    """The program of a call, which also gives what its gradients need; on tapes it stands for the whole call.

    Its inputs there are those values and the call's own inputs; its gradients are the nodes of a trace, run anew.
    """

    grad_wants = ()
    replays = True

    def __init__(self, function: Callable[[Any, Any], Any], x: Any, leaves: list[Tensor], mode: Any) -> None:
        graph = Graph()
        inputs = [graph.add_input(Spec(t.shape, t.dtype)) for t in leaves]
        x = tree.map_structure(lambda _: 0, x)  # its structure; the data may go
        tape, y = _recorded(function, x, inputs, mode, graph)
        outputs = [graph.symbol(v) for v in tree.flatten(y)]
        self._pack = tree.packer(y)
        count = len(graph.nodes)
        sources = [s for s in (*inputs, *graph.state.values()) if id(s) in tape._live]
        for variable, symbol in graph.state.items():
            if id(symbol) in tape._live and graph.current[variable] is not symbol:
                raise NotCompilable("a variable that is trained is assigned in the call")
        ends = [(i, s, graph.add_input(s.spec)) for i, s in enumerate(outputs) if is_float(s.dtype)]
        # by the outputs whose gradients are there: all of them, or one; others are sums of these
        groups: dict[tuple[int, ...], Any] = {(end[0],): [end] for end in ends}
        groups[tuple([i for i, _, _ in ends])] = ends
        gradients = {}
        with trace.tracing(graph), trace.no_tapes():
            for group, some in groups.items():
                targets, seeds = [s for _, s, _ in some], [seed for _, _, seed in some]
                found = backward(tape._nodes, targets, seeds, {id(s) for s in sources})
                gradients[group] = {id(s): graph.symbol(found[id(s)]) for s in sources if id(s) in found}
        later = graph.nodes[count:]
        self._gradients = {
            group: {i: (g, _needed(g, later)) for i, g in found.items()} for group, found in gradients.items()
        }
        ways = [way for found in self._gradients.values() for way in found.values()]
        read = {id(s): s for g, nodes in ways for s in (g, *[s for node in nodes for s in node.inputs])}
        where = {id(s): (i, j) for i, node in enumerate(graph.nodes[:count]) for j, s in enumerate(node.outputs)}
        kept = [s for s in read.values() if id(s) in where]
        given = {*read, *[id(s) for s in sources]}

        self._seeds = {i: id(seed) for i, _, seed in ends}
        self._constants = {i: Tensor(s.payload) for i, s in read.items() if s.kind == "constant"}
        self._given = [id(s) in given for s in inputs]
        self._variables = [v for v, s in graph.state.items() if id(s) in given]
        self._inputs = [
            *[id(s) for s in kept],
            *[id(s) for s in inputs if id(s) in given],
            *[id(graph.state[v]) for v in self._variables],
        ]
        self._graph = graph  # whose symbols the ids are
        places = [where[id(s)] for s in kept]

        def forward(values: list[Symbol]) -> Any:
            now = trace.current_graph()
            assert now is not None
            _, y = _recorded(function, x, values, mode, now)
            if len(now.nodes) != count:
                raise NotCompilable("the call does not record the same operations each time")
            return [now.symbol(v) for v in tree.flatten(y)], [now.nodes[i].outputs[j] for i, j in places]

        self._plan = Plan(forward, ((list(range(len(leaves))),), {}), [Spec(t.shape, t.dtype) for t in leaves])
        self._rooms = _Rooms()

    def __call__(self, leaves: list[Tensor]) -> Any:
        state = [v.value for v in self._variables]  # before the program changes any; the tape takes notice
        bound, arrays = self._plan.bind(self._rooms)
        for slot, leaf in zip(self._plan.inputs, leaves):
            bound[slot] = leaf._array
        self._plan.program.run(bound)
        outputs, kept = self._plan.result(arrays)
        given = [t for t, needed in zip(leaves, self._given) if needed]
        for tape in trace.tapes():
            tape.record(self, (*kept, *given, *state), tuple(outputs))
        return self._pack(outputs)

    def grad_inputs(
        self, inputs: tuple[Any, ...], outputs: tuple[Any, ...], d_outputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """The gradients of the inputs, as functions that compute what no other one has computed before; None among
        `d_outputs` stands for an output that has no part."""
        values = {**self._constants, **dict(zip(self._inputs, inputs))}
        present = tuple([i for i in self._seeds if d_outputs[i] is not None])
        values.update((self._seeds[i], d_outputs[i]) for i in present)
        groups = [present] if present in self._gradients else [(i,) for i in present]

        def find(ways: list[tuple[Symbol, list[Node]]]) -> Any:
            total = None
            for gradient, nodes in ways:
                for node in nodes:
                    if id(node.outputs[0]) not in values:
                        found = run(node.op, tuple([values[id(s)] for s in node.inputs]))
                        values.update(zip([id(s) for s in node.outputs], found))
                one = values[id(gradient)]
                total = one if total is None else total + one
            return total

        gradients: list[Any] = []
        for i in self._inputs:
            ways = [self._gradients[group][i] for group in groups if i in self._gradients[group]]
            gradients.append(functools.partial(find, ways) if ways else None)
        return tuple(gradients)


def _recorded(
    function: Callable[[Any, Any], Any], x: Any, inputs: list[Symbol], mode: Any, graph: Graph
) -> tuple[GradientTape, Any]:
    """The outputs of the function for these symbols, and a tape with what made them."""
    tape = GradientTape()
    with trace.tracing(graph), trace.no_tapes(), tape:
        tape.watch([s for s in inputs if is_float(s.dtype)])
        return tape, function(tree.pack_sequence_as(x, inputs), mode)


def _needed(symbol: Symbol, nodes: list[Node]) -> list[Node]:
    """Those of `nodes` that `symbol` needs, in their order."""
    wanted, needed = {id(symbol)}, []
    for node in reversed(nodes):
        if any(id(s) in wanted for s in node.outputs):
            needed.append(node)
            wanted.update(id(s) for s in node.inputs)
    return needed[::-1]
