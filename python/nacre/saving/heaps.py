"""The heaps of HDF5 files: where names and texts stand. Where they are damaged, the HDF5 library follows them without
end, or out of its memory; so they are followed here first."""

from __future__ import annotations

import os
import re
import struct
from typing import Any

from nacre.saving.trees import Trees

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_METADATA = 1 << 20  # bytes that the library reads at once of what is no array, at most
_HEAPS = re.compile(rb"HEAP\x00{4}|GCOL\x01\x00{3}")  # of the names in a group; of texts


class Followed:
    """The binary file `source` as the HDF5 library reads it. Raises ValueError at a damaged heap or tree."""

    stopped = False

    def __init__(self, source: Any) -> None:
        self._source = source
        self._known: set[int] = set()  # places from where there is an end
        self._end = source.seek(0, os.SEEK_END)
        self._first = 0  # where the file begins behind what its user put in front: at 0, 512, 1024, 2048, ...
        while (start := self._at(self._first, 8)) and start != _SIGNATURE:
            self._first = max(2 * self._first, 512)
        self._trees = Trees(self._at, self._first)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def stop(self, error: BaseException) -> None:
        """Nothing more is read."""
        self.stopped = True

    def readinto(self, buffer: Any) -> int:
        """Reads, and follows the heaps that begin in what was read, and what it refers to."""
        if self.stopped:
            raise OSError("reading was stopped")
        place = self._source.tell()
        n: int = self._source.readinto(buffer)
        if n <= _METADATA:
            data = bytes(buffer[:n])
            self._trees.look(place, data)
            for found in _HEAPS.finditer(data):
                start = place + found.start()
                (self._follow_gaps if found[0][:1] == b"H" else self._follow_texts)(start)
        return n

    def _at(self, place: int, size: int) -> bytes:
        self._source.seek(min(place, self._end))
        return self._source.read(size)  # type: ignore[no-any-return]

    def _follow_gaps(self, heap: int) -> None:
        """The gaps between names are a chain; in a circle, the library takes memory for each until there is none."""
        head = self._at(heap + 8, 24)
        if len(head) < 24:
            return
        size, gap, start = struct.unpack("<QQQ", head)
        start += self._first
        met: set[int] = set()
        while gap + 16 <= size and start + gap < self._end and start + gap not in self._known:
            if start + gap in met:
                raise ValueError(f"the gaps of the heap at {heap} lead in a circle")
            met.add(start + gap)
            gap = int.from_bytes(self._at(start + gap, 8), "little")
        self._known |= met

    def _follow_texts(self, heap: int) -> None:
        """Each text says how long it is; from one that is too long, the library goes on anywhere, or on the spot."""
        end = heap + int.from_bytes(self._at(heap + 8, 8), "little")
        if heap in self._known or end > self._end:  # which the library sees
            return
        place = heap + 16
        while place + 16 <= end:
            index, _, size = struct.unpack("<HHxxxxQ", self._at(place, 16))
            step = 16 + -(-size // 8) * 8 if index else size  # number 0 is what is free, its head included
            if not 16 <= step <= end - place:
                raise ValueError(f"the text at {place} is longer than the heap at {heap}")
            place += step
        self._known.add(heap)
