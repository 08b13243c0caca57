"""LSTM and GRU over a whole sequence as one op each, so that the weight gradient is one product over all steps.

Sequences are time-major, (T, N, ...). States are kept with the first one in front, (T + 1, N, U): the state before
step t is at t, the one behind it at t + 1. float32.
"""

from __future__ import annotations

from typing import Any

from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.ops.lowering import SUM, lower_elementwise, lower_reduce
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


def _checked(x: Spec, u: Spec, h: Spec, gates: int, what: str) -> tuple[int, int, int]:
    t, n, wide = x.shape
    units = u.shape[0]
    if wide != gates * units or u.shape != (units, wide) or h.shape != (n, units) or x.dtype != "float32":
        raise ValueError(f"{what}: shapes {x.shape} ({x.dtype}), {u.shape} and {h.shape} do not fit")
    return t, n, units


class LSTMSequence(Op):
    """States of an LSTM: x (T, N, 4U) with input product and bias, u (U, 4U), h, c (N, U) -> hs, cs (T + 1, N, U).

    Gates in the order i, f, c, o; `gates` (T, N, 4U) keeps their values for the way back.
    """

    outputs = ("hs", "cs", "gates")

    def infer(self, x: Spec, u: Spec, h: Spec, c: Spec) -> tuple[Spec, Spec, Spec]:
        t, n, units = _checked(x, u, h, 4, "LSTM")
        states = Spec((t + 1, n, units), x.dtype)
        return states, states, x

    def lower(self, k: Any, x: Any, u: Any, h: Any, c: Any, hs: Any, cs: Any, gates: Any) -> None:
        steps, n, wide = x.shape
        k.copy(h, _at(hs, 0))
        k.copy(c, _at(cs, 0))
        for t in range(steps):
            product, z = k.temp((n, wide), x.dtype), k.temp((n, wide), x.dtype)
            _product(k, _at(hs, t), u, None, product)
            _add(k, product, _at(x, t), z)
            k.lstm_cell(dict(M=n, U=wide // 4), z, _at(cs, t), _at(hs, t + 1), _at(cs, t + 1), _at(gates, t))

    def grad(self, u: Any, hs: Any, cs: Any, gates: Any, dhs: Any, dcs: Any) -> Any:
        return LSTMSequenceGrad()(u, hs, cs, gates, dhs, dcs)


class LSTMSequenceGrad(Op):
    """The gradients of LSTMSequence's inputs: dx (T, N, 4U), du (U, 4U), dh, dc (N, U)."""

    outputs = ("dx", "du", "dh", "dc")

    def infer(self, u: Spec, hs: Spec, cs: Spec, gates: Spec, dhs: Spec, dcs: Spec) -> tuple[Spec, Spec, Spec, Spec]:
        state = Spec(hs.shape[1:], hs.dtype)
        return gates, u, state, state

    def lower(
        self, k: Any, u: Any, hs: Any, cs: Any, gates: Any, dhs: Any, dcs: Any, dx: Any, du: Any, dh: Any, dc: Any
    ) -> None:
        steps, n, wide = gates.shape
        units = wide // 4
        now, cell = _at(dhs, steps), _at(dcs, steps)
        for t in reversed(range(steps)):
            before = k.temp((n, units), hs.dtype)
            k.lstm_cell_grad(
                dict(M=n, U=units), _at(gates, t), _at(cs, t), _at(cs, t + 1), now, cell, _at(dx, t), before
            )
            product = k.temp((n, units), hs.dtype)
            _product_back(k, _at(dx, t), u, product)
            now = dh if t == 0 else k.temp((n, units), hs.dtype)
            cell = dc if t == 0 else k.temp((n, units), hs.dtype)
            _add(k, product, _at(dhs, t), now)
            _add(k, before, _at(dcs, t), cell)
        rows = steps * n
        lower_grad_w(k, rows, units, wide, hs.view((rows, units)), dx.view((rows, wide)), du)


class GRUSequence(Op):
    """States of a GRU with `reset_after`: x (T, N, 3U), u (U, 3U), b (3U,), h (N, U) -> hs (T + 1, N, U).

    Gates in the order z, r, h; `gates` (T, N, 3U) keeps their values and `inner` (T, N, 3U) the products h @ u + b.
    """

    outputs = ("hs", "gates", "inner")

    def infer(self, x: Spec, u: Spec, b: Spec, h: Spec) -> tuple[Spec, Spec, Spec]:
        t, n, units = _checked(x, u, h, 3, "GRU")
        return Spec((t + 1, n, units), x.dtype), x, x

    def lower(self, k: Any, x: Any, u: Any, b: Any, h: Any, hs: Any, gates: Any, inner: Any) -> None:
        steps, n, wide = x.shape
        k.copy(h, _at(hs, 0))
        for t in range(steps):
            _product(k, _at(hs, t), u, b, _at(inner, t))
            fields = dict(M=n, U=wide // 3)
            k.gru_cell(fields, _at(x, t), _at(inner, t), _at(hs, t), _at(hs, t + 1), _at(gates, t))

    def grad(self, u: Any, hs: Any, gates: Any, inner: Any, dhs: Any) -> Any:
        return GRUSequenceGrad()(u, hs, gates, inner, dhs)


class GRUSequenceGrad(Op):
    """The gradients of GRUSequence's inputs: dx (T, N, 3U), du (U, 3U), db (3U,), dh (N, U)."""

    outputs = ("dx", "du", "db", "dh")

    def infer(self, u: Spec, hs: Spec, gates: Spec, inner: Spec, dhs: Spec) -> tuple[Spec, Spec, Spec, Spec]:
        return gates, u, Spec((u.shape[1],), u.dtype), Spec(hs.shape[1:], hs.dtype)

    def lower(
        self, k: Any, u: Any, hs: Any, gates: Any, inner: Any, dhs: Any, dx: Any, du: Any, db: Any, dh: Any
    ) -> None:
        steps, n, wide = gates.shape
        units = wide // 3
        d_inner = k.temp(gates.shape, gates.dtype)
        now = _at(dhs, steps)
        for t in reversed(range(steps)):
            direct = k.temp((n, units), hs.dtype)
            fields = dict(M=n, U=units)
            k.gru_cell_grad(fields, _at(gates, t), _at(inner, t), _at(hs, t), now, _at(dx, t), _at(d_inner, t), direct)
            product = k.temp((n, units), hs.dtype)
            _product_back(k, _at(d_inner, t), u, product)
            both = k.temp((n, units), hs.dtype)
            _add(k, direct, product, both)
            now = dh if t == 0 else k.temp((n, units), hs.dtype)
            _add(k, both, _at(dhs, t), now)
        rows = steps * n
        flat = d_inner.view((rows, wide))
        lower_grad_w(k, rows, units, wide, hs.view((rows, units)), flat, du)
        lower_reduce(k, SUM, flat, db, 1, rows, wide)


def lstm_sequence(x: Any, u: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """(hs, cs), each (T + 1, N, U), of an LSTM over x (T, N, 4U)."""
    hs, cs, _ = LSTMSequence()(x, u, h, c)
    return hs, cs


def gru_sequence(x: Any, u: Any, b: Any, h: Any) -> Any:
    """hs (T + 1, N, U) of a GRU over x (T, N, 3U)."""
    return GRUSequence()(x, u, b, h)[0]
