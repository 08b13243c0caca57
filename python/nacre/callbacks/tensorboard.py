"""Results and weights for TensorBoard, written as its event files without any other library.

A file is a sequence of records: length (u64), its checksum, the bytes, their checksum. The bytes are an `Event` of
protocol buffers, of which only numbers and histograms are needed: https://github.com/tensorflow/tensorboard,
`event.proto`.
"""

from __future__ import annotations

import os
import socket
import struct
import time
import weakref
from typing import Any

import numpy as np

from nacre import _core
from nacre.callbacks.base import Callback
from nacre.callbacks.monitors import working_optimizers
from nacre.utils.atomic import adding


def masked_crc(data: bytes) -> int:
    """The CRC-32C of `data`, rotated and shifted as TensorFlow's records want it."""
    crc: int = _core.crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """`data` as a record of a file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number: int, kind: int, payload: bytes) -> bytes:
    """A field of protocol buffers: 0 a varint, 1 a double, 2 bytes, 5 a float."""
    return varint(number << 3 | kind) + (varint(len(payload)) + payload if kind == 2 else payload)


def scalar(tag: str, value: float) -> bytes:
    """A `Summary.Value` of one number."""
    return field(1, 2, tag.encode()) + field(2, 5, struct.pack("<f", value))


def histogram(tag: str, values: np.ndarray[Any, Any], bins: int = 30) -> bytes:
    """A `Summary.Value` of the distribution of `values`."""
    values = np.asarray(values, np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        values = np.zeros(1)
    counts, edges = np.histogram(values, bins=bins)
    sums = (values.min(), values.max(), float(values.size), values.sum(), float(values @ values))
    body = b"".join(field(i + 1, 1, struct.pack("<d", v)) for i, v in enumerate(sums))
    body += field(6, 2, edges[1:].astype("<f8").tobytes()) + field(7, 2, counts.astype("<f8").tobytes())
    return field(1, 2, tag.encode()) + field(5, 2, body)


class EventWriter:
    """One event file in `folder`."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}.v2"
        self._file = open(os.path.join(folder, name), "ab")  # noqa: SIM115
        self._end = weakref.finalize(self, self._file.close)
        self._file.write(record(field(1, 1, struct.pack("<d", time.time())) + field(3, 2, b"brain.Event:2")))

    def add(self, values: list[bytes], step: int) -> None:
        """Writes values (of `scalar` and `histogram`) for one step."""
        summary = b"".join(field(1, 2, value) for value in values)
        event = field(1, 1, struct.pack("<d", time.time())) + field(2, 0, varint(step)) + field(5, 2, summary)
        with adding(self._file) as file:
            file.write(record(event))
            file.flush()

    def close(self) -> None:
        """Ends the file, as also happens when nobody holds the writer any more."""
        self._end()


class TensorBoard(Callback):
    """Writes results as event files that TensorBoard shows: `log_dir/train` and `log_dir/validation`.

    Args:
        log_dir: the folder.
        histogram_freq: every how many epochs the distribution of each weight is written; 0 for never.
        update_freq: "epoch", "batch", or every how many batches the running results are written, too.
        write_graph, write_images, write_steps_per_second, profile_batch, embeddings_freq, embeddings_metadata:
            accepted; of
            these only steps per second are written.
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        if update_freq not in ("epoch", "batch") and (
            isinstance(update_freq, bool) or not isinstance(update_freq, int)
        ):
            raise ValueError(f"update_freq: expected 'epoch', 'batch' or a number of batches, got {update_freq!r}")
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._writers: dict[str, EventWriter] = {}
        self._steps = 0
        self._started = 0.0
        self._first_step = 0

    @property
    def wants_every_batch(self) -> bool:
        """Only with an `update_freq` in batches."""
        return bool(self.update_freq != "epoch")

    def _writer(self, name: str) -> EventWriter:
        if name not in self._writers:
            self._writers[name] = EventWriter(os.path.join(self.log_dir, name))
        return self._writers[name]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """New files."""
        self.on_train_end()
        self._steps = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._started, self._first_step = time.perf_counter(), self._steps

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the running results, if that was asked for."""
        self._steps += 1
        if self.update_freq != "epoch" and self._steps % self.update_freq == 0:
            self._write("train", "batch_", logs, self._steps)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the results of the epoch."""
        logs = logs or {}
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        train = self._collect_learning_rate(train)
        if self.write_steps_per_second and self.update_freq != "epoch":
            took = max(time.perf_counter() - self._started, 1e-9)
            train["steps_per_second"] = (self._steps - self._first_step) / took
        self._write("train", "epoch_", train, epoch)
        validation = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        self._write("validation", "epoch_", validation, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._writer("train").add([histogram(f"{w.path}/histogram", w.numpy()) for w in self.model.weights], epoch)

    def _collect_learning_rate(self, logs: dict[str, Any]) -> dict[str, Any]:
        optimizers = working_optimizers(getattr(self.model, "optimizer", None))
        for optimizer in optimizers:
            if hasattr(optimizer, "learning_rate"):
                own = f"_{optimizer.name}" if len(optimizers) > 1 else ""
                logs[f"learning_rate{own}"] = float(optimizer.learning_rate)
        return logs

    def _write(self, name: str, prefix: str, logs: dict[str, Any] | None, step: int) -> None:
        values = [scalar(prefix + key, float(v)) for key, v in (logs or {}).items() if np.size(v) == 1]
        if values:
            self._writer(name).add(values, step)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
