"""How `fit` reads arguments that can be read in two ways: as Keras does."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nacre import GradientTape, Input, Model, Sequential, callbacks, layers, losses, ops, saving
from nacre.optimizers import SGD, Adam
from nacre.random import SeedGenerator
from nacre.regularizers import L2

X = np.linspace(-1, 1, 120, dtype="float32").reshape(40, 3)
Y = X.sum(axis=1, keepdims=True)


def compiled(**options: Any) -> Sequential:
    model = Sequential([Input((3,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **options})
    return model


def test_validation_steps_share_all_samples_out() -> None:
    """Without a batch size, one step is all 40 of them, not the first 32."""
    model = compiled(optimizer=SGD(0.0))
    whole = model.evaluate(X, Y + X[:, :1], verbose=0)
    history = model.fit(X, Y, verbose=0, validation_data=(X, Y + X[:, :1]), validation_steps=1).history
    assert history["val_loss"][0] == pytest.approx(whole, rel=1e-5)


def test_a_single_output_takes_its_metrics_from_a_dict_of_one() -> None:
    history = compiled(metrics={"score": "mae"}).fit(X, Y, verbose=0).history
    assert sorted(history) == ["loss", "mae"]


def test_verbose_above_two_shows_the_epochs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    compiled().fit(X, Y, epochs=2, verbose=3)
    assert capsys.readouterr().out.split() == ["Epoch", "1/2", "Epoch", "2/2"]
    with pytest.raises(ValueError, match="verbose"):
        compiled().fit(X, Y, verbose=-1)


def test_no_verbosity_is_silence_and_a_negative_number_of_epochs_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    model = compiled()
    assert list(model.fit(X, Y, epochs=2, verbose=None).history) == ["loss"]
    model.evaluate(X, Y, verbose=None)
    model.predict(X, verbose=None)
    assert capsys.readouterr().out == ""
    assert model.fit(X, Y, epochs=-1).history == {}


def test_objects_are_left_out_of_a_file_of_weights(tmp_path: Path) -> None:
    model, path = compiled(), tmp_path / "m.weights.h5"
    saving.save_weights(model, path, objects_to_skip=[model.layers[0]])
    with pytest.raises(ValueError, match="could not be loaded"):
        model.load_weights(path)
    model.load_weights(path, objects_to_skip=[model.layers[0]])
    with pytest.raises(ValueError, match="File format not supported"):
        model.load_weights("there.pkl")


@pytest.mark.parametrize("as_json", [True, False])
def test_results_are_posted_to_a_server(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    requests: Any = types.ModuleType("requests")
    requests.exceptions = types.SimpleNamespace(RequestException=OSError)
    requests.post = lambda *args, **kwargs: sent.append((args, kwargs))
    monkeypatch.setitem(sys.modules, "requests", requests)
    monitor = callbacks.RemoteMonitor("http://here", "/there", field="results", send_as_json=as_json)
    loss = compiled().fit(X, Y, verbose=0, callbacks=[monitor]).history["loss"][0]
    (args, kwargs), results = sent[0], {"epoch": 0, "loss": loss}
    assert args[0] == "http://here/there"
    if as_json:
        assert kwargs["json"] == results
    else:
        assert set(args[1]) == {"results"} and f'"loss": {loss!r}' in args[1]["results"]

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("nobody there")

    requests.post = refuse
    with pytest.warns(UserWarning, match="Could not reach RemoteMonitor root server"):
        monitor.on_epoch_end(0, {"loss": np.float32(1.0)})
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(ImportError, match="requires the `requests` library"):
        monitor.on_epoch_end(0)


class OfGraph(Model):
    """Sums of the features of two nodes for each edge: inputs of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        nodes, edges = inputs
        return self.dense(ops.sum(ops.take(nodes, edges, axis=0), axis=1))


def test_a_batch_may_hold_arrays_of_different_lengths() -> None:
    nodes, edges = X[:5], np.array([[0, 1], [2, 4], [3, 3]])
    model = OfGraph()
    model.compile("sgd", "mse")
    model.fit(iter([((nodes, edges), Y[:3])] * 2), steps_per_epoch=2, shuffle=False, verbose=0)
    assert model.train_on_batch((nodes, edges), Y[:3]) > 0 and model.predict_on_batch((nodes, edges)).shape == (3, 1)
    with pytest.raises(ValueError, match=r"shapes? .*\(4"):
        model.train_on_batch((nodes, edges), Y[:4])
    with pytest.raises(ValueError, match="cardinality is ambiguous"):
        model.fit([nodes, edges], Y[:3], verbose=0)

    class OfGraphs(OfGraph):
        """One number for all edges: fewer than there are of anything in `inputs`."""

        def call(self, inputs: Any) -> Any:
            return ops.sum(super().call(inputs), axis=0, keepdims=True)

    model = OfGraphs()
    model.compile("sgd", "mse")
    model.fit(iter([((nodes, edges), Y[:1])] * 2), steps_per_epoch=2, shuffle=False, verbose=0)


@pytest.mark.parametrize("wide", [np.sqrt(2.0), np.ones(3), ops.convert_to_tensor(np.ones(3))], ids=type)
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_weights_below_float64_get_gradients_of_their_own_dtype(wide: Any, run_eagerly: bool) -> None:
    model = Sequential([Input((3,)), layers.Dense(3), layers.Lambda(lambda x: x / wide), layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=run_eagerly)
    before = model.get_weights()[0]
    model.fit(X, Y, verbose=0)
    assert (model.get_weights()[0] != before).any()


def test_numpys_numbers_do_where_pythons_do(tmp_path: Path) -> None:
    f, i = np.float32, np.int64
    drop = [layers.Dropout(f(0.25)), layers.GaussianNoise(f(0.5)), layers.RandomContrast(f(0.5)).factor]
    dense = layers.Dense(i(2), kernel_regularizer=L2(f(0.5)))
    model = Sequential([Input((i(3),)), dense, *drop[:2], layers.Dense(i(1))])
    adam = Adam(gradient_accumulation_steps=i(2), use_ema=True, ema_overwrite_frequency=i(2))
    model.compile(adam, "mse")
    history = model.fit(X, Y, validation_split=f(0.25), epochs=i(2), batch_size=i(8), verbose=np.False_).history
    assert len(history["val_loss"]) == 2 and drop[2] == (0, 0.5)
    model.save(tmp_path / "m.keras")
    assert saving.load_model(tmp_path / "m.keras").layers[1].rate == 0.25
    assert SeedGenerator(i(3)).state.numpy()[0] == 3


class OldStep(Model):
    """A step as programs for Keras 2 write it; what a batch is, only the step knows."""

    def __init__(self):
        super().__init__()
        self.net = Sequential([layers.Dense(3)])

    def call(self, inputs):
        return self.net(inputs[0])

    def train_step(self, data):
        x, y = data["x"], data["y"]
        with GradientTape() as tape:
            y_pred = self([x])
            loss = self.compiled_loss(y, y_pred)
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        self.compiled_metrics.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics} | {"mine": loss}


@pytest.mark.filterwarnings("ignore:`model.compiled_:UserWarning")
def test_steps_of_older_programs_find_their_losses_and_metrics():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4)).astype("float32"), rng.integers(0, 3, 8)
    model = OldStep()
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    logs = model.fit({"x": x, "y": y}, batch_size=8, epochs=20, verbose=0).history
    assert logs["mine"][-1] < logs["mine"][0] and 0 <= logs["accuracy"][-1] <= 1
    model.compile("sgd", "mse")
    assert model.compiled_metrics.update_state(y, x) is None


class Halves(OldStep):
    """Two data sets at once, batches of one larger than those of the other."""

    def train_step(self, data):
        (x, _), (_, y) = data
        with GradientTape() as tape:
            loss = ops.mean(self.net(x)) + 0.0 * ops.sum(y)
        self.optimizer.apply(tape.gradient(loss, self.net.trainable_weights), self.net.trainable_weights)
        return {"rows": ops.shape(x)[0] + ops.shape(y)[0]}


def test_only_a_step_of_its_own_takes_batches_of_parts_of_several_lengths():
    batch = (X[:6], Y[:6]), (X[:2], Y[:2])
    model = Halves()
    model.net.build((None, 3))
    model.compile("sgd")
    assert model.fit(iter([batch] * 2), steps_per_epoch=2, shuffle=False, verbose=0).history == {"rows": [8]}
    plain = Sequential([layers.Dense(1)])
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="cardinality is ambiguous"):
        plain.fit(iter([(X[:6], Y[:2])]), steps_per_epoch=1, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="cardinality is ambiguous"):
        plain.evaluate(iter([(X[:6], Y[:1])]), steps=1, verbose=0)


def test_hooks_of_batches_get_their_logs_by_name_or_as_they_call_them() -> None:
    seen: list[Any] = []

    class Noted(callbacks.Callback):
        def on_batch_begin(self, batch: int, **named: Any) -> None:
            seen.append((batch, named))

        def on_train_batch_end(self, batch: int, **named: Any) -> None:
            seen.append((batch, sorted(named["logs"])))

        def on_predict_batch_end(self, batch: int, **named: Any) -> None:
            seen.append(sorted(named["logs"]))

    model = compiled()
    model.fit(X, Y, verbose=0, batch_size=40, callbacks=[Noted()])
    model.predict(X, verbose=0, batch_size=40, callbacks=[Noted()])
    assert seen == [(0, {"logs": {}}), (0, ["loss"]), ["outputs"]]
    older = callbacks.LambdaCallback(on_train_batch_end=lambda batch, results: seen.append(sorted(results)))
    model.fit(X, Y, verbose=0, batch_size=40, callbacks=[older])
    assert seen[3:] == [["loss"]]


def test_frozen_weights_have_gradients_for_who_asks():
    model = Sequential([layers.Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    model.trainable = False
    with GradientTape() as tape:
        loss = ops.sum(model(X))
    model.trainable = True
    assert all(g is not None for g in tape.gradient(loss, model.trainable_weights))
    with GradientTape() as tape:
        loss = ops.sum(model(X))
    assert tape.gradient(loss, model.non_trainable_weights) == [None, None]


class Kept(Model):
    """The scores of the entries that count, each beside the size of its row."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        x, mask = inputs
        rows = ops.repeat(ops.arange(x.shape[0]), ops.sum(ops.cast(mask, "int32"), axis=1))
        y = self.dense(x[mask]) + ops.broadcast_to(ops.zeros((1, 1)), (rows.shape[0], 1))
        return ops.segment_sum(y, rows, num_segments=x.shape[0])


def test_sizes_that_values_tell_in_two_ways_fit_when_they_are_known() -> None:
    """Graphs of several sizes in a batch: entries by a mask, and their rows by numbers of repetitions."""
    rng = np.random.default_rng(0)
    x, mask = rng.random((6, 5, 3)).astype("float32"), rng.random((6, 5)) < 0.5
    model = Kept()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="runs eagerly"):
        model.fit([x, mask], np.ones((6, 1)), verbose=0, batch_size=3)
        got = model.predict([x, mask], verbose=0)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(got, np.sum((x @ kernel + bias) * mask[..., None], axis=1), rtol=1e-5, atol=1e-6)
