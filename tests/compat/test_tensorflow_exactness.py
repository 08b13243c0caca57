"""What TensorFlow makes of unusual arguments, and what it refuses: never other numbers without a word."""

import io

import numpy as np
import pytest

import nacre as keras
from nacre.compat import tensorflow as tf

F = np.arange(12, dtype="float32").reshape(3, 4)


def said(found):
    """Strings as TensorFlow's `numpy()` gives them, other values as lists."""
    found = found.numpy() if hasattr(found, "numpy") else np.asarray(found)
    return found.tolist() if isinstance(found, np.ndarray) else found


STRINGS = [
    (tf.strings.substr, ("hello", -3, 3), b"llo"),
    (tf.strings.substr, ("hello", -3, 2), b"ll"),
    (tf.strings.substr, ("hello", 1, 100), b"ello"),
    (tf.strings.substr, ("hello", 1, -1), b"ello"),
    (tf.strings.substr, ("h\u00e9llo", 1, 2), "\u00e9".encode()),
    (tf.strings.substr, ("h\u00e9llo", 0, 2), b"h\xc3"),
    (tf.strings.substr, ("h\u00e9llo", 1, 2, "UTF8_CHAR"), "\u00e9l".encode()),
    (tf.strings.substr, (["hello", "abc"], [1, 2], [2, 1]), [b"el", b"c"]),
    (tf.strings.length, (b"\xff\xfe",), 2),
    (tf.strings.bytes_split, (b"a\xff",), [b"a", b"\xff"]),
    (tf.strings.strip, ("\u00a0a \t\n",), "\u00a0a".encode()),
    (tf.strings.regex_replace, ("abcb", "b", r"[\0]"), b"a[b]c[b]"),
    (tf.strings.regex_replace, ("abc", "(a)(b)", r"\2\1\\"), b"ba\\c"),
    (tf.strings.regex_replace, ("a\u00e9 b", r"\w", "x"), "x\u00e9 x".encode()),
    (tf.strings.regex_replace, ("1\u0663", r"\d", "x"), "x\u0663".encode()),
    (tf.strings.regex_replace, ("a\n", "a$", "x"), b"a\n"),
    (tf.strings.regex_replace, ("a\nb", "(?m)a$", "x"), b"x\nb"),
    (tf.strings.regex_replace, ("[$]a$", "[$]", "x"), b"[x]ax"),
    (tf.strings.regex_replace, ("baac", "a*", "-"), b"-b-c-"),
    (tf.strings.regex_replace, ("aab", "a*", "x"), b"xbx"),
    (tf.strings.regex_replace, ("abab", "b", "x", False), b"axab"),
    (tf.strings.regex_replace, ("a,b.c]", "[[:punct:]]", ""), b"abc"),
    (tf.strings.regex_replace, ("a[b]", r"[]\[]", ""), b"ab"),
    (tf.strings.regex_replace, (b"\xff a", "a", "b"), b"\xff b"),
    (tf.strings.regex_replace, (["ab", b"\xc3\xa9"], "a", "z"), [b"zb", b"\xc3\xa9"]),
    (tf.strings.join, ([],), b""),
    (tf.strings.reduce_join, ([["a", "b"], ["c", "d"]], [0, 1]), b"acbd"),
    (tf.strings.reduce_join, ([["a", "b"], ["c", "d"]], [1, 0], "-"), b"a-b-c-d"),
    (tf.strings.reduce_join, ([["a", "b"], ["c", "d"]], 0, "", True), [[b"ac", b"bd"]]),
    (tf.strings.as_string, ([1.0, 0.1],), [b"1.000000", b"0.100000"]),
    (tf.strings.as_string, (np.float32(3.14159), 2), b"3.14"),
    (tf.strings.as_string, ([True, False],), [b"true", b"false"]),
    (tf.strings.as_string, (3, -1, False, False, 5, "0"), b"00003"),
    (tf.strings.as_string, (1e10, -1, True), b"1.000000e+10"),
    (tf.strings.unicode_encode, ([0xD800, 97, 0x110000],), "\ufffda\ufffd".encode()),
    (tf.strings.unicode_decode, (b"a\xffb",), [97, 65533, 98]),
]


@pytest.mark.parametrize("number", range(len(STRINGS)))
def test_strings_are_what_they_are_there(number):
    function, arguments, expected = STRINGS[number]
    assert said(function(*arguments)) == expected


def picture(array, kind="png", **how):
    from PIL import Image

    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(file, kind, **how)
    return file.getvalue()


DEEP = np.array([[0, 255, 256], [1000, 43960, 65535]], np.uint16)
GREY = np.array([[0, 7, 200], [90, 150, 255]], np.uint8)


def test_pictures_of_16_bits_keep_their_upper_ones():
    assert (np.asarray(tf.io.decode_png(picture(DEEP)))[..., 0] == DEEP >> 8).all()
    assert np.allclose(np.asarray(tf.io.decode_image(picture(DEEP), dtype="float32"))[..., 0], DEEP / 65535)
    assert (np.asarray(tf.io.decode_png(picture(DEEP), dtype="uint16"))[..., 0] == DEEP).all()
    with pytest.raises(ValueError, match="uint16"):
        tf.io.decode_png(picture(GREY), dtype="uint16")


def test_pictures_keep_transparency_and_animations():
    from PIL import Image

    grey = np.stack([GREY, 255 - GREY], axis=-1)
    assert (np.asarray(tf.io.decode_png(picture(Image.fromarray(grey)))) == grey).all()
    palette = Image.fromarray(GREY % 4).convert("P")
    assert tf.io.decode_png(picture(palette, transparency=bytes([0, 128]))).shape == (2, 3, 4)
    frames = [Image.fromarray(np.stack([GREY + i] * 3, -1)) for i in (0, 1)]
    gif = picture(frames[0], "gif", save_all=True, append_images=frames[1:])
    assert tf.io.decode_image(gif).shape == (2, 2, 3, 3)
    assert tf.io.decode_image(gif, expand_animations=False).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("kind", "dtype", "of", "expected"),
    [
        ("uint8", "float32", [0, 255], [0, 1]),
        ("uint16", "float32", [0, 65535], [0, 1]),
        ("int16", "float32", [32767], [1]),
        ("uint8", "int16", [1, 255], [128, 32640]),
        ("uint16", "uint8", [255, 65535], [0, 255]),
        ("int32", "uint8", [2**31 - 1, 1 << 24], [255, 2]),
        ("float32", "uint8", [0.5, 1.0], [127, 255]),
        ("float32", "int16", [0.5, 1.0], [16383, 32767]),
        ("float32", "uint8", [7.0, -7.0], [255, 0]),
    ],
)
def test_images_fill_the_range_of_their_dtype(kind, dtype, of, expected):
    assert np.allclose(np.asarray(tf.image.convert_image_dtype(np.array(of, kind), dtype)), expected)


WHERE = np.arange(36, dtype="float32").reshape(1, 6, 6, 1)


def test_patches_have_a_rate_along_each_axis():
    found = tf.image.extract_patches(WHERE, [1, 2, 2, 1], [1, 1, 1, 1], [1, 1, 3, 1], "VALID")
    assert np.asarray(found)[0, 0, 0].tolist() == [0, 3, 6, 9]


def test_frames_stand_where_their_axis_was():
    x = np.arange(20, dtype="float32").reshape(2, 10)
    assert np.array_equal(np.asarray(tf.signal.frame(x.T, 4, 3, axis=0)), np.stack([x.T[i : i + 4] for i in (0, 3, 6)]))
    deep = np.arange(60, dtype="float32").reshape(2, 10, 3)
    found = np.asarray(tf.signal.frame(deep, 4, 3, axis=1))
    assert np.array_equal(found, np.stack([deep[:, i : i + 4] for i in (0, 3, 6)], axis=1))
    assert tf.signal.frame(np.zeros(0, "float32"), 5, 1, pad_end=True).shape == (0, 5)
    assert np.asarray(tf.signal.hann_window(1)).tolist() == [1]


CHANNELS_FIRST = np.arange(32, dtype="float32").reshape(1, 2, 4, 4)


def test_channels_may_come_first():
    last = CHANNELS_FIRST.transpose(0, 2, 3, 1)
    for pool in (tf.nn.max_pool2d, tf.nn.avg_pool2d, tf.nn.max_pool):
        expected = np.asarray(pool(last, 2, 2, "VALID")).transpose(0, 3, 1, 2)
        assert np.array_equal(np.asarray(pool(CHANNELS_FIRST, [1, 1, 2, 2], [1, 1, 2, 2], "VALID", "NCHW")), expected)
    assert np.asarray(tf.nn.bias_add(CHANNELS_FIRST, [0.0, 1.0], "NCHW"))[0, 1, 0, 0] == 17
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 5)).astype("float32")
    expected = np.asarray(tf.nn.conv2d(last, kernel, 1, "SAME", dilations=[1, 2, 1, 1])).transpose(0, 3, 1, 2)
    found = tf.nn.conv2d(CHANNELS_FIRST, kernel, [1, 1, 1, 1], "SAME", "NCHW", [1, 1, 2, 1])
    assert np.allclose(np.asarray(found), expected, atol=1e-4)
    depthwise, pointwise = kernel[..., :1], kernel[:1, :1]
    dilated = tf.nn.separable_conv2d(last, depthwise, pointwise, [1, 1, 1, 1], "SAME", dilations=[2, 2])
    assert not np.allclose(np.asarray(dilated), np.asarray(
        tf.nn.separable_conv2d(last, depthwise, pointwise, [1, 1, 1, 1], "SAME")))  # fmt: skip


EXACT = [
    (lambda: tf.norm(F, 1), 66),
    (lambda: tf.norm(-F, np.inf), 11),
    (lambda: tf.norm(F, 1, keepdims=True), [[66]]),
    (lambda: tf.norm(F, 1, axis=1), [6, 22, 38]),
    (lambda: tf.math.confusion_matrix([0, 1], [0, 1], weights=[0.5, 2], dtype="float32"), [[0.5, 0], [0, 2]]),
    (lambda: tf.math.segment_max(F[:2], [0, 2])[1], [0, 0, 0, 0]),
    (lambda: tf.math.segment_min(F[:2].astype("int32"), [0, 2])[1], [0, 0, 0, 0]),
    (
        lambda: tf.nn.embedding_lookup(np.array([[3.0, 4.0], [0.3, 0.4]], "float32"), [0, 1], max_norm=1.0),
        [[0.6, 0.8], [0.3, 0.4]],
    ),
    (lambda: tf.linalg.diag([[1.0, 2.0], [3.0, 4.0]]), [[[1, 0], [0, 2]], [[3, 0], [0, 4]]]),
    (lambda: tf.linalg.diag_part(F.reshape(3, 2, 2)), [[0, 3], [4, 7], [8, 11]]),
    (lambda: tf.linalg.trace(F.reshape(3, 2, 2)), [3, 11, 19]),
    (lambda: tf.linalg.tensor_diag_part(tf.linalg.tensor_diag(F)), F.tolist()),
    (lambda: tf.linalg.set_diag(np.zeros((3, 2), "float32"), [1.0, 2.0]), [[1, 0], [0, 2], [0, 0]]),
    (lambda: tf.linalg.set_diag(np.zeros((2, 3), "float32"), [1.0, 2.0]), [[1, 0, 0], [0, 2, 0]]),
    (lambda: tf.linalg.matvec(F, [1.0, 0.0, 0.0], transpose_a=True), [0, 1, 2, 3]),
    (lambda: tf.switch_case(tf.constant(-1), [lambda: 1, lambda: 2], default=lambda: 9), 9),
    (lambda: tf.switch_case(tf.constant(7), [lambda: 1, lambda: 2]), 2),
    (lambda: tf.switch_case(tf.constant(0), {(1, lambda: 1), (0, lambda: 2)}), 2),
    (lambda: tf.unique([np.nan, np.nan, 1.0])[1], [0, 1, 2]),
    (lambda: tf.fill((2,), 7) // 2, [3, 3]),
    (lambda: tf.sparse.to_dense(tf.SparseTensor([[1]], [5], (3,))), [0, 5, 0]),
    (lambda: tf.ragged.constant([[1, 2], [3]]).to_tensor(shape=(3, 2)), [[1, 2], [3, 0], [0, 0]]),
    (lambda: tf.io.decode_raw([], "uint8").shape, [0, 0]),
]


@pytest.mark.parametrize("number", range(len(EXACT)))
def test_numbers_are_those_that_are_asked_for(number):
    call, expected = EXACT[number]
    assert np.allclose(np.asarray(call()), expected)


def test_a_norm_that_is_infinite_is_seen_in_every_clipped_tensor():
    clipped, _ = tf.clip_by_global_norm([np.array([np.inf, 1.0], "float32"), np.ones(1, "float32")], 1.0)
    assert all(np.isnan(np.asarray(c)).all() for c in clipped)


def test_strings_of_a_sparse_tensor_are_told_from_nothing():
    sparse = tf.sparse.from_dense(np.array([["a", ""], ["", "b"]], object))
    assert np.asarray(sparse.indices).tolist() == [[0, 0], [1, 1]]
    assert said(tf.sparse.to_dense(tf.SparseTensor([[0, 1]], ["a"], (1, 2)))) == [[b"", b"a"]]


PIXELS = np.zeros((5, 4, 1), "float32")
REFUSED = [
    lambda: tf.strings.substr("abc", 4, 1),
    lambda: tf.strings.regex_replace("a", "[", "x"),
    lambda: tf.strings.regex_replace("a", "[[:foo:]]", "x"),
    lambda: tf.strings.regex_replace("a", "a", r"\n"),
    lambda: tf.strings.regex_replace("a", "a", r"\1"),
    lambda: tf.strings.split([["a b"]]),
    lambda: tf.strings.to_number("1_000"),
    lambda: tf.strings.to_number("\u0663", "int32"),
    lambda: tf.strings.ngrams(["a", "b"], 0),
    lambda: tf.strings.format("{} {}", 1),
    lambda: tf.io.decode_csv("1,2_5", [[0], [0]]),
    lambda: tf.io.decode_csv("1,2", [[0]], select_cols=[-1]),
    lambda: tf.io.decode_csv(b"\xff,2", [[""], [0]]),
    lambda: tf.io.decode_raw([b"ab", b"c"], "uint8"),
    lambda: tf.io.decode_jpeg(picture(GREY, "jpeg"), ratio=2),
    lambda: tf.io.decode_image("text"),
    lambda: tf.image.crop_to_bounding_box(PIXELS, 3, 3, 4, 4),
    lambda: tf.image.crop_to_bounding_box(PIXELS, -1, 0, 2, 2),
    lambda: tf.image.resize_with_crop_or_pad(PIXELS, -1, 2),
    lambda: tf.image.resize_with_pad(PIXELS, 0, 2),
    lambda: tf.image.central_crop(PIXELS, 1.5),
    lambda: tf.image.random_crop(PIXELS, (6, 4, 1)),
    lambda: tf.image.random_crop(PIXELS, (2, 2)),
    lambda: tf.image.per_image_standardization(PIXELS[:0]),
    lambda: tf.image.grayscale_to_rgb(np.zeros((2, 2, 3), "float32")),
    lambda: tf.image.adjust_gamma(PIXELS, -1.0),
    lambda: tf.image.random_brightness(PIXELS, -1.0),
    lambda: tf.image.random_contrast(PIXELS, 2.0, 1.0),
    lambda: tf.image.random_hue(PIXELS, 0.7),
    lambda: tf.image.crop_and_resize(WHERE, [[0, 0, 1, 1]], [1], (2, 2)),
    lambda: tf.image.crop_and_resize(WHERE, [[np.nan, 0, 1, 1]], [0], (2, 2)),
    lambda: tf.image.draw_bounding_boxes(WHERE, [[[0, 0, 1, 1]]], np.zeros((0, 1))),
    lambda: tf.image.non_max_suppression([[0, 0, 1, 1]], [0.5, 0.5], 1),
    lambda: tf.image.non_max_suppression([[0, 0, 1, 1]], [0.5], 1, iou_threshold=2.0),
    lambda: tf.signal.frame(F, 4, -3),
    lambda: tf.signal.frame(np.float32(1), 4, 3),
    lambda: tf.signal.stft(F, 0, 1),
    lambda: tf.signal.overlap_and_add(F, 0),
    lambda: tf.signal.mfccs_from_log_mel_spectrograms(F[:, :0]),
    lambda: tf.signal.linear_to_mel_weight_matrix(5, 20, 8000, 4000.0, 100.0),
    lambda: tf.nn.pool(WHERE, [2, 2], "MAX", dilations=[2, 1]),
    lambda: tf.nn.pool(WHERE, [2, 2], "SUM"),
    lambda: tf.nn.bias_add(F, [1.0]),
    lambda: tf.nn.embedding_lookup([F, F], [0]),
    lambda: tf.nn.conv2d_transpose(WHERE, np.ones((3, 3, 2, 1), "float32"), (1, 12, 12, 3), 2),
    lambda: tf.math.confusion_matrix([0, 1, 0], [0, 2, 5], num_classes=3),
    lambda: tf.math.confusion_matrix([0, -1], [0, 1]),
    lambda: tf.math.invert_permutation([0, 0, 1]),
    lambda: tf.add_n([]),
    lambda: tf.concat([], 0),
    lambda: tf.dynamic_partition(F, [0, 1, 5], 3),
    lambda: tf.dynamic_partition(F, [0, 1], 3),
    lambda: tf.histogram_fixed_width([np.nan], [0.0, 1.0]),
    lambda: tf.histogram_fixed_width(F, [1.0, 0.0]),
    lambda: tf.pad(F, [[1, 0]]),
    lambda: tf.tile(F, [2]),
    lambda: tf.reverse_sequence(F, [1, 2, 9], seq_axis=1),
    lambda: tf.unravel_index([50], [3, 4]),
    lambda: tf.unique(F),
    lambda: tf.linalg.set_diag(F, [1.0, 2.0]),
    lambda: tf.sparse.to_dense(tf.SparseTensor([[0, 5]], [1], (2, 2))),
    lambda: tf.sparse.to_dense(tf.SparseTensor([[0, 1], [0, 1]], [1, 2], (2, 2))),
    lambda: tf.sparse.to_dense(tf.SparseTensor([[0]], [1], (2, 2))),
    lambda: tf.sparse.sparse_dense_matmul(tf.SparseTensor([[0, 1]], [1.0], (2, 5)), F),
    lambda: tf.RaggedTensor.from_row_lengths([1, 2, 3], [4, -1]),
    lambda: tf.RaggedTensor.from_row_splits([1, 2, 3], [0, 3, 2, 3]),
    lambda: tf.ragged.constant([[[1], [2, 3]]]),
    lambda: tf.TensorArray("float32", 2).read(5),
    lambda: tf.TensorArray("float32", 2).write(-1, 1.0),
    lambda: tf.TensorArray("float32", 2).read(0),
    lambda: tf.TensorArray("float32", 2).concat(),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_makes_no_sense_is_refused_with_words(number):
    with pytest.raises(ValueError, match=r".{20}"):
        REFUSED[number]()


@pytest.mark.parametrize(
    "call",
    [
        lambda: tf.constant(1.5, dtype="int32"),
        lambda: tf.constant(["a"], dtype="float32"),
        lambda: tf.ragged.constant([[1], [2]]).to_tensor(default_value=1.5),
        lambda: tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), "z"),
    ],
)
def test_values_of_another_kind_are_refused(call):
    with pytest.raises(TypeError, match=r".{20}"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: tf.TensorArray("float32", 1, dynamic_size=True).write(2**40, 1.0),
        lambda: tf.TensorArray("float32", 2**45),
        lambda: tf.sparse.to_dense(tf.SparseTensor([[0, 1]], [1], (2**31, 2**31))),
        lambda: tf.ragged.constant([[1]]).to_tensor(shape=(2**31, 2**31)),
        lambda: tf.math.confusion_matrix([2**30], [0]),
        lambda: tf.signal.rfft(F, [2**45]),
    ],
)
def test_what_no_memory_holds_is_refused_before_it_is_made(call):
    with pytest.raises(MemoryError, match="of memory"):
        call()


def test_a_sound_that_ends_early_is_refused():
    import wave

    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(40))
    assert tf.audio.decode_wav(file.getvalue()).audio.shape == (20, 1)
    with pytest.raises(ValueError, match="of 20 samples"):
        tf.audio.decode_wav(file.getvalue()[:50])


def test_a_table_with_two_values_of_a_key_is_refused():
    with pytest.raises(ValueError, match="'a' has different values"):
        tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "a"], [1, 2]), -1)
    table = tf.lookup.KeyValueTensorInitializer(["a"], [0])
    with pytest.raises(ValueError, match="at least one bucket"):
        tf.lookup.StaticVocabularyTable(table, 0)


def test_functions_of_models_take_what_they_took():
    x = keras.Input((4, 4, 2))
    y = keras.layers.Lambda(lambda v: tf.nn.max_pool2d(tf.pad(v, [[0, 0], [1, 0], [0, 1], [0, 0]]), 2, 2, "VALID"))(x)
    assert y.shape == (None, 2, 2, 2)
