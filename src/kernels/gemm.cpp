#include "kernels/gemm.h"

#include <cstdint>

#include "kernels/activate.h"
#include "kernels/gemm_plan.h"
#include "kernels/gemm_tables.h"

namespace nacre::NACRE_ISA {
namespace {

// ---- running a plan -------------------------------------------------------------------------------------------------

struct Run {
  const Plan& s;
  Operands at;
  float* packed;
  float* turned;  // blocks of c^T; in the dot form, or where c must not hold them, unfinished sums
  float* copied;  // of a
  float* sparse;  // what skipping zeros needs
  bool streams;   // c goes past the caches
};

// What is left to do to rows m0..m1, columns n0..n1 of the plan's product.
NACRE_CALLED void act_on(const Run& r, i64 m0, i64 m1, i64 n0, i64 n1) {
  const i64 c_m = r.s.p.c_m;
  if (r.s.swaps) activate(r.at.act, r.at.c + n0 * c_m + m0, n1 - n0, m1 - m0, c_m);
  else activate(r.at.act, r.at.c + m0 * c_m + n0, m1 - m0, n1 - n0, c_m);
}

// a from row m0 and step k0 on: where it is, or where its copy is.
struct BlockOfA {
  const float* at;
  i64 m, k;  // strides
};

// Some panels by some steps of k.
struct BlockOfB {
  i64 j0, j1, k, kc;
};

// The blocks of panels j0..j1 in their order: whole panels in groups, then the others one by one.
struct Walk {
  const Plan& s;
  i64 j0, j1;
  i64 whole = max_of(0, min_of(j1, s.panels.full) - j0);
  i64 groups = ceil_div(whole, s.group), across = groups + (j1 - j0 - whole);
  i64 down = max_of(1, ceil_div(s.p.K, max_of(s.kc, 1)));

  i64 count() const { return across * down; }
  BlockOfB at(i64 t) const {
    i64 g = t, d = 0;
    if (down > 1) {
      g = s.k_outer ? t % across : t / down;
      d = s.k_outer ? t / across : t % down;
    }
    const i64 j = j0 + (g < groups ? g * s.group : whole + g - groups), k = d * s.kc;
    return {j, g < groups ? min_of(j + s.group, j0 + whole) : j + 1, k, min_of(s.kc, s.p.K - k)};
  }
};

// Panel j, steps k0 .. k0 + kc, rows m0 .. m1, into c: rows c_m apart, the first is m0; first column the panel's.
struct PanelPass {
  BlockOfA a;
  i64 m0, m1, j, k0, kc;
  float* c;
  i64 c_m;
  float* sums;  // likewise, those that go on
  i64 sums_m;
  bool last;
  Finish finish;
  float* packed;  // where the copy of the panel is, or will be if it has to be copied
  bool ready;
  bool first;  // panel of a run of units: none of them has read a yet
};

void panel_pass(const Run& r, const PanelPass& at, PanelCopy& next, FarLines* far = nullptr) {
  const Product& p = r.s.p;
  const auto& [a, m0, m1, j, k0, kc, c, c_m, sums, sums_m, last, finish, packed, ready, first] = at;
  const int nv = r.s.panels.width(j);
  const i64 n0 = r.s.panels.start(j) * kLanes, width = nv * kLanes, n = min_of(width, p.N - n0);
  const float* b = r.at.b + k0 * p.b_k + n0 * p.b_n;
  i64 b_k = p.b_k;
  const i64 tiles = ceil_div(m1 - m0, max_rows(nv));
  const bool one = p.M <= r.s.mr;  // tile has all rows, in any slice
  const bool chained = kMasked && one && !p.apart && p.M * nv <= (n < width ? few_sums(nv) : kFewSums);
  bool save = (n < width && !chained) || (tiles >= r.s.pays_copy && p.b_k > width && !r.s.in_place);
  if (ready || r.s.form == Form::packed || r.s.form == Form::swapped_packed || (n < width && !kFreeMasks && !chained)) {
    if (!ready && p.b_n == 1) copy_panel(b, b_k, kc, n, width, packed);
    if (!ready && p.b_n != 1) pack_turned(b, p.b_n, kc, n, width, packed);
    b = packed;
    b_k = width;
    save = false;
  }
  TileCall t;
  t.K = kc;
  t.a_m = a.m;
  t.a_k = a.k;
  t.c_m = c_m;
  t.sums_m = sums_m;
  t.n = n;
  t.more = k0 > 0;
  t.last = last;
  t.streams = r.streams && last;
  t.finish = finish;
  t.next = next;
  t.chained = chained;
  t.asks_a = !r.s.far && (r.s.asks_a || (first && a.k == 1 && kc >= kPaysAsking && tiles > 1));
  t.asks_update = finish.update && last && nv == kMainNV && kc >= kPaysAsking && !t.asks_a;
  if (t.asks_update) t.below = update::ask_first(*finish.update, c, kTilesAhead * max_rows(nv), m1 - m0, width, c_m);
  if (r.s.asks_rows && !save) t.next = {b + kRowsAhead * b_k, nullptr, kc, 1, 0, b_k, 0, 0, false};
  t.far = far;
  t.b_step = t.bias_step = 0;
  // rows are dealt evenly: 32 = 6+6+5+5+5+5, never 6+6+6+6+6+2
  const i64 fewer = tiles == 1 ? m1 - m0 : (m1 - m0) / tiles, longer = m1 - m0 - tiles * fewer;
  i64 m = m0;
  for (int pass = 0; pass < 2; ++pass) {
    const i64 rows = pass == 0 ? fewer + 1 : fewer;
    t.tiles = pass == 0 ? longer : tiles - longer;
    if (t.tiles == 0) continue;
    t.a = a.at + (m - m0) * a.m;
    t.b = b;
    t.b_k = b_k;
    t.save = save ? packed : nullptr;
    t.c = c + (m - m0) * c_m;
    t.sums = sums + (m - m0) * sums_m;
    t.a_step = rows * a.m;
    t.c_step = rows * c_m;
    t.sums_step = rows * sums_m;
    t.mask_step = rows * finish.mask_m;
    t.finish = finish_at(finish, m - m0, 0);
    kTiles.at[nv][rows](t);
    if (save) {
      b = packed;
      b_k = width;
      save = false;
    }
    m += t.tiles * rows;
  }
  if (!r.s.asks_rows) next = t.next;
}

// So many rows of n floats, ld apart, in pieces of `size`.
Lines lines_of(const float* at, i64 rows, i64 n, i64 ld, i64 size) {
  const i64 floats = ld == n ? rows * n : n, pieces = ceil_div(floats, size);
  return {at, size, pieces, ld - pieces * size, pieces, ld == n ? pieces : rows * pieces};
}

// Rows of c whose sums end where they belong.
void straight(const Run& r, i64 m0, i64 m1, i64 j0, i64 j1) {
  const Plan& s = r.s;
  const Product& p = s.p;
  const i64 width = s.nv * kLanes, full = s.panels.full;
  const bool copies = s.copies_ahead && ceil_div(m1 - m0, s.mr) >= s.pays_copy;
  const bool transposed = s.swaps;                                                   // c^T is put together first
  const i64 first = s.panels.start(j0) * kLanes, end = s.panels.start(j1) * kLanes;  // columns
  const i64 c_m = transposed ? end - first : p.c_m;
  const Walk walk{s, j0, j1};
  i64 k_of_a = -1;  // of the copy
  bool ready = false;
  int half = 0;
  FarLines far;
  for (i64 t = 0; t < walk.count(); ++t) {
    const BlockOfB b = walk.at(t);
    BlockOfA a{r.at.a + m0 * p.a_m + b.k * p.a_k, p.a_m, p.a_k};
    if (s.a_floats > 0) {
      if (b.k != k_of_a) copy_rows(a.at, a.k, b.kc, m1 - m0, r.copied, m1 - m0);
      k_of_a = b.k;
      a = {r.copied, 1, m1 - m0};
    }
    PanelCopy next;
    if (s.far && b.j0 == j0) {
      const i64 k1 = b.k + b.kc, rows = m1 - m0, columns = min_of(end, p.N) - first;
      far = {};
      for (i64 j = j0; j < j1; ++j) far.tiles += ceil_div(rows, max_rows(s.panels.width(j)));
      if (rows + columns > far.tiles * Lines::kLine) far.second = Lines::kLine;
      if (k1 < p.K || (rows == p.M && columns == p.N)) {  // else something else comes next
        const i64 size = Lines::kLine + far.second;
        far.now = lines_of(r.at.b + k1 * p.b_k + first, b.kc, columns, p.b_k, size);
        far.then = lines_of(r.at.a + k1 * p.a_k + m0, b.kc, rows, p.a_k, size);
      }
      float* sums = r.at.b_sums;  // of what a swapped product has as a
      if (sums && !transposed && m0 == 0)
        sum_columns(r.at.b + b.k * p.b_k + first, p.b_k, b.kc, columns, b.k > 0, sums + first);
      if (sums && transposed && j0 == 0) sum_columns(r.at.a + b.k * p.a_k + m0, p.a_k, b.kc, rows, b.k > 0, sums + m0);
    }
    if ((copies || s.asks_blocks) && t + 1 < walk.count()) {
      const BlockOfB c = walk.at(t + 1);
      const i64 panels = c.j1 - c.j0;
      if (c.j1 <= full)
        next = {r.at.b + c.k * p.b_k + c.j0 * width,
                r.packed + (1 - half) * s.packed_floats / 2,
                panels * c.kc,
                panels,
                0,
                p.b_k,
                c.kc * width,
                (s.group > 1 ? kAskedRows : kAskedRowsOfOne) * p.b_k,
                copies};
    }
    const bool copied = copies && next.left > 0;
    float* packed = r.packed + (copies ? half * s.packed_floats / 2 : 0);
    for (i64 j = b.j0; j < b.j1; ++j) {
      const i64 n0 = s.panels.start(j) * kLanes;
      float* c = transposed ? r.turned + n0 - first : r.at.c + m0 * p.c_m + n0;
      float* sums = p.whole ? r.turned : c;
      panel_pass(r,
                 {a, m0, m1, j, b.k, b.kc, c, c_m, sums, p.whole ? width : c_m, b.k + b.kc >= p.K,
                  transposed ? Finish{} : finish_at(r.at.finish, m0, n0), packed, ready, b.k == 0 && j == j0},
                 next, s.far ? &far : nullptr);
      if (copies) packed += b.kc * width;
    }
    if (copies) finish_copy(next, width);
    ready = copied;
    if (ready) half = 1 - half;
  }
  if (transposed) {
    turn_block(r.turned, c_m, m1 - m0, min_of(end, p.N) - first, r.at.c + first * p.c_m + m0, p.c_m,
               finish_at(r.at.finish, first, m0));
  }
}

// Rows of c that are formed as columns of c^T.
void turned(const Run& r, i64 m0, i64 m1, i64 j0, i64 j1) {
  const Plan& s = r.s;
  const Product& p = s.p;
  PanelCopy none;
  for (i64 j = j0; j < j1; ++j) {
    const i64 n0 = s.panels.start(j) * kLanes, width = s.panels.width(j) * kLanes, n = min_of(width, p.N - n0);
    i64 k = 0;
    do {
      const i64 kc = min_of(s.kc, p.K - k);
      const BlockOfA a{r.at.a + m0 * p.a_m + k * p.a_k, p.a_m, p.a_k};
      panel_pass(
          r,
          {a, m0, m1, j, k, kc, r.turned, width, r.turned, width, false, Finish{}, r.packed, false, k == 0 && j == j0},
          none);
      k += kc;
    } while (k < p.K);
    turn_block(r.turned, width, m1 - m0, n, r.at.c + n0 * p.c_m + m0, p.c_m, finish_at(r.at.finish, n0, m0));
  }
}

// Few steps of k: stores count, so tiles go side by side and write c in long runs. All of b is packed first where it
// has to be, at r.packed; else only the panel that is not whole.
void side_by_side(const Run& r, i64 m0, i64 m1, i64 j0, i64 j1) {
  const Plan& s = r.s;
  const Product& p = s.p;
  float* packed = r.packed;
  const float* b_of[8];  // kinds of panels: the full ones, then each narrower one
  for (i64 j = j0; j < j1; ++j) {
    const i64 kind = max_of(j - s.panels.full, -1) + 1, n0 = s.panels.start(j) * kLanes;
    const i64 width = s.panels.width(j) * kLanes, n = min_of(width, p.N - n0);
    const float* b = r.at.b + n0 * p.b_n;
    if (s.form == Form::packed) {
      pack_turned(b, p.b_n, p.K, n, width, packed);
    } else if (n < width) {
      copy_panel(b, p.b_k, p.K, n, width, packed);
    }
    const bool moved = s.form == Form::packed || n < width;
    if (kind > 0 || j == j0) b_of[kind] = moved ? packed : b;
    if (moved) packed += p.K * width;
  }
  const i64 tiles = ceil_div(m1 - m0, s.mr);
  TileCall t;
  t.K = p.K;
  t.a_m = p.a_m;
  t.a_k = p.a_k;
  t.c_m = t.sums_m = p.c_m;
  t.more = false;
  t.last = true;
  t.streams = r.streams;
  t.save = nullptr;
  t.next = {};
  t.far = nullptr;
  t.chained = false;
  t.asks_a = false;
  t.asks_update = false;
  t.a_step = 0;
  for (i64 i = 0, m = m0; i < tiles; ++i) {
    const i64 rows = tiles - i == 1 ? m1 - m : (m1 - m) / (tiles - i);
    for (i64 j = j0; j < j1; j += t.tiles) {
      const int nv = s.panels.width(j);
      const i64 kind = max_of(j - s.panels.full, -1) + 1, n0 = s.panels.start(j) * kLanes, width = nv * kLanes;
      t.tiles = kind > 0 ? 1 : min_of(j1, s.panels.full) - j;
      t.n = min_of(width, p.N - n0);
      const bool moved = s.form == Form::packed || t.n < width;
      t.b = b_of[kind];
      t.b_k = moved ? width : p.b_k;
      t.b_step = moved ? p.K * width : width;
      t.c_step = t.sums_step = t.mask_step = t.bias_step = width;
      t.finish = finish_at(r.at.finish, m, n0);
      t.a = r.at.a + m * p.a_m;
      t.c = t.sums = r.at.c + m * p.c_m + n0;
      kTiles.at[nv][rows](t);  // narrower panels have taller tiles, never shorter ones
    }
    m += rows;
  }
}

// All rows of a. A panel that ends within a vector is left to a tile.
void row_by_row(const Run& r, i64 j0, i64 j1) {
  const Plan& s = r.s;
  const Product& p = s.p;
  if (s.panels.start(j1) * kLanes > p.N) --j1, straight(r, 0, p.M, j1, j1 + 1);
  const i64 n0 = s.panels.start(j0) * kLanes, n1 = s.panels.start(j1) * kLanes;
  kRowByRows.at[p.M](
      {p.K, r.at.a, p.a_m, p.a_k, r.at.b + n0, p.b_k, r.at.c + n0, p.c_m, n1 - n0, finish_at(r.at.finish, 0, n0)});
}

NACRE_CALLED void some_rectangle(const Run& r, i64 m0, i64 m1, i64 j0, i64 j1) {
  const Plan& s = r.s;
  if (s.skips_zeros && !r.at.b_sums) {
    const i64 n0 = s.panels.start(j0) * kLanes, n1 = min_of(s.panels.start(j1) * kLanes, s.p.N);
    const Operands at{r.at.b, r.at.a, r.at.c, r.at.finish};
    if (s.swaps ? sparse_rectangle(swapped(s.p), true, at, r.sparse, n0, n1, m0, m1)
                : sparse_rectangle(s.p, false, r.at, r.sparse, m0, m1, n0, n1))
      return;
  }
  if (s.side_by_side) return side_by_side(r, m0, m1, j0, j1);
  if (s.row_by_row) return row_by_row(r, j0, j1);
  const bool turns = s.swaps && !s.far;
  const i64 blocks = ceil_div(m1 - m0, turns ? kTurnedRows : s.rows);
  for (i64 left = blocks, m = m0; left > 0; --left) {
    const i64 rows = left == 1 ? m1 - m : ceil_div(m1 - m, left);
    (turns ? turned : straight)(r, m, m + rows, j0, j1);
    m += rows;
  }
}

NACRE_CALLED void rectangle(const Run& r, i64 m0, i64 m1, i64 j0, i64 j1) {
  some_rectangle(r, m0, m1, j0, j1);
  if (!r.at.act) return;
  const auto column = [&](i64 j) __attribute__((noinline)) { return min_of(r.s.panels.start(j) * kLanes, r.s.p.N); };
  act_on(r, m0, m1, column(j0), column(j1));
}

// Tiles of sums are finished a few at a time: a vector read back right after its parts were stored would have to wait.
// The same few go through a long sum together, one cut of k after the other.
struct PendingDots {
  static constexpr int most = kPendingTiles;
  int n = 0;
  struct {
    i64 m, n, rows, columns;
  } tile[most];
  float sums[most][kMaxSums + kLanes];  // a row is read in whole vectors
};

void run_dots(PendingDots& d, const Run& r) {
  const Plan& s = r.s;
  const Product& p = s.p;
  const Finish& f = r.at.finish;
  const float* a = s.a_floats > 0 ? r.copied : r.at.a;
  const float* b = s.packed_floats > 0 ? r.packed : r.at.b;
  const i64 a_m = s.a_floats > 0 ? apart(p.K) : p.a_m, b_n = s.packed_floats > 0 ? apart(p.K) : p.b_n;
  i64 k = 0;
  do {
    const i64 kc = min_of(s.kc, p.K - k);
    for (int t = 0; t < d.n; ++t) {
      const auto& tile = d.tile[t];
      const Dots below = s.asks_a && tile.rows == rows_of_dots(s.nv) ? kDotTiles.below[tile.columns] : nullptr;
      const Dots run = s.asks_rows ? kDotTiles.along[tile.columns]
                       : below     ? below
                                   : kDotTiles.at[tile.rows][tile.columns];
      run({kc, a + tile.m * a_m + k, a_m, b + tile.n * b_n + k, b_n, r.turned + t * kMaxSums * kLanes, d.sums[t], k > 0,
           k + kc >= p.K});
    }
    k += kc;
  } while (k < p.K);
  for (int t = 0; t < d.n; ++t) {
    const auto& tile = d.tile[t];
    for (i64 v = 0; v < tile.columns; v += kLanes) {
      const i64 left = tile.columns - v, n = tile.n + v;
      const Vec bias = f.bias ? load(f.bias + n, left) : zero();
      for (i64 i = 0; i < tile.rows; ++i) {
        const i64 m = tile.m + i;
        const Vec sum = load(d.sums[t] + i * tile.columns + v);
        store(r.at.c + m * p.c_m + n, finished(sum, bias, f, m, n, left), left);
      }
    }
  }
  d.n = 0;
}

void dots_rectangle(const Run& r, i64 m0, i64 m1, i64 n0, i64 n1) {
  const Plan& s = r.s;
  PendingDots pending;
  const auto add = [&](i64 m, i64 n) {
    pending.tile[pending.n] = {m, n, min_of(s.mr, m1 - m), min_of(s.nv, n1 - n)};
    if (++pending.n == PendingDots::most) run_dots(pending, r);
  };
  if (s.p.N <= kMaxDotColumns) {  // they stay at hand, else the rows do
    for (i64 m = m0; m < m1; m += s.mr)
      for (i64 n = n0; n < n1; n += s.nv) add(m, n);
  } else {
    for (i64 n = n0; n < n1; n += s.nv)
      for (i64 m = m0; m < m1; m += s.mr) add(m, n);
  }
  if (pending.n > 0) run_dots(pending, r);
  if (r.at.act) act_on(r, m0, m1, n0, n1);
}

// c[n * c_m + i] = finish(sums[n][i]) for the rows i of a tile
void put_columns(const float* sums, i64 rows, i64 columns, float* c, i64 c_m, const Finish& f) {
  for (i64 n = 0; n < columns; ++n) {
    for (i64 i = 0; i < rows; i += kLanes) {
      const i64 left = rows - i;
      const Vec bias = f.bias ? load(f.bias + i, left) : zero();
      store(c + n * c_m + i, finished(load(sums + n * kFoldedRows + i), bias, f, n, i, left), left);
    }
  }
}

void folded_rectangle(const Run& r, i64 m0, i64 m1) {
  const Plan& s = r.s;
  const Product& p = s.p;
  const Finish& f = r.at.finish;
  const i64 even = p.K / 2 * 2;
  const float* odd = even < p.K ? r.packed + even / 2 * kLanes : nullptr;
  i64 m = m0;
  for (i64 left = ceil_div(m1 - m0, s.mr); left > 0; --left) {
    const i64 rows = left == 1 ? m1 - m : ceil_div(m1 - m, left);
    const float* a = r.at.a + m * p.a_m;
    kFoldedTiles.at[s.asks_rows][rows]({even, a, p.a_m, r.packed, odd, r.turned, a + rows * p.a_m});
    if (s.swaps) put_columns(r.turned, rows, p.N, r.at.c + m, p.c_m, finish_at(f, 0, m));
    else turn_block(r.turned, kFoldedRows, p.N, rows, r.at.c + m * p.c_m, p.c_m, finish_at(f, m, 0));
    m += rows;
  }
  if (r.at.act) act_on(r, m0, m1, 0, p.N);
}

// A run of units covers at most a part of a first line of the grid, whole lines, and a part of a last one.
template <class F>
void for_rectangles(const Plan& s, Slice units, F f) {
  if (units.begin == 0 && units.end == s.m_blocks * s.n_blocks) return f(0, s.m_blocks, 0, s.n_blocks);
  const i64 inner = s.n_inner ? s.n_blocks : s.m_blocks;
  const auto call = [&](i64 o0, i64 o1, i64 i0, i64 i1) {
    if (s.n_inner) f(o0, o1, i0, i1);
    else f(i0, i1, o0, o1);
  };
  i64 u = units.begin;
  while (u < units.end) {
    const i64 line = u / inner, from = u % inner;
    if (from == 0 && units.end - u >= inner) {
      const i64 lines = (units.end - u) / inner;
      call(line, line + lines, 0, inner);
      u += lines * inner;
    } else {
      const i64 to = min_of(inner, from + units.end - u);
      call(line, line + 1, from, to);
      u += to - from;
    }
  }
}

// Parts of the workspace start at cache lines.
i64 whole_lines(i64 floats) { return ceil_div(floats, 16) * 16; }

NACRE_CALLED void run(const Plan& s, Slice units, Scratch scratch, const Operands& at) {
  const Product& p = s.p;
  float* packed = reinterpret_cast<float*>(scratch.at);
  float* turned = packed + whole_lines(s.packed_floats);
  const bool aligned = reinterpret_cast<std::uintptr_t>(at.c) % (kLanes * 4) == 0 && p.c_m % kLanes == 0;
  const bool streams = aligned && p.K <= s.kc && p.M * p.N >= kStreamed && !at.act;
  float* copied = turned + whole_lines(s.turned_floats);
  Run r{s, at, packed, turned, copied, copied + whole_lines(s.a_floats), streams};
  if (s.swaps) {
    r.at.a = at.b;
    r.at.b = at.a;
  }
  if (s.form == Form::folded || s.form == Form::swapped_folded) {
    fold_columns(r.at.b, p.b_k, p.b_n, p.K, p.N, packed);
    return for_rectangles(s, units,
                          [&](i64 i0, i64 i1, i64, i64) { folded_rectangle(r, i0 * s.mb, min_of(i1 * s.mb, p.M)); });
  }
  if (s.form == Form::dots) {
    if (s.packed_floats > 0 && p.b_k == 1) copy_rows(at.b, p.b_n, p.N, p.K, packed, apart(p.K));
    else if (s.packed_floats > 0) pack_turned(at.b, p.b_k, p.N, p.K, apart(p.K), packed);
    if (s.a_floats > 0) copy_rows(at.a, p.a_m, p.M, p.K, r.copied, apart(p.K));
    for_rectangles(s, units, [&](i64 i0, i64 i1, i64 j0, i64 j1) {
      dots_rectangle(r, i0 * s.mb, min_of(i1 * s.mb, p.M), j0 * s.nb * s.nv, min_of(j1 * s.nb * s.nv, p.N));
    });
    return;
  }
  for_rectangles(s, units, [&](i64 i0, i64 i1, i64 j0, i64 j1) {
    rectangle(r, i0 * s.mb, min_of(i1 * s.mb, s.p.M), j0 * s.nb, min_of(j1 * s.nb, s.panels.count()));
  });
  if (streams) streamed();
}

}  // namespace

void sum_columns(const float* from, i64 ld, i64 rows, i64 columns, bool add, float* to) {
  for (i64 n = 0; n < columns; n += kLanes) {
    const i64 left = min_of(columns - n, kLanes);
    const Mask some = first_lanes(left);
    Vec sum[4] = {zero(), zero(), zero(), zero()};
    const float* at = from + n;
    i64 k = 0;
    for (; k + 4 <= rows; k += 4, at += 4 * ld) {
      NACRE_UNROLL for (int c = 0; c < 4; ++c) sum[c] += load(at + c * ld, some);
    }
    for (; k < rows; ++k, at += ld) sum[0] += load(at, some);
    Vec total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    if (add) total += load(to + n, left);
    store(to + n, total, left);
  }
}

bool product_asks(const Product& p) { return is_far(p); }

bool product_updates(const Product& p) { return choose_form(p) == Form::rows; }

i64 product_units(const Product& p) {
  const Plan s = make_plan(p);
  return s.m_blocks * s.n_blocks;
}

i64 product_scratch(const Product& p) {
  const Plan s = make_plan(p);
  const i64 copies = whole_lines(s.packed_floats) + whole_lines(s.turned_floats) + whole_lines(s.a_floats);
  return (copies + (s.skips_zeros ? kSparseFloats : 0)) * 4;
}

i64 prepare_product(const Product& p, void* plan) {
  static_assert(sizeof(Plan) <= kProductPlanBytes && __is_trivially_copyable(Plan));
  const Plan s = make_plan(p);
  __builtin_memcpy(plan, &s, sizeof s);
  return s.m_blocks * s.n_blocks;
}

void product(const Product& p, Slice units, Scratch scratch, const Operands& at) {
  if (scratch.plan) run(*static_cast<const Plan*>(scratch.plan), units, scratch, at);
  else run(make_plan(p), units, scratch, at);
}

void product(const Product& p, Slice units, Scratch scratch, const Operands& at, i64 K) {
  Plan s = scratch.plan ? *static_cast<const Plan*>(scratch.plan) : make_plan(p);
  s.p.K = K;
  run(s, units, scratch, at);
}

void product(const Product& p, Slice units, Scratch scratch, Operands at, const Batch& batch) {
  const Plan s = make_plan(p);  // which takes as long as a small product
  for (i64 i = 0; i < batch.count; ++i, at.a += batch.a, at.b += batch.b, at.c += batch.c) run(s, units, scratch, at);
}

}  // namespace nacre::NACRE_ISA
