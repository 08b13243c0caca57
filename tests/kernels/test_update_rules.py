"""Optimizers at the store of the weight gradient: rules the kernel knows against the same program read as bytecode."""

import numpy as np
import pytest

from kernel_check import run_everywhere
from nacre import _core

OPCODES = {name: code for name, (code, _) in _core.elementwise_codes().items()}
G, W, RATE, M, V = 0, 1, 2, 3, 4  # inputs; register 5: the decay
C1, C2, EPSILON, MOMENTUM = 8, 9, 10, 11
CONSTS = [0.1, 0.001, 1e-7, 0.9]
RULES = {
    "sgd": ([("mul", 24, G, RATE), ("sub", 25, W, 24)], {25: W}),
    "momentum": (
        [("mul", 24, G, RATE), ("mul", 25, M, MOMENTUM), ("sub", 26, 25, 24), ("add", 25, W, 26)],
        {26: M, 25: W},
    ),
    "nesterov": (
        [("mul", 24, G, RATE), ("mul", 25, M, MOMENTUM), ("sub", 26, 25, 24), ("mul", 25, 26, MOMENTUM),
         ("sub", 27, 25, 24), ("add", 25, W, 27)],
        {26: M, 25: W},
    ),
    "adam": (
        [("sub", 24, G, M), ("mul", 25, 24, C1), ("add", 24, M, 25), ("square", 25, G, 0), ("sub", 26, 25, V),
         ("mul", 25, 26, C2), ("add", 26, V, 25), ("mul", 25, 24, RATE), ("sqrt", 27, 26, 0), ("add", 28, 27, EPSILON),
         ("div", 27, 25, 28), ("sub", 28, W, 27)],
        {24: M, 26: V, 28: W},
    ),
    "rmsprop": (
        [("mul", 24, C1, V), ("square", 25, G, 0), ("mul", 26, MOMENTUM, 25), ("add", 25, 24, 26), ("mul", 24, RATE, G),
         ("add", 26, 25, EPSILON), ("sqrt", 27, 26, 0), ("div", 26, 24, 27), ("sub", 24, W, 26)],
        {25: V, 24: W},
    ),
}  # fmt: skip
TILES = [rule for rule in RULES if rule != "rmsprop"]  # the others are applied to blocks of the gradient
SHAPES = [(1, 1, 1), (9, 7, 5), (32, 130, 300), (5, 33, 64), (33, 20, 65), (600, 70, 130), (0, 5, 40), (3, 0, 4)]
SHAPES += [(1100, 40, 70), (300, 512, 66), (20, 8192, 66)]  # cut sums, and columns of x that share cache sets
SHAPES += [(16, 40, 256), (8, 37, 200), (64, 100, 128)]  # long runs of columns
MANY_ZEROS = [(32, 100, 256), (30, 80, 72), (100, 130, 150)]  # in x, which are skipped


def fields(size, steps, outputs):
    (m, k, n), code = size, []
    for name, to, a, b in steps:
        code += [OPCODES[name], to, a, b, 0]
    return dict(
        M=m, N=n, K=k, ldx=0, x0=0, ldy=0, y0=0, inputs=6, outputs=len(outputs), scalar=[0, 0, 1, 0, 0, 1, 0, 0],
        length=len(steps), code=code + [0] * (240 - len(code)), consts=CONSTS + [0.0] * 12,
        out_reg=[*outputs, 0, 0, 0][:4],
    )  # fmt: skip


def decayed(steps):
    kept = [(name, to, *(30 if r == W else r for r in operands)) for name, to, *operands in steps]
    return [("mul", 29, W, 5), ("sub", 30, W, 29), *kept]


def unknown(steps):
    """The same as a program of no known rule: the gradient is copied first."""
    return [
        ("copy", 60, G, 0),
        *((name, to, *(60 if r == G else r for r in operands)) for name, to, *operands in steps),
    ]


def reference(rule, x, dy, w, rate, m, v, decay):
    g = x.T.astype(np.float64) @ dy.astype(np.float64)
    w = w.astype(np.float64) * (1 - decay)
    if rule == "sgd":
        return [w - rate * g]
    if rule == "adam":
        m, v = m + (g - m) * CONSTS[0], v + (g * g - v) * CONSTS[1]
        return [m, v, w - m * rate / (np.sqrt(v) + CONSTS[2])]
    if rule == "rmsprop":
        v = CONSTS[0] * v + CONSTS[3] * (g * g)
        return [v, w - rate * g / np.sqrt(v + CONSTS[2])]
    m = m * CONSTS[3] - g * rate
    return [m, w + (m * CONSTS[3] - g * rate if rule == "nesterov" else m)]


@pytest.mark.parametrize("size", SHAPES + MANY_ZEROS, ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("rule", RULES)
def test_a_known_rule_gives_the_bits_of_its_bytecode(rule, decay, size, rng):
    m, k, n = size
    x, dy = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (m, n)))
    if size in MANY_ZEROS:
        x[x < 0] = 0
    w, slot_m, slot_v = (rng.random((k, n), np.float32) for _ in range(3))
    rate, decay_rate = np.float32([0.05]), np.float32([decay])
    steps, outputs = RULES[rule]
    if decay:
        steps = decayed(steps)
    inputs = [x, dy, w, rate, slot_m, slot_v, decay_rate, None, None]
    results = [((k, n), np.float32)] * len(outputs) + [None] * (4 - len(outputs))
    known = run_everywhere("dense_grad_w_map", fields(size, steps, outputs), inputs, results)
    other = run_everywhere("dense_grad_w_map", fields(size, unknown(steps), outputs), inputs, results)
    want = reference(rule, x, dy, w, 0.05, slot_m, slot_v, decay)
    for isa in known:
        for got, plain, wide in zip(known[isa], other[isa], want):
            assert got.tobytes() == plain.tobytes(), isa
            np.testing.assert_allclose(got, wide, rtol=1e-4, atol=1e-4 * (1 + m) ** 0.5, err_msg=isa)


@pytest.mark.parametrize("rule", TILES)
def test_rules_are_recognised_and_run_on_the_grid_of_the_product(rule):
    size, (steps, outputs) = (32, 784, 512), RULES[rule]
    product = dict(M=32, N=512, K=784, chunks=0, ldx=0, x0=0, ldy=0, y0=0)
    for isa in _core.isas():
        for program in (steps, decayed(steps)):
            facts = _core.facts("dense_grad_w_map", fields(size, program, outputs), isa)
            assert facts["units"] == _core.facts("dense_grad_w", product, isa)["units"], isa
            other = _core.facts("dense_grad_w_map", fields(size, unknown(program), outputs), isa)
            assert other["units"] != facts["units"], isa


def test_updating_in_place_gives_the_same_bits(rng):
    size, (steps, outputs) = (32, 70, 130), RULES["adam"]
    x, dy = rng.standard_normal((32, 70)).astype(np.float32), rng.standard_normal((32, 130)).astype(np.float32)
    w, m, v = (rng.random((70, 130), np.float32) for _ in range(3))
    rate, decay = np.float32([0.01]), np.float32([0])
    for isa in _core.isas():
        apart = [np.empty_like(w) for _ in range(3)]
        f = fields(size, steps, outputs)
        _core.run_kernel("dense_grad_w_map", f, [x, dy, w, rate, m, v, decay, None, None], [*apart, None], isa=isa)
        own = [a.copy() for a in (m, v, w)]
        _core.run_kernel(
            "dense_grad_w_map", f, [x, dy, own[2], rate, own[0], own[1], decay, None, None], [*own, None], isa=isa
        )
        for a, b in zip(apart, own):
            assert a.tobytes() == b.tobytes(), isa
