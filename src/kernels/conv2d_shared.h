// Convolution in groups of few channels: groups that lie side by side share a vector of outputs. Lane l needs channel c of its
// own group: where other tiles broadcast a number, these permute the vector of all channels of those groups, which blocks
// copy side by side.
#pragma once
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {
namespace shared {

#if defined(__AVX2__)
constexpr bool kExists = true;
NACRE_INLINE Vec pick(const float* p, VecI from) { return permute(load(p), from); }
#else
constexpr bool kExists = false;  // vectors of four lanes
NACRE_INLINE Vec pick(const float* p, VecI) { return load(p); }
#endif
constexpr i64 kFewestTaps = 2;  // that pay for permuting

// Groups of C inputs and O outputs each that share a vector; 0: none do.
NACRE_INLINE i64 groups(i64 G, i64 C, i64 O, i64 taps) {
  const i64 most = max_of(C, O);
  return kExists && G > 1 && min_of(C, O) > 0 && 2 * most <= kLanes && taps >= kFewestTaps ? min_of(kLanes / most, G)
                                                                                           : 0;
}

// Lane -> first channel of its group.
NACRE_INLINE VecI first_channels(i64 C, i64 O, i64 together) {
  i32 first[kLanes];
  for (i64 l = 0; l < kLanes; ++l) first[l] = static_cast<i32>(min_of(l / O, together - 1) * C);
  return load(first);
}

}  // namespace shared
}  // namespace nacre::NACRE_ISA
