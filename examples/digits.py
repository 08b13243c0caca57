"""Three networks learn handwritten digits: as a Sequential model, as a graph of layers, and as a class.

Run by `python3 dev.py demo`. Prints each model's summary, its progress and its accuracy on digits that it has not seen,
draws the learning curves, and saves the models into demo-output/.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import nacre as keras
from nacre import layers

CLASSES = 10
WANTED = 0.97


def data():
    """1437 digits to learn from and 360 to be asked about: (N, 8, 8, 1) in [0, 1], labels (N,)."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    x = (digits.images[order, ..., None] / 16).astype("float32")
    y = digits.target[order]
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def sequential():
    """A small convolutional network, layer after layer."""
    return keras.Sequential(
        [
            layers.Input(shape=(8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(CLASSES, activation="softmax"),
        ],
        name="sequential_cnn",
    )


def functional():
    """Two views of the same picture, fine and coarse, joined."""
    image = keras.Input(shape=(8, 8, 1), name="image")
    fine = layers.Conv2D(32, 3, padding="same", activation="relu")(image)
    fine = layers.MaxPooling2D(2)(fine)
    fine = layers.Flatten()(fine)
    coarse = layers.Conv2D(32, 5, strides=2, padding="same", activation="relu")(image)
    coarse = layers.BatchNormalization()(coarse)
    coarse = layers.Flatten()(coarse)
    joined = layers.Concatenate()([fine, coarse])
    joined = layers.Dropout(0.4)(joined)
    joined = layers.Dense(128, activation="relu")(joined)
    outputs = layers.Dense(CLASSES, activation="softmax")(joined)
    return keras.Model(image, outputs, name="functional_two_branches")


@keras.saving.register_keras_serializable(package="demo")
class Reader(keras.Model):
    """A class that decides in `call`, in ordinary Python, what to do."""

    def __init__(self, width=48, use_dropout=True, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.use_dropout = use_dropout
        self.conv1 = layers.Conv2D(width, 3, padding="same", activation="relu")
        self.conv2 = layers.Conv2D(width, 3, padding="same", activation="relu")
        self.pool = layers.MaxPooling2D(2)
        self.flatten = layers.Flatten()
        if use_dropout:
            self.dropout = layers.Dropout(0.4)
        self.hidden = layers.Dense(128, activation="relu")
        self.out = layers.Dense(CLASSES, activation="softmax")

    def call(self, x, training=None):
        x = self.conv1(x)
        y = self.conv2(x)
        if y.shape == x.shape:  # a shortcut wherever the shapes allow it
            y = y + x
        y = self.flatten(self.pool(y))
        if self.use_dropout and training:
            y = self.dropout(y, training=True)
        return self.out(self.hidden(y))

    def get_config(self):
        return {**super().get_config(), "width": self.width, "use_dropout": self.use_dropout}


def subclassed():
    """The class above, built so that its summary knows all shapes."""
    model = Reader(name="subclassed_reader")
    model.build((None, 8, 8, 1))
    return model


def draw_curves(histories, path):
    """Accuracy over epochs, while learning and on unseen digits."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (key, title) in zip(figure.subplots(1, 2), (("loss", "loss"), ("accuracy", "accuracy")), strict=True):
        for color, (name, history) in zip(("#2b6ca3", "#b5452c", "#2f7f5f"), histories.items(), strict=True):
            epochs = range(1, len(history[key]) + 1)
            axes.plot(epochs, history[key], color=color, lw=1, ls=":", label=f"{name}, learning")
            axes.plot(epochs, history[f"val_{key}"], color=color, lw=1.8, label=f"{name}, unseen digits")
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(0.85, 1.005)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main():
    """Trains, judges and saves the three models; returns 0 when each is good enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    train, test = data()
    histories, accuracies, spent = {}, {}, 0.0
    for make in (sequential, functional, subclassed):
        keras.utils.set_random_seed(1)
        model = make()
        print()
        model.summary()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        start = time.perf_counter()
        history = model.fit(*train, batch_size=32, epochs=options.epochs, validation_data=test)
        spent += time.perf_counter() - start
        histories[make.__name__] = history.history
        path = options.output / f"{model.name}.keras"
        model.save(path)
        again = keras.models.load_model(path)
        if not np.array_equal(
            np.asarray(again.predict(test[0], verbose=0)), np.asarray(model.predict(test[0], verbose=0))
        ):
            raise SystemExit(f"{path}: the loaded model predicts something else")
        accuracies[make.__name__] = again.evaluate(*test, verbose=0)[1]
    curves = options.output / "learning-curves.png"
    draw_curves(histories, curves)
    keras.utils.plot_model(functional(), options.output / "functional.png", show_shapes=True, show_layer_names=True)
    print(f"\ntrained three models in {spent:.1f} s")
    for name, accuracy in accuracies.items():
        print(f"  {name:<12} {accuracy:.4f} of unseen digits read correctly")
    print(f"models, learning curves and a picture of a model: {options.output}/")
    return 0 if min(accuracies.values()) >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
