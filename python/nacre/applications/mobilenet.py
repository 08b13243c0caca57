"""MobileNet (Howard et al. 2017): depthwise convolutions, each followed by a 1x1 convolution."""

from __future__ import annotations

from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import CLOUD, Arguments, Layers, Published, image_model
from nacre.applications.imagenet_utils import decode_predictions
from nacre.applications.mobilenet_v2 import published_side
from nacre.models import Model

__all__ = ["MobileNet", "decode_predictions", "preprocess_input"]

_MAKE = Layers()
# Filters and stride of each pair of convolutions.
_PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
_WIDTHS = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}  # as in names of files


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as numbers from -1 to 1."""
    return imagenet_utils.preprocess_input(x, data_format, "tf")


def MobileNet(
    input_shape: Any = None, alpha: float = 1.0, depth_multiplier: int = 1, dropout: float = 0.001,
    include_top: bool = True,
    weights: Any = "imagenet", input_tensor: Any = None, pooling: str | None = None, classes: int = 1000,
    classifier_activation: Any = "softmax", name: str | None = None,
) -> Model:  # fmt: skip
    """MobileNet with 4.3 million weights, for images of 224 x 224.

    Args:
        alpha: factor of the number of filters.
        depth_multiplier: of the depthwise convolutions.
        dropout: in front of the classifier.

    The others: see `building.Arguments`. Published weights exist for widths 0.25, 0.5, 0.75 and 1 and sizes 128, 160,
    192 and 224.
    """
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, "")
    size, rows = published_side(given, (128, 160, 192, 224))
    if weights == "imagenet":
        if depth_multiplier != 1:
            raise ValueError(
                "If imagenet weights are being loaded, depth multiplier must be 1.  Received "
                f"depth_multiplier={depth_multiplier}"
            )
        if alpha not in _WIDTHS:
            raise ValueError(
                "If imagenet weights are being loaded, alpha can be one of `0.25`, `0.50`, `0.75` or `1.0` only.  "
                f"Received alpha={alpha}"
            )

    def body(image: Any) -> Any:
        x = _MAKE.conv(image, int(32 * alpha), 3, "conv1", 2, padding="same")
        x = _MAKE.relu6(_MAKE.bn(x, "conv1_bn"), "conv1_relu")
        for i, (filters, strides) in enumerate(_PAIRS, 1):
            if strides == 2:
                x = _MAKE.pad(x, ((0, 1), (0, 1)), f"conv_pad_{i}")
            x = _MAKE.depthwise(
                x, 3, f"conv_dw_{i}", strides, "same" if strides == 1 else "valid", depth_multiplier=depth_multiplier
            )
            x = _MAKE.relu6(_MAKE.bn(x, f"conv_dw_{i}_bn"), f"conv_dw_{i}_relu")
            x = _MAKE.conv(x, int(filters * alpha), 1, f"conv_pw_{i}", padding="same")
            x = _MAKE.relu6(_MAKE.bn(x, f"conv_pw_{i}_bn"), f"conv_pw_{i}_relu")
        return x

    def classifier(x: Any, classes: int, activation: Any) -> Any:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(classes, 1, padding="same", name="conv_preds")(x)
        x = layers.Reshape((classes,), name="reshape_2")(x)
        return layers.Activation(activation, name="predictions")(x)

    stem = f"mobilenet_{_WIDTHS.get(alpha)}_{rows or size}_tf"
    source = Published(f"{CLOUD}mobilenet/", (f"{stem}.h5", None), (f"{stem}_no_top.h5", None))
    given = given._replace(name=name if name is not None else f"mobilenet_{alpha:0.2f}_{rows}")
    return image_model(given, body, source, size, classifier=classifier)
