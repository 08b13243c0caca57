#include "cpp/bench_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "dispatch/dispatch.h"

namespace nacre {
namespace {

// The words of a program, as runtime/program.h describes them.
class Writer {
 public:
  void call(const KernelEntry& kernel, const std::vector<i64>& fields, const std::vector<i64>& slots) {
    body_.push_back(static_cast<i64>(names_.size()));
    names_.push_back(kernel.name);
    body_.push_back(static_cast<i64>(fields.size()));
    body_.insert(body_.end(), fields.begin(), fields.end());
    body_.push_back(static_cast<i64>(slots.size()));
    for (const i64 slot : slots) {
      const i64 operand[3] = {slot < 0 ? kAbsent : kSlot, max_of(slot, 0), 0};
      body_.insert(body_.end(), operand, operand + 3);
    }
  }

  std::vector<i64> words(const std::vector<std::pair<i64, bool>>& slots) const {
    const i64 calls = static_cast<i64>(names_.size());
    std::vector<i64> all{kProgramMagic, kProgramVersion, 0, 0, static_cast<i64>(slots.size()), calls, calls};
    for (const auto& slot : slots) {
      all.push_back(slot.first);
      all.push_back(slot.second ? 1 : 0);
    }
    for (const std::string& name : names_) {
      std::vector<i64> packed((name.size() + 7) / 8, 0);
      std::memcpy(packed.data(), name.data(), name.size());
      all.push_back(static_cast<i64>(name.size()));
      all.insert(all.end(), packed.begin(), packed.end());
    }
    all.insert(all.end(), body_.begin(), body_.end());
    return all;
  }

 private:
  std::vector<std::string> names_;
  std::vector<i64> body_;
};

bool begins(const std::string& name, const char* with) { return name.compare(0, std::strlen(with), with) == 0; }

}  // namespace

BenchCase::BenchCase(const Case& c, const KernelTable& table) {
  Writer timed, before;
  flops_ = write(c.calls, table, timed);
  write(c.before, table, before);
  std::vector<std::pair<i64, bool>> slots;
  for (const Buffer& b : buffers_) {
    slots.emplace_back(b.bytes, b.written);
    if (!begins(b.name, "tmp")) bytes_ += static_cast<double>(b.bytes);
  }
  const auto executor = [&](const Writer& writer) {
    const std::vector<i64> words = writer.words(slots);
    return std::make_unique<Executor>(
        std::make_unique<const Program>(words.data(), static_cast<i64>(words.size()), nullptr, 0, table));
  };
  executor_ = executor(timed);
  if (!c.before.empty()) before_ = executor(before);
  fill(c);
}

// Writes calls, with slots for their buffers; the FLOP.
template <class W>
double BenchCase::write(const std::vector<KernelCall>& calls, const KernelTable& table, W& writer) {
  double flops = 0;
  for (const KernelCall& call : calls) {
    const KernelEntry* kernel = find_kernel(table, call.kernel);
    if (!kernel) throw std::invalid_argument("this build has no kernel '" + call.kernel + "'");
    if (static_cast<int>(call.operands.size()) != kernel->operands) {
      throw std::invalid_argument("kernel '" + call.kernel + "' has " + std::to_string(kernel->operands) + " operands");
    }
    const std::vector<i64> fields = words_of(*kernel, call.fields);
    const Facts facts = kernel->facts(fields.data());
    if (facts.error) throw std::invalid_argument("kernel '" + call.kernel + "': " + facts.error);
    flops += facts.flops;
    std::vector<i64> slots;
    for (int i = 0; i < kernel->operands; ++i) {
      const Count extent = facts.extent[i] * Count(element_bytes(kernel->operand[i]));
      const std::string& name = call.operands[static_cast<std::size_t>(i)];
      if (!extent.ok()) throw std::invalid_argument("kernel '" + call.kernel + "': sizes overflow");
      slots.push_back(name.empty() ? -1
                                   : static_cast<i64>(buffer(name, kernel->operand[i].dtype, extent.value(),
                                                             kernel->operand[i].is_output)));
    }
    writer.call(*kernel, fields, slots);
  }
  return flops;
}

std::size_t BenchCase::buffer(const std::string& name, DType dtype, i64 bytes, bool written) {
  std::size_t i = 0;
  while (i < buffers_.size() && buffers_[i].name != name) ++i;
  if (i == buffers_.size()) buffers_.emplace_back();
  Buffer& b = buffers_[i];
  b.name = name;
  b.bytes = max_of(b.bytes, bytes);
  b.dtype = dtype;
  b.written = b.written || written;
  return i;
}

bool BenchCase::compares(const Buffer& b) const {
  return b.written && !begins(b.name, "tmp") && !begins(b.name, "packed");
}

void BenchCase::run(Executor& executor) {
  const Executor::Lease context(executor);
  for (std::size_t i = 0; i < buffers_.size(); ++i) context->bases[kFirstSlotBase + i] = buffers_[i].memory.at();
  executor.run(*context);
}

void BenchCase::fill(const Case& c) {
  std::uint32_t seed = 0;
  for (Buffer& b : buffers_) {
    std::mt19937 random(++seed);  // each buffer its own: those in front may have other sizes with another ISA
    if (!b.memory.at()) b.memory = Arena(max_of(b.bytes, 64));
    const auto found = c.below.find(b.name);
    const auto zeros = c.zeros.find(b.name);
    if (found == c.below.end()) {
      float* x = reinterpret_cast<float*>(b.memory.at());  // untyped buffers hold floats, too
      for (i64 i = 0; i < b.bytes / 4; ++i) x[i] = static_cast<float>(random()) * (2.0f / 4294967296.0f) - 1.0f;
      if (zeros == c.zeros.end()) continue;
      for (i64 i = 0; i < b.bytes / 4; ++i)
        if (static_cast<i64>(random() % 100) < zeros->second) x[i] = 0;
      continue;
    }
    const i64 size = max_of(size_of(b.dtype), 1);
    for (i64 i = 0; i < b.bytes / size; ++i) {
      const i64 value = static_cast<i64>(random() % static_cast<std::uint32_t>(found->second));
      if (b.dtype == DType::f32) {
        reinterpret_cast<float*>(b.memory.at())[i] = static_cast<float>(value);
        continue;
      }
      std::memcpy(b.memory.at() + i * size, &value, static_cast<std::size_t>(size));  // low bytes first
    }
  }
  if (before_) run(*before_);
}

std::vector<char> BenchCase::outputs() const {
  std::vector<char> all;
  for (const Buffer& b : buffers_) {
    if (compares(b)) all.insert(all.end(), b.memory.at(), b.memory.at() + b.bytes);
  }
  return all;
}

double BenchCase::difference(const std::vector<char>& other) const {
  double worst = 0;
  std::size_t at = 0;
  for (const Buffer& b : buffers_) {
    if (!compares(b)) continue;
    const char* theirs = other.data() + at;
    at += static_cast<std::size_t>(b.bytes);
    const bool sums = b.dtype == DType::none && flops_ > 0;
    if (b.dtype != DType::f32 && !sums) {  // whole numbers and copies agree to the bit
      i64 others = 0;
      for (i64 i = 0; i < b.bytes; ++i) others += theirs[i] != b.memory.at()[i];
      if (others > 0)
        worst = std::max(worst, begins(b.name, "index_of_sums")
                                    ? static_cast<double>(others) / (1e-4 * static_cast<double>(b.bytes))
                                    : std::numeric_limits<double>::infinity());
      continue;
    }
    double top = 0, apart = 0;
    for (i64 i = 0; i < b.bytes / 4; ++i) {
      float x, y;
      std::memcpy(&x, b.memory.at() + 4 * i, 4);
      std::memcpy(&y, theirs + 4 * i, 4);
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      if (!std::isfinite(x) || !std::isfinite(y)) return std::numeric_limits<double>::infinity();
      top = std::max({top, std::fabs(static_cast<double>(x)), std::fabs(static_cast<double>(y))});
      apart = std::max(apart, std::fabs(static_cast<double>(x) - static_cast<double>(y)));
    }
    const double terms = flops_ / std::max(static_cast<double>(b.bytes / 4), 1.0) / 2;
    const double bound = std::numeric_limits<float>::epsilon() * (terms + 32) * std::max(top, 1.0);
    worst = std::max(worst, apart / bound);
  }
  return worst;
}

}  // namespace nacre
