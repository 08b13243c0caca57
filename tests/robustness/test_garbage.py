"""What a run used is freed when it ends: nothing that holds data waits for the collector of cycles."""

import gc
import weakref

import numpy as np
import pytest

import nacre as keras
from nacre import layers, ops

X = {"x": np.ones((64, 8), "float32")}
Y = {"a": np.ones((64, 2), "float32"), "b": np.ones((64, 1), "float32")}


def make():
    x = keras.Input((8,), name="x")
    h = layers.Dropout(0.1)(layers.BatchNormalization()(layers.Dense(8, activation="relu")(x)))
    model = keras.Model({"x": x}, {"a": layers.Dense(2)(h), "b": layers.Dense(1)(h)})
    model.compile("adam", {"a": "mse", "b": "mse"}, metrics={"a": ["mae"], "b": ["mae"]})
    return model


def loop(model):
    with keras.GradientTape() as tape:
        y = model(X, training=True)
        loss = ops.mean((y["a"] - Y["a"]) ** 2) + ops.mean(y["b"])
    model.optimizer.apply_gradients(
        zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
    )


USES = {
    "fit": lambda model: model.fit(X, Y, batch_size=16, verbose=0),
    "evaluate": lambda model: model.evaluate(X, Y, verbose=0),
    "predict": lambda model: model.predict(X, verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "predict_on_batch": lambda model: model.predict_on_batch(X),
    "call": lambda model: model(X),
    "call for training": lambda model: model(X, training=True),
    "a loop by hand": loop,
}


@pytest.mark.parametrize("use", USES)
def test_runs_leave_no_garbage(use):
    model = make()
    for _ in range(20):
        USES[use](model)
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            USES[use](model)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_classes_that_are_defined_again_and_again_are_freed():
    def defined():
        class Inner(layers.Layer):
            def build(self, shape):
                self.scale = self.add_weight((shape[-1],))

            def call(self, x):
                return x * self.scale

        class Outer(keras.Model):
            def __init__(self):
                super().__init__()
                self.inner = Inner()

            def call(self, x):
                return self.inner(x)

        model = Outer()
        model.compile("sgd", "mse")
        model.fit(X["x"], X["x"], verbose=0)
        model.predict(X["x"], verbose=0)
        return weakref.ref(Inner), weakref.ref(Outer)

    found = defined()
    gc.collect()
    assert [ref() for ref in found] == [None, None]
