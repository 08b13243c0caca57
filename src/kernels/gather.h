// Reading and adding at places that are data. Indices are int32 or int64; -1 is the last, as in numpy. An index that is
// out of range even so never touches memory: what is read there is NaN (floats), the lowest number (int32, int64), 255
// (uint8) or true (booleans), which is what Keras on JAX gives; what would be written there is dropped.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct GatherShape {
  i64 O, R, I;  // x is [O, R, I]
  i64 n;        // number of indices (take_along: per o and i)
  i64 index_dtype, dtype;
};
NACRE_FIELDS(GatherShape, O, R, I, n, index_dtype, dtype)

struct ScatterShape {
  i64 O, R, I;
  i64 n;
  i64 index_dtype, dtype;
  i64 base;  // 1: the result starts as x; 0: as zeros, and x is absent
};
NACRE_FIELDS(ScatterShape, O, R, I, n, index_dtype, dtype, base)

struct ScatterNdShape {
  i64 rank, dims[8];  // the dims that the columns of an index row stand for
  i64 inner;          // elements at each place
  i64 n;              // number of index rows
  i64 index_dtype, dtype;
  i64 base;  // 1: the result starts as x; 0: as zeros, and x is absent
  i64 add;   // 1: adds; 0: writes, the last one wins
};
NACRE_FIELDS(ScatterNdShape, rank, dims, inner, n, index_dtype, dtype, base, add)

struct ScatterUpdateShape {
  i64 R, I, n, index_dtype;
  i64 inputs, outputs;  // registers that are inputs, the gradient among them (1..8), and stored results (1..4)
  i64 scalar[8];        // 1: that input is one number for all
  i64 length, code[240];
  double consts[16];
  i64 out_reg[4];
};
NACRE_FIELDS(ScatterUpdateShape, R, I, n, index_dtype, inputs, outputs, scalar, length, code, consts, out_reg)

namespace NACRE_LENT {

// y[o, j, i] = x[o, indices[j], i]; y is [O, n, I]
Facts gather_facts(const GatherShape& s);
void gather(const GatherShape& s, Slice units, const void* x, const void* indices, void* y);

// y[o, r, i] = x[o, r, i] + sum over j with indices[j] == r of updates[o, j, i], in the order of j. Units own ranges of
// r, so no two write to one place.
Facts scatter_add_facts(const ScatterShape& s);
void scatter_add(const ScatterShape& s, Slice units, const void* x, const void* indices, const void* updates, void* y);

// The step of an optimizer on a table of which few rows were looked up: with g[r, i] = sum over j with indices[j] == r of
// updates[j, i], y_o[r, i] = program(g, e1, ..., e7)[r, i], float32. The program is bytecode as in dense_map.h, and one of
// the rules of update.h. No gradient array exists; where the rule leaves rows without updates as they are, no others are
// touched.
Facts scatter_update_facts(const ScatterUpdateShape& s);
void scatter_update(const ScatterUpdateShape& s, Slice units, Scratch scratch, const void* indices,
                    const float* updates, const float* e1, const float* e2, const float* e3, const float* e4,
                    const float* e5, const float* e6, const float* e7, float* y0, float* y1, float* y2, float* y3);

// y[o, j, i] = x[o, indices[o, j, i], i]; indices and y are [O, n, I]
Facts take_along_facts(const GatherShape& s);
void take_along(const GatherShape& s, Slice units, const void* x, const void* indices, void* y);

// The reverse: y[o, indices[o, j, i], i] += updates[o, j, i], in the order of j, from x or zeros.
Facts scatter_add_along_facts(const ScatterShape& s);
void scatter_add_along(const ScatterShape& s, Slice units, const void* x, const void* indices, const void* updates,
                       void* y);

// y = x (or zeros) with y[indices[j, 0], ..., indices[j, rank-1], :] = or += updates[j, :], in the order of j.
Facts scatter_nd_facts(const ScatterNdShape& s);
void scatter_nd(const ScatterNdShape& s, Slice units, const void* x, const void* indices, const void* updates, void* y);

}  // namespace NACRE_LENT
}  // namespace nacre
