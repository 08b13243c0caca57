"""What a later elementwise node reads is computed there again where memory would cost more.

Gradients of activations read values that are often a few steps away from one that is kept anyway: of
0.5 * x * (1 + erf(x / sqrt 2)) only x and 1 + erf are worth keeping, of (x - mean) * scale + offset only x. The rest
costs more to write and to read than to compute, and fills memory in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain, combinations
from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import BroadcastTo, Elementwise
from nacre.ops.lowering import MOST_CONSTS, MOST_INPUTS, Step, domain_of
from nacre.passes.fuse import MOST_FUSED, STEP_COST, Fused

_DOMAIN = "elementwise"  # float32
_FEWEST = 1 << 16  # elements; the caches hand fewer on quickly enough
_FAR = 1 << 20  # that come from memory in the end
_NEAR_STEPS, _FAR_STEPS = (1, 2), (4, 8)  # which one array is worth: to read it, and to write it


class _Program:
    """A node as steps on its inputs. A value is a number: of an input, or behind these of a step."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.shape = node.outputs[0].shape
        self.inputs, self.outputs = list(node.inputs), list(node.outputs)
        op: Any = node.op
        self.steps: list[Step] = list(op.steps if isinstance(op, Fused) else op.steps(len(self.inputs)))
        self.outs: list[int] = list(op.outs) if isinstance(op, Fused) else [len(self.inputs) + len(self.steps) - 1]
        self.changed = False

    def made_of(self, values: Iterable[int], known: Iterable[int] = ()) -> list[int]:
        """The values, inputs among them, that `values` are made of beside `known` ones, in order."""
        n, known = len(self.inputs), set(known)
        todo, found = list(values), set[int]()
        while todo:
            v = todo.pop()
            if v in found or v in known:
                continue
            found.add(v)
            if v >= n:
                todo += [a for a in self.steps[v - n][1] if isinstance(a, int)]
        return sorted(found)

    def become(self, inputs: list[Symbol], steps: list[Step], outs: list[tuple[int, Symbol]]) -> None:
        self.inputs, self.steps, self.changed = inputs, steps, True
        self.outs, self.outputs = [v for v, _ in outs], [s for _, s in outs]

    def without(self, gone: Iterable[Symbol]) -> None:
        """Leaves out these outputs, and what only they were made of."""
        n, left = len(self.inputs), set(map(id, gone))
        outs = [(v, s) for v, s in zip(self.outs, self.outputs) if id(s) not in left]
        used = self.made_of(v for v, _ in outs)
        number = {v: i for i, v in enumerate(used)}
        self.become(
            [self.inputs[v] for v in used if v < n],
            [_renumbered(self.steps[v - n], number) for v in used if v >= n],
            [(number[v], s) for v, s in outs],
        )

    def take_over(self, maker: _Program, values: tuple[int, ...], known: list[int]) -> None:
        """Computes `values` of `maker` itself, from what that reads and what it reads of it: `known`."""
        n, m = len(self.inputs), len(maker.inputs)
        symbol = dict(zip(maker.outs, maker.outputs))
        remade = {id(symbol[v]): v for v in values}
        used = maker.made_of(values, known)
        kept = [s for s in self.inputs if id(s) not in remade]
        inputs = list({id(s): s for s in (*kept, *(maker.inputs[v] for v in used if v < m))}.values())
        place = {id(s): i for i, s in enumerate(inputs)}
        theirs = {v: place[id(maker.inputs[v])] for v in used if v < m} | {v: place[id(symbol[v])] for v in known}
        steps = [maker.steps[v - m] for v in used if v >= m]
        theirs.update({v: len(inputs) + i for i, v in enumerate(v for v in used if v >= m)})
        mine = {i: theirs[remade[id(s)]] if id(s) in remade else place[id(s)] for i, s in enumerate(self.inputs)}
        mine.update({n + i: len(inputs) + len(steps) + i for i in range(len(self.steps))})
        self.become(
            inputs,
            [_renumbered(s, theirs) for s in steps] + [_renumbered(s, mine) for s in self.steps],
            [(mine[v], s) for v, s in zip(self.outs, self.outputs)],
        )


def step_cost(name: str) -> int:
    """What a step costs; what is not made twice costs more than any array."""
    return STEP_COST.get(name, 1 + sum(_FAR_STEPS))


def array_cost(size: int) -> int:
    """Steps that writing an array of `size` elements, and reading it once, are worth."""
    return sum(_FAR_STEPS if size >= _FAR else _NEAR_STEPS)


def remake(graph: Graph) -> None:
    """In place, after `fuse`."""
    readers: dict[int, set[int]] = {}
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), set()).add(id(node))
    needed = {id(s) for s in (*graph.outputs, *graph.writes.values())}
    programs: dict[int, _Program] = {}
    for node in graph.nodes:
        if not _is_large_program(node):
            continue
        reader = programs[id(node)] = _Program(node)
        for maker in {id(s.node): programs[id(s.node)] for s in node.inputs if id(s.node) in programs}.values():
            alone = [s for s in maker.outputs if readers.get(id(s)) == {id(node)} and id(s) not in needed]
            values, known = _worth_remaking(maker, reader, set(map(id, alone)))
            if not values:
                continue
            gone = [s for v, s in zip(maker.outs, maker.outputs) if v in values and any(s is a for a in alone)]
            for s in maker.inputs:
                readers[id(s)].discard(id(maker.node))
            reader.take_over(maker, values, known)
            maker.without(gone)
            for program in (maker, reader):
                for s in program.inputs:
                    readers[id(s)].add(id(program.node))
    for p in programs.values():
        if p.changed:
            p.node.op = Fused(tuple(p.steps), tuple(p.outs), p.shape, tuple(s.dtype for s in p.outputs), _DOMAIN)
            p.node.inputs, p.node.outputs = tuple(p.inputs), tuple(p.outputs)
    graph.nodes = [node for node in graph.nodes if node.outputs]


def _is_large_program(node: Node) -> bool:
    op: Any = node.op
    if isinstance(op, Fused):
        domain = op.domain
    elif isinstance(op, Elementwise) and not isinstance(op, BroadcastTo):
        domain = domain_of([s.dtype for s in node.inputs])
    else:
        return False
    return (
        domain == _DOMAIN and node.outputs[0].spec.size >= _FEWEST and all(s.dtype == "float32" for s in node.outputs)
    )


def _worth_remaking(maker: _Program, reader: _Program, alone: set[int]) -> tuple[tuple[int, ...], list[int]]:
    """Values of `maker` that `reader` had better make itself, and those that it reads on. No more arrays are kept for
    that than before; those in `alone` nobody else reads."""
    here = set(map(id, reader.inputs))
    read = [v for v, s in zip(maker.outs, maker.outputs) if id(s) in here]
    none: tuple[tuple[int, ...], list[int]] = ((), [])
    if maker.shape != reader.shape:
        return none
    symbol = dict(zip(maker.outs, maker.outputs))
    n = len(maker.inputs)
    best, best_gain = none, 0
    for values in chain.from_iterable(combinations(read, k) for k in range(1, len(read) + 1)):
        known = [v for v in read if v not in values]
        used = maker.made_of(values, known)
        steps = [maker.steps[v - n] for v in used if v >= n]
        new = [maker.inputs[v] for v in used if v < n and id(maker.inputs[v]) not in here]
        large = sum(s.shape == reader.shape for s in new)
        saved = sum(id(symbol[v]) in alone for v in values)
        if large > saved or any(name not in STEP_COST for name, _ in steps):
            continue
        reading, writing = _FAR_STEPS if math.prod(reader.shape) >= _FAR else _NEAR_STEPS
        gain = reading * (len(values) - large) + writing * saved - sum(STEP_COST[name] for name, _ in steps)
        if gain > best_gain and _fits(reader, len(new) - len(values), steps):
            best, best_gain = (values, known), gain
    return best


def _fits(reader: _Program, more_inputs: int, steps: list[Step]) -> bool:
    every = [*reader.steps, *steps]
    consts = {a for _, args in every for a in args if not isinstance(a, int)}
    return len(reader.inputs) + more_inputs <= MOST_INPUTS and len(every) <= MOST_FUSED and len(consts) <= MOST_CONSTS


def _renumbered(step: Step, number: dict[int, int]) -> Step:
    name, args = step
    return name, tuple(number[a] if isinstance(a, int) else a for a in args)
