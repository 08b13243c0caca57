"""EfficientNetV2 (Tan and Le 2021): EfficientNet with plain convolutions in its first stages, for fast training."""

from __future__ import annotations

import math
from typing import Any

from nacre import initializers, layers
from nacre.applications.building import CLOUD, Arguments, Layers, Published, channel_axis, image_model, input_shape_of
from nacre.applications.efficientnet import _CONV_INIT, _DENSE_INIT
from nacre.applications.imagenet_utils import decode_predictions
from nacre.models import Model

__all__ = [
    *[f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")], "decode_predictions",
    "preprocess_input",
]  # fmt: skip

_MAKE = Layers(momentum=0.9, kernel_initializer=_CONV_INIT)
# Blocks, filters, widening, stride of each stage, whether channels are weighed (in blocks with depthwise convolutions);
# the first filters are those of the stem.
_B = (32, (
    (1, 16, 1, 1, 0), (2, 32, 4, 2, 0), (2, 48, 4, 2, 0), (3, 96, 4, 2, 1), (5, 112, 6, 1, 1), (8, 192, 6, 2, 1),
))  # fmt: skip
_S = (24, (
    (2, 24, 1, 1, 0), (4, 48, 4, 2, 0), (4, 64, 4, 2, 0), (6, 128, 4, 2, 1), (9, 160, 6, 1, 1), (15, 256, 6, 2, 1),
))  # fmt: skip
_M = (24, (
    (3, 24, 1, 1, 0), (5, 48, 4, 2, 0), (5, 80, 4, 2, 0), (7, 160, 4, 2, 1), (14, 176, 6, 1, 1), (18, 304, 6, 2, 1),
    (5, 512, 6, 1, 1),
))  # fmt: skip
_L = (32, (
    (4, 32, 1, 1, 0), (7, 64, 4, 2, 0), (7, 96, 4, 2, 0), (10, 192, 4, 2, 1), (19, 224, 6, 1, 1), (25, 384, 6, 2, 1),
    (7, 640, 6, 1, 1),
))  # fmt: skip
# Stages, factor of width, factor of depth, size of the images, MD5 sums of the weights with the classifier and without.
_SIZES = {
    "b0": (_B, 1.0, 1.0, 224, "21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff"),
    "b1": (_B, 1.0, 1.1, 240, "069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37"),
    "b2": (_B, 1.1, 1.2, 260, "424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb"),
    "b3": (_B, 1.2, 1.4, 300, "1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856"),
    "s": (_S, 1.0, 1.0, 384, "e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070"),
    "m": (_M, 1.0, 1.0, 480, "a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342"),
    "l": (_L, 1.0, 1.0, 480, "27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615"),
}
_MOST_DROPPED = 0.2  # the share of samples whose last block is left out in training; less for the blocks before it


def _weighed(x: Any, few: int, name: str) -> Any:
    """Each channel times a number from 0 to 1 that depends on the averages of all."""
    wide = x.shape[channel_axis()]
    weight = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    weight = layers.Reshape((1, 1, wide) if channel_axis() == 3 else (wide, 1, 1), name=f"{name}se_reshape")(weight)
    for width, step, function in ((few, "reduce", "swish"), (wide, "expand", "sigmoid")):
        weight = _MAKE.conv(weight, width, 1, f"{name}se_{step}", padding="same", activation=function, use_bias=True)
    return layers.multiply([x, weight], name=f"{name}se_excite")


def _block(x: Any, name: str, filters: int, widening: int, strides: int, weighed: int, dropped: float) -> Any:
    start, channels = x, x.shape[channel_axis()]
    wide = channels * widening
    fused = not weighed
    if widening != 1:  # to widen takes a window of 3 in place of a depthwise convolution, where these are fused
        x = _MAKE.conv(x, wide, 3 if fused else 1, f"{name}expand_conv", strides if fused else 1, padding="same")
        x = _MAKE.act(_MAKE.bn(x, f"{name}expand_bn"), f"{name}expand_activation", "swish")
    if not fused:
        x = _MAKE.depthwise(x, 3, f"{name}dwconv2", strides, "same", depthwise_initializer=_CONV_INIT)
        x = _MAKE.act(_MAKE.bn(x, f"{name}bn"), f"{name}activation", "swish")
        x = _weighed(x, max(1, int(channels * 0.25)), name)
    whole = fused and widening == 1
    x = _MAKE.conv(x, filters, 3 if whole else 1, f"{name}project_conv", strides if whole else 1, padding="same")
    x = _MAKE.bn(x, f"{name}project_bn")
    if whole:
        x = _MAKE.act(x, f"{name}project_activation", "swish")
    if strides > 1 or channels != filters:
        return x
    if dropped > 0:
        x = layers.Dropout(dropped, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
    return layers.add([x, start], name=f"{name}add")


def _network(which: str, given: Arguments, scale: bool) -> Model:
    (first, stages), width, depth, size, *sums = _SIZES[which]

    def eights(filters: int) -> int:
        """The multiple of 8 nearest to the widened number."""
        return max(8, int(filters * width + 4) // 8 * 8)

    def body(image: Any) -> Any:
        x = image
        if scale and which.startswith("b") and input_shape_of(given, size, 32)[channel_axis() - 1] == 3:
            variance = [d**2 for d in (0.229, 0.224, 0.225)]
            x = layers.Rescaling(1.0 / 255)(x)
            x = layers.Normalization(mean=[0.485, 0.456, 0.406], variance=variance, axis=channel_axis())(x)
        elif scale:
            x = layers.Rescaling(1.0 / 128.0, offset=-1)(x)
        x = _MAKE.bn(_MAKE.conv(x, eights(first), 3, "stem_conv", 2, padding="same"), "stem_bn")
        x = _MAKE.act(x, "stem_activation", "swish")
        done, blocks = 0, float(sum(n for n, *_ in stages))
        for stage, (count, filters, widening, strides, weighed) in enumerate(stages, 1):
            for i in range(math.ceil(depth * count)):
                name = f"block{stage}{chr(97 + i)}_"
                dropped = _MOST_DROPPED * done / blocks
                x = _block(x, name, eights(filters), widening, 1 if i else strides, weighed, dropped)
                done += 1
        x = _MAKE.bn(_MAKE.conv(x, eights(1280), 1, "top_conv", padding="same"), "top_bn")
        return _MAKE.act(x, "top_activation", "swish")

    def classifier(x: Any, classes: int, activation: Any) -> Any:
        x = layers.Dropout(0.2, name="top_dropout")(layers.GlobalAveragePooling2D(name="avg_pool")(x))
        return layers.Dense(
            classes, activation=activation, kernel_initializer=_DENSE_INIT, bias_initializer=initializers.Constant(0.0),
            name="predictions",
        )(x)  # fmt: skip

    stem = f"efficientnetv2-{which}"
    source = Published(f"{CLOUD}efficientnet_v2/", (f"{stem}.h5", sums[0]), (f"{stem}_notop.h5", sums[1]))
    return image_model(given, body, source, size, 32, classifier, ("avg_pool", "max_pool"))


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """`x` itself: these networks scale pixels from 0 to 255 in layers of their own."""
    return x


def EfficientNetV2B0(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    include_preprocessing: bool = True, name: str = "efficientnetv2-b0",
) -> Model:  # fmt: skip
    """EfficientNetV2B0 with 7.2 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b0", given, include_preprocessing)


def EfficientNetV2B1(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    include_preprocessing: bool = True, name: str = "efficientnetv2-b1",
) -> Model:  # fmt: skip
    """EfficientNetV2B1 with 8.2 million weights, for images of 240 x 240. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b1", given, include_preprocessing)


def EfficientNetV2B2(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    include_preprocessing: bool = True, name: str = "efficientnetv2-b2",
) -> Model:  # fmt: skip
    """EfficientNetV2B2 with 10.2 million weights, for images of 260 x 260. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b2", given, include_preprocessing)


def EfficientNetV2B3(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    include_preprocessing: bool = True, name: str = "efficientnetv2-b3",
) -> Model:  # fmt: skip
    """EfficientNetV2B3 with 14.5 million weights, for images of 300 x 300. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("b3", given, include_preprocessing)


def EfficientNetV2S(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    include_preprocessing: bool = True, name: str = "efficientnetv2-s",
) -> Model:  # fmt: skip
    """EfficientNetV2S with 21.6 million weights, for images of 384 x 384. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("s", given, include_preprocessing)


def EfficientNetV2M(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    include_preprocessing: bool = True, name: str = "efficientnetv2-m",
) -> Model:  # fmt: skip
    """EfficientNetV2M with 54.4 million weights, for images of 480 x 480. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("m", given, include_preprocessing)


def EfficientNetV2L(
    include_top: bool = True, weights: Any = "imagenet", input_tensor: Any = None, input_shape: Any = None,
    pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    include_preprocessing: bool = True, name: str = "efficientnetv2-l",
) -> Model:  # fmt: skip
    """EfficientNetV2L with 119.0 million weights, for images of 480 x 480. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("l", given, include_preprocessing)
