// Tiles of outputs of groups that share a vector (conv2d_shared.h), one vector wide.
#pragma once
#include "kernels/conv2d_shared.h"
#include "kernels/conv2d_tile.h"

namespace nacre::NACRE_ISA {
namespace shared {

constexpr int kMost = kLanes >= 16 ? 16 : 10;      // pixels of a tile that slides,
constexpr int kMostOthers = kLanes >= 16 ? 7 : 0;  // and of one of two taps, or at a stride (0: none)

// What is picked of a column serves two or three taps of a row, or one and a half at a stride, if rows come in such tiles.
NACRE_INLINE bool slides(const Correlation& q) {
  if (q.w.step != 1 || q.h.step != 1) return false;
  if (q.w.taps == 3 && q.w.stride == 1) return true;
  constexpr int L = max_of(kMostOthers, 1);
  return kMostOthers > 0 && 8 * L * ceil_div(q.w.out, L) <= 9 * q.w.out &&
         (q.w.taps == 3 ? q.w.stride == 2 : q.w.taps == 2 && q.w.stride == 1);
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
        const i64 n = together * O;
        if (!swapped) store(row, load(tap + c * s.O + g * O, n));
        for (i64 l = n; swapped && l < kLanes; ++l) row[l] = 0.0f;
        for (i64 l = 0, group = g * C + c; swapped && l < n; group += C) {
          for (i64 o = 0; o < O; ++o, ++l) row[l] = tap[o * s.O + group];
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
template <int MR, bool groups>
void tile(const TileArgs& t, i64 p0, VecI first) {
  const Pixels<MR, groups> a(t, p0);
  Vec acc[MR][1];
  start_sums(t, acc);
  const float* w = t.w;
  const float* next = t.next;
  for (i64 h = 0; h < t.nh; ++h) {
    for (i64 c = 0; c < t.nw; ++c) {
      const i64 at = h * t.tap_row + c * t.tap_col;
      VecI from = first;
      for (i64 k = 0; k < t.run; ++k, w += kLanes, from += set1i(1), next += t.next_step) {
        prefetch_far(next);
        prefetch_far(next + 16);
        const Vec b = load(w);
        NACRE_UNROLL for (int i = 0; i < MR; ++i) { acc[i][0] = fma(pick(&a.at(i, at), from), b, acc[i][0]); }
      }
    }
  }
  finish_first<MR>(t, p0, MR, acc);
}

// The first n of L neighbours from pixel p0 on, T columns of taps at stride S.
template <int L, int T, int S>
void slide(const TileArgs& t, i64 p0, i64 n, VecI first) {
  const float* x = t.x + t.x_at[p0];
  const i64 next = t.tap_col;
  Vec acc[L][1];
  start_sums(t, acc);
  const float* w = t.w + t.h0 * t.run * T * kLanes;
  for (i64 h = t.h0; h < t.nh; ++h) {
    VecI from = first;
    for (i64 k = 0; k < t.run; ++k, w += T * kLanes, from += set1i(1)) {
      Vec b[T];
      NACRE_UNROLL for (int q = 0; q < T; ++q) b[q] = load(w + q * kLanes);
      const float* column = x + h * t.tap_row;
      NACRE_UNROLL for (int j = 0; j < (L - 1) * S + T; ++j, column += next) {
        const Vec a = pick(column, from);
        NACRE_UNROLL for (int q = 0; q < T; ++q) {
          if (j < q || (j - q) % S != 0 || j - q >= L * S) continue;
          acc[(j - q) / S][0] = fma(a, b[q], acc[(j - q) / S][0]);
        }
      }
    }
  }
  finish_first<L>(t, p0, n, acc);
}

// All pixels of a block, the first `in_groups` of them in groups of four.
NACRE_INLINE void run_tiles(TileArgs& t, i64 in_groups, i64 px, VecI first) {
  constexpr int most = max_of(kNarrowGroups, 1) * kGroup;
  i64 p = 0;
  const auto all = [&](i64 end, i64 size, auto tile) __attribute__((always_inline)) {
    for (; p + size <= end; p += size) {
      tile(t, p, first);
      t.asked();
    }
  };
  all(in_groups, most, tile<most, true>);
  all(in_groups, kGroup, tile<kGroup, true>);
  all(px, 8, tile<8, false>);
  all(px, 1, tile<1, false>);
}

using Slide = void (*)(const TileArgs&, i64, i64, VecI);
// Of n pixels and `taps` columns of taps.
NACRE_INLINE Slide slide_of(i64 n, i64 taps, i64 stride) {
  if constexpr (kMostOthers > 0) {
    if (taps == 2) return slide<kMostOthers, 2, 1>;
    if (stride == 2) return slide<kMostOthers, 3, 2>;
  }
  return n <= 8                   ? slide<8, 3, 1>
         : n <= 10 || kMost == 10 ? slide<10, 3, 1>
         : n <= 12                ? slide<min_of(12, kMost), 3, 1>
         : n <= 14                ? slide<min_of(14, kMost), 3, 1>
                                  : slide<kMost, 3, 1>;
}

// The rows of a block in pieces of nearly equal length.
NACRE_INLINE void run_sliding(TileArgs t, const Block& b, const Correlation& q, VecI first, Ahead& ahead) {
  const i64 rows = b.nb * b.hb, most = q.w.taps == 3 && q.w.stride == 1 ? kMost : kMostOthers;
  const i64 pieces = ceil_div(b.wb, most), low = b.wb / pieces, longer = b.wb % pieces;
  for (i64 r = 0, p = 0; r < rows; ++r) {
    const i64 h = b.h0 + r % b.hb;
    const Taps inside = rows_inside(q.h, h, h);
    t.h0 = inside.first, t.nh = inside.last;
    for (i64 i = 0; i < pieces; ++i) {
      const i64 n = i < longer ? low + 1 : low;
      ahead.ask();
      slide_of(n, q.w.taps, q.w.stride)(t, p, n, first);
      p += n;
    }
  }
}

}  // namespace shared
}  // namespace nacre::NACRE_ISA
