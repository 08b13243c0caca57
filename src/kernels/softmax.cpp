// Three ways through rows, by their length: up to 16 numbers, as columns of kLanes rows; up to kTogether, kLanes rows at a
// time; longer, a pass over each row that also works on the rows before and behind it.
#include "kernels/softmax.h"

#include "kernels/row_groups.h"
#include "simd/math.h"
#include "simd/simd.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnit = 8192;          // elements in a unit: some 3 us
constexpr i64 kAhead = 2048;         // floats fetched ahead at most
constexpr i64 kTurned = 16;          // longest row that is handled one row per lane
constexpr i64 kTogether = 224;       // longest row of which kLanes go together: two groups of them stay in L1
constexpr i64 kGradTogether = 63;    // the same of three arrays, where that takes no exponentials
constexpr i64 kBlock = 64 * kLanes;  // elements summed in float32 before the sum goes into float64

i64 rows_per_unit(i64 N) { return max_of(kLanes, kUnit / max_of(N, 1) / kLanes * kLanes); }

struct Yes {
  constexpr operator bool() const { return true; }
};
struct No {
  constexpr operator bool() const { return false; }
};
NACRE_INLINE float log_of(float x) {
  float lane[kLanes];
  store(lane, log(set1(x)));
  return lane[0];
}

// e^x for x <= 0 (and NaN), exactly 1 at 0, 0 from -88.03 on, and less than it should be below -87.3; 2 ulp above -5, 3 above
// -30, 6 at the end.
NACRE_INLINE Vec exp_down(Vec x) { return exp_inside(max(set1(-88.03f), x)); }

// A vector whose lanes beyond n hold `rest`.
NACRE_INLINE Vec load_or(const float* p, i64 n, float rest) {
  return n >= kLanes ? load(p) : select(first_lanes(n), load(p, n), set1(rest));
}

// In the order in which exp_shifted finds it, so that NaN and signs of zeros do not depend on who found it.
NACRE_INLINE float row_max(const float* x, i64 n) {
  Vec high = set1(-kInf), higher = high;
  i64 i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    NACRE_UNROLL
    for (int k = 0; k < 4; k += 2) {
      high = max(high, load(x + i + k * kLanes));
      higher = max(higher, load(x + i + (k + 1) * kLanes));
    }
  }
  for (; i < n; i += kLanes) high = max(high, load_or(x + i, n - i, -kInf));
  return reduce_max(max(high, higher));
}

// What goes along three rows at once: y = exp(x - top) (unless only its sum is wanted), the largest number of the next row,
// and the row before times its factor, so that no row waits for what it depends on.
struct Rows {
  const float* x;
  float top;
  float* y;
  const float* next;
  float next_top;
  float* before;
  float factor;
};
template <bool keep, bool scaled>
float exp_shifted(Rows& rows, i64 n) {
  const Vec shift = set1(rows.top), factor = set1(rows.factor);
  const float *x = rows.x, *next = rows.next;
  float *y = rows.y, *before = rows.before;
  Vec high = set1(-kInf), higher = high;
  const i64 ahead = min_of(n, kAhead);
  double total = 0;
  for (i64 from = 0; from < n; from += kBlock) {
    const i64 end = min_of(n, from + kBlock);
    Vec a = zero(), b = zero();
    i64 i = from;
    for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
      Vec v[4];
      for (i64 at = 0; at < 4 * kLanes; at += 16) {  // a line of what comes, and of where it goes
        prefetch(next + i + ahead + at);
        if (keep) prefetch(y + i + ahead + at);
      }
      NACRE_UNROLL
      for (int k = 0; k < 4; ++k) v[k] = exp_down(load(x + i + k * kLanes) - shift);
      NACRE_UNROLL
      for (int k = 0; k < 4; k += 2) {
        high = max(high, load(next + i + k * kLanes));
        higher = max(higher, load(next + i + (k + 1) * kLanes));
      }
      NACRE_UNROLL
      for (int k = 0; k < 4; ++k) {
        if (keep) store(y + i + k * kLanes, v[k]);
        if (scaled) store(before + i + k * kLanes, load(before + i + k * kLanes) * factor);
      }
      a += v[0] + v[1];
      b += v[2] + v[3];
    }
    for (; i < end; i += kLanes) {
      const Vec p = exp_down(load_or(x + i, end - i, -kInf) - shift);
      high = max(high, load_or(next + i, end - i, -kInf));
      if (keep) store(y + i, p, end - i);
      if (scaled) store(before + i, load(before + i, end - i) * factor, end - i);
      a += select(first_lanes(end - i), p);
    }
    total += static_cast<double>(reduce_add(a + b));
  }
  rows.next_top = reduce_max(max(high, higher));
  return static_cast<float>(total);
}

template <class F>
NACRE_INLINE void map_row(float* y, i64 n, F f) {
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, f(i, kLanes));
  if (i < n) store(y + i, f(i, n - i), n - i);
}

// Up to kLanes rows of N <= kTurned numbers and their columns: lane l of t[n] is x[l, n]. Whole vectors are read and written
// as far as the rows reach; what goes beyond a row is written by the next one, or by blocks of columns further left.
NACRE_INLINE void load_columns(const float* x, i64 rows, i64 N, Vec* t) {
  for (i64 c = 0; c < N; c += kLanes) {
    Vec v[kLanes];
    NACRE_UNROLL
    for (i64 l = 0; l < kLanes; ++l) {
      const i64 at = l * N + c;
      v[l] = zero();
      if (at + kLanes <= rows * N) v[l] = load(x + at);
      else if (l < rows) v[l] = load(x + at, N - c);
    }
    transpose(v);
    NACRE_UNROLL
    for (i64 l = 0; l < kLanes; ++l) t[c + l] = v[l];
  }
}
NACRE_INLINE void store_columns(float* y, i64 rows, i64 N, const Vec* t) {
  for (i64 c = (N - 1) / kLanes * kLanes; c >= 0; c -= kLanes) {
    Vec v[kLanes];
    NACRE_UNROLL
    for (i64 l = 0; l < kLanes; ++l) v[l] = t[c + l];
    transpose(v);
    NACRE_UNROLL
    for (i64 l = 0; l < kLanes; ++l) {
      const i64 at = l * N + c;
      if (at + kLanes <= rows * N) store(y + at, v[l]);
      else if (l < rows) store(y + at, v[l], N - c);
    }
  }
}

// Rows [begin, end) of N <= kTurned numbers: f(columns of x, first row, rows) makes columns of y of them. Groups of kLanes
// rows start at multiples of kLanes within a unit.
template <class F>
NACRE_INLINE void by_columns(i64 N, i64 begin, i64 end, const float* x, float* y, F f) {
  Vec t[kTurned];
  for (i64 m = begin; m < end; m += kLanes) {
    const i64 rows = min_of(kLanes, end - m);
    load_columns(x + m * N, rows, N, t);
    f(t, m, rows);
    store_columns(y + m * N, rows, N, t);
  }
}

// f(i, what from(i) loads, whether it is the last) for the vectors of a row of kLanes numbers or more. The last one ends with
// the row, and is loaded before f may overwrite what the one before it has in common with it.
template <class From, class F>
NACRE_INLINE void along_row(i64 N, From from, F f) {
  const i64 last = N - kLanes;
  const auto end = from(last);
  for (i64 i = 0; i < last; i += kLanes) f(i, from(i), No());
  f(last, end, Yes());
}
// The lanes of the last vector that are in no other one.
NACRE_INLINE Mask last_alone(i64 N) { return ~first_lanes(ceil_div(N, kLanes) * kLanes - N); }

// Lane l: what `of(l)`, a vector, becomes when `fold` joins its lanes.
template <class Of, class F>
NACRE_INLINE Vec fold_each(i64 rows, Of of, F f) {
  Vec v[kLanes];
  for (i64 l = 0; l < rows; ++l) v[l] = of(l);
  for (i64 l = rows; l < kLanes; ++l) v[l] = zero();
  return fold_rows(v, f);
}

NACRE_INLINE Vec row_tops(const float* x, i64 rows, i64 N) {
  Vec top[1];
  fold_group(
      rows, N, set1(-kInf), Max(),
      [=](i64 l, i64 i, i64 n, Vec(&high)[1])
          __attribute__((always_inline)) { high[0] = max(high[0], load_n(x + l * N + i, n)); },
      top);
  return top[0];
}

// The sums of exp(x - top), and where they are wanted these in y; asks for the next group's rows, if that is of use.
template <bool keep, bool ahead>
NACRE_INLINE Vec exp_rows(const float* x, i64 rows, i64 N, Vec tops, float* y) {
  float top[kLanes];
  store(top, tops);
  const Mask alone = last_alone(N);
  return fold_each(
      rows,
      [&](i64 l) __attribute__((always_inline)) {
        const Vec shift = set1(top[l]);
        Vec sum = zero();
        along_row(
            N, [=](i64 i) __attribute__((always_inline)) { return load(x + l * N + i); },
            [&](i64 i, Vec v, auto last) __attribute__((always_inline)) {
              const Vec e = exp_down(v - shift);
              sum += last ? select(alone, e) : e;
              if (keep) store(y + l * N + i, e);
              if (ahead) prefetch(x + (l + kLanes) * N + i);
              if (ahead && keep) prefetch(y + (l + kLanes) * N + i);
            });
        return sum;
      },
      Add());
}

// The same without sums, along a group as one run.
NACRE_INLINE void exp_along(const RowOf& r, const float* x, i64 rows, Vec tops, float* e, const float* y) {
  float top[kLanes];
  store(top, tops);
  along_group(
      r, rows, [=](i64 i, i64, i64 n) __attribute__((always_inline)) { return load_n(x + i, n); },
      [&, next = kLanes * r.N](i64 i, i64, i64, Vec v, auto of) __attribute__((always_inline)) {
        store(e + i, exp_down(v - of(top)));
        prefetch(x + next + i);
        prefetch(y + next + i);
      });
}
NACRE_INLINE Vec row_sums(const float* e, i64 rows, i64 N) {
  Vec sums[1];
  fold_group(
      rows, N, zero(), Add(),
      [=](i64 l, i64 i, i64, Vec(&sum)[1]) __attribute__((always_inline)) { sum[0] += load(e + l * N + i); }, sums);
  return sums[0];
}

// Rows of some units. Where there is a `loss`, it holds the logit of each row's label and becomes the cross-entropy.
template <bool logarithm>
__attribute__((noinline)) void all_rows(i64 N, i64 M, Slice units, const float* x, float* y, float* loss) {
  const auto done = [=](i64 m, i64 rows, Vec tops, Vec sums) __attribute__((always_inline)) {
    if (!logarithm && loss) store(loss + m, log(sums) - (load(loss + m, rows) - tops), rows);
  };
  const i64 per = rows_per_unit(N);
  const i64 begin = units.begin * per, end = min_of(units.end * per, M);
  if (N <= kTurned) {
    by_columns(N, begin, end, x, y, [&](Vec* t, i64 m, i64 rows) __attribute__((always_inline)) {
      Vec top = t[0], sum = zero();
      for (i64 n = 1; n < N; ++n) top = max(top, t[n]);
      for (i64 n = 0; n < N; ++n) {
        const Vec e = exp_down(t[n] - top);
        sum += e;
        if (!logarithm) t[n] = e;
      }
      const Vec factor = set1(1.0f) / sum, shift = logarithm ? log(sum) : zero();
      for (i64 n = 0; n < N; ++n) t[n] = logarithm ? t[n] - top - shift : t[n] * factor;
      done(m, rows, top, sum);
    });
    return;
  }
  if (N <= kTogether) {
    Vec tops = zero(), sums = zero();
    alignas(64) float e[kLongestFlat * kLanes];
    const RowOf r(N);
    in_groups(
        begin, end, [&](i64 m, i64 rows) __attribute__((always_inline)) { return row_tops(x + m * N, rows, N); },
        [&](i64 m, i64 rows, Vec found) __attribute__((always_inline)) {
          tops = found;
          if (r.flat) exp_along(r, x + m * N, rows, tops, e, y + m * N);
          else if (N > 4 * kLanes) sums = exp_rows<!logarithm, true>(x + m * N, rows, N, tops, y + m * N);
          else sums = exp_rows<!logarithm, false>(x + m * N, rows, N, tops, y + m * N);
        },
        [&](i64 m, i64 rows) __attribute__((always_inline)) {
          if (r.flat) sums = row_sums(e, rows, N);
          float top[kLanes], last[kLanes];
          store(top, tops);
          store(last, logarithm ? log(sums) : set1(1.0f) / sums);
          const float* from = logarithm ? x + m * N : r.flat ? e : y + m * N;
          along_group(
              r, rows, [=](i64 i, i64, i64 n) __attribute__((always_inline)) { return load_n(from + i, n); },
              [&, to = y + m * N](i64 i, i64, i64 n, Vec v, auto of) __attribute__((always_inline)) {
                store_n(to + i, logarithm ? v - of(top) - of(last) : v * of(last), n);
              });
          done(m, rows, tops, sums);
        });
    return;
  }
  Rows rows{};
  if (begin < end) rows.next_top = row_max(x + begin * N, N);
  for (i64 m = begin; m < end; ++m) {
    rows.x = x + m * N;
    rows.y = y + m * N;
    rows.top = rows.next_top;
    rows.next = m + 1 < end ? rows.x + N : rows.x;
    constexpr bool keep = !logarithm;
    const float sum = rows.before ? exp_shifted<keep, keep>(rows, N) : exp_shifted<keep, false>(rows, N);
    if (logarithm) {
      const Vec high = set1(rows.top), shift = set1(log_of(sum));
      map_row(rows.y, N,
              [=, x = rows.x](i64 i, i64 n) __attribute__((always_inline)) { return load_n(x + i, n) - high - shift; });
    } else {
      rows.before = rows.y;
      rows.factor = 1.0f / sum;
    }
    done(m, 1, set1(rows.top), set1(sum));
  }
  if (rows.before) {
    map_row(rows.before, N, [y = rows.before, factor = set1(rows.factor)](i64 i, i64 n) __attribute__((always_inline)) {
      return load_n(y + i, n) * factor;
    });
  }
}

// sum of a*b (or of b alone) over n, in float64 across blocks.
template <bool product>
NACRE_INLINE float dot(const float* a, const float* b, i64 n) {
  double total = 0;
  for (i64 from = 0; from < n; from += kBlock) {
    const i64 end = min_of(n, from + kBlock);
    Vec p = zero(), q = zero();
    i64 i = from;
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
      p = product ? fma(load(a + i), load(b + i), p) : p + load(b + i);
      q = product ? fma(load(a + i + kLanes), load(b + i + kLanes), q) : q + load(b + i + kLanes);
    }
    for (; i < end; i += kLanes) {
      const i64 left = end - i;
      p = product ? fma(load(a + i, left), load(b + i, left), p) : p + load(b + i, left);
    }
    total += static_cast<double>(reduce_add(p + q));
  }
  return static_cast<float>(total);
}

// dx = f(y, dy, sum of what add(y, dy, so far) adds over the row) for rows of up to kGradTogether or kTogether / 2 numbers.
template <class Sum, class F>
NACRE_INLINE void grad_groups(i64 N, i64 begin, i64 end, const float* y, const float* dy, float* dx, Sum add, F f) {
  if (N == 0) return;
  float sum[kLanes];
  const RowOf r(N);
  in_groups(
      begin, end,
      [&](i64 m, i64 rows) __attribute__((always_inline)) {
        Vec sums[1];
        const float *y_m = y + m * N, *dy_m = dy + m * N;
        fold_group(
            rows, N, zero(), Add(),
            [=](i64 l, i64 i, i64 n, Vec(&so_far)[1]) __attribute__((always_inline)) {
              so_far[0] = add(load_n(y_m + l * N + i, n), load_n(dy_m + l * N + i, n), so_far[0]);
            },
            sums);
        return sums[0];
      },
      [&](i64, i64, Vec sums) __attribute__((always_inline)) { store(sum, sums); },
      [&](i64 m, i64 rows) __attribute__((always_inline)) {
        const float *y_m = y + m * N, *dy_m = dy + m * N;
        along_group(
            r, rows,
            [=](i64 i, i64, i64 n)
                __attribute__((always_inline)) { return Two{load_n(y_m + i, n), load_n(dy_m + i, n)}; },
            [&, to = dx + m * N](i64 i, i64, i64 n, Two v, auto of)
                __attribute__((always_inline)) { store_n(to + i, f(v.a, v.b, of(sum)), n); });
      });
}

// Of an element: exp_down is 17, the largest number, the difference, the sum and the factor are 4.
constexpr double kForwardFlops = 21, kGradFlops = 4;

Facts rows_facts(const RowsShape& s, int operands, double flops) {
  Facts f;
  if (s.M < 0 || s.N < 0) f.error = "M and N must not be negative";
  else if (!product_fits(s.M, s.N)) f.error = "the number of elements overflows";
  if (f.error) return f;
  for (int i = 0; i < operands; ++i) f.extent[i] = Count(s.M) * Count(s.N);
  if (s.N > 0) f.units = ceil_div(s.M, rows_per_unit(s.N));
  f.flops = flops * static_cast<double>(s.M) * static_cast<double>(s.N);
  return f;
}

}  // namespace

Facts softmax_facts(const RowsShape& s) { return rows_facts(s, 2, kForwardFlops); }
Facts softmax_grad_x_facts(const RowsShape& s) { return rows_facts(s, 3, kGradFlops); }
Facts log_softmax_facts(const RowsShape& s) { return rows_facts(s, 2, kForwardFlops); }
Facts log_softmax_grad_x_facts(const RowsShape& s) { return rows_facts(s, 3, kForwardFlops); }

void softmax(const RowsShape& s, Slice units, const float* x, float* y) {
  all_rows<false>(s.N, s.M, units, x, y, nullptr);
}

void log_softmax(const RowsShape& s, Slice units, const float* x, float* y) {
  all_rows<true>(s.N, s.M, units, x, y, nullptr);
}

void softmax_grad_x(const RowsShape& s, Slice units, const float* y, const float* dy, float* dx) {
  const i64 per = rows_per_unit(s.N), end = min_of(units.end * per, s.M), N = s.N;
  if (N <= kGradTogether) {
    return grad_groups(
        N, units.begin * per, end, y, dy, dx,
        [](Vec p, Vec d, Vec sum) __attribute__((always_inline)) { return fma(p, d, sum); },
        [](Vec p, Vec d, Vec inner) __attribute__((always_inline)) { return p * (d - inner); });
  }
  for (i64 m = units.begin * per; m < end; ++m) {
    const float *y_m = y + m * s.N, *dy_m = dy + m * s.N;
    const Vec inner = set1(dot<true>(y_m, dy_m, s.N));
    map_row(dx + m * s.N, s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      return load_n(y_m + i, n) * (load_n(dy_m + i, n) - inner);
    });
  }
}

void log_softmax_grad_x(const RowsShape& s, Slice units, const float* y, const float* dy, float* dx) {
  const i64 per = rows_per_unit(s.N), end = min_of(units.end * per, s.M), N = s.N;
  if (N <= kTogether / 2) {
    return grad_groups(
        N, units.begin * per, end, y, dy, dx,
        [](Vec, Vec d, Vec sum) __attribute__((always_inline)) { return sum + d; },
        [](Vec p, Vec d, Vec total) __attribute__((always_inline)) { return fnma(exp(p), total, d); });
  }
  for (i64 m = units.begin * per; m < end; ++m) {
    const float *y_m = y + m * s.N, *dy_m = dy + m * s.N;
    const Vec total = set1(dot<false>(dy_m, dy_m, s.N));
    map_row(dx + m * s.N, s.N, [&](i64 i, i64 n) __attribute__((always_inline)) {
      return fnma(exp(load_n(y_m + i, n)), total, load_n(dy_m + i, n));
    });
  }
}

namespace {

// The class of row m, or -1 when there is none of that number.
NACRE_INLINE i64 label_of(const XentShape& s, const void* labels, i64 m) {
  i64 label;
  switch (static_cast<DType>(s.label_dtype)) {
    case DType::f32: {
      const float v = as<float>(labels)[m];
      label = v >= 0 ? to<i64>(v) : -1;
      break;
    }
    case DType::i32: label = as<i32>(labels)[m]; break;
    case DType::i64: label = as<i64>(labels)[m]; break;
    default: label = as<u8>(labels)[m]; break;
  }
  return label >= 0 && label < s.N ? label : -1;
}

Facts xent_facts(const XentShape& s, bool gradient) {
  Facts f = rows_facts(RowsShape{s.M, s.N}, 0, gradient ? 2 : kForwardFlops);
  const DType t = static_cast<DType>(s.label_dtype);
  if (!f.error && t != DType::f32 && t != DType::i32 && t != DType::i64 && t != DType::u8)
    f.error = "label_dtype must be float32, int32, int64 or uint8";
  if (!f.error && s.N < 1) f.error = "N must be positive";
  if (f.error) return f;
  f.extent[0] = Count(s.M) * Count(s.N);
  f.extent[1] = Count(s.M) * Count(size_of(t));
  f.extent[2] = Count(s.M);
  f.extent[3] = f.extent[0];
  return f;
}

}  // namespace

Facts softmax_xent_facts(const XentShape& s) { return xent_facts(s, false); }
Facts softmax_xent_grad_facts(const XentShape& s) { return xent_facts(s, true); }

void softmax_xent(const XentShape& s, Slice units, const float* logits, const void* labels, float* loss, float* probs) {
  // First the logit of the label, since probs may overwrite it; then the rows.
  const i64 per = rows_per_unit(s.N), begin = units.begin * per, end = min_of(units.end * per, s.M);
  for (i64 m = begin; m < end; ++m) {
    const i64 label = label_of(s, labels, m);
    loss[m] = label >= 0 ? logits[m * s.N + label] : kNaN;
  }
  all_rows<false>(s.N, s.M, units, logits, probs, loss);
}

void softmax_xent_grad(const XentShape& s, Slice units, const float* probs, const void* labels, const float* dloss,
                       float* dlogits) {
  const i64 per = rows_per_unit(s.N), end = min_of(units.end * per, s.M);
  for (i64 m = units.begin * per; m < end; ++m) {
    const i64 label = label_of(s, labels, m);
    const float* p_m = probs + m * s.N;
    float* d_m = dlogits + m * s.N;
    if (label < 0) {
      for (i64 n = 0; n < s.N; ++n) d_m[n] = 0;
      continue;
    }
    const float hit = (p_m[label] - 1.0f) * dloss[m];
    const Vec factor = set1(dloss[m]);
    map_row(d_m, s.N, [&](i64 i, i64 n) __attribute__((always_inline)) { return load_n(p_m + i, n) * factor; });
    d_m[label] = hit;
  }
}

}  // namespace NACRE_ISA
}  // namespace nacre
