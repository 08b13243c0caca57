"""Files of records and the `Example`s in them: `tf.io.TFRecordWriter`, `tf.data.TFRecordDataset`, `tf.train.Example`
and what parses it. https://www.tensorflow.org/tutorials/load_data/tfrecord describes the format of the files,
`example.proto` and `feature.proto` of TensorFlow the messages."""

from __future__ import annotations

import gzip
import itertools
import math
import operator
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from nacre.callbacks.tensorboard import field, masked_crc, varint
from nacre.callbacks.tensorboard import record as framed
from nacre.compat.pictures import file_name, file_names
from nacre.compat.sparse import SparseTensor
from nacre.core.tensor import Tensor
from nacre.utils.atomic import adding
from nacre.utils.dataset import Dataset, Text, as_values, scalar
from nacre.utils.files import reading

# --- messages ----------------------------------------------------------------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next thing stands."""
    number = shift = 0
    while at < len(data) and shift < 70:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, at
    raise ValueError("not a message of protocol buffers: it ends within a number")


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The numbers and contents (an int, or bytes) of the fields of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            content, at = _varint(data, at)
            yield number, content
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"not a message of protocol buffers: a field of kind {kind}")
        size, at = _varint(data, at) if kind == 2 else (8 if kind == 1 else 4, at)
        if size > len(data) - at:
            raise ValueError("not a message of protocol buffers: it ends within a field")
        yield number, data[at : at + size]
        at += size


class _Message:
    """What is written as bytes and read back from them."""

    def SerializeToString(self, **kwargs: Any) -> bytes:  # their names
        """The bytes of the message."""
        raise NotImplementedError

    def _take(self, number: int, content: Any) -> None:
        """One field of what is read."""
        raise NotImplementedError

    @classmethod
    def FromString(cls, serialized: Any) -> Any:
        """The message of these bytes."""
        made = cls()
        made.ParseFromString(serialized)
        return made

    def ParseFromString(self, serialized: Any) -> int:
        """Becomes the message of these bytes, as many as it says."""
        data: Any = np.asarray(serialized, object)[()]
        self.__init__()  # type: ignore[misc]
        for number, content in fields(data):
            try:
                self._take(number, content)
            except (TypeError, AttributeError, UnicodeDecodeError):  # a number where bytes stand, or no text for a name
                raise ValueError(
                    f"not a message of protocol buffers: field {number} of {type(self).__name__}"
                ) from None
        return len(data)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.SerializeToString() == other.SerializeToString()

    __hash__ = None  # type: ignore[assignment]


class BytesList(_Message):
    """Strings of bytes."""

    dtype = "string"

    def __init__(self, value: Any = ()) -> None:
        self.value = [self._checked(v) for v in value]

    def _checked(self, value: Any) -> Any:
        value = value[()] if isinstance(value, Text) and not value.ndim else value
        if not isinstance(value, bytes):
            raise TypeError(f"{value!r} has type {type(value).__name__}, but expected one of: bytes")
        return value

    def SerializeToString(self, **kwargs: Any) -> bytes:
        return b"".join(field(1, 2, self._checked(v)) for v in self.value)

    def _take(self, number: int, content: Any) -> None:
        self.value.append(self._checked(content))


class FloatList(BytesList):
    """Numbers of float32."""

    dtype = "float32"

    def _checked(self, value: Any) -> float:
        return float(np.float32(value))

    def SerializeToString(self, **kwargs: Any) -> bytes:
        return field(1, 2, np.asarray(self.value, "<f4").tobytes()) if self.value else b""

    def _take(self, number: int, content: Any) -> None:
        self.value += np.frombuffer(content, "<f4").tolist()


class Int64List(BytesList):
    """Whole numbers."""

    dtype = "int64"

    def _checked(self, value: Any) -> int:
        number = operator.index(value.item() if isinstance(value, (np.generic, np.ndarray)) else value)
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"Value out of range: {number}")
        return number

    def SerializeToString(self, **kwargs: Any) -> bytes:
        packed = b"".join(varint(self._checked(v) & 0xFFFF_FFFF_FFFF_FFFF) for v in self.value)
        return field(1, 2, packed) if packed else b""

    def _take(self, number: int, content: Any) -> None:
        at, numbers = 0, [content] if isinstance(content, int) else []
        while isinstance(content, bytes) and at < len(content):
            found, at = _varint(content, at)
            numbers.append(found)
        self.value += [n - 2**64 if n >= 2**63 else n for n in numbers]


class _Parts(_Message):
    """Messages under fixed names."""

    parts: ClassVar[dict[str, type[_Message]]]

    def __init__(self, **held: Any) -> None:
        for name, value in held.items():
            if name not in self.parts or not isinstance(value, self.parts[name]):
                raise TypeError(f"{type(self).__name__}: expected {', '.join(self.parts)}, got {name}={value!r}")
        for name, part in self.parts.items():
            setattr(self, name, held.get(name) or part())
        self._given = set(held)

    def SerializeToString(self, **kwargs: Any) -> bytes:
        return b"".join(
            field(number, 2, getattr(self, name).SerializeToString())
            for number, name in enumerate(self.parts, 1)
            if self._has(name)
        )

    def _has(self, name: str) -> bool:
        return name in self._given or bool(getattr(self, name).SerializeToString())

    def _take(self, number: int, content: Any) -> None:
        if 1 <= number <= len(self.parts):
            name = [*self.parts][number - 1]
            setattr(self, name, self.parts[name].FromString(content))
            self._given.add(name)


class Feature(_Parts):
    """One of three lists of values."""

    parts: ClassVar[Any] = {"bytes_list": BytesList, "float_list": FloatList, "int64_list": Int64List}

    def WhichOneof(self, group: str = "kind") -> str | None:
        """The name of the list that is there."""
        return next((name for name in self.parts if self._has(name)), None)


class FeatureList(_Message):
    """Features one after another."""

    def __init__(self, feature: Any = ()) -> None:
        self.feature = list(feature)

    def SerializeToString(self, **kwargs: Any) -> bytes:
        return b"".join(field(1, 2, f.SerializeToString()) for f in self.feature)

    def _take(self, number: int, content: Any) -> None:
        self.feature.append(Feature.FromString(content))


class _Made(dict[str, Any]):
    """Messages by name, made when they are first asked for."""

    part: Any

    def __missing__(self, name: str) -> Any:
        self[name] = self.part()
        return self[name]


class Features(_Message):
    """Features by name."""

    name, part = "feature", Feature

    def __init__(self, **held: Any) -> None:
        made = _Made(held.pop(self.name, {}))
        made.part = self.part
        setattr(self, self.name, made)
        if held or not all(isinstance(v, self.part) for v in made.values()):
            raise TypeError(f"{type(self).__name__}: expected {self.name}: names and {self.part.__name__}s")

    def SerializeToString(self, **kwargs: Any) -> bytes:
        held = getattr(self, self.name).items()
        return b"".join(field(1, 2, field(1, 2, k.encode()) + field(2, 2, v.SerializeToString())) for k, v in held)

    def _take(self, number: int, content: Any) -> None:
        entry = dict(fields(content))
        getattr(self, self.name)[entry.get(1, b"").decode()] = self.part.FromString(entry.get(2, b""))


class FeatureLists(Features):
    """Lists of features by name."""

    name, part = "feature_list", FeatureList  # type: ignore[assignment]


class Example(_Parts):
    """Features by name: `example.features.feature["label"].int64_list.value`."""

    parts: ClassVar[Any] = {"features": Features}


class SequenceExample(_Parts):
    """Features of a whole (`context`) and lists of features, one per step (`feature_lists`)."""

    parts: ClassVar[Any] = {"context": Features, "feature_lists": FeatureLists}


# --- files -------------------------------------------------------------------------------------------------------


class TFRecordOptions:
    """How a file is compressed: "" or "GZIP"."""

    def __init__(self, compression_type: str | None = None, **kwargs: Any) -> None:
        if compression_type not in (None, "", "GZIP"):
            raise ValueError(f"compression_type: expected '' or 'GZIP', got {compression_type!r}")
        self.open: Any = gzip.open if compression_type else open


class TFRecordWriter:
    """Writes records into a file; `options` is a `TFRecordOptions`, or the way to compress."""

    def __init__(self, path: Any, options: Any = None) -> None:
        how = options if isinstance(options, TFRecordOptions) else TFRecordOptions(options)
        self._file = how.open(file_name(path), "wb")

    def write(self, record: Any) -> None:
        """Adds one record: bytes."""
        data: Any = np.asarray(record, object)[()]
        with adding(self._file) as file:
            file.write(framed(data.encode() if isinstance(data, str) else data))

    def flush(self) -> None:
        """Hands what was added to the system."""
        with adding(self._file) as file:
            file.flush()

    def close(self) -> None:
        """Ends the file."""
        with adding(self._file) as file:
            file.close()

    def __enter__(self) -> TFRecordWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _records(path: str, options: TFRecordOptions) -> Iterator[Any]:
    """The records of a file, as scalars of bytes. Raises ValueError where it is damaged."""
    with reading(path, "records"), options.open(path, "rb") as file:
        for number in itertools.count():
            head = file.read(12)
            if not head:
                return
            known = len(head) == 12 and masked_crc(head[:8]) == int.from_bytes(head[8:], "little")
            size = int.from_bytes(head[:8], "little") if known else 0
            try:
                body = file.read(size + 4)
            except (MemoryError, OverflowError):
                body = b""
            if not known or masked_crc(body[:size]) != int.from_bytes(body[size:], "little") or len(body) != size + 4:
                raise ValueError(f"the checksum of record {number} is wrong: the file is damaged, or has no records")
            yield scalar(body[:size])


class TFRecordDataset(Dataset):
    """The records of one file, or of several one after another, as scalars of bytes."""

    def __init__(
        self,
        filenames: Any,
        compression_type: str | None = None,
        buffer_size: int | None = None,
        num_parallel_reads: int | None = None,
        name: str | None = None,
    ) -> None:
        how = TFRecordOptions(compression_type)

        def records() -> Iterator[Any]:
            for path in file_names(list(filenames) if isinstance(filenames, Dataset) else filenames):
                yield from _records(path, how)

        super().__init__(records)


# --- parsing -----------------------------------------------------------------------------------------------------


class FixedLenFeature(NamedTuple):
    """Values of that shape; `default_value` where there are none."""

    shape: Any
    dtype: Any
    default_value: Any = None


class VarLenFeature(NamedTuple):
    """Any number of values, as a sparse tensor."""

    dtype: Any


class FixedLenSequenceFeature(NamedTuple):
    """Any number of parts of that shape."""

    shape: Any
    dtype: Any
    allow_missing: bool = False
    default_value: Any = None


def _array(values: Any, dtype: Any) -> np.ndarray[Any, Any]:
    out = np.empty(len(values), object if dtype == "string" else dtype)
    out[:] = values
    return out


def _found(feature: Feature | None, name: str, dtype: Any) -> np.ndarray[Any, Any] | None:
    """The values of a feature; None where there are none."""
    kind = feature.WhichOneof() if feature is not None else None
    if kind is None:
        return None
    held = getattr(feature, kind)
    if held.dtype != str(dtype):
        raise ValueError(f"Key: {name}.  Data types don't match. Expected type: {dtype}, got {held.dtype}")
    return _array(held.value, held.dtype)


def _parsed(features: dict[str, Any], name: str, asked: Any) -> np.ndarray[Any, Any]:
    """The values of one example, in the shape that is asked for."""
    values = _found(features.get(name), name, asked.dtype)
    if isinstance(asked, VarLenFeature):
        return _array([], asked.dtype) if values is None else values
    shape, default = tuple(int(n) for n in np.ravel(asked.shape)), asked.default_value
    if isinstance(asked, FixedLenSequenceFeature):
        return (_array([], asked.dtype) if values is None else values).reshape(-1, *shape)
    count = int(np.prod(shape))
    if values is None:
        if default is None:
            raise ValueError(f"Feature: {name} (data type: {asked.dtype}) is required but could not be found.")
        values = _array(np.ravel(np.asarray(default, object)), asked.dtype)
        values = np.broadcast_to(values, count) if len(values) == 1 else values
    if len(values) != count:
        raise ValueError(f"Key: {name}.  Can't parse serialized Example: {count} values expected, got {len(values)}")
    return values.reshape(shape)


def _sparse(rows: list[np.ndarray[Any, Any]], dtype: Any, single: bool) -> SparseTensor:
    places = [[j] if single else [i, j] for i, row in enumerate(rows) for j in range(len(row))]
    longest = max(map(len, rows), default=0)
    shape = [longest] if single else [len(rows), longest]
    values = as_values(np.concatenate([_array([], dtype), *rows]).astype("O" if dtype == "string" else dtype))
    indices = np.array(places, np.int64).reshape(-1, len(shape))
    return SparseTensor(Tensor(indices), values, Tensor(np.array(shape, np.int64)))


def _joined(rows: list[np.ndarray[Any, Any]], asked: Any) -> Any:
    """What a batch of examples has under one name."""
    if isinstance(asked, VarLenFeature):
        return _sparse(rows, asked.dtype, False)
    if isinstance(asked, FixedLenSequenceFeature):
        missing = ("" if asked.dtype == "string" else 0) if asked.default_value is None else asked.default_value
        out = np.full((len(rows), max(map(len, rows), default=0), *rows[0].shape[1:]), missing, rows[0].dtype)
        for filled, row in zip(out, rows):
            filled[: len(row)] = row
        return as_values(out)
    return as_values(np.stack(rows))


def parse_example(serialized: Any, features: Any, example_names: Any = None, name: str | None = None) -> dict[str, Any]:
    """What a batch of serialized examples holds, by name; of one, as `parse_single_example`."""
    data = np.asarray(serialized, object)
    if not data.ndim:
        return parse_single_example(serialized, features)
    held = [Example.FromString(one).features.feature for one in data]
    return {name: _joined([_parsed(one, name, asked) for one in held], asked) for name, asked in features.items()}


def parse_single_example(
    serialized: Any, features: Any, example_names: Any = None, name: str | None = None
) -> dict[str, Any]:
    """What one serialized example holds, by name: `features` says what to expect under which name."""
    return _single(Example.FromString(serialized).features.feature, features)


def _single(held: dict[str, Any], features: Any) -> dict[str, Any]:
    out = {}
    for name, asked in features.items():
        values = _parsed(held, name, asked)
        out[name] = _sparse([values], asked.dtype, True) if isinstance(asked, VarLenFeature) else as_values(values)
    return out


def parse_single_sequence_example(
    serialized: Any,
    context_features: Any = None,
    sequence_features: Any = None,
    example_name: Any = None,
    name: str | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What one serialized sequence example holds: its context, and per name the steps."""
    example = SequenceExample.FromString(serialized)
    steps: dict[str, Any] = {}
    for name, asked in (sequence_features or {}).items():
        held = example.feature_lists.feature_list.get(name, FeatureList()).feature
        shape = tuple(int(n) for n in np.ravel(getattr(asked, "shape", ())))
        rows = [_parsed({name: f}, name, asked) for f in held]
        if isinstance(asked, VarLenFeature):
            steps[name] = _sparse(rows, asked.dtype, False)
        else:
            steps[name] = as_values(np.concatenate([_array([], asked.dtype).reshape(0, *shape), *rows]))
    return _single(example.context.feature, context_features or {}), steps


# --- tensors as bytes --------------------------------------------------------------------------------------------

# The numbers that TensorFlow gives to dtypes.
_TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 8: "complex64", 9: "int64", 10: "bool",
    14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip


def serialize_tensor(tensor: Any, name: str | None = None) -> Text:
    """A tensor of numbers as bytes (a `TensorProto`)."""
    array = np.asarray(tensor)
    number = next((n for n, dtype in _TYPES.items() if dtype == array.dtype.name), None)
    if number is None:
        raise ValueError(f"serialize_tensor: expected numbers, got {array.dtype}")
    shape = b"".join(field(2, 2, field(1, 0, varint(n)) if n else b"") for n in array.shape)
    return scalar(field(1, 0, varint(number)) + field(2, 2, shape) + field(4, 2, array.tobytes()))


def parse_tensor(serialized: Any, out_type: Any, name: str | None = None) -> Any:
    """The tensor in what `serialize_tensor` made."""
    data: Any = np.asarray(serialized, object)[()]
    with reading("parse_tensor: the text", "a tensor"):
        return _tensor(dict(fields(data)), out_type)


def _tensor(held: dict[int, Any], out_type: Any) -> Any:
    dtype = _TYPES.get(held.get(1, 0))
    if dtype is None or dtype != str(out_type):
        raise ValueError(f"Type mismatch between parsed tensor ({dtype}) and dtype ({out_type})")
    shape = [dict(fields(size)).get(1, 0) for number, size in fields(held.get(2, b"")) if number == 2]
    array = np.frombuffer(held.get(4, b""), dtype)
    if array.size != math.prod(shape):
        raise ValueError(f"{array.size} numbers cannot have the shape {shape}")
    return as_values(array.reshape(shape).copy())


def decode_raw(input_bytes: Any, out_type: Any, little_endian: bool = True, **kwargs: Any) -> Any:
    """The numbers whose bytes these are; a batch of equally long strings has an axis more."""
    texts = np.asarray(input_bytes, object)
    kind = np.dtype(out_type).newbyteorder("<" if little_endian else ">")
    rows = [np.frombuffer(text.encode() if isinstance(text, str) else text, kind) for text in texts.ravel()]
    if len({*map(len, rows)}) > 1:
        raise ValueError(f"decode_raw: expected strings of one length, got {sorted({*map(len, rows)})} numbers")
    found = np.stack(rows) if rows else np.empty((0, 0), kind)
    return as_values(found.reshape(*texts.shape, found.shape[-1]).astype(out_type))


MESSAGES: list[Any] = [
    BytesList,
    FloatList,
    Int64List,
    Feature,
    Features,
    FeatureList,
    FeatureLists,
    Example,
    SequenceExample,
]
READING: list[Any] = [
    TFRecordOptions, TFRecordWriter, FixedLenFeature, FixedLenSequenceFeature, VarLenFeature, parse_example,
    parse_single_example, parse_single_sequence_example, serialize_tensor, parse_tensor, decode_raw,
]  # fmt: skip
