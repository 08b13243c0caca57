"""Walking a tape back as one program gives what the walk operation by operation gives."""

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops
from nacre.runtime import walks

EPS = np.finfo(np.float32).eps


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    """Nothing was walked before, and soon is planned."""
    fresh = walks._Memory()
    fresh.pays = 3
    monkeypatch.setattr(walks, "_memory", fresh)
    return fresh


def convolutions():
    return [
        layers.Conv2D(8, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.ReLU(6.0),
        layers.Flatten(),
        layers.Dropout(0.3, seed=1),
        layers.Dense(5),
    ]


CASES = {
    "dense": ((12,), lambda: [layers.Dense(16, activation="relu"), layers.Dense(5)]),
    "convolutions": ((9, 9, 3), convolutions),
    "recurrent": ((6, 4), lambda: [layers.LSTM(7, return_sequences=True), layers.GRU(5)]),
    "words": ((6,), lambda: [layers.Embedding(11, 8), layers.LayerNormalization(), layers.Flatten(), layers.Dense(5)]),
    "attention": (
        (6, 8),
        lambda: [Attends(), layers.GlobalAveragePooling1D(), layers.Dense(5, activation="softmax")],
    ),
}


class Attends(layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner = layers.MultiHeadAttention(2, 4)

    def call(self, x):
        return self.inner(x, x)


def data(shape, words):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 11, (10, *shape)) if words else rng.standard_normal((10, *shape)).astype("float32")
    return x, rng.integers(0, 5, 10)


@pytest.mark.parametrize("case", CASES)
def test_a_program_finds_the_gradients_that_single_operations_find(case, memory):
    shape, make = CASES[case]
    x, y = data(shape, case == "words")
    model = keras.Sequential([keras.Input(shape), *make()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=case != "attention")

    def gradients():
        for layer in model.layers:
            if isinstance(layer, layers.Dropout):
                layer.seed_generator.state.assign([1, 2])
        with keras.GradientTape() as tape:
            value = loss(y, model.call(ops.convert_to_tensor(x), training=True))  # layer by layer
        return [g.numpy() for g in tape.gradient(value, model.trainable_variables)]

    alone = gradients()
    for _ in range(memory.pays - 1):
        gradients()
    assert [plan is not None for plan in memory.plans.values()] == [True]
    for g, expected in zip(gradients(), alone):
        # sums of at most a few hundred terms in another order
        np.testing.assert_allclose(g, expected, rtol=0, atol=64 * EPS * max(1e-3, np.abs(expected).max()))


def test_what_is_not_reached_has_no_gradient():
    w, b, unused = keras.Variable([2.0, 3.0]), keras.Variable(1.0), keras.Variable(5.0)
    for _ in range(5):
        with keras.GradientTape() as tape:
            y = ops.sum(ops.square(w * w + b)) * 2.0
        dw, db, nothing = tape.gradient(y, [w, b, unused])
        assert nothing is None
        assert dw.tolist() == [80.0, 240.0]  # 8 w (w^2 + 1)
        assert float(db) == 60.0


def test_gradients_of_outputs_that_are_given_count_each_time():
    w = keras.Variable([1.0, 2.0])
    for step in range(5):
        with keras.GradientTape() as tape:
            y = ops.exp(ops.log(w) * 2.0) + w
        assert tape.gradient(y, w, [1.0 * step, 2.0]).numpy() == pytest.approx([3.0 * step, 10.0])


def test_output_gradients_must_fit():
    w = keras.Variable([1.0, 2.0])
    for wrong, message in (([1.0, 2.0, 3.0], r"shape \(3,\) for a target of shape \(2,\)"), (1.0, r"shape \(\)")):
        with keras.GradientTape() as tape:
            y = w * 2.0
        with pytest.raises(ValueError, match=message):
            tape.gradient(y, w, wrong)
    with keras.GradientTape() as tape:
        y = [w * 2.0, w * 3.0]
    with pytest.raises(ValueError, match="2 targets, but 1 output gradients"):
        tape.gradient(y, w, [np.ones(2)])


def test_sources_of_one_tape_are_not_mixed_up():
    w, v = keras.Variable(2.0), keras.Variable(3.0)
    for _ in range(5):
        with keras.GradientTape(persistent=True) as tape:
            y = w * w * v * v * v
        assert float(tape.gradient(y, w)) == 108.0
        assert float(tape.gradient(y, v)) == 108.0
        assert [float(g) for g in tape.gradient(y, [v, w])] == [108.0, 108.0]
        assert float(tape.gradient([y, y], w)) == 216.0


def test_a_function_s_own_gradient_is_asked_every_time():
    calls = []

    @ops.custom_gradient
    def twice(x):
        def grad(*args, upstream=None):
            calls.append(1)
            return (args[0] if upstream is None else upstream) * float(len(calls))

        return x * 2.0, grad

    w = keras.Variable(1.0)
    for _ in range(6):
        with keras.GradientTape() as tape:
            y = ops.exp(twice(w) * 1.0) * 0.0 + twice(w) * 1.0
        tape.gradient(y, w)
    assert len(calls) == 12


def test_second_derivatives_are_those_of_single_operations():
    w = keras.Variable([0.5, 1.5])
    found = []
    for _ in range(6):
        with keras.GradientTape() as outer:
            with keras.GradientTape() as inner:
                y = ops.sum(ops.sin(w) * ops.exp(w) * w)
            first = inner.gradient(y, w)
            penalty = ops.sum(first * first)
        found.append(outer.gradient(penalty, w).numpy())
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=16 * EPS)


def test_programs_do_not_pile_up(memory):
    w = keras.Variable(np.ones(3, "float32"))
    for _ in range(memory.pays + 1):
        for rows in range(1, 3 * walks._MOST_PLANS):
            with keras.GradientTape() as tape:
                y = ops.sum(ops.square(ops.ones((rows, 3)) * w + w))
            assert tape.gradient(y, w).tolist() == [8.0 * rows] * 3
    assert len(memory.plans) <= walks._MOST_PLANS
    assert len(memory.seen) <= walks._MOST_SEEN + 1
    assert memory.pays > 3


def test_tapes_that_come_once_leave_little(memory):
    w = keras.Variable(1.0)
    for length in range(40, 80):
        with keras.GradientTape() as tape:
            y = w
            for _ in range(length):
                y = y * w
        assert float(tape.gradient(y, w)) == length + 1
    assert len(memory.seen) == 40 and not memory.plans
    assert all(type(key) is int for key in memory.seen)
