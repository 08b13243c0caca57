// What reductions and scans do with one element more, for any element type. Integers wrap; NaN passes through max and min.
#pragma once
#include "kernels/loops.h"

namespace nacre {
namespace NACRE_ISA {
namespace ops {
namespace {

template <class A>
struct Limits;
template <>
struct Limits<float> {
  static constexpr float low = -__builtin_inff(), high = __builtin_inff();
};
template <>
struct Limits<double> {
  static constexpr double low = -__builtin_inf(), high = __builtin_inf();
};
template <>
struct Limits<i32> {
  static constexpr i32 low = INT32_MIN, high = INT32_MAX;
};
template <>
struct Limits<i64> {
  static constexpr i64 low = INT64_MIN, high = INT64_MAX;
};
template <>
struct Limits<u8> {
  static constexpr u8 low = 0, high = 255;
};

template <class A>
struct IsReal {
  static constexpr bool value = false;
};
template <>
struct IsReal<float> {
  static constexpr bool value = true;
};
template <>
struct IsReal<double> {
  static constexpr bool value = true;
};

template <class A>
NACRE_ALWAYS A plus(A a, A b) {
  if constexpr (IsReal<A>::value) return a + b;
  else return static_cast<A>(static_cast<u64>(a) + static_cast<u64>(b));
}
template <class A>
NACRE_ALWAYS A times(A a, A b) {
  if constexpr (IsReal<A>::value) return a * b;
  else return static_cast<A>(static_cast<u64>(a) * static_cast<u64>(b));
}

struct Sum {
  template <class A>
  static NACRE_ALWAYS A first() {
    return A(0);
  }
  template <class A, class T>
  static NACRE_ALWAYS A step(A acc, T x) {
    return plus(acc, to<A>(x));
  }
  template <class A>
  static NACRE_ALWAYS A join(A a, A b) {
    return plus(a, b);
  }
  template <class A>
  static NACRE_ALWAYS A finish(A a, double) {
    return a;
  }
};
struct Mean : Sum {
  template <class A>
  static NACRE_ALWAYS A finish(A a, double scale) {
    return to<A>(static_cast<double>(a) * scale);
  }
};
struct Squares : Sum {
  template <class A, class T>
  static NACRE_ALWAYS A step(A acc, T x) {
    return plus(acc, times(to<A>(x), to<A>(x)));
  }
};
struct Prod {
  template <class A>
  static NACRE_ALWAYS A first() {
    return A(1);
  }
  template <class A, class T>
  static NACRE_ALWAYS A step(A acc, T x) {
    return times(acc, to<A>(x));
  }
  template <class A>
  static NACRE_ALWAYS A join(A a, A b) {
    return times(a, b);
  }
  template <class A>
  static NACRE_ALWAYS A finish(A a, double) {
    return a;
  }
};
struct Max {
  template <class A>
  static NACRE_ALWAYS A first() {
    return Limits<A>::low;
  }
  template <class A>
  static NACRE_ALWAYS A join(A a, A b) {
    return a != a || a > b ? a : b;
  }
  template <class A, class T>
  static NACRE_ALWAYS A step(A acc, T x) {
    return join(acc, to<A>(x));
  }
  template <class A>
  static NACRE_ALWAYS A finish(A a, double) {
    return a;
  }
};
struct Min {
  template <class A>
  static NACRE_ALWAYS A first() {
    return Limits<A>::high;
  }
  template <class A>
  static NACRE_ALWAYS A join(A a, A b) {
    return a != a || a < b ? a : b;
  }
  template <class A, class T>
  static NACRE_ALWAYS A step(A acc, T x) {
    return join(acc, to<A>(x));
  }
  template <class A>
  static NACRE_ALWAYS A finish(A a, double) {
    return a;
  }
};
struct Any {
  template <class A>
  static NACRE_ALWAYS A first() {
    return A(0);
  }
  template <class A, class T>
  static NACRE_ALWAYS A step(A acc, T x) {
    return static_cast<A>(acc | to<Bool>(x).v);
  }
  template <class A>
  static NACRE_ALWAYS A join(A a, A b) {
    return static_cast<A>(a | b);
  }
  template <class A>
  static NACRE_ALWAYS A finish(A a, double) {
    return a;
  }
};
struct All {
  template <class A>
  static NACRE_ALWAYS A first() {
    return A(1);
  }
  template <class A, class T>
  static NACRE_ALWAYS A step(A acc, T x) {
    return static_cast<A>(acc & to<Bool>(x).v);
  }
  template <class A>
  static NACRE_ALWAYS A join(A a, A b) {
    return static_cast<A>(a & b);
  }
  template <class A>
  static NACRE_ALWAYS A finish(A a, double) {
    return a;
  }
};

}  // namespace
}  // namespace ops
}  // namespace NACRE_ISA
}  // namespace nacre
