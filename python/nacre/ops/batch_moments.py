"""Mean and variance over leading axes in one pass, as batch normalization takes them."""

from __future__ import annotations

import math
from typing import Any

from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.ops.base import scalar
from nacre.ops.elementwise import Add, Mul, Sub


class Moments(Op):
    """Mean and biased variance of x over the axes in front of its last `kept`. x (..., *C) -> (*1, *C) each, float32.

    Chunks of rows are joined by the formula of Chan, Golub and LeVeque (1979), so that numbers far from zero keep their variance.
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
        # 64 chunks keep 64 cores busy; none shorter than about 16,000 elements
        chunk = max(-(-rows // 64), -(-16384 // columns))
        fields = {"R": rows, "C": columns, "chunk": chunk}
        partials = k.temp((-(-rows // chunk), 2, columns), x.dtype)
        k.batch_norm_partials(fields, x, partials)
        k.batch_norm_join(fields, partials, mean, variance)

    def grad(self, x: Any, mean: Any, dmean: Any, dvariance: Any) -> Any:
        n = math.prod(x.shape) / math.prod(mean.shape)
        per_mean = Mul()(dmean, scalar(1.0 / n, x.dtype))
        per_variance = Mul()(dvariance, scalar(2.0 / n, x.dtype))
        return Add()(Mul()(Sub()(x, mean), per_variance), per_mean)
