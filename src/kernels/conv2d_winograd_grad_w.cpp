// The gradient of convolution weights by Winograd's tiles: the sum over tiles of v = B d B^T (inputs) times s = A^T dy A
// for each point by itself, then dw = G^T sum G.
//
// For each point gemm: M = C, N = O, K = tiles. A unit owns a block of channels by a block of output channels, of one
// part of the tiles. It walks over chunks of tiles: both sides are transformed, to v[points][tiles][C] and
// s[points][tiles][O], and multiplied in register tiles that are added to sums[points][C][O]. At stride 2 each block of channels is
// one of a phase: of every other pixel down and along, with every other tap.
#include "kernels/conv2d_winograd.h"
#include "kernels/conv2d_winograd_tile.h"
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {
namespace winograd_sums {

// c (+)= a^T b for MR columns of a, whose floats are neighbours, and NV vectors of b.
struct Call {
  const float* a;
  i64 a_k;
  const float* b;
  i64 b_k, K;
  float* c;
  i64 c_m;
  bool more;                 // sums go on from what c holds
  const float* const* next;  // K pixels that the next chunk reads: the line `ahead` floats behind each is asked for
  i64 ahead;
};

template <int MR, int NV>
void run(const Call& t) {
  Vec sum[MR][NV];
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) {
      prefetch(t.c + i * t.c_m + j * kLanes);
      sum[i][j] = zero();
    }
  }
  const float *a = t.a, *b = t.b;
  const float* const* next = t.next;
  for (i64 k = t.K; k > 0; --k, a += t.a_k, b += t.b_k, ++next) {
    prefetch_far(*next + t.ahead);
    Vec row[NV];
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) row[j] = load(b + j * kLanes);
    NACRE_UNROLL
    for (int i = 0; i < MR; ++i) {
      const Vec x = set1(a[i]);
      NACRE_UNROLL
      for (int j = 0; j < NV; ++j) sum[i][j] = fma(x, row[j], sum[i][j]);
    }
  }
  NACRE_UNROLL
  for (int i = 0; i < MR; ++i) {
    NACRE_UNROLL
    for (int j = 0; j < NV; ++j) {
      float* c = t.c + i * t.c_m + j * kLanes;
      store(c, t.more ? load(c) + sum[i][j] : sum[i][j]);
    }
  }
}

}  // namespace winograd_sums
namespace {

// Channels of a block on either side. Transforms are done again for each block of the other side, so large ones pay
// even though their sums leave L2; smaller ones where there would be too few units.
constexpr i64 kChannels = 128, kFewerChannels = 64;
constexpr i64 kMostTiles = 48;     // of a chunk: long enough to forget that sums are loaded and stored around it
constexpr i64 kFewestTiles = 128;  // of a part: turning sums to dw stays cheap
constexpr i64 kUnits = 32, kFewUnits = 8;

struct Plan {
  i64 points;                // products of a tile
  i64 rows, columns, tiles;  // of an image; of all images
  i64 CB, c_blocks;          // channels of a block; blocks of all phases
  i64 OB, o_blocks;          // output channels of a block, whole vectors
  i64 chunks, chunk;         // at most so many tiles each
  i64 parts;
  i64 ld_v, v_point, s_point, sum_point;  // floats from tile to tile and from point to point
};

i64 equal_blocks(i64 n, i64 most, i64 multiple) {
  return max_of(ceil_div(ceil_div(n, max_of(ceil_div(n, most), 1)), multiple), 1) * multiple;
}

// Blocks of at most so many channels on either side.
void cut_channels(const WinogradShape& s, Plan& p, i64 most) {
  p.CB = min_of(equal_blocks(s.C, most, 16), s.C);
  p.OB = equal_blocks(s.O, most, kLanes);
  p.c_blocks = winograd::sums_of(s) * (p.CB > 0 ? ceil_div(s.C, p.CB) : 1);
  p.o_blocks = ceil_div(s.O, p.OB);
}

Plan plan(const WinogradShape& s) {
  Plan p{};
  p.points = winograd::points(s);
  p.rows = ceil_div(s.OH, winograd::tile_rows(s));
  p.columns = ceil_div(s.OW, s.tile);
  const Count tiles = Count(s.N) * Count(p.rows) * Count(p.columns);
  p.tiles = tiles.ok() ? tiles.value() : -1;
  if (p.tiles < 0) return p;
  const i64 most = min_of(max_of(p.tiles / kFewestTiles, 1), kUnits);
  cut_channels(s, p, kChannels);
  if (p.c_blocks * p.o_blocks * most < kFewUnits) cut_channels(s, p, kFewerChannels);
  const i64 blocks = max_of(p.c_blocks * p.o_blocks, 1);
  p.parts = min_of(ceil_div(kUnits, blocks), most);
  const i64 even = blocks % 4 == 0 ? 1 : blocks % 2 == 0 ? 2 : 4;  // four threads have equally many units
  if (p.parts > even) p.parts = p.parts / even * even;
  p.chunks = p.parts * max_of(ceil_div(p.tiles, p.parts * kMostTiles), 1);
  p.chunk = ceil_div(p.tiles, p.chunks);
  // Odd numbers of lines keep points out of each other's cache sets.
  p.sum_point = (p.CB * ceil_div(p.OB, 16) | 1) * 16;
  p.ld_v = ceil_div(p.CB, 16) * 16;
  p.v_point = (p.chunk * (p.ld_v / 16) | 1) * 16;
  p.s_point = (p.chunk * ceil_div(p.OB, 16) | 1) * 16;
  return p;
}

i64 listed(const WinogradShape& s, const Plan& p) {
  return (2 * winograd::tile_rows(s) * s.tile + 1) * p.chunk;
}  // and none behind
Count scratch_floats(const WinogradShape& s, const Plan& p) {
  return Count(p.points) * (Count(p.sum_point) + Count(p.v_point) + Count(p.s_point)) + Count(max_of(p.ld_v, p.OB)) +
         Count(2) * Count(listed(s, p));
}
Count weights(const WinogradShape& s) { return Count(s.KH) * Count(s.KW) * Count(s.C) * Count(s.O); }

i64 first_tile(const Plan& p, i64 chunk) { return chunk * (p.tiles / p.chunks) + min_of(chunk, p.tiles % p.chunks); }

// Where a tile stands, in the order of tiles.
struct Place {
  i64 image, row, column;
  NACRE_INLINE_MEMBER Place(const Plan& p, i64 t)
      : image(t / p.columns / p.rows), row(t / p.columns % p.rows), column(t % p.columns) {}
  NACRE_INLINE_MEMBER void step(const Plan& p) {
    if (++column < p.columns) return;
    column = 0;
    if (++row < p.rows) return;
    row = 0;
    ++image;
  }
};

using winograd::Image;
using winograd::pixels;

template <class T, bool whole>
NACRE_INLINE void transform_gradient(const float* const* at, i64 o, i64 n, float* s, i64 s_point, float* db) {
  Vec half[T::inh][T::mw], total = zero();
  NACRE_UNROLL
  for (int j = 0; j < T::mw; ++j) {
    Vec y[T::mh], t[T::inh];
    NACRE_UNROLL
    for (int i = 0; i < T::mh; ++i) y[i] = whole ? load(at[i * T::mw + j] + o) : load(at[i * T::mw + j] + o, n);
    if (db) {
      NACRE_UNROLL
      for (int i = 0; i < T::mh; ++i) total += y[i];
    }
    T::Down::output_grad(y, t);
    NACRE_UNROLL
    for (int i = 0; i < T::inh; ++i) half[i][j] = t[i];
  }
  NACRE_UNROLL
  for (int i = 0; i < T::inh; ++i) {
    Vec t[T::inw];
    T::Along::output_grad(half[i], t);
    NACRE_UNROLL
    for (int j = 0; j < T::inw; ++j) store(s + (i * T::inw + j) * s_point + o, t[j]);
  }
  if (db) store(db + o, load(db + o, n) + total, n);
}

// A chunk of a unit.
struct Work {
  i64 unit, chunk, end;  // chunks [.., end) are the unit's
  bool begins;           // the unit
  i64 c0, C, o0, O, part;
  winograd::Phases phase;
  i64 first, tiles;
  Image x, dy;
  i64 x_image;  // floats from image to image
};

// f(i, x, dy, h, w) for tile i of a chunk, whose outputs begin at (h, w) of these images.
template <class T, class F>
NACRE_INLINE void each_tile(const WinogradShape& s, const Plan& p, const Work& w, F f) {
  if (w.tiles == 0) return;
  Place tile(p, w.first);
  for (i64 i = 0; i < w.tiles; ++i, tile.step(p)) {
    Image x = w.x, dy = w.dy;
    x.at += tile.image * w.x_image;
    dy.at += tile.image * s.OH * dy.row;
    f(i, x, dy, tile.row * T::mh, tile.column * T::mw);
  }
}

// v and s of a chunk; adds to db unless it is null.
template <class T>
void transform_chunk(const WinogradShape& s, const Plan& p, const Work& work, float* v, float* sums, float* db) {
  const i64 C = work.C, O = work.O, c_whole = C / kLanes * kLanes, o_whole = O / kLanes * kLanes;
  const winograd::Patch<T::inh, T::inw> inputs(work.x);
  const winograd::Patch<T::mh, T::mw> outputs(work.dy);
  each_tile<T>(s, p, work, [&](i64, const Image& x, const Image& dy, i64 h, i64 w) __attribute__((always_inline)) {
    const float* at[T::inh * T::inw];
    pixels(x, inputs, h - work.phase.h.pad, w - work.phase.w.pad, at);
    for (i64 c = 0; c < c_whole; c += kLanes) winograd::transform_input<T, true>(at, nullptr, c, kLanes, v, p.v_point);
    if (c_whole < C) winograd::transform_input<T, false>(at, nullptr, c_whole, C - c_whole, v, p.v_point);
    pixels(dy, outputs, h, w, at);
    for (i64 o = 0; o < o_whole; o += kLanes) transform_gradient<T, true>(at, o, kLanes, sums, p.s_point, db);
    if (o_whole < O) transform_gradient<T, false>(at, o_whole, O - o_whole, sums, p.s_point, db);
    v += p.ld_v;
    sums += p.OB;
  });
}

using Multiply = void (*)(const winograd_sums::Call&);

// As many sums as registers hold beside NV vectors of b and one of a.
#if defined(__AVX512F__)
constexpr int rows_of(int nv) { return nv == 1 ? 24 : nv == 2 ? 14 : nv == 3 ? 9 : 6; }
#else
constexpr int rows_of(int nv) { return max_rows(nv); }
#endif

template <int MR, int NV>
constexpr Multiply multiply_of() {
  if constexpr (MR <= rows_of(NV)) {
    return winograd_sums::run<MR, NV>;
  } else {
    return nullptr;
  }
}

// What the next chunk reads: a list of pixels, [m * m][tiles], and lines of each; a call asks for a line of one row.
struct Ahead {
  const float* const* pixels;
  i64 row, rows, lines;  // pointers from row to row; rows to go
  i64 line;
  NACRE_INLINE_MEMBER void step() {
    if (++line < lines) return;
    line = 0;
    pixels += row;
    --rows;
  }
};

// Asks for x, then for dy, as late as the calls that are left allow.
struct Asking {
  i64 wait;  // calls
  Ahead of[2];
  NACRE_INLINE_MEMBER void ask(winograd_sums::Call& t) {
    Ahead& now = of[of[0].rows > 0 ? 0 : 1];
    t.next = now.pixels;
    t.ahead = now.line * 16;
    if (--wait < 0 && now.rows > 0) now.step();
  }
};

// Rows are dealt evenly.
template <int NV>
void multiply_rows(winograd_sums::Call t, i64 rows, Asking& asking) {
#define ROWS(R) multiply_of<R, NV>(), multiply_of<R + 1, NV>(), multiply_of<R + 2, NV>(), multiply_of<R + 3, NV>()
  static constexpr Multiply by_rows[] = {nullptr, ROWS(1), ROWS(5), ROWS(9), ROWS(13), ROWS(17), ROWS(21)};
#undef ROWS
  const i64 n = ceil_div(rows, rows_of(NV)), low = rows / n, higher = rows % n;
  for (i64 i = 0; i < n; ++i) {
    const i64 height = i < higher ? low + 1 : low;
    asking.ask(t);
    by_rows[height](t);
    t.a += height;
    t.c += height * t.c_m;
  }
}

i64 calls_of(i64 rows, i64 vectors) {
  const i64 rest = vectors % kMainNV;
  return vectors / kMainNV * ceil_div(rows, rows_of(kMainNV)) +
         (rest ? ceil_div(rows, rows_of(static_cast<int>(rest))) : 0);
}

template <int NV = kMainNV>
void multiply_panel(const winograd_sums::Call& t, i64 rows, i64 vectors, Asking& asking) {
  if constexpr (NV > 1) {
    if (vectors < NV) return multiply_panel<NV - 1>(t, rows, vectors, asking);
  }
  multiply_rows<NV>(t, rows, asking);
}

// All panels of outputs, `vectors` in all.
void multiply(winograd_sums::Call t, i64 rows, i64 vectors, Asking& asking) {
  for (; vectors > 0; vectors -= kMainNV, t.b += kMainNV * kLanes, t.c += kMainNV * kLanes) {
    multiply_panel(t, rows, vectors, asking);
  }
}

// dw of C channels and O outputs.
template <class T>
void finish(const WinogradShape& s, const Plan& p, const winograd::Phases& phase, const float* sums, i64 C, i64 O,
            float* dw) {
  i64 taps[T::kh * T::kw];
  winograd::taps_of<T>(s, phase, s.C * s.O, taps);
  for (i64 c = 0; c < C; ++c) {
    for (i64 o = 0; o < O; o += kLanes) {
      Vec half[T::kh][T::inw];
      NACRE_ROLLED
      for (int j = 0; j < T::inw; ++j) {
        Vec u[T::inh], t[T::kh];
        NACRE_UNROLL
        for (int i = 0; i < T::inh; ++i) u[i] = load(sums + (i * T::inw + j) * p.sum_point + c * p.OB + o);
        T::Down::weights_grad(u, t);
        NACRE_UNROLL
        for (int i = 0; i < T::kh; ++i) half[i][j] = t[i];
      }
      NACRE_ROLLED
      for (int i = 0; i < T::kh; ++i) {
        Vec t[T::kw];
        T::Along::weights_grad(half[i], t);
        NACRE_UNROLL
        for (int j = 0; j < T::kw; ++j) {
          const i64 tap = taps[i * T::kw + j];
          if (tap >= 0) store(dw + tap + c * s.O + o, t[j], O - o);
        }
      }
    }
  }
}

Work work_at(const WinogradShape& s, const Plan& p, i64 unit, i64 chunk, const float* x, const float* dy,
             const float* zeros) {
  const i64 ldx = s.ldx ? s.ldx : s.C, ldy = s.ldy ? s.ldy : s.O;
  Work w{};
  w.unit = unit;
  const i64 blocks = p.c_blocks / winograd::sums_of(s);
  w.phase = winograd::phases_of(s, unit % p.c_blocks / blocks);
  w.c0 = unit % blocks * p.CB;
  w.o0 = unit / p.c_blocks % p.o_blocks * p.OB;
  w.part = unit / p.c_blocks / p.o_blocks;
  w.C = min_of(p.CB, s.C - w.c0);
  w.O = min_of(p.OB, s.O - w.o0);
  const i64 begin = p.chunks * w.part / p.parts;
  w.chunk = max_of(chunk, begin);
  w.end = p.chunks * (w.part + 1) / p.parts;
  w.begins = w.chunk == begin;
  w.first = first_tile(p, w.chunk);
  w.tiles = first_tile(p, w.chunk + 1) - w.first;
  const auto seen = [](const winograd::Phase& axis, i64 K) {  // only what a window sees is read
    const i64 reach = axis.out.count + ceil_div(K - axis.tap, axis.step) - 1 - axis.pad;
    return winograd::Every{axis.in.first, axis.in.step, min_of(axis.in.count, reach)};
  };
  w.x = winograd::every({x + w.c0, s.W * ldx, ldx, s.H, s.W, zeros}, seen(w.phase.h, s.KH), seen(w.phase.w, s.KW));
  w.x_image = s.H * s.W * ldx;
  w.dy = {dy + w.o0, s.OW * ldy, ldy, s.OH, s.OW, zeros};
  return w;
}

// Lists the pixels of a chunk's tiles and says how they are asked for within so many calls.
template <class T>
Asking ask_for(const WinogradShape& s, const Plan& p, const Work& w, i64 calls, const float** list) {
  constexpr i64 n = T::mh * T::mw;
  const i64 row = p.chunk, half = n * row;
  const winograd::Patch<T::mh, T::mw> inputs(w.x), outputs(w.dy);
  each_tile<T>(s, p, w, [&](i64 i, const Image& x, const Image& dy, i64 h, i64 c) __attribute__((always_inline)) {
    const float* at[n];
    pixels(x, inputs, h, c, at);
    for (i64 j = 0; j < n; ++j) list[j * row + i] = at[j];
    pixels(dy, outputs, h, c, at);
    for (i64 j = 0; j < n; ++j) list[half + j * row + i] = at[j];
  });
  const i64 x_lines = ceil_div(w.C, 16), dy_lines = ceil_div(w.O, 16);
  return {calls - n * (x_lines + dy_lines), {{list, row, n, x_lines, 0}, {list + half, row, n, dy_lines, 0}}};
}

// What depends on the tile.
struct Steps {
  void (*transform)(const WinogradShape& s, const Plan& p, const Work& work, float* v, float* sums, float* db);
  Asking (*ask_for)(const WinogradShape& s, const Plan& p, const Work& w, i64 calls, const float** list);
  void (*finish)(const WinogradShape& s, const Plan& p, const winograd::Phases& phase, const float* sums, i64 C, i64 O,
                 float* dw);
};

void run(const WinogradShape& s, Slice units, Scratch scratch, const float* x, const float* dy, float* dw, float* db,
         const Steps& steps) {
  if (units.begin >= units.end) return;
  const Plan p = plan(s);
  float* sums = reinterpret_cast<float*>(scratch.at);
  float* v = sums + p.points * p.sum_point;
  float* transformed = v + p.points * p.v_point;
  float* zeros = transformed + p.points * p.s_point;
  const float** list = reinterpret_cast<const float**>(zeros + max_of(p.ld_v, p.OB));
  zero_floats(zeros, max_of(p.ld_v, p.OB));
  for (i64 i = 0; i < listed(s, p); ++i) list[i] = zeros;
  Work next = work_at(s, p, units.begin, 0, x, dy, zeros);
  while (next.unit < units.end) {
    const Work w = next;
    float* db_part = s.bias && w.unit % p.c_blocks == 0 ? db + w.part * s.O + w.o0 : nullptr;
    if (db_part && w.begins) zero_floats(db_part, w.O);
    steps.transform(s, p, w, v, transformed, db_part);
    const bool last = w.chunk + 1 == w.end;
    next = work_at(s, p, last ? w.unit + 1 : w.unit, last ? 0 : w.chunk + 1, x, dy, zeros);
    const i64 vectors = ceil_div(w.O, kLanes);
    Asking asking{0, {{list, 0, 0, 1, 0}, {list, 0, 0, 1, 0}}};
    if (next.unit < units.end) asking = steps.ask_for(s, p, next, p.points * calls_of(w.C, vectors), list);
    for (i64 i = 0; w.C > 0 && i < p.points; ++i) {
      multiply({v + i * p.v_point, p.ld_v, transformed + i * p.s_point, p.OB, w.tiles, sums + i * p.sum_point, p.OB,
                !w.begins, list, 0},
               w.C, vectors, asking);
    }
    if (last) steps.finish(s, p, w.phase, sums, w.C, w.O, dw + w.part * weights(s).value() + w.c0 * s.O + w.o0);
  }
}

}  // namespace

Facts conv2d_winograd_grad_w_facts(const WinogradShape& s) {
  Facts f = conv2d_grad_w_facts(winograd::convolution(s));
  if (!f.error) f.error = winograd::error(s);
  if (!f.error && s.turned) f.error = "turned is 0";
  f.extent[2] = weights(s);
  f.extent[3] = Count(s.bias ? s.O : 0);
  if (f.error) return f;
  for (int i = 0; i < 4; ++i) {
    if (!f.extent[i].ok()) return f;
  }
  const Plan p = plan(s);
  const Count units = Count(p.parts) * Count(p.c_blocks) * Count(p.o_blocks);
  const Count scratch = scratch_floats(s, p) * Count(sizeof(float));
  if (p.tiles < 0 || !units.ok() || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.extent[2] = Count(p.parts) * f.extent[2];
  f.extent[3] = Count(p.parts) * f.extent[3];
  f.units = units.value();
  f.scratch = scratch.value();
  return f;
}

void conv2d_winograd_grad_w(const WinogradShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                            float* dw, float* db) {
  Steps steps{};
  winograd::with_tile(s, [&](auto tile) {
    using T = decltype(tile);
    steps = {transform_chunk<T>, ask_for<T>, finish<T>};
  });
  run(s, units, scratch, x, dy, dw, db, steps);
}

Facts conv2d_winograd_grad_w_join_facts(const WinogradShape& s) {
  Facts f = conv2d_winograd_grad_w_facts(s);
  if (f.error || !f.extent[2].ok() || !f.extent[3].ok()) return f;
  const Count w = weights(s), b(s.bias ? s.O : 0);
  f.extent[0] = f.extent[2];
  f.extent[1] = f.extent[3];
  f.extent[2] = w;
  f.extent[3] = b;
  f.flops = static_cast<double>(f.extent[0].value()) + static_cast<double>(f.extent[1].value());
  f.scratch = 0;
  f.units = ceil_div(w.value(), kJoinFloats) + ceil_div(b.value(), kJoinFloats);
  return f;
}

void conv2d_winograd_grad_w_join(const WinogradShape& s, Slice units, const float* dw_parts, const float* db_parts,
                                 float* dw, float* db) {
  const i64 parts = plan(s).parts, w = weights(s).value(), w_units = ceil_div(w, kJoinFloats);
  for (i64 u = units.begin; u < units.end; ++u) {
    if (u < w_units) {
      join_parts(u, parts, w, dw_parts, dw);
    } else {
      join_parts(u - w_units, parts, s.O, db_parts, db);
    }
  }
}

}  // namespace nacre::NACRE_ISA
