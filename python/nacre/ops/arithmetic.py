"""Functions of one element at a time: arithmetic, comparisons, bits, and what tensors' operators do.

Shapes broadcast as in NumPy. Functions of a real number turn integers into float32; comparisons give bool."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.autodiff import install_arithmetic
from nacre.core.op import Op
from nacre.core.spec import NUMPY, is_float, is_int, numpy_dtype, standardize_dtype
from nacre.core.tensor import Tensor, install_operators
from nacre.ops import elementwise as e
from nacre.ops.base import pair, public, python_number, scalar, stand_ins, value, values_of, weak_dtype

__all__ = [
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "cast",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "divide",
    "equal",
    "erf",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "nonzero",
    "not_equal",
    "power",
    "reciprocal",
    "relu",
    "right_shift",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "stop_gradient",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "where",
]  # fmt: skip


def _unary(op: type[Op], name: str, doc: str) -> Any:
    run = op()

    def function(x: Any) -> Any:
        return run(value(x))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return public(function)


def _unary_number(op: type[Op], name: str, doc: str) -> Any:
    """As `_unary`, where a boolean is a number first: its square is an int."""
    run = op()

    def function(x: Any) -> Any:
        x = value(x)
        return run(e.Cast("int32")(x) if x.dtype == "bool" else x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return public(function)


def _binary(op: type[Op], name: str, doc: str) -> Any:
    run = op()

    def function(x1: Any, x2: Any) -> Any:
        return run(*pair(x1, x2))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return public(function)


def _arithmetic(op: type[Op], name: str, doc: str) -> Any:
    """As `_binary`, where two booleans are numbers first: True + True is 2."""
    run = op()

    def function(x1: Any, x2: Any) -> Any:
        a, b = pair(x1, x2)
        if a.dtype == "bool" and b.dtype == "bool":
            a = e.Cast("int32")(a)
        return run(a, b)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return public(function)


add = _binary(e.Add, "add", "x1 + x2, elementwise with broadcasting; of two booleans, whether one is true.")


subtract = _arithmetic(e.Sub, "subtract", "x1 - x2, elementwise with broadcasting.")
multiply = _binary(e.Mul, "multiply", "x1 * x2, elementwise with broadcasting.")
divide = _binary(e.Div, "divide", "x1 / x2, elementwise with broadcasting; integers divide as float32.")
true_divide = _binary(e.Div, "true_divide", "The same as `divide`; the operator `/`.")
floor_divide = _arithmetic(e.FloorDiv, "floor_divide", "The largest whole number not above x1 / x2.")
mod = _arithmetic(e.Mod, "mod", "The remainder of floor_divide, with the sign of x2.")


def _cube(x: Any) -> Any:
    return e.Mul()(e.Square()(x), x)


# Plain numbers as exponents that one or two roundings give, at a thirtieth of the price: as what, and of which dtypes.
_POWERS: dict[float, tuple[Any, Any]] = {
    2: (e.Square(), lambda dtype: True),
    3: (_cube, lambda dtype: dtype in ("float32", "float64")),
    0.5: (e.Sqrt(), is_float),
    -1: (e.Reciprocal(), is_float),
}


@public
def power(x1: Any, x2: Any) -> Any:
    """x1 to the power of x2.

    >>> power(np.float32([1, 2, 3]), 2).tolist()
    [1.0, 4.0, 9.0]
    """
    a, b = pair(x1, x2)
    if type(x2) is int and x2 < 0 and is_int(b.dtype):
        raise ValueError(f"power: whole numbers have no power of {x2}; cast them to float32 first")
    if type(x2) in (int, float) and a.dtype == b.dtype:
        run, takes = _POWERS.get(x2, (None, None))
        if run is not None and takes(a.dtype):
            return run(a)
    if a.dtype == "bool" and b.dtype == "bool":
        a = e.Cast("int32")(a)
    return e.Pow()(a, b)


maximum = _binary(e.Max, "maximum", "The larger of x1 and x2, elementwise with broadcasting; NaN if either is NaN.")
minimum = _binary(e.Min, "minimum", "The smaller of x1 and x2, elementwise with broadcasting; NaN if either is NaN.")
arctan2 = _binary(e.Atan2, "arctan2", "The angle of the point (x2, x1), in radians from -pi to pi.")
hypot = _binary(e.Hypot, "hypot", "sqrt(x1**2 + x2**2).")
logaddexp = _binary(e.Logaddexp, "logaddexp", "log(exp(x1) + exp(x2)) without overflow.")
equal = _binary(e.Eq, "equal", "Whether x1 == x2, elementwise with broadcasting: bool.")
not_equal = _binary(e.Ne, "not_equal", "Whether x1 != x2, elementwise with broadcasting: bool.")
less = _binary(e.Lt, "less", "Whether x1 < x2, elementwise with broadcasting: bool.")
less_equal = _binary(e.Le, "less_equal", "Whether x1 <= x2, elementwise with broadcasting: bool.")
greater = _binary(e.Gt, "greater", "Whether x1 > x2, elementwise with broadcasting: bool.")
greater_equal = _binary(e.Ge, "greater_equal", "Whether x1 >= x2, elementwise with broadcasting: bool.")
logical_and = _binary(e.LogicalAnd, "logical_and", "Whether both are true (not zero): bool.")
logical_or = _binary(e.LogicalOr, "logical_or", "Whether one is true (not zero): bool.")
logical_xor = _binary(e.LogicalXor, "logical_xor", "Whether exactly one is true (not zero): bool.")

negative = _unary_number(e.Neg, "negative", "-x.")
absolute = abs = _unary(e.Abs, "absolute", "The absolute value of x.")
sign = _unary(e.Sign, "sign", "-1, 0 or 1 by the sign of x; NaN stays.")
square = _unary_number(e.Square, "square", "x * x.")
sqrt = _unary(e.Sqrt, "sqrt", "The square root of x; NaN below zero.")
rsqrt = _unary(e.Rsqrt, "rsqrt", "1 / sqrt(x).")
reciprocal = _unary(e.Reciprocal, "reciprocal", "1 / x.")
exp = _unary(e.Exp, "exp", "e to the power of x.")
exp2 = _unary(e.Exp2, "exp2", "2 to the power of x.")
expm1 = _unary(e.Expm1, "expm1", "exp(x) - 1, exact near zero.")
log = _unary(e.Log, "log", "The natural logarithm of x.")
log1p = _unary(e.Log1p, "log1p", "log(1 + x), exact near zero.")
log2 = _unary(e.Log2, "log2", "The logarithm of x to base 2.")
log10 = _unary(e.Log10, "log10", "The logarithm of x to base 10.")
sin = _unary(e.Sin, "sin", "The sine of x, in radians.")
cos = _unary(e.Cos, "cos", "The cosine of x, in radians.")
tan = _unary(e.Tan, "tan", "The tangent of x, in radians.")
arcsin = _unary(e.Asin, "arcsin", "The angle in radians whose sine is x.")
arccos = _unary(e.Acos, "arccos", "The angle in radians whose cosine is x.")
arctan = _unary(e.Atan, "arctan", "The angle in radians whose tangent is x.")
sinh = _unary(e.Sinh, "sinh", "The hyperbolic sine of x.")
cosh = _unary(e.Cosh, "cosh", "The hyperbolic cosine of x.")
tanh = _unary(e.Tanh, "tanh", "The hyperbolic tangent of x.")
arcsinh = _unary(e.Asinh, "arcsinh", "The inverse hyperbolic sine of x.")
arccosh = _unary(e.Acosh, "arccosh", "The inverse hyperbolic cosine of x.")
arctanh = _unary(e.Atanh, "arctanh", "The inverse hyperbolic tangent of x.")
sigmoid = _unary(e.Sigmoid, "sigmoid", "1 / (1 + exp(-x)).")
softplus = _unary(e.Softplus, "softplus", "log(1 + exp(x)).")
relu = _unary_number(e.Relu, "relu", "x where it is positive, else 0.")
erf = _unary(e.Erf, "erf", "The error function of x.")
erfinv = _unary(e.Erfinv, "erfinv", "The inverse of the error function.")
floor = _unary(e.Floor, "floor", "The largest whole number not above x.")
ceil = _unary(e.Ceil, "ceil", "The smallest whole number not below x.")
trunc = _unary(e.Trunc, "trunc", "x without its fraction.")
isnan = _unary(e.Isnan, "isnan", "Whether x is NaN: bool.")
isinf = _unary(e.Isinf, "isinf", "Whether x is infinite: bool.")
isfinite = _unary(e.Isfinite, "isfinite", "Whether x is neither infinite nor NaN: bool.")
logical_not = _unary(e.LogicalNot, "logical_not", "Whether x is false (zero): bool.")


@public
def round(x: Any, decimals: int = 0) -> Any:
    """x rounded to `decimals` digits, halves to the even neighbour."""
    x = value(x)
    if decimals == 0:
        return e.Round()(x)
    if not isinstance(decimals, (int, np.integer)):
        raise TypeError(f"round: expected `decimals` to be an int, got {decimals!r}")
    if abs(decimals) > 300:  # 10**decimals is no float
        return x if decimals > 0 else e.Mul()(x, scalar(0, x.dtype))
    factor = scalar(float(10**decimals), x.dtype if is_float(x.dtype) else "float32")
    rounded = e.Div()(e.Round()(e.Mul()(x, factor)), factor)
    return rounded if is_float(x.dtype) else e.Cast(x.dtype)(rounded)


@public
def cast(x: Any, dtype: Any) -> Any:
    """x as `dtype`; floats become ints by dropping the fraction, anything but zero is True.

    Integers narrower than nacre's own are held in a wider dtype, with the values that they would have.

    >>> cast([1.7, -1.7], "int32").tolist()
    [1, -1]
    """
    name, asked = standardize_dtype(dtype), numpy_dtype(dtype)
    if type(x) is int:
        return scalar(x, name)
    if asked.kind == "f" or asked.itemsize >= NUMPY[name].itemsize:
        return e.cast_to(x, name)
    x, limits = value(x), np.iinfo(asked)
    whole = e.cast_to(x, name)
    if is_float(x.dtype):
        return clip(whole, int(limits.min), int(limits.max))
    low, half = bitwise_and(whole, int(limits.max) - int(limits.min)), -int(limits.min)
    return subtract(bitwise_xor(low, half), half) if half else low


@public
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """x limited to the range from x_min to x_max; a bound that is None does not limit.

    >>> clip([1, 5, 9], None, 6).tolist()
    [1, 5, 6]
    """
    if x_min is None or x_max is None:
        x = maximum(x, x_min) if x_min is not None else value(x)
        return minimum(x, x_max) if x_max is not None else x
    x, x_min, x_max = value(x), python_number(x_min), python_number(x_max)
    lo = scalar(x_min, weak_dtype(x_min, x.dtype)) if type(x_min) in (int, float, bool) else values_of((x, x_min))[1]
    hi = scalar(x_max, weak_dtype(x_max, x.dtype)) if type(x_max) in (int, float, bool) else values_of((x, x_max))[1]
    return e.Clip()(x, lo, hi)


@public
def nonzero(x: Any) -> tuple[Any, ...]:
    """The indices of the elements that are not zero, one int32 tensor per axis (int64 for axes that need it). Their
    number depends on values: eager only."""
    x = value(x)
    if unknown := stand_ins([x], *(((None,), "int32" if n <= 2**31 else "int64") for n in x.shape)):
        return unknown
    found = np.nonzero(np.asarray(x))
    return tuple(Tensor(i if n > 2**31 else i.astype(np.int32)) for i, n in zip(found, x.shape))


@public
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """x1 where the condition holds, else x2, with broadcasting; with the condition alone, the indices where it
    holds."""
    if (x1 is None) != (x2 is None):
        raise ValueError("where: `x1` and `x2` either both should be `None` or both should be non-`None`")
    condition = value(condition)
    if x1 is None:
        return nonzero(condition)
    if condition.dtype != "bool":
        condition = e.Cast("bool")(condition)
    return e.Select()(condition, *pair(x1, x2))


@public
def stop_gradient(variable: Any) -> Any:
    """The value itself, through which no gradient flows."""
    return e.StopGradient()(value(variable))


def _integers(name: str, *xs: Any) -> None:
    for x in xs:
        if not (is_int(x.dtype) or x.dtype == "bool"):
            raise TypeError(f"{name}: expected integers or booleans, got dtype {x.dtype}")


def _bitwise(op: type[Op], name: str, doc: str, shift: bool = False) -> Any:
    run = op()

    def function(x: Any, y: Any) -> Any:
        a, b = pair(x, y)
        _integers(name, a, b)
        if shift and a.dtype == b.dtype == "bool":
            a = e.Cast("int32")(a)
        return run(a, b)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return public(function)


bitwise_and = _bitwise(e.BitwiseAnd, "bitwise_and", "The bits that are set in both.")
bitwise_or = _bitwise(e.BitwiseOr, "bitwise_or", "The bits that are set in one or both.")
bitwise_xor = _bitwise(e.BitwiseXor, "bitwise_xor", "The bits that are set in exactly one.")
left_shift = bitwise_left_shift = _bitwise(e.ShiftLeft, "left_shift", "x moved y bits to the left.", True)
right_shift = bitwise_right_shift = _bitwise(e.ShiftRight, "right_shift", "x moved y bits to the right.", True)


@public
def bitwise_not(x: Any) -> Any:
    """Every bit inverted; a boolean is negated."""
    x = value(x)
    _integers("bitwise_not", x)
    return e.LogicalNot()(x) if x.dtype == "bool" else e.BitwiseNot()(x)


bitwise_invert = bitwise_not


@public
def add_n(*xs: Any) -> Any:
    """The sum of all."""
    total = value(xs[0])
    for x in xs[1:]:
        total = add(total, x)
    return total


def ones_like_value(x: Any) -> Any:
    """Ones of the shape and dtype of `x`, without a graph of layers."""
    return e.BroadcastTo(x.shape)(scalar(1.0, x.dtype))


def zeros_like_value(x: Any) -> Any:
    """Zeros of the shape and dtype of `x`, without a graph of layers."""
    return e.BroadcastTo(x.shape)(scalar(0.0, x.dtype))


install_arithmetic(add=e.Add(), cast=e.cast_to, ones_like=ones_like_value, zeros_like=zeros_like_value)
install_operators(
    {
        "add": add,
        "sub": subtract,
        "mul": multiply,
        "truediv": true_divide,
        "floordiv": floor_divide,
        "mod": mod,
        "pow": power,
        "and": bitwise_and,
        "or": bitwise_or,
        "xor": bitwise_xor,
        "eq": equal,
        "ne": not_equal,
        "lt": less,
        "le": less_equal,
        "gt": greater,
        "ge": greater_equal,
        "neg": negative,
        "abs": absolute,
        "invert": bitwise_not,
        "pos": lambda x: x,
        "cast": cast,
        "round": round,
        "stop_gradient": stop_gradient,
        "logical_and": logical_and,
        "logical_or": logical_or,
        "logical_xor": logical_xor,
    }
)
