// Softmax over rows, its logarithm, and the cross-entropy of logits with class numbers; each with its gradient.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct RowsShape {
  i64 M, N;
};
NACRE_FIELDS(RowsShape, M, N)

struct XentShape {
  i64 M, N;
  i64 label_dtype;  // float32 (rounded toward zero), int32, int64 or uint8
};
NACRE_FIELDS(XentShape, M, N, label_dtype)

namespace NACRE_ISA {

// y[m,n] = exp(x[m,n] - top) / sum_n exp(x[m,n] - top), top = max_n x[m,n]
Facts softmax_facts(const RowsShape& s);
void softmax(const RowsShape& s, Slice units, const float* x, float* y);

// dx[m,n] = y[m,n] * (dy[m,n] - sum_k y[m,k] dy[m,k])
Facts softmax_grad_x_facts(const RowsShape& s);
void softmax_grad_x(const RowsShape& s, Slice units, const float* y, const float* dy, float* dx);

// y[m,n] = x[m,n] - top - log(sum_n exp(x[m,n] - top))
Facts log_softmax_facts(const RowsShape& s);
void log_softmax(const RowsShape& s, Slice units, const float* x, float* y);

// dx[m,n] = dy[m,n] - exp(y[m,n]) * sum_k dy[m,k]
Facts log_softmax_grad_x_facts(const RowsShape& s);
void log_softmax_grad_x(const RowsShape& s, Slice units, const float* y, const float* dy, float* dx);

// loss[m] = -log softmax(logits[m])[labels[m]], probs = softmax(logits). A label outside 0..N-1 (or NaN) gives the loss
// NaN and, in the gradient, a row of zeros: the loss tells, and no weight is spoilt.
Facts softmax_xent_facts(const XentShape& s);
void softmax_xent(const XentShape& s, Slice units, const float* logits, const void* labels, float* loss, float* probs);

// dlogits[m,n] = (probs[m,n] - (n == labels[m])) * dloss[m]
Facts softmax_xent_grad_facts(const XentShape& s);
void softmax_xent_grad(const XentShape& s, Slice units, const float* probs, const void* labels, const float* dloss,
                       float* dlogits);

}  // namespace NACRE_ISA
}  // namespace nacre
