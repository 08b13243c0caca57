"""The ops behind nacre.random. A draw is a function of (seed, counter, place), so bits depend on neither threads nor
machine."""

from __future__ import annotations

from typing import Any

from nacre.core.op import Op
from nacre.core.spec import DTYPE_CODE, Spec

_KINDS = ("uniform", "normal", "truncated_normal", "bernoulli", "randint", "bits", "gamma")


class Random(Op):
    """Numbers of a distribution with the parameters a and b, from a state [seed, counter]."""

    kind: str
    shape: tuple[int, ...]
    dtype: str
    a: float = 0.0
    b: float = 1.0

    def infer(self, state: Spec) -> Spec:
        return Spec(self.shape, self.dtype)

    def lower(self, k: Any, state: Any, y: Any) -> None:
        fields = dict(n=y.size, kind=_KINDS.index(self.kind), dtype=DTYPE_CODE[y.dtype])
        k.random({**fields, "state_dtype": DTYPE_CODE[state.dtype], "a": self.a, "b": self.b}, state, y)


class Dropout(Op):
    """x / (1 - rate) where it is kept, else 0; the gradient draws the same places again."""

    rate: float

    def infer(self, state: Spec, x: Spec) -> Spec:
        return x

    def lower(self, k: Any, state: Any, x: Any, y: Any) -> None:
        k.dropout(dict(n=x.size, state_dtype=DTYPE_CODE[state.dtype], rate=self.rate), state, x, y)

    def grad(self, state: Any, dy: Any) -> Any:
        return None, Dropout(self.rate)(state, dy)
