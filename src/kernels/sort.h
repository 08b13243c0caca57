// Sorting along the middle of x [O, R, I], the k largest of a row, and places in a sorted array. Equal elements keep their
// order; -0 equals 0; NaN counts as larger than everything.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct SortShape {
  i64 O, R, I;  // R < 2^32
  i64 dtype;
  i64 index_dtype;  // of argsort's y: int32 or int64
  i64 descending;   // 1: largest first
};
NACRE_FIELDS(SortShape, O, R, I, dtype, index_dtype, descending)

struct TopKShape {
  i64 M, N, k;  // k <= N
  i64 dtype, index_dtype;
};
NACRE_FIELDS(TopKShape, M, N, k, dtype, index_dtype)

struct SearchShape {
  i64 n, m;  // sorted numbers, numbers to place
  i64 dtype, index_dtype;
  i64 right;  // 1: behind equal ones, 0: before them
};
NACRE_FIELDS(SearchShape, n, m, dtype, index_dtype, right)

namespace NACRE_LENT {

Facts sort_facts(const SortShape& s);
void sort(const SortShape& s, Slice units, Scratch scratch, const void* x, void* y);

// y[o, :, i] = the r that sort x[o, :, i]
Facts argsort_facts(const SortShape& s);
void argsort(const SortShape& s, Slice units, Scratch scratch, const void* x, void* y);

// values[m, j], indices[m, j] = the j-th largest of x[m, :] and where it is
Facts top_k_facts(const TopKShape& s);
void top_k(const TopKShape& s, Slice units, Scratch scratch, const void* x, void* values, void* indices);

// y[j] = how many of `sorted` stand before values[j]
Facts searchsorted_facts(const SearchShape& s);
void searchsorted(const SearchShape& s, Slice units, const void* sorted, const void* values, void* y);

}  // namespace NACRE_LENT
}  // namespace nacre
