// Depthwise windows of 3x3 and 5x5 at stride 1 and 2 as walks (walk3.h): sums, and of 3x3 also weights, stay in registers,
// borders are lines of zeros, nothing is copied.
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

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int wide_rows(int) { return 4; }  // of 5x5 at a time, at a stride: 20 or 12 sums, 8 or 11 inputs
#else
constexpr int wide_rows(int stride) { return stride; }
#endif

// Windows of 5x5: R rows of output, columns [ow, ow + n). Sums go column by column, as those of 3x3.
template <int R, int S, bool whole>
void wide_walk(const Image& s, i64 oh, i64 ow, i64 n, i64 d) {
  constexpr int K = 5, kRows = (R - 1) * S + K, kSets = (K + S - 1) / S;  // of windows over a column
  WalkRows<kRows, R, whole> at;
  const i64 lanes = at.lanes = s.D - d;
  const auto read = [lanes](const float* p) __attribute__((always_inline)) { return whole ? load(p) : load(p, lanes); };
  Vec weight[K * K];
  for (int t = 0; t < K * K; ++t) weight[t] = read(s.w + (s.turned ? K * K - 1 - t : t) * s.D + d);
  const Vec first = s.bias ? read(s.bias + d) : zero(), floor = set1(s.floor), ceiling = set1(s.ceiling);
  const i64 ih = oh * S - s.PT, iw = ow * S - s.PL;
  NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
    at.set_in(row, ih + row >= 0 && ih + row < s.IH, s.row(ih + row) + iw * s.ld_in + d, s.ld_in);
  }
  i64 to = (oh * s.OW + ow - (kSets - 1)) * s.ld_out + d;
  Vec sum[kSets][R];
  NACRE_UNROLL for (int t = 0; t < kSets; ++t) { NACRE_UNROLL for (int r = 0; r < R; ++r) sum[t][r] = first; }
  for (i64 i = 0; i < n + kSets - 1; ++i, to += s.ld_out) {
    NACRE_UNROLL for (int c = 0; c < S; ++c) {
      const i64 column = iw + i * S + c;
      if (column >= 0 && column < s.IW) {
        Vec x[kRows];
        NACRE_UNROLL for (int row = 0; row < kRows; ++row) x[row] = at.load_in(row);
        NACRE_UNROLL for (int kh = 0; kh < K; ++kh) {
          NACRE_UNROLL for (int t = 0; t < kSets; ++t) {
            if (t * S + c >= K) continue;
            const Vec w = weight[kh * K + (t * S + c < K ? t * S + c : 0)];
            NACRE_UNROLL for (int r = 0; r < R; ++r) sum[t][r] = fma(x[r * S + kh], w, sum[t][r]);
          }
        }
      }
      at.next();
    }
    if (i >= kSets - 1) {
      NACRE_UNROLL for (int r = 0; r < R; ++r) {
        Vec y = min(ceiling, max(floor, sum[kSets - 1][r]));  // keeps NaN
        if (s.mask) y = select(gt(read(s.mask + to + r * s.OW * s.ld_out), zero()), y);
        at.store_out(s.out + to + r * s.OW * s.ld_out, y);
      }
    }
    NACRE_UNROLL for (int t = kSets - 1; t > 0; --t) {
      NACRE_UNROLL for (int r = 0; r < R; ++r) sum[t][r] = sum[t - 1][r];
    }
    NACRE_UNROLL for (int r = 0; r < R; ++r) sum[0][r] = first;
  }
}

template <int S>
void wide_image(const Image& s, i64 oh, i64 end) {
  constexpr int kMost = wide_rows(S);
  const auto rows = [&](auto walk, auto last) __attribute__((always_inline)) {
    each_walk(0, s.OW, s, [&](i64 w, i64 n, i64 d, bool whole) { (whole ? walk : last)(s, oh, w, n, d); });
  };
  while (oh < end) {
    if (end - oh >= kMost) {
      rows(wide_walk<kMost, S, true>, wide_walk<kMost, S, false>);
      oh += kMost;
    } else if (end - oh >= 2) {
      constexpr int two = kMost < 2 ? 1 : 2;
      rows(wide_walk<two, S, true>, wide_walk<two, S, false>);
      oh += two;
    } else {
      rows(wide_walk<1, S, true>, wide_walk<1, S, false>);
      oh += 1;
    }
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

// The same for windows of 5x5: `rows` rows of dy from oh on with rows [kh, kh + H) of the window.
template <int S, int H, bool whole>
void wide_taps(const Image& s, const float* dy, i64 oh, i64 rows, i64 ow, i64 n, i64 d, int kh, const TapSums& to) {
  constexpr int K = 5, kSets = (K + S - 1) / S;
  WalkRows<H, 1, whole> x;
  x.lanes = s.D - d;
  Vec acc[H][K], total = zero();
  NACRE_UNROLL for (int t = 0; t < H * K; ++t) acc[t / K][t % K] = zero();
  const i64 iw = ow * S - s.PL;
  for (i64 row = oh; row < oh + rows; ++row) {
    const i64 ih = row * S - s.PT + kh;
    NACRE_UNROLL for (int i = 0; i < H; ++i) {
      x.set_in(i, ih + i >= 0 && ih + i < s.IH, s.in + ((ih + i) * s.IW + iw) * s.ld_in + d, s.ld_in);
    }
    const float* g = dy + (row * s.OW + ow) * s.ld_out + d;
    Vec now[kSets];  // dy of the outputs over a column
    NACRE_UNROLL for (int t = 0; t < kSets; ++t) now[t] = zero();
    for (i64 i = 0; i < n + kSets - 1; ++i, g += s.ld_out) {
      NACRE_UNROLL for (int t = kSets - 1; t > 0; --t) now[t] = now[t - 1];
      now[0] = i >= n ? zero() : whole ? load(g) : load(g, x.lanes);
      total += now[0];
      NACRE_UNROLL for (int c = 0; c < S; ++c) {
        const i64 column = iw + i * S + c;
        if (column >= 0 && column < s.IW) {
          NACRE_UNROLL for (int r = 0; r < H; ++r) {
            const Vec a = in_register(x.load_in(r));
            NACRE_UNROLL for (int t = 0; t < kSets; ++t) {
              const int kw = t * S + c < K ? t * S + c : 0;
              if (t * S + c < K) acc[r][kw] = fma(a, now[t], acc[r][kw]);
            }
          }
        }
        x.next();
      }
    }
  }
  const auto put = [&](float* p, Vec v) __attribute__((always_inline)) {
    if (whole) store(p, to.add ? load(p) + v : v);
    else store(p, to.add ? load(p, s.D - d) + v : v, s.D - d);
  };
  NACRE_UNROLL for (int t = 0; t < H * K; ++t) put(to.dw + (kh * K + t) * to.D + d, acc[t / K][t % K]);
  if (to.db && kh == 0) put(to.db + d, total);
}

// Rows [oh, oh + rows) of one image; as many rows of the window at a time as there are registers for.
template <int S>
void sum_wide_block(const Image& s, const float* dy, i64 oh, i64 rows, const TapSums& sums) {
  each_walk(0, s.OW, s, [&](i64 w, i64 n, i64 d, bool whole) {
    TapSums to = sums;
    to.add = sums.add || w > 0;
    for (int kh = 0; kh < 5; kh += kTapRows > 1 ? 5 : kh < 4 ? 2 : 1) {
      constexpr int most = kTapRows > 1 ? 5 : 2, last = kTapRows > 1 ? 5 : 1;
      const auto run = kh + most <= 5 ? (whole ? wide_taps<S, most, true> : wide_taps<S, most, false>)
                                      : (whole ? wide_taps<S, last, true> : wide_taps<S, last, false>);
      run(s, dy, oh, rows, w, n, d, kh, to);
    }
  });
}

}  // namespace
}  // namespace nacre::NACRE_ISA
