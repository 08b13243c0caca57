// NACRE_INLINE: a function that never leaves a symbol behind, so code with AVX flags cannot leak into other objects.
#pragma once
#include "base/types.h"

#ifndef NACRE_ISA
#error "compile kernels with -DNACRE_ISA=baseline|avx2|avx512|neon"
#endif

#define NACRE_INLINE static inline __attribute__((always_inline))
#define NACRE_UNROLL _Pragma("GCC unroll 32")
#define NACRE_ROLLED _Pragma("GCC unroll 1")
#define NACRE_INLINE_MEMBER inline __attribute__((always_inline))
