import numpy as np
import pytest

from kernel_check import dtype_code, run_everywhere, same
from nacre import _core

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]
SHAPES = [(1, 1, 1), (0, 3, 1), (2, 0, 3), (3, 7, 1), (2, 40, 3), (1, 41, 2), (2, 300, 1), (1, 5000, 1), (200, 9, 2)]


def numbers(shape, dtype, rng):
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype == "uint8":
        return rng.integers(0, 256, shape).astype(dtype)
    x = (
        rng.integers(-6, 6, shape).astype(dtype)
        if rng.random() < 0.5
        else (1e6 * rng.standard_normal(shape)).astype(dtype)
    )
    if dtype[0] == "f":
        flat = x.reshape(-1)
        for value in (np.nan, np.inf, -np.inf, -0.0, 0.0, -np.nan, 1e-40):
            if flat.size > 6:
                flat[rng.integers(flat.size)] = value
    return x


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sort_and_argsort(shape, dtype, rng):
    O, R, I = shape
    x = numbers(shape, dtype, rng)
    order = np.argsort(x, 1, kind="stable")
    for index in ("int32", "int64"):
        fields = dict(O=O, R=R, I=I, dtype=dtype_code(dtype), index_dtype=dtype_code(index), descending=0)
        for isa, (y,) in run_everywhere("argsort", fields, [x], [(shape, np.dtype(index))]).items():
            same(y, order, isa)
        for isa, (y,) in run_everywhere("sort", fields, [x], [(shape, np.dtype(dtype))]).items():
            same(y, np.take_along_axis(x, order, 1), isa)


@pytest.mark.parametrize("dtype", DTYPES)
def test_descending_keeps_the_order_of_equals(dtype, rng):
    x = rng.integers(0, 4, (3, 100, 2)).astype(dtype)
    order = np.argsort(-x.astype(np.int64), 1, kind="stable")
    fields = dict(O=3, R=100, I=2, dtype=dtype_code(dtype), index_dtype=2, descending=1)
    for isa, (y,) in run_everywhere("argsort", fields, [x], [(x.shape, np.dtype(np.int32))]).items():
        same(y, order, isa)


@pytest.mark.parametrize(
    "M,N,k", [(1, 1, 1), (5, 10, 3), (4, 1000, 5), (3, 200, 60), (2, 41, 41), (0, 5, 2), (3, 4, 0), (900, 10, 1)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_top_k(M, N, k, dtype, rng):
    x = numbers((M, N), dtype, rng)
    fields = dict(M=M, N=N, k=k, dtype=dtype_code(dtype), index_dtype=2)
    flip = 255 - x.astype(int) if dtype == "uint8" else -x.astype(np.float64)
    flip = (
        np.where(np.isnan(flip), -np.inf, np.where(flip == -np.inf, -1e300, flip)) if dtype[0] == "f" else flip
    )  # NaN first
    order = np.argsort(flip, 1, kind="stable")[:, :k]
    for isa, (values, at) in run_everywhere(
        "top_k", fields, [x], [((M, k), np.dtype(dtype)), ((M, k), np.dtype(np.int32))]
    ).items():
        same(at, order, isa)
        same(values, np.take_along_axis(x, order, 1), isa)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("right", [0, 1])
def test_searchsorted(dtype, right, rng):
    for n, m in [(0, 3), (1, 4), (100, 700), (7, 0)]:
        a, v = np.sort(rng.integers(0, 50, n).astype(dtype)), rng.integers(0, 60, m).astype(dtype)
        fields = dict(n=n, m=m, dtype=dtype_code(dtype), index_dtype=3, right=right)
        want = np.searchsorted(a, v, "right" if right else "left")
        for isa, (y,) in run_everywhere("searchsorted", fields, [a, v], [((m,), np.dtype(np.int64))]).items():
            same(y, want, isa)


@pytest.mark.parametrize(
    "bad",
    [
        dict(O=-1),
        dict(R=1 << 40),
        dict(dtype=6),
        dict(index_dtype=0),
        dict(descending=2),
        dict(O=0, R=1 << 31, I=1 << 40),
    ],
    ids=str,
)
def test_impossible_fields_are_refused(bad):
    fields = dict(O=1, R=2, I=3, dtype=0, index_dtype=2, descending=0)
    assert _core.facts("sort", fields)["error"] is None
    assert _core.facts("sort", fields | bad)["error"]
    assert _core.facts("top_k", dict(M=2, N=3, k=4, dtype=0, index_dtype=2))["error"]
