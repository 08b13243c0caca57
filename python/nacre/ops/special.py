"""The rarer elementwise functions, composed of the ops in elementwise.py; and window functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core.spec import is_float, is_int, result_dtype
from nacre.core.tensor import Tensor
from nacre.ops.base import broadcast_result, pair, public, scalar, stand_ins, value
from nacre.ops.elementwise import (
    Abs,
    Add,
    Atan2,
    BroadcastTo,
    Cast,
    Div,
    Eq,
    Erf,
    Exp,
    Exp2,
    FloorDiv,
    Isnan,
    Le,
    Logaddexp,
    LogicalAnd,
    LogicalOr,
    Lt,
    Max,
    Min,
    Mod,
    Mul,
    Ne,
    Pow,
    Reciprocal,
    Select,
    Sign,
    Sin,
    Square,
    Sub,
    floating,
    same_dtype,
)
from nacre.ops.movement import reshaped
from nacre.ops.reduction import AllTo, reduced_shape

__all__ = [
    "allclose", "angle", "bartlett", "blackman", "cbrt", "conj", "conjugate", "deg2rad", "divide_no_nan", "erfc",
    "fabs",
    "fmax", "fmin", "fmod", "gcd", "hamming", "hanning", "heaviside", "i0", "imag", "isclose", "isneginf", "isposinf",
    "isreal", "kaiser", "lcm", "ldexp", "logaddexp2", "nan_to_num", "nextafter", "rad2deg", "real", "signbit", "sinc",
]  # fmt: skip


def _c(number: Any, x: Any) -> Any:
    return scalar(number, x.dtype)


@public
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """`x` with `nan` for NaN and the largest and smallest floats (or what is given) for the infinities."""
    x = value(x)
    if not is_float(x.dtype):
        return x
    info = np.finfo(x.dtype)
    top = float(info.max) if posinf is None else float(posinf)
    bottom = float(info.min) if neginf is None else float(neginf)
    y = Select()(Isnan()(x), _c(float(nan), x), x)
    y = Select()(Eq()(x, _c(math.inf, x)), _c(top, x), y)
    return Select()(Eq()(x, _c(-math.inf, x)), _c(bottom, x), y)


@public
def cbrt(x: Any) -> Any:
    """The cube root of x, also of negative numbers."""
    x = floating(x)
    return Mul()(Sign()(x), Pow()(Abs()(x), _c(1.0 / 3.0, x)))


@public
def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    x = floating(x)
    return Mul()(x, _c(math.pi / 180.0, x))


@public
def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    x = floating(x)
    return Mul()(x, _c(180.0 / math.pi, x))


@public
def fabs(x: Any) -> Any:
    """The absolute value of x as a float."""
    return Abs()(floating(x))


@public
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), 1 at 0."""
    x = floating(x)
    zero = Eq()(x, _c(0.0, x))
    at = Mul()(Select()(zero, _c(1.0, x), x), _c(math.pi, x))
    return Select()(zero, _c(1.0, x), Div()(Sin()(at), at))


# Numerical Recipes' rational bound of erfc (relative error below 1.2e-7 everywhere), as t times a power series in t.
_ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
0.17087277, )  # fmt: skip


@public
def erfc(x: Any) -> Any:
    """1 - erf(x), exact also where that is tiny."""
    x = floating(x)
    size = Abs()(x)
    t = Reciprocal()(Add()(Mul()(size, _c(0.5, x)), _c(1.0, x)))
    total = _c(_ERFC[-1], x)
    for coefficient in reversed(_ERFC[:-1]):
        total = Add()(Mul()(total, t), _c(coefficient, x))
    tail = Mul()(t, Exp()(Sub()(total, Square()(x))))
    far = Select()(Lt()(x, _c(0.0, x)), Sub()(_c(2.0, x), tail), tail)
    return Select()(Lt()(size, _c(0.5, x)), Sub()(_c(1.0, x), Erf()(x)), far)


@public
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind and order 0."""
    x = floating(x)
    size = Abs()(x)
    # Abramowitz and Stegun 9.8.1 and 9.8.2.
    near = Square()(Div()(Min()(size, _c(3.75, x)), _c(3.75, x)))
    small = _polynomial(near, (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813))
    far = Div()(_c(3.75, x), Max()(size, _c(3.75, x)))
    series = (
        0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281, -0.02057706, 0.02635537, -0.01647633, 0.00392377,
    )  # fmt: skip
    large = Mul()(Mul()(Exp()(size), Pow()(Max()(size, _c(3.75, x)), _c(-0.5, x))), _polynomial(far, series))
    return Select()(Lt()(size, _c(3.75, x)), small, large)


def _polynomial(t: Any, coefficients: tuple[float, ...]) -> Any:
    total = _c(coefficients[-1], t)
    for c in reversed(coefficients[:-1]):
        total = Add()(Mul()(total, t), _c(c, t))
    return total


@public
def signbit(x: Any) -> Any:
    """Whether x is negative, -0.0 included: bool."""
    x = value(x)
    if not is_float(x.dtype):
        return Lt()(x, _c(0, x))
    return Lt()(Select()(Eq()(x, _c(0.0, x)), Div()(_c(1.0, x), x), x), _c(0.0, x))


@public
def isposinf(x: Any) -> Any:
    """Whether x is plus infinity: bool."""
    return Eq()(floating(x), scalar(math.inf, floating(x).dtype))


@public
def isneginf(x: Any) -> Any:
    """Whether x is minus infinity: bool."""
    return Eq()(floating(x), scalar(-math.inf, floating(x).dtype))


@public
def isreal(x: Any) -> Any:
    """Whether x has no imaginary part: always True, since there are only real tensors."""
    x = value(x)
    return BroadcastTo(x.shape)(scalar(True, "bool"))


@public
def real(x: Any) -> Any:
    """The real part of x: x itself, since there are only real tensors."""
    return value(x)


@public
def imag(x: Any) -> Any:
    """The imaginary part of x: zeros, since there are only real tensors."""
    x = value(x)
    return BroadcastTo(x.shape)(scalar(0, x.dtype))


@public
def conj(x: Any) -> Any:
    """The complex conjugate of x: x itself, since there are only real tensors."""
    return value(x)


@public
def conjugate(x: Any) -> Any:
    """The complex conjugate of x: `conj` under its other name."""
    return value(x)


@public
def angle(x: Any) -> Any:
    """The angle of x in the complex plane: 0, or pi for a negative number."""
    x = floating(x)
    return Atan2()(_c(0.0, x), x)


# --- two arguments --------------------------------------------------------------------------------------------------


def _numbers(x1: Any, x2: Any) -> list[Any]:
    return same_dtype(*pair(x1, x2))


@public
def fmax(x1: Any, x2: Any) -> Any:
    """The larger of x1 and x2; a number rather than NaN."""
    a, b = _numbers(x1, x2)
    y = Max()(a, b)
    return Select()(Isnan()(a), b, Select()(Isnan()(b), a, y)) if is_float(a.dtype) else y


@public
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of x1 and x2; a number rather than NaN."""
    a, b = _numbers(x1, x2)
    y = Min()(a, b)
    return Select()(Isnan()(a), b, Select()(Isnan()(b), a, y)) if is_float(a.dtype) else y


@public
def fmod(x1: Any, x2: Any) -> Any:
    """The remainder of x1 / x2 with the sign of x1."""
    a, b = _numbers(x1, x2)
    if a.dtype == "bool":
        a, b = Cast("int32")(a), Cast("int32")(b)
    if is_int(a.dtype):  # the absolute value of the least number is out of range
        rest, zero = Mod()(a, b), _c(0, a)
        turned = LogicalAnd()(Ne()(Lt()(rest, zero), Lt()(a, zero)), Ne()(rest, zero))
        return Select()(turned, Sub()(rest, b), rest)
    return Mul()(Sign()(a), Mod()(Abs()(a), Abs()(b)))


@public
def heaviside(x1: Any, x2: Any) -> Any:
    """0 where x1 is negative, 1 where it is positive, x2 where it is 0."""
    a, b = (floating(v) for v in _numbers(x1, x2))
    y = Select()(Lt()(a, _c(0.0, a)), _c(0.0, a), Select()(Eq()(a, _c(0.0, a)), b, _c(1.0, a)))
    return Select()(Isnan()(a), a, y)


@public
def logaddexp2(x1: Any, x2: Any) -> Any:
    """log2(2**x1 + 2**x2) without overflow."""
    a, b = (floating(v) for v in _numbers(x1, x2))
    scale = math.log(2.0)
    return Mul()(Logaddexp()(Mul()(a, _c(scale, a)), Mul()(b, _c(scale, b))), _c(1.0 / scale, a))


@public
def ldexp(x1: Any, x2: Any) -> Any:
    """x1 * 2**x2."""
    a, b = floating(x1), value(x2)
    if not (is_int(b.dtype) or b.dtype == "bool"):
        raise TypeError(f"ldexp: expected an integer exponent, got dtype {b.dtype}")
    y = Mul()(a, Exp2()(Cast(a.dtype)(b)))
    return Select()(Eq()(a, _c(0.0, a)), a, y)  # where 2**x2 is infinite, too


@public
def divide_no_nan(x1: Any, x2: Any) -> Any:
    """x1 / x2, and 0 where x2 is 0."""
    a, b = (floating(v) for v in _numbers(x1, x2))
    zero = Eq()(b, _c(0, b))
    return Select()(zero, _c(0, a), Div()(a, Select()(zero, _c(1, b), b)))


def _whole(name: str, x1: Any, x2: Any) -> list[Any]:
    values = _numbers(x1, x2)
    if not is_int(values[0].dtype):
        raise TypeError(f"{name}: expected integers, got dtype {values[0].dtype}")
    return values


@public
def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisor of integers."""
    a, b = _whole("gcd", x1, x2)
    a, b = Abs()(a), Abs()(b)
    # Euclid's steps; the Fibonacci numbers are the worst case, and 92 of them fit into 64 bits.
    for _ in range(92 if a.dtype == "int64" else 46):
        done = Eq()(b, _c(0, b))
        a, b = Select()(done, a, b), Select()(done, b, Mod()(a, Select()(done, _c(1, b), b)))
    return Abs()(a)  # the absolute value of the least number is none


@public
def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple of integers."""
    a, b = _whole("lcm", x1, x2)
    divisor = gcd(a, b)
    return Mul()(FloorDiv()(Abs()(a), Max()(divisor, _c(1, divisor))), Abs()(b))


@public
def nextafter(x1: Any, x2: Any) -> Any:
    """The float next to x1 towards x2, eagerly."""
    a, b = (floating(v) for v in _numbers(x1, x2))
    spec = broadcast_result("nextafter", (a.shape, b.shape)), result_dtype(a.dtype, b.dtype)
    if unknown := stand_ins([a, b], spec):
        return unknown[0]
    return Tensor(np.asarray(np.nextafter(np.asarray(a), np.asarray(b))))


@public
def isclose(x1: Any, x2: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether abs(x1 - x2) <= atol + rtol * abs(x2): bool."""
    a, b = (floating(v) for v in _numbers(x1, x2))
    near = Le()(Abs()(Sub()(a, b)), Add()(Mul()(Abs()(b), _c(float(rtol), b)), _c(float(atol), b)))
    # Infinities are close to themselves only.
    finite = Lt()(Abs()(b), _c(math.inf, b))
    near = LogicalOr()(Eq()(a, b), LogicalAnd()(near, finite))
    return LogicalOr()(near, LogicalAnd()(Isnan()(a), Isnan()(b))) if equal_nan else near


@public
def allclose(x1: Any, x2: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether all elements are close, as `isclose` has it: one bool."""
    near = isclose(x1, x2, rtol, atol, equal_nan)
    axes = tuple(range(len(near.shape)))
    return reshaped(AllTo(reduced_shape(near.shape, axes))(near), ()) if axes else near


# --- windows --------------------------------------------------------------------------------------------------------


def _window(x: Any, name: str) -> tuple[int, Any]:
    array = np.asarray(value(x))
    if array.size != 1 or array.dtype.kind == "c" or array.item() < 0 or array.item() != int(array.item()):
        raise ValueError(f"{name}: expected the number of points, an int of at least 0, got {x!r}")
    n = int(array.item())
    return n, np.arange(n, dtype=np.float64)


def _made(y: Any) -> Tensor:
    return Tensor(np.asarray(y).astype(np.float32))


@public
def bartlett(x: Any) -> Any:
    """The triangular window of x points."""
    n, i = _window(x, "bartlett")
    return _made(np.ones(n) if n < 2 else 1 - np.abs(2 * i / (n - 1) - 1))


@public
def blackman(x: Any) -> Any:
    """The Blackman window of x points."""
    return _made(np.blackman(_window(x, "blackman")[0]))


@public
def hamming(x: Any) -> Any:
    """The Hamming window of x points."""
    return _made(np.hamming(_window(x, "hamming")[0]))


@public
def hanning(x: Any) -> Any:
    """The Hann window of x points."""
    return _made(np.hanning(_window(x, "hanning")[0]))


@public
def kaiser(x: Any, beta: Any) -> Any:
    """The Kaiser window of x points with the shape parameter beta."""
    return _made(np.kaiser(_window(x, "kaiser")[0], float(np.asarray(value(beta)))))
