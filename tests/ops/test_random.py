"""Random numbers: the same seed gives the same, streams go on, distributions have their moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nacre
from nacre import _core, ops, random
from nacre.core.tensor import Tensor
from nacre.runtime.compiled import CompiledFunction
from nacre.utils import set_random_seed

N = 40_000
DRAWS: dict[str, tuple[Callable[..., Any], float, float]] = {  # how to draw, mean, deviation
    "uniform": (lambda **k: random.uniform((N,), -1.0, 3.0, **k), 1.0, 4 / np.sqrt(12)),
    "normal": (lambda **k: random.normal((N,), 2.0, 0.5, **k), 2.0, 0.5),
    "truncated_normal": (lambda **k: random.truncated_normal((N,), 2.0, 0.5, **k), 2.0, 0.5 * 0.87962566),
    "randint": (lambda **k: random.randint((N,), 0, 10, **k), 4.5, np.sqrt(99 / 12)),
    "gamma": (lambda **k: random.gamma((N,), 3.0, **k), 3.0, np.sqrt(3)),
    "gamma_below_one": (lambda **k: random.gamma((N,), np.float32(0.4), **k), 0.4, np.sqrt(0.4)),
    "gamma_of_tensors": (lambda **k: random.gamma((N,), np.full(N, 2.5, np.float32), **k), 2.5, np.sqrt(2.5)),
    "beta": (lambda **k: random.beta((N,), 2.0, 3.0, **k), 0.4, 0.2),
    "binomial": (lambda **k: random.binomial((N,), 20.0, 0.3, **k), 6.0, np.sqrt(20 * 0.21)),
    "binomial_of_many": (lambda **k: random.binomial((N,), 3000.0, 0.7, **k), 2100.0, np.sqrt(630)),
    "categorical": (lambda **k: random.categorical(np.log([[0.2, 0.8]]), N, **k), 0.8, 0.4),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_distribution_has_its_moments(name: str) -> None:
    draw, mean, deviation = DRAWS[name]
    values = np.asarray(draw(seed=5), np.float64)
    assert abs(values.mean() - mean) < 5 * deviation / np.sqrt(N)  # five standard errors
    assert abs(values.std() / deviation - 1) < 0.05


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_seed_gives_the_same_bits_at_any_number_of_threads(name: str) -> None:
    draw = DRAWS[name][0]
    before = _core.get_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            _core.set_threads(threads)
            results.append(np.asarray(draw(seed=9)))
    finally:
        _core.set_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    assert not np.array_equal(results[0], np.asarray(draw(seed=10)))


def test_a_generator_goes_on_and_starts_again() -> None:
    a, b = random.SeedGenerator(3), random.SeedGenerator(3)
    first, second = np.asarray(random.uniform((5,), seed=a)), np.asarray(random.uniform((5,), seed=a))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, random.uniform((5,), seed=b))
    np.testing.assert_array_equal(second, random.uniform((5,), seed=b))
    assert a.state.numpy().tolist() == [3, 2]
    assert random.SeedGenerator.from_config(a.get_config()).state.numpy().tolist() == [3, 0]
    assert a.next(ordered=False).numpy().tolist() == [3, 2]
    assert a.state.numpy().tolist() == [4 * 5387, 3 * 5387]


def test_a_compiled_function_moves_the_generator_on() -> None:
    eager, compiled = random.SeedGenerator(4), random.SeedGenerator(4)
    f = CompiledFunction(lambda: random.normal((6,), seed=compiled))
    for _ in range(3):
        np.testing.assert_array_equal(f(), random.normal((6,), seed=eager))
    assert compiled.state.numpy().tolist() == [4, 3]


def test_draws_without_a_seed_follow_the_global_one() -> None:
    set_random_seed(11)
    first = [np.asarray(random.uniform((4,))) for _ in range(2)]
    set_random_seed(11)
    second = [np.asarray(random.uniform((4,))) for _ in range(2)]
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(*first)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    x = np.ones((200, 200), np.float32)
    y = np.asarray(random.dropout(x, 0.25, seed=1))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.01
    rows = np.asarray(random.dropout(x, 0.5, noise_shape=(None, 1), seed=1))
    assert all(len(set(row)) == 1 for row in rows)
    np.testing.assert_array_equal(random.dropout(x, 0.0, seed=1), x)
    assert not np.asarray(random.dropout(x, 1.0, seed=1)).any()


def test_dropout_sends_the_gradient_where_it_kept() -> None:
    x = Tensor.of(np.ones(1000, np.float32))
    with nacre.GradientTape() as tape:
        tape.watch(x)
        y = random.dropout(x, 0.5, seed=2)
        total = ops.sum(y)
    np.testing.assert_array_equal(tape.gradient(total, x), y)


def test_shuffle_keeps_the_slices() -> None:
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    y = np.asarray(random.shuffle(x, seed=3))
    assert not np.array_equal(x, y)
    np.testing.assert_array_equal(y[np.argsort(y[:, 0])], x)
    columns = np.asarray(random.shuffle(x, axis=1, seed=5))
    np.testing.assert_array_equal(np.sort(columns, 1), x)
