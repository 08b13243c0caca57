// nacre_bench: every line of a shapes file, every pass, against the limits of this machine.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "cpp/bench_case.h"
#include "dispatch/dispatch.h"
#include "runtime/limits.h"
#include "runtime/measure.h"
#include "runtime/team.h"

namespace nacre {
namespace {

constexpr const char* kUsage =
    "usage: nacre_bench --shapes FILE [--isa baseline|avx2|avx512|neon] [--threads T] [--min-time S] [--json OUT] "
    "[--check]\n"
    "  --shapes    a problem a line, such as  dense M=32 K=784 N=512 [pass=forward]; M=8|32: one problem each\n"
    "  --threads   default 1\n"
    "  --min-time  seconds for each pass of each line, default 0.2\n"
    "  --json      one JSON object per line and pass\n"
    "  --check     results against those of the baseline ISA, and with T threads against one\n";

struct Options {
  std::string shapes, isa, json;
  int threads = 1;
  double min_time = 0.2;
  bool check = false;
};

double positive(const char* flag, const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end || !(value > 0))
    throw std::invalid_argument(std::string(flag) + " must be positive, got '" + text + "'");
  return value;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--check") {
      o.check = true;
      continue;
    }
    if (i + 1 == argc) throw std::invalid_argument("unknown or incomplete option " + flag);
    const char* value = argv[++i];
    if (flag == "--shapes") {
      o.shapes = value;
    } else if (flag == "--isa") {
      o.isa = value;
    } else if (flag == "--json") {
      o.json = value;
    } else if (flag == "--threads") {
      o.threads = static_cast<int>(positive("--threads", value));
      if (o.threads > kMaxThreads || o.threads < 1)
        throw std::invalid_argument("--threads must be between 1 and " + std::to_string(kMaxThreads));
    } else if (flag == "--min-time") {
      o.min_time = positive("--min-time", value);
    } else {
      throw std::invalid_argument("unknown option " + flag);
    }
  }
  if (o.shapes.empty()) throw std::invalid_argument("--shapes is missing");
  return o;
}

struct Result {
  Timing time;
  double gflops, gbps, peak_gbps, percent;
};

Result measure_case(BenchCase& bench, Limits& limits, double seconds) {
  Result r{};
  r.time = measure(seconds, [&] { bench.run(); });
  r.gflops = bench.flops() / r.time.min_ns;
  r.gbps = bench.bytes() / r.time.min_ns;
  r.peak_gbps = limits.gbps(bench.bytes());
  r.percent = 100 * std::max(r.gflops / limits.gflops(), r.gbps / r.peak_gbps);
  return r;
}

// What one pass of one kind of problem reaches over a shapes file.
class Summary {
 public:
  void add(const std::string& pass, double percent, double flops, const std::string& problem) {
    std::size_t i = 0;
    while (i < rows_.size() && rows_[i].pass != pass) ++i;
    if (i == rows_.size()) rows_.push_back({pass, 0, 0, {1e30, ""}, {1e30, ""}});
    Row& r = rows_[i];
    ++r.problems;
    r.log_sum += std::log(percent);
    r.worst = std::min(r.worst, {percent, problem});
    if (flops >= 1e6) r.worst_large = std::min(r.worst_large, {percent, problem});
  }

  void print() const {
    for (const Row& r : rows_) {
      if (r.problems < 2) continue;
      std::printf("%s: %d problems, geometric mean %.1f%%, worst %.1f%% (%s)", r.pass.c_str(), r.problems,
                  std::exp(r.log_sum / r.problems), r.worst.first, r.worst.second.c_str());
      if (r.worst_large.first < 1e30)
        std::printf(", from 1 MFLOP on %.1f%% (%s)", r.worst_large.first, r.worst_large.second.c_str());
      std::printf("\n");
    }
  }

 private:
  struct Row {
    std::string pass;
    int problems;
    double log_sum;
    std::pair<double, std::string> worst, worst_large;
  };
  std::vector<Row> rows_;
};

// Whether the results are the same bits with one thread, and the baseline's but for rounding.
bool check(const Case& c, BenchCase& bench, int threads) {
  bench.fill(c);  // a problem that works in place has other inputs by now
  bench.run();
  const std::vector<char> here = bench.outputs();
  bool good = true;
  if (threads > 1) {
    set_threads(1);
    bench.fill(c);
    bench.run();
    set_threads(threads);
    if (bench.outputs() != here) {
      std::printf("    FAILED: other bits with 1 thread\n");
      good = false;
    }
  }
  BenchCase reference(c, runnable_tables().front());
  reference.run();
  const double difference = bench.difference(reference.outputs());
  if (!(difference <= 1)) {
    std::printf("    FAILED: %.2g times the allowed difference to %s\n", difference, runnable_tables().front().isa);
    good = false;
  }
  return good;
}

int run(const Options& o) {
  const std::vector<Line> lines = read_lines(o.shapes);
  const KernelTable& table = table_of(o.isa);
  set_threads(o.threads);
  std::FILE* json = o.json.empty() ? nullptr : std::fopen(o.json.c_str(), "w");
  if (!o.json.empty() && !json) throw std::invalid_argument("cannot write '" + o.json + "'");
  Limits limits(table, o.threads);
  std::printf("%s, %d thread%s: %.1f GFLOP/s from registers, %.1f GB/s copying 64 MB\n", table.isa, o.threads,
              o.threads == 1 ? "" : "s", limits.gflops(), limits.gbps(64e6));
  std::printf("%8s %11s %11s %9s %9s %9s  %s\n", "percent", "min ms", "median ms", "GFLOP/s", "GB/s", "copy GB/s",
              "problem");
  int failures = 0;
  Summary summary;
  for (const Line& line : lines) {
    try {
      for (const Case& c : cases_of(line, table)) {
        BenchCase bench(c, table);
        const Result r = measure_case(bench, limits, o.min_time);
        std::printf("%7.1f%% %11.5f %11.5f %9.1f %9.1f %9.1f  %s %s\n", r.percent, r.time.min_ns * 1e-6,
                    r.time.median_ns * 1e-6, r.gflops, r.gbps, r.peak_gbps, line.text.c_str(), c.pass.c_str());
        summary.add(line.name + " " + c.pass, r.percent, bench.flops(), line.text);
        if (o.check && !check(c, bench, o.threads)) ++failures;
        if (json) {
          std::fprintf(
              json,
              "{\"line\": \"%s\", \"pass\": \"%s\", \"isa\": \"%s\", \"threads\": %d, \"min_ms\": %.6f, "
              "\"median_ms\": %.6f, \"gflops\": %.3f, \"gbps\": %.3f, \"peak_gflops\": %.3f, \"peak_gbps\": %.3f, "
              "\"percent\": %.2f}\n",
              line.text.c_str(), c.pass.c_str(), table.isa, o.threads, r.time.min_ns * 1e-6, r.time.median_ns * 1e-6,
              r.gflops, r.gbps, limits.gflops(), r.peak_gbps, r.percent);
        }
        std::fflush(stdout);
      }
    } catch (const std::invalid_argument& e) {
      std::printf("  FAILED: %s: %s\n", line.text.c_str(), e.what());
      ++failures;
    }
  }
  summary.print();
  if (json) std::fclose(json);
  if (failures) std::printf("%d failure%s\n", failures, failures == 1 ? "" : "s");
  return failures ? 1 : 0;
}

}  // namespace
}  // namespace nacre

int main(int argc, char** argv) {
  try {
    return nacre::run(nacre::parse(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "nacre_bench: %s\n%s", e.what(), nacre::kUsage);
    return 2;
  }
}
