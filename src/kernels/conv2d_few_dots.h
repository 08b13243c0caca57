// Sums for few output channels in the dot form: a tile is MR pixels of a row by some outputs; lane l sums its own floats of each
// run of taps, the lanes are added in a fixed tree, and bias comes last. Pixels are read where they lie: those at a border
// leave out the taps that lie outside.
#pragma once
#include "kernels/conv2d_few.h"
#include "kernels/conv2d_tile.h"
#include "kernels/gemm_tile.h"

namespace nacre::NACRE_ISA {
namespace few {

constexpr int most_pixels(int outputs) { return static_cast<int>(min_of(8, kSums / outputs)); }

// Taps of the outputs at hand: nh x nw runs of `run` floats, and of weights.
struct Runs {
  i64 px_step;  // from output to output
  i64 nh, tap_row, w_row;
  i64 nw, tap_col, w_col;
  i64 run, ld_w;  // ld_w: from output channel to output channel of the weights
};

// to[o][h][w][r]: weight row `row(tap, channel)` of the taps in the order of q, a run padded with 0.
template <class Row>
void pack(const Runs& r, i64 C, i64 outputs, float* to, Row row) {
  const i64 together = r.run / C;
  i64 at = 0;
  for (i64 tap = 0; tap < r.nh * r.nw * together; tap += together) {
    for (i64 t = 0; t < together; ++t) {
      for (i64 c = 0; c < C; ++c, ++at) {
        const auto from = row(tap + t, c);
        for (i64 o = 0; o < outputs; ++o) to[o * r.ld_w + at] = from[o];
      }
    }
    for (; at % kLanes != 0; ++at) {
      for (i64 o = 0; o < outputs; ++o) to[o * r.ld_w + at] = 0.0f;
    }
  }
}

// sums[i][o] of MR pixels from x on.
template <int MR, int NO>
void dots(const Runs& r, const float* x, const float* w, float* sums) {
  const i64 ld_w = r.ld_w;
  Vec sum[MR][NO];
  NACRE_UNROLL for (int i = 0; i < MR; ++i) { NACRE_UNROLL for (int o = 0; o < NO; ++o) sum[i][o] = zero(); }
  // Of one output whose windows overlap, three pixels wide, a number that is read serves three pixels.
  const i64 C = r.px_step;
  const bool slide = NO == 1 && kLanes >= 8 && r.nw == 1 && r.run == 3 * C && C % kLanes == 0;
  for (i64 h = 0; slide && h < r.nh; ++h) {
    for (i64 c = 0; c < C; c += kLanes) {
      const float* p = x + h * r.tap_row + c;
      Vec b[3];
      NACRE_UNROLL for (int t = 0; t < 3; ++t) b[t] = load(w + h * r.w_row + t * C + c);
      NACRE_UNROLL for (int i = 0; i < MR + 2; ++i, p += C) {
        const Vec v = in_register(load(p));
        NACRE_UNROLL for (int t = 0; t < 3; ++t) {
          const int to = i < t || i - t >= MR ? 0 : i - t;
          if (i >= t && i - t < MR) sum[to][0] = fma(v, b[t], sum[to][0]);
        }
      }
    }
  }
  for (i64 h = 0; !slide && h < r.nh; ++h) {
    for (i64 t = 0; t < r.nw; ++t) {
      tile::Rows<MR> a(x + h * r.tap_row + t * r.tap_col, r.px_step);
      const float* b_at = w + h * r.w_row + t * r.w_col;
      i64 k = r.run;
      for (; k >= kLanes; k -= kLanes, b_at += kLanes) {
        Vec b[NO];
        NACRE_UNROLL for (int o = 0; o < NO; ++o) b[o] = load(b_at + o * ld_w);
        NACRE_UNROLL for (int i = 0; i < MR; ++i) {
          const Vec p = in_register(load(a.address(i)));
          NACRE_UNROLL for (int o = 0; o < NO; ++o) sum[i][o] = fma(p, b[o], sum[i][o]);
        }
        a.step(kLanes);
      }
      if (k == 0) continue;
      Vec b[NO];
      NACRE_UNROLL for (int o = 0; o < NO; ++o) b[o] = load(b_at + o * ld_w, k);
      NACRE_UNROLL for (int i = 0; i < MR; ++i) {
        const Vec p = in_register(load(a.address(i), k));
        NACRE_UNROLL for (int o = 0; o < NO; ++o) sum[i][o] = fma(p, b[o], sum[i][o]);
      }
    }
  }
  const auto at = [&](int i) __attribute__((always_inline)) { return i < MR * NO ? sum[i / NO][i % NO] : zero(); };
  NACRE_UNROLL for (int i = 0; i < MR * NO; i += 4) sum_lanes(at(i), at(i + 1), at(i + 2), at(i + 3), sums + i);
}

using Dots = void (*)(const Runs&, const float*, const float*, float*);
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

// sums[i*ld + o] of `n` pixels of a line.
template <int NO>
void line_sums(const Runs& r, const float* x, i64 n, const float* w, float* sums, i64 ld, Ahead& ahead) {
  const i64 tiles = ceil_div(n, most_pixels(NO)), low = n / tiles, higher = n % tiles;
  for (i64 i = 0, p = 0; i < tiles; ++i) {
    const i64 pixels = low + (i < higher ? 1 : 0);
    const bool fours = ld == NO && pixels * NO % 4 == 0;  // as many are written at once
    float some[kSums + 3];
    ahead.ask();
    dots_of<NO>(pixels)(r, x + p * r.px_step, w, fours ? sums + p * NO : some);
    for (i64 j = 0; j < pixels && !fours; ++j) {
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
