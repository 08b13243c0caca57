"""Pictures of sound: STFTSpectrogram, whose transform is a convolution that can be trained, and MelSpectrogram."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import initializers, ops
from nacre.core.config import epsilon
from nacre.core.spec import is_float
from nacre.layers.arguments import config_of, is_int, standardize_data_format
from nacre.layers.input_spec import InputSpec
from nacre.layers.layer import Layer

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


def _positive(name: str, layer: str, value: Any) -> int:
    if not is_int(value) or value <= 0:
        raise ValueError(f"{layer}: expected `{name}` to be a positive int, got {value!r}")
    return int(value)


class STFTSpectrogram(Layer):
    """The short-time Fourier transform of signals: (N, T, C) -> (N, frames, C * bins), or (N, frames, bins, C).

    Args:
        mode: `"log"` (of the magnitude), `"magnitude"`, `"psd"`, `"real"`, `"imag"`, `"angle"`, or `"stft"`: real and
            imaginary parts, one behind the other.
        frame_length: samples per frame.
        frame_step: samples between the beginnings of frames; half a frame when not given.
        fft_length: points of the transform; the next power of two from `frame_length` on when not given.
        window: `"hann"`, `"hamming"`, `"blackman"`, `"bartlett"`, `"boxcar"`, `"tukey"`, or an array (frame_length,);
            None for no window.
        periodic: whether the window's period is its length, instead of its length - 1.
        scaling: of the window: `"density"`, `"spectrum"` or None.
        padding: `"valid"`, or `"same"` for a frame per step.
        expand_dims: whether bins get an axis of their own, as in images.

    Weights: `real_kernel` and `imag_kernel` (frame_length, 1, bins), those that the mode needs.
    """

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode not in _MODES:
            raise ValueError(f"Output mode is invalid, it must be one of {', '.join(_MODES)}. Received: mode={mode}")
        if padding not in ("valid", "same"):
            raise ValueError(f"Padding is invalid, it should be 'valid', 'same'. Received: padding={padding}")
        if scaling not in (None, "density", "spectrum"):
            raise ValueError(
                f"Scaling is invalid, it must be `None`, 'density' or 'spectrum'. Received scaling={scaling}"
            )
        length = _positive("frame_length", "STFTSpectrogram", frame_length)
        step = length // 2 if frame_step is None else frame_step
        if not is_int(step) or not 0 < step <= length:
            raise ValueError(
                "`frame_step` should be a positive integer not greater than `frame_length`. Received "
                f"frame_step={frame_step}, frame_length={frame_length}"
            )
        points = 1 << (length - 1).bit_length() if fft_length is None else fft_length
        if not is_int(points) or points < length:
            raise ValueError(
                f"`fft_length` should be not less than `frame_length`. Received fft_length={fft_length}, "
                f"frame_length={frame_length}"
            )
        if hasattr(window, "shape") and tuple(window.shape) != (length,):
            raise ValueError(
                f"The shape of `window` must be equal to [frame_length]. Received: window shape={tuple(window.shape)}"
            )
        initializers.STFT("real", window, scaling, periodic)  # raises for an unknown window
        self.mode = mode
        self.frame_length, self.frame_step, self.fft_length = frame_length, frame_step, fft_length
        self._frame_step, self._fft_length = int(step), int(points)
        self.window = window
        self.periodic = periodic
        self.scaling = scaling
        self.padding = padding
        self.expand_dims = expand_dims
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape: Any) -> None:
        """Makes the kernels."""
        shape = (self.frame_length, 1, self._fft_length // 2 + 1)
        for side, others in (("real", "imag"), ("imag", "real")):
            if self.mode == others:
                continue
            made = initializers.STFT(side, self.window, self.scaling, self.periodic)
            setattr(self, f"{side}_kernel", self.add_weight(name=f"{side}_kernel", shape=shape, initializer=made))

    def call(self, inputs: Any) -> Any:
        """The spectrogram of (N, T, C), or (N, C, T) for channels_first."""
        if not is_float(inputs.dtype):
            raise TypeError(
                f"Invalid input type. Expected `float16`, `float32` or `float64`. Received: input type={inputs.dtype}"
            )
        x = inputs if self.data_format == "channels_first" else ops.transpose(inputs, (0, 2, 1))  # (N, C, T)
        n, channels, time = x.shape
        x = ops.reshape(x, (n * channels, time, 1))
        parts = {
            side: ops.conv(x, getattr(self, f"{side}_kernel"), self._frame_step, self.padding, "channels_last")
            for side in ("real", "imag")
            if hasattr(self, f"{side}_kernel")
        }
        y = self._shown(parts)  # (N C, frames, bins)
        y = ops.reshape(y, (n, channels, *y.shape[1:]))
        first = self.data_format == "channels_first"
        if self.expand_dims:
            return y if first else ops.transpose(y, (0, 2, 3, 1))
        y = ops.transpose(y, (0, 1, 3, 2) if first else (0, 2, 1, 3))
        return ops.reshape(
            y, (n, channels * y.shape[2], y.shape[3]) if first else (n, y.shape[1], channels * y.shape[3])
        )

    def _shown(self, parts: dict[str, Any]) -> Any:
        if self.mode in parts:
            return parts[self.mode]
        real, imag = parts["real"], parts["imag"]
        if self.mode == "stft":
            return ops.concatenate([real, imag], axis=-1)
        if self.mode == "angle":
            return ops.arctan2(imag, real)
        power = ops.square(real) + ops.square(imag)
        if self.mode == "psd":  # every frequency but the first and the last stands for two
            twice = np.full(power.shape[-1], 2.0, power.dtype)
            twice[[0, -1]] = 1.0
            return power * ops.convert_to_tensor(twice)
        if self.mode == "log":
            return 0.5 * ops.log(ops.maximum(power, epsilon()))
        return ops.sqrt(ops.maximum(power, epsilon()))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """(N, frames, C * bins), or as `expand_dims` and `data_format` have it."""
        first = self.data_format == "channels_first"
        n, (channels, time) = input_shape[0], input_shape[1:] if first else reversed(input_shape[1:])
        bins = (self._fft_length // 2 + 1) * (2 if self.mode == "stft" else 1)
        frames = None if time is None else (
            -(-time // self._frame_step) if self.padding == "same"
            else max((time - self.frame_length) // self._frame_step + 1, 0)
        )  # fmt: skip
        if self.expand_dims:
            return (n, channels, frames, bins) if first else (n, frames, bins, channels)
        wide = None if channels is None else channels * bins
        return (n, wide, frames) if first else (n, frames, wide)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = (
            "mode", "frame_length", "frame_step", "fft_length", "window", "periodic", "scaling", "padding",
            "data_format", "expand_dims",
        )  # fmt: skip
        return {**super().get_config(), **config_of(self, *names)}


def _mel(frequency: Any) -> Any:
    """Hertz on the mel scale: equal steps sound equal."""
    return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)


class MelSpectrogram(Layer):
    """The power of sound by time and pitch, in decibels: (..., samples) -> (..., num_mel_bins, frames).

    Args:
        fft_length, sequence_stride, sequence_length, window: of the short-time Fourier transform, see `keras.ops.stft`.
        sampling_rate: samples per second.
        num_mel_bins, min_freq, max_freq: how many pitches, evenly spaced on the mel scale, and their limits in Hertz;
            up to half the sampling rate when not given.
        power_to_db: whether the result is in decibels over `ref_power`.
        top_db: how far below the loudest decibels are cut.
        mag_exp: the exponent of magnitudes, 2 for powers.
        min_power: the least power.
    """

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, number in (
            ("fft_length", fft_length),
            ("sequence_stride", sequence_stride),
            ("num_mel_bins", num_mel_bins),
        ):
            _positive(name, "MelSpectrogram", number)
        self.fft_length = fft_length
        self.sequence_stride = sequence_stride
        self.sequence_length = sequence_length or fft_length
        if self.fft_length < self.sequence_length:
            raise ValueError(
                "`fft_length` must be greater than or equal to `sequence_length`. Received: "
                f"`sequence_length`={sequence_length}, `fft_length`={fft_length}."
            )
        self.window = window
        self.sampling_rate = sampling_rate
        self.num_mel_bins = num_mel_bins
        self.min_freq = min_freq
        self.max_freq = max_freq or int(sampling_rate / 2)
        self.power_to_db = power_to_db
        self.top_db = top_db
        self.mag_exp = mag_exp
        self.min_power = min_power
        self.ref_power = ref_power

    def call(self, inputs: Any) -> Any:
        """Mel spectrograms (..., num_mel_bins, frames) of signals (samples,) or (N, samples)."""
        if len(inputs.shape) not in (1, 2):
            raise ValueError(
                f"MelSpectrogram '{self.name}': expected signals (samples,) or (N, samples), got shape {inputs.shape}"
            )
        x = ops.cast(inputs, self._input_dtype)
        single = len(x.shape) == 1
        real, imag = ops.stft(
            ops.expand_dims(x, 0) if single else x, self.sequence_length, self.sequence_stride, self.fft_length,
            window=self.window, center=True,
        )  # fmt: skip
        magnitude = ops.sqrt(ops.square(real) + ops.square(imag))
        y = ops.matmul(ops.power(magnitude, self.mag_exp), ops.convert_to_tensor(self._filters().astype(x.dtype)))
        y = ops.transpose(y, (0, 2, 1))
        if self.power_to_db:
            decibels = float(10.0 / np.log(10.0))
            reference = float(np.log(max(self.min_power, self.ref_power)))
            y = (ops.log(ops.maximum(y, self.min_power)) - reference) * decibels
            y = ops.maximum(y, ops.max(y) - self.top_db)
        return ops.squeeze(y, 0) if single else y

    def _filters(self) -> Any:
        """How much each frequency counts for each pitch (bins, num_mel_bins): triangles on the mel scale."""
        bins = self.fft_length // 2 + 1
        # The first bin, a constant, sounds not at all.
        frequencies = _mel(np.linspace(0.0, self.sampling_rate / 2.0, bins)[1:])[:, None]
        edges = np.linspace(_mel(self.min_freq), _mel(self.max_freq), self.num_mel_bins + 2)
        lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (frequencies - lower) / (centre - lower), (upper - frequencies) / (upper - centre)
        return np.pad(np.maximum(0.0, np.minimum(rising, falling)), ((1, 0), (0, 0)))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """(..., num_mel_bins, frames)."""
        *batch, samples = input_shape
        # Half a transform is added on either side.
        frames = None if samples is None else 1 + (samples - self.fft_length % 2) // self.sequence_stride
        return (*batch, self.num_mel_bins, frames)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = (
            "fft_length", "sequence_stride", "sequence_length", "window", "sampling_rate", "num_mel_bins", "min_freq",
            "max_freq", "power_to_db", "top_db", "mag_exp", "min_power", "ref_power",
        )  # fmt: skip
        return {**super().get_config(), **config_of(self, *names)}
