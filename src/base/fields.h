// NACRE_FIELDS lists the members of a shape struct, so that Python can fill it by name: every member is i64 or double,
// alone or as an array, and the struct is a plain run of 8-byte slots.
//
//   struct RowsShape { i64 M, N; };
//   NACRE_FIELDS(RowsShape, M, N)
#pragma once
#include <cstddef>
#include <cstdint>

namespace nacre {

struct Field {
  char name[16];  // here, not elsewhere: a pointer would have to be set when the library is loaded
  int slot;       // offset in 8-byte slots
  int count;      // array length, 1 for a scalar
  bool is_real;   // double rather than i64
};

struct FieldList {
  const Field* at;
  int n;
};

namespace fields {
template <class T>
struct Traits;
template <>
struct Traits<std::int64_t> {
  static constexpr int count = 1;
  static constexpr bool real = false;
};
template <>
struct Traits<double> {
  static constexpr int count = 1;
  static constexpr bool real = true;
};
template <int n>
struct Traits<std::int64_t[n]> {
  static constexpr int count = n;
  static constexpr bool real = false;
};
template <int n>
struct Traits<double[n]> {
  static constexpr int count = n;
  static constexpr bool real = true;
};

template <std::size_t n>
static constexpr std::size_t slots(const Field (&list)[n]) {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<std::size_t>(list[i].count);
  return sum;
}
}  // namespace fields
}  // namespace nacre

#define NACRE_FIELD(S, f)                                                                                  \
  ::nacre::Field{#f, static_cast<int>(offsetof(S, f) / 8), ::nacre::fields::Traits<decltype(S::f)>::count, \
                 ::nacre::fields::Traits<decltype(S::f)>::real},

// clang-format off
#define NACRE_F1(S, a) NACRE_FIELD(S, a)
#define NACRE_F2(S, a, ...) NACRE_FIELD(S, a) NACRE_F1(S, __VA_ARGS__)
#define NACRE_F3(S, a, ...) NACRE_FIELD(S, a) NACRE_F2(S, __VA_ARGS__)
#define NACRE_F4(S, a, ...) NACRE_FIELD(S, a) NACRE_F3(S, __VA_ARGS__)
#define NACRE_F5(S, a, ...) NACRE_FIELD(S, a) NACRE_F4(S, __VA_ARGS__)
#define NACRE_F6(S, a, ...) NACRE_FIELD(S, a) NACRE_F5(S, __VA_ARGS__)
#define NACRE_F7(S, a, ...) NACRE_FIELD(S, a) NACRE_F6(S, __VA_ARGS__)
#define NACRE_F8(S, a, ...) NACRE_FIELD(S, a) NACRE_F7(S, __VA_ARGS__)
#define NACRE_F9(S, a, ...) NACRE_FIELD(S, a) NACRE_F8(S, __VA_ARGS__)
#define NACRE_F10(S, a, ...) NACRE_FIELD(S, a) NACRE_F9(S, __VA_ARGS__)
#define NACRE_F11(S, a, ...) NACRE_FIELD(S, a) NACRE_F10(S, __VA_ARGS__)
#define NACRE_F12(S, a, ...) NACRE_FIELD(S, a) NACRE_F11(S, __VA_ARGS__)
#define NACRE_F13(S, a, ...) NACRE_FIELD(S, a) NACRE_F12(S, __VA_ARGS__)
#define NACRE_F14(S, a, ...) NACRE_FIELD(S, a) NACRE_F13(S, __VA_ARGS__)
#define NACRE_F15(S, a, ...) NACRE_FIELD(S, a) NACRE_F14(S, __VA_ARGS__)
#define NACRE_F16(S, a, ...) NACRE_FIELD(S, a) NACRE_F15(S, __VA_ARGS__)
#define NACRE_F17(S, a, ...) NACRE_FIELD(S, a) NACRE_F16(S, __VA_ARGS__)
#define NACRE_F18(S, a, ...) NACRE_FIELD(S, a) NACRE_F17(S, __VA_ARGS__)
#define NACRE_F19(S, a, ...) NACRE_FIELD(S, a) NACRE_F18(S, __VA_ARGS__)
#define NACRE_F20(S, a, ...) NACRE_FIELD(S, a) NACRE_F19(S, __VA_ARGS__)
#define NACRE_F21(S, a, ...) NACRE_FIELD(S, a) NACRE_F20(S, __VA_ARGS__)
#define NACRE_F22(S, a, ...) NACRE_FIELD(S, a) NACRE_F21(S, __VA_ARGS__)
#define NACRE_F23(S, a, ...) NACRE_FIELD(S, a) NACRE_F22(S, __VA_ARGS__)
#define NACRE_F24(S, a, ...) NACRE_FIELD(S, a) NACRE_F23(S, __VA_ARGS__)
#define NACRE_PICK(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, _18, _19, _20, _21, _22, \
                   _23, _24, name, ...) name
#define NACRE_EACH(S, ...) NACRE_PICK(__VA_ARGS__, NACRE_F24, NACRE_F23, NACRE_F22, NACRE_F21, NACRE_F20, NACRE_F19, \
  NACRE_F18, NACRE_F17, NACRE_F16, NACRE_F15, NACRE_F14, NACRE_F13, NACRE_F12, NACRE_F11, NACRE_F10, NACRE_F9, NACRE_F8, \
  NACRE_F7, NACRE_F6, NACRE_F5, NACRE_F4, NACRE_F3, NACRE_F2, NACRE_F1, 0)(S, __VA_ARGS__)
// clang-format on

// offsetof needs the complete type, so the list stands behind the struct:  NACRE_FIELDS(RowsShape, M, N)
// `static` keeps it out of the symbol table that different ISAs share; `constexpr` keeps it out of start-up code, which
// would run before anybody has asked what the CPU can do.
#define NACRE_FIELDS(S, ...)                                                                                          \
  static constexpr ::nacre::Field fields_of_##S[] = {NACRE_EACH(S, __VA_ARGS__)};                                     \
  static_assert(sizeof(S) % 8 == 0, "shape structs are runs of 8-byte slots");                                        \
  static_assert(::nacre::fields::slots(fields_of_##S) == sizeof(S) / 8, #S ": NACRE_FIELDS names every member once"); \
  static constexpr ::nacre::FieldList fields_of(const S*) {                                                           \
    return {fields_of_##S, static_cast<int>(sizeof(fields_of_##S) / sizeof(::nacre::Field))};                         \
  }
