// Sums for few output channels in the dot form: a tile is MR pixels of a row by all outputs; lane l sums its own floats of each
// run of taps, the lanes are added in a fixed tree, and bias comes last.
#pragma once
#include "kernels/conv2d_few.h"
#include "kernels/conv2d_tile.h"
#include "kernels/gemm_tile.h"

namespace nacre::NACRE_ISA {
namespace few {

constexpr int most_pixels(int outputs) { return static_cast<int>(min_of(8, kSums / outputs)); }

// to[o][h][w][r]: weight row `row(tap, channel)` of the taps in the order of the view, a run padded with 0.
template <class Row>
void pack(const View& v, i64 C, i64 outputs, float* to, Row row) {
  const i64 ld = packed(v), together = v.run / C;
  i64 at = 0;
  for (i64 tap = 0; tap < v.nh * v.nw * together; tap += together) {
    for (i64 t = 0; t < together; ++t) {
      for (i64 c = 0; c < C; ++c, ++at) {
        const auto from = row(tap + t, c);
        for (i64 o = 0; o < outputs; ++o) to[o * ld + at] = from[o];
      }
    }
    for (; at % kLanes != 0; ++at) {
      for (i64 o = 0; o < outputs; ++o) to[o * ld + at] = 0.0f;
    }
  }
}

// sums[i][o] of MR pixels, px_step apart, from x on.
template <int MR, int NO>
void dots(const View& v, const float* x, const float* w, i64 ld_w, float* sums) {
  Vec sum[MR][NO];
  NACRE_UNROLL for (int i = 0; i < MR; ++i) { NACRE_UNROLL for (int o = 0; o < NO; ++o) sum[i][o] = zero(); }
  for (i64 h = 0; h < v.nh; ++h) {
    for (i64 t = 0; t < v.nw; ++t) {
      tile::Rows<MR> a(x + h * v.tap_row + t * v.tap_col, v.px_step);
      i64 k = v.run;
      for (; k >= kLanes; k -= kLanes, w += kLanes) {
        Vec b[NO];
        NACRE_UNROLL for (int o = 0; o < NO; ++o) b[o] = load(w + o * ld_w);
        NACRE_UNROLL for (int i = 0; i < MR; ++i) {
          const Vec p = in_register(load(a.address(i)));
          NACRE_UNROLL for (int o = 0; o < NO; ++o) sum[i][o] = fma(p, b[o], sum[i][o]);
        }
        a.step(kLanes);
      }
      if (k == 0) continue;
      NACRE_UNROLL for (int i = 0; i < MR; ++i) {
        const Vec p = in_register(load(a.address(i), k));
        NACRE_UNROLL for (int o = 0; o < NO; ++o) sum[i][o] = fma(p, load(w + o * ld_w), sum[i][o]);
      }
      w += kLanes;
    }
  }
  const auto at = [&](int i) __attribute__((always_inline)) { return i < MR * NO ? sum[i / NO][i % NO] : zero(); };
  NACRE_UNROLL for (int i = 0; i < MR * NO; i += 4) sum_lanes(at(i), at(i + 1), at(i + 2), at(i + 3), sums + i);
}

using Dots = void (*)(const View&, const float*, const float*, i64, float*);
template <int MR, int NO>
constexpr Dots dots_or_none() {
  if constexpr (NO <= kAtOnce && MR <= most_pixels(NO)) {
    return dots<MR, NO>;
  } else {
    return nullptr;
  }
}
template <int NO>
Dots dots_of(i64 pixels) {
  // clang-format off
  static constexpr Dots all[] = {nullptr,               dots_or_none<1, NO>(), dots_or_none<2, NO>(),
                                 dots_or_none<3, NO>(), dots_or_none<4, NO>(), dots_or_none<5, NO>(),
                                 dots_or_none<6, NO>(), dots_or_none<7, NO>(), dots_or_none<8, NO>()};
  // clang-format on
  return all[pixels];
}

// sums[i*ld + o] of `n` pixels of a row; the array is followed by room for three more.
template <int NO>
void row_sums(const View& v, const float* x, i64 n, const float* w, i64 ld_w, float* sums, i64 ld) {
  const i64 tiles = ceil_div(n, most_pixels(NO)), low = n / tiles, higher = n % tiles;
  for (i64 i = 0, p = 0; i < tiles; ++i) {
    const i64 pixels = low + (i < higher ? 1 : 0);
    float some[kSums + 3];
    dots_of<NO>(pixels)(v, x + p * v.px_step, w, ld_w, ld == NO ? sums + p * NO : some);
    for (i64 j = 0; j < pixels && ld != NO; ++j) {
      NACRE_UNROLL for (int o = 0; o < NO; ++o) sums[(p + j) * ld + o] = some[j * NO + o];
    }
    p += pixels;
  }
}

// What follows the sums of n numbers that lie side by side; see Conv2DShape. `bias` repeats: NO vectors.
struct Finish {
  const float* bias;
  const float* r;
  const float* mask;
  i64 act;
};
NACRE_INLINE void finish(const float* sums, i64 n, i64 outputs, const Finish& f, float* y) {
  i64 phase = 0;
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 m = n - i;
    Vec v = load_some(sums + i, m) + load(f.bias + phase * kLanes);
    if (f.r) v += load_some(f.r + i, m);
    if (f.act) v = max(zero(), v);  // keeps NaN
    if (f.act == 2) v = min(set1(6.0f), v);
    if (f.mask) v = select(gt(load_some(f.mask + i, m), zero()), v);
    store_some(y + i, v, m);
    if (++phase == outputs) phase = 0;
  }
}

}  // namespace few
}  // namespace nacre::NACRE_ISA
