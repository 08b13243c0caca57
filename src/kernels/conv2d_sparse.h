// Gradients of a convolution whose outputs hardly count: behind a maximum over a whole image, one of each channel. Each
// share that is not zero adds the window that it saw, or its weights, and nothing is computed for the others. An infinite x
// or w under a zero gradient does not make NaN, as it would in the dense passes. One group, nothing fused, dense pixels.
#pragma once
#include "kernels/conv2d.h"

namespace nacre::NACRE_ISA {

// dw[o,kh,kw,c] = sum_{n,oh,ow} x[...] dy[n,oh,ow,o]              a unit is a few outputs
Facts conv2d_sparse_grad_w_facts(const Conv2DShape& s);
void conv2d_sparse_grad_w(const Conv2DShape& s, Slice units, const float* x, const float* dy, float* dw);

// dx of dy and weights w[o,kh,kw,c]                               a unit is an image
Facts conv2d_sparse_grad_x_facts(const Conv2DShape& s);
void conv2d_sparse_grad_x(const Conv2DShape& s, Slice units, const float* dy, const float* w, float* dx);

}  // namespace nacre::NACRE_ISA
