"""Elementwise work that only feeds sums is done inside the sum: gradients of biases and of normalizations, losses.

A sum over all leading axes (or over everything) takes in the elementwise nodes below it whose values nobody needs in
memory; several sums over the same rows become one pass over them.
"""

from __future__ import annotations

from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import Elementwise, SumTo
from nacre.ops.lowering import MOST_INPUTS, MOST_OUTPUTS, Step, domain_of, lower_map_reduce
from nacre.passes.fuse import literal, stays_exact, unrepeated
from nacre.passes.simplify import remove_dead

_MOST_STEPS = 24
_FEWEST = 4096  # elements: below, one more pass costs less than its own call


class MapReduce(Op):
    """Sums over the rows of a (rows, columns) view of elementwise expressions; see `lowering.Step` for `steps`."""

    steps: tuple[Step, ...]
    outs: tuple[int, ...]
    rows: int
    columns: int
    shapes: tuple[tuple[int, ...], ...]
    scales: tuple[float, ...]

    def infer(self, *xs: Spec) -> Any:
        return tuple(Spec(s, "float32") for s in self.shapes)

    def lower(self, k: Any, *operands: Any) -> None:
        n = len(operands) - len(self.outs)
        flat = [_as_rows(x, self.rows, self.columns) for x in operands[:n]]
        lower_map_reduce(k, self.steps, self.outs, self.scales, flat, operands[n:], (self.rows, self.columns))


def _as_rows(x: Any, rows: int, columns: int) -> Any:
    """The operand as it broadcasts against (rows, columns)."""
    if x.size == rows * columns:
        return x.view((rows, columns))
    return x.view((columns,)) if x.size == columns else x.view(())


class _Sum:
    """One SumTo: the nodes it takes in, in order, and what they read."""

    def __init__(self, node: Node, rows: int, columns: int) -> None:
        self.node = node
        self.rows = rows
        self.columns = columns
        self.members: list[Node] = []
        self.leaves: list[Symbol] = []


def absorb_into_sums(graph: Graph) -> None:
    """In place: sums with their elementwise producers as `MapReduce`."""
    order = {id(node): i for i, node in enumerate(graph.nodes)}
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), []).append(node)
    escapes = {id(s) for s in (*graph.outputs, *graph.writes.values())}
    stored = _needed_in_memory(graph, readers, escapes)
    found = [s for s in (_sum_of(node, stored, order) for node in graph.nodes) if s is not None]
    replaced: dict[int, Node] = {}
    gone: set[int] = set()
    while found:
        group = [found.pop(0)]
        for other in list(found):
            if len(group) < MOST_OUTPUTS and _joins(group, other, order):
                group.append(other)
                found.remove(other)
        if len(group) == 1 and not group[0].members:
            continue
        node = _node_of(group, order)
        replaced[id(group[0].node)] = node
        gone.update(id(s.node) for s in group[1:])
        for y in node.outputs:
            y.node = node
    graph.nodes = [replaced.get(id(n), n) for n in graph.nodes if id(n) not in gone]
    remove_dead(graph)


def _needed_in_memory(graph: Graph, readers: dict[int, list[Node]], escapes: set[int]) -> set[int]:
    """Values that something other than elementwise nodes and sums reads."""
    return escapes | {
        id(s)
        for node in graph.nodes
        for s in node.outputs
        if any(not isinstance(r.op, (Elementwise, SumTo)) for r in readers.get(id(s), ()))
    }


def _sum_of(node: Node, stored: set[int], order: dict[int, int]) -> _Sum | None:
    if not isinstance(node.op, SumTo):
        return None
    x, y = node.inputs[0], node.outputs[0]
    if x.dtype != "float32" or x.spec.size < _FEWEST:
        return None
    columns = y.spec.size
    if columns == 1:
        columns = x.shape[-1] if x.shape else 1
    elif x.shape[len(x.shape) - len(_trimmed(y.shape)) :] != _trimmed(y.shape):
        return None
    found = _Sum(node, x.spec.size // columns, columns)
    if found.rows < 2 or not _take_in(found, x, x.shape, stored):
        return None
    found.members.sort(key=lambda n: order[id(n)])
    return found


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _fits_view(s: Symbol, shape: tuple[int, ...], columns: int) -> bool:
    """Whether `s` broadcasts to `shape` as all of it, as a vector along the columns, or as one number."""
    if s.shape == shape or s.spec.size == 1:
        return True
    trimmed = _trimmed(s.shape)
    return s.spec.size == columns and trimmed == shape[len(shape) - len(trimmed) :]


def _take_in(found: _Sum, s: Symbol, shape: tuple[int, ...], stored: set[int]) -> bool:
    s = unrepeated(s)
    node = s.node
    if (
        node is not None and isinstance(node.op, Elementwise) and s.shape == shape and id(s) not in stored
        and domain_of([x.dtype for x in (*node.inputs, s)]) == "elementwise" and stays_exact(s.dtype, "elementwise")
        and len(found.members) < _MOST_STEPS
    ):  # fmt: skip
        if node not in found.members:
            found.members.append(node)
            return all(_take_in(found, x, shape, stored) for x in node.inputs)
        return True
    if not _fits_view(s, shape, found.columns):
        return False
    if all(x is not s for x in found.leaves):
        found.leaves.append(s)
    return sum(1 for x in found.leaves if literal(x) is None) <= MOST_INPUTS


def _joins(group: list[_Sum], other: _Sum, order: dict[int, int]) -> bool:
    first = group[0]
    if (first.rows, first.columns) != (other.rows, other.columns) or first.node.inputs[0].shape != other.node.inputs[
        0
    ].shape:
        return False
    place = order[id(first.node)]
    leaves = {id(s): s for g in (*group, other) for s in g.leaves}
    if any(s.node is not None and order[id(s.node)] >= place for s in other.leaves):
        return False
    shared = {id(s) for g in group for s in g.leaves if s.spec.size > first.columns} & {id(s) for s in other.leaves}
    members = {id(n) for g in (*group, other) for n in g.members}
    return (
        bool(shared)
        and sum(1 for s in leaves.values() if literal(s) is None) <= MOST_INPUTS
        and len(members) <= _MOST_STEPS
    )


def _node_of(group: list[_Sum], order: dict[int, int]) -> Node:
    leaves = list({id(s): s for g in group for s in g.leaves}.values())
    inputs = [s for s in leaves if literal(s) is None] or leaves[:1]
    numbers: dict[int, Any] = {id(s): ("const", literal(s)) for s in leaves}
    numbers.update({id(s): i for i, s in enumerate(inputs)})
    members = sorted({id(n): n for g in group for n in g.members}.values(), key=lambda n: order[id(n)])
    inside = {id(m.outputs[0]) for m in members}
    steps: list[Step] = []
    n = len(inputs)
    for m in members:
        sources = [numbers[id(s if id(s) in inside else unrepeated(s))] for s in m.inputs]
        base = n + len(steps) - len(sources)
        for name, args in m.op.steps(len(sources)):
            steps.append(
                (
                    name,
                    tuple(a if not isinstance(a, int) else sources[a] if a < len(sources) else base + a for a in args),
                )
            )
        numbers[id(m.outputs[0])] = n + len(steps) - 1
    outs = []
    for g in group:
        x = g.node.inputs[0]
        number = numbers[id(x if id(x) in inside else unrepeated(x))]
        if not isinstance(number, int):  # the sum of a constant
            steps.append(("copy", (number,)))
            number = n + len(steps) - 1
        outs.append(number)
    outputs = tuple(g.node.outputs[0] for g in group)
    op = MapReduce(
        tuple(steps), tuple(outs), group[0].rows, group[0].columns, tuple(y.shape for y in outputs),
        tuple(g.node.op.scale for g in group),
    )  # fmt: skip
    return Node(op, tuple(inputs), outputs)
