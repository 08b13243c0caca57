// All pixels of a block against one panel of weights, or two: which tiles they are dealt to.
#pragma once
#include "kernels/conv2d_tile.h"

namespace nacre::NACRE_ISA {
namespace {

using TileFn = void (*)(const TileArgs&, i64);

template <int NV, int px>
constexpr TileFn single() {
  if constexpr (px <= (NV == 1 ? kNarrowPx : kWidePx)) {
    return conv_tile<px, NV, false>;
  } else {
    return nullptr;
  }
}

// Few groups take a tile of single pixels, which knows as many.
template <int NV, int groups>
constexpr TileFn grouped() {
  constexpr int most = NV == 1 ? kNarrowGroups : kWideGroups;
  if constexpr (groups < most && groups * kGroup <= (NV == 1 ? kNarrowPx : kWidePx)) {
    return conv_tile<groups * kGroup, NV, false>;
  } else if constexpr (groups <= most) {
    return conv_tile<groups * kGroup, NV, true>;
  } else {
    return nullptr;
  }
}

// `count` units of `size` pixels each from pixel p on, in tiles of nearly equal height, at most `most` units.
void run_even(TileArgs& t, const TileFn* tiles, i64 count, i64 most, i64 size, i64 p) {
  if (count == 0) return;
  const i64 n = ceil_div(count, most), low = count / n, higher = count % n;
  for (i64 i = 0; i < n; ++i) {
    const i64 height = i < higher ? low + 1 : low;
    tiles[height](t, p);
    t.asked();
    p += height * size;
  }
}

// All pixels of a block against one panel: the first `in_groups` of them in groups, then the others, `most` at a time.
template <int NV>
void run_tiles(TileArgs& t, i64 in_groups, i64 px, i64 most = NV == 1 ? kNarrowPx : kWidePx) {
  static constexpr TileFn groups[] = {nullptr,          grouped<NV, 1>(), grouped<NV, 2>(), grouped<NV, 3>(),
                                      grouped<NV, 4>(), grouped<NV, 5>(), grouped<NV, 6>()};
  static constexpr TileFn singles[] = {nullptr,          single<NV, 1>(),  single<NV, 2>(),  single<NV, 3>(),
                                       single<NV, 4>(),  single<NV, 5>(),  single<NV, 6>(),  single<NV, 7>(),
                                       single<NV, 8>(),  single<NV, 9>(),  single<NV, 10>(), single<NV, 11>(),
                                       single<NV, 12>(), single<NV, 13>(), single<NV, 14>()};
  if constexpr ((NV == 1 ? kNarrowGroups : kWideGroups) > 0) {
    i64 done = 0;
#if defined(__AVX512F__)
    if (NV == 2 && half_fits(t.n)) {
      static constexpr TileFn halves[] = {nullptr, half_tile};
      done = in_groups / kHalfPx * kHalfPx;
      run_even(t, halves, done / kHalfPx, 1, kHalfPx, 0);
    }
#endif
    run_even(t, groups, (in_groups - done) / kGroup, NV == 1 ? kNarrowGroups : kWideGroups, kGroup, done);
  } else {
    in_groups = 0;
  }
  run_even(t, singles, px - in_groups, most, 1, in_groups);
}

template <int px>
constexpr TileFn paired() {
  if constexpr (px <= kPairPx) {
    return conv_tile<px, 4, false>;
  } else {
    return nullptr;
  }
}

// The same against two panels.
void run_pairs(TileArgs& t, i64 px) {
  static constexpr TileFn tiles[] = {nullptr,     paired<1>(), paired<2>(), paired<3>(),
                                     paired<4>(), paired<5>(), paired<6>()};
  run_even(t, tiles, px, max_of(kPairPx, 1), 1, 0);
}

template <int S, int L, int NV>
constexpr TileFn sliding() {
  if constexpr (S * L <= (NV == 1 ? kSlideNarrow : kSlideWide)) {
    return slide_tile<S, L, NV>;
  } else {
    return nullptr;
  }
}

// The rows of a block in pieces of nearly equal length; two rows at a time where both fit a tile.
template <int NV>
void run_sliding(TileArgs t, const Block& b, const Axis& taps, Ahead& ahead) {
  // clang-format off
  static constexpr TileFn one[] = {nullptr,           sliding<1, 1, NV>(),  sliding<1, 2, NV>(),  sliding<1, 3, NV>(),
                                   sliding<1, 4, NV>(),  sliding<1, 5, NV>(),  sliding<1, 6, NV>(),  sliding<1, 7, NV>(),
                                   sliding<1, 8, NV>(),  sliding<1, 9, NV>(),  sliding<1, 10, NV>(), sliding<1, 11, NV>(),
                                   sliding<1, 12, NV>(), sliding<1, 13, NV>(), sliding<1, 14, NV>(), sliding<1, 15, NV>(),
                                   sliding<1, 16, NV>()};
  static constexpr TileFn two[] = {nullptr,          sliding<2, 1, NV>(), sliding<2, 2, NV>(), sliding<2, 3, NV>(),
                                   sliding<2, 4, NV>(), sliding<2, 5, NV>(), sliding<2, 6, NV>(), sliding<2, 7, NV>(),
                                   sliding<2, 8, NV>()};
  // clang-format on
  if constexpr ((NV == 1 ? kSlideNarrow : kSlideWide) > 0) {
    constexpr i64 most = NV == 1 ? kSlideNarrow : kSlideWide;
    const i64 rows = b.nb * b.hb, columns = b.wb;
    const i64 pieces = ceil_div(columns, most), low = columns / pieces, longer = columns % pieces;
    i64 h = 0;  // within the image
    for (i64 r = 0; r < rows;) {
      const bool pair = h + 1 < b.hb && 2 * (low + (longer > 0)) <= most;
      const Taps inside = rows_inside(taps, b.h0 + h, b.h0 + h + (pair ? 1 : 0));
      t.h0 = inside.first, t.nh = inside.last;
      i64 p = r * columns;
      for (i64 i = 0; i < pieces; ++i) {
        const i64 length = i < longer ? low + 1 : low;
        ahead.ask();
        (pair ? two : one)[length](t, p);
        p += length;
      }
      r += pair ? 2 : 1;
      h += pair ? 2 : 1;
      if (h == b.hb) h = 0;
    }
  }
}

}  // namespace
}  // namespace nacre::NACRE_ISA
