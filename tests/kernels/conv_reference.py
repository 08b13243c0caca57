"""Convolution in float64 NumPy, slow and obvious, and the shapes that the convolution kernels are tried on."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Conv:
    """One convolution: everything in a kernel's shape struct, with Keras' defaults."""

    N: int = 1
    H: int = 1
    W: int = 1
    C: int = 1
    O: int = 1
    KH: int = 1
    KW: int = 1
    SH: int = 1
    SW: int = 1
    DH: int = 1
    DW: int = 1
    G: int = 1
    padding: str = "valid"
    bias: int = 1
    act: int = 0
    more: dict = field(default_factory=dict, hash=False)

    def shape(self, **changes):
        d = {
            k: getattr(self, k)
            for k in ["N", "H", "W", "C", "O", "KH", "KW", "SH", "SW", "DH", "DW", "G", "bias", "act"]
        }
        for size, window, stride, dilation, pad, out in (
            ("H", "KH", "SH", "DH", "PT", "OH"),
            ("W", "KW", "SW", "DW", "PL", "OW"),
        ):
            span = (d[window] - 1) * d[dilation] + 1
            if self.padding == "same":
                d[out] = -(-d[size] // d[stride])
                d[pad] = max((d[out] - 1) * d[stride] + span - d[size], 0) // 2
            else:
                d[out] = max((d[size] - span) // d[stride] + 1, 0)
                d[pad] = 0
        d.update(ldx=0, ldy=0, residual=0, ldr=0)
        d.update(self.more)
        d.update(changes)
        return d

    def __str__(self):
        default = Conv()
        words = [f"{k}{v}" for k, v in self.__dict__.items() if k != "more" and v != getattr(default, k)]
        words += [f"{k}{v}" for k, v in self.more.items()]
        return "-".join(words) or "all-ones"


def taps(s):
    """For each tap: (kh, kw, rows of y, rows of x, columns of y, columns of x) that lie inside both images."""
    for kh in range(s["KH"]):
        oh = np.arange(s["OH"])
        ih = oh * s["SH"] + kh * s["DH"] - s["PT"]
        ok_h = (ih >= 0) & (ih < s["H"])
        for kw in range(s["KW"]):
            ow = np.arange(s["OW"])
            iw = ow * s["SW"] + kw * s["DW"] - s["PL"]
            ok_w = (iw >= 0) & (iw < s["W"])
            yield kh, kw, np.ix_(oh[ok_h], ow[ok_w]), np.ix_(ih[ok_h], iw[ok_w])


def forward(s, x, w, b=None, r=None):
    x, w = x.astype(np.float64), w.astype(np.float64)
    y = np.zeros((s["N"], s["OH"], s["OW"], s["O"]))
    Cg, Og = s["C"] // s["G"], s["O"] // s["G"]
    for kh, kw, at_y, at_x in taps(s):
        for g in range(s["G"]):
            part = x[:, at_x[0], at_x[1], g * Cg : (g + 1) * Cg] @ w[kh, kw, :, g * Og : (g + 1) * Og]
            y[:, at_y[0], at_y[1], g * Og : (g + 1) * Og] += part
    if b is not None:
        y += b
    if r is not None:
        y += r
    return (y, np.maximum(y, 0), np.clip(y, 0, 6))[s["act"]]


def grad_x(s, dy, w):
    dy, w = dy.astype(np.float64), w.astype(np.float64)
    dx = np.zeros((s["N"], s["H"], s["W"], s["C"]))
    Cg, Og = s["C"] // s["G"], s["O"] // s["G"]
    for kh, kw, at_y, at_x in taps(s):
        for g in range(s["G"]):
            part = dy[:, at_y[0], at_y[1], g * Og : (g + 1) * Og] @ w[kh, kw, :, g * Og : (g + 1) * Og].T
            dx[:, at_x[0], at_x[1], g * Cg : (g + 1) * Cg] += part
    return dx


def grad_w(s, x, dy):
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    Cg, Og = s["C"] // s["G"], s["O"] // s["G"]
    dw = np.zeros((s["KH"], s["KW"], Cg, s["O"]))
    for kh, kw, at_y, at_x in taps(s):
        for g in range(s["G"]):
            a = x[:, at_x[0], at_x[1], g * Cg : (g + 1) * Cg]
            d = dy[:, at_y[0], at_y[1], g * Og : (g + 1) * Og]
            dw[kh, kw, :, g * Og : (g + 1) * Og] = np.tensordot(a, d, ((0, 1, 2), (0, 1, 2)))
    return dw


# Gradients of x that go by products of single pixels of dy.
PER_PIXEL = [
    Conv(N=3, H=12, W=11, C=32, O=64, KH=5, KW=5),
    Conv(N=1, H=70, W=33, C=3, O=64, KH=4, KW=4, SH=2, SW=2, padding="same"),
    Conv(N=70, H=6, W=6, C=64, O=21, KH=3, KW=3),
    Conv(N=2, H=9, W=20, C=6, O=16, KH=5, KW=7, SW=3, DH=2),
    Conv(N=2, H=12, W=12, C=5, O=40, KH=3, KW=3, SH=2, SW=2, more={"PT": -3, "PL": 4, "OH": 4, "OW": 9, "ldy": 43}),
]

# Gradients of weights whose pixels come from memory, as columns of wider buffers: of more outputs than inputs.
FAR = [Conv(N=2, H=131, W=130, C=20, O=70, more={"ldx": 23, "ldy": 72})]

CASES = [
    *PER_PIXEL,
    Conv(),
    Conv(N=2, H=5, W=7, C=3, O=4, KH=3, KW=3),
    Conv(N=2, H=5, W=7, C=3, O=4, KH=3, KW=3, padding="same"),
    Conv(N=2, H=12, W=13, C=1, O=32, KH=3, KW=3, act=1),
    Conv(N=3, H=9, W=11, C=1, O=33, KH=5, KW=5, padding="same"),
    Conv(N=2, H=1, W=21, C=1, O=70, KH=1, KW=5, padding="same"),  # loops over pixels that have no tiles,
    Conv(N=2, H=9, W=8, C=1, O=16, KH=3, KW=3, padding="same", act=1),  # and columns that they meet once
    Conv(N=2, H=17, W=15, C=3, O=17, KH=7, KW=7, SH=2, SW=2, padding="same"),
    Conv(N=2, H=10, W=10, C=16, O=16, KH=3, KW=3, padding="same"),
    Conv(N=3, H=7, W=7, C=31, O=47, KH=3, KW=3, padding="same", act=1),
    Conv(N=2, H=9, W=8, C=19, O=70, KH=3, KW=2, padding="same", bias=0),
    Conv(N=2, H=13, W=11, C=5, O=10, KH=5, KW=3, SH=3, SW=3, padding="same"),
    Conv(N=2, H=13, W=11, C=5, O=3, KH=3, KW=3, SH=3, SW=2),
    Conv(N=2, H=9, W=10, C=24, O=40),
    Conv(N=2, H=9, W=10, C=64, O=8, SH=2, SW=2),
    Conv(N=1, H=5, W=5, C=300, O=1, SH=3, SW=2, padding="same"),
    Conv(N=2, H=11, W=12, C=6, O=9, KH=3, KW=3, DH=2, DW=2, padding="same"),
    Conv(N=1, H=23, W=19, C=6, O=9, KH=3, KW=3, DH=3, DW=2),
    Conv(N=2, H=12, W=11, C=4, O=5, KH=3, KW=3, SH=2, SW=2, DH=2, DW=3, padding="same"),
    Conv(N=2, H=12, W=11, C=4, O=5, KH=4, KW=4, SH=4, SW=6, DH=6, DW=4, padding="same"),
    Conv(N=2, H=8, W=8, C=12, O=18, KH=3, KW=3, G=3, padding="same"),
    Conv(N=2, H=8, W=8, C=80, O=80, KH=3, KW=3, G=2, SH=2, SW=2, padding="same"),
    Conv(N=2, H=6, W=6, C=7, O=14, KH=3, KW=3, G=7, padding="same"),
    Conv(N=2, H=3, W=2, C=4, O=6, KH=7, KW=5, padding="same"),
    Conv(N=2, H=3, W=2, C=4, O=6, KH=2, KW=2, SH=5, SW=4, padding="same"),
    Conv(N=1, H=1, W=700, C=4, O=6, KH=1, KW=9, padding="same"),
    Conv(N=1, H=1, W=3000, C=67, O=5, KH=1, KW=3, SW=2, padding="same"),
    Conv(N=2, H=40, W=40, C=256, O=33, KH=3, KW=3, DH=12, DW=12, padding="same"),
    Conv(N=30, H=4, W=4, C=20, O=36, KH=3, KW=3, padding="same"),
    Conv(N=5, H=30, W=30, C=8, O=8, KH=3, KW=3, padding="same"),
    Conv(N=1, H=6, W=6, C=300, O=130, KH=3, KW=3, padding="same"),
    # a gradient of x in parts, whose phases have four taps and three, for which tiles would slide
    Conv(N=2, H=25, W=22, C=72, O=20, KH=2, KW=7, SH=2, SW=2),
    # few pixels for many panels, which do and do not stay near together
    Conv(N=1, H=7, W=7, C=90, O=298, act=1),
    Conv(N=1, H=7, W=7, C=900, O=170),
    Conv(N=1, H=6, W=9, C=66, O=290, KH=3, KW=3, G=2, padding="same"),
    # a vector and a half of outputs, alone and behind two panels
    Conv(N=3, H=11, W=13, C=20, O=24, act=1),
    Conv(N=2, H=21, W=17, C=6, O=21, KH=3, KW=3, SH=2, SW=2, padding="same"),
    Conv(N=2, H=9, W=10, C=24, O=88, KH=2, KW=2, padding="same"),
    # gradients of weights as products: in parts, of pixels that are gathered, and of pixels from memory
    Conv(N=4, H=20, W=20, C=64, O=70),
    Conv(N=3, H=9, W=7, C=520, O=20, SH=2, SW=2, padding="same"),
    Conv(N=2, H=10, W=7, C=768, O=33, SH=3, SW=2, more={"ldx": 771, "ldy": 40}),
    Conv(N=12, H=64, W=64, C=24, O=41),
    Conv(N=0, H=5, W=5, C=3, O=4, KH=3, KW=3),
    Conv(N=2, H=0, W=5, C=3, O=4, KH=3, KW=3, padding="same"),
    Conv(N=2, H=5, W=5, C=0, O=4, KH=3, KW=3, padding="same"),
    Conv(N=2, H=5, W=5, C=3, O=0, KH=3, KW=3, padding="same"),
    Conv(N=2, H=2, W=2, C=3, O=4, KH=3, KW=3),
    # an output larger than the input, and padding on every side
    Conv(N=2, H=4, W=5, C=6, O=7, KH=3, KW=3, more={"PT": 3, "PL": 2, "OH": 9, "OW": 8}),
    Conv(N=1, H=4, W=4, C=2, O=3, KH=2, KW=2, more={"PT": 9, "PL": 0, "OH": 20, "OW": 6}),
    Conv(N=1, H=9, W=9, C=2, O=3, KH=2, KW=2, more={"PT": -3, "PL": -2, "OH": 4, "OW": 5}),
    # few outputs, and few inputs
    Conv(N=2, H=9, W=11, C=32, O=1, KH=3, KW=3, padding="same"),
    Conv(N=1, H=8, W=23, C=48, O=1, KH=3, KW=3, bias=0),
    Conv(N=3, H=30, W=2, C=16, O=1, KH=3, KW=3, padding="same"),
    Conv(N=2, H=12, W=9, C=21, O=3, KH=5, KW=5, padding="same", act=1),
    Conv(N=3, H=7, W=19, C=64, O=2, KH=3, KW=3, SH=2, SW=2, padding="same"),
    Conv(N=1, H=13, W=12, C=40, O=4, KH=3, KW=3, DH=2, DW=2, padding="same"),
    Conv(N=1, H=30, W=30, C=17, O=2, KH=3, KW=2, DH=9, DW=9, padding="same"),
    Conv(N=2, H=9, W=10, C=33, O=3),
    Conv(N=2, H=11, W=10, C=3, O=40, KH=4, KW=4, SH=2, SW=2, padding="same"),
    Conv(N=2, H=9, W=10, C=24, O=2, KH=3, KW=3, padding="same", more={"ldx": 31, "ldy": 5}),
    Conv(N=2, H=10, W=9, C=2, O=19, KH=3, KW=3, more={"ldx": 7, "ldy": 23}),
    Conv(N=2, H=10, W=13, C=24, O=8, KH=3, KW=3, padding="same", act=1),
    Conv(N=1, H=40, W=33, C=18, O=11, KH=3, KW=3, DH=2, DW=7, padding="same"),
    Conv(N=3, H=8, W=5, C=64, O=7, SH=2, SW=2, more={"ldy": 9}),
    # groups of few channels, which share vectors
    Conv(N=2, H=9, W=31, C=32, O=32, KH=3, KW=3, G=8, padding="same", act=1),
    Conv(N=2, H=7, W=7, C=40, O=40, KH=5, KW=5, G=5, padding="same"),
    Conv(N=2, H=11, W=12, C=16, O=32, KH=3, KW=3, G=4, SH=2, SW=2, padding="same"),
    Conv(N=2, H=8, W=20, C=18, O=9, KH=3, KW=3, G=3, more={"ldx": 23, "ldy": 14}),
    Conv(N=1, H=64, W=60, C=48, O=48, KH=3, KW=3, G=6, DH=12, DW=12, padding="same"),
    Conv(N=1, H=6, W=17, C=10, O=10, KH=1, KW=2, G=10, act=1),
    # whose tiles slide at a stride, along whole tiles and a part of one
    Conv(N=2, H=11, W=28, C=32, O=32, KH=3, KW=3, SH=2, SW=2, G=8, padding="same", act=1),
    Conv(N=1, H=6, W=26, C=24, O=12, KH=2, KW=3, SW=2, G=6, padding="same", more={"ldx": 31, "ldy": 14}),
    # such images that groups take turns on a block; the last vector is not full
    Conv(N=2, H=90, W=46, C=72, O=72, KH=3, KW=3, G=9, padding="same"),
    Conv(N=2, H=91, W=91, C=60, O=60, KH=3, KW=3, SH=2, SW=2, G=15, padding="same", act=1),
    Conv(N=2, H=64, W=65, C=48, O=48, KH=3, KW=3, G=3, padding="same"),
    Conv(N=8, H=24, W=23, C=48, O=39, KH=2, KW=3, G=3, SH=2, SW=1),
    # and put their outputs together first, whose places would share few sets of a cache
    Conv(N=8, H=32, W=31, C=128, O=128, KH=3, KW=3, SH=2, SW=2, G=32, padding="same", more={"ldy": 256}),
    Conv(N=2, H=48, W=47, C=72, O=72, KH=3, KW=3, G=3, padding="same"),  # vectors and a half each
    # pixels that meet in one set of a cache, weights that do in few
    Conv(N=1, H=7, W=5, C=1024, O=33),
    Conv(N=3, H=8, W=8, C=40, O=256),
    # pixels that meet in few sets of a cache, of several taps
    Conv(N=1, H=10, W=10, C=512, O=40, KH=2, KW=2, SH=2, SW=2),
    Conv(N=1, H=9, W=8, C=512, O=33, KH=3, KW=2, SH=2, SW=2, padding="same"),
    Conv(N=2, H=12, W=12, C=20, O=24, KH=2, KW=2, SH=1, SW=2, more={"ldx": 512}),
    # channel slices of wider buffers
    Conv(N=2, H=6, W=7, C=10, O=12, KH=3, KW=3, padding="same", more={"ldx": 17, "ldy": 29}),
    Conv(N=2, H=6, W=7, C=32, O=32, more={"ldx": 48, "ldy": 96}),
]
