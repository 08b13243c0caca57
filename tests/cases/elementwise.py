"""Elementwise functions: sizes around a vector and a tile, broadcasting, dtypes, and the numbers at the ends."""

import numpy as np

import reference as ref
from casebook import Casebook, bools, ints, x
from nacre import ops

case = Casebook()

# Sizes 0, 1, around a vector of 16, and beyond a tile.
SIZES = [(0,), (1,), (15,), (16,), (17,), (3, 700)]

for shape in SIZES:
    case(ops.add, x(*shape), x(*shape), reference=np.add)
    case(ops.tanh, x(*shape), reference=np.tanh)
    case(ops.relu, x(*shape), reference=ref.relu)
    case(ops.exp, x(*shape), reference=np.exp)

UNARY = {
    "negative": (np.negative, -2, 2), "absolute": (np.abs, -2, 2), "abs": (np.abs, -2, 2), "square": (np.square, -2, 2),
    "sqrt": (np.sqrt, 0.1, 4), "rsqrt": (lambda v: 1 / np.sqrt(v), 0.2, 4), "reciprocal": (np.reciprocal, 0.3, 3),
    "exp2": (np.exp2, -3, 3), "expm1": (np.expm1, -1, 1), "log": (np.log, 0.2, 5), "log1p": (np.log1p, -0.5, 2),
    "log2": (np.log2, 0.2, 5), "log10": (np.log10, 0.2, 5), "sin": (np.sin, -9, 9), "cos": (np.cos, -9, 9),
    "tan": (np.tan, -1.2, 1.2), "arcsin": (np.arcsin, -0.9, 0.9), "arccos": (np.arccos, -0.9, 0.9),
    "arctan": (np.arctan, -3, 3), "sinh": (np.sinh, -2, 2), "cosh": (np.cosh, -2, 2), "arcsinh": (np.arcsinh, -3, 3),
    "arccosh": (np.arccosh, 1.2, 4), "arctanh": (np.arctanh, -0.9, 0.9), "sigmoid": (ref.sigmoid, -5, 5),
    "softplus": (ref.softplus, -5, 5), "erf": (ref.erf, -3, 3), "silu": (lambda v: v * ref.sigmoid(v), -4, 4),
    "swish": (lambda v: v * ref.sigmoid(v), -4, 4), "softsign": (lambda v: v / (1 + np.abs(v)), -3, 3),
    "log_sigmoid": (lambda v: -ref.softplus(-v), -5, 5), "relu6": (lambda v: np.clip(v, 0, 6), -3, 9),
    "hard_sigmoid": (ref.hard_sigmoid, -5, 5), "hard_silu": (lambda v: v * ref.hard_sigmoid(v), -5, 5),
    "hard_swish": (lambda v: v * ref.hard_sigmoid(v), -5, 5), "hard_tanh": (lambda v: np.clip(v, -1, 1), -3, 3),
    "tanh_shrink": (lambda v: v - np.tanh(v), -3, 3), "selu": (ref.selu, -3, 3),
    "sparse_plus": (ref.sparse_plus, -3, 3), "sparse_sigmoid": (lambda v: np.clip((v + 1) / 2, 0, 1), -3, 3),
}  # fmt: skip
for name, (truth, low, high) in UNARY.items():
    case(getattr(ops, name), x(5, 13, low=low, high=high), reference=truth, name=name, roundings=8)
    case(getattr(ops, name), x(0, 3, low=low, high=high), reference=truth, name=name)

STEPS = {
    "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "round": np.round, "trunc": np.trunc,
    "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "logical_not": np.logical_not,
}  # fmt: skip
for name, truth in STEPS.items():
    case(getattr(ops, name), x(4, 9, low=-5, high=5), reference=truth, name=name, smooth=False)
case(ops.erfinv, x(31, low=-0.9, high=0.9), reference=lambda v: _inverse(ref.erf, v, -3, 3), smooth=False, roundings=8)
case(ops.round, x(7, low=-5, high=5), decimals=1, reference=lambda v, decimals: np.round(v, decimals), smooth=False)

for alpha in (1.0, 0.3):
    case(ops.elu, x(33), alpha=alpha, reference=ref.elu)
    case(ops.celu, x(33), alpha=alpha, reference=ref.celu)
for slope in (0.2, 0.0):
    case(
        ops.leaky_relu,
        x(33),
        negative_slope=slope,
        reference=lambda v, negative_slope: np.where(v > 0, v, v * negative_slope),
    )
for approximate in (True, False):
    case(ops.gelu, x(33), approximate=approximate, reference=ref.gelu)
case(ops.hard_shrink, x(40), reference=lambda v: np.where(np.abs(v) > 0.5, v, 0))
case(ops.soft_shrink, x(40), reference=lambda v: np.sign(v) * np.maximum(np.abs(v) - 0.5, 0))
case(ops.threshold, x(40), 0.5, -1.0, reference=lambda v, t, d: np.where(v > t, v, d))
case(ops.squareplus, x(40), b=2.0, reference=lambda v, b: (v + np.sqrt(v * v + b)) / 2)
case(ops.sparsemax, x(5, 7), reference=ref.sparsemax, roundings=4)
case(ops.sparsemax, x(5, 7), axis=0, reference=ref.sparsemax, roundings=4)
case(ops.glu, x(3, 8), reference=ref.glu)
case(ops.glu, x(4, 3), axis=0, reference=ref.glu)


def _inverse(f, y, low, high):
    """By bisection, which nobody gets wrong."""
    a, b = np.full(y.shape, float(low)), np.full(y.shape, float(high))
    for _ in range(100):
        m = (a + b) / 2
        below = f(m) < y
        a, b = np.where(below, m, a), np.where(below, b, m)
    return a


BROADCASTS = [((7,), (7,)), ((3, 1), (1, 4)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((), (5,)), ((0, 3), (1, 3))]
BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
    "logaddexp": np.logaddexp, "hypot": np.hypot, "arctan2": np.arctan2,
}  # fmt: skip
for name, truth in BINARY.items():
    for a, b in BROADCASTS:
        case(getattr(ops, name), x(*a), x(*b), reference=truth, name=name, roundings=4)
for a, b in BROADCASTS:
    case(ops.divide, x(*a), x(*b, low=0.5, high=2), reference=np.divide, roundings=4)
    case(ops.true_divide, x(*a), x(*b, low=0.5, high=2), name="true_divide", reference=np.divide, roundings=4)
    case(ops.power, x(*a, low=0.3, high=2), x(*b), reference=np.power, roundings=16)
    case(ops.mod, x(*a, low=-5, high=5), x(*b, low=1.5, high=2), reference=np.mod, roundings=4)
    case(ops.floor_divide, x(*a, low=-5, high=5), x(*b, low=1.5, high=2), reference=np.floor_divide, smooth=False)
    for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        case(getattr(ops, name), ints(*a), ints(*b), reference=getattr(np, name), name=name)
    for name in ("logical_and", "logical_or", "logical_xor"):
        case(getattr(ops, name), bools(*a), bools(*b), reference=getattr(np, name), name=name)

for name in ("add", "subtract", "multiply", "maximum", "minimum", "mod", "floor_divide"):
    for dtype in ("int32", "int64"):
        high = ints(9, low=1, high=5, dtype=dtype)
        case(getattr(ops, name), ints(9, dtype=dtype), high, reference=getattr(np, name), name=name)
case(ops.divide, ints(9), ints(9, low=1, high=5), reference=np.divide)
case(ops.power, ints(9), 2, reference=np.power)
case(ops.power, ints(9), 3, reference=np.power)
for exponent, low in ((2, -2), (2.0, -2), (3, -2), (0.5, 0.3), (-1, 0.3), (1.5, 0.3), (-2, 0.3), (0, -2)):
    case(ops.power, x(2, 17, low=low, high=2), exponent, reference=np.power, roundings=16)
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    case(getattr(ops, name), ints(9), ints(9), reference=getattr(np, name), name=name)
    case(getattr(ops, name), bools(9), bools(9), reference=getattr(np, name), name=name)
for name in ("left_shift", "right_shift"):
    case(getattr(ops, name), ints(9), ints(9, low=0, high=5), reference=getattr(np, name), name=name)
    case(
        getattr(ops, "bitwise_" + name),
        ints(9),
        ints(9, low=0, high=5),
        reference=getattr(np, name),
        name="bitwise_" + name,
    )
for name in ("bitwise_not", "bitwise_invert"):
    case(getattr(ops, name), ints(9), reference=np.invert, name=name)

case(ops.where, bools(3, 4), x(3, 4), x(4), reference=np.where)
case(ops.where, bools(4), x(3, 4), 0.0, reference=np.where)
case(ops.clip, x(33), -0.5, 0.7, reference=np.clip)
case(ops.clip, ints(9), 0, 2, reference=np.clip)
case(ops.cast, x(9, low=-5, high=5), "int32", reference=lambda v, d: np.trunc(v).astype(d), smooth=False)
case(ops.cast, ints(9), "float32", reference=lambda v, d: v.astype(float))
case(ops.cast, ints(9), "bool", reference=lambda v, d: v.astype(bool))
case(
    ops.saturate_cast,
    x(9, low=-300, high=300),
    "uint8",
    reference=lambda v, d: np.clip(v, 0, 255).astype(d),
    smooth=False,
)
case(ops.stop_gradient, x(9), reference=lambda v: v, smooth=False)
for name in ("zeros_like", "ones_like"):
    case(getattr(ops, name), x(3, 4), reference=getattr(np, name), name=name, smooth=False)
case(ops.full_like, x(3, 4), 7, reference=lambda v, f: np.full(v.shape, float(f)), smooth=False)
