"""Row normalization and recurrent cells: one kernel forward, one or two back, where compositions would take a dozen.

Their gradients are kernels as well. When another tape listens to a gradient, it is computed by the composition
instead, so that second derivatives exist."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nacre.core import trace
from nacre.core.autodiff import GradientTape
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.ops.base import scalar
from nacre.ops.elementwise import Add, Mul, Rsqrt, Sigmoid, Square, Sub, SumTo, Tanh
from nacre.ops.lowering import SUM, lower_reduce
from nacre.ops.movement import Reshape, Slice, reshaped, split_sizes


def by_composition(fn: Callable[..., Any], inputs: Sequence[Any], d_outputs: Sequence[Any]) -> list[Any]:
    """The gradients of the inputs of `fn`, which is made of ops that can be differentiated again."""
    with GradientTape() as tape:
        tape.watch(list(inputs))
        outputs = fn(*inputs)
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    return tape.gradient(outputs, list(inputs), list(d_outputs), unconnected_gradients="zero")  # type: ignore[no-any-return]


# --- layer normalization --------------------------------------------------------------------------------------------


class LayerNorm(Op):
    """Rows with mean 0 (unless `rms`) and variance 1, times gamma, plus beta: x (M, N), gamma (N,), beta (N,) -> y (M,
    N).

    The scale and the offset are inputs where `has_gamma` and `has_beta` say so. Also gives each row's mean and 1 /
    deviation.
    """

    eps: float
    rms: bool
    has_gamma: bool
    has_beta: bool

    outputs = ("y", "mean", "rstd")

    def infer(self, *xs: Spec) -> tuple[Spec, Spec, Spec]:
        x = xs[0]
        row = Spec(x.shape[:1], x.dtype)
        return x, row, row

    def lower(self, k: Any, *operands: Any) -> None:
        x, *parameters, y, mean, rstd = operands
        gamma, beta = self.parameters(parameters)
        k.layer_norm(self.kernel_fields(x), x, gamma, beta, y, mean, rstd)

    def parameters(self, given: Sequence[Any]) -> tuple[Any, Any]:
        rest = list(given)
        gamma = rest.pop(0) if self.has_gamma else None
        return gamma, rest.pop(0) if self.has_beta else None

    def kernel_fields(self, x: Any) -> dict[str, Any]:
        flags = dict(rms=int(self.rms), has_gamma=int(self.has_gamma), has_beta=int(self.has_beta))
        return {"M": x.shape[0], "N": x.shape[1], **flags, "eps": self.eps}

    def composed(self, x: Any, *parameters: Any) -> Any:
        gamma, beta = self.parameters(parameters)
        rows, share = (x.shape[0], 1), 1.0 / max(x.shape[1], 1)
        centred = x if self.rms else Sub()(x, SumTo(rows, share)(x))
        y = Mul()(centred, Rsqrt()(Add()(SumTo(rows, share)(Square()(centred)), scalar(self.eps, x.dtype))))
        y = y if gamma is None else Mul()(y, gamma)
        return y if beta is None else Add()(y, beta)

    def grad(self, xs: Any, mean: Any, rstd: Any, dy: Any) -> Any:
        if trace.tapes():
            return by_composition(self.composed, xs, [dy])
        x, *parameters = xs
        gamma, _ = self.parameters(parameters)
        found: list[Any] = [lambda: LayerNormGradX(self)(x, dy, *([gamma] if self.has_gamma else []), mean, rstd)]
        if not parameters:
            return found
        sums = LayerNormGradParams()(x, dy, mean, rstd)
        n = x.shape[1]
        if self.has_gamma:
            found.append(reshaped(Slice((1, 0), (1, n), (1, 1))(sums), (n,)))
        if self.has_beta:
            found.append(reshaped(Slice((0, 0), (1, n), (1, 1))(sums), (n,)))
        return found


class LayerNormGradX(Op):
    """The gradient of LayerNorm's rows."""

    of: LayerNorm

    outputs = ("dx",)

    def infer(self, *xs: Spec) -> Spec:
        return xs[0]

    def lower(self, k: Any, *operands: Any) -> None:
        x, dy, *gamma, mean, rstd, dx = operands
        k.layer_norm_grad_x(self.of.kernel_fields(x), x, dy, gamma[0] if gamma else None, mean, rstd, dx)


class LayerNormGradParams(Op):
    """The gradients of beta and gamma as the rows of one (2, N)."""

    outputs = ("sums",)

    def infer(self, x: Spec, dy: Spec, mean: Spec, rstd: Spec) -> Spec:
        return Spec((2, x.shape[1]), x.dtype)

    def lower(self, k: Any, x: Any, dy: Any, mean: Any, rstd: Any, sums: Any) -> None:
        m, n = x.shape
        # 64 chunks keep 64 cores busy; none shorter than about 16,000 elements, nor than 64 rows
        chunk = max(-(-m // 64), -(-16384 // max(n, 1)), 64)
        count = max(-(-m // chunk), 1)
        partials = k.temp((count, 2, n), x.dtype)
        k.layer_norm_grad_params(dict(M=m, N=n, chunk=chunk), x, dy, mean, rstd, partials)
        lower_reduce(k, SUM, partials, sums, 1, count, 2 * n)


def normalized_rows(x: Any, gamma: Any, beta: Any, eps: float, rms: bool, last: int) -> Any:
    """`x` (float32) normalized over its last `last` axes, whose shape gamma and beta (or None) have."""
    n = math.prod(x.shape[len(x.shape) - last :])
    rows = Reshape((x.size // n, n))(x)
    parameters = [reshaped(p, (n,)) for p in (gamma, beta) if p is not None]
    y = LayerNorm(float(eps), rms, gamma is not None, beta is not None)(rows, *parameters)[0]
    return reshaped(y, x.shape)


# --- recurrent cells ------------------------------------------------------------------------------------------------


class LstmCell(Op):
    """One step of an LSTM after its products: z (M, 4U) holds i f c o before their functions, c (M, U) the state.

    i, f, o = sigmoid; c' = f c + i tanh(z_c); h = o tanh(c'). -> h (M, U), c' (M, U), and the gates for the way back.
    """

    outputs = ("h", "c_out", "gates")

    def infer(self, z: Spec, c: Spec) -> tuple[Spec, Spec, Spec]:
        return c, c, z

    def lower(self, k: Any, z: Any, c: Any, h: Any, c_out: Any, gates: Any) -> None:
        k.lstm_cell(dict(M=c.shape[0], U=c.shape[1]), z, c, h, c_out, gates)

    def composed(self, z: Any, c: Any) -> tuple[Any, Any]:
        i, f, candidate, o = split_sizes(z, (c.shape[1],) * 4, 1)
        c = Add()(Mul()(Sigmoid()(f), c), Mul()(Sigmoid()(i), Tanh()(candidate)))
        return Mul()(Sigmoid()(o), Tanh()(c)), c

    def grad(self, z: Any, c: Any, c_out: Any, gates: Any, dh: Any, dc_out: Any) -> Any:
        if trace.tapes():
            return by_composition(self.composed, (z, c), (dh, dc_out))
        return LstmCellGrad()(gates, c, c_out, dh, dc_out)


class LstmCellGrad(Op):
    """The gradients of LstmCell's z and c."""

    outputs = ("dz", "dc")

    def infer(self, gates: Spec, c: Spec, c_out: Spec, dh: Spec, dc_out: Spec) -> tuple[Spec, Spec]:
        return gates, c

    def lower(self, k: Any, gates: Any, c: Any, c_out: Any, dh: Any, dc_out: Any, dz: Any, dc: Any) -> None:
        k.lstm_cell_grad(dict(M=c.shape[0], U=c.shape[1]), gates, c, c_out, dh, dc_out, dz, dc)


class GruCell(Op):
    """One step of a GRU with the reset after the product: x and r (M, 3U) hold z r h of inputs and state, h (M, U) the
    state.

    z = sigmoid(x_z + r_z), g = sigmoid(x_r + r_r), h' = z h + (1 - z) tanh(x_h + g r_h). -> h' (M, U), and the gates.
    """

    outputs = ("h_out", "gates")

    def infer(self, x: Spec, r: Spec, h: Spec) -> tuple[Spec, Spec]:
        return h, x

    def lower(self, k: Any, x: Any, r: Any, h: Any, h_out: Any, gates: Any) -> None:
        k.gru_cell(dict(M=h.shape[0], U=h.shape[1]), x, r, h, h_out, gates)

    def composed(self, x: Any, r: Any, h: Any) -> Any:
        u = h.shape[1]
        x_z, x_r, x_h = split_sizes(x, (u,) * 3, 1)
        r_z, r_r, r_h = split_sizes(r, (u,) * 3, 1)
        z = Sigmoid()(Add()(x_z, r_z))
        candidate = Tanh()(Add()(x_h, Mul()(Sigmoid()(Add()(x_r, r_r)), r_h)))
        return Add()(Mul()(z, h), Mul()(Sub()(scalar(1.0, z.dtype), z), candidate))

    def grad(self, x: Any, r: Any, h: Any, gates: Any, dh_out: Any) -> Any:
        if trace.tapes():
            return by_composition(self.composed, (x, r, h), (dh_out,))
        return GruCellGrad()(gates, r, h, dh_out)


class GruCellGrad(Op):
    """The gradients of GruCell's x, r and h (of h, what does not go through r)."""

    outputs = ("dx", "dr", "dh")

    def infer(self, gates: Spec, r: Spec, h: Spec, dh_out: Spec) -> tuple[Spec, Spec, Spec]:
        return r, r, h

    def lower(self, k: Any, gates: Any, r: Any, h: Any, dh_out: Any, dx: Any, dr: Any, dh: Any) -> None:
        k.gru_cell_grad(dict(M=h.shape[0], U=h.shape[1]), gates, r, h, dh_out, dx, dr, dh)


def lstm_step(z: Any, c: Any) -> tuple[Any, Any]:
    """(h, c') of one step of an LSTM with sigmoid gates and tanh: z (M, 4U), c (M, U)."""
    if c.dtype != "float32" or z.dtype != "float32":
        return LstmCell().composed(z, c)  # type: ignore[no-any-return]
    h, c_out, _ = LstmCell()(z, c)
    return h, c_out


def gru_step(x: Any, r: Any, h: Any) -> Any:
    """h' of one step of a GRU (reset after the product) with sigmoid gates and tanh: x, r (M, 3U), h (M, U)."""
    if h.dtype != "float32" or x.dtype != "float32":
        return GruCell().composed(x, r, h)
    return GruCell()(x, r, h)[0]
