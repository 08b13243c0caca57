#include "kernels/conv2d_sparse.h"

#include "kernels/loops.h"
#include "simd/simd.h"

namespace nacre::NACRE_ISA {
namespace {

constexpr i64 kOutputs = 8;  // of a unit

// y += a x
NACRE_ALWAYS void add_times(float a, const float* x, float* y, i64 n) {
  const Vec times = set1(a);
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, fma(times, load(x + i), load(y + i)));
  if (i < n) store(y + i, fma(times, load(x + i, n - i), load(y + i, n - i)), n - i);
}

// f(place in [KH][KW][C], place in an image, how many numbers) for what a window sees of an image.
template <class F>
NACRE_ALWAYS void each_run(const Conv2DShape& s, i64 oh, i64 ow, F f) {
  const i64 iw = ow * s.SW - s.PL, taps = s.DW == 1 ? s.KW : 1;  // that lie side by side
  for (i64 kh = 0; kh < s.KH; ++kh) {
    const i64 ih = oh * s.SH + kh * s.DH - s.PT;
    if (ih < 0 || ih >= s.H) continue;
    for (i64 kw = 0; kw < s.KW; kw += taps) {
      const i64 at = iw + kw * s.DW, first = max_of(0, -at), end = min_of(taps, s.W - at);
      if (first < end) f((kh * s.KW + kw + first) * s.C, (ih * s.W + at + first) * s.C, (end - first) * s.C);
    }
  }
}

// f(o, dy) for the outputs of a pixel that count.
template <class F>
NACRE_ALWAYS void each_share(const float* dy, i64 begin, i64 end, F f) {
  for (i64 o = begin; o < end; o += kLanes) {
    u32 left = bits(ne(load(dy + o, min_of(kLanes, end - o)), set1(0.0f)));
    for (; left; left &= left - 1) {
      const i64 at = o + __builtin_ctz(left);
      f(at, dy[at]);
    }
  }
}

Facts facts_of(const Conv2DShape& s, bool of_weights) {
  Facts f = conv2d_grad_x_facts(s);
  if (!f.error && (s.G != 1 || s.bias || s.act || s.residual || s.ldx || s.ldy)) {
    f.error = "only a plain convolution can be sparse";
  }
  if (f.error) return f;
  const Count dy = f.extent[0], w = f.extent[1], x = f.extent[5];
  f.extent[0] = of_weights ? x : dy;
  f.extent[1] = of_weights ? dy : w;
  f.extent[2] = of_weights ? w : x;
  f.extent[5] = Count(0);
  f.scratch = 0;
  f.units = f.extent[2].value() == 0 ? 0 : of_weights ? ceil_div(s.O, kOutputs) : s.N;
  return f;
}

}  // namespace

Facts conv2d_sparse_grad_w_facts(const Conv2DShape& s) { return facts_of(s, true); }

void conv2d_sparse_grad_w(const Conv2DShape& s, Slice units, const float* x, const float* dy, float* dw) {
  const i64 begin = units.begin * kOutputs, end = min_of(units.end * kOutputs, s.O);
  const i64 window = s.KH * s.KW * s.C, image = s.H * s.W * s.C;
  for (i64 o = begin; o < end; o += kOutputs) {
    const i64 last = min_of(o + kOutputs, end);
    __builtin_memset(dw + o * window, 0, static_cast<unsigned long>((last - o) * window) * sizeof(float));
    const float* dy_p = dy;
    for (i64 n = 0; n < s.N; ++n) {
      for (i64 oh = 0; oh < s.OH; ++oh) {
        for (i64 ow = 0; ow < s.OW; ++ow, dy_p += s.O) {
          each_share(dy_p, o, last, [&](i64 at, float share) {
            each_run(s, oh, ow, [&](i64 k, i64 i, i64 count) __attribute__((always_inline)) {
              add_times(share, x + n * image + i, dw + at * window + k, count);
            });
          });
        }
      }
    }
  }
}

Facts conv2d_sparse_grad_x_facts(const Conv2DShape& s) { return facts_of(s, false); }

void conv2d_sparse_grad_x(const Conv2DShape& s, Slice units, const float* dy, const float* w, float* dx) {
  const i64 window = s.KH * s.KW * s.C, image = s.H * s.W * s.C;
  for (i64 n = units.begin; n < units.end; ++n) {
    float* dx_n = dx + n * image;
    __builtin_memset(dx_n, 0, static_cast<unsigned long>(image) * sizeof(float));
    const float* dy_p = dy + n * s.OH * s.OW * s.O;
    for (i64 oh = 0; oh < s.OH; ++oh) {
      for (i64 ow = 0; ow < s.OW; ++ow, dy_p += s.O) {
        each_share(dy_p, 0, s.O, [&](i64 at, float share) {
          each_run(s, oh, ow, [&](i64 k, i64 i, i64 count) __attribute__((always_inline)) {
            add_times(share, w + at * window + k, dx_n + i, count);
          });
        });
      }
    }
  }
}

}  // namespace nacre::NACRE_ISA
