// What convolutions, but by transformed tiles, and dense layers do to their finished sums, by the number that their shapes
// have as `act`. 0, 1 and 2 are done in registers before sums are stored; the others in place, as soon as some rows of sums
// are: these are in L1 or L2. Not a kernel of its own.
#pragma once
#include "base/types.h"

namespace nacre {

enum Act : i64 {
  kNoAct,
  kRelu,
  kRelu6,
  kHardSigmoid,  // min(max(v + 3, 0), 6) / 6
  kHardSilu,     // v times that
  kSigmoid,
  kSilu,  // v sigmoid(v)
  kTanh,
  kGelu,  // v (1 + erf(v / sqrt(2))) / 2
  kActs
};
constexpr const char* kActError = "act is none of those in activate.h";

// The part of an act that goes with the sums, and whether something is left to do.
constexpr i64 act_of_sums(i64 act) { return act > kRelu6 ? kNoAct : act; }
constexpr bool acts_behind(i64 act) { return act > kRelu6; }

namespace NACRE_ISA {

// y = act(y) for `rows` rows of n floats, ld apart, from kRelu6 on; as the steps of `elementwise` would have it, to the same
// bits.
void activate(i64 act, float* y, i64 rows, i64 n, i64 ld);

}  // namespace NACRE_ISA
}  // namespace nacre
