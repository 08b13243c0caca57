#include "kernels/rnn_sequence.h"

#include "kernels/gemm.h"
#include "kernels/loops.h"
#include "kernels/rnn_cells.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

using cells::load_n;
using cells::store_n;

// Rows of a unit: up to 64, in an even number of units.
i64 rows_of(const SequenceShape& s) { return max_of(1, ceil_div(s.N, 2 * max_of(ceil_div(s.N, 128), 1))); }

Product forward(const SequenceShape& s, i64 rows, i64 gates) {
  return {rows, gates * s.U, s.U, s.U, 1, gates * s.U, 1, gates * s.U};
}
Product back(const SequenceShape& s, i64 rows, i64 gates) {
  return {rows, s.U, gates * s.U, gates * s.U, 1, s.U, 1, s.U};
}

i64 bytes_of(i64 floats) { return ceil_div(floats, 16) * 64; }  // whole cache lines

// What a block of rows works on: those that it has at step t of arrays with `width` numbers a row.
struct Block {
  const SequenceShape& s;
  i64 first, rows;
  i64 at(i64 t, i64 width) const { return (t * s.N + first) * width; }
  bool counts(const float* mask, i64 t, i64 m) const { return !s.masked || mask[t * s.N + first + m] != 0; }
};

template <class F>
void each_block(const SequenceShape& s, Slice units, F f) {
  const i64 per = rows_of(s);
  for (i64 b = units.begin; b < units.end; ++b) f(Block{s, b * per, min_of(per, s.N - b * per)});
}

// A product of all rows of a block; `bytes` of the workspace are others'.
void multiply(const Product& p, Scratch scratch, i64 bytes, const float* a, const float* b, const float* bias, float* c) {
  Operands at{a, b, c, {}};
  at.finish.bias = bias;
  product(p, {0, product_units(p)}, {scratch.at + bytes, scratch.bytes - bytes}, at);
}

void copy_rows(const float* from, float* to, i64 n) { __builtin_memcpy(to, from, static_cast<unsigned long>(n) * 4); }

// d = of the step + outside, and where the step was masked what went past it.
NACRE_INLINE Vec joined(Vec of_step, Vec outside, Vec past, bool counts) {
  const Vec sum = of_step + outside;
  return counts ? sum : sum + past;
}

// widths[i]: operand i is [T, N, widths[i] U]; less than 0: [T + 1, N, U]; 0: the next one of `own`.
template <int n>
Facts facts_of(const SequenceShape& s, i64 gates, bool forwards, const int (&widths)[n], i64 mask) {
  Facts f;
  if (s.T < 0 || s.N < 0 || s.U < 0) f.error = "T, N and U must not be negative";
  else if (s.masked < 0 || s.masked > 1 || s.keeps < 0 || s.keeps > 1) f.error = "masked and keeps must be 0 or 1";
  else if (s.T > (i64{1} << 40) || !product_fits(s.T + 1, s.N, s.U) || !product_fits((s.T + 1) * s.N, s.U, 4) ||
           !product_fits(s.U, s.U, 4))
    f.error = "the number of elements overflows";
  if (f.error) return f;
  for (int i = 0; i < n; ++i) {
    const i64 w = widths[i];
    f.extent[i] = w < 0 ? Count(s.T + 1) * Count(s.N) * Count(s.U)
                        : Count(s.T) * Count(s.N) * Count(s.U) * Count(w);
  }
  f.extent[mask] = s.masked ? Count(s.T) * Count(s.N) : Count(0);
  const i64 rows = rows_of(s), last = s.N % rows;
  const auto needs = [&](i64 m) {
    return product_scratch(forwards ? forward(s, m, gates) : back(s, m, gates));
  };
  if (s.U > 0) {
    f.units = ceil_div(s.N, rows);
    f.scratch = bytes_of(rows * s.U * (forwards ? gates : 1)) + max_of(needs(rows), last ? needs(last) : 0);
  }
  const double cells = static_cast<double>(s.T) * static_cast<double>(s.N) * static_cast<double>(s.U);
  f.flops = cells * (2.0 * static_cast<double>(gates * s.U) + 60.0);
  return f;
}

}  // namespace

Facts lstm_sequence_facts(const SequenceShape& s) {
  Facts f = facts_of(s, 4, true, {4, 0, 0, 0, 0, -1, -1, s.keeps ? 4 : 0}, 4);
  if (f.error) return f;
  f.extent[1] = Count(s.U) * Count(s.U) * Count(4);
  f.extent[2] = f.extent[3] = Count(s.N) * Count(s.U);
  return f;
}

void lstm_sequence(const SequenceShape& s, Slice units, Scratch scratch, const float* x, const float* u, const float* h,
                   const float* c, const float* mask, float* hs, float* cs, float* gates) {
  const i64 U = s.U, wide = 4 * U;
  each_block(s, units, [&](const Block& b) {
    float* z = reinterpret_cast<float*>(scratch.at);
    const i64 own = bytes_of(rows_of(s) * wide);
    const Product p = forward(s, b.rows, 4);
    copy_rows(h + b.at(0, U), hs + b.at(0, U), b.rows * U);
    copy_rows(c + b.at(0, U), cs + b.at(0, U), b.rows * U);
    for (i64 t = 0; t < s.T; ++t) {
      multiply(p, scratch, own, hs + b.at(t, U), u, nullptr, z);
      for (i64 m = 0; m < b.rows; ++m) {
        const bool counts = b.counts(mask, t, m);
        const i64 old = b.at(t, U) + m * U, now = b.at(t + 1, U) + m * U;
        const float *x_m = x + b.at(t, wide) + m * wide, *z_m = z + m * wide;
        float* gates_m = s.keeps ? gates + b.at(t, wide) + m * wide : z + m * wide;
        cells::each_vector(U, [&](i64 i, i64 n) __attribute__((always_inline)) {
          const auto gate = [&](i64 k) __attribute__((always_inline)) {
            return load_n(z_m + k + i, n) + load_n(x_m + k + i, n);
          };
          const Vec before = load_n(cs + old + i, n);
          const cells::LstmState next = cells::lstm(gate, before, gates_m + i, U, n);
          store_n(hs + now + i, counts ? next.h : load_n(hs + old + i, n), n);
          store_n(cs + now + i, counts ? next.c : before, n);
        });
      }
    }
  });
}

Facts lstm_sequence_grad_facts(const SequenceShape& s) {
  Facts f = facts_of(s, 4, false, {0, -1, 4, -1, -1, 0, 4, 0, 0}, 5);
  if (f.error) return f;
  f.extent[0] = Count(s.U) * Count(s.U) * Count(4);
  f.extent[7] = f.extent[8] = Count(s.N) * Count(s.U);
  return f;
}

// dh and dc hold, step by step, the gradients of the states behind it.
void lstm_sequence_grad(const SequenceShape& s, Slice units, Scratch scratch, const float* u_t, const float* cs,
                        const float* gates, const float* dhs, const float* dcs, const float* mask, float* dx, float* dh,
                        float* dc) {
  const i64 U = s.U, wide = 4 * U;
  each_block(s, units, [&](const Block& b) {
    float* through = reinterpret_cast<float*>(scratch.at);
    const i64 own = bytes_of(rows_of(s) * U);
    const Product p = back(s, b.rows, 4);
    copy_rows(dhs + b.at(s.T, U), dh + b.at(0, U), b.rows * U);
    copy_rows(dcs + b.at(s.T, U), dc + b.at(0, U), b.rows * U);
    for (i64 t = s.T - 1; t >= 0; --t) {
      for (i64 m = 0; m < b.rows; ++m) {
        const bool counts = b.counts(mask, t, m);
        const i64 old = b.at(t, U) + m * U, now = b.at(t + 1, U) + m * U, at = b.at(0, U) + m * U;
        const i64 row = b.at(t, wide) + m * wide;
        cells::each_vector(U, [&](i64 i, i64 n) __attribute__((always_inline)) {
          const Vec none = set1(0.0f), d = load_n(dh + at + i, n), d_cell = load_n(dc + at + i, n);
          const Vec before = cells::lstm_back(gates + row + i, load_n(cs + old + i, n), load_n(cs + now + i, n),
                                              counts ? d : none, counts ? d_cell : none, dx + row + i, U, n);
          store_n(dc + at + i, joined(before, load_n(dcs + old + i, n), d_cell, counts), n);
        });
      }
      multiply(p, scratch, own, dx + b.at(t, wide), u_t, nullptr, through);
      for (i64 m = 0; m < b.rows; ++m) {
        const bool counts = b.counts(mask, t, m);
        const i64 old = b.at(t, U) + m * U, at = b.at(0, U) + m * U;
        cells::each_vector(U, [&](i64 i, i64 n) __attribute__((always_inline)) {
          const Vec d = load_n(dh + at + i, n);
          store_n(dh + at + i, joined(load_n(through + m * U + i, n), load_n(dhs + old + i, n), d, counts), n);
        });
      }
    }
  });
}

Facts gru_sequence_facts(const SequenceShape& s) {
  const int kept = s.keeps ? 3 : 0;
  Facts f = facts_of(s, 3, true, {3, 0, 0, 0, 0, -1, kept, kept}, 4);
  if (f.error) return f;
  f.extent[1] = Count(s.U) * Count(s.U) * Count(3);
  f.extent[2] = s.N > 0 && s.T > 0 ? Count(s.U) * Count(3) : Count(0);
  f.extent[3] = Count(s.N) * Count(s.U);
  return f;
}

void gru_sequence(const SequenceShape& s, Slice units, Scratch scratch, const float* x, const float* u, const float* b_u,
                  const float* h, const float* mask, float* hs, float* gates, float* inner) {
  const i64 U = s.U, wide = 3 * U;
  each_block(s, units, [&](const Block& b) {
    float* r = reinterpret_cast<float*>(scratch.at);
    const i64 own = bytes_of(rows_of(s) * wide);
    const Product p = forward(s, b.rows, 3);
    copy_rows(h + b.at(0, U), hs + b.at(0, U), b.rows * U);
    for (i64 t = 0; t < s.T; ++t) {
      float *r_t = s.keeps ? inner + b.at(t, wide) : r, *gates_t = s.keeps ? gates + b.at(t, wide) : r;
      multiply(p, scratch, own, hs + b.at(t, U), u, b_u, r_t);
      for (i64 m = 0; m < b.rows; ++m) {
        const bool counts = b.counts(mask, t, m);
        const i64 old = b.at(t, U) + m * U, now = b.at(t + 1, U) + m * U;
        const float *x_m = x + b.at(t, wide) + m * wide, *r_m = r_t + m * wide;
        cells::each_vector(U, [&](i64 i, i64 n) __attribute__((always_inline)) {
          const Vec before = load_n(hs + old + i, n);
          const Vec next = cells::gru(x_m + i, r_m + i, before, gates_t + m * wide + i, U, n);
          store_n(hs + now + i, counts ? next : before, n);
        });
      }
    }
  });
}

Facts gru_sequence_grad_facts(const SequenceShape& s) {
  Facts f = facts_of(s, 3, false, {0, -1, 3, 3, -1, 0, 3, 3, 0}, 5);
  if (f.error) return f;
  f.extent[0] = Count(s.U) * Count(s.U) * Count(3);
  f.extent[8] = Count(s.N) * Count(s.U);
  return f;
}

void gru_sequence_grad(const SequenceShape& s, Slice units, Scratch scratch, const float* u_t, const float* hs,
                       const float* gates, const float* inner, const float* dhs, const float* mask, float* dx,
                       float* d_inner, float* dh) {
  const i64 U = s.U, wide = 3 * U;
  each_block(s, units, [&](const Block& b) {
    float* through = reinterpret_cast<float*>(scratch.at);
    const i64 own = bytes_of(rows_of(s) * U);
    const Product p = back(s, b.rows, 3);
    copy_rows(dhs + b.at(s.T, U), dh + b.at(0, U), b.rows * U);
    for (i64 t = s.T - 1; t >= 0; --t) {
      for (i64 m = 0; m < b.rows; ++m) {
        const bool counts = b.counts(mask, t, m);
        const i64 old = b.at(t, U) + m * U, at = b.at(0, U) + m * U, row = b.at(t, wide) + m * wide;
        cells::each_vector(U, [&](i64 i, i64 n) __attribute__((always_inline)) {
          const Vec d = load_n(dh + at + i, n), outside = load_n(dhs + old + i, n);
          const Vec direct = cells::gru_back(gates + row + i, inner + row + i, load_n(hs + old + i, n),
                                             counts ? d : set1(0.0f), dx + row + i, d_inner + row + i, U, n);
          store_n(dh + at + i, joined(direct, outside, d, counts), n);
        });
      }
      multiply(p, scratch, own, d_inner + b.at(t, wide), u_t, nullptr, through);
      for (i64 i = 0, at = b.at(0, U); i < b.rows * U; ++i) dh[at + i] += through[i];
    }
  });
}

}  // namespace NACRE_ISA
}  // namespace nacre
