"""Weights packed once for the convolution: the same numbers after every write, and only where nothing writes them."""

import numpy as np
import pytest

from nacre.core.variable import Variable
from nacre.ops import elementwise as e
from nacre.ops.base import scalar
from nacre.ops.convolution import Conv2D, Conv2DGradW, Conv2DGradX
from nacre.ops.convolution_kernels import grad_w_tile_for, tile_for
from nacre.ops.elementwise import SumTo
from nacre.passes.surround import Conv2DSum
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(9)
SAME3 = ((1, 1), (1, 1))
NONE = ((0, 0), (0, 0))


def variable(*shape):
    return Variable((RNG.standard_normal(shape) / np.prod(shape[:-1]) ** 0.5).astype("float32"))


def origins(compiled, *args):
    return sorted(o for o in compiled._plan((args, {}))[0].origins if o != "store")


def close(got, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


CASES = {  # of weights, strides, padding, dilation, groups, what reads them packed
    "3x3": ((3, 3, 64, 128), (1, 1), SAME3, (1, 1), 1, "Winograd"),
    "strided": ((3, 3, 64, 128), (2, 2), SAME3, (1, 1), 1, "Conv2DPacked"),
    "dilated": ((3, 3, 64, 128), (1, 1), SAME3, (2, 2), 1, "Conv2DPacked"),
    "5x5": ((5, 5, 64, 128), (1, 1), SAME3, (1, 1), 1, "Winograd"),
    "7x7": ((7, 7, 64, 128), (1, 1), SAME3, (1, 1), 1, "Conv2DPacked"),
    "1x1": ((1, 1, 64, 1024), (1, 1), NONE, (1, 1), 1, "Conv2DPacked"),
    "odd numbers": ((3, 3, 64, 131), (1, 1), NONE, (1, 1), 1, "Winograd"),
    "groups": ((5, 5, 16, 200), (1, 1), SAME3, (1, 1), 4, "Conv2DPacked"),
    "groups of 3x3": ((3, 3, 32, 256), (1, 1), SAME3, (1, 1), 2, "Conv2DPacked"),
    "small": ((3, 3, 64, 16), (1, 1), SAME3, (1, 1), 1, None),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_separate_ops(name):
    shape, strides, padding, dilation, groups, packed = CASES[name]
    w, b = variable(*shape), variable(shape[-1])
    x = RNG.standard_normal((2, 9, 8, 64)).astype("float32")

    def step(x):
        y = e.Add()(Conv2D(strides, padding, dilation, groups)(x, w), b)
        return e.Clip()(e.Add()(y, y * 0.5), scalar(0.0), scalar(6.0)), e.Relu()(
            Conv2D(strides, padding, dilation, groups)(x, w)
        )

    compiled = CompiledFunction(step)
    for _ in range(2):
        for got, expected in zip(compiled(x), step(Variable(x).value)):
            close(got, expected)
        w.assign(w * -0.5)  # the next call has to see this
    assert {"Conv2DPacked", "Winograd"} & set(origins(compiled, x)) == ({packed} if packed else set())


@pytest.mark.parametrize(("rows", "reader"), [(5, "Conv2DPacked"), (9, "Winograd")])
def test_residual_and_activation_stay_with_the_convolution(rows, reader):
    w, b = variable(3, 3, 96, 96), variable(96)
    x = RNG.standard_normal((1, rows, 7, 96)).astype("float32")

    def step(x):
        return e.Relu()(e.Add()(e.Add()(Conv2D((1, 1), SAME3)(x, w), b), x))

    compiled = CompiledFunction(step)
    close(compiled(x), step(Variable(x).value))
    assert origins(compiled, x) == [reader]


def test_one_variable_read_in_two_ways_has_two_layouts():
    w = variable(3, 3, 64, 128)
    x = RNG.standard_normal((1, 8, 8, 64)).astype("float32")

    def step(x):
        return Conv2D((1, 1), SAME3)(x, w), Conv2D((2, 2), SAME3)(x, w), Conv2D((1, 1), NONE)(x, w)

    compiled = CompiledFunction(step)
    for got, expected in zip(compiled(x), step(Variable(x).value)):
        close(got, expected)
    assert len(compiled._plan(((x,), {}))[0]._kept) == 2


def test_weights_that_the_program_writes_are_not_packed():
    w = variable(3, 3, 64, 128)
    x = RNG.standard_normal((1, 8, 8, 64)).astype("float32")

    def step(x):
        y = Conv2D((1, 1), SAME3)(x, w)
        w.assign(w * 0.5)
        return y

    compiled = CompiledFunction(step)
    for _ in range(3):
        expected = np.asarray(Conv2D((1, 1), SAME3)(Variable(x).value, w))
        close(compiled(x), expected)
    assert not compiled._plan(((x,), {}))[0]._kept


def test_programs_share_what_they_keep():
    w = variable(3, 3, 64, 128)
    x = RNG.standard_normal((4, 8, 8, 64)).astype("float32")
    first, second = (CompiledFunction(lambda x: Conv2D((1, 1), SAME3)(x, w)) for _ in range(2))
    plans = [f._plan(((x[:n],), {}))[0] for f, n in ((first, 3), (first, 4), (second, 3))]
    assert len({id(plan._kept[0][0]) for plan in plans}) == 1
    arrays = [plan.bind()[0] for plan in plans]
    (slot,) = plans[0]._kept[0][1]
    assert len({id(bound[slot]) for bound in arrays}) == 1


def test_tiles_are_chosen_where_their_multiplications_and_weights_cost_less():
    def chosen(n, h, w, c, o, strides=(1, 1), groups=1, packed=True, window=(3, 3), turned=False):
        op = Conv2DSum(strides, SAME3, (1, 1), groups, (n, h, w, o), True, False, 1)
        return tile_for(op, (*window, c // groups, o), (n, h, w, o), packed, turned)

    resnet = [(56, 64), (28, 128), (14, 256), (7, 512)]
    assert [chosen(1, h, h, c, c) for h, c in resnet] == [4, 4, 2, 2]
    assert [chosen(8, h, h, c, c) for h, c in resnet] == [4, 4, 4, 4]
    assert chosen(1, 3, 3, 1024, 1024) == 0  # weights take longer than products
    assert chosen(8, 28, 28, 3, 64) == 0  # transforms do
    assert chosen(8, 56, 56, 64, 64, strides=(2, 2)) == chosen(8, 56, 56, 64, 64, groups=2) == 0
    assert chosen(1, 7, 7, 512, 512, packed=False) == 0  # transforming the weights does
    assert chosen(64, 8, 8, 256, 256, packed=False) == 4
    assert chosen(8, 28, 28, 32, 96, window=(5, 5)) == chosen(32, 14, 14, 32, 64, packed=False, window=(5, 5)) == 2
    assert chosen(8, 28, 28, 6, 16, window=(5, 5)) == chosen(8, 28, 28, 64, 64, window=(7, 7)) == 0
    assert chosen(0, 56, 56, 64, 64) == chosen(1, 56, 56, 0, 64) == 0
    strided = {"strides": (2, 2), "packed": False, "window": (4, 4)}
    assert chosen(32, 16, 16, 64, 128, **strided) == chosen(32, 32, 32, 128, 64, turned=True, **strided) == 4
    assert chosen(32, 32, 32, 3, 64, **strided) == chosen(1, 8, 8, 128, 128, turned=True, **strided) == 0


def test_tiles_are_chosen_for_the_gradient_of_weights_where_their_sums_cost_less():
    def chosen(n, h, c, o, **changes):
        own = {"strides": (1, 1), "dilation": (1, 1), "groups": 1, "window": (3, 3), **changes}
        op = Conv2DGradW(own["strides"], SAME3, own["dilation"], own["groups"], own["window"])
        return grad_w_tile_for(op, (*own["window"], c // own["groups"], o), (n, h, h, o))

    assert [chosen(64, h, c, 2 * c) for h, c in [(32, 16), (32, 64), (16, 128), (8, 256), (4, 512)]] == [4] * 5
    assert chosen(1, 4, 64, 64) == 0  # sums would be turned into weights more often than added to
    assert chosen(16, 3, 64, 64) == 4 and chosen(64, 2, 64, 64) == 2
    assert chosen(64, 32, 3, 64) == 0  # transforms take longer than products
    assert chosen(64, 14, 32, 64, window=(5, 5)) == 2 and chosen(64, 14, 6, 16, window=(5, 5)) == 0
    assert chosen(64, 32, 64, 4) == 0  # so few outputs go another way
    for changes in ({"strides": (2, 2)}, {"dilation": (2, 2)}, {"groups": 2}, {"window": (7, 7)}, {"window": (5, 3)}):
        assert chosen(64, 32, 64, 64, **changes) == 0
    assert chosen(0, 32, 64, 64) == chosen(8, 32, 0, 64) == chosen(8, 32, 64, 0) == 0


@pytest.mark.parametrize("window", [4, 5])
@pytest.mark.parametrize("padding", [SAME3, NONE, ((3, 0), (0, 1))], ids=str)
def test_every_other_window_by_tiles_and_its_gradients_are_those_of_the_separate_taps(padding, window):
    x = RNG.standard_normal((24, 16, 15, 32)).astype("float32")
    w = RNG.standard_normal((window, window, 32, 128)).astype("float32")
    wide = np.pad(x.astype("float64"), ((0, 0), *padding, (0, 0)))
    rows, columns = ((n - window) // 2 + 1 for n in wide.shape[1:3])
    dy = RNG.standard_normal((24, rows, columns, 128)).astype("float32")
    own = ((2, 2), padding, (1, 1), 1)
    y, dx, dw = np.zeros(dy.shape), np.zeros(wide.shape), np.zeros(w.shape)
    for i, j in np.ndindex(window, window):
        at = (slice(None), slice(i, i + 2 * rows, 2), slice(j, j + 2 * columns, 2))
        y += wide[at] @ w[i, j]
        dx[at] += dy @ w[i, j].T
        dw[i, j] = np.tensordot(wide[at], dy.astype("float64"), ((0, 1, 2),) * 2)
    dx = dx[:, padding[0][0] : padding[0][0] + 16, padding[1][0] : padding[1][0] + 15]
    ops = (
        (Conv2D(*own), (x, w), y),
        (Conv2DGradX(*own, (16, 15)), (dy, w), dx),
        (Conv2DGradW(*own, w.shape[:2]), (x, dy), dw),
    )
    assert tile_for(ops[0][0], w.shape, dy.shape) and grad_w_tile_for(ops[0][0], w.shape, dy.shape)
    assert tile_for(ops[0][0], (window, window, 128, 32), x.shape, turned=True)
    for op, values, expected in ops:
        close(CompiledFunction(op)(*values), expected)
        close(op(*[Variable(v).value for v in values]), expected)
    frozen = Variable(w)
    packed = CompiledFunction(lambda x: ops[0][0](x, frozen))
    close(packed(x), y)
    assert "Winograd" in origins(packed, x)


@pytest.mark.parametrize(("padding", "rows"), [(SAME3, 9), (NONE, 7), (((2, 0), (0, 1)), 9)])
def test_the_gradient_of_weights_by_tiles_is_that_of_the_separate_taps(padding, rows):
    x = RNG.standard_normal((8, 9, 10, 32)).astype("float32")
    dy = RNG.standard_normal((8, rows, 8 + sum(padding[1]), 48)).astype("float32")
    op = Conv2DGradW((1, 1), padding, (1, 1), 1, (3, 3))
    assert grad_w_tile_for(op, (3, 3, 32, 48), dy.shape)

    def step(x, dy):
        return op(x, dy), SumTo((48,))(dy)

    wide = np.pad(x.astype("float64"), ((0, 0), *padding, (0, 0)))
    expected = np.array(
        [
            [
                np.tensordot(wide[:, i : i + rows, j : j + dy.shape[2]], dy.astype("float64"), ((0, 1, 2),) * 2)
                for j in range(3)
            ]
            for i in range(3)
        ]
    )
    compiled = CompiledFunction(step)
    for dw, db in (compiled(x, dy), step(Variable(x).value, Variable(dy).value)):
        close(dw, expected)
        close(db, dy.sum((0, 1, 2), dtype="float64"))
    assert origins(compiled, x, dy)[0] == "Conv2DGradWB"
