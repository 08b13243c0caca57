"""Instructions to memory: outputs over dying inputs where the kernel allows it, then offsets in one arena by
liveness."""

from __future__ import annotations

import bisect

from nacre.passes.lower import ARENA, Buffer, Instruction, Lowered, Operand, overwritable, schemas

ALIGN = 64  # bytes: a cache line, and what the widest vectors like
# Bytes between large buffers, which would else begin in the same sets of the caches where sizes are powers of two: an
# odd number of lines behind a page.
_LARGE, _APART = 1 << 18, 4096 + 9 * ALIGN
_FOREVER = 1 << 62
OWN = 2048  # bytes: smaller buffers share no memory, so that what uses them need not wait for what used others


def plan_memory(low: Lowered) -> int:
    """Gives every arena buffer its offset; returns the size of the arena in bytes."""
    _write_over_dying_inputs(low.instructions)
    return place(live_ranges(low.instructions))


def place(buffers: list[Buffer]) -> int:
    """Gives buffers whose lives are known their offsets, the largest first, each at the lowest gap among those that
    live at the same time; returns the size of them all."""
    placed: list[tuple[int, int, int, int]] = []  # offset, where the next may begin, first and last instruction
    size = 0
    for b in sorted(buffers, key=lambda b: -b.nbytes):
        nbytes, first, last = b.nbytes, b.first, b.last
        if nbytes < OWN:
            placed, first, last = _always(placed), 0, _FOREVER
        at = 0
        for offset, end, begins, ends in placed:
            if begins <= last and first <= ends:
                if at + nbytes <= offset:
                    break
                at = max(at, end)
        b.offset = at
        end = -(-(at + nbytes) // ALIGN) * ALIGN
        bisect.insort(placed, (at, end + _APART if nbytes > _LARGE else end, first, last))
        size = max(size, at + nbytes)
    return size


def _always(placed: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """What is ever used, as few ranges: thousands of small buffers side by side are one."""
    out: list[tuple[int, int, int, int]] = []
    for offset, end, _, _ in placed:
        if out and offset <= out[-1][1]:
            offset, end = out[-1][0], max(out.pop()[1], end)
        out.append((offset, end, 0, _FOREVER))
    return out


def live_ranges(instructions: list[Instruction]) -> list[Buffer]:
    """The arena buffers that instructions touch, each with its first and last of them."""
    buffers: dict[int, Buffer] = {}
    for i, instruction in enumerate(instructions):
        for o in instruction.operands:
            if o is not None and o.buffer.space == ARENA:
                b = o.buffer
                if id(b) not in buffers:
                    buffers[id(b)] = b
                    b.first = i
                b.last = i
    return list(buffers.values())


def _write_over_dying_inputs(instructions: list[Instruction]) -> None:
    known = schemas()
    live_ranges(instructions)
    by_buffer: dict[int, list[Operand]] = {}
    for instruction in instructions:
        for o in instruction.operands:
            if o is not None and o.buffer.space == ARENA:
                by_buffer.setdefault(id(o.buffer), []).append(o)
    for i, instruction in enumerate(instructions):
        schema = known[instruction.kernel]
        reads = instruction.reads(schema)
        candidates = overwritable(instruction, schema)
        for y in instruction.writes(schema):
            b = y.buffer
            if b.space != ARENA or b.first != i or y.offset or b.nbytes != y.nbytes:
                continue
            for x in candidates:
                a = x.buffer
                if (
                    a.space == ARENA and a is not b and a.last == i and a.first < i and not x.offset
                    and a.nbytes == b.nbytes and x.shape == y.shape and x.dtype == y.dtype
                    and sum(1 for o in reads if o.buffer is a) == 1
                ):  # fmt: skip
                    a.last = b.last
                    for o in by_buffer[id(b)]:
                        o.buffer = a
                    by_buffer[id(a)] += by_buffer.pop(id(b))
                    break
