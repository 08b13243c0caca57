"""Damaged files of data load, or are refused by an error that names them: records, tables, sounds, archives."""

import gzip
import io
import random
import tarfile
import wave
import zipfile

import numpy as np
import pytest

import nacre as keras
from nacre import layers
from nacre.compat import tensorflow as tf
from nacre.utils.files import _extract
from saving.fuzz import spoil_bytes

FEATURES = {
    "n": tf.io.FixedLenFeature([3], tf.int64),
    "f": tf.io.VarLenFeature(tf.float32),
    "s": tf.io.FixedLenFeature([], tf.string),
}


def example():
    feature = {
        "n": tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 2, -3])),
        "f": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0, 2.0])),
        "s": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"xyz"])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def records(path, how=None):
    with tf.io.TFRecordWriter(str(path), how) as writer:
        for _ in range(3):
            writer.write(example())
    return path.read_bytes()


def sound(channels=2, size=2):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, size, 8000, 0, "NONE", ""))
        out.writeframes(bytes(channels * size * 100))
    return file.getvalue()


def picture(kind):
    image = keras.utils.array_to_img(np.random.default_rng(0).uniform(0, 255, (9, 7, 3)))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def archive(kind):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("a/b", bytes(range(256)) * 8)
            out.writestr("c", b"1")
        return file.getvalue()
    with tarfile.open(fileobj=file, mode=f"w:{kind}") as out:
        for name, data in (("a/b", bytes(range(256)) * 8), ("c", b"1")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return file.getvalue()


def folder_of(path, load, **kwargs):
    for batch in load(str(path.parent), labels=None, verbose=False, **kwargs):
        assert len(batch) == 1


def unpack(path):
    _extract(path, path.parent / "unpacked", "auto")
    for part in sorted((path.parent / "unpacked").rglob("*"), reverse=True):
        part.rmdir() if part.is_dir() else part.unlink()


TABLE = b'a,b,c\n1,2.5,"x, y"\n3,4,z\n-1,,w\n'
# name of the file: what is in it, what reads it
KINDS = {
    "records": (records, lambda p: [tf.io.parse_single_example(r, FEATURES) for r in tf.data.TFRecordDataset(str(p))]),
    "records.gz": (lambda p: records(p, "GZIP"), lambda p: list(tf.data.TFRecordDataset(str(p), "GZIP"))),
    "table.csv": (
        lambda _: TABLE,
        lambda p: list(tf.data.experimental.make_csv_dataset(str(p), 2, label_name="b", num_epochs=1)),
    ),
    "table.gz": (
        lambda _: gzip.compress(TABLE),
        lambda p: list(tf.data.experimental.CsvDataset(str(p), [[0.0], [0.0], [""]], "GZIP", header=True)),
    ),
    "lines.txt": (lambda _: TABLE, lambda p: list(tf.data.TextLineDataset(str(p)))),
    "words.txt": (lambda _: b"one\ntwo\nthree\n", lambda p: layers.StringLookup(vocabulary=str(p))),
    "x.wav": (lambda _: sound(), lambda p: folder_of(p, keras.utils.audio_dataset_from_directory, sampling_rate=16000)),
    "y.wav": (lambda _: sound(1, 3), lambda p: tf.audio.decode_wav(p.read_bytes())),
    "x.png": (lambda _: picture("png"), lambda p: folder_of(p, keras.utils.image_dataset_from_directory)),
    "x.jpg": (lambda _: picture("jpeg"), lambda p: keras.utils.load_img(p)),
    "y.png": (lambda _: picture("png"), lambda p: tf.io.decode_image(p.read_bytes())),
    "x.zip": (lambda _: archive("zip"), unpack),
    "x.tar": (lambda _: archive(""), unpack),
    "x.tgz": (lambda _: archive("gz"), unpack),
    "x.txz": (lambda _: archive("xz"), unpack),
}  # fmt: skip
NOT_OF_THE_FILE = ("not a message", "Key: ", "Feature: ", "buffer size", "decode_")  # what is said of a text


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_an_error_that_names_the_file(tmp_path, name):
    make, load = KINDS[name]
    path = tmp_path / "folder" / name
    path.parent.mkdir()
    good = make(path)
    path.write_bytes(good)
    load(path)
    refused = 0
    for number in range(150):
        path.write_bytes(spoil_bytes(good, random.Random(f"{name} {number}")))
        try:
            load(path)
        except (ValueError, OSError) as error:
            assert isinstance(error, ValueError) or name.endswith(("png", "jpg")), (number, error)
            assert str(path) in str(error) or str(error).startswith(NOT_OF_THE_FILE), (number, error)
            refused += 1
        assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == [], number
    assert refused


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (b"", {}, "t.csv: expected columns, each of another name, got \\[\\]"),
        (b"a,b,a\n1,2,3\n", {}, "t.csv: expected columns, each of another name, got \\['a', 'b', 'a'\\]"),
        (b"a,b\n1,2\n", {"select_columns": ["c", 7, 0]}, "columns \\['a', 'b'\\], got \\['c', 7\\]"),
        (b"a,b\n1\n", {}, "t.csv cannot be read as a table: expected 2 values in row 0, got 1"),
        (b"a\n" + b"x" * 200_000, {}, "t.csv cannot be read as a table: field larger than field limit"),
    ],
    ids=["empty", "twice", "missing", "short", "long"],
)  # fmt: skip
def test_tables_whose_columns_are_unclear_are_refused(tmp_path, text, options, message):
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        list(tf.data.experimental.make_csv_dataset(str(tmp_path / "t.csv"), 2, num_epochs=1, **options))


def test_words_of_a_file_that_repeat_are_refused(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\na\n")
    with pytest.raises(ValueError, match=r"words\.txt .*repeated terms are: \['a'\]"):
        layers.StringLookup(vocabulary=str(tmp_path / "words.txt"))
