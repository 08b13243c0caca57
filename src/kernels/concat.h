// Rows side by side, and apart again. An axis in the middle is folded: the dims before it are rows, those behind it make
// each width longer.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct ConcatShape {
  i64 rows, count;  // count of parts, at most 16
  i64 widths[16];   // elements of a row that each part has
  i64 itemsize;     // bytes of an element
};
NACRE_FIELDS(ConcatShape, rows, count, widths, itemsize)

namespace NACRE_LENT {

// y[m, :] = x0[m, :], x1[m, :], ...
Facts concat_facts(const ConcatShape& s);
void concat(const ConcatShape& s, Slice units, const void* x0, const void* x1, const void* x2, const void* x3,
            const void* x4, const void* x5, const void* x6, const void* x7, const void* x8, const void* x9,
            const void* x10, const void* x11, const void* x12, const void* x13, const void* x14, const void* x15,
            void* y);

// y0[m, :], y1[m, :], ... = x[m, :]
Facts split_facts(const ConcatShape& s);
void split(const ConcatShape& s, Slice units, const void* x, void* y0, void* y1, void* y2, void* y3, void* y4, void* y5,
           void* y6, void* y7, void* y8, void* y9, void* y10, void* y11, void* y12, void* y13, void* y14, void* y15);

}  // namespace NACRE_LENT
}  // namespace nacre
