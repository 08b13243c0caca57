// Vectors run along the channels. The gradients gather: each pixel of dx looks at the windows that see it, so that it is
// written once and belongs to one unit.
#include "kernels/loops.h"
#include "kernels/pool2d_shape.h"

namespace nacre::NACRE_ISA {
namespace {

// ---- maxima ----

// f(vectors, whole, c, n) for the floats [0, C): 8 vectors at once where they are short, 4, or 2, of which the second ends
// at C at the latest.
// Vector v begins at channel_of<vectors>(v, c, C).
template <int n>
struct Vectors {
  constexpr operator int() const { return n; }
};
template <class F>
NACRE_INLINE void each_vectors(i64 C, F f) {
  if (C < kLanes) {
    f(Vectors<1>(), No(), 0, C);
    return;
  }
  i64 c = 0;
  constexpr int many = kLanes < 16 ? 8 : 4;
  for (; kLanes < 16 && c + many * kLanes <= C; c += many * kLanes) f(Vectors<many>(), Yes(), c, kLanes);
  for (; c + 4 * kLanes <= C; c += 4 * kLanes) f(Vectors<4>(), Yes(), c, kLanes);
  for (; c < C; c += 2 * kLanes) f(Vectors<2>(), Yes(), min_of(c, C - kLanes), kLanes);
}
template <int NV>
NACRE_INLINE i64 channel_of(int v, i64 c, i64 C) {
  return NV == 2 && v == 1 ? min_of(c + kLanes, C - kLanes) : c + v * kLanes;
}

template <bool whole>
NACRE_INLINE Bytes get_bytes(const u8* p, i64 n) {
  return whole ? load_bytes(p) : load_bytes(p, n);
}

// What sees a row of dx: rows of windows, the first through row tap_h of its taps, the next ones S rows lower.
struct SeeingRow {
  i64 rows, tap_h;
  const float* dy;  // of the first
  const u8* index;
  float* dx;
};

constexpr i64 kGradPixels = 64;  // of a row of dx, which vectors of channels go along in turn

// Vectors of channels from c on, along some pixels: what an address is made of stays in registers.
template <int NV, bool whole, bool wide>
__attribute__((noinline)) void max_grad_vectors(const Pool2DShape& s, const SeeingRow& row, Run pixels, i64 c, i64 n) {
  constexpr i64 kBytes = wide ? 4 : 1;
  const i64 second = NV == 2 ? channel_of<2>(1, c, s.C) - c : 0;
  const auto channel = [=](int v) __attribute__((always_inline)) { return NV == 2 && v == 1 ? second : v * kLanes; };
  const i64 ldx = ldx_of(s), dy_px = ldy_of(s), at_px = s.C * kBytes, KW = s.KW, SW = s.SW;
  const i64 dy_row = s.OW * dy_px, at_row = s.OW * at_px, tap_row = s.SH * KW, rows = row.rows;
  float* dx = row.dx + pixels.begin * ldx + c;
  Over see(KW, SW, s.PL, s.OW, pixels.begin);
  for (i64 iw = pixels.begin; iw < pixels.end; ++iw, dx += ldx) {
    see.move_to(iw);
    const float* dy = row.dy + see.first * dy_px + c;
    const u8* index = row.index + see.first * at_px + c * kBytes;
    i64 tap = row.tap_h * KW + iw + s.PL - see.first * SW;
    Vec sum[NV];
    NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = zero();
    for (i64 h = 0; h < rows; ++h, tap -= tap_row, dy += dy_row, index += at_row) {
      const float* g = dy;
      const u8* at = index;
      i64 here = tap;
      for (i64 w = see.first; w < see.last; ++w, here -= SW, g += dy_px, at += at_px) {
        NACRE_UNROLL for (int v = 0; v < NV; ++v) {
          const Vec d = in_register(get<whole>(g + channel(v), n));
          if constexpr (wide) {
            const VecI from = get_index<whole, true>(at, channel(v), n);
            sum[v] = add_where(eq(from, set1i(static_cast<i32>(here))), sum[v], d);
          } else {
            const Bytes from = get_bytes<whole>(at + channel(v), n);
            sum[v] = add_where(eq(from, set1_bytes(static_cast<u8>(here))), sum[v], d);
          }
        }
      }
    }
    NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(dx + channel(v), sum[v], n);
  }
}

// Windows side by side without overlap or gap: each hands its gradient to the pixels of a row below it, columns
// [kw0, kw1), of which the first has number first_tap + kw0.
NACRE_INLINE void hand_out(const u8* index, i64 first_tap, i64 kw0, i64 kw1, const float* dy, float* dx, i64 ldx,
                           i64 C) {
  each_vector(C, 0, [=](auto whole, i64 c, i64 n) __attribute__((always_inline)) {
    const Bytes at = get_bytes<whole>(index + c, n);
    const Vec g = get<whole>(dy + c, n);
    for (i64 k = kw0; k < kw1; ++k) {
      put<whole>(dx + k * ldx + c, select(eq(at, set1_bytes(static_cast<u8>(first_tap + k))), g), n);
    }
  });
}

// The same of windows of two columns, side by side and whole.
void hand_out_pairs(const u8* index, i64 first_tap, i64 pixels, const float* dy, i64 ldy, float* dx, i64 ldx, i64 C) {
  const Bytes left = set1_bytes(static_cast<u8>(first_tap)), right = set1_bytes(static_cast<u8>(first_tap + 1));
  for (; pixels > 0; --pixels, index += C, dy += ldy, dx += 2 * ldx) {
    const auto hand = [=](auto whole, i64 c, i64 n) __attribute__((always_inline)) {
      const Bytes at = get_bytes<whole>(index + c, n);
      const Vec g = in_register(get<whole>(dy + c, n));
      put<whole>(dx + c, select(eq(at, left), g), n);
      put<whole>(dx + ldx + c, select(eq(at, right), g), n);
    };
    i64 c = 0;
    for (; c + 4 * kLanes <= C; c += 4 * kLanes) {
      NACRE_UNROLL for (int v = 0; v < 4; ++v) hand(Yes(), c + v * kLanes, kLanes);
    }
    each_vector(C, c, hand);
  }
}

void tiled_max_grad_rows(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = gradient_rows(s), rows = s.C > 0 ? s.N * s.H : 0;
  const Range pairs = s.KW == 2 ? range_within(-s.PL, 2, s.OW, 0, s.W - 1) : Range{0, 0};
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.H, ih = r % s.H + s.PT, oh = floor_div(ih, s.SH);
    float* dx_row = dx + r * s.W * ldx;
    i64 done = 0;  // columns of this row
    if (oh >= 0 && oh < s.OH) {
      const i64 first_tap = (ih - oh * s.SH) * s.KW, px = (n * s.OH + oh) * s.OW;
      for (i64 ow = 0, run; ow < s.OW; ow += run) {
        const i64 iw = ow * s.SW - s.PL, kw0 = max_of(-iw, 0), kw1 = min_of(s.W - iw, s.KW);
        run = ow >= pairs.first && ow < pairs.last ? pairs.last - ow : 1;
        for (; done < min_of(iw, s.W); ++done) zero_channels(dx_row + done * ldx, s.C);
        if (kw0 >= kw1) continue;
        const u8* at = index + (px + ow) * s.C;
        const float* g = dy + (px + ow) * ldy;
        float* to = dx_row + iw * ldx;
        if (kw1 - kw0 == 2 && s.KW == 2) hand_out_pairs(at, first_tap, run, g, ldy, to, ldx, s.C);
        else hand_out(at, first_tap, kw0, kw1, g, to, ldx, s.C);
        done = (ow + run - 1) * s.SW - s.PL + kw1;
      }
    }
    for (; done < s.W; ++done) zero_channels(dx_row + done * ldx, s.C);
  }
}

constexpr int kNoTap = 255;
constexpr int kGradRows = 4;  // of dx that share what they read
// Windows first .. first + K - 1 of an axis. For each that does not exist another one stands, through no tap.
template <int K>
struct Sources {
  i64 at[K];
  bool there[K];
  Sources(i64 first, i64 out) {
    NACRE_UNROLL for (int k = 0; k < K; ++k) {
      at[k] = max_of(min_of(first + k, out - 1), 0);
      there[k] = at[k] == first + k;
    }
  }
};

// Pixels of dx side by side, and the K x K windows that see the first of them.
template <int K>
struct Gather {
  i64 pixels, floats;  // of each pixel; dense rows are one pixel
  const float* dy;
  i64 dy_px, dy_row[2], dy_col[2];  // from pixel to pixel; to the second row of windows, and to rows below
  const u8* index;
  i64 at_px, at_row[2], at_col[2];
  u8 tap[K][K];
  float* dx;
  i64 dx_px, dx_row;

  Gather(const Pool2DShape& s, i64 image, const Sources<K>& h, const Sources<K>& w, const float* all_dy,
         const u8* all_index)
      : dy_px(ldy_of(s)), at_px(s.C) {
    const i64 px = (image * s.OH + h.at[0]) * s.OW + w.at[0];
    dy = all_dy + px * dy_px;
    index = all_index + px * at_px;
    NACRE_UNROLL for (int k = 0; k < 2; ++k) {
      const i64 row = (h.at[min_of(k + 1, K - 1)] - h.at[min_of(k, K - 2)]) * s.OW;
      const i64 col = w.at[min_of(k + 1, K - 1)] - w.at[0];
      dy_row[k] = row * dy_px, at_row[k] = row * at_px;
      dy_col[k] = col * dy_px, at_col[k] = col * at_px;
    }
  }
};

// 3x3, stride 1: R rows of dx.
template <int R, bool whole>
void max_grad_by_one_run(const Gather<3>& g) {
  Bytes tap[3][3];
  NACRE_UNROLL for (int h = 0; h < 3; ++h) {
    NACRE_UNROLL for (int w = 0; w < 3; ++w) tap[h][w] = set1_bytes(g.tap[h][w]);
  }
  const i64 dy_col[] = {0, g.dy_col[0], g.dy_col[1]}, at_col[] = {0, g.at_col[0], g.at_col[1]};
  const i64 n = g.floats, dx_row = g.dx_row;
  for (i64 px = 0; px < g.pixels; ++px) {
    each_vector_as<whole>(n, 0, [&](i64 c) __attribute__((always_inline)) {
      const float* dy = g.dy + px * g.dy_px + c;
      const u8* index = g.index + px * g.at_px + c;
      float* dx = g.dx + px * g.dx_px + c;
      Vec sum[R];
      NACRE_UNROLL for (int r = 0; r < R; ++r) sum[r] = zero();
      NACRE_UNROLL for (int row = 0; row < R + 2; ++row) {
        NACRE_UNROLL for (int w = 0; w < 3; ++w) {
          const Bytes at = get_bytes<whole>(index + at_col[w], n);
          const Vec d = in_register(get<whole>(dy + dy_col[w], n));
          NACRE_UNROLL for (int r = 0; r < R; ++r) {
            const bool sees = r <= row && row <= r + 2;
            if (sees) sum[r] = add_where(eq(at, tap[sees ? row - r : 0][w]), sum[r], d);
          }
        }
        if (row >= 2) {
          put<whole>(dx, sum[row >= 2 ? row - 2 : 0], n);
          dx += dx_row;
        }
        dy += g.dy_row[row > 0];
        index += g.at_row[row > 0];
        asm("" : "+r"(dy), "+r"(index), "+r"(dx));  // or all addresses get registers of their own
      }
    });
  }
}

template <int R>
void max_grad_by_one_rows(const Pool2DShape& s, i64 image, i64 ih, const float* dy, const u8* index, float* dx) {
  const i64 ldx = ldx_of(s);
  const bool dense = ldx == s.C && ldy_of(s) == s.C;
  const Range inner = range_within(s.PL - 2, 1, s.W, 0, s.OW - 2);
  const Sources<3> h(ih + s.PT - 2, s.OH);
  for (i64 iw = 0, run; iw < s.W; iw += run) {
    run = iw >= inner.first && iw < inner.last ? inner.last - iw : 1;
    const Sources<3> w(iw + s.PL - 2, s.OW);
    Gather<3> g(s, image, h, w, dy, index);
    NACRE_UNROLL for (int a = 0; a < 3; ++a) {
      NACRE_UNROLL for (int b = 0; b < 3; ++b) {
        g.tap[a][b] = static_cast<u8>(h.there[a] && w.there[b] ? 8 - 3 * a - b : kNoTap);
      }
    }
    g.pixels = dense ? 1 : run;
    g.floats = dense ? run * s.C : s.C;
    g.dx = dx + ((image * s.H + ih) * s.W + iw) * ldx;
    g.dx_px = ldx;
    g.dx_row = s.W * ldx;
    if (g.floats >= kLanes) max_grad_by_one_run<R, true>(g);
    else max_grad_by_one_run<R, false>(g);
  }
}

void max_grad_by_one(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 per = gradient_rows(s), rows = s.N * s.H;
  const Range inner = range_within(s.PT - 2, 1, s.H, 0, s.OH - 2);
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end;) {
    const i64 image = r / s.H, ih = r % s.H;
    if (ih >= inner.first && min_of(inner.last, ih + end - r) - ih >= kGradRows) {
      max_grad_by_one_rows<kGradRows>(s, image, ih, dy, index, dx);
      r += kGradRows;
    } else {
      max_grad_by_one_rows<1>(s, image, ih, dy, index, dx);
      ++r;
    }
  }
}

// 3x3, stride 2: the four pixels of dx at rows and columns 2o and 2o + 1 of windows o lie in those and the ones before.
template <bool whole>
void max_grad_by_two_run(const Gather<2>& g, bool top, bool bottom, bool left, bool right) {
  Bytes tap[9];
  NACRE_UNROLL for (int t = 0; t < 9; ++t) tap[t] = set1_bytes(static_cast<u8>(t | g.tap[t < 6][t % 3 < 2]));
  const i64 n = g.floats;
  for (i64 px = 0; px < g.pixels; ++px) {
    each_vector_as<whole>(n, 0, [&](i64 c) __attribute__((always_inline)) {
      const float* dy = g.dy + px * g.dy_px + c;
      const u8* index = g.index + px * g.at_px + c;
      float* dx = g.dx + px * 2 * g.dx_px + c;
      Bytes at[2][2];
      Vec d[2][2];
      NACRE_UNROLL for (int h = 0; h < 2; ++h) {
        NACRE_UNROLL for (int w = 0; w < 2; ++w) {
          at[h][w] = get_bytes<whole>(index + (h ? g.at_row[0] : 0) + (w ? g.at_col[0] : 0), n);
          d[h][w] = in_register(get<whole>(dy + (h ? g.dy_row[0] : 0) + (w ? g.dy_col[0] : 0), n));
        }
      }
      const auto sum = [&](Vec so_far, int h, int w, int t)
                           __attribute__((always_inline)) { return add_where(eq(at[h][w], tap[t]), so_far, d[h][w]); };
      if (top) {
        if (left) put<whole>(dx, sum(sum(sum(sum(zero(), 0, 0, 8), 0, 1, 6), 1, 0, 2), 1, 1, 0), n);
        if (right) put<whole>(dx + g.dx_px, sum(sum(zero(), 0, 1, 7), 1, 1, 1), n);
      }
      if (bottom) {
        if (left) put<whole>(dx + g.dx_row, sum(sum(zero(), 1, 0, 5), 1, 1, 3), n);
        if (right) put<whole>(dx + g.dx_row + g.dx_px, sum(zero(), 1, 1, 4), n);
      }
    });
  }
}

void max_grad_by_two(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 per = gradient_rows(s), rows = s.N * s.H, ldx = ldx_of(s);
  const i64 first = floor_div(s.PL, 2), last = floor_div(s.W - 1 + s.PL, 2) + 1;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end;) {
    const i64 image = r / s.H, ih = r % s.H, stop = min_of(s.H, ih + end - r), oh = floor_div(ih + s.PT, 2);
    const i64 top = 2 * oh - s.PT;
    const Sources<2> h(oh - 1, s.OH);
    for (i64 ow = first, run; ow < last; ow += run) {
      const i64 iw = 2 * ow - s.PL;
      // Whole pairs of columns between windows that exist go together.
      run = iw >= 0 && ow > 0 ? max_of(min_of(min_of(s.OW, (s.W + s.PL) / 2), last) - ow, 1) : 1;
      const Sources<2> w(ow - 1, s.OW);
      Gather<2> g(s, image, h, w, dy, index);
      NACRE_UNROLL for (int a = 0; a < 2; ++a) {
        NACRE_UNROLL for (int b = 0; b < 2; ++b) g.tap[a][b] = static_cast<u8>(h.there[a] && w.there[b] ? 0 : kNoTap);
      }
      g.pixels = run;
      g.floats = s.C;
      g.dx = dx + ((image * s.H + top) * s.W + iw) * ldx;
      g.dx_px = ldx;
      g.dx_row = s.W * ldx;
      const bool even = top >= ih, odd = top + 1 < stop;
      if (s.C >= kLanes) max_grad_by_two_run<true>(g, even, odd, iw >= 0, iw + 1 < s.W);
      else max_grad_by_two_run<false>(g, even, odd, iw >= 0, iw + 1 < s.W);
    }
    r += min_of(stop, top + 2) - ih;
  }
}

template <bool wide>
void max_grad_rows(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  if (!wide && s.SH == s.KH && s.SW == s.KW) return tiled_max_grad_rows(s, units, dy, index, dx);
  if (s.KH == 3 && s.KW == 3 && s.OH > 0 && s.OW > 0) {
    if (s.SH == 1 && s.SW == 1) return max_grad_by_one(s, units, dy, index, dx);
    if (s.SH == 2 && s.SW == 2) return max_grad_by_two(s, units, dy, index, dx);
  }
  const i64 per = gradient_rows(s), rows = s.N * s.H, bytes = wide ? 4 : 1;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 ih = r % s.H;
    const Over h(s.KH, s.SH, s.PT, s.OH, ih);
    const i64 at = (r / s.H * s.OH + h.first) * s.OW;
    const SeeingRow row{h.last - h.first, ih + s.PT - h.first * s.SH, dy + at * ldy_of(s), index + at * s.C * bytes,
                        dx + r * s.W * ldx_of(s)};
    for (Run px{0, 0}; px.begin < s.W; px.begin = px.end) {
      px.end = min_of(px.begin + kGradPixels, s.W);
      if constexpr (wide) {
        each_vector(s.C, 0, [&](auto whole, i64 c, i64 n) __attribute__((always_inline)) {
          max_grad_vectors<1, whole, true>(s, row, px, c, n);
        });
      } else {
        each_vectors(s.C, [&](auto vectors, auto whole, i64 c, i64 n) __attribute__((always_inline)) {
          max_grad_vectors<vectors, whole, false>(s, row, px, c, n);
        });
      }
    }
  }
}

}  // namespace

Facts max_pool2d_grad_x_facts(const Pool2DShape& s) { return facts_of(s, false, true); }

void max_pool2d_grad_x(const Pool2DShape& s, Slice rows, const float* dy, const u8* index, float* dx) {
  if (wide_index(s)) {
    max_grad_rows<true>(s, rows, dy, index, dx);
  } else {
    max_grad_rows<false>(s, rows, dy, index, dx);
  }
}

}  // namespace nacre::NACRE_ISA
