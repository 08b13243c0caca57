// What depthwise convolution and the gradient of its weights have in common.
#pragma once
#include "kernels/activate.h"
#include "kernels/correlate.h"
#include "kernels/depthwise_conv2d.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr double kUnitFlops = 4e5;  // memory-bound work of some microseconds
constexpr i64 kManyUnits = 64;

inline Conv2DShape as_conv(const DepthwiseConv2DShape& s) {
  Conv2DShape c{};
  const Count D = Count(s.C) * Count(s.M);
  c.N = s.N, c.H = s.H, c.W = s.W, c.KH = s.KH, c.KW = s.KW, c.SH = s.SH, c.SW = s.SW, c.DH = s.DH, c.DW = s.DW;
  c.PT = s.PT, c.PL = s.PL, c.OH = s.OH, c.OW = s.OW, c.G = 1, c.bias = s.bias;
  c.C = s.C;
  c.O = D.ok() ? D.value() : -1;
  c.ldx = s.ldx, c.ldy = s.ldy;
  return c;
}

inline Count taps_of(const Conv2DShape& s) { return Count(s.KH) * Count(s.KW); }

inline double row_flops(const Conv2DShape& s, i64 width) {
  return 2.0 * static_cast<double>(width) * static_cast<double>(s.O) * static_cast<double>(s.KH) *
         static_cast<double>(s.KW);
}

template <bool whole>
NACRE_INLINE Vec get(const float* p, i64 n) {
  return whole ? load(p) : load(p, n);
}

// From pixel to pixel of C*M channels side by side: those a KiB apart would meet in few sets of L1.
inline i64 spread_apart(i64 D) { return D % 256 == 0 ? D + 16 : D; }

// to[px*ld_to + c*M + m] = from[px*ld + c]
inline void spread(float* to, i64 ld_to, const float* from, i64 ld, i64 px, i64 C, i64 M) {
  constexpr i64 kHalf = kLanes / 2, kQuarter = kLanes / 4;
  for (i64 i = 0; i < px; ++i, to += ld_to, from += ld) {
    const float* end = to + C * M;
    i64 c = 0;
    for (; M == 2 && c + kHalf <= C; c += kHalf) {
      const Vec v = load(from + c, kHalf);
      store(to + c * 2, zip_low(v, v));
    }
    for (; M == 4 && kLanes > 8 && c + kQuarter <= C; c += kQuarter) {
      const Vec v = load(from + c, kQuarter), twice = zip_low(v, v);
      store(to + c * 4, zip_low(twice, twice));
    }
    for (; c < C; ++c) {  // what is written too far is written again
      const Vec v = set1(from[c]);
      float* p = to + c * M;
      for (i64 m = 0; m < M; m += kLanes) {
        if (end - p - m >= kLanes) store(p + m, v);
        else store(p + m, v, M - m);
      }
    }
  }
}

inline Facts basic_facts(const DepthwiseConv2DShape& s, i64 acts) {
  const Conv2DShape c = as_conv(s);
  Facts f;
  f.error = conv2d_error(c);
  if (!f.error && (s.act < 0 || s.act >= acts)) f.error = acts > 2 ? kActError : "act is 0 or 1";
  if (!f.error && !taps_of(c).ok()) f.error = "the problem is too large";
  if (!f.error) f.flops = static_cast<double>(c.N) * static_cast<double>(c.OH) * row_flops(c, c.OW);
  return f;
}

// Whether the taps of a window are neighbours, or outputs at some distance from each other share them as if they were.
inline bool near_taps(const DepthwiseConv2DShape& s) {
  return (s.DH == 1 && s.DW == 1) || (s.M == 1 && s.SH == 1 && s.SW == 1);
}

// Whether walks ask for what they read, since there is more of it than `near` floats: as long as pixels are dense, and taps
// neighbours.
inline bool is_far(const DepthwiseConv2DShape& s, i64 ld, i64 near) {
  const double px =
      static_cast<double>(s.H) * static_cast<double>(s.W) + static_cast<double>(s.OH) * static_cast<double>(s.OW);
  return s.M == 1 && s.DH == 1 && s.DW == 1 && ld == s.C && s.C >= kLanes &&
         px * static_cast<double>(s.N) * static_cast<double>(s.C) > static_cast<double>(near);
}

// Whether walks of 5x5 and 7x7 do.
inline bool walks_wide(const DepthwiseConv2DShape& s) {
  return near_taps(s) && s.KH == s.KW && s.SH == s.SW && ((s.KH == 5 && s.SH <= 2) || (s.KH == 7 && s.SH == 1)) &&
         as_conv(s).O >= kLanes;
}

// Whether walks of 3x3 do: they know windows that leave the image by no more than they overlap.
inline bool walks(const DepthwiseConv2DShape& s) {
  if (s.KH != 3 || s.KW != 3 || !near_taps(s) || s.SH != s.SW || s.SH > 2) return false;
  const i64 most = (3 - s.SH) * s.DW;
  return s.PL <= most && (s.OW - 1) * s.SW + 2 * s.DW + 1 - s.PL - s.W <= most;
}

}  // namespace
}  // namespace nacre::NACRE_ISA
