"""Functions that take functions: eagerly, compiled, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nacre
from nacre import ops
from nacre.core.errors import TracedBranch
from nacre.core.tensor import Tensor
from nacre.runtime.compiled import CompiledFunction


def tensor(*values: float) -> Any:
    return Tensor.of(np.array(values, np.float32))


def test_cond_runs_one_side_eagerly() -> None:
    seen: list[str] = []
    ops.cond(True, lambda: seen.append("yes"), lambda: seen.append("no"))
    ops.cond(tensor(0.0) > 1, lambda: seen.append("yes"), lambda: seen.append("no"))
    assert seen == ["yes", "no"]


@pytest.mark.parametrize("x", [2.0, -3.0])
def test_compiled_cond_picks_by_value(x: float) -> None:
    def f(v: Any) -> Any:
        return ops.cond(v[0] > 0, lambda: v * 2, lambda: v - 1)

    got = CompiledFunction(f)(tensor(x))
    np.testing.assert_array_equal(got, [2 * x if x > 0 else x - 1])


@pytest.mark.parametrize("x", [2.0, -3.0])
def test_compiled_cond_assigns_only_on_the_side_that_is_picked(x: float) -> None:
    count = nacre.Variable(0.0)

    def f(v: Any) -> Any:
        return ops.cond(v[0] > 0, lambda: count.assign_add(1.0) * 1.0, lambda: count.assign_sub(5.0) * 1.0)

    CompiledFunction(f)(tensor(x))
    assert float(count) == (1.0 if x > 0 else -5.0)


def test_compiled_cond_refuses_sides_of_different_shapes() -> None:
    with pytest.raises(ValueError, match="same"):
        CompiledFunction(lambda v: ops.cond(v[0] > 0, lambda: v, lambda: v[:1]))(tensor(1.0, 2.0))


def test_switch_takes_the_nearest_branch() -> None:
    branches = [lambda v: v + 1, lambda v: v * 10, lambda v: v - 1]
    for index, want in [(0, 3), (1, 20), (2, 1), (9, 1), (-4, 3)]:
        assert int(ops.switch(index, branches, 2)) == want
        got = CompiledFunction(lambda i: ops.switch(i[0], branches, tensor(2.0)))(
            Tensor.of(np.array([index], np.int32))
        )
        assert float(got[0]) == want


def test_while_loop_stops_at_its_condition_or_its_limit() -> None:
    assert int(ops.while_loop(lambda i: i < 7, lambda i: i + 2, 0)) == 8
    assert int(ops.while_loop(lambda i: i < 7, lambda i: i + 2, 0, maximum_iterations=2)) == 4
    i, total = ops.while_loop(lambda i, s: i < 4, lambda i, s: (i + 1, s + i), (0, ops.zeros(())))
    assert (int(i), float(total)) == (4, 6.0)


def test_a_loop_on_a_traced_value_says_that_it_cannot_be_compiled() -> None:
    with pytest.raises(TracedBranch):
        CompiledFunction(lambda v: ops.while_loop(lambda a: ops.sum(a) < 10, lambda a: a + 1, v))(tensor(1.0))


def test_fori_loop_is_unrolled_when_compiled() -> None:
    def f(v: Any) -> Any:
        return ops.fori_loop(0, 5, lambda i, a: a + i * v, ops.zeros_like(v))

    np.testing.assert_array_equal(CompiledFunction(f)(tensor(2.0)), [20.0])
    np.testing.assert_array_equal(f(tensor(2.0)), [20.0])


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_carries_along_and_stacks(reverse: bool) -> None:
    xs = np.arange(12, dtype=np.float32).reshape(4, 3)
    last, ys = ops.scan(lambda c, v: (c + v, c * v), ops.zeros((3,)), xs, reverse=reverse)
    carry, want = np.zeros(3), np.zeros((4, 3))
    for i in reversed(range(4)) if reverse else range(4):
        want[i] = carry * xs[i]
        carry = carry + xs[i]
    np.testing.assert_array_equal(last, carry)
    np.testing.assert_array_equal(ys, want)


def test_scan_differentiates_through_its_steps() -> None:
    xs = Tensor.of(np.array([1.0, 2.0, 3.0], np.float32))
    with nacre.GradientTape() as tape:
        tape.watch(xs)
        last, _ = ops.scan(lambda c, v: (c * v, c), ops.ones(()), xs)
    np.testing.assert_allclose(tape.gradient(last, xs), [6.0, 3.0, 2.0])


def test_scan_takes_nested_structures_and_no_xs() -> None:
    last, ys = ops.scan(
        lambda c, v: (c + v["a"], {"b": v["a"] * 2}), ops.zeros(()), {"a": np.arange(3, dtype=np.float32)}
    )
    assert float(last) == 3.0
    np.testing.assert_array_equal(ys["b"], [0.0, 2.0, 4.0])
    last, _ = ops.scan(lambda c, _: (c + 1, None), ops.zeros(()), length=5)
    assert float(last) == 5.0


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan_gives_running_products(n: int, reverse: bool) -> None:
    xs = np.linspace(0.5, 1.5, n).astype(np.float32)
    got = ops.associative_scan(lambda a, b: a * b, xs, reverse=reverse)
    want = np.cumprod(xs[::-1])[::-1] if reverse else np.cumprod(xs)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_map_and_vectorized_map_go_over_the_first_axis() -> None:
    xs = np.arange(6, dtype=np.float32).reshape(3, 2)
    for function in (ops.map, ops.vectorized_map):
        np.testing.assert_array_equal(function(lambda v: v * v, xs), xs * xs)
        a, b = function(lambda v: (v[0] + v[1], v[0]), (xs, xs * 2))
        np.testing.assert_array_equal(a, xs * 3)
        np.testing.assert_array_equal(b, xs)


def test_vectorize_goes_over_broadcast_elements() -> None:
    add = ops.vectorize(lambda a, b: a + b)
    np.testing.assert_array_equal(add(np.ones((2, 1), np.float32), np.arange(3, dtype=np.float32)), [[1, 2, 3]] * 2)


@pytest.mark.parametrize("compiled", [False, True])
def test_custom_gradient_replaces_the_own_one(compiled: bool) -> None:
    @ops.custom_gradient
    def clipped(v: Any) -> Any:
        return v * 3.0, lambda dy: dy * 100.0

    def f(v: Any) -> Any:
        with nacre.GradientTape() as tape:
            tape.watch(v)
            y = ops.sum(clipped(v * 2.0))
        return y, tape.gradient(y, v)

    y, dv = (CompiledFunction(f) if compiled else f)(tensor(1.0, 2.0))
    assert float(y) == 18.0
    np.testing.assert_array_equal(dv, [200.0, 200.0])


def test_custom_gradient_takes_the_form_with_upstream() -> None:
    @ops.custom_gradient
    def log1pexp(v: Any) -> Any:
        e = ops.exp(v)

        def grad(*args: Any, upstream: Any = None) -> Any:
            if upstream is None:
                (upstream,) = args
            return upstream * (1 - 1 / (1 + e))

        return ops.log(1 + e), grad

    x = tensor(100.0, 0.0)
    with nacre.GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(log1pexp(x))
    np.testing.assert_allclose(np.nan_to_num(tape.gradient(y, x)), [1.0, 0.5])


def test_stop_gradient_stops_it() -> None:
    x = tensor(3.0)
    with nacre.GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(x * ops.stop_gradient(x))
    np.testing.assert_array_equal(tape.gradient(y, x), [3.0])


def test_vectorize_goes_over_the_parts_that_a_signature_names() -> None:
    x, y = np.arange(12.0).reshape(2, 2, 3), np.arange(6.0).reshape(2, 3)
    product = ops.vectorize(ops.matmul, signature="(m,n),(n)->(m)")
    np.testing.assert_allclose(product(x, y), np.einsum("bmn,bn->bm", x, y))
    np.testing.assert_allclose(product(x, y[0]), x @ y[0])
    assert ops.vectorize(ops.diag, signature="(d,d)->(d)")(np.ones((4, 3, 3))).shape == (4, 3)
    for bad in ("(m", "m->m", "(m)->", 3):
        with pytest.raises(ValueError, match="expected a signature"):
            ops.vectorize(ops.trace, signature=bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not fit"):
        product(x, np.ones(4))
    with pytest.raises(ValueError, match="2 arguments"):
        product(x)
    with pytest.raises(ValueError, match="nothing to call"):
        product(np.ones((0, 2, 3)), np.ones(3))


def test_numbers_that_branches_return_are_tensors() -> None:
    assert ops.cond(True, lambda: 0.5, lambda: 1.0).dtype == "float32"
    assert ops.switch(1, [lambda x: 1, lambda x: {"a": x, "b": None}], 2)["a"].shape == ()
