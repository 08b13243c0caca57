import numpy as np
import pytest

from kernel_check import EPS, close, dtype_code, run_everywhere, same
from nacre import _core

SHAPES = [
    (1, 1, 1),
    (3, 0, 2),
    (0, 4, 2),
    (2, 3, 0),
    (5, 15, 1),
    (4, 16, 1),
    (4, 17, 1),
    (2, 1025, 1),
    (3, 7, 15),
    (2, 9, 16),
    (1, 70, 17),
    (2, 33, 65),
    (1, 5, 1030),
    (7, 3, 4),
    (1, 20011, 1),
    (1, 3000, 10),
    (1000, 4, 1),
    (1100, 21, 1),
    (65, 32, 1),
    (65, 33, 1),
]
KINDS = ["sum", "mean", "max", "min", "prod", "any", "all", "squares"]


def reference(x, kind, scale):
    wide = x.astype(np.float64) if x.dtype.kind == "f" else x.astype(np.int64)
    with np.errstate(all="ignore"):
        if kind == "sum":
            return wide.sum(1, dtype=wide.dtype)
        if kind == "mean":
            return wide.sum(1, dtype=wide.dtype) * scale
        if kind == "prod":
            return wide.prod(1, dtype=wide.dtype)
        if kind == "squares":
            return (wide * wide).sum(1)
        if kind == "any":
            return (x != 0).any(1)
        if kind == "all":
            return (x != 0).all(1)
        floating = x.dtype.kind == "f"
        if x.dtype.kind == "b":
            return wide.max(1, initial=0) if kind == "max" else wide.min(1, initial=1)
        low, high = (-np.inf, np.inf) if floating else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        return wide.max(1, initial=low) if kind == "max" else wide.min(1, initial=high)


def call(x, kind, scale=1.0, chunk=None):
    O, R, I = x.shape
    chunk = chunk or max(R, 1)
    shape = dict(O=O, R=R, I=I, kind=KINDS.index(kind), dtype=dtype_code(x.dtype), chunk=chunk, scale=scale)
    out = np.dtype(np.bool_) if kind in ("any", "all") else x.dtype
    return run_everywhere("reduce", shape, [x], [((O, max(1, -(-R // chunk)), I), out)])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_float32(shape, kind, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    if kind == "prod":
        x = (1 + 0.01 * x).astype(np.float32)
    want = reference(x, kind, 0.25)
    # sums: rounding of each block against the sum of absolute values; products: one rounding per factor
    scale = np.abs(x.astype(np.float64)).sum(1) if kind in ("sum", "mean") else None
    tolerance = EPS * {"prod": 2 + shape[1], "squares": 8}.get(kind, 8)
    for isa, (y,) in call(x, kind, 0.25).items():
        if kind in ("any", "all", "max", "min"):
            same(y[:, 0], want, isa)
        else:
            close(y[:, 0], want, isa, tolerance, scale)


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_dtypes(dtype, kind, rng):
    if dtype == "bool" and kind in ("sum", "mean", "squares"):
        shape = dict(O=1, R=1, I=1, kind=KINDS.index(kind), dtype=5, chunk=1, scale=1.0)
        assert "booleans" in _core.facts("reduce", shape)["error"]
        return
    for shape in [(3, 5, 1), (2, 9, 7), (1, 300, 3), (2, 0, 2)]:
        x = rng.integers(0, 5, shape).astype(dtype)
        want = reference(x, kind, 0.5)
        for isa, (y,) in call(x, kind, 0.5).items():
            if dtype == "float64":
                close(y[:, 0], want, isa, 1e-15 * shape[1])
            else:
                with np.errstate(all="ignore"):
                    same(y[:, 0], want.astype(y.dtype), isa)


def test_chunks_are_partial_results(rng):
    x = rng.standard_normal((2, 1000, 3)).astype(np.float32)
    for isa, (y,) in call(x, "sum", chunk=64).items():
        want = np.stack([x[:, a : a + 64].astype(np.float64).sum(1) for a in range(0, 1000, 64)], 1)
        close(y, want, isa, 16 * EPS, 64)


def test_the_sum_of_many_numbers_is_accurate_to_a_few_roundings():
    x = np.full((1, 1 << 20, 1), 0.1, np.float32)
    want = x.astype(np.float64).sum(1)
    for isa, (y,) in call(x, "sum").items():
        close(y[:, 0], want, isa, 4 * EPS)
    x = np.full((1, 1 << 16, 3), 0.1, np.float32)
    want = x.astype(np.float64).sum(1)
    for isa, (y,) in call(x, "sum").items():
        close(y[:, 0], want, isa, 4 * EPS)


def test_nan_passes_through_max_and_min(rng):
    for I in (1, 20):
        x = rng.standard_normal((4, 100, I)).astype(np.float32)
        for row in range(4):
            x[row, [0, 15, 50, 99][row]] = np.nan
        for kind in ("max", "min"):
            for isa, (y,) in call(x, kind).items():
                assert np.isnan(y).all(), isa


def test_infinities(rng):
    x = rng.standard_normal((2, 40, 5)).astype(np.float32)
    x[0, 3, 1] = np.inf
    x[1, 7, 2] = -np.inf
    for kind in ("sum", "max", "min"):
        for isa, (y,) in call(x, kind).items():
            close(y[:, 0], reference(x, kind, 1), isa, 40 * EPS, 40)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("out", ["int32", "int64"])
def test_argreduce_takes_the_first(dtype, out, rng):
    few = [(1, 1, 1), (0, 3, 2), (5, 10, 1), (3, 17, 1), (2, 100, 1), (2, 9, 5), (1, 30, 1500)]
    for O, R, I in [*few, (2000, 3, 1), (1100, 21, 1), (65, 32, 1), (65, 64, 1), (65, 65, 1)]:
        x = rng.integers(0, 4, (O, R, I)).astype(dtype)
        for kind, function in enumerate((np.argmax, np.argmin)):
            shape = dict(O=O, R=R, I=I, kind=kind, dtype=dtype_code(dtype), out_dtype=dtype_code(out))
            for isa, (y,) in run_everywhere("argreduce", shape, [x], [((O, I), np.dtype(out))]).items():
                same(y, function(x, 1), isa)


def test_argreduce_takes_the_first_nan(rng):
    for R, I in ((50, 1), (50, 3), (20, 1)):
        x = rng.standard_normal((3, R, I)).astype(np.float32)
        x[1, [7, R - 10]] = np.nan
        x[2, R - 1] = np.nan
        for kind, function in enumerate((np.argmax, np.argmin)):
            shape = dict(O=3, R=R, I=I, kind=kind, dtype=0, out_dtype=2)
            for isa, (y,) in run_everywhere("argreduce", shape, [x], [((3, I), np.dtype(np.int32))]).items():
                same(y, function(x, 1), isa)


def scan_reference(x, kind, exclusive, reverse):
    x = x[:, ::-1] if reverse else x
    wide = x.astype(np.float64) if x.dtype.kind == "f" else x.astype(np.int64)
    if kind == 0:
        neutral, y = 0, np.cumsum(wide, 1)
    elif kind == 1:
        neutral, y = 1, np.cumprod(wide, 1)
    else:
        function = (np.maximum, np.minimum)[kind - 2]
        y = function.accumulate(wide, 1) if x.shape[1] else wide
        floating = x.dtype.kind == "f"
        neutral = ((-np.inf if floating else np.iinfo(x.dtype).min), (np.inf if floating else np.iinfo(x.dtype).max))[
            kind - 2
        ]
    if exclusive:
        y = np.concatenate([np.full_like(y[:, :1], neutral), y[:, :-1]], 1)
    return y[:, ::-1] if reverse else y


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("flags", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_cumulative(dtype, kind, flags, rng):
    for O, R, I in [(1, 1, 1), (2, 9, 1), (3, 5, 17), (1, 3, 300), (0, 3, 2), (2, 0, 3)]:
        x = rng.integers(1, 3, (O, R, I)).astype(dtype)
        shape = dict(O=O, R=R, I=I, kind=kind, dtype=dtype_code(dtype), exclusive=flags[0], reverse=flags[1])
        want = scan_reference(x, kind, *flags).astype(dtype)
        for isa, (y,) in run_everywhere("cumulative", shape, [x], [((O, R, I), np.dtype(dtype))]).items():
            same(y, want, isa)


@pytest.mark.parametrize(
    "bad", [dict(O=-1), dict(kind=8), dict(dtype=6), dict(chunk=0), dict(R=1 << 62), dict(O=0, R=1 << 40, I=1 << 40)]
)
def test_impossible_fields_are_refused(bad):
    shape = dict(O=1, R=1, I=1, kind=0, dtype=0, chunk=1, scale=1.0) | bad
    assert _core.facts("reduce", shape)["error"]
