"""Changes of the colours of images: contrast, brightness, hue, sharpness, ... A number per image is drawn from
`factor`."""

from __future__ import annotations

from typing import Any

from nacre import ops, random
from nacre.core.config import epsilon
from nacre.layers.arguments import config_of
from nacre.layers.image_layer import BaseImagePreprocessingLayer, bounds, pair_of_values
from nacre.ops import image


class _Color(BaseImagePreprocessingLayer):
    """Base class: `factor` and `value_range` are all there is to say; `_NAME` is what the drawn numbers are called."""

    _NAME = "factor"

    def __init__(self, factor: Any, value_range: Any = (0, 255), data_format: str | None = None, seed: Any = None,
                 **kwargs: Any) -> None:  # fmt: skip
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        self.value_range = pair_of_values(value_range)
        self._seed_with(seed)

    def _limits(self) -> tuple[float, float]:
        return self.factor

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        return {self._NAME: _one_each(shape, self._limits(), seed, self._input_dtype)}

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return self._changed(images, ops.reshape(ops.cast(drawn[self._NAME], images.dtype), (-1, 1, 1, 1)))

    def _changed(self, images: Any, f: Any) -> Any:
        """Images, changed by the numbers f (N, 1, 1, 1)."""
        raise NotImplementedError

    def _clip(self, images: Any) -> Any:
        low, high = map(float, self.value_range)
        return ops.clip(images, low, high)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "value_range", "seed")}


def _one_each(shape: tuple[int, ...], limits: Any, seed: Any, dtype: Any = None) -> Any:
    return random.uniform((shape[0], 1, 1, 1), float(limits[0]), float(limits[1]), dtype=dtype, seed=seed)


class RandomContrast(_Color):
    """Images with a contrast changed at random in training: `(x - mean) * f + mean`, the mean per channel.

    Args:
        factor: f is drawn from [1 - lower, 1 + upper]; one number f means (0, f).
        value_range: what the result is clipped to.
    """

    _FACTOR_BOUNDS = (0, 1)
    _NAME = "contrast_factor"

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: Any = None, **kwargs: Any) -> None:
        super().__init__(factor, value_range, seed=seed, **kwargs)

    def _limits(self) -> tuple[float, float]:
        return 1.0 - self.factor[0], 1.0 + self.factor[1]

    def _changed(self, images: Any, f: Any) -> Any:
        mean = ops.mean(images, axis=(1, 2), keepdims=True)
        return self._clip((images - mean) * f + mean)


class RandomBrightness(_Color):
    """Images made lighter or darker at random in training: a fraction of the value range is added.

    Args:
        factor: limits of the fraction, in [-1, 1]; one number f means (-f, f).
        value_range: the range of the values, which the result is clipped to.
    """

    _NAME = "rgb_delta"

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: Any = None, **kwargs: Any) -> None:
        super().__init__(factor, value_range, seed=seed, **kwargs)

    def _limits(self) -> tuple[float, float]:
        low, high = self.value_range
        return self.factor[0] * (high - low), self.factor[1] * (high - low)

    def _changed(self, images: Any, f: Any) -> Any:
        return self._clip(images + f)


class AutoContrast(BaseImagePreprocessingLayer):
    """Images stretched so that every channel covers `value_range`; also when not training."""

    _USES_TRAINING = False

    def __init__(self, value_range: Any = (0, 255), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = pair_of_values(value_range)

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        low, high = self.value_range
        least = ops.min(images, axis=(1, 2), keepdims=True)
        spread = ops.max(images, axis=(1, 2), keepdims=True) - least
        flat = spread == 0.0
        stretched = (images - least) * (float(high - low) / ops.where(flat, ops.ones_like(spread), spread)) + float(low)
        return ops.clip(ops.where(flat, images, stretched), float(low), float(high))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "value_range")}


class Solarization(BaseImagePreprocessingLayer):
    """Images whose values above a threshold are inverted, after an addition, both drawn at random in training.

    Args:
        addition_factor, threshold_factor: limits of the fractions of the value range, in [0, 1]; one number f means
            (0, f).
        value_range: the range of the values.
    """

    def __init__(
        self,
        addition_factor: Any = 0.0,
        threshold_factor: Any = 0.0,
        value_range: Any = (0, 255),
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        both = "addition_factor` and `threshold_factor"
        self.addition_factor = bounds(addition_factor, "addition_factor", 0, 1, both)
        self.threshold_factor = bounds(threshold_factor, "threshold_factor", 0, 1, both)
        self.value_range = pair_of_values(value_range)
        self._seed_with(seed)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        drawn = [_one_each(shape, f, seed, self._input_dtype) for f in (self.addition_factor, self.threshold_factor)]
        return dict(zip(("additions", "thresholds"), (d * 255.0 for d in drawn)))

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        low, high = map(float, self.value_range)
        x = (images - low) * (255.0 / (high - low)) + ops.cast(drawn["additions"], images.dtype)
        x = ops.clip(x, 0.0, 255.0)
        x = ops.where(x < ops.cast(drawn["thresholds"], x.dtype), x, 255.0 - x)
        return x * ((high - low) / 255.0) + low

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("addition_factor", "threshold_factor", "value_range", "seed")
        return {**super().get_config(), **config_of(self, *names)}


class RandomGrayscale(BaseImagePreprocessingLayer):
    """Images of which each loses its colours with probability `factor` in training; three channels stay three."""

    def __init__(self, factor: float = 0.5, data_format: str | None = None, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if factor < 0 or factor > 1:
            raise ValueError(f"`factor` should be between 0 and 1. Received: factor={factor}")
        self.factor: Any = factor
        self._seed_with(seed)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        return _one_each(shape, (0.0, 1.0), seed) < self.factor

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return ops.where(drawn, image.rgb_to_grayscale(images, data_format="channels_last"), images)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "seed")}


def choose(shape: tuple[int, ...], probability: Any, seed: Any) -> Any:
    """Which of N images are taken, (N,): each with a probability drawn from the pair `probability`."""
    n = shape[:1]
    drawn = random.uniform(n, float(probability[0]), float(probability[1]), seed=seed)
    return random.uniform(n, seed=seed) < drawn


def only_where(chosen: Any, changed: Any, images: Any) -> Any:
    """The changed images where `chosen` (N,), else the images."""
    return ops.where(ops.reshape(chosen, (-1, 1, 1, 1)), changed, images)


class RandomInvert(_Color):
    """Images of which some are negatives in training; the probability is drawn from `factor`."""

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        value_range: Any = (0, 255),
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        return {"apply_inversion": choose(shape, self.factor, seed)}

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return only_where(drawn["apply_inversion"], float(self.value_range[1]) - images, images)


class RandomPosterization(_Color):
    """Images with fewer bits per value in training: as many as `factor`, in [1, 8], says; a number f means (1, f)."""

    _FACTOR_BOUNDS = (1, 8)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        least, most = (int(f) for f in self.factor)
        n = shape[:1]
        bits = (
            random.randint(n, least, most, dtype="int32", seed=seed)
            if most > least
            else ops.full(n, least, dtype="int32")
        )
        return {"shift_factor": ops.cast(8 - bits, "uint8")}

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        low, high = map(float, self.value_range)
        step = ops.power(2.0, ops.reshape(ops.cast(drawn["shift_factor"], images.dtype), (-1, 1, 1, 1)))
        levels = ops.floor((images - low) * (255.0 / (high - low)))
        return ops.floor(levels / step) * step * ((high - low) / 255.0) + low


class RandomColorDegeneration(_Color):
    """Images moved towards grey in training, by a fraction drawn from `factor`: 0 as they are, 1 grey."""

    def _changed(self, images: Any, f: Any) -> Any:
        grey = image.rgb_to_grayscale(images, data_format="channels_last")
        return self._clip(images + f * (grey - images))


class RandomHue(_Color):
    """Images with another hue in training: turned by up to half of `factor` of the colour circle, either way."""

    _FACTOR_BOUNDS = (0, 1)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        n, (low, high) = shape[:1], self.factor
        way = ops.where(random.uniform(n, seed=seed) > 0.5, 0.5, -0.5)
        return {"factor": way * random.uniform(n, float(low), float(high), dtype=self._input_dtype, seed=seed)}

    def _changed(self, images: Any, f: Any) -> Any:
        low, high = map(float, self.value_range)
        hsv = image.rgb_to_hsv((images - low) / (high - low), data_format="channels_last")
        hue = hsv[..., :1] + f
        hue = hue - ops.floor(hue)
        turned = image.hsv_to_rgb(ops.concatenate([hue, hsv[..., 1:]], axis=-1), data_format="channels_last")
        return ops.clip(turned, 0.0, 1.0) * (high - low) + low


class RandomSaturation(_Color):
    """Images of other saturation in training: f is drawn from `factor`, and the saturation is multiplied by f / (1 -
    f): 0 is grey, 0.5 leaves it as it is, 1 is full."""

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        f = super()._draw(shape, seed)["factor"]
        return {"factor": f / (1.0 - f + epsilon())}

    def _changed(self, images: Any, f: Any) -> Any:
        hsv = image.rgb_to_hsv(images, data_format="channels_last")
        saturation = self._clip(hsv[..., 1:2] * f)
        return image.hsv_to_rgb(
            ops.concatenate([hsv[..., :1], saturation, hsv[..., 2:]], axis=-1), data_format="channels_last"
        )


class RandomSharpness(_Color):
    """Images blurred or sharpened in training: f is drawn from `factor`; 0 is blurred, 0.5 as it is, 1 sharpened."""

    _FACTOR_BOUNDS = (0, 1)

    def _changed(self, images: Any, f: Any) -> Any:
        a, b = 1.0 / 13.0, 5.0 / 13.0
        channels = images.shape[-1]
        kernel = ops.cast(ops.convert_to_tensor([[a, a, a], [a, b, a], [a, a, a]]), images.dtype)
        kernel = ops.tile(ops.reshape(kernel, (3, 3, 1, 1)), (1, 1, channels, 1))
        smooth = ops.depthwise_conv(images, kernel, strides=1, padding="same", data_format="channels_last")
        return self._clip(images + (1.0 - 2.0 * f) * (smooth - images))


class RandomGaussianBlur(_Color):
    """Images of which some are blurred in training; the probability is drawn from `factor`.

    Args:
        kernel_size: an odd number, or two: the window along a row and along a column.
        sigma: limits of the deviation in pixels, drawn once for each of the two; a number f, up to 1, means (0, f).
        value_range: what the result is clipped to.
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        kernel_size: Any = 3,
        sigma: Any = 1.0,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor, value_range, data_format, seed, **kwargs)
        sizes = kernel_size if isinstance(kernel_size, (list, tuple)) else (kernel_size, kernel_size)
        if len(sizes) != 2:
            raise ValueError(
                "The `kernel_size` argument should be a number (or a list of two numbers) Received: "
                f"kernel_size={kernel_size}"
            )
        if any(not isinstance(k, int) or k < 1 or k % 2 == 0 for k in sizes):
            raise ValueError(f"kernel_size must be an odd number. Received: kernel_size={kernel_size}")
        self.kernel_size = tuple(sizes)
        pair = isinstance(sigma, (list, tuple))
        self.sigma = bounds(sigma, "sigma", 0, float("inf") if pair else 1)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        chosen = choose(shape, self.factor, seed)
        low, high = map(float, self.sigma)
        deviations = random.uniform((2,), low, high, dtype=self._input_dtype, seed=seed) + epsilon()
        return {"should_apply_blur": chosen, "blur_factor": deviations}

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        blurred = image.gaussian_blur(
            images, kernel_size=self.kernel_size, sigma=drawn["blur_factor"], data_format="channels_last"
        )
        return self._clip(only_where(drawn["should_apply_blur"], blurred, images))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "kernel_size", "sigma")}
