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

// A unit is one partial sum: at most 64 of them, none shorter than 16 tiles.
NACRE_INLINE Cut map_reduce_cut(const ElementwiseShape& s) {
  Cut c = cut_of<float>(s, true);
  c.tiles_per_unit = max_of(16, ceil_div(c.tiles, 64));
  return c;
}

// The sum of column c over `rows` runs of C elements is added to total[c]: float32 within the tile, float64 across tiles.
NACRE_INLINE void add_columns(i64 rows, i64 C, const float* x, double* total) {
  float sums[kLanes];
  for (i64 c = 0; c < C; c += kLanes) {
    const i64 n = min_of(kLanes, C - c);
    Vec a = zero(), b = zero(), d = zero(), e = zero();
    i64 r = 0;
    const float* p = x + c;
    if (n == kLanes) {
      for (; r + 4 <= rows; r += 4, p += 4 * C) {
        a = a + load(p);
        b = b + load(p + C);
        d = d + load(p + 2 * C);
        e = e + load(p + 3 * C);
      }
      for (; r < rows; ++r, p += C) a = a + load(p);
    } else {
      for (; r < rows; ++r, p += C) a = a + load(p, n);
    }
    store(sums, (a + b) + (d + e));
    for (i64 k = 0; k < n; ++k) total[c + k] += static_cast<double>(sums[k]);
  }
}

}  // namespace

Facts map_reduce_facts(const ElementwiseShape& s) {
  Facts f = facts_of<float>(s, kF32);
  if (f.error) return f;
  f.units = 0;
  if (s.rank != 2) f.error = "rank must be 2: rows, columns";
  for (i64 o = 0; o < s.outputs && !f.error; ++o)
    if (s.out_dtype[o] != static_cast<i64>(DType::f32)) f.error = "sums are float32";
  if (f.error) return f;
  for (i64 o = 0; o < kOutputs; ++o) f.extent[kInputs + o] = 0;
  if (s.dims[0] == 0 || s.dims[1] == 0) {
    for (i64 o = 0; o < s.outputs; ++o) f.extent[kInputs + o] = s.dims[1];
    f.units = s.dims[1] > 0 ? 1 : 0;
    return f;
  }
  const Cut c = map_reduce_cut(s);
  f.units = ceil_div(c.tiles, c.tiles_per_unit);
  f.scratch = (c.buffers * pitch_of<float>(c.tile) * 4 + 63) / 64 * 64 + s.outputs * s.dims[1] * 8;
  for (i64 o = 0; o < s.outputs; ++o) f.extent[kInputs + o] = Count(f.units) * Count(s.dims[1]);
  return f;
}

void map_reduce(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1, const void* x2,
                const void* x3, const void* x4, const void* x5, const void* x6, const void* x7, float* y0, float* y1,
                float* y2, float* y3) {
  const void* const x[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  void* const nowhere[] = {nullptr, nullptr, nullptr, nullptr};
  float* const y[] = {y0, y1, y2, y3};
  const i64 C = s.dims[1];
  if (units.begin >= units.end) return;
  if (s.dims[0] == 0) {
    for (i64 o = 0; o < s.outputs; ++o)
      for (i64 k = 0; k < C; ++k) y[o][k] = 0.0f;
    return;
  }
  const Cut c = map_reduce_cut(s);
  double* total = reinterpret_cast<double*>(scratch.at + (c.buffers * pitch_of<float>(c.tile) * 4 + 63) / 64 * 64);
  for (i64 u = units.begin; u < units.end; ++u) {
    for (i64 k = 0; k < s.outputs * C; ++k) total[k] = 0.0;
    run_tiles(s, c, Slice{u, u + 1}, scratch, kF32, x, nowhere, [&](i64, i64 count, float* const* reg) {
      for (i64 o = 0; o < s.outputs; ++o) add_columns(count / C, C, reg[s.out_reg[o]], total + o * C);
    });
    for (i64 o = 0; o < s.outputs; ++o)
      for (i64 k = 0; k < C; ++k) y[o][u * C + k] = static_cast<float>(total[o * C + k]);
  }
}

const MapFn* map_functions() { return kF32; }

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
