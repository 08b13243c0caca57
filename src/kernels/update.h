// Steps of optimizers, recognised in elementwise bytecode. A rule is a list of operations; from one list come the matcher
// and the loop that keeps everything in registers, where the bytecode takes a pass through L1 for each operation. The
// bytecode must be that list, in order, whatever the registers; then both ways give the same bits.
//
// In front of a rule may stand what is done to the gradient (c * (w * c) + g or c * sign(w) + g, as penalties of weights
// give; g + a; then one of g * c, g / c and clip(g, c, c)) and a decay of the weights (w - w * c). A `select` by one number is decided before, so what is not chosen costs nothing.
// Behind it, a moving average may take in the new weights.
#pragma once
#include "base/types.h"
#include "kernels/gemm_update.h"

namespace nacre::NACRE_ISA {

// Bytecode of elementwise.h on float32 arrays of one shape.
struct MapCode {
  i64 inputs, outputs, length;
  const i64* code;
  const double* consts;
  const i64* out_reg;
  bool number[8];  // that input is one number for all
};

// The registers and outputs that play the parts of a rule; -1: there is no such part.
struct UpdateMatch {
  bool found = false;
  int rule = 0;
  i64 array[6] = {-1, -1, -1, -1, -1, -1}, number[7], output[4];
  i64 decay = -1, penalty[2] = {-1, -1};  // with its second number alone, the penalty is that of the sign
  i64 change = 0, before[2] = {-1, -1};   // what is done to g (0 nothing, 1 *, 2 /, 3 clip), and by which numbers
  // behind the rule: y[3] = c a + d w', with a in [0], c in [1] (or none), d in [2], w' what the rule gives
  i64 average[4] = {-1, -1, -1, -1};
  i64 filled[4];  // the number that an output is filled with
};

// x[r]: input r, or the number; y[o]: output o. Without them choices are not decided, and no rule matches that has some.
UpdateMatch match_update(const MapCode& c, const float* const* x, float* const* y);

// The n elements from x and y on.
void run_update(const UpdateMatch& u, const MapCode& c, i64 n, const float* const* x, float* const* y);

// Whether elements whose gradient is 0 stay as they are, with the same bits, in place; without x and y, whether they may.
bool keeps_without_gradient(const UpdateMatch& u, const MapCode& c, const float* const* x, float* const* y);

// Whether the tiles of weight gradients know the rule, with input 0 as the gradient; then `to` says it in their words.
bool tile_update(const UpdateMatch& u, const MapCode& c, const float* const* x, float* const* y, Update* to);

}  // namespace nacre::NACRE_ISA
