// One step of the LSTM and GRU cells, without the products: gates in, state out, and the way back. Gate order as Keras has
// it: i f c o, and z r h with reset_after. Gates are pre-activations with biases added, [M, 4U] or [M, 3U].
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct CellShape {
  i64 M, U;
};
NACRE_FIELDS(CellShape, M, U)

namespace NACRE_ISA {

// i = sigmoid(z_i), f = sigmoid(z_f), c~ = tanh(z_c), o = sigmoid(z_o); c' = f c + i c~; h' = o tanh(c')
// `gates` [M, 4U] keeps i f c~ o for the way back.
Facts lstm_cell_facts(const CellShape& s);
void lstm_cell(const CellShape& s, Slice units, const float* z, const float* c, float* h_out, float* c_out,
               float* gates);

// From dh' and dc' (what comes from the next step): dz [M, 4U] and dc. c is the state before the step, c_out after it.
Facts lstm_cell_grad_facts(const CellShape& s);
void lstm_cell_grad(const CellShape& s, Slice units, const float* gates, const float* c, const float* c_out,
                    const float* dh, const float* dc_out, float* dz, float* dc);

// x = inputs W + b_0, r = h R + b_1, both [M, 3U]: z = sigmoid(x_z + r_z), g = sigmoid(x_r + r_r),
// h~ = tanh(x_h + g r_h), h' = z h + (1 - z) h~. `gates` [M, 3U] keeps z g h~ for the way back.
Facts gru_cell_facts(const CellShape& s);
void gru_cell(const CellShape& s, Slice units, const float* x, const float* r, const float* h, float* h_out,
              float* gates);

// From dh': dx and dr, both [M, 3U], and the part of dh that does not go through r: dh = dh' z.
Facts gru_cell_grad_facts(const CellShape& s);
void gru_cell_grad(const CellShape& s, Slice units, const float* gates, const float* r, const float* h,
                   const float* dh_out, float* dx, float* dr, float* dh);

}  // namespace NACRE_ISA
}  // namespace nacre
