"""`tf.summary`: numbers, distributions, pictures and texts for TensorBoard, in event files that nacre writes itself."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nacre.callbacks import tensorboard as _events
from nacre.core import trace
from nacre.core.errors import NotCompilable

_default: list[tuple[Writer | None, Any]] = [(None, None)]  # the writers in use and their steps, the innermost last
_step: list[Any] = [None]
_recording: list[Any] = [True]


class Writer:
    """Writes into one folder what is summarized while it is the default writer."""

    def __init__(self, logdir: Any, max_queue: Any = None, flush_millis: Any = None, **kwargs: Any) -> None:
        self.logdir = str(logdir)
        self._events: _events.EventWriter | None = _events.EventWriter(self.logdir)

    @contextmanager
    def as_default(self, step: Any = None) -> Iterator[Writer]:
        """The block's summaries go here; `step` is theirs unless they say another."""
        _default.append((self, step))
        try:
            yield self
        finally:
            _default.pop()

    def set_as_default(self, step: Any = None) -> None:
        """The summaries outside of any block go here."""
        _default[0] = (self, step)

    def add(self, value: bytes, step: int) -> bool:
        """Writes one value. A closed writer takes none."""
        if self._events is None:
            return False
        self._events.add([value], step)
        return True

    def init(self) -> None:
        """Nothing: the file is there already."""

    def flush(self) -> None:
        """Nothing: each summary is written at once."""

    def close(self) -> None:
        """Ends the file."""
        if self._events is not None:
            self._events.close()
        self._events = None


def create_file_writer(
    logdir: Any, max_queue: Any = None, flush_millis: Any = None, filename_suffix: Any = None, name: str | None = None
) -> Writer:
    """A writer of event files in `logdir`."""
    return Writer(logdir)


def create_noop_writer() -> Writer:
    """A writer that writes nothing."""
    writer = Writer.__new__(Writer)
    writer._events = None
    return writer


def should_record_summaries() -> bool:
    """Whether a summary would be written now."""
    recording = _recording[-1]() if callable(_recording[-1]) else _recording[-1]
    return _default[-1][0] is not None and bool(np.asarray(recording))


@contextmanager
def record_if(condition: Any) -> Iterator[None]:
    """Within the block only what meets `condition`, a truth value or what returns one, is written."""
    _recording.append(condition)
    try:
        yield
    finally:
        _recording.pop()


def _write(values: Callable[[], bytes], step: Any) -> bool:
    writer, own = _default[-1]
    if writer is None or trace.probing():
        return False
    if trace.current_graph() is not None:
        raise NotCompilable("summaries are written step by step: run eagerly")
    if not should_record_summaries():
        return False
    for candidate in (step, own, _step[0]):
        if candidate is not None:
            return writer.add(values(), int(np.asarray(candidate)))
    raise ValueError("No step set. Please specify one either through the `step` argument or through "
                     "tf.summary.experimental.set_step()")  # fmt: skip


def scalar(name: str, data: Any, step: Any = None, description: str | None = None) -> bool:
    """One number."""
    return _write(lambda: _events.scalar(name, float(np.asarray(data))), step)


def histogram(
    name: str, data: Any, step: Any = None, buckets: int | None = None, description: str | None = None
) -> bool:
    """The distribution of the values of `data`."""
    return _write(lambda: _events.histogram(name, np.asarray(data), 30 if buckets is None else buckets), step)


def image(name: str, data: Any, step: Any = None, max_outputs: int = 3, description: str | None = None) -> bool:
    """The first pictures of `data`, (N, H, W, C): bytes, or floats from 0 to 1."""

    def strings() -> list[bytes]:
        pixels = np.asarray(data)
        if pixels.ndim != 4:
            raise ValueError(f"data: expected pictures (N, H, W, C), got an array of shape {pixels.shape}")
        if pixels.dtype.kind == "f":
            pixels = np.clip(pixels * 255.0 + 0.5, 0, 255)
        size = [str(n).encode() for n in (pixels.shape[2], pixels.shape[1])]
        return [*size, *[_png(picture) for picture in pixels[:max_outputs].astype("uint8")]]

    return _write(lambda: _tensor(name, "images", strings()), step)


def text(name: str, data: Any, step: Any = None, description: str | None = None) -> bool:
    """A text, or several."""

    def strings() -> list[bytes]:
        return [t if isinstance(t, bytes) else str(t).encode() for t in np.asarray(data, object).ravel()]

    return _write(lambda: _tensor(name, "text", strings(), np.ndim(data) == 0), step)


def set_step(step: Any) -> None:
    """The step of the summaries that name none."""
    _step[0] = step


def get_step() -> Any:
    """What `set_step` was given."""
    return _step[0]


def _tensor(tag: str, plugin: str, strings: list[bytes], alone: bool = False) -> bytes:
    """A `Summary.Value` of strings, which TensorBoard's `plugin` shows."""
    field = _events.field
    shape = b"" if alone else field(2, 2, field(2, 2, field(1, 0, _events.varint(len(strings)))))
    tensor = field(1, 0, _events.varint(7)) + shape + b"".join(field(8, 2, s) for s in strings)
    metadata = field(1, 2, field(1, 2, plugin.encode())) + field(4, 0, _events.varint(3 if plugin == "images" else 2))
    return field(1, 2, tag.encode()) + field(9, 2, metadata) + field(8, 2, tensor)


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    """A picture (H, W, C) of bytes as a PNG file."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}.get(channels)
    if kind is None:
        raise ValueError(f"data: pictures have 1 to 4 channels, got {channels}")
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row begins with 0, "as it is"
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(rows.tobytes()))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + packed + chunk(b"IEND", b"")
