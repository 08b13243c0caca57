import numpy as np
import pytest

from kernels import conv_reference as ref
from kernels.conv_reference import Conv
from kernels.image_calls import assert_near, gathered, run, same_bits_for_any_split, spread
from nacre import _core

ISAS = _core.isas()

# (channels, outputs per channel, the rest)
CASES = [
    (1, 1, Conv()),
    (32, 1, Conv(N=2, H=7, W=9, KH=3, KW=3, padding="same")),
    (33, 1, Conv(N=2, H=7, W=23, KH=3, KW=3, padding="same", act=1)),
    (70, 1, Conv(N=2, H=9, W=10, KH=3, KW=3)),
    (17, 1, Conv(N=2, H=11, W=20, KH=3, KW=3, SH=2, SW=2, padding="same")),
    (16, 1, Conv(N=1, H=13, W=14, KH=5, KW=5, SH=2, SW=3, padding="same")),
    (5, 1, Conv(N=2, H=8, W=9, KH=7, KW=7, padding="same", bias=0)),
    (20, 1, Conv(N=2, H=9, W=11, KH=3, KW=2, DH=2, DW=3, padding="same")),
    (20, 1, Conv(N=1, H=11, W=12, KH=3, KW=3, SH=3, SW=2, DH=2, DW=2, padding="same")),
    (3, 2, Conv(N=2, H=7, W=6, KH=3, KW=3, padding="same", act=1)),
    (7, 5, Conv(N=2, H=9, W=8, KH=3, KW=3, SH=2, SW=2, padding="same")),
    (4, 3, Conv(N=1, H=9, W=12, KH=3, KW=3, DH=2, DW=2)),
    (20, 1, Conv(N=2, H=5, W=6)),
    (6, 2, Conv(N=2, H=5, W=6)),
    (8, 1, Conv(N=1, H=1, W=400, KH=1, KW=9, padding="same")),
    (8, 1, Conv(N=2, H=3, W=2, KH=7, KW=5, padding="same")),
    (100, 1, Conv(N=9, H=14, W=14, KH=3, KW=3, padding="same")),
    (130, 1, Conv(N=1, H=30, W=30, KH=3, KW=3, DH=12, DW=12, padding="same")),
    (4, 1, Conv(N=0, H=5, W=5, KH=3, KW=3, padding="same")),
    (0, 1, Conv(N=2, H=5, W=5, KH=3, KW=3, padding="same")),
    (4, 0, Conv(N=2, H=5, W=5, KH=3, KW=3, padding="same")),
    (4, 1, Conv(N=2, H=2, W=2, KH=3, KW=3)),
    (14, 1, Conv(N=3, H=32, W=1, KH=3, KW=3)),
    (18, 1, Conv(N=1, H=6, W=6, KH=3, KW=3, SH=2, SW=2)),
    # rows longer than a walk
    (5, 1, Conv(N=1, H=5, W=263, KH=3, KW=3, SH=2, SW=2, padding="same")),
    (19, 1, Conv(N=1, H=5, W=131, KH=3, KW=3, padding="same")),
    (6, 1, Conv(N=2, H=4, W=5, KH=3, KW=3, more={"PT": 3, "PL": 2, "OH": 9, "OW": 8})),
    (10, 1, Conv(N=2, H=6, W=7, KH=3, KW=3, padding="same", more={"ldx": 17, "ldy": 29})),
    (5, 2, Conv(N=2, H=6, W=7, KH=3, KW=3, padding="same", more={"ldx": 17, "ldy": 29})),
    # pixels that meet in few sets of a cache: outputs go through a stage
    (512, 1, Conv(N=1, H=6, W=5, KH=3, KW=3, padding="same", act=1)),
    (1024, 1, Conv(N=2, H=3, W=3, KH=3, KW=3, padding="same")),
    (512, 1, Conv(N=1, H=7, W=6, KH=3, KW=3, SH=2, SW=2, padding="same")),
    (48, 1, Conv(N=1, H=11, W=7, KH=3, KW=3, padding="same", more={"ldx": 512, "ldy": 512})),
    # several turns of gradients of weights, the last one shorter; columns and rows that no window sees
    (129, 1, Conv(N=1, H=5, W=37, KH=3, KW=3, padding="same", more={"ldx": 256, "ldy": 256})),
    (33, 1, Conv(N=2, H=7, W=41, KH=3, KW=3, SH=2, SW=2, more={"PT": -1, "PL": -1, "OH": 2, "OW": 19, "ldx": 256})),
    (33, 1, Conv(N=2, H=7, W=6, KH=3, KW=3, more={"PT": -1, "PL": -2, "OH": 4, "OW": 2})),
    (20, 1, Conv(N=3, H=1, W=1, KH=3, KW=3, padding="same")),
    # walks of 5x5
    (33, 1, Conv(N=2, H=9, W=11, KH=5, KW=5, padding="same", act=1)),
    (20, 1, Conv(N=2, H=11, W=12, KH=5, KW=5, SH=2, SW=2, padding="same")),
    (17, 1, Conv(N=1, H=7, W=263, KH=5, KW=5, padding="same")),
    (5, 1, Conv(N=1, H=6, W=270, KH=5, KW=5, SH=2, SW=2)),
    (6, 1, Conv(N=2, H=4, W=5, KH=5, KW=5, more={"PT": 7, "PL": 6, "OH": 14, "OW": 13})),
    (6, 1, Conv(N=2, H=9, W=8, KH=5, KW=5, more={"PT": -1, "PL": -2, "OH": 4, "OW": 3})),
    (10, 1, Conv(N=2, H=6, W=7, KH=5, KW=5, padding="same", more={"ldx": 17, "ldy": 29})),
    (90, 1, Conv(N=3, H=4, W=4, KH=5, KW=5, padding="same")),
    # inputs that meet in few sets go through a stage; rows left over by one, two and three
    (1024, 1, Conv(N=1, H=11, W=5, KH=5, KW=5, padding="same")),
    (256, 1, Conv(N=1, H=14, W=11, KH=7, KW=7, padding="same", act=1)),
    (512, 1, Conv(N=1, H=14, W=7, KH=5, KW=5, SH=2, SW=2, padding="same", act=1)),
    (24, 1, Conv(N=2, H=9, W=7, KH=7, KW=7, padding="valid", more={"ldx": 1024})),
    # and of 7x7, whose last vector begins early
    (33, 1, Conv(N=2, H=9, W=11, KH=7, KW=7, padding="same", act=1)),
    (24, 1, Conv(N=1, H=8, W=263, KH=7, KW=7, padding="same")),
    (18, 1, Conv(N=2, H=4, W=5, KH=7, KW=7, more={"PT": 9, "PL": 8, "OH": 16, "OW": 15})),
    (20, 1, Conv(N=1, H=12, W=11, KH=7, KW=7, SH=2, SW=2, padding="same")),
    (17, 1, Conv(N=2, H=9, W=8, KH=7, KW=7, padding="same", more={"ldx": 23, "ldy": 29})),
    (33, 1, Conv(N=2, H=12, W=14, KH=5, KW=5, SH=2, SW=2, padding="valid", act=1)),
    (25, 1, Conv(N=1, H=10, W=270, KH=5, KW=5, SH=2, SW=2, padding="same")),
    (18, 1, Conv(N=2, H=4, W=5, KH=5, KW=5, SH=2, SW=2, more={"PT": 7, "PL": 6, "OH": 7, "OW": 6})),
    (18, 1, Conv(N=2, H=9, W=8, KH=5, KW=5, SH=2, SW=2, more={"PT": -1, "PL": -2, "OH": 2, "OW": 2})),
    (17, 1, Conv(N=3, H=1, W=1, KH=7, KW=7, padding="same")),
    # rows of several outputs a channel
    (11, 3, Conv(N=2, H=9, W=8, KH=7, KW=7, padding="same", act=1)),
    (9, 3, Conv(N=2, H=7, W=8, KH=5, KW=5, padding="same", act=1)),
    (19, 2, Conv(N=1, H=13, W=9, KH=5, KW=5, SH=2, SW=2, padding="same")),
    (40, 2, Conv(N=2, H=11, W=5, KH=3, KW=3, padding="same", act=1)),
    (3, 20, Conv(N=1, H=6, W=5, KH=3, KW=3, padding="same")),
    (64, 4, Conv(N=1, H=6, W=5, KH=3, KW=3, padding="same")),
    # walks over windows with gaps, phase by phase
    (33, 1, Conv(N=2, H=13, W=14, KH=3, KW=3, DH=2, DW=3, padding="same", act=1)),
    (20, 1, Conv(N=1, H=19, W=21, KH=5, KW=5, DH=3, DW=2, padding="same")),
    (17, 1, Conv(N=2, H=17, W=18, KH=7, KW=7, DH=2, DW=2, padding="valid")),
    (19, 1, Conv(N=1, H=9, W=8, KH=3, KW=3, DH=2, DW=2, more={"PT": 4, "PL": 3, "OH": 11, "OW": 10})),
    (5, 1, Conv(N=1, H=7, W=300, KH=3, KW=3, DH=1, DW=2, padding="same")),
    (18, 1, Conv(N=1, H=12, W=13, KH=3, KW=3, DH=2, DW=2, more={"PT": -1, "PL": -2, "OH": 5, "OW": 4})),
    # of 17 rows, one phase has a block less than the other
    (200, 1, Conv(N=1, H=17, W=40, KH=5, KW=5, DH=2, DW=2, padding="same")),
    # windows that no walk knows
    (40, 1, Conv(N=2, H=9, W=11, KH=4, KW=4, padding="same", act=1)),
    (37, 1, Conv(N=2, H=5, W=12, KH=3, KW=6, padding="same", bias=0)),
    # pixels of few channels, of which some count as one
    (3, 1, Conv(N=2, H=19, W=85, KH=5, KW=5, padding="same", act=1)),
    (1, 1, Conv(N=3, H=11, W=70, KH=4, KW=7)),
    (6, 1, Conv(N=2, H=23, W=33, KH=5, KW=3, DH=3, DW=2, padding="same", act=1)),
    (2, 1, Conv(N=2, H=21, W=40, KH=6, KW=5, SH=2, padding="same")),
    (3, 1, Conv(N=2, H=9, W=40, KH=5, KW=5, more={"PT": 7, "PL": 6, "OH": 14, "OW": 43})),
    (3, 1, Conv(N=2, H=9, W=40, KH=5, KW=5, bias=0, more={"PT": -1, "PL": -2, "OH": 4, "OW": 30})),
    (21, 2, Conv(N=1, H=6, W=13, KH=4, KW=5, padding="same")),
    (35, 1, Conv(N=2, H=1, W=40, KH=1, KW=16, padding="same", act=1)),
    (18, 1, Conv(N=2, H=2, W=19, KH=1, KW=8, more={"PT": 1, "PL": 9, "OH": 4, "OW": 30})),
    (19, 1, Conv(N=1, H=20, W=9, KH=9, KW=1, SH=2, padding="same")),
    (18, 1, Conv(N=1, H=14, W=13, KH=6, KW=7, SH=2, SW=3, padding="same")),
]


def setup(C, M, conv, **changes):
    """The kernel's shape, the same thing as a convolution with C groups, and operands."""
    s = conv.shape(**changes)
    s.update(C=C, M=M)
    rng = np.random.default_rng(1)
    grouped = dict(s, O=C * M, G=max(C, 1))
    x = rng.standard_normal((s["N"], s["H"], s["W"], C)).astype(np.float32)
    w = rng.standard_normal((s["KH"], s["KW"], C, M)).astype(np.float32)
    b = rng.standard_normal(C * M).astype(np.float32)
    dy = rng.standard_normal((s["N"], s["OH"], s["OW"], C * M)).astype(np.float32)
    s = {k: v for k, v in s.items() if k not in ("O", "G", "residual", "ldr")}
    return s, grouped, x, w, b, dy


def as_grouped(w):
    KH, KW, C, M = w.shape
    return w.reshape(KH, KW, 1, C * M)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"C{case[0]}-M{case[1]}-{case[2]}")
def test_forward(case, isa):
    s, grouped, x, w, b, dy = setup(*case)
    b = b if s["bias"] else None
    (y,) = same_bits_for_any_split("depthwise_conv2d", s, (spread(x, s["ldx"]), w, b), isa)
    taps = s["KH"] * s["KW"]
    want = ref.forward(grouped, x, as_grouped(w), b) if w.size else np.zeros(dy.shape)
    assert_near(gathered(y, dy.shape, s["ldy"]), want, taps, 3 * taps**0.5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bias", [0, 1])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"C{case[0]}-M{case[1]}-{case[2]}")
def test_act_limits_the_finished_sum(case, bias, isa):
    s, _, x, w, b, dy = setup(*case, bias=bias, act=0)
    operands = (spread(3 * x, s["ldx"]), w, b if bias else None)
    (plain,) = run("depthwise_conv2d", s, operands, isa)
    plain = gathered(plain, dy.shape, s["ldy"])
    for act, limit in ((1, np.inf), (2, 6)):
        (y,) = same_bits_for_any_split("depthwise_conv2d", dict(s, act=act), operands, isa)
        assert np.array_equal(gathered(y, dy.shape, s["ldy"]), np.clip(plain, 0, limit))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("act", [0, 1, 2])
def test_act_keeps_nan(act, isa):
    s, _, x, w, b, dy = setup(20, 1, Conv(N=1, H=4, W=9, KH=3, KW=3, padding="same", act=act))
    x[0, 2, 5, 7] = np.nan
    (y,) = run("depthwise_conv2d", s, (x, w, b), isa)
    seen = np.zeros(dy.shape, bool)
    seen[0, 1:4, 4:7, 7] = True
    assert np.array_equal(np.isnan(y.reshape(dy.shape)), seen)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"C{case[0]}-M{case[1]}-{case[2]}")
def test_grad_x(case, isa):
    s, grouped, x, w, _, dy = setup(*case, act=0)
    (dx,) = same_bits_for_any_split("depthwise_conv2d_grad_x", s, (spread(dy, s["ldy"]), w, None), isa)
    terms = s["KH"] * s["KW"] * max(s["M"], 1)
    want = ref.grad_x(grouped, dy, as_grouped(w)) if w.size else np.zeros(x.shape)
    assert_near(gathered(dx, x.shape, s["ldx"]), want, terms, 3 * terms**0.5)
    x = np.maximum(x, 0)
    mask = spread(x, s["ldx"])
    (masked,) = same_bits_for_any_split("depthwise_conv2d_grad_x", dict(s, act=1), (spread(dy, s["ldy"]), w, mask), isa)
    assert np.array_equal(gathered(masked, x.shape, s["ldx"]), np.where(x > 0, gathered(dx, x.shape, s["ldx"]), 0))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"C{case[0]}-M{case[1]}-{case[2]}")
def test_grad_w_and_bias(case, isa):
    s, grouped, x, w, _, dy = setup(*case)
    operands = (spread(x, s["ldx"]), spread(dy, s["ldy"]))
    parts = same_bits_for_any_split("depthwise_conv2d_grad_w", s, operands, isa)
    dw, db = same_bits_for_any_split("depthwise_conv2d_grad_w_join", s, parts, isa)
    pixels = s["N"] * s["OH"] * s["OW"]
    want = ref.grad_w(grouped, x, dy).reshape(w.shape) if w.size else np.zeros(w.shape)
    assert_near(dw.reshape(w.shape), want, pixels, 3 * (pixels + 1) ** 0.5)
    if s["bias"]:
        assert_near(db, dy.astype(np.float64).sum((0, 1, 2)), pixels, 3 * (pixels + 1) ** 0.5)


@pytest.mark.parametrize("isa", ISAS)
def test_adding_up_parts(isa):
    s, grouped, x, w, _, dy = setup(32, 1, Conv(N=20, H=16, W=16, KH=3, KW=3, padding="same"))
    assert _core.facts("depthwise_conv2d_grad_w", s, isa)["extents"][2] > w.size
    dw, _ = run("depthwise_conv2d_grad_w_join", s, run("depthwise_conv2d_grad_w", s, (x, dy), isa), isa)
    assert_near(dw.reshape(w.shape), ref.grad_w(grouped, x, dy).reshape(w.shape), 5120, 3 * 5120**0.5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("window, stride", [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)])
def test_images_that_come_from_memory(window, stride, isa):
    conv = Conv(N=28, H=31, W=63, KH=window, KW=window, SH=stride, SW=stride, padding="same")
    s, _, x, w, b, dy = setup(70, 1, conv)
    (y,) = same_bits_for_any_split("depthwise_conv2d", s, (x, w, b), isa)
    for n in (0, 1, 27):
        (one,) = run("depthwise_conv2d", dict(s, N=1), (x[n], w, b), isa)
        assert np.array_equal(y.reshape(dy.shape)[n].ravel(), one)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("window, stride", [(3, 1), (5, 1), (5, 2), (7, 1)])
def test_the_gradient_of_weights_of_images_that_come_from_memory(window, stride, isa):
    conv = Conv(N=7, H=31, W=63, KH=window, KW=window, SH=stride, SW=stride, padding="same")
    s, _, x, _, _, dy = setup(70, 1, conv)
    parts = same_bits_for_any_split("depthwise_conv2d_grad_w", s, (x, dy), isa)
    dw, db = run("depthwise_conv2d_grad_w_join", s, parts, isa)
    _, OH, OW, C = dy.shape
    wide = np.zeros((7, OH * stride + window, OW * stride + window, C))
    wide[:, s["PT"] : s["PT"] + 31, s["PL"] : s["PL"] + 63] = x
    taps = [
        (wide[:, h : h + OH * stride : stride, k : k + OW * stride : stride] * dy).sum((0, 1, 2))
        for h in range(window)
        for k in range(window)
    ]
    pixels = 7 * OH * OW
    assert_near(dw.reshape(-1, C), np.array(taps), pixels, 3 * pixels**0.5)
    assert_near(db, dy.astype(np.float64).sum((0, 1, 2)), pixels, 3 * pixels**0.5)


KERNELS = ["depthwise_conv2d" + end for end in ("", "_grad_x", "_grad_w", "_grad_w_join")]


@pytest.mark.parametrize("changes", [{"M": -1}, {"M": 2**29, "C": 2**29}, {"KH": 0}, {"DW": 0}, {"ldy": 1}], ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
def test_impossible_fields_are_refused(kernel, changes):
    s, *_ = setup(3, 2, Conv(H=4, W=4))
    assert _core.facts(kernel, dict(s, **changes))["error"]


def test_act_is_refused_where_it_means_nothing():
    s, *_ = setup(3, 2, Conv(H=4, W=4))
    assert _core.facts("depthwise_conv2d", dict(s, act=2))["error"] is None
    assert _core.facts("depthwise_conv2d", dict(s, act=3))["error"]
    assert _core.facts("depthwise_conv2d_grad_x", dict(s, act=2))["error"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_facts_are_total(kernel):
    values = (-(2**63), -1, 0, 1, 2, 2**29, 2**30 - 1, 2**63 - 1)
    rng = np.random.default_rng(5)
    plain, *_ = setup(4, 1, Conv(H=4, W=4))
    for _ in range(2000):
        s = {n: int(values[rng.integers(len(values))]) if rng.random() < 0.3 else v for n, v in plain.items()}
        facts = _core.facts(kernel, s)
        assert facts["error"] or facts["units"] >= 0
