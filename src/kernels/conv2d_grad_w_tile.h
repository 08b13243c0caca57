// The register tiles of the gradient of convolution weights: rows of dw by vectors of output channels, all sums in registers
// over the pixels of a block; x is broadcast, or picked from a vector where groups share one (conv2d_shared.h).
#pragma once
#include "kernels/conv2d_shared.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 14, kNarrowRows = 24;  // of a tile two vectors and one vector wide
#elif defined(__ARM_NEON)
constexpr int kRows = 8, kNarrowRows = 8;
#else
constexpr int kRows = 6, kNarrowRows = 6;
#endif
constexpr int kSharedTaps = kLanes >= 16 ? 3 : 2, kSharedChannels = 4;  // of a tile of groups that share a vector
constexpr int kSlideChannels = kLanes >= 16 ? 4 : 2;                    // of one whose three taps slide
constexpr bool kStrides = kLanes >= 16;                                 // there is such a tile at a stride of two
constexpr int kSharedRows = kSharedTaps * kSharedChannels;
constexpr int kMostRows = max_of(max_of(kRows, kNarrowRows), kSharedRows);

struct TapTile {
  const float* x;
  const i64* line;  // offset of each line of pixels
  i64 lines, cols, px_step, tap_row;
  const float* dy;
  i64 ld_dy, dy_skip;  // from pixel to pixel, and from the end of a line to the next one
  float* dw;
  i64 row_at[kMostRows];
  i64 n;  // output channels
  bool add;
  float* db;           // null, or where the sums of dy go, which the last tile of a panel adds up on its way
  const float* ahead;  // what the next block reads is asked for line by line, one with each pixel
  i64 ahead_step;
};

// Rows that do not fill their vectors: one function for all tiles. sums[row][width].
__attribute__((noinline)) void put_some(const TapTile& t, i64 rows, i64 width, const float* sums) {
  for (i64 i = 0; i < rows; ++i, sums += width) {
    float* dw = t.dw + t.row_at[i];
    for (i64 o = 0; o < t.n; o += kLanes) {
      const i64 n = min_of(t.n - o, kLanes);
      const Vec sum = load(sums + o);
      store(dw + o, t.add ? load(dw + o, n) + sum : sum, n);
    }
  }
}

template <int MR, int NV>
NACRE_INLINE void put_rows(const TapTile& t, Vec (&acc)[MR][NV]) {
  if (t.n < NV * kLanes) {
    float sums[MR * NV * kLanes];
    NACRE_UNROLL for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) store(sums + (i * NV + v) * kLanes, acc[i][v]);
    }
    return put_some(t, MR, NV * kLanes, sums);
  }
  float* const dw = t.dw;
  if (t.add) {
    NACRE_UNROLL for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] += load(dw + t.row_at[i] + v * kLanes);
    }
  }
  NACRE_UNROLL for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL for (int v = 0; v < NV; ++v) store(dw + t.row_at[i] + v * kLanes, acc[i][v]);
  }
}

// NP rows of taps, RR consecutive floats of each.
template <int NP, int RR, int NV, bool biased = false>
void grad_tile(const TapTile& t) {
  constexpr int MR = NP * RR;
  Vec acc[MR][NV], total[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) total[v] = zero();
  NACRE_UNROLL for (int i = 0; i < MR; ++i) { NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = zero(); }
  const float* dy = t.dy;
  const float* ahead = t.ahead;
  for (i64 l = 0; l < t.lines; ++l, dy += t.dy_skip) {
    const float* x[NP];
    NACRE_UNROLL for (int p = 0; p < NP; ++p) x[p] = t.x + t.line[l] + p * t.tap_row;
    for (i64 q = 0; q < t.cols; ++q, dy += t.ld_dy, ahead += t.ahead_step) {
      prefetch_far(ahead);
      Vec d[NV];
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        d[v] = load(dy + v * kLanes);
        if (biased) total[v] += d[v];
      }
      NACRE_UNROLL for (int p = 0; p < NP; ++p) {
        NACRE_UNROLL for (int r = 0; r < RR; ++r) {
          const Vec a = set1(x[p][r]);
          NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[p * RR + r][v] = fma(a, d[v], acc[p * RR + r][v]);
        }
        x[p] += t.px_step;
      }
    }
  }
  if (biased) {
    NACRE_UNROLL for (int v = 0; v < NV; ++v) {
      const Mask some = first_lanes(t.n - v * kLanes);
      float* db = t.db + v * kLanes;
      store(db, t.add ? load(db, some) + total[v] : total[v], some);
    }
  }
  put_rows(t, acc);
}

#if defined(__AVX512F__)
constexpr int kHalfRows = 16;  // of a tile a vector and a half wide
// Two rows share the lanes of a vector, so that none is idle.
void half_rows(const TapTile& t) {
  constexpr int MR = kHalfRows;
  Vec acc[MR][1], half[MR / 2];
  NACRE_UNROLL for (int i = 0; i < MR; ++i) acc[i][0] = zero();
  NACRE_UNROLL for (int i = 0; i < MR / 2; ++i) half[i] = zero();
  const float* dy = t.dy;
  const float* ahead = t.ahead;
  for (i64 l = 0; l < t.lines; ++l, dy += t.dy_skip) {
    const float* x = t.x + t.line[l];
    for (i64 q = 0; q < t.cols; ++q, x += t.px_step, dy += t.ld_dy, ahead += t.ahead_step) {
      prefetch_far(ahead);
      const Vec d = load(dy), d_half = load_twice(dy + kLanes);
      NACRE_UNROLL for (int i = 0; i < MR; i += 2) {
        const Vec even = set1(x[i]), odd = set1(x[i + 1]);
        acc[i][0] = fma(even, d, acc[i][0]);
        acc[i + 1][0] = fma(odd, d, acc[i + 1][0]);
        half[i / 2] = fma(beside(even, x + i + 1), d_half, half[i / 2]);
      }
    }
  }
  TapTile part = t;
  part.n = kLanes;
  put_rows(part, acc);
  float sums[MR * kLanes];
  NACRE_UNROLL for (int i = 0; i < MR; ++i) store(sums + i * kLanes, i % 2 ? swap_halves(half[i / 2]) : half[i / 2]);
  part.n = t.n - kLanes;
  part.dw += kLanes;
  put_some(part, MR, kLanes, sums);
}
#else
constexpr int kHalfRows = 0;
NACRE_INLINE void half_rows(const TapTile&) {}
#endif

using TileFn = void (*)(const TapTile&);
template <int NP, int RR, int NV>
constexpr TileFn tile_or_none() {
  if constexpr (NP * RR <= (NV == 1 ? kNarrowRows : kRows)) {
    return grad_tile<NP, RR, NV>;
  } else {
    return nullptr;
  }
}
template <int NV>
TileFn tile_of(i64 NP, i64 RR) {
#define ROW(NP, R) \
  tile_or_none<NP, R, NV>(), tile_or_none<NP, R + 1, NV>(), tile_or_none<NP, R + 2, NV>(), tile_or_none<NP, R + 3, NV>()
  static constexpr TileFn one[] = {ROW(1, 1), ROW(1, 5), ROW(1, 9), ROW(1, 13), ROW(1, 17), ROW(1, 21)};
  static constexpr TileFn two[] = {ROW(2, 1), ROW(2, 5), ROW(2, 9)};
  static constexpr TileFn three[] = {ROW(3, 1), ROW(3, 5)};
#undef ROW
  return (NP == 1 ? one : NP == 2 ? two : three)[RR - 1];
}

// The offsets of weight rows: float r of the run that starts at tap `tap` is row (tap + r/CB)*Cg + c0 + r%CB.
struct RowMap {
  i64 CB, Cg, c0, ld;
  inline __attribute__((always_inline)) i64 at(i64 tap, i64 c) const { return (tap * Cg + c0 + c) * ld; }
};

// Whether tiles add up dy, too: of one channel and three columns, where that would take a third of the time.
bool adds_up(const View& v) { return v.nw == 1 && v.run == 3 && (v.nh == 1 || v.nh == 3); }

// One block of pixels, or a part of it, against one panel of dy; taps from `first` on, KW of them a row.
void run_tiles(TapTile t, const View& v, const RowMap& rows, i64 first, i64 KW, Ahead& ahead) {
  const i64 taps_of_run = v.run / rows.CB;
  const bool narrow = t.n <= kLanes;
  const i64 most = narrow ? kNarrowRows : kRows;
  // Short runs: several rows of taps share a tile.
  const i64 group = v.nw == 1 && v.run <= most / 2 ? min_of(min_of(v.nh, most / v.run), 3) : 1;
  const bool halves = kHalfRows > 0 && t.n > kLanes && t.n <= kLanes + kLanes / 2 && group == 1;
  for (i64 h = 0; h < v.nh; h += group) {
    const i64 np = min_of(group, v.nh - h);
    for (i64 w = 0; w < v.nw; ++w) {
      const i64 tiles = ceil_div(v.run, most / np), low = v.run / tiles, higher = v.run % tiles;
      i64 r0 = 0, tap0 = first + h * KW + w * taps_of_run, c = 0;  // the tap and channel of float r0
      for (i64 i = 0; r0 < v.run; ++i) {
        i64 rr = low + (i < higher ? 1 : 0);
        if (halves) rr = v.run - r0 >= kHalfRows ? kHalfRows : min_of(v.run - r0, most);
        for (i64 r = 0; r < rr; ++r) {
          for (i64 p = 0; p < np; ++p) t.row_at[p * rr + r] = rows.at(tap0 + p * KW, c);
          if (++c == rows.CB) c = 0, ++tap0;
        }
        t.x = v.x + h * v.tap_row + w * v.tap_col + r0;
        t.ahead_step = ahead.now.at < ahead.now.end ? ahead.now.apart : 0;
        t.ahead = t.ahead_step > 0 ? ahead.now.at : t.dy;
        ahead.now.at += t.lines * t.cols * t.ahead_step;
        ahead.turn();
        if (t.db && h + np == v.nh) {
          constexpr int NP = kRows >= 9 ? 3 : 1;
          if (np == 1) (narrow ? grad_tile<1, 3, 1, true> : grad_tile<1, 3, 2, true>)(t);
          else (narrow ? grad_tile<NP, 3, 1, true> : grad_tile<NP, 3, 2, true>)(t);
        } else if (halves && rr == kHalfRows) {
          half_rows(t);
        } else {
          (narrow ? tile_of<1>(np, rr) : tile_of<2>(np, rr))(t);
        }
        r0 += rr;
      }
    }
  }
}

// NT taps of a row by NC channels of groups that share a vector.
template <int NT, int NC>
void shared_tile(const TapTile& t, i64 tap_col, VecI first) {
  Vec acc[NT * NC][1];
  VecI from[NC];
  NACRE_UNROLL for (int i = 0; i < NT * NC; ++i) acc[i][0] = zero();
  NACRE_UNROLL for (int c = 0; c < NC; ++c) from[c] = first + set1i(c);
  const float* dy = t.dy;
  for (i64 l = 0; l < t.lines; ++l, dy += t.dy_skip) {
    const float* x = t.x + t.line[l];
    for (i64 q = 0; q < t.cols; ++q, dy += t.ld_dy, x += t.px_step) {
      const Vec d = load(dy);
      NACRE_UNROLL for (int i = 0; i < NT; ++i) {
        NACRE_UNROLL for (int c = 0; c < NC; ++c) {
          acc[i * NC + c][0] = fma(shared::pick(x + i * tap_col, from[c]), d, acc[i * NC + c][0]);
        }
      }
    }
  }
  put_rows(t, acc);
}

// Three taps of a row at a stride of two: a column belongs to the second tap of one pixel, or to the last one of a pixel and
// the first one of the next.
template <int NC>
void shared_stride(const TapTile& t, i64 tap_col, VecI first) {
  Vec acc[3 * NC][1];
  VecI from[NC];
  NACRE_UNROLL for (int i = 0; i < 3 * NC; ++i) acc[i][0] = zero();
  NACRE_UNROLL for (int c = 0; c < NC; ++c) from[c] = first + set1i(c);
  const auto add = [&](const float* x, Vec d, int tap) __attribute__((always_inline)) {
    NACRE_UNROLL for (int c = 0; c < NC; ++c) {
      acc[tap * NC + c][0] = fma(shared::pick(x, from[c]), d, acc[tap * NC + c][0]);
    }
  };
  const float* dy = t.dy;
  for (i64 l = 0; l < t.lines; ++l, dy += t.dy_skip) {
    const float* x = t.x + t.line[l];
    Vec d = load(dy);
    add(x, d, 0);
    for (i64 i = 1; i < t.cols; ++i) {
      add(x + tap_col, d, 1);
      x += t.px_step, dy += t.ld_dy;
      const Vec next = load(dy);
      NACRE_UNROLL for (int c = 0; c < NC; ++c) {
        const Vec a = shared::pick(x, from[c]);
        acc[2 * NC + c][0] = fma(a, d, acc[2 * NC + c][0]);
        acc[c][0] = fma(a, next, acc[c][0]);
      }
      d = next;
    }
    add(x + tap_col, d, 1);
    add(x + t.px_step, d, 2);
    dy += t.ld_dy;
  }
  put_rows(t, acc);
}

// Three taps of a row that lie side by side as pixels do: what is picked of a column meets the dy of all pixels that see it.
template <int NC>
void shared_slide(const TapTile& t, i64, VecI first) {
  constexpr int T = 3;
  Vec acc[T * NC][1];
  VecI from[NC];
  NACRE_UNROLL for (int i = 0; i < T * NC; ++i) acc[i][0] = zero();
  NACRE_UNROLL for (int c = 0; c < NC; ++c) from[c] = first + set1i(c);
  const i64 cols = t.cols;
  const float* dy = t.dy;
  for (i64 l = 0; l < t.lines; ++l, dy += t.dy_skip) {
    const float* x = t.x + t.line[l];
    Vec d[T] = {zero(), zero(), zero()};
    for (i64 i = 0; i < cols + T - 1; ++i, x += t.px_step) {
      d[2] = d[1], d[1] = d[0];
      if (i < cols) d[0] = load(dy), dy += t.ld_dy;
      const auto add = [&](auto sees) __attribute__((always_inline)) {
        NACRE_UNROLL for (int c = 0; c < NC; ++c) {
          const Vec a = shared::pick(x, from[c]);
          NACRE_UNROLL for (int j = 0; j < T; ++j) {
            if (sees(j)) acc[j * NC + c][0] = fma(a, d[j], acc[j * NC + c][0]);
          }
        }
      };
      if (i >= T - 1 && i < cols) add([](int) __attribute__((always_inline)) { return true; });
      else add([i, cols](int j) __attribute__((always_inline)) { return i >= j && i - j < cols; });
    }
  }
  put_rows(t, acc);
}

// One block of pixels against the dy of such groups.
void run_shared(TapTile t, const View& v, const RowMap& rows, const Conv2DShape& s, VecI first, Ahead& ahead) {
  static constexpr void (*all[4][3])(const TapTile&, i64, VecI) = {
      {shared_tile<1, 1>, shared_tile<1, 2>, shared_tile<1, kSharedChannels>},
      {shared_tile<kSharedTaps, 1>, shared_tile<kSharedTaps, 2>, shared_tile<kSharedTaps, kSharedChannels>},
      {nullptr, shared_slide<2>, shared_slide<kSlideChannels>},
      {nullptr, nullptr, kStrides ? shared_stride<kSlideChannels> : nullptr}};
  const bool strides =
      kStrides && s.KW == 3 && 2 * v.tap_col == t.px_step && t.cols > 0 && rows.CB % kSlideChannels == 0;
  const bool slides = strides || (s.KW == 3 && v.tap_col == t.px_step && rows.CB % 2 == 0);
  const i64 most_taps = slides ? 3 : kSharedTaps, most = slides ? kSlideChannels : kSharedChannels;
  for (i64 h = 0; h < s.KH; ++h) {
    for (i64 w = 0, taps; w < s.KW; w += taps) {
      taps = s.KW - w >= most_taps ? most_taps : 1;
      t.x = v.x + h * v.tap_row + w * v.tap_col;
      for (i64 c = 0, n; c < rows.CB; c += n) {
        n = rows.CB - c >= most ? most : min_of(rows.CB - c, 2);
        for (i64 i = 0; i < taps * n; ++i) t.row_at[i] = rows.at(h * s.KW + w + i / n, c + i % n);
        const VecI from = first + set1i(static_cast<i32>(c));
        ahead.ask();
        all[strides ? 3 : slides ? 2 : taps > 1][min_of(n, 3) - 1](t, v.tap_col, from);
      }
    }
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
