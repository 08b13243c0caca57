// Tiles go in chunks that leave room in L2. What a chunk reads is transformed to v[points][tiles][C]; then, panel by panel of
// outputs, there is one product for each point, s[point] = v[point] u[point], and s is transformed back and finished. Phases that
// are added count as more channels, those that lie side by side as more tiles.
#include "kernels/conv2d_winograd.h"

#include "kernels/conv2d_pool_windows.h"
#include "kernels/conv2d_winograd_tile.h"
#include "kernels/correlate.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kOutputs = kMainNV * kLanes;  // output channels; the last panel has as many vectors as it needs
constexpr i64 kMostTiles = 36;  // of a chunk; longer ones gain nothing where C is 64 and lose L2 where it is 512
constexpr i64 kFewTiles = 12, kFewTilesFar = 24;  // least, when more units are wanted: of weights in L2, of others
constexpr i64 kNearFloats = 160 * 1024;           // weights that L2 keeps from chunk to chunk
constexpr i64 kManyUnits = 64;                    // enough for as many cores
constexpr i64 kPackChannels = 16;                 // of a unit
constexpr i64 kMostTaps = 25;
constexpr i64 kSideChannels = 4;          // whose points are put side by side first
constexpr i64 kFarFloats = i64{4} << 20;  // of u: as many and more go past the caches

struct Plan {
  i64 points, K;             // products of a tile, of so many terms
  i64 rows, columns, tiles;  // of an image; of all images and phases
  i64 chunks, chunk;         // at most so many tiles each
  i64 panels;
  i64 ld_v, v_point, s_point;  // floats from tile to tile and from point to point
};

i64 panel_vectors(const WinogradShape& s, i64 o) { return min_of(ceil_div(s.O - o, kLanes), kMainNV); }

Plan plan(const WinogradShape& s) {
  Plan p{};
  const winograd::Phases first = winograd::phases_of(s, 0);  // no other one has more outputs
  p.points = winograd::points(s);
  p.K = winograd::sums_of(s) * s.C;
  p.rows = ceil_div(first.h.out.count, winograd::tile_rows(s));
  p.columns = ceil_div(first.w.out.count, s.tile);
  const Count tiles = Count(s.N) * Count(p.rows) * Count(p.columns);
  p.tiles = tiles.ok() ? tiles.value() : -1;
  p.panels = ceil_div(s.O, kOutputs);
  if (p.tiles <= 0 || p.panels == 0) return p;
  const bool near = p.points * p.K <= kNearFloats / s.O;
  const i64 fewest = ceil_div(p.tiles, kMostTiles);
  p.chunks = min_of(ceil_div(kManyUnits, p.panels), p.tiles / (near ? kFewTiles : kFewTilesFar));
  const i64 even = p.panels % 4 == 0 ? 1 : p.panels % 2 == 0 ? 2 : 4;  // four threads have equally many units
  p.chunks = max_of(p.chunks / even * even, fewest);
  p.chunk = ceil_div(p.tiles, p.chunks);
  // Odd numbers of lines keep rows and points out of each other's cache sets.
  p.ld_v = (ceil_div(p.K - s.C + ceil_div(s.C, kLanes) * kLanes, 16) | 1) * 16;  // whole vectors of each phase
  p.v_point = (p.chunk | 1) * p.ld_v;
  p.s_point = p.chunk * kOutputs + 16;
  return p;
}

i64 first_tile(const Plan& p, i64 chunk) { return chunk * (p.tiles / p.chunks) + min_of(chunk, p.tiles % p.chunks); }

// Where tile t stands.
struct Place {
  i64 image, row, column;
};
Place place(const Plan& p, i64 t) { return {t / p.columns / p.rows, t / p.columns % p.rows, t % p.columns}; }

// What a chunk becomes.
struct Outputs {
  const float* b;
  const float* r;
  const float* h;
  float* y;
  u8* index;
};

template <class T>
void transform_chunk(const WinogradShape& s, const Plan& p, const winograd::Phases& phase, i64 first, i64 tiles,
                     const float* x, const float* zeros, float* v) {
  const i64 whole = s.C / kLanes * kLanes, ld = s.ldx ? s.ldx : s.C, row = s.W * ld;
  const winograd::Image all = winograd::every({x, row, ld, s.H, s.W, zeros}, phase.h.in, phase.w.in);
  const winograd::Patch<T::inh, T::inw> patch(all);
  const float* inputs[2][T::inh * T::inw];
  const auto find = [&](i64 t) __attribute__((always_inline)) {
    const Place tile = place(p, min_of(t, p.tiles - 1));
    winograd::Image image = all;
    image.at += tile.image * s.H * row;
    winograd::pixels(image, patch, tile.row * T::mh - phase.h.pad, tile.column * T::mw - phase.w.pad, inputs[t % 2]);
  };
  for (i64 t = first - 1; t < first + tiles; ++t) {
    find(t + 1);
    if (t < first) continue;
    const float* const* at = inputs[t % 2];
    const float* const* next = inputs[(t + 1) % 2];
    for (i64 c = 0; c < whole; c += kLanes) winograd::transform_input<T, true>(at, next, c, kLanes, v, p.v_point);
    if (whole < s.C) winograd::transform_input<T, false>(at, next, whole, s.C - whole, v, p.v_point);
    v += p.ld_v;
  }
}

// Of weights of a phase that lies beside others.
i64 part_floats(const WinogradShape& s) {
  return winograd::sums_of(s) * winograd::points(s) * s.C * ceil_div(s.O, kLanes) * kLanes;
}

using Multiply = void (*)(const winograd::ProductCall&);

template <int MR, int NV>
constexpr Multiply multiply_of() {
  if constexpr (MR <= max_rows(NV)) {
    return winograd::run<MR, NV>;
  } else {
    return nullptr;
  }
}

// Rows are dealt evenly.
template <int NV>
void multiply_rows(winograd::ProductCall t, i64 rows) {
  static constexpr Multiply by_rows[] = {nullptr,
                                         multiply_of<1, NV>(),
                                         multiply_of<2, NV>(),
                                         multiply_of<3, NV>(),
                                         multiply_of<4, NV>(),
                                         multiply_of<5, NV>(),
                                         multiply_of<6, NV>(),
                                         multiply_of<7, NV>(),
                                         multiply_of<8, NV>(),
                                         multiply_of<9, NV>(),
                                         multiply_of<10, NV>(),
                                         multiply_of<11, NV>(),
                                         multiply_of<12, NV>(),
                                         multiply_of<13, NV>(),
                                         multiply_of<14, NV>()};
  const i64 n = ceil_div(rows, max_rows(NV)), low = rows / n, higher = rows % n;
  for (i64 i = 0; i < n; ++i) {
    const i64 height = i < higher ? low + 1 : low;
    by_rows[height](t);
    t.a += height * t.a_m;
    t.c += height * NV * kLanes;
    t.next += t.K * 16;
  }
}

template <int NV = kMainNV>
void multiply_panel(const winograd::ProductCall& t, i64 rows, i64 vectors) {
  if constexpr (NV > 1) {
    if (vectors < NV) return multiply_panel<NV - 1>(t, rows, vectors);
  }
  multiply_rows<NV>(t, rows);
}

template <class T>
NACRE_INLINE void transform_output(const float* sums, i64 s_point, Vec (&y)[T::mh][T::mw]) {
  Vec half[T::mh][T::inw];
  NACRE_UNROLL
  for (int j = 0; j < T::inw; ++j) {
    Vec d[T::inh], t[T::mh];
    NACRE_UNROLL
    for (int i = 0; i < T::inh; ++i) d[i] = load(sums + (i * T::inw + j) * s_point);
    T::Down::output(d, t);
    NACRE_UNROLL
    for (int i = 0; i < T::mh; ++i) half[i][j] = t[i];
  }
  NACRE_UNROLL
  for (int i = 0; i < T::mh; ++i) T::Along::output(half[i], y[i]);
}

// The outputs of a chunk in one panel, which begins with output o.
template <class T>
void finish_chunk(const WinogradShape& s, const Plan& p, const winograd::Phases& phase, i64 first, i64 tiles, i64 o,
                  const float* sums, const Outputs& to) {
  const float *b = to.b, *r = to.r, *h = to.h;
  float* y = to.y;
  const i64 ldy = s.ldy ? s.ldy : s.O, ldr = s.ldr ? s.ldr : s.O, vectors = panel_vectors(s, o);
  const winograd::Every down = phase.h.out, along = phase.w.out;
  const i64 row = down.step * s.OW, column = along.step;
  for (i64 t = 0; t < tiles; ++t) {
    const Place tile = place(p, first + t);
    const i64 rows = min_of(T::mh, down.count - tile.row * T::mh);
    const i64 columns = min_of(T::mw, along.count - tile.column * T::mw);
    const i64 px =
        (tile.image * s.OH + down.first) * s.OW + tile.row * T::mh * row + along.first + tile.column * T::mw * column;
    for (i64 v = 0; v < vectors; ++v, sums += kLanes) {
      const i64 c = o + v * kLanes, lanes = min_of(s.O - c, kLanes);
      Vec out[T::mh][T::mw];
      transform_output<T>(sums, p.s_point, out);
      const Vec bias = s.bias ? load(b + c, lanes) : zero();
      for (i64 i = 0, line = px; i < rows; ++i, line += row) {
        for (i64 j = 0, at = line; j < columns; ++j, at += column) {
          Vec sum = out[i][j] + bias;
          if (s.residual) sum += load(r + at * ldr + c, lanes);
          if (s.act) sum = max(zero(), sum);  // keeps NaN
          if (s.act == 2) sum = min(set1(6.0f), sum);
          if (s.masked) sum = select(gt(load(h + at * ldy + c, lanes), zero()), sum);
          if (lanes == kLanes) {
            store(y + at * ldy + c, sum);
          } else {
            store(y + at * ldy + c, sum, lanes);
          }
        }
      }
    }
  }
}

// The same where windows of 2 x 2 outputs are pooled; the shape's outputs are those that windows cover.
template <class T>
void finish_windows(const WinogradShape& s, const Plan& p, const winograd::Phases&, i64 first, i64 tiles, i64 o,
                    const float* sums, const Outputs& to) {
  constexpr int m = T::mh;
  const float* b = to.b;
  float* y = to.y;
  u8* index = to.index;
  const i64 ldy = s.ldy ? s.ldy : s.O, vectors = panel_vectors(s, o), PW = s.OW / 2;
  for (i64 t = 0; t < tiles; ++t) {
    const Place tile = place(p, first + t);
    const i64 rows = min_of(m, s.OH - tile.row * m) / 2, columns = min_of(m, s.OW - tile.column * m) / 2;
    const i64 window = (tile.image * (s.OH / 2) + tile.row * (m / 2)) * PW + tile.column * (m / 2);
    for (i64 v = 0; v < vectors; ++v, sums += kLanes) {
      const i64 c = o + v * kLanes, lanes = min_of(s.O - c, kLanes);
      Vec out[m][m];
      transform_output<T>(sums, p.s_point, out);
      const Vec bias = s.bias ? load(b + c, lanes) : zero();
      for (i64 i = 0; i < rows; ++i) {
        for (i64 j = 0; j < columns; ++j) {
          Vec sum[4], best;
          VecI where;
          NACRE_UNROLL for (int k = 0; k < 4; ++k) {
            sum[k] = out[2 * i + k / 2][2 * j + k % 2] + bias;
            if (s.act) sum[k] = max(zero(), sum[k]);
          }
          first_largest(sum, best, where);
          const i64 at = window + i * PW + j;
          if (lanes == kLanes) {
            store(y + at * ldy + c, best);
          } else {
            store(y + at * ldy + c, best, lanes);
          }
          store_index(index + at * s.O + c, where, lanes);
        }
      }
    }
  }
}

// The two ends of a chunk, by tile.
struct Ends {
  void (*transform)(const WinogradShape& s, const Plan& p, const winograd::Phases& phase, i64 first, i64 tiles,
                    const float* x, const float* zeros, float* v);
  void (*finish)(const WinogradShape& s, const Plan& p, const winograd::Phases& phase, i64 first, i64 tiles, i64 o,
                 const float* sums, const Outputs& to);
};

void run(const WinogradShape& s, Slice units, Scratch scratch, const float* x, const float* u, const Ends& ends,
         const Outputs& to) {
  const Plan p = plan(s);
  float* v = reinterpret_cast<float*>(scratch.at);
  float* sums = v + p.points * p.v_point;
  float* zeros = sums + p.points * p.s_point;
  if (units.begin < units.end) zero_floats(zeros, p.ld_v);
  i64 held = -1;
  for (i64 unit = units.begin; unit < units.end; ++unit) {
    const i64 chunk = unit / p.panels % p.chunks, part = unit / p.panels / p.chunks, o = unit % p.panels * kOutputs;
    const i64 first = first_tile(p, chunk), tiles = first_tile(p, chunk + 1) - first;
    const winograd::Phases phase = winograd::phases_of(s, part);
    if (unit / p.panels != held) {
      for (i64 i = 0; i < winograd::sums_of(s); ++i) {
        ends.transform(s, p, winograd::phases_of(s, part + i), first, tiles, x, zeros, v + i * s.C);
      }
    }
    held = unit / p.panels;
    const i64 vectors = panel_vectors(s, o), floats = p.K * vectors * kLanes;
    const float* panel = u + part * part_floats(s) + o * p.points * p.K;
    for (i64 i = 0; i < p.points; ++i, panel += floats) {
      multiply_panel({v + i * p.v_point, p.ld_v, panel, p.K, sums + i * p.s_point, panel + floats}, tiles, vectors);
    }
    ends.finish(s, p, phase, first, tiles, o, sums, to);
  }
}

// Where the weights of some channels and outputs stand: tap by tap, in rows of outputs.
struct Weights {
  const float* at;
  i64 tap, row;  // floats from one to the next
};

// u of a phase, the outputs from o on and the channels c .. c_end, all of one panel; phases that are added follow each other
// as channels do. Points lie far apart, often at powers of two, where stores to all of them would wait for the few sets of a
// cache: those of some channels are put side by side first.
template <class T>
void pack_channels(const WinogradShape& s, const Weights& w, i64 number, i64 o, i64 c, i64 c_end, float* u) {
  constexpr i64 kPoints = T::inh * T::inw, kSide = kSideChannels * kOutputs + 16;
  const winograd::Phases phase = winograd::phases_of(s, number);
  const i64 width = panel_vectors(s, o) * kLanes, K = winograd::sums_of(s) * s.C;
  u += o * kPoints * K + ((s.turned ? 0 : number * s.C) + c) * width;
  if (s.turned) u += number * part_floats(s);
  i64 taps[T::kh * T::kw];  // where they stand; -1: nowhere
  winograd::taps_of<T>(s, phase, w.tap, taps);
  const float* row = w.at;
  const bool far = aligned(u) && kPoints * K * s.O >= kFarFloats;
  for (i64 run; c < c_end; c += run) {
    run = min_of(c_end - c, kSideChannels);
    alignas(64) float side[kPoints * kSide];
    for (i64 at = 0; at < run * width; at += kLanes) {
      const i64 column = at % width, n = min_of(s.O - o - column, kLanes);
      const float* from = row + at / width * w.row + column;
      VecD half[T::inh][T::kw];
      NACRE_ROLLED
      for (int j = 0; j < T::kw; ++j) {
        VecD g[T::kh], t[T::inh];
        NACRE_UNROLL for (int i = 0; i < T::kh; ++i) {
          const i64 tap = taps[i * T::kw + j];
          g[i] = to_double(tap < 0 ? zero() : load(from + tap, n));
        }
        T::Down::weights(g, t);
        NACRE_UNROLL for (int i = 0; i < T::inh; ++i) half[i][j] = t[i];
      }
      NACRE_ROLLED
      for (int i = 0; i < T::inh; ++i) {
        VecD t[T::inw];
        T::Along::weights(half[i], t);
        NACRE_UNROLL for (int j = 0; j < T::inw; ++j) store(side + (i * T::inw + j) * kSide + at, to_float(t[j]));
      }
    }
    for (i64 point = 0; point < kPoints; ++point) {
      const float* from = side + point * kSide;
      float* to = u + point * K * width;
      for (i64 at = 0; at < run * width; at += kLanes) {
        const Vec v = load(from + at);
        if (far) stream(to + at, v);
        else store(to + at, v);
      }
    }
    row += run * w.row, u += run * width;
  }
}

// The weights w [KH][KW][O][C] of these channels and outputs as rows of outputs, their taps from the last to the first.
Weights turn(const WinogradShape& s, const float* w, i64 o, i64 c, i64 c_end, float* to) {
  const i64 outputs = min_of(kOutputs, s.O - o), tap = (c_end - c) * kOutputs, last = s.KH * s.KW - 1;
  for (i64 i = 0; i <= last; ++i) {
    transpose(to + i * tap, kOutputs, w + ((last - i) * s.O + o) * s.C + c, s.C, outputs, c_end - c);
  }
  return {to, tap, kOutputs};
}

// Only the outputs that windows of 2 x 2 cover.
WinogradShape covered(WinogradShape s) {
  s.OH -= s.OH % 2;
  s.OW -= s.OW % 2;
  return s;
}

Count packed_floats(const WinogradShape& s) {
  return Count(s.stride * s.stride * winograd::points(s)) * Count(s.C) * Count(ceil_div(s.O, kLanes) * kLanes);
}

}  // namespace

Facts conv2d_winograd_facts(const WinogradShape& s) {
  Facts f = conv2d_facts(winograd::convolution(s));
  if (!f.error) f.error = winograd::error(s);
  if (f.error) return f;
  const Plan p = plan(s);
  // of conv2d: x, w, b, r, y
  f.extent[5] = f.extent[4];
  f.extent[4] = s.masked ? f.extent[5] : Count(0);
  f.extent[1] = packed_floats(s);
  const Count units = Count(winograd::parts_of(s)) * Count(p.chunks) * Count(p.panels);
  const Count scratch =
      (Count(p.points) * (Count(p.v_point) + Count(p.s_point)) + Count(p.ld_v)) * Count(sizeof(float));
  if (p.tiles < 0 || !units.ok() || !scratch.ok()) {
    f.error = "the problem is too large";
    return f;
  }
  f.units = units.value();
  f.scratch = scratch.value();
  if (s.turned && s.stride > 1) {  // each pixel of x meets all taps
    const double outputs = static_cast<double>(s.OH) * static_cast<double>(s.OW);
    f.flops *= static_cast<double>(s.H) * static_cast<double>(s.W) / (outputs > 0 ? outputs : 1);
  }
  return f;
}

void conv2d_winograd(const WinogradShape& s, Slice units, Scratch scratch, const float* x, const float* u,
                     const float* b, const float* r, const float* h, float* y) {
  Ends ends{};
  winograd::with_tile(s, [&](auto tile) { ends = {transform_chunk<decltype(tile)>, finish_chunk<decltype(tile)>}; });
  run(s, units, scratch, x, u, ends, {b, r, h, y, nullptr});
}

Facts conv2d_winograd_pool_facts(const WinogradShape& s) {
  Facts f = conv2d_winograd_facts(s);
  if (f.error) return f;
  if (s.KH == 1 || s.stride != 1 || s.turned) f.error = "the window has two axes, stride is 1 and turned 0";
  if (s.act > 1 || s.residual || s.masked) f.error = "act is 0 or 1, and there is no residual and no mask";
  if (f.error) return f;
  const WinogradShape t = covered(s);
  const Facts covers = conv2d_winograd_facts(t);
  f.units = covers.units;
  f.scratch = covers.scratch;
  f.extent[3] = pixels_extent(s.N, t.OH / 2, t.OW / 2, s.O, s.ldy ? s.ldy : s.O);
  f.extent[4] = Count(s.N) * Count(t.OH / 2) * Count(t.OW / 2) * Count(s.O);
  f.extent[5] = Count(0);
  return f;
}

void conv2d_winograd_pool(const WinogradShape& shape, Slice units, Scratch scratch, const float* x, const float* u,
                          const float* b, float* y, u8* index) {
  const WinogradShape s = covered(shape);
  Ends ends{};
  winograd::with_tile(s, [&](auto tile) {
    using T = decltype(tile);
    if constexpr (T::kh > 2) ends = {transform_chunk<T>, finish_windows<T>};
  });
  run(s, units, scratch, x, u, ends, {b, nullptr, nullptr, y, index});
}

Facts conv2d_winograd_pack_facts(const WinogradShape& s) {
  Facts f;
  f.error = conv2d_error(winograd::convolution(s), 2);
  if (!f.error) f.error = winograd::error(s);
  if (f.error) return f;
  f.extent[0] = Count(s.KH * s.KW) * Count(s.C) * Count(s.O);
  f.extent[1] = packed_floats(s);
  if (f.extent[1].ok()) f.units = s.stride * s.stride * ceil_div(s.O, kOutputs) * ceil_div(s.C, kPackChannels);
  return f;
}

void conv2d_winograd_pack(const WinogradShape& s, Slice units, const float* w, float* u) {
  float turned[kMostTaps * kPackChannels * kOutputs];
  const i64 blocks = ceil_div(s.C, kPackChannels), phases = s.stride * s.stride;
  i64 held = -1;
  Weights weights{};
  for (i64 unit = units.begin; unit < units.end; ++unit) {
    const i64 block = unit / phases, c = block % blocks * kPackChannels, o = block / blocks * kOutputs;
    const i64 end = min_of(c + kPackChannels, s.C);
    if (block != held) weights = s.turned ? turn(s, w, o, c, end, turned) : Weights{w + c * s.O + o, s.C * s.O, s.O};
    held = block;
    winograd::with_tile(s, [&](auto tile) { pack_channels<decltype(tile)>(s, weights, unit % phases, o, c, end, u); });
  }
  streamed();
}

}  // namespace nacre::NACRE_ISA
