#include "kernels/norm.h"

#include "kernels/norm_rows.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnit = 16384;  // elements of a unit that maps
constexpr i64 kJoinTile = 64;

i64 rows_per_unit(i64 C) { return max_of(1, kUnit / max_of(C, 1)); }

const char* cannot(i64 R, i64 C) {
  if (R < 0 || C < 0) return "sizes must not be negative";
  return product_fits(R, C) ? nullptr : "the number of elements overflows";
}

NACRE_ALWAYS float rstd_of(float var, float eps) { return 1.0f / __builtin_sqrtf(var + eps); }

// ---- statistics: mean and sum of squared deviations, per column ----

struct Moments {
  double *mean, *m2;               // of the rows so far
  float *middle, *rest, *squares;  // of one block: a number near its mean, and sums of the deviations and their squares
};
constexpr i64 kMomentsBytes = kMostColumns * 28;  // a multiple of every vector's lanes
Moments moments_at(char* scratch) {
  double* d = reinterpret_cast<double*>(scratch);
  float* f = reinterpret_cast<float*>(d + 2 * kMostColumns);
  return {d, d + kMostColumns, f, f + kMostColumns, f + 2 * kMostColumns};
}

// Joins a group of n rows into one of `before` rows.
NACRE_ALWAYS void join(double* mean, double* m2, i64 before, i64 n, double mean_n, double m2_n) {
  const double all = static_cast<double>(before + n), delta = mean_n - *mean;
  *mean += delta * (static_cast<double>(n) / all);
  *m2 += m2_n + delta * delta * (static_cast<double>(before) * (static_cast<double>(n) / all));
}

// Deviations from at.middle. The arrays of `at` hold whole vectors, so that the lanes beyond the last column do no harm.
void sum_deviations(const Moments& at, const float* x, i64 rows, i64 C, i64 width, bool far) {
  sum_columns(
      rows, width, far, true, at.rest, at.squares,
      [&](i64 c, i64 n) __attribute__((always_inline)) {
        return [=, middle = load(at.middle + c)](i64 r, Vec& p, Vec& q) __attribute__((always_inline)) {
          const Vec d = load_n(x + r * C + c, n) - middle;
          p += d;
          q = fma(d, d, q);
        };
      },
      [=](i64 r, i64 c) __attribute__((always_inline)) { prefetch(x + r * C + c); });
}

// Blocks of rows, read once: deviations are from the mean so far, rounded to float32. What the mean of a block is off from
// that is part of the variance that is asked for, so taking its square off loses no more than some last places, wherever
// the numbers lie, while no block is much longer than all before, or than the rows that are read first for their mean.
void moments(const Moments& at, const float* x, i64 rows, i64 C, i64 width, bool far) {
  const i64 first = min_of(rows, 64), seen = min_of(rows, 16);
  for (i64 c = 0; c < kMostColumns; ++c) at.middle[c] = 0.0f;
  sum_deviations(at, x, seen, C, width, far);
  const float part = 1.0f / static_cast<float>(max_of(seen, 1));
  NACRE_INDEPENDENT
  for (i64 c = 0; c < width; ++c) {
    at.middle[c] = at.rest[c] * part;
    at.mean[c] = at.m2[c] = 0;
  }
  for (i64 from = 0, n = 0; from < rows; from += n) {
    n = min_of(from > 0 ? min_of(2 * from, kSumRows) : first, rows - from);
    if (from > 0) {
      NACRE_INDEPENDENT
      for (i64 c = 0; c < width; ++c) at.middle[c] = static_cast<float>(at.mean[c]);
    }
    sum_deviations(at, x + from * C, n, C, width, far);
    const double share = 1.0 / static_cast<double>(n), all = static_cast<double>(from + n);
    const double weight = static_cast<double>(n) / all, both = static_cast<double>(from) * weight;
    double *mean = at.mean, *m2 = at.m2;
    const float *middle = at.middle, *rest = at.rest, *squares = at.squares;
    NACRE_INDEPENDENT
    for (i64 c = 0; c < width; ++c) {
      const double left = static_cast<double>(rest[c]), off = left * share, so_far = mean[c];
      const double delta = static_cast<double>(middle[c]) + off - so_far;
      const double inside = static_cast<double>(squares[c]) - left * off;
      mean[c] = so_far + delta * weight;
      m2[c] += (inside < 0 ? 0 : inside) + delta * delta * both;
    }
  }
}

// Strips take turns beyond L2, and where few sets of L1 hold the rows that one goes down.
bool is_far(const BatchStatsShape& s) { return s.C % 1024 == 0 || s.R * s.C > kNear; }

}  // namespace

Facts batch_norm_partials_facts(const BatchStatsShape& s) {
  Facts f;
  f.error = cannot(s.R, s.C);
  if (!f.error && s.chunk < 1) f.error = "chunk must be positive";
  if (f.error) return f;
  const RowCut c = row_cut(s.R, s.C, s.chunk);
  f.extent[0] = Count(s.R) * Count(s.C);
  f.extent[1] = Count(c.chunks) * Count(s.C) * Count(2);
  f.units = c.units;
  f.scratch = kMomentsBytes;
  f.flops = 4.0 * static_cast<double>(s.R) * static_cast<double>(s.C);
  return f;
}

void batch_norm_partials(const BatchStatsShape& s, Slice units, Scratch scratch, const float* x, float* partials) {
  const RowCut c = row_cut(s.R, s.C, s.chunk);
  const Moments at = moments_at(scratch.at);
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 k = u / c.tiles, column = u % c.tiles * c.tile, width = min_of(c.tile, s.C - column);
    const Run rows = run_of(k, s.chunk, s.R);
    moments(at, x + rows.begin * s.C + column, rows.end - rows.begin, s.C, width, is_far(s));
    float* out = partials + k * 2 * s.C + column;
    for (i64 i = 0; i < width; ++i) {
      out[i] = static_cast<float>(at.mean[i]);
      out[s.C + i] = static_cast<float>(at.m2[i]);
    }
  }
}

Facts batch_norm_join_facts(const BatchStatsShape& s) {
  Facts f = batch_norm_partials_facts(s);
  if (f.error) return f;
  f.extent[0] = f.extent[1];
  f.extent[1] = Count(s.C);
  f.extent[2] = Count(s.C);
  f.units = ceil_div(s.C, kJoinTile);
  f.scratch = kJoinTile * 16;
  return f;
}

void batch_norm_join(const BatchStatsShape& s, Slice tiles, Scratch scratch, const float* partials, float* mean,
                     float* var) {
  double *m = reinterpret_cast<double*>(scratch.at), *m2 = m + kJoinTile;
  const i64 chunks = max_of(1, ceil_div(s.R, s.chunk));
  for (i64 u = tiles.begin; u < tiles.end; ++u) {
    const Run run = run_of(u, kJoinTile, s.C);
    for (i64 c = 0; c < kJoinTile; ++c) m[c] = m2[c] = 0;
    for (i64 k = 0; k < chunks; ++k) {
      const i64 before = k * s.chunk, n = min_of(s.chunk, s.R - before);
      const float* p = partials + k * 2 * s.C;
      for (i64 c = run.begin; c < run.end; ++c)
        join(&m[c - run.begin], &m2[c - run.begin], before, n, static_cast<double>(p[c]),
             static_cast<double>(p[s.C + c]));
    }
    for (i64 c = run.begin; c < run.end; ++c) {
      mean[c] = s.R > 0 ? static_cast<float>(m[c - run.begin]) : __builtin_nanf("");
      var[c] = static_cast<float>(m2[c - run.begin] / static_cast<double>(s.R));
    }
  }
}

Facts batch_norm_stats_facts(const BatchStatsShape& s) {
  BatchStatsShape whole = s;
  whole.chunk = max_of(s.R, 1);
  Facts f = batch_norm_partials_facts(whole);
  if (f.error) return f;
  f.extent[1] = Count(s.C);
  f.extent[2] = Count(s.C);
  return f;
}

void batch_norm_stats(const BatchStatsShape& s, Slice tiles, Scratch scratch, const float* x, float* mean, float* var) {
  const RowCut c = row_cut(s.R, s.C, max_of(s.R, 1));
  const Moments at = moments_at(scratch.at);
  for (i64 u = tiles.begin; u < tiles.end; ++u) {
    const Run run = run_of(u, c.tile, s.C);
    moments(at, x + run.begin, s.R, s.C, run.end - run.begin, is_far(s));
    for (i64 i = run.begin; i < run.end; ++i) {
      mean[i] = s.R > 0 ? static_cast<float>(at.mean[i - run.begin]) : __builtin_nanf("");
      var[i] = static_cast<float>(at.m2[i - run.begin] / static_cast<double>(s.R));
    }
  }
}

// ---- batch normalization ----

namespace {

bool is_flag(i64 v) { return v == 0 || v == 1; }

struct Yes {
  constexpr operator bool() const { return true; }
};
struct No {
  constexpr operator bool() const { return false; }
};

const char* cannot(i64 R, i64 C, i64 act, i64 has_gamma, i64 has_beta, double eps) {
  if (const char* why = cannot(R, C)) return why;
  if (!(eps >= 0)) return "eps must not be negative";
  if (act < 0 || act > 2) return "act must be 0, 1 or 2";
  return is_flag(has_gamma) && is_flag(has_beta) ? nullptr : "flags must be 0 or 1";
}

// scale[c] = gamma[c] / sqrt(var[c] + eps), shift[c] = beta[c]; gamma and beta may be null.
void factors(i64 C, const float* var, double eps, const float* gamma, const float* beta, float* scale, float* shift) {
  NACRE_INDEPENDENT
  for (i64 c = 0; c < C; ++c) scale[c] = rstd_of(var[c], static_cast<float>(eps));
  NACRE_INDEPENDENT
  for (i64 c = 0; c < C; ++c) scale[c] *= gamma ? gamma[c] : 1.0f;
  for (i64 c = 0; c < C; ++c) shift[c] = beta ? beta[c] : 0.0f;
}

// What goes through an activation: the finished sum within [low, high]. For ReLU low is the least normal number; those
// below it are 0 where programs run.
struct Open {
  Vec low, high;
  NACRE_INLINE_MEMBER explicit Open(i64 act)
      : low(set1(act == 1 ? 1.17549435e-38f : 0.0f)), high(set1(act == 2 ? 6.0f : __builtin_inff())) {}
};
// A load of d must not wait for the mask.
NACRE_INLINE Vec through(Vec y, Vec low, Vec high, Vec d) { return select(ge(y, low) & le(y, high), in_register(d)); }

// What maps needs of each column, as often as rows count as one.
struct Constants {
  i64 rows;
  float *middle, *scale, *shift, *average, *slope;
};
i64 constants_floats(const BatchApplyShape& s) { return ceil_div(rows_in_one(s.R, s.C) * s.C, kLanes) * kLanes; }

// `sums` are those of a gradient, or null; parameters that are absent are not read.
__attribute__((noinline)) Constants constants_of(const BatchApplyShape& s, i64 rows, char* scratch, const float* mean,
                                                 const float* var, const float* gamma, const float* beta,
                                                 const float* sums) {
  const i64 C = s.C, each = constants_floats(s), arrays = sums ? 5 : 3;
  float* at = reinterpret_cast<float*>(scratch);
  const Constants k{rows_in_one(rows, C), at, at + each, at + 2 * each, at + 3 * each, at + 4 * each};
  for (i64 c = 0; c < C; ++c) k.middle[c] = mean[c];
  factors(C, var, s.eps, s.has_gamma ? gamma : nullptr, s.has_beta ? beta : nullptr, k.scale, k.shift);
  const float share = 1.0f / static_cast<float>(s.R), eps = static_cast<float>(s.eps);
  if (sums) {
    NACRE_INDEPENDENT
    for (i64 c = 0; c < C; ++c) {
      k.average[c] = k.scale[c] * (sums[c] * share);
      k.slope[c] = k.scale[c] * (sums[C + c] * share) * rstd_of(var[c], eps);
    }
  }
  for (i64 i = 0; i < arrays; ++i) {
    for (i64 have = 1; have < k.rows; have *= 2) {
      __builtin_memcpy(at + i * each + have * C, at + i * each, static_cast<unsigned long>(4 * have * C));
    }
  }
  return k;
}

Facts apply_facts(const BatchApplyShape& s) {
  Facts f;
  f.error = cannot(s.R, s.C, s.act, s.has_gamma, s.has_beta, s.eps);
  if (!f.error && !is_flag(s.residual)) f.error = "flags must be 0 or 1";
  if (f.error) return f;
  if (s.C > 0) f.units = ceil_div(s.R, rows_per_unit(s.C));
  f.flops = 4.0 * static_cast<double>(s.R) * static_cast<double>(s.C);
  return f;
}

}  // namespace

Facts batch_norm_apply_facts(const BatchApplyShape& s) {
  Facts f = apply_facts(s);
  if (f.error) return f;
  f.extent[0] = Count(s.R) * Count(s.C);
  f.extent[1] = Count(s.C);
  f.extent[2] = Count(s.C);
  f.extent[3] = s.has_gamma ? Count(s.C) : Count(0);
  f.extent[4] = s.has_beta ? Count(s.C) : Count(0);
  f.extent[5] = s.residual ? f.extent[0] : Count(0);
  f.extent[6] = f.extent[0];
  f.scratch = constants_floats(s) * 12;
  return f;
}

void batch_norm_apply(const BatchApplyShape& s, Slice units, Scratch scratch, const float* x, const float* mean,
                      const float* var, const float* gamma, const float* beta, const float* r, float* y) {
  const i64 C = s.C, per = rows_per_unit(C), first = units.begin * per, end = min_of(units.end * per, s.R);
  const Constants k = constants_of(s, end - first, scratch.at, mean, var, gamma, beta, nullptr);
  const Vec floor = set1(s.act ? 0.0f : -__builtin_inff()), ceiling = set1(s.act == 2 ? 6.0f : __builtin_inff());
  x += first * C, r += s.residual ? first * C : 0, y += first * C;
  const auto rows = [&](auto added) __attribute__((always_inline)) {
    map_columns(end - first, k.rows, C, 3, [&](i64 c, i64 n) __attribute__((always_inline)) {
      const Vec middle = load_n(k.middle + c, n), factor = load_n(k.scale + c, n);
      const Vec offset = load_n(k.shift + c, n);
      return [=](i64 row) __attribute__((always_inline)) {
        const i64 at = row + c;
        Vec sum = fma(load_n(x + at, n) - middle, factor, offset);
        if (added) sum += load_n(r + at, n);
        store_n(y + at, min(ceiling, max(floor, sum)), n);  // both keep NaN
      };
    });
  };
  if (s.residual) rows(Yes());
  else rows(No());
}

Facts batch_norm_grad_stats_facts(const BatchGradShape& s) {
  Facts f;
  f.error = cannot(s.R, s.C, s.act, s.has_gamma, s.has_beta, s.eps);
  if (!f.error && s.chunk < 1) f.error = "chunk must be positive";
  if (f.error) return f;
  const RowCut c = row_cut(s.R, s.C, s.chunk);
  f.extent[0] = Count(s.R) * Count(s.C);
  f.extent[1] = f.extent[0];
  f.extent[2] = Count(s.C);
  f.extent[3] = Count(s.C);
  f.extent[4] = s.act && s.has_gamma ? Count(s.C) : Count(0);
  f.extent[5] = s.act && s.has_beta ? Count(s.C) : Count(0);
  f.extent[6] = Count(c.chunks) * Count(s.C) * Count(2);
  f.units = c.units;
  f.scratch = kTwoSumsBytes + kMostColumns * 8;
  f.flops = 4.0 * static_cast<double>(s.R) * static_cast<double>(s.C);
  return f;
}

void batch_norm_grad_stats(const BatchGradShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                           const float* mean, const float* var, const float* gamma, const float* beta,
                           float* partials) {
  const RowCut c = row_cut(s.R, s.C, s.chunk);
  const TwoSums at = two_sums_at(scratch.at);
  float* scale = reinterpret_cast<float*>(scratch.at + kTwoSumsBytes);
  float* shift = scale + kMostColumns;
  const i64 C = s.C;
  const Open open(s.act);
  const Vec low = open.low, high = open.high;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 k = u / c.tiles, column = u % c.tiles * c.tile, width = min_of(c.tile, s.C - column);
    const Run rows = run_of(k, s.chunk, s.R);
    const i64 first = rows.begin * s.C + column;
    const auto sums = [&](auto active) __attribute__((always_inline)) {
      two_sums(
          at, rows.end - rows.begin, width, s.R, s.C,
          [&](i64 from, i64 c, i64 n) __attribute__((always_inline)) {
            const Vec middle = load_n(mean + column + c, n);
            const Vec factor = active ? load(scale + c) : zero(), offset = active ? load(shift + c) : zero();
            return [=](i64 r, Vec& p, Vec& q) __attribute__((always_inline)) {
              const i64 e = first + (from + r) * C + c;
              const Vec off = load_n(x + e, n) - middle;
              Vec d = load_n(dy + e, n);
              if (active) d = through(fma(off, factor, offset), low, high, d);
              p += d;
              q = fma(d, off, q);
            };
          },
          [=](i64 r, i64 c) __attribute__((always_inline)) {
            prefetch(x + first + r * C + c);
            prefetch(dy + first + r * C + c);
          });
    };
    if (s.act) {
      factors(width, var + column, s.eps, s.has_gamma ? gamma + column : nullptr, s.has_beta ? beta + column : nullptr,
              scale, shift);
      sums(Yes());
    } else {
      sums(No());
    }
    float *p = partials + k * 2 * s.C + column, *q = p + s.C;
    const double *p_total = at.p_total, *q_total = at.q_total;
    const float eps = static_cast<float>(s.eps);
    const float* var_c = var + column;
    NACRE_INDEPENDENT
    for (i64 i = 0; i < width; ++i) {
      p[i] = static_cast<float>(p_total[i]);
      q[i] = static_cast<float>(q_total[i]) * rstd_of(var_c[i], eps);
    }
  }
}

Facts batch_norm_grad_x_facts(const BatchApplyShape& s) {
  Facts f = apply_facts(s);
  if (f.error) return f;
  f.extent[0] = Count(s.R) * Count(s.C);
  f.extent[1] = f.extent[0];
  f.extent[2] = Count(s.C);
  f.extent[3] = Count(s.C);
  f.extent[4] = s.has_gamma ? Count(s.C) : Count(0);
  f.extent[5] = s.act && s.has_beta ? Count(s.C) : Count(0);
  f.extent[6] = Count(s.C) * Count(2);
  f.extent[7] = f.extent[0];
  f.scratch = constants_floats(s) * 20;
  return f;
}

void batch_norm_grad_x(const BatchApplyShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                       const float* mean, const float* var, const float* gamma, const float* beta, const float* sums,
                       float* dx) {
  const i64 C = s.C, per = rows_per_unit(C), first = units.begin * per, end = min_of(units.end * per, s.R);
  const Constants k = constants_of(s, end - first, scratch.at, mean, var, gamma, s.act ? beta : nullptr, sums);
  const Open open(s.act);
  const Vec low = open.low, high = open.high;
  x += first * C, dy += first * C, dx += first * C;
  const auto rows = [&](auto active) __attribute__((always_inline)) {
    map_columns(end - first, k.rows, C, 5, [&](i64 c, i64 n) __attribute__((always_inline)) {
      const Vec middle = load_n(k.middle + c, n), factor = load_n(k.scale + c, n);
      const Vec less = load_n(k.average + c, n), steep = load_n(k.slope + c, n);
      const Vec offset = active ? load_n(k.shift + c, n) : zero();
      return [=](i64 row) __attribute__((always_inline)) {
        const i64 at = row + c;
        const Vec off = load_n(x + at, n) - middle;
        Vec d = load_n(dy + at, n);
        if (active) d = through(fma(off, factor, offset), low, high, d);
        store_n(dx + at, fnma(off, steep, fma(d, factor, -less)), n);
      };
    });
  };
  if (s.act) rows(Yes());
  else rows(No());
}

}  // namespace NACRE_ISA
}  // namespace nacre
