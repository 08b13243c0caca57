// elementwise: the bytecode with float32 arithmetic on vectors. Common functions are the polynomials of simd/math.h; the
// rare ones go lane by lane through float64.
#include "kernels/elementwise_engine.h"
#include "kernels/elementwise_scalar.h"
#include "simd/math.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

template <class F>
NACRE_INLINE Vec lanes(Vec a, F f) {
  float x[kLanes];
  store(x, a);
  for (int i = 0; i < kLanes; ++i) x[i] = static_cast<float>(f(static_cast<double>(x[i])));
  return load(x);
}
template <class F>
NACRE_INLINE Vec lanes(Vec a, Vec b, F f) {
  float x[kLanes], y[kLanes];
  store(x, a);
  store(y, b);
  for (int i = 0; i < kLanes; ++i) x[i] = static_cast<float>(f(static_cast<double>(x[i]), static_cast<double>(y[i])));
  return load(x);
}

NACRE_INLINE Vec truth(Mask m) { return select(m, set1(1.0f)); }
NACRE_INLINE Mask nonzero(Vec a) { return ne(a, zero()); }
NACRE_INLINE Vec inf() { return set1(__builtin_inff()); }

namespace op {
#define OP1(name, expr) \
  struct name { NACRE_INLINE Vec at(Vec a) { return expr; } };
#define OP2(name, expr) \
  struct name { NACRE_INLINE Vec at(Vec a, Vec b) { return expr; } };
#define OP3(name, expr) \
  struct name { NACRE_INLINE Vec at(Vec a, Vec b, Vec c) { return expr; } };
#define RARE1(name, expr) OP1(name, (lanes(a, [](double x) { return expr; })))
#define RARE2(name, expr) OP2(name, (lanes(a, b, [](double x, double y) { return expr; })))
OP1(copy, a)
OP1(neg, -a)
OP1(abs, NACRE_ISA::abs(a))
OP1(sign, (NACRE_ISA::select(NACRE_ISA::gt(a, zero()), set1(1.0f), NACRE_ISA::select(NACRE_ISA::lt(a, zero()), set1(-1.0f), a))))
OP1(square, a* a)
OP1(sqrt, NACRE_ISA::sqrt(a))
OP1(rsqrt, set1(1.0f) / NACRE_ISA::sqrt(a))
OP1(reciprocal, set1(1.0f) / a)
OP1(exp, NACRE_ISA::exp(a))
OP1(expm1, NACRE_ISA::expm1(a))
OP1(log, NACRE_ISA::log(a))
OP1(log1p, NACRE_ISA::log1p(a))
OP1(sin, NACRE_ISA::sin(a))
OP1(cos, NACRE_ISA::cos(a))
OP1(tanh, NACRE_ISA::tanh(a))
OP1(sigmoid, NACRE_ISA::sigmoid(a))
OP1(erf, NACRE_ISA::erf(a))
OP1(floor, NACRE_ISA::floor(a))
OP1(ceil, NACRE_ISA::ceil(a))
OP1(round, round_even(a))
OP1(trunc, NACRE_ISA::trunc(a))
OP1(relu, NACRE_ISA::max(zero(), a))
OP1(softplus, NACRE_ISA::softplus(a))
OP1(isnan, truth(NACRE_ISA::isnan(a)))
OP1(isinf, truth(NACRE_ISA::eq(NACRE_ISA::abs(a), inf())))
OP1(isfinite, truth(NACRE_ISA::lt(NACRE_ISA::abs(a), inf())))
OP1(logical_not, truth(NACRE_ISA::eq(a, zero())))
RARE1(exp2, __builtin_exp2(x))
OP1(log2, NACRE_ISA::log2(a))
OP1(log10, NACRE_ISA::log10(a))
OP1(tan, NACRE_ISA::tan(a))
OP1(asin, NACRE_ISA::asin(a))
OP1(acos, NACRE_ISA::acos(a))
OP1(atan, NACRE_ISA::atan(a))
OP1(sinh, NACRE_ISA::sinh(a))
OP1(cosh, NACRE_ISA::cosh(a))
OP1(asinh, NACRE_ISA::asinh(a))
OP1(acosh, NACRE_ISA::acosh(a))
OP1(atanh, NACRE_ISA::atanh(a))
RARE1(erfinv, scalar::erfinv(x))
OP2(add, a + b)
OP2(sub, a - b)
OP2(mul, a* b)
OP2(div, a / b)
OP2(min, min_nan(a, b))
OP2(max, max_nan(a, b))
OP2(eq, truth(NACRE_ISA::eq(a, b)))
OP2(ne, truth(NACRE_ISA::ne(a, b)))
OP2(lt, truth(NACRE_ISA::lt(a, b)))
OP2(le, truth(NACRE_ISA::le(a, b)))
OP2(gt, truth(NACRE_ISA::gt(a, b)))
OP2(ge, truth(NACRE_ISA::ge(a, b)))
OP2(logical_and, truth(nonzero(a) & nonzero(b)))
OP2(logical_or, truth(nonzero(a) | nonzero(b)))
OP2(logical_xor, truth(nonzero(a) ^ nonzero(b)))
OP2(relu_grad, NACRE_ISA::select(NACRE_ISA::gt(b, zero()), a))
OP2(pow, NACRE_ISA::pow(a, b))
RARE2(floor_div, scalar::floor_div(x, y))
RARE2(mod, scalar::mod(x, y))
OP2(atan2, NACRE_ISA::atan2(a, b))
RARE2(hypot, __builtin_hypot(x, y))
RARE2(logaddexp, scalar::logaddexp(x, y))
OP3(select, NACRE_ISA::select(nonzero(a), b, c))
OP3(fma, NACRE_ISA::fma(a, b, c))
OP3(clip, min_nan(max_nan(a, b), c))
using bitwise_not = void;
using bitwise_and = void;
using bitwise_or = void;
using bitwise_xor = void;
using shift_left = void;
using shift_right = void;
#undef OP1
#undef OP2
#undef OP3
#undef RARE1
#undef RARE2
}  // namespace op

template <class F>
void map1(i64 n, float* d, const float* a, const float*, const float*) {
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(d + i, F::at(load(a + i)));
  if (i < n) store(d + i, F::at(load(a + i, n - i)), n - i);
}
template <class F>
void map2(i64 n, float* d, const float* a, const float* b, const float*) {
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(d + i, F::at(load(a + i), load(b + i)));
  if (i < n) store(d + i, F::at(load(a + i, n - i), load(b + i, n - i)), n - i);
}
template <class F>
void map3(i64 n, float* d, const float* a, const float* b, const float* c) {
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(d + i, F::at(load(a + i), load(b + i), load(c + i)));
  if (i < n) store(d + i, F::at(load(a + i, n - i), load(b + i, n - i), load(c + i, n - i)), n - i);
}

template <class F, int arity>
struct Entry;
template <class F>
struct Entry<F, 1> { static constexpr OpFn<float> fn = map1<F>; };
template <class F>
struct Entry<F, 2> { static constexpr OpFn<float> fn = map2<F>; };
template <class F>
struct Entry<F, 3> { static constexpr OpFn<float> fn = map3<F>; };
template <>
struct Entry<void, 1> { static constexpr OpFn<float> fn = nullptr; };
template <>
struct Entry<void, 2> { static constexpr OpFn<float> fn = nullptr; };

constexpr OpFn<float> kF32[] = {
#define ELEMENTWISE(name, arity) Entry<op::name, arity>::fn,
#include "kernels/elementwise.def"
#undef ELEMENTWISE
};

}  // namespace

Facts elementwise_facts(const ElementwiseShape& s) { return facts_of<float>(s, kF32); }

void elementwise(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1, const void* x2,
                 const void* x3, const void* x4, const void* x5, const void* x6, const void* x7, void* y0, void* y1,
                 void* y2, void* y3) {
  const void* const x[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  void* const y[] = {y0, y1, y2, y3};
  run<float>(s, units, scratch, kF32, x, y);
}

}  // namespace NACRE_ISA
}  // namespace nacre
