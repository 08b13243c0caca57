// A case made ready to run: a program with a slot for each buffer.
#pragma once
#include <memory>

#include "cpp/forms.h"
#include "runtime/executor.h"

namespace nacre {

class BenchCase {
 public:
  // Throws std::invalid_argument for a kernel that is not there, and for fields that it refuses.
  BenchCase(const Case& c, const KernelTable& table);

  // Writes the inputs, always the same.
  void fill(const Case& c);

  void run() { run(*executor_); }

  double flops() const { return flops_; }
  double bytes() const { return bytes_; }  // that the problem asks to read and write once

  // What the calls have written, all outputs in order.
  std::vector<char> outputs() const;

  // The largest difference to the outputs of another run of the same case, in units of what rounding may cause: eps * (terms
  // of a sum + 32) * the largest magnitude. Not above 1 is good; infinity where NaNs differ.
  double difference(const std::vector<char>& other) const;

 private:
  struct Buffer {
    std::string name;
    i64 bytes = 0;
    DType dtype = DType::none;
    bool written = false;
    Arena memory;
  };

  template <class W>
  double write(const std::vector<KernelCall>& calls, const KernelTable& table, W& writer);
  void run(Executor& executor);
  bool compares(const Buffer& b) const;  // with the results of another ISA
  std::size_t buffer(const std::string& name, DType dtype, i64 bytes, bool written);

  std::vector<Buffer> buffers_;
  std::unique_ptr<Executor> executor_, before_;
  double flops_ = 0, bytes_ = 0;
};

}  // namespace nacre
