// Means of windows and their gradients. Vectors run along the channels. Where windows overlap, what they share is added up
// once.
#include "kernels/pool2d_shape.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kWideChannels = 256;  // that a mean takes row by row of its window
constexpr i64 kFewChannels = 96;    // of which vectors go along a row of windows in turn
constexpr bool kFewRegisters = kLanes == 8;

// 1 / (how many taps of window o lie in the image), along one axis; 0 where none does
float share_of(i64 o, i64 K, i64 S, i64 P, i64 n) {
  const i64 seen = min_of(o * S - P + K, n) - max_of(o * S - P, 0);
  return seen > 0 ? 1.0f / static_cast<float>(seen) : 0.0f;
}

// ---- windows apart ----

// Where the vector for channels from c on begins, early enough to be whole.
NACRE_INLINE i64 channel_of(i64 c, i64 C) { return min_of(c, C - kLanes); }

template <int NV, bool whole>
NACRE_INLINE void add_pixel(Vec (&sum)[NV], const float* x, i64 n) {
  NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] += get<whole>(x + v * kLanes, n);
}

// y = scale * sum
template <int NV, int KH, int KW, bool whole>
NACRE_INLINE void mean_vectors(const Seen& seen, i64 c, i64 n, Vec scale, float* y) {
  const float* x = seen.x + c;
  Vec sum[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = zero();
  if constexpr (KH > 0) {
    NACRE_UNROLL for (i64 h = 0; h < KH; ++h) {
      NACRE_UNROLL for (i64 w = 0; w < KW; ++w) add_pixel<NV, whole>(sum, x + h * seen.row + w * seen.px, n);
    }
  } else {
    for (i64 h = 0; h < seen.nh; ++h) {
      for (i64 w = 0; w < seen.nw; ++w) add_pixel<NV, whole>(sum, x + h * seen.row + w * seen.px, n);
    }
  }
  NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(y + c + v * kLanes, sum[v] * scale, n);
}

template <int KH, int KW>
void mean_pixels(Seen seen, i64 pixels, i64 x_step, i64 C, float share, float* y, i64 y_step) {
  const Vec scale = set1(share);
  for (i64 i = 0; i < pixels; ++i, seen.x += x_step, y += y_step) {
    i64 c = 0;
    for (; KH == 0 && c + 8 * kLanes <= C; c += 8 * kLanes) mean_vectors<8, KH, KW, true>(seen, c, kLanes, scale, y);
    for (; c + 4 * kLanes <= C; c += 4 * kLanes) mean_vectors<4, KH, KW, true>(seen, c, kLanes, scale, y);
    for (; c + kLanes <= C; c += kLanes) mean_vectors<1, KH, KW, true>(seen, c, kLanes, scale, y);
    if (c < C) mean_vectors<1, KH, KW, false>(seen, c, C - c, scale, y);
  }
}

// Windows of 3x3 two columns apart, side by side: the column that two of them have in common is added up once. The second
// of two vectors ends at C at the latest.
template <int NV>
NACRE_INLINE void mean_by_two_run(const Seen& seen, i64 pixels, i64 c, i64 C, Vec scale, float* y, i64 y_step) {
  const i64 second = NV == 2 ? channel_of(c + kLanes, C) - channel_of(c, C) : 0;
  const auto at = [=](int v) __attribute__((always_inline)) { return NV == 2 && v == 1 ? second : v * kLanes; };
  if (NV == 2) c = channel_of(c, C);
  const float* x = seen.x + c;
  const i64 row = seen.row, px = seen.px;
  Vec left[NV], middle[NV], right[NV];
  const auto next_column = [&](Vec(&sum)[NV]) __attribute__((always_inline)) {
    NACRE_UNROLL for (int v = 0; v < NV; ++v) {
      sum[v] = load(x + at(v)) + load(x + row + at(v)) + load(x + 2 * row + at(v));
    }
    x += px;
  };
  next_column(left);
  for (y += c; pixels > 0; --pixels, y += y_step) {
    next_column(middle);
    next_column(right);
    NACRE_UNROLL for (int v = 0; v < NV; ++v) {
      store(y + at(v), (left[v] + middle[v] + right[v]) * scale);
      left[v] = right[v];
    }
  }
}
void mean_by_two(const Seen& seen, i64 pixels, i64 C, float share, float* y, i64 y_step) {
  const Vec scale = set1(share);
  i64 c = 0;
  for (; c + 4 * kLanes <= C; c += 4 * kLanes) mean_by_two_run<4>(seen, pixels, c, C, scale, y, y_step);
  for (; c < C; c += 2 * kLanes) mean_by_two_run<2>(seen, pixels, c, C, scale, y, y_step);
}

// The same a row of the window at a time, with sums in y: pixels of many channels lie so far apart that those of all rows
// would push each other out of the cache.
template <int NV, bool whole>
NACRE_INLINE void mean_of_row(const float* x, i64 px, i64 nw, bool add, Vec scale, float* y, i64 n) {
  Vec sum[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = add ? get<whole>(y + v * kLanes, n) : zero();
  for (i64 w = 0; w < nw; ++w, x += px) add_pixel<NV, whole>(sum, x, n);
  NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(y + v * kLanes, sum[v] * scale, n);
}
void mean_by_rows(const Seen& seen, i64 pixels, i64 x_step, i64 C, float share, float* y, i64 y_step) {
  const i64 nh = seen.nh, nw = seen.nw, px = seen.px;
  for (i64 i = 0; i < pixels; ++i, y += y_step) {
    for (i64 h = 0; h < nh; ++h) {
      const float* x = seen.x + i * x_step + h * seen.row;
      const Vec scale = set1(h + 1 < nh ? 1.0f : share);
      i64 c = 0;
      for (; c + 4 * kLanes <= C; c += 4 * kLanes) mean_of_row<4, true>(x + c, px, nw, h > 0, scale, y + c, kLanes);
      for (; c < C; c += kLanes) mean_of_row<1, false>(x + c, px, nw, h > 0, scale, y + c, C - c);
    }
  }
}

// A share of each window's gradient for each of its pixels, of windows side by side.
void hand_shares(i64 windows, const float* dy, i64 ldy, float share, float* dx, i64 pixels, i64 ldx, i64 C) {
  const Vec factor = set1(share);
  for (; windows > 0; --windows, dy += ldy) {
    if (C <= kLanes) {
      const Vec part = load(dy, C) * factor;
      for (i64 px = 0; px < pixels; ++px, dx += ldx) store(dx, part, C);
      continue;
    }
    for (i64 px = 0; px < pixels; ++px, dx += ldx) {
      i64 c = 0;
      for (; c + 4 * kLanes <= C; c += 4 * kLanes) {
        NACRE_UNROLL for (int v = 0; v < 4; ++v) store(dx + c + v * kLanes, load(dy + c + v * kLanes) * factor);
      }
      each_vector_as<true>(C, c,
                           [=](i64 at) __attribute__((always_inline)) { store(dx + at, load(dy + at) * factor); });
    }
  }
}

// Each pixel of dx has its share of one dy, or nothing.
void apart_mean_grad_rows(const Pool2DShape& s, Slice units, const float* dy, float* dx) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = gradient_rows(s), rows = s.N * s.H;
  const Range whole = s.SW == s.KW ? range_within(-s.PL, s.SW, s.OW, 0, s.W - s.KW + 1) : Range{0, 0};
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.H, ih = r % s.H + s.PT, oh = floor_div(ih, s.SH), top = oh * s.SH - s.PT;
    const i64 seen_h = min_of(top + s.KH, s.H) - max_of(top, 0);
    float* dx_row = dx + r * s.W * ldx;
    i64 done = 0;  // columns of this row
    if (oh >= 0 && oh < s.OH && ih - oh * s.SH < s.KH) {
      for (i64 ow = 0, run; ow < s.OW; ow += run) {
        const i64 first = max_of(ow * s.SW - s.PL, 0), last = min_of(ow * s.SW - s.PL + s.KW, s.W);
        run = ow >= whole.first && ow < whole.last ? whole.last - ow : 1;
        for (; done < min_of(first, s.W); ++done) zero_channels(dx_row + done * ldx, s.C);
        if (first >= last) continue;
        const float share = s.index ? 1.0f : 1.0f / static_cast<float>(seen_h * (last - first));
        const float* from = dy + ((n * s.OH + oh) * s.OW + ow) * ldy;
        hand_shares(run, from, ldy, share, dx_row + done * ldx, last - done, ldx, s.C);
        done = last + (run - 1) * s.SW;
      }
    }
    for (; done < s.W; ++done) zero_channels(dx_row + done * ldx, s.C);
  }
}

// ---- 3x3 at stride 1 ----

// Two rows of windows, or of pixels of dx, at a time: each column is added up once, and what lies outside is zeros.
#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int kWalkVectors = 4;  // of channels, with the sums of three columns each
#else
constexpr int kWalkVectors = 2;
#endif

struct MeanWalk {
  const float* in;  // of one image
  i64 height, width, in_row, in_px;
  i64 ih, iw;  // where the first window begins
  float* out;
  i64 out_row, out_px, pixels;         // out_row 0: only the first row is wanted
  i64 pad_h, pad_w, image_h, image_w;  // input (h, w) is of a window of the image from (h - pad_h, w - pad_w) on
  // Factors of rows, for how many columns of a window lie in the image.
  float of_in[4][4], of_out[4][2];
};

i64 inside_of_three(i64 start, i64 n) {
  const Range seen = taps_within(start, 3, n);
  return seen.last - seen.first;
}

template <int NV, bool back, bool whole>
NACRE_INLINE void mean_walk(const MeanWalk& k, i64 c, i64 n) {
  alignas(64) static constexpr float nothing[kWalkVectors * kLanes] = {};
  const i64 second = NV == 2 ? channel_of(c + kLanes, n) - channel_of(c, n) : 0;
  const auto at = [=](int v) __attribute__((always_inline)) { return NV == 2 && v == 1 ? second : v * kLanes; };
  if (NV == 2) c = channel_of(c, n);
  const float* in[4];
  i64 step[4];
  NACRE_UNROLL for (int row = 0; row < 4; ++row) {
    const bool inside = k.ih + row >= 0 && k.ih + row < k.height;
    in[row] = inside ? k.in + (k.ih + row) * k.in_row + k.iw * k.in_px + c : nothing;
    step[row] = inside ? k.in_px : 0;
  }
  const i64 width = k.width, image_w = k.image_w, pad_w = k.pad_w, out_row = k.out_row, out_px = k.out_px;
  float* out = k.out + c;
  i64 iw = k.iw;
  const auto next_column = [&](Vec(&sum)[2][NV]) __attribute__((always_inline)) {
    const bool inside = iw >= 0 && iw < width;
    const float* share = k.of_in[back ? inside_of_three(iw - pad_w, image_w) : 0];
    NACRE_UNROLL for (int v = 0; v < NV; ++v) {
      Vec x[4];
      NACRE_UNROLL for (int row = 0; row < 4 && inside; ++row) {
        x[row] = in_register(get<whole>(in[row] + at(v), n));
        if (back) x[row] = x[row] * set1(share[row]);
        if (kFewRegisters) prefetch(in[row] + (NV + v) * kLanes);  // the walk over the next channels finds it
      }
      NACRE_UNROLL for (int r = 0; r < 2; ++r) sum[r][v] = inside ? x[r] + x[r + 1] + x[r + 2] : zero();
    }
    NACRE_UNROLL for (int row = 0; row < 4; ++row) in[row] += step[row];
    ++iw;
  };
  Vec a[2][NV], b[2][NV], d[2][NV];
  next_column(a);
  next_column(b);
  for (i64 left = k.pixels; left > 0; --left, out += out_px) {
    next_column(d);
    const float* share = k.of_out[back ? 0 : inside_of_three(iw - 3, width)];
    NACRE_UNROLL for (int r = 1; r >= 0; --r) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        const Vec sum = a[r][v] + b[r][v] + d[r][v];
        put<whole>(out + r * out_row + at(v), back ? sum : sum * set1(share[r]), n);
        a[r][v] = b[r][v], b[r][v] = d[r][v];
      }
    }
  }
}

template <bool back>
void mean_walks(MeanWalk& k, i64 C) {
  for (int w = 0; w < 4; ++w) {
    for (int r = 0; r < 4; ++r) {
      const i64 rows = back ? inside_of_three(k.ih + r - k.pad_h, k.image_h) : inside_of_three(k.ih + r, k.height);
      const float share = rows * w > 0 ? 1.0f / static_cast<float>(rows * w) : 0.0f;
      if (back) k.of_in[w][r] = share;
      else if (r < 2) k.of_out[w][r] = share;
    }
  }
  i64 c = 0;
  for (; kWalkVectors > 2 && c + kWalkVectors * kLanes <= C; c += kWalkVectors * kLanes) {
    mean_walk<kWalkVectors, back, true>(k, c, C);
  }
  for (; c < C && C >= kLanes; c += 2 * kLanes) mean_walk<2, back, true>(k, c, C);
  if (c < C) mean_walk<1, back, false>(k, c, C);
}

// Rows of `out`, which are y, or dx where `back`.
void walk_means(const Pool2DShape& s, bool back, Slice units, const float* in, float* out) {
  const i64 per = back ? gradient_rows(s) : forward_rows(s), in_px = back ? ldy_of(s) : ldx_of(s);
  const i64 OH = back ? s.H : s.OH, OW = back ? s.W : s.OW, out_px = back ? ldx_of(s) : ldy_of(s), rows = s.N * OH;
  MeanWalk k{};
  k.height = back ? s.OH : s.H, k.width = back ? s.OW : s.W;
  k.in_px = in_px, k.in_row = k.width * in_px;
  k.iw = back ? s.PL - 2 : -s.PL;
  k.out_px = out_px, k.pixels = OW;
  k.pad_h = s.PT, k.pad_w = s.PL, k.image_h = s.H, k.image_w = s.W;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows), pair; r < end; r += pair) {
    const i64 h = r % OH;
    pair = min_of(min_of(OH - h, end - r), 2);
    k.in = in + r / OH * k.height * k.in_row;
    k.ih = back ? h + s.PT - 2 : h - s.PT;
    k.out = out + r * OW * out_px, k.out_row = (pair - 1) * OW * out_px;
    back ? mean_walks<true>(k, s.C) : mean_walks<false>(k, s.C);
  }
}

// ---- gradients of other windows that overlap ----

// The share of a window is that of its rows times that of its columns. Rows are added up once for all pixels that see a
// column, some columns and rows at a time.
constexpr i64 kColumns = 32, kRows = 32;
constexpr int kManyVectors = kFewRegisters ? 8 : 4;

struct GradRow {
  i64 first, last;  // rows of windows
  const float* dy;  // the first of them
  float* dx;
  Range inner;  // columns of windows that are whole, and their share
  float inner_share;
};

template <int NV, bool whole>
__attribute__((noinline)) void mean_grad_columns(const Pool2DShape& s, const GradRow& g, i64 c) {
  const i64 n = s.C, second = NV == 2 ? channel_of(c + kLanes, n) - channel_of(c, n) : 0;
  const auto at = [=](int v) __attribute__((always_inline)) { return NV == 2 && v == 1 ? second : v * kLanes; };
  if (NV == 2) c = channel_of(c, n);
  const i64 ldy = ldy_of(s), ldx = ldx_of(s), OW = s.OW, W = s.W, row = OW * ldy;
  const Range inner = g.inner;
  const float inner_share = g.inner_share;
  Vec column[kColumns][NV];
  for (i64 h0 = g.first; h0 < g.last; h0 += kRows) {
    const i64 rows = min_of(g.last - h0, kRows);
    float of_row[kRows];
    for (i64 h = 0; h < rows; ++h) of_row[h] = share_of(h0 + h, s.KH, s.SH, s.PT, s.H);
    for (i64 w0 = 0; w0 < OW; w0 += kColumns) {
      const i64 w1 = min_of(w0 + kColumns, OW);
      const float* dy = g.dy + (h0 - g.first) * row + w0 * ldy + c;
      for (i64 w = w0; w < w1; ++w, dy += ldy) {
        Vec sum[NV];
        const Vec part = set1(w >= inner.first && w < inner.last ? inner_share : share_of(w, s.KW, s.SW, s.PL, W));
        NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = get<whole>(dy + at(v), n) * set1(of_row[0]);
        const float* below = dy + row;
        for (i64 h = 1; h < rows; ++h, below += row) {
          const Vec factor = set1(of_row[h]);
          NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = fma(get<whole>(below + at(v), n), factor, sum[v]);
        }
        NACRE_UNROLL for (int v = 0; v < NV; ++v) column[w - w0][v] = sum[v] * part;
      }
      const i64 begin = w0 == 0 ? 0 : min_of(max_of(w0 * s.SW - s.PL, 0), W);
      const i64 end = w1 == OW ? W : min_of((w1 - 1) * s.SW - s.PL + max_of(s.KW, s.SW), W);
      Over see(s.KW, s.SW, s.PL, w1, begin);
      float* dx = g.dx + begin * ldx + c;
      for (i64 iw = begin; iw < end; ++iw, dx += ldx) {
        see.move_to(iw);
        i64 w = max_of(see.first, w0) - w0;
        const i64 last = see.last - w0;
        Vec sum[NV];
        if (h0 > g.first || see.first < w0 || w >= last) {
          const bool add = h0 > g.first || see.first < w0;
          NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = add ? get<whole>(dx + at(v), n) : zero();
        } else {
          NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = column[w][v];
          ++w;
        }
        for (; w < last; ++w) {
          NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] += column[w][v];
        }
        NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(dx + at(v), sum[v], n);
      }
    }
  }
}

void overlapping_mean_grad_rows(const Pool2DShape& s, Slice units, const float* dy, float* dx) {
  const i64 ldx = ldx_of(s), per = gradient_rows(s), rows = s.N * s.H, y_row = s.OW * ldy_of(s);
  const Range inner = range_within(-s.PL, s.SW, s.OW, 0, s.W - s.KW + 1);
  const float inner_share = 1.0f / static_cast<float>(s.KW);
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const Over h(s.KH, s.SH, s.PT, s.OH, r % s.H);
    float* to = dx + r * s.W * ldx;
    if (h.first == h.last || s.OW == 0) {
      for (i64 iw = 0; iw < s.W; ++iw) zero_channels(to + iw * ldx, s.C);
      continue;
    }
    const GradRow g{h.first, h.last, dy + (r / s.H * s.OH + h.first) * y_row, to, inner, inner_share};
    i64 c = 0;
    for (; c + kManyVectors * kLanes <= s.C; c += kManyVectors * kLanes) {
      mean_grad_columns<kManyVectors, true>(s, g, c);
    }
    if (kManyVectors > 4 && c + 4 * kLanes <= s.C) mean_grad_columns<4, true>(s, g, c), c += 4 * kLanes;
    for (; c < s.C && s.C >= kLanes; c += 2 * kLanes) mean_grad_columns<2, true>(s, g, c);
    if (c < s.C) mean_grad_columns<1, false>(s, g, c);
  }
}

// ---- 3x3 at stride 2 ----

// Rows 2o - PT and the one below, and columns 2o - PL and the next, lie in windows o, the even ones in those before, too.
struct MeanByTwo {
  const float *above, *below;  // dy of windows o - 1 and o, or zeros
  i64 above_px, below_px;
  float above_share, below_share;
  float *even, *odd;  // rows of dx, or null
  Range inner;        // columns of windows that are whole
};

template <int NV>
NACRE_INLINE void mean_grad_by_two_run(const Pool2DShape& s, const MeanByTwo& k, i64 c, i64 n) {
  const i64 second = NV == 2 ? channel_of(c + kLanes, n) - channel_of(c, n) : 0;
  const auto at = [=](int v) __attribute__((always_inline)) { return NV == 2 && v == 1 ? second : v * kLanes; };
  if (NV == 2) c = channel_of(c, n);
  const i64 ldx = ldx_of(s), W = s.W, OW = s.OW, PL = s.PL, above_px = k.above_px, below_px = k.below_px;
  const float above_share = k.above_share, below_share = k.below_share;
  const Range inner = k.inner;
  const i64 first = floor_div(PL, 2) - (PL > 1 ? 1 : 0);
  const float* above = k.above + (above_px ? first * above_px + c : 0);
  const float* below = k.below + (below_px ? first * below_px + c : 0);
  float *even = k.even ? k.even + c : nullptr, *odd = k.odd ? k.odd + c : nullptr;
  Vec both[2][NV], one[2][NV];  // of the column of windows before this one, and of this one
  NACRE_UNROLL for (int v = 0; v < NV; ++v) both[0][v] = one[0][v] = zero();
  for (i64 o = first, iw = 2 * first - PL; iw < W; ++o, iw += 2, above += above_px, below += below_px) {
    const bool there = o >= 0 && o < OW;
    const float share = o >= inner.first && o < inner.last ? 1.0f / 3 : share_of(o, 3, 2, PL, W);
    const Vec upper = set1(above_share * share), lower = set1(below_share * share);
    NACRE_UNROLL for (int v = 0; v < NV; ++v) {
      one[1][v] = there ? load(below + at(v)) * lower : zero();
      both[1][v] = there ? fma(load(above + at(v)), upper, one[1][v]) : zero();
    }
    const auto store_row = [&](float* to, Vec(&sum)[2][NV]) __attribute__((always_inline)) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        if (iw >= 0) store(to + iw * ldx + at(v), sum[0][v] + sum[1][v]);
        if (iw >= -1 && iw + 1 < W) store(to + (iw + 1) * ldx + at(v), sum[1][v]);
        sum[0][v] = sum[1][v];
      }
    };
    if (even) store_row(even, both);
    if (odd) store_row(odd, one);
  }
}

void mean_grad_by_two(const Pool2DShape& s, Slice units, const float* dy, float* dx) {
  alignas(64) static constexpr float nothing[4 * kLanes] = {};
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = gradient_rows(s), rows = s.N * s.H;
  MeanByTwo k{};
  k.inner = range_within(-s.PL, 2, s.OW, 0, s.W - 2);
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end;) {
    const i64 image = r / s.H, ih = r % s.H, stop = min_of(s.H, ih + end - r);
    const i64 oh = floor_div(ih + s.PT, 2), top = 2 * oh - s.PT;
    const bool has_above = oh > 0 && oh <= s.OH, has_below = oh >= 0 && oh < s.OH;
    const float* row = dy + (image * s.OH + oh) * s.OW * ldy;
    k.above = has_above ? row - s.OW * ldy : nothing, k.above_px = has_above ? ldy : 0;
    k.below = has_below ? row : nothing, k.below_px = has_below ? ldy : 0;
    k.above_share = share_of(oh - 1, 3, 2, s.PT, s.H), k.below_share = share_of(oh, 3, 2, s.PT, s.H);
    float* to = dx + (image * s.H + top) * s.W * ldx;
    k.even = top >= ih ? to : nullptr;
    k.odd = top + 1 < stop ? to + s.W * ldx : nullptr;
    i64 c = 0;
    for (; c + 4 * kLanes <= s.C; c += 4 * kLanes) mean_grad_by_two_run<4>(s, k, c, s.C);
    for (; c < s.C; c += 2 * kLanes) mean_grad_by_two_run<2>(s, k, c, s.C);
    r += min_of(stop, top + 2) - ih;
  }
}

bool by_one(const Pool2DShape& s) { return s.KH == 3 && s.KW == 3 && s.SH == 1 && s.SW == 1; }

Facts mean_facts(const Pool2DShape& s, bool forward) {
  Facts f = facts_of(s, forward, false);
  if (!f.error && s.index && (s.SH < s.KH || s.SW < s.KW)) f.error = "sums are of windows that do not overlap";
  return f;
}

}  // namespace

Facts avg_pool2d_facts(const Pool2DShape& s) { return mean_facts(s, true); }

void avg_pool2d(const Pool2DShape& s, Slice rows, const float* x, float* y) {
  if (by_one(s)) return walk_means(s, false, rows, x, y);
  const i64 ldy = ldy_of(s), step = s.SW * ldx_of(s);
  for_each_window(s, rows, x, [&](const Seen& seen, i64 px, i64 run) {
    float* to = y + px * ldy;
    const i64 count = seen.nh * seen.nw;
    const float share = s.index ? 1.0f : count > 0 ? 1.0f / static_cast<float>(count) : 0.0f;
    if (seen.nh == 2 && seen.nw == 2) {
      mean_pixels<2, 2>(seen, run, step, s.C, share, to, ldy);
    } else if (seen.nh > 1 && s.C > kWideChannels) {
      mean_by_rows(seen, run, step, s.C, share, to, ldy);
    } else if (seen.nh == 3 && seen.nw == 3 && s.SW == 2 && s.C >= kLanes && s.C <= kFewChannels) {
      mean_by_two(seen, run, s.C, share, to, ldy);
    } else if (seen.nh == 3 && seen.nw == 3) {
      mean_pixels<3, 3>(seen, run, step, s.C, share, to, ldy);
    } else {
      mean_pixels<0, 0>(seen, run, step, s.C, share, to, ldy);
    }
  });
}

Facts avg_pool2d_grad_x_facts(const Pool2DShape& s) { return mean_facts(s, false); }

void avg_pool2d_grad_x(const Pool2DShape& shape, Slice rows, const float* dy, float* dx) {
  Pool2DShape s = shape;
  if (s.OH == 1) s.SH = max_of(s.SH, s.KH);  // one window does not overlap
  if (s.OW == 1) s.SW = max_of(s.SW, s.KW);
  if (s.SH >= s.KH && s.SW >= s.KW) return apart_mean_grad_rows(s, rows, dy, dx);
  if (by_one(s)) return walk_means(s, true, rows, dy, dx);
  if (s.KH == 3 && s.KW == 3 && s.SH == 2 && s.SW == 2 && s.C >= kLanes) return mean_grad_by_two(s, rows, dy, dx);
  overlapping_mean_grad_rows(s, rows, dy, dx);
}

}  // namespace nacre::NACRE_ISA
