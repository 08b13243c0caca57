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

NACRE_ALWAYS double rstd_of(double var, double eps) { return 1.0 / __builtin_sqrt(var + eps); }

// ---- statistics: mean and sum of squared deviations, per column ----

struct Moments {
  double *mean, *m2;      // of the rows so far
  float *middle, *rest, *squares;  // of one block: its mean, rounded, and sums of what is left and of its squares
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

// Sums over the rows of a block in registers: `strips` vectors of columns at once, even and odd rows apart, so that no
// addition waits for the one before it.
template <int strips, bool deviations>
NACRE_INLINE void sum_strips(const Moments& at, const float* x, i64 rows, i64 C, i64 column, i64 last) {
  const auto row = [&](i64 r, int k) __attribute__((always_inline)) {
    const float* p = x + r * C + column + k * kLanes;
    return k == strips - 1 ? load_n(p, last) : load(p);
  };
  Vec p[2][strips], q[2][strips], m[strips];
  NACRE_UNROLL
  for (int k = 0; k < strips; ++k) {
    p[0][k] = p[1][k] = q[0][k] = q[1][k] = zero();
    m[k] = deviations ? load(at.middle + column + k * kLanes) : zero();
  }
  const auto add = [&](i64 r, int parity) __attribute__((always_inline)) {
    NACRE_UNROLL
    for (int k = 0; k < strips; ++k) {
      const Vec v = row(r, k);
      if (deviations) {
        prefetch(x + (rows + r) * C + column + k * kLanes);  // the next block, while this one is in L1
        const Vec d = v - m[k];
        p[parity][k] += d;
        q[parity][k] = fma(d, d, q[parity][k]);
      } else {
        p[parity][k] += v;
      }
    }
  };
  i64 r = 0;
  for (; r + 2 <= rows; r += 2) {
    add(r, 0);
    add(r + 1, 1);
  }
  if (r < rows) add(r, 0);
  NACRE_UNROLL
  for (int k = 0; k < strips; ++k) {
    store((deviations ? at.rest : at.middle) + column + k * kLanes, p[0][k] + p[1][k]);
    if (deviations) store(at.squares + column + k * kLanes, q[0][k] + q[1][k]);
  }
}

// The arrays of `at` hold whole vectors, so that the lanes beyond the last column do no harm.
template <bool deviations>
NACRE_INLINE void sum_block(const Moments& at, const float* x, i64 rows, i64 C, i64 width) {
  constexpr int most = kLanes == 16 ? 4 : 2;  // registers: five vectors each, and 16 of them below AVX-512
  i64 c = 0;
  for (; c + most * kLanes <= width; c += most * kLanes) sum_strips<most, deviations>(at, x, rows, C, c, kLanes);
  for (; c + kLanes <= width; c += kLanes) sum_strips<1, deviations>(at, x, rows, C, c, kLanes);
  if (c < width) sum_strips<1, deviations>(at, x, rows, C, c, width - c);
}

// Two passes over blocks that stay in L1: the block's mean, then the deviations from it. The mean is rounded to float32;
// the sum of the deviations puts that right.
void moments(const Moments& at, const float* x, i64 rows, i64 C, i64 width) {
  const i64 block = max_of(8, 4096 / width);
  for (i64 c = 0; c < width; ++c) at.mean[c] = at.m2[c] = 0;
  for (i64 from = 0; from < rows; from += block) {
    const i64 n = min_of(block, rows - from);
    const float* x_b = x + from * C;
    sum_block<false>(at, x_b, n, C, width);
    const float share = 1.0f / static_cast<float>(n);
    NACRE_INDEPENDENT
    for (i64 c = 0; c < width; ++c) at.middle[c] *= share;
    sum_block<true>(at, x_b, n, C, width);
    const double wide_share = 1.0 / static_cast<double>(n), all = static_cast<double>(from + n);
    const double weight = static_cast<double>(n) / all, both = static_cast<double>(from) * weight;
    double *mean = at.mean, *m2 = at.m2;
    const float *middle = at.middle, *rest = at.rest, *squares = at.squares;
    NACRE_INDEPENDENT
    for (i64 c = 0; c < width; ++c) {
      const double left = static_cast<double>(rest[c]), off = left * wide_share;
      const double delta = static_cast<double>(middle[c]) + off - mean[c];
      mean[c] += delta * weight;
      m2[c] += static_cast<double>(squares[c]) - left * off + delta * delta * both;
    }
  }
}

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
    moments(at, x + rows.begin * s.C + column, rows.end - rows.begin, s.C, width);
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
        join(&m[c - run.begin], &m2[c - run.begin], before, n, static_cast<double>(p[c]), static_cast<double>(p[s.C + c]));
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
    moments(at, x + run.begin, s.R, s.C, run.end - run.begin);
    for (i64 i = run.begin; i < run.end; ++i) {
      mean[i] = s.R > 0 ? static_cast<float>(at.mean[i - run.begin]) : __builtin_nanf("");
      var[i] = static_cast<float>(at.m2[i - run.begin] / static_cast<double>(s.R));
    }
  }
}

// ---- batch normalization ----

namespace {

bool is_flag(i64 v) { return v == 0 || v == 1; }

Facts apply_facts(const BatchApplyShape& s) {
  Facts f;
  f.error = cannot(s.R, s.C);
  if (!f.error && !(s.eps >= 0)) f.error = "eps must not be negative";
  if (!f.error && (!is_flag(s.relu) || !is_flag(s.has_gamma) || !is_flag(s.has_beta))) f.error = "flags must be 0 or 1";
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
  f.extent[5] = f.extent[0];
  f.scratch = s.C * 8;
  return f;
}

void batch_norm_apply(const BatchApplyShape& s, Slice units, Scratch scratch, const float* x, const float* mean,
                      const float* var, const float* gamma, const float* beta, float* y) {
  float* scale = reinterpret_cast<float*>(scratch.at);
  float* shift = scale + s.C;
  for (i64 c = 0; c < s.C; ++c) {
    scale[c] = static_cast<float>(rstd_of(static_cast<double>(var[c]), s.eps) * (s.has_gamma ? static_cast<double>(gamma[c]) : 1.0));
    shift[c] = s.has_beta ? beta[c] : 0.0f;
  }
  const i64 per = rows_per_unit(s.C), end = min_of(units.end * per, s.R);
  const auto rows = [&](auto relu) __attribute__((always_inline)) {
    for (i64 r = units.begin * per; r < end; ++r) {
      const float* x_r = x + r * s.C;
      float* y_r = y + r * s.C;
      each_strip(s.C, [&](i64 c, i64 n) __attribute__((always_inline)) {
        const Vec v = fma(load_n(x_r + c, n) - load_n(mean + c, n), load_n(scale + c, n), load_n(shift + c, n));
        store_n(y_r + c, relu ? max(zero(), v) : v, n);
      });
    }
  };
  struct Yes { constexpr operator bool() const { return true; } };
  struct No { constexpr operator bool() const { return false; } };
  if (s.relu) rows(Yes());
  else rows(No());
}

Facts batch_norm_grad_stats_facts(const BatchGradShape& s) {
  Facts f;
  f.error = cannot(s.R, s.C);
  if (!f.error && s.chunk < 1) f.error = "chunk must be positive";
  if (!f.error && !is_flag(s.relu)) f.error = "relu must be 0 or 1";
  if (!f.error && !(s.eps >= 0)) f.error = "eps must not be negative";
  if (f.error) return f;
  const RowCut c = row_cut(s.R, s.C, s.chunk);
  f.extent[0] = Count(s.R) * Count(s.C);
  f.extent[1] = f.extent[0];
  f.extent[2] = Count(s.C);
  f.extent[3] = Count(s.C);
  f.extent[4] = s.relu ? f.extent[0] : Count(0);
  f.extent[5] = Count(c.chunks) * Count(s.C) * Count(2);
  f.units = c.units;
  f.scratch = kTwoSumsBytes;
  f.flops = 4.0 * static_cast<double>(s.R) * static_cast<double>(s.C);
  return f;
}

void batch_norm_grad_stats(const BatchGradShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                           const float* mean, const float* var, const float* y, float* partials) {
  const RowCut c = row_cut(s.R, s.C, s.chunk);
  const TwoSums at = two_sums_at(scratch.at);
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 k = u / c.tiles, column = u % c.tiles * c.tile, width = min_of(c.tile, s.C - column);
    const Run rows = run_of(k, s.chunk, s.R);
    const i64 first = rows.begin * s.C + column;
    const auto plain = [&](i64 r, i64 i, i64 n, Vec* p, Vec* q) __attribute__((always_inline)) {
      const i64 e = first + r * s.C + i;
      *p = load_n(dy + e, n);
      *q = *p * (load_n(x + e, n) - load_n(mean + column + i, n));
    };
    const auto masked = [&](i64 r, i64 i, i64 n, Vec* p, Vec* q) __attribute__((always_inline)) {
      const i64 e = first + r * s.C + i;
      *p = select(gt(load_n(y + e, n), zero()), load_n(dy + e, n));
      *q = *p * (load_n(x + e, n) - load_n(mean + column + i, n));
    };
    if (s.relu) two_sums(at, rows.end - rows.begin, width, masked);
    else two_sums(at, rows.end - rows.begin, width, plain);
    float* out = partials + k * 2 * s.C + column;
    for (i64 i = 0; i < width; ++i) {
      out[i] = static_cast<float>(at.p_total[i]);
      out[s.C + i] = static_cast<float>(at.q_total[i] * rstd_of(static_cast<double>(var[column + i]), s.eps));
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
  f.extent[5] = Count(s.C) * Count(2);
  f.extent[6] = s.relu ? f.extent[0] : Count(0);
  f.extent[7] = f.extent[0];
  f.scratch = s.C * 12;
  return f;
}

void batch_norm_grad_x(const BatchApplyShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                       const float* mean, const float* var, const float* gamma, const float* sums, const float* y,
                       float* dx) {
  float* scale = reinterpret_cast<float*>(scratch.at);
  float *average = scale + s.C, *slope = average + s.C;
  const double share = 1.0 / static_cast<double>(s.R);
  for (i64 c = 0; c < s.C; ++c) {
    const double rstd = rstd_of(static_cast<double>(var[c]), s.eps);
    scale[c] = static_cast<float>(rstd * (s.has_gamma ? static_cast<double>(gamma[c]) : 1.0));
    average[c] = static_cast<float>(static_cast<double>(sums[c]) * share);
    slope[c] = static_cast<float>(static_cast<double>(sums[s.C + c]) * share * rstd);
  }
  const i64 per = rows_per_unit(s.C), end = min_of(units.end * per, s.R);
  for (i64 r = units.begin * per; r < end; ++r) {
    const i64 at = r * s.C;
    each_strip(s.C, [&](i64 c, i64 n) __attribute__((always_inline)) {
      Vec d = load_n(dy + at + c, n);
      if (s.relu) d = select(gt(load_n(y + at + c, n), zero()), d);
      const Vec off = load_n(x + at + c, n) - load_n(mean + c, n);
      const Vec rest = fnma(off, load_n(slope + c, n), d - load_n(average + c, n));
      store_n(dx + at + c, rest * load_n(scale + c, n), n);
    });
  }
}

}  // namespace NACRE_ISA
}  // namespace nacre
