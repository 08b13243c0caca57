// The gradient of convolution weights and bias.
//
// gemm: M = taps * channels, N = output channels, K = pixels. A unit owns a block of channels (with all taps) by a block of
// output channels, of one part of the pixels. It walks over blocks of pixels small enough for L2; within one, a tile of
// MR rows x NV vectors of dw stays in registers over all pixels: x is broadcast from consecutive floats, dy is vectors.
// With a window of one pixel, images that are near make one product (gemm.h) for each part of the pixels; where it
// strides, the pixels that it sees are copied side by side first, some channels at a time.
#include "kernels/conv2d.h"
#include "kernels/conv2d_few.h"
#include "kernels/conv2d_grad_w_tile.h"
#include "kernels/gemm.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kPanel = 2 * kLanes;
constexpr i64 kPixels = 320;             // per block: long enough to forget that dw is loaded and stored around it
constexpr i64 kFewPixels = 128;          // the least of that,
constexpr i64 kBlockFloats = 64 * 1024;  // where x and dy of a block and of the next one leave room in L2 for it
constexpr i64 kPackRows = 64;            // of dw from which copying dy side by side pays
constexpr i64 kCopyFloats = 80 * 1024;   // of x per block
constexpr i64 kSumFloats = 64 * 1024;    // of dw per unit: 256 KB of L2
constexpr i64 kFewSets = 512;  // floats: pixels so far apart, or a multiple of that, meet in few sets; of several
                               // taps, which share what they read, in too few at twice that
constexpr double kPartPx = 6;  // a part of a block costs as much as so many pixels
constexpr i64 kManyUnits = 32;
constexpr i64 kManyChannels = 256;                   // of all groups: a pixel of them is a page, or a good part of one
constexpr i64 kPartPixels = 512, kFarPixels = 1500;  // of a part at least, for partial sums to stay cheap
constexpr i64 kGathered = 256, kFewGathered = 512;   // channels of a block; the least that copying pays for

struct Plan {
  Correlation q;     // with the channels of one block
  i64 shared;        // 0, or groups that make one of G (conv2d_shared.h)
  i64 G, Cg, Og;     // a group's inputs; its outputs, or all that share a vector
  i64 CB, c_blocks;  // channels of a block
  i64 OB, o_blocks;  // output channels of a block, a multiple of kPanel
  i64 along, runs;   // groups that a unit takes one after another, and runs of so many
  i64 blocks, parts;
  Cut cut;
  bool few;     // outputs: too few to fill a vector
  bool inside;  // pixels that see the same taps go together
  bool product, gathers, far;
  i64 gathered;  // floats of the pixels of a block as one tap sees them, which are copied side by side
  bool ok;
};

i64 gathered_apart(i64 C) { return ceil_div(C, 16) * 16 + 16; }  // also where C floats are a power of two

// x^T dy over a part of the pixels, for one block of channels.
Product part_product(const Conv2DShape& s, const Plan& p) {
  const i64 apart = gathered_apart(p.CB);
  return {p.CB,  s.O,  ceil_div(s.N * s.OH * s.OW, p.parts), 1, p.gathers ? apart : ldx_of(s), ldy_of(s), 1, s.O, false,
          false, p.far};
}

i64 gathered_bytes(const Product& one, const Plan& p) { return p.gathers ? ceil_div(one.K * one.a_k, 16) * 64 : 0; }

i64 equal_blocks(i64 n, i64 most, i64 multiple) {
  const i64 blocks = max_of(ceil_div(n, max_of(most, multiple)), 1);
  return ceil_div(ceil_div(n, blocks), multiple) * multiple;
}

bool few_sets(const Conv2DShape& s, i64 apart) { return apart % (s.KH * s.KW == 1 ? kFewSets : 2 * kFewSets) == 0; }

Plan plan(const Conv2DShape& s) {
  Plan p{};
  p.q = forward_correlation(s);
  const Count taps = Count(s.KH) * Count(s.KW);
  const i64 t = taps.ok() ? taps.value() : i64{1} << 60;
  p.Cg = s.C / s.G;
  p.shared = shared::groups(s.G, p.Cg, s.O / s.G, t);
  p.G = p.shared > 0 ? ceil_div(s.G, p.shared) : s.G;
  p.Og = s.O / s.G * max_of(p.shared, 1);
  const double px = static_cast<double>(s.N) * static_cast<double>(s.OH) * static_cast<double>(s.OW);
  p.gathers = !pointwise(s);
  const double floats = p.gathers ? static_cast<double>(s.C) + static_cast<double>(s.O)
                                  : static_cast<double>(ldx_of(s)) + static_cast<double>(ldy_of(s));
  p.product = t == 1 && s.G == 1 && px > 0 && s.C >= (p.gathers ? kFewGathered : 1) && s.O > 0 &&
              everywhere_inside(p.q.h) && everywhere_inside(p.q.w);
  p.far = comes_from_memory(px, floats);
  p.parts = 1, p.CB = s.C;
  if (p.far) p.product = p.product && !p.gathers && product_asks(part_product(s, p));
  const Count few_sums = taps * Count(few::whole_vectors(p.Cg)) * Count(p.Og);
  p.few = few::takes(p.Og, few::kMostGradient, s.G, p.q, 0, 0) && few_sums.ok() && few_sums.value() <= kSumFloats &&
          (!p.product || p.Og <= few::kAtOnce);
  p.product = p.product && !p.few;
  const i64 stride = min_of(min_of(s.SH, s.KH), 4) * min_of(min_of(s.SW, s.KW), 4);  // pixels of x for one of dy
  p.OB = equal_blocks(max_of(p.Og, 1), t > 1 ? (stride < 4 ? 64 : 128) : p.Cg <= 128 ? 256 : 128, kPanel);
  p.o_blocks = ceil_div(p.Og, p.OB);
  const i64 channels = p.few ? p.Cg : max_of(kSumFloats / p.OB / t, 16);
  p.CB = min_of(equal_blocks(max_of(p.Cg, 1), channels, 16), max_of(p.Cg, 1));
  p.c_blocks = max_of(ceil_div(p.Cg, p.CB), 1);
  p.q.C = p.CB * max_of(p.shared, 1);
  // Groups one after another on a block, so that its pixels come whole.
  const i64 wide = p.q.C * stride + (p.G > 1 ? p.Og : p.OB);
  const Count sums = taps * Count(p.CB) * Count(p.Og);
  p.along = 1;
  if (p.c_blocks * p.o_blocks == 1 && max_of(p.q.C, p.Og) <= (s.C >= kManyChannels ? 2 : 1) * kLineFloats &&
      sums.ok() && sums.value() > 0) {
    p.along = min_of(kSumFloats / sums.value(), kBlockFloats / kFewPixels / wide);
    p.along = ceil_div(p.G, ceil_div(p.G, max_of(min_of(p.along, p.G), 1)));
  }
  p.runs = ceil_div(p.G, p.along);
  p.inside = !p.few && !p.product && p.shared == 0 && in_parts(p.q, kPartPx);
  p.cut = cut_blocks(p.q, max_of(kFewPixels, min_of(kPixels, kBlockFloats / max_of(p.along * wide, 1))),
                     p.inside ? i64{1} << 60 : kCopyFloats, !p.inside);
  if (p.inside) p.cut.floats = 0;
  if ((few_sets(s, s.SW * ldx_of(s)) || few_sets(s, s.SW * p.CB)) && p.shared == 0 && !p.few && !p.inside && !p.product)
    p.gathered = p.cut.nb * p.cut.hb * p.cut.wb * gathered_apart(p.CB);
  const Count blocks = Count(p.cut.n_blocks) * Count(p.cut.h_blocks) * Count(p.cut.w_blocks);
  const Count base = Count(p.runs) * Count(p.c_blocks) * Count(p.o_blocks);
  p.ok = taps.ok() && blocks.ok() && base.ok();
  if (!p.ok) return p;
  p.blocks = blocks.value();
  i64 units = base.value();
  if (p.product) {
    p.c_blocks = p.gathers ? ceil_div(s.C, kGathered) : 1;
    if (s.C % p.c_blocks != 0) p.c_blocks = 1;
    p.CB = s.C / p.c_blocks;
    p.parts = 1;
    units = p.c_blocks * product_units(part_product(s, p));
  }
  const double pairs = p.product
                           ? static_cast<double>(s.C) * static_cast<double>(s.O) / static_cast<double>(units)
                           : static_cast<double>(t) * static_cast<double>(p.CB) * static_cast<double>(p.OB * p.along);
  const double unit_flops = 2.0 * px * pairs;
  i64 parts = units > 0 ? ceil_div(kManyUnits, units) : 1;
  parts = min_of(parts, static_cast<i64>(min_of(static_cast<i64>(px / (p.far ? kFarPixels : kPartPixels)), 1 << 20)));
  if (unit_flops < 1e6 * static_cast<double>(parts)) parts = static_cast<i64>(unit_flops / 1e6);
  p.parts = max_of(p.product ? parts : min_of(parts, p.blocks), 1);
  return p;
}

Count weights(const Conv2DShape& s) { return Count(s.KH) * Count(s.KW) * Count(s.C / s.G) * Count(s.O); }

// Floats: block copy of x, panels of dy, then offsets of the lines.
Count scratch_floats(const Plan& p) {
  const Count px = Count(p.cut.nb) * Count(p.cut.hb) * Count(p.cut.wb);
  return Count(ceil_div(p.cut.floats, 16) * 16 + 16) + (p.few ? Count(kSumFloats) : px * Count(kPanel)) +
         Count(p.cut.nb) * Count(p.cut.hb) * Count(2) + Count(p.gathered) +
         Count(p.inside ? 2 * kMostPieces : 0) * Count(sizeof(Piece) / sizeof(float)) + Count(64);
}

// The pixels of a block seen through one tap, C floats of each, side by side: at large powers of two they would share few
// sets of the caches.
View gather_pixels(const View& v, const Block& b, i64 C, i64 tap, i64 KW, float* copy) {
  const i64 apart = gathered_apart(C);
  const float* x = v.x + tap / KW * v.tap_row + tap % KW * v.tap_col;
  float* to = copy;
  for (i64 n = 0; n < b.nb; ++n) {
    for (i64 h = 0; h < b.hb; ++h) {
      const float* from = x + n * v.image_step + h * v.row_step;
      for (i64 w = 0; w < b.wb; ++w, to += apart) copy_floats(to, from + w * v.px_step, C);
    }
  }
  return {copy, apart, b.wb * apart, b.hb * b.wb * apart, 1, 0, 1, 0, C};
}

// Panel [px][width] of dy, whose pixels then lie side by side and aligned, in few lines and sets of L1; n channels exist.
void pack_dy(const float* dy, i64 ld, i64 px, i64 n, i64 width, float* to) {
  if (n < width) zero_floats(to, px * width);
  for (i64 j = 0; j < px; ++j, dy += ld, to += width) {
    for (i64 v = 0; v < n; v += kLanes) {
      if (n - v >= kLanes) store(to + v, load(dy + v));
      else store(to + v, load(dy + v, n - v), n - v);
    }
  }
}

// p.CB channels of the pixels of x that `count` pixels of y from `first` on see.
void gather_seen(const Conv2DShape& s, const Plan& p, const float* x, i64 first, i64 count, float* to, i64 apart) {
  const i64 ldx = ldx_of(s);
  for (i64 row = first / s.OW, ow = first % s.OW; count > 0; ++row, ow = 0) {
    const float* x_row = x + (row / s.OH * s.H + p.q.h.at(row % s.OH, 0)) * s.W * ldx;
    for (; ow < s.OW && count > 0; ++ow, --count, to += apart) copy_floats(to, x_row + p.q.w.at(ow, 0) * ldx, p.CB);
  }
}

// Units of the products of all parts and blocks of channels; the first of a part adds up its db.
void run_products(const Conv2DShape& s, const Plan& p, Slice units, Scratch scratch, const float* x, const float* dy,
                  float* dw, float* db) {
  const Product one = part_product(s, p);
  const bool asks = product_asks(one);
  const i64 per_block = product_units(one), px = s.N * s.OH * s.OW;
  float* copy = reinterpret_cast<float*>(scratch.at);
  if (p.gathers) scratch.at += gathered_bytes(one, p);
  for (i64 u = units.begin; u < units.end;) {
    const i64 block = u / per_block, c0 = block % p.c_blocks * p.CB, part = block / p.c_blocks;
    const i64 from = u % per_block, to = min_of(per_block, from + units.end - u);
    const i64 first = part * one.K, count = min_of(one.K, px - first);
    const float* x_part = p.gathers ? copy : x + first * one.a_k;
    if (p.gathers) gather_seen(s, p, x + c0, first, count, copy, one.a_k);
    const float* dy_part = dy + first * one.b_k;
    float* sums = s.bias && asks ? db + part * s.O : nullptr;
    product(one, {from, to}, scratch, {x_part, dy_part, dw + (part * s.C + c0) * s.O, {}, sums}, count);
    for (i64 i = 0; s.bias && !asks && c0 == 0 && from == 0 && i < count; i += kPixels) {
      sum_columns(dy_part + i * one.b_k, one.b_k, min_of(kPixels, count - i), s.O, i > 0, db + part * s.O);
    }
    u += to - from;
  }
}

// The pixels of blocks [first, last) where outputs are few: sums of dw[o][taps] over all of them, turned at the end.
void few_outputs(const Conv2DShape& s, const Plan& p, i64 first, i64 last, const float* x, const float* dy, float* copy,
                 float* sums, i64* line, float* dw, float* db) {
  const i64 C = p.Cg, O = p.Og, ldy = ldy_of(s), y_row = p.q.YW * ldy, y_image = p.q.YH * y_row;
  const auto spill = [&](const View& v, bool add) {  // the view changes its form: what there is goes to dw
    const i64 ld = few::packed(v);
    float* to = dw;
    for (const float* run = sums; run < sums + ld; run += few::whole_vectors(v.run)) {
      for (i64 r = 0; r < v.run; ++r, to += O) {
        for (i64 o = 0; o < O; ++o) to[o] = (add ? to[o] : 0.0f) + run[o * ld + r];
      }
    }
  };
  View before{};
  bool any = false, spilled = false;
  for (i64 i = first; i < last; ++i) {
    const Block b = block_at(p.q, p.cut, i);
    const View v = view_block(p.q, p.cut, b, x, C, copy);
    for (i64 n = 0, l = 0; n < b.nb; ++n) {
      for (i64 h = 0; h < b.hb; ++h, ++l) line[l] = n * v.image_step + h * v.row_step;
    }
    const float* dy_block = dy + b.n0 * y_image + b.h0 * y_row + b.w0 * ldy;
    if (db) sum_columns(dy_block, ldy, b.nb * b.hb * b.wb, O, i > first, db);
    if (v.run == 0) continue;
    if (any && (v.nh != before.nh || v.nw != before.nw || v.run != before.run)) {
      spill(before, spilled);
      spilled = true;
      any = false;
    }
    const few::Gradient g{line, b.nb * b.hb, b.wb, v.px_step, dy_block, ldy, sums, few::packed(v), any};
    few::with_outputs(O, [&](i64 o, auto outputs) { few::gradients<outputs.value>(g, v, o); });
    before = v;
    any = true;
  }
  if (any) spill(before, spilled);
}

}  // namespace

Facts conv2d_grad_w_facts(const Conv2DShape& s) {
  Facts f;
  f.error = conv2d_error(s);
  if (f.error) return f;
  f.extent[0] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(s));
  f.extent[1] = pixels_extent(s.N, s.OH, s.OW, s.O, ldy_of(s));
  f.extent[2] = weights(s);
  f.extent[3] = Count(s.bias ? s.O : 0);
  for (int i = 0; i < 4; ++i) {
    if (!f.extent[i].ok()) return f;
  }
  const Plan p = plan(s);
  if (p.product) {
    const Product one = part_product(s, p);
    f.units = p.parts * p.c_blocks * product_units(one);
    f.scratch = gathered_bytes(one, p) + product_scratch(one);
  }
  const Count units = Count(p.parts) * Count(p.runs) * Count(p.c_blocks) * Count(p.o_blocks);
  const Count scratch = scratch_floats(p) * Count(4);
  if (!p.ok || !units.ok() || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.extent[2] = Count(p.parts) * f.extent[2];
  f.extent[3] = Count(p.parts) * f.extent[3];
  if (!p.product) {
    f.units = units.value();
    f.scratch = scratch.value();
  }
  f.flops = 2.0 * static_cast<double>(s.N * s.OH * s.OW) * static_cast<double>(weights(s).value());
  return f;
}

void conv2d_grad_w(const Conv2DShape& s, Slice units, Scratch scratch, const float* x, const float* dy, float* dw,
                   float* db) {
  const Plan p = plan(s);
  if (p.product) return run_products(s, p, units, scratch, x, dy, dw, db);
  const i64 taps = s.KH * s.KW, ldy = ldy_of(s), dw_size = weights(s).value();
  float* copy = reinterpret_cast<float*>(scratch.at);
  float* gathered = copy + ceil_div(p.cut.floats, 16) * 16 + 16;
  float* dy_panel = gathered + p.gathered;
  i64* line = reinterpret_cast<i64*>(dy_panel + p.cut.nb * p.cut.hb * p.cut.wb * kPanel);
  Piece* h_pieces = reinterpret_cast<Piece*>(line + p.cut.nb * p.cut.hb);
  Piece* w_pieces = h_pieces + kMostPieces;
  const Correlation outputs = output_image(p.q);
  const i64 y_row = p.q.YW * ldy, y_image = p.q.YH * y_row;

  Ahead ahead;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 c0 = u % p.c_blocks * p.CB, o0 = u / p.c_blocks % p.o_blocks * p.OB;
    const i64 run = u / p.c_blocks / p.o_blocks % p.runs, part = u / p.c_blocks / p.o_blocks / p.runs;
    const i64 g0 = run * p.along, g1 = min_of(g0 + p.along, p.G), per_group = max_of(p.shared, 1) * p.Cg;
    const i64 C = min_of(p.CB, p.Cg - c0), first = p.blocks * part / p.parts, last = p.blocks * (part + 1) / p.parts;
    const RowMap rows{C, p.Cg, c0, s.O};
    const auto together = [&](i64 g) { return min_of(p.shared, s.G - g * p.shared); };
    const auto outputs_of = [&](i64 g) { return p.shared > 0 ? s.O / s.G * together(g) : min_of(p.OB, p.Og - o0); };
    const auto dw_of = [&](i64 g) { return dw + part * dw_size + g * p.Og + o0; };
    const auto db_of = [&](i64 g) { return s.bias && c0 == 0 ? db + part * s.O + g * p.Og + o0 : nullptr; };
    for (i64 g = g0; g < g1 && (first == last || p.inside); ++g) {  // no pixels, or taps that some of them do not see
      for (i64 tap = 0; tap < taps; ++tap) {
        for (i64 c = 0; c < C; ++c) zero_floats(dw_of(g) + rows.at(tap, c), outputs_of(g));
      }
      if (db_of(g) && first == last) zero_floats(db_of(g), outputs_of(g));
    }
    if (p.few) {
      few_outputs(s, p, first, last, x, dy, copy, dy_panel, reinterpret_cast<i64*>(dy_panel + kSumFloats), dw_of(0),
                  db_of(0));
      continue;
    }
    for (i64 ig = first * p.along; ig < last * p.along; ++ig) {  // blocks, and groups of each
      const i64 i = ig / p.along, g = g0 + ig % p.along;
      if (g >= g1) continue;
      const i64 O = outputs_of(g);
      const float* x_group = x + g * per_group + c0;
      float* db_part = db_of(g);
      const Block b = block_at(p.q, p.cut, i);
      const i64 px = b.nb * b.hb * b.wb;
      const float* dy_block = dy + b.n0 * y_image + b.h0 * y_row + b.w0 * ldy + g * p.Og + o0;
      if (g == g0) {
        ahead = {};
        if (i + 1 < last) {
          const Block next = block_at(p.q, p.cut, i + 1);
          ahead = ahead_of(wanted_of(p.q, next, x_group, (g1 - g0 - 1) * per_group + C, 16),
                           wanted_of(outputs, next, dy + g * p.Og + o0, (g1 - g0 - 1) * p.Og + O, 16),
                           (g1 - g0) * s.KH * ceil_div(C, kSharedChannels));
        }
      }
      View v{};
      if (!p.inside) v = view_block(p.q, p.cut, b, x_group, C * max_of(together(g), 1), copy, p.shared == 0);
      const bool gathers = p.gathered > 0 && few_sets(s, v.px_step);
      // Parts of each image, or the block as it is.
      const i64 images = p.inside ? b.nb : 1;
      const i64 n_rows = p.inside ? cut_axis(p.q.h, b.h0, b.hb, h_pieces) : 1;
      const i64 n_columns = p.inside ? cut_axis(p.q.w, b.w0, b.wb, w_pieces) : 1;
      const i64 views = gathers ? taps : 1, panels = ceil_div(O, kPanel);
      const View seen = v;
      for (i64 view = 0; view < views * panels; ++view) {  // each against all panels
        const i64 o = view % panels * kPanel, tap = view / panels;
        if (gathers && o == 0) v = gather_pixels(seen, b, C, tap, s.KW, gathered);
        TapTile t{};
        t.line = line;
        t.add = p.inside || i > first;
        t.n = min_of(O - o, kPanel);
        const i64 width = t.n <= kLanes ? kLanes : kPanel;
        t.ld_dy = ldy;
        t.dy = dy_block + o;
        const bool compact = ldy == width && aligned(t.dy);
        if (t.n < width || (!compact && taps * C >= kPackRows)) {
          pack_dy(t.dy, ldy, px, t.n, width, dy_panel);
          t.dy = dy_panel;
          t.ld_dy = width;
        }
        if (db_part && !gathers && !p.inside && p.shared == 0 && adds_up(v)) t.db = db_part + o;
        else if (db_part && tap == 0) sum_columns(t.dy, t.ld_dy, px, t.n, i > first, db_part + o);
        t.dw = dw_of(g) + o;
        const float* dy_first = t.dy;
        for (i64 j = 0; j < images * n_rows * n_columns; ++j) {
          Piece h{b.h0, b.h0 + b.hb, {0, 0}}, w{b.w0, b.w0 + b.wb, {0, 0}};
          if (p.inside) {
            const i64 n = j / n_columns / n_rows;
            h = h_pieces[j / n_columns % n_rows], w = w_pieces[j % n_columns];
            v = view_part(p.q, b.n0 + n, h, w, x_group, C);
            t.dy = dy_first + ((n * b.hb + h.first - b.h0) * b.wb + w.first - b.w0) * t.ld_dy;
          }
          if (v.nh * v.nw * v.run == 0) continue;
          t.lines = 0;
          for (i64 n = 0; n < b.nb / images; ++n) {
            for (i64 r = h.first; r < h.last; ++r) line[t.lines++] = n * v.image_step + (r - h.first) * v.row_step;
          }
          t.cols = w.last - w.first;
          t.dy_skip = (b.wb - t.cols) * t.ld_dy;
          t.px_step = v.px_step;
          t.tap_row = v.tap_row;
          if (shared::kExists && p.shared > 0) {
            run_shared(t, v, rows, s, shared::first_channels(C, s.O / s.G, together(g)), ahead);
          } else {
            run_tiles(t, v, rows, gathers ? tap : h.taps.first * s.KW + w.taps.first, s.KW, ahead);
          }
        }
      }
    }
  }
}

Facts conv2d_grad_w_join_facts(const Conv2DShape& s) {
  Facts f = conv2d_grad_w_facts(s);
  if (f.error || !f.extent[2].ok() || !f.extent[3].ok()) return f;
  const Count w = weights(s), b(s.bias ? s.O : 0);
  f.extent[0] = f.extent[2];
  f.extent[1] = f.extent[3];
  f.extent[2] = w;
  f.extent[3] = b;
  f.flops = static_cast<double>(f.extent[0].value()) + static_cast<double>(f.extent[1].value());
  f.scratch = 0;
  f.units = ceil_div(w.value(), kJoinFloats) + ceil_div(b.value(), kJoinFloats);
  return f;
}

void conv2d_grad_w_join(const Conv2DShape& s, Slice units, const float* dw_parts, const float* db_parts, float* dw,
                        float* db) {
  const i64 parts = plan(s).parts, w = weights(s).value(), w_units = ceil_div(w, kJoinFloats);
  for (i64 u = units.begin; u < units.end; ++u) {
    if (u < w_units) {
      join_parts(u, parts, w, dw_parts, dw);
    } else {
      join_parts(u - w_units, parts, s.O, db_parts, db);
    }
  }
}

}  // namespace nacre::NACRE_ISA
