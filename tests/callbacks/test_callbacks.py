"""Callbacks: which hooks are called when, and what the callbacks that come with nacre do."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import callbacks
from training import training_cases as C


@pytest.fixture
def model() -> Any:
    m = C.mlp(keras)
    m.compile(**{**C.base(keras), "optimizer": keras.optimizers.SGD(0.1)})
    return m


class Recorder(callbacks.Callback):
    """Remembers every hook."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            calls = object.__getattribute__(self, "calls")
            return lambda *args, **kwargs: calls.append(
                (name[3:], args[0] if args and isinstance(args[0], int) else None)
            )
        return object.__getattribute__(self, name)


def test_hooks_come_in_keras_order(model: Any) -> None:
    seen = Recorder()
    model.fit(C.X[:8], C.Y[:8], batch_size=4, epochs=1, verbose=0, validation_data=(C.X[:4], C.Y[:4]), callbacks=[seen])
    assert seen.calls == [
        ("train_begin", None),
        ("epoch_begin", 0),
        ("train_batch_begin", 0),
        ("train_batch_end", 0),
        ("train_batch_begin", 1),
        ("train_batch_end", 1),
        ("test_begin", None),
        ("test_batch_begin", 0),
        ("test_batch_end", 0),
        ("test_end", None),
        ("epoch_end", 0),
        ("train_end", None),
    ]
    seen.calls.clear()
    model.predict(C.X[:4], verbose=0, callbacks=[seen])
    assert [name for name, _ in seen.calls] == [
        "predict_begin",
        "predict_batch_begin",
        "predict_batch_end",
        "predict_end",
    ]


def test_batch_logs_are_running_means_as_floats(model: Any) -> None:
    seen: list[dict[str, Any]] = []
    hook = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(dict(logs)))
    history = model.fit(C.X, C.Y, batch_size=10, verbose=0, callbacks=[hook])
    assert len(seen) == 5
    assert all(type(v) is float for logs in seen for v in logs.values())
    assert seen[-1]["loss"] == history.history["loss"][0]


def test_steps_per_execution_calls_back_less_often() -> None:
    m = C.mlp(keras)
    m.compile("sgd", C.SPARSE, steps_per_execution=2)
    seen: list[int] = []
    m.fit(
        C.X,
        C.Y,
        batch_size=10,
        verbose=0,
        callbacks=[callbacks.LambdaCallback(on_train_batch_end=lambda b, _: seen.append(b))],
    )
    assert seen == [1, 3, 5]  # as if the last group were full


def test_stop_training_ends_within_the_epoch(model: Any) -> None:
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 1

    history = model.fit(C.X, C.Y, batch_size=10, epochs=5, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0]
    assert int(model.optimizer.iterations) == 2


def test_early_stopping_counts_epochs_without_improvement() -> None:
    losses = iter([1.0, 0.5, 0.6, 0.55, 0.7, 0.1])
    stop = callbacks.EarlyStopping("loss", patience=2)
    m = C.mlp(keras)
    m.compile(**C.base(keras))
    stop.set_model(m)
    stop.on_train_begin()
    for epoch in range(6):
        stop.on_epoch_end(epoch, {"loss": next(losses)})
        if m.stop_training:
            break
    assert epoch == 3
    assert stop.best == 0.5


def test_early_stopping_restores_the_best_weights(model: Any) -> None:
    class Worsen(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["loss"] = float(epoch)
            self.model.set_weights([np.full(w.shape, epoch, "float32") for w in self.model.weights])

    stop = callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    model.fit(C.X, C.Y, epochs=9, verbose=0, callbacks=[Worsen(), stop])
    assert stop.stopped_epoch == 2
    assert all((w == 0).all() for w in model.get_weights())


@pytest.mark.parametrize(("name", "better"), [("val_loss", "min"), ("accuracy", "max"), ("val_accuracy", "max")])
def test_direction_of_a_result_is_known(model: Any, name: str, better: str) -> None:
    model.fit(C.X, C.Y, verbose=0)
    stop = callbacks.EarlyStopping(name)
    stop.set_model(model)
    assert stop._is_improvement(2.0, 1.0) is (better == "max")


def test_direction_that_is_not_known_is_an_error(model: Any) -> None:
    stop = callbacks.EarlyStopping("foo")
    stop.set_model(model)
    with pytest.raises(ValueError, match="mode='max'"):
        stop._is_improvement(2.0, 1.0)
    with pytest.raises(ValueError, match="mode='max'"):
        stop.on_epoch_end(0, {"loss": 1.0})
    known = callbacks.EarlyStopping("foo", mode="max")
    known.set_model(model)
    with pytest.warns(UserWarning, match=r"foo.*not available"):
        known.on_epoch_end(0, {"loss": 1.0})


def test_learning_rate_callbacks(model: Any) -> None:
    history = model.fit(
        C.X, C.Y, epochs=3, verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)]
    )
    np.testing.assert_allclose(history.history["learning_rate"], [0.05, 0.025, 0.0125], rtol=1e-6)
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=100.0, min_lr=0.001)
    model.fit(C.X, C.Y, epochs=4, verbose=0, callbacks=[plateau])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    scheduled = C.mlp(keras)
    scheduled.compile(keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)), C.SPARSE)
    # A schedule stands in the way only when the learning rate is to change.
    scheduled.fit(C.X, C.Y, verbose=0, callbacks=[plateau])
    for callback in (plateau, callbacks.LearningRateScheduler(lambda _: 0.1)):
        with pytest.raises(TypeError, match="LearningRateSchedule"):
            scheduled.fit(C.X, C.Y, epochs=3, verbose=0, callbacks=[callback])
    with pytest.raises(ValueError, match="should be a float"):
        scheduled.fit(C.X, C.Y, verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda _: "x")])


def test_checkpoints_by_epoch_by_batch_and_only_the_best(model: Any, tmp_path: Any) -> None:
    every = callbacks.ModelCheckpoint(tmp_path / "m{epoch:02d}-{loss:.1f}.keras")
    best = callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", "loss", save_weights_only=True, save_best_only=True)
    batches = callbacks.ModelCheckpoint(tmp_path / "b{batch}.weights.h5", save_weights_only=True, save_freq=2)
    model.fit(C.X, C.Y, batch_size=10, epochs=2, verbose=0, callbacks=[every, best, batches])
    names = sorted(p.name for p in tmp_path.iterdir())
    assert [n[:3] for n in names if n.endswith(".keras")] == ["m01", "m02"]
    assert "best.weights.h5" in names
    assert "b2.weights.h5" in names
    loaded = keras.models.load_model(tmp_path / next(n for n in names if n.startswith("m02")))
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for wrong in (
        {"filepath": "x.foo"},
        {"filepath": "x.h5x", "save_weights_only": True},
        {"filepath": "x.keras", "save_freq": 1.5},
    ):
        with pytest.raises(ValueError, match=r"filepath|save_freq"):
            callbacks.ModelCheckpoint(**wrong)


def test_csv_holds_a_line_per_epoch_and_can_be_continued(model: Any, tmp_path: Any) -> None:
    path = tmp_path / "log.csv"
    first = model.fit(C.X, C.Y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)]).history
    model.fit(C.X, C.Y, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)])
    with open(path, newline="") as f:
        rows = list(csv.DictReader(f))
    assert [row["epoch"] for row in rows] == ["0", "1", "0"]
    assert [float(row["loss"]) for row in rows[:2]] == first["loss"]


def test_csv_takes_names_that_the_locale_has_no_letters_for(tmp_path: Any) -> None:
    code = "import sys, nacre\nlog = nacre.callbacks.CSVLogger(sys.argv[1])\nlog.on_train_begin()\n"
    code += "log.on_epoch_end(0, {'\\u010d': 1.0})\nlog.on_train_end()"
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code, tmp_path / "log.csv"], env=env, check=True)
    assert (tmp_path / "log.csv").read_text(encoding="utf-8").startswith("epoch,č,val_č")


@pytest.mark.parametrize("evaluated_before", [False, True])
def test_interrupted_training_goes_on_where_it_was(tmp_path: Any, evaluated_before: bool) -> None:
    class Interrupt(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    whole, cut, rest = (C.mlp(keras) for _ in range(3))
    for m in (whole, cut, rest):
        m.compile(keras.optimizers.Adam(0.01), C.SPARSE)
    expected = whole.fit(C.X, C.Y, epochs=4, shuffle=False, verbose=0).history["loss"]
    with pytest.raises(KeyboardInterrupt):
        cut.fit(
            C.X,
            C.Y,
            epochs=4,
            shuffle=False,
            verbose=0,
            callbacks=[callbacks.BackupAndRestore(tmp_path / "b"), Interrupt()],
        )
    if evaluated_before:
        rest.evaluate(C.X[:4], C.Y[:4], verbose=0)
    history = rest.fit(
        C.X, C.Y, epochs=4, shuffle=False, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path / "b")]
    )
    assert history.epoch == [2, 3]
    assert history.history["loss"] == expected[2:]
    assert not (tmp_path / "b").exists()


def test_nan_ends_training(capsys: Any) -> None:
    m = C.one_output(keras)
    m.compile(keras.optimizers.SGD(1e30), "mse")
    x = C.X.copy()
    x[20] = np.nan
    history = m.fit(x, C.Y, batch_size=10, epochs=5, verbose=0, shuffle=False, callbacks=[callbacks.TerminateOnNaN()])
    assert int(m.optimizer.iterations) == 3
    assert len(history.epoch) == 1
    assert "Invalid loss" in capsys.readouterr().out


def test_swapped_averages_are_what_validation_sees() -> None:
    m = C.mlp(keras)
    m.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5), C.SPARSE)
    seen: list[Any] = []

    class Look(callbacks.Callback):
        def on_test_begin(self, logs: Any = None) -> None:
            seen.append(self.model.get_weights()[0])

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(self.model.get_weights()[0])

    m.fit(C.X, C.Y, verbose=0, validation_data=(C.X, C.Y), callbacks=[callbacks.SwapEMAWeights(), Look()])
    averages, own = seen
    assert not np.array_equal(averages, own)
    np.testing.assert_array_equal(m.get_weights()[0], averages)  # at the end the averages are the weights
    with pytest.raises(ValueError, match="use_ema=True"):
        plain = C.mlp(keras)
        plain.compile("sgd", C.SPARSE)
        plain.evaluate(C.X, C.Y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])


def test_only_a_listener_makes_training_come_back_for_each_batch(model: Any) -> None:
    made = callbacks.CallbackList(
        [callbacks.EarlyStopping("loss")], add_history=True, add_progbar=True, model=model, verbose=1, epochs=1, steps=1
    )
    assert not made.listens_to_batches("train")
    made.append(callbacks.TerminateOnNaN())
    assert made.listens_to_batches("train")


def test_averages_stay_when_they_were_swapped_in_at_the_last_epoch(tmp_path: Any) -> None:
    model = C.mlp(keras)
    model.compile(**{**C.base(keras), "optimizer": keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)})
    seen = []
    model.fit(
        C.X, C.Y, epochs=2, verbose=0,
        callbacks=[
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())),
        ],
    )  # fmt: skip
    for now, then in zip(model.get_weights(), seen[-1], strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_csv_file_has_columns_for_a_validation_that_comes_later(tmp_path: Any, model: Any) -> None:
    model.fit(
        C.X, C.Y, validation_data=(C.X, C.Y), validation_freq=2, epochs=2, verbose=0,
        callbacks=[callbacks.CSVLogger(tmp_path / "log.csv")],
    )  # fmt: skip
    with open(tmp_path / "log.csv") as file:
        first, second = csv.DictReader(file)
    assert first["val_loss"] == "NA" and float(second["val_loss"]) > 0


def test_learning_rate_callbacks_reach_every_optimizer() -> None:
    o = keras.optimizers
    model = C.mlp(keras)
    inside = [o.SGD(0.4), o.SGD(0.2)]
    model.compile(**{**C.base(keras), "optimizer": o.MultiOptimizer(o.OptimizerMap(inside[0], {".*bias": inside[1]}))})
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9, mode="min")
    model.fit(C.X, C.Y, epochs=2, verbose=0, callbacks=[schedule, plateau])
    assert [float(i.learning_rate) for i in inside] == pytest.approx([0.05, 0.025])


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("at", range(1, 11))
def test_a_backup_cut_short_anywhere_goes_on_from_a_whole_epoch(
    tmp_path: Any, monkeypatch: Any, at: int, double: bool
) -> None:
    whole, cut, rest = (C.mlp(keras) for _ in range(3))
    for m in (whole, cut, rest):
        m.compile(keras.optimizers.Adam(0.01), C.SPARSE)
    expected = whole.fit(C.X, C.Y, epochs=5, shuffle=False, verbose=0).history["loss"]
    replace, seen = os.replace, []

    def stop(*paths: Any) -> None:
        seen.append(paths)
        if len(seen) > at:
            raise KeyboardInterrupt
        replace(*paths)

    backup = callbacks.BackupAndRestore(tmp_path / "b", double_checkpoint=double)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", stop)
        cut.fit(C.X, C.Y, epochs=20, shuffle=False, verbose=0, callbacks=[backup])
    assert not [p for p in os.listdir(tmp_path / "b") if p.startswith(".")]
    backup = callbacks.BackupAndRestore(tmp_path / "b", double_checkpoint=double)
    history = rest.fit(C.X, C.Y, epochs=5, shuffle=False, verbose=0, callbacks=[backup])
    assert history.history["loss"] == expected[history.epoch[0] :]
    assert history.epoch[0] == ((at + 2) // 5 if double else at // 3)


class Counting(keras.Model):
    """Its weight is the number of epochs that it was trained; no optimizer counts them."""

    def build(self, shape: Any) -> None:
        self.count = self.add_weight((), "zeros")

    def call(self, x: Any) -> Any:
        return x + self.count

    def train_step(self, data: Any) -> Any:
        self.count.assign_add(1.0)
        return {"epochs": self.count}


def test_a_backup_knows_its_weights_also_where_optimizers_are_the_models_own(tmp_path: Any, monkeypatch: Any) -> None:
    def fit() -> Any:
        m = Counting()
        m.compile()
        m.build((4, 1))
        backup = callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
        return m.fit(np.ones((4, 1)), epochs=4, verbose=0, callbacks=[backup]).history["epochs"]

    replace, names = os.replace, []

    def full(source: Any, target: Any) -> None:
        names.append(os.path.basename(target))
        if names.count("latest.weights.h5") == 3:
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, "replace", full)
        fit()
    assert fit() == [3.0, 4.0]


def test_a_fit_that_went_on_from_a_backup_and_was_interrupted_says_nothing_to_the_next(tmp_path: Any) -> None:
    class Interrupt(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    m = C.mlp(keras)
    m.compile("sgd", C.SPARSE)
    for _ in range(2):  # the second goes on from the first
        with pytest.raises(KeyboardInterrupt):
            backup = callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
            m.fit(C.X, C.Y, epochs=3, verbose=0, callbacks=[backup, Interrupt()])
    assert m.fit(C.X, C.Y, epochs=1, verbose=0).epoch == [0]


def test_a_history_of_the_users_own_hears_of_batches(model: Any) -> None:
    heard = []

    class Own(callbacks.History):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            heard.append(batch)

    of_an_instance = callbacks.History()
    of_an_instance.on_train_batch_begin = lambda batch, logs=None: heard.append(-batch)  # type: ignore[method-assign]
    x, y = np.zeros((3, *model.input_shape[1:]), "float32"), np.zeros(3, "int32")
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[Own(), of_an_instance])
    assert heard == [0, 0, -1, 1, -2, 2]
