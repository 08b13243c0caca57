"""Initializers by chance. Each draws from a seed of its own: the same instance gives the same values every time."""

from __future__ import annotations

import copy
import math
import random as python_random
from typing import Any

import numpy as np

from nacre import random
from nacre.core import registry
from nacre.core.config import floatx
from nacre.core.spec import is_float, standardize_dtype
from nacre.core.tensor import Tensor
from nacre.initializers.initializer import Initializer

# The standard deviation of a standard normal variable that is cut at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


class RandomInitializer(Initializer):
    """Base class: keeps the seed. Without one it is drawn here, once, from Python's generator."""

    def __init__(self, seed: Any = None) -> None:
        self._init_seed = seed
        if seed is None:
            seed = python_random.randint(1, 10**9)
        elif isinstance(seed, dict):
            seed = registry.deserialize_keras_object(seed)
        elif isinstance(seed, bool) or not (isinstance(seed, (int, np.integer)) or hasattr(seed, "next")):
            raise ValueError(
                "`seed` argument should be an instance of `keras.random.SeedGenerator()` or an integer. "
                f"Received: seed={seed}"
            )
        self.seed = seed

    def get_config(self) -> dict[str, Any]:
        """`seed`, as it was given."""
        return {"seed": registry.serialize_keras_object(self._init_seed)}


def _float_dtype(dtype: Any, what: str) -> str:
    name = standardize_dtype(dtype, floatx())
    if not is_float(name):
        raise ValueError(f"{what}: expected a float dtype, got {name}")
    return name


class RandomNormal(RandomInitializer):
    """Normally distributed values."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype."""
        dtype = _float_dtype(dtype, "RandomNormal")
        return random.normal(shape=shape, mean=self.mean, stddev=self.stddev, seed=self.seed, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """`seed`, `mean` and `stddev`."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomInitializer):
    """Normally distributed values, those beyond two standard deviations drawn again."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype."""
        dtype = _float_dtype(dtype, "TruncatedNormal")
        return random.truncated_normal(shape=shape, mean=self.mean, stddev=self.stddev, seed=self.seed, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """`seed`, `mean` and `stddev`."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class RandomUniform(RandomInitializer):
    """Uniformly distributed values in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> None:
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype."""
        dtype = standardize_dtype(dtype, floatx())
        return random.uniform(shape=shape, minval=self.minval, maxval=self.maxval, seed=self.seed, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """`seed`, `minval` and `maxval`."""
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Values with variance `scale / n`, where n is the number of inputs or outputs of a unit, or their mean.

    Args:
        scale: positive.
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"`: what n is.
        distribution: `"truncated_normal"` (or `"normal"`), `"untruncated_normal"` or `"uniform"`.
        seed: an int or SeedGenerator.
        input_axes, output_axes: axes of the shape that count as inputs and outputs, and no others; the last two (after
            a receptive field) when they are not given.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"Invalid `mode` argument: {mode}. Please use one of {{'fan_in', 'fan_out', 'fan_avg'}}")
        distribution = distribution.lower() if isinstance(distribution, str) else distribution
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                f"Invalid `distribution` argument: {distribution}. Please use one of "
                "{'uniform', 'truncated_normal', 'untruncated_normal'}"
            )
        if (input_axes is None) != (output_axes is None):
            raise ValueError(
                "`input_axes` and `output_axes` must be given together. "
                f"Received: input_axes={input_axes}, output_axes={output_axes}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = _axes(input_axes)
        self.output_axes = _axes(output_axes)
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype."""
        dtype = _float_dtype(dtype, type(self).__name__)
        fan_in, fan_out = compute_fans(tuple(shape), self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return random.uniform(shape=shape, minval=-limit, maxval=limit, seed=self.seed, dtype=dtype)
        if self.distribution == "untruncated_normal":
            return random.normal(shape=shape, mean=0.0, stddev=math.sqrt(variance), seed=self.seed, dtype=dtype)
        stddev = math.sqrt(variance) / _TRUNCATED_STDDEV
        return random.truncated_normal(shape=shape, mean=0.0, stddev=stddev, seed=self.seed, dtype=dtype)

    def along(self, input_axes: Any, output_axes: Any) -> VarianceScaling:
        """The same, with the same seed, for a weight whose inputs and outputs are those axes, unless it has its own."""
        if self.input_axes is not None:
            return self
        other = copy.copy(self)
        other.input_axes, other.output_axes = _axes(input_axes), _axes(output_axes)
        return other

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }
        return config


def _axes(axes: Any) -> Any:
    return tuple(axes) if isinstance(axes, (list, tuple)) else axes


class _Named(VarianceScaling):
    """A VarianceScaling with scale, mode and distribution fixed by the class."""

    _SCALE: float
    _MODE: str
    _DISTRIBUTION: str

    def __init__(self, seed: Any = None, input_axes: Any = None, output_axes: Any = None) -> None:
        super().__init__(self._SCALE, self._MODE, self._DISTRIBUTION, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        """`seed`, `input_axes` and `output_axes`."""
        return {**RandomInitializer.get_config(self), "input_axes": self.input_axes, "output_axes": self.output_axes}


class GlorotUniform(_Named):
    """Uniform in [-limit, limit], limit = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""

    _SCALE, _MODE, _DISTRIBUTION = 1.0, "fan_avg", "uniform"


class GlorotNormal(_Named):
    """Truncated normal with standard deviation sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""

    _SCALE, _MODE, _DISTRIBUTION = 1.0, "fan_avg", "truncated_normal"


class LecunNormal(_Named):
    """Truncated normal with standard deviation sqrt(1 / fan_in) (Klambauer et al. 2017)."""

    _SCALE, _MODE, _DISTRIBUTION = 1.0, "fan_in", "truncated_normal"


class LecunUniform(_Named):
    """Uniform in [-limit, limit], limit = sqrt(3 / fan_in) (Klambauer et al. 2017)."""

    _SCALE, _MODE, _DISTRIBUTION = 1.0, "fan_in", "uniform"


class HeNormal(_Named):
    """Truncated normal with standard deviation sqrt(2 / fan_in) (He et al. 2015)."""

    _SCALE, _MODE, _DISTRIBUTION = 2.0, "fan_in", "truncated_normal"


class HeUniform(_Named):
    """Uniform in [-limit, limit], limit = sqrt(6 / fan_in) (He et al. 2015)."""

    _SCALE, _MODE, _DISTRIBUTION = 2.0, "fan_in", "uniform"


_BLOCK = 32  # rows that are compared one by one; those of other blocks in products


def _orthonormal(q: Any) -> Any:
    """The rows of q (n, N), n <= N, without their parts along earlier ones, each of length 1, in place: R of this
    decomposition has a positive diagonal, so that it is unique and the matrix uniform (Mezzadri 2007).

    NumPy's `qr` takes twice as long, and waits for threads at each column: for seconds on a busy machine. Each row goes
    twice, which is enough (Kahan).
    """
    for start in range(0, len(q), _BLOCK):
        block, done = q[start : start + _BLOCK], q[:start]
        for _ in range(2 if start else 0):
            block -= (block @ done.T) @ done
        for i, row in enumerate(block):
            for _ in range(2 if i else 0):
                row -= np.einsum("i,ij->j", np.einsum("ij,j->i", block[:i], row), block[:i])
            row /= np.sqrt(np.einsum("i,i->", row, row))
    return q


class Orthogonal(RandomInitializer):
    """`gain` times a random matrix with orthonormal columns (or rows); higher ranks are seen as matrices."""

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype. Raises ValueError for rank 0 and 1."""
        shape = tuple(shape)
        if len(shape) < 2:
            raise ValueError(
                f"The tensor to initialize must be at least two-dimensional. Received: shape={shape} of rank "
                f"{len(shape)}."
            )
        dtype = _float_dtype(dtype, "Orthogonal")
        rows, cols = math.prod(shape[:-1]), shape[-1]
        sample = random.normal(shape=(max(rows, cols), min(rows, cols)), seed=self.seed, dtype=dtype)
        q = _orthonormal(np.array(np.asarray(sample, np.float64).T))
        if rows >= cols:
            q = q.T
        return Tensor(np.ascontiguousarray(self.gain * q.reshape(shape), dtype))

    def get_config(self) -> dict[str, Any]:
        """`seed` and `gain`."""
        return {**super().get_config(), "gain": self.gain}


def compute_fans(shape: tuple[int, ...], input_axes: Any = None, output_axes: Any = None) -> tuple[int, int]:
    """(inputs of an output unit, outputs of an input unit) for a weight of that shape.

    >>> compute_fans((3, 3, 16, 32))
    (144, 288)
    """
    if input_axes is not None:
        ins, outs = (axes if isinstance(axes, (list, tuple)) else (axes,) for axes in (input_axes, output_axes))
        return math.prod(shape[a] for a in ins), math.prod(shape[a] for a in outs)
    if len(shape) < 1:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field
