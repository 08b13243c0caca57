// What the machine can do at best: floating-point operations from registers, bytes by copying. Percentages in benchmarks and
// profiles refer to these, measured in the same run.
#pragma once
#include "base/types.h"
#include "dispatch/dispatch.h"

namespace nacre {

class Limits {
 public:
  Limits(const KernelTable& table, int threads);

  double gflops() const { return gflops_; }

  // Bytes read plus bytes written per nanosecond, when source and target together have about `bytes`.
  double gbps(double bytes);

 private:
  struct Known {
    i64 floats;
    double gbps;
  };

  const KernelTable& table_;
  int threads_;
  double gflops_ = 0;
  Known known_[128] = {};
  int n_known_ = 0;
};

}  // namespace nacre
