#include "kernels/dense_map.h"

#include "kernels/elementwise.h"
#include "kernels/elementwise_codes.h"
#include "kernels/gemm.h"
#include "kernels/update.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kBlockFloats = 12 * 1024;   // of g: 48 KiB, L1 where it is large, else L2
constexpr i64 kPanelFloats = 128 * 1024;  // of dy: half of a 1 MiB L2, where it stays while blocks go down
constexpr i64 kMostColumns = 1024;        // 4 KiB of a row: long enough for the prefetchers and the TLB
constexpr i64 kBlockWork = 64 * 1024;     // multiply-adds that a block has, or it is not worth cutting off: about 1 us
constexpr i64 kRun = 512;                 // elements the epilogue handles at once
constexpr i64 kInputs = 8, kFirstConst = 8, kFirstTemp = 24, kRegisters = 64;

struct Blocks {
  i64 rows, columns;  // of a block of g
  i64 down, across;   // how many
};

Blocks blocks_of(const DenseGradWMapShape& s) {
  Blocks b;
  const i64 fits = max_of(128, kPanelFloats / max_of(s.M, 1) / 64 * 64);
  b.columns = s.N <= min_of(fits, kMostColumns * 3 / 2) ? max_of(s.N, 1) : min_of(fits, kMostColumns);
  // whole tiles of six rows; small layers are cut finer, so that there is a block for each of several threads
  i64 rows = max_of(6, kBlockFloats / b.columns / 6 * 6);
  while (rows > 12 && s.M > kBlockWork / (rows * b.columns) && ceil_div(s.K, rows) * ceil_div(s.N, b.columns) < 8)
    rows = ceil_div(rows / 2, 6) * 6;
  b.rows = min_of(max_of(s.K, 1), rows);
  b.down = ceil_div(s.K, b.rows);
  b.across = ceil_div(s.N, b.columns);
  return b;
}

Product product_of(const DenseGradWMapShape& s, i64 rows, i64 columns) {
  return {rows, columns, s.M, 1, s.ldx ? s.ldx : s.K, s.ldy ? s.ldy : s.N, 1, columns, false, true};
}

i64 scratch_of(const DenseGradWMapShape& s, const Blocks& b) {
  // blocks at the edges have other shapes, and so other plans
  const i64 last_rows = s.K - (b.down - 1) * b.rows, last_columns = s.N - (b.across - 1) * b.columns;
  i64 most = 0;
  for (int edge = 0; edge < 4; ++edge) {
    const Product p = product_of(s, edge & 1 ? last_rows : b.rows, edge & 2 ? last_columns : b.columns);
    most = max_of(most, product_scratch(p));
  }
  return ceil_div(most, 64) * 64;
}

// whole cache lines, and one more because a row is read in whole vectors
i64 floats_of_block(const Blocks& b) { return ceil_div(b.rows * b.columns + 16, 16) * 16; }

constexpr i64 kPitch = kRun + 16;  // an odd number of cache lines: registers do not share L1 sets

// A known rule is applied to whole tiles in registers, on the grid of the plain product.
Product whole_product(const DenseGradWMapShape& s) { return gradient_of_weights(s, s.M, true); }

MapCode code_of(const DenseGradWMapShape& s) {
  MapCode c{s.inputs, s.outputs, s.length, s.code, s.consts, s.out_reg, {}};
  for (i64 i = 0; i < s.inputs; ++i) c.number[i] = s.scalar[i] != 0;
  return c;
}

// What the shape alone says.
struct Prepared {
  UpdateMatch rule;
  bool in_tiles;  // whether tiles in registers can be updated
};
constexpr i64 kPreparedBytes = (sizeof(Prepared) + 7) / 8 * 8;  // then the plan of the product
static_assert(kPreparedBytes + kProductPlanBytes <= kPlanBytes);

Prepared prepared(const DenseGradWMapShape& s) {
  const MapCode code = code_of(s);
  const UpdateMatch rule = match_update(code, nullptr, nullptr);
  return {rule, tile_update(rule, code, nullptr, nullptr, nullptr) && product_updates(whole_product(s))};
}

Count rows_extent(i64 rows, i64 row, i64 ld, i64 first) {
  if (rows == 0 || row == 0) return 0;
  return Count(first) + Count(rows - 1) * Count(ld) + Count(row);
}

}  // namespace

Facts dense_grad_w_map_facts(const DenseGradWMapShape& s) {
  Facts f;
  const auto fail = [&](const char* why) {
    f.error = why;
    return f;
  };
  if (s.M < 0 || s.N < 0 || s.K < 0) return fail("M, N and K must not be negative");
  if ((s.ldx != 0 && s.ldx < s.K) || (s.ldy != 0 && s.ldy < s.N) || s.x0 < 0 || s.y0 < 0)
    return fail("a row stride must be 0 or at least the length of a row, and an offset not negative");
  const Count size = Count(s.K) * Count(s.N);
  if (!size.ok() || !(size * Count(16)).ok() || !(Count(s.M) * Count(s.K)).ok() || !(Count(s.M) * Count(s.N)).ok())
    return fail("the sizes overflow 64 bits");
  if (s.inputs < 1 || s.inputs > 8) return fail("inputs must be 1..8");
  f.error = program_error(s);
  if (f.error) return f;
  f.extent[0] = s.N > 0 ? rows_extent(s.M, s.K, s.ldx ? s.ldx : s.K, s.x0) : Count(0);
  f.extent[1] = s.K > 0 ? rows_extent(s.M, s.N, s.ldy ? s.ldy : s.N, s.y0) : Count(0);
  if (!f.extent[0].ok() || !f.extent[1].ok()) return fail("the sizes overflow 64 bits");
  for (i64 i = 1; i < s.inputs; ++i) f.extent[1 + i] = s.scalar[i] ? Count(size.value() > 0 ? 1 : 0) : size;
  for (i64 o = 0; o < s.outputs; ++o) f.extent[9 + o] = size;
  f.flops = (2.0 * static_cast<double>(s.M) + static_cast<double>(s.length)) * static_cast<double>(s.K) *
            static_cast<double>(s.N);
  if (size.value() == 0) return f;
  if (prepared(s).in_tiles) {
    f.units = product_units(whole_product(s));
    f.scratch = product_scratch(whole_product(s));
    return f;
  }
  const Blocks b = blocks_of(s);
  f.units = b.down * b.across;
  f.scratch = scratch_of(s, b) + floats_of_block(b) * 4 + kRegisters * kPitch * 4;
  return f;
}

void prepare(const DenseGradWMapShape& s, void* plan) {
  const Prepared made = prepared(s);
  __builtin_memcpy(plan, &made, sizeof made);
  if (made.in_tiles) prepare_product(whole_product(s), static_cast<char*>(plan) + kPreparedBytes);
}

void dense_grad_w_map(const DenseGradWMapShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                      const float* e1, const float* e2, const float* e3, const float* e4, const float* e5,
                      const float* e6, const float* e7, float* y0, float* y1, float* y2, float* y3) {
  if (units.begin >= units.end) return;  // nothing may be there to be read
  const float* const e[] = {nullptr, e1, e2, e3, e4, e5, e6, e7};
  float* const y[] = {y0, y1, y2, y3};
  const MapCode code = code_of(s);
  const Prepared made = scratch.plan ? *static_cast<const Prepared*>(scratch.plan) : prepared(s);
  UpdateMatch rule = made.rule;
  if (made.in_tiles) {
    if (scratch.plan) scratch.plan = static_cast<const char*>(scratch.plan) + kPreparedBytes;
    Update update;
    tile_update(rule, code, e, y, &update);
    Operands at = operands_of_gradient(s, x, dy, update.w_out);
    at.finish.update = &update;
    return product(whole_product(s), units, scratch, at);
  }
  if (!rule.found) rule = match_update(code, e, y);
  const Blocks b = blocks_of(s);
  float* g = reinterpret_cast<float*>(scratch.at);
  float* memory = g + floats_of_block(b);
  const Scratch rest{reinterpret_cast<char*>(memory + kRegisters * kPitch), 0};
  const MapFn* functions = map_functions();

  float* reg[kRegisters];
  for (i64 r = 0; r < kRegisters; ++r) reg[r] = memory + r * kPitch;
  const auto fill = [&](i64 r, float v) {
    for (i64 i = 0; i < kRun; ++i) reg[r][i] = v;
  };
  for (i64 i = 1; i < s.inputs; ++i)
    if (s.scalar[i]) fill(i, *e[i]);
  // constants that are used, and for each output the instruction that can write straight into it
  int direct[48];
  for (i64 t = 0; t < s.length; ++t) {
    direct[t] = -1;
    for (i64 k = 2; k < 5; ++k) {
      const i64 r = s.code[t * 5 + k];
      if (k < 2 + elementwise_arity(static_cast<int>(s.code[t * 5])) && r >= kFirstConst && r < kFirstTemp)
        fill(r, static_cast<float>(s.consts[r - kFirstConst]));
    }
  }
  for (i64 o = 0; o < s.outputs; ++o) {
    if (s.out_reg[o] >= kFirstConst && s.out_reg[o] < kFirstTemp)
      fill(s.out_reg[o], static_cast<float>(s.consts[s.out_reg[o] - kFirstConst]));
    bool shared = false;  // whether an input in that memory is read later
    for (i64 p = 0; p < s.outputs; ++p)
      shared = shared || (s.out_reg[p] > 0 && s.out_reg[p] < s.inputs && e[s.out_reg[p]] == y[o]);
    for (i64 t = s.length - 1; t >= 0 && !shared; --t) {
      const i64* w = s.code + t * 5;
      if (w[1] == s.out_reg[o]) {
        if (direct[t] < 0) direct[t] = static_cast<int>(o);
        break;
      }
      for (i64 k = 2; k < 2 + elementwise_arity(static_cast<int>(w[0])); ++k)
        shared = shared || (w[k] > 0 && w[k] < s.inputs && e[w[k]] == y[o]);
    }
  }
  float* home[kRegisters];
  for (i64 r = 0; r < kRegisters; ++r) home[r] = reg[r];

  // the program over n elements of g that lie at `at` of the [K, N] arrays
  const auto epilogue = [&](const float* from, i64 at, i64 n) {
    if (rule.found) {
      const float* in[kInputs] = {from};
      float* out[4];
      for (i64 i = 1; i < s.inputs; ++i) in[i] = s.scalar[i] ? e[i] : e[i] + at;
      for (i64 o = 0; o < s.outputs; ++o) out[o] = y[o] + at;
      return run_update(rule, code, n, in, out);
    }
    reg[0] = const_cast<float*>(from);
    for (i64 i = 1; i < s.inputs; ++i)
      if (!s.scalar[i]) reg[i] = const_cast<float*>(e[i]) + at;
    for (i64 t = 0; t < s.length; ++t) {
      const i64* w = s.code + t * 5;
      const int arity = elementwise_arity(static_cast<int>(w[0]));
      const float* p = reg[w[2]];
      const float* q = arity > 1 ? reg[w[3]] : nullptr;
      const float* r = arity > 2 ? reg[w[4]] : nullptr;
      reg[w[1]] = direct[t] >= 0 ? y[direct[t]] + at : home[w[1]];
      functions[w[0]](n, reg[w[1]], p, q, r);
    }
    for (i64 o = 0; o < s.outputs; ++o) {
      const float* result = reg[s.out_reg[o]];
      float* to = y[o] + at;
      if (result != to)
        for (i64 i = 0; i < n; ++i) to[i] = result[i];
    }
  };

  for (i64 u = units.begin; u < units.end; ++u) {
    const i64 k0 = u % b.down * b.rows, n0 = u / b.down * b.columns;  // down first: the panel of dy stays
    const i64 rows = min_of(b.rows, s.K - k0), columns = min_of(b.columns, s.N - n0);
    const Product p = product_of(s, rows, columns);
    product(p, Slice{0, product_units(p)}, rest, Operands{x + s.x0 + k0, dy + s.y0 + n0, g, {}});
    if (columns == s.N) {
      for (i64 i = 0; i < rows * columns; i += kRun) epilogue(g + i, k0 * s.N + i, min_of(kRun, rows * columns - i));
    } else {
      for (i64 r = 0; r < rows; ++r)
        for (i64 i = 0; i < columns; i += kRun)
          epilogue(g + r * columns + i, (k0 + r) * s.N + n0 + i, min_of(kRun, columns - i));
    }
  }
}

}  // namespace nacre::NACRE_ISA
