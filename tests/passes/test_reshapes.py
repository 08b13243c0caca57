"""Convolutions over time and layers on sequences: what follows their reshape becomes part of them, to the same
numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import layers

RNG = np.random.default_rng(11)
OWN = ("Pad", "Slice", "Add", "Relu", "ReluGrad")  # that have a place in a convolution or a product


def over_time(i: Any) -> Any:
    h = layers.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu")(i)
    h = layers.Conv1D(8, 3, padding="same", activation="relu")(h)
    return layers.Conv1D(3, 2, padding="causal")(h)


def residual(i: Any) -> Any:
    h = layers.Conv1D(6, 3, padding="same", activation="relu")(i)
    return layers.ReLU()(layers.Add()([i, layers.Conv1D(6, 3, padding="same")(h)]))


def rows(i: Any) -> Any:
    return layers.Dense(2)(layers.Dense(5, activation="relu")(layers.Dense(7, activation="relu")(i)))


def planes(i: Any) -> Any:
    h = layers.Reshape((5, 4, 1, 6))(i)
    return layers.Conv3D(3, (2, 3, 1), padding="same", activation="relu")(h)


def trained(build: Any, eager: bool) -> tuple[list[Any], list[np.ndarray], Any]:
    keras.utils.set_random_seed(4)
    i = keras.Input((20, 6))
    model = keras.Model(i, build(i))
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=eager)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((4, 20, 6)).astype("float32")
    y = rng.standard_normal((4, *model.output_shape[1:])).astype("float32")
    losses = [model.train_on_batch(x, y) for _ in range(2)]
    rows = [] if eager else model.profile(x, y, repeats=1).rows
    return losses, [model.predict(x, verbose=0), *(w.numpy() for w in model.weights)], rows


@pytest.mark.parametrize("build", [over_time, residual, rows, planes], ids=lambda f: f.__name__)
def test_a_step_is_that_of_single_operations(build: Any) -> None:
    (losses, arrays, _), (known, expected, _) = trained(build, False), trained(build, True)
    np.testing.assert_allclose(losses, known, rtol=1e-6)
    for a, b in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("build", [over_time, rows], ids=lambda f: f.__name__)
def test_nothing_stays_behind_that_has_a_place_in_the_product(build: Any) -> None:
    ops = [r["op"] for r in trained(build, False)[2]]
    assert not set(OWN) & set(ops), ops
    masked = {"over_time": "Conv2DGradXMore", "rows": "DenseGradXMasked"}[build.__name__]
    assert ops.count(masked) == 2
