"""The hashes by which Keras finds places for words: FarmHash's and SipHash's numbers of 64 bits.

Each is a fixed function of bytes, so that a place is the same in every process, and the same as Keras' own. Words come
again and again: those of late are remembered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

_BITS = (1 << 64) - 1
_REMEMBERED = 1 << 16
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_CROSS, _CROSS_START = 0xC6A4A7935BD1E995, 0xDECAFCAFFE


def bucket(text: bytes, places: int, salt: Any = None) -> int:
    """The place in [0, places) of `text`: of its FarmHash, or of its SipHash with two integers as `salt`.

    >>> bucket(b"omar", 2), bucket(b"omar", 2, salt=[133, 137])
    (0, 0)
    """
    return (fingerprint(text) if salt is None else siphash(text, *salt)) % places


# --- FarmHash: Fingerprint64 --------------------------------------------------------------------------------------


@functools.lru_cache(_REMEMBERED)
def fingerprint(text: bytes) -> int:
    """FarmHash's Fingerprint64.

    >>> fingerprint(b"")
    11160318154034397263
    """
    n = len(text)
    if n <= 16:
        return _up_to_16(text)
    if n <= 64:
        return _up_to_64(text)
    return _longer(text)


def _word(text: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(text[at : at + size], "little")


def _turned(x: int, by: int) -> int:
    x &= _BITS
    return (x >> by | x << (64 - by)) & _BITS


def _shifted(x: int) -> int:
    x &= _BITS
    return x ^ x >> 47


def _joined(u: int, v: int, factor: int) -> int:
    """A number of 64 bits from two."""
    a = _shifted((u ^ v) * factor)
    return _shifted((v ^ a) * factor) * factor & _BITS


def _up_to_16(text: bytes) -> int:
    n = len(text)
    factor = _K2 + 2 * n
    if n >= 8:
        a, b = _word(text, 0) + _K2 & _BITS, _word(text, n - 8)
        return _joined((_turned(b, 37) * factor + a) & _BITS, (_turned(a, 25) + b) * factor & _BITS, factor)
    if n >= 4:
        return _joined(n + (_word(text, 0, 4) << 3), _word(text, n - 4, 4), factor)
    if n:
        y, z = text[0] + (text[n // 2] << 8), n + (text[-1] << 2)
        return _shifted(y * _K2 ^ z * _K0) * _K2 & _BITS
    return _K2


def _up_to_64(text: bytes) -> int:
    n = len(text)
    factor = _K2 + 2 * n
    first = _K1 if n <= 32 else _K2
    a, b = _word(text, 0) * first & _BITS, _word(text, 8)
    c, d = _word(text, n - 8) * factor & _BITS, _word(text, n - 16) * _K2
    y = (_turned(a + b, 43) + _turned(c, 30) + d) & _BITS
    z = _joined(y, (a + _turned(b + _K2, 18) + c) & _BITS, factor)
    if n <= 32:
        return z
    e, f = _word(text, 16) * factor & _BITS, _word(text, 24)
    g, h = (y + _word(text, n - 32)) * factor, (z + _word(text, n - 24)) * factor
    u = (_turned(e + f, 43) + _turned(g, 30) + h) & _BITS
    return _joined(u, (e + _turned(f + a, 18) + g) & _BITS, factor)


def _of_32(text: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = (_word(text, at + 8 * i) for i in range(4))
    a += w
    b = _turned(b + a + z, 21)
    c = a
    a += x + y
    return a + z & _BITS, b + _turned(a, 44) + c & _BITS


def _longer(text: bytes) -> int:
    """Blocks of 64 bytes; the last one reaches back so that it is whole."""
    seed = 81
    x, y = seed, seed * _K1 + 113 & _BITS
    z = _shifted(y * _K2 + 113) * _K2 & _BITS
    v, w = (0, 0), (0, 0)
    x = x * _K2 + _word(text, 0) & _BITS
    rest, end = (len(text) - 1) % 64, len(text) - 64
    weight, factor = 1, _K1
    for at in (*range(0, end, 64), end):
        if at == end:
            weight, factor = 9, _K1 + ((z & 255) << 1)
            w = (w[0] + rest & _BITS, w[1])
            v = (v[0] + w[0] & _BITS, v[1])
            w = (w[0] + v[0] & _BITS, w[1])
        x = _turned(x + y + v[0] + _word(text, at + 8), 37) * factor & _BITS
        y = _turned(y + v[1] + _word(text, at + 48), 42) * factor & _BITS
        x ^= w[1] * weight & _BITS
        y = y + v[0] * weight + _word(text, at + 40) & _BITS
        z = _turned(z + w[0], 33) * factor & _BITS
        v = _of_32(text, at, v[1] * factor & _BITS, x + w[0])
        w = _of_32(text, at + 32, z + w[1], y + _word(text, at + 16))
        x, z = z, x
    low = _joined(v[0], w[0], factor) + _shifted(y) * _K0 + z
    return _joined(low & _BITS, _joined(v[1], w[1], factor) + x & _BITS, factor)


def crossed(numbers: Sequence[int]) -> int:
    """The number of a combination: of fingerprints of strings, and of integers as they are."""
    result = _CROSS_START
    for number in numbers:
        result = (result ^ _CROSS ^ _shifted(number * _CROSS) * _CROSS) * _CROSS & _BITS
        result = _shifted(_shifted(result) * _CROSS)
    return result


# --- SipHash-2-4 --------------------------------------------------------------------------------------------------


@functools.lru_cache(_REMEMBERED)
def siphash(text: bytes, k0: int, k1: int) -> int:
    """SipHash-2-4 with the key (k0, k1).

    >>> hex(siphash(bytes(range(15)), 0x0706050403020100, 0x0F0E0D0C0B0A0908))
    '0xa129ca6149be45e5'
    """
    k0, k1 = k0 & _BITS, k1 & _BITS
    state = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    whole = len(text) // 8 * 8
    words = [_word(text, at) for at in range(0, whole, 8)]
    for word in (*words, _word(text, whole) | (len(text) & 255) << 56):
        state[3] ^= word
        _rounds(state, 2)
        state[0] ^= word
    state[2] ^= 255
    _rounds(state, 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _rounds(state: list[int], count: int) -> None:
    a, b, c, d = state
    for _ in range(count):
        a, c = a + b & _BITS, c + d & _BITS
        b, d = _turned(b, 51) ^ a, _turned(d, 48) ^ c
        a = _turned(a, 32)
        c, a = c + b & _BITS, a + d & _BITS
        b, d = _turned(b, 47) ^ c, _turned(d, 43) ^ a
        c = _turned(c, 32)
    state[:] = a, b, c, d
