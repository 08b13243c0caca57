// Tiles of outputs of groups that share a vector (conv2d_shared.h), one vector wide.
#pragma once
#include "kernels/conv2d_shared.h"
#include "kernels/conv2d_tile.h"

namespace nacre::NACRE_ISA {
namespace shared {

constexpr int kPx = 8;                         // of a tile that does not slide
constexpr int kMost = kLanes >= 16 ? 16 : 10;  // of one that does

NACRE_INLINE bool slides(const Correlation& q) {
  return q.w.taps == 3 && q.w.stride == 1 && q.w.step == 1 && q.h.step == 1;
}

// Weights of the groups from g on for the taps of q, to[tap][C][lanes] (sliding: [kh][C][kw][lanes]): w[tap][c][o], or turned
// round, with its o as inputs.
NACRE_INLINE void pack(const Correlation& q, const Conv2DShape& s, bool swapped, i64 g, i64 O, i64 together,
                       const float* w, float* to) {
  const i64 C = q.C, by_tap = slides(q) ? 1 : C, by_c = slides(q) ? q.w.taps : 1;
  for (i64 th = 0; th < q.h.taps; ++th, to += q.w.taps * C * kLanes) {
    for (i64 tw = 0; tw < q.w.taps; ++tw) {
      const float* tap = w + ((q.h.k0 + th * q.h.k_step) * s.KW + q.w.k0 + tw * q.w.k_step) * (s.C / s.G) * s.O;
      for (i64 c = 0; c < C; ++c) {
        float* row = to + (tw * by_tap + c * by_c) * kLanes;
        for (i64 l = 0; l < kLanes; ++l) {
          const i64 group = g + l / O, o = l % O;
          row[l] = l / O >= together ? 0.0f : swapped ? tap[o * s.O + group * C + c] : tap[c * s.O + group * O + o];
        }
      }
    }
  }
}

// The first n sums are stored.
template <int L>
NACRE_INLINE void finish_first(const TileArgs& t, i64 p0, i64 n, Vec (&acc)[L][1]) {
  if (n == L && t.n == kLanes) return finish_sums<1, L, 1>(t, p0, acc, kLanes);
  float sums[L * kLanes];
  NACRE_UNROLL for (int i = 0; i < L; ++i) store(sums + i * kLanes, acc[i][0]);
  finish_some(t, p0, 1, n, kLanes, sums);
}

// Pixels p0 .. p0 + MR.
template <int MR>
void tile(const TileArgs& t, i64 p0, VecI first) {
  const Pixels<MR, false> a(t, p0);
  Vec acc[MR][1];
  start_sums(t, acc);
  const float* w = t.w;
  for (i64 h = 0; h < t.nh; ++h) {
    for (i64 c = 0; c < t.nw; ++c) {
      const i64 at = h * t.tap_row + c * t.tap_col;
      VecI from = first;
      for (i64 k = 0; k < t.run; ++k, w += kLanes, from += set1i(1)) {
        const Vec b = load(w);
        NACRE_UNROLL for (int i = 0; i < MR; ++i) acc[i][0] = fma(pick(&a.at(i, at), from), b, acc[i][0]);
      }
    }
  }
  finish_first<MR>(t, p0, MR, acc);
}

// The first n of L neighbours from pixel p0 on, three columns of taps.
template <int L>
void slide(const TileArgs& t, i64 p0, i64 n, VecI first) {
  constexpr int T = 3;
  const float* x = t.x + t.x_at[p0];
  const i64 px = t.apart[0];
  Vec acc[L][1];
  start_sums(t, acc);
  const float* w = t.w + t.h0 * t.run * T * kLanes;
  for (i64 h = t.h0; h < t.nh; ++h) {
    VecI from = first;
    for (i64 k = 0; k < t.run; ++k, w += T * kLanes, from += set1i(1)) {
      Vec b[T];
      NACRE_UNROLL for (int q = 0; q < T; ++q) b[q] = load(w + q * kLanes);
      const float* column = x + h * t.tap_row;
      NACRE_UNROLL for (int j = 0; j < L + T - 1; ++j, column += px) {
        const Vec a = pick(column, from);
        NACRE_UNROLL for (int q = 0; q < T; ++q) {
          if (j < q || j - q >= L) continue;
          acc[j - q][0] = fma(a, b[q], acc[j - q][0]);
        }
      }
    }
  }
  finish_first<L>(t, p0, n, acc);
}

// A block against one panel; `taps`: null unless tiles slide.
NACRE_INLINE void run(TileArgs t, const Block& b, const Axis* taps, VecI first) {
  const i64 rows = b.nb * b.hb;
  if (!taps) {
    i64 p = 0;
    for (; p + kPx <= rows * b.wb; p += kPx) tile<kPx>(t, p, first);
    for (; p < rows * b.wb; ++p) tile<1>(t, p, first);
    return;
  }
  const i64 pieces = ceil_div(b.wb, kMost), low = b.wb / pieces, longer = b.wb % pieces;
  for (i64 r = 0, p = 0; r < rows; ++r) {
    const i64 h = b.h0 + r % b.hb;
    const Taps inside = rows_inside(*taps, h, h);
    t.h0 = inside.first, t.nh = inside.last;
    for (i64 i = 0; i < pieces; ++i) {
      const i64 n = i < longer ? low + 1 : low;
      (n <= 8                   ? slide<8>
       : n <= 10 || kMost == 10 ? slide<10>
       : n <= 12                ? slide<min_of(12, kMost)>
       : n <= 14                ? slide<min_of(14, kMost)>
                                : slide<kMost>)(t, p, n, first);
      p += n;
    }
  }
}

}  // namespace shared
}  // namespace nacre::NACRE_ISA
