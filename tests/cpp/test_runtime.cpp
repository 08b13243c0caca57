// What is easier to reach from C++ than from Python. Prints what failed; the exit status is the number of failures.
// With -DNACRE_SANITIZE=address,undefined the compiler watches the fuzzing below. Not watched is
// alignment: an untyped buffer of a program may lie at any byte, which every CPU that nacre runs on allows.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/checked.h"
#include "dispatch/dispatch.h"
#include "runtime/executor.h"
#include "runtime/plan.h"
#include "runtime/program.h"
#include "runtime/team.h"

namespace {

using namespace nacre;

int failures = 0;

void expect(bool good, const char* what, int line) {
  if (good) return;
  std::printf("line %d: %s\n", line, what);
  ++failures;
}
#define EXPECT(x) expect((x), #x, __LINE__)

void counts_remember_overflow() {
  const Count big(INT64_MAX), two(2), zero(0);
  EXPECT((Count(3) * Count(4)).value() == 12 && (Count(3) * Count(4)).ok());
  EXPECT(!(big * two).ok());
  EXPECT(!(big + Count(1)).ok());
  EXPECT(!(zero * (big * two)).ok());  // a zero hides nothing
  EXPECT(!(Count(-1) * zero).ok());
  EXPECT(!(zero + Count(-1)).ok());
}

void parts_cover_everything_once() {
  for (i64 total : {0, 1, 2, 7, 64, 1000003}) {
    for (int n : {1, 2, 3, 7, 64}) {
      i64 at = 0;
      for (int k = 0; k < n; ++k) {
        const Slice s = part(total, k, n);
        EXPECT(s.begin == at && s.end >= s.begin && s.end - s.begin <= total / n + 1);
        at = s.end;
      }
      EXPECT(at == total);
    }
  }
}

void busy_cpus_are_not_idle() {
  EXPECT(!seems_idle(allowed_cpus() + 1));
  std::atomic<int> started{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < allowed_cpus(); ++i) {
    busy.emplace_back([&] {
      for (++started; !stop.load(std::memory_order_relaxed);) {
      }
    });
  }
  while (started < allowed_cpus()) std::this_thread::yield();
  EXPECT(!seems_idle(1));  // this thread and one on each CPU
  stop = true;
  for (std::thread& t : busy) t.join();
}

void progress_wakes_everybody() {
  constexpr int kThreads = 5, kRounds = 2000;
  Progress progress;
  std::atomic<int> sum{0};
  bool ordered = true;
  std::vector<std::thread> threads;
  for (int k = 0; k < kThreads; ++k) {
    threads.emplace_back([&, k] {
      for (std::uint32_t round = 1; round <= kRounds; ++round) {
        sum.fetch_add(1);
        progress.advance(round * kThreads * 2 - kThreads);
        progress.wait(round * kThreads * 2 - kThreads, k % 2 == 0);
        if (sum.load() < static_cast<int>(round) * kThreads) ordered = false;
        progress.advance(round * kThreads * 2);
        progress.wait(round * kThreads * 2, k % 2 == 1);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT(ordered);
  EXPECT(sum.load() == kThreads * kRounds);
}

// A program of copies and fills with mutated words: refused, or run on buffers of exactly the sizes that it states.
std::vector<i64> seed_words() {
  const auto packed = [](const char* text) {
    i64 words[2] = {0, 0};
    std::memcpy(words, text, std::strlen(text));
    return std::vector<i64>(words, words + (std::strlen(text) + 7) / 8);
  };
  std::vector<i64> w{kProgramMagic, kProgramVersion, 192, 64, 2, 2, 4};
  const auto add = [&w](const std::vector<i64>& more) { w.insert(w.end(), more.begin(), more.end()); };
  add({64, 0, 96, 1});
  add({10});
  add(packed("copy_bytes"));
  add({4});
  add(packed("fill"));
  add({0, 1, 64, 2, kSlot, 0, 0, kArena, 0, 0});
  add({1, 3, 16, 0, 0, 1, kArena, 0, 64});
  add({0, 1, 32, 2, kConstants, 0, 32, kSlot, 1, 64});
  add({0, 1, 64, 2, kArena, 0, 32, kSlot, 1, 0});
  return w;
}

void run_on_exact_buffers(std::unique_ptr<const Program> program) {
  i64 total = program->arena_bytes();
  for (const SlotInfo& s : program->slots()) total += min_of(s.bytes, 1 << 20);
  if (total >= 1 << 20) return;
  Executor executor(std::move(program));
  std::vector<std::vector<char>> buffers;
  const Executor::Lease context(executor);
  for (std::size_t i = 0; i < executor.program().slots().size(); ++i) {
    buffers.emplace_back(static_cast<std::size_t>(executor.program().slots()[i].bytes));
    context->bases[kFirstSlotBase + i] = buffers.back().data();
  }
  executor.run(*context);
}

void mutated_programs_are_refused_or_harmless() {
  std::mt19937_64 random(7);
  const std::vector<i64> seed = seed_words();
  const char constants[64] = {1, 2, 3};
  const i64 interesting[] = {-1,           0,         1,        2, 3, 4, 8, 63, 64, 65, 96, i64{1} << 31, i64{1} << 46,
                             i64{1} << 61, INT64_MAX, INT64_MIN};
  int accepted = 0, refused = 0;
  for (int turn = 0; turn < 200000; ++turn) {
    std::vector<i64> words = seed;
    const int changes = turn == 0 ? 0 : 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < changes && !words.empty(); ++i) {
      const std::size_t at = random() % words.size();
      switch (random() % 5) {
        case 0: words[at] = interesting[random() % (sizeof interesting / sizeof interesting[0])]; break;
        case 1: words[at] ^= i64{1} << random() % 63; break;
        case 2: words[at] = words[random() % words.size()]; break;
        case 3: words.erase(words.begin() + static_cast<std::ptrdiff_t>(at)); break;
        default: words[at] = static_cast<i64>(random() % 200) - 20;
      }
    }
    try {
      auto program = std::make_unique<const Program>(words.data(), static_cast<i64>(words.size()), constants,
                                                     static_cast<i64>(sizeof constants), active_table());
      ++accepted;
      run_on_exact_buffers(std::move(program));
    } catch (const std::invalid_argument& e) {
      ++refused;
      EXPECT(std::strlen(e.what()) > 0);
    }
  }
  EXPECT(accepted > 100);
  EXPECT(refused > 100000);
}

}  // namespace

int main() {
  counts_remember_overflow();
  parts_cover_everything_once();
  busy_cpus_are_not_idle();
  progress_wakes_everybody();
  mutated_programs_are_refused_or_harmless();
  std::printf("%d failure%s\n", failures, failures == 1 ? "" : "s");
  return failures == 0 ? 0 : 1;
}
