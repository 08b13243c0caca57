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
constexpr double kMostUsPerThread = 5;  // of the least; each further thread of few adds to what a phase's end costs
double least_us(int threads) { return std::min(kMostUsPerThread, 1 + 0.5 * threads); }
constexpr double kMinUsPerSlice = 12.5;
constexpr double kMinUs = 0.5;  // of any instruction
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
  const double us = estimate_us(program, instruction);
  int most = static_cast<int>(min_of(threads, instruction.units));
  while (most > 1 && !(us >= most * least_us(most))) --most;
  return max_of(most, 1);
}

// Into how many slices a thread's share is cut: several where they stay long, so that a thread that comes late finds
// something left to do.
int slices_for(double us) { return us >= 4 * kMinUsPerSlice ? 4 : us >= 2 * kMinUsPerSlice ? 2 : 1; }

// What instructions have touched so far, forwards or backwards through a program: phases are counted from where it starts.
class Histories {
 public:
  explicit Histories(const Program& program) : program_(program), by_base_(kFirstSlotBase + program.slots().size()) {}

  // The first phase for the next instruction.
  i64 after(const Instruction& instruction, bool alone) {
    i64 phase = 0;
    each(instruction, [&](const History& history, const Operand& o) {
      phase = max_of(phase, history.after(o.offset, o.offset + o.bytes, o.is_output, alone));
    });
    return phase;
  }

  void add(const Instruction& instruction, bool alone, i64 phase) {
    each(instruction, [&](History& history, const Operand& o) {
      history.add(o.offset, o.offset + o.bytes, o.is_output, alone, phase);
    });
  }

 private:
  template <class Visit>
  void each(const Instruction& instruction, Visit visit) {
    const Operand* o = program_.operands(instruction);
    for (const Operand* end = o + instruction.kernel->operands; o != end; ++o) {
      if (o->base != kNullBase && o->base != kConstantsBase) visit(by_base_[static_cast<std::size_t>(o->base)], *o);
    }
  }

  const Program& program_;
  std::vector<History> by_base_;
};

// Each instruction into its earliest phase; but a small one that would be there among small ones only, while the other
// threads wait, into the next with work for all, unless something needs it before.
void find_phases(const Program& program, Plan& plan) {
  const std::vector<Instruction>& list = program.instructions();
  const auto alone = [&](std::size_t i) { return plan.threads_of[i] == 1; };
  std::vector<bool> for_all;  // by phase
  Histories forwards(program), backwards(program);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const i64 phase = forwards.after(list[i], alone(i));
    forwards.add(list[i], alone(i), phase);
    plan.phase_of.push_back(phase);
    if (static_cast<std::size_t>(phase) >= for_all.size()) for_all.resize(static_cast<std::size_t>(phase) + 1);
    if (!alone(i)) for_all[static_cast<std::size_t>(phase)] = true;
  }
  const i64 last = static_cast<i64>(for_all.size()) - 1;
  for (std::size_t i = list.size(); i-- > 0;) {
    i64& phase = plan.phase_of[i];
    const i64 latest = last - backwards.after(list[i], alone(i));
    i64 later = phase;
    while (later < latest && !for_all[static_cast<std::size_t>(later)]) ++later;
    if (for_all[static_cast<std::size_t>(later)]) phase = later;
    backwards.add(list[i], alone(i), last - phase);
  }
}

// Owner k's share of the units where n threads share them, and the first has other work to do that takes `other` times
// as long as all of them.
Slice share(i64 units, int k, int n, double other) {
  const double first = std::max(0.0, (1 - (n - 1) * other) / n);
  const i64 cut = other > 0 ? static_cast<i64>(static_cast<double>(units) * first + 0.5) : part(units, 0, n).end;
  if (k == 0) return {0, cut};
  const Slice rest = part(units - cut, k - 1, n - 1);
  return {cut + rest.begin, cut + rest.end};
}

// The tasks of instructions that make one phase, in the order of their owners. The first owner has the chain, and so much
// less of the last of the others.
void add_phase(const Program& program, const std::vector<i64>& instructions, Plan& plan) {
  Phase phase{static_cast<i64>(plan.tasks.size()), 0, static_cast<i64>(plan.chains.size()), 0};
  std::vector<i64> spread;
  double chain_us = 0;
  for (const i64 i : instructions) {
    const bool alone = plan.threads_of[static_cast<std::size_t>(i)] == 1;
    (alone ? plan.chains : spread).push_back(i);
    if (alone) chain_us += std::max(kMinUs, estimate_us(program, program.instructions()[static_cast<std::size_t>(i)]));
  }
  phase.chain = static_cast<i64>(plan.chains.size()) - phase.first_in_chain;
  for (int owner = 0; owner < plan.threads; ++owner) {
    plan.owned.push_back(static_cast<i64>(plan.tasks.size()));
    if (owner == 0 && phase.chain > 0) plan.tasks.push_back({-1, {0, 1}});
    for (const i64 i : spread) {
      const Instruction& instruction = program.instructions()[static_cast<std::size_t>(i)];
      const int threads = plan.threads_of[static_cast<std::size_t>(i)];
      if (owner >= threads) continue;
      const double us = estimate_us(program, instruction) / threads;
      const Slice mine = share(instruction.units, owner, threads, i == spread.back() ? chain_us / (us * threads) : 0);
      const int slices = static_cast<int>(min_of(slices_for(us), mine.end - mine.begin));
      for (int s = 0; s < slices; ++s) {
        const Slice slice = part(mine.end - mine.begin, s, slices);
        plan.tasks.push_back({i, {mine.begin + slice.begin, mine.begin + slice.end}});
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
    const int n = threads_for(program, instruction, threads);
    plan.threads_of.push_back(n);
    plan.threads = std::max(plan.threads, n);
    plan.gain_us += estimate_us(program, instruction) * (1 - 1.0 / n);
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
  for (const std::vector<i64>& instructions : by_phase) {
    if (instructions.empty()) continue;  // all have gone into later ones
    for (const i64 i : instructions) plan.phase_of[static_cast<std::size_t>(i)] = static_cast<i64>(plan.phases.size());
    add_phase(program, instructions, plan);
  }
  plan.before.assign((plan.phases.size() + 1) * static_cast<std::size_t>(plan.threads), 0);
  for (std::size_t p = 0, at = 0; p < plan.phases.size(); ++p) {
    for (int k = 0; k < plan.threads; ++k, ++at) {
      const i64 phase = static_cast<i64>(p);
      plan.before[at + static_cast<std::size_t>(plan.threads)] =
          plan.before[at] + plan.first_owned(phase, k + 1) - plan.first_owned(phase, k);
    }
  }
  for (const Phase& phase : plan.phases) {
    if (phase.tasks >= plan.threads) continue;
    plan.fetches_in = &phase - plan.phases.data();
    break;
  }
  return plan;
}

}  // namespace nacre
