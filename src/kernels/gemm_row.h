// One row of a that meets many rows of b in L3: some of these pass side by side, each from its beginning to its end, and
// what follows is asked for. Each element is the chain of the tiles. Part of gemm.cpp.
#pragma once
#include "kernels/gemm_panels.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr int kRowsOfB = 4;
constexpr i64 kSumsOfRow = 1024;  // at a time: they stay in L1, and no two threads write to one line

// sums += `steps` rows of b, n columns.
template <int steps>
NACRE_INLINE void add_rows(const Product& p, const Operands& at, i64 k, i64 n0, i64 n, float* sums) {
  const i64 b_k = p.b_k;
  const float* b = at.b + k * b_k + n0;
  Vec x[steps];
  NACRE_UNROLL
  for (int s = 0; s < steps; ++s) x[s] = set1(at.a[(k + s) * p.a_k]);
  const auto add = [&](i64 j, auto row) __attribute__((always_inline)) {
    Vec sum = load(sums + j);
    NACRE_UNROLL
    for (int s = 0; s < steps; ++s) {
      prefetch(b + (s + 2 * kRowsOfB) * b_k + j);
      sum = fma(x[s], row(b + s * b_k + j), sum);
    }
    store(sums + j, sum);
  };
  i64 j = 0;
  for (; j + kLanes <= n; j += kLanes) add(j, [](const float* q) __attribute__((always_inline)) { return load(q); });
  if (j < n) add(j, [&](const float* q) __attribute__((always_inline)) { return load(q, n - j); });
}

// Columns n0 up to n1 of c.
NACRE_CALLED void one_row(const Product& p, const Operands& at, i64 n0, i64 n1) {
  const i64 whole = p.K / kRowsOfB * kRowsOfB;
  alignas(64) float sums[kSumsOfRow];
  for (i64 left = ceil_div(n1 - n0, kSumsOfRow); left > 0; --left) {
    const i64 n = min_of(n1 - n0, ceil_div(ceil_div(n1 - n0, left), kLanes) * kLanes);
    for (i64 j = 0; j < n; j += kLanes) store(sums + j, zero());
    for (i64 k = 0; k < whole; k += kRowsOfB) add_rows<kRowsOfB>(p, at, k, n0, n, sums);
    for (i64 k = whole; k < p.K; ++k) add_rows<1>(p, at, k, n0, n, sums);
    const Finish f = finish_at(at.finish, 0, n0);
    for (i64 j = 0; j < n; j += kLanes) {
      const Vec bias = f.bias ? load(f.bias + j, n - j) : zero();
      store(at.c + n0 + j, finished(load(sums + j), bias, f, 0, j, n - j), n - j);
    }
    n0 += n;
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
