"""Pooling to a given output size, whatever the size of the input."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.core.spec import is_float
from nacre.layers.arguments import config_of, standardize_data_format, standardize_tuple
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer
from nacre.layers.resampling import apply_matrix


def _windows(n: int, out: int) -> list[tuple[int, int]]:
    """(begin, end) of each of `out` windows that cover an axis of length n; they may overlap."""
    return [(i * n // out, -((i + 1) * n // -out)) for i in range(out)]


class BaseAdaptivePooling(Layer):
    """Base class: output i along an axis of length n sees elements floor(i n / out) to ceil((i + 1) n / out)."""

    _RANK: int
    _KIND: str

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_size = standardize_tuple(output_size, self._RANK, "output_size")
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._RANK + 2)

    def _first(self) -> int:
        return 1 if self.data_format == "channels_last" else 2

    def call(self, inputs: Any) -> Any:
        """(N, H, W, C) -> (N, *output_size, C)."""
        x = inputs if is_float(inputs.dtype) else ops.cast(inputs, self._input_dtype)
        for axis, out in enumerate(self.output_size, self._first()):
            windows = _windows(x.shape[axis], out)
            if self._KIND == "average":
                matrix = np.zeros((out, x.shape[axis]), x.dtype)
                for row, (begin, end) in zip(matrix, windows):
                    row[begin:end] = 1.0 / (end - begin)
                x = apply_matrix(x, matrix, axis)
            else:
                before = (slice(None),) * axis
                parts = [ops.max(x[(*before, slice(b, e))], axis=axis, keepdims=True) for b, e in windows]
                x = ops.concatenate(parts, axis=axis)
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, *output_size, C), or (N, C, *output_size) for channels_first."""
        if self.data_format == "channels_last":
            return (input_shape[0], *self.output_size, input_shape[-1])
        return (*input_shape[:2], *self.output_size)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "output_size", "data_format")}


class AdaptiveAveragePooling1D(BaseAdaptivePooling):
    """Means along time: (N, T, C) -> (N, output_size, C)."""

    _RANK, _KIND = 1, "average"


class AdaptiveAveragePooling2D(BaseAdaptivePooling):
    """Means over parts of images: (N, H, W, C) -> (N, *output_size, C)."""

    _RANK, _KIND = 2, "average"


class AdaptiveAveragePooling3D(BaseAdaptivePooling):
    """Means over parts of volumes: (N, D, H, W, C) -> (N, *output_size, C)."""

    _RANK, _KIND = 3, "average"


class AdaptiveMaxPooling1D(BaseAdaptivePooling):
    """The largest along time: (N, T, C) -> (N, output_size, C)."""

    _RANK, _KIND = 1, "max"


class AdaptiveMaxPooling2D(BaseAdaptivePooling):
    """The largest over parts of images: (N, H, W, C) -> (N, *output_size, C)."""

    _RANK, _KIND = 2, "max"


class AdaptiveMaxPooling3D(BaseAdaptivePooling):
    """The largest over parts of volumes: (N, D, H, W, C) -> (N, *output_size, C)."""

    _RANK, _KIND = 3, "max"
