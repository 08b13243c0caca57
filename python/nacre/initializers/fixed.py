"""Initializers without chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core.config import floatx
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.core.spec import NUMPY, standardize_dtype
from nacre.core.tensor import Tensor
from nacre.initializers.initializer import Initializer


def _numpy_dtype(dtype: Any) -> np.dtype[Any]:
    return NUMPY[standardize_dtype(dtype, floatx())]


class Zeros(Initializer):
    """All zeros (False for booleans)."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype."""
        return Tensor(np.zeros(shape, _numpy_dtype(dtype)))


class Ones(Initializer):
    """All ones (True for booleans)."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype."""
        return Tensor(np.ones(shape, _numpy_dtype(dtype)))


class Constant(Initializer):
    """One value everywhere, or an array that is broadcast to the shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A tensor of that shape and dtype. Raises ValueError when the value cannot be broadcast to it."""
        value = np.asarray(self.value).astype(_numpy_dtype(dtype))
        try:
            return Tensor(np.array(np.broadcast_to(value, shape)))
        except ValueError:
            raise ValueError(
                f"Constant: a value of shape {value.shape} cannot fill a weight of shape {tuple(shape)}"
            ) from None

    def get_config(self) -> dict[str, Any]:
        """`value`."""
        return {"value": serialize_keras_object(self.value)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The initializer that `config` describes."""
        return cls(deserialize_keras_object(config["value"]))


class Identity(Initializer):
    """`gain` on the diagonal of a matrix, zero elsewhere."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A matrix of that shape. Raises ValueError for another rank."""
        if len(shape) != 2:
            raise ValueError(
                f"Identity matrix initializer can only be used for 2D matrices. Received: shape={tuple(shape)} of "
                f"rank {len(shape)}."
            )
        return Tensor((self.gain * np.eye(*shape)).astype(_numpy_dtype(dtype)))

    def get_config(self) -> dict[str, Any]:
        """`gain`."""
        return {"gain": self.gain}


_WINDOWS: dict[str, Callable[[Any], Any]] = {
    "hann": lambda t: 0.5 - 0.5 * np.cos(2 * np.pi * t),
    "hamming": lambda t: 0.54 - 0.46 * np.cos(2 * np.pi * t),
    "blackman": lambda t: 0.42 - 0.5 * np.cos(2 * np.pi * t) + 0.08 * np.cos(4 * np.pi * t),
    "bartlett": lambda t: 1.0 - np.abs(2 * t - 1),
    "boxcar": np.ones_like,
    # Flat in the middle, a cosine on the first and the last quarter.
    "tukey": lambda t: np.where(np.abs(2 * t - 1) <= 0.5, 1.0, 0.5 - 0.5 * np.cos(4 * np.pi * t)),
}


class STFT(Initializer):
    """Sines or cosines of all frequencies under a window: a convolution with them is a short-time Fourier transform.

    For a kernel (length, 1, bins); `side` is `"real"` or `"imag"`, `scaling` None, `"density"` or `"spectrum"`.
    """

    def __init__(
        self, side: str = "real", window: Any = "hann", scaling: str | None = "density", periodic: bool = False
    ) -> None:
        if side not in ("real", "imag"):
            raise ValueError(f"side should be 'real' or 'imag', not {side}")
        if isinstance(window, str) and window not in _WINDOWS:
            raise ValueError(f"window should be one of {sorted(_WINDOWS)}, an array or a callable, not {window!r}")
        if scaling not in (None, "density", "spectrum"):
            raise ValueError(f"scaling should be None, 'density' or 'spectrum', not {scaling!r}")
        self.side, self.window, self.scaling, self.periodic = side, window, scaling, periodic

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """A kernel of that shape, (length, 1, bins)."""
        length, channels, bins = shape
        if channels != 1:
            raise ValueError(f"STFT: expected a kernel of shape (length, 1, bins), got {tuple(shape)}")
        fft_length = (bins - 1) * 2
        if not length <= fft_length:
            raise ValueError(
                f"STFT: expected at least {length // 2 + 1} bins for windows of {length} samples, got {bins}"
            )
        time = np.arange(length).reshape(-1, 1, 1)
        angle = 2 * np.pi * time / fft_length * np.arange(bins)
        window: Any = 1.0
        scale = 1.0
        if self.window is not None:
            window = self.window
            if isinstance(window, str):
                window = _WINDOWS[window](np.arange(length) / max(length if self.periodic else length - 1, 1))
            elif callable(window):
                window = window(length)
            window = np.asarray(window, np.float64)
            if self.scaling == "density":
                scale = np.sqrt(np.sum(window**2))
            elif self.scaling == "spectrum":
                scale = np.sum(np.abs(window))
            window = (window / scale).reshape(-1, 1, 1)
        wave = np.cos(angle) if self.side == "real" else -np.sin(angle)
        return Tensor((wave * window).astype(_numpy_dtype(dtype)))

    def get_config(self) -> dict[str, Any]:
        """`side`, `window`, `periodic` and `scaling`."""
        return {"side": self.side, "window": self.window, "periodic": self.periodic, "scaling": self.scaling}
