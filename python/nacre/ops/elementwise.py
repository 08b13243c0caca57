"""Elementwise ops: each is one instruction of the kernels' bytecode, named as the class in snake case, with its
gradient.

Shapes broadcast as in NumPy. Functions of a real number turn integers into float32; comparisons give bool."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from nacre.core.naming import to_snake_case
from nacre.core.op import Op
from nacre.core.spec import Spec, is_float, result_dtype, standardize_dtype
from nacre.ops.base import broadcast_result, scalar, value, values_of
from nacre.ops.lowering import SUM, Step, columns_of_map, lower_elementwise, lower_reduction, shared_rows


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

    def by_columns(self, *inputs: Spec) -> tuple[bool, ...]:
        return columns_of_map(len(inputs), 1, self.infer(*inputs).shape)

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


class SquaredDeviation(Binary):
    """(x - mean)^2, of which the mean over the same numbers as in `mean` will be taken, their variance.

    What would flow through the mean is the sum of deviations from it, which is nothing: it gets no gradient."""

    def infer(self, x: Spec, mean: Spec) -> Spec:
        return super().infer(x, mean)

    def steps(self, inputs: int) -> list[Step]:
        return [("sub", (0, 1)), ("square", (2,))]

    def grad(self, x: Any, mean: Any, dy: Any) -> Any:
        return Mul()(dy, Mul()(Sub()(x, mean), scalar(2.0, x.dtype))), None


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


def same_float(*xs: Any) -> list[Any]:
    """The values cast to the float dtype that holds them all."""
    return same_dtype(*map(floating, values_of(xs)))


def same_dtype(*xs: Any) -> list[Any]:
    """The values cast to the dtype that holds them all."""
    values = values_of(xs)
    dtype = result_dtype(*[x.dtype for x in values])
    return [x if x.dtype == dtype else Cast(dtype)(x) for x in values]
