"""Every layer against real Keras: same weights in, same outputs, names, shapes and configuration."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import pytest

import nacre
from layers import layer_cases
from nacre.core import naming

os.environ.setdefault("KERAS_BACKEND", "jax")


def real() -> Any:
    """Real Keras, as a module."""
    return pytest.importorskip("keras", reason="real Keras is not installed: pip install nacre[oracle]")


pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore"),
]

# Keras 3.15.1 gives sparsemax rows that do not sum to one, and says that glu keeps its shape.
OUTPUTS = [case for case in layer_cases.ALL if case.name != "activation-sparsemax"]
SHAPES = [case for case in layer_cases.ALL if case.name != "activation-glu"]
BY_NAME = {case.name: case for case in layer_cases.ALL}


def flat(outputs: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(outputs, (list, tuple)):
        return [a for y in outputs for a in flat(y)]
    return [np.asarray(outputs)]


@functools.cache
def both(name: str) -> Any:
    """The same layer in nacre and in Keras, with the same weights, and what each made of the same inputs."""
    case = BY_NAME[name]
    keras = real()
    naming.reset_names()
    keras.utils.clear_session()
    ours, theirs = case.make(nacre.layers), case.make(keras.layers)
    inputs = case.inputs()
    kwargs = {} if case.training is None else {"training": case.training}
    case.run(theirs, inputs)
    if getattr(theirs, "stateful", False):
        theirs.reset_states()
    if not ours.built:
        shapes = nacre.core.tree.map_structure(np.shape, inputs)
        ours.build(*shapes) if case.spread else ours.build(shapes)
    rng = np.random.default_rng(1)
    values = [rng.uniform(0.1, 0.9, w.shape).astype("float32") * rng.choice([-1, 1], w.shape) for w in theirs.weights]
    values = [np.abs(v) if "variance" in w.name else v for v, w in zip(values, theirs.weights)]
    theirs.set_weights(values)
    ours.set_weights(values)
    return ours, theirs, flat(case.run(ours, inputs, **kwargs)), flat(case.run(theirs, inputs, **kwargs))


@pytest.mark.parametrize("case", OUTPUTS, ids=str)
def test_outputs_agree(case: Any) -> None:
    ours, theirs, got, expected = both(case.name)
    assert [y.shape for y in got] == [y.shape for y in expected]
    for g, e in zip(got, expected):
        np.testing.assert_allclose(g, e, rtol=case.tolerance, atol=case.tolerance)
    for g, e in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(g, e, rtol=case.tolerance, atol=case.tolerance)


@pytest.mark.parametrize("case", layer_cases.ALL, ids=str)
def test_weights_have_the_same_order_names_and_paths(case: Any) -> None:
    ours, theirs, _, _ = both(case.name)
    assert [(w.path, w.shape, w.trainable) for w in ours.weights] == [
        (w.path, tuple(w.shape), w.trainable) for w in theirs.weights
    ]
    assert len(ours.variables) == len(theirs.variables)
    assert ours.count_params() == theirs.count_params()


@pytest.mark.parametrize("case", layer_cases.ALL, ids=str)
def test_configuration_agrees(case: Any) -> None:
    ours, theirs, _, _ = both(case.name)
    keras = real()
    assert ours.name == theirs.name
    assert plain(nacre.layers.serialize(ours)) == plain(keras.layers.serialize(theirs))
    again = nacre.layers.deserialize(keras.layers.serialize(theirs))
    assert type(again).__name__ == type(ours).__name__
    again = keras.layers.deserialize(nacre.layers.serialize(ours))
    assert type(again) is type(theirs)


def plain(config: Any) -> Any:
    """A configuration as it would be read from a file."""
    if isinstance(config, (list, tuple)):
        return [plain(v) for v in config]
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items()}
    return config


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_symbolic_shapes_agree(case: Any) -> None:
    keras = real()
    ours, theirs = case.make(nacre.layers), case.make(keras.layers)
    dtype = "int32" if case.kind == "ints" else "float32"
    stateful = getattr(ours, "stateful", False)

    def placeholders(k: Any) -> Any:
        def one(shape: tuple[int, ...]) -> Any:
            return k.Input(batch_shape=(shape[0] if stateful else None, *shape[1:]), dtype=dtype)

        return [one(s) for s in case.shapes] if isinstance(case.shapes, list) else one(case.shapes)

    got = nacre.core.tree.flatten(case.run(ours, placeholders(nacre)))
    expected = nacre.core.tree.flatten(case.run(theirs, placeholders(keras)))
    assert len(got) == len(expected)
    for g, e in zip(got, expected):  # what Keras does not know, nacre may
        assert len(g.shape) == len(e.shape) and all(n in (m, None) for m, n in zip(g.shape, e.shape)), (
            g.shape,
            e.shape,
        )
    assert [y.dtype for y in got] == [y.dtype for y in expected]
