"""Fourier transforms, windows of a signal, blocks and columns, measures of pairs."""

import numpy as np

from casebook import Casebook, ints, x
from nacre import ops

case = Casebook()


def halves(z):
    return [z.real, z.imag]


for n in (1, 2, 7, 12, 64, 90, 128, 131):
    case(ops.fft, [x(2, n), x(2, n)], reference=lambda z: halves(np.fft.fft(z[0] + 1j * z[1])), roundings=16)
    case(ops.rfft, x(3, n), reference=lambda v: halves(np.fft.rfft(v)), roundings=16)
    case(ops.irfft, [x(3, n // 2 + 1), x(3, n // 2 + 1)], fft_length=n, roundings=4,
         reference=lambda z, fft_length: np.fft.irfft(z[0] + 1j * z[1], fft_length))  # fmt: skip
case(ops.rfft, x(9), fft_length=16, reference=lambda v, fft_length: halves(np.fft.rfft(v, fft_length)), roundings=8)
case(ops.rfft, x(9), fft_length=6, reference=lambda v, fft_length: halves(np.fft.rfft(v, fft_length)), roundings=8)
case(ops.irfft, [x(5), x(5)], reference=lambda z: np.fft.irfft(z[0] + 1j * z[1]), roundings=4)
case(ops.fft2, [x(2, 6, 5), x(2, 6, 5)], reference=lambda z: halves(np.fft.fft2(z[0] + 1j * z[1])), roundings=16)
case(ops.ifft2, [x(2, 6, 5), x(2, 6, 5)], reference=lambda z: halves(np.fft.ifft2(z[0] + 1j * z[1])), roundings=4)


def frames(v, length, stride):
    n = max((v.shape[-1] - length) // stride + 1, 0)
    return np.stack([v[..., i * stride : i * stride + length] for i in range(n)], -2)


case(ops.extract_sequences, x(2, 11), 4, 3, reference=frames)


def stft(v, length, stride, fft_length, center=True):
    w = np.zeros(fft_length)
    first = (fft_length - length) // 2
    w[first : first + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    if center:
        v = np.pad(v, [(0, 0)] * (v.ndim - 1) + [(fft_length // 2,) * 2], "reflect")
    return halves(np.fft.rfft(frames(v, fft_length, stride) * w))


case(ops.stft, x(2, 40), 8, 4, 8, reference=stft, roundings=8)
case(ops.stft, x(40), 6, 4, 8, center=False, reference=stft, roundings=8)
case(lambda v: ops.istft(ops.stft(v, 8, 4, 8), 8, 4, 8), x(2, 40), reference=lambda v: v, name="istft", roundings=8)

for n, m in ((7, 3), (3, 7), (5, 5), (6, 4), (4, 6)):
    for mode in ("valid", "same", "full"):
        case(ops.correlate, x(n), x(m), mode=mode, reference=np.correlate, roundings=4)
case(ops.corrcoef, x(3, 9), reference=np.corrcoef, roundings=4)
case(ops.cdist, x(2, 4, 3), x(2, 5, 3), roundings=4,
     reference=lambda a, b: np.sqrt(((a[:, :, None] - b[:, None]) ** 2).sum(-1)))  # fmt: skip
case(
    ops.psnr,
    x(4, 5),
    x(4, 5),
    2.0,
    reference=lambda a, b, m: np.asarray(20 * np.log10(m) - 10 * np.log10(((a - b) ** 2).mean())),
    roundings=8,
)
trapezoid = getattr(np, "trapezoid" if hasattr(np, "trapezoid") else "trapz")  # the name before NumPy 2
case(ops.trapezoid, x(3, 5), dx=0.5, reference=trapezoid, roundings=4)
case(ops.trapezoid, x(3, 5), axis=0, reference=trapezoid, roundings=4)
case(ops.trapezoid, x(3, 5), np.array([0.0, 1.0, 1.5, 3.0, 4.0], np.float32), reference=trapezoid, roundings=8)
case(ops.unravel_index, ints(4, low=0, high=24), (2, 3, 4), reference=lambda i, s: list(np.unravel_index(i, s)))


def blocks(v, b):
    n, h, w, c = v.shape
    y = np.zeros((n, h * b, w * b, c // b // b))
    for i in range(b):
        for j in range(b):
            part = (i * b + j) * (c // b // b)
            y[:, i::b, j::b] = v[..., part : part + c // b // b]
    return y


case(ops.depth_to_space, x(2, 2, 3, 8), 2, reference=blocks)
case(
    lambda v: ops.space_to_depth(ops.depth_to_space(v, 2), 2),
    x(2, 2, 3, 8),
    reference=lambda v: v,
    name="space_to_depth",
)
case(ops.rearrange, x(2, 6, 3), "b (h p) c -> b h (p c)", p=2, reference=lambda v, s, p: v.reshape(2, 3, 6))
case(ops.rearrange, x(2, 3, 4), "a b c -> (c a) b", reference=lambda v, s: v.transpose(2, 0, 1).reshape(8, 3))


def columns(v, k, dilation=1, padding=0, stride=1):
    v = np.pad(v, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    n, c, h, w = v.shape
    reach = (k - 1) * dilation + 1
    out = [
        v[:, :, i : i + reach : dilation, j : j + reach : dilation].reshape(n, c * k * k)
        for i in range(0, h - reach + 1, stride)
        for j in range(0, w - reach + 1, stride)
    ]
    return np.stack(out, -1)


for options in ({}, {"padding": 1, "stride": 2}, {"dilation": 2}):
    case(ops.unfold, x(2, 3, 6, 5), 2, reference=columns, **options)
case(
    lambda v: ops.fold(ops.unfold(v, 2, stride=2), (4, 6), 2, stride=2),
    x(2, 3, 4, 6),
    reference=lambda v: v,
    name="fold",
)
case(lambda v: ops.fold(ops.unfold(v, 3, padding=1), (5, 5), 3, padding=1), x(1, 2, 5, 5), name="fold", roundings=4,
     reference=lambda v: v * _covered(5, 3))  # fmt: skip


def _covered(n, k):
    """How many windows of a "same" pass see each pixel."""
    line = np.array([sum(1 for o in range(n) if abs(o - i) <= k // 2) for i in range(n)])
    return np.outer(line, line)


def adaptive(reduce):
    def pool(v, sizes):
        for axis, out in zip((1, 2), sizes):
            n = v.shape[axis]
            runs = [np.arange(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]
            v = np.stack([reduce(np.take(v, r, axis), axis=axis) for r in runs], axis)
        return v

    return pool


for sizes in ((2, 3), (4, 5), (1, 1)):
    case(ops.adaptive_average_pool, x(2, 7, 5, 3), sizes, reference=adaptive(np.mean), roundings=2)
    case(ops.adaptive_max_pool, x(2, 7, 5, 3), sizes, reference=adaptive(np.max))
