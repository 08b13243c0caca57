import numpy as np
import pytest

from kernel_check import EPS, close, run_everywhere
from nacre import _core

F32 = np.dtype(np.float32)
SHAPES = [(0, 3), (2, 0), (1, 1), (5, 15), (3, 16), (4, 17), (70, 33), (2, 1025)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(z, c):
    i, f, g, o = np.split(z, 4, 1)
    c_out = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c_out), c_out, np.concatenate([sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)], 1)


def gru(x, r, h):
    (x_z, x_r, x_h), (r_z, r_r, r_h) = np.split(x, 3, 1), np.split(r, 3, 1)
    z, g = sigmoid(x_z + r_z), sigmoid(x_r + r_r)
    c = np.tanh(x_h + g * r_h)
    return z * h + (1 - z) * c, np.concatenate([z, g, c], 1)


def slope(function, at, direction, weight):
    """Derivative of sum(function * weight) along the direction, by central differences in float64."""
    step = 1e-6
    up = [a + step * d for a, d in zip(at, direction)]
    down = [a - step * d for a, d in zip(at, direction)]
    return sum(((u - v) * w).sum() for u, v, w in zip(function(*up), function(*down), weight)) / (2 * step)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lstm(shape, rng):
    M, U = shape
    z, c = (2 * rng.standard_normal((M, 4 * U))).astype(np.float32), rng.standard_normal((M, U)).astype(np.float32)
    want = lstm(z.astype(np.float64), c.astype(np.float64))
    outputs = [((M, U), F32), ((M, U), F32), ((M, 4 * U), F32)]
    results = run_everywhere("lstm_cell", dict(M=M, U=U), [z, c], outputs)
    for isa, got in results.items():
        for y, w in zip(got, want):
            close(y, w, isa, 10 * EPS, 1)
    dh, dc_out = rng.standard_normal((2, M, U)).astype(np.float32)
    gates, c_out = want[2].astype(np.float32), want[1].astype(np.float32)
    direction = rng.standard_normal((M, 4 * U)), rng.standard_normal((M, U))
    expected = slope(lambda a, b: lstm(a, b)[:2], (z.astype(np.float64), c.astype(np.float64)), direction, (dh, dc_out))
    for isa, (dz, dc) in run_everywhere(
        "lstm_cell_grad", dict(M=M, U=U), [gates, c, c_out, dh, dc_out], [((M, 4 * U), F32), ((M, U), F32)]
    ).items():
        parts = dz * direction[0], dc * direction[1]
        assert abs(sum(p.sum() for p in parts) - expected) <= 50 * EPS * (1 + sum(np.abs(p).sum() for p in parts)), isa


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gru(shape, rng):
    M, U = shape
    x, r = (2 * rng.standard_normal((2, M, 3 * U))).astype(np.float32)
    h = rng.standard_normal((M, U)).astype(np.float32)
    wide = [a.astype(np.float64) for a in (x, r, h)]
    want = gru(*wide)
    for isa, got in run_everywhere("gru_cell", dict(M=M, U=U), [x, r, h], [((M, U), F32), ((M, 3 * U), F32)]).items():
        for y, w in zip(got, want):
            close(y, w, isa, 10 * EPS, 3)
    dh = rng.standard_normal((M, U)).astype(np.float32)
    direction = rng.standard_normal((M, 3 * U)), rng.standard_normal((M, 3 * U)), rng.standard_normal((M, U))
    expected = slope(lambda *a: gru(*a)[:1], wide, direction, (dh,))
    outputs = [((M, 3 * U), F32), ((M, 3 * U), F32), ((M, U), F32)]
    for isa, got in run_everywhere(
        "gru_cell_grad", dict(M=M, U=U), [want[1].astype(np.float32), r, h, dh], outputs
    ).items():
        parts = [g * d for g, d in zip(got, direction)]
        assert abs(sum(p.sum() for p in parts) - expected) <= 50 * EPS * (1 + sum(np.abs(p).sum() for p in parts)), isa


def test_impossible_fields_are_refused():
    for bad in (dict(M=-1, U=1), dict(M=1 << 40, U=1 << 40), dict(M=0, U=1 << 62)):
        assert _core.facts("lstm_cell", bad)["error"] and _core.facts("gru_cell_grad", bad)["error"]
