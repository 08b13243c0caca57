// strided_copy: dims are put in the order of y, merged where both sides allow it, and then one of three loops does the
// work: contiguous runs, square blocks of a transpose, or single elements.
#include "kernels/copy_run.h"
#include "kernels/movement.h"
#include "kernels/transpose_block.h"

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kUnitBytes = 64 * 1024;
constexpr i64 kBlock = 64;  // items on a side of a job of a transpose

struct Plan {
  i64 rank = 0, dims[9], in[9], out[9];  // by falling out stride; strides in items
  i64 itemsize;
  i64 in_base, out_base;  // bytes
  enum { kRuns, kBlocks, kSingles } how = kSingles;
  i64 flip;           // kBlocks: the dim that is contiguous in x
  i64 piece, pieces;  // kRuns, kSingles: items of the last dim per job; jobs per run of it
  i64 rows, groups;   // the same for the dim before it: a job is rows x piece
  i64 jobs, jobs_per_unit;
};

i64 size_of_stride(i64 v) { return v < 0 ? -v : v; }

// Only for fields that facts found possible, with at least one element.
Plan plan_of(const StridedCopyShape& s) {
  Plan p;
  i64 in_at = s.in_offset, out_at = s.out_offset;
  for (i64 d = 0; d < s.rank; ++d) {
    if (s.dims[d] == 1) continue;
    i64 in = s.in_strides[d], out = s.out_strides[d];
    if (out < 0) {  // the same elements, counted from the other end
      in_at += (s.dims[d] - 1) * in;
      out_at += (s.dims[d] - 1) * out;
      in = -in;
      out = -out;
    }
    i64 k = p.rank++;
    for (; k > 0 && p.out[k - 1] < out; --k) {
      p.dims[k] = p.dims[k - 1];
      p.in[k] = p.in[k - 1];
      p.out[k] = p.out[k - 1];
    }
    p.dims[k] = s.dims[d];
    p.in[k] = in;
    p.out[k] = out;
  }
  p.itemsize = s.itemsize;
  p.in_base = in_at * s.itemsize;
  p.out_base = out_at * s.itemsize;
  if (s.itemsize != 1 && s.itemsize != 2 && s.itemsize != 4 && s.itemsize != 8) {  // an odd size: a dim of bytes
    for (i64 k = 0; k < p.rank; ++k) {
      p.in[k] *= s.itemsize;
      p.out[k] *= s.itemsize;
    }
    p.dims[p.rank] = s.itemsize;
    p.in[p.rank] = p.out[p.rank] = 1;
    ++p.rank;
    p.itemsize = 1;
  }
  i64 merged = 0;
  for (i64 k = 1; k < p.rank; ++k) {
    if (p.in[merged] == p.in[k] * p.dims[k] && p.out[merged] == p.out[k] * p.dims[k]) {
      p.dims[merged] *= p.dims[k];
    } else {
      p.dims[++merged] = p.dims[k];
    }
    p.in[merged] = p.in[k];
    p.out[merged] = p.out[k];
  }
  p.rank = p.rank > 0 ? merged + 1 : 0;
  if (p.rank == 0) {
    p.rank = 1;
    p.dims[0] = p.in[0] = p.out[0] = 1;
  }
  const i64 last = p.rank - 1;
  i64 outer = 1;
  for (i64 k = 0; k < last; ++k) outer *= p.dims[k];
  p.flip = -1;
  for (i64 k = 0; k < last; ++k)
    if (p.in[k] == 1 && p.dims[k] >= 4) p.flip = k;
  if (p.in[last] == 1 && p.out[last] == 1) {
    p.how = Plan::kRuns;
  } else if (p.out[last] == 1 && p.flip >= 0 && p.dims[last] >= 4) {
    p.how = Plan::kBlocks;
    p.jobs = outer / p.dims[p.flip] * ceil_div(p.dims[p.flip], kBlock) * ceil_div(p.dims[last], kBlock);
    p.jobs_per_unit = max_of(1, kUnitBytes / (kBlock * kBlock * p.itemsize));
    return p;
  }
  p.piece = min_of(p.dims[last], kUnitBytes / p.itemsize);
  p.pieces = ceil_div(p.dims[last], p.piece);
  const i64 before = last > 0 ? p.dims[last - 1] : 1;
  p.rows = min_of(before, max_of(1, kUnitBytes / (p.piece * p.itemsize)));
  p.groups = ceil_div(before, p.rows);
  p.jobs = outer / before * p.groups * p.pieces;
  p.jobs_per_unit = max_of(1, kUnitBytes / (p.rows * p.piece * p.itemsize));
  return p;
}

template <class T>
void singles(const T* x, T* y, i64 n, i64 in, i64 out) {
  if (in == 0 && out == 1) {
    const T v = x[0];
    for (i64 i = 0; i < n; ++i) y[i] = v;
  } else {
    for (i64 i = 0; i < n; ++i) y[i * out] = x[i * in];
  }
}

// Runs of n items, such as the channels of pixels.
template <i64 n, class T>
void short_runs(const T* x, T* y, i64 rows, i64 in, i64 out) {
  for (i64 r = 0; r < rows; ++r, x += in, y += out) {
    T item[n];
    for (i64 i = 0; i < n; ++i) item[i] = x[i];
    for (i64 i = 0; i < n; ++i) y[i] = item[i];
  }
}

// y[r*out_step + i*out] = x[r*in_step + i*in], r < rows, i < n, if two halves of x take turns in y, as channels of two
// groups do, or the other way round.
template <class T>
bool woven(const T* x, T* y, i64 n, i64 rows, i64 in_step, i64 in, i64 out_step, i64 out) {
  if (sizeof(T) != 4 || in_step != 1 || out != 1) return false;
  if (n == 2 && out_step == 2) {
    NACRE_INDEPENDENT
    for (i64 r = 0; r < rows; ++r) {
      const T a = x[r], b = x[r + in];
      y[2 * r] = a;
      y[2 * r + 1] = b;
    }
    return true;
  }
  if (rows == 2 && in == 2) {
    NACRE_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const T a = x[2 * i], b = x[2 * i + 1];
      y[i] = a;
      y[i + out_step] = b;
    }
    return true;
  }
  return false;
}

// y[i*out + j] = x[i + j*in]: rows of y from columns of x.
template <class T>
void block(const T* x, T* y, i64 rows, i64 columns, i64 in, i64 out) {
  i64 i = 0;
  for (; i + 4 <= rows; i += 4) {  // four rows of y, so that a line of x is used while it is here
    const T* from = x + i;
    T *y0 = y + i * out, *y1 = y0 + out, *y2 = y1 + out, *y3 = y2 + out;
    for (i64 j = 0; j < columns; ++j, from += in) {
      const T a = from[0], b = from[1], c = from[2], d = from[3];
      y0[j] = a;
      y1[j] = b;
      y2[j] = c;
      y3[j] = d;
    }
  }
  for (; i < rows; ++i)
    for (i64 j = 0; j < columns; ++j) y[i * out + j] = x[i + j * in];
}

void block(const u32* x, u32* y, i64 rows, i64 columns, i64 in, i64 out) {
  const float* from = reinterpret_cast<const float*>(x);  // moved, never computed with
  float* to_ = reinterpret_cast<float*>(y);
  for (i64 j = 0; j < columns; j += kLanes)
    for (i64 i = 0; i < rows; i += kLanes)
      turn_square(from + i + j * in, to_ + i * out + j, min_of(kLanes, rows - i), min_of(kLanes, columns - j), in, out);
}

template <class T>
void move(const Plan& p, Slice units, const char* x_bytes, char* y_bytes) {
  const T* x = reinterpret_cast<const T*>(x_bytes + p.in_base);
  T* y = reinterpret_cast<T*>(y_bytes + p.out_base);
  const i64 last = p.rank - 1, end = min_of(units.end * p.jobs_per_unit, p.jobs);
  for (i64 job = units.begin * p.jobs_per_unit; job < end; ++job) {
    i64 rest = job, in = 0, out = 0;
    const auto locate = [&](i64 from, i64 but) {  // adds the place of `rest` among dims from, from-1, .. 0
      for (i64 k = from; k >= 0; --k) {
        if (k == but) continue;
        const i64 q = rest / p.dims[k], at = rest - q * p.dims[k];
        in += at * p.in[k];
        out += at * p.out[k];
        rest = q;
      }
    };
    if (p.how == Plan::kBlocks) {
      const i64 wide = ceil_div(p.dims[last], kBlock), high = ceil_div(p.dims[p.flip], kBlock);
      const Run columns = run_of(rest % wide, kBlock, p.dims[last]);
      rest /= wide;
      const Run rows = run_of(rest % high, kBlock, p.dims[p.flip]);
      rest /= high;
      locate(last - 1, p.flip);
      block(x + in + rows.begin + columns.begin * p.in[last], y + out + rows.begin * p.out[p.flip] + columns.begin,
            rows.end - rows.begin, columns.end - columns.begin, p.in[last], p.out[p.flip]);
      continue;
    }
    const Run run = run_of(rest % p.pieces, p.piece, p.dims[last]);
    rest /= p.pieces;
    Run rows{0, 1};
    i64 in_step = 0, out_step = 0;
    if (last > 0) {
      rows = run_of(rest % p.groups, p.rows, p.dims[last - 1]);
      rest /= p.groups;
      in_step = p.in[last - 1];
      out_step = p.out[last - 1];
      locate(last - 2, -1);
    }
    const i64 n = run.end - run.begin, in_last = p.in[last], out_last = p.out[last];
    const T* from = x + in + rows.begin * in_step + run.begin * in_last;
    T* to_ = y + out + rows.begin * out_step + run.begin * out_last;
    const i64 count = rows.end - rows.begin;
    if (p.how == Plan::kRuns && n == 2) {
      short_runs<2>(from, to_, count, in_step, out_step);
    } else if (p.how == Plan::kRuns && n == 3) {
      short_runs<3>(from, to_, count, in_step, out_step);
    } else if (p.how == Plan::kRuns && n == 4) {
      short_runs<4>(from, to_, count, in_step, out_step);
    } else if (p.how == Plan::kRuns) {
      for (i64 r = rows.begin; r < rows.end; ++r, from += in_step, to_ += out_step)
        copy_run(reinterpret_cast<char*>(to_), reinterpret_cast<const char*>(from), n * static_cast<i64>(sizeof(T)));
    } else if (!woven(from, to_, n, count, in_step, in_last, out_step, out_last)) {
      for (i64 r = rows.begin; r < rows.end; ++r, from += in_step, to_ += out_step)
        singles(from, to_, n, in_last, out_last);
    }
  }
}

// How far indices reach to either side of the offset; false when that overflows or leaves the buffer at its beginning.
bool reach(const i64* strides, const i64* dims, i64 rank, i64 offset, Count* extent) {
  Count below = 0, above = Count(offset) + Count(1);
  for (i64 d = 0; d < rank; ++d) {
    if (strides[d] < 0) below = below + Count(dims[d] - 1) * Count(strides[d] == INT64_MIN ? -1 : -strides[d]);
    else above = above + Count(dims[d] - 1) * Count(strides[d]);
  }
  *extent = above;
  return below.ok() && above.ok() && below.value() <= offset;
}

// Different elements go to different places: each stride is wider than all that the narrower ones span.
bool injective(const StridedCopyShape& s) {
  bool used[8] = {};
  i64 span = 0;
  for (i64 round = 0; round < s.rank; ++round) {
    i64 k = -1;
    for (i64 d = 0; d < s.rank; ++d)
      if (!used[d] && (k < 0 || size_of_stride(s.out_strides[d]) < size_of_stride(s.out_strides[k]))) k = d;
    used[k] = true;
    if (s.dims[k] == 1) continue;
    const i64 stride = size_of_stride(s.out_strides[k]);
    if (stride <= span) return false;
    span += stride * (s.dims[k] - 1);  // bounded by the extent, which did not overflow
  }
  return true;
}

}  // namespace

Facts strided_copy_facts(const StridedCopyShape& s) {
  Facts f;
  if (s.rank < 0 || s.rank > 8) f.error = "rank must be 0..8";
  else if (s.itemsize < 1 || s.itemsize > 16) f.error = "itemsize must be 1..16";
  else if (s.in_offset < 0 || s.out_offset < 0) f.error = "an offset is negative";
  if (f.error) return f;
  Count total = 1;
  bool empty = false;
  for (i64 d = 0; d < s.rank; ++d) {
    if (s.dims[d] < 0) f.error = "a dim is negative";
    empty = empty || s.dims[d] == 0;
    total = total * Count(max_of(s.dims[d], 1));
  }
  if (!f.error && !(total * Count(16)).ok()) f.error = "the number of elements overflows";
  if (f.error || empty) return f;
  Count in, out;
  if (!reach(s.in_strides, s.dims, s.rank, s.in_offset, &in)) f.error = "in_strides leave the input";
  else if (!reach(s.out_strides, s.dims, s.rank, s.out_offset, &out)) f.error = "out_strides leave the output";
  else if (!(in * Count(16)).ok() || !(out * Count(16)).ok()) f.error = "an extent overflows";
  else if (!injective(s)) f.error = "out_strides send two elements to one place";
  if (f.error) return f;
  f.extent[0] = in * Count(s.itemsize);
  f.extent[1] = out * Count(s.itemsize);
  const Plan p = plan_of(s);
  f.units = ceil_div(p.jobs, p.jobs_per_unit);
  return f;
}

void strided_copy(const StridedCopyShape& s, Slice units, const void* x, void* y) {
  if (units.begin >= units.end) return;  // also when there is no element at all
  const Plan p = plan_of(s);
  const char* from = as<char>(x);
  char* to_ = as<char>(y);
  switch (p.itemsize) {
    case 1: return move<u8>(p, units, from, to_);
    case 2: return move<std::uint16_t>(p, units, from, to_);
    case 4: return move<u32>(p, units, from, to_);
    default: return move<u64>(p, units, from, to_);
  }
}

}  // namespace NACRE_ISA
}  // namespace nacre
