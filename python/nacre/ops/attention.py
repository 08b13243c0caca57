"""Scaled dot-product attention as one kernel forward and one back: its weights never leave the caches between the two
products, and heads are read where projections leave them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.op import Op
from nacre.core.spec import DTYPE_CODE, Spec
from nacre.core.tensor import Tensor
from nacre.ops.base import composed, public, scalar
from nacre.ops.elementwise import (
    Add,
    BroadcastTo,
    Cast,
    Div,
    LogicalAnd,
    Mul,
    Select,
    Tanh,
    cast_to,
    floating,
    same_dtype,
)
from nacre.ops.fused_rows import by_composition
from nacre.ops.movement import Slice, permuted, reshaped
from nacre.ops.probabilities import softmax
from nacre.ops.products import multiply_matrices
from nacre.ops.sampling import Dropout

# Of a head: of more the gradient, whose unit is a head, leaves the caches, and with few heads also threads idle.
_MOST_WEIGHTS, _MOST_OF_MANY, _MANY_HEADS = 1 << 20, 1 << 22, 4
_ROWS = 64  # queries that the kernel takes at a time


class Attention(Op):
    """softmax(q k^T) v for each head: q (B, T, H, D), k (B, S, H, D), v (B, S, H, E) -> y (B, T, H, E).

    Then come, where there are such, a boolean mask that broadcasts to (B, H, T, S) but has all S, and the state that
    dropout of the weights draws from. The weights (B, H, T, S) before dropout are kept for the gradient where `kept`
    says so. float32.
    """

    rate: float = 0.0
    kept: bool = False
    masked: bool = False

    outputs = ("y", "weights")

    def infer(self, *xs: Spec) -> tuple[Spec, Spec]:
        q, k, v = xs[:3]
        shape = (q.shape[0], q.shape[2], q.shape[1], k.shape[1]) if self.kept else (0,)
        return Spec((*q.shape[:3], v.shape[3]), q.dtype), Spec(shape, q.dtype)

    def lower(self, k: Any, *operands: Any) -> None:
        *xs, y, weights = operands
        mask, state = self._rest(xs)
        fields = self.kernel_fields(xs[0], xs[1], xs[2], mask, state)
        k.attention(fields, *xs[:3], mask, state, y, weights if self.kept else None)

    def kernel_fields(self, q: Any, k: Any, v: Any, mask: Any, state: Any) -> dict[str, Any]:
        batch, rows, heads, width = q.shape
        strides = [0, 0, 0]
        if mask is not None:
            b, h, t, s = mask.shape
            strides = [0 if n == 1 else own for n, own in zip((b, h, t), (h * t * s, t * s, s))]
        return {
            "B": batch, "H": heads, "T": rows, "S": k.shape[1], "D": width, "E": v.shape[3], "kept": int(self.kept),
            "mask": int(mask is not None), **dict(zip(("mask_b", "mask_h", "mask_t"), strides)),
            "state_dtype": 0 if state is None else DTYPE_CODE[state.dtype], "rate": self.rate,
        }  # fmt: skip

    def _rest(self, xs: Any) -> tuple[Any, Any]:
        rest = list(xs[3:])
        mask = rest.pop(0) if self.masked else None
        return mask, rest.pop(0) if self.rate > 0 else None

    def composed(self, *xs: Any) -> Any:
        """The same in ops that can be differentiated again, with the same holes."""
        q, k, v = xs[:3]
        mask, state = self._rest(xs)
        scores = multiply_matrices(permuted(q, (0, 2, 1, 3)), permuted(k, (0, 2, 3, 1)))
        if mask is not None:
            scores = Select()(mask, scores, scalar(-1.5e38, q.dtype))
        weights = softmax(scores)
        if mask is not None:
            weights = Mul()(weights, Cast(q.dtype)(mask))
        if state is not None:
            batch, heads, rows, columns = scores.shape
            drawn = -(-rows // _ROWS) * _ROWS
            ones = BroadcastTo((batch, heads, drawn, columns))(scalar(1.0, q.dtype))
            holes = Dropout(self.rate)(state, ones)
            weights = Mul()(weights, Slice((0, 0, 0, 0), scores.shape, (1, 1, 1, 1))(holes))
        return permuted(multiply_matrices(weights, permuted(v, (0, 2, 1, 3))), (0, 2, 1, 3))

    def grad(self, xs: Any, weights: Any, dy: Any) -> Any:
        nothing = [None] * (len(xs) - 3)
        if trace.tapes() or not self.kept:
            rest = xs[3:]
            return [*by_composition(lambda *qkv: self.composed(*qkv, *rest), xs[:3], [dy]), *nothing]
        state = xs[-1:] if self.rate > 0 else ()
        return [*AttentionGrad(self.rate)(*xs[:3], weights, dy, *state), *nothing]


class AttentionGrad(Op):
    """The gradients of `Attention`'s q, k and v, from these, the weights, dy and the state of dropout."""

    rate: float

    outputs = ("dq", "dk", "dv")

    def infer(self, *xs: Spec) -> tuple[Spec, ...]:
        return xs[:3]

    def lower(self, k: Any, *operands: Any) -> None:
        q, key, v, weights, dy, *state, dq, dk, dv = operands
        drawn = state[0] if state else None
        fields = Attention(self.rate, True).kernel_fields(q, key, v, None, drawn)
        k.attention_grad(fields, q, key, v, weights, dy, drawn, dq, dk, dv)


def fits(q: Any, k: Any, rate: float = 0.0) -> bool:
    """Whether `attention` takes queries (B, T, H, D), keys (B, S, H, D) and that rate of dropout."""
    if q.dtype != "float32" or len(q.shape) != 4 or not rate < 1:
        return False
    most = _MOST_OF_MANY if not trace.tapes() or q.shape[0] * q.shape[2] >= _MANY_HEADS else _MOST_WEIGHTS
    return bool(q.shape[1] * k.shape[1] <= most)


def attention(q: Any, k: Any, v: Any, mask: Any = None, rate: float = 0.0, state: Any = None) -> Any:
    """softmax(q k^T) v per head, where the mask, which broadcasts to (B, H, T, S), is true; with a share `rate` of the
    weights dropped as `state` has it."""
    rest = []
    if mask is not None:
        scores = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
        if len(mask.shape) != 4 or any(n not in (1, d) for n, d in zip(mask.shape, scores)):
            raise ValueError(
                f"attention: expected a mask that broadcasts to scores of shape {scores}, got {mask.shape}"
            )
        rest.append(BroadcastTo((*mask.shape[:3], scores[3]))(mask) if mask.shape[3] != scores[3] else mask)
    if rate > 0:
        rest.append(state)
    return Attention(float(rate), bool(trace.tapes()), mask is not None)(q, k, v, *rest)[0]


@public
@composed
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """softmax(query key^T * scale + bias) value: query (B, T, N, H), key and value (B, S, K, H) -> (B, T, N, H).

    N is a multiple of K. `mask` and `bias` broadcast to (B, N, T, S); where the mask is False nothing is attended to.
    `scale` is 1 / sqrt(H) by default.
    """
    q, k, v = same_dtype(floating(query), key, value)
    if len(q.shape) != 4 or len(k.shape) != 4 or k.shape != v.shape:
        raise ValueError(
            f"dot_product_attention: expected query (B, T, N, H) and key and value (B, S, K, H), got shapes {q.shape}, "
            f"{k.shape} and {v.shape}"
        )
    batch, rows, heads, width = q.shape
    columns, groups = k.shape[1:3]
    if k.shape[0] != batch or k.shape[3] != width or groups == 0 or heads % groups:
        raise ValueError(f"dot_product_attention: query of shape {q.shape} and key of shape {k.shape} do not fit")
    if groups != heads:
        shape = (batch, columns, groups, heads // groups, width)
        k, v = (
            reshaped(BroadcastTo(shape)(reshaped(x, (*x.shape[:3], 1, width))), (batch, columns, heads, width))
            for x in (k, v)
        )
    factor = 1.0 / math.sqrt(width) if scale is None else float(scale)
    if bias is None and mask is None and attn_logits_soft_cap is None and fits(q, k):
        causal = Tensor(np.tri(rows, columns, dtype=bool)[None, None]) if is_causal else None
        return attention(Mul()(q, scalar(factor, q.dtype)), k, v, causal)
    logits = multiply_matrices(permuted(q, (0, 2, 1, 3)), permuted(k, (0, 2, 3, 1)))
    logits = Mul()(logits, scalar(factor, q.dtype))
    if attn_logits_soft_cap is not None:
        cap = scalar(float(attn_logits_soft_cap), q.dtype)
        logits = Mul()(Tanh()(Div()(logits, cap)), cap)
    if bias is not None:
        logits = Add()(logits, cast_to(bias, q.dtype))
    allowed = None if mask is None else cast_to(mask, "bool")
    if is_causal:
        causal = Tensor(np.tri(rows, columns, dtype=bool))
        allowed = causal if allowed is None else LogicalAnd()(allowed, causal)
    if allowed is not None:
        # The lowest float rather than -inf: a row in which nothing is allowed stays finite.
        logits = Select()(allowed, logits, scalar(float(np.finfo(q.dtype).min) * 0.7, q.dtype))
    y = multiply_matrices(softmax(logits), permuted(v, (0, 2, 1, 3)))
    return permuted(y, (0, 2, 1, 3))


__all__ = ["dot_product_attention"]
