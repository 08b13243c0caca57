"""Reading the files that data sets are published in, without running anything that stands in them.

Some of them are Python pickles: programs for a small stack machine that can call any function. Here only the
instructions that build numbers, text, lists, dicts and NumPy arrays are understood; everything else is refused.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_RECONSTRUCT = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
_CALLABLE = {*_RECONSTRUCT, ("numpy", "dtype"), ("_codecs", "encode")}
_NAMES = {*_CALLABLE, ("numpy", "ndarray")}
_MARK = object()
_RATIO_LIMIT = 200  # above this a compressed member is no honest file
_SMALL = 1 << 26


class _Array:
    """An array of which only the wish for it has been read so far."""

    value: np.ndarray[Any, Any] | None = None


class _DType:
    """A dtype under construction."""

    def __init__(self, name: str) -> None:
        self.value = np.dtype(name)


def decode(data: bytes, what: str, text: str = "latin-1") -> Any:
    """The value that a pickle of numbers, text, lists, dicts and arrays describes.

    Raises ValueError for any other instruction. Text of Python 2 is bytes when `text` is "bytes".
    """
    try:
        return _Decoder(data, text).run()
    except RecursionError:
        raise ValueError(f"{what} is damaged: lists in it hold themselves, or nest too deep") from None
    except (IndexError, KeyError, struct.error, TypeError, AttributeError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"{what} is damaged: {type(error).__name__}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


class _Decoder:
    def __init__(self, data: bytes, text: str) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.text = text
        self.left = len(data)  # parts that may still come: each has a byte of its own, unless it is used again

    def take(self, n: int) -> bytes:
        if n < 0 or self.at + n > len(self.data):
            raise ValueError("the data end too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> str:
        end = self.data.index(b"\n", self.at)
        line = self.take(end - self.at).decode("ascii")
        self.at += 1
        return line

    def to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def run(self) -> Any:
        data, stack = self.data, self.stack
        while True:
            op = data[self.at]
            self.at += 1
            # Word numbers are millions of these two.
            if op == 0x4B:  # one unsigned byte
                stack.append(data[self.at])
                self.at += 1
            elif op == 0x4D:  # two unsigned bytes
                stack.append(data[self.at] | data[self.at + 1] << 8)
                self.at += 2
            elif op == 0x2E:  # stop
                return self.finish(stack.pop())
            else:
                self.step(op)

    def step(self, op: int) -> None:
        stack = self.stack
        name = chr(op)
        if name == "(":
            stack.append(_MARK)
        elif name in "]})":
            stack.append({"]": list, "}": dict, ")": tuple}[name]())
        elif name == "a":
            value = stack.pop()
            stack[-1].append(value)
        elif name == "e":
            values = self.to_mark()
            stack[-1].extend(values)
        elif name == "s":
            value, key = stack.pop(), stack.pop()
            stack[-1][key] = value
        elif name == "u":
            items = self.to_mark()
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name == "t":
            stack.append(tuple(self.to_mark()))
        elif op in (0x85, 0x86, 0x87):
            n = op - 0x84
            items = stack[-n:]
            del stack[-n:]
            stack.append(tuple(items))
        elif name == "J":
            stack.append(self.number(4, signed=True))
        elif op == 0x8A:
            stack.append(self.number(self.number(1), signed=True))
        elif name == "G":
            stack.append(struct.unpack(">d", self.take(8))[0])
        elif op in (0x88, 0x89):
            stack.append(op == 0x88)
        elif name == "N":
            stack.append(None)
        else:
            self.step_text(op, name)

    def step_text(self, op: int, name: str) -> None:
        stack = self.stack
        if name in "UT":  # text of Python 2
            raw = self.take(self.number(1 if name == "U" else 4))
            stack.append(raw if self.text == "bytes" else raw.decode(self.text))
        elif name == "X" or op in (0x8C, 0x8D):
            stack.append(self.take(self.number({0x58: 4, 0x8C: 1, 0x8D: 8}[op])).decode("utf-8", "surrogatepass"))
        elif name in "BC" or op == 0x8E:
            stack.append(self.take(self.number({0x42: 4, 0x43: 1, 0x8E: 8}[op])))
        elif name in "qr" or op == 0x94:
            slot = len(self.memo) if op == 0x94 else self.number(1 if name == "q" else 4)
            self.memo[slot] = stack[-1]
        elif name in "hj":
            stack.append(self.memo[self.number(1 if name == "h" else 4)])
        elif op == 0x80:  # the protocol
            self.take(1)
        elif op == 0x95:  # the length of what follows
            self.take(8)
        elif name == "c":
            module = self.line()
            stack.append(_named(module, self.line()))
        elif op == 0x93:
            attribute, module = stack.pop(), stack.pop()
            stack.append(_named(module, attribute))
        elif name == "R":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, arguments))
        elif name == "b":
            state = stack.pop()
            self.build(stack[-1], state)
        else:
            raise ValueError(f"refused: instruction {op:#x} of the pickle is not one that builds plain data")

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, _DType):
            order = state[1].decode() if isinstance(state[1], bytes) else state[1]
            if order == ">":
                target.value = target.value.newbyteorder(">")
            return
        if not isinstance(target, _Array):
            raise ValueError("refused: the file sets the state of an object that is no array")
        _, shape, dtype, fortran, content = state
        kind = dtype.value
        if kind.hasobject:
            self.count(len(content))
            values = objects([self.finish(item) for item in content])
        elif kind.kind in "biufSU":
            raw = content.encode("latin-1") if isinstance(content, str) else content
            self.count(len(raw))
            values = np.frombuffer(raw, kind).copy()
        else:
            raise ValueError(f"refused: an array of dtype {kind}")
        target.value = values.reshape(shape, order="F" if fortran else "C")

    def count(self, parts: int) -> None:
        """Raises ValueError when there are more parts than a file of this size has that does not use some again and
        again: what is small in the file may be without end in memory."""
        self.left -= parts
        if self.left < 0:
            raise ValueError("refused: lists in it hold themselves, or the same parts again and again")

    def finish(self, value: Any) -> Any:
        if isinstance(value, _Array):
            if value.value is None:
                raise ValueError("an array has no contents")
            return value.value
        if not isinstance(value, (dict, list, tuple)):
            return value
        self.count(len(value))
        if isinstance(value, dict):
            return {key: self.finish(item) for key, item in value.items()}
        if any(isinstance(item, (_Array, dict, list, tuple)) for item in value):
            return type(value)(self.finish(item) for item in value)
        return value


def _named(module: Any, name: Any) -> tuple[str, str]:
    if (module, name) not in _NAMES:
        raise ValueError(f"refused: the file asks for {module}.{name}")
    return module, name


def _call(function: Any, arguments: Any) -> Any:
    if not isinstance(function, tuple) or function not in _CALLABLE:
        raise ValueError(f"refused: the file calls {function!r}")
    if function in _RECONSTRUCT:
        return _Array()
    if function == ("numpy", "dtype"):
        name = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        return _DType(str(name))
    return arguments[0].encode("latin-1")  # how Python 2 wrote bytes


def objects(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """An array of these objects; of lists, too, whatever their lengths."""
    out = np.empty(len(values), object)
    for i, value in enumerate(values):
        out[i] = value
    return out


def load_npz(path: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an `.npz` file by name, those that hold lists of numbers included."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            most = max(_RATIO_LIMIT * os.stat(path).st_size, _SMALL)
            if sum(info.file_size for info in archive.infolist()) > most:
                raise ValueError(f"its members would grow to more than {most} bytes")
            for info in archive.infolist():
                if info.file_size > max(_RATIO_LIMIT * info.compress_size, _SMALL):
                    raise ValueError(f"{info.filename} would grow from {info.compress_size} to {info.file_size} bytes")
                if info.filename.endswith(".npy"):
                    arrays[info.filename[:-4]] = _load_npy(archive.read(info), f"{path}: {info.filename}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        text = str(error)
        raise ValueError(text if text.startswith(str(path)) else f"{path} is damaged: {text}") from error
    except OSError as error:
        if error.filename is not None:  # the file is not there, or may not be read
            raise
        raise ValueError(f"{path} is damaged: {error}") from error
    return arrays


def _load_npy(data: bytes, what: str) -> np.ndarray[Any, Any]:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except Exception as error:  # NumPy parses the header as Python, and fails in as many ways
        raise ValueError(f"{what} is damaged: {error}") from error
    if dtype.hasobject:
        value = decode(data[file.tell() :], what)
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{what}: expected an array")
        return value
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or dtype.kind not in "biufSU" or size != len(data) - file.tell():
        raise ValueError(f"{what} is damaged: {len(data) - file.tell()} bytes for shape {shape} of {dtype}")
    flat = np.frombuffer(data, dtype, offset=file.tell()) if size else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C").copy()
