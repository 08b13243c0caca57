"""Random moves of images: flips, rotations, zooms, translations, shears, perspectives, waves, crops."""

from __future__ import annotations

import math
import random as python_random
from typing import Any

from nacre import ops, random
from nacre.core.config import epsilon
from nacre.layers.affine import FILL_MODES, affine_images
from nacre.layers.arguments import config_of
from nacre.layers.image_color import choose, only_where
from nacre.layers.image_layer import BaseImagePreprocessingLayer, bounds, pair_of_values
from nacre.layers.resizing import Sized, boxes_in_window, crop_and_resize, moved_boxes
from nacre.ops import image
from nacre.ops.base import is_number
from nacre.ops.image.warping import displaced, homography
from nacre.utils.bounding_boxes import corners_of, enclosing

INTERPOLATIONS = ("nearest", "bilinear")


class _Moving(BaseImagePreprocessingLayer):
    """Base class: pixels move; what is drawn says for which shape of images."""

    _MOVES = True

    def _drawn(self, shape: tuple[int, ...], **drawn: Any) -> dict[str, Any]:
        return {**drawn, "input_shape": self._shape_of(shape)}


class RandomFlip(_Moving):
    """Images mirrored at random in training: each with probability 1/2.

    Args:
        mode: `"horizontal"`, `"vertical"`, or both at once, `"horizontal_and_vertical"`.
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

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        return self._drawn(shape, flips=random.uniform((shape[0], 1, 1, 1), seed=seed) <= 0.5)

    def _axes(self) -> list[int]:
        return [axis for axis, word in ((2, "horizontal"), (1, "vertical")) if word in self.mode]

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return ops.where(drawn["flips"], ops.flip(images, self._axes()), images)

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        left, top, right, bottom = (boxes[..., i] for i in range(4))
        if 2 in self._axes():
            left, right = width - right, width - left
        if 1 in self._axes():
            top, bottom = height - bottom, height - top
        flipped = ops.stack([left, top, right, bottom], axis=-1)
        flips = ops.reshape(drawn["flips"], (-1, *(1,) * (len(boxes.shape) - 1)))
        return ops.where(flips, flipped, boxes)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "seed", "mode")}


def check_mapping(interpolation: str, fill_mode: str = "constant") -> None:
    """Raises ValueError when one of the two is unknown."""
    if fill_mode not in FILL_MODES:
        raise ValueError(f"Unknown `fill_mode` {fill_mode}. Expected of one {set(FILL_MODES)}.")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"Unknown `interpolation` {interpolation}. Expected of one {set(INTERPOLATIONS)}.")


class _Affine(_Moving):
    """Base class: `_matrices` (N, 6) says which input place each output pixel shows."""

    def _mapping(self, fill_mode: str, interpolation: str, seed: Any, fill_value: float) -> None:
        check_mapping(interpolation, fill_mode)
        self.fill_mode = fill_mode
        self.interpolation = interpolation
        self.fill_value = fill_value
        self._seed_with(seed)

    def _numbers(self, shape: tuple[int, ...], limits: tuple[float, float], seed: Any, count: int | None = None) -> Any:
        n = shape[:1] if count is None else (shape[0], count)
        return random.uniform(n, float(limits[0]), float(limits[1]), seed=seed, dtype=self._input_dtype)

    def _matrices(self, drawn: Any, height: int, width: int) -> Any:
        raise NotImplementedError

    def _seen(self, images: Any, drawn: Any, interpolation: str) -> Any:
        matrices = ops.cast(self._matrices(drawn, *images.shape[1:3]), images.dtype)
        return affine_images(images, matrices, interpolation, self.fill_mode, self.fill_value)

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return self._seen(images, drawn, self.interpolation)

    def _apply_to_masks(self, masks: Any, drawn: Any, training: bool) -> Any:
        return self._seen(masks, drawn, "nearest")

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        # Pixels are looked up, boxes are carried along: the inverse map.
        matrices = self._matrices(drawn, height, width)
        a, b, p, c, d, q = (ops.reshape(ops.cast(matrices[:, i], boxes.dtype), (-1, 1, 1)) for i in range(6))
        x, y = corners_of(boxes)
        x, y = x - p, y - q
        area = a * d - b * c
        return enclosing((d * x - b * y) / area, (a * y - c * x) / area)


def _row(*numbers: Any) -> Any:
    """The six numbers of a map (N, 6); plain numbers hold for all."""
    like = next(v for v in numbers if hasattr(v, "shape"))
    return ops.stack([v if hasattr(v, "shape") else ops.full_like(like, v) for v in numbers], axis=1)


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
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        self._mapping(fill_mode, interpolation, seed, fill_value)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        n, h, w, _ = shape
        angle = self._numbers(shape, (self.factor[0] * 360.0, self.factor[1] * 360.0), seed)
        matrix = ops.pad(self._matrices({"angle": angle}, h, w), ((0, 0), (0, 2)))
        sizes = {"image_height": h, "image_width": w, "batch_size": n}
        return self._drawn(shape, angle=angle, rotation_matrix=matrix, **sizes)

    def _input_size(self, transformation: Any) -> tuple[int, int]:
        return transformation["image_height"], transformation["image_width"]

    def _matrices(self, drawn: Any, height: int, width: int) -> Any:
        angle = drawn["angle"] * (math.pi / 180.0)
        cos, sin = ops.cos(angle), ops.sin(angle)
        x, y = (width - 1) / 2.0, (height - 1) / 2.0  # the centre stays where it is
        return _row(cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "fill_mode", "fill_value", "interpolation", "seed")}


class _HeightWidth(_Affine):
    """Base class: one range for heights and one for widths."""

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
        self._heights = self._limits(height_factor, "height_factor")
        self._widths = self._limits(width_factor, "width_factor")
        self._mapping(fill_mode, interpolation, seed, fill_value)

    def _limits(self, factor: Any, name: str) -> Any:
        return bounds(factor, name, -1.0, 1.0, "factor")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("height_factor", "width_factor", "fill_mode", "interpolation", "seed", "fill_value")
        return {**super().get_config(), **config_of(self, *names)}


class RandomZoom(_HeightWidth):
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
        super().__init__(height_factor, width_factor, fill_mode, interpolation, seed, fill_value, data_format, **kwargs)

    def _limits(self, factor: Any, name: str) -> Any:
        return None if factor is None and name == "width_factor" else bounds(
            factor, name, -1.0, 1.0, "height_factor` and `width_factor"
        )  # fmt: skip

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        tall = 1.0 + self._numbers(shape, self._heights, seed, 1)
        wide = tall if self._widths is None else 1.0 + self._numbers(shape, self._widths, seed, 1)
        return self._drawn(shape, height_zoom=tall, width_zoom=wide)

    def _matrices(self, drawn: Any, height: int, width: int) -> Any:
        tall, wide = (ops.reshape(drawn[key], (-1,)) for key in ("height_zoom", "width_zoom"))
        x, y = (width - 1) / 2.0, (height - 1) / 2.0
        return _row(wide, 0.0, x - wide * x, 0.0, tall, y - tall * y)


class RandomTranslation(_HeightWidth):
    """Images shifted at random in training.

    Args:
        height_factor, width_factor: limits as fractions of height and width; positive shifts down and right.
    """

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        down = self._numbers(shape, self._heights, seed, 1) * float(shape[1])
        right = self._numbers(shape, self._widths, seed, 1) * float(shape[2])
        return self._drawn(shape, translations=ops.concatenate([right, down], axis=1))

    def _matrices(self, drawn: Any, height: int, width: int) -> Any:
        right, down = (drawn["translations"][:, i] for i in range(2))
        return _row(1.0, 0.0, -right, 0.0, 1.0, -down)

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        shape = (-1, *(1,) * (len(boxes.shape) - 1))
        right, down = (ops.reshape(drawn["translations"][:, i], shape) for i in range(2))
        return moved_boxes(boxes, down, right)


class RandomShear(_Affine):
    """Images sheared at random in training: rows against each other, columns against each other.

    Args:
        x_factor, y_factor: limits of how far, in pixels per pixel, in [0, 1] and either way; one number f means (0, f).
    """

    def __init__(
        self,
        x_factor: Any = 0.0,
        y_factor: Any = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.x_factor, self.y_factor = self._limits(x_factor, "x_factor"), self._limits(y_factor, "y_factor")
        self._mapping(fill_mode, interpolation, seed, fill_value)

    def _limits(self, factor: Any, name: str) -> Any:
        pair = bounds(factor, name, 0, 1.0, "factor")
        # One number is kept as a pair with both signs, as Keras does; a configuration brings such pairs back.
        return (-pair[1], pair[1]) if is_number(factor) else pair

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        columns = []
        for limits in (self.x_factor, self.y_factor):
            way = ops.where(random.uniform((shape[0], 1), seed=seed) < 0.5, -1.0, 1.0)
            columns.append(way * self._numbers(shape, limits, seed, 1))
        return self._drawn(shape, shear_factor=ops.concatenate(columns, axis=1))

    def _matrices(self, drawn: Any, height: int, width: int) -> Any:
        x, y = (drawn["shear_factor"][:, i] for i in range(2))
        return _row(1.0, x, 0.0, y, 1.0, 0.0)

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        # As Keras has it: in fractions of the image, along x, then what encloses that along y.
        x, y = corners_of(boxes)
        along_x, along_y = (ops.reshape(ops.cast(drawn["shear_factor"][:, i], x.dtype), (-1, 1, 1)) for i in range(2))
        x, y = corners_of(enclosing(x - along_x * y * (width / height), y))
        return enclosing(x, y - along_y * x * (height / width))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("x_factor", "y_factor", "fill_mode", "interpolation", "seed", "fill_value")
        return {**super().get_config(), **config_of(self, *names)}


class RandomCrop(Sized):
    """A window (height, width) at a random place in training, the same for a batch; the centre otherwise.

    Images that are too small, and all images when not training, are resized first, with their aspect ratio kept.
    """

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
        self._set_size(height, width)
        self._seed_with(python_random.randint(1, 10**9) if seed is None else seed)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """Where the window begins: `"top"` and `"left"`, (1,) each; neither when images are resized."""
        drawn = super().get_random_transformation(data, training, seed)
        return drawn if training else {key: v for key, v in drawn.items() if key == "input_shape"}

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        drawn = super()._draw(shape, seed)
        _, h, w, _ = shape
        if h >= self.height and w >= self.width:
            for key, room in (("top", h - self.height), ("left", w - self.width)):
                drawn[key] = random.randint((1,), 0, room + 1, dtype="int32", seed=seed)
        return drawn

    def _cropped(self, images: Any, drawn: Any, interpolation: str) -> Any:
        if "top" not in drawn:
            return crop_and_resize(images, (self.height, self.width), interpolation)
        # A window of known size at a place that is drawn: rows and columns are looked up.
        rows = drawn["top"] + ops.arange(self.height, dtype="int32")
        columns = drawn["left"] + ops.arange(self.width, dtype="int32")
        return ops.take(ops.take(images, rows, axis=1), columns, axis=2)

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return self._cropped(images, drawn, "bilinear")

    def _apply_to_masks(self, masks: Any, drawn: Any, training: bool) -> Any:
        return self._cropped(masks, drawn, "nearest")

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        if "top" not in drawn:
            return boxes_in_window(boxes, height, width, (self.height, self.width))
        return moved_boxes(boxes, -drawn["top"], -drawn["left"])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "height", "width", "seed")}


class RandomPerspective(_Moving):
    """Images of which some are seen from aside in training: their corners stand elsewhere.

    Args:
        factor: limits of the probability, in [0, 1]; one number f means (0, f).
        scale: how far corners move, in [0, 1]: up to half of their distance from the top left, times `scale`.
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        if not is_number(scale) or not 0 <= scale <= 1:
            raise ValueError(f"The `scale` argument should be a number in the range [0,1]. Received: scale={scale}")
        check_mapping(interpolation)
        self.scale = scale
        self.interpolation = interpolation
        self.fill_value = fill_value
        self._seed_with(seed)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        n, h, w, _ = shape
        corners = [[0.0, 0.0], [w - 1.0, 0.0], [0.0, h - 1.0], [w - 1.0, h - 1.0]]
        start = ops.tile(ops.convert_to_tensor([corners], dtype=self._input_dtype), (n, 1, 1))
        moved = 1.0 + random.uniform((n, 4, 2), -0.5, 0.5, dtype=self._input_dtype, seed=seed) * float(self.scale)
        return self._drawn(
            shape, apply_perspective=choose(shape, self.factor, seed), start_points=start, end_points=start * moved
        )

    def _seen(self, images: Any, drawn: Any, interpolation: str) -> Any:
        points = (ops.cast(drawn[key], images.dtype) for key in ("start_points", "end_points"))
        changed = image.perspective_transform(
            images, *points, interpolation=interpolation, fill_value=self.fill_value, data_format="channels_last"
        )
        return only_where(drawn["apply_perspective"], changed, images)

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return self._seen(images, drawn, self.interpolation)

    def _apply_to_masks(self, masks: Any, drawn: Any, training: bool) -> Any:
        return self._seen(masks, drawn, "nearest")

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        # The map from the old corners to the new ones, as a row (a, b, c, d, e, f, g, h) of image.affine_transform.
        rows = homography(*(ops.cast(drawn[key], boxes.dtype) for key in ("end_points", "start_points")))
        a, b, c, d, e, f, g, h = (ops.reshape(rows[:, i], (-1, 1, 1)) for i in range(8))
        x, y = corners_of(boxes)
        k = g * x + h * y + 1.0
        moved = enclosing((a * x + b * y + c) / k, (d * x + e * y + f) / k)
        return ops.where(ops.reshape(drawn["apply_perspective"], (-1, 1, 1)), moved, boxes)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "scale", "interpolation", "fill_value", "seed")}


class RandomElasticTransform(_Moving):
    """Images of which some are pulled about in training, as if printed on rubber; boxes stay.

    Args:
        factor: limits of the probability, in [0, 1]; one number f means (0, f).
        scale: limits of how far, in [0, 1]: pixels move by up to a tenth of the longer side times what is drawn.
        value_range: what the result is clipped to.
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: Any = (0, 255),
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        self.scale = bounds(scale, "scale", 0, 1)
        if fill_mode != "mirror":
            check_mapping(interpolation, fill_mode)
        self.interpolation = interpolation
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.value_range = pair_of_values(value_range)
        self._seed_with(seed)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        low, high = map(float, self.scale)
        factor = random.uniform((), low, high, dtype=self._input_dtype, seed=seed)
        field = self._field(shape, seed)
        return self._drawn(
            shape, apply_transform=choose(shape, self.factor, seed), distortion_factor=factor, field=field
        )

    def _field(self, shape: tuple[int, ...], seed: Any) -> Any:
        """Which way each pixel is pulled, before it is smoothed."""
        return random.uniform((*shape[:3], 2), -1.0, 1.0, dtype=self._input_dtype, seed=seed)

    def _seen(self, images: Any, drawn: Any, interpolation: str) -> Any:
        _, h, w, _ = images.shape
        field = drawn["field"] if "field" in drawn else self._field(images.shape, self.generator)
        strength = ops.cast(drawn["distortion_factor"], images.dtype)
        f = strength + epsilon()  # no deviation is 0
        sigma = 0.05 * min(h, w)
        size = max(int(6 * sigma * self.scale[1]) | 1, 3)  # wide enough for the most that may be drawn
        changed = displaced(
            images, ops.cast(field, images.dtype), strength * (0.1 * max(h, w)), ops.stack([f * sigma, f * sigma]),
            size, INTERPOLATIONS.index(interpolation), self.fill_mode, float(self.fill_value),
        )  # fmt: skip
        return only_where(drawn["apply_transform"], changed, images)

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return ops.clip(self._seen(images, drawn, self.interpolation), *map(float, self.value_range))

    def _apply_to_masks(self, masks: Any, drawn: Any, training: bool) -> Any:
        return self._seen(masks, drawn, "nearest")

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        return boxes  # pixels move hither and thither about where they were

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("factor", "scale", "interpolation", "fill_mode", "fill_value", "value_range", "seed")
        return {**super().get_config(), **config_of(self, *names)}
