#include "dispatch/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace nacre {
#if defined(__x86_64__)
namespace {

struct Regs {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Regs cpuid(unsigned leaf, unsigned sub) {
  Regs r;
  if (!__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d)) return Regs{};
  return r;
}

constexpr bool has(unsigned word, int bit) { return (word >> bit) & 1u; }

// The register files that the operating system saves for us: a CPU feature alone is not enough.
unsigned saved_state() {
  if (!has(cpuid(1, 0).c, 27)) return 0;  // OSXSAVE
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

bool cpu_runs_avx2() {
  constexpr unsigned kYmm = 0x6;  // SSE and AVX state
  if ((saved_state() & kYmm) != kYmm) return false;
  const unsigned one = cpuid(1, 0).c, seven = cpuid(7, 0).b;
  return has(one, 12) && has(one, 28) && has(one, 29) && has(seven, 5) && has(seven, 8);  // FMA AVX F16C, AVX2 BMI2
}

bool cpu_runs_avx512() {
  constexpr unsigned kZmm = 0xe6;  // SSE, AVX, opmask, upper halves, upper registers
  if (!cpu_runs_avx2() || (saved_state() & kZmm) != kZmm) return false;
  const unsigned seven = cpuid(7, 0).b;
  return has(seven, 16) && has(seven, 17) && has(seven, 30) && has(seven, 31);  // F DQ BW VL
}
#else
bool cpu_runs_avx2() { return false; }
bool cpu_runs_avx512() { return false; }
#endif
}  // namespace nacre
