"""The hashes by which Keras finds places for words: FarmHash's and SipHash's numbers of 64 bits.

Each is a fixed function of bytes, so that a place is the same in every process, and the same as Keras' own. Texts of
one length are hashed together, as rows of bytes; arithmetic is that of uint64, which wraps around.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nacre.layers.tokens import text_of

_Numbers = np.ndarray[Any, np.dtype[np.uint64]]
_Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_u64 = np.uint64
_K0, _K1, _K2 = _u64(0xC3A5C85C97CB3127), _u64(0xB492B66FBE98F273), _u64(0x9AE16A3B2F90404F)
_CROSS, _CROSS_START = _u64(0xC6A4A7935BD1E995), _u64(0xDECAFCAFFE)


def buckets(values: np.ndarray[Any, Any], places: int, salt: Any = None) -> np.ndarray[Any, Any]:
    """The places in [0, places) of texts or integers: by their FarmHash, or their SipHash with two integers as `salt`.

    >>> buckets(np.array(["omar"]), 2).tolist(), buckets(np.array(["omar"]), 2, salt=[133, 137]).tolist()
    ([0], [0])
    """
    hashes = fingerprints(values) if salt is None else siphashes(values, *salt)
    return (hashes % _u64(places)).astype(np.int64)


def fingerprints(values: np.ndarray[Any, Any]) -> _Numbers:
    """FarmHash's Fingerprint64 of texts, or of integers as texts, in the shape of `values`.

    >>> fingerprints(np.array([b""])).tolist()
    [11160318154034397263]
    """
    return _by_length(values, lambda text: _up_to_16(text) if text.shape[1] <= 16 else _longer_than_16(text))


def siphashes(values: np.ndarray[Any, Any], k0: int, k1: int) -> _Numbers:
    """SipHash-2-4 with the key (k0, k1) of texts, or of integers as texts, in the shape of `values`.

    >>> hex(siphashes(np.array([bytes(range(15))]), 0x0706050403020100, 0x0F0E0D0C0B0A0908)[0])
    '0xa129ca6149be45e5'
    """
    return _by_length(values, lambda text: _siphash(text, k0, k1))


def crossed(numbers: Sequence[_Numbers]) -> _Numbers:
    """The numbers of combinations: of fingerprints of strings, and of integers as they are."""
    result = np.full_like(numbers[0], _CROSS_START)
    for number in numbers:
        result = (result ^ _CROSS ^ _shifted(number * _CROSS) * _CROSS) * _CROSS
        result = _shifted(_shifted(result) * _CROSS)
    return result


def _by_length(values: np.ndarray[Any, Any], hash: Callable[[_Bytes], _Numbers]) -> _Numbers:
    rows, lengths = _rows(values.ravel())
    out = np.empty(len(rows), np.uint64)
    for n in np.unique(lengths).tolist():
        at = np.flatnonzero(lengths == n)
        out[at] = hash(rows[at, :n])
    return out.reshape(values.shape)


def _rows(values: np.ndarray[Any, Any]) -> tuple[_Bytes, np.ndarray[Any, Any]]:
    """Texts in UTF-8 as rows of bytes, and how many of each row there are."""
    if values.dtype.kind in "iu":
        values = values.astype("S21")
    if values.dtype.kind == "U" and values.size:
        codes = values.astype(values.dtype.newbyteorder("=")).view(np.uint32).reshape(len(values), -1)
        if codes.max() < 128:
            values = codes.astype(np.uint8).view(f"S{codes.shape[1]}")[:, 0]
    if values.dtype.kind == "S":
        rows = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), values.dtype.itemsize)
        there = rows[:, ::-1] != 0
        return rows, np.where(there.any(1), rows.shape[1] - there.argmax(1), 0)
    texts = [v if isinstance(v, bytes) else text_of(v).encode() for v in values.tolist()]
    lengths = np.array([len(t) for t in texts], np.int64)
    width = max(int(lengths.max(initial=0)), 1)
    return np.array(texts, f"S{width}").view(np.uint8).reshape(len(texts), width), lengths


def _word(text: _Bytes, at: int, size: int = 8) -> _Numbers:
    words: _Numbers = np.ascontiguousarray(text[:, at : at + size]).view(f"<u{size}")[:, 0].astype(np.uint64)
    return words


def _turned(x: _Numbers, by: int) -> _Numbers:
    return x >> _u64(by) | x << _u64(64 - by)


def _shifted(x: _Numbers) -> _Numbers:
    y: _Numbers = x ^ x >> _u64(47)
    return y


# --- FarmHash: Fingerprint64 --------------------------------------------------------------------------------------


def _joined(u: _Numbers, v: _Numbers, factor: Any) -> _Numbers:
    """Numbers of 64 bits from two each."""
    a = _shifted((u ^ v) * factor)
    b: _Numbers = _shifted((v ^ a) * factor) * factor
    return b


def _up_to_16(text: _Bytes) -> _Numbers:
    n = text.shape[1]
    factor = _K2 + _u64(2 * n)
    if n >= 8:
        a, b = _word(text, 0) + _K2, _word(text, n - 8)
        return _joined(_turned(b, 37) * factor + a, (_turned(a, 25) + b) * factor, factor)
    if n >= 4:
        return _joined((_word(text, 0, 4) << _u64(3)) + _u64(n), _word(text, n - 4, 4), factor)
    if n:
        first, middle, last = (_word(text, at, 1) for at in (0, n // 2, n - 1))
        y, z = first + (middle << _u64(8)), (last << _u64(2)) + _u64(n)
        return _shifted(y * _K2 ^ z * _K0) * _K2
    return np.full(len(text), _K2)


def _longer_than_16(text: _Bytes) -> _Numbers:
    n = text.shape[1]
    if n > 64:
        return _longer_than_64(text)
    factor = _K2 + _u64(2 * n)
    a, b = _word(text, 0) * (_K1 if n <= 32 else _K2), _word(text, 8)
    c, d = _word(text, n - 8) * factor, _word(text, n - 16) * _K2
    y = _turned(a + b, 43) + _turned(c, 30) + d
    z = _joined(y, a + _turned(b + _K2, 18) + c, factor)
    if n <= 32:
        return z
    e, f = _word(text, 16) * factor, _word(text, 24)
    g, h = (y + _word(text, n - 32)) * factor, (z + _word(text, n - 24)) * factor
    return _joined(_turned(e + f, 43) + _turned(g, 30) + h, e + _turned(f + a, 18) + g, factor)


def _of_32(text: _Bytes, at: int, a: _Numbers, b: _Numbers) -> tuple[_Numbers, _Numbers]:
    w, x, y, z = (_word(text, at + 8 * i) for i in range(4))
    a = a + w
    b = _turned(b + a + z, 21)
    c = a
    a = a + x + y
    return a + z, b + _turned(a, 44) + c


def _longer_than_64(text: _Bytes) -> _Numbers:
    """Blocks of 64 bytes; the last one reaches back so that it is whole."""
    zero = np.zeros(len(text), np.uint64)
    x = zero + _u64(81)
    y = x * _K1 + _u64(113)
    z = _shifted(y * _K2 + _u64(113)) * _K2
    v, w = (zero, zero), (zero, zero)
    x = x * _K2 + _word(text, 0)
    rest, end = (text.shape[1] - 1) % 64, text.shape[1] - 64
    weight: Any = _u64(1)
    factor: Any = _K1
    for at in (*range(0, end, 64), end):
        if at == end:
            weight, factor = _u64(9), _K1 + ((z & _u64(255)) << _u64(1))
            w = (w[0] + _u64(rest), w[1])
            v = (v[0] + w[0], v[1])
            w = (w[0] + v[0], w[1])
        x = _turned(x + y + v[0] + _word(text, at + 8), 37) * factor
        y = _turned(y + v[1] + _word(text, at + 48), 42) * factor
        x = x ^ w[1] * weight
        y = y + v[0] * weight + _word(text, at + 40)
        z = _turned(z + w[0], 33) * factor
        v = _of_32(text, at, v[1] * factor, x + w[0])
        w = _of_32(text, at + 32, z + w[1], y + _word(text, at + 16))
        x, z = z, x
    low = _joined(v[0], w[0], factor) + _shifted(y) * _K0 + z
    return _joined(low, _joined(v[1], w[1], factor) + x, factor)


# --- SipHash-2-4 --------------------------------------------------------------------------------------------------


def _siphash(text: _Bytes, k0: int, k1: int) -> _Numbers:
    keys = (k0, k1, k0, k1)
    start = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    state = [np.full(len(text), (key & (1 << 64) - 1) ^ number, np.uint64) for key, number in zip(keys, start)]
    n = text.shape[1]
    padded = np.zeros((len(text), n // 8 * 8 + 8), np.uint8)
    padded[:, :n] = text
    padded[:, -1] = n & 255
    for at in range(0, padded.shape[1], 8):
        word = _word(padded, at)
        state[3] = state[3] ^ word
        _rounds(state, 2)
        state[0] = state[0] ^ word
    state[2] = state[2] ^ _u64(255)
    _rounds(state, 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _rounds(state: list[_Numbers], count: int) -> None:
    a, b, c, d = state
    for _ in range(count):
        a, c = a + b, c + d
        b, d = _turned(b, 51) ^ a, _turned(d, 48) ^ c
        a = _turned(a, 32)
        c, a = c + b, a + d
        b, d = _turned(b, 47) ^ c, _turned(d, 43) ^ a
        c = _turned(c, 32)
    state[:] = a, b, c, d
