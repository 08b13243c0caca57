"""Regularizers and constraints against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nacre import GradientTape, Variable, constraints, layers, ops, regularizers

W = np.array([[1.0, -2.0, 0.5], [-3.0, 4.0, 0.0]], "float32")


@pytest.mark.parametrize(
    ("regularizer", "expected"),
    [
        (regularizers.L1(0.1), 1.05),
        (regularizers.L2(0.1), 3.025),
        (regularizers.L1L2(0.1, 0.1), 4.075),
        (regularizers.L1L2(), 0.0),
    ],
)
def test_penalties(regularizer: Any, expected: float) -> None:
    assert float(regularizer(W)) == pytest.approx(expected)


def test_orthogonal_rows_cost_nothing_and_parallel_ones_the_factor() -> None:
    assert float(regularizers.OrthogonalRegularizer(0.5)(np.eye(3, dtype="float32"))) == pytest.approx(0.0)
    assert float(regularizers.OrthogonalRegularizer(0.5)(np.ones((2, 3), "float32"))) == pytest.approx(0.5)
    assert float(regularizers.OrthogonalRegularizer(0.5, "columns")(np.ones((2, 3), "float32"))) == pytest.approx(0.5)


def test_a_penalty_has_the_gradient_of_its_formula() -> None:
    v = Variable(W)
    with GradientTape() as tape:
        loss = regularizers.L1L2(0.1, 0.2)(v)
    np.testing.assert_allclose(tape.gradient(loss, v), 0.1 * np.sign(W) + 0.4 * W, rtol=1e-6)


@pytest.mark.parametrize("name", ["l1", "L1", "l2", "l1_l2", "L1L2", "orthogonal_regularizer"])
def test_regularizers_travel(name: str) -> None:
    one = regularizers.get(name)
    again = regularizers.deserialize(regularizers.serialize(one))
    assert type(again) is type(one) and again.get_config() == one.get_config()


def test_bad_regularizers_are_refused() -> None:
    for value in (float("nan"), float("inf"), "a", True):
        with pytest.raises(ValueError, match="Invalid value for argument l1"):
            regularizers.L1(value)
    with pytest.raises(ValueError, match="must have rank 2"):
        regularizers.OrthogonalRegularizer()(np.ones(3))


def test_max_norm_shortens_only_what_is_too_long() -> None:
    w = np.array([[0.3, 3.0], [0.4, 4.0]], "float32")
    np.testing.assert_allclose(constraints.MaxNorm(2)(w), [[0.3, 1.2], [0.4, 1.6]], rtol=1e-5)


def test_other_constraints() -> None:
    np.testing.assert_array_equal(constraints.NonNeg()(W), np.maximum(W, 0))
    assert constraints.NonNeg()(np.int32([-2, 3])).dtype == "int32"
    np.testing.assert_allclose(np.linalg.norm(constraints.UnitNorm(axis=1)(W), axis=1), [1, 1], rtol=1e-5)
    norms = np.linalg.norm(constraints.MinMaxNorm(2.0, 3.0, axis=1)(W), axis=1)
    np.testing.assert_allclose(norms, np.clip(np.linalg.norm(W, axis=1), 2, 3), rtol=1e-5)


@pytest.mark.parametrize("name", ["max_norm", "non_neg", "unit_norm", "min_max_norm"])
def test_constraints_travel(name: str) -> None:
    one = constraints.get(name)
    again = constraints.deserialize(constraints.serialize(one))
    assert type(again) is type(one) and again.get_config() == one.get_config()


def test_a_weight_carries_them() -> None:
    layer = layers.Dense(2, kernel_regularizer="l2", kernel_constraint="non_neg")
    layer(ops.ones((1, 2)))
    assert isinstance(layer.kernel.regularizer, regularizers.L2)
    assert isinstance(layer.kernel.constraint, constraints.NonNeg)
    assert layer.bias.regularizer is None
