// Whole buffers: one value everywhere, and a plain copy.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct FillShape {
  i64 n;         // elements
  i64 dtype;     // of y
  double value;  // converted to dtype as C does; out of range for an integer is refused
};
NACRE_FIELDS(FillShape, n, dtype, value)

struct CopyBytesShape {
  i64 n;  // bytes
};
NACRE_FIELDS(CopyBytesShape, n)

namespace NACRE_LENT {

// y[i] = value
Facts fill_facts(const FillShape& s);
void fill(const FillShape& s, Slice chunks, void* y);

// y[i] = x[i]
Facts copy_bytes_facts(const CopyBytesShape& s);
void copy_bytes(const CopyBytesShape& s, Slice chunks, const void* x, void* y);

}  // namespace NACRE_LENT
}  // namespace nacre
