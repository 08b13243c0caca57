"""What every op owes: the reference's numbers, the same bits compiled and at any number of threads, its gradient, its
shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from casebook import Case, leaves
from cases import all_cases
from gradcheck import assert_directional_derivative, float_leaves, gradients, tape_gradients
from nacre import _core, ops
from nacre.core.errors import NotCompilable
from nacre.core.operation import Node, Operation
from nacre.core.spec import Spec
from nacre.core.tensor import KerasTensor, Tensor
from nacre.passes.strips import Strips
from nacre.runtime import eager
from nacre.runtime.compiled import CompiledFunction

CASES = all_cases()
EPS = float(np.finfo(np.float32).eps)


def run(case: Case) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(y) for y in leaves(case.function(*case.draw(), **case.kwargs))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_eager_gives_the_reference(case: Case) -> None:
    with np.errstate(all="ignore"):
        want = [np.asarray(v) for v in leaves(case.truth(case.draw()))]
    got = run(case)
    assert len(got) == len(want)
    for g, w in zip(got, want):
        assert g.shape == w.shape
        if g.dtype.kind == "f":
            assert np.array_equal(np.isnan(g), np.isnan(w))
            # so many roundings of 16 eps each, of a number of about 1 + |w|
            np.testing.assert_allclose(g, w, rtol=case.roundings * 16 * EPS, atol=case.roundings * 16 * EPS)
        else:
            np.testing.assert_array_equal(g, w)


def _flat_arguments(case: Case) -> tuple[list[Any], Any]:
    """The arrays among the arguments, and how to put them back."""
    args = case.draw()
    arrays = [b for a in args for b in (a if isinstance(a, list) else [a]) if isinstance(b, np.ndarray)]

    def rebuild(new: Any) -> list[Any]:
        rest = iter(new)

        def one(a: Any) -> Any:
            return [one(b) for b in a] if isinstance(a, list) else next(rest) if isinstance(a, np.ndarray) else a

        return [one(a) for a in args]

    return arrays, rebuild


def run_or_skip(compiled: CompiledFunction, points: list[Any]) -> Any:
    try:
        return compiled(*points)
    except NotCompilable:
        pytest.skip("runs on NumPy, eagerly")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiled_gives_the_bits_of_eager(case: Case) -> None:
    arrays, rebuild = _flat_arguments(case)
    compiled = CompiledFunction(lambda *new: leaves(case.function(*rebuild(new), **case.kwargs)))
    for _ in range(2):
        results = run_or_skip(compiled, [Tensor.of(a) for a in arrays])
        for g, w in zip(results, run(case)):
            np.testing.assert_array_equal(np.asarray(g), w)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bits_do_not_depend_on_threads(case: Case) -> None:
    before = _core.get_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _core.set_threads(threads)
            results.append(run(case))
    finally:
        _core.set_threads(before)
    for other in results[1:]:
        for g, w in zip(other, results[0]):
            np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("case", [c for c in CASES if c.differentiable], ids=str)
def test_gradient_matches_float64_finite_difference(case: Case) -> None:
    with np.errstate(all="ignore"):
        assert_directional_derivative(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.differentiable], ids=str)
def test_compiled_gradient_matches_the_eager_one(case: Case) -> None:
    args = case.draw()
    points = [Tensor.of(a) for a in float_leaves(case, args)]
    eager = tape_gradients(case, args, points)
    compiled = CompiledFunction(lambda *new: tape_gradients(case, args, list(new)))
    for g, w in zip(run_or_skip(compiled, points), eager):
        # Fusion may keep a product in a register, but rounds each step as eager does; sums may be ordered differently.
        np.testing.assert_allclose(
            np.asarray(g), np.asarray(w), rtol=case.roundings * 16 * EPS, atol=case.roundings * 16 * EPS
        )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_graph_of_layers_knows_shape_and_dtype(case: Case) -> None:
    args = case.draw()
    if not _flat_arguments(case)[0]:
        pytest.skip("no tensor among the arguments")

    class Source(Operation):
        def call(self, *xs: Any) -> Any:
            return xs

    def symbol(a: Any) -> Any:
        if not isinstance(a, np.ndarray):
            return [symbol(b) for b in a] if isinstance(a, list) else a
        t = KerasTensor(a.shape, Tensor.of(a).dtype)
        Node(Source(), (), {}, [t])
        return t

    try:
        outputs = leaves(case.function(*[symbol(a) for a in args], **case.kwargs))
    except ValueError as error:
        if "without running the computation" not in str(error):
            raise
        pytest.skip("the shape depends on values")
    for y, t in zip(run(case), outputs):
        assert isinstance(t, KerasTensor)
        assert t.shape == y.shape
        assert t.dtype == y.dtype.name


def test_every_public_function_has_a_case() -> None:
    from cases import NO_CASE

    named = {c.function.__name__ for c in CASES} | {c.name for c in CASES}
    missing = sorted(set(ops.__all__) - named - set(NO_CASE))
    assert not missing, f"write a case in tests/cases (or say in NO_CASE why not): {missing}"
    assert not sorted(set(NO_CASE) & named)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_need_no_more_than_by_rows_says(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def noted(op: Any, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        calls.append((op, tensors, eager.execute(op, tensors)))
        return calls[-1][2]

    monkeypatch.setattr("nacre.core.op._execute", noted)
    if case.differentiable:
        gradients(case, case.draw())
    else:
        run(case)
    for op, tensors, outputs in calls:
        flags = op.by_rows(*[Spec(t.shape, t.dtype) for t in tensors])
        rows = outputs[0].shape[0] if outputs[0].shape else 0
        if flags is None or not any(flags) or rows < 2 or any(y.shape[:1] != (rows,) for y in outputs):
            continue
        n = len(tensors)
        numbers = tuple(range(n)), tuple(range(n, n + len(outputs)))
        specs = tuple(Spec(y.shape, y.dtype) for y in outputs)
        for count in {1, rows - 1}:
            strips = Strips(((op, *numbers),), flags, specs, numbers[1], count)
            for got, want in zip(eager.execute(strips, tensors), outputs):
                assert got._array.tobytes() == np.ascontiguousarray(want._array).tobytes()
