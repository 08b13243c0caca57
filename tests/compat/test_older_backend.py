"""Functions of `keras.backend` whose defaults and argument orders are others than those of `keras.ops`."""

import numpy as np
import pytest

from nacre import backend, ops
from nacre.compat import tensorflow as tf

X = np.array([[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]], "float32")


def same(got, wanted):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-5, atol=1e-6)


def test_the_last_axis_is_the_default_of_places_and_of_joining():
    same(backend.argmax(X), [1, 2])
    same(backend.argmin(X), [0, 1])
    same(backend.concatenate([X, X]), np.concatenate([X, X], -1))
    assert backend.expand_dims(X).shape == (2, 3, 1)


def test_running_sums_and_products_go_along_the_first_axis():
    same(backend.cumsum(X), np.cumsum(X, 0))
    same(backend.cumprod(X), np.cumprod(X, 0))


def test_repeat_makes_steps():
    same(backend.repeat(X, 4), np.repeat(X[:, None], 4, 1))
    with pytest.raises(ValueError, match=r"got shape \(3,\)"):
        backend.repeat(X[0], 2)


def test_orders_of_arguments():
    same(backend.in_top_k(X, [1, 1], 2), [True, False])
    mean, var, beta, gamma = X.mean(0), X.var(0) + 1, np.float32([1, 2, 3]), np.float32([2, 1, 3])
    same(backend.batch_normalization(X, mean, var, beta, gamma), (X - mean) / np.sqrt(var + 1e-3) * gamma + beta)


def test_activations_of_keras_2():
    x = np.float32([-4, -1, 0, 1, 4])
    same(backend.hard_sigmoid(x), np.clip(0.2 * x + 0.5, 0, 1))
    same(backend.relu(x, alpha=0.5, max_value=3), [-2, -0.5, 0, 1, 3])
    same(backend.relu(x, threshold=2), [0, 0, 0, 0, 4])


def test_ctc_of_probabilities_whose_last_class_is_blank():
    draw = np.random.default_rng(0)
    probabilities = np.asarray(ops.softmax(draw.normal(size=(2, 6, 4)).astype("float32")))
    labels = np.array([[0, 2, 1], [1, 1, 0]])
    cost = backend.ctc_batch_cost(labels, probabilities, np.full((2, 1), 6), np.array([[3], [2]]))
    assert cost.shape == (2, 1)
    blank_first = np.concatenate([probabilities[..., -1:], probabilities[..., :-1]], -1)
    same(cost[:, 0], ops.ctc_loss(labels + 1, np.log(blank_first + 1e-7), [3, 2], [6, 6]))
    sure = np.eye(4, dtype="float32")[[[0, 0, 3, 0, 2, 3]]]
    for greedy in (True, False):
        paths, scores = backend.ctc_decode(sure, np.array([6.0]), greedy=greedy)
        assert np.asarray(paths[0])[0, :3].tolist() == [0, 0, 2] and scores.shape[0] == 1


def test_how_like_two_pictures_are():
    picture = np.random.default_rng(1).random((2, 16, 16, 3)).astype("float32")
    same(tf.image.ssim(picture, picture, max_val=1.0), [1, 1])
    other = picture + 0.1
    same(tf.image.psnr(picture, other, max_val=1.0), [20, 20])
    assert (np.asarray(tf.image.ssim(picture, other, 1.0)) < 1).all()


def test_names_of_arguments_of_keras_2():
    same(backend.clip(X, min_value=2, max_value=5), np.clip(X, 2, 5))
    same(backend.clip(X, max_value=5, min_value=2), np.clip(X, 2, 5))
    same(backend.maximum(x=X, y=3.0), np.maximum(X, 3))
    same(backend.greater(X, y=3.0), X > 3)
    same(backend.tile(X, n=(1, 2)), np.tile(X, (1, 2)))
    same(backend.one_hot(indices=np.array([1, 0]), num_classes=2), [[0, 1], [1, 0]])
    same(backend.ones((2,), name="ones"), [1, 1])
    same(backend.eye(2, "int32"), np.eye(2))
    assert backend.arange(3).dtype == "int32"
    assert len(backend.stop_gradient([X, X])) == 2
    losses = backend.sparse_categorical_crossentropy(np.array([0, 1]), np.float32([[0.5, 0.5]] * 2), ignore_class=1)
    same(losses, [np.log(2), 0])


def test_convolutions_and_sizes_of_pictures():
    image, kernel = np.arange(32, dtype="float32").reshape(1, 4, 4, 2), np.ones((2, 2, 2, 1), "float32")
    same(backend.depthwise_conv2d(image, kernel), ops.depthwise_conv(image, kernel))
    point = np.ones((1, 1, 2, 3), "float32")
    same(backend.separable_conv2d(image, kernel, point), ops.separable_conv(image, kernel, point))
    same(backend.conv3d(image[..., None], kernel[..., None]), ops.conv(image[..., None], kernel[..., None]))
    wide = backend.resize_images(image, 2, 3, "channels_last")
    same(wide, image.repeat(2, axis=1).repeat(3, axis=2))


def test_a_function_goes_step_by_step_over_a_sequence():
    steps = np.arange(12, dtype="float32").reshape(2, 3, 2)
    mask = np.array([[True, False, True], [False, True, True]])

    def add(x, states):
        return states[0] + x, [states[0] + x]

    start = [np.zeros((2, 2), "float32")]
    last, outputs, states = backend.rnn(add, steps, start)
    same(outputs, steps.cumsum(1))
    same(last, states[0])
    same(backend.rnn(add, steps, start, go_backwards=True)[1], steps[:, ::-1].cumsum(1))
    last, outputs, states = backend.rnn(add, steps, start, mask=mask)
    same(outputs, (steps * mask[..., None]).cumsum(1))
    same(last, (steps * mask[..., None]).sum(1))
    outputs = backend.rnn(add, steps, start, mask=mask, zero_output_for_mask=True)[1]
    same(outputs, (steps * mask[..., None]).cumsum(1) * mask[..., None])
    assert backend.rnn(add, steps, start, return_all_outputs=False)[1].shape == (2, 1, 2)
