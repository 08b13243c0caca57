// How a program is spread over threads: how many for each instruction, and where all must wait for each other.
#pragma once
#include <vector>

#include "runtime/program.h"

namespace nacre {

struct Step {
  int threads;          // its units are cut into so many contiguous slices of nearly equal size
  bool barrier_before;  // it touches what another thread may still be working on
};

struct Plan {
  int threads = 1;  // the most that any instruction uses
  std::vector<Step> steps;
};

// The same program and number give the same plan. Results never depend on the plan.
Plan make_plan(const Program& program, int threads);

// About how long an instruction takes on one thread.
double estimate_us(const Program& program, const Instruction& instruction);

}  // namespace nacre
