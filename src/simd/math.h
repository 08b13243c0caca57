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

// e^x = 2^n e^r, where n is a multiple of 1/kParts: as many powers of two as a register holds where the ISA looks numbers up
// in one. The smaller r, the shorter its polynomial.
#if defined(__AVX512F__)
constexpr int kPartBits = 4;
#elif defined(__AVX2__)
constexpr int kPartBits = 3;
#else
constexpr int kPartBits = 0;
#endif
constexpr int kParts = 1 << kPartBits;
// Of sixteenths: bits of 2^(k/16), and what they lack of it, relative to it. Only every (16 / kParts)th is looked up.
constexpr i32 kRoots[16] = {0x3f800000, 0x3f85aac3, 0x3f8b95c2, 0x3f91c3d3, 0x3f9837f0, 0x3f9ef532,
                            0x3fa5fed7, 0x3fad583f, 0x3fb504f3, 0x3fbd08a4, 0x3fc5672a, 0x3fce248c,
                            0x3fd744fd, 0x3fe0ccdf, 0x3feac0c7, 0x3ff5257d};
constexpr float kRootRests[16] = {0.0f,
                                  4.62854679e-08f,
                                  -1.19921575e-08f,
                                  4.72978208e-08f,
                                  3.19341815e-08f,
                                  3.62105723e-08f,
                                  -3.09907231e-08f,
                                  -7.47521334e-09f,
                                  1.71142709e-08f,
                                  -3.04768335e-08f,
                                  5.23333421e-09f,
                                  6.10759177e-09f,
                                  -1.4719606e-08f,
                                  -5.2587952e-09f,
                                  -6.12825968e-09f,
                                  5.14060927e-09f};
struct RootTables {
  alignas(64) i32 root[kParts];  // bits of 2^(k/kParts)
  alignas(64) i32 step[kParts];  // the same less what k, the last bits of a sum, adds to an exponent behind it
  alignas(64) float rest[kParts];
  constexpr RootTables() : root(), step(), rest() {
    for (int k = 0; k < kParts; ++k) {
      root[k] = kRoots[k * (16 / kParts)];
      step[k] = root[k] - 0x3f800000 - (k << (23 - kPartBits));
      rest[k] = kRootRests[k * (16 / kParts)];
    }
  }
};
constexpr RootTables kPowers;

// The last bits of `at` are kParts * (n + bias). Without `wide` |x| is at most 100 or so, where products are not rounded:
// ln 2 is one float then, off by 2e-9 for each power.
struct ExpParts {
  Vec n, r;
  VecI at;
};
template <bool wide, int bias = 0>
NACRE_INLINE ExpParts exp_parts(Vec x) {
  const Vec magic = set1(12582912.0f / kParts + bias), t = fma(x, set1(1.44269504f), magic), n = t - magic;
  const Vec r = !wide && kFused ? fnma(n, set1(0.693147182f), x)
                                : fnma(n, set1(1.428606765330187e-06f), fnma(n, set1(0.693145751953125f), x));
  return {n, r, as_int(t)};
}

// e^r - 1 for such r; unless `precise` with an error that is small beside 1 rather than the result.
template <bool precise = false>
NACRE_INLINE Vec grown(Vec r) {
  Vec tail;
  if (kPartBits > 3 && !precise) tail = polynomial(r, {0.500016511f, 0.16667065f});
  else if (kPartBits > 0) tail = polynomial(r, {0.5f, 0.16668053f, 0.0416691341f});
  else if (!precise) tail = polynomial(r, {0.49999994f, 0.166665196f, 0.0416683927f, 0.00836878084f, 0.00138144672f});
  else tail = polynomial(r, {0.5f, 0.166666672f, 0.0416664593f, 0.00833320431f, 0.00139355042f, 0.00019947339f});
  return fma(r * r, tail, r);
}

// 2^n from `at` with a bias of 127; what is below -127 or above 128 makes no sense.
NACRE_INLINE Vec power_at(VecI at) {
  const VecI whole = shl<23 - kPartBits>(at);
  return as_float(kParts > 1 ? whole + look_up(kPowers.step, at) : whole);
}

// e^x; 1 ulp, with AVX-512 0.6 where the roots are `precise`.
template <bool precise = false>
NACRE_INLINE Vec exp(Vec x) {
#if defined(__AVX512F__)
  const auto [n, r, at] = exp_parts<true>(max(set1(-104.0f), min(set1(89.0f), x)));  // keeps NaN
  const Vec root = as_float(look_up(kPowers.root, at)), more = grown(r);
  return scale_down(fma(root, precise ? more + look_up(kPowers.rest, at) : more, root), n);
#else
  const auto [n, r, at] = exp_parts<true>(x);
  const Vec root = kParts > 1 ? as_float(look_up(kPowers.root, at)) : set1(1.0f);
  const Vec y = as_float(as_int(fma(root, grown(r), root)) + shl<23>(sar<kPartBits>(at)));
  const Vec normal = select(ge(x, set1(-87.3365402f)), y);
  return select(le(x, set1(88.7228394f)), normal, x + set1(kInf));
#endif
}

// e^x for x in [-87.3, 88] (and NaN), which needs no care: off by 2e-9 for each power of two.
NACRE_INLINE Vec exp_inside(Vec x) {
  const auto [n, r, at] = exp_parts<false, 127>(x);
  const Vec power = power_at(at);
  return fma(power, grown(r), power);
}

// (e^x - 1) / 2 without cancellation near 0, for x in [-87, 89].
NACRE_INLINE Vec half_grown(Vec x) {
  const auto [n, r, at] = exp_parts<true, 126>(x);
  const Vec power = power_at(at), rest = grown<true>(r);
  return fma(power, kParts > 1 ? rest + look_up(kPowers.rest, at) : rest, power - set1(0.5f));
}

// e^x - 1 without cancellation near 0; 3 ulp.
NACRE_INLINE Vec expm1(Vec x) {
  const Vec y = half_grown(max(set1(-30.0f), min(set1(89.0f), x)));
  return select(eq(x, zero()), x, y + y);
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
  return one / (one + exp<true>(-x));
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

// erf(k w + d) = kErf[0][k] + d (kErf[1][k] + kErf[2][k] d + ...), and as much as |x| more for k = 0.
alignas(64) constexpr float kErf[6][16] = {
    {0.0f, 0.27958995f, 0.5258985f, 0.7170574f, 0.84775406f, 0.9264744f, 0.9682437f, 0.9877679f, 0.9958073f,
     0.99872345f, 0.99965525f, 0.9999175f, 0.99998254f, 0.9999967f, 0.99999946f, 0.99999994f},
    {0.12837917f, 1.0583723f, 0.8733507f, 0.634024f, 0.4049389f, 0.22753078f, 0.11247541f, 0.048914976f, 0.018715132f,
     0.006299568f, 0.0018655007f, 0.0004860119f, 0.00011139487f, 2.2462096e-05f, 3.98476e-06f, 6.219005e-07f},
    {0.0f, -0.26784956f, -0.44205093f, -0.4813781f, -0.4099255f, -0.28792614f, -0.17079502f, -0.0866625f, -0.037892178f,
     -0.014352825f, -0.004728537f, -0.0013564044f, -0.00034354808f, -7.171821e-05f, -1.6969323e-05f, -1.21849325e-05f},
    {-0.37612316f, -0.30758986f, -0.14194614f, 0.032306314f, 0.1416751f, 0.16704565f, 0.13540685f, 0.086040445f,
     0.044906802f, 0.019688549f, 0.007343797f, 0.0023489944f, 0.00064776896f, 0.00015458745f, 3.2014927e-05f,
     5.7659727e-06f},
    {0.0f, 0.12730162f, 0.18213078f, 0.14775358f, 0.06476545f, -0.0089127775f, -0.04543317f, -0.04680619f, -0.03279322f,
     -0.017431844f, -0.0073068715f, -0.00263118f, -0.0005544968f, -0.00036925258f, 0.00012458532f, 0.00060164736f},
    {0.11222636f, 0.0786665f, 0.0055189366f, -0.05402136f, -0.06852212f, -0.045135558f, -0.012908221f, 0.007596334f,
     0.013041057f, 0.010153628f, 0.0056249034f, 0.002448946f, 0.0008719572f, 0.00025933553f, 6.524424e-05f,
     1.3998612e-05f},
};

// Error function; 2 ulp.
NACRE_INLINE Vec erf(Vec x) {
  const Vec a = min(set1(3.92f), abs(x)), magic = set1(12582912.0f);  // from there on it rounds to 1; min keeps NaN
  const Vec t = fma(a, set1(3.95130142f), magic), k = t - magic, d = fnma(k, set1(0.253081173f), a);
  const VecI at = as_int(t);
  Vec sum = look_up(kErf[5], at);
  NACRE_UNROLL
  for (int i = 4; i > 0; --i) sum = fma(sum, d, look_up(kErf[i], at));
  return copysign(fma(sum, d, select(eq(k, zero()), a, look_up(kErf[0], at))), x);
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
