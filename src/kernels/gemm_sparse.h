// Products that skip zeros. What comes out of a relu is exactly 0 in half of its numbers, a picture of a digit or a bag of
// words in most: a row of c is the sum of those rows of b alone whose factor in a is not 0. Where a turns out to have so
// many zeros that it pays, the product is taken in this form. Part of gemm.cpp.
//
// The bits are those of the tiles. A skipped term would have added +0 or -0, which changes no sum but -0 into +0; so a sum
// that ends as -0 is taken again with all its terms, and so is every sum over numbers of which one is infinite or NaN.
#pragma once
#include "kernels/gemm.h"
#include "kernels/gemm_panels.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr bool kSkipsZeros = kLanes >= 8;
constexpr i64 kMostSteps = 64;                          // of k at a time, a bit each,
constexpr i64 kFarWidth = 8 * kLanes;                   // or half as many, with longer rows, for L1 to hold them
constexpr int kSparseVectors = kLanes == 16 ? 16 : 12;  // of a row of sums, at most: all in registers,
constexpr int kFewestVectors = 4;                       // and at least, or finding steps takes longer than adding
constexpr i64 kSparseWidth = kSparseVectors * kLanes;
constexpr i64 kSparseSums = 128 * kSparseWidth, kManySparseRows = 512;  // of sums at a time, as many as fit in here
constexpr i64 kSparseBlock = max_of(kMostSteps * kFarWidth, kMostSteps / 2 * kSparseWidth);
constexpr i64 kSparseFactors = kMostSteps * kManySparseRows;
constexpr i64 kSparseFloats = kSparseBlock + kSparseSums + kSparseFactors;  // of the workspace
constexpr i64 kPaysSkipping = 24;                                           // steps of k

// sums(i, :) = the sum over k of factor(i, k) v(k, :), where the bit k of steps[i] is set.
struct SparseCall {
  i64 rows;
  const float* factors;
  i64 factors_i;  // factor(i, k) = factors[i * factors_i + k]
  const u64* steps;
  u64 at_least;    // steps that count whatever the factor,
  u64 all;         // of the steps that there are
  const float* v;  // row after row, each as wide as the sums
  float* sums;
  i64 sums_row;
  bool more;             // sums go on
  const Update* update;  // instead of a store, SGD or momentum of whole vectors,
  i64 at, at_row;        // here
};

template <int NV>
void run_sparse(const SparseCall& call) {
  const SparseCall c = call;
  for (i64 i = 0; i < c.rows; ++i) {
    const float* factors = c.factors + i * c.factors_i;
    float* sums = c.sums + i * c.sums_row;
    for (u64 steps = c.steps[i] | c.at_least;; steps = c.all) {
      Vec sum[1][NV];
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) sum[0][j] = zero();
      if (c.more) {
        NACRE_UNROLL
        for (int j = 0; j < NV; ++j) sum[0][j] = load(sums + j * kLanes);
      }
      for (u64 left = steps; left != 0; left &= left - 1) {
        const i64 k = __builtin_ctzll(left);
        const Vec x = set1(factors[k]);
        const float* v = c.v + k * (NV * kLanes);
        NACRE_UNROLL
        for (int j = 0; j < NV; ++j) sum[0][j] = fma(x, load(v + j * kLanes), sum[0][j]);
      }
      VecI least = as_int(sum[0][0]);  // that of -0 is below all others
      NACRE_UNROLL
      for (int j = 1; j < NV; ++j) least = min(least, as_int(sum[0][j]));
      if (steps != c.all && any(eq(least, as_int(set1(-0.0f))))) continue;
      if (c.update) {
        if (c.update->rule == Rule::sgd) update::from_registers<false>(*c.update, sum, c.at + i * c.at_row, 0);
        else update::from_registers<true>(*c.update, sum, c.at + i * c.at_row, 0);
        break;
      }
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) store(sums + j * kLanes, sum[0][j]);
      break;
    }
  }
}

using SparseRun = void (*)(const SparseCall&);
struct SparseRuns {
  SparseRun at[kSparseVectors + 1] = {};
};
template <int NV>
constexpr void add_sparse(SparseRuns& t) {
  if constexpr (NV >= kFewestVectors) {
    t.at[NV] = &run_sparse<NV>;
    add_sparse<NV - 1>(t);
  }
}
constexpr SparseRuns sparse_runs() {
  SparseRuns t{};
  if constexpr (kSkipsZeros) add_sparse<kSparseVectors>(t);
  return t;
}
constexpr SparseRuns kSparseRuns = sparse_runs();

// The part of numbers that are not 0, by four of the rows.
NACRE_CALLED double density(const float* x, i64 row, i64 rows, i64 n) {
  const i64 looked = min_of(n, 256);
  i64 count = 0;
  NACRE_ROLLED
  for (int r = 0; r < 4; ++r) {
    NACRE_ROLLED
    for (i64 i = 0; i < looked; i += kLanes)
      count += __builtin_popcount(bits(ne(load(x + rows * r / 4 * row + i, looked - i), zero())));
  }
  return static_cast<double>(count) / static_cast<double>(4 * looked);
}

// Which steps count for some rows of a; where its columns are rows in memory, which may share sets of the cache, they
// are turned into `factors`.
NACRE_CALLED void find_steps(const float* a, i64 a_m, i64 a_k, i64 rows, i64 steps, float* factors, u64* to) {
  if (a_k == 1) {
    for (i64 i = 0; i < rows; ++i) {
      u64 found = 0;
      for (i64 k = 0; k < steps; k += kLanes) {
        // What the next steps look at, once a line: of rows far from each other the hardware foresees nothing.
        if (kLanes >= 16 || k % 16 == 0) prefetch(a + i * a_m + k + steps);
        found |= u64{bits(ne(load(a + i * a_m + k, steps - k), zero()))} << k;
      }
      to[i] = found;
    }
    return;
  }
  const i64 row = ceil_div(steps, kLanes) * kLanes;
  for (i64 i = 0; i < rows; i += kLanes) {
    u64 found[kLanes] = {};
    for (i64 k = 0; k < steps; k += kLanes) {
      Vec block[kLanes];
      NACRE_UNROLL
      for (int l = 0; l < kLanes; ++l) block[l] = k + l < steps ? load(a + (k + l) * a_k + i, rows - i) : zero();
      transpose(block);
      NACRE_UNROLL
      for (int l = 0; l < kLanes; ++l) {
        store(factors + (i + l) * row + k, block[l]);
        found[l] |= u64{bits(ne(block[l], zero()))} << k;
      }
    }
    for (i64 l = 0; l < min_of(kLanes, rows - i); ++l) to[i + l] = found[l];
  }
}

// What is larger as integers than all finite numbers.
NACRE_INLINE VecI magnitude(Vec x) { return as_int(x) & set1i(0x7fffffff); }
NACRE_INLINE bool all_finite(VecI largest) { return !any(gt(largest, set1i(0x7f7fffff))); }

// copy_panel, and whether all that was copied is finite
NACRE_CALLED bool copy_finite(const float* b, i64 b_k, i64 rows, i64 n, i64 width, float* to) {
  VecI largest = set1i(0);
  for (i64 k = 0; k < rows; ++k) {
    for (i64 v = 0; v < width; v += kLanes) {
      const Vec x = load(b + k * b_k + v, n - v);
      largest = max(largest, magnitude(x));
      store(to + k * width + v, x);
    }
  }
  return all_finite(largest);
}

// The same where columns of b are rows in memory.
NACRE_CALLED bool turn_finite(const float* b, i64 b_n, i64 rows, i64 n, i64 width, float* to) {
  pack_turned(b, b_n, rows, n, width, to);
  VecI largest = set1i(0);
  for (i64 i = 0; i < rows * width; i += kLanes) largest = max(largest, magnitude(load(to + i)));
  return all_finite(largest);
}

NACRE_CALLED void put_rows(const float* sums, i64 width, i64 rows, i64 n, float* c, i64 c_m, const Finish& f) {
  for (i64 v = 0; v < n; v += kLanes) {
    const Vec bias = f.bias ? load(f.bias + v, n - v) : zero();
    for (i64 m = 0; m < rows; ++m)
      store(c + m * c_m + v, finished(load(sums + m * width + v), bias, f, m, v, n - v), n - v);
  }
}

// Cycles for `steps` steps of k of a row of sums, beside those of the tiles.
bool pays_skipping(double density, i64 vectors, i64 steps, i64 rows, bool turns) {
  const double nv = static_cast<double>(vectors), k = static_cast<double>(steps);
  const double copying = (turns ? kLanes / 2 : 1.2) * k * nv / static_cast<double>(rows);
  const double finding = 0.5 * k / kLanes * 4 + 25;  // and a branch that is mispredicted where a sum ends
  const double step = nv < 7 ? 4 : (nv + 1) / 2;     // what a sum waits for the one before, or loads
  return density * k * step + 1.5 * nv + copying + finding < 0.92 * k * nv / 2;
}

// Columns n0..n1 of rows m0..m1 of c, if that pays; `workspace` takes kSparseFloats. `turns`: b, which tiles would not.
NACRE_CALLED bool sparse_rectangle(const Product& p, bool turns, const Operands& at, float* workspace, i64 m0, i64 m1,
                                   i64 n0, i64 n1) {
  const float* a = at.a + m0 * p.a_m;
  const i64 vectors = ceil_div(n1 - n0, kLanes), pieces = ceil_div(vectors, kSparseVectors), rows = m1 - m0;
  if (vectors < kFewestVectors * pieces || rows < 4) return false;
  const double some = p.a_k == 1 ? density(a, p.a_m, rows, p.K) : density(a, p.a_k, p.K, rows);
  const i64 widest = ceil_div(vectors, pieces) * kLanes, depth = widest > kFarWidth ? kMostSteps / 2 : kMostSteps;
  const Update* update = at.finish.update;
  const bool simple = update && !update->decays && (update->rule == Rule::sgd || update->rule == Rule::momentum);
  const bool finishes = update || at.finish.bias || at.finish.relu || at.finish.mask;
  const bool columns_of_a = p.a_k != 1, cut = p.K > depth,
             stays = cut || (n1 - n0) % kLanes != 0 || (finishes && !simple);
  const i64 most = stays ? min_of(kManySparseRows, kSparseSums / widest) : kManySparseRows;
  const i64 block = ceil_div(rows, ceil_div(rows, most));
  if (!pays_skipping(some, vectors / pieces, min_of(p.K, depth), block, turns)) return false;

  float *near = workspace, *memory = near + kSparseBlock, *turned = memory + kSparseSums;
  const bool keeps = ceil_div(p.K, depth) * depth * block <= kSparseFactors;  // for the next piece
  u64 found[kSparseFactors / (kMostSteps / 2)];
  for (i64 m = m0; m < m1; m += block) {
    const i64 count = min_of(block, m1 - m);
    for (i64 piece = 0; piece < pieces; ++piece) {
      const i64 first = vectors * piece / pieces, nv = vectors * (piece + 1) / pieces - first;
      const i64 n = n0 + first * kLanes, width = nv * kLanes, wide = min_of(width, n1 - n), to = m * p.c_m + n;
      const bool whole = wide == width, straight = !finishes && whole;
      float* sums = straight ? at.c + to : memory;
      bool updated = false;
      for (i64 k = 0; k < p.K; k += depth) {
        const i64 kc = min_of(depth, p.K - k);
        const float* factors = at.a + m * p.a_m + k * p.a_k;
        const float* b = at.b + k * p.b_k + n * p.b_n;
        const bool finite =
            p.b_n == 1 ? copy_finite(b, p.b_k, kc, wide, width, near) : turn_finite(b, p.b_n, kc, wide, width, near);
        const u64 all = ~u64{0} >> (64 - kc);
        float* const columns = turned + (keeps ? k * count : 0);
        u64* const steps = found + (keeps ? k / depth * count : 0);
        if (!keeps || piece == 0) find_steps(factors, p.a_m, p.a_k, count, kc, columns, steps);
        updated = simple && whole && k + kc == p.K;
        kSparseRuns.at[nv]({count, columns_of_a ? columns : factors,
                            columns_of_a ? ceil_div(kc, kLanes) * kLanes : p.a_m, steps, finite ? 0 : all, all, near,
                            sums, straight ? p.c_m : width, k > 0, updated ? update : nullptr, to, p.c_m});
      }
      if (straight || updated) continue;
      if (!update) put_rows(sums, width, count, wide, at.c + to, p.c_m, finish_at(at.finish, m, n));
      for (i64 i = 0; i < count && update; ++i)
        update::from_memory(*update, sums + i * width, 1, static_cast<int>(nv), to + i * p.c_m, p.c_m,
                            wide - (nv - 1) * kLanes);
    }
  }
  return true;
}

}  // namespace
}  // namespace nacre::NACRE_ISA
