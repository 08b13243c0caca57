// Running sums, products, maxima and minima along the middle of x [O, R, I].
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct CumulativeShape {
  i64 O, R, I;
  i64 kind;       // 0 sum, 1 product, 2 max, 3 min
  i64 dtype;      // of x and y
  i64 exclusive;  // 1: y[r] leaves out x[r]; the first is the neutral element
  i64 reverse;    // 1: runs from the last r to the first
};
NACRE_FIELDS(CumulativeShape, O, R, I, kind, dtype, exclusive, reverse)

namespace NACRE_LENT {

// y[o, r, i] = x[o, 0, i] joined with ... x[o, r, i]. float32 runs in float64. Integers wrap; NaN stays once met.
Facts cumulative_facts(const CumulativeShape& s);
void cumulative(const CumulativeShape& s, Slice units, Scratch scratch, const void* x, void* y);

}  // namespace NACRE_LENT
}  // namespace nacre
