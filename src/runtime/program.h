// A program: what to call, on what memory, in which order; decoded from 64-bit words and proven safe once, so that
// running it checks nothing.
//
// Words are int64 in the machine's byte order; a double is stored by its bits. In this order:
//
//   magic               0x314d52504552434e  ("NCREPRM1" read as bytes)
//   version             1
//   arena bytes         room for intermediate values; undefined contents when a run begins
//   constants bytes     length of the constants that are given beside the words
//   S, K, I             number of slots, kernels, instructions
//   S x slot            2 words:  bytes;  flags (1: the program may write to it)
//   K x kernel name     1 word: length L in bytes (1 to 64);  ceil(L/8) words: the bytes, the rest 0
//   I x instruction     kernel      index into the names
//                       F           number of field words, then the F words of the shape struct, in slot order
//                                   (the order of kernels()[name]["fields"], arrays spread out)
//                       P           number of operands, then P x 3 words in the order of the C++ signature:
//                                     space     0 arena, 1 slot, 2 constants, 3 absent (a null pointer)
//                                     index     number of the slot; 0 for the other spaces
//                                     offset    bytes from the start of the space; 0 if absent
//   nothing more.
//
// A slot is an external buffer of exactly `bytes` bytes, bound at each run. The arena and the constants start at a
// 64-byte boundary (offsets in multiples of 64 keep cache lines apart); a slot starts at a multiple of its element size.
// Instructions have their effect in the order written. An operand whose extent is 0 reaches the kernel as a null pointer.
//
// A saved program (what nacre_bench_model reads) is one file: the 8 bytes "NACREPRG", the number of words and of constant
// bytes (int64 each), the words, the constants, and optionally the contents of all slots, one after the other.
#pragma once
#include <string>
#include <vector>

#include "dispatch/dispatch.h"
#include "runtime/arena.h"

namespace nacre {

constexpr i64 kProgramMagic = 0x314d52504552434e;
constexpr i64 kProgramVersion = 1;
enum Space : i64 { kArena = 0, kSlot = 1, kConstants = 2, kAbsent = 3 };

// Operands point into bases, which a run fills: null, the arena, the constants, then the slots.
enum Base : int { kNullBase = 0, kArenaBase = 1, kConstantsBase = 2, kFirstSlotBase = 3 };

struct Operand {
  int base;
  bool is_output;
  i64 offset;
  i64 bytes;  // that may be touched
};

struct Instruction {
  const KernelEntry* kernel;
  i64 fields;    // where its shape struct begins in Program::fields()
  i64 plan;      // where what it has prepared begins; -1: nothing
  i64 operands;  // where its kernel->operands operands begin in Program::operands()
  i64 units;
  i64 scratch;
  double flops;
  double bytes;  // touched by all operands together
};

struct SlotInfo {
  i64 bytes;
  bool writable;
  i64 align;  // what the element types of its operands need
};

// Immutable, so that any number of threads may run it.
class Program {
 public:
  // Throws std::invalid_argument, naming instruction, kernel and operand, for anything that is not provably safe.
  Program(const i64* words, i64 n, const char* constants, i64 constants_bytes, const KernelTable& table);

  i64 arena_bytes() const { return arena_bytes_; }
  i64 scratch_bytes() const { return scratch_bytes_; }  // the largest of any instruction
  char* constants() const { return constants_.at(); }
  i64 constants_bytes() const { return constants_.bytes(); }
  const std::vector<SlotInfo>& slots() const { return slots_; }
  const std::vector<Instruction>& instructions() const { return instructions_; }
  const Operand* operands(const Instruction& i) const { return operands_.data() + i.operands; }
  const i64* fields(const Instruction& i) const { return fields_.data() + i.fields; }
  const void* plan(const Instruction& i) const { return i.plan < 0 ? nullptr : plans_.data() + i.plan; }
  const KernelTable& table() const { return *table_; }

  // Words that decode to this program.
  std::vector<i64> encode() const;

 private:
  friend class Decoder;

  const KernelTable* table_;
  i64 arena_bytes_ = 0;
  i64 scratch_bytes_ = 0;
  Arena constants_;
  std::vector<SlotInfo> slots_;
  std::vector<Instruction> instructions_;
  std::vector<Operand> operands_;
  std::vector<i64> fields_;
  std::vector<i64> plans_;
};

}  // namespace nacre
