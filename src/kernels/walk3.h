// Walks along a row of 3x3 windows, for one vector of channels and R rows at a time: what is read of a column serves all
// windows over it from registers. Each walk asks an `op` what to do:
//
//   In get(row)                what the current column holds in input row `row`; next() moves to the next column
//   Vec start()                an empty sum
//   Vec add(sum, in, kh, kw)   with one tap
//   put(row, sum)              a finished sum of the current output column; put_next() moves on
//
// Rows outside the image are the op's business (it reads zeros there). A walk has n >= 1 columns of output; `left` and
// `right` say how many of the columns that it would read lie outside at either end. Sums go column by column, each from the
// top, so that they are the same bits in any block.
#pragma once
#include "simd/simd.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kWalkRows = 4, kPairRows = 2;  // 32 registers: 12 sums, or 6 inputs, beside 9 weights
#else
constexpr int kWalkRows = 2, kPairRows = 1;
#endif
constexpr i64 kWalkColumns = 128;  // before the next vector of channels: pages that they have in common are still known

// Where a line holds two vectors, the walk over its second half finds it in L1, and has time to ask for the next one.
constexpr bool kAsksAhead = kLanes == 8;

alignas(64) constexpr float kZeroLine[kLanes] = {};

// What a walk asks for with each column, so that it comes from far in the order in which it lies: a share of what rows behind
// its own hold.
template <int rows>
struct Asked {
  static constexpr int lines = rows * kLanes < 16 ? 1 : rows * kLanes / 16;
  const float* at;

  NACRE_INLINE_MEMBER void next() {
    NACRE_UNROLL for (int k = 0; k < lines; ++k) prefetch_far(at + 16 * k);
    at += 16 * lines;
  }
};

// Where an op reads and writes: rows of input, for rows outside the image a line of zeros that does not move, and rows of
// output.
enum Lanes { kAll, kSome, kFew };  // all of a vector; all are read but not all written; fewer than a vector

template <int rows, int out_rows, Lanes of>
struct WalkRows {
  static constexpr bool whole = of != kFew;
  const float* in[rows];
  i64 in_step[rows];
  float* out[out_rows];  // null: not wanted
  i64 out_step;
  i64 lanes, skip;  // how many there are, of few; at the front of some, that others write
  i64 out_px;       // pairs: from the even to the odd column
  bool even, odd;   // which of the columns of a pair are wanted; the first may want no even one, the last no odd one
  i64 pairs = 0;
  bool last_odd = false;

  NACRE_INLINE_MEMBER void set_in(int row, bool inside, const float* first, i64 step) {
    in[row] = inside ? first : kZeroLine;
    in_step[row] = inside ? step : 0;
  }
  NACRE_INLINE_MEMBER Vec load_in(int row) const { return whole ? load(in[row]) : load(in[row], lanes); }
  NACRE_INLINE_MEMBER void store_out(float* p, Vec v) const {
    if (of == kAll) store(p, v);
    else if (of == kFew) store(p, v, lanes);
    else store(p, v, ~first_lanes(skip));
  }
  NACRE_INLINE_MEMBER void next() {
    NACRE_UNROLL for (int row = 0; row < rows; ++row) {
      if (kAsksAhead && whole) prefetch(in[row] + kLanes);
      in[row] += in_step[row];
    }
  }
  NACRE_INLINE_MEMBER void put_next() {
    NACRE_UNROLL for (int row = 0; row < out_rows; ++row) out[row] += out_step;
    even = true;
    odd = --pairs > 1 || last_odd;
  }
  // n pairs of columns from column `first` on, of `width`.
  NACRE_INLINE_MEMBER void set_pairs(i64 first, i64 n, i64 width, i64 px) {
    out_px = px;
    out_step = 2 * px;
    even = first >= 0;
    pairs = n;
    last_odd = first + 2 * n <= width;
    odd = n > 1 || last_odd;
  }
};

// The taps of one input column, stride 1: tap column KW of each window in sum[], which stand R rows high.
template <int R, int KW, class Op>
NACRE_INLINE void add_tap(Op& op, Vec (&sum)[R], const typename Op::In& in, int row) {
  NACRE_UNROLL for (int kh = 0; kh < 3; ++kh) {
    const int r = row - kh;
    if (r >= 0 && r < R) sum[r >= 0 && r < R ? r : 0] = op.add(sum[r >= 0 && r < R ? r : 0], in, kh, KW);
  }
}

// out[r, o] = sum of in[r + kh, o + kw]; left and right up to 2.
template <int R, class Op>
NACRE_INLINE void walk_windows(Op& op, i64 n, i64 left, i64 right) {
  Vec a[R], b[R], c[R];  // windows with two, one and no columns behind them
  const auto shift = [&]() __attribute__((always_inline)) {
    NACRE_UNROLL for (int r = 0; r < R; ++r) a[r] = b[r], b[r] = c[r];
  };
  const auto put = [&]() __attribute__((always_inline)) {
    NACRE_UNROLL for (int r = 0; r < R; ++r) op.put(r, a[r]);
    op.put_next();
  };
  NACRE_UNROLL for (int r = 0; r < R; ++r) a[r] = b[r] = c[r] = op.start();
  if (left < 1) {
    NACRE_UNROLL for (int row = 0; row < R + 2; ++row) add_tap<R, 0>(op, c, op.get(row), row);
  }
  op.next();
  i64 at = 1;
  if (left > 1 && n > 1) {
    shift();
    op.next();
    at = 2;
  }
  for (; at < n; ++at) {
    shift();
    NACRE_UNROLL for (int r = 0; r < R; ++r) c[r] = op.start();
    NACRE_UNROLL for (int row = 0; row < R + 2; ++row) {
      const typename Op::In in = op.get(row);
      add_tap<R, 2>(op, a, in, row);
      add_tap<R, 1>(op, b, in, row);
      add_tap<R, 0>(op, c, in, row);
    }
    op.next();
    if (at > 1) put();
  }
  shift();
  if (right < 2 && (left < 2 || n > 1)) {
    NACRE_UNROLL for (int row = 0; row < R + 2; ++row) {
      const typename Op::In in = op.get(row);
      add_tap<R, 2>(op, a, in, row);
      add_tap<R, 1>(op, b, in, row);
    }
  }
  op.next();
  if (n > 1) put();
  shift();
  if (right < 1) {
    NACRE_UNROLL for (int row = 0; row < R + 2; ++row) add_tap<R, 2>(op, a, op.get(row), row);
  }
  put();
}

// out[r, o] = sum of in[2*r + kh, 2*o + kw]; left and right up to 1.
template <int R, class Op>
NACRE_INLINE void walk_windows_by_two(Op& op, i64 n, i64 left, i64 right) {
  Vec a[R], b[R];
  const auto add = [&](Vec(&sum)[R], const typename Op::In& in, int row, int kw) __attribute__((always_inline)) {
    NACRE_UNROLL for (int kh = row % 2; kh < 3; kh += 2) {
      const int r = (row - kh) / 2;
      if (row >= kh && r < R) sum[row >= kh && r < R ? r : 0] = op.add(sum[row >= kh && r < R ? r : 0], in, kh, kw);
    }
  };
  NACRE_UNROLL for (int r = 0; r < R; ++r) a[r] = op.start();
  if (left < 1) {
    NACRE_UNROLL for (int row = 0; row < 2 * R + 1; ++row) add(a, op.get(row), row, 0);
  }
  op.next();
  for (i64 at = 0; at < n; ++at) {
    NACRE_UNROLL for (int row = 0; row < 2 * R + 1; ++row) add(a, op.get(row), row, 1);
    op.next();
    NACRE_UNROLL for (int r = 0; r < R; ++r) b[r] = op.start();
    if (at + 1 < n || right < 1) {
      NACRE_UNROLL for (int row = 0; row < 2 * R + 1; ++row) {
        const typename Op::In in = op.get(row);
        add(a, in, row, 2);
        add(b, in, row, 0);
      }
    }
    op.next();
    NACRE_UNROLL for (int r = 0; r < R; ++r) op.put(r, a[r]), a[r] = b[r];
    op.put_next();
  }
}

// The transpose of that: out[2*r + kh, 2*o + kw] += in[1 + r, 1 + o], of which it writes the columns and rows of the first
// R x n pairs, each with the input that precedes them. put(row, even, odd) takes rows 2*r and 2*r + 1 of a pair of columns;
// without `left` the column before the first is read, without `right` the last one is.
template <int R, class Op>
NACRE_INLINE void walk_pairs(Op& op, i64 n, i64 left, i64 right) {
  typename Op::In was[R + 1], now[R + 1];
  NACRE_UNROLL for (int row = 0; row <= R; ++row) was[row] = left ? op.none() : op.get(row);
  op.next();
  for (i64 at = 0; at < n; ++at) {
    NACRE_UNROLL for (int row = 0; row <= R; ++row) now[row] = right && at + 1 == n ? op.none() : op.get(row);
    op.next();
    NACRE_UNROLL for (int r = 0; r < R; ++r) {
      const Vec zero = op.start();
      const Vec ee =
          op.add(op.add(op.add(op.add(zero, was[r], 2, 2), was[r + 1], 0, 2), now[r], 2, 0), now[r + 1], 0, 0);
      const Vec eo = op.add(op.add(zero, now[r], 2, 1), now[r + 1], 0, 1);
      const Vec oe = op.add(op.add(zero, was[r + 1], 1, 2), now[r + 1], 1, 0);
      op.put(2 * r, ee, eo);
      op.put(2 * r + 1, oe, op.add(zero, now[r + 1], 1, 1));
    }
    op.put_next();
    NACRE_UNROLL for (int row = 0; row <= R; ++row) was[row] = now[row];
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
