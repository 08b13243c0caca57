// Small things every memory-bound kernel needs: loop hints and conversions whose every case is defined.
#pragma once
#include "base/types.h"

// Iterations are independent although pointers may be equal (in place): vectorize without asking.
#if defined(__clang__)
#define NACRE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#pragma clang diagnostic ignored "-Wpass-failed"  // templates make loops that no vector unit has an instruction for
#else
#define NACRE_INDEPENDENT _Pragma("GCC ivdep")
#endif
#define NACRE_ALWAYS inline __attribute__((always_inline))

namespace nacre {
namespace NACRE_ISA {
namespace {

// The C type behind a DType; boolean is a u8 that is written as 0 or 1.
struct Bool {
  u8 v;
};

// to<D>(s): floats to integers round toward zero and saturate, NaN gives 0; integers to narrower integers wrap.
template <class D, class S>
struct Convert {
  static NACRE_ALWAYS D to(S s) { return static_cast<D>(s); }
};
template <class F, class I>
NACRE_ALWAYS I saturate(F s, F low, F high, I min, I max) {
  // high is the first float above the range, so the comparison is exact.
  const I inside = static_cast<I>(s >= low && s < high ? s : F(0));
  return s >= high ? max : s < low ? min : inside;
}
template <>
struct Convert<i32, float> {
  static NACRE_ALWAYS i32 to(float s) { return saturate<float, i32>(s, -0x1p31f, 0x1p31f, INT32_MIN, INT32_MAX); }
};
template <>
struct Convert<i32, double> {
  static NACRE_ALWAYS i32 to(double s) { return saturate<double, i32>(s, -0x1p31, 0x1p31, INT32_MIN, INT32_MAX); }
};
template <>
struct Convert<i64, float> {
  static NACRE_ALWAYS i64 to(float s) { return saturate<float, i64>(s, -0x1p63f, 0x1p63f, INT64_MIN, INT64_MAX); }
};
template <>
struct Convert<i64, double> {
  static NACRE_ALWAYS i64 to(double s) { return saturate<double, i64>(s, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX); }
};
template <>
struct Convert<u8, float> {
  static NACRE_ALWAYS u8 to(float s) { return static_cast<u8>(saturate<float, i32>(s, 0.0f, 256.0f, 0, 255)); }
};
template <>
struct Convert<u8, double> {
  static NACRE_ALWAYS u8 to(double s) { return static_cast<u8>(saturate<double, i32>(s, 0.0, 256.0, 0, 255)); }
};
template <class S>
struct Convert<Bool, S> {
  static NACRE_ALWAYS Bool to(S s) { return Bool{static_cast<u8>(s != 0)}; }
};
template <class D>
struct Convert<D, Bool> {
  static NACRE_ALWAYS D to(Bool s) { return static_cast<D>(s.v != 0); }
};
template <>
struct Convert<Bool, Bool> {
  static NACRE_ALWAYS Bool to(Bool s) { return Bool{static_cast<u8>(s.v != 0)}; }
};

template <class D, class S>
NACRE_ALWAYS D to(S s) {
  return Convert<D, S>::to(s);
}

NACRE_ALWAYS bool is_dtype(i64 t) { return t >= 0 && t <= static_cast<i64>(DType::boolean); }
NACRE_ALWAYS i64 width_of(i64 dtype) { return size_of(static_cast<DType>(dtype)); }

// NACRE_BY_DTYPE(dtype, T, body): runs body with T naming the element type. dtype was checked by facts.
#define NACRE_BY_DTYPE(dtype, T, ...)  \
  switch (static_cast<DType>(dtype)) { \
    case DType::f32: {                 \
      using T = float;                 \
      __VA_ARGS__;                     \
    } break;                           \
    case DType::f64: {                 \
      using T = double;                \
      __VA_ARGS__;                     \
    } break;                           \
    case DType::i32: {                 \
      using T = i32;                   \
      __VA_ARGS__;                     \
    } break;                           \
    case DType::i64: {                 \
      using T = i64;                   \
      __VA_ARGS__;                     \
    } break;                           \
    case DType::u8: {                  \
      using T = u8;                    \
      __VA_ARGS__;                     \
    } break;                           \
    case DType::boolean: {             \
      using T = Bool;                  \
      __VA_ARGS__;                     \
    } break;                           \
    default: break;                    \
  }

template <class T>
NACRE_ALWAYS T* as(void* p) {
  return static_cast<T*>(p);
}
template <class T>
NACRE_ALWAYS const T* as(const void* p) {
  return static_cast<const T*>(p);
}

// The product of sizes for an overflow check that no zero among them hides: zeros count as ones.
template <class... N>
NACRE_ALWAYS bool product_fits(N... n) {
  return (Count(32) * ... * Count(n > 0 ? static_cast<i64>(n) : 1)).ok();
}

// The items of unit u when n items are cut into units of `per`.
struct Run {
  i64 begin, end;
};
NACRE_ALWAYS Run run_of(i64 unit, i64 per, i64 n) {
  const i64 begin = unit * per;
  return {begin, min_of(begin + per, n)};
}

}  // namespace
}  // namespace NACRE_ISA
}  // namespace nacre
