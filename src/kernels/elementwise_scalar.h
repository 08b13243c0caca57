// Operations on one number whose every case is defined: the float64 and int64 forms of the elementwise opcodes, and the
// rare float32 ones, which are computed in float64 lane by lane.
#pragma once
#include "kernels/loops.h"
#include "simd/inline.h"

namespace nacre {
namespace NACRE_ISA {
namespace scalar {
namespace {

NACRE_ALWAYS bool nan(double a) { return a != a; }

// The quotient and remainder of Python: the remainder has the divisor's sign, quotient * b + remainder = a.
NACRE_ALWAYS double mod(double a, double b) {
  double r = __builtin_fmod(a, b);
  if (b == 0) return r;
  if (r == 0) return __builtin_copysign(0.0, b);
  return (b < 0) != (r < 0) ? r + b : r;
}
NACRE_ALWAYS double floor_div(double a, double b) {
  if (b == 0) return a / b;
  double r = __builtin_fmod(a, b);
  double q = (a - r) / b;
  if (r != 0 && (b < 0) != (r < 0)) q -= 1;
  if (q == 0) return __builtin_copysign(0.0, a / b);
  const double whole = __builtin_floor(q);
  return q - whole > 0.5 ? whole + 1 : whole;
}

// a = n log 2 + r with |r| <= log(2) / 2: e^r - 1 by Taylor, cut where it no longer counts, and n, for |n| < 2^20. Plain
// arithmetic, which compilers vectorize as they do not vectorize libm.
struct ExpParts {
  double n, grown;
};
constexpr double kShift = 0x1.8p52;  // added and taken away, it rounds; the low bits of a sum with it count
NACRE_ALWAYS ExpParts exp_parts(double a) {
  const double n = (a * 1.44269504088896340736 + kShift) - kShift;
  const double r = (a - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  constexpr double c[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                          1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5};
  double q = c[0];
  NACRE_UNROLL
  for (int i = 1; i < 12; ++i) q = q * r + c[i];
  return {n, r + r * r * q};
}
NACRE_ALWAYS double power_of_two(double n) {  // whole, -1022 <= n <= 1023
  const double m = n + kShift;
  u64 bits;
  __builtin_memcpy(&bits, &m, sizeof bits);
  bits = (bits + 1023) << 52;
  double y;
  __builtin_memcpy(&y, &bits, sizeof y);
  return y;
}
// 1 ulp
NACRE_ALWAYS double exp(double a) {
  const auto [n, grown] = exp_parts(a > 800.0 ? 800.0 : a < -800.0 ? -800.0 : a);
  const double half = (n * 0.5 + kShift) - kShift;
  return (1.0 + grown) * power_of_two(half) * power_of_two(n - half);
}
// 3 ulp: with t = e^(-2 |a|) - 1, -t / (t + 2)
NACRE_ALWAYS double tanh(double a) {
  const double twice = -2.0 * __builtin_fabs(a);
  const auto [n, grown] = exp_parts(twice < -60.0 ? -60.0 : twice);
  const double scale = power_of_two(n), t = grown * scale + (scale - 1.0);
  return __builtin_copysign(-t / (t + 2.0), a);
}
NACRE_ALWAYS double logaddexp(double a, double b) {
  if (a == b) return a + 0.69314718055994530942;  // also both inf of one sign
  const double high = a > b ? a : b, low = a > b ? b : a;
  return nan(a) || nan(b) ? a + b : high + __builtin_log1p(__builtin_exp(low - high));
}
NACRE_ALWAYS double sigmoid(double a) {
  const double e = exp(a < 0 ? a : -a);
  return nan(a) ? a : a < 0 ? e / (1 + e) : 1 / (1 + e);
}
NACRE_ALWAYS double sign(double a) { return a > 0 ? 1 : a < 0 ? -1 : a; }
NACRE_ALWAYS double min(double a, double b) { return nan(a) ? a : nan(b) || b < a ? b : a; }
NACRE_ALWAYS double max(double a, double b) { return nan(a) ? a : nan(b) || b > a ? b : a; }

// The inverse error function: a start by Giles' polynomials (GPU Computing Gems, 2011), then two Newton steps on
// erf(y) - x (erfc near 1), which take it to the last bits of float64.
inline double erfinv(double x) {
  const double size = __builtin_fabs(x);
  if (!(size < 1)) return size == 1 ? x * __builtin_inf() : __builtin_nan("");
  double w = -__builtin_log((1 - x) * (1 + x)), y;
  if (w < 5) {
    w -= 2.5;
    y = 2.81022636e-08;
    y = 3.43273939e-07 + y * w;
    y = -3.5233877e-06 + y * w;
    y = -4.39150654e-06 + y * w;
    y = 0.00021858087 + y * w;
    y = -0.00125372503 + y * w;
    y = -0.00417768164 + y * w;
    y = 0.246640727 + y * w;
    y = 1.50140941 + y * w;
  } else {
    w = __builtin_sqrt(w) - 3;
    y = -0.000200214257;
    y = 0.000100950558 + y * w;
    y = 0.00134934322 + y * w;
    y = -0.00367342844 + y * w;
    y = 0.00573950773 + y * w;
    y = -0.0076224613 + y * w;
    y = 0.00943887047 + y * w;
    y = 1.00167406 + y * w;
    y = 2.83297682 + y * w;
  }
  y *= x;
  for (int step = 0; step < 2; ++step) {
    const double error = size < 0.5 ? __builtin_erf(y) - x
                                    : __builtin_copysign(1.0, x) * ((1 - size) - __builtin_erfc(__builtin_fabs(y)));
    y -= error * 0.88622692545275801365 * __builtin_exp(y * y);  // sqrt(pi)/2: one over erf'(0)
  }
  return y;
}

NACRE_ALWAYS i64 wrap(u64 a) { return static_cast<i64>(a); }
NACRE_ALWAYS i64 add(i64 a, i64 b) { return wrap(static_cast<u64>(a) + static_cast<u64>(b)); }
NACRE_ALWAYS i64 sub(i64 a, i64 b) { return wrap(static_cast<u64>(a) - static_cast<u64>(b)); }
NACRE_ALWAYS i64 mul(i64 a, i64 b) { return wrap(static_cast<u64>(a) * static_cast<u64>(b)); }
NACRE_ALWAYS i64 div(i64 a, i64 b) { return b == 0 ? 0 : b == -1 ? sub(0, a) : a / b; }
NACRE_ALWAYS i64 mod(i64 a, i64 b) {
  if (b == 0 || b == -1) return 0;  // the lowest number % -1 would trap
  const i64 r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
NACRE_ALWAYS i64 floor_div(i64 a, i64 b) {
  if (b == 0) return 0;
  if (b == -1) return sub(0, a);
  const i64 q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
// Negative exponents have no integer result but for 1 and -1; they give what rounding toward zero would.
NACRE_ALWAYS i64 pow(i64 a, i64 b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
  i64 r = 1;
  for (i64 base = a; b > 0; b >>= 1) {
    if (b & 1) r = mul(r, base);
    base = mul(base, base);
  }
  return r;
}
NACRE_ALWAYS i64 shift_left(i64 a, i64 b) { return b < 0 || b > 63 ? 0 : wrap(static_cast<u64>(a) << b); }
NACRE_ALWAYS i64 shift_right(i64 a, i64 b) { return a >> (b < 0 || b > 63 ? 63 : b); }

}  // namespace
}  // namespace scalar
}  // namespace NACRE_ISA
}  // namespace nacre
