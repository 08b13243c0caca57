"""DenseNet121, 169 and 201 (Huang et al. 2017): every layer of a stage reads all that stand before it."""

from __future__ import annotations

from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import Arguments, Layers, channel_axis, image_model, published
from nacre.applications.imagenet_utils import decode_predictions
from nacre.core.config import image_data_format
from nacre.models import Model

__all__ = ["DenseNet121", "DenseNet169", "DenseNet201", "decode_predictions", "preprocess_input"]

_MAKE = Layers(epsilon=1.001e-5)
_GROWTH = 32
_MD5 = {
    "densenet121": ("9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"),
    "densenet169": ("d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"),
    "densenet201": ("1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"),
}


def _grow(x: Any, name: str) -> Any:
    y = _MAKE.act(_MAKE.bn(x, f"{name}_0_bn"), f"{name}_0_relu")
    y = _MAKE.conv(y, 4 * _GROWTH, 1, f"{name}_1_conv")
    y = _MAKE.act(_MAKE.bn(y, f"{name}_1_bn"), f"{name}_1_relu")
    y = _MAKE.conv(y, _GROWTH, 3, f"{name}_2_conv", padding="same")
    return layers.Concatenate(axis=channel_axis(), name=f"{name}_concat")([x, y])


def _halve(x: Any, name: str) -> Any:
    x = _MAKE.act(_MAKE.bn(x, f"{name}_bn"), f"{name}_relu")
    x = _MAKE.conv(x, x.shape[channel_axis()] // 2, 1, f"{name}_conv")
    return layers.AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)


def _network(depths: tuple[int, ...], which: str, given: Arguments) -> Model:
    if image_data_format() == "channels_first":
        raise ValueError(
            "DenseNet does not support the `channels_first` image data format. Switch to `channels_last` by editing "
            "your local config file at ~/.keras/keras.json"
        )

    def body(image: Any) -> Any:
        x = _MAKE.conv(_MAKE.pad(image, 3), 64, 7, "conv1_conv", 2)
        x = _MAKE.act(_MAKE.bn(x, "conv1_bn"), "conv1_relu")
        x = layers.MaxPooling2D(3, strides=2, name="pool1")(_MAKE.pad(x, 1))
        for stage, depth in enumerate(depths, 2):
            for i in range(1, depth + 1):
                x = _grow(x, f"conv{stage}_block{i}")
            x = _halve(x, f"pool{stage}") if stage < 5 else x
        return _MAKE.act(_MAKE.bn(x, "bn"), "relu")

    source = published("densenet", which, *_MD5[which])
    return image_model(given, body, source, pool_names=("avg_pool", "max_pool"))


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as numbers from 0 to 1, each channel minus its mean and over its deviation."""
    return imagenet_utils.preprocess_input(x, data_format, "torch")


def DenseNet121(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "densenet121",
) -> Model:  # fmt: skip
    """DenseNet with 121 layers, 8.1 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((6, 12, 24, 16), "densenet121", given)


def DenseNet169(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "densenet169",
) -> Model:  # fmt: skip
    """DenseNet with 169 layers, 14.3 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((6, 12, 32, 32), "densenet169", given)


def DenseNet201(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "densenet201",
) -> Model:  # fmt: skip
    """DenseNet with 201 layers, 20.2 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network((6, 12, 48, 32), "densenet201", given)
