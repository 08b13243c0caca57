"""Images of another size: Resizing and CenterCrop."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.layers.arguments import config_of, is_int
from nacre.layers.image_layer import ImageLayer
from nacre.layers.resampling import INTERPOLATIONS, resize_images


def crop_and_resize(images: Any, size: tuple[int, int], interpolation: str, antialias: bool = False) -> Any:
    """Images (N, H, W, C): the largest centred window with the aspect ratio of `size`, resized to it."""
    _, h, w, _ = images.shape
    height, width = min(h, int(w * size[0] / size[1])), min(w, int(h * size[1] / size[0]))
    height, width = max(height, 1), max(width, 1)
    top, left = int((h - height) / 2), int((w - width) / 2)
    window = images[:, top : top + height, left : left + width, :]
    return resize_images(window, size, interpolation, antialias=antialias)


class _Sized(ImageLayer):
    """Base class: the output has a given height and width; `training` does not matter."""

    _USES_TRAINING = False

    def _set_size(self, height: Any, width: Any) -> None:
        for what, value in (("height", height), ("width", width)):
            if not is_int(value) or value <= 0:
                raise ValueError(f"{type(self).__name__}: expected a positive int `{what}`, got {value!r}")
        self.height, self.width = int(height), int(width)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, height, width, C)."""
        shape = list(input_shape)
        at = -3 if self.data_format == "channels_last" else -2
        shape[at], shape[at + 1] = self.height, self.width
        return tuple(shape)


class Resizing(_Sized):
    """Images resized to (height, width), as floats.

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

    def transform(self, images: Any, training: bool) -> Any:
        """Images (N, height, width, C)."""
        size = (self.height, self.width)
        if self.crop_to_aspect_ratio:
            return crop_and_resize(images, size, self.interpolation, self.antialias)
        if self.pad_to_aspect_ratio:
            _, h, w, _ = images.shape
            tall, wide = max(h, int(w * size[0] / size[1])), max(w, int(h * size[1] / size[0]))
            top, left = int((tall - h) / 2), int((wide - w) / 2)
            widths = ((0, 0), (top, top), (left, left), (0, 0))  # as much on both sides, as Keras does
            images = ops.pad(images, widths, constant_values=self.fill_value)
        return resize_images(images, size, self.interpolation, antialias=self.antialias)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = (
            "height", "width", "interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode",
            "fill_value",
            "antialias",
        )  # fmt: skip
        return {**super().get_config(), **config_of(self, *names)}


class CenterCrop(_Sized):
    """The middle (height, width) of images; images that are too small are resized, with their aspect ratio kept."""

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self._set_size(height, width)

    def transform(self, images: Any, training: bool) -> Any:
        """Images (N, height, width, C)."""
        _, h, w, _ = images.shape
        if h < self.height or w < self.width:
            return crop_and_resize(images, (self.height, self.width), "bilinear")
        top, left = (h - self.height) // 2, (w - self.width) // 2
        return images[:, top : top + self.height, left : left + self.width, :]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "height", "width")}
