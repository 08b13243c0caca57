"""Functions of `tf.math` around the logarithm of the gamma function, in terms of `nacre.ops`, with their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre import ops

# Bernoulli's numbers over 2n (2n - 1): the series of Stirling in 1 / x, 1 / x**3, ... From 10 on, five are enough.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)
_FROM = 10


def _wide(x: Any) -> tuple[Any, Any]:
    """`x` as float64, in which the sums below keep the digits of float32; and the dtype that comes out."""
    x = ops.convert_to_tensor(x)
    dtype = x.dtype if "float" in str(x.dtype) else "float32"
    return ops.cast(x, "float64"), dtype


def _mirrored(x: Any, low: Any) -> tuple[Any, Any, Any]:
    """Of 1 - x where `low` holds, else of x: whether it is too small for Stirling's series, the factors that lead to
    where it is not (1 where none are needed), and the number there."""
    z = ops.where(low, 1.0 - x, x)
    near = ops.less(z, float(_FROM))
    return near, [ops.where(near, z + float(n), 1.0) for n in range(_FROM)], ops.where(near, z + float(_FROM), z)


def lgamma(x: Any, name: str | None = None) -> Any:
    """log |gamma(x)|; infinite where x is 0, -1, -2, ..."""
    x, dtype = _wide(x)
    low = ops.less(x, 0.5)
    _, factors, w = _mirrored(x, low)
    series = sum((c / w ** float(2 * n + 1) for n, c in enumerate(_STIRLING)), start=0.5 * math.log(2 * math.pi))
    out = (w - 0.5) * ops.log(w) - w + series - ops.log(math.prod(factors))
    inside = ops.where(low, x - ops.floor(x), 0.5)  # its sine is 0 where gamma has no value
    return ops.cast(ops.where(low, math.log(math.pi) - ops.log(ops.sin(math.pi * inside)) - out, out), dtype)


def digamma(x: Any, name: str | None = None) -> Any:
    """The derivative of `lgamma`; NaN where x is 0, -1, -2, ..."""
    x, dtype = _wide(x)
    low = ops.less_equal(x, 0.0)
    near, factors, w = _mirrored(x, low)
    before = ops.where(near, sum(1.0 / factor for factor in factors), 0.0)
    series = sum(((2 * n + 1) * c / w ** float(2 * n + 2) for n, c in enumerate(_STIRLING)), start=0.5 / w)
    out = ops.log(w) - series - before
    inside = ops.where(low, x - ops.floor(x), 0.5)
    other = out - math.pi / ops.tan(math.pi * ops.where(ops.equal(inside, 0.0), np.nan, inside))
    return ops.cast(ops.where(low, other, out), dtype)


def lbeta(x: Any, name: str | None = None) -> Any:
    """The logarithm of the beta function of the numbers along the last axis."""
    return ops.sum(lgamma(x), -1) - lgamma(ops.sum(ops.convert_to_tensor(x), -1))


def cumulative_logsumexp(
    x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False, name: Any = None
) -> Any:
    """Per position the logarithm of the sum of `exp` up to it."""
    x = ops.moveaxis(ops.convert_to_tensor(x), axis, 0)
    if exclusive:
        least = ops.full_like(x[:1], float("-inf"))
        x = ops.concatenate([x[1:], least] if reverse else [least, x[:-1]], 0)
    return ops.moveaxis(ops.associative_scan(ops.logaddexp, x, reverse=reverse, axis=0), 0, axis)


def ordered(holds: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Whether each number and the next one are in this relation."""

    def check(x: Any, name: str | None = None) -> Any:
        flat = ops.reshape(ops.convert_to_tensor(x), (-1,))
        return ops.all(holds(flat[1:], flat[:-1]))

    return check


SPECIAL: dict[str, Callable[..., Any]] = {
    "lgamma": lgamma,
    "digamma": digamma,
    "lbeta": lbeta,
    "cumulative_logsumexp": cumulative_logsumexp,
    "erfcinv": lambda x, name=None: ops.erfinv(1.0 - ops.convert_to_tensor(x)),
    "ndtri": lambda x, name=None: math.sqrt(2.0) * ops.erfinv(2.0 * ops.convert_to_tensor(x) - 1.0),
    "is_non_decreasing": ordered(ops.greater_equal),
    "is_strictly_increasing": ordered(ops.greater),
}
