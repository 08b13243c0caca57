// 16 lanes: AVX-512 F, BW, DQ, VL. Compares give mask registers; partial loads and stores are masked.
#pragma once

// g++ 12 takes the deliberately undefined pass-through operand of its own intrinsics for a mistake of ours.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

#include "simd/inline.h"

namespace nacre::NACRE_ISA {

constexpr int kLanes = 16;

struct Vec {
  __m512 v;
};
struct VecI {
  __m512i v;
};
struct Mask {
  __mmask16 v;
};
struct VecD {
  __m512d low, high;
};

NACRE_INLINE Mask first_lanes(i64 n) {
  return {static_cast<__mmask16>(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u)};
}

NACRE_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
// Where all lanes are loaded, without a mask: a masked load that misses L1 takes Zen 5 several times as long.
NACRE_INLINE Vec load(const float* p, i64 n) {
  if (n >= 16) return load(p);
  return {_mm512_maskz_loadu_ps(first_lanes(n).v, p)};
}
NACRE_INLINE Vec load(const float* p, Mask m) { return {_mm512_maskz_loadu_ps(m.v, p)}; }
NACRE_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
NACRE_INLINE void stream(float* p, Vec a) { _mm512_stream_ps(p, a.v); }
NACRE_INLINE void store(float* p, Vec a, i64 n) {
  if (n >= 16) return store(p, a);
  _mm512_mask_storeu_ps(p, first_lanes(n).v, a.v);
}
NACRE_INLINE void store(float* p, Vec a, Mask m) { _mm512_mask_storeu_ps(p, m.v, a.v); }
NACRE_INLINE VecI load(const i32* p) { return {_mm512_loadu_si512(p)}; }
NACRE_INLINE VecI load(const i32* p, i64 n) { return {_mm512_maskz_loadu_epi32(first_lanes(n).v, p)}; }
NACRE_INLINE void store(i32* p, VecI a) { _mm512_storeu_si512(p, a.v); }
NACRE_INLINE void store(i32* p, VecI a, i64 n) { _mm512_mask_storeu_epi32(p, first_lanes(n).v, a.v); }
NACRE_INLINE Vec set1(float x) { return {_mm512_set1_ps(x)}; }
NACRE_INLINE VecI set1i(i32 x) { return {_mm512_set1_epi32(x)}; }
NACRE_INLINE VecI lane_index() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }

NACRE_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
NACRE_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
NACRE_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
NACRE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
NACRE_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
NACRE_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
NACRE_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
NACRE_INLINE Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
NACRE_INLINE Vec round_even(Vec a) { return {_mm512_roundscale_ps(a.v, 8)}; }
NACRE_INLINE Vec floor(Vec a) { return {_mm512_roundscale_ps(a.v, 9)}; }
NACRE_INLINE Vec ceil(Vec a) { return {_mm512_roundscale_ps(a.v, 10)}; }
NACRE_INLINE Vec trunc(Vec a) { return {_mm512_roundscale_ps(a.v, 11)}; }

NACRE_INLINE Mask lt(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
NACRE_INLINE Mask le(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
NACRE_INLINE Mask gt(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
NACRE_INLINE Mask ge(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
NACRE_INLINE Mask eq(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
NACRE_INLINE Mask ne(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
NACRE_INLINE Mask eq(VecI a, VecI b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
NACRE_INLINE Mask gt(VecI a, VecI b) { return {_mm512_cmpgt_epi32_mask(a.v, b.v)}; }
NACRE_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.v & b.v)}; }
NACRE_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<__mmask16>(a.v | b.v)}; }
NACRE_INLINE Mask operator^(Mask a, Mask b) { return {static_cast<__mmask16>(a.v ^ b.v)}; }
NACRE_INLINE Mask operator~(Mask a) { return {static_cast<__mmask16>(~a.v)}; }
NACRE_INLINE u32 bits(Mask m) { return m.v; }
NACRE_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.v, b.v, a.v)}; }
NACRE_INLINE VecI select(Mask m, VecI a, VecI b) { return {_mm512_mask_blend_epi32(m.v, b.v, a.v)}; }
NACRE_INLINE VecI min(VecI a, VecI b) { return {_mm512_min_epi32(a.v, b.v)}; }
NACRE_INLINE VecI max(VecI a, VecI b) { return {_mm512_max_epi32(a.v, b.v)}; }

// On the pipes that multiply: additions share theirs with the comparison that made the mask (Zen 5).
NACRE_INLINE Vec add_where(Mask m, Vec a, Vec b) {
  return {_mm512_mask3_fmadd_ps(b.v, _mm512_set1_ps(1.0f), a.v, m.v)};
}

NACRE_INLINE VecI operator+(VecI a, VecI b) { return {_mm512_add_epi32(a.v, b.v)}; }
NACRE_INLINE VecI operator-(VecI a, VecI b) { return {_mm512_sub_epi32(a.v, b.v)}; }
NACRE_INLINE VecI operator*(VecI a, VecI b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
NACRE_INLINE VecI operator&(VecI a, VecI b) { return {_mm512_and_si512(a.v, b.v)}; }
NACRE_INLINE VecI operator|(VecI a, VecI b) { return {_mm512_or_si512(a.v, b.v)}; }
NACRE_INLINE VecI operator^(VecI a, VecI b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int n>
NACRE_INLINE VecI shl(VecI a) {
  return {_mm512_slli_epi32(a.v, n)};
}
template <int n>
NACRE_INLINE VecI shr(VecI a) {
  return {_mm512_srli_epi32(a.v, n)};
}
template <int n>
NACRE_INLINE VecI sar(VecI a) {
  return {_mm512_srai_epi32(a.v, n)};
}
NACRE_INLINE VecI mulhi(VecI a, VecI b) {
  const __m512i even = _mm512_mul_epu32(a.v, b.v);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), _mm512_srli_epi64(b.v, 32));
  return {_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd)};
}
NACRE_INLINE Vec to_float(VecI a) { return {_mm512_cvtepi32_ps(a.v)}; }
NACRE_INLINE VecI to_int(Vec a) { return {_mm512_cvttps_epi32(a.v)}; }
NACRE_INLINE VecI to_int_round(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }
NACRE_INLINE Vec as_float(VecI a) { return {_mm512_castsi512_ps(a.v)}; }
NACRE_INLINE VecI as_int(Vec a) { return {_mm512_castps_si512(a.v)}; }
NACRE_INLINE VecI load_u8(const u8* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
NACRE_INLINE void store_u8(u8* p, VecI a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
NACRE_INLINE VecI load_u8(const u8* p, i64 n) {
  return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first_lanes(n).v, p))};
}
NACRE_INLINE void store_u8(u8* p, VecI a, i64 n) { _mm512_mask_cvtepi32_storeu_epi8(p, first_lanes(n).v, a.v); }
struct Bytes {
  __m128i v;
};
NACRE_INLINE Bytes load_bytes(const u8* p) { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
NACRE_INLINE Bytes load_bytes(const u8* p, i64 n) { return {_mm_maskz_loadu_epi8(first_lanes(n).v, p)}; }
NACRE_INLINE Bytes set1_bytes(u8 a) { return {_mm_set1_epi8(static_cast<char>(a))}; }
NACRE_INLINE Mask eq(Bytes a, Bytes b) { return {_mm_cmpeq_epi8_mask(a.v, b.v)}; }
NACRE_INLINE Vec load_at(const float* p, VecI index) { return {_mm512_i32gather_ps(index.v, p, 4)}; }
NACRE_INLINE VecI look_up(const i32 (&table)[16], VecI at) {
  return {_mm512_permutexvar_epi32(at.v, _mm512_loadu_si512(table))};
}
NACRE_INLINE Vec look_up(const float (&table)[16], VecI at) {
  return {_mm512_permutexvar_ps(at.v, _mm512_loadu_ps(table))};
}
NACRE_INLINE Vec scale_down(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }  // a * 2^floor(n)

NACRE_INLINE VecD to_double(Vec a) {
  return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))};
}
NACRE_INLINE Vec to_float(VecD a) {
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.low)), _mm512_cvtpd_ps(a.high), 1)};
}
NACRE_INLINE VecD set1d(double x) { return {_mm512_set1_pd(x), _mm512_set1_pd(x)}; }
NACRE_INLINE VecD fma(VecD a, VecD b, VecD c) {
  return {_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}

NACRE_INLINE Vec set1_pair(const float* p) {
  double two;
  __builtin_memcpy(&two, p, sizeof two);
  return {_mm512_castpd_ps(_mm512_set1_pd(two))};
}
// Half a vector in both halves; the first half of a beside the second one of b, or beside a number, which costs a load
// instead of a blend: those take turns with multiply-adds.
NACRE_INLINE Vec load_twice(const float* p) {
  return {_mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_castps_pd(_mm256_loadu_ps(p))))};
}
NACRE_INLINE Vec beside(Vec a, Vec b) { return {_mm512_mask_blend_ps(0xff00, a.v, b.v)}; }
NACRE_INLINE Vec beside(Vec a, const float* p) { return {_mm512_mask_broadcastss_ps(a.v, 0xff00, _mm_load_ss(p))}; }
NACRE_INLINE Vec swap_halves(Vec a) { return {_mm512_shuffle_f32x4(a.v, a.v, 0x4e)}; }
NACRE_INLINE Vec permute(Vec a, VecI from) { return {_mm512_permutexvar_ps(from.v, a.v)}; }  // lane l: a[from[l]]
NACRE_INLINE Vec zip_low(Vec a, Vec b) {
  const __m512i from = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  return {_mm512_permutex2var_ps(a.v, from, b.v)};
}

// Halves are folded: 16 -> 8 -> 4 -> 2 -> 1.
template <class F>
NACRE_INLINE float fold(Vec a, F f) {
  const Vec b = f(a, Vec{_mm512_shuffle_f32x4(a.v, a.v, 0x4e)});
  const Vec c = f(b, Vec{_mm512_shuffle_f32x4(b.v, b.v, 0xb1)});
  const Vec d = f(c, Vec{_mm512_permute_ps(c.v, 0x4e)});
  return _mm512_cvtss_f32(f(d, Vec{_mm512_permute_ps(d.v, 0xb1)}).v);
}

// Rows become columns: lane j of r[i] and lane i of r[j] change places. Pairs, then fours within 128 bits, then the
// 128-bit quarters.
NACRE_INLINE void transpose(Vec (&r)[16]) {
  __m512 t[16], u[16];
  NACRE_UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  NACRE_UNROLL
  for (int i = 0; i < 16; i += 4) {  // u[4g + c]: column c of each quarter, rows 4g..4g+3
    u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  NACRE_UNROLL
  for (int c = 0; c < 4; ++c) {
    const __m512 a = _mm512_shuffle_f32x4(u[c], u[c + 4], 0x44), b = _mm512_shuffle_f32x4(u[c], u[c + 4], 0xee);
    const __m512 e = _mm512_shuffle_f32x4(u[c + 8], u[c + 12], 0x44),
                 f = _mm512_shuffle_f32x4(u[c + 8], u[c + 12], 0xee);
    r[c].v = _mm512_shuffle_f32x4(a, e, 0x88);
    r[c + 4].v = _mm512_shuffle_f32x4(a, e, 0xdd);
    r[c + 8].v = _mm512_shuffle_f32x4(b, f, 0x88);
    r[c + 12].v = _mm512_shuffle_f32x4(b, f, 0xdd);
  }
}

// Lane l: the lanes of r[l], folded as fold() does.
template <class F>
NACRE_INLINE Vec fold_rows(const Vec (&r)[16], F f) {
  Vec u[4];  // lanes 4q..4q+3 of u[j]: what is left of r[4q + j]
  NACRE_UNROLL
  for (int j = 0; j < 4; ++j) {
    Vec h[2];
    NACRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const __m512 a = r[8 * i + j].v, b = r[8 * i + j + 4].v;
      h[i] = f(Vec{_mm512_shuffle_f32x4(a, b, 0x44)}, Vec{_mm512_shuffle_f32x4(a, b, 0xee)});
    }
    u[j] = f(Vec{_mm512_shuffle_f32x4(h[0].v, h[1].v, 0x88)}, Vec{_mm512_shuffle_f32x4(h[0].v, h[1].v, 0xdd)});
  }
  const Vec a = f(Vec{_mm512_shuffle_ps(u[0].v, u[1].v, 0x44)}, Vec{_mm512_shuffle_ps(u[0].v, u[1].v, 0xee)});
  const Vec b = f(Vec{_mm512_shuffle_ps(u[2].v, u[3].v, 0x44)}, Vec{_mm512_shuffle_ps(u[2].v, u[3].v, 0xee)});
  return f(Vec{_mm512_shuffle_ps(a.v, b.v, 0x88)}, Vec{_mm512_shuffle_ps(a.v, b.v, 0xdd)});
}

// Lane sums of four vectors at once, to[0..3]: within each 128 bits (l0 + l2) + (l1 + l3), then across.
NACRE_INLINE void sum_lanes(Vec a, Vec b, Vec c, Vec d, float* to) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
  const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

// Keeps the compiler from loading the same vector again for each use: a split load costs two.
NACRE_INLINE Vec in_register(Vec a) {
  asm("" : "+v"(a.v));
  return a;
}

}  // namespace nacre::NACRE_ISA
