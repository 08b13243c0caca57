#include "runtime/limits.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "dispatch/dispatch.h"
#include "kernels/yardstick.h"
#include "runtime/arena.h"
#include "runtime/measure.h"
#include "runtime/plan.h"
#include "runtime/team.h"

namespace nacre {

// Each thread takes its own best time: a thread that has to share its CPU for a moment does not lower the limit.
Limits::Limits(const KernelTable& table, int threads) : table_(table), threads_(threads) {
  struct Job {
    const KernelEntry* kernel;
    MultiplyAddShape shape;
    int members = 0;
    double best_ns[kMaxThreads];
    float results[kMaxThreads];
  };
  constexpr int kTries = 20, kRepeats = 200;
  Job job{};
  job.kernel = find_kernel(table, "multiply_add");
  job.shape = {5000, 1, 1e-3};
  for (double& ns : job.best_ns) ns = 1e30;
  for (int tries = 0; tries < kTries; ++tries) {
    run_team(
        threads_,
        [](void* data, int k, int n) {
          using Clock = std::chrono::steady_clock;
          Job& j = *static_cast<Job*>(data);
          if (k == 0) j.members = std::max(j.members, n);
          void* result = &j.results[k];
          for (int i = 0; i < kRepeats; ++i) {
            const Clock::time_point begin = Clock::now();
            j.kernel->run(&j.shape, {0, 1}, {}, &result);
            const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
            j.best_ns[k] = std::min(j.best_ns[k], took.count());
          }
        },
        &job);
  }
  const double flops = job.kernel->facts(&job.shape).flops;
  for (int k = 0; k < job.members; ++k) gflops_ += flops / job.best_ns[k];
  gflops_ *= static_cast<double>(threads_) / job.members;  // no team to be had: as many times what one thread reaches
}

double Limits::gbps(double bytes) {
  // Four sizes an octave: the answer changes slowly but for the edges of caches.
  const double rounded = std::exp2(std::round(4 * std::log2(std::max(bytes, 4096.0))) / 4);
  const i64 floats = std::max<i64>(static_cast<i64>(rounded / 8) / 64 * 64, 64);  // in each of source and target
  for (int i = 0; i < n_known_; ++i) {
    if (known_[i].floats == floats) return known_[i].gbps;
  }
  struct Job {
    const KernelEntry* kernel;
    CopyFloatsShape shape;
    i64 units;
    void* operands[2];
  };
  Arena memory(2 * floats * 4 + 4096);
  float* const x = reinterpret_cast<float*>(memory.at());
  float* const y = x + floats + 16;  // not a multiple of 4 KB behind x
  std::fill(x, y + floats, 1.0f);
  Job job{find_kernel(table_, "copy_floats"), {floats}, 0, {x, y}};
  job.units = job.kernel->facts(&job.shape).units;
  // As the executor does: 10 us of copying are worth a second thread.
  const int threads = static_cast<int>(std::min<double>(threads_, std::max(1.0, rounded / 20e3 / 10)));
  const auto rate = [&](int n) {
    const Timing t = measure(0.05, [&] {
      run_team(
          n,
          [](void* data, int k, int members) {
            const Job& j = *static_cast<Job*>(data);
            j.kernel->run(&j.shape, part(j.units, k, members), {}, j.operands);
          },
          &job);
    });
    return static_cast<double>(floats) * 8 / t.min_ns;
  };
  // A team that has to wait for a CPU says nothing of the limit.
  const double gbps = threads > 1 ? std::max(rate(threads), rate(1)) : rate(1);
  if (n_known_ < 128) known_[n_known_++] = {floats, gbps};
  return gbps;
}

}  // namespace nacre
