"""How elementwise programs and reductions become kernel calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nacre.core.spec import DTYPE_CODE, Spec


def row_major(shape: Sequence[int]) -> list[int]:
    """The strides, in elements, of a contiguous array."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides


def strides_of(x: Any) -> list[int]:
    """The strides, in elements, of an operand."""
    return row_major((*x.shape[:-1], x.ld)) if x.ld else row_major(x.shape)


def broadcast_strides(x: Any, out: Sequence[int]) -> list[int]:
    """The strides with which the operand x is read as one of shape `out`."""
    lead = len(out) - len(x.shape)
    return [0] * lead + [0 if d == 1 else s for d, s in zip(x.shape, strides_of(x))]


def collapse(dims: Sequence[int], strides: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Neighbouring axes that every operand walks evenly become one; axes of size 1 vanish."""
    out: list[int] = []
    kept: list[list[int]] = [[] for _ in strides]
    for i, d in enumerate(dims):
        if d == 1:
            continue
        if out and all(k[-1] == s[i] * d for k, s in zip(kept, strides)):
            out[-1] *= d
            for k, s in zip(kept, strides):
                k[-1] = s[i]
        else:
            out.append(d)
            for k, s in zip(kept, strides):
                k.append(s[i])
    return out, kept


def shared_rows(inputs: Sequence[Spec], shape: tuple[int, ...]) -> tuple[bool, ...] | None:
    """`Op.by_rows` of what broadcasts `inputs` to `shape`."""
    return tuple(len(s.shape) == len(shape) and s.shape[0] == shape[0] for s in inputs) if shape else None


MOST_INPUTS, MOST_OUTPUTS, MOST_STEPS, MOST_CONSTS, MOST_RANK = 8, 4, 48, 16, 6
_FIRST_CONST, _FIRST_TEMP, _LAST_REGISTER = 8, 24, 63
_SHORT_RUN = 8  # of elements: into these it takes longer to begin writing than to write


def domain_of(dtypes: Sequence[str]) -> str:
    """The kernel whose compute type suits operands of these dtypes."""
    if "float64" in dtypes:
        return "elementwise_f64"
    return "elementwise" if "float32" in dtypes else "elementwise_i64"


def columns_of_map(inputs: int, outputs: int, shape: Sequence[int]) -> tuple[bool, ...]:
    """`Op.by_columns` of an elementwise program. Short runs are quicker computed side by side and then copied."""
    writes = bool(shape) and (shape[-1] >= _SHORT_RUN or math.prod(shape) == shape[-1])
    return (len(shape) <= MOST_RANK,) * inputs + (len(shape) <= MOST_RANK and writes,) * outputs


# A step of an elementwise program: the name of the instruction and its arguments. An argument is a number below
# `inputs` for an input, `inputs + i` for the result of step i, or `const(number)`.
Step = tuple[str, tuple[Any, ...]]


def const(number: float | None) -> Any:
    """`number` as an argument of a step; -0.0 equals 0.0 and is told from it; NaN equals the same object only."""
    if number is not None and math.isnan(number):
        number = math.nan
    return ("const", number, "-") if number == 0 and math.copysign(1, number) < 0 else ("const", number)


def lower_elementwise(
    k: Any,
    steps: Sequence[Step],
    outs: Sequence[int],
    operands: Sequence[Any],
    results: Sequence[Any],
    shape: Sequence[int],
    domain: str | None = None,
) -> None:
    """One call of an elementwise kernel, that of `domain` or the one that suits what goes in and out: `outs[i]` is the
    value number that `results[i]` receives."""
    reads = [broadcast_strides(x, shape) for x in operands]
    dims, strides = collapse(shape, reads + [strides_of(y) for y in results])
    if shape and shape[-1] == 1 and any(y.ld for y in results):  # a run is one element
        dims, strides = [*dims, 1], [[*s, 0] for s in strides]
    if len(dims) > MOST_RANK:
        raise ValueError(f"broadcasting over {len(dims)} separate axes; the kernels take {MOST_RANK}")
    n = len(operands)
    fields = elementwise_fields(k, steps, outs, operands, [y.dtype for y in results], dims, strides[:n])
    fields["out_ld"] = [y.ld for y in results] + [0] * (MOST_OUTPUTS - len(results))
    kernel = getattr(k, domain or domain_of([x.dtype for x in (*operands, *results)]))
    kernel(
        fields, *operands, *[None] * (MOST_INPUTS - len(operands)), *results, *[None] * (MOST_OUTPUTS - len(results))
    )


def lower_map_reduce(
    k: Any, steps: Sequence[Step], outs: Sequence[int], scales: Sequence[float], operands: Sequence[Any],
    results: Sequence[Any], shape: tuple[int, int, int],
) -> None:  # fmt: skip
    """As `lower_elementwise` over (outer, rows, columns), where each result is the sum over the rows, or over
    everything, times a scale."""
    outer, _, columns = shape
    dims = shape if outer != 1 else shape[1:]
    strides = [broadcast_strides(x, shape)[-len(dims) :] for x in operands]
    fields = elementwise_fields(k, steps, outs, operands, ["float32"] * len(outs), dims, strides)
    units = max(k.facts("map_reduce", fields)["units"], 1)
    parts = [k.temp((units, columns), "float32") for _ in results]
    k.map_reduce(
        fields, *operands, *[None] * (MOST_INPUTS - len(operands)), *parts, *[None] * (MOST_OUTPUTS - len(parts))
    )
    for part, y, scale in zip(parts, results, scales):
        if y.size == outer * columns:
            lower_reduce(k, SUM, part, y, outer, units // outer, columns, scale)
        else:
            lower_reduce(k, SUM, part, y, 1, units * columns, 1, scale)


def elementwise_fields(
    k: Any, steps: Sequence[Step], outs: Sequence[int], operands: Sequence[Any], out_dtypes: Sequence[str],
    dims: Sequence[int], strides: list[list[int]],
) -> dict[str, Any]:  # fmt: skip
    """The fields of the elementwise kernels."""
    n = len(operands)
    dims = list(dims)
    return {
        "rank": len(dims),
        "dims": dims + [1] * (MOST_RANK - len(dims)),
        "in_dtype": [DTYPE_CODE[x.dtype] for x in operands] + [0] * (MOST_INPUTS - n),
        "out_dtype": [DTYPE_CODE[d] for d in out_dtypes] + [0] * (MOST_OUTPUTS - len(outs)),
        "in_strides": [s for x in strides for s in x + [0] * (MOST_RANK - len(dims))]
        + [0] * (MOST_RANK * (MOST_INPUTS - n)),
        "out_ld": [0] * MOST_OUTPUTS,
        **program_fields(k, steps, outs, n),
    }


def program_fields(k: Any, steps: Sequence[Step], outs: Sequence[int], n: int) -> dict[str, Any]:
    """The bytecode of `steps` over n inputs: registers are given out and taken back as values are needed."""
    codes = k.elementwise_codes()
    registers = list(range(n))
    last_use = {v: i for i, (_, args) in enumerate(steps) for v in args if isinstance(v, int)}
    last_use.update({v: len(steps) for v in outs})
    free = list(range(_LAST_REGISTER, _FIRST_TEMP - 1, -1))
    consts: list[float] = []
    code: list[int] = []

    def register(a: Any) -> int:
        if isinstance(a, int):
            return registers[a]
        number = float(a[1])
        for i, c in enumerate(consts):
            if c == number and math.copysign(1, c) == math.copysign(1, number):
                return _FIRST_CONST + i
        consts.append(number)
        return _FIRST_CONST + len(consts) - 1

    for i, (name, args) in enumerate(steps):
        sources = [register(a) for a in args]
        target = free.pop()
        registers.append(target)
        code += [codes[name][0], target, *sources, *[0] * (3 - len(sources))]
        for a in {a for a in args if isinstance(a, int)}:
            if a >= n and last_use.get(a) == i:
                free.append(registers[a])
    return {
        "inputs": n,
        "outputs": len(outs),
        "length": len(steps),
        "code": code + [0] * (5 * MOST_STEPS - len(code)),
        "consts": consts + [0.0] * (MOST_CONSTS - len(consts)),
        "out_reg": [registers[v] for v in outs] + [0] * (MOST_OUTPUTS - len(outs)),
    }


SUM, MEAN, MAX, MIN, PROD, ANY, ALL, SUM_SQUARES = range(8)


def lower_reduce(k: Any, kind: int, x: Any, y: Any, outer: int, length: int, inner: int, scale: float = 1.0) -> None:
    """y[o, i] = the reduction of x[o, :, i]; a long one with few results is cut into chunks first."""
    if scale != 1.0:
        kind = MEAN  # the kernel's sum times a number
    fields = {"kind": kind, "dtype": DTYPE_CODE[x.dtype]}
    if length >= 8192 and outer * inner < 4096 and kind in (SUM, MEAN, MAX, MIN, PROD, SUM_SQUARES):
        # 64 chunks keep 64 cores busy; none shorter than 1024 elements of the axis
        chunk = max(1024, -(-length // 64))
        chunks = -(-length // chunk)
        partial = k.temp((outer, chunks, inner), x.dtype)
        first = SUM if kind == MEAN else kind
        k.reduce(
            {**fields, "kind": first, "O": outer, "R": length, "I": inner, "chunk": chunk, "scale": 1.0}, x, partial
        )
        second = SUM if kind == SUM_SQUARES else kind
        fields["kind"] = second
        k.reduce({**fields, "O": outer, "R": chunks, "I": inner, "chunk": max(chunks, 1), "scale": scale}, partial, y)
        return
    k.reduce({**fields, "O": outer, "R": length, "I": inner, "chunk": max(length, 1), "scale": scale}, x, y)


def lower_reduction(k: Any, kind: int, x: Any, y: Any, scale: float = 1.0) -> None:
    """y = x reduced over the axes that `y` has as size 1 (or lacks in front): one kernel call per run of such axes."""
    lead = len(x.shape) - len(y.shape)
    kept = [1] * lead + list(y.shape)
    runs: list[tuple[bool, int]] = []  # (reduced, size), neighbours merged
    for size, keep in zip(x.shape, kept):
        if size == 1:
            continue
        reduced = keep != size
        if runs and runs[-1][0] == reduced:
            runs[-1] = (reduced, runs[-1][1] * size)
        else:
            runs.append((reduced, size))
    axes = [i for i, (reduced, _) in enumerate(runs) if reduced]
    if not axes:  # every sum is of one number
        if kind in (SUM_SQUARES, ANY, ALL):
            lower_reduce(k, kind, x, y, x.size, 1, 1, scale)
        elif scale == 1.0:
            k.alias(y, x)
        else:
            lower_elementwise(k, [("mul", (0, ("const", scale)))], [1], [x], [y], x.shape)
        return
    sizes = [size for _, size in runs]
    for at in reversed(axes):  # from the inside out
        last = at == axes[0]
        outer = inner = 1
        for s in sizes[:at]:
            outer *= s
        for s in sizes[at + 1 :]:
            inner *= s
        target = y if last else k.temp((outer, inner), x.dtype)
        first_kind = kind if at == axes[-1] or kind != SUM_SQUARES else SUM
        lower_reduce(k, first_kind, x, target, outer, sizes[at], inner, scale if last else 1.0)
        sizes[at] = 1
        x = target
