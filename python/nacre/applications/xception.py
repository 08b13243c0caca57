"""Xception (Chollet 2017): separable convolutions between residual connections."""

from __future__ import annotations

from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import Arguments, Layers, image_model, published
from nacre.applications.imagenet_utils import decode_predictions
from nacre.models import Model

__all__ = ["Xception", "decode_predictions", "preprocess_input"]

_MAKE = Layers()
# Filters of the separable convolutions of blocks 2 to 13. A block whose filters change pools, and its shortcut strides,
# by 2.
_BLOCKS = ((128, 128), (256, 256), (728, 728), *[(728, 728, 728)] * 8, (728, 1024))


def _body(x: Any) -> Any:
    for i, (filters, strides) in enumerate(((32, 2), (64, 1)), 1):
        name = f"block1_conv{i}"
        x = _MAKE.act(_MAKE.bn(_MAKE.conv(x, filters, 3, name, strides), f"{name}_bn"), f"{name}_act")
    for block, widths in enumerate(_BLOCKS, 2):
        short, strided = x, len(widths) == 2
        if strided:
            short = _MAKE.bn(_MAKE.conv(x, widths[-1], 1, strides=2, padding="same"))
        for i, filters in enumerate(widths, 1):
            name = f"block{block}_sepconv{i}"
            x = _MAKE.act(x, f"{name}_act") if block > 2 or i > 1 else x
            x = _MAKE.bn(_MAKE.separable(x, filters, name), f"{name}_bn")
        if strided:
            x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"block{block}_pool")(x)
        x = layers.add([x, short])
    for i, filters in enumerate((1536, 2048), 1):
        name = f"block14_sepconv{i}"
        x = _MAKE.act(_MAKE.bn(_MAKE.separable(x, filters, name), f"{name}_bn"), f"{name}_act")
    return x


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as numbers from -1 to 1."""
    return imagenet_utils.preprocess_input(x, data_format, "tf")


def Xception(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "xception",
) -> Model:  # fmt: skip
    """Xception with 22.9 million weights, for images of 299 x 299. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    source = published("xception", "xception", "0a58e3b7378bc2990ea3b43d5981f1f6", "b0042744bf5b25fce3cb969f33bebb97")
    return image_model(given, _body, source, size=299, smallest=71)
