// Convolution into few output channels (the last layer of decoders, a channel or three of an image; the gradient of such
// an input): vectors run along the floats of a tap instead of along the outputs, of which there are too few to fill one.
//
// Forward and gradient of x: conv2d_few_dots.h. The gradient of w keeps vectors of dw[o][taps] in registers over the pixels of
// a block; dy is broadcast. Outputs go a few at a time.
#pragma once
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {
namespace few {

constexpr int kMost = kLanes >= 8 ? 12 : 3;                      // outputs; for the gradient of w,
constexpr int kMostGradient = kLanes * 5 / 2;                    // which has no lanes to add up;
constexpr int kAtOnce = kLanes >= 16 ? 4 : kLanes >= 8 ? 2 : 1;  // of a tile
constexpr int kSums = kLanes >= 16 ? 24 : kLanes >= 8 ? 12 : 8;
constexpr int most_vectors(int outputs) { return static_cast<int>(min_of(12, kSums / outputs)); }

// Whether `outputs` channels of one group, at most `most`, fill lanes better this way. A sum ends with adding up its lanes,
// worth `finish` multiply-adds, a vector of outputs with writing some of its lanes, worth `store`.
NACRE_INLINE bool takes(i64 outputs, i64 most, i64 groups, const Correlation& q, i64 finish, i64 store) {
  if (groups != 1 || outputs < 1 || outputs > most) return false;
  const bool joined = q.w.step == 1 && q.ldx == q.C;
  const i64 run = joined ? q.w.taps * q.C : q.C;
  const Count runs = Count(q.h.taps) * Count(joined ? 1 : q.w.taps);
  const Count vectors = runs * Count(ceil_div(run, kLanes)), K = runs * Count(run);
  return 2 * run >= kLanes && K.ok() && K.value() < i64{1} << 40 &&
         8 * outputs * (vectors.value() + finish) <= 7 * (K.value() * ceil_div(outputs, kLanes) + store);
}

NACRE_INLINE i64 whole_vectors(i64 n) { return ceil_div(n, kLanes) * kLanes; }

// Floats of one output's weights as runs of whole vectors.
NACRE_INLINE i64 packed(const View& v) { return v.nh * v.nw * whole_vectors(v.run); }

// f(first, number) for all outputs, in runs of nearly equal length.
template <class F>
NACRE_INLINE void with_outputs(i64 outputs, F f) {
  const i64 runs = ceil_div(outputs, kAtOnce);
  for (i64 i = 0; i < runs; ++i) {
    const i64 first = outputs * i / runs, n = outputs * (i + 1) / runs - first;
    if (n == 1) f(first, Number<1>());
    if constexpr (kAtOnce >= 2) {
      if (n == 2) f(first, Number<2>());
    }
    if constexpr (kAtOnce >= 4) {
      if (n == 3) f(first, Number<3>());
      if (n == 4) f(first, Number<4>());
    }
  }
}

// acc[o][j] = sum over the pixels of a block of dy[o] * x[j-th vector], KV vectors of a run; the last has `tail` floats.
struct Gradient {
  const i64* line;  // offset of each line of pixels from x
  i64 lines, cols, px_step;
  const float* dy;
  i64 ld_dy;
  float* dw;  // [o][packed]
  i64 ld_dw;
  bool add;
};
template <int KV, int NO>
void gradient(const Gradient& g, const float* x0, i64 tail) {
  Vec acc[NO][KV];
  NACRE_UNROLL for (int o = 0; o < NO; ++o) { NACRE_UNROLL for (int j = 0; j < KV; ++j) acc[o][j] = zero(); }
  const auto pixels = [&](auto last) __attribute__((always_inline)) {
    const float* dy = g.dy;
    for (i64 l = 0; l < g.lines; ++l) {
      const float* x = x0 + g.line[l];
      for (i64 c = 0; c < g.cols; ++c, x += g.px_step, dy += g.ld_dy) {
        Vec d[NO];
        NACRE_UNROLL for (int o = 0; o < NO; ++o) d[o] = set1(dy[o]);
        NACRE_UNROLL for (int j = 0; j < KV; ++j) {
          const Vec a = in_register(j < KV - 1 ? load(x + j * kLanes) : last(x + j * kLanes));
          NACRE_UNROLL for (int o = 0; o < NO; ++o) acc[o][j] = fma(d[o], a, acc[o][j]);
        }
      }
    }
  };
  if (tail == kLanes) {
    pixels([](const float* p) __attribute__((always_inline)) { return load(p); });
  } else {
    pixels([tail](const float* p) __attribute__((always_inline)) { return load(p, tail); });
  }
  NACRE_UNROLL for (int o = 0; o < NO; ++o) {
    NACRE_UNROLL for (int j = 0; j < KV; ++j) {
      float* to = g.dw + o * g.ld_dw + j * kLanes;
      store(to, g.add ? load(to) + acc[o][j] : acc[o][j]);
    }
  }
}

#if defined(__AVX512F__)
constexpr int kNineVectors = 2;
// The same for a window of 3x3 and one output, kNineVectors of channels of all nine taps: what is read of a column of x meets
// the dy of the three pixels that see it. With 16 registers this is no quicker.
inline void gradient_of_nine(const Gradient& g, const float* x0, i64 x_row) {
  const i64 cols = g.cols, C = g.px_step;
  Vec acc[9][kNineVectors];
  NACRE_UNROLL for (int t = 0; t < 9; ++t) { NACRE_UNROLL for (int j = 0; j < kNineVectors; ++j) acc[t][j] = zero(); }
  const float* dy = g.dy;
  for (i64 l = 0; l < g.lines; ++l, dy += cols * g.ld_dy) {
    const float* x = x0 + g.line[l];
    Vec d[3] = {zero(), zero(), zero()};
    for (i64 i = 0; i < cols + 2; ++i, x += C) {
      d[2] = d[1], d[1] = d[0];
      if (i < cols) d[0] = set1(dy[i * g.ld_dy]);
      const auto add = [&](auto sees) __attribute__((always_inline)) {
        NACRE_UNROLL for (int h = 0; h < 3; ++h) {
          NACRE_UNROLL for (int j = 0; j < kNineVectors; ++j) {
            const Vec a = in_register(load(x + h * x_row + j * kLanes));
            NACRE_UNROLL for (int t = 0; t < 3; ++t) {
              if (sees(t)) acc[h * 3 + t][j] = fma(d[t], a, acc[h * 3 + t][j]);
            }
          }
        }
      };
      if (i >= 2 && i < cols) add([](int) __attribute__((always_inline)) { return true; });
      else add([i, cols](int t) __attribute__((always_inline)) { return i >= t && i - t < cols; });
    }
  }
  NACRE_UNROLL for (int t = 0; t < 9; ++t) {
    NACRE_UNROLL for (int j = 0; j < kNineVectors; ++j) {
      float* to = g.dw + t * C + j * kLanes;
      store(to, g.add ? load(to) + acc[t][j] : acc[t][j]);
    }
  }
}
#endif

using GradientTile = void (*)(const Gradient&, const float*, i64);
template <int KV, int NO>
constexpr GradientTile gradient_or_none() {
  if constexpr (NO <= kAtOnce && KV <= most_vectors(NO)) {
    return gradient<KV, NO>;
  } else {
    return nullptr;
  }
}

// All taps of a view against outputs o .. o + NO of the dy of its block.
template <int NO>
void gradients(Gradient g, const View& v, i64 o) {
  g.dy += o;
  g.dw += o * g.ld_dw;
  // clang-format off
  static constexpr GradientTile all[] = {
      nullptr,                   gradient_or_none<1, NO>(), gradient_or_none<2, NO>(),  gradient_or_none<3, NO>(),
      gradient_or_none<4, NO>(), gradient_or_none<5, NO>(), gradient_or_none<6, NO>(),  gradient_or_none<7, NO>(),
      gradient_or_none<8, NO>(), gradient_or_none<9, NO>(), gradient_or_none<10, NO>(), gradient_or_none<11, NO>(),
      gradient_or_none<12, NO>()};
  // clang-format on
#if defined(__AVX512F__)
  if (NO == 1 && v.nh == 3 && v.nw == 1 && v.run == 3 * g.px_step && g.px_step % (kNineVectors * kLanes) == 0) {
    for (i64 c = 0; c < g.px_step; g.dw += kNineVectors * kLanes, c += kNineVectors * kLanes) {
      gradient_of_nine(g, v.x + c, v.tap_row);
    }
    return;
  }
#endif
  const i64 vectors = ceil_div(v.run, kLanes), tiles = ceil_div(vectors, most_vectors(NO));
  const i64 low = vectors / max_of(tiles, 1), higher = vectors % max_of(tiles, 1);
  for (i64 h = 0; h < v.nh; ++h) {
    for (i64 w = 0; w < v.nw; ++w) {
      const float* x = v.x + h * v.tap_row + w * v.tap_col;
      i64 left = v.run;
      for (i64 i = 0; i < tiles; ++i) {
        const i64 count = low + (i < higher ? 1 : 0), floats = min_of(left, count * kLanes);
        all[count](g, x, floats - (count - 1) * kLanes);
        x += floats;
        left -= floats;
        g.dw += count * kLanes;
      }
    }
  }
}

}  // namespace few
}  // namespace nacre::NACRE_ISA
