// Depthwise windows that no walk knows, one row of outputs at a time: a tile of its pixels holds its sums in registers, each
// tap's weights are read once per tile, and rows and columns at the border take the taps they have.
#pragma once
#include "kernels/correlate.h"
#include "kernels/depthwise_shape.h"
#include "kernels/depthwise_wide.h"

namespace nacre::NACRE_ISA {
namespace {

// A run of pixels of one row, all with the same taps.
struct Run {
  const float* x;  // first tap of the first pixel
  i64 x_px, x_row, x_col;
  i64 nh, nw;
  const float* w;
  i64 w_row, w_col;
  const float* bias;  // null: none
  const float* mask;  // null: none; moves like y
  float* y;
  i64 y_px;
  i64 D;  // channels of this pass, of `all` in the weights
  i64 all;
  float floor, ceiling;  // of y
};

template <bool masked, bool whole>
NACRE_INLINE void finish(float* y, const float* mask, Vec sum, Bounds within, i64 n) {
  sum = min(within.ceiling, max(within.floor, sum));  // keeps NaN
  if (masked) sum = select(gt(get<whole>(mask, n), zero()), sum);
  if (whole) store(y, sum);
  else store(y, sum, n);
}

// One pixel, NV vectors of channels, any window.
template <int NV, bool masked, bool whole>
NACRE_INLINE void pixel(const Run& r, Bounds within, i64 p, i64 d, i64 n) {
  Vec acc[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[v] = r.bias ? get<whole>(r.bias + d + v * kLanes, n) : zero();
  const float* x_px = r.x + p * r.x_px + d;
  const float* w_px = r.w + d;
  for (i64 h = 0; h < r.nh; ++h, x_px += r.x_row, w_px += r.w_row) {
    const float* x = x_px;
    const float* w = w_px;
    for (i64 k = 0; k < r.nw; ++k, x += r.x_col, w += r.w_col) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        acc[v] = fma(get<whole>(x + v * kLanes, n), get<whole>(w + v * kLanes, n), acc[v]);
      }
    }
  }
  const i64 at = p * r.y_px + d;
  NACRE_UNROLL for (int v = 0; v < NV; ++v) {
    finish<masked, whole>(r.y + at + v * kLanes, masked ? r.mask + at + v * kLanes : nullptr, acc[v], within, n);
  }
}

// PX pixels, one vector of channels, any window.
template <int PX, bool masked, bool whole>
NACRE_INLINE void tile(const Run& r, Bounds within, i64 p0, i64 d, i64 n) {
  Vec acc[PX];
  const Vec first = r.bias ? get<whole>(r.bias + d, n) : zero();
  NACRE_UNROLL for (int p = 0; p < PX; ++p) acc[p] = first;
  const i64 x_px = r.x_px, x_col = r.x_col, w_col = r.w_col, nw = r.nw;
  const float* x_row = r.x + p0 * x_px + d;
  const float* w_row = r.w + d;
  for (i64 h = 0; h < r.nh; ++h, x_row += r.x_row, w_row += r.w_row) {
    const float* x = x_row;
    const float* w = w_row;
    for (i64 k = 0; k < nw; ++k, x += x_col, w += w_col) {
      const Vec weight = get<whole>(w, n);
      NACRE_UNROLL for (int p = 0; p < PX; ++p) acc[p] = fma(get<whole>(x + p * x_px, n), weight, acc[p]);
    }
  }
  const i64 y_px = r.y_px;
  float* y = r.y + p0 * y_px + d;
  const float* mask = masked ? r.mask + p0 * y_px + d : nullptr;
  NACRE_UNROLL for (int p = 0; p < PX; ++p, y += y_px) {
    finish<masked, whole>(y, mask, acc[p], within, n);
    if (masked) mask += y_px;
  }
}

template <int PX, bool masked>
void tile_pixels(const Run& r, Bounds within, i64 p0) {
  i64 d = 0;
  for (; d + kLanes <= r.D; d += kLanes) tile<PX, masked, true>(r, within, p0, d, kLanes);
  if (d < r.D) tile<PX, masked, false>(r, within, p0, d, r.D - d);
}

// n pixels in tiles; the last one may overlap the one before, computing the same again.
template <bool masked>
__attribute__((noinline)) void run_pixels(const Run& r, i64 n) {
  const Bounds within{set1(r.floor), set1(r.ceiling)};
  if (n >= 4) {
    for (i64 p = 0; p < n;) {
      if (n >= 8 && n - p > 4) tile_pixels<8, masked>(r, within, min_of(p, n - 8)), p += 8;
      else tile_pixels<4, masked>(r, within, min_of(p, n - 4)), p += 4;
    }
    return;
  }
  for (i64 p = 0; p < n; ++p) {
    i64 d = 0;
    for (; d + 8 * kLanes <= r.D; d += 8 * kLanes) pixel<8, masked, true>(r, within, p, d, kLanes);
    for (; d + 2 * kLanes <= r.D; d += 2 * kLanes) pixel<2, masked, true>(r, within, p, d, kLanes);
    for (; d + kLanes <= r.D; d += kLanes) pixel<1, masked, true>(r, within, p, d, kLanes);
    if (d < r.D) pixel<1, masked, false>(r, within, p, d, r.D - d);
  }
}

// A row whose neighbours share taps, T columns of these by RT rows at a time, from row h and column k on: weights and the sums
// of all outputs over a column stay in registers, what a column holds is read once. Other taps come before or after, in y.
template <int RT, int T>
__attribute__((noinline)) void row_pass(const Run& r, const Axis& w, i64 h, i64 k, i64 d, bool first, bool last) {
  const i64 ld = r.x_px, in = w.in, out = w.out, y_px = r.y_px;
  i64 column = w.at(0, k);
  Vec weight[RT][T], sum[T];
  const float* x[RT];
  i64 step[RT];
  NACRE_UNROLL for (int i = 0; i < RT; ++i) {
    const bool inside = h + i < r.nh;
    x[i] = inside ? r.x + (h + i) * r.x_row + column * ld + d : kZeroLine;
    step[i] = inside ? ld : 0;
    NACRE_UNROLL for (int t = 0; t < T; ++t) {
      const bool there = inside && k + t < w.taps;
      weight[i][t] = there ? load(r.w + (h + i) * r.w_row + (k + t) * r.w_col + d) : zero();
    }
  }
  const Vec start = r.bias && first ? load(r.bias + d) : zero();
  const Bounds within{set1(r.floor), set1(r.ceiling)};
  NACRE_UNROLL for (int t = 0; t < T; ++t) sum[t] = zero();
  i64 to = d;
  for (i64 i = 0; i < out + T - 1; ++i, ++column, to += y_px) {
    NACRE_UNROLL for (int t = T - 1; t > 0; --t) sum[t] = sum[t - 1];
    sum[0] = first || i >= out ? start : load(r.y + to);
    if (column >= 0 && column < in) {
      Vec a[RT];
      NACRE_UNROLL for (int q = 0; q < RT; ++q) a[q] = load(x[q]);
      NACRE_UNROLL for (int t = 0; t < T; ++t) {
        if (RT == 1) {
          sum[t] = fma(a[0], weight[0][t], sum[t]);
        } else {  // apart from the sum, which waits for the column before
          Vec some = a[0] * weight[0][t];
          NACRE_UNROLL for (int q = 1; q < RT; ++q) some = fma(a[q], weight[q][t], some);
          sum[t] += some;
        }
      }
    }
    NACRE_UNROLL for (int q = 0; q < RT; ++q) x[q] += step[q];
    if (i < T - 1) continue;
    const i64 px = to - (T - 1) * y_px;
    if (!last) store(r.y + px, sum[T - 1]);
    else if (r.mask) finish<true, true>(r.y + px, r.mask + px, sum[T - 1], within, kLanes);
    else finish<false, true>(r.y + px, nullptr, sum[T - 1], within, kLanes);
  }
}
template <int RT, int T>
void row_passes(const Run& r, const Axis& w) {
  for (i64 at = 0; at < r.D; at += kLanes) {
    for (i64 h = 0; h < r.nh; h += RT) {
      for (i64 k = 0; k < w.taps; k += T) {
        row_pass<RT, T>(r, w, h, k, min_of(at, r.D - kLanes), h + k == 0, h + RT >= r.nh && k + T >= w.taps);
      }
    }
  }
}

// All columns of axis w in one output row, which sees the taps th of axis h. x is the input row of the first of them, the
// next lies r.x_row further; pixels lie ld apart.
void run_row(const Axis& h, const Taps& th, const Axis& w, const Taps& inner, const float* x, i64 ld,
             const float* weights, i64 KW, Run& r) {
  r.x_px = w.stride * ld;
  r.x_col = w.step * ld;
  r.w_row = h.k_step * KW * r.all;
  r.w_col = w.k_step * r.all;
  const i64 y_px = r.y_px;
  float* y = r.y;
  const float* mask = r.mask;
  r.y_px = y_px * w.y_step;
  const i64 nh = th.last - th.first;
  const bool high = h.taps > 1, near = w.stride == 1 && w.step == 1 && w.taps >= kLongRow;
  const bool passes =
      near && w.out >= 8 && r.D >= kLanes && (!high || (kRowsOfFour == 4 && h.taps <= 4 && w.taps <= 8));
  if (passes && nh > 0) {
    r.nh = nh, r.x = x;
    r.w = weights + ((h.k0 + th.first * h.k_step) * KW + w.k0) * r.all;
    r.y = y + w.y0 * y_px, r.mask = mask ? mask + w.y0 * y_px : nullptr;
    high ? row_passes<kRowsOfFour, 4>(r, w) : row_passes<1, kTapsOfRow>(r, w);
  }
  for (i64 j = passes && nh > 0 ? w.out : 0; j < w.out;) {
    const bool is_run = j >= inner.first && j < inner.last;
    const i64 n = is_run ? inner.last - j : 1;
    const Taps tw = is_run ? Taps{0, w.taps} : taps_inside(w, j);
    r.nh = nh;
    r.nw = tw.last - tw.first;
    if (r.nh > 0 && r.nw > 0) {
      r.x = x + w.at(j, tw.first) * ld;
      r.w = weights + ((h.k0 + th.first * h.k_step) * KW + w.k0 + tw.first * w.k_step) * r.all;
    } else {
      r.nh = r.nw = 0;
    }
    r.y = y + (w.y0 + j * w.y_step) * y_px;
    r.mask = mask ? mask + (w.y0 + j * w.y_step) * y_px : nullptr;
    if (mask) {
      run_pixels<true>(r, n);
    } else {
      run_pixels<false>(r, n);
    }
    j += n;
  }
  r.y_px = y_px;
  r.y = y;
  r.mask = mask;
}

// Channels that do not fill a vector: a few pixels that do count as one of as many channels, whose weights are repeated; rows
// are copied with their border, so that all pixels of a row see the same taps.
struct Joined {
  i64 pixels, D;      // that count as one, and their floats; 0: none do
  i64 left, width;    // of a copied row in pixels: before it, and in all
  i64 weights, rows;  // floats
};
constexpr i64 kJoinedRows = 8, kMostJoined = 256 * 1024;  // outputs whose rows are copied together; floats of workspace
NACRE_CALLED Joined join_pixels(const DepthwiseConv2DShape& s, bool back) {
  const bool dense = (s.ldx == 0 || s.ldx == s.C) && (s.ldy == 0 || s.ldy == s.C);
  if (s.M != 1 || s.C < 1 || s.C >= kLanes || !dense || s.SW != 1 || (back && s.SH != 1)) return {};
  const i64 reach = (s.KW - 1) * s.DW, in = back ? s.OW : s.W, out = back ? s.W : s.OW;
  const i64 before = back ? reach - s.PL : s.PL, high = (kJoinedRows - 1) * s.SH + (s.KH - 1) * s.DH + 1;
  Joined j{};
  j.pixels = kLanes / min_of(s.C & -s.C, kLanes);
  j.D = j.pixels * s.C;
  j.left = max_of(before, 0);
  j.width = j.left + max_of(in, out + reach - before);
  const Count weights = (Count(s.KH) * Count(s.KW) + Count(1)) * Count(j.D);
  const Count rows = Count(high) * Count(j.width) * Count(s.C);
  if (out < j.pixels || !weights.ok() || !rows.ok() || max_of(weights.value(), rows.value()) > kMostJoined) return {};
  j.weights = weights.value(), j.rows = rows.value();
  return j;
}
inline i64 joined_floats(const Joined& j) { return j.pixels > 0 ? j.weights + j.rows : 0; }

// to = the weights of `taps` taps, then bias, as often as pixels count as one.
NACRE_INLINE void repeat_weights(const Joined& j, i64 taps, i64 C, const float* w, const float* bias, float* to) {
  for (i64 t = 0; t <= taps; ++t, to += j.D) {
    if (t == taps && !bias) return zero_floats(to, j.D);
    for (i64 d = 0; d < j.D; d += C) copy_floats(to + d, t < taps ? w + t * C : bias, C);
  }
}

// Rows [begin, end) of all images; `mask` may be null.
NACRE_CALLED void run_joined(const DepthwiseConv2DShape& s, const Joined& j, bool back, i64 begin, i64 end,
                             const float* x, const float* weights, const float* bias, const float* mask, float* y,
                             float floor, float ceiling, float* work) {
  const Conv2DShape c = as_conv(s);
  const Axis h = back ? grad_x_rows(c, 0) : forward_rows(c), w = back ? grad_x_columns(c, 0) : forward_columns(c);
  const i64 C = s.C, taps = s.KH * s.KW, row = w.in * C, y_row = w.out * C, apart = j.width * C;
  float* rows = work + j.weights;
  repeat_weights(j, taps, C, weights, bias, work);
  Run r{};
  r.floor = floor, r.ceiling = ceiling;
  r.D = r.all = r.x_px = r.y_px = j.D;
  r.x_row = h.step * apart, r.x_col = w.step * C;
  r.w_row = h.k_step * s.KW * j.D, r.w_col = w.k_step * j.D;
  r.bias = work + taps * j.D;
  for (i64 from = begin, to; from < end; from = to) {
    const i64 image = from / h.out, first = from % h.out;
    to = min_of(min_of(from + kJoinedRows, end), (image + 1) * h.out);
    const i64 top = max_of(h.at(first, 0), 0), bottom = min_of(h.at(first + to - from - 1, h.taps - 1), h.in - 1);
    for (i64 i = top; i <= bottom; ++i) {
      float* copy = rows + (i - top) * apart;
      zero_floats(copy, j.left * C);
      copy_floats(copy + j.left * C, x + (image * h.in + i) * row, row);
      zero_floats(copy + j.left * C + row, apart - j.left * C - row);
    }
    for (i64 o = from; o < to; ++o) {
      const Taps th = taps_inside(h, o - image * h.out);
      r.nh = th.last - th.first, r.nw = w.taps;
      r.w = work + ((h.k0 + th.first * h.k_step) * s.KW + w.k0) * j.D;
      const i64 whole = w.out / j.pixels, rest = w.out - j.pixels;
      for (i64 part = 0; part < (rest % j.pixels ? 2 : 1); ++part) {  // the last pixels that count as one begin early
        const i64 px = part ? rest : 0, at = o * y_row + px * C;
        r.x = rows + (r.nh > 0 ? (h.at(o - image * h.out, th.first) - top) * apart : 0) + (w.at(px, 0) + j.left) * C;
        r.y = y + at, r.mask = mask ? mask + at : nullptr;
        (mask ? run_pixels<true> : run_pixels<false>)(r, part ? 1 : whole);
      }
    }
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
