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

// Not worth inlining, nor a copy for some of its callers; of this object alone.
#ifdef __clang__
#define NACRE_CALLED __attribute__((noinline, unused)) static
#else
#define NACRE_CALLED __attribute__((noinline, noclone, unused)) static
#endif
