// Circular functions and the inverses, circular and hyperbolic, on Vec. Bounds as in math.h, which includes this file.
#pragma once
#include "simd/math.h"

namespace nacre::NACRE_ISA {

// x = q pi/2 + r, |r| <= pi/4, q modulo 4 matters. For |x| < 30000 pi/2 is subtracted in four pieces of 11 bits (their
// products with q are exact); beyond, lane by lane with as many bits of 2/pi as a float can need.
struct Quadrant {
  VecI q;
  Vec r;
};

namespace wide {

// 2/pi = 0.a2f9836e 4e441529 ... in base 2^32.
constexpr u32 kTwoOverPi[8] = {0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u,
                               0xdb629599u, 0x3c439041u, 0xfe5163abu, 0xdebbc561u};

// One number of at least 2^8. x * 2/pi = whole + fraction is formed in integers: 24 bits of x times 96 bits of 2/pi,
// taken from where the product is below 4.
__attribute__((noinline, unused)) static i32 quadrant_of(float x, float* r) {
  u32 raw;
  __builtin_memcpy(&raw, &x, 4);
  const int exponent = static_cast<int>(raw >> 23 & 0xff);
  if (exponent == 255) {
    *r = kNaN;
    return 0;
  }
  const u64 mantissa = (raw & 0x7fffffu) | 0x800000u;
  const int skip = exponent - 150 - 2;                                 // |x| = mantissa * 2^(skip + 2)
  const int start = skip > 0 ? skip : 0, left = skip < 0 ? -skip : 0;  // earlier bits of 2/pi give multiples of 4
  u32 word[3];
  for (int i = 0; i < 3; ++i) {
    const int at = start / 32 + i, by = start % 32;
    const u64 pair = static_cast<u64>(kTwoOverPi[at]) << 32 | (at + 1 < 8 ? kTwoOverPi[at + 1] : 0u);
    word[i] = static_cast<u32>(pair << by >> 32);
  }
  // modulo 2^96: the point stands 94 bits above the low end (when left = 0)
  const u64 p0 = mantissa * word[2], p1 = mantissa * word[1] + (p0 >> 32), p2 = mantissa * word[0] + (p1 >> 32);
  u64 high = (p2 & 0xffffffffu) << 32 | (p1 & 0xffffffffu);
  const u64 top = p2 >> 32;  // bits above the 96; they count only while left > 0
  if (left > 0) high = (left < 64 ? high >> left : 0) | (left < 32 ? top << (64 - left) : 0);
  i32 q = static_cast<i32>(high >> 62);
  i64 fraction = static_cast<i64>(high << 2);  // in 2^-64 of a quadrant, signed: above one half becomes negative
  if (fraction < 0) ++q;
  *r = static_cast<float>(static_cast<double>(fraction) * (1.5707963267948966 / 18446744073709551616.0));
  if (raw >> 31) {
    q = -q;
    *r = -*r;
  }
  return q;
}

}  // namespace wide

NACRE_INLINE Quadrant quadrant(Vec x) {
  const Vec n = round_even(x * set1(0.636619772f));
  Vec r = fnma(n, set1(1.5703125f), x);
  r = fnma(n, set1(0.0004837512969970703f), r);
  r = fnma(n, set1(7.549533620476723e-08f), r);
  r = fnma(n, set1(2.5633440682570896e-12f), r);
  const Mask far = ~lt(abs(x), set1(3000.0f));  // NaN goes there, too
  VecI q = to_int_round(select(far, zero(), n));
  if (__builtin_expect(any(far), 0)) {
    float x_lane[kLanes], r_lane[kLanes];
    i32 q_lane[kLanes];
    store(x_lane, x);
    store(r_lane, r);
    store(q_lane, q);
    for (int i = 0; i < kLanes; ++i)
      if (bits(far) >> i & 1u) q_lane[i] = wide::quadrant_of(x_lane[i], &r_lane[i]);
    r = load(r_lane);
    q = load(q_lane);
  }
  return {q, r};
}

NACRE_INLINE Vec sin_near(Vec r) {
  const Vec t = r * r;
  return fma(t * r, polynomial(t, {-0.166666672f, 0.00833332911f, -0.000198393274f, 2.71823728e-06f}), r);
}
NACRE_INLINE Vec cos_near(Vec r) {
  const Vec t = r * r;
  const Vec tail = t * t * polynomial(t, {0.0416666679f, -0.00138888834f, 2.47995122e-05f, -2.72095434e-07f});
  return fma(t, set1(-0.5f), set1(1.0f)) + tail;
}
// The sine when q is even, else the cosine; negative when bit 1 of q is set.
NACRE_INLINE Vec by_quadrant(VecI q, Vec r) {
  const Mask odd = eq(q & set1i(1), set1i(1));
  const VecI sign = shl<30>(q & set1i(2));
  return as_float(as_int(select(odd, cos_near(r), sin_near(r))) ^ sign);
}

NACRE_INLINE Vec sin(Vec x) {  // 2 ulp
  const auto [q, r] = quadrant(x);
  return select(eq(x, zero()), x, by_quadrant(q, r));
}
NACRE_INLINE Vec cos(Vec x) {  // 2 ulp
  const auto [q, r] = quadrant(x);
  return by_quadrant(q + set1i(1), r);
}
NACRE_INLINE Vec tan(Vec x) {  // 4 ulp
  const auto [q, r] = quadrant(x);
  return select(eq(x, zero()), x, by_quadrant(q, r) / by_quadrant(q + set1i(1), r));
}

// Angle of the ratio b/a, 0 <= b <= a; from tan(pi/8) on the argument is turned by pi/4.
NACRE_INLINE Vec atan_of_ratio(Vec b, Vec a) {
  const Mask turn = gt(b, a * set1(0.41421356f));
  const Vec t = select(turn, b - a, b) / select(turn, b + a, a);
  const Vec square = t * t;
  const Vec p = polynomial(square, {-0.333333164f, 0.199984834f, -0.142437384f, 0.105951399f, -0.0608115606f});
  return select(turn, set1(0.785398163f)) + fma(square * t, p, t);
}
NACRE_INLINE Vec atan(Vec x) {  // 3 ulp
  const Vec a = abs(x), one = set1(1.0f);
  const Mask steep = gt(a, one);
  const Vec inner = atan_of_ratio(select(steep, one, a), select(steep, a, one));
  const Vec y = copysign(select(steep, set1(1.57079633f) - inner, inner), x);
  return select(eq(a, set1(kInf)), copysign(set1(1.57079633f), x), y);
}
// The angle of the point (x, y), in [-pi, pi]; 4 ulp.
NACRE_INLINE Vec atan2(Vec y, Vec x) {
  const Vec ay = abs(y), ax = abs(x);
  const Mask steep = gt(ay, ax), infinite = eq(ax, set1(kInf)) & eq(ay, set1(kInf));
  // halves: the sum of two huge sides must not overflow
  const Vec small = select(steep, ax, ay) * set1(0.5f), large = select(steep, ay, ax) * set1(0.5f);
  Vec angle = select(infinite, set1(0.785398163f), atan_of_ratio(small, large));
  angle = select(eq(large, zero()) | (eq(large, set1(kInf)) & ~infinite), zero(), angle);
  angle = select(steep, set1(1.57079633f) - angle, angle);
  const Mask left = ne(copysign(set1(1.0f), x), set1(1.0f));
  angle = copysign(select(left, set1(3.14159265f) - angle, angle), y);
  return select(isnan(x) | isnan(y), x + y, angle);
}

// asin for 0 <= a <= 1/2.
NACRE_INLINE Vec asin_near(Vec a) {
  const Vec t = a * a;
  return fma(t * a,
             polynomial(t, {0.166666597f, 0.0750051215f, 0.0445154719f, 0.0318198241f, 0.0143937878f, 0.0375781842f}),
             a);
}
NACRE_INLINE Vec asin(Vec x) {  // 3 ulp
  const Vec a = abs(x);
  const Mask high = gt(a, set1(0.5f));
  const Vec inner = asin_near(select(high, sqrt((set1(1.0f) - a) * set1(0.5f)), a));
  return copysign(select(high, set1(1.57079633f) - (inner + inner), inner), x);
}
NACRE_INLINE Vec acos(Vec x) {  // 3 ulp
  const Vec a = abs(x);
  const Mask high = gt(a, set1(0.5f));
  const Vec inner = asin_near(select(high, sqrt((set1(1.0f) - a) * set1(0.5f)), a));
  const Vec near_one = select(gt(x, zero()), inner + inner, set1(3.14159265f) - (inner + inner));
  return select(high, near_one, set1(1.57079633f) - copysign(inner, x));
}

NACRE_INLINE Vec asinh(Vec x) {  // 4 ulp
  const Vec a = abs(x), one = set1(1.0f), square = a * a;
  const Vec y = log1p(a + square / (one + sqrt(square + one)));
  const Vec huge = log(a) + set1(0.693147181f);  // a^2 would overflow
  return copysign(select(lt(a, set1(1.0e9f)), y, huge), x);
}
NACRE_INLINE Vec acosh(Vec x) {  // 4 ulp
  const Vec t = x - set1(1.0f);
  const Vec y = log1p(t + sqrt(t * (t + set1(2.0f))));
  const Vec huge = log(x) + set1(0.693147181f);
  return select(lt(x, set1(1.0f)), set1(kNaN), select(lt(x, set1(1.0e9f)), y, huge));
}
NACRE_INLINE Vec atanh(Vec x) {  // 4 ulp
  const Vec a = abs(x);
  return copysign(log1p((a + a) / (set1(1.0f) - a)) * set1(0.5f), x);
}

}  // namespace nacre::NACRE_ISA
