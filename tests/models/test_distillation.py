"""keras.distillation: the losses by their formulas, and students that learn from teachers."""

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops
from nacre.distillation import Distiller, FeatureDistillation, LogitsDistillation

rng = np.random.default_rng(5)
T, S = rng.standard_normal((2, 6, 3)).astype(np.float32)
X, Y = rng.standard_normal((40, 5)).astype(np.float32), rng.integers(0, 3, 40)


def network(name, units=4):
    return keras.Sequential([
        keras.Input((5,)), layers.Dense(units, "relu", name=f"{name}1"), layers.Dense(3, name=f"{name}2")
    ])  # fmt: skip


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def compiled(losses, **options):
    keras.utils.set_random_seed(2)
    distiller = Distiller(network("t"), network("s"), losses, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return distiller


def test_logits_are_divided_by_the_temperature():
    got = LogitsDistillation(2.0, "mse").compute_loss(ops.array(T), ops.array(S))
    np.testing.assert_allclose(got, ((T / 2 - S / 2) ** 2).mean(), rtol=1e-5)
    p, q = softmax(T / 2), softmax(S / 2)
    got = LogitsDistillation(2.0, keras.losses.KLDivergence()).compute_loss(ops.array(T), ops.array(S))
    np.testing.assert_allclose(got, 4 * (p * np.log(p / q)).sum(-1).mean(), rtol=1e-5)


def test_each_output_has_its_loss():
    pair = {"a": ops.array(T), "b": ops.array(T)}, {"a": ops.array(S), "b": ops.array(S)}
    got = FeatureDistillation({"a": "mae", "b": None}).compute_loss(*pair)
    np.testing.assert_allclose(got, np.abs(T - S).mean(), rtol=1e-5)
    got = FeatureDistillation({"a": "mae", "b": "mse"}).compute_loss(*pair)
    np.testing.assert_allclose(got, np.abs(T - S).mean() + ((T - S) ** 2).mean(), rtol=1e-5)


def test_total_loss_is_the_weighted_sum():
    losses = [LogitsDistillation(2.0, "mse"), FeatureDistillation("mae", "t1", "s1")]
    distiller = compiled(losses, distillation_loss_weights=[0.7, 0.2], student_loss_weight=0.4)
    teacher, student = distiller.teacher, distiller.student
    t, s = np.asarray(teacher(X)), np.asarray(student(X))
    hidden = [np.asarray(model.layers[0](X)) for model in (teacher, student)]
    supervised = -np.log(softmax(s)[np.arange(40), Y]).mean()
    taught = 0.7 * ((t - s) ** 2 / 4).mean() + 0.2 * np.abs(hidden[0] - hidden[1]).mean()
    got = distiller.evaluate(X, Y, batch_size=40, verbose=0, return_dict=True)
    expected = {"student_loss": supervised, "distillation_loss": taught, "total_loss": 0.4 * supervised + 0.6 * taught}
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, err_msg=name)


def test_only_the_student_learns():
    distiller = compiled(LogitsDistillation(3.0, keras.losses.KLDivergence()))
    before = [m.get_weights() for m in (distiller.teacher, distiller.student)]
    history = distiller.fit(X, Y, epochs=3, verbose=0, validation_data=(X, Y)).history
    assert history["total_loss"][-1] < history["total_loss"][0]
    assert {"accuracy", "student_loss", "val_distillation_loss"} <= set(history)
    assert all(np.array_equal(a, b) for a, b in zip(before[0], distiller.teacher.get_weights()))
    assert not any(np.array_equal(a, b) for a, b in zip(before[1], distiller.student.get_weights()))
    assert not distiller.teacher.trainable
    np.testing.assert_array_equal(distiller.predict(X, verbose=0), distiller.student.predict(X, verbose=0))


def test_a_student_needs_no_labels():
    distiller = compiled(LogitsDistillation(1.0, "mse"), student_loss_weight=0.5)
    distiller.compile(keras.optimizers.SGD(0.5), "mse", metrics=[])
    history = distiller.fit(X, epochs=20, verbose=0).history
    assert history["student_loss"] == [0.0] * 20
    assert history["distillation_loss"][-1] < 0.5 * history["distillation_loss"][0]


def test_saved_and_loaded(tmp_path):
    distiller = compiled(
        [LogitsDistillation(2.5, keras.losses.KLDivergence()), FeatureDistillation("mae", "t1", "s1")],
        distillation_loss_weights=[1.0, 0.5],
    )
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    assert loaded.distillation_losses[0].temperature == 2.5
    assert loaded.distillation_loss_weights == [1.0, 0.5]
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), distiller.predict(X, verbose=0))
    assert loaded.evaluate(X, Y, verbose=0) == distiller.evaluate(X, Y, verbose=0)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, name="dense")

    def call(self, x):
        return self.dense(x)


def test_subclassed_models_have_final_outputs_only():
    student = Subclassed()
    student(X)
    Distiller(network("t"), student, FeatureDistillation("mse"))
    with pytest.raises(ValueError, match=r"The student model.s. appear to be subclassed"):
        Distiller(network("t"), student, FeatureDistillation("mse", "t1", "dense"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LogitsDistillation(0), "temperature must be positive"),
        (lambda: LogitsDistillation("warm"), "temperature must be a number"),
        (lambda: LogitsDistillation(2.0, [None, None]), "At least one loss must be"),
        (lambda: FeatureDistillation(None), "at least one non-`None` value"),
        (lambda: LogitsDistillation(2.0).compute_loss(ops.array(T), [ops.array(S)]), "the same nested structure"),
        (lambda: Distiller("t", network("s"), LogitsDistillation()), "Teacher must be a keras.Model"),
        (lambda: Distiller(network("t"), network("s"), None), "cannot be `None`"),
        (lambda: Distiller(network("t"), network("s"), ["mse"]), "expected a DistillationLoss"),
        (lambda: Distiller(network("t"), network("s"), LogitsDistillation(), [1.0, 2.0]), "must match number of"),
        (lambda: Distiller(network("t"), network("s"), LogitsDistillation(), None, 1.5), "between 0.0 and 1.0"),
        (lambda: Distiller(network("t"), network("s"), FeatureDistillation("mse", "no")), "In teacher model: No such"),
        (lambda: Distiller(layers.Dense(3), network("s"), LogitsDistillation()), "Teacher must be a keras.Model"),
        (lambda: compiled(LogitsDistillation()).compile("sgd"), "'loss' cannot be `None`"),
    ],
)
def test_what_does_not_go_together(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_other_outputs_are_refused():
    wide = keras.Sequential([keras.Input((5,)), layers.Dense(4)])
    with pytest.raises(ValueError, match=r"output shapes are incompatible. Teacher: .None, 4., Student: .None, 3."):
        Distiller(wide, network("s"), LogitsDistillation())
