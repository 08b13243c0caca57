"""Files of records and the examples in them. The bytes are those that TensorFlow 2.21 wrote."""

import numpy as np
import pytest

from nacre import _core
from nacre.compat import tensorflow as tf

EXAMPLE = b"\n\x1d\n\x0b\n\x01z\x12\x06\x1a\x04\n\x02\x01\x02\n\x0e\n\x02z2\x12\x08\x12\x06\n\x04\x00\x00\xc0?"
TENSOR = b'\x08\x03\x12\x08\x12\x02\x08\x01\x12\x02\x08\x02"\x08\x01\x00\x00\x00\x02\x00\x00\x00'


def strings(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def floats(*values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def numbers(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(**features):
    return tf.train.Example(features=tf.train.Features(feature=features))


@pytest.mark.parametrize("n", [*range(130), 4095, 100_001])
def test_checksum_is_that_of_each_byte_on_its_own(n):
    data = np.random.default_rng(n).integers(0, 256, n, np.uint8).tobytes()
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    assert _core.crc32c(data) == crc ^ 0xFFFFFFFF


def test_examples_have_the_bytes_that_they_have_in_tensorflow():
    made = tf.train.Example()
    made.features.feature["z"].int64_list.value.extend([1, 2])
    made.features.feature["z2"].float_list.value.append(1.5)
    assert made.SerializeToString() == EXAMPLE and made == tf.train.Example.FromString(EXAMPLE)
    assert made == example(z=numbers(1, 2), z2=floats(1.5)) != example(z=numbers(1, 3), z2=floats(1.5))
    read = tf.train.Example()
    assert read.ParseFromString(EXAMPLE) == len(EXAMPLE)
    assert read.features.feature["z"].WhichOneof("kind") == "int64_list"
    assert read.features.feature["z2"].float_list.value == [1.5]
    assert tf.io.serialize_tensor(tf.constant([[1, 2]])).numpy() == TENSOR
    np.testing.assert_array_equal(tf.io.parse_tensor(TENSOR, tf.int32), [[1, 2]])


@pytest.mark.parametrize("how", [None, "GZIP"])
def test_what_is_written_comes_back_in_its_shapes(tmp_path, how):
    paths = [str(tmp_path / name) for name in ("a.tfrec", "b.tfrec")]
    for first, path in zip((0, 2), paths, strict=True):
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type=how)) as writer:
            for i in (first, first + 1):
                writer.write(
                    example(
                        s=strings(b"a\0%d\0" % i), f=floats(*np.arange(4.0) + i), i=numbers(*range(-1, i))
                    ).SerializeToString()
                )
    raw = tf.data.TFRecordDataset(tf.data.Dataset.list_files(str(tmp_path / "*.tfrec"), shuffle=False), how)
    expected = {
        "s": tf.io.FixedLenFeature([], tf.string),
        "f": tf.io.FixedLenFeature([2, 2], tf.float32),
        "i": tf.io.VarLenFeature(tf.int64),
        "none": tf.io.FixedLenFeature([2], tf.int64, default_value=7),
        "rows": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
    }

    def parse(serialized):
        found = tf.io.parse_single_example(serialized, expected)
        return found["s"], found["f"], tf.sparse.to_dense(found["i"]), found["none"]

    found = list(raw.map(parse))
    assert [s.numpy() for s, _, _, _ in found] == [b"a\0%d\0" % i for i in range(4)]
    assert [i.numpy().tolist() for _, _, i, _ in found] == [[-1], [-1, 0], [-1, 0, 1], [-1, 0, 1, 2]]
    np.testing.assert_array_equal(found[2][1], np.arange(4.0).reshape(2, 2) + 2)
    assert found[0][3].numpy().tolist() == [7, 7] and found[0][3].dtype == "int64" and found[0][1].dtype == "float32"
    batch = tf.io.parse_example(next(iter(raw.batch(3))), expected)
    assert batch["f"].shape == (3, 2, 2) and batch["rows"].shape == (3, 0)
    assert tf.sparse.to_dense(batch["i"]).numpy().tolist() == [[-1, 0, 0], [-1, 0, 0], [-1, 0, 1]]


def test_sequences_have_a_context_and_steps():
    words = [strings(*line.encode().split()) for line in ("a b c", "d")]
    made = tf.train.SequenceExample(
        context=tf.train.Features(feature={"id": numbers(5)}),
        feature_lists=tf.train.FeatureLists(
            feature_list={
                "words": tf.train.FeatureList(feature=words),
                "pairs": tf.train.FeatureList(feature=[numbers(1, 2), numbers(3, 4)]),
            }
        ),
    )
    context, steps = tf.io.parse_single_sequence_example(
        made.SerializeToString(),
        {"id": tf.io.FixedLenFeature([], tf.int64)},
        {"words": tf.io.VarLenFeature(tf.string), "pairs": tf.io.FixedLenSequenceFeature([2], tf.int64)},
    )
    assert context["id"].numpy() == 5 and steps["pairs"].numpy().tolist() == [[1, 2], [3, 4]]
    assert tf.sparse.to_dense(steps["words"]).numpy().tolist() == [[b"a", b"b", b"c"], [b"d", b"", b""]]


def test_numbers_by_their_bytes_and_pictures():
    numbers = np.arange(3, dtype=np.int16)
    np.testing.assert_array_equal(tf.io.decode_raw(tf.constant(numbers.tobytes()), tf.int16), numbers)
    pytest.importorskip("PIL")
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(tf.io.decode_png(tf.io.encode_png(image)), image)
    assert tf.io.decode_jpeg(tf.io.encode_jpeg(image[..., :1]), channels=3).shape == (8, 9, 3)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (TypeError, "'a' has type str, but expected one of: bytes", lambda: strings("a")),
        (TypeError, "cannot be interpreted as an integer", lambda: numbers(1.5)),
        (ValueError, "out of range", lambda: numbers(2**63)),
        (TypeError, "expected features, got", lambda: tf.train.Example(feature=1)),
        (ValueError, "Feature: q .*is required but could not be found", lambda: parse(q=((), tf.int64))),
        (ValueError, "1 values expected, got 2", lambda: parse(z=((), tf.int64))),
        (ValueError, "Expected type: float32, got int64", lambda: parse(z=((2,), tf.float32))),
        (ValueError, "Type mismatch", lambda: tf.io.parse_tensor(TENSOR, tf.float32)),
        (ValueError, "cannot have the shape", lambda: tf.io.parse_tensor(TENSOR[:-10], tf.int32)),
    ],
)
def test_what_does_not_fit_says_why(error, message, make):
    with pytest.raises(error, match=message):
        make()


def parse(**expected):
    return tf.io.parse_single_example(EXAMPLE, {k: tf.io.FixedLenFeature(*v) for k, v in expected.items()})


def test_damaged_files_and_messages_are_refused(tmp_path):
    path = tmp_path / "a.tfrec"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(EXAMPLE)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:7], whole[:20] + b"x" + whole[21:], b"text\n" * 10):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="the checksum of record 0 is wrong"):
            list(tf.data.TFRecordDataset(path))
    with pytest.raises(ValueError, match=r"a\.tfrec cannot be read as records: Not a gzipped file"):
        list(tf.data.TFRecordDataset(path, "GZIP"))
    for cut in range(1, len(EXAMPLE)):
        with pytest.raises(ValueError, match="not a message"):
            tf.train.Example.FromString(EXAMPLE[:cut])


def test_changed_bytes_are_a_message_or_refused():
    rng, whole = (
        np.random.default_rng(0),
        example(s=strings(b"ab"), f=floats(1, 2), i=numbers(3, -4)).SerializeToString(),
    )
    refused = 0
    for _ in range(3000):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 2):
            data[place] = rng.integers(256)
        try:
            tf.train.Example.FromString(bytes(data)).SerializeToString()
            tf.train.SequenceExample.FromString(bytes(data))
        except ValueError:
            refused += 1
    assert 100 < refused < 3000
