// Three ways through a row, by its length: up to 4 numbers, kLanes rows at once; up to four vectors, in registers; longer,
// three passes over memory that the first of them brought into cache.
#include "kernels/softmax.h"

#include "kernels/loops.h"
#include "simd/math.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnit = 8192;    // elements in a unit: some 3 us
constexpr i64 kTiny = 4;       // longest row that is handled one row per lane
constexpr i64 kAhead = 4096;   // floats fetched ahead at most
constexpr i64 kBlock = 64 * kLanes;  // elements summed in float32 before the sum goes into float64

i64 rows_per_unit(i64 N) { return max_of(kLanes, kUnit / max_of(N, 1) / kLanes * kLanes); }

struct RowStats {
  float top, sum;  // largest number of the row, sum of exp(x - top)
};

NACRE_INLINE float log_of(float x) {
  float lane[kLanes];
  store(lane, log(set1(x)));
  return lane[0];
}

// e^x for x <= 0 (and NaN), exactly 1 at 0, 0 below -87.7; 2 ulp above -1, 3 above -30, 5 at the end. Two thirds of the work
// of exp: the power of two comes straight from the bits of x * log2(e) + 1.5 * 2^23 + 127, whose last bits are the exponent
// field, 0 at the clamp; where products are not rounded, ln 2 is one float, off by 2e-9 for each power.
NACRE_INLINE Vec exp_down(Vec x) {
  const Vec magic = set1(12583039.0f);
  const Vec bounded = max(set1(-88.0f), x);
  const Vec t = fma(bounded, set1(1.44269504f), magic);
  const Vec n = t - magic;
  const Vec r = kFused ? fnma(n, set1(0.693147182f), bounded)
                       : fnma(n, set1(1.428606765330187e-06f), fnma(n, set1(0.693145751953125f), bounded));
  const Vec p = polynomial(r, {1.0f, 0.9999997f, 0.499991477f, 0.166676506f, 0.0418981761f, 0.00828950014f});
  return p * as_float(shl<23>(as_int(t)));
}

// A vector whose lanes beyond n hold `rest`.
NACRE_INLINE Vec load_or(const float* p, i64 n, float rest) {
  return n >= kLanes ? load(p) : select(first_lanes(n), load(p, n), set1(rest));
}

template <int NV, bool logarithm>
NACRE_INLINE RowStats short_row(const float* x, float* y, i64 N) {
  const i64 tail = N - (NV - 1) * kLanes;
  Vec v[NV];
  NACRE_UNROLL
  for (int k = 0; k < NV - 1; ++k) v[k] = load(x + k * kLanes);
  v[NV - 1] = load_or(x + (NV - 1) * kLanes, tail, -kInf);
  Vec high = v[0];
  NACRE_UNROLL
  for (int k = 1; k < NV; ++k) high = max(high, v[k]);
  const float top = reduce_max(high);
  Vec e[NV];
  NACRE_UNROLL
  for (int k = 0; k < NV; ++k) e[k] = exp_down(v[k] - set1(top));
  Vec total = e[0];
  NACRE_UNROLL
  for (int k = 1; k < NV; ++k) total += e[k];
  const float sum = reduce_add(total);
  const Vec factor = set1(1.0f / sum), shift = set1(logarithm ? log_of(sum) : 0.0f);
  NACRE_UNROLL
  for (int k = 0; k < NV; ++k) e[k] = logarithm ? v[k] - set1(top) - shift : e[k] * factor;
  NACRE_UNROLL
  for (int k = 0; k < NV - 1; ++k) store(y + k * kLanes, e[k]);
  store(y + (NV - 1) * kLanes, e[NV - 1], tail);
  return {top, sum};
}

NACRE_INLINE float row_max(const float* x, i64 n) {
  Vec a = set1(-kInf), b = a, c = a, d = a;
  i64 i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    a = max(a, load(x + i));
    b = max(b, load(x + i + kLanes));
    c = max(c, load(x + i + 2 * kLanes));
    d = max(d, load(x + i + 3 * kLanes));
  }
  for (; i < n; i += kLanes) a = max(a, load_or(x + i, n - i, -kInf));
  return reduce_max(max(max(a, b), max(c, d)));
}

// y = exp(x - top) unless only the sum is wanted; the sum of those.
// Fetches what comes next while there is so much to compute: the following row, or what is left of a very long one.
template <bool keep>
NACRE_INLINE float exp_shifted(const float* x, float top, float* y, i64 n) {
  double total = 0;
  const Vec shift = set1(top);
  const i64 ahead = min_of(n, kAhead);
  for (i64 from = 0; from < n; from += kBlock) {
    const i64 end = min_of(n, from + kBlock);
    Vec a = zero(), b = zero();
    i64 i = from;
    for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
      Vec v[4];
      NACRE_UNROLL
      for (int k = 0; k < 4; ++k) prefetch(x + i + ahead + k * kLanes);
      NACRE_UNROLL
      for (int k = 0; k < 4; ++k) v[k] = exp_down(load(x + i + k * kLanes) - shift);
      if (keep) {
        NACRE_UNROLL
        for (int k = 0; k < 4; ++k) store(y + i + k * kLanes, v[k]);
      }
      a += v[0] + v[1];
      b += v[2] + v[3];
    }
    for (; i < end; i += kLanes) {
      const Vec p = exp_down(load_or(x + i, end - i, -kInf) - shift);
      if (keep) store(y + i, p, end - i);
      a += select(first_lanes(end - i), p);
    }
    total += static_cast<double>(reduce_add(a + b));
  }
  return static_cast<float>(total);
}

template <class F>
NACRE_INLINE void map_row(float* y, i64 n, F f) {
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, f(i, kLanes));
  if (i < n) store(y + i, f(i, n - i), n - i);
}

template <bool logarithm>
NACRE_INLINE RowStats row(const float* x, float* y, i64 N) {
  if (N <= kLanes) return short_row<1, logarithm>(x, y, N);
  if (N <= 2 * kLanes) return short_row<2, logarithm>(x, y, N);
  if (N <= 3 * kLanes) return short_row<3, logarithm>(x, y, N);
  if (N <= 4 * kLanes) return short_row<4, logarithm>(x, y, N);
  const float top = row_max(x, N);
  const float sum = exp_shifted<!logarithm>(x, top, y, N);
  if (logarithm) {
    const Vec high = set1(top), shift = set1(log_of(sum));
    map_row(y, N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      return (n == kLanes ? load(x + i) : load(x + i, n)) - high - shift;
    });
  } else {
    const Vec factor = set1(1.0f / sum);
    map_row(y, N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      return (n == kLanes ? load(y + i) : load(y + i, n)) * factor;
    });
  }
  return {top, sum};
}

// kLanes rows of N <= kTiny: lane l of v[n] is x[l, n].
template <int N, bool logarithm>
NACRE_INLINE void tiny_rows_of(const float* x, float* y, Vec* tops, Vec* sums) {
  const VecI at = lane_index() * set1i(N);
  Vec v[N];
  NACRE_UNROLL
  for (int n = 0; n < N; ++n) v[n] = load_at(x + n, at);
  Vec top = v[0];
  NACRE_UNROLL
  for (int n = 1; n < N; ++n) top = max(top, v[n]);
  Vec e[N];
  NACRE_UNROLL
  for (int n = 0; n < N; ++n) e[n] = exp_down(v[n] - top);
  Vec sum = e[0];
  NACRE_UNROLL
  for (int n = 1; n < N; ++n) sum += e[n];
  float out[N * kLanes];
  const Vec factor = set1(1.0f) / sum, shift = logarithm ? log(sum) : zero();
  NACRE_UNROLL
  for (int n = 0; n < N; ++n) store(out + n * kLanes, logarithm ? v[n] - top - shift : e[n] * factor);
  for (int l = 0; l < kLanes; ++l)
    for (int n = 0; n < N; ++n) y[l * N + n] = out[n * kLanes + l];
  *tops = top;
  *sums = sum;
}

template <bool logarithm>
NACRE_INLINE void tiny_rows(const float* x, float* y, i64 N, Vec* tops, Vec* sums) {
  switch (N) {
    case 1: return tiny_rows_of<1, logarithm>(x, y, tops, sums);
    case 2: return tiny_rows_of<2, logarithm>(x, y, tops, sums);
    case 3: return tiny_rows_of<3, logarithm>(x, y, tops, sums);
    default: return tiny_rows_of<4, logarithm>(x, y, tops, sums);
  }
}

// Rows [begin, end); `done(m, stats)` after each. Groups of kLanes rows start at multiples of kLanes within a unit, so the
// way a row is computed depends on the shape only.
template <bool logarithm, class F>
NACRE_INLINE void all_rows(i64 N, i64 M, Slice units, const float* x, float* y, F done) {
  const i64 per = rows_per_unit(N);
  const i64 begin = units.begin * per, end = min_of(units.end * per, M);
  i64 m = begin;
  if (N <= kTiny) {
    for (; m < end; m += kLanes) {
      Vec tops, sums;
      float top[kLanes], sum[kLanes];
      const i64 n = min_of(kLanes, end - m);
      if (n == kLanes) {
        tiny_rows<logarithm>(x + m * N, y + m * N, N, &tops, &sums);
      } else {
        float in[kTiny * kLanes] = {}, out[kTiny * kLanes];
        for (i64 i = 0; i < n * N; ++i) in[i] = x[m * N + i];
        tiny_rows<logarithm>(in, out, N, &tops, &sums);
        for (i64 i = 0; i < n * N; ++i) y[m * N + i] = out[i];
      }
      store(top, tops);
      store(sum, sums);
      for (i64 l = 0; l < n; ++l) done(m + l, RowStats{top[l], sum[l]});
    }
    return;
  }
  for (; m < end; ++m) done(m, row<logarithm>(x + m * N, y + m * N, N));
}

// sum of a*b (or of b alone) over n, in float64 across blocks.
template <bool product>
NACRE_INLINE float dot(const float* a, const float* b, i64 n) {
  double total = 0;
  for (i64 from = 0; from < n; from += kBlock) {
    const i64 end = min_of(n, from + kBlock);
    Vec p = zero(), q = zero();
    i64 i = from;
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
      p = product ? fma(load(a + i), load(b + i), p) : p + load(b + i);
      q = product ? fma(load(a + i + kLanes), load(b + i + kLanes), q) : q + load(b + i + kLanes);
    }
    for (; i < end; i += kLanes) {
      const i64 left = end - i;
      p = product ? fma(load(a + i, left), load(b + i, left), p) : p + load(b + i, left);
    }
    total += static_cast<double>(reduce_add(p + q));
  }
  return static_cast<float>(total);
}

NACRE_INLINE Vec load_n(const float* p, i64 n) { return n == kLanes ? load(p) : load(p, n); }

Facts rows_facts(const RowsShape& s, int operands) {
  Facts f;
  if (s.M < 0 || s.N < 0) f.error = "M and N must not be negative";
  else if (!product_fits(s.M, s.N)) f.error = "the number of elements overflows";
  if (f.error) return f;
  for (int i = 0; i < operands; ++i) f.extent[i] = Count(s.M) * Count(s.N);
  if (s.N > 0) f.units = ceil_div(s.M, rows_per_unit(s.N));
  f.flops = 5.0 * static_cast<double>(s.M) * static_cast<double>(s.N);
  return f;
}

}  // namespace

Facts softmax_facts(const RowsShape& s) { return rows_facts(s, 2); }
Facts softmax_grad_x_facts(const RowsShape& s) { return rows_facts(s, 3); }
Facts log_softmax_facts(const RowsShape& s) { return rows_facts(s, 2); }
Facts log_softmax_grad_x_facts(const RowsShape& s) { return rows_facts(s, 3); }

void softmax(const RowsShape& s, Slice units, const float* x, float* y) {
  all_rows<false>(s.N, s.M, units, x, y, [](i64, RowStats) __attribute__((always_inline)) {});
}

void log_softmax(const RowsShape& s, Slice units, const float* x, float* y) {
  all_rows<true>(s.N, s.M, units, x, y, [](i64, RowStats) __attribute__((always_inline)) {});
}

void softmax_grad_x(const RowsShape& s, Slice units, const float* y, const float* dy, float* dx) {
  const i64 per = rows_per_unit(s.N), end = min_of(units.end * per, s.M);
  for (i64 m = units.begin * per; m < end; ++m) {
    const float *y_m = y + m * s.N, *dy_m = dy + m * s.N;
    const Vec inner = set1(dot<true>(y_m, dy_m, s.N));
    map_row(dx + m * s.N, s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      return load_n(y_m + i, n) * (load_n(dy_m + i, n) - inner);
    });
  }
}

void log_softmax_grad_x(const RowsShape& s, Slice units, const float* y, const float* dy, float* dx) {
  const i64 per = rows_per_unit(s.N), end = min_of(units.end * per, s.M);
  for (i64 m = units.begin * per; m < end; ++m) {
    const float *y_m = y + m * s.N, *dy_m = dy + m * s.N;
    const Vec total = set1(dot<false>(dy_m, dy_m, s.N));
    map_row(dx + m * s.N, s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      return fnma(exp(load_n(y_m + i, n)), total, load_n(dy_m + i, n));
    });
  }
}

namespace {

// The class of row m, or -1 when there is none of that number.
NACRE_INLINE i64 label_of(const XentShape& s, const void* labels, i64 m) {
  i64 label;
  switch (static_cast<DType>(s.label_dtype)) {
    case DType::f32: {
      const float v = as<float>(labels)[m];
      label = v >= 0 ? to<i64>(v) : -1;
      break;
    }
    case DType::i32: label = as<i32>(labels)[m]; break;
    case DType::i64: label = as<i64>(labels)[m]; break;
    default: label = as<u8>(labels)[m]; break;
  }
  return label >= 0 && label < s.N ? label : -1;
}

Facts xent_facts(const XentShape& s, bool gradient) {
  Facts f = rows_facts(RowsShape{s.M, s.N}, 0);
  const DType t = static_cast<DType>(s.label_dtype);
  if (!f.error && t != DType::f32 && t != DType::i32 && t != DType::i64 && t != DType::u8)
    f.error = "label_dtype must be float32, int32, int64 or uint8";
  if (!f.error && s.N < 1) f.error = "N must be positive";
  if (f.error) return f;
  f.extent[0] = Count(s.M) * Count(s.N);
  f.extent[1] = Count(s.M) * Count(size_of(t));
  f.extent[2] = Count(s.M);
  f.extent[3] = f.extent[0];
  if (gradient) f.flops = 2.0 * static_cast<double>(s.M) * static_cast<double>(s.N);
  return f;
}

}  // namespace

Facts softmax_xent_facts(const XentShape& s) { return xent_facts(s, false); }
Facts softmax_xent_grad_facts(const XentShape& s) { return xent_facts(s, true); }

void softmax_xent(const XentShape& s, Slice units, const float* logits, const void* labels, float* loss, float* probs) {
  // First the logit of the label, since probs may overwrite it; then the rows.
  const i64 per = rows_per_unit(s.N), begin = units.begin * per, end = min_of(units.end * per, s.M);
  for (i64 m = begin; m < end; ++m) {
    const i64 label = label_of(s, labels, m);
    loss[m] = label >= 0 ? logits[m * s.N + label] : kNaN;
  }
  all_rows<false>(s.N, s.M, units, logits, probs, [&](i64 m, RowStats r) __attribute__((always_inline)) {
    loss[m] = log_of(r.sum) - (loss[m] - r.top);
  });
}

void softmax_xent_grad(const XentShape& s, Slice units, const float* probs, const void* labels, const float* dloss,
                       float* dlogits) {
  const i64 per = rows_per_unit(s.N), end = min_of(units.end * per, s.M);
  for (i64 m = units.begin * per; m < end; ++m) {
    const i64 label = label_of(s, labels, m);
    const float *p_m = probs + m * s.N;
    float* d_m = dlogits + m * s.N;
    if (label < 0) {
      for (i64 n = 0; n < s.N; ++n) d_m[n] = 0;
      continue;
    }
    const float hit = (p_m[label] - 1.0f) * dloss[m];
    const Vec factor = set1(dloss[m]);
    map_row(d_m, s.N, [&](i64 i, i64 n) __attribute__((always_inline)) { return load_n(p_m + i, n) * factor; });
    d_m[label] = hit;
  }
}

}  // namespace NACRE_ISA
}  // namespace nacre
