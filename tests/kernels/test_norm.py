import numpy as np
import pytest

from kernel_check import EPS, close, run_everywhere
from nacre import _core

F32 = np.dtype(np.float32)
SHAPES = [
    (1, 1),
    (0, 3),
    (3, 0),
    (2, 15),
    (9, 16),
    (10, 17),
    (300, 3),
    (65, 64),
    (150, 20),
    (64, 256),
    (130, 257),
    (40, 600),
    (2000, 10),
    (70, 1024),
    (120, 2048),
]


def wide(*arrays):
    return [a.astype(np.float64) for a in arrays]


def sample(shape, rng, offset=0.0):
    return (rng.standard_normal(shape) * 2 + offset).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("chunk", [1, 7, 64, 10000])
def test_statistics_of_chunks_join(shape, chunk, rng):
    R, C = shape
    x = sample(shape, rng, 3)
    K = max(1, -(-R // chunk))
    fields = dict(R=R, C=C, chunk=chunk)
    (w,) = wide(x)
    with np.errstate(all="ignore"):
        mean, var = (w.mean(0), w.var(0)) if R else (np.full(C, np.nan), np.full(C, np.nan))
    for isa, (partials,) in run_everywhere("batch_norm_partials", fields, [x], [((K, 2, C), F32)]).items():
        for k in range(K if R else 0):
            part = w[k * chunk : (k + 1) * chunk]
            close(partials[k, 0], part.mean(0), isa, 4 * EPS, 10)
            close(partials[k, 1], part.var(0) * len(part), isa, 16 * EPS, len(part))
        for other, got in run_everywhere("batch_norm_join", fields, [partials], [((C,), F32), ((C,), F32)]).items():
            close(got[0], mean, other, 4 * EPS, 10)
            close(got[1], var, other, 16 * EPS, 1)
    for isa, got in run_everywhere("batch_norm_stats", fields, [x], [((C,), F32), ((C,), F32)]).items():
        close(got[0], mean, isa, 4 * EPS, 10)
        close(got[1], var, isa, 16 * EPS, 1)


def test_the_variance_of_numbers_far_from_zero_is_right(rng):
    x = sample((4000, 5), rng, 10000)
    (w,) = wide(x)
    for isa, (_, var) in run_everywhere(
        "batch_norm_stats", dict(R=4000, C=5, chunk=1), [x], [((5,), F32), ((5,), F32)]
    ).items():
        close(var, w.var(0), isa, 16 * EPS)


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("what", ["rows that rise", "first rows far away", "a far row", "constant columns"])
def test_the_variance_is_right_wherever_the_first_rows_lie(what, offset, rng):
    x = sample((3000, 35), rng, offset)
    if what == "rows that rise":
        x = np.sort(x, axis=0)
    elif what == "first rows far away":
        x[:5] += 1000
    elif what == "a far row":
        x[1234] -= 1e5
    else:
        x[:] = x[:1]
    (w,) = wide(x)
    fields = dict(R=3000, C=35, chunk=1)
    for isa, (mean, var) in run_everywhere("batch_norm_stats", fields, [x], [((35,), F32), ((35,), F32)]).items():
        close(mean, w.mean(0), isa, 4 * EPS, np.abs(w).max())
        assert (var >= 0).all() and (np.abs(var - w.var(0)) <= 16 * EPS * w.var(0) + (EPS * w[0]) ** 2).all(), isa


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("act", [0, 1, 2])
@pytest.mark.parametrize("parameters", [(1, 1), (0, 1), (1, 0), (0, 0)], ids=str)
def test_batch_norm(shape, act, parameters, rng):
    R, C = shape
    x, dy, mean, gamma, beta = sample(shape, rng), sample(shape, rng), sample(C, rng), sample(C, rng), sample(C, rng)
    r, gamma = sample(shape, rng), 3 * gamma
    var = (rng.uniform(0.1, 3, C)).astype(np.float32)
    has_gamma, has_beta = parameters
    w, dw, m, v, g, b = wide(x, dy, mean, var, gamma, beta)
    g, b = g if has_gamma else 1, b if has_beta else 0
    rstd = 1 / np.sqrt(v + 1e-3)
    xhat = (w - m) * rstd
    want = xhat * g + b
    limits = ((-np.inf, np.inf), (0, np.inf), (0, 6))[act]
    fields = dict(R=R, C=C, act=act, has_gamma=has_gamma, has_beta=has_beta, residual=0, eps=1e-3)
    gamma, beta = gamma if has_gamma else None, beta if has_beta else None
    for residual, summand in ((0, 0), (1, r)):
        inputs = [x, mean, var, gamma, beta, r if residual else None]
        ys = run_everywhere("batch_norm_apply", fields | dict(residual=residual), inputs, [(shape, F32)])
        for isa, (y,) in ys.items():
            close(y, np.clip(want + summand, *limits), isa, 4 * EPS, 40)
    # Gradients let through what the float32 sum of the same ISA does.
    ys = run_everywhere("batch_norm_apply", fields | dict(act=0), [x, mean, var, gamma, beta, None], [(shape, F32)])
    low, high = limits
    passed = {i: np.where((y >= low if act == 2 else y > low) & (y <= high), dw, 0) for i, (y,) in ys.items()}
    for chunk in (7, 5000):
        K = max(1, -(-R // chunk))
        got = run_everywhere(
            "batch_norm_grad_stats",
            dict(R=R, C=C, chunk=chunk, act=act, has_gamma=has_gamma, has_beta=has_beta, eps=1e-3),
            [x, dy, mean, var, gamma if act else None, beta if act else None],
            [((K, 2, C), F32)],
        )
        for isa, (partials,) in got.items():
            for k in range(K):
                rows = slice(k * chunk, (k + 1) * chunk)
                d = passed[isa][rows]
                close(partials[k, 0], d.sum(0), isa, 8 * EPS, np.abs(d).sum(0))
                close(partials[k, 1], (d * xhat[rows]).sum(0), isa, 16 * EPS, np.abs(d * xhat[rows]).sum(0))
    if R == 0:
        return
    sums = np.stack([dw.sum(0), (dw * xhat).sum(0)]).astype(np.float32)
    inputs = [x, dy, mean, var, gamma, beta if act else None, sums]
    for isa, (dx,) in run_everywhere("batch_norm_grad_x", fields, inputs, [(shape, F32)]).items():
        means = sums[0].astype(np.float64) / R + xhat * sums[1].astype(np.float64) / R
        close(dx, g * rstd * (passed[isa] - means), isa, 8 * EPS, 300)


def test_gradients_of_batch_norm_go_through_relu6_at_both_ends():
    x = np.array([[-1], [0], [3], [6], [7]], np.float32)
    zero, one, dy = np.zeros(1, np.float32), np.ones(1, np.float32), np.ones((5, 1), np.float32)
    for act, passes in ((1, [0, 0, 1, 1, 1]), (2, [0, 1, 1, 1, 0])):
        fields = dict(R=5, C=1, act=act, has_gamma=0, has_beta=0, residual=0, eps=0)
        inputs = [x, dy, zero, one, None, None, np.zeros((2, 1), np.float32)]
        for isa, (dx,) in run_everywhere("batch_norm_grad_x", fields, inputs, [((5, 1), F32)]).items():
            assert dx[:, 0].tolist() == passes, (isa, act)


def test_the_gradient_of_batch_norm_is_that_of_its_formula(rng):
    R, C = 40, 6
    x, dy, gamma = sample((R, C), rng), sample((R, C), rng), sample(C, rng)

    def forward(w):
        return gamma * (w - w.mean(0)) / np.sqrt(w.var(0) + 1e-3)

    w, direction = x.astype(np.float64), rng.standard_normal((R, C))
    step = 1e-6
    slope = ((forward(w + step * direction) - forward(w - step * direction)) * dy).sum() / (2 * step)
    for isa in _core.isas():
        mean, var, sums, dx = (np.empty(s, np.float32) for s in ((C,), (C,), (1, 2, C), (R, C)))
        _core.run_kernel("batch_norm_stats", dict(R=R, C=C, chunk=R), [x], [mean, var], isa=isa)
        _core.run_kernel(
            "batch_norm_grad_stats",
            dict(R=R, C=C, chunk=R, act=0, has_gamma=1, has_beta=1, eps=1e-3),
            [x, dy, mean, var, None, None],
            [sums],
            isa=isa,
        )
        fields = dict(R=R, C=C, act=0, has_gamma=1, has_beta=1, residual=0, eps=1e-3)
        _core.run_kernel("batch_norm_grad_x", fields, [x, dy, mean, var, gamma, None, sums], [dx], isa=isa)
        size = np.abs(dx * direction).sum()
        assert abs((dx * direction).sum() - slope) <= 100 * EPS * size, isa


@pytest.mark.parametrize(
    "shape",
    [
        *[(1, 1), (0, 4), (3, 0), (5, 3), (4, 15), (3, 16), (2, 17), (37, 20), (19, 48), (17, 64), (21, 100)],
        *[(9, 192), (18, 300), (2, 1025), (2, 5000), (700, 12), (700, 300), (200, 1024)],
    ],
    ids=str,
)
@pytest.mark.parametrize("rms", [0, 1])
@pytest.mark.parametrize("parameters", [(1, 1), (0, 0)], ids=str)
def test_layer_norm(shape, rms, parameters, rng):
    M, N = shape
    has_gamma, has_beta = parameters
    x, dy, gamma, beta = sample(shape, rng, 1), sample(shape, rng), sample(N, rng), sample(N, rng)
    w, dw, g, b = wide(x, dy, gamma, beta)
    g, b = g if has_gamma else 1, b if has_beta else 0
    with np.errstate(all="ignore"):
        mean = np.zeros(M) if rms or N == 0 else w.mean(1)
        rstd = 1 / np.sqrt((np.mean((w - mean[:, None]) ** 2, 1) if N else np.zeros(M)) + 1e-3)
    xhat = (w - mean[:, None]) * rstd[:, None]
    fields = dict(M=M, N=N, rms=rms, has_gamma=has_gamma, has_beta=has_beta, eps=1e-3)
    for isa, got in run_everywhere(
        "layer_norm",
        fields,
        [x, gamma if has_gamma else None, beta if has_beta else None],
        [(shape, F32), ((M,), F32), ((M,), F32)],
    ).items():
        close(got[0], xhat * g + b, isa, 16 * EPS, 10 + (30 if N == 1 else 0))
        close(got[1], mean, isa, 4 * EPS, 5)
        close(got[2], rstd, isa, 16 * EPS)
    kept = mean.astype(np.float32), rstd.astype(np.float32)
    dg = dw * g
    with np.errstate(all="ignore"):
        inner = 0 if N == 0 else (dg * xhat).mean(1, keepdims=True)
        average = 0 if rms or N == 0 else dg.mean(1, keepdims=True)
    want = rstd[:, None] * (dg - average - xhat * inner)
    for isa, (dx,) in run_everywhere(
        "layer_norm_grad_x", fields, [x, dy, gamma if has_gamma else None, *kept], [(shape, F32)]
    ).items():
        close(dx, want, isa, 16 * EPS, 50 * np.maximum(rstd[:, None], 1))
    for chunk in (3, 1000):
        K = max(1, -(-M // chunk))
        for isa, (partials,) in run_everywhere(
            "layer_norm_grad_params", dict(M=M, N=N, chunk=chunk), [x, dy, *kept], [((K, 2, N), F32)]
        ).items():
            for k in range(K):
                rows = slice(k * chunk, (k + 1) * chunk)
                close(partials[k, 0], dw[rows].sum(0), isa, 8 * EPS, np.abs(dw[rows]).sum(0))
                close(
                    partials[k, 1],
                    (dw * xhat)[rows].sum(0),
                    isa,
                    16 * EPS,
                    5 * np.abs(dw)[rows].sum(0) * (1 + rstd.max(initial=0)),
                )


@pytest.mark.parametrize("N", [3, 20, 33, 64, 200])
@pytest.mark.parametrize("what", [np.nan, np.inf])
def test_what_is_no_number_stays_in_its_row(N, what, rng):
    x, dy, gamma = sample((37, N), rng), sample((37, N), rng), sample(N, rng)
    spoilt = x.copy()
    spoilt[[5, 20, 36], [0, N // 2, N - 1]] = what
    fields, others = dict(M=37, N=N, rms=0, has_gamma=1, has_beta=0, eps=1e-3), np.delete(np.arange(37), [5, 20, 36])
    for isa in _core.isas():
        results = []
        for rows in (x, spoilt):
            y, dx, mean, rstd = np.empty_like(x), np.empty_like(x), np.empty(37, np.float32), np.empty(37, np.float32)
            _core.run_kernel("layer_norm", fields, [rows, gamma, None], [y, mean, rstd], isa=isa)
            _core.run_kernel("layer_norm_grad_x", fields, [rows, dy, gamma, mean, rstd], [dx], isa=isa)
            results.append((y, dx))
        for clean, got in zip(*results):
            assert clean[others].tobytes() == got[others].tobytes(), isa
            assert np.isnan(np.delete(got, others, 0)).all(), isa


def test_in_place(rng):
    x, gamma = sample((50, 33), rng), sample(33, rng)
    fields = dict(M=50, N=33, rms=0, has_gamma=1, has_beta=0, eps=1e-3)
    for isa in _core.isas():
        apart, together, row = np.empty_like(x), x.copy(), np.empty(50, np.float32)
        _core.run_kernel("layer_norm", fields, [x, gamma, None], [apart, row, row.copy()], isa=isa)
        _core.run_kernel("layer_norm", fields, [together, gamma, None], [together, row, row.copy()], isa=isa)
        assert apart.tobytes() == together.tobytes(), isa


@pytest.mark.parametrize("shape", [(300, 3), (150, 20), (50, 33)], ids=str)
def test_batch_norm_in_place(shape, rng):
    (R, C), inputs = shape, [sample(shape, rng), *(sample(shape[1], rng) for _ in range(4)), None]
    fields = dict(R=R, C=C, act=1, has_gamma=1, has_beta=1, residual=0, eps=1e-3)
    inputs[2] = np.abs(inputs[2])
    for isa in _core.isas():
        apart, together = np.empty(shape, np.float32), inputs[0].copy()
        _core.run_kernel("batch_norm_apply", fields, inputs, [apart], isa=isa)
        _core.run_kernel("batch_norm_apply", fields, [together, *inputs[1:]], [together], isa=isa)
        assert apart.tobytes() == together.tobytes(), isa


@pytest.mark.parametrize(
    "bad",
    [
        dict(R=-1),
        dict(C=-1),
        dict(R=1 << 40, C=1 << 40),
        dict(R=0, C=1 << 62),
        dict(act=3),
        dict(eps=-1.0),
        dict(eps=float("nan")),
    ],
    ids=str,
)
def test_impossible_fields_are_refused(bad):
    fields = dict(R=4, C=4, act=0, has_gamma=1, has_beta=1, eps=1e-3)
    assert _core.facts("batch_norm_apply", fields | dict(residual=0) | bad)["error"]
    assert _core.facts("batch_norm_grad_stats", fields | dict(chunk=2) | bad)["error"]
    assert _core.facts("batch_norm_partials", dict(R=4, C=4, chunk=0))["error"]
