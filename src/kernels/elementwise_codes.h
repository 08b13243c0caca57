// The opcodes of the elementwise bytecode: numbers, names and how many operands each takes. Independent of the ISA.
#pragma once

namespace nacre {

enum class Code : int {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64) name,
#include "kernels/elementwise.def"
#undef ELEMENTWISE
  count
};

constexpr int elementwise_count = static_cast<int>(Code::count);

static inline const char* elementwise_name(int code) {
  static const char* const names[] = {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64) #name,
#include "kernels/elementwise.def"
#undef ELEMENTWISE
  };
  return code >= 0 && code < elementwise_count ? names[code] : nullptr;
}

static inline int elementwise_arity(int code) {
  static const signed char arities[] = {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64) arity,
#include "kernels/elementwise.def"
#undef ELEMENTWISE
  };
  return code >= 0 && code < elementwise_count ? arities[code] : -1;
}

}  // namespace nacre
