#include "kernels/update.h"

#include "kernels/elementwise_codes.h"
#include "simd/simd.h"

// What takes little of the time: short rather than quick.
#define NACRE_SMALL __attribute__((cold))

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kWords = 5, kFirstConst = 8, kFirstTemp = 24, kRegisters = 64;

// Arrays, numbers, results. What a rule computes twice into one symbol is something else afterwards.
// clang-format off
enum Symbol : signed char {
  kG, kW, kM, kV, kU, kA, kArrays,
  kRate = kArrays, kEpsilon, kC1, kC2, kC3, kC4, kC5, kNumbersEnd,
  kNewW = kNumbersEnd, kNewM, kNewV, kNewU, kT0, kT1, kT2, kSymbols
};
// clang-format on
constexpr int kNumbers = kNumbersEnd - kArrays, kResults = 4;

struct Line {
  Code code;
  Symbol to, a, b, c = a;
};

#define ONE(code, to, a) {Code::code, to, a, a}
#define TWO(code, to, a, b) {Code::code, to, a, b}
#define MOMENT(m, g) TWO(sub, kT0, g, m), TWO(mul, kT0, kT0, kC1), TWO(add, kNewM, m, kT0)
#define MOMENTS \
  MOMENT(kM, kG), ONE(square, kT0, kG), TWO(sub, kT0, kT0, kV), TWO(mul, kT0, kT0, kC2), TWO(add, kNewV, kV, kT0)
#define SQUARES TWO(mul, kT0, kC1, kV), ONE(square, kT1, kG), TWO(mul, kT1, kC2, kT1), TWO(add, kNewV, kT0, kT1)
#define RMS_CENTER                                                                                    \
  TWO(mul, kT0, kC1, kU), TWO(mul, kT1, kC2, kG), TWO(add, kNewU, kT0, kT1), ONE(square, kT1, kNewU), \
      TWO(sub, kT1, kNewV, kT1)
#define RMS_STEP(v) TWO(mul, kT0, kRate, kG), TWO(add, kT1, v, kEpsilon), ONE(sqrt, kT1, kT1), TWO(div, kT0, kT0, kT1)
#define RMS_MOMENTUM TWO(mul, kT1, kC3, kM), TWO(add, kNewM, kT1, kT0), TWO(sub, kNewW, kW, kNewM)
#define BY_ROOT(v) ONE(sqrt, kT1, v), TWO(add, kT1, kT1, kEpsilon), TWO(div, kT0, kT0, kT1)

constexpr Line kSgd[] = {TWO(mul, kT0, kG, kRate), TWO(sub, kNewW, kW, kT0)};
constexpr Line kMomentum[] = {TWO(mul, kT0, kG, kRate), TWO(mul, kT1, kM, kC1), TWO(sub, kNewM, kT1, kT0),
                              TWO(add, kNewW, kW, kNewM)};
constexpr Line kNesterov[] = {TWO(mul, kT0, kG, kRate),  TWO(mul, kT1, kM, kC1),  TWO(sub, kNewM, kT1, kT0),
                              TWO(mul, kT1, kNewM, kC1), TWO(sub, kT1, kT1, kT0), TWO(add, kNewW, kW, kT1)};
constexpr Line kAdam[] = {MOMENTS, TWO(mul, kT0, kNewM, kRate), BY_ROOT(kNewV), TWO(sub, kNewW, kW, kT0)};
constexpr Line kAmsgrad[] = {MOMENTS, TWO(max, kNewU, kU, kNewV), TWO(mul, kT0, kNewM, kRate), BY_ROOT(kNewU),
                             TWO(sub, kNewW, kW, kT0)};
constexpr Line kNadam[] = {
    MOMENTS,      TWO(mul, kT1, kNewV, kC3), TWO(mul, kT0, kNewM, kC4), TWO(mul, kT2, kG, kC5), TWO(add, kT0, kT0, kT2),
    BY_ROOT(kT1), TWO(sub, kNewW, kW, kT0)};
constexpr Line kLamb[] = {MOMENTS,
                          TWO(mul, kT0, kNewM, kC3),
                          TWO(mul, kT1, kNewV, kC4),
                          ONE(sqrt, kT1, kT1),
                          TWO(add, kT1, kT1, kEpsilon),
                          TWO(div, kNewW, kT0, kT1)};
constexpr Line kAdamax[] = {MOMENT(kM, kG),
                            TWO(mul, kT0, kC2, kV),
                            ONE(abs, kT1, kG),
                            TWO(max, kNewV, kT0, kT1),
                            TWO(mul, kT0, kRate, kNewM),
                            TWO(add, kT1, kNewV, kEpsilon),
                            TWO(div, kT0, kT0, kT1),
                            TWO(sub, kNewW, kW, kT0)};
constexpr Line kRmsprop[] = {SQUARES, RMS_STEP(kNewV), TWO(sub, kNewW, kW, kT0)};
constexpr Line kRmspropMomentum[] = {SQUARES, RMS_STEP(kNewV), RMS_MOMENTUM};
constexpr Line kRmspropCentered[] = {SQUARES, RMS_CENTER, RMS_STEP(kT1), TWO(sub, kNewW, kW, kT0)};
constexpr Line kRmspropBoth[] = {SQUARES, RMS_CENTER, RMS_STEP(kT1), RMS_MOMENTUM};
constexpr Line kAdadelta[] = {SQUARES,
                              TWO(add, kT0, kU, kEpsilon),
                              ONE(sqrt, kT0, kT0),
                              TWO(mul, kT0, kT0, kG),
                              TWO(add, kT1, kNewV, kEpsilon),
                              ONE(sqrt, kT1, kT1),
                              TWO(div, kT0, kT0, kT1),
                              TWO(mul, kT1, kC1, kU),
                              ONE(square, kT2, kT0),
                              TWO(mul, kT2, kC2, kT2),
                              TWO(add, kNewU, kT1, kT2),
                              TWO(mul, kT0, kRate, kT0),
                              TWO(sub, kNewW, kW, kT0)};
constexpr Line kAdagrad[] = {ONE(square, kT0, kG),           TWO(add, kNewV, kV, kT0), TWO(mul, kT0, kRate, kG),
                             TWO(add, kT1, kNewV, kEpsilon), ONE(sqrt, kT1, kT1),      TWO(div, kT0, kT0, kT1),
                             TWO(sub, kNewW, kW, kT0)};
constexpr Line kLion[] = {TWO(mul, kT0, kM, kC1),    TWO(mul, kT1, kG, kC2),    TWO(add, kT0, kT0, kT1),
                          ONE(sign, kT0, kT0),       TWO(mul, kT1, kM, kC3),    TWO(mul, kT2, kG, kC4),
                          TWO(add, kNewM, kT1, kT2), TWO(mul, kT0, kRate, kT0), TWO(sub, kNewW, kW, kT0)};
constexpr Line kFtrl[] = {ONE(square, kT0, kG),      TWO(add, kNewV, kV, kT0),
                          ONE(sqrt, kT0, kNewV),     TWO(mul, kT1, kC1, kW),
                          TWO(add, kT1, kG, kT1),    TWO(add, kT1, kM, kT1),
                          ONE(sqrt, kT2, kV),        TWO(sub, kT2, kT0, kT2),
                          TWO(div, kT2, kT2, kRate), TWO(mul, kT2, kT2, kW),
                          TWO(sub, kNewM, kT1, kT2), TWO(div, kT0, kT0, kRate),
                          TWO(add, kT0, kT0, kC2),   {Code::clip, kT1, kNewM, kC3, kC4},
                          TWO(sub, kT1, kT1, kNewM), TWO(div, kNewW, kT1, kT0)};
// a step of accumulated gradients without an update
constexpr Line kSum[] = {TWO(add, kNewW, kG, kA)};

template <Code code>
NACRE_INLINE Vec compute(Vec a, Vec b, Vec c) {
  if constexpr (code == Code::add) return a + b;
  else if constexpr (code == Code::sub) return a - b;
  else if constexpr (code == Code::mul) return a * b;
  else if constexpr (code == Code::div) return a / b;
  else if constexpr (code == Code::square) return a * a;
  else if constexpr (code == Code::sqrt) return sqrt(a);
  else if constexpr (code == Code::abs) return abs(a);
  else if constexpr (code == Code::max) return max_nan(a, b);
  else if constexpr (code == Code::clip) return min_nan(max_nan(a, b), c);
  else return select(gt(a, zero()), set1(1.0f), select(lt(a, zero()), set1(-1.0f), a));  // sign
}

struct Sweep {
  const float* in[kArrays];
  float* out[kResults];
  float number[kNumbers];
};

template <const Line* lines, int count, int i = 0>
NACRE_INLINE void each_line(Vec (&value)[kSymbols]) {
  if constexpr (i < count) {
    constexpr Line l = lines[i];
    value[l.to] = compute<l.code>(value[l.a], value[l.b], value[l.c]);
    each_line<lines, count, i + 1>(value);
  }
}

template <const Line* lines, int count>
constexpr bool mentions(int symbol) {
  for (int i = 0; i < count; ++i)
    if (lines[i].to == symbol || lines[i].a == symbol || lines[i].b == symbol) return true;
  return false;
}

template <const Line* lines, int count, int i = 0>
NACRE_INLINE void load_arrays(Vec (&value)[kSymbols], const Sweep& s, i64 at) {
  if constexpr (i < kArrays) {
    if constexpr (mentions<lines, count>(i)) value[i] = load(s.in[i] + at);
    load_arrays<lines, count, i + 1>(value, s, at);
  }
}

template <const Line* lines, int count, int i = 0>
NACRE_INLINE void store_results(const Vec (&value)[kSymbols], const Sweep& s, i64 at) {
  if constexpr (i < kResults) {
    if constexpr (mentions<lines, count>(kNewW + i)) store(s.out[i] + at, value[kNewW + i]);
    store_results<lines, count, i + 1>(value, s, at);
  }
}

// Whole vectors. `s` is a copy, which no store can change.
template <const Line* lines, int count>
void sweep(const Sweep s, i64 n) {
  Vec value[kSymbols];
  for (int i = 0; i < kNumbers; ++i) value[kArrays + i] = set1(s.number[i]);
  for (i64 at = 0; at < n; at += kLanes) {
    load_arrays<lines, count>(value, s, at);
    each_line<lines, count>(value);
    store_results<lines, count>(value, s, at);
  }
}

struct Known {
  const Line* lines;
  int count;
  void (*sweep)(Sweep, i64);
};

#define RULE(lines) {lines, sizeof(lines) / sizeof(Line), sweep<lines, sizeof(lines) / sizeof(Line)>}
constexpr Known kRules[] = {RULE(kSgd),
                            RULE(kMomentum),
                            RULE(kNesterov),
                            RULE(kAdam),
                            RULE(kAmsgrad),
                            RULE(kNadam),
                            RULE(kLamb),
                            RULE(kAdamax),
                            RULE(kRmsprop),
                            RULE(kRmspropMomentum),
                            RULE(kRmspropCentered),
                            RULE(kRmspropBoth),
                            RULE(kAdadelta),
                            RULE(kAdagrad),
                            RULE(kLion),
                            RULE(kFtrl),
                            RULE(kSum)};

constexpr i64 kMostLines = kRegisters - kFirstTemp;

bool is_number(const MapCode& c, i64 r) { return r < c.inputs ? c.number[r] : r >= kFirstConst && r < kFirstTemp; }

float number_in(const MapCode& c, const float* const* x, i64 r) {
  return r < kFirstConst ? *x[r] : static_cast<float>(c.consts[r - kFirstConst]);
}

// The bytecode with a register for each result, without choices that are made and what nobody reads.
struct Plain {
  i64 length = 0;
  i64 code[kMostLines][kWords], out_reg[kResults];
  bool chose = false;
};

NACRE_SMALL bool make_plain(const MapCode& c, const float* const* x, Plain& p) {
  i64 now[kRegisters], all[kMostLines][kWords], length = 0;
  for (i64 r = 0; r < kRegisters; ++r) now[r] = r;
  for (i64 t = 0; t < c.length; ++t) {
    const i64* w = c.code + t * kWords;
    if (w[0] == static_cast<i64>(Code::select)) {
      if (!x || !is_number(c, now[w[2]])) return false;
      now[w[1]] = now[number_in(c, x, now[w[2]]) != 0 ? w[3] : w[4]];
      p.chose = true;
      continue;
    }
    if (length == kMostLines) return false;
    i64* line = all[length];
    line[0] = w[0];
    for (i64 k = 2; k < kWords; ++k) line[k] = k < 2 + elementwise_arity(static_cast<int>(w[0])) ? now[w[k]] : -1;
    now[w[1]] = line[1] = kFirstTemp + length++;
  }
  u64 read = 0;
  for (i64 o = 0; o < c.outputs; ++o) read |= u64(1) << (p.out_reg[o] = now[c.out_reg[o]]);
  for (i64 t = length; t-- > 0;)
    if (read >> all[t][1] & 1)
      for (i64 k = 2; k < kWords; ++k) read |= all[t][k] < 0 ? 0 : u64(1) << all[t][k];
  for (i64 t = 0; t < length; ++t) {
    if (!(read >> all[t][1] & 1)) continue;
    for (i64 k = 0; k < kWords; ++k) p.code[p.length][k] = all[t][k];
    ++p.length;
  }
  return true;
}

struct Matcher {
  const MapCode& c;
  const Plain& p;
  const float* const* x;
  float* const* y;
  UpdateMatch& u;
  i64 reg[kSymbols];  // where a symbol is; -1: nowhere yet
  i64 at = 0;         // the next line

  bool is_array(i64 r) const { return r >= 0 && r < c.inputs && !c.number[r]; }
  bool is_free(i64 r) const {
    for (const i64 taken : u.array)
      if (taken == r) return false;
    return is_array(r);
  }
  // `symbol` is what register r holds, or becomes it.
  bool reads(int symbol, i64 r) {
    if (reg[symbol] >= 0) return reg[symbol] == r;
    if (symbol < kArrays ? !is_free(r) : symbol >= kNumbersEnd || !is_number(c, r)) return false;
    if (symbol < kArrays) u.array[symbol] = r;
    reg[symbol] = r;
    return true;
  }
  bool is(const i64* w, Code code) const { return w[0] == static_cast<i64>(code); }

  bool decays() {
    if (at + 2 > p.length || u.decay >= 0) return false;
    const i64 *product = p.code[at], *rest = p.code[at + 1];
    if (!is(product, Code::mul) || !is(rest, Code::sub) || rest[2] != product[2] || rest[3] != product[1]) return false;
    if (!is_number(c, product[3]) || !reads(kW, product[2])) return false;
    u.decay = product[3];
    reg[kW] = rest[1];
    at += 2;
    return true;
  }
  // the gradient of a penalty, added to g
  bool penalizes() {
    if (at + 3 > p.length || u.penalty[1] >= 0 || u.change != 0) return false;
    const i64 *first = p.code[at], *second = p.code[at + 1], *sum = p.code[at + 2];
    const bool squares = is(first, Code::mul) && is_number(c, first[3]);
    if (!(squares || is(first, Code::sign)) || !is(second, Code::mul) || !is(sum, Code::add)) return false;
    if (second[3] != first[1] || sum[2] != second[1] || !is_number(c, second[2])) return false;
    if (!reads(kW, first[2]) || !reads(kG, sum[3])) return false;
    u.penalty[0] = squares ? first[3] : -1;
    u.penalty[1] = second[2];
    reg[kG] = sum[1];
    at += 3;
    return true;
  }
  // what else is done to the gradient: a sum with another array, then one change by numbers
  bool changes() {
    const i64* w = p.code[at];
    if (u.change != 0) return false;
    if (is(w, Code::add) && u.array[kA] < 0) {
      if (!reads(kG, w[2]) || !reads(kA, w[3])) return false;
    } else {
      u.change = is(w, Code::mul) ? 1 : is(w, Code::div) ? 2 : is(w, Code::clip) ? 3 : 0;
      const bool turned = u.change == 1 && is_number(c, w[2]);  // number times array
      if (u.change == 0 || !reads(kG, w[2 + turned]) || !is_number(c, w[3 - turned])) return false;
      u.before[0] = u.before[1] = w[3 - turned];
      if (u.change == 3 && !is_number(c, u.before[1] = w[4])) return false;
    }
    reg[kG] = w[1];
    ++at;
    return true;
  }
  // behind the rule, in so many lines: c a + d w', as a moving average a of the weights takes, or d w' added to an array
  bool averages(i64 lines) {
    if (lines == 0) return true;
    const i64 *kept = p.code[at], *taken = p.code[at + lines - 2], *sum = p.code[at + lines - 1];
    if (!is(taken, Code::mul) || !is(sum, Code::add) || !is_number(c, taken[2])) return false;
    if (reg[kNewW] < 0 || taken[3] != reg[kNewW] || sum[3] != taken[1]) return false;
    if (lines == 3 && (!is(kept, Code::mul) || !is_number(c, kept[2]) || sum[2] != kept[1])) return false;
    const i64 array = lines == 3 ? kept[3] : sum[2];
    if (!is_free(array)) return false;
    for (i64 o = 0; o < c.outputs; ++o)
      if (p.out_reg[o] == sum[1]) u.average[3] = o;
    u.average[0] = array;
    u.average[1] = lines == 3 ? kept[2] : -1;
    u.average[2] = taken[2];
    return u.average[3] >= 0;
  }
  NACRE_SMALL bool all(const Known& k, i64 behind) {
    const i64 front = p.length - k.count - behind;
    if (front < 0 || front > 7) return false;
    u = UpdateMatch();
    for (i64& r : reg) r = -1;
    at = 0;
    while (at < front)
      if (!penalizes() && !decays() && !changes()) return false;
    if (at != front) return false;
    for (int i = 0; i < k.count; ++i, ++at) {
      const i64* w = p.code[at];
      const Line& l = k.lines[i];
      if (!is(w, l.code) || !reads(l.a, w[2]) || (w[3] >= 0 && !reads(l.b, w[3]))) return false;
      if (w[4] >= 0 && !reads(l.c, w[4])) return false;
      reg[l.to] = w[1];
    }
    if (!averages(behind)) return false;
    for (int i = 0; i < kNumbers; ++i) u.number[i] = reg[kArrays + i];
    i64 results = behind > 0;
    for (int i = 0; i < kResults; ++i) {
      u.output[i] = u.filled[i] = -1;
      for (i64 o = 0; o < c.outputs; ++o)
        if (reg[kNewW + i] >= 0 && p.out_reg[o] == reg[kNewW + i]) u.output[i] = o;
      if ((reg[kNewW + i] >= 0) != (u.output[i] >= 0)) return false;
      results += u.output[i] >= 0;
    }
    for (i64 o = 0; o < c.outputs; ++o) {
      const i64 r = p.out_reg[o];
      if (r >= kFirstTemp) continue;
      u.filled[o] = is_number(c, r) ? r : -1;
      if (u.filled[o] < 0 && (!y || y[o] != x[r])) return false;  // else it is there already
      ++results;
    }
    return results == c.outputs;
  }
};

// Whole vectors.
void run_whole(const UpdateMatch& u, const MapCode& c, i64 n, const float* const* x, float* const* y) {
  constexpr i64 kBlock = 1024;
  const Known& rule = kRules[u.rule];
  const auto number = [&](i64 r) { return r < 0 ? 0.0f : number_in(c, x, r); };
  const float decay = number(u.decay), first = number(u.before[0]), second = number(u.before[1]);
  const float pull = number(u.penalty[0]), penalty = number(u.penalty[1]);
  const bool squares = u.penalty[0] >= 0, penalizes = u.penalty[1] >= 0, decays = u.decay >= 0;
  const bool sums = u.array[kA] >= 0 && rule.lines != kSum, changes = sums || penalizes || u.change != 0;
  const bool averages = u.average[0] >= 0, keeps = u.average[1] >= 0;
  const float kept = number(u.average[1]), taken = number(u.average[2]);
  const i64 block = changes || decays || averages ? kBlock : max_of(n, 1);
  float g[kBlock], w[kBlock], a[kBlock];  // copies: outputs may lie over any of the inputs
  Sweep s{};
  for (int i = 0; i < kNumbers; ++i) s.number[i] = number(u.number[i]);
  for (i64 at = 0; at < n; at += block) {
    const i64 m = min_of(n - at, block);
    for (int i = 0; i < kArrays; ++i) s.in[i] = u.array[i] < 0 ? nullptr : x[u.array[i]] + at;
    for (int i = 0; i < kResults; ++i) s.out[i] = u.output[i] < 0 ? nullptr : y[u.output[i]] + at;
    // what stands in front of the rule
    for (i64 i = 0; i < m && changes; i += kLanes) {
      Vec v = load(s.in[kG] + i);
      if (penalizes) {
        const Vec weights = load(s.in[kW] + i);
        v = set1(penalty) * (squares ? weights * set1(pull) : compute<Code::sign>(weights, weights, weights)) + v;
      }
      if (sums) v = v + load(s.in[kA] + i);
      if (u.change == 1) v = v * set1(first);
      if (u.change == 2) v = v / set1(first);
      if (u.change == 3) v = min_nan(max_nan(v, set1(first)), set1(second));
      store(g + i, v);
    }
    for (i64 i = 0; i < m && decays; i += kLanes) {
      const Vec v = load(s.in[kW] + i);
      store(w + i, v - v * set1(decay));
    }
    for (i64 i = 0; i < m && averages; i += kLanes) {
      const Vec v = load(x[u.average[0]] + at + i);
      store(a + i, keeps ? set1(kept) * v : v);
    }
    if (changes) s.in[kG] = g;
    if (decays) s.in[kW] = w;
    rule.sweep(s, m);
    for (i64 i = 0; i < m && averages; i += kLanes)
      store(y[u.average[3]] + at + i, load(a + i) + set1(taken) * load(s.out[0] + i));
  }
  for (i64 o = 0; o < c.outputs; ++o) {
    if (u.filled[o] < 0) continue;
    for (i64 i = 0; i < n; i += kLanes) store(y[o] + i, set1(number(u.filled[o])));
  }
}

}  // namespace

NACRE_SMALL UpdateMatch match_update(const MapCode& c, const float* const* x, float* const* y) {
  UpdateMatch u;
  Plain p;
  if (c.length < 2 || !make_plain(c, x, p)) return u;
  Matcher m{c, p, x, y, u, {}};
  if (p.length == 1 && !p.chose) return u;
  const i64 counts[] = {0, 2, 3};
  for (const i64 behind : counts)
    for (int rule = 0; rule < static_cast<int>(sizeof(kRules) / sizeof(Known)); ++rule) {
      if (!m.all(kRules[rule], behind)) continue;
      u.rule = rule;
      u.found = true;
      return u;
    }
  return {};
}

void run_update(const UpdateMatch& u, const MapCode& c, i64 n, const float* const* x, float* const* y) {
  const i64 rest = n % kLanes, whole = n - rest;
  run_whole(u, c, whole, x, y);
  if (rest == 0) return;
  float beside[kFirstConst + kResults][kLanes] = {};
  const float* in[kFirstConst];
  float* out[kResults];
  for (i64 i = 0; i < c.inputs; ++i) {
    in[i] = c.number[i] ? x[i] : beside[i];
    if (!c.number[i] && x[i]) store(beside[i], load(x[i] + whole, rest));
  }
  for (i64 o = 0; o < c.outputs; ++o) {  // what is there already stays
    out[o] = beside[kFirstConst + o];
    store(out[o], load(y[o] + whole, rest));
  }
  run_whole(u, c, kLanes, in, out);
  for (i64 o = 0; o < c.outputs; ++o) store(y[o] + whole, load(out[o]), rest);
}

bool keeps_without_gradient(const UpdateMatch& u, const MapCode& c, const float* const* x, float* const* y) {
  const bool sgd = kRules[u.rule].lines == kSgd, adagrad = kRules[u.rule].lines == kAdagrad;
  if ((!sgd && !adagrad) || u.decay >= 0 || u.penalty[1] >= 0 || u.array[kA] >= 0 || u.change != 0 ||
      u.average[0] >= 0 || c.outputs != (sgd ? 1 : 2))
    return false;
  if (!x) return true;
  const auto is_size = [&](int symbol) {
    const float v = number_in(c, x, u.number[symbol - kArrays]);
    return v > 0 && v < __builtin_inff();
  };
  const auto stays = [&](int from, int to) { return y[u.output[to - kNewW]] == x[u.array[from]]; };
  if (!is_size(kRate) || !stays(kW, kNewW)) return false;  // w - 0 * rate is w
  return sgd || (is_size(kEpsilon) && stays(kV, kNewV));   // sums of squares are no less than 0
}

NACRE_SMALL bool tile_update(const UpdateMatch& u, const MapCode& c, const float* const* x, float* const* y,
                             Update* to) {
  static_assert(kRules[3].lines == kAdam);
  if (!u.found || u.rule > 3 || u.change != 0 || u.penalty[1] >= 0 || u.array[kA] >= 0 || u.average[0] >= 0 ||
      u.array[kG] != 0)
    return false;
  if (!to) return true;
  const auto number = [&](int symbol) {
    const i64 r = u.number[symbol - kArrays];
    return r < 0 ? 0.0f : number_in(c, x, r);
  };
  const auto in = [&](int symbol) { return u.array[symbol] < 0 ? nullptr : x[u.array[symbol]]; };
  const auto out = [&](int symbol) { return u.output[symbol - kNewW] < 0 ? nullptr : y[u.output[symbol - kNewW]]; };
  const Rule rules[] = {Rule::sgd, Rule::momentum, Rule::nesterov, Rule::adam};
  *to = {rules[u.rule], u.decay >= 0,     u.decay < 0 ? 0.0f : number_in(c, x, u.decay),
         number(kRate), number(kC1),      number(kC1),
         number(kC2),   number(kEpsilon), in(kW),
         in(kM),        in(kV),           out(kNewW),
         out(kNewM),    out(kNewV)};
  return true;
}

}  // namespace nacre::NACRE_ISA
