"""First values of weights: distributions, fans, seeds, configurations."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import initializers, ops
from nacre.initializers.sampled import compute_fans

RANDOM = (
    "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Orthogonal",
    "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
)  # fmt: skip


def test_fans_count_the_receptive_field() -> None:
    assert compute_fans(()) == (1, 1)
    assert compute_fans((7,)) == (7, 7)
    assert compute_fans((3, 5)) == (3, 5)
    assert compute_fans((3, 3, 16, 32)) == (144, 288)
    assert compute_fans((4, 2, 8), input_axes=(0,), output_axes=(1, 2)) == (4, 16)
    assert compute_fans((4, 2, 8), input_axes=-1, output_axes=0) == (8, 4)


@pytest.mark.parametrize(
    ("name", "equation", "output", "fans"),
    [
        ("HeUniform", "abc,cde->abde", (None, 6, 50), (40, 300)),
        ("GlorotUniform", "abc,cde->abde", (None, 6, 50), (40, 300)),
        ("LecunUniform", "...cd,cde->...e", (50,), (200, 50)),
        ("LecunUniform", "...cd,dec->...ce", (5, 50), (40, 250)),
    ],
)
def test_an_einsum_counts_what_is_summed_as_inputs_and_the_rest_as_outputs(name, equation, output, fans) -> None:
    make = getattr(initializers, name)
    shape = (2, 3, 40) if "abc" in equation else (2, 5, 40)
    layer = keras.layers.EinsumDense(equation, output, kernel_initializer=make(3))
    layer.build(shape)
    fan = {"HeUniform": fans[0] / 2, "LecunUniform": fans[0], "GlorotUniform": sum(fans) / 2}[name]
    limit = np.sqrt(3 / fan)
    largest = np.abs(layer.kernel).max()
    assert 0.999 * limit < largest < 1.0001 * limit  # 10000 and more samples of a uniform distribution
    again = keras.layers.EinsumDense.from_config(layer.get_config())
    again.build(shape)
    np.testing.assert_array_equal(again.kernel, layer.kernel)  # the seed is kept
    assert layer.kernel_initializer.input_axes is None

    own = keras.layers.EinsumDense(equation, output, kernel_initializer=make(3, input_axes=(2,), output_axes=(2,)))
    own.build(shape)
    assert np.abs(own.kernel).max() != largest


@pytest.mark.parametrize(
    ("make", "variance", "limit"),
    [
        (lambda: initializers.GlorotUniform(1), 2 / (200 + 300), np.sqrt(6 / 500)),
        (lambda: initializers.GlorotNormal(1), 2 / (200 + 300), 2 * np.sqrt(2 / 500) / 0.8796),
        (lambda: initializers.HeUniform(1), 2 / 200, np.sqrt(6 / 200)),
        (lambda: initializers.HeNormal(1), 2 / 200, 2 * np.sqrt(2 / 200) / 0.8796),
        (lambda: initializers.LecunUniform(1), 1 / 200, np.sqrt(3 / 200)),
        (lambda: initializers.LecunNormal(1), 1 / 200, 2 * np.sqrt(1 / 200) / 0.8796),
        (lambda: initializers.RandomNormal(stddev=0.3, seed=1), 0.09, np.inf),
        (lambda: initializers.TruncatedNormal(stddev=0.3, seed=1), 0.09 * 0.87962566**2, 0.6),
        (lambda: initializers.RandomUniform(-0.2, 0.4, seed=1), 0.36 / 12, 0.4),
        (lambda: initializers.VarianceScaling(3.0, "fan_out", "uniform", 1), 3 / 300, np.sqrt(9 / 300)),
        (lambda: initializers.VarianceScaling(3.0, "fan_out", "untruncated_normal", 1), 3 / 300, np.inf),
    ],
)
def test_variance_and_limits(make: Any, variance: float, limit: float) -> None:
    values = np.asarray(make()((200, 300)))
    assert values.dtype == "float32"
    # 60000 samples: the standard error of the variance is below 0.6 %, of the mean below 0.5 % of a standard deviation.
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert np.abs(values).max() <= limit * 1.0001
    centre = 0.1 if limit == 0.4 else 0.0
    assert values.mean() == pytest.approx(centre, abs=0.02 * np.sqrt(variance))


@pytest.mark.parametrize("name", RANDOM)
def test_an_instance_repeats_itself_and_a_seed_repeats_everywhere(name: str) -> None:
    make = getattr(initializers, name)
    one, other = make(), make()
    np.testing.assert_array_equal(one((4, 5)), one((4, 5)))
    assert not np.array_equal(one((4, 5)), other((4, 5)))
    np.testing.assert_array_equal(make(seed=7)((4, 5)), make(seed=7)((4, 5)))


def test_the_seed_is_drawn_from_python() -> None:
    python_random.seed(3)
    first = np.asarray(initializers.GlorotUniform()((2, 2)))
    python_random.seed(3)
    np.testing.assert_array_equal(initializers.GlorotUniform()((2, 2)), first)


@pytest.mark.parametrize("shape", [(70, 100), (4, 7), (7, 4), (3, 2, 5)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape: tuple[int, ...]) -> None:
    q = np.asarray(initializers.Orthogonal(gain=2.0, seed=1)(shape)).reshape(-1, shape[-1])
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, 4.0 * np.eye(min(q.shape)), atol=1e-5)
    drawn = initializers.Orthogonal(gain=2.0, seed=1)(shape)  # also in whatever order it was made
    np.testing.assert_allclose(ops.var(drawn), np.var(q), rtol=1e-5)


def test_fixed_values() -> None:
    np.testing.assert_array_equal(initializers.Zeros()((2,), dtype="int32"), np.zeros(2, "int32"))
    np.testing.assert_array_equal(initializers.Ones()((2,), dtype="bool"), [True, True])
    np.testing.assert_array_equal(initializers.Constant(3)((2, 2)), np.full((2, 2), 3.0))
    np.testing.assert_array_equal(initializers.Constant([1, 2])((3, 2)), [[1, 2]] * 3)
    np.testing.assert_array_equal(initializers.Identity(2.0)((2, 3)), 2 * np.eye(2, 3))


@pytest.mark.parametrize(
    "identifier",
    [
        "glorot_uniform",
        "GlorotUniform",
        "glorotuniform",
        initializers.GlorotUniform,
        {"class_name": "GlorotUniform", "config": {}},
    ],
)
def test_an_initializer_is_found_by_name_class_and_config(identifier: Any) -> None:
    assert isinstance(initializers.get(identifier), initializers.GlorotUniform)


def test_configurations_travel() -> None:
    for name in (*RANDOM, "Zeros", "Ones", "Constant", "Identity", "STFT"):
        one = getattr(initializers, name)()
        again = initializers.deserialize(initializers.serialize(one))
        assert type(again) is type(one) and again.get_config() == one.get_config()
    seeded = initializers.HeNormal(seed=keras.random.SeedGenerator(3))
    assert initializers.deserialize(initializers.serialize(seeded)).seed.get_config()["seed"] == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.VarianceScaling(scale=-1), "`scale` must be positive float"),
        (lambda: initializers.VarianceScaling(mode="a"), "Invalid `mode` argument"),
        (lambda: initializers.VarianceScaling(distribution="a"), "Invalid `distribution` argument"),
        (lambda: initializers.GlorotUniform(seed="a"), "`seed` argument should be an instance"),
        (lambda: initializers.Orthogonal()((3,)), "must be at least two-dimensional"),
        (lambda: initializers.Identity()((3,)), "can only be used for 2D matrices"),
        (lambda: initializers.RandomNormal()((3,), dtype="int32"), "expected a float dtype"),
        (lambda: initializers.Constant([1, 2])((3,)), "cannot fill a weight"),
        (lambda: initializers.get("nothing"), "Could not interpret initializer identifier"),
    ],
)
def test_bad_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
