"""Batches whose values are larger than the caches go depth first: a run of nodes that work row by row (image by image)
becomes one `Strips` node, which takes a few rows through all of them before it goes on to the next ones, so that what
one node writes is still near when the next one reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nacre import _core
from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol

NEAR = 2 << 20  # bytes per thread that a node may read and write and find near: twice a core's L2, and a part of L3
_MOST_STRIPS = 64
_MOST_UNLIKE = 16  # times as many bytes in one node of a run as in another: more, and small ones are cut too small

Step = tuple[Op, tuple[int, ...], tuple[int, ...]]


class Strips(Op):
    """`steps` for `rows` rows at a time. Values are numbered: the inputs, of which rows are taken where `by_row` says
    so, then what the steps make, in the order of `made`. A step is an op, the numbers of its inputs and those of its
    outputs. The values `outs` leave. `places`: numbers of values that are part of others, of these, and where in them.
    """

    steps: tuple[Step, ...]
    by_row: tuple[bool, ...]
    made: tuple[Spec, ...]
    outs: tuple[int, ...]
    rows: int
    places: tuple[tuple[int, int, int], ...] = ()

    def __repr__(self) -> str:
        return f"Strips(rows={self.rows}, {' '.join(type(op).__name__ for op, _, _ in self.steps)})"

    def infer(self, *xs: Spec) -> tuple[Spec, ...]:
        return tuple(self.made[i - len(xs)] for i in self.outs)

    def lower(self, k: Any, *operands: Any) -> None:
        n = len(self.by_row)
        total = self.made[0].shape[0]
        places = {i: (whole, first) for i, whole, first in self.places}
        for begin in range(0, total, self.rows):
            count = min(self.rows, total - begin)
            values = {i: o.rows(begin, count) if f else o for i, (o, f) in enumerate(zip(operands, self.by_row))}
            values.update((i, o.rows(begin, count)) for i, o in zip(self.outs, operands[n:]))
            for op, ins, outs in self.steps:
                made = [self._home(i, k, values, places, count) for i in outs]
                k.origin = op
                op.lower(k, *[values[i] for i in ins], *made)

    def _home(self, i: int, k: Any, values: dict[int, Any], places: dict[int, tuple[int, int]], count: int) -> Any:
        """Where value i of a strip of `count` rows is written; `values` are those that have a home."""
        if i not in values:
            spec = self.made[i - len(self.by_row)]
            shape = (count, *spec.shape[1:])
            if i in places:
                whole, first = places[i]
                values[i] = self._home(whole, k, values, places, count).part(first, shape)
            else:
                values[i] = k.temp(shape, spec.dtype)
        return values[i]


class _Run:
    """Nodes side by side that work row by row on batches of one size."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.nodes: list[Node] = []
        self.by_row: dict[int, bool] = {}  # id of a value that a node reads
        self.made: set[int] = set()
        self.most = self.least = 0  # bytes of rows that a node reads and writes

    def takes(self, node: Node) -> bool:
        """Adds the node, if it may and should be part of the run."""
        flags = _flags(node, self.rows)
        if flags is None:
            return False
        ways = dict(zip((id(s) for s in node.inputs), flags))
        if any(ways[id(s)] != f or self.by_row.get(id(s), f) != f for s, f in zip(node.inputs, flags)):
            return False
        nbytes = _row_bytes(node, flags)
        most, least = max(nbytes, self.most), min(nbytes, self.least or nbytes)
        if nbytes <= NEAR * _core.get_threads() or most > _MOST_UNLIKE * least:
            return False
        self.nodes.append(node)
        self.by_row.update(ways)
        self.by_row.update((id(s), True) for s in node.outputs)
        self.made.update(id(s) for s in node.outputs)
        self.most, self.least = most, least
        return True


def _flags(node: Node, rows: int) -> tuple[bool, ...] | None:
    """`Op.by_rows` of the node, if all its rows are `rows` and it reads some of them."""
    flags = node.op.by_rows(*[s.spec for s in node.inputs])
    if flags is None or not any(flags) or rows < 2:
        return None
    taken = [s for s, f in zip(node.inputs, flags) if f] + list(node.outputs)
    return flags if all(s.shape[:1] == (rows,) and s.spec.size for s in taken) else None


def _row_bytes(node: Node, flags: tuple[bool, ...]) -> int:
    return sum(s.spec.nbytes for s, f in zip(node.inputs, flags) if f) + sum(s.spec.nbytes for s in node.outputs)


def strips(graph: Graph) -> None:
    """In place, last of all: runs of nodes that each read and write more than is near, and whose values mostly stay
    inside."""
    reads = _counted((*graph.outputs, *graph.writes.values(), *(s for node in graph.nodes for s in node.inputs)))
    joined: dict[int, Node | None] = {}  # by id of a node: what stands in its place
    run = _Run(0)
    for node in graph.nodes:
        if run.takes(node):
            continue
        if len(run.nodes) > 1 and run.made.isdisjoint(id(s) for s in node.inputs):
            continue  # has nothing to do with the run, and may come before it
        joined.update(_joined(run, reads))
        run = _Run(node.outputs[0].shape[0] if node.outputs[0].shape else 0)
        run.takes(node)
    joined.update(_joined(run, reads))
    graph.nodes = [n for n in (joined.get(id(node), node) for node in graph.nodes) if n is not None]


def _counted(values: Iterable[Symbol]) -> dict[int, int]:
    count: dict[int, int] = {}
    for s in values:
        count[id(s)] = count.get(id(s), 0) + 1
    return count


def _joined(run: _Run, reads: dict[int, int]) -> dict[int, Node | None]:
    """The run as one node in the place of its last one, if that keeps much near; `reads` says how often values are
    read."""
    made = [s for node in run.nodes for s in node.outputs]
    own = _counted(s for node in run.nodes for s in node.inputs)
    outputs = [s for s in made if reads.get(id(s), 0) > own.get(id(s), 0)]
    if 2 * sum(s.spec.nbytes for s in outputs) >= sum(s.spec.nbytes for s in made):
        return {}
    inputs = {id(s): s for node in run.nodes for s in node.inputs if id(s) not in run.made}
    number = {i: n for n, i in enumerate((*inputs, *(id(s) for s in made)))}
    count = min(_MOST_STRIPS, run.rows, -(-run.most // (NEAR * _core.get_threads())))

    def numbers(values: Iterable[Symbol]) -> tuple[int, ...]:
        return tuple(number[id(s)] for s in values)

    op = Strips(
        tuple((n.op, numbers(n.inputs), numbers(n.outputs)) for n in run.nodes),
        tuple(run.by_row[i] for i in inputs),
        tuple(s.spec for s in made),
        numbers(outputs),
        -(-run.rows // count),
    )
    node = Node(op, tuple(inputs.values()), tuple(outputs))
    for s in outputs:
        s.node = node
    return {**{id(n): None for n in run.nodes}, id(run.nodes[-1]): node}
