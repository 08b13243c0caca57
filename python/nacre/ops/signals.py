"""Fourier transforms, windows of a signal, and pairwise measures.

A complex number is a pair (real, imaginary) of tensors, as everywhere in keras.ops. A transform of n = a b points is b
transforms of a points, a turn of each number, and a of b (Cooley and Tukey 1965): products of small matrices, which
compile and have gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.spec import is_float, normalize_axis
from nacre.core.tensor import Tensor
from nacre.ops.arithmetic import clip
from nacre.ops.base import composed, public, scalar, value, values_of
from nacre.ops.elementwise import Add, Div, Log, Mul, Sqrt, Square, Sub, SumTo, cast_to, floating, same_float
from nacre.ops.gather import Take, TakeGradX
from nacre.ops.indexing import as_index
from nacre.ops.manipulation import as_shape
from nacre.ops.movement import Pad, axis_back, axis_last, permuted, reshaped, slice_axis
from nacre.ops.products import multiply_matrices
from nacre.ops.reduction import mean

__all__ = [
    "cdist", "corrcoef", "correlate", "extract_sequences", "fft", "fft2", "ifft2", "irfft", "istft", "psnr", "rfft",
    "stft", "trapezoid", "unravel_index",
]  # fmt: skip

_DIRECT = 64  # up to here a transform is one product with the matrix of roots


def _factor(n: int) -> int:
    """The largest factor of n up to its root; 1 for a prime."""
    return next((a for a in range(math.isqrt(n), 1, -1) if n % a == 0), 1)


def _roots(rows: Any, columns: Any, n: int, sign: int, dtype: str) -> tuple[Any, Any]:
    angles = sign * 2 * np.pi * ((np.asarray(rows)[:, None] * np.asarray(columns)[None, :]) % n) / n
    return Tensor(np.cos(angles).astype(dtype)), Tensor(np.sin(angles).astype(dtype))


def _times(a: tuple[Any, Any], b: tuple[Any, Any], product: Any) -> tuple[Any, Any]:
    """The product of complex numbers, elementwise or as matrices."""
    (ar, ai), (br, bi) = a, b
    return Sub()(product(ar, br), product(ai, bi)), Add()(product(ar, bi), product(ai, br))


def _transform(x: tuple[Any, Any], sign: int) -> tuple[Any, Any]:
    """The sums over n of x[..., n] exp(sign 2 pi i n k / N), for rows (M, N)."""
    real, imaginary = x
    m, n = real.shape
    dtype = real.dtype
    a = _factor(n)
    if n <= _DIRECT or a == 1:
        return _times(x, _roots(np.arange(n), np.arange(n), n, sign, dtype), multiply_matrices)
    b = n // a
    # n = b i + j with i < a, j < b: first over i, then turned, then over j; k = k1 + a k2.
    parts = [permuted(reshaped(v, (m, a, b)), (0, 2, 1)) for v in (real, imaginary)]
    inner = _transform((reshaped(parts[0], (m * b, a)), reshaped(parts[1], (m * b, a))), sign)
    turns = _roots(np.arange(b), np.arange(a), n, sign, dtype)
    turned = _times((reshaped(inner[0], (m, b, a)), reshaped(inner[1], (m, b, a))), turns, Mul())
    rows = [reshaped(permuted(v, (0, 2, 1)), (m * a, b)) for v in turned]
    outer = _transform((rows[0], rows[1]), sign)
    back = [reshaped(permuted(reshaped(v, (m, a, b)), (0, 2, 1)), (m, n)) for v in outer]
    return back[0], back[1]


def _along(x: tuple[Any, Any], axis: int, sign: int, scale: float = 1.0) -> tuple[Any, Any]:
    shape = x[0].shape
    if not x[0].size:
        return x
    last = [axis_last(v, axis) for v in x]
    rows = [reshaped(v, (v.size // shape[axis], shape[axis])) for v in last]
    found = _transform((rows[0], rows[1]), sign)
    out = [axis_back(reshaped(v, last[0].shape), axis) for v in found]
    if scale != 1.0:
        out = [Mul()(v, scalar(scale, v.dtype)) for v in out]
    return out[0], out[1]


def _complex(x: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(
            f"{name}: Input `x` should be a tuple of two tensors - real and imaginary. Received: {type(x).__name__}"
        )
    real, imaginary = same_float(x[0], x[1])
    if real.shape != imaginary.shape:
        raise ValueError(
            f"{name}: Input `x` should be a tuple of two tensors - real and imaginary. Both the real and imaginary "
            f"parts should have the same shape. Received: x[0].shape = {real.shape}, x[1].shape = {imaginary.shape}"
        )
    if not real.shape:
        raise ValueError(f"{name}: Input should have rank >= 1. Received: input.shape = {real.shape}")
    return real, imaginary


@public
@composed
def fft(x: Any) -> Any:
    """The discrete Fourier transform along the last axis of a pair (real, imaginary): a pair."""
    pair = _complex(x, "fft")
    return _along(pair, len(pair[0].shape) - 1, -1)


def _two(x: Any, name: str, sign: int) -> Any:
    pair = _complex(x, name)
    rank = len(pair[0].shape)
    if rank < 2:
        raise ValueError(f"{name}: Input should have rank >= 2. Received: input.shape = {pair[0].shape}")
    count = math.prod(pair[0].shape[-2:])
    pair = _along(pair, rank - 1, sign)
    return _along(pair, rank - 2, sign, 1.0 if sign < 0 else 1.0 / max(count, 1))


@public
@composed
def fft2(x: Any) -> Any:
    """The discrete Fourier transform along the last two axes of a pair (real, imaginary): a pair."""
    return _two(x, "fft2", -1)


@public
@composed
def ifft2(x: Any) -> Any:
    """The inverse of `fft2`: a pair."""
    return _two(x, "ifft2", 1)


def _fitted(x: Any, length: int) -> Any:
    """The last axis cut or filled with zeros to `length`."""
    n = x.shape[-1]
    last = len(x.shape) - 1
    if n > length:
        return slice_axis(x, last, 0, length)
    return Pad((*((0, 0),) * last, (0, length - n)))(x) if n < length else x


def _length(n: Any, default: int, name: str) -> int:
    if n is None and default > 0:
        return default
    if n is None:
        raise ValueError(f"{name}: expected at least one number along the last axis; its length would be {default}")
    if isinstance(n, bool) or not hasattr(n, "__index__") or n.__index__() < 1:
        raise ValueError(f"{name}: expected fft_length to be a positive int, got {n!r}")
    return int(n.__index__())


@public
@composed
def rfft(x: Any, fft_length: int | None = None) -> Any:
    """The first half of the Fourier transform of real numbers along the last axis: a pair (..., fft_length // 2 +
    1).
    """
    x = floating(x)
    if not x.shape:
        raise ValueError(f"rfft: Input should have rank >= 1. Received: input.shape = {x.shape}")
    n = _length(fft_length, x.shape[-1], "rfft")
    x = _fitted(x, n)
    last = len(x.shape) - 1
    real, imaginary = _along((x, Mul()(x, scalar(0.0, x.dtype))), last, -1)
    half = n // 2 + 1
    return slice_axis(real, last, 0, half), slice_axis(imaginary, last, 0, half)


@public
@composed
def irfft(x: Any, fft_length: int | None = None) -> Any:
    """The real numbers (..., fft_length) whose `rfft` the pair is; the length is 2 (n - 1) by default."""
    real, imaginary = _complex(x, "irfft")
    n = _length(fft_length, 2 * (real.shape[-1] - 1), "irfft")
    half = n // 2 + 1
    real, imaginary = _fitted(real, half), _fitted(imaginary, half)
    # y[t] = (1/n) sum_k w_k (re cos - im sin)(2 pi k t / n), where all but the ends of the half stand for two.
    count = np.full(half, 2.0)
    count[0] = 1.0
    if n % 2 == 0:
        count[-1] = 1.0
    angles = 2 * np.pi * ((np.arange(half)[:, None] * np.arange(n)[None, :]) % n) / n
    cos, sin = (Tensor((count[:, None] * f(angles) / n).astype(real.dtype)) for f in (np.cos, np.sin))
    rows = [reshaped(v, (v.size // half, half)) for v in (real, imaginary)]
    y = Sub()(multiply_matrices(rows[0], cos), multiply_matrices(rows[1], sin))
    return reshaped(y, (*real.shape[:-1], n))


# --- windows of a signal --------------------------------------------------------------------------------------------


@public
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """Every run of `sequence_length` elements of the last axis, one every `sequence_stride`: (..., runs,
    sequence_length).

    >>> extract_sequences([1, 2, 3, 4, 5], 3, 2).tolist()
    [[1, 2, 3], [3, 4, 5]]
    """
    x = value(x)
    if not x.shape:
        raise ValueError(f"Input should have rank >= 1. Received: input.shape = {x.shape} (extract_sequences)")
    length, step = _positive(sequence_length, "sequence_length"), _positive(sequence_stride, "sequence_stride")
    n = x.shape[-1]
    runs = max((n - length) // step + 1, 0)
    places = (np.arange(runs)[:, None] * step + np.arange(length)[None, :]).astype(np.int32)
    return Take(len(x.shape) - 1)(x, Tensor(places))


def _positive(n: Any, what: str) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__") or n.__index__() < 1:
        raise ValueError(f"`{what}` must be a positive integer. Received: {what}={n!r}")
    return int(n.__index__())


def _window(window: Any, length: int, fft_length: int, dtype: str, name: str) -> Any:
    """The window of `length`, centred in `fft_length` with zeros around it; without a window, ones everywhere."""
    if window is None:
        w = np.ones(length := fft_length)
    elif isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(
                f"{name}: If a string is passed to `window`, it must be one of 'hann', 'hamming'. Received: "
                f"window={window!r}"
            )
        a = 0.5 if window == "hann" else 0.54
        w = a - (1 - a) * np.cos(2 * np.pi * np.arange(length) / length)  # periodic: one more point would be the first
    else:
        w = np.asarray(value(window), np.float64)
        if w.shape != (length,):
            raise ValueError(
                f"{name}: The shape of `window` must be equal to [sequence_length], ({length},). Received: window "
                f"shape={w.shape}"
            )
    before = (fft_length - length) // 2
    return np.pad(w, (before, fft_length - length - before)).astype(dtype)


@public
@composed
def stft(
    x: Any, sequence_length: int, sequence_stride: int, fft_length: int, window: Any = "hann", center: bool = True
) -> Any:
    """The Fourier transforms of windows of a signal: a pair (..., windows, fft_length // 2 + 1).

    With `center` the signal is continued by its mirror image, so that the first window stands over its first element.
    """
    x = value(x)
    if not is_float(x.dtype):
        raise TypeError(f"Invalid input type. Expected `float32` or `float64`. Received: input type={x.dtype}")
    length, n = _positive(sequence_length, "sequence_length"), _positive(fft_length, "fft_length")
    if n < length:
        raise ValueError(
            "stft: `fft_length` must equal or larger than `sequence_length`. Received: "
            f"sequence_length={sequence_length}, fft_length={fft_length}"
        )
    w = _window(window, length, n, x.dtype, "stft")
    if center:
        places = np.pad(np.arange(x.shape[-1]), (n // 2, n // 2), "reflect").astype(np.int32)
        x = Take(len(x.shape) - 1)(x, Tensor(places))
    return rfft(Mul()(extract_sequences(x, n, sequence_stride), Tensor(w)))


@public
@composed
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The signal whose `stft` the pair is: windows are laid over each other and divided by what their windows add up
    to (without a window they are only added).
    """
    n, step = _positive(fft_length, "fft_length"), _positive(sequence_stride, "sequence_stride")
    frames = irfft(x, n)
    if len(frames.shape) < 2:
        raise ValueError(f"istft: Input should have rank >= 2. Received: input.shape = {value(x[0]).shape}")
    *lead, count, _ = frames.shape
    w = _window(window, _positive(sequence_length, "sequence_length"), n, frames.dtype, "istft").astype(np.float64)
    frames = Mul()(frames, Tensor(w.astype(frames.dtype)))
    total = n + step * (count - 1)
    places = (np.arange(count)[:, None] * step + np.arange(n)[None, :]).astype(np.int32).reshape(-1)
    rows = math.prod(lead)
    flat = reshaped(frames, (rows, count * n))
    y = TakeGradX(1, (rows, total))(flat, Tensor(places))
    if window is not None:
        weight = np.zeros(total)
        np.add.at(weight, places, np.tile(w * w, count))
        y = Mul()(y, Tensor(np.where(weight > 1e-10, 1 / np.where(weight > 1e-10, weight, 1), 1.0).astype(y.dtype)))
    start = n // 2 if center else 0
    end = total - start if center and length is None else total if length is None else min(start + length, total)
    return reshaped(slice_axis(y, 1, start, end), (*lead, end - start))


# --- pairs ----------------------------------------------------------------------------------------------------------


@public
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """The sums of products of two vectors, one moved along the other: "valid", "same" or "full".

    >>> correlate([1.0, 2.0, 3.0], [0.0, 1.0, 0.5], mode="same").tolist()
    [2.0, 3.5, 3.0]
    """
    if mode not in ("valid", "same", "full"):
        raise ValueError(f"correlate: expected mode to be 'valid', 'same' or 'full', got {mode!r}")
    a, b = same_float(x1, x2)
    if len(a.shape) != 1 or len(b.shape) != 1 or not a.size or not b.size:
        raise ValueError(f"correlate: expected two vectors with elements, got shapes {a.shape} and {b.shape}")
    n, m = a.size, b.size
    wide = Pad(((m - 1, m - 1),))(a)
    full = multiply_matrices(extract_sequences(wide, m, 1), reshaped(b, (m, 1)))
    full = reshaped(full, (n + m - 1,))
    if mode == "full":
        return full
    size = max(n, m) if mode == "same" else max(n, m) - min(n, m) + 1
    start = (n + m - 1 - size) // 2 if n >= m else -(-(n + m - 1 - size) // 2)
    return slice_axis(full, 0, start, start + size)


@public
def corrcoef(x: Any) -> Any:
    """The correlation of every two rows of a matrix: (M, N) -> (M, M), and () where there is one row."""
    x = floating(x)
    if not x.shape:
        x = reshaped(x, (1,))
    if len(x.shape) > 2:
        raise ValueError(f"corrcoef: expected a vector or a matrix, got shape {x.shape}")
    rows = reshaped(x, (1, *x.shape)) if len(x.shape) < 2 else x
    centred = Sub()(rows, mean(rows, -1, keepdims=True))
    products = multiply_matrices(centred, permuted(centred, (1, 0)))
    size = Sqrt()(SumTo((rows.shape[0], 1))(Square()(centred)))
    y = Div()(products, Mul()(size, permuted(size, (1, 0))))
    return y if rows.shape[0] != 1 or trace.probing() else reshaped(y, ())


@public
def cdist(x: Any, y: Any) -> Any:
    """The distances of every row of x (..., M, D) from every row of y (..., N, D): (..., M, N)."""
    a, b = same_float(x, y)
    if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"cdist: expected (..., M, D) and (..., N, D), got shapes {a.shape} and {b.shape}")
    gaps = Sub()(reshaped(a, (*a.shape[:-1], 1, a.shape[-1])), reshaped(b, (*b.shape[:-2], 1, *b.shape[-2:])))
    squares = SumTo((*gaps.shape[:-1], 1))(Square()(gaps))
    return Sqrt()(reshaped(squares, gaps.shape[:-1]))


@public
def psnr(x1: Any, x2: Any, max_val: float) -> Any:
    """The ratio of the largest possible signal to the mean squared difference, in decibels."""
    a, b = same_float(x1, x2)
    if a.shape != b.shape:
        raise ValueError(f"psnr: expected tensors of one shape, got {a.shape} and {b.shape}")
    error = mean(Square()(Sub()(a, b)))
    scale = 10.0 / math.log(10.0)
    ceiling = scalar(20.0 * math.log10(max_val), error.dtype)
    return Sub()(ceiling, Mul()(Log()(error), scalar(scale, error.dtype)))


@public
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The area below y along `axis` by trapezoids, whose widths are dx or the differences of x.

    >>> trapezoid([1.0, 2.0, 3.0]).item()
    4.0
    """
    v, *given = values_of([y] if x is None else [y, x])
    v = floating(v)
    at = normalize_axis(axis, len(v.shape), "trapezoid: axis")
    last = axis_last(v, at)
    n, end = last.shape[-1], len(last.shape) - 1
    if n < 2:
        return mean(Mul()(last, scalar(0.0, v.dtype)), -1) if n else Sub()(last, last)
    heights = Mul()(Add()(slice_axis(last, end, 1, n), slice_axis(last, end, 0, n - 1)), scalar(0.5, v.dtype))
    if x is None:
        heights = Mul()(heights, scalar(float(dx), v.dtype))
    else:
        places = floating(given[0])
        places = axis_last(places, at) if len(places.shape) == len(v.shape) and len(v.shape) > 1 else places
        m = len(places.shape) - 1
        if m < 0 or places.shape[m] != n:
            raise ValueError(f"trapezoid: expected a place in `x` for each of {n} values, got shape {given[0].shape}")
        heights = Mul()(heights, Sub()(slice_axis(places, m, 1, n), slice_axis(places, m, 0, n - 1)))
    total = SumTo((*heights.shape[:-1], 1))(heights)
    return reshaped(total, heights.shape[:-1])


@public
def unravel_index(indices: Any, shape: Any) -> Any:
    """Positions in a flattened tensor of `shape` as positions along each axis: a tuple of the dtype that came in.

    >>> [i.tolist() for i in unravel_index([5, 2], (2, 3))]
    [[1, 0], [2, 2]]
    """
    given = value(indices)
    index = as_index(given, "unravel_index", floats=True)
    dtype = index.dtype if given.dtype == "bool" else given.dtype
    sizes = as_shape(shape, "unravel_index")
    count = math.prod(sizes)
    index = clip(index, -count, count - 1) % scalar(count, index.dtype)  # from the end when negative
    found = []
    for size in reversed(sizes):
        step = scalar(size, index.dtype)
        found.append(cast_to(index % step, dtype))
        index = index // step
    return tuple(reversed(found))
