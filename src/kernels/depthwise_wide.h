// Depthwise windows of 5x5 at stride 1 and 2, and of 7x7 at stride 1, as walks: the sums of all outputs over a column stay in
// registers, weights in L1. A last vector of channels begins early enough to be whole, and stores what lies behind its first
// `skip` lanes.
#pragma once
#include "kernels/depthwise_walk.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int gather_rows(int K) { return K == 5 ? 4 : 2; }  // of output: K * rows / S sums, as many inputs as rows
constexpr int kScatterPairs = 2;                             // of rows of output, 5 sums each
constexpr int tap_columns(int K) { return K == 5 ? 5 : 3; }  // of the window, or one less, K sums each,
constexpr int tap_rows(int K) { return K == 5 ? 1 : 2; }     // for so many rows of dy
constexpr int kSumsBesideWeights = 24;
using OfWalk = const Image;  // a copy, which no store can change: its fields stay in registers, where there are enough
constexpr int kTapsOfRow = 8, kRowsOfFour = 4;  // of windows that no walk knows, by themselves and four columns wide;
constexpr i64 kLongRow = 4;                     // worth it from so many columns on
#else
constexpr int gather_rows(int) { return 2; }
constexpr int kScatterPairs = 1;
constexpr int tap_columns(int) { return 2; }
constexpr int tap_rows(int) { return 2; }
constexpr int kSumsBesideWeights = 12;
using OfWalk = const Image&;
constexpr int kTapsOfRow = 7, kRowsOfFour = 2;
constexpr i64 kLongRow = 6;
#endif
constexpr int kLine = kLanes < 16 ? 16 / kLanes : 1;  // vectors of a line, which all walks over some rows take in turn

// Rows of input, lines of zeros where they are outside. The compiler is told nothing of its pointers, or it would add them
// up in a vector register, and read them from there one by one.
template <int rows>
struct Lines {
  const float* in[rows];
  i64 step[rows];

  NACRE_INLINE_MEMBER Lines(const Image& s, i64 ih, i64 iw, i64 d, const float* zeros = kZeroLine) {
    i64 at = s.ring > 0 ? (ih % s.ring + s.ring) % s.ring : ih;
    const float* first = s.in + at * s.in_row + iw * s.ld_in + d;
    NACRE_UNROLL for (int row = 0; row < rows; ++row, first += s.in_row) {
      if (s.ring > 0 && at++ == s.ring) first -= s.ring * s.in_row;
      const bool inside = ih + row >= 0 && ih + row < s.IH;
      in[row] = inside ? first : zeros;
      step[row] = inside ? s.ld_in : 0;
      asm("" : "+r"(in[row]));
    }
  }
  NACRE_INLINE_MEMBER void next(i64 columns = 1) {
    NACRE_UNROLL for (int row = 0; row < rows; ++row) {
      in[row] += columns * step[row];
      asm("" : "+r"(in[row]));
    }
  }
  NACRE_INLINE_MEMBER Vec get(int row) const { return in_register(load(in[row])); }
};

// R finished sums, row_step apart.
template <int R>
NACRE_INLINE void put_sums(const Image& s, i64 at, i64 row_step, i64 skip, Vec (&sum)[R]) {
  if (s.mask) {
    NACRE_UNROLL for (int r = 0; r < R; ++r) { sum[r] = select(gt(load(s.mask + at + r * row_step), zero()), sum[r]); }
  }
  if (skip == 0) {
    NACRE_UNROLL for (int r = 0; r < R; ++r) store(s.out + at + r * row_step, sum[r]);
  } else {
    const Mask last = ~first_lanes(skip);
    NACRE_UNROLL for (int r = 0; r < R; ++r) store(s.out + at + r * row_step, sum[r], last);
  }
}

struct Weights {
  const Vec* tap;
  Vec first;  // bias
};

// out[oh, ow] = sum of in[oh*S + kh - PT, ow*S + kw - PL] w[kh, kw] for R rows from oh on and columns [ow, ow + n).
template <int K, int S, int R>
__attribute__((noinline)) void gather_walk(OfWalk s, const Weights& w, i64 oh, i64 ow, i64 n, i64 d, i64 skip,
                                           const float* ask, const float* ask_out) {
  constexpr int kRows = (R - 1) * S + K, kSets = (K + S - 1) / S;  // of windows over a column
  const i64 iw = ow * S - s.PL, y_row = s.out_row, width = s.IW;
  Lines<kRows> at(s, oh * S - s.PT, iw, d);
  i64 to = oh * y_row + (ow - (kSets - 1)) * s.ld_out + d;
  const Vec first = w.first, *const tap = w.tap;
  Vec sum[kSets][R];
  NACRE_UNROLL for (int t = 0; t < kSets; ++t) { NACRE_UNROLL for (int r = 0; r < R; ++r) sum[t][r] = first; }
  Asked<R * S * S> asked{ask};
  Asked<R> asked_out{ask_out};
  for (i64 i = 0; i < n + kSets - 1; ++i, to += s.ld_out) {
    if (kLanes > 4 && R == gather_rows(K) && ask) {
      asked.next();
      if (S == 1) asked_out.next();
    }
    NACRE_UNROLL for (int c = 0; c < S; ++c, at.next()) {
      const i64 column = iw + i * S + c;
      if (column < 0 || column >= width) continue;
      if (kSets * R > kSumsBesideWeights) {  // then weights are operands in memory
        NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
          const Vec x = at.get(row);
          NACRE_UNROLL for (int r = 0; r < R; ++r) {
            NACRE_UNROLL for (int t = 0; t < kSets; ++t) {
              const int kh = row - r * S, kw = t * S + c;
              if (kh < 0 || kh >= K || kw >= K) continue;
              sum[t][r] = fma(x, tap[kh < 0 || kh >= K || kw >= K ? 0 : kh * K + kw], sum[t][r]);
            }
          }
        }
      } else {
        Vec x[kRows];
        NACRE_UNROLL for (int kh = 0; kh < K; ++kh) {
          NACRE_UNROLL for (int r = 0; r < R; ++r) {
            if (kh < S || r == R - 1) x[r * S + kh] = at.get(r * S + kh);
          }
          NACRE_UNROLL for (int t = 0; t < kSets; ++t) {
            const int kw = t * S + c;
            if (kw >= K) continue;
            Vec weight = tap[kh * K + (kw < K ? kw : 0)];
            if (R > 1) weight = in_register(weight);
            NACRE_UNROLL for (int r = 0; r < R; ++r) sum[t][r] = fma(x[r * S + kh], weight, sum[t][r]);
          }
        }
      }
    }
    if (i >= kSets - 1) {
      NACRE_UNROLL for (int r = 0; r < R; ++r) {
        sum[kSets - 1][r] = min(set1(s.ceiling), max(set1(s.floor), sum[kSets - 1][r]));  // keeps NaN
      }
      put_sums<R>(s, to, y_row, skip, sum[kSets - 1]);
    }
    NACRE_UNROLL for (int t = kSets - 1; t > 0; --t) {
      NACRE_UNROLL for (int r = 0; r < R; ++r) sum[t][r] = sum[t - 1][r];
    }
    NACRE_UNROLL for (int r = 0; r < R; ++r) sum[0][r] = first;
  }
}

// The transpose at stride 2: columns 2*w - PL and the next one for pairs w of [w0, w0 + n), R pairs of rows from pair h0 on,
// as far as they are rows [oh, end) of out. PT and PL are those of the forward pass.
template <int K, int R>
__attribute__((noinline)) void scatter_walk(OfWalk s, const Weights& w, i64 h0, i64 oh, i64 end, i64 w0, i64 n, i64 d,
                                            i64 skip) {
  constexpr int kBack = (K - 1) / 2, kRows = R + kBack;
  const i64 width = s.IW, top = 2 * h0 - s.PT;
  Lines<kRows> at(s, h0 - kBack, w0 - kBack, d);
  alignas(64) float nowhere[kLanes] = {};
  float* out[2 * R];
  i64 step[2 * R];
  NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) {
    const bool wanted = top + q >= oh && top + q < end;
    out[q] = wanted ? s.out + (top + q) * s.out_row + (2 * w0 - s.PL) * s.ld_out + d : nowhere;
    step[q] = wanted ? s.ld_out : 0;
  }
  const Vec* const tap = w.tap;
  Vec sum[K + 1][2 * R];
  NACRE_UNROLL for (int t = 0; t <= K; ++t) { NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) sum[t][q] = zero(); }
  for (i64 j = w0 - kBack; j < w0 + n; ++j, at.next()) {
    if (j >= 0 && j < width) {
      Vec x[kRows];
      NACRE_UNROLL for (int kh = K - 1; kh >= 0; --kh) {  // from the top
        NACRE_UNROLL for (int r = 0; r < R; ++r) {
          const int row = r + kBack - kh / 2;
          if (kh == K - 1 || (r == R - 1 && kh % 2 == 1)) x[row] = at.get(row);
        }
        NACRE_UNROLL for (int kw = 0; kw < K; ++kw) {
          Vec weight = tap[kh * K + kw];
          if (R > 1) weight = in_register(weight);
          NACRE_UNROLL for (int r = 0; r < R; ++r) {
            sum[kw][2 * r + kh % 2] = fma(x[r + kBack - kh / 2], weight, sum[kw][2 * r + kh % 2]);
          }
        }
      }
    }
    if (j >= w0) {
      NACRE_UNROLL for (int c = 0; c < 2; ++c) {
        if (2 * j - s.PL + c >= 0 && 2 * j - s.PL + c < s.OW) {
          if (s.mask) {
            NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) {
              const float* of = step[q] > 0 ? s.mask + (out[q] - s.out) : nowhere;
              sum[c][q] = select(gt(load(of), zero()), sum[c][q]);
            }
          }
          if (skip == 0) {
            NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) store(out[q], sum[c][q]);
          } else {
            NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) store(out[q], sum[c][q], ~first_lanes(skip));
          }
        }
        NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) out[q] += step[q];
      }
    }
    NACRE_UNROLL for (int t = 0; t < K - 1; ++t) {
      NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) sum[t][q] = sum[t + 2][q];
    }
    NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) sum[K - 1][q] = zero();
  }
}

// Calls of(column, how many, weights, channel, lanes to skip) for the vectors of each line of channels, and for each
// block of columns [from, to); `rows` says how many calls of `of` there are for each vector.
template <int K, class Of>
NACRE_INLINE void each_line(i64 from, i64 to, const Image& s, Of of) {
  const i64 last = min_of(s.d1, s.D);
  for (i64 w = from; w < to; w += kWalkColumns) {
    for (i64 d = s.d0, vectors; d < last; d += vectors * kLanes) {
      vectors = min_of(kLine, ceil_div(last - d, kLanes));
      Vec tap[kLine][K * K];
      Weights weights[kLine];
      i64 at[kLine];
      for (i64 v = 0; v < vectors; ++v) {
        at[v] = min_of(d + v * kLanes, s.D - kLanes);
        weights[v] = {tap[v], s.bias ? load(s.bias + at[v]) : zero()};
        for (int t = 0; t < K * K; ++t) tap[v][t] = load(s.w + (s.turned ? K * K - 1 - t : t) * s.D + at[v]);
      }
      of(w, min_of(kWalkColumns, to - w), [&](auto walk) __attribute__((always_inline)) {
        for (i64 v = 0; v < vectors; ++v) walk(weights[v], at[v], d + v * kLanes - at[v]);
      });
    }
  }
}

// Rows [oh, end) of one image, as many at a time as stay near.
template <int K, int S>
void gather_image(const Image& s, i64 oh, i64 end) {
  constexpr int R = gather_rows(K);
  const bool far = s.far && sets_between(s.ld_in) < 32;  // L2 has to hold what is asked for
  const i64 together = max_of(kNearRows / (far ? 2 : 1) / max_of(s.IW * s.ld_in * S, 1) / R, 1) * R;
  for (i64 last; oh < end; oh = last) {
    last = min_of(oh + together, end);
    each_line<K>(0, s.OW, s, [&](i64 w, i64 n, auto each) __attribute__((always_inline)) {
      for (i64 h = oh; h < last; h += R) {
        const i64 left = last - h;
        const float* more =
            s.row(last * S - s.PT + K - S) + w * s.D * (last - oh) * S * S + (h - oh) * n * kLanes * S * S;
        const float* more_out = s.out + last * s.out_row + w * s.D * (last - oh) + (h - oh) * n * kLanes;
        each([&](const Weights& weights, i64 d, i64 skip) __attribute__((always_inline)) {
          const float* ask = far ? more + d * n * (last - oh) * S * S : nullptr;
          const float* to = more_out + d * n * (last - oh);
          if (left >= R) gather_walk<K, S, R>(s, weights, h, w, n, d, skip, ask, to);
          else if (R > 3 && left == 3) gather_walk<K, S, (R > 3 ? 3 : 1)>(s, weights, h, w, n, d, skip, ask, to);
          else if (R > 2 && left == 2) gather_walk<K, S, (R > 2 ? 2 : 1)>(s, weights, h, w, n, d, skip, ask, to);
          else gather_walk<K, S, 1>(s, weights, h, w, n, d, skip, ask, to);
        });
      }
    });
  }
}

template <int K>
void scatter_image(const Image& s, i64 oh, i64 end) {
  constexpr int R = kScatterPairs;
  const i64 together = max_of(kNearRows / max_of(s.OW * s.ld_out, 1) / (2 * R), 1) * (2 * R);
  for (i64 last; oh < end; oh = last) {
    const i64 pair = (oh + s.PT) / 2;
    last = min_of(2 * pair - s.PT + together, end);
    each_line<K>(s.PL / 2, (s.OW - 1 + s.PL) / 2 + 1, s, [&](i64 w, i64 n, auto each) __attribute__((always_inline)) {
      for (i64 h = pair; 2 * h - s.PT < last; h += R) {
        each([&](const Weights& weights, i64 d, i64 skip)
                 __attribute__((always_inline)) { scatter_walk<K, R>(s, weights, h, oh, last, w, n, d, skip); });
      }
    });
  }
}

// ---- gradient of the weights ----

struct TapSums {
  float* dw;
  i64 D;
  float* db;  // null: not asked for
  bool add;
};

// For columns [kw, kw + T) of a window of K x K, sums += what rows [oh, oh + rows) of dy give, R at a time: a column
// of x meets the outputs that see it, which stay in registers.
template <int K, int S, int T, int R>
__attribute__((noinline)) void tap_walk(OfWalk s, const float* dy, i64 oh, i64 rows, i64 ow, i64 n, i64 d, int kw,
                                        Vec* sums) {
  const i64 share = (ow * s.D + d * n) * rows;
  const bool asks = kLanes > 4 && R == tap_rows(K) && T == tap_columns(K) && s.far && kw == 0;
  Asked<R> more_dy{dy + (oh + rows) * s.out_row + share};
  Asked<R * S * S> more_x{s.row((oh + rows) * S - s.PT + K - S) + share * S * S};
  constexpr int kRows = (R - 1) * S + K, kSteps = (T + S - 1) / S;
  const i64 ld = s.ld_out, dy_row = s.out_row, width = s.IW, iw = ow * S - s.PL + kw;
  Vec acc[K][T];
  NACRE_UNROLL for (int t = 0; t < K * T; ++t) acc[t / T][t % T] = zero();
  for (i64 h = oh; h < oh + rows; h += R) {
    Lines<kRows> x(s, h * S - s.PT, iw, d);
    const float* g = dy + h * dy_row + ow * ld + d;
    Vec now[kSteps][R];  // dy of the outputs over a column
    NACRE_UNROLL for (int t = 0; t < kSteps * R; ++t) now[t / R][t % R] = zero();
    for (i64 i = 0; i < n + kSteps - 1; ++i, g += ld) {
      if (asks) more_dy.next(), more_x.next();
      NACRE_UNROLL for (int r = 0; r < R; ++r) {
        NACRE_UNROLL for (int t = kSteps - 1; t > 0; --t) now[t][r] = now[t - 1][r];
        now[0][r] = i < n ? load(g + r * dy_row) : zero();
      }
      NACRE_UNROLL for (int c = 0; c < S; ++c, x.next()) {
        const i64 column = iw + i * S + c;
        if (column < 0 || column >= width) continue;
        NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
          const Vec a = x.get(row);
          NACRE_UNROLL for (int r = R - 1; r >= 0; --r) {
            NACRE_UNROLL for (int t = 0; t < kSteps; ++t) {
              const int kh = row - r * S, at = t * S + c;
              if (kh < 0 || kh >= K || at >= T) continue;
              Vec& sum = acc[kh < 0 || kh >= K ? 0 : kh][at < T ? at : 0];
              sum = fma(a, now[t][r], sum);
            }
          }
        }
      }
    }
  }
  NACRE_UNROLL for (int t = 0; t < K * T; ++t) {
    Vec& sum = sums[t / T * K + kw + t % T];
    sum = sum + acc[t / T][t % T];
  }
}

template <int K, int S, int R>
NACRE_INLINE void all_columns(const Image& s, const float* dy, i64 oh, i64 rows, i64 ow, i64 n, i64 d, Vec* sums) {
  constexpr int T = tap_columns(K), kLess = T == K ? K : T - 1;
  for (int kw = 0; kw < K && rows > 0;) {
    if ((K - kw) % T == 0 || K - kw > 2 * kLess) tap_walk<K, S, T, R>(s, dy, oh, rows, ow, n, d, kw, sums), kw += T;
    else tap_walk<K, S, kLess, R>(s, dy, oh, rows, ow, n, d, kw, sums), kw += kLess;
  }
}

// What an image reads in rows [first, last), a vector of channels from d on side by side in the stage: all columns of a window
// read it, and where pixels meet in few sets of L1 it does not stay there.
inline Image one_vector(const Image& s, i64 d, i64 first, i64 last) {
  Image t = s;
  t.ld_in = kLanes, t.in_row = s.IW * kLanes, t.in = s.stage - first * t.in_row - d;
  float* to = s.stage;
  for (i64 h = first; h < last; ++h) {
    const float* from = s.in + h * s.in_row + d;
    for (i64 px = 0; px < s.IW; ++px, from += s.ld_in, to += kLanes) store(to, load(from));
  }
  return t;
}

// Rows [oh, oh + rows) of one image.
template <int K, int S>
void sum_wide_block(const Image& s, const float* dy, i64 oh, i64 rows, const TapSums& to) {
  constexpr int R = tap_rows(K);
  for (i64 at = 0; at < s.D; at += kLanes) {
    const i64 d = min_of(at, s.D - kLanes), skip = at - d;
    const Mask last = ~first_lanes(skip);
    Vec sums[K * K], total = zero();
    for (int t = 0; t < K * K; ++t) sums[t] = zero();
    const i64 ih = oh * S - s.PT;
    const Image t = s.stage ? one_vector(s, d, max_of(ih, 0), min_of(ih + (rows - 1) * S + K, s.IH)) : s;
    for (i64 w = 0; w < s.OW; w += kWalkColumns) {
      const i64 n = min_of(kWalkColumns, s.OW - w);
      all_columns<K, S, R>(t, dy, oh, rows / R * R, w, n, d, sums);
      all_columns<K, S, 1>(t, dy, oh + rows / R * R, rows % R, w, n, d, sums);
    }
    for (i64 h = oh; to.db && h < oh + rows; ++h) {
      for (i64 w = 0; w < s.OW; ++w) total += load(dy + h * s.out_row + w * s.ld_out + d);
    }
    const auto put = [&](float* p, Vec v) {
      if (to.add) v = load(p) + v;
      if (skip == 0) store(p, v);
      else store(p, v, last);
    };
    for (int t = 0; t < K * K; ++t) put(to.dw + t * to.D + d, sums[t]);
    if (to.db) put(to.db + d, total);
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
