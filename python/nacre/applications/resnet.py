"""ResNet50, 101 and 152 (He et al. 2015), and the stem that they share with the second version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import Arguments, Layers, image_model, published
from nacre.applications.imagenet_utils import decode_predictions
from nacre.models import Model

__all__ = ["ResNet50", "ResNet101", "ResNet152", "decode_predictions", "preprocess_input"]

FILTERS = (64, 128, 256, 512)
MAKE = Layers(epsilon=1.001e-5, bias=True)
_MD5 = {
    "resnet50": ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": ("f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
    "resnet152": ("100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    "resnet50v2": ("3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"),
    "resnet101v2": ("6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"),
    "resnet152v2": ("a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"),
}


def residual_network(given: Arguments, which: str, body: Any) -> Model:
    """The Model with weights `which`."""
    return image_model(given, body, published("resnet", which, *_MD5[which]), pool_names=("avg_pool", "max_pool"))


def stem(image: Any, norm: bool) -> Any:
    """7x7 with stride 2, (batch norm, relu,) 3x3 max-pooling with stride 2."""
    x = MAKE.conv(MAKE.pad(image, 3, "conv1_pad"), 64, 7, "conv1_conv", 2)
    if norm:
        x = MAKE.act(MAKE.bn(x, "conv1_bn"), "conv1_relu")
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(MAKE.pad(x, 1, "pool1_pad"))


def _block(x: Any, filters: int, strides: int, project: bool, name: str) -> Any:
    short = x
    if project:
        short = MAKE.bn(MAKE.conv(x, 4 * filters, 1, f"{name}_0_conv", strides), f"{name}_0_bn")
    for i, (width, window, step) in enumerate(((filters, 1, strides), (filters, 3, 1), (4 * filters, 1, 1)), 1):
        x = MAKE.bn(MAKE.conv(x, width, window, f"{name}_{i}_conv", step, padding="same"), f"{name}_{i}_bn")
        x = MAKE.act(x, f"{name}_{i}_relu") if i < 3 else x
    return MAKE.act(layers.Add(name=f"{name}_add")([short, x]), f"{name}_out")


def _network(depths: Sequence[int], which: str, given: Arguments) -> Model:
    def body(image: Any) -> Any:
        x = stem(image, norm=True)
        for stage, (filters, depth) in enumerate(zip(FILTERS, depths), 2):
            for i in range(1, depth + 1):
                x = _block(x, filters, 2 if i == 1 and stage > 2 else 1, i == 1, f"conv{stage}_block{i}")
        return x

    return residual_network(given, which, body)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as BGR, each channel minus its mean: see `imagenet_utils.preprocess_input`."""
    return imagenet_utils.preprocess_input(x, data_format, "caffe")


def ResNet50(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "resnet50",
) -> Model:  # fmt: skip
    """ResNet with 50 layers, 25.6 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((3, 4, 6, 3), "resnet50", given)


def ResNet101(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "resnet101",
) -> Model:  # fmt: skip
    """ResNet with 101 layers, 44.7 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((3, 4, 23, 3), "resnet101", given)


def ResNet152(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "resnet152",
) -> Model:  # fmt: skip
    """ResNet with 152 layers, 60.4 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((3, 8, 36, 3), "resnet152", given)
