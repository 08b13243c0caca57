// The two limits of a core, measured at one instruction set; compiled once for each.
#include "base/types.h"
#include "simd/simd.h"

namespace nacre::NACRE_ISA {

double multiply_add(i64 turns, float seed);
double flops_per_turn();
void copy_floats(const float* x, float* y, i64 n);

// Twelve chains cover the latency of two FMA units; none of them touches memory. They begin differently, or the compiler
// would compute one of them only.
double multiply_add(i64 turns, float seed) {
  const Vec m = set1(0.999f), c = set1(seed);
  Vec a0 = c, a1 = a0 + c, a2 = a1 + c, a3 = a2 + c, a4 = a3 + c, a5 = a4 + c;
  Vec a6 = a5 + c, a7 = a6 + c, a8 = a7 + c, a9 = a8 + c, a10 = a9 + c, a11 = a10 + c;
  for (i64 i = 0; i < turns; ++i) {
    a0 = fma(a0, m, c), a1 = fma(a1, m, c), a2 = fma(a2, m, c), a3 = fma(a3, m, c);
    a4 = fma(a4, m, c), a5 = fma(a5, m, c), a6 = fma(a6, m, c), a7 = fma(a7, m, c);
    a8 = fma(a8, m, c), a9 = fma(a9, m, c), a10 = fma(a10, m, c), a11 = fma(a11, m, c);
  }
  return static_cast<double>(reduce_add(((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7)) + ((a8 + a9) + (a10 + a11))));
}

double flops_per_turn() { return 12.0 * 2.0 * kLanes; }

void copy_floats(const float* x, float* y, i64 n) {
  constexpr i64 kStep = 4 * kLanes;
  i64 i = 0;
  for (; i + kStep <= n; i += kStep) {
    const Vec a = load(x + i), b = load(x + i + kLanes), c = load(x + i + 2 * kLanes), d = load(x + i + 3 * kLanes);
    store(y + i, a), store(y + i + kLanes, b), store(y + i + 2 * kLanes, c), store(y + i + 3 * kLanes, d);
  }
  for (; i < n; ++i) y[i] = x[i];
}

}  // namespace nacre::NACRE_ISA
