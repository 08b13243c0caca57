"""ResNet50V2, 101V2 and 152V2 (He et al. 2016): batch norm and relu stand in front of the convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import Arguments
from nacre.applications.imagenet_utils import decode_predictions
from nacre.applications.resnet import FILTERS, MAKE, residual_network, stem
from nacre.models import Model

__all__ = ["ResNet50V2", "ResNet101V2", "ResNet152V2", "decode_predictions", "preprocess_input"]


def _block(x: Any, filters: int, strides: int, project: bool, name: str) -> Any:
    first = MAKE.act(MAKE.bn(x, f"{name}_preact_bn"), f"{name}_preact_relu")
    if project:
        short = MAKE.conv(first, 4 * filters, 1, f"{name}_0_conv", strides)
    else:
        short = layers.MaxPooling2D(1, strides=strides)(x) if strides > 1 else x
    y = MAKE.conv(first, filters, 1, f"{name}_1_conv", use_bias=False)
    y = MAKE.act(MAKE.bn(y, f"{name}_1_bn"), f"{name}_1_relu")
    y = MAKE.conv(MAKE.pad(y, 1, f"{name}_2_pad"), filters, 3, f"{name}_2_conv", strides, use_bias=False)
    y = MAKE.act(MAKE.bn(y, f"{name}_2_bn"), f"{name}_2_relu")
    return layers.Add(name=f"{name}_out")([short, MAKE.conv(y, 4 * filters, 1, f"{name}_3_conv")])


def _network(depths: Sequence[int], which: str, given: Arguments) -> Model:
    def body(image: Any) -> Any:
        x = stem(image, norm=False)
        for stage, (filters, depth) in enumerate(zip(FILTERS, depths), 2):
            for i in range(1, depth + 1):
                x = _block(x, filters, 2 if i == depth and stage < 5 else 1, i == 1, f"conv{stage}_block{i}")
        return MAKE.act(MAKE.bn(x, "post_bn"), "post_relu")

    return residual_network(given, which, body)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as numbers from -1 to 1."""
    return imagenet_utils.preprocess_input(x, data_format, "tf")


def ResNet50V2(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "resnet50v2",
) -> Model:  # fmt: skip
    """The second ResNet with 50 layers, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((3, 4, 6, 3), "resnet50v2", given)


def ResNet101V2(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "resnet101v2",
) -> Model:  # fmt: skip
    """The second ResNet with 101 layers, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((3, 4, 23, 3), "resnet101v2", given)


def ResNet152V2(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "resnet152v2",
) -> Model:  # fmt: skip
    """The second ResNet with 152 layers, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((3, 8, 36, 3), "resnet152v2", given)
