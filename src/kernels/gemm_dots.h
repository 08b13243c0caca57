// Dot form: c(m, n) is the inner product of row m of a and row n of b, both contiguous. Lane l sums k = l, l + lanes,
// ...; the lanes are added in a fixed tree. Long sums are cut so that the rows at hand stay in L1. For products with too
// few rows or columns to fill vectors the other way.
#pragma once
#include "kernels/gemm_tile.h"

namespace nacre::NACRE_ISA {

struct DotsCall {
  i64 K;
  const float* a;
  i64 a_m;
  const float* b;
  i64 b_n;
  float* lanes;  // rows * columns vectors of unfinished sums: read if `more`, written unless `last`
  float* sums;   // rows * columns results, row by row, if `last`; room for a multiple of four
  bool more, last;
};

using Dots = void (*)(const DotsCall&);

#if defined(__AVX512F__)
constexpr int kMaxSums = 24;
#elif defined(__AVX2__)
constexpr int kMaxSums = 12;
#elif defined(__ARM_NEON)
constexpr int kMaxSums = 16;
#else
constexpr int kMaxSums = 8;
#endif
constexpr int kMaxDotRows = 8, kMaxDotColumns = 12;
constexpr bool kSquareDots = kMaxSums < 24;  // so few sums that a tile of one row or column loads as much as it adds
constexpr int rows_of_dots(int columns) { return kSquareDots ? kMaxDotRows / 2 : kMaxSums / columns; }  // of many rows
constexpr int kAskedAhead = 256;                                                                        // floats

namespace dots {

// For the rows of b a little ahead, or for those of a below, since L3 gives more then.
enum Asking { kNothing, kAlongB, kBelowA };

template <int MA, int NB, Asking asks = kNothing>
void run(const DotsCall& t) {
  Vec sum[MA][NB];
  NACRE_UNROLL
  for (int i = 0; i < MA; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NB; ++j) sum[i][j] = t.more ? load(t.lanes + (i * NB + j) * kLanes) : zero();
  }
  tile::Rows<MA> a(t.a, t.a_m);
  tile::Rows<NB> b(t.b, t.b_n);
  const auto step = [&](auto get) __attribute__((always_inline)) {
    if constexpr (MA <= NB) {
      Vec x[MA];
      NACRE_UNROLL
      for (int i = 0; i < MA; ++i) x[i] = in_register(get(a.address(i)));
      NACRE_UNROLL
      for (int j = 0; j < NB; ++j) {
        const Vec y = in_register(get(b.address(j)));
        NACRE_UNROLL
        for (int i = 0; i < MA; ++i) sum[i][j] = fma(x[i], y, sum[i][j]);
      }
    } else {
      Vec y[NB];
      NACRE_UNROLL
      for (int j = 0; j < NB; ++j) y[j] = in_register(get(b.address(j)));
      NACRE_UNROLL
      for (int i = 0; i < MA; ++i) {
        const Vec x = in_register(get(a.address(i)));
        NACRE_UNROLL
        for (int j = 0; j < NB; ++j) sum[i][j] = fma(x, y[j], sum[i][j]);
      }
    }
  };
  i64 k = t.K;
  for (; k >= kLanes; k -= kLanes) {
    if (asks == kAlongB) {
      NACRE_UNROLL
      for (int j = 0; j < NB; ++j) prefetch(b.address(j) + kAskedAhead);
    }
    if (asks == kBelowA) {
      NACRE_UNROLL
      for (int i = 0; i < MA; ++i) prefetch(a.address(i) + MA * t.a_m);
    }
    step([](const float* p) __attribute__((always_inline)) { return load(p); });
    a.step(kLanes);
    b.step(kLanes);
  }
  if (k > 0) {
    step([k](const float* p) __attribute__((always_inline)) { return load(p, k); });
  }
  if (!t.last) {
    NACRE_UNROLL
    for (int i = 0; i < MA * NB; ++i) store(t.lanes + i * kLanes, sum[i / NB][i % NB]);
    return;
  }
  const auto at = [&](int i) __attribute__((always_inline)) { return i < MA * NB ? sum[i / NB][i % NB] : zero(); };
  NACRE_UNROLL
  for (int i = 0; i < MA * NB; i += 4) sum_lanes(at(i), at(i + 1), at(i + 2), at(i + 3), t.sums + i);
}

}  // namespace dots
}  // namespace nacre::NACRE_ISA
