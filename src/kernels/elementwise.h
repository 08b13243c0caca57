// Fused elementwise arithmetic: a small bytecode run over tiles that stay in L1.
//
// An output element is a function of the input elements at the same place; inputs are broadcast by strides of 0, and
// outputs are contiguous, or columns of something wider. Registers hold one tile each: 0..7 are the inputs converted to the compute type, 8..23 the
// constants, 24..63 temporaries. An instruction is five words: opcode, dst, a, b, c (unused operands are ignored).
// The compute type is float32 (`elementwise`), float64 (`elementwise_f64`) or int64 with wrap-around (`elementwise_i64`).
// Converting a float to an integer rounds toward zero and saturates, NaN gives 0; integers to narrower integers wrap;
// anything but zero becomes true.
// In place: an output may be an input's memory when both are contiguous (row-major, no broadcast) and as wide.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct ElementwiseShape {
  i64 rank, dims[6];    // dims as Python collapsed them; rank 0 is one element
  i64 inputs, outputs;  // at most 8 and 4
  i64 in_dtype[8], out_dtype[4];
  i64 in_strides[48];     // [input][dim of 6], in elements, >= 0
  i64 length, code[240];  // at most 48 instructions of 5 words
  double consts[16];      // whole numbers beyond 2^53 lose bits: those come as inputs
  i64 out_reg[4];         // which register each output stores
  i64 out_ld[4];          // elements from one run of the last dim to the next, at least its length; 0: no gaps
};
NACRE_FIELDS(ElementwiseShape, rank, dims, inputs, outputs, in_dtype, out_dtype, in_strides, length, code, consts,
             out_reg, out_ld)

namespace NACRE_ISA {

// What float32 instructions do to n elements, by opcode; null where there is no such form.
using MapFn = void (*)(i64 n, float* d, const float* a, const float* b, const float* c);
const MapFn* map_functions();
MapFn map_swish();  // d = b sigmoid(a)

Facts elementwise_facts(const ElementwiseShape& s);

// What is wrong with the program in the shape of another kernel: it is checked as elementwise code over one element.
template <class Shape>
const char* program_error(const Shape& s) {
  ElementwiseShape program = {};
  program.inputs = s.inputs;
  program.outputs = s.outputs;
  program.length = s.length;
  for (i64 i = 0; i < 240; ++i) program.code[i] = s.code[i];
  for (i64 i = 0; i < 16; ++i) program.consts[i] = s.consts[i];
  for (i64 i = 0; i < 4; ++i) program.out_reg[i] = s.out_reg[i];
  return elementwise_facts(program).error;
}

void elementwise(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1,
                 const void* x2, const void* x3, const void* x4, const void* x5, const void* x6, const void* x7,
                 void* y0, void* y1, void* y2, void* y3);

Facts elementwise_f64_facts(const ElementwiseShape& s);
void elementwise_f64(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1,
                     const void* x2, const void* x3, const void* x4, const void* x5, const void* x6, const void* x7,
                     void* y0, void* y1, void* y2, void* y3);

Facts elementwise_i64_facts(const ElementwiseShape& s);
void elementwise_i64(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1,
                     const void* x2, const void* x3, const void* x4, const void* x5, const void* x6, const void* x7,
                     void* y0, void* y1, void* y2, void* y3);

// The program on x seen as [rows, columns] or [outer, rows, columns], each output summed over the rows: y[u, column] are
// partial sums over fixed runs of rows, u < units, as many for each o; whoever calls adds them up. Nothing but the sums
// is stored, without gaps.
Facts map_reduce_facts(const ElementwiseShape& s);
void map_reduce(const ElementwiseShape& s, Slice units, Scratch scratch, const void* x0, const void* x1, const void* x2,
                const void* x3, const void* x4, const void* x5, const void* x6, const void* x7, float* y0, float* y1,
                float* y2, float* y3);

}  // namespace NACRE_ISA
}  // namespace nacre
