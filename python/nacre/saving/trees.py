"""The trees of newer HDF5 files, which find names and chunks. A tree says what it holds, and so does what refers to it;
where they differ, the HDF5 library takes one kind of record for another, and reads out of its memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_TREE, _HEAP = b"BTHD", b"FRHP"
# Kinds of records.
_IN_HEAP = (1, 2, 3, 4)  # what is too long for the heap
_LINKS, _ATTRIBUTES = (5, 6), (8, 9)  # by name, by age
_CHUNKS = (10, 11)  # without and with filters
_LONGEST = 320  # bytes of a reference
# References: a message about links or attributes with its length, from a header of either version; how chunks are laid
# out; a heap. A match takes up nothing, for what comes before may look like another.
_REFERENCES = re.compile(
    rb"(?=(?P<names>[\x02\x15])\x00?[\x12-\x28]\x00()"
    rb"|[\x04\x05]\x02[\x00-\x03](?P<sizes>[\x01-\x21][\x01-\x08])|(?P<heap>FRHP\x00))"
)


class Trees:
    """What refers to trees in a file of which `at(place, size)` gives bytes; `first` is the place that is called 0."""

    def __init__(self, at: Callable[[int, int], bytes], first: int) -> None:
        self._at, self._first = at, first
        self._unseen: list[tuple[int, int]] = []
        self._any = False

    def look(self, place: int, data: bytes) -> None:
        """Takes note that `data` was read at `place`. Raises ValueError where that refers to a tree of another kind."""
        self._unseen.append((place, len(data)))
        self._any = self._any or _TREE in data
        while self._any and self._unseen:  # most files have no such tree, and are not searched
            place, size = self._unseen.pop()
            start = max(place - _LONGEST, 0)
            around = self._at(start, place - start + size + _LONGEST)
            for tree, kinds in self._references(around):
                header = self._at(tree, 6)
                if header[:4] == _TREE and header[5] not in kinds:
                    raise ValueError(f"the tree at {tree} has records of kind {header[5]}, expected {kinds}")

    def _references(self, data: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Where trees should be, and of which kinds."""
        for found in _REFERENCES.finditer(data):
            if found["heap"]:
                yield self._place(data, found.start() + 22), _IN_HEAP
            elif found["sizes"]:
                dimensions, width = found["sizes"]
                index = found.start() + 5 + dimensions * width
                if data[index : index + 1] == b"\5":
                    yield self._place(data, index + 7), _CHUNKS
            else:
                kinds, counter = (_LINKS, 8) if found["names"] == b"\2" else (_ATTRIBUTES, 2)
                for gap in (1, 3, 4):  # flags; with a number; in a header of version 1
                    body = data[found.end(2) + gap :][:36]
                    heap = 2 + counter * (body[1] & 1) if len(body) > 1 else 0
                    if heap and self._at(self._place(body, heap), 4) == _HEAP:
                        yield self._place(body, heap + 8), kinds[:1]
                        if body[1] & 2:
                            yield self._place(body, heap + 16), kinds[1:]

    def _place(self, data: bytes, at: int) -> int:
        return int.from_bytes(data[at : at + 8], "little") + self._first
