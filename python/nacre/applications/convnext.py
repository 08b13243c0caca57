"""ConvNeXt (Liu et al. 2022): convolutions with what Transformers have shown to be worth it."""

from __future__ import annotations

from typing import Any

from nacre import initializers, layers
from nacre.applications.building import CLOUD, Arguments, Published, channel_axis, image_model, input_shape_of
from nacre.applications.imagenet_utils import decode_predictions
from nacre.core.registry import register_keras_serializable
from nacre.layers.layer import Layer
from nacre.models import Model, Sequential

__all__ = [
    *[f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")], "decode_predictions",
    "preprocess_input",
]  # fmt: skip

_EPSILON = 1e-6
# Blocks and channels of each stage, SHA256 sums of the weights with the classifier and without.
_SIZES = {
    "tiny": (
        (3, 3, 9, 3), (96, 192, 384, 768), "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "small": (
        (3, 3, 27, 3), (96, 192, 384, 768), "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    "base": (
        (3, 3, 27, 3), (128, 256, 512, 1024), "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    "large": (
        (3, 3, 27, 3), (192, 384, 768, 1536), "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    "xlarge": (
        (3, 3, 27, 3), (256, 512, 1024, 2048), "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
}  # fmt: skip


@register_keras_serializable("keras.applications")
class LayerScale(Layer):
    """Each channel times a weight of its own.

    Args:
        init_values: the weights at first.
        projection_dim: the number of channels.
    """

    def __init__(self, init_values: float, projection_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_values = init_values
        self.projection_dim = projection_dim

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        self.gamma = self.add_weight((self.projection_dim,), initializers.Constant(self.init_values))

    def call(self, x: Any) -> Any:
        """The scaled channels."""
        return x * self.gamma

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "init_values": self.init_values, "projection_dim": self.projection_dim}


def _norm(name: str | None = None) -> Any:
    return layers.LayerNormalization(epsilon=_EPSILON, name=name)


def _block(x: Any, channels: int, name: str) -> Any:
    y = layers.Conv2D(channels, 7, padding="same", groups=channels, name=f"{name}_depthwise_conv")(x)
    y = layers.Dense(4 * channels, name=f"{name}_pointwise_conv_1")(_norm(f"{name}_layernorm")(y))
    y = layers.Dense(channels, name=f"{name}_pointwise_conv_2")(layers.Activation("gelu", name=f"{name}_gelu")(y))
    y = LayerScale(1e-6, channels, name=f"{name}_layer_scale")(y)
    return x + layers.Activation("linear", name=f"{name}_identity")(y)


def _network(which: str, given: Arguments, scale: bool) -> Model:
    if channel_axis() == 1:
        raise ValueError(
            "ConvNeXt does not support the `channels_first` image data format. Switch to `channels_last` by editing "
            "your local config file at ~/.keras/keras.json"
        )
    name, (depths, widths, *sums) = given.name, _SIZES[which]

    def body(image: Any) -> Any:
        x = image
        if scale and input_shape_of(given, 224, 32)[-1] == 3:
            mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
            pixels = [255 * m for m in mean], [(255 * d) ** 2 for d in deviation]
            x = layers.Normalization(mean=pixels[0], variance=pixels[1], name=f"{name}_prestem_normalization")(x)
        stem = [layers.Conv2D(widths[0], 4, strides=4, name=f"{name}_stem_conv"), _norm(f"{name}_stem_layernorm")]
        halving = [Sequential(stem, name=f"{name}_stem")]
        for i, width in enumerate(widths[1:]):
            conv = layers.Conv2D(width, 2, strides=2, name=f"{name}_downsampling_conv_{i}")
            steps = [_norm(f"{name}_downsampling_layernorm_{i}"), conv]
            halving.append(Sequential(steps, name=f"{name}_downsampling_block_{i}"))
        for i, (depth, width) in enumerate(zip(depths, widths)):
            x = halving[i](x)
            for j in range(depth):
                x = _block(x, width, f"{name}_stage_{i}_block_{j}")
        if given.include_top:
            return x
        if given.pooling == "avg":
            x = layers.GlobalAveragePooling2D()(x)
        elif given.pooling == "max":
            x = layers.GlobalMaxPooling2D()(x)
        return _norm()(x)

    def classifier(x: Any, classes: int, activation: Any) -> Any:
        x = _norm(f"{name}_head_layernorm")(layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x))
        return layers.Dense(classes, activation=activation, name=f"{name}_head_dense")(x)

    stem = f"convnext_{which}"
    source = Published(f"{CLOUD}convnext/", (f"{stem}.h5", sums[0]), (f"{stem}_notop.h5", sums[1]))
    return image_model(given, body, source, 224, 32, classifier, pooled=True)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """`x` itself: these networks scale pixels from 0 to 255 in a layer of their own."""
    return x


def ConvNeXtTiny(
    include_top: bool = True, include_preprocessing: bool = True, weights: Any = "imagenet", input_tensor: Any = None,
    input_shape: Any = None, pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    name: str = "convnext_tiny",
) -> Model:  # fmt: skip
    """ConvNeXtTiny with 28.6 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("tiny", given, include_preprocessing)


def ConvNeXtSmall(
    include_top: bool = True, include_preprocessing: bool = True, weights: Any = "imagenet", input_tensor: Any = None,
    input_shape: Any = None, pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    name: str = "convnext_small",
) -> Model:  # fmt: skip
    """ConvNeXtSmall with 50.2 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("small", given, include_preprocessing)


def ConvNeXtBase(
    include_top: bool = True, include_preprocessing: bool = True, weights: Any = "imagenet", input_tensor: Any = None,
    input_shape: Any = None, pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    name: str = "convnext_base",
) -> Model:  # fmt: skip
    """ConvNeXtBase with 88.5 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("base", given, include_preprocessing)


def ConvNeXtLarge(
    include_top: bool = True, include_preprocessing: bool = True, weights: Any = "imagenet", input_tensor: Any = None,
    input_shape: Any = None, pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    name: str = "convnext_large",
) -> Model:  # fmt: skip
    """ConvNeXtLarge with 197.7 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("large", given, include_preprocessing)


def ConvNeXtXLarge(
    include_top: bool = True, include_preprocessing: bool = True, weights: Any = "imagenet", input_tensor: Any = None,
    input_shape: Any = None, pooling: str | None = None, classes: int = 1000, classifier_activation: Any = "softmax",
    name: str = "convnext_xlarge",
) -> Model:  # fmt: skip
    """ConvNeXtXLarge with 350.1 million weights, for images of 224 x 224. Arguments: see `building.Arguments`."""
    given = Arguments(include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name)
    return _network("xlarge", given, include_preprocessing)
