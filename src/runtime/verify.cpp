#include "runtime/verify.h"

#include <stdexcept>

namespace nacre {
namespace {

[[noreturn]] void refuse(const std::string& where, const KernelEntry& entry, const std::string& what) {
  throw std::invalid_argument(where + "kernel '" + entry.name + "': " + what);
}

bool overlap(const Region& a, i64 a_bytes, const Region& b, i64 b_bytes) {
  return a.space == b.space && a.begin < b.begin + b_bytes && b.begin < a.begin + a_bytes;
}

}  // namespace

const char* name_of(DType t) {
  switch (t) {
    case DType::f32: return "float32";
    case DType::f64: return "float64";
    case DType::i32: return "int32";
    case DType::i64: return "int64";
    case DType::u8: return "uint8";
    case DType::boolean: return "bool";
    default: return "void";
  }
}

std::string operand_name(const KernelEntry& entry, int i) {
  const OperandInfo& o = entry.operand[i];
  return "operand " + std::to_string(i) + " (" + (o.is_output ? "out" : "in") + ", " + name_of(o.dtype) + ")";
}

i64 touched_bytes(const KernelEntry& entry, const Facts& facts, int i) {
  return facts.extent[i].value() * element_bytes(entry.operand[i]);
}

Facts verify_call(const KernelEntry& entry, const void* shape, const Region* operands, const std::string& where) {
  const Facts facts = entry.facts(shape);
  if (facts.error) refuse(where, entry, facts.error);
  if (facts.units < 0 || facts.scratch < 0) refuse(where, entry, "its sizes overflow");

  i64 bytes[kMaxOperands];
  for (int i = 0; i < entry.operands; ++i) {
    const Region& r = operands[i];
    const Count touched = facts.extent[i] * Count(element_bytes(entry.operand[i]));
    if (!touched.ok()) refuse(where, entry, operand_name(entry, i) + ": its size overflows");
    bytes[i] = touched.value();
    if (!r.present) {
      if (bytes[i] == 0) continue;
      refuse(where, entry,
             operand_name(entry, i) + " is absent, but these fields need " + std::to_string(bytes[i]) + " bytes");
    }
    if (bytes[i] > r.bytes) {
      refuse(where, entry,
             operand_name(entry, i) + " has " + std::to_string(r.bytes) + " bytes, but these fields need " +
                 std::to_string(bytes[i]));
    }
    if (r.begin % element_bytes(entry.operand[i]) != 0) {
      refuse(where, entry, operand_name(entry, i) + " is not aligned to its element type");
    }
    if (entry.operand[i].is_output && !r.writable) refuse(where, entry, operand_name(entry, i) + " is not writable");
  }

  for (int i = 0; i < entry.operands; ++i) {
    if (!entry.operand[i].is_output || bytes[i] == 0) continue;
    for (int j = 0; j < entry.operands; ++j) {
      const bool seen = entry.operand[j].is_output && j <= i;  // pairs of outputs once
      if (seen || bytes[j] == 0 || !overlap(operands[i], bytes[i], operands[j], bytes[j])) continue;
      const bool same = operands[i].begin == operands[j].begin && bytes[i] == bytes[j];
      if (entry.in_place && same && !entry.operand[j].is_output) continue;
      refuse(where, entry,
             operand_name(entry, i) + " overlaps " + operand_name(entry, j) +
                 (entry.in_place ? " without being the same memory" : "; this kernel cannot work in place"));
    }
  }
  return facts;
}

}  // namespace nacre
