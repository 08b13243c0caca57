// Optimizer rules at the store of a weight gradient: the sums of a tile are the gradient g, and what is stored are the
// new weights and slots. One rounding per operation, in the order written, as the formula gives element by element:
//
//   d = decay:  w <- w - w * d                  (only where there is a decay)
//   sgd         w - g * rate
//   momentum    m' = m * momentum - g * rate;   w + m'
//   nesterov    m' likewise;                    w + (m' * momentum - g * rate)
//   adam        m' = m + (g - m) * c1;  v' = v + (g * g - v) * c2;  w - (m' * rate) / (sqrt(v') + epsilon)
#pragma once
#include "simd/simd.h"

namespace nacre::NACRE_ISA {

enum class Rule { sgd, momentum, nesterov, adam };

struct Update {
  Rule rule;
  bool decays;
  float decay, rate, momentum, c1, c2, epsilon;
  // the slots that the rule has; an output may be the memory of its input
  const float *w, *m, *v;
  float *w_out, *m_out, *v_out;
};

// What a tile will read at its end, asked for at its start.
template <int MR, int NV>
NACRE_INLINE void ask_tile(const float* p, i64 row) {
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) prefetch(p + i * row + j * kLanes);
  }
}

namespace update {

template <Rule rule>
NACRE_INLINE void one(const Update& u, Vec g, i64 at, i64 n) {
  Vec w = load(u.w + at, n);
  if (u.decays) w = w - w * set1(u.decay);
  if constexpr (rule == Rule::sgd) {
    w = w - g * set1(u.rate);
  } else if constexpr (rule == Rule::adam) {
    const Vec m = load(u.m + at, n), v = load(u.v + at, n);
    const Vec new_m = m + (g - m) * set1(u.c1), new_v = v + (g * g - v) * set1(u.c2);
    store(u.m_out + at, new_m, n);
    store(u.v_out + at, new_v, n);
    w = w - new_m * set1(u.rate) / (sqrt(new_v) + set1(u.epsilon));
  } else {
    const Vec step = g * set1(u.rate), momentum = set1(u.momentum);
    const Vec new_m = load(u.m + at, n) * momentum - step;
    store(u.m_out + at, new_m, n);
    w = rule == Rule::momentum ? w + new_m : w + (new_m * momentum - step);
  }
  store(u.w_out + at, w, n);
}

// `u` is a copy, which no store can change.
template <Rule rule>
NACRE_INLINE void rows(const Update u, const float* g, int rows, int vectors, i64 at, i64 row, i64 rest) {
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < vectors; ++j)
      one<rule>(u, load(g + (i * vectors + j) * kLanes), at + i * row + j * kLanes, j < vectors - 1 ? kLanes : rest);
}

// A tile of g that lies in memory, row after row; not part of the tiles' code, which it would swell.
__attribute__((noinline, unused)) static void from_memory(const Update& u, const float* g, int count, int vectors,
                                                          i64 at, i64 row, i64 rest) {
  switch (u.rule) {
    case Rule::sgd: return rows<Rule::sgd>(u, g, count, vectors, at, row, rest);
    case Rule::momentum: return rows<Rule::momentum>(u, g, count, vectors, at, row, rest);
    case Rule::nesterov: return rows<Rule::nesterov>(u, g, count, vectors, at, row, rest);
    case Rule::adam: return rows<Rule::adam>(u, g, count, vectors, at, row, rest);
  }
}

// Whole vectors, no decay.
template <bool has_momentum, int MR, int NV>
NACRE_INLINE void from_registers(const Update& u, Vec (&sum)[MR][NV], i64 at, i64 row) {
  const Vec rate = set1(u.rate), momentum = set1(u.momentum);
  const float *w = u.w + at, *m = u.m + at;
  float *w_out = u.w_out + at, *m_out = u.m_out + at;
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) {
      const i64 here = i * row + j * kLanes;
      Vec step = sum[i][j] * rate;
      if constexpr (has_momentum) {
        step = load(m + here) * momentum - step;
        store(m_out + here, step);
        store(w_out + here, load(w + here) + step);
      } else {
        store(w_out + here, load(w + here) - step);
      }
    }
  }
}

// The tiles that most of the work is done in need no detour under the simplest rules.
template <bool main, int MR, int NV>
NACRE_INLINE void apply(const Update& u, Vec (&sum)[MR][NV], i64 at, i64 row, i64 rest) {
  if constexpr (main) {
    if (rest >= kLanes && !u.decays) {
      if (u.rule == Rule::sgd) return from_registers<false>(u, sum, at, row);
      if (u.rule == Rule::momentum) return from_registers<true>(u, sum, at, row);
    }
  }
  float g[MR * NV * kLanes];
  NACRE_UNROLL
  for (int i = 0; i < MR * NV; ++i) store(g + i * kLanes, sum[i / NV][i % NV]);
  from_memory(u, g, MR, NV, at, row, rest);
}

template <int MR, int NV>
NACRE_INLINE void ask(const Update& u, i64 at, i64 row) {
  ask_tile<MR, NV>(u.w + at, row);
  if (u.m) ask_tile<MR, NV>(u.m + at, row);
  if (u.v) ask_tile<MR, NV>(u.v + at, row);
}

}  // namespace update
}  // namespace nacre::NACRE_ISA
