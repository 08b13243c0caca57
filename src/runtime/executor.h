// Runs programs: the caller binds memory to the slots, threads go through the instructions together.
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "runtime/blocks.h"
#include "runtime/plan.h"
#include "runtime/program.h"
#include "runtime/team.h"

namespace nacre {

// Rows of a dataset that a slot sees in turn, a batch at each step.
struct Feed {
  int slot;
  const char* data;
  i64 row_bytes;
};

// `count` steps; step i takes rows order[(begin + i) * batch ...], or with a null order the rows of these numbers.
struct StepRange {
  const Feed* feeds;
  i64 n_feeds;
  const i64* order;
  i64 batch, begin, count;
};

// The steps that took an owner's tasks, one word each. No other owner's are in the same cache line.
struct alignas(64) Claims {
  static constexpr i64 kWords = 16;
  std::atomic<std::uint32_t> step[kWords];
};

// What one run needs for itself: workspace, and where the buffers are. Used by one run at a time.
struct Context {
  std::vector<char*> bases;       // by Base
  std::vector<char*> known_good;  // slot pointers that the caller has already checked, see bindings
  Plan plan;
  std::unique_ptr<Claims[]> claims;  // by owner: of its tasks in all phases, then of its parts of a batch
  i64 claims_per_owner = 0;
  std::unique_ptr<Progress[]> finished;  // per phase: tasks
  int planned_for = 0;                   // threads
  Arena memory;                          // of the lease: the program's arena, then a piece of scratch for each thread
  char* scratch = nullptr;
  i64 scratch_stride = 0;

  // Beside other busy processes a team can be slower than one thread, since each waits for whoever has lost its CPU. What a
  // step has taken lately with the team and alone (0: not known), how many runs still go without a team, and how many runs
  // of the team were mostly waiting.
  double team_ns = 0, alone_ns = 0;
  int sit_out = 0, waits = 0;

  // Short steps are tried with the team (0) and alone (1): since when, how many, and the best times; then, until the next
  // tries, they run as was quicker.
  i64 tries_since = 0, steps[2] = {0, 0};
  double best_ns[2] = {0, 0};
  bool alone_wins = false;
  i64 next_tries = 0, pause_ns = 0;
};

class Executor {
 public:
  explicit Executor(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
  ~Executor() {
    Blocks::shared().forget(need_);
    Blocks::shared().forget(need_of_feeds_);
  }

  const Program& program() const { return *program_; }

  // A context of its own for the calling thread, ready for get_threads(); given back when the lease ends.
  class Lease {
   public:
    explicit Lease(Executor& owner);
    ~Lease();
    Context& operator*() const { return *context_; }
    Context* operator->() const { return context_.get(); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    Executor& owner_;
    std::unique_ptr<Context> context_;
  };

  // The slots' pointers stand in context.bases and have been checked: length, alignment, writable, no overlap.
  void run(Context& context) const;
  void run_steps(Context& context, StepRange range);

  // Nanoseconds of each instruction, the least of `repeats` runs.
  std::vector<double> profile(Context& context, int repeats) const;

 private:
  void run_some(Context& context, const StepRange& range);

  std::unique_ptr<const Program> program_;
  std::vector<std::unique_ptr<Context>> idle_;  // under fork_safe_lock()
  i64 need_ = 0, need_of_feeds_ = 0;            // bytes of memory that runs have taken, see Blocks
};

}  // namespace nacre
