import numpy as np
import pytest

from kernel_check import EPS, close, dtype_code, run_everywhere, same
from nacre import _core

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]
SHAPES = [
    (1, 5, 1, 7),
    (3, 4, 2, 5),
    (1, 100, 17, 30),
    (2, 6, 64, 9),
    (0, 3, 2, 4),
    (2, 3, 0, 4),
    (2, 3, 4, 0),
    (1, 1, 1, 1),
    (1, 50, 300, 200),
    (9000, 4, 1, 1),
    (40, 300, 2, 3),
]


def missing(dtype):
    kind = np.dtype(dtype).kind
    return {"f": np.nan, "i": np.iinfo(dtype).min if kind == "i" else 0, "u": 255, "b": True}[kind]


def fields(O, R, I, n, index, dtype, **more):
    return dict(O=O, R=R, I=I, n=n, index_dtype=dtype_code(index), dtype=dtype_code(dtype)) | more


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", ["int32", "int64"])
def test_gather(shape, dtype, index, rng):
    O, R, I, n = shape
    x = rng.integers(0, 100, (O, R, I)).astype(dtype)
    at = rng.integers(-R - 2, R + 2, n).astype(index)
    want = np.full((O, n, I), missing(dtype), dtype)
    inside = (at >= -R) & (at < R)
    want[:, inside] = x[:, at[inside]]
    for isa, (y,) in run_everywhere(
        "gather", fields(O, R, I, n, index, dtype), [x, at], [((O, n, I), np.dtype(dtype))]
    ).items():
        same(y, want, isa)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
@pytest.mark.parametrize("base", [0, 1])
def test_scatter_add(shape, dtype, base, rng):
    O, R, I, n = shape
    x = rng.integers(0, 100, (O, R, I)).astype(dtype)
    at = rng.integers(-R - 2, R + 2, n).astype(np.int32)
    updates = rng.integers(-9, 9, (O, n, I)).astype(dtype)
    want = x.copy() if base else np.zeros_like(x)
    for j in range(n):
        if -R <= at[j] < R:
            want[:, at[j]] += updates[:, j]
    inputs = [x if base else None, at, updates]
    for isa, (y,) in run_everywhere(
        "scatter_add", fields(O, R, I, n, "int32", dtype, base=base), inputs, [(x.shape, np.dtype(dtype))]
    ).items():
        same(y, want, isa)


def test_scatter_add_keeps_the_order_of_the_updates():
    values = np.array([1e8, 1.0, -1e8, 1.0], np.float32).reshape(1, 4, 1)
    want = np.float32(0)
    for v in values.ravel():
        want = np.float32(want + v)
    for isa, (y,) in run_everywhere(
        "scatter_add",
        fields(1, 3, 1, 4, "int64", "float32", base=0),
        [None, np.ones(4, np.int64), values],
        [((1, 3, 1), np.dtype(np.float32))],
    ).items():
        same(y.ravel(), [0, want, 0], isa)


def test_the_gradient_of_a_large_embedding(rng):
    R, I, n = 5000, 33, 800
    at = rng.integers(0, R, n).astype(np.int32)
    updates = rng.standard_normal((1, n, I)).astype(np.float32)
    want = np.zeros((R, I))
    np.add.at(want, at, updates[0].astype(np.float64))
    for isa, (y,) in run_everywhere(
        "scatter_add",
        fields(1, R, I, n, "int32", "float32", base=0),
        [None, at, updates],
        [((1, R, I), np.dtype(np.float32))],
    ).items():
        close(y[0], want, isa, 4 * EPS, 4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_take_along(dtype, rng):
    for O, R, I, n in SHAPES:
        x = rng.integers(0, 100, (O, R, I)).astype(dtype)
        at = rng.integers(-R - 1, R + 1, (O, n, I))
        want = np.full((O, n, I), missing(dtype), dtype)
        inside = (at >= -R) & (at < R)
        o, j, i = np.nonzero(inside)
        want[o, j, i] = x[o, at[o, j, i], i]
        for isa, (y,) in run_everywhere(
            "take_along", fields(O, R, I, n, "int64", dtype), [x, at], [((O, n, I), np.dtype(dtype))]
        ).items():
            same(y, want, isa)


@pytest.mark.parametrize("base", [0, 1])
def test_scatter_add_along(base, rng):
    for O, R, I, n in SHAPES:
        x = rng.integers(0, 100, (O, R, I)).astype(np.float32)
        at = rng.integers(-R - 1, R + 1, (O, n, I)).astype(np.int32)
        updates = rng.integers(-9, 9, (O, n, I)).astype(np.float32)
        want = x.copy() if base else np.zeros_like(x)
        o, j, i = np.nonzero((at >= -R) & (at < R))
        np.add.at(want, (o, at[o, j, i], i), updates[o, j, i])
        inputs = [x if base else None, at, updates]
        for isa, (y,) in run_everywhere(
            "scatter_add_along", fields(O, R, I, n, "int32", "float32", base=base), inputs, [(x.shape, x.dtype)]
        ).items():
            same(y, want, isa)


@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("base", [0, 1])
def test_scatter_nd(add, base, rng):
    for dims, inner, n in [
        ((5,), 3, 4),
        ((4, 6), 1, 30),
        ((3, 4, 5), 7, 50),
        ((), 2, 3),
        ((2, 3), 2, 0),
        ((300, 400), 2, 1000),
        ((0,), 2, 3),
    ]:
        x = rng.integers(0, 100, dims + (inner,)).astype(np.float32)
        at = (
            np.stack([rng.integers(-d - 1, d + 1, n) for d in dims], 1).astype(np.int32)
            if dims
            else np.zeros((n, 0), np.int32)
        )
        updates = rng.integers(-9, 9, (n, inner)).astype(np.float32)
        want = x.copy() if base else np.zeros_like(x)
        for j in range(n):
            if all(-d <= k < d for d, k in zip(dims, at[j])):
                place = tuple(at[j])
                want[place] = want[place] + updates[j] if add else updates[j]
        shape = dict(
            rank=len(dims),
            dims=list(dims) + [0] * (8 - len(dims)),
            inner=inner,
            n=n,
            index_dtype=2,
            dtype=0,
            base=base,
            add=add,
        )
        inputs = [x if base else None, at, updates]
        for isa, (y,) in run_everywhere("scatter_nd", shape, inputs, [(x.shape, x.dtype)]).items():
            same(y, want, isa)


@pytest.mark.parametrize(
    "bad",
    [dict(O=-1), dict(index_dtype=0), dict(dtype=9), dict(R=1 << 62), dict(n=1 << 62), dict(O=0, R=1 << 40, I=1 << 40)],
    ids=str,
)
def test_impossible_fields_are_refused(bad):
    shape = fields(2, 3, 4, 5, "int32", "float32")
    assert _core.facts("gather", shape | bad)["error"]
    assert _core.facts("scatter_add", shape | dict(base=0) | bad)["error"]
