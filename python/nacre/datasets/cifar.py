"""The two CIFAR collections: 60,000 colour pictures, 32x32, in files of 10,000 or 50,000."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nacre.core.config import image_data_format
from nacre.datasets import stored
from nacre.utils.files import get_file


def fetch(folder: str, origin: str, sha256: str, inner: str) -> Path:
    """The folder of the unpacked files."""
    return Path(get_file(fname=folder, origin=origin, extract=True, file_hash=sha256)) / inner


def load(paths: list[Path], labels_key: bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images (N, 32, 32, 3) (or (N, 3, 32, 32) for "channels_first") and labels (N, 1) of some files."""
    images, labels = [], []
    for path in paths:
        batch = stored.decode(path.read_bytes(), str(path), "bytes")
        if not isinstance(batch, dict) or b"data" not in batch or labels_key not in batch:
            raise ValueError(f"{path}: expected b'data' and {labels_key!r}")
        images.append(np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32))
        labels.append(np.asarray(batch[labels_key], np.uint8).reshape(-1, 1))
    x = np.concatenate(images)
    if image_data_format() == "channels_last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return x, np.concatenate(labels)
