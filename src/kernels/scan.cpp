#include "kernels/scan.h"

#include "kernels/loops.h"
#include "kernels/reduce_ops.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kTile = 256;  // columns whose running values stay in L1

i64 group_of(const CumulativeShape& s) {  // outer items per unit, when a tile holds all columns
  return s.I <= kTile ? max_of(1, 16384 / max_of(1, s.R * s.I)) : 1;
}

template <class Op, class T, class A>
void scan_as(const CumulativeShape& s, Slice units, Scratch scratch, const T* x, T* y) {
  A* acc = reinterpret_cast<A*>(scratch.at);
  const i64 tiles = ceil_div(s.I, kTile), group = group_of(s);
  const bool exclusive = s.exclusive != 0;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 column = u % tiles * kTile, width = min_of(kTile, s.I - column);
    const Run outer = run_of(u / tiles, group, s.O);
    for (i64 o = outer.begin; o < outer.end; ++o) {
      const i64 base = o * s.R * s.I + column;
      for (i64 i = 0; i < width; ++i) acc[i] = Op::template first<A>();
      for (i64 k = 0; k < s.R; ++k) {
        const i64 at = base + (s.reverse ? s.R - 1 - k : k) * s.I;
        NACRE_INDEPENDENT
        for (i64 i = 0; i < width; ++i) {
          const A before = acc[i], after = Op::step(before, x[at + i]);
          acc[i] = after;
          y[at + i] = to<T>(exclusive ? before : after);
        }
      }
    }
  }
}

template <class T, class A>
void scan_typed(const CumulativeShape& s, Slice units, Scratch scratch, const T* x, T* y) {
  switch (s.kind) {
    case 0: return scan_as<ops::Sum, T, A>(s, units, scratch, x, y);
    case 1: return scan_as<ops::Prod, T, A>(s, units, scratch, x, y);
    case 2: return scan_as<ops::Max, T, A>(s, units, scratch, x, y);
    default: return scan_as<ops::Min, T, A>(s, units, scratch, x, y);
  }
}

}  // namespace

Facts cumulative_facts(const CumulativeShape& s) {
  Facts f;
  if (s.O < 0 || s.R < 0 || s.I < 0) f.error = "O, R and I must not be negative";
  else if (!product_fits(s.O, s.R, s.I)) f.error = "the number of elements overflows";
  else if (s.kind < 0 || s.kind > 3) f.error = "kind must be 0..3";
  else if (!is_dtype(s.dtype)) f.error = "dtype is no dtype";
  else if ((s.exclusive | s.reverse) < 0 || (s.exclusive | s.reverse) > 1)
    f.error = "exclusive and reverse must be 0 or 1";
  if (f.error) return f;
  const Count n = Count(s.O) * Count(s.R) * Count(s.I);
  f.extent[0] = n * Count(width_of(s.dtype));
  f.extent[1] = f.extent[0];
  if (n.value() > 0) f.units = ceil_div(s.O, group_of(s)) * ceil_div(s.I, kTile);
  f.scratch = kTile * 8;
  f.flops = static_cast<double>(n.value());
  return f;
}

void cumulative(const CumulativeShape& s, Slice units, Scratch scratch, const void* x, void* y) {
  switch (static_cast<DType>(s.dtype)) {
    case DType::f32: return scan_typed<float, double>(s, units, scratch, as<float>(x), as<float>(y));
    case DType::f64: return scan_typed<double, double>(s, units, scratch, as<double>(x), as<double>(y));
    case DType::i32: return scan_typed<i32, i32>(s, units, scratch, as<i32>(x), as<i32>(y));
    case DType::i64: return scan_typed<i64, i64>(s, units, scratch, as<i64>(x), as<i64>(y));
    default: return scan_typed<u8, u8>(s, units, scratch, as<u8>(x), as<u8>(y));
  }
}

}  // namespace NACRE_ISA
}  // namespace nacre
