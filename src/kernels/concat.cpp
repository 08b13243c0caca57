#include "kernels/concat.h"

#include "kernels/copy_run.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnitBytes = 64 * 1024;
constexpr i64 kBlockBytes = 4 * 1024;  // of rows of narrow parts
constexpr i64 kNarrow = 96;            // bytes that parts have on average
constexpr i64 kNarrowFar = 32;         // the same where memory is slower than a copy for each part of a row
constexpr i64 kFar = i64{16} << 20;    // bytes

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

// A part of some rows: n bytes of each, step bytes apart.
struct Strided {
  char* y;
  i64 y_step;
  const char* x;
  i64 x_step, n, rows;
};
template <class F>
NACRE_ALWAYS void each_row(const Strided& s, F copy) {
  char* y = s.y;
  const char* x = s.x;
  const i64 y_step = s.y_step, x_step = s.x_step;
  for (i64 r = s.rows; r > 0; --r, y += y_step, x += x_step) copy(y, x);
}
// Two pieces that overlap are n bytes.
template <int piece>
NACRE_ALWAYS void copy_ends(const Strided& s) {
  constexpr int part = piece < kLanes * 4 ? piece : kLanes * 4;
  each_row(s, [end = s.n - piece](char* y, const char* x) __attribute__((always_inline)) {
    copy_pieces<part, piece / part>(y, x);
    copy_pieces<part, piece / part>(y + end, x + end);
  });
}
template <int piece>
NACRE_ALWAYS void copy_whole(const Strided& s) {
  constexpr int part = piece < kLanes * 4 ? piece : kLanes * 4;
  each_row(s, [](char* y, const char* x) __attribute__((always_inline)) { copy_pieces<part, piece / part>(y, x); });
}

// `free`: so many bytes behind each run may be read, and written over.
__attribute__((noinline)) void copy_rows(const Strided& s, i64 free) {
  constexpr i64 width = kLanes * 4;
  const i64 n = s.n, most = n + free;
  if (n <= 4 && most >= 4) return copy_whole<4>(s);
  if (n <= 8 && most >= 8) return copy_whole<8>(s);
  if (n <= 16 && most >= 16) return copy_whole<16>(s);
  if (n <= 32 && most >= 32) return copy_whole<32>(s);
  if (n <= 64 && most >= 64) return copy_whole<64>(s);
  if (n > 4 && n <= 8) return copy_ends<4>(s);
  if (n > 8 && n <= 16) return copy_ends<8>(s);
  if (n > 16 && n <= 32) return copy_ends<16>(s);
  if (n > 32 && n <= 64) return copy_ends<32>(s);
  if (n > 64 && free >= width) {
    each_row(s, [n](char* y, const char* x) __attribute__((always_inline)) { copy_over(y, x, n); });
  } else {
    each_row(s, [n](char* y, const char* x) __attribute__((always_inline)) { copy_run(y, x, n); });
  }
}

// Narrow parts: some rows, which stay in L1, go together, a part at a time. What is written behind a run the next parts of
// its row write again, or apart, the next rows.
void move_parts(const ConcatShape& s, const Cut& c, Slice units, bool apart, char* whole, char* const* part) {
  const i64 end = min_of(units.end * c.rows_per_unit, s.rows), block = kBlockBytes / c.row;
  for (i64 m = units.begin * c.rows_per_unit, below; m < end; m = below) {
    below = min_of(m + block, end);
    const i64 left = s.rows - below;
    char* row = whole + m * c.row;
    i64 behind = c.row;  // in the row
    for (i64 k = 0; k < s.count; ++k) {
      const i64 n = s.widths[k] * s.itemsize;
      behind -= n;
      if (n == 0) continue;
      char* of_part = part[k] + m * n;
      if (apart) copy_rows({of_part, n, row, c.row, n, below - m}, min_of(behind + left * c.row, (end - below) * n));
      else copy_rows({row, c.row, of_part, n, n, below - m}, min_of(behind, left * n));
      row += n;
    }
  }
}

// n bytes between a part and the whole; `over`: what is written behind them is written again.
template <class Over>
NACRE_ALWAYS void move_run(bool apart, char* whole, char* part, i64 n, Over over) {
  char *y = apart ? part : whole, *x = apart ? whole : part;
  if (over) copy_over(y, x, n);
  else copy_run(y, x, n);
}

// Rows come in order, and parts in a row, so that what a copy writes `over` the end of its run is overwritten by the next
// one: all but the last rows of the run of units may do so.
void move_wide(const ConcatShape& s, const Cut& c, Slice units, bool apart, char* whole, char* const* parts) {
  const i64 begin = units.begin * c.rows_per_unit, end = min_of(units.end * c.rows_per_unit, s.rows);
  i64 width[16], count = 0, last = 1;  // parts that are not empty; rows that may not write over their end
  char *part[16], *at = whole + begin * c.row;
  for (i64 k = 0; k < s.count; ++k) {
    if (s.widths[k] == 0) continue;
    width[count] = s.widths[k] * s.itemsize;
    part[count] = parts[k] + begin * width[count];
    last = max_of(last, 1 + ceil_div(kLanes * 4, width[count]));
    ++count;
  }
  const auto rows = [&](auto over, i64 from, i64 to) __attribute__((always_inline)) {
    for (i64 m = from; m < to; ++m) {
      for (i64 k = 0; k < count; ++k) {
        move_run(apart, at, part[k], width[k], over);
        part[k] += width[k];
        at += width[k];
      }
    }
  };
  const i64 over = max_of(begin, end - last);
  rows(Yes(), begin, over);
  rows(No(), over, end);
}

// From the parts to the whole, or `apart`.
void move(const ConcatShape& s, Slice units, bool apart, const void* all, const void* const* of) {
  const Cut c = cut_of(s);
  char *whole = static_cast<char*>(const_cast<void*>(all)), *part[16];
  for (i64 k = 0; k < s.count; ++k) part[k] = static_cast<char*>(const_cast<void*>(of[k]));
  if (c.pieces == 1) {
    const i64 narrow = s.rows * c.row > kFar ? kNarrowFar : kNarrow;
    if (c.row > 0 && c.row <= narrow * s.count) return move_parts(s, c, units, apart, whole, part);
    return move_wide(s, c, units, apart, whole, part);
  }
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 m = u / c.pieces;
    const Run run = run_of(u % c.pieces, kUnitBytes, c.row);
    i64 start = 0;  // of part k in the row
    for (i64 k = 0; k < s.count; ++k) {
      const i64 width = s.widths[k] * s.itemsize;
      const i64 from = max_of(run.begin, start), until = min_of(run.end, start + width);
      if (from < until)
        move_run(apart, whole + m * c.row + from, part[k] + m * width + from - start, until - from, No());
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
  move(s, units, false, y, x);
}

void split(const ConcatShape& s, Slice units, const void* x, void* y0, void* y1, void* y2, void* y3, void* y4, void* y5,
           void* y6, void* y7, void* y8, void* y9, void* y10, void* y11, void* y12, void* y13, void* y14, void* y15) {
  void* const y[] = {y0, y1, y2, y3, y4, y5, y6, y7, y8, y9, y10, y11, y12, y13, y14, y15};
  move(s, units, true, x, y);
}

}  // namespace NACRE_ISA
}  // namespace nacre
