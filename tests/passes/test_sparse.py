"""Gradients of convolutions behind a maximum over whole images do without the zeros."""

import numpy as np
import pytest

from nacre import ops
from nacre.core.autodiff import GradientTape
from nacre.core.tensor import Tensor
from nacre.core.variable import Variable
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(11)


def image(x, w, b):
    return ops.max(ops.relu(ops.conv(x, w, padding="same") + b), axis=(1, 2))


def strided(x, w, b):
    return ops.max(ops.leaky_relu(ops.conv(x, w, strides=2, padding="valid") + b), axis=(1, 2))


def dilated(x, w, b):
    return -ops.max(ops.conv(x, w, dilation_rate=2, padding="same") + b, axis=(1, 2), keepdims=True)


def pooled(x, w, b):
    return ops.max(ops.max_pool(ops.relu(ops.conv(x, w, padding="same") + b), 2), axis=(1, 2))


def of_few(x, w, b):
    y = ops.conv(x, w, strides=4, padding="same") + b
    return ops.max(y, axis=(1, 2))


def read_twice(x, w, b):
    y = ops.conv(x, w, padding="same") + b
    return ops.max(y, axis=(1, 2)) + ops.mean(y, axis=(1, 2))


CASES = {image: True, strided: True, dilated: True, pooled: True, of_few: False, read_twice: False}


def gradients(fn, x, w, b):
    x, w, b = (Variable(v) for v in (x, w, b))

    def step(scale):
        with GradientTape() as tape:
            loss = ops.sum(fn(x * scale, w, b) ** 2)
        return [loss, *tape.gradient(loss, [x, w, b])]

    scale, compiled = Tensor.of(np.float32(0.5)), CompiledFunction(step)
    got = [v.numpy() for v in compiled(scale)]
    return got, [v.numpy() for v in step(scale)], {r["op"] for r in compiled.profile(scale, repeats=1)}


@pytest.mark.parametrize("fn", CASES, ids=lambda fn: fn.__name__)
def test_zeros_behind_a_maximum_are_not_multiplied(fn):
    x = RNG.standard_normal((3, 14, 15, 5)).astype("float32")
    w = RNG.standard_normal((3, 3, 5, 7)).astype("float32")
    got, want, made = gradients(fn, x, w, RNG.standard_normal(7).astype("float32"))
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
    assert ({"Conv2DSparseGradX", "Conv2DSparseGradW"} <= made) == CASES[fn]


def test_several_largest_share_alike():
    x = np.ones((2, 9, 9, 1), "float32")
    w = RNG.standard_normal((1, 1, 1, 3)).astype("float32")
    got, want, made = gradients(image, x, w, np.ones(3, "float32"))
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert "Conv2DSparseGradW" in made
