"""Blocks to channels and back, windows to columns and back, axes by name, pooling to a given size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core.config import standardize_data_format
from nacre.core.tensor import Tensor
from nacre.ops.base import public, value
from nacre.ops.convolution import channels_back, channels_last, numbers, window_count
from nacre.ops.elementwise import floating
from nacre.ops.gather import Take, TakeGradX
from nacre.ops.movement import Pad, axis_back, axis_last, permuted, reshaped, slice_axis
from nacre.ops.products import multiply_matrices
from nacre.ops.reduction import MaxTo, reduced_shape

__all__ = [
    "adaptive_average_pool", "adaptive_max_pool", "depth_to_space", "fold", "rearrange", "space_to_depth", "unfold",
]  # fmt: skip


def _images(x: Any, block_size: Any, data_format: Any, name: str) -> tuple[Any, int, str]:
    layout = standardize_data_format(data_format)
    x = value(x)
    if len(x.shape) != 4:
        raise ValueError(f"{name}: expected images of rank 4, got shape {x.shape}")
    if isinstance(block_size, bool) or not hasattr(block_size, "__index__") or block_size.__index__() < 2:
        raise ValueError(f"{name}: `block_size` must be at least 2, an int. Received: block_size={block_size!r}")
    return channels_last(x, layout), int(block_size.__index__()), layout


@public
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Channels laid out as blocks of pixels: (N, H, W, C) -> (N, H b, W b, C / b / b).

    >>> depth_to_space(np.zeros((1, 2, 3, 8), "float32"), 2).shape
    (1, 4, 6, 2)
    """
    x, b, layout = _images(x, block_size, data_format, "depth_to_space")
    n, h, w, c = x.shape
    if c % (b * b):
        raise ValueError(f"depth_to_space: expected channels to be a multiple of {b * b}, got {c}")
    new = c // (b * b)
    if layout == "channels_first":  # there the channels of a pixel, not those of a block, lie together
        y = permuted(reshaped(x, (n, h, w, new, b, b)), (0, 1, 4, 2, 5, 3))
    else:
        y = permuted(reshaped(x, (n, h, w, b, b, new)), (0, 1, 3, 2, 4, 5))
    return channels_back(reshaped(y, (n, h * b, w * b, new)), layout)


@public
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Blocks of pixels as channels: (N, H, W, C) -> (N, H / b, W / b, C b b)."""
    x, b, layout = _images(x, block_size, data_format, "space_to_depth")
    n, h, w, c = x.shape
    if h % b or w % b:
        raise ValueError(f"space_to_depth: expected height and width to be multiples of {b}, got {h} and {w}")
    order = (0, 1, 3, 5, 2, 4) if layout == "channels_first" else (0, 1, 3, 2, 4, 5)
    y = permuted(reshaped(x, (n, h // b, b, w // b, b, c)), order)
    return channels_back(reshaped(y, (n, h // b, w // b, c * b * b)), layout)


def _pair(v: Any, name: str, what: str, least: int = 1) -> tuple[int, int]:
    if least == 0:
        a, b = (v, v) if isinstance(v, (int, np.integer)) else tuple(v)
        if min(a, b) < 0:
            raise ValueError(f"{name}: expected {what} to be at least 0, got {v!r}")
        return int(a), int(b)
    a, b = numbers(v, 2, name, what)
    return a, b


def _columns(size: Any, window: Any, gaps: Any, pads: Any, steps: Any) -> np.ndarray[Any, Any]:
    """The places (window elements, windows) of each column in a padded image, flattened."""
    (h, w), (kh, kw) = (n + 2 * p for n, p in zip(size, pads)), window
    oh, ow = (window_count(n, k, s, g) for n, k, s, g in zip((h, w), window, steps, gaps))
    gaps, steps = ([min(v, 2**31) for v in pair] for pair in (gaps, steps))  # larger ones lead out of every image
    rows = (np.arange(kh) * gaps[0])[:, None, None, None] + (np.arange(oh) * steps[0])[None, None, :, None]
    columns = (np.arange(kw) * gaps[1])[None, :, None, None] + (np.arange(ow) * steps[1])[None, None, None, :]
    places: np.ndarray[Any, Any] = (rows * w + columns).reshape(kh * kw, oh * ow).astype(np.int32)
    return places


@public
def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Every window of images (N, C, H, W) as a column: (N, C * window elements, windows)."""
    x = value(x)
    if len(x.shape) != 4:
        raise ValueError(f"unfold: expected images (N, C, H, W), got shape {x.shape}")
    window, gaps = _pair(kernel_size, "unfold", "kernel_size"), _pair(dilation, "unfold", "dilation")
    pads, steps = _pair(padding, "unfold", "padding", 0), _pair(stride, "unfold", "stride")
    n, c, h, w = x.shape
    places = _columns((h, w), window, gaps, pads, steps)
    if pads != (0, 0):
        x = Pad(((0, 0), (0, 0), (pads[0], pads[0]), (pads[1], pads[1])))(x)
    y = Take(2)(reshaped(x, (n, c, math.prod(x.shape[2:]))), Tensor(places))
    return reshaped(y, (n, c * places.shape[0], places.shape[1]))


@public
def fold(x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Columns added up into images, each where `unfold` took it from: (N, C * window elements, windows) -> (N, C, H,
    W).
    """
    x = value(x)
    window, gaps = _pair(kernel_size, "fold", "kernel_size"), _pair(dilation, "fold", "dilation")
    pads, steps = _pair(padding, "fold", "padding", 0), _pair(stride, "fold", "stride")
    h, w = _pair(output_size, "fold", "output_size")
    places = _columns((h, w), window, gaps, pads, steps)
    if len(x.shape) != 3 or x.shape[1] % places.shape[0] or x.shape[2] != places.shape[1]:
        raise ValueError(
            f"fold: expected a 3D input (N, C * {places.shape[0]}, {places.shape[1]}), got shape {x.shape}"
        )
    n, c = x.shape[0], x.shape[1] // places.shape[0]
    high, wide = h + 2 * pads[0], w + 2 * pads[1]
    y = TakeGradX(2, (n, c, high * wide))(reshaped(x, (n, c, places.size)), Tensor(places.reshape(-1)))
    y = reshaped(y, (n, c, high, wide))
    return slice_axis(slice_axis(y, 2, pads[0], pads[0] + h), 3, pads[1], pads[1] + w)


# --- pooling to a size ----------------------------------------------------------------------------------------------


def _adaptive(inputs: Any, output_size: Any, data_format: Any, name: str) -> tuple[Any, tuple[int, ...], str]:
    layout = standardize_data_format(data_format)
    x = floating(inputs)
    spatial = len(x.shape) - 2
    if spatial not in (1, 2, 3):
        raise ValueError(f"{name}: expected inputs of rank 3, 4 or 5, got shape {x.shape}")
    x = channels_last(x, layout)
    if isinstance(output_size, (tuple, list)):
        output_size = tuple(n if s is None else s for s, n in zip(output_size, x.shape[1:-1]))
    return x, numbers(output_size, spatial, name, "output_size"), layout


def _runs(n: int, out: int) -> list[tuple[int, int]]:
    """Output i covers the inputs from floor(i n / out) to ceil((i + 1) n / out)."""
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


@public
def adaptive_average_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """The means of windows that just cover inputs (N, spatial..., C) in `output_size` steps."""
    x, sizes, layout = _adaptive(inputs, output_size, data_format, "adaptive_average_pool")
    for axis, out in enumerate(sizes, 1):
        n = x.shape[axis]
        weights = np.zeros((n, out))
        for i, (a, b) in enumerate(_runs(n, out)):
            weights[a:b, i] = 1.0 / (b - a)
        last = axis_last(x, axis)
        rows = reshaped(last, (math.prod(last.shape[:-1]), n))
        y = multiply_matrices(rows, Tensor(weights.astype(x.dtype)))
        x = axis_back(reshaped(y, (*last.shape[:-1], out)), axis)
    return channels_back(x, layout)


@public
def adaptive_max_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """The largest of windows that just cover inputs (N, spatial..., C) in `output_size` steps."""
    x, sizes, layout = _adaptive(inputs, output_size, data_format, "adaptive_max_pool")
    for axis, out in enumerate(sizes, 1):
        runs = _runs(x.shape[axis], out)
        longest = max(b - a for a, b in runs)
        # Shorter windows see their last element several times.
        places = np.array([[min(a + t, b - 1) for t in range(longest)] for a, b in runs], np.int32)
        wide = Take(axis)(x, Tensor(places))
        y = MaxTo(reduced_shape(wide.shape, (axis + 1,)))(wide)
        x = reshaped(y, (*wide.shape[: axis + 1], *wide.shape[axis + 2 :]))
    return channels_back(x, layout)


# --- axes by name ---------------------------------------------------------------------------------------------------


def _groups(side: str, pattern: str) -> list[list[str]]:
    """The names of each axis: "a (b c)" is [[a], [b, c]]."""
    found: list[list[str]] = []
    inside = False
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(" and not inside:
            inside = True
            found.append([])
        elif word == ")" and inside:
            inside = False
        elif word.isidentifier() or word == "1":
            names = [] if word == "1" else [word]
            if inside:
                found[-1] += names
            else:
                found.append(names)
        else:
            raise ValueError(f"rearrange: cannot read {word!r} in {pattern!r}")
    if inside:
        raise ValueError(f"rearrange: a parenthesis stays open in {pattern!r}")
    return found


@public
def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """Axes reordered, joined and taken apart by name: `rearrange(x, "b (h p) c -> b h (p c)", p=2)`.

    >>> rearrange(np.zeros((2, 6, 3), "float32"), "b (h p) c -> b h (p c)", p=2).shape
    (2, 3, 6)
    """
    x = value(tensor)
    if not isinstance(pattern, str):
        raise TypeError(f"rearrange: expected a pattern such as 'a b -> b a', got {pattern!r}")
    left, arrow, right = pattern.partition("->")
    before, after = _groups(left, pattern), _groups(right, pattern)
    names, wanted = [n for g in before for n in g], [n for g in after for n in g]
    if not arrow or sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise ValueError(f"rearrange: both sides of {pattern!r} must name the same axes, each once")
    if len(before) != len(x.shape):
        raise ValueError(f"rearrange: {pattern!r} names {len(before)} axes, the tensor has shape {x.shape}")
    sizes = dict(axes_lengths)
    if not set(sizes) <= set(names) or not all(isinstance(d, (int, np.integer)) and d >= 0 for d in sizes.values()):
        raise ValueError(f"rearrange: expected sizes of axes of {pattern!r}, got {sizes}")
    for group, d in zip(before, x.shape):
        known = math.prod(sizes[n] for n in group if n in sizes)
        unknown = [n for n in group if n not in sizes]
        if len(unknown) > 1 or (unknown and (not known or d % known)) or (not unknown and known != d):
            raise ValueError(f"rearrange: an axis of size {d} cannot be ({' '.join(group)}) with {axes_lengths}")
        if unknown:
            sizes[unknown[0]] = d // known
    x = permuted(reshaped(x, tuple(sizes[n] for n in names)), tuple(names.index(n) for n in wanted))
    return reshaped(x, tuple(math.prod(sizes[n] for n in g) for g in after))
