#include "kernels/concat.h"

#include "kernels/copy_run.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnitBytes = 64 * 1024;

struct Yes {
  constexpr operator bool() const { return true; }
};
struct No {
  constexpr operator bool() const { return false; }
};

// A unit is a group of whole rows, or a piece of kUnitBytes of one long row.
struct Cut {
  i64 row, rows_per_unit, pieces, units;
};

Cut cut_of(const ConcatShape& s) {
  Cut c{0, 1, 1, 0};
  for (i64 k = 0; k < s.count; ++k) c.row += s.widths[k] * s.itemsize;
  if (c.row == 0 || s.rows == 0) return c;
  if (c.row <= kUnitBytes) c.rows_per_unit = kUnitBytes / c.row;
  else c.pieces = ceil_div(c.row, kUnitBytes);
  c.units = ceil_div(s.rows, c.rows_per_unit) * c.pieces;
  return c;
}

Facts facts_of(const ConcatShape& s, int whole, int first_part) {
  Facts f;
  if (s.rows < 0) f.error = "rows must not be negative";
  if (s.count < 1 || s.count > 16) f.error = "count must be 1..16";
  if (s.itemsize < 1 || s.itemsize > 16) f.error = "itemsize must be 1..16";
  if (f.error) return f;
  Count row = 0;
  for (i64 k = 0; k < s.count; ++k) {
    if (s.widths[k] < 0) f.error = "a width is negative";
    row = row + Count(s.widths[k]) * Count(s.itemsize);
    f.extent[first_part + k] = Count(s.rows) * Count(s.widths[k]) * Count(s.itemsize);
  }
  if (!f.error && (!row.ok() || !product_fits(s.rows, row.value()))) f.error = "the number of elements overflows";
  if (f.error) return f;
  f.extent[whole] = Count(s.rows) * row;
  f.units = cut_of(s).units;
  return f;
}

// Calls copy(over, part, offset in part, offset in whole, bytes) for all that a run of units moves. Rows come in order, and
// parts in a row, so that what a copy writes `over` the end of its run is overwritten by the next one: all but the last rows
// of the run of units may do so.
template <class F>
NACRE_ALWAYS void each_run(const ConcatShape& s, Slice units, F copy) {
  const Cut c = cut_of(s);
  if (c.pieces == 1) {
    const i64 begin = units.begin * c.rows_per_unit, end = min_of(units.end * c.rows_per_unit, s.rows);
    i64 width[16], part[16], count = 0, last = 1;  // parts that are not empty; rows that may not write over their end
    i64 number[16];
    for (i64 k = 0; k < s.count; ++k) {
      if (s.widths[k] == 0) continue;
      number[count] = k;
      width[count] = s.widths[k] * s.itemsize;
      part[count] = begin * width[count];
      last = max_of(last, 1 + ceil_div(kLanes * 4, width[count]));
      ++count;
    }
    const auto rows = [&](auto over, i64 from, i64 to) __attribute__((always_inline)) {
      for (i64 at = from * c.row; at < to * c.row;) {
        for (i64 k = 0; k < count; ++k) {
          copy(over, number[k], part[k], at, width[k]);
          part[k] += width[k];
          at += width[k];
        }
      }
    };
    const i64 whole = max_of(begin, end - last);
    rows(Yes(), begin, whole);
    rows(No(), whole, end);
    return;
  }
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 m = u / c.pieces;
    const Run run = run_of(u % c.pieces, kUnitBytes, c.row);
    i64 start = 0;  // of part k in the row
    for (i64 k = 0; k < s.count; ++k) {
      const i64 width = s.widths[k] * s.itemsize;
      const i64 from = max_of(run.begin, start), until = min_of(run.end, start + width);
      if (from < until) copy(No(), k, m * width + from - start, m * c.row + from, until - from);
      start += width;
    }
  }
}

}  // namespace

Facts concat_facts(const ConcatShape& s) { return facts_of(s, 16, 0); }
Facts split_facts(const ConcatShape& s) { return facts_of(s, 0, 1); }

void concat(const ConcatShape& s, Slice units, const void* x0, const void* x1, const void* x2, const void* x3,
            const void* x4, const void* x5, const void* x6, const void* x7, const void* x8, const void* x9,
            const void* x10, const void* x11, const void* x12, const void* x13, const void* x14, const void* x15,
            void* y) {
  const void* const x[] = {x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15};
  each_run(s, units, [&](auto over, i64 k, i64 part, i64 whole, i64 n) __attribute__((always_inline)) {
    if (over) copy_over(as<char>(y) + whole, as<char>(x[k]) + part, n);
    else copy_run(as<char>(y) + whole, as<char>(x[k]) + part, n);
  });
}

void split(const ConcatShape& s, Slice units, const void* x, void* y0, void* y1, void* y2, void* y3, void* y4, void* y5,
           void* y6, void* y7, void* y8, void* y9, void* y10, void* y11, void* y12, void* y13, void* y14, void* y15) {
  void* const y[] = {y0, y1, y2, y3, y4, y5, y6, y7, y8, y9, y10, y11, y12, y13, y14, y15};
  each_run(s, units, [&](auto over, i64 k, i64 part, i64 whole, i64 n) __attribute__((always_inline)) {
    if (over) copy_over(as<char>(y[k]) + part, as<char>(x) + whole, n);
    else copy_run(as<char>(y[k]) + part, as<char>(x) + whole, n);
  });
}

}  // namespace NACRE_ISA
}  // namespace nacre
