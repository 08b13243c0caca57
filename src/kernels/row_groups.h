// Rows of few numbers, kLanes at a time: what each adds up to is folded together, so that nothing waits for the chain of one
// row, and what its numbers become is computed along the group as one run of floats, so that no lane idles.
#pragma once
#include "kernels/loops.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kLongestFlat = 6 * kLanes;

struct Add {
  NACRE_INLINE_MEMBER Vec operator()(Vec a, Vec b) const { return a + b; }
};
struct Max {
  NACRE_INLINE_MEMBER Vec operator()(Vec a, Vec b) const { return max(a, b); }
};

// Lane l of to[k]: `rest` joined with all lanes of what step(l, first column, how many, sums) puts into sums[k] for each
// vector of row l. Where a row is no whole number of vectors, the last one, taken first, ends with the row; of a row shorter
// than a vector lanes are loaded that are the next row's. Neither counts.
template <int count, class F, class Step>
NACRE_INLINE void fold_group(i64 rows, i64 N, Vec rest, F f, Step step, Vec (&to)[count]) {
  Vec v[count][kLanes];
  const auto row = [&](i64 l, i64 i, i64 n, Mask own) __attribute__((always_inline)) {
    Vec sum[count];
    NACRE_UNROLL for (int k = 0; k < count; ++k) sum[k] = rest;
    step(l, i, n, sum);
    NACRE_UNROLL for (int k = 0; k < count; ++k) sum[k] = select(own, sum[k], rest);
    for (i64 at = 0; at < i; at += kLanes) step(l, at, kLanes, sum);
    NACRE_UNROLL for (int k = 0; k < count; ++k) v[k][l] = sum[k];
  };
  if (N < kLanes) {
    const i64 over = ceil_div(kLanes, N) - 1;  // rows behind which a vector ends beyond the group
    i64 l = 0;
    for (; l < rows - over; ++l) row(l, 0, kLanes, first_lanes(N));
    for (; l < rows; ++l) row(l, 0, N, first_lanes(N));
  } else {
    const Mask own = ~first_lanes(ceil_div(N, kLanes) * kLanes - N);
    for (i64 l = 0; l < rows; ++l) row(l, N - kLanes, kLanes, own);
  }
  NACRE_UNROLL for (int k = 0; k < count; ++k) {
    for (i64 l = rows; l < kLanes; ++l) v[k][l] = rest;
    to[k] = fold_rows(v[k], f);
  }
}

// Rows that leave many lanes of their last vectors idle go along as one run of floats: whose each of them is.
struct RowOf {
  i64 N;
  bool flat;
  alignas(64) i32 row[kLongestFlat * kLanes];

  NACRE_INLINE_MEMBER explicit RowOf(i64 length)
      : N(length), flat(N < kLanes || (N <= kLongestFlat && 8 * N <= 7 * ceil_div(N, kLanes) * kLanes)) {
    const Vec share = set1(1.0f / static_cast<float>(N));
    Vec at = to_float(lane_index()) + set1(0.5f);  // half a number from what rounds otherwise
    for (i64 i = 0; flat && i < N * kLanes; i += kLanes, at += set1(kLanes)) store(row + i, to_int(at * share));
  }
};

// f(first float, its column, how many, from(the same), of) for the vectors of a group, of(numbers of rows) being those of
// its lanes. A last vector that ends with its row is loaded before f may overwrite what the one before it has in common.
template <class From, class F>
NACRE_INLINE void along_group(const RowOf& r, i64 rows, From from, F f) {
  const i64 N = r.N, all = rows * N, last = N - kLanes;
  if (r.flat) {
    const i32* row = r.row;
    const i64 turn = kLanes % N;
    i64 i = 0, c = 0;
    const auto of_lanes = [](VecI at) __attribute__((always_inline)) {
      return [=](const float(&of)[kLanes]) __attribute__((always_inline)) { return look_up(of, at); };
    };
    for (; i < all; i += kLanes) {
      const i64 n = min_of(all - i, kLanes);
      f(i, c, n, from(i, c, n), of_lanes(load(row + i)));
      c += turn;
      c -= c >= N ? N : 0;
    }
    return;
  }
  for (i64 l = 0; l < rows; ++l) {
    const auto mine = [l](const float(&of)[kLanes]) __attribute__((always_inline)) { return set1(of[l]); };
    const auto end = from(l * N + last, last, kLanes);
    for (i64 c = 0; c < last; c += kLanes) f(l * N + c, c, kLanes, from(l * N + c, c, kLanes), mine);
    f(l * N + last, last, kLanes, end, mine);
  }
}

// Groups of kLanes rows: found = first(m, rows), then(m, rows, found), last(m, rows). Where first() of the next group comes
// before last(), the chain at the end of one loop over rows goes along with the loop behind it.
template <class First, class Then, class Last>
NACRE_INLINE void in_groups(i64 begin, i64 end, First first, Then then, Last last) {
  Vec found = zero();
  for (i64 m = begin - kLanes; m < end; m += kLanes) {
    const i64 rows = min_of(kLanes, end - m), after = m + kLanes;
    if (m >= begin) then(m, rows, found);
    if (after < end) found = first(after, min_of(kLanes, end - after));
    if (m >= begin) last(m, rows);
  }
}

struct Two {
  Vec a, b;
};
NACRE_INLINE Vec load_n(const float* p, i64 n) { return n == kLanes ? load(p) : load(p, n); }
NACRE_INLINE void store_n(float* p, Vec v, i64 n) {
  if (n == kLanes) store(p, v);
  else store(p, v, n);
}

}  // namespace
}  // namespace NACRE_ISA
}  // namespace nacre
