"""Elementwise ops: each is one instruction of the kernels' bytecode, named as the class in snake case, with its
gradient.

Shapes broadcast as in NumPy. Functions of a real number turn integers into float32; comparisons give bool."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from nacre.core.autodiff import install_arithmetic
from nacre.core.naming import to_snake_case
from nacre.core.op import Op
from nacre.core.spec import Spec, is_float, is_int, result_dtype, standardize_dtype
from nacre.core.tensor import Tensor, install_operators
from nacre.ops.base import broadcast_result, pair, public, scalar, value, weak_dtype
from nacre.ops.lowering import SUM, Step, lower_elementwise, lower_reduction, shared_rows

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


class Elementwise(Op):
    """One instruction applied to every element. `code` is its name in the bytecode."""

    code: ClassVar[str] = ""
    result: ClassVar[str] = "same"  # "same": the common dtype of the inputs; "bool"; "float": int inputs give float32

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in cls.__dict__:
            cls.code = to_snake_case(cls.__name__)

    def infer(self, *xs: Any, **options: Any) -> Spec:
        shape = xs[0].shape if len(xs) == 1 else broadcast_result(self.code, [x.shape for x in xs])
        return Spec(shape, self.out_dtype(*xs))

    def out_dtype(self, *xs: Any, **options: Any) -> str:
        if self.result == "bool":
            return "bool"
        dtype = xs[0].dtype if len(xs) == 1 else result_dtype(*[x.dtype for x in xs])
        return "float32" if self.result == "float" and not is_float(dtype) else dtype

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...] | None:
        return shared_rows(inputs, self.infer(*inputs).shape)

    def steps(self, inputs: int) -> list[Step]:
        """The bytecode, for fusion: see `lowering.Step`."""
        return [(self.code, tuple(range(inputs)))]

    def lower(self, k: Any, *operands: Any) -> None:
        *xs, y = operands
        lower_elementwise(k, self.steps(len(xs)), [len(xs) + len(self.steps(len(xs))) - 1], xs, [y], y.shape)


class Unary(Elementwise):
    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape, self.out_dtype(x))


class Binary(Elementwise):
    def infer(self, a: Spec, b: Spec) -> Spec:
        shape = a.shape if a.shape == b.shape else broadcast_result(self.code, (a.shape, b.shape))
        return Spec(shape, self.out_dtype(a, b))


def unbroadcast(dy: Any, x: Any) -> Any:
    """The gradient of an input that was broadcast to the shape of `dy`: summed over the axes that it was repeated
    on."""
    return dy if dy.shape == x.shape else SumTo(x.shape)(dy)


# --- dtype and shape ----------------------------------------------------------------------------------------------


class Cast(Unary):
    """The same numbers as another dtype; floats to ints round toward zero."""

    dtype: str
    code = "copy"

    def out_dtype(self, x: Spec) -> str:
        return self.dtype

    def steps(self, inputs: int) -> list[Step]:
        return [("ne", (0, ("const", 0.0)))] if self.dtype == "bool" else [("copy", (0,))]

    def grad(self, x: Any, dy: Any) -> Any:
        return Cast(x.dtype)(dy) if dy.dtype != x.dtype else dy


class BroadcastTo(Unary):
    """x repeated along axes of size 1 (and new leading axes) until it has `shape`."""

    shape: tuple[int, ...]
    code = "copy"

    def infer(self, x: Spec) -> Spec:
        if broadcast_result("broadcast_to", (x.shape, self.shape)) != self.shape:
            raise ValueError(f"broadcast_to: shape {x.shape} cannot be broadcast to {self.shape}")
        return Spec(self.shape, x.dtype)

    def grad(self, x: Any, dy: Any) -> Any:
        return SumTo(x.shape)(dy)


class SumTo(Op):
    """x summed over the axes where `shape` has size 1 (and over leading axes that `shape` lacks), times `scale`."""

    shape: tuple[int, ...]
    scale: float = 1.0

    def infer(self, x: Spec) -> Spec:
        lead = len(x.shape) - len(self.shape)
        if lead < 0 or any(s not in (1, d) for s, d in zip(self.shape, x.shape[lead:])):
            raise ValueError(f"sum: shape {x.shape} cannot be summed to {self.shape}")
        return Spec(self.shape, x.dtype)

    def lower(self, k: Any, x: Any, y: Any) -> None:
        lower_reduction(k, SUM, x, y, self.scale)

    def grad(self, x: Any, dy: Any) -> Any:
        if self.scale != 1.0:
            dy = Mul()(dy, scalar(self.scale, dy.dtype))
        return BroadcastTo(x.shape)(dy)


class Copy(Unary):
    """x itself, in memory of its own."""

    def grad(self, dy: Any) -> Any:
        return dy


class StopGradient(Unary):
    """x, through which no gradient flows."""

    code = "copy"


# --- one argument -------------------------------------------------------------------------------------------------


class Neg(Unary):
    def grad(self, dy: Any) -> Any:
        return Neg()(dy)


class Abs(Unary):
    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(dy, Sign()(x))


class Sign(Unary):
    pass


class Square(Unary):
    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(dy, Mul()(x, scalar(2.0, x.dtype)))


class Sqrt(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Div()(dy, Mul()(y, scalar(2.0, y.dtype)))


class Rsqrt(Unary):
    result = "float"

    def grad(self, x: Any, y: Any, dy: Any) -> Any:
        return Mul()(dy, Mul()(Div()(y, x), scalar(-0.5, y.dtype)))


class Reciprocal(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Neg()(Mul()(dy, Square()(y)))


class Exp(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Mul()(dy, y)


class Exp2(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Mul()(dy, Mul()(y, scalar(math.log(2.0), y.dtype)))


class Expm1(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Mul()(dy, Add()(y, scalar(1.0, y.dtype)))


class Log(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, x)


class Log1p(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, Add()(x, scalar(1.0, x.dtype)))


class Log2(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, Mul()(x, scalar(math.log(2.0), x.dtype)))


class Log10(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, Mul()(x, scalar(math.log(10.0), x.dtype)))


class Sin(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(dy, Cos()(x))


class Cos(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Neg()(Mul()(dy, Sin()(x)))


class Tan(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Mul()(dy, Add()(Square()(y), scalar(1.0, y.dtype)))


def _one_minus_square(x: Any) -> Any:
    return Sub()(scalar(1.0, x.dtype), Square()(x))


class Asin(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, Sqrt()(_one_minus_square(x)))


class Acos(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Neg()(Div()(dy, Sqrt()(_one_minus_square(x))))


class Atan(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, Add()(Square()(x), scalar(1.0, x.dtype)))


class Sinh(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(dy, Cosh()(x))


class Cosh(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(dy, Sinh()(x))


class Tanh(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Mul()(dy, _one_minus_square(y))


class Asinh(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, Sqrt()(Add()(Square()(x), scalar(1.0, x.dtype))))


class Acosh(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, Sqrt()(Sub()(Square()(x), scalar(1.0, x.dtype))))


class Atanh(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Div()(dy, _one_minus_square(x))


class Sigmoid(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Mul()(dy, Mul()(y, Sub()(scalar(1.0, y.dtype), y)))


class Softplus(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(dy, Sigmoid()(x))


class Relu(Unary):
    def grad(self, y: Any, dy: Any) -> Any:
        return ReluGrad()(dy, y)


class Erf(Unary):
    result = "float"

    def grad(self, x: Any, dy: Any) -> Any:
        return Mul()(dy, Mul()(Exp()(Neg()(Square()(x))), scalar(2.0 / math.sqrt(math.pi), x.dtype)))


class Erfinv(Unary):
    result = "float"

    def grad(self, y: Any, dy: Any) -> Any:
        return Mul()(dy, Mul()(Exp()(Square()(y)), scalar(math.sqrt(math.pi) / 2.0, y.dtype)))


class Floor(Unary):
    result = "float"


class Ceil(Unary):
    result = "float"


class Round(Unary):
    """Halves go to the even neighbour."""


class Trunc(Unary):
    pass


class Isnan(Unary):
    result = "bool"


class Isinf(Unary):
    result = "bool"


class Isfinite(Unary):
    result = "bool"


class LogicalNot(Unary):
    result = "bool"


class BitwiseNot(Unary):
    def steps(self, inputs: int) -> list[Step]:
        return [("bitwise_not", (0,))]


# --- two arguments ------------------------------------------------------------------------------------------------


class Add(Binary):
    def grad(self, a: Any, b: Any, dy: Any) -> Any:
        return lambda: unbroadcast(dy, a), lambda: unbroadcast(dy, b)


class Sub(Binary):
    def grad(self, a: Any, b: Any, dy: Any) -> Any:
        return lambda: unbroadcast(dy, a), lambda: unbroadcast(Neg()(dy), b)


class Mul(Binary):
    def grad(self, a: Any, b: Any, dy: Any) -> Any:
        return lambda: unbroadcast(Mul()(dy, b), a), lambda: unbroadcast(Mul()(dy, a), b)


class Div(Binary):
    """a / b; integers are divided as float32."""

    result = "float"

    def grad(self, a: Any, b: Any, y: Any, dy: Any) -> Any:
        return lambda: unbroadcast(Div()(dy, b), a), lambda: unbroadcast(Neg()(Mul()(Div()(dy, b), y)), b)


class Pow(Binary):
    def grad(self, a: Any, b: Any, y: Any, dy: Any) -> Any:
        def d_base() -> Any:
            exponent = Sub()(b, scalar(1.0, b.dtype))
            slope = Select()(Eq()(b, scalar(0.0, b.dtype)), scalar(0.0, a.dtype), Mul()(b, Pow()(a, exponent)))
            return unbroadcast(Mul()(dy, slope), a)

        def d_exponent() -> Any:
            safe = Select()(Gt()(a, scalar(0.0, a.dtype)), a, scalar(1.0, a.dtype))
            return unbroadcast(Mul()(dy, Mul()(y, Log()(safe))), b)

        return d_base, d_exponent


def _share(dy: Any, chosen: Any, other: Any, wins: Any) -> Any:
    """dy where `chosen` wins, half of it at a tie."""
    half = Mul()(dy, scalar(0.5, dy.dtype))
    zero = scalar(0.0, dy.dtype)
    return unbroadcast(Select()(Eq()(chosen, other), half, Select()(wins, dy, zero)), chosen)


class Max(Binary):
    """The larger one, NaN if either is; at a tie the gradient is shared equally."""

    def grad(self, a: Any, b: Any, dy: Any) -> Any:
        return lambda: _share(dy, a, b, Gt()(a, b)), lambda: _share(dy, b, a, Gt()(b, a))


class Min(Binary):
    """The smaller one, NaN if either is; at a tie the gradient is shared equally."""

    def grad(self, a: Any, b: Any, dy: Any) -> Any:
        return lambda: _share(dy, a, b, Lt()(a, b)), lambda: _share(dy, b, a, Lt()(b, a))


class FloorDiv(Binary):
    pass


class Mod(Binary):
    def grad(self, a: Any, b: Any, dy: Any) -> Any:
        return lambda: unbroadcast(dy, a), lambda: unbroadcast(Neg()(Mul()(dy, FloorDiv()(a, b))), b)


class Atan2(Binary):
    result = "float"

    def grad(self, a: Any, b: Any, dy: Any) -> Any:
        scaled = Div()(dy, Add()(Square()(a), Square()(b)))
        return lambda: unbroadcast(Mul()(scaled, b), a), lambda: unbroadcast(Neg()(Mul()(scaled, a)), b)


class Hypot(Binary):
    result = "float"

    def grad(self, a: Any, b: Any, y: Any, dy: Any) -> Any:
        scaled = Div()(dy, y)
        return lambda: unbroadcast(Mul()(scaled, a), a), lambda: unbroadcast(Mul()(scaled, b), b)


class Logaddexp(Binary):
    """log(exp(a) + exp(b)) without overflow."""

    result = "float"

    def grad(self, a: Any, b: Any, y: Any, dy: Any) -> Any:
        return (
            lambda: unbroadcast(Mul()(dy, Exp()(Sub()(a, y))), a),
            lambda: unbroadcast(Mul()(dy, Exp()(Sub()(b, y))), b),
        )


class Eq(Binary):
    result = "bool"


class Ne(Binary):
    result = "bool"


class Lt(Binary):
    result = "bool"


class Le(Binary):
    result = "bool"


class Gt(Binary):
    result = "bool"


class Ge(Binary):
    result = "bool"


class LogicalAnd(Binary):
    result = "bool"


class LogicalOr(Binary):
    result = "bool"


class LogicalXor(Binary):
    result = "bool"


class BitwiseAnd(Binary):
    pass


class BitwiseOr(Binary):
    pass


class BitwiseXor(Binary):
    pass


class ShiftLeft(Binary):
    pass


class ShiftRight(Binary):
    pass


class ReluGrad(Binary):
    """d where y > 0, else 0: the gradient of relu, from its output."""

    outputs = ("dx",)

    def infer(self, d: Spec, y: Spec) -> Spec:
        return Spec(broadcast_result("relu_grad", (d.shape, y.shape)), d.dtype)

    def grad(self, y: Any, ddx: Any) -> Any:
        return ReluGrad()(ddx, y), None


# --- three arguments ----------------------------------------------------------------------------------------------


class Select(Elementwise):
    """a where cond, else b."""

    def infer(self, cond: Spec, a: Spec, b: Spec) -> Spec:
        return Spec(broadcast_result("where", (cond.shape, a.shape, b.shape)), result_dtype(a.dtype, b.dtype))

    def grad(self, cond: Any, a: Any, b: Any, dy: Any) -> Any:
        zero = scalar(0.0, dy.dtype)
        return (
            None,
            lambda: unbroadcast(Select()(cond, dy, zero), a),
            lambda: unbroadcast(Select()(cond, zero, dy), b),
        )


class Clip(Elementwise):
    """min(max(x, lo), hi); the gradient passes where lo <= x <= hi."""

    def infer(self, x: Spec, lo: Spec, hi: Spec) -> Spec:
        return Spec(broadcast_result("clip", (x.shape, lo.shape, hi.shape)), result_dtype(x.dtype, lo.dtype, hi.dtype))

    def grad(self, x: Any, lo: Any, hi: Any, dy: Any) -> Any:
        inside = LogicalAnd()(Ge()(x, lo), Le()(x, hi))
        zero = scalar(0.0, dy.dtype)
        return (
            lambda: unbroadcast(Select()(inside, dy, zero), x),
            lambda: unbroadcast(Select()(Lt()(x, lo), dy, zero), lo),
            lambda: unbroadcast(Select()(Gt()(x, hi), dy, zero), hi),
        )


# --- helpers for other op files -----------------------------------------------------------------------------------


def cast_to(x: Any, dtype: Any) -> Any:
    """`x` as a value of `dtype`."""
    name = standardize_dtype(dtype)
    x = value(x)
    return x if x.dtype == name else Cast(name)(x)


def floating(x: Any) -> Any:
    """`x` as a value of a float dtype: integers and booleans become float32."""
    x = value(x)
    return x if is_float(x.dtype) else Cast("float32")(x)


def same_dtype(*xs: Any) -> list[Any]:
    """The values cast to the dtype that holds them all."""
    values = [value(x) for x in xs]
    dtype = result_dtype(*[x.dtype for x in values])
    return [x if x.dtype == dtype else Cast(dtype)(x) for x in values]


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
        return run(Cast("int32")(x) if x.dtype == "bool" else x)

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
            a = Cast("int32")(a)
        return run(a, b)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return public(function)


add = _binary(Add, "add", "x1 + x2, elementwise with broadcasting.")
subtract = _arithmetic(Sub, "subtract", "x1 - x2, elementwise with broadcasting.")
multiply = _binary(Mul, "multiply", "x1 * x2, elementwise with broadcasting.")
divide = _binary(Div, "divide", "x1 / x2, elementwise with broadcasting; integers divide as float32.")
true_divide = _binary(Div, "true_divide", "The same as `divide`; the operator `/`.")
floor_divide = _arithmetic(FloorDiv, "floor_divide", "The largest whole number not above x1 / x2.")
mod = _arithmetic(Mod, "mod", "The remainder of floor_divide, with the sign of x2.")
power = _arithmetic(Pow, "power", "x1 to the power of x2.")
maximum = _binary(Max, "maximum", "The larger of x1 and x2, elementwise with broadcasting; NaN if either is NaN.")
minimum = _binary(Min, "minimum", "The smaller of x1 and x2, elementwise with broadcasting; NaN if either is NaN.")
arctan2 = _binary(Atan2, "arctan2", "The angle of the point (x2, x1), in radians from -pi to pi.")
hypot = _binary(Hypot, "hypot", "sqrt(x1**2 + x2**2).")
logaddexp = _binary(Logaddexp, "logaddexp", "log(exp(x1) + exp(x2)) without overflow.")
equal = _binary(Eq, "equal", "Whether x1 == x2, elementwise with broadcasting: bool.")
not_equal = _binary(Ne, "not_equal", "Whether x1 != x2, elementwise with broadcasting: bool.")
less = _binary(Lt, "less", "Whether x1 < x2, elementwise with broadcasting: bool.")
less_equal = _binary(Le, "less_equal", "Whether x1 <= x2, elementwise with broadcasting: bool.")
greater = _binary(Gt, "greater", "Whether x1 > x2, elementwise with broadcasting: bool.")
greater_equal = _binary(Ge, "greater_equal", "Whether x1 >= x2, elementwise with broadcasting: bool.")
logical_and = _binary(LogicalAnd, "logical_and", "Whether both are true (not zero): bool.")
logical_or = _binary(LogicalOr, "logical_or", "Whether one is true (not zero): bool.")
logical_xor = _binary(LogicalXor, "logical_xor", "Whether exactly one is true (not zero): bool.")

negative = _unary(Neg, "negative", "-x.")
absolute = abs = _unary(Abs, "absolute", "The absolute value of x.")
sign = _unary(Sign, "sign", "-1, 0 or 1 by the sign of x; NaN stays.")
square = _unary_number(Square, "square", "x * x.")
sqrt = _unary(Sqrt, "sqrt", "The square root of x; NaN below zero.")
rsqrt = _unary(Rsqrt, "rsqrt", "1 / sqrt(x).")
reciprocal = _unary(Reciprocal, "reciprocal", "1 / x.")
exp = _unary(Exp, "exp", "e to the power of x.")
exp2 = _unary(Exp2, "exp2", "2 to the power of x.")
expm1 = _unary(Expm1, "expm1", "exp(x) - 1, exact near zero.")
log = _unary(Log, "log", "The natural logarithm of x.")
log1p = _unary(Log1p, "log1p", "log(1 + x), exact near zero.")
log2 = _unary(Log2, "log2", "The logarithm of x to base 2.")
log10 = _unary(Log10, "log10", "The logarithm of x to base 10.")
sin = _unary(Sin, "sin", "The sine of x, in radians.")
cos = _unary(Cos, "cos", "The cosine of x, in radians.")
tan = _unary(Tan, "tan", "The tangent of x, in radians.")
arcsin = _unary(Asin, "arcsin", "The angle in radians whose sine is x.")
arccos = _unary(Acos, "arccos", "The angle in radians whose cosine is x.")
arctan = _unary(Atan, "arctan", "The angle in radians whose tangent is x.")
sinh = _unary(Sinh, "sinh", "The hyperbolic sine of x.")
cosh = _unary(Cosh, "cosh", "The hyperbolic cosine of x.")
tanh = _unary(Tanh, "tanh", "The hyperbolic tangent of x.")
arcsinh = _unary(Asinh, "arcsinh", "The inverse hyperbolic sine of x.")
arccosh = _unary(Acosh, "arccosh", "The inverse hyperbolic cosine of x.")
arctanh = _unary(Atanh, "arctanh", "The inverse hyperbolic tangent of x.")
sigmoid = _unary(Sigmoid, "sigmoid", "1 / (1 + exp(-x)).")
softplus = _unary(Softplus, "softplus", "log(1 + exp(x)).")
relu = _unary_number(Relu, "relu", "x where it is positive, else 0.")
erf = _unary(Erf, "erf", "The error function of x.")
erfinv = _unary(Erfinv, "erfinv", "The inverse of the error function.")
floor = _unary(Floor, "floor", "The largest whole number not above x.")
ceil = _unary(Ceil, "ceil", "The smallest whole number not below x.")
trunc = _unary(Trunc, "trunc", "x without its fraction.")
isnan = _unary(Isnan, "isnan", "Whether x is NaN: bool.")
isinf = _unary(Isinf, "isinf", "Whether x is infinite: bool.")
isfinite = _unary(Isfinite, "isfinite", "Whether x is neither infinite nor NaN: bool.")
logical_not = _unary(LogicalNot, "logical_not", "Whether x is false (zero): bool.")


@public
def round(x: Any, decimals: int = 0) -> Any:
    """x rounded to `decimals` digits, halves to the even neighbour."""
    x = value(x)
    if decimals == 0:
        return Round()(x)
    if not isinstance(decimals, (int, np.integer)):
        raise TypeError(f"round: expected `decimals` to be an int, got {decimals!r}")
    if abs(decimals) > 300:  # 10**decimals is no float
        return x if decimals > 0 else Mul()(x, scalar(0, x.dtype))
    factor = scalar(float(10**decimals), x.dtype if is_float(x.dtype) else "float32")
    rounded = Div()(Round()(Mul()(x, factor)), factor)
    return rounded if is_float(x.dtype) else Cast(x.dtype)(rounded)


@public
def cast(x: Any, dtype: Any) -> Any:
    """x as `dtype`; floats become ints by dropping the fraction, anything but zero is True.

    >>> cast([1.7, -1.7], "int32").tolist()
    [1, -1]
    """
    return cast_to(x, dtype)


@public
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """x limited to the range from x_min to x_max."""
    x = value(x)
    lo = scalar(x_min, weak_dtype(x_min, x.dtype)) if type(x_min) in (int, float, bool) else value(x_min)
    hi = scalar(x_max, weak_dtype(x_max, x.dtype)) if type(x_max) in (int, float, bool) else value(x_max)
    return Clip()(x, lo, hi)


@public
def nonzero(x: Any) -> tuple[Any, ...]:
    """The indices of the elements that are not zero, one int32 tensor per axis. Their number depends on values: eager
    only."""
    x = value(x)
    return tuple(Tensor(i.astype(np.int32)) for i in np.nonzero(np.asarray(x)))


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
        condition = Cast("bool")(condition)
    return Select()(condition, *pair(x1, x2))


@public
def stop_gradient(variable: Any) -> Any:
    """The value itself, through which no gradient flows."""
    return StopGradient()(value(variable))


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
            a = Cast("int32")(a)
        return run(a, b)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return public(function)


bitwise_and = _bitwise(BitwiseAnd, "bitwise_and", "The bits that are set in both.")
bitwise_or = _bitwise(BitwiseOr, "bitwise_or", "The bits that are set in one or both.")
bitwise_xor = _bitwise(BitwiseXor, "bitwise_xor", "The bits that are set in exactly one.")
left_shift = bitwise_left_shift = _bitwise(ShiftLeft, "left_shift", "x moved y bits to the left.", True)
right_shift = bitwise_right_shift = _bitwise(ShiftRight, "right_shift", "x moved y bits to the right.", True)


@public
def bitwise_not(x: Any) -> Any:
    """Every bit inverted; a boolean is negated."""
    x = value(x)
    _integers("bitwise_not", x)
    return LogicalNot()(x) if x.dtype == "bool" else BitwiseNot()(x)


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
    return BroadcastTo(x.shape)(scalar(1.0, x.dtype))


def zeros_like_value(x: Any) -> Any:
    """Zeros of the shape and dtype of `x`, without a graph of layers."""
    return BroadcastTo(x.shape)(scalar(0.0, x.dtype))


install_arithmetic(add=Add(), ones_like=ones_like_value, zeros_like=zeros_like_value)
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
        "logical_and": logical_and,
        "logical_or": logical_or,
        "logical_xor": logical_xor,
    }
)
