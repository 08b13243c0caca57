"""NASNet-A (Zoph et al. 2018): cells that a search has found, repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre import layers
from nacre.applications import imagenet_utils
from nacre.applications.building import CLOUD, Arguments, Layers, Published, channel_axis, image_model, stride_padding
from nacre.applications.imagenet_utils import decode_predictions
from nacre.core.naming import name_scope
from nacre.models import Model

__all__ = ["NASNetLarge", "NASNetMobile", "decode_predictions", "preprocess_input"]

_MAKE = Layers(momentum=0.9997, kernel_initializer="he_normal")


def _separable(x: Any, filters: int, window: int, name: str, strides: int = 1) -> Any:
    """Two separable convolutions; the first one strides."""
    with name_scope(f"separable_conv_block_{name}"):
        x = _MAKE.act(x)
        if strides == 2:
            x = _MAKE.pad(x, stride_padding(x, window), f"separable_conv_1_pad_{name}")
        for i, step in enumerate((strides, 1), 1):
            padding = "valid" if step == 2 else "same"
            title = f"separable_conv_{i}"
            x = layers.SeparableConv2D(
                filters, window, strides=step, padding=padding, use_bias=False, name=f"{title}_{name}"
            )(x)
            x = _MAKE.bn(x, f"{title}_bn_{name}")
            x = _MAKE.act(x) if i == 1 else x
        return x


def _fitted(p: Any, x: Any, filters: int, name: str) -> Any:
    """The output before last with the size of the last one, `x`, and with `filters` channels."""
    if p is None:
        return x
    if p.shape[2] != x.shape[2]:
        with name_scope("adjust_block"), name_scope(f"adjust_reduction_block_{name}"):
            p = _MAKE.act(p, f"adjust_relu_1_{name}")
            halves = []
            for i in (1, 2):
                y = p if i == 1 else layers.Cropping2D(((1, 0), (1, 0)))(_MAKE.pad(p, ((0, 1), (0, 1))))
                y = layers.AveragePooling2D(1, strides=2, name=f"adjust_avg_pool_{i}_{name}")(y)
                halves.append(_MAKE.conv(y, filters // 2, 1, f"adjust_conv_{i}_{name}", padding="same"))
            return _MAKE.bn(layers.concatenate(halves, axis=-1), f"adjust_bn_{name}")
    if p.shape[channel_axis()] != filters:
        with name_scope("adjust_block"), name_scope(f"adjust_projection_block_{name}"):
            p = _MAKE.conv(_MAKE.act(p), filters, 1, f"adjust_conv_projection_{name}", padding="same")
            return _MAKE.bn(p, f"adjust_bn_{name}")
    return p


def _squeezed(x: Any, filters: int, kind: str, name: str) -> Any:
    x = _MAKE.conv(_MAKE.act(x), filters, 1, f"{kind}_conv_1_{name}", padding="same")
    return _MAKE.bn(x, f"{kind}_bn_1_{name}")


def _normal(x: Any, p: Any, filters: int, name: str) -> tuple[Any, Any]:
    """A cell that keeps the size. Returns its output and its input."""

    def average(y: Any, title: str) -> Any:
        return layers.AveragePooling2D(3, strides=1, padding="same", name=f"normal_{title}_{name}")(y)

    def separable(y: Any, window: int, title: str) -> Any:
        return _separable(y, filters, window, f"normal_{title}_{name}")

    p = _fitted(p, x, filters, name)
    h = _squeezed(x, filters, "normal", name)
    parts = [p]
    pairs: tuple[Callable[[], tuple[Any, Any]], ...] = (
        lambda: (separable(h, 5, "left1"), separable(p, 3, "right1")),
        lambda: (separable(p, 5, "left2"), separable(p, 3, "right2")),
        lambda: (average(h, "left3"), p),
        lambda: (average(p, "left4"), average(p, "right4")),
        lambda: (separable(h, 3, "left5"), h),
    )
    for i, pair in enumerate(pairs, 1):
        with name_scope(f"block_{i}"):
            parts.append(layers.add(list(pair()), name=f"normal_add_{i}_{name}"))
    return layers.concatenate(parts, axis=-1, name=f"normal_concat_{name}"), x


def _halving(x: Any, p: Any, filters: int, name: str) -> tuple[Any, Any]:
    """A cell that halves the size. Returns its output and its input."""

    def separable(y: Any, window: int, title: str, strides: int = 2) -> Any:
        return _separable(y, filters, window, f"reduction_{title}_{name}", strides)

    def add(title: str | None, *both: Any) -> Any:
        return layers.add(list(both), name=None if title is None else f"reduction_{title}_{name}")

    def largest(title: str) -> Any:
        return layers.MaxPooling2D(3, strides=2, name=f"reduction_{title}_{name}")(wide)

    def average(y: Any, title: str, strides: int, padding: str) -> Any:
        return layers.AveragePooling2D(3, strides=strides, padding=padding, name=f"reduction_{title}_{name}")(y)

    p = _fitted(p, x, filters, name)
    h = _squeezed(x, filters, "reduction", name)
    wide = _MAKE.pad(h, stride_padding(h, 3), f"reduction_pad_1_{name}")
    with name_scope("block_1"):
        x1 = add("add_1", separable(h, 5, "left1"), separable(p, 7, "right1"))
    with name_scope("block_2"):
        x2 = add("add_2", largest("left2"), separable(p, 7, "right2"))
    with name_scope("block_3"):
        x3 = add("add3", average(wide, "left3", 2, "valid"), separable(p, 5, "right3"))
    with name_scope("block_4"):
        x4 = add(None, x2, average(x1, "left4", 1, "same"))
    with name_scope("block_5"):
        x5 = add("add4", separable(x1, 3, "left4", 1), largest("right5"))
    return layers.concatenate([x2, x3, x4, x5], axis=-1, name=f"reduction_concat_{name}"), x


def _network(given: Arguments, last: int, blocks: int, stem: int, skip: bool, size: int, source: Published) -> Model:
    if channel_axis() == 1:
        raise ValueError(
            "NASNet does not support the `channels_first` image data format. Switch to `channels_last` by editing your "
            "local config file at ~/.keras/keras.json"
        )
    if given.weights == "imagenet" and given.input_shape is not None and None in tuple(given.input_shape):
        raise ValueError(
            "When specifying the input shape of a NASNet and loading `ImageNet` weights, the input_shape argument must "
            f"be static (no None entries). Got: `input_shape={given.input_shape}`."
        )
    filters = last // 24

    def body(image: Any) -> Any:
        x, p = _MAKE.bn(_MAKE.conv(image, stem, 3, "stem_conv1", 2), "stem_bn1"), None
        x, p = cell(_halving, x, p, filters // 4, "stem_1")
        x, p = cell(_halving, x, p, filters // 2, "stem_2")
        for stage in range(3):
            width = filters * 2**stage
            if stage:
                x, before = cell(_halving, x, p, width, f"reduce_{stage * blocks}")
                p = p if skip else before
            for i in range(blocks):
                x, p = cell(_normal, x, p, width, f"{stage * blocks + i + bool(stage)}")
        return _MAKE.act(x)

    def cell(make: Callable[..., tuple[Any, Any]], x: Any, p: Any, width: int, name: str) -> tuple[Any, Any]:
        with name_scope(f"{'reduction' if make is _halving else 'normal'}_A_block_{name}"):
            return make(x, p, width, name)

    def classifier(x: Any, classes: int, activation: Any) -> Any:
        x = layers.GlobalAveragePooling2D()(x)
        return layers.Dense(classes, activation=activation, name="predictions")(x)

    return image_model(given, body, source, size, 32, classifier)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels from 0 to 255 as numbers from -1 to 1."""
    return imagenet_utils.preprocess_input(x, data_format, "tf")


def NASNetMobile(
    input_shape: Any = None, include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    name: str = "nasnet_mobile",
) -> Model:  # fmt: skip
    """NASNetMobile with 5.3 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    if not include_top and input_shape is None:
        input_shape = (224, 224, 3)
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    source = Published(
        f"{CLOUD}nasnet/", ("NASNet-mobile.h5", "020fb642bf7360b370c678b08e0adf61"),
        ("NASNet-mobile-no-top.h5", "1ed92395b5b598bdda52abe5c0dbfd63"),
    )  # fmt: skip
    return _network(given, 1056, 4, 32, False, 224, source)


def NASNetLarge(
    input_shape: Any = None, include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax", name: str = "nasnet_large",
) -> Model:  # fmt: skip
    """NASNetLarge with 88.9 million weights, for images of 331 x 331. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    source = Published(
        f"{CLOUD}nasnet/", ("NASNet-large.h5", "11577c9a518f0070763c2b964a382f17"),
        ("NASNet-large-no-top.h5", "d81d89dc07e6e56530c4e77faddd61b5"),
    )  # fmt: skip
    return _network(given, 4032, 6, 96, True, 331, source)
