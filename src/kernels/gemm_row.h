// One row of a: sums go through their place in c, while some rows of b pass side by side, each of them from its beginning
// to its end. Panels would read b in pieces of rows, which the hardware's guesses do not follow: half as fast from L2.
// Each element is the chain of the tiles. Part of gemm.cpp.
#pragma once
#include "kernels/gemm_panels.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr int kRowsOfB = 4;

struct WholeVector {
  static constexpr i64 left = kLanes;
  NACRE_INLINE_MEMBER Vec get(const float* q) const { return load(q); }
  NACRE_INLINE_MEMBER void put(float* q, Vec v) const { store(q, v); }
};
struct PartOfVector {
  i64 left;
  NACRE_INLINE_MEMBER Vec get(const float* q) const { return load(q, left); }
  NACRE_INLINE_MEMBER void put(float* q, Vec v) const { store(q, v, left); }
};

// Of `steps` rows of b, n columns: at the ends sums begin, with `first`, or are finished, with `last`.
template <int steps, bool ends>
NACRE_INLINE void add_rows(const Product& p, const Operands& at, i64 k, i64 n0, i64 n, bool first, bool last) {
  const i64 b_k = p.b_k;
  const float* b = at.b + k * b_k + n0;
  const Finish f = finish_at(at.finish, 0, n0);
  float* c = at.c + n0;
  Vec x[steps > 0 ? steps : 1];
  NACRE_UNROLL
  for (int s = 0; s < steps; ++s) x[s] = set1(at.a[(k + s) * p.a_k]);
  const auto add = [&](i64 j, auto vectors) __attribute__((always_inline)) {
    Vec sum = ends && first ? zero() : vectors.get(c + j);
    NACRE_UNROLL
    for (int s = 0; s < steps; ++s) sum = fma(x[s], vectors.get(b + s * b_k + j), sum);
    if (ends && last) sum = finished(sum, f.bias ? vectors.get(f.bias + j) : zero(), f, 0, j, vectors.left);
    vectors.put(c + j, sum);
  };
  i64 j = 0;
  for (; j + kLanes <= n; j += kLanes) add(j, WholeVector{});
  if (j < n) add(j, PartOfVector{n - j});
}

// Columns n0 up to n1 of c.
NACRE_CALLED void one_row(const Product& p, const Operands& at, i64 n0, i64 n1) {
  const i64 n = n1 - n0, whole = p.K / kRowsOfB * kRowsOfB;
  add_rows<kRowsOfB, true>(p, at, 0, n0, n, true, false);
  for (i64 k = kRowsOfB; k < whole; k += kRowsOfB) add_rows<kRowsOfB, false>(p, at, k, n0, n, false, false);
  for (i64 k = whole; k < p.K; ++k) add_rows<1, false>(p, at, k, n0, n, false, false);
  add_rows<0, true>(p, at, p.K, n0, n, false, true);
}

}  // namespace
}  // namespace nacre::NACRE_ISA
