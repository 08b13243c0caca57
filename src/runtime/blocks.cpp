#include "runtime/blocks.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "runtime/team.h"

namespace nacre {
namespace {
bool smaller(const Arena& a, const Arena& b) { return a.bytes() < b.bytes(); }
}  // namespace

Blocks& Blocks::shared() {
  static Blocks& all = *new Blocks;  // programs may outlive what the end of the process destroys
  return all;
}

Arena Blocks::take(i64 bytes) {
  if (bytes <= 0) return Arena();
  Arena found;
  {
    const std::lock_guard<std::mutex> hold(fork_safe_lock());
    if (!idle_.empty()) {
      auto best = std::max_element(idle_.begin(), idle_.end(), smaller);
      for (auto each = idle_.begin(); each != idle_.end(); ++each) {
        if (each->bytes() >= bytes && each->bytes() < best->bytes()) best = each;
      }
      found = std::move(*best);
      idle_.erase(best);
    }
  }
  if (found.bytes() >= bytes) return found;
  found = Arena();  // too small: it goes before a larger one comes
  return Arena(bytes);
}

void Blocks::give(Arena block) {
  if (block.bytes() == 0) return;
  const std::lock_guard<std::mutex> hold(fork_safe_lock());
  if (idle_.size() < kMaxIdle && !needs_.empty() && block.bytes() <= *needs_.rbegin())
    idle_.push_back(std::move(block));
}

void Blocks::need(i64 bytes, i64& known) {
  const std::lock_guard<std::mutex> hold(fork_safe_lock());
  if (bytes <= known) return;
  if (known > 0) needs_.erase(needs_.find(known));
  needs_.insert(bytes);
  known = bytes;
}

void Blocks::forget(i64 known) {
  if (known == 0) return;
  std::vector<Arena> gone;  // and freed when the lock is free again
  const std::lock_guard<std::mutex> hold(fork_safe_lock());
  needs_.erase(needs_.find(known));
  const i64 most = needs_.empty() ? 0 : *needs_.rbegin();
  for (std::size_t i = idle_.size(); i-- > 0;) {
    if (idle_[i].bytes() <= most) continue;
    gone.push_back(std::move(idle_[i]));
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

i64 Blocks::idle_bytes() const {
  const std::lock_guard<std::mutex> hold(fork_safe_lock());
  i64 sum = 0;
  for (const Arena& block : idle_) sum += block.bytes();
  return sum;
}

}  // namespace nacre
