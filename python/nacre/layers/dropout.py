"""Layers that disturb their input in training only: dropout in its forms, and noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre import ops, random
from nacre.layers.arguments import config_of, is_int, standardize_data_format
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer
from nacre.ops.base import is_number


def _fraction(rate: Any) -> Any:
    if not is_number(rate) or not 0 <= rate <= 1:
        raise ValueError(
            f"Invalid value received for argument `rate`. Expected a float value between 0 and 1. Received: rate={rate}"
        )
    return float(rate) if isinstance(rate, np.generic) else rate  # as a configuration holds it


class _Noisy(Layer):
    """Base class: the input as it is unless training, then disturbed by random numbers from a state of its own."""

    def _seed_with(self, seed: Any, needed: bool) -> None:
        self.seed = seed
        if needed:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape


class Dropout(_Noisy):
    """In training, entries become 0 with probability `rate` and the others grow by 1 / (1 - rate); else the input.

    Args:
        rate: fraction of entries that are dropped.
        noise_shape: shape of the mask, broadcast to the input; None in it is the input's size.
        seed: an int for the same masks in every run.
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _fraction(rate)
        self.noise_shape = _noise_shape(noise_shape)
        self._seed_with(seed, rate > 0)

    def _mask_shape(self, inputs: Any) -> Any:
        if self.noise_shape is None:
            return None
        if len(self.noise_shape) != len(inputs.shape):
            raise ValueError(
                f"{type(self).__name__} '{self.name}': noise_shape {self.noise_shape} does not fit inputs of shape "
                f"{inputs.shape}"
            )
        return tuple(n if want is None else want for n, want in zip(inputs.shape, self.noise_shape))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, with holes in training."""
        if training and self.rate > 0:
            return random.dropout(inputs, self.rate, noise_shape=self._mask_shape(inputs), seed=self.seed_generator)
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "rate", "seed", "noise_shape")}


def _noise_shape(noise_shape: Any) -> Any:
    if noise_shape is None:
        return None
    problem = "Invalid value received for argument `noise_shape`."
    if not isinstance(noise_shape, (list, tuple)):
        raise ValueError(f"{problem} Expected a tuple or list of integers. Received: noise_shape={noise_shape}")
    for i, n in enumerate(noise_shape):
        if n is not None and not is_int(n):
            raise ValueError(
                f"{problem} Expected all elements to be integers or None. Received element at index {i}: {n} (type: "
                f"{type(n).__name__})"
            )
        if n is not None and n <= 0:
            raise ValueError(
                f"{problem} Expected all dimensions to be positive integers or None. Received negative or zero value "
                f"at index {i}: {n}"
            )
    return tuple(noise_shape)


class _SpatialDropout(Dropout):
    """Base class: whole feature maps are dropped."""

    def __init__(
        self, rate: float, seed: Any = None, name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of sequences (N, T, C) (Tompson et al. 2014)."""

    def __init__(self, rate: float, seed: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.input_spec = InputSpec(ndim=3)

    def _mask_shape(self, inputs: Any) -> Any:
        return (inputs.shape[0], 1, inputs.shape[2])


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole feature maps of images (N, H, W, C) (Tompson et al. 2014)."""

    _RANK = 2

    def __init__(
        self, rate: float, data_format: str | None = None, seed: Any = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._RANK + 2)

    def _mask_shape(self, inputs: Any) -> Any:
        ones = (1,) * self._RANK
        if self.data_format == "channels_first":
            return (*inputs.shape[:2], *ones)
        return (inputs.shape[0], *ones, inputs.shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "data_format")}


class SpatialDropout3D(SpatialDropout2D):
    """Dropout of whole feature volumes (N, D, H, W, C) (Tompson et al. 2014)."""

    _RANK = 3


class GaussianNoise(_Noisy):
    """In training, the input plus normal noise of standard deviation `stddev`; else the input."""

    def __init__(self, stddev: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_number(stddev) or not 0 <= stddev <= 1:
            raise ValueError(
                "Invalid value received for argument `stddev`. Expected a float value between 0 and 1. Received: "
                f"stddev={stddev}"
            )
        self.stddev = float(stddev) if isinstance(stddev, np.generic) else stddev
        self._seed_with(seed, stddev > 0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, noisy in training."""
        if training and self.stddev > 0:
            noise = random.normal(
                inputs.shape, mean=0.0, stddev=self.stddev, dtype=self.compute_dtype, seed=self.seed_generator
            )
            return inputs + noise
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "stddev", "seed")}


class GaussianDropout(_Noisy):
    """In training, the input times normal noise of mean 1 and variance rate / (1 - rate); else the input."""

    def __init__(self, rate: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _fraction(rate)
        if rate == 1:
            raise ValueError("GaussianDropout: a rate of 1 means infinite noise. Received: rate=1")
        self._seed_with(seed, rate > 0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, noisy in training."""
        if training and self.rate > 0:
            stddev = math.sqrt(self.rate / (1.0 - self.rate))
            return inputs * random.normal(
                inputs.shape, mean=1.0, stddev=stddev, dtype=self.compute_dtype, seed=self.seed_generator
            )
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "rate", "seed")}


class AlphaDropout(Dropout):
    """Dropout that keeps mean and variance of inputs behind SELU (Klambauer et al. 2017)."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs, with entries set to SELU's lower limit in training."""
        if not training or self.rate <= 0:
            return inputs
        low = -1.6732632423543772 * 1.0507009873554805
        shape = self._mask_shape(inputs) or inputs.shape
        kept = ops.cast(
            random.uniform(shape, dtype=self.compute_dtype, seed=self.seed_generator) >= self.rate, self.compute_dtype
        )
        a = ((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5 if self.rate < 1 else 0.0
        x = inputs * kept + low * (1.0 - kept)
        return a * x + -a * low * self.rate
