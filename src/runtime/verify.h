// The one check of a kernel call, for programs at load and for single calls: after it the kernel needs none of its own.
#pragma once
#include <string>

#include "dispatch/dispatch.h"

namespace nacre {

// Where an operand lies. Regions of different spaces never share memory; in one space `begin` says where.
struct Region {
  bool present = false;
  bool writable = false;
  i64 space = 0;
  i64 begin = 0;  // bytes from the start of the space
  i64 bytes = 0;  // room from `begin` to the end of the buffer
};

// Proves that the call touches nothing but what `operands` (entry.operands of them) allow, and returns the facts about
// it. Throws std::invalid_argument, with `where` in front, if it cannot. Alignment is proven for typed operands only.
Facts verify_call(const KernelEntry& entry, const void* shape, const Region* operands, const std::string& where);

// Bytes of operand i that may be touched; meaningful for facts that verify_call returned.
i64 touched_bytes(const KernelEntry& entry, const Facts& facts, int i);

// "operand 2 (in, float32)"
std::string operand_name(const KernelEntry& entry, int i);

// numpy's name for it; "void" for an untyped buffer.
const char* name_of(DType t);

}  // namespace nacre
