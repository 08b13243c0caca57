#include "kernels/sample.h"

#include "base/checked.h"
#include "kernels/loops.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kBlock = 128;   // places whose pixels and weights are found together
constexpr i64 kUnit = 16384;  // floats of y in a unit, as a guess

i64 group_of(const SampleShape& s) { return ceil_div(max_of(1, kUnit / max_of(s.C, 1)), kBlock) * kBlock; }

// Whole places of one axis, and how much each counts: the first pixel and the one behind it.
struct Axis {
  i32 at[2][kBlock];
  i32 inside[2][kBlock];
  float weight[2][kBlock];
};

// place brought into an axis of n, whatever it is
i32 far_place(i32 place, i64 n, i64 mode) {
  const i64 period = mode == kSampleWrap ? n : mode == kSampleMirror ? 2 * n - 2 : 2 * n;
  if (period == 0) return 0;
  i64 at = mode == kSampleMirror && place < 0 ? -static_cast<i64>(place) : place;
  at %= period;
  if (at < 0) at += period;
  if (at < n) return static_cast<i32>(at);
  return static_cast<i32>((mode == kSampleMirror ? 2 * n - 2 : 2 * n - 1) - at);
}

void find(const SampleShape& s, i64 n, i64 count, const float* places, Axis& axis) {
  const i32 size = static_cast<i32>(n), last = size - 1;
  i32 far = 0;
  NACRE_INDEPENDENT
  for (i64 i = 0; i < count; ++i) {
    const float p = places[i], low = s.order ? __builtin_floorf(p) : __builtin_rintf(p);
    const float upper = p - low;
    axis.weight[0][i] = 1.0f - upper;
    axis.weight[1][i] = upper;
    const i32 first = Convert<i32, float>::to(low);
    axis.at[0][i] = first;
    axis.at[1][i] = static_cast<i32>(static_cast<u32>(first) + 1u);
  }
  for (int j = 0; j < 1 + s.order; ++j) {
    i32* at = axis.at[j];
    i32* inside = axis.inside[j];
    if (s.mode == kSampleConstant || s.mode == kSampleNearest) {
      const i32 counts = s.mode == kSampleNearest;
      NACRE_INDEPENDENT
      for (i64 i = 0; i < count; ++i) {
        const i32 to = at[i] < 0 ? 0 : at[i] > last ? last : at[i];
        inside[i] = counts | (to == at[i]);
        at[i] = to;
      }
      continue;
    }
    // as a rule within one length of the axis, where no division is needed
    const i32 before = s.mode == kSampleWrap ? size : s.mode == kSampleMirror ? 0 : -1;
    const i32 behind = s.mode == kSampleWrap ? -size : s.mode == kSampleMirror ? 2 * size - 2 : 2 * size - 1;
    const i32 turn = s.mode == kSampleWrap ? 1 : -1;
    i32 wide[kBlock];
    NACRE_INDEPENDENT
    for (i64 i = 0; i < count; ++i) {
      const i32 p = at[i], near = p < -size ? -size : p >= 2 * size ? 2 * size - 1 : p;
      wide[i] = p;
      inside[i] = 1;
      const i32 to = (near < 0 ? before : near >= size ? behind : 0) + (near < 0 || near >= size ? turn : 1) * near;
      far |= (near ^ p) | (to & INT32_MIN) | ((last - to) & INT32_MIN);
      at[i] = to;
    }
    for (i64 i = 0; far != 0 && i < count; ++i) at[i] = far_place(wide[i], n, s.mode);
  }
}

// kC channels, or as many as there are if 0.
template <int kC>
void blend(const SampleShape& s, i64 count, const Axis& row, const Axis& column, const float* x, float* y) {
  const i64 C = kC ? kC : s.C;
  const float fill = static_cast<float>(s.fill);
  const auto pixel = [&](int r, int c, i64 i) { return x + (row.at[r][i] * s.W + column.at[c][i]) * C; };
  if (s.order == 0) {
    for (i64 i = 0; i < count; ++i, y += C) {
      const float* p = pixel(0, 0, i);
      const bool inside = (row.inside[0][i] & column.inside[0][i]) != 0;
      NACRE_INDEPENDENT
      for (i64 c = 0; c < C; ++c) y[c] = inside ? p[c] : fill;
    }
    return;
  }
  for (i64 i = 0; i < count; ++i, y += C) {
    const float *p00 = pixel(0, 0, i), *p01 = pixel(0, 1, i), *p10 = pixel(1, 0, i), *p11 = pixel(1, 1, i);
    const float up = row.weight[0][i], down = row.weight[1][i], left = column.weight[0][i], right = column.weight[1][i];
    const float w00 = up * left, w01 = up * right, w10 = down * left, w11 = down * right;
    const i32 r0 = row.inside[0][i], r1 = row.inside[1][i], c0 = column.inside[0][i], c1 = column.inside[1][i];
    const bool in00 = (r0 & c0) != 0, in01 = (r0 & c1) != 0, in10 = (r1 & c0) != 0, in11 = (r1 & c1) != 0;
    NACRE_INDEPENDENT
    for (i64 c = 0; c < C; ++c) {
      float sum = (in00 ? p00[c] : fill) * w00;
      sum += (in01 ? p01[c] : fill) * w01;
      sum += (in10 ? p10[c] : fill) * w10;
      sum += (in11 ? p11[c] : fill) * w11;
      y[c] = sum;
    }
  }
}

}  // namespace

Facts sample_facts(const SampleShape& s) {
  Facts f;
  constexpr i64 most = i64{1} << 29;  // twice as many have an int32
  if (s.N < 0 || s.H < 0 || s.W < 0 || s.C < 0 || s.K < 0) f.error = "N, H, W, C and K must not be negative";
  else if (s.H > most || s.W > most) f.error = "H and W must be at most 2^29";
  else if (s.order < 0 || s.order > 1) f.error = "order must be 0 or 1";
  else if (s.mode < kSampleConstant || s.mode > kSampleReflect) f.error = "mode must be one of SampleMode";
  if (f.error) return f;
  const Count places = Count(s.N) * Count(s.K), y = places * Count(s.C);
  const Count x = Count(s.N) * Count(s.H) * Count(s.W) * Count(s.C);
  if (!y.ok() || !x.ok()) f.error = "the sizes overflow 64 bits";
  else if (y.value() > 0 && x.value() == 0) f.error = "images without pixels have nothing to read";
  if (f.error || y.value() == 0) return f;
  f.extent[0] = x;
  f.extent[1] = f.extent[2] = places;
  f.extent[3] = y;
  f.units = ceil_div(places.value(), group_of(s));
  f.flops = static_cast<double>(y.value()) * (s.order ? 7.0 : 1.0);
  return f;
}

void sample(const SampleShape& s, Slice units, const float* x, const float* rows, const float* columns, float* y) {
  const i64 group = group_of(s), end = min_of(units.end * group, s.N * s.K);
  Axis row, column;
  for (i64 at = units.begin * group; at < end;) {
    const i64 n = at / s.K, count = min_of(kBlock, min_of(end, (n + 1) * s.K) - at);
    find(s, s.H, count, rows + at, row);
    find(s, s.W, count, columns + at, column);
    const float* image = x + n * s.H * s.W * s.C;
    float* to = y + at * s.C;
    if (s.C == 1) blend<1>(s, count, row, column, image, to);
    else if (s.C == 3) blend<3>(s, count, row, column, image, to);
    else blend<0>(s, count, row, column, image, to);
    at += count;
  }
}

}  // namespace nacre::NACRE_ISA
