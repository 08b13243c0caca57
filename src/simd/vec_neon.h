// 4 lanes: AArch64 NEON. Partial loads and stores go lane by lane.
#pragma once
#include <arm_neon.h>

#include "simd/inline.h"

namespace nacre::NACRE_ISA {

constexpr int kLanes = 4;

struct Vec {
  float32x4_t v;
};
struct VecI {
  int32x4_t v;
};
struct Mask {
  uint32x4_t v;
};
struct VecD {
  float64x2_t low, high;
};

NACRE_INLINE VecI lane_index() {
  const i32 lane[4] = {0, 1, 2, 3};
  return {vld1q_s32(lane)};
}
NACRE_INLINE VecI set1i(i32 x) { return {vdupq_n_s32(x)}; }
NACRE_INLINE Vec set1(float x) { return {vdupq_n_f32(x)}; }
NACRE_INLINE Mask first_lanes(i64 n) {
  const i32 bounded = static_cast<i32>(n > 4 ? 4 : n < 0 ? 0 : n);
  return {vcgtq_s32(vdupq_n_s32(bounded), lane_index().v)};
}
NACRE_INLINE u32 bits(Mask m) {
  const u32 weight[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(m.v, vld1q_u32(weight)));
}

NACRE_INLINE Vec load(const float* p) { return {vld1q_f32(p)}; }
NACRE_INLINE Vec load(const float* p, i64 n) {
  if (n >= 4) return load(p);
  float32x4_t a = vdupq_n_f32(0.0f);
  if (n >= 1) a = vld1q_lane_f32(p, a, 0);
  if (n >= 2) a = vld1q_lane_f32(p + 1, a, 1);
  if (n >= 3) a = vld1q_lane_f32(p + 2, a, 2);
  return {a};
}
NACRE_INLINE void store(float* p, Vec a) { vst1q_f32(p, a.v); }
NACRE_INLINE void stream(float* p, Vec a) { vst1q_f32(p, a.v); }
NACRE_INLINE void store(float* p, Vec a, i64 n) {
  if (n >= 4) return store(p, a);
  if (n >= 1) vst1q_lane_f32(p, a.v, 0);
  if (n >= 2) vst1q_lane_f32(p + 1, a.v, 1);
  if (n >= 3) vst1q_lane_f32(p + 2, a.v, 2);
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
NACRE_INLINE VecI load(const i32* p) { return {vld1q_s32(p)}; }
NACRE_INLINE VecI load(const i32* p, i64 n) {
  i32 lane[4];
  for (int i = 0; i < 4; ++i) lane[i] = i < n ? p[i] : 0;
  return load(lane);
}
NACRE_INLINE void store(i32* p, VecI a) { vst1q_s32(p, a.v); }
NACRE_INLINE void store(i32* p, VecI a, i64 n) {
  i32 lane[4];
  store(lane, a);
  for (int i = 0; i < 4 && i < n; ++i) p[i] = lane[i];
}

NACRE_INLINE Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
NACRE_INLINE Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
NACRE_INLINE Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
NACRE_INLINE Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
NACRE_INLINE Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
NACRE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
NACRE_INLINE Vec sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
NACRE_INLINE Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
NACRE_INLINE Vec round_even(Vec a) { return {vrndnq_f32(a.v)}; }
NACRE_INLINE Vec floor(Vec a) { return {vrndmq_f32(a.v)}; }
NACRE_INLINE Vec ceil(Vec a) { return {vrndpq_f32(a.v)}; }
NACRE_INLINE Vec trunc(Vec a) { return {vrndq_f32(a.v)}; }

NACRE_INLINE Mask lt(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
NACRE_INLINE Mask le(Vec a, Vec b) { return {vcleq_f32(a.v, b.v)}; }
NACRE_INLINE Mask gt(Vec a, Vec b) { return {vcgtq_f32(a.v, b.v)}; }
NACRE_INLINE Mask ge(Vec a, Vec b) { return {vcgeq_f32(a.v, b.v)}; }
NACRE_INLINE Mask eq(Vec a, Vec b) { return {vceqq_f32(a.v, b.v)}; }
NACRE_INLINE Mask ne(Vec a, Vec b) { return {vmvnq_u32(vceqq_f32(a.v, b.v))}; }
NACRE_INLINE Mask eq(VecI a, VecI b) { return {vceqq_s32(a.v, b.v)}; }
NACRE_INLINE Mask gt(VecI a, VecI b) { return {vcgtq_s32(a.v, b.v)}; }
NACRE_INLINE Mask operator&(Mask a, Mask b) { return {vandq_u32(a.v, b.v)}; }
NACRE_INLINE Mask operator|(Mask a, Mask b) { return {vorrq_u32(a.v, b.v)}; }
NACRE_INLINE Mask operator^(Mask a, Mask b) { return {veorq_u32(a.v, b.v)}; }
NACRE_INLINE Mask operator~(Mask a) { return {vmvnq_u32(a.v)}; }
NACRE_INLINE Vec select(Mask m, Vec a, Vec b) { return {vbslq_f32(m.v, a.v, b.v)}; }
NACRE_INLINE VecI select(Mask m, VecI a, VecI b) { return {vbslq_s32(m.v, a.v, b.v)}; }
NACRE_INLINE Vec min(Vec a, Vec b) { return select(lt(a, b), a, b); }  // as on x86: b unless a < b
NACRE_INLINE Vec max(Vec a, Vec b) { return select(gt(a, b), a, b); }
NACRE_INLINE VecI min(VecI a, VecI b) { return {vminq_s32(a.v, b.v)}; }
NACRE_INLINE VecI max(VecI a, VecI b) { return {vmaxq_s32(a.v, b.v)}; }

NACRE_INLINE VecI operator+(VecI a, VecI b) { return {vaddq_s32(a.v, b.v)}; }
NACRE_INLINE VecI operator-(VecI a, VecI b) { return {vsubq_s32(a.v, b.v)}; }
NACRE_INLINE VecI operator*(VecI a, VecI b) { return {vmulq_s32(a.v, b.v)}; }
NACRE_INLINE VecI operator&(VecI a, VecI b) { return {vandq_s32(a.v, b.v)}; }
NACRE_INLINE VecI operator|(VecI a, VecI b) { return {vorrq_s32(a.v, b.v)}; }
NACRE_INLINE VecI operator^(VecI a, VecI b) { return {veorq_s32(a.v, b.v)}; }
template <int n>
NACRE_INLINE VecI shl(VecI a) {
  return {vshlq_s32(a.v, vdupq_n_s32(n))};
}
template <int n>
NACRE_INLINE VecI shr(VecI a) {
  return {vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a.v), vdupq_n_s32(-n)))};
}
template <int n>
NACRE_INLINE VecI sar(VecI a) {
  return {vshlq_s32(a.v, vdupq_n_s32(-n))};
}
NACRE_INLINE VecI mulhi(VecI a, VecI b) {
  const uint32x4_t x = vreinterpretq_u32_s32(a.v), y = vreinterpretq_u32_s32(b.v);
  const uint32x2_t low = vshrn_n_u64(vmull_u32(vget_low_u32(x), vget_low_u32(y)), 32);
  const uint32x2_t high = vshrn_n_u64(vmull_u32(vget_high_u32(x), vget_high_u32(y)), 32);
  return {vreinterpretq_s32_u32(vcombine_u32(low, high))};
}
NACRE_INLINE Vec to_float(VecI a) { return {vcvtq_f32_s32(a.v)}; }
NACRE_INLINE VecI to_int(Vec a) { return {vcvtq_s32_f32(a.v)}; }
NACRE_INLINE VecI to_int_round(Vec a) { return {vcvtnq_s32_f32(a.v)}; }
NACRE_INLINE Vec as_float(VecI a) { return {vreinterpretq_f32_s32(a.v)}; }
NACRE_INLINE VecI as_int(Vec a) { return {vreinterpretq_s32_f32(a.v)}; }
NACRE_INLINE VecI load_u8(const u8* p) {
  const i32 lane[4] = {p[0], p[1], p[2], p[3]};
  return load(lane);
}
NACRE_INLINE void store_u8(u8* p, VecI a) {
  const uint16x4_t words = vmovn_u32(vreinterpretq_u32_s32(a.v));
  const uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);
  __builtin_memcpy(p, &bytes, 4);
}
NACRE_INLINE Vec load_at(const float* p, VecI index) {
  i32 i[4];
  store(i, index);
  const float lane[4] = {p[i[0]], p[i[1]], p[i[2]], p[i[3]]};
  return load(lane);
}

NACRE_INLINE VecD to_double(Vec a) { return {vcvt_f64_f32(vget_low_f32(a.v)), vcvt_high_f64_f32(a.v)}; }
NACRE_INLINE Vec to_float(VecD a) { return {vcvt_high_f32_f64(vcvt_f32_f64(a.low), a.high)}; }
NACRE_INLINE VecD set1d(double x) { return {vdupq_n_f64(x), vdupq_n_f64(x)}; }
NACRE_INLINE VecD fma(VecD a, VecD b, VecD c) {
  return {vfmaq_f64(c.low, a.low, b.low), vfmaq_f64(c.high, a.high, b.high)};
}

NACRE_INLINE Vec set1_pair(const float* p) {
  double two;
  __builtin_memcpy(&two, p, sizeof two);
  return {vreinterpretq_f32_f64(vdupq_n_f64(two))};
}
NACRE_INLINE Vec zip_low(Vec a, Vec b) { return {vzip1q_f32(a.v, b.v)}; }

// Halves are folded: 4 -> 2 -> 1.
template <class F>
NACRE_INLINE float fold(Vec a, F f) {
  const Vec b = f(a, Vec{vextq_f32(a.v, a.v, 2)});
  return vgetq_lane_f32(f(b, Vec{vrev64q_f32(b.v)}).v, 0);
}

// Rows become columns: lane j of r[i] and lane i of r[j] change places.
NACRE_INLINE void transpose(Vec (&r)[4]) {
  const float32x4x2_t p = vtrnq_f32(r[0].v, r[1].v), q = vtrnq_f32(r[2].v, r[3].v);
  r[0].v = vcombine_f32(vget_low_f32(p.val[0]), vget_low_f32(q.val[0]));
  r[1].v = vcombine_f32(vget_low_f32(p.val[1]), vget_low_f32(q.val[1]));
  r[2].v = vcombine_f32(vget_high_f32(p.val[0]), vget_high_f32(q.val[0]));
  r[3].v = vcombine_f32(vget_high_f32(p.val[1]), vget_high_f32(q.val[1]));
}

// Lane l: the lanes of r[l], folded as fold() does.
template <class F>
NACRE_INLINE Vec fold_rows(const Vec (&r)[4], F f) {
  Vec t[4] = {r[0], r[1], r[2], r[3]};
  transpose(t);
  return f(f(t[0], t[2]), f(t[1], t[3]));
}

// Lane sums of four vectors at once, to[0..3]: (l0 + l1) + (l2 + l3).
NACRE_INLINE void sum_lanes(Vec a, Vec b, Vec c, Vec d, float* to) {
  vst1q_f32(to, vpaddq_f32(vpaddq_f32(a.v, b.v), vpaddq_f32(c.v, d.v)));
}

// Keeps the compiler from loading the same vector again for each use: a split load costs two.
NACRE_INLINE Vec in_register(Vec a) {
  asm("" : "+w"(a.v));
  return a;
}

}  // namespace nacre::NACRE_ISA
