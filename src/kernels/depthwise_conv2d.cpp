// Vectors run along the channels. Forward and gradient of x share one loop: a tile of pixels of one row holds its sums in
// registers, each tap's weights are read once per tile, and rows and columns at the border take the taps they have, so that
// nothing is copied. With M > 1 the input is spread to C*M channels first (gradient of x: summed afterwards), row by row.
#include "kernels/depthwise_conv2d.h"

#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr double kUnitFlops = 4e5;  // memory-bound work of some microseconds
#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr bool kEnoughRegisters = true;  // for 9 sums and 9 vectors of x
#else
constexpr bool kEnoughRegisters = false;
#endif
constexpr i64 kManyUnits = 64;
constexpr i64 kKnownPhases = 3;  // of strided gradients are worked out once per slice, not once per row
constexpr i64 kPixels = 400;  // of dy per block of the weights' gradient, so that borders copied twice are few
constexpr i64 kChannels = 64;  // per unit there
constexpr i64 kCopyFloats = 32 * 1024;

Conv2DShape as_conv(const DepthwiseConv2DShape& s) {
  Conv2DShape c{};
  const Count D = Count(s.C) * Count(s.M);
  c.N = s.N, c.H = s.H, c.W = s.W, c.KH = s.KH, c.KW = s.KW, c.SH = s.SH, c.SW = s.SW, c.DH = s.DH, c.DW = s.DW;
  c.PT = s.PT, c.PL = s.PL, c.OH = s.OH, c.OW = s.OW, c.G = 1, c.bias = s.bias;
  c.C = s.C;
  c.O = D.ok() ? D.value() : -1;
  c.ldx = s.ldx, c.ldy = s.ldy;
  return c;
}

Count taps_of(const Conv2DShape& s) { return Count(s.KH) * Count(s.KW); }

i64 rows_per_unit(double row_flops, i64 rows) {
  const double at_least = static_cast<double>(min_of(8, ceil_div(rows, kManyUnits)));  // rows share input
  double want = kUnitFlops / (row_flops + 1);
  want = want < at_least ? at_least : want;
  return want >= static_cast<double>(rows) ? max_of(rows, 1) : max_of(static_cast<i64>(want), 1);
}
double row_flops(const Conv2DShape& s, i64 width) {
  return 2.0 * static_cast<double>(width) * static_cast<double>(s.O) * static_cast<double>(s.KH) * static_cast<double>(s.KW);
}
i64 forward_rows_of(const Conv2DShape& s) { return rows_per_unit(row_flops(s, s.OW), s.N * s.OH); }
i64 grad_x_rows_of(const Conv2DShape& s) {
  return rows_per_unit(row_flops(s, s.W) / static_cast<double>(s.SH) / static_cast<double>(s.SW), s.N * s.H);
}

template <bool whole>
NACRE_INLINE Vec get(const float* p, i64 n) {
  return whole ? load(p) : load(p, n);
}

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
  i64 D;       // channels of this pass, of `all` in the weights
  i64 all;
  float floor, ceiling;  // of y
};

struct Bounds {
  Vec floor, ceiling;
};

template <bool masked, bool whole>
NACRE_INLINE void finish(float* y, const float* mask, Vec sum, Bounds within, i64 n) {
  sum = min(within.ceiling, max(within.floor, sum));  // keeps NaN
  if (masked) sum = select(gt(get<whole>(mask, n), zero()), sum);
  if (whole) store(y, sum); else store(y, sum, n);
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

// PX pixels, one vector of channels, windows of 3 columns where the next pixel is the next column: each vector of x is
// loaded once for three pixels. At an edge the column outside the image is left out.
template <int PX, bool left_edge, bool right_edge, bool masked, bool whole>
NACRE_INLINE void slide(const Run& r, Bounds within, i64 p0, i64 d, i64 n) {
  Vec acc[PX];
  const Vec first = r.bias ? get<whole>(r.bias + d, n) : zero();
  NACRE_UNROLL for (int p = 0; p < PX; ++p) acc[p] = first;
  const i64 x_px = r.x_px, w_col = r.w_col;
  const float* x_row = r.x + p0 * x_px + d;
  const float* w_row = r.w + d;
  for (i64 h = 0; h < r.nh; ++h, x_row += r.x_row, w_row += r.w_row) {
    const Vec w0 = get<whole>(w_row, n), w1 = get<whole>(w_row + w_col, n), w2 = get<whole>(w_row + 2 * w_col, n);
    const float* x = x_row;
    NACRE_UNROLL for (int j = 0; j < PX + 2; ++j, x += x_px) {
      if ((left_edge && j == 0) || (right_edge && j == PX + 1)) continue;
      const Vec a = in_register(get<whole>(x, n));
      constexpr int last = PX - 1;
      if (j <= last) acc[j <= last ? j : 0] = fma(a, w0, acc[j <= last ? j : 0]);
      if (j >= 1 && j - 1 <= last) acc[j >= 1 && j - 1 <= last ? j - 1 : 0] = fma(a, w1, acc[j >= 1 && j - 1 <= last ? j - 1 : 0]);
      if (j >= 2) acc[j >= 2 ? j - 2 : 0] = fma(a, w2, acc[j >= 2 ? j - 2 : 0]);
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

template <int PX, bool left_edge, bool right_edge, bool masked>
void slide_pixels(const Run& r, Bounds within, i64 p0) {
  i64 d = 0;
  for (; d + kLanes <= r.D; d += kLanes) slide<PX, left_edge, right_edge, masked, true>(r, within, p0, d, kLanes);
  if (d < r.D) slide<PX, left_edge, right_edge, masked, false>(r, within, p0, d, r.D - d);
}

template <int PX, bool masked>
void tile_pixels(const Run& r, Bounds within, i64 p0) {
  i64 d = 0;
  for (; d + kLanes <= r.D; d += kLanes) tile<PX, masked, true>(r, within, p0, d, kLanes);
  if (d < r.D) tile<PX, masked, false>(r, within, p0, d, r.D - d);
}

// n >= PX pixels in tiles of PX; the last one may overlap the one before, computing the same again.
template <int PX, bool masked>
void slide_run(const Run& r, Bounds within, i64 n, bool left_edge, bool right_edge) {
  if (n == PX && left_edge && right_edge) return slide_pixels<PX, true, true, masked>(r, within, 0);
  i64 p = 0;
  if (left_edge) {
    slide_pixels<PX, true, false, masked>(r, within, 0);
    p = PX;
  }
  const i64 end = right_edge ? n - PX : n;
  for (; p < end; p += PX) slide_pixels<PX, false, false, masked>(r, within, min_of(p, n - PX - (right_edge ? 1 : 0)));
  if (right_edge) slide_pixels<PX, false, true, masked>(r, within, n - PX);
}

// slides: see slide(); the edges are those of its first and last pixel.
template <bool masked>
void run_pixels(const Run& r, i64 n, bool slides, bool left_edge, bool right_edge) {
  const Bounds within{set1(r.floor), set1(r.ceiling)};
  if (slides && n >= 9) return slide_run<8, masked>(r, within, n, left_edge, right_edge);
  if (slides && n == 7) return slide_run<7, masked>(r, within, n, left_edge, right_edge);
  if (slides && n >= 5) return slide_run<4, masked>(r, within, n, left_edge, right_edge);
  if (n >= 8) {
    for (i64 p = 0; p < n; p += 8) tile_pixels<8, masked>(r, within, min_of(p, n - 8));
    return;
  }
  if (n >= 4) {
    for (i64 p = 0; p < n; p += 4) tile_pixels<4, masked>(r, within, min_of(p, n - 4));
    return;
  }
  for (i64 p = 0; p < n; ++p) {
    i64 d = 0;
    for (; d + 4 * kLanes <= r.D; d += 4 * kLanes) pixel<4, masked, true>(r, within, p, d, kLanes);
    for (; d + kLanes <= r.D; d += kLanes) pixel<1, masked, true>(r, within, p, d, kLanes);
    if (d < r.D) pixel<1, masked, false>(r, within, p, d, r.D - d);
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
  // Windows of three columns, one of which lies outside at either end, all go together.
  const bool slides = nh > 0 && w.taps == 3 && w.step == w.stride && inner.last - inner.first >= 3;
  const bool left = slides && inner.first > 0 && taps_inside(w, inner.first - 1).first == 1;
  const bool right = slides && inner.last < w.out && taps_inside(w, inner.last).last == 2;
  const i64 run0 = inner.first - (left ? 1 : 0), run1 = inner.last + (right ? 1 : 0);
  for (i64 j = 0; j < w.out;) {
    const bool is_run = j >= run0 && j < run1;
    const i64 n = is_run ? run1 - j : 1;
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
      run_pixels<true>(r, n, is_run && slides, left, right);
    } else {
      run_pixels<false>(r, n, is_run && slides, left, right);
    }
    j += n;
  }
  r.y_px = y_px;
  r.y = y;
  r.mask = mask;
}

// to[px][c*M + m] = from[px*ld + c]
void spread(float* to, const float* from, i64 ld, i64 px, i64 C, i64 M) {
  for (i64 i = 0; i < px; ++i) {
    for (i64 c = 0; c < C; ++c) {
      for (i64 m = 0; m < M; ++m) *to++ = from[i * ld + c];
    }
  }
}

// dx[px][c] = sum_m wide[px][c*M + m] for a row, masked where there is a mask
void sum_outputs(const DepthwiseConv2DShape& s, const float* wide, const float* mask, float* dx, i64 ldx) {
  for (i64 px = 0; px < s.W; ++px) {
    for (i64 k = 0; k < s.C; ++k) {
      float sum = 0.0f;
      for (i64 m = 0; m < s.M; ++m) sum += wide[(px * s.C + k) * s.M + m];
      dx[px * ldx + k] = mask && !(mask[px * ldx + k] > 0.0f) ? 0.0f : sum;
    }
  }
}

// Channels that go over all rows of a slice together: few enough that the rows of a window stay in L1.
i64 pass_channels(i64 D, i64 M) { return M == 1 ? min_of(max_of(D, 1), 4 * i64{kLanes}) : max_of(D, 1); }

Facts basic_facts(const DepthwiseConv2DShape& s, i64 acts) {
  const Conv2DShape c = as_conv(s);
  Facts f;
  f.error = conv2d_error(c);
  if (!f.error && (s.act < 0 || s.act >= acts)) f.error = acts == 3 ? "act is 0, 1 or 2" : "act is 0 or 1";
  if (!f.error && !taps_of(c).ok()) f.error = "the problem is too large";
  if (!f.error) f.flops = static_cast<double>(c.N) * static_cast<double>(c.OH) * row_flops(c, c.OW);
  return f;
}

struct WeightPlan {
  Correlation q;  // over CB channels
  i64 D, CB, c_blocks, blocks, parts;
  Cut cut;
  bool ok;
};

WeightPlan weight_plan(const Conv2DShape& c, i64 M) {
  WeightPlan p{};
  p.D = c.O;
  p.CB = M == 1 ? min_of(max_of(p.D, 1), kChannels) : max_of(p.D, 1);
  p.c_blocks = max_of(ceil_div(p.D, p.CB), 1);
  Conv2DShape one = c;
  one.C = one.O = p.CB;
  one.ldx = c.ldx ? c.ldx : c.C;
  one.ldy = ldy_of(c);
  p.q = forward_correlation(one);
  p.cut = cut_blocks(p.q, kPixels, kCopyFloats, M == 1);  // no patches where channels are spread
  const Count blocks = Count(p.cut.n_blocks) * Count(p.cut.h_blocks) * Count(p.cut.w_blocks);
  p.ok = blocks.ok();
  if (!p.ok) return p;
  p.blocks = blocks.value();
  const double flops = static_cast<double>(c.N) * static_cast<double>(c.OH) * row_flops(c, c.OW);
  i64 parts = ceil_div(kManyUnits, p.c_blocks);
  const double most = flops / static_cast<double>(p.c_blocks) / kUnitFlops;
  if (most < static_cast<double>(parts)) parts = static_cast<i64>(most);
  p.parts = max_of(min_of(parts, p.blocks), 1);
  return p;
}

// Sums over the pixels of a block for NT taps of one row of the window, one vector of channels:
// dw[t] (+)= sum_px x[px + t] dy[px].
struct Sums {
  const float* x;
  const i64* line;
  i64 lines, cols, x_px, x_col, x_row;
  const float* dy;
  i64 dy_px;
  float* dw;
  i64 dw_col, dw_row;
  float* db;  // null: not asked for
  bool add;
};

NACRE_INLINE void put_sum(float* to, Vec sum, bool add, i64 n) { store(to, add ? load(to, n) + sum : sum, n); }

template <int RT, int NT, bool whole>
__attribute__((noinline)) void tap_sums(const Sums& s, i64 n) {
  Vec acc[RT * NT], total = zero();
  NACRE_UNROLL for (int t = 0; t < RT * NT; ++t) acc[t] = zero();
  const float* dy = s.dy;
  const i64 x_row = s.x_row, x_col = s.x_col, x_px = s.x_px, dy_px = s.dy_px, cols = s.cols;
  for (i64 l = 0; l < s.lines; ++l) {
    const float* x_line = s.x + s.line[l];
    for (i64 i = 0; i < cols; ++i, x_line += x_px, dy += dy_px) {
      const Vec d = get<whole>(dy, n);
      total += d;
      const float* x = x_line;
      NACRE_UNROLL for (int r = 0; r < RT; ++r, x += x_row) {
        NACRE_UNROLL for (int t = 0; t < NT; ++t) acc[r * NT + t] = fma(get<whole>(x + t * x_col, n), d, acc[r * NT + t]);
      }
    }
  }
  NACRE_UNROLL for (int r = 0; r < RT; ++r) {
    NACRE_UNROLL for (int t = 0; t < NT; ++t) {
      put_sum(s.dw + r * s.dw_row + t * s.dw_col, acc[r * NT + t], s.add, n);
    }
  }
  if (s.db) put_sum(s.db, total, s.add, n);
}

// 3x3 where the next pixel is the next column: nine vectors of x stay in registers and move on by one column a pixel, so
// that three are loaded instead of nine.
template <bool whole>
__attribute__((noinline)) void sliding_sums(const Sums& s, i64 n) {
  Vec acc[9], total = zero();
  NACRE_UNROLL for (int t = 0; t < 9; ++t) acc[t] = zero();
  const float* dy = s.dy;
  const i64 x_row = s.x_row, x_px = s.x_px, dy_px = s.dy_px, cols = s.cols;
  for (i64 l = 0; l < s.lines; ++l) {
    const float* x = s.x + s.line[l];
    Vec a[3], b[3], c[3];  // columns i, i+1, i+2
    NACRE_UNROLL for (int r = 0; r < 3; ++r) {
      a[r] = get<whole>(x + r * x_row, n);
      b[r] = get<whole>(x + r * x_row + x_px, n);
    }
    x += 2 * x_px;
    const auto pixel = [&](Vec (&p0)[3], Vec (&p1)[3], Vec (&p2)[3]) __attribute__((always_inline)) {
      const Vec d = get<whole>(dy, n);
      total += d;
      NACRE_UNROLL for (int r = 0; r < 3; ++r) {
        p2[r] = in_register(get<whole>(x + r * x_row, n));
        acc[3 * r] = fma(p0[r], d, acc[3 * r]);
        acc[3 * r + 1] = fma(p1[r], d, acc[3 * r + 1]);
        acc[3 * r + 2] = fma(p2[r], d, acc[3 * r + 2]);
      }
      x += x_px;
      dy += dy_px;
    };
    i64 i = 0;
    for (; i + 3 <= cols; i += 3) {
      pixel(a, b, c);
      pixel(b, c, a);
      pixel(c, a, b);
    }
    if (i < cols) pixel(a, b, c);
    if (i + 1 < cols) pixel(b, c, a);
  }
  NACRE_UNROLL for (int r = 0; r < 3; ++r) {
    NACRE_UNROLL for (int t = 0; t < 3; ++t) {
      put_sum(s.dw + r * s.dw_row + t * s.dw_col, acc[r * 3 + t], s.add, n);
    }
  }
  if (s.db) put_sum(s.db, total, s.add, n);
}

template <bool whole>
void all_taps(Sums s, i64 KH, i64 KW, i64 n) {
  const float* x = s.x;
  float* dw = s.dw;
  const i64 rows = KW == 3 && KH % 3 == 0 ? 3 : 1;
  for (i64 h = 0; h < KH; h += rows) {
    for (i64 w = 0; w < KW;) {
      s.x = x + h * s.x_row + w * s.x_col;
      s.dw = dw + h * s.dw_row + w * s.dw_col;
      if (h + w > 0) s.db = nullptr;  // the first pass has done it
      const i64 left = KW - w;
      if (rows == 3) {
        if (kEnoughRegisters && s.x_px == s.x_col) sliding_sums<whole>(s, n); else tap_sums<3, 3, whole>(s, n);
        w += 3;
      } else if (left >= 7) {
        tap_sums<1, 7, whole>(s, n);
        w += 7;
      } else if (left >= 5) {
        tap_sums<1, 5, whole>(s, n);
        w += 5;
      } else if (left >= 3) {
        tap_sums<1, 3, whole>(s, n);
        w += 3;
      } else if (left == 2) {
        tap_sums<1, 2, whole>(s, n);
        w += 2;
      } else {
        tap_sums<1, 1, whole>(s, n);
        w += 1;
      }
    }
  }
}

}  // namespace

Facts depthwise_conv2d_facts(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  Facts f = basic_facts(s, 3);
  if (f.error) return f;
  f.extent[0] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(c));
  f.extent[1] = taps_of(c) * Count(c.O);
  f.extent[2] = Count(s.bias ? c.O : 0);
  f.extent[3] = pixels_extent(s.N, s.OH, s.OW, c.O, ldy_of(c));
  const Count scratch = s.M == 1 ? Count(0) : Count(s.KH) * Count(s.W) * Count(c.O) * Count(4);
  if (!f.extent[0].ok() || !f.extent[3].ok() || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = ceil_div(s.N * s.OH, forward_rows_of(c));
  f.scratch = scratch.value();
  return f;
}

void depthwise_conv2d(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x, const float* w,
                      const float* b, float* y) {
  const Conv2DShape c = as_conv(s);
  const Axis h = forward_rows(c), columns = forward_columns(c);
  const Taps inner = outputs_inside(columns);
  const i64 per = forward_rows_of(c), ldx = ldx_of(c), ldy = ldy_of(c), row = s.W * ldx;
  float* wide = reinterpret_cast<float*>(scratch.at);
  const i64 end = min_of(units.end * per, s.N * s.OH);
  for (i64 i = units.begin * per; i < end;) {
    const i64 n = i / s.OH, stop = min_of(end, (n + 1) * s.OH);
    for (i64 d = 0; d < c.O; d += pass_channels(c.O, s.M)) {
      Run r{};
      r.bias = s.bias ? b + d : nullptr;
      r.y_px = ldy;
      r.D = min_of(c.O - d, pass_channels(c.O, s.M));
      r.all = c.O;
      r.floor = s.act ? 0.0f : -__builtin_inff();
      r.ceiling = s.act == 2 ? 6.0f : __builtin_inff();
      for (i64 k = i; k < stop; ++k) {
        const i64 oh = k % s.OH;
        const Taps th = taps_inside(h, oh);
        const float* first = th.first < th.last ? x + (n * s.H + h.at(oh, th.first)) * row : x;
        r.y = y + k * s.OW * ldy + d;
        if (s.M == 1) {
          r.x_row = h.step * row;
          run_row(h, th, columns, inner, first + d, ldx, w + d, s.KW, r);
        } else {
          r.x_row = s.W * c.O;
          for (i64 t = 0; t < th.last - th.first; ++t) {
            spread(wide + t * r.x_row, first + t * h.step * row, ldx, s.W, s.C, s.M);
          }
          run_row(h, th, columns, inner, wide, c.O, w, s.KW, r);
        }
      }
    }
    i = stop;
  }
}

Facts depthwise_conv2d_grad_x_facts(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  Facts f = basic_facts(s, 2);
  if (f.error) return f;
  f.extent[0] = pixels_extent(s.N, s.OH, s.OW, c.O, ldy_of(c));
  f.extent[1] = taps_of(c) * Count(c.O);
  f.extent[3] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(c));
  f.extent[2] = s.act ? f.extent[3] : Count(0);
  const Count scratch = s.M == 1 ? Count(0) : Count(s.W) * Count(c.O) * Count(4);
  if (!f.extent[0].ok() || !f.extent[3].ok() || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = ceil_div(s.N * s.H, grad_x_rows_of(c));
  f.scratch = scratch.value();
  return f;
}

void depthwise_conv2d_grad_x(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* dy, const float* w,
                             const float* x, float* dx) {
  const Conv2DShape c = as_conv(s);
  const i64 per = grad_x_rows_of(c), ldx = ldx_of(c), ldy = ldy_of(c), row = s.OW * ldy;
  float* wide = reinterpret_cast<float*>(scratch.at);
  const bool direct = s.M == 1;
  Axis rows[kKnownPhases], columns[kKnownPhases];
  Taps inner[kKnownPhases];
  for (i64 phase = 0; phase < kKnownPhases; ++phase) {
    rows[phase] = grad_x_rows(c, phase);
    columns[phase] = grad_x_columns(c, phase);
    inner[phase] = outputs_inside(columns[phase]);
  }
  const i64 end = min_of(units.end * per, s.N * s.H);
  if (s.M == 0) {
    for (i64 px = units.begin * per * s.W; px < end * s.W; ++px) zero_floats(dx + px * ldx, s.C);
    return;
  }
  for (i64 i = units.begin * per; i < end;) {
    const i64 n = i / s.H, stop = min_of(end, (n + 1) * s.H);
    for (i64 d = 0; d < c.O; d += pass_channels(c.O, s.M)) {
      Run r{};
      r.D = min_of(c.O - d, pass_channels(c.O, s.M));
      r.all = c.O;
      r.y_px = direct ? ldx : c.O;
      r.floor = -__builtin_inff();
      r.ceiling = __builtin_inff();
      for (i64 k = i; k < stop; ++k) {
        const i64 ih = k % s.H, oh = ih / s.SH;
        const Axis h = ih % s.SH < kKnownPhases ? rows[ih % s.SH] : grad_x_rows(c, ih % s.SH);
        const Taps th = taps_inside(h, oh);
        const float* first = th.first < th.last ? dy + (n * s.OH + h.at(oh, th.first)) * row : dy;
        const float* mask = s.act ? x + k * s.W * ldx : nullptr;
        r.x_row = h.step * row;
        r.y = direct ? dx + k * s.W * ldx + d : wide;
        r.mask = direct && mask ? mask + d : nullptr;
        for (i64 phase = 0; phase < min_of(s.SW, s.W); ++phase) {
          const bool known = phase < kKnownPhases;
          const Axis axis = known ? columns[phase] : grad_x_columns(c, phase);
          run_row(h, th, axis, known ? inner[phase] : outputs_inside(axis), first + d, ldy, w + d, s.KW, r);
        }
        if (!direct) sum_outputs(s, wide, mask, dx + k * s.W * ldx, ldx);
      }
    }
    i = stop;
  }
}

Facts depthwise_conv2d_grad_w_facts(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  Facts f = basic_facts(s, 2);
  if (f.error) return f;
  f.extent[0] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(c));
  f.extent[1] = pixels_extent(s.N, s.OH, s.OW, c.O, ldy_of(c));
  f.extent[2] = taps_of(c) * Count(c.O);
  f.extent[3] = Count(s.bias ? c.O : 0);
  const WeightPlan p = weight_plan(c, s.M);
  const Count window = Count(p.cut.floats + 2 * kLanes) * Count(s.M == 1 ? 1 : 2);
  const Count scratch = (window + Count(p.cut.nb) * Count(p.cut.hb) * Count(2) + Count(64)) * Count(4);
  const Count units = Count(p.parts) * Count(p.c_blocks);
  if (!f.extent[0].ok() || !f.extent[1].ok() || !p.ok || !scratch.ok() || !units.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.extent[2] = Count(p.parts) * f.extent[2];
  f.extent[3] = Count(p.parts) * f.extent[3];
  f.units = units.value();
  f.scratch = scratch.value();
  return f;
}

void depthwise_conv2d_grad_w(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                             float* dw, float* db) {
  const Conv2DShape c = as_conv(s);
  if (c.O == 0) return;
  const WeightPlan p = weight_plan(c, s.M);
  const i64 D = c.O, taps = s.KH * s.KW, ldy = ldy_of(c), y_row = p.q.YW * ldy, y_image = p.q.YH * y_row;
  i64* line = reinterpret_cast<i64*>(scratch.at);
  float* copy = reinterpret_cast<float*>(line + p.cut.nb * p.cut.hb);
  float* wide = copy + p.cut.floats + kLanes;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 d0 = u % p.c_blocks * p.CB, part = u / p.c_blocks, n_d = min_of(p.CB, D - d0);
    float* dw_part = dw + part * taps * D + d0;
    float* db_part = s.bias ? db + part * D + d0 : nullptr;
    const i64 first = p.blocks * part / p.parts, last = p.blocks * (part + 1) / p.parts;
    if (first == last) {
      for (i64 t = 0; t < taps; ++t) zero_floats(dw_part + t * D, n_d);
      if (db_part) zero_floats(db_part, n_d);
    }
    for (i64 i = first; i < last; ++i) {
      const Block b = block_at(p.q, p.cut, i);
      const View v = view_block(p.q, p.cut, b, x + (s.M == 1 ? d0 : 0), s.M == 1 ? n_d : s.C, copy);
      i64 image_step = v.image_step, row_step = v.row_step;
      Sums t{};
      t.x = v.x;
      t.x_px = v.px_step;
      t.x_col = v.tap_col;
      t.x_row = v.tap_row;
      if (s.M > 1 && n_d > 0) {  // the same window, with C*M channels
        const i64 n_rows = p.q.h.span(b.hb), cols = p.q.w.span(b.wb);
        const i64 px = v.tap_col / p.q.w.step, row = v.tap_row / p.q.h.step;
        for (i64 n = 0; n < b.nb; ++n) {
          for (i64 r = 0; r < n_rows; ++r) {
            spread(wide + (n * n_rows + r) * cols * D, v.x + n * v.image_step + r * row, px, cols, s.C, s.M);
          }
        }
        t.x = wide;
        t.x_px = p.q.w.stride * D;
        t.x_col = p.q.w.step * D;
        t.x_row = p.q.h.step * cols * D;
        row_step = p.q.h.stride * cols * D;
        image_step = n_rows * cols * D;
      }
      for (i64 n = 0, l = 0; n < b.nb; ++n) {
        for (i64 h = 0; h < b.hb; ++h, ++l) line[l] = n * image_step + h * row_step;
      }
      t.line = line;
      t.lines = b.nb * b.hb;
      t.cols = b.wb;
      t.dy_px = ldy;
      t.dw_col = D;
      t.dw_row = s.KW * D;
      t.add = i > first;
      const float* dy_block = dy + b.n0 * y_image + b.h0 * y_row + b.w0 * ldy + d0;
      const float* x_block = t.x;
      for (i64 d = 0; d < n_d; d += kLanes) {
        const i64 n = min_of(n_d - d, kLanes);
        t.x = x_block + d;
        t.dy = dy_block + d;
        t.dw = dw_part + d;
        t.db = db_part ? db_part + d : nullptr;
        if (n == kLanes) all_taps<true>(t, s.KH, s.KW, n); else all_taps<false>(t, s.KH, s.KW, n);
      }
    }
  }
}

Facts depthwise_conv2d_grad_w_join_facts(const DepthwiseConv2DShape& s) {
  Facts f = depthwise_conv2d_grad_w_facts(s);
  if (f.error || !f.extent[2].ok() || !f.extent[3].ok()) return f;
  const Conv2DShape c = as_conv(s);
  const Count w = taps_of(c) * Count(c.O), b(s.bias ? c.O : 0);
  f.extent[0] = f.extent[2];
  f.extent[1] = f.extent[3];
  f.extent[2] = w;
  f.extent[3] = b;
  f.flops = static_cast<double>(f.extent[0].value()) + static_cast<double>(f.extent[1].value());
  f.scratch = 0;
  f.units = ceil_div(w.value(), kJoinFloats) + ceil_div(b.value(), kJoinFloats);
  return f;
}

void depthwise_conv2d_grad_w_join(const DepthwiseConv2DShape& s, Slice units, const float* dw_parts,
                                  const float* db_parts, float* dw, float* db) {
  const Conv2DShape c = as_conv(s);
  const i64 parts = weight_plan(c, s.M).parts, w = s.KH * s.KW * c.O, w_units = ceil_div(w, kJoinFloats);
  for (i64 u = units.begin; u < units.end; ++u) {
    if (u < w_units) {
      join_parts(u, parts, w, dw_parts, dw);
    } else {
      join_parts(u - w_units, parts, c.O, db_parts, db);
    }
  }
}

}  // namespace nacre::NACRE_ISA
