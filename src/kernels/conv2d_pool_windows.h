// What the three passes of conv2d_pool share: blocks of pooling windows and how the pixels below a window are read.
#pragma once
#include "kernels/conv2d_pool.h"
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {

const char* conv2d_pool_error(const Conv2DPoolShape& s);
Conv2DShape conv_of(const Conv2DPoolShape& s);

// One output is a window: it covers (P-1)*S + (K-1)*D + 1 input rows (columns) without gaps. `channels` of them are read.
Correlation window_correlation(const Conv2DPoolShape& s, i64 channels);

// Positions and taps within a block that was read as a View of a window_correlation.
struct WindowView {
  const float* x;
  i64 window_col, window_row, image;  // steps from window to window, and from image to image
  i64 at_row, at_col;                 // from position to position within a window
  i64 tap_row, tap_col;
};
WindowView view_windows(const Conv2DPoolShape& s, const Correlation& q, const Cut& cut, const Block& b, const float* x,
                        i64 channels, float* copy);

}  // namespace nacre::NACRE_ISA
