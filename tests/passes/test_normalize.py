"""Batch normalization in plans: the numbers of the separate ops, and what is left beside it."""

import numpy as np
import pytest

from nacre.core.autodiff import GradientTape
from nacre.core.variable import Variable
from nacre.ops import elementwise as e
from nacre.ops.base import scalar
from nacre.ops.batch_norm import batch_normalized
from nacre.ops.convolution import Conv2D
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(11)
VALID = ((0, 0), (0, 0))


def variable(*shape):
    return Variable(RNG.standard_normal(shape).astype("float32"))


W, V, GAMMA, BETA = variable(3, 3, 5, 7), variable(1, 1, 7, 7), variable(7), variable(7)


def conv(x, w=V):
    return Conv2D((1, 1), VALID)(x, w)


def bn(x, gamma=GAMMA, beta=BETA):
    return batch_normalized(x, gamma, beta, 1e-3)[0]


def relu6(x, high=6.0):
    return e.Clip()(x, scalar(0.0), scalar(high))


def silu(x):
    return e.Mul()(x, e.Sigmoid()(x))


# A function of h (2, 7, 6, 7), and how many BatchNorm and BatchNormMore a step with it has; the others are elementwise.
CASES = {
    "relu": (lambda h: conv(e.Relu()(bn(h))), (0, 1)),
    "relu6": (lambda h: conv(relu6(bn(h))), (0, 1)),
    "relu, no gamma": (lambda h: conv(e.Relu()(bn(h, None))), (0, 1)),
    "relu6, no beta": (lambda h: conv(relu6(bn(h, GAMMA, None))), (0, 1)),
    "relu, nothing": (lambda h: conv(e.Relu()(bn(h, None, None))), (0, 1)),
    "other limits": (lambda h: conv(relu6(bn(h), 5.0)), (0, 0)),
    "sum": (lambda h: conv(e.Add()(bn(conv(h)), h)), (0, 1)),
    "sum, relu": (lambda h: conv(e.Relu()(e.Add()(h, bn(conv(h))))), (0, 1)),
    "sum, relu6": (lambda h: conv(relu6(e.Add()(bn(conv(h)), h))), (0, 1)),
    "sum of two": (lambda h: conv(e.Relu()(e.Add()(bn(conv(h)), bn(h)))), (1, 1)),
    "sum with itself": (lambda h: (lambda y: conv(e.Add()(y, y)))(bn(h)), (0, 0)),
    "alone": (lambda h: conv(bn(h)), (1, 0)),
    "read twice": (lambda h: (lambda y: e.Add()(conv(e.Relu()(y)), y))(bn(h)), (0, 0)),
    "relu read twice": (lambda h: (lambda y: e.Add()(conv(y), y))(e.Relu()(bn(h))), (0, 1)),
    "relu of relu": (lambda h: conv(e.Relu()(bn(conv(e.Relu()(bn(h)))))), (0, 2)),
    "tanh": (lambda h: conv(e.Tanh()(bn(h))), (0, 0)),
    "silu": (lambda h: conv(silu(bn(h))), (0, 0)),
    "silu read twice": (lambda h: (lambda y: e.Add()(conv(y), y))(silu(bn(h))), (0, 0)),
}


def step_of(fn, variables):
    def step(x):
        with GradientTape() as tape:
            y = fn(conv(x, W))
            loss = e.SumTo(())(e.Square()(y))
        return [loss, y, *tape.gradient(loss, variables)]

    return step


@pytest.mark.parametrize("name", CASES)
def test_a_step_has_the_numbers_of_the_separate_ops(name):
    fn, expected_ops = CASES[name]
    used = [W, V, *([] if "nothing" in name or "no gamma" in name else [GAMMA])]
    used += [] if "nothing" in name or "no beta" in name else [BETA]
    step = step_of(fn, used)
    x = 2 * RNG.standard_normal((2, 9, 8, 5)).astype("float32")
    compiled = CompiledFunction(step)
    for got, expected in zip(compiled(x), step(e.Copy()(Variable(x).value))):
        expected = np.asarray(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    origins = compiled._plan(((x,), {}))[0].origins
    assert (origins.count("BatchNorm"), origins.count("BatchNormMore")) == expected_ops


def test_relu6_lets_gradients_through_at_both_ends_and_nowhere_else():
    x = 4 * RNG.standard_normal((2, 9, 8, 5)).astype("float32")
    used = [W, V, GAMMA, BETA]
    step = step_of(lambda h: conv(relu6(bn(h, e.Mul()(GAMMA, scalar(9.0))))), used)
    expected = step(e.Copy()(Variable(x).value))
    for got, want in zip(CompiledFunction(step)(x), expected):
        want = np.asarray(want)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_a_value_that_leaves_the_program_is_kept():
    x = RNG.standard_normal((2, 7, 6, 7)).astype("float32")

    def fn(x):
        y = bn(x)
        return y, e.Relu()(y), relu6(e.Add()(bn(x, BETA, GAMMA), x))

    for got, want in zip(CompiledFunction(fn)(x), fn(e.Copy()(Variable(x).value))):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_plan_with_relu_keeps_nothing_between_normalization_and_activation():
    def step(x):
        with GradientTape() as tape:
            h = conv(x, W)
            for act in (e.Relu(), relu6):
                h = conv(act(bn(h)))
            loss = e.SumTo(())(e.Square()(h))
        return [loss, *tape.gradient(loss, [W, V, GAMMA, BETA])]

    x = RNG.standard_normal((8, 9, 8, 5)).astype("float32")
    compiled = CompiledFunction(step)
    compiled(x)
    origins = compiled._plan(((x,), {}))[0].origins
    assert origins.count("BatchNormMore") == 2
    assert not {"Relu", "ReluGrad", "Clip", "Select"} & set(origins)
    assert origins.count("Conv2DGradX") == 2, "no mask is left for the gradients of the convolutions"
