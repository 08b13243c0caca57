"""Optimizers in weight gradients: the same weights as step by step, and no gradient stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops
from nacre.runtime.compiled import CompiledFunction

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((5, 6, 6, 5)).astype("float32"), RNG.standard_normal((5, 3)).astype("float32")


def pixels(**more: Any) -> Any:
    i = keras.Input((6, 6, 5))
    h = layers.Conv2D(64, 1, use_bias=False, activation="relu", **more)(i)
    h = layers.SeparableConv2D(70, 3, padding="same", use_bias=False)(h)
    h = layers.Conv2D(9, 1, use_bias=False, activation="relu")(h)
    return keras.Model(i, layers.Dense(3)(layers.GlobalAveragePooling2D()(h)))


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adamw"])
def test_convolutions_of_single_pixels_are_trained_in_their_gradients(optimizer: str) -> None:
    weights = []
    for eager in (False, True):
        keras.utils.set_random_seed(6)
        model = pixels()
        model.compile(optimizer, "mse", run_eagerly=eager)
        for _ in range(3):
            model.train_on_batch(X, Y)
        weights.append([w.numpy() for w in model.weights])
        if not eager:
            rows = [r["op"] for r in model.profile(X, Y, repeats=1).rows]
            assert rows.count("DenseGradWMap") == 4
            assert rows.count("Conv2DGradW") == 1  # of the depthwise part
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)


def test_strides_are_no_products_of_pixels() -> None:
    model = pixels(strides=2)
    model.compile("sgd", "mse")
    rows = [r["op"] for r in model.profile(X, Y, repeats=1).rows]
    assert rows.count("DenseGradWMap") == 3


@pytest.mark.parametrize(
    "optimizer", ["sgd", "adagrad", "adam", keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01)]
)
@pytest.mark.parametrize("words", [2000, 100, 90])
def test_tables_of_which_few_rows_are_looked_up_are_trained_in_their_gradients(optimizer: Any, words: int) -> None:
    x, y = RNG.integers(0, words, (16, 3)), RNG.standard_normal((16, 2)).astype("float32")
    x[3] = x[4]
    weights = []
    for eager in (False, True):
        keras.utils.set_random_seed(6)
        model = keras.Sequential([keras.Input((3,)), layers.Embedding(words, 8), layers.Flatten(), layers.Dense(2)])
        config = keras.optimizers.serialize(keras.optimizers.get(optimizer))
        model.compile(keras.optimizers.deserialize(config), "mse", run_eagerly=eager)
        for _ in range(3):
            model.train_on_batch(x, y)
        weights.append([w.numpy() for w in model.weights])
        if not eager:
            rows = [r["op"] for r in model.profile(x, y, repeats=1).rows]
            few = x.size <= words // (2 if optimizer in ("sgd", "adagrad") else 32)
            assert rows.count("TakeGradXMap") == few
            assert rows.count("TakeGradX") == (not few)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [(2000, 8), (2000,), (2000, 2, 3)], ids=str)
def test_a_single_row_of_a_table_is_trained_in_its_gradient(shape: Any) -> None:
    tables = []
    for run in (lambda fn: fn, CompiledFunction):
        table, optimizer = keras.Variable(np.ones(shape, "float32")), keras.optimizers.SGD(0.1)

        def step(row: Any, table: Any = table, optimizer: Any = optimizer) -> Any:
            with keras.GradientTape() as tape:
                loss = ops.sum(ops.square(ops.take(table, row, axis=0)))
            optimizer.apply_gradients([(tape.gradient(loss, table), table)])
            return loss

        run(step)(np.int32(-3))
        tables.append(table.numpy())
    np.testing.assert_array_equal(*tables)
    assert tables[0].reshape(2000, -1)[1997, 0] == np.float32(0.8)
