// Vectors run along the channels. Forward and gradient of x share their loops: walks where these know the window
// (depthwise_walk.h, depthwise_wide.h), else rows of outputs (depthwise_rows.h). Nothing is padded or copied, but with M > 1
// the input is spread to C*M channels first (gradient of x: summed afterwards), row by row.
#include "kernels/activate.h"
#include "kernels/conv2d.h"
#include "kernels/depthwise_bands.h"
#include "kernels/depthwise_rows.h"
#include "kernels/depthwise_shape.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr double kFewPx = 64;
constexpr double kRowsFlops = 1e5;        // short units make equal shares: a slice goes over its rows as one run
constexpr i64 kFarFloats = i64{4} << 20;  // read and written: fewer were just written, and are not far yet
constexpr i64 kActedFloats = 32 * 1024;   // of outputs that wait in L2 for what is left to do to them
constexpr i64 kKnownPhases = 3;           // of strided gradients are worked out once per slice, not once per row

// Whether the gaps between taps leave too few neighbours of H x W outputs to walk along.
bool too_far(const DepthwiseConv2DShape& s, i64 H, i64 W) {
  return (s.DH > 1 && 4 * H < 3 * s.KH * s.DH) || (s.DW > 1 && 4 * W < 3 * s.KW * s.DW);
}
// Whether walks know the window, and that of the gradient of x.
bool walks_forward(const DepthwiseConv2DShape& s) { return !too_far(s, s.OH, s.OW) && (walks(s) || walks_wide(s)); }
bool walks_back(const DepthwiseConv2DShape& s) {
  if (too_far(s, s.H, s.W)) return false;
  if (walks_wide(s)) return s.SH == 1 || (s.PT >= 0 && s.PL >= 0 && s.M == 1);
  if (s.KH != 3 || s.KW != 3 || !near_taps(s) || s.SH != s.SW || s.SH > (s.M == 1 ? 2 : 1)) return false;
  if (s.SH == 1) return s.PL >= 0 && s.W + s.PL <= s.OW + 2 * s.DW;
  return s.PT >= 0 && s.PL >= 0 && s.PL < 3 && (s.W - 1 + s.PL) / 2 <= s.OW;
}

// Where no walk goes, pixels of few channels are joined.
Joined joined_of(const DepthwiseConv2DShape& s, bool back) {
  return (back ? walks_back(s) : walks_forward(s)) ? Joined{} : join_pixels(s, back);
}

i64 rows_per_unit(double row_flops, i64 rows) {
  const double at_least = static_cast<double>(min_of(8, ceil_div(rows, kManyUnits)));  // rows share input
  double want = kRowsFlops / (row_flops + 1);
  want = want < at_least ? at_least : want;
  return want >= static_cast<double>(rows) ? max_of(rows, 1) : max_of(static_cast<i64>(want), 1);
}
i64 forward_rows_of(const Conv2DShape& s) { return rows_per_unit(row_flops(s, s.OW), s.N * s.OH); }
// Units of so many channels of all rows, where a walk knows the window and rows are too few for fair shares; 0: of rows.
NACRE_CALLED i64 channels_per_unit(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  const double px = static_cast<double>(s.N) * static_cast<double>(s.OH) * static_cast<double>(s.OW);
  if (s.M != 1 || !walks_forward(s) || px > kFewPx || (s.C % kLanes != 0 && s.C > kLanes)) return 0;
  const double units = static_cast<double>(c.N) * static_cast<double>(c.OH) * row_flops(c, c.OW) / kRowsFlops;
  const i64 vectors = ceil_div(c.O, kLanes);
  return ceil_div(vectors, units < 1 ? 1 : units < kManyUnits ? static_cast<i64>(units) : kManyUnits) * kLanes;
}
// Whether windows that walks know go in bands: where pixels of the result meet in few sets or come from memory, if not always.
bool in_bands(const DepthwiseConv2DShape& s, bool back) {
  if (s.KH != 3 || as_conv(s).O < kLanes || !(back ? walks_back(s) : walks_forward(s))) return false;
  const i64 ldx = ldx_of(as_conv(s)), ldy = ldy_of(as_conv(s)), sets = sets_between(back ? ldx : ldy);
  if (s.SH == 2 && back) return sets >= 16;
  if (only_bands(s.SH)) return true;
  return kLanes == 16 && s.M == 1 && s.DH == 1 && s.DW == 1 && (sets >= 16 || is_far(s, back ? ldy : ldx, kFarFloats));
}
Count band_workspace(const DepthwiseConv2DShape& s, bool back, i64 ld) {
  return in_bands(s, back) ? band_floats(s.SH, as_conv(s).O, ld) : Count(0);
}

i64 grad_x_rows_of(const Conv2DShape& s) {
  return rows_per_unit(row_flops(s, s.W) / static_cast<double>(s.SH) / static_cast<double>(s.SW), s.N * s.H);
}

// dx[px][c] = sum_m wide[px][c*M + m] for a row, masked where there is a mask
void sum_outputs(const DepthwiseConv2DShape& s, const float* wide, i64 ld, const float* mask, float* dx, i64 ldx) {
  for (i64 px = 0; px < s.W; ++px, wide += ld, dx += ldx) {
    if (s.M == 2) {
      for (i64 k = 0; k < s.C; ++k) dx[k] = wide[2 * k] + wide[2 * k + 1];
    }
    if (s.M == 4) {
      for (i64 k = 0; k < s.C; ++k) dx[k] = (wide[4 * k] + wide[4 * k + 1]) + (wide[4 * k + 2] + wide[4 * k + 3]);
    }
    for (i64 k = 0; k < s.C && s.M != 2 && s.M != 4; ++k) {
      float sum = 0.0f;
      for (i64 m = 0; m < s.M; ++m) sum += wide[k * s.M + m];
      dx[k] = sum;
    }
    for (i64 k = 0; mask && k < s.C; k += kLanes) {
      const i64 n = s.C - k;
      store(dx + k, select(gt(load(mask + px * ldx + k, n), zero()), load(dx + k, n)), n);
    }
  }
}

// Rows of C*M channels that are kept where M > 1.
constexpr i64 kSpreadRows = 4;  // of output at a time, where walks go
i64 rows_kept(const DepthwiseConv2DShape& s) { return walks_forward(s) ? (kSpreadRows - 1) * s.SH + s.KH : s.KH; }

void walk_image(const DepthwiseConv2DShape& s, const Image& image, i64 oh, i64 end) {
  if (s.KH == 7) gather_image<7, 1>(image, oh, end);
  else if (s.KH == 5) s.SH == 1 ? gather_image<5, 1>(image, oh, end) : gather_image<5, 2>(image, oh, end);
  else if (kLanes > 4 && image.taps) s.SH == 1 ? gather_bands<1>(image, oh, end) : gather_bands<2>(image, oh, end);
  else s.SH == 1 ? filter_image<1>(image, oh, end) : filter_image<2>(image, oh, end);
}

// The same where M > 1, over rows that are spread first.
void walk_spread(const DepthwiseConv2DShape& s, Image image, i64 oh, i64 end, float* wide) {
  const float* from = image.in;
  const i64 ld = image.ld_in, row = image.in_row;
  image.in = wide, image.ld_in = spread_apart(image.D), image.in_row = image.IW * image.ld_in,
  image.ring = rows_kept(s);
  i64 made = 0;
  for (; oh < end; oh += kSpreadRows) {
    const i64 last = min_of(oh + kSpreadRows, end), seen = min_of((last - 1) * s.SH - s.PT + s.KH, s.H);
    for (made = max_of(made, oh * s.SH - s.PT); made < seen; ++made) {
      spread(wide + made % image.ring * image.in_row, image.ld_in, from + made * row, ld, s.W, s.C, s.M);
    }
    walk_image(s, image, oh, last);
  }
}

// Rows [oh, end) of an image whose taps are DH x DW apart.
void walk_phases(const DepthwiseConv2DShape& s, const Image& image, i64 oh, i64 end) {
  for (i64 h = oh; h < min_of(end, oh + s.DH); ++h) {
    const i64 p = h % s.DH;
    for (i64 q = 0; q < min_of(s.DW, image.OW); ++q) {
      i64 at;
      Image phase = phase_image(image, s.DH, s.DW, p, q, &at);
      phase.out += at;
      if (phase.mask) phase.mask += at;
      walk_image(s, phase, h / s.DH, (end - 1 - p) / s.DH + 1);
    }
  }
}

// Channels that go over all rows of a slice together: few enough that the rows of a window stay in L1.
i64 pass_channels(i64 D, i64 M) { return M == 1 ? min_of(max_of(D, 1), 8 * i64{kLanes}) : max_of(D, 1); }

}  // namespace

Facts depthwise_conv2d_facts(const DepthwiseConv2DShape& s) {
  const Conv2DShape c = as_conv(s);
  Facts f = basic_facts(s, kActs);
  if (f.error) return f;
  f.extent[0] = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(c));
  f.extent[1] = taps_of(c) * Count(c.O);
  f.extent[2] = Count(s.bias ? c.O : 0);
  f.extent[3] = pixels_extent(s.N, s.OH, s.OW, c.O, ldy_of(c));
  const i64 ld = s.M > 1 ? spread_apart(c.O) : ldx_of(c);
  const Count rows = s.M > 1 ? Count(rows_kept(s)) * Count(s.W) * Count(ld) : Count(joined_floats(joined_of(s, false)));
  const Count scratch = Count(4) * (rows + band_workspace(s, false, ld));
  if (!f.extent[0].ok() || !f.extent[3].ok() || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  const i64 channels = channels_per_unit(s);
  f.units = channels > 0 ? ceil_div(c.O, channels) : ceil_div(s.N * s.OH, forward_rows_of(c));
  f.scratch = scratch.value();
  return f;
}

namespace {

// Some units at a time, and what is left to do to their outputs.
NACRE_CALLED void run_acted(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x, const float* w,
                            const float* b, float* y) {
  DepthwiseConv2DShape sums = s;
  sums.act = kNoAct;
  const i64 channels = channels_per_unit(s), per = forward_rows_of(as_conv(s)), rows = s.N * s.OH, O = s.C * s.M;
  const i64 ldy = s.ldy ? s.ldy : O, row = s.OW * ldy;
  const i64 step = channels > 0 ? units.end : max_of(kActedFloats / max_of(per * row, 1), 1);
  for (i64 u = units.begin, end; u < units.end; u = end) {
    end = min_of(u + step, units.end);
    depthwise_conv2d(sums, {u, end}, scratch, x, w, b, y);
    const i64 d = u * channels, first = u * per;
    if (channels > 0) activate(s.act, y + d, rows * s.OW, min_of(end * channels, O) - d, ldy);
    else activate(s.act, y + first * row, (min_of(end * per, rows) - first) * s.OW, O, ldy);
  }
}

}  // namespace

void depthwise_conv2d(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x, const float* w,
                      const float* b, float* y) {
  const Conv2DShape c = as_conv(s);
  if (acts_behind(s.act)) return run_acted(s, units, scratch, x, w, b, y);
  const Axis h = forward_rows(c), columns = forward_columns(c);
  const Taps inner = outputs_inside(columns);
  const i64 per = forward_rows_of(c), ldx = ldx_of(c), ldy = ldy_of(c), row = s.W * ldx;
  float* wide = reinterpret_cast<float*>(scratch.at);
  const i64 channels = channels_per_unit(s);
  const i64 begin = channels > 0 ? 0 : units.begin * per,
            end = channels > 0 ? s.N * s.OH : min_of(units.end * per, s.N * s.OH);
  const float floor = s.act ? 0.0f : -__builtin_inff(), ceiling = s.act == 2 ? 6.0f : __builtin_inff();
  const bool walk = walks_forward(s);
  Image image{s.H, s.W, s.OH, s.OW, s.PT, s.PL, c.O, ldx, ldy, row, s.OW * ldy, x, w, s.bias ? b : nullptr};
  image.floor = floor, image.ceiling = ceiling;
  image.far = is_far(s, ldx, kFarFloats);
  if (channels > 0) image.d0 = units.begin * channels, image.d1 = units.end * channels;
  if (in_bands(s, false)) wide = set_bands(image, s.SH, s.M > 1 ? spread_apart(c.O) : ldx, wide);
  if (const Joined j = joined_of(s, false); j.pixels > 0)
    return run_joined(s, j, false, begin, end, x, w, s.bias ? b : nullptr, nullptr, y, floor, ceiling, wide);
  for (i64 i = begin; i < end;) {
    const i64 n = i / s.OH, stop = min_of(end, (n + 1) * s.OH);
    if (walk) {
      image.in = x + n * s.H * row, image.out = y + n * s.OH * s.OW * ldy;
      if (s.M == 1) walk_phases(s, image, i - n * s.OH, stop - n * s.OH);
      else walk_spread(s, image, i - n * s.OH, stop - n * s.OH, wide);
      i = stop;
      continue;
    }
    for (i64 d = 0; d < c.O; d += pass_channels(c.O, s.M)) {
      Run r{};
      r.bias = s.bias ? b + d : nullptr;
      r.y_px = ldy;
      r.D = min_of(c.O - d, pass_channels(c.O, s.M));
      r.all = c.O;
      r.floor = floor;
      r.ceiling = ceiling;
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
            spread(wide + t * r.x_row, c.O, first + t * h.step * row, ldx, s.W, s.C, s.M);
          }
          run_row(h, th, columns, inner, wide, c.O, w, s.KW, r);
        }
      }
    }
    i = stop;
  }
}

namespace {

constexpr i64 kBandFloats = 128 * 1024;  // 512 KB of L2: rows of D channels before and behind the depthwise convolution
constexpr i64 kBandRows = 8;

Conv2DShape first_of(const DepthwiseBlockShape& s) {
  Conv2DShape c{};
  c.N = s.N, c.H = s.H, c.W = s.W, c.C = s.C, c.O = s.D, c.KH = s.KH, c.KW = s.KW, c.SH = s.SH, c.SW = s.SW,
  c.DH = c.DW = 1;
  c.PT = s.PT, c.PL = s.PL, c.OH = s.WH, c.OW = s.WW, c.G = 1, c.bias = s.bias[0], c.act = s.act[0];
  return c;
}
DepthwiseConv2DShape second_of(const DepthwiseBlockShape& s) {
  return {s.N, s.WH, s.WW, s.D, 1, 3, 3, s.S, s.S, 1, 1, s.PT2, s.PL2, s.OH, s.OW, s.bias[1], s.act[1], 0, 0};
}
Conv2DShape third_of(const DepthwiseBlockShape& s) {
  Conv2DShape c{};
  c.N = s.N, c.H = c.OH = s.OH, c.W = c.OW = s.OW, c.C = s.D, c.O = s.O,
  c.KH = c.KW = c.SH = c.SW = c.DH = c.DW = c.G = 1;
  c.bias = s.bias[2], c.act = s.act[2], c.residual = s.residual;
  return c;
}

// How a unit goes: a few rows of output at a time, and as many of D channels kept as these see; ring 0: x has them.
struct Bands {
  i64 rows, ring;
  i64 ring_floats, floats, work;
};

Bands bands_of(const DepthwiseBlockShape& s) {
  const i64 wide = s.WW * s.D, narrow = s.OW * s.D, step = s.S == 1 ? 4 : 2;  // as walks go
  const auto seen = [&](i64 rows) { return s.KH == 0 ? 0 : (rows - 1) * s.S + 3; };
  i64 rows = kBandRows;
  while (rows > step && seen(rows) * wide + rows * narrow > kBandFloats) rows -= step;
  rows = min_of(rows, s.rows);
  return {rows, seen(rows), ceil_div(seen(rows) * wide, 16) * 16, ceil_div(rows * narrow, 16) * 16,
          only_bands(s.S) && s.D >= kLanes ? ceil_div(band_floats(s.S, s.D, s.D).value(), 16) * 16 : 0};
}

// The most workspace that any of the problems takes that a unit puts to conv2d_packed: it depends on the rows, and on
// whether all windows lie inside.
Count most_scratch(const DepthwiseBlockShape& s, const Bands& b) {
  i64 most = 0;
  bool ok = true;
  const auto ask = [&](Conv2DShape c, i64 rows, i64 pad) {
    c.N = 1, c.OH = rows, c.H = (rows - 1) * c.SH + c.KH, c.PT = pad;
    const Facts f = conv2d_packed_facts(c);
    ok = ok && !f.error;
    most = max_of(most, f.scratch);
  };
  for (i64 rows = 1; rows <= b.ring; ++rows) {
    for (i64 pad = 0; pad < 2; ++pad) ask(first_of(s), rows, pad);
  }
  for (i64 rows = 1; rows <= b.rows; ++rows) ask(third_of(s), rows, 0);
  return ok ? most : -1;
}

}  // namespace

Facts depthwise_block_facts(const DepthwiseBlockShape& s) {
  const Facts f2 = depthwise_conv2d_facts(second_of(s)), f3 = conv2d_packed_facts(third_of(s));
  const Facts f1 = s.KH == 0 ? Facts{} : conv2d_packed_facts(first_of(s));
  Facts f;
  f.error = f1.error ? f1.error : f2.error ? f2.error : f3.error;
  if (!f.error && !walks(second_of(s)))
    f.error = "S is 1 or 2, and windows leave the image by no more than they overlap";
  if (!f.error && s.rows < 1) f.error = "rows must be positive";
  if (f.error) return f;
  f.flops = f1.flops + f2.flops + f3.flops;
  const Count extents[] = {s.KH == 0 ? f2.extent[0] : f1.extent[0],
                           f1.extent[1],
                           f1.extent[2],
                           f2.extent[1],
                           f2.extent[2],
                           f3.extent[1],
                           f3.extent[2],
                           f3.extent[3],
                           f3.extent[4]};
  Count all = 0;
  for (int i = 0; i < 9; ++i) all = all + (f.extent[i] = extents[i]);
  const Count most = (Count(s.WW) + Count(s.OW)) * Count(s.D) * Count(32);
  const Bands b = most.ok() ? bands_of(s) : Bands{};
  const Count scratch = most.ok() ? most_scratch(s, b) + Count(b.ring_floats + b.floats + b.work) * Count(4) : most;
  const Count units = Count(s.N) * Count(ceil_div(s.OH, s.rows));
  if (!all.ok() || !scratch.ok() || !units.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = f.extent[8].value() > 0 ? units.value() : 0;
  f.scratch = scratch.value();
  return f;
}

void depthwise_block(const DepthwiseBlockShape& s, Slice units, Scratch scratch, const float* x, const float* panels,
                     const float* b, const float* w2, const float* b2, const float* panels3, const float* b3,
                     const float* r, float* y) {
  const Bands p = bands_of(s);
  float* ring = reinterpret_cast<float*>(scratch.at);
  float* band = ring + p.ring_floats;
  const i64 used = (p.ring_floats + p.floats + p.work) * 4;
  const Scratch rest{scratch.at + used, scratch.bytes - used};
  Conv2DShape first = first_of(s), third = third_of(s);
  const DepthwiseConv2DShape second = second_of(s);
  first.N = third.N = 1;
  const i64 per = ceil_div(s.OH, s.rows), wide = s.WW * s.D;
  Image image{s.WH, s.WW, s.OH, s.OW,       s.PT2, s.PL2, s.D,
              s.D,  s.D,  wide, s.OW * s.D, ring,  w2,    s.bias[1] ? b2 : nullptr};
  image.floor = act_of_sums(s.act[1]) ? 0.0f : -__builtin_inff();
  image.ceiling = s.act[1] == kRelu6 ? 6.0f : __builtin_inff();
  image.ring = p.ring;
  if (p.work > 0) set_bands(image, s.S, s.D, band + p.floats);
  i64 made = 0, image_of = -1;  // the next row of D channels
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 n = u / per, end = min_of(s.OH, (u % per + 1) * s.rows);
    for (i64 oh = u % per * s.rows; oh < end; oh += p.rows) {
      const i64 rows = min_of(p.rows, end - oh), top = oh * s.S - s.PT2,
                seen = min_of((rows - 1) * s.S + 3 + top, s.WH);
      if (n != image_of || made < top) made = max_of(top, 0);
      image_of = n;
      if (p.ring == 0) image.in = x + n * s.WH * wide, made = seen;
      for (i64 i = made; i < seen; i = made) {
        const i64 count = min_of(seen - i, p.ring - i % p.ring), above = i * s.SH - s.PT;
        const i64 from = min_of(max_of(above, 0), s.H);
        first.OH = count, first.PT = from - above;
        first.H = max_of(min_of(above + (count - 1) * s.SH + s.KH, s.H) - from, 0);
        conv2d_packed_rows(first, rest, x + (n * s.H + from) * s.W * s.C, panels, b, nullptr, ring + i % p.ring * wide);
        made = i + count;
      }
      image.out = band - oh * s.OW * s.D;
      walk_image(second, image, oh, oh + rows);
      if (acts_behind(s.act[1])) activate(s.act[1], band, 1, rows * s.OW * s.D, 0);
      third.H = third.OH = rows;
      const i64 at = (n * s.OH + oh) * s.OW * s.O;
      conv2d_packed_rows(third, rest, band, panels3, b3, s.residual ? r + at : nullptr, y + at);
    }
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
  const Count wide =
      s.M > 1 ? Count(kSpreadRows) * Count(s.W) * Count(spread_apart(c.O)) : Count(joined_floats(joined_of(s, true)));
  const Count scratch = Count(4) * (wide + band_workspace(s, true, ldy_of(c)));
  if (!f.extent[0].ok() || !f.extent[3].ok() || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = ceil_div(s.N * s.H, grad_x_rows_of(c));
  f.scratch = scratch.value();
  return f;
}

void depthwise_conv2d_grad_x(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* dy,
                             const float* w, const float* x, float* dx) {
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
  const bool walk = walks_back(s);
  const i64 back = s.SH == 1 ? s.KH - 1 : 0;  // at stride 1 the forward loop with w turned round
  const i64 PT = back ? back * s.DH - s.PT : s.PT, PL = back ? back * s.DW - s.PL : s.PL;
  Image image{s.OH, s.OW, s.H, s.W, PT, PL, c.O, ldy, ldx, row, s.W * ldx, dy, w};
  image.floor = -__builtin_inff(), image.ceiling = __builtin_inff(), image.turned = back > 0;
  image.far = is_far(s, ldy, kFarFloats);
  if (in_bands(s, true)) wide = set_bands(image, s.SH, ldy, wide);
  if (const Joined j = joined_of(s, true); j.pixels > 0) {
    constexpr float most = __builtin_inff();
    return run_joined(s, j, true, units.begin * per, end, dy, w, nullptr, s.act ? x : nullptr, dx, -most, most, wide);
  }
  for (i64 i = units.begin * per; i < end;) {
    const i64 n = i / s.H, stop = min_of(end, (n + 1) * s.H);
    if (walk) {
      const i64 at = n * s.H * s.W * ldx;
      image.in = dy + n * s.OH * row, image.out = dx + at, image.mask = s.act ? x + at : nullptr;
      const i64 from = i - n * s.H, to = stop - n * s.H;
      for (i64 ih = from; s.M > 1 && ih < to; ih += kSpreadRows) {  // row by row of C*M channels, then their sums
        const i64 last = min_of(ih + kSpreadRows, to);
        image.ld_out = spread_apart(c.O), image.out_row = s.W * image.ld_out;
        image.out = wide - ih * image.out_row, image.mask = nullptr;
        walk_image(s, image, ih, last);
        for (i64 k = ih; k < last; ++k) {
          const i64 px = at + k * s.W * ldx;
          sum_outputs(s, wide + (k - ih) * image.out_row, image.ld_out, s.act ? x + px : nullptr, dx + px, ldx);
        }
      }
      if (s.M == 1 && s.SH == 1) walk_phases(s, image, from, to);
      else if (s.M == 1 && image.taps) scatter_bands(image, from, to);
      else if (s.M == 1) s.KH == 5 ? scatter_image<5>(image, from, to) : filter_pairs_image(image, from, to);
      i = stop;
      continue;
    }
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
        if (!direct) sum_outputs(s, wide, c.O, mask, dx + k * s.W * ldx, ldx);
      }
    }
    i = stop;
  }
}

}  // namespace nacre::NACRE_ISA
