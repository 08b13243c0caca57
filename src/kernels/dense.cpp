#include "kernels/dense.h"

#include "kernels/activate.h"
#include "kernels/gemm.h"

namespace nacre::NACRE_ISA {
namespace {

// Elements from the start of a buffer to the end of the last row.
Count rows_extent(i64 rows, i64 row, i64 ld, i64 first) {
  if (rows == 0 || row == 0) return 0;
  return Count(first) + Count(rows - 1) * Count(ld) + Count(row);
}

i64 stride_of(i64 ld, i64 row) { return ld == 0 ? row : ld; }

const char* check_sizes(i64 M, i64 N, i64 K) {
  return M < 0 || N < 0 || K < 0 ? "M, N and K must not be negative" : nullptr;
}

const char* check_rows(i64 ld, i64 row, i64 first) {
  const bool fits = (ld == 0 || ld >= row) && first >= 0;
  return fits ? nullptr : "a row stride must be 0 or at least the length of a row, and an offset not negative";
}

bool all_ok(const Facts& f, int operands) {
  for (int i = 0; i < operands; ++i)
    if (!f.extent[i].ok()) return false;
  return true;
}

double work(i64 M, i64 N, i64 K) {
  return 2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
}

i64 chunk_rows(i64 M, i64 chunks) { return ceil_div(M, max_of(chunks, 1)); }

Product forward(const DenseShape& s) {
  return {s.M, s.N, s.K, stride_of(s.ldx, s.K), 1, s.N, 1, stride_of(s.ldy, s.N)};
}
Product grad_x(const DenseGradXShape& s) {
  return {s.M, s.K, s.N, stride_of(s.ldy, s.N), 1, 1, s.N, stride_of(s.ldx, s.K)};
}
Product grad_w(const DenseGradWShape& s) {
  Product p = gradient_of_weights(s, chunk_rows(s.M, s.chunks), false);
  p.far = comes_from_memory(static_cast<double>(s.M), static_cast<double>(p.a_k) + static_cast<double>(p.b_k));
  return p;
}

void fill_facts(Facts& f, const Product& p, int operands) {
  if (!f.error && !all_ok(f, operands)) f.error = "the sizes overflow 64 bits";
  if (f.error) return;
  f.units = product_units(p);
  f.scratch = product_scratch(p);
}

}  // namespace

Facts dense_facts(const DenseShape& s) {
  Facts f;
  f.error = check_sizes(s.M, s.N, s.K);
  if (!f.error) f.error = check_rows(s.ldx, s.K, s.x0);
  if (!f.error) f.error = check_rows(s.ldy, s.N, s.y0);
  if (!f.error && (s.act < 0 || s.act >= kActs)) f.error = kActError;
  if (!f.error && (s.bias < 0 || s.bias > 1)) f.error = "bias must be 0 or 1";
  if (f.error) return f;
  const bool reads = s.M > 0 && s.N > 0;
  f.extent[0] = reads ? rows_extent(s.M, s.K, stride_of(s.ldx, s.K), s.x0) : 0;
  f.extent[1] = Count(s.K) * Count(s.N);
  f.extent[2] = s.bias ? s.N : 0;
  f.extent[3] = rows_extent(s.M, s.N, stride_of(s.ldy, s.N), s.y0);
  f.flops = work(s.M, s.N, s.K);
  fill_facts(f, forward(s), 4);
  return f;
}

// y[m,n] = act(sum_k x[m,k] w[k,n] + b[n])
void dense(const DenseShape& s, Slice units, Scratch scratch, const float* x, const float* w, const float* b,
           float* y) {
  Operands at{x + s.x0, w, y + s.y0, {}};
  at.finish.bias = s.bias ? b : nullptr;
  at.finish.relu = s.act == kRelu;
  at.act = s.act > kRelu ? s.act : kNoAct;
  product(forward(s), units, scratch, at);
}

void prepare(const DenseShape& s, void* plan) { prepare_product(forward(s), plan); }

Facts dense_grad_x_facts(const DenseGradXShape& s) {
  Facts f;
  f.error = check_sizes(s.M, s.N, s.K);
  if (!f.error) f.error = check_rows(s.ldy, s.N, s.y0);
  if (!f.error) f.error = check_rows(s.ldx, s.K, s.x0);
  if (!f.error) f.error = check_rows(s.ldh, s.K, s.h0);
  if (!f.error && (s.mask < 0 || s.mask > 1)) f.error = "mask must be 0 or 1";
  if (f.error) return f;
  const bool reads = s.M > 0 && s.K > 0;
  f.extent[0] = reads ? rows_extent(s.M, s.N, stride_of(s.ldy, s.N), s.y0) : 0;
  f.extent[1] = Count(s.K) * Count(s.N);
  f.extent[2] = s.mask ? rows_extent(s.M, s.K, stride_of(s.ldh, s.K), s.h0) : 0;
  f.extent[3] = rows_extent(s.M, s.K, stride_of(s.ldx, s.K), s.x0);
  f.flops = work(s.M, s.N, s.K);
  fill_facts(f, grad_x(s), 4);
  return f;
}

// dx[m,k] = sum_n dy[m,n] w[k,n], and 0 where not h[m,k] > 0
void dense_grad_x(const DenseGradXShape& s, Slice units, Scratch scratch, const float* dy, const float* w,
                  const float* h, float* dx) {
  Operands at{dy + s.y0, w, dx + s.x0, {}};
  if (s.mask) {
    at.finish.mask = h + s.h0;
    at.finish.mask_m = stride_of(s.ldh, s.K);
  }
  product(grad_x(s), units, scratch, at);
}

void prepare(const DenseGradXShape& s, void* plan) { prepare_product(grad_x(s), plan); }

Facts dense_grad_w_facts(const DenseGradWShape& s) {
  Facts f;
  f.error = check_sizes(s.M, s.N, s.K);
  if (!f.error) f.error = check_rows(s.ldx, s.K, s.x0);
  if (!f.error) f.error = check_rows(s.ldy, s.N, s.y0);
  if (!f.error && s.chunks < 0) f.error = "chunks must not be negative";
  if (f.error) return f;
  const bool reads = s.K > 0 && s.N > 0;
  f.extent[0] = reads ? rows_extent(s.M, s.K, stride_of(s.ldx, s.K), s.x0) : 0;
  f.extent[1] = reads ? rows_extent(s.M, s.N, stride_of(s.ldy, s.N), s.y0) : 0;
  f.extent[2] = Count(max_of(s.chunks, 1)) * Count(s.K) * Count(s.N);
  f.flops = work(s.M, s.N, s.K);
  fill_facts(f, grad_w(s), 3);
  if (f.error) return f;
  const Count units = Count(f.units) * Count(max_of(s.chunks, 1));
  if (!units.ok()) f.error = "the sizes overflow 64 bits";
  f.units = units.value();
  return f;
}

// dw[c,k,n] = sum over the rows m of chunk c of x[m,k] dy[m,n]
void dense_grad_w(const DenseGradWShape& s, Slice units, Scratch scratch, const float* x, const float* dy, float* dw) {
  const Product p = grad_w(s);
  const Operands whole = operands_of_gradient(s, x, dy, dw);
  if (s.chunks <= 1) return product(p, units, scratch, whole);
  const i64 per_chunk = product_units(p);
  for (i64 u = units.begin; u < units.end;) {
    const i64 chunk = u / per_chunk, from = u % per_chunk, to = min_of(per_chunk, from + units.end - u);
    const i64 first = min_of(chunk * p.K, s.M);
    const Operands at{whole.a + first * p.a_k, whole.b + first * p.b_k, dw + chunk * s.K * s.N, {}};
    product(p, {from, to}, scratch, at, min_of(p.K, s.M - first));
    u += to - from;
  }
}

void prepare(const DenseGradWShape& s, void* plan) { prepare_product(grad_w(s), plan); }

// ---- column sums ----------------------------------------------------------------------------------------------------

namespace {
constexpr i64 kSumVectors = 8;  // columns of a unit, in vectors: eight independent chains of additions

template <int vectors>
NACRE_INLINE void sum_rows(const float* x, i64 ldx, i64 rows, i64 columns, float* y) {
  Vec sum[vectors];
  const Mask last = first_lanes(columns - (vectors - 1) * kLanes);
  NACRE_UNROLL
  for (int j = 0; j < vectors; ++j) sum[j] = zero();
  for (i64 m = 0; m < rows; ++m, x += ldx) {
    NACRE_UNROLL
    for (int j = 0; j < vectors - 1; ++j) sum[j] += load(x + j * kLanes);
    sum[vectors - 1] += load(x + (vectors - 1) * kLanes, last);
  }
  NACRE_UNROLL
  for (int j = 0; j < vectors - 1; ++j) store(y + j * kLanes, sum[j]);
  store(y + (vectors - 1) * kLanes, sum[vectors - 1], columns - (vectors - 1) * kLanes);
}
}  // namespace

Facts column_sum_facts(const ColumnSumShape& s) {
  Facts f;
  f.error = check_sizes(s.M, s.N, 0);
  if (!f.error) f.error = check_rows(s.ldx, s.N, s.x0);
  if (!f.error && s.chunks < 0) f.error = "chunks must not be negative";
  if (f.error) return f;
  const i64 chunks = max_of(s.chunks, 1);
  f.extent[0] = rows_extent(s.M, s.N, stride_of(s.ldx, s.N), s.x0);
  f.extent[1] = Count(chunks) * Count(s.N);
  const Count units = Count(chunks) * Count(ceil_div(s.N, kSumVectors * kLanes));
  if (!all_ok(f, 2) || !units.ok()) {
    f.error = "the sizes overflow 64 bits";
    return f;
  }
  f.units = units.value();
  f.flops = static_cast<double>(s.M) * static_cast<double>(s.N);
  return f;
}

// y[c,n] = sum over the rows m of chunk c of x[m,n], in the order of m
void column_sum(const ColumnSumShape& s, Slice units, const float* x, float* y) {
  const i64 width = kSumVectors * kLanes, blocks = ceil_div(s.N, width), rows = chunk_rows(s.M, s.chunks);
  const i64 ldx = stride_of(s.ldx, s.N);
  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 chunk = u / blocks, first = min_of(chunk * rows, s.M), count = min_of(rows, s.M - first);
    i64 n = u % blocks * width;
    const i64 end = min_of(n + width, s.N);
    const float* from = x + s.x0 + first * ldx;
    float* to = y + chunk * s.N;
    if (end - n > (kSumVectors - 1) * kLanes) {
      sum_rows<kSumVectors>(from + n, ldx, count, end - n, to + n);
      continue;
    }
    for (; end - n >= 2 * kLanes; n += 2 * kLanes) sum_rows<2>(from + n, ldx, count, 2 * kLanes, to + n);
    for (; n < end; n += kLanes) sum_rows<1>(from + n, ldx, count, min_of(kLanes, end - n), to + n);
  }
}

}  // namespace nacre::NACRE_ISA
