// One vocabulary of vectors for every ISA, in nacre::NACRE_ISA: Vec (kLanes floats), VecI (kLanes 32-bit integers) and
// Mask (kLanes truth values, for both). The vec_*.h files say how, this file adds what follows from them.
//
//   load(p)  load(p, n)  load(p, mask)   memory of the lanes beyond n (outside the mask) is never touched; they read 0
//   store(p, v)  store(p, v, n)  store(p, v, mask)
//   stream(p, v): past the caches, p at a multiple of a vector; streamed() before anyone else may read it
//   fma(a, b, c) = a*b + c, fnma(a, b, c) = c - a*b: one rounding where the ISA has it (all but baseline)
//   min(a, b), max(a, b): b when either is NaN, so max(zero(), x) keeps the NaNs of x; *_nan: NaN when either is
//   mulhi(a, b): upper 32 bits of the unsigned product;  a * b: the lower 32
//   to_int truncates, to_int_round rounds to even; both only for |x| < 2^31
//   VecD: kLanes doubles, for what floats cannot hold; to_double, to_float, set1d, load, store, fma, + - * /
//   add_where(m, a, b): a + b in the lanes of m, elsewhere a (or a + 0)
//   load_u8, store_u8: kLanes bytes <-> integers of 0..255, or the first n < kLanes of them
//   Bytes: kLanes numbers 0..255 that are only compared; load_bytes, set1_bytes, eq
//   load_at(p, index): lane i is p[index[i]];  transpose(Vec (&rows)[kLanes])
//   look_up(table, at): lane i is table[the last bits of at[i]], as many as number its elements
//   fold_rows(rows, f): lane l is rows[l] folded with f, kLanes folds at once
//   set1_pair(p): p[0], p[1], p[0], p[1], ...;  zip_low(a, b): a[0], b[0], a[1], b[1], ... from the lower halves
//   reduce_*: halves folded onto each other, so that the order is fixed (it differs between ISAs)
//
// Expressions are not contracted (-ffp-contract=off): where a fused multiply-add is meant, fma() is written.
#pragma once
#include "simd/inline.h"

#if defined(__AVX512F__)
#include "simd/vec_avx512.h"
#elif defined(__AVX2__)
#include "simd/vec_avx2.h"
#elif defined(__ARM_NEON)
#include "simd/vec_neon.h"
#elif defined(__SSE2__)
#include "simd/vec_baseline.h"
#else
#error "no vector unit known to nacre: x86-64 or AArch64 expected"
#endif

namespace nacre::NACRE_ISA {

#if defined(__FMA__) || defined(__ARM_NEON)
constexpr bool kFused = true;  // fma() rounds once
#else
constexpr bool kFused = false;
#endif

NACRE_INLINE Vec zero() { return set1(0.0f); }
NACRE_INLINE Vec operator-(Vec a) { return as_float(as_int(a) ^ set1i(static_cast<i32>(0x80000000u))); }
NACRE_INLINE Vec& operator+=(Vec& a, Vec b) { return a = a + b; }
NACRE_INLINE Vec& operator-=(Vec& a, Vec b) { return a = a - b; }
NACRE_INLINE Vec& operator*=(Vec& a, Vec b) { return a = a * b; }
NACRE_INLINE Vec& operator/=(Vec& a, Vec b) { return a = a / b; }
NACRE_INLINE VecI& operator+=(VecI& a, VecI b) { return a = a + b; }
NACRE_INLINE VecI& operator-=(VecI& a, VecI b) { return a = a - b; }
NACRE_INLINE VecI operator~(VecI a) { return a ^ set1i(-1); }

#ifndef __AVX512F__
using Bytes = VecI;
NACRE_INLINE Bytes load_bytes(const u8* p) { return load_u8(p); }
NACRE_INLINE Bytes set1_bytes(u8 a) { return set1i(a); }

// Fewer than 8 bytes, in pieces of powers of two.
NACRE_INLINE VecI load_u8(const u8* p, i64 n) {
  const auto bytes = [p](auto part, i64 at) __attribute__((always_inline)) {
    __builtin_memcpy(&part, p + at, sizeof part);
    return static_cast<u64>(part) << 8 * at;
  };
  u64 all = 0;  // one store, which a load can follow at once
  if (n & 4) all = bytes(u32{}, 0);
  if (n & 2) all |= bytes(static_cast<unsigned short>(0), n & 4);
  if (n & 1) all |= bytes(u8{}, n & 6);
  u8 lane[8];
  __builtin_memcpy(lane, &all, 8);
  return load_u8(lane);
}
NACRE_INLINE Bytes load_bytes(const u8* p, i64 n) { return load_u8(p, n); }
NACRE_INLINE void store_u8(u8* p, VecI a, i64 n) {
  u8 lane[8];
  store_u8(lane, a);
  i64 at = 0;
  if (n & 4) __builtin_memcpy(p, lane, 4), at = 4;
  if (n & 2) __builtin_memcpy(p + at, lane + at, 2), at += 2;
  if (n & 1) p[at] = lane[at];
}
#endif

#if !defined(__AVX2__)
template <int n>
NACRE_INLINE Vec look_up(const float (&table)[n], VecI at) {
  return load_at(table, at & set1i(n - 1));
}
template <int n>
NACRE_INLINE VecI look_up(const i32 (&)[n], VecI at) {
  static_assert(n == 1, "");
  return at;
}
#endif

// A number that is known when it is compiled.
template <int N>
struct Number {
  static constexpr int value = N;
};

// One addition; the compiler would rather keep the distances of all rows, on the stack.
template <class T>
NACRE_INLINE T* row_below(T* p, i64 row) {
  p += row;
  __asm__("" : "+r"(p));
  return p;
}

NACRE_INLINE Mask isnan(Vec a) { return ne(a, a); }
NACRE_INLINE Mask lt(VecI a, VecI b) { return gt(b, a); }
NACRE_INLINE Mask ge(VecI a, VecI b) { return ~gt(b, a); }
NACRE_INLINE Mask le(VecI a, VecI b) { return ~gt(a, b); }
NACRE_INLINE Mask ne(VecI a, VecI b) { return ~eq(a, b); }
NACRE_INLINE bool any(Mask m) { return bits(m) != 0; }
NACRE_INLINE bool all(Mask m) { return bits(m) == (1u << kLanes) - 1u; }

#if defined(__AVX512F__) || !defined(__AVX2__)
NACRE_INLINE Vec select(Mask m, Vec a) { return select(m, a, zero()); }
#endif
#ifndef __AVX512F__
NACRE_INLINE Vec add_where(Mask m, Vec a, Vec b) { return a + select(m, b, zero()); }
#endif
NACRE_INLINE Vec min_nan(Vec a, Vec b) { return select(isnan(a), a, min(a, b)); }
NACRE_INLINE Vec max_nan(Vec a, Vec b) { return select(isnan(a), a, max(a, b)); }
NACRE_INLINE Vec copysign(Vec size, Vec sign) {
  const VecI top = set1i(static_cast<i32>(0x80000000u));
  return as_float(as_int(abs(size)) | (as_int(sign) & top));
}

NACRE_INLINE float reduce_add(Vec a) {
  return fold(a, [](Vec x, Vec y) __attribute__((always_inline)) { return x + y; });
}
NACRE_INLINE float reduce_max(Vec a) {
  return fold(a, [](Vec x, Vec y) __attribute__((always_inline)) { return max(x, y); });
}
NACRE_INLINE float reduce_min(Vec a) {
  return fold(a, [](Vec x, Vec y) __attribute__((always_inline)) { return min(x, y); });
}

// Doubles serve where floats do not suffice (long sums, pow): lane i of `low` is lane i, of `high` lane kLanes/2 + i.
NACRE_INLINE VecD load(const double* p) {
  VecD a;
  __builtin_memcpy(&a, p, sizeof a);
  return a;
}
NACRE_INLINE void store(double* p, VecD a) { __builtin_memcpy(p, &a, sizeof a); }
NACRE_INLINE VecD operator+(VecD a, VecD b) { return {a.low + b.low, a.high + b.high}; }
NACRE_INLINE VecD operator-(VecD a, VecD b) { return {a.low - b.low, a.high - b.high}; }
NACRE_INLINE VecD operator*(VecD a, VecD b) { return {a.low * b.low, a.high * b.high}; }
NACRE_INLINE VecD operator/(VecD a, VecD b) { return {a.low / b.low, a.high / b.high}; }
NACRE_INLINE VecD& operator+=(VecD& a, VecD b) { return a = a + b; }
NACRE_INLINE double reduce_add(VecD a) {
  double lane[kLanes / 2];
  const auto half = a.low + a.high;
  __builtin_memcpy(lane, &half, sizeof lane);
  for (int n = kLanes / 4; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) lane[i] += lane[i + n];
  return lane[0];
}

NACRE_INLINE void streamed() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}
NACRE_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
NACRE_INLINE void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }  // into L2
NACRE_INLINE void prefetch_to_write(void* p) {
  __builtin_prefetch(p, 1, 3);
}  // takes it from other cores, where it can

}  // namespace nacre::NACRE_ISA
