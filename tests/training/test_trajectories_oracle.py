"""Fifty steps beside real Keras, in each style of model: the loss of every step agrees to 1e-4."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nacre

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")

pytestmark = [pytest.mark.oracle, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
# Small rates for the residual network: on random labels it is chaotic, and larger steps blow single roundings up.
STEPS, BATCH = 50, 8


def mlp_layers(k: Any) -> list[Any]:
    return [
        k.layers.Flatten(),
        k.layers.Dense(32, activation="relu"),
        k.layers.Dense(16, activation="relu"),
        k.layers.Dense(10, activation="softmax"),
    ]


def cnn_layers(k: Any) -> list[Any]:
    return [
        k.layers.Conv2D(32, (3, 3), activation="relu"),
        k.layers.MaxPooling2D((2, 2)),
        k.layers.Conv2D(64, (3, 3), activation="relu"),
        k.layers.MaxPooling2D((2, 2)),
        k.layers.Flatten(),
        k.layers.Dense(10, activation="softmax"),
    ]


def sequential(k: Any, layers: Callable[[Any], list[Any]], shape: Any) -> Any:
    return k.Sequential([k.layers.Input(shape), *layers(k)])


def functional(k: Any, layers: Callable[[Any], list[Any]], shape: Any) -> Any:
    x = y = k.Input(shape)
    for layer in layers(k):
        y = layer(y)
    return k.Model(x, y)


def subclass(k: Any, layers: Callable[[Any], list[Any]], shape: Any) -> Any:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.chain = layers(k)

        def call(self, x: Any) -> Any:
            for layer in self.chain:
                x = layer(x)
            return x

    model = Net()
    model(np.zeros((1, *shape), "float32"))
    return model


def resnet20(k: Any, x: Any) -> Any:
    """ResNet-20 of He et al. for small images: 3 x 3 blocks of two convolutions."""

    def conv(x: Any, filters: int, stride: int, activation: bool) -> Any:
        x = k.layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        x = k.layers.BatchNormalization()(x)
        return k.layers.ReLU()(x) if activation else x

    y = conv(x, 16, 1, True)
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            stride = 2 if stage and not block else 1
            shortcut = k.layers.Conv2D(filters, 1, strides=stride, use_bias=False)(y) if stride == 2 else y
            y = k.layers.ReLU()(k.layers.Add()([conv(conv(y, filters, stride, True), filters, 1, False), shortcut]))
    return k.layers.Dense(10, activation="softmax")(k.layers.GlobalAveragePooling2D()(y))


def residual(k: Any) -> Any:
    x = k.Input((16, 16, 3))
    return k.Model(x, resnet20(k, x))


def residual_subclass(k: Any) -> Any:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            x = k.Input((16, 16, 3))
            self.body = k.Model(x, resnet20(k, x))

        def call(self, x: Any, training: Any = None) -> Any:
            # Without the argument Keras would leave the normalizations in inference mode.
            return self.body(x, training=training)

    model = Net()
    model(np.zeros((1, 16, 16, 3), "float32"))
    return model


CASES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], float]] = {
    **{
        f"{name}, {style.__name__}": (lambda k, s=style, f=layers, d=shape: s(k, f, d), shape, rate)
        for name, layers, shape, rate in (
            ("mlp", mlp_layers, (8, 8, 1), 0.05),
            ("cnn", cnn_layers, (12, 12, 1), 0.02),
        )
        for style in (sequential, functional, subclass)
    },
    "resnet20, functional": (residual, (16, 16, 3), 3e-5),
    "resnet20, subclass": (residual_subclass, (16, 16, 3), 3e-5),
}


def losses(k: Any, name: str) -> list[float]:
    make, shape, rate = CASES[name]
    k.utils.clear_session()
    model = make(k)
    r = np.random.RandomState(3)
    scale = [0.0 if w.shape[-1:] == w.shape else (2.0 / np.prod(w.shape[:-1])) ** 0.5 for w in model.weights]
    first = [(r.randn(*w.shape) * s).astype("float32") for w, s in zip(model.weights, scale, strict=True)]
    first = [np.ones_like(v) if "gamma" in w.name or "variance" in w.name else v for v, w in zip(first, model.weights)]
    model.set_weights(first)
    model.compile(k.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy")
    found = []
    for _ in range(STEPS):
        x, y = r.rand(BATCH, *shape).astype("float32"), r.randint(0, 10, BATCH)
        found.append(float(np.ravel(model.train_on_batch(x, y))[0]))
    return found


@pytest.mark.parametrize("name", CASES)
def test_losses_of_fifty_steps_agree(name: str) -> None:
    np.testing.assert_allclose(losses(nacre, name), losses(keras, name), rtol=1e-4)
