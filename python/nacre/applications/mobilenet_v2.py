"""MobileNetV2 (Sandler et al. 2018): narrow values between blocks that widen, convolve depthwise and narrow again."""

from __future__ import annotations

import warnings
from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import (
    CLOUD,
    Arguments,
    Layers,
    Published,
    channel_axis,
    check_weights,
    image_model,
    input_shape_of,
    stride_padding,
)
from nacre.applications.imagenet_utils import decode_predictions
from nacre.models import Model

__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]

_MAKE = Layers(momentum=0.999)
# Filters, stride of the first block and number of blocks; all but the first widen by 6.
_STAGES = ((16, 1, 1), (24, 2, 2), (32, 2, 3), (64, 2, 4), (96, 1, 3), (160, 2, 3), (320, 1, 1))
_WIDTHS = (0.35, 0.50, 0.75, 1.0, 1.3, 1.4)


def published_side(given: Arguments, sides: tuple[int, ...]) -> tuple[int, Any]:
    """The default height and width, and the side of the images that published weights were trained on (the number of
    rows where none are asked for)."""
    check_weights(given)
    last = channel_axis() == 3
    shape = given.input_shape
    if shape is None and given.input_tensor is not None:
        shape = given.input_tensor.shape[1:]
    rows, columns = (None, None) if shape is None else shape[:2] if last else shape[1:3]
    size = rows if rows == columns and rows in sides else 224
    rows, columns = input_shape_of(given, size, 32)[:2] if last else input_shape_of(given, size, 32)[1:]
    if given.weights == "imagenet" and (rows != columns or rows not in sides):
        rows = 224
        warnings.warn(
            f"`input_shape` is undefined or non-square, or `rows` is not in {list(sides)}. Weights for input shape "
            "(224, 224) will be loaded as the default.",
            stacklevel=3,
        )
    return size, rows


def _eights(filters: float) -> int:
    """The multiple of 8 nearest to `filters`, unless that takes away more than a tenth."""
    near = max(8, int(filters + 4) // 8 * 8)
    return near + 8 if near < 0.9 * filters else near


def _block(x: Any, filters: int, strides: int, index: int) -> Any:
    start, channels = x, x.shape[channel_axis()]
    prefix = f"block_{index}_" if index else "expanded_conv_"
    if index:
        x = _MAKE.conv(x, 6 * channels, 1, f"{prefix}expand", padding="same")
        x = _MAKE.relu6(_MAKE.bn(x, f"{prefix}expand_BN"), f"{prefix}expand_relu")
    if strides == 2:
        x = _MAKE.pad(x, stride_padding(x, 3), f"{prefix}pad")
    x = _MAKE.depthwise(x, 3, f"{prefix}depthwise", strides, "same" if strides == 1 else "valid")
    x = _MAKE.relu6(_MAKE.bn(x, f"{prefix}depthwise_BN"), f"{prefix}depthwise_relu")
    x = _MAKE.bn(_MAKE.conv(x, filters, 1, f"{prefix}project", padding="same"), f"{prefix}project_BN")
    return layers.Add(name=f"{prefix}add")([start, x]) if channels == filters and strides == 1 else x


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as numbers from -1 to 1."""
    return imagenet_utils.preprocess_input(x, data_format, "tf")


def MobileNetV2(
    input_shape: Any = None, alpha: float = 1.0, include_top: bool = True, weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str | None = None,
) -> Model:  # fmt: skip
    """MobileNetV2 with 3.5 million weights, for images of 224 x 224; `alpha` is a factor of the number of filters.

    The other arguments: see `building.Arguments`. Published weights exist for widths 0.35, 0.5, 0.75, 1, 1.3 and 1.4
    and sizes 96, 128, 160, 192 and 224.
    """
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, "")
    size, rows = published_side(given, (96, 128, 160, 192, 224))
    if weights == "imagenet" and alpha not in _WIDTHS:
        raise ValueError(
            "If imagenet weights are being loaded, alpha must be one of `0.35`, `0.50`, `0.75`, `1.0`, `1.3` or `1.4` "
            f"only; Received `alpha={alpha}`"
        )

    def body(image: Any) -> Any:
        x = _MAKE.conv(image, _eights(32 * alpha), 3, "Conv1", 2, padding="same")
        x = _MAKE.relu6(_MAKE.bn(x, "bn_Conv1"), "Conv1_relu")
        index = 0
        for filters, strides, blocks in _STAGES:
            for i in range(blocks):
                x = _block(x, _eights(int(filters * alpha)), 1 if i else strides, index)
                index += 1
        x = _MAKE.conv(x, _eights(1280 * max(alpha, 1.0)), 1, "Conv_1")
        return _MAKE.relu6(_MAKE.bn(x, "Conv_1_bn"), "out_relu")

    def classifier(x: Any, classes: int, activation: Any) -> Any:
        x = layers.GlobalAveragePooling2D()(x)
        return layers.Dense(classes, activation=activation, name="predictions")(x)

    stem = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}"
    source = Published(f"{CLOUD}mobilenet_v2/", (f"{stem}.h5", None), (f"{stem}_no_top.h5", None))
    given = given._replace(name=name if name is not None else f"mobilenetv2_{alpha:0.2f}_{rows}")
    return image_model(given, body, source, size, classifier=classifier)
