// Depthwise convolution, forward and gradients: NHWC, float32, weights [KH][KW][C][M]. Output channel c*M + m sees input
// channel c only:
//
//   y[n,oh,ow,c*M+m] = act(b[c*M+m] + sum_{kh,kw} x[n, oh*SH + kh*DH - PT, ow*SW + kw*DW - PL, c] w[kh,kw,c,m])
//
// Padding, ldx (of C channels), ldy (of C*M) and bias as in conv2d.h. act of the forward pass: 0 nothing, 1 ReLU,
// 2 ReLU limited to 6; NaN stays.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct DepthwiseConv2DShape {
  i64 N, H, W, C, M, KH, KW, SH, SW, DH, DW, PT, PL, OH, OW, bias, act, ldx, ldy;
};
NACRE_FIELDS(DepthwiseConv2DShape, N, H, W, C, M, KH, KW, SH, SW, DH, DW, PT, PL, OH, OW, bias, act, ldx, ldy)

namespace NACRE_ISA {

Facts depthwise_conv2d_facts(const DepthwiseConv2DShape& s);
void depthwise_conv2d(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x, const float* w,
                      const float* b, float* y);

// With act 1 the ReLU output x masks dx; there is no act 2.
Facts depthwise_conv2d_grad_x_facts(const DepthwiseConv2DShape& s);
void depthwise_conv2d_grad_x(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* dy, const float* w,
                             const float* x, float* dx);

// P partial sums over fixed runs of pixels: dw is [P][KH][KW][C][M], db is [P][C*M], where P = extent(dw) / (KH*KW*C*M).
// With P = 1 they are the gradients; else depthwise_conv2d_grad_w_join adds them.
Facts depthwise_conv2d_grad_w_facts(const DepthwiseConv2DShape& s);
void depthwise_conv2d_grad_w(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                             float* dw, float* db);
Facts depthwise_conv2d_grad_w_join_facts(const DepthwiseConv2DShape& s);
void depthwise_conv2d_grad_w_join(const DepthwiseConv2DShape& s, Slice units, const float* dw_parts,
                                  const float* db_parts, float* dw, float* db);

}  // namespace NACRE_ISA
}  // namespace nacre
