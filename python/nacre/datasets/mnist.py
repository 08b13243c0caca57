"""70,000 handwritten digits, 28x28, grey."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.utils.files import get_file

__all__ = ["load_data"]


def load_data(path: str = "mnist.npz") -> Any:
    """`(x_train, y_train), (x_test, y_test)`: uint8 images (60000, 28, 28) and (10000, 28, 28), labels 0..9.

    `path` is the name in the cache (`~/.keras/datasets`, or `$KERAS_HOME/datasets`).
    """
    where = get_file(
        fname=path,
        origin="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        file_hash="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    )
    with np.load(where, allow_pickle=False) as f:
        return (f["x_train"], f["y_train"]), (f["x_test"], f["y_test"])
