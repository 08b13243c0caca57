"""Elements around a tensor, by NumPy's modes."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.spec import is_float
from nacre.core.tensor import Tensor
from nacre.ops import reduction
from nacre.ops.arithmetic import floor, round
from nacre.ops.base import public, scalar, value
from nacre.ops.elementwise import cast_to
from nacre.ops.gather import Take
from nacre.ops.manipulation import broadcast_to, concatenate, sizes_of
from nacre.ops.movement import Pad, slice_axis
from nacre.ops.sorting import median

__all__ = ["pad"]

_BY_INDEX = ("reflect", "symmetric", "edge", "wrap")
_OF_AXIS = {"maximum": reduction.max, "minimum": reduction.min, "mean": reduction.mean, "median": median}
_MODES = ("constant", "empty", *_BY_INDEX, *_OF_AXIS, "linear_ramp")


@public
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """`x` with elements around it: `pad_width` is `(before, after)` for each axis, one pair for all, or one number.

    `mode` is "constant" (filled with `constant_values`, 0 by default), "empty" (0), "reflect", "symmetric", "edge",
    "wrap", "linear_ramp" (down to 0), or what the axis has as its "maximum", "minimum", "mean" or "median".

    >>> pad([1, 2], (1, 2)).tolist()
    [0, 1, 2, 0, 0]
    """
    x = value(x)
    widths = _pad_widths(pad_width, len(x.shape))
    if mode not in _MODES:
        raise ValueError(f"pad: expected mode to be one of {list(_MODES)}, got {mode!r}")
    if mode != "constant":
        if constant_values is not None:
            raise ValueError(
                "Argument `constant_values` can only be provided when `mode == 'constant'`. Received: "
                f"mode={mode}, constant_values={constant_values!r}"
            )
        if mode != "empty":
            return _pad_by_index(x, widths, mode) if mode in _BY_INDEX else _pad_by_value(x, widths, mode)
    if all(w == (0, 0) for w in widths):
        return x
    fill = 0 if constant_values is None else constant_values
    if isinstance(fill, (Tensor, np.ndarray, np.generic)):
        fill = np.asarray(fill).item() if np.size(fill) == 1 else fill
    if type(fill) not in (int, float, bool):
        raise TypeError(f"pad: expected constant_values to be a number, got {constant_values!r}")
    if type(fill) is int:
        scalar(fill, x.dtype)  # raises for what does not fit
    sizes_of(tuple(a + d + b for d, (a, b) in zip(x.shape, widths)), "pad")
    return Pad(widths, float(fill))(x)


def _pad_widths(pad_width: Any, rank: int) -> tuple[tuple[int, int], ...]:
    try:
        array = np.asarray(pad_width)
        if array.dtype.kind not in "iu":
            raise ValueError
        pairs = np.broadcast_to(array, (rank, 2)).tolist()
    except ValueError:
        raise ValueError(
            f"pad: expected pad_width to be an int, a pair, or a pair for each of {rank} axes, got {pad_width!r}"
        ) from None
    if any(w < 0 for p in pairs for w in p):
        raise ValueError(f"pad: widths cannot be negative, got {pad_width!r}")
    return tuple((a, b) for a, b in pairs)


def _pad_by_index(x: Any, widths: tuple[tuple[int, int], ...], mode: str) -> Any:
    """Each padded axis is gathered by the positions that NumPy's mode repeats."""
    for axis, (before, after) in enumerate(widths):
        if before or after:
            _check_filled(x, axis, mode)
            places = np.arange(x.shape[axis], dtype=np.int32)
            index = np.pad(places, (before, after), mode=mode)  # type: ignore[call-overload]
            x = Take(axis)(x, Tensor(index))
    return x


def _pad_by_value(x: Any, widths: tuple[tuple[int, int], ...], mode: str) -> Any:
    """What stands around is computed, axis by axis: of the whole axis, or of its first and last elements."""
    for axis, (before, after) in enumerate(widths):
        if not (before or after):
            continue
        _check_filled(x, axis, mode)
        n = x.shape[axis]
        if mode == "linear_ramp":
            first, last = slice_axis(x, axis, 0, 1), slice_axis(x, axis, n - 1, n)
            sides = [_ramp(first, axis, before, 1), _ramp(last, axis, after, -1)]
        else:
            of_axis = _OF_AXIS[mode](x, axis=axis, keepdims=True)
            of_axis = of_axis if is_float(x.dtype) else cast_to(round(of_axis), x.dtype)
            shape = of_axis.shape
            sides = [broadcast_to(of_axis, (*shape[:axis], w, *shape[axis + 1 :])) for w in (before, after)]
        x = concatenate([sides[0], x, sides[1]], axis)
    return x


def _ramp(edge: Any, axis: int, width: int, order: int) -> Any:
    """`width` elements from 0, in equal steps that lead to `edge` (..., 1, ...); from it down where `order` is -1."""
    share = np.arange(width)[::order].reshape(-1, *[1] * (len(edge.shape) - axis - 1)) / (width or 1)
    if is_float(edge.dtype):
        return edge * Tensor(share.astype(edge.dtype))
    return cast_to(floor(cast_to(edge, "float64") * Tensor(share)), edge.dtype)


def _check_filled(x: Any, axis: int, mode: str) -> None:
    if x.shape[axis] == 0:
        raise ValueError(f"pad: mode {mode!r} cannot fill an empty axis; axis {axis} of shape {x.shape}")
