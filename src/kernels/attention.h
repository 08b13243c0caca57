// Scaled dot-product attention: the scores of a few rows of queries stay in L2 from their product to the weighted sum of
// the values. Queries, keys and values are read where projections leave them, heads side by side.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct AttentionShape {
  i64 B, H, T, S;  // samples, heads, queries, keys
  i64 D, E;        // channels of a query and of a value, for each head
  i64 kept;        // 1: the weights are stored
  i64 mask;        // 1: keys whose byte is 0 are left out
  // Bytes of the mask from one sample, head and query to the next; those of a query lie together.
  i64 mask_b, mask_h, mask_t;
  i64 state_dtype;  // of the state that dropout draws from, as random.h has it
  double rate;      // of dropout of the weights; 0: none, and no state
};
NACRE_FIELDS(AttentionShape, B, H, T, S, D, E, kept, mask, mask_b, mask_h, mask_t, state_dtype, rate)

namespace NACRE_ISA {

// weights[b,h,t,:] = softmax of q[b,t,h,:] . k[b,s,h,:] over the s that the mask leaves; 0 for others
// y[b,t,h,:] = sum_s dropout(weights)[b,h,t,s] v[b,s,h,:]
Facts attention_facts(const AttentionShape& s);
void attention(const AttentionShape& s, Slice units, Scratch scratch, const float* q, const float* k, const float* v,
               const u8* mask, const void* state, float* y, float* weights);

// The gradients, from stored weights and the same state. A unit is a head of a sample.
Facts attention_grad_facts(const AttentionShape& s);
void attention_grad(const AttentionShape& s, Slice units, Scratch scratch, const float* q, const float* k,
                    const float* v, const float* weights, const float* dy, const void* state, float* dq, float* dk,
                    float* dv);

}  // namespace NACRE_ISA
}  // namespace nacre
