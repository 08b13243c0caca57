"""Losses and metrics of several outputs, nested or not; how often callbacks are called; the tree of states."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import callbacks, layers, ops

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(20, 1)).astype("float32")


def model(structure: str = "dict") -> Any:
    x = keras.Input((4,))
    a, b, c = (layers.Dense(1, name=name)(x) for name in ("first", "second", "third"))
    outputs = {"dict": {"a": a, "b": b}, "nested": {"a": a, "rest": {"b": b, "c": [c]}}, "list": [a, b, c]}[structure]
    return keras.Model(x, outputs)


def test_a_loss_may_name_only_some_outputs() -> None:
    m = model()
    m.compile("sgd", loss={"a": "mse"})
    logs = m.evaluate(X, {"a": Y, "b": Y}, verbose=0, return_dict=True)
    assert list(logs) == ["loss"]
    expected = np.mean((np.asarray(m.predict(X, verbose=0)["a"], np.float64) - Y) ** 2)
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


def test_predict_computes_batches_where_they_belong() -> None:
    x = keras.Input((4,))
    m = keras.Model(x, [layers.Dense(500)(x), layers.Dense(1)(x)])
    rows = np.random.default_rng(2).normal(size=(1001, 4)).astype("float32")
    first = m.predict(rows[:7], batch_size=7, verbose=0)
    tracemalloc.start()
    wide, narrow = m.predict(rows, batch_size=7, verbose=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert wide.shape == (1001, 500)
    assert narrow.shape == (1001, 1)
    assert peak < 1.5 * wide.nbytes  # not once more in parts
    np.testing.assert_array_equal(wide[:7], first[0])
    np.testing.assert_allclose(wide[1000:], m.predict(rows[1000:], verbose=0)[0], rtol=1e-5)


def test_predict_joins_outputs_that_are_no_rows_of_the_batch() -> None:
    class Odd(keras.Model):
        def call(self, x: Any) -> Any:
            return {"sum": ops.sum(x), "twice": ops.concatenate([x, x]), "last": x[-1:]}

    out = Odd().predict(X, batch_size=8, verbose=0)
    parts = [X[:8], X[8:16], X[16:]]
    np.testing.assert_allclose(out["sum"], [p.sum() for p in parts], rtol=1e-5)
    np.testing.assert_array_equal(out["twice"], np.concatenate([p for p in parts for _ in range(2)]))
    np.testing.assert_array_equal(out["last"], X[[7, 15, 19]])


def test_a_wrong_name_is_told() -> None:
    m = model()
    m.compile("sgd", loss={"a": "mse", "c": "mse"})
    with pytest.raises(KeyError, match=r"'c'.*can't be found"):
        m.fit(X, {"a": Y, "b": Y}, verbose=0)


def test_losses_and_metrics_nest_as_the_outputs_do() -> None:
    m = model("nested")
    m.compile(
        "sgd",
        loss={"a": "mse", "rest": {"b": "mae", "c": ["mse"]}},
        loss_weights={"a": 1.0, "rest": {"b": 0.5, "c": [2.0]}},
        metrics={"a": "mse", "rest": {"b": ["mae"], "c": ["mse"]}},
    )
    y = {"a": Y, "rest": {"b": Y, "c": [Y]}}
    logs = m.evaluate(X, y, verbose=0, return_dict=True)
    total = logs["a_loss"] + 0.5 * logs["rest/b_loss"] + 2.0 * logs["rest/c/third_loss"]
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-5)
    np.testing.assert_allclose(logs["first_mse"], logs["a_loss"], rtol=1e-5)


def test_one_loss_may_take_a_structure_of_outputs() -> None:
    def both(y_true: Any, y_pred: Any) -> Any:
        return ops.square(y_pred["a"] - y_true["a"]) + ops.square(y_pred["b"] - y_true["b"])

    m = model()
    m.compile("sgd", loss=[both, {"a": "mse", "b": "mse"}])
    logs = m.evaluate(X, {"a": Y, "b": Y}, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["a_b_loss"], logs["a_loss"] + logs["b_loss"], rtol=1e-5)


def test_targets_of_outputs_without_a_loss_may_be_missing() -> None:
    m = model("list")
    m.compile("sgd", loss=["mse", None, "mse"])
    few = m.evaluate(X, [Y, 2 * Y], verbose=0)
    assert few == m.evaluate(X, [Y, 7 * Y, 2 * Y], verbose=0)


def test_a_model_with_a_dict_of_inputs_can_be_called_on_other_inputs() -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    inner = keras.Model({"a": a, "b": b}, layers.Add()([a, b]))
    p, q = keras.Input((3,)), keras.Input((3,))
    outer = keras.Model([p, q], inner({"a": p, "b": q}))
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(outer([x, 2 * x]), 3 * x)


def test_data_that_end_with_an_epoch_start_again_at_the_next() -> None:
    m = model("list")
    m.compile("sgd", loss="mse")
    seen: list[int] = []
    count = callbacks.LambdaCallback(on_train_batch_end=lambda b, _: seen.append(b))
    m.fit(X, [Y] * 3, batch_size=4, epochs=4, steps_per_epoch=5, verbose=0, callbacks=[count])
    m.fit(X, [Y] * 3, batch_size=2, epochs=4, steps_per_epoch=5, verbose=0, callbacks=[count])
    assert len(seen) == 40


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # what a generator that ends always says
@pytest.mark.parametrize("kind", ["arrays", "batches"])
def test_several_steps_per_execution_are_one_call_of_the_hooks(kind: str) -> None:
    m = model("list")
    m.compile("sgd", loss="mse", steps_per_execution=3)
    seen: list[int] = []
    count = callbacks.LambdaCallback(on_train_batch_begin=lambda b, _: seen.append(b))
    if kind == "arrays":  # five batches, the last one short
        m.fit(X[:18], [Y[:18]] * 3, batch_size=4, verbose=0, callbacks=[count])
    else:
        m.fit(
            ((X[i : i + 4], [Y[i : i + 4]] * 3) for i in range(0, 20, 4)), shuffle=False, verbose=0, callbacks=[count]
        )
    assert seen == [0, 3]


def test_the_state_tree_goes_both_ways() -> None:
    m = model("list")
    m.compile("adam", loss="mse")
    m.fit(X, [Y] * 3, verbose=0)
    tree = m.get_state_tree(value_format="numpy_array")
    other = model("list")
    other.compile("adam", loss="mse")
    other.fit(X, [Y] * 3, verbose=0)
    other.set_state_tree(
        {"trainable_variables": tree["trainable_variables"], "optimizer_variables": tree["optimizer_variables"]}
    )
    for a, b in zip(m.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="Unknown variable name"):
        other.set_state_tree({"weights": {}})


def test_one_truth_for_several_outputs_is_for_the_models_own_loss():
    class Model(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return sum(keras.ops.mean(keras.ops.square(y - p)) for p in y_pred)

    inputs = keras.Input((3,))
    model = Model(inputs, [keras.layers.Dense(1, name=name)(inputs) for name in "ab"])
    model.compile("sgd", metrics=[keras.metrics.MeanAbsoluteError(name="mae") for _ in "ab"])
    assert set(model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0).history) == {"loss", "a_mae"}
    plain = keras.Model(model.inputs, model.outputs)
    plain.compile("sgd", "mse", metrics=["mae", "mae"])
    with pytest.raises(ValueError, match="different structures"):
        plain.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)


def test_outputs_without_names_share_the_name_of_their_loss() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [keras.layers.Dense(1, kernel_initializer=i) for i in ("ones", "zeros")]

        def call(self, x):
            return tuple(part(x) for part in self.parts)

    model = Net()
    model.compile("sgd", ["mse", "mse"])
    x, y = np.arange(8.0).reshape(4, 2), (np.ones((4, 1)), np.full((4, 1), 3.0))
    assert model.fit(x, y, verbose=0).history == {"loss": [65.0], "mse_loss": [9.0]}  # the last one is shown
    assert model.metrics_names == ["loss", "mse_loss", "mse_loss"]
    _, first, second = model.evaluate(x, y, verbose=0)
    assert first == second == model.evaluate(x, y, verbose=0, return_dict=True)["mse_loss"]


def _changes(model: Any) -> Any:
    """What may happen to a model between two calls for one row, each with the outputs that it makes of them."""
    dense = model.layers[-1]

    def plain(x: np.ndarray) -> Any:
        h = np.maximum(x @ w[0] + w[1], 0)
        return h @ dense.kernel.numpy() + dense.bias.numpy()

    w = [v.numpy() for v in model.layers[0].weights]
    yield lambda: None, plain
    yield lambda: dense.bias.assign([1.0, -1.0]), plain
    yield lambda: dense.set_weights([2 * dense.kernel.numpy(), dense.bias.numpy()]), plain
    yield lambda: setattr(dense, "activation", keras.ops.tanh), lambda x: np.tanh(plain(x))
    yield lambda: setattr(dense, "activation", None), plain
    yield lambda: setattr(model, "run_eagerly", True), plain
    yield lambda: setattr(model, "run_eagerly", False), plain
    yield lambda: setattr(model, "predict_step", lambda data: 2 * model(data)), plain  # until it is compiled anew
    yield lambda: model.compile("sgd", "mse"), lambda x: 2 * plain(x)


@pytest.mark.parametrize("call", ["predict", "predict_on_batch"])
def test_a_row_like_the_last_one_meets_whatever_has_changed(call: str) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(5, activation="relu"), layers.Dense(2)])
    rng = np.random.default_rng(5)
    options = {"verbose": 0} if call == "predict" else {}
    for change, expected in _changes(model):
        change()
        rows = [rng.random((1, 3), "float32") for _ in range(3)]
        outputs = [getattr(model, call)(x, **options) for x in rows]
        for x, y in zip(rows, outputs, strict=True):  # each an array of its own
            np.testing.assert_allclose(y, expected(x), rtol=1e-5, atol=1e-6)


def test_arrays_unlike_the_last_one_take_their_own_way() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, use_bias=False)])
    kernel = model.layers[0].kernel.numpy()
    x = np.arange(32, dtype="float32").reshape(4, 8)
    odd = np.frombuffer(b"\0" + x[:, :4].tobytes(), np.uint8)[1:].view("float32").reshape(4, 4)  # unaligned
    for _ in range(2):
        others = x[:, ::2], x[:2, 4:].copy(), x[:, 4:].astype("float64"), x[:, :4].astype(">f4"), odd
        for data in (x[:, :4].copy(), *others):
            np.testing.assert_allclose(model.predict_on_batch(data), data @ kernel, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(model(data), data @ kernel, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"expected shape|incompatible"):
        model.predict_on_batch(x)


def test_several_inputs_like_the_last_ones_are_told_apart() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, {"sum": layers.Add()([a, b]), "less": layers.Subtract()([a, b])})
    positional = keras.Model([a, b], layers.Subtract()([a, b]))
    rng = np.random.default_rng(3)

    def draw(n: int = 1, dtype: str = "float32") -> Any:
        return rng.random((n, 2)).astype(dtype)

    for n, dtype in [(1, "float32")] * 3 + [(2, "float32"), (1, "float64"), (1, "float32")]:
        for first in "ab":
            x, y = draw(n), draw(n, dtype)
            data = {"a": x, "b": y} if first == "a" else {"b": y, "a": x}
            for call in (model.predict_on_batch, model):
                got = call(data)
                np.testing.assert_allclose(got["sum"], x + y, rtol=1e-6)
                np.testing.assert_allclose(got["less"], x - y, rtol=1e-6, atol=1e-7)
        for data in ([x, y], (x, y), [y, x], (x[:, ::-1].copy(), y), [x, keras.ops.array(y)]):
            for call in (positional.predict_on_batch, positional):
                less = np.asarray(data[0]) - np.asarray(data[1])
                np.testing.assert_allclose(call(data), less, rtol=1e-6, atol=1e-7)
    for wrong in ([x], [x, y, x], [x, [[1.0]]], {"a": x}):
        with pytest.raises(ValueError, match=r"expect|incompatible|missing|structure|Missing"):
            positional.predict_on_batch(wrong)


def test_a_function_of_the_users_own_sees_every_batch() -> None:
    class Counting(keras.Sequential):
        made = 0

        def make_predict_function(self, force: bool = False) -> Any:
            self.made += 1
            return super().make_predict_function(force)

    model = Counting([keras.Input((3,)), layers.Dense(2)])
    for _ in range(3):
        model.predict_on_batch(np.ones((1, 3), "float32"))
    assert model.made == 3
