// 8 lanes: AVX2 and FMA. Masks are full-width lanes of all ones or zeros.
#pragma once
#include <immintrin.h>

#include "simd/inline.h"

namespace nacre::NACRE_ISA {

constexpr int kLanes = 8;

struct Vec {
  __m256 v;
};
struct VecI {
  __m256i v;
};
struct Mask {
  __m256 v;
};
struct VecD {
  __m256d low, high;
};

NACRE_INLINE VecI lane_index() { return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)}; }
NACRE_INLINE VecI set1i(i32 x) { return {_mm256_set1_epi32(x)}; }
NACRE_INLINE Mask first_lanes(i64 n) {
  const i32 bounded = static_cast<i32>(n > 8 ? 8 : n < 0 ? 0 : n);
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(bounded), lane_index().v))};
}

NACRE_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
NACRE_INLINE Vec load(const float* p, Mask m) { return {_mm256_maskload_ps(p, _mm256_castps_si256(m.v))}; }
NACRE_INLINE Vec load(const float* p, i64 n) { return n >= 8 ? load(p) : load(p, first_lanes(n)); }
NACRE_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
NACRE_INLINE void stream(float* p, Vec a) { _mm256_stream_ps(p, a.v); }
NACRE_INLINE void store(float* p, Vec a, Mask m) { _mm256_maskstore_ps(p, _mm256_castps_si256(m.v), a.v); }
NACRE_INLINE void store(float* p, Vec a, i64 n) {
  if (n >= 8) return store(p, a);
  store(p, a, first_lanes(n));
}
NACRE_INLINE VecI load(const i32* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
NACRE_INLINE VecI load(const i32* p, i64 n) {
  return {_mm256_maskload_epi32(p, _mm256_castps_si256(first_lanes(n).v))};
}
NACRE_INLINE void store(i32* p, VecI a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
NACRE_INLINE void store(i32* p, VecI a, i64 n) {
  _mm256_maskstore_epi32(p, _mm256_castps_si256(first_lanes(n).v), a.v);
}
NACRE_INLINE Vec set1(float x) { return {_mm256_set1_ps(x)}; }

NACRE_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
NACRE_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
NACRE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
NACRE_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
NACRE_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
NACRE_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
NACRE_INLINE Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
NACRE_INLINE Vec round_even(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
NACRE_INLINE Vec floor(Vec a) { return {_mm256_floor_ps(a.v)}; }
NACRE_INLINE Vec ceil(Vec a) { return {_mm256_ceil_ps(a.v)}; }
NACRE_INLINE Vec trunc(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}; }

NACRE_INLINE Mask lt(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
NACRE_INLINE Mask le(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
NACRE_INLINE Mask gt(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
NACRE_INLINE Mask ge(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
NACRE_INLINE Mask eq(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
NACRE_INLINE Mask ne(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_NEQ_UQ)}; }
NACRE_INLINE Mask eq(VecI a, VecI b) { return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.v, b.v))}; }
NACRE_INLINE Mask gt(VecI a, VecI b) { return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(a.v, b.v))}; }
NACRE_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.v, b.v)}; }
NACRE_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.v, b.v)}; }
NACRE_INLINE Mask operator^(Mask a, Mask b) { return {_mm256_xor_ps(a.v, b.v)}; }
NACRE_INLINE Mask operator~(Mask a) { return {_mm256_xor_ps(a.v, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))}; }
NACRE_INLINE u32 bits(Mask m) { return static_cast<u32>(_mm256_movemask_ps(m.v)); }
NACRE_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, m.v)}; }
NACRE_INLINE Vec select(Mask m, Vec a) { return {_mm256_and_ps(m.v, a.v)}; }  // by a blend g++ makes the mask anew
NACRE_INLINE VecI select(Mask m, VecI a, VecI b) { return {_mm256_blendv_epi8(b.v, a.v, _mm256_castps_si256(m.v))}; }
NACRE_INLINE VecI min(VecI a, VecI b) { return {_mm256_min_epi32(a.v, b.v)}; }
NACRE_INLINE VecI max(VecI a, VecI b) { return {_mm256_max_epi32(a.v, b.v)}; }

NACRE_INLINE VecI operator+(VecI a, VecI b) { return {_mm256_add_epi32(a.v, b.v)}; }
NACRE_INLINE VecI operator-(VecI a, VecI b) { return {_mm256_sub_epi32(a.v, b.v)}; }
NACRE_INLINE VecI operator*(VecI a, VecI b) { return {_mm256_mullo_epi32(a.v, b.v)}; }
NACRE_INLINE VecI operator&(VecI a, VecI b) { return {_mm256_and_si256(a.v, b.v)}; }
NACRE_INLINE VecI operator|(VecI a, VecI b) { return {_mm256_or_si256(a.v, b.v)}; }
NACRE_INLINE VecI operator^(VecI a, VecI b) { return {_mm256_xor_si256(a.v, b.v)}; }
template <int n>
NACRE_INLINE VecI shl(VecI a) {
  return {_mm256_slli_epi32(a.v, n)};
}
template <int n>
NACRE_INLINE VecI shr(VecI a) {
  return {_mm256_srli_epi32(a.v, n)};
}
template <int n>
NACRE_INLINE VecI sar(VecI a) {
  return {_mm256_srai_epi32(a.v, n)};
}
NACRE_INLINE VecI mulhi(VecI a, VecI b) {
  const __m256i even = _mm256_mul_epu32(a.v, b.v);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a.v, 32), _mm256_srli_epi64(b.v, 32));
  return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa)};
}
NACRE_INLINE Vec to_float(VecI a) { return {_mm256_cvtepi32_ps(a.v)}; }
NACRE_INLINE VecI to_int(Vec a) { return {_mm256_cvttps_epi32(a.v)}; }
NACRE_INLINE VecI to_int_round(Vec a) { return {_mm256_cvtps_epi32(a.v)}; }
NACRE_INLINE Vec as_float(VecI a) { return {_mm256_castsi256_ps(a.v)}; }
NACRE_INLINE VecI as_int(Vec a) { return {_mm256_castps_si256(a.v)}; }
NACRE_INLINE VecI load_u8(const u8* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
NACRE_INLINE void store_u8(u8* p, VecI a) {
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
NACRE_INLINE Vec load_at(const float* p, VecI index) { return {_mm256_i32gather_ps(p, index.v, 4)}; }
NACRE_INLINE VecI look_up(const i32 (&table)[8], VecI at) { return {_mm256_permutevar8x32_epi32(load(table).v, at.v)}; }
NACRE_INLINE Vec look_up(const float (&table)[8], VecI at) { return {_mm256_permutevar8x32_ps(load(table).v, at.v)}; }
NACRE_INLINE Vec look_up(const float (&table)[16], VecI at) {
  const __m256 low = _mm256_permutevar8x32_ps(load(table).v, at.v);
  const __m256 high = _mm256_permutevar8x32_ps(load(table + 8).v, at.v);
  return {_mm256_blendv_ps(low, high, _mm256_castsi256_ps(shl<28>(at).v))};
}

NACRE_INLINE VecD to_double(Vec a) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(a.v)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1))};
}
NACRE_INLINE Vec to_float(VecD a) { return {_mm256_set_m128(_mm256_cvtpd_ps(a.high), _mm256_cvtpd_ps(a.low))}; }
NACRE_INLINE VecD set1d(double x) { return {_mm256_set1_pd(x), _mm256_set1_pd(x)}; }
NACRE_INLINE VecD fma(VecD a, VecD b, VecD c) {
  return {_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}

NACRE_INLINE Vec set1_pair(const float* p) {
  double two;
  __builtin_memcpy(&two, p, sizeof two);
  return {_mm256_castpd_ps(_mm256_set1_pd(two))};
}
NACRE_INLINE Vec zip_low(Vec a, Vec b) {
  return {_mm256_permute2f128_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v), 0x20)};
}

// Halves are folded: 8 -> 4 -> 2 -> 1.
template <class F>
NACRE_INLINE float fold(Vec a, F f) {
  const Vec b = f(a, Vec{_mm256_permute2f128_ps(a.v, a.v, 1)});
  const Vec c = f(b, Vec{_mm256_permute_ps(b.v, 0x4e)});
  return _mm256_cvtss_f32(f(c, Vec{_mm256_permute_ps(c.v, 0xb1)}).v);
}

// Rows become columns: lane j of r[i] and lane i of r[j] change places.
NACRE_INLINE void transpose(Vec (&r)[8]) {
  __m256 t[8], u[8];
  NACRE_UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i].v, r[i + 1].v);
    t[i + 1] = _mm256_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  NACRE_UNROLL
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  NACRE_UNROLL
  for (int c = 0; c < 4; ++c) {
    r[c].v = _mm256_permute2f128_ps(u[c], u[c + 4], 0x20);
    r[c + 4].v = _mm256_permute2f128_ps(u[c], u[c + 4], 0x31);
  }
}

// Lane l: the lanes of r[l], folded as fold() does.
template <class F>
NACRE_INLINE Vec fold_rows(const Vec (&r)[8], F f) {
  Vec u[4];  // the lower lanes of u[j]: what is left of r[j], the upper ones of r[4 + j]
  NACRE_UNROLL
  for (int j = 0; j < 4; ++j) {
    const __m256 a = r[j].v, b = r[j + 4].v;
    u[j] = f(Vec{_mm256_permute2f128_ps(a, b, 0x20)}, Vec{_mm256_permute2f128_ps(a, b, 0x31)});
  }
  const Vec a = f(Vec{_mm256_shuffle_ps(u[0].v, u[1].v, 0x44)}, Vec{_mm256_shuffle_ps(u[0].v, u[1].v, 0xee)});
  const Vec b = f(Vec{_mm256_shuffle_ps(u[2].v, u[3].v, 0x44)}, Vec{_mm256_shuffle_ps(u[2].v, u[3].v, 0xee)});
  return f(Vec{_mm256_shuffle_ps(a.v, b.v, 0x88)}, Vec{_mm256_shuffle_ps(a.v, b.v, 0xdd)});
}

// Lane sums of four vectors at once, to[0..3]: within each 128 bits (l0 + l2) + (l1 + l3), then across.
NACRE_INLINE void sum_lanes(Vec a, Vec b, Vec c, Vec d, float* to) {
  const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v));
  const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c.v, d.v), _mm256_unpackhi_ps(c.v, d.v));
  const __m256 all = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}

NACRE_INLINE Vec permute(Vec a, VecI from) { return {_mm256_permutevar8x32_ps(a.v, from.v)}; }  // lane l: a[from[l]]

// Keeps the compiler from loading the same vector again for each use: a split load costs two.
NACRE_INLINE Vec in_register(Vec a) {
  asm("" : "+x"(a.v));
  return a;
}

}  // namespace nacre::NACRE_ISA
