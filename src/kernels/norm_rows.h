// Sums over rows, kept per column: what batch statistics and the gradients of normalization have in common.
#pragma once
#include "kernels/loops.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kMostColumns = 256;  // in a tile; their sums in float64 stay in L1

NACRE_INLINE Vec load_n(const float* p, i64 n) { return n == kLanes ? load(p) : load(p, n); }
NACRE_INLINE void store_n(float* p, Vec v, i64 n) {
  if (n == kLanes) store(p, v);
  else store(p, v, n);
}

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
  c.tile = C <= kMostColumns ? max_of(C, 1) : 128;
  c.tiles = ceil_div(C, c.tile);
  c.chunks = max_of(1, ceil_div(R, chunk));
  c.units = c.chunks * c.tiles;
  return c;
}

// Sums of two products over rows: term(row, column, n, &p, &q) gives what a row adds. Short runs of rows are added in
// float32, those in float64.
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

template <class Term>
NACRE_INLINE void two_sums(const TwoSums& at, i64 rows, i64 width, Term term) {
  constexpr i64 block = 64;
  for (i64 c = 0; c < width; ++c) at.p_total[c] = at.q_total[c] = 0;
  for (i64 from = 0; from < rows; from += block) {
    const i64 end = min_of(rows, from + block);
    for (i64 c = 0; c < width; ++c) at.p[c] = at.q[c] = 0;
    i64 r = from;
    for (; r + 4 <= end; r += 4) {
      each_strip(width, [&](i64 c, i64 n) __attribute__((always_inline)) {
        Vec p[4], q[4];
        NACRE_UNROLL
        for (int k = 0; k < 4; ++k) term(r + k, c, n, &p[k], &q[k]);
        store_n(at.p + c, load_n(at.p + c, n) + ((p[0] + p[1]) + (p[2] + p[3])), n);
        store_n(at.q + c, load_n(at.q + c, n) + ((q[0] + q[1]) + (q[2] + q[3])), n);
      });
    }
    for (; r < end; ++r) {
      each_strip(width, [&](i64 c, i64 n) __attribute__((always_inline)) {
        Vec p, q;
        term(r, c, n, &p, &q);
        store_n(at.p + c, load_n(at.p + c, n) + p, n);
        store_n(at.q + c, load_n(at.q + c, n) + q, n);
      });
    }
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
