"""`model(x)` as one program: the numbers, errors and effects of the layers one by one."""

import contextlib
import copy
import pickle

import numpy as np
import pytest

import nacre as keras
from nacre.runtime import taped_call

layers = keras.layers
RNG = np.random.default_rng(11)


def one_by_one(model, x, **kwargs):
    for layer in model.layers:
        x = layer(x)
    return np.asarray(x)


def dense():
    return keras.Sequential([keras.Input((6,)), layers.Dense(5, "relu"), layers.Dropout(0.5), layers.Dense(3)])


def programs(model):
    function = model._call_function and model._call_function._function
    return 0 if function is None else function.count


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_outputs_are_those_of_the_layers(dtype):
    model = dense()
    x = (RNG.standard_normal((4, 6)) * 3).astype(dtype)
    for _ in range(2):
        np.testing.assert_allclose(model(x), one_by_one(model, x), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(model(x), model(keras.ops.convert_to_tensor(x.astype("float32")), training=False))
    assert programs(model) > 0


def test_two_inputs_and_named_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    joined = layers.Concatenate()([a, keras.ops.square(b)])
    model = keras.Model([a, b], {"sum": layers.Dense(2)(joined), "all": joined})
    x = [RNG.standard_normal((5, n)).astype("float32") for n in (4, 3)]
    for given in (x, {"a": x[0], "b": x[1]}):
        got = model(given)
        np.testing.assert_allclose(got["all"], np.concatenate([x[0], x[1] ** 2], 1), rtol=1e-6)
        np.testing.assert_allclose(
            got["sum"], got["all"].numpy() @ model.layers[-1].kernel.numpy(), rtol=1e-5, atol=1e-6
        )
    assert programs(model) == 2


def test_weights_layers_and_structure_may_change_between_calls():
    model = dense()
    x = RNG.standard_normal((4, 6)).astype("float32")
    before = np.asarray(model(x))
    model.layers[0].kernel.assign(model.layers[0].kernel * 2.0)
    doubled = np.asarray(model(x))
    np.testing.assert_allclose(doubled, one_by_one(model, x), rtol=1e-6, atol=1e-6)
    assert np.abs(doubled - before).max() > 1e-3
    model.add(layers.Dense(2))
    assert model(x).shape == (4, 2)
    model.pop()
    np.testing.assert_array_equal(model(x), doubled)
    model.layers[0].trainable = False
    np.testing.assert_array_equal(model(x), doubled)


CHANGES = {
    "activation": lambda dense, model: setattr(dense, "activation", keras.activations.relu),
    "rate": lambda dense, model: setattr(model.layers[1], "rate", 0.9),
    "epsilon": lambda dense, model: setattr(model.layers[2], "epsilon", 0.5),
    "call": lambda dense, model: setattr(dense, "call", lambda x, **_: keras.ops.zeros((x.shape[0], 4))),
    "policy": lambda dense, model: setattr(model.layers[2], "dtype_policy", "float64"),
    "inner call": lambda dense, model: setattr(model.layers[3], "call", lambda x, **_: x + 1.0),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("training", [False, True])
def test_settings_that_are_changed_later_count(how, training, monkeypatch):
    monkeypatch.setattr(taped_call, "PAYS", 2)
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4), layers.Dropout(0.2, seed=1), layers.LayerNormalization(), inner]
    )
    x = RNG.standard_normal((8, 6)).astype("float32")

    def call(alone):
        model.layers[1].seed_generator.state.assign([1, 0])
        if alone:
            return np.asarray(layers.Layer.__call__(model, x, training=training))
        with keras.GradientTape() if training else contextlib.nullcontext():
            return np.asarray(model(x, training=training))

    before = [call(False) for _ in range(3)]
    CHANGES[how](model.layers[0], model)
    after = call(False)
    np.testing.assert_allclose(after, call(True), rtol=1e-4, atol=1e-5)
    assert np.array_equal(after, before[-1]) == (how == "rate" and not training)


def test_what_training_and_prediction_follow_when_it_changes():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    x, y = RNG.standard_normal((8, 3)).astype("float32"), np.ones((8, 2), "float32")
    dense = model.layers[0]
    model.fit(x, y, verbose=0)
    dense.kernel.trainable = False
    kernel, bias = dense.get_weights()
    model.fit(x, y, verbose=0)
    assert np.array_equal(kernel, dense.kernel.numpy()) and not np.array_equal(bias, dense.bias.numpy())
    dense.kernel.trainable = True
    model.fit(x, y, verbose=0)
    assert not np.array_equal(kernel, dense.kernel.numpy())
    assert model.predict(x, verbose=0).min() < 0
    dense.activation = keras.activations.relu
    assert model.predict(x, verbose=0).min() >= 0


def test_dropout_is_active_in_training_and_gradients_pass():
    model = dense()
    x = RNG.standard_normal((64, 6)).astype("float32")
    assert np.abs(np.asarray(model(x, training=True)) - np.asarray(model(x))).max() > 1e-3
    with keras.GradientTape() as tape:
        loss = keras.ops.sum(keras.ops.square(model(x)))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.abs(np.asarray(g)).max() > 0 for g in gradients)


@pytest.mark.parametrize("kind", ["lambda", "own layer", "own model", "patched", "loss", "eager"])
def test_what_users_could_notice_runs_layer_by_layer(kind):
    seen = []

    class Own(layers.Layer):
        def call(self, x):
            seen.append(type(x).__name__)
            return x

    class OwnModel(keras.Sequential):
        def call(self, x, training=None, mask=None):
            seen.append(type(x).__name__)
            return super().call(x, training=training, mask=mask)

    x = RNG.standard_normal((2, 6)).astype("float32")
    cls = OwnModel if kind == "own model" else keras.Sequential
    first = {
        "lambda": lambda: layers.Lambda(lambda v: seen.append(type(v).__name__) or v),
        "own layer": Own,
        "loss": lambda: layers.Dense(2, activity_regularizer="l2"),
    }.get(kind, lambda: layers.Dense(2))()
    model = cls([keras.Input((6,)), first])
    if kind == "patched":
        original = first.call
        first.call = lambda v: seen.append(type(v).__name__) or original(v)
    if kind == "eager":
        model.run_eagerly = True
    del seen[:]
    for _ in range(3):
        model(x)
    assert programs(model) == 0
    if kind in ("lambda", "own layer", "own model", "patched"):
        assert len(seen) == 3
        assert "Symbol" not in seen
    if kind == "loss":
        assert len(model.losses) == 1
        assert float(model.losses[0]) > 0


def test_masks_come_with_the_outputs_that_carry_them():
    words, other = keras.Input((5,), dtype="int32"), keras.Input((2,))
    sequence = layers.LSTM(3, return_sequences=True)(layers.Embedding(9, 4, mask_zero=True)(words))
    model = keras.Model([words, other], {"a": layers.Dense(2)(other), "sequence": sequence, "z": words * 2})
    x = [np.array([[1, 2, 0, 0, 0], [3, 0, 4, 5, 0]], "int32"), RNG.standard_normal((2, 2)).astype("float32")]
    for rows in (2, 2, 2, 1, 1):
        y = model([a[:rows] for a in x])
        np.testing.assert_array_equal(y["sequence"]._keras_mask, x[0][:rows] != 0)
        assert getattr(y["a"], "_keras_mask", None) is None
        assert np.asarray(y["sequence"]).shape == (rows, 5, 3)
    assert programs(model) == 2
    alone = keras.Sequential([keras.Input((3, 2)), layers.Masking()])
    for value in (0.0, 1.0, 0.0):
        y = alone(np.full((1, 3, 2), value, "float32"))
        np.testing.assert_array_equal(y._keras_mask, np.full((1, 3), value != 0))
    assert programs(alone) == 1
    pooled = layers.GlobalAveragePooling1D()(alone(np.ones((1, 3, 2), "float32")))
    np.testing.assert_allclose(pooled, [[1.0, 1.0]])


def test_a_bad_argument_is_told_by_the_layers_and_spoils_nothing():
    model = dense()
    x = RNG.standard_normal((4, 6)).astype("float32")
    expected = np.asarray(model(x))
    for _ in range(2):
        with pytest.raises(ValueError, match="incompatible with the layer"):
            model(np.zeros((4, 7), "float32"))
    np.testing.assert_array_equal(model(x), expected)
    assert programs(model) == 1


def test_many_shapes_are_not_all_planned():
    model = dense()
    x = RNG.standard_normal((20, 6)).astype("float32")
    for rows in range(1, 20):
        np.testing.assert_allclose(model(x[:rows]), one_by_one(model, x[:rows]), rtol=1e-6, atol=1e-6)
    assert programs(model) == 8


def test_a_call_inside_of_a_call_or_a_compiled_step_is_part_of_it():
    inner = dense()
    x = RNG.standard_normal((4, 6)).astype("float32")
    outer = keras.Sequential([keras.Input((6,)), inner, layers.Dense(1)])
    np.testing.assert_allclose(outer(x), one_by_one(outer, x), rtol=1e-6, atol=1e-6)

    class Steps(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def call(self, v):
            return self.inner(v) * 2.0

    np.testing.assert_allclose(Steps().predict(x, verbose=0), np.asarray(inner(x)) * 2.0, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_weights_and_programs_of_their_own(how):
    model = dense()
    x = RNG.standard_normal((4, 6)).astype("float32")
    before, predicted = np.asarray(model(x)), model.predict(x, verbose=0)
    twin = how(model)
    np.testing.assert_array_equal(twin(x), before)
    twin.layers[-1].bias.assign(twin.layers[-1].bias + 1.0)
    np.testing.assert_allclose(twin.predict(x, verbose=0), predicted + 1.0, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(model(x), before)


def normed():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.GaussianNoise(0.3, seed=4),
            layers.Dense(5),
            layers.BatchNormalization(momentum=0.5),
            layers.Dropout(0.5, seed=3),
            layers.Dense(3),
        ]
    )


def test_calls_in_training_draw_and_average_as_the_layers_do():
    model = normed()
    twin = copy.deepcopy(model)
    x = RNG.standard_normal((16, 6)).astype("float32")
    for _ in range(12):
        got, want = np.asarray(model(x, training=True)), x
        for layer in twin.layers:
            want = layer(want, training=True)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert programs(model) == 1
    for a, b in zip(model.variables, twin.variables):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    draws = [np.asarray(model(x, training=True)) for _ in range(3)]
    assert np.abs(draws[0] - draws[1]).max() > 1e-3 < np.abs(draws[1] - draws[2]).max()


def test_stateless_calls_in_training_leave_the_variables_alone():
    model = normed()
    x = RNG.standard_normal((16, 6)).astype("float32")
    for _ in range(12):
        model(x, training=True)
    before = [np.array(v.numpy()) for v in model.variables]
    trainable, other = ([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables))
    y, after = model.stateless_call(trainable, other, x, training=True)
    for v, value in zip(model.variables, before):
        np.testing.assert_array_equal(v.numpy(), value)
    changed = [not np.array_equal(a, b) for a, b in zip(other, after)]
    assert any(changed)
    np.testing.assert_allclose(y, np.asarray(model(x, training=True)), rtol=1e-5, atol=1e-5)


def test_a_scope_of_other_values_is_what_the_layers_read():
    model = dense()
    x = RNG.standard_normal((4, 6)).astype("float32")
    kernel = model.layers[0].kernel
    before = np.asarray(model(x))
    assert programs(model) > 0
    with keras.StatelessScope([(kernel, np.zeros(kernel.shape))]):
        inside = np.asarray(model(x))
    np.testing.assert_array_equal(inside, np.broadcast_to(inside[0], inside.shape))  # the biases alone
    np.testing.assert_array_equal(np.asarray(model(x)), before)
