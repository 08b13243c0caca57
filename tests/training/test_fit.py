"""fit, evaluate and predict: what they return, how they take data, what they do with a step that cannot be compiled."""

from __future__ import annotations

import operator
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops
from training import training_cases as C


@pytest.fixture
def model() -> Any:
    m = C.mlp(keras)
    m.compile(**C.base(keras))
    return m


@pytest.mark.parametrize("case", C.ALL, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_compiled_training_equals_eager_training(case: Any) -> None:
    weights = []
    for eager in (False, True):
        keras.utils.clear_session()
        m = case.model(keras)
        m.compile(**{**case.compile(keras), "run_eagerly": eager})
        np.random.seed(3)
        m.fit(verbose=0, **case.fit(keras))
        assert m._mode.eager is eager
        weights.append(m.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_history_holds_lists_of_floats_in_alphabetical_order(model: Any) -> None:
    history = model.fit(C.X, C.Y, epochs=2, verbose=0, validation_split=0.2)
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert all(type(v) is float for values in history.history.values() for v in values)
    assert history.epoch == [0, 1]
    assert model.history is history


def test_a_second_fit_goes_on(model: Any) -> None:
    first = model.fit(C.X, C.Y, epochs=3, verbose=0, shuffle=False).history["loss"]
    second = model.fit(C.X, C.Y, epochs=3, verbose=0, shuffle=False).history["loss"]
    assert second[0] < first[-1] < first[0]
    assert int(model.optimizer.iterations) == 12


def test_reported_loss_counts_the_last_partial_batch_by_its_size() -> None:
    m = keras.Sequential([layers.Input((1,)), layers.Dense(1, kernel_initializer="zeros")])
    m.compile(keras.optimizers.SGD(0.0), "mse")
    y = np.array([1.0, 1.0, 1.0, 1.0, 3.0], "float32")
    loss = m.fit(np.ones((5, 1)), y, batch_size=4, shuffle=False, verbose=0).history["loss"][0]
    assert loss == pytest.approx((4 * 1 + 9) / 5)


def test_evaluate_gives_a_number_a_list_or_a_dict(model: Any) -> None:
    values = model.evaluate(C.X, C.Y, verbose=0)
    logs = model.evaluate(C.X, C.Y, verbose=0, return_dict=True)
    assert values == [logs["loss"], logs["accuracy"]]
    model.compile("sgd", C.SPARSE, metrics=[])
    assert type(model.evaluate(C.X, C.Y, verbose=0)) is float


def test_predict_keeps_the_structure_and_the_rows() -> None:
    x = keras.Input((12,))
    m = keras.Model(x, {"a": layers.Dense(2)(x), "b": [layers.Dense(3)(x)]})
    outputs = m.predict(C.X, batch_size=7, verbose=0)
    assert outputs["a"].shape == (50, 2)
    assert outputs["b"][0].shape == (50, 3)
    np.testing.assert_allclose(outputs["a"], m(C.X)["a"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(m.predict_on_batch(C.X)["a"], outputs["a"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "x",
    [
        C.X.astype("float64"),
        np.asfortranarray(C.X),
        C.X.astype(">f4"),
        np.repeat(C.X, 2, axis=0)[::2],
        C.X.tolist(),
        ops.convert_to_tensor(C.X),
    ],
    ids=["float64", "fortran", "big-endian", "strided", "list", "tensor"],
)
def test_arrays_of_any_kind_train_alike(x: Any) -> None:
    expected, got = (C.mlp(keras) for _ in range(2))
    for m, data in ((expected, C.X), (got, x)):
        m.compile("sgd", C.SPARSE)
        m.fit(data, C.Y, verbose=0, shuffle=False)
    for a, b in zip(expected.get_weights(), got.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_images_of_bytes_and_labels_of_bytes_just_work() -> None:
    m = keras.Sequential([layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    m.compile("sgd", C.SPARSE, metrics=["accuracy"])
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    m.fit(images, np.arange(20, dtype=np.uint8) % 3, verbose=0)
    assert m.predict(images, verbose=0).shape == (20, 3)


def test_users_arrays_are_never_written(model: Any) -> None:
    x, y = C.X.copy(), C.Y.copy()
    x.flags.writeable = y.flags.writeable = False
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(x, C.X)


def test_generator_that_ends_is_a_warning(model: Any) -> None:
    data = ((C.X[:8], C.Y[:8]) for _ in range(3))
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(data, epochs=2, steps_per_epoch=2, verbose=0, shuffle=False)
    assert len(history.history["loss"]) == 2


def test_pydataset_workers_keep_the_order_and_hooks_are_called(model: Any) -> None:
    seen: list[Any] = []

    class Data(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, i: int) -> Any:
            return C.X[i * 8 : i * 8 + 8], C.Y[i * 8 : i * 8 + 8]

        def on_epoch_begin(self) -> None:
            seen.append("begin")

        def on_epoch_end(self) -> None:
            seen.append("end")

    one = C.mlp(keras)
    one.compile(**C.base(keras))
    one.fit(Data(), verbose=0, shuffle=False, epochs=2)
    model.fit(Data(workers=3), verbose=0, shuffle=False, epochs=2)
    assert seen == ["begin", "end"] * 6  # the first of each time: a batch to find out shapes from
    for a, b in zip(one.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_branch_on_a_value_trains_eagerly_with_one_warning_that_names_the_line() -> None:
    class Branch(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.d = layers.Dense(3, activation="softmax")

        def call(self, x: Any) -> Any:
            y = self.d(x)
            if ops.sum(y) > 1e9:  # the line
                y = y * 2.0
            return y

    m = Branch()
    m.compile("sgd", C.SPARSE)
    with pytest.warns(UserWarning, match=r"test_fit.py, line \d+: if ops.sum\(y\) > 1e9") as caught:
        losses = m.fit(C.X, C.Y, epochs=3, verbose=0).history["loss"]
        m.evaluate(C.X, C.Y, verbose=0)
    assert len(caught) == 1
    assert losses[-1] < losses[0]
    quiet = Branch()
    quiet.compile("sgd", C.SPARSE, run_eagerly=True)
    quiet.fit(C.X, C.Y, verbose=0)


def test_a_mistake_in_planning_is_reported_and_the_model_trains_eagerly(model: Any, monkeypatch: Any) -> None:
    eager = C.mlp(keras)
    eager.compile(**C.base(keras), run_eagerly=True)
    eager.set_weights(model.get_weights())
    expected = eager.fit(C.X, C.Y, shuffle=False, verbose=0).history["loss"]
    with monkeypatch.context() as broken:
        broken.setattr("nacre.runtime.compiled.fuse", operator.itemgetter(7))
        told = pytest.warns(UserWarning, match=r"nacre could not plan it \(TypeError: .*please report")
        with pytest.warns(UserWarning, match="This model cannot be compiled and runs eagerly"), told:
            losses = model.fit(C.X, C.Y, shuffle=False, verbose=0).history["loss"]
        assert model.predict(C.X, verbose=0).shape == (len(C.X), 3)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


class OfState(keras.Model):
    """Steps in the form that they have for Keras on JAX: (state, data) -> (logs, state)."""

    def train_step(self, state, data):
        trained, others, slots, metrics = state
        x, y = data
        with keras.GradientTape() as tape:
            tape.watch(trained)
            y_pred, others = self.stateless_call(trained, others, x, training=True)
            loss, (_, others, metrics) = self.stateless_compute_loss(trained, others, metrics, x, y, y_pred)
        trained, slots = self.optimizer.stateless_apply(slots, tape.gradient(loss, trained), trained)
        logs, metrics = self._metrics_after(metrics, loss, y, y_pred)
        return logs, (trained, others, slots, metrics)

    def test_step(self, state, data):
        trained, others, metrics = state
        x, y = data
        y_pred, others = self.stateless_call(trained, others, x, training=False)
        logs, metrics = self._metrics_after(metrics, self.compute_loss(x, y, y_pred), y, y_pred)
        return logs, (trained, others, metrics)

    def predict_step(self, state, data):
        y_pred, others = self.stateless_call(*state, data[0] if isinstance(data, tuple) else data, training=False)
        return y_pred + 1, others

    def _metrics_after(self, metrics, loss, y, y_pred):
        tracker, own = self.metrics
        first = tracker.stateless_update_state(metrics[: len(tracker.variables)], loss)
        rest = own.stateless_update_state(metrics[len(tracker.variables) :], y, y_pred)
        return {"loss": tracker.stateless_result(first), **own.stateless_result(rest)}, first + rest


def test_steps_of_a_state_train_as_others() -> None:
    x, y = np.random.RandomState(0).randn(64, 3).astype("float32"), np.ones((64, 1), "float32")
    found = []
    for kind in (keras.Model, OfState):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((3,))
        hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4, kernel_regularizer="l2")(inputs))
        model = kind(inputs, keras.layers.Dense(1)(hidden))
        model.compile("adam", "mse", metrics=["mae"])
        history = model.fit(x, y, epochs=3, verbose=0, shuffle=False).history
        found.append((history, model.evaluate(x, y, verbose=0), model.predict(x, verbose=0), model.get_weights()))
    (history, result, outputs, weights), (history_of, result_of, outputs_of, weights_of) = found
    assert history.keys() == history_of.keys()
    np.testing.assert_allclose(history_of["loss"], history["loss"], rtol=1e-5)
    np.testing.assert_allclose(result_of, result, rtol=1e-5)
    np.testing.assert_allclose(outputs_of, outputs + 1, rtol=1e-4)
    for a, b in zip(weights_of, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_own_train_step_runs_compiled() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.d = layers.Dense(3, activation="softmax")
            self.mean = keras.metrics.Mean(name="my_loss")

        def call(self, x: Any) -> Any:
            return self.d(x)

        @property
        def metrics(self) -> list[Any]:
            return [self.mean]

        def train_step(self, data: Any) -> Any:
            x, y = data
            with keras.GradientTape() as tape:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            variables = self.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            self.mean.update_state(loss)
            return {"my_loss": self.mean.result()}

    keras.utils.set_random_seed(0)
    m = Net()
    m.compile(keras.optimizers.SGD(0.5), C.SPARSE)
    losses = m.fit(C.X, C.Y, epochs=3, verbose=0).history["my_loss"]
    assert losses[-1] < losses[0]
    assert not m._mode.eager


def test_logs_of_a_step_come_in_the_order_of_its_names_and_dicts_in_it_in_their_place() -> None:
    class Net(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            super().train_step(data)
            return {metric.name: metric.result() for metric in self.metrics}  # compile_metrics gives a dict

    m = Net([layers.Dense(1)])
    m.compile("sgd", "mse", metrics=["mse", "mae"])
    assert list(m.fit(C.X, C.Y, verbose=0).history) == ["mae", "mse", "loss"]


def test_two_networks_trained_against_each_other() -> None:
    class Game(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.g = keras.Sequential([layers.Input((4,)), layers.Dense(12)])
            self.d = keras.Sequential([layers.Input((12,)), layers.Dense(1)])
            self.seeds = keras.random.SeedGenerator(1)

        def compile(self, d: Any, g: Any) -> None:
            super().compile()
            self.d_optimizer, self.g_optimizer = d, g

        def train_step(self, real: Any) -> Any:
            n = real.shape[0]
            z = keras.random.normal((n, 4), seed=self.seeds)
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
            logs = {}
            for name, net, optimizer in (("d", self.d, self.d_optimizer), ("g", self.g, self.g_optimizer)):
                with keras.GradientTape() as tape:
                    fake = self.d(self.g(z))
                    value = loss(ops.zeros((n, 1)), fake)
                    if name == "d":
                        value = loss(ops.ones((n, 1)), self.d(real)) + value
                variables = net.trainable_variables
                optimizer.apply(tape.gradient(value, variables), variables)
                logs[name] = value
            return logs

    m = Game()
    m.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01))
    before = m.get_weights()
    history = m.fit(C.X, batch_size=25, epochs=2, verbose=0).history
    assert sorted(history) == ["d", "g"]
    assert not m._mode.eager
    assert all(not np.array_equal(a, b) for a, b in zip(before, m.get_weights(), strict=True))


def test_freezing_after_a_fit_is_seen_by_the_next_fit(model: Any) -> None:
    model.fit(C.X, C.Y, verbose=0)
    model.layers[0].trainable = False
    before = model.layers[0].get_weights()
    model.fit(C.X, C.Y, verbose=0)
    for a, b in zip(before, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_recompile_starts_the_optimizer_again_and_keeps_weights(model: Any) -> None:
    model.fit(C.X, C.Y, verbose=0)
    weights = model.get_weights()
    model.compile("adam", C.SPARSE)
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(C.X, C.Y, verbose=0)
    assert int(model.optimizer.iterations) == 2


def test_an_error_in_a_callback_leaves_the_model_usable(model: Any) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(C.X, C.Y, batch_size=8, verbose=0, callbacks=[Stop()])
    assert int(model.optimizer.iterations) == 3
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.fit(C.X, C.Y, batch_size=8, verbose=0)
    assert int(model.optimizer.iterations) == 10


def test_same_script_gives_the_same_bits_with_one_and_two_threads() -> None:
    script = (
        "import numpy as np, nacre as keras\n"
        "keras.utils.set_random_seed(0)\n"
        "x = np.random.rand(200, 40).astype('float32'); y = np.random.randint(0, 5, 200)\n"
        "m = keras.Sequential([keras.layers.Input((40,)), keras.layers.Dense(64, activation='relu'),\n"
        "    keras.layers.Dropout(0.2), keras.layers.Dense(5, activation='softmax')])\n"
        "m.compile('adam', 'sparse_categorical_crossentropy'); m.fit(x, y, epochs=3, verbose=0)\n"
        "import hashlib; print(hashlib.sha256(b''.join(w.tobytes() for w in m.get_weights())).hexdigest())\n"
    )
    results = []
    for threads in ("1", "2"):
        env = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=600, check=True
        )
        results.append(done.stdout)
    assert results[0] == results[1] != ""


def test_progress_ends_in_one_line_where_nobody_watches(model: Any, capsys: Any) -> None:
    model.fit(C.X, C.Y, batch_size=8, epochs=2)
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 4
    assert lines[0] == "Epoch 1/2"
    assert lines[1].startswith("7/7 ")
    assert "accuracy: 0." in lines[1]
    assert lines[1].index("accuracy") < lines[1].index("loss")
    model.fit(C.X, C.Y, verbose=2)
    assert len(capsys.readouterr().out.strip().splitlines()) == 1
    model.fit(C.X, C.Y, verbose=0)
    assert capsys.readouterr().out == ""


def test_a_metric_of_one_number_in_an_array_stays_an_array():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", "mse", metrics=[keras.metrics.F1Score(threshold=0.5)])
    history = model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0).history
    assert np.shape(history["f1_score"]) == (1, 1) and isinstance(history["loss"][0], float)


def test_metrics_in_the_place_of_loss_weights_are_refused_by_name():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"metrics=\[\.\.\.\]"):
        model.compile("sgd", "mse", ["accuracy"])


def test_a_step_of_its_own_decides_what_a_batch_is_to_the_model():
    class Triplets(keras.Model):
        def __init__(self):
            super().__init__()
            self.embed = layers.Dense(2)

        def call(self, inputs):
            anchor, near, far = inputs
            return ops.sum(ops.square(self.embed(anchor) - self.embed(near))), self.embed(far)

        def train_step(self, data):
            near, far = self(data)
            return {"loss": near + ops.mean(far)}

    model = Triplets()
    model.compile("sgd")
    three = tuple(np.full((4, 3), i, "float32") for i in range(3))
    with pytest.warns(UserWarning, match="ran out of data"):  # as it does whenever a generator says where it ends
        assert list(model.fit(iter([three]), epochs=1, verbose=0, shuffle=False).history) == ["loss"]


def test_data_of_other_lengths_run_the_same_program():
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    for n in (8, 24, 40):
        model.fit(rng.random((n, 3), "float32"), rng.random((n, 2), "float32"), batch_size=8, verbose=0)
    assert model.train_function.count == 1


def test_one_batch_predicted_in_silence_is_what_many_are():
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x = rng.random((8, 3), "float32")
    assert np.array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0, callbacks=[]))
    assert np.array_equal(model.predict(x, verbose=0), model.predict(x, batch_size=8, verbose=2))
    with pytest.raises(ValueError, match="at least one"):
        model.predict(x[:0], verbose=0)
    scalar = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda t: keras.ops.sum(t))])
    assert scalar.predict(x, verbose=0).shape == scalar.predict(x, verbose=0, batch_size=8, callbacks=[]).shape == (1,)


@pytest.mark.parametrize("eager", [False, True])
def test_predictions_are_the_callers_own_even_of_a_model_that_changes_nothing(eager):
    same = keras.Input((3,))
    model = keras.Model(same, same)
    model.compile(run_eagerly=eager)
    x = np.ones((2, 3), "float32")
    for y in (model.predict(x, verbose=0), model.predict(x, verbose=0, callbacks=[]), model.predict_on_batch(x)):
        assert np.array_equal(x, y) and not np.shares_memory(x, y)


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_optimizer_with_an_end_of_its_own_gets_the_weights_when_fit_ends(model: Any, wrapped: bool) -> None:
    ends = []

    class Own(keras.optimizers.SGD):
        def finalize_variable_values(self, var_list: Any) -> None:
            ends.append([v.path for v in var_list])

    optimizer = keras.optimizers.LossScaleOptimizer(Own(0.1)) if wrapped else Own(0.1)
    model.compile(**{**C.base(keras), "optimizer": optimizer})
    model.fit(np.zeros((8, *model.input_shape[1:]), "float32"), np.zeros(8, "int32"), epochs=2, verbose=0)
    assert ends == [[v.path for v in model.trainable_weights]]
