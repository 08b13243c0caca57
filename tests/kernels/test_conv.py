import numpy as np
import pytest

from kernels import conv_reference as ref
from kernels.acts import ACTS, acted, exactly
from kernels.conv_reference import CASES, FAR, PER_PIXEL, Conv
from kernels.image_calls import assert_near, gathered, run, same_bits_for_any_split, spread
from nacre import _core

EPS = np.finfo(np.float32).eps
ISAS = _core.isas()


def operands(s, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((s["N"], s["H"], s["W"], s["C"])).astype(np.float32)
    w = rng.standard_normal((s["KH"], s["KW"], s["C"] // s["G"], s["O"])).astype(np.float32)
    b = rng.standard_normal(s["O"]).astype(np.float32) if s["bias"] else None
    dy = rng.standard_normal((s["N"], s["OH"], s["OW"], s["O"])).astype(np.float32)
    return x, w, b, dy


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward(case, isa):
    s = case.shape()
    x, w, b, _ = operands(s)
    (y,) = same_bits_for_any_split("conv2d", s, (spread(x, s["ldx"]), w, b, None), isa)
    K = s["KH"] * s["KW"] * s["C"] // s["G"]
    assert_near(
        gathered(y, (s["N"], s["OH"], s["OW"], s["O"]), s["ldy"]), ref.forward(s, x, w, b), K, 3 * (K + 1) ** 0.5
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("act", [0, 1, 2])
@pytest.mark.parametrize("ldr", [0, 301])
@pytest.mark.parametrize("case", CASES[1::4], ids=str)
def test_a_residual_and_an_activation_come_after_the_sum(case, ldr, act, isa):
    s = case.shape(act=act, residual=1, ldr=ldr)
    x, w, b, dy = operands(s)
    r = dy * 3
    inputs = (spread(x, s["ldx"]), w, b)
    (y,) = same_bits_for_any_split("conv2d", s, (*inputs, spread(r, ldr)), isa)
    (plain,) = run("conv2d", dict(s, act=0, residual=0), (*inputs, None), isa)
    want = gathered(plain, dy.shape, s["ldy"]) + r
    want = (want, np.maximum(want, 0), np.clip(want, 0, 6))[act]
    assert np.array_equal(gathered(y, dy.shape, s["ldy"]), want)
    K = s["KH"] * s["KW"] * s["C"] // s["G"] + 1
    assert_near(gathered(y, dy.shape, s["ldy"]), ref.forward(s, x, w, b, r), K, 9 * (K + 1) ** 0.5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("case", CASES[2::4], ids=str)
def test_what_is_done_to_stored_sums_has_the_bits_of_elementwise(case, act, isa):
    s = case.shape(act=act, residual=1)
    x, w, b, dy = operands(s)
    inputs = (spread(x, s["ldx"]), w, b, dy)
    (y,) = same_bits_for_any_split("conv2d", s, inputs, isa)
    (plain,) = run("conv2d", dict(s, act=0), inputs, isa)
    y, plain = (gathered(a, dy.shape, s["ldy"]) for a in (y, plain))
    assert np.array_equal(y, acted(act, plain, isa))
    np.testing.assert_allclose(y, exactly(act, plain), rtol=0, atol=8 * EPS * (1 + np.abs(plain).max(initial=0)))
    (panels,) = run("conv2d_pack", dict(s, act=0), (w,), isa)
    (packed,) = same_bits_for_any_split("conv2d_packed", s, (inputs[0], panels, *inputs[2:]), isa)
    (plain,) = run("conv2d_packed", dict(s, act=0), (inputs[0], panels, *inputs[2:]), isa)
    packed, plain = (gathered(a, dy.shape, s["ldy"]) for a in (packed, plain))
    assert np.array_equal(packed, acted(act, plain, isa))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_packed_weights_give_the_same_sums(case, isa):
    s = case.shape(residual=1)
    x, w, b, dy = operands(s)
    (panels,) = same_bits_for_any_split("conv2d_pack", s, (w,), isa)
    inputs = (spread(x, s["ldx"]), b, dy)
    (y,) = same_bits_for_any_split("conv2d_packed", s, (inputs[0], panels, *inputs[1:]), isa)
    (want,) = run("conv2d", s, (inputs[0], w, *inputs[1:]), isa)
    y, want = (gathered(a, dy.shape, s["ldy"]) for a in (y, want))
    if s["O"] // s["G"] >= 16:
        assert y.tobytes() == want.tobytes()
    K = s["KH"] * s["KW"] * s["C"] // s["G"]
    assert_near(y, ref.forward(s, x, w, b, dy), K, 9 * (K + 1) ** 0.5)  # fewer outputs are summed in another order


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_grad_x(case, isa):
    s = case.shape(act=0, bias=0)
    _, w, _, dy = operands(s)
    (dx,) = same_bits_for_any_split("conv2d_grad_x", s, (spread(dy, s["ldy"]), w, None, None, None), isa)
    K = s["KH"] * s["KW"] * s["O"] // s["G"]
    assert_near(gathered(dx, (s["N"], s["H"], s["W"], s["C"]), s["ldx"]), ref.grad_x(s, dy, w), K, 3 * (K + 1) ** 0.5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kernel", ["conv2d", "conv2d_grad_x"])
def test_an_image_is_the_same_in_a_batch_that_goes_past_the_caches(kernel, isa):
    if kernel == "conv2d":
        s = Conv(N=20, H=72, W=72, C=4, O=64).shape()
        x, w, b, _ = operands(s)
        rest = (w, b, None)
    else:
        s = Conv(N=50, H=32, W=32, C=128, O=128, KH=3, KW=3, SH=2, SW=2, G=32, padding="same", bias=0).shape()
        _, w, _, x = operands(s)
        rest = (w, None, None, None)
    (y,) = run(kernel, s, (x, *rest), isa)
    assert y.size > 6 * 2**20
    for image in (0, 7, s["N"] - 1):
        (alone,) = run(kernel, dict(s, N=1), (x[image], *rest), isa)
        assert y.reshape(s["N"], -1)[image].tobytes() == alone.tobytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES[7:21:3] + PER_PIXEL, ids=str)
def test_grad_x_is_masked_by_the_relu_before(case, isa):
    s = case.shape(act=1, bias=0, ldx=0, ldy=0)
    x, w, _, dy = operands(s)
    x = np.maximum(x, 0)
    (dx,) = same_bits_for_any_split("conv2d_grad_x", s, (dy, w, None, None, x), isa)
    (unmasked,) = run("conv2d_grad_x", dict(s, act=0), (dy, w, None, None, None), isa)
    assert dx.tobytes() == np.where(x.ravel() > 0, unmasked, np.float32(0)).tobytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("act", [0, 1, 2])
@pytest.mark.parametrize("case", CASES[6:21:3] + PER_PIXEL, ids=str)
def test_what_follows_a_transposed_convolution_comes_after_the_sum(case, act, isa):
    s = case.shape(act=act, bias=1, residual=1, ldx=0, ldy=0)
    x, w, _, dy = operands(s)
    r, b = x * 3, np.arange(s["C"], dtype=np.float32) - 1
    inputs = (dy, w, b, spread(r, s["C"] + 5), x if act == 1 else None)
    (dx,) = same_bits_for_any_split("conv2d_grad_x", dict(s, ldr=s["C"] + 5), inputs, isa)
    (plain,) = run("conv2d_grad_x", dict(s, act=0, residual=0), (dy, w, b, None, None), isa)
    want = plain.reshape(x.shape) + r
    want = (want, np.where(x > 0, want, np.float32(0)), np.maximum(want, 0))[act]
    assert np.array_equal(dx.reshape(x.shape), want)
    K = s["KH"] * s["KW"] * s["O"] // s["G"] + 1
    assert_near(plain.reshape(x.shape), ref.grad_x(s, dy, w) + b, K, 9 * (K + 1) ** 0.5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES + FAR, ids=str)
def test_grad_w_and_bias(case, isa):
    s = case.shape()
    x, _, _, dy = operands(s)
    parts = same_bits_for_any_split("conv2d_grad_w", s, (spread(x, s["ldx"]), spread(dy, s["ldy"])), isa)
    dw, db = same_bits_for_any_split("conv2d_grad_w_join", s, parts, isa)
    pixels = s["N"] * s["OH"] * s["OW"]
    shape = (s["KH"], s["KW"], s["C"] // s["G"], s["O"])
    assert_near(dw.reshape(shape), ref.grad_w(s, x, dy), pixels, 3 * (pixels + 1) ** 0.5)
    if s["bias"]:
        assert_near(db, dy.astype(np.float64).sum((0, 1, 2)), pixels, 3 * (pixels + 1) ** 0.5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("act", [1, 2, *ACTS])
def test_nan_passes_through_relu(act, isa):
    s = Conv(N=1, H=3, W=3, C=2, O=3, KH=3, KW=3, padding="same", act=act).shape()
    x, w, b, _ = operands(s)
    x[0, 0, 0, 0] = np.nan
    (y,) = run("conv2d", s, (x, w, b, None), isa)
    seen = np.zeros((3, 3, 3), bool)
    seen[:2, :2] = True
    assert np.array_equal(np.isnan(y.reshape(3, 3, 3)), seen)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("outputs", [1, 20])
def test_nan_reaches_the_weights_that_saw_it(outputs, isa):
    s = Conv(N=1, H=6, W=7, C=32, O=outputs, KH=3, KW=3).shape()
    x, _, _, dy = operands(s)
    x[0, 0, 0, 3] = x[0, 5, 6, 7] = np.nan
    parts = run("conv2d_grad_w", s, (x, dy), isa)
    dw, _ = run("conv2d_grad_w_join", s, parts, isa)
    seen = np.zeros((3, 3, 32, outputs), bool)
    seen[0, 0, 3] = seen[2, 2, 7] = True
    assert np.array_equal(np.isnan(dw.reshape(seen.shape)), seen)


@pytest.mark.parametrize("isa", ISAS)
def test_adding_up_to_a_sum_long_enough_for_parts(isa):
    s = Conv(N=40, H=12, W=12, C=16, O=16, KH=3, KW=3, padding="same").shape()
    x, _, _, dy = operands(s)
    assert _core.facts("conv2d_grad_w", s, isa)["extents"][2] > 9 * 16 * 16
    parts = same_bits_for_any_split("conv2d_grad_w", s, (x, dy), isa)
    dw, _ = run("conv2d_grad_w_join", s, parts, isa)
    assert_near(dw.reshape(3, 3, 16, 16), ref.grad_w(s, x, dy), 5760, 3 * 5760**0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"N": -1}, {"KH": 0}, {"SH": 0}, {"DW": -2}, {"G": 2}, {"ldx": 1}, {"ldy": 3}, {"act": 9}, {"bias": 2},
        {"residual": 2}, {"ldr": -1},
        {"PT": 2**62}, {"OH": 2**40}, {"C": 2**31},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(
    "kernel", ["conv2d", "conv2d_packed", "conv2d_pack", "conv2d_grad_x", "conv2d_grad_w", "conv2d_grad_w_join"]
)
def test_impossible_fields_are_refused(kernel, changes):
    assert _core.facts(kernel, Conv(H=4, W=4, C=3, O=4).shape(**changes))["error"]


def test_relu6_is_for_the_forward_pass_alone():
    s = Conv(H=4, W=4, C=3, O=4).shape(act=2)
    assert _core.facts("conv2d", s)["error"] is None
    assert _core.facts("conv2d_grad_w", s)["error"]
    for act in ACTS:
        assert _core.facts("conv2d", dict(s, act=act))["error"] is None
        assert _core.facts("conv2d_grad_x", dict(s, act=act))["error"]


@pytest.mark.parametrize(
    "kernel", ["conv2d", "conv2d_packed", "conv2d_pack", "conv2d_grad_x", "conv2d_grad_w", "conv2d_grad_w_join"]
)
def test_facts_are_total(kernel):
    values = (-(2**63), -1, 0, 1, 2, 2**29, 2**30 - 1, 2**63 - 1)
    rng = np.random.default_rng(5)
    names = [name for name, *_ in _core.kernels()[kernel]["fields"]]
    plain = Conv(H=4, W=4, C=4, O=4).shape()
    for _ in range(2000):
        s = {n: int(values[rng.integers(len(values))]) if rng.random() < 0.3 else plain[n] for n in names}
        facts = _core.facts(kernel, s)
        assert facts["error"] or (facts["units"] >= 0 and facts["scratch"] >= 0)
