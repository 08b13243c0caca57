"""Gradients of convolutions of whose outputs few count."""

import numpy as np
import pytest

from kernels import conv_reference as ref
from kernels.image_calls import assert_near, run, same_bits_for_any_split
from nacre import _core

CASES = [c for c in ref.CASES if c.G == 1 and not c.more]
isas = pytest.mark.parametrize("isa", _core.isas())
name = pytest.mark.parametrize("case", CASES, ids=str)


def setup(case):
    """Fields, x, w with its outputs in front, and gradients of which one in eight counts."""
    rng = np.random.default_rng(7)
    s = case.shape(bias=0, act=0)
    x = rng.standard_normal((s["N"], s["H"], s["W"], s["C"]), np.float32)
    w = rng.standard_normal((s["KH"], s["KW"], s["C"], s["O"]), np.float32)
    dy = rng.standard_normal((s["N"], s["OH"], s["OW"], s["O"]), np.float32)
    return s, x, w, np.where(rng.random(dy.shape) < 0.125, dy, np.float32(-0.0))


def outputs_first(w):
    return np.ascontiguousarray(w.transpose(3, 0, 1, 2))


@isas
@name
def test_grad_w(case, isa):
    s, x, _, dy = setup(case)
    (dw,) = same_bits_for_any_split("conv2d_sparse_grad_w", s, (x, dy), isa)
    windows = s["N"] * s["OH"] * s["OW"]
    want = outputs_first(ref.grad_w(s, x, dy))
    assert_near(dw.reshape(want.shape), want, windows, 3 * (windows + 1) ** 0.5)


@isas
@name
def test_grad_x(case, isa):
    s, x, w, dy = setup(case)
    (dx,) = same_bits_for_any_split("conv2d_sparse_grad_x", s, (dy, outputs_first(w)), isa)
    K = s["KH"] * s["KW"] * s["O"]
    assert_near(dx.reshape(x.shape), ref.grad_x(s, dy, w), K, 3 * (K + 1) ** 0.5)


@isas
def test_what_is_not_a_number_counts(isa):
    s, x, w, dy = setup(CASES[7])
    dy[1, 2, 3, 1] = np.nan
    (dw,) = run("conv2d_sparse_grad_w", s, (x, dy), isa)
    (dx,) = run("conv2d_sparse_grad_x", s, (dy, outputs_first(w)), isa)
    assert np.isnan(dw.reshape(s["O"], -1)).any(1).tolist() == [o == 1 for o in range(s["O"])]
    assert np.isnan(dx.reshape(x.shape)).any((1, 2, 3)).tolist() == [n == 1 for n in range(s["N"])]


@pytest.mark.parametrize(
    "change", [{"G": 3}, {"bias": 1}, {"act": 1}, {"residual": 1}, {"ldx": 99}, {"ldy": 99}], ids=str
)
def test_what_dense_passes_fuse_is_refused(change):
    s = ref.Conv(H=5, W=5, C=3, O=3, KH=3, KW=3, bias=0).shape(**change)
    for kernel in ("conv2d_sparse_grad_w", "conv2d_sparse_grad_x"):
        assert _core.facts(kernel, s)["error"] == "only a plain convolution can be sparse"
