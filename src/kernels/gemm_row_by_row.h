// Row by row: a few rows of a, which meet b in the order it lies in memory. Some rows of b at a time are added, times
// their numbers of a, to rows of sums that stay in L1, so L3 and memory are read in runs as long as the rows of b.
// An element is the chain of the other forms that read b so.
#pragma once
#include "kernels/gemm_panels.h"

namespace nacre::NACRE_ISA {

constexpr i64 kSumsAtHand = 4 * 1024;  // floats: 16 KiB

struct RowByRowCall {
  i64 K;
  const float* a;
  i64 a_m, a_k;
  const float* b;
  i64 b_k;
  float* c;
  i64 c_m;
  i64 n;  // columns: whole vectors
  Finish finish;
};

using RowByRow = void (*)(const RowByRowCall&);

namespace row_by_row {

// Rows of b at a time: their numbers of a, the sums and a row of b are in registers.
constexpr int group(int rows) { return rows == 2 ? (kFreeMasks ? 8 : 6) : rows == 4 && !kFreeMasks ? 2 : 4; }

// sums[i][n] += the sum over `G` steps of k of a(i, k) b(k, n), for n < t.n; rows of sums lie `apart`.
template <int MR, int G, i64 apart>
NACRE_CALLED void add(const RowByRowCall& t, const float* a, const float* b, float* sums) {
  constexpr bool asks = MR > 2 && G > 1;  // one or two rows of a leave it to the hardware's guesses
  Vec x[MR][G];
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int g = 0; g < G; ++g) x[i][g] = set1(a[i * t.a_m + g * t.a_k]);
  }
  const i64 b_k = t.b_k;
  for (const float* end = sums + t.n; sums < end; sums += kLanes, b += kLanes) {
    Vec sum[MR];
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) sum[i] = load(sums + i * apart);
    NACRE_UNROLL
    for (int g = 0; g < G; ++g) {
      if (asks) prefetch(b + (G + g) * b_k);
      const Vec row = MR == 1 ? load(b + g * b_k) : in_register(load(b + g * b_k));  // one use: an operand in memory
      NACRE_UNROLL
      for (int i = 0; i < MR; ++i) sum[i] = fma(x[i][g], row, sum[i]);
    }
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) store(sums + i * apart, sum[i]);
  }
}

template <int MR>
void run(const RowByRowCall& call) {
  constexpr int G = group(MR);
  constexpr i64 columns = kSumsAtHand / (MR == 3 ? 4 : MR);
  alignas(64) float sums[MR * columns];  // no two threads write to one line until they are finished
  RowByRowCall t = call;
  const Finish& f = call.finish;
  for (i64 n0 = 0; n0 < call.n; n0 += columns) {
    t.n = min_of(columns, call.n - n0);
    for (i64 i = 0; i < MR; ++i)
      for (i64 n = 0; n < t.n; n += kLanes) store(sums + i * columns + n, zero());
    const float *a = t.a, *b = call.b + n0;
    i64 k = t.K;
    for (; k >= G; k -= G, a += G * t.a_k, b += G * t.b_k) add<MR, G, columns>(t, a, b, sums);
    for (; k > 0; --k, a += t.a_k, b += t.b_k) add<MR, 1, columns>(t, a, b, sums);
    for (i64 n = 0; n < t.n; n += kLanes) {
      const Vec bias = f.bias ? load(f.bias + n0 + n) : zero();
      for (i64 i = 0; i < MR; ++i)
        store(t.c + i * t.c_m + n0 + n, finished(load(sums + i * columns + n), bias, f, i, n0 + n, kLanes));
    }
  }
}

}  // namespace row_by_row
}  // namespace nacre::NACRE_ISA
