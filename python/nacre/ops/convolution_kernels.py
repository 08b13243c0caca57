"""How convolutions of images become kernels: the fields of a call, transformed tiles where fewer multiplications pay,
products of matrices where windows are single pixels."""

from __future__ import annotations

import math
from typing import Any

from nacre.ops.products import lower_grad_w as lower_product_grad_w


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


# Costs in multiply-adds, measured on Zen 5: of a weight that comes from memory, of one that is read to be transformed
# first, of each point that it becomes, and of both transforms for each channel and point of a tile.
_WEIGHT = 16
_UNPACKED = 20
_PACKING = 19
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
    stride, pairs = op.strides[-1], w[2] * w[3]
    phases = stride * stride
    inputs, outputs = _whole_vectors(w)
    channels = phases * inputs + (phases if turned else 1) * outputs  # that are transformed
    size = (y[0], *(-(-n // stride) for n in y[1:3])) if turned else y[:3]

    def cost(tile: int) -> int:
        if tile == 0:
            return w[0] * w[1] * pairs * (math.prod(size) + _WEIGHT)
        tiles, points = _tiles_and_points(tile, w, size, stride)
        packing = 0 if packed else pairs * (w[0] * w[1] * _UNPACKED + phases * points * _PACKING)
        return int(points * (phases * pairs * (tiles + _WEIGHT) + tiles * channels * _TRANSFORM) + packing)

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
    return plain and tuple(window) == (1, 1) and (y[1] * y[2] > _FEW_ROWS or one_pixel(y))


def one_pixel(y: tuple[int, ...]) -> bool:
    """Whether each image is a row, as behind a mean over all pixels: then layers are dense ones."""
    return y[1] * y[2] == 1


_FEW_ROWS = 8
# Channels of a result below which `conv2d`, whose tiles are narrower, does single pixels faster than `dense`; and terms
# of a sum up to which it does not.
_NARROW = 48
_SHORT = 32


def lower_forward(k: Any, op: Any, x: Any, w: Any, b: Any, y: Any, act: int = 0, r: Any = None) -> None:
    """y = x convolved with w, plus b and (conv2d only) r, each of them or nothing, then act: see activate.h."""
    inputs, outputs = w.shape[2:]
    fits = (outputs >= _NARROW and act != 2) or one_pixel(y.shape)
    if by_pixel(op, w.shape[:2], y.shape) and fits and r is None:
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
