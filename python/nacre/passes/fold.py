"""Multiplications and additions per channel behind a product go into its weights and bias, so that batch normalization
with moving averages costs nothing:

    (conv(x, w) + b - mean) * factor + beta      becomes      conv(x, w * factor) + ((b - mean) * factor + beta)

The new weights depend on Variables alone. They are no part of the program, which reads them as further inputs: `Kept`
computes them again when one of those Variables was written since. Variables that the program itself writes are left as
they are.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from nacre.core import trace
from nacre.core.graph import Graph, Node
from nacre.core.op import Op, run
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol, Tensor
from nacre.core.variable import Variable, aligned_copy, latest_write
from nacre.ops.convolution import Conv2D
from nacre.ops.elementwise import Add, BroadcastTo, Mul, Neg, Sub
from nacre.ops.movement import Reshape
from nacre.ops.products import MatMul
from nacre.passes.fuse import unrepeated
from nacre.passes.simplify import remove_dead

_all_kept: WeakValueDictionary[Any, Kept] = WeakValueDictionary()  # those that some program reads, by their key


class Kept:
    """Arrays that depend on Variables and constants alone: a list of ops that runs when one of the Variables was
    written.

    Programs that need the same arrays share them.
    """

    def __init__(self) -> None:
        self._leaves: list[tuple[int, Variable | np.ndarray[Any, Any]]] = []
        self._steps: list[tuple[tuple[int, ...], Op, tuple[int, ...]]] = []  # numbers of results, op, what it reads
        self.specs: list[Spec] = []  # by number
        self._numbers: dict[int, int] = {}  # by id of a Symbol
        self._results: list[int] = []
        self._arrays: list[np.ndarray[Any, Any]] = []
        self._computed = -1

    def number(self, s: Symbol) -> int:
        """The number under which the value of a Symbol is known here."""
        known = self._numbers.get(id(s))
        if known is None:
            if s.node is not None:
                outputs, made = s.node.outputs, self._apply(s.node.op, *[self.number(x) for x in s.node.inputs])
            else:
                outputs, made = (s,), self._add(s.spec)
                self._leaves.append((made[0], s.payload))
            self._numbers.update(zip(map(id, outputs), made))
            known = self._numbers[id(s)]
        return known

    def apply(self, op: Op, *sources: int) -> int:
        """The number of what `op` gives for these values."""
        return self._apply(op, *sources)[0]

    def _apply(self, op: Op, *sources: int) -> tuple[int, ...]:
        specs = op.infer(*[self.specs[i] for i in sources])
        made = self._add(*((specs,) if type(specs) is Spec else specs))
        self._steps.append((made, op, sources))
        return made

    def _add(self, *specs: Spec) -> tuple[int, ...]:
        self.specs += specs
        return tuple(range(len(self.specs) - len(specs), len(self.specs)))

    def keep(self, number: int) -> Spec:
        """Makes a value one of `arrays`."""
        self._results.append(number)
        return self.specs[number]

    def change(self, position: int, op: Op) -> Spec:
        """Makes one of `arrays` what `op` gives for it."""
        self._results[position] = self.apply(op, self._results[position])
        return self.specs[self._results[position]]

    def shared(self) -> Kept:
        """The Kept of another program that computes the same, if there is one; this one otherwise."""
        leaves = [
            (i, id(v) if isinstance(v, Variable) else (v.shape, v.dtype.char, v.tobytes())) for i, v in self._leaves
        ]
        return _all_kept.setdefault((tuple(leaves), tuple(self._steps), tuple(self._results)), self)

    def arrays(self) -> list[np.ndarray[Any, Any]]:
        """The values now, in the order in which `keep` was called."""
        if self._computed < 0 or any(isinstance(v, Variable) and v.written > self._computed for _, v in self._leaves):
            now = latest_write()
            values = {i: Tensor(v._array if isinstance(v, Variable) else v) for i, v in self._leaves}
            with trace.tracing(None), trace.no_tapes():
                for made, op, sources in self._steps:
                    values.update(zip(made, run(op, tuple(values[j] for j in sources))))
            self._arrays = [aligned_copy(values[i]._array) for i in self._results]
            self._computed = now  # at the end: an interruption leaves what is not right yet
        return self._arrays


class _Chain:
    """A product and the additions and multiplications per channel that follow it: together product * `scale` +
    `shift`."""

    def __init__(self, product: Node) -> None:
        self.kept = Kept()
        self.channels = product.outputs[0].shape[-1]
        self.scale: int | None = None
        self.shift: int | None = None
        self.affine: list[Node] = []
        self.reshapes: list[Node] = []  # between them

    def per_channel(self, node: Node, y: Symbol, fixed: set[int]) -> Symbol | None:
        """What an Add, Sub or Mul does to `y`, if it is known and one number, or one for each channel."""
        if type(node.op) not in (Add, Sub, Mul) or (isinstance(node.op, Sub) and node.inputs[0] is not y):
            return None
        other = unrepeated(node.inputs[1] if node.inputs[0] is y else node.inputs[0])
        fits = other.spec.size == 1 or other.shape[len(other.shape) - 1 :] == (self.channels,) == (other.spec.size,)
        return other if fits and id(other) in fixed and node.outputs[0].spec == y.spec else None

    def take(self, node: Node, other: Symbol) -> None:
        """Adds a step to the chain."""
        apply, v = self.kept.apply, self.kept.number(other)
        if other.shape != (self.channels,):
            v = apply(Reshape(() if other.spec.size == 1 else (self.channels,)), v)
        if isinstance(node.op, Mul):
            self.scale = v if self.scale is None else apply(Mul(), self.scale, v)
            self.shift = None if self.shift is None else apply(Mul(), self.shift, v)
        elif self.shift is None:
            self.shift = apply(Neg(), v) if isinstance(node.op, Sub) else v
        else:
            self.shift = apply(node.op, self.shift, v)
        self.affine.append(node)


def fold(graph: Graph) -> list[tuple[Kept, list[Symbol]]]:
    """In place. Each Kept, and the new inputs of the graph that its arrays are for."""
    writes = graph.writes
    fixed = {id(s) for v, s in graph.state.items() if v not in writes}
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for s in node.inputs:
            readers.setdefault(id(s), []).append(node)
            if s.kind == "constant":
                fixed.add(id(s))
        if all(id(s) in fixed for s in node.inputs):
            fixed.update(id(s) for s in node.outputs)
    escapes = {id(s) for s in (*graph.outputs, *writes.values())}
    found: list[tuple[Kept, list[Symbol]]] = []
    gone: set[int] = set()
    biases: dict[int, Node] = {}  # by the node that it replaces
    for node in graph.nodes:
        if not _has_weights(node) or id(node.inputs[1]) not in fixed or id(node.outputs[0]) in fixed:
            continue
        chain = _follow(node, readers, escapes, fixed)
        if chain.scale is None:
            continue
        found.append((chain.kept, _rewire(graph, node, chain, chain.scale, biases)))
        gone.update(id(n) for n in chain.affine)
    graph.nodes = [biases.get(id(n), n) for n in graph.nodes if id(n) in biases or id(n) not in gone]
    if found:
        remove_dead(graph)
    return found


def _has_weights(node: Node) -> bool:
    """Whether the last axis of the second operand is that of the result."""
    op: Any = node.op
    return isinstance(op, Conv2D) or (isinstance(op, MatMul) and not op.tb)


def _follow(product: Node, readers: dict[int, list[Node]], escapes: set[int], fixed: set[int]) -> _Chain:
    chain = _Chain(product)
    reshapes: list[Node] = []
    y = product.outputs[0]
    while id(y) not in escapes and len(readers.get(id(y), ())) == 1:
        node = readers[id(y)][0]
        if isinstance(node.op, Reshape) and node.outputs[0].shape[-1:] == (chain.channels,):
            reshapes.append(node)
        else:
            other = chain.per_channel(node, y, fixed)
            if other is None:
                break
            chain.take(node, other)
            chain.reshapes = list(reshapes)
        y = node.outputs[0]
    return chain


def _rewire(graph: Graph, product: Node, chain: _Chain, scale: int, biases: dict[int, Node]) -> list[Symbol]:
    """Puts new weights into the product and one bias, if any, in place of the chain; the inputs that they come by."""
    kept, x, old = chain.kept, *product.inputs
    inputs = [graph.add_input(kept.keep(kept.apply(Mul(), kept.number(old), scale)))]
    product.inputs = (x, inputs[0])
    last = chain.affine[-1]
    maker = product
    for reshape in chain.reshapes:
        reshape.inputs, maker = maker.outputs, reshape
    if chain.shift is None:
        maker.outputs = last.outputs
        last.outputs[0].node = maker
    else:
        shift = chain.shift
        if kept.specs[shift].shape != (chain.channels,):
            shift = kept.apply(BroadcastTo((chain.channels,)), shift)
        inputs.append(graph.add_input(kept.keep(shift)))
        biases[id(last)] = last.outputs[0].node = Node(Add(), (maker.outputs[0], inputs[1]), last.outputs)
    return inputs
