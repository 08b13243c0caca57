"""Spectrograms against real Keras."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import nacre

FAST = settings(max_examples=5, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
TRANSFORMS = st.sampled_from([(16, 8, 32), (16, None, None), (10, 3, 16), (20, 20, 20), (9, 4, 33)])


def sound(seed, shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["log", "magnitude", "psd", "real", "imag", "stft"])
@given(
    lengths=TRANSFORMS, window=st.sampled_from(["hann", "hamming", "blackman", "tukey", None]), periodic=st.booleans(),
    scaling=st.sampled_from(["density", "spectrum", None]), padding=st.sampled_from(["valid", "same"]),
    expand=st.booleans(), first=st.booleans(),
)  # fmt: skip
@FAST
def test_short_time_fourier_transforms(real, mode, lengths, window, periodic, scaling, padding, expand, first):
    x = sound(1, (2, 3, 60) if first else (2, 60, 3))
    options = dict(
        zip(("frame_length", "frame_step", "fft_length"), lengths), mode=mode, window=window, periodic=periodic
    )
    options.update(scaling=scaling, padding=padding, expand_dims=expand)
    options["data_format"] = "channels_first" if first else "channels_last"
    ours, theirs = (k.layers.STFTSpectrogram(name="s", **options) for k in (nacre, real))
    want, got = np.asarray(theirs(x)), np.asarray(ours(x))
    assert got.shape == want.shape == ours.compute_output_shape(x.shape)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4 if mode == "log" else 2e-5)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert {**ours.get_config(), "dtype": 0} == {**theirs.get_config(), "dtype": 0}


@pytest.mark.filterwarnings("ignore")
@given(
    bins=st.sampled_from([8, 40]), stride=st.sampled_from([32, 100]), length=st.sampled_from([None, 100]),
    window=st.sampled_from(["hann", "hamming"]), low=st.sampled_from([0.0, 20.0, 300.0]),
    high=st.sampled_from([None, 3000.0]),
    decibels=st.booleans(), exponent=st.sampled_from([1.0, 2.0]), top=st.sampled_from([10.0, 80.0]),
single=st.booleans(), )  # fmt: skip
@FAST
def test_mel_spectrograms(real, bins, stride, length, window, low, high, decibels, exponent, top, single):
    x = sound(2, (700,) if single else (2, 700)) * np.linspace(0, 1, 700, dtype="float32")
    options = dict(fft_length=128, sequence_stride=stride, sequence_length=length, window=window, sampling_rate=8000)
    options.update(num_mel_bins=bins, min_freq=low, max_freq=high, power_to_db=decibels, mag_exp=exponent, top_db=top)
    ours, theirs = (k.layers.MelSpectrogram(name="m", **options) for k in (nacre, real))
    want, got = np.asarray(theirs(x)), np.asarray(ours(x))
    assert got.shape == want.shape == ours.compute_output_shape(x.shape)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
    assert {**ours.get_config(), "dtype": 0} == {**theirs.get_config(), "dtype": 0}
