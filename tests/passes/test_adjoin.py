"""Gradients of slices side by side are joined."""

import numpy as np
import pytest

from nacre import ops
from nacre.core.autodiff import GradientTape
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(5)


def halves(v):
    return ops.sigmoid(v[..., :5]) * v[..., 5:10] + ops.exp(v[..., 10:])


def steps(v):
    h = v[:, 0]
    for t in range(1, v.shape[1]):
        h = ops.tanh(h + v[:, t])
    return h


def inner(v):  # what stands before the first and behind the last is not read
    return ops.sin(v[:, 1:3]) * v[:, 3:5]


def apart(v):
    return v[:, :2] * v[:, 3:5]


def two_axes(v):
    return v[:2, :2] * v[2:4, 2:4]


CASES = {halves: ("Concat",), steps: ("Concat",), inner: ("Concat", "Pad"), apart: ("Pad",), two_axes: ("Pad",)}


@pytest.mark.parametrize("fn", CASES, ids=lambda fn: fn.__name__)
def test_the_sum_of_padded_gradients_is_joined_where_they_lie_side_by_side(fn):
    x = Variable(RNG.standard_normal((4, 6, 15)).astype("float32"))

    def step(scale):
        with GradientTape() as tape:
            loss = ops.sum(fn(x * scale) ** 2)
        return [loss, *tape.gradient(loss, [x])]

    compiled = CompiledFunction(step)
    scale = Tensor.of(np.float32(0.5))
    for eager, y in zip(step(scale), compiled(scale)):
        np.testing.assert_allclose(y.numpy(), eager.numpy(), rtol=2e-6, atol=2e-6)
    made = {r["op"] for r in compiled.profile(scale, repeats=1)} & {"Concat", "Pad"}
    assert made == set(CASES[fn])


def test_a_slice_whose_gradient_is_read_elsewhere_keeps_it():
    x = Variable(RNG.standard_normal((3, 8)).astype("float32"))

    def step(scale):
        with GradientTape(persistent=True) as tape:
            v = x * scale
            a, b = ops.sum(v[:, :4] ** 2), ops.sum(v[:, 4:] ** 3)
            both = a + b
        return [*tape.gradient(a, [v]), *tape.gradient(both, [v])]

    scale = Tensor.of(np.float32(2))
    for eager, y in zip(step(scale), CompiledFunction(step)(scale)):
        np.testing.assert_allclose(y.numpy(), eager.numpy(), rtol=2e-6)


@pytest.mark.parametrize(("rows", "made"), [(40, ["TakeGradX"]), (20, ["TakeGradX", "TakeGradX"])], ids=str)
@pytest.mark.parametrize("row", [(), (3,), (2, 3)], ids=str)
def test_rows_looked_up_at_several_places_have_one_gradient(rows, made, row):
    table = Variable(RNG.standard_normal((rows, *row)).astype("float32"))
    places = [Tensor.of(RNG.integers(-rows, rows, size).astype("int32")) for size in [(4, 2), (7,), (3, 3, 1)]]

    def step(*index):
        with GradientTape() as tape:
            whole = table.value * 2.0
            a, b, c = (ops.take(whole, i, axis=0) for i in index)
            loss = ops.sum(a[0] * b[:2]) + ops.sum(ops.sin(b)) + ops.sum(c**2)
        return [loss, *tape.gradient(loss, [table])]

    compiled = CompiledFunction(step)
    for eager, y in zip(step(*places), compiled(*places), strict=True):
        np.testing.assert_allclose(y.numpy(), eager.numpy(), rtol=2e-6, atol=2e-6)
    assert [r["op"] for r in compiled.profile(*places, repeats=1) if "TakeGrad" in r["op"]] == made
