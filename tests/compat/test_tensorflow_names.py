"""Names of TensorFlow that programs use beside those of the guides. Numbers are those of TensorFlow 2.21."""

import numpy as np
import pytest

from nacre import layers
from nacre.backend import batch_dot, conv2d_transpose
from nacre.compat import tensorflow as tf

PICTURES = (np.arange(72) * 7 % 50 / 50).reshape(2, 3, 4, 3).astype(np.float32)
SOME = [0, 1, 2, 40, 71]


@pytest.mark.parametrize(
    ("name", "floats", "bytes"),
    [
        ("adjust_brightness", [0.3, 0.44, 0.58, 0.9, 1.24], [76, 111, 147, 229, 255]),
        ("adjust_contrast", [0.33367, 0.41533, 0.43867, 0.523, 0.60633], [84, 105, 111, 133, 154]),
        ("adjust_saturation", [0.196, 0.238, 0.28, 0.698, 0.94], [49, 60, 71, 177, 239]),
        ("adjust_hue", [0.28, 0.0, 0.196, 0.46, 0.856], [71, 0, 49, 117, 218]),
        ("adjust_gamma", [0.0, 0.55442, 0.68257, 0.85792, 0.98161], [0, 140, 174, 219, 250]),
    ],
)
def test_colours_of_floats_and_of_bytes(name, floats, bytes):
    adjust = getattr(tf.image, name)
    np.testing.assert_allclose(np.ravel(adjust(PICTURES, 0.3))[SOME], floats, atol=1e-5)
    found = adjust((PICTURES * 255).astype(np.uint8), 0.3)
    assert found.dtype == "uint8" and np.ravel(found)[SOME].tolist() == bytes


def test_edges_parts_and_boxes_of_pictures():
    edges = np.ravel(tf.image.sobel_edges(PICTURES))
    np.testing.assert_allclose(edges[[20, 21, 60, 61, 140]], [0, 0, 0, 1.36, 0], atol=1e-5)
    np.testing.assert_allclose(tf.image.total_variation(PICTURES), [24.02, 24.22], rtol=1e-5)
    parts = tf.image.crop_and_resize(
        PICTURES, [[0.1, 0.2, 0.7, 0.9], [-0.2, 0.1, 1.2, 0.5]], [0, 1], (2, 3), "bilinear", 9
    )
    np.testing.assert_allclose(parts[0, ..., 0], [[0.268, 0.629, 0.51], [0.444, 0.385, 0.686]], atol=1e-5)
    assert (parts[1].numpy() == 9).all()
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6], [1, 1, 3, 3]])
    scores = [0.8, 0.9, 0.1, 0.7]
    assert tf.image.non_max_suppression(boxes, scores, 10).numpy().tolist() == [1, 3, 2]
    assert tf.image.non_max_suppression(boxes, scores, 10, 0.1, 0.2).numpy().tolist() == [1]
    crops = [tf.image.stateless_random_crop(PICTURES[0], (2, 2, 3), seed=(1, n)).numpy() for n in (2, 2, 3, 4, 5)]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert any((crop != crops[0]).any() for crop in crops)


def test_losses_and_norms_of_networks():
    logits = np.sin(np.arange(60)).reshape(5, 2, 6).astype(np.float32)
    for blank, expected in ((0, [6.0775, 4.4743]), (-1, [5.3923, 4.3960])):
        found = tf.nn.ctc_loss([[1, 2], [3, 3]], logits, [2, 1], [5, 4], blank_index=blank)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    labels = tf.constant([0.0, 1.0])
    found = tf.nn.weighted_cross_entropy_with_logits(labels, tf.constant([0.5, -2.0]), 3.0)
    np.testing.assert_allclose(found, [0.97408, 6.38078], rtol=1e-5)
    found = tf.nn.local_response_normalization(PICTURES, 1, 1.5, 0.3, 0.7)
    np.testing.assert_allclose(np.ravel(found)[:4], [0, 0.10398, 0.20797, 0.29619], atol=1e-5)


def test_shapes_and_dtypes_answer_in_models_as_outside():
    x = tf.constant([[1.0, 2.0]])
    assert x.shape.as_list() == [1, 2] and x.shape.rank == 2 and x.shape == (1, 2) and x.shape.num_elements() == 2
    assert x.dtype == tf.float32 == "float32" and x.dtype.is_floating and x.dtype.max == np.finfo(np.float32).max
    assert (
        tf.as_dtype(np.int64).name == "int64" and tf.int32.min == -(2**31) and tf.float16.as_numpy_dtype is np.float16
    )

    class Pairs(layers.Layer):
        def call(self, x):
            return tf.reshape(x, [-1, x.shape.as_list()[1] // 2, 2]) * x.dtype.as_numpy_dtype(2)

    model = tf.keras.Sequential([layers.Input((4,)), Pairs()])
    assert model.output_shape == (None, 2, 2) and model.predict(np.ones((3, 4)), verbose=0).tolist()[0] == [[2, 2]] * 2


def test_parts_by_number_and_by_condition():
    values, places, counts = tf.unique_with_counts(tf.constant([3, 1, 3, 3, 2]))
    assert [v.numpy().tolist() for v in (values, places, counts)] == [[3, 1, 2], [0, 1, 0, 0, 2], [3, 1, 1]]
    assert [p.numpy().tolist() for p in tf.dynamic_partition([1.0, 2.0, 3.0], [0, 1, 0], 2)] == [[1, 3], [2]]
    assert tf.tensor_scatter_nd_add(tf.zeros(3), [[1], [1]], [1.0, 2.0]).numpy().tolist() == [0, 3, 0]
    no, yes = tf.constant(False), tf.constant(True)
    assert tf.case([(no, lambda: 1), (yes, lambda: 2)], default=lambda: 3).numpy() == 2
    assert tf.case([(no, lambda: 1), (no, lambda: 2)], default=lambda: 3).numpy() == 3
    assert tf.foldl(lambda a, x: a - x, tf.constant([1.0, 2.0, 3.0])).numpy() == -4
    assert tf.fill(3, 7).numpy().tolist() == [7, 7, 7] and tf.fill([1, 2], 0.5).shape == (1, 2)
    array = tf.TensorArray(tf.float32, size=2)
    array = array.write(0, [1.0, 2.0]).write(2, [5.0, 6.0])
    assert array.stack().numpy().tolist() == [[1, 2], [0, 0], [5, 6]] and array.size().numpy() == 3
    assert array.unstack(tf.constant([7, 8])).read(1).numpy() == 8


def values(dataset):
    return [x.tolist() if isinstance(x, np.ndarray) else x.numpy().tolist() for x in dataset]


def test_data_sets_in_turns_and_in_buckets():
    data = tf.data.Dataset
    assert values(data.range(9).take_while(lambda x: x < 4)) == [0, 1, 2, 3]
    assert values(data.from_tensor_slices([3, 1, 3, 2, 1]).unique()) == [3, 1, 2]
    assert values(data.range(4).scan(np.int64(0), lambda s, x: (s + x, s + x))) == [0, 1, 3, 6]
    grouped = data.range(10).group_by_window(lambda x: x % 2, lambda key, window: window.batch(3), 3)
    assert values(grouped) == [[0, 2, 4], [1, 3, 5], [6, 8], [7, 9]]
    two = [data.range(3), data.range(10, 14)]
    assert sorted(values(data.sample_from_datasets(two, [0.5, 0.5], seed=1))) == [0, 1, 2, 10, 11, 12, 13]
    chosen = data.choose_from_datasets(two, data.from_tensor_slices([0, 1, 1, 0, 0, 0, 1]))
    assert values(chosen) == [0, 10, 11, 1, 2]
    rows = [[0], [1, 2, 3, 4], [5, 6, 7], [7, 8, 9, 10, 11], [21, 22]]
    made = data.from_generator(lambda: iter(rows), output_signature=tf.TensorSpec((None,), tf.int32))
    assert next(iter(made)).dtype == "int32"
    buckets = made.bucket_by_sequence_length(lambda row: tf.shape(row)[0], [3, 5], [2, 2, 2])
    assert values(buckets) == [[[1, 2, 3, 4], [5, 6, 7, 0]], [[0, 0], [21, 22]], [[7, 8, 9, 10, 11]]]
    words = data.from_generator(lambda: iter([["a"], ["b", "c"]]), tf.string).padded_batch(2)
    assert values(words) == [[["a", ""], ["b", "c"]]]


def test_transposed_convolutions_with_channels_in_front():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 3, 4, 5)).astype(np.float32), rng.normal(size=(3, 3, 6, 5)).astype(np.float32)
    behind = conv2d_transpose(x, kernel, (2, 7, 9, 6), (2, 2), "valid", "channels_last")
    in_front = conv2d_transpose(x.transpose(0, 3, 1, 2), kernel, (2, 6, 7, 9), (2, 2), "valid", "channels_first")
    np.testing.assert_allclose(in_front, np.transpose(behind, (0, 3, 1, 2)), atol=1e-5)


def test_padded_batches_have_their_own_shapes_and_values():
    pairs = tf.data.Dataset.from_generator(
        lambda: iter([([1, 2], [[1.0, 2.0]], 3), ([3], [[3.0, 4.0], [5.0, 6.0]], 4)]), (tf.int32, tf.float32, tf.int64)
    )
    ((a, b, c),) = pairs.padded_batch(2, padded_shapes=([3], [None, 2], []), padding_values=(-1, 0.5, 0))
    assert a.numpy().tolist() == [[1, 2, -1], [3, -1, -1]] and c.numpy().tolist() == [3, 4]
    assert b.numpy().tolist() == [[[1, 2], [0.5, 0.5]], [[3, 4], [5, 6]]]
    named = tf.data.Dataset.from_tensor_slices({"x": [[1.0, 2.0]], "y": [1]})
    (both,) = named.padded_batch(1, padded_shapes={"x": [4], "y": []})
    assert both["x"].numpy().tolist() == [[1, 2, 0, 0]] and (both["x"].dtype, both["y"].dtype) == ("float32", "int32")
    with pytest.raises(ValueError, match="does not fit"):
        list(named.padded_batch(1, padded_shapes={"x": [1], "y": []}))


def test_lines_of_tables_are_columns():
    a, b, c = tf.io.decode_csv("1,,x", [[0.0], [7], ["?"]])
    assert (a.numpy(), b.numpy(), c.numpy()) == (1.0, 7, b"x") and (a.dtype, b.dtype) == ("float32", "int32")
    x, y = tf.io.decode_csv(["1,2", "3,4"], [0.0, tf.constant([], tf.float32)])
    assert x.numpy().tolist() == [1, 3] and y.numpy().tolist() == [2, 4]
    for line, defaults in (("1,", [0.0, tf.constant([], tf.float32)]), ("1", [0.0, 0.0])):
        with pytest.raises(ValueError, match=r"must have a value|expected 2 values"):
            tf.io.decode_csv(line, defaults)


def test_files_of_lines_may_be_named_by_an_element(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(f"head\n{name}1\n{name}2\n")
    files = tf.data.Dataset.list_files(str(tmp_path / "*"), shuffle=False)
    lines = files.interleave(lambda path: tf.data.TextLineDataset(path).skip(1), cycle_length=2)
    assert values(lines) == ["a1", "b1", "a2", "b2"]
    assert tf.tile(tf.constant([[1, 2]]), [2.0, tf.constant(1)]).shape == (2, 2)


def test_functions_of_python_return_as_many_values_as_their_dtypes():
    x = tf.constant([[1, 2], [3, 4]])
    assert tf.py_function(lambda a: a + 1, [x], tf.float32).dtype == "float32"
    (found,) = tf.numpy_function(lambda a: a * 2, [x], [tf.int64])
    assert found.dtype == "int64" and found.numpy().tolist() == [[2, 4], [6, 8]]
    a, b = tf.py_function(lambda a: (a.numpy().sum(), "text"), [x], (tf.int32, tf.string))
    assert a.numpy() == 10 and b.numpy() == b"text"
    with pytest.raises(ValueError):
        tf.py_function(lambda a: (a, a), [x], [tf.int32])


def test_shapes_of_which_nothing_is_known():
    unknown, known = tf.TensorShape(None), tf.TensorShape([None, 2])
    assert unknown.rank is None and not unknown and not unknown.is_fully_defined() and unknown[0] is None
    assert unknown[1:] is unknown and unknown == tf.TensorShape(None) and unknown + [3] is unknown
    assert unknown.num_elements() is None and known.merge_with(unknown) is known
    assert unknown.merge_with([None, 2]) == known and unknown != known
    for asked in (len, list, tf.TensorShape.as_list):
        with pytest.raises(ValueError, match="unknown rank"):
            asked(unknown)


def test_shapes_are_joined_and_compared():
    known = tf.TensorShape([None, 2])
    assert known.merge_with([4, None]) == (4, 2) and known.concatenate([3]) == (None, 2, 3)
    assert known.is_compatible_with([3, 2]) and not known.is_compatible_with([2]) and tf.TensorShape(3) == (3,)
    assert known.rank == known.ndims == 2 and known.concatenate(5).as_list() == [None, 2, 5] and known != (4, 2)
    for other in ([2], [1, 3]):
        with pytest.raises(ValueError, match="incompatible"):
            known.merge_with(other)


def test_values_of_variables_are_asked_for_as_functions():
    v = tf.Variable([1.0, 2.0])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(v.value() ** 2)
    assert tape.gradient(total, v).numpy().tolist() == [2, 4]
    twice = tf.function(lambda: v.value() * 2)
    assert twice().numpy().tolist() == [2, 4]
    v.assign([3.0, 4.0])
    assert twice().numpy().tolist() == [6, 8] and v.read_value().numpy().tolist() == v.value().numpy().tolist() == [
        3,
        4,
    ]


def test_exponentials_of_matrices():
    x = np.random.default_rng(0).standard_normal((2, 3, 3)) * 3
    powers, term = np.eye(3) + 0 * x, np.eye(3) + 0 * x
    for n in range(1, 80):
        term = term @ x / n
        powers = powers + term
    np.testing.assert_allclose(tf.linalg.expm(tf.constant(x, tf.float64)), powers, rtol=1e-9)
    assert tf.linalg.expm(tf.zeros((2, 2))).numpy().tolist() == np.eye(2).tolist()


@pytest.mark.parametrize(
    "x, y, axes, expected",
    [
        ((3, 5, 6, 4), (3, 4), None, "nabk,nk->nab"),
        ((3, 7, 4), (3, 7, 2, 4), 1, "nka,nkbc->nabc"),
        ((3, 2, 5, 4), (3, 4, 6), (3, 1), "nabk,nkc->nabc"),
    ],
)
def test_products_of_samples_keep_all_other_axes(x, y, axes, expected):
    rng = np.random.default_rng(0)
    x, y = rng.random(x), rng.random(y)
    np.testing.assert_allclose(batch_dot(x, y, axes), np.einsum(expected, x, y), rtol=1e-6)


def test_convolutions_take_what_stands_around_and_shapes_of_weights_are_lists():
    x, w = np.arange(12.0, dtype="float32").reshape(1, 3, 4, 1), np.ones((2, 1, 1, 1), "float32")
    found = tf.nn.conv2d(x, w, strides=1, padding=[[0, 0], [1, 0], [0, 2], [0, 0]])
    assert found.shape == (1, 3, 6, 1) and found[0, :, 0, 0].numpy().tolist() == [0, 4, 12]
    layer = layers.Dense(2)
    layer.build((None, 3))
    assert [v.shape.as_list() for v in layer.weights] == [[3, 2], [2]] and layer.kernel.shape == (3, 2)


def test_elements_of_data_sets_have_a_specification_and_endless_ones_a_number():
    data = tf.data.Dataset.from_tensor_slices((np.zeros((4, 3), "float32"), ["a"] * 4)).batch(2)
    numbers, words = data.element_spec
    assert numbers.shape.as_list() == [None, 3] and numbers.dtype.name == "float32" and words.dtype == tf.string
    assert tf.Variable(1.0).dtype.name == layers.Dense(1).add_weight((1,)).dtype.name == "float32"
    assert repr(numbers) == "TensorSpec(shape=(None, 3), dtype=tf.float32, name=None)"
    again = tf.data.Dataset.from_generator(lambda: iter(data), output_signature=data.element_spec)
    assert next(iter(again))[0].shape == (2, 3)
    assert data.repeat().cardinality() == tf.data.INFINITE_CARDINALITY
    assert data.filter(lambda *_: True).cardinality() == tf.data.UNKNOWN_CARDINALITY


def test_absolute_values_are_compiled_and_those_of_complex_numbers_computed(recwarn):
    model = tf.keras.Sequential([layers.Input((2,)), layers.Dense(1)])
    model.compile("sgd", loss=lambda y, p: tf.reduce_mean(tf.abs(y - p)))
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    assert not [w for w in recwarn if "runs eagerly" in str(w.message)]
    assert np.asarray(tf.abs(tf.complex([3.0], [4.0]))).tolist() == [5.0]


def test_the_best_boxes_of_all_classes_together():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.9, 1], [0.5, 0.5, 2, 2], [0, 0, 0.1, 0.1]], "float32")[None, :, None]
    scores = np.array([[[0.9, 0.1], [0.8, 0.7], [0.6, 0.2], [0.1, 0.3]]], "float32")
    found = tf.image.combined_non_max_suppression(boxes, scores, 2, 5, iou_threshold=0.5, score_threshold=0.15)
    assert found.valid_detections.numpy().tolist() == [4]
    np.testing.assert_allclose(found.nmsed_scores[0], [0.9, 0.7, 0.6, 0.3, 0])
    assert found.nmsed_classes.numpy().tolist() == [[0, 1, 0, 1, 0]]
    assert found.nmsed_boxes[0, 2].numpy().tolist() == [0.5, 0.5, 1, 1]  # clipped
    whole = tf.image.combined_non_max_suppression(boxes, scores, 1, 5, pad_per_class=True, clip_boxes=False)
    assert whole.nmsed_boxes.shape == (1, 2, 4) and whole.valid_detections.numpy().tolist() == [2]


X = np.array([[0.5, -1.5, 2.0], [0.0, 0.25, -0.75]], np.float32)
SQUARE = np.array([[4.0, 1.0, 2.0], [1.0, 3.0, 0.0], [2.0, 0.0, 5.0]], np.float32)
LOWER = np.tril(SQUARE)
WHOLE = np.arange(12).reshape(3, 4)
METHOD = tf.image.ResizeMethod.NEAREST_NEIGHBOR
BOX = [[[0.0, 0.0, 1.0, 1.0]]]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: tf.math.cumprod(X, 1, exclusive=True), [[1, 0.5, -0.75], [1, 0, 0]]),
        (lambda: tf.math.cumprod(X, 0, True, True), [[0, 0.25, -0.75], [1, 1, 1]]),
        (lambda: tf.math.polyval([tf.constant(1.0), 2.0, 3.0], X), X**2 + 2 * X + 3),
        (lambda: tf.math.multiply_no_nan(tf.constant([np.inf, 1.0]), tf.constant([0.0, 2.0])), [0, 2]),
        (lambda: tf.math.segment_mean(X, [0, 0]), [[0.25, -0.625, 0.625]]),
        (lambda: tf.math.acos(X / 2), np.arccos(X / 2)),
        (lambda: tf.linalg.svd(SQUARE)[0], np.linalg.svd(SQUARE)[1]),
        (lambda: tf.linalg.lstsq(SQUARE[:, :2], SQUARE), np.linalg.lstsq(SQUARE[:, :2], SQUARE)[0]),
        (lambda: tf.linalg.lstsq(SQUARE[:2], SQUARE[:2]), np.linalg.lstsq(SQUARE[:2], SQUARE[:2])[0]),
        (lambda: tf.linalg.lstsq(SQUARE[:2], SQUARE[:2], fast=False), np.linalg.lstsq(SQUARE[:2], SQUARE[:2])[0]),
        (lambda: tf.linalg.triangular_solve(LOWER, SQUARE, adjoint=True), np.linalg.solve(LOWER.T, SQUARE)),
        (lambda: tf.linalg.normalize(X, axis=1)[1], np.linalg.norm(X, axis=1, keepdims=True)),
        (lambda: tf.nn.pool(X[None, ..., None], (2, 2), "AVG")[0, 0, :, 0], [-0.1875, 0]),
        (lambda: tf.nn.max_pool3d(PICTURES[None], 2, 2, "VALID")[0, 0, 0, 0], PICTURES[:, :2, :2].max((0, 1, 2))),
        (lambda: tf.reverse_sequence(WHOLE, [1, 3, 4], 1)[1:], [[6, 5, 4, 7], [11, 10, 9, 8]]),
        (lambda: tf.histogram_fixed_width([0.0, 1.1, 4.9, -3.0, 9.0], [0.0, 5.0], 5), [2, 1, 0, 0, 2]),
        (lambda: tf.tensor_scatter_nd_sub(tf.ones(3), [[1]], [5.0]), [1, -4, 1]),
        (lambda: tf.unravel_index([3, 5], [2, 3]), [[1, 1], [0, 2]]),
        (lambda: tf.sparse.sparse_dense_matmul(tf.sparse.from_dense(X), X, True), X.T @ X),
        (lambda: tf.image.resize_with_pad(PICTURES[0], 3, 6)[:, 1:5], PICTURES[0]),
        (lambda: tf.image.resize(WHOLE[..., None], (2, 2), METHOD)[..., 0], [[1, 3], [9, 11]]),
        (lambda: tf.image.draw_bounding_boxes(np.zeros((1, 3, 3, 1)), BOX, [[2.0]])[0, :, 1, 0], [2, 0, 2]),
        (lambda: tf.signal.hamming_window(5), [0.08, 0.54, 1, 0.54, 0.08]),
        (lambda: tf.signal.overlap_and_add(X, 2), [0.5, -1.5, 2, 0.25, -0.75]),
        (lambda: tf.signal.linear_to_mel_weight_matrix(4, 7, 8000)[2], [0, 0.34136, 0.65864, 0]),
        (lambda: tf.signal.mfccs_from_log_mel_spectrograms(X[0]), [0.8165, -1.06066, 2.24537]),
        (lambda: tf.strings.unicode_decode("h\xe9"), [104, 233]),
        (lambda: tf.bitwise.left_shift([1], [3]), [8]),
    ],
)
def test_numbers_of_tensorflow(call, expected):
    np.testing.assert_allclose(call(), expected, atol=2e-5)


def test_strings_put_together_and_taken_apart():
    assert tf.strings.ngrams(["a", "b", "c"], [1, 2], "_").tolist() == ["a", "b", "c", "a_b", "b_c"]
    assert tf.strings.format("x={}", tf.constant(3)).numpy() == b"x=3" and tf.compat.as_bytes("a") == b"a"
    assert tf.strings.bytes_split("a\xe9").numpy().tolist() == [b"a", b"\xc3", b"\xa9"]
    assert tf.strings.unicode_encode([104, 233], "UTF-8").numpy().decode() == "h\xe9"


@pytest.mark.parametrize(
    "check",
    [
        lambda: tf.Assert(tf.constant(False), ["no"]),
        lambda: tf.debugging.assert_positive([0.0]),
        lambda: tf.debugging.assert_rank(X, 3),
    ],
)
def test_what_does_not_hold_is_an_invalid_argument(check):
    with pytest.raises(tf.errors.InvalidArgumentError):
        check()
