"""Lowered instructions to the words of a program; the format stands at the head of src/runtime/program.h."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import _core
from nacre.core.room import check_bytes
from nacre.passes.lower import ABSENT, CONSTANT, Lowered, schemas
from nacre.passes.memory import ALIGN, plan_memory

_MAGIC = 0x314D52504552434E
_VERSION = 1


def write_program(low: Lowered) -> tuple[np.ndarray[Any, Any], bytes]:
    """(words, constants) for `_core.Program`."""
    arena = plan_memory(low)
    check_bytes(arena - _core.idle_bytes(), "a program, for the values between its layers,")
    constants = _place_constants(low)
    known = schemas()
    kernels: dict[str, int] = {}
    body: list[int] = []
    for instruction in low.instructions:
        index = kernels.setdefault(instruction.kernel, len(kernels))
        schema = known[instruction.kernel]
        fields = _field_words(instruction.kernel, schema, instruction.fields)
        body += (index, len(fields), *fields, len(instruction.operands))
        for o in instruction.operands:
            if o is None:
                body += (ABSENT, 0, 0)
            else:
                b = o.buffer
                body += (b.space, b.index, b.offset + o.offset)
    head = [_MAGIC, _VERSION, arena, len(constants), len(low.slots), len(kernels), len(low.instructions)]
    for buffer, writable in low.slots:
        head += (buffer.nbytes, int(writable))
    for name in kernels:
        raw = name.encode()
        head.append(len(raw))
        raw += bytes(-len(raw) % 8)
        head += [int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8)]
    try:
        return np.array(head + body, np.int64), constants
    except OverflowError:
        ops = sorted({i.kernel for i in low.instructions})
        raise ValueError(f"{', '.join(ops)}: a size or another whole number is 2**63 or more") from None


def build_program(low: Lowered) -> Any:
    """The verified `_core.Program`."""
    return _core.Program(*write_program(low))


def _place_constants(low: Lowered) -> bytes:
    parts: list[bytes] = []
    at = 0
    for buffer, array in low.constants:
        assert buffer.space == CONSTANT
        buffer.offset = at
        raw = array.tobytes()
        pad = -len(raw) % ALIGN
        parts += (raw, bytes(pad))
        at += len(raw) + pad
    return b"".join(parts)


def _field_words(kernel: str, schema: dict[str, Any], fields: dict[str, Any]) -> list[int]:
    words: list[int] = []
    for name, count, kind in schema["fields"]:
        if name not in fields:
            raise TypeError(f"kernel '{kernel}': field '{name}' is missing")
        value = fields[name]
        if kind == "f":
            words += np.array([value] if count == 1 else value, np.float64).view(np.int64).tolist()
        elif count == 1:
            words.append(int(value))
        else:
            words += value
    if len(fields) != len(schema["fields"]):
        extra = set(fields) - {name for name, _, _ in schema["fields"]}
        raise TypeError(f"kernel '{kernel}' has no field {sorted(extra)}")
    return words
