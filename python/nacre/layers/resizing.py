"""Images of another size: Resizing and CenterCrop."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.layers.arguments import config_of, is_int
from nacre.layers.image_layer import BaseImagePreprocessingLayer
from nacre.layers.resampling import INTERPOLATIONS, resize_images


def centred_window(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of the largest centred window with the aspect ratio of `size`."""
    h, w = min(height, int(width * size[0] / size[1])), min(width, int(height * size[1] / size[0]))
    h, w = max(h, 1), max(w, 1)
    return int((height - h) / 2), int((width - w) / 2), h, w


def crop_and_resize(images: Any, size: tuple[int, int], interpolation: str, antialias: bool = False) -> Any:
    """Images (N, H, W, C): the largest centred window with the aspect ratio of `size`, resized to it."""
    top, left, h, w = centred_window(images.shape[1], images.shape[2], size)
    window = images[:, top : top + h, left : left + w, :]
    return resize_images(window, size, interpolation, antialias=antialias)


def moved_boxes(boxes: Any, down: Any, right: Any, tall: float = 1.0, wide: float = 1.0) -> Any:
    """Boxes (..., 4) in corners, stretched and then moved."""
    x, y = boxes[..., 0::2] * wide + ops.cast(right, boxes.dtype), boxes[..., 1::2] * tall + ops.cast(down, boxes.dtype)
    return ops.reshape(ops.stack([x, y], axis=-1), boxes.shape)


def boxes_in_window(boxes: Any, height: int, width: int, size: tuple[int, int]) -> Any:
    """Where boxes are after `crop_and_resize`."""
    top, left, h, w = centred_window(height, width, size)
    tall, wide = size[0] / h, size[1] / w
    return moved_boxes(boxes, -top * tall, -left * wide, tall, wide)


class Sized(BaseImagePreprocessingLayer):
    """Base class: the output has a given height and width."""

    _USES_TRAINING = False
    _MOVES = True

    def _set_size(self, height: Any, width: Any) -> None:
        for what, value in (("height", height), ("width", width)):
            if not is_int(value) or value <= 0:
                raise ValueError(f"{type(self).__name__}: expected a positive int `{what}`, got {value!r}")
        self.height, self.width = int(height), int(width)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        return {"input_shape": self._shape_of(shape)}

    def _output_size(self, height: int, width: int) -> tuple[int, int]:
        return self.height, self.width

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, height, width, C)."""
        shape = list(input_shape)
        at = -3 if self.data_format == "channels_last" else -2
        shape[at], shape[at + 1] = self.height, self.width
        return tuple(shape)


class Resizing(Sized):
    """Images resized to (height, width); whole numbers are rounded to such again.

    Args:
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"`, `"lanczos3"`, `"lanczos5"` or `"area"`.
        crop_to_aspect_ratio: whether borders are cut so that nothing is stretched.
        pad_to_aspect_ratio: whether borders of `fill_value` are added so that nothing is stretched.
        antialias: whether filters widen when shrinking.
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_size(height, width)
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"Resizing: expected `interpolation` to be one of {list(INTERPOLATIONS)}, got {interpolation!r}"
            )
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError("Only one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio` can be `True`.")
        if fill_mode != "constant":
            raise ValueError(f"Resizing: expected `fill_mode='constant'`, got {fill_mode!r}")
        self.interpolation = interpolation
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.antialias = antialias

    def _resized(self, images: Any, interpolation: str, antialias: bool, fill: float) -> Any:
        size = (self.height, self.width)
        if self.crop_to_aspect_ratio:
            return crop_and_resize(images, size, interpolation, antialias)
        if self.pad_to_aspect_ratio:
            _, h, w, _ = images.shape
            tall, wide = max(h, int(w * size[0] / size[1])), max(w, int(h * size[1] / size[0]))
            top, left = int((tall - h) / 2), int((wide - w) / 2)
            widths = ((0, 0), (top, top), (left, left), (0, 0))  # as much on both sides, as Keras does
            images = ops.pad(images, widths, constant_values=fill)
        return resize_images(images, size, interpolation, antialias=antialias)

    def _transformed(self, images: Any, transformation: Any, training: bool, apply: Any) -> Any:
        if "int" not in str(images.dtype):
            return super()._transformed(images, transformation, training, apply)
        resized = super()._transformed(ops.cast(images, "float32"), transformation, training, apply)
        return ops.saturate_cast(ops.round(resized), images.dtype)

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return self._resized(images, self.interpolation, self.antialias, self.fill_value)

    def _apply_to_masks(self, masks: Any, drawn: Any, training: bool) -> Any:
        return self._resized(masks, "nearest", False, self.fill_value)

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        tall, wide = self.height / height, self.width / width
        if not (self.crop_to_aspect_ratio or self.pad_to_aspect_ratio):
            return moved_boxes(boxes, 0.0, 0.0, tall, wide)
        scale = max(tall, wide) if self.crop_to_aspect_ratio else min(tall, wide)
        down, right = (-int((n * scale - out) / 2) for n, out in ((height, self.height), (width, self.width)))
        return moved_boxes(boxes, down, right, scale, scale)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = (
            "height", "width", "interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode",
            "fill_value",
            "antialias",
        )  # fmt: skip
        return {**super().get_config(), **config_of(self, *names)}


class CenterCrop(Sized):
    """The middle (height, width) of images; images that are too small are resized, with their aspect ratio kept."""

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_size(height, width)

    def _cropped(self, images: Any, interpolation: str) -> Any:
        _, h, w, _ = images.shape
        if h < self.height or w < self.width:
            return crop_and_resize(images, (self.height, self.width), interpolation)
        top, left = (h - self.height) // 2, (w - self.width) // 2
        return images[:, top : top + self.height, left : left + self.width, :]

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return self._cropped(images, "bilinear")

    def _apply_to_masks(self, masks: Any, drawn: Any, training: bool) -> Any:
        return self._cropped(masks, "nearest")

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        if height < self.height or width < self.width:
            return boxes_in_window(boxes, height, width, (self.height, self.width))
        return moved_boxes(boxes, -((height - self.height) // 2), -((width - self.width) // 2))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "height", "width")}
