"""What a case of an op is: a public function, arguments as shapes and ranges, and the float64 truth."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Arg(NamedTuple):
    """An argument drawn at random: floats evenly from [low, high), or ints; `wrt` says whether the function has a
    gradient there.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    dtype: str
    wrt: bool

    def draw(self, rng: np.random.Generator) -> np.ndarray[Any, Any]:
        if self.dtype == "bool":
            return rng.random(self.shape) < 0.5
        if self.dtype.startswith("int") or self.dtype == "uint8":
            return rng.integers(int(self.low), int(self.high), self.shape).astype(self.dtype)
        return rng.uniform(self.low, self.high, self.shape).astype(self.dtype)


def x(*shape: int, low: float = -2.0, high: float = 2.0, dtype: str = "float32", wrt: bool = True) -> Arg:
    """Floats of that shape."""
    return Arg(shape, low, high, dtype, wrt and dtype.startswith("float"))


def ints(*shape: int, low: int = -3, high: int = 4, dtype: str = "int32") -> Arg:
    """Whole numbers of that shape."""
    return Arg(shape, low, high, dtype, False)


def bools(*shape: int) -> Arg:
    """Booleans of that shape."""
    return Arg(shape, 0, 1, "bool", False)


def _said(a: Any) -> str:
    """An argument as a part of a test's name."""
    if isinstance(a, Arg):
        return ("x".join(map(str, a.shape)) or "scalar") + ("" if a.dtype == "float32" else "-" + a.dtype)
    if isinstance(a, (list, tuple)):
        return "(" + ",".join(_said(b) for b in a) + ")"
    if isinstance(a, np.ndarray):
        return str(a.tolist()).replace(" ", "")
    if isinstance(a, slice):
        return ":".join("" if v is None else str(v) for v in (a.start, a.stop, a.step))
    return "..." if a is Ellipsis else str(a)


class Case(NamedTuple):
    """`function(*args, **kwargs)` must be `reference` of the same in float64, within
    `roundings * 16 * eps * (1 + |reference|)`.

    `roundings` counts those that pile up: the length of sums, or what a function loses.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reference: Callable[..., Any]
    roundings: float
    smooth: bool

    def __str__(self) -> str:
        parts = [_said(a) for a in self.args] + [f"{k}={_said(v)}" for k, v in self.kwargs.items()]
        return f"{self.name}({','.join(parts)})"

    def draw(self) -> list[Any]:
        """The arguments, the same at every call."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))

        def one(a: Any) -> Any:
            return a.draw(rng) if isinstance(a, Arg) else [one(b) for b in a] if isinstance(a, list) else a

        return [one(a) for a in self.args]

    def truth(self, args: list[Any]) -> Any:
        """The reference on float64 copies of the floats among `args`."""

        def wide(a: Any) -> Any:
            if isinstance(a, np.ndarray):
                return a.astype(np.float64) if a.dtype.kind == "f" else a
            return [wide(b) for b in a] if isinstance(a, list) else a

        return self.reference(*(wide(a) for a in args), **self.kwargs)

    @property
    def differentiable(self) -> bool:
        flat = [b for a in self.args for b in (a if isinstance(a, list) else [a])]
        return self.smooth and any(isinstance(a, Arg) and a.wrt for a in flat)


class Casebook(list[Case]):
    """Cases of one family; calling it adds one."""

    def __call__(
        self,
        function: Callable[..., Any],
        *args: Any,
        reference: Callable[..., Any],
        roundings: float = 1.0,
        smooth: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.append(Case(name or function.__name__, function, args, kwargs, reference, roundings, smooth))


def leaves(value: Any) -> list[Any]:
    """The tensors or arrays of a result that may be a list or tuple."""
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in leaves(v)]
    return [value]
