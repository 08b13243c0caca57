// Elementary functions on Vec. Error bounds are against float64, in units in the last place (ulp) of the result, over
// all finite arguments; inf, nan, signed zero and huge arguments give what C's math library gives. Results below the
// smallest normal number may be flushed to zero. Polynomials: weighted minimax fits of our own, rounded to float.
#pragma once
#include "simd/simd.h"

namespace nacre::NACRE_ISA {

constexpr float kInf = __builtin_inff();
constexpr float kNaN = __builtin_nanf("");

// c[0] + c[1] x + c[2] x^2 + ..., Horner's rule.
template <int n>
NACRE_INLINE Vec polynomial(Vec x, const float (&c)[n]) {
  Vec sum = set1(c[n - 1]);
  NACRE_UNROLL
  for (int i = n - 2; i >= 0; --i) sum = fma(sum, x, set1(c[i]));
  return sum;
}
template <int n>
NACRE_INLINE VecD polynomial(VecD x, const double (&c)[n]) {
  VecD sum = set1d(c[n - 1]);
  NACRE_UNROLL
  for (int i = n - 2; i >= 0; --i) sum = sum * x + set1d(c[i]);
  return sum;
}

// 2^n for whole n in [-126, 127].
NACRE_INLINE Vec power_of_two(VecI n) { return as_float(shl<23>(n + set1i(127))); }

// a * 2^n for whole n in [-252, 254]: in two steps, so that neither factor leaves the range.
NACRE_INLINE Vec scale_by_power(Vec a, VecI n) {
  const VecI half = sar<1>(n);
  return a * power_of_two(half) * power_of_two(n - half);
}

// The same for whole n as floats, with results below the smallest normal number rounded rather than flushed where the ISA
// has an instruction for it.
NACRE_INLINE Vec scale_by_power(Vec a, Vec n) {
#if defined(__AVX512F__)
  return {_mm512_scalef_ps(a.v, n.v)};
#else
  return scale_by_power(a, to_int_round(n));
#endif
}

// x = n ln2 + r with whole n and |r| <= ln2 / 2; for |x| < 1e4.
struct ExpParts {
  Vec n, r;
};
NACRE_INLINE ExpParts exp_parts(Vec x) {
  const Vec n = round_even(x * set1(1.44269504f));
  return {n, fnma(n, set1(1.428606765330187e-06f), fnma(n, set1(0.693145751953125f), x))};
}

// e^r for such r.
NACRE_INLINE Vec exp_of_rest(Vec r) {
  const Vec tail = polynomial(r, {0.49999994f, 0.166665196f, 0.0416683927f, 0.00836878084f, 0.00138144672f});
  return fma(r * r, tail, r) + set1(1.0f);
}

// e^x; 1.5 ulp.
NACRE_INLINE Vec exp(Vec x) {
  const Vec bounded = max(set1(-104.0f), min(set1(89.0f), x));  // keeps NaN
  const auto [n, r] = exp_parts(bounded);
  return scale_by_power(exp_of_rest(r), n);
}

// The same for |x| < 80 (and NaN), which needs no care: the last bits of x * log2(e) + 1.5 * 2^23 + 127 are the exponent.
NACRE_INLINE Vec exp_inside(Vec x) {
  const Vec magic = set1(12583039.0f), t = fma(x, set1(1.44269504f), magic), n = t - magic;
  const Vec r = fnma(n, set1(1.428606765330187e-06f), fnma(n, set1(0.693145751953125f), x));
  return exp_of_rest(r) * as_float(shl<23>(as_int(t)));
}

// e^x - 1 without cancellation near 0; 3 ulp.
NACRE_INLINE Vec expm1(Vec x) {
  const Vec bounded = max(set1(-30.0f), min(set1(89.0f), x));
  const auto [n, r] = exp_parts(bounded);
  const Vec tail = polynomial(r, {0.5f, 0.166666672f, 0.041666355f, 0.00833327323f, 0.00139411027f, 0.000199143018f});
  const Vec small = fma(r * r, tail, r);
  const Vec half_power = power_of_two(to_int_round(n) - set1i(1));  // 2^128 has no float
  const Vec wide = (fma(half_power, small, half_power - set1(0.5f))) * set1(2.0f);
  return select(eq(n, zero()), select(eq(x, zero()), x, small), wide);
}

// x = 2^e * m with m in [sqrt(1/2), sqrt(2)); for positive finite x, subnormal ones included.
struct LogParts {
  Vec e, m;
};
NACRE_INLINE LogParts log_parts(Vec x) {
  const Mask tiny = lt(x, set1(1.17549435e-38f));
  const VecI raw = as_int(select(tiny, x * set1(8388608.0f), x));
  const VecI shifted = raw - set1i(0x3f3504f3);  // bits of sqrt(1/2)
  const VecI e = sar<23>(shifted);
  const Vec m = as_float(raw - shl<23>(e));
  return {to_float(e) - select(tiny, set1(23.0f)), m};
}

// log(1 + f) - f for f in [sqrt(1/2) - 1, sqrt(2) - 1).
NACRE_INLINE Vec log_tail(Vec f) {
  const Vec p = polynomial(f, {0.333333135f, -0.250000089f, 0.200021237f, -0.166680053f, 0.142194524f, -0.124053404f,
                               0.11888697f, -0.116775155f, 0.0674773082f});
  const Vec square = f * f;
  return fma(square * f, p, square * set1(-0.5f));
}

// What the logarithms of 0, negative numbers, inf and NaN have in common.
NACRE_INLINE Vec log_edges(Vec x, Vec y) {
  const Vec ends = select(eq(x, zero()), set1(-kInf), select(gt(x, zero()), x, set1(kNaN)));
  return select(gt(x, zero()) & lt(x, set1(kInf)), y, ends);
}

// Natural logarithm; 1.5 ulp.
NACRE_INLINE Vec log(Vec x) {
  const auto [e, m] = log_parts(x);
  const Vec f = m - set1(1.0f);
  const Vec tail = fma(e, set1(1.428606765330187e-06f), log_tail(f));
  return log_edges(x, fma(e, set1(0.693145751953125f), f + tail));
}

// Logarithm to base 2; 2 ulp.
NACRE_INLINE Vec log2(Vec x) {
  const auto [e, m] = log_parts(x);
  const Vec f = m - set1(1.0f);
  const Vec tail = log_tail(f);
  const Vec low = fma(f, set1(1.92596299e-8f), tail * set1(1.44269504f));  // log2(e) = 1.44269502 + 1.93e-8
  return log_edges(x, fma(f, set1(1.44269502f), low) + e);
}

// Logarithm to base 10; 3 ulp.
NACRE_INLINE Vec log10(Vec x) {
  const auto [e, m] = log_parts(x);
  const Vec f = m - set1(1.0f);
  const Vec fraction = fma(f, set1(0.434294492f), log_tail(f) * set1(0.434294492f));
  return log_edges(x, fma(e, set1(0.301025391f), fma(e, set1(4.60503907e-6f), fraction)));
}

// log(1 + x) without cancellation near 0; 3 ulp.
NACRE_INLINE Vec log1p(Vec x) {
  const Vec u = set1(1.0f) + x;
  const Vec lost = select(gt(u, zero()) & lt(u, set1(kInf)), (x - (u - set1(1.0f))) / u);  // log(u + d) = log u + d/u
  const Vec y = log(u) + lost;
  return select(eq(x, zero()), x, y);
}

// Hyperbolic tangent; 2 ulp.
NACRE_INLINE Vec tanh(Vec x) {
  const Vec a = min(set1(10.0f), abs(x)), square = a * a;  // tanh(10) rounds to 1; min keeps NaN
  const Vec tail = polynomial(square, {-0.333332837f, 0.133314908f, -0.0537434965f, 0.0206505805f, -0.00571703678f});
  const Vec near = fma(a * square, tail, a);
  const Vec far = set1(1.0f) - set1(2.0f) / (exp_inside(a + a) + set1(1.0f));
  return copysign(select(lt(a, set1(0.625f)), near, far), x);
}

// 1 / (1 + e^-x); 3 ulp.
NACRE_INLINE Vec sigmoid(Vec x) {
  const Vec one = set1(1.0f);
  return one / (one + exp(-x));
}

// log(1 + e^x); 4 ulp.
NACRE_INLINE Vec softplus(Vec x) { return max(zero(), x) + log1p(exp(-abs(x))); }

NACRE_INLINE Vec sinh(Vec x) {  // 4 ulp
  const Vec t = expm1(abs(x));
  const Vec near = (t + t / (t + set1(1.0f))) * set1(0.5f);
  const Vec e = exp(abs(x) * set1(0.5f));  // e^x alone overflows one binade too early
  return copysign(select(lt(abs(x), set1(80.0f)), near, e * set1(0.5f) * e), x);
}

NACRE_INLINE Vec cosh(Vec x) {  // 4 ulp
  const Vec e = exp(abs(x) * set1(0.5f));
  const Vec half = e * set1(0.5f);
  return fma(half, e, set1(0.25f) / (half * e));
}

// Error function; 2 ulp.
NACRE_INLINE Vec erf(Vec x) {
  const Vec a = abs(x), square = x * x;
  const Vec near = fma(x,
                       polynomial(square, {0.128379166f, -0.376126319f, 0.112836875f, -0.0268589407f, 0.00519990688f,
                                           -0.000813001301f, 8.31677535e-05f}),
                       x);
  // log(1 - erf(a)) as a polynomial; past 3.95 the result rounds to 1
  const Vec bounded = min(set1(3.95f), a);
  const Vec log_rest = polynomial(bounded, {0.000175873342f, -1.12952077f, -0.633334637f, -0.108293928f, 0.0251286142f,
                                            -0.00417463901f, 0.000435217982f, -2.11618226e-05f});
  const Vec far = copysign(set1(1.0f) - exp_inside(log_rest), x);
  return select(ge(a, set1(0.921875f)), far, near);  // near keeps NaN
}

NACRE_INLINE Vec rsqrt(Vec x) { return set1(1.0f) / sqrt(x); }  // 1.5 ulp

// x^y through double logarithm and exponential; 1 ulp. x < 0 needs a whole y, else NaN; x^0 = 1^y = 1 even for NaN.
NACRE_INLINE Vec pow(Vec x, Vec y) {
  const Vec a = abs(x), one = set1(1.0f);
  const auto [e, m] = log_parts(a);
  const VecD f = to_double(m - one), s = f / (f + set1d(2.0));  // log m = 2 atanh(s), |s| < 0.172
  const VecD series = polynomial(s * s, {1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15});
  const VecD log2_a = to_double(e) + s * series * set1d(2.8853900817779268);
  const VecD t = log2_a * to_double(y);
  const Vec whole_part = round_even(max(set1(-200.0f), min(set1(200.0f), to_float(t))));
  const VecD r = (t - to_double(whole_part)) * set1d(0.69314718055994531);
  const VecD fraction = polynomial(
      r, {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880});
  Vec z = scale_by_power(to_float(fraction), to_int_round(whole_part));
  const Mask up = gt(to_float(t), set1(129.0f)), down = lt(to_float(t), set1(-151.0f));
  z = select(up, set1(kInf), select(down, zero(), z));
  // a is 0 or inf, or y is infinite: the size is 0 or inf by the signs of log a and y
  const Mask edge = eq(a, zero()) | eq(a, set1(kInf)) | eq(abs(y), set1(kInf));
  z = select(edge, select(gt(a, one) ^ lt(y, zero()), set1(kInf), zero()), z);
  // the sign: whole y have a parity, and beyond 2^24 all floats are even
  const Mask whole_y = eq(trunc(y), y);
  const Vec half_y = y * set1(0.5f);
  const Mask odd = whole_y & ne(trunc(half_y), half_y) & lt(abs(y), set1(16777216.0f));
  const Mask minus = ne(copysign(one, x), one);
  z = select(odd & minus, -z, z);
  z = select(lt(x, zero()) & ~whole_y & lt(a, set1(kInf)), set1(kNaN), z);
  z = select(isnan(x) | isnan(y), x + y, z);
  return select(eq(y, zero()) | eq(x, one) | (eq(a, one) & eq(abs(y), set1(kInf))), one, z);
}

}  // namespace nacre::NACRE_ISA

#include "simd/trigonometry.h"
