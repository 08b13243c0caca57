"""506 houses with 13 features and their prices in 1000 dollars."""

from __future__ import annotations

from typing import Any

from nacre.datasets import housing

__all__ = ["load_data"]


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Any:
    """`(x_train, y_train), (x_test, y_test)`: float64 features (N, 13) and prices (N,).

    The data are of 1970 and hold a feature that is racist by construction; prefer `california_housing`.
    """
    return housing.load(
        path,
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/boston_housing.npz",
        "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
        test_split,
        seed,
        None,
    )
