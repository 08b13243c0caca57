// A piece of a row at a time, t = by * clip(scale * v + shift) and a function of `elementwise` of that; then v is what is made
// of both. Short loops, which an act says how to go through, so that one code serves all.
#include "kernels/activate.h"

#include "kernels/elementwise.h"
#include "kernels/elementwise_codes.h"
#include "simd/simd.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kPiece = 1024;  // floats: v and t stay in L1
constexpr float kInf = __builtin_inff();

struct Steps {
  float scale, shift, low, high, by;
  Code function;      // copy: none
  float more, times;  // v = times * (t + more), by v where `factor`
  bool factor;
};
constexpr float kSixth = 1.0f / 6.0f, kRootOfHalf = 0.70710678118654752f;
constexpr Steps kSteps[] = {
    {1, 0, 0, 6, 1, Code::copy, 0, 1, false},                    // relu6
    {1, 3, 0, 6, kSixth, Code::copy, 0, 1, false},               // hard sigmoid
    {1, 3, 0, 6, kSixth, Code::copy, 0, 1, true},                // hard silu
    {1, 0, -kInf, kInf, 1, Code::sigmoid, 0, 1, false},          // sigmoid
    {1, 0, -kInf, kInf, 1, Code::sigmoid, 0, 1, true},           // silu
    {1, 0, -kInf, kInf, 1, Code::tanh, 0, 1, false},             // tanh
    {kRootOfHalf, 0, -kInf, kInf, 1, Code::erf, 1, 0.5f, true},  // gelu
};

NACRE_INLINE Vec load_some(const float* p, i64 n) { return n >= kLanes ? load(p) : load(p, n); }

NACRE_CALLED void piece(const Steps& s, float* v, i64 n) {
  alignas(64) float t[kPiece];
  for (i64 i = 0; i < n; i += kLanes) {
    const Vec a = load_some(v + i, n - i) * set1(s.scale) + set1(s.shift);
    store(t + i, min(set1(s.high), max(set1(s.low), a)) * set1(s.by));  // keeps NaN
  }
  if (s.function != Code::copy) map_functions()[static_cast<i64>(s.function)](n, t, t, nullptr, nullptr);
  for (i64 i = 0; i < n; i += kLanes) {
    Vec a = load(t + i) + set1(s.more);
    if (s.factor) a = load_some(v + i, n - i) * a;
    a = a * set1(s.times);
    if (n - i >= kLanes) store(v + i, a);
    else store(v + i, a, n - i);
  }
}

}  // namespace

void activate(i64 act, float* y, i64 rows, i64 n, i64 ld) {
  if (n == ld) n *= rows, rows = 1;
  for (i64 row = 0; row < rows; ++row, y += ld) {
    for (i64 i = 0; i < n; i += kPiece) piece(kSteps[act - kRelu6], y + i, min_of(n - i, kPiece));
  }
}

}  // namespace nacre::NACRE_ISA
