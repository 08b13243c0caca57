"""Recurrent layers over a whole sequence as one op each, so that the weight gradient is one product over all steps.

Sequences are time-major, (T, N, ...). States are kept with the first one in front, (T + 1, N, U): the state before
step t is at t, the one behind it at t + 1. float32. A mask (T, N, 1) is 1 where a step counts and 0 where the state
stays
as it is: `h_{t+1} = m h' + (1 - m) h_t`, so the gradient goes through the step or past it.
"""

from __future__ import annotations

from typing import Any

from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.ops.base import scalar
from nacre.ops.lowering import SUM, lower_elementwise, lower_reduce
from nacre.ops.movement import strided_copy
from nacre.ops.products import lower_grad_w


def _at(x: Any, t: int) -> Any:
    """x[t] of a time-major operand, as the same memory."""
    shape = x.shape[1:]
    size = 4
    for n in shape:
        size *= n
    return x.view(shape, t * size)


def _add(k: Any, a: Any, b: Any, y: Any) -> None:
    lower_elementwise(k, [("add", (0, 1))], [2], [a, b], [y], y.shape)


def _product(k: Any, h: Any, u: Any, bias: Any, y: Any) -> None:
    m, n = y.shape
    fields = dict(M=m, K=h.shape[1], N=n, bias=int(bias is not None), act=0, ldx=0, x0=0, ldy=0, y0=0)
    k.dense(fields, h, u, bias, y)


def _product_back(k: Any, dz: Any, u: Any, dh: Any) -> None:
    m, n = dz.shape
    k.dense_grad_x(dict(M=m, N=n, K=dh.shape[1], mask=0, ldy=0, y0=0, ldx=0, x0=0, ldh=0, h0=0), dz, u, None, dh)


def _keep_masked(k: Any, mask: Any, t: int, *states: Any) -> None:
    """The states behind step t, where it is masked, are those before it."""
    for s in states:
        new = _at(s, t + 1)
        lower_elementwise(k, [("select", (0, 1, 2))], [3], [_at(mask, t), new, _at(s, t)], [new], new.shape)


def _through(k: Any, mask: Any, t: int, *gradients: Any) -> list[Any]:
    """The part of the gradients that goes through step t: all of it, or that of the steps that count."""
    if mask is None:
        return list(gradients)
    parts = []
    for d in gradients:
        part = k.temp(d.shape, d.dtype)
        lower_elementwise(k, [("select", (0, 1, ("const", 0.0)))], [2], [_at(mask, t), d], [part], d.shape)
        parts.append(part)
    return parts


def _joined(k: Any, mask: Any, t: int, through: Any, outside: Any, now: Any, y: Any) -> None:
    """y = the gradient through step t, plus what the outputs ask for, plus what went past the step: it was masked."""
    if mask is None:
        _add(k, through, outside, y)
        return
    steps = [("add", (0, 1)), ("select", (2, ("const", 0.0), 3)), ("add", (4, 5))]
    lower_elementwise(k, steps, [6], [through, outside, _at(mask, t), now], [y], y.shape)


def _checked(x: Spec, u: Spec, h: Spec, gates: int, what: str) -> tuple[int, int, int]:
    t, n, wide = x.shape
    units = u.shape[0]
    if wide != gates * units or u.shape != (units, wide) or h.shape != (n, units) or x.dtype != "float32":
        raise ValueError(f"{what}: shapes {x.shape} ({x.dtype}), {u.shape} and {h.shape} do not fit")
    return t, n, units


_NEAR = 1 << 20  # bytes of recurrent weights that stay in a core's L2 from step to step


def _near(u: Any) -> bool:
    """Whether blocks of rows go through all steps by themselves: the weights are near for each of them."""
    return u.nbytes <= _NEAR  # type: ignore[no-any-return]


def _walk(x: Any, mask: Any, u: Any, gates: Any) -> dict[str, int]:
    steps, n, _ = x.shape
    return dict(T=steps, N=n, U=u.shape[0], masked=int(mask is not None), keeps=int(gates is not None))


def _turned(k: Any, u: Any) -> Any:
    """The transposed weights."""
    rows, columns = u.shape
    turned = k.temp((columns, rows), u.dtype)
    strided_copy(k, u, turned, (columns, rows), (1, columns))
    return turned


class LSTMSequence(Op):
    """States of an LSTM: x (T, N, 4U) with input product and bias, u (U, 4U), h, c (N, U) -> hs, cs (T + 1, N, U).

    Gates in the order i, f, c, o; `gates` (T, N, 4U) keeps their values for the way back.
    """

    outputs = ("hs", "cs", "gates")
    spare = ("gates",)

    def infer(self, x: Spec, u: Spec, h: Spec, c: Spec) -> tuple[Spec, Spec, Spec]:
        t, n, units = _checked(x, u, h, 4, "LSTM")
        states = Spec((t + 1, n, units), x.dtype)
        return states, states, x

    def lower(self, k: Any, x: Any, u: Any, h: Any, c: Any, hs: Any, cs: Any, gates: Any) -> None:
        self._lower(k, x, u, h, c, None, hs, cs, gates)

    def _lower(self, k: Any, x: Any, u: Any, h: Any, c: Any, mask: Any, hs: Any, cs: Any, gates: Any) -> None:
        steps, n, wide = x.shape
        if _near(u):
            k.lstm_sequence(_walk(x, mask, u, gates), x, u, h, c, mask, hs, cs, gates)
            return
        gates = gates or k.temp(x.shape, x.dtype)
        k.copy(h, _at(hs, 0))
        k.copy(c, _at(cs, 0))
        for t in range(steps):
            product, z = k.temp((n, wide), x.dtype), k.temp((n, wide), x.dtype)
            _product(k, _at(hs, t), u, None, product)
            _add(k, product, _at(x, t), z)
            k.lstm_cell(dict(M=n, U=wide // 4), z, _at(cs, t), _at(hs, t + 1), _at(cs, t + 1), _at(gates, t))
            if mask is not None:
                _keep_masked(k, mask, t, hs, cs)

    def grad(self, u: Any, hs: Any, cs: Any, gates: Any, dhs: Any, dcs: Any) -> Any:
        return LSTMSequenceGrad()(u, hs, cs, gates, dhs, dcs)


class MaskedLSTMSequence(LSTMSequence):
    """LSTMSequence of which single steps are masked: a fifth input (T, N, 1)."""

    def infer(self, x: Spec, u: Spec, h: Spec, c: Spec, mask: Spec) -> tuple[Spec, Spec, Spec]:  # type: ignore[override]
        return LSTMSequence.infer(self, x, u, h, c)

    def lower(  # type: ignore[override]
        self, k: Any, x: Any, u: Any, h: Any, c: Any, mask: Any, hs: Any, cs: Any, gates: Any
    ) -> None:
        self._lower(k, x, u, h, c, mask, hs, cs, gates)

    def grad(self, u: Any, mask: Any, hs: Any, cs: Any, gates: Any, dhs: Any, dcs: Any) -> Any:  # type: ignore[override]
        return (*MaskedLSTMSequenceGrad()(u, hs, cs, gates, dhs, dcs, mask), None)


class LSTMSequenceGrad(Op):
    """The gradients of LSTMSequence's inputs: dx (T, N, 4U), du (U, 4U), dh, dc (N, U)."""

    outputs = ("dx", "du", "dh", "dc")

    def infer(self, u: Spec, hs: Spec, cs: Spec, gates: Spec, dhs: Spec, dcs: Spec) -> tuple[Spec, Spec, Spec, Spec]:
        state = Spec(hs.shape[1:], hs.dtype)
        return gates, u, state, state

    def lower(
        self, k: Any, u: Any, hs: Any, cs: Any, gates: Any, dhs: Any, dcs: Any, dx: Any, du: Any, dh: Any, dc: Any
    ) -> None:
        self._lower(k, u, hs, cs, gates, dhs, dcs, None, dx, du, dh, dc)

    def _lower(
        self, k: Any, u: Any, hs: Any, cs: Any, gates: Any, dhs: Any, dcs: Any, mask: Any, dx: Any, du: Any, dh: Any,
        dc: Any,
    ) -> None:  # fmt: skip
        steps, n, wide = gates.shape
        units, rows = wide // 4, steps * n
        if _near(u):
            k.lstm_sequence_grad(_walk(gates, mask, u, gates), _turned(k, u), cs, gates, dhs, dcs, mask, dx, dh, dc)
            return lower_grad_w(k, rows, units, wide, hs.view((rows, units)), dx.view((rows, wide)), du)
        now, cell = _at(dhs, steps), _at(dcs, steps)
        for t in reversed(range(steps)):
            before = k.temp((n, units), hs.dtype)
            fields = dict(M=n, U=units)
            of_h, of_c = _through(k, mask, t, now, cell)
            k.lstm_cell_grad(fields, _at(gates, t), _at(cs, t), _at(cs, t + 1), of_h, of_c, _at(dx, t), before)
            product = k.temp((n, units), hs.dtype)
            _product_back(k, _at(dx, t), u, product)
            earlier = dh if t == 0 else k.temp((n, units), hs.dtype)
            earlier_cell = dc if t == 0 else k.temp((n, units), hs.dtype)
            _joined(k, mask, t, product, _at(dhs, t), now, earlier)
            _joined(k, mask, t, before, _at(dcs, t), cell, earlier_cell)
            now, cell = earlier, earlier_cell
        lower_grad_w(k, rows, units, wide, hs.view((rows, units)), dx.view((rows, wide)), du)


class MaskedLSTMSequenceGrad(LSTMSequenceGrad):
    """The gradients of MaskedLSTMSequence's inputs but the mask."""

    def infer(  # type: ignore[override]
        self, u: Spec, hs: Spec, cs: Spec, gates: Spec, dhs: Spec, dcs: Spec, mask: Spec
    ) -> tuple[Spec, Spec, Spec, Spec]:
        return LSTMSequenceGrad.infer(self, u, hs, cs, gates, dhs, dcs)

    def lower(  # type: ignore[override]
        self, k: Any, u: Any, hs: Any, cs: Any, gates: Any, dhs: Any, dcs: Any, mask: Any, dx: Any, du: Any, dh: Any,
        dc: Any,
    ) -> None:  # fmt: skip
        self._lower(k, u, hs, cs, gates, dhs, dcs, mask, dx, du, dh, dc)


class GRUSequence(Op):
    """States of a GRU with `reset_after`: x (T, N, 3U), u (U, 3U), b (3U,), h (N, U) -> hs (T + 1, N, U).

    Gates in the order z, r, h; `gates` (T, N, 3U) keeps their values and `inner` (T, N, 3U) the products h @ u + b.
    """

    outputs = ("hs", "gates", "inner")
    spare = ("gates", "inner")

    def infer(self, x: Spec, u: Spec, b: Spec, h: Spec) -> tuple[Spec, Spec, Spec]:
        t, n, units = _checked(x, u, h, 3, "GRU")
        return Spec((t + 1, n, units), x.dtype), x, x

    def lower(self, k: Any, x: Any, u: Any, b: Any, h: Any, hs: Any, gates: Any, inner: Any) -> None:
        self._lower(k, x, u, b, h, None, hs, gates, inner)

    def _lower(self, k: Any, x: Any, u: Any, b: Any, h: Any, mask: Any, hs: Any, gates: Any, inner: Any) -> None:
        steps, n, wide = x.shape
        if _near(u):
            if gates is None or inner is None:
                gates = inner = None
            k.gru_sequence(_walk(x, mask, u, gates), x, u, b, h, mask, hs, gates, inner)
            return
        gates = gates or k.temp(x.shape, x.dtype)
        inner = inner or k.temp(x.shape, x.dtype)
        k.copy(h, _at(hs, 0))
        for t in range(steps):
            _product(k, _at(hs, t), u, b, _at(inner, t))
            fields = dict(M=n, U=wide // 3)
            k.gru_cell(fields, _at(x, t), _at(inner, t), _at(hs, t), _at(hs, t + 1), _at(gates, t))
            if mask is not None:
                _keep_masked(k, mask, t, hs)

    def grad(self, u: Any, hs: Any, gates: Any, inner: Any, dhs: Any) -> Any:
        return GRUSequenceGrad()(u, hs, gates, inner, dhs)


class MaskedGRUSequence(GRUSequence):
    """GRUSequence of which single steps are masked: a fifth input (T, N, 1)."""

    def infer(self, x: Spec, u: Spec, b: Spec, h: Spec, mask: Spec) -> tuple[Spec, Spec, Spec]:  # type: ignore[override]
        return GRUSequence.infer(self, x, u, b, h)

    def lower(  # type: ignore[override]
        self, k: Any, x: Any, u: Any, b: Any, h: Any, mask: Any, hs: Any, gates: Any, inner: Any
    ) -> None:
        self._lower(k, x, u, b, h, mask, hs, gates, inner)

    def grad(self, u: Any, mask: Any, hs: Any, gates: Any, inner: Any, dhs: Any) -> Any:  # type: ignore[override]
        return (*MaskedGRUSequenceGrad()(u, hs, gates, inner, dhs, mask), None)


class GRUSequenceGrad(Op):
    """The gradients of GRUSequence's inputs: dx (T, N, 3U), du (U, 3U), db (3U,), dh (N, U)."""

    outputs = ("dx", "du", "db", "dh")

    def infer(self, u: Spec, hs: Spec, gates: Spec, inner: Spec, dhs: Spec) -> tuple[Spec, Spec, Spec, Spec]:
        return gates, u, Spec((u.shape[1],), u.dtype), Spec(hs.shape[1:], hs.dtype)

    def lower(
        self, k: Any, u: Any, hs: Any, gates: Any, inner: Any, dhs: Any, dx: Any, du: Any, db: Any, dh: Any
    ) -> None:
        self._lower(k, u, hs, gates, inner, dhs, None, dx, du, db, dh)

    def _lower(
        self, k: Any, u: Any, hs: Any, gates: Any, inner: Any, dhs: Any, mask: Any, dx: Any, du: Any, db: Any, dh: Any
    ) -> None:
        steps, n, wide = gates.shape
        units, rows = wide // 3, steps * n
        d_inner = k.temp(gates.shape, gates.dtype)
        if _near(u):
            k.gru_sequence_grad(
                _walk(gates, mask, u, gates), _turned(k, u), hs, gates, inner, dhs, mask, dx, d_inner, dh
            )
        else:
            self._step_by_step(k, u, hs, gates, inner, dhs, mask, dx, d_inner, dh)
        flat = d_inner.view((rows, wide))
        lower_grad_w(k, rows, units, wide, hs.view((rows, units)), flat, du)
        lower_reduce(k, SUM, flat, db, 1, rows, wide)

    def _step_by_step(
        self, k: Any, u: Any, hs: Any, gates: Any, inner: Any, dhs: Any, mask: Any, dx: Any, d_inner: Any, dh: Any
    ) -> None:
        steps, n, wide = gates.shape
        units = wide // 3
        now = _at(dhs, steps)
        for t in reversed(range(steps)):
            direct = k.temp((n, units), hs.dtype)
            fields = dict(M=n, U=units)
            (of_h,) = _through(k, mask, t, now)
            k.gru_cell_grad(fields, _at(gates, t), _at(inner, t), _at(hs, t), of_h, _at(dx, t), _at(d_inner, t), direct)
            product = k.temp((n, units), hs.dtype)
            _product_back(k, _at(d_inner, t), u, product)
            both = k.temp((n, units), hs.dtype)
            _add(k, direct, product, both)
            earlier = dh if t == 0 else k.temp((n, units), hs.dtype)
            _joined(k, mask, t, both, _at(dhs, t), now, earlier)
            now = earlier


class MaskedGRUSequenceGrad(GRUSequenceGrad):
    """The gradients of MaskedGRUSequence's inputs but the mask."""

    def infer(  # type: ignore[override]
        self, u: Spec, hs: Spec, gates: Spec, inner: Spec, dhs: Spec, mask: Spec
    ) -> tuple[Spec, Spec, Spec, Spec]:
        return GRUSequenceGrad.infer(self, u, hs, gates, inner, dhs)

    def lower(  # type: ignore[override]
        self, k: Any, u: Any, hs: Any, gates: Any, inner: Any, dhs: Any, mask: Any, dx: Any, du: Any, db: Any, dh: Any
    ) -> None:
        self._lower(k, u, hs, gates, inner, dhs, mask, dx, du, db, dh)


# What follows the sum of a simple step, and its slope by the value: instructions over (gradient, value), number 2 on.
_AFTER: dict[str, tuple[str, list[Any]]] = {
    "tanh": ("tanh", [("mul", (1, 1)), ("sub", (("const", 1.0), 2)), ("mul", (0, 3))]),
    "relu": ("relu", [("relu_grad", (0, 1))]),
    "linear": ("", []),
}
ACTIVATIONS = tuple(_AFTER)


class SimpleSequence(Op):
    """States of a simple recurrent layer, `h' = activation(x + h @ u)`: x (T, N, U), u (U, U), h (N, U), mask (T, N, 1)
    or without axes for none -> hs (T + 1, N, U)."""

    activation: str  # a name of ACTIVATIONS

    outputs = ("hs",)

    def infer(self, x: Spec, u: Spec, h: Spec, mask: Spec) -> Spec:
        t, n, units = _checked(x, u, h, 1, "SimpleRNN")
        return Spec((t + 1, n, units), x.dtype)

    def lower(self, k: Any, x: Any, u: Any, h: Any, mask: Any, hs: Any) -> None:
        steps, n, units = x.shape
        k.copy(h, _at(hs, 0))
        after, _ = _AFTER[self.activation]
        for t in range(steps):
            product = k.temp((n, units), x.dtype)
            _product(k, _at(hs, t), u, None, product)
            operands = [product, _at(x, t), *((_at(mask, t), _at(hs, t)) if mask.shape else ())]
            code: list[Any] = [("add", (0, 1))]
            value = len(operands)
            if after:
                code.append((after, (value,)))
                value += 1
            if mask.shape:
                code.append(("select", (2, value, 3)))
                value += 1
            lower_elementwise(k, code, [value], operands, [_at(hs, t + 1)], (n, units))

    def grad(self, u: Any, mask: Any, hs: Any, dhs: Any) -> Any:
        return (*SimpleSequenceGrad(self.activation)(u, mask, hs, dhs), None)


class SimpleSequenceGrad(Op):
    """The gradients of SimpleSequence's inputs: dx (T, N, U), du (U, U), dh (N, U)."""

    activation: str

    outputs = ("dx", "du", "dh")

    def infer(self, u: Spec, mask: Spec, hs: Spec, dhs: Spec) -> tuple[Spec, Spec, Spec]:
        t, n, units = hs.shape
        return Spec((t - 1, n, units), hs.dtype), u, Spec((n, units), hs.dtype)

    def lower(self, k: Any, u: Any, mask: Any, hs: Any, dhs: Any, dx: Any, du: Any, dh: Any) -> None:
        steps, n, units = dx.shape
        given = mask if mask.shape else None
        _, slope = _AFTER[self.activation]
        now = _at(dhs, steps)
        for t in reversed(range(steps)):
            (of_h,) = _through(k, given, t, now)
            if slope:
                lower_elementwise(k, slope, [1 + len(slope)], [of_h, _at(hs, t + 1)], [_at(dx, t)], (n, units))
            else:
                k.copy(of_h, _at(dx, t))
            product = k.temp((n, units), hs.dtype)
            _product_back(k, _at(dx, t), u, product)
            earlier = dh if t == 0 else k.temp((n, units), hs.dtype)
            _joined(k, given, t, product, _at(dhs, t), now, earlier)
            now = earlier
        rows = steps * n
        lower_grad_w(k, rows, units, units, hs.view((rows, units)), dx.view((rows, units)), du)


def lstm_sequence(x: Any, u: Any, h: Any, c: Any, mask: Any = None) -> tuple[Any, Any]:
    """(hs, cs), each (T + 1, N, U), of an LSTM over x (T, N, 4U); a float mask (T, N, 1) names the steps that count."""
    if mask is None:
        hs, cs, _ = LSTMSequence()(x, u, h, c)
    else:
        hs, cs, _ = MaskedLSTMSequence()(x, u, h, c, mask)
    return hs, cs


def gru_sequence(x: Any, u: Any, b: Any, h: Any, mask: Any = None) -> Any:
    """hs (T + 1, N, U) of a GRU over x (T, N, 3U); a float mask (T, N, 1) names the steps that count."""
    if mask is None:
        return GRUSequence()(x, u, b, h)[0]
    return MaskedGRUSequence()(x, u, b, h, mask)[0]


def simple_sequence(x: Any, u: Any, h: Any, activation: str, mask: Any = None) -> Any:
    """hs (T + 1, N, U) of `h = activation(x + h @ u)` over x (T, N, U); a float mask (T, N, 1) names the steps that
    count."""
    return SimpleSequence(activation)(x, u, h, scalar(1.0) if mask is None else mask)
