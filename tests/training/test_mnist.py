"""Real handwriting: the 10,000 test images of MNIST, 9,000 to train and 1,000 to test."""

import os
from pathlib import Path

import numpy as np
import pytest

import nacre as keras

NAME = "mnist_t10k.npz"  # x uint8 (10000, 28, 28), y uint8 (10000,)


@pytest.fixture(scope="module")
def digits():
    folder = os.environ.get("NACRE_DATA")
    if folder is None or not (Path(folder) / NAME).exists():
        pytest.skip(f"needs {NAME}: set NACRE_DATA to the folder that holds it")
    with np.load(Path(folder) / NAME) as data:
        return (data["x"] / 255.0)[..., None], data["y"]


def train(x, y, seed):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=5, verbose=0)
    return model


@pytest.mark.slow
def test_a_small_network_reads_97_of_100_unseen_digits(digits):
    x, y = digits
    model = train(x[:9000], y[:9000], seed=0)
    _, accuracy = model.evaluate(x[9000:], y[9000:], verbose=0)
    assert accuracy >= 0.97


@pytest.mark.slow
def test_the_same_seed_gives_the_same_network(digits):
    x, y = digits
    first, second = (train(x[:1000], y[:1000], seed=3).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
