// The register tile of convolution: MR output pixels by NV vectors of output channels, all sums in registers.
//
// Pixels are broadcast, weights are vectors. A tap is `run` consecutive floats of a pixel against `run` consecutive rows of
// the weight panel; the panel streams through once per tile. Pixels come singly, each with a pointer of its own, or in
// groups of four at common distances: three pixels more for each general register, of which x86 has too few to feed
// 24 sums one vector wide from 24 places. Where taps lie side by side as pixels do (stride and dilation 1, three or five
// columns), tiles slide: a number that was broadcast meets the weights of every tap of its row at once.
#pragma once
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {

// Pixels of a tile two vectors and one vector wide; in groups (0: no groups of that width).
constexpr int kGroup = 4;
#if defined(__AVX512F__)
constexpr int kWidePx = 14, kNarrowPx = 12;
constexpr int kWideGroups = 3, kNarrowGroups = 6;
#elif defined(__ARM_NEON)
constexpr int kWidePx = 8, kNarrowPx = 8;
constexpr int kWideGroups = 0, kNarrowGroups = 0;
#else
constexpr int kWidePx = 6, kNarrowPx = 10;
constexpr int kWideGroups = 0, kNarrowGroups = 3;
#endif
#if defined(__AVX512F__)
constexpr int kHalfPx = 16;  // pixels of a tile a vector and a half wide (0: none),
constexpr int kPairPx = 6;   // and of one that is two panels wide
constexpr int kSlideWide = 12,
              kSlideNarrow = 16;  // pixels of a sliding tile (0: none): sums and T weights in registers
#else
constexpr int kHalfPx = 0, kPairPx = 0;
constexpr int kSlideWide = 0, kSlideNarrow = 0;
#endif
constexpr int kPanel = 2 * kLanes;  // output channels of a panel

constexpr int kAhead = 4;  // steps of a sliding tile: panels come from L2, and hardware does not look beyond a page

// Whether the channels of a panel are a vector and at most half of another, and there are tiles for that.
NACRE_INLINE bool half_fits(i64 n) { return kHalfPx > 0 && n > kLanes && n <= kLanes + kLanes / 2; }
// Floats that a tile asks for at a time: one vector wide it has many pixels, and few steps.
NACRE_INLINE i64 asks_width(i64 n) { return n > kLanes ? 16 : 32; }
NACRE_INLINE i64 panel_width(i64 n) { return n <= kLanes ? kLanes : kPanel; }

// Whether tiles of `outputs` channels slide along the columns of taps; sums then run in the order (kh, c, kw).
NACRE_INLINE bool slides(i64 taps, i64 stride, i64 step_w, i64 step_h, i64 outputs) {
  return kSlideWide > 0 && taps == 3 && stride == 1 && step_w == 1 && step_h == 1 && !half_fits(outputs);
}

struct TileArgs {
  const float* x;
  const i64* x_at;                        // pixel -> offset from x; of a group, the first counts
  i64 apart[3];                           // from the first pixel of a group to the others
  i64 row_px;                             // sliding: pixels from a row to the next
  const i64* y_at;                        // pixel -> offset from y and mask
  i64 h0, nh, tap_row, nw, tap_col, run;  // rows of taps [h0, nh); h0 is for sliding tiles alone
  const float* w;                         // row r of the panel at w + r*ld_w
  i64 ld_w;
  i64 w_skip;         // floats of it between rows of taps
  i64 second;         // tiles of two panels: floats from a row of the first one to that of the second
  const float* bias;  // null: none
  const float* mask;  // null: none; else outputs where it is not positive become 0
  const float* r;     // null: none; else added to the sums
  const i64* r_at;    // pixel -> offset from r
  bool r_far;         // pixels of r fall into few sets of L1: asked for into L2
  bool past;          // whole vectors of y go past the caches, where the largest tiles store them
  float* y;
  const float* next;  // what is read later: asked for with each row of the panel, `asks_width` floats
  const float* next_end;
  i64 next_step;
  i64 n;    // output channels of this panel
  i64 act;  // see Conv2DShape

  NACRE_INLINE_MEMBER void ask(const float* from, i64 times, i64 step) {
    next = from, next_end = from + times * step, next_step = step;
    if (times <= 0) next = w, next_step = 0;
  }
  NACRE_INLINE_MEMBER void asked() {
    next += nh * nw * run * next_step;
    if (next >= next_end) next = w, next_step = 0;
  }
};

// The pixels of a tile, `step` pixels behind each pointer.
template <int MR, bool groups>
struct Pixels {
  static constexpr int per = groups ? kGroup : 1;
  const float* p[MR / per];
  i64 d1, d2, d3;
  inline __attribute__((always_inline)) Pixels(const TileArgs& t, i64 p0)
      : d1(t.apart[0]), d2(t.apart[1]), d3(t.apart[2]) {
    NACRE_UNROLL for (int i = 0; i < MR / per; ++i) p[i] = t.x + t.x_at[p0 + i * per];
  }
  inline __attribute__((always_inline)) const float& at(int i, i64 k) const {
    const int j = i % per;
    return (p[i / per] + k)[j == 0 ? 0 : j == 1 ? d1 : j == 2 ? d2 : d3];
  }
};

template <int MR, int NV>
NACRE_INLINE void start_sums(const TileArgs& t, Vec (&acc)[MR][NV]) {
  Vec first[NV];
  NACRE_UNROLL for (int v = 0; v < NV; ++v) {
    const i64 n = t.n - v * kLanes;
    first[v] = !t.bias ? zero() : NV > 2 ? load(t.bias + v * kLanes) : n > 0 ? load(t.bias + v * kLanes, n) : zero();
  }
  NACRE_UNROLL for (int i = 0; i < MR; ++i) { NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = first[v]; }
}

template <int MR, int NV, bool groups>
NACRE_INLINE void tile_sums(const TileArgs& t, i64 p0, Vec (&acc)[MR][NV]) {
  Pixels<MR, groups> a(t, p0);
  start_sums(t, acc);
  const float* w = t.w;
  const float* next = t.next;
  for (i64 h = 0; h < t.nh; ++h, w += t.w_skip) {
    for (i64 c = 0; c < t.nw; ++c) {
      const i64 from = h * t.tap_row + c * t.tap_col, to = from + t.run;
      for (i64 k = from; k < to; ++k, w += t.ld_w, next += t.next_step) {
        prefetch_far(next);
        if (NV == 1) prefetch_far(next + 16);
        Vec b[NV];
        NACRE_UNROLL for (int v = 0; v < NV; ++v) b[v] = load(w + v % 2 * kLanes + (v < 2 ? 0 : t.second));
        NACRE_UNROLL for (int i = 0; i < MR; ++i) {
          const Vec x = set1(a.at(i, k));
          NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = fma(x, b[v], acc[i][v]);
        }
      }
    }
  }
}

// L neighbours from pixel p0 on in each of S rows; T columns of taps. Rows of the panel come in the order (kh, c, kw).
template <int S, int L, int NV, int T>
NACRE_INLINE void slide_sums(const TileArgs& t, i64 p0, Vec (&acc)[S * L][NV]) {
  constexpr int columns = L + T - 1, pointers = (columns + kGroup - 1) / kGroup;
  const i64 d1 = t.apart[0], d2 = t.apart[1], d3 = t.apart[2];
  const float* x[S][pointers];
  NACRE_UNROLL for (int r = 0; r < S; ++r) {
    NACRE_UNROLL for (int i = 0; i < pointers; ++i) x[r][i] = t.x + t.x_at[p0 + r * t.row_px] + i * kGroup * d1;
  }
  start_sums(t, acc);
  const float* w = t.w + t.h0 * t.run * T * t.ld_w;
  for (i64 h = t.h0; h < t.nh; ++h) {
    const i64 from = h * t.tap_row, to = from + t.run;
    for (i64 k = from; k < to; ++k, w += T * t.ld_w) {
      Vec b[T][NV];
      NACRE_UNROLL for (int q = 0; q < T; ++q) {
        NACRE_UNROLL for (int v = 0; v < NV; ++v) {
          b[q][v] = load(w + q * t.ld_w + v * kLanes);
          prefetch(w + (kAhead * T + q) * t.ld_w + v * kLanes);
        }
      }
      NACRE_UNROLL for (int r = 0; r < S; ++r) {
        NACRE_UNROLL for (int j = 0; j < columns; ++j) {
          const int d = j % kGroup;
          const Vec a = set1((x[r][j / kGroup] + k)[d == 0 ? 0 : d == 1 ? d1 : d == 2 ? d2 : d3]);
          NACRE_UNROLL for (int q = 0; q < T; ++q) {
            if (j < q || j - q >= L) continue;
            NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[r * L + j - q][v] = fma(a, b[q][v], acc[r * L + j - q][v]);
          }
        }
      }
    }
  }
}

// The first n lanes, for any n.
NACRE_INLINE Vec load_some(const float* p, i64 n) { return n >= kLanes ? load(p) : n > 0 ? load(p, n) : zero(); }
NACRE_INLINE void store_some(float* p, Vec a, i64 n) {
  if (n >= kLanes) {
    store(p, a);
  } else if (n > 0) {
    store(p, a, n);
  }
}

// Rows of S x L pixels from p0 on, `row_px` from row to row; `rest` channels of the last vector.
template <int S, int L, int NV, bool may_pass = false>
NACRE_INLINE void finish_sums(const TileArgs& t, i64 p0, Vec (&acc)[S * L][NV], i64 rest) {
  const i64* y_at[S];
  NACRE_UNROLL for (int s = 0; s < S; ++s) y_at[s] = t.y_at + p0 + s * t.row_px;
  if (t.r) {
    NACRE_UNROLL for (int i = 0; i < S * L; ++i) {
      const float* r = t.r + t.r_at[p0 + i / L * t.row_px + i % L];
      NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] += load(r + v * kLanes);
    }
  }
  if (t.act) {
    NACRE_UNROLL for (int i = 0; i < S * L; ++i) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = max(zero(), acc[i][v]);  // keeps NaN
    }
    if (t.act == 2) {
      NACRE_UNROLL for (int i = 0; i < S * L; ++i) {
        NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = min(set1(6.0f), acc[i][v]);
      }
    }
  }
  if (t.mask) {
    NACRE_UNROLL for (int i = 0; i < S * L; ++i) {
      const float* m = t.mask + y_at[i / L][i % L];
      NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = select(gt(load(m + v * kLanes), zero()), acc[i][v]);
    }
  }
  const auto put = [&](auto whole, auto last) __attribute__((always_inline)) {
    NACRE_UNROLL for (int i = 0; i < S * L; ++i) {
      float* y = t.y + y_at[i / L][i % L];
      NACRE_UNROLL for (int v = 0; v < NV - 1; ++v) whole(y + v * kLanes, acc[i][v]);
      last(y + (NV - 1) * kLanes, acc[i][NV - 1]);
    }
  };
  const auto near = [](float* p, Vec v) __attribute__((always_inline)) { store(p, v); };
  const auto past = [](float* p, Vec v) __attribute__((always_inline)) { stream(p, v); };
  if (may_pass && t.past) put(past, past);
  else if (NV > 2 || rest >= kLanes) put(near, near);  // two panels are whole
  else put(near, [rest](float* p, Vec v) __attribute__((always_inline)) { store(p, v, rest); });
}

// Channels that do not fill a vector and meet a residual or a mask: one function for all tiles. sums[pixel][width].
__attribute__((noinline, unused)) static void finish_some(const TileArgs& t, i64 p0, i64 rows, i64 length, i64 width,
                                                          const float* sums) {
  for (i64 row = 0; row < rows; ++row, p0 += t.row_px) {
    for (i64 p = p0; p < p0 + length; ++p, sums += width) {
      for (i64 o = 0; o < width; o += kLanes) {
        const i64 n = t.n - o;
        Vec sum = load(sums + o);
        if (t.r) sum += load(t.r + t.r_at[p] + o, n);
        if (t.act) sum = max(zero(), sum);
        if (t.act == 2) sum = min(set1(6.0f), sum);
        if (t.mask) sum = select(gt(load(t.mask + t.y_at[p] + o, n), zero()), sum);
        store(t.y + t.y_at[p] + o, sum, n);
      }
    }
  }
}

template <int S, int L, int NV, bool may_pass = false>
NACRE_INLINE void finish_tile(const TileArgs& t, i64 p0, Vec (&acc)[S * L][NV]) {
  if (NV > 2 || t.n >= NV * kLanes || (!t.mask && !t.r)) {
    return finish_sums<S, L, NV, may_pass>(t, p0, acc, t.n - (NV - 1) * kLanes);
  }
  float sums[S * L * NV * kLanes];
  NACRE_UNROLL for (int i = 0; i < S * L; ++i) {
    NACRE_UNROLL for (int v = 0; v < NV; ++v) store(sums + (i * NV + v) * kLanes, acc[i][v]);
  }
  finish_some(t, p0, S, L, NV * kLanes, sums);
}

// What finished sums will meet, on its way while they are formed.
template <int S, int L, int NV>
NACRE_INLINE void fetch_ahead(const TileArgs& t, i64 p0) {
  if (!t.r && !t.mask) return;
  for (int s = 0; s < S; ++s, p0 += t.row_px) {
    for (i64 p = p0; p < p0 + L; ++p) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        if (t.r && t.r_far) prefetch_far(t.r + t.r_at[p] + v * kLanes);
        if (t.r && !t.r_far) prefetch(t.r + t.r_at[p] + v * kLanes);
        if (t.mask) prefetch(t.mask + t.y_at[p] + v * kLanes);
      }
    }
  }
}

template <int MR, int NV, bool groups>
void conv_tile(const TileArgs& t, i64 p0) {
  Vec acc[MR][NV];
  fetch_ahead<1, MR, NV>(t, p0);
  tile_sums<MR, NV, groups>(t, p0, acc);
  constexpr int most = NV == 1 ? kNarrowGroups * kGroup : NV == 2 ? kWideGroups * kGroup : kPairPx;
  finish_tile<1, MR, NV, (kWideGroups > 0 && MR == most && groups == (NV < 4))>(t, p0, acc);
}

#if defined(__AVX512F__)
// Groups of pixels by a vector and a half of outputs: two pixels share the lanes of a vector, so that none is idle.
inline void half_tile(const TileArgs& t, i64 p0) {
  Vec acc[kHalfPx][1], half[kHalfPx / 2];
  fetch_ahead<1, kHalfPx, 2>(t, p0);
  const Pixels<kHalfPx, true> a(t, p0);
  start_sums(t, acc);
  const Vec rest = t.bias ? load(t.bias + kLanes, t.n - kLanes) : zero();
  NACRE_UNROLL for (int i = 0; i < kHalfPx / 2; ++i) half[i] = beside(rest, swap_halves(rest));
  const float* w = t.w;
  const float* next = t.next;
  for (i64 h = 0; h < t.nh; ++h, w += t.w_skip) {
    for (i64 c = 0; c < t.nw; ++c) {
      const i64 from = h * t.tap_row + c * t.tap_col, to = from + t.run;
      for (i64 k = from; k < to; ++k, w += t.ld_w, next += t.next_step) {
        prefetch_far(next);
        const Vec b = load(w), b_half = load_twice(w + kLanes);
        NACRE_UNROLL for (int i = 0; i < kHalfPx; i += 2) {
          const Vec even = set1(a.at(i, k)), odd = set1(a.at(i + 1, k));
          acc[i][0] = fma(even, b, acc[i][0]);
          acc[i + 1][0] = fma(odd, b, acc[i + 1][0]);
          half[i / 2] = fma(beside(even, &a.at(i + 1, k)), b_half, half[i / 2]);
        }
      }
    }
  }
  finish_tile<1, kHalfPx, 1>(t, p0, acc);
  NACRE_UNROLL for (int i = 0; i < kHalfPx; ++i) acc[i][0] = i % 2 ? swap_halves(half[i / 2]) : half[i / 2];
  TileArgs second = t;
  second.n -= kLanes;
  second.y += kLanes;
  if (t.r) second.r += kLanes;
  if (t.mask) second.mask += kLanes;
  finish_tile<1, kHalfPx, 1>(second, p0, acc);
}
#endif

template <int S, int L, int NV>
void slide_tile(const TileArgs& t, i64 p0) {
  Vec acc[S * L][NV];
  fetch_ahead<S, L, NV>(t, p0);
  slide_sums<S, L, NV, 3>(t, p0, acc);
  finish_tile<S, L, NV>(t, p0, acc);
}

}  // namespace nacre::NACRE_ISA
