#include "kernels/rnn.h"

#include "kernels/loops.h"
#include "kernels/rnn_cells.h"
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

// f(at, how many, whether the row counts) for each vector of the rows.
template <class F>
NACRE_INLINE void each_vector(i64 rows, i64 U, const float* mask, F f) {
  for (i64 m = 0; m < rows; ++m) {
    const bool counts = !mask || mask[m] != 0;
    i64 u = 0;
    for (; u + kLanes <= U; u += kLanes) f(m, u, kLanes, counts);
    if (u < U) f(m, u, U - u, counts);
  }
}

i64 rows_per_unit(i64 U) { return max_of(1, 1024 / max_of(U, 1)); }  // five or so transcendental functions each

Run rows_of(const CellShape& s, Slice units) {
  const i64 per = rows_per_unit(s.U);
  return {units.begin * per, min_of(units.end * per, s.M)};
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

// The gradient of a state: that of the step, what comes from outside, and where the step was masked what goes past it.
NACRE_INLINE Vec joined(Vec of_step, const float* outside, Vec past, i64 n, bool counts) {
  const Vec sum = outside ? of_step + load_n(outside, n) : of_step;
  return counts ? sum : sum + past;
}

}  // namespace

void lstm_rows(const LstmRows& given) {
  const LstmRows r = given;
  each_vector(r.rows, r.U, r.mask, [&](i64 m, i64 u, i64 n, bool counts) __attribute__((always_inline)) {
    const i64 wide = m * 4 * r.U + u, at = m * r.U + u;
    const auto gate = [&](i64 k) __attribute__((always_inline)) {
      const Vec z = load_n(r.z + wide + k * r.U, n);
      return r.x ? z + load_n(r.x + wide + k * r.U, n) : z;
    };
    const Vec i = sigmoid(gate(0)), f = sigmoid(gate(1)), g = tanh(gate(2)), o = sigmoid(gate(3));
    const Vec c = load_n(r.c + at, n), next = fma(f, c, i * g);
    store_n(r.gates + wide, i, n);
    store_n(r.gates + wide + r.U, f, n);
    store_n(r.gates + wide + 2 * r.U, g, n);
    store_n(r.gates + wide + 3 * r.U, o, n);
    store_n(r.c_out + at, counts ? next : c, n);
    store_n(r.h_out + at, counts ? o * tanh(next) : load_n(r.h + at, n), n);
  });
}

void lstm_back_rows(const LstmBackRows& given) {
  const LstmBackRows r = given;
  each_vector(r.rows, r.U, r.mask, [&](i64 m, i64 u, i64 n, bool counts) __attribute__((always_inline)) {
    const i64 wide = m * 4 * r.U + u, at = m * r.U + u;
    const Vec i = load_n(r.gates + wide, n), f = load_n(r.gates + wide + r.U, n);
    const Vec g = load_n(r.gates + wide + 2 * r.U, n), o = load_n(r.gates + wide + 3 * r.U, n);
    const Vec t = tanh(load_n(r.c_out + at, n)), past = load_n(r.dc_out + at, n);
    const Vec dh = counts ? load_n(r.dh + at, n) : zero();
    const Vec d = fma(dh * o, tanh_slope(t), counts ? past : zero());  // of c'
    store_n(r.dz + wide, d * g * sigmoid_slope(i), n);
    store_n(r.dz + wide + r.U, d * load_n(r.c + at, n) * sigmoid_slope(f), n);
    store_n(r.dz + wide + 2 * r.U, d * i * tanh_slope(g), n);
    store_n(r.dz + wide + 3 * r.U, dh * t * sigmoid_slope(o), n);
    store_n(r.dc + at, joined(d * f, r.outside ? r.outside + at : nullptr, past, n, counts), n);
  });
}

void gru_rows(const GruRows& given) {
  const GruRows r = given;
  each_vector(r.rows, r.U, r.mask, [&](i64 m, i64 u, i64 n, bool counts) __attribute__((always_inline)) {
    const i64 wide = m * 3 * r.U + u, at = m * r.U + u;
    const float *x = r.x + wide, *inner = r.inner + wide;
    const Vec z = sigmoid(load_n(x, n) + load_n(inner, n));
    const Vec g = sigmoid(load_n(x + r.U, n) + load_n(inner + r.U, n));
    const Vec c = tanh(fma(g, load_n(inner + 2 * r.U, n), load_n(x + 2 * r.U, n)));
    const Vec h = load_n(r.h + at, n), next = fma(z, h, (set1(1.0f) - z) * c);
    store_n(r.gates + wide, z, n);
    store_n(r.gates + wide + r.U, g, n);
    store_n(r.gates + wide + 2 * r.U, c, n);
    store_n(r.h_out + at, counts ? next : h, n);
  });
}

void gru_back_rows(const GruBackRows& given) {
  const GruBackRows r = given;
  each_vector(r.rows, r.U, r.mask, [&](i64 m, i64 u, i64 n, bool counts) __attribute__((always_inline)) {
    const i64 wide = m * 3 * r.U + u, at = m * r.U + u;
    const Vec z = load_n(r.gates + wide, n), g = load_n(r.gates + wide + r.U, n);
    const Vec c = load_n(r.gates + wide + 2 * r.U, n), inner = load_n(r.inner + wide + 2 * r.U, n);
    const Vec past = load_n(r.dh_out + at, n), d = counts ? past : zero();
    const Vec dz = d * (load_n(r.h + at, n) - c) * sigmoid_slope(z);
    const Vec dc = d * (set1(1.0f) - z) * tanh_slope(c), dg = dc * inner * sigmoid_slope(g);
    store_n(r.dx + wide, dz, n);
    store_n(r.d_inner + wide, dz, n);
    store_n(r.dx + wide + r.U, dg, n);
    store_n(r.d_inner + wide + r.U, dg, n);
    store_n(r.dx + wide + 2 * r.U, dc, n);
    store_n(r.d_inner + wide + 2 * r.U, dc * g, n);
    store_n(r.dh + at, joined(d * z, r.outside ? r.outside + at : nullptr, past, n, counts), n);
  });
}

void join_rows(const JoinRows& given) {
  const JoinRows r = given;
  each_vector(r.rows, r.U, r.mask, [&](i64 m, i64 u, i64 n, bool counts) __attribute__((always_inline)) {
    const i64 at = m * r.U + u;
    store_n(r.d + at, joined(load_n(r.of_step + at, n), r.outside + at, load_n(r.d + at, n), n, counts), n);
  });
}

Facts lstm_cell_facts(const CellShape& s) { return cell_facts(s, {4, 1, 1, 1, 4}); }

void lstm_cell(const CellShape& s, Slice units, const float* z, const float* c, float* h_out, float* c_out,
               float* gates) {
  const Run run = rows_of(s, units);
  const i64 at = run.begin * s.U;
  lstm_rows({run.end - run.begin, s.U, z + 4 * at, nullptr, nullptr, nullptr, c + at, h_out + at, c_out + at,
             gates + 4 * at});
}

Facts lstm_cell_grad_facts(const CellShape& s) { return cell_facts(s, {4, 1, 1, 1, 1, 4, 1}); }

void lstm_cell_grad(const CellShape& s, Slice units, const float* gates, const float* c, const float* c_out,
                    const float* dh, const float* dc_out, float* dz, float* dc) {
  const Run run = rows_of(s, units);
  const i64 at = run.begin * s.U;
  lstm_back_rows({run.end - run.begin, s.U, gates + 4 * at, c + at, c_out + at, dh + at, dc_out + at, nullptr, nullptr,
                  dz + 4 * at, dc + at});
}

Facts gru_cell_facts(const CellShape& s) { return cell_facts(s, {3, 3, 1, 1, 3}); }

void gru_cell(const CellShape& s, Slice units, const float* x, const float* r, const float* h, float* h_out,
              float* gates) {
  const Run run = rows_of(s, units);
  const i64 at = run.begin * s.U;
  gru_rows({run.end - run.begin, s.U, x + 3 * at, r + 3 * at, nullptr, h + at, h_out + at, gates + 3 * at});
}

Facts gru_cell_grad_facts(const CellShape& s) { return cell_facts(s, {3, 3, 1, 1, 3, 3, 1}); }

void gru_cell_grad(const CellShape& s, Slice units, const float* gates, const float* r, const float* h,
                   const float* dh_out, float* dx, float* dr, float* dh) {
  const Run run = rows_of(s, units);
  const i64 at = run.begin * s.U;
  gru_back_rows({run.end - run.begin, s.U, gates + 3 * at, r + 3 * at, h + at, dh_out + at, nullptr, nullptr,
                 dx + 3 * at, dr + 3 * at, dh + at});
}

}  // namespace NACRE_ISA
}  // namespace nacre
