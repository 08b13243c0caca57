"""Chains of elementwise ops become one op: values between them stay in tiles that fit the L1 cache.

A group runs where its last member stood. A member may join the group of one of its producers when all have the same
shape, nothing outside the group reads a member before that place, and the result stays within the kernel's limits.
Under the same conditions groups that read one large value become one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.elementwise import (
    Add,
    BitwiseNot,
    BroadcastTo,
    Elementwise,
    LogicalAnd,
    LogicalNot,
    LogicalOr,
    LogicalXor,
    Neg,
    Sub,
)
from nacre.ops.lowering import (
    MOST_CONSTS,
    MOST_INPUTS,
    MOST_OUTPUTS,
    MOST_STEPS,
    Step,
    columns_of_map,
    const,
    domain_of,
    lower_elementwise,
    shared_rows,
)


class Fused(Op):
    """Several elementwise ops as one: `steps` in the form of `lowering.Step`, `outs` the value number of each output;
    `domain` is the kernel, for between whole numbers there may be fractions."""

    steps: tuple[Step, ...]
    outs: tuple[int, ...]
    shape: tuple[int, ...]
    dtypes: tuple[str, ...]
    domain: str

    def infer(self, *xs: Spec) -> Any:
        return tuple(Spec(self.shape, d) for d in self.dtypes)

    def lower(self, k: Any, *operands: Any) -> None:
        n = len(operands) - len(self.outs)
        lower_elementwise(k, self.steps, self.outs, operands[:n], operands[n:], operands[n].shape, self.domain)

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...] | None:
        return shared_rows(inputs, self.shape)

    def by_columns(self, *inputs: Spec) -> tuple[bool, ...]:
        return columns_of_map(len(inputs), len(self.outs), self.shape)


class _Group:
    """Elementwise nodes of one shape and compute type that will be one kernel call."""

    def __init__(self, domain: str, shape: tuple[int, ...], members: list[Node]) -> None:
        self.domain = domain
        self.shape = shape
        self.members = members
        self.inside = {id(m.outputs[0]) for m in members}


class _Fuser:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order: dict[int, float] = {id(node): i for i, node in enumerate(graph.nodes)}
        self.at = dict[float, Node](enumerate(graph.nodes))
        self.escapes = {id(s) for s in (*graph.outputs, *graph.writes.values())}
        self.readers: dict[int, list[float]] = {}
        for i, node in enumerate(graph.nodes):
            for s in node.inputs:
                self.readers.setdefault(id(s), []).append(i)
        self.group_of: dict[int, _Group] = {}  # id of an output -> its group

    def run(self) -> None:
        for node in self.graph.nodes:
            if isinstance(node.op, Elementwise) and not isinstance(
                node.op, BroadcastTo
            ):  # readers repeat it themselves
                self._place(node)
        self._join_readers()
        nodes: list[Node] = []
        for node in self.graph.nodes:
            group = self.group_of.get(id(node.outputs[0]))
            if group is None:
                nodes.append(node)
            elif node is group.members[-1]:
                nodes.append(self._fused(group))
        self.graph.nodes = nodes

    def _place(self, node: Node) -> None:
        dtypes = [s.dtype for s in (*node.inputs, node.outputs[0])]
        domain = domain_of(dtypes)
        shape = node.outputs[0].shape
        before = [g for g in (self.group_of.get(id(s)) for s in node.inputs) if g is not None]
        if before and type(node.op) in _ANY_DOMAIN and all(d == "bool" for d in dtypes):
            domain = before[0].domain  # 0 and 1 are the same in all of them
        found: list[_Group] = []
        for g in before:
            if g not in found and g.domain == domain and g.shape == shape:
                found.append(g)
        for joined in ([found] if len(found) > 1 else []) + [[g] for g in reversed(found)] + [[]]:
            members = sorted((m for g in joined for m in g.members), key=lambda m: self.order[id(m)])
            group = _Group(domain, shape, [*members, node])
            if not joined or self._fits(group, self._leave_to_readers):
                break
        for m in group.members:
            self.group_of[id(m.outputs[0])] = group

    def _join_readers(self) -> None:
        """Groups that read the same large value read it once, as weights and a slot of an optimizer do the gradient."""
        last: dict[int, Symbol] = {}  # by id of a value: what its last reader so far makes
        for node in self.graph.nodes:
            y = node.outputs[0]
            for s in node.inputs if id(y) in self.group_of else ():
                a, b = self.group_of[id(last.get(id(s), y))], self.group_of[id(y)]
                if s.spec.size < _FEWEST_READ or s.shape != b.shape:
                    continue
                last[id(s)] = y
                if a is not b and (a.domain, a.shape) == (b.domain, b.shape):
                    both = _Group(a.domain, a.shape, sorted((*a.members, *b.members), key=lambda m: self.order[id(m)]))
                    if self._fits(both):
                        self.group_of.update((i, both) for i in both.inside)

    def _fits(self, group: _Group, spare: Callable[[_Group, list[Node]], bool] | None = None) -> bool:
        for m in group.members:
            if any(id(s) in group.inside and not _stays_exact(s, group.domain) for s in m.inputs):
                return False
        inputs = _inputs(group)
        steps = sum(len(m.op.steps(len(m.inputs))) for m in group.members)
        literals = sum(1 for s in inputs if literal(s) is not None) + sum(
            1 for m in group.members for _, args in m.op.steps(len(m.inputs)) for a in args if not isinstance(a, int)
        )
        if len(inputs) - literals > MOST_INPUTS or steps > MOST_FUSED or literals > MOST_CONSTS:
            return False
        place = self.order[id(group.members[-1])]
        inside = {self.order[id(m)] for m in group.members}
        outputs = []
        for m in group.members:
            s = m.outputs[0]
            outside = [r for r in self.readers.get(id(s), ()) if r not in inside]
            if any(r < place for r in outside):
                return False  # somebody needs it before the group has run
            if outside or id(s) in self.escapes or m is group.members[-1]:
                outputs.append(m)
        return len(outputs) <= MOST_OUTPUTS or (spare is not None and spare(group, outputs))

    def _leave_to_readers(self, group: _Group, outputs: list[Node]) -> bool:
        """Whether few enough outputs are left when readers make some themselves, in one cheap step from one value that
        they can read; then they do."""
        inside = {self.order[id(m)] for m in group.members}
        made = {id(m.outputs[0]) for m in outputs}
        spared: dict[int, Node] = {}  # by id of what it makes
        read = set[int]()  # which therefore remains
        for m in outputs[:-1]:
            y, sources = m.outputs[0], [s for s in m.inputs if literal(s) is None]
            if len(sources) != 1 or id(y) in self.escapes or id(y) in read or id(sources[0]) in spared:
                continue
            if id(sources[0]) in group.inside and id(sources[0]) not in made:
                continue
            later = [self.at[r] for r in self.readers[id(y)] if r not in inside]
            if (
                [STEP_COST.get(name) for name, _ in m.op.steps(len(m.inputs))] == [1]
                and all(isinstance(r.op, Elementwise) and not isinstance(r.op, BroadcastTo) for r in later)
                and all(r.outputs[0].shape == group.shape for r in later)
            ):
                spared[id(y)] = m
                read.add(id(sources[0]))
        if len(outputs) - len(spared) > MOST_OUTPUTS:
            return False
        for m in list(spared.values())[: len(outputs) - MOST_OUTPUTS]:
            self._repeat(m, inside)
        return True

    def _repeat(self, m: Node, inside: set[float]) -> None:
        """A second `m` for its readers that are not `inside`, in front of the first of them."""
        y, again = m.outputs[0], self.graph.made(m.op, *m.inputs)
        later = [r for r in self.readers[id(y)] if r not in inside]
        self.readers[id(y)] = [r for r in self.readers[id(y)] if r in inside]
        self.readers[id(again.outputs[0])] = later
        place = min(later) - 1 / (2 + len(self.at))  # not yet taken, as there are more and more
        self.order[id(again)], self.at[place] = place, again
        for s in m.inputs:
            self.readers[id(s)].append(place)
        for r in later:
            self.at[r].inputs = tuple([again.outputs[0] if s is y else s for s in self.at[r].inputs])
        self.graph.nodes.insert(self.graph.nodes.index(self.at[min(later)]), again)

    def _fused(self, group: _Group) -> Node:
        members = group.members
        every = _inputs(group)
        inputs = [s for s in every if literal(s) is None]
        if not inputs or (len(members) == 1 and [id(s) for s in inputs] == [id(s) for s in members[0].inputs]):
            if len(members) == 1:
                return members[0]
            inputs = every[:1]  # kernels take at least one input
        numbers: dict[int, Any] = {id(s): const(literal(s)) for s in every}
        numbers.update({id(s): i for i, s in enumerate(inputs)})
        n = len(inputs)
        steps: list[Step] = []
        for m in members:
            sources = [numbers[id(s if id(s) in group.inside else unrepeated(s))] for s in m.inputs]
            base = n + len(steps) - len(sources)
            for name, args in m.op.steps(len(sources)):
                renamed = [a if not isinstance(a, int) else sources[a] if a < len(sources) else base + a for a in args]
                steps.append((name, tuple(renamed)))
            numbers[id(m.outputs[0])] = n + len(steps) - 1
        inside = {self.order[id(m)] for m in members}
        outputs = [m.outputs[0] for m in members if self._leaves(m.outputs[0], inside)]
        outs, dtypes = tuple([numbers[id(s)] for s in outputs]), tuple([s.dtype for s in outputs])
        op = Fused(tuple(steps), outs, group.shape, dtypes, group.domain)
        node = Node(op, tuple(inputs), tuple(outputs))
        for s in outputs:
            s.node = node
        return node

    def _leaves(self, s: Symbol, inside: set[float]) -> bool:
        return id(s) in self.escapes or any(r not in inside for r in self.readers.get(id(s), ()))


def _stays_exact(s: Symbol, domain: str) -> bool:
    """As `stays_exact`, of a value that is computed there: True + True is 2 until it is stored."""
    assert s.node is not None
    counts = s.dtype == "bool" and isinstance(s.node.op, _NO_TRUTHS)
    return stays_exact(s.dtype, domain) and not counts


_NO_TRUTHS = (Add, Sub, Neg, BitwiseNot)
_ANY_DOMAIN = (LogicalAnd, LogicalOr, LogicalXor, LogicalNot)

_FEWEST_READ = 4096  # elements: fewer are read as quickly twice

# A step on 16 numbers takes about 2 cycles (one thread, AVX-512), these as long as so many; others are not done twice.
STEP_COST = {
    **dict.fromkeys(("copy", "neg", "abs", "square", "add", "sub", "mul", "relu", "max", "min", "fma"), 1),
    "clip": 2,
    **dict.fromkeys(("sqrt", "div", "reciprocal"), 3),
    "exp": 4,
    "sigmoid": 5,
}

# As many results as there are temporaries (registers 24 to 63): at worst every one lives to the end.
MOST_FUSED = min(MOST_STEPS, 40)


def fuse(graph: Graph) -> None:
    """In place: elementwise nodes joined into `Fused` ones."""
    _Fuser(graph).run()


def stays_exact(dtype: str, domain: str) -> bool:
    """Whether a value of `dtype` is the same number when it is not stored but kept in the compute type."""
    if dtype == "bool":
        return True
    return dtype == {"elementwise": "float32", "elementwise_f64": "float64", "elementwise_i64": "int64"}[domain]


def unrepeated(s: Symbol) -> Symbol:
    """What a group reads for `s`: a value that is only repeated along axes is read where it comes from."""
    while s.node is not None and isinstance(s.node.op, BroadcastTo):
        s = s.node.inputs[0]
    return s


def _inputs(group: _Group) -> list[Symbol]:
    found: dict[int, Symbol] = {}
    for m in group.members:
        for s in m.inputs:
            if id(s) not in group.inside:
                e = unrepeated(s)
                found[id(e)] = e
    return list(found.values())


def literal(s: Symbol) -> float | None:
    """The number that a constant of one element holds, if the kernels' float immediates hold it exactly."""
    s = unrepeated(s)
    if s.kind != "constant" or s.spec.size != 1:
        return None
    number = s.payload.flat[0]
    return float(number) if s.dtype != "int64" or abs(int(number)) < 2**53 else None
