"""Augmentation of images by colour, by erasing, and by mixing images of a batch; pipelines of such layers."""

from __future__ import annotations

from typing import Any

from nacre import ops, random
from nacre.core.config import epsilon
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.layers.arguments import config_of
from nacre.layers.calling import mask_of, plan_of
from nacre.layers.image_color import _Color, _range
from nacre.layers.image_layer import ImageLayer, bounds
from nacre.layers.layer import Layer
from nacre.ops import image


class RandomGrayscale(_Color):
    """Images of which each loses its colours with probability `factor` in training; three channels stay three."""

    def __init__(self, factor: float = 0.5, data_format: str | None = None, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if factor < 0 or factor > 1:
            raise ValueError(f"`factor` should be between 0 and 1. Received: factor={factor}")
        self.factor = factor
        self._seed_with(seed)

    def transform(self, images: Any, training: bool) -> Any:
        """Images, some of them grey."""
        chosen = random.uniform((images.shape[0], 1, 1, 1), seed=self.generator) < self.factor
        return ops.where(chosen, image.rgb_to_grayscale(images, data_format="channels_last"), images)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "seed")}


class _Ranged(_Color):
    """Base class: `factor` and `value_range` are all there is to say."""

    _LIMITS: tuple[float, float] = (0.0, 1.0)

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), data_format: str | None = None, seed: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = bounds(factor, "factor", *self._LIMITS, sign=False)
        self.value_range = _range(value_range)
        self._seed_with(seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "value_range", "seed")}


class RandomInvert(_Ranged):
    """Images of which some are negatives in training; the probability is drawn from `factor`."""

    def __init__(
        self,
        factor: Any = 1.0,
        value_range: Any = (0, 255),
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)

    def transform(self, images: Any, training: bool) -> Any:
        """Images, some of them inverted."""
        chosen = random.uniform((images.shape[0], 1, 1, 1), seed=self.generator) < self._draw(images)
        return ops.where(chosen, float(self.value_range[1]) - images, images)


class RandomPosterization(_Ranged):
    """Images with fewer bits per value in training: as many as `factor`, in [1, 8], says; a number f means (1, f)."""

    _LIMITS = (1, 8)

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), data_format: str | None = None, seed: Any = None, **kwargs: Any
    ) -> None:
        pair = (1, factor) if isinstance(factor, (int, float)) else factor
        super().__init__(pair, value_range, data_format, seed, **kwargs)

    def transform(self, images: Any, training: bool) -> Any:
        """Images of few values."""
        low, high = map(float, self.value_range)
        least, most = self.factor
        shape = (images.shape[0], 1, 1, 1)
        if least == most:
            bits = ops.full(shape, float(least), dtype=images.dtype)
        else:
            bits = ops.cast(random.randint(shape, int(least), int(most), seed=self.generator), images.dtype)
        step = ops.power(2.0, 8.0 - bits)
        levels = ops.floor((images - low) * (255.0 / (high - low)))
        return ops.floor(levels / step) * step * ((high - low) / 255.0) + low


class RandomColorDegeneration(_Ranged):
    """Images moved towards grey in training, by a fraction drawn from `factor`: 0 as they are, 1 grey."""

    def transform(self, images: Any, training: bool) -> Any:
        """Images of weaker colours."""
        grey = image.rgb_to_grayscale(images, data_format="channels_last")
        return self._clip(images + self._draw(images) * (grey - images))


class RandomHue(_Ranged):
    """Images with another hue in training: turned by up to half of `factor` of the colour circle, either way."""

    def transform(self, images: Any, training: bool) -> Any:
        """Images of other hues."""
        low, high = map(float, self.value_range)
        n = images.shape[0]
        way = ops.where(random.uniform((n, 1, 1, 1), seed=self.generator) > 0.5, -0.5, 0.5)
        hsv = image.rgb_to_hsv((images - low) / (high - low), data_format="channels_last")
        hue = hsv[..., :1] + way * self._draw(images)
        hue = hue - ops.floor(hue)
        turned = image.hsv_to_rgb(ops.concatenate([hue, hsv[..., 1:]], axis=-1), data_format="channels_last")
        return ops.clip(turned, 0.0, 1.0) * (high - low) + low


class RandomSaturation(_Ranged):
    """Images of other saturation in training: f is drawn from `factor`, and the saturation is multiplied by f / (1 - f):
    0 is grey, 0.5 leaves it as it is, 1 is full."""

    def transform(self, images: Any, training: bool) -> Any:
        """Images of other saturation."""
        f = self._draw(images)
        hsv = image.rgb_to_hsv(images, data_format="channels_last")
        saturation = self._clip(hsv[..., 1:2] * (f / (1.0 - f + epsilon())))
        return image.hsv_to_rgb(
            ops.concatenate([hsv[..., :1], saturation, hsv[..., 2:]], axis=-1), data_format="channels_last"
        )


class RandomSharpness(_Ranged):
    """Images blurred or sharpened in training: f is drawn from `factor`; 0 is blurred, 0.5 as it is, 1 sharpened."""

    def transform(self, images: Any, training: bool) -> Any:
        """Images of other sharpness."""
        a, b = 1.0 / 13.0, 5.0 / 13.0
        channels = images.shape[-1]
        kernel = ops.cast(ops.convert_to_tensor([[a, a, a], [a, b, a], [a, a, a]]), images.dtype)
        kernel = ops.tile(ops.reshape(kernel, (3, 3, 1, 1)), (1, 1, channels, 1))
        smooth = ops.depthwise_conv(images, kernel, strides=1, padding="same", data_format="channels_last")
        return self._clip(images + (1.0 - 2.0 * self._draw(images)) * (smooth - images))


def _boxes(n: int, h: int, w: int, of_width: Any, of_height: Any, generator: Any) -> tuple[Any, Any]:
    """A random box per image of these fractions: where it is (N, H, W, 1), and its share of the area (N, 1, 1, 1)."""
    inside = None
    share: Any = 1.0
    for length, fraction, shape in ((w, of_width, (1, 1, w, 1)), (h, of_height, (1, h, 1, 1))):
        size = fraction * float(length)
        start = random.uniform((n, 1, 1, 1), seed=generator) * (float(length) - size)
        place = ops.reshape(ops.arange(length, dtype="float32"), shape)
        here = ops.logical_and(place >= start, place < start + size)
        inside = here if inside is None else ops.logical_and(inside, here)
        share = share * size / float(length)
    return inside, share


class RandomErasing(_Color):
    """Images of which some lose a box in training (Zhong et al. 2017).

    Args:
        factor: limits of the probability.
        scale: limits of the squares of the box's sides, as fractions of those of the image.
        fill_value: a number, or one per channel; noise when not given.
        value_range: the range of the values.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = bounds(factor, "factor", 0.0, 1.0, sign=False)
        self.scale = bounds(scale, "scale", 0.0, 1.0, sign=False)
        number = isinstance(fill_value, (int, float)) or fill_value is None
        if not number and not (isinstance(fill_value, (list, tuple)) and len(fill_value) == 3):
            raise ValueError(
                f"The `fill_value` argument should be a number (or a list of three numbers). Received: {fill_value}"
            )
        self.fill_value = fill_value
        self.value_range = _range(value_range)
        self._seed_with(seed)

    def transform(self, images: Any, training: bool) -> Any:
        """Images, some of them with a box that is filled."""
        n, h, w, _ = images.shape
        of_width, of_height = (
            ops.sqrt(random.uniform((n, 1, 1, 1), self.scale[0], self.scale[1], seed=self.generator)) for _ in range(2)
        )
        inside, _ = _boxes(n, h, w, of_width, of_height, self.generator)
        chosen = random.uniform((n, 1, 1, 1), seed=self.generator) < self._draw(images)
        if self.fill_value is None:
            fill = random.normal(images.shape, dtype=images.dtype, seed=self.generator) * float(self.value_range[1])
        else:
            fill = ops.cast(ops.convert_to_tensor(self.fill_value), images.dtype)
        return ops.where(ops.logical_and(chosen, inside), self._clip(fill), images)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "scale", "fill_value", "value_range", "seed")}


class _Mixing(ImageLayer):
    """Base class: images of a batch are mixed, and `"labels"` (one-hot) of a dict with the same weights."""

    def _mixed(self, images: Any, order: Any) -> tuple[Any, Any]:
        """The mixed images (N, H, W, C), and the weight (N,) of each image's own label."""
        raise NotImplementedError

    def call(self, inputs: Any, training: bool = True) -> Any:
        """The mixed images, and labels."""
        images = inputs["images"] if isinstance(inputs, dict) else inputs
        if not training or len(images.shape) == 3:  # one image has nothing to mix with
            return inputs
        images = ops.cast(images, self._input_dtype)
        first = self.data_format == "channels_first"
        order = random.shuffle(ops.arange(images.shape[0], dtype="int32"), seed=self.generator)
        mixed, weight = self._mixed(ops.transpose(images, (0, 2, 3, 1)) if first else images, order)
        mixed = ops.transpose(mixed, (0, 3, 1, 2)) if first else mixed
        if not isinstance(inputs, dict):
            return mixed
        outputs = {**inputs, "images": mixed}
        if "labels" in inputs:
            labels = ops.cast(inputs["labels"], self._input_dtype)
            weight = ops.reshape(weight, (-1, *(1,) * (len(labels.shape) - 1)))
            outputs["labels"] = weight * labels + (1.0 - weight) * ops.take(labels, order, axis=0)
        return outputs


class MixUp(_Mixing):
    """Each image a weighted mean of two in training, and so its labels (Zhang et al. 2017); weights from Beta(alpha, alpha).

    >>> import nacre as keras
    >>> batch = {"images": keras.ops.ones((4, 8, 8, 3)), "labels": keras.ops.eye(4)}
    >>> keras.layers.MixUp(alpha=0.2)(batch)["labels"].shape
    (4, 4)
    """

    def __init__(self, alpha: float = 0.2, data_format: str | None = None, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.alpha = alpha
        self._seed_with(seed)

    def _mixed(self, images: Any, order: Any) -> tuple[Any, Any]:
        weight = random.beta((images.shape[0],), self.alpha, self.alpha, seed=self.generator)
        w = ops.reshape(weight, (-1, 1, 1, 1))
        return w * images + (1.0 - w) * ops.take(images, order, axis=0), weight

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "alpha", "seed")}


class CutMix(_Mixing):
    """A box of each image shows another one in training, and its labels count by area (Yun et al. 2019).

    Args:
        factor: limits of alpha; the share of the image itself is drawn from Beta(alpha, alpha).
    """

    def __init__(self, factor: Any = 1.0, seed: Any = None, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = bounds(factor, "factor", 0.0, 1.0, sign=False)
        self._seed_with(seed)

    def _mixed(self, images: Any, order: Any) -> tuple[Any, Any]:
        n, h, w, _ = images.shape
        alpha = random.uniform((), self.factor[0], self.factor[1], seed=self.generator) + 1e-6
        side = ops.sqrt(1.0 - ops.reshape(random.beta((n,), alpha, alpha, seed=self.generator), (n, 1, 1, 1)))
        inside, share = _boxes(n, h, w, side, side, self.generator)
        return ops.where(inside, ops.take(images, order, axis=0), images), ops.reshape(1.0 - share, (n,))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "seed")}


class Pipeline(Layer):
    """Layers one behind the other, as one layer: for preprocessing in a data set or in a model."""

    def __init__(self, layers: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self._pipeline_layers = list(layers)
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    @property
    def layers(self) -> list[Any]:
        """The layers, in order."""
        return list(self._pipeline_layers)

    def call(self, inputs: Any, training: bool = True, mask: Any = None) -> Any:
        """What the last layer gives."""
        for layer in self._pipeline_layers:
            plan = plan_of(type(layer))
            kwargs: dict[str, Any] = {"mask": mask} if plan.has_mask and mask is not None else {}
            if plan.has_training and training is not None:
                kwargs["training"] = training
            inputs = layer(inputs, **kwargs)
            mask = mask_of(inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The layers and the name."""
        return {"layers": serialize_keras_object(list(self._pipeline_layers)), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layers of that configuration, one behind the other."""
        layers = config.get("layers")
        if not isinstance(layers, (list, tuple)):
            raise ValueError(
                "`Pipeline` config must contain a `layers` key mapping to a list of serialized layers. Received config "
                f"with layers={layers}."
            )
        return cls(**{**config, "layers": [deserialize_keras_object(x) for x in layers]})
