// Elements become unsigned numbers of the same order, which are sorted together with their places: by insertion when
// they are few, else by radix, byte after byte from the lowest, leaving out bytes that are all equal.
#include "kernels/sort.h"

#include "kernels/loops.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kFew = 40;     // insertion beats eight histograms; guess
constexpr i64 kUnit = 4096;  // elements sorted by a unit, at least

struct Item {
  u64 key;
  i64 at;
};

NACRE_ALWAYS u64 key_of(float v) {
  u32 raw;
  __builtin_memcpy(&raw, &v, 4);
  raw &= 0u - static_cast<u32>(raw != 0x80000000u);  // -0 is 0
  raw ^= (0u - (raw >> 31)) | 0x80000000u;           // of a negative number all bits, else the first
  return raw | (0u - static_cast<u32>(v != v));
}
NACRE_ALWAYS u64 key_of(double v) {
  u64 raw;
  __builtin_memcpy(&raw, &v, 8);
  raw &= u64(0) - static_cast<u64>(raw != u64(1) << 63);
  raw ^= (u64(0) - (raw >> 63)) | u64(1) << 63;
  return raw | (u64(0) - static_cast<u64>(v != v));
}
NACRE_ALWAYS u64 key_of(i32 v) { return static_cast<u32>(v) ^ 0x80000000u; }
NACRE_ALWAYS u64 key_of(i64 v) { return static_cast<u64>(v) ^ u64(1) << 63; }
NACRE_ALWAYS u64 key_of(u8 v) { return v; }
NACRE_ALWAYS u64 key_of(Bool v) { return v.v != 0; }

// Keys of the other order, within as many bits as the type has.
template <class T>
NACRE_ALWAYS u64 key_of(T v, bool descending) {
  constexpr u64 all = sizeof(T) == 8 ? ~u64(0) : (u64(1) << 8 * sizeof(T)) - 1;
  return descending ? all - key_of(v) : key_of(v);
}

// Sorts a[0..n), b is room for as many; returns where the result is.
Item* sorted_items(Item* a, Item* b, i64 n, int bytes) {
  if (n <= kFew) {
    for (i64 i = 1; i < n; ++i) {
      const Item item = a[i];
      i64 j = i;
      for (; j > 0 && a[j - 1].key > item.key; --j) a[j] = a[j - 1];
      a[j] = item;
    }
    return a;
  }
  for (int byte = 0; byte < bytes; ++byte) {
    const int shift = 8 * byte;
    i64 start[256] = {};
    for (i64 i = 0; i < n; ++i) ++start[a[i].key >> shift & 255];
    if (start[a[0].key >> shift & 255] == n) continue;
    i64 sum = 0;
    for (int d = 0; d < 256; ++d) {
      const i64 count = start[d];
      start[d] = sum;
      sum += count;
    }
    for (i64 i = 0; i < n; ++i) b[start[a[i].key >> shift & 255]++] = a[i];
    Item* other = a;
    a = b;
    b = other;
  }
  return a;
}

i64 group_of(i64 R) { return max_of(1, kUnit / max_of(R, 1)); }

// done(first element of the lane, items in order) for each lane of the units.
template <class T, class F>
NACRE_ALWAYS void each_lane(const SortShape& s, Slice units, Scratch scratch, const T* x, F done) {
  Item *a = reinterpret_cast<Item*>(scratch.at), *b = a + s.R;
  const i64 group = group_of(s.R), lanes = s.O * s.I, end = min_of(units.end * group, lanes);
  for (i64 lane = units.begin * group; lane < end; ++lane) {
    const i64 first = lane / s.I * s.R * s.I + lane % s.I;
    for (i64 r = 0; r < s.R; ++r) a[r] = {key_of(x[first + r * s.I], s.descending != 0), r};
    done(first, sorted_items(a, b, s.R, static_cast<int>(sizeof(T))));
  }
}

bool is_index(i64 t) { return t == static_cast<i64>(DType::i32) || t == static_cast<i64>(DType::i64); }

Facts sort_facts_of(const SortShape& s, bool indices) {
  Facts f;
  if (s.O < 0 || s.R < 0 || s.I < 0) f.error = "O, R and I must not be negative";
  else if (!product_fits(s.O, s.R, s.I) || s.R > UINT32_MAX) f.error = "the number of elements overflows";
  else if (!is_dtype(s.dtype)) f.error = "dtype is no dtype";
  else if (s.descending < 0 || s.descending > 1) f.error = "descending must be 0 or 1";
  else if (!is_index(s.index_dtype)) f.error = "index_dtype must be int32 or int64";
  else if (s.R > INT32_MAX && s.index_dtype == static_cast<i64>(DType::i32)) f.error = "R needs int64 indices";
  if (f.error) return f;
  const Count all = Count(s.O) * Count(s.R) * Count(s.I);
  f.extent[0] = all * Count(width_of(s.dtype));
  f.extent[1] = all * Count(width_of(indices ? s.index_dtype : s.dtype));
  if (all.value() > 0) f.units = ceil_div(s.O * s.I, group_of(s.R));
  f.scratch = s.R * 2 * static_cast<i64>(sizeof(Item));
  f.flops = static_cast<double>(all.value());
  return f;
}

}  // namespace

Facts sort_facts(const SortShape& s) { return sort_facts_of(s, false); }
Facts argsort_facts(const SortShape& s) { return sort_facts_of(s, true); }

void sort(const SortShape& s, Slice units, Scratch scratch, const void* x, void* y) {
  NACRE_BY_DTYPE(s.dtype, T, {
    const T* from = as<T>(x);
    T* out = as<T>(y);
    each_lane(s, units, scratch, from, [&](i64 first, const Item* items) {
      for (i64 r = 0; r < s.R; ++r) out[first + r * s.I] = from[first + items[r].at * s.I];
    });
  })
}

void argsort(const SortShape& s, Slice units, Scratch scratch, const void* x, void* y) {
  const bool narrow = s.index_dtype == static_cast<i64>(DType::i32);
  NACRE_BY_DTYPE(s.dtype, T, {
    each_lane(s, units, scratch, as<T>(x), [&](i64 first, const Item* items) {
      for (i64 r = 0; r < s.R; ++r) {
        if (narrow) as<i32>(y)[first + r * s.I] = static_cast<i32>(items[r].at);
        else as<i64>(y)[first + r * s.I] = items[r].at;
      }
    });
  })
}

namespace {

// The k largest of n, in order. A few are kept sorted while the row goes by; many are cheaper by sorting all.
template <class T>
const Item* largest(const T* x, i64 n, i64 k, Item* a, Item* b) {
  if (k > kFew) {
    for (i64 i = 0; i < n; ++i) a[i] = {key_of(x[i], true), i};
    return sorted_items(a, b, n, static_cast<int>(sizeof(T)));
  }
  i64 held = 0;
  for (i64 i = 0; i < n; ++i) {
    const u64 key = key_of(x[i], true);
    if (held == k && key >= a[k - 1].key) continue;
    i64 j = held < k ? held++ : k - 1;
    for (; j > 0 && a[j - 1].key > key; --j) a[j] = a[j - 1];
    a[j] = {key, i};
  }
  return a;
}

}  // namespace

Facts top_k_facts(const TopKShape& s) {
  Facts f;
  if (s.M < 0 || s.N < 0 || s.k < 0) f.error = "M, N and k must not be negative";
  else if (s.k > s.N) f.error = "k must not exceed N";
  else if (!product_fits(s.M, s.N) || s.N > UINT32_MAX) f.error = "the number of elements overflows";
  else if (!is_dtype(s.dtype)) f.error = "dtype is no dtype";
  else if (!is_index(s.index_dtype)) f.error = "index_dtype must be int32 or int64";
  else if (s.N > INT32_MAX && s.index_dtype == static_cast<i64>(DType::i32)) f.error = "N needs int64 indices";
  if (f.error) return f;
  f.extent[0] = Count(s.M) * Count(s.N) * Count(width_of(s.dtype));
  f.extent[1] = Count(s.M) * Count(s.k) * Count(width_of(s.dtype));
  f.extent[2] = Count(s.M) * Count(s.k) * Count(width_of(s.index_dtype));
  if (s.k > 0) f.units = ceil_div(s.M, group_of(s.N));
  f.scratch = (s.k > kFew ? 2 * s.N : kFew) * static_cast<i64>(sizeof(Item));
  f.flops = static_cast<double>(s.M) * static_cast<double>(s.N);
  return f;
}

void top_k(const TopKShape& s, Slice units, Scratch scratch, const void* x, void* values, void* indices) {
  Item *a = reinterpret_cast<Item*>(scratch.at), *b = a + s.N;
  const bool narrow = s.index_dtype == static_cast<i64>(DType::i32);
  const i64 group = group_of(s.N), end = min_of(units.end * group, s.M);
  NACRE_BY_DTYPE(s.dtype, T, {
    for (i64 m = units.begin * group; m < end; ++m) {
      const T* x_m = as<T>(x) + m * s.N;
      const Item* top = largest(x_m, s.N, s.k, a, b);
      for (i64 j = 0; j < s.k; ++j) {
        as<T>(values)[m * s.k + j] = x_m[top[j].at];
        if (narrow) as<i32>(indices)[m * s.k + j] = static_cast<i32>(top[j].at);
        else as<i64>(indices)[m * s.k + j] = top[j].at;
      }
    }
  })
}

constexpr i64 kSearches = 8;  // that go on together, without a branch that depends on what they find

Facts searchsorted_facts(const SearchShape& s) {
  Facts f;
  if (s.n < 0 || s.m < 0) f.error = "n and m must not be negative";
  else if (!product_fits(s.n) || !product_fits(s.m)) f.error = "the number of elements overflows";
  else if (!is_dtype(s.dtype)) f.error = "dtype is no dtype";
  else if (!is_index(s.index_dtype)) f.error = "index_dtype must be int32 or int64";
  else if (s.right < 0 || s.right > 1) f.error = "right must be 0 or 1";
  else if (s.n > INT32_MAX && s.index_dtype == static_cast<i64>(DType::i32)) f.error = "n needs int64 indices";
  if (f.error) return f;
  f.extent[0] = Count(s.n) * Count(width_of(s.dtype));
  f.extent[1] = Count(s.m) * Count(width_of(s.dtype));
  f.extent[2] = Count(s.m) * Count(width_of(s.index_dtype));
  f.units = ceil_div(s.m, 256);
  return f;
}

void searchsorted(const SearchShape& s, Slice units, const void* sorted, const void* values, void* y) {
  const bool narrow = s.index_dtype == static_cast<i64>(DType::i32);
  const i64 end = min_of(units.end * 256, s.m);
  NACRE_BY_DTYPE(s.dtype, T, {
    for (i64 j = units.begin * 256; j < end; j += kSearches) {
      u64 key[kSearches] = {};
      i64 below[kSearches] = {};
      const i64 count = min_of(kSearches, end - j);
      for (i64 i = 0; i < count; ++i) key[i] = key_of(as<T>(values)[j + i]);
      for (i64 left = s.n; left > 0;) {
        const i64 half = max_of(left / 2, 1);
        for (int i = 0; i < kSearches; ++i) {
          const u64 other = key_of(as<T>(sorted)[below[i] + half - 1]);
          const bool passed = (other < key[i]) | ((s.right != 0) & (other == key[i]));
          below[i] += half & -static_cast<i64>(passed);
        }
        left = left == 1 ? 0 : left - half;
      }
      for (i64 i = 0; i < count; ++i) {
        if (narrow) as<i32>(y)[j + i] = static_cast<i32>(below[i]);
        else as<i64>(y)[j + i] = below[i];
      }
    }
  })
}

}  // namespace NACRE_ISA
}  // namespace nacre
