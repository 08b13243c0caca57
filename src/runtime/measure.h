// Repeats until there is enough to say how long something takes.
#pragma once
#include <algorithm>
#include <chrono>
#include <vector>

namespace nacre {

struct Timing {
  double min_ns = 0, median_ns = 0;
};

// Calls work() for about `seconds`, in samples of at least 20 us, and returns the time of one call.
template <class Work>
Timing measure(double seconds, Work work) {
  using Clock = std::chrono::steady_clock;
  const auto ns_since = [](Clock::time_point t) {
    return std::chrono::duration<double, std::nano>(Clock::now() - t).count();
  };
  constexpr double kSampleNs = 20e3;
  work();  // pages, caches, threads
  auto begin = Clock::now();
  work();
  const double once = std::max(ns_since(begin), 1.0);
  const int calls = static_cast<int>(std::max(1.0, kSampleNs / once));
  std::vector<double> samples;
  const auto start = Clock::now();
  while (samples.size() < 5 || ns_since(start) < seconds * 1e9) {
    begin = Clock::now();
    for (int i = 0; i < calls; ++i) work();
    samples.push_back(ns_since(begin) / calls);
    if (ns_since(start) > 20e9) break;  // five samples of something very slow are not worth minutes
  }
  std::sort(samples.begin(), samples.end());
  return {samples.front(), samples[samples.size() / 2]};
}

}  // namespace nacre
