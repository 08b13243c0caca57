// Convolution, bias, ReLU and max-pooling in one pass, and its gradients, which use that a pooled output passes its gradient
// to one position of its window only: of P*P products all but one are with zero and are never computed.
//
//   y[n,ph,pw,o] = max over i, j < P of act(conv)[n, ph*P + i, pw*P + j, o]       index = i*P + j of the first largest
//
// The convolution is that of conv2d.h, with outputs OH x OW of which the (OH/P) x (OW/P) windows use what they cover; ldy
// is the distance between pixels of y and dy. The results are those of the three steps one after the other, the
// gradients up to the order of summation; where dy is zero, or ReLU cut the output, an infinite x or w does not make NaN.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct Conv2DPoolShape {
  i64 N, H, W, C, O, KH, KW, SH, SW, DH, DW, PT, PL, OH, OW, G;
  i64 bias, act;
  i64 ldx, ldy;
  i64 P;      // 2 or 3: side and stride of the pooling windows
  i64 index;  // conv2d_pool: 1 also writes the index, dense [N][OH/P][OW/P][O]
  i64 mask;   // conv2d_pool_grad_x: 1 says that x, the output of a ReLU, masks dx
};
NACRE_FIELDS(Conv2DPoolShape, N, H, W, C, O, KH, KW, SH, SW, DH, DW, PT, PL, OH, OW, G, bias, act, ldx, ldy, P, index,
             mask)

namespace NACRE_ISA {

Facts conv2d_pool_facts(const Conv2DPoolShape& s);
void conv2d_pool(const Conv2DPoolShape& s, Slice units, Scratch scratch, const float* x, const float* w, const float* b,
                 float* y, u8* index);

// dx from the gradient dy of y; y itself tells where ReLU cut (act 1). G must be 1.
Facts conv2d_pool_grad_x_facts(const Conv2DPoolShape& s);
void conv2d_pool_grad_x(const Conv2DPoolShape& s, Slice units, Scratch scratch, const float* dy, const float* y,
                        const u8* index, const float* w, const float* x, float* dx);

// dw and db as partial sums, joined by conv2d_pool_grad_w_join, exactly as in conv2d_grad_w. G must be 1.
Facts conv2d_pool_grad_w_facts(const Conv2DPoolShape& s);
void conv2d_pool_grad_w(const Conv2DPoolShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                        const float* y, const u8* index, float* dw, float* db);
Facts conv2d_pool_grad_w_join_facts(const Conv2DPoolShape& s);
void conv2d_pool_grad_w_join(const Conv2DPoolShape& s, Slice units, const float* dw_parts, const float* db_parts,
                             float* dw, float* db);

}  // namespace NACRE_ISA
}  // namespace nacre
