// The gradient of the weights behind a max-pooling: each pooled output hands its gradient to one position of its window, which
// decides from where x is read, so no zero is ever multiplied. Vectors run along the input channels: per output, the sums of
// all taps stay in registers over the windows of a block. A layer with few input channels (the first one) has its vectors
// along the output channels instead, and positions are told apart by masks.
#include "kernels/conv2d_pool.h"
#include "kernels/conv2d_pool_windows.h"

namespace nacre::NACRE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectors = 2;  // of channels whose 9 taps fit the registers
constexpr int kRowVectors = 2;
constexpr bool kLargeTaps = true;  // 5x5 sums at once
#else
constexpr int kVectors = 1;
constexpr int kRowVectors = 1;
constexpr bool kLargeTaps = false;
#endif
constexpr i64 kOutputs = 64;           // of a unit
constexpr i64 kChannels = 32;          // of a unit, taken kVectors * kLanes at a time
constexpr i64 kCopyFloats = 8 * 1024;  // x of one block: 32 KB of L1
constexpr i64 kWindows = 72;           // of one block
constexpr i64 kManyUnits = 64;

i64 padded(i64 n, i64 multiple) { return ceil_div(n, multiple) * multiple; }

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

// Gradient and position of each (window, output) of a block: where ReLU cut, 0. [OB][step], so that an output finds its
// windows side by side; with few channels [windows][step].
struct Staged {
  float* g;
  i32* at;  // offset into x of the position (few channels: the position itself)
  i64 step;
};

i64 most_windows(const WeightPlan& p) { return p.cut.nb * p.cut.hb * p.cut.wb; }
i64 stage_step(const WeightPlan& p) {
  return p.few ? padded(p.OB, i64{kRowVectors} * kLanes) : padded(most_windows(p) + 3, kLanes);
}

// Offsets: window_at + row*at_row + col*at_col of position row*P + col.
NACRE_INLINE VecI position_offset(VecI position, i64 P, VecI at_row, VecI at_col) {
  const VecI row = P == 2 ? shr<1>(position) : shr<5>(position * set1i(11));  // division by 3 of 0..8
  return row * at_row + (position - row * set1i(static_cast<i32>(P))) * at_col;
}

// The windows of a block: where each stands in x, and which of all windows it is.
struct Windows {
  const i64* at;
  const i64* px;
  i64 count, P;
  VecI at_row, at_col;
};

// O outputs from o0 on; db (null: none) takes their sums, windows in order.
void stage_by_output(const PooledGradient& d, const Windows& w, i64 o0, i64 O, const Staged& to, float* db) {
  for (i64 o = 0; o < O; o += kLanes) {
    const i64 n = min_of(O - o, kLanes);
    Vec sum = db ? load(db + o, n) : zero();
    for (i64 w0 = 0; w0 < w.count; w0 += kLanes) {
      Vec g[kLanes], at[kLanes];
      for (i64 i = 0; i < kLanes; ++i) {
        g[i] = at[i] = zero();
        if (w0 + i >= w.count) continue;
        const i64 px = w.px[w0 + i];
        g[i] = d.gradient(px, o0 + o, n);
        sum += g[i];
        const VecI position = index_lanes(d.index + px * d.O + o0 + o, n);
        at[i] = as_float(set1i(static_cast<i32>(w.at[w0 + i])) + position_offset(position, w.P, w.at_row, w.at_col));
      }
      transpose(g);
      transpose(at);
      for (i64 i = 0; i < n; ++i) {
        store(to.g + (o + i) * to.step + w0, g[i]);
        store(to.at + (o + i) * to.step + w0, as_int(at[i]));
      }
    }
    if (db) store(db + o, sum, n);
  }
}

void stage_by_window(const PooledGradient& d, const Windows& w, i64 o0, i64 O, const Staged& to, float* db) {
  for (i64 o = 0; o < to.step; o += kLanes) {
    const i64 n = max_of(min_of(O - o, kLanes), 0);
    Vec sum = db && n > 0 ? load(db + o, n) : zero();
    for (i64 i = 0; i < w.count; ++i) {
      const i64 px = w.px[i];
      const Vec g = n > 0 ? d.gradient(px, o0 + o, n) : zero();
      sum += g;
      store(to.g + i * to.step + o, g);
      store(to.at + i * to.step + o, n > 0 ? index_lanes(d.index + px * d.O + o0 + o, n) : set1i(0));
    }
    if (db && n > 0) store(db + o, sum, n);
  }
}

// Sums of RT x NT taps for one output channel over the windows of a block, NV vectors of channels.
struct TapSums {
  const float* x;
  i64 tap_row, tap_col;
  const float* g;
  const i32* at;
  i64 windows;
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
  const i64 tap_row = t.tap_row, tap_col = pitch ? i64{pitch} * kLanes : t.tap_col;
  const float* g_w = t.g;
  const float* const g_end = g_w + t.windows;
  const i32* at_w = t.at;
  const float* const base = t.x;
  // Addresses three windows ahead: the queue of loads is short, and a load that waits for another one stays long in it.
  i64 at0 = at_w[0], at1 = at_w[1], at2 = at_w[2];
  for (; g_w != g_end; ++g_w, ++at_w) {
    const i64 at3 = at_w[3];
    const Vec g = set1(*g_w);
    const float* x = base + at0;
    at0 = at1, at1 = at2, at2 = at3;
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
      NACRE_UNROLL for (int v = 0; v < NV; ++v)
          store(t.sum + r * sum_row + k * sum_col + v * kLanes, acc[r * NT + k][v]);
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
  NACRE_UNROLL for (int i = 0; i < MR; ++i) { NACRE_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = zero(); }
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

i64 stage_size(const WeightPlan& p) { return stage_step(p) * (p.few ? most_windows(p) : padded(p.OB, kLanes)); }

// Floats: sums [OB][taps][CB padded], block copy, gradients and positions, window offsets.
Count weight_scratch(const WeightPlan& p, const Conv2DPoolShape& s) {
  const Count windows = Count(p.cut.nb) * Count(p.cut.hb) * Count(p.cut.wb);
  const Count sums = p.few ? Count(0) : Count(p.OB) * Count(s.KH) * Count(s.KW) * Count(padded(p.CB, kLanes));
  const Count stage = (windows + Count(3 + kRowVectors * kLanes)) * Count(p.OB + kRowVectors * kLanes);
  return sums + Count(padded(p.cut.floats, 16) + 16) + stage * Count(2) + windows * Count(4) + Count(64);
}

}  // namespace

Facts conv2d_pool_grad_w_facts(const Conv2DPoolShape& s) {
  Facts f;
  f.error = pool_grad_error(s, f.extent[0], f.extent[1], f.extent[2], f.extent[3], f.extent[4]);
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
  const i64 taps = s.KH * s.KW, CP = padded(p.CB, kLanes);
  float* sums = reinterpret_cast<float*>(scratch.at);
  float* copy = sums + (p.few ? 0 : p.OB * taps * CP);
  Staged st{};
  st.step = stage_step(p);
  st.g = copy + padded(p.cut.floats, 16) + 16;
  st.at = reinterpret_cast<i32*>(st.g + stage_size(p));
  i64* window_at = reinterpret_cast<i64*>(st.at + stage_size(p));
  i64* window_px = window_at + most_windows(p);
  const PooledGradient given{dy, s.act ? y : nullptr, index, q.ldy, s.O};

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
      const WindowView v = view_windows(s, q, p.cut, b, x + c0, C, copy, q.ldx == C && aligned(x));
      i64 w = 0;
      for (i64 n = 0; n < b.nb; ++n) {
        for (i64 h = 0; h < b.hb; ++h) {
          for (i64 j = 0; j < b.wb; ++j, ++w) {
            window_at[w] = n * v.image + h * v.window_row + j * v.window_col;
            window_px[w] = ((b.n0 + n) * q.YH + b.h0 + h) * q.YW + b.w0 + j;
          }
        }
      }
      const Windows windows{
          window_at, window_px, w, s.P, set1i(static_cast<i32>(v.at_row)), set1i(static_cast<i32>(v.at_col))};
      (p.few ? stage_by_window : stage_by_output)(given, windows, o0, O, st, db_part);
      if (C == 0) continue;
      if (p.few) {
        RowSums t{};
        t.window = window_at;
        t.windows = w;
        t.P = s.P, t.at_row = v.at_row, t.at_col = v.at_col, t.tap_row = v.tap_row;
        t.step = st.step;
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
          t.g = st.g + o * st.step;
          t.at = st.at + o * st.step;
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

}  // namespace nacre::NACRE_ISA
