"""Event files of TensorBoard: read back record by record, checksums included."""

from __future__ import annotations

import gc
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre.callbacks.tensorboard import EventWriter, masked_crc
from training import training_cases as C


def fields(data: bytes) -> list[tuple[int, Any]]:
    """The fields of a message of protocol buffers."""
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(data):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == 0:
            found.append((number, varint()))
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        raw = data[at : at + size]
        at += size
        found.append((number, struct.unpack("<d" if kind == 1 else "<f", raw)[0] if kind in (1, 5) else raw))
    return found


def events(folder: Any) -> list[dict[int, Any]]:
    """The events in the only file of `folder`. Fails when a checksum is wrong."""
    (path,) = folder.iterdir()
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        head = data[at : at + 8]
        (size,) = struct.unpack("<Q", head)
        body = data[at + 12 : at + 12 + size]
        assert struct.unpack("<I", data[at + 8 : at + 12])[0] == masked_crc(head)
        assert struct.unpack("<I", data[at + 12 + size : at + 16 + size])[0] == masked_crc(body)
        found.append(
            dict(fields(body)) | {"values": [dict(fields(v)) for n, s in fields(body) if n == 5 for _, v in fields(s)]}
        )
        at += 16 + size
    return found


def test_checksum_is_crc32c() -> None:
    # The check value of CRC-32C for b"123456789" is 0xE3069283.
    crc = 0xE3069283
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_results_and_weights_are_in_the_files(tmp_path: Any) -> None:
    model = C.mlp(keras)
    model.compile(**C.base(keras))
    board = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=2)
    history = model.fit(C.X, C.Y, batch_size=10, epochs=2, validation_split=0.2, verbose=0, callbacks=[board]).history
    train, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    assert train[0][3] == b"brain.Event:2"
    scalars = {(e.get(2, 0), v[1].decode()): v[2] for e in train for v in e["values"] if 2 in v}
    for epoch in range(2):
        assert scalars[epoch, "epoch_loss"] == pytest.approx(history["loss"][epoch], rel=1e-6)
        assert scalars[epoch, "epoch_learning_rate"] == 0.5
    assert (2, "batch_loss") in scalars
    seen = {(e.get(2, 0), v[1].decode()): v[2] for e in validation for v in e["values"]}
    assert seen[1, "epoch_accuracy"] == pytest.approx(history["val_accuracy"][1], rel=1e-6)
    shapes = {v[1].decode(): dict(fields(v[5])) for e in train for v in e["values"] if 5 in v}
    kernel = shapes[f"{model.weights[0].path}/histogram"]
    assert kernel[3] == model.weights[0].numpy().size
    assert np.frombuffer(kernel[7], "<f8").sum() == kernel[3]


def test_wrong_frequency_is_named() -> None:
    with pytest.raises(ValueError, match=r"update_freq.*'often'"):
        keras.callbacks.TensorBoard(update_freq="often")


def test_a_writer_that_nobody_holds_has_closed_its_file(tmp_path: Path) -> None:
    writer = EventWriter(str(tmp_path))
    file, holder = writer._file, [writer]
    holder.append(holder)  # only the collector of cycles finds it
    del writer, holder
    gc.collect()
    assert file.closed
