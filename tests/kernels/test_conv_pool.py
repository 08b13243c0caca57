import numpy as np
import pytest

from kernels import conv_reference as ref
from kernels.conv_reference import Conv
from kernels.image_calls import assert_near, gathered, run, same_bits_for_any_split, spread
from nacre import _core

ISAS = _core.isas()

# (pool, convolution)
CASES = [
    (2, Conv(N=3, H=12, W=13, C=1, O=32, KH=3, KW=3, act=1)),
    (2, Conv(N=3, H=13, W=13, C=32, O=64, KH=3, KW=3, act=1)),
    (2, Conv(N=2, H=8, W=8, C=64, O=48, KH=3, KW=3, padding="same", act=1)),
    (2, Conv(N=2, H=7, W=9, C=19, O=33, KH=3, KW=3, padding="same", act=1)),
    (2, Conv(N=2, H=7, W=9, C=40, O=70, KH=3, KW=3, padding="same", bias=0)),
    (3, Conv(N=2, H=11, W=13, C=20, O=40, KH=3, KW=3, padding="same", act=1)),
    (3, Conv(N=2, H=11, W=13, C=3, O=5, KH=3, KW=3, padding="same", act=1)),
    (2, Conv(N=2, H=12, W=12, C=3, O=17, KH=5, KW=5, padding="same", act=1)),
    (2, Conv(N=2, H=12, W=12, C=16, O=16, KH=5, KW=5, act=1)),
    (2, Conv(N=1, H=16, W=18, C=17, O=9, KH=4, KW=7, SH=2, SW=2, padding="same", act=1)),
    (2, Conv(N=1, H=16, W=18, C=17, O=9, KH=3, KW=3, DH=2, DW=2, padding="same", act=1)),
    (2, Conv(N=1, H=16, W=18, C=2, O=9, KH=3, KW=2, DH=2, DW=3, padding="same", act=1)),
    (2, Conv(N=2, H=6, W=8, C=24, O=130, act=1)),
    (2, Conv(N=1, H=70, W=66, C=33, O=20, KH=3, KW=3, padding="same", act=1)),
    (2, Conv(N=20, H=6, W=6, C=16, O=20, KH=3, KW=3, padding="same", act=1)),
    (2, Conv(N=2, H=1, W=5, C=4, O=4)),  # no window fits
    (2, Conv(N=0, H=6, W=6, C=4, O=4, KH=3, KW=3)),
    (2, Conv(N=2, H=6, W=6, C=0, O=4, KH=3, KW=3, padding="same", act=1)),
    (2, Conv(N=2, H=6, W=6, C=16, O=0, KH=3, KW=3, padding="same", act=1)),
    (2, Conv(N=2, H=6, W=7, C=20, O=12, KH=3, KW=3, padding="same", act=1, more={"ldx": 37, "ldy": 29})),
]
name = pytest.mark.parametrize("case", CASES, ids=lambda case: f"P{case[0]}-{case[1]}")
isas = pytest.mark.parametrize("isa", ISAS)


def setup(P, conv):
    s = dict(conv.shape(), P=P, index=1, mask=0)
    del s["residual"], s["ldr"]
    rng = np.random.default_rng(2)
    x = rng.standard_normal((s["N"], s["H"], s["W"], s["C"])).astype(np.float32)
    w = rng.standard_normal((s["KH"], s["KW"], s["C"], s["O"])).astype(np.float32)
    b = rng.standard_normal(s["O"]).astype(np.float32) if s["bias"] else None
    dy = rng.standard_normal((s["N"], s["OH"] // P, s["OW"] // P, s["O"])).astype(np.float32)
    return s, x, w, b, dy


def conv_fields(s, **changes):
    return {k: v for k, v in s.items() if k not in ("P", "index", "mask")} | {"residual": 0, "ldr": 0} | changes


def pool_fields(s):
    return {
        "N": s["N"], "H": s["OH"], "W": s["OW"], "C": s["O"], "KH": s["P"], "KW": s["P"], "SH": s["P"], "SW": s["P"],
        "PT": 0, "PL": 0, "OH": s["OH"] // s["P"], "OW": s["OW"] // s["P"], "index": 1, "ldx": 0, "ldy": 0,
    }  # fmt: skip


def pooled(s, x, w, b, isa):
    y, index = run("conv2d_pool", s, (spread(x, s["ldx"]), w, b), isa)
    return y, index


def dense_gradient(s, y, index, dy):
    """The gradient at the output of the convolution, float64, from what the forward kernel found."""
    P = s["P"]
    dz = np.zeros((s["N"], s["OH"], s["OW"], s["O"]))
    y = gathered(y, dy.shape, s["ldy"])
    g = np.where(y > 0, dy, 0) if s["act"] else dy
    index = index.reshape(dy.shape)
    for i in range(P):
        for j in range(P):
            part = np.where(index == i * P + j, g, 0)
            dz[:, i : dy.shape[1] * P : P, j : dy.shape[2] * P : P] = part
    return dz


@isas
@name
def test_forward_is_the_three_steps_in_one(case, isa):
    s, x, w, b, dy = setup(*case)
    y, index = same_bits_for_any_split("conv2d_pool", s, (spread(x, s["ldx"]), w, b), isa)
    (panels,) = run("conv2d_pack", conv_fields(s), (w,), isa)  # sums in the same order for any number of outputs
    (z,) = run("conv2d_packed", conv_fields(s, ldy=0), (spread(x, s["ldx"]), panels, b, None), isa)
    want, want_index = run("max_pool2d", pool_fields(s), (z,), isa)
    assert np.array_equal(gathered(y, dy.shape, s["ldy"]).ravel(), want)
    assert np.array_equal(index, want_index)
    (alone, nothing) = run("conv2d_pool", dict(s, index=0), (spread(x, s["ldx"]), w, b), isa)
    assert np.array_equal(alone, y, equal_nan=True)
    assert nothing.size == 0


@isas
@name
def test_grad_w_and_bias(case, isa):
    s, x, w, b, dy = setup(*case)
    y, index = pooled(s, x, w, b, isa)
    operands = (spread(x, s["ldx"]), spread(dy, s["ldy"]), y if s["act"] else None, index)
    parts = same_bits_for_any_split("conv2d_pool_grad_w", s, operands, isa)
    dw, db = same_bits_for_any_split("conv2d_pool_grad_w_join", s, parts, isa)
    dz = dense_gradient(s, y, index, dy)
    windows = s["N"] * dy.shape[1] * dy.shape[2]
    assert_near(dw.reshape(w.shape), ref.grad_w(s, x, dz), windows, 3 * (windows + 1) ** 0.5)
    if s["bias"]:
        assert_near(db, dz.sum((0, 1, 2)), windows, 3 * (windows + 1) ** 0.5)


@isas
@name
def test_grad_x(case, isa):
    s, x, w, b, dy = setup(*case)
    y, index = pooled(s, x, w, b, isa)
    operands = (spread(dy, s["ldy"]), y if s["act"] else None, index, w)
    (dx,) = same_bits_for_any_split("conv2d_pool_grad_x", s, (*operands, None), isa)
    K = s["KH"] * s["KW"] * s["O"]
    want = ref.grad_x(s, dense_gradient(s, y, index, dy), w)
    assert_near(gathered(dx, x.shape, s["ldx"]), want, K, 3 * (K + 1) ** 0.5)
    seen = np.maximum(x, 0)
    (masked,) = same_bits_for_any_split("conv2d_pool_grad_x", dict(s, mask=1), (*operands, spread(seen, s["ldx"])), isa)
    assert np.array_equal(
        gathered(masked, x.shape, s["ldx"]), np.where(seen > 0, gathered(dx, x.shape, s["ldx"]), np.float32(0))
    )


@isas
def test_long_sums_come_in_parts(isa):
    s, x, w, b, dy = setup(2, Conv(N=160, H=12, W=12, C=16, O=16, KH=3, KW=3, padding="same", act=1))
    y, index = pooled(s, x, w, b, isa)
    parts = same_bits_for_any_split("conv2d_pool_grad_w", s, (x, dy, y, index), isa)
    assert parts[0].size > w.size
    dw, _ = run("conv2d_pool_grad_w_join", s, parts, isa)
    assert_near(dw.reshape(w.shape), ref.grad_w(s, x, dense_gradient(s, y, index, dy)), 5760, 3 * 5760**0.5)


KERNELS = ["conv2d_pool" + end for end in ("", "_grad_x", "_grad_w", "_grad_w_join")]


@pytest.mark.parametrize("changes", [{"P": 1}, {"P": 4}, {"index": 2}, {"mask": -1}, {"KH": 0}, {"OH": 2**31}], ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
def test_impossible_fields_are_refused(kernel, changes):
    s, *_ = setup(2, Conv(H=4, W=4))
    assert _core.facts(kernel, dict(s, **changes))["error"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_facts_are_total(kernel):
    values = (-(2**63), -1, 0, 1, 2, 3, 2**29, 2**30 - 1, 2**63 - 1)
    rng = np.random.default_rng(5)
    plain, *_ = setup(2, Conv(H=4, W=4, C=4))
    for _ in range(2000):
        s = {n: int(values[rng.integers(len(values))]) if rng.random() < 0.3 else v for n, v in plain.items()}
        facts = _core.facts(kernel, s)
        assert facts["error"] or facts["units"] >= 0
