// The register tile of every matrix product: MR rows of a (broadcast) times NV vectors of b, all sums in registers.
// Row form: vectors run along the columns of c, so c, bias and mask are whole vectors and row-major a needs no packing.
// Each element of c is one chain of fused multiply-adds in the order of k, whatever the tile; cutting k and going on from
// the stored sum gives the same bits.
#pragma once
#include "simd/simd.h"

namespace nacre::NACRE_ISA {

// What happens to a finished sum: + bias[n], then max(0, .), then 0 where the mask is not positive.
struct Finish {
  const float* bias = nullptr;
  const float* mask = nullptr;
  i64 mask_m = 0;
  bool relu = false;
};

struct TileCall {
  i64 K;
  const float* a;
  i64 a_m, a_k;  // a(m, k) = a[m * a_m + k * a_k]
  const float* b;
  i64 b_k;      // b(k, n) = b[k * b_k + n]
  float* save;  // where b is copied to, NV vectors a row, while it is used (zeros beyond n); null: b is not copied
  float* c;
  i64 c_m;
  i64 n;      // columns that exist; all vectors but the last are whole
  bool more;  // sums go on from what c holds
  bool last;  // `finish` applies
  Finish finish;
};

using Tile = void (*)(const TileCall&);

// Rows of the tile that is NV vectors wide; 0: no such tile. Sums + NV + 1 (or rows + 1) registers must be there.
#if defined(__AVX512F__)
constexpr int kMainNV = 4;  // 6 x 64
constexpr int max_rows(int nv) {
  return nv == 1 ? 14 : nv == 2 ? 12 : nv == 3 ? 8 : nv == 4 ? 6 : nv == 6 ? 4 : nv == 8 ? 3 : nv == 16 ? 1 : 0;
}
#elif defined(__AVX2__)
constexpr int kMainNV = 2;  // 6 x 16
constexpr int max_rows(int nv) {
  return nv == 1 ? 12 : nv == 2 ? 6 : nv == 3 ? 4 : nv == 4 ? 3 : nv == 6 ? 2 : nv == 8 ? 1 : 0;
}
#elif defined(__ARM_NEON)
constexpr int kMainNV = 2;  // 8 x 8; 24 sums would fit, but g++ spills them
constexpr int max_rows(int nv) { return nv == 1 ? 12 : nv == 2 ? 8 : nv == 3 ? 6 : nv == 4 ? 4 : nv == 8 ? 2 : 0; }
#else
constexpr int kMainNV = 2;  // 4 x 8: multiplication overwrites an operand, so two registers are for products
constexpr int max_rows(int nv) { return nv == 1 ? 8 : nv == 2 ? 4 : nv == 3 ? 2 : nv == 4 ? 2 : nv == 8 ? 1 : 0; }
#endif
constexpr int kWidest = 16;

namespace tile {

// Row i of a: three rows share a pointer, since x86 addresses p, p + s and p + 2s without further registers.
template <int MR>
struct Rows {
  const float* p[(MR + 2) / 3];
  i64 s;
  NACRE_INLINE_MEMBER Rows(const float* a, i64 a_m) : s(a_m) {
    NACRE_UNROLL
    for (int i = 0; i < (MR + 2) / 3; ++i) p[i] = a + 3 * i * a_m;
  }
  NACRE_INLINE_MEMBER const float* address(int i) const { return p[i / 3] + (i % 3) * s; }
  NACRE_INLINE_MEMBER Vec at(int i) const { return set1(*address(i)); }
  NACRE_INLINE_MEMBER void step(i64 by) {
    NACRE_UNROLL
    for (int i = 0; i < (MR + 2) / 3; ++i) p[i] += by;
  }
};

template <int MR, int NV, bool save>
NACRE_INLINE void multiply(Vec (&sum)[MR][NV], const TileCall& t) {
  Rows<MR> a(t.a, t.a_m);
  const float* b = t.b;
  float* copy = t.save;
  const i64 a_k = t.a_k, b_k = t.b_k;
  const Mask last = first_lanes(save ? t.n - (NV - 1) * kLanes : kLanes);
  for (i64 k = t.K; k > 0; --k) {
    if constexpr (NV <= MR) {
      Vec row[NV];
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) {
        row[j] = save && j == NV - 1 ? load(b + j * kLanes, last) : load(b + j * kLanes);
        if (save) store(copy + j * kLanes, row[j]);
      }
      NACRE_UNROLL
      for (int i = 0; i < MR; ++i) {
        const Vec x = a.at(i);
        NACRE_UNROLL
        for (int j = 0; j < NV; ++j) sum[i][j] = fma(x, row[j], sum[i][j]);
      }
    } else {
      Vec x[MR];
      NACRE_UNROLL
      for (int i = 0; i < MR; ++i) x[i] = a.at(i);
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) {
        const Vec row = save && j == NV - 1 ? load(b + j * kLanes, last) : load(b + j * kLanes);
        if (save) store(copy + j * kLanes, row);
        NACRE_UNROLL
        for (int i = 0; i < MR; ++i) sum[i][j] = fma(x[i], row, sum[i][j]);
      }
    }
    a.step(a_k);
    b += b_k;
    if (save) copy += NV * kLanes;
  }
}

template <int MR, int NV>
NACRE_INLINE void start(Vec (&sum)[MR][NV], const TileCall& t) {
  const bool whole = t.n == NV * kLanes;
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) {
      const float* c = t.c + i * t.c_m + j * kLanes;
      sum[i][j] = !t.more ? zero() : j < NV - 1 || whole ? load(c) : load(c, t.n - j * kLanes);
    }
  }
}

template <int MR, int NV>
NACRE_INLINE void finish(Vec (&sum)[MR][NV], const TileCall& t) {
  const Finish& f = t.finish;
  const i64 rest = t.n - (NV - 1) * kLanes;
  if (f.bias) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) {
      const Vec bias = load(f.bias + j * kLanes, j < NV - 1 ? kLanes : rest);
      NACRE_UNROLL
      for (int i = 0; i < MR; ++i) sum[i][j] += bias;
    }
  }
  if (f.relu) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) {
      NACRE_UNROLL
      for (int i = 0; i < MR; ++i) sum[i][j] = max(zero(), sum[i][j]);
    }
  }
  if (f.mask) {
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) {
        const Vec h = load(f.mask + i * f.mask_m + j * kLanes, j < NV - 1 ? kLanes : rest);
        sum[i][j] = select(gt(h, zero()), sum[i][j]);
      }
    }
  }
}

template <int MR, int NV>
void run(const TileCall& t) {
  Vec sum[MR][NV];
  start(sum, t);
  if (t.save)
    multiply<MR, NV, true>(sum, t);
  else
    multiply<MR, NV, false>(sum, t);
  if (t.last) finish(sum, t);
  const i64 rest = t.n - (NV - 1) * kLanes;
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV - 1; ++j) store(t.c + i * t.c_m + j * kLanes, sum[i][j]);
    store(t.c + i * t.c_m + (NV - 1) * kLanes, sum[i][NV - 1], rest);
  }
}

}  // namespace tile
}  // namespace nacre::NACRE_ISA
