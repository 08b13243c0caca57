// layer_norm and its gradients: a row is read, then read again from cache.
#include "kernels/norm.h"
#include "kernels/norm_rows.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kBlock = 64 * kLanes;     // elements summed in float32 before the sum goes into float64
constexpr i64 kShort = 8 * kLanes;      // rows whose two sums are folded kLanes at a time: longer ones would wait
constexpr i64 kTogether = 12 * kLanes;  // rows that go as groups (row_groups.h)
constexpr i64 kTwoTogether = kLanes < 16 ? 8 * kLanes : 4 * kLanes;  // with their two sums, in gradients
constexpr i64 kGroup = 4096;        // numbers of longer rows that take steps together, in gradients half as many
constexpr i64 kGroupBeyond = 1024;  // the same of more than kHeld, of which reads and writes take turns sooner
constexpr i64 kHeld = i64{2} << 20;

i64 rows_per_unit(i64 N) { return max_of(1, 8192 / max_of(N, 1)); }

// f(first row, how many) for some rows, as many as stay in L1 with what is made of them, and at most kLanes: each step is
// taken for all of them before the next, so that no row waits for its own sum.
template <class F>
NACRE_INLINE void each_group(Run rows, i64 most, F f) {
  for (i64 m = rows.begin; m < rows.end; m += most) f(m, min_of(most, rows.end - m));
}

// p and q [kLanes] = 1/N times the sums over N elements of each row of what of(row) -> add(first, how many, p, q) adds; the
// lanes beyond the count must add zero. Without `two` q is not wanted.
template <bool two, class Of>
NACRE_INLINE void means_of(i64 rows, i64 N, float* p, float* q, Of of) {
  const double share = N > 0 ? 1.0 / static_cast<double>(N) : 0.0;
  const bool folded = N <= (two ? kShort : kBlock);
  Vec p_row[kLanes], q_row[kLanes];
  for (i64 r = N > 0 ? rows : 0; folded && r < kLanes; ++r) p_row[r] = q_row[r] = zero();
  for (i64 r = 0; r < rows; ++r) {
    const auto add = of(r);
    double p_total = 0, q_total = 0;
    for (i64 from = 0; from < N; from += kBlock) {
      const i64 end = min_of(N, from + kBlock);
      Vec a[4] = {zero(), zero(), zero(), zero()}, b[4] = {zero(), zero(), zero(), zero()};
      constexpr int n = two && kLanes >= 16 ? 2 : 4;  // chains of rows side by side hide each other
      i64 i = from;
      for (; i + n * kLanes <= end; i += n * kLanes) {
        NACRE_UNROLL for (int k = 0; k < n; ++k) add(i + k * kLanes, kLanes, a[k], b[k]);
      }
      for (; i + kLanes <= end; i += kLanes) add(i, kLanes, a[0], b[0]);
      if (i < end) add(i, end - i, a[1], b[1]);
      const Vec p_part = (a[0] + a[1]) + (a[2] + a[3]), q_part = (b[0] + b[1]) + (b[2] + b[3]);
      if (folded) {
        p_row[r] = p_part, q_row[r] = q_part;
      } else {
        p_total += static_cast<double>(reduce_add(p_part));
        if (two) q_total += static_cast<double>(reduce_add(q_part));
      }
    }
    if (folded) continue;
    p[r] = static_cast<float>(share * p_total);
    if (two) q[r] = static_cast<float>(share * q_total);
  }
  if (!folded) return;
  const auto plus = [](Vec a, Vec b) __attribute__((always_inline)) { return a + b; };
  store(p, fold_rows(p_row, plus) * set1(static_cast<float>(share)));
  if (two) store(q, fold_rows(q_row, plus) * set1(static_cast<float>(share)));
}

// y[i] = f(i, how many) for whole vectors and the rest of n elements.
template <class F>
NACRE_INLINE void map_row(float* y, i64 N, F f) {
  i64 i = 0;
  for (; kLanes < 16 && i + 4 * kLanes <= N; i += 4 * kLanes) {
    NACRE_UNROLL for (int k = 0; k < 4; ++k) store(y + i + k * kLanes, f(i + k * kLanes, kLanes));
  }
  for (; i + kLanes <= N; i += kLanes) store(y + i, f(i, kLanes));
  if (i < N) store(y + i, f(i, N - i), N - i);
}

// gamma or beta of rows of at most kTogether numbers (what stands for it where there is none), repeated for vectors that begin
// in one row and end in another.
struct Repeated {
  float at[kTogether + kLanes];
  NACRE_INLINE_MEMBER Repeated(const float* given, i64 N, float absent) {
    for (i64 i = 0; i < N; ++i) at[i] = given ? given[i] : absent;
    for (i64 i = N; i < N + kLanes; ++i) at[i] = at[i - N];
  }
};

// y = (x - middle) * factor * scale + shift for some rows of N numbers.
struct Group {
  const float *x, *middle, *factor, *scale, *shift;  // scale, shift: null where absent
  float* y;
  i64 rows, N;
};
// `strips` vectors of columns from c on, the last of n numbers; what they need stays in registers.
template <int strips>
NACRE_INLINE void map_strips(const Group& g, i64 c, i64 n) {
  Vec scale[strips], shift[strips];
  const auto lanes = [=](int k) __attribute__((always_inline)) { return k + 1 < strips ? kLanes : n; };
  NACRE_UNROLL for (int k = 0; k < strips; ++k) {
    scale[k] = g.scale ? load_n(g.scale + c + k * kLanes, lanes(k)) : set1(1.0f);
    shift[k] = g.shift ? load_n(g.shift + c + k * kLanes, lanes(k)) : set1(-0.0f);
  }
  const float* x = g.x + c;
  float* y = g.y + c;
  NACRE_ROLLED for (i64 r = 0; r < g.rows; ++r, x += g.N, y += g.N) {
    const Vec middle = set1(g.middle[r]), factor = set1(g.factor[r]);
    NACRE_UNROLL for (int k = 0; k < strips; ++k) {
      const Vec v = (load_n(x + k * kLanes, lanes(k)) - middle) * factor;
      store_n(y + k * kLanes, fma(v, scale[k], shift[k]), lanes(k));
    }
  }
}
NACRE_INLINE void map_rows(const Group& g) {
  i64 c = 0;
  for (; c + 4 * kLanes <= g.N; c += 4 * kLanes) map_strips<4>(g, c, kLanes);
  if (c + 2 * kLanes <= g.N) map_strips<2>(g, c, kLanes), c += 2 * kLanes;
  for (; c < g.N; c += kLanes) map_strips<1>(g, c, min_of(kLanes, g.N - c));
}
// Whether rows go so: what lies in memory is read best in the order in which it lies.
NACRE_ALWAYS bool in_strips(i64 M, i64 N) {
  return M * N <= kHeld && (kLanes == 8 || (kLanes == 16 && N <= kTogether));
}

void short_rows(const LayerNormShape& s, Run all, const float* x, const float* gamma, const float* beta, float* y,
                float* mean, float* rstd) {
  const i64 N = s.N;
  const RowOf r(N);
  const Repeated scale(gamma, N, 1.0f), shift(beta, N, -0.0f);
  const Vec share = set1(1.0f / static_cast<float>(N)), eps = set1(static_cast<float>(s.eps));
  const bool strips = !r.flat && in_strips(s.M, N);
  float middle[kLanes], factor[kLanes];
  in_groups(
      all.begin, all.end,
      [&](i64 m, i64 rows) __attribute__((always_inline)) {
        Vec sum[1] = {zero()};
        if (s.rms == 0) {
          fold_group(
              rows, N, zero(), Add(),
              [x_m = x + m * N, N](i64 l, i64 i, i64 n, Vec(&p)[1])
                  __attribute__((always_inline)) { p[0] += load_n(x_m + l * N + i, n); },
              sum);
        }
        return sum[0] * share;
      },
      [&](i64 m, i64 rows, Vec middles) __attribute__((always_inline)) {
        Vec sum[1];
        store(middle, middles);
        fold_group(
            rows, N, zero(), Add(),
            [&middle, x_m = x + m * N, N](i64 l, i64 i, i64 n, Vec(&p)[1]) __attribute__((always_inline)) {
              const Vec d = load_n(x_m + l * N + i, n) - set1(middle[l]);
              p[0] = fma(d, d, p[0]);
            },
            sum);
        const Vec factors = set1(1.0f) / sqrt(sum[0] * share + eps);
        store(factor, factors);
        store(mean + m, middles, rows);
        store(rstd + m, factors, rows);
      },
      [&](i64 m, i64 rows) __attribute__((always_inline)) {
        if (strips) return map_rows({x + m * N, middle, factor, gamma, beta, y + m * N, rows, N});
        along_group(
            r, rows, [x_m = x + m * N](i64 i, i64, i64 n) __attribute__((always_inline)) { return load_n(x_m + i, n); },
            [&, to = y + m * N](i64 i, i64 c, i64 n, Vec v, auto of) __attribute__((always_inline)) {
              store_n(to + i, fma((v - of(middle)) * of(factor), load(scale.at + c), load(shift.at + c)), n);
            });
      });
}

void short_grad_rows(const LayerNormShape& s, Run all, const float* x, const float* dy, const float* gamma,
                     const float* mean, const float* rstd, float* dx) {
  const i64 N = s.N;
  const RowOf r(N);
  const Repeated scale(s.has_gamma ? gamma : nullptr, N, 1.0f);
  const Vec share = set1(1.0f / static_cast<float>(N));
  float middle[kLanes], factor[kLanes], average[kLanes], slope[kLanes];
  for (i64 m = all.begin; m < all.end; m += kLanes) {
    const i64 rows = min_of(kLanes, all.end - m);
    const float *x_m = x + m * N, *dy_m = dy + m * N;
    Vec sum[2];
    store(middle, load(mean + m, rows));
    store(factor, load(rstd + m, rows));
    fold_group(
        rows, N, zero(), Add(),
        [&](i64 l, i64 i, i64 n, Vec(&p)[2]) __attribute__((always_inline)) {
          const Vec d = load_n(dy_m + l * N + i, n) * load(scale.at + i);
          p[0] += d;
          p[1] = fma(d, (load_n(x_m + l * N + i, n) - set1(middle[l])) * set1(factor[l]), p[1]);
        },
        sum);
    store(average, s.rms ? zero() : sum[0] * share);
    store(slope, sum[1] * share);
    along_group(
        r, rows,
        [=, &scale](i64 i, i64 c, i64 n) __attribute__((always_inline)) {
          return Two{load_n(x_m + i, n), load_n(dy_m + i, n) * load(scale.at + c)};
        },
        [&, to = dx + m * N](i64 i, i64, i64 n, Two v, auto of) __attribute__((always_inline)) {
          const Vec f = of(factor);
          store_n(to + i, f * fnma((v.a - of(middle)) * f, of(slope), v.b - of(average)), n);
        });
  }
}

Facts rows_facts(const LayerNormShape& s) {
  Facts f;
  if (s.M < 0 || s.N < 0) f.error = "sizes must not be negative";
  else if (!product_fits(s.M, s.N)) f.error = "the number of elements overflows";
  else if (!(s.eps >= 0)) f.error = "eps must not be negative";
  else if ((s.rms | s.has_gamma | s.has_beta) < 0 || (s.rms | s.has_gamma | s.has_beta) > 1)
    f.error = "flags must be 0 or 1";
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
  const i64 per = rows_per_unit(s.N), N = s.N;
  const Vec eps = set1(static_cast<float>(s.eps));
  const bool centred = s.rms == 0, strips = in_strips(s.M, N);
  gamma = s.has_gamma ? gamma : nullptr, beta = s.has_beta ? beta : nullptr;
  const Run all{units.begin * per, min_of(units.end * per, s.M)};
  if (N > 0 && N <= kTogether) return short_rows(s, all, x, gamma, beta, y, mean, rstd);
  // AVX-512: from memory longer runs are fetched better.
  const bool turns = kLanes < 16 && s.M * N > kHeld;
  const i64 group = turns ? kGroupBeyond : kLanes == 16 && s.M * N > kFar ? 2 * kGroup : kGroup;
  const i64 least = kLanes < 16 && !turns ? 2 : 1;
  const i64 together = min_of(min_of(per, kLanes), max_of(group / max_of(N, 1), least));
  each_group(all, together, [=](i64 m, i64 rows) __attribute__((always_inline)) {
    float middles[kLanes] = {}, factors[kLanes];
    const float* x_m = x + m * N;
    if (centred) {
      means_of<false>(rows, N, middles, nullptr, [=](i64 r) __attribute__((always_inline)) {
        return [from = x_m + r * N](i64 i, i64 n, Vec& p, Vec&)
                   __attribute__((always_inline)) { p += load_n(from + i, n); };
      });
    }
    means_of<false>(rows, N, factors, nullptr, [&](i64 r) __attribute__((always_inline)) {
      return [from = x_m + r * N, middle = set1(middles[r])](i64 i, i64 n, Vec& p, Vec&)
                 __attribute__((always_inline)) {
                   const Vec d = load_n(from + i, n) - middle;
                   p = n == kLanes ? fma(d, d, p) : p + select(first_lanes(n), d * d);
                 };
    });
    store(factors, set1(1.0f) / sqrt(load(factors) + eps));
    for (i64 r = 0; r < rows; ++r) mean[m + r] = middles[r], rstd[m + r] = factors[r];
    if (strips) return map_rows({x_m, middles, factors, gamma, beta, y + m * N, rows, N});
    for (i64 r = 0; r < rows; ++r) {
      const Vec middle = set1(middles[r]), factor = set1(factors[r]);
      const float* from = x_m + r * N;
      map_row(y + (m + r) * N, N, [=](i64 i, i64 n) __attribute__((always_inline)) {
        const Vec v = (load_n(from + i, n) - middle) * factor;
        const Vec scale = gamma ? load_n(gamma + i, n) : set1(1.0f);
        return beta ? fma(v, scale, load_n(beta + i, n)) : v * scale;
      });
    }
  });
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
  const i64 per = rows_per_unit(s.N), N = s.N;
  const bool centred = s.rms == 0, scaled = s.has_gamma != 0;
  const i64 group = s.M * N <= kHeld ? kGroup : kGroupBeyond;
  const i64 together = N > kShort ? max_of(min_of(group / 2 / N, min_of(kLanes, 8)), 1) : kLanes;
  const Run all{units.begin * per, min_of(units.end * per, s.M)};
  if (N > 0 && N <= kTwoTogether) return short_grad_rows(s, all, x, dy, gamma, mean, rstd, dx);
  each_group(all, together, [=](i64 m, i64 rows) __attribute__((always_inline)) {
    const auto g = [=](const float* dy_r, i64 i, i64 n) __attribute__((always_inline)) {
      const Vec d = load_n(dy_r + i, n);
      return scaled ? d * load_n(gamma + i, n) : d;
    };
    float average[kLanes], slope[kLanes];
    means_of<true>(rows, N, average, slope, [=](i64 r) __attribute__((always_inline)) {
      const float *x_r = x + (m + r) * N, *dy_r = dy + (m + r) * N;
      const Vec middle = set1(mean[m + r]), factor = set1(rstd[m + r]);
      return [=](i64 i, i64 n, Vec& p, Vec& q) __attribute__((always_inline)) {
        const Vec d = g(dy_r, i, n);
        p += d;
        // Beyond n d is 0 and x finite, unless the row is not.
        q = fma(d, (load_n(x_r + i, n) - middle) * factor, q);
      };
    });
    for (i64 r = 0; r < rows; ++r) {
      const Vec middle = set1(mean[m + r]), factor = set1(rstd[m + r]), b = set1(slope[r]);
      const Vec a = set1(centred ? average[r] : 0.0f);
      const float *x_r = x + (m + r) * N, *dy_r = dy + (m + r) * N;
      map_row(dx + (m + r) * N, N, [=](i64 i, i64 n) __attribute__((always_inline)) {
        return factor * fnma((load_n(x_r + i, n) - middle) * factor, b, g(dy_r, i, n) - a);
      });
    }
  });
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
    two_sums(
        at, rows.end - rows.begin, width, s.M, s.N,
        [&](i64 from, i64 c, i64 n) __attribute__((always_inline)) {
          return [=](i64 r, Vec& p, Vec& q) __attribute__((always_inline)) {
            const i64 m = rows.begin + from + r, e = m * s.N + column + c;
            const Vec d = load_n(dy + e, n);
            p += d;
            q = fma(d, (load_n(x + e, n) - set1(mean[m])) * set1(rstd[m]), q);
          };
        },
        [=](i64 r, i64 c) __attribute__((always_inline)) {
          const i64 e = (rows.begin + r) * s.N + column + c;
          prefetch(x + e);
          prefetch(dy + e);
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
