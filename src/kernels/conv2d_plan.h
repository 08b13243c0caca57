// How the forward pass and the gradient of x are cut: sets of weight panels by blocks of pixels.
#pragma once
#include "kernels/conv2d_few.h"
#include "kernels/conv2d_shared.h"
#include "kernels/conv2d_tile.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kCopyFloats = 48 * 1024;          // block copy: 192 KB of a 1 MB L2
constexpr i64 kPanelFloats = 96 * 1024;         // weight panels in use together: 384 KB of L2
constexpr i64 kNearFloats = 64 * 1024;          // what a block reads where it lies: a quarter of L2
constexpr i64 kFarFloats = 2 * 1024 * 1024;     // of images that L3 has no room for; others come unasked, unless copied
constexpr i64 kPastFloats = 6 * 1024 * 1024;    // of y
constexpr i64 kLongSum = 256;                   // rows of a panel
constexpr double kUnitFlops = 4e5;              // a unit takes at least about 2 us
constexpr i64 kManyUnits = 64;                  // enough for as many cores
constexpr double kPartPx = 1.5;                 // a part of an image costs as much as so many pixels
constexpr i64 kAlongFloats = 32 * 1024;         // of x or y of a block
constexpr i64 kFewSets = 256;                   // floats: pixels of y a multiple of that apart meet in few sets of L1,
constexpr i64 kFewRows = 32;                    // of weights so far apart, which L1 holds;
constexpr bool kFewRegisters = kLanes < 16;     // tiles are small
constexpr i64 kOneSet = 1024, kWays = 8;        // and of x in one, which holds so many lines of it
constexpr i64 kFewTerms = 64;                   // where sums so short cannot hide that their stores wait
constexpr i64 kFewestPx = max_of(kWidePx, 14);  // half of the fewest: several tiles of 7 pixels of a row in any case
constexpr i64 kAlongPx = 64;                    // the fewest pixels of a block that groups meet one after another
constexpr i64 kSlack = 16 * kLanes;             // floats behind the copy that tiles may read
constexpr i64 kLaneSums = 6;                    // adding up the lanes of a sum, in multiply-adds of a vector,
constexpr i64 kSomeLanes = 24;                  // and storing a part of one
constexpr i64 kFewPx = 256;                     // images together as small as that: blocks alone are no fair shares
constexpr i64 kEnoughUnits = 32;  // where more would share out panels, so that rows of y are written in short pieces

// One pass: y = correlate(x, weights) with O outputs per group; weights are w[tap][c][o], or swapped [tap][o][c].
struct Pass {
  Correlation q;  // widest, for planning
  i64 G, O;       // outputs per group
  i64 shared;     // 0, or groups that make one of these (conv2d_shared.h)
  i64 K;          // rows of a panel
  i64 panels;     // per group
  i64 together;   // panels handled per unit
  i64 sets;       // sets of panels per group
  i64 along;      // groups handled per unit, more than one only where each is one set
  i64 runs;       // of so many groups
  i64 staged;     // floats of a pixel of theirs that is put together before it is written, or 0
  bool one_fit;   // all panels of a group would stay in L2
  bool few;       // outputs: too few to fill a vector
  bool parts;     // pixels that see the same taps go together, so that none is multiplied with padding
  i64 blocks;
  Cut cut;
};

// `exact`: q is that of all phases. `packed`: weights are panels already.
Pass plan(Correlation q, i64 G, i64 O, i64 shared, bool exact, bool packed) {
  Pass p{};
  p.q = q;
  p.shared = shared;
  if (shared > 0) G = ceil_div(G, shared), O *= shared;
  p.G = G;
  p.O = O;
  const Count k = Count(q.h.taps) * Count(q.w.taps) * Count(q.C);
  p.K = k.ok() ? k.value() : i64{1} << 60;
  p.panels = ceil_div(O, kPanel);
  p.few = !packed && shared == 0 && few::takes(O, few::kMost, G, q, kLaneSums, kSomeLanes);
  const bool points =
      exact && shared == 0 && everywhere_inside(q.h) && everywhere_inside(q.w);  // nothing is ever copied
  p.parts =
      !points && !p.few && shared == 0 && !slides(q.w.taps, q.w.stride, q.w.step, q.h.step, O) && in_parts(q, kPartPx);
  const i64 fit = max_of(kPanelFloats / kPanel / max_of(p.K, 1), 1);
  const auto share = [&](i64 sets) {
    p.together = ceil_div(p.panels, sets);
    p.sets = p.together > 0 ? ceil_div(p.panels, p.together) : 0;
  };
  share(max_of(ceil_div(p.panels, fit), 1));
  p.one_fit = p.panels <= fit;
  const double px = static_cast<double>(q.N) * static_cast<double>(q.h.out) * static_cast<double>(q.w.out);
  const bool few = px < kFewPx && p.one_fit && p.panels > 0;
  if (few) {  // sets that are small and alike, so that threads have equal shares
    const double flops = 2.0 * static_cast<double>(p.K) * static_cast<double>(O) * px + 1;
    const double most = 0.5 * kUnitFlops * static_cast<double>(p.panels) / flops * px / (2 * kWidePx) + 1;
    i64 together = most < static_cast<double>(p.panels) ? static_cast<i64>(most) : p.panels;
    while (p.panels % together != 0) --together;
    share(p.panels / together);
  }
  // Groups one after another on a block that stays in L2, so that its pixels come whole; units enough are left.
  const double most = px * static_cast<double>(G) / static_cast<double>(kFewPx * kEnoughUnits);
  const bool short_runs = max_of(q.C * max_of(shared, 1), O) <= (q.w.y_step > 1 ? 1 : 2) * kLineFloats;
  const i64 along = p.sets == 1 && short_runs ? fit / max_of(p.panels, 1) : 1;
  p.along = max_of(min_of(most < static_cast<double>(along) ? static_cast<i64>(most) : along, G), 1);
  p.along = ceil_div(G, ceil_div(max_of(G, 1), p.along));
  p.runs = ceil_div(G, p.along);
  if (p.along > 1 && p.K <= kFewTerms && !p.parts && q.w.y_step * q.ldy % kFewSets == 0) p.staged = p.along * p.O + 16;
  const double px_flops =
      2.0 * static_cast<double>(p.K) * static_cast<double>(min_of(O, p.together * kPanel) * p.along) + 1;
  const double by_count = px * static_cast<double>(max_of(p.runs * p.sets, 1)) / kManyUnits;
  // Weights of several sets come from far: they are to meet more pixels, if there are units enough.
  const i64 fewest = p.along > 1 ? kAlongPx : (points && p.sets > 1 && !few && p.panels >= 8 ? 4 : 2) * kFewestPx;
  double want = max_of(by_count > 2048 ? 2048 : static_cast<i64>(by_count), fewest);
  if (want * px_flops < kUnitFlops) want = kUnitFlops / px_flops;
  if (points) {
    want = min_of(static_cast<i64>(want), max_of((p.sets > 1 ? 2 : 1) * kNearFloats / max_of(p.K, 1), fewest));
  } else if (p.K <= kLongSum) {  // stores count as much as sums: what a panel has begun of a pixel the next finds in L2
    want = min_of(static_cast<i64>(want), max_of(kNearFloats / max_of(O, 1), 4 * fewest));
  }
  const bool copies = !points && !p.few && !p.parts;
  if (shared > 0) q.C *= shared;
  if (p.along > 1) {
    const i64 floats = p.along * max_of(q.C * min_of(q.h.stride, 4) * min_of(q.w.stride, 4), O);
    want = min_of(static_cast<i64>(want), max_of(kAlongFloats / floats, fewest));
  }
  p.cut = cut_blocks(q, want > 4096 ? 4096 : static_cast<i64>(want) + 1, copies ? kCopyFloats : i64{1} << 60, copies);
  if (!copies) p.cut.floats = 0;
  if (points && !few && kWideGroups > 0 && p.K <= kLongSum && p.cut.w_blocks > 1) {  // whole tiles
    const i64 tile = half_fits(O) ? kHalfPx : O <= kLanes ? kNarrowGroups * kGroup : kWideGroups * kGroup;
    p.cut.wb = ceil_div(p.cut.wb, tile) * tile;
    p.cut.w_blocks = ceil_div(q.w.out, p.cut.wb);
  }
  const Count blocks = Count(p.cut.n_blocks) * Count(p.cut.h_blocks) * Count(p.cut.w_blocks);
  p.blocks = blocks.ok() ? blocks.value() : -1;
  if (points && !few && p.sets > 1 && p.blocks > 0 && p.runs * p.sets < kEnoughUnits / p.blocks) {
    const double panel_flops = 2.0 * static_cast<double>(p.K) * kPanel * px / static_cast<double>(p.blocks) + 1;
    const i64 least = max_of(static_cast<i64>(kUnitFlops / panel_flops), 1);  // panels of a unit
    share(max_of(min_of(kEnoughUnits / p.blocks / p.runs, p.panels / min_of(least, p.panels)), p.sets));
  }
  return p;
}

struct Unit {
  i64 run, set, block;
};

// Neighbours share a set of panels, or, by_block, a block of pixels: threads then read what they wrote. Every other set goes
// back, beginning with the block that is in use.
Unit unit_at(const Pass& p, i64 u, bool by_block) {
  const i64 run = u / (p.sets * p.blocks), i = u % (p.sets * p.blocks), set = i / p.blocks, block = i % p.blocks;
  return by_block ? Unit{run, i % p.sets, i / p.sets} : Unit{run, set, set % 2 ? p.blocks - 1 - block : block};
}

i64 round16(i64 n) { return ceil_div(n, 16) * 16; }

// Floats that hold the weights of few outputs, whose runs of taps fill whole vectors.
i64 few_weights(const Pass& p) { return round16(p.K) * 2 * few::kMost; }

// Floats of workspace: panels, block copy with slack, then three offsets per pixel.
Count scratch_floats(const Pass& p) {
  if (p.few) {  // weights, pieces of both axes, sums of an image
    const Count pieces = (Count(p.cut.wb) + Count(p.cut.hb)) * Count(sizeof(Piece) / sizeof(float));
    return Count(few_weights(p)) + pieces + Count(p.cut.hb) * Count(p.cut.wb) * Count(few::kMost) + Count(64);
  }
  return Count(p.K) * Count(p.along * p.together * kPanel) + Count(round16(p.cut.floats) + kSlack) +
         Count(p.cut.nb) * Count(p.cut.hb) * Count(p.cut.wb) * Count(6 + p.staged) +
         Count(p.parts ? 2 * kMostPieces : 0) * Count(sizeof(Piece) / sizeof(float)) + Count(64);
}

i64 taps_of(const Conv2DShape& s) { return min_of(s.KH, 1024) * min_of(s.KW, 1024); }

Pass forward_plan(const Conv2DShape& s, bool packed) {
  const i64 C = s.C / s.G, O = s.O / s.G;
  return plan(forward_correlation(s), s.G, O, shared::groups(s.G, C, O, taps_of(s)), true, packed);
}
Pass grad_x_plan(const Conv2DShape& s) {
  const i64 C = s.C / s.G, O = s.O / s.G;
  return plan(grad_x_widest(s), s.G, C, shared::groups(s.G, O, C, taps_of(s)), s.SH == 1 && s.SW == 1, false);
}

struct Operands {
  const float* x;
  const float* w;
  const float* bias;
  const float* mask;
  const float* r;
  i64 ldr;
  float* y;
  i64 act;
  bool packed = false;  // w holds the panels that conv2d_pack makes
};

bool is_far(const Correlation& q, i64 more = kFarFloats) {
  return q.N * (q.h.in * q.w.in * q.ldx + q.YH * q.YW * q.ldy) > more;
}
// Whether no cache would hold y until it is read, and its vectors may be stored past them.
bool goes_past(const Correlation& q, const float* y) {
  return q.N * q.YH * q.YW * q.ldy > kPastFloats && aligned(y) && q.ldy % kLanes == 0;
}

}  // namespace
}  // namespace nacre::NACRE_ISA
