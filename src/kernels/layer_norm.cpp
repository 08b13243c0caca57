// layer_norm and its gradients: a row is read, then read again from cache.
#include "kernels/norm.h"
#include "kernels/norm_rows.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kBlock = 64 * kLanes;  // elements summed in float32 before the sum goes into float64

i64 rows_per_unit(i64 N) { return max_of(1, 8192 / max_of(N, 1)); }

// Sum of term(first, how many) over n elements; the lanes beyond the count must be zero.
template <class Term>
NACRE_INLINE double sum_of(i64 N, Term term) {
  double total = 0;
  for (i64 from = 0; from < N; from += kBlock) {
    const i64 end = min_of(N, from + kBlock);
    Vec a = zero(), b = zero();
    i64 i = from;
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
      a += term(i, kLanes);
      b += term(i + kLanes, kLanes);
    }
    for (; i < end; i += kLanes) a += term(i, min_of(kLanes, end - i));
    total += static_cast<double>(reduce_add(a + b));
  }
  return total;
}

Facts rows_facts(const LayerNormShape& s) {
  Facts f;
  if (s.M < 0 || s.N < 0) f.error = "sizes must not be negative";
  else if (!product_fits(s.M, s.N)) f.error = "the number of elements overflows";
  else if (!(s.eps >= 0)) f.error = "eps must not be negative";
  else if ((s.rms | s.has_gamma | s.has_beta) < 0 || (s.rms | s.has_gamma | s.has_beta) > 1) f.error = "flags must be 0 or 1";
  if (f.error) return f;
  f.units = ceil_div(s.M, rows_per_unit(s.N));
  f.flops = 8.0 * static_cast<double>(s.M) * static_cast<double>(s.N);
  return f;
}

}  // namespace

Facts layer_norm_facts(const LayerNormShape& s) {
  Facts f = rows_facts(s);
  if (f.error) return f;
  f.extent[0] = Count(s.M) * Count(s.N);
  f.extent[1] = s.has_gamma ? Count(s.N) : Count(0);
  f.extent[2] = s.has_beta ? Count(s.N) : Count(0);
  f.extent[3] = f.extent[0];
  f.extent[4] = Count(s.M);
  f.extent[5] = Count(s.M);
  return f;
}

void layer_norm(const LayerNormShape& s, Slice units, const float* x, const float* gamma, const float* beta, float* y,
                float* mean, float* rstd) {
  const i64 per = rows_per_unit(s.N), end = min_of(units.end * per, s.M);
  const double share = s.N > 0 ? 1.0 / static_cast<double>(s.N) : 0.0;
  for (i64 m = units.begin * per; m < end; ++m) {
    const float* x_m = x + m * s.N;
    float* y_m = y + m * s.N;
    const double centre = s.rms ? 0.0 : share * sum_of(s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      return load_n(x_m + i, n);
    });
    const Vec middle = set1(static_cast<float>(centre));
    const double var = share * sum_of(s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      const Vec d = load_n(x_m + i, n) - middle;
      return n == kLanes ? d * d : select(first_lanes(n), d * d);
    });
    const float scale = static_cast<float>(1.0 / __builtin_sqrt(var + s.eps));
    mean[m] = static_cast<float>(centre);
    rstd[m] = scale;
    const Vec factor = set1(scale);
    each_strip(s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      Vec v = (load_n(x_m + i, n) - middle) * factor;
      if (s.has_gamma) v *= load_n(gamma + i, n);
      if (s.has_beta) v += load_n(beta + i, n);
      store_n(y_m + i, v, n);
    });
  }
}

Facts layer_norm_grad_x_facts(const LayerNormShape& s) {
  Facts f = rows_facts(s);
  if (f.error) return f;
  f.extent[0] = Count(s.M) * Count(s.N);
  f.extent[1] = f.extent[0];
  f.extent[2] = s.has_gamma ? Count(s.N) : Count(0);
  f.extent[3] = Count(s.M);
  f.extent[4] = Count(s.M);
  f.extent[5] = f.extent[0];
  return f;
}

void layer_norm_grad_x(const LayerNormShape& s, Slice units, const float* x, const float* dy, const float* gamma,
                       const float* mean, const float* rstd, float* dx) {
  const i64 per = rows_per_unit(s.N), end = min_of(units.end * per, s.M);
  const double share = s.N > 0 ? 1.0 / static_cast<double>(s.N) : 0.0;
  for (i64 m = units.begin * per; m < end; ++m) {
    const float *x_m = x + m * s.N, *dy_m = dy + m * s.N;
    const Vec middle = set1(mean[m]), factor = set1(rstd[m]);
    const auto g = [&](i64 i, i64 n) __attribute__((always_inline)) {
      const Vec d = load_n(dy_m + i, n);
      return s.has_gamma ? d * load_n(gamma + i, n) : d;
    };
    const auto xhat = [&](i64 i, i64 n) __attribute__((always_inline)) { return (load_n(x_m + i, n) - middle) * factor; };
    const double average = s.rms ? 0.0 : share * sum_of(s.N, g);
    const double slope = share * sum_of(s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      return g(i, n) * xhat(i, n);  // lanes beyond n: g is 0 and xhat finite, unless the whole row is not
    });
    const Vec a = set1(static_cast<float>(average)), b = set1(static_cast<float>(slope));
    each_strip(s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      store_n(dx + m * s.N + i, factor * fnma(xhat(i, n), b, g(i, n) - a), n);
    });
  }
}

Facts layer_norm_grad_params_facts(const LayerGradShape& s) {
  Facts f;
  if (s.M < 0 || s.N < 0) f.error = "sizes must not be negative";
  else if (!product_fits(s.M, s.N)) f.error = "the number of elements overflows";
  else if (s.chunk < 1) f.error = "chunk must be positive";
  if (f.error) return f;
  const RowCut c = row_cut(s.M, s.N, s.chunk);
  f.extent[0] = Count(s.M) * Count(s.N);
  f.extent[1] = f.extent[0];
  f.extent[2] = Count(s.M);
  f.extent[3] = Count(s.M);
  f.extent[4] = Count(c.chunks) * Count(s.N) * Count(2);
  f.units = c.units;
  f.scratch = kTwoSumsBytes;
  f.flops = 4.0 * static_cast<double>(s.M) * static_cast<double>(s.N);
  return f;
}

void layer_norm_grad_params(const LayerGradShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                            const float* mean, const float* rstd, float* partials) {
  const RowCut c = row_cut(s.M, s.N, s.chunk);
  const TwoSums at = two_sums_at(scratch.at);
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 k = u / c.tiles, column = u % c.tiles * c.tile, width = min_of(c.tile, s.N - column);
    const Run rows = run_of(k, s.chunk, s.M);
    two_sums(at, rows.end - rows.begin, width, [&](i64 from, i64 c, i64 n) __attribute__((always_inline)) {
      return [=](i64 r, Vec& p, Vec& q) __attribute__((always_inline)) {
        const i64 m = rows.begin + from + r, e = m * s.N + column + c;
        const Vec d = load_n(dy + e, n);
        p += d;
        q = fma(d, (load_n(x + e, n) - set1(mean[m])) * set1(rstd[m]), q);
      };
    });
    float* out = partials + k * 2 * s.N + column;
    for (i64 i = 0; i < width; ++i) {
      out[i] = static_cast<float>(at.p_total[i]);
      out[s.N + i] = static_cast<float>(at.q_total[i]);
    }
  }
}

}  // namespace NACRE_ISA
}  // namespace nacre
