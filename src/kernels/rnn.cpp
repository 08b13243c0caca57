#include "kernels/rnn.h"

#include "kernels/loops.h"
#include "kernels/rnn_cells.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

using cells::load_n;
using cells::store_n;

i64 rows_per_unit(i64 U) { return max_of(1, 1024 / max_of(U, 1)); }  // five or so transcendental functions each

// f(row, column, how many) for each vector of the units.
template <class F>
NACRE_INLINE void each_vector(const CellShape& s, Slice units, F f) {
  const i64 per = rows_per_unit(s.U), end = min_of(units.end * per, s.M);
  for (i64 m = units.begin * per; m < end; ++m)
    cells::each_vector(s.U, [&](i64 u, i64 n) __attribute__((always_inline)) { f(m, u, n); });
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

}  // namespace

Facts lstm_cell_facts(const CellShape& s) { return cell_facts(s, {4, 1, 1, 1, 4}); }

void lstm_cell(const CellShape& s, Slice units, const float* z, const float* c, float* h_out, float* c_out,
               float* gates) {
  each_vector(s, units, [&](i64 m, i64 u, i64 n) __attribute__((always_inline)) {
    const i64 wide = m * 4 * s.U + u, at = m * s.U + u;
    const auto gate = [&](i64 k) __attribute__((always_inline)) { return load_n(z + wide + k, n); };
    const cells::LstmState next = cells::lstm(gate, load_n(c + at, n), gates + wide, s.U, n);
    store_n(c_out + at, next.c, n);
    store_n(h_out + at, next.h, n);
  });
}

Facts lstm_cell_grad_facts(const CellShape& s) { return cell_facts(s, {4, 1, 1, 1, 1, 4, 1}); }

void lstm_cell_grad(const CellShape& s, Slice units, const float* gates, const float* c, const float* c_out,
                    const float* dh, const float* dc_out, float* dz, float* dc) {
  each_vector(s, units, [&](i64 m, i64 u, i64 n) __attribute__((always_inline)) {
    const i64 wide = m * 4 * s.U + u, at = m * s.U + u;
    const Vec before = cells::lstm_back(gates + wide, load_n(c + at, n), load_n(c_out + at, n), load_n(dh + at, n),
                                        load_n(dc_out + at, n), dz + wide, s.U, n);
    store_n(dc + at, before, n);
  });
}

Facts gru_cell_facts(const CellShape& s) { return cell_facts(s, {3, 3, 1, 1, 3}); }

void gru_cell(const CellShape& s, Slice units, const float* x, const float* r, const float* h, float* h_out,
              float* gates) {
  each_vector(s, units, [&](i64 m, i64 u, i64 n) __attribute__((always_inline)) {
    const i64 wide = m * 3 * s.U + u, at = m * s.U + u;
    store_n(h_out + at, cells::gru(x + wide, r + wide, load_n(h + at, n), gates + wide, s.U, n), n);
  });
}

Facts gru_cell_grad_facts(const CellShape& s) { return cell_facts(s, {3, 3, 1, 1, 3, 3, 1}); }

void gru_cell_grad(const CellShape& s, Slice units, const float* gates, const float* r, const float* h,
                   const float* dh_out, float* dx, float* dr, float* dh) {
  each_vector(s, units, [&](i64 m, i64 u, i64 n) __attribute__((always_inline)) {
    const i64 wide = m * 3 * s.U + u, at = m * s.U + u;
    const Vec direct = cells::gru_back(gates + wide, r + wide, load_n(h + at, n), load_n(dh_out + at, n), dx + wide,
                                       dr + wide, s.U, n);
    store_n(dh + at, direct, n);
  });
}

}  // namespace NACRE_ISA
}  // namespace nacre
