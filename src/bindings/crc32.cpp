// The bits of a message are the coefficients of a polynomial over GF(2), the first bit of a byte being its lowest. Its
// CRC is the remainder by P: x^32 + x^26 + ... + 1 for zip archives, Castagnoli's for CRC-32C. A block of 128 bits that
// stands d bits in front of another is worth its two halves times powers of x (mod P) in the place of that other: so a
// long message is folded into four blocks, these into one, and the table takes what is left. (V. Gopal et al., Fast CRC
// Computation for Generic Polynomials Using PCLMULQDQ Instruction, Intel 2009.)
#include "bindings/crc32.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace nacre {
namespace {

// P without x^32, lowest bit first.
constexpr std::uint32_t kZip = 0xedb88320, kCastagnoli = 0x82f63b78;

// x * r mod P.
template <std::uint32_t P>
constexpr std::uint32_t times_x(std::uint32_t r) {
  return (r >> 1) ^ ((r & 1) ? P : 0);
}

template <std::uint32_t P>
constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t r = i;
    for (int bit = 0; bit < 8; ++bit) r = times_x<P>(r);
    table[i] = r;
  }
  return table;
}

template <std::uint32_t P>
constexpr std::array<std::uint32_t, 256> kTable = make_table<P>();

template <std::uint32_t P>
std::uint32_t by_table(std::uint32_t crc, const unsigned char* bytes, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) crc = kTable<P>[(crc ^ bytes[i]) & 255] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)

// x^n mod P, where the product of two 64-bit halves wants it: one bit up, because that product has 127 bits, not 128.
template <std::uint32_t P>
constexpr long long power(int n) {
  std::uint32_t r = 0x80000000;  // 1
  for (int i = 0; i < n; ++i) r = times_x<P>(r);
  return static_cast<long long>(static_cast<std::uint64_t>(r) << 1);
}

// `block` carried over `distance` bits, plus `next`.
template <std::uint32_t P, int distance>
__attribute__((target("pclmul,sse2"))) inline __m128i fold(__m128i block, __m128i next) {
  constexpr long long low = power<P>(distance + 32), high = power<P>(distance - 32);
  const __m128i by = _mm_set_epi64x(high, low);
  return _mm_xor_si128(next,
                       _mm_xor_si128(_mm_clmulepi64_si128(block, by, 0x00), _mm_clmulepi64_si128(block, by, 0x11)));
}

inline __m128i load(const unsigned char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

template <std::uint32_t P>
__attribute__((target("pclmul,sse2"))) std::uint32_t by_folding(std::uint32_t crc, const unsigned char* bytes,
                                                                std::size_t n) {
  __m128i a = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128(static_cast<int>(crc))), b = load(bytes + 16);
  __m128i c = load(bytes + 32), d = load(bytes + 48);
  std::size_t i = 64;
  for (; i + 64 <= n; i += 64) {
    a = fold<P, 512>(a, load(bytes + i));
    b = fold<P, 512>(b, load(bytes + i + 16));
    c = fold<P, 512>(c, load(bytes + i + 32));
    d = fold<P, 512>(d, load(bytes + i + 48));
  }
  a = fold<P, 128>(fold<P, 128>(fold<P, 128>(a, b), c), d);
  unsigned char left[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(left), a);
  return by_table<P>(by_table<P>(0, left, sizeof left), bytes + i, n - i);
}

#endif

}  // namespace

#if defined(__x86_64__)

bool crc32_is_fast() { return __builtin_cpu_supports("pclmul"); }

std::uint32_t crc32(const unsigned char* bytes, std::size_t n, std::uint32_t crc) {
  return ~(n < 64 ? by_table<kZip>(~crc, bytes, n) : by_folding<kZip>(~crc, bytes, n));
}

std::uint32_t crc32c(const unsigned char* bytes, std::size_t n, std::uint32_t crc) {
  const bool few = n < 64 || !crc32_is_fast();
  return ~(few ? by_table<kCastagnoli>(~crc, bytes, n) : by_folding<kCastagnoli>(~crc, bytes, n));
}

#else

bool crc32_is_fast() { return false; }

std::uint32_t crc32(const unsigned char* bytes, std::size_t n, std::uint32_t crc) {
  return ~by_table<kZip>(~crc, bytes, n);
}

std::uint32_t crc32c(const unsigned char* bytes, std::size_t n, std::uint32_t crc) {
  return ~by_table<kCastagnoli>(~crc, bytes, n);
}

#endif

}  // namespace nacre
