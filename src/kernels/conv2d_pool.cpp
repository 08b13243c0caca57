// The forward pass: a register tile of whole pooling windows, whose sums meet in a maximum before anything is stored.
#include "kernels/conv2d_pool.h"

#include "kernels/conv2d_pool_windows.h"
#include "kernels/conv2d_tile.h"

namespace nacre::NACRE_ISA {

const char* conv2d_pool_error(const Conv2DPoolShape& s) {
  if (const char* error = conv2d_error(conv_of(s))) return error;
  if (s.P != 2 && s.P != 3) return "P must be 2 or 3";
  if (s.index < 0 || s.index > 1 || s.mask < 0 || s.mask > 1) return "index and mask are 0 or 1";
  return nullptr;
}

Conv2DShape conv_of(const Conv2DPoolShape& s) {
  return {s.N,  s.H,  s.W,  s.C,  s.O, s.KH,   s.KW,  s.SH,  s.SW,  s.DH, s.DW,
          s.PT, s.PL, s.OH, s.OW, s.G, s.bias, s.act, s.ldx, s.ldy, 0,    0};
}

Correlation window_correlation(const Conv2DPoolShape& s, i64 channels) {
  const Conv2DShape c = conv_of(s);
  const i64 PH = s.OH / s.P, PW = s.OW / s.P;
  const Axis h{PH, s.SH * s.P, -s.PT, 1, (s.P - 1) * s.SH + (s.KH - 1) * s.DH + 1, s.H, 0, 1, 0, 1};
  const Axis w{PW, s.SW * s.P, -s.PL, 1, (s.P - 1) * s.SW + (s.KW - 1) * s.DW + 1, s.W, 0, 1, 0, 1};
  return {s.N, h, w, channels, ldx_of(c), PW, PH, ldy_of(c)};
}

WindowView view_windows(const Conv2DPoolShape& s, const Correlation& q, const Cut& cut, const Block& b, const float* x,
                        i64 channels, float* copy, bool may_point) {
  const View v = view_block(q, cut, b, x, channels, copy, may_point);
  return {
      v.x, v.px_step, v.row_step, v.image_step, s.SH * v.tap_row, s.SW * v.tap_col, s.DH * v.tap_row, s.DW * v.tap_col};
}

double dense_flops(const Conv2DPoolShape& s) {
  const auto d = [](i64 v) { return static_cast<double>(v); };
  return 2.0 * d(s.N) * d(s.OH / s.P) * d(s.OW / s.P) * d(s.P * s.P) * d(s.O) * d(s.KH) * d(s.KW) * d(s.C);
}

const char* pool_grad_error(const Conv2DPoolShape& s, Count& x, Count& dy, Count& y, Count& index, Count& w) {
  if (const char* error = conv2d_pool_error(s)) return error;
  if (s.G != 1) return "gradients behind a pooling need G = 1";
  const Conv2DShape c = conv_of(s);
  const i64 PH = s.OH / s.P, PW = s.OW / s.P;
  x = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(c));
  dy = pixels_extent(s.N, PH, PW, s.O, ldy_of(c));
  y = s.act ? dy : Count(0);
  index = Count(s.N) * Count(PH) * Count(PW) * Count(s.O);
  w = Count(s.KH) * Count(s.KW) * Count(s.C) * Count(s.O);
  const Count reach = Count(s.N) * Count(s.H + 2 * s.P * s.SH) * Count(s.W + 2 * s.P * s.SW) * Count(ldx_of(c));
  if (!x.ok() || !dy.ok() || !index.ok() || !w.ok() || !reach.ok()) return "the problem is too large";
  return nullptr;
}

namespace {

constexpr i64 kCopyFloats = 48 * 1024;
constexpr i64 kPanelFloats = 96 * 1024;
constexpr double kUnitFlops = 1e6;
constexpr i64 kManyUnits = 64;
// Windows of a tile: 12 pixels at P 2 and 9 at P 3 with 32 registers, else 4 pixels, and 9 of one vector.
constexpr i64 kTileWindows = kWidePx / 4;

struct Plan {
  Correlation q;
  i64 Og, K, panels, together, sets, blocks;
  Cut cut;
  bool ok;
};

Plan plan(const Conv2DPoolShape& s) {
  Plan p{};
  p.q = window_correlation(s, s.C / s.G);
  p.Og = s.O / s.G;
  const Count K = Count(s.KH) * Count(s.KW) * Count(s.C / s.G);
  p.K = K.ok() ? K.value() : i64{1} << 60;
  p.panels = ceil_div(p.Og, kPanel);
  p.sets = max_of(ceil_div(p.panels, max_of(kPanelFloats / kPanel / max_of(p.K, 1), 1)), 1);
  p.together = ceil_div(p.panels, p.sets);
  p.sets = p.together > 0 ? ceil_div(p.panels, p.together) : 0;
  const double windows = static_cast<double>(s.N) * static_cast<double>(p.q.h.out) * static_cast<double>(p.q.w.out);
  const double flops = 2.0 * static_cast<double>(s.P * s.P) * static_cast<double>(p.K) *
                           static_cast<double>(min_of(p.Og, p.together * kPanel)) +
                       1;
  double want = windows * static_cast<double>(max_of(s.G * p.sets, 1)) / kManyUnits;
  if (want > 512) want = 512;
  if (want * flops < kUnitFlops) want = kUnitFlops / flops;
  p.cut = cut_blocks(p.q, want > 1024 ? 1024 : static_cast<i64>(want) + 1, kCopyFloats, false);
  const Count blocks = Count(p.cut.n_blocks) * Count(p.cut.h_blocks) * Count(p.cut.w_blocks);
  p.ok = K.ok() && blocks.ok();
  p.blocks = blocks.value();
  return p;
}

i64 round16(i64 n) { return ceil_div(n, 16) * 16; }

// Floats: panels, block copy, then per window P*P offsets into x and one into y and index each.
Count scratch_floats(const Plan& p, i64 P) {
  return Count(p.K) * Count(p.together * kPanel) + Count(round16(p.cut.floats) + 16) +
         Count(p.cut.nb) * Count(p.cut.hb) * Count(p.cut.wb) * Count(2 * (P * P + 2)) + Count(64);
}

struct PoolArgs {
  TileArgs t;  // y_at counts windows
  const i64* index_at;
  u8* index;  // null: none
};

// WN windows of P x P positions, from window w0 on; sliding: of one row.
template <int WN, int P, int NV, bool sliding>
void pool_tile(const PoolArgs& a, i64 w0) {
  constexpr int PP = P * P;
  const TileArgs& t = a.t;
  Vec acc[WN * PP][NV];
  if constexpr (sliding) {
    slide_sums<P, WN * P, NV, 3>(t, w0 * PP, acc);
  } else {
    tile_sums<WN * PP, NV, false>(t, w0 * PP, acc);
  }
  Vec total[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) {
    total[v] = acc[0][v];
    NACRE_UNROLL for (int i = 1; i < WN * PP; ++i) total[v] += acc[i][v];
    if (v > 0) total[0] += total[v];
  }
  const bool numbers = !any(isnan(total[0]));  // infinities may look like NaN, which costs time only
  NACRE_UNROLL for (int j = 0; j < WN; ++j) {
    float* y = t.y + t.y_at[w0 + j];
    NACRE_UNROLL for (int v = 0; v < NV; ++v) {
      Vec sum[PP], best;
      VecI where;
      NACRE_UNROLL for (int i = 0; i < PP; ++i) sum[i] = acc[sliding ? (i / P * WN + j) * P + i % P : j * PP + i][v];
      if (numbers) {
        if (t.act) sum[0] = max(zero(), sum[0]);  // enough for all: where none is positive, the first is the largest
        first_largest_number(sum, best, where);
      } else {
        NACRE_UNROLL for (int i = 0; i < PP; ++i) sum[i] = t.act ? max(zero(), sum[i]) : sum[i];
        first_largest(sum, best, where);
      }
      store_some(y + v * kLanes, best, t.n - v * kLanes);
      if (a.index) store_index(a.index + a.index_at[w0 + j] + v * kLanes, where, t.n - v * kLanes);
    }
  }
}

template <int P, int NV, bool sliding>
void pool_tiles(const PoolArgs& a, i64 w, i64 windows) {
  constexpr i64 most = P == 3 ? 1 : sliding ? (NV == 1 ? kSlideNarrow : kSlideWide) / 4 : kTileWindows;
  const i64 tiles = ceil_div(windows, most);
  if (tiles == 0) return;
  const i64 low = windows / tiles, higher = windows % tiles;
  for (i64 i = 0; i < tiles; ++i) {
    const i64 n = low + (i < higher ? 1 : 0);
    if constexpr (most >= 4) {
      if (n == 4) pool_tile<4, P, NV, sliding>(a, w);
    }
    if constexpr (most >= 3) {
      if (n == 3) pool_tile<3, P, NV, sliding>(a, w);
    }
    if constexpr (most >= 2) {
      if (n == 2) pool_tile<2, P, NV, sliding>(a, w);
    }
    if (n == 1) pool_tile<1, P, NV, sliding>(a, w);
    w += n;
  }
}

// All windows of a block against one panel. `taps`: of the rows of the convolution, where tiles slide.
template <int P, int NV>
void run_windows(PoolArgs a, const Axis* taps, const Block& b) {
  if constexpr (kSlideWide > 0) {
    if (taps) {
      for (i64 r = 0, h = b.h0; r < b.nb * b.hb; ++r) {
        const Taps inside = rows_inside(*taps, h * P, h * P + P - 1);
        a.t.h0 = inside.first, a.t.nh = inside.last;
        pool_tiles<P, NV, true>(a, r * b.wb, b.wb);
        if (++h == b.h0 + b.hb) h = b.h0;
      }
      return;
    }
  }
  pool_tiles<P, NV, false>(a, 0, b.nb * b.hb * b.wb);
}

void run_windows(PoolArgs a, i64 P, const Axis* taps, const Block& b) {
  const bool narrow = a.t.n <= kLanes;
  if (P == 2) {
    if (narrow) run_windows<2, 1>(a, taps, b);
    else run_windows<2, 2>(a, taps, b);
  } else if (narrow) {
    run_windows<3, 1>(a, taps, b);
  } else if constexpr (kWidePx >= 9) {
    run_windows<3, 2>(a, taps, b);
  } else {  // one vector after the other: 18 sums are too many
    PoolArgs second = a;
    a.t.n = kLanes;
    run_windows<3, 1>(a, taps, b);
    second.t.n -= kLanes;
    second.t.w += kLanes;
    second.t.y += kLanes;
    if (second.t.bias) second.t.bias += kLanes;
    if (second.index) second.index += kLanes;
    run_windows<3, 1>(second, taps, b);
  }
}

}  // namespace

Facts conv2d_pool_facts(const Conv2DPoolShape& s) {
  Facts f;
  f.error = conv2d_pool_error(s);
  if (f.error) return f;
  const Conv2DShape c = conv_of(s);
  const i64 PH = s.OH / s.P, PW = s.OW / s.P;
  f.extent[0] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(c));
  f.extent[1] = Count(s.KH) * Count(s.KW) * Count(s.C / s.G) * Count(s.O);
  f.extent[2] = Count(s.bias ? s.O : 0);
  f.extent[3] = pixels_extent(s.N, PH, PW, s.O, ldy_of(c));
  const Count count = Count(s.N) * Count(PH) * Count(PW) * Count(s.O);
  f.extent[4] = s.index ? count : Count(0);
  for (int i = 0; i < 4; ++i) {
    if (!f.extent[i].ok() || !count.ok()) {
      f.error = "the problem is too large";
      return f;
    }
  }
  f.flops = 2.0 * static_cast<double>(count.value()) * static_cast<double>(s.P * s.P) * static_cast<double>(s.KH) *
            static_cast<double>(s.KW) * static_cast<double>(s.C / s.G);
  const Plan p = plan(s);
  const Count units = Count(s.G) * Count(p.sets) * Count(p.blocks), scratch = scratch_floats(p, s.P) * Count(4);
  if (!p.ok || !units.ok() || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = units.value();
  f.scratch = scratch.value();
  return f;
}

void conv2d_pool(const Conv2DPoolShape& s, Slice units, Scratch scratch, const float* x, const float* w, const float* b,
                 float* y, u8* index) {
  const Plan p = plan(s);
  const Correlation& q = p.q;
  const Conv2DShape c = conv_of(s);
  const Correlation conv = forward_correlation(c);
  const bool sliding = slides(s.KW, s.SW, s.DW, s.DH, p.Og);
  const i64 PP = s.P * s.P, Cg = s.C / s.G;
  float* panels = reinterpret_cast<float*>(scratch.at);
  float* copy = panels + p.K * p.together * kPanel;
  i64* x_at = reinterpret_cast<i64*>(copy + round16(p.cut.floats) + 16);
  i64* y_at = x_at + p.cut.nb * p.cut.hb * p.cut.wb * PP;
  i64* index_at = y_at + p.cut.nb * p.cut.hb * p.cut.wb;
  i64 packed = -1, nb = -1, hb = -1, wb = -1, window_row = 0, window_col = 0, image = 0;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 set = u / p.blocks, g = set / p.sets;
    const i64 panel0 = set % p.sets * p.together, panel1 = min_of(panel0 + p.together, p.panels);
    if (set != packed) {
      packed = set;
      for (i64 i = panel0; i < panel1; ++i) {
        const i64 o = i * kPanel, n = min_of(p.Og - o, kPanel);
        pack_panel(conv, c, false, sliding, g, o, n, panel_width(n), w, panels + (i - panel0) * p.K * kPanel);
      }
    }
    const Block blk = block_at(q, p.cut, u % p.blocks);
    const WindowView v = view_windows(s, q, p.cut, blk, x + g * Cg, Cg, copy);
    if (blk.nb != nb || blk.hb != hb || blk.wb != wb || v.window_row != window_row || v.window_col != window_col ||
        v.image != image) {
      nb = blk.nb, hb = blk.hb, wb = blk.wb, window_row = v.window_row, window_col = v.window_col, image = v.image;
      i64 windows = 0;
      i64* px_at = x_at;
      for (i64 n = 0; n < nb; ++n) {
        for (i64 h = 0; h < hb; ++h) {
          for (i64 j = 0; j < wb; ++j, ++windows) {
            const i64 at = (n * q.YH + h) * q.YW + j, x0 = n * image + h * window_row + j * v.window_col;
            y_at[windows] = at * q.ldy;
            index_at[windows] = at * s.O;
            for (i64 r = 0; r < s.P; ++r) {
              for (i64 k = 0; k < s.P; ++k) *px_at++ = x0 + r * v.at_row + k * v.at_col;
            }
          }
        }
      }
    }
    const i64 at0 = (blk.n0 * q.YH + blk.h0) * q.YW + blk.w0;
    PoolArgs a{};
    TileArgs& t = a.t;
    t.x = t.next = v.x;
    t.x_at = x_at;
    t.y_at = y_at;
    a.index_at = index_at;
    t.nh = s.KH;
    t.tap_row = v.tap_row;
    const bool joined = s.KW == 1 || v.tap_col == Cg;  // the taps of a row follow each other
    t.nw = joined ? 1 : s.KW;
    t.tap_col = v.tap_col;
    t.run = joined && !sliding ? s.KW * Cg : Cg;
    for (i64 i = 0; i < kGroup - 1; ++i) t.apart[i] = (i + 1) * v.at_col;
    t.row_px = s.P;
    t.act = s.act;
    for (i64 i = panel0; i < panel1; ++i) {
      const i64 o = g * p.Og + i * kPanel;
      t.n = min_of(p.Og - i * kPanel, kPanel);
      t.ld_w = panel_width(t.n);
      t.w = panels + (i - panel0) * p.K * kPanel;
      t.bias = s.bias ? b + o : nullptr;
      t.y = y + at0 * q.ldy + o;
      a.index = s.index ? index + at0 * s.O + o : nullptr;
      run_windows(a, s.P, sliding ? &conv.h : nullptr, blk);
    }
  }
}

}  // namespace nacre::NACRE_ISA
