"""Elementwise work that only feeds sums is done inside the sum: gradients of biases and of normalizations, losses.

A sum over all leading axes, over axes in the middle or over everything takes in the elementwise nodes below it whose
values nobody needs in memory; several sums over the same rows become one pass over them.
"""

from __future__ import annotations

import math
from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import Elementwise, SumTo
from nacre.ops.lowering import MOST_INPUTS, MOST_OUTPUTS, Step, const, domain_of, lower_map_reduce
from nacre.passes.fuse import literal, stays_exact, unrepeated
from nacre.passes.remake import array_cost, step_cost
from nacre.passes.simplify import remove_dead

_MOST_STEPS = 24
_FEWEST = 4096  # elements: below, one more pass costs less than its own call
_FEWEST_EACH = 1024  # elements of each sum where axes in front of the rows are kept


class MapReduce(Op):
    """Sums of elementwise expressions over the axes [begin, end) of `shape`, or over all of them; for `steps` see
    `lowering.Step`."""

    steps: tuple[Step, ...]
    outs: tuple[int, ...]
    shape: tuple[int, ...]
    begin: int
    end: int
    shapes: tuple[tuple[int, ...], ...]
    scales: tuple[float, ...]

    def infer(self, *xs: Spec) -> Any:
        return tuple(Spec(s, "float32") for s in self.shapes)

    def by_columns(self, *xs: Spec) -> tuple[bool, ...]:
        columns = math.prod(self.shape[self.end :])
        return tuple(x.shape[-1:] == (columns,) for x in xs)

    def lower(self, k: Any, *operands: Any) -> None:
        n = len(operands) - len(self.outs)
        parts = _parts(self.shape, self.begin, self.end)
        front, rows, behind = (math.prod(p) for p in parts)
        whole = (front, rows, behind)
        flat = []
        for x in operands[:n]:
            kept = _kept(x.shape, parts) or (False, False, False)  # one number, whatever its rank
            flat.append(x.view(tuple(d if keeps else 1 for d, keeps in zip(whole, kept))))
        lower_map_reduce(k, self.steps, self.outs, self.scales, flat, operands[n:], whole)


def _parts(shape: tuple[int, ...], begin: int, end: int) -> tuple[tuple[int, ...], ...]:
    """The axes in front of those that are summed, these, and those behind."""
    return shape[:begin], shape[begin:end], shape[end:]


def _kept(shape: tuple[int, ...], parts: tuple[tuple[int, ...], ...]) -> tuple[bool, ...] | None:
    """Which of the parts an array of `shape` has, as it broadcasts; None where it has a part of one, or rows without
    the rest."""
    rest = (1,) * (sum(map(len, parts)) - len(shape)) + shape
    kept = []
    for part in parts:
        mine, rest = rest[: len(part)], rest[len(part) :]
        if mine != part and math.prod(mine) != 1:
            return None
        kept.append(mine == part)
    return tuple(kept) if not kept[1] or all(kept) or math.prod(parts[1]) == 1 else None


class _Sum:
    """One SumTo: the axes [begin, end) that it sums over, the nodes it takes in, in order, and what they read."""

    def __init__(self, node: Node, begin: int, end: int) -> None:
        self.node = node
        self.shape = node.inputs[0].shape
        self.begin = begin
        self.end = end
        self.parts = _parts(self.shape, begin, end)
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
    later = _Later(readers, stored)
    found = [s for s in (_sum_of(node, later, order) for node in graph.nodes) if s is not None]
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
        order[id(node)] = order[id(group[0].node)]  # what is summed later may read its sums
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


class _Later:
    """Which values stay in memory for nodes that wait for a sum of them, as lengths of vectors by which these are
    divided, and are not made a second time inside the sum: that would cost more than to read them."""

    def __init__(self, readers: dict[int, list[Node]], stored: set[int]) -> None:
        self.readers = readers
        self.stored = stored
        self._costs: dict[int, int] = {}

    def keeps(self, s: Symbol, total: Node) -> bool:
        """Whether `s` stays in memory, if the sum `total` is made of it."""
        return id(s) in self.stored or (self._cost(s) > array_cost(s.spec.size) and self._waits(s, total))

    def _cost(self, s: Symbol) -> int:
        if id(s) in self.stored or s.node is None or not isinstance(s.node.op, Elementwise):
            return 0
        if id(s) not in self._costs:
            self._costs[id(s)] = 0  # nothing is made of itself
            steps = sum(step_cost(name) for name, _ in s.node.op.steps(len(s.node.inputs)))
            self._costs[id(s)] = steps + sum(self._cost(x) for x in s.node.inputs)
        return self._costs[id(s)]

    def _waits(self, s: Symbol, total: Node) -> bool:
        direct = [n for n in self.readers.get(id(s), ()) if isinstance(n.op, Elementwise)]
        if len(direct) < 2:
            return False
        behind, todo = {id(total)}, [total]
        while todo:
            for node in (n for y in todo.pop().outputs for n in self.readers.get(id(y), ())):
                if id(node) not in behind:
                    behind.add(id(node))
                    todo.append(node)
        return any(id(n) in behind for n in direct)


def _sum_of(node: Node, later: _Later, order: dict[int, int]) -> _Sum | None:
    if not isinstance(node.op, SumTo):
        return None
    x, y = node.inputs[0], node.outputs[0]
    if x.dtype != "float32" or x.spec.size < _FEWEST:
        return None
    axes = _summed(x.shape, y.shape)
    if axes is None:
        return None
    found = _Sum(node, *axes)
    if not _take_in(found, x, later):
        return None
    found.members.sort(key=lambda n: order[id(n)])
    return found


def _summed(shape: tuple[int, ...], to: tuple[int, ...]) -> tuple[int, int] | None:
    """The run of axes that a sum from `shape` to `to` is over, where the kernel sums like that."""
    if math.prod(to) == 1:
        axes = 0, len(shape) - 1
    else:
        padded = (1,) * (len(shape) - len(to)) + to
        gone = [i for i, (d, n) in enumerate(zip(padded, shape)) if d != n]
        if not gone:
            return None
        axes = gone[0], gone[-1] + 1
        if any(padded[i] != 1 for i in range(*axes)):
            return None
    outer, rows, columns = (math.prod(p) for p in _parts(shape, *axes))
    if outer > 1 and (columns < 8 or rows * columns < _FEWEST_EACH):
        return None
    return axes if rows > 1 and (columns > 1 or math.prod(to) == 1) else None


def _take_in(found: _Sum, s: Symbol, later: _Later) -> bool:
    s = unrepeated(s)
    node = s.node
    if (
        node is not None and isinstance(node.op, Elementwise) and s.shape == found.shape
        and domain_of([x.dtype for x in (*node.inputs, s)]) == "elementwise" and stays_exact(s.dtype, "elementwise")
        and len(found.members) < _MOST_STEPS and not later.keeps(s, found.node)
    ):  # fmt: skip
        if node not in found.members:
            found.members.append(node)
            return all(_take_in(found, x, later) for x in node.inputs)
        return True
    if s.spec.size != 1 and _kept(s.shape, found.parts) is None:
        return False
    if all(x is not s for x in found.leaves):
        found.leaves.append(s)
    return sum(1 for x in found.leaves if literal(x) is None) <= MOST_INPUTS


def _joins(group: list[_Sum], other: _Sum, order: dict[int, int]) -> bool:
    first = group[0]
    if (first.shape, first.begin, first.end) != (other.shape, other.begin, other.end):
        return False
    place = order[id(first.node)]
    leaves = {id(s): s for g in (*group, other) for s in g.leaves}
    if any(s.node is not None and order[id(s.node)] >= place for s in other.leaves):
        return False
    shared = {id(s) for g in group for s in g.leaves if s.shape == first.shape} & {id(s) for s in other.leaves}
    members = {id(n) for g in (*group, other) for n in g.members}
    return (
        bool(shared)
        and sum(1 for s in leaves.values() if literal(s) is None) <= MOST_INPUTS
        and len(members) <= _MOST_STEPS
    )


def _node_of(group: list[_Sum], order: dict[int, int]) -> Node:
    leaves = list({id(s): s for g in group for s in g.leaves}.values())
    inputs = [s for s in leaves if literal(s) is None] or leaves[:1]
    numbers: dict[int, Any] = {id(s): const(literal(s)) for s in leaves}
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
        tuple(steps), tuple(outs), group[0].shape, group[0].begin, group[0].end, tuple(y.shape for y in outputs),
        tuple(g.node.op.scale for g in group),
    )  # fmt: skip
    return Node(op, tuple(inputs), outputs)
