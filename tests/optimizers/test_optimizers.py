"""Optimizers: formulas, compiled updates, state, configurations, wrong arguments."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import optimizers
from nacre.runtime.compiled import CompiledFunction
from optimizers import optimizer_cases

C = optimizer_cases
ONES = np.ones(2, "float32")


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_compiled_updates_equal_eager_ones(case: Any) -> None:
    eager = C.trajectory(keras, C.make(optimizers, case))[:-2]
    optimizer = C.make(optimizers, case)
    variables = [keras.Variable(w) for w in C.FIRST]
    optimizer.build(variables)
    step = CompiledFunction(lambda *gradients: optimizer.apply(list(gradients), variables))
    compiled = []
    for gradients in C.GRADIENTS:
        step(*gradients)
        compiled += [v.numpy() for v in variables]
    for a, b in zip(compiled, eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_configuration_and_state_continue_the_trajectory(case: Any) -> None:
    one = C.make(optimizers, case)
    variables = [keras.Variable(w) for w in C.FIRST]
    for gradients in C.GRADIENTS[:3]:
        one.apply(gradients, variables)
    other = optimizers.deserialize(json.loads(json.dumps(optimizers.serialize(one))))
    copies = [keras.Variable(v.numpy()) for v in variables]
    other.build(copies)
    store: dict[str, Any] = {}
    one.save_own_variables(store)
    other.load_own_variables(store)
    for gradients in C.GRADIENTS[3:6]:
        one.apply(gradients, variables)
        other.apply(gradients, copies)
    for a, b in zip(variables, copies, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_momentum_is_that_of_keras() -> None:
    for nesterov in (False, True):
        w, m = 1.0, 0.0
        v = keras.Variable([w])
        optimizer = optimizers.SGD(0.1, momentum=0.9, nesterov=nesterov)
        for g in (1.0, -2.0, 0.5):
            optimizer.apply([np.array([g], "float32")], [v])
            m = 0.9 * m - 0.1 * g
            w += 0.9 * m - 0.1 * g if nesterov else m
        assert float(v[0]) == pytest.approx(w, rel=1e-6)
    assert len(optimizers.SGD(0.1)._variables) == 2


def test_adam_is_that_of_the_paper() -> None:
    v = keras.Variable(np.array([1.0, -1.0], "float32"))
    optimizer = optimizers.Adam(0.01)
    w, m, s = np.array([1.0, -1.0]), np.zeros(2), np.zeros(2)
    for t in range(1, 6):
        g = np.array([0.3 * t, -0.1])
        optimizer.apply([g.astype("float32")], [v])
        m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
        w -= 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(s) + 1e-7)
    np.testing.assert_allclose(v.numpy(), w, rtol=1e-5)


@pytest.mark.parametrize("name", C.SCHEDULES)
def test_schedules_go_through_their_configuration(name: str) -> None:
    cls, arguments = C.SCHEDULES[name]
    schedule = getattr(optimizers.schedules, cls)(**arguments)
    again = optimizers.schedules.deserialize(optimizers.schedules.serialize(schedule))
    assert [float(schedule(i)) for i in range(20)] == [float(again(i)) for i in range(20)]


def test_learning_rate_is_a_variable_that_can_be_assigned() -> None:
    optimizer = optimizers.SGD(0.5)
    v = keras.Variable(ONES)
    step = CompiledFunction(lambda g: optimizer.apply([g], [v]))
    optimizer.build([v])
    step(ONES)
    optimizer.learning_rate = 0.25
    step(ONES)
    assert v.numpy().tolist() == [0.25, 0.25]
    assert float(optimizer.learning_rate.numpy()) == 0.25
    assert optimizer.get_config()["learning_rate"] == 0.25


def test_schedule_is_evaluated_before_the_count_and_cannot_be_assigned() -> None:
    optimizer = optimizers.SGD(optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 10.0]))
    v = keras.Variable(ONES)
    optimizer.apply([ONES], [v])
    assert v.numpy().tolist() == [0.0, 0.0]
    with pytest.raises(TypeError, match="not settable"):
        optimizer.learning_rate = 0.1


def test_learning_rate_may_be_a_function_of_the_iteration_or_of_nothing() -> None:
    for rate in (lambda: 0.5, lambda step: 0.5 + 0.0 * keras.ops.cast(step, "float32")):
        v = keras.Variable(ONES)
        optimizers.SGD(rate).apply([ONES], [v])
        assert v.numpy().tolist() == [0.5, 0.5]


def test_excluded_variables_do_not_decay() -> None:
    kernel, bias = keras.Variable(ONES, name="kernel"), keras.Variable(ONES, name="bias")
    optimizer = optimizers.SGD(0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply([0 * ONES, 0 * ONES], [kernel, bias])
    np.testing.assert_allclose(kernel.numpy(), 0.99 * ONES, rtol=1e-6)
    np.testing.assert_array_equal(bias.numpy(), ONES)


def test_constraints_hold_after_the_update() -> None:
    v = keras.Variable(ONES)
    v.constraint = keras.constraints.get("non_neg")
    optimizers.SGD(10.0).apply([ONES], [v])
    assert v.numpy().tolist() == [0.0, 0.0]


def test_missing_gradients_are_a_warning_and_none_at_all_an_error() -> None:
    a, b = keras.Variable(ONES, name="a"), keras.Variable(ONES, name="b")
    optimizer = optimizers.SGD(1.0)
    with pytest.warns(UserWarning, match=r"\['b'\]"):
        optimizer.apply([ONES, None], [a, b])
    assert a.numpy().tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="No gradients"):
        optimizer.apply([None, None], [a, b])


def test_unknown_variables_and_wrong_shapes_change_nothing() -> None:
    v = keras.Variable(ONES)
    optimizer = optimizers.Adam()
    optimizer.build([v])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([ONES], [keras.Variable(ONES)])
    with pytest.raises(ValueError, match=r"shape \(2,\), got shape \(3,\)"):
        optimizer.apply([np.ones(3, "float32")], [v])
    assert v.numpy().tolist() == [1.0, 1.0]
    assert int(optimizer.iterations) == 0


@pytest.mark.parametrize(
    ("make_it", "text"),
    [
        (lambda: optimizers.SGD("x"), "learning_rate='x'"),
        (lambda: optimizers.SGD(momentum=1), "momentum=1"),
        (lambda: optimizers.SGD(momentum=2.0), "momentum=2.0"),
        (lambda: optimizers.SGD(clipnorm=-1.0), "clipnorm=-1.0"),
        (lambda: optimizers.SGD(clipvalue="x"), "clipvalue=x"),
        (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), "Only one of"),
        (lambda: optimizers.SGD(use_ema=True, ema_momentum=2), "ema_momentum=2"),
        (lambda: optimizers.SGD(gradient_accumulation_steps=1), "gradient_accumulation_steps=1"),
        (lambda: optimizers.SGD(foo=1), "foo"),
        (lambda: optimizers.AdamW(weight_decay=None), "weight_decay"),
        (lambda: optimizers.Ftrl(learning_rate_power=1.0), "learning_rate_power"),
        (lambda: optimizers.get("addam"), "Did you mean"),
        (lambda: optimizers.get(3), "3"),
        (lambda: optimizers.schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps"),
        (lambda: optimizers.schedules.PiecewiseConstantDecay([1], [1.0]), "length"),
    ],
)
def test_wrong_arguments_are_named(make_it: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make_it()


def test_only_variables_are_trained() -> None:
    with pytest.raises(TypeError, match="SGD: expected Variables to train, got ndarray"):
        optimizers.SGD().apply([np.ones(3, "float32")], [np.ones(3, "float32")])


def test_old_arguments_are_understood() -> None:
    with pytest.warns(UserWarning, match="learning_rate"):
        assert float(optimizers.SGD(lr=0.5).learning_rate) == 0.5
    with pytest.warns(UserWarning, match="decay"):
        optimizers.SGD(decay=0.1)


@pytest.mark.parametrize("name", ["sgd", "SGD", "adam", "adamw", "AdamW", "rmsprop", "RMSprop", "adagrad", "nadam"])
def test_get_knows_names_in_any_case(name: str) -> None:
    assert type(optimizers.get(name)).__name__.lower() == name.lower()
    config = optimizers.serialize(optimizers.get(name))
    assert type(optimizers.deserialize({**config, "class_name": name})).__name__ == config["class_name"]


def test_state_of_another_optimizer_is_left_alone_with_a_warning() -> None:
    optimizer = optimizers.Adam()
    optimizer.build([keras.Variable(ONES)])
    with pytest.warns(UserWarning, match="4 variables.*1 variables"):
        optimizer.load_own_variables({"0": np.array(3)})
    assert int(optimizer.iterations) == 0
