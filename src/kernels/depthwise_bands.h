// Depthwise windows of 3x3 in bands: some rows of output at a time, column by column, all vectors of a block of channels in
// each. What a pixel holds is read and written in the order in which it lies, while walks take a vector of channels of each:
// pixels that meet in few sets of L1 do not push each other out, and memory is waited for less. Sums of windows that are not
// finished wait in the workspace, in L1; they go column by column, each from the top, as those of walks do: the same bits.
#pragma once
#include "kernels/correlate.h"
#include "kernels/depthwise_wide.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kGatherRows = 4;        // of output
constexpr bool kHoldsWeights = true;  // in registers, beside the sums
#else
constexpr int kGatherRows = 3;
constexpr bool kHoldsWeights = false;
#endif
constexpr int kBackPairs = 2;         // of rows of output, of the transpose
constexpr int kFarRows = 2;           // of output, where memory is waited for
constexpr bool kInner = kLanes == 8;  // columns within a row have code of their own, where it counts
constexpr int kBandTaps = 9;          // of a window
constexpr i64 kBandLanes = 256;       // of channels, whose weights and waiting sums stay in L1
constexpr i64 kKept = 2 * 4;          // sums of a vector of channels that wait, at most

inline i64 block_of(i64 vectors) {
  return max_of(ceil_div(vectors, max_of(ceil_div(vectors * kLanes, kBandLanes), 1)), 1);
}

// Of workspace; pixels of input lie ld apart.
inline Count band_floats(i64 S, i64 D, i64 ld) {
  return Count(kLanes) * (Count(ceil_div(D, kLanes)) + Count(1)) * Count(kBandTaps + 2 + kKept) +
         Count(S - 1) * Count(ld) + Count(16);
}

// Weights and bias of each vector of channels, room for sums, and zeros; returns what is behind them.
NACRE_CALLED float* set_bands(Image& s, i64 S, i64 ld, float* work) {
  const i64 vectors = ceil_div(max_of(min_of(s.d1, s.D) - s.d0, 0), kLanes);
  s.block = block_of(vectors);
  s.taps = work;
  for (i64 v = 0; v < vectors; ++v, work += kLanes) {
    const i64 d = min_of(s.d0 + v * kLanes, s.D - kLanes);
    for (i64 t = 0; t < kBandTaps; ++t, work += kLanes) {
      store(work, load(s.w + (s.turned ? kBandTaps - 1 - t : t) * s.D + d));
    }
    store(work, s.bias ? load(s.bias + d) : zero());
  }
  s.sums = work;
  s.zeros = work + s.block * kKept * kLanes;
  const i64 n = ceil_div(s.block * kLanes + (S - 1) * ld, 16) * 16;
  zero_floats(s.zeros, n);
  return s.zeros + n;
}

struct Band {
  i64 oh, d, vectors;  // its first row and channel; the last vector of all begins early, to be whole
  const float* taps;
};

// The windows over S columns of R rows, for all vectors of channels of a band.
template <int S, int R>
struct Gather {
  static constexpr int K = 3, kRows = (R - 1) * S + K, kSets = (K + S - 1) / S, kBefore = kSets - 1;
  static constexpr int kWait = kBefore * R;
  static_assert(kWait <= kKept);
  const Image& s;
  const Band& b;
  const float* in[kRows];
  float* out;
  bool first, last, inside[S];  // whether windows begin and end, and which columns there are
  Asked<R * S * S> more_in;
  Asked<R> more_out;

  NACRE_INLINE_MEMBER Gather(const Image& image, const Band& band) : s(image), b(band) {}

  // `inner`: windows begin before them and end with them, all are inside, no vector begins early, and there is no mask.
  template <bool inner>
  NACRE_INLINE_MEMBER void columns() {
    const float* w = b.taps;
    float* waits = s.sums;
    for (i64 v = 0; v < b.vectors; ++v, w += (kBandTaps + 1) * kLanes, waits += kWait * kLanes) {
      if (R == kFarRows && s.far) more_in.next(), more_out.next();
      Vec sum[kSets][R];
      const Vec bias = load(w + kBandTaps * kLanes);
      NACRE_UNROLL for (int r = 0; r < R; ++r) sum[0][r] = bias;
      if (inner || !first) {
        NACRE_UNROLL for (int t = 0; t < kWait; ++t) sum[1 + t / R][t % R] = load(waits + t * kLanes);
      } else {
        NACRE_UNROLL for (int t = 0; t < kWait; ++t) sum[1 + t / R][t % R] = bias;
      }
      NACRE_UNROLL for (int c = 0; c < S; ++c) {
        if (inner || inside[c]) add_column(sum, w, channel<inner>(v) + c * s.ld_in, c);
      }
      NACRE_UNROLL for (int t = 0; t < kWait; ++t) store(waits + t * kLanes, sum[t / R][t % R]);
      if (inner || last) put<inner>(sum[kBefore], v);
    }
  }
  // What waits for no more columns, `behind` of them after the last one.
  NACRE_INLINE_MEMBER void rest(i64 behind) {
    const float* waits = s.sums + (kBefore - 1 - behind) * R * kLanes;
    for (i64 v = 0; v < b.vectors; ++v, waits += kWait * kLanes) {
      Vec sum[R];
      NACRE_UNROLL for (int r = 0; r < R; ++r) sum[r] = load(waits + r * kLanes);
      put<false>(sum, v);
    }
  }

  template <bool inner>
  NACRE_INLINE_MEMBER i64 channel(i64 v) const {
    return inner ? v * kLanes : min_of(v * kLanes, s.D - kLanes - b.d);
  }
  template <bool plain>
  NACRE_INLINE_MEMBER void put(const Vec (&sum)[R], i64 v) const {
    float* to = out + channel<plain>(v);
    const i64 y_row = s.out_row;
    Vec y[R];
    NACRE_UNROLL for (int r = 0; r < R; ++r) y[r] = min(set1(s.ceiling), max(set1(s.floor), sum[r]));  // keeps NaN
    NACRE_UNROLL for (int r = 0; r < R; ++r) {
      if (!plain && s.mask) y[r] = select(gt(load(s.mask + (to + r * y_row - s.out)), zero()), y[r]);
      store(to + r * y_row, y[r]);
    }
  }
  NACRE_INLINE_MEMBER void add_column(Vec (&sum)[kSets][R], const float* w, i64 at, int c) const {
    if (kHoldsWeights) {
      Vec weight[K][kSets];
      NACRE_UNROLL for (int i = 0; i < K * kSets; ++i) {
        const int tap = i / kSets * K + i % kSets * S + c;
        if (i % kSets * S + c < K) weight[i / kSets][i % kSets] = in_register(load(w + tap * kLanes));
      }
      NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
        const Vec x = in_register(load(in[row] + at));
        NACRE_UNROLL for (int r = 0; r < R; ++r) {
          const int kh = row - r * S;
          NACRE_UNROLL for (int t = 0; t < kSets; ++t) {
            if (kh < 0 || kh >= K || t * S + c >= K) continue;
            sum[t][r] = fma(x, weight[kh < 0 || kh >= K ? 0 : kh][t], sum[t][r]);
          }
        }
      }
    } else {
      Vec x[kRows];
      NACRE_UNROLL for (int kh = 0; kh < K; ++kh) {
        NACRE_UNROLL for (int r = 0; r < R; ++r) {
          if (kh < S || r == R - 1) x[r * S + kh] = in_register(load(in[r * S + kh] + at));
        }
        NACRE_UNROLL for (int t = 0; t < kSets; ++t) {
          if (t * S + c >= K) continue;
          const Vec weight = in_register(load(w + (kh * K + t * S + c) * kLanes));
          NACRE_UNROLL for (int r = 0; r < R; ++r) sum[t][r] = fma(x[r * S + kh], weight, sum[t][r]);
        }
      }
    }
  }
};

// out[oh, ow] = sum of in[oh*S + kh - PT, ow*S + kw - PL] w[kh, kw] for R rows, all columns.
template <int S, int R>
__attribute__((noinline)) void gather_band(OfWalk s, const Band b) {
  using G = Gather<S, R>;
  const i64 begin = min_of(max_of(ceil_div(s.PL - S + 1, S), 0), G::kBefore);  // columns before it are outside
  const i64 end = max_of(ceil_div(s.IW + s.PL, S), begin + 1), share = s.OW * b.d * R;
  Lines<G::kRows> at(s, b.oh * S - s.PT, begin * S - s.PL, b.d, s.zeros);
  const bool whole = !s.mask && b.d + b.vectors * kLanes <= s.D;
  G g(s, b);
  g.out = s.out + b.oh * s.out_row + (begin - G::kBefore) * s.ld_out + b.d;
  g.more_in.at = s.row((b.oh + R) * S - s.PT + G::K - S) + share * S * S;
  g.more_out.at = s.out + (b.oh + R) * s.out_row + share;
  for (i64 i = begin; i < s.OW + G::kBefore; ++i, g.out += s.ld_out, at.next(S)) {
    g.first = i == begin, g.last = i >= G::kBefore;
    bool inner = kInner && whole && !g.first && g.last;
    NACRE_UNROLL for (int c = 0; c < S; ++c) {
      g.inside[c] = i * S + c >= s.PL && i * S + c < s.IW + s.PL;
      inner = inner && g.inside[c];
    }
    NACRE_UNROLL for (int row = 0; row < G::kRows; ++row) g.in[row] = at.in[row];
    if (inner) g.template columns<kInner>();
    else if (i < end) g.template columns<false>();
    else g.rest(i - end);
  }
}

// The transpose at stride 2: columns 2*w - PL and the next one for pairs w, R pairs of rows from row oh on, as far as they
// are rows [oh, end) of out. PT and PL are those of the forward pass.
template <int R>
__attribute__((noinline)) void scatter_band(OfWalk s, const Band b, i64 end) {
  const i64 h0 = (b.oh + s.PT) / 2, top = 2 * h0 - s.PT, w0 = s.PL / 2, w1 = (s.OW - 1 + s.PL) / 2 + 1;
  Lines<R + 1> at(s, h0 - 1, w0 - 1, b.d, s.zeros);
  const bool rows_wanted = top >= b.oh && top + 2 * R <= end;
  for (i64 j = w0 - 1; j < w1; ++j, at.next()) {
    const i64 column = 2 * j - s.PL, to = top * s.out_row + column * s.ld_out + b.d;
    const bool inside = j >= 0 && j < s.IW, all = rows_wanted && !s.mask && j >= w0 && column >= 0 && column + 1 < s.OW;
    const float* w = b.taps;
    float* waits = s.sums;
    for (i64 v = 0; v < b.vectors; ++v, w += (kBandTaps + 1) * kLanes, waits += 2 * R * kLanes) {
      const i64 d = min_of(v * kLanes, s.D - kLanes - b.d);
      Vec x[R + 1];
      NACRE_UNROLL for (int row = 0; row <= R; ++row) x[row] = inside ? in_register(load(at.in[row] + d)) : zero();
      NACRE_UNROLL for (int kw = 0; kw < 3; ++kw) {  // this column, the next one, and the one after it, which waits
        Vec sum[2 * R];
        NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) sum[q] = kw == 0 && j >= w0 ? load(waits + q * kLanes) : zero();
        if (inside) {
          NACRE_UNROLL for (int kh = 2; kh >= 0; --kh) {  // from the top
            const Vec weight = in_register(load(w + (kh * 3 + kw) * kLanes));
            NACRE_UNROLL for (int r = 0; r < R; ++r) {
              sum[2 * r + kh % 2] = fma(x[r + 1 - kh / 2], weight, sum[2 * r + kh % 2]);
            }
          }
        }
        const i64 px = to + kw * s.ld_out + d;
        if (kw == 2) {
          NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) store(waits + q * kLanes, sum[q]);
        } else if (all) {
          NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) store(s.out + px + q * s.out_row, sum[q]);
        } else if (j >= w0 && column + kw >= 0 && column + kw < s.OW) {
          NACRE_UNROLL for (int q = 0; q < 2 * R; ++q) {
            if (top + q < b.oh || top + q >= end) continue;
            const i64 to_row = px + q * s.out_row;
            if (s.mask) sum[q] = select(gt(load(s.mask + to_row), zero()), sum[q]);
            store(s.out + to_row, sum[q]);
          }
        }
      }
    }
  }
}

// Calls of(band) for the blocks of channels of rows from oh on.
template <class Of>
NACRE_INLINE void each_band(const Image& s, i64 oh, Of of) {
  const i64 end = ceil_div(min_of(s.d1, s.D) - s.d0, kLanes);
  for (i64 v = 0; v < end; v += s.block) {
    of(Band{oh, s.d0 + v * kLanes, min_of(s.block, end - v), s.taps + v * (kBandTaps + 1) * kLanes});
  }
}

template <int S, int R>
void gather_band_rows(const Image& s, i64 oh) {
  each_band(s, oh, [&](const Band& b) { gather_band<S, R>(s, b); });
}

// Rows [oh, end) of one image, dealt evenly: 14 are 4 + 4 + 3 + 3.
template <int S>
void gather_bands(const Image& s, i64 oh, i64 end) {
  if (s.OW <= 0) return;  // nor columns that wait
  for (i64 rows; oh < end; oh += rows) {
    rows = ceil_div(end - oh, ceil_div(end - oh, s.far ? kFarRows : kGatherRows));
    if (kGatherRows > 3 && rows == 4) gather_band_rows<S, kGatherRows>(s, oh);
    else if (S == 1 && rows == 3) gather_band_rows<S, S == 1 ? 3 : 2>(s, oh);
    else if (rows > 1) rows = 2, gather_band_rows<S, 2>(s, oh);
    else gather_band_rows<S, 1>(s, oh);
  }
}

inline void scatter_bands(const Image& s, i64 oh, i64 end) {
  for (i64 last; oh < end; oh = last) {
    last = min_of(((oh + s.PT) / 2 + kBackPairs) * 2 - s.PT, end);
    each_band(s, oh, [&](const Band& b) { scatter_band<kBackPairs>(s, b, last); });
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
