"""Convolution over one, two or three spatial axes, its transpose, and the depthwise and separable kinds.

The ops work on NHWC images and HWIO weights. One axis is an image of one row; three axes are sums of 2-D convolutions
over the depth of the window; channels_first is transposed there and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre.core.config import standardize_data_format
from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.ops.base import public, scalar
from nacre.ops.convolution_kernels import lower_forward, lower_grad_w, lower_grad_x, transformable
from nacre.ops.elementwise import Add, BroadcastTo, same_dtype
from nacre.ops.movement import Concat, Pad, Slice, permuted, placed, reshaped
from nacre.ops.products import multiply_matrices

__all__ = [
    "conv", "conv_transpose", "depthwise_conv", "separable_conv",
]  # fmt: skip

Pairs = tuple[tuple[int, int], tuple[int, int]]


class ImageOp(Op):
    """Image by image: (N, ...) and weights, then images or what all of them share."""

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...] | None:
        if transformable(self, inputs[1].shape):
            return None  # how it is multiplied depends on the number of images
        return (True, False, *[len(s.shape) == 4 for s in inputs[2:]])

    def by_columns(self, *inputs: Spec) -> tuple[bool, ...]:
        return (True, *[False] * (len(inputs) - 1), True)


class Conv2D(ImageOp):
    """y[n,oh,ow,o] = sum over the window of x * w; `padding` is ((top, bottom), (left, right)) and may be negative.

    x (N, H, W, C), w (KH, KW, C / groups, O) -> y (N, OH, OW, O). float32.
    """

    strides: tuple[int, int]
    padding: Pairs
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def infer(self, x: Spec, w: Spec) -> Spec:
        out = [
            window_count(n + a + b, size, step, gap)
            for n, (a, b), size, step, gap in zip(x.shape[1:3], self.padding, w.shape, self.strides, self.dilation)
        ]
        return Spec((x.shape[0], *out, w.shape[3]), x.dtype)

    def lower(self, k: Any, x: Any, w: Any, y: Any) -> None:
        lower_forward(k, self, x, w, None, y)

    def grad(self, x: Any, w: Any, dy: Any) -> Any:
        own = (self.strides, self.padding, self.dilation, self.groups)
        return (
            lambda: Conv2DGradX(*own, x.shape[1:3])(dy, w),
            lambda: Conv2DGradW(*own, w.shape[:2])(x, dy),
        )


class Conv2DGradX(ImageOp):
    """The gradient of Conv2D's input, of spatial size `size`; as a forward pass the transposed convolution.

    dy (N, OH, OW, O), w (KH, KW, C / groups, O) -> dx (N, *size, C). float32.
    """

    strides: tuple[int, int]
    padding: Pairs
    dilation: tuple[int, int]
    groups: int
    size: tuple[int, int]

    outputs = ("dx",)

    def infer(self, dy: Spec, w: Spec) -> Spec:
        return Spec((dy.shape[0], *self.size, w.shape[2] * self.groups), dy.dtype)

    def lower(self, k: Any, dy: Any, w: Any, dx: Any) -> None:
        lower_grad_x(k, self, dy, w, dx)

    def grad(self, dy: Any, w: Any, ddx: Any) -> Any:
        own = (self.strides, self.padding, self.dilation, self.groups)
        return lambda: Conv2D(*own)(ddx, w), lambda: Conv2DGradW(*own, w.shape[:2])(ddx, dy)


class Conv2DGradW(Op):
    """The gradient of Conv2D's weights, whose window is `window`.

    x (N, H, W, C), dy (N, OH, OW, O) -> dw (*window, C / groups, O). float32.
    """

    strides: tuple[int, int]
    padding: Pairs
    dilation: tuple[int, int]
    groups: int
    window: tuple[int, int]

    outputs = ("dw",)

    def infer(self, x: Spec, dy: Spec) -> Spec:
        return Spec((*self.window, x.shape[3] // self.groups, dy.shape[3]), x.dtype)

    def by_columns(self, x: Spec, dy: Spec) -> tuple[bool, ...]:
        return True, True

    def lower(self, k: Any, x: Any, dy: Any, dw: Any) -> None:
        lower_grad_w(k, self, x, dy, dw, None)

    def grad(self, x: Any, dy: Any, ddw: Any) -> Any:
        own = (self.strides, self.padding, self.dilation, self.groups)
        return lambda: Conv2DGradX(*own, x.shape[1:3])(dy, ddw), lambda: Conv2D(*own)(x, ddw)


# --- shapes of windows ----------------------------------------------------------------------------------------------


def window_count(n: int, size: int, step: int, gap: int = 1) -> int:
    """How many windows of `size` elements, `gap` apart, fit into n elements, one every `step`."""
    return max((n - (size - 1) * gap - 1) // step + 1, 0)


def same_padding(n: int, size: int, step: int, gap: int = 1) -> tuple[int, int]:
    """The padding with which ceil(n / step) windows fit; an odd element goes behind."""
    total = max((-(-n // step) - 1) * step + (size - 1) * gap + 1 - n, 0)
    return total // 2, total - total // 2


def numbers(given: Any, count: int, name: str, what: str) -> tuple[int, ...]:
    """An int or `count` positive ints, as a tuple. Raises ValueError otherwise."""
    try:
        out = (int(given),) * count if isinstance(given, (int, np.integer)) else tuple(int(v) for v in given)
    except (TypeError, ValueError):
        out = ()
    if isinstance(given, bool) or len(out) != count or min(out, default=1) < 1:
        raise ValueError(f"{name}: expected {what} to be a positive int or {count} of them, got {given!r}")
    return out


def padding_name(padding: Any, name: str) -> str:
    """ "valid" or "same". Raises ValueError for anything else."""
    found = padding.lower() if isinstance(padding, str) else padding
    if found not in ("valid", "same"):
        raise ValueError(f"{name}: expected padding to be 'valid' or 'same', got {padding!r}")
    return found


def channels_last(x: Any, data_format: str) -> Any:
    """`x` (N, C, ...) as (N, ..., C) where it comes channels first."""
    rank = len(x.shape)
    return x if data_format == "channels_last" else permuted(x, (0, *range(2, rank), 1))


def channels_back(y: Any, data_format: str) -> Any:
    """Undoes `channels_last`."""
    rank = len(y.shape)
    return y if data_format == "channels_last" else permuted(y, (0, rank - 1, *range(1, rank - 1)))


def as_images(x: Any) -> Any:
    """(N, W, C) as images of one row."""
    return reshaped(x, (x.shape[0], 1, *x.shape[1:])) if len(x.shape) == 3 else x


def _operands(name: str, inputs: Any, kernel: Any, data_format: Any) -> tuple[Any, Any, str, int]:
    """Inputs as (N, ..., C), the kernel, the format, and the number of spatial axes, all checked."""
    layout = standardize_data_format(data_format)
    x, w = same_dtype(inputs, kernel)
    if x.dtype not in ("float32", "float64"):
        x, w = same_dtype(x, w, np.float32(0))[:2]
    spatial = len(x.shape) - 2
    if spatial not in (1, 2, 3):
        raise ValueError(
            f"{name}: expected inputs of rank 3, 4 or 5 (batch, spatial axes, channels), got shape {x.shape}"
        )
    if len(w.shape) != spatial + 2:
        raise ValueError(
            f"{name}: expected a kernel of rank {spatial + 2} for inputs of shape {x.shape}, got {w.shape}"
        )
    if any(d == 0 for d in w.shape[:-2]):
        raise ValueError(f"{name}: a kernel needs at least one element per spatial axis, got shape {w.shape}")
    return channels_last(x, layout), w, layout, spatial


def convolve(x: Any, w: Any, strides: tuple[int, ...], pads: Any, dilation: tuple[int, ...], groups: int) -> Any:
    """x (N, ..., C) convolved with w (..., C / groups, O) over one to three axes."""
    spatial = len(x.shape) - 2
    if x.dtype != "float32":
        return _by_taps(x, w, strides, pads, dilation, groups)
    if spatial == 1:
        y = Conv2D((1, *strides), ((0, 0), *pads), (1, *dilation), groups)(as_images(x), reshaped(w, (1, *w.shape)))
        return reshaped(y, (y.shape[0], *y.shape[2:]))
    if spatial == 2:
        return Conv2D(strides, tuple(pads), dilation, groups)(x, w)
    n, depth, *rest = x.shape
    before, after = pads[0]
    if (before, after) != (0, 0):
        x = Pad(((0, 0), (before, after), (0, 0), (0, 0), (0, 0)))(x)
    out = window_count(depth + before + after, w.shape[0], strides[0], dilation[0])
    total: Any = None
    for tap in range(w.shape[0]):
        # The slices of depth that this tap meets, as more images of one batch.
        planes = Slice((0, tap * dilation[0], 0, 0, 0), (n, out, *rest), (1, strides[0], 1, 1, 1))(x)
        part = Conv2D(strides[1:], tuple(pads[1:]), dilation[1:], groups)(reshaped(planes, (n * out, *rest)), w[tap])
        total = part if total is None else Add()(total, part)
    return reshaped(total, (n, out, *total.shape[1:]))


def _by_taps(x: Any, w: Any, strides: Any, pads: Any, dilation: Any, groups: int) -> Any:
    """The same for dtypes that the kernels do not take: what each element of the window meets, side by side, times w;
    with groups, which are often of one channel, one product of matrices per element of the window.
    """
    spatial = len(strides)
    x = Pad(((0, 0), *((max(a, 0), max(b, 0)) for a, b in pads), (0, 0)))(x)
    n, *size, channels = x.shape
    out = tuple(window_count(d, k, s, g) for d, k, s, g in zip(size, w.shape, strides, dilation))
    rows, outputs = n * math.prod(out), w.shape[-1]
    taps = list(np.ndindex(*w.shape[:spatial]))
    parts = [
        Slice((0, *(t * g for t, g in zip(tap, dilation)), 0), (n, *out, channels), (1, *strides, 1))(x) for tap in taps
    ]
    if groups == 1:
        windows = Concat(spatial + 1)(*parts) if len(parts) > 1 else parts[0]
        inner = len(taps) * channels
        return reshaped(
            multiply_matrices(reshaped(windows, (rows, inner)), reshaped(w, (inner, outputs))), (n, *out, outputs)
        )
    total = BroadcastTo((groups, rows, outputs // groups))(scalar(0.0, x.dtype))
    for tap, part in zip(taps, parts):
        met = permuted(reshaped(part, (rows, groups, channels // groups)), (1, 0, 2))
        weights = permuted(reshaped(w[tap], (channels // groups, groups, outputs // groups)), (1, 0, 2))
        total = Add()(total, multiply_matrices(met, weights))
    return reshaped(permuted(total, (1, 0, 2)), (n, *out, outputs))


# --- public functions -----------------------------------------------------------------------------------------------


@public
def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Inputs (N, spatial..., C) convolved with a kernel (window..., C / groups, O) over 1, 2 or 3 spatial axes.

    "valid" takes the windows that fit, "same" pads with zeros so that an axis of n gives ceil(n / stride). The number
    of groups is the input channels over the kernel's.

    >>> conv(np.ones((1, 5, 5, 2), "float32"), np.ones((3, 3, 2, 4), "float32"), padding="same").shape
    (1, 5, 5, 4)
    """
    return conv_padded(inputs, kernel, strides, padding_name(padding, "conv"), data_format, dilation_rate)


def conv_padded(
    inputs: Any, kernel: Any, strides: Any, padding: str, data_format: str | None, dilation_rate: Any
) -> Any:
    """`conv`, whose padding may also be "causal": all zeros in front, so that no window looks ahead."""
    x, w, layout, spatial = _operands("conv", inputs, kernel, data_format)
    steps = numbers(strides, spatial, "conv", "strides")
    gaps = numbers(dilation_rate, spatial, "conv", "dilation_rate")
    channels, per_group = x.shape[-1], w.shape[-2]
    if per_group == 0 or channels % per_group or w.shape[-1] % (channels // per_group or 1):
        raise ValueError(
            "conv: The number of input channels must match the kernel (or be a multiple of its own, the number of "
            f"groups, which divides the output channels). Received: inputs.shape={x.shape}, kernel.shape={w.shape}"
        )
    if padding == "same":
        pads = tuple(same_padding(*a) for a in zip(x.shape[1:-1], w.shape, steps, gaps))
    elif padding == "causal":
        pads = tuple(((size - 1) * gap, 0) for size, gap in zip(w.shape, gaps))
    else:
        pads = ((0, 0),) * spatial
    for n, size, step, gap in zip(x.shape[1:-1], w.shape, steps, gaps):
        if padding == "valid" and n and not window_count(n, size, step, gap):
            raise ValueError(
                "conv: Computed output size would be zero or negative, a window is larger than the input. Received "
                f"`inputs shape={tuple(inputs.shape)}`, `kernel shape={w.shape}`, `dilation_rate={gaps}`, "
                f"`strides={steps}`, `padding={padding}`."
            )
    return channels_back(convolve(x, w, steps, pads, gaps, max(channels // per_group, 1)), layout)


@public
def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Each channel convolved by itself: kernel (window..., C, multiplier) -> (N, ..., C * multiplier).

    >>> depthwise_conv(np.ones((1, 4, 4, 3), "float32"), np.ones((2, 2, 3, 2), "float32")).shape
    (1, 3, 3, 6)
    """
    x, w, layout, spatial = _operands("depthwise_conv", inputs, kernel, data_format)
    steps = numbers(strides, spatial, "depthwise_conv", "strides")
    gaps = numbers(dilation_rate, spatial, "depthwise_conv", "dilation_rate")
    channels, multiplier = w.shape[-2:]
    if channels != x.shape[-1]:
        raise ValueError(
            "depthwise_conv: input channels must match the kernel. Expected a kernel for "
            f"{x.shape[-1]} channels, got shape {w.shape}"
        )
    if padding_name(padding, "depthwise_conv") == "same":
        pads = tuple(same_padding(*a) for a in zip(x.shape[1:-1], w.shape, steps, gaps))
    else:
        pads = ((0, 0),) * spatial
    w = reshaped(w, (*w.shape[:-2], 1, channels * multiplier))
    return channels_back(convolve(x, w, steps, pads, gaps, max(channels, 1)), layout)


@public
def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """A depthwise convolution and then one with a window of one element that mixes the channels."""
    x = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(x, pointwise_kernel, 1, "valid", data_format, 1)


@public
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """The transpose of `conv`: kernel (window..., O, C), each input element adds the window times itself to the output.

    An axis of n gives n * stride ("same"), or that plus what the window reaches beyond ("valid"); `output_padding`
    sets the size explicitly.

    >>> conv_transpose(np.ones((1, 4, 4, 2), "float32"), np.ones((3, 3, 5, 2), "float32"), 2, "same").shape
    (1, 8, 8, 5)
    """
    x, w, layout, spatial = _operands("conv_transpose", inputs, kernel, data_format)
    steps = numbers(strides, spatial, "conv_transpose", "strides")
    gaps = numbers(dilation_rate, spatial, "conv_transpose", "dilation_rate")
    if w.shape[-1] != x.shape[-1]:
        raise ValueError(
            "conv_transpose: The number of input channels must match the kernel (window..., output channels, "
            f"{x.shape[-1]}). Received: inputs.shape={x.shape}, kernel.shape={w.shape}"
        )
    same = padding_name(padding, "conv_transpose") == "same"
    if output_padding is None:
        extra: tuple[Any, ...] = (None,) * spatial
    elif isinstance(output_padding, int):
        extra = (output_padding,) * spatial
    else:
        extra = tuple(output_padding)
    for e, s in zip(extra, steps):
        if e is not None and not 0 <= e < s:
            raise ValueError(
                f"conv_transpose: output_padding must be smaller than the strides {steps}, got {output_padding!r}"
            )
    sizes, pads = [], []
    for n, size, step, gap, e in zip(x.shape[1:-1], w.shape, steps, gaps, extra):
        length, pad = transposed_length(n, size, step, gap, same, e)
        sizes.append(length)
        pads.append(pad)
    return channels_back(_spread(x, w, steps, tuple(pads), gaps, tuple(sizes)), layout)


def transposed_length(
    n: int, size: int, step: int, gap: int, same: bool, extra: int | None
) -> tuple[int, tuple[int, int]]:
    """The output length of a transposed convolution, and the padding of the convolution that it undoes."""
    reach = (size - 1) * gap + 1
    if extra is None:
        length = n * step if same else n * step + max(reach - step, 0)
    else:
        length = (n - 1) * step + reach + extra - (2 * (reach // 2) if same else 0)
    # "same" centres the window: of what the full result has more, the larger part is cut in front.
    more = length - 1 - (n - 1) * step + reach - 1
    before = max(reach - 1 - -(-more // 2), 0) if same else 0
    return length, (before, (n - 1) * step + reach - length - before)


def _spread(x: Any, w: Any, steps: Any, pads: Any, gaps: Any, sizes: tuple[int, ...]) -> Any:
    """The gradient of a convolution as a forward pass over one to three axes."""
    spatial = len(sizes)
    if x.dtype != "float32":
        return _spread_by_taps(x, w, steps, pads, gaps, sizes)
    if spatial == 1:
        op = Conv2DGradX((1, *steps), ((0, 0), *pads), (1, *gaps), 1, (1, *sizes))
        y = op(as_images(x), reshaped(w, (1, *w.shape)))
        return reshaped(y, (y.shape[0], *y.shape[2:]))
    if spatial == 2:
        return Conv2DGradX(steps, pads, gaps, 1, sizes)(x, w)
    n, depth, *rest = x.shape
    plane = Conv2DGradX(steps[1:], pads[1:], gaps[1:], 1, sizes[1:])
    flat = reshaped(x, (n * depth, *rest))
    total: Any = None
    for tap in range(w.shape[0]):
        part = plane(flat, w[tap])
        part = reshaped(part, (n, depth, *part.shape[1:]))
        part = _place(part, 1, tap * gaps[0] - pads[0][0], steps[0], sizes[0])
        total = part if total is None else Add()(total, part)
    return total


def _place(x: Any, axis: int, first: int, step: int, length: int) -> Any:
    """The slices of `x` along `axis` at first, first + step, ... of an axis of `length` zeros; what falls outside is
    lost.
    """
    n = x.shape[axis]
    keep = [i for i in range(n) if 0 <= first + i * step < length]
    shape = list(x.shape)
    if not keep:
        return BroadcastTo((*shape[:axis], length, *shape[axis + 1 :]))(scalar(0.0, x.dtype))
    begin = tuple(keep[0] if a == axis else 0 for a in range(len(shape)))
    shape[axis] = len(keep)
    x = Slice(begin, tuple(shape), (1,) * len(shape))(x) if len(keep) != n else x
    start = tuple(first + keep[0] * step if a == axis else 0 for a in range(len(shape)))
    steps = tuple(step if a == axis else 1 for a in range(len(shape)))
    return placed(x, (*shape[:axis], length, *shape[axis + 1 :]), start, steps)


def _spread_by_taps(x: Any, w: Any, steps: Any, pads: Any, gaps: Any, sizes: tuple[int, ...]) -> Any:
    spatial = len(sizes)
    n, *size, channels = x.shape
    rows = reshaped(x, (n * math.prod(size), channels))
    total: Any = None
    for tap in np.ndindex(*w.shape[:spatial]):
        part = multiply_matrices(rows, permuted(w[tap], (1, 0)))
        part = reshaped(part, (n, *size, w.shape[-2]))
        for a in range(spatial):
            part = _place(part, a + 1, tap[a] * gaps[a] - pads[a][0], steps[a], sizes[a])
        total = part if total is None else Add()(total, part)
    return total
