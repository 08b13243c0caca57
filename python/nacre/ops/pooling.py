"""Max and average pooling over one, two or three spatial axes.

The ops work on NHWC images; positions outside the image belong to no window, so that a "same" average counts only what
it saw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core import trace
from nacre.core.config import standardize_data_format
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.core.tensor import Tensor
from nacre.ops.base import public, scalar, value
from nacre.ops.convolution import (
    Pairs,
    as_images,
    channels_back,
    channels_last,
    numbers,
    padding_name,
    same_padding,
    window_count,
)
from nacre.ops.elementwise import Add, Cast, Div, Eq, Gt, LogicalOr, Ne, Select, floating
from nacre.ops.movement import Pad, Slice, reshaped

__all__ = [
    "average_pool", "max_pool",
]  # fmt: skip

_WIDE = ("float64", "int32", "int64")  # numbers of more digits than float32 has, in which the kernels compute


class _Pool(Op):
    """Windows of `window` elements every `strides`, over an image padded by `padding`."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: Pairs

    def pooled(self, x: tuple[int, ...]) -> tuple[int, ...]:
        size = [
            window_count(n + a + b, k, s) for n, (a, b), k, s in zip(x[1:3], self.padding, self.window, self.strides)
        ]
        return (x[0], *size, x[3])

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...]:
        return (True,) * len(inputs)

    def by_columns(self, *inputs: Spec) -> tuple[bool, ...]:
        return (True, *[False] * (len(inputs) - 1), True)

    def kernel_fields(self, x: Any, y: Any, index: bool) -> dict[str, int]:
        (n, h, w, c), (oh, ow) = x.shape, y.shape[1:3]
        (kh, kw), (sh, sw) = self.window, self.strides
        return {
            "N": n, "H": h, "W": w, "C": c, "KH": kh, "KW": kw, "SH": sh, "SW": sw, "PT": self.padding[0][0],
            "PL": self.padding[1][0], "OH": oh, "OW": ow, "index": int(index), "ldx": x.ld, "ldy": y.ld,
        }  # fmt: skip


class MaxPool2D(_Pool):
    """The largest of each window, NaN if it holds one. x (N, H, W, C) -> y (N, OH, OW, C), float32.

    With `index` also which element of the window it was, which the gradient needs.
    """

    index: bool = True

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("y", "index_of") if self.index else ("y",)

    def infer(self, x: Spec) -> Any:
        y = self.pooled(x.shape)
        if not self.index:
            return Spec(y, x.dtype)
        return Spec(y, x.dtype), Spec(y, "uint8" if math.prod(self.window) <= 256 else "int32")

    def lower(self, k: Any, x: Any, y: Any, index_of: Any = None) -> None:
        if index_of is not None and index_of.dtype == "int32":
            index_of = index_of.as_bytes()
        k.max_pool2d(self.kernel_fields(x, y, self.index), x, y, index_of)

    def grad(self, x: Any, dy: Any, index_of: Any) -> Any:
        return MaxPool2DGradX(self.window, self.strides, self.padding, x.shape[1:3])(dy, index_of)


class MaxPool2DGradX(_Pool):
    """dy at the place of each window's maximum, summed where windows share it: (N, *size, C)."""

    size: tuple[int, int]

    outputs = ("dx",)

    def infer(self, dy: Spec, index: Spec) -> Spec:
        return Spec((dy.shape[0], *self.size, dy.shape[3]), dy.dtype)

    def lower(self, k: Any, dy: Any, index: Any, dx: Any) -> None:
        if index.dtype == "int32":
            index = index.as_bytes()
        k.max_pool2d_grad_x(self.kernel_fields(dx, dy, True), dy, index, dx)

    def grad(self, dy: Any, index: Any, ddx: Any) -> Any:
        # Of ddx, what each window's maximum saw: a sum over the elements of the window of which one is chosen.
        padded = Pad(((0, 0), *((max(a, 0), max(b, 0) + s) for (a, b), s in zip(self.padding, self.window)), (0, 0)))(
            ddx
        )
        n, oh, ow, c = dy.shape
        total = None
        for tap in range(math.prod(self.window)):
            start = (0, tap // self.window[1], tap % self.window[1], 0)
            seen = Slice(start, (n, oh, ow, c), (1, *self.strides, 1))(padded)
            part = Select()(Eq()(index, scalar(tap, index.dtype)), seen, scalar(0.0, ddx.dtype))
            total = part if total is None else Add()(total, part)
        return total, None


class AvgPool2D(_Pool):
    """The mean of what each window sees of the image, or the sum, of windows that do not overlap.
    x (N, H, W, C) -> y (N, OH, OW, C), float32."""

    sums: bool = False

    def infer(self, x: Spec) -> Spec:
        return Spec(self.pooled(x.shape), x.dtype)

    def lower(self, k: Any, x: Any, y: Any) -> None:
        k.avg_pool2d(self.kernel_fields(x, y, self.sums), x, y)

    def grad(self, x: Any, dy: Any) -> Any:
        return AvgPool2DGradX(self.window, self.strides, self.padding, x.shape[1:3], self.sums)(dy)


class AvgPool2DGradX(_Pool):
    """dy spread evenly over what each window saw, or where these are `sums` repeated there: (N, *size, C)."""

    size: tuple[int, int]
    sums: bool = False

    outputs = ("dx",)

    def infer(self, dy: Spec) -> Spec:
        return Spec((dy.shape[0], *self.size, dy.shape[3]), dy.dtype)

    def lower(self, k: Any, dy: Any, dx: Any) -> None:
        k.avg_pool2d_grad_x(self.kernel_fields(dx, dy, self.sums), dy, dx)

    def grad(self, ddx: Any) -> Any:
        return AvgPool2D(self.window, self.strides, self.padding, self.sums)(ddx)


# --- public functions -----------------------------------------------------------------------------------------------


def pool(x: Any, window: tuple[int, ...], steps: tuple[int, ...], pads: Any, largest: bool) -> Any:
    """x (N, ..., C), float32, pooled over one to three axes."""

    def run(images: Any, size: Any, by: Any, around: Any) -> Any:
        if not largest:
            return AvgPool2D(size, by, around)(images)
        if trace.tapes():
            return MaxPool2D(size, by, around, True)(images)[0]
        return MaxPool2D(size, by, around, False)(images)

    if len(window) == 1:
        y = run(as_images(x), (1, *window), (1, *steps), ((0, 0), *pads))
        return reshaped(y, (y.shape[0], *y.shape[2:]))
    if len(window) == 2:
        return run(x, window, steps, tuple(pads))
    # Depth after height and width: the window is a box, so that its maximum and mean can be taken axis by axis.
    n, depth, *plane, c = x.shape
    y = run(reshaped(x, (n * depth, *plane, c)), window[1:], steps[1:], tuple(pads[1:]))
    _, oh, ow, _ = y.shape
    y = run(reshaped(y, (n, depth, oh * ow, c)), (window[0], 1), (steps[0], 1), (pads[0], (0, 0)))
    return reshaped(y, (n, y.shape[1], oh, ow, c))


def enlarged(x: Any, factors: tuple[int, ...]) -> Any:
    """Images x (N, H, W, C), float32, with each pixel so many times along rows and columns."""
    (_, h, w, _), (a, b) = x.shape, factors
    return AvgPool2DGradX((a, b), (a, b), ((0, 0), (0, 0)), (h * a, w * b), True)(x)


def _pool_wide(x: Any, window: tuple[int, ...], steps: tuple[int, ...], pads: Any, largest: bool) -> Any:
    """x (N, ..., C) of more digits than the kernels compute with, pooled by comparing or adding what each place of the
    window sees. The first of equals counts, and NaN as the largest."""
    size = tuple(window_count(n + a + b, k, s) for n, (a, b), k, s in zip(x.shape[1:-1], pads, window, steps))
    least = -math.inf if x.dtype == "float64" else float(np.iinfo(x.dtype).min)
    padded = Pad(((0, 0), *pads, (0, 0)), least if largest else 0.0)(x)
    total = None
    for place in np.ndindex(*window):
        seen = Slice((0, *place, 0), (x.shape[0], *size, x.shape[-1]), (1, *steps, 1))(padded)
        if total is None:
            total = seen
        elif largest:
            total = Select()(LogicalOr()(Gt()(seen, total), Ne()(seen, seen)), seen, total)
        else:
            total = Add()(total, seen)
    if largest:
        return total
    inside = [  # elements of the image under each window
        np.minimum(np.arange(o) * s - a + k, n) - np.maximum(np.arange(o) * s - a, 0)
        for n, (a, _), k, s, o in zip(x.shape[1:-1], pads, window, steps, size)
    ]
    counts = math.prod(np.ix_(*inside), start=np.ones((), x.dtype))
    return Div()(total, Tensor(np.ascontiguousarray(counts[..., None], x.dtype)))


def _pool(name: str, inputs: Any, pool_size: Any, strides: Any, padding: str, data_format: Any, largest: bool) -> Any:
    layout = standardize_data_format(data_format)
    given = value(inputs)
    spatial = len(given.shape) - 2
    if spatial not in (1, 2, 3):
        raise ValueError(
            f"{name}: expected inputs of rank 3, 4 or 5 (batch, spatial axes, channels), got shape {given.shape}"
        )
    x = channels_last(given if largest and given.dtype in _WIDE else floating(given), layout)
    window = numbers(pool_size, spatial, name, "pool_size")
    steps = window if strides is None else numbers(strides, spatial, name, "strides")
    if padding_name(padding, name) == "same":
        pads = tuple(same_padding(n, k, s) for n, k, s in zip(x.shape[1:-1], window, steps))
    else:
        pads = ((0, 0),) * spatial
    if x.dtype in _WIDE:
        y = _pool_wide(x, window, steps, pads, largest)
    else:
        y = pool(x if x.dtype == "float32" else Cast("float32")(x), window, steps, pads, largest)
    if largest and y.dtype != given.dtype:
        y = Cast(given.dtype)(y)
    elif y.dtype != x.dtype:
        y = Cast(x.dtype)(y)
    return channels_back(y, layout)


@public
def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Any:
    """The largest of each window of `pool_size` over the spatial axes of inputs (N, spatial..., C).

    Windows stand every `strides` (the pool size by default); "same" pads so that an axis of n gives ceil(n / stride).

    >>> max_pool(np.arange(4, dtype="float32").reshape(1, 4, 1), 2).tolist()
    [[[1.0], [3.0]]]
    """
    return _pool("max_pool", inputs, pool_size, strides, padding, data_format, True)


@public
def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Any:
    """The mean of each window of `pool_size` over the spatial axes of inputs (N, spatial..., C); padding is not
    counted.

    >>> average_pool(np.arange(4, dtype="float32").reshape(1, 4, 1), 2).tolist()
    [[[0.5], [2.5]]]
    """
    return _pool("average_pool", inputs, pool_size, strides, padding, data_format, False)
