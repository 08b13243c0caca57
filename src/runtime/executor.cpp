#include "runtime/executor.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "runtime/floats.h"
#include "runtime/team.h"

namespace nacre {
namespace {

constexpr i64 kLine = 64;
constexpr std::size_t kMaxIdle = 4;  // contexts kept for the next run; more threads than this rarely come at once

// Part k of n contiguous parts of [0, total), nearly equal.
Slice part(i64 total, int k, int n) {
  const i64 size = total / n, more = total % n;
  const i64 begin = k * size + min_of(k, more);
  return {begin, begin + size + (k < more ? 1 : 0)};
}

// What the threads of one run share.
struct Run {
  const Program* program;
  Context* context;
  Barrier* barrier;  // null if alone
};

// Thread k's share of one instruction that is cut into n slices.
inline void execute(const Run& run, const Instruction& instruction, char* const* bases, int k, int n) {
  const Slice slice = part(instruction.units, k, n);
  if (slice.begin == slice.end) return;
  const Operand* operands = run.program->operands(instruction);
  void* at[kMaxOperands];
  for (int i = 0; i < instruction.kernel->operands; ++i) at[i] = bases[operands[i].base] + operands[i].offset;
  const Scratch scratch{run.context->scratch.at() + k * run.context->scratch_stride, instruction.scratch};
  instruction.kernel->run(run.program->fields(instruction), slice, scratch, at);
}

void execute_all(const Run& run, char* const* bases, int k, int n) {
  const std::vector<Instruction>& list = run.program->instructions();
  if (n == 1) {
    for (const Instruction& instruction : list) execute(run, instruction, bases, 0, 1);
    return;
  }
  const std::vector<Step>& steps = run.context->plan.steps;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (steps[i].barrier_before) run.barrier->wait();
    if (k < steps[i].threads) execute(run, list[i], bases, k, steps[i].threads);
  }
}

// Calls work(run, k, n) in each thread, with subnormals flushed.
template <class Work>
void in_team(const Program& program, Context& context, int threads, Work& work) {
  if (threads <= 1) {
    const FlushSubnormals flush;
    return work(Run{&program, &context, nullptr}, 0, 1);
  }
  struct Shared {
    Run run;
    Work* work;
  };
  Barrier barrier(threads);
  Shared shared{{&program, &context, &barrier}, &work};
  run_team(
      threads,
      [](void* data, int k, int n) {
        const FlushSubnormals flush;
        const Shared& s = *static_cast<const Shared*>(data);
        (*s.work)(s.run, k, n);
      },
      &shared);
}

// Where step `step` finds the rows of each feed: in the dataset itself, or gathered into one of two staging buffers, so
// that the next batch is fetched while the last instructions of this one still run.
class Feeder {
 public:
  Feeder(const Program& program, const StepRange& range) : range_(range) {
    for (i64 f = 0; f < range.n_feeds; ++f) {
      const Feed& feed = range.feeds[f];
      const i64 bytes = range.batch * feed.row_bytes;
      const bool aligned =
          (reinterpret_cast<std::uintptr_t>(feed.data) | static_cast<std::uintptr_t>(bytes)) %
              static_cast<std::uintptr_t>(program.slots()[static_cast<std::size_t>(feed.slot)].align) ==
          0;
      const bool direct = !range.order && aligned;
      offsets_.push_back(direct ? -1 : half_);
      if (!direct) half_ += ceil_div(bytes, kLine) * kLine;
    }
    staging_ = Arena(2 * half_);
  }

  bool gathers() const { return half_ > 0; }

  // Part k of n of fetching the rows of a step.
  void gather(i64 step, int k, int n) const {
    const Slice rows = part(range_.batch, k, n);
    const i64 first = (range_.begin + step) * range_.batch;
    for (i64 f = 0; f < range_.n_feeds; ++f) {
      if (offsets_[static_cast<std::size_t>(f)] < 0) continue;
      const Feed& feed = range_.feeds[f];
      char* to = staged(f, step);
      for (i64 r = rows.begin; r < rows.end; ++r) {
        const i64 row = range_.order ? range_.order[first + r] : first + r;
        std::memcpy(to + r * feed.row_bytes, feed.data + row * feed.row_bytes,
                    static_cast<std::size_t>(feed.row_bytes));
      }
    }
  }

  void bind(i64 step, char** bases) const {
    for (i64 f = 0; f < range_.n_feeds; ++f) {
      const Feed& feed = range_.feeds[f];
      bases[kFirstSlotBase + feed.slot] =
          offsets_[static_cast<std::size_t>(f)] < 0
              ? const_cast<char*>(feed.data) + (range_.begin + step) * range_.batch * feed.row_bytes
              : staged(f, step);
    }
  }

 private:
  char* staged(i64 f, i64 step) const {
    return staging_.at() + step % 2 * half_ + offsets_[static_cast<std::size_t>(f)];
  }

  const StepRange& range_;
  std::vector<i64> offsets_;  // in a half of the staging buffer; -1: not staged
  i64 half_ = 0;
  Arena staging_;
};

}  // namespace

Executor::Lease::Lease(Executor& owner) : owner_(owner) {
  {
    const std::lock_guard<std::mutex> hold(fork_safe_lock());
    if (!owner.idle_.empty()) {
      context_ = std::move(owner.idle_.back());
      owner.idle_.pop_back();
    }
  }
  const Program& program = owner.program();
  if (!context_) {
    context_ = std::make_unique<Context>();
    context_->bases.assign(kFirstSlotBase + program.slots().size(), nullptr);
    context_->arena = Arena(program.arena_bytes());
    context_->bases[kArenaBase] = context_->arena.at();
    context_->bases[kConstantsBase] = program.constants();
  }
  const int threads = get_threads();
  if (context_->planned_for != threads) {
    context_->plan = make_plan(program, threads);
    // A line more than asked for keeps the neighbour's prefetches away.
    context_->scratch_stride = (ceil_div(program.scratch_bytes(), kLine) + 1) * kLine;
    context_->scratch = Arena(context_->scratch_stride * context_->plan.threads);
    context_->planned_for = threads;
  }
}

Executor::Lease::~Lease() {
  if (!context_) return;
  const std::lock_guard<std::mutex> hold(fork_safe_lock());
  if (owner_.idle_.size() < kMaxIdle) owner_.idle_.push_back(std::move(context_));
}

void Executor::run(Context& context) const {
  auto work = [](const Run& run, int k, int n) { execute_all(run, run.context->bases.data(), k, n); };
  in_team(*program_, context, context.plan.threads, work);
}

void Executor::run_steps(Context& context, const StepRange& range) const {
  if (range.count <= 0) return;
  const Feeder feeder(*program_, range);
  // Each thread moves its own pointers from step to step; a line apart.
  const std::size_t stride = static_cast<std::size_t>(ceil_div(static_cast<i64>(context.bases.size()), 8) * 8 + 8);
  std::vector<char*> all_bases(stride * static_cast<std::size_t>(context.plan.threads));
  auto work = [&](const Run& run, int k, int n) {
    char** const bases = all_bases.data() + stride * static_cast<std::size_t>(k);
    std::copy(context.bases.begin(), context.bases.end(), bases);
    if (feeder.gathers()) {
      feeder.gather(0, k, n);
      if (n > 1) run.barrier->wait();
    }
    for (i64 step = 0; step < range.count; ++step) {
      feeder.bind(step, bases);
      execute_all(run, bases, k, n);
      if (step + 1 == range.count) break;
      if (feeder.gathers()) feeder.gather(step + 1, k, n);
      if (n > 1) run.barrier->wait();
    }
  };
  in_team(*program_, context, context.plan.threads, work);
}

std::vector<double> Executor::profile(Context& context, int repeats) const {
  const std::vector<Instruction>& list = program_->instructions();
  std::vector<double> best(list.size(), 1e30);
  auto work = [&](const Run& run, int k, int n) {
    using Clock = std::chrono::steady_clock;
    for (int repeat = 0; repeat < repeats; ++repeat) {
      for (std::size_t i = 0; i < list.size(); ++i) {
        if (n > 1) run.barrier->wait();
        const auto begin = Clock::now();
        const int threads = n == 1 ? 1 : context.plan.steps[i].threads;
        if (k < threads) execute(run, list[i], context.bases.data(), k, threads);
        if (n > 1) run.barrier->wait();
        const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
        if (k == 0) best[i] = std::min(best[i], took.count());
      }
    }
  };
  in_team(*program_, context, context.plan.threads, work);
  return best;
}

}  // namespace nacre
