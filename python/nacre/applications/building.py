"""What the networks share: Keras' arguments, the classifier, published weights, and layers with settings in common."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from nacre import activations, layers
from nacre.core.config import image_data_format
from nacre.core.tensor import KerasTensor
from nacre.models import Model
from nacre.models.graph import node_of
from nacre.utils.files import get_file

CLOUD = "https://storage.googleapis.com/tensorflow/keras-applications/"


class Arguments(NamedTuple):
    """The arguments that every network takes, in Keras' order.

    `include_top`: with the classifier. `weights`: "imagenet", None or the path of a file. `input_tensor`: a KerasTensor
    to start from. `input_shape`: without the batch axis. `pooling`: None, "avg" or "max", where the classifier is left
    out. `classes` and `classifier_activation`: of the classifier.
    """

    include_top: bool
    weights: Any
    input_tensor: Any
    input_shape: Any
    pooling: str | None
    classes: int
    classifier_activation: Any
    name: str


class Published(NamedTuple):
    """Weights trained on ImageNet: the folder, and (file, MD5 sum if known) with the classifier and without it."""

    url: str
    top: tuple[str, str | None]
    body: tuple[str, str | None]


def published(family: str, name: str, top: str, body: str) -> Published:
    """Weights under the file names that most networks have."""
    stem = f"{name}_weights_tf_dim_ordering_tf_kernels"
    return Published(f"{CLOUD}{family}/", (f"{stem}.h5", top), (f"{stem}_notop.h5", body))


def image_model(
    given: Arguments,
    body: Callable[[Any], Any],
    source: Published,
    size: int = 224,
    smallest: int = 32,
    classifier: Callable[[Any, int, Any], Any] | None = None,
    pool_names: tuple[str | None, str | None] = (None, None),
    checked: bool = False,
    pooled: bool = False,
) -> Model:
    """The Model of `body` and a classifier or pooling, with its weights.

    `size` is the default height and width, `smallest` the least. `checked`: the shape of the input is one that the
    network takes. `pooled`: without the classifier, `body` pools. Raises ValueError for arguments that do not fit each
    other.
    """
    check_weights(given)
    if given.input_tensor is None:
        image = layers.Input(given.input_shape if checked else input_shape_of(given, size, smallest))
    else:
        image = given.input_tensor
        if not isinstance(image, KerasTensor):
            image = layers.Input(tensor=image, shape=input_shape_of(given, size, smallest))
    x = body(image)
    if given.include_top:
        x = (classifier or dense_classifier)(x, given.classes, given.classifier_activation)
    elif given.pooling == "avg" and not pooled:
        x = layers.GlobalAveragePooling2D(name=pool_names[0])(x)
    elif given.pooling == "max" and not pooled:
        x = layers.GlobalMaxPooling2D(name=pool_names[1])(x)
    model = Model(_sources(image), x, name=given.name)
    if given.weights == "imagenet":
        file, digest = source.top if given.include_top else source.body
        model.load_weights(get_file(file, source.url + file, cache_subdir="models", file_hash=digest))
    elif given.weights is not None:
        model.load_weights(given.weights)
    return model


def check_weights(given: Arguments) -> None:
    weights = given.weights
    if weights not in ("imagenet", None) and not os.path.exists(weights):
        raise ValueError(
            "The `weights` argument should be either `None` (random initialization), 'imagenet' (pre-training on "
            f"ImageNet), or the path to the weights file to be loaded.  Received: weights={weights}"
        )
    if weights == "imagenet" and given.include_top and given.classes != 1000:
        raise ValueError(
            "If using `weights='imagenet'` with `include_top=True`, `classes` should be 1000.  Received "
            f"classes={given.classes}"
        )
    if given.pooling not in (None, "avg", "max"):
        raise ValueError(f"Expected `pooling` to be None, 'avg' or 'max'. Received: pooling={given.pooling}")
    if given.include_top and weights is not None:
        activation = activations.get(given.classifier_activation)
        if activation not in (activations.get("softmax"), activations.get(None)):
            raise ValueError(
                "Only `None` and `softmax` activations are allowed for the `classifier_activation` argument when using "
                "pretrained weights, with `include_top=True`; Received: "
                f"classifier_activation={given.classifier_activation}"
            )


def input_shape_of(given: Arguments, size: int, smallest: int) -> tuple[Any, ...]:
    """The shape of an image: the given one, checked, or the default. Raises ValueError for one that does not fit."""
    return obtain_input_shape(given.input_shape, size, smallest, image_data_format(), given.include_top, given.weights)


def obtain_input_shape(
    input_shape: Any, default_size: int, min_size: int, data_format: str, require_flatten: bool, weights: Any = None
) -> tuple[Any, ...]:
    """The shape of an image: `input_shape`, checked, or where that is None the default one, whose sides are open unless
    a classifier is to follow (`require_flatten`). Raises ValueError for a shape that does not fit."""
    last = data_format != "channels_first"

    def shape(rows: Any, columns: Any, channels: int) -> tuple[Any, ...]:
        return (rows, columns, channels) if last else (channels, rows, columns)

    wanted = None if input_shape is None else tuple(input_shape)
    imagenet, top = weights == "imagenet", require_flatten
    if wanted is None:
        return shape(default_size, default_size, 3) if top else shape(None, None, 3)
    if len(wanted) != 3:
        raise ValueError("`input_shape` must be a tuple of three integers.")
    channels, sides = (wanted[2], wanted[:2]) if last else (wanted[0], wanted[1:])
    if imagenet:
        if top and wanted != shape(default_size, default_size, 3):
            raise ValueError(
                "When setting `include_top=True` and loading `imagenet` weights, `input_shape` should be "
                f"{shape(default_size, default_size, 3)}.  Received: input_shape={wanted}"
            )
        if channels != 3:
            raise ValueError(f"The input must have 3 channels; Received `input_shape={wanted}`")
    elif channels not in (1, 3):
        warnings.warn(
            "This model usually expects 1 or 3 input channels. However, it was passed an input_shape with "
            f"{channels} input channels.",
            stacklevel=5,
        )
    if any(n is not None and n < min_size for n in sides):
        raise ValueError(f"Input size must be at least {min_size}x{min_size}; Received: input_shape={wanted}")
    if top and None in wanted:
        raise ValueError(
            f"If `include_top` is True, you should specify a static `input_shape`. Received: input_shape={wanted}"
        )
    return wanted


def _sources(tensor: KerasTensor) -> Any:
    """The inputs that a KerasTensor comes from: itself where it is one; one bare, several as a list."""
    found: list[KerasTensor] = []
    waiting, seen = [tensor], {id(tensor)}
    while waiting:
        x = waiting.pop()
        node = node_of(x)
        if node.is_input:
            found.append(x)
        for parent in node.input_tensors:
            if id(parent) not in seen:
                seen.add(id(parent))
                waiting.append(parent)
    return found[0] if len(found) == 1 else found


def dense_classifier(x: Any, classes: int, activation: Any) -> Any:
    """Averages over the image, then a Dense layer."""
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return layers.Dense(classes, activation=activation, name="predictions")(x)


def channel_axis() -> int:
    return 3 if image_data_format() == "channels_last" else 1


def stride_padding(x: Any, window: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """What to pad in front of and behind each side so that a strided window meets the same pixels for odd and even
    sizes."""
    at = 1 if image_data_format() == "channels_last" else 2
    half = window // 2
    rows, columns = (1 if n is None else 1 - n % 2 for n in x.shape[at : at + 2])
    return (half - rows, half), (half - columns, half)


class Layers:
    """Layers of a network with the settings that its family shares. `name=None` numbers a layer as Keras does."""

    def __init__(self, epsilon: float = 1e-3, momentum: float = 0.99, bias: bool = False, **conv: Any) -> None:
        self.norm = {"epsilon": epsilon, "momentum": momentum}
        self.bias = bias
        self.conv_settings = conv

    def conv(self, x: Any, filters: int, window: Any, name: str | None = None, strides: int = 1, **other: Any) -> Any:
        settings = {"use_bias": self.bias, **self.conv_settings, **other}
        return layers.Conv2D(filters, window, strides=strides, name=name, **settings)(x)

    def depthwise(self, x: Any, window: int, name: str, strides: int = 1, padding: str = "valid", **other: Any) -> Any:
        return layers.DepthwiseConv2D(window, strides, padding, use_bias=False, name=name, **other)(x)

    def separable(self, x: Any, filters: int, name: str) -> Any:
        return layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)

    def bn(self, x: Any, name: str | None = None, scale: bool = True) -> Any:
        return layers.BatchNormalization(axis=channel_axis(), scale=scale, name=name, **self.norm)(x)

    def act(self, x: Any, name: str | None = None, function: str = "relu") -> Any:
        return layers.Activation(function, name=name)(x)

    def relu6(self, x: Any, name: str) -> Any:
        return layers.ReLU(6.0, name=name)(x)

    def pad(self, x: Any, padding: Any, name: str | None = None) -> Any:
        return layers.ZeroPadding2D(padding, name=name)(x)
