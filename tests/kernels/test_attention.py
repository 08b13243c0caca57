import numpy as np
import pytest

from kernel_check import EPS, close, run_everywhere
from nacre import _core

F32 = np.dtype(np.float32)
# B, T, S, H, D, E, mask, rate
CASES = [
    (2, 5, 7, 3, 4, 6, None, 0.0),
    (1, 64, 33, 2, 8, 8, "all", 0.0),
    (1, 130, 65, 2, 16, 5, "keys", 0.3),
    (3, 1, 9, 2, 3, 3, "rows", 0.0),
    (2, 65, 1, 1, 1, 1, None, 0.5),
    (1, 200, 200, 1, 32, 32, "causal", 0.1),
    (2, 3, 0, 2, 4, 4, None, 0.0),
    (2, 0, 3, 2, 4, 4, None, 0.0),
    (0, 3, 3, 2, 4, 4, None, 0.0),
    (1, 3, 4, 1, 0, 2, None, 0.0),
]


def mask_of(kind, B, T, S, rng):
    if kind == "all":
        return rng.random((B, 1, T, S)) < 0.5
    if kind == "keys":
        return rng.random((B, 1, 1, S)) < 0.7
    if kind == "rows":  # in some nothing is left
        return np.broadcast_to(rng.random((B, 1, T, 1)) < 0.5, (B, 1, T, S)).copy()
    return np.tri(T, S, dtype=bool)[None, None] if kind == "causal" else None


def fields(case, mask, kept=1):
    B, T, S, H, D, E, _, rate = case
    steps = [0, 0, 0]
    if mask is not None:
        b, h, t, s = mask.shape
        steps = [0 if n == 1 else step for n, step in zip((b, h, t), (h * t * s, t * s, s))]
    return dict(
        B=B, H=H, T=T, S=S, D=D, E=E, kept=kept, mask=int(mask is not None), mask_b=steps[0], mask_h=steps[1],
        mask_t=steps[2], state_dtype=3, rate=rate,
    )  # fmt: skip


def holes(case, state, isa):
    """What dropout multiplies the weights (B, H, T, S) with: rows are drawn 64 at a time."""
    B, T, S, H, _, _, _, rate = case
    drawn = -(-T // 64) * 64
    ones, got = np.ones(B * H * drawn * S, np.float32), np.empty(B * H * drawn * S, np.float32)
    _core.run_kernel("dropout", dict(n=ones.size, state_dtype=3, rate=rate), [state, ones], [got], isa=isa)
    return got.reshape(B, H, drawn, S)[:, :, :T].astype(np.float64)


def weights_of(q, k, mask):
    scores = np.einsum("bthd,bshd->bhts", q.astype(np.float64), k.astype(np.float64))
    seen = np.ones(scores.shape, bool) if mask is None else np.broadcast_to(mask, scores.shape)
    top = np.max(np.where(seen, scores, -np.inf), -1, keepdims=True, initial=-1e30)
    e = np.where(seen, np.exp(np.where(seen, scores, top) - top), 0)
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-300)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_attention_and_its_gradients(case, rng):
    B, T, S, H, D, E, kind, rate = case
    q, k, v, dy = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((B, T, H, D), (B, S, H, D), (B, S, H, E), (B, T, H, E))
    )
    mask, state = mask_of(kind, B, T, S, rng), np.array([5, 2], np.int64) if rate else None
    shape, outputs = fields(case, mask), [((B, T, H, E), F32), ((B, H, T, S), F32)]
    p = weights_of(q, k, mask)
    operands = [q, k, v, None if mask is None else mask.astype(np.uint8), state]
    results = run_everywhere("attention", shape, operands, outputs)
    bare = run_everywhere("attention", {**shape, "kept": 0}, operands, [outputs[0], None])
    size = max(D, 1) ** 0.5
    for isa, (y, weights) in results.items():
        w = p * holes(case, state, isa) if rate else p
        close(weights, p, isa, (16 + 16 * size) * EPS, 1e-3)
        close(y, np.einsum("bhts,bshe->bthe", w, v.astype(np.float64)), isa, (32 + 16 * size + S) * EPS, 1)
        assert bare[isa][0].tobytes() == y.tobytes()
    grads = [((B, T, H, D), F32), ((B, S, H, D), F32), ((B, S, H, E), F32)]
    stored = np.ascontiguousarray(p, np.float32)
    for isa, (dq, dk, dv) in run_everywhere("attention_grad", shape, [q, k, v, stored, dy, state], grads).items():
        z = holes(case, state, isa) if rate else np.ones_like(p)
        dw = np.einsum("bthe,bshe->bhts", dy.astype(np.float64), v.astype(np.float64)) * z
        ds = p * (dw - (p * dw).sum(-1, keepdims=True))
        bound = (32 + 4 * (E + S + T)) * EPS
        close(dq, np.einsum("bhts,bshd->bthd", ds, k.astype(np.float64)), isa, bound, 1)
        close(dk, np.einsum("bhts,bthd->bshd", ds, q.astype(np.float64)), isa, bound, 1)
        close(dv, np.einsum("bhts,bthe->bshe", p * z, dy.astype(np.float64)), isa, bound, 1)


@pytest.mark.parametrize(
    "wrong", [dict(B=-1), dict(S=2**40, T=2**40), dict(kept=2), dict(mask=1, mask_t=-1), dict(rate=1.0),
              dict(rate=np.nan), dict(rate=0.5, state_dtype=0), dict(D=2**62), dict(B=9, mask=1, mask_b=2**62)],
    ids=str,
)  # fmt: skip
def test_impossible_fields_are_refused(wrong):
    base = dict(fields((2, 3, 4, 2, 5, 6, None, 0.0), None), **wrong)
    assert _core.facts("attention", base)["error"]
    if "mask" not in wrong:
        assert _core.facts("attention_grad", base)["error"]
