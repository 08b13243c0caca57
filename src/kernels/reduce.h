// Reductions along the middle of x [O, R, I], and the place of the largest or smallest element.
//
// The sum of float32 numbers is formed in short blocks of float32 and joined in float64, so its error is that of a
// handful of roundings whatever R is. The order depends on the shape and the ISA only. A long R can be cut into chunks:
// reduce once with a chunk, then reduce the partial results.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

enum ReduceKind : i64 { kSum = 0, kMean, kMax, kMin, kProd, kAny, kAll, kSumSquares, kReduceKinds };

struct ReduceShape {
  i64 O, R, I;
  i64 kind;      // 0 sum, 1 mean (sum * scale), 2 max, 3 min, 4 product, 5 any, 6 all, 7 sum of squares
  i64 dtype;     // of x, and of y but for any and all, whose y is boolean
  i64 chunk;     // elements of R per result, > 0; chunk >= R gives one
  double scale;  // for mean: what the sum is multiplied with
};
NACRE_FIELDS(ReduceShape, O, R, I, kind, dtype, chunk, scale)

struct ArgReduceShape {
  i64 O, R, I;
  i64 kind;       // 0 largest, 1 smallest
  i64 dtype;      // of x
  i64 out_dtype;  // of y: int32 or int64
};
NACRE_FIELDS(ArgReduceShape, O, R, I, kind, dtype, out_dtype)

namespace NACRE_LENT {

// y[o, q, i] = the reduction of x[o, q*chunk : (q+1)*chunk, i]; q < max(1, ceil(R / chunk)). NaN passes through max and
// min. Nothing reduced gives 0 for sums, 1 for products, false for any, true for all, the lowest value for max, the
// highest for min. Integer sums wrap.
Facts reduce_facts(const ReduceShape& s);
void reduce(const ReduceShape& s, Slice units, Scratch scratch, const void* x, void* y);

// y[o, i] = the first r at which x[o, r, i] is largest (smallest); a NaN counts as both. R must be positive.
Facts argreduce_facts(const ArgReduceShape& s);
void argreduce(const ArgReduceShape& s, Slice units, Scratch scratch, const void* x, void* y);

}  // namespace NACRE_LENT
}  // namespace nacre
