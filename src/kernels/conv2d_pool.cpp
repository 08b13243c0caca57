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
  return {s.N,  s.H,  s.W,  s.C,  s.O,  s.KH, s.KW,   s.SH,  s.SW,  s.DH,
          s.DW, s.PT, s.PL, s.OH, s.OW, s.G,  s.bias, s.act, s.ldx, s.ldy, 0, 0};
}

Correlation window_correlation(const Conv2DPoolShape& s, i64 channels) {
  const Conv2DShape c = conv_of(s);
  const i64 PH = s.OH / s.P, PW = s.OW / s.P;
  const Axis h{PH, s.SH * s.P, -s.PT, 1, (s.P - 1) * s.SH + (s.KH - 1) * s.DH + 1, s.H, 0, 1, 0, 1};
  const Axis w{PW, s.SW * s.P, -s.PL, 1, (s.P - 1) * s.SW + (s.KW - 1) * s.DW + 1, s.W, 0, 1, 0, 1};
  return {s.N, h, w, channels, ldx_of(c), PW, PH, ldy_of(c)};
}

WindowView view_windows(const Conv2DPoolShape& s, const Correlation& q, const Cut& cut, const Block& b, const float* x,
                        i64 channels, float* copy) {
  const View v = view_block(q, cut, b, x, channels, copy);
  return {v.x,
          v.px_step,
          v.row_step,
          v.image_step,
          s.SH * v.tap_row,
          s.SW * v.tap_col,
          s.DH * v.tap_row,
          s.DW * v.tap_col};
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
                           static_cast<double>(min_of(p.Og, p.together * kPanel)) + 1;
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

NACRE_INLINE void store_index(u8* to, VecI a, i64 n) {
  if (n >= kLanes) {
    store_u8(to, a);
  } else if (n > 0) {
    u8 lane[kLanes];
    store_u8(lane, a);
    for (i64 i = 0; i < n; ++i) to[i] = lane[i];
  }
}

// WN windows of PP positions each, from window w0 on.
template <int WN, int PP, int NV>
void pool_tile(const PoolArgs& a, i64 w0) {
  const TileArgs& t = a.t;
  Vec acc[WN * PP][NV];
  tile_sums<WN * PP, NV>(t, w0 * PP, acc);
  NACRE_UNROLL for (int j = 0; j < WN; ++j) {
    float* y = t.y + t.y_at[w0 + j];
    NACRE_UNROLL for (int v = 0; v < NV; ++v) {
      Vec best = t.act ? max(zero(), acc[j * PP][v]) : acc[j * PP][v];
      VecI where = set1i(0);
      NACRE_UNROLL for (int i = 1; i < PP; ++i) {
        const Vec next = t.act ? max(zero(), acc[j * PP + i][v]) : acc[j * PP + i][v];
        const Mask take = ~(le(next, best) | isnan(best));  // larger, or the first NaN
        best = select(take, next, best);
        where = select(take, set1i(i), where);
      }
      store_some(y + v * kLanes, best, t.n - v * kLanes);
      if (a.index) store_index(a.index + a.index_at[w0 + j] + v * kLanes, where, t.n - v * kLanes);
    }
  }
}

template <int PP, int NV>
void pool_tiles(const PoolArgs& a, i64 windows) {
  constexpr i64 most = PP == 4 ? kTileWindows : 1;
  const i64 tiles = ceil_div(windows, most);
  if (tiles == 0) return;
  const i64 low = windows / tiles, higher = windows % tiles;
  i64 w = 0;
  for (i64 i = 0; i < tiles; ++i) {
    const i64 n = low + (i < higher ? 1 : 0);
    if constexpr (PP == 4 && kTileWindows >= 3) {
      if (n == 3) pool_tile<3, PP, NV>(a, w);
    }
    if constexpr (PP == 4 && kTileWindows >= 2) {
      if (n == 2) pool_tile<2, PP, NV>(a, w);
    }
    if (n == 1) pool_tile<1, PP, NV>(a, w);
    w += n;
  }
}

// All windows of a block against one panel.
void run_windows(PoolArgs a, i64 P, i64 windows) {
  if (P == 2) {
    if (a.t.n <= kLanes) pool_tiles<4, 1>(a, windows); else pool_tiles<4, 2>(a, windows);
  } else if (a.t.n <= kLanes) {
    pool_tiles<9, 1>(a, windows);
  } else if constexpr (kWidePx >= 9) {
    pool_tiles<9, 2>(a, windows);
  } else {  // one vector after the other: 18 sums are too many
    PoolArgs second = a;
    a.t.n = kLanes;
    pool_tiles<9, 1>(a, windows);
    second.t.n -= kLanes;
    second.t.w += kLanes;
    second.t.y += kLanes;
    if (second.t.bias) second.t.bias += kLanes;
    if (second.index) second.index += kLanes;
    pool_tiles<9, 1>(second, windows);
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
  const i64 PP = s.P * s.P, Cg = s.C / s.G;
  float* panels = reinterpret_cast<float*>(scratch.at);
  float* copy = panels + p.K * p.together * kPanel;
  i64* x_at = reinterpret_cast<i64*>(copy + round16(p.cut.floats) + 16);
  i64* y_at = x_at + p.cut.nb * p.cut.hb * p.cut.wb * PP;
  i64* index_at = y_at + p.cut.nb * p.cut.hb * p.cut.wb;
  i64 packed = -1;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 set = u / p.blocks, g = set / p.sets;
    const i64 panel0 = set % p.sets * p.together, panel1 = min_of(panel0 + p.together, p.panels);
    if (set != packed) {
      packed = set;
      for (i64 i = panel0; i < panel1; ++i) {
        const i64 o = i * kPanel, n = min_of(p.Og - o, kPanel);
        float* to = panels + (i - panel0) * p.K * kPanel;
        if (n < kPanel) zero_floats(to, p.K * kPanel);
        for (i64 k = 0; k < p.K; ++k) copy_floats(to + k * kPanel, w + k * s.O + g * p.Og + o, n);
      }
    }
    const Block blk = block_at(q, p.cut, u % p.blocks);
    const WindowView v = view_windows(s, q, p.cut, blk, x + g * Cg, Cg, copy);
    i64 windows = 0, px = 0;
    for (i64 n = 0; n < blk.nb; ++n) {
      for (i64 h = 0; h < blk.hb; ++h) {
        for (i64 j = 0; j < blk.wb; ++j, ++windows) {
          const i64 at = ((blk.n0 + n) * q.YH + blk.h0 + h) * q.YW + blk.w0 + j;
          y_at[windows] = at * q.ldy;
          index_at[windows] = at * s.O;
          for (i64 i = 0; i < PP; ++i, ++px) {
            x_at[px] = n * v.image + h * v.window_row + j * v.window_col + i / s.P * v.at_row + i % s.P * v.at_col;
          }
        }
      }
    }
    PoolArgs a{};
    TileArgs& t = a.t;
    t.x = v.x;
    t.x_at = x_at;
    t.y_at = y_at;
    a.index_at = index_at;
    t.nh = s.KH;
    t.tap_row = v.tap_row;
    const bool joined = s.KW == 1 || v.tap_col == Cg;  // the taps of a row follow each other
    t.nw = joined ? 1 : s.KW;
    t.tap_col = v.tap_col;
    t.run = joined ? s.KW * Cg : Cg;
    t.act = s.act;
    t.ld_w = kPanel;
    for (i64 i = panel0; i < panel1; ++i) {
      const i64 o = g * p.Og + i * kPanel;
      t.n = min_of(p.Og - i * kPanel, kPanel);
      t.w = panels + (i - panel0) * p.K * kPanel;
      t.bias = s.bias ? b + o : nullptr;
      t.y = y + o;
      a.index = s.index ? index + o : nullptr;
      run_windows(a, s.P, windows);
    }
  }
}

}  // namespace nacre::NACRE_ISA
