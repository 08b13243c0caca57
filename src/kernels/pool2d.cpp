// Vectors run along the channels. The forward passes walk over output pixels and their windows.
#include "kernels/pool2d_shape.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kBlockRows = 4;              // of windows that go together
constexpr i64 kAheadFloats = 256;          // that are asked for ahead: rows in turn are no pattern that caches foresee
constexpr i64 kNearRow = 2048;             // floats of a row of which L1 keeps the next few
constexpr i64 kNearImages = i64{1} << 22;  // floats that L3 hands on quickly enough, asked for or not

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
    const Mask larger = gt(a, best.value);  // of equal ones the first
    best.value =
        kLanes < 16 ? select(larger, a, best.value) : max(a, best.value);  // comparisons and maxima share pipes
    best.tap = select(larger, tap, best.tap);
  }
}

// Maxima (and taps) of one window of any size for one vector of channels from c on. Unless `careful`, true comes back where
// there might be a NaN (or an infinity), and what was found does not count.
template <bool whole, bool index, bool wide, bool careful>
NACRE_INLINE bool max_vector(const Seen& seen, i64 c, i64 n, float* y, u8* at, i64 at0) {
  Best best{get<whole>(seen.x + c, n), set1i(seen.tap)};
  Vec check = zero();  // 0, or NaN
  VecI tap_row = best.tap;
  for (i64 h = 0; h < seen.nh; ++h, tap_row += set1i(seen.tap_row)) {
    VecI tap = tap_row;
    for (i64 w = 0; w < seen.nw; ++w, tap += set1i(1)) {
      const Vec a = in_register(get<whole>(seen.x + h * seen.row + w * seen.px + c, n));
      take_larger<index, careful>(best, a, tap);
      if (!careful) check = fma(a, zero(), check);
    }
  }
  if (!careful && any(isnan(check))) return true;
  put<whole>(y + c, best.value, n);
  if (index) put_index<whole, wide>(at, at0 + c, best.tap, n);
  return false;
}

template <bool index, bool wide>
void max_pixels(Seen seen, i64 pixels, i64 x_step, i64 C, float* y, i64 y_step, u8* at, i64 at0) {
  for (i64 i = 0; i < pixels; ++i, seen.x += x_step, y += y_step, at0 += C) {
    each_vector(C, 0, [&](auto whole, i64 c, i64 n) __attribute__((always_inline)) {
      if (max_vector<whole, index, wide, false>(seen, c, n, y, at, at0)) {
        max_vector<whole, index, wide, true>(seen, c, n, y, at, at0);
      }
    });
  }
}

// Windows of 2x2 side by side. Where one leaves the image, the taps that it has stand for those that it lacks: behind the
// same number they never win.
struct Quads {
  i64 pixels, C;
  const float* x;
  i64 x_px, col, row;  // from one window to the next; from the first tap of a window to the others
  i64 ahead;           // from a lower row to the one that is asked for meanwhile, or 0
  float* y;
  i64 y_px;
  u8* at;
  i32 tap;  // of the first
};

// True where there might be a NaN, or products of neighbours that are not finite: what was found does not count.
template <bool whole, bool index>
bool max_quads(const Quads& k) {
  const VecI first = set1i(k.tap), second = set1i(k.tap + 1), third = set1i(k.tap + 2), fourth = set1i(k.tap + 3);
  const i64 C = k.C, x_px = k.x_px, y_px = k.y_px, col = k.col, row = k.row, both = col + row, ahead = k.ahead;
  const float* x = k.x;
  float* y = k.y;
  u8* at = k.at;
  Vec check = zero(), other = zero();
  for (i64 px = k.pixels; px > 0; --px, x += x_px, y += y_px, at += C) {
    each_vector_as<whole>(C, 0, [&](i64 c) __attribute__((always_inline)) {
      const Vec a = in_register(get<whole>(x + c, C)), b = in_register(get<whole>(x + col + c, C));
      const Vec d = in_register(get<whole>(x + row + c, C)), e = in_register(get<whole>(x + both + c, C));
      if (ahead) prefetch(x + row + ahead + c), prefetch(x + both + ahead + c);
      check = fma(a, b, check);
      other = fma(d, e, other);
      const Vec upper = max(b, a), lower = max(e, d);  // of equal ones the first
      put<whole>(y + c, max(lower, upper), C);
      if (index) {
        const VecI above = select(gt(b, a), second, first), below = select(gt(e, d), fourth, third);
        put_index<whole, false>(at, c, select(gt(lower, upper), below, above), C);
      }
    });
  }
  return any(isnan(check + other));
}

// Windows of KH x KW, S apart, side by side and in rows below. Where one leaves the image, the taps that it has stand for
// those that it lacks: behind the same number with the same tap they never win.
template <int KH, int KW>
struct Windows {
  i64 pixels, floats;  // of each window; where S is 1, a dense row is one window
  i64 rows, C;
  const float* x;
  i64 x_px, x_row;      // from one window to the next, and to the one below
  i64 row[KH], px[KW];  // where the taps of a window lie; below those of the first row all rows are inside
  i32 tap_h[KH], tap_w[KW];
  float* y;
  i64 y_px, y_row;
  u8* at;
  i64 at_px, at_row;
};

// The maxima of a window's rows serve the window below as far as they overlap. True where there might be a NaN (or an
// infinity, or a product of neighbours that is none): what was found does not count.
template <int KH, int KW, int S, bool whole, bool index>
bool max_windows(const Windows<KH, KW>& k) {
  constexpr int kShared = KH > S ? KH - S : 0,
                kSeen = KW > S ? KW - S : 0;  // rows and columns that the next one sees too
  Vec check[2] = {zero(), zero()};            // numbers, or NaN
  VecI tap_w[KW], tap_h[KH];                  // of the first row; from there to others
  NACRE_UNROLL for (int w = 0; w < KW; ++w) tap_w[w] = set1i(k.tap_w[w] + k.tap_h[0]);
  NACRE_UNROLL for (int h = 0; h < KH; ++h) tap_h[h] = set1i(k.tap_h[h] - k.tap_h[0]);
  const i64 n = k.floats, rows = k.rows, px1 = k.px[1], px2 = k.px[KW - 1], row1 = k.row[1], row2 = k.row[KH - 1];
  const i64 x_row = k.x_row, y_row = k.y_row, at_row = k.at_row;
  for (i64 i = 0; i < (rows - 1) * S + KH; ++i) {  // what the first window sees and no other one sees as new
    const float* line = k.x + (i < KH ? k.row[i] : k.row[KH - 1] + (i - KH + 1) * (x_row / S));
    for (int w = 0; w < kSeen; ++w) {
      each_vector_as<whole>(whole ? max_of(k.C, kLanes) : k.C, 0, [&](i64 c) __attribute__((always_inline)) {
        check[0] = fma(get<whole>(line + k.px[w] + c, n), zero(), check[0]);
      });
    }
  }
  for (i64 px = 0; px < k.pixels; ++px) {
    each_vector_as<whole>(n, 0, [&](i64 c) __attribute__((always_inline)) {
      const float* x = k.x + px * k.x_px + c;
      float* y = k.y + px * k.y_px + c;
      u8* at = k.at + px * k.at_px + c;
      const auto row_max = [&](const float* line, int h) __attribute__((always_inline)) {
        Best best{};
        Vec a[KW];
        NACRE_UNROLL for (int w = 0; w < KW; ++w) {
          const float* tap = line + (w == 0 ? 0 : w == 1 ? px1 : px2);
          if (w >= kSeen) prefetch(tap + kAheadFloats);
          a[w] = in_register(get<whole>(tap, n));
          if (w == 0) best = {a[0], tap_w[0]};
          else take_larger<index, false>(best, a[w], tap_w[w]);
        }
        check[h % 2] = fma(a[KW - 1], KW - kSeen == 2 ? a[KW - 2] : zero(), check[h % 2]);
        return best;
      };
      Best line[KH];
      NACRE_UNROLL for (int h = 0; h < kShared; ++h) line[h] = row_max(h == 0 ? x : x + row1, h);
      for (i64 r = 0; r < rows; ++r) {
        NACRE_UNROLL for (int h = kShared; h < KH; ++h) line[h] = row_max(h == 0 ? x : x + (h == 1 ? row1 : row2), h);
        Best best = line[0];
        NACRE_UNROLL for (int h = 1; h < KH; ++h) {
          take_larger<index, false>(best, line[h].value, line[h].tap + tap_h[h]);
        }
        put<whole>(y, best.value, n);
        if (index) put_index<whole, false>(at, 0, best.tap, n);
        NACRE_UNROLL for (int h = 0; h < kShared; ++h) line[h] = line[h + S];
        x += x_row, y += y_row, at += at_row;
      }
    });
  }
  return any(isnan(check[0] + check[1]));
}

// Whether every window sees something of the image, and there are windows.
bool all_see_something(const Pool2DShape& s) {
  const auto along = [](i64 K, i64 S, i64 P, i64 n, i64 out) { return out > 0 && P < K && (out - 1) * S - P < n; };
  return along(s.KH, s.SH, s.PT, s.H, s.OH) && along(s.KW, s.SW, s.PL, s.W, s.OW);
}

// The taps of a window that lie within the image, and for each that does not another one behind them.
template <int K>
NACRE_INLINE void inside_taps(i64 start, i64 n, i32 (&tap)[K]) {
  const Range seen = taps_within(start, K, n);
  NACRE_UNROLL for (int k = 0; k < K; ++k) tap[k] = static_cast<i32>(min_of(seen.first + k, seen.last - 1));
}

// Windows that are whole in blocks of rows and runs of columns, those that are not one by one.
template <int KH, int KW, int S, bool index>
void max_pool_blocks(const Pool2DShape& s, Slice units, const float* x, float* y, u8* at) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = forward_rows(s), rows = s.N * s.OH, x_row = s.W * ldx;
  const bool dense = S == 1 && ldx == s.C && ldy == s.C;
  const Range inner_h = range_within(-s.PT, S, s.OH, 0, s.H - KH + 1);
  const Range inner_w = range_within(-s.PL, S, s.OW, 0, s.W - KW + 1);
  Windows<KH, KW> k{};
  k.C = s.C;
  k.x_px = S * ldx, k.x_row = S * x_row;
  k.y_px = ldy, k.y_row = s.OW * ldy;
  k.at_px = s.C, k.at_row = s.OW * s.C;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; r += k.rows) {
    const i64 n = r / s.OH, oh = r % s.OH, ih = oh * S - s.PT;
    k.rows = oh >= inner_h.first ? max_of(min_of(min_of(inner_h.last - oh, end - r), kBlockRows), 1) : 1;
    inside_taps(ih, s.H, k.tap_h);
    const i64 top = ih + k.tap_h[0];
    NACRE_UNROLL for (int h = KH - 1; h >= 0; --h) k.row[h] = (k.tap_h[h] - k.tap_h[0]) * x_row, k.tap_h[h] *= KW;
    for (i64 ow = 0, run; ow < s.OW; ow += run) {
      const i64 iw = ow * S - s.PL;
      run = ow >= inner_w.first && ow < inner_w.last ? inner_w.last - ow : 1;
      inside_taps(iw, s.W, k.tap_w);
      NACRE_UNROLL for (int w = 0; w < KW; ++w) k.px[w] = (k.tap_w[w] - k.tap_w[0]) * ldx;
      k.x = x + ((n * s.H + top) * s.W + iw + k.tap_w[0]) * ldx;
      k.y = y + (r * s.OW + ow) * ldy;
      k.at = index ? at + (r * s.OW + ow) * s.C : at;
      k.pixels = dense ? 1 : run;
      k.floats = dense ? run * s.C : s.C;
      const bool doubtful =
          k.floats < kLanes ? max_windows<KH, KW, S, false, index>(k) : max_windows<KH, KW, S, true, index>(k);
      for (i64 below = 0; doubtful && below < k.rows; ++below) {
        const i64 px = (r + below) * s.OW + ow;
        const Seen seen = window_at(s, x, n, ih + below * S, iw);
        max_pixels<index, false>(seen, run, S * ldx, s.C, y + px * ldy, ldy, at, px * s.C);
      }
    }
  }
}

template <bool index>
void max_pool_quads(const Pool2DShape& s, Slice units, const float* x, float* y, u8* at) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = forward_rows(s), rows = s.N * s.OH;
  const Range inner = range_within(-s.PL, 2, s.OW, 0, s.W - 1);
  Quads k{};
  k.C = s.C;
  k.x_px = 2 * ldx;
  k.y_px = ldy;
  // Caches foresee the upper row, which lies behind the lower one of the windows above; the lower one begins anew.
  k.ahead = s.W * ldx <= kNearRow || s.N * s.H * s.W * ldx > kNearImages ? 2 * s.W * ldx : 0;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.OH, ih = r % s.OH * 2 - s.PT;
    i32 tap_h[2], tap_w[2];
    inside_taps(ih, s.H, tap_h);
    k.row = (tap_h[1] - tap_h[0]) * s.W * ldx;
    for (i64 ow = 0; ow < s.OW; ow += k.pixels) {
      const i64 iw = ow * 2 - s.PL;
      k.pixels = ow >= inner.first && ow < inner.last ? inner.last - ow : 1;
      inside_taps(iw, s.W, tap_w);
      k.col = (tap_w[1] - tap_w[0]) * ldx;
      k.tap = 2 * tap_h[0] + tap_w[0];
      const i64 px = r * s.OW + ow;
      k.x = x + ((n * s.H + ih + tap_h[0]) * s.W + iw + tap_w[0]) * ldx;
      k.y = y + px * ldy;
      k.at = index ? at + px * s.C : at;
      if (s.C < kLanes ? max_quads<false, index>(k) : max_quads<true, index>(k)) {
        max_pixels<index, false>(window_at(s, x, n, ih, iw), k.pixels, k.x_px, s.C, k.y, ldy, at, px * s.C);
      }
    }
  }
}

template <bool index, bool wide>
void max_pool_rows(const Pool2DShape& s, Slice units, const float* x, float* y, u8* at) {
  if (all_see_something(s)) {
    if (s.KH == 3 && s.KW == 3 && s.SH == 1 && s.SW == 1) return max_pool_blocks<3, 3, 1, index>(s, units, x, y, at);
    if (s.KH == 3 && s.KW == 3 && s.SH == 2 && s.SW == 2) return max_pool_blocks<3, 3, 2, index>(s, units, x, y, at);
    if (s.KH == 2 && s.KW == 2 && s.SH == 2 && s.SW == 2) return max_pool_quads<index>(s, units, x, y, at);
  }
  const i64 ldy = ldy_of(s), step = s.SW * ldx_of(s);
  for_each_window(s, units, x, [&](const Seen& seen, i64 px, i64 run) {
    float* to = y + px * ldy;
    if (seen.nh == 0) {  // they see nothing
      for (i64 i = 0; i < run; ++i) {
        each_vector(s.C, 0, [&](auto whole, i64 c, i64 n) __attribute__((always_inline)) {
          put<whole>(to + i * ldy + c, set1(-__builtin_inff()), n);
          if (index) put_index<whole, wide>(at, (px + i) * s.C + c, set1i(0), n);
        });
      }
    } else {
      max_pixels<index, wide>(seen, run, step, s.C, to, ldy, at, px * s.C);
    }
  });
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

}  // namespace nacre::NACRE_ISA
