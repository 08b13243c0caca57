#include "kernels/correlate.h"

#include "kernels/activate.h"

namespace nacre::NACRE_ISA {
namespace {

// Every field below this: sums and products of two stay far from the end of 64 bits; larger products go through Count.
constexpr i64 kLimit = i64{1} << 30;

i64 gcd(i64 a, i64 b) {
  while (b) {
    const i64 r = a % b;
    a = b;
    b = r;
  }
  return a;
}

// The inverse of a modulo m (gcd 1), by Euclid's algorithm.
i64 inverse(i64 a, i64 m) {
  i64 r0 = m, r1 = a % m, t0 = 0, t1 = 1;
  while (r1) {
    const i64 q = r0 / r1, r2 = r0 - q * r1, t2 = t0 - q * t1;
    r0 = r1, r1 = r2, t0 = t1, t1 = t2;
  }
  return ((t0 % m) + m) % m;
}

Axis forward_axis(i64 in, i64 out, i64 taps, i64 stride, i64 dilation, i64 pad) {
  return {out, stride, -pad, dilation, taps, in, 0, 1, 0, 1};
}

// Input position i*S + r is met by tap k of output o when o*S + k*D - P = i*S + r, so k*D = r + P (mod S): the taps k of one
// phase are S/g apart (g = gcd(S, D)) and their outputs D/g, falling as k rises. Taken from the last to the first, the
// positions in dy rise.
Axis grad_axis(i64 in, i64 out, i64 taps, i64 S, i64 D, i64 P, i64 r) {
  Axis a{};
  a.out = r < in ? ceil_div(in - r, S) : 0;
  a.in = out;
  a.stride = 1;
  a.y0 = r;
  a.y_step = S;
  const i64 g = gcd(S, D), apart = S / g;
  a.step = D / g;
  if ((r + P) % g != 0) return a;  // no tap meets this phase
  const i64 residue = ((r + P) / g % apart + apart) % apart;
  const i64 first = residue * inverse(D / g, apart) % apart;
  if (first >= taps) return a;
  a.taps = (taps - 1 - first) / apart + 1;
  const i64 last = first + (a.taps - 1) * apart;
  a.k0 = last;
  a.k_step = -apart;
  a.tap0 = (r + P - last * D) / S;
  return a;
}

i64 ceil_div_signed(i64 a, i64 b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

bool inside(const Axis& a, i64 first, i64 n) {
  return a.taps == 0 || (a.at(first, 0) >= 0 && a.at(first + n - 1, a.taps - 1) < a.in);
}

// n floats, or zeros, in whole vectors: a copy goes from its front to its end, and what follows replaces the rest of the
// last one, or there is room.
NACRE_INLINE void write(float* to, const float* from, i64 n) {
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, load(from + i));
  if (i < n) store(to + i, load(from + i, first_lanes(n - i)));
}
NACRE_INLINE void write_zeros(float* to, i64 n) {
  for (i64 i = 0; i < n; i += kLanes) store(to + i, zero());
}

// C floats of each of the columns [w0, w0 + n) of a row; outside [0, W) zeros.
void copy_row(float* to, const float* row, i64 W, i64 ld, i64 w0, i64 n, i64 C) {
  const i64 left = min_of(max_of(-w0, 0), n);
  const i64 middle = max_of(min_of(W, w0 + n) - max_of(w0, 0), 0);
  write_zeros(to, left * C);
  to += left * C;
  const i64 runs = middle > 0 ? (ld == C ? 1 : middle) : 0, length = ld == C ? middle * C : C;
  const float* from = row + (w0 + left) * ld;
  for (i64 i = 0; i < runs; ++i, from += ld, to += length) write(to, from, length);
  write_zeros(to, (n - left - middle) * C);
}

struct Seen {
  double pairs;   // of an output and a tap that lies inside
  double pieces;  // whose outputs see the same taps
};
Seen seen(const Axis& a) {
  Seen s{0, 1};
  Taps before{a.out, a.out};
  for (i64 t = 0; t < a.taps; ++t) {
    const Taps inside = outputs_inside({a.out, a.stride, a.at(0, t), 1, 1, a.in, 0, 1, 0, 1});
    s.pairs += static_cast<double>(max_of(inside.last - inside.first, 0));
    s.pieces +=
        (inside.first != before.first && inside.first > 0) + (inside.last != before.last && inside.last < a.out);
    before = inside;
  }
  return s;
}

}  // namespace

const char* conv2d_error(const Conv2DShape& s, i64 most_act) {
  const i64 sizes[] = {s.N, s.H, s.W, s.C, s.O, s.OH, s.OW};
  const i64 counts[] = {s.KH, s.KW, s.SH, s.SW, s.DH, s.DW, s.G};
  const i64 padding[] = {s.PT, s.PL};
  for (i64 v : sizes) {
    if (v < 0 || v >= kLimit) return "sizes must be in [0, 2^30)";
  }
  for (i64 v : counts) {
    if (v < 1 || v >= kLimit) return "window, strides, dilation and groups must be in [1, 2^30)";
  }
  for (i64 v : padding) {
    if (v <= -kLimit || v >= kLimit) return "padding must be in (-2^30, 2^30)";
  }
  if (s.C % s.G != 0 || s.O % s.G != 0) return "channels must be a multiple of the groups";
  if (s.bias < 0 || s.bias > 1 || s.residual < 0 || s.residual > 1) return "bias and residual are 0 or 1";
  if (s.act < 0 || s.act > most_act)
    return most_act == 1 ? "act is 0 or 1" : most_act == 2 ? "act is 0, 1 or 2" : kActError;
  if (s.ldx != 0 && (s.ldx < s.C || s.ldx >= kLimit)) return "ldx must be at least C";
  if (s.ldy != 0 && (s.ldy < s.O || s.ldy >= kLimit)) return "ldy must be at least O";
  if (s.ldr < 0 || s.ldr >= kLimit) return "ldr must be in [0, 2^30)";
  return nullptr;
}

Count pixels_extent(Count n, Count h, Count w, i64 channels, i64 ld) {
  const Count all = n * h * w;
  if (!all.ok() || all.value() == 0 || channels == 0) return all * Count(channels);
  return Count(all.value() - 1) * Count(ld) + Count(channels);
}

Axis forward_rows(const Conv2DShape& s) { return forward_axis(s.H, s.OH, s.KH, s.SH, s.DH, s.PT); }
Axis forward_columns(const Conv2DShape& s) { return forward_axis(s.W, s.OW, s.KW, s.SW, s.DW, s.PL); }
Axis grad_x_rows(const Conv2DShape& s, i64 phase) { return grad_axis(s.H, s.OH, s.KH, s.SH, s.DH, s.PT, phase); }
Axis grad_x_columns(const Conv2DShape& s, i64 phase) { return grad_axis(s.W, s.OW, s.KW, s.SW, s.DW, s.PL, phase); }

Correlation forward_correlation(const Conv2DShape& s) {
  Correlation q{s.N, forward_rows(s), forward_columns(s), s.C / s.G, ldx_of(s), s.OW, s.OH, ldy_of(s)};
  if (pointwise(s)) {  // all pixels are one row
    const i64 px = s.N * s.H * s.W;
    q.N = q.h.in = q.h.out = q.YH = px > 0 ? 1 : 0;
    q.w.in = q.w.out = q.YW = px;
  }
  return q;
}

Correlation grad_x_correlation(const Conv2DShape& s, i64 rh, i64 rw) {
  Correlation q{s.N, grad_x_rows(s, rh), grad_x_columns(s, rw), s.O / s.G, ldy_of(s), s.W, s.H, ldx_of(s)};
  if (pointwise(s)) {
    const i64 px = s.N * s.H * s.W;
    q.N = q.h.in = q.h.out = q.YH = px > 0 ? 1 : 0;
    q.w.in = q.w.out = q.YW = px;
  }
  return q;
}

Taps taps_inside(const Axis& a, i64 i) {
  const i64 start = a.at(i, 0);
  const i64 first = min_of(max_of(ceil_div_signed(-start, a.step), 0), a.taps);
  return {first, max_of(min_of(ceil_div_signed(a.in - start, a.step), a.taps), first)};
}

Taps outputs_inside(const Axis& a) {
  const i64 reach = a.taps > 0 ? (a.taps - 1) * a.step : 0;
  const i64 first = min_of(max_of(ceil_div_signed(-a.tap0, a.stride), 0), a.out);
  return {first, max_of(min_of(ceil_div_signed(a.in - reach - a.tap0, a.stride), a.out), first)};
}

i64 cut_axis(const Axis& a, i64 first, i64 n, Piece* to) {
  const Taps inside = outputs_inside(a);
  i64 count = 0;
  for (i64 i = first, next; i < first + n; i = next) {
    next = i >= inside.first && i < inside.last ? min_of(inside.last, first + n) : i + 1;
    const Taps taps = taps_inside(a, i);
    const bool same = count > 0 && taps.first == to[count - 1].taps.first && taps.last == to[count - 1].taps.last;
    if (!same) to[count++] = {i, i, taps};
    to[count - 1].last = next;
  }
  return count;
}

bool in_parts(const Correlation& q, double part_px) {
  if (q.h.taps > kCutTaps || q.w.taps > kCutTaps || q.C < kFewestChannels) return false;
  const double taps = static_cast<double>(q.h.taps * q.w.taps);
  const Seen h = seen(q.h), w = seen(q.w);
  return h.pairs * w.pairs + part_px * taps * h.pieces * w.pieces <
         0.9 * taps * static_cast<double>(q.h.out) * static_cast<double>(q.w.out);
}

View view_part(const Correlation& q, i64 n0, const Piece& h, const Piece& w, const float* x, i64 C) {
  const i64 row = q.w.in * q.ldx, image = q.h.in * row;
  View v{};
  v.x = x + n0 * image;
  v.px_step = q.w.stride * q.ldx, v.row_step = q.h.stride * row, v.image_step = image;
  v.nh = h.taps.last - h.taps.first, v.tap_row = q.h.step * row;
  v.nw = w.taps.last - w.taps.first, v.tap_col = q.w.step * q.ldx;
  v.run = C;
  if (v.nh * v.nw == 0) v.nh = v.nw = 0;
  if (v.nh > 0) v.x += q.h.at(h.first, h.taps.first) * row + q.w.at(w.first, w.taps.first) * q.ldx;
  join_taps(v, C);
  return v;
}

Correlation grad_x_widest(const Conv2DShape& s) {
  Correlation q = grad_x_correlation(s, 0, 0);
  q.h.taps = ceil_div(s.KH, s.SH / gcd(s.SH, s.DH));
  q.w.taps = ceil_div(s.KW, s.SW / gcd(s.SW, s.DW));
  return q;
}

Cut cut_blocks(const Correlation& q, i64 px, i64 floats, bool may_patch) {
  Cut cut{};
  const i64 N = max_of(q.N, 1), OH = max_of(q.h.out, 1), OW = max_of(q.w.out, 1);
  const auto window = [&](i64 n, i64 h, i64 w) {
    const Count c = Count(n) * Count(q.h.span(h)) * Count(q.w.span(w)) * Count(q.C);
    return c.ok() ? c.value() : kLimit * kLimit;
  };
  const auto patch = [&](i64 n) {
    const Count c = Count(n) * Count(q.h.taps) * Count(q.w.taps) * Count(q.C);
    return c.ok() ? c.value() : kLimit * kLimit;
  };
  const i64 narrow = min_of(OW, 2 * kLanes);
  // Where even a short piece of a row has a window too large, and patches are smaller, take those.
  cut.patches = may_patch && window(1, 1, narrow) > floats && patch(narrow) < window(1, 1, narrow);
  const auto size = [&](i64 n, i64 h, i64 w) { return cut.patches ? patch(n * h * w) : window(n, h, w); };
  const auto fits = [&](i64 n, i64 h, i64 w) { return n * h * w <= px && size(n, h, w) <= floats; };
  // The largest count that fits, by bisection (size grows with the count), then equalised.
  const auto largest = [&](i64 most, auto ok) {
    i64 low = 1, high = most;
    while (low < high) {
      const i64 mid = low + (high - low + 1) / 2;
      if (ok(mid)) low = mid;
      else high = mid - 1;
    }
    return ceil_div(most, ceil_div(most, low));
  };
  cut.nb = cut.hb = 1;
  cut.wb = largest(OW, [&](i64 n) { return fits(1, 1, n); });
  if (cut.wb < narrow) cut.wb = ceil_div(OW, ceil_div(OW, narrow));
  if (cut.wb == OW) cut.hb = largest(OH, [&](i64 n) { return fits(1, n, OW); });
  if (cut.wb == OW && cut.hb == OH) cut.nb = largest(N, [&](i64 n) { return fits(n, OH, OW); });
  cut.n_blocks = ceil_div(q.N, cut.nb);
  cut.h_blocks = ceil_div(q.h.out, cut.hb);
  cut.w_blocks = ceil_div(q.w.out, cut.wb);
  cut.floats = size(cut.nb, cut.hb, cut.wb);
  return cut;
}

Block block_at(const Correlation& q, const Cut& cut, i64 index) {
  const i64 w = index % cut.w_blocks, h = index / cut.w_blocks % cut.h_blocks, n = index / cut.w_blocks / cut.h_blocks;
  Block b{n * cut.nb, 0, h * cut.hb, 0, w * cut.wb, 0};
  b.nb = max_of(min_of(cut.nb, q.N - b.n0), 0);
  b.hb = max_of(min_of(cut.hb, q.h.out - b.h0), 0);
  b.wb = max_of(min_of(cut.wb, q.w.out - b.w0), 0);
  return b;
}

View view_block(const Correlation& q, const Cut& cut, const Block& b, const float* x, i64 C, float* copy,
                bool may_point) {
  View v{};
  v.nh = q.h.taps;
  v.nw = q.w.taps;
  v.run = C;
  if (v.nh == 0 || v.nw == 0) v.nh = v.nw = 0;
  if (v.nh * v.nw * C == 0) {
    v.nh = v.nw = v.run = 0;
    v.x = copy;
    return v;
  }
  const i64 row = q.w.in * q.ldx, image = q.h.in * row;
  if (may_point && inside(q.h, b.h0, b.hb) && inside(q.w, b.w0, b.wb)) {
    v.x = x + b.n0 * image + q.h.at(b.h0, 0) * row + q.w.at(b.w0, 0) * q.ldx;
    v.px_step = q.w.stride * q.ldx;
    v.row_step = q.h.stride * row;
    v.image_step = image;
    v.tap_row = q.h.step * row;
    v.tap_col = q.w.step * q.ldx;
  } else if (cut.patches) {
    const i64 K = v.nh * v.nw * C;
    float* to = copy;
    for (i64 n = b.n0; n < b.n0 + b.nb; ++n) {
      for (i64 h = b.h0; h < b.h0 + b.hb; ++h) {
        for (i64 w = b.w0; w < b.w0 + b.wb; ++w) {
          for (i64 th = 0; th < v.nh; ++th) {
            const i64 ih = q.h.at(h, th);
            for (i64 tw = 0; tw < v.nw; ++tw, to += C) {
              const i64 iw = q.w.at(w, tw);
              if (ih >= 0 && ih < q.h.in && iw >= 0 && iw < q.w.in) {
                write(to, x + n * image + ih * row + iw * q.ldx, C);
              } else {
                write_zeros(to, C);
              }
            }
          }
        }
      }
    }
    v.x = copy;
    v.px_step = K;
    v.row_step = b.wb * K;
    v.image_step = b.hb * b.wb * K;
    v.tap_row = v.nw * C;
    v.tap_col = C;
    v.run = K;
    v.nh = v.nw = 1;
    return v;
  } else {
    const i64 rows = q.h.span(b.hb), cols = q.w.span(b.wb), ih0 = q.h.at(b.h0, 0), iw0 = q.w.at(b.w0, 0);
    float* to = copy;
    for (i64 n = b.n0; n < b.n0 + b.nb; ++n) {
      for (i64 r = 0; r < rows; ++r, to += cols * C) {
        const i64 ih = ih0 + r;
        if (ih >= 0 && ih < q.h.in) {
          copy_row(to, x + n * image + ih * row, q.w.in, q.ldx, iw0, cols, C);
        } else {
          zero_floats(to, cols * C);
        }
      }
    }
    v.x = copy;
    v.px_step = q.w.stride * C;
    v.row_step = q.h.stride * cols * C;
    v.image_step = rows * cols * C;
    v.tap_row = q.h.step * cols * C;
    v.tap_col = q.w.step * C;
  }
  join_taps(v, C);
  return v;
}

Correlation output_image(const Correlation& q) {
  const Axis h{q.h.out, 1, 0, 1, 1, q.h.out, 0, 1, 0, 1}, w{q.w.out, 1, 0, 1, 1, q.w.out, 0, 1, 0, 1};
  return {q.N, h, w, q.C, q.ldy, q.YW, q.YH, q.ldy};
}

Wanted wanted_of(const Correlation& q, const Block& b, const float* x, i64 C, i64 width) {
  constexpr i64 kMost = 80 * 1024;  // floats: a third of L2
  const i64 row = q.w.in * q.ldx, image = q.h.in * row;
  const i64 top = max_of(q.h.at(b.h0, 0), 0), left = max_of(q.w.at(b.w0, 0), 0);
  const i64 bottom = min_of(q.h.at(b.h0 + b.hb - 1, q.h.taps - 1), q.h.in - 1);
  const i64 right = min_of(q.w.at(b.w0 + b.wb - 1, q.w.taps - 1), q.w.in - 1);
  if (bottom < top || right < left || C < 1) return {};
  Wanted p;
  p.at = x + b.n0 * image + top * row + left * q.ldx;
  p.width = width;
  p.length = (b.nb - 1) * image + (bottom - top) * row + (right - left) * q.ldx + C;
  if (q.ldx > 2 * C) {
    p.apart = q.ldx;
    p.length = ceil_div(min_of(p.length, kMost / C * q.ldx), q.ldx) * q.ldx;
    p.passes = ceil_div(C, width) - 1;
  } else {
    p.apart = width;
    p.length = min_of(p.length, kMost);
  }
  p.end = p.at + p.length;
  return p;
}

i64 Wanted::left_of_pass() const { return ceil_div(end - at, apart); }
i64 Ahead::left() const {
  const auto all = [](const Wanted& w) { return w.left_of_pass() + w.passes * (w.length / w.apart); };
  return all(now) + all(then);
}
void Ahead::turn() {
  if (now.at < now.end) return;
  if (now.passes == 0) {
    now = then;
    then = {};
  } else {
    --now.passes;
    now.end += now.width;
    now.at = now.end - now.length;
  }
}
Ahead ahead_of(const Wanted& x, const Wanted& y, i64 times) {
  Ahead a{x, y, 0};
  a.step = ceil_div(a.left(), max_of(times, 1));
  a.turn();
  return a;
}

void pack_panel(const Correlation& q, const Conv2DShape& s, bool swapped, bool sliding, i64 g, i64 o0, i64 n, i64 ld,
                const float* w, float* to) {
  const i64 Cg = s.C / s.G, Og = s.O / s.G, C = q.C;
  if (n < ld) zero_floats(to, q.h.taps * q.w.taps * C * ld);
  const i64 row = sliding ? q.w.taps * ld : ld;
  for (i64 th = 0; th < q.h.taps; ++th, to += q.w.taps * C * ld) {
    for (i64 tw = 0; tw < q.w.taps; ++tw) {
      const i64 tap = (q.h.k0 + th * q.h.k_step) * s.KW + q.w.k0 + tw * q.w.k_step;
      float* at = to + tw * (sliding ? ld : C * ld);
      if (swapped) {  // at[o][c] = w[tap][c][o], o of this group
        transpose(at, row, w + (tap * Cg + o0) * s.O + g * Og, s.O, n, Og);
      } else {
        for (i64 c = 0; c < Cg; ++c) copy_floats(at + c * row, w + (tap * Cg + c) * s.O + g * Og + o0, n);
      }
    }
  }
}

void join_parts(i64 unit, i64 parts, i64 size, const float* from, float* to) {
  const i64 end = min_of((unit + 1) * kJoinFloats, size);
  for (i64 i = unit * kJoinFloats; i < end; i += kLanes) {
    const i64 n = min_of(end - i, kLanes);
    Vec sum = load(from + i, n);
    for (i64 p = 1; p < parts; ++p) sum += load(from + p * size + i, n);
    store(to + i, sum, n);
  }
}

void copy_floats(float* to, const float* from, i64 n) {
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, load(from + i));
  if (i < n) store(to + i, load(from + i, n - i), n - i);
}

void zero_floats(float* to, i64 n) {
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, zero());
  if (i < n) store(to + i, zero(), n - i);
}

void transpose(float* to, i64 ld_to, const float* from, i64 ld_from, i64 M, i64 N) {
  for (i64 m = 0; m < M; m += kLanes) {
    for (i64 n = 0; n < N; n += kLanes) {
      const i64 rows = min_of(M - m, kLanes), columns = min_of(N - n, kLanes);
      const float* f = from + m * ld_from + n;
      float* t = to + n * ld_to + m;
      Vec block[kLanes];
      if (rows == kLanes && columns == kLanes) {
        NACRE_UNROLL for (int i = 0; i < kLanes; ++i) block[i] = load(f + i * ld_from);
        transpose(block);
        NACRE_UNROLL for (int i = 0; i < kLanes; ++i) store(t + i * ld_to, block[i]);
      } else {
        NACRE_UNROLL for (int i = 0; i < kLanes; ++i) block[i] = i < rows ? load(f + i * ld_from, columns) : zero();
        transpose(block);
        NACRE_UNROLL for (int i = 0; i < kLanes; ++i) {
          if (i < columns) store(t + i * ld_to, block[i], rows);
        }
      }
    }
  }
}

}  // namespace nacre::NACRE_ISA
