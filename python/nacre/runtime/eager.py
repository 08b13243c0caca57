"""Eager is a program with one node, kept by op and operand specs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.graph import Graph
from nacre.core.op import Op, install_executor
from nacre.core.room import check_room
from nacre.core.spec import NUMPY, Spec
from nacre.core.tensor import Tensor
from nacre.passes.lower import lower
from nacre.runtime.writer import build_program

_MOST_PLANS = 8192
_Plan = tuple[Any, list[tuple[tuple[int, ...], np.dtype[Any], str]]]  # the program's run, and the specs of its outputs
_plans: dict[Any, _Plan] = {}


def _plan(op: Op, tensors: tuple[Tensor, ...]) -> _Plan:
    graph = Graph()
    inputs = [graph.add_input(Spec(t.shape, t.dtype)) for t in tensors]
    graph.outputs = list(graph.record(op, inputs))
    for s in graph.outputs:
        check_room(s.shape, s.dtype, f"{type(op).__name__}: a result")
    program = build_program(lower(graph))
    return program.run, [(s.shape, NUMPY[s.dtype], s.dtype) for s in graph.outputs]


def execute(op: Op, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The outputs of `op` on Tensors."""
    view = getattr(op, "view", None)
    if view is not None:  # the op only looks at the same memory in another way
        result = view(*[t._array for t in tensors])
        return tuple([Tensor(a) for a in result]) if type(result) is tuple else (Tensor(result),)
    key = (op, *[(t.shape, t.dtype) for t in tensors])
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        plan = _plans[key] = _plan(op, tensors)
    run, specs = plan
    arrays = [t._array for t in tensors]
    if len(specs) == 1:
        ((shape, dtype, name),) = specs
        y = np.empty(shape, dtype)
        arrays.append(y)
        run(arrays)
        return (Tensor(y, name),)
    outputs = [np.empty(shape, dtype) for shape, dtype, _ in specs]
    run([*arrays, *outputs])
    return tuple([Tensor(y, name) for y, (_, _, name) in zip(outputs, specs)])


install_executor(execute)
