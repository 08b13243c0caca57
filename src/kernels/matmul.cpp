#include "kernels/matmul.h"

#include "kernels/gemm.h"

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

}  // namespace

Facts matmul_facts(const MatmulShape& s) {
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
  if (f.extent[2].value() == 0) return f;
  const Product p = one(s);
  const i64 per_product = product_units(p);
  const Count units = Count(ceil_div(s.B, group_of(p, per_product))) * Count(per_product);
  if (!units.ok()) f.error = "the sizes overflow 64 bits";
  f.units = units.value();
  f.scratch = product_scratch(p);
  f.flops =
      2.0 * static_cast<double>(s.B) * static_cast<double>(s.M) * static_cast<double>(s.N) * static_cast<double>(s.K);
  return f;
}

// c[b,m,n] = sum_k a[b,m,k] b[b,k,n]
void matmul(const MatmulShape& s, Slice units, Scratch scratch, const float* a, const float* b, float* c) {
  const Product p = one(s);
  const i64 per_product = product_units(p), group = group_of(p, per_product);
  for (i64 u = units.begin; u < units.end;) {
    const i64 from = u % per_product, to = min_of(per_product, from + units.end - u);
    const i64 first = u / per_product * group, last = min_of(s.B, first + group);
    for (i64 i = first; i < last; ++i)
      product(p, {from, to}, scratch, {a + i * s.SA, b + i * s.SB, c + i * s.M * s.N, {}});
    u += to - from;
  }
}

}  // namespace nacre::NACRE_ISA
