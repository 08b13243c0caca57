"""VGG19 (Simonyan and Zisserman 2014)."""

from __future__ import annotations

from typing import Any

from nacre.applications.building import Arguments, published
from nacre.applications.imagenet_utils import decode_predictions
from nacre.applications.vgg16 import network, preprocess_input
from nacre.models import Model

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]


def VGG19(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "vgg19",
) -> Model:  # fmt: skip
    """VGG with 19 layers, 144 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    source = published("vgg19", "vgg19", "cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6")
    return network((2, 2, 4, 4, 4), source, given)
