// Forward convolution and the gradient of its input: the same loop over (weight panels, blocks of pixels, tiles).
//
// gemm: M = pixels, N = output channels, K = taps * channels, summed in the order (kh, kw, c).
#include "kernels/conv2d.h"

#include "kernels/conv2d_tile.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kCopyFloats = 48 * 1024;    // block copy: 192 KB of a 1 MB L2
constexpr i64 kPanelFloats = 96 * 1024;   // weight panels in use together: 384 KB of L2
constexpr double kUnitFlops = 1e6;        // a unit takes at least about 5 us
constexpr i64 kManyUnits = 64;            // enough for as many cores

// One pass: y = correlate(x, weights) with O outputs per group; weights are w[tap][c][o], or swapped [tap][o][c].
struct Pass {
  Correlation q;   // widest, for planning
  i64 G, O;        // outputs per group
  i64 K;           // rows of a panel
  i64 panels;      // per group
  i64 together;    // panels handled per unit
  i64 sets;        // sets of panels per group
  i64 blocks;
  Cut cut;
};

Pass plan(const Correlation& q, i64 G, i64 O) {
  Pass p{};
  p.q = q;
  p.G = G;
  p.O = O;
  const Count k = Count(q.h.taps) * Count(q.w.taps) * Count(q.C);
  p.K = k.ok() ? k.value() : i64{1} << 60;
  p.panels = ceil_div(O, kPanel);
  const i64 fit = max_of(kPanelFloats / kPanel / max_of(p.K, 1), 1);
  p.sets = max_of(ceil_div(p.panels, fit), 1);
  p.together = ceil_div(p.panels, p.sets);
  p.sets = p.together > 0 ? ceil_div(p.panels, p.together) : 0;
  const double px = static_cast<double>(q.N) * static_cast<double>(q.h.out) * static_cast<double>(q.w.out);
  const double px_flops = 2.0 * static_cast<double>(p.K) * static_cast<double>(min_of(O, p.together * kPanel)) + 1;
  const double by_count = px * static_cast<double>(max_of(G * p.sets, 1)) / kManyUnits;
  double want = max_of(by_count > 2048 ? 2048 : static_cast<i64>(by_count), 2 * kWidePx);
  if (want * px_flops < kUnitFlops) want = kUnitFlops / px_flops;
  p.cut = cut_blocks(q, want > 4096 ? 4096 : static_cast<i64>(want) + 1, kCopyFloats);
  const Count blocks = Count(p.cut.n_blocks) * Count(p.cut.h_blocks) * Count(p.cut.w_blocks);
  p.blocks = blocks.ok() ? blocks.value() : -1;
  return p;
}

i64 round16(i64 n) { return ceil_div(n, 16) * 16; }

// Floats of workspace: panels, block copy (with a vector of slack), then three offsets per pixel.
Count scratch_floats(const Pass& p) {
  return Count(p.K) * Count(p.together * kPanel) + Count(round16(p.cut.floats) + 16) +
         Count(p.cut.nb) * Count(p.cut.hb) * Count(p.cut.wb) * Count(6) + Count(64);
}

Pass forward_plan(const Conv2DShape& s) { return plan(forward_correlation(s), s.G, s.O / s.G); }
Pass grad_x_plan(const Conv2DShape& s) { return plan(grad_x_widest(s), s.G, s.C / s.G); }

void fill_facts(Facts& f, const Pass& p, Count phases) {
  const Count units = phases * Count(p.G) * Count(p.sets) * Count(p.blocks);
  const Count scratch = scratch_floats(p) * Count(4);
  if (!units.ok() || !scratch.ok() || p.K >= i64{1} << 60) {
    f.error = "the problem is too large";
    return;
  }
  f.units = units.value();
  f.scratch = scratch.value();
}

using TileFn = void (*)(const TileArgs&, i64);

template <int NV, int px>
constexpr TileFn tile_or_none() {
  if constexpr (px <= (NV == 1 ? kNarrowPx : kWidePx)) {
    return conv_tile<px, NV>;
  } else {
    return nullptr;
  }
}

template <int NV>
TileFn tile_of(i64 px) {
  constexpr TileFn tiles[] = {nullptr,
                              tile_or_none<NV, 1>(),  tile_or_none<NV, 2>(),  tile_or_none<NV, 3>(),
                              tile_or_none<NV, 4>(),  tile_or_none<NV, 5>(),  tile_or_none<NV, 6>(),
                              tile_or_none<NV, 7>(),  tile_or_none<NV, 8>(),  tile_or_none<NV, 9>(),
                              tile_or_none<NV, 10>(), tile_or_none<NV, 11>(), tile_or_none<NV, 12>(),
                              tile_or_none<NV, 13>(), tile_or_none<NV, 14>()};
  return tiles[px];
}

// All pixels of a block against one panel, in tiles of nearly equal height.
void run_tiles(const TileArgs& t, i64 px) {
  const bool narrow = t.n <= kLanes;
  const i64 tiles = ceil_div(px, narrow ? kNarrowPx : kWidePx);
  if (tiles == 0) return;
  const i64 low = px / tiles, higher = px % tiles;
  const TileFn fn = narrow ? tile_of<1>(low) : tile_of<2>(low);
  const TileFn fn_higher = higher == 0 ? fn : narrow ? tile_of<1>(low + 1) : tile_of<2>(low + 1);
  i64 p = 0;
  for (i64 i = 0; i < tiles; ++i) {
    if (i < higher) {
      fn_higher(t, p);
      p += low + 1;
    } else {
      fn(t, p);
      p += low;
    }
  }
}

struct Operands {
  const float* x;
  const float* w;
  const float* bias;
  const float* mask;
  const float* r;
  i64 ldr;
  float* y;
  i64 act;
};

// Rows of the weights in the order in which the taps of q are met, n channels from o0, as a panel [K][kPanel] padded with 0.
void pack_panel(const Correlation& q, const Conv2DShape& s, bool swapped, i64 g, i64 o0, i64 n, const float* w, float* to) {
  const i64 Cg = s.C / s.G, Og = s.O / s.G;
  if (n < kPanel) zero_floats(to, q.h.taps * q.w.taps * q.C * kPanel);
  for (i64 th = 0; th < q.h.taps; ++th) {
    for (i64 tw = 0; tw < q.w.taps; ++tw) {
      const i64 tap = (q.h.k0 + th * q.h.k_step) * s.KW + q.w.k0 + tw * q.w.k_step;
      if (swapped) {  // to[o][c] = w[tap][c][o], o of this group
        transpose(to, kPanel, w + (tap * Cg + o0) * s.O + g * Og, s.O, n, Og);
        to += Og * kPanel;
      } else {
        for (i64 c = 0; c < Cg; ++c, to += kPanel) copy_floats(to, w + (tap * Cg + c) * s.O + g * Og + o0, n);
      }
    }
  }
}

// The units of one phase: begin and end count within it.
void run_phase(const Conv2DShape& s, const Pass& p, const Correlation& q, bool swapped, i64 begin, i64 end,
               const Operands& at, Scratch scratch) {
  float* panels = reinterpret_cast<float*>(scratch.at);
  float* copy = panels + p.K * p.together * kPanel;
  i64* x_at = reinterpret_cast<i64*>(copy + round16(p.cut.floats) + 16);
  i64* y_at = x_at + p.cut.nb * p.cut.hb * p.cut.wb;
  i64* r_at = y_at + p.cut.nb * p.cut.hb * p.cut.wb;
  const i64 K = q.h.taps * q.w.taps * q.C;
  i64 packed_set = -1;
  i64 nb = -1, hb = -1, wb = -1, px_step = 0, row_step = 0, image_step = 0;
  // Whole panels of a few rows are read where they are; others are copied once per slice and set.
  const bool plain = !swapped && q.h.k_step == 1 && q.w.k_step == 1;
  const bool in_place = plain && (K * p.O <= kPanelFloats || p.O == kPanel);

  for (i64 u = begin; u < end; ++u) {
    const i64 set = u / p.blocks;
    const i64 g = set / p.sets, panel0 = set % p.sets * p.together;
    const i64 panel1 = min_of(panel0 + p.together, p.panels);
    if (set != packed_set) {
      packed_set = set;
      for (i64 i = panel0; i < panel1; ++i) {
        const i64 n = min_of(p.O - i * kPanel, kPanel);
        if (in_place && n == kPanel) continue;
        pack_panel(q, s, swapped, g, i * kPanel, n, at.w, panels + (i - panel0) * K * kPanel);
      }
    }
    const Block b = block_at(q, p.cut, u % p.blocks);
    const i64 px = b.nb * b.hb * b.wb;
    if (px == 0) continue;
    const View v = view_block(q, p.cut, b, at.x + g * q.C, q.C, copy);
    if (b.nb != nb || b.hb != hb || b.wb != wb || v.px_step != px_step || v.row_step != row_step ||
        v.image_step != image_step) {
      nb = b.nb, hb = b.hb, wb = b.wb, px_step = v.px_step, row_step = v.row_step, image_step = v.image_step;
      i64 i = 0;
      for (i64 n = 0; n < nb; ++n) {
        for (i64 h = 0; h < hb; ++h) {
          for (i64 w = 0; w < wb; ++w, ++i) {
            x_at[i] = n * image_step + h * row_step + w * px_step;
            const i64 px = (n * q.YH + h * q.h.y_step) * q.YW + w * q.w.y_step;
            y_at[i] = px * q.ldy;
            r_at[i] = px * at.ldr;
          }
        }
      }
    }
    TileArgs t{};
    t.x = v.x;
    t.x_at = x_at;
    t.y_at = y_at;
    t.r_at = r_at;
    t.nh = v.nh, t.tap_row = v.tap_row, t.nw = v.nw, t.tap_col = v.tap_col, t.run = v.run;
    t.act = at.act;
    const i64 px0 = (b.n0 * q.YH + q.h.y0 + b.h0 * q.h.y_step) * q.YW + q.w.y0 + b.w0 * q.w.y_step;
    const i64 y0 = px0 * q.ldy + g * p.O;
    for (i64 i = panel0; i < panel1; ++i) {
      const i64 o = i * kPanel;
      t.n = min_of(p.O - o, kPanel);
      if (in_place && t.n == kPanel) {
        t.w = at.w + g * p.O + o;
        t.ld_w = s.O;
      } else {
        t.w = panels + (i - panel0) * K * kPanel;
        t.ld_w = kPanel;
      }
      t.bias = at.bias ? at.bias + g * p.O + o : nullptr;
      t.mask = at.mask ? at.mask + y0 + o : nullptr;
      t.r = at.r ? at.r + px0 * at.ldr + g * p.O + o : nullptr;
      t.y = at.y + y0 + o;
      run_tiles(t, px);
    }
  }
}

double conv_flops(const Conv2DShape& s) {
  const auto d = [](i64 v) { return static_cast<double>(v); };
  return 2.0 * d(s.N) * d(s.OH) * d(s.OW) * d(s.O) * d(s.KH) * d(s.KW) * d(s.C / s.G);
}

}  // namespace

Facts conv2d_facts(const Conv2DShape& s) {
  Facts f;
  f.error = conv2d_error(s, 2);
  if (f.error) return f;
  f.flops = conv_flops(s);
  f.extent[0] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(s));
  f.extent[1] = Count(s.KH) * Count(s.KW) * Count(s.C / s.G) * Count(s.O);
  f.extent[2] = Count(s.bias ? s.O : 0);
  f.extent[3] = s.residual ? pixels_extent(s.N, s.OH, s.OW, s.O, ldr_of(s)) : Count(0);
  f.extent[4] = pixels_extent(s.N, s.OH, s.OW, s.O, ldy_of(s));
  for (int i = 0; i < 5; ++i) {
    if (!f.extent[i].ok()) return f;
  }
  fill_facts(f, forward_plan(s), 1);
  return f;
}

void conv2d(const Conv2DShape& s, Slice units, Scratch scratch, const float* x, const float* w, const float* b,
            const float* r, float* y) {
  const Pass p = forward_plan(s);
  const Operands at{x, w, s.bias ? b : nullptr, nullptr, s.residual ? r : nullptr, s.residual ? ldr_of(s) : 0, y, s.act};
  run_phase(s, p, p.q, false, units.begin, units.end, at, scratch);
}

Facts conv2d_grad_x_facts(const Conv2DShape& s) {
  Facts f;
  f.error = conv2d_error(s);
  if (f.error) return f;
  f.flops = conv_flops(s);
  f.extent[0] = pixels_extent(s.N, s.OH, s.OW, s.O, ldy_of(s));
  f.extent[1] = Count(s.KH) * Count(s.KW) * Count(s.C / s.G) * Count(s.O);
  f.extent[2] = s.act ? pixels_extent(s.N, s.H, s.W, s.C, ldx_of(s)) : Count(0);
  f.extent[3] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(s));
  for (int i = 0; i < 4; ++i) {
    if (!f.extent[i].ok()) return f;
  }
  fill_facts(f, grad_x_plan(s), Count(min_of(s.SH, s.H)) * Count(min_of(s.SW, s.W)));
  return f;
}

void conv2d_grad_x(const Conv2DShape& s, Slice units, Scratch scratch, const float* dy, const float* w, const float* x,
                   float* dx) {
  const Pass p = grad_x_plan(s);
  const Operands at{dy, w, nullptr, s.act == 1 ? x : nullptr, nullptr, 0, dx, 0};
  const i64 per_phase = p.G * p.sets * p.blocks;
  const i64 phases_w = min_of(s.SW, s.W);
  for (i64 u = units.begin; u < units.end;) {
    const i64 phase = u / per_phase, end = min_of(units.end, (phase + 1) * per_phase);
    const Correlation q = grad_x_correlation(s, phase / phases_w, phase % phases_w);
    run_phase(s, p, q, true, u - phase * per_phase, end - phase * per_phase, at, scratch);
    u = end;
  }
}

}  // namespace nacre::NACRE_ISA
