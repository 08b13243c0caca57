#include "kernels/matmul.h"

#include "kernels/gemm.h"
#include "simd/simd.h"

namespace nacre::NACRE_ISA {
namespace {

Product one(const MatmulShape& s) {
  return {s.M, s.N, s.K, s.TA ? 1 : s.K, s.TA ? s.M : 1, s.TB ? 1 : s.N, s.TB ? s.K : 1, s.N};
}

// Products of one unit: small ones go together.
i64 group_of(const Product& p, i64 per_product) {
  if (per_product > 1) return 1;
  const double work = static_cast<double>(p.M) * static_cast<double>(p.N) * static_cast<double>(p.K) + 512.0;
  return work >= 65536.0 ? 1 : static_cast<i64>(65536.0 / work);
}

// Small products of a vector, or of two of them, and very small ones of rows of b go without plan and tiles, which take
// longer than they do.
bool is_tiny(const MatmulShape& s) {
  const double rows = static_cast<double>(s.M) * static_cast<double>(s.K), work = rows * static_cast<double>(s.N);
  if (s.TB == 0 && rows * static_cast<double>(ceil_div(s.N, kLanes)) <= 64) return true;
  return work <= 8192 && (s.M == 1 || s.N == 1 || (s.K == 1 && s.N >= kLanes));
}

// sum_k a[k] b[k]
NACRE_INLINE float dot(const float* a, const float* b, i64 K) {
  Vec sum = zero(), other = zero();
  i64 k = 0;
  for (; k + 2 * kLanes <= K; k += 2 * kLanes) {
    sum = fma(load(a + k), load(b + k), sum);
    other = fma(load(a + k + kLanes), load(b + k + kLanes), other);
  }
  for (; k < K; k += kLanes) sum = fma(load(a + k, K - k), load(b + k, K - k), sum);
  return reduce_add(sum + other);
}

// c = sum_k v[k*step] rows[k, :], n columns of it: NV whole vectors, or less than one.
template <int NV, bool whole>
NACRE_INLINE void columns_sum(const float* v, i64 step, const float* rows, i64 K, i64 row, i64 n, float* c) {
  Vec sum[NV];
  NACRE_UNROLL
  for (int q = 0; q < NV; ++q) sum[q] = zero();
  for (i64 k = 0; k < K; ++k, v += step, rows += row) {
    const Vec factor = set1(*v);
    NACRE_UNROLL
    for (int q = 0; q < NV; ++q)
      sum[q] = fma(factor, whole ? load(rows + q * kLanes) : load(rows + q * kLanes, n), sum[q]);
  }
  NACRE_UNROLL
  for (int q = 0; q < NV; ++q) {
    if (whole) store(c + q * kLanes, sum[q]);
    else store(c + q * kLanes, sum[q], n);
  }
}

void rows_sum(const float* v, i64 step, const float* rows, i64 K, i64 n, float* c) {
  i64 j = 0;
  for (; j + 4 * kLanes <= n; j += 4 * kLanes) columns_sum<4, true>(v, step, rows + j, K, n, 0, c + j);
  for (; j + kLanes <= n; j += kLanes) columns_sum<1, true>(v, step, rows + j, K, n, 0, c + j);
  if (j < n) columns_sum<1, false>(v, step, rows + j, K, n, n - j, c + j);
}

void tiny_product(const MatmulShape& s, const float* a, const float* b, float* c) {
  const bool column = s.N == 1 && s.M != 1;  // then b is the vector
  const float *v = column ? b : a, *matrix = column ? a : b;
  const i64 n = s.M * s.N;
  if (s.M > 1 && s.N > 1) {
    for (i64 m = 0; m < s.M; ++m) rows_sum(a + m * (s.TA ? 1 : s.K), s.TA ? s.M : 1, b, s.K, s.N, c + m * s.N);
  } else if (n == 1 || (s.K > 1 && (column ? !s.TA : s.TB))) {  // sums along rows
    for (i64 j = 0; j < n; ++j) c[j] = dot(matrix + j * s.K, v, s.K);
  } else {
    rows_sum(v, 1, matrix, s.K, n, c);
  }
}

// All but units and scratch; the kernels cut differently.
Facts facts_of(const MatmulShape& s) {
  Facts f;
  if (s.B < 0 || s.M < 0 || s.K < 0 || s.N < 0) f.error = "B, M, K and N must not be negative";
  else if (s.SA < 0 || s.SB < 0) f.error = "the strides of a batch must not be negative";
  else if (s.TA < 0 || s.TA > 1 || s.TB < 0 || s.TB > 1) f.error = "TA and TB must be 0 or 1";
  if (f.error) return f;
  f.extent[2] = Count(s.B) * Count(s.M) * Count(s.N);
  if (f.extent[2].ok() && f.extent[2].value() > 0 && s.K > 0) {
    f.extent[0] = Count(s.B - 1) * Count(s.SA) + Count(s.M) * Count(s.K);
    f.extent[1] = Count(s.B - 1) * Count(s.SB) + Count(s.K) * Count(s.N);
  }
  if (!f.extent[0].ok() || !f.extent[1].ok() || !f.extent[2].ok()) {
    f.error = "the sizes overflow 64 bits";
    return f;
  }
  f.flops =
      2.0 * static_cast<double>(s.B) * static_cast<double>(s.M) * static_cast<double>(s.N) * static_cast<double>(s.K);
  return f;
}

// --- doubles: a unit is kRows x kColumns of one product, its panel of b copied in runs of kDepth rows ------------

#if defined(__AVX512F__)
constexpr int kTileM = 6, kTileNV = 2;
#elif defined(__AVX2__) || defined(__ARM_NEON)
constexpr int kTileM = 6, kTileNV = 1;
#else
constexpr int kTileM = 4, kTileNV = 1;
#endif
constexpr int kSmallM = kTileM - 2;
constexpr i64 kRows = 16 * kTileM, kColumns = kTileNV * kLanes, kDepth = 256;

// c[m,n] (+)= sum_k a[m,k] b[k,n] for MR rows and kColumns columns: one chain in the order of k, whatever MR.
template <int MR>
NACRE_INLINE void tile_f64(i64 K, const double* a, i64 a_m, i64 a_k, const double* b, i64 b_k, bool more, double* c,
                           i64 c_m) {
  VecD sum[MR][kTileNV];
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < kTileNV; ++j) sum[i][j] = more ? load(c + i * c_m + j * kLanes) : set1d(0.0);
  }
  for (i64 k = 0; k < K; ++k, a += a_k, b += b_k) {
    VecD row[kTileNV];
    NACRE_UNROLL
    for (int j = 0; j < kTileNV; ++j) row[j] = load(b + j * kLanes);
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const VecD x = set1d(a[i * a_m]);
      NACRE_UNROLL
      for (int j = 0; j < kTileNV; ++j) sum[i][j] = fma(x, row[j], sum[i][j]);
    }
  }
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < kTileNV; ++j) store(c + i * c_m + j * kLanes, sum[i][j]);
  }
}

// Rows of c, columns of which n are there: others are computed beside it, and left there.
template <int MR>
void rows_f64(i64 K, const double* a, i64 a_m, i64 a_k, const double* b, i64 b_k, bool more, double* c, i64 c_m, i64 n,
              double* beside) {
  const bool whole = n == kColumns;
  for (int i = 0; !whole && more && i < MR; ++i)
    for (i64 j = 0; j < n; ++j) beside[i * kColumns + j] = c[i * c_m + j];
  tile_f64<MR>(K, a, a_m, a_k, b, b_k, more, whole ? c : beside, whole ? c_m : kColumns);
  for (int i = 0; !whole && i < MR; ++i)
    for (i64 j = 0; j < n; ++j) c[i * c_m + j] = beside[i * kColumns + j];
}

}  // namespace

Facts matmul_facts(const MatmulShape& s) {
  Facts f = facts_of(s);
  if (f.error || f.extent[2].value() == 0) return f;
  const Product p = one(s);
  const i64 per_product = is_tiny(s) ? 1 : product_units(p);
  const Count units = Count(ceil_div(s.B, group_of(p, per_product))) * Count(per_product);
  if (!units.ok()) f.error = "the sizes overflow 64 bits";
  f.units = units.value();
  f.scratch = product_scratch(p);
  return f;
}

// c[b,m,n] = sum_k a[b,m,k] b[b,k,n]
void matmul(const MatmulShape& s, Slice units, Scratch scratch, const float* a, const float* b, float* c) {
  const Product p = one(s);
  const i64 per_product = is_tiny(s) ? 1 : product_units(p), group = group_of(p, per_product);
  if (is_tiny(s)) {
    const i64 n = s.M * s.N, last = min_of(units.end * group, s.B);
    for (i64 i = units.begin * group; i < last; ++i) tiny_product(s, a + i * s.SA, b + i * s.SB, c + i * n);
    return;
  }
  for (i64 u = units.begin; u < units.end;) {
    const i64 from = u % per_product, to = min_of(per_product, from + units.end - u);
    const i64 first = u / per_product * group, last = min_of(s.B, first + group);
    product(p, {from, to}, scratch, {a + first * s.SA, b + first * s.SB, c + first * s.M * s.N, {}},
            {last - first, s.SA, s.SB, s.M * s.N});
    u += to - from;
  }
}

Facts matmul_f64_facts(const MatmulShape& s) {
  Facts f = facts_of(s);
  if (f.error || f.extent[2].value() == 0) return f;
  const Count units = Count(s.B) * Count(ceil_div(s.M, kRows)) * Count(ceil_div(s.N, kColumns));
  if (!units.ok()) f.error = "the sizes overflow 64 bits";
  f.units = units.value();
  f.scratch = (kDepth + kTileM) * kColumns * static_cast<i64>(sizeof(double));
  return f;
}

// c[b,m,n] = sum_k a[b,m,k] b[b,k,n]
void matmul_f64(const MatmulShape& s, Slice units, Scratch scratch, const double* a, const double* b, double* c) {
  const i64 blocks = ceil_div(s.M, kRows), panels = ceil_div(s.N, kColumns);
  const i64 a_m = s.TA ? 1 : s.K, a_k = s.TA ? s.M : 1, b_k = s.TB ? 1 : s.N, b_n = s.TB ? s.K : 1;
  double* panel = reinterpret_cast<double*>(scratch.at);
  double* beside = panel + kDepth * kColumns;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 i = u / (blocks * panels), m0 = u / panels % blocks * kRows, n0 = u % panels * kColumns;
    const i64 m1 = min_of(s.M, m0 + kRows), n = min_of(kColumns, s.N - n0);
    const bool copies = s.TB || n < kColumns || m1 - m0 > kTileM;
    i64 k0 = 0;
    do {
      const i64 K = min_of(kDepth, s.K - k0);
      const double* b_at = b + i * s.SB + k0 * b_k + n0 * b_n;
      for (i64 k = 0; copies && k < K; ++k) {
        double* row = panel + k * kColumns;
        if (b_n == 1 && n == kColumns) {
          for (i64 j = 0; j < kColumns; ++j) row[j] = b_at[k * b_k + j];
          continue;
        }
        for (i64 j = 0; j < n; ++j) row[j] = b_at[k * b_k + j * b_n];
        for (i64 j = n; j < kColumns; ++j) row[j] = 0.0;
      }
      const double* b_run = copies ? panel : b_at;
      const i64 run_k = copies ? kColumns : s.N;
      const double* a_at = a + i * s.SA + m0 * a_m + k0 * a_k;
      double* c_at = c + (i * s.M + m0) * s.N + n0;
      for (i64 left = m1 - m0, rows; left > 0; left -= rows, a_at += rows * a_m, c_at += rows * s.N) {
        // a tile of one row waits for its sums: 8 are 4 and 4
        rows = left > kTileM && left == 2 * kSmallM ? kSmallM : left >= kTileM ? kTileM : left >= kSmallM ? kSmallM : 1;
        (rows == kTileM    ? rows_f64<kTileM>
         : rows == kSmallM ? rows_f64<kSmallM>
                           : rows_f64<1>)(K, a_at, a_m, a_k, b_run, run_k, k0 > 0, c_at, s.N, n, beside);
      }
      k0 += kDepth;
    } while (k0 < s.K);
  }
}

}  // namespace nacre::NACRE_ISA
