// Units are parts of the pixels by blocks of channels; vectors run along the channels, and the sums of a window's taps stay in
// registers: by turns for windows of 3x3 (depthwise_taps.h), along walks for those of 5x5 and 7x7 (depthwise_wide.h), else
// along rows of dy, some taps at a time.
#include "kernels/depthwise_shape.h"
#include "kernels/depthwise_taps.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kFarFloats = i64{1} << 20;  // of x and dy: what a forward pass left behind comes from memory sooner
constexpr i64 kManyParts = 16;            // need no blocks of channels besides
constexpr i64 kBlockRows = 8;             // of dy, over which sums are put down once

struct WeightPlan {
  i64 D, CB, c_blocks, blocks, parts;
  i64 DH, DW;  // phases, each an image of its own
};

bool asks(const DepthwiseConv2DShape& s) {
  return is_far(s, ldx_of(as_conv(s)), kFarFloats) && ldy_of(as_conv(s)) == s.C;
}

// Whether sums wait in the workspace.
bool by_turns(const DepthwiseConv2DShape& s) { return walks(s) && as_conv(s).O >= kLanes; }

// Few parts first, channels only where rows do not suffice: those of a pixel lie together.
WeightPlan weight_plan(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  const double units = static_cast<double>(c.N) * static_cast<double>(c.OH) * row_flops(c, c.OW) / kUnitFlops;
  const i64 wanted = units < kManyUnits ? max_of(static_cast<i64>(units), 1) : kManyUnits;
  WeightPlan p{};
  p.D = c.O;
  p.DH = near_taps(s) ? s.DH : 1, p.DW = near_taps(s) ? s.DW : 1;
  p.blocks = c.N * min_of(p.DH, c.OH) * ceil_div(ceil_div(c.OH, p.DH), kBlockRows);
  p.parts = max_of(min_of(wanted, p.blocks), 1);
  const i64 cuts = s.M > 1 || (asks(s) && p.parts >= kManyParts) ? 1 : ceil_div(wanted, p.parts);
  p.CB = max_of(ceil_div(ceil_div(p.D, cuts), kLanes), 1) * kLanes;
  p.c_blocks = max_of(ceil_div(p.D, p.CB), 1);
  return p;
}

// Whether x goes through a stage: what a block reads of a vector of channels is several times what the sets hold in which
// its pixels meet.
bool stages(const DepthwiseConv2DShape& s) {
  constexpr double kLinesOfL1 = 768;
  const double px = static_cast<double>(min_of((kBlockRows - 1) * s.SH + s.KH, s.H)) * static_cast<double>(s.W);
  const double sets = static_cast<double>(sets_between(ldx_of(as_conv(s))));
  return s.M == 1 && s.DH == 1 && s.DW == 1 && walks_wide(s) && px * sets > 3 * kLinesOfL1 && sets >= 8;
}

// Rows of x that rows [oh, oh + rows) of dy see.
struct Seen {
  i64 first, last;
};
Seen seen_rows(const DepthwiseConv2DShape& s, i64 oh, i64 rows) {
  const i64 ih = oh * s.SH - s.PT;
  return {max_of(ih, 0), min_of(ih + (rows - 1) * s.SH + (s.KH - 1) * s.DH + 1, s.H)};
}

// Windows that no walk knows go in tiles of rows by columns of taps, these `slide` apart, so that neighbours share them.
struct AnyWindow {
  i64 KH, KW, slide;
  i64 SH, SW, DH, DW;

  // In multiply-adds; tiles of less than 8 sums wait for them.
  i64 cost(i64 rows, i64 columns) const {
    const i64 fewer = KW / slide, more = KW % slide;  // `slide` runs of columns, some of them of one more
    const i64 runs = more * ceil_div(fewer + 1, columns) + (slide - more) * ceil_div(fewer, columns);
    return ceil_div(KH, rows) * runs * (max_of(rows * columns, 8) + rows + 1);
  }
  template <int rows, int columns>
  bool best() const {
    const i64 others = min_of(min_of(cost(1, kTapsOfRow), cost(4, 1)), min_of(cost(3, 3), cost(kRowsOfFour, 4)));
    return cost(rows, columns) <= others;
  }
};

// The sums of a window of any size: RT of its rows by T of its columns, `slide` apart, of which each input is read once: that
// of a column meets the outputs that see it with either of them.
template <int RT, int T, bool whole>
__attribute__((noinline)) void tap_sums(const AnyWindow& q, const Image& s, const float* dy, i64 oh, i64 end, i64 kh,
                                        i64 kw, i64 d, i64 skip, const TapSums& to) {
  const i64 lanes = s.D, width = s.IW, step = q.SW * s.ld_in, ld = s.ld_out, iw = kw * q.DW - s.PL, n = s.OW;
  Vec acc[RT][T];
  NACRE_UNROLL for (int t = 0; t < RT * T; ++t) acc[t / T][t % T] = zero();
  for (i64 h = oh; h < end; ++h) {
    const float* x[RT];
    i64 x_step[RT];
    NACRE_UNROLL for (int r = 0; r < RT; ++r) {
      const i64 ih = h * q.SH - s.PT + (kh + r) * q.DH;
      const bool inside = kh + r < q.KH && ih >= 0 && ih < s.IH;
      x[r] = inside ? s.in + ih * s.in_row + iw * s.ld_in + d : kZeroLine;
      x_step[r] = inside ? step : 0;
    }
    const float* g = dy + h * s.out_row + d;
    Vec now[T];  // dy of the outputs over a column
    NACRE_UNROLL for (int t = 0; t < T; ++t) now[t] = zero();
    i64 column = iw;
    for (i64 i = 0; i < n + T - 1; ++i, g += ld, column += q.SW) {
      NACRE_UNROLL for (int t = T - 1; t > 0; --t) now[t] = now[t - 1];
      now[0] = i < n ? get<whole>(g, lanes) : zero();
      if (column >= 0 && column < width) {
        NACRE_UNROLL for (int r = 0; r < RT; ++r) {
          const Vec a = get<whole>(x[r], lanes);
          NACRE_UNROLL for (int t = 0; t < T; ++t) acc[r][t] = fma(a, now[t], acc[r][t]);
        }
      }
      NACRE_UNROLL for (int r = 0; r < RT; ++r) x[r] += x_step[r];
    }
  }
  NACRE_UNROLL for (int r = 0; r < RT; ++r) {
    NACRE_UNROLL for (int t = 0; t < T; ++t) {
      const i64 column = kw + t * q.slide;
      if (kh + r >= q.KH || column >= q.KW) continue;
      float* p = to.dw + ((kh + r) * q.KW + column) * to.D + d;
      const Vec sum = to.add ? get<whole>(p, lanes) + acc[r][t] : acc[r][t];
      if (!whole) store(p, sum, lanes);
      else if (skip == 0) store(p, sum);
      else store(p, sum, ~first_lanes(skip));
    }
  }
}

template <int RT, int T, bool whole>
void all_taps(const AnyWindow& q, const Image& s, const float* dy, i64 oh, i64 end, i64 d, i64 skip,
              const TapSums& to) {
  for (i64 kh = 0; kh < q.KH; kh += RT) {
    for (i64 k0 = 0; k0 < min_of(q.slide, q.KW); ++k0) {
      for (i64 kw = k0; kw < q.KW; kw += T * q.slide) tap_sums<RT, T, whole>(q, s, dy, oh, end, kh, kw, d, skip, to);
    }
  }
}
void sum_any_taps(const AnyWindow& q, const Image& s, const float* dy, i64 oh, i64 end, i64 d, i64 skip,
                  const TapSums& to) {
  if (s.D < kLanes) return all_taps<3, 3, false>(q, s, dy, oh, end, d, skip, to);
  if (q.best<1, kTapsOfRow>()) return all_taps<1, kTapsOfRow, true>(q, s, dy, oh, end, d, skip, to);
  if (q.best<kRowsOfFour, 4>()) return all_taps<kRowsOfFour, 4, true>(q, s, dy, oh, end, d, skip, to);
  if (q.best<3, 3>()) return all_taps<3, 3, true>(q, s, dy, oh, end, d, skip, to);
  all_taps<4, 1, true>(q, s, dy, oh, end, d, skip, to);
}

void sum_any_window(const AnyWindow& q, const Image& s, const float* dy, i64 oh, i64 end, const TapSums& to) {
  for (i64 at = 0; at < s.D; at += kLanes) {
    const i64 d = s.D < kLanes ? 0 : min_of(at, s.D - kLanes), skip = at - d;
    sum_any_taps(q, s, dy, oh, end, d, skip, to);
    if (!to.db) continue;
    Vec total = zero();
    const i64 lanes = min_of(s.D, kLanes);
    for (i64 h = oh; h < end; ++h) {
      for (i64 w = 0; w < s.OW; ++w) total += load(dy + h * s.out_row + w * s.ld_out + d, lanes);
    }
    if (to.add) total += load(to.db + d, lanes);
    store(to.db + d, total, first_lanes(lanes) & ~first_lanes(skip));
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
  const Count rows = min_of((kBlockRows - 1) * s.SH + (s.KH - 1) * s.DH + 1, s.H);
  const Count staged = rows * Count(s.W) * Count(s.M > 1 ? spread_apart(c.O) : stages(s) ? kLanes : 0);
  const i64 ld = s.M > 1 ? spread_apart(c.O) : ldx_of(c);
  const Count scratch = Count(4) * (staged + (by_turns(s) ? tap_floats(s.SH, p.CB, ld) + Count(16) : Count(0)));
  const Count units = Count(p.parts) * Count(p.c_blocks);
  if (!f.extent[0].ok() || !f.extent[1].ok() || !scratch.ok() || !units.ok()) {
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
  const i64 D = c.O, taps = s.KH * s.KW, ldx = ldx_of(c), ldy = ldy_of(c), phases = min_of(p.DH, s.OH);
  const bool turns = by_turns(s);
  AnyWindow any{s.KH, s.KW, s.KW, s.SH, s.SW, p.DH > 1 ? 1 : s.DH, p.DW > 1 ? 1 : s.DW};
  if (any.SW % any.DW == 0) any.slide = any.SW / any.DW;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 d0 = u % p.c_blocks * p.CB, part = u / p.c_blocks, n_d = min_of(p.CB, D - d0);
    float* dw_part = dw + part * taps * D + d0;
    float* db_part = s.bias ? db + part * D + d0 : nullptr;
    const i64 first = p.blocks * part / p.parts, last = p.blocks * (part + 1) / p.parts;
    TapSums to{dw_part, D, db_part, false};
    Image whole{s.H, s.W, s.OH, s.OW, s.PT, s.PL, n_d, ldx, ldy, s.W * ldx, s.OW * ldy, x};
    whole.far = asks(s) && p.c_blocks == 1;
    float* wide = reinterpret_cast<float*>(scratch.at);
    if (turns) wide = set_taps(whole, s.SH, s.M > 1 ? spread_apart(D) : ldx, wide);
    if (stages(s)) whole.stage = wide;
    for (i64 i = first; i < last; ++i) {
      const i64 per = ceil_div(ceil_div(s.OH, p.DH), kBlockRows);
      const i64 n = i / per / phases, phase = i / per % phases, oh = i % per * kBlockRows;
      whole.in = x + n * s.H * s.W * ldx + d0;
      if (s.M > 1) {
        const Seen seen = seen_rows(s, oh, min_of(kBlockRows, s.OH - oh));
        const float* from = x + n * s.H * s.W * ldx + d0;
        whole.ld_in = spread_apart(D), whole.in_row = s.W * whole.ld_in, whole.in = wide - seen.first * whole.in_row;
        for (i64 h = seen.first; h < seen.last; ++h) {
          spread(wide + (h - seen.first) * whole.in_row, whole.ld_in, from + h * s.W * ldx, ldx, s.W, s.C, s.M);
        }
      }
      const float* dy_image = dy + n * s.OH * s.OW * ldy + d0;
      for (i64 q = 0; q < min_of(p.DW, s.OW); ++q) {
        i64 at;
        const Image image = phase_image(whole, p.DH, p.DW, phase, q, &at);
        const i64 end = min_of(oh + kBlockRows, image.OH), some = end - oh;
        if (some <= 0) continue;
        const float* g = dy_image + at;
        if (turns) s.SH == 1 ? sum_taps<1>(image, g, oh, end, s.bias) : sum_taps<2>(image, g, oh, end, s.bias);
        else if (!walks_wide(s)) sum_any_window(any, image, g, oh, end, to);
        else if (s.KH == 7) sum_wide_block<7, 1>(image, g, oh, some, to);
        else s.SH == 1 ? sum_wide_block<5, 1>(image, g, oh, some, to) : sum_wide_block<5, 2>(image, g, oh, some, to);
        to.add = true;
      }
    }
    if (turns) put_taps(whole, dw_part, db_part, D);
    if (turns || to.add) continue;  // else there was no row at all
    for (i64 t = 0; t < taps; ++t) zero_floats(dw_part + t * D, n_d);
    if (db_part) zero_floats(db_part, n_d);
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
