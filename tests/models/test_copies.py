"""Copies and pickles of models: the graph comes along, training goes on, and nothing is shared."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = X[:, :2] * 2.0


def pickled(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))


both = pytest.mark.parametrize("how", [copy.deepcopy, pickled])


def branches() -> Any:
    """Functions, operators, a shared layer, a call with arguments, nested models, named outputs."""
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared, noise = layers.Dense(4, name="shared"), layers.GaussianNoise(0.1)
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Dense(2)], name="inner")
    h = shared(a) + 2.0 * ops.relu(shared(shared(b)))
    h = noise(h, training=False) + noise(h)
    outputs = {"sum": inner(h), "parts": [ops.concatenate([a, h[:, :2]], axis=1), ops.sum(h, axis=-1, keepdims=True)]}
    return keras.Model({"a": a, "b": b}, outputs)


def assert_same(one: Any, other: Any) -> None:
    flat_one, flat_other = keras.tree.flatten(one), keras.tree.flatten(other)
    for x, y in zip(flat_one, flat_other, strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@both
def test_a_graph_of_layers_and_functions_is_copied(how: Callable[[Any], Any]) -> None:
    model, data = branches(), {"a": X, "b": X[::-1]}
    twin = how(model)
    assert_same(twin.predict(data, verbose=0), model.predict(data, verbose=0))
    assert [(op.name, type(op).__name__) for op in twin.operations] == [
        (op.name, type(op).__name__) for op in model.operations
    ]
    assert twin.get_config() == model.get_config()
    assert (twin.input_names, twin.output_names) == (model.input_names, model.output_names)
    assert not {id(layer) for layer in twin.layers} & {id(layer) for layer in model.layers}
    twin.get_layer("shared").kernel.assign(np.zeros((4, 4)))
    assert model.get_layer("shared").kernel.numpy().any()
    inside = keras.Model(twin.inputs, twin.outputs[0])
    assert inside.predict(data, verbose=0).shape[0] == 8


@both
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adamw", "rmsprop", "multi"])
def test_training_goes_on_where_it_was(how: Callable[[Any], Any], optimizer: str) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(2)])
    if optimizer == "multi":
        rules = keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.01))
        rules[".*bias"] = keras.optimizers.SGD(0.1)
        chosen: Any = keras.optimizers.MultiOptimizer(rules)
    else:
        chosen = keras.optimizers.get(optimizer)
        if optimizer == "adamw":
            chosen.exclude_from_weight_decay(var_list=[model.layers[0].kernel])
    model.compile(chosen, "mse", metrics=["mae"])
    model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    twin = how(model)
    assert twin.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    histories = [m.fit(X, Y, epochs=3, shuffle=False, verbose=0).history for m in (model, twin)]
    assert histories[0] == histories[1]
    assert_same(model.get_weights(), twin.get_weights())
    assert_same(model.optimizer.variables, twin.optimizer.variables)


@both
def test_a_copy_can_be_taken_apart_and_added_to(how: Callable[[Any], Any]) -> None:
    model = keras.Sequential([keras.Input((4,), name="data"), layers.Dense(3, name="first"), layers.Dense(2)])
    twin = how(model)
    hidden = keras.Model(twin.inputs, twin.get_layer("first").output)
    np.testing.assert_allclose(hidden.predict(X, verbose=0), np.asarray(model.layers[0](X)), rtol=1e-5, atol=1e-6)
    twin.add(layers.Dense(5))
    assert twin.predict(X, verbose=0).shape == (8, 5) and len(twin.weights) == 6 and len(model.weights) == 4
    twin.pop()
    assert_same(twin.predict(X, verbose=0), model.predict(X, verbose=0))
    twin.layers[0].trainable = False
    assert len(twin.trainable_weights) == 2 and len(model.trainable_weights) == 4


@both
def test_models_that_share_layers_still_do_when_copied_together(how: Callable[[Any], Any]) -> None:
    x = keras.Input((4,))
    code = layers.Dense(2, name="code")(x)
    encoder, whole = keras.Model(x, code), keras.Model(x, layers.Dense(4)(code))
    encoder_twin, whole_twin = how([encoder, whole])
    assert encoder_twin.get_layer("code") is whole_twin.get_layer("code")
    assert len(whole_twin.get_layer("code")._inbound_nodes) == 1
    whole_twin.compile("sgd", "mse")
    before = encoder_twin.predict(X, verbose=0)
    whole_twin.fit(X, X, verbose=0)
    assert not np.array_equal(encoder_twin.predict(X, verbose=0), before)
    assert_same(encoder.predict(X, verbose=0), before)


@both
def test_depth_does_not_matter(how: Callable[[Any], Any]) -> None:
    x = y = keras.Input((4,))
    shared = layers.Dense(4)
    for i in range(400):
        y = y + 1e-3 if i % 2 else ops.tanh(shared(y)) if i % 50 == 0 else layers.Activation("relu")(y)
    model = keras.Model(x, y)
    assert_same(how(model).predict(X, verbose=0), model.predict(X, verbose=0))


@both
def test_a_layer_is_copied_without_the_model_around_it(how: Callable[[Any], Any]) -> None:
    model = branches()
    layer = how(model.get_layer("shared"))
    assert_same(layer.get_weights(), model.get_layer("shared").get_weights())
    assert layer._inbound_nodes == [] and layer(keras.Input((4,))).shape == (None, 4)
    assert len(pickle.dumps(layer)) < 20_000


def test_a_shallow_copy_shares_weights_and_graph() -> None:
    model = branches()
    other = copy.copy(model)
    model.get_layer("shared").kernel.assign(np.zeros((4, 4)))
    data = {"a": X, "b": X}
    assert_same(other.predict(data, verbose=0), model.predict(data, verbose=0))
    assert len(model.get_layer("shared")._inbound_nodes) == 3


class KeepsWhatItSaw(layers.Layer):
    """Holds a value of its latest call, which belongs to a trace when that was compiled."""

    def call(self, x: Any) -> Any:
        self.seen = ops.relu(x @ ops.ones((4, 2)) + 1.0)
        self.add_loss(ops.mean(self.seen))
        return x


@both
def test_a_model_whose_steps_were_compiled_is_copied_without_their_traces(how: Callable[[Any], Any]) -> None:
    regularized = layers.Dense(4, "relu", activity_regularizer="l2")
    model = keras.Sequential([keras.Input((4,)), regularized, KeepsWhatItSaw(), layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    twin = how(model)
    assert_same(twin.predict(X, verbose=0), model.predict(X, verbose=0))
    assert twin.losses == []
    assert twin.fit(X, Y, verbose=0, shuffle=False).history == model.fit(X, Y, verbose=0, shuffle=False).history
