// The gradient of weights of 3x3: R rows of dy and some columns of x at a time, all vectors of channels in each, so that pixels
// are read about in the order in which they lie. A column of x stays in registers beside the nine sums and meets the three
// columns of dy that see it; between the columns of one turn and the next, sums wait in the workspace, side by side.
#pragma once
#include "kernels/depthwise_wide.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kMostTapRows = 4;
#else
constexpr int kMostTapRows = 2;
#endif
constexpr i64 kTapLines = 384;   // of L1, which hold what a turn reads: pixels may meet in few sets
constexpr int kSumsOfTaps = 10;  // vectors that wait: of the taps, and of dy

// A turn: n steps of S columns of x, from `column` on, the first of which is the first tap of output o.
template <int S, int R>
struct TapTurn {
  static constexpr int kRows = (R - 1) * S + 3;
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
      for (i64 i = 0; i < n; ++i) {
        if (asks) more_dy.next(), more_x.next();
        if constexpr (S == 1) {
          Vec a[kRows];
          NACRE_UNROLL for (int q = 0; q < kRows; ++q) a[q] = in_register(load(in[q])), in[q] += step[q];
          NACRE_UNROLL for (int kw = 0; kw < 3; ++kw) {
            if (!seen(o + i - kw)) continue;
            NACRE_UNROLL for (int r = 0; r < R; ++r) {
              const Vec now = in_register(load(g[r] + kw * back));
              if (kw == 0 && with_db) total += now;
              NACRE_UNROLL for (int kh = 0; kh < 3; ++kh) acc[kh * 3 + kw] = fma(a[r + kh], now, acc[kh * 3 + kw]);
            }
          }
        } else {
          const bool here = seen(o + i), before = seen(o + i - 1);
          const i64 at = column + 2 * i;
          if (at >= 0 && at < IW) {
            Vec a[kRows];
            NACRE_UNROLL for (int q = 0; q < kRows; ++q) a[q] = in_register(load(in[q]));
            NACRE_UNROLL for (int kw = 0; kw < 3; kw += 2) {
              if (!(kw == 0 ? here : before)) continue;
              NACRE_UNROLL for (int r = 0; r < R; ++r) {
                const Vec now = in_register(load(g[r] + kw / 2 * back));
                NACRE_UNROLL for (int kh = 0; kh < 3; ++kh) acc[kh * 3 + kw] = fma(a[2 * r + kh], now, acc[kh * 3 + kw]);
              }
            }
          }
          if (here && with_db) {
            NACRE_UNROLL for (int r = 0; r < R; ++r) total += load(g[r]);
          }
          if (here && at + 1 >= 0 && at + 1 < IW) {
            NACRE_UNROLL for (int r = 0; r < R; ++r) {
              const Vec now = in_register(load(g[r]));
              NACRE_UNROLL for (int kh = 0; kh < 3; ++kh) {
                acc[kh * 3 + 1] = fma(load(in[2 * r + kh] + ldx), now, acc[kh * 3 + 1]);
              }
            }
          }
          NACRE_UNROLL for (int q = 0; q < kRows; ++q) in[q] += step[q];
        }
        NACRE_UNROLL for (int r = 0; r < R; ++r) g[r] += ld;
      }
      NACRE_UNROLL for (int t = 0; t < 9; ++t) store(sums + t * kLanes, acc[t]);
      store(sums + 9 * kLanes, total);
    }
  }
  NACRE_INLINE_MEMBER bool seen(i64 j) const {
    return static_cast<unsigned long>(j) < static_cast<unsigned long>(OW);
  }
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
  const i64 sets = sets_between(s.ld_in), most = sets < 8 ? kMost : 2;
  const i64 turn = max_of(kTapLines / (sets * (most + (most * S + 3 - S) * S)), 2);
  const i64 begin = S == 1 ? max_of(s.PL, 0) : 0, columns = S == 1 ? min_of(s.OW + 2, s.IW + s.PL) : s.OW + 1;
  for (i64 rows; oh < end; oh += rows) {
    rows = end - oh >= most ? most : end - oh >= 2 ? 2 : 1;
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

// Of workspace for the sums of D channels, and zeros, some of them before the first channel, which a last vector may take.
inline i64 tap_floats(i64 D) { return ((kSumsOfTaps + 1) * ceil_div(D, kLanes) + 1) * kLanes; }

NACRE_CALLED float* set_taps(Image& s, float* work) {
  zero_floats(work, tap_floats(s.D));
  s.sums = work;
  s.zeros = work + (kSumsOfTaps * ceil_div(s.D, kLanes) + 1) * kLanes;
  return work + tap_floats(s.D);
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
