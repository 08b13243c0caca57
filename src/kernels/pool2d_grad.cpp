// Vectors run along the channels. The gradients gather: each pixel of dx looks at the windows that see it, so that it is
// written once and belongs to one unit.
#include "kernels/pool2d_shape.h"
#include "kernels/walk3.h"

namespace nacre::NACRE_ISA {
namespace {

// The windows that see input position i along one axis: outputs [first, last), output o through tap i + P - o*S. Moves
// from one position to the next without dividing.
struct Over {
  i64 K, S, P, out;
  i64 first = 0, last = 0;
  inline __attribute__((always_inline)) void move_to(i64 i) {
    while (last < out && last * S <= i + P) ++last;
    while (first < last && first * S + K <= i + P) ++first;
  }
};

struct Seeing {  // that see one pixel of dx
  i64 h0, h1, w0, w1;
  i64 tap_h, tap_w;  // tap of window (h0, w0); the next window sees it through a tap lower by the stride
};

template <int NV, bool whole, bool wide>
NACRE_INLINE void max_grad_vectors(const Pool2DShape& s, const Seeing& win, i64 first, i64 ldy, i64 c, i64 n,
                                   const float* dy, const u8* index, float* dx) {
  Vec sum[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = zero();
  const i64 C = s.C, SW = s.SW, nw = win.w1 - win.w0;
  i64 tap_h = win.tap_h * s.KW + win.tap_w, px = first + win.h0 * s.OW + win.w0;
  for (i64 h = win.h0; h < win.h1; ++h, tap_h -= s.SH * s.KW, px += s.OW) {
    i64 tap = tap_h, at = px * C + c;
    const float* g = dy + px * ldy + c;
    for (i64 w = 0; w < nw; ++w, tap -= SW, at += C, g += ldy) {
      const VecI here = set1i(static_cast<i32>(tap));
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        const VecI from = get_index<whole, wide>(index, at + v * kLanes, n);
        sum[v] += select(eq(from, here), get<whole>(g + v * kLanes, n));
      }
    }
  }
  NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(dx + c + v * kLanes, sum[v], n);
}

template <int NV, bool whole>
NACRE_INLINE void mean_grad_vectors(const Pool2DShape& s, const Seeing& win, i64 first, i64 ldy, i64 c, i64 n,
                                    const float* dy, float* dx) {
  Vec sum[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) sum[v] = zero();
  for (i64 oh = win.h0; oh < win.h1; ++oh) {
    const i64 ih = oh * s.SH - s.PT, rows = min_of(ih + s.KH, s.H) - max_of(ih, 0);
    for (i64 ow = win.w0; ow < win.w1; ++ow) {
      const i64 iw = ow * s.SW - s.PL, cols = min_of(iw + s.KW, s.W) - max_of(iw, 0);
      const Vec share = set1(1.0f / static_cast<float>(rows * cols));
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        sum[v] = fma(get<whole>(dy + (first + oh * s.OW + ow) * ldy + c + v * kLanes, n), share, sum[v]);
      }
    }
  }
  NACRE_UNROLL for (int v = 0; v < NV; ++v) put<whole>(dx + c + v * kLanes, sum[v], n);
}

// Calls pixel(windows, first output pixel of the image, pixel of dx).
template <class F>
NACRE_INLINE void for_each_pixel(const Pool2DShape& s, Slice units, F pixel) {
  const i64 per = gradient_rows(s), rows = s.N * s.H;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.H, ih = r % s.H;
    Over h{s.KH, s.SH, s.PT, s.OH}, w{s.KW, s.SW, s.PL, s.OW};
    h.move_to(ih);
    for (i64 iw = 0; iw < s.W; ++iw) {
      w.move_to(iw);
      pixel(Seeing{h.first, h.last, w.first, w.last, ih + s.PT - h.first * s.SH, iw + s.PL - w.first * s.SW},
            n * s.OH * s.OW, r * s.W + iw);
    }
  }
}

// Windows side by side without overlap or gap: each hands its gradient to the pixels of row ih below it.
template <int KW, bool whole>
NACRE_INLINE void hand_out(const u8* index, i64 first_tap, i64 kw0, i64 kw1, const float* dy, float* dx, i64 ldx, i64 n) {
  const VecI at = get_index<whole, false>(index, 0, n);
  const Vec g = get<whole>(dy, n);
  if (KW) {
    NACRE_UNROLL for (int k = 0; k < KW; ++k) {
      put<whole>(dx + k * ldx, select(eq(at, set1i(static_cast<i32>(first_tap) + k)), g), n);
    }
  } else {
    for (i64 k = kw0; k < kw1; ++k) put<whole>(dx + k * ldx, select(eq(at, set1i(static_cast<i32>(first_tap + k))), g), n);
  }
}

template <int KW>
void hand_out_pixel(const u8* index, i64 first_tap, i64 kw0, i64 kw1, const float* dy, float* dx, i64 ldx, i64 C) {
  i64 c = 0;
  for (; c + kLanes <= C; c += kLanes) hand_out<KW, true>(index + c, first_tap, kw0, kw1, dy + c, dx + c, ldx, kLanes);
  if (c < C) hand_out<KW, false>(index + c, first_tap, kw0, kw1, dy + c, dx + c, ldx, C - c);
}

void tiled_max_grad_rows(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = gradient_rows(s), rows = s.N * s.H;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.H, ih = r % s.H + s.PT, oh = floor_div(ih, s.SH);
    float* dx_row = dx + r * s.W * ldx;
    i64 done = 0;  // columns of this row
    if (oh >= 0 && oh < s.OH) {
      const i64 first_tap = (ih - oh * s.SH) * s.KW, px = (n * s.OH + oh) * s.OW;
      for (i64 ow = 0; ow < s.OW; ++ow) {
        const i64 iw = ow * s.SW - s.PL, kw0 = max_of(-iw, 0), kw1 = min_of(s.W - iw, s.KW);
        for (; done < min_of(iw, s.W); ++done) zero_channels(dx_row + done * ldx, s.C);
        if (kw0 >= kw1) continue;
        const u8* at = index + (px + ow) * s.C;
        const float* g = dy + (px + ow) * ldy;
        float* to = dx_row + iw * ldx;
        if (s.KW == 2 && kw1 - kw0 == 2) {
          hand_out_pixel<2>(at, first_tap, kw0, kw1, g, to, ldx, s.C);
        } else {
          hand_out_pixel<0>(at, first_tap, kw0, kw1, g, to, ldx, s.C);
        }
        done = iw + kw1;
      }
    }
    for (; done < s.W; ++done) zero_channels(dx_row + done * ldx, s.C);
  }
}

template <bool wide>
void max_grad_pixel(const Pool2DShape& s, const Seeing& win, i64 first, const float* dy, const u8* index, float* dx) {
  const i64 ldy = ldy_of(s);
  i64 c = 0;
  for (; c + 4 * kLanes <= s.C; c += 4 * kLanes) max_grad_vectors<4, true, wide>(s, win, first, ldy, c, kLanes, dy, index, dx);
  for (; c + kLanes <= s.C; c += kLanes) max_grad_vectors<1, true, wide>(s, win, first, ldy, c, kLanes, dy, index, dx);
  if (c < s.C) max_grad_vectors<1, false, wide>(s, win, first, ldy, c, s.C - c, dy, index, dx);
}

alignas(64) constexpr u8 kNoTap[16] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

// Gradients and taps of `rows` rows of windows, from which walks (walk3.h) gather dx.
template <int rows, int out_rows, bool flipped, bool whole>
struct MaxGrad : WalkRows<rows, out_rows, whole> {
  using Base = WalkRows<rows, out_rows, whole>;
  struct In {
    Vec dy;
    VecI tap;
  };
  const u8* index[rows];
  i64 index_step[rows];
  VecI tap[9];
  bool wanted[out_rows];

  // Row `row` is window row oh of an image, from column ow and channel c on.
  NACRE_INLINE_MEMBER void set_row(int row, const Pool2DShape& s, i64 image, i64 oh, i64 ow, i64 c, const float* dy,
                                   const u8* all) {
    const bool inside = oh >= 0 && oh < s.OH;
    const i64 px = (image * s.OH + oh) * s.OW + ow;
    Base::set_in(row, inside, dy + px * ldy_of(s) + c, ldy_of(s));
    index[row] = inside ? all + px * s.C + c : kNoTap;
    index_step[row] = inside ? s.C : 0;
  }
  NACRE_INLINE_MEMBER void set_taps() {
    NACRE_UNROLL for (int t = 0; t < 9; ++t) tap[t] = set1i(flipped ? 8 - t : t);
  }
  NACRE_INLINE_MEMBER In get(int row) const {
    return {Base::load_in(row), get_index<whole, false>(index[row], 0, Base::lanes)};
  }
  NACRE_INLINE_MEMBER In none() const { return {zero(), set1i(-1)}; }
  NACRE_INLINE_MEMBER void next() {
    Base::next();
    NACRE_UNROLL for (int row = 0; row < rows; ++row) index[row] += index_step[row];
  }
  NACRE_INLINE_MEMBER Vec start() const { return zero(); }
  NACRE_INLINE_MEMBER Vec add(Vec sum, const In& in, int kh, int kw) const {
    return add_where(eq(in.tap, tap[kh * 3 + kw]), sum, in.dy);
  }
  NACRE_INLINE_MEMBER void put(int row, Vec sum) const { Base::store_out(Base::out[row], sum); }
  NACRE_INLINE_MEMBER void put(int row, Vec e, Vec o) const {
    if (!wanted[row]) return;
    if (Base::even) Base::store_out(Base::out[row], e);
    if (Base::odd) Base::store_out(Base::out[row] + Base::out_px, o);
  }
};

// R rows of dx from row ih on, columns [iw, iw + n), one vector of channels; stride 1.
template <int R, bool whole>
void max_grad_walk(const Pool2DShape& s, i64 image, i64 ih, i64 iw, i64 n, i64 c, const float* dy, const u8* index, float* dx) {
  MaxGrad<R + 2, R, true, whole> op;
  const i64 ow = iw + s.PL - 2;
  op.lanes = s.C - c;
  op.set_taps();
  NACRE_UNROLL for (int row = 0; row < R + 2; ++row) op.set_row(row, s, image, ih + s.PT - 2 + row, ow, c, dy, index);
  NACRE_UNROLL for (int row = 0; row < R; ++row) op.out[row] = dx + ((image * s.H + ih + row) * s.W + iw) * ldx_of(s) + c;
  op.out_step = ldx_of(s);
  walk_windows<R>(op, n, -ow, ow + n + 2 - s.OW);
}

// Pairs [w0, w0 + n) of the columns of R pairs of rows from pair h0 on, as far as they are rows [ih, end); stride 2.
template <int R, bool whole>
void max_grad_pairs(const Pool2DShape& s, i64 image, i64 h0, i64 ih, i64 end, i64 w0, i64 n, i64 c, const float* dy,
                    const u8* index, float* dx) {
  MaxGrad<R + 1, 2 * R, false, whole> op;
  const i64 iw = 2 * w0 - s.PL;
  op.lanes = s.C - c;
  op.set_taps();
  NACRE_UNROLL for (int row = 0; row <= R; ++row) op.set_row(row, s, image, h0 - 1 + row, w0 - 1, c, dy, index);
  NACRE_UNROLL for (int row = 0; row < 2 * R; ++row) {
    const i64 i = 2 * h0 - s.PT + row;
    op.wanted[row] = i >= ih && i < end;
    op.out[row] = dx + ((image * s.H + i) * s.W + iw) * ldx_of(s) + c;
  }
  op.set_pairs(iw, n, s.W, ldx_of(s));
  walk_pairs<R>(op, n, w0 < 1, w0 + n > s.OW);
}

template <int R>
void max_grad_walks(const Pool2DShape& s, i64 image, i64 ih, i64 iw, i64 n, const float* dy, const u8* index, float* dx) {
  for (i64 from = 0; from < n; from += kWalkColumns) {
    const i64 columns = min_of(kWalkColumns, n - from);
    i64 c = 0;
    for (; c + kLanes <= s.C; c += kLanes) max_grad_walk<R, true>(s, image, ih, iw + from, columns, c, dy, index, dx);
    if (c < s.C) max_grad_walk<R, false>(s, image, ih, iw + from, columns, c, dy, index, dx);
  }
}

// 3x3, stride 1.
void max_grad_by_one(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 per = gradient_rows(s), rows = s.N * s.H;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end;) {
    const i64 image = r / s.H, ih = r % s.H, left = min_of(s.H - ih, end - r);
    const i64 n = left >= kWalkRows ? kWalkRows : left >= 2 ? 2 : 1;
    if (n == kWalkRows) max_grad_walks<kWalkRows>(s, image, ih, 0, s.W, dy, index, dx);
    else if (n == 2) max_grad_walks<2>(s, image, ih, 0, s.W, dy, index, dx);
    else max_grad_walks<1>(s, image, ih, 0, s.W, dy, index, dx);
    r += n;
  }
}

// 3x3, stride 2.
void max_grad_by_two(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  const i64 per = gradient_rows(s), rows = s.N * s.H;
  const i64 w0 = floor_div(s.PL, 2), w1 = floor_div(s.W - 1 + s.PL, 2) + 1;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end;) {
    const i64 image = r / s.H, ih = r % s.H, stop = min_of(s.H, ih + end - r), h0 = floor_div(ih + s.PT, 2);
    for (i64 w = w0; w < w1; w += kWalkColumns) {
      const i64 n = min_of(kWalkColumns, w1 - w);
      i64 c = 0;
      for (; c + kLanes <= s.C; c += kLanes) max_grad_pairs<kPairRows, true>(s, image, h0, ih, stop, w, n, c, dy, index, dx);
      if (c < s.C) max_grad_pairs<kPairRows, false>(s, image, h0, ih, stop, w, n, c, dy, index, dx);
    }
    r += min_of(stop, 2 * (h0 + kPairRows) - s.PT) - ih;
  }
}

template <bool wide>
void max_grad_rows(const Pool2DShape& s, Slice units, const float* dy, const u8* index, float* dx) {
  if (!wide && s.SH == s.KH && s.SW == s.KW) return tiled_max_grad_rows(s, units, dy, index, dx);
  if (s.KH == 3 && s.KW == 3 && s.SH == 1 && s.SW == 1 && s.PL >= 0 && s.W + s.PL <= s.OW + 2) {
    return max_grad_by_one(s, units, dy, index, dx);
  }
  if (s.KH == 3 && s.KW == 3 && s.SH == 2 && s.SW == 2 && s.PL >= 0 && s.PL < 3 && (s.W - 1 + s.PL) / 2 <= s.OW) {
    return max_grad_by_two(s, units, dy, index, dx);
  }
  const i64 ldx = ldx_of(s);
  for_each_pixel(s, units, [&](const Seeing& win, i64 first, i64 px) {
    max_grad_pixel<wide>(s, win, first, dy, index, dx + px * ldx);
  });
}

// Windows that do not overlap: each pixel of dx has its share of one dy, or nothing.
void apart_mean_grad_rows(const Pool2DShape& s, Slice units, const float* dy, float* dx) {
  const i64 ldx = ldx_of(s), ldy = ldy_of(s), per = gradient_rows(s), rows = s.N * s.H;
  for (i64 r = units.begin * per, end = min_of(units.end * per, rows); r < end; ++r) {
    const i64 n = r / s.H, ih = r % s.H + s.PT, oh = floor_div(ih, s.SH), top = oh * s.SH - s.PT;
    const i64 seen_h = min_of(top + s.KH, s.H) - max_of(top, 0);
    float* dx_row = dx + r * s.W * ldx;
    i64 done = 0;  // columns of this row
    if (oh >= 0 && oh < s.OH && ih - oh * s.SH < s.KH) {
      for (i64 ow = 0; ow < s.OW; ++ow) {
        const i64 first = max_of(ow * s.SW - s.PL, 0), last = min_of(ow * s.SW - s.PL + s.KW, s.W);
        for (; done < min_of(first, s.W); ++done) zero_channels(dx_row + done * ldx, s.C);
        if (first >= last) continue;
        const Vec share = set1(1.0f / static_cast<float>(seen_h * (last - first)));
        const float* g = dy + ((n * s.OH + oh) * s.OW + ow) * ldy;
        for (; done < last; ++done) {
          i64 c = 0;
          for (; c + kLanes <= s.C; c += kLanes) store(dx_row + done * ldx + c, load(g + c) * share);
          if (c < s.C) store(dx_row + done * ldx + c, load(g + c, s.C - c) * share, s.C - c);
        }
      }
    }
    for (; done < s.W; ++done) zero_channels(dx_row + done * ldx, s.C);
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

Facts avg_pool2d_grad_x_facts(const Pool2DShape& s) { return facts_of(s, false, false); }

void avg_pool2d_grad_x(const Pool2DShape& s, Slice rows, const float* dy, float* dx) {
  if (s.SH >= s.KH && s.SW >= s.KW) return apart_mean_grad_rows(s, rows, dy, dx);
  const i64 ldx = ldx_of(s), ldy = ldy_of(s);
  for_each_pixel(s, rows, [&](const Seeing& win, i64 first, i64 px) {
    float* to = dx + px * ldx;
    i64 c = 0;
    for (; c + 4 * kLanes <= s.C; c += 4 * kLanes) mean_grad_vectors<4, true>(s, win, first, ldy, c, kLanes, dy, to);
    for (; c + kLanes <= s.C; c += kLanes) mean_grad_vectors<1, true>(s, win, first, ldy, c, kLanes, dy, to);
    if (c < s.C) mean_grad_vectors<1, false>(s, win, first, ldy, c, s.C - c, dy, to);
  });
}

}  // namespace nacre::NACRE_ISA
