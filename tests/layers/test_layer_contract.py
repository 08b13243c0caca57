"""What every layer keeps: known shapes, one result eager and compiled, right gradients, configurations that travel."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import nacre
from layers import layer_cases
from nacre.core import tree
from nacre.runtime.compiled import CompiledFunction

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")

CASES = layer_cases.ALL
# Pooling windows compute in float32 whatever the dtype: their gradients are checked with the ops.
SMOOTH = [c for c in CASES if c.kind != "ints" and c not in layer_cases.POOLING]


def made(case: Any) -> Any:
    """The layer, built, with weights that are no zeros."""
    layer = case.make(nacre.layers)
    inputs = case.inputs()
    if not layer.built:
        shapes = tree.map_structure(np.shape, inputs)
        layer.build(*shapes) if case.spread else layer.build(shapes)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.2, 0.9, w.shape) for w in layer.weights])
    return layer


def flat(outputs: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(y) for y in tree.flatten(outputs)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_symbolic_shape_is_the_shape(case: Any) -> None:
    layer = case.make(nacre.layers)
    dtype = "int32" if case.kind == "ints" else "float32"
    fixed = getattr(layer, "stateful", False)

    def placeholder(shape: tuple[int, ...]) -> Any:
        return nacre.Input(batch_shape=(shape[0] if fixed else None, *shape[1:]), dtype=dtype)

    symbolic = [placeholder(s) for s in case.shapes] if isinstance(case.shapes, list) else placeholder(case.shapes)
    expected = tree.flatten(case.run(layer, symbolic))
    got = flat(case.run(layer, case.inputs()))
    assert len(expected) == len(got)
    for y, shape in zip(got, [e.shape for e in expected]):
        assert len(y.shape) == len(shape) and all(n in (m, None) for m, n in zip(y.shape, shape)), (y.shape, shape)
        assert y.dtype == "float32"
    assert layer.built


@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiled_is_eager(case: Any) -> None:
    layer = made(case)
    inputs = case.inputs()
    start = layer.get_weights()

    def reset() -> None:
        layer.set_weights(start)
        if hasattr(layer, "reset_states"):
            layer.reset_states()

    compiled = CompiledFunction(lambda x: case.run(layer, x, **({"training": True} if case.training else {})))
    reset()
    got, after = flat(compiled(inputs)), layer.get_weights()
    reset()
    expected = flat(case.run(layer, inputs, **({"training": True} if case.training else {})))
    for g, e in zip([*got, *after], [*expected, *layer.get_weights()]):
        np.testing.assert_allclose(g, e, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_gradients_match_finite_differences_in_float64(case: Any) -> None:
    before = nacre.config.dtype_policy()
    nacre.config.set_dtype_policy("float64")
    try:
        layer = made(case)
        directional_derivative(case, layer)
    finally:
        nacre.config.set_dtype_policy(before)


def directional_derivative(case: Any, layer: Any) -> None:
    rng = np.random.default_rng(2)
    inputs = tree.map_structure(lambda x: x.astype("float64"), case.inputs())
    points = [*tree.flatten(inputs), *(v.numpy() for v in layer.trainable_variables)]
    directions = [rng.normal(size=p.shape) for p in points]
    n = len(tree.flatten(inputs))
    start = layer.get_weights()
    seeds: list[Any] = []

    def value(values: list[Any]) -> Any:
        layer.set_weights(start)
        if hasattr(layer, "reset_states"):
            layer.reset_states()
        for v, x in zip(layer.trainable_variables, values[n:]):
            v.assign(x)
        outputs = tree.flatten(case.run(layer, tree.pack_sequence_as(inputs, values[:n]) if n > 1 else values[0]))
        if not seeds:
            seeds.extend(rng.normal(size=y.shape) for y in outputs)
        total = 0.0
        for y, s in zip(outputs, seeds):
            total = total + nacre.ops.sum(y * nacre.ops.convert_to_tensor(s, dtype="float64"))
        return total

    tensors = [nacre.ops.convert_to_tensor(x, dtype="float64") for x in points[:n]]
    with nacre.GradientTape() as tape:
        tape.watch(tensors)
        y = value([*tensors, *points[n:]])
    grads = tape.gradient(y, [*tensors, *layer.trainable_variables])
    got = sum(float(np.sum(np.asarray(g) * d)) for g, d in zip(grads, directions) if g is not None)
    h = 1e-5
    up = float(value([p + h * d for p, d in zip(points, directions)]))
    down = float(value([p - h * d for p, d in zip(points, directions)]))
    expected = (up - down) / (2 * h)
    # Central differences: h^2 times the third derivative, and rounding of the value over h.
    assert got == pytest.approx(expected, rel=2e-5, abs=1e-5 * (1 + abs(expected)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_equal_layer_comes_out_of_the_configuration(case: Any) -> None:
    layer = made(case)
    config = nacre.layers.serialize(layer)
    again = nacre.layers.deserialize(config)
    assert nacre.layers.serialize(again)["config"] == config["config"]
    assert again.name == layer.name
    inputs = case.inputs()
    case.run(again, inputs)
    again.set_weights(layer.get_weights())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(layer, "reset_states"):
            layer.reset_states()
            again.reset_states()
        for g, e in zip(flat(case.run(again, inputs)), flat(case.run(layer, inputs))):
            np.testing.assert_array_equal(g, e)


@pytest.mark.parametrize("case", [c for c in CASES if c.kind == "normal"], ids=str)
def test_float64_lists_and_strided_arrays_are_taken(case: Any) -> None:
    layer = made(case)
    inputs = case.inputs()
    expected = flat(case.run(layer, inputs))
    if hasattr(layer, "reset_states"):
        layer.reset_states()

    def awkward(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        wide = np.zeros((*x.shape, 2))
        wide[..., 0] = x
        view = wide[..., 0]
        view.flags.writeable = False
        return view

    for g, e in zip(flat(case.run(layer, tree.map_structure(awkward, inputs))), expected):
        np.testing.assert_array_equal(g, e)
