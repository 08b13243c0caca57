// The register tile of convolution: MR output pixels by NV vectors of output channels, all sums in registers.
//
// Pixels are broadcast, weights are vectors. A tap is `run` consecutive floats of a pixel against `run` consecutive rows of
// the weight panel; the panel streams through once per tile. AVX-512: 14 x 32 (28 sums, 16 loads for 28 FMAs);
// 16 registers: 6 x 16 (12 sums, 8 loads for 12 FMAs). One vector of outputs: 12 (10) pixels; on Zen 5
// 12 measures best of 12, 14, 24 and 28 (85 % of the FMA rate: a load per FMA).
#pragma once
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {

#if defined(__AVX512F__)
constexpr int kWidePx = 14;
constexpr int kNarrowPx = 12;
#elif defined(__ARM_NEON)
constexpr int kWidePx = 8;
constexpr int kNarrowPx = 8;
#else
constexpr int kWidePx = 6;
constexpr int kNarrowPx = 10;
#endif
constexpr int kPanel = 2 * kLanes;  // output channels of a panel

struct TileArgs {
  const float* x;
  const i64* x_at;  // pixel -> offset from x
  const i64* y_at;  // pixel -> offset from y and mask
  i64 nh, tap_row, nw, tap_col, run;
  const float* w;  // row r of the panel at w + r*ld_w
  i64 ld_w;
  const float* bias;  // null: none
  const float* mask;  // null: none; else outputs where it is not positive become 0
  const float* r;     // null: none; else added to the sums
  const i64* r_at;    // pixel -> offset from r
  float* y;
  i64 n;    // output channels of this panel
  i64 act;  // see Conv2DShape
};

template <int MR, int NV>
NACRE_INLINE void tile_sums(const TileArgs& t, i64 p0, Vec (&acc)[MR][NV]) {
  const float* a[MR];
  NACRE_UNROLL for (int i = 0; i < MR; ++i) a[i] = t.x + t.x_at[p0 + i];
  Vec first[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) {
    first[v] = t.bias && t.n > v * kLanes ? load(t.bias + v * kLanes, t.n - v * kLanes) : zero();
  }
  NACRE_UNROLL for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = first[v];
  }
  const float* w = t.w;
  for (i64 h = 0; h < t.nh; ++h) {
    for (i64 c = 0; c < t.nw; ++c) {
      const i64 from = h * t.tap_row + c * t.tap_col, to = from + t.run;
      for (i64 k = from; k < to; ++k, w += t.ld_w) {
        Vec b[NV];
        NACRE_UNROLL for (int v = 0; v < NV; ++v) b[v] = load(w + v * kLanes);
        NACRE_UNROLL for (int i = 0; i < MR; ++i) {
          const Vec x = set1(a[i][k]);
          NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = fma(x, b[v], acc[i][v]);
        }
      }
    }
  }
}

// The first n lanes, for any n.
NACRE_INLINE Vec load_some(const float* p, i64 n) { return n >= kLanes ? load(p) : n > 0 ? load(p, n) : zero(); }
NACRE_INLINE void store_some(float* p, Vec a, i64 n) {
  if (n >= kLanes) {
    store(p, a);
  } else if (n > 0) {
    store(p, a, n);
  }
}

template <int MR, int NV>
void conv_tile(const TileArgs& t, i64 p0) {
  Vec acc[MR][NV];
  tile_sums<MR, NV>(t, p0, acc);
  if (t.r) {
    NACRE_UNROLL for (int i = 0; i < MR; ++i) {
      const float* r = t.r + t.r_at[p0 + i];
      NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] += load_some(r + v * kLanes, t.n - v * kLanes);
    }
  }
  if (t.act) {
    NACRE_UNROLL for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = max(zero(), acc[i][v]);  // keeps NaN
    }
  }
  if (t.act == 2) {
    NACRE_UNROLL for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = min(set1(6.0f), acc[i][v]);
    }
  }
  if (t.mask) {
    NACRE_UNROLL for (int i = 0; i < MR; ++i) {
      const float* m = t.mask + t.y_at[p0 + i];
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        acc[i][v] = select(gt(load_some(m + v * kLanes, t.n - v * kLanes), zero()), acc[i][v]);
      }
    }
  }
  NACRE_UNROLL for (int i = 0; i < MR; ++i) {
    float* y = t.y + t.y_at[p0 + i];
    NACRE_UNROLL for (int v = 0; v < NV; ++v) store_some(y + v * kLanes, acc[i][v], t.n - v * kLanes);
  }
}

}  // namespace nacre::NACRE_ISA
