// CRC-32 as zip archives have it, and CRC-32C (Castagnoli's) as TensorFlow's records do, by carry-less multiplication.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nacre {

// Whether this CPU multiplies without carries. Where it does not, zlib is faster than what follows.
bool crc32_is_fast();

// The CRC-32 of bytes whose own is `crc` (0: of none) and `n` more behind them.
std::uint32_t crc32(const unsigned char* bytes, std::size_t n, std::uint32_t crc);

// The same of CRC-32C, on any CPU.
std::uint32_t crc32c(const unsigned char* bytes, std::size_t n, std::uint32_t crc);

}  // namespace nacre
