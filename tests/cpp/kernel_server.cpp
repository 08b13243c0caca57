// Kernels for a test in another process: this program may run on another CPU, or on a simulated one (tests/foreign.py
// is the other side). Requests come in on stdin, answers go to stdout; both are 8-byte words of the machine's order and
// raw bytes:
//
//   at the start   <- text: the instruction sets that run here
//   facts     1, text: kernel, text: isa, words: shape       <- text: error ("" for none), units, scratch, flops, n,
//                                                               n times: extent or -1
//   run       2, text: kernel, text: isa, words: shape, words: slices (begin, end, ...), buffers: n times bytes,
//             words: for each operand a buffer or -1           <- text: error, then the buffers that are outputs
//
// Texts, words and bytes have their number in front.
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch/dispatch.h"
#include "runtime/arena.h"
#include "runtime/floats.h"
#include "runtime/verify.h"

namespace nacre {
namespace {

constexpr i64 kGuard = 64;
constexpr char kMark = '\x5a';

struct Closed {};

void read_bytes(void* to, i64 n) {
  if (n > 0 && std::fread(to, 1, static_cast<std::size_t>(n), stdin) != static_cast<std::size_t>(n)) throw Closed{};
}

i64 read_word() {
  i64 word;
  read_bytes(&word, sizeof word);
  return word;
}

std::vector<i64> read_words() {
  std::vector<i64> words(static_cast<std::size_t>(read_word()));
  read_bytes(words.data(), static_cast<i64>(words.size()) * 8);
  return words;
}

std::string read_text() {
  std::string text(static_cast<std::size_t>(read_word()), '\0');
  read_bytes(text.data(), static_cast<i64>(text.size()));
  return text;
}

void write_bytes(const void* from, i64 n) { std::fwrite(from, 1, static_cast<std::size_t>(n), stdout); }

void write_word(i64 word) { write_bytes(&word, sizeof word); }

void write_text(const std::string& text) {
  write_word(static_cast<i64>(text.size()));
  write_bytes(text.data(), static_cast<i64>(text.size()));
}

const KernelEntry& read_entry() {
  const std::string name = read_text(), isa = read_text();
  const KernelEntry* entry = find_kernel(table_of(isa), name);
  if (!entry) throw std::runtime_error("no kernel is called '" + name + "'");
  return *entry;
}

std::vector<i64> read_shape(const KernelEntry& entry) {
  std::vector<i64> words = read_words();
  if (static_cast<int>(words.size()) != entry.slots) throw std::runtime_error("a shape has another number of words");
  return words;
}

void answer_facts() {
  const KernelEntry& entry = read_entry();
  const Facts f = entry.facts(read_shape(entry).data());
  write_text(f.error ? f.error : "");
  write_word(f.units);
  write_word(f.scratch);
  write_bytes(&f.flops, sizeof f.flops);
  write_word(entry.operands);
  for (int i = 0; i < entry.operands; ++i) write_word(f.extent[i].ok() ? f.extent[i].value() : -1);
}

// Memory with marked bytes on both sides.
struct Guarded {
  Arena memory;
  i64 bytes;

  explicit Guarded(i64 n) : memory(n + 2 * kGuard), bytes(n) {
    std::memset(memory.at(), kMark, static_cast<std::size_t>(n + 2 * kGuard));
  }
  char* at() const { return memory.at() + kGuard; }
  bool intact() const {
    for (i64 i = 0; i < kGuard; ++i)
      if (memory.at()[i] != kMark || at()[bytes + i] != kMark) return false;
    return true;
  }
};

void answer_run() {
  const KernelEntry& entry = read_entry();
  const std::vector<i64> shape = read_shape(entry), slices = read_words();
  std::vector<Guarded> buffers;
  for (i64 n = read_word(); n > 0; --n) {
    buffers.emplace_back(read_word());
    read_bytes(buffers.back().at(), buffers.back().bytes);
  }
  const std::vector<i64> operands = read_words();
  if (static_cast<int>(operands.size()) != entry.operands) throw std::runtime_error("another number of operands");
  Region regions[kMaxOperands];
  void* pointers[kMaxOperands];
  for (int i = 0; i < entry.operands; ++i) {
    const i64 at = operands[static_cast<std::size_t>(i)];
    pointers[i] = nullptr;
    if (at < 0) continue;
    const Guarded& buffer = buffers.at(static_cast<std::size_t>(at));
    pointers[i] = buffer.at();
    regions[i] = {true, true, at, 0, buffer.bytes};
  }
  std::string error;
  try {
    const Facts f = verify_call(entry, shape.data(), regions, "");
    for (int i = 0; i < entry.operands; ++i) {
      if (f.extent[i].value() == 0) pointers[i] = nullptr;
    }
    const Arena scratch(f.scratch);
    const FlushSubnormals flush;
    for (std::size_t i = 0; i + 1 < slices.size(); i += 2) {
      if (f.scratch > 0)
        std::memset(scratch.at(), 0xff, static_cast<std::size_t>(f.scratch));  // NaN: shows what reads it unset
      entry.run(shape.data(), {slices[i], slices[i + 1]}, Scratch{scratch.at(), f.scratch}, pointers);
    }
    for (const Guarded& buffer : buffers) {
      if (!buffer.intact()) error = std::string("kernel '") + entry.name + "' wrote outside its operands";
    }
  } catch (const std::invalid_argument& refused) {
    error = refused.what();
  }
  write_text(error);
  for (int i = 0; error.empty() && i < entry.operands; ++i) {
    const i64 at = operands[static_cast<std::size_t>(i)];
    if (at >= 0 && entry.operand[i].is_output)
      write_bytes(buffers[static_cast<std::size_t>(at)].at(), buffers[static_cast<std::size_t>(at)].bytes);
  }
}

void serve() {
  std::string isas;
  for (const KernelTable& table : runnable_tables()) isas += (isas.empty() ? "" : " ") + std::string(table.isa);
  write_text(isas);
  for (;;) {
    std::fflush(stdout);
    const i64 request = read_word();
    if (request == 1)
      answer_facts();
    else if (request == 2)
      answer_run();
    else
      throw std::runtime_error("no such request: " + std::to_string(request));
  }
}

}  // namespace
}  // namespace nacre

int main() {
  try {
    nacre::serve();
  } catch (const nacre::Closed&) {
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kernel_server: %s\n", e.what());
    return 1;
  }
}
