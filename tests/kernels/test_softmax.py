import numpy as np
import pytest

from kernel_check import EPS, close, dtype_code, run_everywhere
from nacre import _core

SHAPES = [
    (0, 3),
    (3, 0),
    (1, 1),
    (17, 1),
    (33, 2),
    (5, 3),
    (100, 4),
    (31, 5),
    (4, 10),
    (3, 15),
    (3, 16),
    (3, 17),
    (2, 32),
    (2, 33),
    (2, 48),
    (2, 64),
    (2, 65),
    (3, 127),
    (2, 1000),
    (1, 4099),
    (1, 20000),
    (600, 40),
    (37, 20),
    (35, 100),
    (19, 224),
    (18, 225),
]
F32 = np.dtype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True, initial=-np.inf))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax(shape, rng):
    x = (4 * rng.standard_normal(shape)).astype(np.float32)
    for isa, (y,) in run_everywhere("softmax", dict(M=shape[0], N=shape[1]), [x], [(shape, F32)]).items():
        close(
            y, softmax(x.astype(np.float64)), isa, 8 * EPS + 4 * EPS, 1e-30
        )  # exp of a rounded difference, sum, division


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_log_softmax(shape, rng):
    x = (4 * rng.standard_normal(shape)).astype(np.float32)
    wide = x.astype(np.float64)
    top = wide.max(-1, keepdims=True, initial=-np.inf)
    with np.errstate(all="ignore"):
        want = wide - top - np.log(np.exp(wide - top).sum(-1, keepdims=True))
    for isa, (y,) in run_everywhere("log_softmax", dict(M=shape[0], N=shape[1]), [x], [(shape, F32)]).items():
        close(y, want, isa, 4 * EPS, 20)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients(shape, rng):
    y, dy = softmax(rng.standard_normal(shape)).astype(np.float32), rng.standard_normal(shape).astype(np.float32)
    wide, dwide = y.astype(np.float64), dy.astype(np.float64)
    want = wide * (dwide - (wide * dwide).sum(-1, keepdims=True))
    for isa, (dx,) in run_everywhere("softmax_grad_x", dict(M=shape[0], N=shape[1]), [y, dy], [(shape, F32)]).items():
        close(dx, want, isa, 8 * EPS, 4)
    logs = np.log(np.maximum(y, 1e-30)).astype(np.float32)
    want = dwide - np.exp(logs.astype(np.float64)) * dwide.sum(-1, keepdims=True)
    for isa, (dx,) in run_everywhere(
        "log_softmax_grad_x", dict(M=shape[0], N=shape[1]), [logs, dy], [(shape, F32)]
    ).items():
        close(dx, want, isa, 8 * EPS, 4 + np.abs(dwide).sum(-1, keepdims=True))


@pytest.mark.parametrize("N", [1, 2, 4, 5, 10, 16, 40, 100])
@pytest.mark.parametrize("labels_dtype", ["int32", "int64", "uint8", "float32"])
def test_cross_entropy(N, labels_dtype, rng):
    M = 37
    x = (3 * rng.standard_normal((M, N))).astype(np.float32)
    labels = rng.integers(0, N, M).astype(labels_dtype)
    shape = dict(M=M, N=N, label_dtype=dtype_code(labels_dtype))
    p = softmax(x.astype(np.float64))
    want = -np.log(p[np.arange(M), labels.astype(int)])
    for isa, (loss, probs) in run_everywhere("softmax_xent", shape, [x, labels], [((M,), F32), ((M, N), F32)]).items():
        close(loss, want, isa, 6 * EPS, 10)
        close(probs, p, isa, 12 * EPS)
    dloss = rng.standard_normal(M).astype(np.float32)
    probs = p.astype(np.float32)
    want = probs.astype(np.float64)
    want[np.arange(M), labels.astype(int)] -= 1
    want *= dloss.astype(np.float64)[:, None]
    for isa, (dx,) in run_everywhere("softmax_xent_grad", shape, [probs, labels, dloss], [((M, N), F32)]).items():
        close(dx, want, isa, 2 * EPS, 1e-3)


def test_a_label_out_of_range_has_a_nan_loss_and_no_gradient(rng):
    x = rng.standard_normal((5, 7)).astype(np.float32)
    for labels in (np.array([0, 7, -1, 3, 1 << 30], np.int32), np.array([0, np.nan, -1, 3, 1e30], np.float32)):
        shape = dict(M=5, N=7, label_dtype=dtype_code(labels.dtype))
        for isa, (loss, probs) in run_everywhere(
            "softmax_xent", shape, [x, labels], [((5,), F32), ((5, 7), F32)]
        ).items():
            np.testing.assert_array_equal(np.isnan(loss), [False, True, True, False, True], err_msg=isa)
            assert np.isfinite(probs).all()
        dloss = np.full(5, np.nan, np.float32)
        dloss[[0, 3]] = 1
        for isa, (dx,) in run_everywhere("softmax_xent_grad", shape, [probs, labels, dloss], [((5, 7), F32)]).items():
            assert (dx[[1, 2, 4]] == 0).all() and np.isfinite(dx).all(), isa


@pytest.mark.parametrize("N", [2, 10, 50, 300])
def test_huge_logits_and_infinities(N):
    x = np.zeros((4, N), np.float32)
    x[0, 1] = 3e38
    x[0, 0] = -3e38
    x[1] = -np.inf
    x[1, 1] = 5
    x[2, 0] = np.nan
    x[3] = -np.inf
    for isa, (y,) in run_everywhere("softmax", dict(M=4, N=N), [x], [(x.shape, F32)]).items():
        assert y[0, 1] == 1 and y[0, 0] == 0 and y[1, 1] == 1 and y[1, 0] == 0, isa
        assert np.isnan(y[2]).all() and np.isnan(y[3]).all(), isa


def test_in_place(rng):
    for N in (3, 10, 17, 50, 101, 200, 500):
        x, dy = rng.standard_normal((2, 21, N)).astype(np.float32)
        for isa in _core.isas():
            for name in ("softmax", "log_softmax", "softmax_grad_x", "log_softmax_grad_x"):
                gradient = name.endswith("grad_x")
                apart, together = np.empty_like(x), x.copy()
                _core.run_kernel(name, dict(M=21, N=N), [x, dy] if gradient else [x], [apart], isa=isa)
                _core.run_kernel(name, dict(M=21, N=N), [together, dy] if gradient else [together], [together], isa=isa)
                assert apart.tobytes() == together.tobytes(), (isa, name, N)


@pytest.mark.parametrize("bad", [dict(M=-1), dict(M=1 << 40, N=1 << 40), dict(M=0, N=1 << 62)])
def test_impossible_fields_are_refused(bad):
    assert _core.facts("softmax", dict(M=1, N=1) | bad)["error"]
