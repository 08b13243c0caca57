"""Random moves of images: flips, rotations, zooms, translations, crops."""

from __future__ import annotations

import math
import random as python_random
from typing import Any

from nacre import ops, random
from nacre.layers.affine import FILL_MODES, affine_images
from nacre.layers.arguments import config_of, is_int
from nacre.layers.image_layer import ImageLayer, bounds
from nacre.layers.resizing import crop_and_resize


class RandomFlip(ImageLayer):
    """Images mirrored at random in training: each with probability 1/2 per direction.

    Args:
        mode: `"horizontal"`, `"vertical"` or `"horizontal_and_vertical"`.
    """

    def __init__(
        self, mode: str = "horizontal_and_vertical", seed: Any = None, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if mode not in ("horizontal", "vertical", "horizontal_and_vertical"):
            raise ValueError(
                f"RandomFlip: expected `mode` 'horizontal', 'vertical' or 'horizontal_and_vertical', got {mode!r}"
            )
        self.mode = mode
        self._seed_with(seed)

    def transform(self, images: Any, training: bool) -> Any:
        """Images, some of them mirrored."""
        n = images.shape[0]
        for word, axis in (("horizontal", 2), ("vertical", 1)):
            if word in self.mode:
                chosen = random.uniform((n, 1, 1, 1), seed=self.generator) < 0.5
                images = ops.where(chosen, ops.flip(images, axis), images)
        return images

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "seed", "mode")}


class _Affine(ImageLayer):
    """Base class: `_matrices(n, h, w)` (N, 6) says which input place each output pixel shows."""

    def _mapping(self, fill_mode: str, interpolation: str, seed: Any, fill_value: float) -> None:
        if fill_mode not in FILL_MODES:
            raise ValueError(f"Unknown `fill_mode` {fill_mode}. Expected of one {set(FILL_MODES)}.")
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(f"Unknown `interpolation` {interpolation}. Expected of one {{'nearest', 'bilinear'}}.")
        self.fill_mode = fill_mode
        self.interpolation = interpolation
        self.fill_value = fill_value
        self._seed_with(seed)

    def _draw(self, n: int, limits: tuple[float, float]) -> Any:
        return random.uniform((n,), limits[0], limits[1], seed=self.generator, dtype=self._input_dtype)

    def _matrices(self, n: int, h: int, w: int) -> Any:
        raise NotImplementedError

    def transform(self, images: Any, training: bool) -> Any:
        """Images, each moved by its own map."""
        n, h, w, _ = images.shape
        return affine_images(images, self._matrices(n, h, w), self.interpolation, self.fill_mode, self.fill_value)


class RandomRotation(_Affine):
    """Images turned at random in training.

    Args:
        factor: limits as fractions of a full turn, positive is counter-clockwise; 0.2 means (-0.2, 0.2).
        fill_mode: what is seen outside: `"reflect"`, `"constant"`, `"wrap"` or `"nearest"`.
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: Any = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.factor = bounds(factor, "factor", -1.0, 1.0)
        self._mapping(fill_mode, interpolation, seed, fill_value)

    def _matrices(self, n: int, h: int, w: int) -> Any:
        angle = self._draw(n, (self.factor[0] * 2 * math.pi, self.factor[1] * 2 * math.pi))
        cos, sin = ops.cos(angle), ops.sin(angle)
        x, y = (w - 1) / 2.0, (h - 1) / 2.0  # the centre stays where it is
        rows = (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
        return ops.stack(rows, axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "fill_mode", "fill_value", "interpolation", "seed")}


class RandomZoom(_Affine):
    """Images enlarged or reduced at random in training.

    Args:
        height_factor: limits; positive zooms out: 0.2 means (-0.2, 0.2), heights times 0.8 to 1.2.
        width_factor: the same for widths; that of the height when not given.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: Any = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._heights = bounds(height_factor, "height_factor", -1.0, math.inf)
        self._widths = None if width_factor is None else bounds(width_factor, "width_factor", -1.0, math.inf)
        self._mapping(fill_mode, interpolation, seed, fill_value)

    def _matrices(self, n: int, h: int, w: int) -> Any:
        tall = 1.0 + self._draw(n, self._heights)
        wide = tall if self._widths is None else 1.0 + self._draw(n, self._widths)
        zero = ops.zeros_like(tall)
        x, y = (w - 1) / 2.0, (h - 1) / 2.0
        return ops.stack((wide, zero, x - wide * x, zero, tall, y - tall * y), axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("height_factor", "width_factor", "fill_mode", "interpolation", "seed", "fill_value")
        return {**super().get_config(), **config_of(self, *names)}


class RandomTranslation(_Affine):
    """Images shifted at random in training.

    Args:
        height_factor, width_factor: limits as fractions of height and width; positive shifts down and right.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: Any = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._heights = bounds(height_factor, "height_factor", -1.0, 1.0)
        self._widths = bounds(width_factor, "width_factor", -1.0, 1.0)
        self._mapping(fill_mode, interpolation, seed, fill_value)

    def _matrices(self, n: int, h: int, w: int) -> Any:
        down, right = self._draw(n, self._heights) * float(h), self._draw(n, self._widths) * float(w)
        zero, one = ops.zeros_like(down), ops.ones_like(down)
        return ops.stack((one, zero, -right, zero, one, -down), axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("height_factor", "width_factor", "fill_mode", "interpolation", "seed", "fill_value")
        return {**super().get_config(), **config_of(self, *names)}


class RandomCrop(ImageLayer):
    """A window (height, width) at a random place in training, the same for a batch; the centre otherwise.

    Images that are too small, and all images when not training, are resized first, with their aspect ratio kept.
    """

    _USES_TRAINING = False

    def __init__(
        self,
        height: int,
        width: int,
        seed: Any = None,
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, name=name, **kwargs)
        for what, value in (("height", height), ("width", width)):
            if not is_int(value) or value <= 0:
                raise ValueError(f"RandomCrop: expected a positive int `{what}`, got {value!r}")
        self.height, self.width = int(height), int(width)
        self._seed_with(python_random.randint(1, 10**9) if seed is None else seed)

    def transform(self, images: Any, training: bool) -> Any:
        """Images (N, height, width, C)."""
        _, h, w, _ = images.shape
        if not training or h < self.height or w < self.width:
            return crop_and_resize(images, (self.height, self.width), "bilinear")
        # A window of known size at a place that is drawn: rows and columns are looked up.
        top = random.randint((1,), 0, h - self.height + 1, dtype="int32", seed=self.generator)
        left = random.randint((1,), 0, w - self.width + 1, dtype="int32", seed=self.generator)
        rows = top + ops.arange(self.height, dtype="int32")
        columns = left + ops.arange(self.width, dtype="int32")
        return ops.take(ops.take(images, rows, axis=1), columns, axis=2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, height, width, C)."""
        shape = list(input_shape)
        at = -3 if self.data_format == "channels_last" else -2
        shape[at], shape[at + 1] = self.height, self.width
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "height", "width", "seed")}
