"""Programs written word by word, as `src/runtime/program.h` describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MAGIC = int.from_bytes(b"NCREPRM1", "little")
ARENA, SLOT, CONSTANTS, ABSENT = range(4)


@dataclass
class Call:
    """One instruction: a kernel, its field words, and (space, index, offset) of each operand."""

    kernel: str
    fields: Sequence[int]
    operands: Sequence[tuple[int, int, int]]


@dataclass
class Words:
    """A program in pieces, so that a test can spoil one of them."""

    slots: Sequence[tuple[int, int]]  # bytes, flags
    calls: Sequence[Call]
    arena: int = 0
    constants: int = 0
    magic: int = MAGIC
    version: int = 1
    more: Sequence[int] = field(default_factory=tuple)

    def array(self) -> np.ndarray:
        names = sorted({c.kernel for c in self.calls})
        words = [self.magic, self.version, self.arena, self.constants, len(self.slots), len(names), len(self.calls)]
        for slot in self.slots:
            words += slot
        for name in names:
            raw = name.encode()
            words.append(len(raw))
            words += np.frombuffer(raw.ljust(-(-len(raw) // 8) * 8, b"\0"), np.int64).tolist()
        for call in self.calls:
            words += [names.index(call.kernel), len(call.fields), *call.fields, len(call.operands)]
            for operand in call.operands:
                words += operand
        return np.array([*words, *self.more], np.int64)


def copy(n: int, source: tuple[int, int, int], target: tuple[int, int, int]) -> Call:
    """target[:n] = source[:n], in bytes."""
    return Call("copy_bytes", [n], [source, target])


def bits(value: float) -> int:
    """The double's bits as a word."""
    return int(np.float64(value).view(np.int64))
