"""Convolution by transformed tiles: the sums of the plain one within the bound of its transforms, bit for bit at any
split."""

import itertools

import numpy as np
import pytest

from kernels import conv_reference as ref
from kernels.conv_reference import Conv
from kernels.image_calls import EPS, gathered, run, same_bits_for_any_split, spread
from nacre import _core

ISAS = _core.isas()
SQUARE = [((3, 3), 2), ((3, 3), 4), ((5, 5), 2)]
STRIDED = [((4, 4, 2), 4), ((5, 5, 2), 2), ((5, 5, 2), 4)]  # the third number is the stride
UNSTRIDED = [*SQUARE, ((1, 3), 2), ((1, 3), 4), ((1, 5), 2)]
WINDOWS_AND_TILES = [*UNSTRIDED, *STRIDED]
CASES = [
    Conv(N=1, H=4, W=4, C=1, O=1, padding="same"),
    Conv(N=2, H=5, W=7, C=3, O=4),
    Conv(N=2, H=5, W=7, C=3, O=4, padding="same", act=1),
    Conv(N=3, H=7, W=7, C=31, O=47, padding="same", act=1),
    Conv(N=2, H=9, W=8, C=19, O=70, padding="same", bias=0),
    Conv(N=2, H=13, W=14, C=16, O=16, padding="same", act=2),
    Conv(N=30, H=4, W=4, C=20, O=36, padding="same"),
    Conv(N=5, H=30, W=30, C=8, O=65, padding="same"),
    Conv(N=1, H=6, W=6, C=300, O=66, padding="same"),
    Conv(N=1, H=3, W=90, C=33, O=96),
    Conv(N=3, H=12, W=11, C=130, O=129, padding="same"),
    Conv(N=0, H=5, W=5, C=3, O=4),
    Conv(N=2, H=0, W=5, C=3, O=4, padding="same"),
    Conv(N=2, H=5, W=5, C=0, O=4, padding="same"),
    Conv(N=2, H=5, W=5, C=3, O=0, padding="same"),
    Conv(N=2, H=2, W=2, C=3, O=4),
    Conv(N=2, H=4, W=5, C=6, O=7, more={"PT": 3, "PL": 2, "OH": 9, "OW": 8}),
    Conv(N=1, H=4, W=4, C=2, O=3, more={"PT": 9, "PL": 0, "OH": 20, "OW": 6}),
    Conv(N=1, H=9, W=9, C=2, O=3, more={"PT": -3, "PL": -2, "OH": 4, "OW": 5}),
    Conv(N=2, H=6, W=7, C=10, O=12, padding="same", more={"ldx": 17, "ldy": 29}),
]
both = pytest.mark.parametrize(("window", "tile"), WINDOWS_AND_TILES, ids=str)
isas = pytest.mark.parametrize("isa", ISAS)


def fields(case, window, tile, **changes):
    KH, KW, stride = (*window, 1)[:3]
    s = Conv(**{**case.__dict__, "KH": KH, "KW": KW, "SH": stride, "SW": stride}).shape(**changes)
    return s, {k: v for k, v in s.items() if k not in ("SH", "SW", "DH", "DW", "G")} | {
        "stride": stride,
        "tile": tile,
        "masked": 0,
        "turned": 0,
    }


def operands(s, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((s["N"], s["H"], s["W"], s["C"])).astype(np.float32)
    w = rng.standard_normal((s["KH"], s["KW"], s["C"], s["O"])).astype(np.float32)
    b = rng.standard_normal(s["O"]).astype(np.float32) if s["bias"] else None
    r = rng.standard_normal((s["N"], s["OH"], s["OW"], s["O"])).astype(np.float32)
    return x, w, b, r


def matrices(window, tile):
    """A, B and G of y = A (G w * B d), from the points at which polynomials are evaluated; the last of four and of six
    is infinity."""
    n = tile + window - 1
    if n == 1:
        return (np.ones((1, 1)),) * 3
    points = {4: [0, 1, -1], 5: [0, 3 / 4, -3 / 4, 2, -2], 6: [0, 5 / 8, -5 / 8, 3 / 2, -3 / 2]}[n]
    infinite = len(points) < n
    A = np.array([[p**i for p in points] + [float(i == tile - 1)] * infinite for i in range(tile)])
    last = [float(i == window - 1) for i in range(window)]
    G = [[p**i / np.prod([p - q for q in points if q != p]) for i in range(window)] for p in points]
    G = np.array(G + [last] * infinite)
    B = np.zeros((n, n))
    for i, p in enumerate(points):  # the polynomial whose roots are the other points
        B[i, : len(points)] = np.poly([q for q in points if q != p])[::-1]
    if infinite:
        B[-1] = np.poly(points)[::-1]
    return A, B, G


def test_the_transforms_are_those_of_a_correlation():
    rng = np.random.default_rng(1)
    for window, tile in [(3, 2), (3, 4), (5, 2), (2, 4)]:
        A, B, G = matrices(window, tile)
        d, w = rng.standard_normal(tile + window - 1), rng.standard_normal(window)
        np.testing.assert_allclose(A @ ((G @ w) * (B @ d)), np.correlate(d, w, "valid"), atol=1e-13)


def every(image, axis, first, step, count):
    """Elements first, first + step, ... along an axis; zeros where there are none."""
    at = first + step * np.arange(count)
    inside = (at >= 0) & (at < image.shape[axis])
    moved = np.moveaxis(image, axis, 0)
    out = np.zeros((count, *moved.shape[1:]), image.dtype)
    out[inside] = moved[at[inside]]
    return np.moveaxis(out, 0, axis)


def phases(s, x, w):
    """The convolutions at stride 1 whose sum one at a stride is: (first taps, fields, x, w)."""
    S = s["SH"]
    if S == 1:
        yield (0, 0), s, x, w
        return
    taps = -(-s["KH"] // S), -(-s["KW"] // S)
    for rh, rw in np.ndindex(S, S):
        x1 = every(every(x, 1, rh - s["PT"], S, s["OH"] + taps[0] - 1), 2, rw - s["PL"], S, s["OW"] + taps[1] - 1)
        w1 = every(every(w, 0, rh, S, taps[0]), 1, rw, S, taps[1])
        own = {"H": x1.shape[1], "W": x1.shape[2], "KH": taps[0], "KW": taps[1], "SH": 1, "SW": 1, "PT": 0, "PL": 0}
        yield (rh, rw), s | own, x1, w1


def turned_phases(s, dy, w):
    """The convolutions of dy that lie side by side in dx: (first pixels, fields, dy, w)."""
    S, taps = s["SH"], (-(-s["KH"] // s["SH"]), -(-s["KW"] // s["SW"]))
    w = w.transpose(0, 1, 3, 2)
    for rh, rw in np.ndindex(S, S):
        first, pads = [], []
        for r, pad, n in ((rh, s["PT"], taps[0]), (rw, s["PL"], taps[1])):
            q = (r + pad) % S  # tap q + S t of pixel S i + r meets output i + (r + pad - q) / S - t
            first.append(q)
            pads.append(n - 1 - (r + pad - q) // S)
        w1 = every(every(w, 0, first[0] + S * (taps[0] - 1), -S, taps[0]), 1, first[1] + S * (taps[1] - 1), -S, taps[1])
        sizes = {"H": s["OH"], "W": s["OW"], "C": s["O"], "O": s["C"], "KH": taps[0], "KW": taps[1], "SH": 1, "SW": 1}
        size = {"OH": len(range(rh, s["H"], S)), "OW": len(range(rw, s["W"], S)), "PT": pads[0], "PL": pads[1]}
        yield (rh, rw), s | sizes | size, dy, w1


def down_and_along(s, tile):
    """The outputs of a tile down and along, and the magnitudes of either axis' matrices."""
    sizes = tile if s["KH"] > 1 else 1, tile
    axes = zip((s["KH"], s["KW"]), sizes, strict=True)
    return sizes, *([np.abs(m) for m in matrices(window, size)] for window, size in axes)


def magnitudes(s, tile, x, w):
    """What the sums of each output would be if nothing cancelled, neither in the sums nor in the transforms."""
    return sum(phase_magnitudes(s1, tile, x1, w1) for _, s1, x1, w1 in phases(s, x, w))


def phase_magnitudes(s, tile, x, w):
    sizes, (A, B, G), (A2, B2, G2) = down_and_along(s, tile)
    rows, columns = -(-s["OH"] // sizes[0]), -(-s["OW"] // sizes[1])
    d = by_tiles(np.abs(x), sizes, (len(B), len(B2)), (-s["PT"], -s["PL"]), rows, columns)
    u = np.einsum("ai,ijco,bj->abco", G, np.abs(w.astype(np.float64)), G2, optimize=True)
    v = np.einsum("ai,ntijc,bj->abntc", B, d, B2, optimize=True)
    sums = np.einsum("abntc,abco->abnto", v, u, optimize=True)
    y = np.einsum("ia,abnto,jb->ntijo", A, sums, A2, optimize=True)
    y = y.reshape(s["N"], rows, columns, *sizes, s["O"]).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(s["N"], rows * sizes[0], columns * sizes[1], s["O"])[:, : s["OH"], : s["OW"]]


def convolve(s, t, x, w, b, r, isa, h=None):
    (u,) = same_bits_for_any_split("conv2d_winograd_pack", t, (w,), isa)
    inputs = (spread(x, s["ldx"]), u, b, None if r is None else spread(r, s["ldr"]), h)
    (y,) = same_bits_for_any_split("conv2d_winograd", t, inputs, isa)
    return gathered(y, (s["N"], s["OH"], s["OW"], s["O"]), s["ldy"])


@isas
@both
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward(case, window, tile, isa):
    s, t = fields(case, window, tile)
    x, w, b, _ = operands(s)
    error = np.abs(convolve(s, t, x, w, b, None, isa) - ref.forward(s, x, w, b))
    # Roundings: eight in either transform of x and of the sums, one in u, one for each channel, the bias; each of at
    # most eps/2 of what lies behind it.
    terms = s["C"] * s["SH"] * s["SW"]
    bound = (terms + 20) * EPS / 2 * (magnitudes(s, tile, x, w) + (0 if b is None else np.abs(b)))
    assert np.all(error <= bound)


@isas
@both
@pytest.mark.parametrize("act", [0, 1, 2])
@pytest.mark.parametrize("ldr", [0, 301])
@pytest.mark.parametrize("case", CASES[1::4], ids=str)
def test_a_residual_and_an_activation_come_after_the_sum(case, ldr, act, window, tile, isa):
    s, t = fields(case, window, tile, act=act, residual=1, ldr=ldr)
    x, w, b, r = operands(s)
    y = convolve(s, t, x, w, b, r, isa)
    plain = convolve(*fields(case, window, tile, act=0), x, w, b, None, isa) + r
    assert np.array_equal(y, (plain, np.maximum(plain, 0), np.clip(plain, 0, 6))[act])


def by_tiles(image, sizes, inputs, at, rows, columns):
    """(N, rows * columns, *inputs, channels): the pixels of each tile, the first from `at` on; zeros around."""
    N, H, W, C = image.shape
    tiles = np.zeros((N, rows, columns, *inputs, C))
    for r, c, i, j in np.ndindex(rows, columns, *inputs):
        h, w = r * sizes[0] + i + at[0], c * sizes[1] + j + at[1]
        if 0 <= h < H and 0 <= w < W:
            tiles[:, r, c, i, j] = image[:, h, w]
    return tiles.reshape(N, rows * columns, *inputs, C)


def gradient_magnitudes(s, tile, x, dy):
    """The sums of each weight's gradient if nothing cancelled, neither in the sums nor in the transforms."""
    dw = np.zeros((s["KH"], s["KW"], s["C"], s["O"]))
    for (kh, kw), s1, x1, _ in phases(s, x, dw):
        of_phase = dw[kh :: s["SH"], kw :: s["SW"]]
        of_phase[:] = phase_gradient_magnitudes(s1, tile, x1, dy)[: len(of_phase), : of_phase.shape[1]]
    return dw


def phase_gradient_magnitudes(s, tile, x, dy):
    sizes, (A, B, G), (A2, B2, G2) = down_and_along(s, tile)
    grid = -(-s["OH"] // sizes[0]), -(-s["OW"] // sizes[1])
    d = by_tiles(np.abs(x), sizes, (len(B), len(B2)), (-s["PT"], -s["PL"]), *grid)
    e = by_tiles(np.abs(dy), sizes, sizes, (0, 0), *grid)
    v = np.einsum("ai,ntijc,bj->abntc", B, d, B2, optimize=True)
    u = np.einsum("ia,ntijo,jb->abnto", A, e, A2, optimize=True)
    return np.einsum("ai,abntc,abnto,bj->ijco", G, v, u, G2, optimize=True)


def gradients(s, t, x, dy, isa):
    inputs = (spread(x, s["ldx"]), spread(dy, s["ldy"]))
    parts = same_bits_for_any_split("conv2d_winograd_grad_w", t, inputs, isa)
    dw, db = same_bits_for_any_split("conv2d_winograd_grad_w_join", t, parts, isa)
    return dw.reshape(s["KH"], s["KW"], s["C"], s["O"]), db


@isas
@both
@pytest.mark.parametrize("case", CASES, ids=str)
def test_grad_w_and_bias(case, window, tile, isa):
    s, t = fields(case, window, tile, act=0)
    x, _, _, dy = operands(s)
    dw, db = gradients(s, t, x, dy, isa)
    # Roundings: eight in the transform of x and four in that of dy, one for each tile and each join of sums, four at
    # the end; each of at most eps/2 of what lies behind it.
    tiles = s["N"] * -(-s["OH"] // (tile if s["KH"] > 1 else 1)) * -(-s["OW"] // tile)
    assert np.all(np.abs(dw - ref.grad_w(s, x, dy)) <= (tiles + 32) * EPS * gradient_magnitudes(s, tile, x, dy))
    if s["bias"]:
        wide = dy.astype(np.float64)
        bound = (tiles + 32) * EPS * np.abs(wide).sum((0, 1, 2))
        assert np.all(np.abs(db - wide.sum((0, 1, 2))) <= bound)


@isas
@pytest.mark.parametrize(("C", "O"), [(16, 16), (33, 17)])
def test_parts_of_a_long_sum_are_joined(C, O, isa):
    case = Conv(N=9, H=30, W=31, C=C, O=O, padding="same")
    assert _core.facts("conv2d_winograd_grad_w", fields(case, (3, 3), 4)[1], isa)["extents"][2] > 9 * C * O
    for window, tile in WINDOWS_AND_TILES:
        test_grad_w_and_bias(case, window, tile, isa)


@isas
@pytest.mark.parametrize(
    ("window", "tile", "times"),
    [
        ((3, 3), 2, 1.2),
        ((3, 3), 4, 2.5),
        ((5, 5), 2, 3.2),
        ((1, 3), 4, 2.0),
        ((1, 5), 2, 2.0),
        ((4, 4, 2), 4, 3.2),
        ((5, 5, 2), 4, 3.2),
    ],
)
def test_errors_of_the_gradient_are_close_to_those_of_the_plain_one(window, tile, times, isa):
    s, t = fields(Conv(N=8, H=28, W=28, C=64, O=64, padding="same", bias=0), window, tile)
    x, _, _, dy = operands(s)
    want = ref.grad_w(s, x, dy)
    plain, _ = run("conv2d_grad_w_join", s, run("conv2d_grad_w", s, (x, dy), isa), isa)
    errors = [np.std(dw.reshape(want.shape) - want) for dw in (gradients(s, t, x, dy, isa)[0], plain)]
    assert errors[0] < times * errors[1], errors


@both
@pytest.mark.parametrize("padding", [{}, {"PT": -1, "PL": -3, "OH": 2, "OW": 3}], ids=["same", "a part"])
def test_what_is_not_finite_reaches_the_gradients_of_its_channel_and_no_other(window, tile, padding):
    s, t = fields(Conv(N=2, H=9, W=8, C=5, O=6, padding="same", more=padding), window, tile)
    x, _, _, dy = operands(s)
    for isa, value in itertools.product(ISAS, (np.nan, np.inf)):
        dw, db = gradients(s, t, x, dy, isa)
        spoilt_x, spoilt_dy = x.copy(), dy.copy()
        spoilt_x[1, 2, 4, 2] = spoilt_dy[1, 1, 2, 3] = value
        if padding:
            spoilt_x[:, 8, 7, 1] = np.nan  # no window sees it
        for axis, channel, operands_of in ((2, 2, (spoilt_x, dy)), (3, 3, (x, spoilt_dy))):
            got, sums = gradients(s, t, *operands_of, isa)
            assert np.array_equal(np.delete(got, channel, axis), np.delete(dw, channel, axis))
            with np.errstate(invalid="ignore"):
                plain = ref.grad_w(s, *operands_of)
            lost = ~np.isfinite(plain)
            assert lost.any() and np.all(np.isnan(got[lost]) | (got[lost] == plain[lost]))
        assert np.array_equal(np.delete(sums, 3), np.delete(db, 3)) and not np.isfinite(sums[3])


@isas
@both
@pytest.mark.parametrize("case", [c for c in CASES[1::3] if not c.more], ids=str)
def test_a_mask_lets_the_gradient_through_where_its_input_was_positive(case, window, tile, isa):
    s, t = fields(case, window, tile, act=0, residual=1)
    x, w, b, r = operands(s)
    h = np.random.default_rng(3).standard_normal(r.shape).astype(np.float32)
    y = convolve(s, {**t, "masked": 1}, x, w, b, r, isa, h)
    assert np.array_equal(y, np.where(h > 0, convolve(s, t, x, w, b, r, isa), 0))


@isas
@pytest.mark.parametrize(("window", "tile"), SQUARE, ids=str)
@pytest.mark.parametrize("value", [None, np.nan])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_pooled_outputs_are_the_first_largest_of_their_windows(case, value, window, tile, isa):
    s, t = fields(case, window, tile, act=min(case.act, 1))
    x, w, b, _ = operands(s)
    if value is not None and x.size:
        x.flat[x.size // 2] = value
    z = convolve(s, t, x, w, b, None, isa)
    rows, columns = s["OH"] // 2, s["OW"] // 2
    z = z[:, : 2 * rows, : 2 * columns].reshape(s["N"], rows, 2, columns, 2, s["O"]).transpose(0, 1, 3, 5, 2, 4)
    z = z.reshape(s["N"], rows, columns, s["O"], 4)
    (u,) = same_bits_for_any_split("conv2d_winograd_pack", t, (w,), isa)
    y, index = same_bits_for_any_split("conv2d_winograd_pool", t, (spread(x, s["ldx"]), u, b), isa)
    assert np.array_equal(gathered(y, z.shape[:-1], s["ldy"]), z.max(-1) if z.size else z[..., 0], equal_nan=True)
    assert np.array_equal(index.reshape(z.shape[:-1]), z.argmax(-1) if z.size else z[..., 0])


@isas
@pytest.mark.parametrize(("window", "tile"), UNSTRIDED, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_turned_weights_are_those_of_the_gradient_of_the_inputs(case, window, tile, isa):
    _, t = fields(case, window, tile)
    w = np.random.default_rng(4).standard_normal((*window, t["O"], t["C"])).astype(np.float32)
    (got,) = same_bits_for_any_split("conv2d_winograd_pack", {**t, "turned": 1}, (w,), isa)
    (want,) = run("conv2d_winograd_pack", t, (np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2)),), isa)
    assert np.array_equal(got, want)


@isas
@both
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gradient_of_the_inputs(case, window, tile, isa):
    s, t = fields(case, window, tile, act=0)
    x, w, _, dy = operands(s)
    sizes = {"H": s["OH"], "W": s["OW"], "C": s["O"], "O": s["C"], "OH": s["H"], "OW": s["W"]}
    turned = {**t, **sizes, "ldx": t["ldy"], "ldy": t["ldx"], "bias": 0, "turned": 1, "masked": 1, "residual": 1}
    r, h = (np.random.default_rng(n).standard_normal(x.shape).astype(np.float32) for n in (3, 4))
    ours = {**s, **sizes, "ldx": t["ldy"], "ldy": t["ldx"]}
    dx = convolve(ours, turned, dy, w, None, r, isa, spread(h, s["ldx"]))
    bound = np.zeros(x.shape)
    for (rh, rw), s1, dy1, w1 in turned_phases(s, dy, w):
        bound[:, rh :: s["SH"], rw :: s["SW"]] = phase_magnitudes(s1, tile, dy1, w1)
    bound = (s["O"] + 21) * EPS / 2 * (bound + np.abs(r))
    assert np.all(np.abs(dx - np.where(h > 0, ref.grad_x(s, dy, w) + r, 0)) <= bound)


@isas
@pytest.mark.parametrize(
    ("window", "tile", "times"),
    [
        ((3, 3), 2, 1.2),
        ((3, 3), 4, 2.5),
        ((5, 5), 2, 1.5),
        ((1, 3), 4, 2.0),
        ((1, 5), 2, 1.5),
        ((4, 4, 2), 4, 2.0),
        ((5, 5, 2), 4, 2.5),
        ((5, 5, 2), 2, 1.2),
    ],
)
def test_errors_are_close_to_those_of_the_plain_convolution(window, tile, times, isa):
    s, t = fields(Conv(N=2, H=28, W=28, C=64, O=64, padding="same", bias=0), window, tile)
    x, w, _, _ = operands(s)
    want = ref.forward(s, x, w)
    (plain,) = run("conv2d", s, (x, w, None, None), isa)
    errors = [np.std(y.reshape(want.shape) - want) for y in (convolve(s, t, x, w, None, None, isa), plain)]
    assert errors[0] < times * errors[1]


@both
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_the_tiles_that_read_it_and_no_other(value, window, tile):
    s, t = fields(Conv(N=2, H=19, W=18, C=5, O=6, padding="same", act=1), window, tile)
    x, w, b, _ = operands(s)
    for isa in ISAS:
        clean = convolve(s, t, x, w, b, None, isa)
        spoilt = x.copy()
        spoilt[1, 8, 9, 2] = value
        y = convolve(s, t, spoilt, w, b, None, isa)
        reads = np.zeros(y.shape, bool)
        rows, S = (tile if window[0] > 1 else 1), t["stride"]
        for i in range(0, s["OH"], rows):
            for j in range(0, s["OW"], tile):
                down, along = (S * (n - 1 - -k // S) for n, k in ((rows, window[0]), (tile, window[1])))
                seen = 0 <= 8 + s["PT"] - S * i < down and 0 <= 9 + s["PL"] - S * j < along
                reads[1, i : i + rows, j : j + tile] = seen
        assert np.array_equal(y[~reads], clean[~reads])
        with np.errstate(invalid="ignore"):
            plain = ref.forward(s, spoilt, w, b)
        spoilt_y = ~np.isfinite(plain)
        assert np.all(np.isnan(y[spoilt_y]) | (y[spoilt_y] == plain[spoilt_y]))


def test_numbers_near_the_largest_stay_finite():
    s, t = fields(Conv(N=1, H=8, W=8, C=1, O=1, padding="same", bias=0), (3, 3), 4)
    x, w = np.full((1, 8, 8, 1), 1e36, np.float32), np.full((3, 3, 1, 1), 0.1, np.float32)
    for isa in ISAS:
        y = convolve(s, t, x, w, None, None, isa)
        np.testing.assert_allclose(y, ref.forward(s, x, w), rtol=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_drawn_shapes(seed):
    rng = np.random.default_rng(seed)

    def channels():
        return int(rng.choice([1, 2, 5, 16, 17, 31, 33, 48, 64, 66, 100]))

    case = Conv(
        N=int(rng.integers(1, 4)), H=int(rng.integers(1, 24)), W=int(rng.integers(1, 40)), C=channels(), O=channels(),
        padding=str(rng.choice(["same", "valid"])), act=int(rng.integers(0, 3)), bias=int(rng.integers(0, 2)),
    )  # fmt: skip
    for isa in ISAS:
        for window, tile in WINDOWS_AND_TILES:
            test_forward(case, window, tile, isa)
            test_grad_w_and_bias(case, window, tile, isa)


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"N": -1},
            {"tile": 0},
            {"tile": 3},
            {"stride": 0},
            {"stride": 3},
            {"stride": 2, "tile": 2},
            {"stride": 2, "KH": 1},
            {"KH": 5},
            {"KW": 4},
            {"KH": 2**40, "KW": 2**40},
            {"ldx": 1},
            {"ldy": 3},
            {"ldr": 3},
            {"act": 7},
        ),
        *({"bias": 2}, {"C": 2**31}, {"masked": 2}, {"turned": -1}),
    ],
    ids=str,
)
def test_impossible_fields_are_refused(changes):
    _, t = fields(Conv(H=4, W=4, C=3, O=4), (3, 3), 4)
    for kernel in ("conv2d_winograd", "conv2d_winograd_grad_w"):
        assert _core.facts(kernel, t)["error"] is None
        assert _core.facts(kernel, {**t, **changes})["error"] or (kernel.endswith("w") and "ldr" in changes)


@pytest.mark.parametrize("kernel", ["conv2d_winograd" + end for end in ("", "_pack", "_grad_w", "_grad_w_join")])
def test_facts_are_total(kernel):
    values = (-(2**63), -1, 0, 1, 2, 4, 2**29, 2**30 - 1, 2**63 - 1)
    rng = np.random.default_rng(5)
    _, plain = fields(Conv(H=4, W=4, C=4, O=4), (3, 3), 4)
    for _ in range(2000):
        t = {n: int(values[rng.integers(len(values))]) if rng.random() < 0.3 else v for n, v in plain.items()}
        facts = _core.facts(kernel, t)
        assert facts["error"] or (facts["units"] >= 0 and facts["scratch"] >= 0)
