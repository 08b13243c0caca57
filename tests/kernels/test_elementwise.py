import math

import numpy as np
import pytest

from kernel_check import EPS, dtype_code, garbage, run_everywhere, same
from nacre import _core

CODES = _core.elementwise_codes()
KERNEL = {"float32": "elementwise", "float64": "elementwise_f64", "int64": "elementwise_i64"}


def padded(values, n):
    return list(values) + [0] * (n - len(values))


def fields(dims, inputs, outputs, code, consts=()):
    """inputs: (dtype, strides) each; outputs: (dtype, register) each; code: (name, dst, operands...)."""
    strides = [0] * 48
    for i, (_, s) in enumerate(inputs):
        strides[6 * i : 6 * i + len(dims)] = s
    words = [w for name, *regs in code for w in padded([CODES[name][0], *regs], 5)]
    return dict(
        rank=len(dims),
        dims=padded(dims, 6),
        inputs=len(inputs),
        outputs=len(outputs),
        in_dtype=padded([dtype_code(t) for t, _ in inputs], 8),
        out_dtype=padded([dtype_code(t) for t, _ in outputs], 4),
        in_strides=strides,
        length=len(code),
        code=padded(words, 240),
        consts=[float(c) for c in padded(consts, 16)],
        out_reg=padded([r for _, r in outputs], 4),
        out_ld=[0] * 4,
    )


def strides(shape):
    return [int(np.prod(shape[d + 1 :])) for d in range(len(shape))]


def run(compute, shape_fields, inputs, outputs):
    absent = [None] * (8 - len(inputs))
    results = run_everywhere(
        KERNEL[compute], shape_fields, list(inputs) + absent, list(outputs) + [None] * (4 - len(outputs))
    )
    return {isa: got[: len(outputs)] for isa, got in results.items()}


def apply(name, *operands, compute="float32", out=None):
    """The opcode on contiguous operands of one shape."""
    shape = operands[0].shape
    code = [(name, 24, *range(len(operands)))]
    out = out or compute
    f = fields(shape, [(a.dtype, strides(shape)) for a in operands], [(out, 24)], code)
    return {isa: y for isa, (y,) in run(compute, f, operands, [(shape, np.dtype(out))]).items()}


def ulps(got, want, dtype):
    """Distance in units in the last place of the wanted value; subnormal results count as zero."""
    want = np.asarray(want)
    with np.errstate(all="ignore"):
        rounded = want.astype(dtype)
    tiny = np.finfo(dtype).tiny
    finite = np.isfinite(rounded) & np.isfinite(got)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    np.testing.assert_array_equal(got[~finite & ~np.isnan(rounded)], rounded[~finite & ~np.isnan(rounded)])
    unit = np.maximum(np.spacing(np.abs(rounded[finite])), tiny * np.finfo(dtype).eps)
    difference = np.abs(got[finite].astype(np.longdouble) - want[finite])
    difference[np.abs(want[finite]) <= 2 * tiny] = 0
    return float((difference / unit).max()) if difference.size else 0.0


def erfinv(x):
    """By bisection on math.erf, to the last bits of float64; near zero by the series."""

    def one(v):
        if abs(v) < 1e-4:
            return v * math.sqrt(math.pi) / 2 * (1 + math.pi * v * v / 12)
        if not abs(v) < 1:
            return math.copysign(math.inf, v) if abs(v) == 1 else math.nan
        low, high = 0.0, 7.0
        for _ in range(80):
            middle = 0.5 * (low + high)
            outside = math.erfc(middle) > 1 - abs(v) if abs(v) > 0.5 else math.erf(middle) < abs(v)
            low, high = (middle, high) if outside else (low, middle)
        return math.copysign(low, v)

    return np.array([one(float(v)) for v in x])


def vector(function):
    def one(v):
        try:
            return function(float(v))
        except (ValueError, OverflowError):
            return math.nan

    return lambda x: np.array([one(v) for v in x])


UNARY = {  # name -> (reference on float64, bound in ulp for float32, sample range)
    "copy": (lambda x: x, 0, 100),
    "neg": (np.negative, 0, 100),
    "abs": (np.abs, 0, 100),
    "sign": (np.sign, 0, 3),
    "square": (np.square, 0.5, 1e10),
    "sqrt": (np.sqrt, 0.5, 1e10),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5, 1e10),
    "reciprocal": (np.reciprocal, 0.5, 1e10),
    "exp": (np.exp, 1.5, 80),
    "exp2": (np.exp2, 0.6, 100),
    "expm1": (np.expm1, 3, 20),
    "log": (np.log, 1.5, 1e6),
    "log1p": (np.log1p, 3, 10),
    "log2": (np.log2, 2, 1e6),
    "log10": (np.log10, 3, 1e6),
    "sin": (np.sin, 2, 100),
    "cos": (np.cos, 2, 100),
    "tan": (np.tan, 4, 100),
    "asin": (np.arcsin, 3, 1),
    "acos": (np.arccos, 3, 1),
    "atan": (np.arctan, 3, 100),
    "sinh": (np.sinh, 4, 20),
    "cosh": (np.cosh, 4, 20),
    "tanh": (np.tanh, 2, 5),
    "asinh": (np.arcsinh, 4, 100),
    "acosh": (np.arccosh, 4, 100),
    "atanh": (np.arctanh, 4, 1),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 3, 20),
    "erf": (vector(math.erf), 2, 4),
    "erfinv": (erfinv, 0.6, 1),
    "floor": (np.floor, 0, 100),
    "ceil": (np.ceil, 0, 100),
    "round": (np.round, 0, 100),
    "trunc": (np.trunc, 0, 100),
    "relu": (lambda x: np.maximum(x, 0), 0, 3),
    "softplus": (lambda x: np.logaddexp(x, 0), 4, 20),
    "isnan": (np.isnan, 0, 3),
    "isinf": (np.isinf, 0, 3),
    "isfinite": (np.isfinite, 0, 3),
    "logical_not": (np.logical_not, 0, 3),
}
BINARY = {
    "add": (np.add, 0.5),
    "sub": (np.subtract, 0.5),
    "mul": (np.multiply, 0.5),
    "div": (np.divide, 0.5),
    "pow": (np.power, 1),
    "min": (np.minimum, 0),
    "max": (np.maximum, 0),
    "floor_div": (np.floor_divide, 0.5),
    "mod": (np.mod, 0.5),
    "atan2": (np.arctan2, 4),
    "hypot": (np.hypot, 0.6),
    "logaddexp": (np.logaddexp, 0.6),
    "eq": (np.equal, 0),
    "ne": (np.not_equal, 0),
    "lt": (np.less, 0),
    "le": (np.less_equal, 0),
    "gt": (np.greater, 0),
    "ge": (np.greater_equal, 0),
    "logical_and": (np.logical_and, 0),
    "logical_or": (np.logical_or, 0),
    "logical_xor": (np.logical_xor, 0),
    "relu_grad": (lambda dy, y: np.where(y > 0, dy, 0), 0),
}
TERNARY = {
    "select": (lambda c, a, b: np.where(c != 0, a, b), 0),
    "clip": (lambda x, a, b: np.minimum(np.maximum(x, a), b), 0),
}
INTEGER_ONLY = {"bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right"}
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    np.inf,
    -np.inf,
    np.nan,
    3e38,
    -3e38,
    1e-30,
    1e30,
    7.0,
    -3.0,
]


def test_every_opcode_is_tested():
    assert set(UNARY) | set(BINARY) | set(TERNARY) | INTEGER_ONLY | {"fma"} == set(CODES)
    arity = {1: set(UNARY) | {"bitwise_not"}, 3: set(TERNARY) | {"fma"}}
    for name, (_, operands) in CODES.items():
        assert (name in arity[1]) == (operands == 1) and (name in arity[3]) == (operands == 3), name


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("compute", ["float32", "float64"])
def test_unary(name, compute, rng):
    reference, bound, size = UNARY[name]
    x = np.concatenate([rng.uniform(-size, size, 600), size * rng.uniform(0, 1, 200) ** 8, SPECIAL]).astype(compute)
    with np.errstate(all="ignore"):
        want = reference(
            x.astype(np.longdouble if compute == "float64" and name not in ("erf", "erfinv") else np.float64)
        )
    for isa, y in apply(name, x, compute=compute).items():
        # float64: libm 2 ulp, tanh 3; the reference of erf and erfinv has its own rounding
        assert ulps(y, want, compute) <= (bound if compute == "float32" else 4 if bound > 0.5 else 1), isa


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("compute", ["float32", "float64"])
def test_binary(name, compute, rng):
    reference, bound = BINARY[name]
    a, b = (v.ravel() for v in np.meshgrid(SPECIAL, SPECIAL))
    a = np.concatenate([3 * rng.standard_normal(500), rng.integers(-9, 9, 100), a]).astype(compute)
    b = np.concatenate([3 * rng.standard_normal(500), rng.integers(-9, 9, 100), b]).astype(compute)
    with np.errstate(all="ignore"):
        want = reference(a.astype(np.float64), b.astype(np.float64))
    for isa, y in apply(name, a, b, compute=compute).items():
        assert ulps(y, want, compute) <= (bound if compute == "float32" else 2), isa


@pytest.mark.parametrize("name", TERNARY)
@pytest.mark.parametrize("compute", ["float32", "float64"])
def test_ternary(name, compute, rng):
    a, b, c = rng.integers(-2, 3, (3, 500)).astype(compute)
    a[7], b[8], c[9] = np.nan, np.nan, np.nan
    want = TERNARY[name][0](a, b, c)
    for isa, y in apply(name, a, b, c, compute=compute).items():
        same(y, want, isa)


def test_fma_is_a_product_and_a_sum(rng):
    a, b, c = rng.standard_normal((3, 100)).astype(np.float32)
    want = a.astype(np.float64) * b + c
    for isa, y in apply("fma", a, b, c).items():
        assert (np.abs(y - want) <= EPS * (np.abs(a * b) + np.abs(c))).all(), isa


def floor_div(a, b):
    return a // b if b else 0


def as_int64(v):
    return (int(v) + 2**63) % 2**64 - 2**63


def integer_pow(a, b):
    if b >= 0:
        return pow(a, b, 2**64)
    return {1: 1, -1: -1 if b % 2 else 1}.get(a, 0)


INTEGERS = {
    "copy": lambda a: a,
    "neg": lambda a: -a,
    "abs": abs,
    "sign": lambda a: (a > 0) - (a < 0),
    "square": lambda a: a * a,
    "floor": lambda a: a,
    "ceil": lambda a: a,
    "round": lambda a: a,
    "trunc": lambda a: a,
    "relu": lambda a: max(a, 0),
    "isnan": lambda a: 0,
    "isinf": lambda a: 0,
    "isfinite": lambda a: 1,
    "logical_not": lambda a: not a,
    "bitwise_not": lambda a: ~a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1) if b else 0,
    "pow": integer_pow,
    "min": min,
    "max": max,
    "floor_div": floor_div,
    "mod": lambda a, b: a % b if b else 0,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "logical_and": lambda a, b: bool(a and b),
    "logical_or": lambda a, b: bool(a or b),
    "logical_xor": lambda a, b: bool(a) != bool(b),
    "bitwise_and": lambda a, b: a & b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
    "shift_left": lambda a, b: a << b if 0 <= b < 64 else 0,
    "shift_right": lambda a, b: a >> (b if 0 <= b < 64 else 63),
    "relu_grad": lambda a, b: a if b > 0 else 0,
    "select": lambda a, b, c: b if a else c,
    "fma": lambda a, b, c: a * b + c,
    "clip": lambda a, b, c: min(max(a, b), c),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers(name, rng):
    arity = CODES[name][1]
    ends = [0, 1, -1, 2, -2, 7, -7, 63, 64, 2**31, -(2**63), 2**63 - 1]
    if arity == 1:
        operands = [np.array(ends, np.int64)]
    else:
        operands = [v.ravel() for v in np.meshgrid(*[np.array(ends, np.int64)] * arity)]
    operands = [np.concatenate([v, rng.integers(-50, 50, 40)]) for v in operands]
    want = np.array([as_int64(INTEGERS[name](*(int(v) for v in row))) for row in zip(*operands)], np.int64)
    for isa, y in apply(name, *operands, compute="int64").items():
        same(y, want, isa)


def test_integers_have_no_roots():
    f = fields((1,), [("int64", [1])], [("int64", 24)], [("sqrt", 24, 0)])
    assert _core.facts("elementwise_i64", f)["error"]
    for kernel in ("elementwise", "elementwise_f64"):
        assert _core.facts(kernel, fields((1,), [("float32", [1])], [("float32", 24)], [("bitwise_not", 24, 0)]))[
            "error"
        ]


@pytest.mark.parametrize("source", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("target", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("compute", ["float32", "float64", "int64"])
def test_conversions(source, target, compute, rng):
    x = rng.integers(-3 if source[0] in "fi" else 0, 100, 300).astype(source)
    f = fields(x.shape, [(source, [1])], [(target, 0)], [])
    want = x.astype(np.int64)
    want = np.clip(want, 0, 255) if target == "uint8" and compute != "int64" else want
    for isa, (y,) in run(compute, f, [x], [(x.shape, np.dtype(target))]).items():
        same(y, want.astype(target), isa)


def test_floats_saturate_when_they_become_integers():
    x = np.array([np.nan, np.inf, -np.inf, 3e9, -3e9, 1e20, -1e20, 2.9, -2.9, 300, -5], np.float32)
    low, high = -(2**31), 2**31 - 1
    wide_low, wide_high = -(2**63), 2**63 - 1
    want = {
        "int32": [0, high, low, high, low, high, low, 2, -2, 300, -5],
        "int64": [0, wide_high, wide_low, 3000000000, -3000000000, wide_high, wide_low, 2, -2, 300, -5],
        "uint8": [0, 255, 0, 255, 0, 255, 0, 2, 0, 255, 0],
        "bool": [True] * 11,
    }
    for target, values in want.items():
        for compute in ("float32", "float64"):
            f = fields(x.shape, [("float32", [1])], [(target, 0)], [])
            for isa, (y,) in run(compute, f, [x], [(x.shape, np.dtype(target))]).items():
                same(y, np.array(values, target), f"{isa} {target}")


SIZES = [0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 1000, 1024, 1025, 6143, 6144, 6145, 16384, 16385, 70001]


@pytest.mark.parametrize("n", SIZES)
def test_sizes(n, rng):
    a, b = rng.standard_normal((2, n)).astype(np.float32)
    code = [("mul", 24, 0, 8), ("add", 24, 24, 1), ("relu", 25, 24), ("lt", 26, 0, 1)]
    f = fields((n,), [("float32", [1]), ("float32", [1])], [("float32", 25), ("bool", 26), ("float32", 0)], code, [0.5])
    want = [np.maximum(a * np.float32(0.5) + b, 0), a < b, a]
    outputs = [((n,), np.dtype(np.float32)), ((n,), np.dtype(bool)), ((n,), np.dtype(np.float32))]
    for isa, got in run("float32", f, [a, b], outputs).items():
        for y, w in zip(got, want):
            same(y, w, isa)


BROADCASTS = [
    ((5, 7), (5, 1)),
    ((5, 7), (1, 7)),
    ((300, 64), (64,)),
    ((3, 5000), (3, 1)),
    ((3, 20000), (20000,)),
    ((2, 3, 4, 5), (3, 1, 5)),
    ((2, 3, 4, 5), (2, 1, 4, 1)),
    ((4, 1, 6), (1, 5, 1)),
    ((2, 2, 2, 2, 2, 2), (2, 1, 2, 1, 2, 1)),
    ((70, 1000), (70, 1)),
    ((0, 3), (1, 3)),
    ((), ()),
    ((1, 1), (1, 1)),
    ((7, 9001), (1, 1)),
    ((1000, 3), (3,)),
    ((3000, 2), (3000, 1)),
    ((5, 7, 700, 15), (5, 1, 700, 1)),
    ((400, 3, 5, 16), (400, 1, 5, 1)),
    ((2, 6, 7), (300, 1, 6, 1)),
]


@pytest.mark.parametrize("left,right", BROADCASTS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_broadcasting(left, right, dtype, rng):
    shape = np.broadcast_shapes(left, right)
    a, b = rng.integers(-20, 20, left).astype(dtype), rng.integers(-20, 20, right).astype(np.float32)
    inputs = []
    for x in (a, b):
        view = np.broadcast_to(x, shape)
        inputs.append((x.dtype, [s // x.itemsize for s in view.strides]))
    code = [("sub", 24, 0, 1), ("mul", 25, 24, 8), ("add", 26, 25, 0)]
    f = fields(shape, inputs, [("float32", 26), ("int32", 24)], code, [2])
    want = (a - b) * 2 + a
    for compute in ("float32", "float64"):
        for isa, got in run(compute, f, [a, b], [(shape, np.dtype(np.float32)), (shape, np.dtype(np.int32))]).items():
            same(got[0], want.astype(np.float32), isa)
            same(got[1], np.broadcast_to(a - b, shape).astype(np.int32), isa)


def test_any_strides(rng):
    x = rng.standard_normal((30, 40)).astype(np.float32)
    f = fields((40, 30), [("float32", [1, 40])], [("float32", 24)], [("neg", 24, 0)])
    for isa, (y,) in run("float32", f, [x], [((40, 30), np.dtype(np.float32))]).items():
        same(y, -x.T, isa)
    f = fields((30, 20), [("float32", [40, 2])], [("float32", 24)], [("neg", 24, 0)])
    for isa, (y,) in run("float32", f, [x], [((30, 20), np.dtype(np.float32))]).items():
        same(y, -x[:, ::2], isa)


def test_in_place_and_two_outputs(rng):
    n = 5000
    code = [("add", 24, 0, 1), ("sub", 25, 0, 1)]
    f = fields((n,), [("float32", [1]), ("float32", [1])], [("float32", 24), ("float32", 25)], code)
    for isa in _core.isas():
        a, b = rng.standard_normal((2, n)).astype(np.float32)
        want = a + b, a - b
        _core.run_kernel("elementwise", f, [a, b] + [None] * 6, [a, b, None, None], isa=isa, slices=2)
        same(a, want[0], isa)
        same(b, want[1], isa)


def test_in_place_where_another_output_stores_the_input(rng):
    n = 3000
    f = fields((n,), [("float32", [1])], [("float32", 24), ("float32", 0), ("int32", 0)], [("neg", 24, 0)])
    for isa in _core.isas():
        a = rng.integers(-9, 9, n).astype(np.float32)
        want, copy, whole = -a, garbage((n,), np.float32), garbage((n,), np.int32)
        kept = a.copy()
        _core.run_kernel("elementwise", f, [a] + [None] * 7, [a, copy, whole, None], isa=isa)
        same(a, want, isa)
        same(copy, kept, isa)
        same(whole, kept.astype(np.int32), isa)


def test_long_programs_with_many_registers(rng):
    inputs = rng.standard_normal((8, 3001)).astype(np.float32)
    code = [("add", 24, 0, 1)] + [("add", 24 + k, 23 + k, (k + 1) % 8) for k in range(1, 40)]
    f = fields(
        (3001,),
        [("float32", [1])] * 8,
        [("float32", 63), ("float32", 24), ("float32", 8), ("float32", 40)],
        code,
        [4.5],
    )
    want = inputs[0] + inputs[1]
    kept = {24: want}
    for k in range(1, 40):
        want = want + inputs[(k + 1) % 8]
        kept[24 + k] = want
    outputs = [((3001,), np.dtype(np.float32))] * 4
    for isa, got in run("float32", f, list(inputs), outputs).items():
        same(got[0], kept[63], isa)
        same(got[1], kept[24], isa)
        same(got[2], np.full(3001, 4.5, np.float32), isa)
        same(got[3], kept[40], isa)


@pytest.mark.parametrize("second", ["add", "sub", "mul"])
@pytest.mark.parametrize("first", ["add", "sub", "mul", "sigmoid", "tanh", "erf"])
def test_two_instructions_at_once_give_the_bits_of_each_alone(first, second, rng):
    shape = (1003,)  # tiles long enough for instructions to be joined, and a rest
    a, b, c = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
    a[[1, 500, 1002]] = np.nan, np.inf, -0.0
    inputs = [("float32", [1])] * 3
    operands = (0, 1) if CODES[first][1] == 2 else (0,)
    for order in ((24, 2), (2, 24)):  # what the first gives may be either operand
        both = fields(shape, inputs, [("float32", 25)], [(first, 24, *operands), (second, 25, *order)])
        kept = fields(shape, inputs, [("float32", 25), ("float32", 24)], [(first, 24, *operands), (second, 25, *order)])
        outs = [(shape, np.dtype("float32"))]
        joined, apart = run("float32", both, [a, b, c], outs), run("float32", kept, [a, b, c], outs * 2)
        for isa, (y,) in joined.items():
            same(y, apart[isa][0], isa)


def test_a_result_that_is_read_twice_is_kept(rng):
    a, b = (rng.standard_normal(1003).astype(np.float32) for _ in range(2))
    code = [("sub", 24, 0, 1), ("mul", 25, 24, 24), ("add", 26, 25, 24)]
    f = fields((1003,), [("float32", [1])] * 2, [("float32", 26)], code)
    for isa, (y,) in run("float32", f, [a, b], [((1003,), np.dtype("float32"))]).items():
        same(y, (a - b) * (a - b) + (a - b), isa)


def test_constants_alone():
    f = fields((10,), [], [("float32", 24), ("int64", 9)], [("add", 24, 8, 9)], [1.5, 2])
    for isa, (y, z) in run("float32", f, [], [((10,), np.dtype(np.float32)), ((10,), np.dtype(np.int64))]).items():
        same(y, np.full(10, 3.5, np.float32), isa)
        same(z, np.full(10, 2), isa)


COLUMNS = [(7, 3), (300, 16), (70, 40), (1, 9), (5, 1), (4, 20_000), (2000, 12)]


@pytest.mark.parametrize(("rows", "width"), COLUMNS)
@pytest.mark.parametrize("dense", [(), (0,), (1,), (0, 1)])
def test_columns_of_wider_operands(rng, rows, width, dense):
    """Inputs and outputs with gaps between their rows, which stay; an output may be an input as it stands."""
    lds = [width if k in dense else width + 5 + 3 * k for k in range(2)]
    x, h = (rng.standard_normal((rows, ld), np.float32) for ld in lds)
    v = rng.standard_normal(width, np.float32)
    code = [("mul", 24, 0, 8), ("add", 25, 24, 2), ("relu_grad", 26, 25, 1), ("sub", 27, 26, 0)]
    inputs = [("float32", [lds[0], 1]), ("float32", [lds[1], 1]), ("float32", [0, 1])]
    outputs = [("float32", 27), ("float32", 0), ("int64", 1), ("float32", 26)]
    f = fields((rows, width), inputs, outputs, code, [1.5])
    f["out_ld"] = out_ld = [width + 4, width + 1, width, 0]
    sizes = [(rows - 1) * (ld or width) + width for ld in out_ld]
    made = [((n,), np.dtype(t)) for n, (t, _) in zip(sizes, outputs)]
    results = run("float32", f, [x.ravel(), h.ravel(), v], made)
    x, h = x[:, :width], h[:, :width]
    masked = np.where(h > 0, x * np.float32(1.5) + v, 0)
    with np.errstate(invalid="ignore"):
        wanted = [masked - x, x, h.astype(np.int64), masked]
    for isa, ys in results.items():
        for y, want, ld, (shape, dtype) in zip(ys, wanted, out_ld, made):
            whole = garbage((rows * (ld or width),), dtype)
            whole.reshape(rows, -1)[:, :width] = want
            same(y, whole[: shape[0]], isa)


GOOD = fields((4, 5), [("float32", [5, 1]), ("float32", [0, 1])], [("float32", 24)], [("add", 24, 0, 1)])
BAD = [
    dict(rank=7),
    dict(rank=-1),
    dict(inputs=9),
    dict(outputs=0),
    dict(outputs=5),
    dict(length=49),
    dict(length=-1),
    dict(dims=[-1] + [0] * 5),
    dict(dims=[1 << 40, 1 << 40] + [0] * 4),
    dict(in_dtype=[7] + [0] * 7),
    dict(out_dtype=[-1] + [0] * 3),
    dict(in_strides=[-1] + [0] * 47),
    dict(in_strides=[1 << 62] * 48),
    dict(code=[999, 24, 0, 1, 0] + [0] * 235),
    dict(code=[-1, 24, 0, 1, 0] + [0] * 235),
    dict(code=[CODES["add"][0], 5, 0, 1, 0] + [0] * 235),
    dict(code=[CODES["add"][0], 64, 0, 1, 0] + [0] * 235),
    dict(code=[CODES["add"][0], 24, 0, 2, 0] + [0] * 235),
    dict(code=[CODES["add"][0], 24, 0, 25, 0] + [0] * 235),
    dict(code=[CODES["add"][0], 24, -1, 1, 0] + [0] * 235),
    dict(out_reg=[25, 0, 0, 0]),
    dict(out_reg=[-1, 0, 0, 0]),
    dict(out_reg=[64, 0, 0, 0]),
    dict(out_reg=[2, 0, 0, 0]),
    dict(out_ld=[4, 0, 0, 0]),
    dict(out_ld=[-1, 0, 0, 0]),
    dict(out_ld=[1 << 62, 0, 0, 0]),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:40])
def test_impossible_programs_are_refused(bad):
    for kernel in KERNEL.values():
        assert _core.facts(kernel, GOOD)["error"] is None
        assert _core.facts(kernel, GOOD | bad)["error"], kernel


def test_extents_are_what_the_strides_reach():
    f = _core.facts("elementwise", GOOD)
    assert f["extents"][:3] == [80, 20, 0] and f["extents"][8:] == [80, 0, 0, 0]
