// Turns kernels.def into the table of one ISA; compiled once per ISA. An entry is read off the kernel's signature,
//   void name(const Shape&, Slice, [Scratch,] operands...)      const T*: input, T*: output
// Everything here is a constant or has internal linkage, so that no code for one ISA can stand in for another's.
#include "dispatch/table.h"

#include <type_traits>
#include <utility>

#include "kernels/all.h"

#define NACRE_TEXT_(x) #x
#define NACRE_TEXT(x) NACRE_TEXT_(x)

namespace nacre {
namespace NACRE_ISA {
extern const KernelTable kTable;

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

template <class... P>
struct Signature {
  static constexpr int operands = sizeof...(P);
  static_assert(operands <= kMaxOperands, "a kernel has at most kMaxOperands operands");

  static constexpr void describe(KernelEntry& e) {
    int i = 0;
    ((e.operand[i++] = info_of<P>()), ...);
    e.operands = operands;
  }
};

template <auto kernel, class F = decltype(kernel)>
struct Thunk;

template <auto kernel, class S, class... P>
struct Thunk<kernel, void (*)(const S&, Slice, P...)> : Signature<P...> {
  using Shape = S;

  template <std::size_t... i>
  static void spread(const void* shape, Slice units, void* const* at, std::index_sequence<i...>) {
    kernel(*static_cast<const S*>(shape), units, static_cast<P>(at[i])...);
  }
  static void run(const void* shape, Slice units, Scratch, void* const* at) {
    spread(shape, units, at, std::index_sequence_for<P...>());
  }
};

template <auto kernel, class S, class... P>
struct Thunk<kernel, void (*)(const S&, Slice, Scratch, P...)> : Signature<P...> {
  using Shape = S;

  template <std::size_t... i>
  static void spread(const void* shape, Slice units, Scratch scratch, void* const* at, std::index_sequence<i...>) {
    kernel(*static_cast<const S*>(shape), units, scratch, static_cast<P>(at[i])...);
  }
  static void run(const void* shape, Slice units, Scratch scratch, void* const* at) {
    spread(shape, units, scratch, at, std::index_sequence_for<P...>());
  }
};

template <class S, Facts (*facts)(const S&)>
Facts ask(const void* shape) {
  return facts(*static_cast<const S*>(shape));
}

template <auto kernel, class S, Facts (*facts)(const S&)>
constexpr KernelEntry entry(const char* name, Aliasing aliasing) {
  using T = Thunk<kernel>;
  static_assert(sizeof(typename T::Shape) == sizeof(S), "the shape struct in kernels.def is the kernel's own");
  KernelEntry e{};
  e.name = name;
  e.fields = fields_of(static_cast<const S*>(nullptr));
  e.slots = static_cast<int>(sizeof(S) / 8);
  e.in_place = aliasing == kInPlace;
  e.facts = &ask<S, facts>;
  e.run = &T::run;
  T::describe(e);
  return e;
}

#define KERNEL(name, S, aliasing) entry<&name, S, &name##_facts>(#name, aliasing),
constexpr KernelEntry kEntries[] = {
#include "kernels/kernels.def"
    KernelEntry{}  // an array may not be empty
};
#undef KERNEL

}  // namespace

constexpr KernelTable kTable{NACRE_TEXT(NACRE_ISA), kEntries,
                             static_cast<int>(sizeof(kEntries) / sizeof(kEntries[0])) - 1};

}  // namespace NACRE_ISA
}  // namespace nacre
