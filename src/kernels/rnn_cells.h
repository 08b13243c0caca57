// The cells of rnn.h, a vector at a time.
#pragma once
#include "simd/math.h"
#include "simd/simd.h"

namespace nacre::NACRE_ISA::cells {

NACRE_INLINE Vec load_n(const float* p, i64 n) { return n == kLanes ? load(p) : load(p, n); }
NACRE_INLINE void store_n(float* p, Vec v, i64 n) {
  if (n == kLanes) store(p, v);
  else store(p, v, n);
}

// f(u, n) for the vectors of a row of U numbers: n of them, from u on.
template <class F>
NACRE_INLINE void each_vector(i64 U, F f) {
  i64 u = 0;
  for (; u + kLanes <= U; u += kLanes) f(u, kLanes);
  if (u < U) f(u, U - u);
}

// s (1 - s) and 1 - t^2: derivatives of sigmoid and tanh by their values.
NACRE_INLINE Vec sigmoid_slope(Vec s) { return s * (set1(1.0f) - s); }
NACRE_INLINE Vec tanh_slope(Vec t) { return fnma(t, t, set1(1.0f)); }

struct LstmState {
  Vec h, c;
};

// `gate(k)` gives the gate at k before its function. What is kept, here and of the GRU, may lie where it comes from.
template <class G>
NACRE_INLINE LstmState lstm(G gate, Vec c, float* gates, i64 U, i64 n) {
  const Vec i = sigmoid(gate(0)), f = sigmoid(gate(U)), g = tanh(gate(2 * U)), o = sigmoid(gate(3 * U));
  store_n(gates, i, n);
  store_n(gates + U, f, n);
  store_n(gates + 2 * U, g, n);
  store_n(gates + 3 * U, o, n);
  const Vec next = fma(f, c, i * g);
  return {o * tanh(next), next};
}

// The gradients of the gates go to dz; that of c is what comes out.
NACRE_INLINE Vec lstm_back(const float* gates, Vec c, Vec c_out, Vec dh, Vec dc_out, float* dz, i64 U, i64 n) {
  const Vec i = load_n(gates, n), f = load_n(gates + U, n), g = load_n(gates + 2 * U, n), o = load_n(gates + 3 * U, n);
  const Vec t = tanh(c_out), d = fma(dh * o, tanh_slope(t), dc_out);  // d: of c'
  store_n(dz, d * g * sigmoid_slope(i), n);
  store_n(dz + U, d * c * sigmoid_slope(f), n);
  store_n(dz + 2 * U, d * i * tanh_slope(g), n);
  store_n(dz + 3 * U, dh * t * sigmoid_slope(o), n);
  return d * f;
}

NACRE_INLINE Vec gru(const float* x, const float* r, Vec h, float* gates, i64 U, i64 n) {
  const Vec z = sigmoid(load_n(x, n) + load_n(r, n)), g = sigmoid(load_n(x + U, n) + load_n(r + U, n));
  const Vec c = tanh(fma(g, load_n(r + 2 * U, n), load_n(x + 2 * U, n)));
  store_n(gates, z, n);
  store_n(gates + U, g, n);
  store_n(gates + 2 * U, c, n);
  return fma(z, h, (set1(1.0f) - z) * c);
}

NACRE_INLINE Vec gru_back(const float* gates, const float* r, Vec h, Vec d, float* dx, float* dr, i64 U, i64 n) {
  const Vec z = load_n(gates, n), g = load_n(gates + U, n), c = load_n(gates + 2 * U, n);
  const Vec dz = d * (h - c) * sigmoid_slope(z), dc = d * (set1(1.0f) - z) * tanh_slope(c);
  const Vec dg = dc * load_n(r + 2 * U, n) * sigmoid_slope(g);
  store_n(dx, dz, n);
  store_n(dr, dz, n);
  store_n(dx + U, dg, n);
  store_n(dr + U, dg, n);
  store_n(dx + 2 * U, dc, n);
  store_n(dr + 2 * U, dc * g, n);
  return d * z;
}

}  // namespace nacre::NACRE_ISA::cells
