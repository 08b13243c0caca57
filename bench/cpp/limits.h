// What the machine can do at best: floating-point operations from registers, bytes by copying. A benchmark's percentages
// refer to these, measured in the same run.
#pragma once
#include <string>

#include "base/types.h"

namespace nacre {

class Limits {
 public:
  Limits(std::string isa, int threads);

  double gflops() const { return gflops_; }

  // Bytes read plus bytes written per nanosecond, when source and target together have about `bytes`.
  double gbps(double bytes);

 private:
  struct Known {
    i64 bytes;
    double gbps;
  };

  std::string isa_;
  int threads_;
  double gflops_ = 0;
  Known known_[128] = {};
  int n_known_ = 0;
};

}  // namespace nacre
