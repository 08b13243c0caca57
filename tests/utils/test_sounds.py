"""audio_dataset_from_directory: what WAV files hold, cut and filled, at any rate."""

import wave

import numpy as np
import pytest

import nacre as keras

LENGTHS = {"cat": (50, 70, 60), "dog": (40, 80)}


def write(path, values, size=2, channels=1, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(size)
        file.setframerate(rate)
        whole = (np.asarray(values, np.float64) * 2 ** (8 * size - 1)).astype("<i4")
        raw = whole.view(np.uint8).reshape(-1, 4)[:, :size] if size > 1 else (whole + 128).astype(np.uint8)
        file.writeframes(np.ascontiguousarray(raw).tobytes())


@pytest.fixture
def sounds(tmp_path):
    rng = np.random.default_rng(0)
    for name, lengths in LENGTHS.items():
        (tmp_path / name).mkdir()
        for i, n in enumerate(lengths):
            write(tmp_path / name / f"{i}.wav", rng.integers(-(2**15), 2**15, n) / 2**15)
    return tmp_path


def load(folder, **options):
    return keras.utils.audio_dataset_from_directory(folder, verbose=False, **options)


def test_batches_are_filled_to_the_longest(sounds):
    (x, y), (x2, y2) = load(sounds, shuffle=False, batch_size=3)
    assert x.shape == (3, 70, 1)
    assert x2.shape == (2, 80, 1)
    assert np.asarray(x).dtype == np.float32
    assert y.tolist() == [0, 0, 0]
    assert y2.tolist() == [1, 1]
    assert not np.asarray(x)[0, 50:].any()
    with wave.open(str(sounds / "cat" / "1.wav")) as file:
        expected = np.frombuffer(file.readframes(70), "<i2") / np.float32(2**15)
    np.testing.assert_array_equal(np.asarray(x)[1, :, 0], expected)


def test_a_length_cuts_and_fills(sounds):
    data = load(sounds, output_sequence_length=55, batch_size=None, label_mode="categorical", shuffle=False)
    assert [(np.asarray(x).shape, y.tolist()) for x, y in data] == [((55, 1), [1, 0])] * 3 + [((55, 1), [0, 1])] * 2
    assert data.class_names == ["cat", "dog"]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_samples_of_each_size(tmp_path, size):
    values = np.array([[0.5, -0.25], [0.0, -1.0], [0.75, 0.125]])
    write(tmp_path / "a.wav", values.ravel(), size, channels=2)
    (x,) = load(tmp_path, labels=None, label_mode=None)
    np.testing.assert_array_equal(np.asarray(x)[0], values)


def test_other_rates_keep_the_frequencies(tmp_path):
    time = np.arange(800) / 8000
    write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time))
    for rate in (4000, 16000):
        (x,) = load(tmp_path, labels=None, label_mode=None, sampling_rate=rate)
        expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 10) / rate)
        np.testing.assert_allclose(np.asarray(x)[0, :, 0], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ragged": True, "output_sequence_length": 3}, "Cannot set both `ragged`"),
        ({"ragged": True}, "no ragged arrays"),
        ({"sampling_rate": "a"}, "should have an integer value"),
        ({"sampling_rate": 0}, "should be higher than 0"),
        ({"output_sequence_length": -1}, "must not be negative"),
        ({"labels": 3}, "number of audio files"),
    ],
)
def test_arguments(sounds, options, words):
    with pytest.raises(ValueError, match=words):
        load(sounds, **options)


def test_files_that_hold_no_sound(tmp_path):
    with pytest.raises(ValueError, match="No audio files found"):
        load(tmp_path, labels=None, label_mode=None)
    (tmp_path / "a.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEjunk")
    with pytest.raises(ValueError, match="cannot be read as a WAV file of PCM samples"):
        list(load(tmp_path, labels=None, label_mode=None))
    write(tmp_path / "a.wav", [0.5])
    write(tmp_path / "b.wav", [0.5, 0.5], channels=2)
    with pytest.raises(ValueError, match="one number of channels"):
        list(load(tmp_path, labels=None, label_mode=None))
