"""70,000 pictures of clothes, 28x28, grey."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from typing import Any

import numpy as np

from nacre.utils.files import get_file

__all__ = ["load_data"]

_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_FILES = (
    "train-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
)
_MOST = 1 << 30  # bytes of a file unpacked: twenty times the largest


def load_data() -> Any:
    """`(x_train, y_train), (x_test, y_test)`: uint8 images (60000, 28, 28) and (10000, 28, 28), labels 0..9."""
    folder = os.path.join("datasets", "fashion-mnist")
    y_train, x_train, y_test, x_test = (
        _read_idx(get_file(name, origin=_ORIGIN + name, cache_subdir=folder)) for name in _FILES
    )
    return (x_train, y_train), (x_test, y_test)


def _read_idx(path: str) -> np.ndarray[Any, Any]:
    """A file in the format of the original MNIST: magic number (dtype, rank), sizes, unsigned bytes."""
    try:
        with gzip.open(path) as file:
            zero, kind, rank = struct.unpack(">HBB", file.read(4))
            shape = struct.unpack(f">{rank}I", file.read(4 * rank))
            size = math.prod(shape)
            if size > _MOST:
                raise ValueError(f"shape {shape} is too large")
            data = np.frombuffer(file.read(size + 1), np.uint8)
        if zero != 0 or kind != 8 or data.size != size:
            raise ValueError(f"{data.size} bytes for shape {shape}")
    except (OSError, EOFError, struct.error, zlib.error, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}. Delete it, and it will be downloaded again.") from error
    return data.reshape(shape)
