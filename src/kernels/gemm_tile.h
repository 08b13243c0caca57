// The register tile of every matrix product: MR rows of a (broadcast) times NV vectors of b, all sums in registers.
// Row form: vectors run along the columns of c, so c, bias and mask are whole vectors and row-major a needs no packing.
// Each element of c is one chain of fused multiply-adds in the order of k, whatever the tile; cutting k and going on
// from the stored sum gives the same bits. A panel of so few sums that they would wait for themselves has several chains.
#pragma once
#include "kernels/gemm_update.h"

namespace nacre::NACRE_ISA {

// What happens to a finished sum: + bias[n], then max(0, .), then 0 where the mask is not positive.
struct Finish {
  const float* bias = nullptr;
  const float* mask = nullptr;
  i64 mask_m = 0;
  bool relu = false;
  const Update* update = nullptr;  // instead of a store: c then only says where in the arrays of the update
};

// Some panels of b side by side on their way into panel order, row by row of b: whole vectors only.
struct PanelCopy {
  const float* from = nullptr;
  float* to = nullptr;
  i64 left = 0;         // pieces (rows of a panel) to go
  i64 pieces = 0;       // in a row
  i64 piece = 0;        // of the row at hand
  i64 from_k = 0;       // b(k, n) = from[k * from_k + n]
  i64 to_panel = 0;     // floats from copied panel to copied panel
  i64 ahead = 0;        // how far ahead of what is copied b is asked for
  bool copies = false;  // else it is only asked for

  // Behind a piece of so many floats.
  NACRE_INLINE_MEMBER void step(i64 width) {
    from += width;
    to += to_panel;
    if (++piece < pieces) return;
    piece = 0;
    from += from_k - pieces * width;
    to += width - pieces * to_panel;
  }
};

// A run of equal tiles, one below the other or side by side: from tile to tile the operands move by the steps.
struct TileCall {
  i64 tiles;
  i64 a_step, b_step, c_step, sums_step, mask_step, bias_step;
  i64 K;
  const float* a;
  i64 a_m, a_k;  // a(m, k) = a[m * a_m + k * a_k]
  const float* b;
  i64 b_k;      // b(k, n) = b[k * b_k + n]
  float* save;  // the first tile copies b to here, NV vectors a row, and the others, below it, read that; null: no
                // copy. Columns beyond n are not read then, and copied as 0, where masks are free; else b must be whole
  PanelCopy next;    // what tiles behind the first copy for later, a vector with each step of k (main tiles), or only
                     // ask for, NV vectors with each step (tiles of few rows)
  bool chained;      // few sums, which chains of every second, or fourth or eighth, step of k add up
  bool asks_a;       // main tiles, and those two vectors wide, that copy nothing ask for what the next one needs of a
  bool asks_update;  // or for what the next one will update:
  update::Below below;
  FarLines* far;  // or, into L2, for their share of these; null: nothing
  float* c;
  i64 c_m;
  float* sums;  // where sums are that go on, as a rule c
  i64 sums_m;
  i64 n;         // columns that exist; all vectors but the last are whole
  bool more;     // sums go on from `sums`
  bool last;     // they are finished and go to c
  bool streams;  // c goes to memory: nobody reads it soon, and whole vectors lie at multiples of their size
  Finish finish;
};

using Tile = void (*)(TileCall&);  // counts `next` on

// Rows of the tile that is NV vectors wide; 0: no such tile. Sums + NV + 1 (or rows + 1) registers must be there.
#if defined(__AVX512F__)
constexpr bool kFreeMasks = true;    // a masked load costs what a load costs, and no vector register
constexpr bool kCopiesAhead = true;  // registers are left for copying while sums grow
constexpr int kMainNV = 4;           // 6 x 64
constexpr int max_rows(int nv) {
  return nv == 1 ? 14 : nv == 2 ? 12 : nv == 3 ? 8 : nv == 4 ? 6 : nv == 6 ? 4 : nv == 8 ? 3 : nv == 16 ? 1 : 0;
}
#elif defined(__AVX2__)
constexpr bool kFreeMasks = false, kCopiesAhead = true;
constexpr int kMainNV = 2;  // 6 x 16
constexpr int max_rows(int nv) {
  return nv == 1 ? 12 : nv == 2 ? 6 : nv == 3 ? 4 : nv == 4 || nv == 6 ? 2 : nv == 8 || nv == 12 ? 1 : 0;
}
#elif defined(__ARM_NEON)
constexpr bool kFreeMasks = false, kCopiesAhead = true;
constexpr int kMainNV = 2;  // 8 x 8; 24 sums would fit, but g++ spills them
constexpr int max_rows(int nv) { return nv == 1 ? 12 : nv == 2 ? 8 : nv == 3 ? 6 : nv == 4 ? 4 : nv == 8 ? 2 : 0; }
#else
constexpr bool kFreeMasks = false, kCopiesAhead = false;
constexpr int kMainNV = 2;  // 4 x 8: multiplication overwrites an operand, so two registers are for products
constexpr int max_rows(int nv) { return nv == 1 ? 8 : nv == 2 ? 4 : nv == 3 ? 2 : nv == 4 ? 2 : nv == 8 ? 1 : 0; }
#endif
constexpr bool kMasked = kLanes >= 8;  // a masked load is an instruction
constexpr int kWidest = 16;
// So few sums wait for themselves: two multiply-adds a cycle, of four cycles each, keep eight at work. Where a mask for the
// columns that exist costs a register, twice as many read b through it once sooner than copy it.
constexpr int kFewSums = 32 / kLanes;
constexpr int few_sums(int nv) { return !kFreeMasks && nv <= 2 ? 2 * kFewSums : kFewSums; }
// Tiles of as many sums as the main ones, in fewer or longer runs, for a few of them below each other on b from memory.
constexpr int kBlockNV = 3 * max_rows(3) >= kMainNV * max_rows(kMainNV) ? 3 : 0;
constexpr int kRowByRow = kBlockNV > 0 ? 4 : 1;  // rows of a that meet b row by row
constexpr i64 kLongRun = 128;                    // columns, of rows of c that are written in long runs
constexpr i64 kPaysAsking = 32;                  // steps of k that hide the requests for what comes after them

// Few rows: as many columns as the registers hold, so that b is read once and in long runs.
constexpr int widest_panel(i64 M) {
  for (int nv = kMainNV; nv > 1; --nv)
    if (M > max_rows(kMainNV) && max_rows(nv) >= M) return nv;
  int best = kMainNV;
  for (int nv = kMainNV + 1; nv <= kWidest; ++nv)
    if (max_rows(nv) >= max_of(M, 1)) best = nv;
  // as many tiles of fewer rows and more columns: 8 rows are 4 + 4
  const auto tiles = [&](int nv) { return ceil_div(M, max_of(1, max_rows(nv))); };
  const int wider = kMainNV + 1;
  if (best == kMainNV && M > max_rows(kMainNV) && M <= 2 * max_rows(wider) && tiles(wider) == tiles(kMainNV))
    best = wider;
  return best;
}

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

// Where the tile at hand stands.
struct At {
  const float* a;
  const float* b;
  i64 b_k;
  const float* sums;
  float* to;
  const float* mask;
  const float* bias;
};

// Steps of k from the front, and a piece of the next panels for each NV of them; returns how many steps.
template <int MR, int NV>
NACRE_INLINE i64 multiply_copying(Vec (&sum)[MR][NV], TileCall& t, const At& at) {
  Rows<MR> a(at.a, t.a_m);
  const float* b = at.b;
  const i64 a_k = t.a_k, b_k = at.b_k, pieces = min_of(t.K / NV, t.next.left);
  PanelCopy next = t.next;
  int v = 0;
  for (i64 left = pieces * NV; left > 0; --left) {
    prefetch(next.from + next.ahead + v);
    store(next.to + v, load(next.from + v));
    Vec row[NV];
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) row[j] = load(b + j * kLanes);
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const Vec x = a.at(i);
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) sum[i][j] = fma(x, row[j], sum[i][j]);
    }
    a.step(a_k);
    b += b_k;
    v += kLanes;
    if (v == NV * kLanes) {
      v = 0;
      next.step(NV * kLanes);
    }
  }
  next.left -= pieces;
  t.next = next;
  return pieces * NV;
}

// Asking: for what `next` says, into L1 or L2, or for a, or for what an update is about to change, or for `far`.
enum Reading { kPlain, kSave, kAsk, kAskFar, kAskForA, kAskForUpdate, kAskForLines };

// The lines of a that the tile behind this one reads: its rows one after the other, or, where columns of a are rows in
// memory, what lies beside the rows of this one.
template <int MR>
NACRE_INLINE Lines next_of_a(const TileCall& t, const float* a) {
  if (t.a_m == 1) return {a + Lines::kLine, t.a_k, t.K, 0, t.K, t.K};
  const i64 lines = t.K / Lines::kLine + 1;
  return {a + t.a_step, Lines::kLine, lines, t.a_m - lines * Lines::kLine, lines, MR * lines};
}

// Steps of k from k0 up to k1.
template <int MR, int NV, Reading reading>
NACRE_INLINE void multiply(Vec (&sum)[MR][NV], TileCall& t, const At& at, i64 k0, i64 k1) {
  constexpr bool save = reading == kSave;
  Rows<MR> a(at.a + k0 * t.a_k, t.a_m);
  const float* b = at.b + k0 * at.b_k;
  float* copy = t.save;
  const i64 a_k = t.a_k, b_k = at.b_k;
  const Mask last = first_lanes(save ? t.n - (NV - 1) * kLanes : kLanes);
  PanelCopy next;
  constexpr bool asks = reading == kAsk || reading == kAskFar;
  if (asks) next = t.next;
  Lines of_a;
  if (reading == kAskForA) of_a = next_of_a<MR>(t, at.a);
  update::Below below;
  if (reading == kAskForUpdate) below = t.below;
  Lines lines;
  if (reading == kAskForLines) lines = t.far->now;
  const i64 second = reading == kAskForLines ? t.far->second : 0;
  for (i64 k = k1 - k0; k > 0; --k) {
    if (reading == kAskForLines) {
      prefetch_far(lines.at);
      prefetch_far(lines.at + second);
      lines.step();
    }
    if (reading == kAskForA) {
      prefetch(of_a.at);
      of_a.step();
    }
    if (reading == kAskForUpdate) below.ask();
    if (asks) {
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) (reading == kAsk ? prefetch : prefetch_far)(next.from + j * kLanes);
      next.step(NV * kLanes);
    }
    if constexpr (NV <= MR) {
      Vec row[NV];
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) {
        if (save) prefetch(b + 4 * b_k + j * kLanes);  // first touch of b; long strides defeat the hardware's guesses
        row[j] = save && kFreeMasks && j == NV - 1 ? load(b + j * kLanes, last) : load(b + j * kLanes);
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
        const bool masked = save && kFreeMasks && j == NV - 1;
        const Vec row = in_register(masked ? load(b + j * kLanes, last) : load(b + j * kLanes));
        if (save) store(copy + j * kLanes, row);
        NACRE_UNROLL
        for (int i = 0; i < MR; ++i) sum[i][j] = fma(x[i], row, sum[i][j]);
      }
    }
    a.step(a_k);
    b += b_k;
    if (save) copy += NV * kLanes;
  }
  if (asks) {
    t.next = next;
    t.next.left -= t.K;
  }
  if (reading == kAskForUpdate) t.below = below;
  if (reading == kAskForLines) {
    t.far->now.at = lines.at;
    t.far->now.left = lines.left;
  }
}

// All steps of k in chains, which are added up in a fixed tree.
template <int MR, int NV>
NACRE_INLINE void multiply_chained(Vec (&sum)[MR][NV], const TileCall& t, const At& at, i64 rest) {
  constexpr int sums = MR * NV, chains = sums == 1 ? 8 : sums == 2 ? 4 : sums <= kFewSums ? 2 : 1;
  Vec of[chains * sums];
  NACRE_UNROLL
  for (int i = 0; i < chains * sums; ++i) of[i] = i < sums ? sum[i % MR][i % sums / MR] : zero();
  Rows<MR> a(at.a, t.a_m);
  const float* b = at.b;
  const i64 a_k = t.a_k, b_k = at.b_k;
  const Mask last = first_lanes(rest);
  const auto steps = [&](auto count) __attribute__((always_inline)) {  // one loop: of nested ones sums go to the stack
    Vec row;
    NACRE_UNROLL
    for (int s = 0; s < count.value * sums; ++s) {
      const int i = s % MR, j = s % sums / MR;
      if (i == 0) row = j == NV - 1 ? load(b + j * kLanes, last) : load(b + j * kLanes);
      of[s] = fma(a.at(i), row, of[s]);
      if (s % sums == sums - 1) a.step(a_k), b += b_k;
    }
  };
  i64 k = t.K;
  for (; k >= chains; k -= chains) steps(Number<chains>{});
  for (; k > 0; --k) steps(Number<1>{});
  NACRE_UNROLL
  for (int s = 3; s > 0; --s) {  // a tree; halves of chains * sums
    const int half = chains * sums >> (4 - s);
    NACRE_UNROLL
    for (int i = 0; i < half; ++i) {
      if (half >= sums) of[i] += of[i + half];
    }
  }
  NACRE_UNROLL
  for (int i = 0; i < sums; ++i) sum[i % MR][i / MR] = of[i];
}

template <int MR, int NV>
NACRE_INLINE void start(Vec (&sum)[MR][NV], const TileCall& t, const float* sums, i64 rest) {
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) sum[i][j] = zero();
  }
  if (!t.more) return;
  const Mask last = first_lanes(rest);
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) {
      const float* p = sums + i * t.sums_m + j * kLanes;
      sum[i][j] = j < NV - 1 ? load(p) : load(p, last);
    }
  }
}

template <int MR, int NV>
NACRE_INLINE void finish(Vec (&sum)[MR][NV], const Finish& f, const At& at, i64 rest) {
  if (at.bias) {
    const Mask last = first_lanes(rest);
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) {
      const Vec bias = in_register(j < NV - 1 ? load(at.bias + j * kLanes) : load(at.bias + j * kLanes, last));
      NACRE_UNROLL
      for (int i = 0; i < MR; ++i) sum[i][j] += bias;
    }
  }
  if (f.relu) {
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) sum[i][j] = max(zero(), sum[i][j]);
    }
  }
  if (at.mask) {
    const Mask last = first_lanes(rest);
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) {
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) {
        const float* p = at.mask + i * f.mask_m + j * kLanes;
        sum[i][j] = select(gt(j < NV - 1 ? load(p) : load(p, last), zero()), sum[i][j]);
      }
    }
  }
}

template <int MR, int NV, class Store, class StoreLast>
NACRE_INLINE void put(const Vec (&sum)[MR][NV], float* c, i64 c_m, Store store, StoreLast store_last) {
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i, c = row_below(c, c_m)) {
    NACRE_UNROLL
    for (int j = 0; j < NV - 1; ++j) store(c + j * kLanes, sum[i][j]);
    store_last(c + (NV - 1) * kLanes, sum[i][NV - 1]);
  }
}

template <int MR, int NV>
void run(TileCall& t) {
  constexpr bool main = NV == kMainNV && MR + 2 >= max_rows(NV);  // most of the work; worth more code
  constexpr bool asks_lines = kLanes >= 8 && NV <= kMainNV && 4 * MR >= 3 * max_rows(NV);
  constexpr bool asks_a = (NV == kMainNV || NV == 2) && MR + 2 >= max_rows(NV);
  // few rows: panels as wide as can be, and half of that for one row
  constexpr bool asks_b = NV != kMainNV && (NV == widest_panel(MR) || (NV == kBlockNV && MR + 2 >= max_rows(NV)) ||
                                            (MR == 1 && 2 * NV == kWidest));
  constexpr bool few = kMasked && MR * NV <= few_sums(NV);
  constexpr bool updates = main || (NV * kLanes == kLongRun && MR + 1 >= max_rows(NV));
  At at{t.a, t.b, t.b_k, t.sums, t.last ? t.c : t.sums, t.finish.mask, t.finish.bias};
  const i64 rest = t.n - (NV - 1) * kLanes;
  const i64 to_m = t.last ? t.c_m : t.sums_m, to_step = t.last ? t.c_step : t.sums_step;
  const Update* update = t.last ? t.finish.update : nullptr;
  const bool asks_mask = main && t.finish.mask && t.last && t.K >= kPaysAsking;
  const auto plain = [](float* p, Vec v) __attribute__((always_inline)) { store(p, v); };
  const auto past = [](float* p, Vec v) __attribute__((always_inline)) { stream(p, v); };
  for (i64 tiles = t.tiles; tiles > 0; --tiles) {
    Vec sum[MR][NV];
    if (update && !(main && t.asks_update)) update::ask<MR, NV>(*update, at.to - update->w_out, to_m);
    if (asks_mask) ask_tile<MR, NV>(at.mask, t.finish.mask_m);
    const i64 lines = asks_lines && t.far && !(t.save && tiles == t.tiles) ? t.far->share(t.K)
                                                                           : 0;  // before any sum is in a register
    start(sum, t, at.sums, rest);
    if (few && t.chained) {
      if constexpr (few) multiply_chained(sum, t, at, rest);
      at.b += t.b_step;
    } else if (t.save && tiles == t.tiles) {
      multiply<MR, NV, kSave>(sum, t, at, 0, t.K);
      at.b = t.save;
      at.b_k = NV * kLanes;
    } else {
      const bool next = t.next.left > 0;
      i64 k = 0;  // steps behind which nothing is left to ask for
      if (main && kCopiesAhead && next && t.next.copies) {
        k = multiply_copying(sum, t, at);
      } else if (main && t.asks_update) {
        k = min_of(MR * ceil_div(NV * kLanes, Lines::kLine), t.below.weights.count);
        multiply<MR, NV, kAskForUpdate>(sum, t, at, 0, k);
      } else if (asks_lines && lines > 0) {
        k = lines;
        multiply<MR, NV, kAskForLines>(sum, t, at, 0, k);
      } else if (asks_a && t.asks_a) {
        k = min_of(t.K, next_of_a<MR>(t, at.a).count);
        multiply<MR, NV, kAskForA>(sum, t, at, 0, k);
      } else if (asks_b && next && !t.next.copies) {
        k = t.K;
        if (t.next.pieces > 1) multiply<MR, NV, kAskFar>(sum, t, at, 0, k);
        else multiply<MR, NV, kAsk>(sum, t, at, 0, k);
      } else {
        k = t.K;
        multiply<MR, NV, kPlain>(sum, t, at, 0, k);
      }
      if (k < t.K) multiply<MR, NV, kPlain>(sum, t, at, k, t.K);
      at.b += t.b_step;
    }
    if (update) {
      update::apply<updates>(*update, sum, at.to - update->w_out, to_m, rest);
    } else {
      if (t.last) finish(sum, t.finish, at, rest);
      // whole lines written without a mask need not be read first
      if (main && t.streams && t.n == NV * kLanes) {
        put(sum, at.to, to_m, past, past);
      } else if (t.n == NV * kLanes) {
        put(sum, at.to, to_m, plain, plain);
      } else {
        const Mask last = first_lanes(rest);
        put(sum, at.to, to_m, plain, [last](float* p, Vec v) __attribute__((always_inline)) { store(p, v, last); });
      }
    }
    if (asks_lines && t.far) t.far->asked(lines);
    at.a += t.a_step;
    at.sums += t.sums_step;
    at.to += to_step;
    if (at.mask) at.mask += t.mask_step;
    if (at.bias) at.bias += t.bias_step;
  }
}

}  // namespace tile
}  // namespace nacre::NACRE_ISA
