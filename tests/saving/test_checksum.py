"""The CRC-32 of archives beside that of zlib, and reading in several threads beside HDF5's own way."""

import bz2
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest

import nacre as keras
from nacre import _core


@pytest.mark.skipif(_core.crc32 is None, reason="this CPU has no carry-less multiplication: zlib is used")
@pytest.mark.parametrize("n", [*range(130), 191, 192, 193, 4095, 100_001])
def test_crc32_is_that_of_zlib(n):
    data = np.random.default_rng(n).integers(0, 256, n + 5, np.uint8).tobytes()
    for start in (0, 1, 5):
        part = memoryview(data)[start : start + n]
        assert _core.crc32(part) == zlib.crc32(part)


@pytest.mark.skipif(_core.crc32 is None, reason="this CPU has no carry-less multiplication: zlib is used")
def test_crc32_takes_nothing_but_bytes():
    with pytest.raises(ValueError, match="contiguous bytes"):
        _core.crc32(memoryview(b"abcdef")[::2])
    with pytest.raises(TypeError):
        _core.crc32(3)


@pytest.mark.parametrize("checksum", [_core.crc32c, *filter(None, [_core.crc32])], ids=lambda f: f.__name__)
@pytest.mark.parametrize("cut", [0, 1, 63, 64, 65, 500, 1000])
def test_checksums_go_on_behind_earlier_bytes(checksum, cut):
    data = np.random.default_rng(0).integers(0, 256, 1000, np.uint8).tobytes()
    assert checksum(data[cut:], checksum(data[:cut])) == checksum(data)


CUT = """
import os, sys, zlib
import nacre as keras
from nacre.saving import archive
path = sys.argv[1]
keras.Sequential([keras.Input((300,)), keras.layers.Dense(400)]).save(path)

def cut_first(data, before=0):
    os.truncate(path, 0)
    return zlib.crc32(data, before)

archive._crc32 = cut_first
try:
    keras.models.load_model(path)
except ValueError as error:
    assert path in str(error) and "damaged" in str(error), error
else:
    raise SystemExit("loaded")
"""


def test_a_file_that_another_process_cuts_short_is_refused(tmp_path):
    # in a process of its own, because what touches the mapped bytes of such a file is killed
    subprocess.run([sys.executable, "-c", CUT, str(tmp_path / "a.keras")], check=True, timeout=600)


def model():
    return keras.Sequential([keras.Input((300,)), keras.layers.Dense(400), keras.layers.Dense(300, use_bias=False)])


@pytest.mark.parametrize("options", [{}, {"chunks": True}, {"compression": "gzip"}, {"dtype": ">f4"}, {"dtype": "f8"}])
@pytest.mark.parametrize("userblock", [0, 512])
def test_large_arrays_arrive_however_they_are_stored(tmp_path, options, userblock):
    first, second = model(), model()
    first.save_weights(tmp_path / "a.weights.h5")
    with (
        h5py.File(tmp_path / "a.weights.h5") as source,
        h5py.File(tmp_path / "b.weights.h5", "w", userblock_size=userblock) as target,
    ):

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                target.create_dataset(name, data=item[()], **options)

        source.visititems(copy)
    second.load_weights(tmp_path / "b.weights.h5")
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_is_read_through_what_unpacks_it(tmp_path):
    first = model()
    first.save(tmp_path / "a.keras")
    packed = tmp_path / "a.keras.bz2"
    packed.write_bytes(bz2.compress((tmp_path / "a.keras").read_bytes()))
    with bz2.open(packed) as file:
        second = keras.models.load_model(file)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit_leaves_all_weights_alone(tmp_path):
    model().save_weights(tmp_path / "a.weights.h5")
    other = keras.Sequential([keras.Input((300,)), keras.layers.Dense(401), keras.layers.Dense(300, use_bias=False)])
    before = other.get_weights()
    with pytest.raises(ValueError, match="expected shape"):
        other.load_weights(tmp_path / "a.weights.h5")
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_snapshots_of_weights_keep_their_values_while_others_are_loaded(tmp_path):
    first, second = model(), model()
    first.save_weights(tmp_path / "a.weights.h5")
    held = [v.value for v in second.variables]
    before = [np.array(t) for t in held]
    second.load_weights(tmp_path / "a.weights.h5")
    for tensor, copy in zip(held, before, strict=True):
        np.testing.assert_array_equal(tensor, copy)
    np.testing.assert_array_equal(second.layers[0].kernel, first.layers[0].kernel)
