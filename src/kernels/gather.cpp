#include "kernels/gather.h"

#include "kernels/copy_run.h"
#include "kernels/elementwise.h"
#include "kernels/reduce_ops.h"
#include "kernels/update.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnit = 16384;        // elements in a unit
constexpr i64 kMostUnits = 64;      // of a scatter: each looks at every index
constexpr i64 kTogether = 1 << 18;  // elements that stay in L2 between their start and what is added

bool is_index(i64 dtype) { return dtype == static_cast<i64>(DType::i32) || dtype == static_cast<i64>(DType::i64); }

// The row that `index` means, or -1.
NACRE_ALWAYS i64 wrapped(i64 index, i64 R) {
  if (index < 0) index += R;  // cannot overflow: R >= 0
  return index >= 0 && index < R ? index : -1;
}

// What is read out of range: the bits of the dtype's number.
u64 missing_bits(i64 dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::f32: return u64{0x7fc00000};
    case DType::f64: return u64{0x7ff8000000000000};
    case DType::i32: return u64{0x80000000};
    case DType::i64: return u64{0x8000000000000000};
    case DType::u8: return 255;
    default: return 1;
  }
}

// f(x, y, missing) by the width of the elements, which are only moved.
template <class F>
NACRE_ALWAYS void by_width(i64 dtype, const void* x, void* y, F f) {
  const u64 missing = missing_bits(dtype);
  switch (width_of(dtype)) {
    case 1: return f(as<u8>(x), as<u8>(y), static_cast<u8>(missing));
    case 4: return f(as<i32>(x), as<i32>(y), static_cast<i32>(missing));
    default: return f(as<i64>(x), as<i64>(y), static_cast<i64>(missing));
  }
}

template <class F>
NACRE_ALWAYS void by_index(i64 index_dtype, const void* indices, F f) {
  if (index_dtype == static_cast<i64>(DType::i32)) f(as<i32>(indices));
  else f(as<i64>(indices));
}

// Rows per unit of y: as many as make kUnit elements.
i64 group_of(i64 I) { return max_of(1, kUnit / max_of(I, 1)); }

// `width`: bytes of a row, or 0 where these are known only when it runs.
template <i64 width, class T, class X>
void gather_rows_of(const GatherShape& s, Slice units, const T* x, const X* indices, T* y, T missing) {
  const i64 I = width ? width / static_cast<i64>(sizeof(T)) : s.I, R = s.R, n = s.n;
  const i64 group = group_of(I), end = min_of(units.end * group, s.O * n);
  constexpr i64 ahead = 8;  // rows fetched before they are copied; they lie anywhere
  i64 j = units.begin * group % max_of(n, 1);
  for (i64 k = units.begin * group; k < end;) {
    const T* x_o = x + k / n * R * I;
    for (const i64 last = min_of(n, j + end - k); j < last; ++j, ++k) {
      if (j + ahead < n) {
        const i64 next = wrapped(indices[j + ahead], R);
        if (next >= 0) __builtin_prefetch(x_o + next * I, 0, 3);
      }
      const i64 r = wrapped(indices[j], R);
      T* y_k = y + k * I;
      if (r < 0) {
        for (i64 i = 0; i < I; ++i) y_k[i] = missing;
      } else if constexpr (width > 0) {
        constexpr int part = width < kLanes * 4 ? width : kLanes * 4;
        copy_pieces<part, width / part>(reinterpret_cast<char*>(y_k), reinterpret_cast<const char*>(x_o + r * I));
      } else {
        copy_run(reinterpret_cast<char*>(y_k), reinterpret_cast<const char*>(x_o + r * I),
                 I * static_cast<i64>(sizeof(T)));
      }
    }
    j = 0;
  }
}

template <class T, class X>
void gather_rows(const GatherShape& s, Slice units, const T* x, const X* indices, T* y, T missing) {
  if constexpr (sizeof(T) == 4) {
    switch (s.I) {
      case 1: return gather_rows_of<4>(s, units, x, indices, y, missing);
      case 4: return gather_rows_of<16>(s, units, x, indices, y, missing);
      case 8: return gather_rows_of<32>(s, units, x, indices, y, missing);
      case 16: return gather_rows_of<64>(s, units, x, indices, y, missing);
      default: break;
    }
  }
  gather_rows_of<0>(s, units, x, indices, y, missing);
}

template <class T>
NACRE_ALWAYS void add_run(T* y, const T* x, i64 n) {
  if constexpr (sizeof(T) == 1 && !ops::IsReal<T>::value) {
    for (i64 i = 0; i < n; ++i) y[i] = static_cast<T>(y[i] + x[i]);
  } else if constexpr (sizeof(T) == 4 && ops::IsReal<T>::value) {  // rows are short: no loop in front
    if (n == 1) {
      *y += *x;
      return;
    }
    i64 i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + i, load(y + i) + load(x + i));
    if (i < n) store(y + i, load(y + i, n - i) + load(x + i, n - i), n - i);
  } else {
    NACRE_INDEPENDENT
    for (i64 i = 0; i < n; ++i) y[i] = ops::plus(y[i], x[i]);
  }
}
NACRE_ALWAYS void add_run(Bool* y, const Bool* x, i64 n) {  // a sum of truth values is their "or"
  for (i64 i = 0; i < n; ++i) y[i].v = static_cast<u8>((y[i].v | x[i].v) != 0);
}

template <class T>
NACRE_ALWAYS void start_run(T* y, const T* x, i64 n, bool base) {
  if (!base) __builtin_memset(static_cast<void*>(y), 0, static_cast<unsigned long>(n) * sizeof(T));
  else if (y != x) __builtin_memcpy(static_cast<void*>(y), x, static_cast<unsigned long>(n) * sizeof(T));
}

// Units of a scatter: ranges of `rows` places, at most kMostUnits per o.
struct Ranges {
  i64 rows, per_o;
};
Ranges ranges_of(i64 R, i64 I) {
  Ranges c;
  c.rows = max_of(group_of(I), ceil_div(R, kMostUnits));
  c.per_o = ceil_div(R, c.rows);
  return c;
}

// Which of at most 64 indices mean a row of the run, a bit for each.
template <class X>
__attribute__((noinline)) u64 hits_of(const X* indices, i64 count, i64 R, Run run) {
  const u64 length = static_cast<u64>(run.end - run.begin);
  u8 hit[64] = {};
  NACRE_INDEPENDENT
  for (i64 k = 0; k < count; ++k) {
    const i64 index = static_cast<i64>(indices[k]), r = index + (index < 0 ? R : 0);
    hit[k] = static_cast<u64>(r) - static_cast<u64>(run.begin) < length;
  }
  u64 bits = 0;
  for (i64 word = 0; word < 8; ++word) {
    u64 bytes;
    __builtin_memcpy(&bytes, hit + 8 * word, 8);  // little endian, as all ISAs here are
    bits |= (bytes * u64{0x0102040810204080}) >> 56 << (8 * word);
  }
  return bits;
}

// f(j, row) for the indices that mean a row of the run, in order. Most mean none: 64 at a time are looked at together.
template <class X, class F>
NACRE_ALWAYS void each_hit(const X* indices, i64 n, i64 R, Run run, F f) {
  for (i64 first = 0; first < n; first += 64) {
    const X* at = indices + first;
    for (u64 some = hits_of(at, min_of(64, n - first), R, run); some; some &= some - 1) {
      const i64 k = __builtin_ctzll(some);
      f(first + k, wrapped(at[k], R));
    }
  }
}

template <class T, class X>
void scatter_rows(const ScatterShape& s, Slice units, const T* x, const X* indices, const T* updates, T* y) {
  const Ranges c = ranges_of(s.R, s.I);
  const i64 together = max_of(1, kTogether / max_of(c.rows * s.I, 1));  // so many units look at the indices at once
  for (i64 u = units.begin; u < units.end;) {
    const i64 o = u / c.per_o, last = min_of(min_of(units.end, u + together), (o + 1) * c.per_o);
    const Run run{(u - o * c.per_o) * c.rows, min_of((last - o * c.per_o) * c.rows, s.R)};
    u = last;
    T* y_o = y + o * s.R * s.I;
    start_run(y_o + run.begin * s.I, s.base ? x + (o * s.R + run.begin) * s.I : x, (run.end - run.begin) * s.I, s.base);
    const T* updates_o = updates + o * s.n * s.I;
    const auto add = [&](i64 j, i64 r)
                         __attribute__((always_inline)) { add_run(y_o + r * s.I, updates_o + j * s.I, s.I); };
    if constexpr (sizeof(T) == 4 && ops::IsReal<T>::value) {
      if (run.end - run.begin == s.R) {
        for (i64 j = 0; j < s.n; ++j)
          if (const i64 r = wrapped(indices[j], s.R); r >= 0) add(j, r);
        continue;
      }
    }
    each_hit(indices, s.n, s.R, run, add);
  }
}

constexpr i64 kBlock = 1 << 16;  // elements of a gradient that stay in L2 until they are used
// At most one row of so many is met, or sums apart from the rule cost less: where all rows are touched, in tables of more
// than kFarTable elements, and where those without a gradient are not.
constexpr i64 kFew = 32, kFewOfFar = 8, kFewToKeep = 2, kFarTable = 1 << 22;
constexpr i64 kPart = 1 << 14;  // rows whose lists of hits are at hand at once

i64 block_rows(const ScatterUpdateShape& s) {
  return max_of(1, min_of(ranges_of(s.R, s.I).rows, kBlock / max_of(s.I, 1)));
}

i64 part_rows(const ScatterUpdateShape& s) {
  return ceil_div(min_of(kPart, max_of(s.R, 1)), block_rows(s)) * block_rows(s);
}

// Where these begin, behind the block of the gradient; cannot overflow, as R * I elements do not.
i64 hits_at(const ScatterUpdateShape& s) { return ceil_div(block_rows(s) * s.I * 4, 64) * 64; }

struct Hit {
  i64 j, row;  // of a run
  i64 next;    // hit of the same row
};

// What each_hit finds.
template <class X>
__attribute__((noinline)) i64 list_hits(const X* indices, i64 n, i64 R, Run run, Hit* hits) {
  i64 count = 0;
  each_hit(indices, n, R, run,
           [&](i64 j, i64 r) __attribute__((always_inline)) { hits[count++] = {j, r - run.begin, -1}; });
  return count;
}

MapCode code_of(const ScatterUpdateShape& s) {
  MapCode c{s.inputs, s.outputs, s.length, s.code, s.consts, s.out_reg, {}};
  for (i64 i = 0; i < s.inputs; ++i) c.number[i] = s.scalar[i] != 0;
  return c;
}

constexpr i64 kAlongTile = 256;  // columns of a unit

template <class T, class X>
void take_along_as(const GatherShape& s, Slice units, const T* x, const X* indices, T* y, T missing) {
  const i64 total = s.O * s.n * s.I, per_o = s.n * s.I;
  const i64 end = min_of(units.end * kUnit, total);
  i64 k = units.begin * kUnit;
  if (k >= end) return;
  i64 i0 = k % s.I, left = per_o - k % per_o;  // until the next o
  const T* x_o = x + k / per_o * s.R * s.I;
  while (k < end) {  // runs of i at one (o, j)
    const i64 n = min_of(s.I - i0, end - k);
    for (i64 i = 0; i < n; ++i) {
      const i64 r = wrapped(indices[k + i], s.R);
      y[k + i] = r >= 0 ? x_o[r * s.I + i0 + i] : missing;
    }
    k += n;
    i0 = 0;
    left -= n;
    if (left == 0) {
      left = per_o;
      x_o += s.R * s.I;
    }
  }
}

template <class T, class X>
void scatter_along_as(const ScatterShape& s, Slice units, const T* x, const X* indices, const T* updates, T* y) {
  const i64 tiles = ceil_div(s.I, kAlongTile), all = s.R * s.I;
  const bool together = tiles == 1;  // the places of neighbouring units are one run
  const i64 group = together ? max_of(1, kUnit / max_of(all, 1)) : 1;
  for (i64 u = units.begin; u < units.end; u += group) {
    const i64 count = min_of(group, units.end - u), first = together ? u : u / tiles;
    const Run run = run_of(together ? 0 : u % tiles, kAlongTile, s.I);
    const i64 rows = together ? 1 : s.R, width = together ? count * all : run.end - run.begin;
    for (i64 r = 0; r < rows; ++r) {
      const i64 at = first * all + r * s.I + run.begin;
      start_run(y + at, s.base ? x + at : x, width, s.base);
    }
    for (i64 o = first; o < first + count; ++o) {
      for (i64 j = 0; j < s.n; ++j) {
        const i64 at = (o * s.n + j) * s.I;
        for (i64 i = run.begin; i < run.end; ++i) {
          const i64 r = wrapped(indices[at + i], s.R);
          if (r >= 0) add_run(y + o * all + r * s.I + i, updates + at + i, 1);
        }
      }
    }
  }
}

i64 places_of(const ScatterNdShape& s) {
  i64 places = 1;
  for (i64 d = 0; d < s.rank; ++d) places *= s.dims[d];
  return places;
}

template <class T, class X>
void scatter_nd_as(const ScatterNdShape& s, Slice units, const T* x, const X* indices, const T* updates, T* y) {
  const i64 places = places_of(s);
  const Ranges c = ranges_of(places, s.inner);
  for (i64 u = units.begin; u < units.end; ++u) {
    const Run run = run_of(u, c.rows, places);
    const i64 first = run.begin * s.inner;
    start_run(y + first, s.base ? x + first : x, (run.end - run.begin) * s.inner, s.base);
    for (i64 j = 0; j < s.n; ++j) {
      i64 at = 0;
      for (i64 d = 0; d < s.rank && at >= 0; ++d) {
        const i64 r = wrapped(indices[j * s.rank + d], s.dims[d]);
        at = r < 0 ? -1 : at * s.dims[d] + r;
      }
      if (at < run.begin || at >= run.end) continue;
      T* place = y + at * s.inner;
      const T* update = updates + j * s.inner;
      if (s.add) add_run(place, update, s.inner);
      else
        for (i64 i = 0; i < s.inner; ++i) place[i] = update[i];
    }
  }
}

const char* cannot(i64 O, i64 R, i64 I, i64 n, i64 index_dtype, i64 dtype) {
  if (O < 0 || R < 0 || I < 0 || n < 0) return "O, R, I and n must not be negative";
  if (!product_fits(O, R, I) || !product_fits(O, n, I)) return "the number of elements overflows";
  if (!is_index(index_dtype)) return "index_dtype must be int32 or int64";
  if (!is_dtype(dtype)) return "dtype is no dtype";
  return nullptr;
}

Facts scatter_facts_of(const ScatterShape& s, bool along) {
  Facts f;
  f.error = cannot(s.O, s.R, s.I, s.n, s.index_dtype, s.dtype);
  if (!f.error && (s.base < 0 || s.base > 1)) f.error = "base must be 0 or 1";
  if (f.error) return f;
  const Count width = Count(width_of(s.dtype)), all = Count(s.O) * Count(s.n) * Count(s.I);
  f.extent[3] = Count(s.O) * Count(s.R) * Count(s.I) * width;
  f.extent[0] = s.base ? f.extent[3] : Count(0);
  f.extent[1] = (along ? all : Count(s.n)) * Count(width_of(s.index_dtype));
  f.extent[2] = all * width;
  f.flops = static_cast<double>(all.value());
  if (f.extent[3].value() == 0) return f;
  f.units = s.O * (along ? ceil_div(s.I, kAlongTile) : ranges_of(s.R, s.I).per_o);
  return f;
}

}  // namespace

Facts gather_facts(const GatherShape& s) {
  Facts f;
  f.error = cannot(s.O, s.R, s.I, s.n, s.index_dtype, s.dtype);
  if (f.error) return f;
  f.extent[0] = Count(s.O) * Count(s.R) * Count(s.I) * Count(width_of(s.dtype));
  f.extent[1] = Count(s.n) * Count(width_of(s.index_dtype));
  f.extent[2] = Count(s.O) * Count(s.n) * Count(s.I) * Count(width_of(s.dtype));
  if (s.I > 0) f.units = ceil_div(s.O * s.n, group_of(s.I));
  return f;
}

void gather(const GatherShape& s, Slice units, const void* x, const void* indices, void* y) {
  by_index(s.index_dtype, indices, [&](const auto* index) {
    by_width(s.dtype, x, y,
             [&](auto* from, auto* to, auto missing) { gather_rows(s, units, from, index, to, missing); });
  });
}

Facts scatter_add_facts(const ScatterShape& s) { return scatter_facts_of(s, false); }

void scatter_add(const ScatterShape& s, Slice units, const void* x, const void* indices, const void* updates, void* y) {
  by_index(s.index_dtype, indices, [&](const auto* index) {
    NACRE_BY_DTYPE(s.dtype, T, scatter_rows(s, units, as<T>(x), index, as<T>(updates), as<T>(y)))
  });
}

Facts scatter_update_facts(const ScatterUpdateShape& s) {
  Facts f;
  f.error = cannot(1, s.R, s.I, s.n, s.index_dtype, static_cast<i64>(DType::f32));
  if (!f.error && (s.inputs < 1 || s.inputs > 8)) f.error = "inputs must be 1..8";
  if (f.error) return f;
  f.error = program_error(s);
  if (f.error) return f;
  const UpdateMatch rule = match_update(code_of(s), nullptr, nullptr);
  if (!rule.found) f.error = "the program is no rule of an optimizer";
  else if (s.n > s.R / (keeps_without_gradient(rule, code_of(s), nullptr, nullptr) ? kFewToKeep
                        : s.R * s.I > kFarTable                                    ? kFewOfFar
                                                                                   : kFew))
    f.error = "n must be at most R / 32, R / 8 of large tables, R / 2 where rows without a gradient stay as they are";
  if (f.error) return f;
  const i64 all = s.R * s.I;
  f.extent[0] = Count(s.n) * Count(width_of(s.index_dtype));
  f.extent[1] = Count(s.n) * Count(s.I);
  for (i64 i = 1; i < s.inputs; ++i) f.extent[1 + i] = s.scalar[i] ? Count(all > 0 ? 1 : 0) : Count(all);
  for (i64 o = 0; o < s.outputs; ++o) f.extent[9 + o] = Count(all);
  f.flops = static_cast<double>(s.length) * static_cast<double>(all);
  if (all == 0) return f;
  f.units = ranges_of(s.R, s.I).per_o;
  const Count block = Count(hits_at(s)) + Count(s.n) * Count(sizeof(Hit)) + Count(part_rows(s) * 8);
  if (!block.ok()) f.error = "the number of elements overflows";
  else f.scratch = ceil_div(block.value(), 64) * 64;
  return f;
}

void scatter_update(const ScatterUpdateShape& s, Slice units, Scratch scratch, const void* indices,
                    const float* updates, const float* e1, const float* e2, const float* e3, const float* e4,
                    const float* e5, const float* e6, const float* e7, float* y0, float* y1, float* y2, float* y3) {
  if (units.begin >= units.end) return;
  const float* const e[] = {nullptr, e1, e2, e3, e4, e5, e6, e7};
  float* const y[] = {y0, y1, y2, y3};
  const MapCode code = code_of(s);
  const UpdateMatch rule = match_update(code, nullptr, nullptr);
  const i64 block = block_rows(s), part = part_rows(s), per_unit = ranges_of(s.R, s.I).rows;
  float* g = reinterpret_cast<float*>(scratch.at);
  Hit* hits = reinterpret_cast<Hit*>(scratch.at + hits_at(s));
  i64* heads = reinterpret_cast<i64*>(hits + s.n);  // the first hit of a row
  // row `first` and those behind it, whose gradients are g
  const auto update = [&](i64 first, i64 rows) {
    const float* in[8] = {g};
    float* out[4];
    for (i64 i = 1; i < s.inputs; ++i) in[i] = s.scalar[i] ? e[i] : e[i] + first * s.I;
    for (i64 o = 0; o < s.outputs; ++o) out[o] = y[o] + first * s.I;
    run_update(rule, code, rows * s.I, in, out);
  };
  const auto ask = [&](i64 row) {
    for (i64 o = 0; o < s.outputs; ++o)
      for (i64 i = 0; i < s.I; i += 16) __builtin_prefetch(y[o] + row * s.I + i, 1, 3);
  };
  const auto sum = [&](i64 h, float* to) {
    for (; h >= 0; h = hits[h].next) add_run(to, updates + hits[h].j * s.I, s.I);
  };
  const auto clear = [&](i64 rows) { __builtin_memset(g, 0, static_cast<unsigned long>(rows * s.I) * sizeof(float)); };
  constexpr i64 ahead = 4;
  const bool few = keeps_without_gradient(rule, code, e, y);
  const Run all{units.begin * per_unit, min_of(units.end * per_unit, s.R)};
  for (i64 first = all.begin; first < all.end; first += part) {
    const Run run{first, min_of(first + part, all.end)};
    const i64 rows = run.end - run.begin;
    i64 count = 0;
    by_index(s.index_dtype, indices, [&](const auto* index) { count = list_hits(index, s.n, s.R, run, hits); });
    for (i64 r = 0; r < rows && !few; ++r) heads[r] = -1;
    for (i64 h = 0; h < count && few; ++h) heads[hits[h].row] = -1;
    for (i64 h = count - 1; h >= 0; --h) {
      hits[h].next = heads[hits[h].row];
      heads[hits[h].row] = h;
    }
    for (i64 h = 0; h < count && few; ++h) {
      if (h + ahead < count) ask(first + hits[h + ahead].row);
      if (heads[hits[h].row] != h) continue;  // met before
      clear(1);
      sum(h, g);
      update(first + hits[h].row, 1);
    }
    for (i64 from = 0; from < rows && !few; from += block) {
      const i64 some = min_of(block, rows - from);
      clear(some);
      for (i64 r = 0; r < some; ++r) sum(heads[from + r], g + r * s.I);
      update(first + from, some);
    }
  }
}

Facts take_along_facts(const GatherShape& s) {
  Facts f;
  f.error = cannot(s.O, s.R, s.I, s.n, s.index_dtype, s.dtype);
  if (f.error) return f;
  const Count all = Count(s.O) * Count(s.n) * Count(s.I);
  f.extent[0] = Count(s.O) * Count(s.R) * Count(s.I) * Count(width_of(s.dtype));
  f.extent[1] = all * Count(width_of(s.index_dtype));
  f.extent[2] = all * Count(width_of(s.dtype));
  f.units = ceil_div(all.value(), kUnit);
  return f;
}

void take_along(const GatherShape& s, Slice units, const void* x, const void* indices, void* y) {
  by_index(s.index_dtype, indices, [&](const auto* index) {
    by_width(s.dtype, x, y,
             [&](auto* from, auto* to, auto missing) { take_along_as(s, units, from, index, to, missing); });
  });
}

Facts scatter_add_along_facts(const ScatterShape& s) { return scatter_facts_of(s, true); }

void scatter_add_along(const ScatterShape& s, Slice units, const void* x, const void* indices, const void* updates,
                       void* y) {
  by_index(s.index_dtype, indices, [&](const auto* index) {
    NACRE_BY_DTYPE(s.dtype, T, scatter_along_as(s, units, as<T>(x), index, as<T>(updates), as<T>(y)))
  });
}

Facts scatter_nd_facts(const ScatterNdShape& s) {
  Facts f;
  if (s.rank < 0 || s.rank > 8) f.error = "rank must be 0..8";
  else if (s.inner < 0 || s.n < 0) f.error = "inner and n must not be negative";
  else if (!is_index(s.index_dtype)) f.error = "index_dtype must be int32 or int64";
  else if (!is_dtype(s.dtype)) f.error = "dtype is no dtype";
  else if (s.base < 0 || s.base > 1 || s.add < 0 || s.add > 1) f.error = "base and add must be 0 or 1";
  if (f.error) return f;
  Count places = 1, most = Count(16) * Count(max_of(s.inner, 1));
  for (i64 d = 0; d < s.rank; ++d) {
    if (s.dims[d] < 0) f.error = "a dim is negative";
    places = places * Count(s.dims[d]);
    most = most * Count(max_of(s.dims[d], 1));
  }
  if (!f.error && (!most.ok() || !product_fits(s.n, s.inner) || !product_fits(s.n, s.rank)))
    f.error = "the number of elements overflows";
  if (f.error) return f;
  const Count width = Count(width_of(s.dtype));
  f.extent[3] = places * Count(s.inner) * width;
  f.extent[0] = s.base ? f.extent[3] : Count(0);
  f.extent[1] = Count(s.n) * Count(s.rank) * Count(width_of(s.index_dtype));
  f.extent[2] = Count(s.n) * Count(s.inner) * width;
  f.flops = static_cast<double>(s.n) * static_cast<double>(s.inner);
  if (f.extent[3].value() > 0) f.units = ranges_of(places.value(), s.inner).per_o;
  return f;
}

void scatter_nd(const ScatterNdShape& s, Slice units, const void* x, const void* indices, const void* updates,
                void* y) {
  by_index(s.index_dtype, indices, [&](const auto* index) {
    NACRE_BY_DTYPE(s.dtype, T, scatter_nd_as(s, units, as<T>(x), index, as<T>(updates), as<T>(y)))
  });
}

}  // namespace NACRE_ISA
}  // namespace nacre
