// Dense layer: y = act(x w + b), its gradients, and column sums (the gradient of b).
//
// ldx, ldy, ldh: floats from row to row (0: rows follow each other); x0, y0, h0: where the first row starts. So a dense
// layer can write into, and read from, some columns of a wider buffer, and concatenation costs nothing.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct DenseShape {
  i64 M, N, K;
  i64 bias;  // 0: no b
  i64 act;   // 0: none, 1: max(0, .)
  i64 ldx, x0, ldy, y0;
};
NACRE_FIELDS(DenseShape, M, N, K, bias, act, ldx, x0, ldy, y0)

struct DenseGradXShape {
  i64 M, N, K;
  i64 mask;  // 1: dx is 0 where h is not positive (h = the layer's input, when that came out of a relu)
  i64 ldy, y0, ldx, x0, ldh, h0;
};
NACRE_FIELDS(DenseGradXShape, M, N, K, mask, ldy, y0, ldx, x0, ldh, h0)

struct DenseGradWShape {
  i64 M, N, K;
  i64 chunks;  // dw has this many leading parts, each the sum over ceil(M / chunks) rows; 0 and 1: one part, no axis
  i64 ldx, x0, ldy, y0;
};
NACRE_FIELDS(DenseGradWShape, M, N, K, chunks, ldx, x0, ldy, y0)

struct ColumnSumShape {
  i64 M, N;
  i64 chunks;  // as above
  i64 ldx, x0;
};
NACRE_FIELDS(ColumnSumShape, M, N, chunks, ldx, x0)

namespace NACRE_ISA {

Facts dense_facts(const DenseShape& s);
void dense(const DenseShape& s, Slice units, Scratch scratch, const float* x, const float* w, const float* b, float* y);

void prepare(const DenseShape& s, void* plan);

Facts dense_grad_x_facts(const DenseGradXShape& s);
void dense_grad_x(const DenseGradXShape& s, Slice units, Scratch scratch, const float* dy, const float* w,
                  const float* h, float* dx);
void prepare(const DenseGradXShape& s, void* plan);

Facts dense_grad_w_facts(const DenseGradWShape& s);
void dense_grad_w(const DenseGradWShape& s, Slice units, Scratch scratch, const float* x, const float* dy, float* dw);
void prepare(const DenseGradWShape& s, void* plan);

Facts column_sum_facts(const ColumnSumShape& s);
void column_sum(const ColumnSumShape& s, Slice units, const float* x, float* y);

}  // namespace NACRE_ISA
}  // namespace nacre
