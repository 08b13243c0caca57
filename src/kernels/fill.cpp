#include "kernels/fill.h"

#include <cstring>

namespace nacre {
namespace NACRE_ISA {
namespace {

constexpr i64 kChunk = 32768;  // elements or bytes in a unit: about 2 us

template <class T>
void fill_as(const FillShape& s, Slice chunks, void* y) {
  T* const out = static_cast<T*>(y);
  const T value = static_cast<T>(s.value);
  const i64 end = min_of(chunks.end * kChunk, s.n);
  for (i64 i = chunks.begin * kChunk; i < end; ++i) out[i] = value;
}

// Whether C's conversion of the value to the dtype is defined.
bool representable(double v, i64 dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::i32: return v > -2147483649.0 && v < 2147483648.0;
    case DType::i64: return v >= -9223372036854775808.0 && v < 9223372036854775808.0;
    case DType::u8: return v > -1.0 && v < 256.0;
    default: return true;
  }
}

}  // namespace

Facts fill_facts(const FillShape& s) {
  Facts f;
  if (s.n < 0) f.error = "n must not be negative";
  if (size_of(static_cast<DType>(s.dtype)) == 0) f.error = "dtype is not a number of a dtype";
  if (!representable(s.value, s.dtype)) f.error = "value does not fit dtype";
  f.extent[0] = Count(s.n) * Count(size_of(static_cast<DType>(s.dtype)));
  if (!f.error) f.units = ceil_div(s.n, kChunk);
  return f;
}

void fill(const FillShape& s, Slice chunks, void* y) {
  switch (static_cast<DType>(s.dtype)) {
    case DType::f32: return fill_as<float>(s, chunks, y);
    case DType::f64: return fill_as<double>(s, chunks, y);
    case DType::i32: return fill_as<i32>(s, chunks, y);
    case DType::i64: return fill_as<i64>(s, chunks, y);
    case DType::u8: return fill_as<u8>(s, chunks, y);
    case DType::boolean: return fill_as<bool>(s, chunks, y);
    default: return;  // facts refused it
  }
}

Facts copy_bytes_facts(const CopyBytesShape& s) {
  Facts f;
  if (s.n < 0) f.error = "n must not be negative";
  f.extent[0] = Count(s.n);
  f.extent[1] = Count(s.n);
  if (!f.error) f.units = ceil_div(s.n, kChunk);
  return f;
}

void copy_bytes(const CopyBytesShape& s, Slice chunks, const void* x, void* y) {
  const i64 begin = chunks.begin * kChunk, end = min_of(chunks.end * kChunk, s.n);
  if (end > begin) {
    std::memcpy(static_cast<char*>(y) + begin, static_cast<const char*>(x) + begin,
                static_cast<std::size_t>(end - begin));
  }
}

}  // namespace NACRE_ISA
}  // namespace nacre
