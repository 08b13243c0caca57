"""Models against real Keras: names, orders, shapes, outputs, configurations that each can read of the other."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest

import nacre
from models import model_cases as C

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]


def both(case: Any) -> tuple[Any, Any]:
    made = []
    for framework in (nacre, keras):
        framework.utils.clear_session()
        model = case.make(framework)
        C.fill(model)
        made.append(model)
    return made[0], made[1]


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_names_shapes_paths_and_outputs_agree(case: Any) -> None:
    ours, theirs = both(case)
    assert ours.name == theirs.name
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert [y.shape for y in ours.outputs] == [tuple(y.shape) for y in theirs.outputs]
    assert [x.shape for x in ours.inputs] == [tuple(x.shape) for x in theirs.inputs]
    assert ours.count_params() == theirs.count_params()
    for g, e in zip(C.flat(ours(case.data)), C.flat(theirs(case.data)), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_configuration_is_read_by_both(case: Any) -> None:
    ours, theirs = both(case)
    expected = C.flat(theirs(case.data))
    here = nacre.models.model_from_json(theirs.to_json())
    there = keras.models.model_from_json(ours.to_json())
    for model in (here, there):
        C.fill(model)
        for g, e in zip(C.flat(model(case.data)), expected, strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", C.ALL, ids=str)
def test_configuration_agrees(case: Any) -> None:
    ours, theirs = both(case)
    mine, other = (json.loads(json.dumps(m.get_config())) for m in (ours, theirs))
    if case.name == "functions":  # Keras also writes the defaults of its functions
        assert [layer["class_name"] for layer in mine["layers"]] == [layer["class_name"] for layer in other["layers"]]
        return
    assert _without_empty(mine) == _without_empty(other)


def _without_empty(config: Any) -> Any:
    """Without what says nothing: Keras writes `build_config` and `compile_config` of some objects as empty."""
    if isinstance(config, dict):
        cleaned = {key: _without_empty(value) for key, value in config.items()}
        return {
            key: value
            for key, value in cleaned.items()
            if not (key in ("build_config", "compile_config") and value in ({}, None, {"input_shape": None}))
            # Keras notes what its layers take for granted.
            and not (key == "mask" and value is None)
            and not (key == "training" and value is False)
        }
    return [_without_empty(v) for v in config] if isinstance(config, list) else config
