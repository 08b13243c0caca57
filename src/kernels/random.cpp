// 64 numbers make a group: element w*16 + j of group g is word w of block 16g + j, so that vectors of any length up to 16
// lanes store neighbours. Numbers that need 64 bits take two words: 32 make a group.
#include "kernels/random.h"

#include "kernels/elementwise_scalar.h"
#include "kernels/loops.h"
#include "simd/math.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kBlocks = 16;         // Philox blocks in a group
constexpr i64 kGroupsPerUnit = 64;  // 4096 numbers of 32 bits: 2 to 8 us
static_assert(kBlocks % kLanes == 0, "a vector holds blocks of one group");

constexpr u32 kMul0 = 0xD2511F53u, kMul1 = 0xCD9E8D57u, kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;

struct Key {
  u32 seed[2];
  u32 counter[2];
};

NACRE_INLINE Key key_of(i64 state_dtype, const void* state) {
  if (state_dtype == static_cast<i64>(DType::i32)) {
    const u32* p = as<u32>(state);
    return {{p[0], 0}, {p[1], 0}};
  }
  const u64* p = as<u64>(state);
  return {{static_cast<u32>(p[0]), static_cast<u32>(p[0] >> 32)},
          {static_cast<u32>(p[1]), static_cast<u32>(p[1] >> 32)}};
}

struct Words {
  VecI w[4];
};

// Blocks first .. first + kLanes - 1.
NACRE_INLINE Words philox(const Key& key, u64 first) {
  VecI x0 = set1i(static_cast<i32>(first)) + lane_index();  // a multiple of 16 plus less than 16: no carry
  VecI x1 = set1i(static_cast<i32>(first >> 32));
  VecI x2 = set1i(static_cast<i32>(key.counter[0])), x3 = set1i(static_cast<i32>(key.counter[1]));
  u32 k0 = key.seed[0], k1 = key.seed[1];
  const VecI m0 = set1i(static_cast<i32>(kMul0)), m1 = set1i(static_cast<i32>(kMul1));
  NACRE_UNROLL
  for (int round = 0; round < 10; ++round) {
    const VecI high0 = mulhi(x0, m0), low0 = x0 * m0, high1 = mulhi(x2, m1), low1 = x2 * m1;
    x0 = high1 ^ x1 ^ set1i(static_cast<i32>(k0));
    x1 = low1;
    x2 = high0 ^ x3 ^ set1i(static_cast<i32>(k1));
    x3 = low0;
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return {{x0, x1, x2, x3}};
}

// Two vectors of blocks, since a round waits for the one before.
struct Pair {
  Words of[2];
};
NACRE_INLINE Pair philox_pair(const Key& key, u64 first) { return {{philox(key, first), philox(key, first + kLanes)}}; }
// The same for the many loops that are not worth a copy.
__attribute__((noinline)) Pair called_pair(const Key& key, u64 first) { return philox_pair(key, first); }

// One block, for the numbers that are made one by one.
NACRE_INLINE void philox_block(const Key& key, u64 block, u32 attempt, u32* w) {
  u32 x0 = static_cast<u32>(block), x1 = static_cast<u32>(block >> 32) ^ attempt, x2 = key.counter[0],
      x3 = key.counter[1];
  u32 k0 = key.seed[0], k1 = key.seed[1];
  for (int round = 0; round < 10; ++round) {
    const u64 a = static_cast<u64>(x0) * kMul0, b = static_cast<u64>(x2) * kMul1;
    x0 = static_cast<u32>(b >> 32) ^ x1 ^ k0;
    x1 = static_cast<u32>(b);
    x2 = static_cast<u32>(a >> 32) ^ x3 ^ k1;
    x3 = static_cast<u32>(a);
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  w[0] = x0;
  w[1] = x1;
  w[2] = x2;
  w[3] = x3;
}

// [0, 1) in steps of 2^-24.
NACRE_INLINE Vec unit(VecI w) { return to_float(shr<8>(w)) * set1(0x1p-24f); }
// (0, 1): all 32 bits, so that logarithms reach far; never 0, may round to 1.
NACRE_INLINE Vec open_unit(VecI w) { return fma(to_float(w & set1i(255)), set1(0x1p-32f), unit(w)) + set1(0x1p-33f); }

// Two normal numbers from two words.
NACRE_INLINE void box_muller(VecI a, VecI b, Vec* p, Vec* q) {
  const Vec r = sqrt(max(zero(), set1(-2.0f) * log(open_unit(a))));
  const Vec angle = unit(b) * set1(6.28318531f);
  *p = r * cos(angle);
  *q = r * sin(angle);
}

// Giles' single precision polynomials (GPU Computing Gems, 2011), for |x| < 1; 3 ulp.
NACRE_INLINE Vec erfinv(Vec x) {
  const Vec one = set1(1.0f), w = -log((one - x) * (one + x));
  const Vec near =
      polynomial(w - set1(2.5f), {1.50140941f, 0.246640727f, -0.00417768164f, -0.00125372503f, 0.00021858087f,
                                  -4.39150654e-06f, -3.5233877e-06f, 3.43273939e-07f, 2.81022636e-08f});
  const Vec far =
      polynomial(sqrt(w) - set1(3.0f), {2.83297682f, 1.00167406f, 0.00943887047f, -0.0076224613f, 0.00573950773f,
                                        -0.00367342844f, 0.00134934322f, 0.000100950558f, -0.000200214257f});
  return select(lt(w, set1(5.0f)), near, far) * x;
}

NACRE_INLINE float below(float v) {  // the next float towards minus infinity, for finite v
  u32 raw;
  __builtin_memcpy(&raw, &v, 4);
  raw = v > 0 ? raw - 1 : v < 0 ? raw + 1 : 0x80800000u;  // below 0: the smallest number that is not flushed
  __builtin_memcpy(&v, &raw, 4);
  return v;
}

// Calls f(words, v) for vectors begin .. end - 1 of blocks, of which the stream begins at group `first`.
template <bool inlined, class F>
NACRE_INLINE void each_words(const Key& key, i64 first, i64 begin, i64 end, F f) {
  for (i64 t = begin; t < end; t += 2) {
    const u64 block = static_cast<u64>(first * kBlocks + t * kLanes);
    const Pair pair = inlined ? philox_pair(key, block) : called_pair(key, block);
    for (i64 v = t; v < min_of(t + 2, end); ++v) f(pair.of[v - t], v);
  }
}

constexpr i64 kVectors = kBlocks / kLanes;  // of a group

// Calls f(words, first element) for each vector of blocks of the units; f stores four vectors, kBlocks elements apart.
template <bool inlined = false, class F>
NACRE_INLINE void each_vector(i64 n, Slice units, const Key& key, F f, i64 first = 0) {
  const i64 groups = ceil_div(n, 4 * kBlocks), end = min_of(units.end * kGroupsPerUnit, groups);
  each_words<inlined>(key, first, units.begin * kGroupsPerUnit * kVectors, end * kVectors,
                      [&](const Words& w, i64 v)
                          __attribute__((always_inline)) { f(w, v / kVectors * 4 * kBlocks + v % kVectors * kLanes); });
}

// Numbers at at, at + 16, at + 32, at + 48, as far as n reaches.
NACRE_INLINE void store_four(float* y, i64 at, i64 n, Vec a, Vec b, Vec c, Vec d) {
  const Vec v[4] = {a, b, c, d};
  NACRE_UNROLL
  for (int w = 0; w < 4; ++w) {
    const i64 left = n - (at + w * kBlocks);
    if (left >= kLanes) store(y + at + w * kBlocks, v[w]);
    else if (left > 0) store(y + at + w * kBlocks, v[w], left);
  }
}

void random_f32(const RandomShape& s, Slice units, const Key& key, float* y) {
  const float a = static_cast<float>(s.a), b = static_cast<float>(s.b);
  const Vec low = set1(a), width = set1(b - a), scale = set1(b);
  const Vec last = set1(b > a ? below(b) : a);
  if (s.kind == kUniform) {
    each_vector(s.n, units, key, [&](const Words& w, i64 at) __attribute__((always_inline)) {
      Vec v[4];
      for (int k = 0; k < 4; ++k) v[k] = min(last, fma(unit(w.w[k]), width, low));
      store_four(y, at, s.n, v[0], v[1], v[2], v[3]);
    });
  } else if (s.kind == kNormal) {
    each_vector(s.n, units, key, [&](const Words& w, i64 at) __attribute__((always_inline)) {
      Vec v[4];
      box_muller(w.w[0], w.w[1], &v[0], &v[1]);
      box_muller(w.w[2], w.w[3], &v[2], &v[3]);
      for (int k = 0; k < 4; ++k) v[k] = fma(v[k], scale, low);
      store_four(y, at, s.n, v[0], v[1], v[2], v[3]);
    });
  } else {
    // erf(sqrt 2) is the probability of being within two deviations
    const Vec span = set1(2 * 0.954499736f), from = set1(-0.954499736f), two = set1(2.0f);
    each_vector(s.n, units, key, [&](const Words& w, i64 at) __attribute__((always_inline)) {
      Vec v[4];
      for (int k = 0; k < 4; ++k) {
        const Vec u = fma(unit(w.w[k]) + set1(0x1p-25f), span, from);
        const Vec z = max(-two, min(two, erfinv(u) * set1(1.41421356f)));
        v[k] = fma(z, scale, low);
      }
      store_four(y, at, s.n, v[0], v[1], v[2], v[3]);
    });
  }
}

template <class T>
void bernoulli_as(const RandomShape& s, Slice units, const Key& key, T* y) {
  const Vec p = set1(static_cast<float>(s.a));
  each_vector(s.n, units, key, [&](const Words& w, i64 at) __attribute__((always_inline)) {
    for (int k = 0; k < 4; ++k) {
      const u32 hit = bits(lt(unit(w.w[k]), p));
      const i64 from = at + k * kBlocks, count = min_of(kLanes, s.n - from);
      for (i64 i = 0; i < count; ++i) y[from + i] = to<T>(static_cast<i32>(hit >> i & 1u));
    }
  });
}

// f(place, 64 random bits) for the numbers of the units that take two words each.
template <class F>
NACRE_INLINE void each_wide(i64 n, Slice units, const Key& key, F f) {
  const i64 groups = ceil_div(n, 2 * kBlocks), end = min_of(units.end * kGroupsPerUnit, groups);
  each_words<false>(key, 0, units.begin * kGroupsPerUnit * kVectors, end * kVectors,
                    [&](const Words& w, i64 v) __attribute__((always_inline)) {
                      for (int half = 0; half < 2; ++half) {
                        i32 high[kLanes], low[kLanes];
                        store(high, w.w[2 * half]);
                        store(low, w.w[2 * half + 1]);
                        const i64 from = v / kVectors * 2 * kBlocks + half * kBlocks + v % kVectors * kLanes;
                        const i64 count = min_of(kLanes, n - from);
                        for (i64 i = 0; i < count; ++i)
                          f(from + i, static_cast<u64>(static_cast<u32>(high[i])) << 32 | static_cast<u32>(low[i]));
                      }
                    });
}

__extension__ typedef unsigned __int128 U128;

// [0, 1) in steps of 2^-53.
NACRE_INLINE double wide_unit(u64 r) { return static_cast<double>(r >> 11) * 0x1p-53; }

void random_f64(const RandomShape& s, Slice units, const Key& key, double* y) {
  each_wide(s.n, units, key, [&](i64 i, u64 r) {
    const double u = wide_unit(r);
    if (s.kind == kUniform) {
      const double v = s.a + u * (s.b - s.a);
      y[i] = v < s.b ? v : s.a;  // rounded up to the excluded end
    } else {
      constexpr double two = 0.95449973610364158560;
      const double centred = s.kind == kNormal ? 2 * (u + 0x1p-54) - 1 : two * (2 * (u + 0x1p-54) - 1);
      y[i] = s.a + s.b * 1.41421356237309504880 * scalar::erfinv(centred);
    }
  });
}

template <class T>
void randint_as(const RandomShape& s, Slice units, const Key& key, T* y) {
  const i64 low = to<i64>(s.a);
  const u64 range = static_cast<u64>(to<i64>(s.b)) - static_cast<u64>(low);
  each_wide(s.n, units, key, [&](i64 i, u64 r) {
    const u64 scaled = static_cast<u64>(static_cast<U128>(r) * range >> 64);  // bias below range / 2^64
    y[i] = static_cast<T>(static_cast<u64>(low) + scaled);
  });
}

// Marsaglia and Tsang, ACM TOMS 26 (2000); a shape below 1 is lifted by one and scaled back.
double gamma_of(const Key& key, u64 element, double shape) {
  const double lifted = shape < 1 ? shape + 1 : shape;
  const double d = lifted - 1.0 / 3, c = 1 / __builtin_sqrt(9 * d);
  for (u32 attempt = 1;; ++attempt) {
    u32 w[4];
    philox_block(key, element, attempt << 8, w);
    const double u0 = (w[0] + 0.5) * 0x1p-32, u1 = (w[1] + 0.5) * 0x1p-32, u2 = (w[2] + 0.5) * 0x1p-32;
    const double z = __builtin_sqrt(-2 * __builtin_log(u0)) * __builtin_cos(6.28318530717958647693 * u1);
    const double v = (1 + c * z) * (1 + c * z) * (1 + c * z);
    if (attempt < 0xffffffu >> 8 && (v <= 0 || __builtin_log(u2) >= 0.5 * z * z + d - d * v + d * __builtin_log(v)))
      continue;
    const double lift = shape < 1 ? __builtin_pow((w[3] + 0.5) * 0x1p-32, 1 / shape) : 1;
    return d * (v > 0 ? v : 1) * lift;
  }
}

template <class T>
void gamma_as(const RandomShape& s, Slice units, const Key& key, T* y) {
  constexpr i64 per = 4 * kBlocks * kGroupsPerUnit;
  const i64 end = min_of(units.end * per, s.n);
  for (i64 i = units.begin * per; i < end; ++i) y[i] = static_cast<T>(s.b * gamma_of(key, static_cast<u64>(i), s.a));
}

bool takes_two_words(const RandomShape& s) {
  return s.kind == kRandint || (s.kind == kBits && s.dtype == static_cast<i64>(DType::i64)) ||
         (s.kind < kBernoulli && s.dtype == static_cast<i64>(DType::f64));
}

bool is_state(i64 t) { return t == static_cast<i64>(DType::i32) || t == static_cast<i64>(DType::i64); }

}  // namespace

Facts random_facts(const RandomShape& s) {
  Facts f;
  const DType t = static_cast<DType>(s.dtype);
  const bool real = t == DType::f32 || t == DType::f64, whole = t == DType::i32 || t == DType::i64;
  if (s.n < 0) f.error = "n must not be negative";
  else if (!product_fits(s.n)) f.error = "the number of elements overflows";
  else if (s.kind < 0 || s.kind >= kRandomKinds) f.error = "kind must be 0..6";
  else if (!is_dtype(s.dtype)) f.error = "dtype is no dtype";
  else if (!is_state(s.state_dtype)) f.error = "state_dtype must be int32 or int64";
  else if ((s.kind < kBernoulli || s.kind == kGamma) && !real) f.error = "this kind gives float32 or float64";
  else if (s.kind == kRandint && !whole && t != DType::u8) f.error = "whole numbers are int32, int64 or uint8";
  else if (s.kind == kRandint && !(s.a < s.b)) f.error = "whole numbers need a < b";
  else if (s.kind == kBits && !whole) f.error = "bits are int32 or int64";
  else if (s.kind == kGamma && !(s.a > 0 && s.a < 1e300)) f.error = "gamma needs a positive shape";
  if (f.error) return f;
  f.extent[0] = Count(2) * Count(width_of(s.state_dtype));
  f.extent[1] = Count(s.n) * Count(width_of(s.dtype));
  f.units = ceil_div(s.n, (takes_two_words(s) ? 2 : 4) * kBlocks * kGroupsPerUnit);
  f.flops = static_cast<double>(s.n);
  return f;
}

void random(const RandomShape& s, Slice units, const void* state, void* y) {
  const Key key = key_of(s.state_dtype, state);
  const DType t = static_cast<DType>(s.dtype);
  switch (s.kind) {
    case kBernoulli: NACRE_BY_DTYPE(s.dtype, T, bernoulli_as(s, units, key, as<T>(y))) return;
    case kRandint:
      return t == DType::i32   ? randint_as(s, units, key, as<i32>(y))
             : t == DType::i64 ? randint_as(s, units, key, as<i64>(y))
                               : randint_as(s, units, key, as<u8>(y));
    case kBits:
      if (t == DType::i64) {
        i64* out = as<i64>(y);
        return each_wide(s.n, units, key, [&](i64 i, u64 r) { out[i] = static_cast<i64>(r); });
      }
      return each_vector(s.n, units, key, [&](const Words& w, i64 at) {
        store_four(as<float>(y), at, s.n, as_float(w.w[0]), as_float(w.w[1]), as_float(w.w[2]), as_float(w.w[3]));
      });
    case kGamma:
      return t == DType::f32 ? gamma_as(s, units, key, as<float>(y)) : gamma_as(s, units, key, as<double>(y));
    default:
      return t == DType::f32 ? random_f32(s, units, key, as<float>(y)) : random_f64(s, units, key, as<double>(y));
  }
}

Facts dropout_facts(const DropoutShape& s) {
  Facts f;
  if (s.n < 0) f.error = "n must not be negative";
  else if (!product_fits(s.n)) f.error = "the number of elements overflows";
  else if (!is_state(s.state_dtype)) f.error = "state_dtype must be int32 or int64";
  else if (!(s.rate >= 0 && s.rate < 1)) f.error = "rate must be in [0, 1)";
  if (f.error) return f;
  f.extent[0] = Count(2) * Count(width_of(s.state_dtype));
  f.extent[1] = Count(s.n);
  f.extent[2] = Count(s.n);
  f.units = ceil_div(s.n, 4 * kBlocks * kGroupsPerUnit);
  f.flops = static_cast<double>(s.n);
  return f;
}

namespace {

void dropout_run(const DropoutShape& s, Slice units, i64 first, const void* state, int arrays, const float* const* x,
                 float* const* y) {
  const Key key = key_of(s.state_dtype, state);
  const Vec rate = set1(static_cast<float>(s.rate)), scale = set1(static_cast<float>(1 / (1 - s.rate)));
  each_vector<true>(
      s.n, units, key,
      [&](const Words& w, i64 at) __attribute__((always_inline)) {
        NACRE_UNROLL
        for (int k = 0; k < 4; ++k) {
          const i64 from = at + k * kBlocks, left = s.n - from;
          if (left <= 0) break;
          const Mask kept = ge(unit(w.w[k]), rate);
          for (int a = 0; a < arrays; ++a) {
            if (left >= kLanes) store(y[a] + from, select(kept, load(x[a] + from) * scale));
            else store(y[a] + from, select(kept, load(x[a] + from, left) * scale), left);
          }
        }
      },
      first);
}

}  // namespace

void dropout(const DropoutShape& s, Slice units, const void* state, const float* x, float* y) {
  dropout_run(s, units, 0, state, 1, &x, &y);
}

void dropout_from(const DropoutShape& s, i64 first, const void* state, int arrays, const float* const* x,
                  float* const* y) {
  dropout_run(s, {0, dropout_facts(s).units}, first, state, arrays, x, y);
}

}  // namespace NACRE_ISA
}  // namespace nacre
