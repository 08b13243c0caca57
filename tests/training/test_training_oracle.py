"""Whole trainings against real Keras: same data, weights and seed give the same history, weights, evaluation and
predictions."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import nacre
from training import training_cases

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]


def run(framework: Any, case: Any) -> dict[str, Any]:
    """Everything that a user sees of one training."""
    framework.utils.clear_session()
    model = case.model(framework)
    model.compile(**case.compile(framework))
    np.random.seed(3)
    arguments = case.fit(framework)
    history = model.fit(verbose=0, **arguments)
    seen = {
        "history": {k: np.array(v) for k, v in history.history.items()},
        "epoch": history.epoch,
        "params": history.params,
        "random": np.random.rand(3),
        "weights": [np.array(w) for w in model.get_weights()],
    }
    if arguments["y"] is not None:
        x, y = arguments["x"], arguments["y"]
        seen["evaluate"] = np.array(model.evaluate(x, y, verbose=0, sample_weight=arguments.get("sample_weight")))
        seen["logs"] = list(model.evaluate(x, y, verbose=0, return_dict=True))
        seen["names"] = list(model.metrics_names)
        outputs = model.predict(x, verbose=0, batch_size=7)
        seen["predict"] = [np.array(a) for a in (outputs if isinstance(outputs, list) else [outputs])]
        seen["train_on_batch"] = np.array(model.train_on_batch(x, y))
        seen["test_on_batch"] = np.array(model.test_on_batch(x, y))
    return seen


def same(got: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        # 20 steps of float32: differences of single roundings have grown.
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-5)
    elif isinstance(expected, dict):
        assert list(got) == list(expected)
        for key in expected:
            same(got[key], expected[key])
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for g, e in zip(got, expected, strict=True):
            same(g, e)
    else:
        assert got == expected


@pytest.mark.parametrize("case", training_cases.ALL, ids=str)
def test_training_agrees(case: Any) -> None:
    same(run(nacre, case), run(keras, case))


@pytest.mark.parametrize("loss", [["mse"], ["mse", None], [None, "mae"], ["mse"] * 3], ids=str)
def test_losses_of_a_list_belong_to_outputs_one_by_one(loss: Any) -> None:
    """Fewer losses than outputs leave the last outputs without one."""
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 4)).astype("float32"), rng.random((20, 1)).astype("float32")

    def history(framework: Any) -> Any:
        framework.utils.clear_session()
        inputs = framework.Input((4,))
        heads = [framework.layers.Dense(1, kernel_initializer="ones", name=name)(inputs) for name in "ab"]
        model = framework.Model(inputs, heads)
        model.compile("sgd", loss)
        try:
            return {k: np.array(v) for k, v in model.fit(x, [y, y], epochs=2, verbose=0).history.items()}
        except (KeyError, ValueError) as error:
            return type(error), str(error)

    np.random.seed(0)
    expected = history(keras)
    np.random.seed(0)
    same(history(nacre), expected)
