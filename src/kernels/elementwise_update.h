// The elementwise kernel on a program that is the step of an optimizer (update.h).
#pragma once
#include "kernels/elementwise_engine.h"
#include "kernels/update.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kLeastUpdate = 512;  // elements: below, looking costs more than it saves

inline i64 elements(const ElementwiseShape& s) {
  i64 total = 1;
  for (i64 d = 0; d < s.rank; ++d) total *= s.dims[d];
  return total;
}

// Whether the program could be a rule: float32 arrays without gaps, and single numbers. Its bytecode goes to `code`.
inline bool flat_code(const ElementwiseShape& s, MapCode& code) {
  if (elements(s) < kLeastUpdate) return false;
  code = {s.inputs, s.outputs, s.length, s.code, s.consts, s.out_reg, {}};
  for (i64 i = 0; i < s.inputs; ++i) {
    code.number[i] = is_scalar(s, i);
    if (!code.number[i] && (s.in_dtype[i] != static_cast<i64>(DType::f32) || !is_flat(s, i))) return false;
  }
  for (i64 o = 0; o < s.outputs; ++o)
    if (s.out_dtype[o] != static_cast<i64>(DType::f32) || s.out_ld[o] != 0) return false;
  return true;
}

// Whether the program is a rule, whatever its operands.
inline bool is_update(const ElementwiseShape& s) {
  MapCode code;
  return flat_code(s, code) && match_update(code, nullptr, nullptr).found;
}

// Whether it is one with these operands; then the units are computed.
inline bool updates(const ElementwiseShape& s, Slice units, const void* const* x, void* const* y) {
  MapCode code;
  if (units.begin >= units.end || !flat_code(s, code)) return false;
  const float* in[kInputs];
  float* out[kOutputs];
  float number[kInputs];
  for (i64 i = 0; i < s.inputs; ++i) {
    in[i] = code.number[i] ? number + i : as<float>(x[i]);
    if (code.number[i]) NACRE_BY_DTYPE(s.in_dtype[i], S, number[i] = to<float>(*as<S>(x[i])))
  }
  for (i64 o = 0; o < s.outputs; ++o) out[o] = as<float>(y[o]);
  const UpdateMatch u = match_update(code, in, out);
  if (!u.found) return false;
  const Cut c = cut_of<float>(s);
  const i64 unit = c.tiles_per_unit * c.tile, begin = units.begin * unit;
  for (i64 i = 0; i < s.inputs; ++i) in[i] += code.number[i] ? 0 : begin;
  for (i64 o = 0; o < s.outputs; ++o) out[o] += begin;
  run_update(u, code, min_of(units.end * unit, elements(s)) - begin, in, out);
  return true;
}

}  // namespace
}  // namespace NACRE_ISA
}  // namespace nacre
