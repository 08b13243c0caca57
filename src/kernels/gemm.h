// c[M,N] = a[M,K] b[K,N], the one matrix product under dense and matmul. Not a kernel of its own: kernels describe
// their product, and ask for units, scratch and the run.
//
// Five forms, chosen by shape alone, and one that an operand's zeros choose, with the bits of `rows`:
//   rows      b is read row by row; vectors along n                                  a any, b row-major
//   packed    the same after panels of b were transposed                             a any, b transposed
//   swapped   c^T = b^T a^T with vectors along m; finished blocks are turned back    few columns, or few rows of a
//   dots      vectors along k, sums across lanes at the end                          both operands contiguous along k
//   folded    two steps of k side by side, so that few columns fill a vector; also swapped
//   sparse    instead of rows, packed and swapped: only the terms whose factor in a is not 0   many zeros in a
#pragma once
#include "kernels/gemm_tile.h"

namespace nacre::NACRE_ISA {

struct Product {
  i64 M, N, K;
  i64 a_m, a_k;        // a(m, k) = a[m * a_m + k * a_k]; one of the two strides is 1
  i64 b_k, b_n;        // b(k, n) = b[k * b_k + n * b_n]; likewise
  i64 c_m;             // c(m, n) = c[m * c_m + n]
  bool whole = false;  // only finished sums get to c, as an update at the store needs it
  bool apart = false;  // one chain for each sum however few there are: parts of it have the same bits
  bool far = false;    // a and b come from memory: what follows the rows at hand is asked for (gradients of weights)
};

struct Operands {
  const float* a;
  const float* b;
  float* c;
  Finish finish;
  float* b_sums = nullptr;  // if `far`: sum over k of b(k, n), which cost little while b is near
  i64 act = 0;              // what is left to do to finished sums (activate.h)
};

// to[n] (+)= sum of from[k * ld + n] over `rows` rows k, in four chains.
void sum_columns(const float* from, i64 ld, i64 rows, i64 columns, bool add, float* to);
// Whether the product has its own way for operands from memory, and adds up b.
bool product_asks(const Product& p);
// Whether the product, asked for as `whole`, can end in `finish.update`.
bool product_updates(const Product& p);
// Of rows of so many floats, for which L3 has no room.
NACRE_INLINE bool comes_from_memory(double rows, double floats) { return rows * floats > 3 * 1024 * 1024; }
i64 product_units(const Product& p);
i64 product_scratch(const Product& p);
// Writes the plan of a product, and says its units. Runs whose scratch has it do not make it anew.
constexpr i64 kProductPlanBytes = 320;
i64 prepare_product(const Product& p, void* plan);
void product(const Product& p, Slice units, Scratch scratch, const Operands& at);
// The same grid of units, with only the first K of the p.K terms: the last chunk of a sum that is cut into chunks.
void product(const Product& p, Slice units, Scratch scratch, const Operands& at, i64 K);
// A product that runs many times, all units at once.
struct Planned {
  alignas(64) char plan[kProductPlanBytes];
  i64 units;
  explicit Planned(const Product& p) : units(prepare_product(p, plan)) {}
  void run(Scratch scratch, const Operands& at) const {
    product({}, {0, units}, {scratch.at, scratch.bytes, plan}, at);
  }
};
// Equal products, `count` of them: from one to the next the operands move by so many elements.
struct Batch {
  i64 count, a, b, c;
};
void product(const Product& p, Slice units, Scratch scratch, Operands at, const Batch& batch);

// g[k,n] = sum_m x[m,k] dy[m,n] over so many rows m, of a shape with K, N, ldx, x0, ldy and y0. One column is a row as well,
// whose vectors lie along k.
template <class S>
NACRE_INLINE Product gradient_of_weights(const S& s, i64 rows, bool whole) {
  const i64 ldx = s.ldx == 0 ? s.K : s.ldx, ldy = s.ldy == 0 ? s.N : s.ldy;
  return s.N == 1 ? Product{1, s.K, rows, 1, ldy, ldx, 1, s.K, whole, true}
                  : Product{s.K, s.N, rows, 1, ldx, ldy, 1, s.N, whole, true};
}
template <class S>
NACRE_INLINE Operands operands_of_gradient(const S& s, const float* x, const float* dy, float* g) {
  x += s.x0, dy += s.y0;
  return s.N == 1 ? Operands{dy, x, g, {}} : Operands{x, dy, g, {}};
}

}  // namespace nacre::NACRE_ISA
