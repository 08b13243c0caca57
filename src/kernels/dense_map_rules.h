// Recognises the update rules of gemm_update.h in the bytecode of dense_grad_w_map. The program must be the rule's own
// list of operations, in order, whatever the registers; then both ways give the same bits.
#pragma once
#include "kernels/dense_map.h"
#include "kernels/elementwise_codes.h"
#include "kernels/gemm_update.h"

namespace nacre::NACRE_ISA {

// Which registers play which part.
struct RuleMatch {
  bool found = false;
  Rule rule;
  bool decays;
  i64 reg[8];     // by Part: kDecay .. kEpsilon
  i64 array[3];   // inputs that hold w, m, v; -1: the rule has none
  i64 output[3];  // outputs that take them
};

namespace rules {

// Symbols of a rule: arrays, numbers, results. Each result is computed once.
// clang-format off
enum Symbol : signed char {
  kG, kW, kM, kV,
  kDecay, kRate, kMomentum, kC1, kC2, kEpsilon,
  kNewM, kNewV, kNewW, kKeptW, kT0, kT1, kT2,
  kSymbols
};
// clang-format on

struct Line {
  Code code;
  Symbol to, a, b;
};

constexpr Line kDecayLines[] = {{Code::mul, kT0, kW, kDecay}, {Code::sub, kKeptW, kW, kT0}};
// kKeptW is the weights after the decay, or the weights where there is none
constexpr Line kSgd[] = {{Code::mul, kT0, kG, kRate}, {Code::sub, kNewW, kKeptW, kT0}};
constexpr Line kMomentumLines[] = {{Code::mul, kT0, kG, kRate},
                                   {Code::mul, kT1, kM, kMomentum},
                                   {Code::sub, kNewM, kT1, kT0},
                                   {Code::add, kNewW, kKeptW, kNewM}};
constexpr Line kNesterov[] = {{Code::mul, kT0, kG, kRate},  {Code::mul, kT1, kM, kMomentum},
                              {Code::sub, kNewM, kT1, kT0}, {Code::mul, kT1, kNewM, kMomentum},
                              {Code::sub, kT2, kT1, kT0},   {Code::add, kNewW, kKeptW, kT2}};
constexpr Line kAdam[] = {
    {Code::sub, kT0, kG, kM},        {Code::mul, kT0, kT0, kC1},     {Code::add, kNewM, kM, kT0},
    {Code::square, kT0, kG, kG},     {Code::sub, kT0, kT0, kV},      {Code::mul, kT0, kT0, kC2},
    {Code::add, kNewV, kV, kT0},     {Code::mul, kT0, kNewM, kRate}, {Code::sqrt, kT1, kNewV, kNewV},
    {Code::add, kT1, kT1, kEpsilon}, {Code::div, kT0, kT0, kT1},     {Code::sub, kNewW, kKeptW, kT0}};

struct Matcher {
  const DenseGradWMapShape& s;
  i64 reg[kSymbols];  // where a symbol is; -1: nowhere yet
  i64 holds[64];      // the symbol in a register

  NACRE_INLINE_MEMBER explicit Matcher(const DenseGradWMapShape& shape) : s(shape) {
    for (i64& r : reg) r = -1;
    for (i64& h : holds) h = -1;
    reg[kG] = 0;
    holds[0] = kG;
  }
  NACRE_INLINE_MEMBER bool reads(Symbol symbol, i64 r) {
    if (reg[symbol] >= 0) return reg[symbol] == r && holds[r] == symbol;
    const bool input = r > 0 && r < s.inputs, number = (input && s.scalar[r]) || (r >= 8 && r < 24);
    const bool fits = symbol <= kV ? input && !number : symbol <= kEpsilon && number;
    if (!fits || holds[r] >= 0) return false;
    reg[symbol] = r;
    holds[r] = symbol;
    return true;
  }
  NACRE_INLINE_MEMBER bool line(const Line& l, const i64* w) {
    if (w[0] != static_cast<i64>(l.code)) return false;
    const bool two = elementwise_arity(static_cast<int>(w[0])) == 2;
    if (two ? !(reads(l.a, w[2]) && reads(l.b, w[3])) : !reads(l.a, w[2])) return false;
    if (w[1] < 24 || w[1] >= 64) return false;
    holds[w[1]] = l.to;
    reg[l.to] = w[1];
    return true;
  }
  template <int n>
  NACRE_INLINE_MEMBER bool all(const Line (&lines)[n], i64 from) {
    if (s.length != from + n) return false;
    for (int i = 0; i < n; ++i)
      if (!line(lines[i], s.code + (from + i) * 5)) return false;
    return true;
  }
};

template <int n>
NACRE_INLINE RuleMatch match(const DenseGradWMapShape& s, Rule rule, const Line (&lines)[n], bool decays) {
  RuleMatch found;
  Matcher m(s);
  if (decays) {
    if (s.length < 2 || !m.line(kDecayLines[0], s.code) || !m.line(kDecayLines[1], s.code + 5)) return found;
  } else {
    // the last operation of every rule reads the weights first
    const i64 r = s.length > 0 ? s.code[(s.length - 1) * 5 + 2] : 0;
    if (r > 0 && r < s.inputs && !s.scalar[r]) {
      m.reg[kW] = m.reg[kKeptW] = r;
      m.holds[r] = kKeptW;
    }
  }
  if (!m.all(lines, decays ? 2 : 0)) return found;
  const bool has_m = rule != Rule::sgd, has_v = rule == Rule::adam;
  if (s.outputs != 1 + has_m + has_v) return found;
  const Symbol news[] = {kNewW, kNewM, kNewV}, olds[] = {kW, kM, kV};
  for (int i = 0; i < 3; ++i) {
    found.array[i] = found.output[i] = -1;
    if ((i == 1 && !has_m) || (i == 2 && !has_v)) continue;
    const i64 r = m.reg[news[i]];
    if (m.holds[r] != news[i] || m.reg[olds[i]] < 0) return found;
    found.array[i] = m.reg[olds[i]];
    for (i64 o = 0; o < s.outputs; ++o)
      if (s.out_reg[o] == r) found.output[i] = o;
    if (found.output[i] < 0) return found;
  }
  for (int i = 0; i < 6; ++i) found.reg[i] = m.reg[kDecay + i];
  found.rule = rule;
  found.decays = decays;
  found.found = true;
  return found;
}

}  // namespace rules

NACRE_INLINE RuleMatch match_rule(const DenseGradWMapShape& s) {
  for (int decays = 0; decays < 2; ++decays) {
    RuleMatch r = rules::match(s, Rule::sgd, rules::kSgd, decays);
    if (!r.found) r = rules::match(s, Rule::momentum, rules::kMomentumLines, decays);
    if (!r.found) r = rules::match(s, Rule::nesterov, rules::kNesterov, decays);
    if (!r.found) r = rules::match(s, Rule::adam, rules::kAdam, decays);
    if (r.found) return r;
  }
  return {};
}

}  // namespace nacre::NACRE_ISA
