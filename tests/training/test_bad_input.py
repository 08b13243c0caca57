"""Bad data and arguments: an error that names them before anything is trained, and a model that still trains
afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nacre as keras
from training import training_cases as C

X, Y = C.X, C.Y
INSIDE_ITSELF: list[Any] = []
INSIDE_ITSELF.append(INSIDE_ITSELF)
CASES: dict[str, tuple[Any, str]] = {
    "lengths of x and y": (lambda m: m.fit(X, Y[:5]), "(?s)same number of samples.*'x' sizes: 50.*'y' sizes: 5"),
    "length of weights": (lambda m: m.fit(X, Y, sample_weight=np.ones(3)), "'sample_weight' sizes: 3"),
    "rank": (lambda m: m.fit(X[0], Y[:12]), r"expected shape=\(None, 12\), found shape=\(12,\)"),
    "width": (lambda m: m.fit(X[:, :5], Y), r"value 12, but received input with shape \(32, 5\)"),
    "label too large": (lambda m: m.fit(X, Y * 0 + 3), r"y.*\[0, 3\).*got 3 at index \(0,\)"),
    "label negative": (lambda m: m.fit(X, Y * 0 - 1), r"\[0, 3\).*got -1"),
    "label of validation": (lambda m: m.fit(X, Y, validation_data=(X, Y + 9)), r"\[0, 3\).*got (9|10|11)"),
    "label of evaluate": (lambda m: m.evaluate(X, Y + 9), r"\[0, 3\)"),
    "label of one batch": (lambda m: m.train_on_batch(X, Y + 9), r"\[0, 3\)"),
    "width of validation": (
        lambda m: m.fit(X, Y, validation_data=(X[:, :4], Y)),
        r"received input with shape \(32, 4\)",
    ),
    "empty": (lambda m: m.fit(X[:0], Y[:0]), "at least one sample"),
    "objects": (lambda m: m.fit(X.astype(object), Y), "x: Invalid dtype: object"),
    "complex": (lambda m: m.fit(X + 1j, Y), "complex"),
    "ragged list": (lambda m: m.fit([[1, 2], [3]], Y), "x: expected a list of equally long lists"),
    "text": (lambda m: m.fit("abc", Y), "Unrecognized data type: x=abc .*str"),
    "nothing": (lambda m: m.fit(None, Y), "x: expected data, got None"),
    "no y": (lambda m: m.fit(X), "y is missing"),
    "a number": (lambda m: m.fit(np.float32(3), Y), "x: expected an array"),
    "target shape": (lambda m: m.fit(X, np.random.default_rng(0).random((50, 7))), r"\(32, 7\)"),
    "batch_size 0": (lambda m: m.fit(X, Y, batch_size=0), "batch_size: expected an int >= 1 or None, got 0"),
    "batch_size 1.5": (lambda m: m.fit(X, Y, batch_size=1.5), "batch_size.*got 1.5"),
    "data for batch_size": (lambda m: m.fit(X, Y, X, Y), r"batch_size.*shape=\(50, 12\).* in its place"),
    "epochs 1.5": (lambda m: m.fit(X, Y, epochs=1.5), "epochs: expected an int >= 0, got 1.5"),
    "initial_epoch": (lambda m: m.fit(X, Y, initial_epoch="a"), "initial_epoch"),
    "steps_per_epoch 0": (lambda m: m.fit(X, Y, steps_per_epoch=0), "steps_per_epoch.*got 0"),
    "validation_split": (lambda m: m.fit(X, Y, validation_split=1.5), "validation_split.*1.5"),
    "too small a split": (lambda m: m.fit(X[:2], Y[:2], validation_split=0.9), "not sufficient"),
    "verbose": (lambda m: m.fit(X, Y, verbose=-7), "verbose.*got -7"),
    "shuffle": (lambda m: m.fit(X, Y, shuffle="rows"), "shuffle.*'rows'"),
    "callback": (lambda m: m.fit(X, Y, callbacks=[3]), "callbacks.*3 of type int"),
    "callback class": (lambda m: m.fit(X, Y, callbacks=keras.callbacks.History), "callbacks.*History.*of type type"),
    "class_weight": (lambda m: m.fit(X, Y, class_weight=[1, 2]), "class_weight.*list"),
    "no class number": (lambda m: m.fit(X, Y, class_weight={"a": 1.0}), "class_weight.*'a': 1.0"),
    "no weight": (lambda m: m.fit(X, Y, class_weight={0: None}), "class_weight.*0: None"),
    "NaN as weight": (lambda m: m.train_on_batch(X, Y, class_weight={0: np.nan}), "class_weight.*0: nan"),
    "labels of text": (lambda m: m.fit(X, Y.astype(str)), "y: expected numbers for the loss, got text"),
    "a list in itself": (lambda m: m.fit(INSIDE_ITSELF, Y), r"fit: lists or dicts .* hold themselves; got x=a list"),
    "an empty dict": (lambda m: m.fit({}, Y), "got an empty dict"),
    "a class": (lambda m: m.predict(np.ndarray), "Unrecognized data type: x=.*type"),
    "another name": (lambda m: m.fit({"wrong": X}, Y), "Missing data for input.*'wrong'"),
    "an empty batch": (lambda m: m.fit(iter([(X[:0], Y[:0])]), shuffle=False), "batches of at least one sample"),
    "a batch of None": (lambda m: m.evaluate(iter([(X, Y), None]), steps=2), "expected batches of .*, got None"),
    "both weights": (lambda m: m.fit(X, Y, class_weight={0: 1}, sample_weight=np.ones(50)), "at the same time"),
    "y beside a generator": (lambda m: m.fit(C.generator(), Y), "`y` should not be passed"),
    "predict": (lambda m: m.predict(X[:, :3]), r"received input with shape \(32, 3\)"),
    "call": (lambda m: m(X[:, :3]), r"received input with shape \(50, 3\)"),
}


@pytest.mark.parametrize("name", CASES)
def test_is_named_and_changes_nothing(name: str) -> None:
    model = C.mlp(keras)
    model.compile(**C.base(keras))
    call, text = CASES[name]
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=text):
        call(model)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.optimizer.learning_rate = 0.05
    losses = model.fit(X, Y, epochs=3, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0]


def test_uncompiled_model_says_so() -> None:
    model = C.mlp(keras)
    for call in (lambda: model.fit(X, Y), lambda: model.evaluate(X, Y), lambda: model.train_on_batch(X, Y)):
        with pytest.raises(ValueError, match=r"compile\(\)"):
            call()
    assert model.predict(X, verbose=0).shape == (50, 3)


def test_a_model_without_an_optimizer_says_so() -> None:
    model = C.mlp(keras)
    model.compile(optimizer=None, loss=C.SPARSE)
    assert np.isfinite(model.evaluate(X, Y, verbose=0))
    with pytest.raises(ValueError, match=r"No optimizer .* in `compile\(\)`"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"loss": "mze"}, "mze.*'mse'"),
        ({"loss": "mse", "metrics": "mae"}, "list, tuple, or dict"),
        ({"loss": "mse", "steps_per_execution": 0}, "steps_per_execution"),
        ({"loss": "mse", "optimizer": "addam"}, "addam"),
        ({"loss": "mse", "loss_weights": "x"}, "loss_weights"),
    ],
)
def test_wrong_arguments_of_compile_are_named(arguments: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        C.mlp(keras).compile(**{"optimizer": "sgd", **arguments})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"loss": {"color": C.SPARSE}}, r"Expected keys \['color', 'age'\] in loss dict"),
        ({"loss": [C.SPARSE, "mse"], "metrics": {"foo": "mae"}}, "foo"),
        ({"loss": [C.SPARSE, "mse"], "metrics": ["mae"]}, "each of the 2 outputs"),
        ({"loss": [C.SPARSE, "mse"], "loss_weights": [1.0]}, "2 losses and 1 weights"),
    ],
)
def test_losses_and_metrics_that_do_not_fit_the_outputs_are_named(arguments: Any, text: str) -> None:
    model = C.two_heads(keras)
    model.compile("sgd", **arguments)
    with pytest.raises(ValueError, match=text):
        model.fit(X, [Y, C.NUMBERS], verbose=0)
