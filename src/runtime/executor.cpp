#include "runtime/executor.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <utility>

#include "runtime/floats.h"

namespace nacre {
namespace {

constexpr i64 kLine = 64;
constexpr int kFetchesPerThread = 4;
constexpr i64 kAhead = 4096;         // bytes of rows that are asked for before they are copied,
constexpr i64 kMostAhead = 64;       // but not more rows than this,
constexpr i64 kPiece = 2048;         // and of long ones so much at a time: more than L2 takes at once holds up the copy
constexpr i64 kShortCopy = 512;      // bytes that a call takes longer for than a loop of
constexpr i64 kVector = 16;          // these
constexpr std::size_t kMaxIdle = 4;  // contexts kept for the next run; more threads than this rarely come at once

// Thread k's slice of one instruction.
inline void execute(const Program& program, const Context& context, const Instruction& instruction, char* const* bases,
                    Slice slice, int k) {
  if (slice.begin == slice.end) return;
  const Operand* operands = program.operands(instruction);
  void* at[kMaxOperands];
  for (int i = 0; i < instruction.kernel->operands; ++i) at[i] = bases[operands[i].base] + operands[i].offset;
  const Scratch scratch{context.scratch + k * context.scratch_stride, instruction.scratch, program.plan(instruction)};
  instruction.kernel->run(program.fields(instruction), slice, scratch, at);
}

void execute_alone(const Program& program, const Context& context, char* const* bases) {
  for (const Instruction& instruction : program.instructions()) {
    execute(program, context, instruction, bases, {0, instruction.units}, 0);
  }
}

// L2 waits for more lines than L1 does, so rows that may lie anywhere come twice as fast if it is asked for them (Zen 4).
inline void ask(const char* at, i64 bytes) {
  const char* const end = at + bytes;
  for (at -= reinterpret_cast<std::uintptr_t>(at) % kLine; at < end; at += kLine) __builtin_prefetch(at, 0, 2);
}

inline void copy(char* to, const char* from, i64 bytes) {
  using Some = float __attribute__((vector_size(kVector), aligned(1), may_alias));
  if (bytes == 4) {
    std::memcpy(to, from, 4);
  } else if (bytes < kVector || bytes > kShortCopy) {
    std::memmove(to, from, static_cast<std::size_t>(bytes));  // memcpy becomes an instruction that is slow to start
  } else {
    const i64 last = bytes - kVector;
    for (i64 i = 0; i < last; i += kVector) *reinterpret_cast<Some*>(to + i) = *reinterpret_cast<const Some*>(from + i);
    *reinterpret_cast<Some*>(to + last) = *reinterpret_cast<const Some*>(from + last);
  }
}

// Copies `rows` rows, from row number `first` of the order on. Those that come some rows later are asked for meanwhile: of
// this run of rows, or of the ones that begin each `stride` rows behind it, up to row `end`.
[[gnu::noinline]] void copy_rows(const Feed& feed, const i64* order, i64 first, i64 rows, i64 stride, i64 end,
                                 char* to) {
  const i64 bytes = feed.row_bytes, piece = bytes > 2 * kPiece ? kPiece : bytes;
  const i64 ahead = bytes >= kAhead ? 1 : min_of(kMostAhead, ceil_div(kAhead, max_of(bytes, 1)));
  const auto row = [&](i64 i) { return feed.data + (order ? order[i] : i) * bytes; };
  i64 later = first + ahead / rows * stride + ahead % rows, left = rows - ahead % rows;
  for (i64 i = first; i < first + rows; ++i, ++later, --left) {
    if (left == 0) later += stride - rows, left = rows;
    const char *from = row(i), *next = row(min_of(later, end - 1));
    for (i64 at = 0; at < bytes; at += piece) {
      const i64 size = min_of(piece, bytes - at);
      ask(next + at, size);
      copy(to, from + at, size);
      to += size;
    }
  }
}

// Where step `step` finds the rows of each feed: in the dataset itself, or gathered into one of two staging buffers, so
// that the next batch is fetched while the last instructions of this one still run.
class Feeder {
 public:
  Feeder(const Program& program, const StepRange& range, i64& need) : range_(range) {
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
    Blocks::shared().need(2 * half_, need);
    staging_ = Blocks::shared().take(2 * half_);
  }
  ~Feeder() { Blocks::shared().give(std::move(staging_)); }
  Feeder(const Feeder&) = delete;
  Feeder& operator=(const Feeder&) = delete;

  bool gathers() const { return half_ > 0; }

  // Part k of n of fetching the rows of a step.
  void gather(i64 step, int k, int n) const {
    const Slice rows = part(range_.batch, k, n);
    const i64 first = (range_.begin + step) * range_.batch + rows.begin;
    if (rows.begin == rows.end) return;
    for (i64 f = 0; f < range_.n_feeds; ++f) {
      if (offsets_[static_cast<std::size_t>(f)] < 0) continue;
      const Feed& feed = range_.feeds[f];
      copy_rows(feed, range_.order, first, rows.end - rows.begin, range_.batch,
                (range_.begin + range_.count) * range_.batch, staged(f, step) + rows.begin * feed.row_bytes);
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

// One thread's way through the steps of a run. Claims and counts are numbered by step, so that a thread that was put to
// sleep anywhere finds its work done by others and catches up.
class Walk {
 public:
  Walk(const Program& program, Context& context, const Feeder* feeder, char** bases, int k)
      : program_(program),
        context_(context),
        plan_(context.plan),
        feeder_(feeder),
        bases_(bases),
        k_(k),
        parts_(feeder && feeder->gathers() ? kFetchesPerThread * plan_.threads : 0),
        may_spin_(plan_.threads <= allowed_cpus()) {}

  void go(i64 steps) {
    for (i64 step = 0; step < steps; ++step) {
      step_ = step;
      more_ = step + 1 < steps;
      if (feeder_) feeder_->bind(step, bases_);
      for (std::size_t p = 0; p < plan_.phases.size(); ++p) phase(p);
    }
  }

 private:
  // One of the phases also fetches the rows of the next step.
  void phase(std::size_t p) {
    const Phase& phase = plan_.phases[p];
    const i64 number = static_cast<i64>(p), fetches = number == plan_.fetches_in ? parts_ : 0;
    const auto turn = static_cast<std::uint32_t>(step_ + 1);
    const std::uint32_t target = turn * static_cast<std::uint32_t>(phase.tasks + fetches);
    Progress& finished = context_.finished[p];
    if (finished.reached(target)) return;
    // What others have not begun comes after what is owned.
    i64 done = tasks(number, k_, turn);
    for (int i = 0; i < plan_.threads && fetches > 0; ++i) done += fetch((k_ + i) % plan_.threads, turn);
    if (done > 0) finished.advance(target, static_cast<std::uint32_t>(done));
    for (int i = 1; i < plan_.threads; ++i) {
      if (finished.reached(target)) return;
      done = tasks(number, (k_ + i) % plan_.threads, turn);
      if (done > 0) finished.advance(target, static_cast<std::uint32_t>(done));
    }
    finished.wait(target, may_spin_);
  }

  bool claim(int owner, i64 number, std::uint32_t turn) {
    Claims& line =
        context_.claims[static_cast<std::size_t>(owner * context_.claims_per_owner + number / Claims::kWords)];
    std::atomic<std::uint32_t>& step = line.step[number % Claims::kWords];
    std::uint32_t before = turn - 1;
    return step.load(std::memory_order_relaxed) == before &&
           step.compare_exchange_strong(before, turn, std::memory_order_relaxed);
  }

  // Does an owner's tasks that nobody has taken; how many.
  i64 tasks(i64 phase, int owner, std::uint32_t turn) {
    const i64 begin = plan_.first_owned(phase, owner), end = plan_.first_owned(phase, owner + 1);
    i64 done = 0;
    for (i64 t = begin; t < end; ++t) {
      if (!claim(owner, plan_.owned_before(phase, owner) + t - begin, turn)) continue;
      const Task& task = plan_.tasks[static_cast<std::size_t>(t)];
      if (task.instruction < 0) {
        const Phase& whole = plan_.phases[static_cast<std::size_t>(phase)];
        for (i64 i = 0; i < whole.chain; ++i) {
          const Instruction& each = instruction(plan_.chains[static_cast<std::size_t>(whole.first_in_chain + i)]);
          execute(program_, context_, each, bases_, {0, each.units}, k_);
        }
      } else {
        const Instruction& each = instruction(task.instruction);
        execute(program_, context_, each, bases_, task.units, k_);
      }
      ++done;
    }
    return done;
  }

  // Likewise an owner's parts of the next batch.
  i64 fetch(int owner, std::uint32_t turn) {
    const i64 first = plan_.owned_before(static_cast<i64>(plan_.phases.size()), owner);
    i64 done = 0;
    for (int part = 0; part < kFetchesPerThread; ++part) {
      if (!claim(owner, first + part, turn)) continue;
      if (more_) feeder_->gather(step_ + 1, owner * kFetchesPerThread + part, static_cast<int>(parts_));
      ++done;
    }
    return done;
  }

  const Instruction& instruction(i64 i) const { return program_.instructions()[static_cast<std::size_t>(i)]; }

  const Program& program_;
  Context& context_;
  const Plan& plan_;
  const Feeder* feeder_;  // null where nothing is fed
  char** bases_;
  const int k_;
  const i64 parts_;  // of fetching a batch
  const bool may_spin_;
  i64 step_ = 0;
  bool more_ = false;
};

void reset(Context& context) {
  const i64 lines = context.claims_per_owner * context.plan.threads;
  for (i64 i = 0; i < lines; ++i) {
    for (auto& step : context.claims[static_cast<std::size_t>(i)].step) step.store(0, std::memory_order_relaxed);
  }
  for (std::size_t p = 0; p < context.plan.phases.size(); ++p) context.finished[p].reset();
}

template <class Work>
i64 in_team(int threads, Work& work) {
  return run_team(threads, [](void* data, int k, int n) { (*static_cast<Work*>(data))(k, n); }, &work);
}

// What is lost by a try of the team may be this share of the time until the next one.
constexpr double kTryShare = 0.1;

// Programs that have run few times, such as eager operations, learn from each other: until when teams are likely to wait, in
// nanoseconds of the clock. Less remains to wait for by then, so that the larger programs try first.
std::atomic<i64> crowded_until{0};

// When somebody has looked last whether the CPUs are idle.
std::atomic<i64> looked{0};

// Short steps may take longer with the team, whose threads wait for lines that another core has written last: how long that
// takes depends on where the CPUs are, and a virtual machine does not know. So these are tried both ways now and then: first
// with the team, until threads that slept are awake and where they belong, then some runs alone.
constexpr double kShortUs = 400;    // what the team saves of a step, as the plan guesses
constexpr double kTriedUs = 2000;   // of a run of steps, likewise, but not fewer than
constexpr i64 kTriedSteps = 8;      // so many,
constexpr i64 kWakingNs = 8000000;  // for so long with the team, and
constexpr i64 kLeastSteps = 12;     // at least so many, in two runs, before as many alone
constexpr double kPaysAlone = 0.9;  // of the team's time
constexpr i64 kFirstPauseNs = 200000000, kMostPauseNs = 2000000000;  // until the next tries; it doubles

i64 now_ns() { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

bool is_tried(const Context& context) {
  return context.plan.threads > 1 && context.plan.gain_us < kShortUs && now_ns() >= context.next_tries;
}

// Whether the next of the tries is alone.
bool tries_alone(const Context& context, i64 now) {
  return context.steps[0] >= kLeastSteps && now - context.tries_since > kWakingNs;
}

void note_try(Context& context, bool alone, i64 begin, i64 steps, double ns) {
  if (context.steps[0] == 0) context.tries_since = begin;
  const bool first = context.steps[alone] == 0;
  double& best = context.best_ns[alone];
  best = first ? ns : std::min(best, ns);
  context.steps[alone] += steps;
  if (!alone || first || context.steps[1] < kLeastSteps) return;
  context.alone_wins = context.best_ns[1] < kPaysAlone * context.best_ns[0];
  context.pause_ns = std::min(std::max(2 * context.pause_ns, kFirstPauseNs), kMostPauseNs);
  context.next_tries = now_ns() + context.pause_ns;
  context.steps[0] = context.steps[1] = 0;
}

// Runs work(k, n) for `steps` steps, with the team or, for as long as that is quicker, without. Both are timed anew now and
// then, since what else runs on the machine changes: a try that is likely to be slow comes the more rarely the more it costs.
template <class Work>
void run_quickest(Context& context, i64 steps, Work& work) {
  constexpr double kMostSatOutNs = 20e6;     // what held a team up may have gone by then
  constexpr i64 kMostCrowdedNs = 200000000;  // or by then
  constexpr i64 kLookNs = 1000000;  // a look each so often: what is left to wait for is halved when the CPUs are idle
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  const double n_steps = static_cast<double>(steps);
  const auto note = [&](double& mean) {
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    const double ns = took.count() / n_steps;
    mean = mean > 0 ? 0.5 * (mean + ns) : ns;
  };
  const i64 now = std::chrono::nanoseconds(begin.time_since_epoch()).count();
  i64 crowded = crowded_until.load(std::memory_order_relaxed) - now;
  if ((context.sit_out > 0 || crowded > 0) && now - looked.load(std::memory_order_relaxed) > kLookNs) {
    looked.store(now, std::memory_order_relaxed);
    if (seems_idle(context.plan.threads)) {
      context.sit_out /= 2;
      crowded_until.store(now + (crowded /= 2), std::memory_order_relaxed);
    }
  }
  if (context.sit_out > 0 || kTryShare * static_cast<double>(crowded) > 1e3 * context.plan.gain_us * n_steps) {
    context.sit_out = std::max(0, context.sit_out - 1);
    if (context.sit_out == 0) context.team_ns = 0;  // the next try counts by itself, not with what held the last one up
    work(0, 1);
    return note(context.alone_ns);
  }
  const auto ns_of_a_step = [&] { return static_cast<double>(now_ns() - now) / n_steps; };
  const bool tried = is_tried(context);
  if (tried ? tries_alone(context, now) : context.alone_wins) {
    work(0, 1);
    if (tried) note_try(context, true, now, steps, ns_of_a_step());
    return;
  }
  reset(context);
  const i64 waited = in_team(context.plan.threads, work);
  note(context.team_ns);
  if (tried) note_try(context, false, now, steps, ns_of_a_step());
  if (waited == 0) return;
  const double team = context.team_ns, alone = context.alone_ns;
  const double lost = alone > 0 ? (team - alone) * n_steps : static_cast<double>(waited);
  if (lost > 0) {
    const double until = std::min(lost / kTryShare, static_cast<double>(kMostCrowdedNs));
    crowded_until.store(now_ns() + static_cast<i64>(until), std::memory_order_relaxed);
  }
  if (alone == 0 || ++context.waits % 32 == 0) {
    context.sit_out = 1;  // to have something to compare with
  } else if (team > alone) {
    const double most = kMostSatOutNs / (alone * n_steps);
    context.sit_out = 1 + static_cast<int>(std::min((team - alone) / (kTryShare * alone), std::min(most, 256.0)));
  }
}

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
    context_->bases[kConstantsBase] = program.constants();
  }
  const int threads = get_threads();
  const bool plans = context_->planned_for != threads;
  if (plans) {
    context_->plan = make_plan(program, threads);
    // A line more than asked for keeps the neighbour's prefetches away.
    context_->scratch_stride = (ceil_div(program.scratch_bytes(), kLine) + 1) * kLine;
    const Plan& plan = context_->plan;
    i64 most = 0;
    for (int k = 0; k < plan.threads && !plan.phases.empty(); ++k) {
      most = max_of(most, plan.owned_before(static_cast<i64>(plan.phases.size()), k));
    }
    context_->claims_per_owner = ceil_div(most + kFetchesPerThread, Claims::kWords);
    context_->claims = std::make_unique<Claims[]>(static_cast<std::size_t>(context_->claims_per_owner * plan.threads));
    context_->finished = std::make_unique<Progress[]>(plan.phases.size());
    context_->planned_for = threads;
    context_->team_ns = context_->alone_ns = 0;
    context_->sit_out = context_->waits = 0;
    context_->steps[0] = context_->steps[1] = 0;
    context_->next_tries = context_->pause_ns = 0;
    context_->alone_wins = false;
  }
  const i64 arena = ceil_div(program.arena_bytes(), kLine) * kLine;
  const i64 bytes = arena + context_->scratch_stride * context_->plan.threads;
  if (plans) Blocks::shared().need(bytes, owner.need_);
  context_->memory = Blocks::shared().take(bytes);
  context_->bases[kArenaBase] = context_->memory.at();
  context_->scratch = context_->memory.at() + arena;
}

Executor::Lease::~Lease() {
  if (!context_) return;
  Blocks::shared().give(std::move(context_->memory));
  const std::lock_guard<std::mutex> hold(fork_safe_lock());
  if (owner_.idle_.size() < kMaxIdle) owner_.idle_.push_back(std::move(context_));
}

void Executor::run(Context& context) const {
  char** const bases = context.bases.data();
  if (context.plan.threads == 1) {
    const FlushSubnormals flush;
    return execute_alone(*program_, context, bases);
  }
  auto work = [&](int k, int n) {
    const FlushSubnormals flush;
    if (n == 1) return execute_alone(*program_, context, bases);
    Walk(*program_, context, nullptr, bases, k).go(1);
  };
  run_quickest(context, 1, work);
}

void Executor::run_steps(Context& context, StepRange range) {
  for (i64 left = range.count; left > 0; left -= range.count) {
    range.count = left;
    if (is_tried(context)) {
      range.count = min_of(left, max_of(kTriedSteps, static_cast<i64>(kTriedUs / std::max(context.plan.gain_us, 1.0))));
    }
    run_some(context, range);
    range.begin += range.count;
  }
}

void Executor::run_some(Context& context, const StepRange& range) {
  const Feeder feeder(*program_, range, need_of_feeds_);
  // Each thread moves its own pointers from step to step; a line apart.
  const std::size_t stride = static_cast<std::size_t>(ceil_div(static_cast<i64>(context.bases.size()), 8) * 8 + 8);
  std::vector<char*> all_bases(stride * static_cast<std::size_t>(context.plan.threads));
  if (feeder.gathers()) feeder.gather(0, 0, 1);
  auto work = [&](int k, int n) {
    const FlushSubnormals flush;
    char** const bases = all_bases.data() + stride * static_cast<std::size_t>(k);
    std::copy(context.bases.begin(), context.bases.end(), bases);
    if (n > 1) return Walk(*program_, context, &feeder, bases, k).go(range.count);
    for (i64 step = 0; step < range.count; ++step) {
      if (step > 0 && feeder.gathers()) feeder.gather(step, 0, 1);
      feeder.bind(step, bases);
      execute_alone(*program_, context, bases);
    }
  };
  if (context.plan.threads == 1) return work(0, 1);
  run_quickest(context, range.count, work);
}

std::vector<double> Executor::profile(Context& context, int repeats) const {
  using Clock = std::chrono::steady_clock;
  const std::vector<Instruction>& list = program_->instructions();
  std::vector<double> best(list.size(), 1e30);
  Progress meeting;
  auto work = [&](int k, int n) {
    const FlushSubnormals flush;
    std::uint32_t met = 0;
    const auto meet = [&] {
      met += static_cast<std::uint32_t>(n);
      meeting.advance(met);
      meeting.wait(met, n <= allowed_cpus());
    };
    for (int repeat = 0; repeat < repeats; ++repeat) {
      for (std::size_t i = 0; i < list.size(); ++i) {
        meet();
        const Clock::time_point begin = Clock::now();
        const int threads = n == 1 ? 1 : context.plan.threads_of[i];
        if (k < threads) execute(*program_, context, list[i], context.bases.data(), part(list[i].units, k, threads), k);
        meet();
        const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
        if (k == 0) best[i] = std::min(best[i], took.count());
      }
    }
  };
  in_team(context.plan.threads, work);
  return best;
}

}  // namespace nacre
