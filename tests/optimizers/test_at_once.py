"""The eager step of an optimizer as one program: nobody can tell it from the operations one by one."""

import copy
import pickle

import numpy as np
import pytest

import nacre as keras
from nacre.optimizers import at_once
from optimizers.optimizer_cases import ALL, FIRST, GRADIENTS, make, trajectory

EPS = np.finfo(np.float32).eps


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(at_once, "PAYS", 3)


def eagerly(optimizer):
    """The same optimizer as a class of the user's, which runs operation by operation."""
    optimizer.__class__ = type("Mine", (type(optimizer),), {"__module__": __name__})
    return optimizer


def steps(optimizer, between=lambda optimizer, i: optimizer, count=8):
    variables = [keras.Variable(v) for v in FIRST]
    for i in range(count):
        optimizer = between(optimizer, i)
        optimizer.apply_gradients(zip([keras.ops.convert_to_tensor(g) for g in GRADIENTS[i]], variables))
    return [v.numpy() for v in variables] + [np.asarray(v) for v in optimizer.variables]


def same(mine, alone):
    for a, b in zip(mine, alone, strict=True):
        np.testing.assert_allclose(a, b, rtol=8 * EPS, atol=8 * EPS)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_program_takes_the_steps_of_single_operations(case):
    optimizer, alone = make(keras.optimizers, case), eagerly(make(keras.optimizers, case))
    same(trajectory(keras, optimizer), trajectory(keras, alone))
    assert any(optimizer._at_once._functions.values()) is not bool(optimizer.gradient_accumulation_steps)
    assert not any(alone._at_once._functions.values())


def halve(optimizer, i):
    optimizer.learning_rate = 0.5 ** (i + 1)
    return optimizer


def clip_later(optimizer, i):
    optimizer.clipvalue = 0.1 if i > 4 else None
    return optimizer


def keep_weights_later(optimizer, i):
    optimizer.exclude_from_weight_decay(var_names=[".*"] if i > 4 else [])
    return optimizer


def other_rate(optimizer, i):
    optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(0.1 * (i + 1), 2, 0.5)
    return optimizer


CHANGES = {
    "rate": halve,
    "clipping": clip_later,
    "decay": keep_weights_later,
    "schedule": other_rate,
    "copies": lambda optimizer, i: copy.deepcopy(optimizer) if i == 0 else optimizer,
    "pickles": lambda optimizer, i: pickle.loads(pickle.dumps(optimizer)) if i == 0 else optimizer,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_between_steps_counts(change):
    def adam():
        return keras.optimizers.AdamW(0.1, weight_decay=0.1)

    between = CHANGES[change]
    same(steps(adam(), between), steps(eagerly(adam()), between if change != "pickles" else CHANGES["copies"]))


def test_a_step_of_the_user_s_own_runs_each_time():
    seen = []

    class Counting(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            seen.append(float(gradient.numpy().sum()))
            super().update_step(gradient, variable, learning_rate)

    steps(Counting(0.1))
    assert len(seen) == 16


def test_a_constraint_of_the_user_s_own_runs_each_time():
    calls = []

    def constraint(w):
        calls.append(1)
        return w

    variable, optimizer = keras.Variable([1.0, 2.0]), keras.optimizers.SGD(0.1)
    variable.constraint = constraint
    for _ in range(6):
        optimizer.apply([keras.ops.ones(2)], [variable])
    assert len(calls) == 6


def test_a_variable_without_gradient_stays():
    first, second, optimizer = keras.Variable(1.0), keras.Variable(1.0), keras.optimizers.SGD(0.5)
    optimizer.build([first, second])
    one = keras.ops.convert_to_tensor(1.0)
    for i in range(6):
        if i % 2:
            optimizer.apply([one, one], [first, second])
        else:
            with pytest.warns(UserWarning, match="Gradients do not exist"):
                optimizer.apply([one, None], [first, second])
    assert (float(first), float(second)) == (-2.0, -0.5)


def test_an_optimizer_that_is_built_anew_trains_the_new_variables():
    optimizer, one = keras.optimizers.SGD(1.0, momentum=0.5), keras.ops.convert_to_tensor(1.0)
    for _ in range(2):
        variable = keras.Variable(1.0)
        optimizer.built = False
        optimizer.build([variable])
        for _ in range(5):
            optimizer.apply([one], [variable])
        assert float(variable) == -7.0625


def test_values_that_were_read_before_a_step_stay():
    variable, optimizer, read = keras.Variable(np.ones(100, "float32")), keras.optimizers.SGD(1.0), []
    for _ in range(6):
        read.append(variable.value)
        optimizer.apply([keras.ops.ones(100)], [variable])
    assert [float(r[0]) for r in read] == [1.0, 0.0, -1.0, -2.0, -3.0, -4.0]


def test_a_bad_gradient_is_told_as_before():
    variable, optimizer = keras.Variable(np.ones(3, "float32")), keras.optimizers.SGD(1.0)
    for _ in range(5):
        optimizer.apply([keras.ops.ones(3)], [variable])
    with pytest.raises(ValueError, match=r"must have its shape \(3,\), got shape \(1, 3\)"):
        optimizer.apply([keras.ops.ones((1, 3))], [variable])
    optimizer.apply([keras.ops.ones(3)], [variable])
    assert variable.numpy().tolist() == [-5.0] * 3
