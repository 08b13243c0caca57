"""Graph to instructions: each op says which kernels compute it, on operands whose memory is placed later."""

from __future__ import annotations

from typing import Any

from nacre import _core
from nacre.core.graph import Graph
from nacre.core.spec import ITEMSIZE, Spec
from nacre.core.tensor import Symbol
from nacre.ops.movement import rows_of, strided_copy

ARENA, SLOT, CONSTANT, ABSENT = range(4)


class Buffer:
    """A run of memory: in the arena (placed by the memory pass), an external slot, or among the constants."""

    __slots__ = ("first", "index", "last", "nbytes", "offset", "space")

    def __init__(self, nbytes: int, space: int = ARENA, index: int = 0, offset: int = 0) -> None:
        self.nbytes = nbytes
        self.space = space
        self.index = index  # of the slot
        self.offset = offset  # in the arena or among the constants
        self.first = self.last = -1  # instructions that touch it


class Operand:
    """A value as kernels see it: shape, dtype and where it lies."""

    __slots__ = ("buffer", "dtype", "ld", "offset", "placed", "shape")

    def __init__(
        self, shape: tuple[int, ...], dtype: str, buffer: Buffer, offset: int = 0, ld: int = 0, placed: bool = False
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.buffer = buffer
        self.offset = offset  # bytes into the buffer
        self.ld = ld  # elements from row to row of the last axis where it is columns of a wider value; 0: no gaps
        self.placed = placed  # whether others count on its lying there

    @property
    def size(self) -> int:
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * ITEMSIZE[self.dtype]

    def view(self, shape: tuple[int, ...], offset: int = 0) -> Operand:
        """The same memory, from byte `offset` on, in another shape."""
        return Operand(shape, self.dtype, self.buffer, self.offset + offset, self.ld)

    def rows(self, begin: int, count: int) -> Operand:
        """`count` entries of the first axis, from `begin` on."""
        entry = ITEMSIZE[self.dtype]
        for d in self.shape[1:-1]:
            entry *= d
        entry *= (self.ld or self.shape[-1]) if self.ndim > 1 else 1
        shape = (count, *self.shape[1:])
        ld = self.ld if rows_of(shape) > 1 else 0
        return Operand(shape, self.dtype, self.buffer, self.offset + begin * entry, ld, self.placed)

    def part(self, first: int, shape: tuple[int, ...]) -> Operand:
        """The part of shape `shape` of what is joined in this value: `first` elements on in a row, or in the whole if
        that is one row."""
        rows, ld = rows_of(shape), 0
        if rows > 1 and rows == rows_of(self.shape):
            row = self.ld or self.shape[-1]
            ld = row if row != shape[-1] else 0
        return Operand(shape, self.dtype, self.buffer, self.offset + first * ITEMSIZE[self.dtype], ld, True)

    def is_part(self, whole: Operand, first: int | None) -> bool:
        """Whether it lies in `whole` as `whole.part(first, self.shape)` would."""
        if first is None:
            return False
        there = whole.part(first, self.shape)
        return self.buffer is there.buffer and self.offset == there.offset and self.ld == there.ld

    def as_bytes(self) -> Operand:
        """The same memory as uint8."""
        return Operand((self.nbytes,), "uint8", self.buffer, self.offset)


class Instruction:
    """One kernel call. `origin` is the op that asked for it."""

    __slots__ = ("fields", "kernel", "operands", "origin")

    def __init__(self, kernel: str, fields: dict[str, Any], operands: list[Operand | None], origin: Any) -> None:
        self.kernel = kernel
        self.fields = fields
        self.operands = operands
        self.origin = origin

    def reads(self, schema: dict[str, Any]) -> list[Operand]:
        return [o for o, (_, way) in zip(self.operands, schema["operands"]) if way == "in" and o is not None]

    def writes(self, schema: dict[str, Any]) -> list[Operand]:
        return [o for o, (_, way) in zip(self.operands, schema["operands"]) if way == "out" and o is not None]


_schemas: dict[str, Any] = {}


def schemas() -> dict[str, Any]:
    """What `_core` knows of each kernel of the ISA in use: fields, operands, in_place."""
    if not _schemas:
        _schemas.update(_core.kernels())
    return _schemas


_elementwise_codes: dict[str, tuple[int, int]] = {}


class Lowering:
    """What an op's `lower` talks to: `k.<kernel>(fields, *operands)`, `k.temp(shape, dtype)`, `k.alias(y, x)`."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.origin: Any = None

    def __getattr__(self, kernel: str) -> Any:
        schema = schemas().get(kernel)
        if schema is None:
            raise AttributeError(f"no kernel is called '{kernel}'")
        expected = schema["operands"]

        def call(fields: dict[str, Any], *operands: Operand | None) -> None:
            if len(operands) != len(expected):
                raise TypeError(
                    f"kernel '{kernel}' takes {len(expected)} operands, {self.origin} gives {len(operands)}"
                )
            for i, (o, (dtype, _)) in enumerate(zip(operands, expected)):
                fits = o is None or dtype in ("void", "none", None, o.dtype) or (dtype, o.dtype) == ("uint8", "bool")
                if o is not None and not fits:
                    raise TypeError(f"kernel '{kernel}' operand {i}: expected {dtype}, {self.origin} gives {o.dtype}")
            self.instructions.append(Instruction(kernel, fields, list(operands), self.origin))

        return call

    def elementwise_codes(self) -> dict[str, tuple[int, int]]:
        """Instruction name -> (code, number of arguments)."""
        if not _elementwise_codes:
            _elementwise_codes.update(_core.elementwise_codes())
        return _elementwise_codes

    def facts(self, kernel: str, fields: dict[str, Any]) -> dict[str, Any]:
        """What the kernel says of these fields: `units`, `scratch`, `flops` and `extents` (elements of each
        operand)."""
        facts: dict[str, Any] = _core.facts(kernel, fields)
        if facts["error"]:
            raise ValueError(f"kernel '{kernel}': {facts['error']}")
        return facts

    def extent(self, kernel: str, fields: dict[str, Any], operand: int) -> int:
        """How many elements of operand `operand` the kernel would touch."""
        return _core.facts(kernel, fields)["extents"][operand]  # type: ignore[no-any-return]

    def temp(self, shape: tuple[int, ...], dtype: str) -> Operand:
        """Memory that lives for a few instructions."""
        operand = Operand(tuple(shape), dtype, None)  # type: ignore[arg-type]
        operand.buffer = Buffer(operand.nbytes)
        return operand

    def alias(self, y: Operand, x: Operand, offset: int = 0) -> None:
        """y is x's memory, `offset` bytes on: nothing is computed."""
        if y.placed:
            self.copy(x.view(y.shape, offset), y)
            return
        y.buffer = x.buffer
        y.offset = x.offset + offset
        y.ld = x.ld

    def copy(self, x: Operand, y: Operand) -> None:
        """The elements of x, in y."""
        if x.ld or y.ld:
            row = y.shape[-1]
            dims = (y.size // row if row else 0, row)
            strided_copy(self, x, y, dims, (x.ld or row, 1), 0, (y.ld or row, 1))
        elif x.nbytes:
            self.copy_bytes({"n": x.nbytes}, x, y)


class Lowered:
    """Instructions and where the program meets the world: which buffer is which slot."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.slots: list[tuple[Buffer, bool]] = []  # (buffer, writable), in the order in which arrays are bound
        self.constants: list[tuple[Buffer, Any]] = []  # (buffer, array)
        self.inputs: list[int] = []  # slot of each graph input
        self.outputs: list[int] = []  # slot of each graph output
        self.state: list[tuple[Any, int, bool]] = []  # (Variable, slot, written)


# By the id of a value: another one that it is part of, and where in it (`Operand.part`).
Places = dict[int, tuple[Symbol, int]]


def lower(graph: Graph, places: Places | None = None) -> Lowered:
    """Instructions for `graph`; outputs and written Variables get their slots, in place where that is safe."""
    low = Lowered()
    k = Lowering()
    operands: dict[int, Operand] = {}

    def slot(spec: Spec, writable: bool) -> Operand:
        buffer = Buffer(spec.nbytes, SLOT, len(low.slots))
        low.slots.append((buffer, writable))
        return Operand(spec.shape, spec.dtype, buffer)

    def operand(s: Symbol) -> Operand:
        known = operands.get(id(s))
        if known is None:  # constants appear when they are used
            if s.kind != "constant":
                raise AssertionError(f"a pass left a reader of {s} in front of the node that computes it")
            buffer = Buffer(s.spec.nbytes, CONSTANT)
            low.constants.append((buffer, s.payload))
            known = operands[id(s)] = Operand(s.shape, s.dtype, buffer)
        return known

    def home(s: Symbol) -> Operand:
        """Where a node writes `s`: wholes have a home as soon as a part of them needs one."""
        known = operands.get(id(s))
        if known is None:
            place = places.get(id(s)) if places else None
            if place is None:
                known = Operand(s.shape, s.dtype, Buffer(s.spec.nbytes))
            else:
                known = home(place[0]).part(place[1], s.shape)
            operands[id(s)] = known
        return known

    for s in graph.inputs:
        operands[id(s)] = slot(s.spec, False)
        low.inputs.append(operands[id(s)].buffer.index)
    writes = graph.writes
    for variable, s in graph.state.items():
        operands[id(s)] = slot(s.spec, variable in writes)
        low.state.append((variable, operands[id(s)].buffer.index, variable in writes))

    read = {id(s) for s in (*graph.outputs, *writes.values(), *(s for node in graph.nodes for s in node.inputs))}
    for node in graph.nodes:
        k.origin = op = node.op
        ins = [operand(s) for s in node.inputs]
        spare = {id(s) for s, name in zip(node.outputs, op.outputs) if name in op.spare and id(s) not in read}
        op.lower(k, *ins, *[None if id(s) in spare else home(s) for s in node.outputs])

    k.origin = "store"
    overwritten = {id(operands[id(graph.state[variable])].buffer) for variable in writes}
    computing, k.instructions = k.instructions, []
    moved: dict[int, Operand] = {}  # old values, whole or in part, that something takes over at the end: saved first
    for s in (*writes.values(), *graph.outputs):
        if id(operand(s).buffer) in overwritten and id(s) not in moved:
            moved[id(s)] = k.temp(s.shape, s.dtype)
            k.copy(operand(s), moved[id(s)])
    low.instructions = k.instructions = k.instructions + computing
    touching = _Touching(k.instructions)
    for variable, s in writes.items():
        target = operands[id(graph.state[variable])]
        source = moved.get(id(s)) or operand(s)
        if not _take_over(touching, source, target):
            k.copy(source, target)
    for s in graph.outputs:
        source = moved.get(id(s)) or operand(s)
        target = slot(s.spec, True)
        low.outputs.append(target.buffer.index)
        if not _take_over(touching, source, target):
            k.copy(source, target)
    return low


class _Touching:
    """Which operands lie in a buffer, with the number of their instruction; grows as instructions are added."""

    def __init__(self, instructions: list[Instruction]) -> None:
        self.instructions = instructions
        self._operands: dict[int, list[tuple[int, Operand]]] = {}
        self._seen = 0

    def __call__(self, buffer: Buffer) -> list[tuple[int, Operand]]:
        for i in range(self._seen, len(self.instructions)):
            for o in self.instructions[i].operands:
                if o is not None:
                    self._operands.setdefault(id(o.buffer), []).append((i, o))
        self._seen = len(self.instructions)
        return self._operands.get(id(buffer), [])


def _take_over(touching: _Touching, source: Operand, target: Operand) -> bool:
    """Makes `source`'s arena memory the target slot itself, if no instruction could tell the difference."""
    buffer = source.buffer
    if buffer.space != ARENA or source.offset or source.ld or buffer.nbytes != target.nbytes or not target.nbytes:
        return False
    own = touching(buffer)
    if not own:
        return False
    first = own[0][0]
    known = schemas()
    for i, o in touching(target.buffer):
        if i < first:
            continue
        instruction = touching.instructions[i]
        if i > first or not _in_place(known[instruction.kernel], instruction, o, buffer):
            return False
    buffer.space, buffer.index = SLOT, target.buffer.index  # for every operand that lies in it, aliases too
    return True


def overwritable(instruction: Instruction, schema: dict[str, Any]) -> list[Operand]:
    """The inputs whose memory an output of the same size may be: where every element is read before its place is
    written."""
    if not schema["in_place"]:
        return []
    reads = [o for o, (_, way) in zip(instruction.operands, schema["operands"]) if way == "in"]
    if instruction.kernel in ("dense_grad_w_map", "scatter_update"):
        reads = reads[2:]  # the first two are read by every unit
    elif not instruction.kernel.startswith("elementwise"):
        reads = reads[:1]
    return [o for o in reads if o is not None]


def _in_place(schema: dict[str, Any], instruction: Instruction, read: Operand, written: Buffer) -> bool:
    """Whether the instruction may write `written` over the memory that it reads as `read`."""
    if read.offset or read.ld or all(o is not read for o in overwritable(instruction, schema)):
        return False
    for o in instruction.writes(schema):
        if o.buffer is written and (o.shape != read.shape or o.dtype != read.dtype or o.offset or o.ld):
            return False
    return all(o is not read for o in instruction.writes(schema))
