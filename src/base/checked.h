// Count: a non-negative 64-bit number that remembers having overflowed. A zero factor hides nothing: 0 * overflow is
// still an overflow, and a negative operand makes the result invalid.
#pragma once
#include <cstdint>

#define NACRE_FORCE_INLINE __attribute__((always_inline)) inline

namespace nacre {

class Count {
 public:
  NACRE_FORCE_INLINE constexpr Count() {}
  NACRE_FORCE_INLINE constexpr Count(std::int64_t v)
      : value_(v), ok_(v >= 0) {}  // NOLINT: numbers become counts silently
  NACRE_FORCE_INLINE constexpr bool ok() const { return ok_; }
  NACRE_FORCE_INLINE constexpr std::int64_t value() const { return value_; }  // meaningful only when ok()

  NACRE_FORCE_INLINE friend constexpr Count operator*(Count a, Count b) {
    Count r;
    r.ok_ = a.ok_ && b.ok_ && !__builtin_mul_overflow(a.value_, b.value_, &r.value_);
    return r;
  }
  NACRE_FORCE_INLINE friend constexpr Count operator+(Count a, Count b) {
    Count r;
    r.ok_ = a.ok_ && b.ok_ && !__builtin_add_overflow(a.value_, b.value_, &r.value_);
    return r;
  }

 private:
  std::int64_t value_ = 0;
  bool ok_ = true;
};

}  // namespace nacre
