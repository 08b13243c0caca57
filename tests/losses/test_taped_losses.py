"""Losses in loops written by hand: one program after some calls, and nothing that tells it from the operations."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import nacre as keras
from losses import loss_cases as C
from nacre import losses, ops
from nacre.losses.loss import LossFunctionWrapper
from nacre.runtime import taped_call

CALLS = 5


@pytest.fixture(autouse=True)
def early(monkeypatch: Any) -> None:
    monkeypatch.setattr(taped_call, "PAYS", 3)


def planned(loss: Any) -> list[Any]:
    calls = loss._taped._calls.values() if loss._taped else ()
    return [call for call in calls if isinstance(call, taped_call._Call)]


def gradients(loss: Any, y_true: Any, y_pred: Any, weights: Any = None, both: bool = False) -> list[Any]:
    """The loss, and its gradients by the prediction, as it is made of something, and by the truth."""
    x = ops.convert_to_tensor(y_pred)
    t = ops.convert_to_tensor(y_true)
    with keras.GradientTape() as tape:
        tape.watch([x, t] if both else x)
        value = loss(t if both else y_true, x * 1.0, sample_weight=weights)
    return [value, *tape.gradient(value, [x, t] if both else [x])]


@pytest.mark.parametrize("weights", [None, C.WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", [*C.ALL, *C.OVER_ALL], ids=str)
def test_a_loss_that_comes_again_is_one_program_with_the_values_and_gradients_of_its_operations(
    case: Any, weights: Any
) -> None:
    loss = getattr(losses, case.cls)(**case.arguments)
    weights = None if case in C.OVER_ALL or "axis" in case.arguments else weights  # those give no number per sample
    found = [gradients(loss, case.y_true, case.y_pred, weights) for _ in range(CALLS)]
    assert planned(loss)
    for value, gradient in found[1:]:
        np.testing.assert_allclose(value, found[0][0], rtol=1e-6)
        np.testing.assert_allclose(gradient, found[0][1], rtol=1e-4, atol=1e-6)


def test_what_a_loss_is_told_later_and_other_settings_count() -> None:
    loss = losses.BinaryCrossentropy()
    y = np.zeros((6, 4), "float32")
    for _ in range(CALLS):
        gradients(loss, y, C.SHARES)
    per_sample = losses.BinaryCrossentropy(reduction="none")(y, C.SHARES)
    loss.reduction = "sum"
    for _ in range(CALLS):
        np.testing.assert_allclose(gradients(loss, y, C.SHARES)[0], np.sum(per_sample), rtol=1e-5)
    ones = np.ones((6, 4), "float32")
    before = [gradients(loss, y, ones)[0] for _ in range(CALLS)][-1]
    epsilon = keras.config.epsilon()
    try:
        keras.config.set_epsilon(1e-3)
        found = [gradients(loss, y, ones)[0] for _ in range(CALLS)]
    finally:
        keras.config.set_epsilon(epsilon)
    assert found[0] < 0.6 * before
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


def test_gradients_reach_what_the_truth_is_made_of_as_where_one_model_teaches_another() -> None:
    loss = losses.KLDivergence()
    found = [gradients(loss, C.PROBABILITIES, C.SHARES, both=True) for _ in range(CALLS)]
    assert planned(loss)
    for one in found[1:]:
        for got, expected in zip(one, found[0], strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_losses_of_users_run_as_they_are_written() -> None:
    calls = []

    class Own(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            calls.append(1)
            return ops.mean(ops.square(y_true - y_pred), axis=-1)

    def function(y_true: Any, y_pred: Any) -> Any:
        calls.append(1)
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    for loss in (Own(), LossFunctionWrapper(function)):
        for _ in range(CALLS):
            gradients(loss, C.NUMBERS, C.LOGITS)
    assert len(calls) == 2 * CALLS


def test_a_mask_is_heeded_however_often_the_loss_comes() -> None:
    loss = losses.MeanSquaredError()
    y = np.zeros((2, 3, 1), "float32")
    for _ in range(CALLS):
        gradients(loss, y, y + 1)
    x = ops.convert_to_tensor(np.array([[[1.0], [2.0], [0.0]], [[3.0], [0.0], [0.0]]], "float32"))
    masked = keras.layers.Masking()
    for _ in range(CALLS):
        with keras.GradientTape() as tape:
            tape.watch(x)
            value = loss(y, masked(x))
        np.testing.assert_allclose(value, 14 / 3, rtol=1e-6)
        np.testing.assert_allclose(tape.gradient(value, x)[0, :2, 0], [2 / 3, 4 / 3], rtol=1e-6)


def test_persistent_and_nested_tapes_see_the_operations() -> None:
    loss = losses.MeanSquaredError()
    for _ in range(CALLS):
        gradients(loss, C.NUMBERS, C.LOGITS)
    x = ops.convert_to_tensor(C.LOGITS)
    with keras.GradientTape() as outer:
        outer.watch(x)
        with keras.GradientTape() as tape:
            tape.watch(x)
            value = loss(C.NUMBERS, x)
        gradient = tape.gradient(value, x)
    np.testing.assert_allclose(outer.gradient(gradient, x), np.full((6, 4), 2 / 24, "float32"), rtol=1e-6)


def test_copies_and_pickles_of_a_loss_begin_anew() -> None:
    loss = losses.Huber(delta=0.3)
    for _ in range(CALLS):
        expected = gradients(loss, C.NUMBERS, C.LOGITS)[0]
    for other in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other._taped is None and other.get_config() == loss.get_config()
        np.testing.assert_allclose(gradients(other, C.NUMBERS, C.LOGITS)[0], expected, rtol=1e-6)


def test_labels_that_do_not_fit_are_told_however_often_the_loss_came() -> None:
    loss = losses.SparseCategoricalCrossentropy()
    for _ in range(CALLS):
        gradients(loss, C.CLASSES, C.PROBABILITIES)
    for _ in range(CALLS):
        with pytest.raises(ValueError, match=r"\(5,\)"):
            gradients(loss, C.CLASSES[:5], C.PROBABILITIES)
