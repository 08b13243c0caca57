// Convolution into few output channels (the last layer of decoders, a channel or three of an image; the gradient of such
// an input): vectors run along the floats of a tap instead of along the outputs, of which there are too few to fill one.
//
// Forward and gradient of x: conv2d_few_dots.h. The gradient of w keeps vectors of dw[o][taps] in registers over the pixels of
// a block; dy is broadcast.
#pragma once
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {
namespace few {

constexpr int kMost = kLanes >= 16 ? 4 : kLanes >= 8 ? 2 : 1;  // outputs
constexpr int kSums = kLanes >= 16 ? 24 : kLanes >= 8 ? 12 : 8;
constexpr int most_vectors(int outputs) { return static_cast<int>(min_of(12, kSums / outputs)); }

// Whether `outputs` channels of one group, made of `C` channels each, are better formed this way.
NACRE_INLINE bool takes(i64 outputs, i64 groups, i64 C) {
  return groups == 1 && outputs >= 1 && outputs <= kMost && 2 * C >= kLanes;
}

NACRE_INLINE i64 whole_vectors(i64 n) { return ceil_div(n, kLanes) * kLanes; }

// Floats of one output's weights as runs of whole vectors.
NACRE_INLINE i64 packed(const View& v) { return v.nh * v.nw * whole_vectors(v.run); }

// f(number) for a number whose `value` is known when it is compiled.
template <int N>
struct Number {
  static constexpr int value = N;
};
template <class F>
NACRE_INLINE void with_outputs(i64 outputs, F f) {
  if (outputs == 1) return f(Number<1>());
  if constexpr (kMost >= 2) {
    if (outputs == 2) return f(Number<2>());
  }
  if constexpr (kMost >= 4) {
    if (outputs == 3) return f(Number<3>());
    if (outputs == 4) return f(Number<4>());
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

using GradientTile = void (*)(const Gradient&, const float*, i64);
template <int KV, int NO>
constexpr GradientTile gradient_or_none() {
  if constexpr (NO <= kMost && KV <= most_vectors(NO)) {
    return gradient<KV, NO>;
  } else {
    return nullptr;
  }
}

// All taps of a view against the dy of its block.
template <int NO>
void gradients(Gradient g, const View& v) {
  // clang-format off
  static constexpr GradientTile all[] = {
      nullptr,                   gradient_or_none<1, NO>(), gradient_or_none<2, NO>(),  gradient_or_none<3, NO>(),
      gradient_or_none<4, NO>(), gradient_or_none<5, NO>(), gradient_or_none<6, NO>(),  gradient_or_none<7, NO>(),
      gradient_or_none<8, NO>(), gradient_or_none<9, NO>(), gradient_or_none<10, NO>(), gradient_or_none<11, NO>(),
      gradient_or_none<12, NO>()};
  // clang-format on
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

// sums[o] (+)= the sum over n pixels of dy[o]; four sums, so that no addition waits for the one before it.
NACRE_INLINE void bias_sums(const float* dy, i64 ld, i64 n, i64 outputs, bool add, float* db) {
  for (i64 o = 0; o < outputs; ++o) {
    float s[4] = {0, 0, 0, 0};
    i64 i = 0;
    for (; i + 4 <= n; i += 4) {
      NACRE_UNROLL for (int j = 0; j < 4; ++j) s[j] += dy[(i + j) * ld + o];
    }
    for (; i < n; ++i) s[0] += dy[i * ld + o];
    const float sum = (s[0] + s[1]) + (s[2] + s[3]);
    db[o] = add ? db[o] + sum : sum;
  }
}

}  // namespace few
}  // namespace nacre::NACRE_ISA
