"""Batch normalization: mean and variance over leading axes in one pass, the map, and its gradient in two passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nacre.core import trace
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.ops.base import scalar
from nacre.ops.elementwise import Add, Mul, Rsqrt, Sub
from nacre.ops.fused_rows import by_composition
from nacre.ops.lowering import SUM, lower_reduce
from nacre.ops.movement import Slice, reshaped


def _rows_per_chunk(rows: int, columns: int) -> int:
    """64 chunks keep 64 cores busy; none below about 16,000 elements, nor below 64 rows, which pay for the joins."""
    return max(-(-rows // 64), -(-16384 // columns), 64)


class Moments(Op):
    """Mean and biased variance of x over the axes in front of its last `kept`. x (..., *C) -> (*1, *C) each, float32.

    Chunks of rows are joined by the formula of Chan, Golub and LeVeque (1979), so that numbers far from zero keep their
    variance.
    """

    kept: int

    outputs = ("mean", "variance")

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        lead = len(x.shape) - self.kept
        spec = Spec((1,) * lead + x.shape[lead:], x.dtype)
        return spec, spec

    def lower(self, k: Any, x: Any, mean: Any, variance: Any) -> None:
        columns = mean.size
        rows = x.size // columns
        chunk = _rows_per_chunk(rows, columns)
        fields = {"R": rows, "C": columns, "chunk": chunk}
        partials = k.temp((-(-rows // chunk), 2, columns), x.dtype)
        k.batch_norm_partials(fields, x, partials)
        k.batch_norm_join(fields, partials, mean, variance)

    def grad(self, x: Any, mean: Any, dmean: Any, dvariance: Any) -> Any:
        n = math.prod(x.shape) / math.prod(mean.shape)
        per_mean = Mul()(dmean, scalar(1.0 / n, x.dtype))
        per_variance = Mul()(dvariance, scalar(2.0 / n, x.dtype))
        return Add()(Mul()(Sub()(x, mean), per_variance), per_mean)


RELU, RELU6 = 1, 2  # `act` of the kernels; 0 is none


class BatchNorm(Op):
    """(x - mean) / sqrt(variance + eps) * gamma + beta, where mean and variance are the `Moments` of x itself.

    x (..., C), mean, variance (*1, C), gamma and beta (C,) where `has_gamma` and `has_beta` say so -> y (..., C),
    float32. The gradient of x counts what flows through mean and variance too (Ioffe & Szegedy 2015), so these get
    none.
    """

    eps: float
    has_gamma: bool
    has_beta: bool

    def infer(self, *xs: Spec) -> Spec:
        return xs[0]

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...]:
        return (True, *[False] * (len(inputs) - 1))

    def lower(self, k: Any, *operands: Any) -> None:
        *inputs, y = operands
        self.lower_more(k, inputs, None, 0, y)

    def lower_more(self, k: Any, inputs: Sequence[Any], r: Any, act: int, y: Any) -> None:
        x, mean, variance, *parameters = inputs
        fields = {**self.kernel_fields(x, mean, act), "residual": int(r is not None)}
        k.batch_norm_apply(fields, x, mean, variance, *self.parameters(parameters), r, y)

    def parameters(self, given: Sequence[Any]) -> tuple[Any, Any]:
        rest = list(given)
        gamma = rest.pop(0) if self.has_gamma else None
        return gamma, rest.pop(0) if self.has_beta else None

    def kernel_fields(self, x: Any, mean: Any, act: int) -> dict[str, Any]:
        flags = dict(act=act, has_gamma=int(self.has_gamma), has_beta=int(self.has_beta))
        return {"R": x.size // mean.size, "C": mean.size, **flags, "eps": self.eps}

    def expand(self, x: Any, mean: Any, variance: Any, *parameters: Any) -> Any:
        """In elementwise ops, which a plan joins with their neighbours: an activation, a residual."""
        gamma, beta = self.parameters(parameters)
        factor = Rsqrt()(Add()(variance, scalar(self.eps, x.dtype)))
        y = Mul()(Sub()(x, mean), factor if gamma is None else Mul()(factor, gamma))
        return y if beta is None else Add()(y, beta)

    def _composed(self, x: Any, *parameters: Any) -> Any:
        return self.expand(x, *Moments(1)(x), *parameters)

    def grad(self, xs: Any, dy: Any) -> Any:
        x, mean, variance, *parameters = xs
        if trace.tapes():
            dx, *rest = by_composition(self._composed, (x, *parameters), [dy])
            return [dx, None, None, *rest]
        gamma, _ = self.parameters(parameters)
        sums = BatchNormGradSums(self)(x, dy, mean, variance)
        scale = [gamma] if self.has_gamma else []
        found = [lambda: BatchNormGradX(self)(x, dy, mean, variance, *scale, sums), None, None]
        rows = ([1] if self.has_gamma else []) + ([0] if self.has_beta else [])
        return found + [reshaped(Slice((r, 0), (1, mean.size), (1, 1))(sums), (mean.size,)) for r in rows]


class BatchNormMore(Op):
    """relu or relu6 of BatchNorm + r, where the fields say so. Replaces BatchNorm, (Add of r) and (Relu or Clip to
    0..6).

    What `of` takes, then r as x, where it is `added` -> y as x.
    """

    of: BatchNorm
    added: bool
    act: int

    def infer(self, *xs: Spec) -> Spec:
        return xs[0]

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...]:
        return (True, *[False] * (len(inputs) - 1 - self.added), *[True] * self.added)

    def lower(self, k: Any, *operands: Any) -> None:
        *inputs, y = operands
        r = inputs.pop() if self.added else None
        self.of.lower_more(k, inputs, r, self.act, y)


class BatchNormGradSums(Op):
    """The gradients of beta and gamma as the rows of one (2, C).

    With `act` dy is the gradient behind that activation, and gamma and beta, where there are, say what goes through.
    """

    of: BatchNorm
    act: int = 0

    outputs = ("sums",)

    def infer(self, x: Spec, dy: Spec, mean: Spec, variance: Spec, *parameters: Spec) -> Spec:
        return Spec((2, mean.size), x.dtype)

    def lower(self, k: Any, x: Any, dy: Any, mean: Any, variance: Any, *operands: Any) -> None:
        *parameters, sums = operands
        gamma, beta = self.of.parameters(parameters) if self.act else (None, None)
        columns = mean.size
        rows = x.size // columns
        chunk = _rows_per_chunk(rows, columns)
        count = -(-rows // chunk)
        partials = k.temp((count, 2, columns), x.dtype)
        fields = {**self.of.kernel_fields(x, mean, self.act), "chunk": chunk}
        k.batch_norm_grad_stats(fields, x, dy, mean, variance, gamma, beta, partials)
        lower_reduce(k, SUM, partials, sums, 1, count, 2 * columns)


class BatchNormGradX(Op):
    """The gradient of BatchNorm's x, mean and variance taken along.

    x, dy, mean, variance, gamma where there is one, beta where there is one and an activation (as above), sums -> dx.
    """

    of: BatchNorm
    act: int = 0

    outputs = ("dx",)

    def infer(self, *xs: Spec) -> Spec:
        return xs[0]

    def lower(self, k: Any, *operands: Any) -> None:
        x, dy, mean, variance, *parameters, sums, dx = operands
        gamma, *rest = parameters if self.of.has_gamma else (None, *parameters)
        fields = {**self.of.kernel_fields(x, mean, self.act), "residual": 0}
        k.batch_norm_grad_x(fields, x, dy, mean, variance, gamma, rest[0] if rest else None, sums, dx)


def batch_normalized(x: Any, gamma: Any, beta: Any, eps: float) -> tuple[Any, Any, Any]:
    """`x` (float32, not empty) normalized per entry of its last axis, which gamma and beta (or None) are along; with
    the batch's mean and biased variance, (C,) each."""
    mean, variance = Moments(1)(x)
    parameters = [p for p in (gamma, beta) if p is not None]
    y = BatchNorm(float(eps), gamma is not None, beta is not None)(x, mean, variance, *parameters)
    channels = x.shape[-1:]
    return y, reshaped(mean, channels), reshaped(variance, channels)
