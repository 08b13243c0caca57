// A square of kLanes x kLanes 32-bit items, turned in registers: every line of memory is read once and written once, so a
// stride that is a power of two evicts nothing.
#pragma once
#include "kernels/loops.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

typedef float Square __attribute__((vector_size(kLanes * 4)));

NACRE_INLINE Square square_of(Vec v) {
  Square s;
  __builtin_memcpy(&s, &v, sizeof s);
  return s;
}
NACRE_INLINE Vec vec_of(Square s) {
  Vec v;
  __builtin_memcpy(&v, &s, sizeof v);
  return v;
}

// Exchanges the off-diagonal blocks of `step` lanes between two rows that are `step` apart:
// a = a0 a1 a2 a3.., b = b0 b1 b2 b3.. (blocks) become a0 b0 a2 b2.., a1 b1 a3 b3..
template <int step, int... lane>
NACRE_INLINE void exchange(Square& a, Square& b) {
  const Square p = __builtin_shufflevector(a, b, (lane / step % 2 == 0 ? lane : lane - step + kLanes)...);
  const Square q = __builtin_shufflevector(a, b, (lane / step % 2 == 0 ? lane + step : lane + kLanes)...);
  a = p;
  b = q;
}

template <int step>
NACRE_INLINE void exchange_rows(Square* row) {
  NACRE_UNROLL
  for (int i = 0; i < kLanes; ++i) {
    if (i / step % 2) continue;
    if constexpr (kLanes == 16)
      exchange<step, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>(row[i], row[i + step]);
    else if constexpr (kLanes == 8) exchange<step, 0, 1, 2, 3, 4, 5, 6, 7>(row[i], row[i + step]);
    else exchange<step, 0, 1, 2, 3>(row[i], row[i + step]);
  }
}

NACRE_INLINE void turn(Square* row) {
  exchange_rows<1>(row);
  exchange_rows<2>(row);
  if constexpr (kLanes > 4) exchange_rows<4>(row);
  if constexpr (kLanes > 8) exchange_rows<8>(row);
}

// y[i*out + j] = x[i + j*in] for i < rows, j < columns, both at most kLanes.
NACRE_ALWAYS void turn_square(const float* x, float* y, i64 rows, i64 columns, i64 in, i64 out) {
  Square row[kLanes];
  if (rows == kLanes && columns == kLanes) {
    NACRE_UNROLL
    for (int j = 0; j < kLanes; ++j) row[j] = square_of(load(x + j * in));
    turn(row);
    NACRE_UNROLL
    for (int i = 0; i < kLanes; ++i) store(y + i * out, vec_of(row[i]));
    return;
  }
  NACRE_UNROLL
  for (int j = 0; j < kLanes; ++j) row[j] = square_of(j < columns ? load(x + j * in, rows) : zero());
  turn(row);
  NACRE_UNROLL
  for (int i = 0; i < kLanes; ++i)
    if (i < rows) store(y + i * out, vec_of(row[i]), columns);
}

}  // namespace
}  // namespace NACRE_ISA
}  // namespace nacre
