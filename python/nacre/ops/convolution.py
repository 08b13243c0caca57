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
from nacre.ops.elementwise import Add, BroadcastTo, same_dtype
from nacre.ops.movement import Concat, Pad, Slice, permuted, placed, reshaped
from nacre.ops.products import lower_grad_w as lower_product_grad_w
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


def conv_fields(
    op: Any, x: Any, w: Any, y: Any, bias: bool = False, act: int = 0, ldx: int = 0, ldy: int = 0
) -> tuple[str, dict[str, int]]:
    """Which family of kernels takes these shapes of x, w and y, and its fields: each channel for itself, or any
    other.
    """
    (sh, sw), (dh, dw) = op.strides, op.dilation
    fields = {
        "N": x[0], "H": x[1], "W": x[2], "C": x[3], "KH": w[0], "KW": w[1], "SH": sh, "SW": sw, "DH": dh, "DW": dw,
        "PT": op.padding[0][0], "PL": op.padding[1][0], "OH": y[1], "OW": y[2], "bias": int(bias), "act": act,
        "ldx": ldx, "ldy": ldy,
    }  # fmt: skip
    if op.groups == x[3] > 1 and w[2] == 1:
        return "depthwise_conv2d", {**fields, "M": w[3] // x[3]}
    return "conv2d", {**fields, "O": w[3], "G": op.groups, "residual": 0, "ldr": 0}


# Costs in multiply-adds, measured on Zen 5: of a weight that comes from memory, of one that is transformed first, and
# of both transforms for each channel and point of a tile.
_WEIGHT = 16
_PACKING = 32
_TRANSFORM = 11
# The gradient of weights: of a sum that is turned into them, of both transforms; and outputs for which the plain
# kernel has another way.
_SUM = 12
_GRADIENT_TRANSFORM = 8
_FEW_OUTPUTS = 8


def transformable(op: Any, w: tuple[int, ...]) -> bool:
    """Whether tiles of a convolution with weights `w` may be transformed."""
    windows = {(1, 1): ((3, 3), (5, 5), (1, 3), (1, 5)), (2, 2): ((4, 4), (5, 5))}
    return w[:2] in windows.get(op.strides, ()) and op.dilation == (1, 1) and op.groups == 1


def tile_for(op: Any, w: tuple[int, ...], y: tuple[int, ...], packed: bool = False, turned: bool = False) -> int:
    """The tile, 2 or 4, by which a convolution with weights `w` and outputs `y` costs least (ADR 0015); 0 where it
    costs less without. `packed`: the weights stand transformed already. `turned`: y is the gradient of its inputs."""
    if not transformable(op, w) or 0 in (*w, *y):
        return 0
    stride, pairs, weight = op.strides[-1], w[2] * w[3], _WEIGHT if packed else _WEIGHT + _PACKING
    phases = stride * stride
    inputs, outputs = _whole_vectors(w)
    channels = phases * inputs + (phases if turned else 1) * outputs  # that are transformed
    size = (y[0], *(-(-n // stride) for n in y[1:3])) if turned else y[:3]

    def cost(tile: int) -> int:
        if tile == 0:
            return w[0] * w[1] * pairs * (math.prod(size) + _WEIGHT)
        tiles, points = _tiles_and_points(tile, w, size, stride)
        return int(points * (phases * pairs * (tiles + weight) + tiles * channels * _TRANSFORM))

    return min(_tiles_of(w, stride), key=cost)


def _whole_vectors(w: tuple[int, ...]) -> tuple[int, ...]:
    """Input and output channels, in vectors of 16."""
    return tuple(-(-n // 16) * 16 for n in w[2:])


def _tiles_of(w: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """The tiles that there are for weights `w`, and 0."""
    return {2: (0, 4), 3: (0, 2, 4), 5: (0, 2)}[-(-w[1] // stride)]


def _tiles_and_points(tile: int, w: tuple[int, ...], y: tuple[int, ...], stride: int) -> tuple[int, int]:
    """How many tiles outputs `y` have, and how many products each of them takes for each pair of channels and phase."""
    rows, taps = tile if w[0] > 1 else 1, [-(-n // stride) for n in w[:2]]
    return y[0] * -(-y[1] // rows) * -(-y[2] // tile), (rows + taps[0] - 1) * (tile + taps[1] - 1)


def grad_w_tile_for(op: Any, w: tuple[int, ...], y: tuple[int, ...]) -> int:
    """The same for the gradient of weights of shape `w`."""
    if not transformable(op, w) or 0 in (*w, *y) or w[3] < _FEW_OUTPUTS:
        return 0
    stride = op.strides[-1]
    return min(_tiles_of(w, stride), key=lambda tile: grad_w_cost(tile, w, y, stride))


def grad_w_cost(tile: int, w: tuple[int, ...], y: tuple[int, ...], stride: int) -> int:
    """Of the gradient of weights by tiles, plain where `tile` is 0, in multiply-adds."""
    inputs, outputs = _whole_vectors(w)
    pairs = w[2] * outputs
    if tile == 0:
        return w[0] * w[1] * pairs * y[0] * y[1] * y[2]
    tiles, points = _tiles_and_points(tile, w, y, stride)
    return stride * stride * points * (pairs * (tiles + _SUM) + tiles * (inputs + outputs) * _GRADIENT_TRANSFORM)


def tile_fields(tile: int, op: Any, w: tuple[int, ...], turned: bool = False) -> dict[str, int]:
    """Fields of `conv2d_winograd_pack`, which asks an image for its channels alone and, turned, for its padding."""
    inputs, outputs = w[:1:-1] if turned else w[2:]
    names = ("bias", "act", "ldx", "ldy", "residual", "ldr", "masked")
    image = {**dict.fromkeys(("N", "H", "W", "OH", "OW"), 1), **dict.fromkeys(names, 0)}
    window = {"KH": w[0], "KW": w[1], "stride": op.strides[-1], "tile": tile, "turned": int(turned)}
    pads = [before for before, _ in op.padding] if turned else (0, 0)
    return {**image, "C": inputs, "O": outputs, "PT": pads[0], "PL": pads[1], **window}


def image_fields(
    tile: int,
    window: tuple[int, ...],
    op: Any,
    x: Any,
    y: Any,
    bias: bool,
    act: int,
    residual: bool,
    masked: bool = False,
    turned: bool = False,
    lds: tuple[int, int, int] = (0, 0, 0),
) -> dict[str, int]:
    """Fields of `conv2d_winograd` for images of these shapes; `lds`: of x, y and the residual."""
    return {
        "N": x[0], "H": x[1], "W": x[2], "C": x[3], "O": y[3], "PT": op.padding[0][0], "PL": op.padding[1][0],
        "OH": y[1], "OW": y[2], "bias": int(bias), "act": act, "ldx": lds[0], "ldy": lds[1], "residual": int(residual),
        "ldr": lds[2], "KH": window[0], "KW": window[1], "stride": op.strides[-1], "tile": tile,
        "masked": int(masked), "turned": int(turned),
    }  # fmt: skip


def transformed(k: Any, tile: int, op: Any, w: Any, turned: bool = False) -> Any:
    """The weights as `conv2d_winograd` reads them."""
    fields = tile_fields(tile, op, w.shape, turned)
    u = k.temp((k.extent("conv2d_winograd_pack", fields, 1),), w.dtype)
    k.conv2d_winograd_pack(fields, w, u)
    return u


def by_pixel(op: Any, window: tuple[int, ...], y: tuple[int, ...]) -> bool:
    """Whether the pixels of images y are rows of a product of matrices, and so many that it sums in the same order for
    any number of images."""
    plain = (op.strides, op.padding, op.groups) == ((1, 1), ((0, 0), (0, 0)), 1)
    return plain and tuple(window) == (1, 1) and y[1] * y[2] > _FEW_ROWS


_FEW_ROWS = 8
# Channels of a result below which `conv2d`, whose tiles are narrower, does single pixels faster than `dense`; and terms
# of a sum up to which it does not.
_NARROW = 48
_SHORT = 32


def lower_forward(k: Any, op: Any, x: Any, w: Any, b: Any, y: Any, act: int = 0, r: Any = None) -> None:
    """y = x convolved with w, plus b and (conv2d only) r, each of them or nothing, then act: 0 nothing, 1 relu, 2
    relu6."""
    inputs, outputs = w.shape[2:]
    if by_pixel(op, w.shape[:2], y.shape) and outputs >= _NARROW and r is None and act < 2:
        rows = dict(M=math.prod(y.shape[:3]), K=inputs, N=outputs, ldx=x.ld, x0=0, ldy=y.ld, y0=0)
        k.dense({**rows, "bias": int(b is not None), "act": act}, x, w, b, y)
        return
    kernel, fields = conv_fields(op, x.shape, w.shape, y.shape, b is not None, act, x.ld, y.ld)
    tile = tile_for(op, w.shape, y.shape)
    ldr = 0 if r is None else r.ld
    if tile:
        winograd = image_fields(
            tile, w.shape[:2], op, x.shape, y.shape, b is not None, act, r is not None, lds=(x.ld, y.ld, ldr)
        )
        k.conv2d_winograd(winograd, x, transformed(k, tile, op, w), b, r, None, y)
    elif kernel == "conv2d":
        k.conv2d({**fields, "residual": int(r is not None), "ldr": ldr}, x, w, b, r, y)
    else:
        k.depthwise_conv2d(fields, x, w, b, y)


def lower_grad_x(
    k: Any, op: Any, dy: Any, w: Any, dx: Any, b: Any = None, r: Any = None, h: Any = None, relu: bool = False
) -> None:
    """dx, plus b, plus r, where these are given, then through a relu or 0 where h is not positive."""
    inputs, outputs = w.shape[2:]
    wide = inputs >= _NARROW or outputs <= _SHORT
    if by_pixel(op, w.shape[:2], dy.shape) and wide and b is None and r is None and not relu:
        rows = dict(M=math.prod(dy.shape[:3]), N=outputs, K=inputs, ldy=dy.ld, y0=0, ldx=dx.ld, x0=0)
        mask = dict(mask=int(h is not None), ldh=0 if h is None else h.ld, h0=0)
        k.dense_grad_x({**rows, **mask}, dy, w, h, dx)
        return
    act = 2 if relu else int(h is not None)
    kernel, fields = conv_fields(op, dx.shape, w.shape, dy.shape, b is not None, act, dx.ld, dy.ld)
    ldr = 0 if r is None else r.ld
    tile = tile_for(op, (*w.shape[:2], w.shape[3], w.shape[2]), dx.shape, turned=True)
    if tile:
        winograd = image_fields(
            tile, w.shape[:2], op, dy.shape, dx.shape, b is not None, int(relu), r is not None, h is not None, True,
            (dy.ld, dx.ld, ldr),
        )  # fmt: skip
        k.conv2d_winograd(winograd, dy, transformed(k, tile, op, w, turned=True), b, r, h, dx)
    elif kernel == "conv2d":
        k.conv2d_grad_x({**fields, "residual": int(r is not None), "ldr": ldr}, dy, w, b, r, h, dx)
    else:
        k.depthwise_conv2d_grad_x(fields, dy, w, h, dx)


def lower_grad_w(k: Any, op: Any, x: Any, dy: Any, dw: Any, db: Any) -> None:
    """dw, and db unless it is None; where the kernel gives partial sums, a second one joins them."""
    if by_pixel(op, dw.shape[:2], dy.shape) and db is None:
        inputs, outputs = dw.shape[2:]
        lower_product_grad_w(k, math.prod(dy.shape[:3]), inputs, outputs, x, dy, dw)
        return
    kernel, fields = conv_fields(op, x.shape, dw.shape, dy.shape, db is not None, 0, x.ld, dy.ld)
    tile = grad_w_tile_for(op, dw.shape, dy.shape)
    if tile:
        kernel = "conv2d_winograd"
        lds = (x.ld, dy.ld, 0)
        fields = image_fields(tile, dw.shape[:2], op, x.shape, dy.shape, db is not None, 0, False, lds=lds)
    first, join = getattr(k, kernel + "_grad_w"), getattr(k, kernel + "_grad_w_join")
    parts = k.extent(kernel + "_grad_w", fields, 2) // dw.size if dw.size else 1
    if parts <= 1:
        first(fields, x, dy, dw, db)
        return
    dw_parts = k.temp((parts, *dw.shape), dw.dtype)
    db_parts = None if db is None else k.temp((parts, *db.shape), db.dtype)
    first(fields, x, dy, dw_parts, db_parts)
    join(fields, dw_parts, db_parts, dw, db)


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
