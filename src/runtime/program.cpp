#include "runtime/program.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "dispatch/dispatch.h"
#include "runtime/verify.h"

namespace nacre {
namespace {

constexpr i64 kMaxBytes = i64{1} << 46;  // 64 TiB: more than any machine, and sums of two cannot overflow
constexpr i64 kMaxName = 64;

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument("program: " + what); }

std::string printable(const char* bytes, i64 n) {
  std::string s;
  for (i64 i = 0; i < n; ++i) s += bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?';
  return s;
}

// Words in order; running out is an error that says what was being read.
class Reader {
 public:
  Reader(const i64* words, i64 n) : at_(words), left_(n) {}

  i64 left() const { return left_; }

  const i64* take(i64 n, const char* what) {
    if (n < 0 || n > left_) refuse(std::string("ends inside ") + what);
    const i64* here = at_;
    at_ += n;
    left_ -= n;
    return here;
  }

  i64 word(const char* what) { return *take(1, what); }

  // A number of things of which each takes at least `words_each` of the words that are left.
  i64 count(const char* what, i64 words_each) {
    const i64 n = word(what);
    if (n < 0 || n > left_ / words_each) refuse(std::string("impossible ") + what + ": " + std::to_string(n));
    return n;
  }

  i64 bytes(const char* what) {
    const i64 n = word(what);
    if (n < 0 || n > kMaxBytes) refuse(std::string("impossible ") + what + ": " + std::to_string(n));
    return n;
  }

 private:
  const i64* at_;
  i64 left_;
};

}  // namespace

class Decoder {
 public:
  Decoder(Program& program, const i64* words, i64 n) : p_(program), in_(words, n) {}

  void decode(i64 constants_bytes) {
    if (in_.word("the magic number") != kProgramMagic)
      refuse("the magic number is wrong; these are no program's words");
    const i64 version = in_.word("the version");
    if (version != kProgramVersion) {
      refuse("version " + std::to_string(version) + ", but this build reads version " +
             std::to_string(kProgramVersion));
    }
    p_.arena_bytes_ = in_.bytes("number of arena bytes");
    constants_bytes_ = in_.bytes("number of constants bytes");
    if (constants_bytes_ != constants_bytes) {
      refuse("says " + std::to_string(constants_bytes_) + " bytes of constants, got " +
             std::to_string(constants_bytes));
    }
    const i64 slots = in_.count("number of slots", 2);
    const i64 kernels = in_.count("number of kernels", 2);
    const i64 instructions = in_.count("number of instructions", 3);
    for (i64 i = 0; i < slots; ++i) slot(i);
    for (i64 i = 0; i < kernels; ++i) kernel(i);
    p_.instructions_.reserve(static_cast<std::size_t>(instructions));
    for (i64 i = 0; i < instructions; ++i) instruction(i);
    if (in_.left() != 0) refuse(std::to_string(in_.left()) + " words are left over at the end");
  }

 private:
  void slot(i64 number) {
    SlotInfo s{};
    s.bytes = in_.bytes("number of slot bytes");
    const i64 flags = in_.word("the slots");
    if (flags != 0 && flags != 1) refuse("slot " + std::to_string(number) + ": unknown flags " + std::to_string(flags));
    s.writable = flags == 1;
    s.align = 1;
    p_.slots_.push_back(s);
  }

  void kernel(i64 number) {
    const i64 length = in_.word("the kernel names");
    if (length < 1 || length > kMaxName) {
      refuse("kernel name " + std::to_string(number) + ": impossible length " + std::to_string(length));
    }
    char bytes[kMaxName] = {};
    const i64 words = ceil_div(length, 8);
    std::memcpy(bytes, in_.take(words, "the kernel names"), static_cast<std::size_t>(words * 8));
    const KernelEntry* entry = find_kernel(*p_.table_, std::string(bytes, static_cast<std::size_t>(length)));
    if (!entry) refuse("no kernel is called '" + printable(bytes, length) + "'");
    kernels_.push_back(entry);
  }

  void instruction(i64 number) {
    const std::string name = "instruction " + std::to_string(number);
    const i64 index = in_.word("an instruction");
    if (index < 0 || index >= static_cast<i64>(kernels_.size())) {
      refuse(name + ": there is no kernel " + std::to_string(index));
    }
    const KernelEntry& entry = *kernels_[static_cast<std::size_t>(index)];
    const std::string where = name + ", kernel '" + entry.name + "': ";

    const i64 fields = in_.word("an instruction");
    if (fields != entry.slots) {
      refuse(where + std::to_string(fields) + " field words, expected " + std::to_string(entry.slots));
    }
    Instruction instruction{};
    instruction.kernel = &entry;
    instruction.fields = static_cast<i64>(p_.fields_.size());
    instruction.operands = static_cast<i64>(p_.operands_.size());
    const i64* words = in_.take(fields, "the fields of an instruction");
    p_.fields_.insert(p_.fields_.end(), words, words + fields);

    const i64 operands = in_.word("an instruction");
    if (operands != entry.operands) {
      refuse(where + std::to_string(operands) + " operands, expected " + std::to_string(entry.operands));
    }
    Region regions[kMaxOperands];
    Operand refs[kMaxOperands];
    for (int i = 0; i < entry.operands; ++i) operand(where + operand_name(entry, i), regions[i], refs[i]);

    const Facts facts = verify_call(entry, p_.fields(instruction), regions, "program: " + name + ", ");
    if (facts.scratch > kMaxBytes) refuse(where + "impossible number of scratch bytes");
    instruction.units = facts.units;
    instruction.scratch = facts.scratch;
    instruction.flops = facts.flops;
    instruction.plan = entry.prepare ? static_cast<i64>(p_.plans_.size()) : -1;
    if (entry.prepare) {
      p_.plans_.resize(p_.plans_.size() + kPlanBytes / sizeof(i64));
      entry.prepare(p_.fields(instruction), p_.plans_.data() + instruction.plan);
    }
    for (int i = 0; i < entry.operands; ++i) finish(entry, facts, i, refs[i], instruction);
    p_.scratch_bytes_ = max_of(p_.scratch_bytes_, facts.scratch);
    p_.instructions_.push_back(instruction);
  }

  void operand(const std::string& where, Region& region, Operand& ref) {
    const i64* words = in_.take(3, "the operands of an instruction");
    const i64 space = words[0], index = words[1], offset = words[2];
    if (index < 0 || (space == kSlot ? index >= static_cast<i64>(p_.slots_.size()) : index != 0)) {
      refuse(where + ": there is no buffer " + std::to_string(index) + " in space " + std::to_string(space));
    }
    i64 room = 0;
    ref = Operand{};
    if (space == kArena) {
      ref.base = kArenaBase;
      room = p_.arena_bytes_;
      region.writable = true;
    } else if (space == kSlot) {
      const SlotInfo& slot = p_.slots_[static_cast<std::size_t>(index)];
      ref.base = kFirstSlotBase + static_cast<int>(index);
      room = slot.bytes;
      region.writable = slot.writable;
    } else if (space == kConstants) {
      ref.base = kConstantsBase;
      room = constants_bytes_;
    } else if (space == kAbsent) {
      ref.base = kNullBase;
    } else {
      refuse(where + ": unknown space " + std::to_string(space));
    }
    if (offset < 0 || offset > room) {
      refuse(where + ": offset " + std::to_string(offset) + " is outside its buffer of " + std::to_string(room) +
             " bytes");
    }
    ref.offset = offset;
    region.present = space != kAbsent;
    region.space = ref.base;
    region.begin = offset;
    region.bytes = room - offset;
  }

  void finish(const KernelEntry& entry, const Facts& facts, int i, Operand ref, Instruction& instruction) {
    ref.bytes = touched_bytes(entry, facts, i);
    ref.is_output = entry.operand[i].is_output;
    instruction.bytes += static_cast<double>(ref.bytes);
    if (ref.bytes == 0) {  // nothing to point at
      ref.base = kNullBase;
      ref.offset = 0;
    }
    if (ref.base >= kFirstSlotBase) {
      SlotInfo& slot = p_.slots_[static_cast<std::size_t>(ref.base - kFirstSlotBase)];
      slot.align = max_of(slot.align, element_bytes(entry.operand[i]));
    }
    p_.operands_.push_back(ref);
  }

  Program& p_;
  Reader in_;
  i64 constants_bytes_ = 0;
  std::vector<const KernelEntry*> kernels_;
};

Program::Program(const i64* words, i64 n, const char* constants, i64 constants_bytes, const KernelTable& table)
    : table_(&table), constants_(constants_bytes) {
  if (constants_bytes > 0) std::memcpy(constants_.at(), constants, static_cast<std::size_t>(constants_bytes));
  Decoder(*this, words, n).decode(constants_bytes);
}

std::vector<i64> Program::encode() const {
  std::vector<const KernelEntry*> kernels;
  std::vector<i64> body;
  for (const Instruction& i : instructions_) {
    const auto known = std::find(kernels.begin(), kernels.end(), i.kernel);
    body.push_back(known - kernels.begin());
    if (known == kernels.end()) kernels.push_back(i.kernel);
    body.push_back(i.kernel->slots);
    body.insert(body.end(), fields(i), fields(i) + i.kernel->slots);
    body.push_back(i.kernel->operands);
    for (const Operand* o = operands(i); o != operands(i) + i.kernel->operands; ++o) {
      const i64 slot = max_of(o->base - kFirstSlotBase, 0);
      const i64 space = o->base == kNullBase        ? kAbsent
                        : o->base == kArenaBase     ? kArena
                        : o->base == kConstantsBase ? kConstants
                                                    : kSlot;
      body.insert(body.end(), {space, slot, o->offset});
    }
  }
  std::vector<i64> words{kProgramMagic,
                         kProgramVersion,
                         arena_bytes_,
                         constants_.bytes(),
                         static_cast<i64>(slots_.size()),
                         static_cast<i64>(kernels.size()),
                         static_cast<i64>(instructions_.size())};
  for (const SlotInfo& s : slots_) words.insert(words.end(), {s.bytes, s.writable ? 1 : 0});
  for (const KernelEntry* kernel : kernels) {
    const std::size_t length = std::strlen(kernel->name);
    std::vector<i64> packed((length + 7) / 8, 0);
    std::memcpy(packed.data(), kernel->name, length);
    words.push_back(static_cast<i64>(length));
    words.insert(words.end(), packed.begin(), packed.end());
  }
  words.insert(words.end(), body.begin(), body.end());
  return words;
}

}  // namespace nacre
