"""The claims of the tests beside this one, for shapes that nobody chose: drawn by a seed, the same in every run."""

import numpy as np
import pytest

from kernels import test_conv, test_conv_pool, test_dense, test_depthwise_conv, test_pool
from kernels.conv_reference import Conv
from nacre import _core

ISAS = pytest.mark.parametrize("isa", _core.isas())
# A few shapes a seed; the slow run draws many more.
SEEDS = [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 50))]
EACH_SEED = pytest.mark.parametrize("seed", SEEDS)


def drawn(rng, **fixed):
    """A convolution over an image of up to 80 columns, most of them small."""
    sides = [int(rng.choice([rng.integers(1, 12), rng.integers(12, 40)])) for _ in range(2)]
    if rng.random() < 0.25:
        sides[1] = int(rng.integers(60, 80))
    K = int(rng.choice([1, 2, 3, 3, 3, 5]))
    S = int(rng.choice([1, 1, 2, 3]))
    D = int(rng.choice([1, 1, 1, 2]))
    window = dict(KH=K, KW=K, SH=S, SW=S, DH=D, DW=D)
    if rng.random() < 0.2:
        window = {k: int(rng.integers(1, 4)) for k in window}
    padding = str(rng.choice(["same", "valid"]))
    return Conv(N=int(rng.integers(1, 4)), H=sides[0], W=sides[1], padding=padding, **{**window, **fixed})


def channels(rng):
    return int(rng.choice([rng.integers(1, 6), rng.integers(6, 24), rng.integers(24, 70)]))


@ISAS
@EACH_SEED
def test_convolution(seed, isa):
    rng = np.random.default_rng(seed)
    for _ in range(4):
        case = drawn(rng, C=channels(rng), O=channels(rng), act=int(rng.integers(2)))
        test_conv.test_forward(case, isa)
        test_conv.test_grad_x(case, isa)
        test_conv.test_grad_x_is_masked_by_the_relu_before(case, isa)
        test_conv.test_grad_w_and_bias(case, isa)


@ISAS
@EACH_SEED
def test_depthwise_convolution(seed, isa):
    rng = np.random.default_rng(seed)
    for _ in range(6):
        case = (channels(rng), int(rng.choice([1, 1, 1, 2])), drawn(rng))
        test_depthwise_conv.test_forward(case, isa)
        test_depthwise_conv.test_act_limits_the_finished_sum(case, 1, isa)
        test_depthwise_conv.test_grad_x(case, isa)
        test_depthwise_conv.test_grad_w_and_bias(case, isa)


@ISAS
@EACH_SEED
def test_pooling(seed, isa, monkeypatch):
    rng = np.random.default_rng(seed)
    for _ in range(6):
        conv = drawn(rng)
        case = test_pool.pool(
            N=conv.N, H=conv.H, W=conv.W, C=channels(rng), K=(conv.KH, conv.KW), S=(conv.SH, conv.SW),
            padding=conv.padding,
        )  # fmt: skip
        monkeypatch.setitem(test_pool.CASES, "drawn", case)
        test_pool.test_max_pool("drawn", isa)
        test_pool.test_max_pool_grad_x_gives_all_to_the_first_maximum("drawn", isa)
        test_pool.test_avg_pool_counts_what_it_sees("drawn", isa)


@ISAS
@EACH_SEED
def test_convolution_with_pooling(seed, isa):
    rng = np.random.default_rng(seed)
    for _ in range(3):
        case = (int(rng.choice([2, 2, 3])), drawn(rng, C=channels(rng), O=channels(rng), act=int(rng.integers(2))))
        test_conv_pool.test_forward_is_the_three_steps_in_one(case, isa)
        test_conv_pool.test_grad_w_and_bias(case, isa)
        test_conv_pool.test_grad_x(case, isa)


def product_sizes(rng):
    """M, K, N around the widths of panels, the depth of a pass and the sizes from which operands count as far."""
    M, K, N = (
        int(rng.choice([rng.integers(1, 20), rng.integers(20, 140), rng.integers(140, 700)], p=p))
        for p in ([0.4, 0.4, 0.2], [0.2, 0.3, 0.5], [0.3, 0.3, 0.4])
    )
    if rng.random() < 0.3:
        K = 16 * int(rng.integers(32, 90))
    if rng.random() < 0.3:
        N = 16 * int(rng.integers(1, 70))
    return M, K, N


@EACH_SEED
def test_products(seed):
    rng = np.random.default_rng(seed)
    shapes = [product_sizes(rng) for _ in range(4)]
    test_dense.test_forward_is_the_product_plus_bias_through_relu(shapes, rng)
    test_dense.test_input_gradient_is_zero_where_the_input_is_not_positive(shapes, rng)
    test_dense.test_weight_gradient_sums_over_rows(shapes, rng)
