#include "kernels/rnn.h"

#include "kernels/loops.h"
#include "simd/math.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

NACRE_INLINE Vec load_n(const float* p, i64 n) { return n == kLanes ? load(p) : load(p, n); }
NACRE_INLINE void store_n(float* p, Vec v, i64 n) {
  if (n == kLanes) store(p, v);
  else store(p, v, n);
}

i64 rows_per_unit(i64 U) { return max_of(1, 1024 / max_of(U, 1)); }  // five or so transcendental functions each

// f(row, column, how many) for each vector of the units.
template <class F>
NACRE_INLINE void each_vector(const CellShape& s, Slice units, F f) {
  const i64 per = rows_per_unit(s.U), end = min_of(units.end * per, s.M);
  for (i64 m = units.begin * per; m < end; ++m) {
    i64 u = 0;
    for (; u + kLanes <= s.U; u += kLanes) f(m, u, kLanes);
    if (u < s.U) f(m, u, s.U - u);
  }
}

// widths[i]: operand i is [M, widths[i] * U].
template <int n>
Facts cell_facts(const CellShape& s, const int (&widths)[n]) {
  Facts f;
  if (s.M < 0 || s.U < 0) f.error = "M and U must not be negative";
  else if (!product_fits(s.M, s.U, 4)) f.error = "the number of elements overflows";
  if (f.error) return f;
  for (int i = 0; i < n; ++i) f.extent[i] = Count(s.M) * Count(s.U) * Count(widths[i]);
  if (s.U > 0) f.units = ceil_div(s.M, rows_per_unit(s.U));
  f.flops = 60.0 * static_cast<double>(s.M) * static_cast<double>(s.U);
  return f;
}

// s (1 - s) and 1 - t^2: derivatives of sigmoid and tanh by their values.
NACRE_INLINE Vec sigmoid_slope(Vec s) { return s * (set1(1.0f) - s); }
NACRE_INLINE Vec tanh_slope(Vec t) { return fnma(t, t, set1(1.0f)); }

}  // namespace

Facts lstm_cell_facts(const CellShape& s) { return cell_facts(s, {4, 1, 1, 1, 4}); }

void lstm_cell(const CellShape& s, Slice units, const float* z, const float* c, float* h_out, float* c_out,
               float* gates) {
  each_vector(s, units, [&](i64 m, i64 u, i64 n) __attribute__((always_inline)) {
    const i64 wide = m * 4 * s.U + u, at = m * s.U + u;
    const Vec i = sigmoid(load_n(z + wide, n)), f = sigmoid(load_n(z + wide + s.U, n));
    const Vec g = tanh(load_n(z + wide + 2 * s.U, n)), o = sigmoid(load_n(z + wide + 3 * s.U, n));
    const Vec next = fma(f, load_n(c + at, n), i * g);
    store_n(gates + wide, i, n);
    store_n(gates + wide + s.U, f, n);
    store_n(gates + wide + 2 * s.U, g, n);
    store_n(gates + wide + 3 * s.U, o, n);
    store_n(c_out + at, next, n);
    store_n(h_out + at, o * tanh(next), n);
  });
}

Facts lstm_cell_grad_facts(const CellShape& s) { return cell_facts(s, {4, 1, 1, 1, 1, 4, 1}); }

void lstm_cell_grad(const CellShape& s, Slice units, const float* gates, const float* c, const float* c_out,
                    const float* dh, const float* dc_out, float* dz, float* dc) {
  each_vector(s, units, [&](i64 m, i64 u, i64 n) __attribute__((always_inline)) {
    const i64 wide = m * 4 * s.U + u, at = m * s.U + u;
    const Vec i = load_n(gates + wide, n), f = load_n(gates + wide + s.U, n);
    const Vec g = load_n(gates + wide + 2 * s.U, n), o = load_n(gates + wide + 3 * s.U, n);
    const Vec t = tanh(load_n(c_out + at, n)), dh_m = load_n(dh + at, n);
    const Vec d = fma(dh_m * o, tanh_slope(t), load_n(dc_out + at, n));  // of c'
    const Vec before = load_n(c + at, n);
    store_n(dz + wide, d * g * sigmoid_slope(i), n);
    store_n(dz + wide + s.U, d * before * sigmoid_slope(f), n);
    store_n(dz + wide + 2 * s.U, d * i * tanh_slope(g), n);
    store_n(dz + wide + 3 * s.U, dh_m * t * sigmoid_slope(o), n);
    store_n(dc + at, d * f, n);
  });
}

Facts gru_cell_facts(const CellShape& s) { return cell_facts(s, {3, 3, 1, 1, 3}); }

void gru_cell(const CellShape& s, Slice units, const float* x, const float* r, const float* h, float* h_out,
              float* gates) {
  each_vector(s, units, [&](i64 m, i64 u, i64 n) __attribute__((always_inline)) {
    const i64 wide = m * 3 * s.U + u, at = m * s.U + u;
    const Vec z = sigmoid(load_n(x + wide, n) + load_n(r + wide, n));
    const Vec g = sigmoid(load_n(x + wide + s.U, n) + load_n(r + wide + s.U, n));
    const Vec c = tanh(fma(g, load_n(r + wide + 2 * s.U, n), load_n(x + wide + 2 * s.U, n)));
    store_n(gates + wide, z, n);
    store_n(gates + wide + s.U, g, n);
    store_n(gates + wide + 2 * s.U, c, n);
    store_n(h_out + at, fma(z, load_n(h + at, n), (set1(1.0f) - z) * c), n);
  });
}

Facts gru_cell_grad_facts(const CellShape& s) { return cell_facts(s, {3, 3, 1, 1, 3, 3, 1}); }

void gru_cell_grad(const CellShape& s, Slice units, const float* gates, const float* r, const float* h,
                   const float* dh_out, float* dx, float* dr, float* dh) {
  each_vector(s, units, [&](i64 m, i64 u, i64 n) __attribute__((always_inline)) {
    const i64 wide = m * 3 * s.U + u, at = m * s.U + u;
    const Vec z = load_n(gates + wide, n), g = load_n(gates + wide + s.U, n), c = load_n(gates + wide + 2 * s.U, n);
    const Vec d = load_n(dh_out + at, n), r_h = load_n(r + wide + 2 * s.U, n);
    const Vec dz = d * (load_n(h + at, n) - c) * sigmoid_slope(z);
    const Vec dc = d * (set1(1.0f) - z) * tanh_slope(c);
    const Vec dg = dc * r_h * sigmoid_slope(g);
    store_n(dx + wide, dz, n);
    store_n(dr + wide, dz, n);
    store_n(dx + wide + s.U, dg, n);
    store_n(dr + wide + s.U, dg, n);
    store_n(dx + wide + 2 * s.U, dc, n);
    store_n(dr + wide + 2 * s.U, dc * g, n);
    store_n(dh + at, d * z, n);
  });
}

}  // namespace NACRE_ISA
}  // namespace nacre
