// The gradient of dense weights with an elementwise program as its epilogue: the optimizer's update happens while a tile
// of the gradient is in L1, and no gradient array exists.
//
//   g[k,n] = sum_m x[m,k] dy[m,n];   y_o[k,n] = program(g, e1, ..., e7)[k,n]
//
// The program is the bytecode of elementwise.h on float32: register 0 is g, registers 1..7 are e1..e7, each [K, N] or one
// number (`scalar`). An output may be the memory of an e of the same size; x and dy must be nobody's output.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct DenseGradWMapShape {
  i64 M, N, K;
  i64 ldx, x0, ldy, y0;  // as in dense.h
  i64 inputs, outputs;   // registers that are inputs, g among them (1..8), and stored results (1..4)
  i64 scalar[8];         // 1: that input is one number for all
  i64 length, code[240];
  double consts[16];
  i64 out_reg[4];
};
NACRE_FIELDS(DenseGradWMapShape, M, N, K, ldx, x0, ldy, y0, inputs, outputs, scalar, length, code, consts, out_reg)

namespace NACRE_ISA {

Facts dense_grad_w_map_facts(const DenseGradWMapShape& s);
void dense_grad_w_map(const DenseGradWMapShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                      const float* e1, const float* e2, const float* e3, const float* e4, const float* e5,
                      const float* e6, const float* e7, float* y0, float* y1, float* y2, float* y3);
void prepare(const DenseGradWMapShape& s, void* plan);

}  // namespace NACRE_ISA
}  // namespace nacre
