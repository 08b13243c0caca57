// Random numbers from Philox4x32-10 (Salmon et al., SC'11): the number at a place is a function of (seed, counter, place)
// alone, so slices, threads and ISAs see the same stream of random bits.
//
// The state is two integers, seed and counter, as Keras' SeedGenerator keeps them; whoever draws increments the counter.
// Key: the low and high half of the seed. Counter block: (block number low, high; counter low, high).
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

enum RandomKind : i64 { kUniform = 0, kNormal, kTruncatedNormal, kBernoulli, kRandint, kBits, kGamma, kRandomKinds };

struct RandomShape {
  i64 n;
  i64 kind;  // 0 uniform [a, b), 1 normal (mean a, deviation b), 2 the same within two deviations, 3 one with
             // probability a, else zero, 4 whole numbers [a, b), 5 random bits, 6 gamma (shape a, scale b)
  i64 dtype;  // of y: uniform, normal, gamma: float; whole numbers: int32, int64, uint8; bernoulli: any; bits: int32, int64
  i64 state_dtype;  // int32 (read as unsigned) or int64
  double a, b;
};
NACRE_FIELDS(RandomShape, n, kind, dtype, state_dtype, a, b)

struct DropoutShape {
  i64 n;            // elements
  i64 state_dtype;  // as above
  double rate;      // in [0, 1)
};
NACRE_FIELDS(DropoutShape, n, state_dtype, rate)

namespace NACRE_ISA {

// Normal numbers are Box-Muller pairs; truncated ones the inverse error function of a uniform number; gamma is Marsaglia
// and Tsang's rejection, each element with a stream of its own.
Facts random_facts(const RandomShape& s);
void random(const RandomShape& s, Slice units, const void* state, void* y);

// y[i] = kept(i) ? x[i] / (1 - rate) : 0. The gradient is the same kernel on dy with the same state: no mask is stored.
Facts dropout_facts(const DropoutShape& s);
void dropout(const DropoutShape& s, Slice units, const void* state, const float* x, float* y);

// The same for n elements that are part of a longer array, in which they begin at group `first` of 64. One set of
// numbers serves `arrays` such runs.
void dropout_from(const DropoutShape& s, i64 first, const void* state, int arrays, const float* const* x,
                  float* const* y);

}  // namespace NACRE_ISA
}  // namespace nacre
