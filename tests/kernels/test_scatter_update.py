"""Steps of optimizers on tables of which few rows were looked up, against a gradient array and the step on it."""

import numpy as np
import pytest

from kernel_check import dtype_code, run_everywhere
from nacre import _core
from nacre.ops.lowering import const, program_fields

SGD = [("mul", (0, 1)), ("sub", (2, 3))], [4], 3  # g, rate, w
ADAM = (
    [("sub", (0, 3)), ("mul", (5, const(0.125))), ("add", (3, 6)), ("square", (0,)), ("sub", (8, 4)),
     ("mul", (9, const(0.25))), ("add", (4, 10)), ("mul", (7, 1)), ("sqrt", (11,)), ("add", (13, const(0.5))),
     ("div", (12, 14)), ("sub", (2, 15))],
    [7, 11, 16], 5,
)  # fmt: skip
ADAGRAD = (
    [("square", (0,)), ("add", (3, 4)), ("mul", (1, 0)), ("add", (5, const(1e-3))), ("sqrt", (7,)), ("div", (6, 8)),
     ("sub", (2, 9))],
    [5, 10], 4,
)  # fmt: skip
DECAYED = [("mul", (2, 1)), ("sub", (2, 3)), ("mul", (0, 1)), ("sub", (4, 5))], [6], 3


def fields(program, R, I, n, index):
    steps, outs, inputs = program
    return dict(
        R=R, I=I, n=n, index_dtype=dtype_code(index.dtype), scalar=[0, 1, *[0] * 6],
        **program_fields(_core, steps, outs, inputs),
    )  # fmt: skip


def dense(program, R, I, index, updates, rate, tables):
    """The same by numpy: indices beyond the table are dropped, negative ones count from its end."""
    g = np.zeros((R, I), np.float32)
    for r, row in zip(index, updates):
        if -R <= r < R:
            g[r] += row
    values = [g, rate, *tables]
    call = dict(mul=np.multiply, sub=np.subtract, add=np.add, div=np.divide, sqrt=np.sqrt, square=np.square)
    with np.errstate(all="ignore"):
        for name, arguments in program[0]:
            values.append(call[name](*(values[a] if isinstance(a, int) else np.float32(a[1]) for a in arguments)))
    return [values[o] for o in program[1]]


SIZES = [(3000, 8, 90), (70000, 1, 300), (640, 200, 20), (500, 3, 0)]
DENSER = [(900, 5, 440), (40000, 2, 9000)]  # under rules that keep what has no gradient
CASES = [(size, np.int32, rate) for size in SIZES for rate in (0.5, -0.5, np.nan, np.inf, 0.0)]
CASES += [(size, np.int64, 0.5) for size in SIZES] + [((64, 70000, 2), np.int32, 0.5)]


@pytest.mark.parametrize(("size", "dtype", "rate"), CASES, ids=str)
@pytest.mark.parametrize("program", [SGD, ADAM, ADAGRAD, DECAYED], ids=["sgd", "adam", "adagrad", "decayed"])
def test_rows_that_were_looked_up(program, size, dtype, rate, rng):
    R, I, n = size
    index = rng.integers(-R, R, n).astype(dtype)
    index[: n // 4] = index[n // 2 : n // 2 + n // 4]  # some rows twice
    index[-1:] = R + 3
    updates = rng.standard_normal((n, I)).astype(np.float32)
    tables = [rng.random((R, I), np.float32) - 0.5 for _ in range(program[2] - 2)]
    tables[0][::7] = -0.0
    tables[1:] = [np.abs(t) for t in tables[1:]]
    step = np.array(rate, np.float32)
    want = dense(program, R, I, index, updates, step, tables)
    f = fields(program, R, I, n, index)
    padded = [index, updates, step, *tables, *[None] * (6 - len(tables))]
    outputs = [((R, I), np.float32)] * len(want) + [None] * (4 - len(want))
    for isa, got in run_everywhere("scatter_update", f, padded, outputs).items():
        for y, w in zip(got, want):
            np.testing.assert_array_equal(y, w, err_msg=isa)
    for isa in _core.isas():  # in place, where rows without updates may stay untouched
        for slices in (None, 3):
            own = [t.copy() for t in tables]
            places = [*own[1:], own[0]]
            given = [index, updates, step, *own, *[None] * (6 - len(own))]
            _core.run_kernel("scatter_update", f, given, [*places, *[None] * (4 - len(places))], isa=isa, slices=slices)
            for y, w in zip(places, want):
                assert np.array_equal(y, w, equal_nan=True), isa
                assert not np.any((np.signbit(y) != np.signbit(w)) & ~np.isnan(w)), isa  # of NaN, CPUs choose it


@pytest.mark.parametrize("size", DENSER, ids=str)
@pytest.mark.parametrize("program", [SGD, ADAGRAD], ids=["sgd", "adagrad"])
def test_half_of_the_rows_may_be_looked_up(program, size, rng):
    test_rows_that_were_looked_up(program, size, np.int32, 0.25, rng)


def test_what_it_does_not_take():
    index = np.zeros(10, np.int32)
    good = fields(SGD, 320, 4, 10, index)
    for fits in (good, good | dict(n=160), fields(ADAM, 320, 4, 10, index), fields(ADAM, 80, 1 << 16, 10, index)):
        assert _core.facts("scatter_update", fits)["error"] is None
    other = ([("add", (0, 1)), ("mul", (2, 3))], [4], 3)
    for bad in (
        good | dict(n=161), fields(ADAM, 320, 4, 11, index), fields(ADAM, 80, 1 << 16, 11, index), good | dict(R=-1),
        good | dict(I=1 << 62), good | dict(index_dtype=0), good | dict(inputs=0), fields(other, 320, 4, 10, index),
    ):  # fmt: skip
        assert _core.facts("scatter_update", bad)["error"]
