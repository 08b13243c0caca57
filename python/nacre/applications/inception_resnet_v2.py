"""InceptionResNetV2 (Szegedy et al. 2017): Inception's branches, added to what they came from, scaled down."""

from __future__ import annotations

from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import Arguments, Layers, channel_axis, image_model, published
from nacre.applications.imagenet_utils import decode_predictions
from nacre.core.registry import register_keras_serializable
from nacre.layers.layer import Layer
from nacre.models import Model

__all__ = ["InceptionResNetV2", "decode_predictions", "preprocess_input"]

_MAKE = Layers()
# Branches of (filters, window) of the three kinds of blocks.
_BLOCKS: dict[str, tuple[tuple[tuple[int, Any], ...], ...]] = {
    "block35": (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
    "block17": (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    "block8": (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
}


@register_keras_serializable("keras.applications")
class CustomScaleLayer(Layer):
    """`[x, y]` -> `x + scale * y`."""

    def __init__(self, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs: Any) -> Any:
        """The scaled sum."""
        return inputs[0] + inputs[1] * self.scale

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "scale": self.scale}


def _conv(x: Any, filters: int, window: Any, strides: int = 1, padding: str = "same", name: str | None = None) -> Any:
    x = _MAKE.conv(x, filters, window, name, strides, padding=padding)
    x = _MAKE.bn(x, None if name is None else f"{name}_bn", scale=False)
    return _MAKE.act(x, None if name is None else f"{name}_ac")


def _branch(x: Any, *steps: tuple[Any, ...]) -> Any:
    for step in steps:
        x = _conv(x, *step)
    return x


def _joined(branches: list[Any], name: str) -> Any:
    return layers.Concatenate(axis=channel_axis(), name=name)(branches)


def _block(x: Any, kind: str, index: int, scale: float, active: bool = True) -> Any:
    name = f"{kind}_{index}"
    mixed = _joined([_branch(x, *steps) for steps in _BLOCKS[kind]], f"{name}_mixed")
    up = _MAKE.conv(mixed, x.shape[channel_axis()], 1, f"{name}_conv", padding="same", use_bias=True)
    x = CustomScaleLayer(scale)([x, up])
    return _MAKE.act(x, f"{name}_ac") if active else x


def _body(image: Any) -> Any:
    x = _branch(image, (32, 3, 2, "valid"), (32, 3, 1, "valid"), (64, 3))
    x = layers.MaxPooling2D(3, strides=2)(x)
    x = layers.MaxPooling2D(3, strides=2)(_branch(x, (80, 1, 1, "valid"), (192, 3, 1, "valid")))
    branches = [_branch(x, (96, 1)), _branch(x, (48, 1), (64, 5)), _branch(x, (64, 1), (96, 3), (96, 3))]
    branches.append(_branch(layers.AveragePooling2D(3, strides=1, padding="same")(x), (64, 1)))
    x = _joined(branches, "mixed_5b")
    for i in range(1, 11):
        x = _block(x, "block35", i, 0.17)
    branches = [_branch(x, (384, 3, 2, "valid")), _branch(x, (256, 1), (256, 3), (384, 3, 2, "valid"))]
    x = _joined([*branches, layers.MaxPooling2D(3, strides=2)(x)], "mixed_6a")
    for i in range(1, 21):
        x = _block(x, "block17", i, 0.1)
    branches = [_branch(x, (256, 1), (384, 3, 2, "valid")), _branch(x, (256, 1), (288, 3, 2, "valid"))]
    branches.append(_branch(x, (256, 1), (288, 3), (320, 3, 2, "valid")))
    x = _joined([*branches, layers.MaxPooling2D(3, strides=2)(x)], "mixed_7a")
    for i in range(1, 10):
        x = _block(x, "block8", i, 0.2)
    return _conv(_block(x, "block8", 10, 1.0, active=False), 1536, 1, name="conv_7b")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as numbers from -1 to 1."""
    return imagenet_utils.preprocess_input(x, data_format, "tf")


def InceptionResNetV2(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    name: str = "inception_resnet_v2",
) -> Model:  # fmt: skip
    """InceptionResNetV2 with 55.9 million weights, for images of 299 x 299. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    sums = ("e693bd0210a403b3192acc6073ad2e96", "d19885ff4a710c122648d3b5c3b684e4")
    return image_model(given, _body, published(name, name, *sums), 299, 75)
