// What the rest of the program knows about a kernel: a line of kernels.def, the same for every ISA, and the code of one.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct OperandInfo {
  DType dtype;  // none: an untyped buffer, whose extents are bytes
  bool is_output;
};

struct KernelInfo {
  const char* name;
  FieldList fields;
  int slots;  // 8-byte slots of the shape struct
  int operands;
  OperandInfo operand[kMaxOperands];
  bool in_place;
};

struct KernelCode {
  Facts (*facts)(const void* shape);
  void (*run)(const void* shape, Slice units, Scratch scratch, void* const* operands);
  void (*prepare)(const void* shape, void* plan);  // writes at most kPlanBytes; null where there is nothing to prepare
};

// In the order of kernels.def; each ISA has an array kCode in the same order.
extern const KernelInfo kKernels[];
extern const int kKernelCount;

// Bytes per element as extents count them: 1 where the operand is untyped.
static constexpr i64 element_bytes(const OperandInfo& o) { return o.dtype == DType::none ? 1 : size_of(o.dtype); }

}  // namespace nacre
