"""Ways to make a model, with data for it: for the tests of behaviour and against Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

rng = np.random.RandomState(0)
ROWS = rng.rand(5, 12).astype("float32")
IMAGES = rng.rand(4, 8, 8, 1).astype("float32")


class Case(NamedTuple):
    """`make` gets the module (nacre or keras); `data` is what the model is called on."""

    name: str
    make: Callable[[Any], Any]
    data: Any

    def __str__(self) -> str:
        return self.name


def chain(k: Any) -> Any:
    return k.Sequential(
        [k.layers.Input((12,)), k.layers.Dense(8, activation="relu"), k.layers.Dense(3, activation="softmax")]
    )


def images(k: Any) -> Any:
    return k.Sequential(
        [
            k.layers.Input((8, 8, 1)),
            k.layers.Conv2D(4, (3, 3), activation="relu"),
            k.layers.MaxPooling2D((2, 2)),
            k.layers.Flatten(),
            k.layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )


def late(k: Any) -> Any:
    model = k.Sequential(name="built later")
    model.add(k.layers.Dense(4, activation="tanh"))
    model.add(k.layers.Dense(2))
    model.build((None, 12))
    return model


def shared(k: Any) -> Any:
    a, b = k.Input((12,), name="a"), k.Input((12,))
    dense = k.layers.Dense(4, name="both")
    joined = k.layers.Concatenate()([dense(a), dense(b)])
    return k.Model([a, b], [k.layers.Dense(3)(joined), joined], name="twins")


def residual(k: Any) -> Any:
    x = k.Input((12,))
    h = k.layers.Dense(12, activation="relu")(x)
    h = k.layers.Add()([h, x])
    return k.Model(inputs=x, outputs=k.layers.Dense(2)(k.layers.Dropout(0.5)(h)))


def with_functions(k: Any) -> Any:
    x = k.Input((12,))
    h = k.ops.add(k.layers.Dense(4)(x), 1.0) * 2
    return k.Model(x, k.ops.mean(k.ops.relu(h), axis=-1, keepdims=True))


def by_name(k: Any) -> Any:
    left, right = k.Input((4,), name="left"), k.Input((8,), name="right")
    h = k.layers.concatenate([k.layers.Dense(3)(left), right])
    return k.Model({"left": left, "right": right}, {"out": k.layers.Dense(2, name="out")(h)})


def nested(k: Any) -> Any:
    inner = k.Sequential([k.layers.Input((12,)), k.layers.Dense(5)], name="inner")
    graph = k.Model(z := k.Input((5,)), k.layers.Dense(4)(z), name="graph")
    x = k.Input((12,))
    return k.Model(x, k.layers.Dense(3)(graph(inner(x))))


def intermediate(k: Any) -> Any:
    whole = residual(k)
    return k.Model(whole.get_layer("add").output, whole.output)


ALL = [
    Case("chain", chain, ROWS),
    Case("images", images, IMAGES),
    Case("built later", late, ROWS),
    Case("shared layer", shared, [ROWS, ROWS * 2]),
    Case("residual", residual, ROWS),
    Case("functions", with_functions, ROWS),
    Case("inputs by name", by_name, {"left": ROWS[:, :4], "right": ROWS[:, 4:]}),
    Case("nested", nested, ROWS),
    Case("from an intermediate tensor", intermediate, ROWS),
]


def fill(model: Any) -> None:
    """Gives a model weights that do not depend on the library."""
    r = np.random.RandomState(7)
    model.set_weights([(r.randn(*w.shape) * 0.3).astype("float32") for w in model.get_weights()])


def flat(outputs: Any) -> list[Any]:
    if isinstance(outputs, dict):
        return [np.asarray(outputs[key]) for key in sorted(outputs)]
    return [np.asarray(y) for y in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
