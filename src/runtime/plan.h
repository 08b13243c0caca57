// How a program is spread over threads.
//
// Instructions fall into phases: whatever one touches in a way that conflicts with another one is in a later phase than that
// one. A phase is a set of tasks that may run at the same time: slices of large instructions, and one chain of all the
// instructions that are too small to be spread. Each task has an owner, who is likely to have its data in the cache, but
// any thread may take it: a thread that the system has put to sleep holds up nobody.
#pragma once
#include <vector>

#include "runtime/program.h"

namespace nacre {

struct Task {
  i64 instruction;  // -1: the phase's chain
  Slice units;
};

struct Phase {
  i64 first_task;  // its tasks are ordered by owner
  i64 tasks;
  i64 first_in_chain;  // in Plan::chains
  i64 chain;
};

struct Plan {
  int threads = 1;     // the most that any instruction is worth
  double gain_us = 0;  // guess of what so many save
  std::vector<Phase> phases;
  i64 fetches_in = 0;  // the phase that the rows of the next step are fetched in: where threads have time
  std::vector<Task> tasks;
  std::vector<i64> owned;       // phase p, owner k: its tasks are owned[p * (threads + 1) + k] up to the next entry
  std::vector<i64> before;      // likewise: how many of earlier phases it owns; at the end, of all phases
  std::vector<i64> chains;      // instructions
  std::vector<int> threads_of;  // per instruction
  std::vector<i64> phase_of;    // per instruction

  i64 first_owned(i64 phase, int owner) const { return owned[static_cast<std::size_t>(phase * (threads + 1) + owner)]; }
  i64 owned_before(i64 phase, int owner) const { return before[static_cast<std::size_t>(phase * threads + owner)]; }
};

// The same program and number give the same plan. Results never depend on the plan.
Plan make_plan(const Program& program, int threads);

// Part k of n contiguous parts of [0, total), nearly equal.
static inline Slice part(i64 total, int k, int n) {
  const i64 size = total / n, more = total % n;
  const i64 begin = k * size + min_of(k, more);
  return {begin, begin + size + (k < more ? 1 : 0)};
}

}  // namespace nacre
