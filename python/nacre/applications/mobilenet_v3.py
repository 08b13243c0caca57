"""MobileNetV3 (Howard et al. 2019): MobileNetV2's blocks with weights of channels, in two sizes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from nacre import layers
from nacre.applications.building import (
    CLOUD,
    Arguments,
    Layers,
    Published,
    channel_axis,
    check_weights,
    image_model,
    stride_padding,
)
from nacre.applications.imagenet_utils import decode_predictions
from nacre.models import Model

__all__ = ["decode_predictions", "preprocess_input"]

_MAKE = Layers(momentum=0.999)
# Widening, filters, whether the window is the large one, stride, whether channels are weighed, whether the
# activation is
# the costly one.
_SMALL = (
    (1, 16, 0, 2, 1, 0), (72.0 / 16, 24, 0, 2, 0, 0), (88.0 / 24, 24, 0, 1, 0, 0), (4, 40, 1, 2, 1, 1),
    (6, 40, 1, 1, 1, 1), (6, 40, 1, 1, 1, 1), (3, 48, 1, 1, 1, 1), (3, 48, 1, 1, 1, 1), (6, 96, 1, 2, 1, 1),
    (6, 96, 1, 1, 1, 1), (6, 96, 1, 1, 1, 1),
)  # fmt: skip
_LARGE = (
    (1, 16, 0, 1, 0, 0), (4, 24, 0, 2, 0, 0), (3, 24, 0, 1, 0, 0), (3, 40, 1, 2, 1, 0), (3, 40, 1, 1, 1, 0),
    (3, 40, 1, 1, 1, 0), (6, 80, 0, 2, 0, 1), (2.5, 80, 0, 1, 0, 1), (2.3, 80, 0, 1, 0, 1), (2.3, 80, 0, 1, 0, 1),
    (6, 112, 0, 1, 1, 1), (6, 112, 0, 1, 1, 1), (6, 160, 1, 2, 1, 1), (6, 160, 1, 1, 1, 1), (6, 160, 1, 1, 1, 1),
)  # fmt: skip
# MD5 sums of the weights with the classifier and without.
_SUMS = {
    "large_224_0.75": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0": ("675e7b876c45c57e9e63e6d90a36599c", "ec5221f64a2f6d1ef965a614bdae7973"),
    "small_224_0.75": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0": ("99cd97fb2fcdad2bf028eb838de69e37", "cde8136e733e811080d9fcd8a252f7e4"),
}


def _relu(x: Any) -> Any:
    return layers.ReLU()(x)


def _hard_swish(x: Any) -> Any:
    return layers.Activation("hard_swish")(x)


def _eights(filters: float) -> int:
    """The multiple of 8 nearest to `filters`, unless that takes away more than a tenth."""
    near = max(8, int(filters + 4) // 8 * 8)
    return near + 8 if near < 0.9 * filters else near


def _weighed(x: Any, filters: int, prefix: str) -> Any:
    """Each channel times a number from 0 to 1 that depends on the averages of all."""
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}_avg_pool")(x)
    weight = _MAKE.conv(weight, _eights(filters * 0.25), 1, f"{prefix}_conv", padding="same", use_bias=True)
    weight = layers.ReLU(name=f"{prefix}_relu")(weight)
    weight = _MAKE.conv(weight, filters, 1, f"{prefix}_conv_1", padding="same", use_bias=True)
    weight = layers.ReLU(6.0)(weight + 3.0) * (1.0 / 6.0)
    return layers.Multiply(name=f"{prefix}_mul")([x, weight])


def _block(
    x: Any,
    index: int,
    widening: float,
    filters: int,
    window: int,
    strides: int,
    weighed: bool,
    act: Callable[[Any], Any],
) -> Any:
    start, channels = x, x.shape[channel_axis()]
    prefix = f"expanded_conv_{index}_" if index else "expanded_conv_"
    wide = _eights(channels * widening)
    if index:
        x = act(_MAKE.bn(_MAKE.conv(x, wide, 1, f"{prefix}expand", padding="same"), f"{prefix}expand_bn"))
    if strides == 2:
        x = _MAKE.pad(x, stride_padding(x, window), f"{prefix}depthwise_pad")
    x = _MAKE.depthwise(x, window, f"{prefix}depthwise", strides, "same" if strides == 1 else "valid")
    x = act(_MAKE.bn(x, f"{prefix}depthwise_bn"))
    if weighed:
        x = _weighed(x, wide, f"{prefix}squeeze_excite")
    x = _MAKE.bn(_MAKE.conv(x, filters, 1, f"{prefix}project", padding="same"), f"{prefix}project_bn")
    return layers.Add(name=f"{prefix}add")([start, x]) if strides == 1 and channels == filters else x


def _network(
    size: str, stages: Any, last: int, given: Arguments, alpha: float, minimalistic: bool, dropout: float, scale: bool
) -> Model:
    check_weights(given)
    if given.input_shape is None and given.input_tensor is None:
        given = given._replace(input_shape=(None, None, 3) if channel_axis() == 3 else (3, None, None))
    shape = given.input_shape if given.input_tensor is None else given.input_tensor.shape[1:]
    rows, columns = shape[:2] if channel_axis() == 3 else shape[1:]
    if rows and columns and (rows < 32 or columns < 32):
        raise ValueError(f"Input size must be at least 32x32; Received `input_shape={tuple(shape)}`")
    if given.weights == "imagenet":
        if alpha not in ((1.0,) if minimalistic else (0.75, 1.0)):
            raise ValueError(
                "If imagenet weights are being loaded, alpha can be one of `0.75`, `1.0` for non minimalistic or `1.0` "
                "for minimalistic only."
            )
        if rows != columns or rows != 224:
            warnings.warn(
                "`input_shape` is undefined or non-square, or `rows` is not 224. Weights for input shape (224, 224) "
                "will be loaded as the default.",
                stacklevel=3,
            )
    swish = _relu if minimalistic else _hard_swish

    def body(image: Any) -> Any:
        x = layers.Rescaling(1.0 / 127.5, offset=-1.0)(image) if scale else image
        x = swish(_MAKE.bn(_MAKE.conv(x, 16, 3, "conv", 2, padding="same"), "conv_bn"))
        for i, (widening, filters, large, strides, weighed, costly) in enumerate(stages):
            window = 5 if large and not minimalistic else 3
            act = swish if costly else _relu
            x = _block(x, i, widening, _eights(filters * alpha), window, strides, weighed and not minimalistic, act)
        wide = _eights(x.shape[channel_axis()] * 6)
        return swish(_MAKE.bn(_MAKE.conv(x, wide, 1, "conv_1", padding="same"), "conv_1_bn"))

    def classifier(x: Any, classes: int, activation: Any) -> Any:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        width = _eights(last * alpha) if alpha > 1.0 else last
        x = swish(_MAKE.conv(x, width, 1, "conv_2", padding="same", use_bias=True))
        if dropout > 0:
            x = layers.Dropout(dropout)(x)
        x = _MAKE.conv(x, classes, 1, "logits", padding="same", use_bias=True)
        return layers.Activation(activation, name="predictions")(layers.Flatten()(x))

    kind = f"{size}{'_minimalistic' if minimalistic else ''}_224_{alpha}"
    top, rest = _SUMS.get(kind, (None, None))
    stem = f"weights_mobilenet_v3_{kind}_float"
    source = Published(f"{CLOUD}mobilenet_v3/", (f"{stem}.h5", top), (f"{stem}_no_top_v2.h5", rest))
    return image_model(given, body, source, 224, 32, classifier, ("avg_pool", "max_pool"), checked=True)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """`x` itself: these networks scale pixels from 0 to 255 in a layer of their own."""
    return x


def MobileNetV3Small(
    input_shape: Any = None, alpha: float = 1.0, minimalistic: bool = False, include_top: bool = True,
    weights: Any = "imagenet", input_tensor: Any = None, classes: int = 1000, pooling: str | None = None,
    dropout_rate: float = 0.2, classifier_activation: Any = "softmax", include_preprocessing: bool = True,
    name: str = "MobileNetV3Small",
) -> Model:  # fmt: skip
    """MobileNetV3Small with 2.9 million weights, for images of any size; `alpha` is a factor of the number of filters,
    a `minimalistic` one has small windows and cheap activations. The other arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("small", _SMALL, 1024, given, alpha, minimalistic, dropout_rate, include_preprocessing)


def MobileNetV3Large(
    input_shape: Any = None, alpha: float = 1.0, minimalistic: bool = False, include_top: bool = True,
    weights: Any = "imagenet", input_tensor: Any = None, classes: int = 1000, pooling: str | None = None,
    dropout_rate: float = 0.2, classifier_activation: Any = "softmax", include_preprocessing: bool = True,
    name: str = "MobileNetV3Large",
) -> Model:  # fmt: skip
    """MobileNetV3Large with 5.4 million weights, for images of any size. Arguments: see MobileNetV3Small."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("large", _LARGE, 1280, given, alpha, minimalistic, dropout_rate, include_preprocessing)
