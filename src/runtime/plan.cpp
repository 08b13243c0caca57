#include "runtime/plan.h"

#include <algorithm>
#include <cstring>

namespace nacre {
namespace {

// Work that pays for handing it to another thread, and rates that turn flops and bytes into time. The rates are those of a
// fast core (Zen 5 reaches twice of them), so that elsewhere a share is rather longer than the least.
constexpr double kMinUsPerThread = 5;
constexpr double kBytesPerUs = 20e3;

double flops_per_us(const KernelTable& table) {
  if (std::strcmp(table.isa, "avx512") == 0) return 120e3;
  if (std::strcmp(table.isa, "avx2") == 0) return 60e3;
  return 20e3;
}

struct Access {
  int base;
  bool write;
  bool alone;  // by thread 0 only
  i64 begin, end;
};

bool conflict(const Access& a, const Access& b) {
  return a.base == b.base && (a.write || b.write) && !(a.alone && b.alone) && a.begin < b.end && b.begin < a.end;
}

}  // namespace

double estimate_us(const Program& program, const Instruction& instruction) {
  return std::max(instruction.flops / flops_per_us(program.table()), instruction.bytes / kBytesPerUs);
}

Plan make_plan(const Program& program, int threads) {
  Plan plan;
  std::vector<Access> pending;  // since the last barrier
  std::vector<Access> mine;
  for (const Instruction& instruction : program.instructions()) {
    const double worth = estimate_us(program, instruction) / kMinUsPerThread;
    i64 t = worth < threads ? static_cast<i64>(worth) : threads;  // also where an estimate is not a number
    t = max_of(1, min_of(t, min_of(threads, instruction.units)));
    Step step{static_cast<int>(t), false};

    mine.clear();
    const Operand* operands = program.operands(instruction);
    for (int i = 0; i < instruction.kernel->operands; ++i) {
      const Operand& o = operands[i];
      if (o.base == kNullBase) continue;
      mine.push_back({o.base, o.is_output, t == 1, o.offset, o.offset + o.bytes});
    }
    for (const Access& a : mine) {
      for (const Access& b : pending) step.barrier_before = step.barrier_before || conflict(a, b);
    }
    if (step.barrier_before) pending.clear();
    for (const Access& a : mine) {
      if (a.base != kConstantsBase) pending.push_back(a);
    }
    plan.threads = std::max(plan.threads, step.threads);
    plan.steps.push_back(step);
  }
  return plan;
}

}  // namespace nacre
