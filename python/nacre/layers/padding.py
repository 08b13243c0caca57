"""Layers that make feature maps larger or smaller at their borders: ZeroPadding and Cropping."""

from __future__ import annotations

from typing import Any

from nacre import ops
from nacre.layers.arguments import config_of, is_int, standardize_data_format, standardize_tuple
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer


def _pairs(value: Any, rank: int, name: str) -> tuple[tuple[int, int], ...]:
    """One int, one int per axis, or (before, after) per axis, as pairs. Raises ValueError for anything else."""
    if is_int(value):
        value = ((value, value),) * rank
    elif hasattr(value, "__len__"):
        if len(value) != rank:
            words = {1: "one element", 2: "two elements", 3: "three elements"}[rank]
            raise ValueError(f"`{name}` should have {words}. Received: {name}={value}.")
        value = tuple((v, v) if is_int(v) else v for v in value)
    else:
        raise ValueError(
            f"`{name}` should be either an int, a tuple of {rank} ints, or a tuple of {rank} tuples of 2 ints. "
            f"Received: {name}={value}."
        )
    ends = ("1st", "2nd", "3rd")
    return tuple(standardize_tuple(v, 2, f"{ends[i]} entry of {name}", allow_zero=True) for i, v in enumerate(value))  # type: ignore[misc]


class _Border(Layer):
    """Base class: changes the length of the spatial axes by (before, after) pairs."""

    _RANK: int

    def _spatial(self) -> range:
        first = 1 if getattr(self, "data_format", "channels_last") == "channels_last" else 2
        return range(first, first + self._RANK)


class _ZeroPadding(_Border):
    def call(self, inputs: Any) -> Any:
        """The inputs with zeros around."""
        widths = [(0, 0)] * len(inputs.shape)
        for axis, pair in zip(self._spatial(), self._padding()):
            widths[axis] = pair
        return ops.pad(inputs, tuple(widths))

    def _padding(self) -> Any:
        return self.padding

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The enlarged shape."""
        shape = list(input_shape)
        for axis, (before, after) in zip(self._spatial(), self._padding()):
            if shape[axis] is not None:
                shape[axis] += before + after
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "padding", "data_format")}


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after time: (N, T, C) -> (N, T + before + after, C); `padding` is one int or (before, after)."""

    _RANK = 1

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.padding = standardize_tuple(padding, 2, "padding", allow_zero=True)
        self.input_spec = InputSpec(ndim=3)

    def _padding(self) -> Any:
        return (self.padding,)


class ZeroPadding2D(_ZeroPadding):
    """Zeros around images: (N, H, W, C) -> (N, top + H + bottom, left + W + right, C).

    Args:
        padding: one int, (rows, columns), or ((top, bottom), (left, right)).
        data_format: `"channels_last"` or `"channels_first"`.
    """

    _RANK = 2

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.padding = _pairs(padding, 2, "padding")
        self.input_spec = InputSpec(ndim=4)


class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes (N, D, H, W, C); the arguments of ZeroPadding2D with three sizes."""

    _RANK = 3

    def __init__(self, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.padding = _pairs(padding, 3, "padding")
        self.input_spec = InputSpec(ndim=5)


class _Cropping(_Border):
    def _cropping(self) -> Any:
        return self.cropping

    def _check(self, shape: Any) -> None:
        for axis, (before, after) in zip(self._spatial(), self._cropping()):
            if shape[axis] is not None and before + after >= shape[axis]:
                if len(self._spatial()) == 1:
                    raise ValueError(
                        "`cropping` parameter of `Cropping1D` layer must be smaller than the input length. Received: "
                        f"input_shape={tuple(shape)}, cropping={self.cropping}"
                    )
                raise ValueError(
                    "Values in `cropping` argument should be smaller than the corresponding spatial dimension of the "
                    f"input. Received: inputs.shape={tuple(shape)}, cropping={self.cropping}"
                )

    def call(self, inputs: Any) -> Any:
        """The inputs without their borders."""
        self._check(inputs.shape)
        index: list[Any] = [slice(None)] * len(inputs.shape)
        for axis, (before, after) in zip(self._spatial(), self._cropping()):
            index[axis] = slice(before, inputs.shape[axis] - after)
        return inputs[tuple(index)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The reduced shape."""
        self._check(input_shape)
        shape = list(input_shape)
        for axis, (before, after) in zip(self._spatial(), self._cropping()):
            if shape[axis] is not None:
                shape[axis] -= before + after
        return tuple(shape)


class Cropping1D(_Cropping):
    """Time without its ends: (N, T, C) -> (N, T - before - after, C); `cropping` is one int or (before, after)."""

    _RANK = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = standardize_tuple(cropping, 2, "cropping", allow_zero=True)
        self.input_spec = InputSpec(ndim=3)

    def _cropping(self) -> Any:
        return (self.cropping,)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "cropping")}


class Cropping2D(_Cropping):
    """Images without their borders: (N, H, W, C) -> (N, H - top - bottom, W - left - right, C).

    Args:
        cropping: one int, (rows, columns), or ((top, bottom), (left, right)).
        data_format: `"channels_last"` or `"channels_first"`.
    """

    _RANK = 2

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.cropping = _pairs(cropping, 2, "cropping")
        self.input_spec = InputSpec(ndim=4)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "cropping", "data_format")}


class Cropping3D(_Cropping):
    """Volumes (N, D, H, W, C) without their borders; the arguments of Cropping2D with three sizes."""

    _RANK = 3

    def __init__(self, cropping: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.cropping = _pairs(cropping, 3, "cropping")
        self.input_spec = InputSpec(ndim=5)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "cropping", "data_format")}
