// The gradient of depthwise weights of 3x3 by turns: R rows of dy and some columns of x at a time, all vectors of channels in
// each, so that pixels are read about in the order in which they lie. A column of x stays in registers beside the nine sums
// and meets the columns of dy that see it; from one turn to the next, sums wait in the workspace, side by side.
#pragma once
#include "kernels/depthwise_wide.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kMostTapRows = 4;
constexpr bool kHoldsDy = true;  // in registers from column to column
#else
constexpr int kMostTapRows = 2;
constexpr bool kHoldsDy = false;
#endif
constexpr i64 kTapLines = 384;   // of L1, which hold what a turn reads: pixels may meet in few sets
constexpr int kSumsOfTaps = 10;  // vectors that wait: of the taps, and of dy

// A turn: n steps of S columns of x, from `column` on, the first of which is the first tap of output o.
template <int S, int R>
struct TapTurn {
  static constexpr int kRows = (R - 1) * S + 3, kBack = 2 / S;
  const float* x[kRows];
  i64 step[kRows];
  const float* dy[R];
  i64 ld, ldx, IW, OW, D;
  bool asks, with_db;
  Asked<R> more_dy;
  Asked<R * S * S> more_x;

  __attribute__((noinline)) void add(i64 column, i64 o, i64 n, float* sums) {
    const i64 back = -ld;
    for (i64 v = 0; v < D; v += kLanes, sums += kSumsOfTaps * kLanes) {
      const i64 d = min_of(v, D - kLanes);
      Vec acc[9], total = load(sums + 9 * kLanes);
      NACRE_UNROLL for (int t = 0; t < 9; ++t) acc[t] = load(sums + t * kLanes);
      const float *in[kRows], *g[R];
      NACRE_UNROLL for (int q = 0; q < kRows; ++q) {
        in[q] = x[q] + d;
        asm("" : "+r"(in[q]));
      }
      NACRE_UNROLL for (int r = 0; r < R; ++r) {
        g[r] = dy[r] + d;
        asm("" : "+r"(g[r]));
      }
      Vec held[kBack + 1][R];  // dy of this step's output and of those before
      NACRE_UNROLL for (int k = 0; k < kBack; ++k) {
        NACRE_UNROLL for (int r = 0; r < R; ++r) held[k][r] =
            kHoldsDy && seen(o - 1 - k) ? load(g[r] + (k + 1) * back) : zero();
      }
      for (i64 i = 0; i < n; ++i) {
        if (asks) more_dy.next(), more_x.next();
        if constexpr (kHoldsDy) {
          NACRE_UNROLL for (int k = kBack; k > 0; --k) {
            NACRE_UNROLL for (int r = 0; r < R; ++r) held[k][r] = held[k - 1][r];
          }
          if (seen(o + i)) {
            NACRE_UNROLL for (int r = 0; r < R; ++r) held[0][r] = in_register(load(g[r]));
          }
        }
        if (S > 1 && with_db && seen(o + i)) {
          NACRE_UNROLL for (int r = 0; r < R; ++r) total += load(g[r]);
        }
        NACRE_UNROLL for (int c = 0; c < S; ++c) {
          const i64 at = column + S * i + c;
          if (S > 1 && (at < 0 || at >= IW)) continue;
          Vec a[kRows];
          NACRE_UNROLL for (int q = 0; q < kRows; ++q) {
            a[q] = in_register(load(in[q] + c * ldx));
            if (S == 1) in[q] += step[q];
          }
          NACRE_UNROLL for (int kw = c; kw < 3; kw += S) {
            if (!seen(o + i - kw / S)) continue;
            NACRE_UNROLL for (int r = 0; r < R; ++r) {
              const Vec now = kHoldsDy ? held[kw / S][r] : in_register(load(g[r] + kw / S * back));
              if (S == 1 && kw == 0 && with_db) total += now;
              NACRE_UNROLL for (int kh = 0; kh < 3; ++kh) acc[kh * 3 + kw] = fma(a[S * r + kh], now, acc[kh * 3 + kw]);
            }
          }
        }
        NACRE_UNROLL for (int q = 0; q < kRows && S > 1; ++q) in[q] += step[q];
        NACRE_UNROLL for (int r = 0; r < R; ++r) g[r] += ld;
      }
      NACRE_UNROLL for (int t = 0; t < 9; ++t) store(sums + t * kLanes, acc[t]);
      store(sums + 9 * kLanes, total);
    }
  }
  NACRE_INLINE_MEMBER bool seen(i64 j) const { return static_cast<unsigned long>(j) < static_cast<unsigned long>(OW); }
};

// For R rows of dy from oh on and n outputs from o on.
template <int S, int R>
void tap_turn(const Image& s, const float* dy, i64 oh, i64 o, i64 n, bool with_db) {
  using Turn = TapTurn<S, R>;
  const i64 ih = oh * S - s.PT, column = o * S - s.PL, share = o * s.D * R;
  Turn t{{}, {}, {}, s.ld_out, s.ld_in, s.IW, s.OW, s.D, s.far && R > 1, with_db, {}, {}};
  NACRE_UNROLL for (int q = 0; q < Turn::kRows; ++q) {
    const bool inside = ih + q >= 0 && ih + q < s.IH;
    t.x[q] = inside ? s.in + (ih + q) * s.in_row + column * s.ld_in : s.zeros;
    t.step[q] = inside ? s.ld_in * S : 0;
  }
  NACRE_UNROLL for (int r = 0; r < R; ++r) t.dy[r] = dy + (oh + r) * s.out_row + o * s.ld_out;
  t.more_dy.at = dy + (oh + R) * s.out_row + share;
  t.more_x.at = s.in + (ih + R * S + 3 - S) * s.in_row + share * S * S;
  t.add(column, o, n, s.sums);
}

// The sums of columns [from, to) of rows [oh, end) of dy.
NACRE_CALLED void sum_dy(const Image& s, const float* dy, i64 oh, i64 end, i64 from, i64 to) {
  float* sum = s.sums + 9 * kLanes;
  for (i64 v = 0; v < s.D && from < to; v += kLanes, sum += kSumsOfTaps * kLanes) {
    Vec total = load(sum);
    for (i64 h = oh; h < end; ++h) {
      const float* g = dy + h * s.out_row + from * s.ld_out + min_of(v, s.D - kLanes);
      for (i64 i = from; i < to; ++i, g += s.ld_out) total += load(g);
    }
    store(sum, total);
  }
}

// Rows [oh, end) of dy.
template <int S>
void sum_taps(const Image& s, const float* dy, i64 oh, i64 end, bool with_db) {
  constexpr int kMost = S == 1 ? kMostTapRows : 2;
  constexpr i64 kLines = kMost + (kMost * S + 3 - S) * S;  // that a step reads
  const i64 sets = sets_between(s.ld_in), columns = S == 1 ? min_of(s.OW + 2, s.IW + s.PL) : s.OW + 1;
  const bool whole = kHoldsDy && (S == 1 || sets < 32);  // rows: each line is read by one vector of channels alone
  const i64 most = s.far ? 4 : columns;                  // memory likes its own order
  const i64 turn = whole ? columns : min_of(max_of(kTapLines / (sets * kLines), 2), most);
  const i64 begin = S == 1 ? max_of(s.PL, 0) : 0;
  for (i64 rows; oh < end; oh += rows) {
    rows = end - oh >= kMost ? kMost : end - oh >= 2 ? 2 : 1;
    for (i64 o = begin; o < columns; o += turn) {
      const i64 n = min_of(turn, columns - o);
      if (rows > 2) tap_turn<S, kMost>(s, dy, oh, o, n, with_db);
      else if (rows == 2) tap_turn<S, 2>(s, dy, oh, o, n, with_db);
      else tap_turn<S, 1>(s, dy, oh, o, n, with_db);
    }
    if (!with_db || S > 1) continue;
    sum_dy(s, dy, oh, oh + rows, 0, min_of(begin, s.OW));  // which no first tap meets
    sum_dy(s, dy, oh, oh + rows, max_of(columns, 0), s.OW);
  }
}

// Of workspace for the sums of D channels, and zeros for S columns, some of them before the first channel, which a last vector
// may take.
inline Count tap_floats(i64 S, i64 D, i64 ld) {
  return (Count(kSumsOfTaps + 1) * Count(ceil_div(D, kLanes)) + Count(1)) * Count(kLanes) + Count(S - 1) * Count(ld);
}

NACRE_CALLED float* set_taps(Image& s, i64 S, i64 ld, float* work) {
  const i64 floats = ceil_div(tap_floats(S, s.D, ld).value(), 16) * 16;
  zero_floats(work, floats);
  s.sums = work;
  s.zeros = work + (kSumsOfTaps * ceil_div(s.D, kLanes) + 1) * kLanes;
  return work + floats;
}

// Sums of dw[9][D] and db[D] of this image's channels; db may be null.
NACRE_CALLED void put_taps(const Image& s, float* dw, float* db, i64 D) {
  const float* sums = s.sums;
  for (i64 v = 0; v < s.D; v += kLanes, sums += kSumsOfTaps * kLanes) {
    const i64 d = min_of(v, s.D - kLanes);
    for (int t = 0; t < (db ? 10 : 9); ++t) {
      float* to = (t < 9 ? dw + t * D : db) + d;
      const Vec sum = load(sums + t * kLanes);
      if (v == d) store(to, sum);
      else store(to, sum, ~first_lanes(v - d));
    }
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
