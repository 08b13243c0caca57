"""Functions of images, against loops over pixels."""

import colorsys
import math

import numpy as np

import reference as ref
from casebook import Casebook, ints, x
from nacre.ops import image

case = Casebook()


def resize(v, size, interpolation="bilinear", antialias=False, data_format=None, **kwargs):
    if data_format == "channels_first":
        return np.moveaxis(resize(np.moveaxis(v, -3, -1), size, interpolation, antialias), -1, -3)
    for axis, out in zip((-3, -2), size):
        n = v.shape[axis]
        rows = []
        for o in range(out):
            at = (o + 0.5) * n / out
            if interpolation == "nearest":
                rows.append(np.take(v, min(int(at), n - 1), axis))
                continue
            wide = max(n / out, 1.0) if antialias else 1.0
            w = [_KERNELS[interpolation](abs(at - 0.5 - i) / wide) for i in range(n)]
            rows.append(sum(np.take(v, i, axis) * w[i] for i in range(n)) / sum(w))
        v = np.stack(rows, axis)
    return v


def _sinc(d):
    return 1.0 if d == 0 else math.sin(math.pi * d) / (math.pi * d)


_KERNELS = {
    "bilinear": lambda d: max(0.0, 1 - d),
    "bicubic": lambda d: (
        1.5 * d**3 - 2.5 * d**2 + 1 if d < 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0
    ),
    "lanczos3": lambda d: _sinc(d) * _sinc(d / 3) if d < 3 else 0.0,
    "lanczos5": lambda d: _sinc(d) * _sinc(d / 5) if d < 5 else 0.0,
}
for interpolation in ("nearest", *_KERNELS):
    for size in ((3, 9), (8, 4), (5, 6)):
        case(image.resize, x(2, 5, 6, 3), size, interpolation, reference=resize, name="resize", roundings=4)
case(image.resize, x(8, 9, 2), (3, 4), antialias=True, reference=resize, name="resize", roundings=2)
case(image.resize, x(2, 3, 5, 6), (4, 4), data_format="channels_first", reference=resize, name="resize", roundings=2)
case(
    image.resize,
    ints(5, 6, 3, low=0, high=250, dtype="uint8"),
    (3, 9),
    interpolation="nearest",
    reference=resize,
    name="resize",
)


def patches(v, size, strides=None, dilation_rate=1, padding="valid"):
    steps = [size, size] if strides is None else [strides, strides]
    gaps = [dilation_rate] * 2
    rows, columns = (ref.windows(n, size, s, g, padding == "same") for n, s, g in zip(v.shape[1:3], steps, gaps))
    y = np.zeros((v.shape[0], len(rows), len(columns), size * size * v.shape[3]))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            seen = [v[:, p, q] if p >= 0 and q >= 0 else np.zeros_like(v[:, 0, 0]) for p in r for q in c]
            y[:, i, j] = np.concatenate(seen, -1)
    return y


for padding in ("valid", "same"):
    case(image.extract_patches, x(2, 5, 6, 3), 2, padding=padding, reference=patches, name="extract_patches")
    case(image.extract_patches, x(1, 7, 6, 2), 3, 2, padding=padding, reference=patches, name="extract_patches")
    case(image.extract_patches, x(1, 7, 6, 2), 2, 1, 2, padding=padding, reference=patches, name="extract_patches")


def at(v, row, column, mode, fill):
    """v[row, column] with whole places outside continued."""
    place = []
    for p, n in ((row, v.shape[0]), (column, v.shape[1])):
        if mode == "constant" and not 0 <= p < n:
            return np.full(v.shape[2:], fill)
        if mode == "nearest":
            p = min(max(p, 0), n - 1)
        elif mode == "wrap":
            p %= n
        elif mode == "mirror":
            p = abs(p) % (2 * n - 2) if n > 1 else 0
            p = 2 * n - 2 - p if p >= n else p
        elif mode == "reflect":
            p %= 2 * n
            p = 2 * n - 1 - p if p >= n else p
        place.append(p)
    return v[tuple(place)]


def read(v, row, column, interpolation, mode, fill):
    if interpolation == "nearest":
        return at(v, round(row), round(column), mode, fill)
    r, c = math.floor(row), math.floor(column)
    return sum(
        at(v, r + i, c + j, mode, fill) * (row - r if i else 1 - row + r) * (column - c if j else 1 - column + c)
        for i in (0, 1)
        for j in (0, 1)
    )


def affine(v, transform, interpolation="bilinear", fill_mode="constant", fill_value=0):
    y = np.zeros(v.shape)
    for n, t in enumerate(np.broadcast_to(transform, (len(v), 8)).astype(float)):
        for i, j in np.ndindex(v.shape[1:3]):
            k = t[6] * j + t[7] * i + 1
            row, column = (t[3] * j + t[4] * i + t[5]) / k, (t[0] * j + t[1] * i + t[2]) / k
            y[n, i, j] = read(v[n], row, column, interpolation, fill_mode, fill_value)
    return y


TURN = np.array([0.93, 0.21, -1.37, 0.13, 1.08, 0.57, 0.0, 0.0], np.float32)
LEAN = np.array([TURN, [1.1, -0.13, 0.61, 0.05, 0.87, -0.72, 0.011, 0.023]], np.float32)
for mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
    for interpolation in ("nearest", "bilinear"):
        case(
            image.affine_transform,
            x(2, 5, 6, 3),
            TURN,
            interpolation,
            mode,
            reference=affine,
            name="affine_transform",
            roundings=64,
        )
case(
    image.affine_transform, x(2, 5, 6, 3), LEAN, fill_value=0.5, reference=affine, name="affine_transform", roundings=64
)


def coordinates(v, places, order, fill_mode="constant", fill_value=0):
    wide = v[..., None]
    kind = "bilinear" if order else "nearest"
    return np.array([read(wide, r, c, kind, fill_mode, fill_value)[0] for r, c in zip(*places)])


for order in (0, 1):
    case(image.map_coordinates, x(4, 5), x(2, 7, low=-2, high=6, wrt=False), order, reference=coordinates,
         name="map_coordinates", roundings=64)  # fmt: skip


def each_pixel(f):
    return lambda v: np.array([f(*p) for p in v.reshape(-1, 3)]).reshape(v.shape)


case(
    image.rgb_to_hsv,
    x(2, 4, 5, 3, low=0, high=1),
    reference=each_pixel(colorsys.rgb_to_hsv),
    name="rgb_to_hsv",
    roundings=8,
)
case(
    image.hsv_to_rgb,
    x(2, 4, 5, 3, low=0, high=1),
    reference=each_pixel(colorsys.hsv_to_rgb),
    name="hsv_to_rgb",
    roundings=8,
)
case(
    image.rgb_to_grayscale,
    x(4, 5, 3),
    reference=lambda v: v @ np.array([[0.2989], [0.587], [0.114]]),
    name="rgb_to_grayscale",
)


def blur(v, kernel_size, sigma):
    windows = []
    for n, s in zip(kernel_size, sigma):
        w = np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / s) ** 2)
        windows.append(w / w.sum())
    kernel = np.outer(*windows[::-1])[:, :, None, None] * np.ones((1, 1, v.shape[-1], 1))
    return ref.depthwise_conv(v, kernel, padding="same")


case(image.gaussian_blur, x(2, 5, 6, 3), (3, 5), (1.0, 2.0), reference=blur, name="gaussian_blur", roundings=4)
case(image.pad_images, x(2, 3, 4, 1), 1, 2, target_height=6, right_padding=0, name="pad_images",
     reference=lambda v, t, left, target_height, right_padding:
     np.pad(v, ((0, 0), (1, 2), (2, 0), (0, 0))))  # fmt: skip
case(image.crop_images, x(5, 6, 2), 1, 2, target_height=3, right_cropping=1, name="crop_images",
     reference=lambda v, t, left, target_height, right_cropping: v[1:4, 2:5])  # fmt: skip
