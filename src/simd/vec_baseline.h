// 4 lanes: SSE2 alone, what every x86-64 has. No fused multiply-add (two roundings), no blend, no rounding
// instruction: those are spelled out. Partial loads and stores go lane by lane.
#pragma once
#include <emmintrin.h>

#include "simd/inline.h"

namespace nacre::NACRE_ISA {

constexpr int kLanes = 4;

struct Vec {
  __m128 v;
};
struct VecI {
  __m128i v;
};
struct Mask {
  __m128 v;
};
struct VecD {
  __m128d low, high;
};

NACRE_INLINE VecI lane_index() { return {_mm_setr_epi32(0, 1, 2, 3)}; }
NACRE_INLINE VecI set1i(i32 x) { return {_mm_set1_epi32(x)}; }
NACRE_INLINE Vec set1(float x) { return {_mm_set1_ps(x)}; }
NACRE_INLINE Mask first_lanes(i64 n) {
  const i32 bounded = static_cast<i32>(n > 4 ? 4 : n < 0 ? 0 : n);
  return {_mm_castsi128_ps(_mm_cmpgt_epi32(_mm_set1_epi32(bounded), lane_index().v))};
}
NACRE_INLINE u32 bits(Mask m) { return static_cast<u32>(_mm_movemask_ps(m.v)); }

NACRE_INLINE Vec load(const float* p) { return {_mm_loadu_ps(p)}; }
NACRE_INLINE Vec load(const float* p, i64 n) {
  if (n >= 4) return load(p);
  const __m128 low = n >= 2 ? _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))) : _mm_setzero_ps();
  if (n == 1) return {_mm_load_ss(p)};
  return n == 3 ? Vec{_mm_movelh_ps(low, _mm_load_ss(p + 2))} : Vec{low};
}
NACRE_INLINE void store(float* p, Vec a) { _mm_storeu_ps(p, a.v); }
NACRE_INLINE void stream(float* p, Vec a) { _mm_stream_ps(p, a.v); }
NACRE_INLINE void store(float* p, Vec a, i64 n) {
  if (n >= 4) return store(p, a);
  if (n == 1) _mm_store_ss(p, a.v);
  if (n >= 2) _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_castps_si128(a.v));
  if (n == 3) _mm_store_ss(p + 2, _mm_movehl_ps(a.v, a.v));
}
NACRE_INLINE Vec load(const float* p, Mask m) {
  float lane[4];
  for (int i = 0; i < 4; ++i) lane[i] = bits(m) >> i & 1u ? p[i] : 0.0f;
  return load(lane);
}
NACRE_INLINE void store(float* p, Vec a, Mask m) {
  float lane[4];
  store(lane, a);
  for (int i = 0; i < 4; ++i)
    if (bits(m) >> i & 1u) p[i] = lane[i];
}
NACRE_INLINE VecI load(const i32* p) { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
NACRE_INLINE VecI load(const i32* p, i64 n) {
  i32 lane[4];
  for (int i = 0; i < 4; ++i) lane[i] = i < n ? p[i] : 0;
  return load(lane);
}
NACRE_INLINE void store(i32* p, VecI a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a.v); }
NACRE_INLINE void store(i32* p, VecI a, i64 n) {
  i32 lane[4];
  store(lane, a);
  for (int i = 0; i < 4 && i < n; ++i) p[i] = lane[i];
}

NACRE_INLINE Vec operator+(Vec a, Vec b) { return {_mm_add_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator-(Vec a, Vec b) { return {_mm_sub_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator*(Vec a, Vec b) { return {_mm_mul_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator/(Vec a, Vec b) { return {_mm_div_ps(a.v, b.v)}; }
NACRE_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
NACRE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return c - a * b; }
NACRE_INLINE Vec min(Vec a, Vec b) { return {_mm_min_ps(a.v, b.v)}; }
NACRE_INLINE Vec max(Vec a, Vec b) { return {_mm_max_ps(a.v, b.v)}; }
NACRE_INLINE Vec sqrt(Vec a) { return {_mm_sqrt_ps(a.v)}; }
NACRE_INLINE Vec abs(Vec a) { return {_mm_andnot_ps(_mm_set1_ps(-0.0f), a.v)}; }

NACRE_INLINE Mask lt(Vec a, Vec b) { return {_mm_cmplt_ps(a.v, b.v)}; }
NACRE_INLINE Mask le(Vec a, Vec b) { return {_mm_cmple_ps(a.v, b.v)}; }
NACRE_INLINE Mask gt(Vec a, Vec b) { return {_mm_cmpgt_ps(a.v, b.v)}; }
NACRE_INLINE Mask ge(Vec a, Vec b) { return {_mm_cmpge_ps(a.v, b.v)}; }
NACRE_INLINE Mask eq(Vec a, Vec b) { return {_mm_cmpeq_ps(a.v, b.v)}; }
NACRE_INLINE Mask ne(Vec a, Vec b) { return {_mm_cmpneq_ps(a.v, b.v)}; }
NACRE_INLINE Mask eq(VecI a, VecI b) { return {_mm_castsi128_ps(_mm_cmpeq_epi32(a.v, b.v))}; }
NACRE_INLINE Mask gt(VecI a, VecI b) { return {_mm_castsi128_ps(_mm_cmpgt_epi32(a.v, b.v))}; }
NACRE_INLINE Mask operator&(Mask a, Mask b) { return {_mm_and_ps(a.v, b.v)}; }
NACRE_INLINE Mask operator|(Mask a, Mask b) { return {_mm_or_ps(a.v, b.v)}; }
NACRE_INLINE Mask operator^(Mask a, Mask b) { return {_mm_xor_ps(a.v, b.v)}; }
NACRE_INLINE Mask operator~(Mask a) { return {_mm_xor_ps(a.v, _mm_castsi128_ps(_mm_set1_epi32(-1)))}; }
NACRE_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm_or_ps(_mm_and_ps(m.v, a.v), _mm_andnot_ps(m.v, b.v))}; }
NACRE_INLINE VecI select(Mask m, VecI a, VecI b) {
  const __m128i k = _mm_castps_si128(m.v);
  return {_mm_or_si128(_mm_and_si128(k, a.v), _mm_andnot_si128(k, b.v))};
}
NACRE_INLINE VecI min(VecI a, VecI b) { return select(gt(b, a), a, b); }
NACRE_INLINE VecI max(VecI a, VecI b) { return select(gt(a, b), a, b); }

NACRE_INLINE VecI operator+(VecI a, VecI b) { return {_mm_add_epi32(a.v, b.v)}; }
NACRE_INLINE VecI operator-(VecI a, VecI b) { return {_mm_sub_epi32(a.v, b.v)}; }
NACRE_INLINE VecI operator&(VecI a, VecI b) { return {_mm_and_si128(a.v, b.v)}; }
NACRE_INLINE VecI operator|(VecI a, VecI b) { return {_mm_or_si128(a.v, b.v)}; }
NACRE_INLINE VecI operator^(VecI a, VecI b) { return {_mm_xor_si128(a.v, b.v)}; }
NACRE_INLINE VecI operator*(VecI a, VecI b) {
  const __m128i even = _mm_mul_epu32(a.v, b.v);
  const __m128i odd = _mm_mul_epu32(_mm_srli_epi64(a.v, 32), _mm_srli_epi64(b.v, 32));
  return {_mm_unpacklo_epi32(_mm_shuffle_epi32(even, 0x08), _mm_shuffle_epi32(odd, 0x08))};
}
template <int n>
NACRE_INLINE VecI shl(VecI a) {
  return {_mm_slli_epi32(a.v, n)};
}
template <int n>
NACRE_INLINE VecI shr(VecI a) {
  return {_mm_srli_epi32(a.v, n)};
}
template <int n>
NACRE_INLINE VecI sar(VecI a) {
  return {_mm_srai_epi32(a.v, n)};
}
NACRE_INLINE VecI mulhi(VecI a, VecI b) {
  const __m128i even = _mm_mul_epu32(a.v, b.v);
  const __m128i odd = _mm_mul_epu32(_mm_srli_epi64(a.v, 32), _mm_srli_epi64(b.v, 32));
  return {_mm_unpacklo_epi32(_mm_shuffle_epi32(even, 0x0d), _mm_shuffle_epi32(odd, 0x0d))};
}
NACRE_INLINE Vec to_float(VecI a) { return {_mm_cvtepi32_ps(a.v)}; }
NACRE_INLINE VecI to_int(Vec a) { return {_mm_cvttps_epi32(a.v)}; }
NACRE_INLINE VecI to_int_round(Vec a) { return {_mm_cvtps_epi32(a.v)}; }
NACRE_INLINE Vec as_float(VecI a) { return {_mm_castsi128_ps(a.v)}; }
NACRE_INLINE VecI as_int(Vec a) { return {_mm_castps_si128(a.v)}; }
NACRE_INLINE VecI load_u8(const u8* p) {
  i32 four;
  __builtin_memcpy(&four, p, 4);
  const __m128i none = _mm_setzero_si128();
  return {_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), none), none)};
}
NACRE_INLINE void store_u8(u8* p, VecI a) {
  const __m128i words = _mm_packs_epi32(a.v, a.v);
  const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  __builtin_memcpy(p, &bytes, 4);
}
NACRE_INLINE Vec load_at(const float* p, VecI index) {
  i32 i[4];
  store(i, index);
  return {_mm_setr_ps(p[i[0]], p[i[1]], p[i[2]], p[i[3]])};
}

// Numbers from 2^23 on (and inf, nan) are whole already; below it the sign of a zero result is that of the argument.
namespace whole {
NACRE_INLINE Vec or_itself(Vec a, Vec rounded) {
  const Vec sign = {_mm_and_ps(a.v, _mm_set1_ps(-0.0f))};
  const Mask small = lt(abs(a), set1(8388608.0f));
  return select(small, Vec{_mm_or_ps(abs(rounded).v, sign.v)}, a);
}
}  // namespace whole
NACRE_INLINE Vec round_even(Vec a) { return whole::or_itself(a, to_float(to_int_round(a))); }
NACRE_INLINE Vec trunc(Vec a) { return whole::or_itself(a, to_float(to_int(a))); }
NACRE_INLINE Vec floor(Vec a) {
  const Vec t = trunc(a);
  return whole::or_itself(a, t - Vec{_mm_and_ps(gt(t, a).v, _mm_set1_ps(1.0f))});
}
NACRE_INLINE Vec ceil(Vec a) {
  const Vec t = trunc(a);
  return whole::or_itself(a, t + Vec{_mm_and_ps(lt(t, a).v, _mm_set1_ps(1.0f))});
}

NACRE_INLINE VecD to_double(Vec a) { return {_mm_cvtps_pd(a.v), _mm_cvtps_pd(_mm_movehl_ps(a.v, a.v))}; }
NACRE_INLINE Vec to_float(VecD a) { return {_mm_movelh_ps(_mm_cvtpd_ps(a.low), _mm_cvtpd_ps(a.high))}; }
NACRE_INLINE VecD set1d(double x) { return {_mm_set1_pd(x), _mm_set1_pd(x)}; }
NACRE_INLINE VecD fma(VecD a, VecD b, VecD c) { return {a.low * b.low + c.low, a.high * b.high + c.high}; }

NACRE_INLINE Vec set1_pair(const float* p) {
  double two;
  __builtin_memcpy(&two, p, sizeof two);
  return {_mm_castpd_ps(_mm_set1_pd(two))};
}
NACRE_INLINE Vec zip_low(Vec a, Vec b) { return {_mm_unpacklo_ps(a.v, b.v)}; }

// Halves are folded: 4 -> 2 -> 1.
template <class F>
NACRE_INLINE float fold(Vec a, F f) {
  const Vec b = f(a, Vec{_mm_shuffle_ps(a.v, a.v, 0x4e)});
  return _mm_cvtss_f32(f(b, Vec{_mm_shuffle_ps(b.v, b.v, 0xb1)}).v);
}

// Rows become columns: lane j of r[i] and lane i of r[j] change places.
NACRE_INLINE void transpose(Vec (&r)[4]) { _MM_TRANSPOSE4_PS(r[0].v, r[1].v, r[2].v, r[3].v); }

// Lane l: the lanes of r[l], folded as fold() does.
template <class F>
NACRE_INLINE Vec fold_rows(const Vec (&r)[4], F f) {
  Vec t[4] = {r[0], r[1], r[2], r[3]};
  transpose(t);
  return f(f(t[0], t[2]), f(t[1], t[3]));
}

// Lane sums of four vectors at once, to[0..3]: within each 128 bits (l0 + l2) + (l1 + l3).
NACRE_INLINE void sum_lanes(Vec a, Vec b, Vec c, Vec d, float* to) {
  const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a.v, b.v), _mm_unpackhi_ps(a.v, b.v));
  const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c.v, d.v), _mm_unpackhi_ps(c.v, d.v));
  _mm_storeu_ps(to, _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab)));
}

// Keeps the compiler from loading the same vector again for each use: a split load costs two.
NACRE_INLINE Vec in_register(Vec a) {
  asm("" : "+x"(a.v));
  return a;
}

}  // namespace nacre::NACRE_ISA
