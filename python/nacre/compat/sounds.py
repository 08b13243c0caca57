"""`tf.audio` and `tf.signal`, as far as programs read sounds and look at their frequencies: of values, not in models.

Complex numbers are NumPy's: nacre has no tensors of them. `tf.abs`, `tf.math.real` and `tf.math.imag` make such.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nacre import ops
from nacre.core.room import check_bytes
from nacre.core.tensor import Tensor
from nacre.utils.directories import read_sound
from nacre.utils.files import reading

Complex = np.ndarray[Any, np.dtype[np.complex64]]


class DecodedWav(NamedTuple):
    """Samples (n, channels) from -1 to 1, and how many there are a second."""

    audio: Tensor
    sample_rate: Tensor


def decode_wav(
    contents: Any, desired_channels: int = -1, desired_samples: int = -1, name: str | None = None
) -> DecodedWav:
    """The sound in the bytes of a WAV file; `desired_samples` cuts it, or adds silence."""
    data: Any = np.asarray(contents, object)[()]
    with reading("decode_wav: the text", "a sound"):
        audio = read_sound(io.BytesIO(data), None)
    if desired_channels not in (-1, audio.shape[1]):
        raise ValueError(f"decode_wav: expected {desired_channels} channels, got {audio.shape[1]}")
    with wave.open(io.BytesIO(data)) as file:
        if len(audio) < file.getnframes():
            raise ValueError(f"decode_wav: the sound has {len(audio)} of {file.getnframes()} samples")
    if desired_samples < -1:
        raise ValueError(f"decode_wav: expected desired_samples to be at least 0 (-1: all), got {desired_samples}")
    if desired_samples != -1:
        audio = audio[:desired_samples]
        audio = np.pad(audio, ((0, desired_samples - len(audio)), (0, 0)))
    with wave.open(io.BytesIO(data)) as file:
        return DecodedWav(Tensor(audio), Tensor(np.array(file.getframerate(), np.int32)))


def _window(share: float) -> Callable[..., Any]:
    """`share` and a cosine around it, one period of which is as long as the window; one sample less where that is odd,
    or not `periodic`."""

    def window(window_length: int, periodic: bool = True, dtype: Any = "float32", name: str | None = None) -> Any:
        if window_length < 0:
            raise ValueError(f"expected a window_length of at least 0, got {window_length}")
        whole = periodic and window_length % 2 == 0
        turns = np.arange(window_length) / max(window_length - (not whole), 1)
        found = np.ones(1) if window_length == 1 else share - (1 - share) * np.cos(2 * np.pi * turns)
        return Tensor(found.astype(str(dtype)))

    return window


hann_window, hamming_window = _window(0.5), _window(0.54)


def frame(
    signal: Any, frame_length: int, frame_step: int, pad_end: bool = False, pad_value: Any = 0, axis: int = -1
) -> Any:
    """The parts (..., frames, frame_length) of `signal` (..., n) that start each `frame_step`."""
    x = np.asarray(signal)
    if frame_length < 0 or frame_step < 1 or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"frame: no frames of {frame_length} each {frame_step} along axis {axis} of shape {x.shape}")
    if axis not in (-1, x.ndim - 1):
        parts = frame(np.moveaxis(x, axis, -1), frame_length, frame_step, pad_end, pad_value)
        return ops.moveaxis(parts, (-2, -1), (axis % x.ndim, axis % x.ndim + 1))
    n = x.shape[-1]
    if not n or not frame_length:
        count = (-(-n // frame_step) if pad_end else max(1 + (n - frame_length) // frame_step, 0)) if n else 0
        return Tensor(np.empty((*x.shape[:-1], count, frame_length), x.dtype))
    if pad_end:
        spare = max(-(-n // frame_step) - 1, 0) * frame_step + frame_length - n
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, max(spare, 0))], constant_values=pad_value)
    if x.shape[-1] < frame_length:
        return Tensor(np.empty((*x.shape[:-1], 0, frame_length), x.dtype))
    parts = np.lib.stride_tricks.sliding_window_view(x, frame_length, axis=-1)
    return Tensor(np.ascontiguousarray(parts[..., ::frame_step, :]))


def stft(
    signals: Any,
    frame_length: int,
    frame_step: int,
    fft_length: int | None = None,
    window_fn: Callable[..., Any] | None = hann_window,
    pad_end: bool = False,
    name: str | None = None,
) -> Any:
    """The frequencies (..., frames, fft_length // 2 + 1) of windows; `fft_length`: a power of two."""
    if frame_length < 1:
        raise ValueError(f"stft: expected a frame_length of at least 1, got {frame_length}")
    parts = np.asarray(frame(signals, frame_length, frame_step, pad_end))
    if window_fn is not None:
        parts = parts * np.asarray(window_fn(frame_length, dtype="float32"))
    return rfft(parts, [fft_length or 1 << (frame_length - 1).bit_length()])


def overlap_and_add(signal: Any, frame_step: int, name: str | None = None) -> Any:
    """The sum (..., n) of parts (..., frames, frame_length), each of which starts `frame_step` behind the last."""
    parts = np.asarray(signal)
    if parts.ndim < 2 or 0 in parts.shape[-2:] or frame_step < 1:
        raise ValueError(f"overlap_and_add: no frames each {frame_step} in an array of shape {parts.shape}")
    frames, length = parts.shape[-2:]
    check_bytes(parts.itemsize * frames * frame_step, "overlap_and_add: a result")
    out = np.zeros((*parts.shape[:-2], (frames - 1) * frame_step + length), parts.dtype)
    for i in range(frames):
        out[..., i * frame_step : i * frame_step + length] += parts[..., i, :]
    return Tensor(out)


def linear_to_mel_weight_matrix(
    num_mel_bins: int = 20,
    num_spectrogram_bins: int = 129,
    sample_rate: float = 8000,
    lower_edge_hertz: float = 125.0,
    upper_edge_hertz: float = 3800.0,
    dtype: Any = "float32",
    name: str | None = None,
) -> Any:
    """The triangles (num_spectrogram_bins, num_mel_bins) that take frequencies together, equally wide in mel."""

    if num_mel_bins < 1 or not 0 <= lower_edge_hertz < upper_edge_hertz <= sample_rate / 2:
        raise ValueError(
            f"linear_to_mel_weight_matrix: no {num_mel_bins} triangles from {lower_edge_hertz} to {upper_edge_hertz} "
            f"Hz at {sample_rate} samples a second"
        )

    def mel(hertz: Any) -> Any:
        return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)

    places = mel(np.linspace(0.0, float(sample_rate) / 2.0, int(num_spectrogram_bins))[1:])[:, None]
    edges = np.linspace(mel(lower_edge_hertz), mel(upper_edge_hertz), num_mel_bins + 2)
    left, top, right = edges[:-2], edges[1:-1], edges[2:]
    heights = np.maximum(0.0, np.minimum((places - left) / (top - left), (right - places) / (right - top)))
    return Tensor(np.pad(heights, ((1, 0), (0, 0))).astype(dtype))


def mfccs_from_log_mel_spectrograms(log_mel_spectrograms: Any, name: str | None = None) -> Any:
    """The cosine transform (DCT-II) of logarithms of mel spectrograms, along the last axis."""
    x = np.asarray(log_mel_spectrograms)
    n = x.shape[-1] if x.ndim else 0
    if not n:
        raise ValueError(f"mfccs_from_log_mel_spectrograms: expected (..., bins), got shape {x.shape}")
    waves = 2.0 * np.cos(np.pi / n * (np.arange(n)[:, None] + 0.5) * np.arange(n))
    return Tensor((x @ waves / np.sqrt(2.0 * n)).astype(np.float32))


def _transform(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(input_tensor: Any, fft_length: Any = None, name: str | None = None) -> Any:
        size = None if fft_length is None else int(np.ravel(fft_length)[0])
        if size is not None:
            check_bytes(16 * size, f"{function.__name__}: a result of {size} numbers")
        found = function(np.asarray(input_tensor), size)
        return found.astype(np.complex64) if np.iscomplexobj(found) else Tensor(found.astype(np.float32))

    call.__name__ = function.__name__
    return call


fft, ifft, rfft, irfft = (_transform(f) for f in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft))
SIGNALS = {
    "hann_window": hann_window,
    "hamming_window": hamming_window,
    **{f.__name__: f for f in (stft, frame, overlap_and_add, linear_to_mel_weight_matrix)},
    **{f.__name__: f for f in (fft, ifft, rfft, irfft, mfccs_from_log_mel_spectrograms)},
}


def of_complex(function: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of complex numbers, as a tensor; `other` of all else."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, (np.ndarray, np.generic)) and np.iscomplexobj(x):
            return Tensor(np.ascontiguousarray(function(x)))
        return other(x, *args, **kwargs)

    return call


def complex(real: Any, imag: Any, name: str | None = None) -> Complex:
    """Complex numbers of these parts."""
    return (np.asarray(real) + 1j * np.asarray(imag)).astype(np.complex64)
