"""VGG16 (Simonyan and Zisserman 2014), and what VGG19 shares with it."""

from __future__ import annotations

from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import Arguments, Published, image_model, published
from nacre.applications.imagenet_utils import decode_predictions
from nacre.models import Model

__all__ = ["VGG16", "decode_predictions", "preprocess_input"]


def network(depths: tuple[int, ...], source: Published, given: Arguments) -> Model:
    """Stages of 3x3 convolutions, `depths` of them, each with max-pooling behind it."""

    def body(x: Any) -> Any:
        for stage, (filters, depth) in enumerate(zip((64, 128, 256, 512, 512), depths), 1):
            for i in range(1, depth + 1):
                name = f"block{stage}_conv{i}"
                x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
            x = layers.MaxPooling2D(2, strides=2, name=f"block{stage}_pool")(x)
        return x

    def classifier(x: Any, classes: int, activation: Any) -> Any:
        x = layers.Flatten(name="flatten")(x)
        for name in ("fc1", "fc2"):
            x = layers.Dense(4096, activation="relu", name=name)(x)
        return layers.Dense(classes, activation=activation, name="predictions")(x)

    return image_model(given, body, source, classifier=classifier)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as BGR, each channel minus its mean: see `imagenet_utils.preprocess_input`."""
    return imagenet_utils.preprocess_input(x, data_format, "caffe")


def VGG16(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "vgg16",
) -> Model:  # fmt: skip
    """VGG with 16 layers, 138 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    source = published("vgg16", "vgg16", "64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc")
    return network((2, 2, 3, 3, 3), source, given)
