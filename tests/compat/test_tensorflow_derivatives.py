"""Derivatives as programs for TensorFlow take them: in graphs, per row, and along a direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops
from nacre.compat import tensorflow as tf

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)


def network() -> Any:
    model = keras.Sequential([keras.Input((2,)), layers.Dense(5, activation="tanh"), layers.Dense(3)])
    rng = np.random.default_rng(0)
    model.set_weights([rng.standard_normal(w.shape).astype("float32") for w in model.get_weights()])
    return model


def test_gradients_are_of_the_graph_that_is_traced() -> None:
    v = tf.Variable(3.0)

    @tf.function
    def made(x: Any, other: Any) -> Any:
        y = x * x
        z = y * v + x
        open_ends = tf.gradients(z, [x, other]), tf.gradients(z, other, unconnected_gradients="zero")
        return (
            tf.gradients(z, [x, v]),
            tf.gradients([z, y], x, [2 * tf.ones_like(z), y]),
            open_ends,
            tf.gradients(z, [x], stop_gradients=[y]),
        )

    (by_x, by_v), (weighted,), ((_, nothing), (zeros,)), (stopped,) = made(tf.constant([1.0, 2.0]), tf.constant([5.0]))
    assert (by_x.tolist(), by_v.tolist()) == ([7.0, 13.0], 5.0)
    assert weighted.tolist() == [2 * 7 + 2, 2 * 13 + 4 * 4] and nothing is None and zeros.tolist() == [0.0]
    assert stopped.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="GradientTape"):
        tf.gradients(tf.constant(1.0), tf.constant(1.0))


def test_a_model_may_hold_the_gradients_of_a_part_and_learn_from_them() -> None:
    """Learning an equation: the loss is of the slope of the output."""
    inputs = [keras.Input((1,), name=name) for name in "ab"]
    y = layers.Dense(1, use_bias=False)(layers.Dense(8, activation="tanh")(layers.Concatenate()(inputs)))
    slopes = layers.Lambda(lambda x: tf.gradients(x[0], x[1], unconnected_gradients="zero"))([y, inputs])
    model = keras.Model(inputs, layers.Concatenate()(slopes))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    data, wanted = {"a": X[:, 0], "b": X[:, 1]}, np.tile([2.0, -1.0], (6, 1))
    losses = model.fit(data, wanted, epochs=200, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]
    body, step = keras.Model(inputs, y), 1e-2
    more = body.predict({"a": X[:, 0] + step, "b": X[:, 1]}, verbose=0)
    less = body.predict({"a": X[:, 0] - step, "b": X[:, 1]}, verbose=0)
    got = model.predict(data, verbose=0)[:, :1]
    np.testing.assert_allclose(got, (more - less) / (2 * step), atol=2e-3)


@pytest.mark.parametrize("compiled", [False, True])
def test_rows_have_jacobians_of_their_own(compiled: bool) -> None:
    model = network()

    def both(x: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = model(x)
        return tape.batch_jacobian(y, x), tape.jacobian(y, x, experimental_use_pfor=False)

    rows, whole = (tf.function(both) if compiled else both)(tf.constant(X))
    assert rows.shape == (6, 3, 2) and whole.shape == (6, 3, 6, 2)
    np.testing.assert_allclose(rows, np.einsum("nonj->noj", np.asarray(whole)), rtol=1e-5, atol=1e-6)


def test_jacobians_of_rows_that_are_none_or_apart() -> None:
    x = tf.constant(X)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        apart, none, fewer = tf.constant(X), x[:, :0], x[:3] * 2
    assert tape.batch_jacobian(apart, x) is None
    assert not np.any(tape.batch_jacobian(apart, x, unconnected_gradients="zero"))
    assert tape.jacobian(apart, x) is None and tape.batch_jacobian(none, x).shape == (6, 0, 2)
    with pytest.raises(ValueError, match=r"as many rows.*\(3, 2\)"):
        tape.batch_jacobian(fewer, x)


def test_derivatives_along_a_direction() -> None:
    model, x = network(), tf.constant(X)
    kernel = model.layers[0].kernel
    direction = np.linspace(-1, 1, 10, dtype=np.float32).reshape(2, 5)
    with tf.autodiff.ForwardAccumulator(kernel, direction) as forward:
        with tf.GradientTape() as tape:
            first = tf.reduce_sum(model(x) ** 2)
        slope = tape.gradient(first, kernel)
        alone = ops.sum(x)
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            loss = tf.reduce_sum(model(x) ** 2)
        gradient = inner.gradient(loss, kernel)
    np.testing.assert_allclose(forward.jvp(first), np.sum(gradient * direction), rtol=1e-5)
    second = np.einsum("ijkl,kl->ij", np.asarray(outer.jacobian(gradient, kernel)), direction)
    np.testing.assert_allclose(forward.jvp(slope), second, rtol=1e-4, atol=1e-4)
    assert forward.jvp(alone) is None and float(forward.jvp(alone, unconnected_gradients="zero")) == 0.0
    with pytest.raises(ValueError, match="tangents of the shapes"):
        tf.autodiff.ForwardAccumulator(kernel, [1.0, 2.0])
