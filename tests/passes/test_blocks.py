"""Convolution, depthwise convolution and one of single pixels as one node: the same bits, where it pays."""

import numpy as np
import pytest

from nacre import _core
from nacre.core.variable import Variable
from nacre.ops import elementwise as e
from nacre.ops.base import scalar
from nacre.ops.convolution import Conv2D
from nacre.passes import blocks
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(4)
NONE, SAME3 = ((0, 0), (0, 0)), ((1, 1), (1, 1))


def variable(*shape):
    return Variable((RNG.standard_normal(shape) / np.prod(shape[:-1]) ** 0.5).astype("float32"))


def origins(compiled, *args):
    return [o for o in compiled._plan((args, {}))[0].origins if o != "store"]


def relu6(x):
    return e.Clip()(x, scalar(0.0), scalar(6.0))


class Block:
    """x (N, H, W, 64) through 1152 channels to 64."""

    def __init__(self, stride=1, residual=True, window=3, dilation=1):
        self.w = [variable(1, 1, 64, 1152), variable(window, window, 1, 1152), variable(1, 1, 1152, 64)]
        self.b = [variable(1152), variable(1152), variable(64)]
        self.stride, self.residual, self.pad, self.dilation = stride, residual, dilation * (window // 2), dilation

    def __call__(self, x):
        (w1, w2, w3), (b1, b2, b3) = self.w, self.b
        y = relu6(e.Add()(Conv2D((1, 1), NONE)(x, w1), b1))
        around, step = ((self.pad, self.pad),) * 2, (self.stride,) * 2
        y = relu6(e.Add()(Conv2D(step, around, (self.dilation,) * 2, 1152)(y, w2), b2))
        y = e.Add()(Conv2D((1, 1), NONE)(y, w3), b3)
        return e.Add()(y, x) if self.residual else y


@pytest.fixture(autouse=True)
def one_thread():
    before = _core.get_threads()
    _core.set_threads(1)
    yield
    _core.set_threads(before)


def image(n, side):
    return RNG.standard_normal((n, side, side, 64)).astype("float32")


def without_blocks(monkeypatch, block, x):
    monkeypatch.setattr(blocks, "_follow", lambda *args: False)
    return np.asarray(CompiledFunction(block)(x))


@pytest.mark.parametrize("n", (1, 3))
@pytest.mark.parametrize("stride", (1, 2))
@pytest.mark.parametrize("side", (8, 14, 23))
def test_a_block_gives_the_bits_of_its_parts(monkeypatch, side, stride, n):
    block, x = Block(stride, residual=stride == 1), image(n, side)
    compiled = CompiledFunction(block)
    got = np.asarray(compiled(x))
    expanded = side >= 14
    assert origins(compiled, x) == (["DepthwiseBlock"] if expanded else ["Conv2DPacked", "DepthwiseBlock"])
    assert got.tobytes() == without_blocks(monkeypatch, block, x).tobytes()


def test_bits_do_not_depend_on_threads():
    block, x, found = Block(), image(1, 28), []
    for threads in (1, 2, 3):
        _core.set_threads(threads)
        found.append(np.asarray(CompiledFunction(block)(x)).tobytes())
    assert found[0] == found[1] == found[2]


def test_rows_that_several_threads_would_compute_keep_an_expansion_apart():
    _core.set_threads(2)
    assert "Conv2DPacked" in origins(CompiledFunction(Block()), image(1, 20))
    assert origins(CompiledFunction(Block()), image(2, 20)) == ["DepthwiseBlock"]


@pytest.mark.parametrize("block", (Block(window=5), Block(dilation=2)), ids=("5x5", "dilated"))
def test_other_windows_are_left_alone(block):
    assert "DepthwiseBlock" not in origins(CompiledFunction(block), image(1, 20))


def test_values_that_others_read_are_left_alone():
    block, x = Block(), image(1, 20)
    (w1, w2, w3), (b1, b2, b3) = block.w, block.b

    def both(x):
        y = relu6(e.Add()(Conv2D((1, 1), NONE)(x, w1), b1))
        z = relu6(e.Add()(Conv2D((1, 1), SAME3, (1, 1), 1152)(y, w2), b2))
        return e.Add()(Conv2D((1, 1), NONE)(z, w3), b3), z, y

    assert "DepthwiseBlock" not in origins(CompiledFunction(both), x)
