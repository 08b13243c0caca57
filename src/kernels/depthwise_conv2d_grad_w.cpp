// Units are parts of the pixels by blocks of channels; vectors run along the channels, and the sums of a window's taps stay in
// registers: along walks (depthwise_walk.h) where the window is 3x3, else over blocks that are copied with their border.
#include "kernels/depthwise_shape.h"
#include "kernels/depthwise_wide.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr bool kEnoughRegisters = true;  // for 9 sums and 9 vectors of x
#else
constexpr bool kEnoughRegisters = false;
#endif
constexpr i64 kPixels = 400;   // of dy per block of the weights' gradient, so that borders copied twice are few
constexpr i64 kChannels = 64;  // per unit there
constexpr i64 kCopyFloats = 32 * 1024;
constexpr i64 kWideTapRows = 8;  // of dy, over which the sums of 5x5 and 7x7 are put down once

struct WeightPlan {
  Correlation q;  // over CB channels
  i64 D, CB, c_blocks, blocks, parts;
  i64 rows;  // walks: of a block
  Cut cut;
  bool ok;
};

// Of dy, whose sums are put down once.
i64 tap_rows_of(const DepthwiseConv2DShape& s) {
  return s.KH > 3 ? kWideTapRows : s.SH == 1 ? kTapRows : kTapRowsByTwo;
}

WeightPlan weight_plan(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  const i64 M = s.M;
  const double flops = static_cast<double>(c.N) * static_cast<double>(c.OH) * row_flops(c, c.OW);
  WeightPlan p{};
  p.D = c.O;
  if (walks(s) ||
      walks_wide(s)) {  // few parts first, channels only where rows do not suffice: those of a pixel lie together
    const double units = flops / kUnitFlops;
    const i64 wanted = units < kManyUnits ? max_of(static_cast<i64>(units), 1) : kManyUnits;
    p.rows = M > 1 ? kWideTapRows : tap_rows_of(s);
    p.blocks = c.N * min_of(s.DH, c.OH) * ceil_div(ceil_div(c.OH, s.DH), p.rows);
    p.parts = max_of(min_of(wanted, p.blocks), 1);
    p.CB = max_of(ceil_div(ceil_div(p.D, M == 1 ? ceil_div(wanted, p.parts) : 1), kLanes), 1) * kLanes;
    p.c_blocks = max_of(ceil_div(p.D, p.CB), 1);
    p.ok = true;
    return p;
  }
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
        NACRE_UNROLL for (int t = 0; t < NT; ++t) acc[r * NT + t] =
            fma(get<whole>(x + t * x_col, n), d, acc[r * NT + t]);
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
    const auto pixel = [&](Vec(&p0)[3], Vec(&p1)[3], Vec(&p2)[3]) __attribute__((always_inline)) {
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
    NACRE_UNROLL for (int t = 0; t < 3; ++t) { put_sum(s.dw + r * s.dw_row + t * s.dw_col, acc[r * 3 + t], s.add, n); }
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
        if (kEnoughRegisters && s.x_px == s.x_col) sliding_sums<whole>(s, n);
        else tap_sums<3, 3, whole>(s, n);
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

Facts depthwise_conv2d_grad_w_facts(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  Facts f = basic_facts(s, 2);
  if (f.error) return f;
  f.extent[0] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(c));
  f.extent[1] = pixels_extent(s.N, s.OH, s.OW, c.O, ldy_of(c));
  f.extent[2] = taps_of(c) * Count(c.O);
  f.extent[3] = Count(s.bias ? c.O : 0);
  const WeightPlan p = weight_plan(s);
  const Count window = Count(p.cut.floats + 2 * kLanes) * Count(s.M == 1 ? 1 : 2);
  const Count spread_rows = Count(p.rows > 0 && s.M > 1 ? (p.rows - 1) * s.SH + s.KH : 0);
  const Count spread = spread_rows * Count(s.W) * Count(c.O);
  const Count scratch = (window + spread + Count(p.cut.nb) * Count(p.cut.hb) * Count(2) + Count(64)) * Count(4);
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

void depthwise_conv2d_grad_w(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x,
                             const float* dy, float* dw, float* db) {
  const Conv2DShape c = as_conv(s);
  if (c.O == 0) return;
  const WeightPlan p = weight_plan(s);
  const i64 D = c.O, taps = s.KH * s.KW, ldy = ldy_of(c), y_row = p.q.YW * ldy, y_image = p.q.YH * y_row;
  i64* line = reinterpret_cast<i64*>(scratch.at);
  float* copy = reinterpret_cast<float*>(line + p.cut.nb * p.cut.hb);
  float* wide = copy + p.cut.floats + kLanes;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 d0 = u % p.c_blocks * p.CB, part = u / p.c_blocks, n_d = min_of(p.CB, D - d0);
    float* dw_part = dw + part * taps * D + d0;
    float* db_part = s.bias ? db + part * D + d0 : nullptr;
    const i64 first = p.blocks * part / p.parts, last = p.blocks * (part + 1) / p.parts;
    if (first == last || s.OW == 0) {
      for (i64 t = 0; t < taps; ++t) zero_floats(dw_part + t * D, n_d);
      if (db_part) zero_floats(db_part, n_d);
    }
    for (i64 i = first; p.rows > 0 && i < last; ++i) {
      const i64 per = ceil_div(ceil_div(s.OH, s.DH), p.rows), phases = min_of(s.DH, s.OH), ldx = ldx_of(c);
      const i64 n = i / per / phases, phase = i / per % phases, oh = i % per * p.rows;
      Image whole{s.H, s.W, s.OH,      s.OW,       s.PT, s.PL, n_d,
                  ldx, ldy, s.W * ldx, s.OW * ldy, x + n * s.H * s.W * ldx + d0};
      if (s.M > 1) {
        const i64 ih = oh * s.SH - s.PT, rows = min_of(p.rows, s.OH - oh);
        const i64 end = min_of(ih + (rows - 1) * s.SH + s.KH, s.H);
        for (i64 h = max_of(ih, 0); h < end; ++h) {
          spread(wide + (h - ih) * s.W * D, D, whole.in + h * whole.in_row, ldx, s.W, s.C, s.M);
        }
        whole.in = wide - ih * s.W * D, whole.ld_in = D, whole.in_row = s.W * D;
      }
      const float* dy_image = dy + n * s.OH * s.OW * ldy + d0;
      bool add = i > first;
      for (i64 q = 0; q < min_of(s.DW, s.OW); ++q) {
        i64 at;
        const Image image = phase_image(whole, s.DH, s.DW, phase, q, &at);
        const i64 end = min_of(oh + p.rows, image.OH), step = tap_rows_of(s);
        for (i64 h = oh; h < end; h += step, add = true) {
          const i64 some = min_of(step, end - h);
          const TapSums to{dw_part, D, db_part, add};
          if (s.KH == 7) sum_wide_block<7, 1>(image, dy_image + at, h, some, to);
          else if (s.KH == 5 && s.SH == 1) sum_wide_block<5, 1>(image, dy_image + at, h, some, to);
          else if (s.KH == 5) sum_wide_block<5, 2>(image, dy_image + at, h, some, to);
          else if (s.SH == 1) sum_tap_block<1>(image, dy_image + at, h, some, to);
          else sum_tap_block<2>(image, dy_image + at, h, some, to);
        }
      }
    }
    for (i64 i = first; p.rows == 0 && i < last; ++i) {
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
            spread(wide + (n * n_rows + r) * cols * D, D, v.x + n * v.image_step + r * row, px, cols, s.C, s.M);
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
        if (n == kLanes) all_taps<true>(t, s.KH, s.KW, n);
        else all_taps<false>(t, s.KH, s.KW, n);
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
  const i64 parts = weight_plan(s).parts, w = s.KH * s.KW * c.O, w_units = ceil_div(w, kJoinFloats);
  for (i64 u = units.begin; u < units.end; ++u) {
    if (u < w_units) {
      join_parts(u, parts, w, dw_parts, dw);
    } else {
      join_parts(u - w_units, parts, c.O, db_parts, db);
    }
  }
}

}  // namespace nacre::NACRE_ISA
