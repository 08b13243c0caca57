"""A model's call under a tape as one program: outputs, gradients and state are those of its layers one by one."""

import gc
import weakref

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops
from nacre.models import model as of_models
from nacre.runtime import taped_call, walks
from nacre.runtime.taped_call import TapedCall, _Call

EPS = np.finfo(np.float32).eps


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(taped_call, "PAYS", 3)
    fresh = walks._Memory()
    fresh.pays = 3
    monkeypatch.setattr(walks, "_memory", fresh)


def image():
    return keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            layers.Conv2D(8, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(6, 3, padding="same"),
            layers.Dropout(0.3, seed=1),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )


def sequence():
    x = keras.Input((7,), dtype="int32")
    h = layers.Embedding(11, 8, mask_zero=True)(x)
    h = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(h)
    h = layers.MultiHeadAttention(2, 4)(h, h)
    h = layers.LayerNormalization()(h)
    return keras.Model(x, layers.Dense(5)(layers.GRU(4)(h)))


def joined():
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    shared = layers.Dense(5, activation="tanh")
    first = layers.Dense(5, use_bias=False)(layers.Concatenate()([shared(a), b]))
    return keras.Model({"a": a, "b": b}, {"first": first + shared(a), "second": layers.Dense(2)(first)})


RNG = np.random.default_rng(0)
CASES = {
    "image": (image, RNG.standard_normal((10, 9, 9, 3)).astype("float32")),
    "sequence": (sequence, RNG.integers(0, 11, (10, 7))),
    "joined": (
        joined,
        {"a": RNG.standard_normal((10, 6)).astype("float32"), "b": RNG.standard_normal((10, 4)).astype("float32")},
    ),
}
LABELS = RNG.integers(0, 5, 10)


def loss_of(y):
    first = y["first"] if isinstance(y, dict) else y  # "second" has no part in it
    return ops.mean(keras.losses.sparse_categorical_crossentropy(LABELS, first, from_logits=True))


def planned(model):
    calls = model._taped_function._calls.values() if model._taped_function else ()
    return [call for call in calls if isinstance(call, _Call)]


def trained(case, at_once, monkeypatch, steps=8):
    """What a loop by hand finds: losses, then all variables."""
    make, x = CASES[case]
    monkeypatch.setattr(of_models, "under_one_tape", taped_call.under_one_tape if at_once else lambda: False)
    keras.utils.set_random_seed(3)
    model, optimizer, found = make(), keras.optimizers.SGD(0.05, momentum=0.9), []
    for _ in range(steps):
        with keras.GradientTape() as tape:
            loss = loss_of(model(x, training=True)) + sum(model.losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        pairs = [(g, v) for g, v in zip(gradients, model.trainable_variables) if g is not None]
        optimizer.apply_gradients(pairs)
        found.append(float(loss))
    assert len(planned(model)) == at_once
    return [np.float32(found), *[v.numpy() for v in model.variables], *[v.numpy() for v in optimizer.variables]]


@pytest.mark.parametrize("case", CASES)
def test_a_loop_trains_as_layer_by_layer(case, monkeypatch):
    at_once, alone = (trained(case, how, monkeypatch) for how in (True, False))
    for a, b in zip(at_once, alone, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1024 * EPS * max(1e-3, np.abs(b).max()))


def warm(model, x, **kwargs):
    for _ in range(4):
        with keras.GradientTape():
            model(x, **kwargs)
    assert planned(model)


def test_gradients_of_what_goes_in_pass_through_models():
    first = keras.Sequential([keras.Input((4,)), layers.Dense(6, activation="relu")])
    second = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
    x = ops.convert_to_tensor(RNG.standard_normal((5, 4)).astype("float32"))
    found = []
    for _ in range(6):
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = ops.sum(second(first(x, training=True), training=True) ** 2)
        found.append([g.numpy() for g in tape.gradient(y, [x, *first.trainable_variables])])
    assert planned(first) and planned(second)
    for g, expected in zip(found[-1], found[0], strict=True):
        np.testing.assert_allclose(g, expected, rtol=64 * EPS, atol=1e-6)


def test_gradient_penalties_have_their_own_gradients():
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])
    x = RNG.standard_normal((5, 3)).astype("float32")
    warm(model, x, training=True)

    def penalty(x):
        with keras.GradientTape() as outer:
            inside = ops.convert_to_tensor(x)
            with keras.GradientTape() as inner:
                inner.watch(inside)
                y = model(inside, training=True)
            slope = inner.gradient(y, inside)
            value = ops.mean((ops.sqrt(ops.sum(slope**2, axis=1)) - 1.0) ** 2)
        return value, outer.gradient(value, model.trainable_variables)

    _, gradients = penalty(x)
    kernel, step = model.layers[0].kernel, 1e-2
    start, found = kernel.numpy(), []
    for moved in (step, -step):
        start[1, 2] += moved
        kernel.assign(start)
        found.append(float(penalty(x)[0]))
        start[1, 2] -= moved
    # the error of the difference is of order step^2, the rounding of values about EPS / step
    assert (found[0] - found[1]) / (2 * step) == pytest.approx(float(gradients[0][1, 2]), rel=2e-3, abs=1e-4)


def test_a_persistent_tape_differentiates_its_own_gradients():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False, activation="exponential")])
    model.layers[0].kernel.assign([[2.0]])
    x = np.float32([[0.5]])
    warm(model, x)
    with keras.GradientTape(persistent=True) as tape:
        inside = ops.convert_to_tensor(x)
        tape.watch(inside)
        y = model(inside)
        slope = tape.gradient(y, inside)
    assert float(slope) == pytest.approx(2 * np.e, rel=1e-5)
    assert float(tape.gradient(slope, inside)) == pytest.approx(4 * np.e, rel=1e-5)


def test_gradients_are_those_of_the_weights_that_the_call_read():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False), layers.Dense(1, use_bias=False)])
    first, second = model.trainable_variables
    x = np.float32([[1.0]])
    warm(model, x, training=True)
    first.assign([[3.0]])
    second.assign([[5.0]])
    with keras.GradientTape() as tape:
        y = model(x, training=True)
    first.assign([[100.0]])
    second.assign([[100.0]])
    assert [float(g) for g in tape.gradient(y, [first, second])] == [5.0, 3.0]


def test_layers_that_are_frozen_or_changed_later_count():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(1)])
    x = RNG.standard_normal((5, 3)).astype("float32")
    warm(model, x, training=True)
    model.layers[0].trainable = False
    with keras.GradientTape() as tape:
        y = model(x, training=True)
    assert len(tape.gradient(y, model.trainable_variables)) == 2
    model.pop()
    with keras.GradientTape():
        assert model(x, training=True).shape == (5, 4)


def test_training_and_not_are_different_calls():
    model = keras.Sequential([keras.Input((3,)), layers.Dropout(0.5, seed=0), layers.BatchNormalization()])
    x = np.ones((64, 3), "float32")
    warm(model, x, training=True)
    warm(model, x, training=False)
    with keras.GradientTape():
        still = model(x, training=False)
        model(x, training=True)
        again = model(x, training=False)
    assert ops.all(still == still[0]) and not ops.all(still == again)  # the averages have moved


def test_a_layer_of_the_user_s_own_runs_each_time():
    calls = []

    class Counts(layers.Layer):
        def call(self, x):
            calls.append(1)
            return x * 2.0

    model = keras.Sequential([keras.Input((3,)), Counts(), layers.Dense(1)])
    calls.clear()
    for _ in range(6):
        with keras.GradientTape():
            model(np.ones((2, 3), "float32"), training=True)
    assert len(calls) == 6


def test_a_bad_input_is_told_by_the_layers():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    warm(model, np.ones((2, 3), "float32"))
    for _ in range(5):
        with keras.GradientTape(), pytest.raises(ValueError, match="incompatible with the layer"):
            model(np.ones((2, 4), "float32"))


def test_calls_of_many_shapes_do_not_pile_up():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    for _ in range(5):
        for rows in range(1, 30):
            with keras.GradientTape() as tape:
                y = model(np.ones((rows, 3), "float32"))
            assert tape.gradient(y, model.layers[0].bias).tolist() == [float(rows)]
    assert len(planned(model)) <= 8


def test_data_that_went_through_are_let_go():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    x = np.ones((2, 3), "float32")
    for _ in range(5):
        with keras.GradientTape() as tape:
            y = model(x, training=True)
        tape.gradient(y, model.trainable_variables)
    gone = weakref.ref(x)
    del x, y, tape
    gc.collect()
    assert gone() is None


def test_large_values_are_not_overwritten_while_somebody_holds_them():
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(64)])
    kernel, x = model.layers[0].kernel, np.ones((2048, 64), "float32")
    held, tapes = [], []
    for step in range(8):
        kernel.assign(np.full((64, 64), 1.0 + step, "float32"))
        with keras.GradientTape() as tape:
            y = model(x, training=True)
        held.append(y.numpy() if step % 2 else np.asarray(y)[1:])
        tapes.append((tape, y, model.layers[1].kernel.numpy()))
    assert planned(model)
    for step, (tape, y, second) in enumerate(tapes):
        expected = np.full((1, 64), 64.0 * (1.0 + step), "float32") @ second
        np.testing.assert_allclose(held[step][:1], expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(tape.gradient(y, model.layers[1].kernel)[0, 0], 2048 * 64.0 * (1 + step), rtol=1e-4)


def test_memory_of_calls_is_used_again():
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(64)])
    x, where = np.ones((2048, 64), "float32"), []
    for _ in range(8):
        with keras.GradientTape() as tape:
            y = model(x, training=True)
        tape.gradient(y, model.trainable_variables)
        where.append(np.asarray(y).ctypes.data)
        del y, tape
    assert len(set(where[-4:])) == 1


def test_outputs_carry_no_trace_of_how_they_were_made():
    model = joined()
    x = CASES["joined"][1]
    warm(model, x, training=True)
    with keras.GradientTape() as tape:
        y = model(x, training=True)
    assert sorted(y) == ["first", "second"] and y["second"].shape == (10, 2)
    assert isinstance(model._taped_function, TapedCall)
    gradients = tape.gradient(y["second"], model.trainable_variables)
    assert sum(g is not None for g in gradients) == 5
