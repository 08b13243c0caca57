// Turns kernels.def into the code of one ISA; compiled once per ISA. How operands are passed is read off a kernel's signature,
//   void name(const Shape&, Slice, [Scratch,] operands...)
// Everything here is a constant or has internal linkage, so that no code for one ISA can stand in for another's.
#include "dispatch/table.h"

#include <utility>

#include "kernels/all.h"

namespace nacre {
namespace NACRE_LENT {}
namespace NACRE_ISA {
using namespace NACRE_LENT;
extern const KernelCode kCode[];

namespace {

template <auto kernel, class F = decltype(kernel)>
struct Thunk;

template <auto kernel, class S, class... P>
struct Thunk<kernel, void (*)(const S&, Slice, P...)> {
  template <std::size_t... i>
  static void spread(const void* shape, Slice units, void* const* at, std::index_sequence<i...>) {
    kernel(*static_cast<const S*>(shape), units, static_cast<P>(at[i])...);
  }
  static void run(const void* shape, Slice units, Scratch, void* const* at) {
    spread(shape, units, at, std::index_sequence_for<P...>());
  }
};

template <auto kernel, class S, class... P>
struct Thunk<kernel, void (*)(const S&, Slice, Scratch, P...)> {
  template <std::size_t... i>
  static void spread(const void* shape, Slice units, Scratch scratch, void* const* at, std::index_sequence<i...>) {
    kernel(*static_cast<const S*>(shape), units, scratch, static_cast<P>(at[i])...);
  }
  static void run(const void* shape, Slice units, Scratch scratch, void* const* at) {
    spread(shape, units, scratch, at, std::index_sequence_for<P...>());
  }
};

// Kernels that prepare something have a function prepare(const Shape&, void*) for their shape.
template <class S, class = void>
struct Preparing {
  static constexpr void (*run)(const void*, void*) = nullptr;
};
template <class S>
struct Preparing<S, decltype(prepare(std::declval<const S&>(), nullptr))> {
  static void run(const void* shape, void* plan) { prepare(*static_cast<const S*>(shape), plan); }
};

template <class S, Facts (*facts)(const S&)>
Facts ask(const void* shape) {
  return facts(*static_cast<const S*>(shape));
}

}  // namespace

#define KERNEL(name, S, aliasing) {&ask<S, &name##_facts>, &Thunk<&name>::run, Preparing<S>::run},
constexpr KernelCode kCode[] = {
#include "kernels/kernels.def"
    {}  // an array may not be empty
};
#undef KERNEL

}  // namespace NACRE_ISA
}  // namespace nacre
