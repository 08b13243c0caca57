"""Losses: values in float64 NumPy, reductions, weights, masks, names and configurations."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import nacre as keras
from losses import loss_cases
from nacre import losses, ops
from nacre.runtime.compiled import CompiledFunction

REFERENCED = [case for case in loss_cases.ALL if case.reference is not None]
# Differences of a handful of roundings, more where logarithms meet probabilities near 1.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}


def make(case: Any, **options: Any) -> Any:
    return getattr(losses, case.cls)(**case.arguments, **options)


@pytest.mark.parametrize("case", REFERENCED, ids=str)
def test_loss_per_sample_is_that_of_numpy(case: Any) -> None:
    expected = case.reference(case.y_true.astype("float64"), case.y_pred.astype("float64"))
    np.testing.assert_allclose(make(case, reduction="none")(case.y_true, case.y_pred), expected, **TOLERANCE)


@pytest.mark.parametrize("case", REFERENCED, ids=str)
def test_weights_multiply_and_the_mean_divides_by_the_number_of_samples(case: Any) -> None:
    per_sample = np.asarray(make(case, reduction="none")(case.y_true, case.y_pred)).astype("float64")
    weighted = per_sample * loss_cases.WEIGHTS
    for reduction, expected in (
        ("sum", weighted.sum()),
        ("sum_over_batch_size", weighted.sum() / 6),
        ("mean", weighted.sum() / 6),
        ("mean_with_sample_weight", weighted.sum() / loss_cases.WEIGHTS.sum()),
        ("none", weighted),
    ):
        got = make(case, reduction=reduction)(case.y_true, case.y_pred, sample_weight=loss_cases.WEIGHTS)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [*loss_cases.ALL, *loss_cases.OVER_ALL], ids=str)
def test_compiled_loss_has_the_bits_of_the_eager_one(case: Any) -> None:
    loss = make(case)
    eager = loss(case.y_true, case.y_pred).numpy()
    compiled = CompiledFunction(lambda t, p: loss(t, p))(case.y_true, case.y_pred).numpy()
    np.testing.assert_allclose(compiled, eager, rtol=1e-6)


@pytest.mark.parametrize("case", [*loss_cases.ALL, *loss_cases.OVER_ALL], ids=str)
def test_configuration_makes_an_equal_loss(case: Any) -> None:
    loss = make(case, reduction="sum", name="mine")
    config = json.loads(json.dumps(losses.serialize(loss)))
    assert config["module"] == "keras.losses"
    again = losses.deserialize(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    np.testing.assert_array_equal(again(case.y_true, case.y_pred), loss(case.y_true, case.y_pred))


@pytest.mark.parametrize("case", [*loss_cases.ALL, *loss_cases.OVER_ALL], ids=str)
def test_gradient_is_the_slope_of_the_value(case: Any) -> None:
    loss = make(case, dtype="float64")
    x = keras.Variable(loss_cases.inside(case.y_pred), dtype="float64")
    way = np.random.default_rng(1).standard_normal(x.shape)
    with keras.GradientTape() as tape:
        value = loss(case.y_true, ops.convert_to_tensor(x))
    step = 1e-6
    above, below = (float(loss(case.y_true, x.numpy() + s * step * way)) for s in (1, -1))
    # The error of a central difference: its third derivative times step^2, and a rounding over the step.
    np.testing.assert_allclose((tape.gradient(value, x).numpy() * way).sum(), (above - below) / (2 * step), rtol=1e-6)


def test_losses_over_time_divide_by_batch_and_time() -> None:
    y = np.zeros((2, 3, 1), "float32")
    assert float(losses.MeanSquaredError()(y, y + 2.0)) == 4.0
    assert float(losses.MeanSquaredError(reduction="sum")(y, y + 2.0)) == 24.0


def test_weights_of_samples_reach_every_step_of_time() -> None:
    y = np.zeros((2, 3, 1), "float32")
    found = losses.MeanSquaredError(reduction="none")(y, y + 1.0, sample_weight=np.array([1.0, 0.0]))
    assert found.numpy().tolist() == [[1, 1, 1], [0, 0, 0]]


def test_masked_entries_do_not_count_in_the_mean() -> None:
    y_pred = ops.convert_to_tensor([[1.0], [3.0]])
    y_pred._keras_mask = ops.convert_to_tensor([True, False])
    assert float(losses.MeanSquaredError()([[0.0], [0.0]], y_pred)) == pytest.approx(1.0)
    assert float(losses.MeanSquaredError(reduction="sum")([[0.0], [0.0]], y_pred)) == 1.0


def test_ignored_class_does_not_count_in_the_mean() -> None:
    p = np.array([[0.5, 0.5], [0.1, 0.9]], "float32")
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert float(loss([0, -1], p)) == pytest.approx(-np.log(0.5), rel=1e-6)


def test_a_last_axis_of_one_comes_and_goes() -> None:
    y = np.array([1.0, 2.0], "float32")
    assert float(losses.MeanSquaredError()(y, y[:, None] + 1.0)) == 1.0
    assert float(losses.MeanSquaredError()(y[:, None], y + 1.0)) == 1.0


def test_integer_and_float64_labels_are_taken_as_they_come() -> None:
    p = loss_cases.PROBABILITIES
    expected = float(losses.SparseCategoricalCrossentropy()(loss_cases.CLASSES, p))
    for dtype in ("uint8", "int32", "int64", "float64"):
        assert float(losses.SparseCategoricalCrossentropy()(loss_cases.CLASSES.astype(dtype), p)) == expected
    assert float(losses.SparseCategoricalCrossentropy()(loss_cases.CLASSES[:, None], p)) == expected


def test_gradient_of_softmax_crossentropy_is_the_difference_of_probabilities() -> None:
    x = keras.Variable(loss_cases.LOGITS)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    with keras.GradientTape() as tape:
        value = loss(loss_cases.CLASSES, ops.convert_to_tensor(x))
    e = np.exp(loss_cases.LOGITS.astype("float64"))
    expected = e / e.sum(-1, keepdims=True) - loss_cases.ONE_HOT
    np.testing.assert_allclose(tape.gradient(value, x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("mse", "mean_squared_error"),
        ("MAE", "mean_absolute_error"),
        ("bce", "binary_crossentropy"),
        ("kld", "kl_divergence"),
        ("huber", "huber"),
        ("sparse_categorical_crossentropy", "sparse_categorical_crossentropy"),
    ],
)
def test_get_knows_the_usual_spellings(spelling: str, name: str) -> None:
    assert losses.get(spelling).__name__ == name


def test_get_takes_classes_names_of_classes_configs_and_functions() -> None:
    assert isinstance(losses.get("MeanSquaredError"), losses.MeanSquaredError)
    assert isinstance(losses.get({"class_name": "Huber", "config": {"delta": 2.0}}), losses.Huber)
    assert losses.get(losses.mean_squared_error) is losses.mean_squared_error
    assert losses.get(None) is None
    with pytest.raises(ValueError, match=r"mean_squared_eror.*'mean_squared_error'"):
        losses.get("mean_squared_eror")


def test_own_loss_gets_floats_and_a_numbered_name() -> None:
    class Mine(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            assert y_true.dtype == y_pred.dtype == "float32"
            return ops.mean(ops.abs(y_true - y_pred), axis=-1)

    assert float(Mine()(np.array([[1]]), np.array([[3.0]]))) == 2.0
    assert Mine(name="x").name == "x"


@pytest.mark.parametrize(
    ("make_it", "text"),
    [
        (lambda: losses.MeanSquaredError(reduction="avg"), "`reduction`.*'avg'"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=2.0), "label_smoothing=2.0"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(q=1.5), "q must be"),
        (lambda: losses.categorical_crossentropy([[1.0]], [[0.5]], axis="x"), "axis"),
    ],
)
def test_wrong_arguments_are_named(make_it: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make_it()


def test_one_class_of_categorical_crossentropy_is_a_warning() -> None:
    with pytest.warns(SyntaxWarning, match="binary_crossentropy"):
        losses.categorical_crossentropy([[1.0]], [[0.5]])


def test_ctc_counts_alignments() -> None:
    # With equal logits each of the 3^4 paths is as likely; 7 of them read "1 2 1".
    logits = np.zeros((2, 4, 3), np.float32)
    loss = losses.CTC(reduction=None)([[1, 2, 1, 0], [1, 2, 1, 0]], logits)
    np.testing.assert_allclose(np.asarray(loss), -np.log(7 / 81), rtol=1e-5)


def test_ctc_pads_labels_with_zeros():
    logits = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    loss = keras.losses.CTC(reduction=None)(np.array([[1, 2, 0], [3, 3, 1]]), logits)
    expected = ops.ctc_loss(np.array([[1, 2, 0], [3, 3, 1]]), logits, np.array([2, 3]), np.array([6, 6]))
    np.testing.assert_array_equal(loss.numpy(), expected.numpy())
    with pytest.raises(ValueError, match=r"`\(batch_size, max_length, num_classes\)`"):
        keras.losses.ctc(np.ones((2, 3)), logits[0])
