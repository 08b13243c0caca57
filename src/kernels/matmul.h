// Batched matrix product, c[b] = a[b] b[b], of floats and of doubles.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct MatmulShape {
  i64 B, M, K, N;
  i64 TA, TB;  // 1: a is stored (K, M), b is stored (N, K)
  i64 SA, SB;  // elements from one matrix of the batch to the next; 0: the same matrix for all
};
NACRE_FIELDS(MatmulShape, B, M, K, N, TA, TB, SA, SB)

namespace NACRE_ISA {

Facts matmul_facts(const MatmulShape& s);
void matmul(const MatmulShape& s, Slice units, Scratch scratch, const float* a, const float* b, float* c);
Facts matmul_f64_facts(const MatmulShape& s);
void matmul_f64(const MatmulShape& s, Slice units, Scratch scratch, const double* a, const double* b, double* c);

}  // namespace NACRE_ISA
}  // namespace nacre
