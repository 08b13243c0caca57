"""Joining and cutting as a question of where values lie (ADR 0018): what is joined is written where it will stand, and
what is cut out is read where it stands, where every node that is asked to can do so with the distance between rows.

A value may be part of one other, which may be part of a third. Nothing is decided about values that leave the graph,
and no node may read and write parts of the same whole, since kernels refuse memory that overlaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nacre.core.graph import Graph, Node
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Symbol
from nacre.ops.movement import Concat, Reshape, Slice, Split, rows_of
from nacre.passes.lower import Places
from nacre.passes.strips import NEAR, Strips


class _Value:
    """A value of the graph, or within a `Strips` node."""

    def __init__(self, spec: Spec, strip: Node | None, key: Any) -> None:
        self.spec = spec
        self.strip = strip  # the node that it does not leave
        self.key = key  # the Symbol, or its number in the node
        self.maker: _Step | None = None
        self.readers: list[tuple[_Step, int]] = []
        self.leaves = False
        self.whole: _Value | None = None  # what it is part of, from `first` on
        self.first = 0

    @property
    def root(self) -> _Value:
        """The value whose memory it lies in, as far as is known."""
        if self.whole is not None:
            return self.whole.root
        if self.maker is not None and isinstance(self.maker.op, Reshape):
            return self.maker.ins[0].root
        return self

    @property
    def strided(self) -> bool:
        """Whether its rows have gaps between them."""
        if self.whole is not None:
            return _gaps(self.spec, self.whole)
        return self.maker is not None and isinstance(self.maker.op, Reshape) and self.maker.ins[0].strided


class _Step:
    """A node of the graph, or a step of a `Strips` node."""

    def __init__(self, op: Op, ins: list[_Value], outs: list[_Value], strip: Node | None) -> None:
        self.op = op
        self.ins = ins
        self.outs = outs
        self.strip = strip
        self.columns = op.by_columns(*[v.spec for v in ins])
        for i, v in enumerate(ins):
            v.readers.append((self, i))
        for v in outs:
            v.maker = self

    def takes_columns(self, position: int) -> bool:
        return position < len(self.columns) and self.columns[position]


def layout(graph: Graph) -> Places:
    """Where values lie that are part of others; `Strips` nodes are told so about the values inside them."""
    steps = _steps(graph)
    for step in steps:
        if isinstance(step.op, (Split, Slice)):
            _cut(step)
    for step in reversed(steps):
        if isinstance(step.op, Concat):
            _join(step)
    places: Places = {}
    inside: dict[int, list[tuple[int, int, int]]] = {}  # by id of a Strips node
    for v in (v for step in steps for v in step.outs if v.whole is not None):
        assert v.whole is not None
        if v.strip is None:
            places[id(v.key)] = (v.whole.key, v.first)
        else:
            inside.setdefault(id(v.strip), []).append((v.key, _number(v.strip, v.whole), v.first))
    for node in graph.nodes:
        if id(node) in inside:
            op = node.op
            node.op = Strips(op.steps, op.by_row, op.made, op.outs, op.rows, tuple(inside[id(node)]))
    return places


def _steps(graph: Graph) -> list[_Step]:
    """What the graph does, step by step, also within `Strips` nodes."""
    values: dict[int, _Value] = {}

    def value(s: Symbol) -> _Value:
        if id(s) not in values:
            values[id(s)] = _Value(s.spec, None, s)
        return values[id(s)]

    steps = []
    for node in graph.nodes:
        op = node.op
        if not isinstance(op, Strips):
            steps.append(_Step(op, [value(s) for s in node.inputs], [value(s) for s in node.outputs], None))
            continue
        numbered = {i: value(s) for i, s in enumerate(node.inputs)}
        numbered.update((i, value(s)) for i, s in zip(op.outs, node.outputs))
        for i, spec in enumerate(op.made, len(node.inputs)):
            numbered.setdefault(i, _Value(spec, node, i))
        steps += [_Step(o, [numbered[i] for i in ins], [numbered[i] for i in outs], node) for o, ins, outs in op.steps]
    for s in (*graph.outputs, *graph.writes.values()):
        value(s).leaves = True
    return steps


def _number(strip: Node, v: _Value) -> int:
    """The number that `v` has in the node."""
    if v.strip is not None:
        return int(v.key)
    for i, s in (*enumerate(strip.inputs), *zip(strip.op.outs, strip.outputs)):
        if s is v.key:
            return int(i)
    raise AssertionError("a value lies in another one that its node does not know")


def _cut(step: _Step) -> None:
    """The outputs of a Split or Slice stay where they are, if all who read them can read them there."""
    whole = step.ins[0]
    for v, first in zip(step.outs, step.op.parts(whole.spec)):
        known = v.strip is not None or whole.strip is None
        rows = not whole.strided or rows_of(v.spec.shape) == rows_of(whole.spec.shape)  # else some rows of columns
        if first is not None and v.spec.size and known and rows and _readable(v, whole) and _pays(v, whole):
            v.whole, v.first = whole, first


def _join(step: _Step) -> None:
    """What a Concat joins is written where it will stand, if those who make and read it can do that; or it stands side
    by side already, in something that is joined from more."""
    whole = step.outs[0]
    parts = [
        (v, first) for v, first in zip(step.ins, step.op.parts(whole.spec, [v.spec for v in step.ins])) if v.spec.size
    ]
    if whole.whole is None and _side_by_side(parts, whole):
        whole.whole, whole.first = parts[0][0].whole, parts[0][0].first
        return
    sources = [(_source(v, whole), first) for v, first in parts if first is not None]
    times = [id(v) for v, _ in sources]
    found = [(v, first) for v, first in sources if v is not None and times.count(id(v)) == 1]
    if 2 * sum(v.spec.nbytes for v, _ in found) < whole.spec.nbytes:
        return  # one copy of all of them costs less than many of single ones
    for v, first in sorted(found, key=lambda f: -f[0].spec.nbytes):
        if not _clashes(v, whole):
            v.whole, v.first = whole, first


def _side_by_side(parts: list[tuple[_Value, int | None]], whole: _Value) -> bool:
    """Whether the parts lie in a larger whole as they do in this one, which may then be part of that, too."""
    larger = parts[0][0].whole if parts else None
    if larger is None or larger is whole or larger.strip is not whole.strip:
        return False
    at = parts[0][0].first
    return (
        all(v.whole is larger and v.first - at == first for v, first in parts)
        and all(_gaps(v.spec, whole) <= _gaps(v.spec, larger) == _gaps(whole.spec, larger) for v, _ in parts)
        and _readable(whole, larger) and _pays(whole, larger) and not _clashes(whole, larger)
    )  # fmt: skip


def _source(part: _Value, whole: _Value) -> _Value | None:
    """The value that would have to lie in `whole` for `part` to do so, if it can."""
    v = part
    while v.maker is not None and isinstance(v.maker.op, Reshape) and v.whole is None and not v.leaves:
        if _gaps(v.maker.ins[0].spec, whole) != _gaps(v.spec, whole):
            return None
        v = v.maker.ins[0]
    if v.maker is None or v.whole is not None or (whole.strip is not None and v.strip is not whole.strip):
        return None
    if _gaps(v.spec, whole) and not v.maker.takes_columns(len(v.maker.ins) + v.maker.outs.index(v)):
        return None
    return v if _readable(v, whole) and _pays(v, whole) else None


def _gaps(spec: Spec, whole: _Value) -> bool:
    """Whether the rows of a part would have gaps between them; see `Operand.part`."""
    rows = rows_of(spec.shape)
    if rows < 2 or rows != rows_of(whole.spec.shape):
        return False
    return whole.strided or spec.shape[-1] != whole.spec.shape[-1]


def _readable(v: _Value, whole: _Value) -> bool:
    """Whether all who read `v` could read it as part of `whole`."""
    return not v.leaves and (not _gaps(v.spec, whole) or all(_reads(step, i) for step, i in v.readers))


def _pays(v: _Value, whole: _Value) -> bool:
    """Whether reading `v` where it would stand costs less than a copy: from far memory, who reads columns fetches what
    lies between them, too."""
    root = whole.root
    nbytes = root.spec.nbytes
    if root.strip is not None:
        nbytes = nbytes * root.strip.op.rows // root.spec.shape[0]
    if not _gaps(v.spec, whole) or nbytes <= NEAR:
        return True
    width = v.spec.shape[-1]
    return 2 * len(list(_touching(v))) * (root.spec.shape[-1] - width) <= width


def _reads(step: _Step, position: int) -> bool:
    """Whether the step can read columns there, and so can those who read what is a second name for them."""
    if not step.takes_columns(position):
        return False
    v = step.ins[position]
    if not isinstance(step.op, Reshape):
        cut = [o for o in step.outs if o.whole is v]
        return all(rows_of(o.spec.shape) == rows_of(v.spec.shape) and all(_reads(*r) for r in o.readers) for o in cut)
    y = step.outs[0]
    return not y.leaves and all(_reads(*reader) for reader in y.readers)


def _clashes(v: _Value, whole: _Value) -> bool:
    """Whether a step would read and write parts of the same whole, or write two of them, were `v` part of it."""
    root = whole.root
    assert v.maker is not None
    beside = [o for o in (*v.maker.ins, *v.maker.outs) if o is not v]
    if not isinstance(v.maker.op, Concat) and any(o.root is root for o in beside):
        return True
    return any(o.root is root for step in _touching(v) for o in step.outs)


def _touching(v: _Value) -> Iterator[_Step]:
    """The steps that read the memory of `v`, and do not only name or join parts of it."""
    for step, _ in v.readers:
        if isinstance(step.op, Concat):
            continue
        named = [o for o in step.outs if isinstance(step.op, Reshape) or o.whole is v]
        for o in named:
            yield from _touching(o)
        if len(named) < len(step.outs):
            yield step
