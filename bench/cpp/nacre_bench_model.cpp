// nacre_bench_model: times a saved program (see runtime/program.h for the file), without Python.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>

#include "dispatch/dispatch.h"
#include "runtime/executor.h"
#include "runtime/measure.h"
#include "runtime/team.h"

namespace nacre {
namespace {

constexpr const char* kUsage =
    "usage: nacre_bench_model FILE [--isa ISA] [--threads T] [--min-time S] [--profile]\n"
    "  where the file holds no contents for the slots, they are random floats in 0 .. 0.1\n";

std::vector<char> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::invalid_argument("cannot read '" + path + "'");
  std::vector<char> bytes(static_cast<std::size_t>(file.tellg()));
  file.seekg(0);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

struct Saved {
  std::unique_ptr<const Program> program;
  std::vector<char> slots;  // contents, one after the other; empty where the file has none
};

Saved load(const std::string& path, const KernelTable& table) {
  constexpr std::size_t kHead = 24;
  const std::vector<char> bytes = read_file(path);
  i64 counts[2];
  if (bytes.size() < kHead || std::memcmp(bytes.data(), "NACREPRG", 8) != 0) {
    throw std::invalid_argument("'" + path + "' is no saved program");
  }
  std::memcpy(counts, bytes.data() + 8, sizeof counts);
  const i64 have = static_cast<i64>(bytes.size() - kHead);
  const Count needed = Count(counts[0]) * Count(8) + Count(counts[1]);
  if (!needed.ok() || needed.value() > have)
    throw std::invalid_argument("'" + path + "' is damaged: it ends too early");
  std::vector<i64> words(static_cast<std::size_t>(counts[0]));
  if (!words.empty()) std::memcpy(words.data(), bytes.data() + kHead, words.size() * 8);
  const char* constants = bytes.data() + kHead + counts[0] * 8;
  Saved saved;
  saved.program = std::make_unique<const Program>(words.data(), counts[0], constants, counts[1], table);
  saved.slots.assign(constants + counts[1], bytes.data() + bytes.size());
  Count sum = 0;
  for (const SlotInfo& s : saved.program->slots()) sum = sum + Count(s.bytes);
  if (!saved.slots.empty() && (!sum.ok() || sum.value() != static_cast<i64>(saved.slots.size()))) {
    throw std::invalid_argument("'" + path +
                                "' is damaged: the contents of the slots have another length than the slots");
  }
  return saved;
}

struct Options {
  std::string path, isa;
  double min_time = 1;
  bool profile = false;
};

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--profile") {
      o.profile = true;
    } else if (flag.compare(0, 2, "--") != 0 && o.path.empty()) {
      o.path = flag;
    } else if (i + 1 == argc) {
      throw std::invalid_argument("unknown or incomplete option " + flag);
    } else if (flag == "--isa") {
      o.isa = argv[++i];
    } else if (flag == "--threads") {
      const int n = std::atoi(argv[++i]);
      if (n < 1 || n > kMaxThreads)
        throw std::invalid_argument("--threads must be between 1 and " + std::to_string(kMaxThreads));
      set_threads(n);
    } else if (flag == "--min-time") {
      o.min_time = std::atof(argv[++i]);
    } else {
      throw std::invalid_argument("unknown option " + flag);
    }
  }
  if (o.path.empty()) throw std::invalid_argument("the file of a program is missing");
  return o;
}

void fill_randomly(char* at, i64 bytes, std::mt19937& random) {
  for (i64 k = 0; k < bytes; k += 4) {
    const float value = static_cast<float>(random()) * (0.1f / 4294967296.0f);
    std::memcpy(at + k, &value, static_cast<std::size_t>(min_of(4, bytes - k)));
  }
}

int run(const Options& o) {
  Saved saved = load(o.path, table_of(o.isa));
  Executor executor(std::move(saved.program));
  const Program& program = executor.program();
  const Executor::Lease context(executor);
  std::vector<Arena> buffers;
  std::mt19937 random(1);
  const char* contents = saved.slots.data();
  for (std::size_t i = 0; i < program.slots().size(); ++i) {
    const i64 bytes = program.slots()[i].bytes;
    buffers.emplace_back(max_of(bytes, 64));
    char* at = buffers.back().at();
    if (!saved.slots.empty()) {
      std::memcpy(at, contents, static_cast<std::size_t>(bytes));
      contents += bytes;
    } else {
      fill_randomly(at, bytes, random);
    }
    context->bases[kFirstSlotBase + i] = at;
  }
  const Timing t = measure(o.min_time, [&] { executor.run(*context); });
  double flops = 0;
  for (const Instruction& i : program.instructions()) flops += i.flops;
  std::printf(
      "{\"isa\": \"%s\", \"threads\": %d, \"instructions\": %zu, \"arena_bytes\": %lld, \"min_ms\": %.6f, "
      "\"median_ms\": %.6f, "
      "\"gflops\": %.2f}\n",
      program.table().isa, get_threads(), program.instructions().size(), static_cast<long long>(program.arena_bytes()),
      t.min_ns * 1e-6, t.median_ns * 1e-6, flops / t.min_ns);
  if (!o.profile) return 0;
  const std::vector<double> ns = executor.profile(*context, 20);
  for (std::size_t i = 0; i < ns.size(); ++i) {
    const Instruction& instruction = program.instructions()[i];
    std::printf("%4zu %-28s %10.2f us %8.1f GFLOP/s %8.1f GB/s\n", i, instruction.kernel->name, ns[i] * 1e-3,
                instruction.flops / ns[i], instruction.bytes / ns[i]);
  }
  return 0;
}

}  // namespace
}  // namespace nacre

int main(int argc, char** argv) {
  try {
    return nacre::run(nacre::parse(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "nacre_bench_model: %s\n%s", e.what(), nacre::kUsage);
    return 2;
  }
}
