"""InceptionV3 (Szegedy et al. 2016): blocks of branches that are concatenated."""

from __future__ import annotations

from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import Arguments, Layers, channel_axis, image_model, published
from nacre.applications.imagenet_utils import decode_predictions
from nacre.models import Model

__all__ = ["InceptionV3", "decode_predictions", "preprocess_input"]

_MAKE = Layers()

# A step of a branch: (filters, rows, columns) of a convolution with batch norm and relu; _DOWN behind it: stride 2
# without padding; _AVERAGE and _MAX: pooling; a tuple of steps: steps side by side, concatenated.
_DOWN, _AVERAGE, _MAX = "down", "average", "max"


def _small(pooled: int) -> list[Any]:
    return [
        [(64, 1, 1)], [(48, 1, 1), (64, 5, 5)], [(64, 1, 1), (96, 3, 3), (96, 3, 3)], [_AVERAGE, (pooled, 1, 1)],
    ]  # fmt: skip


def _long(n: int) -> list[Any]:
    return [
        [(192, 1, 1)], [(n, 1, 1), (n, 1, 7), (192, 7, 1)],
        [(n, 1, 1), (n, 7, 1), (n, 1, 7), (n, 7, 1), (192, 1, 7)], [_AVERAGE, (192, 1, 1)],
    ]  # fmt: skip


def _wide(name: str | None) -> list[Any]:
    return [
        [(320, 1, 1)], [(384, 1, 1), (name, (384, 1, 3), (384, 3, 1))],
        [(448, 1, 1), (384, 3, 3), (None, (384, 1, 3), (384, 3, 1))], [_AVERAGE, (192, 1, 1)],
    ]  # fmt: skip


# Blocks mixed0 to mixed10 by their branches.
_BLOCKS = (
    _small(32), _small(64), _small(64),
    [[(384, 3, 3, _DOWN)], [(64, 1, 1), (96, 3, 3), (96, 3, 3, _DOWN)], [_MAX]],
    _long(128), _long(160), _long(160), _long(192),
    [[(192, 1, 1), (320, 3, 3, _DOWN)], [(192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3, _DOWN)], [_MAX]],
    _wide("mixed9_0"), _wide("mixed9_1"),
)  # fmt: skip


def _step(x: Any, step: Any) -> Any:
    if step == _AVERAGE:
        return layers.AveragePooling2D(3, strides=1, padding="same")(x)
    if step == _MAX:
        return layers.MaxPooling2D(3, strides=2)(x)
    if isinstance(step[1], tuple):
        name, *beside = step
        return layers.concatenate([_step(x, s) for s in beside], axis=channel_axis(), name=name)
    filters, rows, columns, *down = step
    return _conv(x, filters, (rows, columns), 2 if down else 1, "valid" if down else "same")


def _conv(x: Any, filters: int, window: Any, strides: int = 1, padding: str = "same") -> Any:
    x = _MAKE.conv(x, filters, window, strides=strides, padding=padding)
    return _MAKE.act(_MAKE.bn(x, scale=False))


def _body(x: Any) -> Any:
    x = _conv(x, 32, 3, 2, "valid")
    x = _conv(x, 32, 3, 1, "valid")
    x = layers.MaxPooling2D(3, strides=2)(_conv(x, 64, 3))
    x = _conv(x, 80, 1, 1, "valid")
    x = layers.MaxPooling2D(3, strides=2)(_conv(x, 192, 3, 1, "valid"))
    for i, branches in enumerate(_BLOCKS):
        ends = []
        for branch in branches:
            y = x
            for step in branch:
                y = _step(y, step)
            ends.append(y)
        x = layers.concatenate(ends, axis=channel_axis(), name=f"mixed{i}")
    return x


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as numbers from -1 to 1."""
    return imagenet_utils.preprocess_input(x, data_format, "tf")


def InceptionV3(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "inception_v3",
) -> Model:  # fmt: skip
    """InceptionV3 with 23.9 million weights, for images of 299 x 299. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    sums = ("9a0d58056eeedaa3f26cb7ebd46da564", "bcbd6486424b2319ff4ef7d526e38f63")
    return image_model(given, _body, published("inception_v3", "inception_v3", *sums), size=299, smallest=75)
