"""1,797 handwritten digits, 8x8, grey, that come with scikit-learn: no download."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["load_data"]


def load_data(test_split: float = 0.2, seed: int = 113) -> Any:
    """`(x_train, y_train), (x_test, y_test)`: uint8 images (N, 8, 8) with values 0..16, labels 0..9.

    Raises ImportError when scikit-learn (extra `digits`) is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "datasets.digits comes from scikit-learn: pip install scikit-learn (or nacre[digits])"
        ) from None
    if not 0 <= test_split < 1:
        raise ValueError(f"Invalid `test_split` argument: {test_split}. It must be between 0 and 1 (exclusive of 1).")
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.images))
    x, y = data.images[order].astype(np.uint8), data.target[order].astype(np.int64)
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])
