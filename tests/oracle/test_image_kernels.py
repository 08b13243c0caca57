"""The convolution and pooling kernels against real Keras and JAX's gradients."""

import numpy as np
import pytest

from kernels.conv_reference import Conv
from kernels.image_calls import run
from kernels.test_depthwise_conv import setup as depthwise_setup
from kernels.test_pool import pool
from nacre import _core

ISA = _core.isa()
CONVOLUTIONS = [
    Conv(N=2, H=9, W=8, C=5, O=7, KH=3, KW=3, padding="same", bias=0),
    Conv(N=2, H=9, W=8, C=5, O=7, KH=5, KW=3, SH=2, SW=3, padding="same", bias=0),
    Conv(N=2, H=9, W=8, C=6, O=8, KH=3, KW=3, G=2, bias=0),
    Conv(N=2, H=13, W=12, C=3, O=4, KH=3, KW=3, DH=2, DW=2, padding="same", bias=0),
    Conv(N=1, H=2, W=3, C=3, O=4, KH=5, KW=7, padding="same", bias=0),
]
POOLS = [
    (pool(N=2, H=8, W=7, C=5), "valid"),
    (pool(N=2, H=8, W=7, C=5, K=(3, 3), S=(2, 2), padding="same"), "same"),
    (pool(N=2, H=8, W=9, C=5, K=(3, 2), S=(1, 3), padding="same"), "same"),
]


def near(got, want, terms):
    want = np.asarray(want)
    assert np.allclose(got.reshape(want.shape), want, rtol=0, atol=1e-6 * terms)


@pytest.fixture
def jax(real):
    return pytest.importorskip("jax", reason="JAX is not installed: pip install nacre[oracle]")


def value_and_gradients(jax, function, arguments, dy):
    y, back = jax.vjp(function, *arguments)
    return y, back(dy)


@pytest.mark.parametrize("conv", CONVOLUTIONS, ids=str)
def test_convolution(real, jax, conv):
    s = conv.shape()
    rng = np.random.default_rng(3)
    x = rng.standard_normal((s["N"], s["H"], s["W"], s["C"])).astype(np.float32)
    w = rng.standard_normal((s["KH"], s["KW"], s["C"] // s["G"], s["O"])).astype(np.float32)
    dy = rng.standard_normal((s["N"], s["OH"], s["OW"], s["O"])).astype(np.float32)
    options = {"strides": (s["SH"], s["SW"]), "padding": conv.padding, "dilation_rate": (s["DH"], s["DW"])}
    y, (dx, dw) = value_and_gradients(jax, lambda x, w: real.ops.conv(x, w, **options), (x, w), dy)
    near(run("conv2d", s, (x, w, None, None), ISA)[0], y, w.size)
    near(run("conv2d_grad_x", dict(s, bias=0), (dy, w, None, None, None), ISA)[0], dx, w.size)
    parts = run("conv2d_grad_w", s, (x, dy), ISA)
    near(run("conv2d_grad_w_join", s, parts, ISA)[0], dw, dy.size)


@pytest.mark.parametrize("case", [(6, 1), (3, 2)], ids=str)
def test_depthwise_convolution(real, jax, case):
    s, _, x, w, _, dy = depthwise_setup(*case, Conv(N=2, H=9, W=8, KH=3, KW=3, SH=2, SW=2, padding="same", bias=0))

    def function(x, w):
        return real.ops.depthwise_conv(x, w, strides=2, padding="same")

    y, (dx, dw) = value_and_gradients(jax, function, (x, w), dy)
    near(run("depthwise_conv2d", s, (x, w, None), ISA)[0], y, 9)
    near(run("depthwise_conv2d_grad_x", s, (dy, w, None), ISA)[0], dx, 18)
    near(run("depthwise_conv2d_grad_w_join", s, run("depthwise_conv2d_grad_w", s, (x, dy), ISA), ISA)[0], dw, dy.size)


@pytest.mark.parametrize(("s", "padding"), POOLS, ids=["2x2", "3x3-same", "3x2-same"])
def test_pooling(real, jax, s, padding):
    rng = np.random.default_rng(4)
    x = np.round(rng.standard_normal((s["N"], s["H"], s["W"], s["C"]))).astype(np.float32)  # many equal maxima
    dy = rng.standard_normal((s["N"], s["OH"], s["OW"], s["C"])).astype(np.float32)
    size, strides = (s["KH"], s["KW"]), (s["SH"], s["SW"])
    y, (dx,) = value_and_gradients(jax, lambda x: real.ops.max_pool(x, size, strides, padding), (x,), dy)
    got, index = run("max_pool2d", dict(s, index=1), (x,), ISA)
    assert np.array_equal(got, np.asarray(y).ravel())
    near(run("max_pool2d_grad_x", s, (dy, index), ISA)[0], dx, 9)
    y, (dx,) = value_and_gradients(jax, lambda x: real.ops.average_pool(x, size, strides, padding), (x,), dy)
    near(run("avg_pool2d", s, (x,), ISA)[0], y, 9)
    near(run("avg_pool2d_grad_x", s, (dy,), ISA)[0], dx, 9)
