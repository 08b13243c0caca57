"""Several changes of images as one layer: RandAugment, AugMix, RandomColorJitter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre import ops, random
from nacre.core.tensor import Symbol
from nacre.layers.arguments import config_of
from nacre.layers.image_color import (
    AutoContrast,
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomHue,
    RandomPosterization,
    RandomSaturation,
    RandomSharpness,
    Solarization,
)
from nacre.layers.image_geometry import RandomRotation, RandomShear, RandomTranslation
from nacre.layers.image_histograms import Equalization
from nacre.layers.image_layer import BaseImagePreprocessingLayer


class _Policy(BaseImagePreprocessingLayer):
    """Base class: layers of its own, as attributes of their names; `_steps` says how they follow each other."""

    def _own(self, layers: dict[str, BaseImagePreprocessingLayer]) -> None:
        self._names = list(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def _steps(self, x: Any, transformation: Any, change: Callable[[str, Any, Any], Any]) -> Any:
        """x, changed by `change(layer name, x, transformation of that layer)`, step by step."""
        raise NotImplementedError

    def _part(self, part: str, x: Any, transformation: Any, training: bool) -> Any:
        if not training or transformation is None:
            return x

        def change(name: str, value: Any, drawn: Any) -> Any:
            return getattr(getattr(self, name), f"transform_{part}")(value, drawn, training=True)

        return self._steps(x, transformation, change)

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """The images of a batch, transformed; as floats."""
        return self._part("images", ops.cast(images, self._input_dtype), transformation, training)

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        """The boxes of a batch, moved as the images are."""
        return self._part("bounding_boxes", bounding_boxes, transformation, training)

    def transform_segmentation_masks(self, segmentation_masks: Any, transformation: Any, training: bool = True) -> Any:
        """The masks of a batch, moved as the images are."""
        return self._part("segmentation_masks", segmentation_masks, transformation, training)


def _augmentations(factor: Any, value_range: Any, interpolation: str, **kwargs: Any) -> dict[str, Any]:
    """The eleven changes that RandAugment and AugMix choose from."""
    ranged = {"value_range": value_range, **kwargs}
    moved = {"interpolation": interpolation, **kwargs}
    return {
        "random_shear": RandomShear(factor, factor, **moved),
        "random_translation": RandomTranslation(factor, factor, **moved),
        "random_rotation": RandomRotation(factor, **moved),
        "random_brightness": RandomBrightness(factor, **ranged),
        "random_color_degeneration": RandomColorDegeneration(factor, **ranged),
        "random_contrast": RandomContrast(factor, **ranged),
        "random_sharpness": RandomSharpness(factor, **ranged),
        "random_posterization": RandomPosterization(max(int(8 * factor[1]), 1), **ranged),
        "solarization": Solarization(factor, factor, **ranged),
        "auto_contrast": AutoContrast(**ranged),
        "equalization": Equalization(**ranged),
    }


class RandAugment(_Policy):
    """Images after `num_ops` changes in training, each one of eleven, the same for a batch (Cubuk et al. 2019).

    Args:
        num_ops: how many changes follow each other.
        factor: how strong they are, in [0, 1]; a pair, or one number f for (0, f).
        value_range: the range of the values.
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_ops: int = 2,
        factor: Any = 0.5,
        interpolation: str = "bilinear",
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        self.value_range = value_range
        self.num_ops = num_ops
        self.interpolation = interpolation
        self._seed_with(seed)
        own = {
            "bounding_box_format": self.bounding_box_format,
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }
        self._own(_augmentations(self.factor, value_range, interpolation, **own))

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        transforms = {name: getattr(self, name)._draw(shape, seed) for name in self._names}
        chosen = random.randint((self.num_ops,), 0, len(self._names), dtype="int32", seed=seed)
        return {"transforms": transforms, "layer_idxes": chosen}

    def _steps(self, x: Any, transformation: Any, change: Callable[[str, Any, Any], Any]) -> Any:
        transforms = transformation["transforms"]
        branches = [lambda x, name=name: change(name, x, transforms[name]) for name in self._names]
        for i in range(self.num_ops):
            x = ops.switch(transformation["layer_idxes"][i], branches, x)
        return x

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "value_range", "num_ops", "factor", "interpolation", "seed")}


class AugMix(_Policy):
    """Images mixed with the sum of `num_chains` chains of changes of them in training, the same for a batch
    (Hendrycks et al. 2019).

    Args:
        chain_depth: how many changes a chain has; each is left out with the probability of any one.
        factor: how strong they are, in [0, 1]; a pair, or one number f for (0, f).
        alpha: the weights of the chains are drawn from Dirichlet(alpha, ...), that of the images from Beta(alpha,
            alpha).
        all_ops: whether brightness, colour degeneration, contrast and sharpness are among the changes.
        value_range: the range of the values.
    """

    _FACTOR_BOUNDS = (0, 1)
    _MORE = ("random_brightness", "random_color_degeneration", "random_contrast", "random_sharpness")

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Any = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        self.value_range = value_range
        self.num_chains = num_chains
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation = interpolation
        self._seed_with(seed)
        own = {
            "bounding_box_format": self.bounding_box_format,
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }
        every = _augmentations(self.factor, value_range, interpolation, **own)
        self._own({name: layer for name, layer in every.items() if all_ops or name not in self._MORE})

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        shares = random.gamma((self.num_chains,), self.alpha, dtype=self._input_dtype, seed=seed)
        return {
            "chain_mixing_weights": shares / ops.sum(shares),
            "weight_sample": random.beta((), self.alpha, self.alpha, dtype=self._input_dtype, seed=seed),
            "chain_transforms": [
                [self._draw_step(shape, seed) for _ in range(self.chain_depth)] for _ in range(self.num_chains)
            ],
        }

    def _draw_step(self, shape: tuple[int, ...], seed: Any) -> dict[str, Any]:
        """Which layer, its number, or one more for none, and what each layer that it may be will do."""
        index = random.randint((), 0, len(self._names) + 1, dtype="int32", seed=seed)
        known = isinstance(index, Symbol) or int(index)
        names = self._names if known is True else self._names[known : known + 1]
        return {"index": index, "transforms": {name: getattr(self, name)._draw(shape, seed) for name in names}}

    def _steps(self, x: Any, transformation: Any, change: Callable[[str, Any, Any], Any]) -> Any:
        x = ops.cast(x, self._input_dtype)
        mixed: Any = 0.0
        for i, chain in enumerate(transformation["chain_transforms"]):
            y = x
            for step in chain:
                transforms = step["transforms"]
                branches = [lambda y, name=name, t=transforms: change(name, y, t[name]) for name in self._names]
                y = ops.switch(step["index"], [*branches, lambda y: y], y)
            mixed = mixed + ops.cast(transformation["chain_mixing_weights"][i], y.dtype) * ops.cast(y, x.dtype)
        own = ops.cast(transformation["weight_sample"], x.dtype)
        return own * x + (1.0 - own) * mixed

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        """The boxes of a batch, as they are: the images themselves are seen, too."""
        return bounding_boxes

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = (
            "value_range", "num_chains", "chain_depth", "factor", "alpha", "all_ops", "interpolation", "seed",
        )  # fmt: skip
        return {**super().get_config(), **config_of(self, *names)}


class RandomColorJitter(_Policy):
    """Images of another brightness, contrast, saturation and hue in training, those for which a factor is given.

    Args:
        value_range: the range of the values.
        brightness_factor, contrast_factor, saturation_factor, hue_factor: see `RandomBrightness`, `RandomContrast`,
            `RandomSaturation` and `RandomHue`.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        brightness_factor: Any = None,
        contrast_factor: Any = None,
        saturation_factor: Any = None,
        hue_factor: Any = None,
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = value_range
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        self._seed_with(seed)
        own = {"value_range": value_range, "data_format": self.data_format, "dtype": self.dtype_policy}
        given = {
            "random_brightness": (RandomBrightness, brightness_factor),
            "random_contrast": (RandomContrast, contrast_factor),
            "random_saturation": (RandomSaturation, saturation_factor),
            "random_hue": (RandomHue, hue_factor),
        }
        self._own({name: cls(factor, **own) for name, (cls, factor) in given.items() if factor is not None})

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        return {name: getattr(self, name)._draw(shape, seed) for name in self._names}

    def _steps(self, x: Any, transformation: Any, change: Callable[[str, Any, Any], Any]) -> Any:
        for name in self._names:
            x = change(name, x, transformation[name])
        return x

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("value_range", "brightness_factor", "contrast_factor", "saturation_factor", "hue_factor", "seed")
        return {**super().get_config(), **config_of(self, *names)}
