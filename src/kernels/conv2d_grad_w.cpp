// The gradient of convolution weights and bias.
//
// gemm: M = taps * channels, N = output channels, K = pixels. A unit owns a block of channels (with all taps) by a block of
// output channels, of one part of the pixels. It walks over blocks of pixels small enough for L2; within one, a tile of
// MR rows x NV vectors of dw stays in registers over all pixels: x is broadcast from consecutive floats, dy is vectors.
// With a window of one pixel, images that are near make one product (gemm.h) for each part of the pixels; where it
// strides, the pixels that it sees are copied side by side first, some channels at a time.
#include "kernels/conv2d.h"
#include "kernels/conv2d_few.h"
#include "kernels/conv2d_shared.h"
#include "kernels/correlate.h"
#include "kernels/gemm.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 14, kNarrowRows = 24;  // of a tile two vectors and one vector wide
#elif defined(__ARM_NEON)
constexpr int kRows = 8, kNarrowRows = 8;
#else
constexpr int kRows = 6, kNarrowRows = 6;
#endif
constexpr int kSharedTaps = kLanes >= 16 ? 3 : 2, kSharedChannels = 4;  // of a tile of groups that share a vector
constexpr int kSharedRows = kSharedTaps * kSharedChannels;
constexpr int kMostRows = max_of(max_of(kRows, kNarrowRows), kSharedRows);
constexpr i64 kPanel = 2 * kLanes;
constexpr i64 kPixels = 320;             // per block: long enough to forget that dw is loaded and stored around it
constexpr i64 kFewPixels = 128;          // the least of that,
constexpr i64 kBlockFloats = 64 * 1024;  // where x and dy of a block and of the next one leave room in L2 for it
constexpr i64 kPackRows = 64;            // of dw from which copying dy side by side pays
constexpr i64 kCopyFloats = 80 * 1024;   // of x per block
constexpr i64 kSumFloats = 64 * 1024;    // of dw per unit: 256 KB of L2
constexpr double kPartPx = 6;            // a part of a block costs as much as so many pixels
constexpr i64 kManyUnits = 32;
constexpr i64 kGathered = 256, kFewGathered = 512;  // channels of a block; the least that copying pays for
constexpr double kFarFloats = 3 * 1024 * 1024;      // of x and dy, for which L3 has no room: asked for block by block

struct Plan {
  Correlation q;     // with the channels of one block
  i64 shared;        // 0, or groups that make one of G (conv2d_shared.h)
  i64 G, Cg, Og;     // a group's inputs; its outputs, or all that share a vector
  i64 CB, c_blocks;  // channels of a block
  i64 OB, o_blocks;  // output channels of a block, a multiple of kPanel
  i64 blocks, parts;
  Cut cut;
  bool few;     // outputs: too few to fill a vector
  bool inside;  // pixels that see the same taps go together
  bool product, gathers;
  bool ok;
};

// x^T dy over a part of the pixels, for one block of channels.
Product part_product(const Conv2DShape& s, const Plan& p) {
  const i64 apart = p.CB + 16;  // also where CB floats are a power of two
  return {p.CB, s.O, ceil_div(s.N * s.OH * s.OW, p.parts), 1, p.gathers ? apart : ldx_of(s), ldy_of(s), 1, s.O};
}

i64 gathered_bytes(const Product& one, const Plan& p) { return p.gathers ? ceil_div(one.K * one.a_k, 16) * 64 : 0; }

i64 equal_blocks(i64 n, i64 most, i64 multiple) {
  const i64 blocks = max_of(ceil_div(n, max_of(most, multiple)), 1);
  return ceil_div(ceil_div(n, blocks), multiple) * multiple;
}

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
  const double floats = px * static_cast<double>(p.gathers ? s.C + s.O : ldx_of(s) + ldy_of(s));
  p.product = t == 1 && s.G == 1 && px > 0 && s.C >= (p.gathers ? kFewGathered : 1) && s.O > 0 &&
              floats <= kFarFloats && everywhere_inside(p.q.h) && everywhere_inside(p.q.w);
  const Count few_sums = taps * Count(few::whole_vectors(p.Cg)) * Count(p.Og);
  p.few = few::takes(p.Og, few::kMostGradient, s.G, p.q, 0, 0) && few_sums.ok() && few_sums.value() <= kSumFloats &&
          (!p.product || p.Og <= few::kAtOnce);
  p.product = p.product && !p.few;
  p.OB = equal_blocks(max_of(p.Og, 1), t > 1 ? 64 : p.Cg <= 128 ? 256 : 128, kPanel);
  p.o_blocks = ceil_div(p.Og, p.OB);
  const i64 channels = p.few ? p.Cg : max_of(kSumFloats / p.OB / t, 16);
  p.CB = min_of(equal_blocks(max_of(p.Cg, 1), channels, 16), max_of(p.Cg, 1));
  p.c_blocks = max_of(ceil_div(p.Cg, p.CB), 1);
  p.q.C = p.CB * max_of(p.shared, 1);
  p.inside = !p.few && !p.product && p.shared == 0 && in_parts(p.q, kPartPx);
  p.cut = cut_blocks(p.q, max_of(kFewPixels, min_of(kPixels, kBlockFloats / (p.CB + p.OB))),
                     p.inside ? i64{1} << 60 : kCopyFloats, !p.inside);
  if (p.inside) p.cut.floats = 0;
  const Count blocks = Count(p.cut.n_blocks) * Count(p.cut.h_blocks) * Count(p.cut.w_blocks);
  const Count base = Count(p.G) * Count(p.c_blocks) * Count(p.o_blocks);
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
  const double pairs = p.product ? static_cast<double>(s.C) * static_cast<double>(s.O) / static_cast<double>(units)
                                 : static_cast<double>(t) * static_cast<double>(p.CB) * static_cast<double>(p.OB);
  const double unit_flops = 2.0 * px * pairs;
  i64 parts = units > 0 ? ceil_div(kManyUnits, units) : 1;
  parts = min_of(parts, static_cast<i64>(min_of(static_cast<i64>(px / 512), 1 << 20)));  // partial sums stay cheap
  if (unit_flops < 1e6 * static_cast<double>(parts)) parts = static_cast<i64>(unit_flops / 1e6);
  p.parts = max_of(p.product ? parts : min_of(parts, p.blocks), 1);
  return p;
}

Count weights(const Conv2DShape& s) { return Count(s.KH) * Count(s.KW) * Count(s.C / s.G) * Count(s.O); }

// Floats: block copy of x, panels of dy, then offsets of the lines.
Count scratch_floats(const Plan& p) {
  const Count px = Count(p.cut.nb) * Count(p.cut.hb) * Count(p.cut.wb);
  return Count(ceil_div(p.cut.floats, 16) * 16 + 16) + (p.few ? Count(kSumFloats) : px * Count(kPanel)) +
         Count(p.cut.nb) * Count(p.cut.hb) * Count(2) +
         Count(p.inside ? 2 * kMostPieces : 0) * Count(sizeof(Piece) / sizeof(float)) + Count(64);
}

struct TapTile {
  const float* x;
  const i64* line;  // offset of each line of pixels
  i64 lines, cols, px_step, tap_row;
  const float* dy;
  i64 ld_dy, dy_skip;  // from pixel to pixel, and from the end of a line to the next one
  float* dw;
  i64 row_at[kMostRows];
  i64 n;  // output channels
  bool add;
  const float* ahead;  // what the next block reads is asked for line by line, one with each pixel
  i64 ahead_step;
};

// Rows that do not fill their vectors: one function for all tiles. sums[row][width].
__attribute__((noinline)) void put_some(const TapTile& t, i64 rows, i64 width, const float* sums) {
  for (i64 i = 0; i < rows; ++i, sums += width) {
    float* dw = t.dw + t.row_at[i];
    for (i64 o = 0; o < t.n; o += kLanes) {
      const i64 n = min_of(t.n - o, kLanes);
      const Vec sum = load(sums + o);
      store(dw + o, t.add ? load(dw + o, n) + sum : sum, n);
    }
  }
}

template <int MR, int NV>
NACRE_INLINE void put_rows(const TapTile& t, Vec (&acc)[MR][NV]) {
  if (t.n < NV * kLanes) {
    float sums[MR * NV * kLanes];
    NACRE_UNROLL for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) store(sums + (i * NV + v) * kLanes, acc[i][v]);
    }
    return put_some(t, MR, NV * kLanes, sums);
  }
  float* const dw = t.dw;
  if (t.add) {
    NACRE_UNROLL for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] += load(dw + t.row_at[i] + v * kLanes);
    }
  }
  NACRE_UNROLL for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL for (int v = 0; v < NV; ++v) store(dw + t.row_at[i] + v * kLanes, acc[i][v]);
  }
}

// NP rows of taps, RR consecutive floats of each.
template <int NP, int RR, int NV>
void grad_tile(const TapTile& t) {
  constexpr int MR = NP * RR;
  Vec acc[MR][NV];
  NACRE_UNROLL for (int i = 0; i < MR; ++i) { NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = zero(); }
  const float* dy = t.dy;
  const float* ahead = t.ahead;
  for (i64 l = 0; l < t.lines; ++l, dy += t.dy_skip) {
    const float* x[NP];
    NACRE_UNROLL for (int p = 0; p < NP; ++p) x[p] = t.x + t.line[l] + p * t.tap_row;
    for (i64 q = 0; q < t.cols; ++q, dy += t.ld_dy, ahead += t.ahead_step) {
      prefetch_far(ahead);
      Vec d[NV];
      NACRE_UNROLL for (int v = 0; v < NV; ++v) d[v] = load(dy + v * kLanes);
      NACRE_UNROLL for (int p = 0; p < NP; ++p) {
        NACRE_UNROLL for (int r = 0; r < RR; ++r) {
          const Vec a = set1(x[p][r]);
          NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[p * RR + r][v] = fma(a, d[v], acc[p * RR + r][v]);
        }
        x[p] += t.px_step;
      }
    }
  }
  put_rows(t, acc);
}

using TileFn = void (*)(const TapTile&);
template <int NP, int RR, int NV>
constexpr TileFn tile_or_none() {
  if constexpr (NP * RR <= (NV == 1 ? kNarrowRows : kRows)) {
    return grad_tile<NP, RR, NV>;
  } else {
    return nullptr;
  }
}
template <int NV>
TileFn tile_of(i64 NP, i64 RR) {
#define ROW(NP, R) \
  tile_or_none<NP, R, NV>(), tile_or_none<NP, R + 1, NV>(), tile_or_none<NP, R + 2, NV>(), tile_or_none<NP, R + 3, NV>()
  static constexpr TileFn one[] = {ROW(1, 1), ROW(1, 5), ROW(1, 9), ROW(1, 13), ROW(1, 17), ROW(1, 21)};
  static constexpr TileFn two[] = {ROW(2, 1), ROW(2, 5), ROW(2, 9)};
  static constexpr TileFn three[] = {ROW(3, 1), ROW(3, 5)};
#undef ROW
  return (NP == 1 ? one : NP == 2 ? two : three)[RR - 1];
}

// The offsets of weight rows: float r of the run that starts at tap `tap` is row (tap + r/CB)*Cg + c0 + r%CB.
struct RowMap {
  i64 CB, Cg, c0, ld;
  inline __attribute__((always_inline)) i64 at(i64 tap, i64 c) const { return (tap * Cg + c0 + c) * ld; }
};

// One block of pixels, or a part of it, against one panel of dy; taps from `first` on, KW of them a row.
void run_tiles(TapTile t, const View& v, const RowMap& rows, i64 first, i64 KW, Ahead& x_ahead, Ahead& dy_ahead) {
  const i64 taps_of_run = v.run / rows.CB;
  const bool narrow = t.n <= kLanes;
  const i64 most = narrow ? kNarrowRows : kRows;
  // Short runs: several rows of taps share a tile.
  const i64 group = v.nw == 1 && v.run <= most / 2 ? min_of(min_of(v.nh, most / v.run), 3) : 1;
  for (i64 h = 0; h < v.nh; h += group) {
    const i64 np = min_of(group, v.nh - h);
    for (i64 w = 0; w < v.nw; ++w) {
      const i64 tiles = ceil_div(v.run, most / np), low = v.run / tiles, higher = v.run % tiles;
      i64 r0 = 0, tap0 = first + h * KW + w * taps_of_run, c = 0;  // the tap and channel of float r0
      for (i64 i = 0; i < tiles; ++i) {
        const i64 rr = low + (i < higher ? 1 : 0);
        for (i64 r = 0; r < rr; ++r) {
          for (i64 p = 0; p < np; ++p) t.row_at[p * rr + r] = rows.at(tap0 + p * KW, c);
          if (++c == rows.CB) c = 0, ++tap0;
        }
        t.x = v.x + h * v.tap_row + w * v.tap_col + r0;
        Ahead& ahead = x_ahead.at < x_ahead.end ? x_ahead : dy_ahead;
        t.ahead_step = ahead.at < ahead.end ? 16 : 0;
        t.ahead = t.ahead_step > 0 ? ahead.at : t.dy;
        ahead.at += t.lines * t.cols * t.ahead_step;
        (narrow ? tile_of<1>(np, rr) : tile_of<2>(np, rr))(t);
        r0 += rr;
      }
    }
  }
}

// NT taps of a row by NC channels of groups that share a vector.
template <int NT, int NC>
void shared_tile(const TapTile& t, i64 tap_col, VecI first) {
  Vec acc[NT * NC][1];
  VecI from[NC];
  NACRE_UNROLL for (int i = 0; i < NT * NC; ++i) acc[i][0] = zero();
  NACRE_UNROLL for (int c = 0; c < NC; ++c) from[c] = first + set1i(c);
  const float* dy = t.dy;
  for (i64 l = 0; l < t.lines; ++l, dy += t.dy_skip) {
    const float* x = t.x + t.line[l];
    for (i64 q = 0; q < t.cols; ++q, dy += t.ld_dy, x += t.px_step) {
      const Vec d = load(dy);
      NACRE_UNROLL for (int i = 0; i < NT; ++i) {
        NACRE_UNROLL for (int c = 0; c < NC; ++c) {
          acc[i * NC + c][0] = fma(shared::pick(x + i * tap_col, from[c]), d, acc[i * NC + c][0]);
        }
      }
    }
  }
  put_rows(t, acc);
}

// One block of pixels against the dy of such groups.
void run_shared(TapTile t, const View& v, const RowMap& rows, const Conv2DShape& s, VecI first) {
  static constexpr void (*all[2][3])(const TapTile&, i64, VecI) = {
      {shared_tile<1, 1>, shared_tile<1, 2>, shared_tile<1, kSharedChannels>},
      {shared_tile<kSharedTaps, 1>, shared_tile<kSharedTaps, 2>, shared_tile<kSharedTaps, kSharedChannels>}};
  for (i64 h = 0; h < s.KH; ++h) {
    for (i64 w = 0, taps; w < s.KW; w += taps) {
      taps = s.KW - w >= kSharedTaps ? kSharedTaps : 1;
      t.x = v.x + h * v.tap_row + w * v.tap_col;
      for (i64 c = 0, n; c < rows.CB; c += n) {
        n = rows.CB - c >= kSharedChannels ? kSharedChannels : min_of(rows.CB - c, 2);
        for (i64 i = 0; i < taps * n; ++i) t.row_at[i] = rows.at(h * s.KW + w + i / n, c + i % n);
        const VecI from = first + set1i(static_cast<i32>(c));
        all[taps > 1][min_of(n, 3) - 1](t, v.tap_col, from);
      }
    }
  }
}

// The pixels of a block seen through one tap, side by side: at large powers of two they would share the sets of L1.
void gather_pixels(View& v, const Block& b, i64 C, float* copy) {
  float* to = copy;
  for (i64 n = 0; n < b.nb; ++n) {
    for (i64 h = 0; h < b.hb; ++h) {
      const float* from = v.x + n * v.image_step + h * v.row_step;
      for (i64 w = 0; w < b.wb; ++w, to += C) copy_floats(to, from + w * v.px_step, C);
    }
  }
  v.x = copy;
  v.px_step = C;
  v.row_step = b.wb * C;
  v.image_step = b.hb * b.wb * C;
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

// db[o] (+)= sum over pixels of the panel, in four chains
void bias_sums(const float* panel, i64 width, i64 px, i64 n, bool add, float* db) {
  for (i64 o = 0; o < n; o += kLanes) {
    const i64 m = min_of(n - o, kLanes);
    const Mask some = first_lanes(m);
    Vec sum[4] = {zero(), zero(), zero(), zero()};
    const float* at = panel + o;
    i64 i = 0;
    for (; i + 4 <= px; i += 4, at += 4 * width) {
      NACRE_UNROLL for (int c = 0; c < 4; ++c) sum[c] += load(at + c * width, some);
    }
    for (; i < px; ++i, at += width) sum[0] += load(at, some);
    Vec total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    if (add) total += load(db + o, m);
    store(db + o, total, m);
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
    product(one, {from, to}, scratch, {x_part, dy_part, dw + (part * s.C + c0) * s.O, {}}, count);
    for (i64 i = 0; s.bias && c0 == 0 && from == 0 && i < count; i += kPixels) {
      bias_sums(dy_part + i * one.b_k, one.b_k, min_of(kPixels, count - i), s.O, i > 0, db + part * s.O);
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
    if (db) bias_sums(dy_block, ldy, b.nb * b.hb * b.wb, O, i > first, db);
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
  const Count units = Count(p.parts) * Count(p.G) * Count(p.c_blocks) * Count(p.o_blocks);
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
  float* dy_panel = copy + ceil_div(p.cut.floats, 16) * 16 + 16;
  i64* line = reinterpret_cast<i64*>(dy_panel + p.cut.nb * p.cut.hb * p.cut.wb * kPanel);
  Piece* h_pieces = reinterpret_cast<Piece*>(line + p.cut.nb * p.cut.hb);
  Piece* w_pieces = h_pieces + kMostPieces;
  const Correlation outputs = output_image(p.q);
  const i64 y_row = p.q.YW * ldy, y_image = p.q.YH * y_row;

  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 c0 = u % p.c_blocks * p.CB, o0 = u / p.c_blocks % p.o_blocks * p.OB;
    const i64 g = u / p.c_blocks / p.o_blocks % p.G, part = u / p.c_blocks / p.o_blocks / p.G;
    const i64 together = min_of(p.shared, s.G - g * p.shared);
    const i64 C = min_of(p.CB, p.Cg - c0), O = p.shared > 0 ? s.O / s.G * together : min_of(p.OB, p.Og - o0);
    const float* x_group = x + g * max_of(p.shared, 1) * p.Cg + c0;
    const RowMap rows{C, p.Cg, c0, s.O};
    float* dw_part = dw + part * dw_size + g * p.Og + o0;
    float* db_part = s.bias && c0 == 0 ? db + part * s.O + g * p.Og + o0 : nullptr;
    const i64 first = p.blocks * part / p.parts, last = p.blocks * (part + 1) / p.parts;
    if (first == last || p.inside) {  // no pixels at all, or taps that some of them do not see
      for (i64 tap = 0; tap < taps; ++tap) {
        for (i64 c = 0; c < C; ++c) zero_floats(dw_part + rows.at(tap, c), O);
      }
      if (db_part && first == last) zero_floats(db_part, O);
    }
    if (p.few) {
      few_outputs(s, p, first, last, x, dy, copy, dy_panel, reinterpret_cast<i64*>(dy_panel + kSumFloats), dw_part,
                  db_part);
      continue;
    }
    for (i64 i = first; i < last; ++i) {
      const Block b = block_at(p.q, p.cut, i);
      const i64 px = b.nb * b.hb * b.wb;
      const float* dy_block = dy + b.n0 * y_image + b.h0 * y_row + b.w0 * ldy + g * p.Og + o0;
      Ahead x_ahead{x, x, 0}, dy_ahead{dy, dy, 0};
      if (i + 1 < last) {
        const Block next = block_at(p.q, p.cut, i + 1);
        const i64 tiles = ceil_div(O, kPanel) * ceil_div(taps * C, O <= kLanes ? kNarrowRows : kRows);
        x_ahead = ahead_of(p.q, next, x_group, C, tiles);
        dy_ahead = ahead_of(outputs, next, dy + g * p.Og + o0, O, tiles);
      }
      View v{};
      if (!p.inside) v = view_block(p.q, p.cut, b, x_group, C * max_of(together, 1), copy, p.shared == 0);
      if (taps == 1 && v.x != copy && v.px_step % 512 == 0) gather_pixels(v, b, C, copy);
      // Parts of each image, or the block as it is.
      const i64 images = p.inside ? b.nb : 1;
      const i64 n_rows = p.inside ? cut_axis(p.q.h, b.h0, b.hb, h_pieces) : 1;
      const i64 n_columns = p.inside ? cut_axis(p.q.w, b.w0, b.wb, w_pieces) : 1;
      for (i64 o = 0; o < O; o += kPanel) {
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
        if (db_part) bias_sums(t.dy, t.ld_dy, px, t.n, i > first, db_part + o);
        t.dw = dw_part + o;
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
            run_shared(t, v, rows, s, shared::first_channels(C, s.O / s.G, together));
          } else {
            run_tiles(t, v, rows, h.taps.first * s.KW + w.taps.first, s.KW, x_ahead, dy_ahead);
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
