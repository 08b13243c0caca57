// Optimizer rules at the store of a weight gradient: the sums of a tile are the gradient g, and what is stored are the
// new weights and slots. One rounding per operation, in the order written, as the formula gives element by element:
//
//   d = decay:  w <- w - w * d                  (only where there is a decay)
//   sgd         w - g * rate
//   momentum    m' = m * momentum - g * rate;   w + m'
//   nesterov    m' likewise;                    w + (m' * momentum - g * rate)
//   adam        m' = m + (g - m) * c1;  v' = v + (g * g - v) * c2;  w - (m' * rate) / (sqrt(v') + epsilon)
#pragma once
#include <cstdint>

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

// Lines of memory in the order in which they are asked for: runs of lines, one run behind the other.
struct Lines {
  static constexpr i64 kLine = 16;
  const float* at = nullptr;
  i64 step_by = 0, lines = 0, jump = 0;  // of a run
  i64 left = 0;                          // of the run at hand
  i64 count = 0;                         // of all

  NACRE_INLINE_MEMBER void step() {
    at += step_by;
    --count;
    if (--left > 0) return;
    at += jump;
    left = lines;
  }
};
// Lines, or pairs of lines, that some tiles share out, one with a step.
struct FarLines {
  Lines now, then;
  i64 second = 0;  // floats from the first of a pair to the other one, or 0
  i64 tiles = 0;   // that are left
  __attribute__((noinline)) i64 share(i64 steps) const {
    return now.count > 0 ? min_of(ceil_div(now.count + then.count, tiles), steps) : 0;
  }
  __attribute__((noinline)) void asked(i64 steps) {
    now.count -= steps;
    if (now.count <= 0) now = then, then.count = 0;
    --tiles;
  }
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
      Vec step = sum[i][j] * rate;
      if constexpr (has_momentum) {
        step = load(m + j * kLanes) * momentum - step;
        store(m_out + j * kLanes, step);
        store(w_out + j * kLanes, load(w + j * kLanes) + step);
      } else {
        store(w_out + j * kLanes, load(w + j * kLanes) - step);
      }
    }
    w = row_below(w, row);
    w_out = row_below(w_out, row);
    if (!has_momentum) continue;
    m = row_below(m, row);
    m_out = row_below(m_out, row);
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

// The lines of an update that lie some tiles below: of the weights, and, so many bytes from them, of the slots.
struct Below {
  Lines weights;
  i64 to_m = 0, to_v = 0;  // 0 where there is no such slot
  NACRE_INLINE_MEMBER void ask() {
    char* at = reinterpret_cast<char*>(const_cast<float*>(weights.at));
    prefetch_to_write(at);
    if (to_m != 0) prefetch_to_write(at + to_m);
    if (to_v != 0) prefetch_to_write(at + to_v);
    weights.step();
  }
};

// Asks for the first rows of a panel whose weights are at w; the others are left to the tiles above them.
NACRE_INLINE Below ask_first(const Update& u, const float* w, i64 rows, i64 all, i64 width, i64 row) {
  const auto from_w = [&](const float* slot) __attribute__((always_inline)) {
    return slot ? static_cast<i64>(reinterpret_cast<std::uintptr_t>(slot) - reinterpret_cast<std::uintptr_t>(u.w)) : 0;
  };
  const i64 lines = ceil_div(width, Lines::kLine);
  Below b{{w, Lines::kLine, lines, row - lines * Lines::kLine, lines, all * lines}, from_w(u.m), from_w(u.v)};
  for (i64 n = min_of(rows, all) * lines; n > 0; --n) b.ask();
  return b;
}

template <int MR, int NV>
NACRE_INLINE void ask(const Update& u, i64 at, i64 row) {
  ask_tile<MR, NV>(u.w + at, row);
  if (u.m) ask_tile<MR, NV>(u.m + at, row);
  if (u.v) ask_tile<MR, NV>(u.v + at, row);
}

}  // namespace update
}  // namespace nacre::NACRE_ISA
