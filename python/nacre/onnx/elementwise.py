"""Elementwise ops in ONNX. What it has no operator for is composed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core.spec import is_float, result_dtype
from nacre.onnx.twins import Call, Open, Value
from nacre.onnx.writer import IMAGES, Order, Writer
from nacre.ops import elementwise as e

_MOST_REPEATED = 1 << 12  # elements of a constant
Maker = Callable[..., str]  # of a writer, the dtype of the operands, and their names

# Ops that are one operator.
_SAME: dict[type, str] = {
    e.Neg: "Neg", e.Abs: "Abs", e.Sign: "Sign", e.Sqrt: "Sqrt", e.Reciprocal: "Reciprocal", e.Exp: "Exp", e.Log: "Log",
    e.Sin: "Sin", e.Cos: "Cos", e.Tan: "Tan", e.Asin: "Asin", e.Acos: "Acos", e.Atan: "Atan", e.Sinh: "Sinh",
    e.Cosh: "Cosh", e.Tanh: "Tanh", e.Asinh: "Asinh", e.Acosh: "Acosh", e.Atanh: "Atanh", e.Sigmoid: "Sigmoid",
    e.Softplus: "Softplus", e.Erf: "Erf", e.Floor: "Floor", e.Ceil: "Ceil", e.Isnan: "IsNaN", e.Isinf: "IsInf",
    e.BitwiseNot: "BitwiseNot", e.Add: "Add", e.Sub: "Sub", e.Mul: "Mul", e.Div: "Div", e.Pow: "Pow", e.Max: "Max",
    e.Min: "Min", e.Eq: "Equal", e.Lt: "Less", e.Le: "LessOrEqual", e.Gt: "Greater", e.Ge: "GreaterOrEqual",
    e.BitwiseAnd: "BitwiseAnd", e.BitwiseOr: "BitwiseOr", e.BitwiseXor: "BitwiseXor", e.Copy: "Identity",
    e.StopGradient: "Identity",
}  # fmt: skip
_LOGICAL: dict[type, str] = {e.LogicalNot: "Not", e.LogicalAnd: "And", e.LogicalOr: "Or", e.LogicalXor: "Xor"}
# Ops that take booleans and bytes as they are; those of others are computed in int32.
_ANY = (e.Copy, e.StopGradient)
_BYTES = (*_ANY, e.BitwiseNot, e.BitwiseAnd, e.BitwiseOr, e.BitwiseXor)


def _number(w: Writer, dtype: str, number: float) -> str:
    return w.constant(number, dtype)


def _expm1(w: Writer, dtype: str, x: str) -> str:
    """Around 0 as 2 t / (1 - t), t = tanh(x / 2), which keeps all digits."""
    one, half = _number(w, dtype, 1), _number(w, dtype, 0.5)
    t = w("Tanh", w("Mul", x, half))
    near = w("Div", w("Add", t, t), w("Sub", one, t))
    return str(w("Where", w("Less", w("Abs", x), half), near, w("Sub", w("Exp", x), one)))


def _log1p(w: Writer, dtype: str, x: str) -> str:
    """Around 0 as 2 atanh(x / (2 + x)), which keeps all digits."""
    one, half, two = (_number(w, dtype, n) for n in (1, 0.5, 2))
    near = w("Mul", two, w("Atanh", w("Div", x, w("Add", x, two))))
    return str(w("Where", w("Less", w("Abs", x), half), near, w("Log", w("Add", x, one))))


def _log_base(base: float) -> Maker:
    return lambda w, dtype, x: w("Mul", w("Log", x), _number(w, dtype, 1 / math.log(base)))


def _round(w: Writer, dtype: str, x: str) -> str:
    return str(w("Round", x)) if is_float(dtype) else x


def _trunc(w: Writer, dtype: str, x: str) -> str:
    below = w("Less", x, _number(w, dtype, 0))
    return str(w("Where", below, w("Ceil", x), w("Floor", x))) if is_float(dtype) else x


def _isfinite(w: Writer, dtype: str, x: str) -> str:
    return str(w("Not", w("Or", w("IsNaN", x), w("IsInf", x))))


def _relu(w: Writer, dtype: str, x: str) -> str:
    return str(w("Relu", x) if is_float(dtype) else w("Max", x, _number(w, dtype, 0)))


def _squared_deviation(w: Writer, dtype: str, x: str, mean: str) -> str:
    d = w("Sub", x, mean)
    return str(w("Mul", d, d))


def _mod(w: Writer, dtype: str, a: str, b: str) -> str:
    """With the sign of b."""
    if not is_float(dtype):
        return str(w("Mod", a, b))
    zero = _number(w, dtype, 0)
    r = w("Mod", a, b, fmod=1)
    other = w("And", w("Not", w("Equal", r, zero)), w("Xor", w("Less", r, zero), w("Less", b, zero)))
    return str(w("Where", other, w("Add", r, b), r))


def _floor_div(w: Writer, dtype: str, a: str, b: str) -> str:
    if is_float(dtype):
        return str(w("Floor", w("Div", a, b)))
    return str(w("Div", w("Sub", a, w("Mod", a, b)), b))


def _negative(w: Writer, dtype: str, x: str) -> str:
    """Whether the sign is one, also that of zero."""
    zero = _number(w, dtype, 0)
    return str(w("Or", w("Less", x, zero), w("Less", w("Reciprocal", x), zero)))


def _atan2(w: Writer, dtype: str, a: str, b: str) -> str:
    zero = _number(w, dtype, 0)
    turn = w("Where", _negative(w, dtype, a), _number(w, dtype, -math.pi), _number(w, dtype, math.pi))
    nothing = w("And", w("Equal", a, zero), w("Equal", b, zero))
    slope = w("Where", nothing, zero, w("Div", a, b))
    return str(w("Add", w("Atan", slope), w("Where", _negative(w, dtype, b), turn, zero)))


def _hypot(w: Writer, dtype: str, a: str, b: str) -> str:
    return str(w("Sqrt", w("Add", w("Mul", a, a), w("Mul", b, b))))


def _logaddexp(w: Writer, dtype: str, a: str, b: str) -> str:
    same = w("Equal", a, b)  # two infinities have no distance
    distance = w("Where", same, _number(w, dtype, 0), w("Neg", w("Abs", w("Sub", a, b))))
    return str(w("Add", w("Max", a, b), w("Softplus", distance)))


_COMPOSED: dict[type, Maker] = {
    e.Square: lambda w, dtype, x: w("Mul", x, x),
    e.Rsqrt: lambda w, dtype, x: w("Reciprocal", w("Sqrt", x)),
    e.Exp2: lambda w, dtype, x: w("Exp", w("Mul", x, _number(w, dtype, math.log(2)))),
    e.Expm1: _expm1,
    e.Log1p: _log1p,
    e.Log2: _log_base(2),
    e.Log10: _log_base(10),
    e.Round: _round,
    e.Trunc: _trunc,
    e.Isfinite: _isfinite,
    e.Relu: _relu,
    e.Ne: lambda w, dtype, a, b: w("Not", w("Equal", a, b)),
    e.SquaredDeviation: _squared_deviation,
    e.Mod: _mod,
    e.FloorDiv: _floor_div,
    e.Atan2: _atan2,
    e.Hypot: _hypot,
    e.Logaddexp: _logaddexp,
    e.ReluGrad: lambda w, dtype, d, y: w("Where", w("Greater", y, _number(w, dtype, 0)), d, _number(w, dtype, 0)),
    e.Clip: lambda w, dtype, x, low, high: w("Min", w("Max", x, low), high),
}


def order_of(values: list[Value], y: Value) -> Order:
    """The order of axes to compute y in: that of images in ONNX where one is there in it, and the others can be."""
    there = any(v.rank == 4 and IMAGES in v.names and v.natural not in v.names for v in values)
    fits = y.rank == 4 and all(v.rank in (0, 4) or v.arrays is not None for v in values)
    return IMAGES if there and fits else y.natural


def operand(w: Writer, value: Value, dtype: str, order: Order) -> str:
    """The name of a value as an operand of that dtype of a result with axes in `order`."""
    if value.rank == len(order):
        name = w.of(value, order)
    elif value.rank and order != tuple(range(len(order))):  # a constant of fewer axes
        array = w.array(value)
        lead = len(order) - value.rank
        if array is None:
            wide = w("Unsqueeze", w.of(value), w.ints(*range(lead)))
            name = w("Transpose", wide, perm=list(order))
        else:
            wide = array.reshape((1,) * lead + array.shape).transpose(order)
            name = w.constant(wide, None, w.frozen.get(id(array), "constant"))
    else:
        name = w.of(value)
    return name if value.dtype == dtype else w.cast(name, dtype)


def _map(make: Maker | str) -> Callable[[Writer, Call], None]:
    def convert(w: Writer, c: Call) -> None:
        op, y = c.ops[0], c.y[0]
        dtype = result_dtype(*[x.dtype for x in c.x])
        if getattr(op, "result", "") == "float" and not is_float(dtype):
            dtype = "float32"
        if type(op) in _LOGICAL:
            dtype = "bool"
        elif type(op) in (e.Isnan, e.Isinf, e.Isfinite) and not is_float(dtype):
            dtype = "float32"
        elif (dtype == "bool" and type(op) not in _ANY) or (dtype == "uint8" and type(op) not in _BYTES):
            dtype = "int32"
        order = order_of(c.x, y)
        names = [operand(w, x, dtype, order) for x in c.x]
        name = w(make, *names) if isinstance(make, str) else make(w, dtype, *names)
        gives = "bool" if getattr(op, "result", "") == "bool" else dtype
        w.put(y, name if gives == y.dtype else w.cast(name, y.dtype), order)

    return convert


def _cast(w: Writer, c: Call) -> None:
    """Floats that become bytes keep to their range."""
    x, y = c.x[0], c.y[0]
    order = order_of(c.x, y)
    name = operand(w, x, x.dtype, order)
    if is_float(x.dtype) and y.dtype == "uint8":
        name = w("Clip", name, _number(w, x.dtype, 0), _number(w, x.dtype, 255))
    w.put(y, name if x.dtype == y.dtype else w.cast(name, y.dtype), order)


def _broadcast(w: Writer, c: Call) -> None:
    """A constant stays one, unless it becomes large."""
    x, y = c.x[0], c.y[0]
    array = w.array(x)
    known = array is not None and not any(isinstance(n, Open) for n in y.shape)
    if known and math.prod(y.shape) <= _MOST_REPEATED:
        y.arrays = (np.broadcast_to(array, y.shape),) * 2
    else:
        w.put(y, w("Expand", w.of(x), w.sizes(y.shape)))


def _select(w: Writer, c: Call) -> None:
    order = order_of(c.x, c.y[0])
    chosen = operand(w, c.x[0], "bool", order)
    dtype = c.y[0].dtype
    w.put(c.y[0], w.where(dtype, chosen, *[operand(w, x, dtype, order) for x in c.x[1:]]), order)


def _shift(left: bool) -> Maker:
    """By powers of two: ONNX shifts no signed numbers."""

    def make(w: Writer, dtype: str, a: str, b: str) -> str:
        power = w("Pow", w.constant(2, dtype), b)
        return str(w("Mul", a, power)) if left else _floor_div(w, dtype, a, power)

    return make


TABLE: dict[type, Callable[[Writer, Call], Any]] = {
    **{op: _map(name) for op, name in {**_SAME, **_LOGICAL}.items()},
    **{op: _map(make) for op, make in _COMPOSED.items()},
    e.ShiftLeft: _map(_shift(True)),
    e.ShiftRight: _map(_shift(False)),
    e.Cast: _cast,
    e.BroadcastTo: _broadcast,
    e.Select: _select,
}
