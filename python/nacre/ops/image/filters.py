"""Colours, blurs, edges and likeness of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.spec import is_float
from nacre.core.tensor import Symbol, Tensor
from nacre.ops.base import composed, public, scalar, value
from nacre.ops.convolution import convolve, numbers
from nacre.ops.elementwise import (
    Abs,
    Add,
    Div,
    Eq,
    Exp,
    Floor,
    Lt,
    Max,
    Min,
    Mul,
    Select,
    Sub,
    cast_to,
    floating,
    same_dtype,
)
from nacre.ops.image.layout import Batch
from nacre.ops.movement import Concat, reshaped, slice_axis
from nacre.ops.reduction import mean, sum


def _c(number: float, x: Any) -> Any:
    return scalar(number, x.dtype)


def _float_images(images: Any, name: str) -> None:
    if not is_float(value(images).dtype):
        raise ValueError(
            f"{name}: Invalid images dtype: expected float dtype. Received: images.dtype={value(images).dtype}"
        )


def _rgb(images: Any, data_format: Any, name: str) -> tuple[Batch, list[Any]]:
    batch = Batch(images, data_format, name)
    if batch.x.shape[-1] != 3:
        raise ValueError(
            f"{name}: Input images must have 3 channels, but received images with {batch.x.shape[-1]} channels. "
            f"Received images of shape {value(images).shape}"
        )
    return batch, [slice_axis(floating(batch.x), 3, i, i + 1) for i in range(3)]


@public
def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """The brightness of colours as one channel: 0.2989 red + 0.587 green + 0.114 blue. One channel stays as it is."""
    grey = Batch(images, data_format, "rgb_to_grayscale")
    if grey.x.shape[-1] == 1:
        return value(images)
    if grey.x.shape[-1] != 3:
        raise ValueError(
            "rgb_to_grayscale: Invalid channel size: expected 3 (RGB) or 1 (Grayscale). Received input with shape: "
            f"images.shape={value(images).shape}"
        )
    batch, (r, g, b) = _rgb(images, data_format, "rgb_to_grayscale")
    y = Add()(Add()(Mul()(r, _c(0.2989, r)), Mul()(g, _c(0.587, r))), Mul()(b, _c(0.114, r)))
    return batch.back(cast_to(y, batch.x.dtype))


@public
@composed
def rgb_to_hsv(images: Any, data_format: str | None = None) -> Any:
    """Red, green, blue from 0 to 1 as hue, saturation, value, all from 0 to 1."""
    _float_images(images, "rgb_to_hsv")
    batch, (r, g, b) = _rgb(images, data_format, "rgb_to_hsv")
    top = Max()(Max()(r, g), b)
    span = Sub()(top, Min()(Min()(r, g), b))
    grey = Eq()(span, _c(0.0, r))
    safe = Select()(grey, _c(1.0, r), span)
    apart = Div()(Sub()(g, b), safe)  # from -1 to 1
    from_red = Select()(Lt()(apart, _c(0.0, r)), Add()(apart, _c(6.0, r)), apart)
    from_green = Add()(Div()(Sub()(b, r), safe), _c(2.0, r))
    from_blue = Add()(Div()(Sub()(r, g), safe), _c(4.0, r))
    hue = Select()(Eq()(top, r), from_red, Select()(Eq()(top, g), from_green, from_blue))
    hue = Select()(grey, _c(0.0, r), Mul()(hue, _c(1.0 / 6.0, r)))
    dark = Eq()(top, _c(0.0, r))
    saturation = Select()(dark, _c(0.0, r), Div()(span, Select()(dark, _c(1.0, r), top)))
    return batch.back(Concat(3)(hue, saturation, top))


@public
@composed
def hsv_to_rgb(images: Any, data_format: str | None = None) -> Any:
    """Hue, saturation, value from 0 to 1 as red, green, blue from 0 to 1."""
    _float_images(images, "hsv_to_rgb")
    batch, (h, s, v) = _rgb(images, data_format, "hsv_to_rgb")

    k = Mul()(Sub()(h, Floor()(h)), _c(6.0, h))  # sixths of the circle: red, yellow, green, cyan, blue, magenta
    strength = Mul()(v, s)

    def channel(centre: float, sign: float, offset: float) -> Any:
        # v - v s min(1, max(0, offset + sign |k - centre|))
        lack = Add()(Mul()(Abs()(Sub()(k, _c(centre, h))), _c(sign, h)), _c(offset, h))
        return Sub()(v, Mul()(strength, Min()(Max()(lack, _c(0.0, h)), _c(1.0, h))))

    return batch.back(Concat(3)(channel(3.0, -1.0, 2.0), channel(2.0, 1.0, -1.0), channel(4.0, 1.0, -1.0)))


def _filtered(x: Any, kernel: Any, padding: str) -> Any:
    """Each channel of (N, H, W, C) convolved by the same kernel (KH, KW)."""
    c = x.shape[-1]
    kh, kw = kernel.shape
    pads = ((0, 0), (0, 0))
    if padding == "same":
        pads = ((kh - 1) // 2, kh // 2), ((kw - 1) // 2, kw // 2)
    if isinstance(kernel, np.ndarray):
        weights: Any = Tensor(np.repeat(kernel[:, :, None, None], c, 3).astype(x.dtype))
    else:
        weights = Mul()(reshaped(kernel, (kh, kw, 1, 1)), Tensor(np.ones((1, 1, 1, c), x.dtype)))
    return convolve(x, weights, (1, 1), pads, (1, 1), max(c, 1))


def _gauss(size: int, sigma: Any) -> Any:
    """The Gauss curve at `size` places, of sum 1: an array, or a symbol where sigma is one (1,)."""
    places = np.arange(size) - (size - 1) / 2
    if isinstance(sigma, float):
        w = np.exp(-0.5 * (places / sigma) ** 2)
        return w / w.sum()
    q = Div()(Tensor(places.astype(sigma.dtype)), sigma)
    curve = Exp()(Mul()(Mul()(q, q), _c(-0.5, q)))
    return Div()(curve, sum(curve, keepdims=True))


def _deviations(sigma: Any) -> list[Any]:
    """One or two positive numbers as two; those of a symbol (2,) as symbols (1,)."""
    if isinstance(sigma, Symbol) and sigma.shape == (2,):
        return [slice_axis(floating(sigma), 0, i, i + 1) for i in range(2)]
    if not isinstance(sigma, Symbol):
        sigma = np.asarray(sigma, np.float64).reshape(-1)
        if sigma.size in (1, 2) and sigma.min() > 0:
            return [float(s) for s in np.broadcast_to(sigma, 2)]
    raise ValueError(f"gaussian_blur: expected sigma to be one or two positive numbers, got {sigma!r}")


@public
@composed
def gaussian_blur(
    images: Any, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: str | None = None
) -> Any:
    """Images blurred by a Gaussian of deviation `sigma` within a window; outside counts as 0.

    The first number of `kernel_size` and of `sigma` is that along a row, the second that along a column.
    """
    batch = Batch(images, data_format, "gaussian_blur")
    kernel_size = kernel_size.tolist() if isinstance(kernel_size, (np.ndarray, Tensor)) else kernel_size
    along, across = numbers(kernel_size, 2, "gaussian_blur", "kernel_size")
    of_row, of_column = _deviations(sigma)
    row, column = _gauss(along, of_row), _gauss(across, of_column)
    if isinstance(row, np.ndarray):
        kernel = np.outer(column, row)
    else:
        x = floating(batch.x)
        row, column = cast_to(row, x.dtype), cast_to(column, x.dtype)
        kernel = Mul()(reshaped(column, (across, 1)), reshaped(row, (1, along)))
    return batch.back(cast_to(_filtered(floating(batch.x), kernel, "same"), batch.x.dtype))


_SOBEL = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])


@public
@composed
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    """The slopes of brightness down and across, as a new last axis of two; outside counts as 0."""
    batch = Batch(images, data_format, "sobel_edges")
    x = floating(batch.x)
    parts = [batch.back(_filtered(x, kernel, "same")) for kernel in (_SOBEL.T, _SOBEL)]
    wide = [reshaped(p, (*p.shape, 1)) for p in parts]
    return Concat(len(wide[0].shape) - 1)(*wide)


@public
@composed
def ssim(
    image1: Any,
    image2: Any,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Any:
    """The structural similarity of images (Wang et al. 2004), one number each: 1 for equal ones."""
    first, second = Batch(image1, data_format, "ssim"), Batch(image2, data_format, "ssim")
    a, b = same_dtype(floating(first.x), floating(second.x))
    if a.shape != b.shape:
        raise ValueError(f"ssim: expected images of one shape, got {value(image1).shape} and {value(image2).shape}")
    window = _gauss(min(filter_size, *a.shape[1:3]), filter_sigma)
    kernel = np.outer(window, window)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    mean_a, mean_b = _filtered(a, kernel, "valid"), _filtered(b, kernel, "valid")
    aa, bb, ab = (_filtered(p * q, kernel, "valid") for p, q in ((a, a), (b, b), (a, b)))
    var_a, var_b, both = aa - mean_a * mean_a, bb - mean_b * mean_b, ab - mean_a * mean_b
    brightness = (mean_a * mean_b * 2.0 + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    structure = (both * 2.0 + c2) / (var_a + var_b + c2)
    y = mean(brightness * structure, (1, 2, 3))
    return reshaped(y, ()) if first.single else y
