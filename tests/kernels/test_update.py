import numpy as np
import pytest

from kernel_check import EPS, close, run_everywhere
from nacre import _core

SIZES = [0, 1, 15, 16, 17, 8192, 8193, 20000]
F32 = np.dtype(np.float32)
LR = np.array([0.01], np.float32)


def flat(n, count, rng):
    return [rng.standard_normal(n).astype(np.float32) for _ in range(count)]


def check(name, fields, inputs, want):
    """Every wanted array against the kernel's outputs, which may be None where a slot is absent."""
    outputs = [None if w is None else (w.shape, F32) for w in want]
    for isa, got in run_everywhere(name, fields, inputs, outputs).items():
        for y, w in zip(got, want):
            if w is not None:
                close(y, w, isa, 8 * EPS, 4)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd(n, decay, rng):
    w, g = flat(n, 2, rng)
    lr = float(LR[0])
    check("sgd", dict(n=n, weight_decay=decay), [w, g, LR], [w.astype(float) * (1 - decay * lr) - lr * g])


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("nesterov", [0, 1])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_momentum(n, nesterov, decay, rng):
    w, g, m = flat(n, 3, rng)
    lr = float(LR[0])
    m_new = 0.9 * m.astype(float) - lr * g
    w_new = w * (1 - decay * lr) + (0.9 * m_new - lr * g if nesterov else m_new)
    check("momentum", dict(n=n, nesterov=nesterov, momentum=0.9, weight_decay=decay), [w, g, m, LR], [w_new, m_new])


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("amsgrad", [0, 1])
@pytest.mark.parametrize("step", [np.array(0, np.int32), np.array(41, np.int64)], ids=["first", "later"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam(n, amsgrad, step, decay, rng):
    w, g, m, v, top = flat(n, 5, rng)
    v, top = np.abs(v), np.abs(top)
    lr, t = float(LR[0]), int(step) + 1
    m_new = m.astype(float) + (g - m.astype(float)) * (1 - 0.9)
    v_new = v.astype(float) + (np.square(g, dtype=float) - v) * (1 - 0.999)
    under = np.maximum(top, v_new) if amsgrad else v_new
    alpha = lr * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    w_new = w * (1 - decay * lr) - m_new * alpha / (np.sqrt(under) + 1e-7)
    fields = dict(
        n=n,
        amsgrad=amsgrad,
        step_dtype=2 if step.dtype == np.int32 else 3,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        weight_decay=decay,
    )
    check(
        "adam",
        fields,
        [w, g, m, v, top if amsgrad else None, LR, step],
        [w_new, m_new, v_new, under if amsgrad else None],
    )


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("centered", [0, 1])
def test_rmsprop(n, momentum, centered, rng):
    w, g, v, m, a = flat(n, 5, rng)
    v, a = np.abs(v) + 2, 0.1 * a
    lr, decay = float(LR[0]), 0.05
    v_new = 0.9 * v.astype(float) + 0.1 * np.square(g, dtype=float)
    a_new = 0.9 * a.astype(float) + 0.1 * g
    step = lr * g / np.sqrt(v_new - (a_new**2 if centered else 0) + 1e-7)
    m_new = momentum * m.astype(float) + step
    w_new = w * (1 - decay * lr) - (m_new if momentum else step)
    fields = dict(n=n, centered=centered, rho=0.9, momentum=momentum, epsilon=1e-7, weight_decay=decay)
    inputs = [w, g, v, m if momentum else None, a if centered else None, LR]
    check("rmsprop", fields, inputs, [w_new, v_new, m_new if momentum else None, a_new if centered else None])


@pytest.mark.parametrize("n", SIZES)
def test_adagrad(n, rng):
    w, g, a = flat(n, 3, rng)
    a = np.abs(a) + 0.1
    lr = float(LR[0])
    a_new = a + np.square(g, dtype=float)
    check(
        "adagrad", dict(n=n, epsilon=1e-7, weight_decay=0.0), [w, g, a, LR], [w - lr * g / np.sqrt(a_new + 1e-7), a_new]
    )


def test_in_place(rng):
    fields = dict(n=5000, amsgrad=0, step_dtype=3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.01)
    step = np.array(3, np.int64)
    for isa in _core.isas():
        w, g, m, v = flat(5000, 4, rng)
        v = np.abs(v)
        apart = [np.empty_like(w) for _ in range(3)]
        _core.run_kernel("adam", fields, [w, g, m, v, None, LR, step], [*apart, None], isa=isa)
        _core.run_kernel("adam", fields, [w, g, m, v, None, LR, step], [w, m, v, None], isa=isa, slices=3)
        for a, b in zip(apart, (w, m, v)):
            assert a.tobytes() == b.tobytes(), isa


@pytest.mark.parametrize(
    "bad",
    [
        dict(n=-1),
        dict(n=1 << 62),
        dict(weight_decay=-1.0),
        dict(beta_1=2.0),
        dict(epsilon=-1.0),
        dict(amsgrad=3),
        dict(step_dtype=0),
    ],
    ids=str,
)
def test_impossible_fields_are_refused(bad):
    fields = dict(n=4, amsgrad=0, step_dtype=3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.0)
    assert _core.facts("adam", fields)["error"] is None
    assert _core.facts("adam", fields | bad)["error"]
