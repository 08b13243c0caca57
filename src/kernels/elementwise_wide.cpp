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

// One struct per opcode and type; an opcode that a type lacks stays null in the table.
namespace f64 {
using T = double;
#define OP1(name, expr) struct name { static NACRE_ALWAYS T at(T a) { return expr; } };
#define OP2(name, expr) struct name { static NACRE_ALWAYS T at(T a, T b) { return expr; } };
#define OP3(name, expr) struct name { static NACRE_ALWAYS T at(T a, T b, T c) { return expr; } };
OP1(copy, a)
OP1(neg, -a)
OP1(abs, __builtin_fabs(a))
OP1(sign, scalar::sign(a))
OP1(square, a * a)
OP1(sqrt, __builtin_sqrt(a))
OP1(rsqrt, 1 / __builtin_sqrt(a))
OP1(reciprocal, 1 / a)
OP1(exp, __builtin_exp(a))
OP1(exp2, __builtin_exp2(a))
OP1(expm1, __builtin_expm1(a))
OP1(log, __builtin_log(a))
OP1(log1p, __builtin_log1p(a))
OP1(log2, __builtin_log2(a))
OP1(log10, __builtin_log10(a))
OP1(sin, __builtin_sin(a))
OP1(cos, __builtin_cos(a))
OP1(tan, __builtin_tan(a))
OP1(asin, __builtin_asin(a))
OP1(acos, __builtin_acos(a))
OP1(atan, __builtin_atan(a))
OP1(sinh, __builtin_sinh(a))
OP1(cosh, __builtin_cosh(a))
OP1(tanh, __builtin_tanh(a))
OP1(asinh, __builtin_asinh(a))
OP1(acosh, __builtin_acosh(a))
OP1(atanh, __builtin_atanh(a))
OP1(sigmoid, scalar::sigmoid(a))
OP1(erf, __builtin_erf(a))
OP1(erfinv, scalar::erfinv(a))
OP1(floor, __builtin_floor(a))
OP1(ceil, __builtin_ceil(a))
OP1(round, __builtin_nearbyint(a))
OP1(trunc, __builtin_trunc(a))
OP1(relu, a > 0 || a != a ? a : 0)
OP1(softplus, scalar::logaddexp(a, 0))
OP1(isnan, a != a)
OP1(isinf, __builtin_fabs(a) == __builtin_inf())
OP1(isfinite, __builtin_fabs(a) < __builtin_inf())
OP1(logical_not, a == 0)
OP2(add, a + b)
OP2(sub, a - b)
OP2(mul, a * b)
OP2(div, a / b)
OP2(pow, __builtin_pow(a, b))
OP2(min, scalar::min(a, b))
OP2(max, scalar::max(a, b))
OP2(floor_div, scalar::floor_div(a, b))
OP2(mod, scalar::mod(a, b))
OP2(atan2, __builtin_atan2(a, b))
OP2(hypot, __builtin_hypot(a, b))
OP2(logaddexp, scalar::logaddexp(a, b))
OP2(eq, a == b)
OP2(ne, a != b)
OP2(lt, a < b)
OP2(le, a <= b)
OP2(gt, a > b)
OP2(ge, a >= b)
OP2(logical_and, a != 0 && b != 0)
OP2(logical_or, a != 0 || b != 0)
OP2(logical_xor, (a != 0) != (b != 0))
OP2(relu_grad, b > 0 ? a : 0)
OP3(select, a != 0 ? b : c)
OP3(fma, a * b + c)
OP3(clip, scalar::min(scalar::max(a, b), c))
using bitwise_not = void;
using bitwise_and = void;
using bitwise_or = void;
using bitwise_xor = void;
using shift_left = void;
using shift_right = void;
}  // namespace f64

namespace integer {
using T = i64;
OP1(copy, a)
OP1(neg, scalar::sub(0, a))
OP1(abs, a < 0 ? scalar::sub(0, a) : a)
OP1(sign, (a > 0) - (a < 0))
OP1(square, scalar::mul(a, a))
OP1(floor, a)
OP1(ceil, a)
OP1(round, a)
OP1(trunc, a)
OP1(relu, a > 0 ? a : 0)
OP1(isnan, a & 0)
OP1(isinf, a & 0)
OP1(isfinite, a | 1 ? 1 : 0)
OP1(logical_not, a == 0)
OP1(bitwise_not, ~a)
OP2(add, scalar::add(a, b))
OP2(sub, scalar::sub(a, b))
OP2(mul, scalar::mul(a, b))
OP2(div, scalar::div(a, b))
OP2(pow, scalar::pow(a, b))
OP2(min, a < b ? a : b)
OP2(max, a > b ? a : b)
OP2(floor_div, scalar::floor_div(a, b))
OP2(mod, scalar::mod(a, b))
OP2(eq, a == b)
OP2(ne, a != b)
OP2(lt, a < b)
OP2(le, a <= b)
OP2(gt, a > b)
OP2(ge, a >= b)
OP2(logical_and, a != 0 && b != 0)
OP2(logical_or, a != 0 || b != 0)
OP2(logical_xor, (a != 0) != (b != 0))
OP2(bitwise_and, a & b)
OP2(bitwise_or, a | b)
OP2(bitwise_xor, a ^ b)
OP2(shift_left, scalar::shift_left(a, b))
OP2(shift_right, scalar::shift_right(a, b))
OP2(relu_grad, b > 0 ? a : 0)
OP3(select, a != 0 ? b : c)
OP3(fma, scalar::add(scalar::mul(a, b), c))
OP3(clip, (a > b ? a : b) < c ? (a > b ? a : b) : c)
using sqrt = void;
using rsqrt = void;
using reciprocal = void;
using exp = void;
using exp2 = void;
using expm1 = void;
using log = void;
using log1p = void;
using log2 = void;
using log10 = void;
using sin = void;
using cos = void;
using tan = void;
using asin = void;
using acos = void;
using atan = void;
using sinh = void;
using cosh = void;
using tanh = void;
using asinh = void;
using acosh = void;
using atanh = void;
using sigmoid = void;
using erf = void;
using erfinv = void;
using softplus = void;
using atan2 = void;
using hypot = void;
using logaddexp = void;
}  // namespace integer
#undef OP1
#undef OP2
#undef OP3

template <class F, int arity, class T>
struct Entry;
template <class F, class T>
struct Entry<F, 1, T> { static constexpr OpFn<T> fn = map1<F, T>; };
template <class F, class T>
struct Entry<F, 2, T> { static constexpr OpFn<T> fn = map2<F, T>; };
template <class F, class T>
struct Entry<F, 3, T> { static constexpr OpFn<T> fn = map3<F, T>; };
template <int arity, class T>
struct Entry<void, arity, T> { static constexpr OpFn<T> fn = nullptr; };
template <class T>
struct Entry<void, 1, T> { static constexpr OpFn<T> fn = nullptr; };
template <class T>
struct Entry<void, 2, T> { static constexpr OpFn<T> fn = nullptr; };
template <class T>
struct Entry<void, 3, T> { static constexpr OpFn<T> fn = nullptr; };

constexpr OpFn<double> kF64[] = {
#define ELEMENTWISE(name, arity) Entry<f64::name, arity, double>::fn,
#include "kernels/elementwise.def"
#undef ELEMENTWISE
};
constexpr OpFn<i64> kI64[] = {
#define ELEMENTWISE(name, arity) Entry<integer::name, arity, i64>::fn,
#include "kernels/elementwise.def"
#undef ELEMENTWISE
};

}  // namespace

Facts elementwise_f64_facts(const ElementwiseShape& s) { return facts_of<double>(s, kF64); }
Facts elementwise_i64_facts(const ElementwiseShape& s) { return facts_of<i64>(s, kI64); }

void elementwise_f64(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1,
                     const void* x2, const void* x3, const void* x4, const void* x5, const void* x6, const void* x7,
                     void* y0, void* y1, void* y2, void* y3) {
  const void* const x[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  void* const y[] = {y0, y1, y2, y3};
  run<double>(s, units, scratch, kF64, x, y);
}

void elementwise_i64(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1,
                     const void* x2, const void* x3, const void* x4, const void* x5, const void* x6, const void* x7,
                     void* y0, void* y1, void* y2, void* y3) {
  const void* const x[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  void* const y[] = {y0, y1, y2, y3};
  run<i64>(s, units, scratch, kI64, x, y);
}

}  // namespace NACRE_ISA
}  // namespace nacre
