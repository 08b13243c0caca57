"""Reductions: every axis, long and short, sizes 0 and 1, integers and booleans."""

import numpy as np

import reference as ref
from casebook import Casebook, bools, ints, x
from nacre import ops

case = Casebook()

AXES = [
    ((7,), None),
    ((3, 5), None),
    ((3, 5), 0),
    ((3, 5), -1),
    ((3, 5, 4), 1),
    ((3, 5, 4), (0, 2)),
    ((3, 5, 4), (0, 1, 2)),
]
for shape, axis in AXES:
    for name in ("sum", "mean", "max", "min", "amax", "amin", "prod", "var", "std", "ptp"):
        truth = getattr(np, name)
        case(getattr(ops, name), x(*shape), axis=axis, reference=truth, name=name, roundings=8)
    case(ops.logsumexp, x(*shape), axis=axis, reference=ref.logsumexp, roundings=4)
    for name in ("any", "all"):
        case(getattr(ops, name), bools(*shape), axis=axis, reference=getattr(np, name), name=name)
    case(ops.count_nonzero, ints(*shape), axis=axis, reference=np.count_nonzero)
    case(ops.median, x(*shape), axis=axis, reference=np.median)
    case(ops.quantile, x(*shape), [0.1, 0.5, 0.9], axis=axis, reference=np.quantile, roundings=2)
for name in ("sum", "mean", "max", "var", "any", "logsumexp"):
    truth = getattr(np, name, None) or ref.logsumexp
    case(getattr(ops, name), x(3, 5), axis=1, keepdims=True, reference=truth, name=name, roundings=4)
for shape in [(20_000,), (3, 9000), (9000, 3), (70, 130)]:
    case(ops.sum, x(*shape), reference=np.sum, roundings=64)
    case(ops.sum, x(*shape), axis=0, reference=np.sum, roundings=64)
    case(ops.max, x(*shape), axis=-1, reference=np.max)
    case(ops.mean, x(*shape), reference=np.mean)
case(ops.sum, x(0, 3), axis=0, reference=np.sum)
case(ops.sum, x(0, 3), axis=1, reference=np.sum)
case(ops.prod, x(0), reference=np.prod)
case(ops.prod, x(3, 4, 2), axis=(0, 2), reference=np.prod, roundings=4)
case(ops.max, x(0, 3), axis=1, reference=np.max)
case(ops.max, x(4), initial=1.0, reference=lambda v, initial: np.max(v, initial=initial))
case(ops.min, x(4), initial=-1.0, reference=lambda v, initial: np.min(v, initial=initial))
for dtype in ("int32", "int64"):
    for name in ("sum", "max", "min", "prod"):
        case(getattr(ops, name), ints(3, 5, dtype=dtype), axis=0, reference=getattr(np, name), name=name)
    case(ops.mean, ints(3, 5, dtype=dtype), axis=0, reference=np.mean)
case(ops.sum, bools(7), reference=np.sum)

for shape, axis in [((7,), None), ((3, 5), None), ((3, 5), 0), ((3, 5), -1), ((2, 9, 3), 1)]:
    case(ops.argmax, x(*shape), axis=axis, reference=np.argmax)
    case(ops.argmin, x(*shape), axis=axis, reference=np.argmin)
    case(ops.cumsum, x(*shape), axis=axis, reference=np.cumsum, roundings=4)
    case(ops.cumprod, x(*shape), axis=axis, reference=np.cumprod, roundings=8)
    case(ops.cumsum, ints(*shape), axis=axis, reference=np.cumsum)
case(ops.argmax, x(3, 5), axis=1, keepdims=True, reference=np.argmax)
case(ops.cumsum, x(0, 3), axis=0, reference=np.cumsum)

case(ops.moments, x(3, 5, 4), [0, 1], reference=ref.moments, roundings=4)
case(ops.moments, x(3, 5), [0], keepdims=True, reference=ref.moments, roundings=4)
case(ops.average, x(3, 5), axis=1, reference=np.average, roundings=4)
case(ops.average, x(3, 5), axis=0, weights=None, reference=np.average, roundings=4)
case(ops.average, x(4), None, x(4, low=0.5, high=1.5), reference=np.average, roundings=4)
case(ops.average, x(3, 4), 1, x(4, low=0.5, high=1.5), reference=np.average, roundings=4)

case(ops.norm, x(3, 5), reference=ref.norm, roundings=4)
case(ops.norm, x(0), reference=ref.norm, smooth=False)
for ord in (None, 1, 2, 3, 0.5, np.inf, -np.inf):
    case(ops.norm, x(3, 5), ord=ord, axis=1, reference=ref.norm, roundings=16)
case(ops.norm, x(3, 5), ord=0, axis=1, reference=ref.norm, smooth=False)
for ord in ("fro", 1, -1, np.inf, -np.inf):
    case(ops.norm, x(2, 3, 5), ord=ord, axis=(1, 2), reference=ref.norm, roundings=8)
case(ops.norm, x(3, 5), ord=1, axis=1, keepdims=True, reference=ref.norm, roundings=4)

for axis in (-1, 0, None):
    case(ops.sort, x(5, 7), axis=axis, reference=np.sort)
    case(ops.argsort, x(5, 7), axis=axis, reference=lambda v, axis: np.argsort(v, axis, kind="stable"))
case(ops.sort, ints(40), reference=np.sort)
case(ops.argsort, ints(40), reference=lambda v: np.argsort(v, kind="stable"))
case(ops.sort, x(0, 3), reference=np.sort)
for k in (1, 3):
    case(
        ops.top_k,
        x(4, 9),
        k,
        reference=lambda v, k: [-np.sort(-v)[..., :k], np.argsort(-v, kind="stable")[..., :k]],
    )
case(ops.percentile, x(9), 30, reference=np.percentile, roundings=2)
case(ops.percentile, x(4, 9), 30.0, axis=1, keepdims=True, reference=np.percentile, roundings=2)
for method in ("lower", "higher", "midpoint", "nearest"):
    case(ops.quantile, x(4, 9), 0.3, axis=1, method=method, reference=np.quantile)
case(ops.argpartition, x(9), 8, reference=lambda v, kth: np.argsort(v, kind="stable"))
case(ops.searchsorted, np.array([0.0, 1.0, 1.0, 2.0], np.float32), x(7), reference=np.searchsorted, smooth=False)
case(ops.searchsorted, np.array([0, 1, 1, 2], np.int32), ints(7), side="right", reference=np.searchsorted)
case(ops.digitize, x(9), np.array([-1.0, 0.0, 1.0], np.float32), reference=np.digitize, smooth=False)
case(ops.isin, ints(3, 4), ints(3), reference=np.isin)
case(ops.isin, ints(3, 4), ints(3), invert=True, reference=np.isin)
