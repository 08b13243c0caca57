// Gradients behind a max-pooling: each pooled output hands its gradient to one position of its window. Vectors run along the
// input channels; the position decides from where x is read, or to where dx is added, so no zero is ever multiplied.
//
// Weights: per output channel, the sums of all taps stay in registers over the windows of a block. Input: per window and
// position, the channels whose maximum stood there are visited one by one. A layer with few input channels (the first one)
// has its vectors along the output channels instead, and positions are told apart by masks.
#include "kernels/conv2d_pool.h"
#include "kernels/conv2d_pool_windows.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectors = 2;    // of channels whose 9 taps fit the registers
constexpr int kRows = 12;      // of a tile of few channels
constexpr int kRowVectors = 2;
constexpr bool kLargeTaps = true;  // 5x5 sums at once
#else
constexpr int kVectors = 1;
constexpr int kRows = 9;
constexpr int kRowVectors = 1;
constexpr bool kLargeTaps = false;
#endif
constexpr i64 kOutputs = 64;          // output channels of a unit or of a pass over the weights
constexpr i64 kChannels = 32;           // channels of a unit, taken kVectors * kLanes at a time
constexpr i64 kCopyFloats = 8 * 1024;   // x of one block: 32 KB of L1
constexpr i64 kWindows = 72;          // of one block
constexpr i64 kManyUnits = 64;
constexpr i64 kBufferFloats = 32 * 1024;  // rows of dx in the making

double dense_flops(const Conv2DPoolShape& s) {
  const auto d = [](i64 v) { return static_cast<double>(v); };
  return 2.0 * d(s.N) * d(s.OH / s.P) * d(s.OW / s.P) * d(s.P * s.P) * d(s.O) * d(s.KH) * d(s.KW) * d(s.C);
}

// The parts of facts that both gradients share; operands dy, y, index, dw (db) or w, x and dx are the caller's.
const char* check(const Conv2DPoolShape& s, Count& x, Count& dy, Count& y, Count& index, Count& w) {
  if (const char* error = conv2d_pool_error(s)) return error;
  if (s.G != 1) return "gradients behind a pooling need G = 1";
  const Conv2DShape c = conv_of(s);
  const i64 PH = s.OH / s.P, PW = s.OW / s.P;
  x = pixels_extent(s.N, s.H, s.W, s.C, ldx_of(c));
  dy = pixels_extent(s.N, PH, PW, s.O, ldy_of(c));
  y = s.act ? dy : Count(0);
  index = Count(s.N) * Count(PH) * Count(PW) * Count(s.O);
  w = Count(s.KH) * Count(s.KW) * Count(s.C) * Count(s.O);
  const Count reach = Count(s.N) * Count(s.H + 2 * s.P * s.SH) * Count(s.W + 2 * s.P * s.SW) * Count(ldx_of(c));
  if (!x.ok() || !dy.ok() || !index.ok() || !w.ok() || !reach.ok()) return "the problem is too large";
  return nullptr;
}

// --- weights -----------------------------------------------------------------------------------------------------------

struct WeightPlan {
  Correlation q;  // windows, with the channels of one block
  bool few;       // few channels: vectors along the outputs
  i64 CB, c_blocks, OB, o_blocks, blocks, parts;
  Cut cut;
  bool ok;
};

WeightPlan weight_plan(const Conv2DPoolShape& s) {
  WeightPlan p{};
  p.few = s.C < kLanes / 2;
  p.CB = p.few ? s.C : min_of(s.C, kChannels);
  p.c_blocks = p.few ? 1 : max_of(ceil_div(s.C, max_of(p.CB, 1)), 1);
  p.OB = min_of(max_of(s.O, 1), kOutputs);
  p.o_blocks = ceil_div(s.O, p.OB);
  p.q = window_correlation(s, p.CB);
  p.cut = cut_blocks(p.q, kWindows, kCopyFloats, false);
  const Count blocks = Count(p.cut.n_blocks) * Count(p.cut.h_blocks) * Count(p.cut.w_blocks);
  const Count base = Count(p.c_blocks) * Count(p.o_blocks);
  const Conv2DShape c = conv_of(s);
  const Count reach = Count(p.cut.nb) * Count(max_of(p.q.h.span(p.cut.hb), s.H)) * Count(s.W + 2 * s.P * s.SW) *
                      Count(max_of(ldx_of(c), 1));  // offsets within a block are 32 bits wide
  const bool one_image = p.cut.nb == 1;
  const Count reach_rows = Count(p.q.h.span(p.cut.hb)) * Count(s.W + 2 * s.P * s.SW) * Count(max_of(ldx_of(c), 1));
  const Count& far = one_image ? reach_rows : reach;
  p.ok = blocks.ok() && base.ok() && far.ok() && far.value() < (i64{1} << 31);
  if (!p.ok) return p;
  p.blocks = blocks.value();
  const double unit_flops = dense_flops(s) / static_cast<double>(max_of(base.value(), 1)) / 4;
  i64 parts = base.value() > 0 ? ceil_div(kManyUnits, base.value()) : 1;
  if (unit_flops < 1e6 * static_cast<double>(parts)) parts = static_cast<i64>(unit_flops / 1e6);
  parts = min_of(parts, p.blocks / 4);  // sums are brought together once per part
  p.parts = max_of(parts, 1);
  return p;
}

// Gradient and position of each (window, output) of a block, [windows][OB]: where ReLU cut, 0.
struct Staged {
  float* g;
  i32* at;  // offset into x of the position (few channels: the position itself)
  i64 OB, windows;
};

// Offsets: window_at + row*at_row + col*at_col of position row*P + col.
NACRE_INLINE VecI position_offset(VecI position, i64 P, VecI at_row, VecI at_col) {
  const VecI row = P == 2 ? shr<1>(position) : shr<5>(position * set1i(11));  // division by 3 of 0..8
  return row * at_row + (position - row * set1i(static_cast<i32>(P))) * at_col;
}

NACRE_INLINE VecI index_lanes(const u8* p, i64 n) {
  if (n >= kLanes) return load_u8(p);
  u8 lane[kLanes] = {};
  for (i64 i = 0; i < n; ++i) lane[i] = p[i];
  return load_u8(lane);
}

// Sums of RT x NT taps for one output channel over the windows of a block, NV vectors of channels.
struct TapSums {
  const float* x;
  i64 tap_row, tap_col;
  const float* g;
  const i32* at;
  i64 step, windows;
  float* sum;  // [tap][CB]
  i64 sum_row, sum_col;
  bool add;
};

// pitch: vectors from pixel to pixel, where that is known (0: not), so that the taps of a row lie at constant distances.
template <int RT, int NT, int NV, bool whole, int pitch>
__attribute__((noinline)) void tap_sums(const TapSums& t, i64 n) {
  const i64 sum_row = t.sum_row, sum_col = t.sum_col;
  Vec acc[RT * NT][NV];
  NACRE_UNROLL for (int r = 0; r < RT; ++r) {
    NACRE_UNROLL for (int k = 0; k < NT; ++k) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        acc[r * NT + k][v] = t.add ? load(t.sum + r * sum_row + k * sum_col + v * kLanes) : zero();
      }
    }
  }
  const i64 tap_row = t.tap_row, tap_col = pitch ? i64{pitch} * kLanes : t.tap_col, step = t.step;
  const float* g_w = t.g;
  const float* const g_end = g_w + t.windows * step;
  const i32* at_w = t.at;
  const float* const base = t.x;
  for (; g_w != g_end; g_w += step, at_w += step) {
    const Vec g = set1(*g_w);
    const float* x = base + *at_w;
    NACRE_UNROLL for (int r = 0; r < RT; ++r, x += tap_row) {
      NACRE_UNROLL for (int k = 0; k < NT; ++k) {
        NACRE_UNROLL for (int v = 0; v < NV; ++v) {
          const float* from = x + k * tap_col + v * kLanes;
          acc[r * NT + k][v] = fma(whole || v + 1 < NV ? load(from) : load(from, n), g, acc[r * NT + k][v]);
        }
      }
    }
  }
  NACRE_UNROLL for (int r = 0; r < RT; ++r) {
    NACRE_UNROLL for (int k = 0; k < NT; ++k) {
      NACRE_UNROLL for (int v = 0; v < NV; ++v) store(t.sum + r * sum_row + k * sum_col + v * kLanes, acc[r * NT + k][v]);
    }
  }
}

// n: lanes of the last vector.
template <int NV, bool whole, int pitch>
void all_taps(TapSums t, i64 KH, i64 KW, i64 n) {
  const float* x = t.x;
  float* sum = t.sum;
  for (i64 h = 0; h < KH;) {
    const i64 rows = KH - h;
    i64 w = 0, done = 1;
    while (w < KW) {
      const i64 left = KW - w;
      t.x = x + h * t.tap_row + w * t.tap_col;
      t.sum = sum + h * t.sum_row + w * t.sum_col;
      if (KW == 3 && rows >= 3) {
        tap_sums<3, 3, NV, whole, pitch>(t, n);
        w += 3, done = 3;
      } else if (kLargeTaps && NV == 1 && KW == 5 && rows >= 5) {
        if constexpr (kLargeTaps && NV == 1) tap_sums<5, 5, NV, whole, pitch>(t, n);
        w += 5, done = 5;
      } else if (left >= 7) {
        tap_sums<1, 7, NV, whole, pitch>(t, n);
        w += 7;
      } else if (left >= 3) {
        tap_sums<1, 3, NV, whole, pitch>(t, n);
        w += 3;
      } else if (left == 2) {
        tap_sums<1, 2, NV, whole, pitch>(t, n);
        w += 2;
      } else {
        tap_sums<1, 1, NV, whole, pitch>(t, n);
        w += 1;
      }
    }
    h += done;
  }
}

template <int NV>
void channel_taps(const TapSums& t, i64 KH, i64 KW, i64 n) {
  if (n < kLanes) {
    all_taps<NV, false, 0>(t, KH, KW, n);
  } else if (t.tap_col == NV * kLanes) {
    all_taps<NV, true, NV>(t, KH, KW, n);
  } else if (t.tap_col == 64) {
    all_taps<NV, true, 64 / kLanes>(t, KH, KW, n);
  } else {
    all_taps<NV, true, 0>(t, KH, KW, n);
  }
}

// Few channels: RR consecutive floats of NP rows of taps against NV vectors of outputs, over windows and positions.
struct RowSums {
  const float* x;
  const i64* window;  // offset of each window
  i64 windows, P, at_row, at_col, tap_row;
  const float* g;
  const i32* at;  // positions
  i64 step;
  float* dw;  // row r of tap row p at dw + p*dw_tap + r*dw_row
  i64 dw_tap, dw_row, n;
  bool add;
};

template <int NP, int RR>
void row_sums(const RowSums& t) {
  constexpr int MR = NP * RR, NV = kRowVectors;
  Vec acc[MR][NV];
  NACRE_UNROLL for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = zero();
  }
  for (i64 w = 0; w < t.windows; ++w) {
    Vec g[NV];
    VecI at[NV];
    NACRE_UNROLL for (int v = 0; v < NV; ++v) {
      g[v] = load(t.g + w * t.step + v * kLanes);
      at[v] = load(t.at + w * t.step + v * kLanes);
    }
    i32 position = 0;
    for (i64 i = 0; i < t.P; ++i) {
      const float* x = t.x + t.window[w] + i * t.at_row;
      for (i64 j = 0; j < t.P; ++j, ++position, x += t.at_col) {
        Vec d[NV];
        NACRE_UNROLL for (int v = 0; v < NV; ++v) d[v] = select(eq(at[v], set1i(position)), g[v]);
        NACRE_UNROLL for (int p = 0; p < NP; ++p) {
          NACRE_UNROLL for (int r = 0; r < RR; ++r) {
            const Vec a = set1(x[p * t.tap_row + r]);
            NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[p * RR + r][v] = fma(a, d[v], acc[p * RR + r][v]);
          }
        }
      }
    }
  }
  NACRE_UNROLL for (int p = 0; p < NP; ++p) {
    NACRE_UNROLL for (int r = 0; r < RR; ++r) {
      float* dw = t.dw + p * t.dw_tap + r * t.dw_row;
      NACRE_UNROLL for (int v = 0; v < NV; ++v) {
        const i64 n = min_of(t.n - v * kLanes, kLanes);
        const Vec sum = acc[p * RR + r][v];
        if (n > 0) store(dw + v * kLanes, t.add ? load(dw + v * kLanes, n) + sum : sum, n);
      }
    }
  }
}

// All rows of taps, runs of `run` floats.
void all_rows(RowSums t, i64 taps_h, i64 run) {
  const float* x = t.x;
  float* dw = t.dw;
  for (i64 h = 0; h < taps_h;) {
    const bool three = taps_h - h >= 3 && run == 3;
    for (i64 r = 0; r < run;) {
      const i64 left = run - r;
      t.x = x + h * t.tap_row + r;
      t.dw = dw + h * t.dw_tap + r * t.dw_row;
      if (three) {
        row_sums<3, 3>(t);
        r += 3;
      } else if (left >= 9) {
        row_sums<1, 9>(t);
        r += 9;
      } else if (left >= 7) {
        row_sums<1, 7>(t);
        r += 7;
      } else if (left >= 5) {
        row_sums<1, 5>(t);
        r += 5;
      } else if (left >= 3) {
        row_sums<1, 3>(t);
        r += 3;
      } else {
        row_sums<1, 1>(t);
        r += 1;
      }
    }
    h += three ? 3 : 1;
  }
}

i64 padded(i64 n, i64 multiple) { return ceil_div(n, multiple) * multiple; }
i64 stage_width(const WeightPlan& p) { return padded(p.OB, i64{kRowVectors} * kLanes); }

// Floats: sums [OB][taps][CB padded], block copy, gradients and positions, window offsets.
Count weight_scratch(const WeightPlan& p, const Conv2DPoolShape& s) {
  const Count windows = Count(p.cut.nb) * Count(p.cut.hb) * Count(p.cut.wb);
  const Count sums = p.few ? Count(0) : Count(p.OB) * Count(s.KH) * Count(s.KW) * Count(padded(p.CB, kLanes));
  return sums + Count(padded(p.cut.floats, 16) + 16) + windows * Count(2 * stage_width(p) + 2) + Count(64);
}

}  // namespace

Facts conv2d_pool_grad_w_facts(const Conv2DPoolShape& s) {
  Facts f;
  f.error = check(s, f.extent[0], f.extent[1], f.extent[2], f.extent[3], f.extent[4]);
  if (f.error) return f;
  const WeightPlan p = weight_plan(s);
  const Count units = Count(p.parts) * Count(p.c_blocks) * Count(p.o_blocks), scratch = weight_scratch(p, s) * Count(4);
  f.extent[4] = Count(p.parts) * f.extent[4];
  f.extent[5] = Count(p.parts) * Count(s.bias ? s.O : 0);
  if (!p.ok || !units.ok() || !scratch.ok() || !f.extent[4].ok() || !f.extent[5].ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = units.value();
  f.scratch = scratch.value();
  f.flops = dense_flops(s);
  return f;
}

void conv2d_pool_grad_w(const Conv2DPoolShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                        const float* y, const u8* index, float* dw, float* db) {
  const WeightPlan p = weight_plan(s);
  const Correlation& q = p.q;
  const i64 taps = s.KH * s.KW, CP = padded(p.CB, kLanes), most = p.cut.nb * p.cut.hb * p.cut.wb;
  float* sums = reinterpret_cast<float*>(scratch.at);
  float* copy = sums + (p.few ? 0 : p.OB * taps * CP);
  i64* window_at = reinterpret_cast<i64*>(copy + padded(p.cut.floats, 16) + 16);
  Staged st{};
  st.OB = stage_width(p);
  st.g = reinterpret_cast<float*>(window_at + most);
  st.at = reinterpret_cast<i32*>(st.g + most * st.OB);

  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 c0 = u % p.c_blocks * p.CB, o0 = u / p.c_blocks % p.o_blocks * p.OB, part = u / p.c_blocks / p.o_blocks;
    const i64 C = min_of(p.CB, s.C - c0), O = min_of(p.OB, s.O - o0);
    const i64 first = p.blocks * part / p.parts, last = p.blocks * (part + 1) / p.parts;
    float* dw_part = dw + part * taps * s.C * s.O + o0;
    float* db_part = s.bias && c0 == 0 ? db + part * s.O + o0 : nullptr;
    if (db_part) zero_floats(db_part, O);
    if (first == last) {
      for (i64 t = 0; t < taps; ++t) {
        for (i64 c = 0; c < C; ++c) zero_floats(dw_part + (t * s.C + c0 + c) * s.O, O);
      }
      continue;
    }
    for (i64 i = first; i < last; ++i) {
      const Block b = block_at(q, p.cut, i);
      const WindowView v = view_windows(s, q, p.cut, b, x + c0, C, copy);
      const VecI at_row = set1i(static_cast<i32>(v.at_row)), at_col = set1i(static_cast<i32>(v.at_col));
      i64 w = 0;
      for (i64 n = 0; n < b.nb; ++n) {
        for (i64 h = 0; h < b.hb; ++h) {
          for (i64 j = 0; j < b.wb; ++j, ++w) {
            window_at[w] = n * v.image + h * v.window_row + j * v.window_col;
            const i64 px = ((b.n0 + n) * q.YH + b.h0 + h) * q.YW + b.w0 + j;
            const float* dy_px = dy + px * q.ldy + o0;
            const float* y_px = s.act ? y + px * q.ldy + o0 : nullptr;
            const VecI at = set1i(static_cast<i32>(window_at[w]));
            i64 o = 0;
            for (; o + kLanes <= O; o += kLanes) {
              Vec g = load(dy_px + o);
              if (y_px) g = select(gt(load(y_px + o), zero()), g);
              const VecI position = load_u8(index + px * s.O + o0 + o);
              store(st.g + w * st.OB + o, g);
              store(st.at + w * st.OB + o, p.few ? position : at + position_offset(position, s.P, at_row, at_col));
            }
            if (o < O) {
              Vec g = load(dy_px + o, O - o);
              if (y_px) g = select(gt(load(y_px + o, O - o), zero()), g);
              const VecI position = index_lanes(index + px * s.O + o0 + o, O - o);
              store(st.g + w * st.OB + o, g);
              store(st.at + w * st.OB + o, p.few ? position : at + position_offset(position, s.P, at_row, at_col));
            }
            for (i64 o = padded(O, kLanes); o < st.OB; o += kLanes) {
              store(st.g + w * st.OB + o, zero());
              store(st.at + w * st.OB + o, set1i(0));
            }
          }
        }
      }
      for (i64 o = 0; db_part && o < O; o += kLanes) {
        const i64 m = min_of(O - o, kLanes);
        Vec sum = load(db_part + o, m);
        for (i64 k = 0; k < w; ++k) sum += load(st.g + k * st.OB + o);
        store(db_part + o, sum, m);
      }
      if (C == 0) continue;
      if (p.few) {
        RowSums t{};
        t.window = window_at;
        t.windows = w;
        t.P = s.P, t.at_row = v.at_row, t.at_col = v.at_col, t.tap_row = v.tap_row;
        t.step = st.OB;
        t.dw_row = s.O;
        t.add = i > first;
        const bool joined = s.KW == 1 || v.tap_col == C;
        for (i64 o = 0; o < O; o += kRowVectors * kLanes) {
          t.g = st.g + o;
          t.at = st.at + o;
          t.n = O - o;
          t.dw_tap = s.KW * s.C * s.O;
          for (i64 k = 0; k < (joined ? 1 : s.KW); ++k) {
            t.x = v.x + k * v.tap_col;
            t.dw = dw_part + k * s.C * s.O + o;
            all_rows(t, s.KH, joined ? s.KW * C : C);
          }
        }
        continue;
      }
      TapSums t{};
      t.x = v.x;
      t.tap_row = v.tap_row;
      t.tap_col = v.tap_col;
      t.step = st.OB;
      t.windows = w;
      t.sum_col = CP;
      t.sum_row = s.KW * CP;
      t.add = i > first;
      const float* x_block = t.x;
      for (i64 c = 0; c < C; c += kVectors * kLanes) {  // channels of one turn
        const i64 channels = min_of(C - c, i64{kVectors} * kLanes);
        const i64 n = channels - (ceil_div(channels, kLanes) - 1) * kLanes;  // lanes of the last vector
        t.x = x_block + c;
        for (i64 o = 0; o < O; ++o) {
          t.g = st.g + o;
          t.at = st.at + o;
          t.sum = sums + o * taps * CP + c;
          if (channels > kLanes) {
            channel_taps<kVectors>(t, s.KH, s.KW, n);
          } else {
            channel_taps<1>(t, s.KH, s.KW, n);
          }
        }
      }
    }
    if (p.few) continue;
    for (i64 t = 0; t < taps; ++t) {
      transpose(dw_part + (t * s.C + c0) * s.O, s.O, sums + t * CP, taps * CP, O, C);
    }
  }
}

Facts conv2d_pool_grad_w_join_facts(const Conv2DPoolShape& s) {
  Facts f = conv2d_pool_grad_w_facts(s);
  if (f.error) return f;
  const Count w = Count(s.KH) * Count(s.KW) * Count(s.C) * Count(s.O), b(s.bias ? s.O : 0);
  f.extent[0] = f.extent[4];
  f.extent[1] = f.extent[5];
  f.extent[2] = w;
  f.extent[3] = b;
  f.extent[4] = f.extent[5] = Count(0);
  f.flops = static_cast<double>(f.extent[0].value()) + static_cast<double>(f.extent[1].value());
  f.scratch = 0;
  f.units = ceil_div(w.value(), kJoinFloats) + ceil_div(b.value(), kJoinFloats);
  return f;
}

void conv2d_pool_grad_w_join(const Conv2DPoolShape& s, Slice units, const float* dw_parts, const float* db_parts,
                             float* dw, float* db) {
  const i64 parts = weight_plan(s).parts, w = s.KH * s.KW * s.C * s.O, w_units = ceil_div(w, kJoinFloats);
  for (i64 u = units.begin; u < units.end; ++u) {
    if (u < w_units) {
      join_parts(u, parts, w, dw_parts, dw);
    } else {
      join_parts(u - w_units, parts, s.O, db_parts, db);
    }
  }
}

// --- input -------------------------------------------------------------------------------------------------------------
namespace {

struct InputPlan {
  Axis h, w;           // windows over the input, see window_correlation
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
  return Count(s.O) * Count(s.KH) * Count(s.KW) * Count(kLanes) + Count(p.buffer_rows) * Count(p.cols) * Count(kLanes);
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
  f.error = check(s, f.extent[5], f.extent[0], f.extent[1], f.extent[2], f.extent[3]);
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
  const i64 taps = s.KH * s.KW, ldx = ldx_of(c), ldy = ldy_of(c), PH = s.OH / s.P, PW = s.OW / s.P;
  float* weights = reinterpret_cast<float*>(scratch.at);
  float* buffer = weights + s.O * taps * kLanes;
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
        for (i64 pw = 0; pw < PW; ++pw) {
          const i64 px = (n * PH + ph) * PW + pw;
          t.g = dy + px * ldy + o0;
          u64 alive[9] = {};
          for (i64 o = 0; o < O; o += kLanes) {
            const i64 m = min_of(O - o, kLanes);
            Mask live = ne(load(t.g + o, m), zero());
            if (s.act) live = live & gt(load(y + px * ldy + o0 + o, m), zero());
            const VecI position = index_lanes(index + px * s.O + o0 + o, m);
            for (i64 i = 0; i < s.P * s.P; ++i) {
              alive[i] |= static_cast<u64>(bits(live & eq(position, set1i(static_cast<i32>(i))))) << o;
            }
          }
          float* at = buffer + (ph - ph0) * p.h.stride * row + pw * p.w.stride * kLanes;
          for (i64 i = 0; i < s.P * s.P; ++i) {
            t.alive = alive[i];
            t.dx = at + i / s.P * s.SH * row + i % s.P * s.SW * kLanes;
            scatter(t, s.KH, s.KW);
          }
        }
      }
    }
    for (i64 ih = r0; ih < r1; ++ih) {
      for (i64 iw = 0; iw < s.W; ++iw) {
        const i64 at = ((n * s.H + ih) * s.W + iw) * ldx + c0, br = ih - top, bc = iw + s.PL;
        Vec sum = br >= 0 && br < buffer_rows && bc >= 0 && bc < p.cols ? load(buffer + br * row + bc * kLanes) : zero();
        if (s.mask) sum = select(gt(load(x + at, C), zero()), sum);
        store(dx + at, sum, C);
      }
    }
  }
}

}  // namespace nacre::NACRE_ISA
