// How a product is run, a pure function of its shape: the form, the tiles, the cuts, what is copied and what is asked
// for ahead. Part of gemm.cpp.
#pragma once
#include "kernels/gemm.h"
#include "kernels/gemm_dots.h"
#include "kernels/gemm_folded.h"
#include "kernels/gemm_panels.h"
#include "kernels/gemm_row_by_row.h"
#include "kernels/gemm_sparse.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kDepth = 1024;  // steps of k per pass: a panel of 64 x 1024 floats (256 KiB) streams from L2
constexpr double kDotEnd = kLanes == 16 ? 2.6 : 1.3;  // cycles for adding the lanes of a sum
constexpr i64 kLongDots = 512;                        // steps of k that make up for tiles of few columns
constexpr i64 kDotDepth = 768;                        // in the dot form: eight rows take 24 KiB of L1
constexpr int kPendingTiles = 16;
constexpr i64 kOneSet = 1024;      // floats: rows so far apart, or a multiple, share one set of L1
constexpr i64 kColumnDepth = 128;  // steps of k per pass where columns of a are rows in memory that share cache sets
constexpr i64 kSameSet = kLanes == 16 ? 8192 : 1024;          // floats from one to the next where they must be copied,
constexpr i64 kCopiedFloats = 192 * 1024, kCopiedRows = 384;  // so many at a time,
constexpr i64 kPaysACopyOfA = 64;                             // if as many columns make up for it
constexpr i64 kSumRows = 512;                                 // of unfinished sums that are kept apart: 128 KiB of L2
constexpr i64 kFewRows = 256;              // with more, going through c for every few steps of k costs more than b does
constexpr i64 kFarDepth = 128;             // the same where b comes from memory, which gives its best in runs of a KiB:
constexpr i64 kMostGrouped = 4;            // as many panels are then copied together,
constexpr i64 kPanelsAtOnce = 128 * 1024;  // if those at hand and the next fit half of L2
constexpr double kNearFloats = 1024 * 1024;          // of b: what L3 gives at any stride
constexpr double kL2Floats = 192 * 1024;             // from here up to
constexpr double kL3Floats = 4 * 1024 * 1024;        // here asking ahead gains a fifth: 125 GB/s, not 105
constexpr i64 kLongRow = 1000;                       // of b: shorter ones follow each other closely enough
constexpr i64 kAskedRows = 4, kAskedRowsOfOne = 12;  // of b, before they are copied
constexpr i64 kRowsAhead = 8;                        // of b, before few rows of a meet them; from memory rather blocks,
constexpr i64 kAskedDepth = 32, kAskedFloats = 384;  // in runs of 1.5 KiB
constexpr i64 kPaysACopyOfB = 4;                     // tiles that read it,
constexpr i64 kPaysACopyOfFar = 2;                   // if its rows share sets of caches or come from memory
constexpr double kSharedFloats = kFreeMasks ? kNearFloats : kL2Floats;  // of b, whose rows share sets of caches
constexpr i64 kFewTiles = kLanes == 16 ? 2 : 8;  // of one panel, that meet a block of b from memory
// A gradient of weights over rows from memory: all of c stays in L2, beside the rows at hand and those that are asked for.
constexpr i64 kFarSums = 64 * 1024, kFarFloats = 64 * 1024;  // of c; of such rows,
constexpr i64 kFarLeast = 64, kFarMost = 128;                // as many as that;
constexpr i64 kShortRows = 200;                              // floats of both: as many stay in L1, and none is copied
constexpr i64 kFarSteps = 1024, kFarUnit = 16 * 1024;        // of k that pay; sums of a unit
constexpr double kFirstTile = 0.28;                          // cycles that the first tile waits for a float of a panel
constexpr i64 kStreamed = 8 * 1024 * 1024;  // floats of c that no cache keeps until somebody reads them
constexpr i64 kUnitWork = 128 * 1024;       // multiply-adds a unit should have: about 2 us
constexpr i64 kRowsForB = 4;                // of a, that take as long as reading b does
constexpr i64 kMostUnits = 4096;
constexpr i64 kCoarseWork = 256 * 1024, kCoarseColumns = 128, kCoarseRows = 60;  // where zeros may be skipped
constexpr i64 kManyUnits = 48;                                                   // for as many threads
constexpr i64 kFewToSkip = 64;                                                   // rows, or steps of k
constexpr i64 kTilesAhead = 2;          // of an update's arrays: about what another core takes to hand a line over
constexpr i64 kTilesInPlace = 24;       // that read b where it is, if panels are wide,
constexpr i64 kWideRow = 64;            // which takes four lines,
constexpr i64 kPanelInL1 = 8 * 1024;    // and unless copies stay in L1, where aliased rows do not
constexpr i64 kNearBlock = 160 * 1024;  // floats of a that stay in L2 while panels pass; more are asked for in time
constexpr i64 kFewFloats = 64 * 1024;   // of an operand: a quarter of L2
constexpr i64 kFewSteps = 12;           // of k: with so few the stores of c count
constexpr double kFarRow = 256 * 1024;  // floats of b in L3 that one row meets in few columns
constexpr i64 kTurnedRows = 384;        // rows of a block of c^T before it is turned

enum class Form { rows, packed, swapped_rows, swapped_packed, dots, folded, swapped_folded };

struct Plan {
  Product p;  // as it is run: swapped where the form says so
  Form form;
  bool swaps = false;
  int nv = 1;  // vectors of a panel; in the dot form: columns of a tile
  int mr = 1;  // rows of a tile
  Panels panels;
  i64 kc = 0;                // steps of k per pass
  i64 mb = 1, m_blocks = 0;  // rows per unit
  i64 nb = 1, n_blocks = 0;  // panels (dot form: columns) per unit
  bool n_inner = false;      // units of the same rows follow each other
  bool side_by_side = false;
  bool row_by_row = false;    // gemm_row_by_row.h
  bool asks_rows = false;     // the rows of b are asked for a little ahead of their use,
  bool asks_blocks = false;   // or a whole block is while the one before it is in use
  bool asks_a = false;        // tiles ask for the rows of a behind them
  bool in_place = false;      // whole panels of b are read where they are
  bool copies_ahead = false;  // the next block of b is copied while one is in use
  i64 group = 1;              // panels of a block
  bool far = false;           // what follows the rows at hand of both operands is asked for
  i64 pays_copy = kPaysACopyOfB;
  bool k_outer = true;       // all columns for some steps of k, not the other way round
  i64 rows = 1;              // of a at a time
  bool skips_zeros = false;  // where an operand turns out to have many
  i64 packed_floats = 0, turned_floats = 0, a_floats = 0;
};

i64 padded(i64 n) { return ceil_div(n, kLanes) * kLanes; }
// A distance for rows of n floats that keeps them in different cache sets.
i64 apart(i64 n) { return padded(n) + (aliased(padded(n)) ? 16 : 0); }

bool is_far(const Product& p) {
  const bool wide = min_of(p.M, p.N) >= kLanes && p.N <= kFarSums / p.M;
  return p.far && wide && p.K >= kFarSteps && p.a_m == 1 && p.b_n == 1 && p.a_k > 1 && p.b_k > 1 && !p.whole;
}

// Cycles, roughly, at two multiply-adds per cycle; the weights of packing, turning and adding lanes were measured on
// Zen 5 with 512-bit vectors. The lanes of a sum take 3.0 there and 2.2 on Zen 4, a pair of a folded row 0.28 and 0.35 a
// step: what is here lies between.
Form choose_form(const Product& p) {
  const double M = static_cast<double>(p.M), N = static_cast<double>(p.N), K = static_cast<double>(p.K);
  if (p.M == 0 || p.N == 0 || p.K == 0) return p.b_n == 1 ? Form::rows : Form::packed;
  constexpr double lane = 1.0 / (2 * kLanes);                                      // of a step
  const auto lanes = [](i64 n) { return lane * static_cast<double>(padded(n)); };  // idle ones cost the same
  const bool turn_b = p.b_n != 1, turn_a = p.a_m != 1;                             // swapped, a has the part of b
  // Blocks are turned whole; far ones come from everywhere.
  const double turn = (K * N >= kNearFloats ? 1.2 : 0.3) * 2 * kLanes * lanes(p.K);
  double straight = M * K * lanes(p.N) + (turn_b ? turn * N : 0.0);
  double swapped = N * K * lanes(p.M) + (turn_a ? 0.3 * K * M : 0.0) + 0.5 * M * N;
  if (is_far(p)) {
    straight += kFirstTile * K * N;
    swapped += kFirstTile * K * M;
  }
  if (p.b_k == 1 && p.M <= kLanes && p.b_n % kOneSet == 0) swapped *= 2;  // tall tiles, whose rows share a set
  double dots = 1e300;
  const bool few = p.M <= kMaxDotRows || p.N <= kMaxDotColumns;
  if (p.a_k == 1 && p.b_k == 1 && few) {  // vectors that cross lines take two loads; far rows come from everywhere
    const double load = K * N > kNearFloats ? 1.8 : p.a_m % 16 != 0 || p.b_n % 16 != 0 ? 1.03 + 0.014 * kLanes : 1.03;
    dots = load * M * N * lanes(p.K) + kDotEnd * M * N;
  }
  if (p.a_k == 1 && p.b_n == 1 && p.N <= kMaxDotColumns && p.K * p.N <= kFewFloats)
    dots = 1.03 * M * N * lanes(p.K) + kDotEnd * M * N + (kLanes == 16 ? 0.4 : 0.8) * K * N;
  // rows of a by pairs along k
  const auto folded = [&](double rows) { return 0.315 * rows * K + 6 * rows + 1.3 * K; };
  double best = dots < straight ? dots : straight;
  if (swapped < best) best = swapped;
  if (p.a_k == 1 && p.N <= kFoldedColumns && folded(M) < best) return Form::folded;
  if (p.b_k == 1 && p.M <= kFoldedColumns && folded(N) < best) return Form::swapped_folded;
  if (dots < straight && dots < swapped) return Form::dots;
  if (straight <= swapped) return turn_b ? Form::packed : Form::rows;
  return turn_a ? Form::swapped_packed : Form::swapped_rows;
}

Product swapped(const Product& p) {
  return {p.N, p.M, p.K, p.b_n, p.b_k, p.a_k, p.a_m, p.c_m, p.whole, p.apart, p.far};
}

bool in_l3(double floats) { return floats > kL2Floats && floats <= kL3Floats; }

void lay_grid(Plan& s, i64 columns, double work_per_row) {
  const i64 M = s.p.M;
  if (static_cast<double>(M) * static_cast<double>(columns) * work_per_row <= static_cast<double>(kUnitWork)) {
    s.mb = max_of(M, 1);
    s.nb = max_of(columns, 1);
    s.m_blocks = M > 0 ? 1 : 0;
    s.n_blocks = columns > 0 ? 1 : 0;
    return;
  }
  const double rows = work_per_row > 0 ? static_cast<double>(kUnitWork) / work_per_row : static_cast<double>(M);
  s.mb = rows >= static_cast<double>(M) ? max_of(M, 1) : ceil_div(static_cast<i64>(rows) + 1, s.mr) * s.mr;
  s.nb = 1;
  if (s.mb >= M) {
    s.mb = max_of(M, 1);
    const double blocks = work_per_row > 0 ? rows / static_cast<double>(s.mb) : static_cast<double>(columns);
    s.nb = blocks >= static_cast<double>(columns) ? max_of(columns, 1) : static_cast<i64>(blocks) + 1;
  }
  s.n_blocks = ceil_div(columns, s.nb);
  if (s.n_blocks > 0) s.mb = max_of(s.mb, ceil_div(ceil_div(M, max_of(1, kMostUnits / s.n_blocks)), s.mr) * s.mr);
  s.m_blocks = ceil_div(M, s.mb);
  s.n_inner = M > 4 * s.p.N;
}

// Units whose rows of sums are long enough to skip zeros; with rows enough to copy a block of b for, where there are many.
NACRE_CALLED void lay_coarse_grid(Plan& s) {
  const i64 least = s.p.a_m == 1 ? 1 : kCoarseRows, rows = max_of(kCoarseWork / (kCoarseColumns * s.p.K) + 1, least);
  const i64 nb = min_of(s.panels.count(), max_of(kCoarseColumns / (s.nv * kLanes), 1));
  const i64 n_blocks = ceil_div(s.panels.count(), nb);
  const i64 fewest = ceil_div(s.p.M, max_of(1, kMostUnits / n_blocks));
  const i64 mb = min_of(s.p.M, ceil_div(max_of(rows, fewest), s.mr) * s.mr), m_blocks = ceil_div(s.p.M, mb);
  if (s.p.a_m != 1 && n_blocks * m_blocks < kManyUnits) return;
  s.nb = nb, s.n_blocks = n_blocks, s.mb = mb, s.m_blocks = m_blocks;
  s.n_inner = false;
}

Plan make_plan(const Product& product) {
  Plan s;
  s.form = choose_form(product);
  s.swaps = s.form == Form::swapped_rows || s.form == Form::swapped_packed || s.form == Form::swapped_folded;
  s.p = s.swaps ? swapped(product) : product;
  const Product& p = s.p;
  if (s.form == Form::folded || s.form == Form::swapped_folded) {
    s.mr = p.a_m % kOneSet == 0 ? 8 : kFoldedRows;  // an L1 of eight ways must hold the rows
    s.packed_floats = ceil_div(p.K, 2) * kLanes;
    s.turned_floats = kFoldedColumns * kFoldedRows;
    s.asks_rows = p.a_m == p.K && static_cast<double>(p.M) * static_cast<double>(p.K) > kNearFloats;
    lay_grid(s, 1, static_cast<double>(p.N) * static_cast<double>(p.K));
    return s;
  }
  if (s.form == Form::dots) {
    const bool few_columns = p.N <= kMaxDotColumns, square = kSquareDots && p.K >= kLongDots;
    const i64 rows = min_of(p.M, kMaxDotRows), halves = ceil_div(rows, 2);
    const i64 most = square && rows > halves + 1 ? halves : rows;
    s.mr = static_cast<int>(square || !few_columns ? most : min_of(rows, max_of(1, kMaxSums / p.N)));
    s.nv = static_cast<int>(min_of(min_of(kMaxSums / s.mr, kMaxDotColumns), p.N));
    const i64 tiles = ceil_div(p.N, s.nv);
    if (few_columns) s.nv = static_cast<int>(ceil_div(p.N, tiles));
    s.asks_a = p.M > s.mr && static_cast<double>(p.M) * static_cast<double>(p.K) > kNearFloats;
    if ((p.b_n == 1 && p.b_k != 1) || (p.N <= kMaxDotColumns && aliased(p.b_n))) s.packed_floats = p.N * apart(p.K);
    if (p.M <= kMaxDotRows && aliased(p.a_m)) s.a_floats = p.M * apart(p.K);
    const i64 depth = p.M == 1 ? kDotDepth * kMaxDotRows : kDotDepth;
    s.kc = padded(ceil_div(p.K, ceil_div(p.K, depth)));
    s.asks_rows = p.M == 1 && in_l3(static_cast<double>(p.N) * static_cast<double>(p.K)) && s.packed_floats == 0;
    if (s.kc < p.K) s.turned_floats = kPendingTiles * kMaxSums * kLanes;
    lay_grid(s, few_columns ? 1 : tiles, static_cast<double>(few_columns ? p.N : s.nv) * static_cast<double>(p.K));
    if (few_columns) s.nb = tiles;
    return s;
  }
  // 3 x 128 rather than 6 x 64 where b stays in L1 while rows of c pass, and c is near or its update is not asked for
  const bool runs = p.N % kLongRun == 0 || (p.whole && p.N > kLongRun && p.K <= kPaysAsking);
  const bool at_hand =
      static_cast<double>(p.M) * static_cast<double>(p.N) <= kNearFloats || (p.whole && p.K < kPaysAsking);
  const bool few_steps =
      p.K <= kFewSteps ? p.K * p.N <= kPanelInL1 : p.K <= kPanelInL1 / kLongRun && p.M > p.K && at_hand;
  const bool long_runs = kLanes == 16 && runs && few_steps;
  s.nv = widest_panel(long_runs ? max_rows(kLongRun / kLanes) : p.M);
  const double floats_of_b = static_cast<double>(p.K) * static_cast<double>(p.N);
  const bool blocks = kBlockNV > 0 && s.form == Form::rows && p.a_k == 1 && !p.whole && floats_of_b > kL3Floats / 2;
  if (blocks && s.nv == kMainNV && p.M <= kFewTiles * max_rows(kBlockNV)) s.nv = kBlockNV;
  if (s.nv == kWidest && p.N <= kWidest * kLanes && p.K * p.N > kUnitWork / kRowsForB) s.nv /= 2;  // something to share
  const bool few_columns = s.form == Form::rows && p.M == 1 && !p.whole && p.N > 2 * kLanes && p.N <= s.nv * kLanes &&
                           p.N % kLanes == 0 && floats_of_b > kFarRow && floats_of_b <= kL3Floats;
  if (few_columns) s.nv /= 2;  // L3 gives two cores more than one
  s.mr = max_rows(s.nv);
  s.panels = cut_panels(p.N, s.nv);
  const bool near = floats_of_b <= (p.M == 1 ? kL3Floats : kNearFloats),
             far = !near && p.N >= kLongRow && p.M <= kFewRows;
  const bool few = s.form == Form::rows && p.M <= (s.nv == kBlockNV ? kFewTiles : 1) * s.mr && s.nv != kMainNV &&
                   !p.whole && p.b_k >= s.nv * kLanes;
  s.asks_rows = few && floats_of_b > kFewFloats && (near || floats_of_b <= (p.M == 1 ? kL3Floats : kL3Floats / 2));
  s.asks_blocks = few && p.M > 1 && !near && !s.asks_rows;  // one row's long streams are left to the hardware's guesses
  const bool main = s.form == Form::rows && s.nv == kMainNV;
  const bool columns = main && p.a_m == 1 && p.a_k % 256 == 0;
  s.far = is_far(p);
  const bool copies_a =
      !s.far && columns && p.a_k % kSameSet == 0 && p.N >= kPaysACopyOfA && !(p.whole && p.K > kDepth);
  s.in_place = main && near && p.M <= kTilesInPlace * s.mr && s.nv * kLanes >= kWideRow &&
               (!aliased(p.b_k) || p.K > kPanelInL1 / (s.nv * kLanes));
  if (s.form == Form::rows && p.a_k == 1 && (s.nv == kBlockNV || s.nv * kLanes < kWideRow) &&
      (p.b_k % kOneSet == 0 || !near))
    s.pays_copy = kPaysACopyOfFar;
  if (s.far) s.in_place = p.M + p.N <= kShortRows, s.asks_rows = s.asks_blocks = false;
  i64 depth = kDepth;
  if (s.far) depth = max_of(min_of(kFarFloats / (p.M + p.N), kFarMost), kFarLeast);
  else if (s.asks_blocks) depth = kAskedDepth;
  else if (copies_a) depth = p.whole ? kDepth : kDepth / 2;
  else if (columns) depth = kColumnDepth;
  else if (far) depth = kFarDepth;
  else if (s.in_place && p.b_k % 256 == 0) depth = kDepth / 2;  // rows that share sets of L2 come to each tile again
  s.kc = ceil_div(p.K, max_of(1, ceil_div(p.K, depth)));
  const double rows = static_cast<double>(max_of(kRowsForB, p.M)) / static_cast<double>(max_of(p.M, 1));
  lay_grid(s, s.panels.count(), rows * s.nv * kLanes * static_cast<double>(p.K));
  s.packed_floats = s.kc * s.nv * kLanes;
  if (s.asks_blocks) s.group = max_of(1, kAskedFloats / (s.nv * kLanes));
  s.copies_ahead = kCopiesAhead && main && p.a_k == 1 && !s.in_place && s.packed_floats <= kPanelsAtOnce / 2;
  if (s.copies_ahead) {
    if (far) s.group = min_of(kMostGrouped, kPanelsAtOnce / 2 / max_of(s.packed_floats, 1));
    s.packed_floats *= 2 * s.group;
  }
  s.rows = max_of(p.M, 1);
  s.side_by_side = p.K <= kFewSteps && s.panels.full > 2 &&
                   (s.form == Form::rows || (s.form == Form::packed && p.K * p.N <= 2 * kFewFloats));
  if (s.side_by_side && s.form == Form::packed) s.packed_floats = p.K * padded(p.N);
  const bool long_rows = p.N >= kLongRow && (floats_of_b > (p.M == 1 ? kL3Floats : kL3Floats / 2) ||
                                             (aliased(p.b_k) && floats_of_b > kSharedFloats));
  s.row_by_row = s.form == Form::rows && !p.whole && (few_columns || (long_rows && p.M > 0 && p.M <= kRowByRow));
  const bool cut = s.kc < p.K;
  s.asks_a = main && !copies_a && static_cast<double>(p.M) * static_cast<double>(s.kc) > kNearBlock;
  if (s.swaps) s.turned_floats = min_of(p.M, kTurnedRows) * s.nv * kLanes;
  if (p.whole && cut) {
    s.rows = min_of(s.rows, kSumRows);
    s.turned_floats = s.rows * s.nv * kLanes;
  }
  if (copies_a) {
    s.rows = min_of(min_of(s.rows, kCopiedRows), max_of(s.mr, kCopiedFloats / max_of(s.kc, 1)));
    s.a_floats = s.kc * s.rows;
  }
  // Weights in memory that few rows meet, and updates there, are waited for, and asked for by the tiles alone.
  const Product& q = product;
  const double floats_of_updates = p.whole ? static_cast<double>(p.M) * static_cast<double>(p.N) : 0;
  const bool waits =
      min_of(q.M, q.K) <= kFewToSkip &&
      (static_cast<double>(q.K) * static_cast<double>(q.N) > kNearFloats || floats_of_updates > kNearFloats);
  const bool along = q.b_n == 1 ? s.form == Form::rows : q.b_k == 1 && q.a_k == 1 && s.form != Form::swapped_rows;
  s.skips_zeros = kSkipsZeros && along && q.M >= kLanes && q.K >= kPaysSkipping && q.N >= kFewestVectors * kLanes &&
                  p.M * p.N < kStreamed && !waits;
  if (s.skips_zeros && s.form == Form::rows && p.M > s.mb) lay_coarse_grid(s);
  if (s.skips_zeros && s.swaps) {  // whole vectors of a row of sums
    s.mb = min_of(p.M, padded(s.mb));
    s.m_blocks = ceil_div(p.M, s.mb);
  }
  if (s.far) {
    const i64 width = s.nv * kLanes;
    s.nb = min_of(s.panels.count(), max_of(kFarUnit / width / p.M, 1));
    s.n_blocks = ceil_div(s.panels.count(), s.nb);
    s.mb = min_of(p.M, ceil_div(max_of(kFarUnit / width / s.nb, 1), s.mr) * s.mr);
    s.m_blocks = ceil_div(p.M, s.mb);
    s.n_inner = true;
    if (s.swaps) s.turned_floats = p.M * padded(p.N);
    s.side_by_side = s.asks_a = false;
  }
  s.k_outer = s.far || copies_a || (p.K >= p.N && !s.asks_blocks && !s.asks_a && !p.whole);
  return s;
}

}  // namespace
}  // namespace nacre::NACRE_ISA
