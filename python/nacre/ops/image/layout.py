"""What all image functions share: a batch of channels-last images, and the way back."""

from __future__ import annotations

from typing import Any

from nacre.core.config import standardize_data_format
from nacre.ops.base import value
from nacre.ops.convolution import channels_back, channels_last
from nacre.ops.movement import reshaped


class Batch:
    """Images as (N, H, W, C), and how they came."""

    def __init__(self, images: Any, data_format: Any, name: str) -> None:
        x = value(images)
        self.data_format = standardize_data_format(data_format)
        self.single = len(x.shape) == 3
        if len(x.shape) not in (3, 4):
            raise ValueError(
                f"{name}: Invalid images rank: expected rank 3 (single image) or rank 4 (batch of images). Received "
                f"input with shape: images.shape={x.shape}"
            )
        if self.single:
            x = reshaped(x, (1, *x.shape))
        self.x = channels_last(x, self.data_format)

    def back(self, y: Any) -> Any:
        """`y` (N, H, W, C) in the layout and rank of the images."""
        y = channels_back(y, self.data_format)
        return reshaped(y, y.shape[1:]) if self.single else y
