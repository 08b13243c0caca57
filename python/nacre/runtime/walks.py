"""The walk back through a tape as one program, once the same operations have stood on tapes a few times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core import trace
from nacre.core.autodiff import backward, install_walker
from nacre.core.errors import NotCompilable, TracedBranch
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Tensor
from nacre.runtime.compiled import PAYS, Plan

_FEW_OPS = 3
_MOST_PLANS, _MOST_SEEN = 32, 1024


class _Walk:
    """A tape's operations between numbered values, and the program that walks them back."""

    def __init__(
        self, nodes: list[Any], ends: tuple[list[int], list[int], list[int]], number: dict[int, int], values: list[Any]
    ) -> None:
        targets, seeds, wanted = ends
        self.ops = [op for op, _, _ in nodes]  # the key has their addresses
        steps = [(op, [number[id(x)] for x in xs], [number[id(y)] for y in ys]) for op, xs, ys in nodes]

        def fn(symbols: list[Any]) -> list[Any]:
            recorded = [(op, tuple([symbols[i] for i in xs]), tuple([symbols[i] for i in ys])) for op, xs, ys in steps]
            found = backward(
                recorded,
                [symbols[i] for i in targets],
                [None if i < 0 else symbols[i] for i in seeds],
                {id(symbols[i]) for i in wanted},
            )
            return [found.get(id(symbols[i])) for i in wanted]

        self.plan = Plan(fn, ((list(range(len(values))),), {}), [Spec(v.shape, v.dtype) for v in values])

    def __call__(self, values: list[Any]) -> Any:
        bound, outputs = self.plan.bind()
        for slot, v in zip(self.plan.inputs, values):
            bound[slot] = v._array
        self.plan.program.run(bound)
        return self.plan.result(outputs)


class _Memory:
    """What was walked: how often, and the programs for what was walked often. When there is no room for more, all is
    forgotten, and what is planned from then on must come twice as often."""

    def __init__(self) -> None:
        self.pays = PAYS  # walks of a kind
        self.seen: dict[int, int] = {}  # by hash: keys of long tapes are long, and a count may be wrong
        self.plans: dict[Any, _Walk | None] = {}  # None: cannot be planned

    def plan(self, key: Any, make: Callable[[], _Walk]) -> _Walk | None:
        """The program for walks of this kind, if there is one or it is time to make it."""
        if key in self.plans:
            return self.plans[key]
        times = self.seen[hash(key)] = self.seen.get(hash(key), 0) + 1
        if times < self.pays:
            if len(self.seen) > _MOST_SEEN:
                self.seen.clear()
            return None
        if len(self.plans) == _MOST_PLANS:
            self.pays *= 2
            self.seen, self.plans = {}, {}
            return None
        try:
            made = make()
        except (TracedBranch, NotCompilable):
            made = None
        self.plans[key] = made
        return made


_memory = _Memory()


def walk(nodes: list[Any], targets: list[Any], seeds: list[Any], wanted: set[int]) -> dict[int, Any]:
    """What `backward` finds; only for `wanted` where it runs as one program."""
    many = len(nodes) > _FEW_OPS or any(not isinstance(op, Op) and op.replays for op, _, _ in nodes)
    if many and trace.current_graph() is None and not trace.tapes():
        number: dict[int, int] = {}
        values: list[Any] = []

        def at(value: Any) -> int:
            i = number.get(id(value))
            if i is None:
                i = number[id(value)] = len(values)
                values.append(value)
            return i

        key: list[Any] = [(id(op), *map(at, inputs), *map(at, outputs)) for op, inputs, outputs in nodes]
        ends = (
            [at(t) for t in targets],
            [-1 if s is None else at(s) for s in seeds],
            sorted([number[i] for i in wanted if i in number]),
        )
        # a function's own gradient may look at anything
        if all(isinstance(op, Op) or op.replays for op, _, _ in nodes) and all(type(v) is Tensor for v in values):
            key += map(tuple, ends)
            key += [(v.shape, v.dtype) for v in values]
            plan = _memory.plan(tuple(key), lambda: _Walk(nodes, ends, number, values))
            if plan is not None:
                return {id(values[i]): g for i, g in zip(ends[2], plan(values)) if g is not None}
    return backward(nodes, targets, seeds, wanted)


install_walker(walk)
