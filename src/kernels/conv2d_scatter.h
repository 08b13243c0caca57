// The gradient of x where channels, strides or small images leave the correlation little to do: each pixel of dy times all
// weights, [O] x [O][KH][KW][C], is one product without padding and idle lanes; what it gives is added to the rows of dx
// that the pixel saw, KW*C neighbouring floats of each.
#pragma once
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {
namespace scatter {

constexpr i64 kPixels = 48, kFewPixels = 12;  // of dy whose products are formed together, at most and at least,
constexpr i64 kNearFloats = 8 * 1024;         // where L1 keeps them
constexpr i64 kMostWeights = 512 * 1024;      // floats: 2 MB
constexpr i64 kMostRow = 64 * 1024;           // floats of a row of dx with its border
constexpr i64 kManyUnits = 64;                // enough for as many cores
constexpr double kUnitFlops = 4e5;

struct Plan {
  bool takes;
  i64 pixels;     // of dy together
  i64 width, ld;  // floats that a pixel gives, and from pixel to pixel
  i64 left, row;  // pixels before a row of dx, floats of a row with what lies before and behind it
  i64 nb, hb;     // images, or rows of one, that a unit owns
  i64 n_blocks, h_blocks;
};

// Pixels [first, last) of dy's rows that reach dx's rows [h0, h0 + hb).
struct Rows {
  i64 first, last;
};
NACRE_INLINE Rows rows_for(const Conv2DShape& s, i64 h0, i64 hb) {
  const i64 before = h0 + s.PT - (s.KH - 1) * s.DH, end = h0 + hb - 1 + s.PT;
  const i64 first = before > 0 ? ceil_div(before, s.SH) : 0, last = end >= 0 ? min_of(end / s.SH + 1, s.OH) : 0;
  return {first, max_of(first, last)};
}

// Costs in multiply-adds of a vector, measured on Zen 5.
NACRE_INLINE Plan plan(const Conv2DShape& s, i64 panel, bool few) {
  Plan p{};
  const Count width = Count(s.KH) * Count(s.KW) * Count(s.C), weights = width * Count(s.O);
  const i64 left = max_of(s.PL, 0), reach = (s.OW - 1) * s.SW + s.KW - s.PL;
  const Count row = Count(left + max_of(s.W, reach)) * Count(s.C);
  if (s.G != 1 || s.KW == 1 || s.DW != 1 || s.N * s.OH == 0 || s.OW == 0 || s.H == 0 || s.W == 0 || s.C == 0 ||
      s.O == 0 || (s.ldx != 0 && s.ldx != s.C) || !weights.ok() || weights.value() > kMostWeights || !row.ok() ||
      row.value() > kMostRow) {
    return p;
  }
  p.width = width.value();
  p.ld = ceil_div(p.width, kLanes) <= 1 ? kLanes : ceil_div(p.width, panel) * panel;
  p.pixels = max_of(min_of(kPixels, kNearFloats / p.ld), kFewPixels);
  p.left = left;
  p.row = ceil_div(row.value(), 16) * 16 + 16;
  const auto d = [](i64 v) { return static_cast<double>(v); };
  const auto vectors = [d](i64 n) { return d(ceil_div(n, kLanes)); };
  const double outputs = d(s.OH) * d(s.OW), pixels = d(s.H) * d(s.W), taps = d(s.KH) * d(s.KW);
  const double add = s.C % kLanes == 0 ? 15 : 22, sum = s.SH * s.SW > 1 ? 40 : 20;
  const double ours =
      outputs * (vectors(p.width) * d(s.O) + d(s.KH) * vectors(s.KW * s.C) * add) + 8 * d(s.H) * vectors(p.row);
  const double theirs =
      few ? outputs * taps * d(s.C) * vectors(s.O) + pixels * d(s.C) * sum
          : pixels / d(s.SH) / d(s.SW) * taps * d(s.O) * vectors(s.C) * 1.1 + 8 * pixels * vectors(s.C);
  p.takes = ours < 0.95 * theirs;
  const double image = 2 * outputs * d(p.width) * d(s.O);
  p.nb = p.hb = 1;
  if (d(s.N) >= d(kManyUnits) || image < 4 * kUnitFlops) {
    p.hb = s.H;
    p.nb = max_of(min_of(ceil_div(s.N, kManyUnits), s.N), 1);
    if (d(p.nb) * image < kUnitFlops) p.nb = min_of(static_cast<i64>(kUnitFlops / image) + 1, s.N);
  } else {  // rows, enough to forget those of dy that are multiplied for two blocks
    const i64 most = image < kManyUnits * kUnitFlops ? static_cast<i64>(image / kUnitFlops) : kManyUnits;
    const i64 blocks = min_of(ceil_div(kManyUnits, s.N), most);
    p.hb = min_of(max_of(ceil_div(s.H, blocks), 8 * (s.KH - 1) * s.DH), s.H);
    p.hb = ceil_div(s.H, ceil_div(s.H, p.hb));
  }
  p.n_blocks = ceil_div(s.N, p.nb);
  p.h_blocks = ceil_div(s.H, p.hb);
  return p;
}

// What `count` pixels from (oh, ow) on gave is added to rows [h0, h0 + hb) of dx, a tap row and a vector at a time. A load waits
// for a store that it overlaps in part: where pixels are no whole vectors, those that overlap go in several passes.
NACRE_INLINE void add(const Conv2DShape& s, const Plan& p, const float* from, i64 oh, i64 ow, i64 count, i64 h0, i64 hb,
                      float* rows) {
  const i64 run = s.KW * s.C, step = s.SW * s.C;
  const i64 passes = s.C % kLanes == 0 ? 1 : min_of(ceil_div(ceil_div(run, kLanes) * kLanes, step), count);
  for (i64 pass = 0; pass < passes; ++pass) {
    for (i64 kh = 0; kh < s.KH; ++kh) {
      const i64 h = oh * s.SH + kh * s.DH - s.PT - h0;
      if (h < 0 || h >= hb) continue;
      const float* f = from + pass * p.ld + kh * run;
      float* t = rows + h * p.row + (p.left - s.PL) * s.C + (ow + pass) * step;
      i64 n = run;
      for (; n >= kLanes; n -= kLanes, f += kLanes, t += kLanes) {
        for (i64 i = pass, j = 0; i < count; i += passes, ++j) {
          float* to = t + j * passes * step;
          store(to, load(to) + load(f + j * passes * p.ld));
        }
      }
      if (n == 0) continue;
      const Mask some = first_lanes(n);
      for (i64 i = pass, j = 0; i < count; i += passes, ++j) {
        float* to = t + j * passes * step;
        store(to, load(to) + load(f + j * passes * p.ld, some));
      }
    }
  }
}

}  // namespace scatter
}  // namespace nacre::NACRE_ISA
