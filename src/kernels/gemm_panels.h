// How the columns of a product are cut into panels of a few vectors, and how b gets into panel order.
#pragma once
#include "kernels/gemm_tile.h"

namespace nacre::NACRE_ISA {

// `full` panels of nv vectors, all lanes in use, then at most a few others; every width has tiles. One vector alone
// makes a poor tile, so 4 + 1 becomes 3 + 2.
struct Panels {
  int nv = 1;
  i64 full = 0;
  int tails = 0;
  int tail[6] = {};

  NACRE_INLINE_MEMBER i64 count() const { return full + tails; }
  NACRE_INLINE_MEMBER int width(i64 j) const { return j < full ? nv : tail[j - full]; }  // in vectors
  NACRE_INLINE_MEMBER i64 start(i64 j) const {                                           // in vectors
    i64 at = (j < full ? j : full) * nv;
    for (i64 t = full; t < j; ++t) at += tail[t - full];
    return at;
  }
};

NACRE_INLINE Panels cut_panels(i64 columns, int nv) {
  Panels p;
  p.nv = nv;
  const i64 vectors = ceil_div(columns, kLanes);
  p.full = vectors / nv;
  i64 rest = vectors % nv;
  if (rest == 0 && columns % kLanes != 0) {
    --p.full;
    p.tail[p.tails++] = nv;
    return p;
  }
  if (nv == 4 && rest == 1 && p.full > 0) {
    --p.full;
    p.tail[p.tails++] = 3;
    p.tail[p.tails++] = 2;
    return p;
  }
  for (int w = nv - 1; w > 0; --w)
    for (; max_rows(w) > 0 && rest >= w; rest -= w) p.tail[p.tails++] = w;
  return p;
}

constexpr i64 kTurnedAhead = 64;  // floats that are asked for in each row: another core may have written them

// to[r][c] = from[c * stride + r] for c < columns, r < rows; columns up to `width` (whole vectors) become 0.
NACRE_CALLED void pack_turned(const float* from, i64 stride, i64 rows, i64 columns, i64 width, float* to) {
  for (i64 c = 0; c < width; c += kLanes) {
    for (i64 r = 0; r < rows; r += kLanes) {
      Vec block[kLanes];
      const i64 left = rows - r;
      NACRE_UNROLL
      for (int i = 0; i < kLanes; ++i) {
        const float* p = from + (c + i) * stride + r;
        prefetch(p + kTurnedAhead);
        block[i] = c + i >= columns ? zero() : left >= kLanes ? load(p) : load(p, left);
      }
      transpose(block);
      NACRE_UNROLL
      for (int i = 0; i < kLanes; ++i)
        if (i < left) store(to + (r + i) * width + c, block[i]);
    }
  }
}

NACRE_INLINE Finish finish_at(const Finish& f, i64 m, i64 n) {
  Finish g = f;
  if (g.bias) g.bias += n;
  if (g.mask) g.mask += m * f.mask_m + n;
  return g;
}

// A vector of finished sums of row m, from column n on, of which `left` are there.
NACRE_INLINE Vec finished(Vec sum, Vec bias, const Finish& f, i64 m, i64 n, i64 left) {
  if (f.bias) sum += bias;
  if (f.relu) sum = max(zero(), sum);
  if (f.mask) sum = select(gt(load(f.mask + m * f.mask_m + n, left), zero()), sum);
  return sum;
}

// A finished block of c^T becomes rows of c: c[n * c_m + m] = finish(from[m][n]) for m < rows, n < columns; `width` is
// the length of a row of `from`.
NACRE_CALLED void turn_block(const float* from, i64 width, i64 rows, i64 columns, float* c, i64 c_m, const Finish& f) {
  for (i64 n = 0; n < columns; n += kLanes) {
    for (i64 m = 0; m < rows; m += kLanes) {  // the rows of c grow by a vector each
      const i64 left = rows - m;
      const Vec bias = f.bias ? load(f.bias + m, left) : zero();
      Vec block[kLanes];
      NACRE_UNROLL
      for (int i = 0; i < kLanes; ++i) block[i] = i < left ? load(from + (m + i) * width + n) : zero();
      transpose(block);
      float memory[kLanes * kLanes];  // a loop over registers would be code for each of them
      NACRE_UNROLL
      for (int i = 0; i < kLanes; ++i) store(memory + i * kLanes, block[i]);
      NACRE_ROLLED
      for (i64 i = n; i < min_of(columns, n + kLanes); ++i) {
        if (f.mask) prefetch(f.mask + i * f.mask_m + m + kTurnedAhead / 2);
        store(c + i * c_m + m, finished(load(memory + (i - n) * kLanes), bias, f, i, m, left), left);
      }
    }
  }
}

// to[r * to_stride + c] = from[r * stride + c]
NACRE_CALLED void copy_rows(const float* from, i64 stride, i64 rows, i64 columns, float* to, i64 to_stride) {
  for (i64 r = 0; r < rows; ++r)
    for (i64 c = 0; c < columns; c += kLanes)
      store(to + r * to_stride + c, load(from + r * stride + c, columns - c), columns - c);
}

// A panel of b as the tiles read it, zeros in the lanes that no column has.
NACRE_CALLED void copy_panel(const float* b, i64 b_k, i64 rows, i64 n, i64 width, float* to) {
  for (i64 k = 0; k < rows; ++k)
    for (i64 v = 0; v < width; v += kLanes) store(to + k * width + v, load(b + k * b_k + v, n - v));
}

// What the tiles have left over.
NACRE_CALLED void finish_copy(PanelCopy c, i64 width) {
  for (; c.left > 0; --c.left) {
    for (i64 v = 0; v < width; v += kLanes) store(c.to + v, load(c.from + v));
    c.step(width);
  }
}

// Rows this many floats apart fall into so few cache sets that a few dozen of them evict each other.
NACRE_INLINE bool aliased(i64 stride) { return stride >= 512 && stride % 256 == 0; }

}  // namespace nacre::NACRE_ISA
