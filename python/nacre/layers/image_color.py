"""Changes of the colours of images: contrast, brightness, solarization, ..."""

from __future__ import annotations

from typing import Any

from nacre import ops, random
from nacre.layers.arguments import config_of
from nacre.layers.image_layer import ImageLayer, bounds


def _range(value_range: Any) -> Any:
    if not isinstance(value_range, (list, tuple)) or len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ValueError(
            "The `value_range` argument should be a pair (lower, upper) of numbers. Received: "
            f"value_range={value_range}"
        )
    return list(value_range)


class _Color(ImageLayer):
    """Base class: per image a number in `factor` is drawn."""

    def _draw(self, images: Any) -> Any:
        low, high = self._limits()
        return random.uniform((images.shape[0], 1, 1, 1), low, high, dtype=images.dtype, seed=self.generator)

    def _limits(self) -> tuple[float, float]:
        return self.factor  # type: ignore[no-any-return]

    def _clip(self, images: Any) -> Any:
        return ops.clip(images, float(self.value_range[0]), float(self.value_range[1]))


class RandomContrast(_Color):
    """Images with a contrast changed at random in training: `(x - mean) * f + mean`, the mean per channel.

    Args:
        factor: f is drawn from [1 - lower, 1 + upper]; one number means both.
        value_range: what the result is clipped to.
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = bounds(factor, "factor", 0.0, 1.0, sign=False)
        self._both = self.factor[1] if isinstance(factor, (int, float)) else self.factor[0]
        self.value_range = _range(value_range)
        self._seed_with(seed)

    def _limits(self) -> tuple[float, float]:
        return 1.0 - self._both, 1.0 + self.factor[1]

    def transform(self, images: Any, training: bool) -> Any:
        """Images of another contrast."""
        mean = ops.mean(images, axis=(1, 2), keepdims=True)
        return self._clip((images - mean) * self._draw(images) + mean)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "value_range", "seed")}


class RandomBrightness(_Color):
    """Images made lighter or darker at random in training: a fraction of the value range is added.

    Args:
        factor: limits of the fraction, in [-1, 1]; one number f means (-f, f).
        value_range: the range of the values, which the result is clipped to.
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = bounds(factor, "factor", -1.0, 1.0)
        self.value_range = _range(value_range)
        self._seed_with(seed)

    def transform(self, images: Any, training: bool) -> Any:
        """Images of another brightness."""
        low, high = self.value_range
        return self._clip(images + self._draw(images) * float(high - low))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "value_range", "seed")}


class AutoContrast(ImageLayer):
    """Images stretched so that every channel covers `value_range`; also when not training."""

    _USES_TRAINING = False

    def __init__(self, value_range: Any = (0, 255), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = _range(value_range)

    def transform(self, images: Any, training: bool) -> Any:
        """Images of full contrast."""
        low, high = self.value_range
        least = ops.min(images, axis=(1, 2), keepdims=True)
        spread = ops.max(images, axis=(1, 2), keepdims=True) - least
        flat = spread == 0.0
        stretched = (images - least) * (float(high - low) / ops.where(flat, ops.ones_like(spread), spread)) + float(low)
        return ops.clip(ops.where(flat, images, stretched), float(low), float(high))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "value_range")}


class Solarization(_Color):
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
        self.addition_factor = bounds(addition_factor, "addition_factor", 0.0, 1.0, sign=False)
        self.threshold_factor = bounds(threshold_factor, "threshold_factor", 0.0, 1.0, sign=False)
        self.value_range = _range(value_range)
        self._seed_with(seed)

    def transform(self, images: Any, training: bool) -> Any:
        """Solarized images."""
        low, high = map(float, self.value_range)
        shape = (images.shape[0], 1, 1, 1)
        drawn = [
            random.uniform(shape, f[0], f[1], dtype=images.dtype, seed=self.generator)
            for f in (self.addition_factor, self.threshold_factor)
        ]
        x = ops.clip(images + drawn[0] * (high - low), low, high)
        threshold = drawn[1] * (high - low) + low
        return ops.where(x < threshold, x, high + low - x)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("addition_factor", "threshold_factor", "value_range", "seed")
        return {**super().get_config(), **config_of(self, *names)}
