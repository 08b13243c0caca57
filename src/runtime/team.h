// Threads: how many, one parallel region at a time, and waiting for each other. The only file with OpenMP.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/types.h"

namespace nacre {

// CPUs that this process may use: affinity and cgroup quota.
int allowed_cpus();

// How many threads a run started by the calling thread may use: what set_threads said (by default OMP_NUM_THREADS, else the
// allowed CPUs), lowered by omp_set_num_threads (which threadpoolctl calls). At most kMaxThreads.
constexpr int kMaxThreads = 256;
int get_threads();
void set_threads(int n);  // 1 to kMaxThreads; the caller checks

// Whether the CPUs seem to have room for a team of so many at this moment, going by how many threads run on the machine. False
// where that is not known or says nothing of the CPUs that this process may use. A look takes some microseconds.
bool seems_idle(int threads);

// For short sections: fork() waits for it, so that no child finds it locked by a thread that it does not have.
std::mutex& fork_safe_lock();

// A number that grows, and threads that wait for it: they spin for a moment, then sleep; where there are more threads than
// CPUs they do not spin at all. It wraps; a target is never more than 2^31 ahead.
class alignas(64) Progress {
 public:
  bool reached(std::uint32_t target) const {
    return static_cast<std::int32_t>(value_.load(std::memory_order_acquire) - target) >= 0;
  }
  void reset() { value_.store(0, std::memory_order_relaxed); }

  // Adds n, and wakes whoever waits for `target` if that reaches it.
  void advance(std::uint32_t target, std::uint32_t n = 1);
  void wait(std::uint32_t target, bool may_spin);

 private:
  std::atomic<std::uint32_t> value_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};

// Calls body(data, k, n) for k = 0..n-1, each in a thread of its own, and returns when all have. n is `wanted`; or it is 1
// if another thread has a region open, if there is no such number of threads to be had, or if wanted is 1. The nanoseconds
// that the calling thread has waited, if that is more than half of the time, as when the CPUs are busy with other
// processes; otherwise 0.
i64 run_team(int wanted, void (*body)(void* data, int k, int n), void* data);

}  // namespace nacre
