#include "kernels/attention.h"

#include "kernels/gemm.h"
#include "kernels/loops.h"
#include "kernels/random.h"
#include "kernels/softmax.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kRows = 64;  // queries at a time; a multiple of the numbers in a group of random.h

constexpr float kHidden = -1.5e38f;  // less than any other score, and finite

// The products of `rows` queries of a head with its keys and values, and those that give the gradients of all of these.
struct Products {
  Product scores, sums;           // q k^T, w v
  Product d_weights, dq, dk, dv;  // dy v^T, ds k, ds^T q, w^T dy
};

__attribute__((noinline)) Products products_of(const AttentionShape& s, i64 rows) {
  const i64 at = s.H * s.D, of = s.H * s.E;  // from a row of a head to the next
  return {{rows, s.S, s.D, at, 1, 1, at, s.S}, {rows, s.E, s.S, s.S, 1, of, 1, of}, {rows, s.S, s.E, of, 1, 1, of, s.S},
          {rows, s.D, s.S, s.S, 1, at, 1, at}, {s.S, s.D, s.T, 1, s.S, at, 1, at},  {s.S, s.E, s.T, 1, s.S, of, 1, of}};
}

i64 scratch_of(const Product& p) { return ceil_div(product_scratch(p), 64) * 64; }
i64 floats(i64 n) { return ceil_div(n, 16) * 64; }  // bytes, whole cache lines

struct Forward {
  Planned scores, sums;
  Forward(const AttentionShape& s, i64 rows) : Forward(products_of(s, rows)) {}
  explicit Forward(const Products& p) : scores(p.scores), sums(p.sums) {}
};
struct Backward {
  Planned d_weights, dq;
  Backward(const AttentionShape& s, i64 rows) : Backward(products_of(s, rows)) {}
  explicit Backward(const Products& p) : d_weights(p.d_weights), dq(p.dq) {}
};

// The rows of the last block of a head.
i64 last_rows(const AttentionShape& s) { return s.T - (ceil_div(s.T, kRows) - 1) * kRows; }

i64 forward_scratch(const AttentionShape& s, i64 rows) {
  const Products p = products_of(s, rows);
  return max_of(scratch_of(p.scores), scratch_of(p.sums));
}
i64 gradient_scratch(const AttentionShape& s, i64 rows) {
  const Products p = products_of(s, rows);
  return max_of(max_of(scratch_of(p.d_weights), scratch_of(p.dq)), max_of(scratch_of(p.dk), scratch_of(p.dv)));
}

// Of the weights of a block of rows that are not stored, or that dropout has gone over.
i64 own_bytes(const AttentionShape& s) { return s.kept && !(s.rate > 0) ? 0 : floats(kRows * s.S); }

// Where a head of a sample, or one of its rows, begins.
struct Place {
  i64 b, h;
  i64 query(const AttentionShape& s, i64 t) const { return ((b * s.T + t) * s.H + h) * s.D; }
  i64 key(const AttentionShape& s) const { return (b * s.S * s.H + h) * s.D; }
  i64 value(const AttentionShape& s) const { return (b * s.S * s.H + h) * s.E; }
  i64 result(const AttentionShape& s, i64 t) const { return ((b * s.T + t) * s.H + h) * s.E; }
  i64 weight(const AttentionShape& s, i64 t) const { return ((b * s.H + h) * s.T + t) * s.S; }
};

void dropped(const AttentionShape& s, i64 first_block, i64 rows, const void* state, int arrays, const float* const* x,
             float* const* y) {
  dropout_from({rows * s.S, s.state_dtype, s.rate}, first_block * s.S, state, arrays, x, y);
}

// What the mask leaves out becomes `hidden`.
void hide(const AttentionShape& s, i64 rows, const u8* mask, float hidden, float* scores) {
  for (i64 t = 0; t < rows; ++t) {
    const u8* seen = mask + t * s.mask_t;
    float* row = scores + t * s.S;
    NACRE_INDEPENDENT
    for (i64 k = 0; k < s.S; ++k) row[k] = seen[k] ? row[k] : hidden;
  }
}

// Sizes of the operands, and whether all of them are possible.
struct Sizes {
  Count q, k, v, y, weights, state;
};
const char* sizes_of(const AttentionShape& s, Sizes* n) {
  const i64 sizes[] = {s.B, s.H, s.T, s.S, s.D, s.E};
  for (const i64 d : sizes)
    if (d < 0) return "B, H, T, S, D and E must not be negative";
  if (s.kept < 0 || s.kept > 1 || s.mask < 0 || s.mask > 1) return "kept and mask must be 0 or 1";
  if (!(s.rate >= 0 && s.rate < 1)) return "rate must be in [0, 1)";
  const bool known = s.state_dtype == static_cast<i64>(DType::i32) || s.state_dtype == static_cast<i64>(DType::i64);
  if (s.rate > 0 && !known) return "state_dtype must be int32 or int64";
  const auto count = [](i64 d) { return Count(max_of(d, 1)); };  // zeros hide no overflow
  const Count heads = count(s.B) * count(s.H), most = heads * (count(s.T) + Count(kRows)) * (count(s.S) + Count(16));
  const Count rows = heads * (count(s.T) + count(s.S)) * (count(s.D) + count(s.E));
  if (!(most * Count(64)).ok() || !(rows * Count(64)).ok()) return "the number of elements overflows";
  n->q = Count(s.B) * Count(s.T) * Count(s.H) * Count(s.D);
  n->k = Count(s.B) * Count(s.S) * Count(s.H) * Count(s.D);
  n->v = Count(s.B) * Count(s.S) * Count(s.H) * Count(s.E);
  n->y = Count(s.B) * Count(s.T) * Count(s.H) * Count(s.E);
  n->weights = Count(s.B) * Count(s.H) * Count(s.T) * Count(s.S);
  n->state = s.rate > 0 ? Count(2 * size_of(static_cast<DType>(s.state_dtype))) : Count(0);
  return nullptr;
}

double flops_of(const AttentionShape& s) {
  return 2.0 * static_cast<double>(s.B * s.H) * static_cast<double>(s.T) * static_cast<double>(s.S) *
         static_cast<double>(s.D + s.E);
}

}  // namespace

Facts attention_facts(const AttentionShape& s) {
  Facts f;
  Sizes n;
  f.error = sizes_of(s, &n);
  if (!f.error && (s.mask_b < 0 || s.mask_h < 0 || s.mask_t < 0))
    f.error = "the strides of the mask must not be negative";
  if (f.error) return f;
  if (s.B == 0 || s.H == 0 || s.T == 0) return f;
  if (s.mask && s.S > 0) {
    f.extent[3] = Count(s.B - 1) * Count(s.mask_b) + Count(s.H - 1) * Count(s.mask_h) +
                  Count(s.T - 1) * Count(s.mask_t) + Count(s.S);
    if (!f.extent[3].ok()) f.error = "the strides of the mask overflow 64 bits";
    if (f.error) return f;
  }
  f.extent[0] = n.q;
  f.extent[1] = n.k;
  f.extent[2] = n.v;
  f.extent[4] = n.state;
  f.extent[5] = n.y;
  f.extent[6] = s.kept ? n.weights : Count(0);
  f.units = s.B * s.H * ceil_div(s.T, kRows);
  f.scratch = max_of(forward_scratch(s, min_of(kRows, s.T)), forward_scratch(s, s.T % kRows));
  f.scratch += own_bytes(s);
  f.flops = flops_of(s);
  return f;
}

void attention(const AttentionShape& s, Slice units, Scratch scratch, const float* q, const float* k, const float* v,
               const u8* mask, const void* state, float* y, float* weights) {
  const i64 blocks = ceil_div(s.T, kRows);
  float* own = reinterpret_cast<float*>(scratch.at);  // of the rows' weights: all of them, or what dropout leaves
  const i64 used = own_bytes(s);
  const Scratch rest{scratch.at + used, scratch.bytes - used};
  const Forward last(s, last_rows(s)), full = blocks > 1 ? Forward(s, kRows) : last;
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 head = u / blocks, first = u % blocks * kRows, rows = min_of(kRows, s.T - first);
    const Place at{head / s.H, head % s.H};
    const Forward& p = rows == kRows ? full : last;
    float* w = s.kept ? weights + at.weight(s, first) : own;
    p.scores.run(rest, {q + at.query(s, first), k + at.key(s), w, {}});
    const u8* seen = s.mask ? mask + at.b * s.mask_b + at.h * s.mask_h + first * s.mask_t : nullptr;
    if (seen) hide(s, rows, seen, kHidden, w);
    softmax({rows, s.S}, {0, rows}, w, w);
    if (seen) hide(s, rows, seen, 0.0f, w);  // where nothing is left, all weights are equal until here
    if (s.rate > 0) {
      const float* const from[] = {w};
      dropped(s, u, rows, state, 1, from, &own);
      w = own;
    }
    p.sums.run(rest, {w, v + at.value(s), y + at.result(s, first), {}});
  }
}

Facts attention_grad_facts(const AttentionShape& s) {
  Facts f;
  Sizes n;
  f.error = sizes_of(s, &n);
  if (f.error) return f;
  if (s.B == 0 || s.H == 0) return f;
  f.extent[0] = f.extent[6] = n.q;
  f.extent[1] = f.extent[7] = n.k;
  f.extent[2] = f.extent[8] = n.v;
  f.extent[3] = n.weights;
  f.extent[4] = n.y;
  f.extent[5] = n.state;
  f.units = s.B * s.H;
  f.scratch = max_of(gradient_scratch(s, min_of(kRows, s.T)), gradient_scratch(s, s.T % kRows));
  f.scratch += floats(s.T * s.S) * (s.rate > 0 ? 2 : 1);
  f.flops = 2.0 * flops_of(s);
  return f;
}

void attention_grad(const AttentionShape& s, Slice units, Scratch scratch, const float* q, const float* k,
                    const float* v, const float* weights, const float* dy, const void* state, float* dq, float* dk,
                    float* dv) {
  const i64 blocks = ceil_div(s.T, kRows), one = floats(s.T * s.S), used = one * (s.rate > 0 ? 2 : 1);
  float* ds = reinterpret_cast<float*>(scratch.at);          // gradients of a head's scores
  float* left = reinterpret_cast<float*>(scratch.at + one);  // its weights behind dropout
  const Scratch rest{scratch.at + used, scratch.bytes - used};
  const Products whole = products_of(s, s.T);
  const Planned of_keys(whole.dk), of_values(whole.dv);
  const Backward last(s, last_rows(s)), full = blocks > 1 ? Backward(s, kRows) : last;
  for (i64 u = units.begin; u < units.end; ++u) {
    const Place at{u / s.H, u % s.H};
    for (i64 block = 0; block < blocks; ++block) {
      const i64 first = block * kRows, rows = min_of(kRows, s.T - first);
      const Backward& p = rows == kRows ? full : last;
      const float* w = weights + at.weight(s, first);
      float* d = ds + first * s.S;
      p.d_weights.run(rest, {dy + at.result(s, first), v + at.value(s), d, {}});
      if (s.rate > 0) {
        const float* const from[] = {d, w};
        float* const to[] = {d, left + first * s.S};
        dropped(s, u * blocks + block, rows, state, 2, from, to);
      }
      softmax_grad_x({rows, s.S}, {0, rows}, w, d, d);
      p.dq.run(rest, {d, k + at.key(s), dq + at.query(s, first), {}});
    }
    of_keys.run(rest, {ds, q + at.query(s, 0), dk + at.key(s), {}});
    of_values.run(rest, {s.rate > 0 ? left : weights + at.weight(s, 0), dy + at.result(s, 0), dv + at.value(s), {}});
  }
}

}  // namespace nacre::NACRE_ISA
