// Sums so short that a tile takes longer to begin and to end than to add: first layers of one channel. One loop goes along
// a row of pixels, four or eight at a time, with all their taps written out; weights stay in registers where these reach.
#pragma once
#include "kernels/conv2d_tile.h"

namespace nacre::NACRE_ISA {
namespace shorts {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kVectors = 32;
#else
constexpr int kVectors = 16;
#endif

// Pixels of a block: where their taps begin and their outputs go.
constexpr int kMostPixels = 8;
struct Rows {
  i64 images, rows, px;
  i64 image_step, row_step;  // of x
  i64 y_image, y_row, ldy;
};

// NH rows of RUN taps by NV vectors of outputs; pixels, too, follow each other.
template <int NH, int RUN, int NV>
void sums(const TileArgs& t, const Rows& at) {
  constexpr int K = NH * RUN, P = NV == 1 && K + 8 + 3 <= kVectors ? kMostPixels : kMostPixels / 2;
  constexpr bool resident = K * NV + (P + 1) * NV + 1 <= kVectors;
  Vec w[K][NV], first[NV];
  NACRE_UNROLL for (int k = 0; k < K; ++k) {
    NACRE_UNROLL for (int v = 0; v < NV; ++v) w[k][v] = resident ? load(t.w + k * t.ld_w + v * kLanes) : zero();
  }
  const i64 rest = t.n - (NV - 1) * kLanes, row = t.tap_row, ldy = at.ldy, ld_w = t.ld_w;
  const Mask last = first_lanes(rest);
  NACRE_UNROLL for (int v = 0; v < NV; ++v) {
    first[v] = !t.bias ? zero() : v < NV - 1 ? load(t.bias + v * kLanes) : load(t.bias + v * kLanes, last);
  }
  const bool whole = rest >= kLanes, relu = t.act > 0;
  const auto pixels = [&](const float* x, float* y) __attribute__((always_inline)) {
    Vec sum[P][NV];
    NACRE_UNROLL for (int i = 0; i < P * NV; ++i) sum[i / NV][i % NV] = first[i % NV];
    const float* w_k = t.w;
    NACRE_UNROLL for (int h = 0; h < NH; ++h, x += row) {
      const float* x_0 = row_below(x, 0);
      if constexpr (resident) {  // a number serves all taps that it is
        NACRE_UNROLL for (int j = 0; j < P - 1 + RUN; ++j) {
          const Vec a = set1(x_0[j]);
          NACRE_UNROLL for (int i = 0; i < P; ++i) {
            const int r = j - i;
            NACRE_UNROLL for (int v = 0; v < NV; ++v) {
              if (r >= 0 && r < RUN) sum[i][v] = fma(a, w[h * RUN + r][v], sum[i][v]);
            }
          }
        }
      } else {
        NACRE_UNROLL for (int r = 0; r < RUN; ++r, w_k += ld_w) {
          Vec b[NV];
          NACRE_UNROLL for (int v = 0; v < NV; ++v) b[v] = load(w_k + v * kLanes);
          NACRE_UNROLL for (int i = 0; i < P; ++i) {
            const Vec a = set1(x_0[i + r]);
            NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[i][v] = fma(a, b[v], sum[i][v]);
          }
        }
      }
    }
    if (relu) {
      NACRE_UNROLL for (int i = 0; i < P * NV; ++i) sum[i / NV][i % NV] = max(zero(), sum[i / NV][i % NV]);
    }
    const auto put = [&](auto all, auto end) __attribute__((always_inline)) {
      NACRE_UNROLL for (int i = 0; i < P; ++i, y = row_below(y, ldy)) {
        NACRE_UNROLL for (int v = 0; v < NV - 1; ++v) all(y + v * kLanes, sum[i][v]);
        end(y + (NV - 1) * kLanes, sum[i][NV - 1]);
      }
    };
    const auto plain = [](float* p, Vec v) __attribute__((always_inline)) { store(p, v); };
    if (whole) put(plain, plain);
    else put(plain, [last](float* p, Vec v) __attribute__((always_inline)) { store(p, v, last); });
  };
  const i64 images = at.images, rows = at.rows, px = at.px;
  for (i64 n = 0; n < images; ++n) {
    for (i64 h = 0; h < rows; ++h) {
      const float* x = t.x + n * at.image_step + h * at.row_step;
      float* y = t.y + n * at.y_image + h * at.y_row;
      for (i64 p = 0; p < px; p += P) {
        const i64 from = min_of(p, px - P);  // the last ones some of them again
        pixels(x + from, y + from * ldy);
      }
    }
  }
}

// A loop over all pixels of a block, and the outputs that it takes at once; or none.
struct Loop {
  void (*sums)(const TileArgs&, const Rows&) = nullptr;
  i64 width = kLanes;
};
template <int NH, int RUN>
NACRE_INLINE Loop of(i64 n) {
  if constexpr (kLanes < 16 || NH * RUN == 9) {  // lines of y come whole
    if (n > kLanes) return {sums<NH, RUN, 2>, kPanel};
  }
  if constexpr (kLanes < 16) return {};
  else return {sums<NH, RUN, 1>, kLanes};
}
// For windows of one channel at stride 1.
NACRE_INLINE Loop of(const View& v, i64 px, i64 n) {
  if (kLanes < 8 || v.nw != 1 || v.px_step != 1 || px < kMostPixels) return {};
  if (v.nh == 3 && v.run == 3) return of<3, 3>(n);
  if (v.nh == 1 && v.run == 3) return of<1, 3>(n);
  if (v.nh == 1 && v.run == 5) return of<1, 5>(n);
  return {};
}

// All outputs of a panel, or of two.
NACRE_INLINE void run(const Loop& loop, const TileArgs& t, const Correlation& q, const Block& b, const View& v) {
  const i64 row = q.YW * q.ldy;
  const Rows rows{b.nb, b.hb, b.wb, v.image_step, v.row_step, q.YH * row, q.h.y_step * row, q.w.y_step * q.ldy};
  for (i64 o = 0; o < t.n; o += loop.width) {
    TileArgs part = t;
    part.n -= o, part.y += o;
    part.w += o / kPanel * t.second + o % kPanel;
    if (t.bias) part.bias += o;
    loop.sums(part, rows);
  }
}

}  // namespace shorts
}  // namespace nacre::NACRE_ISA
