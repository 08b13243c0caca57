"""Reductions that leave out NaN: the plain ones on a tensor in which a neutral number stands for it."""

from __future__ import annotations

import math
from typing import Any

from nacre.core.spec import is_float, normalize_axes
from nacre.ops.base import public, scalar, value
from nacre.ops.elementwise import Cast, Div, Isnan, LogicalNot, Select, Sqrt, Square, Sub, SumTo, floating
from nacre.ops.reduction import AllTo, argmax, argmin, cumprod, cumsum, drop, max, min, prod, reduced_shape, sum
from nacre.ops.sorting import nan_last_quantile

__all__ = [
    "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile",
    "nanprod", "nanquantile", "nanstd", "nansum", "nanvar",
]  # fmt: skip


def _filled(x: Any, number: float) -> Any:
    """`x` with `number` for NaN."""
    x = value(x)
    return Select()(Isnan()(x), scalar(number, x.dtype), x) if is_float(x.dtype) else x


@public
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over `axis` of what is not NaN.

    >>> float(nansum([1.0, float("nan"), 2.0]))
    3.0
    """
    return sum(_filled(x, 0.0), axis, keepdims)


@public
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product over `axis` of what is not NaN."""
    return prod(_filled(x, 1.0), axis, keepdims)


@public
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """`cumsum` with 0 for NaN."""
    return cumsum(_filled(x, 0.0), axis, dtype)


@public
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """`cumprod` with 1 for NaN."""
    return cumprod(_filled(x, 1.0), axis, dtype)


def _extreme(x: Any, axis: Any, keepdims: bool, largest: bool, name: str) -> Any:
    x = value(x)
    reduce = max if largest else min
    if not is_float(x.dtype):
        return reduce(x, axis, keepdims)
    axes = normalize_axes(axis, len(x.shape), f"{name}: axis")
    nothing = drop(AllTo(reduced_shape(x.shape, axes))(Isnan()(x)), axes, keepdims) if axes else Isnan()(x)
    y = reduce(_filled(x, -math.inf if largest else math.inf), axis, keepdims)
    return Select()(nothing, scalar(math.nan, x.dtype), y)


@public
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest over `axis` of what is not NaN; NaN where there is nothing else."""
    return _extreme(x, axis, keepdims, True, "nanmax")


@public
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest over `axis` of what is not NaN; NaN where there is nothing else."""
    return _extreme(x, axis, keepdims, False, "nanmin")


def _place(x: Any, axis: Any, keepdims: bool, largest: bool) -> Any:
    x = value(x)
    found = (argmax if largest else argmin)(_filled(x, -math.inf if largest else math.inf), axis, keepdims)
    if not is_float(x.dtype):
        return found
    axes = normalize_axes(axis, len(x.shape), "nanargmax: axis" if largest else "nanargmin: axis")
    nothing = drop(AllTo(reduced_shape(x.shape, axes))(Isnan()(x)), axes, keepdims) if axes else Isnan()(x)
    return Select()(nothing, scalar(-1, "int32"), found)


@public
def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The position of the first largest along `axis` that is not NaN; -1 where there is nothing else: int32."""
    return _place(x, axis, keepdims, True)


@public
def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The position of the first smallest along `axis` that is not NaN; -1 where there is nothing else: int32."""
    return _place(x, axis, keepdims, False)


def _centre(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """The mean of what is not NaN, kept as size 1, and how many there are."""
    shape = reduced_shape(x.shape, axes)
    count = SumTo(shape)(Cast(x.dtype)(LogicalNot()(Isnan()(x))))
    return Div()(SumTo(shape)(_filled(x, 0.0)), count), count


@public
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over `axis` of what is not NaN."""
    x = floating(x)
    axes = normalize_axes(axis, len(x.shape), "nanmean: axis")
    return drop(_centre(x, axes)[0], axes, keepdims) if axes else x


@public
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean squared distance from the mean over `axis` of what is not NaN."""
    x = floating(x)
    axes = normalize_axes(axis, len(x.shape), "nanvar: axis")
    mean, count = _centre(x, axes)
    distance = Select()(Isnan()(x), scalar(0.0, x.dtype), Sub()(x, mean))
    return drop(Div()(SumTo(reduced_shape(x.shape, axes))(Square()(distance)), count), axes, keepdims)


@public
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The square root of `nanvar`."""
    return Sqrt()(nanvar(x, axis, keepdims))


@public
def nanquantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`quantile` of what is not NaN."""
    return nan_last_quantile(floating(x), q, axis, method, keepdims, "nanquantile")


@public
def nanpercentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """`nanquantile` with q in hundredths."""
    return nan_last_quantile(floating(x), floating(q) / 100.0, axis, method, keepdims, "nanpercentile")


@public
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The median of what is not NaN."""
    return nan_last_quantile(floating(x), 0.5, axis, "linear", keepdims, "nanmedian")
