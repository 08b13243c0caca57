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
