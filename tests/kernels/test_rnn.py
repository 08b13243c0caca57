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


SEQUENCES = [(0, 3, 2), (3, 0, 2), (2, 3, 0), (1, 1, 1), (4, 5, 17), (3, 33, 16), (2, 130, 5), (5, 7, 33)]


def walked(step, x, u, states, mask):
    """States, the first one in front, and what else `step(x_t, states, u)` gives; a masked step leaves states alone."""
    all_states, rest = [states], []
    for x_t, counts in zip(x, mask):
        *new, others = step(x_t, all_states[-1], u)
        all_states.append([np.where(counts[:, None] != 0, n, s) for n, s in zip(new, all_states[-1])])
        rest.append(others)
    return [np.stack(s) for s in zip(*all_states)], rest


def lstm_step(x, states, u):
    h, c, gates = lstm(x + states[0] @ u, states[1])
    return h, c, (gates,)


def gru_step(b):
    def step(x, states, u):
        inner = states[0] @ u + b
        h, gates = gru(x, inner, states[0])
        return h, (gates, inner)

    return step


def drawn(shape, gates, masked, rng):
    """x, u, h and c, float32, and a mask."""
    T, N, U = shape
    arrays = [rng.standard_normal(s) for s in ((T, N, gates * U), (U, gates * U), (N, U), (N, U))]
    arrays[1] /= max(U, 1) ** 0.5
    mask = (rng.random((T, N)) < 0.7) if masked else np.ones((T, N))
    return [a.astype(np.float32) for a in arrays], mask.astype(np.float32)


def check_sequence(name, step, shape, gates, masked, rng, bias=()):
    """The forward kernel, with and without what is kept, against the steps in float64; then the gradient kernel against
    differences of these, from what they kept."""
    T, N, U = shape
    count = 2 if gates == 4 else 1  # states
    (x, u, *states), mask = drawn(shape, gates, masked, rng)
    states = states[:count]
    wide = [a.astype(np.float64) for a in (x, u, *states)]
    want, rest = walked(step, wide[0], wide[1], wide[2:], mask)
    kept = [np.stack(r) if T else np.zeros((0, N, gates * U)) for r in zip(*rest)] or [wide[0]] * (3 - count)
    fields = dict(T=T, N=N, U=U, masked=int(masked))
    seen = mask if masked else None
    for keeps in (1, 0):
        outputs = [((T + 1, N, U), F32)] * count + [((T, N, gates * U), F32) if keeps else None] * (3 - count)
        inputs = [x, u, *bias, *states, seen]
        for isa, got in run_everywhere(name, dict(fields, keeps=keeps), inputs, outputs).items():
            for y, w in zip(got, want + kept):
                if y is not None:
                    close(y, w, isa, 40 * (T + 1) * EPS, 1)
    d_states = [rng.standard_normal(w.shape).astype(np.float32) for w in want]
    direction = [rng.standard_normal(a.shape) for a in (x, *states)]
    expected = slope(
        lambda a, *s: walked(step, a, wide[1], list(s), mask)[0], [wide[0], *wide[2:]], direction, d_states
    )
    single = [a.astype(np.float32) for a in (want[-1], *kept)]
    inputs = [np.ascontiguousarray(u.T), *single, *d_states, seen]
    sequence, state = ((T, N, gates * U), F32), ((N, U), F32)
    outputs = [sequence, *[sequence] * (2 - count), *[state] * count]
    for isa, got in run_everywhere(f"{name}_grad", dict(fields, keeps=0), inputs, outputs).items():
        parts = [g * d for g, d in zip([got[0], *got[-count:]], direction)]
        size = 1 + sum(np.abs(p).sum() for p in parts)
        assert abs(sum(p.sum() for p in parts) - expected) <= 50 * (T + 1) * EPS * size, isa


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("shape", SEQUENCES, ids=str)
def test_lstm_sequence(shape, masked, rng):
    check_sequence("lstm_sequence", lstm_step, shape, 4, masked, rng)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("shape", SEQUENCES, ids=str)
def test_gru_sequence(shape, masked, rng):
    b = rng.standard_normal(3 * shape[2]).astype(np.float32)
    check_sequence("gru_sequence", gru_step(b.astype(np.float64)), shape, 3, masked, rng, [b])


def test_impossible_fields_are_refused():
    for bad in (dict(M=-1, U=1), dict(M=1 << 40, U=1 << 40), dict(M=0, U=1 << 62)):
        assert _core.facts("lstm_cell", bad)["error"] and _core.facts("gru_cell_grad", bad)["error"]
    good = dict(T=2, N=2, U=2, masked=0, keeps=0)
    for bad in (
        dict(T=-1),
        dict(T=1 << 62),
        dict(N=1 << 40, U=1 << 40),
        dict(U=1 << 62),
        dict(N=1 << 62, U=0),
        dict(masked=2),
        dict(keeps=-1),
    ):
        for name in ("lstm_sequence", "lstm_sequence_grad", "gru_sequence", "gru_sequence_grad"):
            assert _core.facts(name, {**good, **bad})["error"], (name, bad)
