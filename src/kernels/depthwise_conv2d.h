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

// A convolution, a depthwise one behind it with a window of 3x3 and stride S, and one of single pixels behind that, O outputs,
// as the blocks of MobileNets have them: HxWxC -> WHxWW*D -> OHxOW*D -> OHxOW*O, all dense.
struct DepthwiseBlockShape {
  i64 N, H, W, C, KH, KW, SH, SW, PT,
      PL;         // of the first one; no groups, no dilation. KH 0: there is none, x has D channels
  i64 WH, WW, D;  // its outputs
  i64 S, PT2, PL2, OH, OW, O;
  i64 bias[3], act[3];  // of each
  i64 residual;         // 1: there is an r, which the last one adds
  i64 rows;             // of output in a unit, whose first rows of D channels others may have formed, too
};
NACRE_FIELDS(DepthwiseBlockShape, N, H, W, C, KH, KW, SH, SW, PT, PL, WH, WW, D, S, PT2, PL2, OH, OW, O, bias, act,
             residual, rows)

namespace NACRE_ISA {

Facts depthwise_conv2d_facts(const DepthwiseConv2DShape& s);
void depthwise_conv2d(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x, const float* w,
                      const float* b, float* y);

// The three in one: rows of D channels stay in the workspace, as many as the window needs, so that they are written and read
// in the cache of one core. Weights of the first and last are those of conv2d_pack. The same bits as one after the other.
Facts depthwise_block_facts(const DepthwiseBlockShape& s);
void depthwise_block(const DepthwiseBlockShape& s, Slice units, Scratch scratch, const float* x, const float* panels,
                     const float* b, const float* w2, const float* b2, const float* panels3, const float* b3,
                     const float* r, float* y);

// With act 1 the ReLU output x masks dx; there is no act 2.
Facts depthwise_conv2d_grad_x_facts(const DepthwiseConv2DShape& s);
void depthwise_conv2d_grad_x(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* dy,
                             const float* w, const float* x, float* dx);

// P partial sums over fixed runs of pixels: dw is [P][KH][KW][C][M], db is [P][C*M], where P = extent(dw) / (KH*KW*C*M).
// With P = 1 they are the gradients; else depthwise_conv2d_grad_w_join adds them.
Facts depthwise_conv2d_grad_w_facts(const DepthwiseConv2DShape& s);
void depthwise_conv2d_grad_w(const DepthwiseConv2DShape& s, Slice units, Scratch scratch, const float* x,
                             const float* dy, float* dw, float* db);
Facts depthwise_conv2d_grad_w_join_facts(const DepthwiseConv2DShape& s);
void depthwise_conv2d_grad_w_join(const DepthwiseConv2DShape& s, Slice units, const float* dw_parts,
                                  const float* db_parts, float* dw, float* db);

}  // namespace NACRE_ISA
}  // namespace nacre
