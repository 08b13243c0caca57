#include "kernels/reduce.h"

#include "kernels/loops.h"
#include "kernels/reduce_ops.h"
#include "kernels/transpose_block.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnit = 16384;    // elements read by a unit, at least: about 2 us
constexpr i64 kTile = 1024;     // columns whose accumulators stay in L1
constexpr i64 kShort = 32;      // numbers in a row up to which rows are turned into columns, so that no lane idles,
constexpr i64 kShortFind = 64;  // the same where a place is asked for,
constexpr i64 kTurned = 64;     // and rows that are turned together
constexpr i64 kBlockRows = 64;  // rows summed in float32 before the sum goes into float64

// How [outer, length, I] is cut: `group` outer items per unit when their columns fit one tile, else column tiles.
struct Cut {
  i64 chunks, outer, tile, tiles, group, units;
};

Cut cut_of(i64 O, i64 R, i64 I, i64 chunk) {
  Cut c;
  const i64 length = max_of(1, min_of(R, chunk));
  c.chunks = max_of(1, ceil_div(R, chunk));
  c.outer = O * c.chunks;
  c.tile = min_of(I, min_of(kTile, max_of(1, kUnit / length) / 64 * 64 + 64));
  c.tiles = c.tile > 0 ? ceil_div(I, c.tile) : 0;
  c.group = c.tiles == 1 ? max_of(1, kUnit / (length * I)) : 1;
  c.units = ceil_div(c.outer, c.group) * c.tiles;
  return c;
}

const char* cannot_view(i64 O, i64 R, i64 I) {
  if (O < 0 || R < 0 || I < 0) return "O, R and I must not be negative";
  return product_fits(O, R, I) ? nullptr : "the number of elements overflows";
}

// ---- float32 on vectors ----

struct VecSum {
  NACRE_INLINE Vec first() { return zero(); }
  NACRE_INLINE Vec step(Vec acc, Vec x) { return acc + x; }
  NACRE_INLINE Vec join(Vec a, Vec b) { return a + b; }
};
struct VecSquares : VecSum {
  NACRE_INLINE Vec step(Vec acc, Vec x) { return fma(x, x, acc); }
};
struct VecMax {
  NACRE_INLINE Vec first() { return set1(-__builtin_inff()); }
  NACRE_INLINE Vec step(Vec acc, Vec x) { return max_nan(acc, x); }
  NACRE_INLINE Vec join(Vec a, Vec b) { return max_nan(a, b); }
};
struct VecMin {
  NACRE_INLINE Vec first() { return set1(__builtin_inff()); }
  NACRE_INLINE Vec step(Vec acc, Vec x) { return min_nan(acc, x); }
  NACRE_INLINE Vec join(Vec a, Vec b) { return min_nan(a, b); }
};
struct VecProd {
  NACRE_INLINE Vec first() { return set1(1.0f); }
  NACRE_INLINE Vec step(Vec acc, Vec x) { return acc * x; }
  NACRE_INLINE Vec join(Vec a, Vec b) { return a * b; }
};

// At most 64 vectors of neighbours, in eight accumulators.
template <class Op>
NACRE_INLINE float block(const float* x, i64 n) {
  const Vec e = Op::first();
  Vec a0 = e, a1 = e, a2 = e, a3 = e, a4 = e, a5 = e, a6 = e, a7 = e;
  i64 i = 0;
  for (; i + 8 * kLanes <= n; i += 8 * kLanes) {
    a0 = Op::step(a0, load(x + i));
    a1 = Op::step(a1, load(x + i + kLanes));
    a2 = Op::step(a2, load(x + i + 2 * kLanes));
    a3 = Op::step(a3, load(x + i + 3 * kLanes));
    a4 = Op::step(a4, load(x + i + 4 * kLanes));
    a5 = Op::step(a5, load(x + i + 5 * kLanes));
    a6 = Op::step(a6, load(x + i + 6 * kLanes));
    a7 = Op::step(a7, load(x + i + 7 * kLanes));
  }
  for (; i + kLanes <= n; i += kLanes) a0 = Op::step(a0, load(x + i));
  if (i < n) a1 = select(first_lanes(n - i), Op::step(a1, load(x + i, n - i)), a1);
  const Vec all = Op::join(Op::join(Op::join(a0, a1), Op::join(a2, a3)), Op::join(Op::join(a4, a5), Op::join(a6, a7)));
  return fold(all, [](Vec a, Vec b) __attribute__((always_inline)) { return Op::join(a, b); });
}

template <class Op, bool sums>
float neighbours(const float* x, i64 n) {
  constexpr i64 most = 64 * kLanes;
  if (n <= kLanes) {
    const Vec all = select(first_lanes(n), Op::step(Op::first(), load(x, n)), Op::first());
    return fold(all, [](Vec a, Vec b) __attribute__((always_inline)) { return Op::join(a, b); });
  }
  if (n <= most) return block<Op>(x, n);
  if (sums) {
    double total = 0;
    for (i64 i = 0; i < n; i += most) total += static_cast<double>(block<Op>(x + i, min_of(most, n - i)));
    return static_cast<float>(total);
  }
  float lane[kLanes];
  Vec total = Op::first();
  for (i64 i = 0; i < n; i += most) total = Op::join(total, set1(block<Op>(x + i, min_of(most, n - i))));
  store(lane, total);
  return lane[0];
}

// t[r, m] = x[m, r] for n <= kTurned rows of R numbers; lines of t hold kTurned numbers.
void turn_rows(const float* x, i64 R, i64 n, float* t) {
  for (i64 m = 0; m < n; m += kLanes) {
    for (i64 r = 0; r < R; r += kLanes)
      turn_square(x + m * R + r, t + r * kTurned + m, min_of(kLanes, R - r), min_of(kLanes, n - m), R, kTurned);
  }
}

// acc[c] joined with `rows` rows, eight at a time: eight streams of x, one pass over acc.
template <class Op>
NACRE_INLINE Vec eight(const float* x, i64 I, Vec acc, i64 n) {
  const auto at = [&](i64 r)
                      __attribute__((always_inline)) { return n == kLanes ? load(x + r * I) : load(x + r * I, n); };
  const Vec e = Op::first();
  Vec a = Op::step(Op::step(e, at(0)), at(1)), b = Op::step(Op::step(e, at(2)), at(3));
  Vec c = Op::step(Op::step(e, at(4)), at(5)), d = Op::step(Op::step(e, at(6)), at(7));
  return Op::join(acc, Op::join(Op::join(a, b), Op::join(c, d)));
}

template <class Op>
void add_rows(const float* x, i64 rows, i64 I, i64 width, float* acc) {
  i64 r = 0;
  for (; r + 8 <= rows; r += 8) {
    const float* x_r = x + r * I;
    i64 c = 0;
    for (; c + kLanes <= width; c += kLanes) store(acc + c, eight<Op>(x_r + c, I, load(acc + c), kLanes));
    if (c < width) store(acc + c, eight<Op>(x_r + c, I, load(acc + c, width - c), width - c), width - c);
  }
  for (; r < rows; ++r) {
    const float* x_r = x + r * I;
    i64 c = 0;
    for (; c + kLanes <= width; c += kLanes) store(acc + c, Op::step(load(acc + c), load(x_r + c)));
    if (c < width) store(acc + c, Op::step(load(acc + c, width - c), load(x_r + c, width - c)), width - c);
  }
}

template <class Op, bool sums>
void columns(const float* x, i64 rows, i64 I, i64 width, double scale, float* acc, double* total, float* y) {
  float start[kLanes];
  store(start, Op::first());
  if (!sums || rows <= kBlockRows) {
    for (i64 c = 0; c < width; ++c) acc[c] = start[0];
    add_rows<Op>(x, rows, I, width, acc);
    if (sums) {
      NACRE_INDEPENDENT
      for (i64 c = 0; c < width; ++c) y[c] = static_cast<float>(static_cast<double>(acc[c]) * scale);
    } else {
      for (i64 c = 0; c < width; ++c) y[c] = acc[c];
    }
    return;
  }
  for (i64 c = 0; c < width; ++c) total[c] = 0;
  for (i64 r = 0; r < rows; r += kBlockRows) {
    for (i64 c = 0; c < width; ++c) acc[c] = 0;
    add_rows<Op>(x + r * I, min_of(kBlockRows, rows - r), I, width, acc);
    NACRE_INDEPENDENT
    for (i64 c = 0; c < width; ++c) total[c] += static_cast<double>(acc[c]);
  }
  NACRE_INDEPENDENT
  for (i64 c = 0; c < width; ++c) y[c] = static_cast<float>(total[c] * scale);
}

// ---- any element type, in loops that compilers vectorize ----

template <class Op, class T, class A>
NACRE_ALWAYS A neighbours_of(const T* x, i64 n) {
  A acc[8];
  for (int k = 0; k < 8; ++k) acc[k] = Op::template first<A>();
  i64 i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) acc[k] = Op::step(acc[k], x[i + k]);
  for (int k = 0; i < n; ++i, ++k) acc[k] = Op::step(acc[k], x[i]);
  for (int k = 0; k < 4; ++k) acc[k] = Op::join(acc[k], acc[k + 4]);
  return Op::join(Op::join(acc[0], acc[1]), Op::join(acc[2], acc[3]));
}

template <class Op, class T, class A>
void columns_of(const T* x, i64 rows, i64 I, i64 width, A* acc) {
  for (i64 c = 0; c < width; ++c) acc[c] = Op::template first<A>();
  i64 r = 0;
  for (; r + 2 <= rows; r += 2) {
    const T *x_r = x + r * I, *below = x_r + I;
    NACRE_INDEPENDENT
    for (i64 c = 0; c < width; ++c) acc[c] = Op::step(Op::step(acc[c], x_r[c]), below[c]);
  }
  NACRE_INDEPENDENT
  for (i64 c = 0; c < (r < rows ? width : 0); ++c) acc[c] = Op::step(acc[c], x[r * I + c]);
}

// The loop over units; `work(x, rows, width, y)` reduces rows * width elements, whose rows are I apart.
template <class T, class D, class F>
NACRE_ALWAYS void each(const ReduceShape& s, Slice units, const T* x, D* y, F work) {
  const Cut c = cut_of(s.O, s.R, s.I, s.chunk);
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 column = u % c.tiles * c.tile, width = min_of(c.tile, s.I - column);
    const Run outer = run_of(u / c.tiles, c.group, c.outer);
    for (i64 item = outer.begin; item < outer.end; ++item) {
      const i64 first = item % c.chunks * s.chunk, rows = min_of(s.chunk, s.R - first);
      work(x + (item / c.chunks * s.R + first) * s.I + column, rows, width, y + item * s.I + column);
    }
  }
}

template <class Op, bool sums>
void reduce_f32(const ReduceShape& s, Slice units, Scratch scratch, const float* x, float* y) {
  double* total = reinterpret_cast<double*>(scratch.at);
  float* acc = reinterpret_cast<float*>(total + kTile);
  const double scale = s.kind == kMean ? s.scale : 1.0;
  if (s.I == 1 && s.R <= min_of(kShort, s.chunk)) {
    float* turned = acc + kTile;
    const i64 group = cut_of(s.O, s.R, 1, s.chunk).group, end = min_of(units.end * group, s.O);
    for (i64 m = units.begin * group; m < end; m += kTurned) {
      const i64 n = min_of(kTurned, end - m);
      turn_rows(x + m * s.R, s.R, n, turned);
      columns<Op, sums>(turned, s.R, kTurned, n, scale, acc, total, y + m);
    }
    return;
  }
  each(s, units, x, y, [&](const float* from, i64 rows, i64 width, float* to) {
    if (s.I == 1) {
      const float v = neighbours<Op, sums>(from, rows);
      *to = sums ? static_cast<float>(static_cast<double>(v) * scale) : v;
    } else {
      columns<Op, sums>(from, rows, s.I, width, scale, acc, total, to);
    }
  });
}

template <class Op, class T, class A, class D>
void reduce_any_type(const ReduceShape& s, Slice units, Scratch scratch, const T* x, D* y) {
  A* acc = reinterpret_cast<A*>(scratch.at);
  each(s, units, x, y, [&](const T* from, i64 rows, i64 width, D* to_) {
    if (s.I == 1) {
      *to_ = to<D>(Op::finish(neighbours_of<Op, T, A>(from, rows), s.scale));
    } else {
      columns_of<Op, T, A>(from, rows, s.I, width, acc);
      for (i64 c = 0; c < width; ++c) to_[c] = to<D>(Op::finish(acc[c], s.scale));
    }
  });
}

template <class T>
struct Accumulator {
  using type = T;
};
template <>
struct Accumulator<Bool> {
  using type = u8;
};
template <class T>
struct IsBool {
  static constexpr bool value = false;
};
template <>
struct IsBool<Bool> {
  static constexpr bool value = true;  // these have no sum
};

template <class T>
void reduce_typed(const ReduceShape& s, Slice units, Scratch scratch, const T* x, void* y) {
  using A = typename Accumulator<T>::type;
  constexpr bool on_vectors = ops::IsReal<T>::value && sizeof(T) == 4;  // `reduce_f32` has done the rest
  if constexpr (!on_vectors) {
    switch (s.kind) {
      case kMax: return reduce_any_type<ops::Max, T, A>(s, units, scratch, x, as<T>(y));
      case kMin: return reduce_any_type<ops::Min, T, A>(s, units, scratch, x, as<T>(y));
      case kProd: return reduce_any_type<ops::Prod, T, A>(s, units, scratch, x, as<T>(y));
      default: break;
    }
    if constexpr (!IsBool<T>::value) {
      switch (s.kind) {
        case kSum: return reduce_any_type<ops::Sum, T, A>(s, units, scratch, x, as<T>(y));
        case kMean: return reduce_any_type<ops::Mean, T, A>(s, units, scratch, x, as<T>(y));
        case kSumSquares: return reduce_any_type<ops::Squares, T, A>(s, units, scratch, x, as<T>(y));
        default: break;
      }
    }
  }
  switch (s.kind) {
    case kAny: return reduce_any_type<ops::Any, T, u8>(s, units, scratch, x, as<u8>(y));
    default: return reduce_any_type<ops::All, T, u8>(s, units, scratch, x, as<u8>(y));
  }
}

}  // namespace

Facts reduce_facts(const ReduceShape& s) {
  Facts f;
  f.error = cannot_view(s.O, s.R, s.I);
  if (!f.error && (s.kind < 0 || s.kind >= kReduceKinds)) f.error = "kind must be 0..7";
  if (!f.error && !is_dtype(s.dtype)) f.error = "dtype is no dtype";
  if (!f.error && s.dtype == static_cast<i64>(DType::boolean) && (s.kind <= kMean || s.kind == kSumSquares))
    f.error = "booleans have no sum: convert them first";
  if (!f.error && s.chunk < 1) f.error = "chunk must be positive";
  if (f.error) return f;
  const Cut c = cut_of(s.O, s.R, s.I, s.chunk);
  const bool truth = s.kind == kAny || s.kind == kAll;
  f.extent[0] = Count(s.O) * Count(s.R) * Count(s.I) * Count(width_of(s.dtype));
  f.extent[1] = Count(s.O) * Count(c.chunks) * Count(s.I) * Count(truth ? 1 : width_of(s.dtype));
  f.units = c.units;
  f.scratch = kTile * 12 + kShort * kTurned * 4;
  f.flops = static_cast<double>(s.O) * static_cast<double>(s.R) * static_cast<double>(s.I);
  return f;
}

void reduce(const ReduceShape& s, Slice units, Scratch scratch, const void* x, void* y) {
  if (s.dtype == static_cast<i64>(DType::f32)) {
    const float* from = as<float>(x);
    switch (s.kind) {
      case kSum:
      case kMean: return reduce_f32<VecSum, true>(s, units, scratch, from, as<float>(y));
      case kSumSquares: return reduce_f32<VecSquares, true>(s, units, scratch, from, as<float>(y));
      case kMax: return reduce_f32<VecMax, false>(s, units, scratch, from, as<float>(y));
      case kMin: return reduce_f32<VecMin, false>(s, units, scratch, from, as<float>(y));
      case kProd: return reduce_f32<VecProd, false>(s, units, scratch, from, as<float>(y));
      default: break;
    }
  }
  NACRE_BY_DTYPE(s.dtype, T, reduce_typed(s, units, scratch, as<T>(x), y))
}

namespace {

// Whether `x` beats `best`, which stands earlier: larger or smaller, or the first NaN.
template <bool largest, class T>
NACRE_ALWAYS bool beats(T x, T best) {
  return (largest ? x > best : x < best) || (x != x && best == best);
}

template <bool largest>
i64 first_of(const float* x, i64 n) {
  using Op = VecMax;
  using Other = VecMin;
  const float top = largest ? neighbours<Op, false>(x, n) : neighbours<Other, false>(x, n);
  const Vec want = set1(top);
  const auto hits = [=](Vec v) __attribute__((always_inline)) { return bits(top != top ? isnan(v) : eq(v, want)); };
  i64 i = 0;
  u32 hit = 0;
  for (; i + kLanes <= n && !hit; i += kLanes) hit = hits(load(x + i));
  if (hit) return i - kLanes + __builtin_ctz(hit);
  return i + __builtin_ctz(hits(load(x + i, n - i)));  // there is one
}

template <bool largest, class T>
i64 first_of(const T* x, i64 n) {
  i64 at = 0;
  for (i64 r = 1; r < n; ++r)
    if (beats<largest>(x[r], x[at])) at = r;
  return at;
}

// Of each of `width` columns of x [R, I]; put(column, place).
template <bool largest, class T, class Put>
NACRE_ALWAYS void first_of_columns(const T* x, i64 R, i64 I, i64 width, Scratch scratch, Put put) {
  T* best = reinterpret_cast<T*>(scratch.at);
  i32* at = reinterpret_cast<i32*>(scratch.at + kTile * 8);
  for (i64 i = 0; i < width; ++i) {
    best[i] = x[i];
    at[i] = 0;
  }
  for (i64 r = 1; r < R; ++r) {
    const T* x_r = x + r * I;
    NACRE_INDEPENDENT
    for (i64 i = 0; i < width; ++i) {
      const bool better = beats<largest>(x_r[i], best[i]);
      best[i] = better ? x_r[i] : best[i];
      at[i] = better ? static_cast<i32>(r) : at[i];
    }
  }
  for (i64 i = 0; i < width; ++i) put(i, at[i]);
}

template <bool largest, class T>
void argreduce_as(const ArgReduceShape& s, Slice units, Scratch scratch, const T* x, void* y) {
  const Cut c = cut_of(s.O, s.R, s.I, s.R);
  const bool narrow = s.out_dtype == static_cast<i64>(DType::i32);
  const auto put = [=](i64 at, i64 r) __attribute__((always_inline)) {
    if (narrow) as<i32>(y)[at] = static_cast<i32>(r);
    else as<i64>(y)[at] = r;
  };
  if constexpr (ops::IsReal<T>::value && sizeof(T) == 4) {
    if (s.I == 1 && s.R <= kShortFind) {
      float* turned = reinterpret_cast<float*>(scratch.at + kTile * 12);
      const i64 end = min_of(units.end * c.group, s.O);
      for (i64 m = units.begin * c.group; m < end; m += kTurned) {
        const i64 n = min_of(kTurned, end - m);
        turn_rows(x + m * s.R, s.R, n, turned);
        first_of_columns<largest>(turned, s.R, kTurned, n, scratch, [=](i64 i, i64 r) { put(m + i, r); });
      }
      return;
    }
  }
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 column = u % c.tiles * c.tile, width = min_of(c.tile, s.I - column);
    const Run outer = run_of(u / c.tiles, c.group, c.outer);
    for (i64 o = outer.begin; o < outer.end; ++o) {
      const T* x_o = x + o * s.R * s.I + column;
      if (s.I == 1) {
        put(o, first_of<largest>(x_o, s.R));
        continue;
      }
      const i64 to = o * s.I + column;
      first_of_columns<largest>(x_o, s.R, s.I, width, scratch, [=](i64 i, i64 r) { put(to + i, r); });
    }
  }
}

template <class T>
void argreduce_typed(const ArgReduceShape& s, Slice units, Scratch scratch, const T* x, void* y) {
  s.kind == 0 ? argreduce_as<true>(s, units, scratch, x, y) : argreduce_as<false>(s, units, scratch, x, y);
}

}  // namespace

Facts argreduce_facts(const ArgReduceShape& s) {
  Facts f;
  f.error = cannot_view(s.O, s.R, s.I);
  if (!f.error && (s.R < 1 || s.R > INT32_MAX)) f.error = "R must be 1..2^31-1";
  if (!f.error && (s.kind < 0 || s.kind > 1)) f.error = "kind must be 0 or 1";
  if (!f.error && !is_dtype(s.dtype)) f.error = "dtype is no dtype";
  if (!f.error && s.out_dtype != static_cast<i64>(DType::i32) && s.out_dtype != static_cast<i64>(DType::i64))
    f.error = "out_dtype must be int32 or int64";
  if (f.error) return f;
  f.extent[0] = Count(s.O) * Count(s.R) * Count(s.I) * Count(width_of(s.dtype));
  f.extent[1] = Count(s.O) * Count(s.I) * Count(width_of(s.out_dtype));
  f.units = cut_of(s.O, s.R, s.I, s.R).units;
  f.scratch = kTile * 12 + kShortFind * kTurned * 4;
  f.flops = static_cast<double>(s.O) * static_cast<double>(s.R) * static_cast<double>(s.I);
  return f;
}

void argreduce(const ArgReduceShape& s, Slice units, Scratch scratch, const void* x, void* y) {
  switch (static_cast<DType>(s.dtype)) {
    case DType::f32: return argreduce_typed(s, units, scratch, as<float>(x), y);
    case DType::f64: return argreduce_typed(s, units, scratch, as<double>(x), y);
    case DType::i32: return argreduce_typed(s, units, scratch, as<i32>(x), y);
    case DType::i64: return argreduce_typed(s, units, scratch, as<i64>(x), y);
    default: return argreduce_typed(s, units, scratch, as<u8>(x), y);  // booleans are 0 or 1
  }
}

}  // namespace NACRE_ISA
}  // namespace nacre
