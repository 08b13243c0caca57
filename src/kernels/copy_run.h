// Copies of contiguous runs, inlined: most runs in concat, gather and transpose are shorter than a call is worth.
#pragma once
#include "kernels/loops.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

// One load and one store; a compiler that tunes for all CPUs would cut a piece of 32 bytes in two.
template <int n>
NACRE_ALWAYS void copy_piece(char* y, const char* x) {
  typedef char Bytes __attribute__((vector_size(n), aligned(1), may_alias));
  *reinterpret_cast<Bytes*>(y) = *reinterpret_cast<const Bytes*>(x);
}
template <int n, int count>
NACRE_ALWAYS void copy_pieces(char* y, const char* x) {
  NACRE_UNROLL for (int i = 0; i < count; ++i) copy_piece<n>(y + i * n, x + i * n);
}

// n bytes; x and y do not overlap. The end is copied as a whole vector that overlaps what is there already.
NACRE_ALWAYS void copy_run(char* y, const char* x, i64 n) {
  constexpr i64 width = kLanes * 4;
  if (n >= width) {
    if (n > 16 * width) {
      __builtin_memcpy(y, x, static_cast<unsigned long>(n));
      return;
    }
    i64 i = 0;
    for (; i + 4 * width <= n; i += 4 * width) copy_pieces<width, 4>(y + i, x + i);
    for (; i + width <= n; i += width) copy_piece<width>(y + i, x + i);
    if (i < n) copy_piece<width>(y + n - width, x + n - width);
  } else if (n >= 16) {
    i64 i = 0;
    for (; i + 16 <= n; i += 16) copy_piece<16>(y + i, x + i);
    if (i < n) copy_piece<16>(y + n - 16, x + n - 16);
  } else if (n >= 8) {
    copy_piece<8>(y, x);
    copy_piece<8>(y + n - 8, x + n - 8);
  } else if (n >= 4) {
    copy_piece<4>(y, x);
    copy_piece<4>(y + n - 4, x + n - 4);
  } else {
    for (i64 i = 0; i < n; ++i) y[i] = x[i];
  }
}

// The same where a vector more may be read and written.
NACRE_ALWAYS void copy_over(char* y, const char* x, i64 n) {
  constexpr i64 width = kLanes * 4;
  if (n > 16 * width) {
    copy_run(y, x, n);
  } else if (n <= 16) {
    copy_piece<16>(y, x);
  } else if (n <= 32) {
    copy_pieces<16, 2>(y, x);
  } else {
    i64 i = 0;
    for (; i + 4 * width <= n; i += 4 * width) copy_pieces<width, 4>(y + i, x + i);
    for (; i < n; i += width) copy_piece<width>(y + i, x + i);
  }
}

}  // namespace
}  // namespace NACRE_ISA
}  // namespace nacre
