"""60,000 colour pictures, 32x32, of a hundred kinds of things in twenty groups."""

from __future__ import annotations

from typing import Any

from nacre.datasets import cifar

__all__ = ["load_data"]


def load_data(label_mode: str = "fine") -> Any:
    """`(x_train, y_train), (x_test, y_test)`: uint8 images (50000, 32, 32, 3) and (10000, 32, 32, 3), labels (N, 1).

    `label_mode` "fine" gives the kind (0..99), "coarse" the group (0..19).
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f"`label_mode` must be one of `'fine'`, `'coarse'`. Received: label_mode={label_mode}.")
    folder = cifar.fetch(
        "cifar-100-python-target",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        "cifar-100-python",
    )
    key = f"{label_mode}_labels".encode()
    return cifar.load([folder / "train"], key), cifar.load([folder / "test"], key)
