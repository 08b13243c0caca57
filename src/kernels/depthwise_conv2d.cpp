// Vectors run along the channels. Forward and gradient of x share one loop: a tile of pixels of one row holds its sums in
// registers, each tap's weights are read once per tile, and rows and columns at the border take the taps they have, so that
// nothing is copied. With M > 1 the input is spread to C*M channels first (gradient of x: summed afterwards), row by row.
#include "kernels/depthwise_conv2d.h"

#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr double kUnitFlops = 4e5;  // memory-bound work of some microseconds
constexpr i64 kManyUnits = 64;
constexpr i64 kPixels = 96;       // of dy per block of the weights' gradient
constexpr i64 kChannels = 64;     // per unit there: 24 KB of dy and of x in L1
constexpr i64 kCopyFloats = 16 * 1024;

Conv2DShape as_conv(const DepthwiseConv2DShape& s) {
  Conv2DShape c{};
  const Count D = Count(s.C) * Count(s.M);
  c.N = s.N, c.H = s.H, c.W = s.W, c.KH = s.KH, c.KW = s.KW, c.SH = s.SH, c.SW = s.SW, c.DH = s.DH, c.DW = s.DW;
  c.PT = s.PT, c.PL = s.PL, c.OH = s.OH, c.OW = s.OW, c.G = 1, c.bias = s.bias, c.act = s.act;
  c.C = s.C;
  c.O = D.ok() ? D.value() : -1;
  c.ldx = s.ldx, c.ldy = s.ldy;
  return c;
}

Count taps_of(const Conv2DShape& s) { return Count(s.KH) * Count(s.KW); }

i64 rows_per_unit(double row_flops, i64 rows) {
  const double want = kUnitFlops / (row_flops + 1);
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
  i64 D;
  bool relu;
};

template <int PX, bool whole>
NACRE_INLINE void tile(const Run& r, i64 p0, i64 d, i64 n) {
  Vec acc[PX];
  const Vec first = r.bias ? get<whole>(r.bias + d, n) : zero();
  NACRE_UNROLL for (int p = 0; p < PX; ++p) acc[p] = first;
  const float* x_tile = r.x + p0 * r.x_px + d;
  for (i64 h = 0; h < r.nh; ++h) {
    for (i64 w = 0; w < r.nw; ++w) {
      const Vec weight = get<whole>(r.w + h * r.w_row + w * r.w_col + d, n);
      const float* x = x_tile + h * r.x_row + w * r.x_col;
      NACRE_UNROLL for (int p = 0; p < PX; ++p) acc[p] = fma(get<whole>(x + p * r.x_px, n), weight, acc[p]);
    }
  }
  NACRE_UNROLL for (int p = 0; p < PX; ++p) {
    const i64 at = (p0 + p) * r.y_px + d;
    Vec y = acc[p];
    if (r.relu) y = max(zero(), y);
    if (r.mask) y = select(gt(get<whole>(r.mask + at, n), zero()), y);
    if (whole) store(r.y + at, y); else store(r.y + at, y, n);
  }
}

template <int PX>
void pixels(const Run& r, i64 p0) {
  i64 d = 0;
  for (; d + kLanes <= r.D; d += kLanes) tile<PX, true>(r, p0, d, kLanes);
  if (d < r.D) tile<PX, false>(r, p0, d, r.D - d);
}

void run_pixels(const Run& r, i64 n) {
  i64 p = 0;
  for (; p + 8 <= n; p += 8) pixels<8>(r, p);
  if (p + 4 <= n) {
    pixels<4>(r, p);
    p += 4;
  }
  for (; p < n; ++p) pixels<1>(r, p);
}

// All columns of axis w in one output row, which sees the taps th of axis h. x is the input row of the first of them, the
// next lies r.x_row further; pixels lie ld apart.
void run_row(const Axis& h, const Taps& th, const Axis& w, const float* x, i64 ld, const float* weights, i64 KW, Run r) {
  const Taps inner = outputs_inside(w);
  r.x_px = w.stride * ld;
  r.x_col = w.step * ld;
  r.w_row = h.k_step * KW * r.D;
  r.w_col = w.k_step * r.D;
  const i64 y_px = r.y_px;
  float* y = r.y;
  const float* mask = r.mask;
  r.y_px = y_px * w.y_step;
  for (i64 j = 0; j < w.out;) {
    const bool is_inner = j >= inner.first && j < inner.last;
    const i64 n = is_inner ? inner.last - j : 1;
    const Taps tw = is_inner ? Taps{0, w.taps} : taps_inside(w, j);
    r.nh = th.last - th.first;
    r.nw = tw.last - tw.first;
    if (r.nh > 0 && r.nw > 0) {
      r.x = x + w.at(j, tw.first) * ld;
      r.w = weights + ((h.k0 + th.first * h.k_step) * KW + w.k0 + tw.first * w.k_step) * r.D;
    } else {
      r.nh = r.nw = 0;
    }
    r.y = y + (w.y0 + j * w.y_step) * y_px;
    r.mask = mask ? mask + (w.y0 + j * w.y_step) * y_px : nullptr;
    run_pixels(r, n);
    j += n;
  }
}

// to[px][c*M + m] = from[px*ld + c]
void spread(float* to, const float* from, i64 ld, i64 px, i64 C, i64 M) {
  for (i64 i = 0; i < px; ++i) {
    for (i64 c = 0; c < C; ++c) {
      for (i64 m = 0; m < M; ++m) *to++ = from[i * ld + c];
    }
  }
}

Facts basic_facts(const Conv2DShape& c) {
  Facts f;
  f.error = conv2d_error(c);
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
  bool add;
};

template <int RT, int NT, bool whole>
void tap_sums(const Sums& s, i64 n) {
  Vec acc[RT * NT];
  NACRE_UNROLL for (int t = 0; t < RT * NT; ++t) acc[t] = zero();
  const float* dy = s.dy;
  for (i64 l = 0; l < s.lines; ++l) {
    const float* x = s.x + s.line[l];
    for (i64 i = 0; i < s.cols; ++i, x += s.x_px, dy += s.dy_px) {
      const Vec d = get<whole>(dy, n);
      NACRE_UNROLL for (int r = 0; r < RT; ++r) {
        NACRE_UNROLL for (int t = 0; t < NT; ++t) {
          acc[r * NT + t] = fma(get<whole>(x + r * s.x_row + t * s.x_col, n), d, acc[r * NT + t]);
        }
      }
    }
  }
  NACRE_UNROLL for (int r = 0; r < RT; ++r) {
    NACRE_UNROLL for (int t = 0; t < NT; ++t) {
      float* dw = s.dw + r * s.dw_row + t * s.dw_col;
      store(dw, s.add ? load(dw, n) + acc[r * NT + t] : acc[r * NT + t], n);
    }
  }
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
      const i64 left = KW - w;
      if (rows == 3) {
        tap_sums<3, 3, whole>(s, n);
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
  Facts f = basic_facts(c);
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
  const i64 per = forward_rows_of(c), ldx = ldx_of(c), ldy = ldy_of(c), row = s.W * ldx;
  float* wide = reinterpret_cast<float*>(scratch.at);
  Run r{};
  r.bias = s.bias ? b : nullptr;
  r.y_px = ldy;
  r.D = c.O;
  r.relu = s.act == 1;
  for (i64 i = units.begin * per, end = min_of(units.end * per, s.N * s.OH); i < end; ++i) {
    const i64 n = i / s.OH, oh = i % s.OH;
    const Taps th = taps_inside(h, oh);
    const float* first = th.first < th.last ? x + (n * s.H + h.at(oh, th.first)) * row : x;
    r.y = y + i * s.OW * ldy;
    if (s.M == 1) {
      r.x_row = h.step * row;
      run_row(h, th, columns, first, ldx, w, s.KW, r);
    } else {
      r.x_row = s.W * c.O;
      for (i64 t = 0; t < th.last - th.first; ++t) {
        spread(wide + t * r.x_row, first + t * h.step * row, ldx, s.W, s.C, s.M);
      }
      run_row(h, th, columns, wide, c.O, w, s.KW, r);
    }
  }
}

Facts depthwise_conv2d_grad_x_facts(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  Facts f = basic_facts(c);
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
  Run r{};
  r.D = c.O;
  r.y_px = direct ? ldx : c.O;
  for (i64 i = units.begin * per, end = min_of(units.end * per, s.N * s.H); i < end; ++i) {
    const i64 n = i / s.H, ih = i % s.H;
    const Axis h = grad_x_rows(c, ih % s.SH);
    const i64 oh = ih / s.SH;
    const Taps th = taps_inside(h, oh);
    const float* first = th.first < th.last ? dy + (n * s.OH + h.at(oh, th.first)) * row : dy;
    float* dx_row = dx + i * s.W * ldx;
    const float* mask = s.act ? x + i * s.W * ldx : nullptr;
    r.x_row = h.step * row;
    r.y = direct ? dx_row : wide;
    r.mask = direct ? mask : nullptr;
    for (i64 phase = 0; phase < min_of(s.SW, s.W); ++phase) {
      run_row(h, th, grad_x_columns(c, phase), first, ldy, w, s.KW, r);
    }
    if (direct) continue;
    for (i64 px = 0; px < s.W; ++px) {
      for (i64 k = 0; k < s.C; ++k) {
        float sum = 0.0f;
        for (i64 m = 0; m < s.M; ++m) sum += wide[px * c.O + k * s.M + m];
        dx_row[px * ldx + k] = mask && !(mask[px * ldx + k] > 0.0f) ? 0.0f : sum;
      }
    }
  }
}

Facts depthwise_conv2d_grad_w_facts(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  Facts f = basic_facts(c);
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
        if (n == kLanes) all_taps<true>(t, s.KH, s.KW, n); else all_taps<false>(t, s.KH, s.KW, n);
        if (db_part) {
          Vec sum = t.add ? load(db_part + d, n) : zero();
          for (i64 px = 0; px < t.lines * t.cols; ++px) sum += load(t.dy + px * ldy, n);
          store(db_part + d, sum, n);
        }
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
