// Depthwise windows of 3x3 at stride 1 and 2 as walks (walk3.h), and larger ones as walks of their own: sums, and of 3x3 also
// weights, stay in registers, borders are lines of zeros, nothing is copied.
#pragma once
#include "kernels/depthwise_conv2d.h"
#include "kernels/walk3.h"

namespace nacre::NACRE_ISA {
namespace {

struct Bounds {
  Vec floor, ceiling;
};

// Sums of inputs times weights; out is dx where there is a mask.
template <int rows, int out_rows, bool masked, bool whole>
struct Filter : WalkRows<rows, out_rows, whole> {
  using Base = WalkRows<rows, out_rows, whole>;
  using In = Vec;
  Vec weight[9], first;
  Bounds within;
  i64 mask_from_out;  // in floats
  const float* mask[out_rows];
  bool wanted[out_rows];

  NACRE_INLINE_MEMBER void set_weights(const float* w, i64 D, bool turned, const float* bias) {
    const float* p = turned ? w + 8 * D : w;
    NACRE_UNROLL for (int t = 0; t < 9; ++t, p += turned ? -D : D) weight[t] = whole ? load(p) : load(p, Base::lanes);
    first = !bias ? zero() : whole ? load(bias) : load(bias, Base::lanes);
  }
  NACRE_INLINE_MEMBER Vec get(int row) const { return in_register(Base::load_in(row)); }
  NACRE_INLINE_MEMBER Vec none() const { return zero(); }
  NACRE_INLINE_MEMBER Vec start() const { return first; }
  NACRE_INLINE_MEMBER Vec add(Vec sum, Vec in, int kh, int kw) const { return fma(in, weight[kh * 3 + kw], sum); }
  NACRE_INLINE_MEMBER void finish(int row, i64 at, Vec sum) const {
    sum = min(within.ceiling, max(within.floor, sum));  // keeps NaN
    if (masked) {
      const Vec h = whole ? load(mask[row] + at) : load(mask[row] + at, Base::lanes);
      sum = select(gt(h, zero()), sum);
    }
    Base::store_out(Base::out[row] + at, sum);
  }
  NACRE_INLINE_MEMBER void put(int row, Vec sum) const { finish(row, 0, sum); }
  NACRE_INLINE_MEMBER void put(int row, Vec e, Vec o) const {
    if (!wanted[row]) return;
    if (Base::even) finish(row, 0, e);
    if (Base::odd) finish(row, Base::out_px, o);
  }
  NACRE_INLINE_MEMBER void put_next() {
    Base::put_next();
    if (masked) {
      NACRE_UNROLL for (int row = 0; row < out_rows; ++row) mask[row] += Base::out_step;
    }
  }
};

// A problem of windows, whichever way it goes: out[oh, ow] = sum of in[oh*S + kh - PT, ow*S + kw - PL].
struct Image {
  i64 IH, IW, OH, OW, PT, PL, D;
  i64 ld_in, ld_out;
  const float* in;                                             // of one image, as all that follow
  const float *w = nullptr, *bias = nullptr, *mask = nullptr;  // null: none
  float* out = nullptr;
  float floor = 0, ceiling = 0;
  i64 d0 = 0, d1 = i64{1} << 60;  // the channels that are wanted, from whole vectors on
  bool turned = false;            // weights from the last to the first
  i64 ring = 0;                   // rows that `in` has, row i being i % ring; 0: all rows

  NACRE_INLINE_MEMBER const float* row(i64 i) const { return in + (ring > 0 && i >= 0 ? i % ring : i) * IW * ld_in; }
};

// R rows of output from oh on, columns [ow, ow + n), channels d and up.
template <int R, int S, bool masked, bool whole>
void filter_walk(const Image& s, i64 oh, i64 ow, i64 n, i64 d) {
  constexpr int kRows = (R - 1) * S + 3;
  Filter<kRows, R, masked, whole> op;
  op.lanes = s.D - d;
  op.set_weights(s.w + d, s.D, s.turned, s.bias ? s.bias + d : nullptr);
  op.within = {set1(s.floor), set1(s.ceiling)};
  const i64 ih = oh * S - s.PT, iw = ow * S - s.PL;
  NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
    const i64 i = ih + row;
    op.set_in(row, i >= 0 && i < s.IH, s.row(i) + iw * s.ld_in + d, s.ld_in);
  }
  NACRE_UNROLL for (int row = 0; row < R; ++row) {
    const i64 at = ((oh + row) * s.OW + ow) * s.ld_out + d;
    op.out[row] = s.out + at;
    if (masked) op.mask[row] = s.mask + at;
  }
  op.out_step = s.ld_out;
  const i64 right = iw + (n - 1) * S + 3 - s.IW;
  if (S == 1) walk_windows<R>(op, n, -iw, right);
  else walk_windows_by_two<R>(op, n, -iw, right);
}

// The transpose at stride 2: pairs [w0, w0 + n) of columns of R pairs of rows from pair h0 on, as far as they are rows
// [oh, end) of out. PT and PL are those of the forward pass.
template <int R, bool masked, bool whole>
void filter_pairs(const Image& s, i64 h0, i64 oh, i64 end, i64 w0, i64 n, i64 d) {
  Filter<R + 1, 2 * R, masked, whole> op;
  op.lanes = s.D - d;
  op.set_weights(s.w + d, s.D, false, nullptr);
  op.within = {set1(s.floor), set1(s.ceiling)};
  NACRE_UNROLL for (int row = 0; row <= R; ++row) {
    const i64 i = h0 - 1 + row;
    op.set_in(row, i >= 0 && i < s.IH, s.in + (i * s.IW + w0 - 1) * s.ld_in + d, s.ld_in);
  }
  const i64 ow = 2 * w0 - s.PL;
  NACRE_UNROLL for (int row = 0; row < 2 * R; ++row) {
    const i64 i = 2 * h0 - s.PT + row, at = (i * s.OW + ow) * s.ld_out + d;
    op.wanted[row] = i >= oh && i < end;
    op.out[row] = s.out + at;
    if (masked) op.mask[row] = s.mask + at;
  }
  op.set_pairs(ow, n, s.OW, s.ld_out);
  walk_pairs<R>(op, n, w0<1, w0 + n> s.IW);
}

// Calls of(column, how many, channel, whole vectors?) over columns [from, to) and the channels of s.
template <class Of>
NACRE_INLINE void each_walk(i64 from, i64 to, const Image& s, Of of) {
  const i64 end = min_of(s.d1, s.D);
  for (i64 w = from; w < to; w += kWalkColumns) {
    const i64 n = min_of(kWalkColumns, to - w);
    for (i64 d = s.d0; d < end; d += kLanes) of(w, n, d, d + kLanes <= s.D);
  }
}

template <int R, int S, bool masked>
void filter_rows(const Image& s, i64 oh) {
  each_walk(0, s.OW, s, [&](i64 w, i64 n, i64 d, bool whole) {
    if (whole) filter_walk<R, S, masked, true>(s, oh, w, n, d);
    else filter_walk<R, S, masked, false>(s, oh, w, n, d);
  });
}

// Rows [oh, end) of one image.
template <int S, bool masked>
void filter_image(const Image& s, i64 oh, i64 end) {
  constexpr int kMost = S == 1 ? kWalkRows : kPairRows;
  while (oh < end) {
    const i64 left = end - oh;
    if (left >= kMost) {
      filter_rows<kMost, S, masked>(s, oh);
      oh += kMost;
    } else if (kMost > 3 && left == 3) {
      filter_rows<(kMost > 3 ? 3 : 1), S, masked>(s, oh);
      oh += 3;
    } else if (kMost > 2 && left == 2) {
      filter_rows<(kMost > 2 ? 2 : 1), S, masked>(s, oh);
      oh += 2;
    } else {
      filter_rows<1, S, masked>(s, oh);
      oh += 1;
    }
  }
}

// Windows of 5x5, and of 7x7 at stride 1: the sums of all outputs over a column stay in registers, weights in L1. A last
// vector of channels begins early enough to be whole, and stores what lies behind its first `skip` lanes.
#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int gather_rows(int K) { return K == 5 ? 4 : 2; }  // of output: K * rows / S sums, as many inputs as rows
constexpr int kScatterPairs = 2;                             // of rows of output, 5 sums each
constexpr int tap_columns(int K) { return K == 5 ? 5 : 3; }  // of the window, or one less, K sums each,
constexpr int tap_rows(int K) { return K == 5 ? 1 : 2; }     // for so many rows of dy
constexpr int kSumsBesideWeights = 24;
#else
constexpr int gather_rows(int) { return 2; }
constexpr int kScatterPairs = 1;
constexpr int tap_columns(int) { return 2; }
constexpr int tap_rows(int) { return 2; }
constexpr int kSumsBesideWeights = 12;
#endif
constexpr int kLine = kLanes < 16 ? 16 / kLanes : 1;  // vectors of a line, which all walks over some rows take in turn
constexpr i64 kNearRows = 64 * 1024;  // floats of x that stay in L2 while one vector of channels after the other passes

// Rows of input, lines of zeros where they are outside. The compiler is told nothing of its pointers, or it would add them
// up in a vector register, and read them from there one by one.
template <int rows>
struct Lines {
  const float* in[rows];
  i64 step[rows];

  NACRE_INLINE_MEMBER Lines(const Image& s, i64 ih, i64 iw, i64 d) {
    i64 at = s.ring > 0 ? (ih % s.ring + s.ring) % s.ring : ih;
    const float* first = s.in + (at * s.IW + iw) * s.ld_in + d;
    NACRE_UNROLL for (int row = 0; row < rows; ++row, first += s.IW * s.ld_in) {
      if (s.ring > 0 && at++ == s.ring) first -= s.ring * s.IW * s.ld_in;
      const bool inside = ih + row >= 0 && ih + row < s.IH;
      in[row] = inside ? first : kZeroLine;
      step[row] = inside ? s.ld_in : 0;
      asm("" : "+r"(in[row]));
    }
  }
  NACRE_INLINE_MEMBER void next() {
    NACRE_UNROLL for (int row = 0; row < rows; ++row) {
      in[row] += step[row];
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
__attribute__((noinline)) void gather_walk(const Image& s, const Weights& w, i64 oh, i64 ow, i64 n, i64 d, i64 skip) {
  constexpr int kRows = (R - 1) * S + K, kSets = (K + S - 1) / S;  // of windows over a column
  const i64 iw = ow * S - s.PL, y_row = s.OW * s.ld_out, width = s.IW;
  Lines<kRows> at(s, oh * S - s.PT, iw, d);
  i64 to = (oh * s.OW + ow - (kSets - 1)) * s.ld_out + d;
  const Vec first = w.first, *const tap = w.tap;
  Vec sum[kSets][R];
  NACRE_UNROLL for (int t = 0; t < kSets; ++t) { NACRE_UNROLL for (int r = 0; r < R; ++r) sum[t][r] = first; }
  for (i64 i = 0; i < n + kSets - 1; ++i, to += s.ld_out) {
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
__attribute__((noinline)) void scatter_walk(const Image& s, const Weights& w, i64 h0, i64 oh, i64 end, i64 w0, i64 n,
                                            i64 d, i64 skip) {
  constexpr int kBack = (K - 1) / 2, kRows = R + kBack;
  const i64 width = s.IW, y_row = s.OW * s.ld_out, top = 2 * h0 - s.PT;
  Lines<kRows> at(s, h0 - kBack, w0 - kBack, d);
  i64 to = top * y_row + (2 * w0 - s.PL) * s.ld_out + d;
  const Vec* const tap = w.tap;
  const bool all = top >= oh && top + 2 * R <= end;
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
      NACRE_UNROLL for (int c = 0; c < 2; ++c, to += s.ld_out) {
        if (2 * j - s.PL + c < 0 || 2 * j - s.PL + c >= s.OW) continue;
        if (all) {
          put_sums<2 * R>(s, to, y_row, skip, sum[c]);
          continue;
        }
        for (int q = 0; q < 2 * R; ++q) {
          Vec one[1] = {sum[c][q]};
          if (top + q >= oh && top + q < end) put_sums<1>(s, to + q * y_row, y_row, skip, one);
        }
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
  const i64 together = max_of(kNearRows / max_of(s.IW * s.ld_in * S, 1) / R, 1) * R;
  for (i64 last; oh < end; oh = last) {
    last = min_of(oh + together, end);
    each_line<K>(0, s.OW, s, [&](i64 w, i64 n, auto each) __attribute__((always_inline)) {
      const bool many = last - oh >= R;
      for (i64 h = oh; h < last; h += many ? R : 1) {
        each([&](const Weights& weights, i64 d, i64 skip) __attribute__((always_inline)) {
          if (R > 2 && last - h == 2) gather_walk<K, S, 2>(s, weights, h, w, n, d, skip);
          else if (many) gather_walk<K, S, R>(s, weights, min_of(h, last - R), w, n, d, skip);  // some again
          else gather_walk<K, S, 1>(s, weights, h, w, n, d, skip);
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

template <bool masked>
void filter_pairs_image(const Image& s, i64 oh, i64 end) {
  const i64 w1 = (s.OW - 1 + s.PL) / 2 + 1;
  while (oh < end) {
    const i64 h0 = (oh + s.PT) / 2;
    each_walk(s.PL / 2, w1, s, [&](i64 w, i64 n, i64 d, bool whole) {
      if (whole) filter_pairs<kPairRows, masked, true>(s, h0, oh, end, w, n, d);
      else filter_pairs<kPairRows, masked, false>(s, h0, oh, end, w, n, d);
    });
    oh = min_of(end, 2 * (h0 + kPairRows) - s.PT);
  }
}

// ---- gradient of the weights ----

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kTapRows = 4, kTapRowsByTwo = 2;
#else
constexpr int kTapRows = 1, kTapRowsByTwo = 1;
#endif

struct TapSums {
  float* dw;
  i64 D;
  float* db;  // null: not asked for
  bool add;
};

// dw[kh, kw] (+)= sum of x[oh*S + kh - PT, ow*S + kw - PL] dy[oh, ow] over R rows and n columns; Image: in = x, out = dy.
template <int R, int S, bool whole>
NACRE_INLINE void sum_taps(const Image& s, const float* dy, i64 oh, i64 ow, i64 n, i64 d, const TapSums& to) {
  constexpr int kRows = (R - 1) * S + 3;
  WalkRows<kRows, 1, whole> x;
  WalkRows<R, 1, whole> g;
  x.lanes = g.lanes = s.D - d;
  const i64 ih = oh * S - s.PT, iw = ow * S - s.PL;
  NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
    x.set_in(row, ih + row >= 0 && ih + row < s.IH, s.in + ((ih + row) * s.IW + iw) * s.ld_in + d, s.ld_in);
  }
  NACRE_UNROLL for (int row = 0; row < R; ++row) {
    g.set_in(row, true, dy + ((oh + row) * s.OW + ow) * s.ld_out + d, s.ld_out);
  }
  constexpr int kSets = S == 2 && R > 1 ? 2 : 1;  // of sums, or they would wait for themselves
  Vec acc[kSets][9], total = zero();
  NACRE_UNROLL for (int k = 0; k < kSets; ++k) { NACRE_UNROLL for (int t = 0; t < 9; ++t) acc[k][t] = zero(); }
  const auto read = [&](Vec(&now)[R]) __attribute__((always_inline)) {
    NACRE_UNROLL for (int r = 0; r < R; ++r) now[r] = in_register(g.load_in(r)), total += now[r];
    g.next();
  };
  const auto tap = [&](Vec a, const Vec(&now)[R], int row, int kw) __attribute__((always_inline)) {
    NACRE_UNROLL for (int kh = 0; kh < 3; ++kh) {
      if (row < kh || (row - kh) % S != 0 || (row - kh) / S >= R) continue;
      const int r = row < kh || (row - kh) / S >= R ? 0 : (row - kh) / S;
      acc[r % kSets][kh * 3 + kw] = fma(a, now[r], acc[r % kSets][kh * 3 + kw]);
    }
  };
  const i64 left = -iw, right = iw + (n - 1) * S + 3 - s.IW;
  if constexpr (S == 1) {
    Vec now[R], was[R], before[R];  // dy at this column of x and at the two before
    NACRE_UNROLL for (int r = 0; r < R; ++r) was[r] = before[r] = zero();
    const auto shift = [&]() __attribute__((always_inline)) {
      NACRE_UNROLL for (int r = 0; r < R; ++r) before[r] = was[r], was[r] = now[r];
    };
    read(now);
    if (left < 1) {
      NACRE_UNROLL for (int row = 0; row < kRows; ++row) tap(x.load_in(row), now, row, 0);
    }
    x.next();
    i64 at = 1;
    if (left > 1 && n > 1) {
      shift();
      read(now);
      x.next();
      at = 2;
    }
    for (; at < n; ++at) {
      shift();
      read(now);
      NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
        const Vec a = in_register(x.load_in(row));
        tap(a, now, row, 0);
        tap(a, was, row, 1);
        tap(a, before, row, 2);
      }
      x.next();
    }
    shift();
    if (right < 2 && (left < 2 || n > 1)) {
      NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
        const Vec a = in_register(x.load_in(row));
        tap(a, was, row, 1);
        tap(a, before, row, 2);
      }
    }
    x.next();
    if (right < 1) {
      NACRE_UNROLL for (int row = 0; row < kRows; ++row) tap(x.load_in(row), was, row, 2);
    }
  } else {
    Vec now[R], even[kRows];
    NACRE_UNROLL for (int row = 0; row < kRows; ++row) even[row] = left < 1 ? x.load_in(row) : zero();
    x.next();
    for (i64 at = 0; at < n; ++at) {
      read(now);
      NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
        tap(even[row], now, row, 0);
        tap(in_register(x.load_in(row)), now, row, 1);
      }
      x.next();
      NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
        even[row] = at + 1 < n || right < 1 ? x.load_in(row) : zero();
        tap(even[row], now, row, 2);
      }
      x.next();
    }
  }
  const auto put = [&](float* p, Vec v) __attribute__((always_inline)) {
    if (whole) store(p, to.add ? load(p) + v : v);
    else store(p, to.add ? load(p, s.D - d) + v : v, s.D - d);
  };
  NACRE_UNROLL for (int t = 0; t < 9; ++t)
      put(to.dw + t * to.D + d, kSets > 1 ? acc[0][t] + acc[kSets - 1][t] : acc[0][t]);
  if (to.db) put(to.db + d, total);
}

template <int R, int S>
void sum_tap_rows(const Image& s, const float* dy, i64 oh, const TapSums& sums) {
  each_walk(0, s.OW, s, [&](i64 w, i64 n, i64 d, bool whole) {
    TapSums to = sums;
    to.add = sums.add || w > 0;
    if (whole) sum_taps<R, S, true>(s, dy, oh, w, n, d, to);
    else sum_taps<R, S, false>(s, dy, oh, w, n, d, to);
  });
}

// Rows [oh, oh + rows) of one image, at most kTapRows (kTapRowsByTwo).
template <int S>
void sum_tap_block(const Image& s, const float* dy, i64 oh, i64 rows, TapSums to) {
  constexpr int kMost = S == 1 ? kTapRows : kTapRowsByTwo;
  if (rows == kMost) return sum_tap_rows<kMost, S>(s, dy, oh, to);
  if (kMost > 3 && rows == 3) return sum_tap_rows<(kMost > 3 ? 3 : 1), S>(s, dy, oh, to);
  if (kMost > 2 && rows == 2) return sum_tap_rows<(kMost > 2 ? 2 : 1), S>(s, dy, oh, to);
  sum_tap_rows<1, S>(s, dy, oh, to);
}

// The same for columns [kw, kw + T) of a window of K x K, sums += what rows [oh, oh + rows) of dy give, R at a time: a column
// of x meets the outputs that see it, which stay in registers.
template <int K, int S, int T, int R>
__attribute__((noinline)) void tap_walk(const Image& s, const float* dy, i64 oh, i64 rows, i64 ow, i64 n, i64 d, int kw,
                                        Vec* sums) {
  constexpr int kRows = (R - 1) * S + K, kSteps = (T + S - 1) / S;
  const i64 ld = s.ld_out, dy_row = s.OW * ld, width = s.IW, iw = ow * S - s.PL + kw;
  Vec acc[K][T];
  NACRE_UNROLL for (int t = 0; t < K * T; ++t) acc[t / T][t % T] = zero();
  for (i64 h = oh; h < oh + rows; h += R) {
    Lines<kRows> x(s, h * S - s.PT, iw, d);
    const float* g = dy + (h * s.OW + ow) * ld + d;
    Vec now[kSteps][R];  // dy of the outputs over a column
    NACRE_UNROLL for (int t = 0; t < kSteps * R; ++t) now[t / R][t % R] = zero();
    for (i64 i = 0; i < n + kSteps - 1; ++i, g += ld) {
      NACRE_UNROLL for (int r = 0; r < R; ++r) {
        NACRE_UNROLL for (int t = kSteps - 1; t > 0; --t) now[t][r] = now[t - 1][r];
        now[0][r] = i < n ? load(g + r * dy_row) : zero();
      }
      NACRE_UNROLL for (int c = 0; c < S; ++c, x.next()) {
        const i64 column = iw + i * S + c;
        if (column < 0 || column >= width) continue;
        NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
          const Vec a = x.get(row);
          NACRE_UNROLL for (int r = 0; r < R; ++r) {
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

// Rows [oh, oh + rows) of one image.
template <int K, int S>
void sum_wide_block(const Image& s, const float* dy, i64 oh, i64 rows, const TapSums& to) {
  constexpr int R = tap_rows(K);
  for (i64 at = 0; at < s.D; at += kLanes) {
    const i64 d = min_of(at, s.D - kLanes), skip = at - d;
    const Mask last = ~first_lanes(skip);
    Vec sums[K * K], total = zero();
    for (int t = 0; t < K * K; ++t) sums[t] = zero();
    for (i64 w = 0; w < s.OW; w += kWalkColumns) {
      const i64 n = min_of(kWalkColumns, s.OW - w);
      all_columns<K, S, R>(s, dy, oh, rows / R * R, w, n, d, sums);
      all_columns<K, S, 1>(s, dy, oh + rows / R * R, rows % R, w, n, d, sums);
    }
    for (i64 px = oh * s.OW; to.db && px < (oh + rows) * s.OW; ++px) total += load(dy + px * s.ld_out + d);
    const auto put = [&](float* p, Vec v) {
      if (to.add) v = load(p) + v;
      store(p, v, last);
    };
    for (int t = 0; t < K * K; ++t) put(to.dw + t * to.D + d, sums[t]);
    if (to.db) put(to.db + d, total);
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
