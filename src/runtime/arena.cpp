#include "runtime/arena.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace nacre {
namespace {
constexpr i64 kLine = 64;
constexpr i64 kHugePage = i64{2} << 20;
}  // namespace

Arena::Arena(i64 bytes) : bytes_(bytes) {
  if (bytes <= 0) {
    bytes_ = 0;
    return;
  }
  const i64 align = bytes >= kHugePage ? kHugePage : kLine;
  if (bytes > INT64_MAX - align) throw std::bad_alloc();
  void* p = nullptr;
  const i64 rounded = ceil_div(bytes, align) * align;
  if (posix_memalign(&p, static_cast<std::size_t>(align), static_cast<std::size_t>(rounded)) != 0)
    throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (align == kHugePage)
    madvise(p, static_cast<std::size_t>(rounded), MADV_HUGEPAGE);  // advice: refusal costs speed only
#endif
  at_ = static_cast<char*>(p);
}

Arena::~Arena() { std::free(at_); }

Arena::Arena(Arena&& other) noexcept { *this = std::move(other); }

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(at_, other.at_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace nacre
