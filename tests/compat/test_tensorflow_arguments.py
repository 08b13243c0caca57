"""TensorFlow's argument names, defaults and layouts, where they are others than those of `ops`."""

import numpy as np
import pytest

import nacre
from nacre.compat import tensorflow as tf

X = np.array([[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]], "float32")


def same(got, wanted):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-6)


def test_the_first_axis_is_the_default_of_places_and_running_sums():
    same(tf.argmax(X), [1, 0, 1])
    same(tf.math.argmin(X), [0, 1, 0])
    assert tf.argmax(X, axis=1, output_type=tf.int32).dtype == "int32" and tf.argmax(X).dtype == "int64"
    same(tf.cumsum(X), np.cumsum(X, 0))
    same(tf.cumsum(X, axis=1, exclusive=True), [[0, 1, 6], [0, 4, 6]])
    same(tf.math.cumsum(X, axis=1, reverse=True), [[9, 8, 3], [12, 8, 6]])
    same(tf.cumsum(X, axis=1, exclusive=True, reverse=True), [[8, 3, 0], [8, 6, 0]])


def test_products_of_transposed_matrices():
    same(tf.matmul(X, X, transpose_b=True), X @ X.T)
    same(tf.linalg.matmul(X, X, transpose_a=True), X.T @ X)
    stack = np.stack([X, X + 1])
    same(tf.matmul(stack, stack, adjoint_b=True), stack @ stack.transpose(0, 2, 1))


def test_operations_take_a_name_and_their_arguments_by_name():
    same(tf.add(x=X, y=1.0, name="sum"), X + 1)
    same(tf.math.square(X, name="q"), X * X)
    same(tf.tile(input=X, multiples=[1, 2]), np.tile(X, (1, 2)))
    same(tf.where(X > 2, x=X, y=0.0), np.where(X > 2, X, 0))
    same(tf.range(start=1, limit=7, delta=2), [1, 3, 5])
    same(tf.negative(X), -X)
    with pytest.raises(TypeError):
        tf.add(X, 1.0, z=2)


def test_where_without_values_gives_rows_of_places():
    same(tf.where(X > 3), np.argwhere(X > 3))


def test_one_hot_with_values_of_its_own():
    same(tf.one_hot([0, 2, -1], depth=3), [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    same(tf.one_hot([1], 2, on_value=5.0, off_value=1.0), [[1, 5]])
    assert tf.one_hot([1], 2, dtype=tf.int32).dtype == "int32"


def test_padding_by_tensorflows_modes():
    same(tf.pad(X, [[0, 0], [1, 0]], constant_values=2.0), np.pad(X, ((0, 0), (1, 0)), constant_values=2))
    same(tf.pad(X, paddings=tf.constant([[0, 0], [1, 1]]), mode="REFLECT"), np.pad(X, ((0, 0), (1, 1)), "reflect"))


def test_orders_from_the_largest_down():
    same(tf.sort(X, direction="DESCENDING"), -np.sort(-X))
    ties = np.array([[1.0, 2.0, 1.0, 2.0]], "float32")
    same(tf.argsort(ties, direction="DESCENDING"), [[1, 3, 0, 2]])
    with pytest.raises(ValueError, match="DESCENDING"):
        tf.sort(X, direction="down")


def test_parts_for_each_place_of_the_batch_axes():
    draw = np.random.default_rng(0)
    p = draw.normal(size=(2, 5, 4, 3)).astype("float32")
    i = draw.integers(0, 4, (2, 6, 2))
    same(tf.gather(p, i, batch_dims=1), np.stack([p[b][i[b]] for b in range(2)]))
    same(tf.gather(p, i, axis=2, batch_dims=1), np.stack([np.take(p[b], i[b], axis=1) for b in range(2)]))
    same(tf.gather(p, i, axis=-2, batch_dims=1), tf.gather(p, i, axis=2, batch_dims=1))
    same(tf.gather_nd(p, i, batch_dims=1), np.stack([p[b][i[b, :, 0], i[b, :, 1]] for b in range(2)]))
    two = draw.integers(0, 4, (2, 5, 7))
    same(tf.gather(p, two, batch_dims=2), np.stack([[p[b, c][two[b, c]] for c in range(5)] for b in range(2)]))


def test_a_layer_that_gathers_for_each_sample_trains():
    class Some(nacre.layers.Layer):
        def call(self, x):
            return tf.gather(x, tf.argsort(x[..., 0], axis=-1, direction="DESCENDING")[:, :3], batch_dims=1)

    inputs = nacre.Input((8, 4))
    model = nacre.Model(inputs, Some()(inputs))
    assert model.output_shape == (None, 3, 4)
    x = np.random.default_rng(1).normal(size=(5, 8, 4)).astype("float32")
    same(model.predict(x, verbose=0), np.stack([s[np.argsort(-s[:, 0])[:3]] for s in x]))


def test_slices_to_the_end():
    same(tf.slice(X, begin=[0, 1], size=[-1, -1]), X[:, 1:])
    same(tf.slice(X, [1, 0], [1, 2]), X[1:, :2])


def test_segments_in_any_order():
    same(tf.math.unsorted_segment_mean(X, [2, 2], 3), [[0, 0, 0], [0, 0, 0], X.mean(0)])
    same(tf.math.unsorted_segment_max(X, [0, 0], num_segments=1), [X.max(0)])
    same(tf.math.unsorted_segment_sum(X, [1, 0], num_segments=2), X[::-1])


def test_scan_keeps_what_is_accumulated():
    same(tf.scan(lambda a, b: a + b, X), np.cumsum(X, 0))
    same(tf.scan(lambda a, b: a + b, X, initializer=np.ones(3, "float32")), 1 + np.cumsum(X, 0))
    same(tf.scan(lambda a, b: a + b, X, reverse=True), np.cumsum(X[::-1], 0)[::-1])


def test_gelu_is_not_the_approximation():
    same(tf.nn.gelu(X), nacre.ops.gelu(X, approximate=False))


def test_a_batch_of_unit_matrices():
    same(tf.eye(2, batch_shape=[3]), np.broadcast_to(np.eye(2), (3, 2, 2)))
