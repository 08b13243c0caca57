"""A function traced at two sizes of each unknown axis, as one graph in which a size that differs is an `Open` one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nacre.core import naming, trace, tree
from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol, Tensor
from nacre.passes.fold import fold
from nacre.passes.simplify import simplify

# Pairs of sizes of the unknown axes, the batch first: an odd prime and twice a prime, so that what comes of one is told
# from what comes of another, and of odd sizes only. Where those do not fit, sizes that can be halved often, and small
# ones, as positions in a table of few.
_PROBES = (
    ((13, 22), (101, 214), (103, 218), (107, 226), (113, 254), (127, 262), (131, 274), (137, 278)),
    ((13, 22), *((64 * i, 64 * (i + 9)) for i in range(2, 9))),
    ((13, 22), (3, 4), (5, 8), (7, 10), (11, 14), (17, 12), (19, 16), (23, 20)),
)
_MOST_TRIES = 48


class Open:
    """What is one thing in the first trace and another in the second."""

    __slots__ = ("pair",)

    def __init__(self, first: Any, second: Any) -> None:
        self.pair = (first, second)

    def __repr__(self) -> str:
        return "?"


def merged(a: Any, b: Any) -> Any:
    """`a` where both are equal, else an `Open` one; tuples item by item."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(map(merged, a, b))
    return a if a is b or (type(a) is type(b) and a == b) else Open(a, b)


class Value:
    """A value of the graph: shape with `Open` sizes, dtype, and for a constant its array in both traces."""

    def __init__(self, first: Symbol, second: Symbol) -> None:
        self.shape, self.dtype = merged(first.shape, second.shape), first.dtype
        constant = first.kind == "constant"
        self.arrays = (first.payload, second.payload) if constant else None
        self.names: dict[tuple[int, ...], str] = {}  # in the file, by order of axes
        self.maker: Call | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def natural(self) -> tuple[int, ...]:
        """The order of axes as they are."""
        return tuple(range(len(self.shape)))


class Call:
    """An op applied to values `x`, with results `y`; its attributes are read from here, `Open` where they differ."""

    def __init__(self, pair: tuple[Node, Node], x: list[Value], y: list[Value], used: list[bool]) -> None:
        self.ops: tuple[Op, Op] = (pair[0].op, pair[1].op)
        self.layer = pair[0].where
        self.x, self.y, self.used = x, y, used
        for value in y:
            value.maker = self

    def __getattr__(self, name: str) -> Any:
        return merged(*[getattr(op, name) for op in self.ops])

    def fixed(self, *names: str) -> list[Any]:
        """Attributes that must not depend on unknown sizes."""
        found = [getattr(self, name) for name in names]
        for name, value in zip(names, found):
            if any(isinstance(v, Open) for v in tree.flatten(value)):
                raise self.refused(f"its `{name}` depends on a size that is not known")
        return found

    def refused(self, why: str) -> NotImplementedError:
        """The error that names the layer and the op."""
        place = f"layer '{self.layer}'" if self.layer else "the model"
        op = type(self.ops[0]).__name__
        return NotImplementedError(f"export: the op {op} in {place} cannot be converted to ONNX: {why}")


class TracedGraph(Graph):
    """A graph whose nodes know the layer that recorded them."""

    def record(self, op: Op, values: list[Any]) -> tuple[Symbol, ...]:
        outputs = super().record(op, values)
        self.nodes[-1].where = naming.current_path()
        return outputs


def graph_of(fn: Callable[..., Any], inputs: Sequence[Spec], frozen: dict[int, str], known: Any) -> tuple[Graph, Any]:
    """The graph of `fn`, simplified, with Variables as constants and ops in the words of others where `known(op)` is
    false and they have such; and the structure that `fn` returns. `frozen` receives the paths of Variables by the id
    of their arrays."""
    graph = TracedGraph()
    with trace.tracing(graph), trace.no_tapes():
        result = fn(*[graph.add_input(spec) for spec in inputs])
    flat = tree.flatten(result)
    for y in flat:
        if not hasattr(y, "shape"):
            raise NotImplementedError(f"export: a model returns tensors, got {type(y).__name__}")
    if graph.writes:
        paths = ", ".join(repr(v.path) for v in graph.writes)
        raise NotImplementedError(
            f"export: the call of the model changes {paths}, and an ONNX graph keeps no state from call to call"
        )
    graph.outputs = [graph.symbol(y if isinstance(y, (Symbol, Tensor)) else y.value) for y in flat]
    for variable, symbol in graph.state.items():
        symbol.kind, symbol.payload = "constant", variable._array
        frozen[id(variable._array)] = variable.path
    graph.state, graph.current = {}, {}
    simplify(graph)
    _fold(graph, frozen)
    _spell_out(graph, known)
    simplify(graph)
    return graph, result


def _fold(graph: Graph, frozen: dict[int, str]) -> None:
    """In place: batch normalization goes into the weights in front of it, which keep their names."""
    given = len(graph.inputs)
    before = {id(node): frozen.get(id(node.inputs[-1].payload)) for node in graph.nodes if node.inputs}
    for kept, inputs in fold(graph):
        for s, array in zip(inputs, kept.arrays()):
            s.kind, s.payload = "constant", array
    del graph.inputs[given:]
    for node in graph.nodes:
        path = before.get(id(node))
        if path is not None:
            frozen.setdefault(id(node.inputs[-1].payload), path)


def _spell_out(graph: Graph, known: Any) -> None:
    """In place: ops that have a `composed` form, and are not known otherwise, become that."""
    replaced: dict[int, Symbol] = {}
    nodes, graph.nodes = graph.nodes, []
    for node in nodes:
        node.inputs = tuple(replaced.get(id(s), s) for s in node.inputs)
        if known(node) or not hasattr(node.op, "composed"):
            graph.nodes.append(node)
            continue
        start = len(graph.nodes)
        with trace.tracing(graph), trace.no_tapes():
            made = node.op.composed(*node.inputs)
        for new in graph.nodes[start:]:
            new.where = node.where
        made = made if isinstance(made, tuple) else (made,)
        replaced.update({id(s): graph.symbol(y) for s, y in zip(node.outputs, made)})
    graph.outputs = [replaced.get(id(s), s) for s in graph.outputs]


class Twins:
    """The calls of two graphs of one form, in order."""

    def __init__(self, first: Graph, second: Graph) -> None:
        """Raises ValueError where they have different forms."""
        self._values: dict[int, Value] = {}
        self._partner: dict[int, int] = {}
        if len(first.nodes) != len(second.nodes) or len(first.outputs) != len(second.outputs):
            raise ValueError
        self.inputs = [self._value(a, b) for a, b in zip(first.inputs, second.inputs)]
        self.calls: list[Call] = []
        read = {id(s) for node in first.nodes for s in node.inputs} | {id(s) for s in first.outputs}
        for pair in zip(first.nodes, second.nodes):
            a, b = pair
            if type(a.op) is not type(b.op) or len(a.inputs) != len(b.inputs) or len(a.outputs) != len(b.outputs):
                raise ValueError
            x = [self._value(*s) for s in zip(a.inputs, b.inputs)]
            y = [self._value(*s) for s in zip(a.outputs, b.outputs)]
            self.calls.append(Call(pair, x, y, [id(s) in read for s in a.outputs]))
        self.outputs = [self._value(a, b) for a, b in zip(first.outputs, second.outputs)]

    def _value(self, a: Symbol, b: Symbol) -> Value:
        if self._partner.setdefault(id(a), id(b)) != id(b) or a.kind != b.kind or len(a.shape) != len(b.shape):
            raise ValueError
        if id(a) not in self._values:
            self._values[id(a)] = Value(a, b)
        return self._values[id(a)]


def _partitions(names: list[str]) -> list[list[list[str]]]:
    """All ways to put names into groups, those of many groups first."""
    found: list[list[list[str]]] = [[]]
    for name in names:
        found = [[*p[:i], [*p[i], name], *p[i + 1 :]] for p in found for i in range(len(p))] + [
            [*p, [name]] for p in found
        ]
    return sorted(found, key=len, reverse=True)


def _tried(shapes: Sequence[Sequence[Any]]) -> Iterator[dict[str, tuple[int, int]]]:
    """Sizes per name of an unknown axis: all different, then such that are equal, as those of two inputs that will be
    added."""
    names = sorted({n for shape in shapes for n in shape if isinstance(n, str)} - {"batch"})
    ways = _partitions(names) if len(names) < 6 else [[[n] for n in names]]
    if len(names) > 1:  # those of one place among the axes
        ways.append([[n for n in names if n.endswith(end)] for end in sorted({n[-2:] for n in names})])
    for way in ways:
        for first, *rest in _PROBES:
            yield {"batch": first, **{n: rest[i % len(rest)] for i, group in enumerate(way) for n in group}}


def twins(
    fn: Callable[..., Any], shapes: Sequence[Sequence[Any]], dtypes: Sequence[str], frozen: dict[int, str], known: Any
) -> tuple[Twins, Any]:
    """`fn` of values of these shapes, in which a name stands for an unknown size, and the structure of its result."""
    reason: Exception | None = None
    for sizes in itertools.islice(_tried(shapes), _MOST_TRIES):
        try:
            graphs = []
            for k in range(2):
                specs = [
                    Spec(tuple(sizes[n][k] if isinstance(n, str) else n for n in shape), dtype)
                    for shape, dtype in zip(shapes, dtypes)
                ]
                graph, result = graph_of(fn, specs, frozen, known)
                graphs.append(graph)
            return Twins(*graphs), result
        except (ValueError, TypeError) as error:
            reason = reason or error
            if not any(isinstance(n, str) for shape in shapes for n in shape):
                raise
    if reason is not None and reason.args:
        raise reason
    raise NotImplementedError(
        "export: what the model does depends on the size of an axis that is not known. Give fixed sizes with "
        "`input_signature`, such as [keras.InputSpec(shape=(1, 32, 32, 3))]"
    )
