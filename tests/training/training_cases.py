"""Models, ways to compile them and ways to fit them: for the tests against real Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

rng = np.random.RandomState(0)
X = rng.rand(50, 12).astype("float32")
Y = rng.randint(0, 3, 50)
NUMBERS = rng.rand(50, 2).astype("float32")
WEIGHTS = rng.rand(50).astype("float32")
TOKENS, TOKEN_LABELS = rng.randint(0, 5, (50, 6)), rng.randint(0, 3, (50, 6))
SPARSE = "sparse_categorical_crossentropy"


class Case(NamedTuple):
    """`model`, `compile` and `fit` get the module (nacre or keras) and give a model and two sets of arguments."""

    name: str
    model: Callable[[Any], Any]
    compile: Callable[[Any], dict[str, Any]]
    fit: Callable[[Any], dict[str, Any]]

    def __str__(self) -> str:
        return self.name


def fill(model: Any) -> Any:
    """Gives a model weights that do not depend on the library."""
    r = np.random.RandomState(7)
    model.set_weights(
        [np.abs(r.randn(*w.shape) * 0.3).astype("float32") * r.choice([-1, 1]) for w in model.get_weights()]
    )
    return model


def mlp(keras: Any, regularizer: Any = None) -> Any:
    layers = keras.layers
    return fill(
        keras.Sequential(
            [
                layers.Input((12,)),
                layers.Dense(8, activation="relu", kernel_regularizer=regularizer),
                layers.Dense(3, activation="softmax"),
            ]
        )
    )


def one_output(keras: Any) -> Any:
    return fill(keras.Sequential([keras.layers.Input((12,)), keras.layers.Dense(1, activation="sigmoid")]))


def two_heads(keras: Any) -> Any:
    x = keras.Input((12,))
    h = keras.layers.Dense(8, activation="tanh")(x)
    heads = [keras.layers.Dense(3, activation="softmax", name="color")(h), keras.layers.Dense(2, name="age")(h)]
    return fill(keras.Model(x, heads))


def two_inputs(keras: Any) -> Any:
    a, b = keras.Input((4,), name="a"), keras.Input((8,), name="b")
    h = keras.layers.Concatenate()([keras.layers.Dense(4)(a), b])
    return fill(keras.Model([a, b], keras.layers.Dense(3, activation="softmax")(h)))


def subclass(keras: Any) -> Any:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a = keras.layers.Dense(8, activation="relu")
            self.b = keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return keras.ops.softmax(self.b(self.a(x)))

    model = Net()
    model(X[:2])
    return fill(model)


def normalized(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((12,)),
            layers.Dense(8),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    r = np.random.RandomState(7)
    model.set_weights([np.abs(r.randn(*w.shape) * 0.3).astype("float32") for w in model.get_weights()])
    return model


def added_losses(keras: Any) -> Any:
    class Penalty(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(0.01 * keras.ops.sum(x * x))
            return x

    layers = keras.layers
    return fill(
        keras.Sequential(
            [
                layers.Input((12,)),
                layers.Dense(8, activation="relu", activity_regularizer="l1"),
                Penalty(),
                layers.Dense(3, activation="softmax"),
            ]
        )
    )


def embedded(keras: Any) -> Any:
    layers = keras.layers
    return fill(
        keras.Sequential(
            [
                layers.Input((6,), dtype="int32"),
                layers.Embedding(5, 4, mask_zero=True),
                layers.Dense(3, activation="softmax"),
            ]
        )
    )


def frozen(keras: Any) -> Any:
    model = mlp(keras)
    model.layers[0].trainable = False
    return model


def batches(keras: Any) -> Any:
    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 5

        def __getitem__(self, i: int) -> Any:
            part = slice(i * 10, i * 10 + 10)
            return X[part], Y[part], WEIGHTS[part]

    return Batches()


def generator() -> Any:
    r = np.random.RandomState(5)
    while True:
        i = r.randint(0, 50, 8)
        yield X[i], Y[i]


def few(n: int) -> Any:
    return (batch for _, batch in zip(range(n), generator()))


def base(keras: Any) -> dict[str, Any]:
    return {"optimizer": keras.optimizers.SGD(0.5), "loss": SPARSE, "metrics": ["accuracy"]}


def fit(**options: Any) -> Callable[[Any], dict[str, Any]]:
    def arguments(keras: Any) -> dict[str, Any]:
        made = {k: v(keras) if callable(v) else v for k, v in options.items()}
        return {"x": X, "y": Y, "batch_size": 8, "epochs": 3, **made}

    return arguments


def callback(make: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return lambda keras: [make(keras.callbacks)]


HEADS = {"loss": [SPARSE, "mse"], "metrics": [["accuracy"], ["mae"]], "loss_weights": [1, 0.5]}
NAMED = {
    "loss": {"color": SPARSE, "age": "mse"},
    "metrics": {"color": "accuracy"},
    "loss_weights": {"color": 1.0, "age": 0.5},
}
EMA = {"use_ema": True, "ema_momentum": 0.9}
SPLIT = [X[:, :4], X[:, 4:]]
ALL = [
    Case("plain", mlp, base, fit()),
    Case("in order", mlp, base, fit(shuffle=False)),
    Case("shuffled batches", mlp, base, fit(shuffle="batch")),
    Case(
        "adam, default batch",
        mlp,
        lambda k: {
            "optimizer": k.optimizers.Adam(0.01),
            "loss": SPARSE,
            "metrics": ["acc", k.metrics.SparseTopKCategoricalAccuracy(2)],
        },
        fit(batch_size=None),
    ),
    Case("validation split", mlp, base, fit(validation_split=0.25)),
    Case(
        "weighted validation", mlp, base, fit(validation_data=(X[:20], Y[:20], WEIGHTS[:20]), validation_batch_size=6)
    ),
    Case("sample weights", mlp, lambda k: {**base(k), "weighted_metrics": ["accuracy"]}, fit(sample_weight=WEIGHTS)),
    Case("class weights", mlp, base, fit(class_weight={0: 1.0, 2: 3.0})),
    Case("regularizer", lambda k: mlp(k, "l2"), base, fit()),
    Case("steps per epoch", mlp, base, fit(steps_per_epoch=3)),
    Case("later first epoch", mlp, base, fit(initial_epoch=2, epochs=4)),
    Case(
        "one-hot, rmsprop",
        mlp,
        lambda k: {"optimizer": "rmsprop", "loss": "categorical_crossentropy", "metrics": ["accuracy"]},
        fit(y=np.eye(3, dtype="float32")[Y]),
    ),
    Case(
        "float64 regression",
        mlp,
        lambda k: {
            "optimizer": k.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
            "loss": "mse",
            "metrics": ["mae", "mse"],
        },
        fit(x=X.astype("float64"), y=np.eye(3)[Y]),
    ),
    Case("two heads", two_heads, lambda k: {"optimizer": k.optimizers.SGD(0.1), **HEADS}, fit(y=[Y, NUMBERS])),
    Case(
        "two heads by name",
        two_heads,
        lambda k: {"optimizer": k.optimizers.SGD(0.1), **NAMED},
        fit(y={"color": Y, "age": NUMBERS}),
    ),
    Case("two inputs", two_inputs, base, fit(x=SPLIT)),
    Case("two inputs by name", two_inputs, base, fit(x={"a": SPLIT[0], "b": SPLIT[1]})),
    Case(
        "accumulation, clipping, decay",
        mlp,
        lambda k: {
            "optimizer": k.optimizers.Adam(0.05, gradient_accumulation_steps=3, clipnorm=0.5, weight_decay=0.01),
            "loss": SPARSE,
        },
        fit(),
    ),
    Case(
        "schedule",
        mlp,
        lambda k: {"optimizer": k.optimizers.SGD(k.optimizers.schedules.CosineDecay(0.5, 15)), "loss": SPARSE},
        fit(),
    ),
    Case(
        "learning rate by epoch",
        mlp,
        base,
        fit(callbacks=callback(lambda c: c.LearningRateScheduler(lambda e, lr: lr / 2))),
    ),
    Case(
        "plateau",
        mlp,
        base,
        fit(
            epochs=6, callbacks=callback(lambda c: c.ReduceLROnPlateau("loss", patience=1, min_delta=0.05, factor=0.5))
        ),
    ),
    Case(
        "early stop, best weights",
        mlp,
        base,
        fit(
            epochs=20,
            validation_split=0.3,
            callbacks=callback(lambda c: c.EarlyStopping(patience=2, restore_best_weights=True)),
        ),
    ),
    Case(
        "early stop by accuracy",
        mlp,
        base,
        fit(epochs=20, callbacks=callback(lambda c: c.EarlyStopping("accuracy", patience=1))),
    ),
    Case("steps per execution", mlp, lambda k: {**base(k), "steps_per_execution": 3}, fit()),
    Case(
        "generator", mlp, base, fit(x=lambda k: generator(), y=None, batch_size=None, steps_per_epoch=4, shuffle=False)
    ),
    Case("generator that ends", mlp, base, fit(x=lambda k: few(5), y=None, batch_size=None, shuffle=False)),
    Case(
        "generator that ends within an epoch",
        mlp,
        base,
        fit(x=lambda k: few(5), y=None, batch_size=None, steps_per_epoch=3, shuffle=False),
    ),
    Case("validation by a generator", mlp, base, fit(validation_data=lambda k: generator(), validation_steps=3)),
    Case("validation by a generator that ends", mlp, base, fit(validation_data=lambda k: few(4))),
    Case("PyDataset", mlp, base, fit(x=batches, y=None, batch_size=None, shuffle=False)),
    Case(
        "binary with many metrics",
        one_output,
        lambda k: {
            "optimizer": "adam",
            "loss": "binary_crossentropy",
            "metrics": [
                "accuracy",
                k.metrics.AUC(name="auc"),
                k.metrics.Precision(name="p"),
                k.metrics.F1Score(threshold=0.5, average="macro", name="f1"),
            ],
        },
        fit(y=(Y > 0).astype("float32")[:, None]),
    ),
    Case(
        "binary, flat labels",
        one_output,
        lambda k: {"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["accuracy"]},
        fit(y=(Y > 0).astype("int32")),
    ),
    Case("subclass", subclass, base, fit()),
    Case("batch normalization", normalized, base, fit(validation_split=0.2)),
    Case("added losses", added_losses, base, fit()),
    Case("masked tokens", embedded, lambda k: {"optimizer": "sgd", "loss": SPARSE}, fit(x=TOKENS, y=TOKEN_LABELS)),
    Case("frozen layer", frozen, base, fit()),
]
