#include "cpp/limits.h"

#include <cmath>
#include <stdexcept>

#include "cpp/measure.h"
#include "runtime/arena.h"
#include "runtime/team.h"

namespace nacre {

#define NACRE_LIMITS(isa)                            \
  namespace isa {                                    \
  double multiply_add(i64 turns, float seed);        \
  double flops_per_turn();                           \
  void copy_floats(const float* x, float* y, i64 n); \
  }
#ifdef NACRE_WITH_baseline
NACRE_LIMITS(baseline)
#endif
#ifdef NACRE_WITH_avx2
NACRE_LIMITS(avx2)
#endif
#ifdef NACRE_WITH_avx512
NACRE_LIMITS(avx512)
#endif
#ifdef NACRE_WITH_neon
NACRE_LIMITS(neon)
#endif

namespace {

struct Functions {
  double (*multiply_add)(i64, float);
  double (*flops_per_turn)();
  void (*copy_floats)(const float*, float*, i64);
};

Functions functions_of(const std::string& name) {
#ifdef NACRE_WITH_baseline
  if (name == "baseline") return {baseline::multiply_add, baseline::flops_per_turn, baseline::copy_floats};
#endif
#ifdef NACRE_WITH_avx2
  if (name == "avx2") return {avx2::multiply_add, avx2::flops_per_turn, avx2::copy_floats};
#endif
#ifdef NACRE_WITH_avx512
  if (name == "avx512") return {avx512::multiply_add, avx512::flops_per_turn, avx512::copy_floats};
#endif
#ifdef NACRE_WITH_neon
  if (name == "neon") return {neon::multiply_add, neon::flops_per_turn, neon::copy_floats};
#endif
  throw std::invalid_argument("no limits are known for " + name);
}

}  // namespace

// Each thread takes its own best time: a thread that has to share its CPU for a moment does not lower the limit.
Limits::Limits(std::string isa, int threads) : isa_(std::move(isa)), threads_(threads) {
  struct Job {
    Functions f;
    int members = 0;
    double best_ns[kMaxThreads];
    volatile double sink[kMaxThreads];
  };
  constexpr i64 kTurns = 5000;
  constexpr int kRepeats = 200;
  Job job{};
  job.f = functions_of(isa_);
  for (double& ns : job.best_ns) ns = 1e30;
  for (int tries = 0; tries < 20; ++tries) {
    run_team(
        threads_,
        [](void* data, int k, int n) {
          Job& j = *static_cast<Job*>(data);
          if (k == 0) j.members = std::max(j.members, n);
          for (int i = 0; i < kRepeats; ++i) {
            const auto begin = std::chrono::steady_clock::now();
            j.sink[k] = j.f.multiply_add(kTurns, 1e-3f);
            const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
            j.best_ns[k] = std::min(j.best_ns[k], took.count());
          }
        },
        &job);
  }
  for (int k = 0; k < job.members; ++k)
    gflops_ += static_cast<double>(kTurns) * job.f.flops_per_turn() / job.best_ns[k];
  gflops_ *= static_cast<double>(threads_) / job.members;  // no team to be had: as many times what one thread reaches
}

double Limits::gbps(double bytes) {
  // Four sizes an octave: the answer changes slowly but for the edges of caches.
  const double rounded = std::exp2(std::round(4 * std::log2(std::max(bytes, 4096.0))) / 4);
  const i64 floats = std::max<i64>(static_cast<i64>(rounded / 8) / 64 * 64, 64);  // in each of source and target
  for (int i = 0; i < n_known_; ++i) {
    if (known_[i].bytes == floats) return known_[i].gbps;
  }
  struct Job {
    Functions f;
    float *x, *y;
    i64 n;
  };
  Arena memory(2 * floats * 4 + 4096);
  Job job{functions_of(isa_), reinterpret_cast<float*>(memory.at()), nullptr, floats};
  job.y = job.x + floats + 16;  // not a multiple of 4 KB behind x
  for (i64 i = 0; i < floats; ++i) job.x[i] = job.y[i] = 1;
  // As the executor does: 10 us of copying are worth a second thread.
  const int threads = static_cast<int>(std::min<double>(threads_, std::max(1.0, rounded / 20e3 / 10)));
  const Timing t = measure(0.05, [&] {
    run_team(
        threads,
        [](void* data, int k, int n) {
          const Job& j = *static_cast<Job*>(data);
          const i64 part = j.n / n / 16 * 16, from = k * part;
          j.f.copy_floats(j.x + from, j.y + from, k + 1 == n ? j.n - from : part);
        },
        &job);
  });
  const double gbps = static_cast<double>(floats) * 8 / t.min_ns;
  if (n_known_ < 128) known_[n_known_++] = {floats, gbps};
  return gbps;
}

}  // namespace nacre
