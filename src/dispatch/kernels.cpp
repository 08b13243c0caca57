// What kernels.def and the signatures of kernels say, which is the same for every ISA,
//   void name(const Shape&, Slice, [Scratch,] operands...)      const T*: input, T*: output
#define NACRE_ISA declared  // nothing of it is used but types
#include <type_traits>

#include "dispatch/table.h"
#include "kernels/all.h"

namespace nacre {
namespace {

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, i32>) return DType::i32;
  if constexpr (std::is_same_v<T, i64>) return DType::i64;
  if constexpr (std::is_same_v<T, u8>) return DType::u8;
  static_assert(std::is_arithmetic_v<T> || std::is_void_v<T>, "operands point to float, double, i32, i64, u8 or void");
  return DType::none;
}

template <class P>
constexpr OperandInfo info_of() {
  using T = std::remove_pointer_t<P>;
  static_assert(std::is_pointer_v<P>, "operands are pointers");
  return {dtype_of<std::remove_const_t<T>>(), !std::is_const_v<T>};
}

template <class S, class... P>
constexpr KernelInfo info(void (*)(const S&, Slice, P...), const char* name, Aliasing aliasing) {
  static_assert(sizeof...(P) <= kMaxOperands, "a kernel has at most kMaxOperands operands");
  return {name,
          fields_of(static_cast<const S*>(nullptr)),
          static_cast<int>(sizeof(S) / 8),
          static_cast<int>(sizeof...(P)),
          {info_of<P>()...},
          aliasing == kInPlace};
}
template <class S, class... P>
constexpr KernelInfo info(void (*)(const S&, Slice, Scratch, P...), const char* name, Aliasing aliasing) {
  return info(static_cast<void (*)(const S&, Slice, P...)>(nullptr), name, aliasing);
}

}  // namespace

#define KERNEL(name, S, aliasing) info(static_cast<decltype(&NACRE_ISA::name)>(nullptr), #name, aliasing),
constexpr KernelInfo kKernels[] = {
#include "kernels/kernels.def"
    {}  // an array may not be empty
};
#undef KERNEL
constexpr int kKernelCount = static_cast<int>(sizeof(kKernels) / sizeof(kKernels[0])) - 1;

}  // namespace nacre
