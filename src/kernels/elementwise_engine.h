// The tile machine behind the three elementwise kernels: cuts, loads, the instruction loop and stores, for a compute
// type T. The operations themselves come as a table of functions over a tile: fn(n, d, a, b, c).
#pragma once
#include "kernels/elementwise.h"
#include "kernels/elementwise_codes.h"
#include "kernels/loops.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kInputs = 8, kConsts = 16, kOutputs = 4, kWords = 5, kRegisters = 64;
constexpr i64 kFirstConst = kInputs, kFirstTemp = kInputs + kConsts;
constexpr i64 kUnitElements = 16384;      // about 2 us for one cheap operation
constexpr i64 kScratchBytes = 24 * 1024;  // half of a 48 KiB L1, three quarters of a 32 KiB one
constexpr i64 kNearElements = 64 * 1024;  // of an operand; more come from beyond L2
constexpr i64 kShortRun = 16;             // shorter ones take longer to begin than to compute
constexpr i64 kFewest = 256;              // elements of a tile for which it is worthwhile to look what can be joined
constexpr i64 kFewSteps = 3;  // with fewer, reads and writes go on without a break and the CPU fetches ahead by itself

template <class T>
using OpFn = void (*)(i64 n, T* d, const T* a, const T* b, const T* c);

// What the opcodes do, and what two of them do at once: d = second(first(a, b), c), or second(c, first(a, b)) if `behind`; of
// one operand d = second(first(a), b). Null where that is no function of its own.
template <class T>
struct Functions {
  const OpFn<T>* one;
  OpFn<T> (*two)(i64 first, i64 second, bool behind);
};

// What an opcode returns for a compute type that has no such form: NONE in elementwise.def.
struct NoForm {};
#define NONE \
  NoForm {}
template <class R>
constexpr bool has_form = true;
template <>
constexpr bool has_form<NoForm> = false;
#define NACRE_OPERANDS1(T) T a
#define NACRE_OPERANDS2(T) T a, [[maybe_unused]] T b
#define NACRE_OPERANDS3(T) T a, [[maybe_unused]] T b, [[maybe_unused]] T c

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<i64> {
  static constexpr DType value = DType::i64;
};

// How the elements are cut. A tile is either `rows` whole runs of the last dim or a piece of one run.
struct Cut {
  i64 total, inner, outer;  // elements, length of the last dim, number of runs of it
  i64 tile;                 // most elements in a tile
  i64 rows;                 // runs per tile; 0: a run takes `per_run` tiles
  i64 per_run;
  i64 tiles, tiles_per_unit;
  i64 buffers;  // registers that need memory of their own
};

NACRE_ALWAYS bool is_flat(const ElementwiseShape& s, i64 input) {
  i64 expect = 1;
  for (i64 d = s.rank - 1; d >= 0; --d) {
    if (s.dims[d] != 1 && s.in_strides[input * 6 + d] != expect) return false;
    expect *= s.dims[d];
  }
  return true;
}

NACRE_ALWAYS bool is_scalar(const ElementwiseShape& s, i64 input) {
  for (i64 d = 0; d < s.rank; ++d)
    if (s.dims[d] != 1 && s.in_strides[input * 6 + d] != 0) return false;
  return true;
}

// Only called when facts found the fields possible and total > 0. `whole_runs`: every tile holds whole runs of the last dim.
template <class T>
NACRE_ALWAYS Cut cut_of(const ElementwiseShape& s, bool whole_runs = false) {
  Cut c;
  c.inner = s.rank > 0 ? s.dims[s.rank - 1] : 1;
  c.outer = 1;
  for (i64 d = 0; d + 1 < s.rank; ++d) c.outer *= s.dims[d];
  c.total = c.inner * c.outer;
  u64 written = 0;
  for (i64 t = 0; t < s.length; ++t) {
    const i64* w = s.code + t * kWords;
    written |= u64(1) << w[1];
    for (i64 k = 2; k < 2 + elementwise_arity(static_cast<int>(w[0])); ++k)
      if (w[k] >= kFirstConst && w[k] < kFirstTemp) written |= u64(1) << w[k];
  }
  for (i64 o = 0; o < s.outputs; ++o)
    if (s.out_reg[o] >= kFirstConst) written |= u64(1) << s.out_reg[o];
  bool flat = true;
  for (i64 o = 0; o < s.outputs; ++o) flat = flat && s.out_ld[o] == 0;
  for (i64 i = 0; i < s.inputs; ++i) {
    const bool direct = is_flat(s, i) && s.in_dtype[i] == static_cast<i64>(DTypeOf<T>::value);
    if (!direct) written |= u64(1) << i;
    flat = flat && (is_flat(s, i) || is_scalar(s, i));
  }
  c.buffers = __builtin_popcountll(written);
  if (flat && !whole_runs) {
    c.inner = c.total;
    c.outer = 1;
  }
  const i64 room = c.buffers > 0 ? kScratchBytes / (c.buffers * static_cast<i64>(sizeof(T))) : kUnitElements;
  i64 most = min_of(kUnitElements, max_of(64, room / 64 * 64));
  if (whole_runs) most = max_of(most, c.inner);
  if (c.inner <= most) {
    c.rows = min_of(c.outer, most / c.inner);
    c.tile = c.rows * c.inner;
    c.per_run = 1;
    c.tiles = ceil_div(c.outer, c.rows);
  } else {
    c.rows = 0;
    c.tile = most;
    c.per_run = ceil_div(c.inner, most);
    c.tiles = c.outer * c.per_run;
  }
  c.tiles_per_unit = max_of(1, kUnitElements / ((1 + s.length / 4) * c.tile));
  return c;
}

// Elements between two buffers: whole cache lines, and an odd number of them so that buffers do not share L1 sets.
template <class T>
NACRE_ALWAYS i64 pitch_of(i64 tile) {
  constexpr i64 line = 64 / static_cast<i64>(sizeof(T));
  return (ceil_div(tile, line) | 1) * line;
}

template <class T>
Facts facts_of(const ElementwiseShape& s, const OpFn<T>* ops) {
  Facts f;
  const auto fail = [&](const char* why) {
    f.error = why;
    return f;
  };
  if (s.rank < 0 || s.rank > 6) return fail("rank must be 0..6");
  if (s.inputs < 0 || s.inputs > kInputs) return fail("inputs must be 0..8");
  if (s.outputs < 1 || s.outputs > kOutputs) return fail("outputs must be 1..4");
  if (s.length < 0 || s.length > 48) return fail("length must be 0..48");
  Count total = 1;
  for (i64 d = 0; d < s.rank; ++d) {
    if (s.dims[d] < 0) return fail("a dim is negative");
    total = total * Count(s.dims[d]);
  }
  if (!total.ok() || !(total * Count(16)).ok()) return fail("the number of elements overflows");
  for (i64 i = 0; i < s.inputs; ++i) {
    if (!is_dtype(s.in_dtype[i])) return fail("in_dtype is no dtype");
    Count last = 1;
    for (i64 d = 0; d < s.rank; ++d) {
      if (s.in_strides[i * 6 + d] < 0) return fail("an input stride is negative");
      last = last + Count(s.dims[d] > 0 ? s.dims[d] - 1 : 0) * Count(s.in_strides[i * 6 + d]);
    }
    f.extent[i] = total.value() > 0 ? last * Count(width_of(s.in_dtype[i])) : Count(0);
    if (!(last * Count(16)).ok()) return fail("an input's extent overflows");
  }
  u64 defined = ((u64(1) << s.inputs) - 1) | (((u64(1) << kConsts) - 1) << kFirstConst);
  for (i64 t = 0; t < s.length; ++t) {
    const i64* w = s.code + t * kWords;
    if (w[0] < 0 || w[0] >= elementwise_count) return fail("unknown opcode");
    if (ops[w[0]] == nullptr) return fail("opcode has no form for this compute type");
    for (i64 k = 2; k < 2 + elementwise_arity(static_cast<int>(w[0])); ++k) {
      if (w[k] < 0 || w[k] >= kRegisters) return fail("operand register must be 0..63");
      if (!(defined >> w[k] & 1)) return fail("an operand register is used before it is defined");
    }
    if (w[1] < kFirstTemp || w[1] >= kRegisters) return fail("destination register must be 24..63");
    defined |= u64(1) << w[1];
  }
  for (i64 o = 0; o < s.outputs; ++o) {
    if (!is_dtype(s.out_dtype[o])) return fail("out_dtype is no dtype");
    if (s.out_reg[o] < 0 || s.out_reg[o] >= kRegisters) return fail("out_reg must be 0..63");
    if (!(defined >> s.out_reg[o] & 1)) return fail("out_reg was never defined");
    const i64 inner = s.rank > 0 ? s.dims[s.rank - 1] : 1, ld = s.out_ld[o];
    if (ld != 0 && ld < inner) return fail("out_ld must be at least the length of a run");
    Count last = total;
    if (ld > 0 && total.value() > 0) last = last + Count(total.value() / inner - 1) * Count(ld - inner);
    if (!(last * Count(16)).ok()) return fail("an output's extent overflows");
    f.extent[kInputs + o] = last * Count(width_of(s.out_dtype[o]));
  }
  if (total.value() == 0) return f;
  const Cut c = cut_of<T>(s);
  f.units = ceil_div(c.tiles, c.tiles_per_unit);
  f.scratch = c.buffers * pitch_of<T>(c.tile) * static_cast<i64>(sizeof(T));
  f.flops = static_cast<double>(s.length) * static_cast<double>(total.value());
  return f;
}

// y[i*out] = x[i*in], one by one: vectors would gather them no quicker, with much more code.
template <class D, class S>
NACRE_ALWAYS void each_apart(i64 n, i64 in, i64 out, const S* x, D* y) {
  for (i64 i = 0; i < n; ++i, x += in, y += out) {
    __asm__("" : "+r"(x));
    *y = to<D>(*x);
  }
}

template <class D, class S>
NACRE_ALWAYS void convert_run(i64 n, i64 stride, const S* x, D* y) {
  if (stride == 1) {
    NACRE_INDEPENDENT
    for (i64 i = 0; i < n; ++i) y[i] = to<D>(x[i]);
  } else if (stride == 0) {
    const D v = to<D>(x[0]);
    for (i64 i = 0; i < n; ++i) y[i] = v;
  } else {
    each_apart(n, stride, 1, x, y);
  }
}

template <class T>
constexpr bool is_float32 = false;
template <>
constexpr bool is_float32<float> = true;

// `runs` runs of `n` elements into y, starting at run `first` of the outer dims. Short ones go column by column.
template <class T, class S>
void load_runs(const ElementwiseShape& s, i64 input, i64 first, i64 runs, i64 column, i64 n, const S* x, T* y) {
  constexpr bool may_cross = sizeof(T) == 4 && is_float32<S>;
  const i64* stride = s.in_strides + input * 6;
  i64 at[6] = {};
  i64 rest = first, offset = 0;
  for (i64 d = s.rank - 2; d >= 0; --d) {
    at[d] = rest % s.dims[d];
    rest /= s.dims[d];
    offset += at[d] * stride[d];
  }
  const i64 step = s.rank > 0 ? stride[s.rank - 1] : 0;
  const i64 last = max_of(0, s.rank - 2);
  const bool across = may_cross && n < kShortRun && s.rank > 1;
  for (i64 r = 0; r < runs;) {
    const i64 count = across ? min_of(runs - r, s.dims[last] - at[last]) : 1, by = stride[last];
    const S* from = x + offset + column * step;
    T* to_r = y + r * n;
    if (!across) {
      convert_run(n, step, from, to_r);
    } else if constexpr (may_cross) {
      // columns of different runs, or the same run again and again
      for (i64 j = 0; j < n; ++j) each_apart(by ? count : 1, by, n, from + j * step, to_r + j);
      for (i64 k = 1; k < count && by == 0; ++k)
        for (i64 j = 0; j < n; j += kLanes) store(to_r + k * n + j, load(to_r + j, n - j), n - j);
    }
    r += count;
    at[last] += count;
    offset += count * by;
    for (i64 d = last; d > 0 && at[d] == s.dims[d]; --d) {
      offset += stride[d - 1] - stride[d] * s.dims[d];
      at[d] = 0;
      ++at[d - 1];
    }
  }
}

// Asks for the lines of what the next tile reads or writes, so that memory works while this one is computed.
NACRE_ALWAYS void ask_for(const void* at, i64 bytes) {
  const char* p = static_cast<const char*>(at);
  for (i64 i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

// `runs` runs of the last dim from `first` on, or n elements of one from `column` on: `count` elements, the first of which is
// number `begin`.
struct Tile {
  i64 first, runs, column, n, begin, count;

  i64 out(i64 ld) const { return ld ? first * ld + column : begin; }
};

// Whether input i, which has gaps between its runs, is rather read run by run where it is than copied first.
bool reads_runs(const ElementwiseShape& s, const Cut& c, i64 i, i64 compute) {
  if (s.rank != 2 || s.in_strides[i * 6 + 1] != 1 || c.rows < 2 || c.inner < kShortRun || s.in_dtype[i] != compute)
    return false;
  i64 uses = 0;
  for (i64 t = 0; t < s.length; ++t) {
    const i64* w = s.code + t * kWords;
    for (i64 k = 2; k < 2 + elementwise_arity(static_cast<int>(w[0])); ++k) uses += w[k] == i;
  }
  for (i64 o = 0; o < s.outputs; ++o) uses += s.out_reg[o] == i ? kRegisters : 0;  // sinks take whole tiles
  return uses < 3;
}

// An instruction as it runs, or two of them.
template <class T>
struct Step {
  OpFn<T> fn;
  int out;  // which output it writes into, or -1
  int arity;
  i64 to, from[3];
};

// Instructions, of which one whose result only the next one reads is joined with that where a function does both: the tile
// between them is neither written nor read. Returns how many are left.
template <class T>
NACRE_ALWAYS i64 steps_of(const ElementwiseShape& s, const Functions<T>& ops, bool many, const int* direct_to,
                          Step<T>* step) {
  u8 seen[kRegisters] = {};  // by instructions and outputs, as an operand or as a result
  if (many) {
    for (i64 t = 0; t < s.length; ++t) {
      const i64* w = s.code + t * kWords;
      for (i64 k = 1; k < 2 + elementwise_arity(static_cast<int>(w[0])); ++k) ++seen[w[k]];
    }
    for (i64 o = 0; o < s.outputs; ++o) ++seen[s.out_reg[o]];
  }
  i64 count = 0;
  for (i64 t = 0; t < s.length; ++t) {
    const i64 *w = s.code + t * kWords, *next = w + kWords;
    Step<T>& to = step[count++];
    to = {ops.one[w[0]], direct_to[t], elementwise_arity(static_cast<int>(w[0])), w[1], {w[2], w[3], w[4]}};
    if (seen[w[1]] != 2 || t + 1 == s.length || elementwise_arity(static_cast<int>(next[0])) != 2) continue;
    const bool behind = next[3] == w[1];
    const OpFn<T> both = behind || next[2] == w[1] ? ops.two(w[0], next[0], behind) : nullptr;
    if (!both) continue;
    to.fn = both;
    to.out = direct_to[++t];
    to.to = next[1];
    to.from[to.arity++] = next[behind ? 2 : 3];
  }
  return count;
}

// Computes tile after tile and hands each to `sink(tile, registers, steps)`; the runs in a register lie a step apart, without
// `steps` they follow each other. An output whose y is null is not stored; the sink reads its register.
template <class T, class Sink>
NACRE_ALWAYS void run_tiles(const ElementwiseShape& s, const Cut& c, Slice units, Scratch scratch,
                            const Functions<T>& ops, const void* const* x, void* const* y, const Sink& sink) {
  // kDirect: read where it is; kSteps: so, run by run; kOnce: one load serves every full tile; kRuns: one serves the tiles
  // that read the same.
  enum Mode : u8 { kDirect, kSteps, kOnce, kFlat, kRuns };
  const i64 pitch = pitch_of<T>(c.tile);
  T* next = reinterpret_cast<T*>(scratch.at);
  T* reg[kRegisters];
  int direct_to[48];  // which output the instruction writes into, or -1
  constexpr i64 compute = static_cast<i64>(DTypeOf<T>::value);
  constexpr bool steps = sizeof(T) == 4;  // the other types copy runs that lie apart: less code for what is rare

  Mode mode[kInputs];
  T* own[kInputs] = {};              // memory of their own
  i64 same[kInputs], held[kInputs];  // so many runs side by side read the same; which of these is loaded, or -1
  i64 held_runs[kInputs] = {};
  for (i64 i = 0; i < s.inputs; ++i) {
    const bool flat = is_flat(s, i);
    if (flat && s.in_dtype[i] == compute) {
      mode[i] = kDirect;
    } else {
      reg[i] = own[i] = next;
      next += pitch;
      held[i] = -1;
      same[i] = 1;
      i64 d = s.rank - 2;
      for (; d >= 0 && (s.dims[d] == 1 || s.in_strides[i * 6 + d] == 0); --d) same[i] *= s.dims[d];
      mode[i] = is_scalar(s, i) ? kOnce : flat ? kFlat : c.rows > 0 && d < 0 ? kOnce : kRuns;
      if (mode[i] == kRuns && steps && same[i] == 1 && reads_runs(s, c, i, compute)) mode[i] = kSteps;
    }
  }
  u64 placed = 0;
  const auto place = [&](i64 r) {
    if (r < kFirstConst || (placed >> r & 1)) return;
    placed |= u64(1) << r;
    reg[r] = next;
    next += pitch;
    if (r < kFirstTemp) {
      const T v = to<T>(s.consts[r - kFirstConst]);
      const i64 n = c.tile;
      for (i64 k = 0; k < n; ++k) reg[r][k] = v;
    }
  };
  // An output of the compute type is written by the last instruction that defines it, unless an input that shares its
  // memory is read later.
  for (i64 t = 0; t < s.length; ++t) {
    const i64* w = s.code + t * kWords;
    direct_to[t] = -1;
    for (i64 k = 2; k < 2 + elementwise_arity(static_cast<int>(w[0])); ++k) place(w[k]);
    place(w[1]);
  }
  for (i64 o = 0; o < s.outputs; ++o) {
    place(s.out_reg[o]);
    if (s.out_dtype[o] != compute || !y[o] || (!steps && s.out_ld[o] && c.rows > 1)) continue;
    for (i64 t = s.length - 1; t >= 0; --t) {
      const i64* w = s.code + t * kWords;
      if (w[1] == s.out_reg[o]) {
        if (direct_to[t] < 0) direct_to[t] = static_cast<int>(o);
        break;
      }
      bool shared = false;
      for (i64 k = 2; k < 2 + elementwise_arity(static_cast<int>(w[0])); ++k)
        shared = shared || (w[k] < s.inputs && x[w[k]] == y[o]);
      if (shared) break;
    }
    for (i64 p = 0; p < s.outputs; ++p) {  // another output stores that input itself
      if (s.out_reg[p] < s.inputs && x[s.out_reg[p]] == y[o])
        for (i64 t = 0; t < s.length; ++t)
          if (direct_to[t] == o) direct_to[t] = -1;
    }
  }
  T* home[kRegisters];
  bool stepped = false;
  for (i64 i = 0; i < s.inputs; ++i) stepped = stepped || (steps && mode[i] == kSteps);
  for (i64 o = 0; o < s.outputs; ++o) stepped = stepped || (steps && s.out_ld[o] != 0);
  i64 step[kRegisters];  // from run to run of what a register holds, if `stepped`
  for (i64 r = kFirstTemp; r < kRegisters; ++r) home[r] = placed >> r & 1 ? reg[r] : nullptr;

  const i64 last = min_of(units.end * c.tiles_per_unit, c.tiles);
  Step<T> program[48];
  const i64 length = steps_of(s, ops, steps && c.tile >= kFewest, direct_to, program);
  const bool far = s.length >= kFewSteps && c.total > kNearElements;
  bool loaded = false;
  for (i64 tile = units.begin * c.tiles_per_unit; tile < last; ++tile) {
    i64 first, runs, column, n;  // first run, number of runs, start and length inside a run
    if (c.rows > 0) {
      first = tile * c.rows;
      runs = min_of(c.rows, c.outer - first);
      column = 0;
      n = c.inner;
    } else {
      first = tile / c.per_run;
      runs = 1;
      column = tile % c.per_run * c.tile;
      n = min_of(c.tile, c.inner - column);
    }
    const i64 begin = first * c.inner + column, count = runs * n;
    const Tile at{first, runs, column, n, begin, count};
    if (stepped)
      for (i64 r = 0; r < kRegisters; ++r) step[r] = n;
    for (i64 i = 0; i < s.inputs; ++i) {
      if (mode[i] == kDirect) {
        reg[i] = const_cast<T*>(as<T>(x[i])) + begin;
      } else if (steps && mode[i] == kSteps) {
        step[i] = s.in_strides[i * 6];
        reg[i] = const_cast<T*>(as<T>(x[i])) + first * step[i];
      } else if (mode[i] == kOnce) {
        if (loaded) continue;
        // A full tile, whatever this one is: later tiles read it too.
        const bool scalar = is_scalar(s, i);
        NACRE_BY_DTYPE(s.in_dtype[i], S, {
          if (scalar) convert_run(c.tile, 0, as<S>(x[i]), reg[i]);
          else load_runs(s, i, 0, c.rows, 0, c.inner, as<S>(x[i]), reg[i]);
        })
      } else if (mode[i] == kFlat) {
        NACRE_BY_DTYPE(s.in_dtype[i], S, convert_run(count, 1, as<S>(x[i]) + begin, reg[i]))
      } else if (n > 1 && runs == 1 && s.in_strides[i * 6 + s.rank - 1] == 1 && s.in_dtype[i] == compute) {
        i64 rest = first, offset = column;
        for (i64 d = s.rank - 2; d >= 0; --d) {
          offset += rest % s.dims[d] * s.in_strides[i * 6 + d];
          rest /= s.dims[d];
        }
        reg[i] = const_cast<T*>(as<T>(x[i])) + offset;
      } else {
        reg[i] = own[i];
        const i64 which = first / same[i];
        const bool one = c.rows > 0 && (first + runs - 1) / same[i] == which;
        if (one && held[i] == which && held_runs[i] >= runs) continue;
        NACRE_BY_DTYPE(s.in_dtype[i], S, load_runs(s, i, first, runs, column, n, as<S>(x[i]), reg[i]))
        held[i] = one ? which : -1;
        held_runs[i] = runs;
      }
    }
    loaded = true;
    for (i64 r = kFirstTemp; r < kRegisters; ++r) reg[r] = home[r];
    const i64 next_begin = begin + count, next_count = min_of(c.tile, c.total - next_begin);
    for (i64 t = 0; t < length; ++t) {
      if (far) {
        const i64 from = next_begin + next_count * t / length, to = next_begin + next_count * (t + 1) / length;
        for (i64 i = 0; i < s.inputs; ++i)
          if (mode[i] == kDirect) ask_for(as<T>(x[i]) + from, (to - from) * static_cast<i64>(sizeof(T)));
        for (i64 o = 0; o < s.outputs; ++o)
          if (y[o] && !s.out_ld[o])
            ask_for(as<char>(y[o]) + from * width_of(s.out_dtype[o]), (to - from) * width_of(s.out_dtype[o]));
      }
      const Step<T>& w = program[t];
      const T* a = reg[w.from[0]];
      const T* b = w.arity > 1 ? reg[w.from[1]] : a;
      const T* d = w.arity > 2 ? reg[w.from[2]] : a;
      const i64 ld = w.out >= 0 ? s.out_ld[w.out] : 0;
      if (w.out >= 0) reg[w.to] = as<T>(y[w.out]) + at.out(ld);
      T* out = reg[w.to];
      if (!steps || !stepped) {
        w.fn(count, out, a, b, d);
        continue;
      }
      const i64 by = step[w.from[0]], by_b = w.arity > 1 ? step[w.from[1]] : by,
                by_d = w.arity > 2 ? step[w.from[2]] : by, to = ld ? ld : n;
      step[w.to] = to;
      if (by == n && by_b == n && by_d == n && to == n) {
        w.fn(count, out, a, b, d);
        continue;
      }
      for (i64 r = 0; r < runs; ++r, out += to, a += by, b += by_b, d += by_d) w.fn(n, out, a, b, d);
    }
    sink(at, reg, stepped ? step : nullptr);
  }
}

template <class T>
void run(const ElementwiseShape& s, Slice units, Scratch scratch, const Functions<T>& ops, const void* const* x,
         void* const* y) {
  if (units.begin >= units.end) return;  // also when there is no element at all
  run_tiles(s, cut_of<T>(s), units, scratch, ops, x, y, [&](const Tile& at, T* const* reg, const i64* step) {
    for (i64 pass = 0; pass < 2; ++pass)  // inputs that are stored as they are first: another output may overwrite them
      for (i64 o = 0; o < s.outputs; ++o) {
        if ((s.out_reg[o] < kFirstConst) != (pass == 0)) continue;
        const i64 ld = s.out_ld[o], runs = step || ld ? at.runs : 1, n = step || ld ? at.n : at.count;
        const i64 by = step ? step[s.out_reg[o]] : n, to = ld ? ld : n;
        for (i64 r = 0; r < runs; ++r) {
          const T* from = reg[s.out_reg[o]] + r * by;
          NACRE_BY_DTYPE(s.out_dtype[o], D, {
            D* out = as<D>(y[o]) + at.out(ld) + r * to;
            if (static_cast<const void*>(out) != static_cast<const void*>(from)) convert_run(n, 1, from, out);
          })
        }
      }
  });
}

}  // namespace
}  // namespace NACRE_ISA
}  // namespace nacre
