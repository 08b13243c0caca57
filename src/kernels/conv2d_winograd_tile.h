// The product of one point of Winograd's convolution, and the transforms along one axis. Polynomials are evaluated at the points
// 0, +-p, (+-q,) (infinity):
//
//   v = B d  (m+k-1 inputs)      u = G w  (k weights)      y = A (u * v)  (m outputs)
//
// In two dimensions each is applied to columns, then to rows. For six inputs the points 5/8 and 3/2 keep rounding low (half of that
// with 1 and 2), for five 3/4 and 2 without infinity, and all numbers of A and B are exact.
#pragma once
#include "kernels/conv2d.h"
#include "kernels/conv2d_winograd.h"
#include "kernels/gemm_tile.h"

namespace nacre::NACRE_ISA {
namespace winograd {

NACRE_INLINE Conv2DShape convolution(const WinogradShape& s) {
  return {s.N,  s.H,  s.W,  s.C,  s.O, s.KH,   s.KW,  s.stride, s.stride, 1,          1,
          s.PT, s.PL, s.OH, s.OW, 1,   s.bias, s.act, s.ldx,    s.ldy,    s.residual, s.ldr};
}

// The window of a phase: of convolutions at stride 1.
NACRE_INLINE i64 phase_taps(i64 taps, i64 stride) { return ceil_div(taps, stride); }

NACRE_INLINE const char* error(const WinogradShape& s) {
  if (s.stride != 1 && s.stride != 2) return "stride is 1 or 2";
  if (s.stride == 2 ? s.KH != s.KW || (s.KW != 4 && s.KW != 5)
                    : (s.KW != 3 && s.KW != 5) || (s.KH != s.KW && s.KH != 1)) {
    return "the window is 3x3, 5x5, 1x3 or 1x5, at stride 2 4x4 or 5x5";
  }
  const i64 taps = phase_taps(s.KW, s.stride);
  if (taps == 5 ? s.tile != 2 : s.tile != 4 && (taps == 2 || s.tile != 2)) {
    return "tile is 2 or 4; 2 where the window is 5, 4 where it is 4";
  }
  if (s.act > 2) return "act is 0, 1 or 2";
  if (s.masked < 0 || s.masked > 1 || s.turned < 0 || s.turned > 1) return "masked and turned are 0 or 1";
  return nullptr;
}

// Every stride-th pixel along an axis, from `first` on: pixel i is pixel first + i*step of the image.
struct Every {
  i64 first, step, count;
};

// One of the convolutions at stride 1 along an axis of which one at a stride is the sum, or, turned, its gradient consists.
struct Phase {
  i64 tap, step;  // tap t of its window is tap + t*step of the whole one, if that has it
  i64 pad;        // inputs before the first
  Every in, out;
};
__attribute__((noinline, unused)) static Phase phase_of(const WinogradShape& s, i64 K, i64 pad, i64 in, i64 out,
                                                        i64 r) {
  const i64 S = s.stride, taps = phase_taps(K, S);
  const auto every = [S](i64 n, i64 first) { return Every{first, S, n > first ? ceil_div(n - first, S) : 0}; };
  if (!s.turned) {  // tap r + S*t of output i meets pixel S*(i + t) + r - pad
    const i64 first = ((r - pad) % S + S) % S;
    return {r, S, (first - r + pad) / S, every(in, first), {0, 1, out}};
  }
  // Pixel S*i + r is met by tap q + S*t of output i + (r + pad - q)/S - t.
  const i64 q = ((r + pad) % S + S) % S;
  return {K - 1 - q - S * (taps - 1), S, taps - 1 - (r + pad - q) / S, {0, 1, in}, every(out, r)};
}

// c = a b for MR rows and NV vectors of columns.
struct ProductCall {
  const float* a;  // rows a_m apart
  i64 a_m;
  const float* b;  // NV vectors for each of K steps
  i64 K;
  float* c;           // NV vectors a row
  const float* next;  // what the products behind this one read, asked for a line with each step
};

template <int MR, int NV>
void run(const ProductCall& t) {
  Vec sum[MR][NV];
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) sum[i][j] = zero();
  }
  tile::Rows<MR> a(t.a, t.a_m);
  const float* b = t.b;
  const float* next = t.next;
  for (i64 k = t.K; k > 0; --k, next += 16) {
    prefetch_far(next);
    Vec row[NV];
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) row[j] = load(b + j * kLanes);
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const Vec x = a.at(i);
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) sum[i][j] = fma(x, row[j], sum[i][j]);
    }
    a.step(1);
    b += NV * kLanes;
  }
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) store(t.c + (i * NV + j) * kLanes, sum[i][j]);
  }
}

// Of m outputs for k weights.
template <int m_, int k_>
struct Sizes {
  static constexpr int m = m_, k = k_, in = m + k - 1;
};

template <int m, int k>
struct Transform;

// Where the window has no extent.
template <>
struct Transform<1, 1> : Sizes<1, 1> {
  NACRE_INLINE_MEMBER static void input(const Vec (&d)[1], Vec (&v)[1]) { v[0] = d[0]; }
  NACRE_INLINE_MEMBER static void weights(const VecD (&w)[1], VecD (&u)[1]) { u[0] = w[0]; }
  NACRE_INLINE_MEMBER static void output(const Vec (&s)[1], Vec (&y)[1]) { y[0] = s[0]; }
  NACRE_INLINE_MEMBER static void output_grad(const Vec (&y)[1], Vec (&s)[1]) { s[0] = y[0]; }
  NACRE_INLINE_MEMBER static void weights_grad(const Vec (&u)[1], Vec (&w)[1]) { w[0] = u[0]; }
};

template <>
struct Transform<2, 3> : Sizes<2, 3> {
  NACRE_INLINE_MEMBER static void input(const Vec (&d)[4], Vec (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
  }
  NACRE_INLINE_MEMBER static void weights(const VecD (&w)[3], VecD (&u)[4]) {
    const VecD half = set1d(0.5), even = (w[0] + w[2]) * half, odd = w[1] * half;
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = w[2];
  }
  NACRE_INLINE_MEMBER static void output(const Vec (&s)[4], Vec (&y)[2]) {
    y[0] = s[0] + (s[1] + s[2]);
    y[1] = (s[1] - s[2]) + s[3];
  }
  NACRE_INLINE_MEMBER static void output_grad(const Vec (&y)[2], Vec (&s)[4]) {
    s[0] = y[0];
    s[1] = y[0] + y[1];
    s[2] = y[0] - y[1];
    s[3] = y[1];
  }
  NACRE_INLINE_MEMBER static void weights_grad(const Vec (&u)[4], Vec (&w)[3]) {
    const Vec half = set1(0.5f), even = (u[1] + u[2]) * half;
    w[0] = u[0] + even;
    w[1] = (u[1] - u[2]) * half;
    w[2] = even + u[3];
  }
};

// What six points have in common, and five, without infinity: e and o are sums over even and odd powers at +-p and +-q.
template <int in>
struct Points {
  static constexpr double p = in == 5 ? 0.75 : 0.625, q = in == 5 ? 2 : 1.5;
  static constexpr double by_p = 0.5 / (p * p * (p * p - q * q)), by_q = 0.5 / (q * q * (q * q - p * p));
  static constexpr float fp = p, fq = q, p2 = p * p, q2 = q * q, p3 = p * p * p, q3 = q * q * q;
  static constexpr float product = p2 * q2, sum = p2 + q2;
  NACRE_INLINE_MEMBER static void input(const Vec (&d)[in], Vec (&v)[in]) {
    const Vec p_even = fnma(set1(q2), d[2], d[4]), p_odd = fnma(set1(q2), d[1], d[3]);
    const Vec q_even = fnma(set1(p2), d[2], d[4]), q_odd = fnma(set1(p2), d[1], d[3]);
    v[0] = fma(set1(product), d[0], fnma(set1(sum), d[2], d[4]));
    v[1] = fma(set1(fp), p_odd, p_even);
    v[2] = fnma(set1(fp), p_odd, p_even);
    v[3] = fma(set1(fq), q_odd, q_even);
    v[4] = fnma(set1(fq), q_odd, q_even);
    if constexpr (in == 6) v[5] = fma(set1(product), d[1], fnma(set1(sum), d[3], d[5]));
  }
  NACRE_INLINE_MEMBER static void weights(const VecD& first, const VecD& p_even, const VecD& p_odd, const VecD& q_even,
                                          const VecD& q_odd, const VecD& last, VecD (&u)[in]) {
    const VecD pe = p_even * set1d(by_p), po = p_odd * set1d(p) * set1d(by_p);
    const VecD qe = q_even * set1d(by_q), qo = q_odd * set1d(q) * set1d(by_q);
    u[0] = first * set1d(1 / (p * p * q * q));
    u[1] = pe + po;
    u[2] = pe - po;
    u[3] = qe + qo;
    u[4] = qe - qo;
    if constexpr (in == 6) u[5] = last;
  }
  // The sum over the points of u times the n-th power.
  template <int n>
  NACRE_INLINE_MEMBER static Vec weight_grad(const Vec& p_part, const Vec& q_part) {
    return fma(set1(static_cast<float>(power(p, n) * by_p)), p_part,
               set1(static_cast<float>(power(q, n) * by_q)) * q_part);
  }
  static constexpr double power(double x, int n) { return n == 0 ? 1 : x * power(x, n - 1); }
};

// Four outputs of five or six points.
template <int k>
struct FourOutputs : Sizes<4, k>, Points<k + 3> {
  static constexpr int in = k + 3;
  using At = Points<in>;
  static constexpr float fp = At::p, fq = At::q, p2 = At::p2, q2 = At::q2, p3 = At::p3, q3 = At::q3;
  NACRE_INLINE_MEMBER static void output(const Vec (&s)[in], Vec (&y)[4]) {
    const Vec p_even = s[1] + s[2], p_odd = s[1] - s[2], q_even = s[3] + s[4], q_odd = s[3] - s[4];
    y[0] = s[0] + (p_even + q_even);
    y[1] = fma(set1(fp), p_odd, set1(fq) * q_odd);
    y[2] = fma(set1(p2), p_even, set1(q2) * q_even);
    y[3] = fma(set1(p3), p_odd, in == 6 ? fma(set1(q3), q_odd, s[in - 1]) : set1(q3) * q_odd);
  }
  NACRE_INLINE_MEMBER static void output_grad(const Vec (&y)[4], Vec (&s)[in]) {
    const Vec p_even = fma(set1(p2), y[2], y[0]), p_odd = fma(set1(p2), y[3], y[1]);
    const Vec q_even = fma(set1(q2), y[2], y[0]), q_odd = fma(set1(q2), y[3], y[1]);
    s[0] = y[0];
    s[1] = fma(set1(fp), p_odd, p_even);
    s[2] = fnma(set1(fp), p_odd, p_even);
    s[3] = fma(set1(fq), q_odd, q_even);
    s[4] = fnma(set1(fq), q_odd, q_even);
    if constexpr (in == 6) s[5] = y[3];
  }
};

template <>
struct Transform<4, 2> : FourOutputs<2> {
  NACRE_INLINE_MEMBER static void weights(const VecD (&w)[2], VecD (&u)[5]) {
    Points<5>::weights(w[0], w[0], w[1], w[0], w[1], w[1], u);
  }
  NACRE_INLINE_MEMBER static void weights_grad(const Vec (&u)[5], Vec (&w)[2]) {
    w[0] = fma(set1(1 / product), u[0], weight_grad<0>(u[1] + u[2], u[3] + u[4]));
    w[1] = weight_grad<1>(u[1] - u[2], u[3] - u[4]);
  }
};

template <>
struct Transform<4, 3> : FourOutputs<3> {
  NACRE_INLINE_MEMBER static void weights(const VecD (&w)[3], VecD (&u)[6]) {
    Points<6>::weights(w[0], w[0] + w[2] * set1d(p * p), w[1], w[0] + w[2] * set1d(q * q), w[1], w[2], u);
  }
  NACRE_INLINE_MEMBER static void weights_grad(const Vec (&u)[6], Vec (&w)[3]) {
    const Vec p_even = u[1] + u[2], p_odd = u[1] - u[2], q_even = u[3] + u[4], q_odd = u[3] - u[4];
    w[0] = fma(set1(1 / product), u[0], weight_grad<0>(p_even, q_even));
    w[1] = weight_grad<1>(p_odd, q_odd);
    w[2] = fma(set1(p * p * by_p), p_even, fma(set1(q * q * by_q), q_even, u[5]));
  }
};

template <>
struct Transform<2, 5> : Sizes<2, 5>, Points<6> {
  NACRE_INLINE_MEMBER static void weights(const VecD (&w)[5], VecD (&u)[6]) {
    const VecD pp = set1d(p * p), qq = set1d(q * q);
    Points<6>::weights(w[0], w[0] + (w[2] + w[4] * pp) * pp, w[1] + w[3] * pp, w[0] + (w[2] + w[4] * qq) * qq,
                       w[1] + w[3] * qq, w[4], u);
  }
  NACRE_INLINE_MEMBER static void weights_grad(const Vec (&u)[6], Vec (&w)[5]) {
    const Vec p_even = u[1] + u[2], p_odd = u[1] - u[2], q_even = u[3] + u[4], q_odd = u[3] - u[4];
    w[0] = fma(set1(1 / product), u[0], weight_grad<0>(p_even, q_even));
    w[1] = weight_grad<1>(p_odd, q_odd);
    w[2] = weight_grad<2>(p_even, q_even);
    w[3] = weight_grad<3>(p_odd, q_odd);
    w[4] = weight_grad<4>(p_even, q_even) + u[5];
  }
  NACRE_INLINE_MEMBER static void output(const Vec (&s)[6], Vec (&y)[2]) {
    y[0] = s[0] + ((s[1] + s[2]) + (s[3] + s[4]));
    y[1] = fma(set1(fp), s[1] - s[2], fma(set1(fq), s[3] - s[4], s[5]));
  }
  NACRE_INLINE_MEMBER static void output_grad(const Vec (&y)[2], Vec (&s)[6]) {
    s[0] = y[0];
    s[1] = fma(set1(fp), y[1], y[0]);
    s[2] = fnma(set1(fp), y[1], y[0]);
    s[3] = fma(set1(fq), y[1], y[0]);
    s[4] = fnma(set1(fq), y[1], y[0]);
    s[5] = y[1];
  }
};

// A tile, by what is done down its columns and along its rows.
template <class Down_, class Along_>
struct Tile {
  using Down = Down_;
  using Along = Along_;
  static constexpr int mh = Down::m, mw = Along::m, kh = Down::k, kw = Along::k, inh = Down::in, inw = Along::in;
};

// f(tile) of this shape.
template <class F>
NACRE_INLINE void with_tile(const WinogradShape& s, F f) {
  using T23 = Transform<2, 3>;
  using T42 = Transform<4, 2>;
  using T43 = Transform<4, 3>;
  using T25 = Transform<2, 5>;
  using Flat = Transform<1, 1>;
  const i64 taps = phase_taps(s.KW, s.stride);
  if (s.KH == 1) {
    taps == 5 ? f(Tile<Flat, T25>{}) : s.tile == 2 ? f(Tile<Flat, T23>{}) : f(Tile<Flat, T43>{});
  } else if (taps == 2) {
    f(Tile<T42, T42>{});
  } else {
    taps == 5 ? f(Tile<T25, T25>{}) : s.tile == 2 ? f(Tile<T23, T23>{}) : f(Tile<T43, T43>{});
  }
}

// The outputs of a tile in a column, and how many products it takes.
NACRE_INLINE i64 tile_rows(const WinogradShape& s) { return s.KH == 1 ? 1 : s.tile; }
NACRE_INLINE i64 points(const WinogradShape& s) {
  return (tile_rows(s) + phase_taps(s.KH, s.stride) - 1) * (s.tile + phase_taps(s.KW, s.stride) - 1);
}

// Both axes of one phase, of stride^2.
struct Phases {
  Phase h, w;
};
NACRE_INLINE Phases phases_of(const WinogradShape& s, i64 i) {
  return {phase_of(s, s.KH, s.PT, s.H, s.OH, i / s.stride), phase_of(s, s.KW, s.PL, s.W, s.OW, i % s.stride)};
}
NACRE_INLINE i64 sums_of(const WinogradShape& s) {
  return s.turned ? 1 : s.stride * s.stride;
}  // phases that are added
NACRE_INLINE i64 parts_of(const WinogradShape& s) {
  return s.turned ? s.stride * s.stride : 1;
}  // that lie side by side

// An image of which the pixels [0, H) x [0, W) are read, and zeros around them.
struct Image {
  const float* at;
  i64 row, column;  // floats from pixel to pixel
  i64 H, W;
  const float* zeros;
};
// The pixels of a phase.
NACRE_INLINE Image every(const Image& x, const Every& h, const Every& w) {
  return {x.at + h.first * x.row + w.first * x.column, x.row * h.step, x.column * w.step, h.count, w.count, x.zeros};
}

// A rectangle of pixels of an image.
template <int rows_, int columns_>
struct Patch {
  static constexpr int rows = rows_, columns = columns_;
  i64 offset[rows * columns];
  NACRE_INLINE_MEMBER explicit Patch(const Image& x) {
    NACRE_ROLLED
    for (int i = 0; i < rows * columns; ++i) offset[i] = i / columns * x.row + i % columns * x.column;
  }
};
__attribute__((noinline, unused)) static void border_pixels(const Image& x, i64 h, i64 w, i64 rows, i64 columns,
                                                            const float** at) {
  for (i64 i = h; i < h + rows; ++i) {
    const bool seen = i >= 0 && i < x.H;
    for (i64 j = w; j < w + columns; ++j) {
      *at++ = seen && j >= 0 && j < x.W ? x.at + i * x.row + j * x.column : x.zeros;
    }
  }
}
// Those from (h, w) on.
template <class Patch>
NACRE_INLINE void pixels(const Image& x, const Patch& patch, i64 h, i64 w, const float** at) {
  if (h < 0 || w < 0 || h + Patch::rows > x.H || w + Patch::columns > x.W) {
    return border_pixels(x, h, w, Patch::rows, Patch::columns, at);
  }
  const float* from = x.at + h * x.row + w * x.column;
  for (int i = 0; i < Patch::rows * Patch::columns; ++i) at[i] = from + patch.offset[i];
}

// Where the taps of a phase stand among those of the window, `apart` floats from one to the next; -1 where it has none.
template <class T>
NACRE_INLINE void taps_of(const WinogradShape& s, const Phases& phase, i64 apart, i64 (&at)[T::kh * T::kw]) {
  for (i64 i = 0; i < T::kh; ++i) {
    for (i64 j = 0; j < T::kw; ++j) {
      const i64 kh = phase.h.tap + i * phase.h.step, kw = phase.w.tap + j * phase.w.step;
      at[i * T::kw + j] = kh >= 0 && kh < s.KH && kw >= 0 && kw < s.KW ? (kh * s.KW + kw) * apart : -1;
    }
  }
}

// v of the tile whose inputs stand at `at`, n channels from c on. Of the next one's, if it is given, the columns that it
// does not share with this one are asked for.
template <class T, bool whole>
NACRE_INLINE void transform_input(const float* const* at, const float* const* next, i64 c, i64 n, float* v,
                                  i64 v_point) {
  constexpr int rows = T::inh, columns = T::inw;
  Vec half[rows][columns];
  NACRE_ROLLED
  for (int j = 0; j < columns; ++j) {
    Vec d[rows], t[rows];
    NACRE_UNROLL
    for (int i = 0; i < rows; ++i) {
      d[i] = whole ? load(at[i * columns + j] + c) : load(at[i * columns + j] + c, n);
      if (next && j >= columns - T::mw) prefetch(next[i * columns + j] + c);
    }
    T::Down::input(d, t);
    NACRE_UNROLL
    for (int i = 0; i < rows; ++i) half[i][j] = t[i];
  }
  NACRE_ROLLED
  for (int i = 0; i < rows; ++i) {
    Vec t[columns];
    T::Along::input(half[i], t);
    NACRE_UNROLL
    for (int j = 0; j < columns; ++j) store(v + (i * columns + j) * v_point + c, t[j]);
  }
}

}  // namespace winograd
}  // namespace nacre::NACRE_ISA
