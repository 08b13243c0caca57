"""Batches a few rows at a time: the same bits, in how many strips, and what is left alone."""

import numpy as np
import pytest

from nacre.core.autodiff import GradientTape
from nacre.core.variable import Variable
from nacre.ops import elementwise as e
from nacre.ops import nn
from nacre.ops.base import scalar
from nacre.ops.convolution import Conv2D
from nacre.ops.movement import Reshape
from nacre.ops.pooling import AvgPool2D, MaxPool2D
from nacre.passes import strips
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(3)
SAME3 = ((1, 1), (1, 1))
NONE = ((0, 0), (0, 0))


def variable(*shape):
    return Variable(RNG.standard_normal(shape).astype("float32"))


WIDE, DEEP, BACK, BIAS = variable(1, 1, 4, 24), variable(3, 3, 1, 24), variable(1, 1, 24, 4), variable(24)
IMAGE, ROWS, POINT = variable(1, 6, 5, 4), variable(7, 1, 1, 4), variable(1, 1, 4, 4)


def relu6(x):
    return e.Clip()(x, scalar(0.0), scalar(6.0))


def bottleneck(x):
    y = relu6(e.Add()(Conv2D((1, 1), NONE)(x, WIDE), BIAS))
    y = relu6(Conv2D((1, 1), SAME3, (1, 1), 24)(y, DEEP))
    return e.Add()(Conv2D((1, 1), NONE)(y, BACK), x)


def pooled(x):
    y = e.Sin()(Conv2D((1, 1), NONE)(x, POINT))
    return AvgPool2D((2, 2), (1, 1), NONE)(MaxPool2D((3, 3), (1, 1), SAME3, False)(y))


def left_in_between(x):
    y = bottleneck(x)
    return y, bottleneck(e.Exp()(y))


def shared_and_own(x):
    return bottleneck(e.Mul()(e.Add()(bottleneck(x), IMAGE), ROWS))


def other_work_between(x):
    y = e.Relu()(bottleneck(e.Relu()(Conv2D((1, 1), NONE)(x, POINT))))
    w = e.Mul()(WIDE, e.Exp()(BIAS.value))
    return e.Relu()(Conv2D((1, 1), NONE)(y, w))


CASES = {
    "bottleneck": bottleneck,
    "pools": pooled,
    "left in between": left_in_between,
    "shared and own": shared_and_own,
    "other work between": other_work_between,
}


def flat(values):
    return [np.asarray(v) for v in (values if isinstance(values, (list, tuple)) else [values])]


def plan_of(compiled, *args):
    return compiled._plan((args, {}))[0]


@pytest.mark.parametrize("near", [1, 700, 3000])
@pytest.mark.parametrize("name", CASES)
def test_bits_are_those_of_whole_batches(name, near, monkeypatch):
    x = RNG.standard_normal((7, 6, 5, 4)).astype("float32")
    whole = CompiledFunction(CASES[name])
    expected = flat(whole(x))
    monkeypatch.setattr(strips, "NEAR", near)
    cut = CompiledFunction(CASES[name])
    for got, want in zip(flat(cut(x)), expected):
        assert got.tobytes() == want.tobytes()
    assert len(plan_of(cut, x).origins) > len(plan_of(whole, x).origins)


@pytest.mark.parametrize(("rows", "strips_made"), [(1, 1), (2, 2), (7, 7), (64, 64), (65, 33), (200, 50)])
def test_a_row_at_a_time_in_at_most_64_strips(rows, strips_made, monkeypatch):
    monkeypatch.setattr(strips, "NEAR", 1)
    x = RNG.standard_normal((rows, 6, 5, 4)).astype("float32")
    compiled = CompiledFunction(bottleneck)
    assert plan_of(compiled, x).origins.count("Conv2DSum") == 3 * strips_made
    for part in (slice(0, 1), slice(rows - 1, rows)):
        assert np.asarray(compiled(x))[part].tobytes() == np.asarray(compiled(x[part])).tobytes()


def test_as_many_rows_as_are_near(monkeypatch):
    x = RNG.standard_normal((12, 6, 5, 4)).astype("float32")
    most = 4 * 6 * 5 * (24 + 24)  # bytes that a row of the depthwise convolution reads and writes
    monkeypatch.setattr(strips._core, "get_threads", lambda: 3, raising=True)
    monkeypatch.setattr(strips, "NEAR", most)  # of each thread: three rows
    compiled = CompiledFunction(lambda x: bottleneck(bottleneck(x)))
    origins = plan_of(compiled, x).origins
    assert origins.count("Conv2DSum") == 6 * 4


def test_memory_is_that_of_a_strip(monkeypatch):
    x = RNG.standard_normal((64, 6, 5, 4)).astype("float32")
    whole = plan_of(CompiledFunction(bottleneck), x).program.arena_bytes
    monkeypatch.setattr(strips, "NEAR", 1)
    assert plan_of(CompiledFunction(bottleneck), x).program.arena_bytes * 50 < whole


def step(x):
    with GradientTape() as tape:
        tape.watch(x)
        y = bottleneck(bottleneck(x))
        loss = nn.moments(y, (0, 1, 2, 3))[0]
    return [loss, *tape.gradient(loss, [WIDE, DEEP, BACK, BIAS])]


def dependent_rows(x):
    y = Conv2D((1, 1), NONE)(x, WIDE)
    return e.Exp()(Reshape((24, 210))(y)), e.Exp()(e.SumTo((1, 6, 5, 4))(x))


@pytest.mark.parametrize("fn", [step, dependent_rows])
def test_what_is_wanted_later_or_mixes_rows_stays_whole(fn, monkeypatch):
    x = RNG.standard_normal((7, 6, 5, 4)).astype("float32")
    before = plan_of(CompiledFunction(fn), x).origins
    monkeypatch.setattr(strips, "NEAR", 1)
    compiled = CompiledFunction(fn)
    assert plan_of(compiled, x).origins == before
    compiled(x)


def test_images_that_are_their_own_weights(monkeypatch):
    def fn(x):
        return e.Exp()(e.Relu()(Conv2D((1, 1), SAME3)(e.Abs()(x), e.Abs()(x))))

    x = RNG.standard_normal((3, 3, 3, 3)).astype("float32")
    expected = np.asarray(CompiledFunction(fn)(x))
    monkeypatch.setattr(strips, "NEAR", 1)
    assert np.asarray(CompiledFunction(fn)(x)).tobytes() == expected.tobytes()
