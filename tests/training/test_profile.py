"""`Model.profile`: what it says, and that it changes nothing."""

import numpy as np
import pytest

import nacre as keras
from nacre.core.errors import NotCompilable


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def state(model):
    held = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [v.numpy() for v in held]


def test_a_profile_names_every_instruction_with_its_share_of_the_limit(model, rng):
    x, y = rng.random((8, 6, 6, 2), "float32"), rng.integers(0, 3, 8)
    training, prediction = model.profile(x, y), model.profile(x)
    assert len(training.rows) > len(prediction.rows) > 0
    for row in (*training.rows, *prediction.rows):
        assert set(row) == {"op", "kernel", "ns", "flops", "bytes", "percent"}
        assert row["ns"] > 0 and row["percent"] >= 0
    assert any(row["kernel"] == "conv2d_grad_w" for row in training.rows)
    assert not any("grad" in row["kernel"] for row in prediction.rows)
    text = str(training).splitlines()
    assert training.memory >= 8 * 4 * 4 * 4 * 4  # what the convolution gives is kept
    assert f"in {len(training.rows)} instructions" in text[0] and f"{training.memory / 1e6:.2f} MB" in text[0]
    assert len(text) == 2 + len(training.rows)


def test_a_profile_trains_nothing(model, rng):
    x, y = rng.random((8, 6, 6, 2), "float32"), rng.integers(0, 3, 8)
    model.train_on_batch(x, y)
    before = state(model)
    model.profile(x, y, repeats=7)
    assert all(np.array_equal(a, b) for a, b in zip(before, state(model), strict=True))


def test_a_profile_refuses_what_it_cannot_time(model, rng):
    x = rng.random((8, 6, 6, 2), "float32")
    with pytest.raises(ValueError, match="repeats"):
        model.profile(x, repeats=0)
    with pytest.raises(ValueError, match="class numbers"):
        model.profile(x, np.full(8, 3))
    bare = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="compile"):
        bare.profile(x[:, 0, 0], np.zeros(8, "float32"))
    model.run_eagerly = True
    with pytest.raises(NotCompilable, match="eagerly"):
        model.profile(x, rng.integers(0, 3, 8))
