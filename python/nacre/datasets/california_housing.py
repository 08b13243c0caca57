"""20,640 districts with 8 features and the median price of a house in dollars."""

from __future__ import annotations

from typing import Any

from nacre.datasets import housing

__all__ = ["load_data"]


def load_data(
    version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2, seed: int = 113
) -> Any:
    """`(x_train, y_train), (x_test, y_test)`: float32 features (N, 8) and prices (N,).

    `version` "small" takes the first 600 rows only.
    """
    if version not in ("small", "large"):
        raise ValueError(f"Argument `version` must be one of 'small', 'large'. Received: version={version}")
    return housing.load(
        path,
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/california_housing.npz",
        "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
        test_split,
        seed,
        600 if version == "small" else None,
    )
