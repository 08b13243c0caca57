// Vectors run along the channels. The forward passes walk over output pixels and their windows; the gradients gather: each
// pixel of dx looks at the windows that see it, so that it is written once and belongs to one unit.
#include "kernels/pool2d.h"

#include "kernels/walk3.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kLimit = i64{1} << 30;
constexpr i64 kUnitFloats = 32 * 1024;  // of the larger image touched per unit: a few microseconds
constexpr i64 kWideChannels = 256;      // that an average takes row by row of its window
constexpr i64 kColumns = 16;            // of windows that go together

const char* shape_error(const Pool2DShape& s) {
  const i64 sizes[] = {s.N, s.H, s.W, s.C, s.OH, s.OW};
  const i64 counts[] = {s.KH, s.KW, s.SH, s.SW};
  for (i64 v : sizes) {
    if (v < 0 || v >= kLimit) return "sizes must be in [0, 2^30)";
  }
  for (i64 v : counts) {
    if (v < 1 || v >= kLimit) return "window and strides must be in [1, 2^30)";
  }
  if (s.PT <= -kLimit || s.PT >= kLimit || s.PL <= -kLimit || s.PL >= kLimit) return "padding must be in (-2^30, 2^30)";
  if (s.KH * s.KW > 0x7fffffff) return "the window must have fewer than 2^31 taps";
  if (s.index < 0 || s.index > 1) return "index is 0 or 1";
  if (s.ldx != 0 && (s.ldx < s.C || s.ldx >= kLimit)) return "ldx must be at least C";
  if (s.ldy != 0 && (s.ldy < s.C || s.ldy >= kLimit)) return "ldy must be at least C";
  return nullptr;
}

i64 ldx_of(const Pool2DShape& s) { return s.ldx ? s.ldx : s.C; }
i64 ldy_of(const Pool2DShape& s) { return s.ldy ? s.ldy : s.C; }
bool wide_index(const Pool2DShape& s) { return s.KH * s.KW > 256; }

Count image_extent(const Pool2DShape& s, i64 H, i64 W, i64 ld) {
  const Count px = Count(s.N) * Count(H) * Count(W);
  if (!px.ok() || px.value() == 0 || s.C == 0) return px * Count(s.C);
  return Count(px.value() - 1) * Count(ld) + Count(s.C);
}

// Rows of output (forward) or of dx (gradients) per unit, from the work on one.
i64 rows_per_unit(i64 width, i64 C, i64 reads) {
  const Count floats = Count(width) * Count(C) * Count(reads);
  return floats.ok() ? max_of(kUnitFloats / max_of(floats.value(), 1), 1) : 1;
}
i64 forward_rows(const Pool2DShape& s) { return rows_per_unit(s.OW, s.C, min_of(s.KH, 64) * min_of(s.KW, 64)); }
i64 gradient_rows(const Pool2DShape& s) { return rows_per_unit(s.W, s.C, 1); }

Facts facts_of(const Pool2DShape& s, bool forward, bool has_index) {
  Facts f;
  f.error = shape_error(s);
  if (f.error) return f;
  const Count x = image_extent(s, s.H, s.W, ldx_of(s)), y = image_extent(s, s.OH, s.OW, ldy_of(s));
  const Count count = Count(s.N) * Count(s.OH) * Count(s.OW) * Count(s.C);
  const Count index = count * Count(has_index ? (wide_index(s) ? 4 : 1) : 0);
  f.extent[0] = forward ? x : y;
  f.extent[1] = forward ? y : has_index ? index : x;
  f.extent[2] = forward ? index : has_index ? x : Count(0);
  if (!x.ok() || !y.ok() || !index.ok() || !count.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  const Count rows = Count(s.N) * Count(forward ? s.OH : s.H);
  if (!rows.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = ceil_div(rows.value(), forward ? forward_rows(s) : gradient_rows(s));
  f.flops = static_cast<double>(count.value()) * static_cast<double>(s.KH) * static_cast<double>(s.KW);
  return f;
}

// [first, last) of i in [0, n) with low <= start + i*step < high, for step > 0
struct Range {
  i64 first, last;
};
i64 floor_div(i64 a, i64 b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
Range range_within(i64 start, i64 step, i64 n, i64 low, i64 high) {
  const i64 first = max_of(floor_div(low - start + step - 1, step), 0);
  const i64 last = max_of(min_of(floor_div(high - start + step - 1, step), n), 0);
  return {min_of(first, last), last};
}
// Taps k in [0, K) of the window that starts at `start`, within [0, n).
Range taps_within(i64 start, i64 K, i64 n) { return range_within(start, 1, K, 0, n); }

// Whole vectors, or the first n < kLanes lanes of one.
template <bool whole>
NACRE_INLINE Vec get(const float* p, i64 n) {
  return whole ? load(p) : load(p, n);
}
template <bool whole>
NACRE_INLINE void put(float* p, Vec a, i64 n) {
  if (whole) store(p, a); else store(p, a, n);
}
template <bool whole, bool wide>
NACRE_INLINE void put_index(u8* index, i64 at, VecI a, i64 n) {
  if (wide) {
    i32 lane[kLanes];
    store(lane, a);
    __builtin_memcpy(index + 4 * at, lane, static_cast<unsigned long>(4 * (whole ? kLanes : n)));
  } else if (whole) {
    store_u8(index + at, a);
  } else {
    u8 lane[kLanes];
    store_u8(lane, a);
    for (i64 i = 0; i < n; ++i) index[at + i] = lane[i];
  }
}
template <bool whole, bool wide>
NACRE_INLINE VecI get_index(const u8* index, i64 at, i64 n) {
  if (wide) {
    i32 lane[kLanes] = {};
    __builtin_memcpy(lane, index + 4 * at, static_cast<unsigned long>(4 * (whole ? kLanes : n)));
    return load(lane);
  }
  if (whole) return load_u8(index + at);
  u8 lane[kLanes] = {};
  for (i64 i = 0; i < n; ++i) lane[i] = index[at + i];
  return load_u8(lane);
}

void zero_channels(float* to, i64 C) {
  i64 c = 0;
  for (; c + kLanes <= C; c += kLanes) store(to + c, zero());
  if (c < C) store(to + c, zero(), C - c);
}

// What one window sees: taps h x w from x (the pixel of its first valid tap).
struct Seen {
  const float* x;
  i64 row, px;  // steps of x
  i64 nh, nw;
  i32 tap, tap_row;  // number of the first valid tap, and of taps in a row of the window
};

// The largest value so far and its tap.
struct Best {
  Vec value;
  VecI tap;
};

// `careful` tells NaN apart; without it they are lost, and whoever calls looks for them.
template <bool index, bool careful>
NACRE_INLINE void take_larger(Best& best, Vec a, VecI tap) {
  if (careful) {
    const Mask take = ~(le(a, best.value) | isnan(best.value));  // larger, or the first NaN
    best.value = select(take, a, best.value);
    best.tap = select(take, tap, best.tap);
  } else {
    if (!index) {
      best.value = max(a, best.value);
      return;
    }
    const Mask take = gt(a, best.value);  // of equal ones the first
    best.tap = select(take, tap, best.tap);
    best.value = select(take, a, best.value);
  }
}

// Maxima (and taps) of one window of any size for one vector of channels from c on. Unless `careful`, true comes back where
// there might be a NaN (or an infinity), and what was found does not count.
template <bool whole, bool index, bool wide, bool careful>
NACRE_INLINE bool max_vector(const Seen& seen, i64 c, i64 n, float* y, u8* at, i64 at0) {
  Best best{get<whole>(seen.x + c, n), set1i(seen.tap)};
  Vec check = zero();  // 0, or NaN
  i32 tap_row = seen.tap;
  for (i64 h = 0; h < seen.nh; ++h, tap_row += seen.tap_row) {
    for (i64 w = 0; w < seen.nw; ++w) {
      const Vec a = in_register(get<whole>(seen.x + h * seen.row + w * seen.px + c, n));
      take_larger<index, careful>(best, a, set1i(tap_row + static_cast<i32>(w)));
      if (!careful) check = fma(a, zero(), check);
    }
  }
  if (!careful && any(isnan(check))) return true;
  put<whole>(y + c, best.value, n);
  if (index) put_index<whole, wide>(at, at0 + c, best.tap, n);
  return false;
}

template <bool whole, bool index, bool wide>
NACRE_INLINE void max_channels_of(const Seen& seen, i64 c, i64 n, float* y, u8* at, i64 at0) {
  if (max_vector<whole, index, wide, false>(seen, c, n, y, at, at0)) {
    max_vector<whole, index, wide, true>(seen, c, n, y, at, at0);
  }
}

template <bool index, bool wide>
void max_pixels(Seen seen, i64 pixels, i64 x_step, i64 C, float* y, i64 y_step, u8* at, i64 at0) {
  for (i64 i = 0; i < pixels; ++i, seen.x += x_step, y += y_step, at0 += C) {
    i64 c = 0;
    for (; c + kLanes <= C; c += kLanes) max_channels_of<true, index, wide>(seen, c, kLanes, y, at, at0);
    if (c < C) max_channels_of<false, index, wide>(seen, c, C - c, y, at, at0);
  }
}

// Windows of KH x KW, S apart. Where one leaves the image, the taps that it has stand for those that it lacks: behind the
// same number with the same tap they never win.
template <int KW>
struct Columns {  // side by side, with the same taps
  i64 count, px[KW];  // where the taps of the first lie
  i32 tap[KW];
};
constexpr int kParts = 8;

template <int KH, int KW>
struct Windows {
  const float* x;   // of the first window
  i64 x_px, x_row;  // from one window to the next, in its row and below
  i64 row[KH];      // where the taps of the first window lie
  i32 tap[KH];
  Columns<KW> part[kParts];
  int parts;
  float* y;
  i64 y_px, y_row;
  u8* at;
  i64 at_px, at_row;
};

// R rows of windows, one vector of channels: the maxima of a window's rows serve the window below as far as they overlap.
template <int R, int KH, int KW, int S, bool whole, bool index, bool careful>
NACRE_INLINE bool max_windows(const Windows<KH, KW>& k, i64 c, i64 n) {
  constexpr int kShared = KH > S ? KH - S : 0, kSeen = KW > S ? KW - S : 0;  // rows and columns that the next one sees too
  Vec check[KW];  // 0, or NaN (from NaN or infinity)
  VecI tap_w[KW], tap_h[KH];
  i64 px[KW];
  NACRE_UNROLL for (int w = 0; w < KW; ++w) check[w] = zero();
  NACRE_UNROLL for (int h = 0; h < KH; ++h) tap_h[h] = set1i(k.tap[h]);
  const i64 x_px = k.x_px, x_row = k.x_row, y_px = k.y_px, y_row = k.y_row, at_px = k.at_px, at_row = k.at_row;
  const i64 row1 = k.row[1], row2 = k.row[KH - 1];
  const auto row_max = [&](const float* x) __attribute__((always_inline)) {
    Best best{};
    NACRE_UNROLL for (int w = 0; w < KW; ++w) {
      const Vec a = in_register(get<whole>(x + px[w], n));
      if (!careful && w >= kSeen) check[w] = fma(a, zero(), check[w]);
      if (w == 0) best = {a, tap_w[0]};
      else take_larger<index, careful>(best, a, tap_w[w]);
    }
    return best;
  };
  const float* x = k.x + c + k.row[0];
  float* y = k.y + c;
  u8* at = k.at + c;
  for (int part = 0; part < k.parts; ++part) {
    const Columns<KW>& columns = k.part[part];
    NACRE_UNROLL for (int w = 0; w < KW; ++w) tap_w[w] = set1i(columns.tap[w]), px[w] = columns.px[w];
    if (!careful) {
      const float* line = x;
      for (int r = 0; r < (R - 1) * S + KH; ++r) {
        NACRE_UNROLL for (int w = 0; w < kSeen; ++w) check[w] = fma(get<whole>(line + px[w], n), zero(), check[w]);
        line = R > 1 || r > 0 ? line + x_row / S : x + row1;
        if (R == 1 && r == 1) line = x + row2;
      }
    }
    for (i64 i = 0; i < columns.count; ++i, x += x_px, y += y_px, at += at_px) {
      const float* line_x = x;
      float* line_y = y;
      u8* line_at = at;
      Best line[KH];
      const auto tap_row = [&](int h) { return row_max(h == 0 ? line_x : line_x + (h == 1 ? row1 : row2)); };
      NACRE_UNROLL for (int h = 0; h < kShared; ++h) line[h] = tap_row(h);
      NACRE_UNROLL for (int r = 0; r < R; ++r) {
        NACRE_UNROLL for (int h = kShared; h < KH; ++h) line[h] = tap_row(h);
        Best best = line[0];
        if (R == 1) best.tap += tap_h[0];  // 0 where all rows are inside
        NACRE_UNROLL for (int h = 1; h < KH; ++h) take_larger<index, careful>(best, line[h].value, line[h].tap + tap_h[h]);
        put<whole>(line_y, best.value, n);
        if (index) put_index<whole, false>(line_at, 0, best.tap, n);
        NACRE_UNROLL for (int h = 0; h < kShared; ++h) line[h] = line[h + S];
        if (r + 1 < R) {
          line_x += x_row, line_y += y_row, line_at += at_row;
          asm("" : "+r"(line_x), "+r"(line_y), "+r"(line_at));  // or all addresses get registers of their own
        }
      }
    }
  }
  NACRE_UNROLL for (int w = 1; w < KW; ++w) check[0] += check[w];
  return !careful && any(isnan(check[0]));
}

template <int R, int KH, int KW, int S, bool index>
void max_channels(const Windows<KH, KW>& k, i64 C) {
  i64 c = 0;
  for (; c + kLanes <= C; c += kLanes) {
    if (max_windows<R, KH, KW, S, true, index, false>(k, c, kLanes)) {
      max_windows<R, KH, KW, S, true, index, true>(k, c, kLanes);
    }
  }
  if (c < C) {
    if (max_windows<R, KH, KW, S, false, index, false>(k, c, C - c)) {
      max_windows<R, KH, KW, S, false, index, true>(k, c, C - c);
    }
  }
}

// y = scale * sum
template <int NV, int KH, int KW, bool whole>
NACRE_INLINE void mean_vectors(const Seen& seen, i64 c, i64 n, Vec scale, float* y) {
  const i64 nh = KH ? KH : seen.nh, nw = KW ? KW : seen.nw;
  const float* x = seen.x + c;
  Vec sum[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = zero();
  NACRE_UNROLL for (i64 h = 0; h < nh; ++h) {
    NACRE_UNROLL for (i64 w = 0; w < nw; ++w) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] += get<whole>(x + h * seen.row + w * seen.px + v * kLanes, n);
    }
  }
  NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(y + c + v * kLanes, sum[v] * scale, n);
}

template <int KH, int KW>
void mean_pixels(Seen seen, i64 pixels, i64 x_step, i64 C, float* y, i64 y_step) {
  const i64 count = seen.nh * seen.nw;
  const Vec scale = set1(count > 0 ? 1.0f / static_cast<float>(count) : 0.0f);
  for (i64 i = 0; i < pixels; ++i, seen.x += x_step, y += y_step) {
    i64 c = 0;
    for (; c + 4 * kLanes <= C; c += 4 * kLanes) mean_vectors<4, KH, KW, true>(seen, c, kLanes, scale, y);
    for (; c + kLanes <= C; c += kLanes) mean_vectors<1, KH, KW, true>(seen, c, kLanes, scale, y);
    if (c < C) mean_vectors<1, KH, KW, false>(seen, c, C - c, scale, y);
  }
}

// The same a row of the window at a time, with sums in y: pixels of many channels lie so far apart that those of all rows
// would push each other out of the cache.
void mean_by_rows(Seen seen, i64 pixels, i64 x_step, i64 C, float* y, i64 y_step) {
  const i64 nh = seen.nh, nw = seen.nw;
  const Vec scale = set1(1.0f / static_cast<float>(nh * nw));
  for (i64 i = 0; i < pixels; ++i, seen.x += x_step, y += y_step) {
    for (i64 h = 0; h < nh; ++h) {
      const float* x = seen.x + h * seen.row;
      for (i64 c = 0; c < C; c += kLanes) {
        const i64 n = min_of(C - c, kLanes);
        Vec sum = load(x + c, n);
        for (i64 w = 1; w < nw; ++w) sum += load(x + w * seen.px + c, n);
        if (h > 0) sum += load(y + c, n);
        store(y + c, h + 1 < nh ? sum : sum * scale, n);
      }
    }
  }
}

// Calls row(seen, first output pixel, number of output pixels) for runs of pixels whose windows see equally much: the
// columns at the left and right edge one by one, those between together.
template <class F>
NACRE_INLINE void for_each_window(const Pool2DShape& s, Slice units, const float* x, F row) {
  const i64 ld = ldx_of(s), per = forward_rows(s), rows = s.N * s.OH;
  const Range inner = range_within(-s.PL, s.SW, s.OW, 0, s.W - s.KW + 1);
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.OH, oh = r % s.OH, ih = oh * s.SH - s.PT;
    const Range h = taps_within(ih, s.KH, s.H);
    for (i64 ow = 0; ow < s.OW;) {
      const i64 iw = ow * s.SW - s.PL;
      const i64 run = ow >= inner.first && ow < inner.last ? inner.last - ow : 1;
      const Range w = taps_within(iw, s.KW, s.W);
      Seen seen{};
      seen.nh = max_of(h.last - h.first, 0);
      seen.nw = max_of(w.last - w.first, 0);
      if (seen.nh == 0 || seen.nw == 0) seen.nh = seen.nw = 0;
      seen.row = s.W * ld;
      seen.px = ld;
      seen.tap = static_cast<i32>(h.first * s.KW + w.first);
      seen.tap_row = static_cast<i32>(s.KW);
      if (seen.nh) seen.x = x + ((n * s.H + ih + h.first) * s.W + iw + w.first) * ld;
      row(seen, r * s.OW + ow, run);
      ow += run;
    }
  }
}

// The taps of a window that lie within the image, and for each that does not another one behind them.
template <int K>
NACRE_INLINE void inside_taps(i64 start, i64 n, i32 (&tap)[K]) {
  const Range seen = taps_within(start, K, n);
  NACRE_UNROLL for (int k = 0; k < K; ++k) tap[k] = static_cast<i32>(min_of(seen.first + k, seen.last - 1));
}

// Blocks of rows and columns of windows that are whole, and those that are not one by one.
template <int KH, int KW, int S, bool index>
void max_pool_blocks(const Pool2DShape& s, Slice units, const float* x, float* y, u8* at) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = forward_rows(s), rows = s.N * s.OH, x_row = s.W * ldx;
  const Range inner_h = range_within(-s.PT, S, s.OH, 0, s.H - KH + 1);
  const Range inner_w = range_within(-s.PL, S, s.OW, 0, s.W - KW + 1);
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end;) {
    const i64 n = r / s.OH, oh = r % s.OH, ih = oh * S - s.PT;
    const i64 left = oh >= inner_h.first ? min_of(inner_h.last - oh, end - r) : 1, run_h = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    Windows<KH, KW> k{};
    k.x_px = S * ldx;
    k.x_row = S * x_row;
    k.y_px = ldy;
    k.y_row = s.OW * ldy;
    k.at_px = s.C;
    k.at_row = s.OW * s.C;
    inside_taps(ih, s.H, k.tap);
    NACRE_UNROLL for (int h = 0; h < KH; ++h) k.row[h] = (k.tap[h] - (h > 0 ? k.tap[0] : 0)) * x_row;
    NACRE_UNROLL for (int h = 0; h < KH; ++h) k.tap[h] *= KW;
    for (i64 ow = 0; ow < s.OW;) {
      const i64 first = ow;
      for (k.parts = 0; k.parts < kParts && ow < s.OW && ow - first < kColumns; ++k.parts) {
        Columns<KW>& part = k.part[k.parts];
        part.count = ow >= inner_w.first && ow < inner_w.last ? min_of(inner_w.last - ow, kColumns) : 1;
        inside_taps(ow * S - s.PL, s.W, part.tap);
        NACRE_UNROLL for (int w = 0; w < KW; ++w) part.px[w] = part.tap[w] * ldx;
        ow += part.count;
      }
      k.x = x + ((n * s.H + ih) * s.W + first * S - s.PL) * ldx;
      k.y = y + (r * s.OW + first) * ldy;
      k.at = index ? at + (r * s.OW + first) * s.C : at;
      if (run_h == 4) max_channels<4, KH, KW, S, index>(k, s.C);
      else if (run_h == 2) max_channels<2, KH, KW, S, index>(k, s.C);
      else max_channels<1, KH, KW, S, index>(k, s.C);
    }
    r += run_h;
  }
}

// Whether every window sees something of an axis.
bool all_see(i64 K, i64 S, i64 P, i64 n, i64 out) { return P < K && (out - 1) * S - P < n; }

template <bool index, bool wide>
void max_pool_rows(const Pool2DShape& s, Slice units, const float* x, float* y, u8* at) {
  if (s.OH > 0 && all_see(s.KH, s.SH, s.PT, s.H, s.OH) && all_see(s.KW, s.SW, s.PL, s.W, s.OW)) {
    if (s.KH == 3 && s.KW == 3 && s.SH == 1 && s.SW == 1) return max_pool_blocks<3, 3, 1, index>(s, units, x, y, at);
    if (s.KH == 3 && s.KW == 3 && s.SH == 2 && s.SW == 2) return max_pool_blocks<3, 3, 2, index>(s, units, x, y, at);
    if (s.KH == 2 && s.KW == 2 && s.SH == 2 && s.SW == 2) return max_pool_blocks<2, 2, 2, index>(s, units, x, y, at);
  }
  const i64 ldy = ldy_of(s), step = s.SW * ldx_of(s);
  for_each_window(s, units, x, [&](const Seen& seen, i64 px, i64 run) {
    float* to = y + px * ldy;
    if (seen.nh == 0) {  // sees nothing
      for (i64 c = 0; c < s.C; c += kLanes) {
        const i64 n = min_of(s.C - c, kLanes);
        store(to + c, set1(-__builtin_inff()), n);
        if (index) put_index<false, wide>(at, px * s.C + c, set1i(0), n);
      }
    } else {
      max_pixels<index, wide>(seen, run, step, s.C, to, ldy, at, px * s.C);
    }
  });
}

// The windows that see input position i along one axis: outputs [first, last), output o through tap i + P - o*S. Moves
// from one position to the next without dividing.
struct Over {
  i64 K, S, P, out;
  i64 first = 0, last = 0;
  inline __attribute__((always_inline)) void move_to(i64 i) {
    while (last < out && last * S <= i + P) ++last;
    while (first < last && first * S + K <= i + P) ++first;
  }
};

struct Seeing {  // that see one pixel of dx
  i64 h0, h1, w0, w1;
  i64 tap_h, tap_w;  // tap of window (h0, w0); the next window sees it through a tap lower by the stride
};

template <int NV, bool whole, bool wide>
NACRE_INLINE void max_grad_vectors(const Pool2DShape& s, const Seeing& win, i64 first, i64 ldy, i64 c, i64 n,
                                   const float* dy, const u8* index, float* dx) {
  Vec sum[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = zero();
  const i64 C = s.C, SW = s.SW, nw = win.w1 - win.w0;
  i64 tap_h = win.tap_h * s.KW + win.tap_w, px = first + win.h0 * s.OW + win.w0;
  for (i64 h = win.h0; h < win.h1; ++h, tap_h -= s.SH * s.KW, px += s.OW) {
    i64 tap = tap_h, at = px * C + c;
    const float* g = dy + px * ldy + c;
    for (i64 w = 0; w < nw; ++w, tap -= SW, at += C, g += ldy) {
      const VecI here = set1i(static_cast<i32>(tap));
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        const VecI from = get_index<whole, wide>(index, at + v * kLanes, n);
        sum[v] += select(eq(from, here), get<whole>(g + v * kLanes, n));
      }
    }
  }
  NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(dx + c + v * kLanes, sum[v], n);
}

template <int NV, bool whole>
NACRE_INLINE void mean_grad_vectors(const Pool2DShape& s, const Seeing& win, i64 first, i64 ldy, i64 c, i64 n,
                                    const float* dy, float* dx) {
  Vec sum[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = zero();
  for (i64 oh = win.h0; oh < win.h1; ++oh) {
    const i64 ih = oh * s.SH - s.PT, rows = min_of(ih + s.KH, s.H) - max_of(ih, 0);
    for (i64 ow = win.w0; ow < win.w1; ++ow) {
      const i64 iw = ow * s.SW - s.PL, cols = min_of(iw + s.KW, s.W) - max_of(iw, 0);
      const Vec share = set1(1.0f / static_cast<float>(rows * cols));
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        sum[v] = fma(get<whole>(dy + (first + oh * s.OW + ow) * ldy + c + v * kLanes, n), share, sum[v]);
      }
    }
  }
  NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(dx + c + v * kLanes, sum[v], n);
}

// Calls pixel(windows, first output pixel of the image, pixel of dx).
template <class F>
NACRE_INLINE void for_each_pixel(const Pool2DShape& s, Slice units, F pixel) {
  const i64 per = gradient_rows(s), rows = s.N * s.H;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.H, ih = r % s.H;
    Over h{s.KH, s.SH, s.PT, s.OH}, w{s.KW, s.SW, s.PL, s.OW};
    h.move_to(ih);
    for (i64 iw = 0; iw < s.W; ++iw) {
      w.move_to(iw);
      pixel(Seeing{h.first, h.last, w.first, w.last, ih + s.PT - h.first * s.SH, iw + s.PL - w.first * s.SW},
            n * s.OH * s.OW, r * s.W + iw);
    }
  }
}

// Windows side by side without overlap or gap: each hands its gradient to the pixels of row ih below it.
template <int KW, bool whole>
NACRE_INLINE void hand_out(const u8* index, i64 first_tap, i64 kw0, i64 kw1, const float* dy, float* dx, i64 ldx, i64 n) {
  const VecI at = get_index<whole, false>(index, 0, n);
  const Vec g = get<whole>(dy, n);
  if (KW) {
    NACRE_UNROLL for (int k = 0; k < KW; ++k) {
      put<whole>(dx + k * ldx, select(eq(at, set1i(static_cast<i32>(first_tap) + k)), g), n);
    }
  } else {
    for (i64 k = kw0; k < kw1; ++k) put<whole>(dx + k * ldx, select(eq(at, set1i(static_cast<i32>(first_tap + k))), g), n);
  }
}

template <int KW>
void hand_out_pixel(const u8* index, i64 first_tap, i64 kw0, i64 kw1, const float* dy, float* dx, i64 ldx, i64 C) {
  i64 c = 0;
  for (; c + kLanes <= C; c += kLanes) hand_out<KW, true>(index + c, first_tap, kw0, kw1, dy + c, dx + c, ldx, kLanes);
  if (c < C) hand_out<KW, false>(index + c, first_tap, kw0, kw1, dy + c, dx + c, ldx, C - c);
}

void tiled_max_grad_rows(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = gradient_rows(s), rows = s.N * s.H;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.H, ih = r % s.H + s.PT, oh = floor_div(ih, s.SH);
    float* dx_row = dx + r * s.W * ldx;
    i64 done = 0;  // columns of this row
    if (oh >= 0 && oh < s.OH) {
      const i64 first_tap = (ih - oh * s.SH) * s.KW, px = (n * s.OH + oh) * s.OW;
      for (i64 ow = 0; ow < s.OW; ++ow) {
        const i64 iw = ow * s.SW - s.PL, kw0 = max_of(-iw, 0), kw1 = min_of(s.W - iw, s.KW);
        for (; done < min_of(iw, s.W); ++done) zero_channels(dx_row + done * ldx, s.C);
        if (kw0 >= kw1) continue;
        const u8* at = index + (px + ow) * s.C;
        const float* g = dy + (px + ow) * ldy;
        float* to = dx_row + iw * ldx;
        if (s.KW == 2 && kw1 - kw0 == 2) {
          hand_out_pixel<2>(at, first_tap, kw0, kw1, g, to, ldx, s.C);
        } else {
          hand_out_pixel<0>(at, first_tap, kw0, kw1, g, to, ldx, s.C);
        }
        done = iw + kw1;
      }
    }
    for (; done < s.W; ++done) zero_channels(dx_row + done * ldx, s.C);
  }
}

template <bool wide>
void max_grad_pixel(const Pool2DShape& s, const Seeing& win, i64 first, const float* dy, const u8* index, float* dx) {
  const i64 ldy = ldy_of(s);
  i64 c = 0;
  for (; c + 4 * kLanes <= s.C; c += 4 * kLanes) max_grad_vectors<4, true, wide>(s, win, first, ldy, c, kLanes, dy, index, dx);
  for (; c + kLanes <= s.C; c += kLanes) max_grad_vectors<1, true, wide>(s, win, first, ldy, c, kLanes, dy, index, dx);
  if (c < s.C) max_grad_vectors<1, false, wide>(s, win, first, ldy, c, s.C - c, dy, index, dx);
}

alignas(64) constexpr u8 kNoTap[16] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

// Gradients and taps of `rows` rows of windows, from which walks (walk3.h) gather dx.
template <int rows, int out_rows, bool flipped, bool whole>
struct MaxGrad : WalkRows<rows, out_rows, whole> {
  using Base = WalkRows<rows, out_rows, whole>;
  struct In {
    Vec dy;
    VecI tap;
  };
  const u8* index[rows];
  i64 index_step[rows];
  VecI tap[9];
  bool wanted[out_rows];

  // Row `row` is window row oh of an image, from column ow and channel c on.
  NACRE_INLINE_MEMBER void set_row(int row, const Pool2DShape& s, i64 image, i64 oh, i64 ow, i64 c, const float* dy,
                                   const u8* all) {
    const bool inside = oh >= 0 && oh < s.OH;
    const i64 px = (image * s.OH + oh) * s.OW + ow;
    Base::set_in(row, inside, dy + px * ldy_of(s) + c, ldy_of(s));
    index[row] = inside ? all + px * s.C + c : kNoTap;
    index_step[row] = inside ? s.C : 0;
  }
  NACRE_INLINE_MEMBER void set_taps() {
    NACRE_UNROLL for (int t = 0; t < 9; ++t) tap[t] = set1i(flipped ? 8 - t : t);
  }
  NACRE_INLINE_MEMBER In get(int row) const {
    return {Base::load_in(row), get_index<whole, false>(index[row], 0, Base::lanes)};
  }
  NACRE_INLINE_MEMBER In none() const { return {zero(), set1i(-1)}; }
  NACRE_INLINE_MEMBER void next() {
    Base::next();
    NACRE_UNROLL for (int row = 0; row < rows; ++row) index[row] += index_step[row];
  }
  NACRE_INLINE_MEMBER Vec start() const { return zero(); }
  NACRE_INLINE_MEMBER Vec add(Vec sum, const In& in, int kh, int kw) const {
    return add_where(eq(in.tap, tap[kh * 3 + kw]), sum, in.dy);
  }
  NACRE_INLINE_MEMBER void put(int row, Vec sum) const { Base::store_out(Base::out[row], sum); }
  NACRE_INLINE_MEMBER void put(int row, Vec e, Vec o) const {
    if (!wanted[row]) return;
    if (Base::even) Base::store_out(Base::out[row], e);
    if (Base::odd) Base::store_out(Base::out[row] + Base::out_px, o);
  }
};

// R rows of dx from row ih on, columns [iw, iw + n), one vector of channels; stride 1.
template <int R, bool whole>
void max_grad_walk(const Pool2DShape& s, i64 image, i64 ih, i64 iw, i64 n, i64 c, const float* dy, const u8* index, float* dx) {
  MaxGrad<R + 2, R, true, whole> op;
  const i64 ow = iw + s.PL - 2;
  op.lanes = s.C - c;
  op.set_taps();
  NACRE_UNROLL for (int row = 0; row < R + 2; ++row) op.set_row(row, s, image, ih + s.PT - 2 + row, ow, c, dy, index);
  NACRE_UNROLL for (int row = 0; row < R; ++row) op.out[row] = dx + ((image * s.H + ih + row) * s.W + iw) * ldx_of(s) + c;
  op.out_step = ldx_of(s);
  walk_windows<R>(op, n, -ow, ow + n + 2 - s.OW);
}

// Pairs [w0, w0 + n) of the columns of R pairs of rows from pair h0 on, as far as they are rows [ih, end); stride 2.
template <int R, bool whole>
void max_grad_pairs(const Pool2DShape& s, i64 image, i64 h0, i64 ih, i64 end, i64 w0, i64 n, i64 c, const float* dy,
                    const u8* index, float* dx) {
  MaxGrad<R + 1, 2 * R, false, whole> op;
  const i64 iw = 2 * w0 - s.PL;
  op.lanes = s.C - c;
  op.set_taps();
  NACRE_UNROLL for (int row = 0; row <= R; ++row) op.set_row(row, s, image, h0 - 1 + row, w0 - 1, c, dy, index);
  NACRE_UNROLL for (int row = 0; row < 2 * R; ++row) {
    const i64 i = 2 * h0 - s.PT + row;
    op.wanted[row] = i >= ih && i < end;
    op.out[row] = dx + ((image * s.H + i) * s.W + iw) * ldx_of(s) + c;
  }
  op.set_pairs(iw, n, s.W, ldx_of(s));
  walk_pairs<R>(op, n, w0 < 1, w0 + n > s.OW);
}

template <int R>
void max_grad_walks(const Pool2DShape& s, i64 image, i64 ih, i64 iw, i64 n, const float* dy, const u8* index, float* dx) {
  for (i64 from = 0; from < n; from += kWalkColumns) {
    const i64 columns = min_of(kWalkColumns, n - from);
    i64 c = 0;
    for (; c + kLanes <= s.C; c += kLanes) max_grad_walk<R, true>(s, image, ih, iw + from, columns, c, dy, index, dx);
    if (c < s.C) max_grad_walk<R, false>(s, image, ih, iw + from, columns, c, dy, index, dx);
  }
}

// 3x3, stride 1.
void max_grad_by_one(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 per = gradient_rows(s), rows = s.N * s.H;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end;) {
    const i64 image = r / s.H, ih = r % s.H, left = min_of(s.H - ih, end - r);
    const i64 n = left >= kWalkRows ? kWalkRows : left >= 2 ? 2 : 1;
    if (n == kWalkRows) max_grad_walks<kWalkRows>(s, image, ih, 0, s.W, dy, index, dx);
    else if (n == 2) max_grad_walks<2>(s, image, ih, 0, s.W, dy, index, dx);
    else max_grad_walks<1>(s, image, ih, 0, s.W, dy, index, dx);
    r += n;
  }
}

// 3x3, stride 2.
void max_grad_by_two(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 per = gradient_rows(s), rows = s.N * s.H;
  const i64 w0 = floor_div(s.PL, 2), w1 = floor_div(s.W - 1 + s.PL, 2) + 1;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end;) {
    const i64 image = r / s.H, ih = r % s.H, stop = min_of(s.H, ih + end - r), h0 = floor_div(ih + s.PT, 2);
    for (i64 w = w0; w < w1; w += kWalkColumns) {
      const i64 n = min_of(kWalkColumns, w1 - w);
      i64 c = 0;
      for (; c + kLanes <= s.C; c += kLanes) max_grad_pairs<kPairRows, true>(s, image, h0, ih, stop, w, n, c, dy, index, dx);
      if (c < s.C) max_grad_pairs<kPairRows, false>(s, image, h0, ih, stop, w, n, c, dy, index, dx);
    }
    r += min_of(stop, 2 * (h0 + kPairRows) - s.PT) - ih;
  }
}

template <bool wide>
void max_grad_rows(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  if (!wide && s.SH == s.KH && s.SW == s.KW) return tiled_max_grad_rows(s, units, dy, index, dx);
  if (s.KH == 3 && s.KW == 3 && s.SH == 1 && s.SW == 1 && s.PL >= 0 && s.W + s.PL <= s.OW + 2) {
    return max_grad_by_one(s, units, dy, index, dx);
  }
  if (s.KH == 3 && s.KW == 3 && s.SH == 2 && s.SW == 2 && s.PL >= 0 && s.PL < 3 && (s.W - 1 + s.PL) / 2 <= s.OW) {
    return max_grad_by_two(s, units, dy, index, dx);
  }
  const i64 ldx = ldx_of(s);
  for_each_pixel(s, units, [&](const Seeing& win, i64 first, i64 px) {
    max_grad_pixel<wide>(s, win, first, dy, index, dx + px * ldx);
  });
}

// Windows that do not overlap: each pixel of dx has its share of one dy, or nothing.
void apart_mean_grad_rows(const Pool2DShape& s, Slice units, const float* dy, float* dx) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = gradient_rows(s), rows = s.N * s.H;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.H, ih = r % s.H + s.PT, oh = floor_div(ih, s.SH), top = oh * s.SH - s.PT;
    const i64 seen_h = min_of(top + s.KH, s.H) - max_of(top, 0);
    float* dx_row = dx + r * s.W * ldx;
    i64 done = 0;  // columns of this row
    if (oh >= 0 && oh < s.OH && ih - oh * s.SH < s.KH) {
      for (i64 ow = 0; ow < s.OW; ++ow) {
        const i64 first = max_of(ow * s.SW - s.PL, 0), last = min_of(ow * s.SW - s.PL + s.KW, s.W);
        for (; done < min_of(first, s.W); ++done) zero_channels(dx_row + done * ldx, s.C);
        if (first >= last) continue;
        const Vec share = set1(1.0f / static_cast<float>(seen_h * (last - first)));
        const float* g = dy + ((n * s.OH + oh) * s.OW + ow) * ldy;
        for (; done < last; ++done) {
          i64 c = 0;
          for (; c + kLanes <= s.C; c += kLanes) store(dx_row + done * ldx + c, load(g + c) * share);
          if (c < s.C) store(dx_row + done * ldx + c, load(g + c, s.C - c) * share, s.C - c);
        }
      }
    }
    for (; done < s.W; ++done) zero_channels(dx_row + done * ldx, s.C);
  }
}

}  // namespace

Facts max_pool2d_facts(const Pool2DShape& s) { return facts_of(s, true, s.index == 1); }

void max_pool2d(const Pool2DShape& s, Slice rows, const float* x, float* y, u8* index) {
  if (!s.index) {
    max_pool_rows<false, false>(s, rows, x, y, index);
  } else if (wide_index(s)) {
    max_pool_rows<true, true>(s, rows, x, y, index);
  } else {
    max_pool_rows<true, false>(s, rows, x, y, index);
  }
}

Facts max_pool2d_grad_x_facts(const Pool2DShape& s) { return facts_of(s, false, true); }

void max_pool2d_grad_x(const Pool2DShape& s, Slice rows, const float* dy, const u8* index, float* dx) {
  if (wide_index(s)) {
    max_grad_rows<true>(s, rows, dy, index, dx);
  } else {
    max_grad_rows<false>(s, rows, dy, index, dx);
  }
}

Facts avg_pool2d_facts(const Pool2DShape& s) { return facts_of(s, true, false); }

void avg_pool2d(const Pool2DShape& s, Slice rows, const float* x, float* y) {
  const i64 ldy = ldy_of(s), step = s.SW * ldx_of(s);
  for_each_window(s, rows, x, [&](const Seen& seen, i64 px, i64 run) {
    float* to = y + px * ldy;
    if (seen.nh == 2 && seen.nw == 2) {
      mean_pixels<2, 2>(seen, run, step, s.C, to, ldy);
    } else if (seen.nh == 3 && seen.nw == 3) {
      mean_pixels<3, 3>(seen, run, step, s.C, to, ldy);
    } else if (seen.nh > 1 && s.C > kWideChannels) {
      mean_by_rows(seen, run, step, s.C, to, ldy);
    } else {
      mean_pixels<0, 0>(seen, run, step, s.C, to, ldy);
    }
  });
}

Facts avg_pool2d_grad_x_facts(const Pool2DShape& s) { return facts_of(s, false, false); }

void avg_pool2d_grad_x(const Pool2DShape& s, Slice rows, const float* dy, float* dx) {
  if (s.SH >= s.KH && s.SW >= s.KW) return apart_mean_grad_rows(s, rows, dy, dx);
  const i64 ldx = ldx_of(s), ldy = ldy_of(s);
  for_each_pixel(s, rows, [&](const Seeing& win, i64 first, i64 px) {
    float* to = dx + px * ldx;
    i64 c = 0;
    for (; c + 4 * kLanes <= s.C; c += 4 * kLanes) mean_grad_vectors<4, true>(s, win, first, ldy, c, kLanes, dy, to);
    for (; c + kLanes <= s.C; c += kLanes) mean_grad_vectors<1, true>(s, win, first, ldy, c, kLanes, dy, to);
    if (c < s.C) mean_grad_vectors<1, false>(s, win, first, ldy, c, s.C - c, dy, to);
  });
}

}  // namespace nacre::NACRE_ISA
