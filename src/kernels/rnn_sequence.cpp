#include "kernels/rnn_sequence.h"

#include "kernels/gemm.h"
#include "kernels/loops.h"
#include "kernels/rnn_cells.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

// Rows of a unit: up to 64, in an even number of units.
i64 rows_of(const SequenceShape& s) { return max_of(1, ceil_div(s.N, 2 * max_of(ceil_div(s.N, 128), 1))); }

Product forward(const SequenceShape& s, i64 rows, i64 gates) {
  return {rows, gates * s.U, s.U, s.U, 1, gates * s.U, 1, gates * s.U};
}
Product back(const SequenceShape& s, i64 rows, i64 gates) {
  return {rows, s.U, gates * s.U, gates * s.U, 1, s.U, 1, s.U};
}

i64 bytes_of(i64 floats) { return ceil_div(floats, 16) * 64; }  // whole cache lines

// The workspace of products, behind so many numbers.
Scratch behind(Scratch scratch, i64 floats) {
  const i64 own = bytes_of(floats);
  return {scratch.at + own, scratch.bytes - own};
}

// The rows of a unit.
struct Block {
  const SequenceShape& s;
  i64 first, rows;
  // Where they begin at step t of an array with `width` numbers a row.
  i64 at(i64 t, i64 width) const { return (t * s.N + first) * width; }
  const float* mask_at(const float* mask, i64 t) const { return s.masked ? mask + at(t, 1) : nullptr; }
};

template <class F>
void each_block(const SequenceShape& s, Slice units, F f) {
  const i64 per = rows_of(s);
  for (i64 b = units.begin; b < units.end; ++b) f(Block{s, b * per, min_of(per, s.N - b * per)});
}

// Asked for in front of a product, what comes from memory is there behind it.
void ask(const float* p, i64 n) {
  for (i64 i = 0; i < n; i += 16) prefetch_far(p + i);
}

void copy_rows(const float* from, float* to, i64 n) { __builtin_memcpy(to, from, static_cast<unsigned long>(n) * 4); }

// widths[i]: operand i is [T, N, widths[i] U]; less than 0: [T + 1, N, U]; 0: said by whoever asks. `mask` is its number.
template <int n>
Facts facts_of(const SequenceShape& s, i64 gates, bool forwards, const int (&widths)[n], i64 mask) {
  Facts f;
  if (s.T < 0 || s.N < 0 || s.U < 0) f.error = "T, N and U must not be negative";
  else if (s.masked < 0 || s.masked > 1 || s.keeps < 0 || s.keeps > 1) f.error = "masked and keeps must be 0 or 1";
  else if (s.T > (i64{1} << 40) || !product_fits(s.T + 1, s.N, 64) || !product_fits((s.T + 1) * s.N, s.U, 64) ||
           !product_fits(s.U, s.U, 64))
    f.error = "the number of elements overflows";
  if (f.error) return f;
  for (int i = 0; i < n; ++i) {
    const i64 w = widths[i];
    f.extent[i] = w < 0 ? Count(s.T + 1) * Count(s.N) * Count(s.U) : Count(s.T) * Count(s.N) * Count(s.U) * Count(w);
  }
  f.extent[mask] = s.masked ? Count(s.T) * Count(s.N) : Count(0);
  const i64 rows = rows_of(s), last = s.N % rows;
  const auto needs = [&](i64 m) { return product_scratch(forwards ? forward(s, m, gates) : back(s, m, gates)); };
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
    const Scratch rest = behind(scratch, rows_of(s) * wide);
    const Planned p(forward(s, b.rows, 4));
    copy_rows(h + b.at(0, U), hs + b.at(0, U), b.rows * U);
    copy_rows(c + b.at(0, U), cs + b.at(0, U), b.rows * U);
    for (i64 t = 0; t < s.T; ++t) {
      const i64 old = b.at(t, U), now = b.at(t + 1, U), at = b.at(t, wide);
      ask(x + at, b.rows * wide);
      p.run(rest, {hs + old, u, z, {}});
      lstm_rows(
          {b.rows, U, z, x + at, b.mask_at(mask, t), hs + old, cs + old, hs + now, cs + now, s.keeps ? gates + at : z});
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
    const Scratch rest = behind(scratch, rows_of(s) * U);
    const Planned p(back(s, b.rows, 4));
    copy_rows(dhs + b.at(s.T, U), dh + b.at(0, U), b.rows * U);
    copy_rows(dcs + b.at(s.T, U), dc + b.at(0, U), b.rows * U);
    for (i64 t = s.T - 1; t >= 0; --t) {
      const i64 old = b.at(t, U), at = b.at(t, wide), state = b.at(0, U);
      const float* mask_t = b.mask_at(mask, t);
      lstm_back_rows({b.rows, U, gates + at, cs + old, cs + b.at(t + 1, U), dh + state, dc + state, mask_t, dcs + old,
                      dx + at, dc + state});
      if (t > 0) ask(gates + b.at(t - 1, wide), b.rows * wide), ask(cs + b.at(t - 1, U), b.rows * U);
      p.run(rest, {dx + at, u_t, through, {}});
      join_rows({b.rows, U, through, mask_t, dhs + old, dh + state});
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

void gru_sequence(const SequenceShape& s, Slice units, Scratch scratch, const float* x, const float* u,
                  const float* b_u, const float* h, const float* mask, float* hs, float* gates, float* inner) {
  const i64 U = s.U, wide = 3 * U;
  each_block(s, units, [&](const Block& b) {
    float* r = reinterpret_cast<float*>(scratch.at);
    const Scratch rest = behind(scratch, rows_of(s) * wide);
    const Planned p(forward(s, b.rows, 3));
    Finish biased;
    biased.bias = b_u;
    copy_rows(h + b.at(0, U), hs + b.at(0, U), b.rows * U);
    for (i64 t = 0; t < s.T; ++t) {
      const i64 old = b.at(t, U), at = b.at(t, wide);
      float* inner_t = s.keeps ? inner + at : r;
      ask(x + at, b.rows * wide);
      p.run(rest, {hs + old, u, inner_t, biased});
      gru_rows(
          {b.rows, U, x + at, inner_t, b.mask_at(mask, t), hs + old, hs + b.at(t + 1, U), s.keeps ? gates + at : r});
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
    const Scratch rest = behind(scratch, rows_of(s) * U);
    const Planned p(back(s, b.rows, 3));
    copy_rows(dhs + b.at(s.T, U), dh + b.at(0, U), b.rows * U);
    for (i64 t = s.T - 1; t >= 0; --t) {
      const i64 old = b.at(t, U), at = b.at(t, wide), state = b.at(0, U);
      gru_back_rows({b.rows, U, gates + at, inner + at, hs + old, dh + state, b.mask_at(mask, t), dhs + old, dx + at,
                     d_inner + at, dh + state});
      if (t > 0) ask(gates + b.at(t - 1, wide), b.rows * wide), ask(inner + b.at(t - 1, wide), b.rows * wide);
      p.run(rest, {d_inner + at, u_t, through, {}});
      join_rows({b.rows, U, dh + state, nullptr, through, dh + state});
    }
  });
}

}  // namespace NACRE_ISA
}  // namespace nacre
