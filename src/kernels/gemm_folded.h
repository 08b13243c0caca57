// Folded form: a product with at most half as many columns as a vector has lanes. Two steps of k stand side by side:
// lanes 2w and 2w + 1 hold b(k, w) and b(k + 1, w), and meet the pair a(m, k), a(m, k + 1), repeated for every column.
// So eight columns fill sixteen lanes; the two sums of a column are added at the end.
#pragma once
#include "kernels/gemm_panels.h"

namespace nacre::NACRE_ISA {

constexpr int kFoldedColumns = kLanes / 2;
constexpr int kFoldedRows = kLanes < 8 ? 8 : kLanes;  // of a tile

struct FoldedCall {
  i64 K;  // even: an odd one is left to `odd`
  const float* a;
  i64 a_m;
  const float* b;     // from fold_columns
  const float* odd;   // the last step alone, a vector, or null
  float* sums;        // column by column, kFoldedRows apart
  const float* next;  // if asked for: the rows behind these, which follow each other in memory
};

using Folded = void (*)(const FoldedCall&);

namespace folded {

template <int MR, bool asks>
void run(const FoldedCall& t) {
  Vec sum[MR];
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) sum[i] = zero();
  tile::Rows<MR> a(t.a, t.a_m);
  const float* b = t.b;
  const float* next = t.next;
  for (i64 k = t.K; k > 0; k -= 2) {
    if (asks) {
      NACRE_UNROLL
      for (int line = 0; line < MR * 2; line += 16) prefetch_far(next + line);
      next += MR * 2;
    }
    const Vec pairs = in_register(load(b));
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) sum[i] = fma(set1_pair(a.address(i)), pairs, sum[i]);
    a.step(2);
    b += kLanes;
  }
  if (t.odd) {  // 0 in the second lane of each pair
    const Vec last = load(t.odd);
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const Vec sums = fma(a.at(i), last, sum[i]);
      sum[i] = select(ne(lane_index() & set1i(1), set1i(0)), sum[i], sums);
    }
  }
  NACRE_UNROLL
  for (int first = 0; first < MR; first += kLanes) {
    Vec r[kLanes];
    NACRE_UNROLL
    for (int i = 0; i < kLanes; ++i) r[i] = first + i < MR ? sum[first + i < MR ? first + i : 0] : zero();
    transpose(r);
    NACRE_UNROLL
    for (int w = 0; w < kFoldedColumns; ++w) store(t.sums + w * kFoldedRows + first, r[2 * w] + r[2 * w + 1]);
  }
}

}  // namespace folded

// b of `columns` columns as the tiles read it: a vector for each two steps of k, 0 where there is no column or step.
NACRE_CALLED void fold_columns(const float* b, i64 b_k, i64 b_n, i64 K, i64 columns, float* to) {
  for (i64 k = 0; k < K; k += 2, to += kLanes) {
    const bool pair = k + 1 < K;
    if (b_n == 1) {
      store(to, zip_low(load(b + k * b_k, columns), pair ? load(b + (k + 1) * b_k, columns) : zero()));
      continue;
    }
    for (i64 w = 0; w < kFoldedColumns; ++w) {
      const float* from = b + k + w * b_n;
      to[2 * w] = w < columns ? from[0] : 0.0f;
      to[2 * w + 1] = w < columns && pair ? from[1] : 0.0f;
    }
  }
}

}  // namespace nacre::NACRE_ISA
