"""Optimizers around optimizers, and those whose step is more than a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import optimizers
from nacre.core.naming import name_scope


def variable(values: Any, scope: str = "") -> Any:
    with name_scope(scope):
        return keras.Variable(np.asarray(values, np.float32), name="kernel")


def small_model(optimizer: Any) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(1, name="b")])
    model.compile(optimizer, "mse")
    return model


X = np.linspace(-1, 1, 48, dtype=np.float32).reshape(16, 3)
Y = X[:, :1] * 2


# --- several optimizers -------------------------------------------------------------------------------------------


def test_each_variable_goes_to_the_optimizer_of_its_path() -> None:
    one, two = variable([2.0], "one"), variable([3.0], "two")
    choice = optimizers.OptimizerMap(optimizers.SGD(1.0), {"one/.*": optimizers.SGD(0.1)})
    multi = optimizers.MultiOptimizer(choice)
    multi.apply([[1.0], [1.0]], [one, two])
    assert one.numpy() == pytest.approx([1.9]) and two.numpy() == pytest.approx([2.0])
    assert [int(o.iterations) for o in (multi, *multi.optimizers)] == [1, 1, 1]
    with pytest.raises(AttributeError, match="sub-optimizers"):
        multi.learning_rate  # noqa: B018


def test_a_path_that_two_patterns_match_is_an_error() -> None:
    choice = optimizers.OptimizerMap(optimizers.SGD(), {"one/.*": optimizers.Adam(), ".*/kernel": optimizers.SGD()})
    with pytest.raises(ValueError, match="Multiple optimizers"):
        choice["one/kernel"]
    with pytest.raises(ValueError, match="already exists"):
        choice["one/.*"] = optimizers.SGD()
    with pytest.raises(ValueError, match="MultiOptimizer"):
        choice["x"] = optimizers.MultiOptimizer(choice)


def test_fit_with_two_optimizers_is_each_alone() -> None:
    def weights(optimizer: Any) -> Any:
        keras.utils.set_random_seed(3)
        model = small_model(optimizer)
        model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    same = weights(
        optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.SGD(0.1), {"(.*/)?a/.*": optimizers.SGD(0.1)}))
    )
    for mine, alone in zip(same, weights(optimizers.SGD(0.1)), strict=True):
        np.testing.assert_allclose(mine, alone, rtol=1e-6)


def test_several_optimizers_come_back_from_a_file(tmp_path: Any) -> None:
    model = small_model(
        optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.Adam(), {"(.*/)?a/.*": optimizers.SGD(0.1)}))
    )
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert [type(o).__name__ for o in again.optimizer.optimizers] == ["SGD", "Adam"]
    for mine, theirs in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


# --- a loss scale -------------------------------------------------------------------------------------------------


def test_a_step_that_is_not_finite_is_skipped_and_halves_the_scale() -> None:
    v = variable([1.0, 2.0])
    scaled = optimizers.LossScaleOptimizer(optimizers.SGD(1.0), initial_scale=8.0, dynamic_growth_steps=2)
    assert float(scaled.scale_loss(keras.ops.convert_to_tensor(2.0))) == 16.0
    scaled.apply([[np.inf, 0.0]], [v])
    assert v.numpy().tolist() == [1.0, 2.0] and float(scaled.dynamic_scale) == 4.0 and int(scaled.iterations) == 0
    scaled.apply([[4.0, 0.0]], [v])
    assert v.numpy().tolist() == [0.0, 2.0] and float(scaled.dynamic_scale) == 4.0
    scaled.apply([[0.0, 4.0]], [v])
    assert v.numpy().tolist() == [0.0, 1.0] and float(scaled.dynamic_scale) == 8.0 and int(scaled.step_counter) == 0


def test_a_double_that_no_float32_holds_is_finite() -> None:
    v = keras.Variable(np.zeros(2), dtype="float64")
    scaled = optimizers.LossScaleOptimizer(optimizers.SGD(1.0), initial_scale=1.0)
    scaled.apply([keras.ops.convert_to_tensor(np.array([1e300, 0.0]))], [v])
    assert v.numpy().tolist() == [-1e300, 0.0] and int(scaled.iterations) == 1


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_fit_with_a_loss_scale_is_fit_without(run_eagerly: bool) -> None:
    def weights(optimizer: Any) -> Any:
        keras.utils.set_random_seed(3)
        model = small_model(optimizer)
        model.run_eagerly = run_eagerly
        model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    plain = weights(optimizers.SGD(0.1))
    for mine, alone in zip(weights(optimizers.LossScaleOptimizer(optimizers.SGD(0.1))), plain, strict=True):
        np.testing.assert_array_equal(mine, alone)  # a power of two changes no bit


def test_arguments_of_the_inner_optimizer_are_refused() -> None:
    with pytest.raises(ValueError, match="does not support `clipnorm`"):
        optimizers.LossScaleOptimizer(optimizers.SGD(), clipnorm=1.0)
    again = optimizers.deserialize(optimizers.serialize(optimizers.LossScaleOptimizer(optimizers.Adam(0.5), 4.0)))
    assert type(again.inner_optimizer) is optimizers.Adam and again.initial_scale == 4.0


# --- Muon, schedule-free ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)])
def test_muon_steps_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    g = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    w = variable(np.zeros(shape))
    optimizers.Muon(learning_rate=1.0, weight_decay=None, rms_rate=None, nesterov=False, momentum=0.0).apply([g], [w])
    singular = np.linalg.svd(w.numpy(), compute_uv=False)
    assert singular.min() > 0.3 and singular.max() < 1.3
    assert np.sum(w.numpy() * g) < 0  # downhill


def test_muon_leaves_vectors_and_embeddings_to_adam() -> None:
    start = np.ones((3, 4), np.float32)
    g = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    by_muon, by_adam = variable(start, "embedding"), variable(start)
    optimizers.Muon(0.1, adam_weight_decay=None, weight_decay=None).apply([g], [by_muon])
    optimizers.Adam(0.1).apply([g], [by_adam])
    np.testing.assert_allclose(by_muon.numpy(), by_adam.numpy(), rtol=1e-6)


@pytest.mark.parametrize("ns_steps", [0, 101, 2**40])
def test_muon_takes_a_few_steps(ns_steps: int) -> None:
    with pytest.raises(ValueError, match=f"ns_steps from 1 to 100.*got {ns_steps}"):
        optimizers.Muon(ns_steps=ns_steps)


def test_schedule_free_is_its_formula() -> None:
    rng = np.random.default_rng(2)
    w = variable(rng.normal(size=5))
    rate, b1, b2, eps = 0.1, 0.9, 0.99, 1e-8
    optimizer = optimizers.ScheduleFreeAdamW(rate, b1, b2, eps, warmup_steps=2)
    y = z = x = w.numpy().astype(np.float64)
    v = np.zeros(5)
    for t in range(1, 5):
        g = rng.normal(size=5).astype(np.float32)
        optimizer.apply([g], [w])
        v = b2 * v + (1 - b2) * g.astype(np.float64) ** 2
        z = z - rate * min(t / 2, 1.0) * g / (np.sqrt(v / (1 - b2**t)) + eps)
        x = (1 - 1 / t) * x + z / t
        y = (1 - b1) * z + b1 * x
        np.testing.assert_allclose(w.numpy(), y, rtol=2e-5, atol=1e-6)


# --- without changing anything ------------------------------------------------------------------------------------


def test_stateless_apply_gives_what_apply_would_do() -> None:
    v, twin = variable([1.0, 2.0]), variable([1.0, 2.0])
    optimizer, other = optimizers.Adam(0.1), optimizers.Adam(0.1)
    optimizer.build([v])
    state = [s.value for s in optimizer.variables]
    values, state = optimizer.stateless_apply(state, [[1.0, -1.0]], [v.value])
    other.apply([[1.0, -1.0]], [twin])
    assert v.numpy().tolist() == [1.0, 2.0] and int(optimizer.iterations) == 0
    np.testing.assert_array_equal(np.asarray(values[0]), twin.numpy())
    for mine, theirs in zip(state, other.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), theirs.numpy())
    with pytest.raises(ValueError, match="1:1"):
        optimizer.stateless_apply(state[:-1], [[1.0, -1.0]], [v.value])
