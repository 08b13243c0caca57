"""Padding, sums and activations around convolutions: the same numbers, and what is left beside the convolution."""

import numpy as np
import pytest

from nacre.core.autodiff import GradientTape
from nacre.core.variable import Variable
from nacre.ops import elementwise as e
from nacre.ops import nn
from nacre.ops.base import scalar
from nacre.ops.convolution import Conv2D
from nacre.ops.movement import Pad, Reshape
from nacre.ops.pooling import MaxPool2D
from nacre.ops.products import MatMul
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(5)
VALID = ((0, 0), (0, 0))
SAME3 = ((1, 1), (1, 1))


def variable(*shape):
    return Variable(RNG.standard_normal(shape).astype("float32"))


W, V, B, DW, R, M = (variable(*s) for s in ((3, 3, 4, 4), (1, 1, 4, 4), (4,), (3, 3, 1, 4), (1, 7, 6, 4), (4, 4)))


def conv(x, w=W, padding=SAME3, strides=(1, 1), groups=1):
    return Conv2D(strides, padding, (1, 1), groups)(x, w)


def padded(x, sides, fill=0.0):
    return Pad(((0, 0), *sides, (0, 0)), fill)(x)


def relu6(x):
    return e.Clip()(x, scalar(0.0), scalar(6.0))


def depthwise(x):
    return e.Add()(conv(x, DW, groups=4), B)


def layer(x):
    y = e.Add()(MatMul()(Reshape((84, 4))(x), M), B)
    return Reshape((2, 42, 4))(y)


ACTIVATIONS = {
    "hard sigmoid": nn.hard_sigmoid,
    "hard silu": nn.hard_silu,
    "sigmoid": e.Sigmoid(),
    "silu": nn.silu,
    "tanh": e.Tanh(),
    "gelu": lambda x: nn.gelu(x, approximate=False),
}

# A function of x (2, 7, 6, 4), and the ops that its plan consists of.
CASES = {
    "pad": (lambda x: conv(padded(x, ((1, 2), (0, 3))), padding=VALID, strides=(2, 2)), ["Conv2D"]),
    "pad twice": (lambda x: conv(padded(x, ((1, 1), (2, 0)))), ["Conv2D"]),
    "pad of a depthwise": (lambda x: conv(padded(x, ((0, 1), (0, 1))), DW, VALID, (2, 2), 4), ["Conv2D"]),
    "pad with ones": (lambda x: conv(padded(x, SAME3, 1.0), padding=VALID), ["Pad", "Conv2D"]),
    "relu": (lambda x: e.Relu()(conv(x)), ["Conv2DSum"]),
    "relu6": (lambda x: relu6(conv(x)), ["Conv2DSum"]),
    "bias and relu6": (lambda x: relu6(e.Add()(conv(x), B)), ["Conv2DSum"]),
    "other limits": (lambda x: e.Clip()(conv(x), scalar(0.0), scalar(5.0)), ["Conv2D", "Fused"]),
    "depthwise relu6": (lambda x: relu6(e.Add()(conv(x, DW, groups=4), B)), ["Conv2DSum"]),
    **{
        f"{name} of {what}": (lambda x, act=act, made=made: act(made(x)), ["Conv2DSum"])
        for name, act in ACTIVATIONS.items()
        for what, made in (("single pixels", lambda x: e.Add()(conv(x, V, VALID), B)), ("a depthwise", depthwise))
    },
    **{
        f"{name} of a layer": (lambda x, act=act: act(layer(x)), ["DenseBias"]) for name, act in ACTIVATIONS.items()
    },
    "silu of what is read twice": (
        lambda x: (lambda y: e.Add()(nn.silu(y), y))(conv(x, V, VALID)), ["Conv2D", "Fused"],
    ),
    "sigmoid beside silu": (
        lambda x: (lambda y: (nn.silu(y), e.Sigmoid()(y)))(conv(x, V, VALID)), ["Conv2D", "Fused"],
    ),
    "sum": (lambda x: e.Add()(e.Add()(conv(x), B), x), ["Conv2DSum"]),
    "sum, relu": (lambda x: e.Relu()(e.Add()(x, e.Add()(conv(x), B))), ["Conv2DSum"]),
    "sum of a depthwise": (lambda x: e.Add()(conv(x, DW, groups=4), x), ["Conv2D", "Add"]),
    "sum of two": (lambda x: e.Relu()(e.Add()(conv(x), conv(x, V, VALID))), ["Conv2D", "Conv2DSum"]),
    "sum with itself": (lambda x: (lambda y: e.Add()(y, y))(conv(x)), ["Conv2D", "Fused"]),
    "sum of three": (lambda x: e.Add()(e.Add()(conv(x), x), relu6(x)), ["Conv2DSum", "Fused"]),
    "relu of a sum of relu": (
        lambda x: e.Relu()(e.Add()(e.Relu()(e.Add()(conv(x), B)), x)), ["Conv2DBias", "Fused"],
    ),
    "broadcast summand": (lambda x: e.Add()(conv(x), R), ["Conv2D", "Add"]),
    "read twice": (lambda x: (lambda y: (e.Relu()(y), y))(conv(x)), ["Conv2D", "Relu"]),
    "pool of padded relu": (
        lambda x: MaxPool2D((3, 3), (2, 2), VALID, False)(padded(e.Relu()(conv(x)), SAME3)), ["Conv2DSum", "MaxPool2D"],
    ),
    "pool of padded numbers": (
        lambda x: MaxPool2D((3, 3), (2, 2), VALID, False)(padded(conv(x), SAME3)), ["Conv2D", "Pad", "MaxPool2D"],
    ),
    "pool that sees padding alone": (
        lambda x: MaxPool2D((2, 2), (1, 1), VALID, False)(padded(relu6(x), ((2, 0), (0, 0)))),
        ["Fused", "Pad", "MaxPool2D"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_separate_ops(name):
    fn, expected = CASES[name]
    x = RNG.standard_normal((2, 7, 6, 4)).astype("float32") * 3
    compiled = CompiledFunction(fn)
    got, one_by_one = compiled(x), fn(e.Copy()(Variable(x).value))
    for a, b in zip(got if isinstance(got, tuple) else [got], one_by_one if isinstance(got, tuple) else [one_by_one]):
        b = np.asarray(b)
        # with a bias, the sum of 9 * 4 products starts from it instead of ending with it
        np.testing.assert_allclose(a, b, rtol=0, atol=37 * np.finfo(np.float32).eps * np.abs(b).max())
    origins = [o for o in compiled._plan(((x,), {}))[0].origins if o != "store"]
    assert sorted(origins) == sorted(expected)


def test_transformed_tiles_have_relu_and_relu6_alone():
    x, w = RNG.standard_normal((2, 28, 28, 32)).astype("float32"), variable(3, 3, 32, 32)
    for act, origins in ((relu6, ["Conv2DSum"] * 2), (nn.silu, ["Conv2D", "Conv2D", "Fused"])):
        compiled = CompiledFunction(lambda x, act=act: act(conv(x, w)))
        y = np.asarray(compiled(x))
        got = compiled._plan(((x,), {}))[0].origins
        assert sorted(o for o in got if o != "store") == origins, got
        np.testing.assert_allclose(y, np.asarray(act(conv(Variable(x).value, w))), atol=2e-3)


def test_an_image_of_one_pixel_is_a_row_of_a_dense_layer():
    x, w, b = RNG.standard_normal((3, 1, 1, 40)).astype("float32"), variable(1, 1, 40, 600), variable(600)
    compiled = CompiledFunction(lambda x: nn.hard_sigmoid(e.Add()(conv(x, w, VALID), b)))
    y = np.asarray(compiled(x)).reshape(3, 600)
    assert [row["kernel"] for row in compiled.profile(x)] == ["dense"]
    sums = x.reshape(3, 40).astype(np.float64) @ w.numpy()[0, 0] + b.numpy()
    np.testing.assert_allclose(y, np.clip(sums + 3, 0, 6) / 6, atol=1e-4)


def test_gradients_through_what_was_absorbed():
    x = RNG.standard_normal((2, 7, 6, 4)).astype("float32")

    def step(x):
        with GradientTape() as tape:
            h = e.Relu()(e.Add()(e.Add()(conv(padded(x, SAME3), padding=VALID), B), x))
            y = relu6(e.Add()(conv(h, V, VALID), h))
            loss = nn.moments(y, (0, 1, 2, 3))[0]
        return [loss, *tape.gradient(loss, [W, V, B])]

    for got, expected in zip(CompiledFunction(step)(x), step(Variable(x).value)):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def gradients_of_padded(x, weights, fn):
    """What training needs of fn(x padded): gradients of x and of weights."""

    def step(x):
        with GradientTape() as tape:
            tape.watch(x)
            h = e.Relu()(x)
            loss = nn.moments(e.Square()(fn(h)), (0, 1, 2, 3))[0]
        return [loss, *tape.gradient(loss, [x, *weights])]

    compiled = CompiledFunction(step)
    for got, expected in zip(compiled(x), step(e.Copy()(Variable(x).value))):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    return compiled._plan(((x,), {}))[0].origins


@pytest.mark.parametrize("weights", [W, DW], ids=["whole", "depthwise"])
def test_training_pads_nothing_in_front_of_a_convolution_and_cuts_nothing_behind_its_gradient(weights):
    x = RNG.standard_normal((2, 7, 6, 4)).astype("float32")
    origins = gradients_of_padded(
        x, [weights], lambda h: conv(padded(h, ((0, 1), (2, 1))), weights, VALID, (2, 2), 4 // weights.shape[2])
    )
    assert not {"Pad", "Slice"} & set(origins)


def test_training_pads_nothing_in_front_of_a_pool_of_what_is_never_negative():
    x = RNG.standard_normal((2, 7, 6, 4)).astype("float32")
    origins = gradients_of_padded(
        x, [], lambda h: MaxPool2D((3, 3), (2, 2), VALID, True)(padded(h, ((1, 1), (1, 1))))[0]
    )
    assert not {"Pad", "Slice"} & set(origins)


def test_what_something_else_reads_stays_padded():
    x = RNG.standard_normal((2, 7, 6, 4)).astype("float32")

    def fn(x):
        h = padded(x, SAME3)
        return conv(h, padding=VALID), h * 2.0

    compiled = CompiledFunction(fn)
    for got, expected in zip(compiled(x), fn(Variable(x).value)):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert "Pad" in compiled._plan(((x,), {}))[0].origins
