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
                        i64 channels, float* copy, bool may_point = true);

double dense_flops(const Conv2DPoolShape& s);
// The parts of facts that both gradients share; operands dy, y, index, dw (db) or w, x and dx are the caller's.
const char* pool_grad_error(const Conv2DPoolShape& s, Count& x, Count& dy, Count& y, Count& index, Count& w);

NACRE_INLINE VecI index_lanes(const u8* p, i64 n) {
  if (n >= kLanes) return load_u8(p);
  u8 lane[kLanes] = {};
  for (i64 i = 0; i < n; ++i) lane[i] = p[i];
  return load_u8(lane);
}

struct PooledGradient {
  const float* dy;
  const float* y;  // null: no ReLU
  const u8* index;
  i64 ldy, O;

  // The gradients of n outputs from o on of window px.
  inline __attribute__((always_inline)) Vec gradient(i64 px, i64 o, i64 n) const {
    const auto some = [n](const float* p) __attribute__((always_inline)) { return n >= kLanes ? load(p) : load(p, n); };
    const Vec g = some(dy + px * ldy + o);
    return y ? select(gt(some(y + px * ldy + o), zero()), g) : g;
  }
};

NACRE_INLINE void store_index(u8* to, VecI a, i64 n) {
  if (n >= kLanes) {
    store_u8(to, a);
  } else if (n > 0) {
    u8 lane[kLanes];
    store_u8(lane, a);
    for (i64 i = 0; i < n; ++i) to[i] = lane[i];
  }
}

// The first largest of PP sums, one vector of windows each, and which it was; the first NaN where there is one.
template <int PP>
NACRE_INLINE void first_largest(const Vec (&sum)[PP], Vec& best, VecI& where) {
  best = sum[0];
  where = set1i(0);
  NACRE_UNROLL for (int i = 1; i < PP; ++i) {
    const Mask take = ~(le(sum[i], best) | isnan(best));
    best = select(take, sum[i], best);
    where = select(take, set1i(i), where);
  }
}

// The same without NaN.
template <int PP>
NACRE_INLINE void first_largest_number(const Vec (&sum)[PP], Vec& best, VecI& where) {
  best = sum[0];
  NACRE_UNROLL for (int i = 1; i < PP; ++i) best = max(sum[i], best);
  where = set1i(PP - 1);
  NACRE_UNROLL for (int i = PP - 2; i >= 0; --i) where = select(eq(sum[i], best), set1i(i), where);
}

}  // namespace nacre::NACRE_ISA
