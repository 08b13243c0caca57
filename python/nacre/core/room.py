"""Whether a large array fits into memory, asked before it is made: later the system may end the process instead."""

from __future__ import annotations

import contextlib
import math

from nacre.core.spec import ITEMSIZE

_LARGE = 1 << 28  # bytes; smaller arrays are not worth the question (25 us)


def check_room(shape: tuple[int, ...], dtype: str, what: str) -> None:
    """Raises MemoryError when an array of that shape and dtype cannot be held; `what` is to have it."""
    check_bytes(ITEMSIZE[dtype] * math.prod(shape), f"{what} of shape {shape} ({dtype})")


def check_bytes(size: int, what: str) -> None:
    """Raises MemoryError when so many bytes cannot be held."""
    if size >= _LARGE and size > (free := _free()):
        raise MemoryError(f"{what} needs {_said(size)} of memory; {_said(free)} are free")


def _free() -> int:
    """Bytes that can be had, by the kernel's own estimate; what can be addressed at all where there is none."""
    found = {}
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo", "rb") as file:
        for line in file:
            name, _, rest = line.partition(b":")
            if name in (b"MemAvailable", b"SwapFree"):
                found[name] = 1024 * int(rest.split()[0])
    return sum(found.values()) if b"MemAvailable" in found else 1 << 47


def _said(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size < 2**60 else f"2^{size.bit_length() - 1} bytes"
