"""Images read between their pixels: equal to the composition of ops that the kernel replaces, bit for bit."""

import numpy as np
import pytest

from kernel_check import run_everywhere
from nacre import _core, ops
from nacre.ops.image import warping

MODES = warping._FILL_MODES


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("mode", range(len(MODES)))
@pytest.mark.parametrize(
    "N,H,W,C,K", [(2, 5, 6, 3, 300), (1, 1, 1, 1, 40), (3, 7, 1, 5, 130), (1, 40, 50, 1, 129), (2, 3, 2, 4, 0)]
)
def test_equals_the_composition(N, H, W, C, K, mode, order, rng):
    x = rng.standard_normal((N, H, W, C)).astype(np.float32)
    rows, columns = (rng.uniform(-2.5 * n, 3.5 * n, (N, 1, K)).astype(np.float32) for n in (H, W))
    if K:
        rows[0, 0, :6], columns[0, 0, 3:6] = [np.nan, np.inf, -3e9, -1, H, H - 0.5], [W - 1, 1e9, 0.5]
    fields = dict(N=N, H=H, W=W, C=C, K=K, order=order, mode=mode, fill=0.25)
    run = warping.Sample(order, MODES[mode], 0.25)
    expected = np.asarray(run.composed(*(ops.convert_to_tensor(v) for v in (x, rows, columns))))
    for isa, (y,) in run_everywhere("sample", fields, [x, rows, columns], [((N, 1, K, C), np.float32)]).items():
        np.testing.assert_array_equal(y, expected, err_msg=isa)


@pytest.mark.parametrize(
    "wrong",
    [dict(N=-1), dict(H=2**29 + 1), dict(order=2), dict(mode=5), dict(mode=-1), dict(H=0), dict(N=2**40, K=2**40)],
    ids=str,
)
def test_impossible_fields_are_named(wrong):
    fields = {**dict(N=1, H=2, W=2, C=1, K=3, order=1, mode=0, fill=0.0), **wrong}
    for isa in _core.isas():
        assert _core.facts("sample", fields, isa)["error"], isa
