"""60,000 colour pictures, 32x32, of ten kinds of things."""

from __future__ import annotations

from typing import Any

from nacre.datasets import cifar

__all__ = ["load_data"]


def load_data() -> Any:
    """`(x_train, y_train), (x_test, y_test)`: uint8 images (50000, 32, 32, 3) and (10000, 32, 32, 3), labels (N, 1)."""
    folder = cifar.fetch(
        "cifar-10-batches-py-target",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        "cifar-10-batches-py",
    )
    train = cifar.load([folder / f"data_batch_{i}" for i in range(1, 6)], b"labels")
    return train, cifar.load([folder / "test_batch"], b"labels")
