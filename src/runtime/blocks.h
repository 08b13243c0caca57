// Memory that runs need only while they last. Runs of all programs share it: what one gives back the next one takes.
#pragma once
#include <set>
#include <vector>

#include "runtime/arena.h"

namespace nacre {

// There are as many blocks as runs at one time, none larger than the largest that a living program needs. Thread-safe.
class Blocks {
 public:
  static Blocks& shared();

  // At least so many bytes, undefined. Throws std::bad_alloc.
  Arena take(i64 bytes);
  void give(Arena block);

  // A living program needs so many bytes, where it has said `known` so far (0: nothing), which becomes the larger of both.
  void need(i64 bytes, i64& known);
  void forget(i64 known);

  // Of the blocks that no run has taken.
  i64 idle_bytes() const;

 private:
  Blocks() { idle_.reserve(kMaxIdle); }  // so that giving back cannot fail

  static constexpr std::size_t kMaxIdle = 4;  // more runs at one time come rarely
  std::vector<Arena> idle_;                   // as `needs_` under fork_safe_lock()
  std::multiset<i64> needs_;
};

}  // namespace nacre
