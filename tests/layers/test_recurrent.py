"""Recurrent layers: one op for the whole sequence is the loop over steps; states, masks, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nacre import GradientTape, activations, config, layers, ops
from nacre.core import trace
from nacre.core.graph import Graph
from nacre.core.spec import Spec
from nacre.runtime.compiled import CompiledFunction

X = np.random.default_rng(0).normal(size=(3, 7, 4)).astype("float32")
EPS = float(np.finfo(np.float32).eps)


def own_tanh(x: Any) -> Any:
    """tanh under a name that no fused op knows."""
    return ops.tanh(x)


def pair(make: Any, **kwargs: Any) -> tuple[Any, Any]:
    """A layer that runs as one op, and one with the same weights that loops over steps."""
    fused, looped = make(5, **kwargs), make(5, activation=own_tanh, **kwargs)
    fused.build(X.shape)
    looped.build(X.shape)
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=w.shape) * 0.5 for w in fused.weights]
    fused.set_weights(weights)
    looped.set_weights(weights)
    return fused, looped


# Steps masked at the start, in the middle and at the end; a sample without any valid step.
MASK = np.array([[0, 1, 1, 0, 1, 1, 0], [1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]], bool)


def states_of(make: Any) -> Any:
    return np.random.default_rng(3).normal(size=(2 if make is layers.LSTM else 1, 3, 5)).astype("float32")


def run(layer: Any, states: Any, mask: Any = None) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
    """Outputs, and the gradients of a weighted sum of them by input, first states and weights."""
    x = ops.convert_to_tensor(X)
    first = [ops.convert_to_tensor(s) for s in states]
    rng = np.random.default_rng(2)
    with GradientTape() as tape:
        tape.watch([x, *first])
        outputs = layer(x, initial_state=first, mask=mask)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        loss = sum(ops.sum(y * rng.normal(size=y.shape).astype("float32")) for y in outputs)
    grads = tape.gradient(loss, [x, *first, *layer.trainable_variables])
    return [np.asarray(y) for y in outputs], [np.asarray(g) for g in grads]


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU, layers.SimpleRNN], ids=["lstm", "gru", "simple"])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"return_sequences": True},
        {"return_sequences": True, "return_state": True, "go_backwards": True},
        {"return_state": True, "use_bias": False},
        {"return_sequences": True, "zero_output_for_mask": True},
    ],
    ids=str,
)
def test_one_op_gives_the_values_and_gradients_of_the_loop(make: Any, kwargs: Any, masked: bool) -> None:
    fused, looped = pair(make, **kwargs)
    mask = ops.convert_to_tensor(MASK) if masked else None
    (got, got_grads), (want, want_grads) = (run(layer, states_of(make), mask) for layer in (fused, looped))
    for g, w in zip([*got, *got_grads], [*want, *want_grads]):
        # 7 steps of about 30 roundings each
        np.testing.assert_allclose(g, w, rtol=200 * EPS, atol=200 * EPS * np.abs(w).max())


@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU, layers.SimpleRNN], ids=["lstm", "gru", "simple"])
def test_a_masked_sequence_is_one_op(make: Any) -> None:
    layer, _ = pair(make, return_sequences=True)
    graph = Graph()
    with trace.tracing(graph):
        layer(graph.add_input(Spec(X.shape, "float32")), mask=graph.add_input(Spec(MASK.shape, "bool")))
    names = [type(node.op).__name__ for node in graph.nodes]
    assert sum("Sequence" in name for name in names) == 1
    assert names.count("MatMul") == 1  # nothing is laid out step by step


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_other_activations_of_a_simple_layer_are_one_op_too(activation: str) -> None:
    fused, _ = pair(layers.SimpleRNN, return_sequences=True)
    fused.cell.activation = getattr(activations, activation)
    looped = layers.SimpleRNN(
        5, activation=lambda x: ops.relu(x) if activation == "relu" else x * 1.0, return_sequences=True
    )
    looped.build(X.shape)
    looped.set_weights(fused.get_weights())
    mask = ops.convert_to_tensor(MASK)
    (got, got_grads), (want, want_grads) = (run(layer, states_of(layers.SimpleRNN), mask) for layer in (fused, looped))
    for g, w in zip([*got, *got_grads], [*want, *want_grads]):
        np.testing.assert_allclose(g, w, rtol=200 * EPS, atol=200 * EPS * np.abs(w).max())


@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU], ids=["lstm", "gru"])
def test_the_gradient_is_the_float64_one(make: Any) -> None:
    fused, _ = pair(make, return_sequences=True)
    states = np.zeros((2 if make is layers.LSTM else 1, 3, 5), "float32")
    _, grads = run(fused, states)
    before = config.dtype_policy()
    config.set_dtype_policy("float64")
    try:
        wide, _ = pair(make, return_sequences=True)
        wide.set_weights(fused.get_weights())
        _, exact = run(wide, states)
    finally:
        config.set_dtype_policy(before)
    for g, e in zip(grads, exact):
        np.testing.assert_allclose(g, e, rtol=200 * EPS, atol=200 * EPS * np.abs(e).max())


@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU], ids=["rnn", "lstm", "gru"])
def test_stateful_layers_go_on_where_they_stopped(make: Any) -> None:
    whole, parts = make(5, return_sequences=True), make(5, return_sequences=True, stateful=True)
    expected = np.asarray(whole(X))
    parts.build((3, None, 4))
    parts.set_weights(whole.get_weights())
    got = np.concatenate([np.asarray(parts(X[:, :4])), np.asarray(parts(X[:, 4:]))], axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    parts.reset_states()
    np.testing.assert_allclose(parts(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU], ids=["rnn", "lstm", "gru"])
def test_stateful_layers_go_on_in_a_compiled_function(make: Any) -> None:
    layer = make(5, stateful=True)
    layer.build(X.shape)
    expected = [np.asarray(layer(X)) for _ in range(2)]
    layer.reset_states()
    compiled = CompiledFunction(lambda x: layer(x))
    for e in expected:
        np.testing.assert_allclose(compiled(X), e, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU], ids=["rnn", "lstm", "gru"])
def test_dropout_is_the_same_at_every_step_and_other_in_the_next_call(make: Any) -> None:
    layer = make(5, dropout=0.5, recurrent_dropout=0.5, return_sequences=True, seed=1)
    layer.build(X.shape)
    a, b = np.asarray(layer(X, training=True)), np.asarray(layer(X, training=True))
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(layer(X), layer(X, training=False))
    same = np.broadcast_to(X[:, :1], X.shape)
    cell = layer.cell
    masks: list[Any] = []
    original = cell.get_dropout_mask
    object.__setattr__(cell, "get_dropout_mask", lambda x: masks.append(original(x)) or masks[-1])
    layer(same, training=True)
    assert len({np.asarray(m).tobytes() for m in masks}) == 1


def test_a_cell_of_ones_own_works() -> None:
    class Counter(layers.Layer):
        state_size = 4

        def call(self, inputs: Any, states: Any) -> Any:
            total = states[0] + inputs
            return total, [total]

    np.testing.assert_allclose(layers.RNN(Counter())(X), X.sum(axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layers.RNN(Counter(), return_sequences=True)(X), X.cumsum(axis=1), rtol=1e-5, atol=1e-5)


def test_a_subclass_that_changes_the_step_is_not_bypassed() -> None:
    class Doubled(layers.LSTMCell):
        def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
            h, new = super().call(inputs, states, training=training)
            return 2.0 * h, new

    plain, doubled = layers.RNN(layers.LSTMCell(5)), layers.RNN(Doubled(5))
    expected = np.asarray(plain(X))
    doubled.build(X.shape)
    doubled.set_weights(plain.get_weights())
    np.testing.assert_allclose(doubled(X), 2 * expected, rtol=1e-6, atol=1e-6)


def test_masked_outputs_repeat_or_vanish() -> None:
    mask = np.array([[True, True, False, True, False, False, False]] * 3)
    layer = layers.LSTM(5, return_sequences=True)
    y = np.asarray(layer(X, mask=mask))
    np.testing.assert_array_equal(y[:, 2], y[:, 1])
    np.testing.assert_array_equal(y[:, 6], y[:, 3])
    both = layers.Bidirectional(layers.LSTM(5, return_sequences=True))
    assert not np.asarray(both(X, mask=mask))[:, 4:].any()


def test_outputs_and_states_are_a_tuple() -> None:
    for layer in (layers.LSTM(2, return_state=True), layers.Bidirectional(layers.GRU(2, return_state=True))):
        assert type(layer(X)) is tuple and type(layer.compute_output_shape((None, 7, 4))) is tuple


def test_each_step_of_a_time_distributed_layer_has_its_own_statistics() -> None:
    inner = layers.BatchNormalization(momentum=0.5)
    y = layers.TimeDistributed(inner)(X, training=True)
    np.testing.assert_allclose(np.mean(y, axis=0), np.zeros(X.shape[1:]), atol=1e-6)
    moving = np.zeros(4)
    for mean in X.mean(axis=0):
        moving = 0.5 * moving + 0.5 * mean
    np.testing.assert_allclose(inner.moving_mean, moving, rtol=1e-5, atol=1e-6)
    inner.trainable = False
    frozen = layers.TimeDistributed(inner)
    np.testing.assert_array_equal(frozen(X, training=True), frozen(X))
