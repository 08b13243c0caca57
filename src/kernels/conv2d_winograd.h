// Convolution by windows of 3x3, 5x5, 1x3 or 1x5 at stride 1, and of 4x4 or 5x5 at stride 2, with fewer multiplications
// (Winograd; Lavin and Gray, 2016): NHWC, float32.
//
//   y = act(b + conv(x, w) + r)          as conv2d has it, without dilation or groups
//
// `turned`, it gives the gradient of such a convolution's inputs, or transposed convolution: x is then dy, y is dx, PT and PL
// are those of the convolution.
//
// Along an axis a tile has m outputs (`tile`: 2 or 4; 2 where the window is 5) and reads m+k-1 inputs of windows of k. These and
// the weights are transformed so that it costs m+k-1 products for each pair of channels instead of k m. Where the window
// has two axes, so has the tile: then 3x3 takes 2.25 times fewer products with m = 2 and 4 times with m = 4, 5x5 2.8 times; 1x3
// takes 1.5 and 2 times fewer, 1x5 1.7 times. The weights come transformed from conv2d_winograd_pack.
//
// At stride 2 every other tap meets every other input, so that it is a sum of four convolutions at stride 1 with windows of half
// the size (a tap that is missing counts as 0), whose sums are formed before they are transformed back; the gradient is four of
// them side by side. 4x4 takes 2.6 times fewer products, with m = 4, 5x5 2.8 times (m = 2: 1.6).
//
// Rounding: see docs/kernels.md. NaN in x reaches all outputs of the tiles that read it. So does an infinite number, as NaN; where
// the plain convolution gives an infinite output, the result is that or NaN.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct WinogradShape {
  i64 N, H, W, C, O, PT, PL, OH, OW;
  i64 bias, act, ldx, ldy, residual, ldr;  // as in Conv2DShape
  i64 KH, KW, stride;                      // of the window; rows of windows of one row have no stride
  i64 tile;                                // m
  i64 masked;                              // 1: y is 0 where h, which lies as y does, is not positive
  i64 turned;                              // 1: w is [KH][KW][O][C], its taps go from the last to the first
};
NACRE_FIELDS(WinogradShape, N, H, W, C, O, PT, PL, OH, OW, bias, act, ldx, ldy, residual, ldr, KH, KW, stride, tile,
             masked, turned)

namespace NACRE_ISA {

Facts conv2d_winograd_facts(const WinogradShape& s);
void conv2d_winograd(const WinogradShape& s, Slice units, Scratch scratch, const float* x, const float* u,
                     const float* b, const float* r, const float* h, float* y);

// y and index as conv2d_pool has them, for windows of 2 x 2 outputs.
Facts conv2d_winograd_pool_facts(const WinogradShape& s);
void conv2d_winograd_pool(const WinogradShape& s, Slice units, Scratch scratch, const float* x, const float* u,
                          const float* b, float* y, u8* index);

// w [KH][KW][C][O] transformed, in panels of output channels, in the order in which this ISA's tiles read them.
Facts conv2d_winograd_pack_facts(const WinogradShape& s);
void conv2d_winograd_pack(const WinogradShape& s, Slice units, const float* w, float* u);

// dw and db in parts, as conv2d_grad_w has them, and their sums. act, residual and masked say nothing here. What
// is not finite in a channel of x or of dy may reach all weights of that channel, and none of another.
Facts conv2d_winograd_grad_w_facts(const WinogradShape& s);
void conv2d_winograd_grad_w(const WinogradShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                            float* dw, float* db);
Facts conv2d_winograd_grad_w_join_facts(const WinogradShape& s);
void conv2d_winograd_grad_w_join(const WinogradShape& s, Slice units, const float* dw_parts, const float* db_parts,
                                 float* dw, float* db);

}  // namespace NACRE_ISA
}  // namespace nacre
