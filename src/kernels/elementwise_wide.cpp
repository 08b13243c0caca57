// elementwise_f64 and elementwise_i64: the bytecode with 64-bit compute types, in plain loops that compilers vectorize.
#include "kernels/elementwise_engine.h"
#include "kernels/elementwise_scalar.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

template <class F, class T>
void map1(i64 n, T* d, const T* a, const T*, const T*) {
  NACRE_INDEPENDENT
  for (i64 i = 0; i < n; ++i) d[i] = F::at(a[i]);
}
template <class F, class T>
void map2(i64 n, T* d, const T* a, const T* b, const T*) {
  NACRE_INDEPENDENT
  for (i64 i = 0; i < n; ++i) d[i] = F::at(a[i], b[i]);
}
template <class F, class T>
void map3(i64 n, T* d, const T* a, const T* b, const T* c) {
  NACRE_INDEPENDENT
  for (i64 i = 0; i < n; ++i) d[i] = F::at(a[i], b[i], c[i]);
}

// One struct per opcode and type.
namespace f64_op {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64)                                           \
  struct name {                                                                                    \
    static NACRE_ALWAYS auto at([[maybe_unused]] NACRE_OPERANDS##arity(double)) { return on_f64; } \
  };
#include "kernels/elementwise.def"
#undef ELEMENTWISE
}  // namespace f64_op

namespace i64_op {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64)                                        \
  struct name {                                                                                 \
    static NACRE_ALWAYS auto at([[maybe_unused]] NACRE_OPERANDS##arity(i64)) { return on_i64; } \
  };
#include "kernels/elementwise.def"
#undef ELEMENTWISE
}  // namespace i64_op

template <class F, int arity, class T>
constexpr OpFn<T> entry() {
  if constexpr (arity == 1) {
    if constexpr (has_form<decltype(F::at(T()))>) return map1<F, T>;
  } else if constexpr (arity == 2) {
    if constexpr (has_form<decltype(F::at(T(), T()))>) return map2<F, T>;
  } else {
    if constexpr (has_form<decltype(F::at(T(), T(), T()))>) return map3<F, T>;
  }
  return nullptr;
}

constexpr OpFn<double> kF64[] = {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64) entry<f64_op::name, arity, double>(),
#include "kernels/elementwise.def"
#undef ELEMENTWISE
};
constexpr OpFn<i64> kI64[] = {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64) entry<i64_op::name, arity, i64>(),
#include "kernels/elementwise.def"
#undef ELEMENTWISE
};

template <class T>
constexpr OpFn<T> none(i64, i64, bool) {
  return nullptr;
}

}  // namespace

Facts elementwise_f64_facts(const ElementwiseShape& s) { return facts_of<double>(s, kF64); }
Facts elementwise_i64_facts(const ElementwiseShape& s) { return facts_of<i64>(s, kI64); }

void elementwise_f64(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1,
                     const void* x2, const void* x3, const void* x4, const void* x5, const void* x6, const void* x7,
                     void* y0, void* y1, void* y2, void* y3) {
  const void* const x[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  void* const y[] = {y0, y1, y2, y3};
  run<double>(s, units, scratch, {kF64, none<double>}, x, y);
}

void elementwise_i64(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1,
                     const void* x2, const void* x3, const void* x4, const void* x5, const void* x6, const void* x7,
                     void* y0, void* y1, void* y2, void* y3) {
  const void* const x[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  void* const y[] = {y0, y1, y2, y3};
  run<i64>(s, units, scratch, {kI64, none<i64>}, x, y);
}

}  // namespace NACRE_ISA
}  // namespace nacre
