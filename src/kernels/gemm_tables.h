// The tiles of every form by their size, as a plan asks for them. Part of gemm.cpp.
#pragma once
#include "kernels/gemm_dots.h"
#include "kernels/gemm_folded.h"
#include "kernels/gemm_row_by_row.h"
#include "kernels/gemm_tile.h"

namespace nacre::NACRE_ISA {
namespace {

struct Tiles {
  Tile at[kWidest + 1][16];
};
template <int NV, int MR>
constexpr void add_rows(Tiles& t) {
  if constexpr (MR > 0) {
    t.at[NV][MR] = &tile::run<MR, NV>;
    add_rows<NV, MR - 1>(t);
  }
}
template <int NV>
constexpr Tiles add_widths(Tiles t) {
  if constexpr (NV > 0) {
    add_rows<NV, max_rows(NV)>(t);
    return add_widths<NV - 1>(t);
  }
  return t;
}
constexpr Tiles kTiles = add_widths<kWidest>(Tiles{});

struct DotTiles {
  Dots at[kMaxDotRows + 1][kMaxDotColumns + 1];
  Dots along[kMaxDotColumns + 1], below[kMaxDotColumns + 1];  // these ask: for one row of a; of many, more than folded
};
template <int MA, int NB>
constexpr void add_columns(DotTiles& t) {
  if constexpr (NB > 0) {
    if constexpr (MA * NB <= kMaxSums) t.at[MA][NB] = &dots::run<MA, NB>;
    if constexpr (MA == 1 && NB <= kMaxSums) t.along[NB] = &dots::run<1, NB, dots::kAlongB>;
    if constexpr (MA == rows_of_dots(NB) && (kSquareDots ? NB == kMaxSums / MA : NB > kFoldedColumns))
      t.below[NB] = &dots::run<MA, NB, dots::kBelowA>;
    add_columns<MA, NB - 1>(t);
  }
}
template <int MA>
constexpr DotTiles add_dot_rows(DotTiles t) {
  if constexpr (MA > 0) {
    add_columns<MA, kMaxDotColumns>(t);
    return add_dot_rows<MA - 1>(t);
  }
  return t;
}
constexpr DotTiles kDotTiles = add_dot_rows<kMaxDotRows>(DotTiles{});

struct FoldedTiles {
  Folded at[2][kFoldedRows + 1];
};  // the second ones ask for the rows behind
template <int MR>
constexpr void add_folded_rows(FoldedTiles& t) {
  if constexpr (MR > 0) {
    t.at[false][MR] = &folded::run<MR, false>;
    t.at[true][MR] = &folded::run<MR, true>;
    add_folded_rows<MR - 1>(t);
  }
}
constexpr FoldedTiles add_folded() {
  FoldedTiles t{};
  add_folded_rows<kFoldedRows>(t);
  return t;
}
constexpr FoldedTiles kFoldedTiles = add_folded();

struct RowByRows {
  RowByRow at[kRowByRow + 1];
};
template <int MR>
constexpr RowByRows add_row_by_row(RowByRows t) {
  if constexpr (MR > 0) {
    t.at[MR] = &row_by_row::run<MR>;
    return add_row_by_row<MR - 1>(t);
  }
  return t;
}
constexpr RowByRows kRowByRows = add_row_by_row<kRowByRow>(RowByRows{});

}  // namespace
}  // namespace nacre::NACRE_ISA
