// Convolution, forward and gradients: NHWC images, HWIO weights [KH][KW][C/G][O], float32.
//
//   y[n,oh,ow,o] = act(b[o] + sum_{kh,kw,c} x[n, oh*SH + kh*DH - PT, ow*SW + kw*DW - PL, c] w[kh,kw,c,o] + r[n,oh,ow,o])
//
// What lies outside the image reads 0; padding below and to the right follows from OH and OW, which may have any value.
// Output channel o belongs to group o / (O/G) and sees the C/G input channels of that group.
// ldx, ldy and ldr are the distances between pixels of x (and dx), of y (and dy) and of r, at least C, O and O: a larger one
// reads or writes a channel slice of a wider buffer. 0 means dense.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct Conv2DShape {
  i64 N, H, W, C, O, KH, KW, SH, SW, DH, DW, PT, PL, OH, OW, G;
  i64 bias;  // 1: there is a bias (operand b, db)
  i64 act;   // conv2d: 1 is ReLU, 2 is ReLU6. conv2d_grad_x: 1 says that x, the output of a ReLU, masks dx; 2 is ReLU
  i64 ldx, ldy;
  i64 residual;  // conv2d, conv2d_grad_x: 1: there is an r, which is added to the finished sum
  i64 ldr;
};
NACRE_FIELDS(Conv2DShape, N, H, W, C, O, KH, KW, SH, SW, DH, DW, PT, PL, OH, OW, G, bias, act, ldx, ldy, residual, ldr)

namespace NACRE_ISA {

Facts conv2d_facts(const Conv2DShape& s);
void conv2d(const Conv2DShape& s, Slice units, Scratch scratch, const float* x, const float* w, const float* b,
            const float* r, float* y);

// The same with weights that conv2d_pack has made, where they are used many times: panels of output channels, in the order
// in which this ISA's tiles read them for such a window, stride and dilation. A whole number of panels for each group.
Facts conv2d_packed_facts(const Conv2DShape& s);
void conv2d_packed(const Conv2DShape& s, Slice units, Scratch scratch, const float* x, const float* panels,
                   const float* b, const float* r, float* y);
// All units, for other kernels.
void conv2d_packed_rows(const Conv2DShape& s, Scratch scratch, const float* x, const float* panels, const float* b,
                        const float* r, float* y);
Facts conv2d_pack_facts(const Conv2DShape& s);
void conv2d_pack(const Conv2DShape& s, Slice units, Scratch scratch, const float* w, float* panels);

// dx[n,ih,iw,c] = b[c] + sum of dy * w over the outputs that saw the pixel, + r[n,ih,iw,c]; times (x > 0) when act is 1.
// As a forward pass this is the transposed convolution; r is the gradient that reaches x on another way.
Facts conv2d_grad_x_facts(const Conv2DShape& s);
void conv2d_grad_x(const Conv2DShape& s, Slice units, Scratch scratch, const float* dy, const float* w, const float* b,
                   const float* r, const float* x, float* dx);

// dw[kh,kw,c,o] = sum_{n,oh,ow} x[...] dy[n,oh,ow,o] and db[o] = sum dy, as P partial sums over fixed runs of output rows:
// dw is [P][KH][KW][C/G][O], db is [P][O], where P = extent(dw) / (KH*KW*C/G*O) is chosen by the facts. With P = 1 they
// are the gradients; else conv2d_grad_w_join adds them.
Facts conv2d_grad_w_facts(const Conv2DShape& s);
void conv2d_grad_w(const Conv2DShape& s, Slice units, Scratch scratch, const float* x, const float* dy, float* dw,
                   float* db);
Facts conv2d_grad_w_join_facts(const Conv2DShape& s);
void conv2d_grad_w_join(const Conv2DShape& s, Slice units, const float* dw_parts, const float* db_parts, float* dw,
                        float* db);

}  // namespace NACRE_ISA
}  // namespace nacre
