// Moving elements without looking at them: transpose, flip, slice and tile (one kernel: strided_copy), padding, ranges and
// one-hot rows.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct StridedCopyShape {
  i64 rank, dims[8];                  // rank <= 8; rank 0 is one element
  i64 in_strides[8], out_strides[8];  // in elements; negative to flip, 0 in the input to repeat
  i64 in_offset, out_offset;          // of the element at index 0, in elements
  i64 itemsize;                       // bytes of an element, 1..16
};
NACRE_FIELDS(StridedCopyShape, rank, dims, in_strides, out_strides, in_offset, out_offset, itemsize)

enum PadMode : i64 { kPadConstant = 0, kPadReflect, kPadSymmetric, kPadEdge, kPadModes };

struct PadShape {
  i64 rank, dims[8];        // of x
  i64 before[8], after[8];  // >= 0
  i64 mode;                 // 0 constant, 1 reflect, 2 symmetric, 3 edge, as numpy.pad has them
  i64 dtype;
  double value;  // for constant
};
NACRE_FIELDS(PadShape, rank, dims, before, after, mode, dtype, value)

struct IotaShape {
  i64 n, dtype;
  double start, step;
};
NACRE_FIELDS(IotaShape, n, dtype, start, step)

struct OneHotShape {
  i64 n, depth;
  i64 index_dtype;  // int32, int64 or uint8
  i64 dtype;        // of y
};
NACRE_FIELDS(OneHotShape, n, depth, index_dtype, dtype)

namespace NACRE_LENT {

// y[out_offset + sum_d i_d out_strides[d]] = x[in_offset + sum_d i_d in_strides[d]] for all i < dims. No two elements may
// go to one place. What lies between the places of y is left as it is.
Facts strided_copy_facts(const StridedCopyShape& s);
void strided_copy(const StridedCopyShape& s, Slice units, const void* x, void* y);

// y has dims[d] + before[d] + after[d] along d.
Facts pad_facts(const PadShape& s);
void pad(const PadShape& s, Slice units, const void* x, void* y);

// y[i] = start + i * step, in float64 (float dtypes) or wrapping int64 (others)
Facts iota_facts(const IotaShape& s);
void iota(const IotaShape& s, Slice units, void* y);

// y[i, k] = 1 if k == indices[i] else 0; an index outside 0..depth-1 gives a row of zeros.
Facts one_hot_facts(const OneHotShape& s);
void one_hot(const OneHotShape& s, Slice units, const void* indices, void* y);

}  // namespace NACRE_LENT
}  // namespace nacre
