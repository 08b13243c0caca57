#include "kernels/yardstick.h"

#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kChains = 12;  // cover the latency of two FMA units
constexpr i64 kRun = 1024;   // floats in a unit

// None of the chains touches memory. They begin differently, or the compiler would compute one of them only.
float chains(i64 turns, float seed) {
  const Vec m = set1(0.999f), c = set1(seed);
  Vec a0 = c, a1 = a0 + c, a2 = a1 + c, a3 = a2 + c, a4 = a3 + c, a5 = a4 + c;
  Vec a6 = a5 + c, a7 = a6 + c, a8 = a7 + c, a9 = a8 + c, a10 = a9 + c, a11 = a10 + c;
  for (i64 i = 0; i < turns; ++i) {
    a0 = fma(a0, m, c), a1 = fma(a1, m, c), a2 = fma(a2, m, c), a3 = fma(a3, m, c);
    a4 = fma(a4, m, c), a5 = fma(a5, m, c), a6 = fma(a6, m, c), a7 = fma(a7, m, c);
    a8 = fma(a8, m, c), a9 = fma(a9, m, c), a10 = fma(a10, m, c), a11 = fma(a11, m, c);
  }
  return reduce_add(((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7)) + ((a8 + a9) + (a10 + a11)));
}

}  // namespace

Facts multiply_add_facts(const MultiplyAddShape& s) {
  Facts f;
  if (s.turns < 0 || s.turns > 1000000) f.error = "turns must be between 0 and 1000000";
  if (s.cores < 0) f.error = "cores must not be negative";
  f.extent[0] = Count(s.cores);
  if (f.error) return f;
  f.units = s.cores;
  f.flops = static_cast<double>(s.turns) * static_cast<double>(s.cores) * (2.0 * kChains * kLanes);
  return f;
}

void multiply_add(const MultiplyAddShape& s, Slice cores, float* y) {
  for (i64 i = cores.begin; i < cores.end; ++i) y[i] = chains(s.turns, static_cast<float>(s.seed));
}

Facts copy_floats_facts(const CopyFloatsShape& s) {
  Facts f;
  if (s.n < 0) f.error = "n must not be negative";
  f.extent[0] = f.extent[1] = Count(s.n);
  if (!f.error) f.units = ceil_div(s.n, kRun);
  return f;
}

void copy_floats(const CopyFloatsShape& s, Slice runs, const float* x, float* y) {
  constexpr i64 kStep = 4 * kLanes;
  const i64 end = min_of(runs.end * kRun, s.n);
  i64 i = runs.begin * kRun;
  for (; i + kStep <= end; i += kStep) {
    const Vec a = load(x + i), b = load(x + i + kLanes), c = load(x + i + 2 * kLanes), d = load(x + i + 3 * kLanes);
    store(y + i, a), store(y + i + kLanes, b), store(y + i + 2 * kLanes, c), store(y + i + 3 * kLanes, d);
  }
  for (; i < end; ++i) y[i] = x[i];
}

}  // namespace NACRE_ISA
}  // namespace nacre
