// Pooling over windows of an NHWC image, float32. Positions outside the image belong to no window: a maximum ignores them,
// an average counts only what it saw. Windows may overlap, leave gaps, or lie outside altogether (maximum -inf, average 0).
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct Pool2DShape {
  i64 N, H, W, C, KH, KW, SH, SW, PT, PL, OH, OW;
  i64 index;     // max_pool2d: 1 also writes where each maximum was; avg_pool2d: 1 gives sums instead of means
  i64 ldx, ldy;  // distances between pixels of x (dx) and y (dy); 0: dense
};
NACRE_FIELDS(Pool2DShape, N, H, W, C, KH, KW, SH, SW, PT, PL, OH, OW, index, ldx, ldy)

namespace NACRE_ISA {

// y = the largest value of each window; NaN if it holds one. index: the tap kh*KW + kw of the first largest value (of the
// first NaN), dense [N][OH][OW][C]; one byte each while KH*KW <= 256, else an i32 in four bytes.
Facts max_pool2d_facts(const Pool2DShape& s);
void max_pool2d(const Pool2DShape& s, Slice rows, const float* x, float* y, u8* index);

// dx[...] = sum of dy over the windows whose largest value stood there (index as max_pool2d writes it; a tap that points
// outside the image is dropped)
Facts max_pool2d_grad_x_facts(const Pool2DShape& s);
void max_pool2d_grad_x(const Pool2DShape& s, Slice rows, const float* dy, const u8* index, float* dx);

// y = mean over what each window sees of the image, or with `index` the sum, of windows that do not overlap
Facts avg_pool2d_facts(const Pool2DShape& s);
void avg_pool2d(const Pool2DShape& s, Slice rows, const float* x, float* y);

// dx[...] = sum of dy / (size of the window within the image) over the windows that see the pixel; with `index` dy itself
Facts avg_pool2d_grad_x_facts(const Pool2DShape& s);
void avg_pool2d_grad_x(const Pool2DShape& s, Slice rows, const float* dy, float* dx);

}  // namespace NACRE_ISA
}  // namespace nacre
