// The gradient of x behind a max-pooling: per window and position the outputs whose maximum stood there are visited one by
// one, vectors along the input channels.
#include "kernels/conv2d_pool.h"
#include "kernels/conv2d_pool_windows.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr bool kLargeTaps = true;  // 5x5 sums at once
constexpr int kPatchRows = 3;      // rows of positions whose sums, up to 25, stay in registers together
#else
constexpr bool kLargeTaps = false;
constexpr int kPatchRows = 1;  // 12 sums
#endif
constexpr i64 kOutputs = 64;  // of a pass over the weights
constexpr i64 kManyUnits = 32;
constexpr i64 kBufferFloats = 32 * 1024;  // rows of dx in the making

struct InputPlan {
  Axis h, w;                       // windows over the input, see window_correlation
  i64 c_blocks, rows, row_blocks;  // rows of dx of a unit
  i64 cols, buffer_rows;           // of the buffer in which a unit adds up, one vector a pixel
  i64 units;
  bool ok;
};

InputPlan input_plan(const Conv2DPoolShape& s) {
  InputPlan p{};
  const Correlation q = window_correlation(s, s.C);
  p.h = q.h;
  p.w = q.w;
  p.c_blocks = ceil_div(s.C, kLanes);
  p.cols = max_of(q.w.span(q.w.out), 1);
  const i64 fit = kBufferFloats / kLanes / p.cols;
  const i64 wanted = ceil_div(kManyUnits, max_of(s.N * p.c_blocks, 1));  // row blocks of an image
  p.rows = max_of(min_of(fit, ceil_div(s.H, wanted)), min_of(2 * q.h.taps, max_of(s.H, 1)));
  p.row_blocks = ceil_div(s.H, p.rows);
  p.buffer_rows = p.rows + 2 * q.h.taps;
  const Count units = Count(s.N) * Count(p.c_blocks) * Count(p.row_blocks);
  p.ok = units.ok();
  p.units = units.value();
  return p;
}

Count input_scratch(const InputPlan& p, const Conv2DPoolShape& s) {
  return Count(s.O) * Count(s.KH) * Count(s.KW) * Count(kLanes) + Count(p.buffer_rows) * Count(p.cols) * Count(kLanes) +
         Count(s.OW / s.P) * Count(2 * s.P * s.P);
}

// dx at the taps of one position (+)= sum over the outputs in `alive` of g[o] * w[o][tap], one vector of channels.
struct Scatter {
  const float* g;
  u64 alive;
  const float* w;  // [o][tap][kLanes]
  i64 taps;
  float* dx;
  i64 dx_row, dx_col;
};

template <int RT, int NT>
NACRE_INLINE void scatter_taps(const Scatter& t, i64 first_row, i64 first_col, i64 KW) {
  Vec acc[RT * NT];
  NACRE_UNROLL for (int k = 0; k < RT * NT; ++k) acc[k] = zero();
  const float* w = t.w + (first_row * KW + first_col) * kLanes;
  for (u64 m = t.alive; m; m &= m - 1) {
    const i64 o = __builtin_ctzll(m);
    const Vec g = set1(t.g[o]);
    const float* w_o = w + o * t.taps * kLanes;
    NACRE_UNROLL for (int r = 0; r < RT; ++r) {
      NACRE_UNROLL for (int k = 0; k < NT; ++k) {
        acc[r * NT + k] = fma(load(w_o + (r * KW + k) * kLanes), g, acc[r * NT + k]);
      }
    }
  }
  NACRE_UNROLL for (int r = 0; r < RT; ++r) {
    NACRE_UNROLL for (int k = 0; k < NT; ++k) {
      float* dx = t.dx + (first_row + r) * t.dx_row + (first_col + k) * t.dx_col;
      store(dx, load(dx) + acc[r * NT + k]);
    }
  }
}

// The outputs of position `i` of a window of P x P, whose taps are those of a 3x3 window: into the patch of all positions.
template <int P, int R, int i>
NACRE_INLINE void add_position(const Scatter& t, u64 alive, Vec (&patch)[R + 2][P + 2]) {
  for (u64 m = alive; m; m &= m - 1) {
    const i64 o = __builtin_ctzll(m);
    const Vec g = set1(t.g[o]);
    const float* w = t.w + o * 9 * kLanes;
    NACRE_UNROLL for (int r = 0; r < 3; ++r) {
      NACRE_UNROLL for (int k = 0; k < 3; ++k) {
        Vec& sum = patch[i / P + r][i % P + k];
        sum = fma(load(w + (r * 3 + k) * kLanes), g, sum);
      }
    }
  }
}

template <int P, int R, int... i>
NACRE_INLINE void add_positions(const Scatter& t, const u64* alive, Vec (&patch)[R + 2][P + 2]) {
  (add_position<P, R, i>(t, alive[i], patch), ...);
}

// R rows of positions of a window at once, where taps and positions lie side by side.
template <int P, int R>
NACRE_INLINE void scatter_rows(const Scatter& t, const u64* alive) {
  Vec patch[R + 2][P + 2];
  NACRE_UNROLL for (int r = 0; r < R + 2; ++r) {
    NACRE_UNROLL for (int k = 0; k < P + 2; ++k) patch[r][k] = load(t.dx + r * t.dx_row + k * kLanes);
  }
  if constexpr (P == 2 && R == 1) {
    add_positions<P, R, 0, 1>(t, alive, patch);
  } else if constexpr (P == 2) {
    add_positions<P, R, 0, 1, 2, 3>(t, alive, patch);
  } else {
    add_positions<P, R, 0, 1, 2, 3, 4, 5, 6, 7, 8>(t, alive, patch);
  }
  NACRE_UNROLL for (int r = 0; r < R + 2; ++r) {
    NACRE_UNROLL for (int k = 0; k < P + 2; ++k) store(t.dx + r * t.dx_row + k * kLanes, patch[r][k]);
  }
}

// All positions of a window; kPatchRows must hold for P.
template <int P>
void scatter_patch(Scatter t, const u64* alive) {
  constexpr int R = kPatchRows < P ? kPatchRows : P;
  for (int h = 0; h < P; h += R, t.dx += R * t.dx_row) scatter_rows<P, R>(t, alive + h * P);
}

// The outputs whose gradient lives at each position of a window: bit o of alive[position].
template <int PP>
void find_alive(const PooledGradient& d, i64 px, i64 o0, i64 O, u64* alive) {
  u64 found[PP] = {};
  for (i64 o = 0; o < O; o += kLanes) {
    const i64 n = min_of(O - o, kLanes);
    const Mask live = ne(d.gradient(px, o0 + o, n), zero());
    const VecI position = index_lanes(d.index + px * d.O + o0 + o, n);
    NACRE_UNROLL for (int i = 0; i < PP; ++i) found[i] |= static_cast<u64>(bits(live & eq(position, set1i(i)))) << o;
  }
  NACRE_UNROLL for (int i = 0; i < PP; ++i) alive[i] = found[i];
}

void scatter(const Scatter& t, i64 KH, i64 KW) {
  if (!t.alive) return;
  for (i64 h = 0; h < KH;) {
    if (KW == 3 && KH - h >= 3) {
      scatter_taps<3, 3>(t, h, 0, 3);
      h += 3;
      continue;
    }
    if constexpr (kLargeTaps) {
      if (KW == 5 && KH - h >= 5) {
        scatter_taps<5, 5>(t, h, 0, 5);
        h += 5;
        continue;
      }
    }
    i64 w = 0;
    for (; w + 3 <= KW; w += 3) scatter_taps<1, 3>(t, h, w, KW);
    for (; w < KW; ++w) scatter_taps<1, 1>(t, h, w, KW);
    ++h;
  }
}

}  // namespace

Facts conv2d_pool_grad_x_facts(const Conv2DPoolShape& s) {
  Facts f;
  f.error = pool_grad_error(s, f.extent[5], f.extent[0], f.extent[1], f.extent[2], f.extent[3]);
  if (f.error) return f;
  f.extent[4] = s.mask ? f.extent[5] : Count(0);
  const InputPlan p = input_plan(s);
  const Count scratch = input_scratch(p, s) * Count(4);
  if (!p.ok || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = p.units;
  f.scratch = scratch.value();
  f.flops = dense_flops(s);
  return f;
}

void conv2d_pool_grad_x(const Conv2DPoolShape& s, Slice units, Scratch scratch, const float* dy, const float* y,
                        const u8* index, const float* w, const float* x, float* dx) {
  const InputPlan p = input_plan(s);
  const Conv2DShape c = conv_of(s);
  const i64 taps = s.KH * s.KW, PP = s.P * s.P, ldx = ldx_of(c), ldy = ldy_of(c), PH = s.OH / s.P, PW = s.OW / s.P;
  float* weights = reinterpret_cast<float*>(scratch.at);
  float* buffer = weights + s.O * taps * kLanes;
  u64* alive = reinterpret_cast<u64*>(buffer + p.buffer_rows * p.cols * kLanes);
  const PooledGradient given{dy, s.act ? y : nullptr, index, ldy, s.O};
  const bool patches =
      (kPatchRows == 3 || s.P == 2) && s.KH == 3 && s.KW == 3 && s.SH == 1 && s.SW == 1 && s.DH == 1 && s.DW == 1;
  const i64 per_block = s.N * p.row_blocks, row = p.cols * kLanes;
  i64 packed = -1;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 c0 = u / per_block * kLanes, n = u % per_block / p.row_blocks, r0 = u % p.row_blocks * p.rows;
    const i64 C = min_of(s.C - c0, kLanes), r1 = min_of(r0 + p.rows, s.H);
    if (c0 != packed) {  // weights[o][tap][c] = w[tap][c][o]
      packed = c0;
      zero_floats(weights, s.O * taps * kLanes);
      for (i64 t = 0; t < taps; ++t) {
        transpose(weights + t * kLanes, taps * kLanes, w + (t * s.C + c0) * s.O, s.O, C, s.O);
      }
    }
    // Windows whose input rows meet [r0, r1), and the first row that the first of them sees.
    i64 ph0 = 0;
    while (ph0 < PH && p.h.at(ph0, p.h.taps - 1) < r0) ++ph0;
    i64 ph1 = ph0;
    while (ph1 < PH && p.h.at(ph1, 0) < r1) ++ph1;
    const i64 top = p.h.at(ph0, 0), buffer_rows = ph1 > ph0 ? p.h.span(ph1 - ph0) : 0;
    zero_floats(buffer, buffer_rows * row);
    for (i64 o0 = 0; o0 < s.O; o0 += kOutputs) {
      const i64 O = min_of(s.O - o0, kOutputs);
      Scatter t{};
      t.w = weights + o0 * taps * kLanes;
      t.taps = taps;
      t.dx_row = s.DH * row;
      t.dx_col = s.DW * kLanes;
      for (i64 ph = ph0; ph < ph1; ++ph) {
        const i64 px0 = (n * PH + ph) * PW;
        // All masks of a row first: the loops over their bits end where no branch predictor knows, and should know early.
        for (i64 pw = 0; pw < PW; ++pw) {
          (s.P == 2 ? find_alive<4> : find_alive<9>)(given, px0 + pw, o0, O, alive + pw * PP);
        }
        for (i64 pw = 0; pw < PW; ++pw) {
          t.g = dy + (px0 + pw) * ldy + o0;
          const u64* alive_w = alive + pw * PP;
          float* at = buffer + (ph - ph0) * p.h.stride * row + pw * p.w.stride * kLanes;
          if (patches) {
            t.dx = at;
            if constexpr (kPatchRows == 3) s.P == 2 ? scatter_patch<2>(t, alive_w) : scatter_patch<3>(t, alive_w);
            else scatter_patch<2>(t, alive_w);
            continue;
          }
          for (i64 i = 0; i < PP; ++i) {
            t.alive = alive_w[i];
            t.dx = at + i / s.P * s.SH * row + i % s.P * s.SW * kLanes;
            scatter(t, s.KH, s.KW);
          }
        }
      }
    }
    for (i64 ih = r0; ih < r1; ++ih) {
      for (i64 iw = 0; iw < s.W; ++iw) {
        const i64 at = ((n * s.H + ih) * s.W + iw) * ldx + c0, br = ih - top, bc = iw + s.PL;
        Vec sum =
            br >= 0 && br < buffer_rows && bc >= 0 && bc < p.cols ? load(buffer + br * row + bc * kLanes) : zero();
        if (s.mask) sum = select(gt(load(x + at, C), zero()), sum);
        store(dx + at, sum, C);
      }
    }
  }
}

}  // namespace nacre::NACRE_ISA
