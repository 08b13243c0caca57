// elementwise: the bytecode with float32 arithmetic on vectors. Common functions are the polynomials of simd/math.h; the
// rare ones go lane by lane through float64.
#include "kernels/elementwise_engine.h"
#include "kernels/elementwise_scalar.h"
#include "kernels/elementwise_update.h"
#include "simd/math.h"
#include "simd/quotient.h"
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

#define LANES1(expr) lanes(a, [](double x) { return expr; })
#define LANES2(expr) lanes(a, b, [](double x, double y) { return expr; })
namespace op {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64)                                 \
  struct name {                                                                          \
    NACRE_INLINE auto at([[maybe_unused]] NACRE_OPERANDS##arity(Vec)) { return on_vec; } \
  };
#include "kernels/elementwise.def"
#undef ELEMENTWISE
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
constexpr OpFn<float> entry() {
  if constexpr (arity == 1) {
    if constexpr (has_form<decltype(F::at(Vec()))>) return map1<F>;
  } else if constexpr (arity == 2) {
    if constexpr (has_form<decltype(F::at(Vec(), Vec()))>) return map2<F>;
  } else {
    if constexpr (has_form<decltype(F::at(Vec(), Vec(), Vec()))>) return map3<F>;
  }
  return nullptr;
}

constexpr OpFn<float> kF32[] = {
#define ELEMENTWISE(name, arity, on_vec, on_f64, on_i64) entry<op::name, arity>(),
#include "kernels/elementwise.def"
#undef ELEMENTWISE
};

template <class F, class G, bool behind = false>
struct Joined {
  NACRE_INLINE Vec at(Vec a, Vec b) { return G::at(F::at(a), b); }
  NACRE_INLINE Vec at(Vec a, Vec b, Vec c) { return behind ? G::at(c, F::at(a, b)) : G::at(F::at(a, b), c); }
};
// Those that networks have: (x - mean) * scale + offset, x * sigmoid(x), 1 + erf(x), sums and products of three.
OpFn<float> joined(i64 first, i64 second, bool behind) {
  const bool sum = second == static_cast<i64>(Code::add), product = second == static_cast<i64>(Code::mul);
  if (!sum && !product && second != static_cast<i64>(Code::sub)) return nullptr;
  switch (static_cast<Code>(first)) {
    case Code::add: return sum ? map3<Joined<op::add, op::add>> : product ? map3<Joined<op::add, op::mul>> : nullptr;
    case Code::sub: return sum ? map3<Joined<op::sub, op::add>> : product ? map3<Joined<op::sub, op::mul>> : nullptr;
    case Code::mul:
      if (sum || product) return sum ? map3<Joined<op::mul, op::add>> : map3<Joined<op::mul, op::mul>>;
      return behind ? map3<Joined<op::mul, op::sub, true>> : map3<Joined<op::mul, op::sub>>;
    case Code::sigmoid: return product ? map2<Joined<op::sigmoid, op::mul>> : nullptr;
    case Code::tanh: return sum ? map2<Joined<op::tanh, op::add>> : nullptr;
    case Code::erf: return sum ? map2<Joined<op::erf, op::add>> : nullptr;
    default: return nullptr;
  }
}

constexpr Functions<float> kFunctions{kF32, joined};

// A unit is one partial sum: at most 64 of them for each o, none shorter than 16 tiles.
NACRE_INLINE Cut map_reduce_cut(const ElementwiseShape& s) {
  Cut c = cut_of<float>(s, true);
  c.tiles_per_unit = max_of(16, ceil_div(c.tiles, 64));
  return c;
}

// The program on the rows and columns of one o.
NACRE_INLINE ElementwiseShape without_outer(const ElementwiseShape& s) {
  ElementwiseShape t = s;
  if (s.rank < 3) return t;
  t.rank = 2;
  for (i64 d = 0; d < 2; ++d) t.dims[d] = s.dims[d + 1];
  for (i64 i = 0; i < s.inputs; ++i)
    for (i64 d = 0; d < 2; ++d) t.in_strides[i * 6 + d] = s.in_strides[i * 6 + d + 1];
  return t;
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
  if (s.rank != 2 && s.rank != 3) f.error = "rank must be 2 or 3: outer, rows, columns";
  for (i64 o = 0; o < s.outputs && !f.error; ++o)
    if (s.out_dtype[o] != static_cast<i64>(DType::f32) || s.out_ld[o]) f.error = "sums are float32 without gaps";
  if (f.error) return f;
  const ElementwiseShape t = without_outer(s);
  const i64 outer = s.rank == 3 ? s.dims[0] : 1, R = t.dims[0], C = t.dims[1];
  for (i64 o = 0; o < kOutputs; ++o) f.extent[kInputs + o] = 0;
  if (outer == 0 || C == 0) return f;
  Count units = outer;
  if (R > 0) {
    const Cut c = map_reduce_cut(t);
    units = units * Count(ceil_div(c.tiles, c.tiles_per_unit));
    f.scratch = (c.buffers * pitch_of<float>(c.tile) * 4 + 63) / 64 * 64 + s.outputs * C * 8;
  }
  const Count sums = units * Count(C);
  if (!(sums * Count(4)).ok()) f.error = "the sums overflow 64 bits";
  for (i64 o = 0; o < s.outputs && !f.error; ++o) f.extent[kInputs + o] = sums;
  f.units = f.error ? 0 : units.value();
  return f;
}

void map_reduce(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1, const void* x2,
                const void* x3, const void* x4, const void* x5, const void* x6, const void* x7, float* y0, float* y1,
                float* y2, float* y3) {
  const void* const from[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  void* const nowhere[] = {nullptr, nullptr, nullptr, nullptr};
  float* const y[] = {y0, y1, y2, y3};
  if (units.begin >= units.end) return;
  const ElementwiseShape t = without_outer(s);
  const i64 C = t.dims[1];
  if (t.dims[0] == 0) {
    for (i64 o = 0; o < s.outputs; ++o)
      for (i64 k = units.begin * C; k < units.end * C; ++k) y[o][k] = 0.0f;
    return;
  }
  const Cut c = map_reduce_cut(t);
  const i64 per_outer = ceil_div(c.tiles, c.tiles_per_unit);
  double* total = reinterpret_cast<double*>(scratch.at + (c.buffers * pitch_of<float>(c.tile) * 4 + 63) / 64 * 64);
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 outer = u / per_outer, part = u % per_outer;
    const void* x[kInputs];
    for (i64 i = 0; i < kInputs; ++i) {
      const i64 step = s.rank == 3 && i < s.inputs ? s.in_strides[i * 6] * width_of(s.in_dtype[i]) : 0;
      x[i] = step ? static_cast<const char*>(from[i]) + outer * step : from[i];
    }
    for (i64 k = 0; k < s.outputs * C; ++k) total[k] = 0.0;
    run_tiles(t, c, Slice{part, part + 1}, scratch, kFunctions, x, nowhere,
              [&](const Tile& at, float* const* reg, const i64*) {
                for (i64 o = 0; o < s.outputs; ++o) add_columns(at.count / C, C, reg[s.out_reg[o]], total + o * C);
              });
    for (i64 o = 0; o < s.outputs; ++o)
      for (i64 k = 0; k < C; ++k) y[o][u * C + k] = static_cast<float>(total[o * C + k]);
  }
}

const MapFn* map_functions() { return kF32; }
MapFn map_swish() { return map2<Joined<op::sigmoid, op::mul>>; }

Facts elementwise_facts(const ElementwiseShape& s) {
  Facts f = facts_of<float>(s, kF32);
  if (!f.error && is_update(s)) f.scratch = 0;
  return f;
}

void elementwise(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1,
                 const void* x2, const void* x3, const void* x4, const void* x5, const void* x6, const void* x7,
                 void* y0, void* y1, void* y2, void* y3) {
  const void* const x[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  void* const y[] = {y0, y1, y2, y3};
  if (!updates(s, units, x, y)) run<float>(s, units, scratch, kFunctions, x, y);
}

}  // namespace NACRE_ISA
}  // namespace nacre
