// Depthwise windows of 3x3 at stride 1 and 2 as walks (walk3.h): sums and weights stay in registers, borders are lines of
// zeros, nothing is copied.
#pragma once
#include "kernels/depthwise_conv2d.h"
#include "kernels/walk3.h"

namespace nacre::NACRE_ISA {
namespace {

struct Bounds {
  Vec floor, ceiling;
};

// Sums of inputs times weights; out is dx where there is a mask.
template <int rows, int out_rows, Lanes of>
struct Filter : WalkRows<rows, out_rows, of> {
  using Base = WalkRows<rows, out_rows, of>;
  static constexpr bool whole = Base::whole;
  using In = Vec;
  Vec weight[9], first;
  Bounds within;
  const float* mask[out_rows];  // null: none, as of all lanes
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
    if (of != kAll && mask[0]) {
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
    if (of != kAll && mask[0]) {
      NACRE_UNROLL for (int row = 0; row < out_rows; ++row) mask[row] += Base::out_step;
    }
  }
};

constexpr i64 kNearRows = 64 * 1024;  // floats of x that stay in L2 while one vector of channels after the other passes

// Pixels ld floats apart meet in one of so many sets of L1.
inline i64 sets_between(i64 ld) { return ld % 16 == 0 ? min_of((ld / 16) & -(ld / 16), 64) : 1; }

// A problem of windows, whichever way it goes: out[oh, ow] = sum of in[oh*S + kh - PT, ow*S + kw - PL].
struct Image {
  i64 IH, IW, OH, OW, PT, PL, D;
  i64 ld_in, ld_out, in_row, out_row;                          // from pixel to pixel, from row to row
  const float* in;                                             // of one image, as all that follow
  const float *w = nullptr, *bias = nullptr, *mask = nullptr;  // null: none
  float* out = nullptr;
  float floor = 0, ceiling = 0;
  i64 d0 = 0, d1 = i64{1} << 60;  // the channels that are wanted, from whole vectors on
  bool turned = false;            // weights from the last to the first
  i64 ring = 0;                   // rows that `in` has, row i being i % ring; 0: all rows
  float* stage = nullptr;         // room for what is put side by side first; null: nothing is
  bool far = false;               // `in` comes from memory
  i64 block = 1;                  // vectors of channels of a band, and its workspace, where it goes in bands
  float *taps = nullptr, *sums = nullptr, *zeros = nullptr;

  NACRE_INLINE_MEMBER const float* row(i64 i) const { return in + (ring > 0 && i >= 0 ? i % ring : i) * in_row; }
};

// Along an axis whose taps are D apart, outputs p, p + D, ... see every D-th input from `first` on, with `pad` of them before
// the first: a problem without gaps.
struct Phase {
  i64 in, out, first, pad;
};
inline Phase phase_of(i64 in, i64 out, i64 pad, i64 D, i64 p) {
  const i64 before = ceil_div(pad - p, D), first = p - pad + before * D;
  return {first < in ? (in - first - 1) / D + 1 : 0, p < out ? (out - p - 1) / D + 1 : 0, first, before};
}
// What outputs (p, q), (p + DH, q), (p, q + DW), ... of an image see, the first of them at `at` of out.
inline Image phase_image(const Image& s, i64 DH, i64 DW, i64 p, i64 q, i64* at) {
  const Phase h = phase_of(s.IH, s.OH, s.PT, DH, p), w = phase_of(s.IW, s.OW, s.PL, DW, q);
  Image t = s;
  t.IH = h.in, t.OH = h.out, t.PT = h.pad, t.IW = w.in, t.OW = w.out, t.PL = w.pad;
  t.in += h.first * s.in_row + w.first * s.ld_in;
  t.in_row *= DH, t.out_row *= DH, t.ld_in *= DW, t.ld_out *= DW;
  *at = p * s.out_row + q * s.ld_out;
  return t;
}

// R rows of output from oh on, columns [ow, ow + n), channels d and up.
template <int R, int S, Lanes of>
void filter_walk(const Image& s, i64 oh, i64 ow, i64 n, i64 d, i64 skip) {
  constexpr int kRows = (R - 1) * S + 3;
  Filter<kRows, R, of> op;
  op.lanes = s.D, op.skip = skip;
  op.set_weights(s.w + d, s.D, s.turned, s.bias ? s.bias + d : nullptr);
  op.within = {set1(s.floor), set1(s.ceiling)};
  const i64 ih = oh * S - s.PT, iw = ow * S - s.PL;
  NACRE_UNROLL for (int row = 0; row < kRows; ++row) {
    const i64 i = ih + row;
    const bool there = i >= 0 && i < s.IH && s.IW > 0;
    op.set_in(row, there, there ? s.row(i) + iw * s.ld_in + d : s.in, s.ld_in);
  }
  NACRE_UNROLL for (int row = 0; row < R; ++row) {
    const i64 at = (oh + row) * s.out_row + ow * s.ld_out + d;
    op.out[row] = s.out + at;
    op.mask[row] = s.mask ? s.mask + at : nullptr;
  }
  op.out_step = s.ld_out;
  const i64 right = iw + (n - 1) * S + 3 - s.IW;
  if (S == 1) walk_windows<R>(op, n, -iw, right);
  else walk_windows_by_two<R>(op, n, -iw, right);
}

// The transpose at stride 2: pairs [w0, w0 + n) of columns of R pairs of rows from pair h0 on, as far as they are rows
// [oh, end) of out. PT and PL are those of the forward pass.
template <int R, Lanes of>
__attribute__((noinline)) void filter_pairs(const Image& s, i64 h0, i64 oh, i64 end, i64 w0, i64 n, i64 d, i64 skip) {
  Filter<R + 1, 2 * R, of> op;
  op.lanes = s.D, op.skip = skip;
  op.set_weights(s.w + d, s.D, false, nullptr);
  op.within = {set1(s.floor), set1(s.ceiling)};
  NACRE_UNROLL for (int row = 0; row <= R; ++row) {
    const i64 i = h0 - 1 + row;
    op.set_in(row, i >= 0 && i < s.IH, s.in + i * s.in_row + (w0 - 1) * s.ld_in + d, s.ld_in);
  }
  const i64 ow = 2 * w0 - s.PL;
  NACRE_UNROLL for (int row = 0; row < 2 * R; ++row) {
    const i64 i = 2 * h0 - s.PT + row, at = i * s.out_row + ow * s.ld_out + d;
    op.wanted[row] = i >= oh && i < end;
    op.out[row] = s.out + at;
    op.mask[row] = s.mask ? s.mask + at : nullptr;
  }
  op.set_pairs(ow, n, s.OW, s.ld_out);
  walk_pairs<R>(op, n, w0<1, w0 + n> s.IW);
}

// Calls of(column, how many, channel, lanes to skip) over columns [from, to) and the channels of s. The last vector begins
// early enough to be whole where there are as many channels.
template <class Of>
NACRE_INLINE void each_walk(i64 from, i64 to, const Image& s, Of of) {
  const i64 end = min_of(s.d1, s.D), last = max_of(s.D - kLanes, 0);
  for (i64 w = from; w < to; w += kWalkColumns) {
    const i64 n = min_of(kWalkColumns, to - w);
    for (i64 d = s.d0; d < end; d += kLanes) of(w, n, min_of(d, last), d - min_of(d, last));
  }
}

// Whether windows of 3x3 go in bands, not as walks, where there are vectors of channels (depthwise_bands.h): always where
// short ones compute for so long that what waits in L1 costs them nothing, or where inputs are several times the outputs.
constexpr bool only_bands(i64 S) { return kLanes == 8 || (kLanes == 16 && S == 2); }

// Rows [oh, oh + R) of one image.
template <int R, int S>
NACRE_INLINE void filter_rows(const Image& s, i64 oh, i64 w, i64 n, i64 d, i64 skip) {
  constexpr int kMost = S == 1 ? kWalkRows : kPairRows, some = R >= kMost - 1 ? R : 1, few = R == kMost ? R : 1;
  constexpr bool walks = !only_bands(S);
  if (walks && s.D >= kLanes && !s.mask && skip == 0) return filter_walk<R, S, kAll>(s, oh, w, n, d, skip);
  for (i64 h = oh; walks && s.D >= kLanes && h < oh + R; h += some) filter_walk<some, S, kSome>(s, h, w, n, d, skip);
  for (i64 h = oh; s.D < kLanes && h < oh + R; h += few) filter_walk<few, S, kFew>(s, h, w, n, d, skip);
}

// Rows [oh, end) of one image, dealt evenly: 14 are 4 + 4 + 3 + 3. One vector of channels goes over as many rows as stay
// near before the next one does, if what it has read is still in L1.
template <int S>
void filter_image(const Image& s, i64 oh, i64 end) {
  constexpr int kMost = S == 1 ? kWalkRows : kPairRows;
  const bool stays = !kAsksAhead && sets_between(s.ld_in) <= 2;
  const i64 near = stays ? kNearRows / max_of(s.IW * s.ld_in * S, 1) / kMost * kMost : 0;
  for (i64 last; oh < end; oh = last) {
    last = min_of(end, oh + max_of(near, ceil_div(end - oh, ceil_div(end - oh, kMost))));
    const i64 rows = last - oh,
              some = rows - ceil_div(rows, kMost) * (kMost - 1);  // that go by kMost; below 0: 1, 2, 5 rows
    each_walk(0, s.OW, s, [&](i64 w, i64 n, i64 d, i64 skip) __attribute__((always_inline)) {
      for (i64 h = oh, R; h < last; h += R) {
        R = h - oh < some * kMost ? kMost : min_of(last - h, max_of(kMost - 1, 1));
        if (R == kMost) filter_rows<kMost, S>(s, h, w, n, d, skip);
        else if (kMost > 3 && R == 3) filter_rows<(kMost > 3 ? 3 : 1), S>(s, h, w, n, d, skip);
        else if (kMost > 2 && R == 2) filter_rows<(kMost > 2 ? 2 : 1), S>(s, h, w, n, d, skip);
        else filter_rows<1, S>(s, h, w, n, d, skip);
      }
    });
  }
}

inline void filter_pairs_image(const Image& s, i64 oh, i64 end) {
  const i64 w1 = (s.OW - 1 + s.PL) / 2 + 1;
  while (oh < end) {
    const i64 h0 = (oh + s.PT) / 2, last = min_of(end, 2 * (h0 + kPairRows) - s.PT);
    each_walk(s.PL / 2, w1, s, [&](i64 w, i64 n, i64 d, i64 skip) __attribute__((always_inline)) {
      if (s.D < kLanes) filter_pairs<kPairRows, kFew>(s, h0, oh, last, w, n, d, skip);
      else if (s.mask || skip > 0) filter_pairs<kPairRows, kSome>(s, h0, oh, last, w, n, d, skip);
      else filter_pairs<kPairRows, kAll>(s, h0, oh, last, w, n, d, skip);
    });
    oh = last;
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
