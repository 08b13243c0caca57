// CRC-32 as zip archives have it, by carry-less multiplication.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nacre {

// Whether this CPU multiplies without carries. Where it does not, zlib is faster than what follows.
bool crc32_is_fast();

// The CRC-32 of `n` bytes.
std::uint32_t crc32(const unsigned char* bytes, std::size_t n);

}  // namespace nacre
