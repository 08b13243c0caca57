// A piece of a row at a time, which stays in L1, with the functions of `elementwise` where these are long.
#include "kernels/activate.h"

#include "kernels/elementwise.h"
#include "kernels/elementwise_codes.h"
#include "simd/simd.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kPiece = 1024;  // floats

MapFn function_of(Code code) { return map_functions()[static_cast<i64>(code)]; }

NACRE_INLINE Vec load_some(const float* p, i64 n) { return n >= kLanes ? load(p) : load(p, n); }

// v = f(v, t), n floats of each.
template <class F>
NACRE_INLINE void each(float* v, const float* t, i64 n, F f) {
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 left = n - i;
    const Vec a = f(load_some(v + i, left), load_some(t + i, left));
    if (left >= kLanes) store(v + i, a);
    else store(v + i, a, left);
  }
}

// v clipped to 0..6, or that of v + 3 by 6, or v times it
NACRE_CALLED void clip(i64 act, float* v, i64 n) {
  const bool hard = act > kRelu6, times = act == kHardSilu;
  const Vec shift = set1(hard ? 3.0f : 0.0f), by = set1(hard ? 1.0f / 6.0f : 1.0f), one = set1(1.0f);
  each(v, v, n, [&](Vec a, Vec) __attribute__((always_inline)) {
    const Vec y = min(set1(6.0f), max(zero(), a + shift)) * by;  // keeps NaN
    return (times ? a : one) * y;
  });
}

NACRE_CALLED void gelu(float* v, i64 n) {
  alignas(64) float t[kPiece];
  for (i64 i = 0; i < n; i += kLanes) store(t + i, load_some(v + i, n - i) * set1(0.70710678118654752f));
  function_of(Code::erf)(n, t, t, nullptr, nullptr);
  each(v, t, n, [](Vec a, Vec b) __attribute__((always_inline)) { return a * (b + set1(1.0f)) * set1(0.5f); });
}

void piece(i64 act, float* v, i64 n) {
  if (act <= kHardSilu) return clip(act, v, n);
  if (act == kGelu) return gelu(v, n);
  const MapFn f = act == kSilu ? map_swish() : function_of(act == kTanh ? Code::tanh : Code::sigmoid);
  f(n, v, v, v, nullptr);
}

}  // namespace

void activate(i64 act, float* y, i64 rows, i64 n, i64 ld) {
  if (n == ld) n *= rows, rows = 1;
  for (i64 row = 0; row < rows; ++row, y += ld) {
    for (i64 i = 0; i < n; i += kPiece) piece(act, y + i, min_of(n - i, kPiece));
  }
}

}  // namespace nacre::NACRE_ISA
