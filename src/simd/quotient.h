// Floor division: from one division, and a remainder that fma gives exactly.
#pragma once
#include "simd/simd.h"

namespace nacre::NACRE_ISA {

struct Quotient {
  Vec ratio, whole, rest;  // a = whole * b + rest, rounded once; the rest has the sign of b
  bool sure;  // or the other way must be taken: for quotients from 2^22 on, very large or small b, inf and NaN
};

NACRE_INLINE Quotient floor_quotient(Vec a, Vec b) {
  const Vec ratio = a / b, size = abs(b);
  const VecI sign = as_int(b) & set1i(static_cast<i32>(0x80000000u));
  Vec whole = floor(ratio);
  // The ratio was rounded, so this may be off by one: too much if it leaves less than 0, too little if one more does not.
  const auto left = [&](Vec n) __attribute__((always_inline)) { return as_float(as_int(fnma(n, b, a)) ^ sign); };
  whole = select(lt(left(whole), zero()), whole - set1(1.0f), whole);
  whole = select(le(zero(), left(whole + set1(1.0f))), whole + set1(1.0f), whole);
  const Mask sure = lt(abs(ratio), set1(0x1p22f)) & lt(size, set1(0x1p100f)) & gt(size, set1(0x1p-100f));
  return {ratio, whole, fnma(whole, b, a), kLanes >= 8 && all(sure)};  // without fma nothing is exact
}

template <class F>
NACRE_INLINE Vec floor_mod(Vec a, Vec b, F otherwise) {
  const Quotient d = floor_quotient(a, b);
  return d.sure ? select(eq(d.rest, zero()), copysign(zero(), b), d.rest) : otherwise();
}
template <class F>
NACRE_INLINE Vec floor_div(Vec a, Vec b, F otherwise) {
  const Quotient d = floor_quotient(a, b);
  return d.sure ? select(eq(d.whole, zero()), copysign(zero(), d.ratio), d.whole) : otherwise();
}

}  // namespace nacre::NACRE_ISA
