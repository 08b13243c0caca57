// All steps of an LSTM or a GRU, products and cells (rnn.h), and the way back. Sequences are time-major; states have the
// first one in front. A unit is a block of rows, which goes through all steps by itself: no thread waits for another, and
// what a step leaves is still near for the next one.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct SequenceShape {
  i64 T, N, U;
  i64 masked;  // 1: mask [T, N] is 0 where the state stays as it is, and 1 elsewhere; 0: it is absent
  i64 keeps;   // forward, 1: `gates` and `inner` are kept for the way back; 0: they are absent
};
NACRE_FIELDS(SequenceShape, T, N, U, masked, keeps)

namespace NACRE_ISA {

// z = h_t u + x_t, then lstm_cell. x [T, N, 4U], u [U, 4U], h and c [N, U] -> hs and cs [T + 1, N, U], gates [T, N, 4U].
Facts lstm_sequence_facts(const SequenceShape& s);
void lstm_sequence(const SequenceShape& s, Slice units, Scratch scratch, const float* x, const float* u, const float* h,
                   const float* c, const float* mask, float* hs, float* cs, float* gates);

// From d hs and d cs [T + 1, N, U]: dx = dz [T, N, 4U], dh and dc [N, U]. u_t is u transposed, [4U, U].
Facts lstm_sequence_grad_facts(const SequenceShape& s);
void lstm_sequence_grad(const SequenceShape& s, Slice units, Scratch scratch, const float* u_t, const float* cs,
                        const float* gates, const float* dhs, const float* dcs, const float* mask, float* dx, float* dh,
                        float* dc);

// inner_t = h_t u + b, then gru_cell. x [T, N, 3U], u [U, 3U], b [3U], h [N, U] -> hs [T + 1, N, U], gates and inner
// [T, N, 3U].
Facts gru_sequence_facts(const SequenceShape& s);
void gru_sequence(const SequenceShape& s, Slice units, Scratch scratch, const float* x, const float* u, const float* b,
                  const float* h, const float* mask, float* hs, float* gates, float* inner);

// From d hs [T + 1, N, U]: dx and d inner [T, N, 3U], dh [N, U]. u_t is u transposed, [3U, U].
Facts gru_sequence_grad_facts(const SequenceShape& s);
void gru_sequence_grad(const SequenceShape& s, Slice units, Scratch scratch, const float* u_t, const float* hs,
                       const float* gates, const float* inner, const float* dhs, const float* mask, float* dx,
                       float* d_inner, float* dh);

}  // namespace NACRE_ISA
}  // namespace nacre
