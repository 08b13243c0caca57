"""The rarer elementwise functions, and reductions that leave out NaN."""

import math

import numpy as np

import reference as ref
from casebook import Casebook, bools, ints, x
from nacre import ops

case = Casebook()

NAN, INF = math.nan, math.inf
ODD = np.array([NAN, INF, -INF, 0.0, -0.0, 1.5, -2.0], np.float32)
HOLES = np.array([[NAN, 1.0, 4.0, -2.0], [NAN, NAN, NAN, 3.0], [0.5, 2.5, NAN, 1.0]], np.float32)

for options in ({}, {"nan": 7.0, "posinf": 2.0, "neginf": -3.0}):
    case(ops.nan_to_num, ODD, reference=ref.nan_to_num, **options)
case(ops.nan_to_num, x(9), reference=ref.nan_to_num)

UNARY = {
    "cbrt": (np.cbrt, 0.2, 4), "deg2rad": (np.deg2rad, -200, 200), "rad2deg": (np.rad2deg, -4, 4),
    "fabs": (np.fabs, -2, 2), "sinc": (np.sinc, -2, 2), "erfc": (lambda v: 1 - ref.erf(v), -2, 2), "i0": (np.i0, -5, 5),
}  # fmt: skip
for name, (truth, low, high) in UNARY.items():
    case(getattr(ops, name), x(4, 9, low=low, high=high), reference=truth, name=name, roundings=16, smooth=name != "i0")
case(ops.cbrt, x(9, low=-4, high=-0.1), reference=np.cbrt, roundings=8)
case(ops.i0, x(9, low=0.5, high=8), reference=np.i0, roundings=256)
case(ops.erfc, x(9, low=2, high=4), reference=lambda v: np.vectorize(math.erfc, otypes=[float])(v), roundings=2)
for name in ("isposinf", "isneginf", "signbit", "isreal", "real", "imag", "conj", "conjugate"):
    case(getattr(ops, name), ODD, reference=getattr(np, name), name=name, smooth=False)
case(ops.signbit, ints(5), reference=np.signbit)
case(ops.angle, ODD, reference=np.angle, smooth=False)

for name in ("fmax", "fmin"):
    case(getattr(ops, name), ODD, ODD[::-1].copy(), reference=getattr(np, name), name=name, smooth=False)
    case(getattr(ops, name), x(9), x(9), reference=getattr(np, name), name=name)
case(ops.fmod, x(9, low=-5, high=5), x(9, low=1.5, high=2), reference=np.fmod, roundings=4)
case(ops.fmod, ints(9, low=-7, high=7), ints(9, low=1, high=4), reference=np.fmod)
case(ops.heaviside, ODD, 0.25, reference=np.heaviside, smooth=False)
case(ops.logaddexp2, x(9), x(9), reference=np.logaddexp2, roundings=4)
case(ops.ldexp, x(9), ints(9), reference=np.ldexp)
case(ops.divide_no_nan, x(4, 3), np.array([0.0, 2.0, -1.0], np.float32), roundings=2,
     reference=lambda a, b: np.where(b == 0, 0, a / np.where(b == 0, 1, b)))  # fmt: skip
for dtype in ("int32", "int64"):
    case(ops.gcd, ints(9, low=-50, high=50, dtype=dtype), ints(9, low=-50, high=50, dtype=dtype), reference=np.gcd)
    case(ops.lcm, ints(9, low=-50, high=50, dtype=dtype), ints(9, low=-50, high=50, dtype=dtype), reference=np.lcm)
for equal_nan in (False, True):
    case(ops.isclose, ODD, ODD.copy(), equal_nan=equal_nan, reference=np.isclose)
    case(ops.allclose, ODD, ODD.copy(), equal_nan=equal_nan, reference=np.allclose)
case(ops.isclose, x(5), 1.0, 0.5, reference=np.isclose, smooth=False)

for axis in (None, 0, 1, (0, 1)):
    for name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd"):
        case(getattr(ops, name), HOLES, axis=axis, reference=getattr(np, name), name=name, roundings=2)
        if axis != 0:  # the first column holds a number in one row only
            case(getattr(ops, name), x(3, 4), axis=axis, reference=getattr(np, name), name=name, roundings=8)
    for name in ("nanmax", "nanmin"):
        case(getattr(ops, name), HOLES, axis=axis, reference=getattr(np, name), name=name)
    case(ops.nanmedian, HOLES, axis=axis, reference=np.nanmedian)
    case(ops.nanquantile, HOLES, [0.2, 0.9], axis=axis, reference=np.nanquantile, roundings=2)
    case(ops.nanpercentile, HOLES, 35.0, axis=axis, reference=np.nanpercentile, roundings=2)
for axis in (None, 0, 1):
    case(ops.nanargmax, HOLES, axis=axis, reference=np.nanargmax)
    case(ops.nanargmin, HOLES, axis=axis, reference=np.nanargmin)
    case(ops.nancumsum, HOLES, axis=axis, reference=np.nancumsum)
    case(ops.nancumprod, HOLES, axis=axis, reference=np.nancumprod)
case(ops.nansum, x(3, 4), axis=1, keepdims=True, reference=np.nansum, roundings=4)
case(ops.nansum, bools(5), reference=np.nansum)
