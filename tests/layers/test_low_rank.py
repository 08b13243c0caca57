"""Low-rank adaptation: what is trained, what the weight then is, and that files hold the sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nacre import Sequential, layers, ops
from nacre.saving import load_model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5, 4)).astype("float32")
IDS = RNG.integers(0, 7, (6, 5)).astype("int32")
IMAGES = RNG.normal(size=(2, 6, 6, 3)).astype("float32")
MAKERS: dict[str, Any] = {
    "dense": (lambda: layers.Dense(3), X, "kernel"),
    "embedding": (lambda: layers.Embedding(7, 3), IDS, "embeddings"),
    "einsum": (lambda: layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"), X, "kernel"),
    "conv": (lambda: layers.Conv2D(5, 3, padding="same"), IMAGES, "kernel"),
}


def adapted(name: str) -> tuple[Any, Any, str]:
    """A model of one adapted layer whose factors are not zero, its input, the name of the weight."""
    make, x, weight = MAKERS[name]
    model = Sequential([make()])
    model(x)
    layer = model.layers[0]
    layer.enable_lora(2, lora_alpha=3.0)
    getattr(layer, f"lora_{weight}_b").assign(RNG.normal(size=getattr(layer, f"lora_{weight}_b").shape))
    return model, x, weight


@pytest.mark.parametrize("name", MAKERS)
def test_the_layer_computes_with_the_sum(name: str) -> None:
    model, x, weight = adapted(name)
    layer = model.layers[0]
    a, b = (np.asarray(getattr(layer, f"lora_{weight}_{w}"), np.float64) for w in "ab")
    total = np.asarray(getattr(layer, f"_{weight}"), np.float64) + 3.0 / 2 * (a @ b)
    np.testing.assert_allclose(np.asarray(getattr(layer, weight)), total, rtol=1e-6, atol=1e-6)
    plain = MAKERS[name][0]()
    plain.build(x.shape)
    plain.set_weights([total, *([np.asarray(layer.bias)] if getattr(layer, "bias", None) is not None else [])])
    # two products in place of one: a few roundings of sums of up to 27 terms
    np.testing.assert_allclose(np.asarray(layer(x)), np.asarray(plain(x)), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_only_the_factors_and_the_bias_are_trained(name: str) -> None:
    model, x, weight = adapted(name)
    layer = model.layers[0]
    before = [np.asarray(v).copy() for v in (getattr(layer, f"_{weight}"), getattr(layer, f"lora_{weight}_a"))]
    model.compile("sgd", "mse")
    model.fit(x, np.ones(np.asarray(model(x)).shape), epochs=1, verbose=0)
    assert not any(v is getattr(layer, f"_{weight}") for v in layer.trainable_variables)
    np.testing.assert_array_equal(before[0], np.asarray(getattr(layer, f"_{weight}")))
    assert np.abs(before[1] - np.asarray(getattr(layer, f"lora_{weight}_a"))).max() > 0


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_holds_the_sum(name: str, tmp_path: Any) -> None:
    model, x, _ = adapted(name)
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    assert again.layers[0].lora_enabled
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=2e-5)
    model.save_weights(tmp_path / "m.weights.h5")
    plain = Sequential([MAKERS[name][0]()])
    plain(x)
    plain.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=2e-5)


def test_wrong_use_is_told() -> None:
    with pytest.raises(ValueError, match="isn't yet built"):
        layers.Dense(2).enable_lora(1)
    constrained = layers.Dense(2, kernel_constraint="non_neg")
    constrained.build((None, 3))
    with pytest.raises(ValueError, match="incompatible with kernel constraints"):
        constrained.enable_lora(1)
    layer = layers.Dense(2, lora_rank=1)
    layer.build((None, 3))
    with pytest.raises(ValueError, match="already enabled"):
        layer.enable_lora(1)
    assert np.asarray(ops.shape(layer.kernel)).tolist() == [3, 2]
