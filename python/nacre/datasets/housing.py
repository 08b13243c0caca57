"""What the two collections of house prices have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.utils.files import get_file


def load(path: str, origin: str, sha256: str, test_split: float, seed: int, rows: int | None) -> Any:
    """`(x_train, y_train), (x_test, y_test)` in the order of `seed`; the first `rows` rows of the file, or all."""
    if not 0 <= test_split < 1:
        raise ValueError(f"Invalid `test_split` argument: {test_split}. It must be between 0 and 1 (exclusive of 1).")
    with np.load(get_file(path, origin=origin, file_hash=sha256), allow_pickle=False) as f:
        x, y = f["x"][:rows], f["y"][:rows]
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    x, y = x[order], y[order]
    cut = int(len(x) * (1 - test_split))
    return (x[:cut].copy(), y[:cut].copy()), (x[cut:].copy(), y[cut:].copy())
