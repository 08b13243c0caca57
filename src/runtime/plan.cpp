#include "runtime/plan.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>

namespace nacre {
namespace {

// Work that pays for handing it to another thread, and rates that turn flops and bytes into time. The rates are those of a
// fast core (Zen 5 reaches twice of them), so that elsewhere a share is rather longer than the least.
constexpr double kMinUsPerThread = 5;
constexpr double kMinUsPerSlice = 25;
constexpr double kBytesPerUs = 20e3;

double flops_per_us(const KernelTable& table) {
  if (std::strcmp(table.isa, "avx512") == 0) return 120e3;
  if (std::strcmp(table.isa, "avx2") == 0) return 60e3;
  return 20e3;
}

// The latest phases in which a run of bytes was read and written, by instructions that are part of a chain and by others;
// -1: in none.
struct Uses {
  i64 read[2] = {-1, -1};
  i64 write[2] = {-1, -1};

  void add(bool is_write, bool alone, i64 phase) {
    i64& latest = (is_write ? write : read)[alone];
    latest = max_of(latest, phase);
  }

  // The earliest phase for an instruction that touches these bytes: behind each that it conflicts with, or beside it if
  // both are in the phase's chain, which keeps the order written.
  i64 after(bool is_write, bool alone) const {
    const i64 beside = max_of(write[1], is_write ? read[1] : -1), before = max_of(write[0], is_write ? read[0] : -1);
    return max_of(0, max_of(before + 1, alone ? beside : beside + 1));
  }
};

// What has happened to the bytes of one buffer. Intervals lie side by side; each begins at its key and ends at the next.
class History {
 public:
  i64 after(i64 begin, i64 end, bool is_write, bool alone) const {
    i64 phase = 0;
    for (auto at = --uses_.upper_bound(begin); at != uses_.end() && at->first < end; ++at) {
      phase = max_of(phase, at->second.after(is_write, alone));
    }
    return phase;
  }

  void add(i64 begin, i64 end, bool is_write, bool alone, i64 phase) {
    cut(begin);
    cut(end);
    for (auto at = uses_.find(begin); at->first < end; ++at) at->second.add(is_write, alone, phase);
  }

 private:
  void cut(i64 where) {
    const auto at = --uses_.upper_bound(where);
    if (at->first != where) uses_.emplace_hint(std::next(at), where, at->second);
  }

  std::map<i64, Uses> uses_{{0, {}}, {INT64_MAX, {}}};
};

double estimate_us(const Program& program, const Instruction& instruction) {
  return std::max(instruction.flops / flops_per_us(program.table()), instruction.bytes / kBytesPerUs);
}

// How many threads an instruction is worth; 1 also where an estimate is no number.
int threads_for(const Program& program, const Instruction& instruction, int threads) {
  const double worth = estimate_us(program, instruction) / kMinUsPerThread;
  const i64 most = min_of(threads, instruction.units);
  return static_cast<int>(worth >= 2 ? max_of(1, worth < static_cast<double>(most) ? static_cast<i64>(worth) : most)
                                     : 1);
}

// Slices of a thread's share: several where they stay long, so that a thread that comes late finds something left to do.
i64 slices_for(const Program& program, const Instruction& instruction, int threads) {
  const double us = estimate_us(program, instruction) / threads;
  return us >= 4 * kMinUsPerSlice ? 4 : us >= 2 * kMinUsPerSlice ? 2 : 1;
}

void find_phases(const Program& program, Plan& plan) {
  std::vector<History> histories(kFirstSlotBase + program.slots().size());  // by base
  const std::vector<Instruction>& list = program.instructions();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Operand* begin = program.operands(list[i]);
    const Operand* end = begin + list[i].kernel->operands;
    const bool alone = plan.threads_of[i] == 1;
    const auto each = [&](auto&& visit) {
      for (const Operand* o = begin; o != end; ++o) {
        if (o->base != kNullBase && o->base != kConstantsBase) visit(histories[static_cast<std::size_t>(o->base)], *o);
      }
    };
    i64 phase = 0;
    each([&](const History& history, const Operand& o) {
      phase = max_of(phase, history.after(o.offset, o.offset + o.bytes, o.is_output, alone));
    });
    each([&](History& history, const Operand& o) {
      history.add(o.offset, o.offset + o.bytes, o.is_output, alone, phase);
    });
    plan.phase_of.push_back(phase);
  }
}

// The tasks of instructions that make one phase, in the order of their owners.
void add_phase(const Program& program, const std::vector<i64>& instructions, Plan& plan) {
  Phase phase{static_cast<i64>(plan.tasks.size()), 0, static_cast<i64>(plan.chains.size()), 0};
  std::vector<i64> spread;
  for (const i64 i : instructions) {
    (plan.threads_of[static_cast<std::size_t>(i)] == 1 ? plan.chains : spread).push_back(i);
  }
  phase.chain = static_cast<i64>(plan.chains.size()) - phase.first_in_chain;
  for (int owner = 0; owner < plan.threads; ++owner) {
    plan.owned.push_back(static_cast<i64>(plan.tasks.size()));
    if (owner == 0 && phase.chain > 0) plan.tasks.push_back({-1, {0, 0}});
    for (const i64 i : spread) {
      const int threads = plan.threads_of[static_cast<std::size_t>(i)];
      if (owner >= threads) continue;
      const Instruction& instruction = program.instructions()[static_cast<std::size_t>(i)];
      const Slice share = part(instruction.units, owner, threads);
      const i64 units = share.end - share.begin, slices = min_of(slices_for(program, instruction, threads), units);
      for (i64 s = 0; s < slices; ++s) {
        const Slice mine = part(units, static_cast<int>(s), static_cast<int>(slices));
        plan.tasks.push_back({i, {share.begin + mine.begin, share.begin + mine.end}});
      }
    }
  }
  plan.owned.push_back(static_cast<i64>(plan.tasks.size()));
  phase.tasks = static_cast<i64>(plan.tasks.size()) - phase.first_task;
  plan.phases.push_back(phase);
}

}  // namespace

Plan make_plan(const Program& program, int threads) {
  Plan plan;
  for (const Instruction& instruction : program.instructions()) {
    plan.threads_of.push_back(threads_for(program, instruction, threads));
    plan.threads = std::max(plan.threads, plan.threads_of.back());
  }
  if (plan.threads == 1) {  // nobody to share with: the instructions run as they stand
    plan.phase_of.assign(plan.threads_of.size(), 0);
    return plan;
  }
  find_phases(program, plan);
  std::vector<std::vector<i64>> by_phase;
  for (std::size_t i = 0; i < plan.phase_of.size(); ++i) {
    const auto phase = static_cast<std::size_t>(plan.phase_of[i]);
    if (phase >= by_phase.size()) by_phase.resize(phase + 1);
    by_phase[phase].push_back(static_cast<i64>(i));
  }
  for (const std::vector<i64>& instructions : by_phase) add_phase(program, instructions, plan);
  return plan;
}

}  // namespace nacre
