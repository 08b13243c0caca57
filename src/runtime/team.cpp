#include "runtime/team.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#if defined(__linux__)
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace nacre {
namespace {

// CPUs' worth of time per period that a cgroup allows; 0: no limit is known.
double quota_v2() {
  double cpus = 0;
  if (std::FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "re")) {
    long long quota = 0, period = 0;
    if (std::fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
      cpus = static_cast<double>(quota) / static_cast<double>(period);
    }
    std::fclose(f);
  }
  return cpus;
}

long long number_in(const char* path) {
  long long n = 0;
  if (std::FILE* f = std::fopen(path, "re")) {
    if (std::fscanf(f, "%lld", &n) != 1) n = 0;
    std::fclose(f);
  }
  return n;
}

double quota_v1() {
  const long long quota = number_in("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  const long long period = number_in("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  return quota > 0 && period > 0 ? static_cast<double>(quota) / static_cast<double>(period) : 0;
}

int count_allowed_cpus() {
  int cpus = omp_get_num_procs();  // respects affinity
  double quota = quota_v2();
  if (quota <= 0) quota = quota_v1();
  if (quota > 0 && quota < cpus) cpus = static_cast<int>(quota + 0.5);  // 1.5 CPUs of time feed two threads
  return cpus < 1 ? 1 : cpus;
}

int clamp_threads(int n) { return n < 1 ? 1 : n > kMaxThreads ? kMaxThreads : n; }

// What OpenMP said when first asked: a later difference means that somebody set a limit in the calling thread.
int omp_threads_at_start() {
  static const int n = omp_get_max_threads();
  return n;
}

std::atomic<int>& chosen_threads() {
  static std::atomic<int> n{clamp_threads(std::getenv("OMP_NUM_THREADS") || allowed_cpus() > omp_threads_at_start()
                                              ? omp_threads_at_start()
                                              : allowed_cpus())};
  return n;
}

// One region at a time: a second caller would only fight the first for the same CPUs. fork() waits for the region to end and
// lets the team go, because neither OpenMP's threads nor the locks that they hold exist in a child.
std::mutex& region_lock() {
  static std::mutex lock;
  return lock;
}

// How long this thread has slept in Progress::wait.
thread_local std::chrono::steady_clock::duration slept{0};

// The largest team that the calling thread has had: OpenMP keeps its threads.
thread_local int largest_team = 1;

void before_fork() {
  region_lock().lock();
  fork_safe_lock().lock();
  omp_pause_resource_all(omp_pause_soft);
  largest_team = 1;
}

void after_fork() {
  fork_safe_lock().unlock();
  region_lock().unlock();
}

// At load, before any other thread can be inside one of the locks.
const int watching_forks = pthread_atfork(before_fork, after_fork, after_fork);

// Whether so many threads can be had now: OpenMP ends the process when one of them cannot start, for want of memory for
// its stack or because a limit of processes is reached.
bool can_start(int threads) {
  std::mutex gate;
  pthread_t started[kMaxThreads];
  const auto pass = [](void* closed) -> void* {
    const std::lock_guard<std::mutex> hold(*static_cast<std::mutex*>(closed));
    return nullptr;
  };
  int n = 0;
  gate.lock();
  while (n < threads && pthread_create(&started[n], nullptr, pass, &gate) == 0) ++n;
  gate.unlock();
  for (int i = 0; i < n; ++i) pthread_join(started[i], nullptr);
  return n == threads;
}

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");  // waits about as long as x86's pause
#endif
}

int measure_spins() {
  constexpr int kTurns = 512;
  std::atomic<std::uint32_t> word{0};
  double best = 1e9;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kTurns && word.load(std::memory_order_acquire) == 0; ++i) pause_cpu();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best = std::min(best, took.count());
  }
  return static_cast<int>(std::min(kTurns * 50e-6 / std::max(best, 1e-9), 1e5));
}

// Turns of the waiting loop in about 50 us: pause takes 10 to 140 cycles, depending on the CPU. Measured on first use, by two
// threads if they come at once: a guarded static would stay locked in a child that is forked meanwhile.
int spins_in_50us() {
  static std::atomic<int> spins{-1};
  if (spins.load(std::memory_order_relaxed) < 0) spins.store(measure_spins(), std::memory_order_relaxed);
  return spins.load(std::memory_order_relaxed);
}

void sleep_while(std::atomic<std::uint32_t>& word, std::uint32_t value) {
#if defined(__linux__)
  static_assert(sizeof(word) == sizeof(std::uint32_t), "the kernel looks at the word itself");
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
#else
  if (word.load(std::memory_order_acquire) == value) std::this_thread::yield();
#endif
}

void wake_all(std::atomic<std::uint32_t>& word) {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
#else
  (void)word;
#endif
}

}  // namespace

std::mutex& fork_safe_lock() {
  static std::mutex lock;
  return lock;
}

int allowed_cpus() {
  static const int n = count_allowed_cpus();
  return n;
}

int get_threads() {
  const int at_start = omp_threads_at_start(), chosen = chosen_threads().load(std::memory_order_relaxed);
  const int now = omp_get_max_threads();
  return clamp_threads(std::min({now != at_start ? now : chosen, chosen, omp_get_thread_limit()}));
}

bool seems_idle(int threads) {
  int running = 0;
#if defined(__linux__)
  static const long online = sysconf(_SC_NPROCESSORS_ONLN);
  if (allowed_cpus() != online) return false;
  const int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char text[64];
  const ssize_t n = read(file, text, sizeof text - 1);
  close(file);
  text[std::max<ssize_t>(n, 0)] = 0;
  // Three means, then the threads that run, this one among them, of those that there are.
  if (std::sscanf(text, "%*s %*s %*s %d/", &running) != 1) return false;
#endif
  return running > 0 && running - 1 + threads <= allowed_cpus();
}

void set_threads(int n) { chosen_threads().store(clamp_threads(n), std::memory_order_relaxed); }

void Progress::advance(std::uint32_t target, std::uint32_t n) {
  const std::uint32_t now = value_.fetch_add(n, std::memory_order_seq_cst) + n;
  if (now == target && sleepers_.load(std::memory_order_seq_cst) > 0) wake_all(value_);
}

void Progress::wait(std::uint32_t target, bool may_spin) {
  for (int i = may_spin ? spins_in_50us() : 0; i > 0; --i) {
    if (reached(target)) return;
    pause_cpu();
  }
  const auto begin = std::chrono::steady_clock::now();
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  for (;;) {
    const std::uint32_t now = value_.load(std::memory_order_seq_cst);
    if (static_cast<std::int32_t>(now - target) >= 0) break;
    sleep_while(value_, now);
  }
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  slept += std::chrono::steady_clock::now() - begin;
}

i64 run_team(int wanted, void (*body)(void* data, int k, int n), void* data) {
  std::unique_lock<std::mutex> only(region_lock(), std::defer_lock);
  if (wanted <= 1 || omp_in_parallel() || omp_get_thread_limit() < wanted || !only.try_lock()) {
    body(data, 0, 1);
    return 0;
  }
  if (wanted > largest_team) {
    if (!can_start(wanted - 1)) {
      only.unlock();
      body(data, 0, 1);
      return 0;
    }
    largest_team = wanted;
  }
  using Clock = std::chrono::steady_clock;
  bool refused = false;
  slept = Clock::duration{0};
  const Clock::time_point begin = Clock::now();
  Clock::time_point started = begin, done = begin;
#pragma omp parallel num_threads(wanted)
  {
    const int n = omp_get_num_threads(), k = omp_get_thread_num();
    if (k == 0) started = Clock::now();
    if (n == wanted) {
      body(data, k, n);
    } else if (k == 0) {
      refused = true;
    }
    if (k == 0) done = Clock::now();
  }
  const Clock::time_point end = Clock::now();
  only.unlock();
  if (refused) body(data, 0, 1);
  const Clock::duration waited = (started - begin) + slept + (end - done);
  return !refused && 2 * waited > end - begin ? std::chrono::nanoseconds(waited).count() : 0;
}

}  // namespace nacre
