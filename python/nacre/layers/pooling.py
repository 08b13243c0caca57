"""Pooling: the largest or the mean of every window, or of whole feature maps."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.core.spec import is_float
from nacre.layers.arguments import (
    config_of,
    standardize_data_format,
    standardize_padding,
    standardize_tuple,
    windowed_shape,
)
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer


class BasePooling(Layer):
    """Base class of pooling over windows."""

    _RANK: int
    _KIND: str

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size = standardize_tuple(pool_size, self._RANK, "pool_size")
        self.strides = standardize_tuple(self.pool_size if strides is None else strides, self._RANK, "strides")
        self.padding = standardize_padding(padding)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._RANK + 2)
        self._build_at_init()

    def call(self, inputs: Any) -> Any:
        """(N, H, W, C) -> (N, OH, OW, C), or the like for other ranks."""
        if self._KIND == "average" and not is_float(inputs.dtype):
            inputs = ops.cast(inputs, self._input_dtype)
        pool = ops.max_pool if self._KIND == "max" else ops.average_pool
        return pool(inputs, self.pool_size, strides=self.strides, padding=self.padding, data_format=self.data_format)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, OH, OW, C), or (N, C, OH, OW) for channels_first."""
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        what = f"`pool_size={self.pool_size}`, "
        return windowed_shape(
            input_shape, channels, self.pool_size, self.strides, self.padding, self.data_format, what=what
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "pool_size", "padding", "strides", "data_format")}


class MaxPooling1D(BasePooling):
    """The largest of every window along time: (N, T, C) -> (N, OT, C)."""

    _RANK, _KIND = 1, "max"

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling2D(BasePooling):
    """The largest of every window: (N, H, W, C) -> (N, OH, OW, C).

    Args:
        pool_size: height and width of the window, or one int for both.
        strides: step of the window; `pool_size` when not given.
        padding: `"valid"` or `"same"`; padding never wins.
        data_format: `"channels_last"` or `"channels_first"`.
    """

    _RANK, _KIND = 2, "max"

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling3D(BasePooling):
    """The largest of every window: (N, D, H, W, C) -> (N, OD, OH, OW, C)."""

    _RANK, _KIND = 3, "max"

    def __init__(
        self,
        pool_size: Any = (2, 2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling1D(BasePooling):
    """The mean of every window along time, padding not counted: (N, T, C) -> (N, OT, C)."""

    _RANK, _KIND = 1, "average"


class AveragePooling2D(BasePooling):
    """The mean of every window, padding not counted: (N, H, W, C) -> (N, OH, OW, C); the arguments of MaxPooling2D."""

    _RANK, _KIND = 2, "average"


class AveragePooling3D(BasePooling):
    """The mean of every window, padding not counted: (N, D, H, W, C) -> (N, OD, OH, OW, C)."""

    _RANK, _KIND = 3, "average"


class BaseGlobalPooling(Layer):
    """Base class of pooling over whole feature maps."""

    _RANK: int
    _KIND: str

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self._RANK + 2)
        self._build_at_init()

    def _axes(self) -> tuple[int, ...]:
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self._RANK))

    def call(self, inputs: Any) -> Any:
        """(N, H, W, C) -> (N, C), or (N, 1, 1, C) with `keepdims`."""
        reduce = ops.max if self._KIND == "max" else ops.mean
        return reduce(inputs, axis=self._axes(), keepdims=self.keepdims)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, C), or (N, 1, 1, C) with `keepdims`."""
        axes = self._axes()
        if self.keepdims:
            return tuple(1 if i in axes else n for i, n in enumerate(input_shape))
        return tuple(n for i, n in enumerate(input_shape) if i not in axes)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "data_format", "keepdims")}


class GlobalMaxPooling1D(BaseGlobalPooling):
    """The largest along time: (N, T, C) -> (N, C)."""

    _RANK, _KIND = 1, "max"


class GlobalMaxPooling2D(BaseGlobalPooling):
    """The largest of every feature map: (N, H, W, C) -> (N, C)."""

    _RANK, _KIND = 2, "max"


class GlobalMaxPooling3D(BaseGlobalPooling):
    """The largest of every feature volume: (N, D, H, W, C) -> (N, C)."""

    _RANK, _KIND = 3, "max"


class GlobalAveragePooling1D(BaseGlobalPooling):
    """The mean along time of the steps that are not masked: (N, T, C) -> (N, C)."""

    _RANK, _KIND = 1, "average"

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """(N, T, C) -> (N, C)."""
        if mask is None:
            return ops.mean(inputs, axis=self._axes(), keepdims=self.keepdims)
        axis = self._axes()[0]
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if axis == 1 else 1)
        total = ops.sum(inputs * weights, axis=axis, keepdims=self.keepdims)
        return total / ops.sum(weights, axis=axis, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: no time is left."""
        return None


class GlobalAveragePooling2D(BaseGlobalPooling):
    """The mean of every feature map: (N, H, W, C) -> (N, C)."""

    _RANK, _KIND = 2, "average"


class GlobalAveragePooling3D(BaseGlobalPooling):
    """The mean of every feature volume: (N, D, H, W, C) -> (N, C)."""

    _RANK, _KIND = 3, "average"
