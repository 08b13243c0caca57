// What a core can do at best: arithmetic that never leaves the registers, and bytes that only move. Percentages of a limit
// refer to these.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct MultiplyAddShape {
  i64 turns;  // of the loop
  i64 cores;  // that do so many each
  double seed;
};
NACRE_FIELDS(MultiplyAddShape, turns, cores, seed)

struct CopyFloatsShape {
  i64 n;
};
NACRE_FIELDS(CopyFloatsShape, n)

namespace NACRE_ISA {

// y[core] = a number that twelve chains of multiply-adds lead to
Facts multiply_add_facts(const MultiplyAddShape& s);
void multiply_add(const MultiplyAddShape& s, Slice cores, float* y);

// y[i] = x[i], vector by vector
Facts copy_floats_facts(const CopyFloatsShape& s);
void copy_floats(const CopyFloatsShape& s, Slice runs, const float* x, float* y);

}  // namespace NACRE_ISA
}  // namespace nacre
