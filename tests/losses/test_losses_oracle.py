"""Every loss against real Keras: same value for every reduction, same configuration."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from losses import loss_cases
from nacre import GradientTape, Variable, losses

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
EVERY = [*loss_cases.ALL, *loss_cases.OVER_ALL]


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_value_agrees(case: Any) -> None:
    for options in ({}, {"reduction": "sum"}):
        ours, theirs = (getattr(m, case.cls)(**case.arguments, **options) for m in (losses, keras.losses))
        got, expected = ours(case.y_true, case.y_pred), np.asarray(theirs(case.y_true, case.y_pred))
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_gradient_agrees(case: Any) -> None:
    jax = pytest.importorskip("jax", reason="gradients of Keras are JAX's")
    ours, theirs = (getattr(m, case.cls)(**case.arguments, reduction="sum") for m in (losses, keras.losses))
    x = Variable(loss_cases.inside(case.y_pred))
    with GradientTape() as tape:
        value = ours(case.y_true, x.value)
    expected = np.asarray(jax.grad(lambda x: theirs(case.y_true, x))(x.numpy()))
    np.testing.assert_allclose(tape.gradient(value, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", loss_cases.ALL, ids=str)
def test_weighted_value_agrees(case: Any) -> None:
    if case.arguments.get("axis") == 0:
        return  # its losses are not one per sample
    for reduction in ("sum_over_batch_size", "mean_with_sample_weight", "none"):
        ours, theirs = (getattr(m, case.cls)(**case.arguments, reduction=reduction) for m in (losses, keras.losses))
        got = ours(case.y_true, case.y_pred, sample_weight=loss_cases.WEIGHTS)
        expected = np.asarray(theirs(case.y_true, case.y_pred, sample_weight=loss_cases.WEIGHTS))
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_configuration_agrees_and_is_read_by_the_other(case: Any) -> None:
    ours, theirs = (getattr(m, case.cls)(**case.arguments) for m in (losses, keras.losses))
    mine = losses.serialize(ours)
    if case.cls not in ("Huber", "CosineSimilarity"):  # Keras forgets delta and axis
        assert mine == keras.losses.serialize(theirs)
    if case.cls != "CategoricalGeneralizedCrossEntropy":  # which Keras itself cannot read
        assert type(keras.losses.deserialize(mine)).__name__ == case.cls
    assert type(losses.deserialize(keras.losses.serialize(theirs))) is type(ours)
