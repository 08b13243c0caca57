"""EfficientNetB0 to B7 (Tan and Le 2019): one network, wider, deeper and for larger images by fixed factors."""

from __future__ import annotations

import math
from typing import Any

from nacre import layers
from nacre.applications.building import Arguments, Layers, Published, channel_axis, image_model, stride_padding
from nacre.applications.imagenet_utils import decode_predictions
from nacre.models import Model

__all__ = [
    *[f"EfficientNetB{i}" for i in range(8)], "decode_predictions", "preprocess_input",
]  # fmt: skip

_SPREAD = {"mode": "fan_out"}
_CONV_INIT = {"class_name": "VarianceScaling", "config": {"scale": 2.0, "distribution": "truncated_normal", **_SPREAD}}
_DENSE_INIT = {"class_name": "VarianceScaling", "config": {"scale": 1.0 / 3.0, "distribution": "uniform", **_SPREAD}}
_MAKE = Layers(kernel_initializer=_CONV_INIT)
# Window, blocks, filters, widening and stride of each stage.
_STAGES = (
    (3, 1, 16, 1, 1), (3, 2, 24, 6, 2), (5, 2, 40, 6, 2), (3, 3, 80, 6, 2), (5, 3, 112, 6, 1), (5, 4, 192, 6, 2),
(3, 1, 320, 6, 1), )  # fmt: skip
# Factor of width, factor of depth, size of the images, dropout, MD5 sums of the weights with the classifier and
# without.
_SIZES = {
    "b0": (1.0, 1.0, 224, 0.2, "902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d"),
    "b1": (1.0, 1.1, 240, 0.2, "1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432"),
    "b2": (1.1, 1.2, 260, 0.3, "b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "b3": (1.2, 1.4, 300, 0.3, "ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226"),
    "b4": (1.4, 1.8, 380, 0.4, "18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    "b5": (1.6, 2.2, 456, 0.4, "ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f"),
    "b6": (1.8, 2.6, 528, 0.5, "165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743"),
    "b7": (2.0, 3.1, 600, 0.5, "8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
}
_MOST_DROPPED = 0.2  # the share of samples whose last block is left out in training; less for the blocks before it


def _block(x: Any, name: str, filters: int, window: int, strides: int, widening: int, dropped: float) -> Any:
    start, channels = x, x.shape[channel_axis()]
    wide = channels * widening
    if widening != 1:
        x = _MAKE.conv(x, wide, 1, f"{name}expand_conv", padding="same")
        x = _MAKE.act(_MAKE.bn(x, f"{name}expand_bn"), f"{name}expand_activation", "swish")
    if strides == 2:
        x = _MAKE.pad(x, stride_padding(x, window), f"{name}dwconv_pad")
    padding = "valid" if strides == 2 else "same"
    x = _MAKE.depthwise(x, window, f"{name}dwconv", strides, padding, depthwise_initializer=_CONV_INIT)
    x = _MAKE.act(_MAKE.bn(x, f"{name}bn"), f"{name}activation", "swish")
    weight = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)  # of each channel, from its average
    shape = (1, 1, wide) if channel_axis() == 3 else (wide, 1, 1)
    weight = layers.Reshape(shape, name=f"{name}se_reshape")(weight)
    few = max(1, channels // 4)
    for width, step, function in ((few, "reduce", "swish"), (wide, "expand", "sigmoid")):
        weight = _MAKE.conv(weight, width, 1, f"{name}se_{step}", padding="same", activation=function, use_bias=True)
    x = layers.multiply([x, weight], name=f"{name}se_excite")
    x = _MAKE.bn(_MAKE.conv(x, filters, 1, f"{name}project_conv", padding="same"), f"{name}project_bn")
    if strides > 1 or channels != filters:
        return x
    if dropped > 0:
        x = layers.Dropout(dropped, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
    return layers.add([x, start], name=f"{name}add")


def _network(which: str, given: Arguments) -> Model:
    width, depth, size, dropout, *sums = _SIZES[which]

    def eights(filters: int) -> int:
        """The multiple of 8 nearest to the widened number, unless that takes away more than a tenth."""
        wanted = filters * width
        near = max(8, int(wanted + 4) // 8 * 8)
        return near + 8 if near < 0.9 * wanted else near

    def body(image: Any) -> Any:
        x = layers.Normalization(axis=channel_axis())(layers.Rescaling(1.0 / 255.0)(image))
        if given.weights == "imagenet":
            # The published weights come with variances where deviations were meant: this takes the root.
            x = layers.Rescaling([1.0 / math.sqrt(s) for s in (0.229, 0.224, 0.225)])(x)
        x = _MAKE.conv(_MAKE.pad(x, stride_padding(x, 3), "stem_conv_pad"), eights(32), 3, "stem_conv", 2)
        x = _MAKE.act(_MAKE.bn(x, "stem_bn"), "stem_activation", "swish")
        depths = [math.ceil(depth * blocks) for _, blocks, *_ in _STAGES]
        done = 0
        for stage, (window, _, filters, widening, strides) in enumerate(_STAGES, 1):
            for i in range(depths[stage - 1]):
                x = _block(
                    x, f"block{stage}{chr(97 + i)}_", eights(filters), window, 1 if i else strides, widening,
                    _MOST_DROPPED * done / float(sum(depths)),
                )  # fmt: skip
                done += 1
        x = _MAKE.conv(x, eights(1280), 1, "top_conv", padding="same")
        return _MAKE.act(_MAKE.bn(x, "top_bn"), "top_activation", "swish")

    def classifier(x: Any, classes: int, activation: Any) -> Any:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(dropout, name="top_dropout")(x)
        return layers.Dense(classes, activation=activation, kernel_initializer=_DENSE_INIT, name="predictions")(x)

    stem = given.name
    source = Published(
        "https://storage.googleapis.com/keras-applications/", (f"{stem}.h5", sums[0]), (f"{stem}_notop.h5", sums[1])
    )
    return image_model(given, body, source, size, 32, classifier, ("avg_pool", "max_pool"))


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """`x` itself: these networks scale pixels from 0 to 255 in layers of their own."""
    return x


def EfficientNetB0(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
name: str = "efficientnetb0", ) -> Model:  # fmt: skip
    """EfficientNet B0 with 5.3 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b0", given)


def EfficientNetB1(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
name: str = "efficientnetb1", ) -> Model:  # fmt: skip
    """EfficientNet B1 with 7.9 million weights, for images of 240 x 240. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b1", given)


def EfficientNetB2(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
name: str = "efficientnetb2", ) -> Model:  # fmt: skip
    """EfficientNet B2 with 9.2 million weights, for images of 260 x 260. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b2", given)


def EfficientNetB3(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
name: str = "efficientnetb3", ) -> Model:  # fmt: skip
    """EfficientNet B3 with 12.3 million weights, for images of 300 x 300. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b3", given)


def EfficientNetB4(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
name: str = "efficientnetb4", ) -> Model:  # fmt: skip
    """EfficientNet B4 with 19.5 million weights, for images of 380 x 380. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b4", given)


def EfficientNetB5(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
name: str = "efficientnetb5", ) -> Model:  # fmt: skip
    """EfficientNet B5 with 30.6 million weights, for images of 456 x 456. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b5", given)


def EfficientNetB6(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
name: str = "efficientnetb6", ) -> Model:  # fmt: skip
    """EfficientNet B6 with 43.3 million weights, for images of 528 x 528. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b6", given)


def EfficientNetB7(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
name: str = "efficientnetb7", ) -> Model:  # fmt: skip
    """EfficientNet B7 with 66.7 million weights, for images of 600 x 600. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b7", given)
