"""The nodes of an ONNX graph as they come, and the names of values in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nacre.onnx.twins import Call, Open, Value

Order = tuple[int, ...]
IMAGES: Order = (0, 3, 1, 2)  # NHWC as ONNX has it
_LAST = np.iinfo(np.int64).max


def library() -> Any:
    """The package onnx. Raises ImportError that says how to get it."""
    try:
        import onnx
    except ImportError:
        raise ImportError("export(format='onnx') needs onnx: pip install nacre[onnx]") from None
    return onnx


class Writer:
    """Gathers nodes and initializers. A value may have several names, one per order of axes that somebody asked for, so
    that convolutions, which ONNX has channels first, follow each other without transposes between them."""

    def __init__(self, frozen: dict[int, str], table: dict[type, Any], above: Writer | None = None) -> None:
        self.onnx = library()
        self.table = table
        self.nodes: list[Any] = []
        self.frozen = frozen
        self.above = above
        self.initializers: dict[str, Any] = {} if above is None else above.initializers
        self._names: dict[str, int] = {} if above is None else above._names
        self._shared: dict[Any, str] = {} if above is None else above._shared
        self._extents: dict[tuple[int, int], str] = {}
        self._axes: dict[tuple[int, int], tuple[Value, int]] = {} if above is None else dict(above._axes)

    def unique(self, name: str) -> str:
        """A name that nothing else has. In ONNX the empty one says that nothing is there."""
        name = name or "unnamed"
        count = self._names[name] = self._names.get(name, -1) + 1
        return name if not count else self.unique(f"{name}_{count}")

    def __call__(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """The name of the output of a new node, or the names of several."""
        names = [self.unique(kind) for _ in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), names, names[0], **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array: Any, dtype: Any = None, name: str = "constant") -> str:
        """The name of an initializer; equal small ones are one."""
        array = np.asarray(array, dtype)
        key: Any = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 64 and name == "constant" else None
        if key is None or key not in self._shared:
            name = self.unique(name)
            self.initializers[name] = self.onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
            if key is None:
                return name
            self._shared[key] = name
        return self._shared[key]

    def ints(self, *numbers: int) -> str:
        """A vector of int64."""
        return self.constant(numbers, np.int64)

    def cast(self, name: str, dtype: str) -> str:
        return str(self("Cast", name, to=self.type(dtype)))

    def where(self, dtype: str, chosen: str, a: str, b: str) -> str:
        """a or b, of any dtype; ONNX Runtime's own takes no booleans."""
        if dtype == "bool":
            return str(self("Or", self("And", chosen, a), self("And", self("Not", chosen), b)))
        return str(self("Where", chosen, a, b))

    def type(self, dtype: str) -> int:
        """ONNX's number for a dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def convert(self, calls: Sequence[Call]) -> None:
        """The nodes of these calls. Raises NotImplementedError for an op that has no counterpart in ONNX."""
        for call in calls:
            if all(0 in y.shape for y in call.y):
                self._empty(call.y)
                continue
            make = self.table.get(type(call.ops[0]))
            if make is None:
                raise call.refused("there is none like it")
            make(self, call)

    def _empty(self, values: Sequence[Value]) -> None:
        """Tensors without elements, which not every operator takes."""
        for value in values:
            zero = self.onnx.numpy_helper.from_array(np.zeros(1, value.dtype))
            self.put(value, self("ConstantOfShape", self.sizes(value.shape), value=zero))

    # --- values ------------------------------------------------------------------------------------------------------

    def put(self, value: Value, name: str, order: Order | None = None) -> None:
        """Says what `value` is called, with its axes in `order`."""
        value.names[order or value.natural] = name
        for axis, size in enumerate(value.shape):
            if isinstance(size, Open):
                self._axes.setdefault(size.pair, (value, axis))

    def of(self, value: Value, order: Order | None = None) -> str:
        """The name of `value` with its axes in `order`, which may take a transpose."""
        order = order or value.natural
        if order not in value.names:
            if value.arrays is not None:
                return self._constant_of(value, order)
            own = next(iter(value.names))
            name = self("Transpose", value.names[own], perm=[own.index(axis) for axis in order])
            if self.above is not None:  # seen in here only
                return str(name)
            value.names[order] = name
        return value.names[order]

    def array(self, value: Value) -> Any:
        """What a constant holds, if that is the same in both traces; else None."""
        if value.arrays is None:
            return None
        first, second = value.arrays
        if first is second:
            return first
        a, b = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (first, second))
        return first if first.shape == second.shape and np.array_equal(a, b) else None

    def _constant_of(self, value: Value, order: Order) -> str:
        array = self.array(value)
        if array is None:
            natural = value.natural
            name = value.names.get(natural) or self._unlike(value)
            return name if order == natural else str(self("Transpose", name, perm=list(order)))
        path = self.frozen.get(id(array))
        value.names[order] = self.constant(array.transpose(order), None, path or "constant")
        return value.names[order]

    def _unlike(self, value: Value) -> str:
        """A constant that depends on an unknown size: repeated along it, a count along an axis, or a triangle."""
        assert value.arrays is not None
        first, second = value.arrays
        dtype = value.dtype
        if first.ndim == 0 or (first.size == second.size == 1):
            name = self._number(first.item(), second.item(), dtype)
            return str(self("Reshape", name, self.ints(*first.shape)))
        shape = self.sizes(value.shape)
        core = first[tuple(slice(0, 1) if isinstance(n, Open) else slice(None) for n in value.shape)]
        if (first == core).all() and (second == core).all():
            return str(self("Expand", self.constant(core), shape))
        axes = [axis for axis, n in enumerate(first.shape) if n > 1]
        if len(axes) == 1 and dtype != "bool":
            start, step = first.flat[0], first.flat[1] - first.flat[0]
            if all(np.array_equal(a.ravel(), start + step * np.arange(a.size, dtype=a.dtype)) for a in (first, second)):
                count = self.cast(self._range(value.shape[axes[0]]), dtype)
                scaled = self("Mul", count, self.constant(step, first.dtype))
                return str(self("Reshape", self("Add", scaled, self.constant(start, first.dtype)), shape))
        if len(axes) == 2:
            inside, outside = first.flat[0], first.flat[first.shape[axes[1]] - 1]
            squares = [a.reshape([a.shape[axis] for axis in axes]) for a in (first, second)]
            if all(np.array_equal(a, np.where(np.tri(*a.shape) > 0, inside, outside)) for a in squares):
                rows, columns = (self._range(value.shape[axis]) for axis in axes)
                below = self("GreaterOrEqual", self("Unsqueeze", rows, self.ints(1)), columns)
                both = [self.constant(n, first.dtype) for n in (inside, outside)]
                return str(self("Reshape", self.where(dtype, below, *both), shape))
        raise NotImplementedError(
            f"export: a constant of the model, of dtype {dtype}, depends on the size of an axis that is not known. "
            "Give fixed sizes with `input_signature`, such as [keras.InputSpec(shape=(1, 32, 32, 3))]"
        )

    def _number(self, a: Any, b: Any, dtype: str) -> str:
        """A scalar that counts something, or its negative, or its reciprocal."""
        if a < 0 and b < 0:
            return str(self("Neg", self._number(-a, -b, dtype)))
        turned = 0 < a < 1
        m, n = (1 / a, 1 / b) if turned and b else (a, b)
        if any(v < 1 or abs(v - round(v)) > 1e-4 * v for v in (m, n)):
            raise NotImplementedError(
                f"export: a number of the model, {a} or {b}, depends on the size of an axis that is not known"
            )
        name = self.cast(self.extent(Open(round(m), round(n))), dtype)
        return str(self("Reciprocal", name)) if turned else name

    def _range(self, size: Any) -> str:
        end = self("Squeeze", self.sizes((size,)))
        return str(self("Range", self.constant(0, np.int64), end, self.constant(1, np.int64)))

    # --- sizes -------------------------------------------------------------------------------------------------------

    def sizes(self, sizes: Sequence[Any]) -> str:
        """The name of a vector of int64 with these sizes."""
        parts: list[Any] = []
        for size in sizes:
            if isinstance(size, Open):
                parts.append(self.extent(size))
            elif parts and isinstance(parts[-1], list):
                parts[-1].append(size)
            else:
                parts.append([size])
        if not parts:
            return self.ints()
        names = [part if isinstance(part, str) else self.ints(*part) for part in parts]
        return names[0] if len(names) == 1 else str(self("Concat", *names, axis=0))

    def extent(self, size: Open) -> str:
        """The name of a vector of one int64, an unknown size, as far as that follows from those of values."""
        name = self._extent(*size.pair, 3)
        if name is None:
            raise NotImplementedError(
                f"export: a size of the model depends on those of its inputs in a way that has no words in ONNX here "
                f"({size.pair[0]} and {size.pair[1]} in two traces). Give fixed sizes with `input_signature`"
            )
        return name

    def _extent(self, a: int, b: int, depth: int) -> str | None:
        if a == b:
            return self.ints(a)
        if (a, b) not in self._extents:
            name = self._from_axes(a, b, depth)
            if name is None:
                return None
            self._extents[a, b] = name
        return self._extents[a, b]

    def _from_axes(self, a: int, b: int, depth: int) -> str | None:
        known = self._axes.get((a, b))
        if known is not None:
            value, axis = known
            order, name = next(iter(value.names.items()))
            at = order.index(axis)
            return str(self("Shape", name, start=at, end=at + 1))
        pairs = sorted((p for p in self._axes if 1 < p[0] != p[1]), reverse=True) if depth else []
        for m, n in pairs:
            if a % m == b % n == 0:
                rest, part = self._extent(a // m, b // n, depth - 1), self._extent(m, n, 0)
                if rest is not None and part is not None:
                    return str(self("Mul", rest, part))
        for one in (1, -1) if depth else ():
            rest = self._extent(a - one, b - one, depth - 1) if min(a, b) > 2 else None
            if rest is not None:
                return str(self("Add", rest, self.ints(one)))
        for m, n in pairs:
            part = self._extent(m, n, 0)
            if part is not None and a - m == b - n:
                return str(self("Add", part, self.ints(a - m)))
        for m, n in pairs:
            part = self._extent(m, n, 0)
            if part is not None and m // a == n // b > 1 and m % a == n % b == 0:
                return str(self("Div", part, self.ints(m // a)))
        return None

    def place(self, at: Any, size: Any) -> Any:
        """A position along an axis of `size` as a number, if it is one counted from the front or the end; else its
        name."""
        (a, b), (m, n) = (v.pair if isinstance(v, Open) else (v, v) for v in (at, size))
        if a == b:
            return a
        if (a, b) == (m, n):
            return _LAST
        return a - m if a - m == b - n < 0 else self.extent(Open(a, b))

    def places(self, numbers: Sequence[Any]) -> str:
        """A vector of int64 of what `place` gives."""
        if all(isinstance(n, (int, np.integer)) for n in numbers):
            return self.ints(*numbers)
        return str(self("Concat", *[n if isinstance(n, str) else self.ints(n) for n in numbers], axis=0))


__all__ = ["IMAGES", "Writer", "library"]
