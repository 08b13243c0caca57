// What the forward passes and the gradients of pooling have in common: checks, units, ranges of windows, lanes of taps.
#pragma once
#include "kernels/pool2d.h"
#include "simd/simd.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kLimit = i64{1} << 30;
constexpr i64 kUnitFloats = 32 * 1024;  // of the larger image touched per unit: a few microseconds

inline const char* shape_error(const Pool2DShape& s) {
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

inline i64 ldx_of(const Pool2DShape& s) { return s.ldx ? s.ldx : s.C; }
inline i64 ldy_of(const Pool2DShape& s) { return s.ldy ? s.ldy : s.C; }
inline bool wide_index(const Pool2DShape& s) { return s.KH * s.KW > 256; }

inline Count image_extent(const Pool2DShape& s, i64 H, i64 W, i64 ld) {
  const Count px = Count(s.N) * Count(H) * Count(W);
  if (!px.ok() || px.value() == 0 || s.C == 0) return px * Count(s.C);
  return Count(px.value() - 1) * Count(ld) + Count(s.C);
}

// Rows of output (forward) or of dx (gradients) per unit, from the work on one.
inline i64 rows_per_unit(i64 width, i64 C, i64 reads) {
  const Count floats = Count(width) * Count(C) * Count(reads);
  return floats.ok() ? max_of(kUnitFloats / max_of(floats.value(), 1), 1) : 1;
}
inline i64 forward_rows(const Pool2DShape& s) { return rows_per_unit(s.OW, s.C, min_of(s.KH, 64) * min_of(s.KW, 64)); }
inline i64 gradient_rows(const Pool2DShape& s) { return rows_per_unit(s.W, s.C, 1); }

__attribute__((noinline)) inline Facts facts_of(const Pool2DShape& s, bool forward, bool has_index) {
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
inline i64 floor_div(i64 a, i64 b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
inline Range range_within(i64 start, i64 step, i64 n, i64 low, i64 high) {
  const i64 first = max_of(floor_div(low - start + step - 1, step), 0);
  const i64 last = max_of(min_of(floor_div(high - start + step - 1, step), n), 0);
  return {min_of(first, last), last};
}
// Taps k in [0, K) of the window that starts at `start`, within [0, n).
inline Range taps_within(i64 start, i64 K, i64 n) { return range_within(start, 1, K, 0, n); }

// Whole vectors, or the first n < kLanes lanes of one.
template <bool whole>
NACRE_INLINE Vec get(const float* p, i64 n) {
  return whole ? load(p) : load(p, n);
}
template <bool whole>
NACRE_INLINE void put(float* p, Vec a, i64 n) {
  if (whole) store(p, a);
  else store(p, a, n);
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
    store_u8(index + at, a, n);
  }
}
template <bool whole, bool wide>
NACRE_INLINE VecI get_index(const u8* index, i64 at, i64 n) {
  if (wide) {
    i32 lane[kLanes] = {};
    __builtin_memcpy(lane, index + 4 * at, static_cast<unsigned long>(4 * (whole ? kLanes : n)));
    return load(lane);
  }
  return whole ? load_u8(index + at) : load_u8(index + at, n);
}

// f(whole, c, n) for vectors of the floats [c, C), in which the last one begins early enough to be whole; only where C is
// less than a vector it is not. Each float that f writes must be the same the second time.
struct Yes {
  constexpr operator bool() const { return true; }
};
struct No {
  constexpr operator bool() const { return false; }
};
template <bool whole, class F>
NACRE_INLINE void each_vector_as(i64 C, i64 c, F f) {
  for (; c < C; c += kLanes) f(whole ? min_of(c, C - kLanes) : c);
}
template <class F>
NACRE_INLINE void each_vector(i64 C, i64 c, F f) {
  if (C < kLanes) each_vector_as<false>(C, c, [&](i64 at) __attribute__((always_inline)) { f(No(), at, C); });
  else each_vector_as<true>(C, c, [&](i64 at) __attribute__((always_inline)) { f(Yes(), at, kLanes); });
}

// The windows that see input position i along one axis: outputs [first, last), output o through tap i + P - o*S. Moves
// from one position to the next without dividing.
struct Over {
  i64 S, out;
  i64 first, last;
  i64 first_end, last_begin;  // in inputs

  Over(i64 K, i64 stride, i64 P, i64 outputs, i64 i) : S(stride), out(outputs) {
    first = last = i + P < K ? 0 : min_of((i + P - K) / S, out);
    first_end = first * S + K - P;
    last_begin = last * S - P;
    move_to(i);
  }
  NACRE_INLINE_MEMBER void move_to(i64 i) {
    while (last < out && last_begin <= i) ++last, last_begin += S;
    while (first < last && first_end <= i) ++first, first_end += S;
  }
};

// What one window sees: taps h x w from x (the pixel of its first valid tap).
struct Seen {
  const float* x;
  i64 row, px;  // steps of x
  i64 nh, nw;
  i32 tap, tap_row;  // number of the first valid tap, and of taps in a row of the window
};

// The window whose first tap is at (ih, iw) of image n.
NACRE_INLINE Seen window_at(const Pool2DShape& s, const float* x, i64 n, i64 ih, i64 iw) {
  const i64 ld = ldx_of(s);
  const Range h = taps_within(ih, s.KH, s.H), w = taps_within(iw, s.KW, s.W);
  Seen seen{};
  seen.nh = max_of(h.last - h.first, 0);
  seen.nw = max_of(w.last - w.first, 0);
  if (seen.nh == 0 || seen.nw == 0) seen.nh = seen.nw = 0;
  seen.row = s.W * ld;
  seen.px = ld;
  seen.tap = static_cast<i32>(h.first * s.KW + w.first);
  seen.tap_row = static_cast<i32>(s.KW);
  if (seen.nh) seen.x = x + ((n * s.H + ih + h.first) * s.W + iw + w.first) * ld;
  return seen;
}

// Calls row(seen, first output pixel, number of output pixels) for runs of pixels whose windows see equally much: the
// columns at the left and right edge one by one, those between together.
template <class F>
NACRE_INLINE void for_each_window(const Pool2DShape& s, Slice units, const float* x, F row) {
  const i64 per = forward_rows(s), rows = s.N * s.OH;
  const Range inner = range_within(-s.PL, s.SW, s.OW, 0, s.W - s.KW + 1);
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    for (i64 ow = 0, run; ow < s.OW; ow += run) {
      run = ow >= inner.first && ow < inner.last ? inner.last - ow : 1;
      row(window_at(s, x, r / s.OH, r % s.OH * s.SH - s.PT, ow * s.SW - s.PL), r * s.OW + ow, run);
    }
  }
}

inline void zero_channels(float* to, i64 C) {
  i64 c = 0;
  for (; c + kLanes <= C; c += kLanes) store(to + c, zero());
  if (c < C) store(to + c, zero(), C - c);
}

}  // namespace
}  // namespace nacre::NACRE_ISA
