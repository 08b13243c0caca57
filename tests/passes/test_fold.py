"""Batch normalization in the weights of the product in front of it: the same numbers, also after Variables change."""

import numpy as np
import pytest

import nacre as keras
from nacre.core.variable import Variable
from nacre.ops import elementwise as e
from nacre.ops import nn
from nacre.ops.convolution import Conv2D
from nacre.ops.products import MatMul
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(3)
layers = keras.layers


def kernels(function, *args):
    plan, _ = function._plan((args, {}))
    return [type(i).__name__ if not isinstance(i, str) else i for i in plan.origins]


def stirred(model):
    """`model`, all of whose weights say something."""
    for v in model.weights:
        low, high = (0.5, 1.5) if v.name in ("gamma", "moving_variance") else (-0.5, 0.5)
        v.assign(RNG.uniform(low, high, v.shape))
    return model


def stacked(*made, shape):
    return stirred(keras.Sequential([keras.Input(shape), *made]))


MODELS = {
    "conv": lambda: stacked(layers.Conv2D(5, 3), layers.BatchNormalization(), shape=(9, 8, 2)),
    "conv without bias, relu": lambda: stacked(
        layers.Conv2D(5, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU(), shape=(9, 8, 2)
    ),
    "neither scale nor center": lambda: stacked(
        layers.Conv2D(5, 3), layers.BatchNormalization(center=False, scale=False), shape=(9, 8, 2)
    ),
    "groups": lambda: stacked(layers.Conv2D(6, 3, groups=2), layers.BatchNormalization(), shape=(9, 8, 4)),
    "depthwise": lambda: stacked(
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization(), layers.ReLU(6.0), shape=(9, 8, 3)
    ),
    "separable": lambda: stacked(layers.SeparableConv2D(7, 3), layers.BatchNormalization(), shape=(9, 8, 3)),
    "dense": lambda: stacked(layers.Dense(7), layers.BatchNormalization(), layers.ReLU(), shape=(5,)),
    "dense over time": lambda: stacked(layers.Dense(7), layers.BatchNormalization(), shape=(4, 5)),
    "conv1d": lambda: stacked(layers.Conv1D(7, 3, padding="same"), layers.BatchNormalization(), shape=(6, 5)),
    "two behind each other": lambda: stacked(
        layers.Conv2D(5, 1), layers.BatchNormalization(), layers.BatchNormalization(), shape=(4, 4, 2)
    ),
    "rescaled": lambda: stacked(layers.Conv2D(5, 1, use_bias=False), layers.Rescaling(2.0, -1.0), shape=(4, 4, 2)),
    "only scaled": lambda: stacked(layers.Conv2D(5, 1, use_bias=False), layers.Rescaling(3.0), shape=(4, 4, 2)),
    "one channel": lambda: stacked(layers.Conv2D(1, 3), layers.BatchNormalization(), shape=(9, 8, 2)),
    "another axis": lambda: stacked(layers.Conv2D(8, 1), layers.BatchNormalization(axis=1), shape=(8, 8, 2)),
}
KEPT = dict.fromkeys(MODELS, 1) | {"another axis": 0}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_the_layers_one_by_one(name):
    model = MODELS[name]()
    x = RNG.standard_normal((3, *model.input_shape[1:])).astype("float32")
    got = model.predict_on_batch(x)
    expected = x
    for layer in model.layers:
        expected = layer(expected, training=False)
    expected = np.asarray(expected)
    # a sum of K products, each with one rounding more than before, relative to what was summed
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    plan, _ = model.predict_function._compiled._plan(((x,), {}))
    assert len(plan._kept) == KEPT[name]
    if KEPT[name]:
        assert not any("Fused" in origin for origin in plan.origins), plan.origins


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.parametrize("change", ["assign", "set_weights", "load", "fit", "snapshot", "tape"])
def test_weights_that_change_between_calls_are_seen(change, tmp_path):
    model = stacked(
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(2),
        shape=(5, 5, 2),
    )
    x = RNG.standard_normal((4, 5, 5, 2)).astype("float32")
    y = RNG.standard_normal((4, 2)).astype("float32")
    model.compile("sgd", "mse")
    before = model.predict(x, verbose=0)
    larger = model.predict(np.concatenate([x, x]), batch_size=8, verbose=0)  # another plan with the same weights
    np.testing.assert_allclose(larger[:4], before, rtol=1e-5, atol=1e-6)
    if change == "assign":
        model.layers[1].moving_variance.assign(model.layers[1].moving_variance * 4.0)
    elif change == "set_weights":
        model.set_weights([w * 1.5 for w in model.get_weights()])
    elif change == "load":
        other = stirred(keras.models.clone_model(model))
        other.save_weights(tmp_path / "other.weights.h5")
        model.load_weights(tmp_path / "other.weights.h5")
    elif change == "fit":
        model.fit(x, y, epochs=2, batch_size=2, verbose=0)
    elif change == "tape":
        with keras.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(model(x, training=True) - y))
        model.optimizer.build(model.trainable_variables)
        model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    else:
        kernel = model.layers[0].kernel
        held = kernel.value  # a snapshot, so that the next write moves the Variable to another array
        kernel.assign(held * -1.0)
    after = np.asarray(model(x, training=False))
    assert np.abs(after - before).max() > 1e-3
    for _ in range(2):
        np.testing.assert_allclose(model.predict(x, verbose=0), after, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.predict(np.concatenate([x, x]), batch_size=8, verbose=0)[:4], after, rtol=1e-5, atol=1e-6
    )


def test_evaluate_and_predict_agree_while_training_goes_on():
    model = stacked(
        layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU(),
        layers.GlobalAveragePooling2D(), layers.Dense(1), shape=(6, 6, 1),
    )  # fmt: skip
    x = RNG.standard_normal((16, 6, 6, 1)).astype("float32")
    y = RNG.standard_normal((16, 1)).astype("float32")
    model.compile(keras.optimizers.SGD(0.05), "mse")
    seen = []
    for _ in range(4):
        model.fit(x, y, batch_size=4, verbose=0)
        loss = model.evaluate(x, y, batch_size=8, verbose=0)
        np.testing.assert_allclose(loss, np.mean((model.predict(x, verbose=0) - y) ** 2), rtol=1e-5)
        np.testing.assert_allclose(loss, np.mean((np.asarray(model(x, training=False)) - y) ** 2), rtol=1e-5)
        seen.append(loss)
    assert len(set(seen)) == 4


def test_a_frozen_trunk_is_folded_in_training_and_its_gradient_is_right():
    trunk = stacked(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), shape=(5, 5, 2))
    trunk.trainable = False
    scale = Variable(np.ones((5, 5, 2), "float32"))  # below the trunk, so that gradients go through it
    x = RNG.standard_normal((3, 5, 5, 2)).astype("float32")

    def step(x):
        with keras.GradientTape() as tape:
            loss = keras.ops.sum(keras.ops.square(trunk(x * scale.value, training=True)))
        return loss, tape.gradient(loss, scale)

    compiled = CompiledFunction(step)
    for got, expected in zip(compiled(x), step(keras.ops.convert_to_tensor(x))):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert len(compiled._plan(((x,), {}))[0]._kept) == 1


def test_weights_that_the_program_writes_are_left_alone():
    w = Variable(RNG.standard_normal((1, 1, 2, 3)).astype("float32"))
    scale = Variable(np.full(3, 2.0, "float32"))
    x = RNG.standard_normal((1, 4, 4, 2)).astype("float32")

    def step(x):
        y = e.Mul()(Conv2D((1, 1), ((0, 0), (0, 0)))(x, w), scale)
        w.assign_add(np.ones(w.shape, "float32"))
        return y

    compiled = CompiledFunction(step)
    for _ in range(3):
        expected = np.einsum("nhwc,co->nhwo", x, w.numpy()[0, 0]) * 2.0
        np.testing.assert_allclose(compiled(x), expected, rtol=1e-5, atol=1e-6)
    assert not compiled._plan(((x,), {}))[0]._kept


def test_a_value_that_somebody_else_reads_is_not_folded_away():
    w, scale = Variable(RNG.standard_normal((4, 3)).astype("float32")), Variable(np.full(3, 2.0, "float32"))
    x = RNG.standard_normal((5, 4)).astype("float32")

    def step(x):
        y = MatMul()(x, w)
        return e.Mul()(y, scale), nn.relu(y)

    scaled, limited = CompiledFunction(step)(x)
    np.testing.assert_allclose(scaled, x @ w.numpy() * 2.0, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(limited, np.maximum(x @ w.numpy(), 0), rtol=1e-5, atol=1e-6)


CONSTANT = {  # what is multiplied by, out of Variables
    "the largest of several": lambda k, w, v: k.matmul(w, v) * k.top_k(v[0], 3)[0] + k.top_k(v[1], 3)[0],
    "weights out of a product that is scaled": lambda k, x, v: (
        k.matmul(x, v + k.matmul(v, v[:, :3]) * 0.5) * 2.0 + v[0]
    ),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_what_depends_on_variables_alone_may_be_made_by_any_operation(name):
    x, v = RNG.standard_normal((4, 3)).astype("float32"), Variable(RNG.standard_normal((3, 3)).astype("float32"))
    f = CompiledFunction(lambda x: CONSTANT[name](keras.ops, x, v))
    for _ in range(2):
        np.testing.assert_allclose(f(x).numpy(), CONSTANT[name](keras.ops, x, v).numpy(), rtol=1e-5, atol=1e-5)
        v.assign(v * -1.5)
    (plan,) = f._plans.values()
    assert len(plan._kept) == 1


@pytest.mark.parametrize("transposed", [False, True])
def test_square_weights_are_scaled_along_the_axis_of_the_result(transposed):
    w, scale = (Variable(RNG.uniform(0.5, 2.0, s).astype("float32")) for s in ((4, 4), (4,)))
    x = RNG.standard_normal((5, 4)).astype("float32")
    compiled = CompiledFunction(lambda x: e.Mul()(MatMul(False, transposed)(x, w), scale))
    expected = x @ (w.numpy().T if transposed else w.numpy()) * scale.numpy()
    np.testing.assert_allclose(compiled(x), expected, rtol=1e-5, atol=1e-6)


def test_an_interruption_leaves_no_earlier_weights(monkeypatch):
    model = MODELS["conv"]()
    x = RNG.normal(size=(4, 9, 8, 2)).astype("float32")
    model.predict(x, verbose=0)
    stirred(model)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as only:
        only.setattr("nacre.passes.fold.aligned_copy", stop)
        with pytest.raises(KeyboardInterrupt):
            model.predict(x, verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x, training=False), rtol=1e-4, atol=1e-5)
