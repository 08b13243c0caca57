// Forward convolution and the gradient of its input: the same loop over (weight panels, blocks of pixels, tiles).
//
// gemm: M = pixels, N = output channels, K = taps * channels, summed in the order (kh, kw, c), or (kh, c, kw) where tiles
// slide (conv2d_tile.h).
#include "kernels/conv2d.h"

#include "kernels/activate.h"
#include "kernels/conv2d_few_dots.h"
#include "kernels/conv2d_panel.h"
#include "kernels/conv2d_plan.h"
#include "kernels/conv2d_scatter.h"
#include "kernels/conv2d_shared_tile.h"
#include "kernels/conv2d_short.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kNarrow = 4;  // pixels

void swap(i64& a, i64& b) {
  const i64 c = a;
  a = b;
  b = c;
}

// The units of one phase where outputs are too few to fill a vector.
void run_few(const Conv2DShape& s, const Pass& p, const Correlation& q, bool swapped, i64 begin, i64 end,
             const Operands& at, Scratch scratch) {
  float* w = reinterpret_cast<float*>(scratch.at);
  Piece* columns = reinterpret_cast<Piece*>(w + few_weights(p));
  Piece* rows = columns + p.cut.wb;
  float* sums = reinterpret_cast<float*>(rows + p.cut.hb);
  const i64 O = p.O;
  float bias[few::kMost * kLanes];
  for (i64 i = 0; i < O * kLanes; ++i) bias[i] = at.bias ? at.bias[i % O] : 0.0f;
  const bool joined = q.w.step == 1 && q.ldx == q.C;  // the taps of a row follow each other
  few::Runs all{};
  all.nh = q.h.taps, all.nw = joined ? 1 : q.w.taps, all.run = joined ? q.w.taps * q.C : q.C;
  all.w_col = few::whole_vectors(all.run), all.w_row = all.nw * all.w_col, all.ld_w = all.nh * all.w_row;
  few::pack(all, q.C, O, w, [&](i64 tap, i64 c) {
    const i64 th = tap / max_of(q.w.taps, 1), tw = tap % max_of(q.w.taps, 1);
    const i64 from = (q.h.k0 + th * q.h.k_step) * s.KW + q.w.k0 + tw * q.w.k_step;
    struct Weights {
      const float* at;
      i64 step;
      float operator[](i64 o) const { return at[o * step]; }
    };
    return swapped ? Weights{at.w + from * s.C * s.O + c, s.O} : Weights{at.w + (from * s.C + c) * s.O, 1};
  });
  const bool inside = everywhere_inside(q.h) && everywhere_inside(q.w), far = is_far(q) && !inside;
  const bool dense = q.ldy == O && q.w.y_step == 1 && (!at.r || at.ldr == O);
  for (i64 u = begin; u < end; ++u) {
    const Block b = block_at(q, p.cut, u % p.blocks);
    Ahead ahead;
    if (far && u + 1 < end) {
      ahead = ahead_of(wanted_of(q, block_at(q, p.cut, (u + 1) % p.blocks), at.x, q.C, 16), {},
                       b.hb * b.wb * b.nb * O / few::kSums);
    }
    const Piece* columns_end = columns + cut_axis(q.w, b.w0, b.wb, columns);
    const Piece* rows_end = rows + cut_axis(q.h, b.h0, b.hb, rows);
    for (i64 n = b.n0; n < b.n0 + b.nb; ++n) {
      for (const Piece* h = rows; h < rows_end; ++h) {
        for (const Piece* v = columns; v < columns_end; ++v) {
          const View of = view_part(q, n, *h, *v, at.x, q.C);
          few::Runs r{of.px_step, of.nh, of.tap_row, all.w_row, of.nw, of.tap_col, all.w_col, of.run, all.ld_w};
          const float* w_taps = w + h->taps.first * all.w_row + v->taps.first * (joined ? q.C : all.w_col);
          float* to = sums + ((h->first - b.h0) * b.wb + v->first - b.w0) * O;
          // Lines are rows, or columns where those are longer.
          i64 lines = h->last - h->first, x_line = of.row_step, to_line = b.wb * O;
          i64 length = v->last - v->first, to_px = O;
          if (length < kNarrow && length < lines) {
            swap(length, lines);
            swap(r.px_step, x_line);
            swap(to_line, to_px);
          }
          for (i64 i = 0; i < lines; ++i) {
            few::with_outputs(O, [&](i64 o, auto outputs) {
              few::line_sums<outputs.value>(r, of.x + i * x_line, length, w_taps + o * r.ld_w, to + i * to_line + o,
                                            to_px, ahead);
            });
          }
        }
      }
      for (i64 h = 0; h < b.hb; ++h) {
        const i64 px = (n * q.YH + q.h.y0 + (b.h0 + h) * q.h.y_step) * q.YW + q.w.y0 + b.w0 * q.w.y_step;
        const i64 runs = dense ? 1 : b.wb, length = dense ? b.wb * O : O;
        for (i64 i = 0; i < runs; ++i) {
          const i64 to = px + i * q.w.y_step;
          const few::Finish finish{bias, at.r ? at.r + to * at.ldr : nullptr, at.mask ? at.mask + to * q.ldy : nullptr,
                                   act_of_sums(at.act)};
          few::finish(sums + (h * b.wb + i) * O, length, O, finish, at.y + to * q.ldy);
          if (acts_behind(at.act)) activate(at.act, at.y + to * q.ldy, 1, length, length);
        }
      }
    }
  }
}

void fill_facts(Facts& f, const Pass& p, Count phases) {
  const Count units = phases * Count(p.runs) * Count(p.sets) * Count(p.blocks);
  const Count scratch = scratch_floats(p) * Count(4);
  if (!units.ok() || !scratch.ok() || p.K >= i64{1} << 60) {
    f.error = "the problem is too large";
    return;
  }
  f.units = units.value();
  f.scratch = scratch.value();
}

// The units of one phase: begin and end count within it.
void run_phase(const Conv2DShape& s, const Pass& p, const Correlation& q, bool swapped, i64 begin, i64 end,
               const Operands& at, Scratch scratch) {
  if (!at.packed && p.few) return run_few(s, p, q, swapped, begin, end, at, scratch);
  float* panels = reinterpret_cast<float*>(scratch.at);
  float* copy = panels + p.K * p.along * p.together * kPanel;
  float* stage = copy + round16(p.cut.floats) + kSlack;
  i64* x_at = reinterpret_cast<i64*>(stage + p.cut.nb * p.cut.hb * p.cut.wb * p.staged);
  i64* y_at = x_at + p.cut.nb * p.cut.hb * p.cut.wb;
  i64* r_at = y_at + p.cut.nb * p.cut.hb * p.cut.wb;
  Piece* rows = reinterpret_cast<Piece*>(r_at + p.cut.nb * p.cut.hb * p.cut.wb);
  Piece* columns = rows + kMostPieces;
  const i64 K = q.h.taps * q.w.taps * q.C;
  i64 packed_set = -1;
  i64 nb = -1, hb = -1, wb = -1, px_step = 0, row_step = 0, image_step = 0, in_groups = 0;
  const bool sliding =
      p.shared > 0 ? shared::slides(q) : !p.parts && slides(q.w.taps, q.w.stride, q.w.step, q.h.step, p.O);
  // Whole panels of a few rows are read where they are, if their vectors are aligned; others are copied once per slice and set.
  const bool plain = !swapped && !sliding && p.shared == 0 && q.h.k_step == 1 && q.w.k_step == 1;
  // Rows that share few sets of L1 are copied where small tiles read them often, if they meet pixels enough or lie in pages
  // of their own.
  const bool crowded = kFewRegisters && s.O % kFewSets == 0 && K > kFewRows &&
                       (s.O % kOneSet == 0 || p.cut.nb * p.cut.hb * p.cut.wb * p.blocks >= kFewPx / 2);
  const bool in_place = !at.packed && plain && aligned(at.w) && s.O % kLanes == 0 && !crowded &&
                        (K * p.O <= kPanelFloats || p.O == kPanel);

  const i64 channels = q.C * max_of(p.shared, 1), staged = at.mask ? 0 : p.staged;
  const auto together = [&](i64 g) { return min_of(p.shared, s.G - g * p.shared); };  // groups
  const bool by_block = at.packed && p.one_fit;
  const bool asks = (p.cut.floats > 0 && !sliding) || is_far(q);
  // Where stores count as much as sums, y that no cache holds goes past them.
  const bool past = K <= kLongSum && staged == 0 && !sliding && goes_past(q, at.y) && p.O % kLanes == 0 &&
                    kWideGroups > 0 && p.cut.wb % kGroup == 0 && !acts_behind(at.act);
  const i64 first_block = begin < end ? unit_at(p, begin, by_block).block : 0;
  View v{};
  i64 viewed = -1;
  for (i64 u = begin, next; u < end; u = next) {
    const Unit unit = unit_at(p, u, by_block);
    next = by_block ? min_of(u + p.sets - unit.set, end) : u + 1;  // all that the slice has of the block
    const i64 g0 = unit.run * p.along, g1 = min_of(g0 + p.along, p.G);
    const i64 panel0 = unit.set * p.together, panel1 = min_of(panel0 + (next - u) * p.together, p.panels);
    if (!at.packed && unit.run * p.sets + unit.set != packed_set) {
      packed_set = unit.run * p.sets + unit.set;
      float* to = panels;
      for (i64 g = g0; g < g1; ++g) {
        for (i64 i = panel0; i < panel1; ++i, to += K * kPanel) {
          const i64 n = min_of(p.O - i * kPanel, kPanel);
          if (in_place && n == kPanel) continue;
          if (p.shared > 0) shared::pack(q, s, swapped, g * p.shared, p.O / p.shared, together(g), at.w, to);
          else pack_panel(q, s, swapped, sliding, g, i * kPanel, n, panel_width(n), at.w, to);
        }
      }
    }
    const Block b = block_at(q, p.cut, unit.block);
    if (b.nb * b.hb * b.wb == 0) continue;
    Ahead ahead;
    if (asks && next < end) {  // sliding tiles ask between them, about 16 pixels each
      const Unit behind = unit_at(p, next, by_block);
      const Block other = block_at(q, p.cut, behind.block);
      const i64 h = behind.run * p.along, width = sliding ? 16 : asks_width(p.O);
      const bool stores =
          !past && p.K <= kLongSum && q.w.y_step == 1 && is_far(q, 2 * kFarFloats);  // where, nobody foresees
      ahead = ahead_of(wanted_of(q, other, at.x + h * channels, (g1 - g0) * channels, width),
                       stores ? wanted_of(output_image(q), other, at.y + h * p.O, (g1 - g0) * p.O, width) : Wanted{},
                       (g1 - g0) * (panel1 - panel0) * b.nb * b.hb * b.wb / 16);
    }
    // A block, or a part of it, whose taps are nh x nw runs from row `first` of the panels on.
    const auto multiply = [&](i64 g, const Block& b, const View& v, i64 first) {
      const i64 px = b.nb * b.hb * b.wb;
      if (b.nb != nb || b.hb != hb || b.wb != wb || v.px_step != px_step || v.row_step != row_step ||
          v.image_step != image_step) {
        nb = b.nb, hb = b.hb, wb = b.wb, px_step = v.px_step, row_step = v.row_step, image_step = v.image_step;
        const i64 whole = sliding ? wb : wb / kGroup * kGroup;
        in_groups = nb * hb * whole;
        i64 group = 0, single = in_groups;
        for (i64 n = 0; n < nb; ++n) {
          for (i64 h = 0; h < hb; ++h) {
            for (i64 w = 0; w < wb; ++w) {
              const i64 i = w < whole ? group++ : single++;
              x_at[i] = n * image_step + h * row_step + w * px_step;
              const i64 px = (n * q.YH + h * q.h.y_step) * q.YW + w * q.w.y_step;
              y_at[i] = staged > 0 ? ((n * hb + h) * wb + w) * staged : px * q.ldy;
              r_at[i] = px * at.ldr;
            }
          }
        }
      }
      TileArgs t{};
      t.x = v.x;
      t.x_at = x_at;
      for (i64 i = 0; i < kGroup - 1; ++i) t.apart[i] = (i + 1) * v.px_step;
      t.y_at = y_at;
      t.r_at = r_at;
      t.r_far = at.ldr % 512 == 0;
      t.past = past;
      t.nh = v.nh, t.tap_row = v.tap_row, t.nw = v.nw, t.tap_col = v.tap_col, t.run = v.run;
      if (sliding) t.nw = 1, t.run = v.nh > 0 ? q.C : 0;
      if (p.shared > 0 && !sliding) t.nh = v.nh > 0 ? q.h.taps : 0, t.nw = q.w.taps, t.run = q.C;
      t.row_px = b.wb;
      t.act = act_of_sums(at.act);
      const i64 px0 = (b.n0 * q.YH + q.h.y0 + b.h0 * q.h.y_step) * q.YW + q.w.y0 + b.w0 * q.w.y_step;
      const i64 y0 = px0 * q.ldy + g * p.O;
      for (i64 i = panel0, many; i < panel1; i += many) {
        const i64 o = i * kPanel;
        many = kPairPx > 0 && !sliding && i + 1 < panel1 && p.O - o >= 2 * kPanel ? 2 : 1;
        t.n = p.shared > 0 ? p.O / p.shared * together(g) : min_of(p.O - o, many * kPanel);
        t.second = K * kPanel;
        if (in_place && t.n >= kPanel) {
          t.w = at.w + g * p.O + o;
          t.ld_w = s.O;
          t.second = kPanel;
        } else {
          t.w = at.packed ? at.w + (g * p.panels + i) * K * kPanel
                          : panels + ((g - g0) * (panel1 - panel0) + i - panel0) * K * kPanel;
          t.ld_w = t.n <= kLanes ? kLanes : kPanel;
        }
        // Each step of the first tiles asks for a line: of the next panel, where none of this set has been read before,
        // else of the next block.
        const bool fresh = by_block ? unit.block == first_block : i + many < panel1 || u % p.blocks == p.blocks - 1;
        if (at.packed && fresh) {
          t.ask(t.w + many * K * t.ld_w, many * K * t.ld_w / asks_width(t.n), asks_width(t.n));
        } else if (!sliding) {
          const i64 left = (g1 - g) * (panel1 - panel0) - (i - panel0);
          const i64 share = min_of(ceil_div(ahead.left() * many, left), ahead.now.left_of_pass());
          t.ask(ahead.now.at, share, ahead.now.apart);
          ahead.now.at += share * ahead.now.apart;
          ahead.turn();
        }
        t.w += first * t.ld_w;
        t.w_skip = p.parts ? (q.w.taps * q.C - v.nw * v.run) * t.ld_w : 0;
        t.bias = at.bias ? at.bias + g * p.O + o : nullptr;
        t.mask = at.mask ? at.mask + y0 + o : nullptr;
        t.r = at.r ? at.r + px0 * at.ldr + g * p.O + o : nullptr;
        t.y = staged > 0 ? stage + (g - g0) * p.O + o : at.y + y0 + o;
        const bool stored = p.shared == 0 && !t.r && !t.mask && t.act < 2 && !p.parts && staged == 0 && !past;
        const shorts::Loop loop = stored ? shorts::of(v, b.wb, t.n) : shorts::Loop{};
        if (loop.sums) {
          shorts::run(loop, t, q, b, v);
        } else if (shared::kExists && p.shared > 0) {
          const VecI first = shared::first_channels(q.C, p.O / p.shared, together(g));
          if (sliding) shared::run_sliding(t, b, q, first, ahead);
          else shared::run_tiles(t, in_groups, px, first);
        } else if (many == 2) {
          run_pairs(t, px);
        } else if (sliding) {
          (t.n <= kLanes ? run_sliding<1> : run_sliding<2>)(t, b, q.h, ahead);
        } else {
          // Over long sums 14 single pixels two vectors wide are a little ahead of 12 in groups, which leave no rest.
          const bool wide = t.n > kLanes;
          const bool single = wide && !half_fits(t.n) && (K > kLongSum || in_groups < px);
          if (!wide) run_tiles<1>(t, in_groups, px);
          else run_tiles<2>(t, single ? 0 : in_groups, px, v.px_step % kOneSet == 0 ? min_of(kWays, kWidePx) : kWidePx);
        }
      }
    };
    for (i64 g = g0; g < g1; ++g) {
      const float* x = at.x + g * channels;
      if (!p.parts) {
        if (g * p.blocks + unit.block != viewed) {
          v = view_block(q, p.cut, b, x, p.shared > 0 ? together(g) * q.C : q.C, copy, p.shared == 0);
        }
        viewed = g * p.blocks + unit.block;
        multiply(g, b, v, 0);
        continue;
      }
      const i64 n_rows = cut_axis(q.h, b.h0, b.hb, rows), n_columns = cut_axis(q.w, b.w0, b.wb, columns);
      for (i64 i = 0; i < n_rows * n_columns; ++i) {
        const Piece &h = rows[i / n_columns], &w = columns[i % n_columns];
        multiply(g, {b.n0, b.nb, h.first, h.last - h.first, w.first, w.last - w.first},
                 view_part(q, b.n0, h, w, x, q.C), (h.taps.first * q.w.taps + w.taps.first) * q.C);
      }
    }
    if (past) streamed();
    if (staged > 0 || acts_behind(at.act)) {
      const i64 outputs = p.shared > 0 ? p.O / p.shared * s.G : p.O * p.G;
      const i64 o = g0 * p.O + panel0 * kPanel;
      const i64 n = min_of(min_of(g1 * p.O, (g1 - 1) * p.O + panel1 * kPanel), outputs) - o;
      const float* from = stage;
      for (i64 row = 0; row < b.nb * b.hb; ++row) {
        const i64 h = row / b.hb * q.YH + q.h.y0 + (b.h0 + row % b.hb) * q.h.y_step;
        float* y = at.y + ((b.n0 * q.YH + h) * q.YW + q.w.y0 + b.w0 * q.w.y_step) * q.ldy + o;
        if (staged == 0) {
          activate(at.act, y, b.wb, n, q.w.y_step * q.ldy);
          continue;
        }
        const bool past = goes_past(q, y) && n % kLanes == 0 && !acts_behind(at.act);
        for (i64 w = 0; w < b.wb; ++w, from += staged, y += q.w.y_step * q.ldy) {
          if (!past) {
            copy_floats(y, from, n);
            if (acts_behind(at.act)) activate(at.act, y, 1, n, n);
            continue;
          }
          for (i64 o = 0; o < n; o += kLanes) stream(y + o, load(from + o));
        }
        if (past) streamed();
      }
    }
  }
}

scatter::Plan scatter_plan(const Conv2DShape& s, const Pass& p) { return scatter::plan(s, kPanel, p.few); }

// Floats of workspace: weights, what the pixels give, rows of dx, bias, then two offsets per pixel.
Count scatter_floats(const Conv2DShape& s, const scatter::Plan& p) {
  return (Count(s.O) + Count(p.pixels)) * Count(p.ld) + Count(p.hb) * Count(p.row) + Count(s.C) * Count(kLanes) +
         Count(4 * p.pixels + 64);
}

// The gradient of x by products of pixels of dy (conv2d_scatter.h).
void run_scatter(const Conv2DShape& s, const scatter::Plan& p, Slice units, const Operands& at, Scratch scratch) {
  const i64 K = s.O, ldy = ldy_of(s), image = s.OH * s.OW;
  float* panels = reinterpret_cast<float*>(scratch.at);
  float* given = panels + K * p.ld;
  float* rows = given + p.pixels * p.ld;
  float* bias = rows + p.hb * p.row;
  i64* x_at = reinterpret_cast<i64*>(bias + s.C * kLanes);
  i64* y_at = x_at + p.pixels;
  if (units.begin >= units.end) return;
  for (i64 i = 0; i < s.C * kLanes; ++i) bias[i] = at.bias ? at.bias[i % s.C] : 0.0f;
  for (i64 i = 0; i < p.pixels; ++i) x_at[i] = i * ldy, y_at[i] = i * p.ld;
  for (i64 i = 0; i < p.width; i += kPanel) {
    const i64 n = min_of(p.width - i, kPanel), ld = panel_width(n);
    if (n < ld) zero_floats(panels + i * K, K * ld);
    transpose(panels + i * K, ld, at.w + i * K, K, n, K);
  }
  TileArgs t{};
  t.x_at = x_at, t.y_at = y_at;
  for (i64 i = 0; i < kGroup - 1; ++i) t.apart[i] = (i + 1) * ldy;
  t.nh = t.nw = 1, t.run = K;
  t.second = K * kPanel;
  const auto products = [&](const float* dy, i64 px) {
    t.x = dy;
    for (i64 i = 0; i < p.width; i += t.n) {
      const i64 n = p.width - i;
      t.n = kPairPx > 0 && n > 3 * kLanes ? 2 * kPanel : panel_width(n);
      t.w = panels + i * K;
      t.ld_w = min_of(t.n, kPanel);
      t.y = given + i;
      t.ask(t.w, 0, 0);
      if (t.n > kPanel) {
        run_pairs(t, px);
      } else if (t.n > kLanes) {
        run_tiles<2>(t, K > kLongSum || px % kGroup != 0 ? 0 : px, px);
      } else {
        run_tiles<1>(t, px / kGroup * kGroup, px);
      }
    }
  };
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 n0 = u / p.h_blocks * p.nb, h0 = u % p.h_blocks * p.hb, hb = min_of(p.hb, s.H - h0);
    const scatter::Rows seen = scatter::rows_for(s, h0, hb);
    for (i64 n = n0; n < min_of(n0 + p.nb, s.N); ++n) {
      zero_floats(rows, hb * p.row);
      // Whole rows of dy, or equal parts of one: the order of additions depends on neither N nor the unit.
      const i64 together = max_of(p.pixels / s.OW, 1), part = ceil_div(s.OW, ceil_div(s.OW, p.pixels));
      for (i64 oh = seen.first; oh < seen.last; oh += together) {
        const i64 dy_rows = min_of(together, seen.last - oh);
        for (i64 ow = 0; ow < s.OW; ow += part) {
          const i64 run = min_of(part, s.OW - ow);
          products(at.x + (n * image + oh * s.OW + ow) * ldy, dy_rows * run);
          for (i64 i = 0; i < dy_rows; ++i) {
            scatter::add(s, p, given + i * run * p.ld, oh + i, ow, run, h0, hb, rows);
          }
        }
      }
      for (i64 h = 0; h < hb; ++h) {
        const i64 to = (n * s.H + h0 + h) * s.W, pieces = at.r && at.ldr != s.C ? s.W : 1, length = s.W / pieces * s.C;
        for (i64 i = 0; i < pieces; ++i) {
          const few::Finish finish{bias, at.r ? at.r + (to + i) * at.ldr : nullptr,
                                   at.mask ? at.mask + (to + i) * s.C : nullptr, at.act};
          few::finish(rows + h * p.row + (p.left + i) * s.C, length, s.C, finish, at.y + (to + i) * s.C);
        }
      }
    }
  }
}

double conv_flops(const Conv2DShape& s) {
  const auto d = [](i64 v) { return static_cast<double>(v); };
  return 2.0 * d(s.N) * d(s.OH) * d(s.OW) * d(s.O) * d(s.KH) * d(s.KW) * d(s.C / s.G);
}

}  // namespace

namespace {

Count packed_floats(const Conv2DShape& s, const Pass& p) {
  return Count(p.G) * Count(p.panels) * Count(s.KH) * Count(s.KW) * Count(s.C / s.G) * Count(kPanel);
}

Facts forward_facts(const Conv2DShape& s, bool packed) {
  Facts f;
  f.error = conv2d_error(s, kActs - 1);
  if (!f.error && s.ldr != 0 && s.ldr < s.O) f.error = "ldr must be at least O";
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
  const Pass p = forward_plan(s, packed);
  if (packed) f.extent[1] = packed_floats(s, p);
  fill_facts(f, p, 1);
  return f;
}

}  // namespace

Facts conv2d_facts(const Conv2DShape& s) { return forward_facts(s, false); }
Facts conv2d_packed_facts(const Conv2DShape& s) { return forward_facts(s, true); }

void conv2d(const Conv2DShape& s, Slice units, Scratch scratch, const float* x, const float* w, const float* b,
            const float* r, float* y) {
  const Pass p = forward_plan(s, false);
  const Operands at{x, w,    s.bias ? b : nullptr, nullptr, s.residual ? r : nullptr, s.residual ? ldr_of(s) : 0,
                    y, s.act};
  run_phase(s, p, p.q, false, units.begin, units.end, at, scratch);
}

namespace {

void run_packed(const Conv2DShape& s, const Pass& p, Slice units, Scratch scratch, const float* x, const float* panels,
                const float* b, const float* r, float* y) {
  Operands at{x, panels, s.bias ? b : nullptr, nullptr, s.residual ? r : nullptr, s.residual ? ldr_of(s) : 0, y, s.act};
  at.packed = true;
  run_phase(s, p, p.q, false, units.begin, units.end, at, scratch);
}

}  // namespace

void conv2d_packed(const Conv2DShape& s, Slice units, Scratch scratch, const float* x, const float* panels,
                   const float* b, const float* r, float* y) {
  run_packed(s, forward_plan(s, true), units, scratch, x, panels, b, r, y);
}

void conv2d_packed_rows(const Conv2DShape& s, Scratch scratch, const float* x, const float* panels, const float* b,
                        const float* r, float* y) {
  const Pass p = forward_plan(s, true);
  run_packed(s, p, {0, p.runs * p.sets * p.blocks}, scratch, x, panels, b, r, y);
}

Facts conv2d_pack_facts(const Conv2DShape& s) {
  Facts f;
  f.error = conv2d_error(s, 2);
  if (f.error) return f;
  f.extent[0] = Count(s.KH) * Count(s.KW) * Count(s.C / s.G) * Count(s.O);
  const Pass p = forward_plan(s, true);
  f.extent[1] = packed_floats(s, p);
  const Count units = Count(p.G) * Count(p.panels);
  if (!f.extent[0].ok() || !f.extent[1].ok() || !units.ok()) return f;
  f.units = units.value();
  return f;
}

void conv2d_pack(const Conv2DShape& s, Slice units, Scratch, const float* w, float* panels) {
  if (units.begin >= units.end) return;  // then sizes need not multiply without overflow
  const Pass p = forward_plan(s, true);
  const Correlation& q = p.q;
  const bool sliding = slides(q.w.taps, q.w.stride, q.w.step, q.h.step, p.O);
  const i64 size = s.KH * s.KW * q.C * kPanel;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 g = u / p.panels, o = u % p.panels * kPanel, n = min_of(p.O - o, kPanel);
    float* to = panels + u * size;
    if (shared::kExists && p.shared > 0) {
      shared::pack(q, s, false, g * p.shared, p.O / p.shared, min_of(p.shared, s.G - g * p.shared), w, to);
    } else {
      pack_panel(q, s, false, sliding, g, o, n, panel_width(n), w, to);
    }
    if (n <= kLanes) zero_floats(to + size / 2, size / 2);
  }
}

Facts conv2d_grad_x_facts(const Conv2DShape& s) {
  Facts f;
  f.error = conv2d_error(s, 2);
  if (!f.error && s.ldr != 0 && s.ldr < s.C) f.error = "ldr must be at least C";
  if (f.error) return f;
  f.flops = conv_flops(s);
  f.extent[0] = pixels_extent(s.N, s.OH, s.OW, s.O, ldy_of(s));
  f.extent[1] = Count(s.KH) * Count(s.KW) * Count(s.C / s.G) * Count(s.O);
  f.extent[2] = Count(s.bias ? s.C : 0);
  f.extent[3] = s.residual ? pixels_extent(s.N, s.H, s.W, s.C, s.ldr ? s.ldr : s.C) : Count(0);
  f.extent[4] = s.act == 1 ? pixels_extent(s.N, s.H, s.W, s.C, ldx_of(s)) : Count(0);
  f.extent[5] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(s));
  for (int i = 0; i < 6; ++i) {
    if (!f.extent[i].ok()) return f;
  }
  const Pass p = grad_x_plan(s);
  const scatter::Plan scattered = scatter_plan(s, p);
  if (scattered.takes) {
    f.units = scattered.n_blocks * scattered.h_blocks;
    f.scratch = (scatter_floats(s, scattered) * Count(4)).value();
  } else {
    fill_facts(f, p, Count(min_of(s.SH, s.H)) * Count(min_of(s.SW, s.W)));
  }
  return f;
}

void conv2d_grad_x(const Conv2DShape& s, Slice units, Scratch scratch, const float* dy, const float* w, const float* b,
                   const float* r, const float* x, float* dx) {
  const Operands at{dy,
                    w,
                    s.bias ? b : nullptr,
                    s.act == 1 ? x : nullptr,
                    s.residual ? r : nullptr,
                    s.ldr ? s.ldr : s.C,
                    dx,
                    s.act == 2 ? 1 : 0};
  const Pass p = grad_x_plan(s);
  const scatter::Plan scattered = scatter_plan(s, p);
  if (scattered.takes) return run_scatter(s, scattered, units, at, scratch);
  const i64 per_phase = p.runs * p.sets * p.blocks;
  const i64 phases_w = min_of(s.SW, s.W);
  for (i64 u = units.begin; u < units.end;) {
    const i64 phase = u / per_phase, end = min_of(units.end, (phase + 1) * per_phase);
    const Correlation q = grad_x_correlation(s, phase / phases_w, phase % phases_w);
    run_phase(s, p, q, true, u - phase * per_phase, end - phase * per_phase, at, scratch);
    u = end;
  }
}

}  // namespace nacre::NACRE_ISA
