// A block of memory for a program's intermediate values or a kernel's workspace.
#pragma once
#include <cstddef>

#include "base/types.h"

namespace nacre {

// 64-byte aligned; from 2 MB on aligned to huge pages, which are asked for. Not cleared. Throws std::bad_alloc.
class Arena {
 public:
  explicit Arena(i64 bytes = 0);
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;

  char* at() const { return at_; }
  i64 bytes() const { return bytes_; }

 private:
  char* at_ = nullptr;
  i64 bytes_ = 0;
};

}  // namespace nacre
