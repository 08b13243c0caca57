// What depthwise convolution and the gradient of its weights have in common.
#pragma once
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

// to[px][c*M + m] = from[px*ld + c]
inline void spread(float* to, const float* from, i64 ld, i64 px, i64 C, i64 M) {
  for (i64 i = 0; i < px && M == 2; ++i) {
    for (i64 c = 0; c < C; c += kLanes / 2) {
      const i64 n = min_of(C - c, kLanes / 2);
      const Vec v = load(from + i * ld + c, n);
      store(to + (i * C + c) * 2, zip_low(v, v), 2 * n);
    }
  }
  const float* end = to + px * C * M;
  for (i64 i = 0; i < px && M != 2; ++i) {
    for (i64 c = 0; c < C; ++c, to += M) {  // what is written too far is written again
      const Vec v = set1(from[i * ld + c]);
      for (i64 m = 0; m < M; m += kLanes) {
        if (end - to - m >= kLanes) store(to + m, v);
        else store(to + m, v, M - m);
      }
    }
  }
}

inline Facts basic_facts(const DepthwiseConv2DShape& s, i64 acts) {
  const Conv2DShape c = as_conv(s);
  Facts f;
  f.error = conv2d_error(c);
  if (!f.error && (s.act < 0 || s.act >= acts)) f.error = acts == 3 ? "act is 0, 1 or 2" : "act is 0 or 1";
  if (!f.error && !taps_of(c).ok()) f.error = "the problem is too large";
  if (!f.error) f.flops = static_cast<double>(c.N) * static_cast<double>(c.OH) * row_flops(c, c.OW);
  return f;
}

// Whether walks of 5x5 and 7x7 do.
inline bool walks_wide(const DepthwiseConv2DShape& s) {
  const bool square = s.KH == s.KW && s.SH == s.SW && s.DH == 1 && s.DW == 1;
  return square && ((s.KH == 5 && s.SH <= 2) || (s.KH == 7 && s.SH == 1)) && as_conv(s).O >= kLanes;
}

// Whether walks of 3x3 do: they know windows that leave the image by no more than they overlap.
inline bool walks(const DepthwiseConv2DShape& s) {
  if (s.KH != 3 || s.KW != 3 || s.DH != 1 || s.DW != 1 || s.SH != s.SW || s.SH > 2) return false;
  const i64 most = 3 - s.SH;
  return s.PL <= most && (s.OW - 1) * s.SW + 3 - s.PL - s.W <= most;
}

}  // namespace
}  // namespace nacre::NACRE_ISA
