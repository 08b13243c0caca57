#include "kernels/update.h"

#include "kernels/loops.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnit = 8192;  // elements; two to five arrays each

NACRE_INLINE Vec load_n(const float* p, i64 n) { return n == kLanes ? load(p) : load(p, n); }
NACRE_INLINE void store_n(float* p, Vec v, i64 n) {
  if (n == kLanes) store(p, v);
  else store(p, v, n);
}

// f(first, how many) for each vector of the units.
template <class F>
NACRE_INLINE void each_vector(i64 n, Slice units, F f) {
  const i64 end = min_of(units.end * kUnit, n);
  i64 i = units.begin * kUnit;
  for (; i + kLanes <= end; i += kLanes) f(i, kLanes);
  if (i < end) f(i, end - i);
}

// The first `same` operands have n elements each, then lr, then outputs of n.
Facts flat_facts(i64 n, double weight_decay, int inputs, int scalars, int outputs) {
  Facts f;
  if (n < 0) f.error = "n must not be negative";
  else if (!product_fits(n)) f.error = "the number of elements overflows";
  else if (!(weight_decay >= 0 && weight_decay < 1e30)) f.error = "weight_decay must not be negative";
  if (f.error) return f;
  for (int i = 0; i < inputs; ++i) f.extent[i] = Count(n);
  for (int i = 0; i < scalars; ++i) f.extent[inputs + i] = Count(1);
  for (int i = 0; i < outputs; ++i) f.extent[inputs + scalars + i] = Count(n);
  f.units = ceil_div(n, kUnit);
  f.flops = 2.0 * static_cast<double>(inputs) * static_cast<double>(n);
  return f;
}

// w after decoupled decay: w - w * weight_decay * lr
struct Decay {
  Vec rate;
  NACRE_INLINE Decay make(double weight_decay, float lr) { return {set1(static_cast<float>(weight_decay) * lr)}; }
};
NACRE_INLINE Vec decayed(Vec w, Decay d) { return w - w * d.rate; }

bool is_flag(i64 v) { return v == 0 || v == 1; }
bool is_rate(double v) { return v >= 0 && v <= 1; }

}  // namespace

Facts sgd_facts(const SgdShape& s) { return flat_facts(s.n, s.weight_decay, 2, 1, 1); }

void sgd(const SgdShape& s, Slice units, const float* w, const float* g, const float* lr, float* w_out) {
  const Vec rate = set1(*lr);
  if (s.weight_decay == 0) {
    each_vector(s.n, units, [&](i64 i, i64 n) __attribute__((always_inline)) {
      store_n(w_out + i, load_n(w + i, n) - rate * load_n(g + i, n), n);
    });
    return;
  }
  const Decay decay = Decay::make(s.weight_decay, *lr);
  each_vector(s.n, units, [&](i64 i, i64 n) __attribute__((always_inline)) {
    store_n(w_out + i, decayed(load_n(w + i, n), decay) - rate * load_n(g + i, n), n);
  });
}

Facts momentum_facts(const MomentumShape& s) {
  Facts f = flat_facts(s.n, s.weight_decay, 3, 1, 2);
  if (!f.error && !is_flag(s.nesterov)) f.error = "nesterov must be 0 or 1";
  if (!f.error && !is_rate(s.momentum)) f.error = "momentum must be in [0, 1]";
  return f;
}

void momentum(const MomentumShape& s, Slice units, const float* w, const float* g, const float* m, const float* lr,
              float* w_out, float* m_out) {
  const Vec rate = set1(*lr), mu = set1(static_cast<float>(s.momentum));
  const Decay decay = Decay::make(s.weight_decay, *lr);
  const bool decays = s.weight_decay != 0, nesterov = s.nesterov != 0;
  each_vector(s.n, units, [&](i64 i, i64 n) __attribute__((always_inline)) {
    const Vec step = rate * load_n(g + i, n);
    const Vec m_new = mu * load_n(m + i, n) - step;
    Vec w_i = load_n(w + i, n);
    if (decays) w_i = decayed(w_i, decay);
    store_n(m_out + i, m_new, n);
    store_n(w_out + i, w_i + (nesterov ? mu * m_new - step : m_new), n);
  });
}

Facts adam_facts(const AdamShape& s) {
  Facts f = flat_facts(s.n, s.weight_decay, 5, 2, 4);
  if (f.error) return f;
  if (!is_flag(s.amsgrad)) f.error = "amsgrad must be 0 or 1";
  else if (s.step_dtype != static_cast<i64>(DType::i32) && s.step_dtype != static_cast<i64>(DType::i64))
    f.error = "step_dtype must be int32 or int64";
  else if (!is_rate(s.beta_1) || !is_rate(s.beta_2) || !(s.epsilon >= 0))
    f.error = "beta_1, beta_2 must be in [0, 1], epsilon >= 0";
  f.extent[6] = Count(width_of(s.step_dtype));
  if (!s.amsgrad) f.extent[4] = f.extent[10] = Count(0);
  return f;
}

void adam(const AdamShape& s, Slice units, const float* w, const float* g, const float* m, const float* v,
          const float* vhat, const float* lr, const void* iterations, float* w_out, float* m_out, float* v_out,
          float* vhat_out) {
  const bool narrow = s.step_dtype == static_cast<i64>(DType::i32);
  const double t =
      1.0 + (narrow ? static_cast<double>(*as<i32>(iterations)) : static_cast<double>(*as<i64>(iterations)));
  const double correction = __builtin_sqrt(1 - __builtin_pow(s.beta_2, t)) / (1 - __builtin_pow(s.beta_1, t));
  const Vec alpha = set1(static_cast<float>(static_cast<double>(*lr) * correction));
  const Vec keep_1 = set1(static_cast<float>(1 - s.beta_1)), keep_2 = set1(static_cast<float>(1 - s.beta_2));
  const Vec epsilon = set1(static_cast<float>(s.epsilon));
  const Decay decay = Decay::make(s.weight_decay, *lr);
  const bool decays = s.weight_decay != 0, amsgrad = s.amsgrad != 0;
  each_vector(s.n, units, [&](i64 i, i64 n) __attribute__((always_inline)) {
    const Vec g_i = load_n(g + i, n), m_i = load_n(m + i, n), v_i = load_n(v + i, n);
    const Vec m_new = m_i + (g_i - m_i) * keep_1;
    const Vec v_new = v_i + (g_i * g_i - v_i) * keep_2;
    Vec w_i = load_n(w + i, n), under = v_new;
    if (decays) w_i = decayed(w_i, decay);
    if (amsgrad) {
      under = max_nan(load_n(vhat + i, n), v_new);
      store_n(vhat_out + i, under, n);
    }
    store_n(m_out + i, m_new, n);
    store_n(v_out + i, v_new, n);
    store_n(w_out + i, w_i - m_new * alpha / (sqrt(under) + epsilon), n);
  });
}

Facts rmsprop_facts(const RmspropShape& s) {
  Facts f = flat_facts(s.n, s.weight_decay, 5, 1, 4);
  if (f.error) return f;
  if (!is_flag(s.centered)) f.error = "centered must be 0 or 1";
  else if (!is_rate(s.rho) || !is_rate(s.momentum) || !(s.epsilon >= 0))
    f.error = "rho, momentum must be in [0, 1], epsilon >= 0";
  if (s.momentum == 0) f.extent[3] = f.extent[8] = Count(0);
  if (!s.centered) f.extent[4] = f.extent[9] = Count(0);
  return f;
}

void rmsprop(const RmspropShape& s, Slice units, const float* w, const float* g, const float* v, const float* m,
             const float* a, const float* lr, float* w_out, float* v_out, float* m_out, float* a_out) {
  const Vec rate = set1(*lr), rho = set1(static_cast<float>(s.rho)), rest = set1(static_cast<float>(1 - s.rho));
  const Vec mu = set1(static_cast<float>(s.momentum)), epsilon = set1(static_cast<float>(s.epsilon));
  const Decay decay = Decay::make(s.weight_decay, *lr);
  const bool decays = s.weight_decay != 0, heavy = s.momentum != 0, centered = s.centered != 0;
  each_vector(s.n, units, [&](i64 i, i64 n) __attribute__((always_inline)) {
    const Vec g_i = load_n(g + i, n);
    const Vec v_new = rho * load_n(v + i, n) + rest * (g_i * g_i);
    Vec under = v_new, w_i = load_n(w + i, n);
    store_n(v_out + i, v_new, n);
    if (centered) {
      const Vec a_new = rho * load_n(a + i, n) + rest * g_i;
      store_n(a_out + i, a_new, n);
      under = v_new - a_new * a_new;
    }
    Vec step = rate * g_i / sqrt(under + epsilon);
    if (heavy) {
      step = mu * load_n(m + i, n) + step;
      store_n(m_out + i, step, n);
    }
    if (decays) w_i = decayed(w_i, decay);
    store_n(w_out + i, w_i - step, n);
  });
}

Facts adagrad_facts(const AdagradShape& s) {
  Facts f = flat_facts(s.n, s.weight_decay, 3, 1, 2);
  if (!f.error && !(s.epsilon >= 0)) f.error = "epsilon must not be negative";
  return f;
}

void adagrad(const AdagradShape& s, Slice units, const float* w, const float* g, const float* a, const float* lr,
             float* w_out, float* a_out) {
  const Vec rate = set1(*lr), epsilon = set1(static_cast<float>(s.epsilon));
  const Decay decay = Decay::make(s.weight_decay, *lr);
  const bool decays = s.weight_decay != 0;
  each_vector(s.n, units, [&](i64 i, i64 n) __attribute__((always_inline)) {
    const Vec g_i = load_n(g + i, n), a_new = load_n(a + i, n) + g_i * g_i;
    Vec w_i = load_n(w + i, n);
    if (decays) w_i = decayed(w_i, decay);
    store_n(a_out + i, a_new, n);
    store_n(w_out + i, w_i - rate * g_i / sqrt(a_new + epsilon), n);
  });
}

}  // namespace NACRE_ISA
}  // namespace nacre
