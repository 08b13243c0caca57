// The vocabulary every floor shares: integers, slices of work, dtypes, and what a kernel says about itself.
//
// Functions here are `static` or always inlined: this header is compiled once per ISA, and a weak symbol would let the
// linker keep the AVX copy for every CPU.
#pragma once
#include <cstdint>

#include "base/checked.h"

// The namespace of families that AVX2 lends to AVX-512 (CMakeLists.txt); of any other instruction set its own.
#ifndef NACRE_LENT
#define NACRE_LENT NACRE_ISA
#endif

namespace nacre {

using i32 = std::int32_t;
using i64 = std::int64_t;
using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// A run of units (tiles whose cut is fixed by shape): [begin, end).
struct Slice {
  i64 begin, end;
};

// Workspace private to one running slice; 64-byte aligned, `bytes` as asked for in Facts::scratch. And what the kernel has
// prepared for its shape, if it has: what it would find out anew.
struct Scratch {
  char* at;
  i64 bytes;
  const void* plan = nullptr;
};
constexpr i64 kPlanBytes = 640;  // the most

// The numbers stand in programs and in shape fields named `dtype`; they never change.
enum class DType : i64 { f32 = 0, f64 = 1, i32 = 2, i64 = 3, u8 = 4, boolean = 5, none = -1 };

// Bytes per element; 0 for a number that is no dtype.
static constexpr i64 size_of(DType t) {
  switch (t) {
    case DType::f32: return 4;
    case DType::f64: return 8;
    case DType::i32: return 4;
    case DType::i64: return 8;
    case DType::u8: return 1;
    case DType::boolean: return 1;
    default: return 0;
  }
}

constexpr int kMaxOperands = 24;
enum Aliasing { kNoAlias = 0, kInPlace = 1 };

// What a kernel says about one shape; total for any field values, so that it can be asked before anything is trusted.
struct Facts {
  NACRE_FORCE_INLINE constexpr Facts() {}

  const char* error = nullptr;  // static text: why no call with these fields is possible
  i64 units = 0;                // tiles of work
  i64 scratch = 0;              // bytes of workspace per running slice
  double flops = 0;
  Count extent[kMaxOperands];  // elements of each operand that may be touched (bytes where the operand is void)
};

// Small problems are one piece of everything, and a division takes longer than some of them.
static constexpr i64 ceil_div(i64 a, i64 b) { return a > 0 && a <= b ? 1 : a / b + (a % b > 0 ? 1 : 0); }
static constexpr i64 min_of(i64 a, i64 b) { return a < b ? a : b; }
static constexpr i64 max_of(i64 a, i64 b) { return a > b ? a : b; }

}  // namespace nacre
