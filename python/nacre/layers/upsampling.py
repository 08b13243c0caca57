"""UpSampling: sequences, images and volumes made larger by whole factors."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.layers.arguments import config_of, is_int, standardize_data_format, standardize_tuple
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer
from nacre.layers.resampling import INTERPOLATIONS, resize_images
from nacre.ops.pooling import enlarged


class UpSampling1D(Layer):
    """Each step `size` times: (N, T, C) -> (N, T * size, C)."""

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_int(size):
            raise TypeError(f"Expected an integer value for `size`, got {type(size)}.")
        if size <= 0:
            raise ValueError(f"Argument `size` should be a positive integer. Received: size={size}")
        self.size = int(size)
        self.input_spec = InputSpec(ndim=3)

    def call(self, inputs: Any) -> Any:
        """(N, T, C) -> (N, T * size, C)."""
        return ops.repeat(inputs, self.size, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, T * size, C)."""
        n, t, c = input_shape
        return (n, None if t is None else t * self.size, c)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "size")}


class UpSampling2D(Layer):
    """Images made larger: (N, H, W, C) -> (N, H * size[0], W * size[1], C).

    Args:
        size: factors for rows and columns, or one int for both.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        data_format: `"channels_last"` or `"channels_first"`.
    """

    _RANK = 2

    def __init__(
        self, size: Any = (2, 2), data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.size = standardize_tuple(size, self._RANK, "size")
        self.interpolation = str(interpolation).lower()
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"UpSampling2D: expected `interpolation` to be one of {list(INTERPOLATIONS)}, got {interpolation!r}"
            )
        self.input_spec = InputSpec(ndim=self._RANK + 2)

    def _first(self) -> int:
        return 1 if self.data_format == "channels_last" else 2

    def call(self, inputs: Any) -> Any:
        """The enlarged images."""
        first = self._first()
        if self.interpolation == "nearest":
            if (self._RANK, first) == (2, 1) and inputs.dtype == "float32":
                return enlarged(inputs, self.size)
            for axis, factor in enumerate(self.size, first):
                if factor > 1:
                    inputs = ops.repeat(inputs, factor, axis=axis)
            return inputs
        size = (inputs.shape[first] * self.size[0], inputs.shape[first + 1] * self.size[1])
        return resize_images(inputs, size, self.interpolation, self.data_format)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The enlarged shape."""
        shape = list(input_shape)
        for axis, factor in enumerate(self.size, self._first()):
            if shape[axis] is not None:
                shape[axis] *= factor
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "size", "data_format", "interpolation")}


class UpSampling3D(UpSampling2D):
    """Each element of a volume repeated: (N, D, H, W, C) -> (N, D * size[0], H * size[1], W * size[2], C)."""

    _RANK = 3

    def __init__(self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(size, data_format, "nearest", **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = super().get_config()
        config.pop("interpolation")
        return config
