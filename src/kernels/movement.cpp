#include "kernels/movement.h"

#include "kernels/copy_run.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnitBytes = 64 * 1024;

// pad sees x as rows of `width` items, an item being `run` elements of trailing dims that are not padded.
struct PadPlan {
  i64 rank;             // dims that count, the row included
  i64 run, width, row;  // elements of an item; items of a row of x; of y
  i64 rows, rows_per_unit;
};

PadPlan plan_of(const PadShape& s) {
  PadPlan p{s.rank, 1, 1, 1, 1, 1};
  while (p.rank > 0 && s.before[p.rank - 1] == 0 && s.after[p.rank - 1] == 0) p.run *= s.dims[--p.rank];
  if (p.rank > 0) {
    p.width = s.dims[p.rank - 1];
    p.row = s.before[p.rank - 1] + p.width + s.after[p.rank - 1];
  }
  for (i64 d = 0; d + 1 < p.rank; ++d) p.rows *= s.before[d] + s.dims[d] + s.after[d];
  p.rows_per_unit = max_of(1, kUnitBytes / max_of(1, p.row * p.run * width_of(s.dtype)));
  return p;
}

// Which index of x stands at place `at` (0 is the first of x), or -1 for the constant.
i64 source(i64 at, i64 n, i64 mode) {
  if (at >= 0 && at < n) return at;
  if (mode == kPadConstant) return -1;
  if (mode == kPadEdge) return at < 0 ? 0 : n - 1;
  if (n == 1) return 0;
  const i64 period = mode == kPadReflect ? 2 * (n - 1) : 2 * n;
  i64 r = at % period;
  if (r < 0) r += period;
  return r < n ? r : mode == kPadReflect ? period - r : period - 1 - r;
}

template <class T>
void pad_as(const PadShape& s, Slice units, const T* x, T* y) {
  const PadPlan p = plan_of(s);
  const T value = to<T>(s.value);
  const i64 end = min_of(units.end * p.rows_per_unit, p.rows);
  const i64 left = p.rank > 0 ? s.before[p.rank - 1] : 0;
  for (i64 m = units.begin * p.rows_per_unit; m < end; ++m) {
    T* y_m = y + m * p.row * p.run;
    i64 rest = m, from = 0, scale = 1;  // from: the row of x
    bool inside = true;
    for (i64 d = p.rank - 2; d >= 0; --d) {
      const i64 n = s.before[d] + s.dims[d] + s.after[d];
      const i64 at = source(rest % n - s.before[d], s.dims[d], s.mode);
      rest /= n;
      inside = inside && at >= 0;
      from += at * scale;
      scale *= s.dims[d];
    }
    if (!inside) {
      for (i64 i = 0; i < p.row * p.run; ++i) y_m[i] = value;
      continue;
    }
    const T* x_m = x + from * p.width * p.run;
    const auto outside = [&](i64 begin, i64 until) {
      if (s.mode == kPadConstant) {
        for (i64 i = begin * p.run; i < until * p.run; ++i) y_m[i] = value;
      } else {
        for (i64 j = begin; j < until; ++j) {
          const T* item = x_m + source(j - left, p.width, s.mode) * p.run;
          for (i64 i = 0; i < p.run; ++i) y_m[j * p.run + i] = item[i];
        }
      }
    };
    outside(0, left);
    if (p.width * p.run > 0)
      copy_run(reinterpret_cast<char*>(y_m + left * p.run), reinterpret_cast<const char*>(x_m),
               p.width * p.run * static_cast<i64>(sizeof(T)));
    outside(left + p.width, p.row);
  }
}

constexpr i64 kIotaUnit = 16384;

template <class T>
void iota_as(const IotaShape& s, Slice units, T* y) {
  for (i64 u = units.begin; u < units.end; ++u) {
    const Run run = run_of(u, kIotaUnit, s.n);
    const int n = static_cast<int>(run.end - run.begin);  // vectors of whole numbers of 32 bits become floats
    if constexpr (sizeof(T) == 1 || static_cast<T>(1) / 2 == 0) {
      const u64 step = static_cast<u64>(to<i64>(s.step));
      const u64 first = static_cast<u64>(to<i64>(s.start)) + static_cast<u64>(run.begin) * step;
      const auto count = [&](auto from, auto by) __attribute__((always_inline)) {
        for (int i = 0; i < n; ++i) y[run.begin + i] = static_cast<T>(from + static_cast<decltype(by)>(i) * by);
      };
      if constexpr (sizeof(T) <= 4) count(static_cast<u32>(first), static_cast<u32>(step));
      else count(first, step);
    } else {
      const double first = static_cast<double>(run.begin);
      for (int i = 0; i < n; ++i)
        y[run.begin + i] = static_cast<T>(s.start + (first + static_cast<double>(i)) * s.step);
    }
  }
}

i64 one_hot_rows(const OneHotShape& s) { return max_of(1, kUnitBytes / max_of(1, s.depth * width_of(s.dtype))); }

template <class T>
void one_hot_as(const OneHotShape& s, Slice units, const void* indices, T* y) {
  const i64 per = one_hot_rows(s), end = min_of(units.end * per, s.n);
  for (i64 i = units.begin * per; i < end; ++i) {
    T* y_i = y + i * s.depth;
    for (i64 k = 0; k < s.depth; ++k) y_i[k] = to<T>(i32(0));
    i64 at;
    switch (static_cast<DType>(s.index_dtype)) {
      case DType::i32: at = as<i32>(indices)[i]; break;
      case DType::i64: at = as<i64>(indices)[i]; break;
      default: at = as<u8>(indices)[i]; break;
    }
    if (at >= 0 && at < s.depth) y_i[at] = to<T>(i32(1));
  }
}

}  // namespace

Facts pad_facts(const PadShape& s) {
  Facts f;
  if (s.rank < 0 || s.rank > 8) f.error = "rank must be 0..8";
  else if (s.mode < 0 || s.mode >= kPadModes) f.error = "mode must be 0..3";
  else if (!is_dtype(s.dtype)) f.error = "dtype is no dtype";
  if (f.error) return f;
  Count in = 1, out = 1, most = 16;
  for (i64 d = 0; d < s.rank; ++d) {
    const Count n = Count(s.before[d]) + Count(s.dims[d]) + Count(s.after[d]);
    if (!n.ok()) f.error = "dims, before and after must not be negative";
    else if (s.mode != kPadConstant && s.dims[d] == 0 && n.value() > 0) f.error = "an empty dim has nothing to repeat";
    else if (s.mode != kPadConstant && s.dims[d] > INT64_MAX / 4) f.error = "the number of elements overflows";
    in = in * Count(s.dims[d]);
    out = out * n;
    most = most * Count(max_of(n.value(), 1));
  }
  if (!f.error && !most.ok()) f.error = "the number of elements overflows";
  if (f.error) return f;
  f.extent[0] = in * Count(width_of(s.dtype));
  f.extent[1] = out * Count(width_of(s.dtype));
  if (out.value() > 0) {
    const PadPlan p = plan_of(s);
    f.units = ceil_div(p.rows, p.rows_per_unit);
  }
  return f;
}

void pad(const PadShape& s, Slice units, const void* x,
         void* y){NACRE_BY_DTYPE(s.dtype, T, pad_as(s, units, as<T>(x), as<T>(y)))}

Facts iota_facts(const IotaShape& s) {
  Facts f;
  if (s.n < 0) f.error = "n must not be negative";
  else if (!is_dtype(s.dtype) || s.dtype == static_cast<i64>(DType::boolean)) f.error = "dtype must be a number's";
  else if (!product_fits(s.n)) f.error = "the number of elements overflows";
  if (f.error) return f;
  f.extent[0] = Count(s.n) * Count(width_of(s.dtype));
  f.units = ceil_div(s.n, kIotaUnit);
  return f;
}

void iota(const IotaShape& s, Slice units, void* y) {
  switch (static_cast<DType>(s.dtype)) {
    case DType::f32: return iota_as(s, units, as<float>(y));
    case DType::f64: return iota_as(s, units, as<double>(y));
    case DType::i32: return iota_as(s, units, as<i32>(y));
    case DType::i64: return iota_as(s, units, as<i64>(y));
    default: return iota_as(s, units, as<u8>(y));
  }
}

Facts one_hot_facts(const OneHotShape& s) {
  Facts f;
  const DType t = static_cast<DType>(s.index_dtype);
  if (s.n < 0 || s.depth < 0) f.error = "n and depth must not be negative";
  else if (t != DType::i32 && t != DType::i64 && t != DType::u8) f.error = "index_dtype must be int32, int64 or uint8";
  else if (!is_dtype(s.dtype)) f.error = "dtype is no dtype";
  else if (!product_fits(s.n, s.depth)) f.error = "the number of elements overflows";
  if (f.error) return f;
  f.extent[0] = Count(s.n) * Count(size_of(t));
  f.extent[1] = Count(s.n) * Count(s.depth) * Count(width_of(s.dtype));
  if (s.depth > 0) f.units = ceil_div(s.n, one_hot_rows(s));
  return f;
}

void one_hot(const OneHotShape& s, Slice units, const void* indices, void* y) {
  NACRE_BY_DTYPE(s.dtype, T, one_hot_as(s, units, indices, as<T>(y)))
}

}  // namespace NACRE_ISA
}  // namespace nacre
