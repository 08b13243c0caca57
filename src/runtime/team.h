// Threads: how many, one parallel region at a time, and a barrier. The only file with OpenMP.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>

namespace nacre {

// CPUs that this process may use: affinity and cgroup quota.
int allowed_cpus();

// How many threads a run started by the calling thread may use: what set_threads said (by default OMP_NUM_THREADS, else the
// allowed CPUs), lowered by omp_set_num_threads (which threadpoolctl calls). At most kMaxThreads.
constexpr int kMaxThreads = 256;
int get_threads();
void set_threads(int n);  // 1 to kMaxThreads; the caller checks

// For short sections: fork() waits for it, so that no child finds it locked by a thread that it does not have.
std::mutex& fork_safe_lock();

// A barrier for a fixed number of threads that meet often: spins for a moment, then sleeps. More threads than CPUs do
// not spin at all.
class Barrier {
 public:
  explicit Barrier(int threads);
  void wait();

 private:
  const std::uint32_t threads_;
  const int spins_;
  // Arrivals and the word that waiters watch lie in lines of their own.
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};

// Calls body(data, k, n) for k = 0..n-1, each in a thread of its own, and returns when all have. n is `wanted`; or it is 1
// if another thread has a region open, if there is no such number of threads to be had, or if wanted is 1.
void run_team(int wanted, void (*body)(void* data, int k, int n), void* data);

}  // namespace nacre
