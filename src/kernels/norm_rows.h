// Sums over rows, kept per column: what batch statistics and the gradients of normalization have in common.
#pragma once
#include "kernels/row_groups.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kMostColumns = 512;  // in a tile; their sums in float64 stay in L1

// f(first column, how many) for each vector of columns.
template <class F>
NACRE_INLINE void each_strip(i64 width, F f) {
  i64 c = 0;
  for (; c + kLanes <= width; c += kLanes) f(c, kLanes);
  if (c < width) f(c, width - c);
}

// Chunks of rows by tiles of columns.
struct RowCut {
  i64 tile, tiles, chunks, units;
};
NACRE_ALWAYS RowCut row_cut(i64 R, i64 C, i64 chunk) {
  RowCut c;
  c.tile = C <= 256 ? max_of(C, 1) : ceil_div(ceil_div(C, ceil_div(C, kMostColumns)), 64) * 64;
  c.tiles = ceil_div(C, c.tile);
  c.chunks = max_of(1, ceil_div(R, chunk));
  c.units = c.chunks * c.tiles;
  return c;
}

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kStrips = 4;  // vectors of columns at once: what they need stays in registers
constexpr int kSums = 8;    // pairs of sums that do
#else
constexpr int kStrips = 2;
constexpr int kSums = 4;
#endif
constexpr i64 kAlike = 256;      // columns, or a multiple: rows share sets of L1, which have room for a few
constexpr i64 kSumRows = 256;    // added in float32, two sums at a time, before they go into float64
constexpr i64 kSumBlock = 2048;  // floats that strips go along in turn, while those of the next block are asked for

// Rows that count as one, so that they fill vectors: where that many constants stay in L1, and there are rows enough.
NACRE_ALWAYS i64 rows_in_one(i64 rows, i64 C) {
  const i64 k = kLanes / min_of(max_of(C & -C, 1), kLanes);
  return k * C <= 512 && 8 * k <= rows ? k : 1;
}

// Calls of(column, lanes) for each vector of columns, `strips` at once; what it returns has its constants in registers and
// is called with what lies before every row.
template <int strips, class Of>
NACRE_INLINE void map_strips(i64 from, i64 to, i64 width, i64 column, i64 last, Of of) {
  const auto one = of(column, strips > 1 ? kLanes : last);
  const auto two = of(column + (strips > 1 ? kLanes : 0), strips > 2 ? kLanes : last);
  const auto three = of(column + (strips > 2 ? 2 * kLanes : 0), strips > 3 ? kLanes : last);
  const auto four = of(column + (strips > 3 ? 3 * kLanes : 0), last);
  for (i64 at = from; at < to; at += width) {
    one(at);
    if (strips > 1) two(at);
    if (strips > 2) three(at);
    if (strips > 3) four(at);
  }
}

constexpr i64 kNear = 192 * 1024;     // floats that L2 holds, where constants read again cost more than rows in pieces
constexpr i64 kFar = 4 << 20;         // that come from memory
constexpr i64 kMapColumns = 1024;     // whose constants stay in L1 beside a few rows,
constexpr i64 kConstants = 6400;      // and numbers that do beside one,
constexpr i64 kMostConstants = 1792;  // of which so many columns
constexpr i64 kMapBlock = 8192;       // floats that strips go along in turn: L1 still has what was fetched ahead

// Rows of C columns, `k` of them as one, with `arrays` of constants. Where a row is longer than the constants that registers
// hold, rows go one by one, or in L2 in blocks, unless so few sets of L1 hold these that what is loaded of one row pushes
// out another's.
template <class Of>
NACRE_INLINE void map_columns(i64 rows, i64 k, i64 C, i64 arrays, Of of) {
  const i64 all = rows * C, limit = all > kNear ? min_of(kConstants / arrays, kMostConstants) : kMapColumns;
  for (i64 begin = 0, end; begin < all; begin = end) {  // once more for the rows that are left
    const i64 width = min_of(k * C, all - begin);
    const bool few = width <= kStrips * kLanes;
    end = begin + (all - begin) / width * width;
    if (kStrips == 4 && width > kLanes && width <= 2 * kLanes) {
      map_strips<2>(begin, end, width, 0, width - kLanes, of);
    } else if (kStrips == 4 && width > 2 * kLanes && width <= 3 * kLanes) {
      map_strips<3>(begin, end, width, 0, width - 2 * kLanes, of);
    } else {
      const i64 together = few ? rows : width % kAlike == 0 ? 4 : max_of(kMapBlock / width, 4);
      const i64 most = ceil_div(ceil_div(width, ceil_div(width, limit)), 64) * 64;
      for (i64 first = 0; first < width; first += most) {
        const i64 last = min_of(first + most, width), step = together * width;
        const bool apart = all > kNear || width % (arrays > 3 && kLanes < 16 ? kAlike : 4 * kAlike) == 0;
        if (apart && !few) {
          i64 at = begin;
          for (; kStrips < 4 && width <= 64 && at + width < end;
               at += 2 * width) {  // share what is loaded of the constants
            each_strip(last - first, [&](i64 c, i64 n) __attribute__((always_inline)) {
              const auto one = of(first + c, n);
              one(at);
              one(at + width);
            });
          }
          for (; at < end; at += width) {
            each_strip(last - first, [&](i64 c, i64 n) __attribute__((always_inline)) { of(first + c, n)(at); });
          }
          continue;
        }
        for (i64 from = begin; from < end; from += step) {
          const i64 to = min_of(from + step, end);
          i64 c = first;
          for (i64 more = (kStrips - 1) * kLanes; c + more < last; c += more + kLanes) {
            map_strips<kStrips>(from, to, width, c, min_of(last - c - more, kLanes), of);
          }
          for (; c < last; c += kLanes) map_strips<1>(from, to, width, c, min_of(last - c, kLanes), of);
        }
      }
    }
  }
}

// p[c], q[c] (+)= sums over the rows of what of(column, lanes) -> add(row, p, q) adds, for `strips` vectors of columns.
template <int strips, class Of, class Ahead>
NACRE_INLINE void sum_strips(Run rows, i64 column, i64 last, float* p, float* q, Of of, Ahead ahead) {
  constexpr int kTurns = kSums / strips < 4 ? kSums / strips : 4;  // rows in turn have sums of their own: none waits
  Vec a[kTurns][strips], b[kTurns][strips];
  NACRE_UNROLL for (int t = 0; t < kTurns; ++t) {
    NACRE_UNROLL for (int k = 0; k < strips; ++k) a[t][k] = b[t][k] = zero();
  }
  const auto first = of(column, strips == 1 ? last : kLanes);
  const auto second = of(column + (strips > 1 ? kLanes : 0), strips > 2 ? kLanes : last);
  const auto third = of(column + (strips > 2 ? 2 * kLanes : 0), strips > 2 ? kLanes : last);
  const auto fourth = of(column + (strips > 2 ? 3 * kLanes : 0), last);
  const auto add = [&](i64 r, int t) __attribute__((always_inline)) {
    for (i64 c = column; c < column + strips * kLanes; c += 16) ahead(r, c);
    first(r, a[t][0], b[t][0]);
    if (strips > 1) second(r, a[t][strips > 1 ? 1 : 0], b[t][strips > 1 ? 1 : 0]);
    if (strips > 2) third(r, a[t][strips > 2 ? 2 : 0], b[t][strips > 2 ? 2 : 0]);
    if (strips > 2) fourth(r, a[t][strips > 2 ? 3 : 0], b[t][strips > 2 ? 3 : 0]);
  };
  i64 r = rows.begin;
  for (; r + kTurns <= rows.end; r += kTurns) {
    NACRE_UNROLL for (int t = 0; t < kTurns; ++t) add(r + t, t);
  }
  for (; r < rows.end; ++r) add(r, 0);
  NACRE_UNROLL for (int k = 0; k < strips; ++k) {
    NACRE_UNROLL for (int t = kTurns / 2; t > 0; t /= 2) {
      NACRE_UNROLL for (int i = 0; i < t; ++i) a[i][k] += a[i + t][k], b[i][k] += b[i + t][k];
    }
    float *to_p = p + column + k * kLanes, *to_q = q + column + k * kLanes;  // p and q hold whole vectors
    store(to_p, rows.begin > 0 ? load(to_p) + a[0][k] : a[0][k]);
    store(to_q, rows.begin > 0 ? load(to_q) + b[0][k] : b[0][k]);
  }
}
template <class Of, class Ask>
NACRE_INLINE void sum_columns(i64 rows, i64 width, bool far, bool asks, float* p, float* q, Of of, Ask ask) {
  const bool blocks = far && width > 4 * kLanes;  // shorter rows are fetched well as they lie
  const i64 step = blocks ? max_of(kSumBlock / width, 8) : max_of(rows, 1);
  const auto none = [](i64, i64) {};
  for (i64 from = 0; from < max_of(rows, 1); from += step) {
    const Run block{from, min_of(from + step, rows)};
    i64 c = 0;
    for (; c + 4 * kLanes <= width; c += 4 * kLanes) {
      // Columns further on, where rows further down would push out what is not yet summed.
      const bool alike = width % kAlike == 0, below = !alike || c + kAlike >= width;
      const i64 row = below ? step : 0, column = !alike ? 0 : below ? kAlike - width : kAlike;
      sum_strips<4>(block, c, kLanes, p, q, of, [=](i64 r, i64 at) __attribute__((always_inline)) {
        if (asks && blocks) ask(r + row, at + column);
      });
    }
    for (; c + 2 * kLanes <= width; c += 2 * kLanes) sum_strips<2>(block, c, kLanes, p, q, of, none);
    for (; c < width; c += kLanes) sum_strips<1>(block, c, min_of(width - c, kLanes), p, q, of, none);
  }
}

// Sums of two products over rows: of(first row of a run, column, lanes) -> add(row of the run, p, q) adds what a row
// gives. Runs of rows are added in float32, those in float64.
struct TwoSums {
  double *p_total, *q_total;
  float *p, *q;
};
constexpr i64 kTwoSumsBytes = kMostColumns * 24;
NACRE_ALWAYS TwoSums two_sums_at(char* scratch) {
  double* d = reinterpret_cast<double*>(scratch);
  float* f = reinterpret_cast<float*>(d + 2 * kMostColumns);
  return {d, d + kMostColumns, f, f + kMostColumns};
}

// Of R x C numbers. Requests for two arrays take as long as the loads they run ahead of, where vectors or rows are long.
// Long vectors, which then ask for nothing, have strips take turns only where memory is read, or all rows share sets of
// L1: down many rows caches foresee a strip by itself.
template <class Of, class Ask>
NACRE_INLINE void two_sums(const TwoSums& at, i64 rows, i64 width, i64 R, i64 C, Of of, Ask ask) {
  const bool far = C % 1024 == 0 || R * C > (kLanes < 16 ? kNear : kFar);
  const bool asks = kLanes < 16 && (width <= kAlike || C % 1024 == 512);
  for (i64 c = 0; c < width; ++c) at.p_total[c] = at.q_total[c] = 0;
  for (i64 from = 0; from < rows; from += kSumRows) {
    sum_columns(
        min_of(kSumRows, rows - from), width, far, asks, at.p, at.q,
        [&](i64 c, i64 n) __attribute__((always_inline)) { return of(from, c, n); },
        [=](i64 r, i64 c) __attribute__((always_inline)) { ask(from + r, c); });
    NACRE_INDEPENDENT
    for (i64 c = 0; c < width; ++c) {
      at.p_total[c] += static_cast<double>(at.p[c]);
      at.q_total[c] += static_cast<double>(at.q[c]);
    }
  }
}

}  // namespace
}  // namespace NACRE_ISA
}  // namespace nacre
